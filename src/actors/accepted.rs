//! An accepted call.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, watch};

use super::call_journal::CallJournal;
use super::call_log::HolderState;
use super::parking::QueueTicket;
use super::prompt::MeasuredRequest;
use super::responder::WantedReply;
use super::table::Table;
use super::wait_notifier::WaitNotifier;
use crate::policy::retry_budget::RetryBudget;
use crate::policy::routing::Needs;
use crate::spec::RouteSpec;
use crate::words::{CallFacts, CallId, OverBudget};

/// A place among the calls in flight. When it is dropped it gives the place back, and tells the budget and the waiting
/// calls.
pub(crate) struct InFlightGuard {
    permit: Option<OwnedSemaphorePermit>,
    budget: Arc<RetryBudget>,
    notifier: Arc<WaitNotifier>,
}

impl InFlightGuard {
    pub(super) fn new(permit: OwnedSemaphorePermit, budget: Arc<RetryBudget>, notifier: Arc<WaitNotifier>) -> Self {
        budget.call_started();
        Self { permit: Some(permit), budget, notifier }
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.budget.call_ended();
        drop(self.permit.take());
        self.notifier.notify();
    }
}

/// A place among the calls in flight, or among those that wait for one.
pub(crate) enum CallAdmission {
    InFlight(InFlightGuard),
    Queued(QueueTicket),
}

/// An accepted call.
pub(crate) struct Accepted {
    pub(crate) about: Arc<CallFacts>,
    pub(crate) asked: MeasuredRequest,
    pub(crate) table: Arc<Table>,
    pub(crate) route: Arc<RouteSpec>,
    pub(crate) needs: Needs,
    /// The spent budget that allows only cheap answers, if one does.
    pub(crate) over: Option<Box<OverBudget>>,
    pub(crate) started: Instant,
    pub(crate) deadline: Instant,
    pub(crate) wanted: WantedReply,
    pub(crate) admission: CallAdmission,
    pub(crate) span: tracing::Span,
    /// Its part of the store, if it is durable.
    pub(super) journal: Option<CallJournal>,
    /// The id under which it was accepted before a restart, and whether it had been sent.
    pub(super) taken_up: Option<(CallId, bool)>,
    /// Its holders, if it has a log.
    pub(super) held: Option<watch::Receiver<HolderState>>,
}

//! An accepted call.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, watch};

use super::call_journal::CallJournal;
use super::call_log::HolderState;
use super::parking::QueueTicket;
use super::responder::WantedReply;
use super::routed_request::RoutedRequest;
use super::wait_notifier::WaitNotifier;
use crate::policy::retry_budget::RetryBudget;
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
        notifier.budget.refilled();
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

/// A call by its id, with what it has beside its caller if that is older than this process, or kept.
pub(crate) struct CallIdentity {
    pub(super) id: CallId,
    /// Its part of the store, if it is durable.
    pub(super) journal: Option<CallJournal>,
    /// The id under which it was accepted before a restart, and whether it had been sent.
    pub(super) taken_up: Option<(CallId, bool)>,
    /// Its holders, if it has a log.
    pub(super) held: Option<watch::Receiver<HolderState>>,
}

impl CallIdentity {
    /// Returns that of a call that belongs to its one caller.
    pub(super) const fn new(id: CallId) -> Self {
        Self { id, journal: None, taken_up: None, held: None }
    }
}

/// An accepted call.
pub(crate) struct Accepted {
    pub(crate) about: Arc<CallFacts>,
    pub(crate) asked: RoutedRequest,
    /// The spent budget that allows only cheap answers, if one does.
    pub(crate) over: Option<Box<OverBudget>>,
    pub(crate) started: Instant,
    pub(crate) deadline: Instant,
    pub(crate) wanted: WantedReply,
    pub(crate) admission: CallAdmission,
    pub(crate) span: tracing::Span,
    pub(super) identity: CallIdentity,
}

//! The record of a running call, which observers get however the call ends.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use super::call_log::HolderState;
use super::clock::now;
use super::shared::Shared;
use super::stream::cut_off;
use crate::policy::explain::{CallStep, Flight};
use crate::policy::record::Record;
use crate::words::{AttemptRecord, CallFacts, CallId, Error, FailureClass};

/// The record of a call that runs. If it is dropped before its end, it records that the call was cut off.
pub(super) struct CallRecord {
    flight: Flight,
    started: Instant,
    /// Its holders, if it has a log.
    held: Option<watch::Receiver<HolderState>>,
    told: bool,
    shared: Arc<Shared>,
}

impl CallRecord {
    pub(super) fn new(
        about: Arc<CallFacts>,
        started: Instant,
        held: Option<watch::Receiver<HolderState>>,
        shared: Arc<Shared>,
    ) -> Self {
        Self { flight: Flight::new(about), started, held, told: false, shared }
    }

    pub(super) fn about(&self) -> &Arc<CallFacts> {
        &self.flight.about
    }

    pub(super) fn note(&mut self, happened: CallStep) {
        self.flight.steps.push((now().saturating_duration_since(self.started), happened));
    }

    /// Notes that the call was accepted before a restart, and whether it had been sent.
    pub(super) fn take_up(&mut self, call: CallId, is_sent: bool) {
        self.flight.again = is_sent;
        self.note(CallStep::TakenUp { call });
    }

    /// Returns what has happened so far.
    pub(super) fn so_far(&self) -> Arc<Flight> {
        Arc::new(Flight { took: now().saturating_duration_since(self.started), ..self.flight.clone() })
    }

    /// Counts an attempt that ended.
    pub(super) fn count(&mut self, attempt: &AttemptRecord) {
        self.flight.count(attempt);
    }

    /// Ends a call that no caller waits for any more: its caller left, or a holder cancelled it. Returns the class of
    /// its attempts' ends.
    pub(super) fn left(&mut self) -> FailureClass {
        let is_cancelled = self.held.as_ref().is_some_and(|held| held.borrow().is_cancelled);
        let (how, class) = if is_cancelled {
            (CallStep::GaveUp(Error::Cancelled), FailureClass::Cancelled)
        } else {
            (CallStep::CallerLeft, FailureClass::CallerLeft)
        };
        self.end(how);
        class
    }

    /// Ends the call: observers have its record before the caller gets the end.
    pub(super) fn end(&mut self, how: CallStep) {
        if std::mem::replace(&mut self.told, true) {
            return;
        }
        self.note(how);
        self.flight.took = now().saturating_duration_since(self.started);
        let none = Flight::new(self.flight.about.clone());
        let flight = std::mem::replace(&mut self.flight, none);
        self.shared.sink.tell(&Record::Call(Arc::new(flight)));
    }
}

impl Drop for CallRecord {
    fn drop(&mut self) {
        self.end(CallStep::GaveUp(cut_off(&self.shared.draining)));
    }
}

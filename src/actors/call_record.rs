//! The record of a running call, which observers get however the call ends.

use std::sync::Arc;
use std::time::Instant;

use super::clock::now;
use super::shared::Shared;
use crate::policy::explain::{CallStep, Flight};
use crate::policy::record::Record;
use crate::words::{AttemptRecord, CallFacts, CallId};

/// The record of a call that runs. If it is dropped before its end, it records that the call was cut off.
pub(super) struct CallRecord {
    flight: Flight,
    started: Instant,
    told: bool,
    shared: Arc<Shared>,
}

impl CallRecord {
    pub(super) fn new(about: Arc<CallFacts>, started: Instant, shared: Arc<Shared>) -> Self {
        Self { flight: Flight::new(about), started, told: false, shared }
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
        self.end(CallStep::CutOff);
    }
}

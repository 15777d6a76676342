//! The runtime's own observers: the ledger, the flight recorder, and the log.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::policy::explain::{CallStep, Flight};
use crate::policy::ledger::Ledger;
use crate::policy::record::{Observer, Record};
use crate::words::locks::lock;
use crate::words::{CallId, Error};

/// The ledger and the flight recorder.
pub(crate) struct Recorder {
    ledger: Mutex<Ledger>,
    flights: Mutex<VecDeque<Arc<Flight>>>,
    flights_max: usize,
}

impl Recorder {
    pub(crate) fn new(attempts_max: usize, flights_max: usize) -> Self {
        Self { ledger: Mutex::new(Ledger::new(attempts_max)), flights: Mutex::default(), flights_max }
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }

    pub(crate) fn flight(&self, call: CallId) -> Option<Arc<Flight>> {
        lock(&self.flights).iter().rev().find(|flight| flight.is_of(call)).cloned()
    }

    /// Returns the remembered calls, in the order of their ends.
    pub(crate) fn flights(&self) -> Vec<Arc<Flight>> {
        lock(&self.flights).iter().cloned().collect()
    }

    /// Remembers a call that ended, and forgets the oldest beyond the limit.
    fn remember(&self, flight: Arc<Flight>) {
        let mut flights = lock(&self.flights);
        if flights.len() >= self.flights_max {
            flights.pop_front();
        }
        if self.flights_max > 0 {
            flights.push_back(flight);
        }
    }
}

impl Observer for Recorder {
    fn observe(&self, record: &Record) {
        match record {
            Record::Attempt(attempt) => lock(&self.ledger).enter(attempt.clone()),
            Record::Call(flight) => self.remember(flight.clone()),
        }
    }
}

/// Writes a log line for each attempt and call that ends, without the providers' own words: they may repeat the prompt.
pub(crate) struct CallLogger;

impl Observer for CallLogger {
    fn observe(&self, record: &Record) {
        match record {
            Record::Attempt(attempt) => {
                tracing::debug!(end = attempt.end.name(), took = ?attempt.took, "attempt ended");
            }
            Record::Call(flight) => call_ended(flight),
        }
    }
}

/// The name under which programs choose the lines of calls, and the spans that calls and their attempts run in.
pub(super) const CALLS: &str = "standin::actors::call";

fn call_ended(flight: &Flight) {
    let attempts = flight.attempts;
    match flight.steps.last() {
        Some((_, CallStep::Answered { target, .. })) => {
            tracing::info!(target: CALLS, target_id = %target, attempts, "call answered");
        }
        Some((_, CallStep::GaveUp(error))) if *error != Error::Cancelled => {
            let last = error.attempts().last().map(|record| record.end.name());
            tracing::warn!(target: CALLS, error = error.name(), attempts, last, "call failed");
        }
        _ => tracing::debug!(target: CALLS, outcome = flight.outcome(), attempts, "call ended"),
    }
}

//! The runtime's own observers: the ledger, the flight recorder, and the log.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
#[cfg(feature = "sidecar")]
use std::time::Duration;

use tokio::sync::oneshot;

use crate::policy::explain::{CallStep, Flight};
use crate::policy::ledger::Ledger;
use crate::policy::record::{Observer, Record};
use crate::words::locks::lock;
use crate::words::{CallId, Error};

/// The longest that the record of a call is waited for: attempts that nobody wants end at once.
#[cfg(feature = "sidecar")]
const RECORD_WAIT_MAX: Duration = Duration::from_secs(5);

/// The ledger and the flight recorder.
pub(crate) struct Recorder {
    ledger: Mutex<Ledger>,
    flights: Mutex<VecDeque<Arc<Flight>>>,
    flights_max: usize,
    /// Who waits for the record of a call.
    waiting: Mutex<HashMap<CallId, oneshot::Sender<Arc<Flight>>>>,
}

impl Recorder {
    pub(crate) fn new(attempts_max: usize, flights_max: usize) -> Self {
        Self {
            ledger: Mutex::new(Ledger::new(attempts_max)),
            flights: Mutex::default(),
            flights_max,
            waiting: Mutex::default(),
        }
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }

    pub(crate) fn flight(&self, call: CallId) -> Option<Arc<Flight>> {
        lock(&self.flights).iter().rev().find(|flight| flight.is_of(call)).cloned()
    }

    /// Returns the record of a call once it is there: all attempts of the call have ended then. `None` where that takes
    /// too long.
    #[cfg(feature = "sidecar")]
    pub(crate) async fn ended(&self, call: CallId) -> Option<Arc<Flight>> {
        let (told, waiting) = oneshot::channel();
        lock(&self.waiting).insert(call, told);
        // In this order: it may be told in between.
        let there = self.flight(call);
        let flight = match there {
            Some(flight) => Some(flight),
            None => tokio::time::timeout(RECORD_WAIT_MAX, waiting).await.ok().and_then(Result::ok),
        };
        lock(&self.waiting).remove(&call);
        flight
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
            Record::Call(flight) => {
                self.remember(flight.clone());
                if let Some(waiting) = lock(&self.waiting).remove(&flight.call) {
                    let _ = waiting.send(flight.clone());
                }
            }
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

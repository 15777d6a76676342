//! The page of a call: what happened to it, and what its attempts cost.
//!
//! The call and each of its attempts hold it until they end. Observers get it when the last of them lets go: so the
//! money of a call is that of all its attempts, whichever ended first.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use super::shared::Shared;
use crate::policy::explain::Flight;
use crate::policy::record::Record;
use crate::words::CallFacts;
use crate::words::locks::lock;

/// The page of one call.
pub(super) struct CallPage {
    flight: Mutex<Flight>,
    shared: Arc<Shared>,
}

impl CallPage {
    pub(super) fn new(about: Arc<CallFacts>, shared: Arc<Shared>) -> Self {
        shared.untold_calls.fetch_add(1, Relaxed);
        Self { flight: Mutex::new(Flight::new(about)), shared }
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Flight)) {
        change(&mut lock(&self.flight));
    }

    /// Returns what has happened so far.
    pub(super) fn so_far(&self) -> Flight {
        lock(&self.flight).clone()
    }

    /// Tells whether the runtime stops.
    pub(super) fn draining(&self) -> &AtomicBool {
        &self.shared.draining
    }
}

impl Drop for CallPage {
    fn drop(&mut self) {
        let mut flight = lock(&self.flight);
        let none = Flight::new(flight.about.clone());
        let flight = std::mem::replace(&mut *flight, none);
        self.shared.sink.tell(&Record::Call(Arc::new(flight)));
        self.shared.untold_calls.fetch_sub(1, Relaxed);
    }
}

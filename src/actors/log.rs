//! What is noted of a call while it runs: the flight recorder's page, written whatever becomes of the call.

use std::sync::Arc;
use std::time::Instant;

use super::clock::now;
use super::shared::Shared;
use crate::policy::explain::{Flight, Happened};

/// Writes the flight recorder's page, whatever becomes of the call.
pub(super) struct Log {
    flight: Option<Flight>,
    started: Instant,
    shared: Arc<Shared>,
}

impl Log {
    pub(super) fn new(flight: Flight, started: Instant, shared: Arc<Shared>) -> Self {
        Self { flight: Some(flight), started, shared }
    }

    pub(super) fn note(&mut self, happened: Happened) {
        if let Some(flight) = &mut self.flight {
            flight.steps.push((now().saturating_duration_since(self.started), happened));
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if let Some(flight) = self.flight.take() {
            self.shared.record(flight);
        }
    }
}

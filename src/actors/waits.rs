//! The state of a call that may wait, or take less.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::parking::{Spot, Turn};
use crate::policy::park::Place;

/// The state of a call that may wait.
#[derive(Default)]
pub(super) struct Waits {
    /// Its place among the waiting calls, once it has had to wait.
    pub(super) place: Option<Place>,
    /// When it is expected to have one at a target, as far as that can be told.
    pub(super) placed: Option<Instant>,
    /// Its permission to ask, until the result is known.
    pub(super) turn: Option<Turn>,
    /// The number of attempts when it last started again, and how often that failed.
    pub(super) attempts: u32,
    pub(super) rounds: u32,
    /// How long it has been parked in all.
    pub(super) waited: Duration,
    /// Whether hints about its providers are recorded.
    pub(super) hinted: bool,
    /// Rungs that it has used up.
    pub(super) rungs: usize,
}

impl Waits {
    /// Returns how long it is expected to wait for a place.
    pub(super) fn foretold(&self, now: Instant) -> Option<Duration> {
        self.placed.map(|placed| placed.saturating_duration_since(now))
    }
}

/// The targets that could answer a call once they have a place, or are back.
pub(super) struct Awaited {
    /// All of them, in order.
    pub(super) spots: Arc<[Spot]>,
    /// Those among them that are well, and those of these that are full.
    pub(super) well: Vec<Spot>,
    pub(super) full: Vec<Spot>,
    /// How long before its deadline the call must go to the quickest of them, where that is known.
    pub(super) needs: Duration,
}

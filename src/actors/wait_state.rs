//! The state of a call that may wait, or take less.

use std::time::{Duration, Instant};

use super::parking::QueueGrant;
use crate::policy::wait_queue::QueueRank;

/// The state of a call that may wait.
#[derive(Default)]
pub(super) struct WaitState {
    /// The rank at which it has waited to be among the calls in flight, if it had to.
    pub(super) slot: Option<QueueRank>,
    /// Its rank among the calls that wait for a target, once it has had to wait.
    pub(super) rank: Option<QueueRank>,
    /// When it is expected to have one at a target, as far as that can be told.
    pub(super) placed: Option<Instant>,
    /// Its permission to ask, until an attempt takes it.
    pub(super) grant: Option<QueueGrant>,
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

impl WaitState {
    /// Returns how long it is expected to wait for a place.
    pub(super) fn expected_wait(&self, now: Instant) -> Option<Duration> {
        self.placed.map(|placed| placed.saturating_duration_since(now))
    }
}

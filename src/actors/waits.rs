//! What a call that may wait, or take less, knows of that.

use std::time::Duration;

use super::parking::Turn;
use crate::policy::park::Place;

/// What a call that may wait knows of its waiting.
#[derive(Default)]
pub(super) struct Waits {
    /// Its place among those who wait, once it has had to.
    pub(super) place: Option<Place>,
    /// Its leave to ask, until it is clear what comes of it.
    pub(super) turn: Option<Turn>,
    /// Attempts that had been started when it tried anew last, and how often that led to nothing.
    pub(super) attempts: u32,
    pub(super) rounds: u32,
    /// How long it has been parked in all.
    pub(super) waited: Duration,
    /// Rungs that it has used up.
    pub(super) rungs: usize,
}

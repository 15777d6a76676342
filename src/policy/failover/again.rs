//! The same target again before others are asked, where a route says so: for users with one provider, or with a cheap
//! one that is worth a second try.

use std::time::Instant;

use rand::{Rng, RngExt};

use super::after::pause;
use super::{Consequence, Failover, Reason, TargetState};
use crate::words::FailureClass;

/// A target that asked for a wait is asked later than that by this part of it: its own hold lasts up to a tenth longer,
/// and not all calls come back at once.
const LATER: (f64, f64) = (0.1, 0.2);

impl Failover {
    /// Returns from when on a failed target is asked again before others are, if it is.
    pub(super) fn retry(
        &mut self,
        at: usize,
        class: FailureClass,
        back: Option<Instant>,
        now: Instant,
        rng: &mut impl Rng,
    ) -> Option<Consequence> {
        if self.targets[at].retries >= self.options.same_target_retries || self.broken.is_some() {
            return None;
        }
        // A target that was not asked comes before a second try.
        let left = self.options.attempts().saturating_sub(self.counted) as usize;
        if left <= self.targets.iter().filter(|met| met.is_new()).count() {
            return None;
        }
        let most = self.wait_left(1.0, now);
        let back = back.filter(|_| class.consequences().obeys_retry_after);
        let wait = match back {
            Some(back) => {
                let told = back.saturating_duration_since(now);
                told + told.mul_f64(rng.random_range(LATER.0..=LATER.1))
            }
            None if class == FailureClass::Server => pause(self.targets[at].retries + 1, rng),
            None => return None,
        };
        if wait > most {
            return None;
        }
        if back.is_some() {
            self.waited += wait;
        }
        self.targets[at].retries += 1;
        Some(Consequence::Again(Reason::Retry, now + wait))
    }

    /// Returns when a target is asked again while others wait for it.
    pub(super) fn retry_at(&self, now: Instant) -> Option<Instant> {
        let at = self.targets.iter().filter_map(|met| match met.state {
            TargetState::Waits { reason: Reason::Retry, from } if from > now => Some(from),
            _ => None,
        });
        at.min()
    }
}

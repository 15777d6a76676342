//! Which targets a call may be sent to in order to learn about them, and not because they are the best.
//!
//! A target that loses by its numbers is asked now and then, or its numbers would hold for ever. The strategy says how
//! often; this file says which calls can afford that, and which targets were not asked just now.

use std::time::{Duration, Instant};

use super::{Candidate, Eligibility, Entrant, Needs};
use crate::policy::time_left::TimeLeft;
use crate::words::Priority;

/// Tells what a call can spare for exploring.
#[derive(Clone, Copy, Debug)]
pub(super) struct ExploreAllowance<'a> {
    needs: &'a Needs,
    /// The least time in which any target usually answers.
    answer: Duration,
    /// A target that was asked within this time is not explored.
    again_after: Duration,
    now: Instant,
}

impl<'a> ExploreAllowance<'a> {
    pub(super) fn of(entrants: &[Entrant<'_>], needs: &'a Needs, again_after: Duration, now: Instant) -> Self {
        let full = entrants.iter().filter(|entrant| entrant.standing == Eligibility::Full);
        let answer = match needs.deadline {
            Some(_) => full.map(|entrant| entrant.candidate.pace(needs).answer).min().unwrap_or_default(),
            None => Duration::ZERO,
        };
        Self { needs, answer, again_after, now }
    }

    /// Tells whether the call may explore a target: it is not critical, and has the time to go elsewhere after it.
    pub(super) fn allows(&self, candidate: &Candidate) -> bool {
        let since = |then| self.now.saturating_duration_since(then);
        let has_time = |deadline| {
            TimeLeft::until(deadline, self.now).is_enough_for(candidate.pace(self.needs).first + self.answer)
        };
        self.needs.priority != Priority::Critical
            && candidate.health.last_used.is_none_or(|then| since(then) >= self.again_after)
            && self.needs.deadline.is_none_or(has_time)
    }
}

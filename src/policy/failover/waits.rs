//! Waits for targets that are to come back, and what is left of the time that all waits of a call may take together.

use std::time::{Duration, Instant};

use super::{Access, CallTarget, Failover, Reason, RetryBudget, RetryKind, Step, TRY_MIN, TargetState, UntimedWait};
use crate::words::OnExhausted;

/// How often targets that are expected back are looked for beside an attempt that is late, which may take long: this
/// often in the time that is left, within these bounds.
const LOOKS_BESIDE: u32 = 16;
const LOOK_BESIDE_MIN: Duration = Duration::from_millis(50);
pub(super) const LOOK_BESIDE_MAX: Duration = Duration::from_secs(2);
/// The factor by which a target may hold longer than it said, with a little slack.
const WAIT_SLACK: f64 = 1.15;

impl Failover {
    /// Returns until when to wait for the first target that may be asked again, if that is near: by then another plan
    /// may help. Beside an attempt that is late nothing is lost by waiting, nor where there is only no place: then what
    /// admits calls again gives them their turn, and what has failed has its own time.
    pub(super) fn wait(&mut self, budget: &RetryBudget, now: Instant) -> Option<Step> {
        let (beside, queues) = (self.runs(), self.queues());
        self.turn = None;
        let left = self.deadline.saturating_duration_since(now);
        // A pause of the call's own is none of a target.
        let is_pause =
            self.back.is_none() && self.uncertain.is_none() && !self.targets.iter().any(CallTarget::said_when);
        let (patience, waited) = if beside || is_pause || queues {
            self.end_wait(now);
            (self.deadline, Duration::ZERO)
        } else {
            // A call that is parked for them does not return together with all others.
            let parks = self.goes_on() && self.options.on_exhausted == OnExhausted::Wait;
            // A target that says when holds for up to a tenth longer, so that not all calls come back at once.
            let most = if parks { Duration::ZERO } else { self.wait_left(WAIT_SLACK, now) };
            let since = *self.waits_since.get_or_insert(now);
            (*self.patience.get_or_insert(now + most), now.saturating_duration_since(since))
        };
        // No call waits for a try that the budget would refuse, unless it waits anyway. What is due and was not asked
        // waits for that budget, and not for a time.
        let again = beside || queues || budget.allows(RetryKind::SameTarget);
        let is_ahead = |from: Instant| from > now && from + TRY_MIN <= self.deadline;
        let waiting = self.targets.iter().filter(|met| again && (!queues || met.access != Access::Out)).filter_map(
            |met| match met.state {
                TargetState::Waits { reason: Reason::Full, .. } => None,
                TargetState::Waits { reason: Reason::Deferred, from } => {
                    Some(from).filter(|&from| from > now && from <= patience)
                }
                TargetState::Waits { reason: Reason::Silence, .. } if self.looks() => None,
                TargetState::Waits { from, .. } => Some(from).filter(|&from| is_ahead(from)),
                _ => None,
            },
        );
        let timed = waiting.chain(self.back.filter(|&back| back <= patience && !queues)).min();
        // Who has waited in vain, for targets that were said to be back, looks less and less often.
        let soonest =
            if beside { (left / LOOKS_BESIDE).clamp(LOOK_BESIDE_MIN, LOOK_BESIDE_MAX) } else { waited / LOOKS_BESIDE };
        let timed = timed.map(|at| at.max(now + soonest));
        let place = self.uncertain.map(|_| patience).filter(|&until| until > now);
        let step = match (place, timed) {
            (Some(until), timed) => Step::Queue(timed.unwrap_or(until).min(until)),
            (None, Some(at)) => Step::Wait(at),
            (None, None) => return None,
        };
        (self.stale, self.plans) = (true, 0);
        Some(step)
    }

    /// Tells whether the call waits for a place at a target that is well, as long as it takes. One that takes less
    /// rather than wait has the usual patience.
    pub(super) fn queues(&self) -> bool {
        let waits = self.uncertain == Some(UntimedWait::FreePlace) && !self.is_late_for_places;
        waits && self.options.on_exhausted == OnExhausted::Fail
    }

    /// Ends a wait for targets to come back: what is left of the time for all of them is for the next one.
    pub(super) fn end_wait(&mut self, now: Instant) {
        self.waited += self.waits_since.take().map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        self.patience = None;
    }

    /// Returns how long the call may still wait for targets to come back: all its waits share one time.
    pub(super) fn wait_left(&self, slack: f64, now: Instant) -> Duration {
        let left = self.deadline.saturating_duration_since(now);
        self.options.wait_max.min(left / 10).mul_f64(slack).saturating_sub(self.waited)
    }
}

//! How a call's time is shared out among its targets: how long each may be silent while others are behind it.

use std::time::{Duration, Instant};

use super::target_state::TargetState;
use super::{Failover, Planned};
use crate::policy::time_left::{TimeLeft, reached};

impl Failover {
    /// Returns the most time until the first token: the target's own limit, as long as another target could be asked
    /// after it.
    pub(super) fn first_token_max(&self, planned: &Planned, now: Instant) -> Option<Duration> {
        let own = planned.first_token_max;
        let is_last = self.counted + 1 >= self.options.attempts() || self.behind(own, now).next().is_none();
        (!is_last && !reached(own, self.deadline.saturating_duration_since(now))).then_some(own)
    }

    /// Returns the time that the other targets need which could be asked after an attempt of this length: those that
    /// wait, those that come back meanwhile, and those that are kept for a call that takes less.
    fn behind(&self, lasting: Duration, now: Instant) -> impl Iterator<Item = Duration> {
        let waiting = self.targets.iter().filter(|met| met.is_behind(self.deadline)).map(|met| met.planned.needs);
        let most = self.targets.iter().map(|met| met.planned.needs).max();
        let returns = self.back.is_some_and(|back| back <= now + lasting);
        waiting.chain(most.filter(|_| returns)).chain(most.filter(|_| self.steps_down()))
    }

    /// Returns how long an attempt's silence is tolerated from now on: its usual time, unless the targets and keys
    /// behind it would then have too little of what is left.
    pub(super) fn patience_with(&self, at: usize, patience: Duration, left: TimeLeft, now: Instant) -> Duration {
        let behind: Vec<Duration> = self.behind(patience, now).chain(self.keys_behind()).collect();
        let Planned { needs, measured, .. } = self.targets[at].planned;
        let share = left.share(needs, behind.iter().copied());
        patience.min(if measured { share } else { left.evened(share, behind.len()) })
    }

    /// Returns how much of a silence is tolerated from now on before any content has come: as long as its caller is
    /// thought to wait, others have a part of the time, too.
    pub(super) fn tolerated(&self, at: usize, patience: Duration, now: Instant) -> Duration {
        let Planned { measured, needs, .. } = self.targets[at].planned;
        let (left, least) = self.caller.left(self.deadline, patience, (!measured).then_some(needs), now);
        self.patience_with(at, patience, left, now).max(least)
    }

    /// Lets those in flight leave time for a target that is behind them only since it has failed, as they would have if
    /// it had been there when they began.
    pub(super) fn leave_time_for(&mut self, failed: usize, now: Instant) {
        if !self.targets[failed].is_behind(self.deadline) {
            return;
        }
        for at in 0..self.targets.len() {
            let TargetState::Runs { since, patience, .. } = self.targets[at].state else { continue };
            let lasted = now.saturating_duration_since(since);
            let Some(rest) = patience.checked_sub(lasted) else { continue };
            let rest = rest.min(self.tolerated(at, rest, now));
            if let TargetState::Runs { patience, .. } = &mut self.targets[at].state {
                *patience = lasted + rest;
            }
        }
    }
}

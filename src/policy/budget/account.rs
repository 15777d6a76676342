//! One account of a budget: what was spent in each step of its period.

use std::time::{Duration, SystemTime};

use super::{ALERTS, Budget, Period};

/// The state of one account.
#[derive(Clone, Debug, Default)]
pub(super) struct BudgetAccount {
    /// Spent in each step, in their order: of a calendar period one step counts.
    steps: Vec<(i64, i64)>,
    /// The most that is in flight.
    pub(super) reserved: i64,
    /// The last alert of this period.
    told: u8,
}

impl BudgetAccount {
    /// Returns what is spent in the period of a time. A clock that is set back renews nothing.
    pub(super) fn spent(&self, period: Period, now: SystemTime) -> i64 {
        let step = period.step(now);
        let counts = |at: i64| at > step - period.steps();
        self.steps.iter().filter(|(at, _)| counts(*at)).fold(0, |sum: i64, (_, spent)| sum.saturating_add(*spent))
    }

    /// Moves to the present what a clock that stood ahead put into steps to come: it was spent, and renews with all
    /// else. One step to come is left, for an attempt may end while a step does.
    pub(super) fn set_clock(&mut self, period: Period, now: SystemTime) {
        let step = period.step(now);
        let present = self.steps.partition_point(|(at, _)| *at <= step.saturating_add(1));
        let ahead = self.steps.drain(present..).fold(0, |sum: i64, (_, spent)| sum.saturating_add(spent));
        if ahead != 0 {
            self.count(step, ahead);
        }
    }

    /// Adds what is spent now.
    pub(super) fn add(&mut self, period: Period, amount: i64, now: SystemTime) {
        self.set_clock(period, now);
        if self.spent(period, now) == 0 {
            self.told = 0;
        }
        self.count(period.step(now).max(self.steps.last().map_or(i64::MIN, |(at, _)| *at)), amount);
        // One step more than counts: a clock that was ahead for a moment makes nothing unspent.
        let kept = usize::try_from(period.steps() + 1).unwrap_or(usize::MAX);
        self.steps.drain(..self.steps.len().saturating_sub(kept));
    }

    /// Adds what was spent in a step.
    pub(super) fn count(&mut self, step: i64, amount: i64) {
        match self.steps.binary_search_by_key(&step, |(at, _)| *at) {
            Ok(at) => self.steps[at].1 = self.steps[at].1.saturating_add(amount),
            Err(at) => self.steps.insert(at, (step, amount)),
        }
    }

    /// Returns the share that is to be published, if one has just been reached.
    pub(super) fn alert(&mut self, budget: &Budget, now: SystemTime) -> Option<u8> {
        let spent = i128::from(self.spent(budget.period, now)) * 100;
        let share = ALERTS.into_iter().rev().find(|share| spent >= i128::from(budget.limit) * i128::from(*share));
        // A sliding window may fall below a share, and reach it again.
        let before = std::mem::replace(&mut self.told, share.unwrap_or(0));
        share.filter(|share| *share > before)
    }

    /// Returns how long it takes until this amount fits, if nothing more is spent.
    pub(super) fn room_in(&self, budget: &Budget, needed: i64, now: SystemTime) -> Option<Duration> {
        if needed > budget.limit {
            return None;
        }
        let mut left = self.spent(budget.period, now);
        if left.saturating_add(needed) <= budget.limit {
            return Some(Duration::ZERO);
        }
        let current = budget.period.step(now);
        for (step, spent) in self.steps.iter().filter(|(at, _)| *at > current - budget.period.steps()) {
            left = left.saturating_sub(*spent);
            if left.saturating_add(needed) <= budget.limit {
                return Some(budget.period.over(*step).duration_since(now).unwrap_or_default());
            }
        }
        Some(Duration::ZERO)
    }
}

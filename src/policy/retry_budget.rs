//! How much the runtime may spend on second tries, so that an outage does not lead to a storm of retries.
//!
//! One bucket for all calls of a runtime, in thousandths of a token. Input: calls, attempts and successes. Output:
//! permission. Atomics and `&self`: no lock, and no owner that could crash with it.
//!
//! A call's first move to another target is always allowed: when a provider dies, every call in flight must be able to
//! go. So is its first visit to a target that is not known to be ill; what bounds these visits are the breakers. These
//! visits apart, attempts stay below 2.5 a call plus the 20 of the bucket.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use super::hedge::Hedges;

/// One token, in the bucket's unit.
const TOKEN: i64 = 1_000;
/// The tokens of the sub-limit for retries at the same target, at first and at most.
const SAME_TARGET: i64 = 10 * TOKEN;
/// Retries at the same target are allowed only above this.
const SAME_TARGET_MIN: i64 = 5 * TOKEN;
/// The tokens that an answer adds to that sub-limit: a fifth of calls may fail at a retry, as at Envoy.
const PER_SUCCESS: i64 = TOKEN / 5;

/// The kinds of tries that take from the budget: each takes one token of the bucket, some also from a sub-limit within
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryKind {
    /// A second or later move of a call, to a target whose breaker is not closed. First visits to targets that are
    /// well, and to another key, are free.
    Failover,
    /// The same target again.
    SameTarget,
}

/// The budget's constants, in thousandths of a token; the simulator shows the effect of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetNumbers {
    /// The bucket's tokens at first.
    pub start: i64,
    /// The tokens that a call adds.
    pub per_call: i64,
    /// The bucket's largest number of tokens, beside one for each call in flight.
    pub capacity: i64,
}

impl Default for BudgetNumbers {
    fn default() -> Self {
        Self { start: 10 * TOKEN, per_call: TOKEN / 2, capacity: 20 * TOKEN }
    }
}

/// The retry budget of one runtime.
#[derive(Debug)]
pub struct RetryBudget {
    numbers: BudgetNumbers,
    /// The account of hedges, for a second target for speed. A hedge also takes from the bucket, like any other move.
    pub hedges: Hedges,
    bucket: AtomicI64,
    same_target: AtomicI64,
    calls: AtomicI64,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self::new(BudgetNumbers::default())
    }
}

impl RetryBudget {
    /// Returns the budget of a runtime that has just begun.
    pub fn new(numbers: BudgetNumbers) -> Self {
        Self {
            numbers,
            hedges: Hedges::default(),
            bucket: AtomicI64::new(numbers.start),
            same_target: AtomicI64::new(SAME_TARGET),
            calls: AtomicI64::new(0),
        }
    }

    /// Counts a call that starts; it adds half a token.
    pub fn call_started(&self) {
        let calls = self.calls.fetch_add(1, Relaxed) + 1;
        add(&self.bucket, self.numbers.per_call, self.numbers.capacity + calls * TOKEN);
    }

    /// Counts a call that ended.
    pub fn call_ended(&self) {
        self.calls.fetch_sub(1, Relaxed);
    }

    /// Returns the calls in flight.
    pub fn calls(&self) -> usize {
        usize::try_from(self.calls.load(Relaxed)).unwrap_or(0)
    }

    /// Counts an answer; it adds a fifth of a token for retries at the same target. A retry that was answered also
    /// returns its own: what is bounded are those that fail.
    pub fn succeeded(&self, paid: Option<RetryKind>) {
        let returned = if paid == Some(RetryKind::SameTarget) { TOKEN } else { 0 };
        add(&self.same_target, PER_SUCCESS + returned, SAME_TARGET);
    }

    /// Takes permission for a try, or says that there is none.
    #[must_use]
    pub fn take(&self, spend: RetryKind) -> bool {
        if spend == RetryKind::SameTarget && !take(&self.same_target, SAME_TARGET_MIN) {
            return false;
        }
        let taken = take(&self.bucket, 0);
        if !taken && spend == RetryKind::SameTarget {
            self.same_target.fetch_add(TOKEN, Relaxed);
        }
        taken
    }

    /// Tells whether there would be permission for a try now.
    pub fn allows(&self, spend: RetryKind) -> bool {
        let bucket = self.bucket.load(Relaxed) >= TOKEN;
        bucket && (spend != RetryKind::SameTarget || self.same_target.load(Relaxed) >= SAME_TARGET_MIN + TOKEN)
    }

    /// Returns what [`Self::take`] took, since the target refused.
    pub fn give_back(&self, spend: RetryKind) {
        self.bucket.fetch_add(TOKEN, Relaxed);
        if spend == RetryKind::SameTarget {
            self.same_target.fetch_add(TOKEN, Relaxed);
        }
    }

    /// Returns the whole tokens left.
    #[cfg(test)]
    pub fn tokens(&self) -> i64 {
        self.bucket.load(Relaxed) / TOKEN
    }
}

/// Takes a token if there is one above `floor`.
fn take(cell: &AtomicI64, floor: i64) -> bool {
    cell.fetch_update(Relaxed, Relaxed, |have| (have >= floor + TOKEN).then_some(have - TOKEN)).is_ok()
}

/// Adds up to a limit; what is above it already stays.
fn add(cell: &AtomicI64, amount: i64, limit: i64) {
    let _ = cell.fetch_update(Relaxed, Relaxed, |have| (have < limit).then_some((have + amount).min(limit)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_of_failovers_is_bounded_by_half_a_token_a_call_and_the_start() {
        let budget = RetryBudget::default();
        let mut taken = 0;
        for _ in 0..1_000 {
            budget.call_started();
            taken += i32::from(budget.take(RetryKind::Failover)) + i32::from(budget.take(RetryKind::Failover));
            budget.call_ended();
        }
        assert!((500..=520).contains(&taken), "took {taken}");
    }

    #[test]
    fn quiet_calls_fill_the_bucket_only_to_its_capacity() {
        let budget = RetryBudget::default();
        for _ in 0..1_000 {
            budget.call_started();
            budget.call_ended();
        }
        assert_eq!(budget.tokens(), 21);
    }

    #[test]
    fn retries_at_the_same_target_stop_at_half_of_their_sub_limit_and_come_back_with_successes() {
        let budget = RetryBudget::default();
        for _ in 0..100 {
            budget.call_started();
        }
        assert_eq!((0..20).filter(|_| budget.take(RetryKind::SameTarget)).count(), 5);
        for _ in 0..5 {
            budget.succeeded(None);
        }
        assert!(budget.take(RetryKind::SameTarget));
        assert!(!budget.take(RetryKind::SameTarget));
        for answered in 0..5 {
            budget.succeeded(Some(RetryKind::SameTarget));
            assert!(budget.take(RetryKind::SameTarget), "a retry that is answered returns its token: {answered}");
        }
    }

    #[test]
    fn a_retry_refused_by_the_common_bucket_takes_nothing_from_the_sub_limit() {
        let budget = RetryBudget::default();
        while budget.take(RetryKind::Failover) {}
        (0..20).for_each(|_| assert!(!budget.take(RetryKind::SameTarget)));
        for _ in 0..2 {
            budget.call_started();
        }
        assert!(budget.take(RetryKind::SameTarget), "the sub-limit was still whole");
    }

    #[test]
    fn calls_in_flight_are_counted() {
        let budget = RetryBudget::default();
        assert_eq!(budget.calls(), 0);
        (0..4).for_each(|_| budget.call_started());
        budget.call_ended();
        assert_eq!(budget.calls(), 3);
    }
}

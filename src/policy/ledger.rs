//! The ledger: the cost and the end of every attempt.
//!
//! Input: attempts as they end. Output: totals per target, and the attempts themselves, newest last. Bounded: old
//! attempts are forgotten, totals never. It decides nothing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::words::{AttemptEnd, AttemptRecord, CallId, FailureClass, TargetId, Usage};

/// The sums of the attempts at one target.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Totals {
    /// Attempts that ended.
    pub attempts: u64,
    /// Those whose answer was the call's answer.
    pub won: u64,
    /// Those that failed, by class; cancelled ones too.
    pub failed: BTreeMap<FailureClass, u64>,
    /// Prompt tokens.
    pub input_tokens: u64,
    /// Of those, read from the provider's cache.
    pub cached_tokens: u64,
    /// Of those, written to the provider's cache.
    pub cache_write_tokens: u64,
    /// Answer tokens.
    pub output_tokens: u64,
    /// Of those, spent on reasoning.
    pub reasoning_tokens: u64,
    /// Dollars of all attempts whose price is known.
    pub cost_usd: f64,
    /// Dollars of those among them that did not win.
    pub wasted_usd: f64,
}

/// Every attempt of one runtime.
#[derive(Debug)]
pub struct Ledger {
    entries: VecDeque<Arc<AttemptRecord>>,
    entries_max: usize,
    totals: BTreeMap<TargetId, Totals>,
}

impl Ledger {
    /// Returns an empty ledger that remembers at most this many attempts.
    pub fn new(entries_max: usize) -> Self {
        Self { entries: VecDeque::new(), entries_max, totals: BTreeMap::new() }
    }

    /// Adds an attempt that ended. An attempt is added once.
    pub fn enter(&mut self, record: Arc<AttemptRecord>) {
        if !self.totals.contains_key(&record.target) {
            self.totals.insert(record.target.clone(), Totals::default());
        }
        if let Some(totals) = self.totals.get_mut(&record.target) {
            totals.add(&record);
        }
        if self.entries_max == 0 {
            return;
        }
        if self.entries.len() == self.entries_max {
            self.entries.pop_front();
        }
        self.entries.push_back(record);
    }

    /// Returns the remembered attempts of a call, in the order they ended.
    pub fn call(&self, call: CallId) -> Vec<AttemptRecord> {
        self.entries.iter().filter(|entry| entry.call == call).map(|entry| AttemptRecord::clone(entry)).collect()
    }

    /// Returns the remembered attempts, oldest first.
    #[cfg(test)]
    pub fn entries(&self) -> impl Iterator<Item = &AttemptRecord> {
        self.entries.iter().map(AsRef::as_ref)
    }

    /// Returns the totals of each target that was ever tried.
    pub fn totals(&self) -> &BTreeMap<TargetId, Totals> {
        &self.totals
    }
}

impl Totals {
    fn add(&mut self, record: &AttemptRecord) {
        // Providers count their tokens themselves; a provider that counts nonsense must not end a call.
        self.attempts = self.attempts.saturating_add(1);
        let Usage { input, output, cached, cache_write, reasoning } = record.usage;
        for (total, tokens) in [
            (&mut self.input_tokens, input),
            (&mut self.cached_tokens, cached),
            (&mut self.cache_write_tokens, cache_write),
            (&mut self.output_tokens, output),
            (&mut self.reasoning_tokens, reasoning),
        ] {
            *total = total.saturating_add(tokens);
        }
        let cost = record.cost_usd.unwrap_or(0.0);
        self.cost_usd += cost;
        match &record.end {
            AttemptEnd::Won => self.won += 1,
            AttemptEnd::Failed(failure) => {
                *self.failed.entry(failure.class).or_default() += 1;
                self.wasted_usd += cost;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::{CallFacts, Failure};
    use std::time::{Duration, SystemTime};

    fn record(call: u64, end: AttemptEnd, cost: f64) -> AttemptRecord {
        let about = Arc::new(CallFacts::new(CallId::new(0, call), SystemTime::UNIX_EPOCH, "r"));
        AttemptRecord {
            took: Duration::from_millis(5),
            usage: Usage { input: 10, cached: 4, output: 3, reasoning: 1, ..Usage::default() },
            cost_usd: Some(cost),
            end,
            ..AttemptRecord::new(about, 1, TargetId::new("p", "m"), "default")
        }
    }

    #[test]
    fn attempts_that_did_not_win_are_waste_and_totals_balance() {
        let mut ledger = Ledger::new(10);
        ledger.enter(record(1, AttemptEnd::Failed(Failure::new(FailureClass::Cut, "")), 0.25).into());
        ledger.enter(record(1, AttemptEnd::Won, 1.0).into());
        let totals = &ledger.totals()[&TargetId::new("p", "m")];
        assert_eq!((totals.attempts, totals.won, totals.failed[&FailureClass::Cut]), (2, 1, 1));
        assert_eq!((totals.cost_usd, totals.wasted_usd), (1.25, 0.25));
        assert_eq!((totals.input_tokens, totals.output_tokens), (20, 6));
        assert_eq!((totals.cached_tokens, totals.cache_write_tokens, totals.reasoning_tokens), (8, 0, 2));
    }

    #[test]
    fn totals_end_at_the_largest_number() {
        let mut ledger = Ledger::new(0);
        for _ in 0..3 {
            let usage = Usage { input: u64::MAX, output: u64::MAX / 2, ..Usage::default() };
            ledger.enter(AttemptRecord { usage, ..record(1, AttemptEnd::Won, 1.0) }.into());
        }
        let totals = &ledger.totals()[&TargetId::new("p", "m")];
        assert_eq!((totals.input_tokens, totals.output_tokens), (u64::MAX, u64::MAX));
    }

    #[test]
    fn old_attempts_are_forgotten_and_totals_are_not() {
        let mut ledger = Ledger::new(2);
        for call in 1..=5 {
            ledger.enter(record(call, AttemptEnd::Won, 1.0).into());
        }
        assert_eq!(ledger.entries().map(|entry| entry.call.number).collect::<Vec<_>>(), [4, 5]);
        assert!(ledger.call(CallId::new(0, 1)).is_empty());
        assert_eq!(ledger.totals()[&TargetId::new("p", "m")].attempts, 5);
    }
}

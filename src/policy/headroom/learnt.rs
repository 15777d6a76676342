//! A limit of which nothing is told, learnt from refusals: how many a provider lets in within some time.
//!
//! Input: admissions, what they took in the end, refusals. Output: whether there is room, once that is known.

use std::time::{Duration, Instant};

use super::RESERVE;
use crate::words::MINUTE;

/// How many must have been admitted within a minute before a refusal says how many may be.
const LEARN_MIN: u64 = 20;
/// The part of a learnt limit that a refusal leaves, and the part by which it grows in a second in which it is used.
const LEARN_CUT: f64 = 0.95;
const LEARN_GROWTH: f64 = 0.05 / 60.0;
/// Refusals within this time of a cut are of requests that were sent before it.
const LEARN_BURST: Duration = Duration::from_secs(1);
/// A learnt limit is forgotten after this long without a refusal.
pub(super) const LEARN_FORGET: Duration = Duration::from_secs(600);
/// The parts of a minute in which admissions are counted.
const SLICES: usize = 12;
const SLICE: Duration = Duration::from_secs(5);

/// The admissions of the last minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct MinuteCount {
    since: Option<Instant>,
    slices: [u64; SLICES],
}

impl MinuteCount {
    fn add(&mut self, amount: u64, now: Instant) {
        let since = *self.since.get_or_insert(now);
        let passed = now.saturating_duration_since(since).as_millis() / SLICE.as_millis();
        let passed = u32::try_from(passed).unwrap_or(u32::MAX);
        if passed > 0 {
            let shift = usize::try_from(passed).map_or(SLICES, |passed| passed.min(SLICES));
            self.slices.rotate_right(shift % SLICES);
            self.slices[..shift].fill(0);
            self.since = Some(if shift == SLICES { now } else { since + SLICE * passed });
        }
        self.slices[0] = self.slices[0].saturating_add(amount);
    }

    /// Puts one amount in the place of another.
    fn correct(&mut self, expected: u64, taken: u64) {
        self.slices[0] = self.slices[0].saturating_sub(expected).saturating_add(taken);
    }

    /// Tells whether it has counted for a minute: a burst says nothing about a minute.
    fn is_whole(&self) -> bool {
        self.slices[SLICES - 1] > 0
    }

    fn sum(&self) -> u64 {
        self.slices.iter().fold(0, |all, slice| all.saturating_add(*slice))
    }
}

/// How many requests a provider admits within some time that does not say so: a bucket that is empty at its refusal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct LearntRate {
    limit: f64,
    window: Duration,
    level: f64,
    at: Instant,
    refused: Instant,
}

impl LearntRate {
    /// Returns what may be taken at once.
    fn burst(&self) -> f64 {
        (self.limit / RESERVE as f64).max(1.0)
    }

    /// Returns how much comes back in a second.
    fn rate(&self) -> f64 {
        self.limit / self.window.as_secs_f64()
    }

    fn level(&self, now: Instant) -> f64 {
        let came = self.rate() * now.saturating_duration_since(self.at).as_secs_f64();
        (self.level + came).min(self.burst())
    }

    fn take(&mut self, amount: f64, now: Instant) {
        let level = self.level(now);
        let span = now.saturating_duration_since(self.at).as_secs_f64().min(1.0);
        self.limit += self.limit * LEARN_GROWTH * span;
        // One that is larger than a burst is paid for afterwards.
        (self.level, self.at) = ((level - amount).max(level.min(0.0) - self.limit), now);
    }

    pub(super) fn room(&self, amount: f64, now: Instant) -> (f64, Option<Instant>) {
        let level = self.level(now);
        let wait = Duration::try_from_secs_f64((amount.min(self.burst()) - level).max(0.0) / self.rate());
        let wait = wait.map_or(LEARN_FORGET, |wait| wait.min(LEARN_FORGET));
        (level.max(0.0), (!wait.is_zero()).then(|| now + wait))
    }
}

/// A limit learnt from refusals, of one kind, and the admissions of the last minute.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct LearntLimit {
    counted: MinuteCount,
    learnt: Option<LearntRate>,
}

impl LearntLimit {
    pub(super) fn learnt(&self, now: Instant) -> Option<&LearntRate> {
        self.learnt.as_ref().filter(|learnt| now.saturating_duration_since(learnt.refused) < LEARN_FORGET)
    }

    pub(super) fn admit(&mut self, amount: u64, now: Instant) {
        self.learnt = self.learnt(now).copied();
        self.learnt.iter_mut().for_each(|learnt| learnt.take(amount as f64, now));
        self.counted.add(amount, now);
    }

    pub(super) fn settle(&mut self, expected: u64, taken: u64) {
        self.counted.correct(expected, taken);
        self.learnt.iter_mut().for_each(|learnt| learnt.level += expected as f64 - taken as f64);
    }

    /// Takes an amount out of what was let in: it was refused.
    pub(super) fn let_in_less(&mut self, amount: u64) {
        self.counted.correct(amount, 0);
    }

    /// Tells whether enough was let in for a minute that a refusal says how much that is.
    pub(super) fn may_teach(&self) -> bool {
        self.counted.is_whole() && self.counted.sum() >= LEARN_MIN
    }

    #[cfg(test)]
    pub(super) fn limit(&self) -> Option<f64> {
        self.learnt.map(|learnt| learnt.limit)
    }

    /// Learns from the refusal of an amount. It may say how many are let in within which time; else that many were in a
    /// minute. It may say when to come back: then there is room for that amount.
    pub(super) fn refused(&mut self, told: Option<(u64, Duration)>, amount: u64, back: Option<Instant>, now: Instant) {
        let counted = self.counted.sum().max(1) as f64;
        let (limit, window, refused) = match (told, self.learnt(now)) {
            (Some((limit, window)), _) => (limit as f64, window, now),
            // A burst of refusals is one cut.
            (None, Some(learnt)) if now.saturating_duration_since(learnt.refused) < LEARN_BURST => {
                (learnt.limit, learnt.window, learnt.refused)
            }
            // What is counted is a minute.
            (None, Some(learnt)) if learnt.window == MINUTE => ((learnt.limit * LEARN_CUT).min(counted), MINUTE, now),
            (None, Some(learnt)) => (learnt.limit * LEARN_CUT, learnt.window, now),
            (None, None) => (counted, MINUTE, now),
        };
        let mut learnt = LearntRate { limit: limit.max(1.0), window, level: 0.0, at: now, refused };
        if let Some(back) = back {
            let comes = back.saturating_duration_since(now).as_secs_f64() * learnt.rate();
            learnt.level = ((amount as f64).min(learnt.burst()) - comes).max(0.0);
        }
        self.learnt = Some(learnt);
    }
}

persist!(struct MinuteCount as Counted { since, slices });
persist!(struct LearntRate as Learnt { limit, window, level, at, refused });
persist!(struct LearntLimit as Taught { counted, learnt });

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_was_admitted_is_counted_in_the_slice_of_its_time() {
        let (start, mut counted) = (Instant::now(), MinuteCount::default());
        for second in [0, 12, 15] {
            counted.add(1, start + SECOND * second);
        }
        assert_eq!(counted.slices[..4], [1, 1, 0, 1]);
        assert_eq!(counted.sum(), 3);
        counted.add(1, start + SECOND * 900);
        assert_eq!(counted.sum(), 1, "a minute without any leaves nothing");
    }

    #[test]
    fn a_learnt_limit_grows_by_a_twentieth_in_a_minute_in_which_it_is_used() {
        let start = Instant::now();
        let mut learnt = LearntRate { limit: 600.0, window: MINUTE, level: 60.0, at: start, refused: start };
        for second in 1..=60 {
            learnt.take(1.0, start + SECOND * second);
        }
        assert!((629.0..632.0).contains(&learnt.limit), "{}", learnt.limit);
    }
}

//! Asking a second target beside one that may still answer: when that is worth it, and which budget pays.
//!
//! Whether two are asked at once, or the second once the first is slower than it usually is, or only when it is overdue
//! follows from what the caller asked for, the route, the priority and the load. What that costs is bounded: [`Hedges`]
//! is the account of the last hour, in dollars and in attempts, and of how many of the last calls a second target was
//! wanted for. Atomics and `&self`, as the retry budget: no lock, and no owner that could crash with it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::latency::Latency;
use super::snapshot::{BreakerState, Health};
use crate::words::named::named;
use crate::words::{Hedging, Price, Priority, Usage};

/// No second target is asked sooner than this, however quick the first one usually is.
const AFTER_MIN: Duration = Duration::from_millis(100);
/// Below this many samples it is not known what is slow.
const SAMPLES_MIN: u32 = 20;
/// A limit of what may be in flight is near from these parts of it on.
const BUSY: (u64, u64) = (4, 5);
/// How much each call counts in the share of those that a hedge was wanted for: about the last 64 decide.
const CALL_SHARE: i64 = 64;
/// One, in the unit of that share.
const WHOLE: i64 = 1_000_000;
/// If more than this part of the last calls would hedge, all targets are slow, not one attempt.
const DUE_MAX: i64 = WHOLE / 10 * 3;
/// Dollars are counted in millionths.
const MICROS: f64 = 1e6;
const MINUTES: usize = 60;

/// Why an attempt was joined by another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Join {
    /// Both were asked at once.
    Race,
    /// It was slower than 95 % of its target's answers.
    Slow,
    /// It was silent for longer than its call can bear.
    Overdue,
    /// Its target was given up meanwhile: its breaker opened, or it was taken out.
    GivenUp,
}
named!(Join { Race = "race", Slow = "slow", Overdue = "overdue", GivenUp = "given_up" });

impl Join {
    /// Returns the reason for people.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Race => "both asked at once",
            Self::Slow => "which is slower than usual",
            Self::Overdue => "which is overdue",
            Self::GivenUp => "whose target was given up",
        }
    }
}

/// Returns when a call asks a second target: as it says itself, as its route says, or as its priority suggests.
pub fn chosen(call: Option<Hedging>, route: Option<Hedging>, priority: Priority) -> Hedging {
    call.or(route).unwrap_or(match priority {
        Priority::Critical | Priority::Interactive => Hedging::Hedge,
        Priority::Default | Priority::Batch => Hedging::Sequential,
    })
}

/// Returns what is left of it under load: a busy target gets no second requests that are not needed.
pub const fn under_load(hedging: Hedging) -> Hedging {
    match hedging {
        Hedging::Race => Hedging::Hedge,
        Hedging::Hedge | Hedging::Sequential => Hedging::Sequential,
    }
}

/// Tells whether little is left of a limit of what may be in flight.
pub fn is_busy(in_flight: impl Into<u64>, in_flight_max: impl Into<u64>) -> bool {
    in_flight.into().saturating_mul(BUSY.1) > in_flight_max.into().saturating_mul(BUSY.0)
}

/// Returns the age from which an attempt without content may be joined for speed, by its target's recent times.
pub fn after(hedging: Hedging, first: &Latency, prompt_tokens: u32) -> Option<Duration> {
    match hedging {
        Hedging::Race => Some(Duration::ZERO),
        Hedging::Hedge => (first.samples >= SAMPLES_MIN).then(|| Latency::at(first.p95, prompt_tokens).max(AFTER_MIN)),
        Hedging::Sequential => None,
    }
}

/// Returns the age from which an attempt at a target may be joined for speed, as the target is now.
pub fn slow_after(hedging: Hedging, health: &Health, whole: bool, prompt_tokens: u32) -> Option<Duration> {
    let busy = is_busy(health.in_flight, health.in_flight_max);
    let hedging = if busy { under_load(hedging) } else { hedging };
    after(hedging, if whole { &health.reply } else { &health.ttft }, prompt_tokens)
}

/// Tells whether a target may be asked for speed only: it is well, and not busy.
pub fn is_there(health: &Health) -> bool {
    health.breaker == BreakerState::Closed && !is_busy(health.in_flight, health.in_flight_max)
}

/// What an attempt is expected to cost, or did, in millionths of a dollar; `None` where its price is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost(Option<i64>);

impl Cost {
    /// Returns this amount of dollars.
    #[expect(clippy::cast_possible_truncation, reason = "what does not fit counts as the most")]
    pub fn of(dollars: Option<f64>) -> Self {
        Self(dollars.map(|dollars| (dollars * MICROS).round() as i64))
    }

    /// Returns what an answer of this many tokens would cost.
    pub fn expected(price: Option<&Price>, input: u32, output: u32) -> Self {
        let usage = Usage { input: input.into(), output: output.into(), ..Usage::default() };
        Self::of(price.map(|price| price.cost_usd(&usage)))
    }

    fn micros(self) -> i64 {
        self.0.unwrap_or(0)
    }
}

/// The cost of attempts in one minute, and of the hedges among them.
#[derive(Debug, Default)]
struct Minute {
    /// The minute's number, counted from 1.
    number: AtomicU64,
    attempts: AtomicI64,
    spent: AtomicI64,
    hedges: AtomicI64,
    hedged: AtomicI64,
}

/// The hedges of a runtime over the last hour.
#[derive(Debug)]
pub struct Hedges {
    began: OnceLock<Instant>,
    minutes: [Minute; MINUTES],
    /// The part of the last calls in which a hedge became due.
    due: AtomicI64,
}

impl Default for Hedges {
    fn default() -> Self {
        let minutes = std::array::from_fn(|_| Minute::default());
        Self { began: OnceLock::new(), minutes, due: AtomicI64::new(0) }
    }
}

impl Hedges {
    /// Counts an attempt that ended: one that was no hedge makes room for some; for one that was a hedge, its real cost
    /// replaces the expected one.
    pub fn ended(&self, hedge: Option<Cost>, cost: Cost, now: Instant) {
        let minute = self.minute(now);
        match hedge {
            None => {
                minute.attempts.fetch_add(1, Relaxed);
                minute.spent.fetch_add(cost.micros(), Relaxed);
            }
            Some(expected) => {
                minute.hedged.fetch_add(cost.micros() - expected.micros(), Relaxed);
            }
        }
    }

    /// Notes that an attempt starts which might be joined for speed.
    pub fn begun(&self) {
        let _ = self.due.fetch_update(Relaxed, Relaxed, |due| Some(due - due / CALL_SHARE));
    }

    /// Notes that an attempt has reached the age at which it would be joined; tells whether that is rare enough to mean
    /// something.
    pub fn is_straggler(&self) -> bool {
        let add = |due: i64| Some((due + WHOLE / CALL_SHARE).min(WHOLE));
        let before = self.due.fetch_update(Relaxed, Relaxed, add).unwrap_or(WHOLE);
        before <= DUE_MAX
    }

    /// Takes permission for a hedge that is expected to cost this much, if all hedges of the last hour then stay within
    /// a share of all other attempts, in number and in dollars, rounded up to a whole hedge.
    #[must_use]
    pub fn take(&self, share_max: f64, cost: Cost, now: Instant) -> bool {
        if share_max <= 0.0 {
            return false;
        }
        // Counted first, so that several at once see each other.
        let minute = self.minute(now);
        minute.hedges.fetch_add(1, Relaxed);
        minute.hedged.fetch_add(cost.micros(), Relaxed);
        let [attempts, spent, hedges, cost_of_hedges] = self.hour(now);
        let before = (cost_of_hedges - cost.micros()) as f64;
        let fits = (hedges - 1) as f64 <= share_max * attempts as f64 && before <= share_max * spent as f64;
        if !fits {
            self.give_back(cost, now);
        }
        fits
    }

    /// Returns what [`Self::take`] took, since the target refused.
    pub fn give_back(&self, cost: Cost, now: Instant) {
        let minute = self.minute(now);
        minute.hedges.fetch_sub(1, Relaxed);
        minute.hedged.fetch_sub(cost.micros(), Relaxed);
    }

    /// Returns attempts that were no hedges, what they cost, hedges, and what those cost.
    fn hour(&self, now: Instant) -> [i64; 4] {
        let latest = self.number(now);
        let recent = self.minutes.iter().filter(|minute| minute.number.load(Relaxed) + MINUTES as u64 > latest);
        recent.fold([0; 4], |[attempts, spent, hedges, hedged], minute| {
            let read = |count: &AtomicI64| count.load(Relaxed);
            [
                attempts + read(&minute.attempts),
                spent + read(&minute.spent),
                hedges + read(&minute.hedges),
                hedged + read(&minute.hedged),
            ]
        })
    }

    fn number(&self, now: Instant) -> u64 {
        now.saturating_duration_since(*self.began.get_or_init(|| now)).as_secs() / 60 + 1
    }

    /// Returns this minute, empty if it has just begun.
    fn minute(&self, now: Instant) -> &Minute {
        let number = self.number(now);
        let place = usize::try_from(number % MINUTES as u64).unwrap_or(0);
        let minute = &self.minutes[place];
        let known = minute.number.load(Relaxed);
        if known < number && minute.number.compare_exchange(known, number, Relaxed, Relaxed).is_ok() {
            for count in [&minute.attempts, &minute.spent, &minute.hedges, &minute.hedged] {
                count.store(0, Relaxed);
            }
        }
        minute
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;
    const CENT: Cost = Cost(Some(10_000));
    const UNKNOWN: Cost = Cost(None);

    #[test]
    fn critical_and_interactive_calls_hedge_unless_configured_otherwise() {
        let all = [Priority::Batch, Priority::Default, Priority::Interactive, Priority::Critical];
        let by = |call, route| all.map(|priority| chosen(call, route, priority).name());
        assert_eq!(by(None, None), ["sequential", "sequential", "hedge", "hedge"]);
        assert_eq!(by(None, Some(Hedging::Race)), ["race"; 4]);
        assert_eq!(by(Some(Hedging::Sequential), Some(Hedging::Race)), ["sequential"; 4]);
    }

    #[test]
    fn near_a_limit_in_flight_a_race_is_a_hedge_and_a_hedge_waits_until_it_is_overdue() {
        assert!(!is_busy(80_u64, 100_u64) && is_busy(81_u64, 100_u64) && is_busy(1_u32, 1_u32));
        assert_eq!(
            Hedging::ALL.iter().copied().map(under_load).collect::<Vec<_>>(),
            [Hedging::Sequential, Hedging::Sequential, Hedging::Hedge]
        );
    }

    #[test]
    fn a_hedge_starts_at_the_95th_percentile_of_twenty_samples_and_not_before_a_tenth_of_a_second() {
        let of = |p50, samples| Latency { samples, ..Latency::around(MS(p50)) };
        assert_eq!(after(Hedging::Hedge, &of(1_000, 19), 0), None);
        let after = |hedging, p50, tokens| after(hedging, &of(p50, 20), tokens).map(|after| after.as_millis());
        assert_eq!(after(Hedging::Hedge, 1_000, 0), Some(2_682));
        assert_eq!(after(Hedging::Hedge, 1_000, 20_000), Some(5_365), "a long prompt takes longer");
        assert_eq!(after(Hedging::Hedge, 10, 0), Some(100));
        assert_eq!((after(Hedging::Race, 1_000, 0), after(Hedging::Sequential, 1_000, 0)), (Some(0), None));
    }

    #[test]
    fn hedges_stay_within_their_share_of_an_hour_in_number_and_in_dollars() {
        for (cost, expected) in [(CENT, 51), (UNKNOWN, 51), (Cost(Some(100_000)), 6), (Cost(Some(1_000)), 51)] {
            let (hedges, mut now) = (Hedges::default(), Instant::now());
            assert!(!hedges.take(0.0, cost, now), "none at all");
            let mut taken = 0;
            for _ in 0..1_000 {
                let price = if cost == UNKNOWN { UNKNOWN } else { CENT };
                hedges.ended(None, price, now);
                taken += i32::from(hedges.take(0.05, cost, now));
                now += MS(3_000);
            }
            assert!((expected - 1..=expected).contains(&taken), "{taken} of {cost:?}");
        }
    }

    #[test]
    fn an_hour_that_is_over_pays_for_no_hedge_and_counts_none() {
        let (hedges, now) = (Hedges::default(), Instant::now());
        (0..100).for_each(|_| hedges.ended(None, CENT, now));
        assert_eq!((0..100).filter(|_| hedges.take(0.05, CENT, now)).count(), 6);
        let later = now + Duration::from_secs(59 * 60);
        assert!(!hedges.take(0.05, CENT, later), "within the hour");
        let later = later + Duration::from_secs(61);
        assert!(hedges.take(0.05, CENT, later), "the first of another");
        assert!(!hedges.take(0.05, CENT, later), "of which nothing is known yet");
    }

    #[test]
    fn what_a_hedge_was_taken_to_cost_gives_way_to_what_it_did() {
        let (hedges, now) = (Hedges::default(), Instant::now());
        (0..100).for_each(|_| hedges.ended(None, CENT, now));
        let take = |cost| hedges.take(0.05, cost, now);
        let dime = Cost(Some(100_000));
        assert!(take(dime) && !take(dime), "a dime is more than 5 % of a dollar");
        hedges.ended(Some(dime), CENT, now);
        assert!(take(dime), "it was a cent");
        hedges.give_back(dime, now);
        assert!(take(dime), "it was refused");
    }

    #[test]
    fn where_many_calls_would_hedge_none_does() {
        let hedges = Hedges::default();
        let call = |slow: bool| {
            hedges.begun();
            slow && hedges.is_straggler()
        };
        (0..1_000).for_each(|i| assert_eq!(call(i % 20 == 0), i % 20 == 0, "one in twenty"));
        assert!((0..40).filter(|_| call(true)).count() < 25, "all are slow");
        assert!(!call(true));
        (0..200).for_each(|_| assert!(!call(false)));
        assert!(call(true), "well again");
    }
}

//! What a key has left of its limits at a target: what its provider said last, less what was admitted since; or, if the
//! provider says nothing, what its refusals have taught.
//!
//! Input: what answers say, what is admitted, what it took in the end, and refusals. Output: a share, which orders
//! keys, and whether there is room for one more request. The headers of an answer were true when its request arrived,
//! so every request admitted after that counts against them: one reading does not send all calls to one key.
//!
//! ```text
//!   limit ├──────────────── may be taken at once ────────────────┤ a tenth is kept back ┤
//!                                                                 └─ refills as it was seen to, is whole at its reset
//! ```
//!
//! The last tenth of a limit is kept back: for what estimates miss, what other processes take, and for one request in
//! ten seconds that sees how things are. No provider says how fast a limit refills (some refill all the time, some at
//! the end of a minute): the rate is measured between two readings, and taken as 0 before. A reading is believed for
//! the time that its limit is of, a minute at most, and paces only once the gauge was seen to move: providers lie.
//! Limits of a minute and of less, as of a second, are kept beside each other.

use std::time::{Duration, Instant};

use crate::words::{Gauge, Limits, MINUTE, NamedLimit};

mod learnt;

use learnt::LearntLimit;

/// The part of a limit that is kept back.
const RESERVE: u64 = 10;
/// The same as a share.
pub const KEPT_BACK: f64 = 1.0 / RESERVE as f64;
/// How often a gauge must have fallen before it is believed to be one.
const FALLS_MIN: u8 = 3;
/// How long a measured refill counts, in seconds.
const REFILL_SPAN: f64 = 10.0;
/// The reserve is for one request after such a pause.
const LOOK_AFTER: Duration = Duration::from_secs(10);

/// What a key has left at a target.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Headroom {
    /// What was told: of requests and of tokens, of a minute and then of less.
    told: [Option<LimitReading>; 4],
    used: AdmittedTotals,
    last: Option<Instant>,
    /// Limits learnt from refusals, of requests and of tokens.
    taught: [LearntLimit; 2],
}

/// The index of requests in `taught`; in `told` they alternate.
const REQUESTS: usize = 0;
const TOKENS: usize = 1;
/// How many kinds there are.
const KINDS: usize = 2;

/// The sums of all admissions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AdmittedTotals {
    /// Requests.
    pub requests: u64,
    /// Tokens that they were expected to take, or have taken.
    pub tokens: u64,
}

impl AdmittedTotals {
    fn of(self, kind: usize) -> u64 {
        if kind.is_multiple_of(KINDS) { self.requests } else { self.tokens }
    }
}

/// Whether there is room for one more.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Room {
    /// For how many requests; `None` is unknown.
    pub requests: Option<u32>,
    /// Until when there is no room for the one that was asked for.
    pub until: Option<Instant>,
}

/// A provider's last reading of one limit.
#[derive(Clone, Copy, Debug, PartialEq)]
struct LimitReading {
    gauge: Gauge,
    /// What had been admitted when the request arrived that it answers.
    used: u64,
    at: Instant,
    fades: Instant,
    /// How much comes back in a second, as far as it was measured.
    refill: f64,
    /// How often the reading fell.
    falls: u8,
}

impl LimitReading {
    /// Returns the reading after one more answer.
    fn next(before: Option<Self>, gauge: Gauge, used: u64, now: Instant) -> Self {
        let fades = now + gauge.reset.map_or(gauge.window, |reset| reset.min(gauge.window));
        let is_same = |one: &Gauge| (one.limit, one.window) == (gauge.limit, gauge.window);
        let Some(before) = before.filter(|before| is_same(&before.gauge)) else {
            // Of one request at a time nothing is ever left to be told.
            let falls = if gauge.limit == 1 && gauge.window < MINUTE { FALLS_MIN } else { 0 };
            return Self { gauge, used, at: now, fades, refill: 0.0, falls };
        };
        let falls = before.falls.saturating_add(u8::from(gauge.remaining < before.gauge.remaining));
        let span = now.saturating_duration_since(before.at).as_secs_f64();
        let limit = gauge.limit as f64;
        let came = gauge.remaining as f64 + used as f64 - before.gauge.remaining as f64 - before.used as f64;
        // If all of it came back at once it is a new window, and a full limit cannot grow.
        let says = before.fades > now && came < limit / 2.0 && gauge.remaining < gauge.limit - gauge.limit / RESERVE;
        let refill = if says {
            let measured = (before.refill * REFILL_SPAN + came) / (REFILL_SPAN + span);
            measured.clamp(0.0, limit / gauge.window.as_secs_f64())
        } else {
            before.refill
        };
        // Answers overtake each other: an older reading says only how fast the limit refills.
        Self { gauge, used, at: now, fades, refill, falls }
    }

    /// Returns what is left, if that is still known.
    fn level(&self, used: u64, now: Instant) -> Option<f64> {
        let came = self.refill * now.saturating_duration_since(self.at).as_secs_f64();
        let level = (self.gauge.remaining as f64 + came).min(self.gauge.limit as f64);
        (self.fades > now).then(|| (level - used.saturating_sub(self.used) as f64).max(0.0))
    }

    /// Makes it full again once its time is over, if it paces: nothing better is known before the next answer.
    fn roll(&mut self, used: u64, now: Instant) {
        if self.fades <= now && self.falls >= FALLS_MIN {
            self.gauge.remaining = self.gauge.limit;
            (self.used, self.at, self.fades) = (used, now, now + self.gauge.window);
        }
    }

    /// Returns what may be taken beside the reserve, and until when there is less than some amount.
    fn room(&self, used: u64, amount: u64, now: Instant) -> Option<(f64, Option<Instant>)> {
        let level = self.level(used, now).filter(|_| self.falls >= FALLS_MIN)?;
        let reserve = (self.gauge.limit / RESERVE) as f64;
        // A request that is larger than all that may be taken is let through when the limit is full.
        let need = (amount as f64 + reserve).min(self.gauge.limit as f64 - reserve);
        let until = (level < need).then(|| {
            let refilled = Duration::try_from_secs_f64((need - level) / self.refill);
            refilled.ok().and_then(|wait| now.checked_add(wait)).map_or(self.fades, |at| self.fades.min(at))
        });
        Some(((level - reserve).max(0.0), until))
    }
}

impl Headroom {
    /// Counts an attempt that is admitted; returns what was admitted so far, this one included.
    pub fn admit(&mut self, tokens: u64, now: Instant) -> AdmittedTotals {
        for (kind, reading) in self.told.iter_mut().enumerate() {
            if let Some(reading) = reading {
                reading.roll(self.used.of(kind), now);
            }
        }
        self.taught[REQUESTS].admit(1, now);
        self.taught[TOKENS].admit(tokens, now);
        self.used.requests += 1;
        self.used.tokens = self.used.tokens.saturating_add(tokens);
        self.last = Some(now);
        self.used
    }

    /// Puts what an attempt took in the place of what it was expected to.
    pub fn settle(&mut self, expected: u64, taken: u64) {
        self.used.tokens = self.used.tokens.saturating_sub(expected).saturating_add(taken);
        self.taught[TOKENS].settle(expected, taken);
    }

    /// Notes what an answer said of the limits, and what had been admitted when its request was sent.
    pub fn read(&mut self, limits: Limits, used: AdmittedTotals, now: Instant) {
        let Limits { requests, tokens, requests_short, tokens_short } = limits;
        for (kind, gauge) in [requests, tokens, requests_short, tokens_short].into_iter().enumerate() {
            let before = self.told[kind];
            self.told[kind] = gauge.map(|gauge| LimitReading::next(before, gauge, used.of(kind), now)).or(before);
        }
    }

    /// Notes that the provider's limit refused a request that was expected to take this many tokens. If no header tells
    /// that limit, it is learnt from what was let in, for the kind that the refusal names or else for requests.
    pub fn refused(&mut self, named: Option<NamedLimit>, tokens: u64, back: Option<Instant>, now: Instant) {
        self.taught[REQUESTS].let_in_less(1);
        self.taught[TOKENS].let_in_less(tokens);
        let told = self.told.map(|reading| reading.is_some_and(|reading| reading.fades > now));
        let of = usize::from(named.is_some_and(|named| named.tokens));
        let limit = named.and_then(|named| Some((named.limit?, named.window)));
        let is_told = match limit {
            Some((_, window)) => told[if window < MINUTE { of + KINDS } else { of }],
            None if named.is_some() => told[of] || told[of + KINDS],
            None => told.contains(&true),
        };
        if !is_told && (limit.is_some() || self.taught[REQUESTS].may_teach()) {
            self.taught[of].refused(limit, [1, tokens][of], back, now);
        }
    }

    /// Returns the part that is left of the scarcest limit, 0 to 1, as far as that is known.
    pub fn share(&self, now: Instant) -> Option<f64> {
        let told = self.told.iter().enumerate().filter_map(|(kind, reading)| Some((kind, (*reading)?)));
        let share = |(kind, reading): (usize, LimitReading)| {
            Some(reading.level(self.used.of(kind), now)? / reading.gauge.limit.max(1) as f64)
        };
        told.filter_map(share).reduce(f64::min)
    }

    /// Tells whether a limit is known, told or learnt.
    pub fn is_known(&self, now: Instant) -> bool {
        self.share(now).is_some() || self.taught.iter().any(|taught| taught.learnt(now).is_some())
    }

    /// Returns whether there is room for one more request of this many tokens.
    pub fn room(&self, tokens: u64, now: Instant) -> Room {
        let amounts = [1, tokens];
        let told = self.told.iter().enumerate().filter_map(|(kind, reading)| {
            let (left, until) = (*reading)?.room(self.used.of(kind), amounts[kind % KINDS], now)?;
            Some((left / amounts[kind % KINDS].max(1) as f64, until))
        });
        let learnt = self.taught.iter().zip(amounts).filter_map(|(taught, amount)| {
            let (left, until) = taught.learnt(now)?.room(amount as f64, now);
            Some((left / amount.max(1) as f64, until))
        });
        let told = told.chain(learnt);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count, not below 0")]
        let requests = told.clone().map(|(left, _)| left as u32).min();
        let until = told.filter_map(|(_, until)| until).max();
        // Now and then one request goes at the cost of the reserve, to read the limits.
        let looks = self.last.map(|last| last + LOOK_AFTER).filter(|_| self.has_reserve(tokens, now));
        let until = until.map(|until| looks.map_or(until, |at| until.min(at))).filter(|&until| until > now);
        Room { requests: if until.is_some() { Some(0) } else { requests.map(|requests| requests.max(1)) }, until }
    }

    /// Tells whether the limits, their reserves included, have room for one more.
    fn has_reserve(&self, tokens: u64, now: Instant) -> bool {
        let has = |(kind, reading): (usize, &Option<LimitReading>)| {
            let level = reading.and_then(|reading| reading.level(self.used.of(kind), now));
            level.is_none_or(|level| level >= [1, tokens][kind % KINDS] as f64)
        };
        self.taught.iter().all(|taught| taught.learnt(now).is_none()) && self.told.iter().enumerate().all(has)
    }
}

persist!(struct Headroom { told, used, last, taught });
persist!(struct AdmittedTotals as Used { requests, tokens });
persist!(struct LimitReading as Reading { gauge, used, at, fades, refill, falls });

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[expect(clippy::unnecessary_wraps, reason = "what limits hold")]
    fn gauge(remaining: u64, limit: u64, reset: Option<Duration>) -> Option<Gauge> {
        Some(Gauge { reset, ..Gauge::new(limit, remaining) })
    }

    fn requests(remaining: u64, limit: u64, reset: Option<Duration>) -> Limits {
        Limits { requests: gauge(remaining, limit, reset), ..Limits::default() }
    }

    #[test]
    fn nothing_is_known_before_the_first_reading() {
        let mut headroom = Headroom::default();
        headroom.admit(9, Instant::now());
        assert_eq!(headroom.share(Instant::now()), None);
    }

    #[test]
    fn the_limit_of_which_least_is_left_decides() {
        let now = Instant::now();
        let mut headroom = Headroom::default();
        let (requests_left, tokens) = (gauge(90, 100, None), gauge(200, 1_000, None));
        let limits = Limits { requests: requests_left, tokens, ..Limits::default() };
        headroom.read(limits, AdmittedTotals::default(), now);
        assert_eq!(headroom.share(now), Some(0.2));
        headroom.read(requests(10, 100, None), AdmittedTotals::default(), now);
        assert_eq!(headroom.share(now), Some(0.1), "what was not said again stands");
    }

    #[test]
    fn calls_admitted_after_the_request_of_a_reading_count_against_it() {
        let now = Instant::now();
        let mut headroom = Headroom::default();
        let asked = headroom.admit(100, now);
        for _ in 0..4 {
            headroom.admit(100, now);
        }
        let limits = Limits { tokens: gauge(900, 1_000, None), ..requests(9, 10, None) };
        headroom.read(limits, asked, now);
        assert_eq!(headroom.share(now), Some(0.5));
        for _ in 0..9 {
            headroom.admit(0, now);
        }
        assert_eq!(headroom.share(now), Some(0.0), "and never below nothing");
    }

    #[test]
    fn a_reading_fades_at_its_reset_and_after_a_minute_at_the_latest() {
        for (reset, seconds) in [(None, 60), (Some(7 * SECOND), 7), (Some(3_600 * SECOND), 60)] {
            let now = Instant::now();
            let mut headroom = Headroom::default();
            headroom.read(requests(0, 10, reset), AdmittedTotals::default(), now);
            let just_before = now + (seconds - 1) * SECOND + 999 * SECOND / 1_000;
            assert_eq!(headroom.share(just_before), Some(0.0), "{reset:?}");
            assert_eq!(headroom.share(now + seconds * SECOND), None, "{reset:?}");
        }
    }

    #[test]
    fn a_restored_count_that_is_older_than_a_reading_takes_nothing_off() {
        let now = Instant::now();
        let mut headroom = Headroom::default();
        headroom.read(requests(5, 10, None), AdmittedTotals { requests: 1_000, tokens: 0 }, now);
        headroom.admit(0, now);
        assert_eq!(headroom.share(now), Some(0.5));
    }

    /// A headroom that has read this often that a limit of 100 requests fell, down to this much.
    fn fallen(left: u64, now: Instant) -> Headroom {
        let mut headroom = Headroom::default();
        for remaining in [left + 30, left + 20, left + 10, left] {
            headroom.read(requests(remaining, 100, Some(50 * SECOND)), headroom.used, now);
        }
        headroom
    }

    #[test]
    fn the_last_tenth_of_a_limit_is_kept_back_and_what_comes_back_is_measured() {
        let now = Instant::now();
        let mut headroom = fallen(13, now);
        for left in [3, 2, 1] {
            assert_eq!(headroom.room(0, now), Room { requests: Some(left), until: None });
            headroom.admit(0, now);
        }
        let look = Some(now + LOOK_AFTER);
        assert_eq!(headroom.room(0, now), Room { requests: Some(0), until: look }, "what is kept back is for a look");
        assert_eq!(headroom.room(0, now + LOOK_AFTER).until, None);
        // Two requests come back in a second, as two readings say.
        for second in 1..=20 {
            let left = 12 + u64::from(second) * 2;
            headroom.read(requests(left, 100, Some(50 * SECOND)), headroom.used, now + second * SECOND);
        }
        let at = now + 20 * SECOND;
        for _ in 0..42 {
            headroom.admit(0, at);
        }
        let until = headroom.room(0, at).until.expect("nothing is left but the reserve");
        assert!((at + SECOND / 2..at + 2 * SECOND).contains(&until), "{:?}", until - at);
        assert_eq!(headroom.room(0, now + 70 * SECOND).until, None, "whole at its reset");
    }

    #[test]
    fn a_gauge_that_was_not_seen_to_fall_paces_no_call() {
        let now = Instant::now();
        let mut headroom = Headroom::default();
        for _ in 0..50 {
            let stamp = headroom.admit(0, now);
            headroom.read(requests(0, 100, None), stamp, now);
        }
        assert_eq!(headroom.room(0, now), Room { requests: None, until: None });
        assert_eq!(headroom.share(now), Some(0.0), "as advice it counts");
        let mut honest = fallen(0, now);
        assert!(honest.room(0, now).until.is_some());
        assert_eq!(honest.room(0, now + MINUTE).until, None, "and for a minute at most");
        honest.read(requests(5, 1_000, None), honest.used, now);
        assert_eq!(honest.room(0, now).until, None, "another limit has to be seen anew");
    }

    #[test]
    fn a_request_larger_than_the_usable_limit_goes_when_the_limit_is_full() {
        let now = Instant::now();
        let mut headroom = Headroom::default();
        for remaining in [930, 920, 910, 900] {
            let tokens = gauge(remaining, 1_000, None);
            headroom.read(Limits { tokens, ..Limits::default() }, headroom.used, now);
        }
        assert_eq!(headroom.room(5_000, now).until, None);
        headroom.admit(100, now);
        assert!(headroom.room(5_000, now).until.is_some());
        assert_eq!(headroom.room(700, now), Room { requests: Some(1), until: None });
        headroom.settle(100, 0);
        assert_eq!(headroom.room(5_000, now).until, None, "it took nothing in the end");
    }

    #[test]
    fn a_burst_of_refusals_is_one_cut_of_what_was_learnt() {
        let start = Instant::now();
        let mut headroom = Headroom::default();
        for n in 0..2_000 {
            headroom.admit(0, start + SECOND * 60 * n / 2_000);
        }
        let end = start + SECOND * 61;
        headroom.admit(0, end);
        for _ in 0..1_500 {
            headroom.refused(None, 0, None, end);
        }
        let until = headroom.room(0, end).until.expect("it is used up");
        assert!(until < end + SECOND, "{:?}", until - end);
        // Nor does a limit that is cut again and again end in times that no clock has.
        for n in 0..3_000 {
            headroom.refused(None, 0, None, end + SECOND * n);
        }
        assert!(headroom.room(0, end + SECOND * 3_000).until.is_some_and(|at| at <= end + SECOND * 3_600));
    }

    #[test]
    fn refusals_teach_a_limit_where_many_were_let_in_before() {
        let start = Instant::now();
        let mut headroom = Headroom::default();
        headroom.admit(0, start);
        headroom.refused(None, 0, None, start);
        assert_eq!(headroom.room(0, start).until, None, "one says more of others");
        // One request in half a second is let in, for a minute.
        let at = |n: u32| start + n * SECOND / 2;
        for n in 1..=120 {
            headroom.admit(0, at(n));
        }
        headroom.admit(0, at(120));
        headroom.refused(None, 0, None, at(120));
        let until = headroom.room(0, at(120)).until.expect("it is used up");
        assert!((at(121)..at(122)).contains(&until), "{:?}", until - at(120));
        assert_eq!(headroom.room(0, at(160)), Room { requests: Some(11), until: None }, "a tenth of it at once");
        assert_eq!(headroom.room(0, at(120) + learnt::LEARN_FORGET).requests, None);
        // Headers are better than a guess.
        let mut told = headroom;
        told.taught = [LearntLimit::default(); 2];
        told.read(requests(50, 100, None), told.used, at(120));
        told.refused(None, 0, None, at(120));
        assert_eq!(told.room(0, at(120)).until, None);
    }

    /// A provider that lets in this many tokens a minute, all the time, and tells its limit in its refusals at most. It
    /// is asked as fast as there is room; each request expects this many tokens and takes half of them in the end.
    /// Returns what it let in and refused from the second minute on.
    fn plays(limit: f64, named: NamedLimit, tokens: u64) -> (u64, u64) {
        let start = Instant::now();
        let (mut headroom, mut level) = (Headroom::default(), limit / 10.0);
        let (mut let_in, mut refused) = (0, 0);
        for tick in 0..600_u32 * 5 {
            let now = start + tick * SECOND / 10;
            level = (level + limit / 600.0).min(limit / 10.0);
            while headroom.room(tokens, now).until.is_none() {
                headroom.admit(tokens, now);
                let counts = tick > 600;
                if level < (tokens / 2) as f64 {
                    headroom.refused(Some(named), tokens, None, now);
                    refused += u64::from(counts);
                    break;
                }
                level -= (tokens / 2) as f64;
                headroom.settle(tokens, tokens / 2);
                let_in += u64::from(counts);
            }
        }
        (let_in, refused)
    }

    #[test]
    fn a_limit_of_tokens_is_learnt_from_refusals_that_name_it_or_say_that_it_is_one() {
        for (limit, told) in [(60_000.0, Some(60_000)), (60_000.0, None), (600_000.0, Some(600_000))] {
            let (let_in, refused) = plays(limit, NamedLimit { tokens: true, limit: told, window: MINUTE }, 1_000);
            let used = let_in as f64 * 500.0 / (limit * 4.0);
            assert!(refused * 50 <= let_in, "{told:?}: {refused} refused, {let_in} let in");
            assert!(used >= 0.85, "{told:?}: {used:.2} used");
        }
    }

    #[test]
    fn a_refusal_that_says_when_to_come_back_is_believed_whatever_limit_it_names() {
        let now = Instant::now();
        for (tokens, limit) in [(false, 3), (false, 600), (true, 3_000)] {
            let mut headroom = Headroom::default();
            headroom.refused(
                Some(NamedLimit { tokens, limit: Some(limit), window: MINUTE }),
                300,
                Some(now + SECOND),
                now,
            );
            assert_eq!(headroom.room(300, now + SECOND + SECOND / 1_000).until, None, "{limit}");
        }
    }

    #[test]
    fn a_request_that_is_larger_than_a_burst_is_let_in_and_paid_for_afterwards() {
        let now = Instant::now();
        let mut headroom = Headroom::default();
        headroom.refused(Some(NamedLimit { tokens: true, limit: Some(6_000), window: MINUTE }), 0, None, now);
        let whole = now + 6 * SECOND;
        assert_eq!(headroom.room(3_000, whole).until, None, "a tenth is there");
        headroom.admit(3_000, whole);
        let until = headroom.room(100, whole).until.expect("it is used up");
        assert!((24 * SECOND..26 * SECOND).contains(&(until - whole)), "{:?}", until - whole);
    }

    /// Asks a provider that lets in so many within a window, for twenty windows, as fast as there is room, and after a
    /// refusal in the next window: it tells what is left, or names its limit when it refuses. Returns what it let in
    /// and refused.
    fn asks(limit: u64, window: Duration, tells: bool) -> (u64, u64) {
        let start = Instant::now();
        let (mut headroom, mut taken, mut since) = (Headroom::default(), 0, start);
        let (mut let_in, mut refused, mut is_held) = (0, 0, false);
        for tick in 0..2_000 {
            let now = start + window * tick / 100;
            if now - since >= window {
                (since, taken, is_held) = (now, 0, false);
            }
            while !is_held && headroom.room(0, now).until.is_none() {
                let used = headroom.admit(0, now);
                taken += 1;
                if tells {
                    let gauge = Gauge { window, ..Gauge::new(limit, limit.saturating_sub(taken)) };
                    headroom.read(Limits { requests_short: Some(gauge), ..Limits::default() }, used, now);
                }
                if taken <= limit {
                    let_in += 1;
                    continue;
                }
                (refused, is_held) = (refused + 1, true);
                let named = NamedLimit { tokens: false, limit: Some(limit), window };
                headroom.refused(Some(named).filter(|_| !tells), 0, None, now);
            }
        }
        (let_in, refused)
    }

    #[test]
    fn a_limit_is_paced_by_the_time_that_it_is_of() {
        for (limit, seconds) in [(1, 1), (2, 1), (5, 1), (50, 1), (20, 10)] {
            for tells in [true, false] {
                let (let_in, refused) = asks(limit, SECOND * seconds, tells);
                let case = format!("{limit} in {seconds} s, {tells}: {let_in} let in, {refused} refused");
                assert!(refused <= 8, "{case}");
                assert!(let_in >= 20 * limit * 6 / 10, "{case}");
            }
        }
    }

    #[test]
    fn limits_of_a_minute_and_of_a_second_are_kept_beside_each_other() {
        let now = Instant::now();
        let mut headroom = Headroom::default();
        for left in (0..5).rev() {
            let short = Gauge { window: SECOND, ..Gauge::new(5, left) };
            let used = headroom.admit(0, now);
            headroom.read(Limits { requests_short: Some(short), ..requests(90 + left, 100, None) }, used, now);
        }
        let until = headroom.room(0, now).until.map(|until| until - now);
        assert_eq!(until, Some(SECOND), "the second's is used up");
        assert_eq!(headroom.share(now + SECOND), Some(0.9), "the minute's is still known");
    }

    proptest! {
        #[test]
        fn a_share_is_between_0_and_1(
            limits in any::<[u64; 4]>(),
            used in any::<[u64; 2]>(),
            reset in any::<Option<u64>>(),
        ) {
            let now = Instant::now();
            let reset = reset.map(Duration::from_secs);
            let [a, b, c, d] = limits;
            let mut headroom = Headroom::default();
            let (requests, tokens) = (gauge(a.min(b), b, reset), gauge(c.min(d), d, reset));
            let limits = Limits { requests, tokens, ..Limits::default() };
            headroom.read(limits, AdmittedTotals { requests: used[0], tokens: used[1] }, now);
            headroom.admit(u64::MAX, now);
            prop_assert!(headroom.share(now).is_none_or(|share| (0.0..=1.0).contains(&share)));
        }
    }

    /// Reads what is left of 600 requests a minute, some seconds after a reading that left 300.
    fn refilled(after: u32, left: u64) -> (Headroom, Instant) {
        let (start, mut headroom) = (Instant::now(), Headroom::default());
        headroom.read(requests(300, 600, None), AdmittedTotals::default(), start);
        let now = start + SECOND * after;
        headroom.read(requests(left, 600, None), AdmittedTotals::default(), now);
        (headroom, now)
    }

    #[test]
    fn a_refill_is_measured_between_two_readings_of_one_minute() {
        let left = |(headroom, now): (Headroom, Instant)| {
            let share = headroom.share(now + SECOND * 10).expect("it is known");
            (share * 600.0 * 1e6).round() / 1e6
        };
        assert_eq!(left(refilled(10, 320)), 330.0, "20 came in 10 s, and are believed half");
        assert_eq!(left(refilled(61, 320)), 320.0, "of another minute");
        assert_eq!(left(refilled(10, 600)), 600.0, "all of it at once is a new minute");
        assert_eq!(left(refilled(10, 590)), 590.0, "a limit that is nearly full cannot grow");
    }

    #[test]
    fn what_was_refused_is_not_among_those_that_were_let_in() {
        for (others, limit) in [(19, None), (20, Some(20.0))] {
            let (start, mut headroom) = (Instant::now(), Headroom::default());
            let at = |n: u32| start + SECOND * 29 * n / 10;
            for n in 0..=others {
                headroom.admit(0, at(n));
            }
            headroom.refused(None, 0, None, at(others));
            assert_eq!(headroom.taught[REQUESTS].limit(), limit, "{others}");
        }
    }

    #[test]
    fn what_comes_until_a_refused_one_may_come_back_is_not_there_yet() {
        let now = Instant::now();
        let until = |back: Option<Duration>| {
            let mut headroom = Headroom::default();
            headroom.admit(0, now);
            let named = Some(NamedLimit { tokens: false, limit: Some(600), window: MINUTE });
            headroom.refused(named, 0, back.map(|back| now + back), now);
            headroom.room(0, now).until.map(|until| until - now)
        };
        assert_eq!(until(None), Some(SECOND / 10), "ten come in a second");
        assert_eq!(until(Some(SECOND)), Some(SECOND / 10));
        assert_eq!(until(Some(SECOND / 20)), Some(SECOND / 20));
    }
}

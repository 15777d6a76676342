//! How many attempts a target can take at once, as far as it has shown.
//!
//! ```text
//!   all that are allowed ──overload──▶ .7 of what was in flight ──used, and has content──▶ one more, and one more
//!            ▲                          │            ▲        │
//!            └──── 10 min without ──────┘            └────────┘ overload of an attempt admitted since the last cut
//! ```
//!
//! Input: admissions, first contents and overloads. Output: the most that may be in flight. Each admitted attempt gets
//! a stamp. An overload begins a new generation, and one of an attempt of the old generation changes nothing: so a
//! burst of refusals is one cut. No cut goes below what was in flight of this generation beside an attempt that had
//! content. An overload that came beside fewer than that is not about how many fit, and cuts nothing. What is sent in
//! the moment after it may be refused for the same reason: whoever has read an answer's end is ahead of its server,
//! which counts that answer still.
//!
//! The limit grows as long as at least half of it is used. One cut may be an outage of seconds that ended: so it grows
//! with each first content, twofold in the time of an answer. Where the grown limit is met by an overload again it is a
//! limit: from then on it grows by one for as many contents as it allows, and more slowly each time. Once an attempt
//! has content that began beside as many as were refused, it is one cut again. An attempt that is alone is no crowd:
//! its overload is not caused by us.

use std::time::{Duration, Instant};

/// The part of the attempts in flight that a cut leaves.
const CUT: f64 = 0.7;
/// How long after its last cut a limit is forgotten.
const FORGET: Duration = Duration::from_secs(600);
/// How often a limit can be confirmed: it then grows by one for four times as many contents as it allows.
const FIRM_MAX: u32 = 3;
/// How long the moment after an overload is.
const BURST: Duration = Duration::from_millis(100);
/// The recent past is this long at least, and twice as long at most.
const LATELY: Duration = Duration::from_secs(300);

/// The stamp of an attempt, from the moment of its admission.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    generation: u32,
    /// How many were in flight, itself included.
    in_flight: u32,
}

/// The limit of one target.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Concurrency {
    generation: u32,
    /// The most that were in flight beside an attempt of this generation that had content, itself included.
    worked: u32,
    /// When the last burst of overloads began, and what had worked before it.
    burst: Option<(Instant, u32)>,
    cut: Option<OverloadLimit>,
    /// The same of the recent past, and the most that were admitted in it.
    proven: Peak,
    asked: Peak,
}

/// A limit that overloads have taught.
#[derive(Clone, Copy, Debug, PartialEq)]
struct OverloadLimit {
    at: Instant,
    limit: u32,
    /// How many were in flight when the last one was too many.
    refused: u32,
    /// Whether anything had content since.
    works: bool,
    /// How often such a limit was met again.
    firm: u32,
    /// Contents towards the next place.
    contents: u32,
}

/// The largest number of the recent past.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Peak {
    since: Option<Instant>,
    most: u32,
    /// The largest of the part of the past before that.
    before: u32,
}

impl Peak {
    fn at(self, now: Instant) -> Self {
        let age = self.since.map(|since| now.saturating_duration_since(since));
        match age {
            Some(age) if age < LATELY => self,
            Some(age) if age < LATELY * 2 => Self { since: Some(now), most: 0, before: self.most },
            _ => Self { since: Some(now), most: 0, before: 0 },
        }
    }

    fn note(&mut self, number: u32, now: Instant) {
        *self = self.at(now);
        self.most = self.most.max(number);
    }

    fn get(self, now: Instant) -> u32 {
        let Self { most, before, .. } = self.at(now);
        most.max(before)
    }
}

impl Concurrency {
    /// Admits an attempt beside this many others, and returns its stamp.
    pub fn admit(&mut self, in_flight: u32, now: Instant) -> Stamp {
        let in_flight = in_flight.saturating_add(1);
        self.asked.note(in_flight, now);
        Stamp { generation: self.generation, in_flight }
    }

    /// Returns the most that may be in flight, where this many are allowed.
    pub fn limit(&self, allowed: u32, now: Instant) -> u32 {
        self.cut(now).map_or(allowed, |cut| cut.limit.min(allowed))
    }

    /// Returns how many it has carried at once lately; where nothing had content, how many were let in.
    pub fn lately(&self, now: Instant) -> u32 {
        match self.proven.get(now) {
            0 => self.asked.get(now),
            proven => proven,
        }
    }

    /// Tells whether an attempt has had content that was admitted since the last overload, or before one that is but a
    /// moment old.
    pub fn works(&self, now: Instant) -> bool {
        self.worked(now) > 0
    }

    fn worked(&self, now: Instant) -> u32 {
        let before = self.burst.filter(|(since, _)| now.saturating_duration_since(*since) < BURST);
        before.map_or(0, |(_, worked)| worked).max(self.worked)
    }

    /// Takes in that an attempt was refused because too many were in flight.
    pub fn overloaded(&mut self, stamp: Stamp, now: Instant) {
        if stamp.generation != self.generation || stamp.in_flight < 2 {
            return;
        }
        self.generation = self.generation.wrapping_add(1);
        let worked = self.worked(now);
        self.worked = 0;
        if self.burst.is_none_or(|(since, _)| now.saturating_duration_since(since) >= BURST) {
            self.burst = Some((now, worked));
        }
        if worked >= stamp.in_flight {
            return;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is a part of a u32")]
        let left = ((f64::from(stamp.in_flight) * CUT) as u32).max(worked);
        let before = self.cut(now);
        let limit = before.map_or(left, |cut| cut.limit.min(left)).max(1);
        // Cuts without an answer between them are one outage.
        let (refused, firm) = match before {
            Some(cut) if cut.works => (stamp.in_flight, (cut.firm + 1).min(FIRM_MAX)),
            Some(cut) => (cut.refused.max(stamp.in_flight), cut.firm),
            None => (stamp.in_flight, 0),
        };
        self.cut = Some(OverloadLimit { at: now, limit, refused, works: false, firm, contents: 0 });
    }

    /// Takes in that an attempt had its first content.
    pub fn heard(&mut self, stamp: Stamp, now: Instant) {
        self.proven.note(stamp.in_flight, now);
        if stamp.generation != self.generation {
            return;
        }
        self.worked = self.worked.max(stamp.in_flight);
        self.cut = self.cut(now);
        let Some(cut) = &mut self.cut else { return };
        cut.works = true;
        if stamp.in_flight >= cut.refused {
            cut.firm = 0;
        }
        if stamp.in_flight.saturating_mul(2) < cut.limit {
            return;
        }
        cut.contents += 1;
        if cut.firm == 0 || cut.contents >= cut.limit.saturating_mul(1 << (cut.firm - 1)) {
            (cut.limit, cut.contents) = (cut.limit.saturating_add(1), 0);
        }
    }

    fn cut(&self, now: Instant) -> Option<OverloadLimit> {
        self.cut.filter(|cut| now.saturating_duration_since(cut.at) < FORGET)
    }
}

persist!(struct Concurrency { generation, worked, cut, proven, asked } anew { burst });
persist!(struct OverloadLimit as Cut { at, limit, refused, works, firm, contents });
persist!(struct Peak { since, most, before });

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn an_overload_cuts_to_seven_tenths_of_what_was_in_flight_and_once_a_generation() {
        let (mut it, now) = (Concurrency::default(), Instant::now());
        let burst: Vec<Stamp> = (0..100).map(|in_flight| it.admit(in_flight, now)).collect();
        assert_eq!(it.limit(2_048, now), 2_048);
        burst.iter().skip(60).for_each(|stamp| it.overloaded(*stamp, now));
        assert_eq!(it.limit(2_048, now), 42, "of sixty-one; what the others hear is no news");
        let next = it.admit(41, now);
        for stamp in &burst {
            it.overloaded(*stamp, now);
        }
        it.overloaded(next, now);
        assert_eq!(it.limit(2_048, now), 29);
        assert_eq!(it.limit(8, now), 8, "what the user allows holds");
    }

    /// Attempts that have content, each beside as many others as may be.
    fn full(it: &mut Concurrency, contents: u32, now: Instant) -> u32 {
        for _ in 0..contents {
            let stamp = it.admit(it.limit(99, now) - 1, now);
            it.heard(stamp, now);
        }
        it.limit(99, now)
    }

    fn overload(it: &mut Concurrency, beside: u32, now: Instant) -> u32 {
        let stamp = it.admit(beside, now);
        it.overloaded(stamp, now);
        it.limit(99, now)
    }

    #[test]
    fn what_an_outage_of_seconds_cut_is_back_after_two_answers_of_each_place() {
        let (mut it, now) = (Concurrency::default(), Instant::now());
        assert_eq!(overload(&mut it, 19, now), 14);
        // It goes on, and nothing is answered.
        assert_eq!((overload(&mut it, 13, now), overload(&mut it, 8, now)), (9, 6));
        let beside = |it: &mut Concurrency, others, times| {
            (0..times).for_each(|_| {
                let stamp = it.admit(others, now);
                it.heard(stamp, now);
            });
            it.limit(99, now)
        };
        assert_eq!(beside(&mut it, 1, 100), 6, "it is not used");
        assert_eq!(full(&mut it, 6, now), 12);
        assert_eq!(full(&mut it, 12, now), 24);
    }

    #[test]
    fn a_limit_that_is_met_again_grows_by_one_for_as_many_contents_as_it_allows_and_more_slowly_each_time() {
        let (mut it, now) = (Concurrency::default(), Instant::now());
        overload(&mut it, 9, now);
        assert_eq!(full(&mut it, 3, now), 10);
        assert_eq!(overload(&mut it, 9, now), 9, "nine worked at once, the tenth did not");
        assert_eq!((full(&mut it, 8, now), full(&mut it, 1, now)), (9, 10));
        assert_eq!(overload(&mut it, 9, now), 9);
        assert_eq!((full(&mut it, 17, now), full(&mut it, 1, now)), (9, 10));
        assert_eq!(overload(&mut it, 9, now), 9);
        assert_eq!((full(&mut it, 35, now), full(&mut it, 1, now)), (9, 10));
        assert_eq!((full(&mut it, 1, now), full(&mut it, 10, now)), (11, 21), "ten at once work now");
    }

    #[test]
    fn an_overload_beside_fewer_than_have_worked_is_not_about_how_many_fit() {
        let (mut it, now) = (Concurrency::default(), Instant::now());
        let full = |it: &mut Concurrency| {
            let stamp = it.admit(19, now);
            it.heard(stamp, now);
        };
        // One of twenty is refused, however many there are.
        for _ in 0..50 {
            full(&mut it);
            assert_eq!(overload(&mut it, 19, now), 99);
        }
        let later = now + BURST;
        assert_eq!(overload(&mut it, 19, later), 14, "nothing works any more");
    }

    #[test]
    fn what_is_refused_in_the_moment_after_an_overload_is_refused_for_the_same_reason() {
        let (mut it, now) = (Concurrency::default(), Instant::now());
        let six = it.admit(5, now);
        it.heard(six, now);
        assert_eq!(overload(&mut it, 6, now), 6, "six work, the seventh does not");
        assert!(it.works(now));
        assert_eq!(overload(&mut it, 5, now + BURST / 2), 6, "the server still counts one that has ended");
        assert_eq!(overload(&mut it, 6, now + BURST / 2), 6);
        assert!(!it.works(now + BURST), "what is refused from now on is about something else");
        assert_eq!(overload(&mut it, 5, now + BURST), 4);
    }

    #[test]
    fn a_target_that_bears_less_than_it_did_is_asked_less_after_two_overloads() {
        let (mut it, now) = (Concurrency::default(), Instant::now());
        full(&mut it, 20, now);
        assert_eq!(overload(&mut it, 8, now), 99);
        let later = now + BURST;
        let stamp = it.admit(3, later);
        it.heard(stamp, later);
        assert_eq!(overload(&mut it, 4, later), 4, "as many as have worked since");
    }

    #[test]
    fn an_overload_of_a_lone_attempt_cuts_nothing_and_a_learnt_limit_is_forgotten_after_ten_minutes() {
        let (mut it, now) = (Concurrency::default(), Instant::now());
        assert_eq!(overload(&mut it, 0, now), 99);
        assert_eq!(overload(&mut it, 1, now), 1);
        assert_eq!(it.limit(99, now + 9 * MINUTE), 1);
        assert_eq!(it.limit(99, now + 10 * MINUTE), 99);
    }

    #[test]
    fn what_it_has_carried_lately_is_remembered_for_minutes() {
        let (mut it, now) = (Concurrency::default(), Instant::now());
        let stamp = it.admit(6, now);
        it.admit(11, now);
        assert_eq!(it.lately(now), 12, "what was let in, as long as nothing is proven");
        it.heard(stamp, now + MINUTE);
        assert_eq!((it.lately(now + MINUTE), it.lately(now + 5 * MINUTE)), (7, 7));
        it.admit(2, now + 5 * MINUTE);
        assert_eq!((it.lately(now + 7 * MINUTE), it.lately(now + 12 * MINUTE)), (7, 3));
    }

    proptest! {
        #[test]
        fn at_least_one_may_always_be_in_flight(
            events in prop::collection::vec((any::<bool>(), any::<u32>()), 0..200),
        ) {
            let (mut it, now) = (Concurrency::default(), Instant::now());
            for (overload, in_flight) in events {
                let stamp = it.admit(in_flight, now);
                if overload { it.overloaded(stamp, now) } else { it.heard(stamp, now) }
                prop_assert!((1..=50).contains(&it.limit(50, now)));
            }
        }
    }
}

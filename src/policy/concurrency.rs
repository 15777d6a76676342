//! How many attempts a target can take at once, as far as it has shown.
//!
//! ```text
//!   all that are allowed ──overload──▶ .7 of what was in flight ──used and answered──▶ one more, and one more
//!            ▲                          │            ▲        │
//!            └──── 10 min without ──────┘            └────────┘ overload of who was admitted since the last cut
//! ```
//!
//! Input: admissions, answers and overloads. Output: the most that may be in flight. Each admitted attempt gets a
//! stamp. A cut begins a new generation, and an overload of an attempt of the old one changes nothing: so a burst of
//! refusals is one cut. The limit grows by one for as many answers as it allows, as long as at least half of it is
//! used. An overload of an attempt that is alone in flight is not caused by us, and cuts nothing.

use std::time::{Duration, Instant};

/// The part of the attempts in flight that a cut leaves.
const CUT: f64 = 0.7;
/// How long after its last cut a limit is forgotten.
const FORGET: Duration = Duration::from_secs(600);

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
    cut: Option<Cut>,
}

/// A limit that overloads have taught.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Cut {
    at: Instant,
    limit: u32,
    /// Answers towards the next place.
    answers: u32,
}

impl Concurrency {
    /// Returns the stamp of an attempt that is admitted beside this many others.
    pub fn admit(&self, in_flight: u32) -> Stamp {
        Stamp { generation: self.generation, in_flight: in_flight.saturating_add(1) }
    }

    /// Returns the most that may be in flight, where this many are allowed.
    pub fn limit(&self, allowed: u32, now: Instant) -> u32 {
        self.cut(now).map_or(allowed, |cut| cut.limit.min(allowed))
    }

    /// Notes that an attempt was refused because too many were in flight.
    pub fn overloaded(&mut self, stamp: Stamp, now: Instant) {
        if stamp.generation != self.generation || stamp.in_flight < 2 {
            return;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is a part of a u32")]
        let left = (f64::from(stamp.in_flight) * CUT) as u32;
        let limit = self.cut(now).map_or(left, |cut| cut.limit.min(left)).max(1);
        self.cut = Some(Cut { at: now, limit, answers: 0 });
        self.generation = self.generation.wrapping_add(1);
    }

    /// Notes that an attempt was answered.
    pub fn answered(&mut self, stamp: Stamp, now: Instant) {
        self.cut = self.cut(now);
        let Some(cut) = &mut self.cut else { return };
        if stamp.generation != self.generation || stamp.in_flight.saturating_mul(2) < cut.limit {
            return;
        }
        cut.answers += 1;
        if cut.answers >= cut.limit {
            (cut.limit, cut.answers) = (cut.limit.saturating_add(1), 0);
        }
    }

    fn cut(&self, now: Instant) -> Option<Cut> {
        self.cut.filter(|cut| now.saturating_duration_since(cut.at) < FORGET)
    }
}

lasting!(struct Concurrency { generation, cut });
lasting!(struct Cut { at, limit, answers });

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn an_overload_cuts_to_seven_tenths_of_what_was_in_flight_and_once_a_generation() {
        let (mut it, now) = (Concurrency::default(), Instant::now());
        let burst: Vec<Stamp> = (0..100).map(|in_flight| it.admit(in_flight)).collect();
        assert_eq!(it.limit(2_048, now), 2_048);
        burst.iter().skip(60).for_each(|stamp| it.overloaded(*stamp, now));
        assert_eq!(it.limit(2_048, now), 42, "of sixty-one; what the others hear is no news");
        let next = it.admit(41);
        for stamp in &burst {
            it.overloaded(*stamp, now);
        }
        it.overloaded(next, now);
        assert_eq!(it.limit(2_048, now), 29);
        assert_eq!(it.limit(8, now), 8, "what the user allows holds");
    }

    #[test]
    fn it_grows_by_one_for_as_many_answers_as_it_allows_while_half_of_it_is_used() {
        let (mut it, now) = (Concurrency::default(), Instant::now());
        it.overloaded(it.admit(9), now);
        assert_eq!(it.limit(99, now), 7);
        (0..1_000).for_each(|_| it.answered(it.admit(2), now));
        assert_eq!(it.limit(99, now), 7, "nobody used it");
        let late = Stamp { generation: it.generation.wrapping_sub(1), in_flight: 9 };
        (0..1_000).for_each(|_| it.answered(late, now));
        assert_eq!(it.limit(99, now), 7, "those were admitted by another limit");
        (0..7).for_each(|_| it.answered(it.admit(3), now));
        assert_eq!(it.limit(99, now), 8);
        (0..8).for_each(|_| it.answered(it.admit(3), now));
        assert_eq!(it.limit(99, now), 9);
    }

    #[test]
    fn an_overload_of_a_lone_attempt_cuts_nothing_and_a_learnt_limit_is_forgotten_after_ten_minutes() {
        let (mut it, now) = (Concurrency::default(), Instant::now());
        it.overloaded(it.admit(0), now);
        assert_eq!(it.limit(99, now), 99);
        it.overloaded(it.admit(1), now);
        assert_eq!(it.limit(99, now), 1);
        assert_eq!(it.limit(99, now + 9 * MINUTE), 1);
        assert_eq!(it.limit(99, now + 10 * MINUTE), 99);
    }

    proptest! {
        #[test]
        fn at_least_one_may_always_be_in_flight(
            events in prop::collection::vec((any::<bool>(), any::<u32>()), 0..200),
        ) {
            let (mut it, now) = (Concurrency::default(), Instant::now());
            for (overload, in_flight) in events {
                let stamp = it.admit(in_flight);
                if overload { it.overloaded(stamp, now) } else { it.answered(stamp, now) }
                prop_assert!((1..=50).contains(&it.limit(50, now)));
            }
        }
    }
}

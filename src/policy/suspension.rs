//! A hold: a key or a target is out by a provider's answer, until a time.
//!
//! ```text
//!                        until                    an answer
//!   (nothing) ──word──▶ stands ──────▶ is checked ─────────▶ (nothing)
//!                 ▲      │  ▲ │            │                     ▲
//!                 │      └──┘ └── a look answered, or lifted ────┤
//!                 │   a later word         └──── the same word ──┘ again
//! ```
//!
//! Input: told times and looks. Output: until when it holds. While it holds nothing is admitted except a look: one call
//! that has no other target to ask. A time that was told is believed for an hour before it is doubted; a guess of our
//! own, for a second. It knows neither keys nor targets.

use std::time::{Duration, Instant};

use rand::{Rng, RngExt};

use crate::words::FailureClass;
use crate::words::consequence::HoldRule;

/// A guess is tested after a tenth of it, after this time at the latest, and then after twice as long each time that a
/// test found no change. Only a call that has no other target tests: all keys are out by then, and a provider that
/// refuses all of them at once is more often at fault than they are.
const LOOK_AFTER: Duration = Duration::from_secs(1);
const LOOK_AFTER_SHARE: u32 = 10;
/// A told time is tested this seldom, and a guess at least as often: 24 failed requests a day are acceptable.
const LOOK_EVERY: Duration = Duration::from_secs(60 * 60);
/// How long one call alone checks whether a limit is still exhausted, while other calls use other keys.
const CHECK_MAX: Duration = Duration::from_secs(60);
/// What is added to a wait at most, as a part of it and in all, so that not all calls come back at once: times are kept
/// to the minute.
const SCATTER: f64 = 0.1;
const SCATTER_MAX: Duration = Duration::from_secs(5);

/// A key or target is out, until it is checked again.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Suspension {
    /// Why.
    pub class: FailureClass,
    /// Since when it did not work.
    pub since: Instant,
    /// Until when nothing is admitted.
    pub until: Instant,
    /// When the provider last said so.
    said: Instant,
    /// Until when it holds by the provider's own word; `None` where that is our guess.
    told: Option<Instant>,
    /// By what part of the wait it is longer than that.
    scatter: f64,
    /// When a call was last let through, and how often.
    looked: Instant,
    looks: u32,
}

impl Suspension {
    /// Returns a hold of this length by our own guess.
    pub fn guessed(class: FailureClass, wait: Duration, now: Instant) -> Self {
        Self { class, since: now, until: now + wait, said: now, told: None, scatter: 0.0, looked: now, looks: 0 }
    }

    /// Returns a hold until a time that a provider told: a little longer, and no longer than `wait_max`. `None` where
    /// that time is in the past.
    pub fn told(
        class: FailureClass,
        told: Instant,
        wait_max: Duration,
        now: Instant,
        rng: &mut impl Rng,
    ) -> Option<Self> {
        let scatter = rng.random_range(0.0..=SCATTER);
        let mut hold = Self { told: Some(told), scatter, ..Self::guessed(class, Duration::ZERO, now) };
        hold.retune(wait_max);
        hold.stands(now).then_some(hold)
    }

    /// Takes in a told time or a guess; tells whether it changed the hold. A shorter one never shortens a longer one,
    /// unless it answers a look: then it is what the provider says now.
    pub fn pass(slot: &mut Option<Self>, word: Self, answers_look: bool, now: Instant) -> bool {
        let Some(known) = *slot else {
            *slot = Some(word);
            return true;
        };
        if answers_look || !known.stands(now) || known.until < word.until {
            let Self { since, looked, looks, .. } = known;
            *slot = Some(Self { since, looked: if looks == 0 { word.looked } else { looked }, looks, ..word });
        }
        !known.stands(now)
    }

    /// Returns after what time calls are expected to be admitted again where a failure has just begun to hold, for as
    /// long as it told or by our own guess: when the hold ends, or when the guess is first looked at.
    pub fn first_back(rest: HoldRule, told: Option<Duration>) -> Duration {
        match told {
            Some(told) if rest.passes() || told > rest.time => told,
            _ => look_after(rest.time),
        }
    }

    /// Tells whether it was said before this request was sent, whose answer then speaks of it.
    pub fn was_said_by(&self, sent: Instant) -> bool {
        self.said <= sent
    }

    /// Tells whether nothing is admitted.
    pub fn stands(&self, now: Instant) -> bool {
        self.until > now
    }

    /// Returns from when on a call that has no other target to ask may be let through.
    pub fn look_from(&self) -> Instant {
        let wait = match self.told {
            Some(_) => LOOK_EVERY,
            None => {
                let first = look_after(self.until.saturating_duration_since(self.said));
                first.saturating_mul(1 << self.looks.min(16)).min(LOOK_EVERY)
            }
        };
        self.looked + wait
    }

    /// Returns when calls are expected to be admitted again: at the end of a time that was told, which is believed, or
    /// at the next look at a guess.
    pub fn back_from(&self) -> Instant {
        if self.told.is_some() { self.until } else { self.until.min(self.look_from()) }
    }

    /// Notes that a call was let through.
    pub fn look(&mut self, now: Instant) {
        (self.looked, self.looks) = (now, self.looks.saturating_add(1));
    }

    /// Tells whether a call is just finding out whether the hold still applies.
    pub fn is_checked(&self, now: Instant) -> bool {
        self.looks > 0 && now < self.looked + CHECK_MAX
    }

    /// Notes that the machine slept for this time while its clock stood still: the hold is shortened by it.
    pub fn slept(&mut self, by: Duration) {
        let told = self.told.as_mut();
        for at in [&mut self.since, &mut self.until, &mut self.said, &mut self.looked].into_iter().chain(told) {
            *at = at.checked_sub(by).unwrap_or(*at);
        }
    }

    /// Cuts the hold to the longest time that is now configured to be honoured.
    pub fn retune(&mut self, wait_max: Duration) {
        if let Some(told) = self.told {
            let wait = told.saturating_duration_since(self.said).min(wait_max);
            self.until = self.said + wait + wait.mul_f64(self.scatter).min(SCATTER_MAX);
        }
    }
}

/// Returns the time after which a guess of this length is tested first.
fn look_after(guess: Duration) -> Duration {
    (guess / LOOK_AFTER_SHARE).min(LOOK_AFTER)
}

persist!(struct Suspension as Hold { class, since, until, said, told, scatter, looked, looks });

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    const CLASS: FailureClass = FailureClass::RateLimited;

    fn told(wait: Duration, wait_max: Duration, now: Instant) -> Option<Suspension> {
        Suspension::told(CLASS, now + wait, wait_max, now, &mut StdRng::seed_from_u64(7))
    }

    #[test]
    fn a_retry_after_gets_up_to_a_tenth_more_and_never_more_than_5_s() {
        let now = Instant::now();
        let mut rng = StdRng::seed_from_u64(1);
        for seconds in [1, 10, 60, 3_600, 24 * 3_600, 365 * 24 * 3_600_u64] {
            let wait = Duration::from_secs(seconds);
            for _ in 0..50 {
                let hold = Suspension::told(CLASS, now + wait, DAY, now, &mut rng).expect("it lies ahead");
                let (least, more) = (wait.min(DAY), (wait.min(DAY) / 10).min(SCATTER_MAX));
                assert!((least..=least + more).contains(&(hold.until - now)), "{wait:?}: {:?}", hold.until - now);
            }
        }
        assert_eq!(told(Duration::ZERO, DAY, now), None);
        assert_eq!(told(MINUTE, Duration::ZERO, now), None, "an operator may honour none");
        assert_eq!(Suspension::told(CLASS, now, DAY, now + MINUTE, &mut rng), None, "in the past");
    }

    #[test]
    fn a_hold_is_looked_at_ever_more_seldom_a_guess_after_a_second_and_what_was_told_after_an_hour() {
        let now = Instant::now();
        let (guessed, hour) = (Suspension::guessed(CLASS, DAY, now), 3_600);
        for (mut hold, seconds) in [
            (guessed, [1, 3, 7, 15, 31, 63, 127, 255, 511, 1_023, 2_047, 4_095, 4_095 + hour, 4_095 + 2 * hour]),
            (told(DAY, DAY, now).expect("it lies ahead"), std::array::from_fn(|at| hour * (at as u64 + 1))),
        ] {
            for seconds in seconds {
                let at = now + Duration::from_secs(seconds);
                assert_eq!(hold.look_from(), at);
                hold.look(at);
                // The same again, which changes nothing.
                let mut slot = Some(hold);
                let again = match hold.told {
                    Some(_) => told(DAY, DAY, at).expect("it lies ahead"),
                    None => Suspension::guessed(CLASS, DAY, at),
                };
                assert!(!Suspension::pass(&mut slot, again, true, at));
                hold = slot.expect("it stands");
                assert_eq!(hold.since, now);
            }
        }
    }

    #[test]
    fn a_limit_that_says_no_time_is_looked_at_after_half_a_second_then_after_twice_as_long() {
        let now = Instant::now();
        let limit = |now: Instant| Suspension::guessed(CLASS, Duration::from_secs(5), now);
        let mut slot = Some(limit(now));
        let mut at = now;
        for millis in [500, 1_000, 2_000, 4_000] {
            let hold = slot.as_mut().expect("it stands");
            at += Duration::from_millis(millis);
            assert_eq!(hold.look_from(), at);
            hold.look(at);
            Suspension::pass(&mut slot, limit(at), true, at);
        }
        let rule = CLASS.consequences().hold.expect("a limit holds");
        assert_eq!(Suspension::first_back(rule, None), Duration::from_millis(500));
    }

    #[test]
    fn a_shorter_word_counts_where_it_answers_a_look_and_nowhere_else() {
        let now = Instant::now();
        let mut slot = told(DAY, DAY, now);
        let short = Suspension::guessed(CLASS, MINUTE, now);
        assert!(!Suspension::pass(&mut slot, short, false, now));
        assert!(slot.is_some_and(|hold| hold.until >= now + DAY));
        assert!(!Suspension::pass(&mut slot, short, true, now));
        assert_eq!(slot.map(|hold| hold.until), Some(now + MINUTE));
        assert!(Suspension::pass(&mut slot, short, false, now + MINUTE), "what has run out is news again");
    }

    #[test]
    fn a_told_hold_follows_retry_after_max_and_a_guessed_one_stays() {
        let now = Instant::now();
        let mut hold = told(DAY, DAY, now).expect("it lies ahead");
        for wait_max in [MINUTE, DAY, 60 * MINUTE, 2 * DAY] {
            hold.retune(wait_max);
            let (least, most) = (wait_max.min(DAY), wait_max.min(DAY) + SCATTER_MAX);
            assert!((least..=most).contains(&(hold.until - now)), "{wait_max:?}");
        }
        let mut guess = Suspension::guessed(CLASS, 10 * MINUTE, now);
        guess.retune(MINUTE);
        assert_eq!(guess.until, now + 10 * MINUTE);
    }

    #[test]
    fn a_later_word_is_looked_at_from_its_own_time_on_until_a_call_has_looked() {
        let start = Instant::now();
        let mut slot = Some(Suspension::guessed(CLASS, MINUTE * 10, start));
        let say = |slot: &mut Option<Suspension>, at: Instant| {
            Suspension::pass(slot, Suspension::guessed(CLASS, DAY, at), false, at)
        };
        let second = Duration::from_secs(1);
        assert!(!say(&mut slot, start + second));
        assert_eq!(slot.unwrap().look_from(), start + second * 2);
        if let Some(hold) = &mut slot {
            hold.look(start + second * 2);
        }
        say(&mut slot, start + second * 3);
        assert_eq!(slot.unwrap().look_from(), start + second * 4, "two seconds after the look");
    }
}

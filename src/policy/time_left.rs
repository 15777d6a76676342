//! Time left, and silence: how long a call tolerates the silence of one target, so that time is left for the others.
//!
//! Input: durations. Output: durations, and yes or no. Timers fire late and clocks are read a moment apart, so nothing
//! here compares two times without slack; no other file on this floor compares a time with what is left of a call.

use std::time::{Duration, Instant};

use super::latency::{Latency, P90_SAMPLES};

/// A caller of which nothing is known is taken to wait for an answer for this long, …
const CALLER_WAITS_MIN: Duration = Duration::from_secs(15);
/// … or for this many times as long as an answer takes, if that is longer: who asks a slow model knows that.
const CALLER_WAITS: u32 = 5;

/// An answer's length before anything is known of it, in tokens: a tool call, or some sentences.
const ANSWER_TOKENS: u32 = 100;
/// No attempt is late before this.
const LATE_MIN: Duration = Duration::from_millis(250);
/// No attempt needs less than this: a connection, a permit and a busy machine take time, too.
const NEEDS_MIN: Duration = Duration::from_millis(500);
/// How finely times are told apart: timers fire some milliseconds late, on a busy machine some tens …
const SLACK: Duration = Duration::from_millis(10);
/// … and no time here is known more precisely than to a sixteenth.
const SLACK_SHARE: u32 = 16;

/// Returns by how much two times may differ and still count as equal.
fn slack(of: Duration) -> Duration {
    SLACK + of / SLACK_SHARE
}

/// Returns a time with what it may differ by.
pub fn with_slack(of: Duration) -> Duration {
    of + slack(of)
}

/// Tells whether something lasted as long as a limit says, or so nearly that the difference has no meaning.
pub fn reached(lasted: Duration, limit: Duration) -> bool {
    lasted.saturating_add(slack(limit)) >= limit
}

/// What is left of a call's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLeft(Duration);

impl TimeLeft {
    /// Returns what is left until a deadline.
    pub fn until(deadline: Instant, now: Instant) -> Self {
        Self(deadline.saturating_duration_since(now))
    }

    /// Tells whether there is enough of it, give or take.
    pub fn is_enough_for(self, need: Duration) -> bool {
        reached(self.0, need)
    }

    /// Returns the part of an attempt that needs `own`, with others behind it that must get what they need: all that
    /// they leave, if that is enough, else a part in proportion.
    pub fn share(self, own: Duration, others: impl IntoIterator<Item = Duration>) -> Duration {
        let others = others.into_iter().map(|need| need + slack(need)).fold(Duration::ZERO, Duration::saturating_add);
        let own = own + slack(own);
        match self.0.checked_sub(others) {
            Some(rest) if rest >= own => rest,
            _ => self.0.mul_f64(own.as_secs_f64() / (own + others).as_secs_f64()),
        }
    }

    /// Returns such a part where it is a guess what an attempt needs: no more than each of the others has, of which the
    /// last has two, so that it can give a usual answer; and half of an even part at least.
    pub fn evened(self, part: Duration, others: usize) -> Duration {
        let others = u32::try_from(others).unwrap_or(u32::MAX / 4);
        if others == 0 { part } else { part.clamp(self.0 / (2 * others + 2), self.0 / (others + 2)) }
    }
}

/// How long a call's caller waits for content, as far as is known. It ends no call: its targets share time by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CallerPatience {
    /// Until the deadline that it has set.
    #[default]
    Deadline,
    /// Until then, as its client says.
    Until(Instant),
    /// Its client does not say; the time is that of its call.
    Unknown(Instant),
}

impl CallerPatience {
    /// Returns how long this caller still waits, as far as is known.
    pub fn time(self, deadline: Instant, now: Instant) -> Duration {
        self.left(deadline, Duration::ZERO, None, now).0.0
    }

    /// Returns what is left of a call's time for its first content, and the least that an attempt gets of it which is
    /// tolerated for so long at most. `guessed` is the usual time to an answer where that is a guess; where it is
    /// measured, no assumption about a caller lets another target be asked before this one is later than almost all
    /// answers. A caller that still waits after its time has more.
    pub fn left(
        self,
        deadline: Instant,
        tolerated: Duration,
        guessed: Option<Duration>,
        now: Instant,
    ) -> (TimeLeft, Duration) {
        let least = if matches!((self, guessed), (Self::Unknown(_), None)) { tolerated / 2 } else { Duration::ZERO };
        match self.leaves(guessed).filter(|&at| at > now && at < deadline) {
            Some(leaves) => (TimeLeft::until(leaves, now), least),
            None => (TimeLeft::until(deadline, now), Duration::ZERO),
        }
    }

    /// Returns when it leaves, where that is not at the deadline.
    pub fn leaves(self, guessed: Option<Duration>) -> Option<Instant> {
        match self {
            Self::Deadline => None,
            Self::Until(at) => Some(at),
            Self::Unknown(since) => {
                let usual = guessed.unwrap_or_default().saturating_mul(CALLER_WAITS);
                Some(since + usual.max(CALLER_WAITS_MIN))
            }
        }
    }
}

/// Where it is not measured what is late, a target is asked again beside a silence of this many medians …
const AGAIN_GUESSED: u32 = 4;
/// … and not before this.
const AGAIN_GUESSED_MIN: Duration = Duration::from_secs(4);
/// A measured target is looked at this often at least, however long it has been silent.
const LOOK_MAX: Duration = Duration::from_secs(30);

/// Returns the part of a silence after which it is looked into again.
pub fn look_share(lasted: Duration) -> Duration {
    (lasted / 2).min(LOOK_MAX)
}

/// Returns after which time a target is looked at again that was silent for so long at this look: once the look itself
/// is overdue, and later the longer it lasts. Where it is a guess what is overdue, each wait is as long as all before
/// it.
pub fn look_every(overdue: Duration, lasted: Duration, measured: bool) -> Duration {
    overdue.max(if measured { look_share(lasted) } else { lasted })
}

/// How long an answer takes at a target, as far as is known. A call's time is shared out by it, and silence is compared
/// with it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Pace {
    /// The median time to the first content; for a whole answer, to its end.
    pub first: Duration,
    /// The 99th percentile of that.
    pub late: Duration,
    /// The median time to a usable answer.
    pub answer: Duration,
    /// Whether that is measured, and not guessed.
    pub measured: bool,
}

impl Pace {
    /// Returns the pace of an answer to a prompt of this many tokens, which comes in one burst if it is `whole`, and is
    /// limited by its caller to this many tokens. Until whole answers are measured their time follows from that of
    /// streams, which the same model gives.
    pub fn of(
        ttft: &Latency,
        reply: &Latency,
        tpot: &Latency,
        prompt_tokens: u32,
        whole: bool,
        output_max: Option<u32>,
    ) -> Self {
        let at = |time| Latency::at(time, prompt_tokens);
        let rest = |per_token: Duration, tokens: u32| per_token.saturating_mul(tokens);
        let usual = rest(tpot.p50, output_max.unwrap_or(ANSWER_TOKENS).min(ANSWER_TOKENS));
        if whole && !reply.is_assumed() {
            let measured = reply.samples >= P90_SAMPLES;
            return Self { first: at(reply.p50), late: at(reply.p99), answer: at(reply.p50), measured };
        }
        let first = at(ttft.p50);
        if !whole {
            let measured = ttft.samples >= P90_SAMPLES;
            return Self { first, late: at(ttft.p99), answer: first + usual, measured };
        }
        let answer = first + usual;
        let most = at(ttft.p99) + rest(tpot.p99, output_max.unwrap_or(u32::MAX));
        let late = Latency::around(answer).p99.min(most);
        Self { first: answer, late, answer, measured: false }
    }

    /// Returns the age at which an attempt without content is overdue: twice the 99th percentile.
    pub fn overdue(&self) -> Duration {
        (self.late * 2).max(LATE_MIN)
    }

    /// Returns the age of silence from which a target is asked again beside its own attempt: when that is overdue;
    /// where that is a guess, after some medians.
    pub fn again_after(&self) -> Duration {
        if self.measured {
            return self.overdue();
        }
        self.first.saturating_mul(AGAIN_GUESSED).max(AGAIN_GUESSED_MIN)
    }

    /// Returns the age at which a caller that leaves an attempt without content has waited longer than others: no
    /// caller leaves because an answer took milliseconds more, but many leave at once when a program ends.
    pub fn long_wait(&self) -> Duration {
        self.late.max(LATE_MIN)
    }

    /// Returns the time in which it all but surely answers: what others that share a call's time leave to it. Half of
    /// all answers take longer than the median. Where that is a guess, only the usual time is left.
    pub fn needs(&self) -> Duration {
        let time = if self.measured { self.answer.max(self.overdue()) } else { self.answer };
        time.max(NEEDS_MIN)
    }

    /// Returns the age at which another attempt is to join one without content: when it is overdue, and where that is a
    /// guess, earlier. Asking another target on a guess does no harm; blaming a target on a guess does. A call that
    /// probes bears no more than the usual time: it does so for others, at a target that may still be silent.
    pub fn join_after(&self, probes: bool) -> Duration {
        match self {
            _ if probes => self.first.max(LATE_MIN),
            Self { measured: true, .. } => self.overdue(),
            _ => self.long_wait(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn latency(p50: Duration, samples: u32) -> Latency {
        Latency { samples, ..Latency::around(p50) }
    }

    #[test]
    fn a_timer_that_fires_a_moment_late_changes_nothing() {
        let now = Instant::now();
        let left = |late: Duration| TimeLeft::until(now + SECOND * 4, now + SECOND * 2 + late);
        assert!(left(Duration::ZERO).is_enough_for(SECOND * 2) && left(MS(1)).is_enough_for(SECOND * 2));
        assert!(left(MS(50)).is_enough_for(SECOND * 2) && !left(MS(500)).is_enough_for(SECOND * 2));
        assert!(reached(MS(4_990), SECOND * 5) && !reached(SECOND * 4, SECOND * 5));
    }

    #[test]
    fn a_target_needs_more_than_its_median_and_time_to_be_reached() {
        let pace = |first, late, measured| Pace { first, late, answer: first, measured };
        assert_eq!(pace(MS(5), MS(20), true).needs(), MS(500));
        assert_eq!(pace(SECOND, SECOND * 2, true).needs(), SECOND * 4);
        assert_eq!(pace(SECOND, SECOND * 12, false).needs(), SECOND);
    }

    #[test]
    fn others_keep_the_time_that_they_need_and_if_there_is_too_little_each_gets_a_part() {
        let now = Instant::now();
        let share =
            |left, own, others: &[Duration]| TimeLeft::until(now + left, now).share(own, others.iter().copied());
        assert_eq!(share(SECOND * 9, SECOND, &[]), SECOND * 9);
        assert_eq!(share(SECOND * 9, SECOND, &[SECOND, SECOND]).as_millis(), 9_000 - 2_145);
        let third = share(SECOND, SECOND * 4, &[SECOND * 4, SECOND * 4]).as_millis();
        assert!((332..=334).contains(&third), "{third}");
        assert_eq!(share(Duration::ZERO, SECOND, &[SECOND]), Duration::ZERO);
    }

    #[test]
    fn a_silence_is_looked_into_at_growing_intervals_and_more_seldom_where_it_is_a_guess_that_it_is_one() {
        let ages = |measured| {
            let mut ages = vec![SECOND * 4];
            while ages[ages.len() - 1] < SECOND * 100 {
                let lasted = ages[ages.len() - 1];
                ages.push(lasted + look_every(SECOND * 4, lasted, measured));
            }
            ages.iter().map(Duration::as_secs).collect::<Vec<_>>()
        };
        assert_eq!(ages(true), [4, 8, 12, 18, 27, 40, 60, 90, 120]);
        assert_eq!(ages(false), [4, 8, 16, 32, 64, 128]);
        assert_eq!(
            look_every(SECOND * 240, SECOND * 240, true),
            SECOND * 240,
            "no look before the last one is overdue"
        );
        let pace = |first, measured| Pace { first, late: first * 12, answer: first, measured };
        assert_eq!(pace(MS(100), false).again_after(), SECOND * 4);
        assert_eq!(pace(SECOND * 20, false).again_after(), SECOND * 80);
        assert_eq!(pace(SECOND, true).again_after(), SECOND * 24);
    }

    #[test]
    fn a_caller_leaves_when_it_says_and_where_nobody_says_that_is_assumed_as_long_as_it_has_not_come() {
        let now = Instant::now();
        let left = |caller: CallerPatience, guessed: Option<u32>, passed: u32| {
            let guessed = guessed.map(|seconds| SECOND * seconds);
            let (TimeLeft(left), least) = caller.left(now + SECOND * 600, SECOND * 8, guessed, now + SECOND * passed);
            (left.as_secs(), least.as_secs())
        };
        let unknown = CallerPatience::Unknown(now);
        assert_eq!(left(CallerPatience::Deadline, Some(3), 0), (600, 0));
        assert_eq!(left(CallerPatience::Until(now + SECOND * 20), Some(3), 5), (15, 0));
        assert_eq!((left(unknown, Some(3), 5), left(unknown, Some(12), 5)), ((10, 0), (55, 0)));
        assert_eq!(left(unknown, None, 5), (10, 4), "where it is measured, half of twice the 99th percentile is left");
        assert_eq!((left(unknown, Some(3), 15), left(unknown, None, 16)), ((585, 0), (584, 0)), "it still waits");
    }

    #[test]
    fn a_whole_answer_takes_as_long_as_a_stream_of_it_until_it_is_measured() {
        let (ttft, tpot) = (latency(SECOND, 0), latency(MS(20), 0));
        let pace = |reply: u32, limit| Pace::of(&ttft, &latency(SECOND * 9, reply), &tpot, 0, true, limit);
        assert_eq!((pace(0, None).first, pace(0, None).measured), (SECOND * 3, false));
        assert_eq!(pace(0, Some(50)).first, SECOND * 2);
        assert_eq!(pace(0, Some(4_000)).first, SECOND * 3, "few answers are as long as they may be");
        assert!(pace(0, Some(1)).late < SECOND * 5, "what is limited cannot take long");
        assert_eq!((pace(8, None).first, pace(8, None).measured), (SECOND * 9, false));
        assert!(pace(29, None).measured && pace(29, None).join_after(false) == pace(29, None).overdue());
        assert!(pace(0, None).join_after(false) < pace(0, None).overdue());
        assert_eq!(pace(29, None).join_after(true), pace(29, None).first, "who probes waits for the usual time");
        let stream = Pace::of(&ttft, &latency(SECOND * 9, 99), &tpot, 20_000, false, None);
        assert_eq!((stream.first, stream.answer), (SECOND * 2, SECOND * 4));
    }

    #[test]
    fn where_it_is_a_guess_what_is_needed_parts_are_about_even_and_the_last_has_two() {
        let now = Instant::now();
        let left = |left| TimeLeft::until(now + left, now);
        assert_eq!(left(SECOND * 15).evened(SECOND * 12, 0), SECOND * 12, "nobody is behind it");
        assert_eq!(left(SECOND * 15).evened(SECOND * 14, 1), SECOND * 5, "and the last has ten");
        assert_eq!(left(SECOND * 15).evened(SECOND * 13, 3), SECOND * 3);
        assert_eq!(left(SECOND * 12).evened(MS(100), 2), SECOND * 2, "however much the others need");
        assert_eq!(left(SECOND * 12).evened(MS(2_500), 2), MS(2_500));
    }

    proptest! {
        #[test]
        fn every_part_is_above_zero_and_all_parts_add_up_to_the_time_left(
            left in 1_u64..600_000, needs in prop::collection::vec(1_u64..60_000, 1..9)
        ) {
            let now = Instant::now();
            let mut rest = MS(left);
            for place in 0..needs.len() {
                let behind = needs[place + 1..].iter().map(|&need| MS(need));
                let share = TimeLeft::until(now + rest, now).share(MS(needs[place]), behind);
                prop_assert!(share > Duration::ZERO && share <= rest, "{share:?} of {rest:?}");
                prop_assert!(place + 1 < needs.len() || share == rest);
                rest -= share;
            }
        }
    }
}

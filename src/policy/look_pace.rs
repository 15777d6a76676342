//! How often a target that says nothing is asked again beside what waits there.
//!
//! Input: looks that calls want to make, answers, and the time. Output: yes, or from when on. Whether a target is well
//! again is a question about the target, and one answer is enough for all its calls: so the pace is the target's, and
//! no call's and no budget's. It knows two cases, as the repair of lost packets does (RFC 8985):
//!
//! - Nothing that was sent later was answered. Then nothing is proven, and one call looks for all, at growing
//!   intervals.
//! - What was sent later was answered in time. Then what was sent before is lost, and is sent again: some at once, and
//!   each second at most twice as many as in the one before.
//!
//! Only what was answered in time counts: where all are slow, those that wait are not lost.

use std::time::{Duration, Instant};

use super::time_left::look_share;

/// Two looks at a silent target have at least this between them.
const LOOK_MIN: Duration = Duration::from_secs(1);
/// What is lost is sent again at a pace that is counted by this time …
const WINDOW: Duration = Duration::from_secs(1);
/// … and begins with this many.
const WINDOW_FIRST: u32 = 8;

/// A try beside attempts that are silent at the same target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    /// When the last of them was sent, if they are still there.
    pub since: Option<Instant>,
    /// How many they are.
    pub beside: u32,
    /// After which time the call would look again.
    pub every: Duration,
}

/// The pace of the looks at one target.
#[derive(Clone, Debug, Default)]
pub struct LookPace {
    /// When the latest attempt was sent that was answered in time.
    answered: Option<Instant>,
    /// Since when it is silent, and when the next look is due: if it was looked at since its last answer.
    silence: Option<(Instant, Instant)>,
    /// The second in which what is lost was sent again last.
    window: Option<Window>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    from: Instant,
    sent: u32,
    most: u32,
}

impl LookPace {
    /// Lets a look pass.
    ///
    /// # Errors
    /// From when on the next one may.
    pub fn ask(&mut self, look: Look, now: Instant) -> Result<(), Instant> {
        if look.since.is_some_and(|since| self.answered.is_some_and(|answered| since < answered)) {
            return self.send_again(now);
        }
        let since = match self.silence {
            Some((_, next)) if next > now => return Err(next),
            Some((since, _)) => since,
            None => look.since.unwrap_or(now),
        };
        let share = look_share(now.saturating_duration_since(since));
        self.silence = Some((since, now + look.every.max(share).max(LOOK_MIN)));
        Ok(())
    }

    /// Notes that an attempt that was sent then is answered, in time. Tells whether it had been looked for that.
    pub fn answered(&mut self, sent: Instant) -> bool {
        self.answered = self.answered.max(Some(sent));
        self.silence.take().is_some()
    }

    fn send_again(&mut self, now: Instant) -> Result<(), Instant> {
        let new = |most| Window { from: now, sent: 0, most };
        let mut window = match self.window {
            Some(window) if now < window.from + WINDOW => window,
            Some(Window { from, sent, .. }) if now < from + WINDOW * 2 => new(sent.saturating_mul(2).max(WINDOW_FIRST)),
            _ => new(WINDOW_FIRST),
        };
        let is_full = window.sent >= window.most;
        window.sent += u32::from(!is_full);
        self.window = Some(window);
        if is_full { Err(window.from + WINDOW) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn look(since: Instant) -> Look {
        Look { since: Some(since), beside: 1, every: SECOND * 2 }
    }

    /// Returns at which ages a thousand calls look that were sent at one moment and are never answered.
    fn looks(lasting: u64) -> Vec<u64> {
        let start = Instant::now();
        let (mut pace, mut ages, mut now) = (LookPace::default(), Vec::new(), start + SECOND * 2);
        while now < start + SECOND * u32::try_from(lasting).unwrap() {
            let passed = (0..1_000).filter(|_| pace.ask(look(start), now).is_ok()).count();
            assert!(passed < 2, "{passed} at once");
            if passed == 1 {
                ages.push((now - start).as_secs());
            }
            now += SECOND / 10;
        }
        ages
    }

    #[test]
    fn a_thousand_silent_calls_look_at_their_target_as_one_would() {
        assert_eq!(looks(60), [2, 4, 6, 9, 13, 20, 30, 45]);
        let long = looks(600);
        assert!(long.len() < 30 && long.windows(2).all(|pair| pair[1] - pair[0] <= 31), "{long:?}");
    }

    #[test]
    fn once_one_is_answered_those_that_were_sent_before_go_at_a_pace_that_doubles() {
        let start = Instant::now();
        let mut pace = LookPace::default();
        assert!(!pace.answered(start.checked_sub(SECOND).expect("a later start")), "nobody had looked");
        assert!(
            pace.ask(look(start), start + SECOND * 4).is_ok() && pace.ask(look(start), start + SECOND * 5).is_err()
        );
        assert!(pace.answered(start + SECOND * 8), "it was looked for");
        let back = start + SECOND * 9;
        let went = |pace: &mut LookPace, now| (0..1_000).filter(|_| pace.ask(look(start), now).is_ok()).count();
        let seconds: Vec<usize> = (0..4).map(|second| went(&mut pace, back + SECOND * second)).collect();
        assert_eq!(seconds, [8, 16, 32, 64]);
        assert_eq!(pace.ask(look(start), back + SECOND * 3), Err(back + SECOND * 4));
        assert_eq!(went(&mut pace, back + SECOND * 60), 8, "after a while it begins again");
        // What was sent after that answer is not lost: one looks for all.
        let later = start + SECOND * 10;
        assert!(pace.ask(look(later), later + SECOND * 4).is_ok());
        assert_eq!(pace.ask(look(later), later + SECOND * 5), Err(later + SECOND * 6));
    }
}

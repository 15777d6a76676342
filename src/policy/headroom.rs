//! How much of its limits a key has left at a target: its provider's last word, less what was admitted since.
//!
//! In flow what answers say and what is admitted, out flows a share. It is advice and no gate: providers lie, other
//! processes use the same key, and what was said is forgotten when its limit is whole again, after a minute at the
//! latest. What an answer says was true when its request arrived, so whatever was admitted after that request counts
//! against it: one reading does not send everybody to one key.

use std::time::{Duration, Instant};

use crate::words::{Gauge, Limits};

/// The longest a reading is believed: limits are a minute's.
const FADE_MAX: Duration = Duration::from_secs(60);

/// What a key has left at a target.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Headroom {
    requests: Option<Reading>,
    tokens: Option<Reading>,
    used: Used,
}

/// What was admitted since the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Requests.
    pub requests: u64,
    /// Tokens of their prompts.
    pub tokens: u64,
}

/// What a provider said of one limit.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Reading {
    gauge: Gauge,
    /// What had been admitted when the request arrived that it answers.
    used: u64,
    fades: Instant,
}

impl Reading {
    fn new(gauge: Gauge, used: u64, now: Instant) -> Self {
        Self { gauge, used, fades: now + gauge.reset.map_or(FADE_MAX, |reset| reset.min(FADE_MAX)) }
    }

    fn share(&self, used: u64, now: Instant) -> Option<f64> {
        (self.fades > now).then(|| self.gauge.share(used.saturating_sub(self.used)))
    }
}

impl Headroom {
    /// Counts an attempt that is admitted; returns what was admitted so far, this one included.
    pub fn admit(&mut self, prompt_tokens: u32) -> Used {
        self.used.requests += 1;
        self.used.tokens += u64::from(prompt_tokens);
        self.used
    }

    /// Takes in what an answer said, and what had been admitted when it was asked for.
    pub fn read(&mut self, limits: Limits, used: Used, now: Instant) {
        let reading = |gauge: Option<Gauge>, used| gauge.map(|gauge| Reading::new(gauge, used, now));
        self.requests = reading(limits.requests, used.requests).or(self.requests);
        self.tokens = reading(limits.tokens, used.tokens).or(self.tokens);
    }

    /// Returns the part that is left of the limit of which least is, 0 to 1, as far as that is known.
    pub fn share(&self, now: Instant) -> Option<f64> {
        let requests = self.requests.and_then(|reading| reading.share(self.used.requests, now));
        let tokens = self.tokens.and_then(|reading| reading.share(self.used.tokens, now));
        requests.into_iter().chain(tokens).reduce(f64::min)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[expect(clippy::unnecessary_wraps, reason = "what limits hold")]
    fn gauge(remaining: u64, limit: u64, reset: Option<Duration>) -> Option<Gauge> {
        Some(Gauge { limit, remaining, reset })
    }

    fn requests(remaining: u64, limit: u64, reset: Option<Duration>) -> Limits {
        Limits { requests: gauge(remaining, limit, reset), tokens: None }
    }

    #[test]
    fn nothing_is_known_before_anything_is_said() {
        let mut headroom = Headroom::default();
        headroom.admit(9);
        assert_eq!(headroom.share(Instant::now()), None);
    }

    #[test]
    fn the_limit_of_which_least_is_left_decides() {
        let now = Instant::now();
        let mut headroom = Headroom::default();
        let limits = Limits { requests: gauge(90, 100, None), tokens: gauge(200, 1_000, None) };
        headroom.read(limits, Used::default(), now);
        assert_eq!(headroom.share(now), Some(0.2));
        headroom.read(requests(10, 100, None), Used::default(), now);
        assert_eq!(headroom.share(now), Some(0.1), "what was not said again stands");
    }

    #[test]
    fn what_was_admitted_after_the_request_that_a_reading_answers_counts_against_it() {
        let now = Instant::now();
        let mut headroom = Headroom::default();
        let asked = headroom.admit(100);
        for _ in 0..4 {
            headroom.admit(100);
        }
        headroom.read(Limits { requests: gauge(9, 10, None), tokens: gauge(900, 1_000, None) }, asked, now);
        assert_eq!(headroom.share(now), Some(0.5));
        for _ in 0..9 {
            headroom.admit(0);
        }
        assert_eq!(headroom.share(now), Some(0.0), "and never below nothing");
    }

    #[test]
    fn a_reading_fades_at_its_reset_and_after_a_minute_at_the_latest() {
        for (reset, seconds) in [(None, 60), (Some(7 * SECOND), 7), (Some(3_600 * SECOND), 60)] {
            let now = Instant::now();
            let mut headroom = Headroom::default();
            headroom.read(requests(0, 10, reset), Used::default(), now);
            let just_before = now + (seconds - 1) * SECOND + 999 * SECOND / 1_000;
            assert_eq!(headroom.share(just_before), Some(0.0), "{reset:?}");
            assert_eq!(headroom.share(now + seconds * SECOND), None, "{reset:?}");
        }
    }

    #[test]
    fn a_restored_count_that_is_older_than_a_reading_takes_nothing_off() {
        let now = Instant::now();
        let mut headroom = Headroom::default();
        headroom.read(requests(5, 10, None), Used { requests: 1_000, tokens: 0 }, now);
        headroom.admit(0);
        assert_eq!(headroom.share(now), Some(0.5));
    }

    proptest! {
        #[test]
        fn a_share_is_between_nothing_and_all(
            limits in any::<[u64; 4]>(),
            used in any::<[u64; 2]>(),
            reset in any::<Option<u64>>(),
        ) {
            let now = Instant::now();
            let reset = reset.map(Duration::from_secs);
            let [a, b, c, d] = limits;
            let mut headroom = Headroom::default();
            let limits = Limits { requests: gauge(a.min(b), b, reset), tokens: gauge(c.min(d), d, reset) };
            headroom.read(limits, Used { requests: used[0], tokens: used[1] }, now);
            headroom.admit(u32::MAX);
            prop_assert!(headroom.share(now).is_none_or(|share| (0.0..=1.0).contains(&share)));
        }
    }
}

//! When a crashed child is started again: OTP's restart intensity with backoff.
//!
//! Input: a crash and its time. Output: how long to wait, and whether that wait is a rest. It never starts anything
//! itself and never gives up for good: after too many crashes the child rests, and every snapshot shows it.
//!
//! Source: Erlang/OTP `supervisor` (intensity as a sliding window of restarts); the backoff is not OTP's.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// The options of restarts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RestartOptions {
    /// The most restarts within `within`; one crash more and the child rests. Default: 5.
    pub restarts_max: u32,
    /// The sliding window that `restarts_max` counts in. Default: 10 s.
    #[serde(with = "humantime_serde")]
    pub within: Duration,
    /// The wait before the second restart in a window; it doubles with each further one. The first is at once.
    /// Default: 10 ms.
    #[serde(with = "humantime_serde")]
    pub backoff_min: Duration,
    /// The longest wait before a restart. Default: 1 s.
    #[serde(with = "humantime_serde")]
    pub backoff_max: Duration,
    /// How long a child rests after too many crashes, before it is started again with a clean window. Default: 60 s.
    #[serde(with = "humantime_serde")]
    pub rest: Duration,
}

impl Default for RestartOptions {
    fn default() -> Self {
        Self {
            restarts_max: 5,
            within: Duration::from_secs(10),
            backoff_min: Duration::from_millis(10),
            backoff_max: Duration::from_secs(1),
            rest: Duration::from_secs(60),
        }
    }
}

/// The reaction to a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Start it again after this long (zero: at once). `crashes` counts those within the window, this one included:
    /// from the second on, what the child had learned is suspect.
    After {
        /// The wait.
        wait: Duration,
        /// Crashes within the window.
        crashes: u32,
    },
    /// It crashed too often: leave it down this long.
    Rest(Duration),
}

/// The crashes of one child.
#[derive(Clone, Debug)]
pub struct Restarts {
    options: RestartOptions,
    crashes: VecDeque<Instant>,
}

impl Restarts {
    /// Returns a window without crashes.
    pub fn new(options: RestartOptions) -> Self {
        Self { options, crashes: VecDeque::new() }
    }

    /// Decides what follows from a crash. A failed start counts as a crash.
    pub fn crashed(&mut self, now: Instant, rng: &mut impl Rng) -> Restart {
        while self.crashes.front().is_some_and(|&at| now.saturating_duration_since(at) >= self.options.within) {
            self.crashes.pop_front();
        }
        self.crashes.push_back(now);
        let crashes = u32::try_from(self.crashes.len()).unwrap_or(u32::MAX);
        if crashes > self.options.restarts_max {
            self.crashes.clear();
            return Restart::Rest(self.options.rest);
        }
        let wait = match crashes {
            1 => Duration::ZERO,
            n => {
                let doubled = self.options.backoff_min.saturating_mul(1 << (n - 2).min(20));
                doubled.min(self.options.backoff_max).mul_f64(rng.random_range(0.5..=1.0))
            }
        };
        Restart::After { wait, crashes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    fn run(crash_times_ms: &[u64]) -> Vec<Restart> {
        let start = Instant::now();
        let mut rng = StdRng::seed_from_u64(1);
        let mut restarts = Restarts::new(RestartOptions::default());
        crash_times_ms.iter().map(|&ms| restarts.crashed(start + Duration::from_millis(ms), &mut rng)).collect()
    }

    #[test]
    fn the_first_restart_is_at_once() {
        assert_eq!(run(&[0]), [Restart::After { wait: Duration::ZERO, crashes: 1 }]);
    }

    #[test]
    fn further_restarts_wait_twice_as_long_each_with_jitter() {
        let waits: Vec<Duration> = run(&[0, 100, 200, 300, 400])
            .into_iter()
            .map(|decision| match decision {
                Restart::After { wait, .. } => wait,
                Restart::Rest(_) => panic!("rested within the intensity"),
            })
            .collect();
        for (i, wait) in waits.iter().enumerate().skip(1) {
            let full = Duration::from_millis(10 << (i - 1));
            assert!(*wait >= full / 2 && *wait <= full, "restart {i} waited {wait:?}");
        }
    }

    #[test]
    fn one_crash_more_than_the_intensity_rests_and_the_window_is_clean_afterwards() {
        let decisions = run(&[0, 1, 2, 3, 4, 5, 60_005]);
        assert_eq!(decisions[5], Restart::Rest(Duration::from_secs(60)));
        assert_eq!(decisions[6], Restart::After { wait: Duration::ZERO, crashes: 1 });
    }

    #[test]
    fn crashes_older_than_the_window_do_not_count() {
        let spread: Vec<u64> = (0..50).map(|i| i * 2_100).collect();
        assert!(run(&spread).iter().all(|decision| matches!(decision, Restart::After { .. })));
        assert_eq!(run(&[0, 10_000])[1], Restart::After { wait: Duration::ZERO, crashes: 1 });
    }
}

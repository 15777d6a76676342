//! Sequential tests: how bad must a run of outcomes be before chance no longer explains it.
//!
//! Input: [`Evidence`]. Output: a flag. A CUSUM counts in events, not in seconds, so it decides after as many requests
//! at one a minute as at a thousand a second; time only lets it fade. Nothing here knows what an attempt is.

use std::ops::AddAssign;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::words::ConfigError;

/// Time constant with which a CUSUM fades towards 0: what happened an hour ago proves nothing about now.
const FADE: Duration = Duration::from_secs(10 * 60);
/// Below this a fading CUSUM is 0: an exponential alone would never get there.
const ZERO: f64 = 0.01;

/// The evidence of an event, as a sum of outcomes: linear, so that fractions count in part and a mistake is corrected
/// by adding its negative.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Evidence {
    /// Weight of failures.
    pub failures: f64,
    /// Weight of successes.
    pub successes: f64,
    /// Weight of attempts that are counted for the first time; a failure after a counted success is not one.
    pub attempts: f64,
}

impl Evidence {
    /// Says nothing.
    pub const NONE: Self = Self { failures: 0.0, successes: 0.0, attempts: 0.0 };
    /// An attempt works.
    pub const SUCCESS: Self = Self { failures: 0.0, successes: 1.0, attempts: 1.0 };

    /// Returns the evidence of an attempt that failed before it reported anything.
    pub const fn failure(weight: f64) -> Self {
        Self { failures: weight, successes: 0.0, attempts: weight }
    }

    /// Returns the evidence of an attempt that fails after its success was counted; negative: it recovered.
    pub const fn relapse(weight: f64) -> Self {
        Self { failures: weight, successes: 0.0, attempts: 0.0 }
    }

    /// Returns the share of attempts that failed.
    pub fn rate(&self) -> f64 {
        (self.failures / self.attempts.max(1.0)).clamp(0.0, 1.0)
    }
}

impl AddAssign for Evidence {
    fn add_assign(&mut self, other: Self) {
        self.failures += other.failures;
        self.successes += other.successes;
        self.attempts += other.attempts;
    }
}

/// Which failure shares a detector tells apart, and how certain it must be.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DetectorOptions {
    /// Share of failures that is normal, in (0, `p1`).
    pub p0: f64,
    /// Share of failures that must be found quickly, in (`p0`, 1).
    pub p1: f64,
    /// Height of the alarm, as a log-likelihood ratio: each unit makes a false alarm about e times rarer and
    /// detection a few events later.
    pub h: f64,
}

impl DetectorOptions {
    /// Returns what is out of its range; `field` is the path of these options.
    pub fn check(&self, field: &str) -> Vec<ConfigError> {
        let Self { p0, p1, h } = *self;
        let fine = [
            ("p0", p0 > 0.0 && p0 < 1.0, "must be above 0 and below `p1`, as 0.02"),
            ("p1", p1 > p0 && p1 < 1.0, "must be above `p0` and below 1, as 0.3"),
            ("h", h > 0.0 && h.is_finite(), "must be above 0, as 6.0"),
        ];
        ConfigError::unless(field, fine)
    }
}

/// Page's cumulative sum of log-likelihood ratios (Biometrika 41, 1954), in [0, h], with a flag that is raised at h
/// and lowered below h/2.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cusum {
    /// Log-likelihood ratio of a failure, ln(p1/p0): positive.
    failure: f64,
    /// Log-likelihood ratio of a success, ln((1-p1)/(1-p0)): negative.
    success: f64,
    h: f64,
    value: f64,
    raised: bool,
    at: Instant,
}

impl Cusum {
    /// Returns a detector at 0.
    pub fn new(options: &DetectorOptions, now: Instant) -> Self {
        let DetectorOptions { p0, p1, h } = *options;
        Self { failure: (p1 / p0).ln(), success: ((1.0 - p1) / (1.0 - p0)).ln(), h, value: 0.0, raised: false, at: now }
    }

    /// Adds evidence, and tells whether the flag is raised.
    pub fn add(&mut self, evidence: Evidence, now: Instant) -> bool {
        self.add_beyond(0.0, evidence, now)
    }

    /// Adds evidence against a known share of failures: if that is above `p0` it replaces `p0`, and `p1` is moved by
    /// the same ratio of odds.
    pub fn add_beyond(&mut self, known: f64, evidence: Evidence, now: Instant) -> bool {
        let was_raised = self.is_raised(now);
        // e^failure and e^success are p1/p0 and (1-p1)/(1-p0).
        let (up, down) = (self.failure.exp(), self.success.exp());
        let p0 = (1.0 - down) / (up - down);
        let (failure, success) = if known > p0 {
            let whole = known * up + (1.0 - known) * down;
            (self.failure - whole.ln(), self.success - whole.ln())
        } else {
            (self.failure, self.success)
        };
        let ratio = evidence.failures * failure + evidence.successes * success;
        self.value = (self.value(now) + ratio).clamp(0.0, self.h);
        self.at = self.at.max(now);
        self.raised = self.value >= self.h || (was_raised && self.value >= self.h / 2.0);
        self.raised
    }

    /// Starts again, without alarm: at a share of its height.
    pub fn restart(&mut self, share: f64, now: Instant) {
        (self.value, self.raised, self.at) = (self.h * share, false, now);
    }

    /// Returns its value.
    pub fn value(&self, now: Instant) -> f64 {
        let idle = now.saturating_duration_since(self.at);
        let value =
            if idle.is_zero() { self.value } else { self.value * (-idle.as_secs_f64() / FADE.as_secs_f64()).exp() };
        if value < ZERO { 0.0 } else { value }
    }

    /// Tells whether the flag is raised.
    pub fn is_raised(&self, now: Instant) -> bool {
        self.raised && self.value(now) >= self.h / 2.0
    }
}

persist!(struct DetectorOptions { p0, p1, h });
persist!(struct Evidence { failures, successes, attempts });
persist!(struct Cusum { failure, success, h, value, raised, at });

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::policy::breaker::BreakerOptions;
    use crate::policy::health::HealthOptions;

    /// Mean number of events until the flag is raised at a share of failures, exactly: a run from 0 either ends at 0 or
    /// raises the flag, so the mean is that of one such cycle over the chance that it raises. Within a cycle the
    /// CUSUM's state follows from the number of failures, which makes a Markov chain of a handful of states.
    fn run_length(options: &DetectorOptions, failures: f64) -> f64 {
        let now = Instant::now();
        let mut first = Cusum::new(options, now);
        assert!(!first.add(Evidence::failure(1.0), now), "one failure is never enough here");
        let mut running = BTreeMap::from([(1, (first, 1.0))]);
        let (mut length, mut raised) = (1.0 / failures, 0.0);
        loop {
            let mass: f64 = running.values().map(|(_, mass)| mass).sum();
            if mass < 1e-15 {
                return length / raised;
            }
            length += mass;
            let mut next = BTreeMap::new();
            for (count, (cusum, mass)) in running {
                let (mut up, mut down) = (cusum, cusum);
                if up.add(Evidence::failure(1.0), now) {
                    raised += mass * failures;
                } else {
                    next.entry(count + 1).or_insert((up, 0.0)).1 += mass * failures;
                }
                down.add(Evidence::SUCCESS, now);
                if down.value(now) > 0.0 {
                    next.entry(count).or_insert((down, 0.0)).1 += mass * (1.0 - failures);
                }
            }
            running = next;
        }
    }

    fn check(options: &DetectorOptions, table: &[(f64, f64)]) {
        for &(failures, expected) in table {
            let mean = run_length(options, failures);
            assert!((mean / expected - 1.0).abs() < 0.1, "at {failures}: {mean:.1} events instead of {expected}");
        }
    }

    #[test]
    fn the_open_detector_is_as_quick_and_as_calm_as_designed() {
        let table = [(0.005, 292e3), (0.05, 366.0), (0.1, 68.0), (0.2, 20.0), (0.3, 11.0), (0.5, 6.0), (1.0, 3.0)];
        check(&BreakerOptions::default().alarm, &table);
    }

    #[test]
    fn the_degraded_detector_is_as_quick_and_as_calm_as_designed() {
        let table = [(0.005, 172e3), (0.05, 109.0), (0.1, 42.0), (0.2, 19.0), (0.3, 13.0), (0.5, 7.6), (1.0, 4.0)];
        check(&HealthOptions::default().degraded, &table);
    }

    #[test]
    fn the_slow_detector_is_as_quick_and_as_calm_as_designed() {
        check(&HealthOptions::default().slow, &[(0.05, 89e3), (0.3, 28.0), (1.0, 6.0)]);
    }

    fn open(now: Instant) -> Cusum {
        Cusum::new(&BreakerOptions::default().alarm, now)
    }

    #[test]
    fn the_ratios_are_those_of_the_design() {
        let now = Instant::now();
        let mut cusum = open(now);
        cusum.add(Evidence::failure(1.0), now);
        assert!((cusum.value(now) - 2.708).abs() < 1e-3);
        cusum.add(Evidence::SUCCESS, now);
        assert!((cusum.value(now) - (2.708 - 0.3365)).abs() < 1e-3);
    }

    #[test]
    fn the_flag_is_raised_at_h_and_lowered_below_half_of_it() {
        let now = Instant::now();
        let mut cusum = open(now);
        assert!(!cusum.add(Evidence::failure(2.0), now));
        assert!(cusum.add(Evidence::failure(1.0), now));
        assert!((cusum.value(now) - 6.0).abs() < 1e-9, "capped at h");
        for _ in 0..8 {
            assert!(cusum.add(Evidence::SUCCESS, now), "at {}", cusum.value(now));
        }
        assert!(!cusum.add(Evidence::SUCCESS, now), "below 3");
        assert!(!cusum.add(Evidence::failure(0.3), now), "above 3 again is not at h");
    }

    #[test]
    fn a_detector_fades_with_ten_minutes_and_lowers_its_flag_unasked() {
        let now = Instant::now();
        let mut cusum = open(now);
        cusum.add(Evidence::failure(3.0), now);
        assert!((cusum.value(now + FADE) - 6.0 / std::f64::consts::E).abs() < 1e-9);
        assert!(cusum.is_raised(now + FADE / 2) && !cusum.is_raised(now + FADE));
        let later = now + FADE;
        assert!(!cusum.add(Evidence::failure(0.5), later), "a lowered flag is not raised again below h");
        assert_eq!(cusum.value(now + 8 * FADE), 0.0);
    }

    #[test]
    fn part_of_a_failure_counts_in_part_and_is_taken_back_whole() {
        let now = Instant::now();
        let mut cusum = open(now);
        cusum.add(Evidence::failure(0.2), now);
        assert!((cusum.value(now) - 0.2 * 2.708).abs() < 1e-3);
        cusum.add(Evidence::failure(-0.2), now);
        assert_eq!(cusum.value(now), 0.0);
    }

    proptest! {
        #[test]
        fn no_evidence_drives_a_detector_out_of_its_range(
            steps in prop::collection::vec((-2.0..3.0_f64, 0.0..2.0_f64, 0..2_000_u64), 1..200)
        ) {
            let mut now = Instant::now();
            let mut cusum = open(now);
            for (failures, successes, seconds) in steps {
                now += Duration::from_secs(seconds);
                let raised = cusum.add(Evidence { failures, successes, attempts: 0.0 }, now);
                prop_assert!((0.0..=6.0).contains(&cusum.value(now)));
                prop_assert_eq!(raised, cusum.is_raised(now));
                prop_assert!(!raised || cusum.value(now) >= 3.0);
            }
        }
    }

    #[test]
    fn options_out_of_range_are_refused_by_name() {
        let good = DetectorOptions { p0: 0.01, p1: 0.05, h: 5.0 };
        let names = |options: DetectorOptions| -> Vec<String> {
            options.check("x").into_iter().map(|error| error.field).collect()
        };
        assert!(names(good).is_empty());
        assert_eq!(names(DetectorOptions { p0: 0.05, ..good }), ["x.p1"]);
        assert_eq!(names(DetectorOptions { p1: f64::NAN, ..good }), ["x.p1"]);
        assert_eq!(names(DetectorOptions { p0: 0.0, h: 0.0, ..good }), ["x.p0", "x.h"]);
    }

    #[test]
    fn a_known_rate_counts_only_where_it_is_above_what_is_normal() {
        let (now, options) = (Instant::now(), BreakerOptions::default().alarm);
        let after = |known: f64| {
            let mut cusum = Cusum::new(&options, now);
            cusum.add_beyond(known, Evidence::failure(1.0), now);
            cusum.value(now)
        };
        assert_eq!(after(options.p0 * 0.95), after(0.0));
        assert!(after(options.p0 * 1.05) < after(0.0));
    }
}

//! Sequential tests: how bad must a run of outcomes be before chance no longer explains it.
//!
//! In flows [`Evidence`], out flows a flag. A CUSUM counts in events, not in seconds, so it decides after as many
//! requests at one a minute as at a thousand a second; time only lets it fade. Nothing here knows what an attempt is.

use std::ops::AddAssign;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::words::ConfigError;

/// Time constant with which a CUSUM fades towards 0: what happened an hour ago proves nothing about now.
const FADE: Duration = Duration::from_secs(10 * 60);
/// Below this a fading CUSUM stands at 0: an exponential alone would never get there.
const ZERO: f64 = 0.01;

/// What an event says, as a sum of outcomes: linear, so that a part counts in part and a mistake is taken back by
/// adding its negative.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Evidence {
    /// Weight of failures.
    pub failures: f64,
    /// Weight of successes.
    pub successes: f64,
    /// Attempts that are heard of for the first time, by weight; one that fails after it had succeeded is not.
    pub attempts: f64,
}

impl Evidence {
    /// Says nothing.
    pub const NONE: Self = Self { failures: 0.0, successes: 0.0, attempts: 0.0 };
    /// An attempt works.
    pub const SUCCESS: Self = Self { failures: 0.0, successes: 1.0, attempts: 1.0 };

    /// Returns the evidence of an attempt that failed before anything was heard of it.
    pub const fn failure(weight: f64) -> Self {
        Self { failures: weight, successes: 0.0, attempts: weight }
    }

    /// Returns the evidence of an attempt that fails after its success was counted; negative: it recovered.
    pub const fn relapse(weight: f64) -> Self {
        Self { failures: weight, successes: 0.0, attempts: 0.0 }
    }
}

impl AddAssign for Evidence {
    fn add_assign(&mut self, other: Self) {
        self.failures += other.failures;
        self.successes += other.successes;
        self.attempts += other.attempts;
    }
}

/// What a detector tells apart, and how sure it must be.
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
    /// Checks the ranges; `field` is the path of these options.
    ///
    /// # Errors
    /// Names the field that is out of its range.
    pub fn check(&self, field: &str) -> Result<(), ConfigError> {
        if !(self.p0 > 0.0 && self.p0 < self.p1 && self.p1 < 1.0) {
            return Err(ConfigError::new(field, "0 < p0 < p1 < 1 must hold"));
        }
        if !(self.h > 0.0 && self.h.is_finite()) {
            return Err(ConfigError::new(format!("{field}.h"), "must be above 0"));
        }
        Ok(())
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
        let was_raised = self.is_raised(now);
        let ratio = evidence.failures * self.failure + evidence.successes * self.success;
        self.value = (self.value(now) + ratio).clamp(0.0, self.h);
        self.at = self.at.max(now);
        self.raised = self.value >= self.h || (was_raised && self.value >= self.h / 2.0);
        self.raised
    }

    /// Starts again, without alarm: at a share of its height.
    pub fn restart(&mut self, share: f64, now: Instant) {
        (self.value, self.raised, self.at) = (self.h * share, false, now);
    }

    /// Returns where it stands.
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

//! Means that forget: of failures as a rate, and of times.
//!
//! Input: samples. Output: what is expected now. Nothing here judges. A mean forgets with each sample and with time.
//! Time takes its weight away soon, and moves the mean itself towards the usual value late: so a target that is asked
//! seldom keeps its mean, and the next sample then says much.

use std::time::{Duration, Instant};

use crate::policy::latency::{Latency, MODEL_MEAN};

/// No mean is below this part of what is usual.
const LEAST: f64 = 0.01;
/// The most samples whose mean is the usual value.
const USUAL_SAMPLES_MAX: f64 = 256.0;

/// How a mean forgets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fade {
    /// What each sample leaves of the weight before it.
    pub kept: f64,
    /// Time constant with which weight is lost.
    pub weight: Duration,
    /// Time constant with which the mean returns to what is usual.
    pub mean: Duration,
}

/// A mean that forgets. Of zeros and ones it is a decayed Beta posterior.
#[derive(Clone, Copy, Debug)]
pub struct DecayedMean {
    prior: f64,
    /// The least weight.
    prior_mass: f64,
    /// The largest sample: no mean is above it, even if something was taken back or came without mass.
    max: f64,
    fade: Fade,
    sum: f64,
    mass: f64,
    at: Instant,
}

impl DecayedMean {
    /// Returns what is expected before anything is known, with a weight in samples.
    pub const fn new(prior: f64, prior_mass: f64, max: f64, fade: Fade, now: Instant) -> Self {
        Self { prior, prior_mass, max, fade, sum: prior * prior_mass, mass: prior_mass, at: now }
    }

    /// Adds samples of this sum and number, or takes them back.
    pub fn add(&mut self, sum: f64, mass: f64, now: Instant) {
        let kept = 1.0 - (1.0 - self.fade.kept) * mass.max(0.0);
        let (old_sum, old_mass) = self.faded(now);
        self.mass = (old_mass * kept + mass).max(self.prior_mass);
        // A part of the prior always stays, even if much is taken back.
        let least = self.mass * (LEAST * self.prior).min(self.max);
        self.sum = (old_sum * kept + sum).clamp(least, self.mass * self.max);
        self.at = self.at.max(now);
    }

    /// Forgets all but a part, as time would.
    pub fn forget(&mut self, kept: f64, now: Instant) {
        let (sum, mass) = self.faded(now);
        let mean = self.prior + (sum / mass - self.prior) * kept;
        self.mass = self.prior_mass + (mass - self.prior_mass) * kept;
        self.sum = mean * self.mass;
        self.at = self.at.max(now);
    }

    /// Returns the mean.
    pub fn mean(&self, now: Instant) -> f64 {
        let (sum, mass) = self.faded(now);
        sum / mass
    }

    /// Returns its weight in samples, that of the prior included.
    pub fn mass(&self, now: Instant) -> f64 {
        self.faded(now).1
    }

    /// Returns what is expected before anything is known.
    pub const fn prior(&self) -> f64 {
        self.prior
    }

    /// Returns the weight of that, in samples.
    pub const fn prior_mass(&self) -> f64 {
        self.prior_mass
    }

    fn faded(&self, now: Instant) -> (f64, f64) {
        let idle = now.saturating_duration_since(self.at);
        if idle.is_zero() || self.mass == 0.0 {
            return (self.sum, self.mass);
        }
        let kept = |fade: Duration| (-idle.as_secs_f64() / fade.as_secs_f64()).exp();
        let mass = (self.mass * kept(self.fade.weight)).max(self.prior_mass);
        let mean = self.prior + (self.sum / self.mass - self.prior) * kept(self.fade.mean);
        (mean * mass, mass)
    }
}

/// The expected value of a time: the recent mean, and the mean of days without trouble.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// Its prior is what is usual.
    lately: DecayedMean,
    /// The number of those samples.
    usual_samples: f64,
}

impl Expected {
    /// Returns what is expected of a time of which nothing is known.
    pub const fn new(fade: Fade, now: Instant) -> Self {
        Self { lately: DecayedMean::new(0.0, 0.0, f64::INFINITY, fade, now), usual_samples: 0.0 }
    }

    /// Counts a sample; `normal` if all is well.
    pub fn record(&mut self, time: Duration, normal: bool, now: Instant) {
        let time = time.as_secs_f64();
        self.lately.add(time, 1.0, now);
        self.lately.prior_mass = 1.0;
        if normal || self.usual_samples == 0.0 {
            self.usual_samples = (self.usual_samples + 1.0).min(USUAL_SAMPLES_MAX);
            self.lately.prior += (time - self.lately.prior) / self.usual_samples;
        }
    }

    /// Returns quantiles with the mean that is expected now.
    pub fn with(&self, latency: Latency, now: Instant) -> Latency {
        if self.usual_samples == 0.0 {
            return latency;
        }
        Latency { mean: Duration::from_secs_f64(self.lately.mean(now)), ..latency }
    }

    /// Returns quantiles with the mean that is usual.
    pub fn usually(&self, latency: Latency) -> Latency {
        self.usual().map_or(latency, |usual| Latency { mean: usual.mean, ..latency })
    }

    /// Returns the quantiles while all is well, by the model around its mean; `None` if nothing is known.
    pub fn usual(&self) -> Option<Latency> {
        let mean = Duration::from_secs_f64(self.lately.prior);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some hundreds")]
        let samples = self.usual_samples as u32;
        (samples > 0).then(|| Latency { mean, samples, ..Latency::around(mean.div_f64(MODEL_MEAN)) })
    }
}

persist!(struct Fade { kept, weight, mean });
persist!(struct DecayedMean { prior, prior_mass, max, fade, sum, mass, at });
persist!(struct Expected { lately, usual_samples });

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const FADE: Fade = Fade { kept: 0.97, weight: Duration::from_secs(100), mean: Duration::from_secs(1_000) };

    fn failing(now: Instant) -> DecayedMean {
        let mut mean = DecayedMean::new(0.1, 10.0, 1.0, FADE, now);
        (0..20).for_each(|_| mean.add(1.0, 1.0, now));
        mean
    }

    #[test]
    fn what_is_forgotten_leaves_that_part_of_what_was_known() {
        let now = Instant::now();
        let before = failing(now);
        assert!(before.mean(now) > 0.6 && before.mass(now) > 15.0);
        for (kept, part) in [(1.0, 1.0), (0.25, 0.25), (0.0, 0.0)] {
            let mut after = before;
            after.forget(kept, now);
            assert!((after.mean(now) - (0.1 + (before.mean(now) - 0.1) * part)).abs() < 1e-12, "{kept}");
            assert!((after.mass(now) - (10.0 + (before.mass(now) - 10.0) * part)).abs() < 1e-12, "{kept}");
        }
    }

    #[test]
    fn time_that_has_passed_counts_once_however_often_it_is_asked_or_something_is_forgotten() {
        let start = Instant::now();
        let (mut mean, later) = (failing(start), start + SECOND * 50);
        let before = (mean.mean(later), mean.mass(later));
        assert!(before.0 < mean.mean(start) && before.1 < mean.mass(start));
        mean.forget(1.0, later);
        let after = (mean.mean(later), mean.mass(later));
        assert!((after.0 - before.0).abs() < 1e-12 && (after.1 - before.1).abs() < 1e-12, "{before:?} {after:?}");
    }

    #[test]
    fn what_is_usual_is_the_mean_of_times_in_which_all_was_well_and_of_the_first_of_all() {
        let now = Instant::now();
        let usual = |samples: &[(u32, bool)]| {
            let mut expected = Expected::new(FADE, now);
            for (seconds, normal) in samples {
                expected.record(SECOND * *seconds, *normal, now);
            }
            expected.usual().map(|usual| (usual.mean.as_secs_f64(), usual.samples))
        };
        assert_eq!(usual(&[]), None);
        assert_eq!(usual(&[(4, false)]), Some((4.0, 1)));
        assert_eq!(usual(&[(1, true), (3, true), (9, false)]), Some((2.0, 2)));
    }

    #[test]
    fn a_time_that_was_not_measured_for_long_is_as_usual_and_one_that_never_was_as_told() {
        let start = Instant::now();
        let told = Latency::around(SECOND * 7);
        let mut expected = Expected::new(FADE, start);
        assert_eq!(expected.with(told, start).mean, told.mean);
        expected.record(SECOND, true, start);
        (0..50).for_each(|_| expected.record(SECOND * 30, false, start));
        assert!(expected.with(told, start).mean > SECOND * 20);
        let years = start + SECOND * 100_000_000;
        assert_eq!(expected.with(told, years).mean, SECOND);
    }
}

//! Percentiles of a latency, over the recent past ([`Window`]) or over days ([`Baseline`]).
//!
//! In flow samples, out flow quantiles, which are the samples' own where there are enough of them and a log-normal
//! model's where there are not: a p99 of five samples is a rumour. Nothing here may judge a latency (that is
//! `health`), and no number of samples may make it grow without bound or make a single record expensive.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::policy::snapshot::Latency;

/// Quantiles of the log-normal model in medians, exp(.6 z): the answer times of language models spread by about .6
/// in the logarithm whatever their median.
const MODEL_P90: f64 = 2.157_4;
const MODEL_P95: f64 = 2.682_9;
const MODEL_P99: f64 = 4.038_4;
/// The model's q99.9 in medians: past it, something is wrong rather than slow.
pub const MODEL_P999: f64 = 6.385_7;

/// Samples from which a quantile is measured: so many that it lies below the largest one with 95 % certainty,
/// ln .05 / ln q (29 for p90, 59 for p95, 299 for p99); 8 do for a median.
const P50_SAMPLES: u32 = 8;
const P90_SAMPLES: u32 = 29;
const P95_SAMPLES: u32 = 59;
const P99_SAMPLES: u32 = 299;

/// Slices of a window: the oldest is forgotten as a new one begins, so an old sample leaves within a sixth.
const SLICES: usize = 6;
/// A slice rotates at this age, so a window reaches back half an hour at most.
const SLICE_AGE_MAX: Duration = Duration::from_secs(5 * 60);
/// A slice rotates at so many samples: six of them are enough for a p99 (299) …
const SLICE_SAMPLES: usize = 64;
/// … but not before this age, so that one burst does not push out everything that was known.
const SLICE_AGE_MIN: Duration = Duration::from_secs(5);
/// Samples beyond these in one slice are dropped: they would cost memory and no longer move any quantile.
const SLICE_SAMPLES_MAX: usize = 2_048;
/// The baseline's half-life.
const BASELINE_HALVING: Duration = Duration::from_secs(24 * 60 * 60);

/// What is measured: resolution and range of the histogram, at 2 significant digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Time to first token, 1 ms to 600 s.
    FirstToken,
    /// Time per output token, 10 us to 60 s.
    PerToken,
}

impl Scale {
    const fn unit(self) -> Duration {
        match self {
            Self::FirstToken => Duration::from_millis(1),
            Self::PerToken => Duration::from_micros(1),
        }
    }

    /// Smallest and largest value, in units.
    const fn range(self) -> (u64, u64) {
        match self {
            Self::FirstToken => (1, 600_000),
            Self::PerToken => (10, 60_000_000),
        }
    }

    fn units(self, latency: Duration) -> u32 {
        let (min, max) = self.range();
        let units = (latency.as_nanos() / self.unit().as_nanos()).clamp(u128::from(min), u128::from(max));
        u32::try_from(units).expect("both ranges end below 2^32")
    }

    fn latency(self, units: u64) -> Duration {
        self.unit().saturating_mul(u32::try_from(units).unwrap_or(u32::MAX))
    }
}

/// A histogram with a model behind it. The quantiles are kept: reading them is free, and recording pays for them
/// once the sample has grown by a 32nd.
#[derive(Clone, Debug)]
struct Distribution {
    scale: Scale,
    prior: Duration,
    histogram: Histogram<u32>,
    latency: Latency,
    unread: u64,
}

impl Distribution {
    fn new(scale: Scale, prior: Duration) -> Self {
        let (min, max) = scale.range();
        let histogram = Histogram::new_with_bounds(min, max, 2).expect("both ranges are valid bounds");
        let latency = model(prior);
        Self { scale, prior, histogram, latency, unread: 0 }
    }

    fn record(&mut self, units: u32) {
        self.histogram.saturating_record(u64::from(units));
        self.unread += 1;
        if self.unread * 32 >= self.histogram.len() {
            self.refresh();
        }
    }

    fn forget(&mut self, samples: &[u32]) {
        let mut forgotten = Histogram::<u32>::new_from(&self.histogram);
        for &units in samples {
            forgotten.saturating_record(u64::from(units));
        }
        self.histogram.subtract(&forgotten).expect("what is forgotten had been recorded");
        self.refresh();
    }

    fn halve(&mut self) {
        let mut halved = Histogram::<u32>::new_from(&self.histogram);
        for step in self.histogram.iter_recorded() {
            halved.saturating_record_n(step.value_iterated_to(), step.count_at_value() / 2);
        }
        self.histogram = halved;
        self.refresh();
    }

    /// Reads all quantiles in one pass. Each is at least the one before it, though measured and modelled ones mix.
    fn refresh(&mut self) {
        self.unread = 0;
        let samples = u32::try_from(self.histogram.len()).unwrap_or(u32::MAX);
        let mut measured =
            self.histogram.value_at_quantiles([0.5, 0.9, 0.95, 0.99]).map(|units| self.scale.latency(units));
        let mut quote = |samples_min: u32| measured.next().filter(|_| samples >= samples_min);
        let p50 = quote(P50_SAMPLES).unwrap_or(self.prior);
        let guess = model(p50);
        let p90 = quote(P90_SAMPLES).unwrap_or(guess.p90).max(p50);
        let p95 = quote(P95_SAMPLES).unwrap_or(guess.p95).max(p90);
        let p99 = quote(P99_SAMPLES).unwrap_or(guess.p99).max(p95);
        self.latency = Latency { p50, p90, p95, p99, samples };
    }
}

/// Returns the model's quantiles around a median.
fn model(p50: Duration) -> Latency {
    let times = |factor| p50.mul_f64(factor);
    Latency { p50, p90: times(MODEL_P90), p95: times(MODEL_P95), p99: times(MODEL_P99), samples: 0 }
}

#[derive(Clone, Debug)]
struct Slice {
    since: Instant,
    samples: Vec<u32>,
}

/// A latency over the recent past: the last six slices of 64 samples or 5 minutes each, whichever ends first.
///
/// Each slice logs what it added to the running histogram, so that it can be taken out again: at an agent's rates
/// that is a few hundred bytes, where a ring of histograms would be tens of kilobytes.
#[derive(Clone, Debug)]
pub struct Window {
    distribution: Distribution,
    slices: VecDeque<Slice>,
}

impl Window {
    /// Returns an empty window whose model has this median.
    pub fn new(scale: Scale, prior: Duration, now: Instant) -> Self {
        let slices = VecDeque::from([Slice { since: now, samples: Vec::new() }]);
        Self { distribution: Distribution::new(scale, prior), slices }
    }

    /// Counts a sample. What is out of range counts as the range's end.
    pub fn record(&mut self, latency: Duration, now: Instant) {
        self.rotate(now);
        let slice = self.slices.back_mut().expect("a window has a slice from its start");
        if slice.samples.len() < SLICE_SAMPLES_MAX {
            let units = self.distribution.scale.units(latency);
            slice.samples.push(units);
            self.distribution.record(units);
        }
    }

    /// Returns the quantiles; the model's when the last sample has left the window.
    pub fn latency(&self, now: Instant) -> Latency {
        let slice = self.slices.back().expect("a window has a slice from its start");
        let age = now.saturating_duration_since(slice.since);
        if age >= SLICE_AGE_MAX * SLICES as u32 { model(self.distribution.prior) } else { self.distribution.latency }
    }

    fn rotate(&mut self, now: Instant) {
        let slice = self.slices.back().expect("a window has a slice from its start");
        let age = now.saturating_duration_since(slice.since);
        let full = slice.samples.len() >= SLICE_SAMPLES && age >= SLICE_AGE_MIN;
        let turns = (age.as_secs() / SLICE_AGE_MAX.as_secs()).max(u64::from(full)).min(SLICES as u64);
        for _ in 0..turns {
            self.slices.push_back(Slice { since: now, samples: Vec::new() });
            if self.slices.len() > SLICES {
                let oldest = self.slices.pop_front().expect("there are more than six");
                self.distribution.forget(&oldest.samples);
            }
        }
    }
}

/// A latency as it normally is: halved every 24 h, so that it follows a provider over days and not within an outage.
#[derive(Clone, Debug)]
pub struct Baseline {
    distribution: Distribution,
    halved: Instant,
}

impl Baseline {
    /// Returns an empty baseline whose model has this median.
    pub fn new(scale: Scale, prior: Duration, now: Instant) -> Self {
        Self { distribution: Distribution::new(scale, prior), halved: now }
    }

    /// Counts a sample.
    pub fn record(&mut self, latency: Duration, now: Instant) {
        let days = now.saturating_duration_since(self.halved).as_secs() / BASELINE_HALVING.as_secs();
        if days > 0 {
            // 32 halvings empty any histogram of u32 counts.
            (0..days.min(32)).for_each(|_| self.distribution.halve());
            self.halved = now;
        }
        self.distribution.record(self.distribution.scale.units(latency));
    }

    /// Returns the quantiles.
    pub fn latency(&self) -> Latency {
        self.distribution.latency
    }

    /// Tells whether p95, which decides what slow means, is measured yet.
    pub fn is_measured(&self) -> bool {
        self.distribution.latency.samples >= P95_SAMPLES
    }
}

//! How long something took at a target, in quantiles.

use std::time::Duration;

/// Quantiles of the log-normal model in medians, exp(.6 z): the answer times of language models spread by about .6 in
/// the logarithm at any median.
pub(super) const MODEL_MEAN: f64 = 1.197_2;
const MODEL_P90: f64 = 2.157_4;
const MODEL_P95: f64 = 2.682_9;
const MODEL_P99: f64 = 4.038_4;
/// The model's q99.9 in medians: past it, something is wrong rather than slow.
pub(super) const MODEL_P999: f64 = 6.385_7;

/// Samples from which a quantile is measured: enough that it is below the largest one with 95 % certainty, ln .05 / ln
/// q (29 for p90, 59 for p95, 299 for p99); 8 do for a median.
pub(super) const P50_SAMPLES: u32 = 8;
pub(super) const P90_SAMPLES: u32 = 29;
pub(super) const P95_SAMPLES: u32 = 59;
pub(super) const P99_SAMPLES: u32 = 299;

/// Quantiles of one latency, for a prompt of no length (see [`Latency::at`]).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Latency {
    /// Recent mean; each wait counts up to the age at which another attempt would join it.
    pub mean: Duration,
    /// Median.
    pub p50: Duration,
    /// 90th percentile.
    pub p90: Duration,
    /// 95th percentile.
    pub p95: Duration,
    /// 99th percentile.
    pub p99: Duration,
    /// Samples in the window. p90 is measured from 29, p95 from 59, p99 from 299, p50 from 8 samples on; below
    /// that the number is the model's.
    pub samples: u32,
}

impl Latency {
    /// Returns the model's quantiles around a median.
    pub fn around(p50: Duration) -> Self {
        let times = |factor| p50.mul_f64(factor);
        let mean = times(MODEL_MEAN);
        Self { mean, p50, p90: times(MODEL_P90), p95: times(MODEL_P95), p99: times(MODEL_P99), samples: 0 }
    }

    /// Tells whether there are too few samples for a median: then all of this is what models of its class usually take.
    pub const fn is_assumed(&self) -> bool {
        self.samples < P50_SAMPLES
    }

    /// Returns a quantile for a prompt of this many tokens: reading a prompt takes time in proportion to its length.
    pub fn at(quantile: Duration, prompt_tokens: u32) -> Duration {
        quantile.mul_f64(Self::prompt_factor(prompt_tokens))
    }

    /// Returns the factor by which a prompt lengthens the time to the first token: 1 + tokens / 20 000.
    pub fn prompt_factor(prompt_tokens: u32) -> f64 {
        1.0 + f64::from(prompt_tokens) / 20_000.0
    }
}

persist!(struct Latency { mean, p50, p90, p95, p99, samples });

//! Percentiles of a latency, over the recent past ([`Window`]) or over days ([`Baseline`]).
//!
//! Input: samples. Output: quantiles, which are the samples' own where there are enough of them and a log-normal
//! model's where there are not: a p99 of five samples means nothing. Nothing here may judge a latency (that is
//! `health`), and no number of samples may make it grow without bound or make a single record expensive.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::latency::{Latency, P50_SAMPLES, P90_SAMPLES, P95_SAMPLES, P99_SAMPLES};
#[cfg(feature = "store")]
use crate::policy::persist::{Persist, Reader, SchemaHash, Writer};

/// How far the higher quantiles of any log-normal are from the median, measured by the 90th: z95 / z90 and z99 / z90.
const P95_BY_P90: f64 = 1.283_5;
const P99_BY_P90: f64 = 1.815_2;
/// No spread is believed to be wider: a 99th percentile of a thousand medians is an hour.
const SPREAD_MAX: f64 = 1_000.0;

/// Slices of a window: the oldest is forgotten as a new one begins, so an old sample leaves within a sixth.
const SLICES: u8 = 6;
/// A slice rotates at this age, so a window reaches back half an hour at most.
const SLICE_AGE_MAX: Duration = Duration::from_secs(5 * 60);
/// A slice rotates at this many samples: six of them are enough for a p99 (299) …
const SLICE_SAMPLES: usize = 64;
/// … but not before this age, so that one burst does not push out everything that was known.
const SLICE_AGE_MIN: Duration = Duration::from_secs(5);
/// Samples beyond these in one slice are dropped: they would cost memory and no longer move any quantile.
const SLICE_SAMPLES_MAX: usize = 2_048;
/// No answer within this time is slow: at a server that answers within milliseconds a busy processor is seen, and no
/// caller's wait.
const SLOW_MIN: Duration = Duration::from_millis(50);
/// The baseline's half-life.
const BASELINE_HALVING: Duration = Duration::from_secs(24 * 60 * 60);

/// What is measured: it sets resolution and range of the histogram, at 2 significant digits.
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
            Self::PerToken => Duration::from_micros(10),
        }
    }

    /// Largest value, in units; the smallest is 1.
    const fn max(self) -> u32 {
        match self {
            Self::FirstToken => 600_000,
            Self::PerToken => 6_000_000,
        }
    }

    fn units(self, latency: Duration) -> u32 {
        let units = latency.as_nanos() / self.unit().as_nanos();
        u32::try_from(units).unwrap_or(u32::MAX).clamp(1, self.max())
    }

    fn latency(self, units: u64) -> Duration {
        self.unit().saturating_mul(u32::try_from(units).unwrap_or(u32::MAX))
    }
}

/// A histogram with a model behind it. The quantiles are kept: reading them is free, and recording pays for them
/// once the sample has grown by a 64th.
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
        let histogram = Histogram::new_with_bounds(1, u64::from(scale.max()), 2).expect("both are valid bounds");
        let latency = Latency::around(prior);
        Self { scale, prior, histogram, latency, unread: 0 }
    }

    fn record(&mut self, units: u32) {
        self.histogram.saturating_record(u64::from(units));
        self.unread += 1;
        if self.unread * 64 >= self.histogram.len() {
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

    fn samples(&self) -> u32 {
        u32::try_from(self.histogram.len()).unwrap_or(u32::MAX)
    }

    fn latency(&self) -> Latency {
        Latency { samples: self.samples(), ..self.latency }
    }

    /// Reads all quantiles in one pass. Each is at least the one before it, though measured and modelled ones mix.
    fn refresh(&mut self) {
        self.unread = 0;
        let samples = self.samples();
        let mut measured =
            self.histogram.value_at_quantiles([0.5, 0.9, 0.95, 0.99]).map(|units| self.scale.latency(units));
        let mut quote = |samples_min: u32| measured.next().filter(|_| samples >= samples_min);
        let p50 = quote(P50_SAMPLES).unwrap_or(self.prior);
        let guess = Latency::around(p50);
        let p90 = quote(P90_SAMPLES);
        // Once the spread is measured it counts, be it wider than the model's or narrower.
        let spread = p90.map_or(1.0, |p90| p90.max(p50).as_secs_f64() / p50.as_secs_f64());
        let most = self.scale.latency(u64::from(self.scale.max()));
        let wide = |power: f64| p50.mul_f64(spread.powf(power).min(SPREAD_MAX)).min(most);
        let longest = self.scale.latency(self.histogram.max());
        // As far as the measured spread says, or the longest; no further than the wider of spread and model.
        let beyond = |guess: Duration, power: f64| match p90 {
            Some(_) => longest.clamp(wide(power), guess.max(wide(power))),
            None => guess,
        };
        let p95 = quote(P95_SAMPLES).unwrap_or_else(|| beyond(guess.p95, P95_BY_P90));
        let p99 = quote(P99_SAMPLES).unwrap_or_else(|| beyond(guess.p99, P99_BY_P90));
        let p90 = p90.unwrap_or(guess.p90).max(p50);
        let (p95, p99) = (p95.max(p90), p99.max(p95).max(p90));
        let mean = guess.mean;
        self.latency = Latency { mean, p50, p90, p95, p99, samples };
    }
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

    /// Counts a sample. A sample out of range counts as the range's end.
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
        if age >= SLICE_AGE_MAX * SLICES.into() {
            Latency::around(self.distribution.prior)
        } else {
            self.distribution.latency()
        }
    }

    /// Returns the longest of its samples.
    pub fn longest(&self) -> Duration {
        self.distribution.scale.latency(self.distribution.histogram.max())
    }

    fn rotate(&mut self, now: Instant) {
        let slice = self.slices.back().expect("a window has a slice from its start");
        let age = now.saturating_duration_since(slice.since);
        let full = slice.samples.len() >= SLICE_SAMPLES && age >= SLICE_AGE_MIN;
        let turns = (age.as_secs() / SLICE_AGE_MAX.as_secs()).max(u64::from(full)).min(SLICES.into());
        for _ in 0..turns {
            self.slices.push_back(Slice { since: now, samples: Vec::new() });
            if self.slices.len() > SLICES.into() {
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
        self.distribution.latency()
    }

    /// Tells whether a latency is long, and above p95 as finely as latencies are counted: one that is always the same
    /// is not.
    pub fn is_exceeded(&self, latency: Duration) -> bool {
        let scale = self.distribution.scale;
        latency > SLOW_MIN && scale.units(latency) > scale.units(self.latency().p95)
    }

    /// Tells whether p95, which decides what slow means, is measured yet.
    pub fn is_measured(&self) -> bool {
        self.distribution.samples() >= P95_SAMPLES
    }
}

persist!(
    enum Scale {
        FirstToken,
        PerToken,
    }
);
persist!(struct Baseline { distribution, halved });

/// How often each value was seen: the written form of distributions and slices.
#[cfg(feature = "store")]
type Counts = Vec<(u32, u32)>;

#[cfg(feature = "store")]
impl Persist for Distribution {
    fn schema_hash(schema_hash: &mut SchemaHash) {
        schema_hash.name("Distribution");
        schema_hash.part("scale", |it: &Self| &it.scale);
        schema_hash.part("prior", |it: &Self| &it.prior);
        schema_hash.part("latency", |it: &Self| &it.latency);
        schema_hash.part("unread", |it: &Self| &it.unread);
        Counts::schema_hash(schema_hash);
    }

    fn write(&self, to: &mut Writer) {
        let Self { scale, prior, histogram, latency, unread } = self;
        scale.write(to);
        prior.write(to);
        latency.write(to);
        unread.write(to);
        let counted = histogram.iter_recorded();
        let counts = counted.map(|step| (u32::try_from(step.value_iterated_to()).unwrap_or(u32::MAX), step));
        counts.map(|(units, step)| (units, step.count_at_value())).collect::<Counts>().write(to);
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let mut it = Self::new(Persist::read(from)?, Duration::ZERO);
        (it.prior, it.latency, it.unread) = (Persist::read(from)?, Persist::read(from)?, Persist::read(from)?);
        for (units, count) in Counts::read(from)? {
            it.histogram.saturating_record_n(units.into(), count);
        }
        Some(it)
    }
}

#[cfg(feature = "store")]
impl Persist for Window {
    fn schema_hash(schema_hash: &mut SchemaHash) {
        schema_hash.name("Window");
        schema_hash.part("distribution", |it: &Self| &it.distribution);
        Vec::<(Instant, Counts)>::schema_hash(schema_hash);
    }

    fn write(&self, to: &mut Writer) {
        self.distribution.write(to);
        let counts = |samples: &[u32]| {
            let mut samples = samples.to_vec();
            samples.sort_unstable();
            let runs = samples.chunk_by(|one, other| one == other);
            runs.map(|run| (run[0], u32::try_from(run.len()).unwrap_or(u32::MAX))).collect::<Counts>()
        };
        self.slices.iter().map(|slice| (slice.since, counts(&slice.samples))).collect::<Vec<_>>().write(to);
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let mut distribution = Distribution::read(from)?;
        // The counts are the sum of the slices.
        distribution.histogram.clear();
        let mut slices = VecDeque::new();
        for (since, counts) in Vec::<(Instant, Counts)>::read(from)? {
            let mut samples = Vec::new();
            for (units, count) in counts {
                let count = usize::try_from(count).ok().filter(|count| samples.len() + count <= SLICE_SAMPLES_MAX)?;
                samples.resize(samples.len() + count, units);
            }
            for units in &samples {
                distribution.histogram.saturating_record((*units).into());
            }
            slices.push_back(Slice { since, samples });
        }
        (1..=SLICES.into()).contains(&slices.len()).then_some(Self { distribution, slices })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;
    const SECOND: Duration = Duration::from_secs(1);

    fn window(now: Instant) -> Window {
        Window::new(Scale::FirstToken, SECOND, now)
    }

    fn near(measured: Duration, expected: Duration) -> bool {
        (measured.as_secs_f64() / expected.as_secs_f64() - 1.0).abs() < 0.02
    }

    #[test]
    fn without_samples_the_quantiles_are_the_models() {
        let now = Instant::now();
        let latency = window(now).latency(now);
        assert_eq!((latency.p50, latency.samples), (SECOND, 0));
        assert!(near(latency.p90, MS(2_157)) && near(latency.p95, MS(2_683)) && near(latency.p99, MS(4_038)));
    }

    #[test]
    fn a_percentile_is_modelled_around_the_median_until_the_spread_is_measured_which_then_counts_until_it_is() {
        let now = Instant::now();
        let mut even = window(now);
        // All equal, so that a measured quantile is 100 ms and a modelled one is not.
        for samples in 1..=330_u32 {
            even.record(MS(100), now);
            let Latency { p50, p90, p95, p99, .. } = even.latency(now);
            assert_eq!(near(p50, MS(100)), samples >= 8, "p50 of {samples}");
            assert_eq!([p90, p95, p99].map(|at| near(at, MS(100))), [samples >= 29; 3], "of {samples}");
        }
        // One of ten takes twice as long, and one took long for its own reasons: as far as the model at most.
        for (longest, expected) in [(MS(200), MS(352)), (MS(380), MS(380)), (SECOND * 60, MS(404))] {
            let mut window = window(now);
            (0..40).for_each(|n| window.record(if n % 8 == 0 { MS(200) } else { MS(100) }, now));
            window.record(longest, now);
            assert!(near(window.latency(now).p99, expected), "{longest:?}: {:?}", window.latency(now));
        }
        let mut window = window(now);
        (0..40).for_each(|n| window.record(if n % 8 == 0 { SECOND } else { MS(100) }, now));
        assert!(window.latency(now).p99 > SECOND * 6, "a spread that is wider than the model's counts");
    }

    #[test]
    fn a_latency_that_never_changes_is_never_slow() {
        let now = Instant::now();
        for micros in [599_491, 600_000, 70_999, 1_234_567] {
            let mut baseline = Baseline::new(Scale::FirstToken, SECOND, now);
            let latency = Duration::from_micros(micros);
            (0..100).for_each(|_| baseline.record(latency, now));
            assert!(!baseline.is_exceeded(latency), "{:?} of {latency:?}", baseline.latency().p95);
            assert!(baseline.is_exceeded(latency.mul_f64(1.02)));
        }
    }

    #[test]
    fn what_takes_milliseconds_is_never_slow() {
        let now = Instant::now();
        let mut baseline = Baseline::new(Scale::FirstToken, SECOND, now);
        (0..100).for_each(|_| baseline.record(MS(1), now));
        assert!(!baseline.is_exceeded(MS(40)) && baseline.is_exceeded(MS(60)));
    }

    #[test]
    fn quantiles_ascend_though_measured_and_modelled_ones_mix() {
        let now = Instant::now();
        let mut window = window(now);
        (0..30).for_each(|i| window.record(if i < 20 { MS(100) } else { SECOND * 100 }, now));
        let Latency { p50, p90, p95, p99, .. } = window.latency(now);
        assert!(p50 < p90 && p90 <= p95 && p95 <= p99);
        assert!(near(p90, SECOND * 100));
    }

    #[test]
    fn a_latency_that_is_always_the_same_never_exceeds_its_baseline() {
        let now = Instant::now();
        for micros in [299_985, 300_000, 64_123_456] {
            let latency = Duration::from_micros(micros);
            let mut baseline = Baseline::new(Scale::FirstToken, SECOND, now);
            (0..200).for_each(|_| baseline.record(latency, now));
            assert!(!baseline.is_exceeded(latency), "{latency:?}");
            assert!(baseline.is_exceeded(latency * 3), "{latency:?}");
        }
    }

    #[test]
    fn a_slice_rotates_at_64_samples_but_not_before_5_s() {
        let mut now = Instant::now();
        let mut window = window(now);
        (0..500).for_each(|_| window.record(MS(100), now));
        assert_eq!((window.slices.len(), window.latency(now).samples), (1, 500));
        now += SLICE_AGE_MIN;
        window.record(MS(100), now);
        assert_eq!(window.slices.len(), 2);
        now += SLICE_AGE_MIN;
        (0..62).for_each(|_| window.record(MS(100), now));
        assert_eq!(window.slices.len(), 2, "63 samples are not enough");
        window.record(MS(100), now);
        window.record(MS(100), now);
        assert_eq!(window.slices.len(), 3);
    }

    #[test]
    fn a_spread_that_is_measured_widens_the_quantiles_that_are_not() {
        let now = Instant::now();
        let mut window = window(now);
        // A log-normal of sigma 1 has its p90 at 3.6 medians and its p99 at 10.2.
        (0..40).for_each(|i| window.record(if i < 30 { SECOND } else { MS(3_602) }, now));
        let Latency { p95, p99, .. } = window.latency(now);
        assert!((p95.as_secs_f64() - 5.18).abs() < 0.2 && (p99.as_secs_f64() - 10.2).abs() < 0.5, "{p95:?} {p99:?}");
        assert!(near(window.longest(), MS(3_602)));
    }

    #[test]
    fn an_old_regime_is_forgotten_after_six_slices() {
        let mut now = Instant::now();
        let mut window = window(now);
        for round in 0..12 {
            for _ in 0..64 {
                window.record(if round < 6 { SECOND } else { SECOND * 5 }, now);
            }
            now += SLICE_AGE_MIN;
        }
        let latency = window.latency(now);
        assert_eq!(latency.samples, 6 * 64);
        assert!(near(latency.p50, SECOND * 5) && near(latency.p99, SECOND * 5));
    }

    #[test]
    fn the_counts_are_the_sum_of_the_slices() {
        let mut now = Instant::now();
        let mut window = window(now);
        for step in 0..5_000_u64 {
            window.record(MS(step * 7919 % 700_000), now);
            now += MS(step * 31 % 4_000);
            let held: usize = window.slices.iter().map(|slice| slice.samples.len()).sum();
            assert_eq!(held as u64, window.distribution.histogram.len());
        }
    }

    #[test]
    fn an_idle_window_fades_to_its_prior() {
        let now = Instant::now();
        let mut window = window(now);
        (0..400).for_each(|_| window.record(SECOND * 9, now));
        assert!(near(window.latency(now + SLICE_AGE_MAX * 5).p50, SECOND * 9));
        assert_eq!(window.latency(now + SLICE_AGE_MAX * 6), Latency::around(SECOND));
        window.record(SECOND * 2, now + SLICE_AGE_MAX * 6);
        assert_eq!(window.latency(now + SLICE_AGE_MAX * 6).samples, 1);
    }

    #[test]
    fn slow_traffic_leaves_by_age() {
        let mut now = Instant::now();
        let mut window = window(now);
        for _ in 0..100 {
            window.record(SECOND, now);
            now += Duration::from_secs(60);
        }
        assert!(window.latency(now).samples <= 30, "half an hour of one a minute");
    }

    #[test]
    fn memory_is_bounded_at_any_rate() {
        let mut now = Instant::now();
        let mut window = window(now);
        for _ in 0..100_000 {
            window.record(MS(100), now);
            now += Duration::from_micros(100);
        }
        let held: usize = window.slices.iter().map(|slice| slice.samples.len()).sum();
        assert!(held <= usize::from(SLICES) * SLICE_SAMPLES_MAX);
    }

    #[test]
    fn out_of_range_counts_as_the_end_of_the_range() {
        let now = Instant::now();
        for (scale, min, max) in [(Scale::FirstToken, MS(1), SECOND * 600), (Scale::PerToken, MS(1) / 100, SECOND * 60)]
        {
            for (latency, expected) in [(Duration::ZERO, min), (Duration::MAX, max)] {
                let mut window = Window::new(scale, SECOND, now);
                (0..8).for_each(|_| window.record(latency, now));
                assert!(near(window.latency(now).p50, expected), "{scale:?} {latency:?}: {:?}", window.latency(now));
            }
        }
    }

    #[test]
    fn the_baseline_halves_every_day_and_falls_back_to_the_model() {
        let now = Instant::now();
        let day = BASELINE_HALVING;
        let mut baseline = Baseline::new(Scale::FirstToken, SECOND, now);
        assert!(!baseline.is_measured());
        (0..240).for_each(|_| baseline.record(SECOND * 3, now));
        assert!(baseline.is_measured() && near(baseline.latency().p95, SECOND * 3));
        baseline.record(SECOND * 3, now + day);
        assert_eq!(baseline.latency().samples, 121);
        baseline.record(SECOND * 3, now + day * 4);
        assert_eq!(baseline.latency().samples, 16);
        assert!(!baseline.is_measured() && near(baseline.latency().p95, Latency::around(SECOND * 3).p95));
        baseline.record(SECOND * 3, now + day * 400);
        assert_eq!((baseline.latency().p50, baseline.latency().samples), (SECOND, 1));
    }
}

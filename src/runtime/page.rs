//! The runtime's state as text for people. A number without measurements is marked as assumed.

use std::fmt::{self, Display, Formatter};
use std::time::{Duration, Instant};

use crate::actors::health::{HealthSnapshot, ProviderHealth};
use crate::actors::slot::ProviderStatus;
use crate::policy::explain::{Considered, Explanation, Skipped};
use crate::policy::latency::Latency;
use crate::policy::snapshot::{BreakerState, Disabled, Health};
use crate::words::Hold;

/// Samples from which on the median is measured.
const MEASURED: u32 = 8;
/// The same of the 95th percentile.
const MEASURED_P95: u32 = 59;

impl Display for Explanation {
    /// Writes where a call would go, a line a target.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "route {}", self.route)?;
        if self.last_resort {
            f.write_str(": no target is well, one is asked as a last resort")?;
        }
        if self.parked > 0 {
            write!(f, "; {} call(s) are parked", self.parked)?;
        }
        for (place, one) in (1..).zip(&self.planned) {
            write!(f, "\n  {place}. {one}")?;
        }
        for one in &self.skipped {
            write!(f, "\n  not {one}")?;
        }
        Ok(())
    }
}

impl Display for Considered {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.target, self.why.text())?;
        if let Some(score) = self.score {
            write!(f, ", {:.0} % of the calls, {:.6} $ an answer", score.share * 100.0, score.dollars)?;
            if !score.price_known {
                f.write_str(" (assumed: its price is not known)")?;
            }
        }
        self.health.map_or(Ok(()), |health| write!(f, "; {}", HealthAt(&health, None)))?;
        self.hints.iter().try_for_each(|hint| write!(f, "; {hint}"))
    }
}

impl Display for Skipped {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.target, self.why.text())?;
        self.back_in.map_or(Ok(()), |wait| write!(f, ", back in {}", Time(wait)))?;
        self.hints.iter().try_for_each(|hint| write!(f, "; {hint}"))
    }
}

impl Display for HealthSnapshot {
    /// Writes a line for each provider and each of its targets, and what keeps them out.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} call(s) in flight", self.calls)?;
        if self.draining {
            f.write_str(", draining")?;
        }
        if let Some(lack) = &self.lack {
            let ago = self.at.saturating_duration_since(lack.at);
            write!(f, "\nthis machine lacked something {} time(s), {} ago: {}", lack.count, Time(ago), lack.what)?;
        }
        if let Some(since) = self.unreached {
            let time = self.at.saturating_duration_since(since);
            write!(f, "\nno provider was reached for {}: does this machine's network work?", Time(time))?;
        }
        if let Some(store) = &self.store
            && let Some(problem) = &store.problem
        {
            let (path, waiting) = (store.path.display(), store.waiting);
            write!(f, "\nnothing can be written to {path}, {waiting} record(s) wait: {problem}")?;
        }
        for one in &self.prices {
            if let Some(problem) = &one.problem {
                write!(f, "\nprices of {} stay as they were: it {problem}", one.from)?;
            }
        }
        for one in &self.parked {
            write!(f, "\n{} call(s) of route {} are parked", one.calls, one.route)?;
            if let Some(until) = one.until {
                write!(f, ", a target is back in {}", Time(until.saturating_duration_since(self.at)))?;
            }
        }
        self.providers.iter().try_for_each(|provider| write!(f, "\n{}", Page(provider, self.at)))
    }
}

/// A provider at a time.
struct Page<'a>(&'a ProviderHealth, Instant);

impl Display for Page<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(provider, now) = *self;
        write!(f, "{}: ", provider.name)?;
        match provider.status {
            ProviderStatus::Up => f.write_str("up"),
            ProviderStatus::Restarting(until) => {
                write!(f, "crashed, restarts in {}", Time(until.saturating_duration_since(now)))
            }
            ProviderStatus::Resting(until) => {
                write!(f, "crashed too often, back in {}", Time(until.saturating_duration_since(now)))
            }
            ProviderStatus::Retired => f.write_str("retired, waits for its last attempts"),
        }?;
        provider.hints.iter().try_for_each(|hint| write!(f, "; {hint}"))?;
        for (id, health) in &provider.targets {
            write!(f, "\n  {}: {}", id.model, HealthAt(health, Some(now)))?;
        }
        provider.holds.iter().try_for_each(|hold| write!(f, "\n  held: {}", HoldAt(hold, now)))
    }
}

/// A target's health, at a time where that is known.
struct HealthAt<'a>(&'a Health, Option<Instant>);

impl Display for HealthAt<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(health, now) = *self;
        f.write_str(health.breaker.name())?;
        if let (BreakerState::Open { until }, Some(now)) = (health.breaker, now) {
            write!(f, " for {}", Time(until.saturating_duration_since(now)))?;
        }
        for (is, word) in [(health.degraded, ", degraded"), (health.slow, ", slow"), (health.forced_on, ", forced on")]
        {
            f.write_str(if is { word } else { "" })?;
        }
        match health.disabled {
            None => {}
            Some(Disabled::Verdict { class, .. }) => write!(f, ", out: {class}")?,
            Some(Disabled::Down { .. }) => f.write_str(", out: down")?,
            Some(Disabled::Operator { .. }) => f.write_str(", out: operator")?,
        }
        let Latency { p50, p95, samples, .. } = health.ttft;
        let (p50, p95) = (Time(p50), Time(p95));
        write!(f, ", first token p50 {p50}{} p95 {p95}{}", guess(samples, MEASURED), guess(samples, MEASURED_P95))?;
        write!(f, ", {samples} sample(s), {:.1} % fail", health.failure_rate * 100.0)?;
        if health.evidence < 1.0 {
            f.write_str(" (assumed)")?;
        }
        write!(f, ", {} in flight", health.in_flight)
    }
}

/// Returns the mark of a number without measurements.
fn guess(samples: u32, measured: u32) -> &'static str {
    if samples < measured { " (assumed)" } else { "" }
}

/// A hold, at a time.
struct HoldAt<'a>(&'a Hold, Instant);

impl Display for HoldAt<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(hold, now) = *self;
        match (&hold.model, &hold.key) {
            (Some(model), Some(key)) => write!(f, "{model} with {key}")?,
            (Some(only), None) | (None, Some(only)) => f.write_str(only)?,
            (None, None) => f.write_str("everything")?,
        }
        write!(f, ", {} for {}", hold.cause, Time(now.saturating_duration_since(hold.since)))?;
        match hold.until {
            Some(until) => write!(f, ", back in {}", Time(until.saturating_duration_since(now))),
            None => f.write_str(", until it is lifted or a probe finds it well"),
        }
    }
}

/// A time, in a unit that fits it.
struct Time(Duration);

impl Display for Time {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0.as_secs_f64() {
            under if under < 0.001 => write!(f, "{:.0} µs", under * 1e6),
            under if under < 1.0 => write!(f, "{:.0} ms", under * 1e3),
            under if under < 120.0 => write!(f, "{under:.1} s"),
            seconds => write!(f, "{:.0} min", seconds / 60.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_people_say_them() {
        for (seconds, text) in
            [(0.0, "0 µs"), (0.000_25, "250 µs"), (0.02, "20 ms"), (1.0, "1.0 s"), (119.0, "119.0 s"), (540.0, "9 min")]
        {
            assert_eq!(Time(Duration::from_secs_f64(seconds)).to_string(), text);
        }
    }
}

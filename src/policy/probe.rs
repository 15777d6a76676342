//! Whether a target that is out is asked for a word although no caller asks for it, and for how much money.
//!
//! It is the user's to allow. What such a request finds out is reported as every attempt is, and weighs the same.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::budget::{Budget, BudgetScope, OnSpent, Period, Unit, nanos};
use super::snapshot::{BreakerState, Health};
use crate::words::ConfigError;

const EVERY_MIN: Duration = Duration::from_secs(5);
const EVERY_MAX: Duration = Duration::from_secs(60 * 60);

/// Requests of our own to a provider's targets that are out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeOptions {
    /// How often a target that is out may be asked, give or take a fifth. Default: 30 s.
    #[serde(default = "every", with = "humantime_serde")]
    pub every: Duration,
    /// What they may cost in a day (UTC), in dollars. A model without a known price is not asked.
    pub dollars: f64,
}

const fn every() -> Duration {
    Duration::from_secs(30)
}

impl ProbeOptions {
    /// Returns probes at the usual pace for this many dollars a day.
    pub const fn new(dollars: f64) -> Self {
        Self { every: every(), dollars }
    }

    /// Returns what is wrong with it.
    pub fn check(&self, field: &str) -> Vec<ConfigError> {
        let fine = [
            (
                "every",
                (EVERY_MIN..=EVERY_MAX).contains(&self.every),
                "must be 5 s or more and at most an hour, as \"30s\"",
            ),
            (
                "dollars",
                self.dollars.is_finite() && self.dollars > 0.0,
                "must be dollars a day, above 0, as 0.1; without `probe` nothing is asked",
            ),
        ];
        ConfigError::unless(field, fine)
    }

    /// Tells whether a target is to be asked: its breaker waits for a probe, nothing else keeps it out, and no attempt
    /// is about to find out.
    pub fn wants(health: &Health, now: Instant) -> bool {
        let waits = matches!(health.breaker, BreakerState::Open { .. } | BreakerState::HalfOpen);
        waits && health.in_flight == 0 && health.refusal(false, now).is_none()
    }

    /// Returns the route that these requests go by in the books of a provider: no caller's route has such a name.
    pub fn route(provider: &str) -> String {
        format!("(probe) {provider}")
    }

    /// Returns the budget that holds them.
    pub fn budget(&self, provider: &str) -> Budget {
        Budget {
            name: format!("probes of {provider}").into(),
            unit: Unit::Nanodollars,
            limit: nanos(self.dollars),
            period: Period::Day,
            of: BudgetScope::Route(Some(Self::route(provider))),
            on_spent: OnSpent::Refuse,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_that_are_too_frequent_or_have_no_money_are_refused() {
        let told = |options: ProbeOptions| options.check("probe").first().map(|error| error.field.clone());
        assert_eq!(told(ProbeOptions::new(0.1)), None);
        for dollars in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(told(ProbeOptions::new(dollars)).as_deref(), Some("probe.dollars"));
        }
        for every in [Duration::ZERO, Duration::from_secs(4), Duration::from_secs(3_601)] {
            assert_eq!(told(ProbeOptions { every, dollars: 1.0 }).as_deref(), Some("probe.every"));
        }
    }
}

//! A route's options of choice, as a user sets them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::latency::Latency;
use crate::words::{ConfigError, Priority, Rule};

/// The longest time to a first token that can be asked for.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How a route chooses among its targets.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RouteOptions {
    /// The rule of choice. `adaptive` weighs price, latency and failures against each other; the others are for users
    /// of other gateways that want the rule they know.
    pub strategy: Strategy,
    /// The time within which 95 of 100 calls should see their first token. A target beyond it is charged a quarter of
    /// the cheapest answer for each such time it is over, so that it loses traffic without being shut out. Only
    /// `adaptive` reads it; without it, latency counts by `second_value` alone.
    #[serde(with = "humantime_serde")]
    pub slo_ttft_p95: Option<Duration>,
    /// Whether a session keeps its target, and with it the provider's prompt cache. Under strategies that always have
    /// one choice (priority, threshold, least-latency, least-cost) it has no effect. On by default.
    pub sticky: bool,
    /// The most one answer may be expected to cost, in dollars; more expensive targets are not eligible for the call. A
    /// target whose price is unknown counts as the most expensive known one of the route. No cap by default.
    pub price_max: Option<f64>,
    /// The cost of a second of waiting, in dollars: how `adaptive` weighs latency against price.
    pub second_value: SecondValue,
    #[doc(hidden)]
    #[serde(skip)]
    pub numbers: RouteNumbers,
}

/// Constants of the choice that should need no tuning; the simulator shows the effect of each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RouteNumbers {
    /// Up to this many times the best, a cost is as good as the best: our estimates are no finer.
    pub comparable: f64,
    /// A tier spills to the next when its best costs this many times what its best costs in health.
    pub spill: f64,
    /// Steepness of the draw: at the edge of the competitive set a target claims (1/1.2)^8, a quarter of the best one's
    /// part.
    pub steepness: f64,
    /// The most that exploring all targets that lost may cost together, as a part of the cost of calls …
    pub exploring: f64,
    /// … and where a target is worse than it usually is: that lasts for an hour, as outages do.
    pub exploring_sick: f64,
    /// The most that probing may cost while a target is down, as a part of the cost of calls: with few calls a minute
    /// only few probes are affordable, and still fewer silent ones.
    pub probing: f64,
    /// A target that was asked within this time is not explored: at high rates a small share of all calls is far more
    /// than is useful.
    pub again_after: Duration,
    /// The billed share of a failed attempt: a prompt is billed if the stream breaks, not if no connection was made.
    pub billed_share: f64,
}

impl Default for RouteNumbers {
    fn default() -> Self {
        Self {
            comparable: 1.2,
            spill: 1.5,
            steepness: 8.0,
            exploring: 0.03,
            exploring_sick: 0.01,
            probing: 0.03,
            again_after: Duration::from_secs(5),
            billed_share: 0.3,
        }
    }
}

impl Default for RouteOptions {
    fn default() -> Self {
        Self {
            strategy: Strategy::default(),
            slo_ttft_p95: None,
            sticky: true,
            price_max: None,
            second_value: SecondValue::default(),
            numbers: RouteNumbers::default(),
        }
    }
}

impl RouteOptions {
    /// Returns the numbers that are out of range; `field` is the path of these options.
    pub fn check(&self, field: &str) -> Vec<ConfigError> {
        let positive = |number: f64| number.is_finite() && number > 0.0;
        let not_negative = |number: f64| number.is_finite() && number >= 0.0;
        let day = |time: Duration| !time.is_zero() && time <= DAY;
        let SecondValue { batch, default, interactive } = self.second_value;
        let fine = [
            ("slo_ttft_p95", self.slo_ttft_p95.is_none_or(day), A_DAY),
            ("price_max", self.price_max.is_none_or(positive), "must be a number of dollars above 0, as 0.05"),
            ("second_value.batch", not_negative(batch), DOLLARS),
            ("second_value.default", not_negative(default), DOLLARS),
            ("second_value.interactive", not_negative(interactive), DOLLARS),
        ];
        let mut errors = ConfigError::unless(field, fine);
        if let Strategy::Threshold { error_rate, ttft, .. } = self.strategy {
            let share = positive(error_rate) && error_rate <= 1.0;
            let fine = [
                ("strategy.threshold.error_rate", share, "must be above 0 and at most 1, as 0.1"),
                ("strategy.threshold.ttft", day(ttft), A_DAY),
            ];
            errors.extend(ConfigError::unless(field, fine));
        }
        errors
    }
}

const A_DAY: &str = "must be longer than 0 s and at most a day, as \"4s\"";
const DOLLARS: &str = "must be a number of dollars, 0 or more, as 0.002";

/// The cost of a second of waiting, in dollars, by the call's priority.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SecondValue {
    /// No one waits for the answer: .0001.
    pub batch: f64,
    /// An agent waits: .002.
    pub default: f64,
    /// A person waits, or the call is critical: .01, which is 36 $ an hour.
    pub interactive: f64,
}

impl Default for SecondValue {
    fn default() -> Self {
        Self { batch: 0.0001, default: 0.002, interactive: 0.01 }
    }
}

impl SecondValue {
    pub(super) const fn of(&self, priority: Priority) -> f64 {
        match priority {
            Priority::Batch => self.batch,
            Priority::Default => self.default,
            Priority::Interactive | Priority::Critical => self.interactive,
        }
    }
}

/// The rule by which a route chooses. All of them take tiers in order, respect labels and gates, probe and ramp.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Strategy {
    /// The least expected cost of a good answer, with a draw among those near the best.
    #[default]
    Adaptive,
    /// Always the first that admits, in the order of the configuration.
    Priority,
    /// Drawn by weight.
    Weighted,
    /// In turn.
    RoundRobin,
    /// The first (cheapest) tier until it is worse than a threshold; back when it is better than half of both.
    Threshold {
        /// Leaves above this probability of failure, 0 to 1.
        error_rate: f64,
        /// Leaves when the percentile of the time to first token is above this (for a prompt of no length, so that
        /// the target is judged and not the call).
        #[serde(with = "humantime_serde")]
        ttft: Duration,
        /// Which percentile.
        #[serde(default)]
        percentile: Percentile,
    },
    /// The shortest time to first token.
    LeastLatency {
        /// At which percentile.
        #[serde(default)]
        percentile: Percentile,
    },
    /// The cheapest answer; unknown prices last.
    LeastCost,
    /// The fewest attempts in flight.
    LeastBusy,
}

impl From<Rule> for Strategy {
    fn from(rule: Rule) -> Self {
        match rule {
            Rule::Adaptive => Self::Adaptive,
            Rule::Priority => Self::Priority,
            Rule::Weighted => Self::Weighted,
            Rule::RoundRobin => Self::RoundRobin,
            Rule::LeastLatency => Self::LeastLatency { percentile: Percentile::default() },
            Rule::LeastCost => Self::LeastCost,
            Rule::LeastBusy => Self::LeastBusy,
        }
    }
}

impl Strategy {
    /// Returns whether the rule sends equal calls to different targets: what a session's stickiness then overrides.
    pub(super) const fn spreads(&self) -> bool {
        matches!(self, Self::Adaptive | Self::Weighted | Self::RoundRobin | Self::LeastBusy)
    }

    /// Returns whether the first pick is drawn.
    pub const fn draws(&self) -> bool {
        matches!(self, Self::Adaptive | Self::Weighted)
    }
}

/// How a route treats parts that only one dialect has, for a target of another dialect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ForeignParts {
    /// Such a target is not asked. A call that no target of the route could take is refused.
    #[default]
    Refuse,
    /// The part is left out there, and the reply's notes say so.
    Drop,
}

/// A percentile that targets publish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Percentile {
    /// Median.
    P50,
    /// 90th.
    P90,
    /// 95th.
    #[default]
    P95,
    /// 99th.
    P99,
}

impl Percentile {
    pub(super) const fn of(self, latency: &Latency) -> Duration {
        match self {
            Self::P50 => latency.p50,
            Self::P90 => latency.p90,
            Self::P95 => latency.p95,
            Self::P99 => latency.p99,
        }
    }
}

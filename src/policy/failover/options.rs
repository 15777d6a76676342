//! How long and how often a call may try, as configurations say it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::words::{Hedging, OnExhausted};

/// How long and how often a call may try. A route ([`RouteFailover`]) or a caller may say otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FailoverOptions {
    /// The most attempts of one call. One that is silent does not count once another was asked beside it: no silent
    /// target keeps a call from a target that it has not asked. With 1 no other target is asked. Default: one for each
    /// target of the route, and two more where it has one or two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts_max: Option<u32>,
    /// Time for a whole call where the caller sets none. Default: 10 min.
    #[serde(with = "humantime_serde")]
    pub deadline: Duration,
    /// The longest a call waits for a target to come back (a short Retry-After, a provider that restarts) when it has
    /// nothing else to try; never more than a tenth of the time it has left. Default: 2 s.
    #[serde(with = "humantime_serde")]
    pub wait_max: Duration,
    /// How a call goes on that no target can answer now. Default: `fail`.
    #[serde(with = "by_name")]
    pub on_exhausted: OnExhausted,
    /// With `on_exhausted = "wait"` how long a call may be parked in all, where its request sets no deadline:
    /// `deadline` does not run meanwhile. Default: 24 h.
    #[serde(with = "humantime_serde")]
    pub wait_deadline: Duration,
    /// Whether an answer that a provider's content filter refused is tried at another provider. Default: off.
    pub content_policy_failover: bool,
    /// Whether a request is tried at another provider although a provider called it malformed and named the malformed
    /// part. A refusal that proves nothing goes on anyway. Default: off.
    pub bad_request_failover: bool,
    /// When a call asks a second target beside the first: `sequential` only when that is overdue, `hedge` once it is
    /// slower than 95 % of its target's answers, `race` at once. By priority: critical and interactive calls hedge,
    /// others are sequential.
    #[serde(with = "by_name::optional", skip_serializing_if = "Option::is_none")]
    pub hedging: Option<Hedging>,
    /// The most that attempts made by `hedge` and `race` may cost of what all others do, over an hour, in dollars and
    /// in number: 0 to 1. Default: 0.05.
    pub hedge_share_max: f64,
    /// How often a target is asked again before others are: after a 500 of its own with a short random pause, or when
    /// it asks for a wait that is short. Default: 0.
    pub same_target_retries: u32,
}

impl Default for FailoverOptions {
    fn default() -> Self {
        Self {
            attempts_max: None,
            deadline: Duration::from_secs(600),
            wait_max: Duration::from_secs(2),
            on_exhausted: OnExhausted::Fail,
            wait_deadline: Duration::from_secs(24 * 60 * 60),
            content_policy_failover: false,
            bad_request_failover: false,
            hedging: None,
            hedge_share_max: 0.05,
            same_target_retries: 0,
        }
    }
}

/// What a route says of how long and how often its calls may try: each field that it sets goes before the runtime's
/// [`FailoverOptions`], and what it leaves out is theirs.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RouteFailover {
    /// The most attempts of one call.
    pub attempts_max: Option<u32>,
    /// Time for a whole call where the caller sets none.
    #[serde(with = "humantime_serde")]
    pub deadline: Option<Duration>,
    /// The longest a call waits for a target to come back.
    #[serde(with = "humantime_serde")]
    pub wait_max: Option<Duration>,
    /// How a call goes on that no target can answer now.
    #[serde(with = "by_name::optional")]
    pub on_exhausted: Option<OnExhausted>,
    /// How long a call may be parked in all.
    #[serde(with = "humantime_serde")]
    pub wait_deadline: Option<Duration>,
    /// Whether an answer that a provider's content filter refused is tried at another provider.
    pub content_policy_failover: Option<bool>,
    /// Whether a request that a provider called malformed is tried at another provider.
    pub bad_request_failover: Option<bool>,
    /// When a call asks a second target beside the first.
    #[serde(with = "by_name::optional")]
    pub hedging: Option<Hedging>,
    /// The most that attempts made by `hedge` and `race` may cost of what all others do.
    pub hedge_share_max: Option<f64>,
    /// How often a target is asked again before others are.
    pub same_target_retries: Option<u32>,
}

impl RouteFailover {
    /// Returns the options of the route: its own, and the runtime's where it sets none.
    pub fn over(&self, usual: &FailoverOptions) -> FailoverOptions {
        FailoverOptions {
            attempts_max: self.attempts_max.or(usual.attempts_max),
            deadline: self.deadline.unwrap_or(usual.deadline),
            wait_max: self.wait_max.unwrap_or(usual.wait_max),
            on_exhausted: self.on_exhausted.unwrap_or(usual.on_exhausted),
            wait_deadline: self.wait_deadline.unwrap_or(usual.wait_deadline),
            content_policy_failover: self.content_policy_failover.unwrap_or(usual.content_policy_failover),
            bad_request_failover: self.bad_request_failover.unwrap_or(usual.bad_request_failover),
            hedging: self.hedging.or(usual.hedging),
            hedge_share_max: self.hedge_share_max.unwrap_or(usual.hedge_share_max),
            same_target_retries: self.same_target_retries.unwrap_or(usual.same_target_retries),
        }
    }
}

/// The attempts that a call has beside one for each target, where nothing is configured and its route has no more
/// targets than that: as the SDKs of providers have for their only one.
const SECOND_TRIES: usize = 2;

impl FailoverOptions {
    /// Returns the options as they are for a route of this many targets.
    pub(crate) fn of_route(self, targets: usize) -> Self {
        Self { attempts_max: self.attempts_max.or(Some(usual_attempts(targets))), ..self }
    }

    /// Returns the most attempts of a call.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts_max.unwrap_or(usual_attempts(1))
    }
}

/// Returns how many attempts a call over this many targets makes at most, where nothing is configured.
pub fn usual_attempts(targets: usize) -> u32 {
    let second = if targets <= SECOND_TRIES { SECOND_TRIES } else { 0 };
    u32::try_from(targets.saturating_add(second)).unwrap_or(u32::MAX)
}

/// Serialises a value by its name.
mod by_name {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::words::UnknownName;

    pub(super) fn serialize<T: Display, S: Serializer>(one: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(one)
    }

    pub(super) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err = UnknownName>,
        D: Deserializer<'de>,
    {
        let name = String::deserialize(deserializer)?;
        name.parse().map_err(|UnknownName { known }| de::Error::unknown_variant(&name, known))
    }

    /// The same for a value that may be absent.
    pub(super) mod optional {
        use super::{Deserializer, Display, FromStr, Serializer, UnknownName};

        #[expect(clippy::ref_option, reason = "serde hands it so")]
        pub(in super::super) fn serialize<T: Display, S: Serializer>(
            one: &Option<T>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match one {
                Some(one) => super::serialize(one, serializer),
                None => serializer.serialize_none(),
            }
        }

        pub(in super::super) fn deserialize<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
        where
            T: FromStr<Err = UnknownName>,
            D: Deserializer<'de>,
        {
            super::deserialize(deserializer).map(Some)
        }
    }
}

//! How long and how often a call may try, as configurations say it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::words::{Hedging, OnExhausted};

/// How long and how often a call may try. A route or a caller may say otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FailoverOptions {
    /// The most attempts of one call. One that is silent does not count once another was asked beside it: nobody's
    /// silence keeps a call from a target that it has not asked. With 1 nobody is. 3.
    pub attempts_max: u32,
    /// Time for a whole call where the caller sets none. 10 min.
    #[serde(with = "humantime_serde")]
    pub deadline: Duration,
    /// The longest a call waits for a target to come back (a short Retry-After, a provider that restarts) when it has
    /// nothing else to try; never more than a tenth of the time it has left. 2 s.
    #[serde(with = "humantime_serde")]
    pub wait_max: Duration,
    /// What becomes of a call that no target can answer now. `fail`.
    #[serde(with = "Named")]
    pub on_exhausted: OnExhausted,
    /// With `on_exhausted = "wait"` how long a call may be parked in all, where its request sets no deadline: `deadline`
    /// does not run meanwhile. 24 h.
    #[serde(with = "humantime_serde")]
    pub wait_deadline: Duration,
    /// Whether an answer that a provider's content filter refused is tried at another provider. Off.
    pub content_policy_failover: bool,
    /// Whether a request that a provider says is malformed, and says what of it is, is tried at another provider all the
    /// same. What proves nothing goes on anyway. Off.
    pub bad_request_failover: bool,
    /// When a call asks a second target beside the first: `sequential` only when that is overdue, `hedge` once it is
    /// slower than 95 % of its target's answers, `race` at once. By priority: critical and interactive calls hedge, others
    /// are sequential.
    #[serde(with = "named", skip_serializing_if = "Option::is_none")]
    pub hedging: Option<Hedging>,
    /// The most that attempts made by `hedge` and `race` may cost of what all others do, over an hour, in dollars and in
    /// number: 0 to 1. .05.
    pub hedge_share_max: f64,
    /// How often a target is asked once more before others are: after a 500 of its own with a short random pause, or when it
    /// asks for a wait that is short. 0.
    pub same_target_retries: u32,
}

impl Default for FailoverOptions {
    fn default() -> Self {
        Self {
            attempts_max: 3,
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

/// [`OnExhausted`] as configurations name it.
#[derive(Serialize, Deserialize)]
#[serde(remote = "OnExhausted", rename_all = "lowercase")]
enum Named {
    Fail,
    Wait,
    Degrade,
}

/// A [`Hedging`] by its name.
mod named {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::words::Hedging;

    #[expect(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "serde hands it so")]
    pub(super) fn serialize<S: Serializer>(hedging: &Option<Hedging>, serializer: S) -> Result<S::Ok, S::Error> {
        match hedging {
            Some(hedging) => serializer.serialize_str(hedging.name()),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Hedging>, D::Error> {
        let name = String::deserialize(deserializer)?;
        let known = Hedging::named(&name);
        known.map(Some).ok_or_else(|| de::Error::unknown_variant(&name, &Hedging::NAMES))
    }
}

//! The records of one call and of one try of it at one target.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::brief::Brief;
use super::failure::Failure;
use super::failure_class::FailureClass;
use super::price::{Bill, Rates};
use super::priority::Priority;
use super::target::{Dialect, TargetId};
use super::usage::Usage;

/// Identifies a call among all calls of all processes: by the runtime that accepted it, and its number there.
///
/// It is written as `5f3a9c01d2e4b687-17`, in headers, logs and records, and read back from that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId {
    /// The runtime: drawn when it started.
    pub runtime: u64,
    /// Counted from 1, in the order calls were accepted.
    pub number: u64,
}

impl CallId {
    /// Returns the id of a runtime's call.
    pub const fn new(runtime: u64, number: u64) -> Self {
        Self { runtime, number }
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.runtime, self.number)
    }
}

/// The error for a text that is no call's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no id of a call; one looks like 5f3a9c01d2e4b687-17")]
pub struct NoCallId;

impl FromStr for CallId {
    type Err = NoCallId;

    fn from_str(text: &str) -> Result<Self, NoCallId> {
        let (runtime, number) = text.split_once('-').ok_or(NoCallId)?;
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if runtime.len() != 16 || !digits(runtime) || !digits(number) {
            return Err(NoCallId);
        }
        let runtime = u64::from_str_radix(runtime, 16).map_err(|_| NoCallId)?;
        Ok(Self { runtime, number: number.parse().map_err(|_| NoCallId)? })
    }
}

/// What is known of a call from its start on: the same in every record of it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CallFacts {
    /// Unique across processes and restarts; shown in logs, headers and `why`.
    pub id: CallId,
    /// When it was accepted, by the wall's clock.
    pub started_at: SystemTime,
    /// The route it asked for, by the route's own name.
    pub route: Arc<str>,
    /// The conversation that it belongs to, by the caller's name for it.
    pub session: Option<String>,
    /// Its caller's tags.
    pub tags: BTreeMap<String, String>,
    /// Its priority.
    pub priority: Priority,
    /// The dialect that its caller speaks, where it came in one.
    pub dialect: Option<Dialect>,
    /// The client that sent it, by the name of its key.
    pub client: Option<Arc<str>>,
}

impl CallFacts {
    /// Returns the facts of a call that came without session, tags and dialect.
    pub fn new(id: CallId, started_at: SystemTime, route: impl Into<Arc<str>>) -> Self {
        Self {
            id,
            started_at,
            route: route.into(),
            session: None,
            tags: BTreeMap::new(),
            priority: Priority::default(),
            dialect: None,
            client: None,
        }
    }
}

/// Why an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttemptEnd {
    /// Its answer is the call's answer.
    Won,
    /// It failed or was cancelled; the class tells which.
    Failed(Failure),
}

impl AttemptEnd {
    /// Tells whether it was cancelled: its answer was not wanted any more, or another one was faster.
    pub const fn is_cancelled(&self) -> bool {
        matches!(self, Self::Failed(failure) if failure.class.is_unwanted())
    }

    /// Returns the failure, unless it won.
    pub const fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Won => None,
            Self::Failed(failure) => Some(failure),
        }
    }

    /// Returns `won`, or the failure's class as metrics and logs spell it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Won => "won",
            Self::Failed(failure) => failure.class.name(),
        }
    }
}

/// One attempt: in a reply, in an error, in the ledger, and as observers get it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AttemptRecord {
    /// The call it was made for.
    pub call: CallId,
    /// What is known of that call from its start on.
    pub about: Arc<CallFacts>,
    /// Number within the call, from 1.
    pub attempt: u32,
    /// The target that was asked.
    pub target: TargetId,
    /// The model's name as the provider's answer spelled it, if it did.
    pub model: Option<Arc<str>>,
    /// Name of the key it used; never the key.
    pub key: Arc<str>,
    /// From the call's start to the attempt's.
    pub started_after: Duration,
    /// From the attempt's start to its first content, if any came.
    pub first_token: Option<Duration>,
    /// From the attempt's start to its end.
    pub took: Duration,
    /// Tokens as the provider counted them, or an estimate where it did not say.
    pub usage: Usage,
    /// Whether `usage` is our estimate, or something of it is billed by a price that is not known.
    pub estimated: bool,
    /// What its provider told of the bill beside the tokens.
    pub bill: Bill,
    /// The target's price of a prompt of this length; `None` where it is unknown.
    pub price: Option<Rates>,
    /// Dollars: what the provider told, else by the price; `None` where neither is known.
    pub cost_usd: Option<f64>,
    /// Bytes of the request's body; 0 where nothing was sent.
    pub bytes_sent: u64,
    /// Bytes of the answer's body that were read.
    pub bytes_received: u64,
    /// Whether it was the probe of an open breaker.
    pub probe: bool,
    /// Whether it passed a breaker that is not Closed only because no target of the route was well.
    pub last_resort: bool,
    /// Whether it was made at a target that its route marks as degraded.
    pub degraded: bool,
    /// Whether it ran beside another attempt of its call, which was silent for too long.
    pub hedge: bool,
    /// Why it ended.
    pub end: AttemptEnd,
}

impl AttemptRecord {
    /// Returns the record of an attempt that answered at once and cost nothing, to be filled in.
    pub fn new(about: Arc<CallFacts>, attempt: u32, target: TargetId, key: impl Into<Arc<str>>) -> Self {
        Self {
            call: about.id,
            about,
            attempt,
            target,
            model: None,
            key: key.into(),
            started_after: Duration::ZERO,
            first_token: None,
            took: Duration::ZERO,
            usage: Usage::default(),
            estimated: false,
            bill: Bill::default(),
            price: None,
            cost_usd: None,
            bytes_sent: 0,
            bytes_received: 0,
            probe: false,
            last_resort: false,
            degraded: false,
            hedge: false,
            end: AttemptEnd::Won,
        }
    }

    /// Returns when the attempt was started, by the wall's clock.
    pub fn started_at(&self) -> SystemTime {
        self.about.started_at + self.started_after
    }

    /// Tells whether this attempt's answer is the call's answer. Otherwise its cost is waste.
    pub fn won(&self) -> bool {
        matches!(self.end, AttemptEnd::Won)
    }
}

impl fmt::Display for AttemptRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, took, first_token, end, .. } = self;
        match (end, first_token) {
            // It did not fail: what it was about to do says more than why its call ended.
            (AttemptEnd::Failed(failure), None) if failure.class == FailureClass::CallEnded => {
                write!(f, "{target} said nothing for {}", Brief(*took))
            }
            (AttemptEnd::Failed(failure), Some(first)) if failure.class == FailureClass::CallEnded => {
                write!(
                    f,
                    "{target} began to answer after {}, and was not finished after {}",
                    Brief(*first),
                    Brief(*took)
                )
            }
            (AttemptEnd::Failed(failure), _) => write!(f, "{target} after {}: {failure}", Brief(*took)),
            (AttemptEnd::Won, _) => write!(f, "{target} after {}: answered", Brief(*took)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_that_its_call_ended_tells_how_long_it_was_silent_or_unfinished() {
        let about = Arc::new(CallFacts::new(CallId::new(1, 1), SystemTime::UNIX_EPOCH, "smart"));
        let ended = |class: FailureClass, first: Option<u64>| {
            let mut record = AttemptRecord::new(about.clone(), 1, TargetId::new("a", "m"), "k");
            record.took = Duration::from_secs(40);
            record.first_token = first.map(Duration::from_secs);
            record.end = AttemptEnd::Failed(Failure::unwanted(class));
            record.to_string()
        };
        assert_eq!(ended(FailureClass::CallEnded, None), "a/m said nothing for 40 s");
        let begun = "a/m began to answer after 2 s, and was not finished after 40 s";
        assert_eq!(ended(FailureClass::CallEnded, Some(2)), begun);
        assert!(ended(FailureClass::HedgeLost, None).starts_with("a/m after 40 s: hedge_lost"));
    }

    #[test]
    fn a_calls_id_is_read_back_from_what_is_written_of_it() {
        for id in [CallId::new(0, 1), CallId::new(0x5f3a_9c01_d2e4_b687, 17), CallId::new(u64::MAX, u64::MAX)] {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        for text in
            ["", "17", "-", "5f3a9c01d2e4b687-", "5f3a9c01d2e4b68-17", "5f3a9c01d2e4b687-x", "+f3a9c01d2e4b687-+1"]
        {
            assert_eq!(text.parse::<CallId>(), Err(NoCallId), "{text}");
        }
    }
}

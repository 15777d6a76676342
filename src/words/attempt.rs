//! One try of a call at one target, as it is remembered.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{Failure, TargetId, Usage};

/// Identifies a call within one runtime: counted from 1, in the order calls were accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub u64);

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Why an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptEnd {
    /// Its answer is the call's answer.
    Won,
    /// It failed, or was cancelled: then the class says so.
    Failed(Failure),
}

impl AttemptEnd {
    /// Returns `won`, or the failure's class as metrics and logs spell it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Won => "won",
            Self::Failed(failure) => failure.class.name(),
        }
    }
}

/// One attempt, in a reply, in an error and in the ledger.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptRecord {
    /// The call it was made for.
    pub call: CallId,
    /// Number within the call, from 1.
    pub attempt: u32,
    /// Where it went.
    pub target: TargetId,
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
    /// Whether `usage` is our estimate.
    pub estimated: bool,
    /// Dollars; `None` where the target's price is unknown.
    pub cost_usd: Option<f64>,
    /// Why it ended.
    pub end: AttemptEnd,
}

impl AttemptRecord {
    /// Tells whether this attempt's answer is the call's answer. What it cost otherwise is waste.
    pub fn won(&self) -> bool {
        matches!(self.end, AttemptEnd::Won)
    }
}

impl fmt::Display for AttemptRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} after {:?}: ", self.target, self.took)?;
        match &self.end {
            AttemptEnd::Won => f.write_str("answered"),
            AttemptEnd::Failed(failure) => failure.fmt(f),
        }
    }
}

//! How a call goes on that no target can answer now, and the mark of answers from a lower rung.

use std::fmt;
use std::time::Duration;

use super::named::named;

/// How a call goes on that has nothing left to try.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnExhausted {
    /// It ends with [`Error::Exhausted`](super::Error::Exhausted).
    #[default]
    Fail,
    /// It is parked until a target is back, for as long as its time allows.
    Wait,
    /// It is answered from a lower rung of its route: a target that is marked as degraded, the last good answer to the
    /// same request, or a fixed text.
    Degrade,
}

named!(OnExhausted { Fail = "fail", Wait = "wait", Degrade = "degrade" });

/// The lower rung that an answer is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Degraded {
    /// A target that is marked as degraded.
    Target,
    /// The last good answer to the same request.
    Stale {
        /// How old it is.
        age: Duration,
    },
    /// The route's fixed text.
    Text,
}

impl Degraded {
    /// Returns its name in headers, records and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Target => "target",
            Self::Stale { .. } => "stale",
            Self::Text => "text",
        }
    }

    /// Returns the age of a stale answer.
    pub const fn age(self) -> Option<Duration> {
        match self {
            Self::Stale { age } => Some(age),
            Self::Target | Self::Text => None,
        }
    }
}

impl fmt::Display for Degraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

//! What keeps a key or a target from being asked, for people and for those who decide how to refuse a call.

use std::fmt;
use std::time::Duration;

use super::{FailureClass, TargetId};

/// Why something is not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// A provider said so, or failed so.
    Failure(FailureClass),
    /// Its breaker is open, or its probe is taken.
    Breaker,
    /// An operator took it out.
    Operator,
    /// As many attempts are in flight as allowed.
    Full,
    /// Its provider's actor is not there.
    Down,
}

impl Cause {
    /// Returns its name as health and logs spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Failure(class) => class.name(),
            Self::Breaker => "breaker_open",
            Self::Operator => "operator",
            Self::Full => "full",
            Self::Down => "down",
        }
    }

    /// Tells whether it is over once a time has passed, rather than once somebody has done something.
    pub const fn passes(self) -> bool {
        use FailureClass as C;
        !matches!(self, Self::Operator | Self::Failure(C::Unauthorised | C::OutOfMoney | C::Forbidden | C::ModelGone))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A target that a call could not ask any more.
#[derive(Clone, Debug, PartialEq)]
pub struct Barred {
    /// The target.
    pub target: TargetId,
    /// Why.
    pub cause: Cause,
    /// When it is expected to admit calls again, where that is known.
    pub back_in: Option<Duration>,
}

impl fmt::Display for Barred {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.target, self.cause)?;
        match self.back_in {
            Some(wait) => write!(f, ", back in {} s", wait.as_millis().div_ceil(1000)),
            None => Ok(()),
        }
    }
}

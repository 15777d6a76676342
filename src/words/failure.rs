//! How a try can fail. `wire` and `transport` report failures, `policy` decides what follows; these types are all they
//! share.

use std::fmt;
use std::time::{Duration, SystemTime};

use super::consequence::Waste;
use super::failure_class::{FailureClass, Scope};

/// When a provider asks to be asked again. A date is turned into an instant once, at the response's head, by the code
/// that has a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// That long from the response's head.
    After(Duration),
    /// At that date by the provider's clock.
    At(SystemTime),
}

/// One attempt's failure. Code branches on `class`; the rest is for people.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// What kind of failure.
    pub class: FailureClass,
    /// How far it reaches.
    pub scope: Scope,
    /// The HTTP status, where one came.
    pub status: Option<u16>,
    /// The provider's own code or type, as it spelled it.
    pub code: Option<String>,
    /// The field of the request that the provider names, as it spelled it.
    pub param: Option<String>,
    /// The provider's own words, cut to 500 characters, or ours.
    pub message: String,
    /// When to come back, where the provider said so and it means something.
    pub retry_after: Option<RetryAfter>,
}

impl Failure {
    /// Returns a failure of a class with its usual scope.
    pub fn new(class: FailureClass, message: impl Into<String>) -> Self {
        let scope = class.consequences().scope;
        Self { class, scope, status: None, code: None, param: None, message: message.into(), retry_after: None }
    }

    /// Returns the end of a try that no call waits for any more.
    pub fn unwanted(class: FailureClass) -> Self {
        let why = match class.consequences().waste {
            Waste::SlowerOfTwo => "another attempt was faster",
            Waste::Abandoned => "the caller left",
            Waste::Cancelled => "a holder of the call ended it",
            Waste::Stopped => "the runtime stopped",
            Waste::CallEnded | Waste::Failed | Waste::CutOff | Waste::DrawnAgain => "the call ended",
        };
        Self::new(class, why)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.class)?;
        if let Some(status) = self.status {
            write!(f, " ({status})")?;
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        Ok(())
    }
}

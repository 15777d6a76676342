//! Hints: what sources beside the calls say about a provider.

use std::fmt;
use std::sync::Arc;

use super::named::named;

/// A provider's state, by a source beside its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reported {
    /// Nothing is wrong with it.
    Well,
    /// It is slow, partly out, or under maintenance.
    Troubled,
    /// It is out.
    Down,
}

named!(Reported { Well = "well", Troubled = "troubled", Down = "down" });

/// A source beside the calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HintSource {
    /// The provider's status page.
    StatusPage,
    /// The server's own health address.
    Health,
    /// The provider's list of models, asked for one of them.
    Models,
}

impl HintSource {
    /// Returns its name for people.
    pub const fn text(self) -> &'static str {
        match self {
            Self::StatusPage => "status page",
            Self::Health => "health endpoint",
            Self::Models => "list of models",
        }
    }
}

/// A hint about a provider. It is advice: it orders probes and explains, and never opens or closes anything.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hint {
    /// The source.
    pub source: HintSource,
    /// The state that it reports.
    pub reported: Reported,
    /// The source's own words: 160 characters at most.
    pub says: Arc<str>,
}

impl Hint {
    /// Returns a hint of a source.
    pub fn new(source: HintSource, reported: Reported, says: impl Into<Arc<str>>) -> Self {
        Self { source, reported, says: says.into() }
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} says {}", self.source.text(), self.says)
    }
}

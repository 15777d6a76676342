//! What a source beside the calls says of a provider.

use std::fmt;
use std::sync::Arc;

use super::named::named;

/// How a provider is, by a source beside its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reported {
    /// Nothing is wrong with it.
    Well,
    /// Something is: it is slow, in part out, or being worked at.
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
    /// An address of the server that says how it is.
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

/// What a source beside the calls says of a provider. It is advice: it orders probes and explains, and never opens or
/// closes anything.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hint {
    /// Who says it.
    pub source: HintSource,
    /// How the provider is, by that.
    pub reported: Reported,
    /// In its words: 160 characters at most.
    pub says: Arc<str>,
}

impl Hint {
    /// Returns what a source says.
    pub fn new(source: HintSource, reported: Reported, says: impl Into<Arc<str>>) -> Self {
        Self { source, reported, says: says.into() }
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} says {}", self.source.text(), self.says)
    }
}

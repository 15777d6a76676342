//! What becomes of a call that no target can answer now, and how less than an answer is marked.

use std::fmt;

/// What becomes of a call that has nothing left to try.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnExhausted {
    /// It ends with [`Error::Exhausted`](super::Error::Exhausted).
    #[default]
    Fail,
    /// It is parked until a target is back, for as long as its time allows.
    Wait,
    /// It is answered from a lower rung of its route: a target that is marked as degraded, or a fixed text.
    Degrade,
}

impl OnExhausted {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Fail, Self::Wait, Self::Degrade];

    /// Returns its name in configurations and headers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Wait => "wait",
            Self::Degrade => "degrade",
        }
    }

    /// Returns the one of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }
}

/// From which rung an answer is that is less than what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Degraded {
    /// A target that is marked as degraded.
    Target,
    /// The route's fixed text.
    Text,
}

impl Degraded {
    /// Returns its name in headers, logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Target => "target",
            Self::Text => "text",
        }
    }
}

impl fmt::Display for Degraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

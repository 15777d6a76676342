//! When a call asks a second target beside one that may still answer.

use std::fmt;

/// When a call asks a second target beside one that may still answer. The first content wins, or of an answer that is
/// to be whole first the first valid one; the other attempt is cancelled. Each of them joins an attempt that is overdue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Hedging {
    /// One after the other.
    Sequential,
    /// Once the first is slower than it usually is: past the 95th percentile of its time to first content.
    Hedge,
    /// Two at once.
    Race,
}

impl Hedging {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Sequential, Self::Hedge, Self::Race];
    /// Their names.
    pub const NAMES: [&'static str; 3] = [Self::ALL[0].name(), Self::ALL[1].name(), Self::ALL[2].name()];

    /// Returns its name as the configuration spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sequential => "sequential",
            Self::Hedge => "hedge",
            Self::Race => "race",
        }
    }

    /// Returns the one of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|hedging| hedging.name() == name)
    }
}

impl fmt::Display for Hedging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

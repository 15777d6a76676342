//! A rule of choice that a call may name.

use std::fmt;

/// By which rule a call's target is chosen, instead of its route's. Those that need numbers a route alone has are not among
/// them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// The least expected cost of a good answer.
    Adaptive,
    /// The first that admits, in the order of the configuration.
    Priority,
    /// Drawn by weight.
    Weighted,
    /// In turn.
    RoundRobin,
    /// The shortest time to first token.
    LeastLatency,
    /// The cheapest answer.
    LeastCost,
    /// The fewest attempts in flight.
    LeastBusy,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 7] = [
        Self::Adaptive,
        Self::Priority,
        Self::Weighted,
        Self::RoundRobin,
        Self::LeastLatency,
        Self::LeastCost,
        Self::LeastBusy,
    ];

    /// Returns its name as the configuration spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Adaptive => "adaptive",
            Self::Priority => "priority",
            Self::Weighted => "weighted",
            Self::RoundRobin => "round-robin",
            Self::LeastLatency => "least-latency",
            Self::LeastCost => "least-cost",
            Self::LeastBusy => "least-busy",
        }
    }

    /// Returns the rule of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.name() == name)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

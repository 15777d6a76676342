//! A rule of choice that a call may name.

use super::named::named;

/// The rule by which a call's target is chosen, instead of its route's. Rules that need numbers of a route are not
/// among them.
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

named!(Rule {
    Adaptive = "adaptive",
    Priority = "priority",
    Weighted = "weighted",
    RoundRobin = "round-robin",
    LeastLatency = "least-latency",
    LeastCost = "least-cost",
    LeastBusy = "least-busy",
});

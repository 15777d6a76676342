//! When a call asks a second target beside one that may still answer.

use super::named::named;

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

named!(Hedging { Sequential = "sequential", Hedge = "hedge", Race = "race" });

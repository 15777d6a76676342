//! What becomes of a call that no target can answer now, and how less than an answer is marked.

use super::named::named;

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

named!(OnExhausted { Fail = "fail", Wait = "wait", Degrade = "degrade" });

/// From which rung an answer is that is less than what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Degraded {
    /// A target that is marked as degraded.
    Target,
    /// The route's fixed text.
    Text,
}

named!(Degraded { Target = "target", Text = "text" });

//! What is left of a provider's limits, as it says: all providers' headers in one form.

use std::time::Duration;

/// What is left of a key's limits at a target, as its provider said with an answer. Advice, never a promise: some
/// providers lie, and other processes may use the same key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Requests; of several limits the one with the least left.
    pub requests: Option<Gauge>,
    /// Tokens; of several limits (prompt, answer, both) the one with the least left.
    pub tokens: Option<Gauge>,
}

impl Limits {
    /// Tells whether nothing was said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A limit of a minute that a refusal names in its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamedLimit {
    /// Whether it counts tokens; else requests.
    pub tokens: bool,
    /// How many, where that is said; above 0.
    pub limit: Option<u64>,
}

/// One limit and what is left of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gauge {
    /// The most; above 0.
    pub limit: u64,
    /// What is left of it; at most all.
    pub remaining: u64,
    /// How long until all of it is there again, where that was said.
    pub reset: Option<Duration>,
}

impl Gauge {
    /// Returns a limit and what is left of it, of which no more is known.
    pub const fn new(limit: u64, remaining: u64) -> Self {
        Self { limit, remaining, reset: None }
    }

    /// Returns the part that is left once this much more was used, 0 to 1.
    pub fn share(&self, used: u64) -> f64 {
        self.remaining.saturating_sub(used) as f64 / self.limit.max(1) as f64
    }
}

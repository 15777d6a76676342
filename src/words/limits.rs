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
    /// Requests within less than a minute, beside those of a minute.
    pub requests_short: Option<Gauge>,
    /// Tokens within less than a minute.
    pub tokens_short: Option<Gauge>,
}

/// The time that a limit is of where nothing else is said.
pub const MINUTE: Duration = Duration::from_secs(60);

impl Limits {
    /// Tells whether nothing was said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A limit that a refusal names in its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamedLimit {
    /// Whether it counts tokens; else requests.
    pub tokens: bool,
    /// How many, where that is said; above 0.
    pub limit: Option<u64>,
    /// Within which time.
    pub window: Duration,
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
    /// The time that it is of: as its name says, else a minute.
    pub window: Duration,
}

impl Gauge {
    /// Returns a limit and what is left of it, of which no more is known.
    pub const fn new(limit: u64, remaining: u64) -> Self {
        Self { limit, remaining, reset: None, window: MINUTE }
    }

    /// Returns the part that is left once this much more was used, 0 to 1.
    pub fn share(&self, used: u64) -> f64 {
        self.remaining.saturating_sub(used) as f64 / self.limit.max(1) as f64
    }
}

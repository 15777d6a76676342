//! The tokens of an answer.

/// Tokens of one answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// All tokens of the prompt, cached ones included.
    pub input: u64,
    /// All tokens of the answer, reasoning included.
    pub output: u64,
    /// Prompt tokens read from the provider's cache.
    pub cached: u64,
    /// Prompt tokens written to the provider's cache.
    pub cache_write: u64,
    /// Answer tokens spent on reasoning.
    pub reasoning: u64,
}

impl Usage {
    /// Returns the tokens of a prompt and its answer; what is known beyond them is set in its field.
    pub const fn new(input: u64, output: u64) -> Self {
        Self { input, output, cached: 0, cache_write: 0, reasoning: 0 }
    }
}

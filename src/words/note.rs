//! What a target could not take as it was.

/// A part of a conversation that a target could not take as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Note {
    /// Left out: the request's field or part, or the part of the `answer` that the common form cannot express.
    Dropped(&'static str),
    /// Sent in another form: the request's field or part.
    Converted(&'static str),
    /// The oldest messages were left out, because the target's window does not hold all.
    Trimmed {
        /// How many messages.
        messages: u32,
        /// How many tokens they were, by our estimate.
        tokens: u32,
    },
}

//! A caller's request as its caller wrote it.

use std::ops::Range;

use bytes::Bytes;

use super::Dialect;

/// A request in a provider's dialect, as it came. Where a target speaks that dialect and nothing of the request must
/// change for it, this goes out instead of a body written anew: marks, blocks and fields that there are no words for
/// stay where they are. It must say what the request beside it says; whoever changes that takes this away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Original {
    /// The dialect.
    pub dialect: Dialect,
    /// The body, one JSON object.
    pub body: Bytes,
    /// Where in the body the model's name stands, without its quotes; `None` in dialects whose address names it.
    pub model: Option<Range<usize>>,
    /// What in the body is this program's own, before proofs that its caller brings back: it is left out, in this order.
    pub ours: Vec<Range<usize>>,
    /// Whether it asks for a stream.
    pub stream: bool,
    /// What it says of the usage at a stream's end, where that is the caller's choice.
    pub stream_usage: Option<bool>,
    /// What it calls the limit of the answer's tokens, if it sets one.
    pub tokens_field: Option<&'static str>,
}

impl Original {
    /// Returns the model's name as it was asked for.
    pub fn model(&self) -> Option<&str> {
        std::str::from_utf8(self.body.get(self.model.clone()?)?).ok()
    }
}

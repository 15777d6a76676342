//! A caller's request as its caller wrote it.

use std::ops::Range;

use bytes::Bytes;

use super::note::Note;
use super::target::Dialect;

/// A request in a provider's dialect, as it came. A target that speaks that dialect gets these bytes, edited where it
/// needs something different, instead of a new body. So parts that the common form cannot express are kept. It must
/// have the same content as the request beside it; code that changes the request must remove this.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Original {
    /// The dialect that the body is written in.
    pub dialect: Dialect,
    /// The body, one JSON object.
    pub body: Bytes,
    /// Where in the body the model's name is, without its quotes; `None` in dialects whose address names it, and where
    /// it cannot be replaced without a closer look.
    pub model: Option<Range<usize>>,
    /// The names of the body's fields.
    pub fields: Vec<String>,
    /// The names of the fields that are null.
    pub nulls: Vec<String>,
    /// Whether it asks for a stream.
    pub stream: bool,
    /// Whether it asks for the usage at a stream's end, where that is the caller's choice.
    pub stream_usage: Option<bool>,
    /// Which messages were left out of the request beside it, by their places.
    pub left_out: Vec<usize>,
    /// Marks of things in the body that not every target takes.
    pub marks: Marks,
    /// The parts of the body that the request beside it does not have: a target of another dialect does not get them.
    pub lost: Vec<Note>,
    /// The parts of the body that could not be read here: only a target of its dialect gets them, and decides.
    pub unread: Vec<Unread>,
    /// What is asked for instead of an answer, as the address says it (`/compact`); empty for an answer.
    pub method: &'static str,
}

/// A part of a body that could not be read here.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unread {
    /// The way to it in the body (`messages[2].content[0].text`).
    pub field: String,
    /// What is wrong with it, as this program sees it.
    pub problem: String,
}

/// What a body has somewhere that not every target takes as it is. Without a mark the body need not be searched for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Marks {
    /// A message has the role `developer`.
    pub developer: bool,
    /// A part carries a cache mark (`cache_control`).
    pub cached: bool,
    /// A cache mark carries a `scope`.
    pub scoped: bool,
    /// A text for Anthropic's invoice.
    pub invoice: bool,
    /// A proof under a seal.
    pub sealed: bool,
    /// A thought, or a proof in a field for one.
    pub proof: bool,
    /// A message is flagged as the beginning of the answer.
    pub begun: bool,
    /// The answer is to be given in the background: here, and not at the provider.
    pub background: bool,
    /// Its caller is not shown what a model of another dialect thinks.
    pub hides_thoughts: bool,
}

impl Original {
    /// Returns the model's name as it was asked for.
    pub fn model(&self) -> Option<&str> {
        std::str::from_utf8(self.body.get(self.model.clone()?)?).ok()
    }

    /// Tells whether the body has a field that is not null.
    pub fn has(&self, field: &str) -> bool {
        self.fields.iter().any(|name| name == field)
    }
}

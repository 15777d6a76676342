//! What a provider sends that this crate does not know: a sign that its dialect has changed.

use std::sync::Arc;

use super::named::named;

/// Where in an answer something unknown was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum DriftKind {
    /// An event of a stream.
    Event,
    /// A field, named with those that hold it: `choices.delta.mood`.
    Field,
    /// A type of content: a block, an item, a kind of tool call.
    Part,
    /// A reason why the model stopped.
    Finish,
    /// A code of an error.
    Code,
}
named!(DriftKind { Event = "event", Field = "field", Part = "part", Finish = "finish", Code = "code" });

/// Something unknown that came with an answer. It never breaks the answer: unknown parts are skipped.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Drift {
    /// Where it was.
    pub kind: DriftKind,
    /// Its name: at most 64 letters, digits and marks; `?` where it was no name.
    pub name: Arc<str>,
}

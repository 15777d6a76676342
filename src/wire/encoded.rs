//! A request as it goes onto the wire.

use std::borrow::Cow;
use std::sync::Arc;

use http::header::HeaderMap;

use super::names::Names;
use crate::words::{ChatRequest, Note, Payload, Text};

/// A request as it goes onto the wire, except its key, which `authorize` adds.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// The path that is appended to the provider's base URL; begins with a slash.
    pub path: Cow<'static, str>,
    /// Content type and accepted types.
    pub headers: HeaderMap,
    /// One JSON object in the target's dialect.
    pub body: Payload,
    /// The parts of the conversation that could not go as they were.
    pub notes: Vec<Note>,
    /// Stop sequences that the provider could not be told: the answer has to end before them nevertheless.
    pub stops: Vec<Text>,
    /// Names of tools that are sent instead of the caller's own.
    pub names: Names,
    /// The request itself, where it goes to a function.
    pub words: Option<Arc<ChatRequest>>,
}

//! Floor 2: pure codecs, bytes to words and back.
//!
//! In flow requests and the bytes a provider sent, out flow bodies, pieces of answers and classified failures.
//! Nothing here may ever touch a socket, a clock or a policy: what a failure means for routing is not known here.

pub mod sse;
pub mod headers;
pub mod classify;
mod json;
mod draft;
mod decode;
pub mod quirks;
mod request;
mod openai;
mod responses;
mod anthropic;
mod gemini;

pub use classify::classify;
pub use decode::{Decoder, Progress};
pub use draft::Ending;
pub use headers::is_event_stream;
pub use quirks::Quirks;
pub use request::Capped;

use std::borrow::Cow;

use bytes::Bytes;
use http::HeaderMap;

use crate::words::{Dialect, Failure, Note, Secret};

/// A request as it goes onto the wire, but for its key ([`authorize`]).
#[derive(Clone, Debug)]
pub struct Encoded {
    /// What is appended to the provider's base URL; begins with a slash.
    pub path: Cow<'static, str>,
    /// Content type and accepted types.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// What of the conversation could not go as it was.
    pub notes: Vec<Note>,
}

/// Encodes a request for a model in a dialect, with a provider's accent; `streaming` asks for a stream with the usage at
/// its end.
///
/// # Errors
///
/// `BadRequest` names the field that cannot be right at any provider, `Unsupported` the one that cannot be at this.
pub fn encode<'a>(
    dialect: Dialect,
    quirks: &Quirks,
    request: impl Into<Capped<'a>>,
    model: &str,
    streaming: bool,
) -> Result<Encoded, Failure> {
    let request = request.into();
    match dialect {
        Dialect::OpenAiChat => openai::encode(quirks, request, model, streaming),
        Dialect::OpenAiResponses => responses::encode(quirks, request, model, streaming),
        Dialect::AnthropicMessages => anthropic::encode(request, model, streaming),
        Dialect::Gemini | Dialect::Vertex => gemini::encode(dialect, request, model, streaming),
    }
}

/// Puts a key into the headers the way a provider wants it, marked sensitive so that no log prints it.
///
/// # Errors
///
/// `Unauthorised` where the key holds characters that no header may hold, a line break most often.
pub fn authorize(dialect: Dialect, quirks: &Quirks, key: &Secret, headers: &mut HeaderMap) -> Result<(), Failure> {
    match dialect {
        Dialect::OpenAiChat | Dialect::OpenAiResponses => openai::authorize(quirks, key, headers),
        Dialect::AnthropicMessages => anthropic::authorize(key, headers),
        Dialect::Gemini | Dialect::Vertex => gemini::authorize(dialect, key, headers),
    }
}

#[cfg(test)]
mod tests;

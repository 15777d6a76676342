//! Floor 2: pure codecs, bytes to words and back.
//!
//! In flow requests and the bytes a provider sent, out flow bodies, pieces of answers and classified failures.
//! Nothing here may ever touch a socket, a clock or a policy: what a failure means for routing is not known here.

pub mod sse;
mod when;
pub mod headers;
pub mod limits;
pub mod classify;
mod json;
mod drift;
mod halves;
mod stops;
mod fence;
mod draft;
mod verbatim;
mod decode;
pub mod quirks;
mod request;
mod edit;
mod original;
mod talk;
mod schema;
mod names;
mod marks;
mod openai;
mod responses;
mod anthropic;
mod gemini;
mod ollama;
mod base64;
mod embed;
pub mod serve;

pub use classify::{Sent, classify, unknown_code};
pub use decode::{AnswerMax, Decoder, Progress};
pub use draft::Ending;
pub use embed::{EMBED_BYTES_MAX, Embedded, decode_embed, encode_embed};
pub use fence::{Unfence, unfenced, unfenced_body};
pub use headers::is_event_stream;
pub use limits::limits;
pub use names::Names;
pub use quirks::Quirks;
pub use verbatim::Verbatim;

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::words::{ChatRequest, Demanded, Dialect, Failure, Note, Secret, TargetId};

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
    /// Stop sequences that the provider could not be told: the answer has to end before them all the same.
    pub stops: Vec<String>,
    /// Names of tools that are sent instead of the caller's own.
    pub names: Names,
}

/// The model that a request is for.
#[derive(Clone, Copy, Debug)]
pub struct Model<'a> {
    /// Whose it is: what its provider wants back is for that provider alone.
    pub provider: &'a str,
    /// What the provider calls it.
    pub name: &'a str,
    /// What its vendor calls it: what it takes and refuses is known by that.
    pub family: &'a str,
    /// Whether it is known to think, whatever its name tells.
    pub reasons: bool,
    /// The longest answer it gives, in tokens, where that is known.
    pub answer_max: Option<u32>,
    /// Whether who asks means this very model: the route has no other.
    pub meant: bool,
}

impl<'a> From<&'a str> for Model<'a> {
    /// A model of which no more is known than its name.
    fn from(name: &'a str) -> Self {
        Self { provider: "", name, family: name, reasons: false, answer_max: None, meant: false }
    }
}

impl<'a> From<&'a TargetId> for Model<'a> {
    /// A model of which no more is known than its names.
    fn from(target: &'a TargetId) -> Self {
        Self { provider: &target.provider, ..Self::from(&*target.model) }
    }
}

/// Encodes a request for a model in a dialect, with a provider's accent; `streaming` asks for a stream with the usage at
/// its end. Proofs that the provider cannot read are left out.
///
/// # Errors
///
/// `BadRequest` names the field that cannot be right at any provider, `Unsupported` the one that cannot be at this.
pub fn encode<'a>(
    dialect: Dialect,
    quirks: &Quirks,
    request: &ChatRequest,
    model: impl Into<Model<'a>>,
    streaming: bool,
) -> Result<Encoded, Failure> {
    let model = model.into();
    let folded = schema::folded(request, dialect);
    let is_folded = folded.is_some();
    let request = folded.as_ref().unwrap_or(request);
    let mut encoded = match dialect {
        Dialect::OpenAiChat => openai::encode(quirks, request, model, streaming),
        Dialect::OpenAiResponses => responses::encode(quirks, request, model, streaming),
        Dialect::AnthropicMessages => anthropic::encode(quirks, request, model, streaming),
        Dialect::Gemini | Dialect::Vertex => gemini::encode(dialect, request, model, streaming),
        Dialect::Ollama => ollama::encode(request, model, streaming),
    }
    // It may quote a caller's own names, however long they are.
    .map_err(|failure| Failure { message: classify::tidy(&failure.message), ..failure })?;
    if let Some(original) = &request.original {
        encoded.body = marks::carried(original, (dialect, quirks), &encoded.names, encoded.body);
    }
    if is_folded {
        encoded.notes.push(Note::Converted("tools.parameters"));
    }
    if request::is_theirs(dialect, request) {
        for (name, value) in &request.extra_headers {
            let value = if name == BETA { betas(quirks, value) } else { Some(value.clone()) };
            value.map(|value| encoded.headers.append(name.clone(), value));
        }
    }
    Ok(encoded)
}

/// Tells whether what not every target can take can be said in a dialect, with a provider's accent. What its caller
/// wrote in that dialect can.
pub fn takes(dialect: Dialect, quirks: &Quirks, request: &ChatRequest, what: &Demanded) -> bool {
    use Demanded as W;
    use Dialect as D;
    match (dialect, what) {
        (_, W::Foreign(theirs, _)) => dialect.shares_fields(*theirs),
        _ if request::is_own(request, dialect) => true,
        (D::OpenAiChat, W::DocumentUrl) => quirks.file_urls,
        (D::OpenAiChat | D::OpenAiResponses, W::Document(_)) | (D::OpenAiResponses, W::DocumentUrl) => quirks.files,
        (D::AnthropicMessages, W::Document(kind)) => kind == anthropic::DOCUMENT_TYPE,
        (D::OpenAiResponses | D::AnthropicMessages, W::Audio) | (D::Ollama, _) => false,
        (D::OpenAiChat, W::Audio) | (D::AnthropicMessages, W::DocumentUrl) | (D::Gemini | D::Vertex, _) => true,
    }
}

/// What Anthropic's callers ask for in advance.
const BETA: HeaderName = HeaderName::from_static("anthropic-beta");

/// Returns what of it a host takes, by the names that it has there.
fn betas(quirks: &Quirks, asked: &HeaderValue) -> Option<HeaderValue> {
    let text = asked.to_str().ok()?;
    let mut taken: Vec<&str> = text.split(',').filter_map(|beta| quirks.beta(beta.trim())).collect();
    if taken.len() == text.split(',').count() && taken.iter().all(|beta| text.contains(beta)) {
        return Some(asked.clone());
    }
    let all = taken.len();
    taken = (0..all).filter(|at| !taken[..*at].contains(&taken[*at])).map(|at| taken[at]).collect();
    HeaderValue::try_from(taken.join(",")).ok().filter(|value| !value.is_empty())
}

/// Puts a key into the headers the way a provider wants it, marked sensitive so that no log prints it.
///
/// # Errors
///
/// `Unauthorised` where the key holds characters that no header may hold, a line break most often.
pub fn authorize(dialect: Dialect, quirks: &Quirks, key: &Secret, headers: &mut HeaderMap) -> Result<(), Failure> {
    match dialect {
        Dialect::OpenAiChat | Dialect::OpenAiResponses | Dialect::Ollama => openai::authorize(quirks, key, headers),
        Dialect::AnthropicMessages => anthropic::authorize(quirks, key, headers),
        Dialect::Gemini | Dialect::Vertex => gemini::authorize(dialect, key, headers),
    }
}

/// Tells whether these models, which speak a dialect, take proofs of their own alone, and not of each other.
pub fn has_several_makers<'a>(dialect: Dialect, models: impl Iterator<Item = &'a str>) -> bool {
    if dialect != Dialect::AnthropicMessages {
        return false;
    }
    let mut makers = models.map(anthropic::maker);
    let first = makers.next();
    makers.any(|maker| Some(maker) != first)
}

#[cfg(test)]
mod tests;

//! Floor 2: pure codecs, bytes to words and back.
//!
//! Input: requests and the bytes a provider sent. Output: bodies, pieces of answers and classified failures. Nothing
//! here may ever touch a socket, a clock or a policy: the consequence of a failure for routing is not known here.

// Tools of all dialects.
pub mod sse;
mod when;
mod time_field;
pub mod headers;
pub mod limits;
mod json;
mod sources;
mod tidy;
mod drift;
pub mod classify;
mod halves;
mod numbers;
mod stops;
mod stop_reason;
mod body_builder;
mod edit;
mod details;
mod fence;
mod ids;
pub mod hint;

// Requests.
mod model;
mod outgoing_text;
mod request;
mod conversation;
pub mod flavour;
mod betas;
mod shared;
mod names;
mod encoded;
mod marks;
mod original;
mod part_path;
mod schema;
mod seal;
mod thought_blocks;
mod thoughts;

// Answers.
mod partial_args;
mod partial_call;
mod told;
mod bill;
mod ending;
mod draft;

// The dialects.
mod openai;
mod responses;
mod anthropic;
mod gemini;
mod ollama;
pub mod function;
mod embed;
pub mod forms;
mod verbatim;
mod decode;
#[cfg(any(feature = "sidecar", feature = "internals"))]
pub mod serve;

pub use bill::Tally;
pub use classify::{Sent, classify, unknown_code};
pub use decode::{AnswerMax, Decoder};
pub use embed::{EMBED_BYTES_MAX, Embedded, decode_embed, encode_embed};
pub use encoded::Encoded;
pub use ending::Ending;
pub use fence::{Unfence, unfenced};
pub use flavour::Flavour;
pub(crate) use flavour::adds_to_prompt;
pub use headers::is_event_stream;
pub use limits::limits;
pub use model::Model;
pub use names::Names;
pub use original::asks_the_same;
pub use part_path::part_path;
pub use schema::free_tools;
pub use tidy::{WORDS_BYTES_MAX, tidy};
pub use verbatim::Verbatim;

use std::borrow::Cow;

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::words::{ChatRequest, Demanded, Dialect, Failure, Note, Secret, TargetId};
use betas::{BETA, betas};

/// Encodes a request for a model in a dialect, with a provider's flavour; `streaming` asks for a stream with the usage
/// at its end. Proofs that the provider cannot read are left out.
///
/// # Errors
///
/// `BadRequest` names the field that cannot be right at any provider, `Unsupported` the one that cannot be at this.
pub fn encode<'a>(
    dialect: Dialect,
    flavour: &Flavour,
    request: &ChatRequest,
    model: impl Into<Model<'a>>,
    streaming: bool,
) -> Result<Encoded, Failure> {
    let model = model.into();
    let folded = schema::folded(request, dialect);
    let (request, is_folded) = folded.as_ref().map_or((request, false), |(folded, less)| (folded, *less));
    let mut encoded = match dialect {
        Dialect::OpenAiChat => openai::encode(flavour, request, model, streaming),
        Dialect::OpenAiResponses => responses::encode(flavour, request, model, streaming),
        Dialect::AnthropicMessages => anthropic::encode(flavour, request, model, streaming),
        Dialect::Gemini | Dialect::Vertex => gemini::encode(dialect, request, model, streaming),
        Dialect::Ollama => ollama::encode(request, model, streaming),
        Dialect::Function => Ok(function::encode(request)),
    }
    // It may quote a caller's own names, however long they are.
    .map_err(|failure| Failure { message: tidy::begin(&failure.message).to_owned(), ..failure })?;
    if let Some(original) = &request.original {
        encoded.body = marks::carried(original, (dialect, flavour), &encoded.names, encoded.body);
        encoded.body = details::carried(original, dialect, encoded.body);
        encoded.notes.extend(request::lost(dialect, request, original));
    }
    if is_folded {
        encoded.notes.push(Note::Converted("tools.parameters"));
    }
    if request::is_theirs(dialect, request) {
        for (name, value) in &request.extra_headers {
            let value = if name == BETA { betas(flavour, value) } else { Some(value.clone()) };
            value.map(|value| encoded.headers.append(name.clone(), value));
        }
    }
    Ok(encoded)
}

/// Tells whether a provider refused a part of a request that it may be asked without.
pub fn may_be_left_out(failure: &Failure) -> bool {
    classify::refuses_thoughts(failure) || betas::refuses_betas(failure)
}

/// Returns a request without what its provider refused, and what that is; `None` where it has no such part.
pub fn without_refused(flavour: &Flavour, request: &ChatRequest, failure: &Failure) -> Option<(ChatRequest, Note)> {
    if classify::refuses_thoughts(failure) {
        return thoughts::without_thoughts(request).map(|less| (less, Note::Dropped("messages.reasoning")));
    }
    betas::without_betas(flavour, request, failure).map(|less| (less, Note::Dropped("extra")))
}

/// Tells whether a part that not every target can take can be said in a dialect, with a provider's flavour. A part that
/// the caller wrote in that dialect can.
pub fn takes(dialect: Dialect, flavour: &Flavour, request: &ChatRequest, what: &Demanded) -> bool {
    use Demanded as W;
    use Dialect as D;
    match (dialect, what) {
        (_, W::Foreign(theirs, _)) => dialect.shares_fields(*theirs),
        (_, W::Tokens) => dialect == D::OpenAiChat,
        _ if request::is_own(request, dialect) => true,
        (D::OpenAiChat, W::DocumentUrl) => flavour.file_urls,
        (D::OpenAiChat | D::OpenAiResponses, W::Document(_)) | (D::OpenAiResponses, W::DocumentUrl) => flavour.files,
        (D::AnthropicMessages, W::Document(kind)) => kind == anthropic::DOCUMENT_TYPE,
        (D::OpenAiResponses | D::AnthropicMessages, W::Audio) | (D::Ollama, _) => false,
        (D::OpenAiChat, W::Audio)
        | (D::AnthropicMessages, W::DocumentUrl)
        | (D::Gemini | D::Vertex | D::Function, _) => true,
    }
}

/// The header of gateways' marks: it names the gateways that a request came through.
pub const VIA: HeaderName = HeaderName::from_static("x-standin-loop");

/// Adds the marks of the gateways that a request came through to ours, for a provider that may lead back here: only
/// such a provider gets ours.
pub fn mark(headers: &mut HeaderMap, via: &[String]) {
    let Some(ours) = headers.get(VIA).filter(|_| !via.is_empty()) else { return };
    let all = [via.join(", ").as_bytes(), b", ", ours.as_bytes()].concat();
    if let Ok(all) = HeaderValue::from_bytes(&all) {
        headers.insert(VIA, all);
    }
}

/// Puts a key into the headers the way a provider wants it, marked sensitive so that no log prints it.
///
/// # Errors
///
/// `Unauthorised` where the key holds characters that no header may hold, a line break most often.
pub fn authorize(dialect: Dialect, flavour: &Flavour, key: &Secret, headers: &mut HeaderMap) -> Result<(), Failure> {
    match dialect {
        Dialect::OpenAiChat | Dialect::OpenAiResponses | Dialect::Ollama => openai::authorize(flavour, key, headers),
        Dialect::AnthropicMessages => anthropic::authorize(flavour, key, headers),
        Dialect::Gemini | Dialect::Vertex => gemini::authorize(dialect, key, headers),
        // A function has no server that needs a key.
        Dialect::Function => Ok(()),
    }
}

/// Returns the path and the headers by which a provider's list of models is asked for one of them; the key is added by
/// [`authorize`]. `None` where a dialect has no such list.
pub fn one_model(dialect: Dialect, model: &str) -> Option<(String, HeaderMap)> {
    let headers = match dialect {
        Dialect::AnthropicMessages => HeaderMap::from_iter([anthropic::VERSION]),
        Dialect::OpenAiChat | Dialect::OpenAiResponses | Dialect::Gemini => HeaderMap::new(),
        Dialect::Ollama | Dialect::Vertex | Dialect::Function => return None,
    };
    Some((format!("/models/{}", flavour::percent_encoded(model)), headers))
}

/// Tells whether of these targets, which speak a dialect, some cannot read the proofs of others: of Anthropic's those
/// of another maker's model, of responses those of another provider, whose account encrypts them.
pub fn has_several_issuers<'a>(dialect: Dialect, targets: impl Iterator<Item = &'a TargetId>) -> bool {
    let issuer = |target: &'a TargetId| match dialect {
        Dialect::AnthropicMessages => anthropic::maker(&target.model).map(Cow::from),
        Dialect::OpenAiResponses => Some(Cow::from(&*target.provider)),
        _ => None,
    };
    let mut issuers = targets.map(issuer);
    let first = issuers.next();
    issuers.any(|issuer| Some(issuer) != first)
}

#[cfg(test)]
mod tests;

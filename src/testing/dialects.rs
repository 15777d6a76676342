//! A provider's dialect, for the rest of the scripted provider: requests in, bytes out.

mod fields;
mod hint;
mod json;
mod anthropic;
mod gemini;
mod openai;
mod responses;
#[cfg(test)]
mod recorded;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::Value;

use super::answer::{Piece, Question};
use super::body_recorder::BodyRecorder;
use super::embed_question::EmbedQuestion;
use super::fault::{ProviderError, RetryHint};
use super::gauge::Allowance;
use super::script::Flavour;
use crate::words::Usage;

/// A dialect. Written from the providers' documentation and recorded traffic, and from nothing in this crate, so that
/// a mistake in a codec cannot be matched by the same mistake here.
pub(crate) trait ScriptedDialect: Send + Sync {
    /// Returns the key of a request.
    fn key<'a>(&self, address: Address<'a>, headers: &'a HeaderMap) -> Option<&'a str>;

    /// Reads the parts of a request that even a failing provider notices: it checks nothing.
    fn summary(&self, address: Address<'_>, body: &[u8]) -> RequestSummary {
        let _ = address;
        summary(body)
    }

    /// Understands a request, as strictly as the provider would.
    fn read(&self, address: Address<'_>, headers: &HeaderMap, body: &[u8]) -> Result<Question, Refusal>;

    /// Understands a request for vectors, as strictly as the provider would.
    fn read_texts(&self, address: Address<'_>, body: &[u8]) -> Result<EmbedQuestion, Refusal> {
        let _ = body;
        Err(self.nothing(&Method::POST, address))
    }

    /// Writes the vectors of texts that were understood.
    fn write_vectors(&self, texts: &EmbedQuestion, out: &mut Vec<u8>) {
        let _ = (texts, out);
    }

    /// Answers how many tokens a prompt has.
    fn count(&self, address: Address<'_>, headers: &HeaderMap, body: &[u8]) -> Result<Bytes, Refusal> {
        let _ = (headers, body);
        Err(self.nothing(&Method::POST, address))
    }

    /// Tells whether it answers as its own model, whatever model is asked for.
    fn serves_any_model(&self) -> bool {
        false
    }

    /// Makes the id of a tool call, from the answer's id and whether reasoning came first.
    fn call_id(&self, id: &str, index: usize, is_thought: bool) -> String {
        let _ = is_thought;
        format!("call_{id}{index}")
    }

    /// Tells whether a request wants to see the reasoning. A caller that does not see it pays for it nevertheless.
    fn shows_reasoning(&self, question: &Question) -> bool {
        let _ = question;
        true
    }

    /// Writes an answer as a stream, and marks its pieces: one for each token, the others without any.
    fn write_stream(&self, answer_parts: &AnswerParts<'_>, recorder: &mut BodyRecorder);

    /// Writes an answer as one body.
    fn write_whole(&self, answer_parts: &AnswerParts<'_>, out: &mut Vec<u8>);

    /// Returns the bytes of a failure after a 200, when `sent` pieces of a stream had gone out.
    fn failure_within(&self, answer_parts: &AnswerParts<'_>, sent: usize) -> Bytes;

    /// Returns what keeps a connection alive while the answer is not ready.
    fn keep_alive(&self, stream: bool) -> &'static [u8];

    /// Returns the content type of an answer; an error has that of a whole one.
    fn content_type(&self, stream: bool) -> &'static str {
        if stream { "text/event-stream; charset=utf-8" } else { "application/json" }
    }

    /// Returns the refusal of a request without a key.
    fn keyless(&self) -> Refusal {
        self.error(ProviderError::Unauthorised, "")
    }

    /// Returns a provider's error.
    fn error(&self, error: ProviderError, model: &str) -> Refusal;

    /// Returns a 429 for a limit of requests a minute.
    fn rate_limit(&self, hint: RetryHint, limit: u32, model: &str) -> Refusal;

    /// Writes a request's id, 16 hexadecimal digits, into a refusal, where the dialect's bodies have it.
    fn stamp(&self, refusal: Refusal, id: &str) -> Refusal {
        let _ = id;
        refusal
    }

    /// Returns the answer at an unknown address.
    fn nothing(&self, method: &Method, address: Address<'_>) -> Refusal;

    /// Returns the list of models, or one of them.
    fn models(&self, models: &[String], one: Option<&str>) -> Result<Bytes, Refusal>;

    /// Returns the headers that tell of request id and limits.
    fn headers(&self, account: &AnswerHead<'_>) -> Headers;
}

/// Headers: names in lower case, values that are ASCII.
pub(crate) type Headers = Vec<(&'static str, String)>;

/// All parts of one answer.
#[derive(Debug)]
pub(crate) struct AnswerParts<'a> {
    /// 16 hexadecimal digits.
    pub(crate) id: &'a str,
    /// Unix time in seconds.
    pub(crate) created: u64,
    pub(crate) model: &'a str,
    /// The question that it answers.
    pub(crate) question: &'a Question,
    /// Headers of the request.
    pub(crate) headers: &'a HeaderMap,
    pub(crate) pieces: Vec<Piece<'a>>,
    pub(crate) finish: Finish<'a>,
    pub(crate) usage: Usage,
}

/// A provider's refusal, as it is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    pub(crate) body: Bytes,
    /// Whether the body is a page for people, of a gateway.
    pub(crate) is_page: bool,
}

impl Refusal {
    /// Returns a gateway's page.
    pub(crate) fn page(status: u16, page: &'static str) -> Self {
        Self { status, body: page.into(), is_page: true, ..Self::default() }
    }
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finish<'a> {
    /// The text ended.
    Stop,
    /// It reached the most tokens it may have.
    Length,
    /// Tools are to be called.
    ToolCalls,
    /// The script's own word.
    Scripted(&'a str),
}

/// A request's address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Address<'a> {
    /// The path, without the query.
    pub(crate) path: &'a str,
    /// The query, without the question mark; empty if there is none.
    pub(crate) query: &'a str,
}

impl<'a> Address<'a> {
    /// Returns a parameter's value, as it is written there.
    pub(crate) fn parameter(self, name: &str) -> Option<&'a str> {
        self.query
            .split('&')
            .find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name))
            .map(|(_, value)| value)
    }
}

/// The parts of a request that a failing provider notices.
pub(crate) struct RequestSummary {
    pub(crate) model: String,
    pub(crate) stream: bool,
}

/// What an answer's head tells about the request and the account.
#[derive(Debug)]
pub(crate) struct AnswerHead<'a> {
    /// 16 hexadecimal digits.
    pub(crate) id: &'a str,
    pub(crate) processing: Duration,
    pub(crate) requests: Allowance,
    pub(crate) tokens: Allowance,
    /// Whether the answer is a refusal.
    pub(crate) is_refused: bool,
}

/// The request that a path stands for.
pub(crate) enum RequestKind<'a> {
    Chat,
    /// Vectors.
    Embed,
    /// The list of models, or one of them.
    Models(Option<&'a str>),
    /// How many tokens a prompt has.
    Count,
    /// An unknown address.
    Unknown,
}

/// Returns the parts that a failing provider notices where the whole request is its body.
fn summary(body: &[u8]) -> RequestSummary {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let model = body["model"].as_str().unwrap_or_default().to_owned();
    RequestSummary { model, stream: body["stream"] == true }
}

/// Returns the dialect that an address belongs to, and what it asks for. The lists of models have one address in
/// several dialects; headers tell them apart.
pub(crate) fn request_kind<'a>(
    flavour: Flavour,
    post: bool,
    address: Address<'a>,
    headers: &HeaderMap,
) -> (&'static dyn ScriptedDialect, RequestKind<'a>) {
    let path = address.path;
    if let Some(request_kind) = gemini::request_kind(post, address) {
        return request_kind;
    }
    if let Some((dialect, request_kind)) = anthropic::request_kind(post, path) {
        return (dialect, request_kind);
    }
    if post && path.ends_with("/responses") {
        return (responses::Responses::of(flavour), RequestKind::Chat);
    }
    let is_anthropic = headers.contains_key(anthropic::VERSION);
    let dialect: &dyn ScriptedDialect = if is_anthropic { anthropic::OWN } else { openai::OpenAiChat::of(flavour) };
    let request_kind = match path.rsplit_once("/models") {
        Some((_, "")) if !post => RequestKind::Models(None),
        Some((_, one)) if !post && one.starts_with('/') => RequestKind::Models(Some(&one[1..])),
        _ if post && path.ends_with("/chat/completions") => RequestKind::Chat,
        _ if post && path.ends_with("/embeddings") => RequestKind::Embed,
        _ => RequestKind::Unknown,
    };
    (dialect, request_kind)
}

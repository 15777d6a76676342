//! What a provider's dialect is to the rest of the scripted provider: requests in, bytes out.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;

use super::answer::{Piece, Question};
use super::fault::{ProviderError, RetryHint};
use super::score::Sheet;
use crate::words::Usage;

/// A dialect. Written from the providers' documentation and recorded traffic, and from nothing in this crate, so that
/// a mistake in a codec cannot be matched by the same mistake here.
pub(crate) trait Speech: Send + Sync {
    /// Returns the key of a request.
    fn key<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str>;

    /// Understands a request's body, as strictly as the provider would.
    fn read(&self, body: &[u8]) -> Result<Question, Refusal>;

    /// Writes an answer as a stream, and marks its pieces: one for each token, the others without any.
    fn write_stream(&self, utterance: &Utterance<'_>, sheet: &mut Sheet);

    /// Writes an answer as one body.
    fn write_whole(&self, utterance: &Utterance<'_>, out: &mut Vec<u8>);

    /// Returns what says that the provider failed after it had answered 200.
    fn failure_within(&self, stream: bool) -> Bytes;

    /// Returns what keeps a connection alive while the answer is not ready.
    fn keep_alive(&self, stream: bool) -> &'static [u8];

    /// Returns one of the errors providers are known by.
    fn error(&self, error: ProviderError, model: &str) -> Refusal;

    /// Returns a 429 for a limit of so many requests a minute.
    fn rate_limit(&self, hint: RetryHint, limit: u32, model: &str) -> Refusal;

    /// Returns an error's body.
    fn refusal(&self, refusal: &Refusal) -> Bytes;

    /// Returns the list of models, or one of them.
    fn models(&self, models: &[String], one: Option<&str>) -> Result<Bytes, Refusal>;

    /// Returns the headers that tell of request id and limits.
    fn headers(&self, account: &Account<'_>) -> Headers;
}

/// Headers: names in lower case, values that are ASCII.
pub(crate) type Headers = Vec<(&'static str, String)>;

/// Everything that is to be said in one answer.
#[derive(Debug)]
pub(crate) struct Utterance<'a> {
    /// 16 hexadecimal digits.
    pub(crate) id: &'a str,
    /// Unix time in seconds.
    pub(crate) created: u64,
    pub(crate) model: &'a str,
    pub(crate) include_usage: bool,
    pub(crate) pieces: Vec<Piece<'a>>,
    pub(crate) finish: &'a str,
    pub(crate) usage: Usage,
}

/// A provider's no.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    /// The dialect's type of the error.
    pub(crate) kind: &'static str,
    pub(crate) message: String,
    pub(crate) param: Option<String>,
    pub(crate) code: Option<&'static str>,
    pub(crate) headers: Headers,
    /// Whether the message is HTML and all there is.
    pub(crate) is_html: bool,
}

/// What an answer's head tells about the request and the account.
#[derive(Debug)]
pub(crate) struct Account<'a> {
    /// 16 hexadecimal digits.
    pub(crate) id: &'a str,
    pub(crate) processing: Duration,
    pub(crate) requests: Allowance,
    pub(crate) tokens: Allowance,
}

/// A rate limit and what is left of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Allowance {
    pub(crate) limit: u32,
    pub(crate) remaining: u32,
    /// Until all of it is there again.
    pub(crate) reset: Duration,
}

/// What a path asks for.
pub(crate) enum Wish<'a> {
    Chat,
    /// The list of models, or one of them.
    Models(Option<&'a str>),
    /// Nothing this provider has.
    Unknown,
}

/// Returns the dialect that a path belongs to, and what it asks for.
pub(crate) fn wish(post: bool, path: &str) -> (&'static dyn Speech, Wish<'_>) {
    let open_ai = &super::openai_bytes::OpenAiChat;
    let wish = match path.rsplit_once("/models") {
        Some((_, "")) if !post => Wish::Models(None),
        Some((_, one)) if !post && one.starts_with('/') => Wish::Models(Some(&one[1..])),
        _ if post && path.ends_with("/chat/completions") => Wish::Chat,
        _ => Wish::Unknown,
    };
    (open_ai, wish)
}

//! The bytes of Google's generateContent, at AI Studio and at Vertex AI, as recorded traffic has them.
//!
//! Which host speaks, and in which framing, is in the address: each pair is a dialect of its own here.

mod family;
mod proof;
mod check;
mod embeddings;
mod reply;
mod error;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method};

use super::{Address, AnswerHead, AnswerParts, Headers, Refusal, RequestKind, RequestSummary, ScriptedDialect};
use crate::testing::answer::Question;
use crate::testing::body_recorder::BodyRecorder;
use crate::testing::embed_question::EmbedQuestion;
use crate::testing::fault::{ProviderError, RetryHint};

/// Google's generateContent.
pub(crate) struct Gemini {
    host: Host,
    framing: Framing,
}

/// Where it is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Host {
    Studio,
    Vertex,
}

/// How an answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// One object.
    Whole,
    /// Server-sent events.
    Events,
    /// An array that grows.
    Array,
}

static SPEECHES: [[Gemini; 3]; 2] = [speeches(Host::Studio), speeches(Host::Vertex)];

const fn speeches(host: Host) -> [Gemini; 3] {
    [
        Gemini { host, framing: Framing::Whole },
        Gemini { host, framing: Framing::Events },
        Gemini { host, framing: Framing::Array },
    ]
}

/// Returns which of Google's APIs an address is of and what is asked there; `None` where it is not in Google's own
/// dialect.
pub(super) fn request_kind(
    post: bool,
    address: Address<'_>,
) -> Option<(&'static dyn ScriptedDialect, RequestKind<'_>)> {
    let path = address.path;
    let method = path.rsplit_once('/').and_then(|(_, last)| last.split_once(':')).map(|(_, method)| method);
    let framing = match method {
        Some("generateContent" | "embedContent" | "batchEmbedContents") => Some(Framing::Whole),
        Some("streamGenerateContent") if address.parameter("alt") == Some("sse") => Some(Framing::Events),
        Some("streamGenerateContent") => Some(Framing::Array),
        _ => None,
    };
    let embeds = matches!(method, Some("embedContent" | "batchEmbedContents"));
    let is_google = framing.is_some() || path.contains("/v1beta/") && !path.contains("/v1beta/openai/");
    let host = match path.contains("/publishers/google/models") {
        true => Host::Vertex,
        false if is_google => Host::Studio,
        false => return None,
    };
    let request_kind = match path.rsplit_once("/models") {
        Some((_, model)) if post && framing.is_some() && model.starts_with('/') => match (embeds, host) {
            (false, _) => RequestKind::Chat,
            (true, Host::Studio) => RequestKind::Embed,
            (true, Host::Vertex) => RequestKind::Unknown,
        },
        Some((_, "")) if !post => RequestKind::Models(None),
        Some((_, one)) if !post && method.is_none() && one.starts_with('/') => RequestKind::Models(Some(&one[1..])),
        _ => RequestKind::Unknown,
    };
    Some((&SPEECHES[host as usize][framing.unwrap_or(Framing::Whole) as usize], request_kind))
}

/// Returns the model a path names.
fn model(path: &str) -> &str {
    let last = path.rsplit_once('/').map_or(path, |(_, last)| last);
    last.split_once(':').map_or(last, |(model, _)| model)
}

impl ScriptedDialect for Gemini {
    fn key<'a>(&self, address: Address<'a>, headers: &'a HeaderMap) -> Option<&'a str> {
        let bearer = || headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ");
        let key = || headers.get("x-goog-api-key")?.to_str().ok();
        match self.host {
            Host::Studio => key().or_else(|| address.parameter("key")),
            Host::Vertex => bearer(),
        }
    }

    fn summary(&self, address: Address<'_>, _: &[u8]) -> RequestSummary {
        RequestSummary { model: model(address.path).to_owned(), stream: self.framing != Framing::Whole }
    }

    fn read(&self, address: Address<'_>, _: &HeaderMap, body: &[u8]) -> Result<Question, Refusal> {
        let stream = self.framing != Framing::Whole;
        check::read(self.host, model(address.path), stream, body).map_err(|wrong| self.invalid(wrong))
    }

    fn read_texts(&self, address: Address<'_>, body: &[u8]) -> Result<EmbedQuestion, Refusal> {
        let batch = address.path.ends_with(":batchEmbedContents");
        embeddings::read(model(address.path), batch, body).map_err(|wrong| self.invalid(wrong))
    }

    fn write_vectors(&self, texts: &EmbedQuestion, out: &mut Vec<u8>) {
        embeddings::write(texts, out);
    }

    fn call_id(&self, id: &str, index: usize, _: bool) -> String {
        reply::call_id(id, index)
    }

    fn shows_reasoning(&self, question: &Question) -> bool {
        check::shows_thoughts(&question.body)
    }

    fn write_stream(&self, answer_parts: &AnswerParts<'_>, recorder: &mut BodyRecorder) {
        reply::write_stream(self.host, self.framing == Framing::Array, answer_parts, recorder);
    }

    fn write_whole(&self, answer_parts: &AnswerParts<'_>, out: &mut Vec<u8>) {
        reply::write_whole(self.host, answer_parts, out);
    }

    fn failure_within(&self, answer_parts: &AnswerParts<'_>, _: usize) -> Bytes {
        self.late_failure(answer_parts.question.stream)
    }

    fn keep_alive(&self, _: bool) -> &'static [u8] {
        b"\r\n"
    }

    fn content_type(&self, _: bool) -> &'static str {
        match self.framing {
            Framing::Events => "text/event-stream",
            Framing::Whole | Framing::Array => "application/json; charset=UTF-8",
        }
    }

    fn keyless(&self) -> Refusal {
        self.no_key()
    }

    fn error(&self, error: ProviderError, model: &str) -> Refusal {
        self.known_error(error, model)
    }

    fn rate_limit(&self, hint: RetryHint, limit: u32, model: &str) -> Refusal {
        self.exhausted(hint, limit, model)
    }

    fn nothing(&self, _: &Method, address: Address<'_>) -> Refusal {
        error::not_found(address.path)
    }

    fn models(&self, models: &[String], one: Option<&str>) -> Result<Bytes, Refusal> {
        match one {
            Some(one) if !models.is_empty() && !models.iter().any(|model| model == one) => {
                Err(self.known_error(ProviderError::ModelGone, one))
            }
            Some(one) => Ok(reply::model(self.host, one)),
            None => Ok(reply::models(self.host, models)),
        }
    }

    fn headers(&self, account: &AnswerHead<'_>) -> Headers {
        let mut headers =
            vec![("server", "scaffolding on HTTPServer2".to_owned()), ("x-content-type-options", "nosniff".to_owned())];
        if self.host == Host::Studio {
            headers.push(("server-timing", format!("gfet4t7; dur={}", account.processing.as_millis())));
        }
        if self.framing == Framing::Events {
            headers.push(("content-disposition", "attachment".to_owned()));
        }
        headers
    }
}

#[cfg(test)]
mod tests;

//! One recorded case: its dialect, its content, and the consequence of a failure.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use standin::internals::wire::{self, Decoder, Ending};
use standin::{Dialect, Failure, FailureClass, Piece, RetryAfter, Scope, StopReason, Usage};

/// A rate limit that lasts longer is a quota of a day, or might as well be one.
const LONG_WAIT: Duration = Duration::from_secs(600);

/// The result of one case. Fields that do not apply are null.
#[derive(Debug, Default, Serialize)]
pub struct Row {
    pub case: Option<String>,
    pub kind: &'static str,
    /// The text as far as it came.
    pub text: Option<String>,
    pub reasoning_chars: Option<usize>,
    pub tool_calls: Option<Vec<Call>>,
    pub finish: Option<&'static str>,
    pub usage: Option<Counts>,
    pub model: Option<String>,
    /// Whether content was seen: from then on a failure is no longer invisible.
    pub committed: Option<bool>,
    pub class: Option<&'static str>,
    /// The class by its own name, as docs/failures.md lists it.
    pub failure: Option<&'static str>,
    pub scope: Option<&'static str>,
    pub action: Option<&'static str>,
    /// Whether it counts against the target's health.
    pub counts: Option<bool>,
    pub retry_after_ms: Option<u64>,
    pub message: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct Call {
    pub name: String,
    pub arguments: Value,
}

#[derive(Debug, Serialize)]
pub struct Counts {
    pub input: u64,
    pub output: u64,
    pub cached: u64,
    pub cache_write: u64,
    pub reasoning: u64,
}

/// A case as it was recorded.
#[derive(Deserialize)]
struct Case {
    #[serde(default, rename = "case")]
    name: Option<String>,
    #[serde(default)]
    provider: Option<String>,
    #[serde(default)]
    api: Option<String>,
    #[serde(default)]
    streaming: Option<bool>,
    #[serde(default)]
    request: Request,
    response: Response,
}

#[derive(Default, Deserialize)]
struct Request {
    #[serde(default)]
    host: Option<String>,
    #[serde(default)]
    path: Option<String>,
}

#[derive(Deserialize)]
struct Response {
    #[serde(default)]
    status: Option<u16>,
    #[serde(default)]
    headers: Option<Map<String, Value>>,
    #[serde(default)]
    body: Value,
}

/// The reader of an answer.
#[derive(Clone, Copy)]
enum Reader {
    Dialect(Dialect),
    /// No chat: only errors are classified, nothing is decoded.
    Nobody,
}

/// Decodes one line.
pub fn read(line: &[u8]) -> Row {
    match serde_json::from_slice::<Case>(line) {
        Ok(case) => Row { case: case.name.clone(), ..case.decode() },
        Err(problem) => {
            // A line that is JSON at least may say which case it is.
            let name = serde_json::from_slice::<Value>(line).ok();
            let name = name.and_then(|line| line.get("case")?.as_str().map(str::to_owned));
            Row { case: name, ..refused(format!("the line is no case: {problem}")) }
        }
    }
}

fn refused(message: String) -> Row {
    Row { kind: "error", message: Some(message), ..Row::default() }
}

impl Case {
    fn decode(&self) -> Row {
        let headers = self.headers();
        let body = match &self.response.body {
            Value::String(body) => body.clone(),
            Value::Null => String::new(),
            // Recorded as the JSON it was.
            json => json.to_string(),
        };
        let status = self.response.status.unwrap_or(200);
        let reader = self.reader();
        if !(200..300).contains(&status) {
            // Errors of all dialects are told apart in one way.
            let failure = wire::classify(status, &headers, body.as_bytes(), wire::Sent::default());
            return Row { committed: Some(false), ..failed(&failure, &headers) };
        }
        match reader {
            Ok(Reader::Dialect(dialect)) => {
                let streaming = self.streaming.unwrap_or_else(|| wire::is_event_stream(&headers));
                answer(dialect, streaming, body.as_bytes(), &headers)
            }
            Ok(Reader::Nobody) => Row { kind: "ok", ..Row::default() },
            Err(problem) => refused(problem),
        }
    }

    fn headers(&self) -> HeaderMap {
        let pair = |(name, value): (&String, &Value)| {
            Some((HeaderName::try_from(name).ok()?, HeaderValue::from_str(value.as_str()?).ok()?))
        };
        self.response.headers.iter().flatten().filter_map(pair).collect()
    }

    /// Finds the reader of the answer: by the name of the API, else by where the request went.
    fn reader(&self) -> Result<Reader, String> {
        let known = |text: &Option<String>| text.as_deref().unwrap_or_default().to_ascii_lowercase();
        let (api, host, path) = (known(&self.api), known(&self.request.host), known(&self.request.path));
        let google = || {
            let vertex = known(&self.provider) == "vertex"
                || host.contains("aiplatform.googleapis.com")
                || path.contains("/publishers/");
            Reader::Dialect(if vertex { Dialect::Vertex } else { Dialect::Gemini })
        };
        let path = path.split('?').next().unwrap_or_default().trim_end_matches('/');
        Ok(match api.as_str() {
            "chat-completions" => Reader::Dialect(Dialect::OpenAiChat),
            "responses" => Reader::Dialect(Dialect::OpenAiResponses),
            "anthropic-messages" => Reader::Dialect(Dialect::AnthropicMessages),
            "gemini-generate" => google(),
            "ollama-native" => Reader::Dialect(Dialect::Ollama),
            "models" | "count-tokens" | "health" | "completions" | "embeddings" => Reader::Nobody,
            _ if path.ends_with("/chat/completions") => Reader::Dialect(Dialect::OpenAiChat),
            _ if path.ends_with("/responses") => Reader::Dialect(Dialect::OpenAiResponses),
            _ if path.ends_with("/messages") || path.ends_with("rawpredict") => {
                Reader::Dialect(Dialect::AnthropicMessages)
            }
            _ if path.ends_with("/api/chat") || path.ends_with("/api/generate") => Reader::Dialect(Dialect::Ollama),
            _ if path.ends_with(":generatecontent") || path.ends_with(":streamgeneratecontent") => google(),
            api => return Err(format!("`{api}` is no dialect that is spoken here")),
        })
    }
}

/// Decodes an answer as the runtime does: what it says, or how it failed.
fn answer(dialect: Dialect, streaming: bool, body: &[u8], headers: &HeaderMap) -> Row {
    let mut decoder = Decoder::new(dialect, streaming);
    let (mut pieces, mut committed) = (Vec::new(), false);
    let mut pushed = Ok(());
    // Portions as sockets deliver them.
    for chunk in body.chunks(4 << 10) {
        match decoder.push(chunk, &mut pieces) {
            Ok(progress) => committed |= progress.content,
            Err(failure) => {
                pushed = Err(failure);
                break;
            }
        }
    }
    committed |= !pieces.is_empty();
    let said: String =
        pieces.iter().filter_map(|piece| if let Piece::Text(text) = piece { Some(&**text) } else { None }).collect();
    let thought: usize =
        pieces.iter().map(|piece| if let Piece::Reasoning(text) = piece { text.chars().count() } else { 0 }).sum();
    let row = match pushed.and_then(|()| decoder.finish()) {
        Ok(ending) => whole(&ending),
        Err(failure) => failed(&failure, headers),
    };
    let came = row.kind == "ok" || committed;
    Row { text: came.then_some(said), reasoning_chars: came.then_some(thought), committed: Some(committed), ..row }
}

fn whole(ending: &Ending) -> Row {
    let calls = ending.tool_calls().map(|call| Call {
        name: call.name.clone(),
        arguments: serde_json::from_str(&call.arguments).unwrap_or_else(|_| call.arguments.to_string().into()),
    });
    Row {
        kind: "ok",
        tool_calls: Some(calls.collect()),
        finish: Some(match ending.stop {
            StopReason::Stop => "stop",
            StopReason::Length => "length",
            StopReason::ToolCalls => "tool_calls",
            StopReason::ContentFilter => "content_filter",
            StopReason::Refusal => "refusal",
            _ => "other",
        }),
        usage: ending.usage.map(|Usage { input, output, cached, cache_write, reasoning, .. }| Counts {
            input,
            output,
            cached,
            cache_write,
            reasoning,
        }),
        model: ending.model.as_deref().map(str::to_owned),
        ..Row::default()
    }
}

fn failed(failure: &Failure, headers: &HeaderMap) -> Row {
    let wait = failure.retry_after.and_then(|retry_after| match retry_after {
        RetryAfter::After(wait) => Some(wait),
        // By the provider's clock; without that it is not known how long it was then.
        RetryAfter::At(at) => at.duration_since(wire::headers::date(headers)?).ok(),
    });
    let (class, action) = match failure.class {
        // By the rules of this target alone.
        FailureClass::BadRequest if failure.scope != Scope::Request => ("invalid_request", "failover"),
        class => meaning(class, wait.is_some_and(|wait| wait > LONG_WAIT)),
    };
    Row {
        kind: "error",
        class: Some(class),
        failure: Some(failure.class.name()),
        scope: Some(match failure.scope {
            Scope::Request => "request",
            Scope::Key => "key",
            Scope::Model => "model",
            Scope::Endpoint => "endpoint",
        }),
        action: Some(action),
        counts: Some(failure.class.consequences().weight > 0.0),
        retry_after_ms: wait.and_then(|wait| u64::try_from(wait.as_millis()).ok()),
        message: Some(failure.message.clone()),
        ..Row::default()
    }
}

/// Returns a class's name in other projects, and the runtime's first action.
fn meaning(class: FailureClass, long: bool) -> (&'static str, &'static str) {
    use FailureClass as C;
    match class {
        C::Unsent | C::Connect => ("network", "retry+failover"),
        C::Server => ("server_error", "retry+failover"),
        C::Overloaded => ("overloaded", "retry+failover"),
        C::RateLimited if long => ("quota_window_daily", "cool+failover"),
        C::RateLimited => ("rate_limit", "wait+failover"),
        C::RequestExceedsLimit => ("request_exceeds_rate_limit", "failover"),
        C::OutOfMoney => ("billing", "key_off+failover"),
        C::Unauthorised => ("invalid_key", "key_off+failover"),
        C::Forbidden => ("permission", "model_off+failover"),
        C::ModelGone => ("model_not_found", "model_off+failover"),
        C::BadRequest => ("invalid_request", "caller"),
        C::Declined => ("invalid_request", "failover"),
        C::Unsupported => ("unsupported", "failover"),
        C::ContextTooLong => ("context_length", "failover_larger"),
        // Unless a route says `content_policy_failover`.
        C::ContentPolicy => ("content_filter", "caller"),
        C::NoFirstToken | C::Stalled => ("timeout", "retry+failover"),
        C::Cut => ("stream_truncated", "retry+failover"),
        C::Empty | C::Unusable => ("generation_failed", "retry+failover"),
        C::Crashed => ("crashed", "retry+failover"),
        class if class.is_unwanted() => ("cancelled", "caller"),
        other => (other.name(), "failover"),
    }
}

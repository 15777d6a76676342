//! The bytes of OpenAI's chat completions, as recorded traffic has them.

mod check;
mod embeddings;

use std::fmt::Write as _;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method};

use super::hint::retry_after;
use super::json::{go_duration, put, quote, quote_or_null};
use super::{Account, Address, Allowance, Finish, Headers, Refusal, Speech, Utterance};
use crate::testing::answer::{Piece, Question};
use crate::testing::fault::{ProviderError, RetryHint};
use crate::testing::score::Sheet;
use crate::testing::texts::Texts;
use crate::words::Usage;

/// OpenAI's chat completions.
pub(crate) struct OpenAiChat;

const BAD_GATEWAY: &str = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad \
    Gateway</h1></center>\r\n<hr><center>cloudflare</center>\r\n</body>\r\n</html>\r\n";

impl Speech for OpenAiChat {
    fn key<'a>(&self, _: Address<'a>, headers: &'a HeaderMap) -> Option<&'a str> {
        headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
    }

    fn read(&self, _: Address<'_>, _: &HeaderMap, body: &[u8]) -> Result<Question, Refusal> {
        check::read(body)
    }

    fn read_texts(&self, _: Address<'_>, body: &[u8]) -> Result<Texts, Refusal> {
        embeddings::read(body)
    }

    fn write_vectors(&self, texts: &Texts, out: &mut Vec<u8>) {
        embeddings::write(texts, out);
    }

    fn write_stream(&self, utterance: &Utterance<'_>, sheet: &mut Sheet) {
        let frame = Frame::new(utterance);
        frame.delta(&mut sheet.bytes, br#"{"role":"assistant","content":"","refusal":null}"#);
        sheet.mark(0);
        let mut delta = Vec::new();
        for piece in &utterance.pieces {
            delta.clear();
            write_delta(piece, &mut delta);
            frame.delta(&mut sheet.bytes, &delta);
            sheet.mark(1);
        }
        frame.finish(&mut sheet.bytes, finish(utterance.finish));
        sheet.mark(0);
        if utterance.include_usage {
            frame.usage(&mut sheet.bytes, utterance.usage);
            sheet.mark(0);
        }
        sheet.bytes.extend_from_slice(b"data: [DONE]\n\n");
        sheet.mark(0);
    }

    fn write_whole(&self, utterance: &Utterance<'_>, out: &mut Vec<u8>) {
        put(out, r#"{"id":"chatcmpl-"#);
        put(out, utterance.id);
        put(out, r#"","object":"chat.completion","created":"#);
        put(out, &utterance.created.to_string());
        put(out, r#","model":"#);
        quote(out, utterance.model);
        put(out, r#","choices":[{"index":0,"message":"#);
        write_message(&utterance.pieces, out);
        put(out, r#","logprobs":null,"finish_reason":"#);
        quote(out, finish(utterance.finish));
        put(out, r#"}],"usage":"#);
        write_usage(utterance.usage, out);
        put(out, r#","service_tier":"default","system_fingerprint":"fp_standin"}"#);
    }

    fn failure_within(&self, stream: bool) -> Bytes {
        let body = self.error(ProviderError::Server, "").body;
        if stream { [b"data: ", &body[..], b"\n\n"].concat().into() } else { body }
    }

    fn keep_alive(&self, stream: bool) -> &'static [u8] {
        if stream { b": keep-alive\n\n" } else { b"\n" }
    }

    fn error(&self, error: ProviderError, model: &str) -> Refusal {
        let (status, kind, code, message) = match error {
            ProviderError::Server => (
                500,
                "server_error",
                None,
                "The server had an error while processing your request. Sorry about that!".to_owned(),
            ),
            ProviderError::BadGateway => {
                return Refusal::page(502, BAD_GATEWAY);
            }
            ProviderError::Unavailable => (
                503,
                "service_unavailable_error",
                Some("server_is_overloaded"),
                "The engine is currently overloaded, please try again later.".to_owned(),
            ),
            ProviderError::Overloaded => (529, "overloaded_error", Some("overloaded"), "Overloaded".to_owned()),
            ProviderError::ContextTooLong => (
                400,
                "invalid_request_error",
                Some("context_length_exceeded"),
                "This model's maximum context length is 8192 tokens. However, your messages resulted in 8227 tokens. \
                 Please reduce the length of the messages."
                    .to_owned(),
            ),
            ProviderError::Unauthorised => (
                401,
                "invalid_request_error",
                Some("invalid_api_key"),
                "Incorrect API key provided: sk-drill. You can find your API key at \
                 https://platform.openai.com/account/api-keys."
                    .to_owned(),
            ),
            ProviderError::OutOfMoney => (
                402,
                "insufficient_quota",
                Some("insufficient_quota"),
                "You exceeded your current quota, please check your plan and billing details.".to_owned(),
            ),
            ProviderError::ModelGone => (
                404,
                "invalid_request_error",
                Some("model_not_found"),
                format!("The model `{model}` does not exist or you do not have access to it."),
            ),
            ProviderError::ModelRetired => (
                404,
                "invalid_request_error",
                Some("model_not_found"),
                format!("The model `{model}` has been deprecated, learn more here: https://platform.openai.com/docs/deprecations"),
            ),
            ProviderError::Forbidden => (
                403,
                "request_forbidden",
                Some("unsupported_country_region_territory"),
                "Country, region, or territory not supported".to_owned(),
            ),
            ProviderError::Filtered => (
                400,
                "invalid_request_error",
                Some("content_policy_violation"),
                "Your request was rejected as a result of our safety system.".to_owned(),
            ),
            ProviderError::RequestExceedsLimit => (
                429,
                "tokens",
                Some("rate_limit_exceeded"),
                format!(
                    "Request too large for {model} in organization org-drill on tokens per min (TPM): Limit 30000, \
                     Requested 36278. The input or output tokens must be reduced in order to run successfully."
                ),
            ),
            ProviderError::BadRequest => (
                400,
                "invalid_request_error",
                Some("invalid_value"),
                "Invalid value: 'nobody'. Supported values are: 'system', 'assistant', 'user', 'function', 'tool', and \
                 'developer'."
                    .to_owned(),
            ),
            ProviderError::Unsupported => (
                400,
                "invalid_request_error",
                Some("unsupported_value"),
                "Unsupported value: 'temperature' does not support 0.2 with this model. Only the default (1) value is \
                 supported."
                    .to_owned(),
            ),
            ProviderError::Timeout => {
                (504, "server_error", Some("gateway_timeout"), "The upstream did not answer in time.".to_owned())
            }
        };
        let param = match error {
            ProviderError::ContextTooLong => Some("messages"),
            ProviderError::BadRequest => Some("messages[0].role"),
            ProviderError::Unsupported => Some("temperature"),
            _ => None,
        };
        refusal(status, kind, param, code, &message)
    }

    fn rate_limit(&self, hint: RetryHint, limit: u32, model: &str) -> Refusal {
        let mut message = format!(
            "Rate limit reached for {model} in organization org-drill on requests per min (RPM): Limit {limit}, Used \
             {limit}, Requested 1."
        );
        let headers = match hint {
            RetryHint::Reset(reset) => allowance(REQUESTS, Allowance { limit, remaining: 0, reset }).into(),
            RetryHint::Text(wait) => {
                let _ = write!(message, " Please try again in {}.", go_duration(wait));
                Vec::new()
            }
            hint => retry_after(hint),
        };
        message.push_str(" Visit https://platform.openai.com/account/rate-limits to learn more.");
        Refusal { headers, ..refusal(429, "requests", None, Some("rate_limit_exceeded"), &message) }
    }

    fn nothing(&self, method: &Method, address: Address<'_>) -> Refusal {
        refusal(404, "invalid_request_error", None, None, &format!("Invalid URL ({method} {})", address.path))
    }

    fn models(&self, models: &[String], one: Option<&str>) -> Result<Bytes, Refusal> {
        let mut out = Vec::new();
        if let Some(one) = one {
            if !models.is_empty() && !models.iter().any(|model| model == one) {
                return Err(self.error(ProviderError::ModelGone, one));
            }
            write_model(one, &mut out);
            return Ok(out.into());
        }
        put(&mut out, r#"{"object":"list","data":["#);
        for (at, model) in models.iter().enumerate() {
            put(&mut out, if at == 0 { "" } else { "," });
            write_model(model, &mut out);
        }
        put(&mut out, "]}");
        Ok(out.into())
    }

    fn headers(&self, account: &Account<'_>) -> Headers {
        let mut headers = vec![
            ("x-request-id", format!("req_{}", account.id)),
            ("openai-processing-ms", account.processing.as_millis().to_string()),
            ("openai-version", "2020-10-01".to_owned()),
        ];
        headers.extend(allowance(REQUESTS, account.requests));
        headers.extend(allowance(TOKENS, account.tokens));
        headers
    }
}

/// Names of the headers of a limit: its size, what remains of it, and when all of it does.
type LimitNames = [&'static str; 3];
const REQUESTS: LimitNames =
    ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"];
const TOKENS: LimitNames = ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"];

fn allowance(names: LimitNames, allowance: Allowance) -> [(&'static str, String); 3] {
    let Allowance { limit, remaining, reset } = allowance;
    let [limit_name, remaining_name, reset_name] = names;
    [(limit_name, limit.to_string()), (remaining_name, remaining.to_string()), (reset_name, go_duration(reset))]
}

/// What all chunks of one stream share.
struct Frame {
    before_choices: Vec<u8>,
    after_choices: &'static str,
}

impl Frame {
    fn new(utterance: &Utterance<'_>) -> Self {
        let mut head = Vec::with_capacity(192);
        put(&mut head, r#"data: {"id":"chatcmpl-"#);
        put(&mut head, utterance.id);
        put(&mut head, r#"","object":"chat.completion.chunk","created":"#);
        put(&mut head, &utterance.created.to_string());
        put(&mut head, r#","model":"#);
        quote(&mut head, utterance.model);
        put(&mut head, r#","service_tier":"default","system_fingerprint":"fp_standin","choices":["#);
        let after_choices = if utterance.include_usage { "],\"usage\":null}\n\n" } else { "]}\n\n" };
        Self { before_choices: head, after_choices }
    }

    fn delta(&self, out: &mut Vec<u8>, delta: &[u8]) {
        out.extend_from_slice(&self.before_choices);
        put(out, r#"{"index":0,"delta":"#);
        out.extend_from_slice(delta);
        put(out, r#","logprobs":null,"finish_reason":null}"#);
        put(out, self.after_choices);
    }

    fn finish(&self, out: &mut Vec<u8>, reason: &str) {
        out.extend_from_slice(&self.before_choices);
        put(out, r#"{"index":0,"delta":{},"logprobs":null,"finish_reason":"#);
        quote(out, reason);
        put(out, "}");
        put(out, self.after_choices);
    }

    fn usage(&self, out: &mut Vec<u8>, usage: Usage) {
        out.extend_from_slice(&self.before_choices);
        put(out, r#"],"usage":"#);
        write_usage(usage, out);
        put(out, "}\n\n");
    }
}

fn write_delta(piece: &Piece<'_>, out: &mut Vec<u8>) {
    match piece {
        Piece::Reasoning(text) => {
            put(out, r#"{"reasoning_content":"#);
            quote(out, text);
        }
        Piece::Text(text) => {
            put(out, r#"{"content":"#);
            quote(out, text);
        }
        Piece::ToolCall { index, call } => {
            put(out, &format!(r#"{{"tool_calls":[{{"index":{index},"id":"#));
            quote(out, &call.id);
            put(out, r#","type":"function","function":{"name":"#);
            quote(out, &call.name);
            put(out, r#","arguments":""}}]"#);
        }
        Piece::Arguments { index, text } => {
            put(out, &format!(r#"{{"tool_calls":[{{"index":{index},"function":{{"arguments":"#));
            quote(out, text);
            put(out, "}}]");
        }
    }
    put(out, "}");
}

fn write_message(pieces: &[Piece<'_>], out: &mut Vec<u8>) {
    let (mut reasoning, mut text, mut calls) = (String::new(), String::new(), Vec::new());
    for piece in pieces {
        match piece {
            Piece::Reasoning(word) => reasoning.push_str(word),
            Piece::Text(word) => text.push_str(word),
            Piece::ToolCall { call, .. } => calls.push((call, String::new())),
            Piece::Arguments { text, .. } => {
                if let Some((_, arguments)) = calls.last_mut() {
                    arguments.push_str(text);
                }
            }
        }
    }
    put(out, r#"{"role":"assistant","content":"#);
    quote_or_null(out, (calls.is_empty() || !text.is_empty()).then_some(text.as_str()));
    if !reasoning.is_empty() {
        put(out, r#","reasoning_content":"#);
        quote(out, &reasoning);
    }
    for (at, (call, arguments)) in calls.iter().enumerate() {
        put(out, if at == 0 { r#","tool_calls":["# } else { "," });
        put(out, r#"{"id":"#);
        quote(out, &call.id);
        put(out, r#","type":"function","function":{"name":"#);
        quote(out, &call.name);
        put(out, r#","arguments":"#);
        quote(out, arguments);
        put(out, "}}");
    }
    put(out, if calls.is_empty() { "" } else { "]" });
    put(out, r#","refusal":null,"annotations":[]}"#);
}

fn write_usage(usage: Usage, out: &mut Vec<u8>) {
    let Usage { input, output, cached, reasoning, .. } = usage;
    let total = input.saturating_add(output);
    put(
        out,
        &format!(
            r#"{{"prompt_tokens":{input},"completion_tokens":{output},"total_tokens":{total},"prompt_tokens_details":{{"cached_tokens":{cached},"audio_tokens":0}},"completion_tokens_details":{{"reasoning_tokens":{reasoning},"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}}}"#
        ),
    );
}

fn write_model(model: &str, out: &mut Vec<u8>) {
    put(out, r#"{"id":"#);
    quote(out, model);
    put(out, r#","object":"model","created":1767225600,"owned_by":"standin"}"#);
}

/// Returns a refusal in OpenAI's words.
fn refusal(status: u16, kind: &str, param: Option<&str>, code: Option<&str>, message: &str) -> Refusal {
    let mut out = Vec::with_capacity(256);
    put(&mut out, r#"{"error":{"message":"#);
    quote(&mut out, message);
    put(&mut out, r#","type":"#);
    quote(&mut out, kind);
    put(&mut out, r#","param":"#);
    quote_or_null(&mut out, param);
    put(&mut out, r#","code":"#);
    quote_or_null(&mut out, code);
    put(&mut out, "}}");
    Refusal { status, body: out.into(), ..Refusal::default() }
}

/// Spells why an answer ended.
fn finish(finish: Finish<'_>) -> &str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
        Finish::ToolCalls => "tool_calls",
        Finish::Said(word) => word,
    }
}

//! The bytes of Anthropic's messages, as recorded traffic has them: at Anthropic itself and at Google's Vertex AI,
//! where the model is in the path and some refusals are Google's.

mod refusals;
mod check;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method};
use serde_json::Value;

use super::json::{put, quote};
use super::{Address, AnswerHead, AnswerParts, Finish, Headers, Refusal, RequestKind, RequestSummary, ScriptedDialect};
use crate::testing::answer::{Piece, Question};
use crate::testing::body_recorder::BodyRecorder;
use crate::testing::fault::{ProviderError, RetryHint};
use crate::words::Usage;
use crate::words::fnv::{FNV1A, fnv1a};

/// The header that names the dialect's version; no other dialect has it.
pub(super) const VERSION: &str = "anthropic-version";

/// Anthropic's messages.
pub(crate) struct Messages(Host);

/// Anthropic's messages at Anthropic.
pub(super) const OWN: &Messages = &Messages(Host::Own);

/// The company that runs the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Host {
    Own,
    /// Vertex AI, at its address for streams or for whole answers.
    Vertex {
        streams: bool,
    },
}

impl Host {
    /// Returns what every id has that the model makes there.
    fn mark(self) -> &'static str {
        if self == Self::Own { "" } else { "vrtx_" }
    }
}

/// Returns the dialect and the request kind of a path that only Anthropic has.
pub(super) fn request_kind(post: bool, path: &str) -> Option<(&'static dyn ScriptedDialect, RequestKind<'_>)> {
    const WHOLE: &Messages = &Messages(Host::Vertex { streams: false });
    const STREAM: &Messages = &Messages(Host::Vertex { streams: true });
    match path {
        _ if !post => None,
        _ if path.ends_with("/messages") => Some((OWN, RequestKind::Chat)),
        _ if path.ends_with("/messages/count_tokens") => Some((OWN, RequestKind::Count)),
        _ if path.ends_with(":rawPredict") => Some((WHOLE, RequestKind::Chat)),
        _ if path.ends_with(":streamRawPredict") => Some((STREAM, RequestKind::Chat)),
        _ => None,
    }
}

/// Returns the model of Vertex AI's `…/models/MODEL:rawPredict`.
fn model_in(path: &str) -> String {
    let model = path.rsplit_once("/models/").map_or("", |(_, rest)| rest);
    model.split_once(':').map_or(model, |(model, _)| model).replace("%40", "@")
}

impl ScriptedDialect for Messages {
    fn key<'a>(&self, _: Address<'a>, headers: &'a HeaderMap) -> Option<&'a str> {
        let own = headers.get("x-api-key").filter(|_| self.0 == Host::Own);
        if let Some(key) = own {
            return key.to_str().ok();
        }
        headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
    }

    fn summary(&self, address: Address<'_>, body: &[u8]) -> RequestSummary {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let model = match self.0 {
            Host::Own => body["model"].as_str().unwrap_or_default().to_owned(),
            Host::Vertex { .. } => model_in(address.path),
        };
        RequestSummary { model, stream: body["stream"] == true }
    }

    fn read(&self, address: Address<'_>, headers: &HeaderMap, body: &[u8]) -> Result<Question, Refusal> {
        check::read(self.0, address, headers, body)
    }

    fn count(&self, address: Address<'_>, headers: &HeaderMap, body: &[u8]) -> Result<Bytes, Refusal> {
        let tokens = check::count(self.0, address, headers, body)?;
        Ok(format!(r#"{{"input_tokens":{tokens}}}"#).into())
    }

    fn call_id(&self, id: &str, index: usize, _: bool) -> String {
        format!("toolu_{}01{id}{index:06}", self.0.mark())
    }

    fn write_stream(&self, answer_parts: &AnswerParts<'_>, recorder: &mut BodyRecorder) {
        let out = &mut recorder.bytes;
        let begin = out.len();
        put(out, "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{");
        self.write_head(answer_parts, out);
        put(out, r#","content":[],"stop_reason":null,"stop_sequence":null,"stop_details":null,"usage":"#);
        write_usage(self.0, Usage { output: 1, reasoning: 0, ..answer_parts.usage }, out);
        put(out, "}");
        end_event(out, begin);
        recorder.mark(0);
        Blocks { host: self.0, answer_parts, next: 0, open: None, recorder }.write();
        let out = &mut recorder.bytes;
        let begin = out.len();
        put(out, "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":");
        quote(out, finish(answer_parts.finish));
        put(out, r#","stop_sequence":null,"stop_details":null},"usage":{"#);
        write_prompt_usage(answer_parts.usage, out);
        write_output_usage(answer_parts.usage, out);
        put(out, "}");
        end_event(out, begin);
        recorder.mark(0);
        let out = &mut recorder.bytes;
        let begin = out.len();
        put(out, "event: message_stop\ndata: {\"type\":\"message_stop\"");
        end_event(out, begin);
        recorder.mark(0);
    }

    fn write_whole(&self, answer_parts: &AnswerParts<'_>, out: &mut Vec<u8>) {
        put(out, "{");
        self.write_head(answer_parts, out);
        put(out, r#","content":["#);
        write_content(answer_parts, out);
        put(out, r#"],"stop_reason":"#);
        quote(out, finish(answer_parts.finish));
        put(out, r#","stop_sequence":null,"stop_details":null,"usage":"#);
        write_usage(self.0, answer_parts.usage, out);
        put(out, "}");
    }

    fn failure_within(&self, answer_parts: &AnswerParts<'_>, _: usize) -> Bytes {
        const ERROR: &str =
            r#"{"type":"error","error":{"details":null,"type":"overloaded_error","message":"Overloaded"}"#;
        if !answer_parts.question.stream {
            return format!("{ERROR}}}").into();
        }
        let mut out = format!("event: error\ndata: {ERROR}").into_bytes();
        end_event(&mut out, 0);
        out.into()
    }

    fn keep_alive(&self, stream: bool) -> &'static [u8] {
        if stream { PING.as_bytes() } else { b"\n" }
    }

    fn error(&self, error: ProviderError, model: &str) -> Refusal {
        match self.0 {
            Host::Own => refusals::own(error, model),
            Host::Vertex { streams } => refusals::vertex(error, model, streams),
        }
    }

    fn rate_limit(&self, hint: RetryHint, limit: u32, model: &str) -> Refusal {
        match self.0 {
            Host::Own => refusals::own_rate_limit(hint, limit),
            Host::Vertex { streams } => refusals::vertex_rate_limit(hint, model, streams),
        }
    }

    fn stamp(&self, refusal: Refusal, id: &str) -> Refusal {
        // Only what is Anthropic's own has an id: not the pages and not Google's.
        let Some(body) = refusal.body.strip_suffix(b"}").filter(|body| body.starts_with(b"{\"type\":\"error\"")) else {
            return refusal;
        };
        let id = format!(r#","request_id":"{}"}}"#, request_id(self.0, id));
        Refusal { body: [body, id.as_bytes()].concat().into(), ..refusal }
    }

    fn nothing(&self, _: &Method, _: Address<'_>) -> Refusal {
        refusals::refusal(404, "not_found_error", "Not Found")
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
        put(&mut out, r#"{"data":["#);
        for (at, model) in models.iter().enumerate() {
            put(&mut out, if at == 0 { "" } else { "," });
            write_model(model, &mut out);
        }
        let ends = (models.first(), models.last());
        put(&mut out, r#"],"first_id":"#);
        super::json::quote_or_null(&mut out, ends.0.map(String::as_str));
        put(&mut out, r#","has_more":false,"last_id":"#);
        super::json::quote_or_null(&mut out, ends.1.map(String::as_str));
        put(&mut out, "}");
        Ok(out.into())
    }

    fn headers(&self, account: &AnswerHead<'_>) -> Headers {
        let mut headers = vec![("request-id", request_id(self.0, account.id))];
        if self.0 == Host::Own {
            headers.push(("anthropic-organization-id", "00000000-0000-4000-8000-000000000000".to_owned()));
            headers.push(refusals::date());
            headers.extend(refusals::allowance(REQUESTS, account.requests));
            headers.extend(refusals::allowance(INPUT_TOKENS, account.tokens));
            headers.extend(refusals::allowance(TOKENS, account.tokens));
        }
        headers
    }
}

/// Names of the headers of a limit: its size, what remains of it, and when all of it does.
type LimitNames = [&'static str; 3];
const REQUESTS: LimitNames = [
    "anthropic-ratelimit-requests-limit",
    "anthropic-ratelimit-requests-remaining",
    "anthropic-ratelimit-requests-reset",
];
const INPUT_TOKENS: LimitNames = [
    "anthropic-ratelimit-input-tokens-limit",
    "anthropic-ratelimit-input-tokens-remaining",
    "anthropic-ratelimit-input-tokens-reset",
];
const TOKENS: LimitNames =
    ["anthropic-ratelimit-tokens-limit", "anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"];

const PING: &str = "event: ping\ndata: {\"type\": \"ping\"}\n\n";

fn request_id(host: Host, id: &str) -> String {
    format!("req_{}011C{id}0000", host.mark())
}

impl Messages {
    /// Writes what a message begins with.
    fn write_head(&self, answer_parts: &AnswerParts<'_>, out: &mut Vec<u8>) {
        put(out, r#""model":"#);
        // Vertex AI knows a model's version behind an `@`, the model itself does not.
        quote(out, &answer_parts.model.replace('@', "-"));
        put(
            out,
            &format!(r#","id":"msg_{}01{}000000","type":"message","role":"assistant""#, self.0.mark(), answer_parts.id),
        );
    }
}

/// Ends the event that begins there. Its JSON is padded within, by a length that depends only on it.
fn end_event(out: &mut Vec<u8>, begin: usize) {
    let padding = (out.len() - begin) * 7 % 16;
    out.resize(out.len() + padding, b' ');
    put(out, "}\n\n");
}

/// The content of a stream, block by block.
struct Blocks<'a, 'u> {
    host: Host,
    answer_parts: &'u AnswerParts<'u>,
    /// The index of the next block.
    next: usize,
    open: Option<Open<'u>>,
    recorder: &'a mut BodyRecorder,
}

/// A block that has begun.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open<'u> {
    Thought,
    Text,
    /// A call, and whether any of its arguments have come.
    Call(&'u str, bool),
}

impl<'u> Blocks<'_, 'u> {
    fn write(mut self) {
        if self.host != Host::Own {
            self.ping();
        }
        if hides_thought(self.answer_parts) {
            self.thought();
        }
        let answer_parts = self.answer_parts;
        for piece in &answer_parts.pieces {
            match piece {
                Piece::Reasoning(text) => {
                    self.thought();
                    self.delta(r#"{"type":"thinking_delta","thinking":"#, text);
                }
                Piece::Text(text) => {
                    if self.open != Some(Open::Text) {
                        self.begin(Open::Text, r#"{"type":"text","text":""}"#);
                    }
                    self.delta(r#"{"type":"text_delta","text":"#, text);
                }
                Piece::ToolCall { call, .. } => {
                    let mut block = br#"{"type":"tool_use","id":"#.to_vec();
                    quote(&mut block, &call.id);
                    put(&mut block, r#","name":"#);
                    quote(&mut block, &call.name);
                    put(&mut block, r#","input":{}}"#);
                    self.end();
                    self.start(Open::Call(&call.arguments, false), &String::from_utf8_lossy(&block));
                    self.recorder.mark(1);
                    self.ping_first();
                }
                Piece::Arguments { text, .. } => self.arguments(text),
            }
        }
        self.end();
    }

    /// Writes a part of a call's arguments. The first delta is always empty, and for `{}` it is the only one.
    fn arguments(&mut self, text: &str) {
        const DELTA: &str = r#"{"type":"input_json_delta","partial_json":"#;
        let Some(Open::Call(all, has_begun)) = self.open else { return };
        if !has_begun {
            self.write_delta(DELTA, "");
            self.open = Some(Open::Call(all, true));
        }
        if all != "{}" {
            self.write_delta(DELTA, text);
        }
        self.recorder.mark(1);
    }

    /// Begins a thought, unless one has begun.
    fn thought(&mut self) {
        if self.open != Some(Open::Thought) {
            self.begin(Open::Thought, r#"{"type":"thinking","thinking":"","signature":""}"#);
        }
    }

    fn begin(&mut self, open: Open<'u>, block: &str) {
        self.end();
        self.start(open, block);
        self.recorder.mark(0);
        self.ping_first();
    }

    fn start(&mut self, open: Open<'u>, block: &str) {
        self.open = Some(open);
        let index = self.next;
        self.event("content_block_start", &format!(r#","index":{index},"content_block":{block}"#));
    }

    /// Anthropic's first ping comes behind the first block's beginning.
    fn ping_first(&mut self) {
        if self.next == 0 && self.host == Host::Own {
            self.ping();
        }
    }

    fn ping(&mut self) {
        put(&mut self.recorder.bytes, PING);
        self.recorder.mark(0);
    }

    fn delta(&mut self, head: &str, text: &str) {
        self.write_delta(head, text);
        self.recorder.mark(1);
    }

    fn write_delta(&mut self, head: &str, text: &str) {
        let mut delta = format!(r#","index":{},"delta":{head}"#, self.next).into_bytes();
        quote(&mut delta, text);
        put(&mut delta, "}");
        self.event("content_block_delta", &String::from_utf8_lossy(&delta));
    }

    /// Ends the block that is open; a thought with its signature.
    fn end(&mut self) {
        let Some(open) = self.open.take() else { return };
        if open == Open::Thought {
            self.write_delta(r#"{"type":"signature_delta","signature":"#, &proof(self.answer_parts));
            self.recorder.mark(0);
        }
        let index = self.next;
        self.event("content_block_stop", &format!(r#","index":{index}"#));
        self.recorder.mark(0);
        self.next += 1;
    }

    fn event(&mut self, name: &str, rest: &str) {
        let out = &mut self.recorder.bytes;
        let begin = out.len();
        put(out, &format!("event: {name}\ndata: {{\"type\":\"{name}\"{rest}"));
        end_event(out, begin);
    }
}

/// Writes the blocks of a whole answer.
fn write_content(answer_parts: &AnswerParts<'_>, out: &mut Vec<u8>) {
    let mut blocks = Vec::new();
    let thought = thought(answer_parts);
    if !thought.is_empty() || hides_thought(answer_parts) {
        let mut block = br#"{"type":"thinking","thinking":"#.to_vec();
        quote(&mut block, &thought);
        put(&mut block, r#","signature":"#);
        quote(&mut block, &proof(answer_parts));
        blocks.push(block);
    }
    let mut text = String::new();
    let mut calls = Vec::new();
    for piece in &answer_parts.pieces {
        match piece {
            Piece::Reasoning(_) => {}
            Piece::Text(word) => text.push_str(word),
            Piece::ToolCall { call, .. } => calls.push((call, String::new())),
            Piece::Arguments { text, .. } => {
                if let Some((_, arguments)) = calls.last_mut() {
                    arguments.push_str(text);
                }
            }
        }
    }
    if !text.is_empty() {
        let mut block = br#"{"type":"text","text":"#.to_vec();
        quote(&mut block, &text);
        blocks.push(block);
    }
    for (call, arguments) in calls {
        let mut block = br#"{"type":"tool_use","id":"#.to_vec();
        quote(&mut block, &call.id);
        put(&mut block, r#","name":"#);
        quote(&mut block, &call.name);
        put(&mut block, r#","input":"#);
        // A call that was cut short has no object as its arguments.
        let whole = serde_json::from_str::<serde_json::Map<String, Value>>(&arguments).is_ok();
        put(&mut block, if whole { &arguments } else { "{}" });
        blocks.push(block);
    }
    out.extend_from_slice(&blocks.join(&b"},"[..]));
    put(out, if blocks.is_empty() { "" } else { "}" });
}

fn thought(answer_parts: &AnswerParts<'_>) -> String {
    let words = answer_parts.pieces.iter().filter_map(|piece| match piece {
        Piece::Reasoning(word) => Some(*word),
        _ => None,
    });
    words.collect()
}

/// Tells whether there was reasoning of which nothing is shown. A model that was asked to think always thinks.
fn hides_thought(answer_parts: &AnswerParts<'_>) -> bool {
    matches!(answer_parts.question.body["thinking"]["type"].as_str(), Some("enabled" | "adaptive"))
        && !answer_parts.pieces.iter().any(Piece::is_reasoning)
}

/// The bytes every proof begins with, so that it is of base64's alphabet and length.
const PROOF_HEAD: &str = "ErUB";

/// Returns the signature of an answer's thought. A client that sends the thought back must send it, too, and neither
/// may have been changed, nor the model.
fn proof(answer_parts: &AnswerParts<'_>) -> String {
    signature(answer_parts.model, answer_parts.id, &thought(answer_parts))
}

/// Signs what a model thought before the answer with that id: FNV-1a over all three, which no codec makes by accident.
fn signature(model: &str, id: &str, thought: &str) -> String {
    let text = ["standin", model, id, thought].join("\u{0}");
    let hash = fnv1a(FNV1A, text.bytes());
    format!("{PROOF_HEAD}{id}{hash:016x}")
}

/// Tells whether a thought came from that model and is unchanged.
fn is_genuine(model: &str, thought: &str, proof: &str) -> bool {
    let id = proof.strip_prefix(PROOF_HEAD).and_then(|rest| rest.get(..16));
    id.is_some_and(|id| signature(model, id, thought) == proof)
}

fn write_usage(host: Host, usage: Usage, out: &mut Vec<u8>) {
    put(out, "{");
    write_prompt_usage(usage, out);
    if host == Host::Own {
        let written = usage.cache_write;
        put(
            out,
            &format!(r#","cache_creation":{{"ephemeral_5m_input_tokens":{written},"ephemeral_1h_input_tokens":0}}"#),
        );
    }
    write_output_usage(usage, out);
    put(out, if host == Host::Own { r#","service_tier":"standard","inference_geo":"not_available"}"# } else { "}" });
}

/// Writes the prompt's tokens: those of the cache are not among `input_tokens`.
fn write_prompt_usage(usage: Usage, out: &mut Vec<u8>) {
    let Usage { input, cached, cache_write, .. } = usage;
    let input = input.saturating_sub(cached).saturating_sub(cache_write);
    put(
        out,
        &format!(
            r#""input_tokens":{input},"cache_creation_input_tokens":{cache_write},"cache_read_input_tokens":{cached}"#
        ),
    );
}

fn write_output_usage(usage: Usage, out: &mut Vec<u8>) {
    put(out, &format!(r#","output_tokens":{}"#, usage.output));
    if usage.reasoning > 0 {
        put(out, &format!(r#","output_tokens_details":{{"thinking_tokens":{}}}"#, usage.reasoning));
    }
}

fn write_model(model: &str, out: &mut Vec<u8>) {
    put(out, r#"{"created_at":"1970-01-01T00:00:00Z","display_name":"#);
    quote(out, model);
    put(out, r#","id":"#);
    quote(out, model);
    put(out, r#","max_input_tokens":200000,"max_tokens":64000,"type":"model"}"#);
}

/// Spells why an answer ended.
fn finish(finish: Finish<'_>) -> &str {
    match finish {
        Finish::Stop => "end_turn",
        Finish::Length => "max_tokens",
        Finish::ToolCalls => "tool_use",
        Finish::Scripted(word) => word,
    }
}

#[cfg(test)]
mod tests;

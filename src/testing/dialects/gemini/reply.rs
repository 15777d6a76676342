//! Writes Google's answers: whole, as events, and as an array that grows. A whole object is written in several lines,
//! an event in one.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use memchr::memchr2;
use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

use super::family::Family;
use super::{Framing, Host, proof};
use crate::testing::answer::Piece;
use crate::testing::body_recorder::BodyRecorder;
use crate::testing::dialects::{AnswerParts, Finish};
use crate::words::{ToolCall, Usage};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the names are the wire's")]
struct Response<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    candidates: Option<[Candidate<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_feedback: Option<Feedback>,
    usage_metadata: UsageMetadata,
    model_version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    create_time: Option<&'a str>,
    response_id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Candidate<'a> {
    content: Content<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finish_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finish_message: Option<&'static str>,
}

/// AI Studio names the role after the parts, Vertex AI before them.
#[derive(Default, Serialize)]
struct Content<'a> {
    #[serde(rename = "role", skip_serializing_if = "Option::is_none")]
    role_first: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parts: Vec<Part<'a>>,
    #[serde(rename = "role", skip_serializing_if = "Option::is_none")]
    role_last: Option<&'static str>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Part<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_call: Option<FunctionCall<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thought: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thought_signature: Option<String>,
}

#[derive(Serialize)]
struct FunctionCall<'a> {
    name: &'a str,
    args: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Feedback {
    block_reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    block_reason_message: Option<&'static str>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct UsageMetadata {
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_token_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    candidates_token_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_token_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cached_content_token_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traffic_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_tokens_details: Option<[Modality; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_tokens_details: Option<[Modality; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    candidates_tokens_details: Option<[Modality; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thoughts_token_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Modality {
    modality: &'static str,
    token_count: u64,
}

/// Makes the id of an answer's call: eight letters and digits.
pub(super) fn call_id(id: &str, index: usize) -> String {
    const LETTERS: &[u8; 62] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    // By the golden ratio, so that the calls of one answer look different.
    let seed = u64::from_str_radix(id, 16).unwrap_or_default();
    let mut rest = seed.wrapping_add(index as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let letter = |_| {
        let letter = LETTERS[usize::try_from(rest % 62).expect("a remainder is smaller than what divides")];
        rest /= 62;
        char::from(letter)
    };
    (0..8).map(letter).collect()
}

/// Writes an answer as one body.
pub(super) fn write_whole(host: Host, answer_parts: &AnswerParts<'_>, out: &mut Vec<u8>) {
    let voice = ChunkTemplate::new(host, answer_parts);
    let SortedTokens { thoughts, text, calls } = SortedTokens::of(answer_parts);
    let finish = voice.finish(&calls);
    let mut parts = Vec::new();
    if !thoughts.is_empty() {
        parts.push(Part { text: Some(thoughts.concat().into()), thought: Some(true), ..Part::default() });
    }
    if !text.is_empty() {
        let signature = calls.is_empty().then(|| voice.text_signature()).flatten();
        parts.push(Part { text: Some(text.concat().into()), thought_signature: signature, ..Part::default() });
    }
    parts.extend(voice.calls(calls));
    page(out, &voice.response(parts, Some(finish), voice.usage(answer_parts.usage)));
}

/// Writes an answer as events or as an array that grows. A tool call comes whole, all of them in one piece; what ends
/// the answer is a piece of its own.
pub(super) fn write_stream(host: Host, is_array: bool, answer_parts: &AnswerParts<'_>, recorder: &mut BodyRecorder) {
    let voice = ChunkTemplate::new(host, answer_parts);
    let SortedTokens { thoughts, text, calls } = SortedTokens::of(answer_parts);
    let mut sofar = Usage { input: answer_parts.usage.input, cached: answer_parts.usage.cached, ..Usage::default() };
    let frame = |recorder: &mut BodyRecorder, response: &Response<'_>, tokens: usize| {
        let is_last = response.candidates.iter().flatten().any(|candidate| candidate.finish_reason.is_some());
        match (is_array, is_last) {
            (true, _) => {
                page(&mut recorder.bytes, response);
                recorder.bytes.extend_from_slice(if is_last { b"]" } else { b",\r\n" });
            }
            (false, _) => event(&mut recorder.bytes, response),
        }
        recorder.mark(u32::try_from(tokens).unwrap_or(u32::MAX));
    };
    if is_array {
        recorder.bytes.push(b'[');
        recorder.mark(0);
    }
    for thought in thoughts {
        sofar.output += 1;
        sofar.reasoning += 1;
        let part = Part { text: Some(thought.into()), thought: Some(true), ..Part::default() };
        frame(recorder, &voice.response(vec![part], None, voice.usage_sofar(sofar)), 1);
    }
    for word in text {
        sofar.output += 1;
        let part = Part { text: Some(word.into()), ..Part::default() };
        frame(recorder, &voice.response(vec![part], None, voice.usage_sofar(sofar)), 1);
    }
    let finish = voice.finish(&calls);
    let signature = calls.is_empty().then(|| voice.text_signature()).flatten();
    let tokens = calls.iter().map(|call| call.tokens).sum::<usize>();
    let parts: Vec<_> = voice.calls(calls).collect();
    if !parts.is_empty() {
        sofar.output += tokens as u64;
        frame(recorder, &voice.response(parts, None, voice.usage_sofar(sofar)), tokens);
    }
    let part = Part { text: Some("".into()), thought_signature: signature, ..Part::default() };
    let parts = if matches!(finish, "STOP" | "MAX_TOKENS") { vec![part] } else { Vec::new() };
    frame(recorder, &voice.response(parts, Some(finish), voice.usage(answer_parts.usage)), 0);
}

/// Returns the answer to a prompt that the filter stopped.
pub(super) fn blocked(host: Host, framing: Framing, model: &str) -> Vec<u8> {
    let message = "The prompt could not be submitted. It contains content that violates Google's policies.";
    let feedback = Feedback {
        block_reason: "PROHIBITED_CONTENT",
        block_reason_message: (host == Host::Vertex).then_some(message),
    };
    let usage = match host {
        Host::Studio => usage(host, Usage { input: 8, ..Usage::default() }),
        Host::Vertex => UsageMetadata { traffic_type: Some("ON_DEMAND"), ..UsageMetadata::default() },
    };
    let response = Response {
        candidates: None,
        prompt_feedback: Some(feedback),
        usage_metadata: usage,
        model_version: model,
        create_time: (host == Host::Vertex).then_some("2026-01-01T00:00:00.000000Z"),
        response_id: "mSEXaseKG-P51PIPwv66qQs",
    };
    let mut out = Vec::new();
    match framing {
        Framing::Whole => page(&mut out, &response),
        Framing::Events => event(&mut out, &response),
        Framing::Array => {
            out.push(b'[');
            page(&mut out, &response);
            out.push(b']');
        }
    }
    out
}

/// An answer's tokens, sorted.
struct SortedTokens<'a> {
    thoughts: Vec<&'a str>,
    text: Vec<&'a str>,
    calls: Vec<Call<'a>>,
}

struct Call<'a> {
    made: &'a ToolCall,
    arguments: String,
    tokens: usize,
}

impl<'a> SortedTokens<'a> {
    fn of(answer_parts: &AnswerParts<'a>) -> Self {
        let mut spoken = Self { thoughts: Vec::new(), text: Vec::new(), calls: Vec::new() };
        for piece in &answer_parts.pieces {
            match piece {
                Piece::Reasoning(word) => spoken.thoughts.push(word),
                Piece::Text(word) => spoken.text.push(word),
                Piece::ToolCall { call, .. } => {
                    spoken.calls.push(Call { made: call, arguments: String::new(), tokens: 1 });
                }
                Piece::Arguments { text, .. } => {
                    if let Some(call) = spoken.calls.last_mut() {
                        call.arguments.push_str(text);
                        call.tokens += 1;
                    }
                }
            }
        }
        spoken
    }
}

impl Call<'_> {
    /// Returns the arguments; `None` if they are no object, which Google never sends.
    fn args(&self) -> Option<Value> {
        serde_json::from_str(&self.arguments).ok().filter(Value::is_object)
    }
}

/// The common parts of all pieces of an answer.
struct ChunkTemplate<'a> {
    host: Host,
    family: Family,
    answer_parts: &'a AnswerParts<'a>,
    response_id: String,
    create_time: String,
}

impl<'a> ChunkTemplate<'a> {
    fn new(host: Host, answer_parts: &'a AnswerParts<'a>) -> Self {
        let created = SystemTime::UNIX_EPOCH + Duration::from_secs(answer_parts.created);
        Self {
            host,
            family: Family::of(answer_parts.model),
            answer_parts,
            response_id: proof::response_id(answer_parts.id),
            create_time: humantime::format_rfc3339_micros(created).to_string(),
        }
    }

    fn response<'b>(&'b self, parts: Vec<Part<'b>>, finish: Option<&'b str>, usage: UsageMetadata) -> Response<'b> {
        let is_studio = self.host == Host::Studio;
        let is_call = parts.iter().any(|part| part.function_call.is_some());
        // An answer that a filter took has no content and no role.
        let role = (!parts.is_empty() || finish == Some("STOP")).then_some("model");
        let content = Content { role_first: role.filter(|_| !is_studio), parts, role_last: role.filter(|_| is_studio) };
        let candidate = Candidate {
            content,
            finish_reason: finish,
            index: is_studio.then_some(0),
            finish_message: (is_studio && is_call && finish.is_some()).then_some("Model generated function call(s)."),
        };
        Response {
            candidates: Some([candidate]),
            prompt_feedback: None,
            usage_metadata: usage,
            model_version: self.answer_parts.model,
            create_time: (!is_studio).then_some(self.create_time.as_str()),
            response_id: &self.response_id,
        }
    }

    /// Spells why the answer ended. Tool calls are no reason of their own.
    fn finish(&self, calls: &[Call<'_>]) -> &'a str {
        match self.answer_parts.finish {
            Finish::Length => "MAX_TOKENS",
            Finish::Scripted(word) => word,
            Finish::Stop | Finish::ToolCalls if calls.iter().any(|call| call.args().is_none()) => {
                "MALFORMED_FUNCTION_CALL"
            }
            Finish::Stop | Finish::ToolCalls => "STOP",
        }
    }

    /// Returns the calls; none at all if one of them is broken.
    fn calls<'b>(&'b self, calls: Vec<Call<'b>>) -> impl Iterator<Item = Part<'b>> {
        let args: Option<Vec<_>> = calls.iter().map(Call::args).collect();
        let args = args.unwrap_or_default();
        let is_signed = self.family.is_third() || self.answer_parts.usage.reasoning > 0;
        calls.into_iter().zip(args).enumerate().map(move |(at, (call, args))| {
            let name = call.made.name.as_str();
            let id = self.family.is_third().then_some(call.made.id.as_str());
            // Of calls in parallel the first is signed for all.
            let signature = (at == 0 && is_signed).then(|| proof::sign(self.host, self.answer_parts.id, name));
            Part {
                function_call: Some(FunctionCall { name, args, id }),
                thought_signature: signature,
                ..Part::default()
            }
        })
    }

    fn text_signature(&self) -> Option<String> {
        self.family.is_third().then(|| proof::sign(self.host, self.answer_parts.id, ""))
    }

    fn usage(&self, used: Usage) -> UsageMetadata {
        usage(self.host, used)
    }

    /// Returns the usage so far: AI Studio counts on each piece, Vertex AI at the end.
    fn usage_sofar(&self, used: Usage) -> UsageMetadata {
        match self.host {
            Host::Studio => self.usage(used),
            Host::Vertex => UsageMetadata { traffic_type: Some("ON_DEMAND"), ..UsageMetadata::default() },
        }
    }
}

/// Counts as Google does: tokens of thoughts are not among those of the candidates.
fn usage(host: Host, used: Usage) -> UsageMetadata {
    let some = |count: u64| (count > 0).then_some(count);
    let text = |token_count| [Modality { modality: "TEXT", token_count }];
    let candidates = some(used.output.saturating_sub(used.reasoning));
    UsageMetadata {
        prompt_token_count: Some(used.input),
        candidates_token_count: candidates,
        total_token_count: Some(used.input.saturating_add(used.output)),
        cached_content_token_count: some(used.cached),
        traffic_type: (host == Host::Vertex).then_some("ON_DEMAND"),
        prompt_tokens_details: Some(text(used.input)),
        cache_tokens_details: some(used.cached).filter(|_| host == Host::Studio).map(text),
        candidates_tokens_details: candidates.filter(|_| host == Host::Vertex).map(text),
        thoughts_token_count: some(used.reasoning),
        service_tier: (host == Host::Studio).then_some("standard"),
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Listed<'a> {
    #[serde(rename_all = "camelCase")]
    Studio {
        name: String,
        version: &'static str,
        display_name: &'a str,
        input_token_limit: u32,
        output_token_limit: u32,
        supported_generation_methods: [&'static str; 2],
        temperature: u32,
        top_p: f64,
        top_k: u32,
        max_temperature: u32,
        thinking: bool,
    },
    #[serde(rename_all = "camelCase")]
    Vertex { name: String, version_id: &'static str, launch_stage: &'static str },
}

#[derive(Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
enum Listing<'a> {
    Studio { models: Vec<Listed<'a>> },
    Vertex { publisher_models: Vec<Listed<'a>> },
}

fn listed(host: Host, model: &str) -> Listed<'_> {
    match host {
        Host::Studio => Listed::Studio {
            name: format!("models/{model}"),
            version: "001",
            display_name: model,
            input_token_limit: 1_048_576,
            output_token_limit: 65_536,
            supported_generation_methods: ["generateContent", "countTokens"],
            temperature: 1,
            top_p: 0.95,
            top_k: 64,
            max_temperature: 2,
            thinking: Family::of(model).thinks(),
        },
        Host::Vertex => Listed::Vertex {
            name: format!("publishers/google/models/{model}"),
            version_id: "default",
            launch_stage: "GA",
        },
    }
}

/// Returns one model's description.
pub(super) fn model(host: Host, model: &str) -> Bytes {
    let mut out = Vec::new();
    page(&mut out, &listed(host, model));
    out.into()
}

/// Returns the list of models.
pub(super) fn models(host: Host, models: &[String]) -> Bytes {
    let models = models.iter().map(|model| listed(host, model)).collect();
    let mut out = Vec::new();
    page(
        &mut out,
        &match host {
            Host::Studio => Listing::Studio { models },
            Host::Vertex => Listing::Vertex { publisher_models: models },
        },
    );
    out.into()
}

/// Writes an object in lines.
pub(super) fn page(out: &mut Vec<u8>, object: &impl Serialize) {
    write(out, object, PrettyFormatter::new());
    out.push(b'\n');
}

/// Writes an event: an object in one line.
fn event(out: &mut Vec<u8>, object: &impl Serialize) {
    out.extend_from_slice(b"data: ");
    write(out, object, Line);
    out.extend_from_slice(b"\r\n\r\n");
}

/// Google's one line: a space after each colon, none after a comma.
struct Line;

impl Formatter for Line {
    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}

fn write(out: &mut Vec<u8>, object: &impl Serialize, formatter: impl Formatter) {
    let begin = out.len();
    object
        .serialize(&mut Serializer::with_formatter(&mut *out, formatter))
        .expect("plain data can be written to memory");
    // Google escapes what could be a tag; outside of texts there is none.
    if memchr2(b'<', b'>', &out[begin..]).is_some() {
        for byte in out.split_off(begin) {
            match byte {
                b'<' => out.extend_from_slice(br"\u003c"),
                b'>' => out.extend_from_slice(br"\u003e"),
                other => out.push(other),
            }
        }
    }
}

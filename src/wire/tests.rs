//! Recorded traffic of real providers through the whole codec, against what an independent parser read from it.

use std::fs;
use std::path::Path;

use http::{HeaderMap, HeaderName, HeaderValue};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Map, Value};

use super::*;
use crate::words::{FailureClass, Piece, RetryAfter, StopReason};

/// Where this codec reads something else than the oracle, and why it is right to.
const DIFFERENCES: &[(&str, &str, &str)] = &[
    ("xai__chat-completions", "output", "xAI leaves reasoning out of completion_tokens but counts it in the total"),
    ("gemini__chat-completions__json__200__test-compatible-api-with-tool-calls-without-id", "output", "as xAI"),
    ("gemini__chat-completions__sse", "finish", "ends with tool calls and says stop; the caller must call them"),
    ("ollama__chat-completions__sse", "finish", "as Gemini"),
    ("openai__chat-completions__sse__200__async-stream__eb7c0cd4", "finish", "a refusal, though it says stop"),
    (
        "openai__responses__sse__200__response-stream-incomplete",
        "has usage",
        "all zero, beside an answer: says nothing",
    ),
    ("groq__chat-completions__sse__200__parallel-tool-calls", "tool_calls", "arguments null: an object all the same"),
    ("openai__chat-completions__sse__200__test-tools-streaming-variant-d", "tool_calls", "as Groq, but empty"),
    ("deepseek__chat-completions__json__400__blocking-audio-part", "class", "another model may hear: Unsupported"),
    ("deepseek__chat-completions__sse__400__streaming-image-part", "class", "another model may see: Unsupported"),
    ("llamacpp__chat-completions__json__400__video-part-is-refused", "class", "another model may see: Unsupported"),
    ("vllm__chat-completions__json__400__4667", "class", "the prompt leaves -186 tokens of the window: too long"),
    ("vertex__gemini-generate__json__200__turns-grounding", "input", "what tools put into the prompt is billed, too"),
    ("gemini__gemini-generate__json__200__google-gemini-2-5-flash__d2f378c2", "input", "as before"),
    ("anthropic__anthropic-messages__sse__200__aiku", "reasoning", "the oracle has no field for thinking_tokens: 353"),
    ("anthropic__anthropic-messages__json__400__seventeen-union", "class", "another vendor may take it: Unsupported"),
    ("anthropic__anthropic-messages__json__400__twenty-five-optional", "class", "as the one before"),
];

fn is_known(case: &str, what: &str) -> bool {
    DIFFERENCES.iter().any(|(prefix, field, _)| case.starts_with(prefix) && *field == what)
}

/// Reads every case of these providers' recordings; none where the recordings are not there.
pub(super) fn cases() -> Vec<Value> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/corpus/open"));
    let Ok(files) = fs::read_dir(folder) else {
        println!("skipped: no recordings at {}", folder.display());
        return Vec::new();
    };
    let mut paths: Vec<_> = files.map(|file| file.expect("a readable folder").path()).collect();
    paths.sort();
    let lines = paths.iter().flat_map(|path| {
        let text = fs::read_to_string(path).expect("a readable recording");
        text.lines().map(|line| serde_json::from_str(line).expect("one case a line")).collect::<Vec<Value>>()
    });
    lines.collect()
}

fn case_of(case: &Value) -> (&str, &str) {
    (case["case"].as_str().expect("a name"), case["response"]["body"].as_str().expect("a body"))
}

/// Returns the dialect that reads a case's answer, if one does.
fn dialect_of(case: &Value) -> Option<Dialect> {
    match (case["api"].as_str()?, case["provider"].as_str()?) {
        ("chat-completions", _) => Some(Dialect::OpenAiChat),
        ("responses", _) => Some(Dialect::OpenAiResponses),
        ("anthropic-messages", _) => Some(Dialect::AnthropicMessages),
        ("gemini-generate", "vertex") => Some(Dialect::Vertex),
        ("gemini-generate", _) => Some(Dialect::Gemini),
        _ => None,
    }
}

/// Returns the cases of a kind that a codec here reads, each with its dialect.
fn answers<'a>(cases: &'a [Value], kind: &'a str) -> impl Iterator<Item = (Dialect, &'a Value)> {
    cases.iter().filter(move |case| case["kind"] == kind).filter_map(|case| Some((dialect_of(case)?, case)))
}

/// Returns the oracle's word for what it read, as all dialects' answers are compared. Of Gemini's it keeps the raw
/// reason of the end, and the output without thoughts.
fn expectation(dialect: Dialect, expect: &Value) -> Value {
    let mut expect = expect.clone();
    if matches!(dialect, Dialect::Gemini | Dialect::Vertex) {
        let called = expect["tool_calls"].as_array().is_some_and(|calls| !calls.is_empty());
        expect["finish"] = match &expect["finish"] {
            Value::String(reason) if reason == "MAX_TOKENS" => "length".into(),
            Value::String(reason) if reason != "STOP" => "content_filter".into(),
            Value::Null => "content_filter".into(),
            _ if called => "tool_calls".into(),
            _ => "stop".into(),
        };
        let count = |field: &str| expect["usage"][field].as_u64().unwrap_or(0);
        expect["usage"]["output"] = (count("output") + count("reasoning")).into();
    }
    expect
}

type Decoded = (Vec<Piece>, Result<Ending, Failure>);

/// Decodes a body in these chunks. Pieces are joined, so that what the chunks were cannot be told from them.
fn decode<'a>(dialect: Dialect, streaming: bool, chunks: impl IntoIterator<Item = &'a [u8]>) -> Decoded {
    let mut decoder = Decoder::new(dialect, streaming);
    let mut pieces = Vec::new();
    for chunk in chunks {
        if let Err(failure) = decoder.push(chunk, &mut pieces) {
            return (pieces, Err(failure));
        }
    }
    (pieces, decoder.finish())
}

fn joined(pieces: &[Piece], of: fn(&Piece) -> Option<&str>) -> String {
    pieces.iter().filter_map(of).collect()
}

fn text_of(piece: &Piece) -> Option<&str> {
    if let Piece::Text(text) = piece { Some(text) } else { None }
}

fn reasoning_of(piece: &Piece) -> Option<&str> {
    if let Piece::Reasoning(text) = piece { Some(text) } else { None }
}

/// Compares one decoded answer with the oracle; returns the fields that differ, without those in the list.
fn differences(name: &str, expect: &Value, (pieces, ending): &Decoded) -> Vec<String> {
    let ending = match ending {
        Ok(ending) => ending,
        Err(failure) if failure.class == FailureClass::ContentPolicy && expect["finish"] == "content_filter" => {
            return Vec::new();
        }
        Err(failure) => return vec![format!("{name}: failed: {failure}")],
    };
    let mut different = Vec::new();
    let mut compare = |what: &str, found: Value, expected: &Value| {
        if found != *expected && !is_known(name, what) {
            different.push(format!("{name}: {what}: found {found}, expected {expected}"));
        }
    };
    let said = expect["refusal"].as_str().or(expect["text"].as_str()).unwrap_or_default();
    compare("text", joined(pieces, text_of).into(), &said.into());
    let reasoning = joined(pieces, reasoning_of).chars().count();
    compare("reasoning text", reasoning.into(), &expect["reasoning_chars"]);
    let finish = match ending.stop {
        StopReason::Stop => "stop",
        StopReason::Length => "length",
        StopReason::ToolCalls => "tool_calls",
        StopReason::ContentFilter => "content_filter",
        StopReason::Refusal | StopReason::Other => "other",
    };
    let expected = match expect["finish"].as_str().unwrap_or_default() {
        "tool_use" => "tool_calls",
        "max_tokens" | "incomplete:max_output_tokens" => "length",
        // Responses do not say why, but how they ended.
        "completed" if expect["refusal"].is_string() => "other",
        "completed" if expect["tool_calls"] != serde_json::json!([]) => "tool_calls",
        "end_turn" | "stop_sequence" | "completed" => "stop",
        as_it_is => as_it_is,
    };
    compare("finish", finish.into(), &expected.into());
    compare("model", ending.model.as_deref().unwrap_or_default().into(), &expect["model"]);
    let calls = ending.tool_calls().map(|call| {
        assert!(!call.id.is_empty(), "{name}: a tool call without an id");
        let arguments: Value = serde_json::from_str(&call.arguments).expect("checked to be JSON");
        serde_json::json!({"name": call.name, "arguments": arguments})
    });
    compare("tool_calls", calls.collect(), &expect["tool_calls"]);
    compare("has usage", ending.usage.is_some().into(), &expect["usage"].is_object().into());
    let usage = ending.usage.unwrap_or_default();
    let expected = |what: &str| expect["usage"][what].as_u64().unwrap_or(0);
    // The oracle leaves cached tokens out of the input where the provider does; it is these that it has a field for.
    let apart =
        if expect["usage"].get("cache_write").is_some() { expected("cached") + expected("cache_write") } else { 0 };
    compare("input", usage.input.into(), &(expected("input") + apart).into());
    let counts = [("output", usage.output), ("cached", usage.cached), ("reasoning", usage.reasoning)];
    let written = expect["usage"].get("cache_write").map(|_| ("cache_write", usage.cache_write));
    for (what, found) in counts.into_iter().chain(written) {
        compare(what, found.into(), &expected(what).into());
    }
    different
}

#[test]
fn recorded_answers_read_as_the_oracle_reads_them() {
    let cases = cases();
    let mut different = Vec::new();
    for (dialect, case) in answers(&cases, "ok") {
        let (name, body) = case_of(case);
        let streaming = case["streaming"] == true;
        let decoded = decode(dialect, streaming, [body.as_bytes()]);
        different.extend(differences(name, &expectation(dialect, &case["expect"]), &decoded));
        // The body itself tells how it is framed.
        assert_eq!(decode(dialect, !streaming, [body.as_bytes()]), decoded, "{name}");
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn recorded_answers_read_the_same_in_any_chunks() {
    let cases = cases();
    let mut rng = StdRng::seed_from_u64(1);
    for (dialect, case) in answers(&cases, "ok").chain(answers(&cases, "inband-error")) {
        let (name, body) = case_of(case);
        let expected = decode(dialect, true, [body.as_bytes()]);
        assert_eq!(decode(dialect, true, body.as_bytes().chunks(1)), expected, "{name}, byte by byte");
        for _ in 0..3 {
            let mut rest = body.as_bytes();
            let chunks = std::iter::from_fn(|| {
                let (chunk, tail) = rest.split_at(rng.random_range(1..=200).min(rest.len()));
                rest = tail;
                (!chunk.is_empty()).then_some(chunk)
            });
            assert_eq!(decode(dialect, true, chunks), expected, "{name}, in random chunks");
        }
    }
}

#[test]
fn recorded_answers_cut_anywhere_are_never_taken_for_whole() {
    let cases = cases();
    let mut rng = StdRng::seed_from_u64(2);
    for (dialect, case) in answers(&cases, "ok") {
        let (name, body) = case_of(case);
        // A refused prompt has no answer that could be cut.
        let (_, Ok(whole)) = decode(dialect, true, [body.as_bytes()]) else { continue };
        for _ in 0..8 {
            let cut = rng.random_range(0..body.len());
            if let (_, Ok(ending)) = decode(dialect, true, [&body.as_bytes()[..cut]]) {
                // The rest held nothing of the answer: usage and the end marker at most.
                assert_eq!(ending.parts, whole.parts, "{name} at {cut}");
                assert_eq!(ending.stop, whole.stop, "{name} at {cut}");
            }
        }
    }
}

fn class_of(oracle: &str) -> FailureClass {
    match oracle {
        "billing" => FailureClass::OutOfMoney,
        "content_filter" => FailureClass::ContentPolicy,
        "context_length" => FailureClass::ContextTooLong,
        "generation_failed" => FailureClass::Unusable,
        "invalid_key" => FailureClass::Unauthorised,
        "invalid_request" => FailureClass::BadRequest,
        "model_not_found" | "model_unavailable" => FailureClass::ModelGone,
        "overloaded" => FailureClass::Overloaded,
        "quota_window_daily" | "rate_limit" => FailureClass::RateLimited,
        "request_exceeds_rate_limit" => FailureClass::RequestExceedsLimit,
        "unsupported" => FailureClass::Unsupported,
        other => panic!("the oracle has a class this table does not know: {other}"),
    }
}

fn headers_of(case: &Value) -> HeaderMap {
    let empty = Map::new();
    let pairs = case["response"]["headers"].as_object().unwrap_or(&empty).iter();
    let pair = |(name, value): (&String, &Value)| {
        Some((HeaderName::try_from(name).ok()?, HeaderValue::from_str(value.as_str()?).ok()?))
    };
    pairs.filter_map(pair).collect()
}

#[test]
fn recorded_errors_of_all_dialects_are_classified_as_the_oracle_does() {
    let cases = cases();
    let mut different = Vec::new();
    for case in cases.iter().filter(|case| case["kind"] == "error") {
        let (name, body) = case_of(case);
        let status = case["response"]["status"].as_u64().and_then(|status| u16::try_from(status).ok());
        let failure = classify(Dialect::OpenAiChat, status.expect("a status"), &headers_of(case), body.as_bytes());
        let oracle = case["expect"]["error_class"].as_str().expect("a class");
        if failure.class != class_of(oracle) && !is_known(name, "class") {
            different.push(format!("{name}: {oracle}: {failure:?}"));
        }
        let hint = case["expect"]["retry_hint_retryinfo"].as_str().or(case["expect"]["retry_hint_text"].as_str());
        if let Some(hint) = hint {
            let expected = humantime::parse_duration(hint).expect("a duration");
            assert_eq!(failure.retry_after, Some(RetryAfter::After(expected)), "{name}");
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn recorded_errors_inside_of_streams_are_classified() {
    for (dialect, case) in answers(&cases(), "inband-error") {
        let (name, body) = case_of(case);
        let (pieces, ending) = decode(dialect, true, [body.as_bytes()]);
        let failure = ending.expect_err(name);
        let oracle = case["expect"]["error_class"].as_str().expect("a class");
        assert_eq!(failure.class, class_of(oracle), "{name}");
        let spoke =
            ["\"content\":\"", "\"reasoning\":\"", "_text.delta", "text_delta"].iter().any(|sign| body.contains(sign));
        assert_eq!(!pieces.is_empty(), spoke, "{name}: what came before the error is kept");
    }
}

#[test]
fn every_argued_difference_still_is_one() {
    let cases = cases();
    for (prefix, ..) in DIFFERENCES {
        let found = cases.iter().any(|case| case["case"].as_str().is_some_and(|name| name.starts_with(prefix)));
        assert!(found || cases.is_empty(), "{prefix} is no case");
    }
}

//! Answers of providers through the decoders, in any chunks and cut anywhere: those of `tests/recorded`, and recorded
//! traffic where it is beside the checkout. `tests/corpus.rs` holds the expected results.

use std::fs;
use std::path::Path;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use super::*;
use crate::words::{Piece, ToolChoice};

/// Reads every case: those that were written for this, and the recorded ones if they are there.
pub(super) fn cases() -> Vec<Value> {
    let own = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recorded"));
    let mut cases = read(fs::read_dir(own).expect("tests/recorded"));
    cases.extend(recordings());
    cases
}

/// Reads the recorded cases alone; none where they are not there.
pub(super) fn recordings() -> Vec<Value> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/corpus/open"));
    match fs::read_dir(folder) {
        Ok(files) => read(files),
        Err(_) => {
            println!("no recordings at {}: the cases of tests/recorded alone", folder.display());
            Vec::new()
        }
    }
}

fn read(files: fs::ReadDir) -> Vec<Value> {
    let mut paths: Vec<_> = files.map(|file| file.expect("a readable folder").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    paths.sort();
    let lines = paths.iter().flat_map(|path| {
        let text = fs::read_to_string(path).expect("a readable file");
        text.lines().map(|line| serde_json::from_str(line).expect("one case a line")).collect::<Vec<Value>>()
    });
    lines.collect()
}

fn case_of(case: &Value) -> (&str, &str) {
    (case["case"].as_str().expect("a name"), case["response"]["body"].as_str().expect("a body"))
}

/// Returns the dialect that reads a case's answer, if one does.
pub(super) fn dialect_of(case: &Value) -> Option<Dialect> {
    match (case["api"].as_str()?, case["provider"].as_str()?) {
        ("chat-completions", _) => Some(Dialect::OpenAiChat),
        ("responses", _) => Some(Dialect::OpenAiResponses),
        ("anthropic-messages", _) => Some(Dialect::AnthropicMessages),
        ("gemini-generate", "vertex") => Some(Dialect::Vertex),
        ("gemini-generate", _) => Some(Dialect::Gemini),
        ("ollama-native", _) => Some(Dialect::Ollama),
        _ => None,
    }
}

/// Returns the cases of a kind that a codec here reads, each with its dialect.
fn answers<'a>(cases: &'a [Value], kind: &'a str) -> impl Iterator<Item = (Dialect, &'a Value)> {
    cases.iter().filter(move |case| case["kind"] == kind).filter_map(|case| Some((dialect_of(case)?, case)))
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

pub(super) const DIALECTS: [Dialect; 6] = [
    Dialect::OpenAiChat,
    Dialect::OpenAiResponses,
    Dialect::AnthropicMessages,
    Dialect::Gemini,
    Dialect::Vertex,
    Dialect::Ollama,
];

/// Cuts a body into chunks of up to 200 bytes.
fn chunks<'a>(mut rest: &'a [u8], rng: &mut StdRng) -> Vec<&'a [u8]> {
    let mut chunks = Vec::new();
    while !rest.is_empty() {
        let (chunk, tail) = rest.split_at(rng.random_range(1..=200).min(rest.len()));
        chunks.push(chunk);
        rest = tail;
    }
    chunks
}

#[test]
fn recorded_answers_read_the_same_in_any_chunks() {
    let mut rng = StdRng::seed_from_u64(1);
    for case in &cases() {
        let (name, body) = case_of(case);
        let body = body.as_bytes();
        // Any input, with any reader: errors and the answers of other dialects, too.
        for dialect in DIALECTS {
            let expected = decode(dialect, true, [body]);
            assert_eq!(decode(dialect, true, chunks(body, &mut rng)), expected, "{name} read as {dialect:?}");
            if dialect_of(case) == Some(dialect) {
                assert_eq!(decode(dialect, true, body.chunks(1)), expected, "{name}, byte by byte");
                assert_eq!(decode(dialect, true, chunks(body, &mut rng)), expected, "{name}, in other chunks");
            }
            let framed =
                body.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|byte| b"{[<:dei".contains(byte));
            if framed {
                assert_eq!(decode(dialect, false, [body]), expected, "{name}: the body tells how it is framed");
            }
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

#[test]
fn a_refusal_that_quotes_a_name_is_short_however_long_the_name_is() {
    let request = ChatRequest { tool_choice: ToolChoice::Named("x".repeat(9_000)), ..ChatRequest::new("r").user("Hi") };
    let flavour = Flavour::named("generic").expect("a flavour");
    let failure =
        encode(Dialect::AnthropicMessages, flavour, &request, "claude-haiku-4-5", false).expect_err("no tool");
    assert!(failure.message.starts_with("tool_choice: names `xxx"), "{}", failure.message);
    assert_eq!(tidy(&failure.message).chars().count(), 500);
}

#[test]
fn what_says_nothing_between_events_fails_nothing_in_any_dialect() {
    const NOTHING: [&str; 13] = [
        "data: null",
        "data:",
        "data:   ",
        "data: []",
        "data: {}",
        "data: ping",
        "data: true",
        "data: \"ok\"",
        ": keep-alive",
        "event: ping\ndata: null",
        "event: keepalive\ndata: 1764480000",
        "event: x.y\ndata: {\"type\":\"x.y\"}",
        "id: 5\nretry: 3000",
    ];
    let chat =
        |delta: Value, reason: Value| json!({"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]});
    let candidate = |text: &str, reason: Value| {
        json!({"candidates": [{"content": {"parts": [{"text": text}]},
            "finishReason": reason}]})
    };
    let answer = json!({"id": "r", "model": "m", "status": "completed", "output": []});
    for (dialect, events) in [
        (
            Dialect::OpenAiChat,
            vec![
                chat(json!({"content": "a"}), Value::Null).to_string(),
                chat(json!({}), json!("stop")).to_string(),
                "[DONE]".to_owned(),
            ],
        ),
        (
            Dialect::OpenAiResponses,
            vec![
                json!({"type": "response.output_text.delta", "output_index": 0, "delta": "a"}).to_string(),
                json!({"type": "response.completed", "response": answer}).to_string(),
            ],
        ),
        (
            Dialect::AnthropicMessages,
            vec![
                json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "a"}})
                    .to_string(),
                json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}).to_string(),
                json!({"type": "message_stop"}).to_string(),
            ],
        ),
        (Dialect::Gemini, vec![candidate("a", Value::Null).to_string(), candidate("", json!("STOP")).to_string()]),
    ] {
        for nothing in NOTHING {
            for verbatim in [false, true] {
                let how = Verbatim { stream: true, ..Verbatim::default() };
                let mut decoder = Decoder::new(dialect, true).verbatim(verbatim.then_some(how));
                let mut out = Vec::new();
                for event in &events {
                    for event in [nothing.to_owned(), format!("data: {event}")] {
                        let read = decoder.push(format!("{event}\n\n").as_bytes(), &mut out);
                        read.unwrap_or_else(|failure| panic!("{dialect:?}: {event}: {failure}"));
                    }
                }
                let ending = decoder.finish().unwrap_or_else(|failure| panic!("{dialect:?}: {nothing}: {failure}"));
                let went_on = ending.verbatim.is_some_and(|rest| !rest.is_empty()) || !out.is_empty();
                assert!(went_on, "{dialect:?}: {nothing}");
            }
        }
        // An object that breaks off, and words of an error, are failures.
        for broken in ["data: {\"choices\": [{", "event: error\ndata: upstream failed"] {
            let mut decoder = Decoder::new(dialect, true);
            let failure = decoder.push(format!("{broken}\n\n").as_bytes(), &mut Vec::new());
            assert!(failure.is_err() || decoder.finish().is_err(), "{dialect:?}: {broken}");
        }
    }
}

//! Answers of providers through the decoding example, and thereby through the public codecs.
//!
//! `tests/recorded` holds cases that were written for this, from the providers' documentation: the expected result of
//! each is in its `expect`, and every dialect and every failure that an answer can show has some. `corpus/oracle.rs`
//! reads recorded traffic beside them where there is some.

#[path = "../examples/decode/case.rs"]
mod case;
#[path = "corpus/oracle.rs"]
mod oracle;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use standin::FailureClass;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recorded");
/// The files of the folder, one for each dialect that has bytes of its own.
const DIALECTS: [&str; 6] = ["anthropic", "chat-completions", "gemini", "ollama", "responses", "vertex"];
/// The flavours that differ most from each other.
const FLAVOURS: [&str; 10] =
    ["openai", "azure", "deepseek", "mistral", "qwen", "openrouter", "groq", "vllm", "xai", "kimi"];
/// Failures that no answer shows, and why.
const UNSEEN: [(FailureClass, &str); 12] = [
    (FailureClass::WrongAddress, "it needs the address that was asked"),
    (FailureClass::Unsent, "the connection broke before an answer began"),
    (FailureClass::Connect, "there was no connection"),
    (FailureClass::NoFirstToken, "it is the time before an answer, not the answer"),
    (FailureClass::Stalled, "it is the time between two bytes"),
    (FailureClass::Crashed, "the attempt failed on this side"),
    (FailureClass::LocalShortage, "this machine had no socket or no memory left"),
    (FailureClass::CallerLeft, "the caller left"),
    (FailureClass::Cancelled, "a holder ended the call"),
    (FailureClass::CallEnded, "the call ended first"),
    (FailureClass::Stopped, "the runtime stopped"),
    (FailureClass::HedgeLost, "another attempt was faster"),
];

/// Reads the cases of one file.
fn cases(file: &str) -> Vec<Value> {
    let path = Path::new(FOLDER).join(file).with_extension("jsonl");
    let text = fs::read_to_string(&path).unwrap_or_else(|problem| panic!("{}: {problem}", path.display()));
    let line = |(at, line)| serde_json::from_str(line).unwrap_or_else(|problem| panic!("{file}:{}: {problem}", at + 1));
    text.lines().enumerate().map(line).collect()
}

fn all() -> Vec<Value> {
    DIALECTS.into_iter().flat_map(cases).collect()
}

fn name(case: &Value) -> &str {
    case["case"].as_str().expect("a case has a name")
}

fn read(case: &Value) -> Value {
    serde_json::to_value(case::read(case.to_string().as_bytes())).expect("a row is JSON")
}

/// Returns what a row must hold: the content of an answer, or the class of a failure with the content before it. What
/// `expect` leaves out must not be there.
fn expected(case: &Value) -> Vec<(&'static str, Value)> {
    let expect =
        |field: &str, absent: Value| Some(&case["expect"][field]).filter(|v| !v.is_null()).map_or(absent, Value::clone);
    match case["kind"].as_str() {
        Some("ok") => vec![
            ("kind", json!("ok")),
            ("text", expect("text", Value::Null)),
            ("reasoning_chars", expect("reasoning_chars", json!(0))),
            ("tool_calls", expect("tool_calls", json!([]))),
            ("finish", expect("finish", Value::Null)),
            ("usage", expect("usage", Value::Null)),
            ("model", expect("model", Value::Null)),
            ("failure", Value::Null),
        ],
        Some("error" | "inband-error") => vec![
            ("kind", json!("error")),
            ("failure", expect("failure", Value::Null)),
            ("scope", expect("scope", Value::Null)),
            ("retry_after_ms", expect("retry_after_ms", Value::Null)),
            ("text", expect("text", Value::Null)),
            ("committed", expect("committed", (!case["expect"]["text"].is_null()).into())),
        ],
        kind => panic!("{}: no such kind: {kind:?}", name(case)),
    }
}

#[test]
fn every_case_reads_as_its_author_expects() {
    let mut different = Vec::new();
    for case in all() {
        let row = read(&case);
        for (field, expected) in expected(&case) {
            if row[field] != expected {
                different.push(format!("{}: {field}: found {}, expected {expected}; {row}", name(&case), row[field]));
            }
        }
    }
    assert!(different.is_empty(), "\n{}", different.join("\n"));
}

#[test]
fn every_failure_that_an_answer_can_show_has_a_case() {
    let cases = all();
    let seen: BTreeSet<&str> = cases.iter().filter_map(|case| case["expect"]["failure"].as_str()).collect();
    for &class in FailureClass::ALL {
        let reason = UNSEEN.iter().find(|(unseen, _)| *unseen == class);
        assert_ne!(seen.contains(class.name()), reason.is_some(), "{class}: {reason:?}");
    }
}

#[test]
fn every_dialect_has_answers_calls_and_failures_whole_and_streamed() {
    for file in DIALECTS {
        let cases = cases(file);
        let has = |what: &str, is: &dyn Fn(&Value) -> bool| assert!(cases.iter().any(is), "{file} has no {what}");
        let calls = |case: &Value| case["expect"]["tool_calls"].as_array().map_or(0, Vec::len);
        for streaming in [false, true] {
            let how = |case: &Value| case["streaming"] == streaming && case["kind"] == "ok";
            has("text", &|case| how(case) && case["expect"]["finish"] == "stop");
            has("call", &|case| how(case) && calls(case) > 0);
            has("reasoning", &|case| how(case) && case["expect"]["reasoning_chars"].is_u64());
        }
        has("parallel calls", &|case| calls(case) > 1);
        has("answer that was cut by its limit", &|case| case["expect"]["finish"] == "length");
        has("error", &|case| case["kind"] == "error");
        has("stream that broke off", &|case| case["expect"]["failure"] == "cut");
    }
    for flavour in FLAVOURS {
        let cases: Vec<Value> = cases("chat-completions").into_iter().filter(|c| c["provider"] == flavour).collect();
        let has = |what: &str, is: &dyn Fn(&Value) -> bool| assert!(cases.iter().any(is), "{flavour} has no {what}");
        has("answer", &|case| case["kind"] == "ok" && case["streaming"] == false);
        has("stream", &|case| case["kind"] == "ok" && case["streaming"] == true);
        has("call", &|case| case["expect"]["tool_calls"].is_array());
        has("error", &|case| case["kind"] == "error");
    }
}

#[test]
fn every_case_has_a_name_of_its_own_and_says_what_it_follows() {
    let (cases, mut names) = (all(), BTreeSet::new());
    for case in &cases {
        assert!(names.insert(name(case)), "{} is there twice", name(case));
        assert!(case["source"].as_str().is_some_and(|source| source.starts_with("https://")), "{}", name(case));
        assert!(case["response"]["status"].is_u64() && case["expect"].is_object(), "{}", name(case));
    }
    let files: BTreeSet<String> = fs::read_dir(FOLDER)
        .expect("tests/recorded")
        .map(|file| file.expect("a file").file_name().to_string_lossy().into_owned())
        .filter_map(|file| Some(file.strip_suffix(".jsonl")?.to_owned()))
        .collect();
    assert_eq!(files, DIALECTS.map(str::to_owned).into(), "a file that no test reads, or none");
}

#[test]
fn a_bad_line_is_a_row_that_says_so() {
    for (line, says) in [
        ("nonsense", "the line is no case"),
        ("[]", "the line is no case"),
        ("{\"case\":\"c\",\"response\":7}", "the line is no case"),
        ("{\"case\":\"c\",\"api\":\"telepathy\",\"response\":{\"body\":\"hm\"}}", "`telepathy`"),
        ("{\"case\":\"c\",\"response\":{\"status\":200}}", "no dialect"),
    ] {
        let row = case::read(line.as_bytes());
        assert_eq!(row.kind, "error", "{line}");
        assert!(row.message.as_deref().is_some_and(|message| message.contains(says)), "{line}: {row:?}");
        assert_eq!(row.case.as_deref(), line.contains("\"c\"").then_some("c"), "{line}");
    }
}

#[test]
fn the_reader_of_an_answer_follows_from_the_api_or_the_address() {
    let chat = r#"{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}"#;
    let message = r#"{"type":"message","content":[{"type":"text","text":"Hi"}],"stop_reason":"end_turn"}"#;
    let response = r#"{"object":"response","status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":"Hi"}]}]}"#;
    let google = r#"{"candidates":[{"content":{"parts":[{"text":"Hi"}]},"finishReason":"STOP"}]}"#;
    for (api, path, body) in [
        ("chat-completions", "", chat),
        ("?", "/openai/deployments/d/chat/completions?api-version=1", chat),
        ("?", "/v1/messages", message),
        ("?", "/v1/projects/p/publishers/anthropic/models/m:rawPredict", message),
        ("?", "/v1/responses", response),
        ("?", "/v1beta/models/m:generateContent", google),
        ("?", "/v1/projects/p/publishers/google/models/m:streamGenerateContent?alt=sse", google),
    ] {
        let case = json!({"api": api, "request": {"path": path}, "response": {"status": 200, "body": body}});
        let row = case::read(case.to_string().as_bytes());
        assert_eq!((row.kind, row.text.as_deref(), row.finish), ("ok", Some("Hi"), Some("stop")), "{api} {path}");
    }
}

#[test]
fn cases_that_are_no_chat_have_a_row_and_their_errors_are_classified() {
    for api in ["models", "count-tokens", "health", "completions", "embeddings"] {
        let case = |status, body: &str| {
            let case = json!({"api": api, "response": {"status": status, "body": body}});
            case::read(case.to_string().as_bytes())
        };
        let row = case(200, "{\"data\":[]}");
        assert_eq!((row.kind, row.text), ("ok", None), "{api}");
        assert_eq!(case(401, "{}").class, Some("invalid_key"), "{api}");
    }
}

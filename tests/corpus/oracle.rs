//! Recorded traffic of real providers against what an independent parser read from it; nothing where the recordings,
//! which lie beside the checkout, are not there.
//!
//! Each difference between the two is explained here, by case, and in `docs/decisions/0023`, by kind.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::read;

/// Cases that this codec reads differently from the oracle, and why.
const DIFFERENCES: &[(&str, &str, &str)] = &[
    ("xai__chat-completions", "output", "xAI leaves reasoning out of completion_tokens but counts it in the total"),
    ("gemini__chat-completions__json__200__test-compatible-api-with-tool-calls-without-id", "output", "as xAI"),
    ("gemini__chat-completions__sse", "finish", "ends with tool calls and says stop; the caller must call them"),
    ("ollama__chat-completions__sse", "finish", "as Gemini"),
    ("openai__chat-completions__sse__200__async-stream__eb7c0cd4", "finish", "a refusal, though it says stop"),
    ("openai__responses__sse__200__response-stream-incomplete", "usage", "all zero, beside an answer: says nothing"),
    ("groq__chat-completions__sse__200__parallel-tool-calls", "tool_calls", "arguments null: an object all the same"),
    ("openai__chat-completions__sse__200__test-tools-streaming-variant-d", "tool_calls", "as Groq, but empty"),
    ("deepseek__chat-completions__json__400__blocking-audio-part", "class", "another model may hear"),
    ("deepseek__chat-completions__sse__400__streaming-image-part", "class", "another model may see"),
    ("llamacpp__chat-completions__json__400__video-part-is-refused", "class", "another model may see"),
    ("vllm__chat-completions__json__400__4667", "class", "the prompt leaves -186 tokens of the window: too long"),
    ("vertex__gemini-generate__json__200__turns-grounding", "input", "what tools put into the prompt is billed, too"),
    ("gemini__gemini-generate__json__200__google-gemini-2-5-flash__d2f378c2", "input", "as before"),
    ("anthropic__anthropic-messages__sse__200__aiku", "reasoning", "the oracle has no field for thinking_tokens: 353"),
    ("anthropic__anthropic-messages__json__400__seventeen-union", "class", "another vendor may take it"),
    ("anthropic__anthropic-messages__json__400__twenty-five-optional", "class", "as the one before"),
    (
        "qwen__chat-completions__json__400__449",
        "action",
        "to ask elsewhere what a filter refused is the route's choice",
    ),
    (
        "llamacpp__chat-completions__json__400__malformed-data-uri",
        "class",
        "in doubt: another host may read the picture",
    ),
    ("llamacpp__chat-completions__json__500__unfetchable-image-url", "class", "another host may reach the address"),
    ("openai__chat-completions__json__400__test-vision-base64", "class", "another host may read that kind of image"),
    (
        "openai__responses__json__400__openai-responses-thinking-with-modified-history",
        "class",
        "state of one provider: another has none of it",
    ),
    ("qwen__dashscope-native", "kind", "not spoken: its compatible mode is"),
];

/// Reads every recorded case; none where the recordings are not there.
fn cases() -> Vec<Value> {
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

/// Returns the fields in which a row differs from what the oracle read, each with both.
fn differences(case: &Value, row: &Value) -> Vec<(&'static str, Value, Value)> {
    let expect = &case["expect"];
    // A provider's refusal of the request speaks of its own rules: we ask the next target (decision 104).
    let is_own = row["failure"] == "bad_request" && row["scope"] == "model";
    let told = |oracle: &str| match action(oracle) {
        "caller" if is_own => "failover",
        told => told,
    };
    let pairs = match (case["kind"].as_str(), row["kind"].as_str()) {
        (Some("ok"), Some("error")) if row["class"] == "content_filter" => {
            vec![("finish", json!("content_filter"), finish(case).into())]
        }
        (Some("ok"), Some("ok")) if expect.is_null() => vec![("text", row["text"].clone(), Value::Null)],
        (Some("ok"), Some("ok")) => answer(case, row),
        (Some("error" | "inband-error"), Some("error")) => vec![
            ("class", row["class"].clone(), class(expect["error_class"].as_str().expect("a class")).into()),
            ("action", json!(first(&row["action"])), json!(told(expect["action"].as_str().expect("an action")))),
        ],
        _ => vec![("kind", row.clone(), case["kind"].clone())],
    };
    pairs.into_iter().filter(|(_, found, expected)| found != expected).collect()
}

fn answer(case: &Value, row: &Value) -> Vec<(&'static str, Value, Value)> {
    let expect = &case["expect"];
    let google = case["api"] == "gemini-generate";
    let counted = |what: &str| expect["usage"][what].as_u64().unwrap_or(0);
    let found = |what: &str| row["usage"][what].as_u64().unwrap_or(0);
    // The oracle leaves cached tokens out of the input where the provider does; it is these that it has a field for.
    let apart =
        if expect["usage"].get("cache_write").is_some() { counted("cached") + counted("cache_write") } else { 0 };
    // And thoughts out of Gemini's output.
    let thoughts = if google { counted("reasoning") } else { 0 };
    let said = expect["refusal"].as_str().or(expect["text"].as_str()).unwrap_or_default();
    let mut pairs = vec![
        ("text", row["text"].clone(), said.into()),
        ("reasoning_chars", row["reasoning_chars"].clone(), expect["reasoning_chars"].clone()),
        ("tool_calls", row["tool_calls"].clone(), expect["tool_calls"].clone()),
        ("finish", row["finish"].clone(), finish(case).into()),
        ("model", row["model"].as_str().unwrap_or_default().into(), expect["model"].clone()),
        ("usage", row["usage"].is_object().into(), has_usage(expect).into()),
        ("input", found("input").into(), (counted("input") + apart).into()),
        ("output", found("output").into(), (counted("output") + thoughts).into()),
        ("cached", found("cached").into(), counted("cached").into()),
        ("reasoning", found("reasoning").into(), counted("reasoning").into()),
    ];
    if expect["usage"].get("cache_write").is_some() {
        pairs.push(("cache_write", found("cache_write").into(), counted("cache_write").into()));
    }
    pairs
}

/// Tells whether the oracle read a usage: it writes one of nothing where it read none.
fn has_usage(expect: &Value) -> bool {
    expect["usage"].as_object().is_some_and(|usage| usage.values().any(|count| !count.is_null()))
}

/// Returns our word for the oracle's raw reason of the end.
fn finish(case: &Value) -> &'static str {
    let expect = &case["expect"];
    let called = expect["tool_calls"].as_array().is_some_and(|calls| !calls.is_empty());
    match (case["api"].as_str(), expect["finish"].as_str()) {
        (_, Some("length" | "max_tokens" | "MAX_TOKENS" | "incomplete:max_output_tokens")) => "length",
        (_, Some("tool_calls" | "tool_use")) => "tool_calls",
        (Some("gemini-generate" | "responses" | "ollama-native"), _) if called => "tool_calls",
        (_, Some("completed")) if expect["refusal"].is_string() => "refusal",
        (_, Some("stop" | "STOP" | "end_turn" | "stop_sequence" | "completed")) => "stop",
        (Some("gemini-generate"), None) if expect["finish"] == 1 => "stop",
        _ => "content_filter",
    }
}

/// Returns the example's word for the oracle's class, of which some mean one thing to us.
fn class(oracle: &str) -> &str {
    match oracle {
        "model_unavailable" => "model_not_found",
        as_it_is => as_it_is,
    }
}

/// Returns what the oracle would do first, in the example's words.
fn action(oracle: &str) -> &'static str {
    match oracle {
        "disable_key+failover" => "key_off",
        "failover_model+disable_model" => "model_off",
        "cooldown_key_until_reset+failover" => "cool",
        "backoff_or_failover" => "wait",
        "backoff_then_failover" | "retry_same_once_then_failover" => "retry",
        "failover_or_trim" | "failover_other_provider_or_fail" | "fail_to_caller_or_strip_param" => "failover",
        "trim_or_failover_larger_context" => "failover_larger",
        "fail_to_caller" => "caller",
        other => panic!("the oracle has an action this table does not know: {other}"),
    }
}

fn first(action: &Value) -> &str {
    action.as_str().and_then(|action| action.split('+').next()).unwrap_or_default()
}

#[test]
fn every_recorded_case_reads_as_the_oracle_reads_it_or_the_difference_is_argued() {
    let (mut different, mut argued) = (Vec::new(), BTreeSet::new());
    let cases = cases();
    for case in &cases {
        let name = case["case"].as_str().expect("a name");
        for (field, found, expected) in differences(case, &read(case)) {
            // An action follows from the class.
            let known = DIFFERENCES.iter().position(|(prefix, what, _)| {
                name.starts_with(prefix) && (*what == field || (*what, field) == ("class", "action"))
            });
            match known {
                Some(at) => drop(argued.insert(at)),
                None => different.push(format!("{name}: {field}: found {found}, expected {expected}")),
            }
        }
    }
    assert!(different.is_empty(), "\n{}", different.join("\n"));
    for (at, (prefix, field, _)) in DIFFERENCES.iter().enumerate() {
        assert!(cases.is_empty() || argued.contains(&at), "{prefix}: {field} differs no more");
    }
}

#[test]
fn recorded_errors_inside_of_streams_are_classified() {
    for case in cases().iter().filter(|case| case["kind"] == "inband-error") {
        let (row, body) = (read(case), case["response"]["body"].as_str().expect("a body"));
        let signs = ["\"content\":\"", "\"reasoning\":\"", "_text.delta", "text_delta"];
        let spoke = signs.iter().any(|sign| body.contains(sign));
        assert_eq!(row["kind"], "error", "{}", case["case"]);
        assert_eq!(row["committed"], spoke, "{}: what came before the error is kept", case["case"]);
        assert_eq!(row["text"].is_string() || row["reasoning_chars"].is_number(), spoke, "{}", case["case"]);
    }
}

#[test]
fn waits_that_recorded_errors_name_are_taken() {
    for case in &cases() {
        let hint = |name: &str| case["expect"][name].as_str().map(str::to_owned);
        // Where both are there, the field is what the text was made of.
        let Some(hint) = hint("retry_hint_retryinfo").or_else(|| hint("retry_hint_text")) else { continue };
        let wait = humantime::parse_duration(&hint).expect("a duration").as_millis();
        assert_eq!(read(case)["retry_after_ms"].as_u64(), u64::try_from(wait).ok(), "{}", case["case"]);
    }
}

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt as _;
use serde_json::json;

use super::*;
use crate::testing::answer::{Answer, Form};
use crate::testing::{Fault, Script, Scripted};
use crate::transport::{HttpRequest, Transport as _};

const BODY: Value = Value::Null;

/// Reads a question, as far as an answer depends on it.
fn question(body: &Value) -> Question {
    Question {
        model: "claude-x@1".into(),
        stream: true,
        include_usage: true,
        user: String::new(),
        tool_results: Vec::new(),
        tools: Vec::new(),
        forced_tool: None,
        form: Form::Text,
        tokens: 0,
        output_tokens_max: None,
        body: body.clone(),
    }
}

fn answer_parts<'a>(
    answer: &'a Answer,
    finish: Finish<'a>,
    question: &'a Question,
    headers: &'a HeaderMap,
) -> AnswerParts<'a> {
    AnswerParts {
        id: "0123456789abcdef",
        created: 0,
        model: "claude-x@1",
        question,
        headers,
        pieces: answer.pieces(),
        finish,
        usage: Usage { input: 10, output: 5, cached: 3, cache_write: 2, reasoning: 1 },
    }
}

fn stream(host: Host, answer: &Answer, finish: Finish<'_>, body: &Value) -> String {
    let mut recorder = BodyRecorder::default();
    Messages(host).write_stream(&answer_parts(answer, finish, &question(body), &HeaderMap::new()), &mut recorder);
    String::from_utf8(recorder.bytes).unwrap()
}

fn whole(host: Host, answer: &Answer, finish: Finish<'_>, body: &Value) -> Value {
    let mut out = Vec::new();
    Messages(host).write_whole(&answer_parts(answer, finish, &question(body), &HeaderMap::new()), &mut out);
    serde_json::from_slice(&out).unwrap()
}

/// Reads a stream as any reader of server-sent events would.
fn events(stream: &str) -> Vec<(String, Value)> {
    let blocks = stream.split_terminator("\n\n").map(|event| {
        let (name, data) = event.split_once('\n').unwrap();
        let data = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        (name.strip_prefix("event: ").unwrap().to_owned(), data)
    });
    blocks.collect()
}

/// Puts a stream together as a client would.
fn collect(stream: &str) -> Value {
    let mut message = Value::Null;
    let mut arguments = String::new();
    for (name, event) in events(stream) {
        assert_eq!(event["type"], name.as_str());
        let content = message["content"].as_array_mut();
        match name.as_str() {
            "message_start" => message = event["message"].clone(),
            "content_block_start" => {
                let content = content.unwrap();
                assert_eq!(event["index"], content.len());
                content.push(event["content_block"].clone());
            }
            "content_block_delta" => {
                let block = content.unwrap().last_mut().unwrap();
                let delta = &event["delta"];
                let mut add = |name: &str| {
                    block[name] = format!("{}{}", block[name].as_str().unwrap(), delta[name].as_str().unwrap()).into();
                };
                match delta["type"].as_str().unwrap() {
                    "text_delta" => add("text"),
                    "thinking_delta" => add("thinking"),
                    "signature_delta" => add("signature"),
                    _ => arguments.push_str(delta["partial_json"].as_str().unwrap()),
                }
            }
            "content_block_stop" if !arguments.is_empty() => {
                let block = content.unwrap().last_mut().unwrap();
                block["input"] = serde_json::from_str(&std::mem::take(&mut arguments)).unwrap();
            }
            "message_delta" => {
                message["stop_reason"] = event["delta"]["stop_reason"].clone();
                message["usage"]["output_tokens"] = event["usage"]["output_tokens"].clone();
                if let Some(details) = event["usage"].get("output_tokens_details") {
                    message["usage"]["output_tokens_details"] = details.clone();
                }
            }
            _ => {}
        }
    }
    message
}

fn answers() -> Vec<(Answer, Finish<'static>)> {
    vec![
        (Answer::text("Hello \"there\",\nyou."), Finish::Stop),
        (Answer::default(), Finish::Stop),
        (Answer::text("It is").reasoning("Let me see: hm."), Finish::Length),
        (Answer::default().tool_call("f", r#"{"a":"long enough","b":[1,2]}"#), Finish::ToolCalls),
        (
            Answer::text("I call.")
                .reasoning("Both.")
                .tool_call("f", "{}")
                .tool_call("g", r#"{"x":1}"#)
                .tool_call("h", ""),
            Finish::ToolCalls,
        ),
        (Answer::text("No."), Finish::Scripted("refusal")),
    ]
}

#[test]
fn a_stream_says_what_the_whole_answer_says() {
    let thinks = json!({"thinking": {"type": "adaptive"}});
    for host in [Host::Own, Host::Vertex { streams: true }] {
        for body in [&BODY, &thinks] {
            for (answer, finish) in answers() {
                assert_eq!(
                    collect(&stream(host, &answer, finish, body)),
                    whole(host, &answer, finish, body),
                    "{answer:?}"
                );
            }
        }
    }
}

#[test]
fn the_bytes_are_as_recorded() {
    let stream = stream(Host::Own, &Answer::text("10"), Finish::Stop, &BODY);
    let expected = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"claude-x-1\",\
        \"id\":\"msg_010123456789abcdef000000\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[],\
        \"stop_reason\":null,\"stop_sequence\":null,\"stop_details\":null,\"usage\":{\"input_tokens\":5,\
        \"cache_creation_input_tokens\":2,\"cache_read_input_tokens\":3,\
        \"cache_creation\":{\"ephemeral_5m_input_tokens\":2,\"ephemeral_1h_input_tokens\":0},\"output_tokens\":1,\
        \"service_tier\":\"standard\",\"inference_geo\":\"not_available\"}}}\n\n\
        event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\
        \"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n\
        event: ping\ndata: {\"type\": \"ping\"}\n\n\
        event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\
        \"delta\":{\"type\":\"text_delta\",\"text\":\"10\"}}\n\n\
        event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n\
        event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\
        \"stop_sequence\":null,\"stop_details\":null},\"usage\":{\"input_tokens\":5,\"cache_creation_input_tokens\":2,\
        \"cache_read_input_tokens\":3,\"output_tokens\":5,\"output_tokens_details\":{\"thinking_tokens\":1}}}\n\n\
        event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    let unpadded: Vec<_> = stream
        .split("\n\n")
        .map(|event| match event.strip_suffix('}') {
            Some(rest) => format!("{}}}", rest.trim_end_matches(' ')),
            None => event.to_owned(),
        })
        .collect();
    assert_eq!(unpadded.join("\n\n"), expected);
    assert!(stream.contains(" }\n\n"), "some events are padded");
}

#[test]
fn a_call_without_arguments_has_one_empty_delta() {
    let answer = Answer::default().tool_call("f", "{}");
    let stream = stream(Host::Own, &answer, Finish::ToolCalls, &BODY);
    let deltas: Vec<_> = events(&stream).into_iter().filter(|(name, _)| name == "content_block_delta").collect();
    assert_eq!(deltas.len(), 1);
    assert_eq!(deltas[0].1["delta"], json!({"type": "input_json_delta", "partial_json": ""}));
}

#[test]
fn a_proof_holds_for_its_thought_and_model_alone() {
    let proof = signature("m", "0123456789abcdef", "Hm.");
    assert_eq!(proof.len() % 4, 0);
    assert!(is_genuine("m", "Hm.", &proof));
    assert!(!is_genuine("n", "Hm.", &proof));
    assert!(!is_genuine("m", "Hm!", &proof));
    assert!(!is_genuine("m", "Hm.", &proof.replace("0123", "1123")));
    assert!(!is_genuine("m", "Hm.", "") && !is_genuine("m", "Hm.", "ErUBé"));
}

#[test]
fn only_anthropics_own_refusals_have_an_id() {
    let stamped = |host: Host, error: ProviderError| {
        let dialect = Messages(host);
        String::from_utf8(dialect.stamp(dialect.error(error, "m"), "0123456789abcdef").body.to_vec()).unwrap()
    };
    let vertex = Host::Vertex { streams: true };
    assert_eq!(
        stamped(Host::Own, ProviderError::Overloaded),
        r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_011C0123456789abcdef0000"}"#
    );
    assert!(
        stamped(vertex, ProviderError::Overloaded).ends_with(r#""request_id":"req_vrtx_011C0123456789abcdef0000"}"#)
    );
    assert!(stamped(vertex, ProviderError::ModelGone).starts_with(r#"[{"error":{"code":404,"#));
    assert!(stamped(Host::Own, ProviderError::BadGateway).starts_with("<html>"));
    assert_eq!(
        stamped(Host::Own, ProviderError::Forbidden),
        r#"{"error":{"type":"forbidden","message":"Request not allowed"}}"#
    );
}

/// The keys of an object and of the objects within, as `usage.input_tokens`.
fn keys(value: &Value, path: &str, out: &mut BTreeSet<String>) {
    let Some(fields) = value.as_object() else { return };
    for (name, value) in fields {
        let path = format!("{path}.{name}");
        keys(value, &path, out);
        out.insert(path);
    }
}

/// The kinds of a stream's events, each with every key it was seen to have.
fn shape<'a>(streams: impl Iterator<Item = &'a str>) -> BTreeMap<String, BTreeSet<String>> {
    let mut shape: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, event) in streams.flat_map(events) {
        let tag = event["delta"]["type"].as_str().or_else(|| event["content_block"]["type"].as_str());
        keys(&event, "", shape.entry(format!("{name} {}", tag.unwrap_or_default())).or_default());
    }
    shape
}

#[test]
fn every_event_and_key_has_been_recorded() {
    let mut recorded = Vec::new();
    for file in ["anthropic", "vertex"] {
        let path = format!("{}/../shared/corpus/open/{file}.jsonl", env!("CARGO_MANIFEST_DIR"));
        let Ok(lines) = std::fs::read_to_string(&path) else {
            println!("skipped: no recorded traffic at {path}");
            return;
        };
        let cases = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let streams = cases.filter(|case| case["api"] == "anthropic-messages" && case["response"]["status"] == 200);
        let bodies = streams.filter_map(|case| Some(case["response"]["body"].as_str()?.to_owned()));
        recorded.extend(bodies.filter(|body| body.starts_with("event: ")));
    }
    let known = shape(recorded.iter().map(String::as_str));
    let mut ours: Vec<String> =
        answers().iter().map(|(answer, finish)| stream(Host::Own, answer, *finish, &BODY)).collect();
    let (answer, asked, headers) = (Answer::default(), question(&BODY), HeaderMap::new());
    let failure = Messages(Host::Own).failure_within(&answer_parts(&answer, Finish::Stop, &asked, &headers), 0);
    ours.push(String::from_utf8(failure.to_vec()).unwrap());
    for (kind, keys) in shape(ours.iter().map(String::as_str)) {
        let known = known.get(&kind).unwrap_or_else(|| panic!("{kind:?} was never recorded"));
        let strange: Vec<_> = keys.difference(known).collect();
        assert!(strange.is_empty(), "{kind}: {strange:?} were never recorded");
    }
}

/// Asks a provider as a client would; returns status, headers and body.
async fn exchange(
    scripted: &Scripted,
    path: &str,
    headers: &[(&'static str, &str)],
    body: &Value,
) -> (u16, HeaderMap, String) {
    let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
    let request =
        HttpRequest { url: format!("https://host.test{path}"), headers, body: body.to_string().into(), words: None };
    let response = scripted.send(request).await.unwrap();
    let chunks: Vec<_> = response.body.map(|chunk| chunk.unwrap()).collect().await;
    (response.status, response.headers, String::from_utf8(chunks.concat()).unwrap())
}

const MODEL: &str = "claude-sonnet-4-5@20250929";

fn strict() -> Scripted {
    Scripted::new(Script { keys: vec!["secret".into()], models: vec![MODEL.into()], ..Script::default() })
}

#[tokio::test(start_paused = true)]
async fn vertex_serves_the_model_in_the_path_to_the_bearer() {
    let vertex = strict();
    let path =
        |model: &str, verb: &str| format!("/v1/projects/p/locations/l/publishers/anthropic/models/{model}:{verb}");
    let (whole, stream) = (path(MODEL, "rawPredict"), path(MODEL, "streamRawPredict"));
    let bearer = [("authorization", "Bearer secret")];
    let mut body = json!({"anthropic_version": "vertex-2023-10-16", "max_tokens": 9,
        "messages": [{"role": "user", "content": "call:f({})"}],
        "tools": [{"name": "f", "input_schema": {"type": "object"}}]});
    let (status, headers, said) = exchange(&vertex, &whole, &bearer, &body).await;
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((status, &said["model"]), (200, &json!("claude-sonnet-4-5-20250929")));
    assert!(said["id"].as_str().unwrap().starts_with("msg_vrtx_01"));
    assert!(said["content"][0]["id"].as_str().unwrap().starts_with("toolu_vrtx_01"));
    assert!(headers.keys().all(|name| !name.as_str().contains("ratelimit")));

    body["stream"] = true.into();
    let (status, headers, said) = exchange(&vertex, &stream, &bearer, &body).await;
    assert_eq!((status, headers["content-type"].to_str().unwrap()), (200, "text/event-stream; charset=utf-8"));
    assert_eq!(events(&said)[1].0, "ping");

    let (status, _, said) = exchange(&vertex, &stream, &[("x-api-key", "secret")], &body).await;
    assert_eq!(status, 401);
    assert!(said.starts_with(r#"[{"error":{"code":401,"#), "{said}");
    let (status, _, said) = exchange(&vertex, &path("claude-x", "rawPredict"), &bearer, &body).await;
    assert_eq!(status, 404);
    assert!(said.contains("publishers/anthropic/models/claude-x` was not found") && said.starts_with('{'), "{said}");
    vertex.next(1, Fault::Error(ProviderError::ModelGone));
    assert!(
        exchange(&vertex, &stream, &bearer, &body).await.2.contains(MODEL),
        "the model is known even where nothing is checked"
    );
}

#[tokio::test(start_paused = true)]
async fn models_are_listed_and_tokens_counted() {
    let own = strict();
    let headers = [("x-api-key", "secret"), ("anthropic-version", "2023-06-01")];
    let (status, _, said) = exchange(&own, "/v1/models", &headers, &BODY).await;
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((status, &said["data"][0]["id"], &said["last_id"]), (200, &json!(MODEL), &json!(MODEL)));
    assert_eq!((&said["data"][0]["type"], &said["has_more"]), (&json!("model"), &json!(false)));

    let body = json!({"model": MODEL, "system": "Be brief.", "messages": [{"role": "user", "content": "one two"}]});
    let (status, _, said) = exchange(&own, "/v1/messages/count_tokens", &headers, &body).await;
    assert_eq!((status, said.as_str()), (200, r#"{"input_tokens":4}"#));
    let (status, headers, said) = exchange(&own, "/v1/message", &headers, &body).await;
    let id = headers["request-id"].to_str().unwrap();
    let expected =
        format!(r#"{{"type":"error","error":{{"type":"not_found_error","message":"Not Found"}},"request_id":"{id}"}}"#);
    assert_eq!((status, said), (404, expected));
}

#[tokio::test(start_paused = true)]
async fn limits_have_resets_as_dates() {
    let own = Scripted::new(Script { requests_per_minute: 60, ..Script::default() });
    let body = json!({"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]});
    let (_, headers, _) = exchange(&own, "/v1/messages", &[("anthropic-version", "2023-06-01")], &body).await;
    for (name, value) in [
        ("date", "Thu, 01 Jan 2026 00:00:00 GMT"),
        ("anthropic-ratelimit-requests-limit", "60"),
        ("anthropic-ratelimit-requests-remaining", "59"),
        ("anthropic-ratelimit-requests-reset", "2026-01-01T00:00:01Z"),
    ] {
        assert_eq!(headers[name], value, "{name}");
    }
    own.next(1, Fault::LyingHeaders);
    let (_, headers, _) = exchange(&own, "/v1/messages", &[("anthropic-version", "2023-06-01")], &body).await;
    for (name, value) in [
        ("content-type", "text/html"),
        ("retry-after", "3600"),
        ("anthropic-ratelimit-requests-remaining", "0"),
        ("anthropic-ratelimit-requests-reset", "2026-01-01T01:00:00Z"),
    ] {
        assert_eq!(headers[name], value, "{name}");
    }
}

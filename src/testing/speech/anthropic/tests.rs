use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::*;
use crate::testing::answer::Answer;

const BODY: Value = Value::Null;

fn utterance<'a>(answer: &'a Answer, finish: Finish<'a>, body: &'a Value) -> Utterance<'a> {
    Utterance {
        id: "0123456789abcdef",
        created: 0,
        model: "claude-x@1",
        include_usage: true,
        pieces: answer.pieces(),
        finish,
        usage: Usage { input: 10, output: 5, cached: 3, cache_write: 2, reasoning: 1 },
        body,
    }
}

fn stream(host: Host, answer: &Answer, finish: Finish<'_>, body: &Value) -> String {
    let mut sheet = Sheet::default();
    Messages(host).write_stream(&utterance(answer, finish, body), &mut sheet);
    String::from_utf8(sheet.bytes).unwrap()
}

fn whole(host: Host, answer: &Answer, finish: Finish<'_>, body: &Value) -> Value {
    let mut out = Vec::new();
    Messages(host).write_whole(&utterance(answer, finish, body), &mut out);
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

/// What a client puts together from a stream.
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
            Answer::text("I call.").reasoning("Both.").tool_call("f", "{}").tool_call("g", r#"{"x":1}"#).tool_call("h", ""),
            Finish::ToolCalls,
        ),
        (Answer::text("No."), Finish::Said("refusal")),
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
    let unpadded: Vec<_> = stream.split("\n\n").map(|event| match event.strip_suffix('}') {
        Some(rest) => format!("{}}}", rest.trim_end_matches(' ')),
        None => event.to_owned(),
    }).collect();
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
fn an_id_goes_into_anthropics_refusals_alone() {
    let stamped = |host: Host, error: ProviderError| {
        let speech = Messages(host);
        String::from_utf8(speech.stamp(speech.error(error, "m"), "0123456789abcdef").body.to_vec()).unwrap()
    };
    let vertex = Host::Vertex { streams: true };
    assert_eq!(
        stamped(Host::Own, ProviderError::Overloaded),
        r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_011C0123456789abcdef0000"}"#
    );
    assert!(stamped(vertex, ProviderError::Overloaded).ends_with(r#""request_id":"req_vrtx_011C0123456789abcdef0000"}"#));
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
    ours.push(String::from_utf8(Messages(Host::Own).failure_within(true).to_vec()).unwrap());
    for (kind, keys) in shape(ours.iter().map(String::as_str)) {
        let known = known.get(&kind).unwrap_or_else(|| panic!("{kind:?} was never recorded"));
        let strange: Vec<_> = keys.difference(known).collect();
        assert!(strange.is_empty(), "{kind}: {strange:?} were never recorded");
    }
}

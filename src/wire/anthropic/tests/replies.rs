use proptest::prelude::*;
use serde_json::{Value, json};

use crate::wire::flavour::GENERIC;
use crate::wire::{Decoder, Ending, encode};
use crate::words::{
    AssistantPart, ChatRequest, Dialect, Failure, FailureClass, Message, Piece, Proof, Reasoning, StopReason, TargetId,
    ToolCall, Usage,
};

type Decoded = (Vec<Piece>, Result<Ending, Failure>);

fn decode(body: &str) -> Decoded {
    let mut decoder = Decoder::new(Dialect::AnthropicMessages, true);
    let mut pieces = Vec::new();
    let ending = decoder.push(body.as_bytes(), &mut pieces).and_then(|_| decoder.finish());
    (pieces, ending)
}

fn event(data: &Value) -> String {
    format!("event: {}\ndata: {data}   \n\n", data["type"].as_str().unwrap_or_default())
}

/// Decodes a stream of these events between beginning and end.
fn stream(events: &[Value]) -> Decoded {
    let start = json!({"type": "message_start", "message": {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": [],
        "stop_reason": null, "usage": {"input_tokens": 3, "output_tokens": 1},
    }});
    let events = std::iter::once(&start).chain(events).map(event).collect::<String>();
    decode(&format!("{events}event: message_stop\ndata: {{\"type\":\"message_stop\"}}\n\n"))
}

fn begin(index: u32, block: Value) -> Value {
    json!({"type": "content_block_start", "index": index, "content_block": block})
}

fn delta(index: u32, delta: Value) -> Value {
    json!({"type": "content_block_delta", "index": index, "delta": delta})
}

fn said(index: u32, text: &str) -> [Value; 3] {
    [
        begin(index, json!({"type": "text", "text": ""})),
        delta(index, json!({"type": "text_delta", "text": text})),
        json!({"type": "content_block_stop", "index": index}),
    ]
}

fn stop(reason: &str) -> Value {
    json!({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": null},
        "usage": {"output_tokens": 9}})
}

fn thought(text: &str, data: &str) -> AssistantPart {
    let proof = Some(Proof::new(Dialect::AnthropicMessages, data));
    AssistantPart::Reasoning(Reasoning { text: text.into(), proof })
}

fn called(id: &str, name: &str, arguments: &str) -> AssistantPart {
    AssistantPart::ToolCall(ToolCall {
        id: id.to_owned(),
        name: name.to_owned(),
        arguments: arguments.into(),
        proof: None,
    })
}

fn failed(events: &[Value]) -> FailureClass {
    stream(events).1.expect_err("a failure").class
}

/// An answer with all kinds of blocks, in the form of a stream.
fn everything() -> Vec<Value> {
    let tool = |id: &str| json!({"type": "tool_use", "id": id, "name": "f", "input": {}});
    let arguments = |index, json: &str| delta(index, json!({"type": "input_json_delta", "partial_json": json}));
    vec![
        begin(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
        json!({"type": "ping"}),
        delta(0, json!({"type": "thinking_delta", "thinking": "Let me "})),
        delta(0, json!({"type": "thinking_delta", "thinking": "see."})),
        delta(0, json!({"type": "signature_delta", "signature": "s1=="})),
        begin(1, json!({"type": "redacted_thinking", "data": "opaque=="})),
        begin(2, json!({"type": "thinking", "thinking": "", "signature": ""})),
        delta(2, json!({"type": "signature_delta", "signature": "s2=="})),
        begin(3, json!({"type": "text", "text": ""})),
        delta(3, json!({"type": "text_delta", "text": "I'll "})),
        delta(3, json!({"type": "citations_delta", "citation": {}})),
        delta(3, json!({"type": "text_delta", "text": "\u{1F50D}."})),
        begin(4, tool("toolu_1")),
        arguments(4, ""),
        arguments(4, "{\"a\""),
        arguments(4, ": 1}"),
        begin(5, json!({"type": "thinking", "thinking": "", "signature": ""})),
        delta(5, json!({"type": "thinking_delta", "thinking": "And"})),
        delta(5, json!({"type": "signature_delta", "signature": "s3=="})),
        begin(6, tool("toolu_2")),
        stop("tool_use"),
    ]
}

fn all_parts() -> Vec<AssistantPart> {
    vec![
        thought("Let me see.", "s1=="),
        thought("", "redacted:opaque=="),
        thought("", "s2=="),
        AssistantPart::Text("I'll \u{1F50D}.".into()),
        called("toolu_1", "f", "{\"a\": 1}"),
        thought("And", "s3=="),
        called("toolu_2", "f", "{}"),
    ]
}

/// The same answer, whole.
fn content() -> Value {
    json!([
        {"type": "thinking", "thinking": "Let me see.", "signature": "s1=="},
        {"type": "redacted_thinking", "data": "opaque=="},
        {"type": "thinking", "thinking": "", "signature": "s2=="},
        {"type": "text", "text": "I'll \u{1F50D}.", "citations": null},
        {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}},
        {"type": "thinking", "thinking": "And", "signature": "s3=="},
        {"type": "tool_use", "id": "toolu_2", "name": "f", "input": {}},
    ])
}

#[test]
fn reads_every_kind_of_block_in_the_models_order() {
    let (pieces, ending) = stream(&everything());
    let proof = |data: &str| Piece::Proof(Proof::new(Dialect::AnthropicMessages, data));
    let expected = [
        Piece::Reasoning("Let me see.".into()),
        proof("s1=="),
        proof("redacted:opaque=="),
        proof("s2=="),
        Piece::Text("I'll \u{1F50D}.".into()),
        Piece::Reasoning("And".into()),
    ];
    assert_eq!(pieces, expected, "a proof comes with what follows it");
    let ending = ending.expect("a good answer");
    assert_eq!(ending.parts, all_parts());
    assert_eq!((ending.stop, ending.model.as_deref()), (StopReason::ToolCalls, Some("claude-x")));
    assert_eq!(ending.usage, Some(Usage { input: 3, output: 9, ..Usage::default() }));
}

#[test]
fn a_block_that_begins_with_its_first_words_says_them_once() {
    let start = |text: &str| begin(0, json!({"type": "text", "text": text}));
    let more = |text: &str| delta(0, json!({"type": "text_delta", "text": text}));
    let end = || json!({"type": "content_block_stop", "index": 0});
    for events in [
        vec![start("Hello"), more("Hello"), more(" you"), end()],
        vec![start("Hello"), more(" you"), end()],
        vec![start("Hello"), json!({"type": "ping"}), more("Hello you"), end()],
        vec![start("Hello you"), end()],
        vec![start("Hello you")],
    ] {
        let (pieces, ending) = stream(&[&events[..], &[stop("end_turn")]].concat());
        assert_eq!(pieces, [Piece::Text("Hello you".to_owned())], "{events:?}");
        assert_eq!(ending.expect("a good answer").text(), "Hello you");
    }
}

#[test]
fn text_after_a_tool_call_stays_after_it() {
    let call = begin(1, json!({"type": "tool_use", "id": "a", "name": "f", "input": {}}));
    let events = [&said(0, "x")[..], &[call], &said(2, "y")[..], &[stop("tool_use")]].concat();
    let (pieces, ending) = stream(&events);
    assert_eq!(pieces, [Piece::Text("xy".into())]);
    let text = |text: &str| AssistantPart::Text(text.into());
    assert_eq!(ending.expect("a good answer").parts, [text("x"), called("a", "f", "{}"), text("y")]);
}

#[test]
fn reads_a_whole_message_as_the_stream_of_it() {
    let message = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": content(),
        "stop_reason": "tool_use", "usage": {"input_tokens": 3, "output_tokens": 9},
    });
    let (pieces, ending) = decode(&message.to_string());
    let streamed = stream(&everything());
    assert_eq!(pieces, streamed.0);
    // Arguments are kept as they were spelled.
    let mut expected = streamed.1.expect("a good answer");
    expected.parts[4] = called("toolu_1", "f", "{\"a\":1}");
    // The stream has a citation of nothing besides.
    assert!(std::mem::take(&mut expected.lost_sources));
    assert_eq!(ending.expect("a good answer"), expected);
}

#[test]
fn an_answer_goes_back_as_it_came() {
    let mut parts = all_parts();
    for part in &mut parts {
        if let AssistantPart::Reasoning(Reasoning { proof: Some(proof), .. }) = part {
            // Signatures hold wherever the model runs.
            proof.issuer = Some("elsewhere".into());
        }
    }
    let request = ChatRequest::new("r").user("Hi").message(Message::Assistant(parts));
    let target = TargetId::new("p", "claude-opus-5");
    let encoded = encode(Dialect::AnthropicMessages, &GENERIC, &request, &target, false).expect("a good request");
    let mut body: Value = serde_json::from_slice(&encoded.body.whole()).expect("JSON");
    let mut expected = content();
    expected[3].as_object_mut().expect("an object").remove("citations");
    assert_eq!(body["messages"][1]["content"].take(), expected);
}

#[test]
fn work_of_the_providers_own_tools_is_no_part_of_the_answer() {
    let events = [
        &said(0, "Let me search.")[..],
        &[
            begin(1, json!({"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}})),
            delta(1, json!({"type": "input_json_delta", "partial_json": "{\"query\": \"x\"}"})),
            begin(
                2,
                json!({"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [{"text": "no"}]}),
            ),
        ],
        &said(3, " Found.")[..],
        &[stop("end_turn")],
    ];
    let (pieces, ending) = stream(&events.concat());
    assert_eq!(pieces, [Piece::Text("Let me search. Found.".into())]);
    assert_eq!(ending.expect("a good answer").tool_calls().count(), 0);
}

#[test]
fn knows_every_reason_to_stop() {
    for (reason, expected) in [
        ("end_turn", StopReason::Stop),
        ("stop_sequence", StopReason::Stop),
        ("max_tokens", StopReason::Length),
        ("model_context_window_exceeded", StopReason::Length),
        // It called none.
        ("tool_use", StopReason::Stop),
        ("refusal", StopReason::Refusal),
        ("pause_turn", StopReason::Other),
        ("a new one", StopReason::Other),
    ] {
        let events = [&said(0, "x")[..], &[stop(reason)]].concat();
        assert_eq!(stream(&events).1.expect("a good answer").stop, expected, "{reason}");
    }
}

#[test]
fn an_answer_without_content_is_empty_refused_or_too_short() {
    assert_eq!(failed(&[stop("end_turn")]), FailureClass::Empty);
    assert_eq!(failed(&[stop("pause_turn")]), FailureClass::Empty);
    assert_eq!(failed(&[stop("refusal")]), FailureClass::ContentPolicy);
    assert!(stream(&[stop("max_tokens")]).1.is_ok());
    assert_eq!(failed(&[stop("model_context_window_exceeded")]), FailureClass::ContextTooLong);
    assert_eq!(failed(&everything()[..3]), FailureClass::Empty, "a thought alone is no answer");
    let whole = r#"{"type":"message","content":[],"stop_reason":"end_turn"}"#;
    assert_eq!(decode(whole).1.expect_err("a failure").class, FailureClass::Empty);
}

#[test]
fn an_answer_without_its_end_is_cut() {
    let [begin, text, end] = said(0, "x");
    let body = |events: &[&Value]| events.iter().map(|data| event(data)).collect::<String>();
    for events in [&[][..], &[&begin], &[&begin, &text], &[&begin, &text, &end]] {
        assert_eq!(decode(&body(events)).1.expect_err("a failure").class, FailureClass::Cut);
    }
    assert!(decode(&body(&[&begin, &text, &end, &stop("end_turn")])).1.is_ok(), "only the end marker is missing");
}

#[test]
fn finds_errors_inside_of_streams() {
    for (error, class) in [
        (
            json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
            FailureClass::Overloaded,
        ),
        (json!({"type": "error", "error": {"type": "rate_limit_error", "message": "x"}}), FailureClass::RateLimited),
        (json!({"type": "error", "error": {"type": "api_error", "message": "Internal"}}), FailureClass::Server),
        (json!({"type": "error", "error": {"type": "timeout_error", "message": "x"}}), FailureClass::Server),
        (json!({"type": "error", "error": {"type": "billing_error", "message": "x"}}), FailureClass::OutOfMoney),
        (json!({"error": {"message": "x", "code": 503}}), FailureClass::Overloaded),
    ] {
        let events = [&said(0, "x")[..], std::slice::from_ref(&error), &[stop("end_turn")]].concat();
        let (pieces, ending) = stream(&events);
        assert_eq!(ending.expect_err("a failure").class, class, "{error}");
        assert_eq!(pieces, [Piece::Text("x".into())], "what came before is kept");
        assert_eq!(decode(&error.to_string()).1.expect_err("a failure").class, class, "{error}, whole");
    }
    let no_json = "event: error\ndata: Overloaded, server busy\n\n";
    assert_eq!(decode(no_json).1.expect_err("a failure").class, FailureClass::Overloaded);
    for body in ["event: content_block_delta\ndata: {\"type\":\n\n", "data: nonsense\n\n", "{\"content\": 7}", "[1]"] {
        assert_eq!(decode(body).1.expect_err("a failure").class, FailureClass::Cut, "{body}");
    }
}

#[test]
fn passes_over_what_it_does_not_know() {
    let events = [
        &[
            json!({"type": "a_new_event", "message": "not an error", "error": null}),
            begin(7, json!({"type": "a_new_block", "text": "no"})),
            delta(7, json!({"type": "a_new_delta", "text": "no"})),
            delta(8, json!({"type": "input_json_delta", "partial_json": "{"})),
            json!({"type": "content_block_start", "index": 9}),
        ][..],
        &said(0, "x")[..],
        &[stop("end_turn")],
    ];
    let (pieces, ending) = stream(&events.concat());
    assert_eq!((pieces, ending.is_ok()), (vec![Piece::Text("x".into())], true));
    let odd = "event: note\ndata: no JSON\n\nevent: keepalive\ndata:\n\n";
    let end = "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}\n\ndata: [DONE]\n\n";
    let text =
        "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"x\"}}\n\n";
    let (pieces, ending) = decode(&format!("{odd}{text}{end}"));
    assert_eq!((pieces, ending.is_ok()), (vec![Piece::Text("x".into())], true), "nor need events be named");
}

#[test]
fn signs_of_life_are_not_content() {
    let mut decoder = Decoder::new(Dialect::AnthropicMessages, true);
    let mut content = |data: &Value| decoder.push(event(data).as_bytes(), &mut Vec::new()).expect("no failure").content;
    assert!(!content(&json!({"type": "message_start", "message": {"content": []}})));
    assert!(!content(&json!({"type": "ping"})));
    assert!(!content(&begin(0, json!({"type": "thinking", "thinking": "", "signature": ""}))));
    assert!(!content(&delta(0, json!({"type": "signature_delta", "signature": "s"}))));
    assert!(!content(&begin(1, json!({"type": "text", "text": ""}))));
    assert!(content(&delta(1, json!({"type": "text_delta", "text": "x"}))));
    assert!(content(&begin(2, json!({"type": "tool_use", "id": "a", "name": "f", "input": {}}))));
    assert!(!content(&delta(2, json!({"type": "input_json_delta", "partial_json": ""}))));
    assert!(content(&delta(2, json!({"type": "input_json_delta", "partial_json": "{"}))));
}

#[test]
fn counts_cached_tokens_as_input_and_takes_totals_for_totals() {
    let usage = |usage: Value| json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage});
    for (events, [input, output, cached, cache_write, reasoning]) in [
        (vec![usage(json!({"output_tokens": 5}))], [3, 5, 0, 0, 0]),
        (vec![usage(json!({"output_tokens": 5})), usage(json!({"output_tokens": 8}))], [3, 8, 0, 0, 0]),
        (
            vec![usage(json!({
                "input_tokens": 10, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 20,
                "output_tokens": 5, "output_tokens_details": {"thinking_tokens": 2},
            }))],
            [130, 5, 100, 20, 2],
        ),
        // The whole prompt first, and its parts later: these are told of alone.
        (
            vec![
                usage(json!({"input_tokens": 33_772})),
                usage(
                    json!({"input_tokens": 9, "cache_read_input_tokens": 30_008, "cache_creation_input_tokens": 3_755}),
                ),
            ],
            [33_772, 1, 30_008, 3_755, 0],
        ),
        (
            vec![usage(json!({"input_tokens": 0, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 0}))],
            [3, 1, 3, 0, 0],
        ),
        (
            vec![
                usage(json!({"input_tokens": 10, "cache_read_input_tokens": 900, "cache_creation_input_tokens": 0})),
                usage(json!({"input_tokens": 10, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 900})),
                usage(json!({"input_tokens": 0, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0})),
            ],
            [910, 1, 0, 900, 0],
        ),
        (vec![usage(json!({"input_tokens": 1_000})), usage(json!({"input_tokens": 900}))], [900, 1, 0, 0, 0]),
        (
            vec![usage(json!({"cache_read_input_tokens": 100})), usage(json!({"input_tokens": 0, "output_tokens": 7}))],
            [103, 7, 100, 0, 0],
        ),
        (
            vec![usage(json!({"input_tokens": null, "output_tokens": "6", "output_tokens_details": null}))],
            [3, 6, 0, 0, 0],
        ),
        (vec![usage(Value::Null)], [3, 1, 0, 0, 0]),
        (
            vec![usage(json!({"input_tokens": u64::MAX, "cache_read_input_tokens": u64::MAX})); 2],
            [u64::MAX, 1, u64::MAX, 0, 0],
        ),
    ] {
        let (_, ending) = stream(&[&said(0, "x")[..], &events].concat());
        let expected = Usage { input, output, cached, cache_write, reasoning };
        assert_eq!(ending.expect("a good answer").usage, Some(expected), "{events:?}");
    }
    let silent = r#"{"content":[{"type":"text","text":"x"}],"stop_reason":"end_turn"}"#;
    assert_eq!(decode(silent).1.expect("a good answer").usage, None);
}

proptest! {
    #[test]
    fn any_json_in_the_place_of_any_field_is_taken(
        at in 0usize..21,
        field in prop::sample::select(&[
            "/type", "/index", "/content_block", "/content_block/type", "/content_block/input", "/content_block/name",
            "/delta", "/delta/type", "/delta/text", "/delta/thinking", "/delta/signature", "/delta/partial_json",
            "/delta/stop_reason", "/usage", "/usage/output_tokens",
        ][..]),
        value in prop::sample::select(&[
            "null", "true", "-1", "1e99", "18446744073709551616", "\"\"", "\"x\"", "\"12\"", "[]", "{}", "[[]]",
            "{\"message\":\"m\",\"code\":\"c\"}",
        ][..]),
    ) {
        let mut events = everything();
        if let Some(field) = events[at].pointer_mut(field) {
            *field = serde_json::from_str(value).expect("JSON");
        }
        let _ = stream(&events);
    }

    #[test]
    fn any_bytes_are_taken(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8)) {
        let mut decoder = Decoder::new(Dialect::AnthropicMessages, true);
        if chunks.iter().all(|chunk| decoder.push(chunk, &mut Vec::new()).is_ok()) {
            let _ = decoder.finish();
        }
    }
}

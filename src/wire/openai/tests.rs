use std::borrow::Cow;

use http::HeaderMap;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use serde_json::{Map, Value, json};

use super::*;
use crate::wire::flavour::GENERIC;
use crate::wire::{Decoder, Ending};
use crate::words::{
    AssistantPart, ChatRequest, Dialect, Effort, FailureClass, Image, Json, Message, Note, Piece, ResponseFormat,
    Sampling, StopReason, Tool, ToolCall, ToolChoice, ToolResult, Usage, UserPart,
};

mod proofs;
mod split;

// Requests.

fn body(request: &ChatRequest, model: &str, streaming: bool) -> Value {
    let encoded = encode(&GENERIC, request, model.into(), streaming).expect("a good request");
    serde_json::from_slice(&encoded.body.whole()).expect("JSON")
}

fn closed() -> Value {
    json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"],
        "additionalProperties": false})
}

fn weather() -> Tool {
    Tool {
        name: "weather".to_owned(),
        description: "Tells the weather.".into(),
        parameters: closed().into(),
        strict: Some(true),
    }
}

fn call(arguments: &str) -> ToolCall {
    ToolCall { id: "call_1".to_owned(), name: "weather".to_owned(), arguments: arguments.into(), proof: None }
}

#[test]
fn writes_the_smallest_request() {
    let request = ChatRequest::new("smart").user("Hi");
    assert_eq!(
        body(&request, "m", false),
        json!({"model": "m", "stream": false, "messages": [{"role": "user", "content": "Hi"}]})
    );
    let encoded = encode(&GENERIC, &request, "m".into(), true).expect("a good request");
    assert_eq!(encoded.path, "/chat/completions");
    assert_eq!(encoded.headers[CONTENT_TYPE], "application/json");
    assert_eq!(encoded.headers[ACCEPT], "text/event-stream");
    assert_eq!(
        body(&request, "m", true),
        json!({
            "model": "m", "stream": true, "stream_options": {"include_usage": true},
            "messages": [{"role": "user", "content": "Hi"}],
        })
    );
}

#[test]
fn writes_every_field() {
    let request = ChatRequest {
        tools: vec![weather(), Tool { description: "".into(), strict: None, ..weather() }],
        tool_choice: ToolChoice::Named("weather".to_owned()),
        parallel_tool_calls: Some(false),
        response_format: ResponseFormat::JsonSchema {
            name: "answer".to_owned(),
            schema: closed().into(),
            strict: true,
        },
        sampling: Sampling {
            temperature: Some(0.5),
            top_p: Some(0.9),
            presence_penalty: Some(-1.0),
            frequency_penalty: Some(1.0),
            seed: Some(-7),
            stop: vec!["a".into(), "b".into()],
        },
        effort: Some(Effort::Low),
        output_tokens_max: Some(100),
        session: Some("never sent".to_owned()),
        labels: vec!["never sent".to_owned()],
        ..ChatRequest::new("smart").system("Be brief.\n\"Quote\".").user("Weather?")
    };
    let parameters = closed();
    assert_eq!(
        body(&request, "m", false),
        json!({
            "model": "m",
            "stream": false,
            "messages": [
                {"role": "system", "content": "Be brief.\n\"Quote\"."},
                {"role": "user", "content": "Weather?"},
            ],
            "tools": [
                {"type": "function", "function": {
                    "name": "weather", "description": "Tells the weather.", "parameters": parameters, "strict": true,
                }},
                {"type": "function", "function": {"name": "weather", "parameters": parameters}},
            ],
            "tool_choice": {"type": "function", "function": {"name": "weather"}},
            "parallel_tool_calls": false,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": closed(), "strict": true},
            },
            "temperature": 0.5, "top_p": 0.9, "presence_penalty": -1.0, "frequency_penalty": 1.0,
            "seed": -7, "stop": ["a", "b"], "reasoning_effort": "low", "max_tokens": 100,
        })
    );
}

#[test]
fn writes_a_conversation_with_tools_and_images() {
    let image = |image| UserPart::Image(image);
    let request = ChatRequest::new("smart")
        .message(Message::User(vec![
            UserPart::Text("Look".into()),
            image(Image::Url("https://x.dev/a.png".into())),
            image(Image::Base64 { media_type: "image/png".to_owned(), data: "AAAA".into() }),
        ]))
        .message(Message::Assistant(vec![
            AssistantPart::Reasoning("never sent".to_owned().into()),
            AssistantPart::Text("Let me ".into()),
            AssistantPart::Text("\u{1F50D} \"see\".".into()),
            AssistantPart::ToolCall(call("{\"city\":\"Bern\"}")),
        ]))
        .message(Message::tool_result(&call(""), "sunny"))
        .message(Message::Assistant(vec![AssistantPart::ToolCall(call(" "))]))
        .message(Message::tool_result(&call(""), ""))
        .message(Message::Assistant(vec![AssistantPart::Reasoning("never sent".to_owned().into())]));
    assert_eq!(
        body(&request, "m", false)["messages"],
        json!([
            {"role": "user", "content": [
                {"type": "text", "text": "Look"},
                {"type": "image_url", "image_url": {"url": "https://x.dev/a.png"}},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            ]},
            {"role": "assistant", "content": "Let me \u{1F50D} \"see\".", "tool_calls": [
                {"id": "call_1", "type": "function", "function":
                    {"name": "weather", "arguments": "{\"city\":\"Bern\"}"}},
            ]},
            {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "call_standin_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}},
            ]},
            {"role": "tool", "tool_call_id": "call_standin_1", "content": ""},
        ])
    );
}

#[test]
fn a_message_of_thoughts_alone_is_left_out_where_thoughts_do_not_go_back() {
    let thought = Message::Assistant(vec![AssistantPart::Reasoning("Hm.".to_owned().into())]);
    let request = ChatRequest::new("smart").user("Hi").message(thought).user("Well?");
    let user = |text: &str| json!({"role": "user", "content": text});
    assert_eq!(body(&request, "m", false)["messages"], json!([user("Hi"), user("Well?")]));
    let notes = encode(&GENERIC, &request, "m".into(), false).expect("a good request").notes;
    assert_eq!(notes, [Note::Dropped("messages.reasoning")]);
}

#[test]
fn writes_every_choice_of_tools_and_only_beside_tools() {
    for (choice, expected) in [
        (ToolChoice::Auto, None),
        (ToolChoice::None, Some(json!("none"))),
        (ToolChoice::Required, Some(json!("required"))),
    ] {
        let request = ChatRequest { tool_choice: choice, ..ChatRequest::new("r").user("x").tool(weather()) };
        assert_eq!(body(&request, "m", false).get("tool_choice"), expected.as_ref());
    }
    let without = ChatRequest {
        tool_choice: ToolChoice::None,
        parallel_tool_calls: Some(true),
        ..ChatRequest::new("r").user("x")
    };
    assert_eq!(body(&without, "m", false).as_object().map(Map::len), Some(3));
    let json = ChatRequest { response_format: ResponseFormat::Json, ..ChatRequest::new("r").user("x") };
    assert_eq!(body(&json, "m", false)["response_format"], json!({"type": "json_object"}));
}

#[test]
fn names_the_limit_of_tokens_as_the_model_wants_it() {
    for (model, field) in [
        ("gpt-4o", "max_tokens"),
        ("gpt-35-turbo", "max_tokens"),
        ("gpt-oss-120b", "max_tokens"),
        ("openchat", "max_tokens"),
        ("olmo-2", "max_tokens"),
        ("claude-opus-5", "max_tokens"),
        ("gpt-", "max_tokens"),
        ("", "max_tokens"),
        ("o1", "max_completion_tokens"),
        ("o3-mini", "max_completion_tokens"),
        ("o4-mini-2025", "max_completion_tokens"),
        ("gpt-5", "max_completion_tokens"),
        ("gpt-5.2-nano", "max_completion_tokens"),
        ("gpt-6.1", "max_completion_tokens"),
        ("openai/gpt-5-mini", "max_completion_tokens"),
    ] {
        let request = ChatRequest { output_tokens_max: Some(9), ..ChatRequest::new("r").user("x") };
        assert_eq!(body(&request, model, false)[field], 9, "{model}");
    }
}

#[test]
fn extra_fields_are_sent_but_override_nothing_that_is_written() {
    let extra = json!({"model": "evil", "stream": true, "messages": [], "temperature": 2, "top_p": 0.1, "top_k": 40});
    let request = ChatRequest {
        extra: Json::from(extra).fields(),
        sampling: Sampling { temperature: Some(0.0), ..Sampling::default() },
        ..ChatRequest::new("r").user("x")
    };
    let encoded = encode(&GENERIC, &request, "m".into(), false).expect("a good request");
    assert_eq!(
        serde_json::from_slice::<Value>(&encoded.body.whole()).expect("JSON"),
        json!({
            "model": "m", "stream": false, "messages": [{"role": "user", "content": "x"}], "temperature": 0.0,
            "top_p": 0.1, "top_k": 40,
        })
    );
    let text = String::from_utf8(encoded.body.whole().to_vec()).expect("text");
    assert_eq!(text.matches("\"model\"").count(), 1, "no field comes twice");
}

#[test]
fn refuses_requests_that_are_wrong_everywhere_and_names_the_field() {
    let good = || ChatRequest::new("r").user("x");
    let result = ToolResult::new("", "f", "x");
    let sampling = Sampling { top_p: Some(f64::NAN), ..Sampling::default() };
    for (request, field) in [
        (ChatRequest::new("r"), "messages:"),
        (good().message(Message::User(vec![])), "messages[1]:"),
        (good().message(Message::Tool(result)), "messages[1].call_id:"),
        (ChatRequest { tool_choice: ToolChoice::Required, ..good() }, "tool_choice:"),
        (ChatRequest { tool_choice: ToolChoice::Named("x".to_owned()), ..good().tool(weather()) }, "tool_choice:"),
        (ChatRequest { sampling, ..good() }, "sampling.top_p:"),
    ] {
        let failure = encode(&GENERIC, &request, "m".into(), true).expect_err(field);
        assert_eq!(failure.class, FailureClass::BadRequest);
        assert!(failure.message.starts_with(field), "{}", failure.message);
    }
}

#[test]
fn the_key_is_a_bearer_token_that_no_log_shows() {
    let mut headers = HeaderMap::new();
    authorize(&GENERIC, &Secret::new("sk-1"), &mut headers).expect("a good key");
    assert_eq!(headers[AUTHORIZATION], "Bearer sk-1");
    assert!(!format!("{headers:?}").contains("sk-1"));
    let failure = authorize(&GENERIC, &Secret::new("sk-1\n"), &mut headers).expect_err("no header value");
    assert!(!failure.to_string().contains("sk-1"));
}

// Replies.

type Decoded = (Vec<Piece>, Result<Ending, Failure>);

fn decode(body: &str) -> Decoded {
    let mut decoder = Decoder::new(Dialect::OpenAiChat, true);
    let mut pieces = Vec::new();
    let ending = decoder.push(body.as_bytes(), &mut pieces).and_then(|_| decoder.finish());
    (pieces, ending)
}

/// Decodes a stream of these chunks and the end marker.
fn stream(chunks: &[Value]) -> Decoded {
    let events: Vec<String> = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
    decode(&format!("{}data: [DONE]\n\n", events.concat()))
}

fn delta(delta: Value) -> Value {
    json!({"choices": [{"index": 0, "delta": delta, "finish_reason": null}]})
}

fn finish(reason: &str) -> Value {
    json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
}

fn calls_of(chunks: &[Value]) -> Vec<(String, String, String)> {
    let (_, ending) = stream(chunks);
    let ending = ending.expect("a good answer");
    let calls: Vec<ToolCall> = ending.tool_calls().cloned().collect();
    calls.into_iter().map(|call| (call.id, call.name, call.arguments.into_string())).collect()
}

fn fragment(call: Value) -> Value {
    delta(json!({"tool_calls": [call]}))
}

fn owned(calls: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
    calls.iter().map(|(id, name, arguments)| ((*id).into(), (*name).into(), (*arguments).into())).collect()
}

fn failed(chunks: &[Value]) -> FailureClass {
    stream(chunks).1.expect_err("a failure").class
}

#[test]
fn reads_text_and_reasoning_in_order() {
    let (pieces, ending) = stream(&[
        json!({"id": "a", "model": "m-1", "choices": [], "prompt_filter_results": []}),
        delta(json!({"role": "assistant", "content": null, "reasoning_content": "Hm"})),
        delta(json!({"content": "", "reasoning": "m"})),
        delta(json!({"reasoning": ".", "reasoning_content": "."})),
        delta(json!({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "!"}]}]})),
        delta(json!({"content": [{"type": "text", "text": "He"}, {"type": "reference"}, "l"]})),
        delta(json!({"content": "lo \u{1F600}\n\"x\""})),
        finish("stop"),
        json!({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}),
    ]);
    let reasoning = Piece::Reasoning("Hmm.!".to_owned());
    assert_eq!(pieces, [reasoning, Piece::Text("Hello \u{1F600}\n\"x\"".to_owned())]);
    let ending = ending.expect("a good answer");
    assert_eq!((ending.stop, ending.model.as_deref()), (StopReason::Stop, Some("m-1")));
    assert_eq!(ending.usage, Some(Usage { input: 3, output: 2, ..Usage::default() }));
}

#[test]
fn gathers_tool_calls_by_index_even_if_all_else_is_missing() {
    let piece = |index: u32, arguments: &str| fragment(json!({"index": index, "function": {"arguments": arguments}}));
    let begin = |index: u32, id: &str, name: &str| {
        fragment(json!({"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": ""}}))
    };
    let interleaved = [begin(0, "a", "f"), begin(1, "b", "g"), piece(0, "{\"x\""), piece(1, "{}"), piece(0, ":1}")];
    assert_eq!(calls_of(&interleaved), owned(&[("a", "f", "{\"x\":1}"), ("b", "g", "{}")]));

    let later_empty_id = fragment(json!({"index": 0, "id": "", "function": {"name": null, "arguments": "{}"}}));
    assert_eq!(calls_of(&[begin(0, "a", "f"), later_empty_id]), owned(&[("a", "f", "{}")]));

    let new_id_each_time = fragment(json!({"index": 0, "id": "b", "function": {"arguments": "{}"}}));
    assert_eq!(calls_of(&[begin(0, "a", "f"), new_id_each_time]), owned(&[("a", "f", "{}")]));
}

#[test]
fn tells_calls_apart_that_have_no_index_or_one_index() {
    let whole = |id: &str, name: &str| json!({"id": id, "function": {"name": name, "arguments": "{}"}});
    let both = delta(json!({"tool_calls": [whole("a", "f"), whole("b", "g")]}));
    assert_eq!(calls_of(&[both]), owned(&[("a", "f", "{}"), ("b", "g", "{}")]));
    let one_by_one = [fragment(whole("a", "f")), fragment(whole("b", "f"))];
    assert_eq!(calls_of(&one_by_one), owned(&[("a", "f", "{}"), ("b", "f", "{}")]));
    let zero = |id: &str| json!({"index": 0, "id": id, "function": {"name": "f", "arguments": "{}"}});
    assert_eq!(calls_of(&[fragment(zero("a")), fragment(zero("b"))]), owned(&[("a", "f", "{}"), ("b", "f", "{}")]));
    // Nebius and Cerebras go on under another number; so does the second of two that begin under one.
    let begun = |id: &str| json!({"index": 0, "id": id, "function": {"name": "f", "arguments": "{\"x\""}});
    let more = |index: u64| json!({"index": index, "function": {"arguments": ":1}"}});
    let one = [fragment(begun("a")), fragment(more(1))];
    assert_eq!(calls_of(&one), owned(&[("a", "f", "{\"x\":1}")]));
    let two = [fragment(zero("a")), fragment(begun("b")), fragment(more(1))];
    assert_eq!(calls_of(&two), owned(&[("a", "f", "{}"), ("b", "f", "{\"x\":1}")]));
    let by_id = [fragment(begun("a")), fragment(json!({"index": 3, "id": "a", "function": {"arguments": ":1}"}}))];
    assert_eq!(calls_of(&by_id), owned(&[("a", "f", "{\"x\":1}")]));
    let no_id = json!({"function": {"name": "f", "arguments": "{}"}});
    let calls = calls_of(&[fragment(no_id.clone()), fragment(no_id)]);
    assert_eq!(calls.len(), 2);
    assert_ne!(calls[0].0, calls[1].0, "ids are made where there are none, and differ");
}

#[test]
fn takes_arguments_whole_in_pieces_as_an_object_and_not_at_all() {
    for (arguments, expected) in [
        (json!("{\"a\": \"\\u00fc\"}"), "{\"a\": \"\\u00fc\"}"),
        (json!({"a": 1}), "{\"a\":1}"),
        (json!(""), "{}"),
        (json!("  "), "{}"),
        (json!("null"), "{}"),
        (Value::Null, "{}"),
    ] {
        let call = json!({"id": "a", "function": {"name": "f", "arguments": arguments}});
        assert_eq!(calls_of(&[fragment(call)]), owned(&[("a", "f", expected)]));
    }
    assert_eq!(calls_of(&[fragment(json!({"id": "a", "function": {"name": "f"}}))]), owned(&[("a", "f", "{}")]));
    let legacy = delta(json!({"function_call": {"name": "f", "arguments": "{}"}}));
    assert_eq!(calls_of(&[legacy])[0].1, "f");
}

#[test]
fn refuses_tool_calls_that_are_not_whole() {
    for arguments in ["{\"a\":", "[1]", "\"text\"", "{} {}", "12"] {
        let call = json!({"id": "a", "function": {"name": "f", "arguments": arguments}});
        assert_eq!(failed(&[fragment(call), finish("tool_calls")]), FailureClass::Unusable, "{arguments}");
    }
    let nameless = fragment(json!({"index": 0, "id": "a", "function": {"arguments": "{}"}}));
    assert_eq!(failed(&[nameless]), FailureClass::Unusable);
    let many: Vec<Value> = (0..129).map(|index| json!({"index": index, "function": {"name": "f"}})).collect();
    assert_eq!(failed(&[delta(json!({"tool_calls": many}))]), FailureClass::Unusable);
}

#[test]
fn knows_every_reason_to_stop() {
    for (reason, stop) in [
        ("stop", StopReason::Stop),
        ("eos", StopReason::Stop),
        ("length", StopReason::Length),
        ("model_length", StopReason::Length),
        // It called none.
        ("tool_calls", StopReason::Stop),
        ("content_filter", StopReason::ContentFilter),
        ("a new one", StopReason::Other),
        ("", StopReason::Stop),
    ] {
        let (_, ending) = stream(&[delta(json!({"content": "x"})), finish(reason)]);
        assert_eq!(ending.expect("a good answer").stop, stop, "{reason}");
    }
    let call = fragment(json!({"id": "a", "function": {"name": "f"}}));
    assert_eq!(stream(&[call, finish("stop")]).1.expect("good").stop, StopReason::ToolCalls);
}

#[test]
fn of_several_finish_chunks_the_one_that_says_most_holds() {
    for (reasons, stop) in [
        (["stop", "length"], StopReason::Length),
        (["length", "stop"], StopReason::Length),
        (["content_filter", "length"], StopReason::ContentFilter),
        (["stop", "stop"], StopReason::Stop),
    ] {
        let (_, ending) = stream(&[delta(json!({"content": "x"})), finish(reasons[0]), finish(reasons[1])]);
        assert_eq!(ending.expect("a good answer").stop, stop, "{reasons:?}");
    }
}

#[test]
fn a_refusal_is_text_with_a_reason_of_its_own() {
    let (pieces, ending) =
        stream(&[delta(json!({"refusal": "I'm ", "content": null})), delta(json!({"refusal": "out"})), finish("stop")]);
    assert_eq!(pieces, [Piece::Refusal, Piece::Text("I'm out".to_owned())]);
    assert_eq!(ending.expect("a good answer").stop, StopReason::Refusal);
}

#[test]
fn an_answer_without_content_is_empty_filtered_or_too_short() {
    assert_eq!(failed(&[finish("stop")]), FailureClass::Empty);
    let thoughts = stream(&[delta(json!({"reasoning": "only"})), finish("stop")]).1.expect("thoughts").flaw;
    assert_eq!(thoughts.map(|flaw| flaw.class), Some(FailureClass::Empty), "it is for who gets nothing better");
    assert_eq!(failed(&[]), FailureClass::Empty);
    assert_eq!(failed(&[finish("content_filter")]), FailureClass::ContentPolicy);
    assert!(stream(&[finish("length")]).1.is_ok());
    assert_eq!(failed(&[finish("model_context_window_exceeded")]), FailureClass::ContextTooLong);
    assert_eq!(decode(r#"{"choices":[]}"#).1.expect_err("empty").class, FailureClass::Empty);
}

#[test]
fn finds_errors_inside_of_answers() {
    let content = delta(json!({"content": "x"}));
    let error = json!({"message": "no", "type": "server_error", "code": null});
    for (chunk, class) in [
        (json!({"error": error}), FailureClass::Server),
        (json!({"error": "overloaded_error"}), FailureClass::Overloaded),
        (json!({"error": {"message": "x", "code": 429}}), FailureClass::RateLimited),
        (json!({"error": {"message": "x", "code": "503"}}), FailureClass::Overloaded),
        (
            json!({"error": {"code": 502, "message": "x"}, "choices": [{"finish_reason": "error"}]}),
            FailureClass::Server,
        ),
        (
            json!({"choices": [{"finish_reason": "error", "error": {"code": 429, "message": "x"}}]}),
            FailureClass::RateLimited,
        ),
        (json!({"choices": [{"finish_reason": "error", "delta": {}}]}), FailureClass::Server),
        (json!({"choices": [{"finish_reason": "insufficient_system_resource"}]}), FailureClass::Overloaded),
        (json!({"object": "error", "message": "x", "type": "BadRequestError", "code": 400}), FailureClass::Declined),
        (json!({"x_groq": {"error": "over capacity"}, "choices": []}), FailureClass::Server),
        (json!([{"error": {"code": 503, "message": "x"}}]), FailureClass::Overloaded),
        (json!({"detail": "Invalid API Key"}), FailureClass::Unauthorised),
    ] {
        let (pieces, ending) = stream(&[content.clone(), chunk.clone(), finish("stop")]);
        assert_eq!(ending.expect_err("a failure").class, class, "{chunk}");
        assert_eq!(pieces, [Piece::Text("x".to_owned())], "what came before is kept");
        assert_eq!(decode(&chunk.to_string()).1.expect_err("a failure").class, class, "{chunk}, whole");
    }
    let named = "event: error\ndata: {\"message\":\"Overloaded\",\"type\":\"overloaded_error\"}\n\n";
    assert_eq!(decode(named).1.expect_err("a failure").class, FailureClass::Overloaded);
}

#[test]
fn passes_over_what_it_does_not_know() {
    let body = "event: ping\ndata: {\"type\": \"ping\"}\n\nevent: note\ndata: no JSON\n\nid: 7\ndata:\n\n\
        data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"logprobs\":{}}],\"error\":null,\"timings\":{\"a\":[1]}}\n\n\
        event: message\ndata: {\"choices\":[{\"delta\":{\"content\":\"b\"}}],\"error\":\"\"}\n\n\
        data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"c\"}}],\"usage\":null}\n\n\
        data: {\"choices\":null}\n\ndata: [DONE]\n\n";
    let (pieces, ending) = decode(body);
    assert!(ending.is_ok(), "{ending:?}");
    assert_eq!(pieces, [Piece::Text("ab".to_owned())]);
}

#[test]
fn of_delta_and_message_the_fitting_one_counts() {
    let both = |delta: &str, message: &str| {
        json!({"choices": [{"delta": {"content": delta},
            "message": {"content": message}, "finish_reason": "stop"}]})
    };
    assert_eq!(stream(&[both("a", "a"), both("b", "ab")]).0, [Piece::Text("ab".to_owned())]);
    assert_eq!(decode(&both("", "whole").to_string()).0, [Piece::Text("whole".to_owned())]);
    let message = json!({"choices": [{"message": {"content": "x"}}]});
    assert_eq!(stream(&[message]).0, [Piece::Text("x".to_owned())]);
}

#[test]
fn a_message_that_ends_a_stream_and_repeats_all_of_it_says_nothing_twice() {
    let call = json!({"id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"x\":1}"}});
    let last = |object: Option<&str>, message: &Value, reason: &str| {
        let mut last = json!({"choices": [{"index": 0, "message": message, "finish_reason": reason}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 4}});
        if let Some(object) = object {
            last["object"] = object.into();
        }
        last
    };
    let said = [
        delta(json!({"reasoning_content": "Hm"})),
        delta(json!({"content": "Hello"})),
        delta(json!({"content": " you"})),
    ];
    let all = json!({"content": "Hello you", "reasoning_content": "Hm"});
    let pieces = [Piece::Reasoning("Hm".to_owned()), Piece::Text("Hello you".to_owned())];
    for object in [Some("chat.completion"), Some("chat.completion.chunk"), None] {
        for end in [None, Some(finish("stop"))] {
            let chunks: Vec<_> = said.iter().cloned().chain(end).chain([last(object, &all, "stop")]).collect();
            let (told, ending) = stream(&chunks);
            assert_eq!(told, pieces, "{object:?}");
            let ending = ending.expect("a good answer");
            assert_eq!((ending.stop, ending.usage.map(|usage| usage.output)), (StopReason::Stop, Some(4)));
        }
    }
    let answer = Some("chat.completion");
    let one = json!({"content": "", "tool_calls": [call]});
    let expected = owned(&[("a", "f", "{\"x\":1}")]);
    // Calls that came, that came in part, and that came in no other place.
    let whole = fragment(json!({"index": 0, "id": "a", "function": {"name": "f", "arguments": "{\"x\":1}"}}));
    let nameless = fragment(json!({"index": 0, "function": {"name": "f", "arguments": "{\"x\":1}"}}));
    let begun = fragment(json!({"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}));
    for first in [whole, nameless, begun, delta(json!({"content": "Let me."}))] {
        assert_eq!(calls_of(&[first, last(answer, &one, "tool_calls")]), expected);
    }
    // It is all that comes, or what takes the place of deltas.
    assert_eq!(stream(&[last(answer, &all, "stop")]).0, pieces);
    let piece = |text: &str, reason: Option<&str>| {
        json!({"choices": [{"message": {"content": text},
            "finish_reason": reason}]})
    };
    let (told, _) = stream(&[piece("a", None), piece("a", None), piece("b", Some("stop"))]);
    assert_eq!(told, [Piece::Text("aab".to_owned())]);
}

#[test]
fn a_call_that_stands_alone_is_a_list_of_one_and_a_fence_around_arguments_is_left_out() {
    let call = json!({"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"x\":1}"}});
    let expected = owned(&[("a", "f", "{\"x\":1}")]);
    assert_eq!(calls_of(&[delta(json!({"tool_calls": call})), finish("tool_calls")]), expected);
    let whole = json!({"choices": [{"message": {"tool_calls": call}, "finish_reason": "tool_calls"}]});
    let (_, ending) = decode(&whole.to_string());
    assert_eq!(ending.expect("a good answer").tool_calls().count(), 1);
    for arguments in ["```json\n{\"x\":1}\n```", "```\n{\"x\":1}```\n"] {
        let call = json!({"index": 0, "id": "a", "function": {"name": "f", "arguments": arguments}});
        assert_eq!(calls_of(&[fragment(call), finish("tool_calls")]), expected, "{arguments}");
    }
}

#[test]
fn counts_usage_one_way_under_all_its_names() {
    for (usage, expected) in [
        (json!({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}), [10, 5, 0, 0, 0]),
        (
            json!({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
                "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
                "completion_tokens_details": {"reasoning_tokens": 3}}),
            [10, 5, 4, 2, 3],
        ),
        (json!({"prompt_tokens": 10, "completion_tokens": 5, "prompt_cache_hit_tokens": 8}), [10, 5, 8, 0, 0]),
        (json!({"prompt_tokens": 10, "completion_tokens": 5, "num_cached_tokens": 8}), [10, 5, 8, 0, 0]),
        (json!({"prompt_tokens": 10, "completion_tokens": 5, "cached_tokens": 8}), [10, 5, 8, 0, 0]),
        (
            json!({"prompt_tokens": 10, "completion_tokens": 5, "cache_read_input_tokens": 8,
                "cache_creation_input_tokens": 2}),
            [10, 5, 8, 2, 0],
        ),
        // xAI leaves reasoning out of the completion, not out of the total.
        (
            json!({"prompt_tokens": 429, "completion_tokens": 44, "total_tokens": 975,
                "completion_tokens_details": {"reasoning_tokens": 502}}),
            [429, 546, 0, 0, 502],
        ),
        (json!({"prompt_tokens": "10", "completion_tokens": 5.0, "prompt_tokens_details": null}), [10, 5, 0, 0, 0]),
    ] {
        let [input, output, cached, cache_write, reasoning] = expected;
        let expected = Some(Usage { input, output, cached, cache_write, reasoning });
        let last = json!({"choices": [], "usage": usage});
        let found = |chunks: &[Value]| stream(chunks).1.expect("a good answer").usage;
        let text = delta(json!({"content": "x"}));
        assert_eq!(found(&[text.clone(), last]), expected, "{usage}");
        let groq = json!({"choices": [{"delta": {}, "finish_reason": "stop"}], "x_groq": {"usage": usage}});
        assert_eq!(found(&[text.clone(), groq]), expected, "{usage}");
        let zeros = json!({"choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 0}});
        let with = json!({"choices": [], "usage": usage});
        assert_eq!(found(&[zeros.clone(), text, with, zeros, json!({"usage": null})]), expected, "{usage}");
    }
    let (_, ending) = stream(&[delta(json!({"content": "x"})), json!({"choices": [], "usage": "none"})]);
    assert_eq!(ending.expect("a good answer").usage, None);
}

#[test]
fn text_without_escapes_is_borrowed() {
    let content: crate::wire::json::Content<'_> = serde_json::from_str("\"plain\"").expect("content");
    assert!(matches!(content.text, Cow::Borrowed("plain")));
}

#[test]
fn an_answer_that_was_aborted_is_judged_by_what_is_said_of_it() {
    let too_long = "The input (41213 tokens) is longer than the model's context length (32768 tokens).";
    for (reason, class) in [
        (json!("abort"), FailureClass::Server),
        (json!({"type": "abort"}), FailureClass::Server),
        (json!({"type": "abort", "message": too_long, "status_code": 400}), FailureClass::ContextTooLong),
        (
            json!({"type": "abort", "message": "The server is overloaded.", "status_code": 503}),
            FailureClass::Overloaded,
        ),
    ] {
        let last = json!({"choices": [{"delta": {}, "finish_reason": reason}]});
        let failure = stream(&[delta(json!({"content": "x"})), last]).1.expect_err("a failure");
        assert_eq!(failure.class, class, "{reason}: {failure}");
    }
    // In the same form a good end is one.
    let last = json!({"choices": [{"delta": {}, "finish_reason": {"type": "length", "length": 9}}]});
    let ending = stream(&[delta(json!({"content": "x"})), last]).1.expect("a good answer");
    assert_eq!(ending.stop, StopReason::Length);
}

#[test]
fn usage_beside_something_else_is_the_providers_own_and_goes_on() {
    let text = delta(json!({"content": "x"}));
    let usage = json!({"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2});
    let stop = json!({"choices": [{"delta": {}, "finish_reason": "stop"}]});
    let mut beside = stop.clone();
    beside["usage"] = usage.clone();
    for (chunks, goes_on) in
        [(vec![text.clone(), beside], true), (vec![text, stop, json!({"choices": [], "usage": usage})], false)]
    {
        let how = crate::wire::Verbatim { stream: true, ..crate::wire::Verbatim::default() };
        let mut decoder = Decoder::new(Dialect::OpenAiChat, true).verbatim(Some(how));
        let (mut out, mut bytes) = (Vec::new(), Vec::new());
        for chunk in chunks.iter().map(ToString::to_string).chain(["[DONE]".to_owned()]) {
            decoder.push(format!("data: {chunk}\n\n").as_bytes(), &mut out).expect("a good chunk");
        }
        for piece in out {
            let Piece::Verbatim(piece) = piece else { panic!("{piece:?}") };
            bytes.extend_from_slice(&piece);
        }
        let ending = decoder.finish().expect("a good answer");
        bytes.extend_from_slice(&ending.verbatim.expect("the rest"));
        assert_eq!(ending.usage.map(|usage| usage.output), Some(1));
        assert_eq!(String::from_utf8_lossy(&bytes).contains("usage"), goes_on, "{bytes:?}");
    }
}

#[test]
fn a_call_has_its_input_under_whichever_name_and_with_or_without_an_object_of_its_own() {
    let called = |call: Value| {
        let chunks = [fragment(call), finish("tool_calls")];
        calls_of(&chunks)
    };
    let expected = owned(&[("a", "f", "{\"x\":1}")]);
    for call in [
        json!({"id": "a", "function": {"name": "f", "arguments": "{\"x\":1}"}}),
        json!({"id": "a", "function": {"name": "f", "parameters": {"x": 1}}}),
        json!({"id": "a", "function": {"name": "f", "input": {"x": 1}}}),
        json!({"id": "a", "name": "f", "arguments": "{\"x\":1}"}),
    ] {
        let told = called(call.clone());
        assert_eq!(told, expected, "{call}");
    }
}

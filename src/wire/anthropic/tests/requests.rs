use http::HeaderMap;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::wire::anthropic::{authorize, encode};
use crate::wire::flavour::{Flavour, GENERIC};
use crate::words::{
    AssistantPart, ChatRequest, Dialect, Effort, FailureClass, Image, Json, Message, Note, Proof, Reasoning,
    ResponseFormat, Sampling, Secret, Tool, ToolCall, ToolChoice, ToolResult, UserPart,
};

const NEW: &str = "claude-opus-5";
const OLD: &str = "claude-sonnet-4-20250514";

fn encoded(request: &ChatRequest, model: &str) -> (Value, Vec<Note>) {
    let encoded = encode(&GENERIC, request, model.into(), false).expect("a good request");
    (serde_json::from_slice(&encoded.body.whole()).expect("JSON"), encoded.notes)
}

fn body(request: &ChatRequest, model: &str) -> Value {
    encoded(request, model).0
}

fn messages(request: &ChatRequest) -> (Value, Vec<Note>) {
    let (mut body, notes) = encoded(request, NEW);
    (body["messages"].take(), notes)
}

fn hi() -> ChatRequest {
    ChatRequest::new("r").user("Hi")
}

fn weather() -> Tool {
    Tool {
        name: "weather".to_owned(),
        description: "Tells the weather.".into(),
        parameters: json!({"type": "object", "properties": {"city": {"type": "string"}}}).into(),
        strict: None,
    }
}

fn call(id: &str, arguments: &str) -> ToolCall {
    ToolCall { id: id.to_owned(), name: "weather".to_owned(), arguments: arguments.into(), proof: None }
}

fn calls(ids: &[&str]) -> Message {
    Message::Assistant(ids.iter().map(|id| AssistantPart::ToolCall(call(id, "{}"))).collect())
}

fn result(id: &str, content: &str) -> Message {
    Message::tool_result(&call(id, ""), content)
}

fn thought(text: &str, dialect: Dialect, data: &str) -> AssistantPart {
    let proof = Some(Proof::new(dialect, data));
    AssistantPart::Reasoning(Reasoning { text: text.into(), proof })
}

fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

fn user(content: &[Value]) -> Value {
    json!({"role": "user", "content": content})
}

fn assistant(content: &[Value]) -> Value {
    json!({"role": "assistant", "content": content})
}

fn tool_use(id: &str) -> Value {
    json!({"type": "tool_use", "id": id, "name": "weather", "input": {}})
}

fn tool_result(id: &str, content: &str) -> Value {
    json!({"type": "tool_result", "tool_use_id": id, "content": content})
}

#[test]
fn writes_the_smallest_request() {
    assert_eq!(
        body(&hi(), OLD),
        json!({"model": OLD, "max_tokens": 32_000, "stream": false, "messages": [user(&[text("Hi")])]})
    );
    let encoded = encode(&GENERIC, &hi(), OLD.into(), true).expect("a good request");
    assert_eq!(encoded.path, "/messages");
    assert_eq!(encoded.headers[CONTENT_TYPE], "application/json");
    assert_eq!(encoded.headers[ACCEPT], "text/event-stream");
    assert_eq!(encoded.headers["anthropic-version"], "2023-06-01");
    assert_eq!(serde_json::from_slice::<Value>(&encoded.body.whole()).expect("JSON")["stream"], true);
    assert!(encoded.notes.is_empty());
}

#[test]
fn writes_every_field() {
    let request = ChatRequest {
        tools: vec![
            Tool { strict: Some(true), ..weather() },
            Tool { description: "".into(), strict: Some(false), parameters: Value::Null.into(), ..weather() },
            Tool { parameters: json!({"properties": {}}).into(), ..weather() },
        ],
        tool_choice: ToolChoice::Named("weather".to_owned()),
        parallel_tool_calls: Some(false),
        response_format: ResponseFormat::JsonSchema {
            name: "answer".to_owned(),
            schema: json!({
                "type": "object",
                "properties": {"type": {"type": "string"}, "list": {"type": "array", "items": {"$ref": "#/$defs/a"}}},
                "$defs": {"a": {"anyOf": [{"type": "null"}, {"properties": {"b": {}}}]}},
            })
            .into(),
            strict: true,
        },
        sampling: Sampling { temperature: Some(0.5), stop: vec!["a".into()], ..Sampling::default() },
        output_tokens_max: Some(100),
        session: Some("never sent".to_owned()),
        labels: vec!["never sent".to_owned()],
        ..ChatRequest::new("smart").system("Be brief.\n\"Quote\".").system(" ").system("Be kind.").user("Weather?")
    };
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let mut closed = schema.clone();
    closed["additionalProperties"] = false.into();
    let (body, notes) = encoded(&request, "claude-opus-4-6");
    assert_eq!(
        body,
        json!({
            "model": "claude-opus-4-6",
            "max_tokens": 100,
            "stream": false,
            "system": [text("Be brief.\n\"Quote\"."), text("Be kind.")],
            "messages": [user(&[text("Weather?")])],
            "tools": [
                {"name": "weather", "description": "Tells the weather.", "input_schema": closed, "strict": true},
                {"name": "weather", "input_schema": {"type": "object", "properties": {}}},
                {
                    "name": "weather", "description": "Tells the weather.",
                    "input_schema": {"type": "object", "properties": {}},
                },
            ],
            "tool_choice": {"type": "tool", "name": "weather", "disable_parallel_tool_use": true},
            "output_config": {"format": {"type": "json_schema", "schema": {
                "type": "object",
                "properties": {"type": {"type": "string"}, "list": {"type": "array", "items": {"$ref": "#/$defs/a"}}},
                "$defs": {"a": {"anyOf": [{"type": "null"}, {"properties": {"b": {}}, "additionalProperties": false}]}},
                "additionalProperties": false,
            }}},
            "temperature": 0.5,
            "stop_sequences": ["a"],
        })
    );
    assert_eq!(notes, []);
}

#[test]
fn writes_every_choice_of_tools_and_only_beside_tools() {
    let one_by_one = |kind: &str| json!({"type": kind, "disable_parallel_tool_use": true});
    for (choice, parallel, expected) in [
        (ToolChoice::Auto, None, None),
        (ToolChoice::Auto, Some(true), None),
        (ToolChoice::Auto, Some(false), Some(one_by_one("auto"))),
        (ToolChoice::None, Some(false), Some(json!({"type": "none"}))),
        (ToolChoice::Required, None, Some(json!({"type": "any"}))),
        (ToolChoice::Required, Some(false), Some(one_by_one("any"))),
        (ToolChoice::Named("weather".to_owned()), None, Some(json!({"type": "tool", "name": "weather"}))),
    ] {
        let request =
            ChatRequest { tool_choice: choice.clone(), parallel_tool_calls: parallel, ..hi().tool(weather()) };
        assert_eq!(body(&request, NEW).get("tool_choice"), expected.as_ref(), "{choice:?}");
    }
    let without = ChatRequest { tool_choice: ToolChoice::None, parallel_tool_calls: Some(false), ..hi() };
    assert_eq!(body(&without, NEW), body(&hi(), NEW));
}

#[test]
fn writes_a_conversation_with_tools_images_and_thoughts() {
    let image = |image| UserPart::Image(image);
    let request = ChatRequest::new("r")
        .message(Message::User(vec![
            UserPart::Text("Look".into()),
            image(Image::Url("https://x.dev/a.png".into())),
            image(Image::Url("data:image/webp;base64,BBBB".into())),
            image(Image::Base64 { media_type: "image/png".to_owned(), data: "AAAA".into() }),
        ]))
        .message(Message::Assistant(vec![
            thought("Hm.", Dialect::AnthropicMessages, "sig1"),
            thought("", Dialect::AnthropicMessages, "redacted:xyz"),
            thought("", Dialect::AnthropicMessages, "sig2"),
            AssistantPart::Text("Let me see.".into()),
            AssistantPart::ToolCall(call("a", "{\"city\": \"Bern\"}")),
            thought("And", Dialect::AnthropicMessages, "sig3"),
            AssistantPart::ToolCall(call("b", "")),
        ]))
        .message(result("b", ""))
        .message(Message::Tool(ToolResult {
            call_id: "a".to_owned(),
            name: "weather".to_owned(),
            content: vec!["no such city".to_owned().into()],
            is_error: true,
        }))
        .user("Go on.");
    let (messages, notes) = messages(&request);
    assert_eq!(
        messages,
        json!([
            user(&[
                text("Look"),
                json!({"type": "image", "source": {"type": "url", "url": "https://x.dev/a.png"}}),
                json!({"type": "image", "source": {"type": "base64", "media_type": "image/webp", "data": "BBBB"}}),
                json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}),
            ]),
            assistant(&[
                json!({"type": "thinking", "thinking": "Hm.", "signature": "sig1"}),
                json!({"type": "redacted_thinking", "data": "xyz"}),
                json!({"type": "thinking", "thinking": "", "signature": "sig2"}),
                text("Let me see."),
                json!({"type": "tool_use", "id": "a", "name": "weather", "input": {"city": "Bern"}}),
                json!({"type": "thinking", "thinking": "And", "signature": "sig3"}),
                tool_use("b"),
            ]),
            user(&[
                json!({"type": "tool_result", "tool_use_id": "a", "content": "no such city", "is_error": true}),
                tool_result("b", ""),
                text("Go on."),
            ]),
        ])
    );
    assert_eq!(notes, []);
}

/// A conversation, the turns it must come to, and what must be said about it.
fn check(messages_in: Vec<Message>, expected: &[Value], notes: &[Note]) {
    let request = ChatRequest { messages: messages_in, ..ChatRequest::default() };
    let (found, said) = messages(&request);
    assert_eq!(found, Value::from(expected));
    assert_eq!(said, notes);
}

#[test]
fn turns_alternate_when_a_speaker_spoke_twice_or_said_nothing() {
    check(
        vec![
            Message::user("a"),
            Message::user("b"),
            Message::user("  "),
            Message::assistant("c"),
            Message::assistant("\n"),
            Message::assistant("d"),
            Message::user("e"),
            Message::Assistant(vec![]),
            Message::user("f"),
        ],
        &[user(&[text("a"), text("b")]), assistant(&[text("c"), text("d")]), user(&[text("e"), text("f")])],
        &[],
    );
}

#[test]
fn the_user_begins_and_ends_a_conversation() {
    let (opening, go_on) = (text("(The conversation begins here.)"), text("Continue."));
    let converted = [Note::Converted("messages")];
    check(
        vec![Message::assistant("a")],
        &[user(std::slice::from_ref(&opening)), assistant(&[text("a")]), user(&[go_on])],
        &converted,
    );
    check(vec![Message::user("")], &[user(&[opening])], &converted);
}

#[test]
fn the_systems_words_keep_their_place_once_the_conversation_began() {
    let request = ChatRequest::new("r").system("a").user("b").system("c").message(Message::assistant("d")).user("e");
    let (body, notes) = encoded(&request, NEW);
    assert_eq!(body["system"], json!([text("a")]));
    let expected = [user(&[text("b"), text("<system>\nc\n</system>")]), assistant(&[text("d")]), user(&[text("e")])];
    assert_eq!(body["messages"], json!(expected));
    assert_eq!(notes, [Note::Converted("messages.system")]);

    let (body, notes) = encoded(&ChatRequest::new("r").system("a"), NEW);
    assert_eq!((&body["system"], &body["messages"]), (&Value::Null, &json!([user(&[text("<system>\na\n</system>")])])));
    assert_eq!(notes, [Note::Converted("messages.system")]);
}

#[test]
fn all_results_of_a_turn_come_together_first_and_in_the_order_of_the_calls() {
    check(
        vec![
            Message::user("x"),
            calls(&["a", "b", "c"]),
            result("c", "3"),
            Message::user("wait"),
            result("a", "1"),
            result("b", "2"),
        ],
        &[
            user(&[text("x")]),
            assistant(&[tool_use("a"), tool_use("b"), tool_use("c")]),
            user(&[tool_result("a", "1"), tool_result("b", "2"), tool_result("c", "3"), text("wait")]),
        ],
        &[],
    );
    // Some write every call of a turn as a message of its own.
    check(
        vec![Message::user("x"), calls(&["a"]), calls(&["b"]), result("a", "1"), result("b", "2")],
        &[
            user(&[text("x")]),
            assistant(&[tool_use("a"), tool_use("b")]),
            user(&[tool_result("a", "1"), tool_result("b", "2")]),
        ],
        &[],
    );
}

#[test]
fn every_call_has_a_result_and_every_result_a_call() {
    let not_run =
        |id| json!({"type": "tool_result", "tool_use_id": id, "content": "This tool was not run.", "is_error": true});
    check(
        vec![Message::user("x"), calls(&["a", "b"]), result("b", "2"), Message::assistant("y"), calls(&["c"])],
        &[
            user(&[text("x")]),
            assistant(&[tool_use("a"), tool_use("b")]),
            user(&[not_run("a"), tool_result("b", "2")]),
            assistant(&[text("y"), tool_use("c")]),
            user(&[not_run("c")]),
        ],
        &[Note::Converted("messages.tool_call")],
    );
    check(
        vec![result("a", "1"), Message::assistant("y"), Message::user("z")],
        &[user(&[text("Result of the tool `weather`:\n1")]), assistant(&[text("y")]), user(&[text("z")])],
        &[Note::Converted("messages.tool_result")],
    );
}

#[test]
fn ids_of_calls_are_rewritten_in_call_and_result_alike_where_they_are_missing_odd_or_taken() {
    check(
        vec![
            Message::user("x"),
            calls(&["call|1", "call_1"]),
            result("call|1", "1"),
            result("call_1", "2"),
            calls(&["call_1", "f.0"]),
            result("f.0", "4"),
            result("call_1", "3"),
        ],
        &[
            user(&[text("x")]),
            assistant(&[tool_use("call_standin_0"), tool_use("call_1")]),
            user(&[tool_result("call_standin_0", "1"), tool_result("call_1", "2")]),
            assistant(&[tool_use("call_standin_2"), tool_use("call_standin_3")]),
            user(&[tool_result("call_standin_2", "3"), tool_result("call_standin_3", "4")]),
        ],
        &[Note::Converted("messages.tool_call.id")],
    );
}

#[test]
fn thoughts_of_others_and_unsigned_ones_are_left_out() {
    check(
        vec![
            Message::user("x"),
            Message::Assistant(vec![
                thought("Hm.", Dialect::OpenAiChat, "secret"),
                AssistantPart::Reasoning("unsigned".to_owned().into()),
                AssistantPart::Text("y".into()),
            ]),
            Message::Assistant(vec![thought("Hm.", Dialect::OpenAiChat, "secret")]),
            Message::user("z"),
        ],
        &[user(&[text("x")]), assistant(&[text("y")]), user(&[text("z")])],
        &[Note::Dropped("messages.reasoning")],
    );
}

#[test]
fn each_generation_gets_the_sampling_parameters_it_takes() {
    let sampling = |temperature, top_p| Sampling { temperature, top_p, ..Sampling::default() };
    let (t, p) = (Note::Dropped("sampling.temperature"), Note::Dropped("sampling.top_p"));
    let clamped = Note::Converted("sampling.temperature");
    for (model, given, expected, notes) in [
        (OLD, (Some(0.5), Some(0.9)), (Some(0.5), Some(0.9)), vec![]),
        ("deepseek-chat", (Some(1.5), Some(0.9)), (Some(1.0), Some(0.9)), vec![clamped]),
        ("claude-haiku-4-5", (Some(0.5), Some(0.9)), (Some(0.5), None), vec![p]),
        ("claude-haiku-4-5", (None, Some(0.9)), (None, Some(0.9)), vec![]),
        ("claude-opus-4-6", (Some(-1.0), None), (Some(0.0), None), vec![clamped]),
        ("claude-opus-4-7", (Some(1.0), Some(0.9)), (None, None), vec![t, p]),
        (NEW, (Some(1.0), None), (None, None), vec![t]),
        (NEW, (None, None), (None, None), vec![]),
    ] {
        let request = ChatRequest { sampling: sampling(given.0, given.1), ..hi() };
        let (body, said) = encoded(&request, model);
        let found = (body.get("temperature").and_then(Value::as_f64), body.get("top_p").and_then(Value::as_f64));
        assert_eq!((found, said), (expected, notes), "{model} {given:?}");
    }
    let sampling = Sampling {
        presence_penalty: Some(1.0),
        frequency_penalty: Some(1.0),
        seed: Some(1),
        stop: vec!["\n".into(), "END".into()],
        ..Sampling::default()
    };
    let (found, notes) = encoded(&ChatRequest { sampling, ..hi() }, OLD);
    let mut expected = body(&hi(), OLD);
    expected["stop_sequences"] = json!(["END"]);
    assert_eq!(found, expected);
    let fields = ["sampling.presence_penalty", "sampling.frequency_penalty", "sampling.seed"];
    assert_eq!(notes[0], Note::Converted("sampling.stop"), "the blank one is enforced here");
    assert_eq!(notes[1..], fields.map(Note::Dropped));
}

#[test]
fn each_generation_is_asked_to_think_in_its_own_way() {
    let budget = |tokens: u32| json!({"type": "enabled", "budget_tokens": tokens});
    let adaptive = json!({"type": "adaptive", "display": "summarized"});
    for (model, effort, tokens_max, thinking, output) in [
        (OLD, Effort::Minimal, None, None, None),
        (OLD, Effort::Low, None, Some(budget(2_048)), None),
        (OLD, Effort::Medium, None, Some(budget(8_192)), None),
        (OLD, Effort::High, None, Some(budget(16_000)), None),
        (OLD, Effort::High, Some(4_000), Some(budget(2_000)), None),
        ("claude-haiku-4-5@20251001", Effort::High, None, Some(budget(24_576)), None),
        ("glm-5", Effort::Low, None, Some(budget(2_048)), None),
        ("claude-opus-4-6", Effort::Minimal, None, None, Some("low")),
        ("claude-opus-4-6", Effort::Low, Some(10), Some(adaptive.clone()), Some("low")),
        (NEW, Effort::Medium, None, Some(adaptive.clone()), Some("medium")),
        (NEW, Effort::High, None, Some(adaptive), Some("high")),
    ] {
        let request = ChatRequest { effort: Some(effort), output_tokens_max: tokens_max, ..hi() };
        let (body, notes) = encoded(&request, model);
        assert_eq!(body.get("thinking"), thinking.as_ref(), "{model} {effort:?}");
        assert_eq!(body.pointer("/output_config/effort").and_then(Value::as_str), output, "{model} {effort:?}");
        assert_eq!(notes, []);
    }
}

#[test]
fn thinking_is_not_asked_for_where_it_would_be_refused() {
    let think = |request| ChatRequest { effort: Some(Effort::Low), ..request };
    let dropped = [Note::Dropped("effort")];
    for (model, request, effort) in [
        ("claude-3-5-haiku-latest", hi(), None),
        (OLD, ChatRequest { output_tokens_max: Some(2_000), ..hi() }, None),
        (OLD, ChatRequest { tool_choice: ToolChoice::Required, ..hi().tool(weather()) }, None),
        (NEW, ChatRequest { tool_choice: ToolChoice::Required, ..hi().tool(weather()) }, Some("low")),
        (OLD, hi().message(calls(&["a"])).message(result("a", "1")), None),
    ] {
        let (body, notes) = encoded(&think(request), model);
        assert_eq!(body.get("thinking"), None, "{model}");
        assert_eq!(body.pointer("/output_config/effort").and_then(Value::as_str), effort);
        assert_eq!(notes, if effort.is_none() { &dropped[..] } else { &[] });
    }
    let mut parts = vec![thought("Hm.", Dialect::AnthropicMessages, "sig")];
    parts.push(AssistantPart::ToolCall(call("a", "{}")));
    for request in [
        hi().message(Message::Assistant(parts)).message(result("a", "1")),
        hi().message(calls(&["a"])).message(result("a", "1")).message(Message::assistant("done")).user("more"),
    ] {
        assert!(body(&think(request), OLD).get("thinking").is_some());
    }
    // A model that decides itself whether to think takes it.
    let foreign = hi().message(calls(&["a"])).message(result("a", "1"));
    assert!(body(&think(foreign), NEW).get("thinking").is_some());

    let sampled = |temperature, top_p| {
        let sampling = Sampling { temperature: Some(temperature), top_p: Some(top_p), ..Sampling::default() };
        let (body, notes) = encoded(&think(ChatRequest { sampling, ..hi() }), OLD);
        (body.get("temperature").and_then(Value::as_f64), body.get("top_p").and_then(Value::as_f64), notes)
    };
    let none = vec![Note::Dropped("sampling.temperature"), Note::Dropped("sampling.top_p")];
    assert_eq!(sampled(0.5, 0.9), (None, None, none), "who thinks takes none");
    assert_eq!(sampled(1.0, 0.95), (Some(1.0), Some(0.95), vec![]), "but for what changes next to nothing");
}

#[test]
fn json_is_asked_for_in_words_where_no_schema_is_held_to() {
    let last = |body: &Value| {
        let system = body["system"].as_array().expect("texts").last().expect("one").clone();
        system["text"].as_str().expect("text").to_owned()
    };
    let schema = json!({"type": "object"});
    let by_schema =
        ResponseFormat::JsonSchema { name: "answer".to_owned(), schema: schema.clone().into(), strict: true };
    for (model, format, schema) in [(NEW, ResponseFormat::Json, None), (OLD, by_schema, Some(schema))] {
        let request = ChatRequest { response_format: format, ..ChatRequest::new("r").system("Be brief.").user("x") };
        let (body, notes) = encoded(&request, model);
        assert_eq!(body["system"][0], text("Be brief."));
        let asked = last(&body);
        assert!(asked.starts_with("Answer with one JSON object"), "{asked}");
        assert_eq!(asked.contains("{\"type\":\"object\"}"), schema.is_some());
        assert_eq!(body.get("output_config"), None);
        assert_eq!(notes, [Note::Converted("response_format")]);
    }
    let strict = hi().tool(Tool { strict: Some(true), ..weather() });
    let (body, notes) = encoded(&strict, OLD);
    assert_eq!(body["tools"][0].get("strict"), None);
    assert_eq!(notes, [Note::Dropped("tools.strict")]);
}

#[test]
fn the_generation_is_read_from_every_form_of_a_name() {
    for (model, output_tokens) in [
        ("claude-2.1", 4_096),
        ("claude-instant-1.2", 4_096),
        ("claude-3-opus-20240229", 4_096),
        ("claude-3-5-haiku-latest", 8_192),
        ("claude-3-7-sonnet@20250219", 32_000),
        ("claude-sonnet-4-20250514", 32_000),
        ("claude-opus-4-1-20250805", 32_000),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", 64_000),
        ("anthropic/claude-4.7-opus", 64_000),
        ("claude-opus-5-5", 64_000),
        ("claude-mythos-preview", 64_000),
        ("claude", 64_000),
        ("deepseek-chat", 8_192),
        ("", 8_192),
    ] {
        assert_eq!(body(&hi(), model)["max_tokens"], output_tokens, "{model}");
    }
    assert_eq!(body(&ChatRequest { output_tokens_max: Some(7), ..hi() }, NEW)["max_tokens"], 7);
}

#[test]
fn extra_fields_are_sent_but_override_nothing_that_is_written() {
    let extra = json!({"model": "evil", "max_tokens": 1, "top_k": 40, "cache_control": {"type": "ephemeral"}});
    let request = ChatRequest { extra: Json::from(extra).fields(), ..hi() };
    let mut expected = body(&hi(), NEW);
    expected["top_k"] = 40.into();
    expected["cache_control"] = json!({"type": "ephemeral"});
    assert_eq!(body(&request, NEW), expected);
}

#[test]
fn an_image_is_called_by_the_registered_name_of_what_it_is() {
    let (jpeg, png, gif) = ("/9j/4AAQSkZJRg==", "iVBORw0KGgoAAAANSUhEUg==", "R0lGODlhAQABAAAAACw=");
    let webp = "UklGRiQAAABXRUJQVlA4";
    for (said, data, expected) in [
        ("image/jpg", jpeg, "image/jpeg"),
        ("image/JPEG", "AAAA", "image/jpeg"),
        ("image/pjpeg", "AAAA", "image/jpeg"),
        ("image/jpeg; charset=utf-8", "AAAA", "image/jpeg"),
        ("image/x-png", "AAAA", "image/png"),
        ("Image/WebP", "AAAA", "image/webp"),
        // What the bytes say counts more.
        ("image/png", jpeg, "image/jpeg"),
        ("image/jpeg", png, "image/png"),
        ("image/png", gif, "image/gif"),
        ("image/jpeg", webp, "image/webp"),
        ("image/octet-stream", webp, "image/webp"),
    ] {
        let by_value = Image::Base64 { media_type: said.to_owned(), data: data.into() };
        let by_address = Image::Url(format!("data:{said};base64,{data}").into());
        for image in [by_value, by_address] {
            let request = hi().message(Message::User(vec![UserPart::Image(image)]));
            let written = body(&request, NEW).to_string();
            let source = json!({"type": "base64", "media_type": expected, "data": data}).to_string();
            assert!(written.contains(&source), "{said}: {written}");
        }
    }
}

#[test]
fn refuses_what_cannot_go_and_names_the_field() {
    let image = Image::Base64 { media_type: "image/tiff".to_owned(), data: "".into() };
    for (request, class, field) in [
        (ChatRequest::new("r"), FailureClass::BadRequest, "messages:"),
        (
            hi().message(Message::User(vec![UserPart::Image(image)])),
            FailureClass::Unsupported,
            "messages.image.media_type:",
        ),
    ] {
        let failure = encode(&GENERIC, &request, NEW.into(), true).expect_err(field);
        assert_eq!(failure.class, class);
        assert!(failure.message.starts_with(field), "{}", failure.message);
    }
}

#[test]
fn a_key_goes_into_its_own_header_and_a_login_is_a_bearer_token() {
    let headers_at = |flavour: &Flavour, key: &str| {
        let mut headers = HeaderMap::new();
        authorize(flavour, &Secret::new(key), &mut headers).map(|()| headers)
    };
    let headers = |key: &str| headers_at(&GENERIC, key);
    let vertex = headers_at(Flavour::named("vertex-anthropic").expect("a flavour"), "ya29.x").expect("a good token");
    assert_eq!((&vertex[AUTHORIZATION], vertex.contains_key("x-api-key")), (&"Bearer ya29.x".parse().unwrap(), false));
    let with_key = headers("sk-ant-api03-x").expect("a good key");
    assert_eq!(with_key["x-api-key"], "sk-ant-api03-x");
    assert!(!with_key.contains_key(AUTHORIZATION) && !format!("{with_key:?}").contains("api03"));
    let with_token = headers("sk-ant-oat01-x").expect("a good token");
    assert_eq!(with_token[AUTHORIZATION], "Bearer sk-ant-oat01-x");
    assert!(!with_token.contains_key("x-api-key"));
    assert_eq!(headers("sk-ant-api\n").expect_err("no header value").class, FailureClass::Unauthorised);
}

fn any_message() -> impl Strategy<Value = Message> {
    let id = || prop::sample::select(&["a", "b", "c", "odd|id"][..]);
    let part = prop_oneof![
        prop::sample::select(&["", " ", "text"][..]).prop_map(|text| AssistantPart::Text(text.into())),
        id().prop_map(|id| AssistantPart::ToolCall(call(id, "{}"))),
        Just(thought("t", Dialect::AnthropicMessages, "sig")),
        Just(thought("t", Dialect::OpenAiChat, "sig")),
    ];
    prop_oneof![
        prop::sample::select(&["", "text"][..]).prop_map(|text| Message::System(text.into())),
        prop::sample::select(&["", "text"][..]).prop_map(Message::user),
        prop::collection::vec(part, 0..4).prop_map(Message::Assistant),
        id().prop_map(|id| result(id, "r")),
    ]
}

proptest! {
    #[test]
    fn any_conversation_comes_to_turns_that_are_taken(all in prop::collection::vec(any_message(), 1..12)) {
        let (found, _) = messages(&ChatRequest { messages: all, ..ChatRequest::default() });
        let turns = found.as_array().expect("turns");
        let mut ids = std::collections::HashSet::new();
        let mut open: Vec<&Value> = Vec::new();
        prop_assert!(!turns.is_empty() && turns.len() % 2 == 1, "the user begins and ends");
        for (at, turn) in turns.iter().enumerate() {
            prop_assert_eq!(&turn["role"], if at % 2 == 0 { "user" } else { "assistant" });
            let content = turn["content"].as_array().expect("blocks");
            prop_assert!(!content.is_empty());
            let results: Vec<_> = content.iter().filter(|block| block["type"] == "tool_result").collect();
            prop_assert_eq!(results.iter().map(|block| &block["tool_use_id"]).collect::<Vec<_>>(), open);
            prop_assert!(content.iter().take(results.len()).all(|block| block["type"] == "tool_result"));
            let is_blank = |block: &Value| block["text"].as_str().unwrap_or("").trim().is_empty();
            prop_assert!(content.iter().all(|block| block["type"] != "text" || !is_blank(block)));
            open = content.iter().filter(|block| block["type"] == "tool_use").map(|block| &block["id"]).collect();
            prop_assert!(open.iter().all(|id| ids.insert((*id).clone())), "no id comes twice");
        }
    }

    #[test]
    fn a_longer_conversation_begins_as_the_shorter_one_did(
        mut all in prop::collection::vec(any_message(), 1..8),
        more in any_message(),
    ) {
        all.insert(0, Message::user("begin"));
        all.extend([Message::assistant("said"), Message::user("and")]);
        let before = messages(&ChatRequest { messages: all.clone(), ..ChatRequest::default() }).0;
        all.extend([Message::assistant("answered"), more]);
        let after = messages(&ChatRequest { messages: all, ..ChatRequest::default() }).0;
        let (before, after) = (before.as_array().expect("turns"), after.as_array().expect("turns"));
        prop_assert_eq!(before.as_slice(), &after[..before.len()], "or what is cached of it is lost");
    }
}

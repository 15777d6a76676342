use std::fmt::Write;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::wire::flavour::{Flavour, GENERIC};
use crate::wire::{Decoder, Ending};
use crate::words::{
    AssistantPart, ChatRequest, Dialect, Effort, Failure, FailureClass, Image, Message, Note, Piece, Proof, Reasoning,
    ResponseFormat, Sampling, StopReason, TargetId, Text, Tool, ToolCall, ToolChoice, ToolResult, Usage, UserPart,
};

// Requests.

fn target(model: &str) -> TargetId {
    TargetId::new("p", model)
}

fn encoded(flavour: &str, request: &ChatRequest, model: &str) -> (Value, Vec<Note>) {
    let flavour = Flavour::named(flavour).expect("a known name");
    let encoded = encode(flavour, request, (&target(model)).into(), false).expect("a good request");
    (serde_json::from_slice(&encoded.body.whole()).expect("JSON"), encoded.notes)
}

fn body(request: &ChatRequest, model: &str) -> Value {
    encoded("openai", request, model).0
}

fn weather() -> Tool {
    Tool {
        name: "weather".to_owned(),
        description: "Tells the weather.".to_owned(),
        parameters: json!({"type": "object"}),
        strict: Some(true),
    }
}

fn call(id: &str, arguments: &str) -> ToolCall {
    ToolCall { id: id.to_owned(), name: "weather".to_owned(), arguments: arguments.into(), proof: None }
}

fn thought(text: &str, proof: Option<(Dialect, &str)>) -> AssistantPart {
    let proof = proof.map(|(dialect, data)| Proof::new(dialect, data));
    AssistantPart::Reasoning(Reasoning { text: text.into(), proof })
}

fn said(text: &str) -> AssistantPart {
    AssistantPart::Text(text.into())
}

#[test]
fn writes_the_smallest_request_and_leaves_nothing_at_the_provider() {
    let request = ChatRequest::new("smart").user("Hi");
    let encoded = encode(&GENERIC, &request, (&target("m")).into(), true).expect("a good request");
    assert_eq!(encoded.path, "/responses");
    assert_eq!(encoded.headers["accept"], "text/event-stream");
    assert_eq!(
        serde_json::from_slice::<Value>(&encoded.body.whole()).expect("JSON"),
        json!({
            "model": "m", "stream": true, "store": false,
            "input": [{"type": "message", "role": "user", "content": "Hi"}],
        })
    );
    assert_eq!(encoded.notes, []);
}

#[test]
fn writes_every_field() {
    let request = ChatRequest {
        tools: vec![weather(), Tool { description: String::new(), strict: None, ..weather() }],
        tool_choice: ToolChoice::Named("weather".to_owned()),
        parallel_tool_calls: Some(false),
        response_format: ResponseFormat::JsonSchema {
            name: "answer".to_owned(),
            schema: json!({"type": "object"}),
            strict: true,
        },
        sampling: Sampling { temperature: Some(0.5), top_p: Some(0.9), ..Sampling::default() },
        output_tokens_max: Some(100),
        extra: json!({"store": true, "truncation": "auto"}).as_object().expect("an object").clone(),
        ..ChatRequest::new("smart").system("Be brief.").user("Weather?")
    };
    assert_eq!(
        encoded("openai", &request, "gpt-4o"),
        (
            json!({
                "model": "gpt-4o", "stream": false, "store": false,
                "input": [
                    {"type": "message", "role": "system", "content": "Be brief."},
                    {"type": "message", "role": "user", "content": "Weather?"},
                ],
                "tools": [
                    {"type": "function", "name": "weather", "description": "Tells the weather.",
                        "parameters": {"type": "object"}, "strict": true},
                    {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": false},
                ],
                "tool_choice": {"type": "function", "name": "weather"},
                "parallel_tool_calls": false,
                "text": {"format":
                    {"type": "json_schema", "name": "answer", "schema": {"type": "object"}, "strict": true}},
                "temperature": 0.5, "top_p": 0.9, "max_output_tokens": 100, "truncation": "auto",
            }),
            vec![]
        )
    );
    let json = ChatRequest { response_format: ResponseFormat::Json, ..ChatRequest::new("r").user("x") };
    assert_eq!(body(&json, "m")["text"], json!({"format": {"type": "json_object"}}));
    for (choice, expected) in
        [(ToolChoice::Auto, Value::Null), (ToolChoice::None, "none".into()), (ToolChoice::Required, "required".into())]
    {
        let request = ChatRequest { tool_choice: choice, ..ChatRequest::new("r").user("x").tool(weather()) };
        assert_eq!(body(&request, "m")["tool_choice"], expected);
    }
}

#[test]
fn asks_models_that_reason_for_their_encrypted_reasoning_and_no_others() {
    let plain = ChatRequest::new("r").user("x");
    let effort = ChatRequest { effort: Some(Effort::Low), ..plain.clone() };
    let extra = json!({"reasoning": {"summary": "auto"}}).as_object().expect("an object").clone();
    let summary = ChatRequest { extra, ..plain.clone() };
    for (flavour, request, model, asked, reasoning) in [
        ("openai", &plain, "gpt-4o", false, Value::Null),
        ("openai", &plain, "gpt-5-chat-latest", false, Value::Null),
        ("openai", &plain, "gpt-5.2", true, Value::Null),
        ("openai", &plain, "o3", true, Value::Null),
        ("openai", &effort, "o3", true, json!({"effort": "low"})),
        ("openai", &effort, "gpt-4o", false, Value::Null),
        ("azure", &effort, "my-deployment", true, json!({"effort": "low"})),
        ("azure", &summary, "my-deployment", true, json!({"summary": "auto"})),
        ("openrouter", &plain, "openai/gpt-5-mini", true, Value::Null),
        ("openrouter", &plain, "openai/gpt-4.1-mini", false, Value::Null),
        ("xai", &plain, "grok-4.3", true, Value::Null),
        ("deepseek", &plain, "deepseek-v4-flash", false, Value::Null),
        ("deepseek", &effort, "deepseek-v4-flash", false, json!({"effort": "low"})),
        ("llamacpp", &effort, "m", false, json!({"effort": "low"})),
    ] {
        let (body, _) = encoded(flavour, request, model);
        let include = if asked { json!(["reasoning.encrypted_content"]) } else { Value::Null };
        assert_eq!((&body["include"], &body["reasoning"]), (&include, &reasoning), "{flavour} {model}");
    }
}

#[test]
fn notes_what_the_dialect_has_no_words_for() {
    let request = ChatRequest {
        sampling: Sampling {
            temperature: Some(0.5),
            top_p: Some(0.9),
            presence_penalty: Some(-1.0),
            frequency_penalty: Some(1.0),
            seed: Some(7),
            stop: vec!["a".to_owned()],
        },
        effort: Some(Effort::Minimal),
        output_tokens_max: Some(5),
        ..ChatRequest::new("r").user("x")
    };
    let (body, notes) = encoded("openai", &request, "gpt-5.1");
    assert_eq!(body["max_output_tokens"], 16);
    assert_eq!(body["reasoning"]["effort"], "low");
    assert_eq!(
        notes,
        [
            Note::Dropped("sampling.temperature"),
            Note::Dropped("sampling.top_p"),
            Note::Converted("effort"),
            Note::Converted("output_tokens_max"),
            Note::Dropped("sampling.presence_penalty"),
            Note::Dropped("sampling.frequency_penalty"),
            Note::Dropped("sampling.seed"),
            Note::Converted("sampling.stop"),
        ]
    );
    let fields: Vec<&String> = body.as_object().expect("an object").keys().collect();
    assert_eq!(fields, ["include", "input", "max_output_tokens", "model", "reasoning", "store", "stream"]);
}

#[test]
fn writes_a_conversation_as_items_in_its_order() {
    let item = r#"{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gAAA","later":{"x":[1]}}"#;
    let request = ChatRequest::new("smart")
        .message(Message::User(vec![
            UserPart::Text("Look".into()),
            UserPart::Image(Image::Url("https://x.dev/a.png".into())),
            UserPart::Image(Image::Base64 { media_type: "image/png".to_owned(), data: "AAAA".into() }),
        ]))
        .message(Message::Assistant(vec![
            thought("", Some((Dialect::OpenAiResponses, item))),
            said("Let me "),
            said(""),
            said("see."),
            AssistantPart::ToolCall(call("call_1", "{\"city\":\"Bern\"}")),
            AssistantPart::ToolCall(call("call_2", " ")),
        ]))
        .message(Message::tool_result(&call("call_1", ""), "sunny"))
        .message(Message::tool_result(&call("call_2", ""), ""));
    let encoded = encode(&GENERIC, &request, (&target("m")).into(), false).expect("a good request");
    assert_eq!(encoded.notes, []);
    let text = String::from_utf8(encoded.body.whole().to_vec()).expect("text");
    assert!(text.contains(r#""later":{"x":[1]}"#), "what is not known goes back as it came");
    assert_eq!(
        serde_json::from_str::<Value>(&text).expect("JSON")["input"],
        json!([
            {"type": "message", "role": "user", "content": [
                {"type": "input_text", "text": "Look"},
                {"type": "input_image", "image_url": "https://x.dev/a.png"},
                {"type": "input_image", "image_url": "data:image/png;base64,AAAA"},
            ]},
            {"type": "reasoning", "summary": [], "encrypted_content": "gAAA", "later": {"x": [1]}},
            {"type": "message", "role": "assistant", "content": [
                {"type": "output_text", "text": "Let me "}, {"type": "output_text", "text": "see."}]},
            {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": "{\"city\":\"Bern\"}"},
            {"type": "function_call", "call_id": "call_2", "name": "weather", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "call_1", "output": "sunny"},
            {"type": "function_call_output", "call_id": "call_2", "output": ""},
        ])
    );
}

#[test]
fn sends_reasoning_only_where_it_can_be_read_and_leads_to_something() {
    let own = || thought("", Some((Dialect::OpenAiResponses, r#"{"type":"reasoning"}"#)));
    for (parts, kinds, dropped) in [
        (vec![own(), said("a")], vec!["reasoning", "message"], false),
        (vec![said("a"), own()], vec!["message"], true),
        (vec![own()], vec![], true),
        (vec![own(), said("")], vec![], true),
        (vec![thought("Hm", None), said("a")], vec!["message"], true),
        (vec![thought("Hm", Some((Dialect::OpenAiChat, "{}"))), said("a")], vec!["message"], true),
        (vec![thought("Hm", Some((Dialect::OpenAiResponses, "no JSON"))), said("a")], vec!["message"], true),
        (vec![thought("Hm", Some((Dialect::OpenAiResponses, "[1]"))), said("a")], vec!["message"], true),
    ] {
        let request = ChatRequest::new("r").message(Message::Assistant(parts)).user("x");
        let (body, notes) = encoded("openai", &request, "gpt-5");
        let input = body["input"].as_array().expect("items");
        let found: Vec<_> = input[..input.len() - 1].iter().filter_map(|item| item["type"].as_str()).collect();
        assert_eq!(found, kinds);
        assert_eq!(notes.contains(&Note::Dropped("messages.reasoning")), dropped, "{kinds:?}");
    }
}

#[test]
fn encrypted_reasoning_goes_back_to_the_account_that_encrypted_it() {
    let body = json!({"status": "completed", "output": [
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"},
        {"type": "message", "content": [{"type": "output_text", "text": "a"}]}]});
    let answer = |mut decoder: Decoder| {
        decoder.push(body.to_string().as_bytes(), &mut Vec::new()).expect("an answer");
        Message::Assistant(decoder.finish().expect("a whole answer").parts)
    };
    let decoder = || Decoder::new(Dialect::OpenAiResponses, false);
    for (answer, provider, goes) in [
        (answer(decoder().issuer(&"openai".into())), "openai", true),
        (answer(decoder().issuer(&"openai".into())), "azure", false),
        // Nobody knows who answered: then whoever speaks so is asked.
        (answer(decoder()), "azure", true),
    ] {
        let request = ChatRequest::new("r").message(answer).user("x");
        let encoded =
            encode(&GENERIC, &request, (&TargetId::new(provider, "gpt-5")).into(), false).expect("a good request");
        let text = String::from_utf8_lossy(&encoded.body.whole()).contains("gAAA");
        let dropped = encoded.notes.contains(&Note::Dropped("messages.reasoning"));
        assert_eq!((text, dropped), (goes, !goes), "{provider}");
    }
}

#[test]
fn what_was_thought_goes_back_in_clear_to_who_wants_it_so() {
    let encrypted = r#"{"type":"reasoning","encrypted_content":"gAAA"}"#;
    let request = ChatRequest::new("r").message(Message::Assistant(vec![
        thought("Hm", Some((Dialect::OpenAiChat, "{}"))),
        thought("Ha", Some((Dialect::OpenAiResponses, encrypted))),
        thought("", None),
        AssistantPart::ToolCall(call("call_1", "{}")),
    ]));
    let request = request.message(Message::tool_result(&call("call_1", "{}"), "x"));
    let (body, notes) = encoded("deepseek", &request, "deepseek-v4-pro");
    assert_eq!(
        body["input"].as_array().expect("items")[..2],
        [
            json!({"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm"}]}),
            json!({"type": "reasoning", "encrypted_content": "gAAA"}),
        ]
    );
    assert_eq!((body["input"].as_array().map(Vec::len), notes), (Some(4), vec![Note::Dropped("messages.reasoning")]));
}

#[test]
fn takes_conversations_of_other_dialects() {
    let long = "toolu_".repeat(20);
    let proof = Some(Proof::new(Dialect::OpenAiChat, "signature"));
    let result = ToolResult { is_error: true, ..result_of(&long) };
    let request = ChatRequest::new("r")
        .user("x")
        .message(Message::Assistant(vec![AssistantPart::ToolCall(ToolCall { proof, ..call(&long, "{}") })]))
        .message(Message::Tool(result));
    let (body, notes) = encoded("openai", &request, "gpt-5");
    let id = body["input"][1]["call_id"].as_str().expect("an id");
    assert!(!id.is_empty() && id.len() <= 64, "{id}");
    assert_eq!(body["input"][2]["call_id"], id, "call and result still fit together");
    assert_eq!(
        notes,
        [
            Note::Dropped("messages.tool_call.proof"),
            Note::Converted("messages.tool_call.id"),
            Note::Dropped("messages.is_error"),
        ]
    );
}

fn result_of(id: &str) -> ToolResult {
    ToolResult::new(id, "weather", "no")
}

#[test]
fn an_answer_goes_back_as_it_came_but_for_its_ids() {
    let reasoning = |id| json!({"type": "reasoning", "id": id, "summary": [], "encrypted_content": "gAAA"});
    let nameless = json!({"type": "reasoning", "summary": [], "encrypted_content": "gAAA"});
    let output = |name: &str, id: &str| {
        json!({"type": "function_call", "id": format!("fc_{id}"), "status": "completed", "call_id": id,
            "name": name, "arguments": "{}"})
    };
    let whole = json!({
        "id": "resp_1", "status": "completed",
        "output": [reasoning("rs_1"), output("f", "a"), reasoning("rs_2"), output("g", "b")],
    });
    let ending = decode(&whole.to_string()).1.expect("a good answer");
    let calls: Vec<_> = ending.parts.iter().filter_map(AssistantPart::as_tool_call).cloned().collect();
    let answered = ChatRequest::new("r").message(Message::Assistant(ending.parts));
    let request = calls.iter().fold(answered, |all, call| all.message(Message::tool_result(call, "x")));
    let sent = |name: &str, id: &str| json!({"type": "function_call", "call_id": id, "name": name, "arguments": "{}"});
    let input = body(&request, "gpt-5")["input"].clone();
    let expected = [nameless.clone(), sent("f", "a"), nameless, sent("g", "b")];
    assert_eq!(input.as_array().expect("items")[..4], expected);
}

// Recorded requests, encoded anew from what they say.

/// Makes two bodies comparable where they say the same in two ways.
fn plain(mut body: Value) -> Value {
    let object = body.as_object_mut().expect("an object");
    for (field, usual) in [("stream", json!(false)), ("tool_choice", json!("auto"))] {
        object.entry(field).or_insert(usual);
    }
    for item in object["input"].as_array_mut().expect("items") {
        let item = item.as_object_mut().expect("an item");
        item.entry("type").or_insert("message".into());
        if let Some([only]) = item.get("content").and_then(Value::as_array).map(Vec::as_slice)
            && only["type"] == "input_text"
        {
            let text = only["text"].clone();
            item.insert("content".to_owned(), text);
        }
    }
    body
}

type Translate<'a> = &'a dyn Fn(&Value) -> ChatRequest;

#[test]
fn bodies_have_the_shape_of_recorded_ones() {
    let tool = |recorded: &Value| {
        let tool = &recorded["tools"][0];
        Tool {
            name: tool["name"].as_str().expect("a name").to_owned(),
            description: tool["description"].as_str().expect("a text").to_owned(),
            parameters: tool["parameters"].clone(),
            strict: tool["strict"].as_bool(),
        }
    };
    let weather = |id: &str, arguments: &str| ToolCall {
        id: id.to_owned(),
        name: "weather".to_owned(),
        arguments: arguments.into(),
        proof: None,
    };
    let extra = |extra: Value| extra.as_object().expect("an object").clone();
    let table: [(&str, &str, Translate<'_>); 4] = [
        ("xai__responses__json__200__g-can-understand-remote-images", "xai", &|_| {
            ChatRequest::new("r").message(Message::User(vec![
                UserPart::Text("What do you see in this image?".into()),
                UserPart::Image(Image::Url("https://httpbin.org/image/jpeg".into())),
            ]))
        }),
        ("xai__responses__json__200__easoning-allows-removing-schema", "xai", &|recorded| ChatRequest {
            response_format: ResponseFormat::JsonSchema {
                name: "response".to_owned(),
                schema: recorded["text"]["format"]["schema"].clone(),
                strict: true,
            },
            ..ChatRequest::new("r").user("Generate a person named Bob")
        }),
        ("xai__responses__json__200__thinking-signatures-between-turns", "xai", &|recorded| {
            let proof = Proof::new(Dialect::OpenAiResponses, recorded["input"][1].to_string());
            ChatRequest {
                effort: Some(Effort::Medium),
                ..ChatRequest::new("r")
                    .user("What is 5 + 3?")
                    .message(Message::Assistant(vec![
                        AssistantPart::Reasoning(Reasoning { text: Text::default(), proof: Some(proof) }),
                        said("**8**"),
                    ]))
                    .user("Now multiply that by 2")
            }
        }),
        ("azure__responses__sse__200__thinking-streaming__b739f5bf", "azure", &|recorded| {
            let call = weather("call_ylSv4Nh5Sjuh7A6vOintVfwF", "{\"location\":\"Florence, Italy\"}");
            ChatRequest {
                extra: extra(json!({"stream": true, "reasoning": {"effort": "high", "summary": "auto"}})),
                ..ChatRequest::new("r")
                    .system("You are a helpful assistant")
                    .user("What's the weather in Florence, Italy?")
                    .message(Message::Assistant(vec![AssistantPart::ToolCall(call.clone())]))
                    .message(Message::tool_result(&call, "40 C"))
                    .tool(tool(recorded))
            }
        }),
    ];
    let cases = crate::wire::tests::cases();
    for (name, flavour, translate) in table.iter().filter(|_| !cases.is_empty()) {
        let case = cases.iter().find(|case| case["case"].as_str().is_some_and(|case| case.starts_with(name)));
        let recorded = &case.expect("a case")["request"]["body"];
        let recorded =
            recorded.as_str().map_or_else(|| recorded.clone(), |text| serde_json::from_str(text).expect("JSON"));
        let (model, streaming) = (recorded["model"].as_str().expect("a model"), recorded["stream"] == true);
        let flavour = Flavour::named(flavour).expect("a known name");
        let encoded =
            encode(flavour, &translate(&recorded), (&target(model)).into(), streaming).expect("a good request");
        assert_eq!(plain(serde_json::from_slice(&encoded.body.whole()).expect("JSON")), plain(recorded), "{name}");
        assert_eq!(encoded.notes, [], "{name}");
    }
}

// Replies.

type Decoded = (Vec<Piece>, Result<Ending, Failure>);

fn decode(body: &str) -> Decoded {
    let mut decoder = Decoder::new(Dialect::OpenAiResponses, true);
    let mut pieces = Vec::new();
    let ending = decoder.push(body.as_bytes(), &mut pieces).and_then(|_| decoder.finish());
    (pieces, ending)
}

/// Decodes a stream of these events; its end is one of them, or it has none.
fn stream(events: &[Value]) -> Decoded {
    decode(&events.iter().fold(String::new(), |mut stream, event| {
        write!(stream, "event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or("x")).expect("a string");
        stream
    }))
}

fn text(delta: &str) -> Value {
    json!({"type": "response.output_text.delta", "output_index": 0, "delta": delta, "logprobs": []})
}

fn completed() -> Value {
    json!({"type": "response.completed", "response": {"status": "completed", "output": []}})
}

fn incomplete(reason: &str) -> Value {
    json!({"type": "response.incomplete", "response": {"incomplete_details": {"reason": reason}}})
}

fn calls_of((_, ending): Decoded) -> Vec<(String, String, String)> {
    let ending = ending.expect("a good answer");
    ending.tool_calls().map(|call| (call.id.clone(), call.name.clone(), call.arguments.to_string())).collect()
}

fn owned(calls: &[(&str, &str, &str)]) -> Vec<(String, String, String)> {
    calls.iter().map(|(id, name, arguments)| ((*id).into(), (*name).into(), (*arguments).into())).collect()
}

#[test]
fn reads_reasoning_text_and_their_proof() {
    let item = json!({"type": "reasoning", "id": "rs_1", "encrypted_content": "gAAA", "summary": []});
    let (pieces, ending) = stream(&[
        json!({"type": "response.created", "response": {"id": "resp_1", "model": "m-1", "error": null}}),
        json!({"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning", "id": "rs_1",
            "encrypted_content": "incomplete"}}),
        json!({"type": "response.reasoning_summary_text.delta", "delta": "H"}),
        json!({"type": "response.reasoning_text.delta", "delta": "m"}),
        json!({"type": "response.reasoning_summary_text.done", "text": "Hm"}),
        json!({"type": "response.output_item.done", "output_index": 0, "item": item}),
        text("Hel"),
        text("lo"),
        json!({"type": "response.output_text.done", "text": "Hello"}),
        json!({"type": "response.output_item.done", "item": {"type": "message", "content": [{"text": "Hello"}]}}),
        json!({"type": "response.completed", "response": {"output": [{"type": "message", "content": []}], "usage": {
            "input_tokens": 10, "output_tokens": 5, "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
            "output_tokens_details": {"reasoning_tokens": 3}}}}),
    ]);
    let issued = Piece::Proof(Proof::new(Dialect::OpenAiResponses, item.to_string()));
    assert_eq!(pieces, [Piece::Reasoning("Hm".to_owned()), issued, Piece::Text("Hello".to_owned())]);
    let ending = ending.expect("a good answer");
    let proof = Some((Dialect::OpenAiResponses, &item.to_string()[..]));
    assert_eq!(ending.parts, [thought("Hm", proof), said("Hello")]);
    assert_eq!((ending.stop, ending.model.as_deref()), (StopReason::Stop, Some("m-1")));
    assert_eq!(ending.usage, Some(Usage { input: 10, output: 5, cached: 4, cache_write: 2, reasoning: 3 }));
}

#[test]
fn reasoning_that_cannot_go_back_has_no_proof() {
    let item = json!({"type": "reasoning", "id": "rs_1", "encrypted_content": null, "content": [{"text": "Hm"}]});
    let whole = json!({"status": "completed", "output": [item, {"type": "message", "content": [{"text": "a"}]}]});
    assert_eq!(decode(&whole.to_string()).1.expect("a good answer").parts, [thought("Hm", None), said("a")]);
}

#[test]
fn gathers_parallel_calls_in_their_place() {
    let added = |index: u32, id: &str, name: &str| {
        json!({"type": "response.output_item.added", "output_index": index, "item":
            {"type": "function_call", "id": format!("fc_{id}"), "call_id": id, "name": name, "arguments": ""}})
    };
    let delta = |index: u32, delta: &str| json!({"type": "response.function_call_arguments.delta", "output_index": index, "delta": delta});
    let done = |index: u32, id: &str, name: &str, arguments: &str| {
        json!({"type": "response.output_item.done", "output_index": index, "item":
            {"type": "function_call", "id": format!("fc_{id}"), "call_id": id, "name": name, "arguments": arguments}})
    };
    let expected = owned(&[("a", "f", "{\"x\":1}"), ("b", "g", "{}")]);
    let streamed = [
        added(0, "a", "f"),
        delta(0, "{\"x\""),
        added(1, "b", "g"),
        delta(1, "{}"),
        delta(0, ":1}"),
        json!({"type": "response.function_call_arguments.done", "output_index": 0, "arguments": "{\"x\":1}"}),
        done(0, "a", "f", "{\"x\":1}"),
        done(1, "b", "g", "{}"),
        completed(),
    ];
    assert_eq!(calls_of(stream(&streamed)), expected);
    assert_eq!(stream(&streamed).1.expect("a good answer").stop, StopReason::ToolCalls);
    let only_whole = [done(0, "a", "f", "{\"x\":1}"), done(1, "b", "g", "{}"), completed()];
    assert_eq!(calls_of(stream(&only_whole)), expected);
    let begun_and_whole =
        [added(0, "a", "f"), added(1, "b", "g"), only_whole[0].clone(), only_whole[1].clone(), completed()];
    assert_eq!(calls_of(stream(&begun_and_whole)), expected);
    let unannounced =
        [delta(0, "{\"x\":1}"), only_whole[0].clone(), delta(1, "{}"), only_whole[1].clone(), completed()];
    assert_eq!(calls_of(stream(&unannounced)), expected);
    // What another item is called with is no call that anybody here has to make.
    let served = json!({"type": "response.output_item.done", "output_index": 2, "item": {"type": "mcp_call", "arguments": "{}"}});
    let beside =
        [added(0, "a", "f"), delta(0, "{\"x\":1}"), delta(2, "{}"), served, done(1, "b", "g", "{}"), completed()];
    assert_eq!(calls_of(stream(&beside)), expected);
    let mixed = [text("Let me."), added(1, "a", "f"), delta(1, "{}"), text(" So."), completed()];
    let parts = stream(&mixed).1.expect("a good answer").parts;
    let order: Vec<_> = parts.iter().map(|part| part.as_text().unwrap_or("call")).collect();
    assert_eq!(order, ["Let me.", "call", " So."]);
}

#[test]
fn reads_streams_that_leave_out_fields() {
    // As llama.cpp writes them: no index, no id of the item, and every call once more at the end.
    let added = |id: &str| {
        json!({"type": "response.output_item.added", "item":
            {"arguments": "", "call_id": id, "name": "f", "type": "function_call", "status": "in_progress"}})
    };
    let delta = |id: &str, delta: &str| json!({"type": "response.function_call_arguments.delta", "delta": delta, "item_id": id});
    let done = |id: &str, arguments: &str| {
        json!({"type": "response.output_item.done", "item":
            {"arguments": arguments, "call_id": id, "name": "f", "type": "function_call", "status": "completed"}})
    };
    let events = [
        json!({"type": "response.created", "response": {"id": "resp_1", "object": "response", "status": "in_progress"}}),
        json!({"type": "response.output_item.added", "item": {"id": "rs_1", "summary": [], "type": "reasoning"}}),
        json!({"type": "response.reasoning_text.delta", "delta": "Hm", "item_id": "rs_1"}),
        json!({"type": "response.output_text.delta", "item_id": "msg_1", "delta": "Hi"}),
        added("fc_1"),
        delta("fc_1", "{\"x\":"),
        delta("fc_1", "1}"),
        added("fc_2"),
        delta("fc_2", "{}"),
        done("fc_1", "{\"x\":1}"),
        done("fc_2", "{}"),
        json!({"type": "response.completed", "response": {"status": "completed", "model": "m", "output": [
            {"type": "function_call", "call_id": "fc_1", "name": "f", "arguments": "{\"x\":1}"}],
            "usage": {"input_tokens": 3, "output_tokens": 2}}}),
    ];
    let (pieces, ending) = stream(&events);
    assert_eq!(pieces, [Piece::Reasoning("Hm".to_owned()), Piece::Text("Hi".to_owned())]);
    assert_eq!(calls_of((pieces, ending)), owned(&[("fc_1", "f", "{\"x\":1}"), ("fc_2", "f", "{}")]));
}

#[test]
fn takes_from_the_last_event_what_came_in_no_other() {
    let output = json!([
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm"}], "encrypted_content": "gAAA"},
        {"type": "web_search_call", "id": "ws_1", "status": "completed"},
        {"type": "message", "content": [{"type": "output_text", "text": "Hello", "annotations": [{"x": 1}]}]},
        {"type": "function_call", "id": "fc_1", "name": "f", "arguments": {"x": 1}},
    ]);
    let response = json!({"id": "r", "model": "m", "status": "completed", "output": output});
    let streamed = stream(&[json!({"type": "response.completed", "response": response})]);
    let whole = decode(&response.to_string());
    assert_eq!(streamed, whole);
    let proof = Piece::Proof(Proof::new(Dialect::OpenAiResponses, output[0].to_string()));
    assert_eq!(whole.0, [Piece::Reasoning("Hm".to_owned()), proof, Piece::Text("Hello".to_owned())]);
    assert_eq!(calls_of(whole), owned(&[("fc_1", "f", "{\"x\":1}")]));
}

#[test]
fn knows_every_way_to_end() {
    for (end, stop) in [
        (completed(), StopReason::Stop),
        (incomplete("max_output_tokens"), StopReason::Length),
        (incomplete("content_filter"), StopReason::ContentFilter),
        (incomplete("a new one"), StopReason::Other),
        (json!({"type": "response.incomplete"}), StopReason::Other),
        (json!({"type": "response.completed"}), StopReason::Stop),
    ] {
        let (_, ending) = stream(&[text("x"), end.clone(), text("never read")]);
        let ending = ending.expect("a good answer");
        assert_eq!((ending.stop, ending.text()), (stop, "x".to_owned()), "{end}");
    }
    for (status, class) in
        [("failed", FailureClass::Server), ("cancelled", FailureClass::Cut), ("in_progress", FailureClass::Cut)]
    {
        let whole = json!({"status": status, "output": [{"type": "message", "content": [{"text": "x"}]}]});
        assert_eq!(decode(&whole.to_string()).1.expect_err(status).class, class);
    }
    assert_eq!(stream(&[completed()]).1.expect_err("empty").class, FailureClass::Empty);
    assert_eq!(stream(&[incomplete("content_filter")]).1.expect_err("filtered").class, FailureClass::ContentPolicy);
}

#[test]
fn a_stream_without_its_end_is_cut() {
    assert_eq!(stream(&[text("x")]).1.expect_err("cut").class, FailureClass::Cut);
    // The end marker of the other dialect is none.
    let events = format!("data: {}\n\ndata: [DONE]\n\n", text("x"));
    assert_eq!(decode(&events).1.expect_err("cut").class, FailureClass::Cut);
    let events = format!("data: {}\n\ndata: {}\n\ndata: [DONE]\n\n", text("x"), completed());
    assert!(decode(&events).1.is_ok());
    assert_eq!(decode("data: {\"type\":\"response.output_te\n\n").1.expect_err("cut").class, FailureClass::Cut);
}

#[test]
fn a_refusal_is_text_with_a_reason_of_its_own() {
    let refusal = |delta: &str| json!({"type": "response.refusal.delta", "delta": delta});
    let (pieces, ending) = stream(&[refusal("I'm "), refusal("out"), completed()]);
    assert_eq!(pieces, [Piece::Text("I'm out".to_owned())]);
    assert_eq!(ending.expect("a good answer").stop, StopReason::Refusal);
    let part = json!({"type": "refusal", "refusal": "I'm out"});
    let whole = json!({"status": "completed", "output": [{"type": "message", "content": [part]}]});
    assert_eq!(decode(&whole.to_string()).1.expect("a good answer").stop, StopReason::Refusal);
}

#[test]
fn finds_errors_inside_of_answers() {
    let failed = |code: &str, message: &str| json!({"type": "response.failed", "response": {"status": "failed", "error": {"code": code, "message": message}}});
    let too_large = "Request too large for gpt-4o on tokens per min (TPM): Limit 1, Requested 30.";
    for (event, class) in [
        (failed("rate_limit_exceeded", too_large), FailureClass::RequestExceedsLimit),
        (failed("rate_limit_exceeded", "Rate limit reached. Please try again in 2s."), FailureClass::RateLimited),
        (failed("server_error", "An error occurred."), FailureClass::Server),
        (failed("server_is_overloaded", "x"), FailureClass::Overloaded),
        (
            failed("invalid_prompt", "Your prompt was flagged as violating our usage policy"),
            FailureClass::ContentPolicy,
        ),
        (failed("image_content_policy_violation", "x"), FailureClass::ContentPolicy),
        (failed("image_parse_error", "x"), FailureClass::BadRequest),
        (failed("failed_to_download_image", "x"), FailureClass::Unsupported),
        (failed("data_residency_mismatch", "x"), FailureClass::Forbidden),
        (failed("vector_store_timeout", "x"), FailureClass::Server),
        (failed("context_length_exceeded", "x"), FailureClass::ContextTooLong),
        (json!({"type": "response.failed"}), FailureClass::Server),
        (
            json!({"type": "error", "code": "rate_limit_exceeded", "message": too_large}),
            FailureClass::RequestExceedsLimit,
        ),
        (json!({"type": "error", "error": {"code": "insufficient_quota", "message": "x"}}), FailureClass::OutOfMoney),
        (json!({"error": {"message": "x", "code": 503}}), FailureClass::Overloaded),
        (json!({"type": "response.error", "error": {"message": "x", "code": 429}}), FailureClass::RateLimited),
    ] {
        let (pieces, ending) = stream(&[text("x"), event.clone(), completed()]);
        assert_eq!(ending.expect_err("a failure").class, class, "{event}");
        assert_eq!(pieces, [Piece::Text("x".to_owned())], "what came before is kept");
    }
    for (whole, class) in [
        (json!({"error": {"message": "x", "code": 429}}), FailureClass::RateLimited),
        (json!({"status": "failed", "error": {"code": "server_error", "message": "x"}}), FailureClass::Server),
        (json!({"detail": "Invalid API Key"}), FailureClass::Unauthorised),
        (json!([{"error": {"code": 503, "message": "x"}}]), FailureClass::Overloaded),
        (json!({"x": 1}), FailureClass::Empty),
    ] {
        assert_eq!(decode(&whole.to_string()).1.expect_err("a failure").class, class, "{whole}");
    }
}

#[test]
fn passes_over_what_it_does_not_know() {
    let events = [
        json!({"type": "response.queued", "response": {"status": "queued"}, "error": null}),
        json!({"type": "response.web_search_call.searching", "item_id": "ws_1"}),
        json!({"type": "response.audio.delta", "delta": "AAAA"}),
        json!({"type": "response.image_generation_call.partial_image", "partial_image_b64": "AAAA"}),
        json!({"type": "response.custom_tool_call_input.delta", "delta": "x"}),
        json!({"type": "response.mcp_call_arguments.delta", "delta": {"x": 1}}),
        json!({"type": "response.output_item.done", "item": {"type": "computer_call", "action": {}}}),
        json!({"type": "response.output_item.done", "item": 7}),
        json!({"type": "response.created", "response": []}),
        json!({"type": 7}),
        json!({}),
        text("x"),
        completed(),
    ];
    let (pieces, ending) = stream(&events);
    assert!(ending.is_ok(), "{ending:?}");
    assert_eq!(pieces, [Piece::Text("x".to_owned())]);
    let ping = format!(": keepalive\n\nevent: ping\ndata: pong\n\ndata:\n\ndata: {}\n\n", text("x"));
    assert_eq!(decode(&ping).0, [Piece::Text("x".to_owned())]);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>, kind in "[a-z_.]{0,40}", delta in ".{0,20}") {
        let events = [
            bytes,
            json!({"type": kind, "delta": delta, "item": {"type": delta}, "response": {"output": [delta]}}).to_string().into(),
            format!("data: {{\"type\":\"response.{kind}\",\"item\":{{\"type\":\"function_call\",\"arguments\":{delta:?}}}}}\n\n").into(),
        ];
        for bytes in events {
            let mut decoder = Decoder::new(Dialect::OpenAiResponses, true);
            let mut pieces = Vec::new();
            if decoder.push(b"data: ", &mut pieces).and_then(|_| decoder.push(&bytes, &mut pieces)).is_ok() {
                let _ = decoder.finish();
            }
        }
    }
}

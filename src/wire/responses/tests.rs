mod recorded;
mod replies;

use std::fmt::Write;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::wire::flavour::{Flavour, GENERIC};
use crate::wire::{Decoder, Ending};
use crate::words::{
    AssistantPart, ChatRequest, Dialect, Effort, Failure, FailureClass, Image, Json, Message, Note, Piece, Proof,
    Reasoning, ResponseFormat, Sampling, StopReason, TargetId, Text, Tool, ToolCall, ToolChoice, ToolResult, Usage,
    UserPart,
};

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

fn closed() -> Value {
    json!({"type": "object", "properties": {}, "additionalProperties": false})
}

fn weather() -> Tool {
    Tool {
        name: "weather".to_owned(),
        description: "Tells the weather.".into(),
        parameters: closed().into(),
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
        tools: vec![weather(), Tool { description: "".into(), strict: None, ..weather() }],
        tool_choice: ToolChoice::Named("weather".to_owned()),
        parallel_tool_calls: Some(false),
        response_format: ResponseFormat::JsonSchema {
            name: "answer".to_owned(),
            schema: closed().into(),
            strict: true,
        },
        sampling: Sampling { temperature: Some(0.5), top_p: Some(0.9), ..Sampling::default() },
        output_tokens_max: Some(100),
        extra: Json::from(json!({"store": true, "truncation": "auto"})).fields(),
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
                        "parameters": closed(), "strict": true},
                    {"type": "function", "name": "weather", "parameters": closed(), "strict": false},
                ],
                "tool_choice": {"type": "function", "name": "weather"},
                "parallel_tool_calls": false,
                "text": {"format":
                    {"type": "json_schema", "name": "answer", "schema": closed(), "strict": true}},
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
    let extra = Json::from(json!({"reasoning": {"summary": "auto"}})).fields();
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
fn notes_parts_that_the_dialect_cannot_express() {
    let request = ChatRequest {
        sampling: Sampling {
            temperature: Some(0.5),
            top_p: Some(0.9),
            presence_penalty: Some(-1.0),
            frequency_penalty: Some(1.0),
            seed: Some(7),
            stop: vec!["a".into()],
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
        // Without a known issuer the proof goes to any target of its dialect.
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
fn visible_reasoning_goes_back_to_a_target_that_takes_it() {
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

//! The order of conversations, in every dialect.

use serde_json::{Value, json};

use crate::wire::{Flavour, encode};
use crate::words::{AssistantPart, ChatRequest, Dialect, Image, Message, ToolCall, ToolResult, UserPart};

fn call(id: &str) -> ToolCall {
    ToolCall { id: id.to_owned(), name: "look".to_owned(), arguments: "{}".into(), proof: None }
}

fn calls(ids: &[&str]) -> Message {
    Message::Assistant(ids.iter().map(|id| AssistantPart::ToolCall(call(id))).collect())
}

/// A result that says a word and shows an image.
fn shows(id: &str, text: &str) -> Message {
    let image = Image::Base64 { media_type: "image/png".to_owned(), data: format!("{text}{text}").into() };
    let content = vec![UserPart::Text(text.into()), UserPart::Image(image)];
    Message::Tool(ToolResult { content, ..ToolResult::new(id, "look", "") })
}

fn body(dialect: Dialect, model: &str, request: &ChatRequest) -> Value {
    let generic = Flavour::named("generic").expect("a flavour");
    serde_json::from_slice(&encode(dialect, generic, request, model, false).expect("a body").body.whole())
        .expect("JSON")
}

/// The order of things, one word each: roles, kinds of parts and items.
fn shape(dialect: Dialect, body: &Value) -> Vec<String> {
    let kind = |part: &Value| {
        let keys = ["functionCall", "functionResponse", "inlineData", "text"];
        let key = keys.iter().find(|key| part.get(**key).is_some()).copied().unwrap_or_default();
        part["type"].as_str().unwrap_or(key).to_owned()
    };
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    match dialect {
        Dialect::OpenAiResponses => list(&body["input"])
            .iter()
            .map(|item| match list(&item["content"]).len() + list(&item["output"]).len() {
                0 => kind(item),
                parts => format!("{}+{parts}", kind(item)),
            })
            .collect(),
        Dialect::OpenAiChat | Dialect::Ollama => list(&body["messages"])
            .iter()
            .map(|message| {
                let images = list(&message["images"]).len();
                let shown = list(&message["content"]).iter().filter(|part| part["type"] == "image_url").count();
                let role = message["role"].as_str().unwrap_or_default();
                if images + shown > 0 { format!("{role}+{}", images + shown) } else { role.to_owned() }
            })
            .collect(),
        _ => list(body.get("messages").or(body.get("contents")).unwrap_or(&Value::Null))
            .iter()
            .map(|turn| {
                let parts = list(turn.get("content").or(turn.get("parts")).unwrap_or(&Value::Null));
                let within = parts.iter().map(|part| {
                    let inner = list(&part["content"]).len() + list(&part["functionResponse"]["parts"]).len();
                    if inner > 0 { format!("{}+{inner}", kind(part)) } else { kind(part) }
                });
                within.collect::<Vec<_>>().join(" ")
            })
            .collect(),
    }
}

#[test]
fn results_stand_behind_their_calls_and_what_they_show_behind_or_within_them() {
    let request = ChatRequest::new("r")
        .user("x")
        .message(calls(&["a", "b"]))
        .message(shows("b", "BB"))
        .user("and?")
        .message(shows("a", "AA"));
    for (dialect, model, expected) in [
        (Dialect::OpenAiChat, "m", &["user", "assistant", "tool", "tool", "user+2"][..]),
        (Dialect::Ollama, "m", &["user", "assistant", "tool", "tool", "user+2"]),
        (
            Dialect::OpenAiResponses,
            "m",
            &[
                "message",
                "function_call",
                "function_call",
                "function_call_output+2",
                "function_call_output+2",
                "message",
            ],
        ),
        (
            Dialect::AnthropicMessages,
            "claude-sonnet-4-5",
            &["text", "tool_use tool_use", "tool_result+2 tool_result+2 text"],
        ),
        (
            Dialect::Gemini,
            "gemini-3.8-flash",
            &["text", "functionCall functionCall", "functionResponse+1 functionResponse+1", "text"],
        ),
        (
            Dialect::Gemini,
            "gemini-2.5-flash",
            &[
                "text",
                "functionCall functionCall",
                "functionResponse functionResponse",
                "text inlineData text inlineData text",
            ],
        ),
    ] {
        let body = body(dialect, model, &request);
        assert_eq!(shape(dialect, &body), expected, "{dialect:?} {model}: {body}");
        let text = body.to_string();
        let at = |word: &str| text.find(word).expect(word);
        assert!(at("AAAA") < at("BBBB"), "{dialect:?}: in the order of the calls");
    }
}

#[test]
fn ids_come_once_and_results_follow_theirs() {
    let request = ["first", "second", "third"].iter().fold(ChatRequest::new("r").user("x"), |request, text| {
        request.message(calls(&["call_0"])).message(Message::Tool(ToolResult::new("call_0", "look", *text)))
    });
    let chat = body(Dialect::OpenAiChat, "m", &request);
    let mut ids: Vec<&Value> = Vec::new();
    for pair in chat["messages"].as_array().expect("messages")[1..].chunks(2) {
        let id = &pair[0]["tool_calls"][0]["id"];
        assert_eq!(&pair[1]["tool_call_id"], id);
        assert!(!ids.contains(&id), "{chat}");
        ids.push(id);
    }
    assert_eq!(ids.len(), 3);
}

#[test]
fn a_conversation_in_the_targets_dialect_keeps_its_order() {
    use crate::wire::serve::{CallerDialect, read};
    let orphan = json!({"role": "tool", "tool_call_id": "gone", "content": "x"});
    let call = json!({"role": "assistant", "content": "", "tool_calls": [
        {"id": "call_0", "type": "function", "function": {"name": "f", "arguments": "{}"}}]});
    let messages = json!([orphan, call, call, {"role": "user", "content": ""}]);
    let asked = json!({"model": "m", "messages": messages}).to_string();
    let request = *read(CallerDialect::OpenAiChat, None, false, &asked.into()).expect("a request").request;
    assert_eq!(body(Dialect::OpenAiChat, "m", &request)["messages"], messages);
    let moved = body(Dialect::AnthropicMessages, "claude-sonnet-4-5", &request);
    let expected = ["text", "tool_use tool_use", "tool_result tool_result"];
    assert_eq!(shape(Dialect::AnthropicMessages, &moved), expected, "{moved}");
}

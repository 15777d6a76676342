//! Requests that were recorded, read into words and written again: they must come out as they were.

use serde_json::{Map, Value, json};

use crate::wire::anthropic::encode;
use crate::wire::flavour::Flavour;
use crate::words::{
    AssistantPart, ChatRequest, Image, Message, Sampling, Tool, ToolCall, ToolChoice, ToolResult, UserPart,
};

fn text_of(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// Returns content as blocks, as it may be a text alone.
fn blocks(content: &Value) -> Vec<Value> {
    match content {
        Value::String(text) => vec![json!({"type": "text", "text": text})],
        content => content.as_array().expect("blocks").clone(),
    }
}

/// Brings a recorded body into the one of its equivalent forms that is written here.
fn normal(body: &Value) -> Value {
    let mut body = without(body);
    let fields = body.as_object_mut().expect("an object");
    fields.entry("stream").or_insert(false.into());
    if let Some(system) = fields.get_mut("system") {
        *system = blocks(system).into();
    }
    if fields.get("tool_choice") == Some(&json!({"type": "auto"})) {
        fields.remove("tool_choice");
    }
    for message in fields["messages"].as_array_mut().expect("messages") {
        message["content"] = blocks(&message["content"]).into();
        for block in message["content"].as_array_mut().expect("blocks") {
            if block["type"] == "tool_result" {
                let content: String = blocks(&block["content"]).iter().map(|block| text_of(&block["text"])).collect();
                block["content"] = content.into();
            }
        }
    }
    body
}

/// Leaves out fields without meaning, and fields that callers add themselves.
fn without(value: &Value) -> Value {
    let says_nothing = |key: &str, value: &Value| {
        matches!(key, "cache_control")
            || matches!(key, "is_error" | "strict" | "disable_parallel_tool_use") && value == false
            || key == "description" && value == ""
    };
    match value {
        Value::Object(object) => {
            let kept = object.iter().filter(|(key, value)| !says_nothing(key, value));
            kept.map(|(key, value)| (key.clone(), without(value))).collect::<Map<_, _>>().into()
        }
        Value::Array(items) => items.iter().map(without).collect(),
        other => other.clone(),
    }
}

fn image(source: &Value) -> Image {
    match &source["url"] {
        Value::String(url) => Image::Url(url.into()),
        _ => Image::Base64 { media_type: text_of(&source["media_type"]), data: text_of(&source["data"]).into() },
    }
}

fn messages(turn: &Value) -> Vec<Message> {
    let blocks = blocks(&turn["content"]);
    if turn["role"] == "assistant" {
        let parts = blocks.iter().map(|block| match &block["id"] {
            Value::String(id) => AssistantPart::ToolCall(ToolCall {
                id: id.clone(),
                name: text_of(&block["name"]),
                arguments: block["input"].to_string().into(),
                proof: None,
            }),
            _ => AssistantPart::Text(text_of(&block["text"]).into()),
        });
        return vec![Message::Assistant(parts.collect())];
    }
    let message = |block: &Value| match block["type"].as_str().expect("a type") {
        "tool_result" => Message::Tool(ToolResult {
            call_id: text_of(&block["tool_use_id"]),
            name: String::new(),
            content: vec![text_of(&block["content"]).into()],
            is_error: block["is_error"] == true,
        }),
        "image" => Message::User(vec![UserPart::Image(image(&block["source"]))]),
        _ => Message::user(text_of(&block["text"])),
    };
    blocks.iter().map(message).collect()
}

/// Reads a recorded body into a caller's words. Parts that the common form cannot express go into the extra fields.
fn request_of(body: &Value) -> ChatRequest {
    let mut extra = body.as_object().expect("an object").clone();
    let mut take = |key: &str| extra.remove(key).unwrap_or_default();
    let system = take("system");
    let system = system.as_array().into_iter().flatten().map(|block| Message::System(text_of(&block["text"]).into()));
    let conversation = take("messages");
    let conversation = conversation.as_array().expect("messages").iter().flat_map(messages);
    let tools = take("tools");
    let tools = tools.as_array().into_iter().flatten().map(|tool| Tool {
        name: text_of(&tool["name"]),
        description: tool["description"].as_str().unwrap_or_default().into(),
        parameters: tool["input_schema"].clone().into(),
        strict: tool["strict"].as_bool(),
    });
    let choice = take("tool_choice");
    let stop = take("stop_sequences");
    ChatRequest {
        messages: system.chain(conversation).collect(),
        tools: tools.collect(),
        tool_choice: match choice["type"].as_str() {
            Some("any") => ToolChoice::Required,
            Some("tool") => ToolChoice::Named(text_of(&choice["name"])),
            Some("none") => ToolChoice::None,
            _ => ToolChoice::Auto,
        },
        parallel_tool_calls: choice["disable_parallel_tool_use"].as_bool().map(|disabled| !disabled),
        sampling: Sampling {
            temperature: take("temperature").as_f64(),
            top_p: take("top_p").as_f64(),
            stop: stop.as_array().into_iter().flatten().map(|stop| text_of(stop).into()).collect(),
            ..Sampling::default()
        },
        output_tokens_max: take("max_tokens").as_u64().and_then(|tokens| u32::try_from(tokens).ok()),
        extra: extra.into_iter().map(|(name, value)| (name, value.into())).collect(),
        ..ChatRequest::default()
    }
}

#[test]
fn recorded_requests_are_written_as_they_were() {
    let mut compared = 0;
    for case in crate::wire::tests::cases() {
        let Some(body) = case["request"]["body"].as_str().filter(|_| case["api"] == "anthropic-messages") else {
            continue;
        };
        let Ok(body) = serde_json::from_str::<Value>(body) else { continue };
        // The provider's own tools have no schema, and are no tools of the caller's.
        let own = |tool: &Value| tool.get("input_schema").is_none();
        let refused = case["response"]["status"] != 200;
        if refused || body["tools"].as_array().is_some_and(|tools| tools.iter().any(own)) {
            continue;
        }
        let name = case["case"].as_str().expect("a name");
        let body = normal(&body);
        // Vertex has the model in the address, and the version in the body, which is then ours to write.
        let path = case["request"]["path"].as_str().unwrap_or_default();
        let named = path.split_once("/models/").and_then(|(_, rest)| rest.split_once(':'));
        let (model, flavour) = match &body["model"] {
            Value::String(model) => (model.as_str(), "generic"),
            _ => (named.expect(path).0, "vertex-anthropic"),
        };
        let mut request = request_of(&body);
        request.extra.remove("anthropic_version");
        let flavour = Flavour::named(flavour).expect(flavour);
        let encoded = encode(flavour, &request, model.into(), body["stream"] == true).expect(name);
        let found: Value = serde_json::from_slice(&encoded.body.whole()).expect("JSON");
        assert_eq!(found, body, "{name}");
        let bare = path.split('?').next().unwrap_or_default();
        assert!(bare.is_empty() || bare.ends_with(&*encoded.path), "{name}: {path} and {}", encoded.path);
        assert_eq!(encoded.headers.contains_key("anthropic-version"), flavour.name == "generic", "{name}");
        assert_eq!(encoded.notes, [], "{name}");
        compared += 1;
    }
    println!("{compared} requests compared");
}

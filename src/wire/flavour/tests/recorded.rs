//! Recorded requests, encoded anew from what they say.

use super::*;

/// Turns a recorded message into one of ours.
fn word(message: &Value) -> Message {
    let text = |message: &Value| match &message["content"] {
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        content => content.as_str().unwrap_or_default().to_owned(),
    };
    match message["role"].as_str().expect("a role") {
        "system" | "developer" => Message::System(text(message).into()),
        "tool" => Message::Tool(ToolResult {
            call_id: message["tool_call_id"].as_str().expect("an id").to_owned(),
            name: String::new(),
            content: vec![text(message).into()],
            is_error: false,
        }),
        "assistant" => {
            let said = Some(text(message)).filter(|text| !text.is_empty()).map(|text| AssistantPart::Text(text.into()));
            let calls = message["tool_calls"].as_array().into_iter().flatten().map(|call| {
                AssistantPart::ToolCall(ToolCall {
                    id: call["id"].as_str().expect("an id").to_owned(),
                    name: call["function"]["name"].as_str().expect("a name").to_owned(),
                    arguments: call["function"]["arguments"].as_str().expect("arguments").into(),
                    proof: None,
                })
            });
            Message::Assistant(said.into_iter().chain(calls).collect())
        }
        _ => Message::User(match &message["content"] {
            Value::Array(parts) => parts.iter().map(part).collect(),
            _ => vec![UserPart::Text(text(message).into())],
        }),
    }
}

fn part(part: &Value) -> UserPart {
    match part["image_url"]["url"].as_str() {
        Some(url) => UserPart::Image(Image::Url(url.into())),
        None => UserPart::Text(part["text"].as_str().expect("a text").into()),
    }
}

/// Tells whether the common form can express all that a recorded body holds.
fn has_words(recorded: &Value) -> bool {
    let known = |part: &Value| part["text"].is_string() || part["image_url"]["url"].is_string();
    let parts = |message: &Value| message["content"].as_array().is_none_or(|parts| parts.iter().all(known));
    let is_shown = |message: &Value| message["role"] != "tool" || message["content"].is_string();
    recorded["messages"].as_array().is_some_and(|messages| messages.iter().all(|m| parts(m) && is_shown(m)))
        && recorded["reasoning_effort"].as_str().is_none_or(|word| PLAIN.contains(&word))
        && recorded["tools"].as_array().is_none_or(|tools| tools.iter().all(|tool| tool["type"] == "function"))
}

/// Turns a recorded body into one of our requests; fields without a common form go into the extra fields.
fn request(recorded: &Value) -> ChatRequest {
    let float = |field: &str| recorded[field].as_f64();
    let integer = |field: &str| recorded[field].as_i64();
    let tools = recorded["tools"].as_array().into_iter().flatten().map(|tool| {
        let function = &tool["function"];
        Tool {
            name: function["name"].as_str().expect("a name").to_owned(),
            description: function["description"].as_str().unwrap_or_default().into(),
            parameters: function["parameters"].clone().into(),
            strict: function["strict"].as_bool(),
        }
    });
    let choice = &recorded["tool_choice"];
    let format = &recorded["response_format"];
    let known = [
        "model",
        "messages",
        "stream",
        "stream_options",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "temperature",
        "response_format",
        "top_p",
        "presence_penalty",
        "frequency_penalty",
        "seed",
        "random_seed",
        "max_tokens",
        "max_completion_tokens",
        "reasoning_effort",
    ];
    let extra = recorded.as_object().expect("an object").iter().filter(|(key, _)| !known.contains(&key.as_str()));
    ChatRequest {
        messages: recorded["messages"].as_array().expect("messages").iter().map(word).collect(),
        tools: tools.collect(),
        tool_choice: match choice.as_str() {
            Some("any" | "required") => ToolChoice::Required,
            Some("none") => ToolChoice::None,
            _ => {
                choice["function"]["name"].as_str().map_or(ToolChoice::Auto, |name| ToolChoice::Named(name.to_owned()))
            }
        },
        parallel_tool_calls: recorded["parallel_tool_calls"].as_bool(),
        response_format: match format["type"].as_str() {
            Some("json_schema") => ResponseFormat::JsonSchema {
                name: format["json_schema"]["name"].as_str().unwrap_or_default().to_owned(),
                schema: format["json_schema"]["schema"].clone().into(),
                strict: format["json_schema"]["strict"] == true,
            },
            Some("json_object") => ResponseFormat::Json,
            _ => ResponseFormat::Text,
        },
        sampling: Sampling {
            temperature: float("temperature"),
            top_p: float("top_p"),
            presence_penalty: float("presence_penalty"),
            frequency_penalty: float("frequency_penalty"),
            seed: integer("seed").or(integer("random_seed")),
            stop: vec![],
        },
        effort: recorded["reasoning_effort"].as_str().map(|word| match word {
            "minimal" => Effort::Minimal,
            "low" => Effort::Low,
            "medium" => Effort::Medium,
            _ => Effort::High,
        }),
        output_tokens_max: integer("max_tokens")
            .or(integer("max_completion_tokens"))
            .map(|max| max.try_into().expect("small")),
        extra: extra.map(|(key, value)| (key.clone(), value.into())).collect(),
        ..ChatRequest::new("r")
    }
}

/// Makes bodies comparable where they say the same in several ways.
fn plain(mut body: Value) -> Value {
    let object = body.as_object_mut().expect("an object");
    object.entry("stream").or_insert(false.into());
    let says_nothing = |field: &str, value: &Value| match field {
        "tool_choice" => value == "auto",
        "response_format" => value["type"] == "text",
        field => field == "stream_options",
    };
    object.retain(|field, value| !says_nothing(field, value));
    for number in object.values_mut().filter(|value| value.is_number()) {
        *number = number.as_f64().into();
    }
    if let Some(schema) = object.get_mut("response_format").and_then(|format| format["json_schema"].as_object_mut()) {
        schema.retain(|_, value| *value != json!("") && *value != json!(false));
    }
    if let Some(max) = object.remove("max_completion_tokens") {
        object.insert("max_tokens".to_owned(), max);
    }
    for message in object["messages"].as_array_mut().expect("messages") {
        let message = message.as_object_mut().expect("a message");
        message.retain(|field, value| {
            !value.is_null()
                && *value != json!("")
                && *value != json!([])
                && *value != json!(false)
                && field != "name"
                && !field.starts_with("reasoning")
        });
        for call in message.get_mut("tool_calls").and_then(Value::as_array_mut).into_iter().flatten() {
            call.as_object_mut().expect("a call").remove("index");
        }
        if message["role"] == "developer" {
            message.insert("role".to_owned(), "system".into());
        }
        if let Some([only]) = message.get("content").and_then(Value::as_array).map(Vec::as_slice)
            && only["type"] == "text"
        {
            let text = only["text"].clone();
            message.insert("content".to_owned(), text);
        }
    }
    // A message that says nothing and calls nothing is left out.
    let says = |message: &Value| message.as_object().is_some_and(|message| message.len() > 1);
    object["messages"].as_array_mut().expect("messages").retain(says);
    for tool in object.get_mut("tools").and_then(Value::as_array_mut).into_iter().flatten() {
        tool["function"].as_object_mut().expect("a function").retain(|_, value| *value != json!(""));
    }
    body
}

#[test]
fn bodies_have_the_shape_of_what_providers_were_recorded_to_accept() {
    let (mut compared, mut different) = (0, Vec::new());
    for case in crate::wire::tests::cases().iter().filter(|case| case["api"] == "chat-completions") {
        let provider = case["provider"].as_str().expect("a provider");
        let recorded = match &case["request"]["body"] {
            Value::String(text) => serde_json::from_str(text).unwrap_or_default(),
            body => body.clone(),
        };
        let Some(flavour) = Flavour::named(provider).filter(|_| case["kind"] == "ok" && has_words(&recorded)) else {
            continue;
        };
        let model = recorded["model"].as_str().unwrap_or_default();
        let streaming = recorded["stream"] == true;
        let Ok(encoded) = encode(Dialect::OpenAiChat, flavour, &request(&recorded), &target(model), streaming) else {
            continue;
        };
        // Parts that are not sent are in the notes: then the bodies differ.
        let found = plain(serde_json::from_slice(&encoded.body.whole()).expect("JSON"));
        compared += 1;
        if encoded.notes.is_empty() && found != plain(recorded.clone()) {
            different.push(format!("{}:\n{found}\n{}", case["case"], plain(recorded)));
        }
    }
    println!("{compared} recorded bodies");
    assert!(different.is_empty(), "{}", different.join("\n"));
}

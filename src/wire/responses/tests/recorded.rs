//! Recorded requests, encoded anew from what they say.

use super::*;

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
            description: tool["description"].as_str().expect("a text").into(),
            parameters: tool["parameters"].clone().into(),
            strict: tool["strict"].as_bool(),
        }
    };
    let weather = |id: &str, arguments: &str| ToolCall {
        id: id.to_owned(),
        name: "weather".to_owned(),
        arguments: arguments.into(),
        proof: None,
    };
    let extra = |extra: Value| Json::from(extra).fields();
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
                schema: recorded["text"]["format"]["schema"].clone().into(),
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
    let cases = crate::wire::tests::recordings();
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

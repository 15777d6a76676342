//! Recorded bodies of other clients, compared with this codec's body for the same conversation.

use super::*;

/// Returns a recorded request's body; `None` where the recordings are not there.
fn recorded(provider: &str, case: &str) -> Option<Value> {
    let path = format!(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/corpus/open/{}.jsonl"), provider);
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("skipped: no recordings at {path}");
        return None;
    };
    let line = text.lines().find(|line| line.contains(&format!("__{case}\""))).expect("the case");
    let case: Value = serde_json::from_str(line).expect("JSON");
    let body = &case["request"]["body"];
    Some(body.as_str().map_or_else(|| body.clone(), |text| serde_json::from_str(text).expect("JSON")))
}

#[test]
fn a_recorded_conversation_with_a_signed_call_is_written_the_same() {
    for (provider, case, dialect) in [("gemini", "12aa4fa4", GEMINI), ("vertex", "70815647", Dialect::Vertex)] {
        let Some(body) = recorded(provider, case) else { return };
        let parts = |turn: usize| &body["contents"][turn]["parts"][0];
        let function = &parts(1)["functionCall"];
        let made = ToolCall {
            id: String::new(),
            name: "weather".to_owned(),
            arguments: function["args"].to_string().into(),
            proof: Some(proof(dialect, parts(1)["thoughtSignature"].as_str().expect("a proof"))),
        };
        let content = parts(2)["functionResponse"]["response"].to_string();
        let answer = ToolResult::new("unknown", &made.name, content);
        let request = ChatRequest {
            effort: Some(Effort::Low),
            extra: Json::from(json!({"generationConfig": {"thinkingConfig": {"includeThoughts": true}}})).fields(),
            ..ChatRequest::new("r")
                .user(parts(0)["text"].as_str().expect("a text"))
                .message(calls(&[made]))
                .message(Message::Tool(answer))
        };
        let (mut ours, notes) = written(dialect, &request, "gemini-3.1-pro-preview");
        if let Some(answer) = ours["contents"][2]["parts"][0]["functionResponse"].as_object_mut() {
            answer.remove("id");
        }
        assert_eq!(ours["contents"], body["contents"]);
        assert_eq!(ours["generationConfig"], body["generationConfig"]);
        assert_eq!(notes, []);
    }
}

#[test]
fn recorded_settings_are_written_the_same() {
    let Some(body) = recorded("vertex", "06c83b1c") else { return };
    let schema = body["generationConfig"]["responseJsonSchema"].clone();
    let request = ChatRequest {
        response_format: ResponseFormat::JsonSchema { name: "person".to_owned(), schema: schema.into(), strict: true },
        ..ChatRequest::new("r").user("Generate a person named Alice who is 28 years old")
    };
    assert_eq!(written(Dialect::Vertex, &request, "gemini-3-flash-preview").0, body);

    let body = recorded("gemini", "b75936a5").expect("as before");
    let sampling = Sampling { stop: vec!["END".into(), "\n\n".into()], ..Sampling::default() };
    let request = ChatRequest {
        sampling,
        output_tokens_max: Some(500),
        ..ChatRequest::new("r").user("Write a short story about a robot.")
    };
    assert_eq!(written(GEMINI, &request, "gemini-2.0-flash-001").0, body);
}

use serde_json::{Value, json};

use crate::wire::{Decoder, Ending, authorize, flavour::Flavour};
use crate::words::{
    AssistantPart, ChatRequest, Dialect, Effort, Failure, FailureClass, Image, Json, Message, Note, Piece, Proof,
    Reasoning, ResponseFormat, Sampling, Secret, StopReason, Tool, ToolCall, ToolChoice, ToolResult, Usage, UserPart,
};

// Requests.

fn encoded(request: &ChatRequest, model: &str) -> (Value, Vec<Note>) {
    let encoded = super::encode(request, model.into(), true).expect("a good request");
    assert_eq!(encoded.path, "/api/chat");
    (serde_json::from_slice(&encoded.body.whole()).expect("JSON"), encoded.notes)
}

fn tool(name: &str) -> Tool {
    Tool { name: name.into(), description: "Does.".into(), parameters: json!({"type": "object"}).into(), strict: None }
}

#[test]
fn writes_the_smallest_request() {
    let (body, notes) = encoded(&ChatRequest::new("r").user("Hi"), "qwen3");
    let expected = json!({"model": "qwen3", "messages": [{"role": "user", "content": "Hi"}], "stream": true});
    assert_eq!((body, notes), (expected, vec![]));
}

#[test]
fn writes_a_conversation_with_images_thoughts_calls_and_results() {
    let call = ToolCall { id: "c1".into(), name: "f".into(), arguments: "{\"a\": 1}".into(), proof: None };
    let request = ChatRequest::new("r")
        .system("Be brief.")
        .message(Message::User(vec![
            UserPart::Text("Look".into()),
            UserPart::Image(Image::Base64 { media_type: "image/png".into(), data: "AAAA".into() }),
            UserPart::Text("here".into()),
            UserPart::Image(Image::Url("data:image/png;base64,BBBB".into())),
        ]))
        .message(Message::Assistant(vec![
            AssistantPart::Reasoning("Hm".to_owned().into()),
            AssistantPart::Text("Let ".into()),
            AssistantPart::Text("me.".into()),
            AssistantPart::ToolCall(call.clone()),
        ]))
        .message(Message::tool_result(&call, "2"));
    let (body, notes) = encoded(&request, "m");
    assert_eq!(
        body["messages"],
        json!([
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Look\nhere", "images": ["AAAA", "BBBB"]},
            {"role": "assistant", "content": "Let me.", "thinking": "Hm",
                "tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": {"a": 1}}}]},
            {"role": "tool", "content": "2", "tool_name": "f", "tool_call_id": "c1"},
        ])
    );
    assert_eq!(notes, []);
}

#[test]
fn writes_what_the_model_runs_with_beside_the_callers_own_options() {
    let request = ChatRequest {
        sampling: Sampling { temperature: Some(0.5), seed: Some(7), stop: vec!["x".into()], ..Sampling::default() },
        output_tokens_max: Some(99),
        extra: Json::from(json!({"keep_alive": "5m", "options": {"num_ctx": 8192, "seed": 1}})).fields(),
        response_format: ResponseFormat::Json,
        ..ChatRequest::new("r").user("Hi")
    };
    let (body, notes) = encoded(&request, "m");
    let options = json!({"num_ctx": 8192, "temperature": 0.5, "seed": 7, "stop": ["x"], "num_predict": 99});
    assert_eq!((&body["options"], &body["keep_alive"], &body["format"]), (&options, &json!("5m"), &json!("json")));
    assert_eq!(notes, []);
    let schema = json!({"type": "object"});
    let form = ResponseFormat::JsonSchema { name: "s".into(), schema: schema.clone().into(), strict: true };
    assert_eq!(encoded(&ChatRequest { response_format: form, ..request }, "m").0["format"], schema);
}

#[test]
fn an_effort_is_a_grade_where_the_model_knows_grades() {
    let converted = vec![Note::Converted("effort")];
    for (model, effort, think, notes) in [
        ("gpt-oss:20b", Effort::High, json!("high"), vec![]),
        ("gpt-oss:20b", Effort::Minimal, json!("low"), converted.clone()),
        ("gpt-oss:20b", Effort::Max, json!("high"), converted.clone()),
        ("hf.co/x/qwen3", Effort::None, json!(false), vec![]),
        ("hf.co/x/qwen3", Effort::Minimal, json!(false), converted.clone()),
        ("qwen3", Effort::Low, json!(true), converted),
    ] {
        let request = ChatRequest { effort: Some(effort), ..ChatRequest::new("r").user("Hi") };
        let (body, found) = encoded(&request, model);
        assert_eq!((&body["think"], found), (&think, notes), "{model} {effort:?}");
    }
}

#[test]
fn no_tool_can_be_forced_and_one_that_is_named_is_the_only_one() {
    for (choice, tools, notes) in [
        (ToolChoice::Auto, vec!["f", "g"], vec![]),
        (ToolChoice::None, vec![], vec![Note::Converted("tool_choice")]),
        (ToolChoice::Required, vec!["f", "g"], vec![Note::Dropped("tool_choice")]),
        (ToolChoice::Named("g".into()), vec!["g"], vec![Note::Converted("tool_choice")]),
    ] {
        let request =
            ChatRequest { tool_choice: choice, ..ChatRequest::new("r").user("Hi").tool(tool("f")).tool(tool("g")) };
        let (body, found) = encoded(&request, "m");
        let names = body["tools"].as_array().into_iter().flatten().filter_map(|tool| tool["function"]["name"].as_str());
        assert_eq!((names.collect::<Vec<_>>(), found), (tools, notes));
    }
}

#[test]
fn parts_that_cannot_be_sent_are_noted_or_refused() {
    let proof = Some(Proof::new(Dialect::Gemini, "p"));
    let call = ToolCall { id: "c".into(), name: "f".into(), proof: proof.clone(), ..ToolCall::default() };
    let failed = ToolResult { is_error: true, ..ToolResult::new("c", "", "no") };
    let request = ChatRequest {
        parallel_tool_calls: Some(false),
        ..ChatRequest::new("r")
            .message(Message::Assistant(vec![
                AssistantPart::Reasoning(Reasoning { text: "Hm".into(), proof }),
                AssistantPart::ToolCall(call),
            ]))
            .message(Message::Tool(failed))
    };
    let dropped = ["messages.reasoning", "messages.tool_call.proof", "messages.is_error", "parallel_tool_calls"];
    assert_eq!(encoded(&request, "m").1, dropped.map(Note::Dropped));
    let image = Message::User(vec![UserPart::Image(Image::Url("https://x.dev/a.png".into()))]);
    let failure = super::encode(&ChatRequest::new("r").message(image), "m".into(), true).expect_err("cannot go");
    assert_eq!(failure.class, FailureClass::Unsupported);
}

#[test]
fn a_key_is_a_bearer_token() {
    let mut headers = http::HeaderMap::new();
    let flavour = Flavour::named("ollama").expect("a known name");
    authorize(Dialect::Ollama, flavour, &Secret::new("k"), &mut headers).expect("a good key");
    assert_eq!(headers["authorization"], "Bearer k");
}

// Replies.

fn decode(body: &str) -> (Vec<Piece>, Result<Ending, Failure>) {
    let mut decoder = Decoder::new(Dialect::Ollama, false);
    let mut pieces = Vec::new();
    let ending = decoder.push(body.as_bytes(), &mut pieces).and_then(|_| decoder.finish());
    (pieces, ending)
}

const DONE: &str = r#"{"model":"m","created_at":"t","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","prompt_eval_count":9,"eval_count":4}"#;

#[test]
fn reads_thoughts_text_and_calls_of_a_stream() {
    let body = [
        r#"{"model":"m","created_at":"t","message":{"role":"assistant","content":"","thinking":"H"},"done":false}"#,
        r#"{"model":"m","created_at":"t","message":{"role":"assistant","content":"","thinking":"m"},"done":false}"#,
        r#"{"model":"m","created_at":"t","message":{"content":"Let } \" { me."},"done":false}"#,
        r#"{"model":"m","created_at":"t","message":{"content":"","tool_calls":[{"function":{"name":"f","arguments":{"a":1}}}]},"done":false}"#,
        r#"{"model":"m","created_at":"t","message":{"content":"","tool_calls":[{"id":"own","function":{"index":0,"name":"f","arguments":null}}]},"done":false}"#,
        DONE,
    ]
    .join("\n");
    let (pieces, ending) = decode(&body);
    assert_eq!(pieces, [Piece::Reasoning("Hm".into()), Piece::Text("Let } \" { me.".into())]);
    let ending = ending.expect("a whole answer");
    let calls: Vec<_> = ending.tool_calls().map(|call| (&*call.name, &*call.arguments)).collect();
    assert_eq!(calls, [("f", "{\"a\":1}"), ("f", "{}")]);
    let ids: Vec<_> = ending.tool_calls().map(|call| &*call.id).collect();
    assert!(ids[0].starts_with("call_") && ids[1] == "own", "{ids:?}");
    assert_eq!((ending.stop, ending.model.as_deref()), (StopReason::ToolCalls, Some("m")));
    assert_eq!(ending.usage, Some(Usage { input: 9, output: 4, ..Usage::default() }));
}

#[test]
fn reads_a_whole_reply_and_a_mere_completion() {
    for body in [
        r#"{"model":"m","message":{"role":"assistant","content":"Hi"},"done_reason":"length","done":true}"#,
        r#"{"model":"m","response":"Hi","done_reason":"length","done":true,"context":[1,2]}"#,
        "{\"model\":\"m\",\"response\":\"H\",\"done\":false}\r\n{\"response\":\"i\",\"done\":true,\"done_reason\":\"length\"}\n",
    ] {
        let (pieces, ending) = decode(body);
        assert_eq!(pieces, [Piece::Text("Hi".into())], "{body}");
        assert_eq!(ending.expect(body).stop, StopReason::Length, "{body}");
    }
}

#[test]
fn an_answer_without_its_last_line_is_cut_and_one_with_an_error_is_that() {
    let said = r#"{"model":"m","message":{"content":"Hi"},"done":false}"#;
    for (end, class) in [
        ("", FailureClass::Cut),
        ("\n{\"model\":\"m\",\"mess", FailureClass::Cut),
        ("\nnonsense}", FailureClass::Cut),
        ("\n{\"error\":\"model runner has unexpectedly stopped\"}", FailureClass::Server),
        ("\n{\"error\":\"server busy, please try again\"}", FailureClass::Overloaded),
    ] {
        let (pieces, ending) = decode(&format!("{said}{end}"));
        assert_eq!(pieces, [Piece::Text("Hi".into())], "{end}");
        assert_eq!(ending.expect_err(end).class, class, "{end}");
    }
    assert_eq!(decode(DONE).1.expect_err("nothing was said").class, FailureClass::Empty);
    assert_eq!(decode("{\"models\":[]}").1.expect_err("no answer").class, FailureClass::Cut);
}

#[test]
fn nothing_counts_after_the_last_line() {
    let body =
        format!("{}\n{DONE}\n{}", r#"{"response":"Hi"}"#.replace('}', ",\"done\":false}"), "{\"response\":\"more\"}");
    assert_eq!(decode(&body).0, [Piece::Text("Hi".into())]);
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_taken(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let _ = decode(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_json_in_the_place_of_any_field_is_taken(
        field in proptest::sample::select(&[
            "/model", "/created_at", "/message", "/message/content", "/message/thinking", "/message/tool_calls",
            "/message/tool_calls/0", "/message/tool_calls/0/function", "/message/tool_calls/0/function/arguments",
            "/done", "/done_reason", "/eval_count",
        ][..]),
        value in proptest::sample::select(&["null", "true", "-1", "1e99", "\"\"", "\"x\"", "[]", "{}", "[[]]",
            "[{}]"][..]),
    ) {
        let mut line = json!({
            "model": "m", "created_at": "t", "done": true, "done_reason": "stop", "eval_count": 1,
            "message": {"content": "a", "thinking": "b", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]},
        });
        *line.pointer_mut(field).expect("a field") = serde_json::from_str(value).expect("JSON");
        let _ = decode(&line.to_string());
    }
}

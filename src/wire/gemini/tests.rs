use http::HeaderMap;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::family::Family;
use super::*;
use crate::wire::flavour::GENERIC;
use crate::wire::{self, Decoder, Ending};
use crate::words::{
    AssistantPart, ChatRequest, Dialect, Effort, FailureClass, Image, Message, Note, Piece, Proof, Reasoning,
    ResponseFormat, Sampling, StopReason, Tool, ToolCall, ToolChoice, ToolResult, Usage, UserPart,
};

const GEMINI: Dialect = Dialect::Gemini;
/// A model that takes everything, without flavour.
const MODEL: &str = "gemini-2.5-flash";

// Requests.

fn written(dialect: Dialect, request: &ChatRequest, model: &str) -> (Value, Vec<Note>) {
    let encoded = encode(dialect, request, model.into(), true).expect("a good request");
    (serde_json::from_slice(&encoded.body.whole()).expect("JSON"), encoded.notes)
}

fn body(request: &ChatRequest) -> Value {
    written(GEMINI, request, MODEL).0
}

fn config(request: &ChatRequest, model: &str) -> (Value, Vec<Note>) {
    let (mut body, notes) = written(GEMINI, request, model);
    (body["generationConfig"].take(), notes)
}

fn hi() -> ChatRequest {
    ChatRequest::new("r").user("Hi")
}

fn weather() -> Tool {
    Tool {
        name: "weather".to_owned(),
        description: "Tells the weather.".to_owned(),
        parameters: json!({"type": "object", "properties": {"city": {"type": ["string", "null"]}}}),
        strict: None,
    }
}

fn call(id: &str, name: &str) -> ToolCall {
    ToolCall { id: id.to_owned(), name: name.to_owned(), arguments: "{\"a\": 1}".into(), proof: None }
}

fn proof(dialect: Dialect, data: &str) -> Proof {
    Proof::new(dialect, data)
}

fn calls(calls: &[ToolCall]) -> Message {
    Message::Assistant(calls.iter().cloned().map(AssistantPart::ToolCall).collect())
}

fn reasoning(text: &str, proof: Option<Proof>) -> AssistantPart {
    AssistantPart::Reasoning(Reasoning { text: text.into(), proof })
}

fn result(call: &ToolCall, content: &str) -> Message {
    Message::tool_result(call, content)
}

fn text(text: &str) -> AssistantPart {
    AssistantPart::Text(text.into())
}

#[test]
fn writes_the_smallest_request() {
    assert_eq!(body(&hi()), json!({"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}));
    for (model, streaming, path, accept) in [
        (MODEL, true, "/models/gemini-2.5-flash:streamGenerateContent?alt=sse", "text/event-stream"),
        (MODEL, false, "/models/gemini-2.5-flash:generateContent", "application/json"),
        ("tunedModels/mine", false, "/tunedModels/mine:generateContent", "application/json"),
    ] {
        let encoded = encode(GEMINI, &hi(), model.into(), streaming).expect("a good request");
        assert_eq!(encoded.path, path);
        assert_eq!(
            (&encoded.headers[CONTENT_TYPE], &encoded.headers[ACCEPT]),
            (&"application/json".parse().unwrap(), &accept.parse().unwrap())
        );
        assert_eq!(encoded.notes, []);
    }
    for model in ["", "a b", "a?b", "a#b", "ä"] {
        assert_eq!(encode(GEMINI, &hi(), model.into(), true).expect_err(model).class, FailureClass::ModelGone);
    }
}

#[test]
fn writes_every_field() {
    let request = ChatRequest {
        tools: vec![weather(), Tool { description: String::new(), parameters: Value::Null, ..weather() }],
        tool_choice: ToolChoice::Named("weather".to_owned()),
        response_format: ResponseFormat::JsonSchema {
            name: "answer".to_owned(),
            schema: json!({"type": "object", "additionalProperties": false}),
            strict: true,
        },
        sampling: Sampling {
            temperature: Some(0.5),
            top_p: Some(0.9),
            seed: Some(-7),
            stop: vec!["a".to_owned(), "b".to_owned()],
            ..Sampling::default()
        },
        effort: Some(Effort::Low),
        output_tokens_max: Some(100),
        session: Some("never sent".to_owned()),
        ..ChatRequest::new("smart").system("Be brief.\n\"Quote\".").system("Be kind.").user("Weather?")
    };
    let (body, notes) = written(GEMINI, &request, "gemini-3-flash-preview");
    assert_eq!(
        body,
        json!({
            "systemInstruction": {"parts": [{"text": "Be brief.\n\"Quote\"."}, {"text": "Be kind."}]},
            "contents": [{"role": "user", "parts": [{"text": "Weather?"}]}],
            "tools": [{"functionDeclarations": [
                {"name": "weather", "description": "Tells the weather.", "parametersJsonSchema":
                    {"type": "object", "properties": {"city": {"type": ["string", "null"]}}}},
                {"name": "weather"},
            ]}],
            "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["weather"]}},
            "generationConfig": {
                "temperature": 0.5, "topP": 0.9, "seed": -7, "stopSequences": ["a", "b"], "maxOutputTokens": 100,
                "responseMimeType": "application/json",
                "responseJsonSchema": {"type": "object", "additionalProperties": false},
                "thinkingConfig": {"thinkingLevel": "low"},
            },
        })
    );
    assert_eq!(notes, []);
}

#[test]
fn writes_every_choice_of_tools_and_only_beside_tools() {
    for (choice, mode) in [
        (ToolChoice::Auto, Value::Null),
        (ToolChoice::None, json!({"mode": "NONE"})),
        (ToolChoice::Required, json!({"mode": "ANY"})),
    ] {
        let request = ChatRequest { tool_choice: choice, ..hi().tool(weather()) };
        assert_eq!(body(&request)["toolConfig"]["functionCallingConfig"], mode);
    }
    let request = ChatRequest { tool_choice: ToolChoice::None, parallel_tool_calls: Some(false), ..hi() };
    let (body, notes) = written(GEMINI, &request, MODEL);
    assert_eq!((&body["toolConfig"], &*notes), (&Value::Null, &[][..]));
    let tool = Tool { strict: Some(true), ..weather() };
    let request = ChatRequest { parallel_tool_calls: Some(false), ..hi().tool(tool.clone()).tool(tool) };
    let expected = [Note::Dropped("tools.strict"), Note::Dropped("parallel_tool_calls")];
    assert_eq!(written(GEMINI, &request, MODEL).1, expected);
}

#[test]
fn sets_how_hard_to_think_by_the_model() {
    use Effort::{High, Low, Medium, Minimal};
    let level = |level: &str| json!({"thinkingLevel": level});
    let budget = |budget: u32| json!({"thinkingBudget": budget});
    for (model, effort, expected, note) in [
        ("gemini-2.5-pro", Minimal, budget(128), None),
        ("gemini-2.5-flash-lite", Minimal, budget(0), None),
        ("gemini-2.5-pro", Medium, budget(8_192), None),
        ("publishers/google/models/gemini-2.5-flash-preview-09-2025", High, budget(24_576), None),
        ("gemini-3-flash-preview", Minimal, level("minimal"), None),
        ("gemini-3.6-flash", Minimal, level("minimal"), None),
        ("gemini-3.8-flash", Minimal, level("low"), Some(Note::Converted("effort"))),
        ("gemini-3.1-pro-preview", Minimal, level("low"), Some(Note::Converted("effort"))),
        ("gemini-flash-latest", Minimal, level("low"), Some(Note::Converted("effort"))),
        ("gemini-3.10-flash", Low, level("low"), None),
        ("gemini-4-argon", Medium, level("medium"), None),
        ("gemini-pro-latest", High, level("high"), None),
        ("gemini-2.0-flash-001", High, Value::Null, Some(Note::Dropped("effort"))),
        ("gemini-1.5-flash-latest", High, Value::Null, Some(Note::Dropped("effort"))),
        ("gemma-3-27b-it", Low, Value::Null, Some(Note::Dropped("effort"))),
        ("my-own", Low, Value::Null, Some(Note::Dropped("effort"))),
    ] {
        let (config, notes) = config(&ChatRequest { effort: Some(effort), ..hi() }, model);
        assert_eq!((&config["thinkingConfig"], notes), (&expected, note.into_iter().collect()), "{model} {effort:?}");
    }
}

#[test]
fn drops_and_names_the_sampling_that_a_model_does_not_take() {
    let sampling = Sampling {
        temperature: Some(0.5),
        top_p: Some(0.9),
        presence_penalty: Some(0.1),
        frequency_penalty: Some(0.1),
        seed: Some(1 << 40),
        stop: Vec::new(),
    };
    let request = ChatRequest { sampling, ..hi() };
    let always = ["sampling.seed", "sampling.presence_penalty", "sampling.frequency_penalty"].map(Note::Dropped);
    let (older, notes) = config(&request, MODEL);
    assert_eq!((older, &notes[..]), (json!({"temperature": 0.5, "topP": 0.9}), &always[..]));
    for model in ["gemini-3.5-flash-lite", "gemini-3.6-flash", "gemini-flash-lite-latest", "gemini-4-argon"] {
        let (newer, notes) = config(&request, model);
        assert_eq!((newer, &notes[2..]), (Value::Null, &always[..]), "{model}");
        assert_eq!(notes[..2], [Note::Dropped("sampling.temperature"), Note::Dropped("sampling.top_p")]);
    }
}

#[test]
fn refuses_what_the_dialect_cannot_and_what_nobody_can_and_names_the_field() {
    let image = UserPart::Image(Image::Url("ftp://x.dev/a.png".into()));
    let broken = ToolCall { arguments: "[1]".into(), ..call("a", "f") };
    let prefilled = hi().message(Message::assistant("So"));
    for (request, model, class, field) in [
        (hi().message(Message::User(vec![image])), MODEL, FailureClass::Unsupported, "messages:"),
        (prefilled.clone(), "gemini-3.6-flash", FailureClass::Unsupported, "messages:"),
        (hi().message(calls(&[broken])), MODEL, FailureClass::BadRequest, "messages[1].arguments:"),
        (ChatRequest::new("r"), MODEL, FailureClass::BadRequest, "messages:"),
        (ChatRequest::new("r").message(Message::assistant("")), MODEL, FailureClass::BadRequest, "messages:"),
        (ChatRequest { tool_choice: ToolChoice::Required, ..hi() }, MODEL, FailureClass::BadRequest, "tool_choice:"),
    ] {
        let failure = encode(GEMINI, &request, model.into(), true).expect_err(field);
        assert_eq!(failure.class, class, "{failure}");
        assert!(failure.message.starts_with(field), "{}", failure.message);
    }
    assert_eq!(body(&prefilled)["contents"][1], json!({"role": "model", "parts": [{"text": "So"}]}));
}

#[test]
fn stop_sequences_beyond_the_fifth_are_left_to_us() {
    let stop: Vec<String> = (0..7).map(|n| format!("s{n}")).collect();
    let request = ChatRequest { sampling: Sampling { stop, ..Sampling::default() }, ..hi() };
    let encoded = encode(GEMINI, &request, MODEL.into(), true).expect("a good request");
    let body: Value = serde_json::from_slice(&encoded.body.whole()).expect("JSON");
    assert_eq!(body["generationConfig"]["stopSequences"], json!(["s0", "s1", "s2", "s3", "s4"]));
    assert_eq!(
        (encoded.stops, encoded.notes),
        (vec!["s5".into(), "s6".into()], vec![Note::Converted("sampling.stop")])
    );
}

#[test]
fn the_operator_speaks_before_all_wherever_it_spoke() {
    let (body, notes) = written(GEMINI, &ChatRequest::new("r").system("a").user("b").system("c").user("d"), MODEL);
    assert_eq!(
        body,
        json!({
            "systemInstruction": {"parts": [{"text": "a"}, {"text": "c"}]},
            "contents": [{"role": "user", "parts": [{"text": "b"}, {"text": "d"}]}],
        })
    );
    assert_eq!(notes, [Note::Converted("messages.system")]);
    let (body, notes) = written(GEMINI, &ChatRequest::new("r").system("a"), MODEL);
    assert_eq!(body, json!({"contents": [{"role": "user", "parts": [{"text": "a"}]}]}), "there must be a turn");
    assert_eq!(notes, [Note::Converted("messages.system")]);
}

#[test]
fn writes_images_inline_or_by_address() {
    let url = |url: &str| UserPart::Image(Image::Url(url.into()));
    let parts = vec![
        UserPart::Image(Image::Base64 { media_type: "image/png".to_owned(), data: "AAAA".into() }),
        url("data:image/webp;base64,BBBB"),
        url("https://x.dev/a.PNG?size=1#top"),
        url("gs://bucket/b.heic"),
        url("https://x.dev/c"),
    ];
    let request = ChatRequest::new("r").message(Message::User(parts));
    let file = |mime: &str, uri: &str| json!({"fileData": {"mimeType": mime, "fileUri": uri}});
    for (dialect, last) in [
        (GEMINI, json!({"fileData": {"fileUri": "https://x.dev/c"}})),
        (Dialect::Vertex, file("image/jpeg", "https://x.dev/c")),
    ] {
        assert_eq!(
            written(dialect, &request, MODEL).0["contents"][0]["parts"],
            json!([
                {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
                {"inlineData": {"mimeType": "image/webp", "data": "BBBB"}},
                file("image/png", "https://x.dev/a.PNG?size=1#top"),
                file("image/heic", "gs://bucket/b.heic"),
                last,
            ])
        );
    }
}

#[test]
fn results_follow_their_calls_together_and_in_order() {
    let (a, b) = (call("1", "f"), call("2", "g"));
    let request = hi()
        .message(Message::Assistant(vec![text("Let me see."), text("")]))
        .message(calls(&[a.clone(), b.clone()]))
        .message(Message::Tool(ToolResult { name: String::new(), ..tool_result(&b, "{\"t\": 1}", false) }))
        .user("Hurry!")
        .message(Message::Tool(tool_result(&a, "broken", true)))
        .message(Message::assistant(""))
        .user("Well?")
        .message(calls(&[call("3", "h")]))
        .message(result(&call("3", "h"), "[1]"));
    let expected = |id: fn(&str) -> Value| {
        let with = |id: Value, mut object: Value| {
            if id != Value::Null {
                object["id"] = id;
            }
            object
        };
        json!([
            {"role": "user", "parts": [{"text": "Hi"}]},
            {"role": "model", "parts": [
                {"text": "Let me see."},
                {"functionCall": with(id("1"), json!({"name": "f", "args": {"a": 1}}))},
                {"functionCall": with(id("2"), json!({"name": "g", "args": {"a": 1}}))},
            ]},
            {"role": "user", "parts": [
                {"functionResponse": with(id("1"), json!({"name": "f", "response": {"error": "broken"}}))},
                {"functionResponse": with(id("2"), json!({"name": "g", "response": {"t": 1}}))},
            ]},
            {"role": "user", "parts": [{"text": "Hurry!"}, {"text": "Well?"}]},
            {"role": "model", "parts": [{"functionCall": with(id("3"), json!({"name": "h", "args": {"a": 1}}))}]},
            {"role": "user", "parts": [
                {"functionResponse": with(id("3"), json!({"name": "h", "response": {"output": "[1]"}}))},
            ]},
        ])
    };
    assert_eq!(written(GEMINI, &request, MODEL).0["contents"], expected(|id| id.into()));
    assert_eq!(
        written(Dialect::Vertex, &request, MODEL).0["contents"],
        expected(|_| Value::Null),
        "Vertex knows no ids"
    );
}

fn tool_result(call: &ToolCall, content: &str, is_error: bool) -> ToolResult {
    ToolResult { is_error, ..ToolResult::new(&call.id, &call.name, content) }
}

#[test]
fn sends_proofs_back_to_their_issuer_alone() {
    let own = |id: &str, data: &str| ToolCall { proof: Some(proof(GEMINI, data)), ..call(id, "f") };
    let request = hi().message(Message::Assistant(vec![
        reasoning("Hm.", None),
        reasoning("Aha.", Some(proof(GEMINI, "p1"))),
        text("So"),
        reasoning("", Some(proof(GEMINI, "p2"))),
        reasoning("", Some(proof(GEMINI, "p3"))),
        AssistantPart::ToolCall(own("1", "p4")),
        AssistantPart::ToolCall(call("2", "f")),
    ]));
    let request = request.message(result(&call("1", "f"), "x")).message(result(&call("2", "f"), "y"));
    let function = |id: &str| json!({"id": id, "name": "f", "args": {"a": 1}});
    let (body, notes) = written(GEMINI, &request, "gemini-3.1-pro-preview");
    assert_eq!(
        body["contents"][1]["parts"],
        json!([
            {"text": "Aha.", "thought": true, "thoughtSignature": "p1"},
            {"text": "So", "thoughtSignature": "p2"},
            {"text": "", "thoughtSignature": "p3"},
            {"functionCall": function("1"), "thoughtSignature": "p4"},
            {"functionCall": function("2")},
        ])
    );
    assert_eq!(notes, [Note::Dropped("messages.reasoning")]);
    let (body, notes) = written(Dialect::Vertex, &request, "gemini-2.5-pro");
    let function = json!({"name": "f", "args": {"a": 1}});
    let parts = json!([{"text": "So"}, {"functionCall": function}, {"functionCall": function}]);
    assert_eq!((&body["contents"][1]["parts"], notes), (&parts, vec![Note::Dropped("messages.reasoning")]));
}

#[test]
fn calls_that_others_made_say_that_they_have_no_proof_where_one_is_wanted() {
    let foreign = ToolCall { proof: Some(proof(Dialect::OpenAiChat, "secret")), ..call("toolu_1", "f") };
    let request = hi().message(calls(&[foreign.clone(), call("call_2", "g")])).message(result(&foreign, "x"));
    let request = request.message(result(&call("call_2", "g"), "y"));
    for (model, signature) in
        [("gemini-3-flash-preview", json!("skip_thought_signature_validator")), (MODEL, Value::Null)]
    {
        let (body, notes) = written(GEMINI, &request, model);
        assert_eq!(body["contents"][1]["parts"][0]["thoughtSignature"], signature);
        assert_eq!(body["contents"][1]["parts"][1]["thoughtSignature"], Value::Null);
        assert_eq!(body["contents"][1]["parts"][0]["functionCall"]["id"], "toolu_1");
        assert_eq!(body["contents"][2]["parts"][0]["functionResponse"]["id"], "toolu_1", "the same id on both sides");
        assert_eq!(notes, [Note::Dropped("messages.reasoning")]);
        assert!(!body.to_string().contains("secret"));
    }
}

#[test]
fn the_callers_own_settings_join_ours_and_change_none() {
    let extra = json!({
        "safetySettings": [{"category": "X"}], "contents": "ours", "cachedContent": "c",
        "generationConfig": {"topK": 5, "temperature": 2, "thinkingConfig": {"includeThoughts": true, "thinkingBudget": 1}},
        "toolConfig": {"functionCallingConfig": {"mode": "VALIDATED", "x": 1}, "retrievalConfig": {}},
    });
    let request = ChatRequest {
        extra: extra.as_object().cloned().expect("an object"),
        sampling: Sampling { temperature: Some(1.0), ..Sampling::default() },
        effort: Some(Effort::High),
        tool_choice: ToolChoice::Required,
        ..hi().tool(weather())
    };
    let body = body(&request);
    assert_eq!(body["contents"][0]["role"], "user");
    assert_eq!((&body["safetySettings"], &body["cachedContent"]), (&json!([{"category": "X"}]), &json!("c")));
    assert_eq!(
        body["generationConfig"],
        json!({"topK": 5, "temperature": 1.0, "thinkingConfig": {"includeThoughts": true, "thinkingBudget": 24576}})
    );
    let calling = json!({"functionCallingConfig": {"mode": "ANY", "x": 1}, "retrievalConfig": {}});
    assert_eq!(body["toolConfig"], calling);
    let alone = ChatRequest { extra: extra.as_object().cloned().expect("an object"), ..hi() };
    let (alone, _) = written(GEMINI, &alone, MODEL);
    assert_eq!(alone["generationConfig"], extra["generationConfig"]);
}

#[test]
fn the_key_has_a_header_of_its_own_at_ai_studio_and_is_a_bearer_token_at_vertex() {
    for (dialect, header, value) in
        [(GEMINI, "x-goog-api-key", "AIza1"), (Dialect::Vertex, AUTHORIZATION.as_str(), "Bearer AIza1")]
    {
        let mut headers = HeaderMap::new();
        wire::authorize(dialect, &GENERIC, &Secret::new("AIza1"), &mut headers).expect("a good key");
        assert_eq!(headers[header], value);
        assert!(!format!("{headers:?}").contains("AIza1"));
        let failure =
            wire::authorize(dialect, &GENERIC, &Secret::new("AIza1\n"), &mut headers).expect_err("no header value");
        assert!(failure.class == FailureClass::Unauthorised && !failure.to_string().contains("AIza1"));
    }
}

#[test]
fn reads_generations_off_names() {
    for (name, generation) in [
        ("gemini-2.5-pro", "(2, 5)"),
        ("models/gemini-3-flash", "(3, 0)"),
        ("gemini-3.10-flash", "(3, 10)"),
        ("gemini-pro-latest", "(255, 0)"),
        ("gemini-exp-1206", "(0, 0)"),
        ("gemini-999-flash", "(0, 0)"),
        ("gpt-5", "(0, 0)"),
        ("", "(0, 0)"),
    ] {
        let found = format!("{:?}", Family::of(name));
        assert!(found.contains(&format!("generation: {generation}")), "{name}: {found}");
    }
}

// Recorded bodies: what other clients sent, and what this codec makes of the same conversation.

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
            extra: json!({"generationConfig": {"thinkingConfig": {"includeThoughts": true}}})
                .as_object()
                .cloned()
                .expect("an object"),
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
        response_format: ResponseFormat::JsonSchema { name: "person".to_owned(), schema, strict: true },
        ..ChatRequest::new("r").user("Generate a person named Alice who is 28 years old")
    };
    assert_eq!(written(Dialect::Vertex, &request, "gemini-3-flash-preview").0, body);

    let body = recorded("gemini", "b75936a5").expect("as before");
    let sampling = Sampling { stop: vec!["END".to_owned(), "\n\n".to_owned()], ..Sampling::default() };
    let request = ChatRequest {
        sampling,
        output_tokens_max: Some(500),
        ..ChatRequest::new("r").user("Write a short story about a robot.")
    };
    assert_eq!(written(GEMINI, &request, "gemini-2.0-flash-001").0, body);
}

#[test]
fn an_answer_goes_back_as_it_came() {
    let chunk = json!({"candidates": [{"content": {"parts": [
        {"text": "I see.", "thought": true},
        {"text": "Both.", "thoughtSignature": "t"},
        {"functionCall": {"name": "add", "args": {"b": 3}}, "thoughtSignature": "s"},
        {"functionCall": {"name": "multiply", "args": {}}},
    ]}, "finishReason": "STOP"}], "responseId": "r"});
    let (_, ending) = stream(&[chunk]);
    let parts = ending.expect("a good answer").parts;
    let ids: Vec<_> = parts.iter().filter_map(AssistantPart::as_tool_call).map(|call| call.id.clone()).collect();
    let results = parts.iter().filter_map(AssistantPart::as_tool_call).map(|call| result(call, "x"));
    let request = ChatRequest { messages: results.collect(), ..hi() };
    let messages = [Message::user("Hi"), Message::Assistant(parts)].into_iter().chain(request.messages).collect();
    let (body, notes) = written(GEMINI, &ChatRequest { messages, ..hi() }, "gemini-3.1-pro-preview");
    assert_eq!(
        body["contents"][1]["parts"],
        json!([
            {"text": "Both.", "thoughtSignature": "t"},
            {"functionCall": {"id": ids[0], "name": "add", "args": {"b": 3}}, "thoughtSignature": "s"},
            {"functionCall": {"id": ids[1], "name": "multiply", "args": {}}},
        ])
    );
    assert_eq!(notes, [Note::Dropped("messages.reasoning")]);
}

// Replies.

type Decoded = (Vec<Piece>, Result<Ending, Failure>);

fn decode(body: &str) -> Decoded {
    let mut decoder = Decoder::new(GEMINI, true);
    let mut pieces = Vec::new();
    let ending = decoder.push(body.as_bytes(), &mut pieces).and_then(|_| decoder.finish());
    (pieces, ending)
}

fn stream(chunks: &[Value]) -> Decoded {
    let events: Vec<String> = chunks.iter().map(|chunk| format!("data: {chunk}\r\n\r\n")).collect();
    decode(&events.concat())
}

fn said(parts: Value) -> Value {
    json!({"candidates": [{"content": {"role": "model", "parts": parts}, "index": 0}]})
}

fn finish(reason: &str) -> Value {
    json!({"candidates": [{"finishReason": reason}]})
}

fn failed(chunks: &[Value]) -> FailureClass {
    stream(chunks).1.expect_err("a failure").class
}

#[test]
fn reads_thoughts_texts_calls_and_their_proofs_in_order() {
    let chunks = [
        said(json!([{"text": "Hm", "thought": true}])),
        said(json!([{"text": ".", "thought": true, "thoughtSignature": "p1"}, {"text": "So "}])),
        said(
            json!([{"text": "be it."}, {"executableCode": {"code": "1"}}, {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "p2"}]),
        ),
        said(
            json!([{"functionCall": {"id": "own", "name": "f", "args": {"a": [1]}}}, {"functionCall": {"name": "f"}}]),
        ),
        said(json!([{"text": "", "thoughtSignature": "p3"}])),
        finish("STOP"),
        json!({"usageMetadata": {"promptTokenCount": 3}, "modelVersion": "m-1", "responseId": "r"}),
    ];
    let (pieces, ending) = stream(&chunks);
    let told =
        [Piece::Reasoning("Hm.".to_owned()), Piece::Proof(proof(GEMINI, "p1")), Piece::Text("So be it.".to_owned())];
    assert_eq!(pieces, told, "a proof comes with what follows it, and by itself it does not come");
    let ending = ending.expect("a good answer");
    assert_eq!((ending.stop, ending.model.as_deref()), (StopReason::ToolCalls, Some("m-1")));
    let [
        thought,
        spoken,
        AssistantPart::ToolCall(first),
        AssistantPart::ToolCall(second),
        AssistantPart::ToolCall(third),
        lone,
    ] = &ending.parts[..]
    else {
        panic!("{:?}", ending.parts)
    };
    assert_eq!(*thought, reasoning("Hm.", Some(proof(GEMINI, "p1"))));
    assert_eq!((spoken, lone), (&text("So be it."), &reasoning("", Some(proof(GEMINI, "p3")))));
    assert_eq!((&*first.arguments, &first.proof), ("{}", &Some(proof(GEMINI, "p2"))));
    assert_eq!((&*second.id, &*second.arguments, &second.proof), ("own", "{\"a\":[1]}", &None));
    assert_eq!((&*third.name, &*third.arguments), ("f", "{}"));
    assert!(!first.id.is_empty() && first.id != third.id, "ids are made where there are none, and differ");

    let array = Value::from(chunks.to_vec());
    assert_eq!(decode(&array.to_string()).1.expect("a good answer").parts, ending.parts, "framed as an array");
    assert_eq!(stream(&[array]).1.expect("a good answer").parts, ending.parts, "an array in an event");
}

#[test]
fn proofs_belong_to_who_issued_them() {
    let chunk =
        json!({"candidates": [{"content": {"parts": [{"functionCall": {"name": "f"}, "thoughtSignature": "p"}]}}]});
    let mut decoder = Decoder::new(Dialect::Vertex, false);
    decoder.push(chunk.to_string().as_bytes(), &mut Vec::new()).expect("a good answer");
    let ending = decoder.finish().expect("a good answer");
    assert_eq!(ending.tool_calls().next().expect("a call").proof, Some(proof(Dialect::Vertex, "p")));
}

#[test]
fn knows_every_reason_to_stop() {
    let text = said(json!([{"text": "x"}]));
    for (reason, stop) in [
        (json!("STOP"), StopReason::Stop),
        (json!("MAX_TOKENS"), StopReason::Length),
        (json!("SAFETY"), StopReason::ContentFilter),
        (json!("RECITATION"), StopReason::ContentFilter),
        (json!("BLOCKLIST"), StopReason::ContentFilter),
        (json!("PROHIBITED_CONTENT"), StopReason::ContentFilter),
        (json!("SPII"), StopReason::ContentFilter),
        (json!("MODEL_ARMOR"), StopReason::ContentFilter),
        (json!("LANGUAGE"), StopReason::Other),
        (json!("OTHER"), StopReason::Other),
        (json!("A_NEW_ONE"), StopReason::Other),
        (json!(1), StopReason::Stop),
        (json!(2), StopReason::Length),
        (json!(4), StopReason::ContentFilter),
        (json!(17), StopReason::Other),
    ] {
        let last = json!({"candidates": [{"finishReason": reason}]});
        assert_eq!(stream(&[text.clone(), last]).1.expect("a good answer").stop, stop, "{reason}");
    }
    let more = json!({"candidates": [{"finishReason": "MAX_TOKENS", "content": {"parts": [{"text": "y"}]}}]});
    let every_chunk_says_stop =
        json!({"candidates": [{"finishReason": "STOP", "content": {"parts": [{"text": "x"}]}}]});
    let (pieces, ending) = stream(&[every_chunk_says_stop.clone(), every_chunk_says_stop, more]);
    assert_eq!((pieces, ending.expect("good").stop), (vec![Piece::Text("xxy".to_owned())], StopReason::Length));
}

#[test]
fn an_answer_without_content_is_empty_blocked_or_unusable() {
    assert_eq!(failed(&[finish("STOP")]), FailureClass::Empty);
    assert_eq!(failed(&[finish("OTHER")]), FailureClass::Empty);
    assert_eq!(failed(&[said(json!([{"text": "hm", "thought": true}])), finish("STOP")]), FailureClass::Empty);
    assert_eq!(failed(&[finish("SAFETY")]), FailureClass::ContentPolicy);
    assert!(stream(&[finish("MAX_TOKENS")]).1.is_ok());
    for reason in ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS"] {
        let chunk = json!({"candidates": [{"finishReason": reason, "finishMessage": "Malformed: print(f())"}]});
        let failure = stream(&[said(json!([{"text": "x"}])), chunk]).1.expect_err(reason);
        assert_eq!((failure.class, failure.code.as_deref()), (FailureClass::Unusable, Some(reason)));
        assert_eq!(failure.message, "Malformed: print(f())");
    }
    let pieces =
        said(json!([{"functionCall": {"name": "f", "partialArgs": [{"jsonPath": "$.a"}], "willContinue": true}}]));
    assert_eq!(failed(&[pieces, finish("STOP")]), FailureClass::Unusable);
    let list = said(json!([{"functionCall": {"name": "f", "args": [1]}}]));
    assert_eq!(failed(&[list, finish("STOP")]), FailureClass::Unusable);
}

#[test]
fn a_refused_prompt_is_told_by_its_feedback() {
    for (feedback, code, message) in [
        (json!({"blockReason": "SAFETY"}), "SAFETY", "the provider's filter refused the prompt"),
        (json!({"blockReason": "MODEL_ARMOR", "blockReasonMessage": "No."}), "MODEL_ARMOR", "No."),
        (json!({"blockReason": 2}), "OTHER", "the provider's filter refused the prompt"),
    ] {
        let chunk = json!({"promptFeedback": feedback, "usageMetadata": {"promptTokenCount": 7}, "candidates": null});
        for decoded in [stream(std::slice::from_ref(&chunk)), decode(&chunk.to_string())] {
            let failure = decoded.1.expect_err("a failure");
            assert_eq!((failure.class, failure.code.as_deref()), (FailureClass::ContentPolicy, Some(code)));
            assert_eq!(failure.message, message);
        }
    }
    let harmless = json!({"promptFeedback": {"safetyRatings": []}});
    assert!(stream(&[harmless, said(json!([{"text": "x"}])), finish("STOP")]).1.is_ok());
}

#[test]
fn a_stream_is_whole_once_a_chunk_gave_the_reason() {
    let text = format!("data: {}\r\n\r\n", said(json!([{"text": "x"}])));
    let end = format!("data: {}\r\n\r\n", finish("STOP"));
    for cut in
        ["", &text, &format!("{text}data: {{\"candi"), &format!("{text}{}", end.trim_end()), "[{\"candidates\":[]}"]
    {
        assert_eq!(decode(cut).1.expect_err("a failure").class, FailureClass::Cut, "{cut:?}");
    }
    for whole in [format!("{text}{end}"), format!("{text}{end}data: [DO"), format!("{text}{end}data: [DONE]\n\n")] {
        assert!(decode(&whole).1.is_ok(), "{whole:?}");
    }
}

#[test]
fn finds_errors_inside_of_answers() {
    let error = |code: u16, status: &str| json!({"error": {"code": code, "message": "x", "status": status}});
    for (chunk, class) in [
        (error(503, "UNAVAILABLE"), FailureClass::Overloaded),
        (error(429, "RESOURCE_EXHAUSTED"), FailureClass::RateLimited),
        (json!([error(500, "INTERNAL")]), FailureClass::Server),
        (json!({"message": "no such host"}), FailureClass::Server),
        (json!([[1]]), FailureClass::Cut),
        (json!({"candidates": 7}), FailureClass::Cut),
    ] {
        let (pieces, ending) = stream(&[said(json!([{"text": "x"}])), chunk.clone(), finish("STOP")]);
        assert_eq!(ending.expect_err("a failure").class, class, "{chunk}");
        assert_eq!(pieces, [Piece::Text("x".to_owned())], "what came before is kept");
        assert_eq!(decode(&chunk.to_string()).1.expect_err("a failure").class, class, "{chunk}, whole");
    }
    let named = format!("event: error\ndata: {}\n\n", error(503, "UNAVAILABLE"));
    assert_eq!(decode(&named).1.expect_err("a failure").class, FailureClass::Overloaded);
}

#[test]
fn passes_over_what_it_does_not_know() {
    let body = format!(
        ": alive\n\nevent: ping\ndata: no JSON\n\ndata:\n\ndata: {{}}\n\ndata: {}\n\ndata: {}\n\ndata: {}\n\n",
        json!({"candidates": [{"index": 0, "new": 1, "content": {"parts": [{"text": "a", "new": {}}, {"new": 1}]}}], "error": null, "new": []}),
        json!({"candidates": [{"index": 1, "content": {"parts": [{"text": "other"}]}}], "usageMetadata": {}}),
        json!({"candidates": [{"content": null, "finishReason": "STOP"}], "usageMetadata": {"trafficType": "ON_DEMAND"}}),
    );
    let (pieces, ending) = decode(&body);
    assert_eq!(pieces, [Piece::Text("a".to_owned())]);
    assert_eq!(ending.expect("a good answer").usage, None);
}

#[test]
fn usage_is_cumulative_and_counts_thoughts_and_what_tools_put_in() {
    let usage = |usage: Value| json!({"usageMetadata": usage});
    let chunks = [
        usage(json!({"promptTokenCount": 9, "totalTokenCount": 9})),
        said(json!([{"text": "x"}])),
        usage(json!({"promptTokenCount": 9, "candidatesTokenCount": 2, "thoughtsTokenCount": 30})),
        usage(json!({"promptTokenCount": 9, "candidatesTokenCount": 5, "thoughtsTokenCount": "30",
            "toolUsePromptTokenCount": 4, "cachedContentTokenCount": 8, "totalTokenCount": 48})),
        usage(json!({"trafficType": "ON_DEMAND"})),
        finish("STOP"),
    ];
    let expected = Usage { input: 13, output: 35, cached: 8, cache_write: 0, reasoning: 30 };
    assert_eq!(stream(&chunks).1.expect("a good answer").usage, Some(expected));
}

proptest! {
    #[test]
    fn any_bytes_are_taken(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8)) {
        for dialect in [GEMINI, Dialect::Vertex] {
            let mut decoder = Decoder::new(dialect, true);
            let mut pieces = Vec::new();
            if chunks.iter().all(|chunk| decoder.push(chunk, &mut pieces).is_ok()) {
                let _ = decoder.finish();
            }
        }
    }

    #[test]
    fn any_json_in_the_place_of_any_field_is_taken(
        field in prop::sample::select(&[
            "/responseId", "/modelVersion", "/candidates", "/candidates/0", "/candidates/0/index", "/candidates/0/content",
            "/candidates/0/content/parts", "/candidates/0/content/parts/0", "/candidates/0/content/parts/0/text",
            "/candidates/0/content/parts/0/thought", "/candidates/0/content/parts/0/thoughtSignature",
            "/candidates/0/content/parts/1/functionCall", "/candidates/0/content/parts/1/functionCall/name",
            "/candidates/0/content/parts/1/functionCall/args", "/candidates/0/finishReason", "/promptFeedback",
            "/promptFeedback/blockReason", "/usageMetadata", "/usageMetadata/promptTokenCount", "/error",
        ][..]),
        value in prop::sample::select(&[
            "null", "true", "-1", "1e99", "18446744073709551616", "\"\"", "\"x\"", "\"12\"", "[]", "{}", "[[]]", "[{}]",
            "{\"message\":\"m\",\"code\":\"c\"}",
        ][..]),
    ) {
        let mut chunk = json!({
            "responseId": "i", "modelVersion": "m", "error": null, "promptFeedback": {"blockReason": ""},
            "usageMetadata": {"promptTokenCount": 1},
            "candidates": [{"index": 0, "finishReason": "STOP", "content": {"parts": [
                {"text": "a", "thought": false, "thoughtSignature": "s"}, {"functionCall": {"name": "f", "args": {}}},
            ]}}],
        });
        *chunk.pointer_mut(field).expect("a field") = serde_json::from_str(value).expect("JSON");
        let (_, result) = stream(&[chunk, finish("STOP")]);
        // Odd kinds of what names and counts cost nothing.
        let counts = ["responseId", "modelVersion", "text", "thought", "thoughtSignature", "usageMetadata", "promptTokenCount", "blockReason"];
        if counts.iter().any(|name| field.ends_with(name)) {
            prop_assert!(result.is_ok(), "{} {} {:?}", field, value, result);
        }
    }

    #[test]
    fn any_arguments_and_results_make_a_body_that_is_json(arguments in ".{0,20}", content in ".{0,20}", is_error: bool) {
        let made = ToolCall { arguments: arguments.into(), ..call("1", "f") };
        let answer = Message::Tool(tool_result(&made, &content, is_error));
        for model in [MODEL, "gemini-3.6-flash"] {
            let request = hi().message(calls(std::slice::from_ref(&made))).message(answer.clone());
            if let Ok(encoded) = encode(GEMINI, &request, model.into(), true) {
                let body: Value = serde_json::from_slice(&encoded.body.whole()).expect("JSON");
                prop_assert!(body["contents"][2]["parts"][0]["functionResponse"]["response"].is_object());
            }
        }
    }
}

#[test]
fn a_conversation_that_begins_with_a_call_is_opened_by_the_user() {
    let call = call("1", "f");
    let request = ChatRequest::new("r").message(calls(std::slice::from_ref(&call))).message(result(&call, "x"));
    let (body, notes) = written(GEMINI, &request, MODEL);
    let roles: Vec<_> = (0..3).map(|at| body["contents"][at]["role"].as_str().unwrap_or_default()).collect();
    assert_eq!((roles, notes), (vec!["user", "model", "user"], vec![Note::Converted("messages")]));
    let begun = ChatRequest::new("r").message(Message::assistant("Hello.")).user("Hi");
    assert_eq!(written(GEMINI, &begun, MODEL).0["contents"][0]["role"], "model", "else it may begin");
}

#[test]
fn beside_tools_an_older_model_is_asked_in_words_for_the_form_of_its_answer() {
    let parameters = json!({"type": "object"});
    let tool = Tool { name: "f".into(), description: String::new(), parameters, strict: None };
    let mut request = hi().tool(tool);
    request.response_format =
        ResponseFormat::JsonSchema { name: "a".into(), schema: json!({"type": "object"}), strict: true };
    let (body, notes) = written(GEMINI, &request, "gemini-2.5-flash");
    assert_eq!((&body["generationConfig"], notes), (&Value::Null, vec![Note::Converted("response_format")]));
    let asked = body["systemInstruction"]["parts"][0]["text"].as_str().unwrap_or_default();
    assert!(asked.contains(r#"{"type":"object"}"#), "{asked}");
    let (body, notes) = written(GEMINI, &request, "gemini-3-flash-preview");
    assert_eq!((&body["generationConfig"]["responseMimeType"], notes), (&"application/json".into(), vec![]));
}

mod recorded;
mod replies;

use http::HeaderMap;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::family::Family;
use super::*;
use crate::wire::flavour::GENERIC;
use crate::wire::{self, Decoder, Ending};
use crate::words::{
    AssistantPart, ChatRequest, Dialect, Effort, FailureClass, Image, Json, Message, Note, Piece, Proof, Reasoning,
    ResponseFormat, Sampling, StopReason, Tool, ToolCall, ToolChoice, ToolResult, Usage, UserPart,
};

const GEMINI: Dialect = Dialect::Gemini;
/// A model that takes everything, without flavour.
const MODEL: &str = "gemini-2.5-flash";

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
        description: "Tells the weather.".into(),
        parameters: json!({"type": "object", "properties": {"city": {"type": ["string", "null"]}}}).into(),
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
        tools: vec![weather(), Tool { description: "".into(), parameters: Value::Null.into(), ..weather() }],
        tool_choice: ToolChoice::Named("weather".to_owned()),
        response_format: ResponseFormat::JsonSchema {
            name: "answer".to_owned(),
            schema: json!({"type": "object", "additionalProperties": false}).into(),
            strict: true,
        },
        sampling: Sampling {
            temperature: Some(0.5),
            top_p: Some(0.9),
            seed: Some(-7),
            stop: vec!["a".into(), "b".into()],
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
fn refuses_requests_that_this_dialect_or_no_target_can_serve_and_names_the_field() {
    let image = UserPart::Image(Image::Url("ftp://x.dev/a.png".into()));
    let prefilled = hi().message(Message::assistant("So"));
    for (request, model, class, field) in [
        (hi().message(Message::User(vec![image])), MODEL, FailureClass::Unsupported, "messages:"),
        (prefilled.clone(), "gemini-3.6-flash", FailureClass::Unsupported, "messages:"),
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
    let stop = (0..7).map(|n| format!("s{n}").into()).collect();
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
fn the_operators_words_come_first_from_any_place() {
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

#[test]
fn a_result_that_may_refer_to_something_goes_as_text() {
    for (content, is_object) in [
        (r#"{"t":1}"#, true),
        (r#"{"ref":"a","$id":"b"}"#, true),
        (r##"{"$ref":"#/a"}"##, false),
        (r##"{"paths":{"/x":[{"schema":{"$ref":"#/components/schemas/E"}}]}}"##, false),
        (r##"{"a":{"\u0024ref":"#/a"}}"##, false),
    ] {
        let request = hi().message(calls(&[call("1", "f")])).message(result(&call("1", "f"), content));
        for dialect in [GEMINI, Dialect::Vertex] {
            let written = written(dialect, &request, MODEL).0;
            let response = &written["contents"][2]["parts"][0]["functionResponse"]["response"];
            let object: Value = serde_json::from_str(content).expect("JSON");
            let expected = if is_object { object } else { json!({"output": content}) };
            assert_eq!(*response, expected, "{content}");
        }
    }
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
fn the_callers_own_settings_are_added_and_override_none_of_ours() {
    let extra = json!({
        "safetySettings": [{"category": "X"}], "contents": "ours", "cachedContent": "c",
        "generationConfig": {"topK": 5, "temperature": 2,
            "thinkingConfig": {"includeThoughts": true, "thinkingBudget": 1}},
        "toolConfig": {"functionCallingConfig": {"mode": "VALIDATED", "x": 1}, "retrievalConfig": {}},
    });
    let request = ChatRequest {
        extra: Json::from(&extra).fields(),
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
    let alone = ChatRequest { extra: Json::from(&extra).fields(), ..hi() };
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
    let tool = Tool { name: "f".into(), description: "".into(), parameters: parameters.into(), strict: None };
    let mut request = hi().tool(tool);
    request.response_format =
        ResponseFormat::JsonSchema { name: "a".into(), schema: json!({"type": "object"}).into(), strict: true };
    let (body, notes) = written(GEMINI, &request, "gemini-2.5-flash");
    assert_eq!((&body["generationConfig"], notes), (&Value::Null, vec![Note::Converted("response_format")]));
    let asked = body["systemInstruction"]["parts"][0]["text"].as_str().unwrap_or_default();
    assert!(asked.contains(r#"{"type":"object"}"#), "{asked}");
    let (body, notes) = written(GEMINI, &request, "gemini-3-flash-preview");
    assert_eq!((&body["generationConfig"]["responseMimeType"], notes), (&"application/json".into(), vec![]));
}

mod recorded;

use serde_json::{Map, Value, json};

use super::*;
use crate::wire::{Encoded, authorize, encode};
use crate::words::{
    Dialect, FailureClass, FieldName, Image, Json, Note, Proof, Reasoning, ResponseFormat, Sampling, Secret, TargetId,
    Tool, ToolCall, ToolChoice, ToolResult,
};

fn target(model: &str) -> TargetId {
    TargetId::new("p", model)
}

fn flavour(name: &str) -> &'static Flavour {
    Flavour::named(name).expect("a known name")
}

fn encoded(name: &str, model: &str, request: &ChatRequest) -> Encoded {
    encode(Dialect::OpenAiChat, flavour(name), request, &target(model), false).expect("a good request")
}

fn body(name: &str, model: &str, request: &ChatRequest) -> Value {
    serde_json::from_slice(&encoded(name, model, request).body.whole()).expect("JSON")
}

fn weather() -> Tool {
    Tool { name: "weather".into(), description: "".into(), parameters: json!({"type": "object"}).into(), strict: None }
}

fn call(id: &str) -> ToolCall {
    ToolCall { id: id.to_owned(), name: "weather".to_owned(), arguments: "{}".into(), proof: None }
}

fn hello() -> ChatRequest {
    ChatRequest::new("r").user("Hi")
}

/// A request with everything.
fn everything() -> ChatRequest {
    ChatRequest {
        parallel_tool_calls: Some(true),
        sampling: Sampling {
            temperature: Some(0.5),
            top_p: Some(0.9),
            presence_penalty: Some(0.1),
            frequency_penalty: Some(0.2),
            seed: Some(7),
            stop: vec!["END".into()],
        },
        effort: Some(Effort::Medium),
        output_tokens_max: Some(100),
        ..ChatRequest::new("r").system("Be brief.").user("Hi").tool(weather())
    }
}

/// Returns the fields of a body beside those that every body has.
fn fields(body: &Value) -> Map<String, Value> {
    let mut fields = body.as_object().expect("an object").clone();
    fields.retain(|field, _| !["model", "messages", "stream", "tools"].contains(&field.as_str()));
    fields
}

#[test]
fn every_provider_gets_its_own_fields() {
    let sampling = json!({"temperature": 0.5, "top_p": 0.9, "presence_penalty": 0.1, "frequency_penalty": 0.2});
    let with = |sampling: &Value, more: Value| {
        let mut all = sampling.as_object().expect("an object").clone();
        all.extend(more.as_object().expect("an object").clone());
        all
    };
    let usual = json!({"parallel_tool_calls": true, "seed": 7, "stop": ["END"], "max_tokens": 100,
        "temperature": 0.5, "top_p": 0.9, "presence_penalty": 0.1, "frequency_penalty": 0.2});
    let reasoner = json!({"parallel_tool_calls": true, "seed": 7, "max_completion_tokens": 100,
        "reasoning_effort": "medium"});
    let effort = json!({"reasoning_effort": "medium"});
    for (name, model, expected) in [
        ("generic", "m", with(&usual, effort.clone())),
        ("openai", "gpt-5.2", with(&reasoner, json!({}))),
        (
            "openai",
            "o3",
            with(&json!({}), json!({"seed": 7, "max_completion_tokens": 100, "reasoning_effort": "medium"})),
        ),
        (
            "openai",
            "gpt-4.1",
            with(
                &sampling,
                json!({"parallel_tool_calls": true, "seed": 7, "stop": ["END"], "max_completion_tokens": 100}),
            ),
        ),
        ("azure", "gpt-5-mini", with(&reasoner, json!({}))),
        ("deepseek", "deepseek-v4-pro", with(&usual, effort.clone())),
        (
            "mistral",
            "mistral-small-latest",
            with(
                &sampling,
                json!({"parallel_tool_calls": true, "random_seed": 7, "stop": ["END"], "max_tokens": 100,
                "reasoning_effort": "high"}),
            ),
        ),
        (
            "qwen",
            "qwen-plus",
            with(&usual, json!({"enable_thinking": true, "stream_options": {"include_usage": true}})),
        ),
        (
            "groq",
            "openai/gpt-oss-120b",
            with(
                &sampling,
                json!({"parallel_tool_calls": true, "seed": 7, "stop": ["END"],
                "max_completion_tokens": 100, "reasoning_effort": "medium"}),
            ),
        ),
        (
            "xai",
            "grok-4.3",
            with(
                &json!({}),
                json!({"temperature": 0.5, "top_p": 0.9, "parallel_tool_calls": true, "seed": 7,
                "max_tokens": 100, "reasoning_effort": "medium"}),
            ),
        ),
        ("xai", "grok-4-fast-non-reasoning", with(&usual, json!({}))),
        ("together", "meta-llama/Llama-4", with(&usual, effort.clone())),
        ("openrouter", "mistralai/x", with(&usual, json!({"reasoning": {"effort": "medium"}}))),
        ("vllm", "m", with(&usual, effort.clone())),
        ("ollama", "qwen3", with(&usual, effort.clone())),
        ("llamacpp", "m", with(&usual, effort.clone())),
    ] {
        assert_eq!(fields(&body(name, model, &everything())), expected, "{name} {model}");
    }
    let without_tools = ChatRequest { tools: vec![], ..everything() };
    let perplexity = fields(&body("perplexity", "sonar-reasoning-pro", &without_tools));
    assert_eq!(perplexity, with(&sampling, json!({"max_tokens": 100, "reasoning_effort": "medium"})));
}

#[test]
fn dropped_fields_are_noted() {
    use Note::{Converted as C, Dropped as D};
    for (name, model, notes) in [
        ("generic", "m", vec![]),
        (
            "openai",
            "o3",
            vec![
                C("sampling.stop"),
                D("parallel_tool_calls"),
                D("sampling.temperature"),
                D("sampling.top_p"),
                D("sampling.presence_penalty"),
                D("sampling.frequency_penalty"),
            ],
        ),
        ("openai", "gpt-4.1", vec![D("effort")]),
        ("mistral", "m", vec![C("effort")]),
        (
            "xai",
            "grok-code-fast-1",
            vec![C("sampling.stop"), D("sampling.presence_penalty"), D("sampling.frequency_penalty"), D("effort")],
        ),
    ] {
        assert_eq!(encoded(name, model, &everything()).notes, notes, "{name} {model}");
    }
}

#[test]
fn every_effort_has_a_name_in_every_flavour() {
    use Effort::{High, Low, Max, Medium, Minimal, None, XHigh};
    let all = [None, Minimal, Low, Medium, High, XHigh, Max];
    let plain = |words: [&str; 7]| {
        words.map(|word| if word.is_empty() { json!({}) } else { json!({"reasoning_effort": word}) })
    };
    let switch = |off: Value, on: Value| [0, 1, 1, 1, 1, 1, 1].map(|at| [&off, &on][at].clone());
    let mut deepseek = plain(["", "low", "low", "medium", "high", "max", "max"]);
    deepseek[0] = json!({"thinking": {"type": "disabled"}});
    let openrouter = ["none", "minimal", "low", "medium", "high", "xhigh", "xhigh"];
    for (name, model, expected) in [
        ("generic", "m", plain(["none", "minimal", "low", "medium", "high", "xhigh", "max"])),
        ("generic", "gpt-5.4", plain(["none", "low", "low", "medium", "high", "xhigh", "xhigh"])),
        ("openai", "gpt-5-mini", plain(["", "minimal", "low", "medium", "high", "high", "high"])),
        ("openai", "gpt-5.1", plain(["none", "low", "low", "medium", "high", "high", "high"])),
        ("openai", "gpt-5.4", plain(["none", "low", "low", "medium", "high", "xhigh", "xhigh"])),
        ("openai", "gpt-6-astra", plain(["", "low", "low", "medium", "high", "xhigh", "max"])),
        ("openai", "o4-mini", plain(["", "low", "low", "medium", "high", "high", "high"])),
        ("deepseek", "deepseek-v4-pro", deepseek),
        ("mistral", "m", plain(["none", "high", "high", "high", "high", "high", "high"])),
        ("mistral", "magistral-medium-2509", plain([""; 7])),
        ("xai", "grok-3-mini", plain(["", "low", "low", "high", "high", "high", "high"])),
        ("openrouter", "m", openrouter.map(|word| json!({"reasoning": {"effort": word}}))),
        ("ollama", "m", plain(["none", "low", "low", "medium", "high", "high", "high"])),
        ("qwen", "m", switch(json!({"enable_thinking": false}), json!({"enable_thinking": true}))),
        ("kimi", "m", switch(json!({"thinking": {"type": "disabled"}}), json!({"thinking": {"type": "enabled"}}))),
    ] {
        let found = all.map(|effort| {
            let request = ChatRequest { effort: Some(effort), ..hello() };
            let mut fields = fields(&body(name, model, &request));
            fields.remove("stream_options");
            Value::Object(fields)
        });
        assert_eq!(found, expected, "{name} {model}");
    }
    // Who asks for a thought gets no step that is the one for none.
    for flavour in TABLE {
        for model in ["m", "gpt-5-mini", "o4-mini", "gpt-6", "qwen3-x", "grok-3-mini", "deepseek-v4-pro"] {
            let asked = |effort| fields(&body(flavour.name, model, &ChatRequest { effort: Some(effort), ..hello() }));
            let off = asked(None);
            for effort in &all[1..] {
                let on = asked(*effort);
                assert!(on.is_empty() || on != off || !says_none(&off), "{} {model}: {effort:?}", flavour.name);
            }
        }
    }
    // All that a row says is JSON.
    for flavour in TABLE {
        for effort in all {
            let request = ChatRequest { effort: Some(effort), ..hello() };
            let forced = ChatRequest { tool_choice: ToolChoice::Required, ..everything() };
            body(flavour.name, "m", &request);
            if !flavour.lacks.contains(&"tools") {
                body(flavour.name, "m", &forced);
            }
        }
    }
}

/// Tells whether fields ask for no thought at all.
fn says_none(fields: &Map<String, Value>) -> bool {
    ["none", "disabled", "false"].iter().any(|word| Value::Object(fields.clone()).to_string().contains(word))
}

#[test]
fn a_forced_tool_is_forced_as_each_provider_can() {
    let two = |tool_choice| ChatRequest { tool_choice, ..hello().tool(weather()).tool(weather()) };
    let named = || json!({"type": "function", "function": {"name": "weather"}});
    let name = || ToolChoice::Named("weather".to_owned());
    for (provider, request, choice, thinking, notes) in [
        ("openai", two(ToolChoice::Required), json!("required"), Value::Null, vec![]),
        ("mistral", two(ToolChoice::Required), json!("any"), Value::Null, vec![]),
        ("mistral", two(name()), named(), Value::Null, vec![]),
        ("deepseek", two(ToolChoice::Required), json!("required"), json!({"type": "disabled"}), vec![]),
        ("deepseek", two(name()), named(), json!({"type": "disabled"}), vec![]),
        ("deepseek", two(ToolChoice::None), json!("none"), Value::Null, vec![]),
        (
            "deepseek",
            ChatRequest { effort: Some(Effort::High), ..two(name()) },
            named(),
            json!({"type": "disabled"}),
            vec![Note::Dropped("effort")],
        ),
        ("qwen", two(ToolChoice::Required), Value::Null, Value::Null, vec![Note::Dropped("tool_choice")]),
        (
            "qwen",
            ChatRequest { tool_choice: ToolChoice::Required, ..hello().tool(weather()) },
            named(),
            Value::Null,
            vec![Note::Converted("tool_choice")],
        ),
    ] {
        let body = body(provider, "m", &request);
        assert_eq!((&body["tool_choice"], &body["thinking"]), (&choice, &thinking), "{provider}");
        assert_eq!(body.get("enable_thinking"), (provider == "qwen" && choice != Value::Null).then_some(&json!(false)));
        assert_eq!(encoded(provider, "m", &request).notes, notes, "{provider}");
    }
}

#[test]
fn a_schema_is_told_where_it_cannot_be_sent() {
    let closed = json!({"type": "object", "properties": {}, "additionalProperties": false});
    let schema = ResponseFormat::JsonSchema { name: "answer".into(), schema: closed.clone().into(), strict: true };
    let sent = json!({"type": "json_schema", "json_schema": {"name": "answer", "schema": closed, "strict": true}});
    let only = "Answer with one JSON object and nothing else: no other text before or after, no code fence.";
    let told = format!("{only} It must fit this JSON schema:\n{closed}");
    for (provider, format, expected, told) in [
        ("mistral", &schema, sent.clone(), None),
        ("perplexity", &schema, sent, None),
        ("deepseek", &schema, json!({"type": "json_object"}), Some(&*told)),
        ("deepseek", &ResponseFormat::Json, json!({"type": "json_object"}), None),
        ("perplexity", &ResponseFormat::Json, Value::Null, Some(only)),
    ] {
        let request = ChatRequest { response_format: format.clone(), ..hello() };
        let body = body(provider, "m", &request);
        assert_eq!(body["response_format"], expected, "{provider}");
        let converted = encoded(provider, "m", &request).notes == [Note::Converted("response_format")];
        assert_eq!(
            (body["messages"][0]["role"] == "system", converted),
            (told.is_some(), told.is_some()),
            "{provider}"
        );
        if let Some(told) = told {
            assert_eq!(body["messages"][0]["content"], told);
        }
    }
}

#[test]
fn ids_of_calls_fit_and_calls_and_results_still_fit_together() {
    let long = "toolu_".repeat(20);
    for (provider, id, fits) in [
        ("generic", &long[..], true),
        ("openai", "call_1", true),
        ("openai", &long, false),
        ("mistral", "Caf7Pyrd8", true),
        ("mistral", "call_1", false),
        ("mistral", "Caf7_yrd8", false),
    ] {
        let result = ToolResult::new(id, "f", "x");
        let mut request = hello().message(Message::Assistant(vec![
            AssistantPart::ToolCall(call(id)),
            AssistantPart::ToolCall(call("another")),
        ]));
        request = request.message(Message::Tool(result));
        request = request.message(Message::tool_result(&call("another"), "y"));
        let body = body(provider, "m", &request);
        let messages = &body["messages"];
        let found = messages[1]["tool_calls"][0]["id"].as_str().expect("an id");
        assert_eq!(found == id, fits, "{provider} {id}");
        assert_ne!(found, messages[1]["tool_calls"][1]["id"]);
        assert_eq!(messages[2]["tool_call_id"], found, "{provider} {id}");
        if provider == "mistral" {
            assert!(found.len() == 9 && found.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{found}");
        }
        let notes = encoded(provider, "m", &request).notes;
        assert_eq!(notes.is_empty(), fits && provider != "mistral", "{provider} {id}: {notes:?}");
    }
}

fn messages(provider: &str, model: &str, request: &ChatRequest) -> (Value, Vec<Note>) {
    let encoded = encoded(provider, model, request);
    let body: Value = serde_json::from_slice(&encoded.body.whole()).expect("JSON");
    (body["messages"].clone(), encoded.notes)
}

#[test]
fn system_messages_to_reasoning_models_have_the_role_developer() {
    let request = ChatRequest::new("r").system("Be brief.").user("Hi");
    for (provider, model, role) in [
        ("openai", "gpt-5.2", "developer"),
        ("azure", "o3", "developer"),
        ("openai", "gpt-4o", "system"),
        ("openai", "gpt-5-chat-latest", "system"),
        ("openrouter", "openai/gpt-5", "system"),
        ("generic", "gpt-5", "system"),
    ] {
        assert_eq!(messages(provider, model, &request).0[0]["role"], role, "{provider} {model}");
    }
}

#[test]
fn a_deployment_whose_name_tells_nothing_is_treated_as_the_model_it_is() {
    let mut request = ChatRequest::new("r").system("Be brief.").user("Hi");
    request.sampling.temperature = Some(0.5);
    request.effort = Some(Effort::Minimal);
    let body = |provider: &str, model: Model<'_>| -> Value {
        let encoded = encode(Dialect::OpenAiChat, flavour(provider), &request, model, false).expect("a good request");
        serde_json::from_slice(&encoded.body.whole()).expect("JSON")
    };
    let unknown = Model { reasons: false, ..Model::from("my-deployment") };
    for (model, role, temperature, effort) in [
        (unknown, "system", json!(0.5), json!("minimal")),
        (Model { reasons: true, ..unknown }, "developer", json!(null), json!("minimal")),
        (Model { family: "gpt-5.2", ..unknown }, "developer", json!(null), json!("low")),
        (Model { family: "gpt-4o", ..unknown }, "system", json!(0.5), json!(null)),
    ] {
        let body = body("azure", model);
        assert_eq!((&body["model"], &body["messages"][0]["role"]), (&json!("my-deployment"), &json!(role)));
        assert_eq!((&body["temperature"], &body["reasoning_effort"]), (&temperature, &effort), "{model:?}");
    }
    // In a row without reasoning models no model can be taken for one.
    assert_eq!(body("vllm", Model { reasons: true, ..unknown })["temperature"], 0.5);
}

#[test]
fn messages_are_ordered_and_joined_where_a_provider_insists() {
    let request = ChatRequest::new("r")
        .system("One.")
        .user("a")
        .user("b")
        .message(Message::assistant("c"))
        .system("Two.")
        .message(Message::assistant("d"))
        .user("e");
    let (found, notes) = messages("perplexity", "sonar", &request);
    let text = |text: &str| json!({"type": "text", "text": text});
    assert_eq!(
        found,
        json!([
            {"role": "system", "content": "One.\n\nTwo."},
            {"role": "user", "content": [text("a"), text("b")]},
            {"role": "assistant", "content": "cd"},
            {"role": "user", "content": "e"},
        ])
    );
    assert_eq!(notes, [Note::Converted("messages.system"), Note::Converted("messages")]);
    let (found, notes) = messages("generic", "m", &request);
    assert_eq!((found.as_array().map(Vec::len), notes), (Some(7), vec![]));
    let (found, notes) = messages("vllm", "m", &request);
    assert_eq!((found.as_array().map(Vec::len), notes), (Some(6), vec![Note::Converted("messages.system")]));
}

#[test]
fn an_assistant_speaks_between_a_tool_and_a_user_where_one_must() {
    let request = hello()
        .message(Message::Assistant(vec![AssistantPart::ToolCall(call("Caf7Pyrd8"))]))
        .message(Message::tool_result(&call("Caf7Pyrd8"), "x"))
        .user("Go on.");
    let (found, notes) = messages("mistral", "m", &request);
    assert_eq!(found[3], json!({"role": "assistant", "content": "OK."}));
    assert_eq!(found[4], json!({"role": "user", "content": "Go on."}));
    assert_eq!(notes, [Note::Converted("messages")]);
    assert_eq!(messages("openai", "m", &request).0[3]["role"], "user");
}

#[test]
fn a_last_message_to_be_continued_is_flagged_where_it_must_be() {
    let request = hello().message(Message::assistant("So")).user("x").message(Message::assistant("Well"));
    for (provider, flag) in [("mistral", Some("prefix")), ("qwen", Some("partial")), ("openai", None)] {
        let (found, notes) = messages(provider, "m", &request);
        let mut last = json!({"role": "assistant", "content": "Well"});
        if let Some(flag) = flag {
            last[flag] = true.into();
        }
        assert_eq!((&found[1], &found[3]), (&json!({"role": "assistant", "content": "So"}), &last), "{provider}");
        assert_eq!(notes, []);
    }
}

#[test]
fn reasoning_goes_back_only_in_the_tool_loops_that_want_it() {
    let thought = |proof: Option<Proof>| AssistantPart::Reasoning(Reasoning { text: "Hm".into(), proof });
    let talk = ChatRequest::new("r")
        .user("x")
        .message(Message::Assistant(vec![thought(None), AssistantPart::Text("a".into())]))
        .user("y");
    let tools = talk
        .clone()
        .message(Message::Assistant(vec![AssistantPart::ToolCall(call("a"))]))
        .message(Message::tool_result(&call("a"), "z"));
    let dropped = vec![Note::Dropped("messages.reasoning")];
    let (found, notes) = messages("deepseek", "m", &talk);
    assert_eq!((found[1].get("reasoning_content"), notes), (None, dropped.clone()));
    let (found, notes) = messages("deepseek", "m", &tools);
    assert_eq!(found[1]["reasoning_content"], "Hm");
    assert_eq!(found[3]["reasoning_content"], "", "none came, but the field must be there");
    assert_eq!(notes, []);
    let (found, notes) = messages("openai", "m", &tools);
    assert_eq!((found[1].get("reasoning_content"), notes), (None, dropped.clone()));
    let proof = Some(Proof::new(Dialect::OpenAiResponses, "{}"));
    let proven = tools.clone().message(Message::Assistant(vec![thought(proof.clone())]));
    let signed = ToolCall { proof, ..call("b") };
    let signed = Message::Assistant(vec![thought(None), AssistantPart::ToolCall(signed)]);
    let (found, notes) = messages("deepseek", "m", &proven);
    assert_eq!((&found[5]["reasoning_content"], notes), (&"".into(), dropped.clone()), "who proves it is another");
    let answered = Message::tool_result(&call("b"), "z");
    let (found, notes) = messages("deepseek", "m", &tools.message(signed).message(answered));
    assert_eq!(found[5]["reasoning_content"], "", "who proves a call beside it is another, too");
    assert_eq!(notes, [dropped[0], Note::Dropped("messages.tool_call.proof")]);
}

#[test]
fn requests_that_a_provider_cannot_serve_go_elsewhere() {
    let image = |image| hello().message(Message::User(vec![UserPart::Image(image)]));
    let url = || image(Image::Url("https://x.dev/a.png".into()));
    let inline = || image(Image::Base64 { media_type: "image/png".to_owned(), data: "AAAA".into() });
    let result = hello().message(Message::tool_result(&call("a"), "z"));
    for (provider, request, field) in [
        ("deepseek", url(), Some("messages.image:")),
        ("deepseek", inline(), Some("messages.image:")),
        ("ollama", url(), Some("messages.image.url:")),
        ("ollama", inline(), None),
        // An address may hold all of it, in letters of any case.
        ("ollama", image(Image::Url("data:image/png;base64,AAAA".into())), None),
        ("ollama", image(Image::Url("DATA:image/png;name=a;BASE64,AAAA".into())), None),
        ("ollama", image(Image::Url("data:image/png,AAAA".into())), Some("messages.image.url:")),
        ("openai", url(), None),
        ("perplexity", hello().tool(weather()), Some("tools:")),
        ("perplexity", result, Some("tools:")),
        ("perplexity", url(), None),
    ] {
        for dialect in [Dialect::OpenAiChat, Dialect::OpenAiResponses] {
            let failure = encode(dialect, flavour(provider), &request, &target("m"), true).err();
            let expected = field.map(|_| FailureClass::Unsupported);
            assert_eq!(failure.as_ref().map(|failure| failure.class), expected, "{provider}");
            assert!(failure.is_none_or(|failure| failure.message.starts_with(field.unwrap_or_default())));
        }
    }
}

#[test]
fn a_model_that_cannot_think_and_answer_in_json_answers_in_json() {
    let json = ChatRequest { response_format: ResponseFormat::Json, effort: Some(Effort::High), ..hello() };
    for (provider, model, request, thinking, dropped) in [
        ("qwen", "qwen3-max", &json, json!(false), true),
        ("qwen", "qwen3-max", &hello(), Value::Null, false),
        ("qwen", "qwen3.8-max", &json, json!(true), false),
        ("generic", "qwen3-max", &json, Value::Null, false),
    ] {
        let found = body(provider, model, request);
        assert_eq!(found.get("enable_thinking").cloned().unwrap_or_default(), thinking, "{provider} {model}");
        let notes = encoded(provider, model, request).notes;
        assert_eq!(notes.contains(&Note::Dropped("effort")), dropped, "{provider} {model}: {notes:?}");
    }
}

#[test]
fn extra_fields_go_to_strict_providers_only_if_they_know_them() {
    let extra = json!({"safe_prompt": true, "top_k": 40, "chat_template_kwargs": {}});
    let request = ChatRequest { extra: Json::from(&extra).fields(), ..hello() };
    assert_eq!(Value::Object(fields(&body("mistral", "m", &request))), json!({"safe_prompt": true}));
    let dropped = |names: &[&str]| -> Vec<Note> {
        let fields = names.iter().map(|name| Note::DroppedField(FieldName::new(name)));
        [Note::Dropped("extra")].into_iter().chain(fields).collect()
    };
    assert_eq!(encoded("mistral", "m", &request).notes, dropped(&["chat_template_kwargs", "top_k"]));
    assert_eq!(Value::Object(fields(&body("generic", "m", &request))), extra, "nobody knows what it takes");
    assert_eq!(encoded("generic", "m", &request).notes, []);
    assert_eq!(Value::Object(fields(&body("vllm", "m", &request))), json!({"top_k": 40, "chat_template_kwargs": {}}));
    assert_eq!(encoded("vllm", "m", &request).notes, dropped(&["safe_prompt"]), "that is Mistral's alone");
}

#[test]
fn streams_are_asked_for_as_each_provider_takes_it() {
    for (provider, streaming, stream, usage) in [
        ("generic", true, true, true),
        ("generic", false, false, false),
        ("mistral", true, true, false),
        ("perplexity", true, true, false),
        ("qwen", false, false, false),
    ] {
        let encoded =
            encode(Dialect::OpenAiChat, flavour(provider), &hello(), &target("m"), streaming).expect("a good request");
        let body: Value = serde_json::from_slice(&encoded.body.whole()).expect("JSON");
        assert_eq!((body["stream"] == true, body["stream_options"].is_object()), (stream, usage), "{provider}");
        assert_eq!(encoded.headers["accept"] == "text/event-stream", stream);
    }
}

#[test]
fn a_providers_address_tells_its_flavour() {
    for (base_url, name) in [
        ("https://api.openai.com/v1", "openai"),
        ("https://API.OpenAI.com", "openai"),
        ("https://eu.api.openai.com/v1", "openai"),
        ("https://notapi.openai.com.evil.dev/v1", "generic"),
        ("https://evilapi.openai.com", "generic"),
        ("https://res.openai.azure.com/openai/v1", "azure"),
        ("https://res.services.ai.azure.com/openai/v1", "azure"),
        ("https://res.openai.azure.com", "azure-deployments"),
        ("https://res.cognitiveservices.azure.com", "azure-deployments"),
        ("https://api.deepseek.com", "deepseek"),
        ("https://api.mistral.ai/v1", "mistral"),
        ("https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "qwen"),
        ("https://api.groq.com/openai/v1", "groq"),
        ("https://api.x.ai/v1", "xai"),
        ("https://api.together.xyz/v1", "together"),
        ("https://openrouter.ai/api/v1", "openrouter"),
        ("https://api.perplexity.ai", "perplexity"),
        ("http://localhost:11434/v1", "ollama"),
        ("http://localhost:1234/v1", "lmstudio"),
        (
            "https://us-east5-aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/anthropic",
            "vertex-anthropic",
        ),
        ("https://aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/anthropic", "vertex-anthropic"),
        ("https://us-east5-aiplatform.googleapis.com/v1/projects/p/locations/l/publishers/google", "generic"),
        ("http://localhost:8000/v1", "generic"),
        ("http://127.0.0.1:8080/v1", "generic"),
        ("", "generic"),
    ] {
        assert_eq!(Flavour::at(base_url).name, name, "{base_url}");
    }
    let names: Vec<_> = Flavour::names().collect();
    assert!(names.iter().enumerate().all(|(at, name)| !names[..at].contains(name)), "{names:?}");
    assert!(names.iter().all(|name| Flavour::named(name).is_some_and(|flavour| flavour.name == *name)));
    assert_eq!(Flavour::named("no such"), None);
}

#[test]
fn azure_has_its_own_header_and_addresses() {
    let headers = |name: &str| {
        let mut headers = http::HeaderMap::new();
        authorize(Dialect::OpenAiChat, flavour(name), &Secret::new("k"), &mut headers).expect("a good key");
        headers
    };
    assert_eq!(headers("azure")["api-key"], "k");
    assert_eq!(headers("azure").get("authorization"), None);
    assert!(headers("azure")["api-key"].is_sensitive());
    assert_eq!(headers("openai")["authorization"], "Bearer k");
    let path =
        |dialect, name: &str| encode(dialect, flavour(name), &hello(), &target("my gpt/4"), true).expect("good").path;
    assert_eq!(path(Dialect::OpenAiChat, "azure"), "/chat/completions");
    let deployments = "azure-deployments";
    assert_eq!(path(Dialect::OpenAiChat, deployments), "/openai/deployments/my%20gpt%2F4/chat/completions");
    assert_eq!(path(Dialect::OpenAiResponses, deployments), "/openai/responses");
    assert_eq!(flavour(deployments).query, [("api-version", "2024-10-21")]);
}

#[test]
fn models_are_told_apart_by_their_generation() {
    for (model, reasons) in [
        ("gpt-5", true),
        ("openai/gpt-5.2-nano", true),
        ("o1", true),
        ("o3-mini-2025", true),
        ("gpt-50", false),
        ("o10", false),
        ("gpt-5-chat-latest", false),
        ("gpt-4o", false),
        ("gpt-35-turbo", false),
        ("gpt-oss-120b", false),
        ("olmo-2", false),
        ("", false),
    ] {
        assert_eq!(GENERIC.encrypts(model.into(), false), reasons, "{model}");
    }
}

#[test]
fn a_field_adds_to_a_prompt_unless_it_is_known_not_to_or_says_no() {
    let adds = |flavour: &str, model: &str, extra: Value| {
        let mut request = ChatRequest::new("r").user("Hi");
        let Value::Object(fields) = extra else { panic!("no object") };
        request.extra = fields.into_iter().map(|(name, value)| (name, value.into())).collect();
        self::flavour(flavour).searches_by_itself(model) || adds_to_prompt(&request)
    };
    for (flavour, extra) in [
        ("openai", json!({"web_search_options": {}})),
        ("openrouter", json!({"plugins": [{"id": "web"}]})),
        ("xai", json!({"search_parameters": {"mode": "on"}})),
        ("qwen", json!({"enable_search": true})),
        ("groq", json!({"compound_custom": {"tools": {}}})),
        ("vercel", json!({"providerOptions": {"google": {}}})),
        ("anthropic", json!({"mcp_servers": [{"url": "https://x"}]})),
        ("vllm", json!({"documents": [{"text": "x"}]})),
        ("generic", json!({"a_field_of_tomorrow": 1})),
    ] {
        assert!(adds(flavour, "m", extra.clone()), "{flavour} {extra}");
    }
    for extra in [
        json!({"top_k": 5, "service_tier": "flex", "metadata": {"a": "b"}, "reasoning": {"effort": "low"}}),
        json!({"enable_search": false, "plugins": [], "a_field_of_tomorrow": null}),
        json!({"include": ["x"], "truncation": "auto", "store": false}),
        json!({"thinking": {"type": "adaptive"}, "output_config": {}, "context_management": {}}),
        json!({"generationConfig": {"topK": 3}, "safetySettings": [{}], "labels": {}}),
        json!({"guided_json": {}, "chat_template_kwargs": {}, "n": 2, "user": "x"}),
    ] {
        assert!(!adds("openai", "gpt-5.4", extra.clone()), "{extra}");
    }
    assert!(adds("perplexity", "whatever", json!({})), "all of its models search");
    for model in ["perplexity/sonar-pro", "gpt-4o-search-preview", "o3-deep-research", "groq/compound", "x/y:online"] {
        assert!(adds("openrouter", model, json!({})), "{model}");
    }
    assert!(!adds("openrouter", "openai/gpt-5.4", json!({})));
}

use serde_json::{Map, Value, json};

use super::*;
use crate::wire::{Encoded, authorize, encode};
use crate::words::{
    Dialect, FailureClass, Note, Proof, Reasoning, ResponseFormat, Sampling, Secret, TargetId, Tool, ToolCall,
    ToolChoice, ToolResult,
};

fn target(model: &str) -> TargetId {
    TargetId::new("p", model)
}

fn quirks(name: &str) -> &'static Quirks {
    Quirks::named(name).expect("a known name")
}

fn encoded(name: &str, model: &str, request: &ChatRequest) -> Encoded {
    encode(Dialect::OpenAiChat, quirks(name), request, &target(model), false).expect("a good request")
}

fn body(name: &str, model: &str, request: &ChatRequest) -> Value {
    serde_json::from_slice(&encoded(name, model, request).body.whole()).expect("JSON")
}

fn weather() -> Tool {
    Tool { name: "weather".into(), description: String::new(), parameters: json!({"type": "object"}), strict: None }
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
            stop: vec!["END".to_owned()],
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
fn what_is_left_out_is_noted() {
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
fn every_effort_has_a_word_everywhere() {
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
        ("openai", "gpt-5-mini", plain(["", "minimal", "low", "medium", "high", "high", "high"])),
        ("openai", "gpt-5.1", plain(["none", "low", "low", "medium", "high", "high", "high"])),
        ("openai", "gpt-5.4", plain(["none", "low", "low", "medium", "high", "xhigh", "xhigh"])),
        ("openai", "gpt-6-astra", plain(["", "low", "low", "medium", "high", "xhigh", "max"])),
        ("openai", "o4-mini", plain(["", "low", "low", "medium", "high", "high", "high"])),
        ("deepseek", "deepseek-v4-pro", deepseek),
        ("mistral", "m", plain(["none", "none", "none", "high", "high", "high", "high"])),
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
    // Whatever a row says is JSON.
    for quirks in TABLE {
        for effort in all {
            let request = ChatRequest { effort: Some(effort), ..hello() };
            let forced = ChatRequest { tool_choice: ToolChoice::Required, ..everything() };
            body(quirks.name, "m", &request);
            if !quirks.lacks.contains(&"tools") {
                body(quirks.name, "m", &forced);
            }
        }
    }
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
    let schema = ResponseFormat::JsonSchema { name: "answer".into(), schema: json!({"type": "object"}), strict: true };
    let sent = json!({"type": "json_schema", "json_schema":
        {"name": "answer", "schema": {"type": "object"}, "strict": true}});
    let only = "Answer with one JSON object and nothing else: no other text before or after, no code fence.";
    let told = format!("{only} It must fit this JSON schema:\n{{\"type\":\"object\"}}");
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
fn models_that_reason_are_spoken_to_by_the_developer() {
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
        let encoded = encode(Dialect::OpenAiChat, quirks(provider), &request, model, false).expect("a good request");
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
    // Where no model is known to reason there is nothing to be taken for.
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
fn what_a_provider_cannot_serve_goes_elsewhere() {
    let image = |image| hello().message(Message::User(vec![UserPart::Image(image)]));
    let url = || image(Image::Url("https://x.dev/a.png".into()));
    let inline = || image(Image::Base64 { media_type: "image/png".to_owned(), data: "AAAA".into() });
    let result = hello().message(Message::tool_result(&call("a"), "z"));
    for (provider, request, field) in [
        ("deepseek", url(), Some("messages.image:")),
        ("deepseek", inline(), Some("messages.image:")),
        ("ollama", url(), Some("messages.image.url:")),
        ("ollama", inline(), None),
        ("openai", url(), None),
        ("perplexity", hello().tool(weather()), Some("tools:")),
        ("perplexity", result, Some("tools:")),
        ("perplexity", url(), None),
    ] {
        for dialect in [Dialect::OpenAiChat, Dialect::OpenAiResponses] {
            let failure = encode(dialect, quirks(provider), &request, &target("m"), true).err();
            let expected = field.map(|_| FailureClass::Unsupported);
            assert_eq!(failure.as_ref().map(|failure| failure.class), expected, "{provider}");
            assert!(failure.is_none_or(|failure| failure.message.starts_with(field.unwrap_or_default())));
        }
    }
}

#[test]
fn extra_fields_go_to_strict_providers_only_if_they_know_them() {
    let extra = json!({"safe_prompt": true, "top_k": 40, "chat_template_kwargs": {}});
    let request = ChatRequest { extra: extra.as_object().expect("an object").clone(), ..hello() };
    assert_eq!(Value::Object(fields(&body("mistral", "m", &request))), json!({"safe_prompt": true}));
    assert_eq!(encoded("mistral", "m", &request).notes, [Note::Dropped("extra")]);
    assert_eq!(Value::Object(fields(&body("generic", "m", &request))), extra, "nobody knows what it takes");
    assert_eq!(encoded("generic", "m", &request).notes, []);
    assert_eq!(Value::Object(fields(&body("vllm", "m", &request))), json!({"top_k": 40, "chat_template_kwargs": {}}));
    assert_eq!(encoded("vllm", "m", &request).notes, [Note::Dropped("extra")], "that is Mistral's alone");
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
            encode(Dialect::OpenAiChat, quirks(provider), &hello(), &target("m"), streaming).expect("a good request");
        let body: Value = serde_json::from_slice(&encoded.body.whole()).expect("JSON");
        assert_eq!((body["stream"] == true, body["stream_options"].is_object()), (stream, usage), "{provider}");
        assert_eq!(encoded.headers["accept"] == "text/event-stream", stream);
    }
}

#[test]
fn a_providers_address_tells_its_accent() {
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
        assert_eq!(Quirks::at(base_url).name, name, "{base_url}");
    }
    let names: Vec<_> = Quirks::names().collect();
    assert!(names.iter().enumerate().all(|(at, name)| !names[..at].contains(name)), "{names:?}");
    assert!(names.iter().all(|name| Quirks::named(name).is_some_and(|quirks| quirks.name == *name)));
    assert_eq!(Quirks::named("no such"), None);
}

#[test]
fn azure_has_its_own_header_and_addresses() {
    let headers = |name: &str| {
        let mut headers = http::HeaderMap::new();
        authorize(Dialect::OpenAiChat, quirks(name), &Secret::new("k"), &mut headers).expect("a good key");
        headers
    };
    assert_eq!(headers("azure")["api-key"], "k");
    assert_eq!(headers("azure").get("authorization"), None);
    assert!(headers("azure")["api-key"].is_sensitive());
    assert_eq!(headers("openai")["authorization"], "Bearer k");
    let path =
        |dialect, name: &str| encode(dialect, quirks(name), &hello(), &target("my gpt/4"), true).expect("good").path;
    assert_eq!(path(Dialect::OpenAiChat, "azure"), "/chat/completions");
    let deployments = "azure-deployments";
    assert_eq!(path(Dialect::OpenAiChat, deployments), "/openai/deployments/my%20gpt%2F4/chat/completions");
    assert_eq!(path(Dialect::OpenAiResponses, deployments), "/openai/responses");
    assert_eq!(quirks(deployments).query, [("api-version", "2024-10-21")]);
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

// Recorded requests, encoded anew from what they say.

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

/// Tells whether there are words for all that a recorded body holds.
fn has_words(recorded: &Value) -> bool {
    let known = |part: &Value| part["text"].is_string() || part["image_url"]["url"].is_string();
    let parts = |message: &Value| message["content"].as_array().is_none_or(|parts| parts.iter().all(known));
    let is_shown = |message: &Value| message["role"] != "tool" || message["content"].is_string();
    recorded["messages"].as_array().is_some_and(|messages| messages.iter().all(|m| parts(m) && is_shown(m)))
        && recorded["reasoning_effort"].as_str().is_none_or(|word| PLAIN.contains(&word))
        && recorded["tools"].as_array().is_none_or(|tools| tools.iter().all(|tool| tool["type"] == "function"))
}

/// Turns a recorded body into one of our requests; what we have no word for goes along as it is.
fn request(recorded: &Value) -> ChatRequest {
    let float = |field: &str| recorded[field].as_f64();
    let integer = |field: &str| recorded[field].as_i64();
    let tools = recorded["tools"].as_array().into_iter().flatten().map(|tool| {
        let function = &tool["function"];
        Tool {
            name: function["name"].as_str().expect("a name").to_owned(),
            description: function["description"].as_str().unwrap_or_default().to_owned(),
            parameters: function["parameters"].clone(),
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
                schema: format["json_schema"]["schema"].clone(),
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
        extra: extra.map(|(key, value)| (key.clone(), value.clone())).collect(),
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
    // Who says nothing and calls nothing is left out.
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
        let Some(quirks) = Quirks::named(provider).filter(|_| case["kind"] == "ok" && has_words(&recorded)) else {
            continue;
        };
        let model = recorded["model"].as_str().unwrap_or_default();
        let streaming = recorded["stream"] == true;
        let Ok(encoded) = encode(Dialect::OpenAiChat, quirks, &request(&recorded), &target(model), streaming) else {
            continue;
        };
        // What we would not send is in the notes: then the bodies differ.
        let found = plain(serde_json::from_slice(&encoded.body.whole()).expect("JSON"));
        compared += 1;
        if encoded.notes.is_empty() && found != plain(recorded.clone()) {
            different.push(format!("{}:\n{found}\n{}", case["case"], plain(recorded)));
        }
    }
    println!("{compared} recorded bodies");
    assert!(different.is_empty(), "{}", different.join("\n"));
}

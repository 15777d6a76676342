//! Requests: recorded ones lose nothing on their way to a provider of the same dialect; what SDKs and agents send is
//! understood; what is malformed is named.

use std::collections::HashSet;

use super::*;
use crate::wire::flavour::GENERIC;
use crate::wire::{Encoded, encode};
use crate::words::{Demand, Demanded, Effort, Foreign, Image, Message, ResponseFormat, ToolChoice, UserPart};

fn encoded(asked: &ParsedRequest, dialect: Dialect, model: &str) -> (Value, Encoded) {
    let encoded = encode(dialect, &GENERIC, &asked.request, model, asked.stream).unwrap_or_else(|bad| panic!("{bad}"));
    (serde_json::from_slice(&encoded.body.whole()).expect("JSON"), encoded)
}

/// The parts of a recorded request that are said otherwise or not at all, at any place, and why.
const UNSAID: &[(&str, &str)] = &[
    ("role", "a system may be a developer, a function a user"),
    ("type", "kinds of parts have several names"),
    ("model", "it is the target's"),
    ("store", "nothing is stored"),
    ("include", "what is to be included is decided by the model"),
    ("id", "items are told by what they are, calls by the id of the call"),
    ("status", "an item is done"),
    ("cache_control", "stands once, for the whole prompt"),
    ("annotations", "of what was said, the text"),
    ("reasoning_content", "only to who wants it"),
    ("reasoning", "as before"),
    ("reasoning_details", "as before"),
    ("thinking", "another way to say it"),
    ("detail", "noted"),
    ("name", "of whoever speaks: noted"),
    ("output_format", "another way to say it"),
    ("anthropic_version", "in a header"),
    ("logprobs", "noted"),
    ("top_logprobs", "noted"),
    ("budget_tokens", "another way to say it"),
    ("max_tokens", "has two names"),
    ("tool_choice", "may be left to the model, where it is"),
    ("stream_options", "asked for here"),
    ("prefix", "a provider's own"),
    ("strict", "where the target takes it"),
    ("mode", "of a choice: may be left to the model, where it is"),
    ("includeThoughts", "kept beside"),
    ("thinkingBudget", "another way to say it"),
    ("thinkingLevel", "another way to say it"),
    ("thinkingConfig", "another way to say it"),
    ("thinking_config", "another way to say it"),
    ("response_schema", "its kinds are spelled in capitals"),
    ("responseSchema", "as before"),
    ("parameters", "as before"),
    ("functionResponse", "results that are text are wrapped"),
    ("candidateCount", "is one"),
    ("n", "is one"),
    ("temperature", "where the target takes it"),
    ("top_p", "as before"),
    ("effort", "has fewer steps"),
    ("reasoning_effort", "has fewer steps"),
];

/// Gathers the texts and numbers of a value, except thoughts that nothing proves.
fn leaves<'v>(value: &'v Value, found: &mut Vec<(&'v str, String)>, key: &'v str) {
    match value {
        Value::Object(_) if value["type"] == "reasoning" && !value["encrypted_content"].is_string() => {}
        Value::Object(fields) => fields.iter().for_each(|(key, value)| {
            if !UNSAID.iter().any(|(unsaid, _)| unsaid == key) {
                leaves(value, found, key);
            }
        }),
        Value::Array(list) => list.iter().for_each(|value| leaves(value, found, key)),
        Value::String(text) if !text.trim().is_empty() => found.push((key, text.clone())),
        Value::Number(number) => found.push((key, number.to_string())),
        _ => {}
    }
}

fn caller_dialect_of(case: &Value) -> Option<CallerDialect> {
    match case["api"].as_str()? {
        "chat-completions" => Some(CallerDialect::OpenAiChat),
        "responses" => Some(CallerDialect::OpenAiResponses),
        "anthropic-messages" => Some(CallerDialect::Anthropic),
        "gemini-generate" => Some(CallerDialect::Gemini),
        _ => None,
    }
}

/// Returns the recorded requests that were answered.
fn recorded() -> Vec<(CallerDialect, String, Value)> {
    let cases = crate::wire::tests::cases();
    let answered = cases.iter().filter(|case| case["kind"] == "ok");
    let requests = answered.filter_map(|case| {
        let body = serde_json::from_str(case["request"]["body"].as_str()?).ok()?;
        Some((caller_dialect_of(case)?, case["case"].as_str()?.to_owned(), body))
    });
    requests.collect()
}

#[test]
fn recorded_requests_lose_nothing_on_their_way_to_the_same_dialect() {
    let mut losses = Vec::new();
    let mut compared = 0;
    for (caller_dialect, name, body) in recorded() {
        let asked = match read(caller_dialect, Some("m"), false, &body.to_string().into()) {
            Ok(asked) => asked,
            // One answer is given, and parts are text or images.
            Err(bad) if bad.field == "n" || bad.problem.contains("send text or images") => continue,
            Err(bad) => panic!("{name}: {bad}: {body}"),
        };
        if lost(&asked).contains(&Note::Dropped("tools")) || lost(&asked).contains(&Note::Dropped("input")) {
            continue;
        }
        let (after, _) = encoded(&asked, caller_dialect.dialect(), "claude-opus-4-6");
        let mut found = Vec::new();
        all_texts(&after, &mut found);
        let exact: HashSet<&str> = found.iter().map(String::as_str).collect();
        let mut said = Vec::new();
        leaves(&body, &mut said, "");
        for (key, text) in said {
            let spelled = |found: &String| {
                found.contains(&text) || found.parse::<f64>().is_ok_and(|number| text.parse() == Ok(number))
            };
            if !exact.contains(text.as_str()) && !found.iter().any(spelled) {
                losses.push(format!("{name}: {key}: {text}\n    {after}"));
            }
        }
        // Written requests are read back unchanged.
        let again = read(caller_dialect, Some("m"), false, &after.to_string().into())
            .unwrap_or_else(|bad| panic!("{name}: {bad}"));
        assert_eq!(conversation(&again), conversation(&asked), "{name}");
        let tools = |asked: &ParsedRequest| {
            let tools = asked.request.tools.iter();
            tools.map(|tool| (tool.name.clone(), tool.description.clone(), tool.parameters.clone())).collect::<Vec<_>>()
        };
        assert_eq!(tools(&again), tools(&asked), "{name}");
        assert_eq!(again.request.response_format, asked.request.response_format, "{name}");
        compared += 1;
    }
    println!("{compared} requests compared");
    assert!(losses.is_empty(), "{}", losses.join("\n"));
}

/// Returns the conversation without thoughts that nothing proves, which go only to targets that want them, and without
/// those of gateways, which have no place in the dialect.
fn conversation(asked: &ParsedRequest) -> Vec<Message> {
    let mut messages = asked.request.messages.clone();
    for message in &mut messages {
        if let Message::Assistant(parts) = message {
            parts.retain_mut(|part| match part {
                AssistantPart::Reasoning(Reasoning { proof: Some(proof), .. }) => {
                    // Thoughts at OpenAI go without the id they came with.
                    if let Ok(mut item @ Value::Object(_)) = serde_json::from_str::<Value>(&proof.data) {
                        item["id"] = Value::Null;
                        proof.data = item.to_string().into();
                    }
                    proof.dialect != Dialect::OpenAiChat
                }
                AssistantPart::Reasoning(_) => false,
                _ => true,
            });
        }
    }
    messages
}

fn all_texts(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields.values().for_each(|value| all_texts(value, found)),
        Value::Array(list) => list.iter().for_each(|value| all_texts(value, found)),
        Value::String(text) => found.push(text.clone()),
        Value::Number(number) => found.push(number.to_string()),
        _ => {}
    }
}

#[test]
fn requests_with_any_field_of_another_kind_are_read_or_go_as_they_came_to_their_own_dialect_alone() {
    let mutants =
        [json!(null), json!(true), json!(-1.5), json!("x"), json!([]), json!([[]]), json!({}), json!({"type": "x"})];
    let (mut read_anyway, mut set_aside) = (0, 0);
    let recorded = recorded().into_iter().step_by(7).map(|(caller_dialect, _, body)| (caller_dialect, body));
    for (caller_dialect, body) in recorded.chain(full()) {
        let mut paths = Vec::new();
        gather(&body, String::new(), &mut paths);
        for path in paths.iter().take(120) {
            for mutant in &mutants {
                let mut broken = body.clone();
                *broken.pointer_mut(path).expect("a field") = mutant.clone();
                let Ok(asked) = read(caller_dialect, Some("m"), false, &broken.to_string().into()) else { continue };
                read_anyway += 1;
                let original = asked.request.original.as_ref().expect("a body");
                let Some(unread) = original.unread.first() else { continue };
                set_aside += 1;
                assert!(!asked.request.demands().is_empty(), "{}: {broken}", unread.field);
                assert_eq!(original.body, broken.to_string(), "it goes on as it came");
            }
        }
    }
    println!("{read_anyway} were read all the same, {set_aside} of them but for a part");
    assert!(set_aside > 100);
}

/// A request of each dialect with all that it may have.
fn full() -> Vec<(CallerDialect, Value)> {
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let function = json!({"name": "weather", "description": "d", "parameters": schema});
    let call = json!({"id": "c", "type": "function", "function": {"name": "weather", "arguments": "{}"}});
    vec![
        (
            CallerDialect::OpenAiChat,
            json!({"model": "m", "temperature": 0.5, "top_p": 0.5, "max_tokens": 9, "n": 1, "seed": 7, "stop": ["END"],
            "reasoning_effort": "low", "parallel_tool_calls": true, "tool_choice": "auto", "user": "me",
            "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}},
            "tools": [{"type": "function", "function": function}],
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": "Look."},
                    {"type": "image_url", "image_url": {"url": "https://x.test/a.png", "detail": "low"}}]},
                {"role": "assistant", "content": "Hm.", "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "c", "content": "rain"},
            ]}),
        ),
        (
            CallerDialect::OpenAiResponses,
            json!({"model": "m", "temperature": 0.5, "top_p": 0.5, "max_output_tokens": 9, "instructions": "Be brief.",
            "reasoning": {"effort": "low"}, "tool_choice": {"type": "function", "name": "weather"},
            "text": {"format": {"type": "json_schema", "name": "n", "schema": schema}},
            "tools": [{"type": "function", "name": "weather", "parameters": schema}],
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "Look."},
                    {"type": "input_image", "image_url": "https://x.test/a.png"}]},
                {"type": "function_call", "call_id": "c", "name": "weather", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c", "output": "rain"},
            ]}),
        ),
        (
            CallerDialect::Anthropic,
            json!({"model": "m", "temperature": 0.5, "top_p": 0.5, "max_tokens": 9, "stop_sequences": ["END"],
            "system": [{"type": "text", "text": "Be brief."}], "metadata": {"user_id": "me"},
            "thinking": {"type": "disabled"},
            "tools": [{"name": "weather", "description": "d", "input_schema": schema}],
            "tool_choice": {"type": "auto"},
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Look."},
                    {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}}]},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "weather", "input": {}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c",
                    "content": [{"type": "text", "text": "rain"}]}]},
            ]}),
        ),
        (
            CallerDialect::Gemini,
            json!({"systemInstruction": {"parts": [{"text": "Be brief."}]},
            "generationConfig": {"temperature": 0.5, "topP": 0.5, "maxOutputTokens": 9, "stopSequences": ["END"],
                "seed": 7, "responseMimeType": "application/json", "responseSchema": {"type": "OBJECT"},
                "thinkingConfig": {"thinkingBudget": 9, "includeThoughts": true}},
            "tools": [{"functionDeclarations": [function]}],
            "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["weather"]}},
            "contents": [
                {"role": "user", "parts": [{"text": "Look."},
                    {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}]},
                {"role": "model", "parts": [{"functionCall": {"name": "weather", "args": {}}}]},
                {"role": "user", "parts": [{"functionResponse": {"name": "weather", "response": {"output": "rain"}}}]},
            ]}),
        ),
    ]
}

fn gather(value: &Value, path: String, paths: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                gather(value, format!("{path}/{}", key.replace('~', "~0").replace('/', "~1")), paths);
            }
        }
        Value::Array(list) => {
            for (at, value) in list.iter().enumerate() {
                gather(value, format!("{path}/{at}"), paths);
            }
        }
        _ => {}
    }
    paths.push(path);
}

/// Holds that a request has this part for targets of its dialect alone, as it came.
fn set_aside(asked: &ParsedRequest, body: &bytes::Bytes, field: &str) {
    let original = asked.request.original.as_ref().expect("a body");
    let unread: Vec<&str> = original.unread.iter().map(|unread| &*unread.field).collect();
    assert_eq!(unread, [field], "{body:?}");
    assert!(!original.unread[0].problem.is_empty());
    assert_eq!(original.body, body, "{field}");
    let is_wall = |demand: &Demand| matches!(demand.what, Demanded::Foreign(dialect, _) if dialect == original.dialect);
    assert!(asked.request.demands().iter().any(is_wall), "{field}: {:?}", asked.request);
}

#[test]
fn what_is_malformed_is_named_by_its_path_and_set_aside_unless_it_must_be_known() {
    let user = json!({"role": "user", "content": "Hi"});
    let chat = |extra: Value| {
        let mut body = json!({"model": "m", "messages": [user]});
        body.as_object_mut().expect("an object").extend(extra.as_object().expect("fields").clone());
        body
    };
    let table = [
        (CallerDialect::OpenAiChat, json!({"messages": [user]}), "model"),
        (CallerDialect::OpenAiChat, json!({"model": "m"}), "messages"),
        (CallerDialect::OpenAiChat, json!({"model": "m", "messages": []}), "messages"),
        (
            CallerDialect::OpenAiChat,
            json!({"model": "m", "messages": [user, {"role": "user", "content": [{"type": "text", "text": 5}]}]}),
            "messages[1].content[0].text",
        ),
        (CallerDialect::OpenAiChat, json!({"model": "m", "messages": [{"content": ""}]}), "messages[0].role"),
        (
            CallerDialect::OpenAiChat,
            json!({"model": "m", "messages": [{"role": "tool", "content": ""}]}),
            "messages[0].tool_call_id",
        ),
        (
            CallerDialect::OpenAiChat,
            json!({"model": "m", "messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}),
            "messages[0].content[0].input_audio",
        ),
        (CallerDialect::OpenAiChat, chat(json!({"n": 0})), "n"),
        (CallerDialect::OpenAiChat, chat(json!({"temperature": "hot"})), "temperature"),
        (
            CallerDialect::OpenAiChat,
            chat(json!({"tools": [{"type": "function", "function": {}}]})),
            "tools[0].function.name",
        ),
        (CallerDialect::OpenAiChat, chat(json!({"tool_choice": "perhaps"})), "tool_choice"),
        (
            CallerDialect::OpenAiChat,
            chat(json!({"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}})),
            "response_format.json_schema.schema",
        ),
        (CallerDialect::OpenAiChat, chat(json!({"reasoning_effort": 5})), "reasoning_effort"),
        (
            CallerDialect::OpenAiResponses,
            json!({"model": "m", "input": "Hi", "background": true, "store": false}),
            "store",
        ),
        (CallerDialect::OpenAiResponses, json!({"model": "m", "input": 5}), "input"),
        (
            CallerDialect::Anthropic,
            json!({"model": "m", "messages": [{"role": "user", "content": [{"type": "tool_result", "content": "x"}]}]}),
            "messages[0].content[0].tool_use_id",
        ),
        (
            CallerDialect::Anthropic,
            json!({"model": "m", "messages": [{"role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text"}]}]}]}),
            "messages[0].content[0].content[0].text",
        ),
        (CallerDialect::Anthropic, json!({"model": "m", "messages": [user], "thinking": {"type": 5}}), "thinking.type"),
        (CallerDialect::Gemini, json!({"contents": [{"parts": [{}]}]}), "contents[0].parts[0]"),
        (
            CallerDialect::Gemini,
            json!({"contents": [{"parts": [{"text": "x"}]}], "generationConfig": {"topP": "x"}}),
            "generationConfig.topP",
        ),
        // Only -1 is a word for no limit.
        (CallerDialect::OpenAiChat, chat(json!({"max_tokens": -5})), "max_tokens"),
        (
            CallerDialect::OpenAiResponses,
            json!({"model": "m", "input": "Hi", "max_output_tokens": -5}),
            "max_output_tokens",
        ),
        (CallerDialect::Anthropic, json!({"model": "m", "messages": [user], "max_tokens": -5}), "max_tokens"),
        (
            CallerDialect::Gemini,
            json!({"contents": [{"parts": [{"text": "x"}]}], "generationConfig": {"maxOutputTokens": -5}}),
            "generationConfig.maxOutputTokens",
        ),
    ];
    for (caller_dialect, body, field) in table {
        let model = (caller_dialect == CallerDialect::Gemini).then_some("m");
        let text: bytes::Bytes = body.to_string().into();
        match read(caller_dialect, model, false, &text) {
            Err(bad) => {
                assert!(["model", "messages", "input", "store"].contains(&field), "{body}: {bad}");
                assert_eq!(bad.field, field, "{body}: {bad}");
                assert!(!bad.problem.is_empty());
            }
            Ok(asked) => set_aside(&asked, &text, field),
        }
    }
    let deep = format!("{{\"model\":\"m\",\"messages\":{}{}}}", "[".repeat(9_000), "]".repeat(9_000));
    for body in ["", "[]", "{", "null", "{\"model\":\"m\",\"messages\":[\"\u{0}\"]}", &deep] {
        for caller_dialect in CALLER_DIALECTS {
            assert!(read(caller_dialect, Some("m"), false, &body.to_owned().into()).is_err(), "{body:.40}");
        }
    }
}

#[test]
fn a_chat_as_agents_send_it_is_understood() {
    let asked = asked(
        CallerDialect::OpenAiChat,
        &json!({
            "model": "smart", "stream": true, "stream_options": {"include_usage": true}, "n": 1, "stop": "END",
            "max_completion_tokens": 50, "max_tokens": 40, "reasoning_effort": "xhigh", "user": "u",
            "prompt_cache_key": "k",
            "tool_choice": {"type": "function", "function": {"name": "f"}}, "parallel_tool_calls": false, "seed": -3,
            "tools": [
                {"type": "function",
                    "function": {"name": "f", "description": "d", "strict": true, "parameters": {"type": "object"}}},
                {"type": "web_search"},
            ],
            "messages": [
                {"role": "developer", "content": [{"type": "text", "text": "Be"}, {"type": "text", "text": "brief."}]},
                {"role": "user", "name": "Ann", "content": [
                    {"type": "text", "text": "Look"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
                    {"type": "image_url", "image_url": "https://x/y.png"},
                ]},
                {"role": "assistant", "content": null, "reasoning_content": "Hm", "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}},
                ]},
                {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "21C"},
                    {"type": "image_url", "image_url": {"url": "https://x/z.png"}}]},
                {"role": "assistant", "content": null, "function_call": {"name": "g", "arguments": "{}"}},
                {"role": "function", "name": "g", "content": "ok"},
                {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
            ],
        }),
    );
    let request = &asked.request;
    let result = |id: &str, name: &str, content: &str| {
        let (call_id, name, content) = (id.to_owned(), name.to_owned(), content.to_owned());
        Message::Tool(crate::words::ToolResult::new(call_id, name, content))
    };
    let url = |url: &str| UserPart::Image(Image::Url(url.into()));
    assert_eq!(
        request.messages,
        [
            Message::System("Be\nbrief.".into()),
            Message::User(vec![
                UserPart::Text("Look".into()),
                url("data:image/png;base64,AAAA"),
                url("https://x/y.png")
            ]),
            Message::Assistant(vec![thought("Hm", None), call("c1", "f", "{\"a\": 1}", None)]),
            Message::Tool(crate::words::ToolResult {
                content: vec![UserPart::Text("21C".into()), url("https://x/z.png")],
                ..crate::words::ToolResult::new("c1", "f", "")
            }),
            Message::Assistant(vec![call("call_2", "g", "{}", None)]),
            result("call_2", "g", "ok"),
            Message::Assistant(vec![text("No.")]),
        ]
    );
    assert_eq!((request.route.as_str(), asked.stream, request.output_tokens_max), ("smart", true, Some(50)));
    assert_eq!((request.effort, request.tool_choice.clone()), (Some(Effort::XHigh), ToolChoice::Named("f".to_owned())));
    assert_eq!((request.sampling.stop.as_slice(), request.sampling.seed), (&["END".into()][..], Some(-3)));
    assert_eq!((request.parallel_tool_calls, request.session.as_deref()), (Some(false), Some("k")));
    assert_eq!(request.tools.len(), 1);
    let extra: serde_json::Map<_, _> = request.extra.iter().map(|(name, it)| (name.clone(), it.value())).collect();
    assert_eq!(Value::from(extra), json!({"user": "u", "prompt_cache_key": "k"}));
    assert_eq!(request.foreign_tools, [Foreign::new(Dialect::OpenAiChat, "web_search", r#"{"type":"web_search"}"#)]);
    for dropped in [Note::Dropped("messages.name"), Note::Dropped("messages.image.detail")] {
        assert!(lost(&asked).contains(&dropped), "{dropped:?}");
    }
    assert_eq!(request.commit, CommitPolicy::Fail);
}

#[test]
fn a_message_as_claude_code_sends_it_is_understood() {
    let mark = json!({"type": "ephemeral", "ttl": "1h"});
    let asked = asked(
        CallerDialect::Anthropic,
        &json!({
            "model": "claude-sonnet-4-5", "max_tokens": 32000, "stream": true, "metadata": {"user_id": "user_1"},
            "thinking": {"type": "enabled", "budget_tokens": 31999}, "temperature": 1, "stop_sequences": ["X"],
            "tool_choice": {"type": "any", "disable_parallel_tool_use": true},
            "system": [{"type": "text", "text": "You are."}, {"type": "text", "text": "Rules.", "cache_control": mark}],
            "tools": [
                {"name": "Read", "description": "reads", "input_schema": {"type": "object", "properties": {}}},
                {"type": "web_search_20250305", "name": "web_search"},
            ],
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Go", "cache_control": {"type": "ephemeral"}}]},
                {"role": "system", "content": "Mind the time."},
                {"role": "assistant", "content": [
                    {"type": "thinking", "thinking": "Hm", "signature": "s1"},
                    {"type": "redacted_thinking", "data": "opaque"},
                    {"type": "tool_use", "id": "t1", "name": "Read", "input": {"path": "a"}},
                    {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
                ]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "is_error": true,
                        "content": [{"type": "text", "text": "no"}, {"type": "text", "text": "file"}]},
                    {"type": "text", "text": "Try again"},
                ]},
            ],
        }),
    );
    let request = &asked.request;
    let own = |data: &str| Some(proof(Dialect::AnthropicMessages, data));
    assert_eq!(
        request.messages[..5],
        [
            Message::System("You are.".into()),
            Message::System("Rules.".into()),
            Message::user("Go"),
            Message::System("Mind the time.".into()),
            Message::Assistant(vec![
                thought("Hm", own("s1")),
                thought("", own("redacted:opaque")),
                call("t1", "Read", "{\"path\":\"a\"}", None),
                AssistantPart::Foreign(Foreign::new(
                    Dialect::AnthropicMessages,
                    "server_tool_use",
                    r#"{"id":"s","input":{},"name":"web_search","type":"server_tool_use"}"#,
                )),
            ]),
        ]
    );
    let Message::Tool(result) = &request.messages[5] else { panic!("{:?}", request.messages[5]) };
    assert_eq!((result.name.as_str(), &*result.text(), result.is_error), ("Read", "no\nfile", true));
    assert_eq!(request.messages[6], Message::user("Try again"));
    assert_eq!((request.effort, request.parallel_tool_calls), (Some(Effort::High), Some(false)));
    assert_eq!((&request.tool_choice, request.session.as_deref()), (&ToolChoice::Required, Some("user_1")));
    assert_eq!(lost(&asked), []);
    assert_eq!(
        request.foreign_tools.iter().map(|tool| tool.kind.as_str()).collect::<Vec<_>>(),
        ["web_search_20250305"]
    );

    let (own, _) = encoded(&asked, Dialect::AnthropicMessages, "claude-sonnet-4-5");
    assert_eq!((own.get("cache_control"), &own["metadata"]["user_id"]), (None, &json!("user_1")), "nothing is added");
    for other in [Dialect::OpenAiChat, Dialect::OpenAiResponses, Dialect::Gemini, Dialect::Vertex] {
        let (body, encoded) = encoded(&asked, other, "m");
        assert!(body.get("cache_control").is_none() && body.get("metadata").is_none(), "{other:?}: {body}");
        assert!(encoded.notes.contains(&Note::Dropped("extra")), "{other:?}");
    }
}

#[test]
fn responses_as_codex_sends_them_are_understood() {
    let encrypted =
        json!({"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm"}], "encrypted_content": "gAAA"});
    let asked = asked(
        CallerDialect::OpenAiResponses,
        &json!({
            "model": "gpt-5", "instructions": "You are a coding agent.", "store": false, "stream": true,
            "include": ["reasoning.encrypted_content"], "reasoning": {"effort": "medium", "summary": "auto"},
            "text": {"verbosity": "low"}, "parallel_tool_calls": false, "prompt_cache_key": "session-1",
            "tool_choice": "auto",
            "tools": [
                {"type": "function", "name": "shell", "description": "d", "strict": false,
                    "parameters": {"type": "object"}},
                {"type": "custom", "name": "apply_patch", "description": "Edits.",
                    "format": {"type": "grammar", "syntax": "lark", "definition": "start: x"}},
                {"type": "local_shell"},
            ],
            "input": [
                {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Rules."}]},
                {"role": "user", "content": "Go"},
                encrypted,
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Wait."}]},
                {"type": "function_call", "name": "shell", "arguments": "{}", "call_id": "c1"},
                {"type": "custom_tool_call", "name": "apply_patch", "input": "*** x", "call_id": "c2",
                    "status": "completed"},
                {"type": "function_call_output", "call_id": "c1", "output": "ok"},
                {"type": "custom_tool_call_output", "call_id": "c2",
                    "output": [{"type": "input_text", "text": "done"}]},
                {"type": "web_search_call", "status": "completed"},
            ],
        }),
    );
    let request = &asked.request;
    assert_eq!(
        request.messages[..3],
        [Message::System("You are a coding agent.".into()), Message::System("Rules.".into()), Message::user("Go"),]
    );
    let Message::Assistant(parts) = &request.messages[3] else { panic!("{:?}", request.messages[3]) };
    let AssistantPart::Reasoning(Reasoning { text: hm, proof: Some(own) }) = &parts[0] else { panic!("{parts:?}") };
    assert_eq!(
        (hm.as_str(), own.dialect, serde_json::from_str::<Value>(&own.data).ok()),
        ("Hm", Dialect::OpenAiResponses, Some(encrypted))
    );
    assert_eq!(
        parts[1..],
        [text("Wait."), call("c1", "shell", "{}", None), call("c2", "apply_patch", r#"{"input":"*** x"}"#, None)]
    );
    let own = |kind: &str, json: Value| Foreign::new(Dialect::OpenAiResponses, kind, json.to_string());
    let searched = own("web_search_call", json!({"type": "web_search_call", "status": "completed"}));
    assert_eq!(request.messages[6..], [Message::Assistant(vec![AssistantPart::Foreign(searched)])]);
    assert_eq!(lost(&asked), []);
    assert_eq!(request.foreign_tools, [own("local_shell", json!({"type": "local_shell"}))]);
    assert!(request.tools[1].description.ends_with("start: x"));
    assert_eq!((request.effort, request.session.as_deref()), (Some(Effort::Medium), Some("session-1")));

    let (own, _) = encoded(&asked, Dialect::OpenAiResponses, "gpt-5");
    assert_eq!(own["reasoning"], json!({"effort": "medium", "summary": "auto"}), "what is said beside goes along");
    assert_eq!(own["text"], json!({"verbosity": "low"}));

    let answer = finished(vec![call("c3", "apply_patch", r#"{"input":"*** y"}"#, None)], StopReason::ToolCalls);
    let item = json!({"type": "custom_tool_call", "id": "ctc_00000000000000070000", "status": "completed",
        "call_id": "c3", "name": "apply_patch", "input": "*** y"});
    assert_eq!(whole(&asked.form, &answer)["output"], json!([item]), "a tool that takes a text gets a text");
    let kinds: Vec<Value> = data(&streamed(&asked.form, &answer)).iter().map(|event| event["type"].clone()).collect();
    assert_eq!(kinds[3..5], ["response.custom_tool_call_input.delta", "response.custom_tool_call_input.done"]);
}

#[test]
fn a_file_at_an_address_is_what_its_type_says_and_without_one_its_dialects_own() {
    let part = |file: Value| {
        let body = json!({"contents": [{"role": "user", "parts": [{"text": "Look"}, {"fileData": file}]}]});
        match asked(CallerDialect::Gemini, &body).request.messages.remove(0) {
            Message::User(mut parts) => parts.remove(1),
            other => panic!("{other:?}"),
        }
    };
    let at = "https://x.dev/a";
    assert!(matches!(part(json!({"fileUri": at, "mimeType": "image/webp"})), UserPart::Image(Image::Url(_))));
    assert!(matches!(part(json!({"fileUri": at, "mimeType": "application/pdf"})), UserPart::Document(_)));
    for file in [json!({"fileUri": at}), json!({"fileUri": at, "mimeType": ""}), json!({"file_uri": at})] {
        assert!(matches!(part(file.clone()), UserPart::Foreign(_)), "{file}");
    }
    assert!(matches!(part(json!({"fileUri": at, "mimeType": "video/mp4"})), UserPart::Foreign(_)));
}

#[test]
fn tools_of_a_namespace_go_to_other_dialects_by_one_name_and_come_back_in_their_own() {
    let function = |name: &str| {
        let parameters = json!({"type": "object"});
        json!({"type": "function", "name": name, "description": name, "strict": false, "parameters": parameters})
    };
    let asked = asked(
        CallerDialect::OpenAiResponses,
        &json!({
            "model": "smart",
            "tools": [
                {
                    "type": "namespace",
                    "name": "docs",
                    "description": "Documents.",
                    "tools": [function("find"), function("open")],
                },
                {
                    "type": "namespace",
                    "name": "mcp__git__",
                    "tools": [function("log"), {"type": "custom", "name": "edit", "description": "e"}],
                },
                function("find"),
            ],
            "tool_choice": {"type": "function", "namespace": "docs", "name": "open"},
            "input": [
                {"role": "user", "content": "Go"},
                {"type": "function_call", "namespace": "docs", "name": "find", "arguments": "{}", "call_id": "c1"},
                {"type": "function_call_output", "call_id": "c1", "output": "ok"},
            ],
        }),
    );
    let request = &asked.request;
    let names: Vec<&str> = request.tools.iter().map(|tool| &*tool.name).collect();
    assert_eq!(names, ["docs__find", "docs__open", "mcp__git__log", "mcp__git__edit", "find"]);
    assert_eq!(request.tools[0].description, "Documents.\n\nfind");
    assert_eq!((&request.foreign_tools[..], lost(&asked)), (&[][..], vec![]));
    let (sent, _) = encoded(&asked, Dialect::OpenAiChat, "m");
    assert_eq!(sent["tool_choice"]["function"]["name"], "docs__open");
    assert_eq!(sent["messages"][1]["tool_calls"][0]["function"]["name"], "docs__find");
    let (sent, _) = encoded(&asked, Dialect::OpenAiResponses, "m");
    assert_eq!(sent["tools"][0]["type"], "namespace", "its own dialect gets it as it came");

    let calls = ["docs__find", "mcp__git__edit", "find"].map(|name| call(name, name, r#"{"input":"x"}"#, None));
    let answer = finished(calls.to_vec(), StopReason::ToolCalls);
    let told = |item: &Value| (item["type"].clone(), item["namespace"].clone(), item["name"].clone());
    let expected = [
        ("function_call".into(), "docs".into(), "find".into()),
        ("custom_tool_call".into(), "mcp__git__".into(), "edit".into()),
        ("function_call".into(), Value::Null, "find".into()),
    ];
    let items = whole(&asked.form, &answer)["output"].clone();
    assert_eq!(items.as_array().expect("items").iter().map(told).collect::<Vec<_>>(), expected);
    let events = data(&streamed(&asked.form, &answer));
    for kind in ["response.output_item.added", "response.output_item.done"] {
        let items = events.iter().filter(|event| event["type"] == kind).map(|event| told(&event["item"]));
        assert_eq!(items.collect::<Vec<_>>(), expected, "{kind}");
    }
}

#[test]
fn gemini_is_understood_in_both_its_spellings() {
    let camel = json!({
        "systemInstruction": {"parts": [{"text": "Be brief."}], "role": "user"},
        "tools": [{"functionDeclarations": [{"name": "f",
            "parameters": {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}}}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
        "safetySettings": [{"category": "X", "threshold": "Y"}],
        "generationConfig": {"temperature": 0.5, "topP": 0.9, "topK": 40, "maxOutputTokens": 9.0,
            "stopSequences": ["X"],
            "responseMimeType": "application/json", "responseSchema": {"type": "STRING"},
            "thinkingConfig": {"thinkingBudget": 1024, "includeThoughts": true}},
        "contents": [
            {"role": "user", "parts": [{"text": "Look"}, {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
                {"fileData": {"fileUri": "https://x.dev/a", "mimeType": "image/jpeg"}}]},
            {"role": "model",
                "parts": [{"text": "H", "thought": true}, {"text": "m", "thought": true, "thoughtSignature": "p1"},
                {"text": "So "}, {"text": "be it."}, {"functionCall": {"name": "f", "args": {"a": 1}},
                    "thoughtSignature": "p2"}, {"functionCall": {"name": "f"}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"output": "21C"}}},
                {"functionResponse": {"name": "f", "response": {"error": "no"}}}]},
        ],
    });
    let names = [
        ("systemInstruction", "system_instruction"),
        ("functionDeclarations", "function_declarations"),
        ("toolConfig", "tool_config"),
        ("functionCallingConfig", "function_calling_config"),
        ("allowedFunctionNames", "allowed_function_names"),
        ("generationConfig", "generation_config"),
        ("topP", "top_p"),
        ("maxOutputTokens", "max_output_tokens"),
        ("stopSequences", "stop_sequences"),
        ("responseMimeType", "response_mime_type"),
        ("responseSchema", "response_schema"),
        ("thinkingConfig", "thinking_config"),
        ("thinkingBudget", "thinking_budget"),
        ("includeThoughts", "include_thoughts"),
        ("inlineData", "inline_data"),
        ("mimeType", "mime_type"),
        ("fileData", "file_data"),
        ("fileUri", "file_uri"),
        ("thoughtSignature", "thought_signature"),
        ("functionCall\"", "function_call\""),
        ("functionResponse", "function_response"),
    ];
    let snake = names.iter().fold(camel.to_string(), |body, (camel, snake)| body.replace(camel, snake));
    let snake: Value = serde_json::from_str(&snake).expect("JSON");
    assert_ne!(snake, camel);
    let (asked, other) = (asked(CallerDialect::Gemini, &camel), asked(CallerDialect::Gemini, &snake));
    let request = &asked.request;
    assert_eq!((&request.messages, &request.tools), (&other.request.messages, &other.request.tools));
    assert_eq!(
        (&request.sampling, request.extra["safetySettings"].value()),
        (&other.request.sampling, camel["safetySettings"].clone())
    );
    let own = |data: &str| Some(proof(Dialect::Gemini, data));
    assert_eq!(
        request.messages[2],
        Message::Assistant(vec![
            thought("Hm", own("p1")),
            text("So be it."),
            call("call_1", "f", "{\"a\":1}", own("p2")),
            call("call_2", "f", "{}", None),
        ])
    );
    let results: Vec<_> = request.messages[3..]
        .iter()
        .map(|message| match message {
            Message::Tool(result) => (result.call_id.as_str(), result.text(), result.is_error),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(results, [("call_1", "21C".into(), false), ("call_2", "no".into(), true)]);
    assert_eq!((request.effort, request.output_tokens_max), (Some(Effort::Low), Some(9)));
    assert_eq!(request.tool_choice, ToolChoice::Named("f".to_owned()));
    let schema = json!({"type": "string"});
    assert_eq!(
        request.response_format,
        ResponseFormat::JsonSchema { name: "answer".to_owned(), schema: schema.into(), strict: false }
    );
    assert_eq!(request.tools[0].parameters, json!({"type": "object", "properties": {"a": {"type": "string"}}}));
    let (body, _) = encoded(&asked, Dialect::Gemini, "gemini-2.5-flash");
    assert_eq!(body["generationConfig"]["topK"], json!(40));
    assert_eq!(body["generationConfig"]["thinkingConfig"], json!({"thinkingBudget": 1024, "includeThoughts": true}));
}

#[test]
fn a_request_to_count_tokens_is_read_as_one_for_an_answer() {
    let contents = json!([{"parts": [{"text": "Hi"}]}]);
    let inner = json!({"generateContentRequest": {"model": "models/m", "contents": contents}});
    for body in [json!({"contents": contents}), inner] {
        assert_eq!(asked(CallerDialect::Gemini, &body).request.messages, [Message::user("Hi")]);
    }
    let claude = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
    assert_eq!(asked(CallerDialect::Anthropic, &claude).request.messages, [Message::user("Hi")]);
}

/// Returns a body with a list of more values than are read in each place that says `DENSE`.
fn dense(body: &str) -> Bytes {
    body.replace("DENSE", &format!("[{}0]", "0,".repeat(600_000))).into()
}

#[test]
fn what_is_unknown_and_has_too_many_values_is_passed_over_at_every_place() {
    let part = |kind: &str| format!(r#"{{"type":"{kind}","text":"one","u":DENSE}}"#);
    let (said, given) = (part("text"), part("input_text"));
    let tool = r#"{"name":"f","u":DENSE}"#;
    for (caller_dialect, body) in [
        (
            CallerDialect::OpenAiChat,
            format!(
                r#"{{"model":"m","u":DENSE,"messages":[{{"u":DENSE,"role":"user","content":[{said}]}}],
                "stream_options":{{"u":DENSE}},"tools":[{{"type":"function","function":{tool}}}]}}"#
            ),
        ),
        (
            CallerDialect::OpenAiResponses,
            format!(
                r#"{{"model":"m","input":[{{"u":{{"v":[DENSE]}},"role":"user","content":[{given}]}}],"tools":[
                {{"type":"function","name":"f","u":DENSE}}],"text":{{"u":DENSE}}}}"#
            ),
        ),
        (
            CallerDialect::Anthropic,
            format!(
                r#"{{"model":"m","max_tokens":9,"messages":[{{"role":"user","content":[{said}],"u":DENSE}}],
                "tools":[{tool}],"metadata":{{"user_id":"x","u":DENSE}}}}"#
            ),
        ),
        (
            CallerDialect::Gemini,
            format!(
                r#"{{"contents":[{{"role":"user","parts":[{{"text":"one","u":DENSE}}],"u":DENSE}}],
                "tools":[{{"functionDeclarations":[{tool}]}}],"generationConfig":{{"u":DENSE}}}}"#
            ),
        ),
    ] {
        let body = dense(&body);
        let asked =
            read(caller_dialect, Some("m"), false, &body).unwrap_or_else(|bad| panic!("{caller_dialect:?}: {bad}"));
        assert_eq!(asked.request.messages, [Message::user("one")], "{caller_dialect:?}");
        assert_eq!(asked.request.tools.len(), 1, "{caller_dialect:?}");
        assert!(!format!("{:?}", asked.request.extra).contains("0,0"), "{caller_dialect:?}");
        assert_eq!(
            asked.request.original.map(|original| original.body),
            Some(body),
            "{caller_dialect:?}: it goes on as it came"
        );
    }
}

#[test]
fn what_is_needed_or_carried_and_has_too_many_values_is_refused_and_never_emptied() {
    let chat = |messages: &str| format!(r#"{{"model":"m","messages":[{messages}]}}"#);
    let said =
        |more: &str| format!(r#"{{"model":"m","max_tokens":9,"messages":[{{"role":"user","content":"one"}}],{more}}}"#);
    for (caller_dialect, field, body) in [
        (CallerDialect::OpenAiChat, "messages[0].content", chat(r#"{"role":"user","content":DENSE}"#)),
        (
            CallerDialect::OpenAiChat,
            "messages[0].content[0]",
            chat(r#"{"role":"user","content":[{"type":"new","u":DENSE}]}"#),
        ),
        (CallerDialect::OpenAiChat, "messages[0]", chat(r#"{"role":"critic","u":DENSE}"#)),
        (CallerDialect::OpenAiChat, "tools[0]", said(r#""tools":[{"type":"new","u":{"v":DENSE}}]"#)),
        (
            CallerDialect::OpenAiChat,
            "tools[0].function.parameters.enum",
            said(r#""tools":[{"type":"function","function":{"name":"f","parameters":{"enum":DENSE}}}]"#),
        ),
        (CallerDialect::OpenAiChat, "stop", said(r#""stop":DENSE"#)),
        (
            CallerDialect::OpenAiResponses,
            "input[0]",
            r#"{"model":"m","input":[{"type":"web_search_call","id":"ws_1","u":DENSE}]}"#.to_owned(),
        ),
        (
            CallerDialect::OpenAiResponses,
            "input[0]",
            r#"{"model":"m","input":[{"type":"reasoning","summary":[],"encrypted_content":"x","u":DENSE}]}"#.to_owned(),
        ),
        (
            CallerDialect::Anthropic,
            "messages[0].content[0]",
            chat(r#"{"role":"user","content":[{"type":"new","u":DENSE}]}"#),
        ),
        (
            CallerDialect::Anthropic,
            "tools[0].input_schema.enum",
            said(r#""tools":[{"name":"f","input_schema":{"enum":DENSE}}]"#),
        ),
        (
            CallerDialect::Anthropic,
            "messages[0].content[0].input",
            chat(r#"{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{"u":DENSE}}]}"#),
        ),
        (CallerDialect::OpenAiResponses, "input", r#"{"model":"m","input":DENSE}"#.to_owned()),
        (
            CallerDialect::Gemini,
            "contents[0].parts[0]",
            r#"{"contents":[{"role":"user","parts":[{"videoMetadata":{"u":DENSE}}]}]}"#.to_owned(),
        ),
        (
            CallerDialect::Gemini,
            "contents[0].parts[0].functionCall.args",
            r#"{"contents":[{"role":"model","parts":[{"functionCall":{"name":"f","args":{"u":DENSE}}}]}]}"#.to_owned(),
        ),
    ] {
        let bad = read(caller_dialect, Some("m"), false, &dense(&body)).expect_err(&body);
        assert_eq!((bad.field.as_str(), bad.problem.as_str()), (field, "has more values than are read here"), "{body}");
    }
}

#[test]
fn arguments_that_are_no_object_are_told_in_one_where_an_object_is_wanted_and_end_no_conversation() {
    let targets = [
        (Dialect::AnthropicMessages, "anthropic", "claude-sonnet-4-5"),
        (Dialect::Gemini, "generic", "gemini-2.5-flash"),
        (Dialect::Vertex, "generic", "gemini-3-pro-preview"),
        (Dialect::Ollama, "generic", "m"),
    ];
    for (given, expected) in [
        (r#"{"path": "a"#, json!({"INVALID_JSON": r#"{"path": "a"#})),
        ("{}{}", json!({"INVALID_JSON": "{}{}"})),
        ("{'a':1}", json!({"INVALID_JSON": "{'a':1}"})),
        ("[1]", json!({"INVALID_JSON": "[1]"})),
        (r#""x""#, json!({"INVALID_JSON": r#""x""#})),
        ("null", json!({})),
        ("[]", json!({})),
        (r#""""#, json!({})),
        (r#""{\"a\":1}""#, json!({"a": 1})),
    ] {
        let chat = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": given}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "Error: no JSON"}]});
        let responses = json!({"model": "m", "input": [{"role": "user", "content": "Hi"},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": given},
            {"type": "function_call_output", "call_id": "c1", "output": "Error: no JSON"}]});
        for (caller_dialect, body) in [(CallerDialect::OpenAiChat, &chat), (CallerDialect::OpenAiResponses, &responses)]
        {
            let request = *asked(caller_dialect, body).request;
            for (dialect, flavour, model) in targets {
                let flavour = crate::wire::Flavour::named(flavour).expect("a flavour");
                let encoded = crate::wire::encode(dialect, flavour, &request, &TargetId::new("p", model), false)
                    .unwrap_or_else(|failure| panic!("{given} to {dialect:?}: {failure}"));
                let sent: Value = serde_json::from_slice(&encoded.body.whole()).expect("JSON");
                let place = match dialect {
                    Dialect::AnthropicMessages => "/messages/1/content/0/input",
                    Dialect::Ollama => "/messages/1/tool_calls/0/function/arguments",
                    _ => "/contents/1/parts/0/functionCall/args",
                };
                assert_eq!(sent.pointer(place), Some(&expected), "{given} to {dialect:?}: {sent}");
                assert!(encoded.notes.contains(&Note::Converted("messages.tool_call.arguments")), "{given}");
            }
            // Where a text is wanted it is the text.
            for (dialect, place) in [
                (Dialect::OpenAiChat, "/messages/1/tool_calls/0/function/arguments"),
                (Dialect::OpenAiResponses, "/input/1/arguments"),
            ] {
                let flavour = crate::wire::Flavour::named("openai").expect("a flavour");
                let encoded = crate::wire::encode(dialect, flavour, &request, &TargetId::new("p", "gpt-4o"), false);
                let body = encoded.expect("a body").body.whole();
                let sent: Value = serde_json::from_slice(&body).expect("JSON");
                assert_eq!(sent.pointer(place), Some(&json!(given)));
            }
        }
    }
}

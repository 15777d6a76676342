//! Conversations that come back with what others said in them.

use super::*;
use crate::wire::{Flavour, encode};
use crate::words::{Dialect, ResponseFormat, ToolChoice};

/// Returns the messages that a target gets of a conversation, and what is noted.
fn sent(flavour: &str, model: &str, messages: &Value, more: &Value) -> (Value, Vec<Note>) {
    let mut body = json!({"model": "smart", "messages": messages});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    let asked = asked(CallerDialect::OpenAiChat, &body);
    let flavour = Flavour::named(flavour).expect("a flavour");
    let target = TargetId::new("p", model);
    let encoded = encode(Dialect::OpenAiChat, flavour, &asked.request, &target, false).expect("a body");
    let mut body: Value = serde_json::from_slice(&encoded.body.whole()).expect("JSON");
    (body["messages"].take(), encoded.notes)
}

const USER: fn() -> Value = || json!({"role": "user", "content": "go on"});

#[test]
fn calls_in_the_form_that_was_before_tools_are_tools_where_only_these_are_known() {
    let call = json!({"role": "assistant", "content": null, "function_call": {"name": "f", "arguments": "{\"a\":1}"}});
    let result = json!({"role": "function", "name": "f", "content": "R"});
    let messages = json!([USER(), call, result, USER()]);
    let tools = json!({"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]});
    for more in [json!({}), tools] {
        for (flavour, knows) in
            [("mistral", false), ("groq", false), ("deepseek", false), ("openai", true), ("generic", true)]
        {
            let (sent, notes) = sent(flavour, "m", &messages, &more);
            if knows {
                assert_eq!(sent, messages, "{flavour}");
                continue;
            }
            let called = &sent[1]["tool_calls"][0];
            assert_eq!(called["function"], json!({"name": "f", "arguments": "{\"a\":1}"}), "{flavour}: {sent}");
            assert_eq!(
                (&sent[2]["role"], &sent[2]["tool_call_id"]),
                (&json!("tool"), &called["id"]),
                "{flavour}: {sent}"
            );
            assert!(!notes.contains(&Note::Dropped("messages")), "{flavour}: {notes:?}");
        }
    }
    // Words of that name are no call.
    let said = json!([USER(), {"role": "assistant", "content": "\"function_call\"", "function_call": null}, USER()]);
    assert_eq!(sent("deepseek", "m", &said, &json!({})).0, said);
}

#[test]
fn a_refusal_is_text_where_its_field_is_not_known() {
    let refused =
        |content: &Value, refusal: &Value| json!({"role": "assistant", "content": content, "refusal": refusal});
    for (content, refusal, expected) in [
        (Value::Null, json!("I can\u{27}t"), json!("I can't")),
        (json!(""), json!("no"), json!("no")),
        (json!("So: "), json!("no"), json!("So: no")),
        (json!([{"type": "refusal", "refusal": "no"}]), Value::Null, json!([{"type": "text", "text": "no"}])),
    ] {
        let messages = json!([USER(), refused(&content, &refusal), USER()]);
        for flavour in ["mistral", "groq", "cerebras"] {
            let (sent, _) = sent(flavour, "m", &messages, &json!({}));
            assert_eq!(sent[1], json!({"role": "assistant", "content": expected}), "{flavour}");
        }
        for flavour in ["openai", "generic"] {
            assert_eq!(sent(flavour, "gpt-4o", &messages, &json!({})).0, messages, "{flavour}");
        }
    }
}

#[test]
fn thoughts_between_the_texts_stay_with_mistral_and_are_no_content_elsewhere() {
    let thought = json!({"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]});
    let text = json!({"type": "text", "text": "T"});
    let call = json!([{"id": "abcdefghi", "type": "function", "function": {"name": "f", "arguments": "{}"}}]);
    let said = json!({"role": "assistant", "content": [thought, text]});
    let called = json!({"role": "assistant", "content": [thought], "tool_calls": call});
    let result = json!({"role": "tool", "tool_call_id": "abcdefghi", "content": "R"});
    let messages = json!([USER(), said, USER(), called, result]);
    let dropped = Note::Dropped("messages.reasoning");
    for flavour in ["mistral", "generic"] {
        assert_eq!(sent(flavour, "m", &messages, &json!({})), (messages.clone(), vec![]), "{flavour}");
    }
    for (flavour, model, field) in [
        ("openai", "gpt-4o", None),
        ("openrouter", "m", None),
        ("vllm", "m", None),
        ("groq", "m", Some("reasoning")),
        ("deepseek", "deepseek-v4-pro", Some("reasoning_content")),
    ] {
        let (sent, notes) = sent(flavour, model, &messages, &json!({}));
        let mut expected = json!([USER(), {"role": "assistant", "content": [text]}, USER(),
            {"role": "assistant", "content": null, "tool_calls": call}, result]);
        if let Some(field) = field {
            (expected[1][field], expected[3][field]) = ("Hm".into(), "Hm".into());
        }
        assert_eq!((sent, notes.contains(&dropped)), (expected, field.is_none()), "{flavour}");
    }
    // What is nothing but a thought is no message.
    let alone = json!([USER(), {"role": "assistant", "content": [thought]}, USER()]);
    assert_eq!(sent("openai", "gpt-4o", &alone, &json!({})).0, json!([USER(), USER()]));
}

#[test]
fn arguments_that_are_no_object_end_no_conversation_in_any_dialect() {
    let tool = json!({"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": 0}]});
    let result = json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "R"}]});
    for (input, arguments) in [
        (json!("{\"a\":1}"), "{\"a\":1}"),
        (json!("a word"), "a word"),
        (json!([1]), "[1]"),
        (json!(7), "7"),
        (Value::Null, "{}"),
        (json!({"a": 1}), "{\"a\":1}"),
    ] {
        let mut tool = tool.clone();
        tool["content"][0]["input"] = input.clone();
        let body = json!({"model": "smart", "max_tokens": 9, "messages": [USER(), tool, result]});
        let google = json!({"contents": [{"role": "user", "parts": [{"text": "Hi"}]},
            {"role": "model", "parts": [{"functionCall": {"name": "f", "args": input}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"r": 1}}}]}]});
        for (caller_dialect, body) in [(CallerDialect::Anthropic, body), (CallerDialect::Gemini, google)] {
            let asked = asked(caller_dialect, &body);
            assert!(asked.request.demands().is_empty(), "{caller_dialect:?} {input}");
            let target = TargetId::new("p", "m");
            let chat = Flavour::named("generic").expect("a flavour");
            let encoded = encode(Dialect::OpenAiChat, chat, &asked.request, &target, false).expect("a body");
            let sent: Value = serde_json::from_slice(&encoded.body.whole()).expect("JSON");
            let called = &sent["messages"][1]["tool_calls"][0]["function"]["arguments"];
            assert_eq!(called, arguments, "{caller_dialect:?} {input}");
        }
    }
}

#[test]
fn a_schema_says_what_it_is_for_in_every_dialect() {
    let schema = |own: Option<&str>| {
        let mut schema = json!({"type": "object", "properties": {}, "additionalProperties": false});
        if let Some(own) = own {
            schema["description"] = own.into();
        }
        schema
    };
    let format = |own| json!({"name": "s", "description": "of \"places\"", "strict": true, "schema": schema(own)});
    for (own, expected) in
        [(None, "of \"places\""), (Some("mine"), "of \"places\"\nmine"), (Some("of \"places\""), "of \"places\"")]
    {
        let chat = json!({"model": "smart", "messages": [USER()],
            "response_format": {"type": "json_schema", "json_schema": format(own)}});
        let mut flat = format(own);
        flat["type"] = "json_schema".into();
        let responses = json!({"model": "smart", "input": "Hi", "text": {"format": flat}});
        for (caller_dialect, body) in [(CallerDialect::OpenAiChat, &chat), (CallerDialect::OpenAiResponses, &responses)]
        {
            let request = asked(caller_dialect, body).request;
            let ResponseFormat::JsonSchema { schema: said, .. } = &request.response_format else { panic!("a schema") };
            let said: Value = serde_json::from_str(said.as_str()).expect("JSON");
            assert_eq!(said, schema(Some(expected)), "{caller_dialect:?}");
        }
        // Its own dialect gets it where it was.
        let flavour = Flavour::named("openai").expect("a flavour");
        let request = asked(CallerDialect::OpenAiChat, &chat).request;
        let own = encode(Dialect::OpenAiChat, flavour, &request, &TargetId::new("p", "smart"), false).expect("a body");
        assert_eq!(serde_json::from_slice::<Value>(&own.body.whole()).expect("JSON"), chat);
    }
}

#[test]
fn a_field_of_googles_settings_that_decides_the_answer_is_named() {
    for field in ["candidateCount", "responseModalities", "speechConfig"] {
        let value = if field == "candidateCount" { json!(2) } else { json!(["AUDIO"]) };
        let body =
            json!({"contents": [{"role": "user", "parts": [{"text": "Hi"}]}], "generationConfig": {field: value}});
        let needed = asked(CallerDialect::Gemini, &body).request.extra_needed;
        assert!(needed.contains(&format!("generationConfig.{field}")), "{needed:?}");
    }
}

#[test]
fn a_choice_among_tools_may_name_one_of_free_text() {
    let body = json!({"model": "smart", "input": "Hi",
        "tools": [{"type": "custom", "name": "patch"}, {"type": "function", "name": "f", "parameters": {}}],
        "tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [{"type": "custom", "name": "patch"}]}});
    let request = asked(CallerDialect::OpenAiResponses, &body).request;
    let names: Vec<&str> = request.tools.iter().map(|tool| &*tool.name).collect();
    assert_eq!((names, request.tool_choice), (vec!["patch"], ToolChoice::Required));
}

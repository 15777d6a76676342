use http::HeaderValue;
use proptest::prelude::*;
use serde_json::json;

use super::super::signature;
use super::*;
use crate::testing::dialects::Refusal;

const ADDRESS: Address<'_> = Address { path: "/v1/messages", query: "" };

fn version() -> HeaderMap {
    [(http::HeaderName::from_static(VERSION), HeaderValue::from_static("2023-06-01"))].into_iter().collect()
}

fn check(body: &Value) -> Checked<Question> {
    read(Host::Own, ADDRESS, &version(), body.to_string().as_bytes())
}

fn with(fields: Value) -> Value {
    let mut body =
        json!({"model": "claude-x", "max_tokens": 9, "messages": [{"role": "user", "content": "hello there"}]});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body
}

fn for_model(model: &str, fields: Value) -> Value {
    let mut body = with(fields);
    body["model"] = model.into();
    body
}

fn talk(messages: Value) -> Value {
    with(json!({ "messages": messages }))
}

fn user(content: Value) -> Value {
    json!({"role": "user", "content": content})
}

fn assistant(content: Value) -> Value {
    json!({"role": "assistant", "content": content})
}

fn call(id: &str) -> Value {
    json!({"type": "tool_use", "id": id, "name": "f", "input": {}})
}

fn result(id: &str) -> Value {
    json!({"type": "tool_result", "tool_use_id": id, "content": format!("result of {id}")})
}

fn said(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

fn thought(text: &str, id: &str) -> Value {
    json!({"type": "thinking", "thinking": text, "signature": signature("claude-x", id, text)})
}

fn tool(name: &str) -> Value {
    json!({"name": name, "input_schema": {"type": "object", "properties": {"a": {"type": "string"}}}})
}

fn strict(schema: Value) -> Value {
    with(json!({"tools": [{"name": "f", "strict": true, "input_schema": schema}]}))
}

fn message(refusal: &Refusal) -> String {
    let error: Value = serde_json::from_slice(&refusal.body).unwrap();
    assert_eq!((&error["type"], refusal.status), (&json!("error"), 400));
    assert_eq!(error["error"]["type"], "invalid_request_error");
    error["error"]["message"].as_str().unwrap().to_owned()
}

const ID: &str = "0123456789abcdef";

#[test]
fn the_system_speaks_amid_a_conversation_with_models_that_hear_it() {
    let messages =
        json!([user(json!("a")), {"role": "system", "content": [said("b")]}, assistant(json!("c")), user(json!("d"))]);
    for (model, is_taken) in [("claude-opus-4-8", true), ("claude-sonnet-5", true), ("claude-sonnet-4-5", false)] {
        assert_eq!(check(&for_model(model, json!({"messages": messages}))).is_ok(), is_taken, "{model}");
    }
}

#[test]
fn an_ordinary_request_is_understood() {
    let body = with(json!({
        "model": "claude-x", "stream": true, "max_tokens": 7, "system": [said("be brief")],
        "messages": [
            user(json!([said("one two"),
                {"type": "image", "source": {"type": "url", "url": "https://a.test/b.png"}}, said(" three")])),
            assistant(json!([said("I call."), call("a"), call("b")])),
            user(json!([result("b"), result("a")])),
        ],
        "tools": [tool("f"), tool("g")], "tool_choice": {"type": "tool", "name": "g"},
        "output_config": {"format": {"type": "json_schema",
            "schema": {"type": "object", "properties": {}, "additionalProperties": false}}},
    }));
    let question = check(&body).unwrap();
    assert_eq!((question.model.as_str(), question.user.as_str()), ("claude-x", "one two three"));
    assert_eq!(question.tool_results, ["result of b", "result of a"]);
    assert_eq!((question.tokens, question.output_tokens_max), (2 + 3 + 2 + 6, Some(7)));
    assert_eq!(question.tools.iter().map(|tool| tool.name.as_str()).collect::<Vec<_>>(), ["f", "g"]);
    assert_eq!(question.forced_tool.as_deref(), Some("g"));
    assert!(question.stream && matches!(question.form, Form::Schema(_)));
}

#[test]
fn text_behind_tool_results_is_the_question() {
    let body =
        talk(json!([user(json!("a")), assistant(json!([call("x")])), user(json!([result("x"), said("and now b")])),]));
    let question = check(&body).unwrap();
    assert_eq!((question.user.as_str(), question.tool_results.len()), ("and now b", 0));
}

#[test]
fn at_vertex_the_model_is_in_the_path_and_the_version_in_the_body() {
    let path = "/v1/projects/p/locations/l/publishers/anthropic/models/claude-3-7-sonnet%4020250219:rawPredict";
    let address = Address { path, query: "" };
    let vertex =
        |body: &Value| read(Host::Vertex { streams: false }, address, &HeaderMap::new(), body.to_string().as_bytes());
    let mut body = with(json!({"anthropic_version": "vertex-2023-10-16"}));
    assert_eq!(message(&vertex(&body).unwrap_err()), "model: Extra inputs are not permitted");
    body.as_object_mut().unwrap().remove("model");
    assert_eq!(vertex(&body).unwrap().model, "claude-3-7-sonnet@20250219");
    body.as_object_mut().unwrap().remove("anthropic_version");
    assert_eq!(message(&vertex(&body).unwrap_err()), "anthropic_version: Field required");
    assert_eq!(
        message(&check(&with(json!({"anthropic_version": "2023-06-01"}))).unwrap_err()),
        "anthropic_version: Extra inputs are not permitted"
    );
}

#[test]
fn the_version_is_asked_for_and_must_be_one() {
    let body = with(json!({})).to_string();
    let with_version = |headers: &HeaderMap| read(Host::Own, ADDRESS, headers, body.as_bytes());
    assert_eq!(message(&with_version(&HeaderMap::new()).unwrap_err()), "anthropic-version: header is required");
    let mut headers = version();
    headers.insert(VERSION, HeaderValue::from_static("2024-10-22"));
    assert_eq!(
        message(&with_version(&headers).unwrap_err()),
        "anthropic-version: \"2024-10-22\" is not a valid version"
    );
}

#[test]
fn a_beta_lets_its_parameters_in() {
    let format = json!({"type": "json_schema", "schema": {"type": "object", "additionalProperties": false}});
    let body = with(json!({ "output_format": format }));
    assert_eq!(message(&check(&body).unwrap_err()), "output_format: Extra inputs are not permitted");
    let mut headers = version();
    headers.insert("anthropic-beta", HeaderValue::from_static("structured-outputs-2025-11-13"));
    let question = read(Host::Own, ADDRESS, &headers, body.to_string().as_bytes()).unwrap();
    assert!(matches!(question.form, Form::Schema(_)));
}

#[test]
fn an_invalid_request_is_refused_in_anthropics_words() {
    let table = [
        (json!([]), "Input should be a valid dictionary or object"),
        (json!({}), "model: Field required"),
        (json!({"model": 3}), "model: Input should be a valid string"),
        (json!({"model": "m", "messages": []}), "max_tokens: Field required"),
        (
            with(json!({"metadata": {"user_id": "x".repeat(257)}})),
            "metadata.user_id: String should have at most 256 characters",
        ),
        (with(json!({"max_tokens": -1})), "max_tokens: Input should be greater than or equal to 0"),
        (with(json!({"max_tokens": 1.5})), "max_tokens: Input should be a valid integer"),
        (with(json!({"max_completion_tokens": 1})), "max_completion_tokens: Extra inputs are not permitted"),
        (with(json!({"stream": "yes"})), "stream: Input should be a valid boolean"),
        (with(json!({"temperature": 1.5})), "temperature: range: 0..1"),
        (with(json!({"temperature": "hot"})), "temperature: Input should be a valid number"),
        (with(json!({"temperature": null})), "temperature: Input should be a valid number"),
        (with(json!({"top_p": -0.1})), "top_p: range: 0..1"),
        (with(json!({"top_k": -1})), "top_k: Input should be greater than or equal to 0"),
        (with(json!({"stop_sequences": "x"})), "stop_sequences: Input should be a valid list"),
        (with(json!({"stop_sequences": [" "]})), "stop_sequences: each stop sequence must contain non-whitespace"),
        (with(json!({"service_tier": "gold"})), "service_tier: Input should be 'auto' or 'standard_only'"),
        (with(json!({"metadata": {"user": "x"}})), "metadata.user: Extra inputs are not permitted"),
        (with(json!({"system": 3})), "system: Input should be a valid list"),
        (with(json!({"system": [said("")]})), "system: text content blocks must be non-empty"),
        (with(json!({"output_config": {"effort": "none"}})), "output_config.effort: Input should be 'low', 'medium'"),
        (
            with(json!({"output_config": {"format": {"type": "json_object"}}})),
            "output_config.format.type: Input should",
        ),
        (
            with(
                json!({"system": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1d"}}]}),
            ),
            "system.0.text.cache_control.ephemeral.ttl: Input should be '5m' or '1h'",
        ),
        (talk(json!([])), "messages: at least one message is required"),
        (
            talk(json!([user(json!(vec![
                json!({"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}});
                5
            ]))])),
            "A maximum of 4 blocks with cache_control may be provided. Found 5.",
        ),
    ];
    for (body, expected) in table {
        let refusal = check(&body).expect_err(&body.to_string());
        assert!(message(&refusal).starts_with(expected), "{body}: {}", message(&refusal));
    }
    let refusal = read(Host::Own, ADDRESS, &version(), b"{\"model\":").unwrap_err();
    assert!(message(&refusal).starts_with("The request body is not valid JSON"));
}

#[test]
fn an_invalid_conversation_is_refused_in_anthropics_words() {
    let hi = user(json!("hi"));
    let table = [
        (json!("x"), "messages: Input should be a valid list"),
        (json!([3]), "messages.0: Input should be a valid dictionary"),
        (json!([{"role": "system", "content": "x"}]), "messages: Unexpected role \"system\"."),
        (json!([hi, {"role": "tool", "content": "x"}]), "messages.1.role: Input should be 'user' or 'assistant'"),
        (json!([assistant(json!("x")), hi]), "messages: first message must use the \"user\" role"),
        (json!([{"role": "user"}]), "messages.0.content: Field required"),
        (json!([{"role": "user", "content": "x", "name": "y"}]), "messages.0.name: Extra inputs are not permitted"),
        (json!([user(json!(""))]), "messages.0: all messages must have non-empty content"),
        (json!([hi, assistant(json!([])), hi]), "messages.1: all messages must have non-empty content"),
        (json!([user(json!([said("")]))]), "messages: text content blocks must be non-empty"),
        (json!([user(json!(" \n"))]), "messages: text content blocks must contain non-whitespace text"),
        (json!([user(json!([{"type": "txt"}]))]), "messages.0.content.0: Input tag 'txt' found using 'type'"),
        (json!([user(json!([{"text": "x"}]))]), "messages.0.content.0: Unable to extract tag"),
        (json!([user(json!([{"type": "text"}]))]), "messages.0.content.0.text.text: Field required"),
        (
            json!([user(json!([{"type": "image", "source": {"type": "base64", "media_type": "a/b", "data": ""}}]))]),
            "messages.0.content.0.image.source.base64.media_type: Input should be 'image/jpeg', 'image/png'",
        ),
        (json!([user(json!([call("x")]))]), "messages.0: `tool_use` blocks can only be in `assistant` messages"),
        (json!([hi, assistant(json!([result("x")]))]), "messages.1: `tool_result` blocks can only be in `user`"),
        (
            json!([hi, assistant(json!([{"type": "tool_use", "id": "a b", "name": "f", "input": {}}]))]),
            "messages.1.content.0.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'",
        ),
        (
            json!([hi, assistant(json!([{"type": "tool_use", "id": "a", "name": "f", "input": "{}"}]))]),
            "messages.1.content.0.tool_use.input: Input should be a valid dictionary",
        ),
        (
            json!([hi, assistant(json!([call("a"), call("a")])), user(json!([result("a")]))]),
            "messages: `tool_use` ids must be unique",
        ),
        (
            json!([
                hi,
                assistant(json!([call("a"), call("b")])),
                user(json!([result("b")])),
                user(json!([result("a")]))
            ]),
            "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: a. Each",
        ),
        (
            json!([hi, assistant(json!([call("a")])), user(json!([said("first"), result("a")]))]),
            "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: a. Each",
        ),
        (
            json!([hi, assistant(json!([call("a")]))]),
            "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: a. Each",
        ),
        (
            json!([user(json!([result("x")]))]),
            "messages.0.content.0: unexpected `tool_use_id` found in `tool_result` blocks: x. Each",
        ),
        (
            json!([hi, assistant(json!([call("a")])), user(json!([result("a"), result("a")]))]),
            "messages.2.content.1: each tool_use must have a single result.",
        ),
        (
            json!([
                hi,
                assistant(json!([call("a")])),
                user(json!([{"type": "tool_result", "tool_use_id": "a", "is_error": true}]))
            ]),
            "messages.2.content.0.tool_result: content cannot be empty if `is_error` is true",
        ),
        (
            json!([hi, assistant(json!("Yes, "))]),
            "messages: final assistant content cannot end with trailing whitespace",
        ),
        (
            json!([hi, assistant(json!([thought("Hm.", ID)])), hi]),
            "messages.1: The final block in an assistant message cannot be `thinking`.",
        ),
    ];
    for (messages, expected) in table {
        let refusal = check(&talk(messages.clone())).expect_err(&messages.to_string());
        assert!(message(&refusal).starts_with(expected), "{messages}: {}", message(&refusal));
    }
    assert!(check(&talk(json!([hi, hi, assistant(json!("a")), assistant(json!("b"))]))).is_ok(), "turns are joined");
}

#[test]
fn a_thought_goes_back_as_it_came_or_not_at_all() {
    let hi = user(json!("hi"));
    let acted = |blocks: Value| json!([hi, assistant(blocks), user(json!([result("a")]))]);
    let ask = |messages: Value, thinking: bool| {
        let thinking =
            if thinking { json!({"type": "enabled", "budget_tokens": 1024}) } else { json!({"type": "disabled"}) };
        check(&with(json!({"max_tokens": 4096, "messages": messages, "thinking": thinking})))
    };
    let genuine = thought("I call f.", ID);
    let forged = |field: &str, value: &str| {
        let mut block = genuine.clone();
        block[field] = value.into();
        block
    };
    assert!(ask(acted(json!([genuine, call("a")])), true).is_ok());
    assert!(ask(acted(json!([thought("", ID), call("a")])), true).is_ok());
    assert!(ask(acted(json!([genuine, call("a")])), false).is_ok());
    assert!(ask(acted(json!([call("a")])), false).is_ok());
    let other = signature("claude-y", ID, "I call f.");
    for block in [
        forged("thinking", "I call g."),
        forged("signature", ""),
        forged("signature", &signature("claude-x", ID, "x")),
        forged("signature", &other),
    ] {
        let refusal = ask(acted(json!([block, call("a")])), true).unwrap_err();
        assert_eq!(message(&refusal), "messages.1.content.0: Invalid `signature` in `thinking` block");
    }
    let refusal = ask(acted(json!([call("a")])), true).unwrap_err();
    assert!(
        message(&refusal).starts_with(
            "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`."
        )
    );
    // The thought of a turn comes before its first call; and the user's next word ends the turn.
    let mut long = acted(json!([genuine, call("a")])).as_array().unwrap().clone();
    long.extend([assistant(json!([call("b")])), user(json!([result("b")]))]);
    assert!(ask(Value::from(long.clone()), true).is_ok());
    long[1] = assistant(json!([call("a")]));
    assert!(ask(Value::from(long.clone()), true).is_err());
    long.extend([assistant(json!("Done.")), hi]);
    assert!(ask(Value::from(long), true).is_ok());
}

#[test]
fn parameters_that_a_generation_does_not_take_are_refused() {
    let thinking = |kind: &str| match kind {
        "enabled" => json!({"max_tokens": 4096, "thinking": {"type": kind, "budget_tokens": 1024}}),
        kind => json!({"thinking": {"type": kind}}),
    };
    let effort = |effort: &str| json!({"output_config": {"effort": effort}});
    let prefill = json!({"messages": [user(json!("hi")), assistant(json!("Yes,"))]});
    let table = [
        ("claude-opus-4-6", json!({"temperature": 0.2}), None),
        ("claude-opus-4-7", json!({"temperature": 0.2}), Some("`temperature` is deprecated for this model.")),
        ("claude-opus-4-7", json!({"temperature": 1}), None),
        ("claude-sonnet-5", json!({"top_p": 0.9}), Some("`top_p` is deprecated for this model.")),
        ("claude-opus-4-8@20260801", json!({"top_k": 3}), Some("`top_k` is deprecated for this model.")),
        ("claude-sonnet-4-20250514", json!({"temperature": 0.7, "top_p": 0.9}), None),
        ("claude-sonnet-4-5", json!({"temperature": 0.7, "top_p": 0.9}), Some("`temperature` and `top_p` cannot both")),
        ("claude-opus-4-7", thinking("enabled"), Some("\"thinking.type.enabled\" is not supported for this model.")),
        ("claude-opus-4-7", thinking("adaptive"), None),
        ("claude-haiku-4-5", thinking("adaptive"), Some("adaptive thinking is not supported on this model")),
        ("claude-haiku-4-5", thinking("enabled"), None),
        (
            "claude-opus-4-6",
            effort("xhigh"),
            Some("This model does not support effort level 'xhigh'. Supported levels"),
        ),
        ("claude-opus-4-7", effort("xhigh"), None),
        ("claude-3-5-haiku-latest", effort("low"), Some("This model does not support the effort parameter.")),
        ("claude-opus-4-5", prefill.clone(), None),
        ("claude-sonnet-4-6", prefill, Some("This model does not support assistant message prefill.")),
    ];
    for (model, fields, expected) in table {
        let body = for_model(model, fields);
        match (check(&body), expected) {
            (Ok(_), None) => {}
            (Err(refusal), Some(expected)) => assert!(message(&refusal).starts_with(expected), "{body}"),
            (answer, expected) => {
                panic!("{body}: {:?} is not {expected:?}", answer.map_err(|refusal| message(&refusal)))
            }
        }
    }
}

#[test]
fn thinking_and_other_wishes_may_exclude_each_other() {
    let thinks = |fields: Value| {
        let mut body = with(json!({"max_tokens": 4096, "thinking": {"type": "enabled", "budget_tokens": 1024}}));
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        body
    };
    let table = [
        (json!({"max_tokens": 1024}), "`max_tokens` must be greater than `thinking.budget_tokens`."),
        (
            json!({"thinking": {"type": "enabled", "budget_tokens": 512}}),
            "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024",
        ),
        (json!({"thinking": {"type": "enabled"}}), "thinking.enabled.budget_tokens: Field required"),
        (json!({"thinking": {"type": "hard"}}), "thinking: Input tag 'hard' found"),
        (json!({"temperature": 0.5}), "`temperature` may only be set to 1 when thinking is enabled."),
        (json!({"top_p": 0.5}), "`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled."),
        (json!({"top_k": 5}), "`top_k` must be unset when thinking is enabled."),
        (
            json!({"tools": [tool("f")], "tool_choice": {"type": "any"}}),
            "Thinking may not be enabled when tool_choice forces tool use.",
        ),
    ];
    for (fields, expected) in table {
        let refusal = check(&thinks(fields.clone())).expect_err(&fields.to_string());
        assert!(message(&refusal).starts_with(expected), "{fields}: {}", message(&refusal));
    }
    assert!(check(&thinks(json!({"temperature": 1.0, "top_p": 0.95}))).is_ok());
}

#[test]
fn an_invalid_tool_is_refused_in_anthropics_words() {
    let tools = |tools: Value| with(json!({ "tools": tools }));
    let choice = |choice: Value| with(json!({"tools": [tool("f")], "tool_choice": choice}));
    let table = [
        (tools(json!([{"name": "f"}])), "tools.0.custom.input_schema: Field required"),
        (tools(json!([{"name": "f", "input_schema": {}}])), "tools.0.custom.input_schema.type: Field required"),
        (
            tools(json!([{"name": "a b", "input_schema": {"type": "object"}}])),
            "tools.0.custom.name: String should match",
        ),
        (tools(json!([tool("f"), tool("f")])), "tools: Tool names must be unique."),
        (
            tools(json!([{"name": "f", "input_schema": {"type": "object"}, "parameters": {}}])),
            "tools.0.custom.parameters: Extra inputs are not permitted",
        ),
        (
            tools(json!([{"name": "f", "input_schema": {"type": "object", "anyOf": []}}])),
            "tools.0.custom.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level",
        ),
        (
            tools(json!([{"name": "f", "input_schema": {"type": "object", "properties": {"a": "string"}}}])),
            "tools.0.custom.input_schema: JSON schema is invalid.",
        ),
        (tools(json!([{"type": "function", "name": "f"}])), "tools.0: Input tag 'function' found using 'type'"),
        (choice(json!("auto")), "tool_choice: Input should be a valid dictionary"),
        (choice(json!({"type": "required"})), "tool_choice: Input tag 'required' found"),
        (choice(json!({"type": "tool"})), "tool_choice.tool.name: Field required"),
        (choice(json!({"type": "tool", "name": "g"})), "Tool 'g' not found in provided tools"),
        (
            choice(json!({"type": "none", "disable_parallel_tool_use": true})),
            "tool_choice.none.disable_parallel_tool_use: Extra inputs are not permitted",
        ),
        (
            with(json!({"tool_choice": {"type": "auto"}})),
            "tool_choice: tool_choice may only be specified while providing tools",
        ),
        (
            tools(
                (0..21)
                    .map(|at| {
                        json!({"name": format!("f{at}"), "strict": true,
                        "input_schema": {"type": "object", "additionalProperties": false}})
                    })
                    .collect(),
            ),
            "Too many strict tools (21).",
        ),
    ];
    for (body, expected) in table {
        let refusal = check(&body).expect_err(&body.to_string());
        assert!(message(&refusal).starts_with(expected), "{body}: {}", message(&refusal));
    }
    let question = check(&choice(json!({"type": "none"}))).unwrap();
    assert_eq!((question.tools, question.forced_tool), (vec![], None));
    let question = check(&choice(json!({"type": "any", "disable_parallel_tool_use": true}))).unwrap();
    assert_eq!(question.forced_tool.as_deref(), Some("f"));
}

#[test]
fn a_schema_that_no_grammar_is_made_of_is_refused() {
    let object = |properties: Value| {
        let names: Vec<_> = properties.as_object().unwrap().keys().cloned().collect();
        json!({"type": "object", "properties": properties, "required": names, "additionalProperties": false})
    };
    let table = [
        (json!({"type": "object"}), "For 'object' type, 'additionalProperties' must be explicitly set to false"),
        (
            object(json!({"a": {"type": "array", "items": {"type": "object", "properties": {}}}})),
            "For 'object' type, 'additionalProperties' must be explicitly set to false",
        ),
        (
            object(json!({"a": {"type": "integer", "minimum": 1}})),
            "For 'integer' type, property 'minimum' is not supported",
        ),
        (
            object(json!({"a": {"type": ["integer", "null"], "minimum": 1, "maximum": 2}})),
            "For 'integer' type, properties maximum, minimum are not supported",
        ),
        (
            object(json!({"a": {"type": "array", "minItems": 8}})),
            "For 'array' type, 'minItems' values other than 0 or 1 are not supported",
        ),
        (object(json!({"a": {"oneOf": []}})), "Schema type 'oneOf' is not supported"),
    ];
    for (schema, expected) in table {
        let refusal = check(&strict(schema.clone())).expect_err(&schema.to_string());
        assert_eq!(message(&refusal), format!("tools.0.custom: {expected}"));
        let config = with(json!({"output_config": {"format": {"type": "json_schema", "schema": schema}}}));
        assert_eq!(message(&check(&config).unwrap_err()), format!("output_config.format.schema: {expected}"));
        let mut loose = strict(schema);
        loose["tools"][0]["strict"] = false.into();
        assert!(check(&loose).is_ok());
    }
    assert!(
        check(&strict(object(json!({"a": {"type": "array", "minItems": 1, "items": {"type": "string"}}})))).is_ok()
    );
}

/// The recorded cases of this dialect: at Anthropic, and of Anthropic's models at Vertex AI.
fn recorded() -> Vec<Value> {
    let mut cases = Vec::new();
    for file in ["anthropic", "vertex"] {
        let path = format!("{}/../shared/corpus/open/{file}.jsonl", env!("CARGO_MANIFEST_DIR"));
        let Ok(lines) = std::fs::read_to_string(&path) else {
            println!("skipped: no recorded traffic at {path}");
            continue;
        };
        cases.extend(lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
    }
    let is_ours = |case: &Value| match case["api"].as_str() {
        Some("anthropic-messages") => true,
        Some("count-tokens") => case["provider"] == "anthropic",
        _ => false,
    };
    cases.retain(is_ours);
    cases
}

/// Checks a recorded request; `None` if none was recorded.
fn replay(case: &Value) -> Option<Checked<()>> {
    let request = &case["request"];
    let body = request["body"].as_str().filter(|body| !body.is_empty() && request["body_truncated"] != true)?;
    let path = request["path"].as_str().unwrap().split('?').next().unwrap();
    let mut headers = version();
    if let Some(beta) = request["headers"]["anthropic-beta"].as_str() {
        headers.insert("anthropic-beta", beta.parse().unwrap());
    }
    let address = Address { path, query: "" };
    let host = if case["provider"] == "vertex" { Host::Vertex { streams: false } } else { Host::Own };
    Some(if case["api"] == "count-tokens" {
        count(host, address, &headers, body.as_bytes()).map(|_| ())
    } else {
        read(host, address, &headers, body.as_bytes()).map(|_| ())
    })
}

#[test]
fn every_recorded_request_that_was_answered_is_taken() {
    let cases = recorded();
    let mut taken = 0;
    for case in cases.iter().filter(|case| case["response"]["status"] == 200) {
        let Some(answer) = replay(case) else { continue };
        if let Err(refusal) = answer {
            panic!("{}: {}", case["case"], message(&refusal));
        }
        taken += 1;
    }
    assert!(cases.is_empty() || taken >= 30, "only {taken}");
}

#[test]
fn every_recorded_request_that_was_refused_as_malformed_is_refused_so() {
    let mut refused = 0;
    for case in recorded().iter().filter(|case| case["response"]["status"] == 400) {
        // The window is the model's, not the protocol's: `ProviderError::ContextTooLong` plays it.
        if case["case"].as_str().unwrap().contains("context-length-exceeded") {
            continue;
        }
        let Some(answer) = replay(case) else { continue };
        let body: Value = serde_json::from_str(case["response"]["body"].as_str().unwrap()).unwrap();
        assert_eq!(message(&answer.unwrap_err()), body["error"]["message"].as_str().unwrap(), "{}", case["case"]);
        refused += 1;
    }
    println!("{refused} refusals compared");
}

proptest! {
    #[test]
    fn no_body_makes_the_check_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(Host::Own, ADDRESS, &version(), &body);
    }

    #[test]
    fn no_value_in_a_field_makes_the_check_panic(
        field in proptest::sample::select(PARAMETERS.to_vec()),
        value in proptest::sample::select(vec![
            json!(null), json!(0), json!(-1e300), json!(""), json!([]), json!({}), json!([null]), json!([{}]),
            json!([[]]), json!(true), json!({"type": "enabled"}), json!([{"type": "custom", "name": "f"}]),
            json!([{"role": "assistant", "content": [null]}]), json!([{"role": "user", "content": [{"type": []}]}]),
            json!({"format": {"type": "json_schema", "schema": {"$defs": {"a": {"$ref": "#/$defs/a"}}}}}),
        ]),
    ) {
        let _ = check(&with(json!({ field: value })));
    }
}

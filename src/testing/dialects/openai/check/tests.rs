use proptest::prelude::*;
use serde_json::json;

use super::*;

fn with(fields: Value) -> Value {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hello there"}]});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body
}

fn check(body: &Value) -> Checked<Question> {
    read(&OFFICIAL, None, body.to_string().as_bytes())
}

fn talk(messages: Value) -> Value {
    json!({"model": "m", "messages": messages})
}

fn call(id: &str) -> Value {
    json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}})
}

fn tool() -> Value {
    json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}])
}

#[test]
fn an_ordinary_request_is_understood() {
    let body = json!({
        "model": "m", "stream": true, "stream_options": {"include_usage": true}, "max_completion_tokens": 7,
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": [
                {"type": "text", "text": "one two"}, {"type": "image_url", "image_url": {"url": "data:"}},
                {"type": "text", "text": " three"}]},
            {"role": "assistant", "content": null, "tool_calls": [call("a"), call("b")]},
            {"role": "tool", "tool_call_id": "b", "content": "B"},
            {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "A"}]},
        ],
        "tools": tool(), "tool_choice": {"type": "function", "function": {"name": "f"}},
    });
    let question = check(&body).unwrap();
    assert_eq!((question.model.as_str(), question.user.as_str()), ("m", "one two three"));
    assert_eq!((question.stream, question.include_usage), (true, true));
    assert_eq!((question.tokens, question.output_tokens_max), (7, Some(7)));
    assert_eq!(question.tool_results, ["B", "A"]);
    assert_eq!(question.tools.iter().map(|tool| tool.name.as_str()).collect::<Vec<_>>(), ["f"]);
    assert_eq!(question.forced_tool.as_deref(), Some("f"));
}

#[test]
fn tools_that_must_not_be_called_are_not_offered() {
    let question = check(&with(json!({"tools": tool(), "tool_choice": "none"}))).unwrap();
    assert_eq!((question.tools, question.forced_tool), (vec![], None));
    let question = check(&with(json!({"tools": tool(), "tool_choice": "required"}))).unwrap();
    assert_eq!(question.forced_tool.as_deref(), Some("f"));
}

#[test]
fn an_older_tool_result_is_not_quoted_again() {
    let body = talk(json!([
        {"role": "user", "content": "a"}, {"role": "assistant", "tool_calls": [call("x")]},
        {"role": "tool", "tool_call_id": "x", "content": "X"}, {"role": "assistant", "content": "fine"},
        {"role": "user", "content": "b"},
    ]));
    let question = check(&body).unwrap();
    assert_eq!((question.user.as_str(), question.tool_results.len()), ("b", 0));
}

#[test]
fn what_the_official_api_refuses_is_refused_in_its_words() {
    let user = json!({"role": "user", "content": "hi"});
    let table = [
        (json!([]), None, None, "expected an object"),
        (json!({}), None, None, "you must provide a model parameter"),
        (json!({"model": 3, "messages": [user]}), Some("model"), Some("invalid_type"), "expected a string"),
        (json!({"model": "m"}), Some("messages"), Some("missing_required_parameter"), "Missing required parameter"),
        (talk(json!([])), Some("messages"), Some("empty_array"), "Invalid 'messages': empty array."),
        (talk(json!("x")), Some("messages"), Some("invalid_type"), "expected an array of objects, but got a string"),
        (talk(json!([3])), Some("messages[0]"), Some("invalid_type"), "got an integer"),
        (talk(json!([{"content": "x"}])), Some("messages[0].role"), Some("missing_required_parameter"), "Missing"),
        (talk(json!([{"role": "robot", "content": "x"}])), Some("messages[0].role"), Some("invalid_value"), "'robot'"),
        (talk(json!([{"role": "user"}])), Some("messages[0].content"), Some("missing_required_parameter"), "Missing"),
        (talk(json!([{"role": "user", "content": null}])), Some("messages[0].content"), Some("invalid_type"), "null"),
        (talk(json!([{"role": "user", "content": []}])), Some("messages[0].content"), Some("empty_array"), "empty"),
        (
            talk(json!([{"role": "system", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}])),
            Some("messages[0].content[0].type"),
            Some("invalid_value"),
            "image_url",
        ),
        (
            talk(json!([{"role": "user", "content": "x", "mood": 1}])),
            Some("messages[0].mood"),
            Some("unknown_parameter"),
            "Unknown parameter",
        ),
        (
            talk(json!([{"role": "assistant", "content": null}])),
            Some("messages[0].content"),
            Some("invalid_type"),
            "null",
        ),
        (
            talk(json!([user, {"role": "tool", "tool_call_id": "x", "content": "y"}])),
            Some("messages[1]"),
            None,
            "'tool'",
        ),
        (
            talk(json!([{"role": "assistant", "tool_calls": [call("x"), call("y")]},
                {"role": "tool", "tool_call_id": "y", "content": "y"}, user])),
            Some("messages[2].role"),
            None,
            "did not have response messages: x",
        ),
        (
            talk(json!([{"role": "assistant", "tool_calls": [call("x")]}])),
            Some("messages[1].role"),
            None,
            "messages: x",
        ),
        (
            talk(json!([{"role": "assistant", "tool_calls": [{"id": "x", "type": "function",
                "function": {"name": "f", "arguments": {}}}]}])),
            Some("messages[0].tool_calls[0].function.arguments"),
            Some("invalid_type"),
            "expected a string, but got an object",
        ),
        (with(json!({"temperatur": 1})), Some("temperatur"), Some("unknown_parameter"), "Unknown parameter"),
        (with(json!({"temperature": 3})), Some("temperature"), Some("decimal_above_max_value"), "<= 2, but got 3"),
        (with(json!({"temperature": -1})), Some("temperature"), Some("decimal_below_min_value"), ">= 0, but got -1"),
        (with(json!({"max_tokens": 0})), Some("max_tokens"), Some("integer_below_min_value"), ">= 1, but got 0"),
        (with(json!({"max_tokens": 1.5})), Some("max_tokens"), Some("invalid_type"), "an integer, but got a decimal"),
        (with(json!({"n": 2})), Some("n"), Some("integer_above_max_value"), "<= 1"),
        (with(json!({"stream": "yes"})), Some("stream"), Some("invalid_type"), "a boolean, but got a string"),
        (with(json!({"stream_options": {"include_usage": true}})), Some("stream_options"), None, "only allowed when"),
        (with(json!({"stop": ["a", "b", "c", "d", "e"]})), Some("stop"), Some("array_above_max_length"), "too long"),
        (with(json!({"reasoning_effort": "huge"})), Some("reasoning_effort"), Some("invalid_value"), "'huge'"),
        (with(json!({"tools": []})), Some("tools"), Some("empty_array"), "empty array"),
        (with(json!({"tool_choice": "auto"})), Some("tool_choice"), None, "only allowed when 'tools' are specified"),
        (
            with(json!({"tools": [{"type": "function", "function": {"name": "a b"}}]})),
            Some("tools[0].function.name"),
            Some("invalid_value"),
            "pattern",
        ),
        (
            with(json!({"tools": tool(), "tool_choice": {"type": "function", "function": {"name": "g"}}})),
            Some("tool_choice"),
            None,
            "'g'",
        ),
        (
            with(json!({"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]})),
            Some("tools[0].function.parameters"),
            Some("invalid_function_parameters"),
            "object",
        ),
        (with(json!({"response_format": {"type": "json_object"}})), Some("messages"), None, "the word 'json'"),
        (
            with(json!({"response_format": {"type": "json_schema", "json_schema": {"name": "a"}}})),
            Some("response_format.json_schema.schema"),
            Some("missing_required_parameter"),
            "Missing",
        ),
    ];
    for (body, param, code, message) in table {
        let problem = check(&body).expect_err(&body.to_string());
        assert_eq!((problem.param.as_deref(), problem.code), (param, code), "{body}");
        assert!(problem.message.contains(message), "{body}: {}", problem.message);
        assert_eq!(problem.status, 400);
    }
    let problem = read(&OFFICIAL, None, b"{\"model\":").unwrap_err();
    assert!(problem.message.contains("We could not parse the JSON body"));
}

proptest! {
    #[test]
    fn no_body_makes_the_check_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&OFFICIAL, None, &body);
    }

    #[test]
    fn no_value_in_a_field_makes_the_check_panic(
        field in proptest::sample::select(PARAMETERS.to_vec()),
        value in proptest::sample::select(vec![
            json!(null), json!(0), json!(-1e300), json!(""), json!([]), json!({}), json!([null]), json!([{}]),
            json!([[]]), json!(true), json!({"type": "function"}), json!([{"type": "function", "function": null}]),
            json!([{"role": "assistant", "tool_calls": [null]}]), json!([{"role": "tool"}]), json!({"type": []}),
        ]),
    ) {
        let _ = check(&with(json!({ field: value })));
    }
}

#[test]
fn a_schema_of_a_tool_is_no_choice_at_its_top() {
    let offered =
        |schema: Value| with(json!({"tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}]}));
    assert!(check(&offered(json!({"type": "object", "properties": {"a": {"anyOf": [{}]}}}))).is_ok());
    for word in UNIONS {
        let problem = check(&offered(json!({"type": "object", word: [{"type": "object"}]}))).unwrap_err();
        assert!(format!("{problem:?}").contains("at the top level"), "{word}: {problem:?}");
    }
}

#[test]
fn unsupported_models_parameters_and_lengths_are_refused() {
    let long = "x".repeat(41);
    let asks = |id: &str, name: &str| {
        let call = json!({"id": id, "type": "function", "function": {"name": name, "arguments": "{}"}});
        let mut said = talk(json!([{"role": "user", "content": "a"}, {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": id, "content": "A"}]));
        said["model"] = "gpt-5.4".into();
        said
    };
    let of = |model: &str, fields: Value| {
        let mut body = with(fields);
        body["model"] = model.into();
        body
    };
    let many: Vec<Value> = (0..129).map(|_| tool()[0].clone()).collect();
    for (body, words) in [
        (asks(&long, "f"), "Invalid 'messages[1].tool_calls[0].id': string too long."),
        (asks("x", "a.b"), "Invalid 'messages[1].tool_calls[0].function.name': string does not match pattern."),
        (with(json!({"tools": many})), "Invalid 'tools': array too long."),
        (of("gpt-5.4", json!({"max_tokens": 9})), "Unsupported parameter: 'max_tokens'"),
        (of("o3", json!({"temperature": 0.5})), "Unsupported parameter: 'temperature'"),
        (of("gpt-5-mini", json!({"stop": ["x"]})), "Unsupported parameter: 'stop'"),
        (
            of("o4-mini", json!({"tools": tool(), "parallel_tool_calls": false})),
            "Unsupported parameter: 'parallel_tool_calls'",
        ),
        (of("gpt-4o", json!({"reasoning_effort": "low"})), "Unrecognized request argument supplied: reasoning_effort"),
    ] {
        let problem = check(&body).expect_err(words);
        assert!(problem.message.starts_with(words), "{}", problem.message);
    }
    for body in [
        asks(&long[1..], "f"),
        of(
            "gpt-5.4",
            json!({"temperature": 1, "max_completion_tokens": 9, "parallel_tool_calls": true, "tools": tool()}),
        ),
        of("gpt-4o", json!({"max_tokens": 9, "temperature": 0, "stop": ["x"]})),
        of("my-own", json!({"max_tokens": 9, "reasoning_effort": "low", "temperature": 0})),
    ] {
        assert!(check(&body).is_ok(), "{body}");
    }
}

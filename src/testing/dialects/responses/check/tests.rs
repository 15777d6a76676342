use proptest::prelude::*;

use super::super::proof::seal;
use super::*;
use crate::testing::dialects::fields::Problem;
use crate::testing::dialects::recorded::{Case, cases};

const ACCOUNT: &str = "host key";

fn check(body: &Value) -> Checked<Question> {
    read(true, ACCOUNT, body.to_string().as_bytes())
}

fn with(fields: Value) -> Value {
    let mut body = json!({"model": "m", "input": "hello there"});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body
}

fn talk(items: Value) -> Value {
    json!({"model": "m", "store": false, "input": items})
}

fn user() -> Value {
    json!({"role": "user", "content": "hi"})
}

fn call(id: &str) -> Value {
    json!({"type": "function_call", "call_id": id, "name": "f", "arguments": "{}"})
}

fn output(id: &str) -> Value {
    json!({"type": "function_call_output", "call_id": id, "output": id.to_uppercase()})
}

fn thought(id: Option<&str>) -> Value {
    let sealed = seal(ACCOUNT, id.unwrap_or("rs_1"), "Hm.");
    let mut item = json!({"type": "reasoning", "summary": [], "encrypted_content": sealed});
    if let Some(id) = id {
        item["id"] = id.into();
    }
    item
}

fn said(id: Option<&str>) -> Value {
    let mut item = json!({"role": "assistant", "content": [{"type": "output_text", "text": "fine"}]});
    if let Some(id) = id {
        item["id"] = id.into();
    }
    item
}

fn tool(strict: Value, parameters: Value) -> Value {
    json!([{"type": "function", "name": "f", "parameters": parameters, "strict": strict}])
}

fn closed() -> Value {
    json!({"type": "object", "properties": {}, "required": [], "additionalProperties": false})
}

#[test]
fn an_ordinary_request_is_understood() {
    let body = json!({
        "model": "gpt-5", "stream": true, "store": false, "max_output_tokens": 16, "instructions": "be brief",
        "include": ["reasoning.encrypted_content"], "reasoning": {"effort": "low", "summary": "auto"},
        "input": [
            {"type": "message", "role": "developer", "content": "one two"},
            {"role": "user", "content": [{"type": "input_text", "text": "three"},
                {"type": "input_image", "image_url": "https://x/y.png"}]},
            thought(Some("rs_1")), call("a"), call("b"), output("b"), output("a"),
        ],
        "tools": tool(json!(true), closed()), "tool_choice": {"type": "function", "name": "f"},
        "text": {"format": {"type": "json_schema", "name": "s", "schema": closed(), "strict": true}},
    });
    let question = check(&body).unwrap();
    assert_eq!((question.model.as_str(), question.user.as_str(), question.stream), ("gpt-5", "three", true));
    assert_eq!((question.tokens, question.output_tokens_max), (7, Some(16)));
    assert_eq!(question.tool_results, ["B", "A"]);
    assert_eq!(question.forced_tool.as_deref(), Some("f"));
    assert_eq!(question.form, Form::Schema(closed()));
    let question = check(&with(json!({}))).unwrap();
    assert_eq!((question.user.as_str(), question.stream, question.tokens), ("hello there", false, 2));
}

#[test]
fn items_that_belong_together_are_taken_and_others_refused() {
    let ours = "rs_0123456789abcdef00";
    let good = [
        json!([user(), thought(Some("rs_1")), call("a"), output("a"), user()]),
        json!([user(), thought(Some(ours)), said(Some("msg_0123456789abcdef01")), user()]),
        json!([user(), thought(Some(ours)), call("call_0123456789abcdef0"), output("call_0123456789abcdef0")]),
        json!([user(), thought(None), said(None), user()]),
        json!([user(), thought(None), call("a"), call("b"), said(None), output("a"), output("b")]),
    ];
    for items in good {
        check(&talk(items.clone())).unwrap_or_else(|problem| panic!("{items}: {}", problem.message));
    }
    let unfollowed = "of type 'reasoning' was provided without its required following item.";
    let other = thought(Some("rs_other"));
    let bad = [
        (json!([user(), thought(Some(ours)), said(None)]), unfollowed),
        (json!([user(), thought(Some(ours)), said(Some("msg_ffffffffffffffff01"))]), unfollowed),
        (json!([user(), thought(Some(ours)), user()]), unfollowed),
        (json!([user(), thought(Some(ours))]), unfollowed),
        (json!([user(), call("a"), thought(Some(ours)), output("a")]), unfollowed),
        (json!([user(), output("a")]), "No tool call found for function call output with call_id a."),
        (json!([user(), call("a"), user()]), "No tool output found for function call a."),
        (json!([user(), call("a"), call("b"), output("a")]), "No tool output found for function call b."),
        (json!([user(), other, other, call("a")]), "Duplicate item found with id rs_other."),
        (json!([user(), {"type": "item_reference", "id": "rs_1"}]), "Item with id 'rs_1' not found."),
        (
            json!([user(), {"type": "reasoning", "id": "rs_1", "summary": []}, call("a")]),
            "Item with id 'rs_1' not found.",
        ),
    ];
    for (items, message) in bad {
        let problem = check(&talk(items.clone())).expect_err(&items.to_string());
        assert!(problem.message.contains(message), "{items}: {}", problem.message);
        assert_eq!((problem.param.as_deref(), problem.code), (Some("input"), None), "{items}");
    }
}

#[test]
fn a_thought_that_is_forged_foreign_or_another_items_is_refused() {
    let mut forged = thought(None);
    forged["encrypted_content"] = "gAAAAABforged==".into();
    let mut foreign = thought(None);
    foreign["encrypted_content"] = seal("host other", "rs_1", "Hm.").into();
    let mut moved = thought(Some("rs_2"));
    moved["encrypted_content"] = seal(ACCOUNT, "rs_1", "Hm.").into();
    for (item, message) in [
        (forged, "The encrypted content gAAA...ed== could not be verified."),
        (foreign, "could not be verified. Reason: Encrypted content could not be decrypted or parsed."),
        (moved, "The encrypted content for item rs_2 could not be verified."),
    ] {
        let body = talk(json!([user(), item, call("a"), output("a")]));
        let problem = check(&body).unwrap_err();
        assert_eq!(problem.code, Some("invalid_encrypted_content"));
        assert!(problem.message.contains(message), "{}", problem.message);
        assert!(read(false, ACCOUNT, body.to_string().as_bytes()).is_ok(), "others do not look");
    }
}

#[test]
fn what_the_official_api_refuses_is_refused_in_its_words() {
    let open = json!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": false});
    let deep = json!({"type": "object", "properties": {"a": {"type": "object"}}, "required": ["a"],
        "additionalProperties": false});
    let long = "x".repeat(65);
    let gpt = |model: &str, fields: Value| {
        let mut body = with(fields);
        body["model"] = model.into();
        body
    };
    let table = [
        (json!([]), None, None, "expected an object"),
        (
            json!({"input": "x"}),
            Some("model"),
            Some("missing_required_parameter"),
            "Missing required parameter: 'model'.",
        ),
        (json!({"model": "m"}), Some("input"), Some("missing_required_parameter"), "One of \"input\""),
        (talk(json!([])), Some("input"), Some("empty_array"), "empty array"),
        (talk(json!(3)), Some("input"), Some("invalid_type"), "one of a string or array of input items"),
        (talk(json!([{"content": "x"}])), Some("input[0].type"), Some("missing_required_parameter"), "Missing"),
        (talk(json!([{"role": "robot", "content": "x"}])), Some("input[0]"), Some("invalid_value"), "'robot'"),
        (talk(json!([{"type": "dance"}])), Some("input[0].type"), Some("invalid_value"), "'dance'"),
        (talk(json!([{"role": "user"}])), Some("input[0].content"), Some("missing_required_parameter"), "Missing"),
        (
            talk(json!([{"role": "user", "content": "x", "name": "y"}])),
            Some("input[0].name"),
            Some("unknown_parameter"),
            "Unknown parameter: 'input[0].name'.",
        ),
        (
            talk(json!([{"role": "assistant", "content": [{"type": "input_text", "text": "x"}]}])),
            Some("input[0].content[0]"),
            Some("invalid_value"),
            "Invalid value: 'input_text'. Supported values are: 'output_text', 'refusal'.",
        ),
        (
            talk(json!([{"role": "user", "content": [{"type": "input_image", "image_url": {"url": "x"}}]}])),
            Some("input[0].content[0].image_url"),
            Some("invalid_type"),
            "expected an image URL, but got an object",
        ),
        (
            talk(json!([{"type": "function_call", "call_id": "a", "name": "f", "arguments": {}}])),
            Some("input[0].arguments"),
            Some("invalid_type"),
            "expected a string, but got an object",
        ),
        (talk(json!([call(&long)])), Some("input[0].call_id"), Some("string_above_max_length"), "maximum length 64"),
        (talk(json!([call("")])), Some("input[0].call_id"), Some("empty_string"), "empty string"),
        (
            talk(json!([{"type": "function_call", "id": "call_1", "call_id": "a", "name": "f", "arguments": "{}"}])),
            Some("input[0].id"),
            Some("invalid_value"),
            "Expected an ID that begins with 'fc'.",
        ),
        (
            talk(json!([{"type": "reasoning", "id": "rs_1"}])),
            Some("input[0].summary"),
            Some("missing_required_parameter"),
            "Missing",
        ),
        (with(json!({"tempo": 1})), Some("tempo"), Some("unknown_parameter"), "Unknown parameter: 'tempo'."),
        (with(json!({"messages": []})), Some("messages"), Some("unsupported_parameter"), "has moved to 'input'"),
        (with(json!({"temperature": -1})), Some("temperature"), Some("decimal_below_min_value"), ">= 0, but got -1"),
        (
            with(json!({"max_output_tokens": 15})),
            Some("max_output_tokens"),
            Some("integer_below_min_value"),
            "Expected a value >= 16, but got 15 instead.",
        ),
        (with(json!({"stream": "yes"})), Some("stream"), Some("invalid_type"), "a boolean, but got a string"),
        (with(json!({"instructions": 3})), Some("instructions"), Some("invalid_type"), "a string"),
        (with(json!({"include": ["all"]})), Some("include[0]"), Some("invalid_value"), "'all'"),
        (with(json!({"truncation": "some"})), Some("truncation"), Some("invalid_value"), "'some'"),
        (with(json!({"reasoning": {"effort": "huge"}})), Some("reasoning.effort"), Some("invalid_value"), "'huge'"),
        (
            with(json!({"previous_response_id": "resp_1", "store": false})),
            Some("previous_response_id"),
            Some("previous_response_not_found"),
            "Previous response with id 'resp_1' not found.",
        ),
        (with(json!({"background": true})), Some("background"), Some("unsupported_value"), "does not support true"),
        (
            with(json!({"stream": true, "stream_options": {"include_usage": true}})),
            Some("stream_options.include_usage"),
            Some("unknown_parameter"),
            "Unknown parameter",
        ),
        (
            with(json!({"stream_options": {"include_obfuscation": false}})),
            Some("stream_options"),
            None,
            "only allowed when 'stream' is enabled",
        ),
        (
            gpt("gpt-4o", json!({"reasoning": {"effort": "low"}})),
            Some("reasoning.effort"),
            Some("unsupported_parameter"),
            "Unsupported parameter: 'reasoning.effort' is not supported with this model.",
        ),
        (
            gpt("gpt-4o", json!({"include": ["reasoning.encrypted_content"]})),
            Some("include"),
            None,
            "Encrypted content is not supported with this model.",
        ),
        (
            gpt("gpt-5-mini", json!({"temperature": 0.5})),
            Some("temperature"),
            Some("unsupported_parameter"),
            "'temperature' is not supported",
        ),
        (
            with(json!({"tools": [{"type": "function", "function": {"name": "f"}}]})),
            Some("tools[0].name"),
            Some("missing_required_parameter"),
            "Missing required parameter: 'tools[0].name'.",
        ),
        (with(json!({"tools": [{"type": "hammer"}]})), Some("tools[0].type"), Some("invalid_value"), "'hammer'"),
        (
            with(json!({"tools": tool(json!(true), json!({"type": "object", "properties": {}}))})),
            Some("tools[0].parameters"),
            Some("invalid_function_parameters"),
            "Invalid schema for function 'f': In context=(), 'additionalProperties' is required to be supplied and to be \
             false.",
        ),
        (
            with(json!({"tools": tool(json!(true), open.clone())})),
            Some("tools[0].parameters"),
            Some("invalid_function_parameters"),
            "an array including every key in properties. Missing 'a'.",
        ),
        (
            with(json!({"tools": tool(json!(true), deep)})),
            Some("tools[0].parameters"),
            Some("invalid_function_parameters"),
            "In context=('properties', 'a'), 'additionalProperties'",
        ),
        (
            with(json!({"text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "array"}}}})),
            Some("text.format.schema"),
            Some("invalid_json_schema"),
            "schema must be a JSON Schema of 'type: \"object\"', got 'type: \"array\"'.",
        ),
        (
            with(json!({"tools": tool(json!(false), json!({"type": "string"}))})),
            Some("tools[0].parameters"),
            Some("invalid_function_parameters"),
            "got 'type: \"string\"'",
        ),
        (
            with(json!({"tools": tool(json!(true), closed()), "tool_choice": {"type": "function", "name": "g"}})),
            Some("tool_choice"),
            None,
            "Tool choice 'g' not found in 'tools' parameter.",
        ),
        (with(json!({"text": {"format": {"type": "json_object"}}})), Some("input"), None, "the word 'json'"),
        (
            with(json!({"text": {"format": {"type": "json_schema", "name": "s", "schema": open, "strict": true}}})),
            Some("text.format.schema"),
            Some("invalid_json_schema"),
            "Invalid schema for response_format 's'",
        ),
        (
            with(json!({"text": {"format": {"type": "json_schema", "json_schema": {}}}})),
            Some("text.format.json_schema"),
            Some("unknown_parameter"),
            "Unknown",
        ),
    ];
    for (body, param, code, message) in table {
        let problem = check(&body).expect_err(&body.to_string());
        assert_eq!((problem.param.as_deref(), problem.code), (param, code), "{body}: {}", problem.message);
        assert!(problem.message.contains(message), "{body}: {}", problem.message);
        assert_eq!(problem.status, 400);
    }
    assert!(check(&with(json!({"tools": tool(json!(null), json!({"type": "object", "properties": {}}))}))).is_ok());
}

/// Replaces recorded seals by our own: the recorded providers' keys are not ours.
fn resealed(mut body: Value) -> Value {
    for item in body["input"].as_array_mut().into_iter().flatten() {
        if item["encrypted_content"].is_string() {
            let id = item["id"].as_str().unwrap_or("rs_1").to_owned();
            item["encrypted_content"] = seal(ACCOUNT, &id, "Hm.").into();
        }
    }
    body
}

fn judge(case: &Case, body: &Value) -> Checked<Question> {
    let is_official = ["openai", "azure"].contains(&case.provider.as_str());
    read(is_official, ACCOUNT, body.to_string().as_bytes())
}

#[test]
fn recorded_requests_that_were_answered_are_taken() {
    let answered = cases(&["openai", "azure", "xai", "openrouter", "deepseek"], "responses");
    for case in answered.iter().filter(|case| case.status == 200) {
        let Some(body) = &case.request else { continue };
        judge(case, &resealed(body.clone())).unwrap_or_else(|problem| panic!("{}: {problem:?}", case.name));
    }
}

#[test]
fn recorded_requests_that_were_refused_are_refused_in_the_same_words() {
    for case in cases(&["openai", "azure"], "responses").iter().filter(|case| case.status == 400) {
        let (Some(body), error) = (&case.request, &case.response["error"]) else { continue };
        // Unknown models and too long conversations are checked in another place.
        if ["model_not_found", "context_length_exceeded"].iter().any(|code| error["code"] == *code) {
            continue;
        }
        let Problem { param, code, message, .. } = judge(case, &resealed(body.clone())).unwrap_err();
        assert_eq!(json!([param, code, message]), json!([error["param"], error["code"], error["message"]]));
    }
}

proptest! {
    #[test]
    fn no_body_makes_the_check_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(true, ACCOUNT, &body);
    }

    #[test]
    fn no_value_in_a_field_makes_the_check_panic(
        field in proptest::sample::select(PARAMETERS.to_vec()),
        value in proptest::sample::select(vec![
            json!(null), json!(0), json!(-1e300), json!(""), json!("ä"), json!([]), json!({}), json!([null]),
            json!([{}]), json!([[]]), json!(true), json!({"type": "function"}), json!({"format": {"type": []}}),
            json!([{"type": "reasoning", "id": "rs", "summary": [null]}]), json!([{"type": "function_call_output"}]),
            json!([{"type": "reasoning", "summary": [], "encrypted_content": "gAAAAABä=="}]),
            json!([{"type": "reasoning", "id": "rs_äöüäöüäöüäöüäöü", "summary": []},
                {"role": "assistant", "content": []}]),
        ]),
        is_official: bool,
    ) {
        let _ = read(is_official, ACCOUNT, with(json!({ field: value })).to_string().as_bytes());
    }
}

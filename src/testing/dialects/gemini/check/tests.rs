use std::fs;

use proptest::prelude::*;
use serde_json::json;

use super::super::proof;
use super::*;

/// The id of the answer whose calls are in these conversations.
const ID: &str = "00112233445566ff";

const OLD: &str = "gemini-2.5-flash";
const NEW: &str = "gemini-3-flash-preview";

fn check(model: &str, body: &Value) -> Checked<Question> {
    read(Host::Studio, model, true, body.to_string().as_bytes())
}

fn user(text: &str) -> Value {
    json!({"role": "user", "parts": [{"text": text}]})
}

fn with(fields: Value) -> Value {
    let mut body = json!({"contents": [user("hello there")]});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body
}

fn config(fields: Value) -> Value {
    with(json!({"generationConfig": fields}))
}

fn parameters(schema: Value) -> Value {
    with(json!({"tools": [{"functionDeclarations": [{"name": "f", "parameters": schema}]}]}))
}

fn tools() -> Value {
    json!([{"functionDeclarations": [{"name": "f"}, {"name": "g"}]}])
}

fn call(name: &str) -> Value {
    json!({"functionCall": {"name": name, "args": {"x": 1}}})
}

fn signed(name: &str) -> Value {
    let mut part = call(name);
    part["thoughtSignature"] = proof::sign(Host::Studio, ID, name).into();
    part
}

fn model(parts: Value) -> Value {
    json!({"role": "model", "parts": parts})
}

fn results(names: &[&str]) -> Value {
    let part =
        |name: &&str| json!({"functionResponse": {"name": name, "response": {"output": format!("{name} said")}}});
    json!({"role": "user", "parts": names.iter().map(part).collect::<Vec<_>>()})
}

fn talk(contents: Value) -> Value {
    json!({ "contents": contents })
}

#[test]
fn a_result_with_a_reference_is_refused_and_as_a_text_it_is_not() {
    let said = |part: Value| {
        check(NEW, &talk(json!([user("a"), model(json!([signed("f")])), {"role": "user", "parts": [part]}])))
    };
    let api = json!({"paths": [{"schema": {"$ref": "#/components/E"}}]});
    let problem = said(json!({"functionResponse": {"name": "f", "response": api}})).unwrap_err();
    assert!(format!("{problem:?}").contains("name `#/components/E` in function_response.response"), "{problem:?}");
    said(json!({"functionResponse": {"name": "f", "response": {"output": api.to_string()}}})).unwrap();
    let old = talk(json!([user("a"), model(json!([call("f")])),
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": api}}]}]));
    check(OLD, &old).unwrap();
}

#[test]
fn an_ordinary_request_is_understood_in_either_spelling() {
    for (system, tools, parallel, config, tokens) in [
        ("systemInstruction", "functionDeclarations", "toolConfig", "generationConfig", "maxOutputTokens"),
        ("system_instruction", "function_declarations", "tool_config", "generation_config", "max_output_tokens"),
    ] {
        let body = json!({
            system: {"parts": {"text": "be brief"}},
            "contents": [
                {"parts": [{"text": "one two"}, {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
                    {"text": " three"}]},
                model(json!([signed("f"), call("g")])),
                results(&["f", "g"]),
            ],
            "tools": [{tools: [{"name": "f", "description": null},
                {"name": "g", "parametersJsonSchema": {"type": "object"}}]}],
            parallel: {"functionCallingConfig": {"mode": "any", "allowedFunctionNames": ["g"]}},
            config: {tokens: 7, "temperature": 1, "topK": 40.0, "seed": "3"},
            "safetySettings": [{"category": 10, "threshold": "BLOCK_NONE"}],
        });
        let question = check(NEW, &body).unwrap();
        assert_eq!((question.model.as_str(), question.user.as_str()), (NEW, "one two three"));
        assert_eq!(question.tool_results, ["f said", "g said"]);
        assert_eq!((question.tokens, question.output_tokens_max), (9, Some(7)));
        assert_eq!(question.tools.iter().map(|tool| tool.name.as_str()).collect::<Vec<_>>(), ["g"]);
        assert_eq!(question.forced_tool.as_deref(), Some("g"));
        assert!(question.stream);
    }
}

#[test]
fn a_body_that_is_no_protobuf_is_refused_with_every_place_named() {
    let body = json!({
        "mood": 1,
        "contents": [{"role": "user", "parts": [{"text": 5, "image": {}}, "hi", {"text": ["a"]}, {"text": {}}]}],
        "tools": [{"functionDeclarations": [{"name": "f", "parameters": {"type": "object", "properties": {
            "a": {"type": "string", "const": "x"}, "b": {"anyOf": [{"type": "null"}, {"type": "any"}]}, "c": true},
            "additionalProperties": false, "$ref": "#/x"}}]}],
        "generationConfig": {"maxOutputTokens": 1.5, "thinkingConfig": {"includeThoughts": 1}},
    });
    let studio = "type.googleapis.com/google.ai.generativelanguage.v1beta";
    let at = "tools[0].function_declarations[0].parameters";
    let expected = [
        ("contents[0].parts[0]", "Unknown name \"image\" at 'contents[0].parts[0]': Cannot find field.".to_owned()),
        ("contents[0].parts[0].text", "Invalid value at 'contents[0].parts[0].text' (TYPE_STRING), 5".to_owned()),
        ("contents[0].parts[1]", format!("Invalid value at 'contents[0].parts[1]' ({studio}.Part), \"hi\"")),
        (
            "contents[0].parts[2]",
            "Unknown name \"text\" at 'contents[0].parts[2]': Proto field is not repeating".to_owned(),
        ),
        ("contents[0].parts[3]", "Unknown name \"text\" at 'contents[0].parts[3]': Starting an object on a".to_owned()),
        ("generation_config.max_output_tokens", "(TYPE_INT32), 1.5".to_owned()),
        ("generation_config.thinking_config.include_thoughts", "(TYPE_BOOL), 1".to_owned()),
        ("", "Unknown name \"mood\": Cannot find field.".to_owned()),
        (at, format!("Unknown name \"$ref\" at '{at}': Cannot find field.")),
        (at, format!("Unknown name \"additionalProperties\" at '{at}': Cannot find field.")),
        (
            &format!("{at}.properties[0].value"),
            format!("Unknown name \"const\" at '{at}.properties[0].value': Cannot find field."),
        ),
        (&format!("{at}.properties[1].value.any_of[1].type"), format!("({studio}.Type), \"any\"")),
        (&format!("{at}.properties[2].value"), format!("({studio}.Schema), true")),
    ];
    let wrong = check(OLD, &body).unwrap_err();
    let message =
        wrong.violations.iter().map(|violation| violation.description.as_str()).collect::<Vec<_>>().join("\n");
    assert_eq!(wrong.message, message);
    for (violation, (field, description)) in wrong.violations.iter().zip(&expected) {
        assert_eq!(violation.field, **field);
        assert!(violation.description.contains(description), "{violation:?}");
    }
    assert_eq!(wrong.violations.len(), expected.len());
}

#[test]
fn vertex_knows_other_fields_and_no_ids_before_the_third_generation() {
    let mut calls = call("f");
    calls["functionCall"]["id"] = "a".into();
    let mut answers = results(&["f"]);
    answers["parts"][0]["functionResponse"]["id"] = "a".into();
    let body = talk(json!([user("hi"), model(json!([calls])), answers]));
    let vertex = |model: &str, body: &Value| read(Host::Vertex, model, false, body.to_string().as_bytes());
    let wrong = vertex(OLD, &body).unwrap_err();
    assert_eq!(
        wrong.message,
        "Invalid JSON payload received. Unknown name \"id\" at 'contents[1].parts[0].function_call': Cannot find \
         field.\nInvalid JSON payload received. Unknown name \"id\" at 'contents[2].parts[0].function_response': Cannot find \
         field."
    );
    check(OLD, &body).unwrap();
    let mut body = body;
    body["contents"][1]["parts"][0]["thoughtSignature"] = "skip_thought_signature_validator".into();
    vertex(NEW, &body).unwrap();

    let labels = with(json!({"labels": {"team": "a"}}));
    vertex(OLD, &labels).unwrap();
    assert!(check(OLD, &labels).unwrap_err().message.contains("\"labels\""));
    let closed = parameters(json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "$defs":
        {"a": {"type": "string"}}, "additionalProperties": false}));
    vertex(OLD, &closed).unwrap();
}

#[test]
fn what_google_refuses_is_refused_in_its_words() {
    let hot = |host: Host| read(host, OLD, false, config(json!({"temperature": 1000.0})).to_string().as_bytes());
    assert_eq!(
        hot(Host::Vertex).unwrap_err().message,
        "Unable to submit request because it has a temperature value of 1000 but the supported range is from 0 (inclusive) \
         to 2.0001 (exclusive). Update the value and try again."
    );
    assert_eq!(
        hot(Host::Studio).unwrap_err().message,
        "* GenerateContentRequest.generation_config.temperature: temperature must be in the range [0.0, 2.0].\n"
    );
    let in_json = json!({"responseMimeType": "application/json"});
    let both = json!({"tools": tools(), "generationConfig": in_json});
    let thinking = |fields: Value| config(json!({ "thinkingConfig": fields }));
    let budget = |budget: i64| thinking(json!({ "thinkingBudget": budget }));
    let level = |level: &str| thinking(json!({ "thinkingLevel": level }));
    let calling = |fields: Value| with(json!({"tools": tools(), "toolConfig": {"functionCallingConfig": fields}}));
    let table = [
        (OLD, json!([]), "Root element must be a message."),
        (OLD, json!({}), "* GenerateContentRequest.contents: contents is not specified\n"),
        (OLD, talk(json!([{"role": "user"}])), "contents[0].parts: contents.parts must not be empty."),
        (OLD, talk(json!([{"parts": [{}]}])), "contents[0].parts[0].data: required oneof field 'data' must have one"),
        (
            OLD,
            with(json!({"systemInstruction": {"parts": [{"text": ""}]}})),
            "system_instruction.parts[0].data: required oneof field 'data' must have one",
        ),
        (OLD, talk(json!([{"role": "assistant", "parts": [{"text": "x"}]}])), "Please use a valid role: user, model."),
        (OLD, talk(json!([{"role": "function", "parts": [{"text": "x"}]}])), "Please use a valid role: user, model."),
        (
            OLD,
            talk(json!([user("a"), model(json!([call("f")])), {"parts": [{"functionResponse": {"name": "f"}}]}])),
            "function_response.response: required field is not set",
        ),
        (
            OLD,
            talk(json!([user("a"), model(json!([call("f")])),
                {"parts": [{"functionResponse": {"name": "f", "response": "four"}}]}])),
            "(type.googleapis.com/google.protobuf.Struct), \"four\"",
        ),
        (
            OLD,
            talk(json!([model(json!([call("f")])), results(&["f"])])),
            "function call turn comes immediately after a user",
        ),
        (
            OLD,
            talk(json!([user("a"), model(json!([{"text": "b"}])), model(json!([call("f")])), results(&["f"])])),
            "function call turn comes immediately after a user turn or after a function response turn.",
        ),
        (
            OLD,
            talk(json!([user("a"), results(&["f"])])),
            "function response turn comes immediately after a function call",
        ),
        (
            OLD,
            talk(json!([user("a"), model(json!([call("f"), call("g")])), results(&["f"]), results(&["g"])])),
            "number of function response parts is equal to the number of function call parts",
        ),
        (
            OLD,
            talk(json!([user("a"), model(json!([call("f")])), user("b")])),
            "number of function response parts is equal",
        ),
        (OLD, talk(json!([user("a"), model(json!([call("f")]))])), "number of function response parts is equal"),
        (
            "gemini-3.6-flash",
            talk(json!([user("a"), model(json!([{"text": "b"}]))])),
            "Requests ending with a model turn",
        ),
        (
            OLD,
            with(json!({"tools": [{"functionDeclarations": [{"name": "a b"}]}]})),
            "[0].name: Invalid function name.",
        ),
        (OLD, with(json!({"tools": [{"functionDeclarations": [{"name": "1"}]}]})), "Invalid function name."),
        (
            OLD,
            with(json!({"tools": [{"functionDeclarations": [{"name": "f"}, {"name": "f"}]}]})),
            "Duplicate function declaration found: f",
        ),
        (OLD, parameters(json!({"type": "string"})), "parameters: parameters schema should be of type OBJECT."),
        (
            OLD,
            parameters(json!({"type": "object", "properties": {"a": {"type": "array"}}})),
            "parameters.properties[a].items: missing field.",
        ),
        (
            OLD,
            parameters(json!({"type": "object", "properties": {"a": {}}})),
            "properties[a].type: must be specified when",
        ),
        (
            OLD,
            parameters(json!({"type": "object", "properties": {"a": {"type": "integer", "enum": ["1"]}}})),
            "properties[a].enum: only allowed for STRING type",
        ),
        (
            OLD,
            parameters(json!({"type": "object", "properties": {"a": {"type": "string", "required": ["x"]}}})),
            "properties[a].required: only allowed for OBJECT type",
        ),
        (
            OLD,
            parameters(json!({"type": "object", "properties": {"a": {"type": "object", "properties": {}}}})),
            "properties[a].properties: should be non-empty for OBJECT type",
        ),
        (
            OLD,
            parameters(json!({"type": "object", "properties": {}, "required": ["a"]})),
            "parameters.required[0]: property is not defined",
        ),
        (OLD, with(json!({"toolConfig": {"functionCallingConfig": {}}})), "is set without function_declarations."),
        (OLD, calling(json!({"allowedFunctionNames": ["f"]})), "Allowed function names can only be set"),
        (OLD, calling(json!({"mode": "ANY", "allowedFunctionNames": ["h"]})), "`h` is not declared"),
        (
            OLD,
            with(json!({"tools": [{"googleSearch": {}}, {"functionDeclarations": [{"name": "f"}]}]})),
            "Tool use with",
        ),
        (OLD, with(both.clone()), "Function calling with a response mime type: 'application/json' is unsupported"),
        (
            OLD,
            with(json!({"tools": tools(), "cachedContent": "cachedContents/x"})),
            "CachedContent can not be used with",
        ),
        (OLD, config(json!({"maxOutputTokens": 0})), "max_output_tokens must be positive."),
        (OLD, config(json!({"topP": 1.5})), "top_p must be in the range [0.0, 1.0]."),
        (OLD, config(json!({"candidateCount": 2})), "Multiple candidates is not enabled for this model"),
        (OLD, config(json!({"stopSequences": ["a", "b", "c", "d", "e", "f"]})), "stop_sequences: "),
        (OLD, config(json!({"responseMimeType": "json"})), "allowed mimetypes are `text/plain`"),
        (OLD, config(json!({"responseSchema": {"type": "object"}})), "response_schema: response_mime_type must be"),
        (
            OLD,
            config(json!({"responseMimeType": "application/json", "responseSchema": {"type": "object"},
                "responseJsonSchema": {"type": "object"}})),
            "must not be set together",
        ),
        (OLD, config(json!({"presencePenalty": 0.5})), "Penalty is not enabled for this model"),
        (
            NEW,
            thinking(json!({"thinkingBudget": 1, "thinkingLevel": "low"})),
            "You can only set only one of thinking budget",
        ),
        (OLD, level("low"), "Thinking level is not supported for this model."),
        ("gemini-3-pro-preview", level("minimal"), "Thinking level MINIMAL is not supported for this model."),
        ("gemini-2.5-pro", budget(0), "Budget 0 is invalid. This model only works in thinking mode."),
        ("gemini-2.5-pro", budget(52_428), "The thinking budget 52428 is invalid."),
        ("gemini-2.0-flash", budget(100), "thinking is not supported by this model"),
    ];
    for (model, body, message) in table {
        let wrong = check(model, &body).expect_err(&body.to_string());
        assert!(wrong.message.contains(message), "{body}: {}", wrong.message);
    }
    let wrong = read(Host::Studio, OLD, true, b"{\"contents\":").unwrap_err();
    assert!(wrong.message.starts_with("Invalid JSON payload received. "), "{}", wrong.message);
    // And what it takes.
    for (model, body) in [
        (NEW, with(both)),
        (OLD, budget(-1)),
        (OLD, budget(0)),
        (NEW, budget(6_400)),
        (NEW, level("MINIMAL")),
        ("gemini-2.0-flash", config(json!({"presencePenalty": 0.5}))),
        (OLD, talk(json!([user("a"), user("b")]))),
        (OLD, talk(json!([user("a"), model(json!([{"text": "b"}]))]))),
        (OLD, talk(json!([user("a"), model(json!([call("f")])), results(&["f"]), user("b")]))),
    ] {
        check(model, &body).unwrap_or_else(|wrong| panic!("{body}: {}", wrong.message));
    }
}

#[test]
fn the_third_generation_misses_a_signature_where_google_would() {
    let missing = "Function call is missing a thought_signature in functionCall parts. This is required for tools to work \
                   correctly, and missing thought_signature may lead to degraded model performance. Additional data, \
                   function call `default_api:f` , position 2. Please refer to \
                   https://ai.google.dev/gemini-api/docs/thought-signatures for more details.";
    let corrupted = "Corrupted thought signature.";
    let other = json!({"functionCall": {"name": "f"}, "thoughtSignature": proof::sign(Host::Studio, ID, "g")});
    let vertex = json!({"functionCall": {"name": "f"}, "thoughtSignature": proof::sign(Host::Vertex, ID, "f")});
    let pardoned = json!({"functionCall": {"name": "f"}, "thoughtSignature": "skip_thought_signature_validator"});
    let text =
        |signature: String| json!([user("a"), model(json!([{"text": "b", "thoughtSignature": signature}])), user("c")]);
    let step = |parts: Value, names: &[&str]| json!([user("a"), model(parts), results(names)]);
    for (contents, expected) in [
        (step(json!([signed("f")]), &["f"]), ""),
        (step(json!([signed("f"), call("g")]), &["f", "g"]), ""),
        (step(json!([{"text": "hm"}, signed("f")]), &["f"]), ""),
        (step(json!([pardoned]), &["f"]), ""),
        (step(json!([call("f")]), &["f"]), missing),
        (step(json!([call("f"), signed("g")]), &["f", "g"]), missing),
        (step(json!([other]), &["f"]), corrupted),
        (step(json!([vertex]), &["f"]), corrupted),
        (text(proof::sign(Host::Studio, ID, "")), ""),
        (text("AAAA".into()), corrupted),
        // A turn that is over needs no signatures.
        (json!([user("a"), model(json!([call("f")])), results(&["f"]), model(json!([{"text": "b"}])), user("c")]), ""),
        (
            json!([
                user("a"),
                model(json!([signed("f")])),
                results(&["f"]),
                model(json!([call("g")])),
                results(&["g"])
            ]),
            "`default_api:g` , position 4.",
        ),
    ] {
        let said = check(NEW, &talk(contents.clone())).err().map(|wrong| wrong.message).unwrap_or_default();
        assert!(said.contains(expected) && said.is_empty() == expected.is_empty(), "{contents}: {said}");
        check(OLD, &talk(contents)).expect("older models look at none");
    }
    let body = talk(step(json!([call("f")]), &["f"]));
    let said = read(Host::Vertex, NEW, true, body.to_string().as_bytes()).unwrap_err().message;
    assert!(said.starts_with("Unable to submit request because function call `default_api:f` in the 2. content block"));
}

#[test]
fn a_schema_is_one_whichever_way_it_is_written() {
    let google =
        json!({"type": "OBJECT", "properties": {"a": {"type": "ARRAY", "minItems": 1, "items": {"type": "STRING"}}}});
    let plain =
        json!({"type": "object", "properties": {"a": {"type": "array", "minItems": 1, "items": {"type": "string"}}}});
    let form = |field: &str, schema: &Value| {
        check(OLD, &config(json!({"responseMimeType": "application/json", field: schema}))).unwrap().form
    };
    assert_eq!(form("responseSchema", &google), Form::Schema(plain.clone()));
    assert_eq!(form("responseJsonSchema", &plain), Form::Schema(plain.clone()));
    assert_eq!(check(OLD, &config(json!({"responseMimeType": "application/json"}))).unwrap().form, Form::Json);
    assert_eq!(check(OLD, &parameters(google)).unwrap().tools[0].parameters, plain);
}

/// One recorded exchange.
struct Recorded {
    case: String,
    host: Host,
    model: String,
    request: String,
    status: u64,
    said: Value,
}

fn recorded() -> Vec<Recorded> {
    let mut all = Vec::new();
    for (file, host) in [("gemini", Host::Studio), ("vertex", Host::Vertex)] {
        let path = format!("{}/../shared/corpus/open/{file}.jsonl", env!("CARGO_MANIFEST_DIR"));
        let Ok(lines) = fs::read_to_string(&path) else {
            println!("skipped: {path} is missing");
            continue;
        };
        for line in lines.lines() {
            let case: Value = serde_json::from_str(line).unwrap();
            let Some(request) = case["request"]["body"].as_str() else { continue };
            let path = case["request"]["path"].as_str().unwrap_or_default();
            let Some((path, _)) = path.split_once("enerateContent").filter(|_| case["api"] == "gemini-generate") else {
                continue;
            };
            let last = path.rsplit_once('/').map_or("", |(_, last)| last);
            all.push(Recorded {
                case: case["case"].as_str().unwrap().to_owned(),
                host,
                model: last.split(':').next().unwrap_or_default().to_owned(),
                request: request.to_owned(),
                status: case["response"]["status"].as_u64().unwrap(),
                said: serde_json::from_str(case["response"]["body"].as_str().unwrap()).unwrap_or_default(),
            });
        }
    }
    all
}

/// Puts a value that is always accepted in the place of signatures that Google made: only Google can make them.
fn pardon(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match name.as_str() {
                    "thoughtSignature" => *value = "skip_thought_signature_validator".into(),
                    _ => pardon(value),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(pardon),
        _ => {}
    }
}

#[test]
fn requests_that_google_took_are_taken_and_those_it_refused_are_refused() {
    let recorded = recorded();
    let (mut taken, mut refused) = (0, 0);
    for Recorded { case, host, model, request, status, said } in &recorded {
        let Ok(mut body) = serde_json::from_str::<Value>(request) else { continue };
        let google =
            Family::of(model).is_third().then(|| body.to_string()).filter(|body| body.contains("thoughtSignature"));
        pardon(&mut body);
        let read_here = |body: &str| read(*host, model, true, body.as_bytes());
        match (status, read_here(&body.to_string())) {
            (200, Ok(question)) => {
                assert!(!question.user.is_empty() && question.tokens > 0, "{case}");
                taken += 1;
                if let Some(google) = google {
                    assert!(read_here(&google).is_err(), "{case}: a signature of nobody's holds");
                }
            }
            (200, Err(wrong)) => panic!("{case}: {}", wrong.message),
            (400, Err(wrong)) => {
                let message = said["error"]["message"].as_str().unwrap();
                assert_eq!(wrong.message, message, "{case}");
                refused += 1;
            }
            // Faults of the key, the model, the quota and the length of a text are not in the body.
            (_, Ok(_)) => {}
            (status, Err(wrong)) => panic!("{case}: {status}: {}", wrong.message),
        }
    }
    assert!(recorded.is_empty() || (taken > 25 && refused == 1), "{taken} {refused}");
}

proptest! {
    #[test]
    fn no_body_makes_the_check_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(Host::Vertex, NEW, true, &body);
    }

    #[test]
    fn no_value_in_a_field_makes_the_check_panic(
        field in proptest::sample::select(fields::REQUEST.fields.iter().map(|field| field.1).collect::<Vec<_>>()),
        value in proptest::sample::select(vec![
            json!(null), json!(0), json!(-1e300), json!(""), json!([]), json!({}), json!([null]), json!([{}]),
            json!([[]]), json!(true),
            json!([{"functionDeclarations": [null, {"parameters": {"type": 6, "items": {}}}]}]),
            json!([{"role": "model", "parts": [{"functionCall": {}}, {"functionResponse": {}}]}]), json!({"parts": {}}),
            json!({"functionCallingConfig": {"mode": 99}}), json!({"thinkingConfig": {"thinkingBudget": "x"}}),
        ]),
    ) {
        let _ = check(NEW, &with(json!({ field: value })));
    }
}

//! JSON that is only carried: schemas and arguments go out as they are written, and are checked as all else is.

use super::*;
use crate::wire::encode;
use crate::wire::flavour::GENERIC;
use crate::words::Message;

/// A schema as few write one: blanks, a number that no float holds, escapes, and a name that is there twice.
const ODD: &str = concat!(
    "{ \"type\" : \"object\",\n\t\"properties\":{\"b\":{\"const\":1.10},\r\n",
    r#""a":{"maximum":12345678901234567890123,"pattern":"\ud83d\ude00\u0041"},"a":{"enum":[]}},"x":1,"x":2}"#
);

/// Bodies of all dialects with a tool of this schema.
fn bodies(schema: &str) -> [(CallerDialect, String); 4] {
    let said = r#""messages":[{"role":"user","content":"x"}]"#;
    let function = format!(r#""name":"f","parameters":{schema}"#);
    [
        (
            CallerDialect::OpenAiChat,
            format!(r#"{{"model":"m",{said},"tools":[{{"type":"function","function":{{{function}}}}}]}}"#),
        ),
        (
            CallerDialect::OpenAiResponses,
            format!(r#"{{"model":"m","input":"x","tools":[{{"type":"function",{function}}}]}}"#),
        ),
        (
            CallerDialect::Anthropic,
            format!(r#"{{"model":"m","max_tokens":9,{said},"tools":[{{"name":"f","input_schema":{schema}}}]}}"#),
        ),
        (
            CallerDialect::Gemini,
            format!(
                r#"{{"contents":[{{"role":"user","parts":[{{"text":"x"}}]}}],"tools":[{{"functionDeclarations":[
                {{"name":"f","parametersJsonSchema":{schema}}}]}}]}}"#
            ),
        ),
    ]
}

fn reads(caller_dialect: CallerDialect, body: &str) -> Result<ParsedRequest, BadRequest> {
    read(caller_dialect, Some("m"), false, &body.to_owned().into())
}

#[test]
fn a_schema_goes_out_as_it_is_written_to_every_dialect() {
    for (caller_dialect, body) in bodies(ODD) {
        let asked = reads(caller_dialect, &body).unwrap_or_else(|bad| panic!("{caller_dialect:?}: {bad}"));
        assert_eq!(asked.request.tools[0].parameters.as_str(), ODD, "{caller_dialect:?}");
        for dialect in [
            Dialect::OpenAiChat,
            Dialect::OpenAiResponses,
            Dialect::AnthropicMessages,
            Dialect::Gemini,
            Dialect::Ollama,
        ] {
            let sent = encode(dialect, &GENERIC, &asked.request, "m", false).expect("a good request").body.whole();
            let sent = std::str::from_utf8(&sent).expect("text");
            assert!(sent.contains(ODD), "{caller_dialect:?} {dialect:?}: {sent}");
        }
    }
}

#[test]
fn arguments_that_are_an_object_stay_as_they_are_written() {
    let body = format!(
        r#"{{"model":"m","max_tokens":9,"messages":[{{"role":"user","content":"x"}},{{"role":"assistant","content":[
        {{"type":"tool_use","id":"c","name":"f","input":{ODD}}},{{"type":"tool_use","id":"d","name":"f","input":{{}}}}]}}]}}"#
    );
    let asked = reads(CallerDialect::Anthropic, &body).expect("a good request");
    let Message::Assistant(said) = &asked.request.messages[1] else { panic!("{asked:?}") };
    let arguments: Vec<_> = said.iter().filter_map(AssistantPart::as_tool_call).map(|it| &*it.arguments).collect();
    assert_eq!(arguments, [ODD, "{}"]);
}

#[test]
fn what_an_answer_repeats_of_a_schema_is_one_line() {
    let form = r#""text":{"format":{"type":"json_schema","name":"a","schema":ODD}},"metadata":{"a":
        "b"},"input""#;
    let [_, (caller_dialect, body), ..] = bodies(ODD);
    let body = body.replace(r#""input""#, &form.replace("ODD", ODD));
    let asked = reads(caller_dialect, &body).expect("a good request");
    let told = streamed(&asked.form, &finished(vec![text("x")], StopReason::Stop));
    assert!(told.lines().all(|line| ["event: ", "data: "].iter().any(|it| line.starts_with(it)) || line.is_empty()));
    let first = told.lines().find_map(|line| line.strip_prefix("data: ")).expect("an event");
    let first: Value = serde_json::from_str(first).expect("JSON");
    let schema: Value = serde_json::from_str(ODD).expect("JSON");
    assert_eq!(first["response"]["tools"][0]["parameters"], schema);
    assert_eq!(first["response"]["text"]["format"]["schema"], schema);
    assert_eq!(first["response"]["metadata"], json!({"a": "b"}));
}

#[test]
fn what_is_carried_is_checked_like_everything_else() {
    for wrong in [r#"{"a":01}"#, r#"{"a":1e999}"#, r#"{"a":tru}"#, r#"{"a":[1,]}"#, "{\"a\":\"\u{1}\"}", r#"{"a"}"#] {
        for (caller_dialect, body) in bodies(wrong) {
            let bad = reads(caller_dialect, &body).expect_err(wrong);
            assert!(bad.problem.starts_with("the body is no JSON"), "{wrong}: {bad}");
        }
    }
    for depth in 115..127 {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        for (caller_dialect, body) in bodies(&deep) {
            let asked = reads(caller_dialect, &body);
            assert_eq!(asked.is_ok(), serde_json::from_str::<Value>(&body).is_ok(), "{caller_dialect:?} {depth}");
            // What was let through can be read later.
            assert!(!asked.is_ok_and(|asked| asked.request.tools[0].parameters.value().is_null()));
        }
    }
}

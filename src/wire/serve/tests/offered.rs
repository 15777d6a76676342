//! Tools that clients of OpenAI's responses offer within the conversation, and those that a search of theirs found.

use super::*;
use crate::wire::encode;
use crate::wire::flavour::GENERIC;

fn encoded(asked: &ParsedRequest, dialect: Dialect) -> Value {
    let encoded = encode(dialect, &GENERIC, &asked.request, "m", asked.stream).unwrap_or_else(|bad| panic!("{bad}"));
    serde_json::from_slice(&encoded.body.whole()).expect("JSON")
}

fn names(asked: &ParsedRequest) -> Vec<&str> {
    asked.request.tools.iter().map(|tool| &*tool.name).collect()
}

#[test]
fn tools_within_the_conversation_are_offered_beside_all_others_and_go_as_they_came_to_their_own_dialect() {
    let function = |name: &str| json!({"type": "function", "name": name, "parameters": {"type": "object"}});
    let offer = json!({"type": "additional_tools", "role": "developer", "id": "at_1", "tools": [
        {"type": "namespace", "name": "functions", "description": "",
            "tools": [{"type": "custom", "name": "exec"}, function("wait")]},
        {"type": "namespace", "name": "clock", "tools": [function("sleep")]},
        function("find"),
    ]});
    let body = json!({
        "model": "smart",
        "tools": [function("find")],
        "tool_choice": {"type": "custom", "namespace": "functions", "name": "exec"},
        "input": [
            offer,
            {"role": "user", "content": "Go"},
            {"type": "custom_tool_call", "namespace": "functions", "name": "exec", "input": "ls", "call_id": "c1"},
            {"type": "custom_tool_call_output", "call_id": "c1", "output": "ok"},
            offer,
        ],
    });
    let asked = asked(CallerDialect::OpenAiResponses, &body);
    assert_eq!(names(&asked), ["find", "exec", "wait", "clock__sleep"], "each once");
    assert_eq!((asked.request.demands(), lost(&asked)), (vec![], vec![]));
    for dialect in [Dialect::OpenAiChat, Dialect::AnthropicMessages, Dialect::Gemini] {
        let sent = encoded(&asked, dialect);
        let declared = sent["tools"].to_string();
        let is_told = names(&asked).iter().all(|name| declared.contains(&format!("\"{name}\"")));
        assert!(is_told && !sent.to_string().contains("additional_tools"), "{dialect:?}: {sent}");
    }
    let sent = encoded(&asked, Dialect::OpenAiChat);
    assert_eq!(sent["tool_choice"]["function"]["name"], "exec");
    assert_eq!(sent["messages"][1]["tool_calls"][0]["function"]["name"], "exec");
    let sent = encoded(&asked, Dialect::OpenAiResponses);
    assert_eq!((&sent["tools"], &sent["input"]), (&body["tools"], &body["input"]), "as it came");

    let calls = ["exec", "clock__sleep"].map(|name| call(name, name, r#"{"input":"x"}"#, None));
    let items = whole(&asked.form, &finished(calls.to_vec(), StopReason::ToolCalls))["output"].clone();
    assert_eq!((&items[0]["type"], &items[0]["name"]), (&"custom_tool_call".into(), &"exec".into()));
    assert_eq!(items[0]["namespace"], "functions", "as it was offered");
    assert_eq!((&items[1]["namespace"], &items[1]["name"]), (&"clock".into(), &"sleep".into()));
}

#[test]
fn what_has_no_words_among_such_tools_is_carried_alone() {
    let search = json!({"type": "web_search"});
    let offer = json!({"type": "additional_tools", "tools": [{"type": "function", "name": "f"}, search]});
    let asked = asked(
        CallerDialect::OpenAiResponses,
        &json!({"model": "smart", "input": [
        offer, {"role": "user", "content": "Go"}]}),
    );
    let kinds: Vec<_> = asked.request.foreign_tools.iter().map(|tool| &*tool.kind).collect();
    assert_eq!((names(&asked), kinds), (vec!["f"], vec!["web_search"]));
    assert_eq!(encoded(&asked, Dialect::OpenAiResponses)["input"][0], offer);
}

#[test]
fn a_search_of_the_client_for_tools_is_a_function_elsewhere_and_what_it_found_is_offered() {
    let found = json!({"type": "namespace", "name": "mcp__repl", "tools": [
        {"type": "function", "name": "js", "defer_loading": true, "parameters": {"type": "object"}}]});
    let asking = |execution: &str| {
        let call = json!({"type": "tool_search_call", "call_id": "t1", "execution": execution,
            "status": "completed", "arguments": {"query": "q"}});
        let output = json!({"type": "tool_search_output", "call_id": "t1", "execution": execution,
            "status": "completed", "tools": [found]});
        asked(
            CallerDialect::OpenAiResponses,
            &json!({
                "model": "smart",
                "tools": [{"type": "tool_search", "execution": execution, "description": "d",
                    "parameters": {"type": "object", "properties": {"query": {"type": "string"}}}}],
                "input": [{"role": "user", "content": "x"}, call, output, {"role": "user", "content": "Go"},
                    call, output],
            }),
        )
    };
    let own = asking("client");
    assert_eq!(names(&own), ["tool_search", "mcp__repl__js"]);
    assert_eq!((own.request.demands(), lost(&own)), (vec![], vec![]));
    let sent = encoded(&own, Dialect::OpenAiChat);
    let called = &sent["messages"][1]["tool_calls"][0]["function"];
    assert_eq!((&called["name"], &called["arguments"]), (&"tool_search".into(), &r#"{"query":"q"}"#.into()));
    assert_eq!(sent["messages"][2]["content"], "Tools that can be called now: mcp__repl__js");

    let calls = vec![call("c", "tool_search", r#"{"query": "q"}"#, None)];
    let answer = finished(calls, StopReason::ToolCalls);
    let is_search = |item: &Value| {
        assert_eq!((&item["type"], &item["execution"]), (&"tool_search_call".into(), &"client".into()));
        assert_eq!((&item["call_id"], &item["arguments"]), (&"c".into(), &json!({"query": "q"})));
    };
    is_search(&whole(&own.form, &answer)["output"][0]);
    let events = data(&streamed(&own.form, &answer));
    let items = events.iter().filter(|event| event["type"].as_str().is_some_and(|kind| kind.contains("output_item")));
    assert_eq!(items.map(|event| is_search(&event["item"])).count(), 2);

    let theirs = asking("server");
    let kinds: Vec<_> = theirs.request.demands().into_iter().map(|demand| demand.what).collect();
    let of = |kind: &str| crate::words::Demanded::Foreign(Dialect::OpenAiResponses, kind.into());
    let (call, output) = (of("tool_search_call"), of("tool_search_output"));
    assert_eq!(kinds, [of("tool_search"), call.clone(), output.clone(), call, output], "its provider's own");
}

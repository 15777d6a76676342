//! What the sidecar cannot read: it goes as it came to a provider of the caller's dialect, which decides. Others are
//! not asked, and if there are only others the caller is told where it is.

use serde_json::{Value, json};
use standin::sidecar::Settings;

use super::http::{Caller, Exchange};
use super::parts::{Scene, goes_unchanged_to_its_own_dialect_only, other};

/// A conversation with these fields beside it.
fn with(caller: Caller, fields: Value) -> Value {
    let mut body = match caller {
        Caller::Chat => json!({"model": "r", "messages": [{"role": "user", "content": "Hi"}]}),
        Caller::Responses => json!({"model": "r", "input": [{"role": "user", "content": "Hi"}]}),
        Caller::Anthropic => json!({"model": "r", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}),
        Caller::Gemini => json!({"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}),
    };
    let Value::Object(fields) = fields else { unreachable!("fields") };
    body.as_object_mut().expect("an object").extend(fields);
    body
}

/// Bodies that only their own provider can judge, with the place of what is odd.
fn odd() -> Vec<(Caller, Value, &'static str)> {
    use Caller::{Anthropic, Chat, Gemini, Responses};
    let hi = json!({"role": "user", "content": "Hi"});
    let said = |caller, content: Value| {
        let field = if caller == Responses { "input" } else { "messages" };
        with(caller, json!({field: [hi, {"role": "user", "content": content}]}))
    };
    vec![
        (Chat, with(Chat, json!({"temperature": "warm"})), "temperature"),
        (Chat, with(Chat, json!({"max_tokens": "many"})), "max_tokens"),
        (Chat, with(Chat, json!({"stop": [7]})), "stop[0]"),
        (Chat, with(Chat, json!({"reasoning_effort": 5})), "reasoning_effort"),
        (Chat, with(Chat, json!({"stream_options": "usage"})), "stream_options"),
        (Chat, with(Chat, json!({"response_format": "json"})), "response_format"),
        (
            Chat,
            with(Chat, json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n"}}})),
            "response_format.json_schema.schema",
        ),
        (Chat, with(Chat, json!({"tool_choice": "perhaps"})), "tool_choice"),
        (Chat, with(Chat, json!({"tool_choice": "required"})), "tool_choice"),
        (
            Chat,
            with(Chat, json!({"tool_choice": {"type": "function", "function": {"name": "nobodys"}}})),
            "tool_choice",
        ),
        (Chat, with(Chat, json!({"tools": [{"type": "function"}]})), "tools[0].name"),
        (Chat, with(Chat, json!({"tools": {"type": "function"}})), "tools"),
        (Chat, with(Chat, json!({"tools": ["search"]})), "tools[0]"),
        (Chat, said(Chat, json!(["Ho"])), "messages[1].content[0]"),
        (Chat, said(Chat, json!([null])), "messages[1].content[0]"),
        (Chat, said(Chat, json!([{"type": "text", "text": null}])), "messages[1].content[0].text"),
        (Chat, said(Chat, json!(7)), "messages[1].content"),
        (Chat, with(Chat, json!({"messages": [hi, {"content": "Ho"}]})), "messages[1].role"),
        (Chat, with(Chat, json!({"messages": [hi, "Ho"]})), "messages[1]"),
        (
            Chat,
            with(Chat, json!({"messages": [hi, {"role": "assistant", "tool_calls": [{"type": "function"}]}]})),
            "messages[1].tool_calls[0].function",
        ),
        (Responses, with(Responses, json!({"temperature": {}})), "temperature"),
        (Responses, with(Responses, json!({"text": "plain"})), "text"),
        (Responses, with(Responses, json!({"reasoning": "high"})), "reasoning"),
        (Responses, with(Responses, json!({"instructions": ["Be brief."]})), "instructions"),
        (Responses, said(Responses, json!([{"type": "input_text"}])), "input[1].content[0].text"),
        (
            Responses,
            with(Responses, json!({"input": [hi, {"type": "function_call", "name": "f"}]})),
            "input[1].call_id",
        ),
        (Responses, with(Responses, json!({"input": [hi, "Ho"]})), "input[1]"),
        (
            Anthropic,
            with(Anthropic, json!({"output_config": {"format": {"type": "grammar"}}})),
            "output_config.format.type",
        ),
        (Anthropic, with(Anthropic, json!({"output_format": {"type": "regex", "pattern": "a"}})), "output_format.type"),
        (Anthropic, with(Anthropic, json!({"tool_choice": "auto"})), "tool_choice"),
        (Anthropic, with(Anthropic, json!({"thinking": true})), "thinking"),
        (Anthropic, with(Anthropic, json!({"metadata": "me"})), "metadata"),
        (Anthropic, with(Anthropic, json!({"system": 7})), "system"),
        (Anthropic, with(Anthropic, json!({"system": ["Be brief."]})), "system[0]"),
        (Anthropic, with(Anthropic, json!({"stop_sequences": "END"})), "stop_sequences"),
        (Anthropic, said(Anthropic, json!([{"type": "text"}])), "messages[1].content[0].text"),
        (
            Anthropic,
            said(Anthropic, json!([{"type": "tool_result", "content": "x"}])),
            "messages[1].content[0].tool_use_id",
        ),
        (
            Anthropic,
            said(
                Anthropic,
                json!([{"type": "document", "source": {"type": "content", "content": [{"type": "chart"}]}}]),
            ),
            "messages[1].content[0].source.content",
        ),
        (Gemini, with(Gemini, json!({"generationConfig": {"topP": "x"}})), "generationConfig.topP"),
        (Gemini, with(Gemini, json!({"generation_config": {"temperature": []}})), "generationConfig.temperature"),
        (
            Gemini,
            with(Gemini, json!({"toolConfig": {"functionCallingConfig": {"mode": "SOME"}}})),
            "toolConfig.functionCallingConfig.mode",
        ),
        (Gemini, with(Gemini, json!({"contents": [{"parts": [{"text": "Hi"}, {}]}]})), "contents[0].parts[1]"),
        (Gemini, with(Gemini, json!({"contents": [{"parts": [{"text": 7}]}]})), "contents[0].parts[0].text"),
        (
            Gemini,
            with(Gemini, json!({"tools": [{"functionDeclarations": [{"description": "d"}]}]})),
            "tools[0].functionDeclarations[0].name",
        ),
    ]
}

#[tokio::test]
async fn what_cannot_be_read_goes_as_it_came_to_its_own_dialect_alone() {
    for (caller, body, _) in odd() {
        goes_unchanged_to_its_own_dialect_only(caller, &body).await;
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_by_its_place_where_only_other_dialects_are() {
    for (caller, body, field) in odd() {
        let scene = Scene::of([other(caller), other(caller)], |_| {}).await;
        let response = scene.ask(caller, &body).await;
        assert_eq!(response.status, 400, "{body}: {}", response.body);
        let error = response.json();
        let message = caller.message(&error);
        let begin = format!("{field}: no target of route `r` can take what is not understood here (");
        assert!(message.starts_with(&begin), "{body}: {message}");
        assert_eq!(scene.arrived(), [const { Vec::<Value>::new() }; 2], "{body}");
    }
}

#[tokio::test]
async fn numbers_and_flags_that_are_written_as_texts_are_what_they_say() {
    use Caller::{Anthropic, Chat, Gemini, Responses};
    for (caller, fields) in [
        (Chat, json!({"temperature": "0.5", "max_tokens": "7", "top_p": "0.25", "stream": "false"})),
        (Responses, json!({"temperature": "0.5", "max_output_tokens": "7", "top_p": "0.25", "stream": "False"})),
        (Anthropic, json!({"temperature": "0.5", "max_tokens": "7", "stream": "false"})),
        (Gemini, json!({"generationConfig": {"temperature": "0.5", "maxOutputTokens": "7", "topP": "0.25"}})),
    ] {
        let body = with(caller, fields);
        let own = Scene::of([caller, other(caller)], |_| {}).await;
        assert_eq!(own.ask(caller, &body).await.status, 200, "{body}");
        let mut sent = body.clone();
        let [first, _] = own.arrived();
        if caller == Gemini {
            // The model takes neither.
            let settings = sent["generationConfig"].as_object_mut().expect("settings");
            settings.retain(|name, _| name == "maxOutputTokens");
        } else {
            sent["model"] = first[0]["model"].clone();
        }
        assert_eq!(first, [sent], "as it came");
        let foreign = Scene::of([other(caller), other(caller)], |_| {}).await;
        assert_eq!(foreign.ask(caller, &body).await.status, 200, "{body}");
        let [first, _] = foreign.arrived();
        let limit = ["max_tokens", "max_completion_tokens"].into_iter().find_map(|field| first[0].get(field));
        assert_eq!((&first[0]["temperature"], limit), (&json!(0.5), Some(&json!(7))), "{body}: {}", first[0]);
        assert!(!first[0].to_string().contains("\"0.25\""), "{}", first[0]);
    }
}

#[tokio::test]
async fn a_stream_that_is_asked_for_in_a_text_is_one() {
    let streams = |settings: &mut Settings| {
        settings.runtime.providers.values_mut().for_each(|provider| provider.stream_upstream = None);
    };
    let scene = Scene::of([Caller::Chat, Caller::Anthropic], streams).await;
    let body = with(Caller::Chat, json!({"stream": "true"})).to_string();
    let (path, _) = Caller::Chat.ask("r", "", false);
    let response = Exchange::begin(scene.address(), "POST", &path, &[], &body).await.end().await;
    assert_eq!(response.header("content-type"), Some("text/event-stream; charset=utf-8"), "{response:?}");
    assert_eq!(scene.arrived()[0][0]["stream"], "true");
}

#[tokio::test]
async fn functions_in_the_form_of_openais_other_dialect_arrive_everywhere() {
    use Caller::{Chat, Responses};
    let inner = json!({"name": "find", "description": "Finds.", "parameters": {"type": "object", "properties": {}}});
    let mut flat = inner.clone();
    flat["type"] = json!("function");
    let nested = json!({"type": "function", "function": inner});
    for (caller, tool, choice) in [
        (Chat, flat, json!({"type": "function", "name": "find"})),
        (Responses, nested, json!({"type": "function", "function": {"name": "find"}})),
    ] {
        let body = with(caller, json!({"tools": [tool], "tool_choice": choice}));
        let own = Scene::of([caller, other(caller)], |_| {}).await;
        assert_eq!(own.ask(caller, &body).await.status, 200, "{body}");
        let [first, _] = own.arrived();
        assert_eq!((&first[0]["tools"], &first[0]["tool_choice"]), (&json!([tool]), &choice), "as it came");
        // Its answer calls nothing: it is not made to.
        let body = with(caller, json!({"tools": [tool]}));
        let foreign = Scene::of([Caller::Anthropic, Caller::Gemini], |_| {}).await;
        let response = foreign.ask(caller, &body).await;
        assert_eq!((response.status, response.header("x-standin-notes")), (200, None), "{body}: {response:?}");
        let [first, _] = foreign.arrived();
        assert_eq!(first[0]["tools"][0]["name"], "find", "{}", first[0]);
    }
}

#[tokio::test]
async fn a_document_made_of_blocks_is_read_by_every_dialect_and_goes_as_it_came_to_its_own() {
    let picture = "iVBORw0KGgo=";
    let document = json!({"type": "document", "title": "Minutes", "source": {"type": "content", "content": [
        {"type": "text", "text": "First page."},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": picture}},
        {"type": "text", "text": "Last page."},
    ]}});
    let body = with(
        Caller::Anthropic,
        json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "Read."}, document]}]}),
    );
    for speaks in Caller::ALL {
        let scene = Scene::of([speaks, speaks], |_| {}).await;
        let response = scene.ask(Caller::Anthropic, &body).await;
        assert_eq!(response.status, 200, "{speaks:?}: {response:?}");
        let [first, _] = scene.arrived();
        if speaks == Caller::Anthropic {
            assert_eq!(first[0]["messages"], body["messages"]);
            continue;
        }
        let sent = first[0].to_string();
        let places = ["Read.", "Minutes", "First page.", picture, "Last page."].map(|words| sent.find(words));
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{speaks:?}: {sent}");
    }
    let whole = with(
        Caller::Anthropic,
        json!({"messages": [{"role": "user", "content": [{"type": "document",
            "source": {"type": "content", "content": "All of it."}}]}]}),
    );
    let scene = Scene::of([Caller::Chat, Caller::Gemini], |_| {}).await;
    assert_eq!(scene.ask(Caller::Anthropic, &whole).await.status, 200);
    assert!(scene.arrived()[0][0].to_string().contains("All of it."));
}

#[tokio::test]
async fn tokens_to_be_embedded_go_to_openais_dialect_alone_as_they_came() {
    let vectors = |count: usize| {
        let entry = |index| json!({"object": "embedding", "index": index, "embedding": [0.5, 0.25]});
        json!({"object": "list", "model": "m", "data": (0..count).map(entry).collect::<Vec<_>>(),
            "usage": {"prompt_tokens": 3, "total_tokens": 3}})
    };
    for (input, sent) in [(json!([1, 2, 3]), json!([[1, 2, 3]])), (json!([[1, 2], [3]]), json!([[1, 2], [3]]))] {
        let body = json!({"model": "r", "input": input, "user": "me"}).to_string();
        let post = |scene: &Scene| {
            let address = scene.address();
            let body = body.clone();
            async move { Exchange::begin(address, "POST", "/v1/embeddings", &[], &body).await.end().await }
        };
        let scene = Scene::of([Caller::Gemini, Caller::Chat], super::parts::embeds).await;
        scene.answers(1, &vectors(sent.as_array().expect("a list").len()));
        let response = post(&scene).await;
        assert_eq!(response.status, 200, "{response:?}");
        let [first, second] = scene.arrived();
        assert_eq!((first.len(), &second[0]["input"]), (0, &sent));
        let scene = Scene::of([Caller::Gemini, Caller::Gemini], super::parts::embeds).await;
        let response = post(&scene).await;
        assert_eq!(response.status, 400, "{response:?}");
        let error = response.json();
        let message = Caller::Chat.message(&error);
        assert!(message.starts_with("input: ") && message.contains("send the text itself"), "{message}");
        assert_eq!(scene.arrived(), [const { Vec::<Value>::new() }; 2]);
    }
}

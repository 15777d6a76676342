//! Fields of a body that choose a target; and that the body sent on is the one that was read.

use serde_json::{Value, json};
use standin::sidecar::ClientKey;
use standin::testing::Script;

use super::http::{Caller, Exchange, Response};
use super::{Stage, open_key, stage, stage_with};

async fn post(stage: &Stage, key: &str, path: &str, body: &str) -> Response {
    let headers = [("x-api-key", key), ("content-type", "application/json")];
    Exchange::begin(stage.sidecar.address(), "POST", path, &headers, body).await.end().await
}

#[tokio::test]
async fn a_key_of_some_routes_chooses_no_target_behind_them() {
    let key = |name: &str, routes: &[&str]| {
        let routes = routes.iter().map(|route| (*route).to_owned()).collect();
        ClientKey { routes, ..open_key(name) }
    };
    let stage = stage_with(3, Script::default(), |settings| {
        let fields = vec!["field_of_tomorrow".to_owned(), "provider".to_owned()];
        let more = ClientKey { fields, ..key("more", &["smart", "a", "b", "c"]) };
        settings.server.keys = vec![key("some", &["smart", "a", "b", "c"]), more, key("all", &[])];
    })
    .await;
    for (caller, route) in
        [(Caller::Chat, "a"), (Caller::Responses, "a"), (Caller::Anthropic, "b"), (Caller::Gemini, "c")]
    {
        for (field, value) in [
            ("models", json!(["dear/model"])),
            ("models", json!(vec![0; 600_000])),
            ("route", json!("fallback")),
            ("fallbacks", json!([{"model": "dear"}])),
            ("provider", json!({"order": ["elsewhere"]})),
            ("providerOptions", json!({"gateway": {"models": ["dear"]}})),
            ("api_base", json!("http://evil.example")),
            ("user_config", json!({"model_list": []})),
            ("Models", json!(["dear/model"])),
            ("PROVIDER", json!({"only": ["elsewhere"]})),
            ("extra_body", json!({"models": ["dear/model"], "provider": {"order": ["elsewhere"]}})),
            ("extraBody", json!({"route": "fallback"})),
            ("plugins", json!([{"id": "web"}])),
            ("transforms", json!(["middle-out"])),
            ("preset", json!("dear")),
            ("generateContentRequest", json!({"model": "models/dear", "contents": [{"parts": [{"text": "x"}]}]})),
            // One that no list of such fields would have had.
            ("field_of_tomorrow", json!({"answers": "dear/model"})),
        ] {
            let (path, mut body) = caller.ask(route, "Hi", false);
            body[field] = value;
            let reply = post(&stage, "some", &path, &body.to_string()).await;
            assert_eq!(reply.status, 400, "{caller:?} {field}: {reply:?}");
            assert!(caller.message(&reply.json()).starts_with(&format!("{field}: ")), "{reply:?}");
        }
    }
    // Of two spellings and of two of one name none goes on, whatever the other says.
    for twins in [r#""provider": 1, "Provider": 2"#, r#""models": null, "models": ["dear"]"#] {
        let body = format!(r#"{{"model": "a", "messages": [{{"role": "user", "content": "Hi"}}], {twins}}}"#);
        assert_eq!(post(&stage, "some", "/v1/chat/completions", &body).await.status, 400, "{twins}");
        assert_eq!(post(&stage, "more", "/v1/chat/completions", &body).await.status, 400, "{twins}");
    }
    let (path, mut body) = Caller::Gemini.ask("c", "Hi", false);
    body["model"] = json!("models/gemini-dear");
    assert_eq!(post(&stage, "some", &path, &body.to_string()).await.status, 400);
    for (settings, choice) in [("generationConfig", "routingConfig"), ("generation_config", "model_config")] {
        let (path, mut body) = Caller::Gemini.ask("c", "Hi", false);
        body[settings] = json!({"temperature": 1, choice: {"manualMode": {"modelName": "gemini-dear"}}});
        let reply = post(&stage, "some", &path, &body.to_string()).await;
        assert!(reply.status == 400 && reply.body.contains(&format!("{settings}.{choice}: ")), "{reply:?}");
    }
    let embeds = json!({"model": "a", "input": "Hi", "models": ["dear"]}).to_string();
    assert_eq!(post(&stage, "some", "/v1/embeddings", &embeds).await.status, 400);
    assert_eq!([0, 1, 2].map(|drill| stage.counts(drill).received), [0; 3]);
    // What choosing has nothing to do with goes on, and so does what the key allows by its very name.
    let (path, mut body) = Caller::Chat.ask("a", "Hi", false);
    body["top_k"] = json!(40);
    body["chat_template_kwargs"] = json!({"enable_thinking": false});
    for (key, field, goes_on) in [
        ("some", "user", true),
        ("more", "field_of_tomorrow", true),
        ("more", "provider", true),
        ("more", "Field_of_tomorrow", false),
        ("more", "models", false),
    ] {
        let mut body = body.clone();
        body[field] = json!("x");
        let before = stage.counts(0).received;
        let reply = post(&stage, key, &path, &body.to_string()).await;
        assert_eq!(stage.counts(0).received > before, goes_on, "{key} {field}: {reply:?}");
        assert_eq!(reply.body.contains("its routes alone"), !goes_on, "{key} {field}: {reply:?}");
    }
    let embeds = json!({"model": "a", "input": "Hi", "input_type": "query"}).to_string();
    let reply = post(&stage, "some", "/v1/embeddings", &embeds).await;
    assert!(!reply.body.contains("its routes alone"), "{reply:?}");
    // A client whose key opens everything may say what it likes to every target.
    let (path, mut body) = Caller::Chat.ask("smart", "Hi", false);
    body["models"] = json!(["dear/model"]);
    body["route"] = Value::Null;
    post(&stage, "all", &path, &body.to_string()).await;
    assert!(stage.counts(0).received > 0);
    let mut settings = stage.settings.clone();
    settings.server.keys = vec![ClientKey { fields: vec!["provider".into()], ..open_key("all") }];
    let refused = stage.sidecar.reload(settings).await.expect_err("it may send every field").to_string();
    assert!(refused.starts_with("server.keys[0].fields: "), "{refused}");
}

#[tokio::test]
async fn a_body_with_a_field_twice_or_in_another_case_is_refused() {
    let stage = stage(3).await;
    let said = r#"[{"role": "user", "content": "Hi"}]"#;
    let parts = r#"[{"role": "user", "parts": [{"text": "Hi"}]}]"#;
    let gemini = "/v1beta/models/smart:generateContent";
    for (path, body, field) in [
        ("/v1/chat/completions", format!(r#"{{"model": "smart", "model": "b", "messages": {said}}}"#), "model"),
        ("/v1/chat/completions", format!(r#"{{"model": "smart", "MODEL": "b", "messages": {said}}}"#), "model"),
        ("/v1/chat/completions", format!(r#"{{"model": "smart", "mod\u0065l": "b", "messages": {said}}}"#), "model"),
        ("/v1/chat/completions", format!(r#"{{"model": "smart", "messages": [], "messages": {said}}}"#), "messages"),
        ("/v1/chat/completions", format!(r#"{{"model": "smart", "messages": {said}, "meſſages": []}}"#), "messages"),
        ("/v1/chat/completions", format!(r#"{{"model": "smart", "messages": {said}, "Stream": true}}"#), "stream"),
        ("/v1/responses", r#"{"model": "smart", "input": "Hi", "Input": "Ho"}"#.to_owned(), "input"),
        (
            "/v1/messages",
            format!(r#"{{"model": "smart", "max_tokens": 9, "messages": {said}, "System": "x"}}"#),
            "system",
        ),
        ("/v1/messages", format!(r#"{{"model": "smart", "max_tokens": 9, "messages": {said}, "x": 1, "x": 2}}"#), "x"),
        ("/v1/messages/count_tokens", format!(r#"{{"model": "smart", "model": "b", "messages": {said}}}"#), "model"),
        ("/v1/embeddings", r#"{"model": "a", "input": "Hi", "model": "b"}"#.to_owned(), "model"),
        (gemini, format!(r#"{{"contents": {parts}, "contents": []}}"#), "contents"),
        (gemini, format!(r#"{{"contents": {parts}, "Tools": []}}"#), "tools"),
    ] {
        let reply = post(&stage, "any", path, &body).await;
        let error = reply.json();
        assert_eq!(reply.status, 400, "{body}: {error}");
        let message = error["error"]["message"].as_str().expect("a message");
        assert!(message.starts_with(&format!("{field}: ")), "{body}: {error}");
    }
    assert_eq!([0, 1, 2].map(|drill| stage.counts(drill).received), [0; 3]);
}

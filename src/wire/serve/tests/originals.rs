//! Requests that go on as they came, and those that must not.

use super::*;
use crate::wire::{Quirks, encode};
use crate::words::{Dialect, TargetId};

/// Returns the body that a target gets of a request, and whether it is the caller's own.
fn sent(face: Face, body: &Value, to: (Dialect, &str, &str), streaming: bool) -> (Value, bool) {
    let (dialect, accent, model) = to;
    let asked = asked(face, body);
    let quirks = Quirks::named(accent).expect("an accent");
    let encode = |request| encode(dialect, quirks, request, &TargetId::new("p", model), streaming).expect("a body");
    let anew = ChatRequest { original: None, ..asked.request.clone() };
    let (went, anew) = (encode(&asked.request), encode(&anew));
    let json = |body: &[u8]| serde_json::from_slice::<Value>(body).expect("JSON");
    let is_own = went.body != anew.body;
    if is_own && let Some(original) = &asked.request.original {
        assert!(went.body.len() <= original.body.len() + 100);
    }
    (json(&went.body), is_own)
}

/// What no words are known for: only as it came does it stay where it is.
fn marked(face: Face) -> Value {
    match face {
        Face::OpenAiChat => json!({"model": "smart", "messages": [{"role": "user", "name": "ann", "content": [
            {"type": "image_url", "image_url": {"url": "https://x.test/i.png", "detail": "low"}}]}]}),
        Face::OpenAiResponses => json!({"model": "smart", "store": false, "input": [{"role": "user", "content": [
            {"type": "input_image", "image_url": "https://x.test/i.png", "detail": "low"}]}]}),
        Face::Anthropic => json!({"model": "smart", "max_tokens": 9, "messages": [{"role": "user", "content": [
            {"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "you"}]}]}),
        Face::Gemini => json!({"contents": [{"role": "user", "parts": [{"text": "Hi", "videoMetadata": {"fps": 1}}]}]}),
    }
}

const OWN: [(Face, Dialect, &str, &str); 4] = [
    (Face::OpenAiChat, Dialect::OpenAiChat, "openai", "gpt-4o-mini"),
    (Face::OpenAiResponses, Dialect::OpenAiResponses, "openai", "gpt-4o-mini"),
    (Face::Anthropic, Dialect::AnthropicMessages, "generic", "claude-haiku-4-5"),
    (Face::Gemini, Dialect::Gemini, "generic", "gemini-2.5-flash"),
];

#[test]
fn a_request_goes_as_it_came_to_who_speaks_its_dialect_and_is_written_anew_for_all_others() {
    for (face, ..) in OWN {
        for (other, dialect, accent, model) in OWN {
            let mut body = marked(face);
            let (sent, is_own) = sent(face, &body, (dialect, accent, model), false);
            assert_eq!(is_own, face == other, "{face:?} to {dialect:?}");
            if is_own {
                if face != Face::Gemini {
                    body["model"] = model.into();
                }
                assert_eq!(sent, body);
            }
        }
    }
}

#[test]
fn a_stream_goes_as_it_came_and_asks_for_its_usage() {
    for (face, dialect, accent, model) in OWN {
        let mut body = marked(face);
        body["stream"] = true.into();
        if face == Face::Gemini {
            // Its address says so.
            body.as_object_mut().expect("an object").remove("stream");
        }
        let (sent, is_own) = sent(face, &body, (dialect, accent, model), face != Face::Gemini);
        assert!(is_own, "{face:?}");
        let expected = if face == Face::OpenAiChat { json!({"include_usage": true}) } else { Value::Null };
        assert_eq!(sent["stream_options"], expected);
    }
    let mut body = marked(Face::OpenAiChat);
    (body["stream"], body["stream_options"]) = (true.into(), json!({"include_usage": true, "x": 1}));
    let to = (Dialect::OpenAiChat, "openai", "gpt-4o-mini");
    assert_eq!(sent(Face::OpenAiChat, &body, to, true).0["stream_options"], body["stream_options"]);
    body["stream_options"]["include_usage"] = false.into();
    assert!(!sent(Face::OpenAiChat, &body, to, true).1, "usage is needed here whatever the caller wants of it");
}

#[test]
fn a_request_is_written_anew_where_something_must_change() {
    let chat = |field: &str, value: Value| {
        let mut body = marked(Face::OpenAiChat);
        body[field] = value;
        body
    };
    let openai = (Dialect::OpenAiChat, "openai", "gpt-4o-mini");
    let thinks = (Dialect::OpenAiChat, "openai", "gpt-5-mini");
    let tool = json!([{"type": "function", "function": {"name": "f"}}]);
    for (why, body, to, streaming, expected) in [
        ("a field under its own name", chat("max_completion_tokens", 9.into()), openai, false, true),
        ("a field under its old name", chat("max_tokens", 9.into()), openai, false, false),
        ("the old name where it is the name", chat("max_tokens", 9.into()), (openai.0, "generic", "m"), false, true),
        ("a parameter that is refused", chat("temperature", 1.into()), thinks, false, false),
        ("a parameter that is taken", chat("temperature", 1.into()), openai, false, true),
        ("an effort for whoever answers", chat("reasoning_effort", "low".into()), thinks, false, false),
        ("what only it can answer", chat("logprobs", true.into()), openai, false, true),
        ("several answers", chat("n", 2.into()), openai, false, true),
        ("functions of old", chat("functions", json!([{"name": "f"}])), openai, false, false),
        ("an answer in another form", chat("user", "u".into()), openai, true, false),
        ("another accent", chat("tools", tool), (openai.0, "mistral", "m"), false, false),
    ] {
        assert_eq!(sent(Face::OpenAiChat, &body, to, streaming).1, expected, "{why}");
    }
    let mut body = chat("reasoning_effort", "low".into());
    body["model"] = "openai/gpt-5-mini".into();
    assert!(
        sent(Face::OpenAiChat, &body, thinks, false).1,
        "who asks for a model by name knows how it is told to think"
    );
    let mut body = marked(Face::Anthropic);
    body["messages"][0]["content"][1]["type"] = "text".into();
    let thought = json!({"type": "thinking", "thinking": "Hm.", "signature": "opus-4.8:ErUB"});
    body["messages"].as_array_mut().expect("a list").extend([
        json!({"role": "assistant", "content": [thought, {"type": "text", "text": "Yes."}]}),
        json!({"role": "user", "content": "Go on."}),
    ]);
    for (model, expected) in [("claude-opus-4-8", true), ("claude-opus-4-7", false)] {
        let (sent, is_own) = sent(Face::Anthropic, &body, (Dialect::AnthropicMessages, "generic", model), false);
        assert_eq!(is_own, expected, "a signature is for its own model alone");
        let first = &sent["messages"][1]["content"][0];
        assert_eq!(first["signature"], if expected { json!("ErUB") } else { Value::Null }, "the maker's name is ours");
    }
    body["messages"][1]["content"][0]["signature"] = "standin:thought:gemini:x".into();
    assert!(asked(Face::Anthropic, &body).request.original.is_none(), "what is sealed is nobody's but ours");
}

#[test]
fn a_conversation_that_was_cut_is_written_anew() {
    use crate::policy::trim::Cut;
    let mut body = marked(Face::OpenAiChat);
    let more = (0..4).map(|n| json!({"role": if n % 2 == 0 { "assistant" } else { "user" }, "content": "x"}));
    body["messages"].as_array_mut().expect("a list").extend(more);
    let request = asked(Face::OpenAiChat, &body).request;
    let cut = Cut::find(&request.messages, |_| 1.0, 1.0).expect("something to leave out");
    assert!(request.original.is_some() && cut.apply(&request).original.is_none());
}

#[test]
fn recorded_requests_go_to_their_own_provider_as_they_came() {
    let (mut own, mut all) = (0, 0);
    for case in crate::wire::tests::cases().iter().filter(|case| case["kind"] == "ok") {
        let Some((face, dialect, accent, _)) = OWN.iter().find(|(face, ..)| {
            let name = match face {
                Face::OpenAiChat => "chat-completions",
                Face::OpenAiResponses => "responses",
                Face::Anthropic => "anthropic-messages",
                Face::Gemini => "gemini-generate",
            };
            case["api"] == name
        }) else {
            continue;
        };
        let Some(text) = case["request"]["body"].as_str() else { continue };
        let Ok(asked) = read(*face, Some("m"), false, &text.to_owned().into()) else { continue };
        let Some(original) = &asked.request.original else { continue };
        all += 1;
        let model = original.model().unwrap_or("m").to_owned();
        let quirks = Quirks::named(accent).expect("an accent");
        let target = TargetId::new("p", model.as_str());
        let Ok(encoded) = crate::wire::encode(*dialect, quirks, &asked.request, &target, asked.stream) else {
            continue;
        };
        if encoded.body == original.body {
            own += 1;
        }
    }
    println!("{own} of {all} recorded requests go as they came, byte by byte");
    assert!(all == 0 || own * 2 > all, "{own} of {all}");
}

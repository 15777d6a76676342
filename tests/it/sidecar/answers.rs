//! Answers without faults: in the caller's dialect, from any target.

use serde_json::{Value, json};
use standin::testing::{Answer, Script};

use super::http::{self, Caller, Exchange};
use super::{stage, stage_with};

const SAID: &str = "one two three four five";

#[tokio::test]
async fn every_dialect_is_answered_by_providers_of_every_other_one() {
    let stage = stage(3).await;
    let to = stage.sidecar.address();
    for caller in Caller::ALL {
        for (name, model) in [("a", "gpt-5-mini"), ("b", "claude-haiku-4-5"), ("c", "gemini-2.5-flash")] {
            let whole = http::ask(to, caller, name, SAID, false).await;
            assert_eq!((whole.status, whole.is_whole), (200, true), "{caller:?} of {name}: {whole:?}");
            assert_eq!(caller.text(&whole.json()), SAID);
            assert_eq!(whole.header("content-type"), Some("application/json"));

            let streamed = http::ask(to, caller, name, SAID, true).await;
            assert_eq!((streamed.status, streamed.is_whole), (200, true), "{caller:?} of {name}: {streamed:?}");
            assert_eq!(caller.streamed(&streamed.body), SAID);
            assert!(streamed.body.contains(caller.end()), "{caller:?} of {name}: {}", streamed.body);
            assert_eq!(streamed.header("content-type"), Some("text/event-stream; charset=utf-8"));
            assert_eq!(streamed.header("x-standin-target"), Some(format!("{name}/{model}").as_str()));
        }
    }
    assert!((0..3).all(|drill| stage.counts(drill).answered == 8));
}

#[tokio::test]
async fn an_anthropic_stream_begins_with_what_its_prompt_is_estimated_at_and_ends_with_what_was_counted() {
    let stage = stage(2).await;
    for (model, how) in [("b", "live"), ("a", "live"), ("b", "buffered")] {
        let (path, body) = Caller::Anthropic.ask(model, SAID, true);
        let headers = [("x-standin-stream", how)];
        let to = stage.sidecar.address();
        let answer = Exchange::begin(to, "POST", &path, &headers, &body.to_string()).await.end().await;
        let events = http::events(&answer.body);
        let usage = |kind: &str, at: &str| {
            let event = events.iter().find(|event| event["type"] == kind).expect(kind);
            event.pointer(at).and_then(Value::as_u64).expect("a count")
        };
        assert!(usage("message_start", "/message/usage/input_tokens") > 0, "{model} {how}");
        assert!(usage("message_delta", "/usage/input_tokens") > 0, "{model} {how}");
    }
}

#[tokio::test]
async fn tools_are_called_across_dialects() {
    let stage = stage(3).await;
    let to = stage.sidecar.address();
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let asks = "call:weather({\"city\":\"Paris\"})";
    for model in ["a", "b", "c"] {
        let tool = |caller: Caller| match caller {
            Caller::Chat => json!({"type": "function", "function": {"name": "weather", "parameters": schema}}),
            Caller::Responses => json!({"type": "function", "name": "weather", "parameters": schema}),
            Caller::Anthropic => json!({"name": "weather", "input_schema": schema}),
            Caller::Gemini => json!({"functionDeclarations": [{"name": "weather", "parameters": schema}]}),
        };
        for caller in Caller::ALL {
            let (path, mut body) = caller.ask(model, asks, false);
            body["tools"] = json!([tool(caller)]);
            let answer = Exchange::begin(to, "POST", &path, &[], &body.to_string()).await.end().await.json();
            let text = |value: &Value| serde_json::from_str(value.as_str().expect("a text")).expect("JSON");
            let arguments: Value = match caller {
                Caller::Chat => text(&answer["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"]),
                Caller::Responses => text(&answer["output"][0]["arguments"]),
                Caller::Anthropic => answer["content"][0]["input"].clone(),
                Caller::Gemini => answer["candidates"][0]["content"]["parts"][0]["functionCall"]["args"].clone(),
            };
            assert_eq!(arguments, json!({"city": "Paris"}), "{caller:?} of {model}: {answer}");
        }
    }
}

#[tokio::test]
async fn a_whole_answer_says_its_target_its_attempts_and_its_cost() {
    let stage = stage(2).await;
    stage.drills[0].handle().next(1, standin::testing::Fault::CutAfter(0));
    stage.drills[1].handle().say(Answer::text("yes"));
    let reply = http::ask(stage.sidecar.address(), Caller::Chat, "smart", "well?", false).await;
    assert_eq!(reply.header("x-standin-target"), Some("b/claude-haiku-4-5"));
    assert_eq!(reply.header("x-standin-attempts"), Some("2"));
    assert!(reply.header("x-standin-call").is_some_and(|call| call.parse::<standin::CallId>().is_ok()));
    let cost = reply.header("x-standin-cost-usd").and_then(|cost| cost.parse::<f64>().ok());
    let usage = &reply.json()["usage"];
    let tokens = |name: &str| usage[name].as_f64().expect("a count");
    let expected = (tokens("prompt_tokens") + 4.0 * tokens("completion_tokens")) / 1e6;
    assert!((cost.expect("a cost") - expected).abs() < 1e-9, "{cost:?} of {usage}");
}

#[tokio::test]
async fn a_request_in_a_providers_own_dialect_goes_to_it_as_it_came() {
    let stage = stage(3).await;
    let to = stage.sidecar.address();
    for (drill, caller) in [(0, Caller::Chat), (1, Caller::Anthropic), (2, Caller::Gemini)] {
        let (own, name) = (["a", "b", "c"][drill], ["gpt-5-mini", "claude-haiku-4-5", "unnamed"][drill]);
        for (model, stream) in [(own, false), (own, true), ("smart", false), ("smart", true)] {
            let (path, body) = caller.ask(model, SAID, stream);
            // No encoder writes so widely.
            let mut body = format!("{body:#}");
            let answer = Exchange::begin(to, "POST", &path, &[], &body).await.end().await;
            assert_eq!((answer.status, answer.is_whole), (200, true), "{answer:?}");
            let asked = if model == "smart" { 0 } else { drill };
            let got = stage.drills[asked].handle().log().pop().expect("asked").body;
            let got = String::from_utf8(got.to_vec()).expect("text");
            if asked != drill {
                assert!(!got.contains('\n'), "{got}");
                continue;
            }
            body = body.replace(&format!("\"model\": \"{model}\""), &format!("\"model\": \"{name}\""));
            if (caller, stream) == (Caller::Chat, true) {
                body.insert_str(1, r#""stream_options":{"include_usage":true},"#);
            }
            assert_eq!(got, body, "{caller:?} of {model}");
        }
    }
}

#[tokio::test]
async fn a_whole_answer_is_asked_for_as_a_stream_where_that_is_configured_or_its_dialect_is_another() {
    for (configured, own, other) in [(None, false, true), (Some(true), true, true), (Some(false), false, false)] {
        let edit = |settings: &mut standin::sidecar::Settings| {
            settings.runtime.providers.values_mut().for_each(|provider| provider.stream_upstream = configured);
        };
        let stage = stage_with(2, Script::default(), edit).await;
        for (drill, model, streams) in [(0, "a", own), (1, "b", other)] {
            let answer = http::ask(stage.sidecar.address(), Caller::Chat, model, SAID, false).await;
            assert_eq!(Caller::Chat.text(&answer.json()), SAID);
            let got = stage.drills[drill].handle().log().pop().expect("asked");
            let got: Value = serde_json::from_slice(&got.body).expect("JSON");
            assert_eq!(got["stream"], streams, "{configured:?} {model}");
        }
    }
}

#[tokio::test]
async fn an_unknown_name_is_not_found_unless_a_route_serves_all_others() {
    for default in [None, Some("smart".to_owned())] {
        let stage = super::stage_with(1, standin::testing::Script::default(), |settings| {
            settings.server.default_route.clone_from(&default);
        })
        .await;
        for caller in Caller::ALL {
            let reply = http::ask(stage.sidecar.address(), caller, "gpt-9", SAID, false).await;
            let expected = if default.is_some() { 200 } else { 404 };
            assert_eq!(reply.status, expected, "{caller:?}: {reply:?}");
            if default.is_none() {
                assert!(caller.message(&reply.json()).contains("gpt-9"), "{reply:?}");
                assert_eq!(reply.header("x-should-retry"), Some("false"));
            } else {
                assert_eq!(caller.text(&reply.json()), SAID);
            }
        }
        let asked = if default.is_some() { 4 } else { 0 };
        assert_eq!(stage.counts(0).received, asked);
    }
}

#[tokio::test]
async fn models_are_listed_in_the_three_forms_and_told_one_by_one() {
    let stage = stage(1).await;
    let to = stage.sidecar.address();
    let names = ["a", "smart", "a/gpt-5-mini"];
    let version = [("anthropic-version", "2023-06-01")];
    let ids = |list: &Value, key: &str| -> Vec<String> {
        let entries = list.as_array().expect("a list").iter();
        entries.map(|entry| entry[key].as_str().expect("a name").to_owned()).collect()
    };
    let openai = http::get(to, "/v1/models").await.json();
    assert_eq!(
        (openai["object"].as_str(), ids(&openai["data"], "id")),
        (Some("list"), names.map(str::to_owned).into())
    );
    let anthropic = http::get_with(to, "/v1/models", &version).await.json();
    assert_eq!(ids(&anthropic["data"], "id"), names);
    assert_eq!((&anthropic["has_more"], &anthropic["first_id"]), (&json!(false), &json!("a")));
    let gemini = http::get(to, "/v1beta/models").await.json();
    assert_eq!(ids(&gemini["models"], "name"), names.map(|name| format!("models/{name}")));
    assert_eq!(http::get_with(to, "/v1/models", &[("x-goog-api-key", "any")]).await.json(), gemini);

    assert_eq!(http::get(to, "/v1/models/a%2Fgpt-5-mini").await.json()["id"], "a/gpt-5-mini");
    assert_eq!(http::get_with(to, "/v1/models/smart", &version).await.json()["type"], "model");
    assert_eq!(http::get(to, "/v1beta/models/smart").await.json()["name"], "models/smart");
    assert_eq!(http::get(to, "/v1/models/none").await.status, 404);
}

#[tokio::test]
async fn tokens_are_counted_without_asking_a_provider() {
    let stage = stage(1).await;
    let to = stage.sidecar.address();
    let words = "word ".repeat(400);
    let (_, body) = Caller::Anthropic.ask("smart", &words, false);
    let counted = Exchange::begin(to, "POST", "/v1/messages/count_tokens", &[], &body.to_string()).await.end().await;
    let anthropic = counted.json()["input_tokens"].as_u64().expect("a count");
    let (_, body) = Caller::Gemini.ask("smart", &words, false);
    let path = "/v1beta/models/smart:countTokens";
    let counted = Exchange::begin(to, "POST", path, &[], &body.to_string()).await.end().await;
    let gemini = counted.json()["totalTokens"].as_u64().expect("a count");
    assert!((200..1_000).contains(&anthropic) && anthropic.abs_diff(gemini) < 10, "{anthropic} and {gemini}");
    assert_eq!(stage.counts(0).received, 0);
}

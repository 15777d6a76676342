//! Providers that are functions: they take the common form, and are providers like all others.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use serde_json::json;
use standin::config::DialectConfig;
use standin::health::BreakerState;
use standin::testing::{Fault, ProviderError, Script, Scripted};
use standin::{
    Answer, AnswerPiece, ChatRequest, Config, EmbedRequest, Error, Failure, FailureClass, ModelConfig, ProviderConfig,
    ReplyEvent, RetryAfter, RouteConfig, Runtime, StopReason, Strategy, Tool, ToolCall, Usage,
};

use crate::kit::{MS, S, ask, config, settle, start, target, words};

/// Starts a runtime whose route `smart` asks a function first, and then a scripted provider `a`.
async fn before_a_spare(function: ProviderConfig) -> (Runtime, Scripted) {
    let spare = Scripted::new(Script::default());
    let mut config = config(std::slice::from_ref(&spare));
    config.providers.insert("f".into(), function);
    config.routes.insert("smart".into(), first_of(["f/m", "a/m"]));
    (start(config).await, spare)
}

fn first_of<const N: usize>(targets: [&str; N]) -> RouteConfig {
    let mut route = RouteConfig::new(targets);
    route.options.strategy = Strategy::Priority;
    route
}

async fn alone(function: ProviderConfig) -> Runtime {
    let route = RouteConfig::new(["f/m"]);
    Runtime::builder().provider("f", function).route("smart", route).start().await.expect("starts")
}

#[tokio::test(start_paused = true)]
async fn a_function_is_asked_in_words_and_its_text_is_the_answer() {
    let function = ProviderConfig::from_fn(|request: ChatRequest| async move {
        let tags: Vec<_> = request.tags.keys().cloned().collect();
        Ok(format!("{} {:?} {tags:?}", request.question(), request.session))
    });
    let runtime = alone(function.model("m")).await;
    let mut request = ask("hello").session("s");
    request.tags.insert("team".into(), "x".into());
    let reply = runtime.chat(request).await.expect("an answer");
    assert_eq!(reply.text, "hello Some(\"s\") [\"team\"]");
    let finished = reply.finished;
    assert_eq!((finished.stop, finished.cost_usd), (StopReason::Stop, Some(0.0)), "it costs nothing");
    assert!(finished.attempts[0].estimated && finished.usage.output > 0, "{finished:?}");
}

#[tokio::test(start_paused = true)]
async fn a_function_calls_tools_and_says_what_it_used() {
    let usage = Usage::new(11, 5);
    let function = ProviderConfig::from_fn(move |_| async move {
        let call = Answer::tool_call("add", &json!({"a": 1}));
        Ok(call.and(ToolCall::new("add", &json!({"a": 2}))).and(AnswerPiece::Usage(usage)))
    });
    let runtime = alone(function.model("m")).await;
    let request = ask("sum").tool(Tool::new("add", "Adds.", json!({"type": "object"})));
    let reply = runtime.chat(request).await.expect("an answer");
    let calls: Vec<_> = reply.tool_calls.iter().map(|call| (call.name.as_str(), call.arguments.as_str())).collect();
    assert_eq!(calls, [("add", r#"{"a":1}"#), ("add", r#"{"a":2}"#)]);
    assert!(reply.tool_calls[0].id != reply.tool_calls[1].id && !reply.tool_calls[0].id.is_empty());
    assert_eq!((reply.finished.stop, reply.finished.usage), (StopReason::ToolCalls, usage));
}

#[tokio::test(start_paused = true)]
async fn a_stream_arrives_as_it_is_said_and_a_break_in_it_resets_it() {
    let function = ProviderConfig::from_fn(|request: ChatRequest| async move {
        let broken = request.question() == "break";
        let said = stream::iter(["one ", "two ", "three"]).then(|word| async move {
            tokio::time::sleep(100 * MS).await;
            Ok(AnswerPiece::from(word))
        });
        let end = stream::iter(broken.then(|| Err(Failure::new(FailureClass::Cut, "the pipe broke"))));
        Ok(Answer::stream(said.chain(end)))
    });
    let (runtime, spare) = before_a_spare(function.model("m")).await;
    let begun = tokio::time::Instant::now();
    let mut stream = runtime.stream(ask("go")).await.expect("a stream");
    let mut seen = Vec::new();
    while let Some(event) = stream.next().await {
        if let ReplyEvent::Text(text) = event.expect("no failure") {
            seen.push((begun.elapsed().as_millis() / 100, text));
        }
    }
    assert_eq!(seen, [(1, "one ".to_owned()), (2, "two ".into()), (3, "three".into())]);
    let mut stream = runtime.stream(ask("break")).await.expect("a stream");
    let (mut resets, mut text) = (Vec::new(), String::new());
    while let Some(event) = stream.next().await {
        match event.expect("another answers") {
            ReplyEvent::Text(more) => text.push_str(&more),
            ReplyEvent::Reset(failure) => {
                resets.push(failure.message);
                text.clear();
            }
            _ => {}
        }
    }
    assert_eq!((resets, text.as_str()), (vec!["the pipe broke".to_owned()], "break"));
    assert_eq!(spare.answered(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_function_that_fails_panics_or_hangs_is_left_and_its_breaker_opens() {
    let asked = Arc::new(AtomicU32::new(0));
    for how in ["fails", "panics", "hangs"] {
        let count = asked.clone();
        let function = ProviderConfig::from_fn(move |_| {
            count.fetch_add(1, Relaxed);
            async move {
                match how {
                    "fails" => {}
                    "panics" => panic!("as a function may"),
                    _ => tokio::time::sleep(Duration::from_secs(9_999)).await,
                }
                Err::<Answer, _>(Failure::new(FailureClass::Server, "no luck"))
            }
        });
        let model = ModelConfig { first_token: Some(S), ..ModelConfig::default() };
        let (runtime, spare) = before_a_spare(function.model_with("m", model)).await;
        asked.store(0, Relaxed);
        for _ in 0..20 {
            let reply = runtime.chat(ask("hello")).await.expect("the spare answers");
            assert_eq!(&*reply.finished.target.provider, "a", "{how}");
            // Failures at one moment would be one event.
            tokio::time::sleep(S).await;
        }
        settle().await;
        let health = *runtime.health().target(&target("f/m")).expect("a target");
        // A crash is our own fault and opens no breaker.
        let opens = how != "panics";
        assert_eq!(matches!(health.breaker, BreakerState::Open { .. }), opens, "{how}: {health:?}");
        assert_eq!((asked.load(Relaxed) < 15, spare.answered()), (opens, 20), "{how}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_functions_failure_is_told_by_its_class_and_its_time_is_kept() {
    let function = ProviderConfig::from_fn(|_| async {
        let mut failure = Failure::new(FailureClass::RateLimited, "one at a time");
        failure.retry_after = Some(RetryAfter::After(30 * S));
        Err::<Answer, _>(failure)
    });
    let runtime = alone(function.model("m")).await;
    let error = runtime.chat(ask("hello").deadline(5 * S)).await.expect_err("nobody else");
    let Error::Exhausted { attempts, retry_after, .. } = &error else { panic!("{error:?}") };
    assert!(attempts[0].to_string().contains("rate_limited: one at a time"), "{error}");
    assert!(retry_after.is_some_and(|wait| (29 * S..=34 * S).contains(&wait)), "{retry_after:?}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_a_function_is_judged_like_every_other() {
    let function = ProviderConfig::from_fn(|request: ChatRequest| async move {
        Ok(match &*request.question() {
            "nothing" => Answer::from(vec![]),
            "stop" => "one two END three".into(),
            _ => "no JSON at all".into(),
        })
    });
    let runtime = alone(function.model("m")).await;
    let class = |error: Error| match error.attempts()[0].end.name() {
        "won" => panic!("{error}"),
        name => name,
    };
    assert_eq!(class(runtime.chat(ask("nothing")).await.expect_err("no words")), "empty");
    let mut json = ask("json");
    json.response_format = standin::ResponseFormat::Json;
    assert_eq!(class(runtime.chat(json).await.expect_err("no JSON")), "unusable");
    let mut stops = ask("stop");
    stops.sampling.stop.push("END".into());
    assert_eq!(runtime.chat(stops).await.expect("an answer").text, "one two ");
    let error = runtime.embed(EmbedRequest::new("smart", ["a"])).await.expect_err("no vectors");
    assert!(matches!(error, Error::NoTarget { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_function_in_a_tier_of_its_own_answers_only_when_no_other_target_does() {
    let function = ProviderConfig::from_fn(|_| async { Ok("from here") }).model("m");
    let first = Scripted::new(Script::default());
    let mut config = config(std::slice::from_ref(&first));
    config.providers.insert("f".into(), function);
    config.routes.insert("smart".into(), RouteConfig::new(["a/m"]).tier(1, ["f/m"]));
    let runtime = start(config.clone()).await;
    for _ in 0..10 {
        assert_eq!(runtime.chat(ask(&words(3))).await.expect("an answer").text, words(3));
    }
    let outage = first.always(Fault::Error(ProviderError::Server));
    for _ in 0..10 {
        assert_eq!(runtime.chat(ask("hi")).await.expect("an answer").text, "from here");
    }
    first.lift(outage);
    // The same function again is the same provider: it is not restarted.
    runtime.reconfigure(config).await.expect("the same configuration");
    settle().await;
    let provider = runtime.health().providers.into_iter().find(|one| &*one.name == "f").expect("the function");
    assert_eq!((provider.incarnations, provider.targets[0].1.admitted), (1, 10));
}

#[test]
fn no_file_holds_a_function() {
    let config: Result<Config, _> = toml::from_str("[providers.f]\ndialect = \"function\"\n");
    assert!(config.is_err());
    assert!(serde_json::from_str::<DialectConfig>("\"function\"").is_err());
}

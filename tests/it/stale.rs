//! The last good answer to the same request, if no target can give a new one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use standin::config::{RungConfig, StaleOptions};
use standin::testing::{Answer, Answers, Fault, ProviderError, Script};
use standin::{ChatRequest, Config, Degraded, OnExhausted, Reply, ResponseFormat};
use tokio::time::sleep;

use super::kit::{MS, S, World, ask, path, settle, stream, target, world_with};

/// An answer of a number of its own each time, so that an old one is known from a new one.
fn numbered() -> Script {
    let count = Arc::new(AtomicU32::new(0));
    let answers = Answers::by(move |_| Answer::text(format!("answer {}", count.fetch_add(1, Relaxed) + 1)));
    Script { answers, ..Script::default() }
}

fn stale() -> RungConfig {
    RungConfig::StaleIfError(StaleOptions::default())
}

fn keeping(config: &mut Config, rungs: Vec<RungConfig>) {
    let route = config.routes.get_mut("smart").expect("there");
    route.failover.on_exhausted = Some(OnExhausted::Degrade);
    route.degrade = rungs;
}

async fn world(count: usize, script: Script, rungs: Vec<RungConfig>) -> World {
    world_with(count, script, |config| keeping(config, rungs)).await
}

fn down(world: &World) {
    for provider in &world.providers {
        provider.always(Fault::Error(ProviderError::Unauthorised));
    }
}

async fn asked(world: &World, request: ChatRequest) -> Reply {
    world.runtime.chat(request).await.expect("there is something")
}

#[tokio::test(start_paused = true)]
async fn where_nobody_answers_the_last_good_answer_to_the_same_request_is_given_with_its_age() {
    let world = world(1, numbered(), vec![stale(), RungConfig::Text("Later.".into())]).await;
    for expected in ["answer 1", "answer 2"] {
        let reply = asked(&world, ask("hello")).await;
        assert_eq!((reply.text.as_str(), reply.finished.degraded), (expected, None), "who is well is asked");
    }
    sleep(90 * S).await;
    down(&world);
    let reply = asked(&world, ask("hello").session("another").deadline(30 * S)).await;
    let Some(Degraded::Stale { age }) = reply.finished.degraded else { panic!("{:?}", reply.finished) };
    assert_eq!((reply.text.as_str(), reply.finished.target), ("answer 2", target("a/m")));
    assert!(age >= 90 * S && age < 95 * S, "{age:?}");
    assert_eq!(path(&reply.finished.attempts), "a/m unauthorised", "it is no attempt");
    let page = world.runtime.why(reply.finished.call).expect("it is remembered");
    assert_eq!((page.outcome(), page.age()), ("degraded", Some(age)), "{page}");
    assert!(page.to_string().contains("answered by the last good answer to the same request, 90 s old"), "{page}");
    let seen = stream(&world.runtime, ask("hello")).await;
    assert_eq!(seen.text(), "answer 2");
    assert!(matches!(seen.finished().degraded, Some(Degraded::Stale { .. })));
    // Another request has no stale answer, and an answer that is too old is not given.
    assert_eq!(asked(&world, ask("hello!")).await.text, "Later.");
    sleep(3_600 * S).await;
    assert_eq!(asked(&world, ask("hello")).await.text, "Later.");
}

#[tokio::test(start_paused = true)]
async fn an_old_answer_crosses_no_wall_and_goes_to_no_other_caller() {
    let rungs = || vec![stale(), RungConfig::Text("Later.".into())];
    let world = world_with(2, numbered(), |config| {
        config.providers.get_mut("a").expect("there").labels = vec!["eu".into()];
        config.providers.get_mut("b").expect("there").labels = vec!["zdr".into()];
        let route = config.routes["smart"].clone();
        config.routes.insert("other".into(), route);
        keeping(config, rungs());
    })
    .await;
    let of = |client: &str| ChatRequest { client: Some(client.into()), ..ask("hello") };
    let walled = || ChatRequest { labels: vec!["eu".into()], ..ask("hello") };
    asked(&world, of("red")).await;
    asked(&world, walled()).await;
    let on_other = || ChatRequest { route: "other".into(), ..ask("hello") };
    asked(&world, on_other()).await;
    down(&world);
    assert_eq!(asked(&world, of("red")).await.text, "answer 1");
    assert_eq!(asked(&world, of("blue")).await.text, "Later.");
    assert_eq!(asked(&world, ask("hello")).await.text, "Later.");
    assert_eq!(asked(&world, walled()).await.text, "answer 2");
    // A reload that leaves the labels keeps the answers; one that changes them drops answers of targets that no longer
    // fit.
    world.runtime.reconfigure(world.config.clone()).await.expect("it is right");
    assert_eq!(asked(&world, of("red")).await.text, "answer 1");
    let mut config = world.config.clone();
    config.routes.get_mut("smart").expect("there").labels = vec!["zdr".into()];
    world.runtime.reconfigure(config).await.expect("it is right");
    assert_eq!(asked(&world, of("red")).await.text, "Later.");
}

#[tokio::test(start_paused = true)]
async fn rungs_without_a_fitting_answer_are_skipped_and_degraded_answers_are_never_kept() {
    let world = world_with(2, numbered(), |config| {
        keeping(config, vec![RungConfig::Text("no JSON".into()), stale(), RungConfig::Targets]);
        config.routes.get_mut("smart").expect("there").targets[1].degraded = true;
    })
    .await;
    let json = || ChatRequest { response_format: ResponseFormat::Json, ..ask("hello, in json") };
    world.providers[0].always(Fault::Error(ProviderError::Unauthorised));
    assert_eq!(asked(&world, ask("hello")).await.text, "no JSON", "rungs are stepped down in their order");
    // For a request of JSON neither the text nor an old answer fits: the targets of the last rung are asked.
    let error = world.runtime.chat(json()).await.expect_err("what it answers is no JSON");
    assert_eq!(world.providers[1].received(), 2, "{error}");
    assert!(!error.attempts().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_calls_a_tool_is_not_given_again() {
    let answers = Answers::by(|_| Answer::text("Paying.").tool_call("pay", "{\"amount\": 7}"));
    let script = Script { answers, ..Script::default() };
    let world = world(1, script, vec![stale(), RungConfig::Text("Later.".into())]).await;
    assert_eq!(asked(&world, ask("hello")).await.tool_calls.len(), 1);
    down(&world);
    let reply = asked(&world, ask("hello")).await;
    assert_eq!((reply.text.as_str(), reply.tool_calls.len()), ("Later.", 0));
}

/// By the real clock: an answer is given again until it is too old.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_answer_is_given_until_it_is_too_old_by_the_real_clock() {
    let options = StaleOptions { age_max: 500 * MS, ..StaleOptions::default() };
    let rungs = vec![RungConfig::StaleIfError(options), RungConfig::Text("Later.".into())];
    let world = world(1, numbered(), rungs).await;
    let from = std::time::Instant::now();
    let answered = stream(&world.runtime, ask("hello")).await;
    assert_eq!(answered.text(), "answer 1");
    down(&world);
    settle().await;
    let reply = asked(&world, ask("hello")).await;
    if from.elapsed() < 500 * MS {
        let age = reply.finished.degraded.and_then(Degraded::age).expect("it is old");
        assert!(reply.text == "answer 1" && age >= 50 * MS && age <= from.elapsed(), "{age:?}");
    }
    sleep(Duration::from_millis(550)).await;
    assert_eq!(asked(&world, ask("hello")).await.text, "Later.");
}

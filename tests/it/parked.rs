//! Calls that no target can answer now: parked until one can, or answered from a lower rung.

use std::time::Duration;

use standin::config::{RungConfig, StaleOptions};
use standin::health::Force;
use standin::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use standin::runtime::{Arrival, CallStep};
use standin::testing::{Crash, Fault, Latency, ProviderError, RetryHint, Script, Scripted, crash};
use standin::{
    ChatRequest, Config, Degraded, Error, Failure, OnExhausted, Priority, ProviderConfig, Reply, ReplyEvent, Reset,
    ResponseFormat, RouteConfig, Runtime,
};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::kit::{self, MS, S, World, all, ask, path, provider, settle, stream, target, world_with};

type Answer = Result<Reply, Error>;

/// A runtime whose calls wait.
async fn waiting(count: usize) -> World {
    world_with(count, Script::default(), waits).await
}

fn waits(config: &mut Config) {
    config.failover.on_exhausted = OnExhausted::Wait;
}

fn asks(runtime: &Runtime, request: ChatRequest) -> JoinHandle<Answer> {
    let runtime = runtime.clone();
    tokio::spawn(async move { runtime.chat(request).await })
}

fn parked(runtime: &Runtime) -> usize {
    runtime.health().parked.iter().map(|one| one.calls).sum()
}

/// Lets a provider refuse all requests for this long, and makes that known by a call that does not wait.
async fn limited(world: &World, at: usize, wait: Duration) {
    let limit = world.providers[at].always(Fault::RateLimited(RetryHint::Seconds(wait)));
    let asked = ChatRequest { route: format!("{}/m", ["a", "b", "c"][at]), ..ask("hello") };
    let refused = world.runtime.chat(asked.on_exhausted(OnExhausted::Fail)).await;
    assert!(matches!(refused, Err(Error::Exhausted { .. })), "{refused:?}");
    world.providers[at].lift(limit);
    settle().await;
}

/// Waits until this many are parked.
async fn until_parked(runtime: &Runtime, calls: usize) {
    for _ in 0..10_000 {
        if parked(runtime) == calls {
            return;
        }
        sleep(MS).await;
    }
    panic!("{} are parked, and not {calls}", parked(runtime));
}

/// The most of some times that lie within one second of each other.
fn most_within_a_second(times: &[Duration]) -> usize {
    let within = |from: &Duration| times.iter().filter(|at| (*from..*from + S).contains(*at)).count();
    times.iter().map(within).max().unwrap_or(0)
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_a_limit_is_served_after_it_and_none_asks_before() {
    let world = waiting(2).await;
    limited(&world, 0, 3 * S).await;
    limited(&world, 1, 60 * S).await;
    let before: Vec<u64> = world.providers.iter().map(Scripted::received).collect();
    let from = Instant::now();
    let calls: Vec<_> = (0..60).map(|n| asks(&world.runtime, ask(&format!("call {n}")))).collect();
    until_parked(&world.runtime, 60).await;
    let health = world.runtime.health();
    assert_eq!((health.parked.len(), &*health.parked[0].route), (1, "smart"));
    let back_in = health.parked[0].until.expect("a time was told") - health.at;
    assert!(back_in <= 3_300 * MS && back_in >= 2_500 * MS, "{back_in:?}");
    assert_eq!(world.runtime.explain("smart").await.expect("such a route").parked, 60);
    sleep((2_800 * MS).saturating_sub(from.elapsed())).await;
    assert_eq!(
        world.providers.iter().map(Scripted::received).collect::<Vec<_>>(),
        before,
        "nobody asks before the time"
    );
    for answer in all(calls).await {
        let reply = answer.expect("everybody is served");
        assert_eq!(path(&reply.finished.attempts), "a/m won", "it counts as no attempt to wait");
    }
    assert!(from.elapsed() < 15 * S, "{:?}", from.elapsed());
    assert_eq!(world.providers[1].received(), before[1], "the other one's limit stands");
    let log = world.providers[0].log();
    let times: Vec<Duration> = log.iter().skip(1).map(|record| record.at).collect();
    let first = times.iter().filter(|at| **at < times[0] + S).count();
    assert!((6..=10).contains(&first), "{first} in the first second");
    assert_eq!(parked(&world.runtime), 0);
    world.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_all_is_waited_for_and_its_end_is_no_herd() {
    let world = waiting(2).await;
    let down: Vec<_> = world.providers.iter().map(|one| one.always(Fault::Error(ProviderError::Server))).collect();
    let calls: Vec<_> = (0..100).map(|n| asks(&world.runtime, ask(&format!("call {n}")))).collect();
    sleep(20 * S).await;
    assert!(calls.iter().all(|call| !call.is_finished()), "nobody gives up");
    let tried: u64 = world.providers.iter().map(Scripted::received).sum();
    assert!(tried < 500, "{tried} attempts of a hundred calls in 20 s");
    world.providers.iter().zip(down).for_each(|(one, fault)| one.lift(fault));
    for provider in &world.providers {
        provider.take_log();
    }
    for answer in all(calls).await {
        answer.expect("everybody is served");
    }
    for provider in &world.providers {
        let times: Vec<Duration> = provider.log().iter().map(|record| record.at).collect();
        if let Some(first) = times.first() {
            let load = times.iter().filter(|at| **at < *first + S).count();
            assert!(load <= 8, "{load} in the first second");
        }
        assert!(most_within_a_second(&times) <= 80, "{}", most_within_a_second(&times));
    }
    settle().await;
    world.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn parked_calls_go_by_priority_and_then_by_arrival_and_later_ones_are_behind() {
    let world = waiting(1).await;
    limited(&world, 0, 10 * S).await;
    let mut calls = Vec::new();
    for (name, priority) in [
        ("batch", Priority::Batch),
        ("first", Priority::Default),
        ("second", Priority::Default),
        ("critical", Priority::Critical),
        ("interactive", Priority::Interactive),
    ] {
        calls.push(asks(&world.runtime, ask(name).priority(priority)));
        settle().await;
    }
    world.providers[0].take_log();
    let late = {
        let runtime = world.runtime.clone();
        tokio::spawn(async move {
            // The target is back, and others wait for it.
            while runtime.health().target(&target("a/m")).expect("there").rate_limited_until.is_some() {
                sleep(MS).await;
            }
            sleep(100 * MS).await;
            runtime.chat(ask("late")).await
        })
    };
    calls.push(late);
    for answer in all(calls).await {
        answer.expect("everybody is served");
    }
    let asked: Vec<String> =
        world.runtime.recent().iter().map(|flight| format!("{:?}", flight.about.priority)).collect();
    let order: Vec<&str> = asked.iter().skip(1).map(String::as_str).collect();
    assert_eq!(order, ["Critical", "Interactive", "Default", "Default", "Default", "Batch"]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_says_why_it_waits_and_until_when_and_then_goes_on() {
    let world = waiting(1).await;
    limited(&world, 0, 5 * S).await;
    let seen = stream(&world.runtime, ask("hello")).await;
    let Some(ReplyEvent::Waiting { back_in: Some(back_in), barred }) = seen.events.first() else {
        panic!("it says nothing: {}", seen.shape());
    };
    assert!(*back_in <= 5_500 * MS && *back_in > 4 * S, "{back_in:?}");
    assert_eq!((barred[0].target.to_string().as_str(), barred[0].cause.name()), ("a/m", "rate_limited"));
    assert_eq!(seen.text(), "hello");
    let page = world.runtime.why(seen.finished().call).expect("it is remembered").to_string();
    assert!(page.contains("parked: a/m rate_limited, back in") && page.contains("a target is back"), "{page}");
}

#[tokio::test(start_paused = true)]
async fn the_page_of_a_call_that_is_parked_can_be_read() {
    let world = waiting(1).await;
    limited(&world, 0, 60 * S).await;
    let call = asks(&world.runtime, ask("hello"));
    until_parked(&world.runtime, 1).await;
    let id = standin::CallId { number: 2, ..world.runtime.recent()[0].call };
    let page = world.runtime.why(id).expect("it is parked");
    assert!(matches!(page.steps.last(), Some((_, CallStep::Parked { .. }))), "{page}");
    assert_eq!(&*page.about.route, "smart");
    call.abort();
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_while_parked_is_gone_at_once() {
    let world = waiting(1).await;
    limited(&world, 0, 3_600 * S).await;
    let call = asks(&world.runtime, ask("whole"));
    let mut streamed = world.runtime.stream(ask("streamed")).await.expect("a stream");
    assert!(matches!(streamed.next().await, Some(Ok(ReplyEvent::Waiting { .. }))));
    until_parked(&world.runtime, 2).await;
    call.abort();
    drop(streamed);
    settle().await;
    assert_eq!(parked(&world.runtime), 0);
    world.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_parked_calls_at_once_and_says_so() {
    let world = waiting(1).await;
    limited(&world, 0, 3_600 * S).await;
    let call = asks(&world.runtime, ask("whole"));
    let runtime = world.runtime.clone();
    let streamed = tokio::spawn(async move { stream(&runtime, ask("streamed")).await });
    until_parked(&world.runtime, 2).await;
    let from = Instant::now();
    assert_eq!(world.runtime.drain(60 * S).await, 0, "nobody is cut off");
    assert!(from.elapsed() < S, "{:?}", from.elapsed());
    assert_eq!(call.await.expect("no panic"), Err(Error::Draining));
    assert_eq!(streamed.await.expect("no panic").error, Some(Error::Draining));
}

#[tokio::test(start_paused = true)]
async fn every_return_of_a_target_wakes_the_calls_that_wait_for_it() {
    // A reconfiguration that adds a target.
    let world = waiting(1).await;
    limited(&world, 0, 3_600 * S).await;
    let calls: Vec<_> = (0..20).map(|n| asks(&world.runtime, ask(&format!("call {n}")))).collect();
    until_parked(&world.runtime, 20).await;
    let (other, mut config) = (Scripted::new(Script::default()), world.config.clone());
    config.providers.insert("b".into(), provider("b", &other).model("m"));
    config.routes.get_mut("smart").expect("there").targets.push("b/m".into());
    world.runtime.reconfigure(config).await.expect("it is right");
    for answer in all(calls).await {
        assert_eq!(answer.expect("it is served").finished.target, target("b/m"));
    }
    let times: Vec<Duration> = other.log().iter().map(|record| record.at).collect();
    assert!(times.iter().filter(|at| **at < times[0] + S).count() <= 10, "the new one meets no herd");

    // An operator's reset, and an override that ends.
    let world = waiting(1).await;
    limited(&world, 0, 3_600 * S).await;
    let call = asks(&world.runtime, ask("reset"));
    until_parked(&world.runtime, 1).await;
    world.runtime.reset(Reset::All).await.expect("there is something");
    timeout(S, call).await.expect("at once").expect("no panic").expect("it is served");
    world.runtime.force(target("a/m"), Force::Off { until: None }).await.expect("there is such a target");
    settle().await;
    let call = asks(&world.runtime, ask("force"));
    until_parked(&world.runtime, 1).await;
    assert_eq!(world.runtime.health().parked[0].until, None, "nobody knows when");
    sleep(300 * S).await;
    world.runtime.force(target("a/m"), Force::Auto).await.expect("there is such a target");
    timeout(S, call).await.expect("at once").expect("no panic").expect("it is served");
}

#[tokio::test(start_paused = true)]
async fn no_parked_call_hangs_when_an_actor_dies() {
    for who in [Crash::ProviderKilled("a".into()), Crash::RouterKilled, Crash::FrontKilled, Crash::KeeperKilled] {
        let world = waiting(1).await;
        limited(&world, 0, 30 * S).await;
        let calls: Vec<_> = (0..10).map(|n| asks(&world.runtime, ask(&format!("call {n}")))).collect();
        until_parked(&world.runtime, 10).await;
        assert!(crash(&world.runtime, who.clone()), "somebody dies");
        for answer in all(calls).await {
            answer.unwrap_or_else(|error| panic!("{who:?}: {error}"));
        }
        settle().await;
        world.assert_idle();
        assert_eq!(parked(&world.runtime), 0);
    }
    // A killed call ends with an error.
    let world = waiting(1).await;
    limited(&world, 0, 30 * S).await;
    let calls: Vec<_> = (0..3).map(|n| asks(&world.runtime, ask(&format!("call {n}")))).collect();
    until_parked(&world.runtime, 3).await;
    assert!(crash(&world.runtime, Crash::CallsKilled), "somebody dies");
    for answer in all(calls).await {
        assert_eq!(answer, Err(Error::Crashed));
    }
    assert_eq!(parked(&world.runtime), 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_cannot_wait_that_long_is_told_at_once_when_to_come_back() {
    let world = waiting(1).await;
    limited(&world, 0, 60 * S).await;
    let from = Instant::now();
    let error = world.runtime.chat(ask("hello").deadline(30 * S)).await.expect_err("it would be too late");
    assert!(from.elapsed() < S, "at once");
    let Error::Exhausted { retry_after: Some(wait), attempts, .. } = &error else { panic!("{error}") };
    assert!(*wait > 50 * S && *wait < 70 * S && attempts.is_empty(), "{wait:?}");
    // One that has the time has it to the end.
    let reply = world.runtime.chat(ask("hello").deadline(90 * S)).await.expect("it waits");
    assert_eq!(path(&reply.finished.attempts), "a/m won");
}

#[tokio::test(start_paused = true)]
async fn a_routes_deadline_is_paused_while_a_call_is_parked_and_its_own_is_not() {
    let hours = |count: u32| 3_600 * S * count;
    let world = waiting(1).await;
    limited(&world, 0, hours(5)).await;
    let from = Instant::now();
    // It looks once an hour, and is told the same three times.
    world.providers[0].next(3, Fault::RateLimited(RetryHint::Seconds(hours(5))));
    let reply = world.runtime.chat(ask("overnight")).await.expect("ten minutes are for its work");
    assert!(from.elapsed() + S >= hours(4) && from.elapsed() < hours(5), "{:?}", from.elapsed());
    assert!(path(&reply.finished.attempts).ends_with("a/m rate_limited, a/m won"), "{:?}", reply.finished.attempts);
    // It is not known when an operator comes back: each waits as long as it may.
    world.runtime.force(target("a/m"), Force::Off { until: None }).await.expect("there is such a target");
    settle().await;
    let from = Instant::now();
    let error = world.runtime.chat(ask("hello").deadline(90 * S)).await.expect_err("its time is up");
    assert_eq!((error.name(), from.elapsed().as_secs()), ("deadline_exceeded", 90));
    let from = Instant::now();
    let error = world.runtime.chat(ask("hello")).await.expect_err("a day is enough");
    assert_eq!((error.name(), from.elapsed().as_secs() / 3_600), ("exhausted", 24));
}

#[tokio::test(start_paused = true)]
async fn no_more_are_parked_than_may_be_and_a_call_says_otherwise_than_its_route() {
    let world = world_with(1, Script::default(), |config| config.parked_max = 2).await;
    limited(&world, 0, 60 * S).await;
    let wait = || ask("hello").on_exhausted(OnExhausted::Wait);
    let calls = vec![asks(&world.runtime, wait()), asks(&world.runtime, wait())];
    until_parked(&world.runtime, 2).await;
    for refused in [ask("hello"), wait()] {
        let error = world.runtime.chat(refused).await.expect_err("nobody can answer");
        assert!(matches!(error, Error::Exhausted { retry_after: Some(_), .. }), "{error}");
    }
    for answer in all(calls).await {
        answer.expect("those have their place");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_parked_and_fails_again_waits_ever_longer() {
    let world = waiting(1).await;
    // No breaker opens for it, and no time to come back is told.
    world.providers[0].next(6, Fault::Error(ProviderError::Forbidden));
    let from = Instant::now();
    let call = asks(&world.runtime, ask("hello"));
    sleep(3_600 * S).await;
    let asked = world.providers[0].received();
    assert!(asked <= 8, "{asked} attempts");
    let answer = timeout(24 * 3_600 * S, call).await.expect("it ends").expect("no panic");
    assert!(answer.is_ok(), "{answer:?} after {:?}", from.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_has_an_empty_answer_waits_for_the_target_that_it_could_not_ask() {
    let world = waiting(2).await;
    limited(&world, 0, 5 * S).await;
    world.providers[1].always(Fault::Empty);
    let before = world.providers[0].received();
    let reply = world.runtime.chat(ask("hello")).await.expect("the other target is back after five seconds");
    assert_eq!(path(&reply.finished.attempts), "b/m empty, b/m empty, a/m won");
    assert_eq!(world.providers[0].received(), before + 1);
}

#[tokio::test(start_paused = true)]
async fn after_a_limit_all_that_wait_are_served_before_the_first_of_them_is_answered() {
    // Whole answers of twenty seconds say nothing before their end.
    let script = Script { first_token: Latency::Fixed(20 * S), ..Script::default() };
    let world = world_with(1, script, waits).await;
    limited(&world, 0, 2 * S).await;
    let from = Instant::now();
    let calls: Vec<_> = (0..20).map(|n| asks(&world.runtime, ask(&format!("call {n}")))).collect();
    for answer in all(calls).await {
        answer.expect("everybody is served");
    }
    assert!(from.elapsed() < 28 * S, "{:?}", from.elapsed());
}

#[tokio::test(start_paused = true)]
async fn after_a_refused_key_its_calls_go_before_the_first_of_them_is_answered() {
    // Their heads come at once, their first words much later.
    let script = Script { first_token: Latency::Fixed(20 * S), ..Script::default() };
    let world = world_with(1, script, waits).await;
    let down = world.providers[0].always(Fault::Error(ProviderError::Unauthorised));
    let refused = world.runtime.chat(ask("hello").on_exhausted(OnExhausted::Fail)).await;
    refused.expect_err("its key is refused");
    world.providers[0].lift(down);
    settle().await;
    let from = Instant::now();
    let calls = (0..12).map(|n| {
        let runtime = world.runtime.clone();
        tokio::spawn(async move { stream(&runtime, ask(&format!("call {n}"))).await.text() })
    });
    for (n, text) in all(calls.collect()).await.into_iter().enumerate() {
        assert_eq!(text, format!("call {n}"));
    }
    // A second to the first look, its answer's time, and that of all others, which go by the heads of the first.
    assert!(from.elapsed() >= 20 * S && from.elapsed() < 51 * S, "{:?}", from.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_parked_call_looks_whether_a_verdict_still_holds_as_any_call_does_and_is_told_that_time() {
    for error in
        [ProviderError::OutOfMoney, ProviderError::Unauthorised, ProviderError::Forbidden, ProviderError::ModelGone]
    {
        let world = waiting(1).await;
        let refused = world.providers[0].always(Fault::Error(error));
        // It has no time to wait for the look.
        let hasty = || ask("hello").on_exhausted(OnExhausted::Fail).deadline(2 * S);
        let told = world.runtime.chat(hasty()).await.expect_err("it is refused");
        let Error::Exhausted { retry_after: Some(wait), .. } = told else { panic!("no time: {told}") };
        assert!(wait <= S && wait > 800 * MS, "{error:?}: {wait:?}");
        world.providers[0].lift(refused);
        settle().await;
        let told = world.runtime.chat(hasty()).await.expect_err("it stands");
        let Error::Exhausted { retry_after: Some(again), .. } = told else { panic!("no time: {told}") };
        assert!(again <= wait && again > 700 * MS, "{error:?}: {again:?} is the same as {wait:?}");
        let from = Instant::now();
        let seen = stream(&world.runtime, ask("hello")).await;
        assert_eq!(seen.text(), "hello");
        let Some(ReplyEvent::Waiting { back_in: Some(back_in), .. }) = seen.events.first() else {
            panic!("{}", seen.shape())
        };
        assert!(*back_in <= S && from.elapsed() >= 700 * MS && from.elapsed() < 5 * S, "{:?}", from.elapsed());
    }
    // A long limit that was told is looked at after an hour.
    let world = waiting(1).await;
    limited(&world, 0, 3_600 * S * 9).await;
    let from = Instant::now();
    world.runtime.chat(ask("hello")).await.expect("it looks");
    assert!(from.elapsed() >= 3_590 * S && from.elapsed() < 3_700 * S, "{:?}", from.elapsed());
}

#[tokio::test(start_paused = true)]
async fn after_each_look_in_vain_the_next_one_is_later_and_that_is_told_too() {
    let world = waiting(1).await;
    world.providers[0].always(Fault::Error(ProviderError::OutOfMoney));
    let mut seen = Vec::new();
    for _ in 0..3 {
        let hasty = ask("hello").on_exhausted(OnExhausted::Fail).deadline(2 * S);
        let told = world.runtime.chat(hasty).await.expect_err("it is refused");
        let Error::Exhausted { retry_after: Some(wait), .. } = told else { panic!("no time: {told}") };
        seen.push((wait + 500 * MS).as_secs());
        sleep(wait + S).await;
    }
    assert_eq!(seen, [1, 2, 4]);
}

#[tokio::test(start_paused = true)]
async fn parked_calls_end_as_the_configuration_says_now() {
    let world = degrading(vec![text("Nobody.")]).await;
    let mut config = world.config.clone();
    let edit = |config: &mut Config, on_exhausted| {
        let route = config.routes.get_mut("smart").expect("there");
        route.failover.on_exhausted = Some(on_exhausted);
    };
    edit(&mut config, OnExhausted::Wait);
    world.runtime.reconfigure(config.clone()).await.expect("it is right");
    limited(&world, 0, 3_600 * S).await;
    limited(&world, 1, 3_600 * S).await;
    let call = asks(&world.runtime, ask("to fail"));
    let own = asks(&world.runtime, ask("says so itself").on_exhausted(OnExhausted::Wait));
    until_parked(&world.runtime, 2).await;
    edit(&mut config, OnExhausted::Fail);
    config.routes.get_mut("smart").expect("there").degrade = Vec::new();
    config.routes.get_mut("smart").expect("there").targets[1].degraded = false;
    world.runtime.reconfigure(config.clone()).await.expect("it is right");
    let error = timeout(S, call).await.expect("at once").expect("no panic").expect_err("as it says now");
    assert!(matches!(error, Error::Exhausted { retry_after: Some(_), .. }), "{error}");
    assert_eq!(parked(&world.runtime), 1, "the call's own word counts");
    own.abort();
    // And where it takes less now.
    edit(&mut config, OnExhausted::Wait);
    world.runtime.reconfigure(config.clone()).await.expect("it is right");
    let call = asks(&world.runtime, ask("to degrade"));
    until_parked(&world.runtime, 1).await;
    world.runtime.reconfigure(world.config.clone()).await.expect("it is right");
    let reply = timeout(S, call).await.expect("at once").expect("no panic").expect("a text is there");
    assert_eq!(reply.finished.degraded, Some(Degraded::Text));
}

fn text(text: &str) -> RungConfig {
    RungConfig::Text(text.to_owned())
}

/// A runtime whose calls take less where no target answers: from `b`, which is marked, and then a text.
async fn degrading(rungs: Vec<RungConfig>) -> World {
    world_with(2, Script::default(), |config| {
        let route = config.routes.get_mut("smart").expect("there");
        route.targets[1].degraded = true;
        route.failover.on_exhausted = Some(OnExhausted::Degrade);
        route.degrade = rungs;
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_marked_answers_only_where_no_other_can_and_the_reply_says_so() {
    let world = degrading(Vec::new()).await;
    let reply = world.runtime.chat(ask("hello")).await.expect("all is well");
    assert_eq!((path(&reply.finished.attempts).as_str(), reply.finished.degraded), ("a/m won", None));
    // A failure now and then is no reason: it is tried again where it is.
    world.providers[0].next(1, Fault::Error(ProviderError::Server));
    let reply = world.runtime.chat(ask("hello")).await.expect("it is tried again");
    assert_eq!((path(&reply.finished.attempts).as_str(), reply.finished.degraded), ("a/m server, a/m won", None));
    world.providers[0].always(Fault::Error(ProviderError::Unauthorised));
    let reply = world.runtime.chat(ask("hello")).await.expect("the other one answers");
    assert_eq!(path(&reply.finished.attempts), "a/m unauthorised, b/m won");
    assert_eq!(reply.finished.degraded, Some(Degraded::Target));
    let attempts = world.runtime.attempts(reply.finished.call);
    assert_eq!(attempts.iter().map(|one| one.degraded).collect::<Vec<_>>(), [false, true], "and so does the ledger");
    let page = world.runtime.why(reply.finished.call).expect("it is remembered").to_string();
    assert!(page.contains("asks the targets of a lower rung"), "{page}");
    let seen = stream(&world.runtime, ask("streamed")).await;
    assert_eq!((seen.text().as_str(), seen.finished().degraded), ("streamed", Some(Degraded::Target)));
    // A call may rather fail, and a pin leads to no target that is marked.
    let error = world.runtime.chat(ask("hello").on_exhausted(OnExhausted::Fail)).await.expect_err("it takes no less");
    assert_eq!(error.name(), "exhausted");
    let refused = world.runtime.pin("smart", Some(target("b/m"))).await.expect_err("it is none of the route's");
    assert!(refused.to_string().contains("b/m"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn rungs_are_stepped_down_in_the_order_that_the_route_names() {
    let rungs = vec![RungConfig::Targets, text("Nobody answers just now.")];
    let world = degrading(rungs).await;
    world.providers[0].always(Fault::Error(ProviderError::Unauthorised));
    world.providers[1].always(Fault::Error(ProviderError::OutOfMoney));
    let reply = world.runtime.chat(ask("hello")).await.expect("a text is there");
    assert_eq!((reply.text.as_str(), reply.finished.degraded), ("Nobody answers just now.", Some(Degraded::Text)));
    assert_eq!(path(&reply.finished.attempts), "a/m unauthorised, b/m out_of_money");
    assert_eq!(reply.finished.target.to_string(), "standin/text");
    let page = world.runtime.why(reply.finished.call).expect("it is remembered");
    assert_eq!(page.outcome(), "degraded", "{page}");
    let seen = stream(&world.runtime, ask("hello")).await;
    assert_eq!(seen.text(), "Nobody answers just now.");
    assert_eq!(seen.finished().degraded, Some(Degraded::Text));
    // For a request of JSON, a text that is no JSON is no answer.
    let json = ChatRequest { response_format: ResponseFormat::Json, ..ask("hello") };
    assert_eq!(world.runtime.chat(json).await.expect_err("it is no JSON").name(), "exhausted");
    // A refusal of the request itself reaches the caller.
    let world = degrading(vec![text("no")]).await;
    world.providers[0].always(Fault::Error(ProviderError::BadRequest));
    assert_eq!(world.runtime.chat(ask("hello")).await.expect_err("it is not right").name(), "rejected");
}

#[tokio::test(start_paused = true)]
async fn what_a_lower_rungs_target_does_not_take_is_no_end_of_the_call() {
    let declined = || {
        let mut headers = http::HeaderMap::new();
        headers.insert("content-type", http::HeaderValue::from_static("application/json"));
        Fault::Reply { status: 422, headers, body: r#"{"error":{"message":"unprocessable","code":"x"}}"#.to_owned() }
    };
    for (fault, class) in [(declined(), "declined"), (Fault::Error(ProviderError::ContextTooLong), "context_too_long")]
    {
        let attempts = format!("a/m unauthorised, b/m {class}");
        let world = degrading(vec![RungConfig::Targets, text("Nobody.")]).await;
        world.providers[0].always(Fault::Error(ProviderError::Unauthorised));
        world.providers[1].always(fault.clone());
        let reply = world.runtime.chat(ask("hello")).await.expect("a text is there");
        assert_eq!((reply.text.as_str(), reply.finished.degraded), ("Nobody.", Some(Degraded::Text)));
        assert_eq!(path(&reply.finished.attempts), attempts);
        // Nor is it the request's fault: who is out may take it.
        let world = degrading(vec![RungConfig::Targets]).await;
        world.providers[0].always(Fault::Error(ProviderError::Unauthorised));
        world.providers[1].always(fault);
        let error = world.runtime.chat(ask("hello")).await.expect_err("nobody answers");
        assert_eq!((error.name(), path(error.attempts())), ("exhausted", attempts));
    }
}

#[tokio::test(start_paused = true)]
async fn a_text_comes_also_at_the_deadline_and_never_after_content() {
    let world = degrading(vec![text("Later.")]).await;
    world.providers[0].always(Fault::Hang);
    let reply = world.runtime.chat(ask("hello").deadline(5 * S)).await.expect("a text is there");
    assert_eq!((reply.text.as_str(), reply.finished.degraded), ("Later.", Some(Degraded::Text)));
    // A caller that has the beginning of an answer gets the error that it broke off.
    let world = degrading(vec![text("Later.")]).await;
    world.providers[0].always(Fault::CutAfter(2));
    let seen = stream(&world.runtime, ask(&kit::words(20))).await;
    assert_eq!(seen.error.as_ref().map(Error::name), Some("interrupted"), "{}", seen.shape());
    assert!(!seen.text().contains("Later."));
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_targets_are_all_silent_takes_less_before_its_caller_leaves() {
    for streamed in [false, true] {
        let world = degrading(vec![text("Nobody.")]).await;
        for _ in 0..310 {
            world.runtime.chat(ChatRequest::new("a/m").user("hello")).await.expect("it is well");
            stream(&world.runtime, ChatRequest::new("a/m").user("hello")).await;
        }
        settle().await;
        world.providers[0].always(Fault::Hang);
        for _ in 0..3 {
            let from = Instant::now();
            let finished = if streamed {
                stream(&world.runtime, ask("hello")).await.finished().clone()
            } else {
                world.runtime.chat(ask("hello")).await.expect("something is said").finished
            };
            assert_eq!(finished.degraded, Some(Degraded::Text));
            assert!(from.elapsed() < 12 * S, "{:?}", from.elapsed());
        }
        settle().await;
        world.assert_idle();
    }
    // A target that is kept for this is asked before a caller of whom nothing is known is taken to leave; a late answer
    // of the first is what was asked for.
    for (after, degraded) in [(7 * S, None), (9 * S, Some(Degraded::Target)), (600 * S, Some(Degraded::Target))] {
        let world = degrading(vec![RungConfig::Targets, text("Nobody.")]).await;
        for _ in 0..310 {
            world.runtime.chat(ChatRequest::new("a/m").user("hello")).await.expect("it is well");
        }
        settle().await;
        world.providers[0].always(Fault::SlowFirst { factor: 1.0, plus: after });
        world.providers[1].always(Fault::SlowFirst { factor: 1.0, plus: S });
        let from = Instant::now();
        let reply = world.runtime.chat(ask("hello")).await.expect("an answer");
        assert_eq!((reply.text.as_str(), reply.finished.degraded), ("hello", degraded), "{after:?}");
        assert!(from.elapsed() < 13 * S, "{after:?}: {:?}", from.elapsed());
    }
    // A call that is to fail rather waits for its answer.
    let world = degrading(vec![text("Nobody.")]).await;
    world.providers[0].always(Fault::SlowFirst { factor: 1.0, plus: 25 * S });
    let reply = world.runtime.chat(ask("hello").on_exhausted(OnExhausted::Fail)).await.expect("a late answer");
    assert_eq!(reply.finished.degraded, None);
}

#[tokio::test]
async fn a_function_of_the_program_is_a_rung_like_any_other() {
    let down = Scripted::new(Script::default());
    down.always(Fault::Error(ProviderError::Unauthorised));
    let own = ProviderConfig::from_fn(|question| async move { Ok(format!("in short: {}", question.question().len())) });
    let runtime = Runtime::builder()
        .provider("a", provider("a", &down).model("m"))
        .provider("own", own.model("short"))
        .route("smart", RouteConfig::new(["a/m"]).degraded(["own/short"]).on_exhausted(OnExhausted::Degrade))
        .start()
        .await
        .expect("it is right");
    let reply = runtime.chat(ask("hello")).await.expect("the function answers");
    assert_eq!((reply.text.as_str(), reply.finished.degraded), ("in short: 5", Some(Degraded::Target)));
}

/// An actor of the program that answers, and one that sets priorities.
struct Own;

enum Asked {
    Answer(Box<ChatRequest>, RpcReplyPort<Result<standin::Answer, Failure>>),
    Urgency(Arrival, RpcReplyPort<Priority>),
}

#[cfg(feature = "cluster")]
impl standin::ractor::Message for Asked {}

#[cfg_attr(feature = "async-trait", standin::ractor::async_trait)]
impl Actor for Own {
    type Msg = Asked;
    type State = u32;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Asked>, (): ()) -> Result<u32, ActorProcessingErr> {
        Ok(0)
    }

    async fn handle(&self, _: ActorRef<Asked>, asked: Asked, count: &mut u32) -> Result<(), ActorProcessingErr> {
        *count += 1;
        match asked {
            Asked::Answer(request, port) => match request.question().as_ref() {
                "drop" => {}
                question => port.send(Ok(format!("{count}: {question}").into()))?,
            },
            Asked::Urgency(call, port) => match call.incoming().session {
                Some("silent") => {
                    std::mem::forget(port);
                }
                Some("dropped") => {}
                session => port.send(if session.is_some() { Priority::Critical } else { Priority::Batch })?,
            },
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn an_actor_of_the_program_is_a_rung_like_any_other() {
    let down = Scripted::new(Script::default());
    down.always(Fault::Error(ProviderError::Unauthorised));
    let (own, _) = Actor::spawn(None, Own, ()).await.expect("an actor");
    let runtime = Runtime::builder()
        .provider("a", provider("a", &down).model("m"))
        .provider("own", ProviderConfig::from_actor(own.clone(), Asked::Answer).model("short"))
        .route("smart", RouteConfig::new(["a/m"]).degraded(["own/short"]).on_exhausted(OnExhausted::Degrade))
        .start()
        .await
        .expect("it is right");
    for expected in ["1: hello", "2: hello"] {
        let reply = runtime.chat(ask("hello")).await.expect("the actor answers");
        assert_eq!((reply.text.as_str(), reply.finished.degraded), (expected, Some(Degraded::Target)));
    }
    // One that drops its port, or is gone, has failed as a server does.
    let error = runtime.chat(ask("drop").deadline(5 * S)).await.expect_err("it says nothing");
    assert!(path(error.attempts()).contains("own/short server"), "{error:?}");
    own.stop_and_wait(None, None).await.expect("it stops");
    let error = runtime.chat(ask("hello").deadline(5 * S)).await.expect_err("it is gone");
    assert!(!error.attempts().is_empty(), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn an_actor_says_how_urgent_calls_are_and_one_that_is_silent_holds_none_up_for_long() {
    let (own, _) = Actor::spawn(None, Own, ()).await.expect("an actor");
    let config = kit::world(1, Script::default()).await.config;
    let builder = Runtime::builder().config(config).classify_by(own.clone(), Asked::Urgency);
    let runtime = builder.start().await.expect("it starts");
    let asks = async |session: Option<&str>| {
        let request = ChatRequest { session: session.map(str::to_owned), ..ask("hello") };
        let begun = Instant::now();
        let reply = runtime.chat(request.priority(Priority::Interactive)).await.expect("an answer");
        (reply.finished.attempts[0].about.priority, begun.elapsed())
    };
    assert_eq!(asks(Some("desk")).await.0, Priority::Critical);
    assert_eq!(asks(None).await.0, Priority::Batch);
    assert_eq!(asks(Some("dropped")).await.0, Priority::Interactive);
    let (priority, took) = asks(Some("silent")).await;
    assert!(priority == Priority::Interactive && took >= 250 * MS && took < 400 * MS, "{took:?}");
    own.stop_and_wait(None, None).await.expect("it stops");
    let (priority, took) = asks(Some("desk")).await;
    assert!(priority == Priority::Interactive && took < 100 * MS, "{took:?}");
}

#[tokio::test]
async fn a_route_that_has_nothing_to_degrade_to_is_refused() {
    let scripts = [Scripted::new(Script::default())];
    let refused = |edit: fn(&mut RouteConfig)| {
        let mut config = kit::config(&scripts);
        edit(config.routes.get_mut("smart").expect("there"));
        config.targets().expect_err("it is not right").to_string()
    };
    for (edit, expected) in [
        (
            (|route| *route = route.clone().on_exhausted(OnExhausted::Degrade)) as fn(&mut RouteConfig),
            "routes.smart.failover.on_exhausted: is `degrade`, and there is nothing to degrade to",
        ),
        (|route| route.targets[0].degraded = true, "routes.smart.targets: must not all be marked as degraded"),
        (
            |route| route.degrade = vec![RungConfig::Targets],
            "routes.smart.degrade[0]: names targets, and none is marked",
        ),
        (|route| route.degrade = vec![text(" ")], "routes.smart.degrade[0]: is empty"),
        (
            |route| {
                route.degrade = vec![RungConfig::StaleIfError(StaleOptions { answers_max: 0, ..Default::default() })];
            },
            "routes.smart.degrade[0].stale_if_error.answers_max: must be 1 or more",
        ),
        (
            |route| route.degrade = vec![RungConfig::StaleIfError(StaleOptions::default()); 2],
            "routes.smart.degrade[1]: is `stale_if_error` once more",
        ),
    ] {
        let problem = refused(edit);
        assert!(problem.starts_with(expected), "{problem}");
    }
}

/// By the real clock: twenty callers of half a minute, and answers that take a good part of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_serves_as_many_as_failing_after_a_short_limit_by_the_real_clock() {
    let script = Script { first_token: Latency::Fixed(3 * S), ..Script::default() };
    let world = world_with(1, script, waits).await;
    limited(&world, 0, S).await;
    let from = std::time::Instant::now();
    let calls: Vec<_> = (0..20).map(|n| asks(&world.runtime, ask(&format!("call {n}")))).collect();
    for answer in all(calls).await {
        answer.expect("everybody is served");
    }
    assert!(from.elapsed() > 2_900 * MS && from.elapsed() < 10 * S, "{:?}", from.elapsed());
}

/// By the real clock: sixty calls wait for a limit of three seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_waits_for_a_limit_is_served_after_it_by_the_real_clock() {
    let world = waiting(1).await;
    limited(&world, 0, 3 * S).await;
    let from = std::time::Instant::now();
    let before = world.providers[0].received();
    let calls: Vec<_> = (0..60).map(|n| asks(&world.runtime, ask(&format!("call {n}")))).collect();
    until_parked(&world.runtime, 60).await;
    sleep((2_800 * MS).saturating_sub(from.elapsed())).await;
    assert_eq!(world.providers[0].received(), before, "nobody asks before the time");
    for answer in all(calls).await {
        answer.expect("everybody is served");
    }
    assert!(from.elapsed() > 2_800 * MS && from.elapsed() < 20 * S, "{:?}", from.elapsed());
}

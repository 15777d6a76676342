//! Calls that wait for a place: in flight at a target, within the limits of its keys, among the calls of the runtime.

use std::time::Duration;

use standin::runtime::CallStep;
use standin::testing::{Fault, Flavour, Latency, Outcome, ProviderError, RetryHint, Script, Scripted};
use standin::{ChatRequest, Config, Error, OnExhausted, Priority, Reply, RouteConfig, Runtime};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};

use super::kit::{MS, S, World, all, ask, config, path, settle, start, words, world_with};

type Answer = Result<Reply, Error>;

/// A provider that takes 100 ms to an answer.
fn steady() -> Script {
    Script { first_token: Latency::Fixed(100 * MS), ..Script::default() }
}

fn places(config: &mut Config, provider: &str, places: u32) {
    let provider = config.providers.get_mut(provider).expect("configured");
    provider.models.get_mut("m").expect("configured").in_flight_max = Some(places);
}

/// One provider with this many places.
async fn with_places(count: u32) -> World {
    world_with(1, steady(), |config| places(config, "a", count)).await
}

fn asks(runtime: &Runtime, request: ChatRequest) -> JoinHandle<Answer> {
    let runtime = runtime.clone();
    tokio::spawn(async move { runtime.chat(request).await })
}

fn answered(scripted: &Scripted) -> u64 {
    scripted.log().iter().filter(|record| record.outcome == Outcome::Answered).count() as u64
}

#[tokio::test(start_paused = true)]
async fn a_call_that_finds_no_place_waits_and_is_woken_when_one_comes_free() {
    let world = with_places(2).await;
    let begun = Instant::now();
    let calls: Vec<_> = (0..10).map(|n| asks(&world.runtime, ask(&format!("call {n}")))).collect();
    sleep(50 * MS).await;
    assert_eq!((world.health("a/m").in_flight, world.runtime.health().queued), (2, 8));
    for answer in all(calls).await {
        assert_eq!(path(&answer.expect("everybody is served").finished.attempts), "a/m won");
    }
    // Five rounds of 100 ms: a call that polled would find a place later than it came free.
    assert!(begun.elapsed() < 510 * MS, "{:?}", begun.elapsed());
    assert_eq!(world.runtime.health().queued, 0);
    let waited =
        |flight: &standin::runtime::Flight| flight.steps.iter().any(|(_, it)| matches!(it, CallStep::Queued(_)));
    assert_eq!(world.runtime.recent().iter().filter(|flight| waited(flight)).count(), 8);
    settle().await;
    world.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn calls_for_a_place_go_by_priority_then_by_deadline_and_later_ones_overtake_none() {
    let world = with_places(1).await;
    let first = asks(&world.runtime, ask("first"));
    settle().await;
    let mut calls = Vec::new();
    for (name, priority, seconds) in [
        ("batch", Priority::Batch, 30),
        ("late", Priority::Default, 30),
        ("soon", Priority::Default, 20),
        ("critical", Priority::Critical, 30),
    ] {
        calls.push(asks(&world.runtime, ask(name).priority(priority).deadline(S * seconds)));
        sleep(MS).await;
    }
    let runtime = world.runtime.clone();
    let later = tokio::spawn(async move {
        for _ in 0..200 {
            sleep(MS).await;
            if runtime.health().queued == 0 {
                break;
            }
        }
        runtime.chat(ask("later").priority(Priority::Batch)).await
    });
    all(calls).await.into_iter().chain([first.await.expect("no panic")]).for_each(|it| drop(it.expect("served")));
    later.await.expect("no panic").expect("served");
    let order: Vec<String> = world.runtime.recent().iter().map(|it| format!("{:?}", it.about.priority)).collect();
    assert_eq!(order, ["Default", "Critical", "Default", "Default", "Batch", "Batch"]);
    let asked: Vec<Duration> = world.runtime.recent().iter().map(|flight| flight.took).collect();
    assert!(asked[2] < asked[3], "whose deadline is sooner goes sooner: {asked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_cannot_be_answered_in_time_is_refused_at_once_and_told_when_to_come_back() {
    let world = with_places(1).await;
    // The time of an answer must be known.
    for _ in 0..30 {
        world.runtime.chat(ask("hello")).await.expect("served");
    }
    let before = || ask("hello").deadline(20 * S).priority(Priority::Interactive);
    let calls: Vec<_> = (0..40).map(|_| asks(&world.runtime, before())).collect();
    sleep(S).await;
    let begun = Instant::now();
    let refused = world.runtime.chat(ask("hello").deadline(S)).await.expect_err("thirty wait before it");
    let Error::Exhausted { attempts, retry_after: Some(wait), barred } = refused else { panic!("{refused:?}") };
    assert!(attempts.is_empty() && barred[0].cause.name() == "full", "{barred:?}");
    assert!((2 * S..4 * S).contains(&wait), "{wait:?}");
    assert!(begun.elapsed() < MS, "at once");
    let urgent = world.runtime.chat(ask("hello").deadline(S).priority(Priority::Critical)).await;
    urgent.expect("it goes before them");
    all(calls).await.into_iter().for_each(|it| drop(it.expect("served")));
}

#[tokio::test(start_paused = true)]
async fn no_more_calls_wait_than_may_and_the_one_that_would_go_last_is_refused() {
    let world = world_with(1, steady(), |config| {
        places(config, "a", 1);
        config.queue_max = 3;
    })
    .await;
    let calls: Vec<_> = (0..4).map(|_| asks(&world.runtime, ask("hello").priority(Priority::Batch))).collect();
    settle().await;
    assert_eq!(world.runtime.health().queued, 3);
    let refused = world.runtime.chat(ask("hello").priority(Priority::Batch)).await;
    assert!(matches!(refused, Err(Error::Exhausted { .. })), "{refused:?}");
    let urgent = asks(&world.runtime, ask("hello").priority(Priority::Interactive));
    sleep(MS).await;
    assert_eq!(world.runtime.health().queued, 3, "it has the place of the last");
    urgent.await.expect("no panic").expect("served");
    let served = all(calls).await.iter().filter(|it| it.is_ok()).count();
    assert_eq!(served, 3);
    settle().await;
    world.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn at_ten_times_the_load_that_it_can_carry_a_target_carries_what_it_can() {
    let world = with_places(8).await;
    let (mut calls, begun) = (Vec::new(), Instant::now());
    // It carries 80 a second, and 800 come.
    for n in 0..16_000_usize {
        let priority = [Priority::Default, Priority::Batch, Priority::Interactive][n % 3];
        calls.push(asks(&world.runtime, ask("hello").priority(priority).deadline(2 * S)));
        if n % 4 == 3 {
            sleep(5 * MS).await;
            let health = world.runtime.health();
            assert!(health.queued <= 400 && health.calls <= 410, "{} wait, {} run", health.queued, health.calls);
        }
    }
    let load = begun.elapsed();
    let answers = all(calls).await;
    let (served, total) = (answers.iter().filter(|it| it.is_ok()).count(), load.as_secs_f64());
    let capacity = 80.0 * total;
    assert!(served as f64 >= 0.9 * capacity, "{served} of {capacity} in {total} s");
    assert_eq!(served as u64, answered(&world.providers[0]).min(served as u64), "nothing is done in vain");
    assert!(world.providers[0].received() as f64 <= 1.02 * served as f64, "nor for nobody");
    for error in answers.into_iter().filter_map(Result::err) {
        match error {
            Error::Exhausted { attempts, .. } => assert!(attempts.is_empty()),
            Error::DeadlineExceeded { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    settle().await;
    world.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_the_urgent_does_not_starve_the_others() {
    let world = with_places(1).await;
    let batch: Vec<_> = (0..3).map(|_| asks(&world.runtime, ask("batch").priority(Priority::Batch))).collect();
    let mut urgent = Vec::new();
    for _ in 0..100 {
        urgent.push(asks(&world.runtime, ask("hello").priority(Priority::Critical).deadline(3 * S)));
        sleep(50 * MS).await;
    }
    assert!(batch.iter().all(JoinHandle::is_finished), "every eighth turn is theirs");
    all(batch).await.into_iter().for_each(|it| drop(it.expect("served")));
    all(urgent).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_a_place_goes_to_the_first_target_that_has_one() {
    let world = world_with(2, steady(), |config| {
        places(config, "a", 1);
        places(config, "b", 1);
    })
    .await;
    let slow = world.providers[0].next(1, Fault::SlowFirst { factor: 50.0, plus: Duration::ZERO });
    let calls: Vec<_> = (0..6).map(|_| asks(&world.runtime, ask("hello"))).collect();
    let begun = Instant::now();
    let paths: Vec<String> =
        all(calls).await.into_iter().map(|it| path(&it.expect("served").finished.attempts)).collect();
    assert!(paths.iter().filter(|path| path.contains("b/m won")).count() >= 5, "{paths:?}");
    assert!(begun.elapsed() < 6 * S);
    world.providers[0].lift(slow);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_a_place_and_leaves_or_is_drained_leaves_nothing_behind() {
    let world = with_places(1).await;
    world.providers[0].always(Fault::Hang);
    let hung = asks(&world.runtime, ask("hello"));
    settle().await;
    let calls: Vec<_> = (0..5).map(|_| asks(&world.runtime, ask("hello"))).collect();
    settle().await;
    assert_eq!(world.runtime.health().queued, 5);
    calls.iter().take(3).for_each(JoinHandle::abort);
    settle().await;
    assert_eq!(world.runtime.health().queued, 2);
    hung.abort();
    settle().await;
    assert_eq!(world.runtime.health().queued, 1, "the next one has the place");
    calls.iter().for_each(JoinHandle::abort);
    settle().await;
    assert_eq!(world.runtime.health().queued, 0);
    world.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_a_place_hears_of_another_table() {
    let world = with_places(1).await;
    world.providers[0].always(Fault::Hang);
    let hung = asks(&world.runtime, ask("hello"));
    settle().await;
    let waits = asks(&world.runtime, ask("waits"));
    settle().await;
    let mut config = world.config.clone();
    places(&mut config, "a", 3);
    world.providers[0].clear();
    world.runtime.reconfigure(config).await.expect("right");
    assert_eq!(waits.await.expect("no panic").expect("served").text, "waits");
    hung.abort();
}

#[tokio::test(start_paused = true)]
async fn calls_beyond_those_that_may_run_wait_for_a_place_among_them() {
    let world = world_with(1, steady(), |config| (config.calls_max, config.queue_max) = (2, 6)).await;
    let begun = Instant::now();
    let mut calls: Vec<_> = (0..6).map(|_| asks(&world.runtime, ask("hello").priority(Priority::Batch))).collect();
    settle().await;
    assert_eq!((world.runtime.health().calls, world.runtime.health().queued), (2, 4));
    let urgent = asks(&world.runtime, ask("urgent").priority(Priority::Critical));
    calls.push(asks(&world.runtime, ask("last").priority(Priority::Batch)));
    sleep(MS).await;
    assert_eq!(world.runtime.health().queued, 6);
    let refused = world.runtime.chat(ask("hello").priority(Priority::Batch)).await;
    assert!(matches!(refused, Err(Error::Overloaded { calls_max: 2, .. })), "{refused:?}");
    urgent.await.expect("no panic").expect("served");
    assert!(begun.elapsed() < 210 * MS, "it goes before them: {:?}", begun.elapsed());
    all(calls).await.into_iter().for_each(|it| drop(it.expect("served")));
    assert!(begun.elapsed() < 410 * MS, "{:?}", begun.elapsed());
    settle().await;
    world.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_a_place_among_the_calls_and_would_be_late_is_refused_and_told_when() {
    let world = world_with(1, steady(), |config| config.calls_max = 1).await;
    let before = || ask("hello").priority(Priority::Interactive);
    let calls: Vec<_> = (0..40).map(|_| asks(&world.runtime, before())).collect();
    sleep(S).await;
    let refused = world.runtime.chat(ask("hello").deadline(S)).await;
    let Err(Error::Overloaded { calls_max: 1, retry_after: Some(wait) }) = refused else { panic!("{refused:?}") };
    assert!((2 * S..4 * S).contains(&wait), "{wait:?}");
    // One whose caller leaves is gone.
    let left = asks(&world.runtime, ask("hello"));
    settle().await;
    let queued = world.runtime.health().queued;
    left.abort();
    settle().await;
    assert!(world.runtime.health().queued < queued);
    all(calls).await.into_iter().for_each(|it| drop(it.expect("served")));
    settle().await;
    world.assert_idle();
}

/// Asks at an even pace for this long; returns how many were answered, and how many refused.
async fn load(world: &World, every: Duration, seconds: u32, deadline: Duration) -> (usize, Vec<Error>) {
    let begun = Instant::now();
    let mut calls = Vec::new();
    while begun.elapsed() < S * seconds {
        calls.push(asks(&world.runtime, ask("hello there").deadline(deadline)));
        sleep(every).await;
    }
    let answers = all(calls).await;
    let served = answers.iter().filter(|it| it.is_ok()).count();
    (served, answers.into_iter().filter_map(Result::err).collect())
}

/// How many of a provider's requests its limit refused, and how many it answered.
fn refused_and_answered(scripted: &Scripted) -> (u64, u64) {
    let log = scripted.log();
    let refused = log.iter().filter(|record| record.outcome == Outcome::Rejected(429)).count();
    (refused as u64, answered(scripted))
}

#[tokio::test(start_paused = true)]
async fn a_limit_at_half_of_the_load_is_used_to_the_brim_and_the_rest_goes_to_the_next_target() {
    let slow = Script { requests_per_minute: 600, log_max: 100_000, ..steady() };
    let world = world_with(2, slow, |_| {}).await;
    // 1 200 a minute for two minutes and a half. The other limit is as high: together they carry the load but for the
    // reserve.
    let (served, errors) = load(&world, 50 * MS, 150, 5 * S).await;
    let (refused, used) = refused_and_answered(&world.providers[0]);
    let limit = 600 * 5 / 2 + 600;
    assert!(refused * 100 < refused + used, "{refused} refused, {used} answered");
    assert!(used * 100 >= limit * 95 - 60 * 100, "{used} of {limit}");
    assert!(errors.len() * 50 < served, "{} of {served}", errors.len());
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_not_shared_is_waited_for_and_not_run_into() {
    let slow = Script { requests_per_minute: 600, log_max: 100_000, ..steady() };
    let world = world_with(1, slow, |_| {}).await;
    let (served, errors) = load(&world, 50 * MS, 150, 5 * S).await;
    let (refused, used) = refused_and_answered(&world.providers[0]);
    assert!(refused * 100 < refused + used, "{refused} refused, {used} answered");
    assert!(served as f64 >= 0.95 * 1_500.0, "{served} served");
    let told = errors.iter().filter(|it| matches!(it, Error::Exhausted { retry_after: Some(_), .. })).count();
    assert!(told * 100 >= errors.len() * 95, "{told} of {} are told when to come back", errors.len());
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_tokens_is_kept_by_what_requests_take_and_not_by_what_they_were_taken_for() {
    let slow = Script { tokens_per_minute: 60_000, log_max: 100_000, ..steady() };
    let world = world_with(1, slow, |_| {}).await;
    load(&world, 20 * MS, 100, 5 * S).await;
    let (refused, used) = refused_and_answered(&world.providers[0]);
    assert!(refused * 100 <= refused + used, "{refused} refused, {used} answered");
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_told_by_refusals_alone_is_learnt_from_them() {
    let slow = Script { requests_per_minute: 600, flavour: Flavour::DeepSeek, log_max: 100_000, ..steady() };
    let world = world_with(1, slow, |_| {}).await;
    load(&world, 50 * MS, 200, 5 * S).await;
    let before = world.providers[0].take_log();
    let (served, _) = load(&world, 50 * MS, 150, 5 * S).await;
    let (refused, used) = refused_and_answered(&world.providers[0]);
    assert!(before.iter().any(|record| record.outcome == Outcome::Rejected(429)), "it has to be refused to learn");
    assert!(refused * 100 <= refused + used, "{refused} refused, {used} answered");
    assert!(served as f64 >= 0.85 * 1_500.0, "{served} served");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_bears_less_at_once_than_it_may_be_asked_is_asked_less() {
    let crowded = Script { in_flight_max: Some(10), ..steady() };
    let world = world_with(1, crowded, |_| {}).await;
    let mut calls = Vec::new();
    for _ in 0..120 {
        calls.extend((0..10).map(|_| asks(&world.runtime, ask("hello").deadline(5 * S))));
        sleep(50 * MS).await;
    }
    let limit = world.health("a/m").in_flight_max;
    assert!((1..=12).contains(&limit), "it bears ten: {limit}");
    let served = all(calls).await.iter().filter(|it| it.is_ok()).count();
    let (refused, used) = refused_and_answered(&world.providers[0]);
    assert!(served > 100 && used > 2 * refused, "{served} served, {refused} of {} refused", refused + used);
    settle().await;
    world.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_a_place_asks_again_once_answers_have_filled_the_budget_and_looks_at_no_clock() {
    let script = Script { per_token: S, ..steady() };
    let world = world_with(3, script, |config| {
        places(config, "a", 1);
        config.routes.get_mut("smart").expect("there").targets.pop();
        config.routes.insert("drain".to_owned(), RouteConfig::new(["c/m"]));
    })
    .await;
    world.providers[2].always(Fault::Error(ProviderError::Server));
    for _ in 0..5 {
        world.runtime.chat(ChatRequest::new("drain").user("hello").deadline(30 * S)).await.expect_err("it is down");
    }
    let long = asks(&world.runtime, ChatRequest::new("a/m").user(words(500)).deadline(900 * S));
    settle().await;
    world.providers[1].next(1, Fault::Error(ProviderError::Server));
    let waits = asks(&world.runtime, ask("hello").deadline(800 * S));
    sleep(300 * S).await;
    assert_eq!((waits.is_finished(), world.providers[1].received()), (false, 1));
    for _ in 0..8 {
        world.runtime.chat(ChatRequest::new("b/m").user("hello")).await.expect("it is well");
    }
    let reply = tokio::time::timeout(5 * S, waits).await.expect("soon").expect("no panic").expect("an answer");
    assert_eq!(path(&reply.finished.attempts), "b/m server, b/m won");
    let page = world.runtime.why(reply.finished.call).expect("it is remembered").to_string();
    assert!(page.lines().count() < 30, "{page}");
    drop(long);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_a_place_is_answered_by_a_target_that_had_failed_it_and_is_back() {
    // One request in ten seconds, once six have gone.
    let limited = Scripted::new(Script { requests_per_minute: 6, ..steady() });
    let failing = Scripted::new(steady());
    let runtime = start(config(&[limited, failing.clone()])).await;
    let fault = failing.always(Fault::Error(ProviderError::Unavailable));
    let mut calls = Vec::new();
    for n in 0..16 {
        calls.push(asks(&runtime, ask(&format!("call {n}")).deadline(120 * S)));
        sleep(300 * MS).await;
    }
    sleep(5 * S).await;
    failing.lift(fault);
    let begun = Instant::now();
    for answer in all(calls).await {
        answer.expect("one target is well and the other is back");
    }
    assert!(begun.elapsed() < 20 * S, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_target_that_fails_is_not_waited_for_as_if_it_were_full() {
    let slow = Script { head: 2 * S, first_token: Latency::Fixed(2 * S), ..Script::default() };
    let world = world_with(1, slow, |_| {}).await;
    world.runtime.chat(ask("hello")).await.expect("served");
    world.providers[0].always(Fault::Error(ProviderError::Unavailable));
    let mut callers = JoinSet::new();
    for n in 0..8 {
        let runtime = world.runtime.clone();
        callers.spawn(async move {
            let mut most = Duration::ZERO;
            for round in 0..8 {
                let begun = Instant::now();
                let answer = runtime.chat(ask(&format!("{n} {round}")).deadline(60 * S)).await;
                assert!(matches!(answer, Err(Error::Exhausted { .. })), "{answer:?}");
                most = most.max(begun.elapsed());
                sleep(500 * MS).await;
            }
            most
        });
    }
    let most = callers.join_all().await.into_iter().max().expect("eight");
    assert!(most < 20 * S, "{most:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lower_rung_is_taken_rather_than_a_long_wait() {
    let world = world_with(1, steady(), |config| {
        places(config, "a", 1);
        let route: &mut RouteConfig = config.routes.get_mut("smart").expect("configured");
        route.failover.on_exhausted = Some(OnExhausted::Degrade);
        route.degrade = vec![standin::config::RungConfig::Text("busy".to_owned())];
    })
    .await;
    world.providers[0].always(Fault::Hang);
    let hung = asks(&world.runtime, ask("hello").on_exhausted(OnExhausted::Fail));
    settle().await;
    let begun = Instant::now();
    let reply = world.runtime.chat(ask("hello")).await.expect("a text");
    assert_eq!(reply.text, "busy");
    assert!(begun.elapsed() <= 2_400 * MS, "{:?}", begun.elapsed());
    hung.abort();
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_a_place_keeps_a_retry_after() {
    let world = with_places(1).await;
    world.providers[0].next(1, Fault::RateLimited(RetryHint::Seconds(3 * S)));
    world.providers[0].next(1, Fault::Error(ProviderError::Server));
    let calls: Vec<_> = (0..5).map(|_| asks(&world.runtime, ask("hello").deadline(60 * S))).collect();
    all(calls).await;
    let log = world.providers[0].log();
    let limited =
        log.iter().position(|record| record.outcome == Outcome::Fault("rate_limited")).expect("it was refused");
    let next = log.get(limited + 1);
    assert!(next.is_none_or(|next| next.at >= log[limited].at + 3 * S), "{log:?}");
}

//! Silence of all targets: no call outlives it by much, whoever else calls, and few requests are sent into it.

use std::time::Duration;

use standin::testing::{Fault, Latency, Script, Scripted};
use standin::{ChatRequest, Hedging, ModelConfig, OnExhausted};
use tokio::time::{Instant, sleep};

use super::kit::{MS, S, World, all, ask, settle, world_with};

/// To the first token 300 ms, then 10 ms a token.
fn usual() -> Script {
    Script { first_token: Latency::Fixed(300 * MS), per_token: 10 * MS, ..Script::default() }
}

async fn calm(targets: usize, model: ModelConfig, warm: usize) -> World {
    let world = world_with(targets, usual(), |config| {
        for provider in config.providers.values_mut() {
            provider.models.values_mut().for_each(|known| *known = model.clone());
        }
    })
    .await;
    for name in ["a/m", "b/m", "c/m", "d/m", "e/m", "f/m"].iter().take(targets) {
        for _ in 0..warm {
            world.runtime.chat(ChatRequest::new(*name).user("hello")).await.expect("it is well");
        }
    }
    settle().await;
    world
}

/// Lets all targets be silent for so long while these calls wait, and returns when the last of them was answered, and
/// how many requests were sent to each target into the silence.
async fn falls_silent(world: &World, calls: u64, lasting: Duration, request: &ChatRequest) -> (Duration, Vec<u64>) {
    let hangs: Vec<_> = world.providers.iter().map(|provider| provider.always(Fault::Hang)).collect();
    let received = || world.providers.iter().map(Scripted::received).collect::<Vec<_>>();
    let (from, before) = (Instant::now(), received());
    let waiting: Vec<_> = (0..calls)
        .map(|_| {
            let (runtime, request) = (world.runtime.clone(), request.clone());
            tokio::spawn(async move { runtime.chat(request).await })
        })
        .collect();
    sleep(lasting).await;
    let sent = received().into_iter().zip(before).map(|(after, before)| after - before).collect();
    for (provider, hang) in world.providers.iter().zip(hangs) {
        provider.lift(hang);
    }
    for answer in all(waiting).await {
        answer.expect("an answer");
    }
    let took = from.elapsed();
    settle().await;
    world.assert_idle();
    (took, sent)
}

#[tokio::test(start_paused = true)]
async fn no_call_outlives_a_silence_of_all_targets_by_more_than_half_of_it_and_some_seconds() {
    for targets in [1, 2, 6] {
        for calls in [1, 2, 20] {
            for seconds in [3, 10, 30] {
                let world = calm(targets, ModelConfig::default(), 60).await;
                let (took, sent) = falls_silent(&world, calls, seconds * S, &ask("hello")).await;
                let what = format!("{targets} targets, {calls} calls, {seconds} s: {took:?}, {sent:?}");
                assert!(took < seconds * S * 3 / 2 + 8 * S, "{what}");
                assert!(sent.iter().all(|&sent| sent <= calls + 14), "{what}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_setting_lets_calls_outlive_a_silence() {
    let limited = ModelConfig { first_token: Some(2 * S), ..ModelConfig::default() };
    let narrow = ModelConfig { in_flight_max: Some(2), ..ModelConfig::default() };
    let requests = [
        ask("hello"),
        ChatRequest { hedging: Some(Hedging::Race), ..ask("hello") },
        ChatRequest { on_exhausted: Some(OnExhausted::Wait), ..ask("hello") },
    ];
    for model in [ModelConfig::default(), limited, narrow] {
        for request in &requests {
            for targets in [1, 2] {
                let world = calm(targets, model.clone(), 60).await;
                let (took, sent) = falls_silent(&world, 8, 10 * S, request).await;
                assert!(took < 24 * S, "{model:?}, {request:?}, {targets} targets: {took:?}, {sent:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_just_begun_asks_again_after_a_guess_and_at_intervals_that_double() {
    for targets in [1, 2] {
        for seconds in [3, 10, 30] {
            let world = calm(targets, ModelConfig::default(), 3).await;
            let (took, sent) = falls_silent(&world, 6, seconds * S, &ask("hello")).await;
            assert!(took < seconds * S * 2 + 6 * S, "{targets} targets, {seconds} s: {took:?}, {sent:?}");
            assert!(sent.iter().all(|&sent| sent <= 6 + 5), "{targets} targets, {seconds} s: {sent:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn callers_of_a_model_that_thinks_for_minutes_are_answered_by_their_first_attempts_and_hardly_ask_again() {
    for limit in [None, Some(200 * S)] {
        let model = ModelConfig { first_token: limit, ..ModelConfig::default() };
        let world = calm(1, model, 0).await;
        world.providers[0].always(Fault::SlowFirst { factor: 1.0, plus: 120 * S });
        let from = Instant::now();
        let calls: Vec<_> = (0..20)
            .map(|_| {
                let runtime = world.runtime.clone();
                tokio::spawn(async move { runtime.chat(ask("hello")).await })
            })
            .collect();
        for answer in all(calls).await {
            answer.expect("an answer");
        }
        assert!(from.elapsed() < 122 * S, "{:?}", from.elapsed());
        let more = world.providers[0].received() - 20;
        assert!(more <= if limit.is_some() { 0 } else { 6 }, "{more} more");
    }
}

#[tokio::test(start_paused = true)]
async fn answers_of_new_callers_free_those_that_fell_silent_before() {
    let world = calm(1, ModelConfig::default(), 60).await;
    let hang = world.providers[0].always(Fault::Hang);
    let runtime = world.runtime.clone();
    let elder = tokio::spawn(async move { runtime.chat(ask("hello")).await });
    // Its next look is seconds away by then.
    sleep(31 * S).await;
    world.providers[0].lift(hang);
    world.runtime.chat(ask("hello")).await.expect("an answer");
    let from = Instant::now();
    elder.await.expect("it ends").expect("an answer");
    assert!(from.elapsed() < 2 * S, "{:?}", from.elapsed());
}

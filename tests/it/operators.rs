//! Operators' commands: pins, forced targets, drained targets, and explanations.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use standin::health::{BreakerState, Disabled, Force, Gate};
use standin::routing::{Percentile, PickReason, SkipReason};
use standin::testing::{Crash, Fault, Latency, ProviderError, RetryHint, Script, Scripted, When, crash};
use standin::{ChatRequest, Error, Priority, Strategy};
use tokio::time::{Instant, sleep};

use super::kit::{MS, S, World, ask, config, path, settle, start, target, unhurried, words, world};

const OFF: Force = Force::Off { until: None };
const ON: Force = Force::On { until: None };

async fn way(world: &World) -> String {
    match world.runtime.chat(ask("hello")).await {
        Ok(reply) => path(&reply.finished.attempts),
        Err(error) => format!("{error:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_pinned_route_goes_to_its_target_and_nowhere_else_until_the_pin_is_lifted() {
    let world = world(3, Script::default()).await;
    world.runtime.pin("smart", Some(target("c/m"))).await.expect("c is of the route");
    assert_eq!(way(&world).await, "c/m won");
    world.providers[2].next(1, Fault::Error(ProviderError::ModelGone));
    let error = world.runtime.chat(ask("hello")).await.expect_err("it is pinned");
    assert_eq!(path(error.attempts()), "c/m model_gone");
    let reply = world.runtime.chat(ChatRequest { route: "a/m".into(), ..ask("hello") }).await.expect("another route");
    assert_eq!(path(&reply.finished.attempts), "a/m won");
    world.runtime.pin("smart", None).await.expect("lifted");
    assert_eq!(way(&world).await, "a/m won");
}

#[tokio::test(start_paused = true)]
async fn a_pin_survives_the_router_and_a_wrong_one_names_what_is_wrong() {
    let world = world(2, Script::default()).await;
    world.runtime.pin("smart", Some(target("b/m"))).await.expect("b is of the route");
    assert!(crash(&world.runtime, Crash::RouterPanics));
    assert_eq!(way(&world).await, "b/m won");
    for (route, id, field) in [("smart", "z/m", "target"), ("a/m", "b/m", "target"), ("nowhere", "b/m", "route")] {
        let error = world.runtime.pin(route, Some(target(id))).await.expect_err("no such thing");
        assert!(matches!(&error, Error::Invalid { field: named, .. } if named == field), "{error:?}");
    }
    assert_eq!(way(&world).await, "b/m won", "a refused pin changes nothing");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_forced_off_gets_nothing_until_then_or_until_lifted() {
    let world = world(2, Script::default()).await;
    world.runtime.force(target("a/m"), OFF).await.expect("forced");
    assert_eq!(way(&world).await, "b/m won");
    let shown = world.health("a/m").disabled;
    assert_eq!(shown, Some(Disabled::Operator { until: None }));
    world.runtime.force(target("a/m"), Force::Auto).await.expect("lifted");
    assert_eq!(way(&world).await, "a/m won");

    let until = Instant::now() + 10 * S;
    world.runtime.force(target("a/m"), Force::Off { until: Some(until.into_std()) }).await.expect("forced");
    for second in 0..20 {
        let expected = if second < 10 { "b/m won" } else { "a/m won" };
        assert_eq!(way(&world).await, expected, "at {second} s");
        sleep(S).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_forced_target_stays_so_when_its_provider_restarts() {
    let world = world(2, Script::default()).await;
    world.runtime.force(target("a/m"), OFF).await.expect("forced");
    for _ in 0..3 {
        assert!(crash(&world.runtime, Crash::ProviderPanics("a".into())));
        sleep(S).await;
        assert_eq!(way(&world).await, "b/m won");
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_forced_on_passes_its_open_breaker_until_then_and_no_retry_after() {
    let world = world(2, Script::default()).await;
    world.providers[0].always(Fault::Error(ProviderError::Server));
    while !matches!(world.health("a/m").breaker, BreakerState::Open { .. }) {
        way(&world).await;
        sleep(S).await;
    }
    world.providers[0].clear();
    let until = Instant::now() + 2 * S;
    world.runtime.force(target("a/m"), Force::On { until: Some(until.into_std()) }).await.expect("forced");
    assert_eq!(way(&world).await, "a/m won");
    world.providers[0].next(1, Fault::RateLimited(RetryHint::Seconds(30 * S)));
    assert_eq!(way(&world).await, "a/m rate_limited, b/m won");
    world.runtime.force(target("a/m"), ON).await.expect("forced");
    assert_eq!(way(&world).await, "b/m won", "a Retry-After is the provider's word");
}

#[tokio::test(start_paused = true)]
async fn force_names_a_target_that_does_not_exist_and_a_provider_that_is_down() {
    let world = world(1, Script::default()).await;
    let error = world.runtime.force(target("a/x"), OFF).await.expect_err("no such target");
    assert!(matches!(&error, Error::Invalid { field, problem } if field == "target" && problem.contains("a/m")));
    crash(&world.runtime, Crash::ProviderStarts(3));
    crash(&world.runtime, Crash::ProviderKilled("a".into()));
    sleep(MS).await;
    assert_eq!(world.runtime.force(target("a/m"), OFF).await, Err(Error::Unavailable));
}

#[tokio::test(start_paused = true)]
async fn draining_a_target_answers_when_its_last_attempt_has_ended_and_admits_nothing_meanwhile() {
    let world = world(2, unhurried()).await;
    let begun = Instant::now();
    let (runtime, text) = (world.runtime.clone(), words(100));
    let running = tokio::spawn(async move { runtime.chat(ask(&text)).await });
    sleep(300 * MS).await;
    let drained = world.runtime.drain_target(target("a/m"));
    let (drained, reply) = tokio::join!(drained, async {
        sleep(100 * MS).await;
        way(&world).await
    });
    drained.expect("drained");
    // The answer takes 200 ms + 99 * 20 ms.
    let took = begun.elapsed();
    assert!((2_180 * MS..2_250 * MS).contains(&took), "{took:?}");
    assert_eq!(reply, "b/m won");
    assert_eq!(path(&running.await.expect("no panic").expect("an answer").finished.attempts), "a/m won");
    world.runtime.force(target("a/m"), Force::Auto).await.expect("lifted");
    assert_eq!(way(&world).await, "a/m won");
}

#[tokio::test(start_paused = true)]
async fn draining_an_idle_target_answers_at_once_and_a_wrong_one_says_so() {
    let world = world(1, Script::default()).await;
    let begun = Instant::now();
    world.runtime.drain_target(target("a/m")).await.expect("drained");
    assert!(begun.elapsed() < MS);
    let error = world.runtime.drain_target(target("z/m")).await.expect_err("no such target");
    assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
    let error = world.runtime.chat(ask("hello")).await.expect_err("the only target is drained");
    assert!(matches!(error, Error::Exhausted { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn an_explanation_says_why_each_target_is_where_it_is() {
    let world = world(4, Script::default()).await;
    world.providers[1].next(1, Fault::RateLimited(RetryHint::Seconds(30 * S)));
    let _ = world.runtime.chat(ChatRequest { route: "b/m".into(), ..ask("x") }.deadline(5 * S)).await;
    world.runtime.force(target("c/m"), OFF).await.expect("forced");
    settle().await;
    let explained = world.runtime.explain(ask("hello")).await.expect("explained");
    let planned: Vec<_> = explained.planned.iter().map(|it| (it.target.to_string(), it.why)).collect();
    assert_eq!(planned, [("a/m".into(), PickReason::Rule), ("d/m".into(), PickReason::Fallback)]);
    let skipped: Vec<_> = explained.skipped.iter().map(|it| (it.target.to_string(), it.why)).collect();
    let gate = SkipReason::Gate;
    assert_eq!(skipped, [("b/m".into(), gate(Gate::RateLimited)), ("c/m".into(), gate(Gate::Disabled))]);
    let back = explained.skipped[0].back_in.expect("it said so");
    assert!((28 * S..=33 * S).contains(&back), "{back:?}");
    assert_eq!((explained.skipped[1].back_in, explained.last_resort, &*explained.route), (None, false, "smart"));
    let bare = world.runtime.explain("smart").await.expect("explained without a word of a conversation");
    assert_eq!(bare.planned.iter().map(|it| it.why).collect::<Vec<_>>(), [PickReason::Rule, PickReason::Fallback]);
    let page = explained.to_string();
    for said in ["route smart", "1. a/m", "2. d/m", "not b/m: rate limited, back in", "assumed"] {
        assert!(page.contains(said), "no {said} in\n{page}");
    }
}

/// Brings three targets into some state: failures, crashes, overrides, time.
async fn stir(world: &World, rng: &mut StdRng) {
    for _ in 0..rng.random_range(0..6) {
        let at = rng.random_range(0..3);
        let id = ["a/m", "b/m", "c/m"][at];
        match rng.random_range(0..8) {
            0 => drop(world.providers[at].inject(Fault::Error(ProviderError::Server), When::ALWAYS.times(2))),
            1 => drop(world.providers[at].inject(Fault::RateLimited(RetryHint::Seconds(3 * S)), When::ALWAYS.times(1))),
            2 => drop(world.providers[at].inject(Fault::Error(ProviderError::Overloaded), When::ALWAYS.times(9))),
            3 => drop(crash(&world.runtime, Crash::ProviderPanics(id[..1].into()))),
            4 => drop(world.runtime.force(target(id), if rng.random_bool(0.5) { ON } else { OFF }).await),
            5 => drop(world.runtime.force(target(id), Force::Auto).await),
            _ => {}
        }
        let calls = rng.random_range(0..4);
        for _ in 0..calls {
            let _ = world.runtime.chat(some_request(rng)).await;
        }
        sleep(S * rng.random_range(0..4)).await;
    }
    // The published state is the present one.
    settle().await;
}

fn some_request(rng: &mut StdRng) -> ChatRequest {
    let mut request = ask(&words(rng.random_range(1..20)));
    request.priority = [Priority::Batch, Priority::Default, Priority::Critical][rng.random_range(0..3)];
    if rng.random_bool(0.5) {
        request = request.session(format!("session {}", rng.random_range(0..3)));
    }
    request
}

#[tokio::test(start_paused = true)]
async fn an_explanation_names_the_target_that_the_next_call_takes_in_any_state_and_changes_nothing() {
    let strategies = [
        Strategy::Adaptive,
        Strategy::Priority,
        Strategy::Weighted,
        Strategy::RoundRobin,
        Strategy::Threshold { error_rate: 0.1, ttft: S, percentile: Percentile::P95 },
        Strategy::LeastLatency { percentile: Percentile::P50 },
        Strategy::LeastCost,
        Strategy::LeastBusy,
    ];
    let mut firsts = std::collections::BTreeSet::new();
    for (at, strategy) in strategies.into_iter().enumerate() {
        for seed in 0..25 {
            let mut rng = StdRng::seed_from_u64(seed * 8 + at as u64);
            let script =
                Script { first_token: Latency::LogNormal { median: 100 * MS, sigma: 0.5 }, seed, ..Script::default() };
            let providers: Vec<Scripted> = (0..3).map(|_| Scripted::new(script.clone())).collect();
            let mut config = config(&providers);
            config.seed = Some(seed);
            config.routes.get_mut("smart").expect("smart").options.strategy = strategy;
            let world = World { runtime: start(config.clone()).await, providers, config };
            stir(&world, &mut rng).await;

            let request = some_request(&mut rng);
            let explained = world.runtime.explain(request.clone()).await.expect("explained");
            let again = world.runtime.explain(request.clone()).await.expect("explained");
            assert_eq!(explained, again, "{strategy:?} {seed}: it drew something");
            let call = world.runtime.chat(request).await;
            let asked = match &call {
                Ok(reply) => &reply.finished.attempts[..],
                Err(error) => error.attempts(),
            };
            let expected = explained.planned.first().map(|considered| &considered.target);
            if expected.is_some() || !asked.is_empty() {
                assert_eq!(asked.first().map(|record| &record.target), expected, "{strategy:?} {seed} {explained:#?}");
            }
            firsts.insert((at, expected.cloned()));
        }
    }
    assert!(firsts.len() > 16, "the states differ: {firsts:?}");
}

#[tokio::test(start_paused = true)]
async fn the_flight_recorder_tells_the_whole_way_of_a_call() {
    let world = world(3, Script::default()).await;
    world.providers[0].next(1, Fault::Error(ProviderError::Overloaded));
    world.runtime.force(target("b/m"), OFF).await.expect("forced");
    let reply = world.runtime.chat(ask("hello").session("s")).await.expect("an answer");
    let flight = world.runtime.why(reply.finished.call).expect("it is remembered");
    assert_eq!(
        (flight.call, &*flight.about.route, flight.about.session.as_deref()),
        (reply.finished.call, "smart", Some("s"))
    );
    let page = flight.to_string();
    for line in [
        "planned: a/m (first by the strategy's rule)",
        "attempt 1 at a/m",
        "attempt 1 failed: overloaded (529)",
        "answered by attempt 2",
    ] {
        assert!(page.contains(line), "no `{line}` in\n{page}");
    }
    assert!(world.runtime.why(standin::CallId::new(reply.finished.call.runtime, 999)).is_none());
}

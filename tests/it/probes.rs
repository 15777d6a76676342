//! Requests of our own to targets that are out, where they are allowed.

use std::time::Duration;

use standin::config::{PriceConfig, ProbeOptions};
use standin::health::BreakerState;
use standin::testing::{Fault, ProviderError, Script};
use standin::{Config, ModelConfig};
use tokio::time::{Instant, sleep};

use super::kit::{MS, S, World, ask, path, settle, world_with};

const DOWN: Fault = Fault::Error(ProviderError::Unavailable);

/// Two providers, the first of which may be probed for so many dollars a day, or not at all.
async fn probed(dollars: Option<f64>, every: Duration) -> World {
    let edit = move |config: &mut Config| {
        for provider in config.providers.values_mut() {
            let price = Some(PriceConfig::new(1.0, 4.0));
            provider.models.insert("m".into(), ModelConfig { price, ..ModelConfig::default() });
        }
        let first = config.providers.get_mut("a").expect("there");
        first.probe = dollars.map(|dollars| ProbeOptions { every, ..ProbeOptions::new(dollars) });
    };
    world_with(2, Script::default(), edit).await
}

fn is_out(world: &World) -> bool {
    matches!(world.health("a/m").breaker, BreakerState::Open { .. } | BreakerState::HalfOpen)
}

/// Lets the first provider fail until its breaker is open, and returns how many requests it had.
async fn break_down(world: &World) -> u64 {
    for _ in 0..50 {
        if is_out(world) {
            break;
        }
        world.runtime.chat(ask("hello")).await.expect("the other answers");
        settle().await;
    }
    assert!(is_out(world), "{:?}", world.health("a/m"));
    world.providers[0].received()
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_out_comes_back_by_probes_without_a_callers_call() {
    let world = probed(Some(0.1), 10 * S).await;
    let outage = world.providers[0].always(DOWN);
    let before = break_down(&world).await;
    sleep(120 * S).await;
    let failed = world.providers[0].received() - before;
    assert!((3..=15).contains(&failed), "{failed}: every 10 s at most, and it is given the time that breakers give");
    assert!(is_out(&world), "a probe that fails weighs as every attempt does");
    world.providers[0].lift(outage);
    sleep(150 * S).await;
    assert!(!is_out(&world), "{:?}", world.health("a/m"));
    let sent = world.providers[0].received();
    sleep(300 * S).await;
    assert_eq!(world.providers[0].received(), sent, "who is not out is left alone");
    let reply = world.runtime.chat(ask("hello")).await.expect("an answer");
    assert_eq!(path(&reply.finished.attempts), "a/m won");
    // They stand in the books as what they are, and were paid from their own budget.
    let recent = world.runtime.recent();
    let probes: Vec<_> = recent.iter().filter(|flight| &*flight.about.route == "(probe) a").collect();
    let attempts: Vec<_> = probes.iter().flat_map(|flight| world.runtime.attempts(flight.call)).collect();
    assert_eq!(attempts.len() as u64, sent - before, "one attempt each");
    assert!(attempts.iter().all(|attempt| attempt.probe && attempt.target.to_string() == "a/m"));
    let cost: f64 = attempts.iter().filter_map(|attempt| attempt.cost_usd).sum();
    let budgets = world.runtime.health().budgets;
    let account = budgets.iter().find(|account| &*account.budget.budget == "probes of a").expect("a budget");
    assert!(cost > 0.0 && (account.budget.spent.number() - cost).abs() < 1e-8, "{account:?} {cost}");
}

#[tokio::test(start_paused = true)]
async fn without_the_option_or_without_money_nothing_is_asked_that_no_caller_asked_for() {
    for dollars in [None, Some(0.000_000_001)] {
        let world = probed(dollars, 10 * S).await;
        let outage = world.providers[0].always(DOWN);
        let before = break_down(&world).await;
        world.providers[0].lift(outage);
        sleep(3_600 * S).await;
        assert_eq!(world.providers[0].received(), before, "{dollars:?}");
        assert!(is_out(&world));
        // A caller's call brings it back, as ever.
        for _ in 0..20 {
            world.runtime.chat(ask("hello")).await.expect("an answer");
            settle().await;
        }
        assert!(!is_out(&world), "{dollars:?}");
    }
}

#[tokio::test]
async fn a_probe_brings_a_target_back_by_the_real_clock() {
    let world = probed(Some(0.1), 5 * S).await;
    let outage = world.providers[0].always(DOWN);
    let before = break_down(&world).await;
    world.providers[0].lift(outage);
    let begun = Instant::now();
    while is_out(&world) {
        assert!(begun.elapsed() < 60 * S, "{:?}", world.health("a/m"));
        sleep(100 * MS).await;
    }
    assert!(world.providers[0].received() > before);
}

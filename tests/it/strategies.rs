//! Each strategy once, end to end; labels, sessions, tiers and prices through requests.

use std::collections::BTreeMap;
use std::time::Duration;

use standin::config::{MemberConfig, PriceConfig};
use standin::routing::{Percentile, PickReason};
use standin::testing::{Answers, Fault, Latency, ProviderError, Script, Scripted, When};
use standin::{ChatRequest, Config, Error, Strategy};
use tokio::time::sleep;

use super::kit::{MS, S, World, all, ask, config, path, settle, start, target, unhurried, words};

/// A world of three providers of these scripts.
async fn of(scripts: [Script; 3], strategy: Strategy, edit: impl FnOnce(&mut Config)) -> World {
    let providers: Vec<Scripted> = scripts.into_iter().map(Scripted::new).collect();
    let mut config = config(&providers);
    config.routes.get_mut("smart").expect("smart").options.strategy = strategy;
    edit(&mut config);
    World { runtime: start(config.clone()).await, providers, config }
}

fn alike() -> [Script; 3] {
    [Script::default(), Script::default(), Script::default()]
}

fn fast(millis: u64) -> Script {
    Script { first_token: Latency::Fixed(Duration::from_millis(millis)), ..Script::default() }
}

/// As fast as an unknown model is assumed to be.
fn usual() -> Script {
    Script { first_token: Latency::Fixed(S), per_token: 20 * MS, ..Script::default() }
}

fn price(config: &mut Config, provider: &str, input: f64, output: f64) {
    let model = config.providers.get_mut(provider).expect("such a provider").models.get_mut("m").expect("m");
    model.price = Some(PriceConfig::new(input, output));
}

/// Makes calls one after the other and counts which target answers.
async fn share(world: &World, calls: u32) -> BTreeMap<String, u32> {
    let mut share = BTreeMap::new();
    for _ in 0..calls {
        let reply = world.runtime.chat(ask("hello")).await.expect("an answer");
        *share.entry(reply.finished.target.provider.to_string()).or_default() += 1;
        sleep(100 * MS).await;
    }
    share
}

fn of_share(share: &BTreeMap<String, u32>, provider: &str) -> u32 {
    share.get(provider).copied().unwrap_or(0)
}

#[tokio::test(start_paused = true)]
async fn priority_takes_the_first_that_admits() {
    let world = of(alike(), Strategy::Priority, |_| {}).await;
    assert_eq!(share(&world, 20).await, BTreeMap::from([("a".into(), 20)]));
}

#[tokio::test(start_paused = true)]
async fn weighted_shares_by_weight() {
    let world = of(alike(), Strategy::Weighted, |config| {
        let members = &mut config.routes.get_mut("smart").expect("smart").targets;
        for (member, weight) in members.iter_mut().zip([6.0, 3.0, 0.0]) {
            member.weight = weight;
        }
    })
    .await;
    let share = share(&world, 600).await;
    assert!((340..=460).contains(&of_share(&share, "a")), "{share:?}");
    assert_eq!(of_share(&share, "c"), 0, "a weight of 0 is for failover only");
    world.providers[0].always(Fault::Refuse);
    world.providers[1].always(Fault::Error(ProviderError::Server));
    let reply = world.runtime.chat(ask("hello")).await.expect("an answer");
    assert_eq!(reply.finished.target.to_string(), "c/m");
}

#[tokio::test(start_paused = true)]
async fn round_robin_takes_turns() {
    let world = of(alike(), Strategy::RoundRobin, |_| {}).await;
    let mut turns = String::new();
    for _ in 0..6 {
        let reply = world.runtime.chat(ask("hello")).await.expect("an answer");
        turns.push_str(&reply.finished.target.provider);
    }
    assert_eq!(turns, "abcabc");
}

#[tokio::test(start_paused = true)]
async fn threshold_leaves_the_first_when_it_is_slow_and_comes_back_when_it_is_fast() {
    let strategy = Strategy::Threshold { error_rate: 0.2, ttft: 3 * S, percentile: Percentile::P50 };
    let world = of([fast(1_000), fast(1_000), fast(1_000)], strategy, |_| {}).await;
    assert_eq!(share(&world, 20).await, BTreeMap::from([("a".into(), 20)]));
    let slow = world.providers[0].always(Fault::SlowFirst { factor: 1.0, plus: 3 * S });
    for _ in 0..60 {
        world.runtime.chat(ask("hello")).await.expect("an answer");
        sleep(S).await;
    }
    let left = share(&world, 20).await;
    assert!(of_share(&left, "b") >= 17, "but for the few that look whether it is fast again: {left:?}");
    world.providers[0].lift(slow);
    // Its latencies leave within half an hour, and those that look find it well.
    sleep(1_800 * S).await;
    for _ in 0..600 {
        world.runtime.chat(ask("hello")).await.expect("an answer");
        sleep(S).await;
    }
    assert_eq!(share(&world, 20).await, BTreeMap::from([("a".into(), 20)]));
}

#[tokio::test(start_paused = true)]
async fn least_latency_takes_the_fastest() {
    let strategy = Strategy::LeastLatency { percentile: Percentile::P50 };
    let world = of([fast(900), fast(150), fast(600)], strategy, |_| {}).await;
    // All targets are measured first.
    for id in ["a/m", "b/m", "c/m"] {
        for _ in 0..10 {
            world.runtime.chat(ChatRequest { route: id.into(), ..ask("hello") }).await.expect("an answer");
        }
    }
    settle().await;
    let spread = share(&world, 100).await;
    assert!(of_share(&spread, "b") >= 94, "but for the few that look whether others are faster: {spread:?}");
}

#[tokio::test(start_paused = true)]
async fn least_latency_finds_a_fast_target_that_was_never_asked() {
    let strategy = Strategy::LeastLatency { percentile: Percentile::P50 };
    let world = of([fast(600), fast(100), fast(600)], strategy, |_| {}).await;
    for _ in 0..600 {
        world.runtime.chat(ask("hello")).await.expect("an answer");
        sleep(S).await;
    }
    let spread = share(&world, 100).await;
    assert!(of_share(&spread, "b") >= 90, "{spread:?}");
}

#[tokio::test(start_paused = true)]
async fn least_cost_takes_the_cheapest_and_unknown_prices_last() {
    let world = of(alike(), Strategy::LeastCost, |config| {
        price(config, "b", 3.0, 15.0);
        price(config, "c", 0.5, 1.5);
    })
    .await;
    assert_eq!(share(&world, 10).await, BTreeMap::from([("c".into(), 10)]));
    world.providers[2].always(Fault::Refuse);
    assert_eq!(of_share(&share(&world, 10).await, "b"), 10);
    world.providers[1].always(Fault::Error(ProviderError::Server));
    let reply = world.runtime.chat(ask("hello")).await.expect("an answer");
    assert_eq!(reply.finished.target.to_string(), "a/m");
}

#[tokio::test(start_paused = true)]
async fn least_busy_spreads_calls_that_are_in_flight() {
    let world = of([unhurried(), unhurried(), unhurried()], Strategy::LeastBusy, |_| {}).await;
    let mut tasks = Vec::new();
    for _ in 0..30 {
        let runtime = world.runtime.clone();
        tasks.push(tokio::spawn(async move { runtime.chat(ask("hello")).await }));
        sleep(MS).await;
    }
    all(tasks).await;
    let received: Vec<_> = world.providers.iter().map(Scripted::received).collect();
    assert_eq!(received, [10, 10, 10]);
}

#[tokio::test(start_paused = true)]
async fn adaptive_spreads_among_equals_and_leaves_what_is_dear_slow_or_ill() {
    let priced = |config: &mut Config| ["a", "b", "c"].into_iter().for_each(|name| price(config, name, 1.0, 4.0));
    let world = of([usual(), usual(), usual()], Strategy::Adaptive, priced).await;
    let spread = share(&world, 300).await;
    assert!(["a", "b", "c"].into_iter().all(|name| of_share(&spread, name) > 50), "{spread:?}");

    let dear = |config: &mut Config| {
        priced(config);
        price(config, "b", 1_000.0, 10_000.0);
    };
    let slow = Script { first_token: Latency::Fixed(5 * S), ..usual() };
    let world = of([usual(), usual(), slow], Strategy::Adaptive, dear).await;
    let spread = share(&world, 300).await;
    assert!(of_share(&spread, "a") > 200, "{spread:?}");

    let world = of([usual(), usual(), usual()], Strategy::Adaptive, priced).await;
    // Failures cost time: quick ones little, late ones much.
    world.providers[0].inject(Fault::CutAfter(10), When::ALWAYS.chance(0.6));
    share(&world, 200).await;
    let before = world.providers[0].received();
    share(&world, 200).await;
    let ill = world.providers[0].received() - before;
    assert!(ill < 70, "{ill} of 200 went to the ill one");
    world.providers[0].always(Fault::Refuse);
    share(&world, 50).await;
    let before = world.providers[0].received();
    share(&world, 200).await;
    let down = world.providers[0].received() - before;
    assert!(down < 20, "{down} of 200 went to the one that is down");
}

#[tokio::test(start_paused = true)]
async fn a_tier_serves_only_when_those_before_it_cannot() {
    let world = of(alike(), Strategy::Adaptive, |config| {
        let members = &mut config.routes.get_mut("smart").expect("smart").targets;
        for (member, tier) in members.iter_mut().zip([1, 0, 2]) {
            member.tier = tier;
        }
    })
    .await;
    assert_eq!(of_share(&share(&world, 50).await, "b"), 50);
    world.providers[1].next(1, Fault::Error(ProviderError::Overloaded));
    let reply = world.runtime.chat(ask("hello")).await.expect("an answer");
    assert_eq!(path(&reply.finished.attempts), "b/m overloaded, a/m won");
}

#[tokio::test(start_paused = true)]
async fn labels_are_walls_that_no_failure_breaks() {
    let world = of(alike(), Strategy::Priority, |config| {
        for (name, labels) in [("a", &["us"][..]), ("b", &["eu"]), ("c", &["eu", "zero-retention"])] {
            let provider = config.providers.get_mut(name).expect("such a provider");
            provider.labels = labels.iter().map(|label| (*label).to_owned()).collect();
        }
        let mut walled = config.routes["smart"].clone();
        walled.labels = vec!["eu".into()];
        config.routes.insert("europe".into(), walled);
    })
    .await;
    let labelled = |labels: &[&str]| {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        ChatRequest { labels, ..ask("hello") }
    };
    let way = async |request: ChatRequest| match world.runtime.chat(request).await {
        Ok(reply) => path(&reply.finished.attempts),
        Err(error) => format!("{}; {}", path(error.attempts()), error.name()),
    };
    assert_eq!(way(labelled(&[])).await, "a/m won");
    assert_eq!(way(labelled(&["eu"])).await, "b/m won");
    assert_eq!(way(labelled(&["eu", "zero-retention"])).await, "c/m won");
    assert_eq!(way(labelled(&["us", "eu"])).await, "; no_target");
    assert_eq!(way(labelled(&["mars"])).await, "; no_target");
    let europe = |labels| ChatRequest { route: "europe".into(), ..labelled(labels) };
    assert_eq!(way(europe(&["zero-retention"])).await, "c/m won");
    assert_eq!(way(europe(&["us"])).await, "; no_target", "the route's wall stands, too");
    // All European targets fail: no call ever goes to another region.
    for provider in &world.providers[1..] {
        provider.always(Fault::Error(ProviderError::BadGateway));
    }
    for _ in 0..30 {
        let way = way(labelled(&["eu"])).await;
        assert!(!way.contains("a/m"), "{way}");
        sleep(S).await;
    }
    assert_eq!(world.providers[0].received(), 1);
    assert!(world.runtime.pin("europe", Some(target("a/m"))).await.is_ok(), "a pin is no key");
    assert_eq!(way(europe(&[])).await, "; no_target");
}

#[tokio::test(start_paused = true)]
async fn a_session_keeps_its_target_while_that_is_well_and_comes_nowhere_else() {
    for strategy in [Strategy::Adaptive, Strategy::RoundRobin, Strategy::Weighted, Strategy::LeastBusy] {
        let world = of([usual(), usual(), usual()], strategy, |_| {}).await;
        let mut homes = BTreeMap::new();
        for turn in 0..20 {
            for session in 0..5 {
                let request = ask(&words(turn + 1)).session(format!("s{session}"));
                let reply = world.runtime.chat(request).await.expect("an answer");
                let target = reply.finished.target.clone();
                let home = homes.entry(session).or_insert_with(|| target.clone());
                assert_eq!(*home, target, "{strategy:?}: session {session} moved in turn {turn}");
                sleep(100 * MS).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_moves_when_its_target_fails_and_then_stays_there() {
    let world = of([fast(300), fast(300), fast(300)], Strategy::RoundRobin, |_| {}).await;
    let turn = || world.runtime.chat(ask("hello").session("s"));
    assert_eq!(path(&turn().await.expect("an answer").finished.attempts), "a/m won");
    world.providers[0].next(1, Fault::Error(ProviderError::Overloaded));
    let reply = turn().await.expect("an answer");
    assert_eq!(reply.finished.attempts.len(), 2);
    let home = reply.finished.target.clone();
    for _ in 0..10 {
        assert_eq!(turn().await.expect("an answer").finished.target, home);
    }
    let explained = world.runtime.explain(ask("hello").session("s")).await.expect("explained");
    assert_eq!(explained.planned[0].why, PickReason::Sticky);
}

#[tokio::test(start_paused = true)]
async fn a_price_cap_leaves_out_what_is_dearer() {
    let world = of(alike(), Strategy::Priority, |config| {
        price(config, "a", 100.0, 1_000.0);
        price(config, "b", 1.0, 2.0);
        price(config, "c", 1.0, 3.0);
        config.routes.get_mut("smart").expect("smart").options.price_max = Some(0.01);
    })
    .await;
    let reply = world.runtime.chat(ask("hello")).await.expect("an answer");
    assert_eq!(path(&reply.finished.attempts), "b/m won");
}

#[tokio::test(start_paused = true)]
async fn a_target_without_a_capability_is_not_asked_for_it() {
    let world = of(alike(), Strategy::Priority, |config| {
        for (name, lacks) in [("a", serde_json::json!(["tools"])), ("b", serde_json::json!(["json", "json_schema"]))] {
            let model = serde_json::from_value(serde_json::json!({ "lacks": lacks })).expect("a model");
            config.providers.get_mut(name).expect("it").models.insert("m".into(), model);
        }
    })
    .await;
    let tool = standin::Tool {
        name: "add".into(),
        description: "".into(),
        parameters: serde_json::json!({"type": "object", "properties": {}}).into(),
        strict: None,
    };
    let reply = world.runtime.chat(ask("call:add({})").tool(tool.clone())).await.expect("an answer");
    assert_eq!(path(&reply.finished.attempts), "b/m won");
    let json = standin::ResponseFormat::Json;
    let request = ChatRequest { response_format: json.clone(), ..ask("json please") };
    let reply = world.runtime.chat(request.clone()).await.expect("an answer");
    assert_eq!(path(&reply.finished.attempts), "a/m won");
    let reply = world.runtime.chat(request.tool(tool)).await.expect("an answer");
    assert_eq!(path(&reply.finished.attempts), "c/m won");
}

#[tokio::test(start_paused = true)]
async fn every_target_is_a_route_of_its_own() {
    let world = of(alike(), Strategy::Adaptive, |_| {}).await;
    for id in ["a/m", "b/m", "c/m"] {
        let reply = world.runtime.chat(ChatRequest { route: id.into(), ..ask("hello") }).await.expect("an answer");
        assert_eq!(reply.finished.target, target(id));
    }
    let error =
        world.runtime.chat(ChatRequest { route: "elsewhere/m".into(), ..ask("hello") }).await.expect_err("no such");
    assert!(matches!(&error, Error::Invalid { field, problem } if field == "route" && problem.contains("smart")));
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_and_the_same_events_give_the_same_choices() {
    let run = async |seed: u64| {
        let script = || Script {
            first_token: Latency::LogNormal { median: 300 * MS, sigma: 0.6 },
            answers: Answers::Echo,
            ..Script::default()
        };
        let world = of([script(), script(), script()], Strategy::Adaptive, |config| config.seed = Some(seed)).await;
        world.providers[1].inject(Fault::Error(ProviderError::Server), When::ALWAYS.chance(0.3));
        let mut trace = String::new();
        for _ in 0..200 {
            let reply = world.runtime.chat(ask("hello")).await.expect("an answer");
            trace.push_str(&path(&reply.finished.attempts));
            trace.push('\n');
            sleep(500 * MS).await;
        }
        trace
    };
    let (first, second, other) = (run(1).await, run(1).await, run(2).await);
    assert_eq!(first, second);
    assert_ne!(first, other);
}

#[tokio::test(start_paused = true)]
async fn an_in_flight_limit_spills_to_the_next_target_and_waits_where_there_is_none() {
    let limited = |config: &mut Config| {
        config.providers.get_mut("a").expect("a").models.get_mut("m").expect("m").in_flight_max = Some(2);
    };
    let world = of([unhurried(), unhurried(), unhurried()], Strategy::Priority, limited).await;
    let call = |route: &'static str| {
        let runtime = world.runtime.clone();
        tokio::spawn(async move { runtime.chat(ChatRequest { route: route.into(), ..ask("hello") }).await })
    };
    let ways: Vec<_> = all((0..5).map(|_| call("smart")).collect()).await;
    let ways: Vec<_> = ways.into_iter().map(|reply| path(&reply.expect("an answer").finished.attempts)).collect();
    assert_eq!(ways, ["a/m won", "a/m won", "b/m won", "b/m won", "b/m won"]);
    let ways: Vec<_> = all((0..6).map(|_| call("a/m")).collect()).await;
    assert!(ways.iter().all(Result::is_ok), "they wait their turn: {ways:?}");
    assert_eq!(world.providers[0].received(), 2 + 6);
    let member = MemberConfig::from("a/m");
    assert_eq!((member.tier, member.weight), (0, 1.0));
}

//! Changing providers and routes under load, and ending: no call in flight is dropped, nothing is forgotten needlessly.

use standin::health::{BreakerState, Force};
use standin::testing::{Crash, Fault, Latency, ProviderError, RetryHint, Script, Scripted, actor_counts, crash};
use standin::{ChatRequest, Config, Error, Event, RouteConfig};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::kit::{
    MS, S, Seen, World, all, ask, events, path, provider, settle, stream, target, unhurried, words, world, world_with,
};

fn load(world: &World, streams: usize, text: &str) -> Vec<JoinHandle<Seen>> {
    let start = |_| {
        let (runtime, request) = (world.runtime.clone(), ask(text));
        tokio::spawn(async move { stream(&runtime, request).await })
    };
    (0..streams).map(start).collect()
}

fn priority_over(targets: &[&str]) -> RouteConfig {
    let mut route = RouteConfig::new(targets.iter().copied());
    route.options.strategy = standin::Strategy::Priority;
    route
}

async fn way(world: &World, request: ChatRequest) -> String {
    match world.runtime.chat(request).await {
        Ok(reply) => path(&reply.finished.attempts),
        Err(error) => format!("{}; {}", path(error.attempts()), error.name()),
    }
}

/// One change of a configuration of providers `a` and `b`.
type Change = fn(&mut Config);

const CHANGES: &[(&str, Change)] = &[
    ("nothing", |_| {}),
    ("a is removed", |config| {
        config.providers.remove("a");
        config.routes.insert("smart".into(), priority_over(&["b/m"]));
    }),
    ("a gets other keys", |config| {
        let a = config.providers.get_mut("a").expect("a");
        *a = a.clone().key("one").key("two");
    }),
    ("a moves", |config| config.providers.get_mut("a").expect("a").base_url = Some("https://elsewhere.test/v1".into())),
    ("a has another model, too", |config| {
        let a = config.providers.get_mut("a").expect("a");
        *a = a.clone().model("n");
    }),
    ("a provider is added before all", |config| {
        let scripted = Scripted::new(unhurried());
        config.providers.insert("0".into(), provider("0", &scripted).model("m"));
        config.routes.insert("smart".into(), priority_over(&["0/m", "a/m", "b/m"]));
    }),
    ("the route is removed", |config| {
        config.routes.clear();
    }),
    ("everything is replaced", |config| {
        config.providers.clear();
        let scripted = Scripted::new(unhurried());
        config.providers.insert("z".into(), provider("z", &scripted).model("m"));
        config.routes.insert("smart".into(), priority_over(&["z/m"]));
    }),
];

#[tokio::test(start_paused = true)]
async fn no_stream_in_flight_notices_any_change() {
    let text = words(100);
    for (what, change) in CHANGES {
        let world = world(2, unhurried()).await;
        let reading = load(&world, 100, &text);
        sleep(S).await;
        let mut config = world.config.clone();
        change(&mut config);
        world.runtime.reconfigure(config).await.expect("a good configuration");
        for seen in all(reading).await {
            assert_eq!(seen.shape(), "a/m#1 text finished", "{what}");
            assert_eq!(seen.text(), text);
        }
        sleep(2 * S).await;
        let actor_counts = actor_counts(&world.runtime);
        assert_eq!((actor_counts.calls, actor_counts.attempts), (0, 0), "{what}");
        assert_eq!(actor_counts.supervisors, world.runtime.health().providers.len(), "{what}: the removed are gone");
        assert_eq!(actor_counts.providers, actor_counts.supervisors, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn calls_without_content_that_lose_their_provider_to_a_change_and_then_fail_move_by_the_new_table() {
    for (what, change) in CHANGES {
        let script = Script { first_token: Latency::Fixed(S), ..Script::default() };
        let world = world(2, script).await;
        // They will fail after the change.
        world.providers[0].next(20, Fault::CutAfter(0));
        let slow = world.providers[0].always(Fault::SlowFirst { factor: 1.0, plus: S });
        let asking: Vec<_> = (0..20)
            .map(|_| {
                let runtime = world.runtime.clone();
                tokio::spawn(async move { runtime.chat(ask("hello")).await })
            })
            .collect();
        sleep(100 * MS).await;
        let mut config = world.config.clone();
        change(&mut config);
        world.runtime.reconfigure(config).await.expect("a good configuration");
        for reply in all(asking).await {
            let reply = reply.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(reply.text, "hello");
        }
        world.providers[0].lift(slow);
    }
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_provider_keeps_its_actor_and_its_health() {
    let world = world(2, unhurried()).await;
    for _ in 0..20 {
        world.runtime.chat(ask("hello")).await.expect("an answer");
    }
    world.runtime.force(target("b/m"), Force::Off { until: None }).await.expect("forced");
    settle().await;
    let before = world.runtime.health().providers;
    let mut told = world.runtime.subscribe();
    world.runtime.reconfigure(world.config.clone()).await.expect("the same again");
    assert_eq!(world.runtime.health().providers, before);
    assert_eq!(events(&mut told), [Event::Reconfigured], "nobody was started or stopped");
}

#[tokio::test(start_paused = true)]
async fn a_provider_with_other_keys_keeps_its_health_and_loses_only_what_was_the_old_keys() {
    let keyed = Script { keys: vec!["good".into()], ..Script::default() };
    let world = world_with(2, keyed, |config| {
        for name in ["a", "b"] {
            let provider = config.providers.get_mut(name).expect("such a provider");
            *provider = provider.clone().key("bad").key("good");
        }
    })
    .await;
    for _ in 0..10 {
        world.runtime.chat(ask("hello")).await.expect("by the other key");
        sleep(S).await;
    }
    // A checkpoint is taken every five seconds.
    sleep(5 * S).await;
    let before = world.health("a/m");
    let mut config = world.config.clone();
    let a = config.providers.get_mut("a").expect("a");
    a.keys.clear();
    *a = a.clone().key("good");
    world.runtime.reconfigure(config).await.expect("a good configuration");
    let after = world.health("a/m");
    assert_eq!((after.admitted, after.disabled), (before.admitted, None));
    assert!((after.evidence - before.evidence).abs() < 1.0, "{} and {}", before.evidence, after.evidence);
    assert!(after.generation > before.generation);
    assert_eq!(way(&world, ask("hello")).await, "a/m won");
}

#[tokio::test(start_paused = true)]
async fn verdicts_are_carried_where_address_and_model_are_the_same_and_nowhere_else() {
    let mut told = Vec::new();
    for moves in [false, true] {
        let world = world(2, Script::default()).await;
        world.providers[0].next(9, Fault::Error(ProviderError::Overloaded));
        while !matches!(world.health("a/m").breaker, BreakerState::Open { .. }) {
            sleep(S).await;
            way(&world, ask("hello")).await;
        }
        world.providers[0].clear();
        let mut config = world.config.clone();
        let a = config.providers.get_mut("a").expect("a");
        a.labels.push("eu".into());
        if moves {
            a.base_url = Some("https://elsewhere.test/v1".into());
        }
        world.runtime.reconfigure(config).await.expect("a good configuration");
        told.push(way(&world, ask("hello")).await);
    }
    assert_eq!(told, ["b/m won", "a/m won"]);
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_is_kept_for_a_key_that_is_kept() {
    let world = world_with(2, Script::default(), |config| {
        let a = config.providers.get_mut("a").expect("a");
        *a = a.clone().key("one");
    })
    .await;
    world.providers[0].next(1, Fault::RateLimited(RetryHint::Seconds(60 * S)));
    assert_eq!(way(&world, ask("hello")).await, "a/m rate_limited, b/m won");
    let rekey = |keys: &[&str]| {
        let mut config = world.config.clone();
        let a = config.providers.get_mut("a").expect("a");
        a.keys.clear();
        *a = keys.iter().fold(a.clone(), |provider, key| provider.key(*key));
        config
    };
    let mut relabelled = rekey(&["one"]);
    relabelled.providers.get_mut("a").expect("a").labels.push("eu".into());
    world.runtime.reconfigure(relabelled).await.expect("a good configuration");
    assert_eq!(way(&world, ask("hello")).await, "b/m won");
    world.runtime.reconfigure(rekey(&["two"])).await.expect("a good configuration");
    assert_eq!(way(&world, ask("hello")).await, "a/m won", "another key is another allowance");
}

#[tokio::test(start_paused = true)]
async fn a_removed_provider_admits_nothing_more_and_is_gone_when_its_last_attempt_has_ended() {
    let world = world(2, unhurried()).await;
    let reading = load(&world, 10, &words(100));
    sleep(S).await;
    let mut config = world.config.clone();
    config.providers.remove("a");
    config.routes.insert("smart".into(), priority_over(&["b/m"]));
    world.runtime.reconfigure(config).await.expect("a good configuration");
    assert_eq!(world.runtime.health().providers.len(), 1);
    assert_eq!(way(&world, ask("hello")).await, "b/m won");
    assert_eq!(way(&world, ChatRequest { route: "a/m".into(), ..ask("hello") }).await, "; invalid");
    assert_eq!(actor_counts(&world.runtime).supervisors, 2, "it waits for what is paid for");
    all(reading).await;
    sleep(200 * MS).await;
    assert_eq!(actor_counts(&world.runtime).supervisors, 1);
    assert_eq!(world.providers[0].received(), 10);
    sleep(100 * S).await;
    assert_eq!(actor_counts(&world.runtime).supervisors, 1, "nobody starts it again");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_removed_while_it_crashes_is_not_started_again() {
    for death in [Crash::SupervisorKilled("a".into()), Crash::ProviderPanics("a".into())] {
        let world = world(2, unhurried()).await;
        for _ in 0..3 {
            crash(&world.runtime, death.clone());
            sleep(5 * MS).await;
        }
        let mut config = world.config.clone();
        config.providers.remove("a");
        config.routes.insert("smart".into(), priority_over(&["b/m"]));
        world.runtime.reconfigure(config).await.expect("a good configuration");
        sleep(100 * S).await;
        let actor_counts = actor_counts(&world.runtime);
        assert_eq!((actor_counts.supervisors, actor_counts.providers), (1, 1), "{death:?}");
        // And it can come back.
        world.runtime.reconfigure(world.config.clone()).await.expect("a good configuration");
        assert_eq!(way(&world, ask("hello")).await, "a/m won");
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_configuration_changes_nothing() {
    let world = world(2, unhurried()).await;
    let before = world.runtime.health().providers;
    let mut config = world.config.clone();
    config.providers.remove("a");
    let error = world.runtime.reconfigure(config).await.expect_err("the route still names it");
    assert!(error.to_string().starts_with("routes.smart.targets"), "{error}");
    assert_eq!(world.runtime.health().providers, before);
    assert_eq!(way(&world, ask("hello")).await, "a/m won");
}

#[tokio::test(start_paused = true)]
async fn a_session_keeps_its_target_through_changes_that_do_not_concern_it() {
    let mut config_of = None;
    let world = world_with(3, unhurried(), |config| {
        config.routes.get_mut("smart").expect("smart").options.strategy = standin::Strategy::RoundRobin;
        config_of = Some(config.clone());
    })
    .await;
    let turn = |session: &str| ask("hello").session(session);
    let mut homes = Vec::new();
    for session in ["x", "y", "z"] {
        homes.push(world.runtime.chat(turn(session)).await.expect("an answer").finished.target);
    }
    // A provider before all others: every index moves.
    let mut config = world.config.clone();
    let scripted = Scripted::new(unhurried());
    config.providers.insert("0".into(), provider("0", &scripted).model("m"));
    let mut route = config.routes["smart"].clone();
    route.targets.insert(0, "0/m".into());
    config.routes.insert("smart".into(), route);
    world.runtime.reconfigure(config).await.expect("a good configuration");
    for (session, home) in ["x", "y", "z"].into_iter().zip(homes) {
        let reply = world.runtime.chat(turn(session)).await.expect("an answer");
        assert_eq!(reply.finished.target, home, "session {session}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_whose_call_outlives_a_change_stays_where_it_was_answered() {
    let world = world_with(3, unhurried(), |config| {
        config.routes.get_mut("smart").expect("smart").options.strategy = standin::Strategy::RoundRobin;
    })
    .await;
    let (runtime, request) = (world.runtime.clone(), ask(&words(50)).session("s"));
    let running = tokio::spawn(async move { runtime.chat(request).await });
    sleep(500 * MS).await;
    let mut config = world.config.clone();
    let scripted = Scripted::new(unhurried());
    config.providers.insert("0".into(), provider("0", &scripted).model("m"));
    let mut route = config.routes["smart"].clone();
    route.targets.insert(0, "0/m".into());
    config.routes.insert("smart".into(), route);
    world.runtime.reconfigure(config).await.expect("a good configuration");
    let home = running.await.expect("no panic").expect("an answer").finished.target;
    settle().await;
    for _ in 0..5 {
        let reply = world.runtime.chat(ask("more").session("s")).await.expect("an answer");
        assert_eq!(reply.finished.target, home, "its prompt cache is there");
    }
}

#[tokio::test(start_paused = true)]
async fn fifty_changes_under_load_lose_no_call() {
    let world = world(2, unhurried()).await;
    let begun = Instant::now();
    let mut asking = Vec::new();
    for turn in 0..50 {
        for _ in 0..4 {
            let runtime = world.runtime.clone();
            let text = words(turn % 20 + 1);
            asking.push(tokio::spawn(async move { runtime.chat(ask(&text)).await }));
        }
        let (_, change) = CHANGES[[0, 1, 2, 3, 4, 5][turn % 6]];
        let mut config = world.config.clone();
        change(&mut config);
        world.runtime.reconfigure(config).await.expect("a good configuration");
        sleep(37 * MS).await;
    }
    for reply in all(asking).await {
        reply.unwrap_or_else(|error| panic!("{error} after {:?}", begun.elapsed()));
    }
    world.runtime.reconfigure(world.config.clone()).await.expect("a good configuration");
    sleep(10 * S).await;
    let actor_counts = actor_counts(&world.runtime);
    assert_eq!(
        (actor_counts.supervisors, actor_counts.providers, actor_counts.attempts, actor_counts.calls),
        (2, 2, 0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn draining_lets_calls_end_refuses_new_ones_and_stops_everybody() {
    let world = world(2, unhurried()).await;
    let mut told = world.runtime.subscribe();
    let router = world.runtime.router().expect("it runs");
    // The first half fails over while the runtime drains.
    world.providers[0].next(10, Fault::CutAfter(20));
    let asking = load(&world, 20, &words(50));
    sleep(300 * MS).await;
    let (runtime, begun) = (world.runtime.clone(), Instant::now());
    let draining = tokio::spawn(async move { runtime.drain(60 * S).await });
    sleep(MS).await;
    let health = world.runtime.health();
    assert!(health.draining);
    assert_eq!(health.calls, 20, "so many are left");
    assert_eq!(world.runtime.chat(ask("late")).await.expect_err("no new calls"), Error::Draining);
    let late = standin::ractor::call!(router, standin::RouterMessage::Chat, Box::new(ask("late")));
    assert_eq!(late.expect("answered").expect_err("no new calls"), Error::Draining);
    for seen in all(asking).await {
        assert_eq!(seen.error, None, "{}", seen.shape());
        assert_eq!(seen.text(), words(50));
    }
    assert_eq!(draining.await.expect("no panic"), 0, "none was cut off");
    assert!(begun.elapsed() < 3 * S, "{:?}", begun.elapsed());
    assert_eq!(actor_counts(&world.runtime).actors, 0);
    assert!(world.runtime.router().is_err());
    assert_eq!(world.runtime.chat(ask("later")).await.expect_err("it is over"), Error::Draining);
    assert!(events(&mut told).contains(&Event::Draining));
}

#[tokio::test(start_paused = true)]
async fn draining_cuts_off_what_is_left_at_its_deadline_with_a_typed_end() {
    let world = world(2, unhurried()).await;
    let reading = load(&world, 5, &words(10_000));
    let asking: Vec<_> = (0..5)
        .map(|_| {
            let runtime = world.runtime.clone();
            tokio::spawn(async move { runtime.chat(ask(&words(10_000))).await })
        })
        .collect();
    sleep(S).await;
    let begun = Instant::now();
    assert_eq!(world.runtime.drain(5 * S).await, 10);
    assert!((5 * S..6 * S).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    for seen in all(reading).await {
        assert_eq!(seen.shape(), "a/m#1 text draining");
    }
    for reply in all(asking).await {
        assert_eq!(reply.expect_err("cut off"), Error::Draining);
    }
    settle().await;
    assert_eq!(actor_counts(&world.runtime).actors, 0);
    assert_eq!(world.providers[0].counts().client_left, 10);
    assert_eq!(world.runtime.drain(S).await, 0, "a second drain finds nothing");
}

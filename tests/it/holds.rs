//! Wrong holds: they are lifted by an operator, by a reload, or by a call that tests them; and the error of a call that
//! no target admits.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use standin::config::KeyConfig;
use standin::health::Force;
use standin::testing::{Crash, Fault, ProviderError, RetryHint, Script, Scripted, crash};
use standin::{Cause, ChatRequest, Error, Event, FailureClass as Class, Hold, Reset};
use tokio::time::{Instant, sleep};

use super::kit::{MS, S, World, ask, events, path, provider, settle, target, world, world_with};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A call that has no time to wait for the first look at a hold.
fn hasty() -> ChatRequest {
    ask("hello").deadline(2 * S)
}

async fn way(world: &World) -> String {
    match world.runtime.chat(hasty()).await {
        Ok(reply) => path(&reply.finished.attempts),
        Err(error) => format!("{}; {}", path(error.attempts()), error.name()),
    }
}

fn named(holds: &[Hold]) -> Vec<String> {
    let name = |name: &Option<Arc<str>>| name.as_deref().unwrap_or("-").to_owned();
    holds.iter().map(|one| format!("{} {} {} {}", one.provider, name(&one.model), name(&one.key), one.cause)).collect()
}

fn holds(world: &World) -> Vec<String> {
    named(&world.runtime.health().providers.iter().flat_map(|one| one.holds.clone()).collect::<Vec<_>>())
}

/// Faults that hold a target, and the hold's name.
fn held() -> Vec<(Fault, &'static str)> {
    vec![
        (Fault::RateLimited(RetryHint::Seconds(DAY)), "a m none rate_limited"),
        (Fault::Error(ProviderError::Unauthorised), "a - none unauthorised"),
        (Fault::Error(ProviderError::OutOfMoney), "a - none out_of_money"),
        (Fault::Error(ProviderError::ModelGone), "a m none model_gone"),
        (refused(503, "no", "86400"), "a m - overloaded"),
    ]
}

fn refused(status: u16, message: &str, retry_after: &str) -> Fault {
    let mut headers = HeaderMap::new();
    if !retry_after.is_empty() {
        headers.insert("retry-after", retry_after.parse().expect("a value"));
    }
    let body = serde_json::json!({"error": {"message": message, "type": "x", "code": null}}).to_string();
    Fault::Reply { status, headers, body }
}

#[tokio::test(start_paused = true)]
async fn all_that_is_held_is_shown_and_is_asked_at_once_when_it_is_reset() {
    for (fault, shown) in held() {
        for what in [Reset::All, Reset::Provider("a".into()), Reset::Target(target("a/m"))] {
            let world = world(1, Script::default()).await;
            world.providers[0].next(1, fault.clone());
            let _ = way(&world).await;
            settle().await;
            // Scripted providers need no key; a failure of the key may hold it here or everywhere.
            let known = holds(&world);
            assert_eq!(known.len(), 1, "{fault:?}: {known:?}");
            assert_eq!(known[0].rsplit(' ').next(), shown.rsplit(' ').next());
            assert_eq!(way(&world).await, "; exhausted", "{fault:?}");
            let mut told = world.runtime.subscribe();
            let lifted = world.runtime.reset(what.clone()).await.expect("there is such a one");
            assert_eq!(named(&lifted), known, "{what:?}");
            assert_eq!((holds(&world), way(&world).await.as_str()), (vec![], "a/m won"), "{fault:?}");
            let lifted = events(&mut told).into_iter().filter(|event| matches!(event, Event::Lifted { .. })).count();
            assert_eq!(lifted, 1);
            assert_eq!(world.runtime.reset(what).await.expect("nothing stands"), []);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_and_an_operators_hand_are_reset_as_well() {
    let world = world(1, Script::default()).await;
    let outage = world.providers[0].always(Fault::Error(ProviderError::Server));
    for _ in 0..4 {
        let _ = way(&world).await;
        sleep(S).await;
    }
    world.providers[0].lift(outage);
    world.runtime.force(target("a/m"), Force::Off { until: None }).await.expect("a target");
    settle().await;
    assert_eq!(holds(&world), ["a m - operator", "a m - breaker_open"]);
    let lifted = world.runtime.reset(Reset::Target(target("a/m"))).await.expect("a target");
    assert_eq!(named(&lifted), ["a m - operator", "a m - breaker_open"]);
    let reply = world.runtime.chat(ask("hello")).await.expect("an answer");
    assert!(!reply.finished.last_resort);
}

#[tokio::test(start_paused = true)]
async fn a_reset_of_an_unknown_name_is_refused_and_the_error_lists_the_known_ones() {
    let world = world(2, Script::default()).await;
    for (what, expected) in [
        (Reset::Provider("x".into()), "provider: no provider `x`; there are: a, b"),
        (Reset::Target(target("a/x")), "target: no target `a/x`; did you mean `a/m`?"),
        (Reset::Key { provider: "a".into(), key: "x".into() }, "key: no key `x` of provider `a`; there are: none"),
    ] {
        assert_eq!(world.runtime.reset(what).await.expect_err("nobody").to_string(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reset_reaches_a_provider_whose_actor_is_not_there() {
    let world = world(1, Script::default()).await;
    world.providers[0].next(1, Fault::RateLimited(RetryHint::Seconds(DAY)));
    let _ = way(&world).await;
    settle().await;
    for _ in 0..8 {
        crash(&world.runtime, Crash::ProviderPanics("a".into()));
        sleep(200 * MS).await;
    }
    let lifted = world.runtime.reset(Reset::All).await.expect("it rests");
    assert_eq!(lifted.len(), 1);
    world.until("a", super::kit::is_up).await;
    assert_eq!(way(&world).await, "a/m won");
}

#[tokio::test(start_paused = true)]
async fn a_verdict_that_was_wrong_for_seconds_costs_a_sole_target_about_as_many() {
    let keys = |count: usize| (1..=count).map(|at| format!("k{at}")).collect::<Vec<_>>();
    for (fault, count) in [
        (Fault::Error(ProviderError::Unauthorised), 1),
        (Fault::Error(ProviderError::Unauthorised), 3),
        (Fault::Error(ProviderError::OutOfMoney), 1),
        (Fault::Error(ProviderError::ModelGone), 1),
    ] {
        let script = Script { keys: keys(count), ..Script::default() };
        let world = world_with(1, script, |config| {
            let a = config.providers.get_mut("a").expect("a");
            a.keys = keys(count).into_iter().map(KeyConfig::value).collect();
        })
        .await;
        let blip = world.providers[0].always(fault.clone());
        let start = Instant::now();
        while start.elapsed() < 10 * S {
            assert!(way(&world).await.ends_with("exhausted"), "{fault:?}");
            sleep(S / 2).await;
        }
        world.providers[0].lift(blip);
        while !way(&world).await.ends_with("a/m won") {
            sleep(S / 2).await;
        }
        assert!(start.elapsed() <= 18 * S, "{fault:?} with {count} keys: {:?}", start.elapsed());
        settle().await;
        assert_eq!(way(&world).await, "a/m won");
    }
}

#[tokio::test(start_paused = true)]
async fn a_sole_target_that_stays_refused_is_asked_a_few_times_an_hour_however_many_call() {
    for (fault, most) in [
        (Fault::Error(ProviderError::ModelGone), 13),
        (Fault::Error(ProviderError::Unauthorised), 20),
        (Fault::RateLimited(RetryHint::Seconds(DAY)), 2),
    ] {
        let world = world(1, Script::default()).await;
        world.providers[0].always(fault.clone());
        for _ in 0..720 {
            let calls = (0..3).map(|_| way(&world));
            futures_util::future::join_all(calls).await;
            sleep(5 * S).await;
        }
        // Three at once may ask before the first is refused, and again when a time is over.
        let asked = world.providers[0].received();
        assert!(asked <= 3 * most, "{asked} times in an hour: {fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reload_shortens_existing_holds_to_what_is_honoured() {
    for fault in [Fault::RateLimited(RetryHint::Seconds(DAY)), refused(503, "no", "86400")] {
        let world = world(1, Script::default()).await;
        world.providers[0].next(1, fault.clone());
        let _ = way(&world).await;
        settle().await;
        sleep(2 * S).await;
        assert_eq!(way(&world).await, "; exhausted");
        let mut config = world.config.clone();
        config.providers.get_mut("a").expect("a").breaker.retry_after_max = S;
        world.runtime.reconfigure(config).await.expect("a good configuration");
        assert_eq!(way(&world).await, "a/m won", "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_model_whose_entry_has_changed_is_no_longer_gone_and_a_key_that_has_changed_no_longer_barred() {
    let world = world_with(1, Script { keys: vec!["good".into()], ..Script::default() }, |config| {
        let a = config.providers.get_mut("a").expect("a");
        *a = a.clone().key("bad");
    })
    .await;
    assert_eq!(way(&world).await, "a/m unauthorised; exhausted");
    let mut config = world.config.clone();
    config.providers.get_mut("a").expect("a").keys = vec![KeyConfig::value("good")];
    world.runtime.reconfigure(config.clone()).await.expect("a good configuration");
    assert_eq!(way(&world).await, "a/m won");
    world.providers[0].next(1, Fault::Error(ProviderError::ModelGone));
    assert_eq!(way(&world).await, "a/m model_gone; exhausted");
    // Another change of the provider does not lift a verdict on the model.
    config.providers.get_mut("a").expect("a").breaker.ramp_step_min = 7 * S;
    world.runtime.reconfigure(config.clone()).await.expect("a good configuration");
    assert_eq!(way(&world).await, "; exhausted");
    config.providers.get_mut("a").expect("a").models.get_mut("m").expect("m").labels = vec!["eu".into()];
    world.runtime.reconfigure(config).await.expect("a good configuration");
    assert_eq!(way(&world).await, "a/m won");
}

#[tokio::test(start_paused = true)]
async fn a_reload_asks_keys_anew_that_may_have_changed_where_they_are() {
    let file = std::env::temp_dir().join(format!("standin-{}-reloaded", std::process::id()));
    fs::write(&file, "old").expect("a folder to write to");
    let scripted = Scripted::new(Script { keys: vec!["new".into()], ..Script::default() });
    let mut config = super::kit::config(std::slice::from_ref(&scripted));
    let a = provider("a", &scripted).model("m");
    config.providers.insert("a".into(), standin::ProviderConfig { keys: vec![KeyConfig::file(file.clone())], ..a });
    let world = World { runtime: super::kit::start(config.clone()).await, providers: vec![scripted], config };
    assert_eq!(way(&world).await, "a/m unauthorised; exhausted");
    fs::write(&file, "new").expect("a folder to write to");
    assert_eq!(way(&world).await, "; exhausted");
    world.runtime.reconfigure(world.config.clone()).await.expect("a good configuration");
    settle().await;
    assert_eq!(way(&world).await, "a/m won");
    let _ = fs::remove_file(&file);
}

#[tokio::test(start_paused = true)]
async fn an_error_says_of_each_target_why_it_is_not_asked_and_until_when() {
    let world = world(4, Script::default()).await;
    world.providers[0].next(1, Fault::RateLimited(RetryHint::Seconds(DAY)));
    world.providers[1].next(1, Fault::Error(ProviderError::OutOfMoney));
    world.providers[2].next(1, Fault::Error(ProviderError::ModelGone));
    world.runtime.force(target("d/m"), Force::Off { until: None }).await.expect("a target");
    settle().await;
    let first = world.runtime.chat(hasty()).await.expect_err("nobody can");
    settle().await;
    let second = world.runtime.chat(hasty()).await.expect_err("nobody can");
    for (error, attempts) in [(first, 3), (second, 0)] {
        let text = error.to_string();
        let Error::Exhausted { attempts: made, retry_after, barred } = error else { panic!("{text}") };
        let causes: Vec<_> = barred.iter().map(|one| (one.target.to_string(), one.cause)).collect();
        let expected = [
            ("a/m", Cause::Failure(Class::RateLimited)),
            ("b/m", Cause::Failure(Class::OutOfMoney)),
            ("c/m", Cause::Failure(Class::ModelGone)),
            ("d/m", Cause::Operator),
        ];
        assert_eq!(causes, expected.map(|(target, cause)| (target.to_owned(), cause)));
        assert_eq!(made.len(), attempts);
        // What time mends is back when it was told, and not when a call may look whether that is still so.
        assert!(retry_after.is_some_and(|wait| wait <= DAY + MINUTE && wait + MINUTE >= DAY), "{retry_after:?}");
        for part in [
            "a/m rate_limited, back in 86",
            "b/m out_of_money, asked again in ",
            "c/m model_gone, asked again in ",
            "(name another model, or have it opened to its key, then `standin reset c/m`)",
            "d/m operator (`standin reset d/m` puts it back)",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }
}

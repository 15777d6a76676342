//! Restarts: the next runtime on the same file knows the state of providers.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use standin::config::{BudgetConfig, KeyConfig, Period, PriceConfig, StoreConfig};
use standin::health::{BreakerState, Force};
use standin::testing::{Fault, ProviderError, RetryHint, Script, Scripted};
use standin::{Cause, ChatRequest, Config, Error, FailureClass, ModelConfig, Runtime, Strategy};

use super::kit::{S, ask, config, config_with, path, start, target};

/// A file of its own; real time, for a disk knows no other.
fn file() -> PathBuf {
    static FILES: AtomicU32 = AtomicU32::new(0);
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("warm-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    folder.join(format!("{}.db", FILES.fetch_add(1, Relaxed)))
}

fn keeping(scripts: &[Scripted], edit: impl FnOnce(&mut Config)) -> Config {
    let mut config = config(scripts);
    config.store = Some(StoreConfig::new(file()));
    for provider in config.providers.values_mut() {
        // No probe comes due while this runs.
        (provider.breaker.cooldown_base, provider.breaker.cooldown_max) = (300 * S, 300 * S);
    }
    edit(&mut config);
    config
}

async fn way(runtime: &Runtime) -> String {
    match runtime.chat(ask("hello")).await {
        Ok(reply) => path(&reply.finished.attempts),
        Err(error) => format!("{}; {}", path(error.attempts()), error.name()),
    }
}

fn received(scripts: &[Scripted]) -> Vec<u64> {
    scripts.iter().map(Scripted::received).collect()
}

/// An outage: `a` fails, `b` is at its limit for a day, the key of `c` is revoked, and `d` is well. Returns the world
/// once calls have found that out.
async fn outage(edit: impl FnOnce(&mut Config)) -> (Runtime, Vec<Scripted>, Config) {
    let scripts: Vec<Scripted> = (0..4).map(|_| Scripted::new(Script::default())).collect();
    scripts[0].always(Fault::Error(ProviderError::Server));
    scripts[1].always(Fault::RateLimited(RetryHint::Seconds(Duration::from_secs(86_400))));
    scripts[2].always(Fault::Error(ProviderError::Unauthorised));
    let config = keeping(&scripts, |config| {
        let with_key = config.providers.get_mut("c").expect("a third").clone().key("sk-c");
        config.providers.insert("c".into(), with_key);
        edit(config);
    });
    let runtime = start(config.clone()).await;
    for call in 0.. {
        if way(&runtime).await == "d/m won" {
            break;
        }
        assert!(call < 40, "it is never found out");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    (runtime, scripts, config)
}

#[tokio::test]
async fn after_a_restart_in_an_outage_no_call_finds_it_again() {
    let (runtime, scripts, config) = outage(|_| {}).await;
    runtime.force(target("d/m"), Force::On { until: None }).await.expect("a target");
    runtime.drain(S).await;
    drop(runtime);
    let before = received(&scripts[..3]);
    let runtime = start(config).await;
    let health = runtime.health();
    let (a, d) = (health.target(&target("a/m")).expect("a"), health.target(&target("d/m")).expect("d"));
    assert!(matches!(a.breaker, BreakerState::Open { .. }) && a.failed > 0, "{a:?}");
    assert!(d.forced_on && d.ttft.samples > 0 && d.admitted > 0, "{d:?}");
    let holds: Vec<_> = health.providers.iter().flat_map(|provider| &provider.holds).collect();
    let until = |class| {
        let held = holds.iter().find(|hold| hold.cause == Cause::Failure(class)).expect("it is held");
        held.until.expect("for a time").saturating_duration_since(Instant::now())
    };
    assert!((86_340 * S..=86_410 * S).contains(&until(FailureClass::RateLimited)), "{holds:?}");
    assert!((500 * S..=600 * S).contains(&until(FailureClass::Unauthorised)), "{holds:?}");
    for _ in 0..10 {
        assert_eq!(way(&runtime).await, "d/m won");
    }
    assert_eq!(received(&scripts[..3]), before, "nobody asked them again");
}

#[tokio::test]
async fn changed_providers_and_cold_starts_begin_without_kept_health() {
    type Edit = fn(&mut Config);
    let cases: [(&str, Edit, [bool; 3]); 4] = [
        ("nothing", |_| {}, [false, false, false]),
        (
            "an address",
            |config| config.providers.get_mut("a").expect("a").base_url = Some("http://elsewhere.test/v1".into()),
            [true, false, false],
        ),
        (
            "a key",
            |config| config.providers.get_mut("c").expect("c").keys[0] = KeyConfig::value("sk-new"),
            [false, false, true],
        ),
        ("cold", |config| config.store.as_mut().expect("a store").warm = false, [true, true, true]),
    ];
    let (runtime, scripts, config) = outage(|_| {}).await;
    runtime.drain(S).await;
    drop(runtime);
    let left = config.store.clone().expect("a store").path;
    while left.with_extension("db-wal").exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for (what, edit, asked) in cases {
        // Each begins with what the first one left.
        let mut config = config.clone();
        let copy = file();
        std::fs::copy(&left, &copy).expect("a copy");
        config.store.as_mut().expect("a store").path = copy;
        edit(&mut config);
        let before = received(&scripts[..3]);
        let runtime = start(config).await;
        for _ in 0..6 {
            let _ = way(&runtime).await;
        }
        let after = received(&scripts[..3]);
        let found: Vec<bool> = before.iter().zip(after).map(|(before, after)| *before < after).collect();
        assert_eq!(found, asked, "{what}");
    }
}

#[tokio::test]
async fn sessions_stay_where_they_were_and_prompts_are_estimated_as_before() {
    let scripts: Vec<Scripted> = (0..2).map(|_| Scripted::new(Script::default())).collect();
    let config = keeping(&scripts, |config| {
        config.routes.get_mut("smart").expect("a route").options.strategy = Strategy::Adaptive;
    });
    let runtime = start(config.clone()).await;
    let sessions: Vec<String> = (0..12).map(|at| format!("session-{at}")).collect();
    let ask = |session: &String| {
        let mut request: ChatRequest = ask("Where was I?");
        request.session = Some(session.clone());
        request
    };
    let mut served = Vec::new();
    for session in &sessions {
        served.push(runtime.chat(ask(session)).await.expect("an answer").finished.target);
    }
    let estimate = runtime.estimate_tokens(ask(&sessions[0])).expect("an estimate");
    assert!(served.iter().any(|it| *it != served[0]), "both serve some");
    runtime.drain(S).await;
    drop(runtime);
    let runtime = start(config).await;
    assert_eq!(runtime.estimate_tokens(ask(&sessions[0])).expect("an estimate"), estimate);
    for (session, before) in sessions.iter().zip(served) {
        assert_eq!(runtime.chat(ask(session)).await.expect("an answer").finished.target, before);
    }
}

#[tokio::test]
async fn a_key_in_a_file_is_known_again_by_its_content() {
    for replaced in [false, true] {
        let script = Script { keys: vec!["sk-good".into()], ..Script::default() };
        let scripts = [Scripted::new(script), Scripted::new(Script::default())];
        let place = file();
        let key = place.with_extension("key");
        std::fs::write(&key, "sk-revoked").expect("a file");
        let config = keeping(&scripts, |config| {
            let provider = config.providers.remove("a").expect("a");
            let from = KeyConfig::file(&key);
            config.providers.insert("a".into(), provider.key_from(from));
        });
        let runtime = start(config.clone()).await;
        assert_eq!(way(&runtime).await, "a/m unauthorised, b/m won");
        assert_eq!(way(&runtime).await, "b/m won");
        runtime.drain(S).await;
        drop(runtime);
        if replaced {
            std::fs::write(&key, "sk-good").expect("a file");
        }
        let runtime = start(config).await;
        assert_eq!(way(&runtime).await, if replaced { "a/m won" } else { "b/m won" });
    }
}

#[tokio::test]
async fn a_budget_that_a_reload_brings_knows_what_was_spent_before() {
    let scripts = [Scripted::new(Script::default())];
    let price = Some(PriceConfig::new(0.0, 1_000.0));
    let mut config = config_with(&scripts, &ModelConfig { price, ..ModelConfig::default() });
    config.store = Some(StoreConfig::new(file()));
    let runtime = start(config.clone()).await;
    for _ in 0..4 {
        runtime.chat(ask("one two three four five six")).await.expect("an answer");
    }
    let spent: f64 = runtime.totals().iter().map(|(_, totals)| totals.cost_usd).sum();
    assert!(spent > 0.0);
    let day = BudgetConfig::dollars(spent * 1.01, Period::Day);
    config.budgets.insert("day".to_owned(), day);
    runtime.reconfigure(config).await.expect("a reload");
    let known = &runtime.health().budgets[0];
    assert!((known.budget.spent.number() - spent).abs() < 1e-6, "{known:?}");
    let refused = runtime.chat(ask("one more")).await.expect_err("it is as good as spent");
    assert!(matches!(refused, Error::OverBudget { .. }), "{refused}");
}

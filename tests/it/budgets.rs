//! Budgets: limits, accounts, and how calls are treated once they are spent.

use std::time::Duration;

use standin::config::{BudgetConfig, BudgetScope, OnSpent, Period, PriceConfig};
use standin::testing::{Crash, Fault, ProviderError, Script, Scripted, crash};
use standin::{Amount, ChatRequest, Config, Error, Event, ModelConfig, OverBudget, Runtime};

use super::kit::{config_with, settle, start, unhurried, words};

/// A dollar for a thousand tokens of an answer; prompts cost nothing.
fn priced(providers: &[Scripted]) -> Config {
    let price = Some(PriceConfig::new(0.0, 1_000.0));
    config_with(providers, &ModelConfig { price, ..ModelConfig::default() })
}

fn providers(count: usize, script: &Script) -> Vec<Scripted> {
    (0..count).map(|_| Scripted::new(script.clone())).collect()
}

fn with(mut config: Config, budgets: impl IntoIterator<Item = (&'static str, BudgetConfig)>) -> Config {
    config.budgets = budgets.into_iter().map(|(name, budget)| (name.to_owned(), budget)).collect();
    config
}

/// A call of a team, whose answer has this many tokens at most.
fn ask(team: &str, tokens: u32) -> ChatRequest {
    let mut request = ChatRequest::new("smart").user(words(12));
    request.tags.insert("team".to_owned(), team.to_owned());
    request.output_tokens_max = Some(tokens);
    request
}

fn over(error: Error) -> OverBudget {
    match error {
        Error::OverBudget { budget, .. } => *budget,
        other => panic!("{other}"),
    }
}

fn spent(runtime: &Runtime) -> f64 {
    runtime.totals().iter().map(|(_, totals)| totals.cost_usd).sum()
}

#[tokio::test(start_paused = true)]
async fn whose_budget_is_spent_is_refused_and_told_which_how_much_and_when_it_renews() {
    let teams = BudgetConfig::dollars(0.02, Period::Day).of(BudgetScope::Tag("team".into(), None));
    let providers = providers(1, &Script::default());
    let runtime = start(with(priced(&providers), [("teams", teams)])).await;
    let mut answered = 0;
    let why = loop {
        match runtime.chat(ask("red", 10)).await {
            Ok(_) => answered += 1,
            Err(error) => break over(error),
        }
        assert!(answered < 100, "it is never spent");
    };
    assert!(answered >= 1);
    assert_eq!((&*why.budget, why.of.as_str(), why.limit), ("teams", "team red", Amount::Dollars(0.02)));
    assert!(why.renews_in.is_some_and(|wait| wait <= Duration::from_secs(86_400)), "{why}");
    assert!(spent(&runtime) <= 0.02 + 1e-9, "{}", spent(&runtime));
    assert!(runtime.chat(ask("blue", 10)).await.is_ok(), "another team has its own");
    let received = providers[0].counts().received;
    assert!(runtime.chat(ask("red", 10)).await.is_err());
    assert_eq!(providers[0].counts().received, received, "nothing was sent");
    let health = runtime.health();
    let red = health.budgets.iter().find(|account| account.budget.of == "team red").expect("its purse");
    assert_eq!(red.reserved, Amount::Dollars(0.0));
    assert!(red.budget.spent.number() > 0.0, "{red:?}");
}

#[tokio::test]
async fn a_hundred_calls_at_once_stay_within_their_budget_and_nothing_stays_reserved() {
    let providers = providers(2, &unhurried());
    providers[0].always(Fault::CutAfter(2));
    let budget = BudgetConfig::dollars(0.1, Period::Month);
    let runtime = start(with(priced(&providers), [("all", budget)])).await;
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let runtime = runtime.clone();
            tokio::spawn(async move { runtime.chat(ask("red", 8)).await })
        })
        .collect();
    let (mut answered, mut refused) = (0, 0);
    for call in calls {
        match call.await.expect("no panic") {
            Ok(_) => answered += 1,
            Err(Error::OverBudget { .. }) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(answered > 0 && refused > 0, "{answered} {refused}");
    // No answer is longer than its reservation.
    assert!(spent(&runtime) <= 0.1 + 1e-9, "{}", spent(&runtime));
    let account = runtime.health().budgets.remove(0);
    assert!((account.budget.spent.number() - spent(&runtime)).abs() < 1e-6, "{account:?}");
    assert_eq!(account.reserved, Amount::Dollars(0.0));
}

#[tokio::test(start_paused = true)]
async fn a_reservation_is_released_after_every_end_of_its_attempt() {
    let providers = providers(1, &unhurried());
    let runtime = start(with(priced(&providers), [("all", BudgetConfig::tokens(1_000_000, Period::Day))])).await;
    let reserved = |runtime: &Runtime| runtime.health().budgets[0].reserved.number();
    // Its caller leaves; it crashes; its provider is full of failures.
    let stream = runtime.stream(ask("red", 100)).await.expect("a stream");
    settle().await;
    assert!(reserved(&runtime) > 0.0);
    drop(stream);
    crash(&runtime, Crash::Attempts(1));
    let _ = runtime.chat(ask("red", 100)).await;
    providers[0].next(3, Fault::Error(ProviderError::Overloaded));
    let _ = runtime.chat(ask("red", 100)).await;
    settle().await;
    assert_eq!(reserved(&runtime), 0.0);
}

#[tokio::test(start_paused = true)]
async fn a_cheaper_target_serves_where_a_dearer_one_does_not_fit_and_one_without_a_price_does_not() {
    let providers = providers(3, &Script::default());
    let mut config = with(priced(&providers), [("all", BudgetConfig::dollars(0.05, Period::Day))]);
    let price = |name: &str, config: &mut Config, price| {
        let model = config.providers.get_mut(name).and_then(|provider| provider.models.get_mut("m"));
        model.expect("a model").price = price;
    };
    price("a", &mut config, None);
    price("b", &mut config, Some(PriceConfig::new(0.0, 1e6)));
    price("c", &mut config, Some(PriceConfig::new(0.0, 0.0)));
    let runtime = start(config.clone()).await;
    for _ in 0..20 {
        let reply = runtime.chat(ask("red", 100)).await.expect("an answer");
        assert_eq!(&*reply.finished.target.provider, "c");
    }
    config.routes.get_mut("smart").expect("a route").targets.truncate(1);
    let runtime = start(config).await;
    let why = over(runtime.chat(ask("red", 100)).await.expect_err("its price is not known"));
    assert!(why.unpriced, "{why}");
}

#[tokio::test(start_paused = true)]
async fn an_event_is_published_at_half_at_four_fifths_and_at_all_of_it() {
    let providers = providers(1, &Script::default());
    let budget = BudgetConfig::dollars(0.05, Period::Week).on_spent(OnSpent::Warn);
    let runtime = start(with(priced(&providers), [("week", budget)])).await;
    let mut events = runtime.subscribe();
    for _ in 0..30 {
        runtime.chat(ask("red", 10)).await.expect("it only warns");
    }
    let mut told = Vec::new();
    while let Some(event) = events.try_next() {
        if let Event::Budget { budget, share } = event {
            assert_eq!(&*budget.budget, "week");
            told.push(share);
        }
    }
    assert!(told.ends_with(&[100]) && told.is_sorted() && told.len() <= 3, "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_soft_budget_sends_calls_to_cheaper_targets_once_it_is_spent() {
    for on_spent in [OnSpent::LeastCost, OnSpent::PriceMax(0.000_001)] {
        let providers = providers(2, &Script::default());
        let mut config =
            with(priced(&providers), [("soft", BudgetConfig::dollars(0.02, Period::Day).on_spent(on_spent))]);
        let cheap = config.providers.get_mut("b").and_then(|provider| provider.models.get_mut("m"));
        cheap.expect("a model").price = Some(PriceConfig::new(0.0, 0.000_1));
        let runtime = start(config).await;
        let mut asked = Vec::new();
        for _ in 0..20 {
            asked.push(runtime.chat(ask("red", 10)).await.expect("an answer").finished.target.provider);
        }
        assert_eq!((&*asked[0], &**asked.last().expect("one")), ("a", "b"), "{on_spent:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn budgets_change_with_the_configuration_and_keep_what_is_spent() {
    let providers = providers(1, &Script::default());
    let config = |dollars| with(priced(&providers), [("all", BudgetConfig::dollars(dollars, Period::Month))]);
    let runtime = start(config(0.02)).await;
    while runtime.chat(ask("red", 10)).await.is_ok() {}
    let before = spent(&runtime);
    runtime.reconfigure(config(10.0)).await.expect("a good configuration");
    assert!(runtime.chat(ask("red", 10)).await.is_ok());
    let account = runtime.health().budgets.remove(0);
    assert!(account.budget.spent.number() > before - 1e-9, "{account:?}");
    runtime.reconfigure(priced(&providers)).await.expect("a good configuration");
    assert!(runtime.health().budgets.is_empty());
}

#[cfg(feature = "store")]
#[tokio::test]
async fn a_runtime_that_is_started_anew_goes_on_with_what_was_spent() {
    let file = std::env::temp_dir().join(format!("standin-budgets-{}.db", std::process::id()));
    let providers = providers(1, &Script::default());
    let mut config = with(
        priced(&providers),
        [
            ("all", BudgetConfig::dollars(0.02, Period::Month)),
            (
                "team",
                BudgetConfig::dollars(0.02, Period::Window(Duration::from_secs(86_400)))
                    .of(BudgetScope::Tag("team".into(), None)),
            ),
            ("tokens", BudgetConfig::tokens(1_000_000, Period::Day).of(BudgetScope::Route(None))),
        ],
    );
    config.store = Some(standin::config::StoreConfig::new(&file));
    let runtime = start(config.clone()).await;
    while runtime.chat(ask("red", 10)).await.is_ok() {}
    let accounts = |runtime: &Runtime| {
        let mut accounts: Vec<_> = runtime
            .health()
            .budgets
            .into_iter()
            .map(|one| (one.budget.budget, one.budget.of, one.budget.spent))
            .collect();
        accounts.sort_by(|one, other| (&one.0, &one.1).cmp(&(&other.0, &other.1)));
        accounts
    };
    let before = accounts(&runtime);
    assert_eq!(before.len(), 3, "{before:?}");
    runtime.drain(Duration::from_secs(5)).await;
    drop(runtime);
    let runtime = start(config).await;
    assert_eq!(accounts(&runtime), before);
    let why = over(runtime.chat(ask("red", 10)).await.expect_err("it was spent before"));
    assert_eq!(&*why.budget, "all");
    drop(runtime);
    for ending in ["", "-wal", "-shm", "-lock"] {
        let _ = std::fs::remove_file(format!("{}{ending}", file.display()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_may_wait_does_not_wait_for_money() {
    let providers = providers(1, &Script::default());
    let mut config = with(priced(&providers), [("all", BudgetConfig::dollars(0.005, Period::Month))]);
    config.routes.get_mut("smart").expect("a route").failover.on_exhausted = None;
    config.failover.on_exhausted = standin::OnExhausted::Wait;
    let runtime = start(config).await;
    let asked = tokio::time::Instant::now();
    let mut request = ask("red", 1_000);
    request.deadline = Some(Duration::from_secs(3_600));
    let why = over(runtime.chat(request).await.expect_err("it costs more than there is"));
    assert_eq!(&*why.budget, "all");
    assert!(asked.elapsed() < Duration::from_secs(60), "{:?}", asked.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_price_of_a_call_holds_over_all_its_attempts() {
    // An answer of ten tokens costs a cent; the first breaks off after eight of them.
    for (price_max, is_answered) in [(0.012, false), (0.03, true)] {
        let providers = providers(2, &unhurried());
        providers[0].always(Fault::CutAfter(8));
        let mut config = priced(&providers);
        config.routes.get_mut("smart").expect("a route").options.price_max = Some(price_max);
        let runtime = start(config).await;
        match runtime.chat(ask("red", 10)).await {
            Ok(reply) => {
                assert!(is_answered, "{:?}", reply.finished.attempts);
                assert_eq!(reply.finished.attempts.len(), 2);
            }
            Err(error) => {
                assert!(!is_answered && error.attempts().len() == 1, "{error}");
                let why = over(error);
                assert_eq!((&*why.budget, why.limit), ("price_max", Amount::Dollars(price_max)));
                assert!((0.004..=0.012).contains(&why.spent.number()), "{why}");
            }
        }
        assert!(spent(&runtime) <= price_max);
    }
}

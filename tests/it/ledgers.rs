//! What is kept of a running process: its books, whichever ended first, and whatever becomes of their file.

use std::time::Duration;

use standin::config::{BudgetConfig, Period, PriceConfig, StoreConfig};
use standin::runtime::{GroupBy, Question};
use standin::testing::{Fault, Latency, Script, Scripted};
use standin::{ChatRequest, Config, Error, Hedging, Image, Message, ModelConfig, Runtime, UserPart};

use super::kit::{Folder, MS, S, ask, config_with, start, unhurried, words};

/// A store in a folder of its own, and what everything costs.
fn kept(folder: &Folder, scripts: &[Scripted], edit: impl FnOnce(&mut Config)) -> Config {
    let price = Some(PriceConfig::new(10.0, 1_000.0));
    let mut config = config_with(scripts, &ModelConfig { price, ..ModelConfig::default() });
    config.store = Some(StoreConfig::new(folder.file("standin.db")));
    edit(&mut config);
    config
}

/// Returns the dollars of each outcome, and those of all attempts, in billionths.
async fn money(runtime: &Runtime) -> (Vec<(String, i64)>, i64) {
    let outcomes = runtime.ledger(Question::by(GroupBy::Outcome)).await.expect("a ledger");
    let attempts = runtime.ledger(Question::by(GroupBy::All)).await.expect("a ledger");
    let mut lines: Vec<_> = outcomes.lines.iter().map(|line| (line.of.clone(), line.cost)).collect();
    lines.sort();
    let all = runtime.recent().iter().map(|flight| flight.cost_usd).sum::<f64>();
    assert!((all - attempts.sum.cost_usd()).abs() < 1e-9, "{all} {lines:?}");
    assert_eq!(outcomes.sum.cost, attempts.sum.cost, "{lines:?}");
    assert_eq!(outcomes.sum.wasted, attempts.sum.wasted, "{lines:?}");
    assert!(runtime.recent().iter().all(|flight| flight.attempts > 0));
    (lines, attempts.sum.cost)
}

/// Waits until an attempt has sent something of its answer.
async fn until_heard(runtime: &Runtime, text: &str) -> standin::ReplyStream {
    let mut stream = runtime.stream(ask(text)).await.expect("a stream");
    for _ in 0..3 {
        let event = tokio::time::timeout(10 * S, stream.next()).await.expect("it is told");
        event.expect("it goes on").expect("it is well");
    }
    stream
}

#[tokio::test]
async fn the_money_of_each_outcome_is_that_of_its_attempts_whichever_ended_first() {
    let folder = Folder::new();
    let slow = Script { per_token: 50 * MS, ..unhurried() };
    let providers = [Scripted::new(slow), Scripted::new(unhurried())];
    let runtime = start(kept(&folder, &providers, |_| {})).await;
    let long = words(200);
    // Answered; its caller leaves in the middle; its deadline passes; both targets fail.
    runtime.chat(ask("hello")).await.expect("an answer");
    drop(until_heard(&runtime, &long).await);
    let late = runtime.chat(ask(&long).deadline(600 * MS)).await.expect_err("too slow");
    assert!(matches!(late, Error::DeadlineExceeded { .. } | Error::Interrupted { .. }), "{late}");
    for provider in &providers {
        provider.next(4, Fault::CutAfter(3));
    }
    let _ = runtime.chat(ask(&long)).await;
    // A holder ends it.
    let call = runtime.submit(ask(&long)).await.expect("accepted");
    let mut events = call.stream_from(0);
    for _ in 0..2 {
        events.next().await.expect("it goes on").expect("it is well");
    }
    call.cancel();
    let _ = tokio::time::timeout(5 * S, call.wait()).await;
    // The runtime stops.
    let stops = until_heard(&runtime, &long).await;
    runtime.drain(Duration::ZERO).await;
    drop(stops);
    let (lines, all) = money(&runtime).await;
    let cost = |outcome: &str| lines.iter().find(|(of, _)| of == outcome).map_or(0, |(_, cost)| *cost);
    for outcome in ["answered", "caller_left", "cancelled", "draining"] {
        assert!(cost(outcome) > 0, "{outcome}: {lines:?}");
    }
    assert_eq!(lines.iter().map(|(_, cost)| cost).sum::<i64>(), all);
}

/// Asks about two images at once, and returns how many of these calls are sent before one of them is answered.
async fn images_at_once(runtime: &Runtime, provider: &Scripted) -> u64 {
    let before = provider.received();
    let ask = async || {
        let image = Image::Base64 { media_type: "image/png".into(), data: "iVBORw0KGgo=".into() };
        let parts = vec![UserPart::Text("What is it?".into()), UserPart::Image(image)];
        let request = ChatRequest::new("smart").message(Message::User(parts));
        let request = ChatRequest { output_tokens_max: Some(10), ..request };
        runtime.submit(request).await.expect("accepted")
    };
    let calls = [ask().await, ask().await];
    tokio::time::sleep(200 * MS).await;
    let sent = provider.received() - before;
    for call in calls {
        let _ = call.wait().await;
    }
    sent
}

#[tokio::test]
async fn what_was_billed_for_images_and_what_is_named_is_known_after_a_restart() {
    let folder = Folder::new();
    let slow = Script { first_token: Latency::Fixed(500 * MS), ..unhurried() };
    let providers = [Scripted::new(slow)];
    // One image may be larger than that.
    let config = kept(&folder, &providers, |config| {
        config.budgets.insert("all".to_owned(), BudgetConfig::tokens(40_000, Period::Day));
        config.failover.hedging = Some(Hedging::Sequential);
    });
    let at_once = async |config: Config| {
        let runtime = start(config).await;
        let sent = [images_at_once(&runtime, &providers[0]).await, images_at_once(&runtime, &providers[0]).await];
        runtime.drain(S).await;
        sent
    };
    assert_eq!(at_once(config.clone()).await, [1, 2], "one by one, until one was billed");
    assert_eq!(at_once(config.clone()).await, [2, 2]);
    // Another address is another provider.
    let mut other = config;
    other.providers.get_mut("a").expect("configured").base_url = Some("http://other.test/v1".into());
    assert_eq!(at_once(other).await, [1, 2]);
}

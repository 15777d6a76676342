//! How calls end: each end has one name, in the ledger, in the metrics and in the log, and its call is found by its id.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use standin::config::StoreConfig;
use standin::drill::Drill;
use standin::runtime::{GroupBy, Question, ask_file};
use standin::testing::{Fault, ProviderError, Script};

use super::child::{Served, free, program};
use super::http::{self, Caller, Exchange, PATIENCE};
use super::{Stage, stage_with};
use crate::kit::Folder;

const SAID: &str = "one two three four";

async fn hangs_up(to: SocketAddr, stream: bool, caller: Caller) -> Exchange {
    http::begin(to, caller, "a", SAID, stream, &[]).await
}

/// Begins an answer in the background, and returns its id.
async fn in_background(to: SocketAddr) -> String {
    let body = json!({"model": "a", "input": SAID, "background": true}).to_string();
    let begun = Exchange::begin(to, "POST", "/v1/responses", &[], &body).await.end().await;
    assert_eq!(begun.status, 200, "{begun:?}");
    begun.json()["id"].as_str().expect("an id").to_owned()
}

async fn cancel(to: SocketAddr, id: &str) {
    let cancelled = Exchange::begin(to, "POST", &format!("/v1/responses/{id}/cancel"), &[], "").await.end().await;
    assert_eq!(cancelled.json()["status"], "cancelled", "{cancelled:?}");
}

/// Lines of a statement: what, and how many.
fn lines(file: &std::path::Path, by: GroupBy) -> Vec<(String, u64)> {
    let statement = ask_file(file, &Question::by(by)).expect("a statement");
    let mut lines: Vec<_> = statement.lines.into_iter().map(|line| (line.of, line.attempts)).collect();
    lines.sort();
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn every_end_of_a_call_has_its_own_name_in_the_ledger_and_the_metrics() {
    let folder = Folder::new();
    let file = folder.file("standin.db");
    let stage: Stage = stage_with(1, Script::default(), |settings| {
        settings.runtime.store = Some(StoreConfig::new(&file));
    })
    .await;
    let (to, drill) = (stage.sidecar.address(), stage.drills[0].handle());
    let received = async |count: u64| stage.until(0, |counts| counts.received == count).await;
    let idle = async || super::until(|| stage.sidecar.runtime().health().calls == 0).await;
    // Its provider breaks it off, in two ways, after it has begun.
    for fault in [Fault::CutAfter(2), Fault::ErrorEvent { after: 2 }] {
        drill.next(1, fault);
        let answer = http::ask(to, Caller::Chat, "a", SAID, true).await;
        assert!(!answer.is_whole, "{answer:?}");
    }
    // Its caller leaves: before the answer, and within it.
    drill.next(1, Fault::Hang);
    let exchange = hangs_up(to, false, Caller::Chat).await;
    received(3).await;
    drop(exchange);
    idle().await;
    drill.next(1, Fault::StallAfter(2));
    let mut exchange = hangs_up(to, true, Caller::Chat).await;
    exchange.until(|seen| seen.contains("two")).await;
    drop(exchange);
    idle().await;
    // Who holds it ends it: before the answer, and within it.
    for fault in [Fault::Hang, Fault::StallAfter(2)] {
        let before = stage.counts(0).received;
        drill.next(1, fault);
        let id = in_background(to).await;
        received(before + 1).await;
        cancel(to, &id).await;
        idle().await;
    }
    // Its time is up.
    drill.next(1, Fault::Hang);
    let late = http::ask_with(to, Caller::Chat, "a", SAID, false, &[("x-standin-deadline", "0.3")]).await;
    assert_eq!(late.status, 504, "{late:?}");
    let metrics = http::get(to, "/metrics").await.body;
    let counted = |family: &str, outcome: &str| {
        let of = |line: &&str| line.starts_with(family) && line.contains(&format!("outcome=\"{outcome}\""));
        let counts = metrics.lines().filter(of).filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        counts.sum::<u64>()
    };
    for (outcome, calls) in [("interrupted", 2), ("caller_left", 2), ("cancelled", 2), ("deadline_exceeded", 1)] {
        assert_eq!(counted("standin_calls_total", outcome), calls, "{outcome}: {metrics}");
    }
    for (end, attempts) in [("cut", 1), ("server", 1), ("caller_left", 2), ("cancelled", 2), ("call_ended", 1)] {
        assert_eq!(counted("standin_attempts_total", end), attempts, "{end}: {metrics}");
    }
    // The runtime stops.
    drill.next(1, Fault::Hang);
    let exchange = hangs_up(to, false, Caller::Chat).await;
    received(8).await;
    let Stage { sidecar, drills, settings: _ } = stage;
    assert_eq!(sidecar.stop(Duration::ZERO).await, 1);
    assert_eq!(exchange.end().await.status, 503);
    drop(drills);
    let counts = |all: &[(&str, u64)]| all.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect::<Vec<_>>();
    assert_eq!(
        lines(&file, GroupBy::Outcome),
        counts(&[("caller_left", 2), ("cancelled", 2), ("deadline_exceeded", 1), ("draining", 1), ("interrupted", 2)])
    );
    assert_eq!(
        lines(&file, GroupBy::Waste),
        counts(&[("abandoned", 2), ("call ended", 1), ("cancelled", 2), ("cut off", 1), ("failed", 1), ("stopped", 1)])
    );
    assert_eq!(
        lines(&file, GroupBy::Failure),
        counts(&[("call_ended", 1), ("caller_left", 2), ("cancelled", 2), ("cut", 1), ("server", 1), ("stopped", 1)])
    );
}

/// The lines of calls in a log of JSON.
fn calls(log: &str) -> Vec<Value> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["target"] == "standin::calls").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_names_the_call_and_its_route_at_every_end_and_why_finds_it() {
    let (_, folder) = program("ends");
    let _ = fs::remove_file(folder.join("standin.db"));
    let drill = Drill::start(Script::default()).await.expect("a drill");
    let address = free();
    let text = format!(
        "calls_max = 1\nqueue_max = 1\n[server]\nlisten = \"{address}\"\nkeep_alive = \"100ms\"\n[store]\npath = \"standin.db\"\n\
         [providers.a]\nbase_url = \"http://{}/v1\"\nmodels = {{ m = {{ price = {{ input = 1.0, output = 1.0 }} }} }}\n[routes.a]\ntargets = [\"a/m\"]\n\
         [routes.less]\ntargets = [\"a/m\"]\nfailover = {{ on_exhausted = \"degrade\" }}\ndegrade = [{{ text = \"Later.\" }}]\n",
        drill.address()
    );
    fs::write(folder.join("given.toml"), text).expect("a file");
    let log = folder.join("log");
    let served = Served::start_at("ends", address, &["--config", "given.toml", "--log", "json"], |command| {
        command.stderr(File::create(&log).expect("a file"));
    });
    let handle = drill.handle();
    let ended = async |count: usize| {
        let waiting = async {
            loop {
                let calls = calls(&fs::read_to_string(&log).expect("a log"));
                if calls.len() >= count {
                    assert_eq!(calls.len(), count, "{calls:?}");
                    break calls.last().cloned().unwrap_or_default();
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("a line")
    };
    let asked = async |count: u64| super::until(|| handle.counts().received == count).await;
    let mut count = 0;
    let mut check = async |outcome: &str, route: &str| {
        let sent = !matches!(outcome, "overloaded" | "degraded");
        count += 1;
        let line = ended(count).await;
        assert_eq!((line["outcome"].as_str(), line["route"].as_str()), (Some(outcome), Some(route)), "{line}");
        let call = line["call"].as_str().unwrap_or_else(|| panic!("no id: {line}"));
        let has_cost = line["cost_usd"].as_f64().is_some_and(|cost| cost > 0.0);
        assert_eq!(has_cost, sent && line["attempts"] != "", "what was sent has a cost: {line}");
        let page = http::get(address, &format!("/why/{call}")).await;
        assert_eq!((page.status, page.json()["call"].as_str()), (200, Some(call)), "{page:?}");
    };
    http::ask(address, Caller::Chat, "a", SAID, false).await;
    check("ok", "a").await;
    for stream in [false, true] {
        for caller in Caller::ALL {
            handle.next(1, Fault::Hang);
            let before = handle.counts().received;
            let exchange = hangs_up(address, stream, caller).await;
            asked(before + 1).await;
            drop(exchange);
            check("caller_left", "a").await;
        }
    }
    handle.next(1, Fault::StallAfter(2));
    let mut exchange = hangs_up(address, true, Caller::Chat).await;
    exchange.until(|seen| seen.contains("two")).await;
    drop(exchange);
    check("caller_left", "a").await;
    handle.next(1, Fault::CutAfter(2));
    http::ask(address, Caller::Chat, "a", SAID, true).await;
    check("interrupted", "a").await;
    handle.next(1, Fault::Hang);
    let before = handle.counts().received;
    let id = in_background(address).await;
    asked(before + 1).await;
    // One that waits for a place: it leaves before it is sent, and its time is up.
    let waits = hangs_up(address, false, Caller::Chat).await;
    super::until(|| handle.counts().received == before + 1).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(waits);
    check("caller_left", "a").await;
    http::ask_with(address, Caller::Chat, "a", SAID, false, &[("x-standin-deadline", "0.3")]).await;
    check("overloaded", "a").await;
    cancel(address, &id).await;
    check("cancelled", "a").await;
    // By the id of its response it is the same call.
    let page = http::get(address, &format!("/why/{id}")).await;
    assert!(page.json()["told"].as_str().expect("a page").contains("a holder of the call ended it"), "{page:?}");
    handle.next(1, Fault::Error(ProviderError::Unauthorised));
    http::ask(address, Caller::Chat, "less", SAID, false).await;
    check("degraded", "less").await;
    drop(served);
}

#[tokio::test(flavor = "multi_thread")]
async fn why_finds_a_call_by_the_id_of_its_response_and_says_which_id_it_wants() {
    let stage = stage_with(2, Script::default(), |_| {}).await;
    let to = stage.sidecar.address();
    for stream in [false, true] {
        let answer = http::ask(to, Caller::Responses, "b", SAID, stream).await;
        let response = if stream { http::events(&answer.body)[0]["response"].clone() } else { answer.json() };
        let id = response["id"].as_str().expect("an id");
        let page = http::get(to, &format!("/why/{id}")).await;
        assert_eq!(page.status, 200, "{id}: {page:?}");
        assert!(page.json()["told"].as_str().expect("a page").contains("answered by attempt 1"), "{page:?}");
        if !stream {
            assert_eq!(page.json()["call"].as_str(), answer.header("x-standin-call"));
        }
    }
    for (id, says) in [
        ("resp_00000000000000070000000000000007", "no call of this id is remembered"),
        ("0000000000000007-7", "no call of this id is remembered"),
        ("resp_67ccd3a9da748190baa7f1570fe91ac67ccd3a9da748190b", "this is no id of a call"),
        ("chatcmpl-1", "this is no id of a call, as 5f3a9c01d2e4b687-17: that stands in the header `x-standin-call`"),
    ] {
        let none = http::get(to, &format!("/why/{id}")).await;
        let said = none.json()["error"].as_str().expect("words").to_owned();
        assert!(none.status == 404 && said.starts_with(says), "{id}: {said}");
    }
}

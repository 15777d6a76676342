//! The ledger, by the program, the operators' address and a Rust program.

use std::path::PathBuf;

use serde_json::json;
use standin::config::StoreConfig;
use standin::runtime::{By, LedgerError, Question};
use standin::sidecar::{ClientKey, Hash};
use standin::testing::{Fault, ProviderError, Script};

use super::child::program;
use super::http::{self, Caller, Exchange};
use super::{Stage, stage, stage_with};

/// A sidecar with a store in a new file.
async fn keeping(name: &str) -> (Stage, PathBuf) {
    let (_, folder) = program(name);
    for ending in ["", "-wal", "-shm", "-lock"] {
        let _ = std::fs::remove_file(folder.join(format!("kept.db{ending}")));
    }
    let file = folder.join("kept.db");
    let stage = stage_with(2, Script::default(), |settings| {
        settings.runtime.store = Some(StoreConfig::new(&file));
        let key = |name: &str, operator| ClientKey {
            name: name.into(),
            sha256: Hash::of(name),
            routes: Vec::new(),
            requests_per_minute: None,
            operator,
        };
        settings.server.keys = vec![key("agent", false), key("ops", true)];
    })
    .await;
    (stage, file)
}

const OPERATOR: [(&str, &str); 1] = [("authorization", "Bearer ops")];

async fn ask(stage: &Stage, team: &str) -> http::Response {
    let headers =
        [("authorization", "Bearer agent"), ("x-standin-tag-team", team), ("content-type", "application/json")];
    let (path, body) = Caller::Chat.ask("smart", "Hi", false);
    Exchange::begin(stage.sidecar.address(), "POST", &path, &headers, &body.to_string()).await.end().await
}

async fn get(stage: &Stage, path: &str) -> http::Response {
    Exchange::begin(stage.sidecar.address(), "GET", path, &OPERATOR, "").await.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_spent_is_told_by_the_program_the_door_and_the_runtime_and_equals_what_was_billed() {
    let (stage, file) = keeping("ledger").await;
    stage.drills[0].handle().next(3, Fault::Error(ProviderError::Unavailable));
    for team in ["red", "red", "blue", "red", "blue"] {
        assert_eq!(ask(&stage, team).await.status, 200);
    }
    let runtime = stage.sidecar.runtime();
    let statement = runtime.ledger(Question::by(By::Target)).await.expect("a statement");
    let billed: u64 = (0..2).map(|drill| stage.counts(drill).answered).sum();
    let received: u64 = (0..2).map(|drill| stage.counts(drill).received).sum();
    assert_eq!((statement.sum.answers, statement.sum.attempts), (billed, received));
    for (target, totals) in runtime.totals() {
        let line = statement.lines.iter().find(|line| line.of == target.to_string()).expect("its line");
        assert!((line.cost_usd() - totals.cost_usd).abs() < 1e-8, "{line:?} {totals:?}");
        assert_eq!((line.attempts, line.usage.output), (totals.attempts, totals.output_tokens));
    }
    let teams = get(&stage, "/ledger?by=tag:team&since=1d").await.json();
    let answers: Vec<_> =
        teams["lines"].as_array().expect("lines").iter().map(|line| (&line["of"], &line["answers"])).collect();
    assert_eq!(answers, [(&json!("red"), &json!(3)), (&json!("blue"), &json!(2))]);
    assert_eq!(get(&stage, "/ledger?by=client").await.json()["lines"][0]["of"], "agent");
    assert_eq!(get(&stage, "/ledger?by=failure").await.json()["lines"][0]["of"], "overloaded");
    for bad in ["by=colour", "since=soon", "lines=0", "what=1"] {
        let refused = get(&stage, &format!("/ledger?{bad}")).await;
        assert_eq!(refused.status, 400, "{bad}: {refused:?}");
    }
    let health = get(&stage, "/health").await.json();
    assert_eq!((&health["store"]["problem"], &health["store"]["lost"]), (&json!(null), &json!(0)));
    let metrics = get(&stage, "/metrics").await.body;
    assert!(
        metrics.contains("standin_store_failing 0")
            && metrics.contains("standin_records_lost_total{observer=\"store\"} 0")
    );

    let address = stage.sidecar.address().to_string();
    let run = |arguments: &[&str]| {
        let (mut command, _) = program("ledger");
        let output = command.arg("ledger").args(arguments).output().expect("it runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let file = file.to_string_lossy().into_owned();
    let door = ["--admin", address.as_str(), "--key", "ops"];
    let asked = tokio::task::block_in_place(|| run(&[&["--by", "tag:team", "--csv"], &door[..]].concat()));
    let read = run(&["--by", "tag:team", "--csv", "--file", &file]);
    assert_eq!(asked, read);
    assert_eq!(
        read.lines().map(|line| line.split(',').take(3).collect::<Vec<_>>()).collect::<Vec<_>>(),
        [["of", "attempts", "answers"], ["red", "5", "3"], ["blue", "3", "2"],]
    );
    let table = run(&["--by", "route", "--file", &file, "--since", "7d"]);
    assert!(table.starts_with("route ") && table.contains("smart "), "{table}");
    assert!(run(&["--file", &file, "--verify"]).starts_with("the file is whole: 8 attempts and 5 calls"));
}

#[tokio::test]
async fn a_runtime_that_keeps_nothing_has_no_ledger_and_says_so() {
    let stage = stage(1).await;
    let nothing = http::get(stage.sidecar.address(), "/ledger").await;
    assert_eq!(
        (nothing.status, nothing.json()["error"].as_str()),
        (404, Some("nothing is kept: the configuration has no [store]"))
    );
    let asked = stage.sidecar.runtime().ledger(Question::by(By::All)).await;
    assert!(matches!(asked, Err(LedgerError::NotKept)));
    assert!(http::get(stage.sidecar.address(), "/health").await.json()["store"].is_null());
}

#[test]
fn a_second_process_on_one_file_is_refused_and_told_whose_it_is() {
    let (mut command, folder) = program("second");
    let text = "[server]\nlisten = \"127.0.0.1:0\"\n[store]\npath = \"kept.db\"\n[providers.a]\nbase_url = \
                \"http://127.0.0.1:1/v1\"\nmodels.m = {}\n";
    std::fs::write(folder.join("kept.toml"), text).expect("a file");
    let first = super::child::Served::start("second", &["--config", "kept.toml"], |_| {});
    let second = command.args(["serve", "--config", "kept.toml"]).output().expect("it runs");
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(2), "{said}");
    assert!(said.contains("store.path: kept.db is kept by process"), "{said}");
    drop(first);
}

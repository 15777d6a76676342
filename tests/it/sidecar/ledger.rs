//! The ledger, by the program, the operators' address and a Rust program.

use std::path::PathBuf;

use serde_json::json;
use standin::config::StoreConfig;
use standin::runtime::{GroupBy, LedgerError, Question};
use standin::sidecar::ClientKey;
use standin::testing::{Fault, ProviderError, Script};

use super::child::program;
use super::http::{self, Caller, Exchange};
use super::{Stage, open_key, stage, stage_with};

/// A sidecar with a store in a new file.
async fn keeping(name: &str) -> (Stage, PathBuf) {
    let (_, folder) = program(name);
    for ending in ["", "-wal", "-shm", "-lock"] {
        let _ = std::fs::remove_file(folder.join(format!("kept.db{ending}")));
    }
    let file = folder.join("kept.db");
    let stage = stage_with(2, Script::default(), |settings| {
        settings.runtime.store = Some(StoreConfig::new(&file));
        let key = |name, operator| ClientKey { operator, ..open_key(name) };
        settings.server.keys = vec![key("agent", false), key("ops", true)];
    })
    .await;
    (stage, file)
}

const OPERATOR: [(&str, &str); 1] = [("authorization", "Bearer ops")];

async fn ask(stage: &Stage, team: &str) -> http::Response {
    ask_at(stage, "smart", team).await
}

async fn ask_at(stage: &Stage, route: &str, team: &str) -> http::Response {
    let headers =
        [("authorization", "Bearer agent"), ("x-standin-tag-team", team), ("content-type", "application/json")];
    let (path, body) = Caller::Chat.ask(route, "Hi", false);
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
    let statement = runtime.ledger(Question::by(GroupBy::Target)).await.expect("a statement");
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
    let outcomes = get(&stage, "/ledger?by=outcome").await.json();
    assert_eq!((&outcomes["sum"]["calls"], &outcomes["sum"]["attempts"]), (&json!(5), &json!(null)));
    for bad in ["by=colour", "since=soon", "lines=0", "what=1", "since=1h&until=2h"] {
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
    let outcomes = run(&["--by", "outcome", "--file", &file]);
    assert!(outcomes.lines().next().is_some_and(|head| head.contains(" calls ")), "{outcomes}");
    assert!(run(&["--file", &file, "--verify"]).starts_with("the file is whole: 8 attempts and 5 calls"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_provider_says_of_its_use_is_put_beside_what_is_kept_of_it() {
    let (stage, file) = keeping("reconcile").await;
    for _ in 0..5 {
        assert_eq!(ask(&stage, "red").await.status, 200);
    }
    let statement = stage.sidecar.runtime().ledger(Question::by(GroupBy::DayTarget)).await.expect("a statement");
    let [line] = &statement.lines[..] else { panic!("{statement:?}") };
    let (day, target) = line.of.split_once(' ').expect("a day and a target");
    let (provider, model) = target.split_once('/').expect("a target");
    let (input, output, cost) = (line.usage.input, line.usage.output, line.cost_usd());
    let (mut command, folder) = program("reconcile");
    let export = folder.join("usage.csv");
    let text = format!(
        "day,model,input,output,cost\n{day},{model},{input},{},{cost}\n{day},claude-haiku-4-5,7,8,0.5\n",
        output + 3
    );
    std::fs::write(&export, text).expect("a file");
    let file = file.to_string_lossy().into_owned();
    let run = |arguments: &[&str]| {
        let (mut command, _) = program("reconcile");
        let output = command.args(["reconcile", "usage.csv", "--provider", provider, "--file", &file]).args(arguments);
        let output = output.output().expect("it runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let told: serde_json::Value = serde_json::from_str(&run(&["--json"])).expect("JSON");
    let lines = told["lines"].as_array().expect("lines");
    let of = |wanted: &str| lines.iter().find(|line| line["model"] == wanted).expect("its line");
    assert_eq!(
        (&of(model)["day"], &of(model)["difference"]),
        (&json!(day), &json!({"input_tokens": 0, "output_tokens": 3, "cost_usd": 0.0}))
    );
    assert_eq!(of("claude-haiku-4-5")["ours"]["input_tokens"], 0, "what only they have stands there, too");
    assert_eq!(told["sum"]["difference"]["cost_usd"], 0.5);
    let csv = run(&["--csv"]);
    assert_eq!(csv.lines().count(), 3);
    assert!(csv.starts_with("day,model,ours_cost_usd,theirs_cost_usd,difference_cost_usd,"), "{csv}");
    let table = run(&[]);
    assert!(table.contains("$ theirs") && table.contains("+0.5 "), "{table}");
    // Of a sidecar that runs, and of an export that is none.
    let address = stage.sidecar.address().to_string();
    let asked = tokio::task::block_in_place(|| {
        let (mut command, _) = program("reconcile");
        let door = ["--admin", address.as_str(), "--key", "ops", "--json"];
        command.args(["reconcile", "usage.csv", "--provider", provider]).args(door).output().expect("it runs")
    });
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&asked.stdout).expect("JSON"), told);
    std::fs::write(&export, "day,model\n2026-11-29,a\n").expect("a file");
    let refused =
        command.args(["reconcile", "usage.csv", "--provider", "a", "--file", &file]).output().expect("it runs");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        refused.status.code() == Some(2) && said.contains("usage.csv: has no column of tokens or dollars"),
        "{said}"
    );
}

#[tokio::test]
async fn a_runtime_that_keeps_nothing_has_no_ledger_and_says_so() {
    let stage = stage(1).await;
    let nothing = http::get(stage.sidecar.address(), "/ledger").await;
    assert_eq!(
        (nothing.status, nothing.json()["error"].as_str()),
        (404, Some("nothing is kept: the configuration has no [store]"))
    );
    let asked = stage.sidecar.runtime().ledger(Question::by(GroupBy::All)).await;
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

/// What an answer of a drill costs is the same for every call here: its price times what the drill says of its use.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_storm_the_books_are_those_of_the_providers_to_the_cent() {
    let (stage, file) = keeping("storm").await;
    let mut prices = Vec::new();
    for route in ["a", "b"] {
        let usage = ask_at(&stage, route, "red").await.json()["usage"].clone();
        let count = |name: &str| usage[name].as_u64().expect("a count");
        // A dollar for a million of the prompt, four for the answer.
        prices.push(count("prompt_tokens") * 1_000 + count("completion_tokens") * 4_000);
    }
    stage.drills[0].handle().sometimes(0.15, Fault::Error(ProviderError::Unavailable));
    stage.drills[1].handle().sometimes(0.1, Fault::Error(ProviderError::Server));
    let asks = futures_util::future::join_all((0..200).map(|call| {
        let stage = &stage;
        // Each has one target: none is joined by another, of which a provider might never hear.
        async move { ask_at(stage, ["a", "b"][call % 2], ["red", "blue"][call / 2 % 2]).await.status }
    }));
    let answered = 2 + asks.await.into_iter().filter(|status| *status == 200).count() as u64;
    assert!(answered > 60, "{answered}");
    let statement = stage.sidecar.runtime().ledger(Question::by(GroupBy::Provider)).await.expect("a statement");
    let mut nanos = 0;
    for (at, name) in ["a", "b"].into_iter().enumerate() {
        let counts = stage.counts(at);
        let line = statement.lines.iter().find(|line| line.of == name).expect("its line");
        assert_eq!(line.attempts, counts.received, "{name}: every request that it received is an attempt");
        assert_eq!(line.answers, counts.answered, "{name}: and each answer is one");
        assert_eq!(line.cost - line.wasted, i64::try_from(counts.answered * prices[at]).expect("cents"), "{name}");
        nanos += line.cost - line.wasted;
    }
    let sum = &statement.sum;
    assert_eq!((sum.answers, sum.cost - sum.wasted), (answered, nanos));
    // Under every grouping the same: an attempt is an answer or waste.
    let waste = stage.sidecar.runtime().ledger(Question::by(GroupBy::Waste)).await.expect("a statement");
    assert_eq!((waste.sum.attempts, waste.sum.cost), (sum.attempts - sum.answers, sum.wasted));
    let tags = stage.sidecar.runtime().ledger(Question::by(GroupBy::Tag("team".into()))).await.expect("a statement");
    assert_eq!((tags.sum.attempts, tags.sum.cost), (sum.attempts, sum.cost));
    let found = standin::runtime::verify_file(&file).expect("a file");
    assert_eq!((found.attempts, found.problems), (sum.attempts, Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_have_calls_forgotten_by_id_by_tag_and_by_age_and_are_told_how_many() {
    let (stage, _) = keeping("forgetting").await;
    let to = stage.sidecar.address();
    let forget = |query: String| async move {
        let reply = Exchange::begin(to, "POST", &format!("/forget?{query}"), &OPERATOR, "").await.end().await;
        (reply.status, reply.json())
    };
    let mut calls = Vec::new();
    for (key, team, durable) in
        [("1", "red", "true"), ("2", "red", "false"), ("3", "blue", "true"), ("4", "blue", "false")]
    {
        let headers = [
            ("authorization", "Bearer agent"),
            ("x-standin-tag-team", team),
            ("idempotency-key", key),
            ("x-standin-durable", durable),
        ];
        let ask = || http::ask_with(to, Caller::Chat, "smart", "Hi", false, &headers);
        let first = ask().await;
        assert_eq!((first.status, &ask().await.body), (200, &first.body));
        calls.push(first.header("x-standin-call").expect("an id").to_owned());
    }
    assert_eq!(forget("tag=team%3Dgreen".to_owned()).await, (200, json!({"forgotten": 0})));
    assert_eq!(forget("tag=team%3Dred".to_owned()).await, (200, json!({"forgotten": 2})));
    let (runtime, number) = calls[2].split_once('-').expect("an id");
    let response = format!("resp_{runtime}{:016x}", number.parse::<u64>().expect("a number"));
    assert_eq!(forget(format!("call={response}")).await, (200, json!({"forgotten": 1})));
    assert_eq!(forget(format!("call={}", calls[2])).await, (200, json!({"forgotten": 0})));
    assert_eq!(forget("before=1h".to_owned()).await, (200, json!({"forgotten": 0})));
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    assert_eq!(forget("before=10ms".to_owned()).await, (200, json!({"forgotten": 1})));
    for (query, problem) in [
        ("", "say what is to be forgotten, by one of call, tag and before"),
        ("call=1&tag=a%3Db", "say what is to be forgotten"),
        ("call=x", "call: must be an id"),
        ("tag=team", "tag: must be NAME=VALUE"),
        ("before=soon", "before: must be a day"),
        ("all=true", "all: is none of call, tag and before"),
    ] {
        let (status, said) = forget(query.to_owned()).await;
        assert!(status == 400 && said["error"].as_str().expect("words").starts_with(problem), "{query}: {said}");
    }
    let agents = [("authorization", "Bearer agent")];
    assert_eq!(Exchange::begin(to, "POST", "/forget?before=1d", &agents, "").await.end().await.status, 401);
    assert_eq!(get(&stage, "/forget").await.status, 405);
}

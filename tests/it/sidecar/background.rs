//! Answers in the background: asked for, looked at, read from any place, ended, deleted, and found again after a
//! restart.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use standin::config::{BudgetConfig, Period, RungConfig, StoreConfig};
use standin::drill::Drill;
use standin::sidecar::{Settings, Sidecar};
use standin::testing::{Answer, Fault, Latency, ProviderError, RetryHint, Script};
use standin::{OnExhausted, Reset, RouteConfig};

use super::child::{Served, program};
use super::http::{self, Caller, Exchange, Response};
use super::upstream::Bytes;
use super::verbatim::{event, rich, scene_with};
use super::{Stage, open_key, stage_with};
use crate::kit::Folder;

pub(super) const SAID: &str = "one two three four five";

pub(super) async fn stage_on(folder: &Folder, script: Script, edit: impl FnOnce(&mut Settings)) -> Stage {
    let store = StoreConfig::new(folder.file("standin.db"));
    stage_with(1, script, |settings| {
        settings.runtime.store = Some(store);
        edit(settings);
    })
    .await
}

/// Sends a request in the background, with these fields besides.
pub(super) async fn post(to: SocketAddr, headers: &[(&str, &str)], more: Value) -> Response {
    Exchange::begin(to, "POST", "/v1/responses", headers, &body(more).to_string()).await.end().await
}

pub(super) fn body(more: Value) -> Value {
    let mut body = json!({"model": "smart", "input": SAID, "background": true});
    more.as_object().expect("fields").iter().for_each(|(name, value)| body[name] = value.clone());
    body
}

pub(super) async fn ask(to: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
    Exchange::begin(to, method, &format!("/v1/responses/{path}"), headers, "").await.end().await
}

pub(super) async fn get(to: SocketAddr, path: &str) -> Response {
    ask(to, "GET", path, &[]).await
}

/// Waits until an answer has ended, and returns it.
pub(super) async fn ended(to: SocketAddr, id: &str) -> Value {
    let waiting = async {
        loop {
            let reply = get(to, id).await;
            assert_eq!(reply.status, 200, "{reply:?}");
            let response = reply.json();
            assert_eq!(
                (&response["id"], &response["background"], &response["store"]),
                (&json!(id), &json!(true), &json!(true))
            );
            if !matches!(response["status"].as_str(), Some("queued" | "in_progress")) {
                return response;
            }
            assert_eq!(response["output"], json!([]));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(http::PATIENCE, waiting).await.expect("it ends")
}

/// Reads the events of an answer from each place on: each time they are the same bytes. Returns all of them.
pub(super) async fn read_from_everywhere(to: SocketAddr, id: &str) -> String {
    let all = get(to, &format!("{id}?stream=true")).await;
    assert_eq!((all.status, all.is_whole), (200, true), "{all:?}");
    assert_eq!(all.header("content-type"), Some("text/event-stream; charset=utf-8"));
    let all: String = all.body.split_inclusive("\n\n").filter(|event| !event.starts_with(':')).collect();
    let events: Vec<&str> = all.split_inclusive("\n\n").collect();
    for (at, event) in http::events(&all).iter().enumerate() {
        assert_eq!(event["sequence_number"], at, "{all}");
    }
    for after in 0..=events.len() {
        let rest = get(to, &format!("{id}?starting_after={after}&stream=true")).await;
        assert!(rest.is_whole, "{rest:?}");
        let rest: String = rest.body.split_inclusive("\n\n").filter(|event| !event.starts_with(':')).collect();
        assert_eq!(rest, events.get(after + 1..).unwrap_or_default().concat(), "after {after}");
    }
    all
}

pub(super) fn id(response: &Response) -> String {
    assert_eq!(response.status, 200, "{response:?}");
    response.json()["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn an_answer_in_the_background_is_fetched_read_from_any_place_and_deleted() {
    let folder = Folder::new();
    let stage = stage_on(&folder, Script::default(), |_| {}).await;
    let to = stage.sidecar.address();
    let begun = post(to, &[], json!({"metadata": {"mine": "kept", "x-standin-tag-team": "red"}})).await;
    let id = id(&begun);
    let response = begun.json();
    assert_eq!(
        (&response["status"], &response["object"], &response["error"]),
        (&json!("queued"), &json!("response"), &Value::Null)
    );
    let call = begun.header("x-standin-call").expect("an id").to_owned();
    let whole = ended(to, &id).await;
    assert_eq!((&whole["status"], Caller::Responses.text(&whole)), (&json!("completed"), SAID.to_owned()));
    assert_eq!((&whole["usage"]["output_tokens"], &whole["model"]), (&json!(5), &json!("gpt-5-mini")));
    assert_eq!(whole["created_at"], response["created_at"]);
    let reply = get(to, &id).await;
    assert_eq!(reply.header("x-standin-target"), Some("a/gpt-5-mini"));
    assert_eq!((reply.header("x-standin-call"), &reply.body), (Some(&*call), &get(to, &id).await.body));
    // What is read as a stream ends in the very same answer, and a caller that streams from the beginning sees the
    // same.
    let all = read_from_everywhere(to, &id).await;
    assert_eq!(Caller::Responses.streamed(&all), SAID);
    let events = http::events(&all);
    let kinds: Vec<_> = events.iter().take(3).map(|event| event["type"].as_str().expect("a type")).collect();
    assert_eq!(kinds, ["response.created", "response.queued", "response.in_progress"]);
    assert_eq!(events.last().expect("an end")["response"], whole);
    let streamed = post(to, &[("idempotency-key", "k")], json!({"stream": true})).await;
    let again = self::id(&post(to, &[("idempotency-key", "k")], json!({})).await);
    assert_eq!(read_from_everywhere(to, &again).await, streamed.body);
    assert_eq!(stage.counts(0).received, 2);
    // It is gone from the file as well.
    let deleted = ask(to, "DELETE", &id, &[]).await;
    assert_eq!((deleted.status, deleted.json()), (200, json!({"id": id, "object": "response", "deleted": true})));
    for (method, path) in [("GET", id.clone()), ("DELETE", id.clone()), ("POST", format!("{id}/cancel"))] {
        let gone = ask(to, method, &path, &[]).await;
        assert_eq!(
            (gone.status, Caller::Responses.message(&gone.json())),
            (
                404,
                "there is no response of this id: it was not made with `background`, was deleted, or ended too long ago"
            )
        );
    }
    let metrics = http::get(to, "/metrics").await.body;
    // One of the three requests found its call by its key.
    for (outcome, count) in [("ok", 2), ("repeated", 1)] {
        let line = format!(
            "standin_calls_total{{route=\"smart\",dialect=\"openai_responses\",outcome=\"{outcome}\"}} {count}"
        );
        assert!(metrics.contains(&line), "no {line} in {metrics}");
    }
}

#[tokio::test]
async fn a_call_in_the_background_goes_on_when_its_caller_leaves_and_ends_when_it_is_cancelled() {
    let folder = Folder::new();
    let stage = stage_on(&folder, Script::default(), |_| {}).await;
    let to = stage.sidecar.address();
    for (method, expected) in [("cancel", "cancelled"), ("leave", "completed")] {
        let received = stage.counts(0).received;
        let plus = Duration::from_millis(300);
        let slow = if method == "cancel" { Fault::Hang } else { Fault::SlowFirst { factor: 1.0, plus } };
        stage.drills[0].handle().next(1, slow);
        let mut exchange =
            Exchange::begin(to, "POST", "/v1/responses", &[], &body(json!({"stream": true})).to_string()).await;
        exchange.until(|seen| seen.contains("response.in_progress")).await;
        stage.until(0, |counts| counts.received > received).await;
        let all = get(to, "resp_x").await;
        assert_eq!(all.status, 404);
        let reading = exchange.so_far();
        let id = http::events(&reading)[0]["response"]["id"].as_str().expect("an id").to_owned();
        drop(exchange);
        assert_eq!(get(to, &id).await.json()["status"], "in_progress");
        if method == "cancel" {
            for _ in 0..2 {
                let cancelled = ask(to, "POST", &format!("{id}/cancel"), &[]).await;
                assert_eq!((cancelled.status, &cancelled.json()["status"]), (200, &json!("cancelled")));
            }
        }
        let whole = ended(to, &id).await;
        assert_eq!((&whole["status"], &whole["error"]), (&json!(expected), &Value::Null));
        let last = http::events(&read_from_everywhere(to, &id).await).pop().expect("an end");
        assert_eq!(last["response"], whole);
        // What has ended stays as it is.
        let cancelled = ask(to, "POST", &format!("{id}/cancel"), &[]).await;
        assert_eq!(cancelled.json(), whole);
    }
}

#[tokio::test]
async fn what_fails_in_the_background_says_so_and_what_waits_is_queued() {
    let folder = Folder::new();
    let stage = stage_on(&folder, Script::default(), |_| {}).await;
    let to = stage.sidecar.address();
    stage.drills[0].handle().next(20, Fault::Error(ProviderError::BadRequest));
    let failed = id(&post(to, &[], json!({})).await);
    let whole = ended(to, &failed).await;
    assert_eq!((&whole["status"], &whole["error"]["code"]), (&json!("failed"), &json!("invalid_prompt")), "{whole}");
    let last = http::events(&read_from_everywhere(to, &failed).await).pop().expect("an end");
    assert_eq!((&last["type"], &last["response"]), (&json!("response.failed"), &whole));
    stage.drills[0].handle().clear();
    stage.drills[0].handle().next(1, Fault::RateLimited(RetryHint::Seconds(Duration::from_secs(1))));
    let waits = id(&post(to, &[("x-standin-on-exhausted", "wait")], json!({})).await);
    let waiting = async {
        while get(to, &waits).await.json()["status"] != "queued" {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(http::PATIENCE, waiting).await.expect("it waits");
    assert_eq!(ended(to, &waits).await["status"], "completed");
    stage.drills[0].handle().clear();
    let answer = Answer { finish: Some("length".into()), ..Answer::text("one two") };
    stage.drills[0].handle().say(answer);
    let short = ended(to, &id(&post(to, &[], json!({})).await)).await;
    assert_eq!(
        (&short["status"], &short["incomplete_details"]["reason"]),
        (&json!("incomplete"), &json!("max_output_tokens"))
    );
}

#[tokio::test]
async fn an_answer_in_the_background_fails_for_a_budget_with_the_code_that_it_has_in_the_foreground() {
    let folder = Folder::new();
    let stage = stage_on(&folder, Script::default(), |settings| {
        settings.runtime.budgets.insert("all".to_owned(), BudgetConfig::tokens(1, Period::Day));
    })
    .await;
    let to = stage.sidecar.address();
    let whole = ended(to, &id(&post(to, &[], json!({})).await)).await;
    assert_eq!(
        (&whole["status"], &whole["error"]["code"]),
        (&json!("failed"), &json!("insufficient_quota")),
        "{whole}"
    );
    assert!(whole["error"]["message"].as_str().is_some_and(|text| text.contains("budget `all`")), "{whole}");
}

#[tokio::test]
async fn an_answer_in_the_background_waits_for_a_target_unless_its_caller_or_its_route_says_otherwise() {
    let folder = Folder::new();
    let stage = stage_on(&folder, Script::default(), |settings| {
        settings.runtime.failover.wait_max = Duration::ZERO;
        let route = settings.runtime.routes["smart"].clone();
        let degrade = vec![RungConfig::Text("Nobody answers.".to_owned())];
        let route = RouteConfig { degrade, ..route }.on_exhausted(OnExhausted::Degrade);
        settings.runtime.routes.insert("less".to_owned(), route);
        settings.runtime.aliases.insert("little".to_owned(), "less".to_owned());
    })
    .await;
    let to = stage.sidecar.address();
    for (headers, model, status) in [
        (&[][..], "smart", "completed"),
        (&[("x-standin-on-exhausted", "fail")], "smart", "failed"),
        (&[], "little", "completed"),
    ] {
        stage.drills[0].handle().next(1, Fault::RateLimited(RetryHint::Seconds(Duration::from_secs(1))));
        let whole = ended(to, &id(&post(to, headers, json!({"model": model})).await)).await;
        assert_eq!(whole["status"], status, "{model}, {headers:?}: {whole}");
        assert_eq!(whole.to_string().contains("Nobody answers."), model == "little", "{whole}");
        stage.sidecar.runtime().reset(Reset::All).await.expect("it may");
    }
}

#[tokio::test]
async fn what_cannot_be_in_the_background_is_refused_by_what_would_have_to_change() {
    let without = stage_with(1, Script::default(), |_| {}).await;
    let refused = post(without.sidecar.address(), &[], json!({})).await;
    let said = refused.json();
    assert_eq!((refused.status, &said["error"]["param"]), (400, &json!("background")), "{said}");
    assert!(
        Caller::Responses.message(&said).contains("needs a `[store]` in the configuration, with a `path`"),
        "{said}"
    );
    assert_eq!(get(without.sidecar.address(), &format!("resp_{}", "0".repeat(32))).await.status, 404);
    let folder = Folder::new();
    let stage = stage_on(&folder, Script::default(), |_| {}).await;
    let to = stage.sidecar.address();
    for (headers, more, field) in [
        (&[][..], json!({"store": false}), "store"),
        (&[("x-standin-durable", "false")], json!({}), "x-standin-durable"),
        (&[], json!({"background": "yes"}), "background"),
    ] {
        let refused = post(to, headers, more).await;
        assert_eq!((refused.status, &refused.json()["error"]["param"]), (400, &json!(field)), "{refused:?}");
    }
    let compact =
        Exchange::begin(to, "POST", "/v1/responses/compact", &[], &body(json!({})).to_string()).await.end().await;
    assert_eq!((compact.status, &compact.json()["error"]["param"]), (400, &json!("background")));
    assert_eq!(post(to, &[], json!({"model": "nobody"})).await.status, 404);
    assert_eq!(post(to, &[], json!({"background": false})).await.json()["status"], "completed");
    assert_eq!(stage.counts(0).received, 1);
    // A call that is no answer in the background is none by its id either.
    let plain = post(to, &[("x-standin-durable", "true")], json!({"background": false})).await;
    let call = plain.header("x-standin-call").and_then(|call| call.split_once('-')).expect("an id");
    let call = format!("resp_{}{:016x}", call.0, call.1.parse::<u64>().expect("a number"));
    assert_eq!(get(to, &call).await.status, 404);
}

#[tokio::test]
async fn no_client_finds_cancels_or_deletes_an_answer_of_another() {
    let folder = Folder::new();
    let stage = stage_on(&folder, Script::default(), |settings| {
        settings.server.keys = vec![open_key("red"), open_key("blue")];
    })
    .await;
    let to = stage.sidecar.address();
    let (red, blue) = ([("authorization", "Bearer red")], [("authorization", "Bearer blue")]);
    let id = id(&post(to, &red, json!({})).await);
    let unknown = format!("resp_{}", "f".repeat(32));
    for (method, rest) in [("GET", ""), ("GET", "?stream=true"), ("POST", "/cancel"), ("DELETE", "")] {
        let foreign = ask(to, method, &format!("{id}{rest}"), &blue).await;
        let none = ask(to, method, &format!("{unknown}{rest}"), &blue).await;
        assert_eq!((foreign.status, foreign.body), (404, none.body), "{method} {rest}");
        assert_eq!(ask(to, method, &format!("{id}{rest}"), &[]).await.status, 401);
    }
    let waiting = async {
        while ask(to, "GET", &id, &red).await.json()["status"] != "completed" {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(http::PATIENCE, waiting).await.expect("nobody else ended it");
    assert_eq!(ask(to, "DELETE", &id, &red).await.status, 200);
}

#[tokio::test]
async fn an_answer_in_the_background_is_the_same_bytes_after_a_restart_and_one_that_had_not_ended_goes_on() {
    let folder = Folder::new();
    let stage = stage_on(&folder, Script::default(), |_| {}).await;
    let to = stage.sidecar.address();
    let done = id(&post(to, &[], json!({})).await);
    let whole = ended(to, &done).await;
    let all = read_from_everywhere(to, &done).await;
    stage.drills[0].handle().next(1, Fault::Hang);
    let received = stage.counts(0).received;
    let open = id(&post(to, &[], json!({"input": "and another"})).await);
    let mut reading = Exchange::begin(to, "GET", &format!("/v1/responses/{open}?stream=true"), &[], "").await;
    reading.until(|seen| seen.contains("response.in_progress")).await;
    stage.until(0, |counts| counts.received > received).await;
    stage.sidecar.stop(Duration::ZERO).await;
    // The call has not ended: nothing says so, and the connection shows that there is more.
    let cut = reading.end().await;
    assert!(!cut.is_whole && !cut.body.contains("response.failed"), "{cut:?}");

    let sidecar = Sidecar::start(stage.settings.clone()).await.expect("a sidecar");
    let to = sidecar.address();
    assert_eq!((ended(to, &done).await, read_from_everywhere(to, &done).await), (whole, all));
    let whole = ended(to, &open).await;
    assert_eq!(Caller::Responses.text(&whole), "and another");
    let all = read_from_everywhere(to, &open).await;
    assert!(all.starts_with(&cut.body), "{all}\n{}", cut.body);
    assert_eq!(ask(to, "DELETE", &open, &[]).await.status, 200);
    assert_eq!(get(to, &open).await.status, 404);
}

#[tokio::test]
async fn a_sidecar_that_is_killed_goes_on_with_what_it_accepted_in_the_background() {
    let script = Script { first_token: Latency::Fixed(Duration::from_millis(200)), ..Script::default() };
    let drill = Drill::start(script).await.expect("a drill");
    let (_, folder) = program("background");
    for ending in ["", "-wal", "-shm", "-lock"] {
        let _ = fs::remove_file(folder.join(format!("kept.db{ending}")));
    }
    let text = format!(
        "[providers.a]\nbase_url = \"http://{}/v1\"\nkeys = [\"sk-1\"]\nmodels.m = {{}}\n\
         [routes.smart]\ntargets = [\"a/m\"]\n[store]\npath = \"kept.db\"\n",
        drill.address()
    );
    fs::write(folder.join("given.toml"), text).expect("a file");
    let serve = || Served::start("background", &["--config", "given.toml"], |_| {});
    let mut served = serve();
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(id(&post(served.address, &[], json!({"input": format!("number {number}")})).await));
    }
    served.signal("KILL");
    served.ended();
    let served = serve();
    for (number, id) in ids.iter().enumerate() {
        let whole = ended(served.address, id).await;
        assert_eq!(Caller::Responses.text(&whole), format!("number {number}"));
        read_from_everywhere(served.address, id).await;
    }
}

#[tokio::test]
async fn what_a_provider_of_responses_says_goes_on_as_it_came_under_the_id_that_was_promised() {
    let folder = Folder::new();
    let scene = scene_with(Caller::Responses, |settings| {
        settings.runtime.store = Some(StoreConfig::new(folder.file("standin.db")));
    })
    .await;
    let to = scene.sidecar.address();
    let asked = json!({"model": "r", "x_new": 1.0});
    let answers = |body: String| scene.first.answers(Bytes { body, piece: 64, cut: false, stream: true });
    // Told when it is whole, or as it comes.
    let ways = [&[][..], &[("x-standin-stream", "live")]];
    for (at, headers) in ways.into_iter().enumerate() {
        answers(rich(Caller::Responses).1);
        let id = id(&post(to, headers, asked.clone()).await);
        let mut whole = ended(to, &id).await;
        let sent: Value = serde_json::from_str(&scene.first.asked()[at]).expect("JSON");
        assert_eq!(sent, json!({"model": "m", "input": SAID, "stream": true, "x_new": 1.0}));
        assert_eq!((&whole["model"], &whole["usage"]["cost"]), (&json!("m-of-the-provider"), &json!(0.1)), "{whole}");
        // What its end does not list is in the whole, too.
        assert_eq!((&whole["output"][0]["id"], &whole["output"][1]["phase"]), (&json!("ws_1"), &json!("final_answer")));
        let events = http::events(&read_from_everywhere(to, &id).await);
        let of = |kind: &str| events.iter().find(|event| event["type"] == kind).unwrap_or_else(|| panic!("no {kind}"));
        assert_eq!(of("response.web_search_call.searching")["item_id"], "ws_1");
        assert_eq!(of("response.output_text.delta")["obfuscation"], "xyz");
        assert_eq!(of("response.x_new")["a"], 1.0);
        whole["output"].as_array_mut().expect("items").remove(0);
        assert_eq!(of("response.completed")["response"], whole);
        assert_eq!(events.iter().filter(|event| event["type"] == "response.created").count(), 1);
    }
    // A server that does not repeat at the end what it said is repeated, by its items or by its words.
    let end = ("response.completed", r#"{"type":"response.completed","response":{"model":"m"}}"#);
    let item = r#"{"type":"response.output_item.done","output_index":0,"item":{"type":"message","id":"m1","x_new":1,"content":[{"type":"output_text","text":"fin"}]}}"#;
    let delta = r#"{"type":"response.output_text.delta","output_index":0,"delta":"fin"}"#;
    for (told, has_item) in
        [(("response.output_item.done", item), true), (("response.output_text.delta", delta), false)]
    {
        let told = [("response.output_text.delta", delta), told];
        let told = if has_item { &told[..] } else { &told[1..] };
        let told: String = told.iter().chain([&end]).map(|(name, data)| event(name, data)).collect();
        for headers in ways {
            answers(told.clone());
            let whole = ended(to, &self::id(&post(to, headers, asked.clone()).await)).await;
            assert_eq!((&whole["status"], &*Caller::Responses.text(&whole)), (&json!("completed"), "fin"), "{whole}");
            assert_eq!(whole["output"][0]["x_new"] == 1, has_item, "{whole}");
        }
    }
}

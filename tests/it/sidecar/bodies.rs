//! Bodies: their length, their number, and their memory.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use standin::drill::Drill;
use standin::testing::{Fault, Script};

use super::child::{Served, program};
use super::http::{self, Caller, Exchange};
use super::{stage, stage_with};

/// A request's body with a field of this many zeros, a comma between each.
fn zeros(field: &str, count: usize) -> String {
    let zeros = vec!["0"; count].join(",");
    match field {
        "within" => {
            format!(r#"{{"model":"smart","messages":[{{"role":"user","content":"one two","{field}":[{zeros}]}}]}}"#)
        }
        "messages" => format!(r#"{{"model":"smart","messages":[{zeros}]}}"#),
        _ => format!(r#"{{"{field}":[{zeros}],"model":"smart","messages":[{{"role":"user","content":"one two"}}]}}"#),
    }
}

/// More values than are read of a body of their length.
const MANY: usize = 600_000;

#[tokio::test]
async fn a_body_that_says_it_is_too_long_is_refused_before_it_is_sent() {
    let stage = stage_with(1, Script::default(), |settings| settings.server.body_bytes_max = 1_000).await;
    for expect in ["", "expect: 100-continue\r\n"] {
        let mut exchange = Exchange::connect(stage.sidecar.address()).await;
        let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1001\r\n";
        exchange.send(&format!("{head}{expect}\r\n")).await;
        let refused = exchange.end().await;
        assert_eq!(refused.status, 413, "{refused:?}");
    }
    let mut exchange = Exchange::connect(stage.sidecar.address()).await;
    let head =
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\nexpect: 100-continue\r\n\r\n";
    exchange.send(head).await;
    exchange.until(|seen| seen.starts_with("HTTP/1.1 100 Continue\r\n\r\n")).await;
}

#[tokio::test]
async fn a_client_that_expects_what_is_not_done_here_is_told_so_before_its_body() {
    let stage = stage(1).await;
    for (expect, status) in [("200-ok", 417), ("100-continue, 200-ok", 417), ("100-Continue", 413)] {
        let mut exchange = Exchange::connect(stage.sidecar.address()).await;
        let head = format!(
            "POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999999999\r\nexpect: {expect}\r\n\r\n"
        );
        exchange.send(&head).await;
        let refused = exchange.end().await;
        assert_eq!(refused.status, status, "{expect}: {refused:?}");
        assert_eq!(refused.body.contains("100-continue"), status == 417, "{refused:?}");
    }
}

#[tokio::test]
async fn a_field_with_too_many_values_is_passed_by_and_named_where_it_is_needed() {
    let stage = stage(1).await;
    let ask = async |body: &str| {
        let asked = Exchange::begin(stage.sidecar.address(), "POST", "/v1/chat/completions", &[], body);
        asked.await.end().await
    };
    let answer = ask(&zeros("unknown", MANY)).await;
    // It passes unchanged; the provider is a strict one.
    assert!(Caller::Chat.message(&answer.json()).contains("Unknown parameter: 'unknown'"), "{answer:?}");
    // So within a message.
    let answer = ask(&zeros("within", MANY)).await;
    assert!(Caller::Chat.message(&answer.json()).contains("Unknown parameter: 'messages[0].within'"), "{answer:?}");
    let refused = ask(&zeros("messages", MANY)).await;
    assert_eq!(refused.status, 400);
    assert_eq!(Caller::Chat.message(&refused.json()), "messages: has more values than are read here");
    let many: Vec<String> = (0..MANY).map(|at| format!(r#""{at}":0,"#)).collect();
    assert_eq!(ask(&format!("{{{}{}", many.concat(), &zeros("unknown", 1)[1..])).await.status, 400);
    // Commas in a text are no values.
    let text = "a,b,".repeat(MANY);
    let said = ask(&format!(r#"{{"model":"smart","messages":[{{"role":"user","content":"{text}"}}]}}"#)).await;
    assert!(!said.body.contains("more values"), "{said:?}");
}

#[tokio::test]
async fn bodies_share_their_room_and_a_client_that_waits_in_vain_is_told_to_come_back() {
    let stage = stage_with(1, Script::default(), |settings| {
        settings.server.body_bytes_max = 128 * 1024;
        settings.server.bodies_bytes_max = 128 * 1024;
    })
    .await;
    let to = stage.sidecar.address();
    let long = "x".repeat(100_000);
    stage.drills[0].handle().next(1, Fault::Hang);
    let first = http::begin(to, Caller::Chat, "smart", &long, false, &[]).await;
    stage.until(0, |counts| counts.in_flight == 1).await;
    let begun = Instant::now();
    let (second, ()) = tokio::join!(http::ask(to, Caller::Anthropic, "smart", &long, false), async {
        // A body that needs less than all of it waits as well, behind the one before it.
        assert_eq!(http::get(to, "/live").await.status, 200);
    });
    assert_eq!((second.status, second.header("retry-after")), (529, Some("1")), "{second:?}");
    assert!(begun.elapsed() > Duration::from_secs(9), "it did not wait");
    drop(first);
    let third = http::ask(to, Caller::Chat, "smart", &long, false).await;
    assert_eq!(third.status, 200, "the room is free again");
}

#[tokio::test]
async fn a_body_takes_room_for_what_is_made_of_its_values() {
    let stage = stage_with(1, Script::default(), |settings| {
        settings.server.body_bytes_max = 4 << 20;
        settings.server.bodies_bytes_max = 8 << 20;
    })
    .await;
    let to = stage.sidecar.address();
    // Half a megabyte, whose parsed form takes ten times as much.
    let many: Vec<_> = (0..15_000).map(|_| json!({"role": "user", "content": "x"})).collect();
    let many = json!({"model": "smart", "messages": many}).to_string();
    let ask = || Exchange::begin(to, "POST", "/v1/chat/completions", &[], &many);
    stage.drills[0].handle().next(1, Fault::Hang);
    let first = ask().await;
    stage.until(0, |counts| counts.in_flight == 1).await;
    // Of plain words there is room for as many bytes.
    let plain = http::ask(to, Caller::Chat, "smart", &"x ".repeat(many.len() / 2), false).await;
    assert_eq!(plain.status, 200, "{plain:?}");
    let second = ask().await.end().await;
    assert_eq!((second.status, second.header("retry-after")), (503, Some("1")), "{second:?}");
    drop(first);
    let third = ask().await.end().await;
    assert_eq!(third.status, 200, "the room is free again: {third:?}");
}

/// Starts the program over a strict provider of OpenAI's dialect, `a`, and one of Anthropic's, `b`. It has one thread
/// for connections: work that holds that up, holds up all clients. The providers have a thread of their own, so that
/// their time for reading a body does not count.
fn alone(folder: &str) -> Served {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let drill = Drill::start(Script::default()).await.expect("a drill");
            tell.send(drill.address()).expect("a test");
            std::future::pending::<()>().await;
        });
    });
    let drill = told.recv().expect("a drill");
    let (_, at) = program(folder);
    let text = format!(
        "[providers.a]\nbase_url = \"http://{drill}/v1\"\nkeys = [\"sk-1\"]\nmodels.m = {{}}\n\
         [providers.b]\nbase_url = \"http://{drill}/v1\"\ndialect = \"anthropic\"\nkeys = [\"sk-1\"]\nmodels.m = {{}}\n\
         [routes.smart]\ntargets = [\"a/m\"]\n[routes.other]\ntargets = [\"b/m\"]\n"
    );
    fs::write(at.join("given.toml"), text).expect("a file");
    Served::start(folder, &["--config", "given.toml"], |command| {
        command.env("TOKIO_WORKER_THREADS", "1");
    })
}

/// Asks with a body; returns the answer, and the longest wait for `/live` meanwhile.
async fn beside_live(served: &Served, path: &str, body: &str) -> (http::Response, Duration) {
    let done = AtomicBool::new(false);
    tokio::join!(
        async {
            let answer = Exchange::begin(served.address, "POST", path, &[], body).await.end().await;
            done.store(true, Relaxed);
            answer
        },
        async {
            let mut slowest = Duration::ZERO;
            while !done.load(Relaxed) {
                let asked = Instant::now();
                assert_eq!(http::get(served.address, "/live").await.status, 200);
                slowest = slowest.max(asked.elapsed());
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            slowest
        }
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_of_nothing_but_values_costs_little_more_than_its_bytes() {
    let served = alone("memory");
    let warm = http::ask(served.address, Caller::Chat, "smart", "one two", false).await;
    assert_eq!(warm.status, 200);
    let before = served.peak();
    for (field, named) in [("unknown", "'unknown'"), ("within", "'messages[0].within'")] {
        let body = zeros(field, 15 << 20);
        let (answer, live) = beside_live(&served, "/v1/chat/completions", &body).await;
        // The provider is a strict one: it went on as it came.
        let said = format!("Unknown parameter: {named}");
        assert!(Caller::Chat.message(&answer.json()).contains(&said), "{answer:?}");
        // Its bytes, and once more where they are changed to go on.
        let (cost, length) = (served.peak() - before, body.len() as u64);
        assert!(cost < length * 5 / 2, "{field}: {length} bytes cost {cost}");
        assert!(live < LIVE_MAX, "{field}: /live took {live:?}");
    }
}

/// The longest that a client may be held up by another one's body, in a build that is not optimised.
const LIVE_MAX: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_body_is_read_counted_and_written_apart_from_the_threads_that_serve() {
    let served = alone("apart");
    let text = "a line\n".repeat(4 << 20);
    let warm = http::ask(served.address, Caller::Chat, "other", "one two", false).await;
    assert_ne!(warm.status, 503, "{warm:?}");
    let before = served.peak();
    for (path, model) in
        [("/v1/chat/completions", "other"), ("/v1/messages", "smart"), ("/v1/messages/count_tokens", "smart")]
    {
        let body = json!({"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": text}]});
        let body = body.to_string();
        let (answer, live) = beside_live(&served, path, &body).await;
        assert!(answer.status != 400, "it was not understood: {answer:?}");
        // Its text goes on as it is written there, in every dialect.
        let (cost, length) = (served.peak() - before, body.len() as u64);
        assert!(cost < length * 3 / 2, "{path}: {length} bytes cost {cost}");
        assert!(live < LIVE_MAX, "{path}: /live took {live:?}");
    }
}

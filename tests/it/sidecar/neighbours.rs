//! What a connection may take from others: places and memory; and heads that are refused.

use std::time::{Duration, Instant};

use standin::testing::{Fault, Latency, Script};

use super::child::Served;
use super::http::{self, Caller, Exchange};
use super::{stage, stage_with};

const POST: &str = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";

/// A request for an answer, whole.
fn request(framing: &str) -> String {
    let (_, body) = Caller::Chat.ask("smart", "one two", false);
    let body = body.to_string();
    match framing {
        "length" => format!("{POST}content-length: {}\r\n\r\n{body}", body.len()),
        _ => format!("{POST}transfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len()),
    }
}

#[tokio::test]
async fn a_hang_up_is_noticed_even_if_something_was_sent_behind_the_request() {
    let script = Script { first_token: Latency::Fixed(Duration::from_secs(3_600)), ..Script::default() };
    for framing in ["length", "chunked"] {
        for behind in ["", "\r\n", "x", "GET /live HTTP/1.1\r\n", &"x".repeat(10_000)] {
            let stage = stage_with(1, script.clone(), |_| {}).await;
            let mut exchange = Exchange::connect(stage.sidecar.address()).await;
            exchange.send(&format!("{}{behind}", request(framing))).await;
            stage.until(0, |counts| counts.in_flight == 1).await;
            let left = Instant::now();
            drop(exchange);
            stage.until(0, |counts| counts.client_left == 1).await;
            assert!(left.elapsed() < Duration::from_secs(1), "{framing} {behind:?}: {:?}", left.elapsed());
        }
    }
}

#[tokio::test]
async fn a_client_that_sends_without_end_behind_a_request_is_given_up() {
    let script = Script { first_token: Latency::Fixed(Duration::from_secs(3_600)), ..Script::default() };
    let stage = stage_with(1, script, |_| {}).await;
    let mut exchange = Exchange::connect(stage.sidecar.address()).await;
    exchange.send(&request("length")).await;
    stage.until(0, |counts| counts.in_flight == 1).await;
    exchange.try_send(&"x".repeat(1 << 20)).await;
    stage.until(0, |counts| counts.client_left == 1).await;
}

#[tokio::test]
async fn requests_on_one_connection_are_answered_in_their_order() {
    let stage = stage(1).await;
    let mut exchange = Exchange::connect(stage.sidecar.address()).await;
    let live = "GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n";
    exchange.send(&format!("{}{live}{}{live}", request("length"), request("chunked"))).await;
    exchange.until(|seen| seen.matches("HTTP/1.1 200").count() == 4 && seen.ends_with("standin\n")).await;
}

#[tokio::test]
async fn an_ambiguous_head_is_refused() {
    let stage = stage(1).await;
    let to = stage.sidecar.address();
    let body = r#"{"model":"smart","messages":[{"role":"user","content":"one two"}]}"#;
    let length = body.len();
    for head in [
        // A line feed alone, in each place of a head.
        format!("POST /v1/chat/completions HTTP/1.1\nhost: localhost\r\ncontent-length: {length}\r\n\r\n"),
        format!("POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\ncontent-length: {length}\r\n\r\n"),
        format!("POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\n\r\n"),
        format!("POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\n"),
        format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nx: a\nb: c\r\ncontent-length: {length}\r\n\r\n"
        ),
        // No host, or two.
        format!("POST /v1/chat/completions HTTP/1.1\r\ncontent-length: {length}\r\n\r\n"),
        format!("{POST}host: other\r\ncontent-length: {length}\r\n\r\n"),
        // Two lengths, or a length and chunks.
        format!("{POST}content-length: {length}\r\ncontent-length: 3\r\n\r\n"),
        format!("{POST}content-length: {length}, 3\r\n\r\n"),
        format!("{POST}content-length: +{length}\r\n\r\n"),
        format!("{POST}content-length : {length}\r\n\r\n"),
        format!("{POST}transfer-encoding: chunked, identity\r\n\r\n"),
        format!("{POST}transfer-encoding: xchunked\r\n\r\n"),
        format!("{POST}content-length: {length}\r\ncontent-length: {length}\r\n\r\n"),
        format!(
            "{POST}transfer-encoding: chunked\r\ncontent-length: {length}\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"
        ),
        format!(
            "{POST}content-length: {length}\r\ntransfer-encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"
        ),
        format!("{POST}transfer-encoding: gzip, chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"),
        format!(
            "{POST}transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"
        ),
        // A line that goes on in the next one.
        format!("{POST}x: a\r\n b\r\ncontent-length: {length}\r\n\r\n"),
    ] {
        let mut exchange = Exchange::connect(to).await;
        exchange.try_send(&format!("{head}{body}")).await;
        let came = exchange.closed_or(Duration::from_secs(3)).await;
        assert!(came.is_empty() || came.starts_with("HTTP/1.1 4"), "{head:?}: {came:?}");
        assert!(!came.contains("200 OK"), "{head:?}: {came:?}");
    }
    // A line feed alone behind the size of a chunk: no server waits for more of such a body.
    for size in [format!("{length:x}\n"), format!("{length:x};a=b\n")] {
        let mut exchange = Exchange::connect(to).await;
        exchange.try_send(&format!("{POST}transfer-encoding: chunked\r\n\r\n{size}{body}\r\n0\r\n\r\n")).await;
        exchange.until(|seen| seen.starts_with("HTTP/1.1 400")).await;
    }
    assert_eq!(stage.counts(0).received, 0, "something reached the provider");
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused_and_a_long_one_is_not() {
    let stage = stage(1).await;
    for (length, status) in [(12_000, "HTTP/1.1 200"), (20_000, "HTTP/1.1 4")] {
        let mut exchange = Exchange::connect(stage.sidecar.address()).await;
        exchange.try_send(&format!("GET /live HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "x".repeat(length))).await;
        exchange.until(|seen| seen.starts_with(status)).await;
    }
}

#[tokio::test]
async fn an_idle_client_gives_way_when_all_places_are_taken_and_one_at_work_does_not() {
    let stage = stage_with(1, Script::default(), |settings| {
        settings.server.connections_max = 3;
        settings.server.admin = Some("127.0.0.1:0".parse().expect("an address"));
    })
    .await;
    let (to, admin) = (stage.sidecar.address(), stage.sidecar.admin_address().expect("operators' address"));
    stage.drills[0].handle().next(1, Fault::Hang);
    let busy = http::begin(to, Caller::Chat, "smart", "one two", false, &[]).await;
    stage.until(0, |counts| counts.in_flight == 1).await;
    let (idle, mut slow) = (Exchange::connect(to).await, Exchange::connect(to).await);
    slow.send("GET /live HTTP/1.1\r\nhost").await;
    let begun = Instant::now();
    // Three honest callers in places that idle connections had.
    for _ in 0..3 {
        assert_eq!(http::get(to, "/live").await.status, 200);
    }
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert_eq!((idle.closed().await, slow.closed().await), (String::new(), String::new()));
    assert_eq!((stage.counts(0).in_flight, stage.counts(0).client_left), (1, 0), "who works has lost its place");
    let metrics = http::get(admin, "/metrics").await.body;
    assert!(metrics.contains("standin_connections 1"), "{metrics}");
    assert!(!metrics.contains("standin_refusals_total{reason=\"places\"} 0"), "{metrics}");
    assert_eq!(http::get(admin, "/ready").await.status, 200);
    drop(busy);
}

#[tokio::test]
async fn operators_are_told_when_no_place_is_left() {
    let stage = stage_with(1, Script::default(), |settings| {
        settings.server.connections_max = 1;
        settings.server.admin = Some("127.0.0.1:0".parse().expect("an address"));
    })
    .await;
    let (to, admin) = (stage.sidecar.address(), stage.sidecar.admin_address().expect("operators' address"));
    stage.drills[0].handle().next(1, Fault::Hang);
    let _busy = http::begin(to, Caller::Chat, "smart", "one two", false, &[]).await;
    stage.until(0, |counts| counts.in_flight == 1).await;
    let _waits = Exchange::connect(to).await;
    let full = async || http::get(admin, "/health").await.json()["connections"]["full_for_s"].as_f64();
    let begun = Instant::now();
    while full().await.is_none_or(|seconds| seconds < 5.0) {
        assert!(begun.elapsed() < http::PATIENCE);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let ready = http::get(admin, "/ready").await;
    assert_eq!((ready.status, ready.body.as_str()), (503, "no place for a connection\n"));
}

#[tokio::test]
async fn idle_connections_and_unfinished_heads_cost_little() {
    let served = Served::start("heads", &["--drill"], |_| {});
    http::ask(served.address, Caller::Chat, "any", "one two", false).await;
    let before = served.peak();
    let mut held = Vec::new();
    for _ in 0..500 {
        let mut exchange = Exchange::connect(served.address).await;
        exchange.try_send(&format!("GET /live HTTP/1.1\r\nx: {}", "x".repeat(15_000))).await;
        held.push(exchange);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let each = (served.peak() - before) / 500;
    assert!(each < 64 << 10, "{each} bytes each");
    assert_eq!(http::get(served.address, "/live").await.status, 200);
}

#[tokio::test]
async fn a_lack_of_sockets_here_is_no_providers_fault() {
    let stage = stage_with(1, Script::default(), |_| {}).await;
    let url = format!("http://{}", stage.drills[0].address());
    // The program, with no more files than it takes to serve some connections.
    let (command, folder) = super::child::program("sockets");
    drop(command);
    let text = format!(
        "[providers.a]\nbase_url = \"{url}/v1\"\nkeys = [\"sk-providers-own\"]\nmodels.gpt-5-mini = {{}}\n[routes.smart]\ntargets = [\"a/gpt-5-mini\"]\n"
    );
    std::fs::write(folder.join("given.toml"), text).expect("a file");
    let served = Served::limited("sockets", "ulimit -n 64", &["--config", "given.toml"]);
    let answer = http::ask(served.address, Caller::Chat, "smart", "one two", false).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    // Connections to providers are kept; calls that hang take one each.
    stage.drills[0].handle().always(Fault::Hang);
    let mut calls = Vec::new();
    for _ in 0..60 {
        calls.push(http::begin(served.address, Caller::Chat, "smart", "one two", false, &[]).await);
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    drop(calls);
    stage.until(0, |counts| counts.in_flight == 0).await;
    stage.drills[0].handle().clear();
    let begun = Instant::now();
    let health = loop {
        let health = http::get(served.address, "/health").await.json();
        if !health["lack"].is_null() || begun.elapsed() > Duration::from_secs(20) {
            break health;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let target = &health["providers"][0]["targets"][0];
    assert_eq!(target["breaker"], "closed", "{health}");
    assert!(health["lack"]["what"].as_str().is_some_and(|what| what.contains("lacks")), "{health}");
    let answer = http::ask(served.address, Caller::Chat, "smart", "one two", false).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

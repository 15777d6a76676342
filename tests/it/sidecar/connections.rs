//! Connections: clients that leave, are slow or silent, and how connections end.

use std::time::{Duration, Instant};

use standin::testing::{Answer, Fault, Latency, Script};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::http::{self, Caller, Exchange};
use super::{Stage, stage, stage_with, until};

const FOR_EVER: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn a_caller_that_hangs_up_takes_its_attempt_along() {
    for (how, script) in [
        ("before its answer", Script { first_token: Latency::Fixed(FOR_EVER), ..Script::default() }),
        ("in its middle", Script { per_token: FOR_EVER, ..Script::default() }),
    ] {
        for stream in [false, true] {
            for caller in Caller::ALL {
                let stage = stage_with(1, script.clone(), |_| {}).await;
                let asked = http::begin(stage.sidecar.address(), caller, "smart", "one two", stream, &[]);
                let mut exchange = asked.await;
                stage.until(0, |counts| counts.in_flight == 1).await;
                if stream && how == "in its middle" {
                    exchange.until(|seen| seen.contains("one")).await;
                }
                drop(exchange);
                stage.until(0, |counts| counts.client_left == 1 && counts.in_flight == 0).await;
                until(|| stage.sidecar.runtime().health().calls == 0).await;
                let metrics = http::get(stage.sidecar.address(), "/metrics").await.body;
                assert!(metrics.matches("outcome=\"caller_left\"} 1").count() == 2, "{metrics}");
            }
        }
    }
}

/// Asks by a connection of its own, and says that nothing more is sent.
async fn half_closed(stage: &Stage, stream: bool) -> TcpStream {
    let (path, body) = Caller::Chat.ask("smart", "one two", stream);
    let body = body.to_string();
    let mut socket = TcpStream::connect(stage.sidecar.address()).await.expect("a connection");
    let head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    socket.write_all(head.as_bytes()).await.expect("room");
    socket.shutdown().await.expect("half of it");
    socket
}

#[tokio::test]
async fn a_caller_that_sends_no_more_gets_its_answer_and_one_that_is_gone_is_noticed() {
    let slow = Duration::from_millis(700);
    let stage =
        stage_with(1, Script { first_token: Latency::Fixed(slow), per_token: slow, ..Script::default() }, |_| {}).await;
    for stream in [false, true] {
        let mut answer = String::new();
        let mut socket = half_closed(&stage, stream).await;
        socket.read_to_string(&mut answer).await.expect("an answer");
        let (before, answer) = answer.split_at(answer.find("HTTP/1.1 200").expect("an answer"));
        assert!(before.starts_with("HTTP/1.1 100 Continue\r\n\r\n"), "{before}");
        assert!(answer.contains("two") && !answer.contains("HTTP/1.1 100"), "{answer}");
        assert!(
            if stream { answer.ends_with("data: [DONE]\n\n\r\n0\r\n\r\n") } else { answer.ends_with('}') },
            "{answer}"
        );
    }
    for (how, script) in [
        ("before its answer", Script { first_token: Latency::Fixed(FOR_EVER), ..Script::default() }),
        ("in its middle", Script { per_token: FOR_EVER, ..Script::default() }),
    ] {
        for stream in [false, true] {
            let stage = stage_with(1, script.clone(), |_| {}).await;
            let mut socket = half_closed(&stage, stream).await;
            stage.until(0, |counts| counts.in_flight == 1).await;
            if stream && how == "in its middle" {
                let mut seen = Vec::new();
                while !String::from_utf8_lossy(&seen).contains("one") {
                    socket.read_buf(&mut seen).await.expect("a word");
                }
            }
            tokio::time::sleep(slow).await;
            assert_eq!(stage.counts(0).in_flight, 1, "it waits, {how}");
            let left = Instant::now();
            drop(socket);
            stage.until(0, |counts| counts.client_left == 1 && counts.in_flight == 0).await;
            assert!(left.elapsed() < Duration::from_secs(1), "{how}: {:?}", left.elapsed());
        }
    }
}

/// Tokens of an answer that no socket holds: 64 MiB.
const TOKENS: usize = 64 * 1_024;

/// Begins to read a long answer, and reads no more.
async fn begin_to_read(stage: &Stage) -> Exchange {
    let word = "x".repeat(1_023);
    stage.drills[0].handle().say(Answer::text(vec![word; TOKENS].join(" ")));
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4_096).expect("a small buffer");
    let mut exchange = Exchange::over(socket.connect(stage.sidecar.address()).await.expect("a connection"));
    let (path, body) = Caller::Chat.ask("smart", "Tell me everything.", true);
    let body = body.to_string();
    exchange
        .send(&format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
        .await;
    exchange.until(|seen| seen.contains("xxx")).await;
    exchange
}

#[tokio::test]
async fn a_reader_that_takes_nothing_holds_its_provider_back() {
    let stage = stage_with(1, Script::default(), |settings| {
        // The bytes sent until then are all that were taken.
        settings.runtime.consumer_stall_max = Duration::from_millis(500);
    })
    .await;
    let _reader = begin_to_read(&stage).await;
    stage.until(0, |counts| counts.client_left == 1).await;
    // Sockets hold some megabytes on the way; the answer has 64.
    let sent = stage.counts(0).tokens;
    assert!(sent < TOKENS as u64 / 2, "{sent} of {TOKENS} tokens were taken from the provider");
}

#[tokio::test]
async fn a_reader_that_takes_nothing_loses_its_connection_and_with_it_its_place() {
    let stage = stage_with(1, Script::default(), |settings| {
        settings.server.write_timeout = Duration::from_millis(200);
        settings.server.connections_max = 1;
    })
    .await;
    let _reader = begin_to_read(&stage).await;
    let mut next = Exchange::connect(stage.sidecar.address()).await;
    next.send("GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    next.until(|seen| seen.starts_with("HTTP/1.1 200")).await;
}

#[tokio::test]
async fn a_head_that_does_not_arrive_closes_its_connection() {
    let stage = stage_with(1, Script::default(), |settings| {
        settings.server.head_timeout = Duration::from_millis(50);
    })
    .await;
    let to = stage.sidecar.address();
    for sent in [
        "",
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n",
        "GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n",
    ] {
        let mut exchange = Exchange::connect(to).await;
        exchange.send(sent).await;
        let came = exchange.closed().await;
        assert_eq!(came.contains("standin"), sent.starts_with("GET"), "{sent:?}: {came:?}");
    }
}

#[tokio::test]
async fn a_connection_serves_one_request_after_another() {
    let stage = stage(1).await;
    let mut exchange = Exchange::connect(stage.sidecar.address()).await;
    for count in 1..=3 {
        exchange.send("GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        exchange.until(|seen| seen.matches("HTTP/1.1 200 OK").count() == count && seen.ends_with("standin\n")).await;
    }
}

#[tokio::test]
async fn bytes_that_are_no_http_close_their_connection_and_nothing_else() {
    let stage = stage(1).await;
    let to = stage.sidecar.address();
    for garbage in ["\u{16}\u{3}\u{1}\u{2}\r\n\r\n", "GET\r\n\r\n", &format!("GET /{} ", "x".repeat(1 << 20))] {
        let mut exchange = Exchange::connect(to).await;
        exchange.try_send(garbage).await;
        let came = exchange.closed().await;
        assert!(came.is_empty() || came.starts_with("HTTP/1.1 4"), "{came}");
    }
    assert_eq!(http::get(to, "/live").await.status, 200);
}

#[tokio::test]
async fn stopping_lets_calls_end_and_takes_no_more() {
    let stage = stage_with(1, Script { per_token: Duration::from_millis(30), ..Script::default() }, |_| {}).await;
    let to = stage.sidecar.address();
    let mut exchange = http::begin(to, Caller::Chat, "smart", "one two three four five", true, &[]).await;
    exchange.until(|seen| seen.contains("one")).await;
    let (cut, reply) = tokio::join!(stage.sidecar.stop(http::PATIENCE), exchange.end());
    assert_eq!((cut, reply.is_whole), (0, true), "{reply:?}");
    assert_eq!(Caller::Chat.streamed(&reply.body), "one two three four five");
    assert!(tokio::net::TcpStream::connect(to).await.is_err(), "it still listens");
}

#[tokio::test]
async fn stopping_cuts_what_is_left_at_its_deadline_and_says_how_many() {
    for connections_max in [2, 100] {
        let stage = stage_with(1, Script::default(), |settings| {
            settings.server.connections_max = connections_max;
        })
        .await;
        let to = stage.sidecar.address();
        stage.drills[0].handle().next(1, Fault::StallAfter(1));
        let mut begun = http::begin(to, Caller::Anthropic, "smart", "one two", true, &[]).await;
        begun.until(|seen| seen.contains("one")).await;
        stage.drills[0].handle().always(Fault::Hang);
        let waiting = http::begin(to, Caller::Chat, "smart", "one two", false, &[]).await;
        stage.until(0, |counts| counts.in_flight == 2).await;
        // With two places both are taken: no client waits for one of them.
        let stopping = stage.sidecar.stop(Duration::from_millis(50));
        let stopping = tokio::time::timeout(http::PATIENCE / 4, stopping);
        let (cut, begun, waiting) = tokio::join!(stopping, begun.end(), waiting.end());
        assert_eq!(cut, Ok(2));
        assert_eq!((waiting.status, waiting.is_whole), (503, true), "{waiting:?}");
        assert!(waiting.header("retry-after").is_some(), "{waiting:?}");
        assert!(!begun.is_whole && begun.body.contains("event: error"), "{begun:?}");
        assert!(!begun.body.contains("message_stop"), "{begun:?}");
    }
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let first = stage(1).await;
    let mut second = first.settings.clone();
    second.server.listen = first.sidecar.address();
    let refused = standin::sidecar::Sidecar::start(second).await.err().expect("a refusal").to_string();
    assert!(refused.starts_with("server.listen: cannot listen on 127.0.0.1:"), "{refused}");
}

#[tokio::test]
async fn a_certificate_that_is_not_there_is_named() {
    let stage = stage(1).await;
    let mut settings = stage.settings.clone();
    let nowhere = std::path::PathBuf::from("nowhere.pem");
    settings.server.tls = Some(standin::sidecar::TlsConfig { certificate: nowhere.clone(), key: nowhere });
    let refused = standin::sidecar::Sidecar::start(settings).await.err().expect("a refusal").to_string();
    assert!(refused.starts_with("server.tls.certificate: nowhere.pem: "), "{refused}");
}

use std::time::Duration;

use http::HeaderMap;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::testing::tests::reader::{ask, cases, retell};
use crate::testing::{Counts, Fault, Latency, Outcome, ProviderError};
use crate::transport::{HttpRequest, Transport as _};

async fn drill() -> Drill {
    Drill::start(Script::default()).await.unwrap()
}

fn post(body: &str, headers: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST /v1/chat/completions HTTP/1.1\r\nhost: drill\r\n{headers}content-length: {length}\r\n\r\n{body}")
        .into()
}

fn last_post(stream: bool) -> Vec<u8> {
    post(&ask(stream), "connection: close\r\n")
}

/// Sends bytes and reads to the connection's end: what came, and whether it ended in a reset.
async fn send(drill: &Drill, bytes: &[u8]) -> (Vec<u8>, bool) {
    let Ok(mut stream) = TcpStream::connect(drill.address()).await else {
        return (b"refused".to_vec(), false);
    };
    let mut got = Vec::new();
    let is_reset = stream.write_all(bytes).await.is_err() || patient(stream.read_to_end(&mut got)).await.is_err();
    (got, is_reset)
}

/// The limit of a test that would otherwise wait for ever; a test that passes takes far less.
async fn patient<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it ends within a minute")
}

/// Splits a response into head, body without framing, and whether the body is as long as the head promised.
fn split(response: &[u8]) -> (String, Vec<u8>, bool) {
    let end = response.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
    let head = String::from_utf8(response[..end].to_vec()).unwrap();
    let mut rest = &response[end..];
    if let Some((_, length)) = head.split_once("content-length: ") {
        let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
        return (head, rest.to_vec(), rest.len() == length);
    }
    assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
    let mut body = Vec::new();
    while let Some(line) = rest.windows(2).position(|two| two == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        body.extend_from_slice(&rest[line + 2..line + 2 + size]);
        assert_eq!(&rest[line + 2 + size..line + 4 + size], b"\r\n");
        rest = &rest[line + 4 + size..];
        if size == 0 {
            assert!(rest.is_empty(), "something comes after the end");
            return (head, body, true);
        }
    }
    (head, body, false)
}

fn status(response: &[u8]) -> &str {
    std::str::from_utf8(response.get(9..12).expect("a response")).unwrap()
}

fn told((response, is_reset): (Vec<u8>, bool)) -> String {
    if response == b"refused" {
        return "refused".into();
    }
    if response.is_empty() {
        return if is_reset { "reset" } else { "!" }.into();
    }
    let (_, body, is_whole) = split(&response);
    format!("{} {} {}", status(&response), retell(&body), if is_whole && !is_reset { '.' } else { '!' })
}

/// Waits until the provider's counts match. The time that takes does not matter.
async fn until(drill: &Drill, are_so: impl Fn(Counts) -> bool) {
    patient(async {
        while !are_so(drill.handle().counts()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn every_fault_shows_on_the_socket() {
    for (fault, streamed, whole) in cases() {
        for (stream, expected) in [(true, streamed), (false, whole)] {
            let drill = drill().await;
            if let Some(fault) = fault.clone() {
                drill.handle().always(fault);
            }
            drill.settled().await;
            if let Some(before) = expected.strip_suffix('~') {
                let address = drill.address();
                let client = tokio::spawn(async move {
                    let mut stream_to = TcpStream::connect(address).await.unwrap();
                    stream_to.write_all(&last_post(stream)).await.unwrap();
                    let mut got = Vec::new();
                    let is_reset = stream_to.read_to_end(&mut got).await.is_err();
                    (got, is_reset)
                });
                until(&drill, |counts| counts.faulted == 1).await;
                assert_eq!(drill.handle().counts().in_flight, 1, "{fault:?}");
                assert!(!client.is_finished());
                drill.stop().await;
                assert_eq!(told(client.await.unwrap()), format!("{before}!"), "{fault:?}, stream: {stream}");
                continue;
            }
            assert_eq!(told(send(&drill, &last_post(stream)).await), expected, "{fault:?}, stream: {stream}");
        }
    }
}

#[tokio::test]
async fn in_process_and_on_sockets_the_same_bytes_are_played() {
    let script = || Script { seed: 11, ..Script::default() };
    let (drill, in_process) = (Drill::start(script()).await.unwrap(), Scripted::new(script()));
    for provider in [drill.handle(), &in_process] {
        provider.sometimes(0.3, Fault::CutAfter(1));
        provider.sometimes(0.3, Fault::InvalidJson);
        provider.sometimes(0.2, Fault::Error(ProviderError::BadGateway));
    }
    for number in 0..40 {
        let (head, body, _) = split(&send(&drill, &last_post(number % 2 == 0)).await.0);
        let request = HttpRequest {
            url: drill.base_url() + "/chat/completions",
            headers: HeaderMap::new(),
            body: ask(number % 2 == 0).into(),
            words: None,
        };
        let response = in_process.send(request).await.unwrap();
        let id = response.headers["x-request-id"].to_str().unwrap();
        assert!(head.contains(&format!("x-request-id: {id}\r\n")), "{head}");
        let chunks = futures_util::StreamExt::collect::<Vec<_>>(response.body).await;
        let other: Vec<u8> = chunks.into_iter().filter_map(Result::ok).flatten().collect();
        assert_eq!(body, other, "request {number}");
    }
    let seen =
        |provider: &Scripted| provider.log().into_iter().map(|r| (r.outcome, r.faults, r.tokens)).collect::<Vec<_>>();
    assert_eq!(seen(drill.handle()), seen(&in_process));
}

#[tokio::test]
async fn each_token_is_a_chunk_of_its_own() {
    let drill = drill().await;
    let (response, _) = send(&drill, &last_post(true)).await;
    let text = String::from_utf8(response).unwrap();
    for token in ["\"one\"", "\" two\"", "\" three\""] {
        let at = text.find(&format!("{{\"content\":{token}}}")).unwrap();
        assert_eq!(text[..at].rfind("\r\ndata: "), text[..at].rfind("\r\n"), "{token}");
        assert!(text[at..].split("\n\n").nth(1).unwrap().starts_with("\r\n"), "{token}");
    }
}

#[tokio::test]
async fn a_connection_serves_one_request_after_the_other() {
    let drill = drill().await;
    let mut stream = TcpStream::connect(drill.address()).await.unwrap();
    for _ in 0..3 {
        stream.write_all(&post(&ask(true), "")).await.unwrap();
        let mut got = Vec::new();
        while !got.ends_with(b"\r\n0\r\n\r\n") {
            assert_ne!(stream.read_buf(&mut got).await.unwrap(), 0);
        }
        assert!(!split(&got).0.contains("connection: close"));
    }
    stream.write_all(&last_post(true)).await.unwrap();
    let mut got = Vec::new();
    patient(stream.read_to_end(&mut got)).await.unwrap();
    assert!(split(&got).0.contains("connection: close\r\n"));
    assert_eq!(drill.handle().answered(), 4);
}

#[tokio::test]
async fn a_request_may_come_in_chunks_byte_by_byte_or_after_a_continue() {
    let drill = drill().await;
    let body = ask(false);
    let (first, second) = body.split_at(20);
    let (one, two) = (first.len(), second.len());
    let chunked = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: drill\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n\
         {one:x};ext=1\r\n{first}\r\n{two:X}\r\n{second}\r\n0\r\ntrailer: t\r\n\r\n"
    );
    let well = "200 'one two three' =stop #3/3 .";
    assert_eq!(told(send(&drill, chunked.as_bytes()).await), well);

    let mut stream = TcpStream::connect(drill.address()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for byte in chunked.as_bytes() {
        stream.write_all(&[*byte]).await.unwrap();
    }
    let mut got = Vec::new();
    patient(stream.read_to_end(&mut got)).await.unwrap();
    assert_eq!(told((got, false)), well);

    let mut stream = TcpStream::connect(drill.address()).await.unwrap();
    let request = String::from_utf8(post(&body, "connection: close\r\nexpect: 100-continue\r\n")).unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    stream.write_all(format!("{head}\r\n\r\n").as_bytes()).await.unwrap();
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut got = Vec::new();
    patient(stream.read_to_end(&mut got)).await.unwrap();
    assert_eq!(told((got, false)), well);
    assert!(drill.log().iter().all(|record| record.body == ask(false)));
}

#[tokio::test]
async fn bytes_that_are_no_request_are_refused_and_the_connection_closes() {
    let drill = drill().await;
    let post = "POST /v1/chat/completions HTTP/1.1\r\n";
    let table = [
        ("hello?\r\n\r\n".to_owned(), "400"),
        ("\u{0}\u{1}\u{2}".to_owned(), "400"),
        ("GET / HTTP/1.0\r\n\r\n".to_owned(), "505"),
        (format!("{post}content-length: 3\r\ncontent-length: 4\r\n\r\nabcd"), "400"),
        (format!("{post}content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n"), "400"),
        (format!("{post}content-length: -1\r\n\r\n"), "400"),
        (format!("{post}content-length: 99999999999999999999\r\n\r\n"), "400"),
        (format!("{post}content-length: 99999999\r\n\r\n"), "413"),
        (format!("{post}transfer-encoding: gzip\r\n\r\n"), "400"),
        (format!("{post}transfer-encoding: chunked\r\n\r\nzz\r\n"), "400"),
        (format!("{post}transfer-encoding: chunked\r\n\r\n3\r\nabcdefg"), "400"),
        (format!("{post}transfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n"), "413"),
        (format!("{post}{}\r\n", "a: b\r\n".repeat(101)), "431"),
        (format!("{post}a: {}\r\n\r\n", "b".repeat(70_000)), "431"),
    ];
    for (request, expected) in table {
        let (response, is_reset) = send(&drill, request.as_bytes()).await;
        assert_eq!((status(&response), is_reset), (expected, false), "{}", &request[..request.len().min(90)]);
        assert!(split(&response).2);
    }
    assert_eq!(drill.handle().received(), 0);
    assert!(told(send(&drill, &last_post(true)).await).starts_with("200"));
}

#[tokio::test]
async fn no_garbage_harms_the_drill() {
    let drill = drill().await;
    let mut rng = StdRng::seed_from_u64(5);
    for _ in 0..200 {
        let mut bytes = last_post(true);
        for _ in 0..rng.random_range(1..8) {
            let at = rng.random_range(0..bytes.len());
            match rng.random_range(0..3) {
                0 => bytes[at] = rng.random(),
                1 => bytes.truncate(at + 1),
                _ => bytes.insert(at, rng.random()),
            }
        }
        let mut stream = TcpStream::connect(drill.address()).await.unwrap();
        // In any case the drill must close its side once this one is closed.
        let _ = stream.write_all(&bytes).await;
        let _ = stream.shutdown().await;
        let _ = patient(stream.read_to_end(&mut Vec::new())).await;
    }
    until(&drill, |counts| counts.in_flight == 0).await;
    assert!(told(send(&drill, &last_post(true)).await).starts_with("200"));
}

#[tokio::test]
async fn a_refusal_closes_idle_connections_and_lifting_it_opens_the_same_port() {
    let drill = drill().await;
    let mut idle = TcpStream::connect(drill.address()).await.unwrap();
    idle.write_all(&post(&ask(true), "")).await.unwrap();
    until(&drill, |counts| counts.answered == 1).await;
    for round in 0..3 {
        let refusal = drill.handle().always(Fault::Refuse);
        drill.settled().await;
        // By a close, or a reset where it was not accepted yet.
        let _ = patient(idle.read_to_end(&mut Vec::new())).await;
        assert_eq!(TcpStream::connect(drill.address()).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        drill.handle().lift(refusal);
        drill.settled().await;
        assert!(told(send(&drill, &last_post(true)).await).starts_with("200"), "round {round}");
        idle = TcpStream::connect(drill.address()).await.unwrap();
    }
}

#[tokio::test]
async fn an_answer_under_way_survives_a_refusal_of_new_ones() {
    let drill = Drill::start(Script { per_token: Duration::from_millis(20), ..Script::default() }).await.unwrap();
    let mut stream = TcpStream::connect(drill.address()).await.unwrap();
    stream.write_all(&post(&ask(true), "")).await.unwrap();
    let mut got = vec![0; 1];
    stream.read_exact(&mut got).await.unwrap();
    drill.handle().always(Fault::Refuse);
    drill.settled().await;
    patient(stream.read_to_end(&mut got)).await.unwrap();
    assert_eq!(told((got, false)), "200 role 'one' ' two' ' three' =stop done .");
}

#[tokio::test]
async fn a_refusal_by_number_is_a_reset_that_was_never_received() {
    let drill = drill().await;
    drill.handle().next(1, Fault::Refuse);
    drill.settled().await;
    assert_eq!(told(send(&drill, &last_post(true)).await), "reset");
    assert_eq!((drill.handle().counts().refused, drill.handle().received()), (1, 0));
    assert!(told(send(&drill, &last_post(true)).await).starts_with("200"));
}

#[tokio::test]
async fn a_black_hole_keeps_alive_until_the_client_leaves() {
    let drill = drill().await;
    drill.handle().always(Fault::BlackHole { every: Duration::ZERO });
    let mut stream = TcpStream::connect(drill.address()).await.unwrap();
    stream.write_all(&post(&ask(true), "")).await.unwrap();
    let mut got = Vec::new();
    while !String::from_utf8_lossy(&got).contains("\r\ne\r\n: keep-alive\n\n\r\ne\r\n: keep-alive\n\n\r\n") {
        assert_ne!(stream.read_buf(&mut got).await.unwrap(), 0);
    }
    assert_eq!((status(&got), drill.log()[0].outcome), ("200", Outcome::Fault("black_hole")));
    drop(stream);
    until(&drill, |counts| counts.in_flight == 0).await;
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed_while_the_drill_waits() {
    for fault in [None, Some(Fault::Hang), Some(Fault::StallAfter(1))] {
        let first_token = Latency::Fixed(Duration::from_secs(if fault.is_none() { 3_000 } else { 0 }));
        let drill = Drill::start(Script { first_token, ..Script::default() }).await.unwrap();
        let outcome = fault.as_ref().map_or(Outcome::ClientLeft, |fault| Outcome::Fault(fault.name()));
        if let Some(fault) = fault {
            drill.handle().always(fault);
        }
        let mut stream = TcpStream::connect(drill.address()).await.unwrap();
        stream.write_all(&post(&ask(true), "")).await.unwrap();
        until(&drill, |counts| counts.in_flight == 1).await;
        drop(stream);
        until(&drill, |counts| counts.in_flight == 0).await;
        assert_eq!(drill.log()[0].outcome, outcome);
    }
}

#[tokio::test]
async fn stopping_lets_an_answer_end_and_a_drop_does_not() {
    for stops in [true, false] {
        let drill = Drill::start(Script { per_token: Duration::from_millis(20), ..Script::default() }).await.unwrap();
        let (address, handle) = (drill.address(), drill.handle().clone());
        if !stops {
            handle.always(Fault::SlowTokens(1e6));
        }
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&post(&ask(true), "")).await.unwrap();
        let mut got = vec![0; 1];
        stream.read_exact(&mut got).await.unwrap();
        if stops {
            drill.stop().await;
            assert!(TcpStream::connect(address).await.is_err());
            assert_eq!(handle.answered(), 1);
        } else {
            drop(drill);
        }
        let ended = stream.read_to_end(&mut got).await;
        assert_eq!(told((got, ended.is_err())).ends_with('.'), stops);
    }
}

#[tokio::test]
async fn another_http_client_reads_the_same() {
    let drill = drill().await;
    let client = reqwest::Client::new();
    for (fault, expected) in [
        (None, "200 role 'one' ' two' ' three' =stop done ."),
        (Some(Fault::CutAfter(1)), "200 role 'one' !"),
        (Some(Fault::Error(ProviderError::BadGateway)), "502 ? ."),
    ] {
        drill.handle().clear();
        if let Some(fault) = fault {
            drill.handle().always(fault);
        }
        let request = client.post(drill.base_url() + "/chat/completions").body(ask(true));
        let mut response = request.send().await.unwrap();
        let (mut body, status) = (Vec::new(), response.status().as_u16());
        let end = loop {
            match response.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break '.',
                Err(_) => break '!',
            }
        };
        assert_eq!(format!("{status} {} {end}", retell(&body)), expected);
    }
    drill.handle().clear();
    let reset = drill.handle().always(Fault::Reset);
    assert!(client.post(drill.base_url() + "/chat/completions").body(ask(true)).send().await.is_err());
    drill.handle().lift(reset);
    assert_eq!(client.get(drill.base_url() + "/models").send().await.unwrap().status(), 200);
}

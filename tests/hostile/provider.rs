//! A hostile provider: none of its answers is one.

use std::net::SocketAddr;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::world::ask;

/// Makes a call that only the hostile provider may answer: its answer never looks whole.
pub async fn be_asked(to: SocketAddr, mut rng: StdRng) {
    let (stream, buffered) = (rng.random_bool(0.6), rng.random_bool(0.3));
    let body = format!(
        r#"{{"model":"bad","stream":{stream},"messages":[{{"role":"user","content":"How is it?"}}]{}}}"#,
        if buffered { r#","metadata":{"x-standin-stream":"buffered"}"# } else { "" }
    );
    let answer = tokio::time::timeout(Duration::from_secs(60), ask(to, &body)).await.expect("a call hangs");
    let whole = answer.contains("data: [DONE]") || answer.contains("\"finish_reason\":\"stop\"");
    assert!(!whole, "it looks whole: {}", &answer[..answer.len().min(2_000)]);
    let clean = answer.chars().all(|letter| !letter.is_control() || "\r\n\t".contains(letter));
    assert!(clean || stream, "an error with commands for a terminal: {answer:?}");
}

const EVENT: &str =
    "data: {\"id\":\"a\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"word \"}}]}\n\n";

/// Answers as a number says.
pub async fn answer(mut stream: TcpStream, number: u64, _: bool) -> bool {
    let mut rng = StdRng::seed_from_u64(number);
    let open = |kind: &str| format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n");
    let (events, json) = (open("text/event-stream"), open("application/json"));
    let error = |status: &str, headers: &str, body: &str| {
        format!(
            "HTTP/1.1 {status}\r\n{headers}content-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let few = rng.random_range(0..50);
    // What is sent first, and what after it this many times.
    let (first, again, times): (String, String, usize) = match rng.random_range(0..26) {
        0 => (events, EVENT.repeat(200), 100_000),
        1 => (json + "{\"choices\":[{\"message\":{\"content\":\"", "word ".repeat(10_000), 10_000),
        2 => (events, EVENT.to_owned(), few),
        3 => (events + EVENT, String::new(), 0),
        4 => (events + "data: ", "x".repeat(100_000), 1_000),
        5 => (events, ": keep-alive\n\n".repeat(1_000), 3_000),
        6 => (events + &EVENT.replace("word ", "\\u001b[2J\\u0007"), EVENT[..40].to_owned(), 1),
        7 => (json + &"[".repeat(100_000), String::new(), 0),
        8 => (json + "{\"choices\":[", "{\"message\":{},\"index\":0},".repeat(1_000), 500),
        9 => (
            "HTTP/1.1 200 OK\r\ncontent-length: 99999\r\ncontent-type: text/event-stream\r\n\r\n"
            .to_owned() + EVENT, String::new(), 0),
        10 => (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-type: text/event-stream\r\n\r\nFFFFFFFFFFFFFFFF\r\n"
            .to_owned() + EVENT, String::new(), 0),
        11 => ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_owned(), String::new(), 0),
        12 => ("HTTP/1.1 100 Continue\r\n\r\n".to_owned(), "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(100), 100),
        13 => (format!("HTTP/1.1 200 OK\r\nx: {}\r\n", "y".repeat(1 << 20)), "x: y\r\n".repeat(1_000), 1_000),
        14 => (
            "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"
            .to_owned(), String::new(), 0),
        15 => (error("429 Too Many Requests", "retry-after: 99999999999999999999\r\n",
            "{\"error\":{\"message\":\"slow\"}}"), String::new(), 0),
        16 => (error("503 Service Unavailable", "retry-after: 1e400\r\n", "\u{1b}]0;owned\u{7}\u{1b}[2J"),
            String::new(), 0),
        17 => (error("400 Bad Request", "", &format!("{{\"error\":{{\"message\":\"{} sk-bad-1 \\u001b[2J\"}}}}",
            "m".repeat(100_000))), String::new(), 0),
        18 => (events,
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{{{{\"}}]}}]}\n\n"
            .repeat(100), 10_000),
        19 => (events, (0..1_000).map(|at| format!(
            "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"tool_calls\":[{{\"index\":{at},\"id\":\"{at}\",\"function\":{{\"name\":\"f\",\"arguments\":\"{{}}\"}}}}]}}}}]}}\n\n"))
            .collect::<Vec<_>>().concat(), 1),
        20 => (events + EVENT +
            "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":18446744073709551615,\"completion_tokens\":18446744073709551615,\"total_tokens\":1}}\n\n",
            String::new(), 0),
        21 => (events + "data: {\"error\":{\"message\":\"no\",\"code\":1e999}}\n\n", String::new(), 0),
        22 => ("SSH-2.0-OpenSSH\r\n".to_owned(), String::new(), 0),
        23 => (events, (0..few).map(|at| format!(
            "data: {{\"choices\":[{{\"delta\":{{\"k{at}\":\"{at}\"}}}}],\"u{at}\":[[[[0]]]]}}\n\n"))
            .collect::<Vec<_>>().concat(), 10),
        24 => (json.replace("200 OK", "200"), "\r\n".repeat(1_000), 10_000),
        _ => (String::new(), String::new(), 0),
    };
    if stream.write_all(first.as_bytes()).await.is_err() {
        return false;
    }
    if number % 26 == 3 {
        let mut noise = vec![0; 4_000];
        rng.fill_bytes(&mut noise);
        let _ = stream.write_all(&noise).await;
    }
    for _ in 0..times {
        if stream.write_all(again.as_bytes()).await.is_err() {
            return false;
        }
    }
    // Some leave at once, some never do.
    if rng.random_bool(0.2) {
        tokio::time::sleep(Duration::from_secs(4)).await;
    }
    true
}

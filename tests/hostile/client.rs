//! A hostile client: requests that are broken, huge, slow, or meant to be read in two ways.

use std::net::SocketAddr;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The longest that one input is looked at.
const LOOK: Duration = Duration::from_millis(700);
const PATHS: [&str; 9] = [
    "/v1/chat/completions",
    "/v1/messages",
    "/v1/responses",
    "/v1beta/models/good:generateContent",
    "/v1beta/models/good:streamGenerateContent?alt=sse",
    "/v1/embeddings",
    "/v1/messages/count_tokens",
    "/explain/%2e%2e%2f",
    "/v1/models/%00%ff",
];

/// Sends one input and reads the answer.
pub async fn attack(to: SocketAddr, mut rng: StdRng) {
    let bytes = input(to, &mut rng);
    let Ok(mut stream) = TcpStream::connect(to).await else { return };
    let (slow, rude) = (rng.random_bool(0.1), rng.random_bool(0.2));
    let sending = async {
        for piece in bytes.chunks(if slow { 1 + bytes.len() / 20 } else { 1 << 20 }) {
            if stream.write_all(piece).await.is_err() {
                break;
            }
            if slow {
                tokio::time::sleep(LOOK / 20).await;
            }
        }
        if rude {
            return Vec::new();
        }
        let mut came = Vec::new();
        let mut piece = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = stream.read(&mut piece).await {
            came.extend_from_slice(&piece[..read]);
            if came.len() > 1 << 20 {
                break;
            }
        }
        came
    };
    let came = tokio::time::timeout(LOOK, sending).await.unwrap_or_default();
    if !came.is_empty() {
        assert!(
            came.starts_with(b"HTTP/1."),
            "no response: {:?}",
            String::from_utf8_lossy(&came[..came.len().min(200)])
        );
        let is_crash = came.get(8..).is_some_and(|rest| rest.starts_with(b" 500"));
        assert!(!is_crash, "a crash: {}", String::from_utf8_lossy(&came));
    }
}

fn input(to: SocketAddr, rng: &mut StdRng) -> Vec<u8> {
    let body = body(rng);
    let path = PATHS[rng.random_range(0..PATHS.len())];
    let length = body.len();
    let framing = match rng.random_range(0..16) {
        0 => "content-length: 18446744073709551616\r\n".to_owned(),
        1 => "content-length: 99999999999\r\nexpect: 100-continue\r\n".to_owned(),
        2 => format!("content-length: {length}\r\ncontent-length: {}\r\n", length + 1),
        3 => format!("content-length: {length}\r\ntransfer-encoding: chunked\r\n"),
        4 => "transfer-encoding: chunked\r\n".to_owned(),
        5 => format!("content-length: {}\r\n", length / 2),
        6 => format!("content-length: {}\r\n", length * 2),
        7 => format!("content-length: {length}\n"),
        8 => format!("x: a\r\n b\r\ncontent-length: {length}\r\n"),
        _ => format!("content-length: {length}\r\n"),
    };
    let more = match rng.random_range(0..10) {
        0 => format!("x-standin-session: {}\r\n", "s".repeat(rng.random_range(0..9_000))),
        1 => format!(
            "x-standin-deadline: {}\r\n",
            ["1e308", "-1", "NaN", "9999999999years", "0.001"][rng.random_range(0..5)]
        ),
        2 => format!("x-standin-tag-{}: {}\r\n", "t".repeat(rng.random_range(0..900)), "v".repeat(900)),
        3 => format!(
            "{}\r\n",
            (0..rng.random_range(0..200)).map(|at| format!("x{at}: y\r\n")).collect::<Vec<_>>().concat().trim_end()
        ),
        4 => format!("authorization: Bearer {}\r\n", "k".repeat(rng.random_range(0..9_000))),
        5 => "host: other\r\n".to_owned(),
        6 => "x-standin-stream: buffered\r\nx-standin-priority: critical\r\n".to_owned(),
        _ => String::new(),
    };
    let head = format!("POST {path} HTTP/1.1\r\nhost: {to}\r\ncontent-type: application/json\r\n{more}{framing}\r\n");
    let mut bytes = [head.as_bytes(), &body].concat();
    match rng.random_range(0..8) {
        // Some flipped bits.
        0 => {
            for _ in 0..rng.random_range(1..20) {
                let at = rng.random_range(0..bytes.len().min(2_000));
                bytes[at] ^= 1 << rng.random_range(0..8);
            }
        }
        1 => bytes.truncate(rng.random_range(0..bytes.len())),
        2 => bytes.extend_from_slice(&vec![b'x'; rng.random_range(1..40_000)]),
        3 => {
            let again = bytes.clone();
            bytes.extend_from_slice(&again);
        }
        4 if rng.random_bool(0.3) => {
            bytes = vec![0; rng.random_range(1..3_000)];
            rng.fill_bytes(&mut bytes);
        }
        _ => {}
    }
    bytes
}

fn body(rng: &mut StdRng) -> Vec<u8> {
    let size = 1 << rng.random_range(0..21);
    let said = |content: String| {
        format!(r#"{{"model":"good","max_tokens":9,"messages":[{{"role":"user","content":{content}}}]}}"#)
    };
    let text = match rng.random_range(0..16) {
        0 => format!(r#"{{"model":"good","messages":[{}]}}"#, vec!["0"; size].join(",")),
        1 => format!(r#"{{"zzz":[{}],{}"#, vec!["0"; size].join(","), &said("\"a\"".into())[1..]),
        2 => said(format!("{}1{}", "[".repeat(size), "]".repeat(size))),
        3 => said(format!("\"{}\"", "a".repeat(size))),
        4 => said(format!("\"{}\"", "\\ud800".repeat(size / 6))),
        5 => said(format!("[{}]", vec![r#"{"type":"text","text":"a"}"#; size / 32].join(","))),
        6 => format!(r#"{{"model":"good","model":"bad",{}"#, &said("\"a\"".into())[1..]),
        7 => format!("{{{}}}", (0..size / 16).map(|at| format!("\"k{at}\":0")).collect::<Vec<_>>().join(",")),
        8 => said("\"a\"".into()).replace("good", &"g".repeat(size)),
        9 => format!(r#"{{"model":"good","temperature":1e{size},"messages":[]}}"#),
        10 => format!(
            r#"{{"model":"good","tools":[{}],"messages":[{{"role":"user","content":"a"}}]}}"#,
            vec![r#"{"type":"function","function":{"name":"f","parameters":{"a":{"b":[1,2,3]}}}}"#; size / 80]
                .join(",")
        ),
        11 => format!(
            r#"{{"model":"good","metadata":{{"x-standin-session":"{}"}},{}"#,
            "s".repeat(size),
            &said("\"a\"".into())[1..]
        ),
        12 => format!(
            r#"{{"contents":[{{"role":"user","parts":[{{"text":"{}"}}]}}],"input":"a","model":"good"}}"#,
            "a".repeat(size)
        ),
        _ => said("\"How is it?\"".into()),
    };
    let mut bytes = text.into_bytes();
    if rng.random_bool(0.1) {
        let at = rng.random_range(0..bytes.len());
        bytes[at] = rng.random();
    }
    bytes
}

//! Models that never stop: whole or in a stream, in every dialect, to callers of every dialect, saying, thinking or
//! calling. Each ends at its limit, the provider is left, nothing looks whole, and memory stays as it was.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::child::{Served, program};
use super::http::{self, Caller, Exchange};

/// The beginning of an answer, and the part that is repeated without end.
#[derive(Clone)]
struct Endless {
    name: &'static str,
    dialect: &'static str,
    kind: &'static str,
    first: String,
    again: String,
}

/// Dialects, how each begins a stream, and what of it may be said for ever.
const STREAMS: [(&str, &str, &[&str], &str); 9] = [
    ("chat-text", "openai-chat", &[], r#"{"choices":[{"index":0,"delta":{"content":"WORDS"}}]}"#),
    ("chat-thought", "openai-chat", &[], r#"{"choices":[{"index":0,"delta":{"reasoning_content":"WORDS"}}]}"#),
    (
        "chat-call",
        "openai-chat",
        &[concat!(
            r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c","type":"function","#,
            r#""function":{"name":"f","arguments":"{\"a\":\""}}]}}]}"#
        )],
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"WORDS"}}]}}]}"#,
    ),
    (
        "chat-calls",
        "openai-chat",
        &[],
        concat!(
            r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"id":"WORDS","type":"function","#,
            r#""function":{"name":"WORDS","arguments":"{}"}}]}}]}"#
        ),
    ),
    (
        "responses-text",
        "openai-responses",
        &[
            r#"{"type":"response.created","response":{"id":"a","status":"in_progress","output":[]}}"#,
            concat!(
                r#"{"type":"response.output_item.added","output_index":0,"#,
                r#""item":{"id":"i","type":"message","role":"assistant","content":[]}}"#
            ),
        ],
        r#"{"type":"response.output_text.delta","item_id":"i","output_index":0,"content_index":0,"delta":"WORDS"}"#,
    ),
    (
        "anthropic-text",
        "anthropic",
        &[
            r#"{"type":"message_start","message":{"id":"a","role":"assistant","model":"m","content":[]}}"#,
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        ],
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"WORDS"}}"#,
    ),
    (
        "anthropic-thought",
        "anthropic",
        &[
            r#"{"type":"message_start","message":{"id":"a","role":"assistant","model":"m","content":[]}}"#,
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":""}}"#,
        ],
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"WORDS"}}"#,
    ),
    ("gemini-text", "gemini", &[], r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"WORDS"}]}}]}"#),
    (
        "gemini-thought",
        "gemini",
        &[],
        r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"WORDS","thought":true}]}}]}"#,
    ),
];

/// Dialects, and how each begins an answer whose text has no end.
const WHOLE: [(&str, &str, &str); 5] = [
    ("chat-whole", "openai-chat", r#"{"choices":[{"index":0,"message":{"role":"assistant","content":""#),
    (
        "responses-whole",
        "openai-responses",
        concat!(
            r#"{"id":"a","object":"response","status":"completed","output":[{"id":"i","type":"message","#,
            r#""role":"assistant","content":[{"type":"output_text","text":""#
        ),
    ),
    (
        "anthropic-whole",
        "anthropic",
        r#"{"id":"a","type":"message","role":"assistant","content":[{"type":"text","text":""#,
    ),
    ("gemini-whole", "gemini", r#"{"candidates":[{"content":{"role":"model","parts":[{"text":""#),
    ("ollama-whole", "ollama", r#"{"model":"m","message":{"role":"assistant","content":""#),
];

const WORDS: &str = "word word word word word word word word ";

fn endless() -> Vec<Endless> {
    const EVENTS: &str = "text/event-stream";
    let event = |data: &str| format!("data: {}\n\n", data.replace("WORDS", WORDS));
    let streams = STREAMS.map(|(name, dialect, first, again)| {
        let first = first.iter().map(|data| event(data)).collect();
        Endless { name, dialect, kind: EVENTS, first, again: event(again) }
    });
    let whole = WHOLE.map(|(name, dialect, first)| Endless {
        name,
        dialect,
        kind: "application/json",
        first: first.into(),
        again: WORDS.into(),
    });
    let others = [
        ("chat-event", "openai-chat", EVENTS, r#"data: {"choices":[{"index":0,"delta":{"content":""#, WORDS),
        (
            "ollama-text",
            "ollama",
            "application/x-ndjson",
            "",
            "{\"message\":{\"role\":\"assistant\",\"content\":\"word word word word word word \"},\"done\":false}\n",
        ),
    ];
    let others = others.map(|(name, dialect, kind, first, again)| Endless {
        name,
        dialect,
        kind,
        first: first.into(),
        again: again.into(),
    });
    streams.into_iter().chain(whole).chain(others).collect()
}

/// How long an answer may be here.
const ANSWER_MAX: usize = 64 * 1024;
/// The most bytes that one call may take from a provider: for each attempt the kept part of an answer, and the sockets'
/// buffers.
const SAID_MAX: u64 = 96 << 20;

/// Starts a provider that never ends; counts what it said.
async fn never_ends(endless: Endless, said: Arc<AtomicU64>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(say(stream, endless.clone(), said.clone()));
        }
    });
    address
}

async fn say(mut stream: TcpStream, endless: Endless, said: Arc<AtomicU64>) {
    let mut head = Vec::new();
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        if !matches!(stream.read_buf(&mut head).await, Ok(1..)) {
            return;
        }
    }
    let opening = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: {}\r\n\r\n", endless.kind);
    let mut piece = (opening + &endless.first).into_bytes();
    let again = endless.again.repeat(16 * 1024 / endless.again.len()).into_bytes();
    while stream.write_all(&piece).await.is_ok() {
        said.fetch_add(piece.len() as u64, Relaxed);
        piece.clone_from(&again);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_never_stops_ends_at_its_limit_in_every_dialect_and_never_looks_whole() {
    let all = endless();
    let said: Vec<Arc<AtomicU64>> = all.iter().map(|_| Arc::default()).collect();
    let mut config = format!("answer_bytes_max = {ANSWER_MAX}\n[failover]\ndeadline = \"20s\"\n");
    for (endless, said) in all.iter().zip(&said) {
        let address = never_ends(endless.clone(), said.clone()).await;
        let _ = write!(
            config,
            "[providers.{0}]\nbase_url = \"http://{address}\"\ndialect = \"{1}\"\nkeys = [\"sk-1\"]\nmodels.m = {{}}\n\
             [routes.{0}]\ntargets = [\"{0}/m\"]\n",
            endless.name, endless.dialect
        );
    }
    let (_, folder) = program("endless");
    fs::write(folder.join("given.toml"), config).expect("a file");
    let served = Served::start("endless", &["--config", "given.toml"], |_| {});
    let before = served.peak();
    for (endless, said) in all.iter().zip(&said) {
        for caller in Caller::ALL {
            for stream in [false, true] {
                // Each begins without statistics of the one before.
                let reset = Exchange::begin(served.address, "POST", "/reset", &[], "").await.end().await;
                assert_eq!(reset.status, 200, "{reset:?}");
                let (begun, already) = (Instant::now(), said.load(Relaxed));
                let (path, body) = caller.ask(endless.name, "How is it?", stream);
                let body = body.to_string();
                let answer = Exchange::begin(served.address, "POST", &path, &[], &body).await.end().await;
                let (name, took) = (endless.name, begun.elapsed());
                let start: String = answer.body.chars().take(300).collect();
                assert!(!answer.body.contains(caller.end()), "{name}, {caller:?}, {stream}: looks whole: {start}");
                assert!(answer.status >= 500 || !answer.is_whole, "{name}, {caller:?}, {stream}: {start}");
                assert!(took < Duration::from_secs(30), "{name}, {caller:?}, {stream}: took {took:?}");
                let said = said.load(Relaxed) - already;
                assert!((1..SAID_MAX).contains(&said), "{name}, {caller:?}, {stream}: {said} bytes were said");
            }
        }
    }
    let cost = served.peak() - before;
    assert!(cost < 128 << 20, "they cost {cost}");
    assert_eq!(http::get(served.address, "/live").await.status, 200);
}

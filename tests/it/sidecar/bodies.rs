//! Bodies: their length, their number, and their memory.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
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

/// Starts the program over strict providers. They have a thread of their own, so that their time for reading a body
/// does not count.
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
    over(folder, told.recv().expect("a drill"))
}

/// Starts the program over providers at an address: of OpenAI's dialect, `a`, of Anthropic's, `b`, and of Google's,
/// `c`. It has one thread for connections: work that holds that up, holds up all clients.
fn over(folder: &str, providers: SocketAddr) -> Served {
    let (_, at) = program(folder);
    let text = format!(
        "[providers.a]\nbase_url = \"http://{providers}/v1\"\nkeys = [\"sk-1\"]\nmodels.m = {{}}\n\
         [providers.b]\nbase_url = \"http://{providers}/v1\"\ndialect = \"anthropic\"\nkeys = [\"sk-1\"]\nmodels.m = {{}}\n\
         [providers.c]\nbase_url = \"http://{providers}/v1beta\"\ndialect = \"gemini\"\nkeys = [\"sk-1\"]\nmodels.m = {{}}\n\
         [routes.smart]\ntargets = [\"a/m\"]\n[routes.other]\ntargets = [\"b/m\"]\n[routes.third]\ntargets = [\"c/m\"]\n"
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
const LIVE_MAX: Duration = Duration::from_secs(3);

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

/// The bytes of a long body.
const LONG: usize = 32 << 20;

/// A text of lines, which has escapes in JSON.
fn lines(bytes: usize) -> String {
    "a line\n".repeat(bytes / 8)
}

const CHAT: &str = "/v1/chat/completions";
const MESSAGES: &str = "/v1/messages";
const RESPONSES: &str = "/v1/responses";
const GEMINI: &str = "/v1beta/models/MODEL:generateContent";

/// Starts providers that answer to anything with an empty object, and keep nothing of it.
fn careless() -> SocketAddr {
    const CHAT: &str = r#"data: {"choices":[{"index":0,"delta":{"content":"{}"},"finish_reason":"stop"}]}"#;
    const MESSAGES: &str = concat!(
        r#"data: {"type":"message_start","message":{"id":"m","usage":{"input_tokens":1,"output_tokens":1}}}"#,
        "\n\n",
        r#"data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":"{}"}}"#,
        "\n\n",
        r#"data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":1}}"#,
        "\n\n",
        r#"data: {"type":"message_stop"}"#,
    );
    const GEMINI: &str =
        r#"data: {"candidates":[{"content":{"role":"model","parts":[{"text":"{}"}]},"finishReason":"STOP"}]}"#;
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.expect("a connection"));
            let (mut head, mut length) = (String::new(), 0);
            while stream.read_line(&mut head).expect("a head") > 2 {
                let line = head.lines().next_back().unwrap_or_default();
                length = line.strip_prefix("content-length: ").map_or(length, |it| it.parse().expect("a number"));
            }
            std::io::copy(&mut stream.by_ref().take(length), &mut std::io::sink()).expect("a body");
            let events = match head.split(' ').nth(1).unwrap_or_default() {
                path if path.ends_with("/chat/completions") => CHAT,
                path if path.ends_with("/messages") => MESSAGES,
                _ => GEMINI,
            };
            let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/event-stream\r\n";
            let whole = format!("{head}content-length: {}\r\n\r\n{events}\n\n", events.len() + 2);
            stream.get_mut().write_all(whole.as_bytes()).expect("an answer");
        }
    });
    address
}

/// Sends bodies of one kind to a program of their own, for a model each: none may cost more than two and a half times
/// its bytes.
async fn assert_cheap(kind: &str, asked: &[(&str, &str, Value)]) {
    assert_within(kind, asked, 5).await;
}

/// The same, for a bound in halves of its bytes.
async fn assert_within(kind: &str, asked: &[(&str, &str, Value)], halves: u64) {
    for (at, (path, model, body)) in asked.iter().enumerate() {
        let served = over(&format!("{kind}-{at}"), careless());
        let warm = http::ask(served.address, Caller::Anthropic, "smart", "one two", false).await;
        assert_eq!(warm.status, 200, "{warm:?}");
        let (before, mut body) = (served.peak(), body.clone());
        if *path != GEMINI {
            body["model"] = json!(model);
        }
        let (path, body) = (path.replace("MODEL", model), body.to_string());
        let answer = Exchange::begin(served.address, "POST", &path, &[], &body).await.end().await;
        assert_eq!(answer.status, 200, "{path} {model}: {answer:?}");
        let (cost, length) = (served.peak() - before, body.len() as u64);
        assert!(cost < length * halves / 2, "{path} {model}: {length} bytes cost {cost}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_that_become_one_are_not_held_as_one() {
    let blocks = |count: usize| vec![json!({"type": "text", "text": lines(LONG / count)}); count];
    let parts = |count: usize| vec![json!({"text": lines(LONG / count)}); count];
    let hi = json!([{"role": "user", "content": "hi"}]);
    let system = json!({"max_tokens": 9, "system": blocks(20_000), "messages": hi});
    let told = |content: Value| {
        json!({"messages": [{"role": "system", "content": content},
            {"role": "user", "content": "hi"}]})
    };
    let call = json!({"id": "c", "type": "function", "function": {"name": "t", "arguments": "{}"}});
    let result = json!({
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": null, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": blocks(2_000)},
        ],
        "tools": [{"type": "function", "function": {"name": "t", "parameters": {"type": "object"}}}],
    });
    let said = json!({"contents": [
        {"role": "user", "parts": [{"text": "hi"}]},
        {"role": "model", "parts": parts(2_000)},
        {"role": "user", "parts": [{"text": "hi"}]},
    ]});
    let asked = [
        (MESSAGES, "smart", system),
        (CHAT, "other", told(blocks(2).into())),
        (CHAT, "other", result),
        (GEMINI, "smart", said),
    ];
    assert_cheap("joined", &asked).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn arguments_of_a_call_are_held_once_as_an_object_and_once_as_a_text() {
    let object = json!({"a": lines(LONG)});
    let tool = json!({"name": "t", "input_schema": {"type": "object"}});
    let messages = json!({
        "max_tokens": 9,
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "t", "input": object}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "ok"}]},
        ],
        "tools": [tool],
    });
    let call = json!({"id": "c", "type": "function", "function": {"name": "t", "arguments": object.to_string()}});
    let chat = json!({
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": null, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": "ok"},
        ],
        "tools": [{"type": "function", "function": {"name": "t", "parameters": {"type": "object"}}}],
    });
    let gemini = json!({
        "contents": [
            {"role": "user", "parts": [{"text": "hi"}]},
            {"role": "model", "parts": [{"functionCall": {"name": "t", "args": object}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "t", "response": {"output": "ok"}}}]},
        ],
        "tools": [{"functionDeclarations": [{"name": "t", "description": "does"}]}],
    });
    let asked = [
        (MESSAGES, "smart", messages.clone()),
        (MESSAGES, "other", messages),
        (CHAT, "other", chat),
        (GEMINI, "other", gemini),
    ];
    assert_cheap("arguments", &asked).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_in_base64_is_decoded_as_it_goes_out() {
    // "a line, and another", a line each.
    let base64 = "YSBsaW5lLCBhbmQgYW5vdGhlcgph".repeat(LONG / 28);
    let file = json!({"filename": "a.txt", "file_data": format!("data:text/plain;base64,{base64}")});
    let chat = json!({"messages": [{"role": "user", "content": [{"type": "file", "file": file}]}]});
    let data = json!({"mimeType": "text/plain", "data": base64});
    let gemini = json!({"contents": [{"role": "user", "parts": [{"text": "hi"}, {"inlineData": data}]}]});
    let asked = [(CHAT, "other", chat), (GEMINI, "smart", gemini.clone()), (GEMINI, "third", gemini)];
    assert_cheap("base64", &asked).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_answer_repeats_of_its_request_is_held_in_the_request() {
    let asked = json!({"instructions": lines(LONG), "input": "hi"});
    assert_cheap("repeated", &[("/v1/responses", "other", asked)]).await;
}

/// A schema of some fields, each with a description of about this many bytes.
fn schema(fields: usize, bytes: usize) -> Value {
    let about = "what it is for, ".repeat(bytes / 16);
    let properties: serde_json::Map<_, _> =
        (0..fields).map(|at| (format!("field_{at}"), json!({"type": "string", "description": about}))).collect();
    let required: Vec<_> = properties.keys().cloned().collect();
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schemas_are_parts_of_their_body_in_every_dialect() {
    let hi = json!([{"role": "user", "content": "hi"}]);
    let chat = |schemas: Vec<Value>| {
        let function = |(at, schema): (usize, Value)| {
            json!({"name": format!("t{at}"), "description": "does",
                "parameters": schema})
        };
        let tool = |it: (usize, Value)| json!({"type": "function", "function": function(it)});
        json!({"messages": hi, "tools": schemas.into_iter().enumerate().map(tool).collect::<Vec<_>>()})
    };
    let messages = |schemas: Vec<Value>| {
        let tool = |(at, schema): (usize, Value)| {
            json!({"name": format!("t{at}"), "description": "does",
                "input_schema": schema})
        };
        let tools: Vec<_> = schemas.into_iter().enumerate().map(tool).collect();
        json!({"max_tokens": 9, "messages": hi, "tools": tools})
    };
    let responses = |schemas: Vec<Value>| {
        let tool =
            |(at, schema): (usize, Value)| json!({"type": "function", "name": format!("t{at}"), "parameters": schema});
        json!({"input": "hi", "tools": schemas.into_iter().enumerate().map(tool).collect::<Vec<_>>()})
    };
    let gemini = |schemas: Vec<Value>| {
        let tool = |(at, schema): (usize, Value)| {
            json!({"name": format!("t{at}"), "description": "does",
                "parameters": schema})
        };
        let declared: Vec<_> = schemas.into_iter().enumerate().map(tool).collect();
        json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}],
            "tools": [{"functionDeclarations": declared}]})
    };
    // Many as agents send them, and one with very many fields.
    let many = || vec![schema(4, 800); LONG / 3_600];
    let wide = || vec![schema(LONG / 600, 480)];
    let asked = [
        (CHAT, "smart", chat(many())),
        (CHAT, "other", chat(many())),
        (CHAT, "third", chat(wide())),
        (MESSAGES, "smart", messages(many())),
        (MESSAGES, "other", messages(wide())),
        (GEMINI, "third", gemini(many())),
        (GEMINI, "other", gemini(wide())),
    ];
    assert_within("schemas", &asked, 6).await;
    // An answer to a caller of responses repeats its tools.
    assert_within("echoed", &[(RESPONSES, "other", responses(many()))], 6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_answer_is_to_be_like_is_a_part_of_its_body() {
    let hi = json!([{"role": "user", "content": "hi"}]);
    let form = json!({"type": "json_schema", "json_schema": {"name": "a", "schema": schema(LONG / 600, 480)}});
    let flat = json!({"type": "json_schema", "name": "a", "schema": schema(LONG / 600, 480)});
    let stop: Vec<_> = (0..LONG / 300).map(|at| format!("{at} {}", "x".repeat(290))).collect();
    let asked = [
        (CHAT, "smart", json!({"messages": hi, "response_format": form})),
        (CHAT, "third", json!({"messages": hi, "response_format": form})),
        (RESPONSES, "smart", json!({"input": "hi", "text": {"format": flat}})),
        (CHAT, "smart", json!({"messages": hi, "stop": "x".repeat(LONG)})),
        (CHAT, "other", json!({"messages": hi, "stop": stop})),
        (MESSAGES, "third", json!({"max_tokens": 9, "messages": hi, "stop_sequences": stop})),
    ];
    assert_cheap("forms", &asked).await;
}

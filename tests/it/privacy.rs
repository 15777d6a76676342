//! Secrets: keys are shown nowhere, and text of prompts and answers is in no log.

use std::cell::Cell;
use std::io;
use std::sync::{Arc, Mutex};

use http::HeaderMap;
use standin::config::KeyConfig;
use standin::testing::{Answers, Crash, Fault, ProviderError, RetryHint, Script, crash};
use standin::{ChatRequest, CommitPolicy, ResponseFormat, Tool};
use tokio::time::sleep;
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::prelude::*;

use super::kit::{S, World, ask, settle, stream, world_with};

const KEY: &str = "sk-live-4f8a0c77e1";
const PROMPT: &str = "the patient's name is Ada Lovelace";
const ANSWER: &str = "Mrs Lovelace is well";

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

thread_local! {
    /// Whether this thread's test reads the log; others run beside it.
    static LOGGED: Cell<bool> = const { Cell::new(false) };
}

impl Log {
    /// Keeps everything that is logged from now on by this thread, on which one test runs with all its actors.
    fn of_this_thread() -> Self {
        let log = Self::default();
        let writer = log.clone();
        let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || writer.clone());
        let here = dynamic_filter_fn(|_, _| LOGGED.get());
        tracing_subscriber::registry().with(layer.with_filter(here)).init();
        LOGGED.set(true);
        log
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("no panic")).into_owned()
    }
}

async fn private_world() -> World {
    let script = Script {
        answers: Answers::by(|_| standin::testing::Answer::text(ANSWER)),
        keys: vec![KEY.into()],
        ..Script::default()
    };
    world_with(3, script, |config| {
        for provider in config.providers.values_mut() {
            provider.keys.push(KeyConfig::value(KEY));
            provider.headers.insert("x-extra".into(), "an extra header".into());
        }
    })
    .await
}

/// A provider that repeats its request in errors.
fn echo(status: u16, code: &str) -> Fault {
    let message = format!("Incorrect request `{PROMPT}` with key {KEY}: {ANSWER}");
    let body = serde_json::json!({"error": {"message": message, "type": "x", "code": code, "param": PROMPT}});
    Fault::Reply { status, headers: HeaderMap::new(), body: body.to_string() }
}

/// Makes everything happen that is logged or published.
async fn live(world: &World) -> Vec<String> {
    let mut seen = Vec::new();
    let faults = [
        vec![],
        vec![Fault::Error(ProviderError::Server)],
        vec![Fault::Error(ProviderError::Unauthorised)],
        vec![Fault::RateLimited(RetryHint::Seconds(S))],
        vec![echo(500, "x"), echo(503, "overloaded")],
        vec![echo(400, "invalid_value")],
        vec![echo(429, "rate_limit_exceeded"), echo(404, "model_not_found")],
        vec![echo(400, "unsupported_parameter"); 3],
        vec![Fault::CutAfter(1), Fault::ErrorEvent { after: 2 }],
        vec![Fault::TruncatedJson, Fault::InvalidJson, Fault::Empty],
        vec![Fault::Refuse, Fault::Reset],
        vec![Fault::StallAfter(1)],
    ];
    let tool = Tool {
        name: "look".into(),
        description: PROMPT.into(),
        parameters: serde_json::json!({"type": "object", "properties": {}, "description": PROMPT}).into(),
        strict: None,
    };
    for faults in faults {
        for commit in [CommitPolicy::Reset, CommitPolicy::Fail, CommitPolicy::Buffered] {
            for (provider, fault) in world.providers.iter().zip(&faults) {
                provider.next(1, fault.clone());
            }
            let request = ChatRequest {
                commit,
                session: Some("a session".into()),
                tags: [("who".to_owned(), "me".to_owned())].into(),
                ..ask(PROMPT).system(PROMPT).tool(tool.clone()).deadline(60 * S)
            };
            let mut json = request.clone();
            json.response_format = ResponseFormat::Json;
            json.messages.push(standin::Message::user("in json"));
            seen.push(format!("{:?}", stream(&world.runtime, request.clone()).await));
            seen.push(format!("{:?}", world.runtime.chat(json).await));
            seen.push(format!("{:?}", world.runtime.explain(request).await));
            sleep(20 * S).await;
        }
        for provider in &world.providers {
            provider.clear();
        }
        sleep(4_000 * S).await;
    }
    // Long enough for breakers to open.
    for _ in 0..8 {
        for provider in &world.providers {
            provider.next(1, Fault::Error(ProviderError::Server));
        }
        seen.push(format!("{:?}", world.runtime.chat(ask(PROMPT)).await));
        sleep(S).await;
    }
    for provider in &world.providers {
        provider.clear();
    }
    sleep(4_000 * S).await;
    for how in [
        Crash::Attempts(1),
        Crash::Calls(1),
        Crash::ProviderPanics("a".into()),
        Crash::RouterPanics,
        Crash::SupervisorKilled("b".into()),
        Crash::AttemptsKilled("a".into()),
    ] {
        crash(&world.runtime, how);
        seen.push(format!("{:?}", world.runtime.chat(ask(PROMPT)).await));
        settle().await;
    }
    world.runtime.reconfigure(world.config.clone()).await.expect("the same again");
    seen.push(format!("{:?}", world.runtime.health()));
    seen.push(format!("{:?} {:?}", world.runtime, world.config));
    seen
}

#[tokio::test(start_paused = true)]
async fn no_key_is_seen_anywhere_and_no_words_of_prompt_or_answer_in_any_log() {
    let log = Log::of_this_thread();
    let world = private_world().await;
    let mut told = world.runtime.subscribe();
    let mut seen = live(&world).await;
    seen.extend(super::kit::events(&mut told).iter().map(|event| format!("{event:?}")));
    for flight in world.runtime.recent() {
        seen.push(format!("{:?}", world.runtime.attempts(flight.call)));
        seen.push(format!("{flight} {flight:?}"));
    }
    seen.push(format!("{:?}", world.runtime.totals()));
    world.runtime.drain(S).await;

    let log = log.text();
    for expected in ["call answered", "call failed", "attempt ended", "breaker changed", "provider crashed", "a/m"] {
        assert!(log.contains(expected), "nothing was logged of `{expected}`");
    }
    for secret in [KEY, PROMPT, ANSWER, "Lovelace"] {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "`{secret}` was logged");
    }
    for text in &seen {
        assert!(!text.contains(KEY), "{text}");
    }
    assert!(seen.iter().any(|text| text.contains("[redacted]")), "a provider named the key");
}

#[tokio::test(start_paused = true)]
async fn a_key_is_found_over_line_breaks_and_at_the_cut_since_nothing_is_cut_or_put_into_a_line_before() {
    let world = private_world().await;
    let (begin, end) = KEY.split_at(11);
    let filler = |letters: usize| "word ".repeat(200)[..letters].to_owned();
    for message in [
        format!("no such key: {begin}\n{end}"),
        format!("no such key: {begin}\r\n    {end}"),
        format!("no such key: {begin}\u{2028}{end}"),
        format!("no such key: {begin}\t{end} was given"),
        // Only its first letters would be shown.
        format!("{}, {KEY}", filler(497)),
        format!("{}, {begin}\n{end}", filler(490)),
    ] {
        for provider in &world.providers {
            let body = serde_json::json!({"error": {"message": message, "code": message, "param": message}});
            let body = body.to_string();
            provider.next(9, Fault::Reply { status: 400, headers: HeaderMap::new(), body });
        }
        let error = format!("{:?}", world.runtime.chat(ask("hello").deadline(20 * S)).await.expect_err("a refusal"));
        for part in ["sk-live", end, "4f8"] {
            assert!(!error.contains(part), "{message:?}: {error}");
        }
        for provider in &world.providers {
            provider.clear();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn keys_reach_their_provider_and_only_by_the_authorization_header() {
    let world = private_world().await;
    world.runtime.chat(ask("hello")).await.expect("the key is right");
    let body = String::from_utf8_lossy(&world.providers[0].log()[0].body).into_owned();
    assert!(!body.contains(KEY), "{body}");
}

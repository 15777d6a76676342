//! Callers that ask again with an `Idempotency-Key`.

use std::time::Duration;

use standin::config::StoreConfig;
use standin::testing::{Latency, Script};

use super::http::{self, Caller, Exchange};
use super::upstream::Bytes;
use super::verbatim::{marks, rich, scene};
use super::{open_key, stage, stage_with};

const SAID: &str = "one two three four five";

#[tokio::test]
async fn asking_again_with_a_key_gets_the_same_bytes_in_every_dialect_and_no_provider_is_asked_twice() {
    let stage = stage(1).await;
    let to = stage.sidecar.address();
    for caller in Caller::ALL {
        for stream in [false, true] {
            let key = format!("{caller:?}-{stream}");
            let received = stage.counts(0).received;
            let mut bodies = Vec::new();
            for _ in 0..3 {
                let reply = http::ask_with(to, caller, "smart", SAID, stream, &[("idempotency-key", &key)]).await;
                assert_eq!((reply.status, reply.is_whole), (200, true), "{key}: {reply:?}");
                let said = if stream { caller.streamed(&reply.body) } else { caller.text(&reply.json()) };
                assert_eq!(said, SAID, "{key}");
                let call = reply.header("x-standin-call").map(str::to_owned);
                bodies.push((call, reply.body));
            }
            assert!(bodies.iter().all(|body| *body == bodies[0]), "{key}: {bodies:?}");
            assert_eq!(stage.counts(0).received, received + 1, "{key}");
        }
    }
}

#[tokio::test]
async fn another_request_with_a_key_is_a_conflict_in_its_callers_dialect_and_no_sdk_tries_again() {
    let stage = stage(1).await;
    let to = stage.sidecar.address();
    for caller in Caller::ALL {
        let key = [("idempotency-key", &*format!("{caller:?}"))];
        assert_eq!(http::ask_with(to, caller, "smart", SAID, false, &key).await.status, 200);
        for stream in [false, true] {
            let refused = http::ask_with(to, caller, "smart", "another", stream, &key).await;
            assert_eq!((refused.status, refused.header("x-should-retry")), (409, Some("false")), "{refused:?}");
            let body = refused.json();
            assert!(caller.message(&body).starts_with("idempotency key: it was used for another request"), "{body}");
            match caller {
                Caller::Chat | Caller::Responses => assert_eq!(body["error"]["code"], "idempotency_conflict"),
                Caller::Anthropic => assert_eq!(body["error"]["type"], "invalid_request_error"),
                Caller::Gemini => assert_eq!(body["error"]["status"], "ABORTED"),
            }
        }
    }
}

#[tokio::test]
async fn a_body_that_is_spaced_or_ordered_otherwise_is_the_same_work_and_another_value_is_not() {
    let stage = stage(1).await;
    let to = stage.sidecar.address();
    let mut calls = Vec::new();
    for (body, headers, status) in [
        (r#"{"model":"smart","messages":[{"role":"user","content":"one two"}]}"#, &[][..], 200),
        (r#"{ "messages" : [ {"content":"one two", "role":"user"} ], "model":"smart" }"#, &[], 200),
        (
            r#"{"model":"smart","messages":[{"role":"user","content":"one two"}],"metadata":{"x-standin-session":"s"}}"#,
            &[("x-standin-deadline", "60"), ("x-standin-tag-trace", "7"), ("x-standin-priority", "critical")],
            200,
        ),
        (r#"{"model":"smart","messages":[{"role":"user","content":"one  two"}]}"#, &[], 409),
        (r#"{"model":"smart","messages":[{"role":"user","content":"one two"}],"user":"u"}"#, &[], 409),
        (r#"{"model":"smart","messages":[{"role":"user","content":"one two"}]}"#, &[("x-standin-labels", "eu")], 409),
    ] {
        let headers = [&[("idempotency-key", "k")], headers].concat();
        let reply = Exchange::begin(to, "POST", "/v1/chat/completions", &headers, body).await.end().await;
        assert_eq!(reply.status, status, "{body}: {reply:?}");
        calls.extend(reply.header("x-standin-call").map(str::to_owned));
    }
    assert_eq!((calls.len(), calls.iter().all(|call| *call == calls[0]), stage.counts(0).received), (3, true, 1));
}

#[tokio::test]
async fn a_key_finds_its_answer_whole_and_as_a_stream_whichever_was_asked_for_first() {
    for caller in Caller::ALL {
        // In words, while it is worked on and after.
        let script = Script { first_token: Latency::Fixed(Duration::from_millis(100)), ..Script::default() };
        let stage = stage_with(2, script, |_| {}).await;
        let to = stage.sidecar.address();
        for streams in [[false, true, false, true], [true, false, true, false]] {
            let key = [("idempotency-key", &*format!("{streams:?}"))];
            let (first, second) = tokio::join!(
                http::ask_with(to, caller, "b", SAID, streams[0], &key),
                http::ask_with(to, caller, "b", SAID, streams[1], &key),
            );
            let third = http::ask_with(to, caller, "b", SAID, streams[2], &key).await;
            let fourth = http::ask_with(to, caller, "b", SAID, streams[3], &key).await;
            assert_eq!((&first.body, &second.body), (&third.body, &fourth.body), "{caller:?}");
            for (reply, stream) in [(first, streams[0]), (second, streams[1])] {
                assert_eq!((reply.status, reply.is_whole), (200, true), "{caller:?}: {reply:?}");
                let said = if stream { caller.streamed(&reply.body) } else { caller.text(&reply.json()) };
                assert_eq!(said, SAID, "{caller:?}");
                assert!(!stream || reply.body.contains(caller.end()), "{caller:?}: {reply:?}");
            }
        }
        assert_eq!(stage.counts(1).received, 2, "{caller:?}");
    }
}

#[tokio::test]
async fn what_went_on_as_it_came_is_put_into_the_other_form_with_all_that_nobody_knows() {
    for caller in Caller::ALL {
        let scene = scene(caller).await;
        let (whole, streamed) = rich(caller);
        for (stream, body) in [(false, whole), (true, streamed)] {
            let asked = scene.first.asked().len();
            scene.first.answers(Bytes { body: body.clone(), piece: 10_000, cut: false, stream });
            let key = [("idempotency-key", if stream { "s" } else { "w" })];
            let first = scene.ask(stream, &key).await;
            assert_eq!(first.status, 200, "{caller:?}: {first:?}");
            let other = scene.ask(!stream, &key).await;
            assert_eq!((other.status, other.is_whole), (200, true), "{caller:?}: {other:?}");
            assert!(other.body.contains('é'), "{caller:?}: {other:?}");
            for mark in marks(caller, stream) {
                assert!(other.body.contains(mark), "{caller:?}: {mark} is lost: {other:?}");
            }
            assert!(stream || other.body.contains(caller.end()), "{caller:?}: {other:?}");
            assert_eq!(scene.ask(!stream, &key).await.body, other.body, "{caller:?}");
            assert_eq!(scene.ask(stream, &key).await.body, first.body, "{caller:?}");
            assert_eq!(scene.first.asked().len(), asked + 1, "{caller:?}");
        }
    }
}

#[tokio::test]
async fn vectors_are_not_kept_by_a_key_and_who_sends_one_is_told() {
    let stage = stage(1).await;
    let to = stage.sidecar.address();
    let body = r#"{"model":"smart","input":"hello","content":{"parts":[{"text":"hello"}]}}"#;
    for (path, caller) in [("/v1/embeddings", Caller::Chat), ("/v1beta/models/smart:embedContent", Caller::Gemini)] {
        for (name, value) in [("idempotency-key", "k"), ("x-standin-durable", "true")] {
            let refused = Exchange::begin(to, "POST", path, &[(name, value)], body).await.end().await;
            let problem =
                format!("{name}: is not kept with vectors: leave it out, the same texts give the same vectors");
            assert_eq!((refused.status, caller.message(&refused.json())), (400, &*problem), "{path}");
        }
    }
}

#[tokio::test]
async fn a_client_whose_connection_broke_takes_its_answer_up_again() {
    let script = Script { first_token: Latency::Fixed(Duration::from_millis(100)), ..Script::default() };
    let stage = stage_with(1, script, |_| {}).await;
    let to = stage.sidecar.address();
    for (caller, stream) in [(Caller::Chat, true), (Caller::Anthropic, false), (Caller::Responses, true)] {
        let key = [("idempotency-key", &*format!("{caller:?}"))];
        let received = stage.counts(0).received;
        let lost = http::begin(to, caller, "smart", SAID, stream, &key).await;
        stage.until(0, |counts| counts.received > received).await;
        drop(lost);
        let reply = http::ask_with(to, caller, "smart", SAID, stream, &key).await;
        assert_eq!((reply.status, reply.is_whole), (200, true), "{caller:?}: {reply:?}");
        assert_eq!(stage.counts(0).received, received + 1, "{caller:?}");
    }
}

#[tokio::test]
async fn clients_find_no_calls_of_each_other_with_any_keys() {
    let stage = stage_with(1, Script::default(), |settings| {
        settings.server.keys = vec![open_key("red"), open_key("blue")];
    })
    .await;
    let to = stage.sidecar.address();
    let mut calls = Vec::new();
    for (client, text) in [("red", SAID), ("blue", "other words"), ("red", SAID)] {
        let headers = [("authorization", &*format!("Bearer {client}")), ("idempotency-key", "the same")];
        let reply = http::ask_with(to, Caller::Chat, "smart", text, false, &headers).await;
        assert_eq!(Caller::Chat.text(&reply.json()), text);
        calls.push(reply.header("x-standin-call").expect("an id").to_owned());
    }
    assert!(calls[0] == calls[2] && calls[0] != calls[1], "{calls:?}");
}

#[tokio::test]
async fn a_durable_answer_is_the_same_bytes_after_a_restart_of_the_sidecar() {
    let folder = std::env::temp_dir().join(format!("standin-once-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let store = StoreConfig::new(folder.join("standin.db"));
    let stage = stage_with(1, Script::default(), |settings| settings.runtime.store = Some(store)).await;
    let mut answers = Vec::new();
    let mut sidecar = stage.sidecar;
    for round in 0..2 {
        for caller in Caller::ALL {
            for stream in [false, true] {
                let key = format!("{caller:?}-{stream}");
                let headers = [("idempotency-key", &*key), ("x-standin-durable", "true")];
                let reply = http::ask_with(sidecar.address(), caller, "smart", SAID, stream, &headers).await;
                assert_eq!((reply.status, reply.is_whole), (200, true), "{key}: {reply:?}");
                match round {
                    0 => answers.push((key, reply.body)),
                    _ => assert!(answers.contains(&(key, reply.body)), "{answers:?}"),
                }
            }
        }
        sidecar.stop(Duration::from_secs(1)).await;
        sidecar = standin::sidecar::Sidecar::start(stage.settings.clone()).await.expect("a sidecar");
    }
    assert_eq!(stage.drills[0].handle().counts().received, 8);
    let refused =
        http::ask_with(sidecar.address(), Caller::Chat, "smart", SAID, false, &[("x-standin-durable", "yes")]);
    assert_eq!(refused.await.status, 400);
    drop(sidecar);
    std::fs::remove_dir_all(&folder).expect("a folder");
}

#[tokio::test]
async fn a_retry_without_a_key_joins_the_call_that_its_caller_has_just_left_and_no_other_request_does() {
    let script = Script { first_token: Latency::Fixed(Duration::from_millis(800)), ..Script::default() };
    let stage = stage_with(1, script, |settings| settings.server.keys = vec![open_key("red"), open_key("blue")]).await;
    let to = stage.sidecar.address();
    let begin = async |who: &str, retries: Option<&str>, text: &str| {
        let key = format!("Bearer {who}");
        let count = retries.map(|count| ("x-stainless-retry-count", count));
        let headers: Vec<_> = [("authorization", key.as_str())].into_iter().chain(count).collect();
        http::begin(to, Caller::Chat, "smart", text, false, &headers).await
    };
    let (red, blue) = ("red", "blue");
    for (first, retry, joins) in [
        ((red, Some("0"), "one"), (red, Some("1"), "one"), true),
        ((red, Some("1"), "two"), (red, Some("2"), "two"), true),
        ((red, Some("0"), "three"), (red, Some("0"), "three"), false),
        ((red, Some("0"), "four"), (red, Some("1"), "another four"), false),
        ((red, Some("0"), "five"), (blue, Some("1"), "five"), false),
        ((red, None, "six"), (red, Some("1"), "six"), false),
        ((red, Some("0"), "seven"), (red, None, "seven"), false),
    ] {
        let before = stage.counts(0).received;
        let left = begin(first.0, first.1, first.2).await;
        while stage.counts(0).received == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        drop(left);
        tokio::time::sleep(Duration::from_millis(100)).await;
        let reply = begin(retry.0, retry.1, retry.2).await.end().await;
        assert_eq!((reply.status, Caller::Chat.text(&reply.json())), (200, retry.2.to_owned()), "{first:?} {retry:?}");
        assert_eq!(stage.counts(0).received, before + if joins { 1 } else { 2 }, "{first:?} {retry:?}");
    }
}

#[tokio::test]
async fn a_call_whose_caller_does_not_come_back_ends_after_a_moment() {
    let script = Script { first_token: Latency::Fixed(Duration::from_secs(60)), ..Script::default() };
    let stage = stage_with(1, script, |_| {}).await;
    let count = [("x-stainless-retry-count", "0")];
    let left = http::begin(stage.sidecar.address(), Caller::Chat, "smart", SAID, false, &count).await;
    super::until(|| stage.counts(0).received == 1).await;
    let begun = std::time::Instant::now();
    drop(left);
    super::until(|| stage.counts(0).client_left == 1).await;
    assert!((1..20).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

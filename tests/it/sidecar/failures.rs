//! Errors for callers: of their requests, of all providers, and in the middle of an answer.

use std::time::Duration;

use standin::Reset;
use standin::testing::{Fault, ProviderError, RetryHint, Script};

use super::http::{self, Caller, Exchange};
use super::{stage, stage_with};

const SAID: &str = "one two three four five";

#[tokio::test]
async fn an_error_comes_in_the_callers_dialect_with_its_status_and_when_to_come_back() {
    let stage = stage(1).await;
    let to = stage.sidecar.address();
    let wait = Duration::from_secs(20);
    let fault = stage.drills[0].handle().always(Fault::RateLimited(RetryHint::Seconds(wait)));
    for stream in [false, true] {
        for caller in Caller::ALL {
            // The first hears it from the provider, the others from the runtime, which asks no provider meanwhile.
            let reply = http::ask(to, caller, "smart", SAID, stream).await;
            assert_eq!(reply.status, 429, "{caller:?}: {reply:?}");
            assert_eq!(reply.header("x-should-retry"), None, "it would contradict the time");
            let seconds = reply.header("retry-after").and_then(|seconds| seconds.parse::<u64>().ok());
            assert!(seconds.is_some_and(|seconds| (15..=22).contains(&seconds)), "{caller:?}: {reply:?}");
            assert_eq!(reply.header("content-type"), Some("application/json"));
            assert!(!caller.message(&reply.json()).is_empty());
        }
    }
    assert_eq!(stage.counts(0).received, 1, "a Retry-After was not kept");
    stage.drills[0].handle().lift(fault);
}

#[tokio::test]
async fn a_spent_account_whose_end_is_told_is_a_limit_every_time_in_every_dialect() {
    let stage = stage(1).await;
    for (status, body) in [
        (
            429,
            r#"{"error":{"message":"You have reached your specified API usage limits. You will regain access in 3 hours.","type":"rate_limit_error"}}"#,
        ),
        (402, r#"{"error":{"message":"Insufficient credits"},"retry_after":7200}"#),
        (
            400,
            r#"{"error":{"message":"Your free quota is exhausted. Resets in 2 hours.","type":"invalid_request_error"}}"#,
        ),
    ] {
        stage.drills[0].handle().clear();
        let reply = Fault::Reply { status, headers: ::http::HeaderMap::default(), body: body.into() };
        stage.drills[0].handle().always(reply);
        stage.sidecar.runtime().reset(Reset::All).await.expect("it may");
        for caller in Caller::ALL {
            for streams in [false, true] {
                let reply = http::ask(stage.sidecar.address(), caller, "smart", SAID, streams).await;
                assert_eq!(reply.status, 429, "{caller:?} {body}: {reply:?}");
                let seconds = reply.header("retry-after").and_then(|seconds| seconds.parse::<u64>().ok());
                assert!(seconds.is_some_and(|seconds| (7_100..=10_806).contains(&seconds)), "{caller:?}: {reply:?}");
                assert!(!caller.message(&reply.json()).contains("add credit"), "{reply:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_call_that_tried_all_it_could_tells_sdks_not_to_try_again() {
    let stage = stage(1).await;
    for (fault, openai, anthropic) in [
        (ProviderError::BadRequest, 400, 400),
        (ProviderError::ContextTooLong, 400, 400),
        (ProviderError::Filtered, 400, 400),
        (ProviderError::OutOfMoney, 424, 424),
        (ProviderError::Unauthorised, 424, 424),
        (ProviderError::ModelGone, 424, 424),
    ] {
        stage.drills[0].handle().clear();
        stage.drills[0].handle().always(Fault::Error(fault));
        stage.sidecar.runtime().reset(Reset::All).await.expect("it may");
        for caller in Caller::ALL {
            let reply = http::ask(stage.sidecar.address(), caller, "smart", SAID, false).await;
            let status = if caller == Caller::Anthropic { anthropic } else { openai };
            assert_eq!(reply.status, status, "{fault:?} for {caller:?}: {reply:?}");
            assert_eq!(reply.header("x-should-retry"), Some("false"), "{fault:?} for {caller:?}: {reply:?}");
            assert_eq!(reply.header("retry-after"), None, "{fault:?} for {caller:?}: {reply:?}");
            let error = reply.json();
            let message = caller.message(&error);
            assert!(!message.is_empty());
            // What only an operator can mend says what, where, and how it is put back.
            let act = match fault {
                ProviderError::OutOfMoney => "(add credit for key `key-1`, then `standin reset a`)",
                ProviderError::Unauthorised => "(replace key `key-1`, then `standin reset a`)",
                ProviderError::ModelGone => "then `standin reset a/gpt-5-mini`)",
                _ => "",
            };
            assert!(message.contains(act), "{fault:?} for {caller:?}: {message}");
            match caller {
                Caller::Anthropic => assert_eq!(error["type"], "error"),
                Caller::Gemini => assert_eq!(error["error"]["code"], status),
                Caller::Chat | Caller::Responses => assert!(error["error"]["type"].is_string()),
            }
        }
    }
}

#[tokio::test]
async fn a_404_that_is_about_no_model_says_where_nothing_was_found_and_which_address_was_meant() {
    let page =
        || Fault::Reply { status: 404, headers: ::http::HeaderMap::default(), body: "404 page not found".into() };
    for (preset, path, status, hint) in [
        (Some("vllm"), "", 424, ": should base_url be http://HOST/v1? (it said: 404 page not found)"),
        (None, "", 503, ": should base_url end in /v1? (it said: 404 page not found)"),
        (None, "/v1", 503, " (it said: 404 page not found)"),
    ] {
        let mut host = String::new();
        let stage = stage_with(1, Script::default(), |settings| {
            let provider = settings.runtime.providers.get_mut("a").expect("the provider");
            let base = provider.base_url.take().expect("an address");
            let origin = base.trim_end_matches("/v1");
            host = origin.trim_start_matches("http://").to_owned();
            (provider.preset, provider.base_url) = (preset.map(str::to_owned), Some(format!("{origin}{path}")));
            let meant = provider.meant_base_url("a");
            assert_eq!(meant.is_some(), status == 424, "{meant:?}");
        })
        .await;
        stage.drills[0].handle().always(page());
        for caller in Caller::ALL {
            let reply = http::ask(stage.sidecar.address(), caller, "a", SAID, false).await;
            let own = if caller == Caller::Anthropic && status == 503 { 529 } else { status };
            assert_eq!(reply.status, own, "{reply:?}");
            let message = caller.message(&reply.json()).to_owned();
            let said = format!("POST http://{host}{path}/chat/completions was not found{hint}").replace("HOST", &host);
            // A later call may find the target held, and is told what to do all the same.
            let act = "(correct providers.a.base_url)";
            assert!(message.contains(&said) || (status == 503 || message.contains(act)), "{message}");
            assert!(caller != Caller::ALL[0] || message.contains(&said), "{message}");
            assert_eq!(message.contains(act), status == 424, "{message}");
        }
    }
}

#[tokio::test]
async fn what_may_be_well_again_in_a_moment_says_when_to_come_back_and_each_error_which_call_it_was() {
    for fault in [Fault::Error(ProviderError::Server), Fault::Refuse] {
        let stage = stage(1).await;
        stage.drills[0].handle().always(fault.clone());
        for caller in Caller::ALL {
            let reply = http::ask(stage.sidecar.address(), caller, "smart", SAID, false).await;
            assert!(matches!(reply.status, 503 | 529), "{fault:?}: {reply:?}");
            assert_eq!(reply.header("x-should-retry"), None, "an SDK may try again: {reply:?}");
            assert!(reply.header("retry-after").is_some(), "{fault:?}: {reply:?}");
        }
    }
    let stage = stage(1).await;
    stage.drills[0].handle().always(Fault::Error(ProviderError::BadRequest));
    let reply = http::ask(stage.sidecar.address(), Caller::Chat, "smart", SAID, false).await;
    let call = reply.header("x-standin-call").expect("which call it was").to_owned();
    let why = http::get(stage.sidecar.address(), &format!("/why/{call}")).await;
    assert!(why.status == 200 && why.body.contains("bad_request"), "{why:?}");
}

#[tokio::test]
async fn a_body_that_is_not_understood_names_its_field_and_reaches_no_provider() {
    let stage = stage(1).await;
    let to = stage.sidecar.address();
    for caller in Caller::ALL {
        let (path, mut body) = caller.ask("smart", SAID, false);
        let field = match caller {
            Caller::Responses => "input",
            Caller::Gemini => "contents",
            Caller::Chat | Caller::Anthropic => "messages",
        };
        body[field] = 7.into();
        for body in [body.to_string(), "{\"model\": ".to_owned(), String::new()] {
            let reply = Exchange::begin(to, "POST", &path, &[], &body).await.end().await;
            assert_eq!((reply.status, reply.header("x-should-retry")), (400, Some("false")), "{body}: {reply:?}");
            let error = reply.json();
            assert!(!body.ends_with('}') || caller.message(&error).contains(field), "{error}");
        }
    }
    assert_eq!(stage.counts(0).received, 0);
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused() {
    let stage = stage_with(1, Script::default(), |settings| settings.server.body_bytes_max = 1_000).await;
    for caller in Caller::ALL {
        let reply = http::ask(stage.sidecar.address(), caller, "smart", &"long ".repeat(400), false).await;
        assert_eq!((reply.status, reply.header("x-should-retry")), (413, Some("false")), "{reply:?}");
        assert!(caller.message(&reply.json()).contains("1000 bytes"));
        assert_eq!(http::ask(stage.sidecar.address(), caller, "smart", SAID, false).await.status, 200);
    }
    assert_eq!(stage.counts(0).received, 4);
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_not_waited_for() {
    let short = Duration::from_millis(50);
    let stage = stage_with(1, Script::default(), |settings| settings.server.body_timeout = short).await;
    let mut exchange = Exchange::connect(stage.sidecar.address()).await;
    exchange
        .send("POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{\"model\"")
        .await;
    let reply = exchange.end().await;
    assert_eq!(reply.status, 400, "{reply:?}");
    assert!(reply.body.contains("too long to arrive"), "{reply:?}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_ends_with_an_error_and_never_looks_whole() {
    for caller in Caller::ALL {
        let mut stage = stage(2).await;
        stage.drills[0].handle().always(Fault::StallAfter(3));
        let mut exchange = http::begin(stage.sidecar.address(), caller, "smart", SAID, true, &[]).await;
        exchange.until(|seen| seen.contains("three")).await;
        // What hangs is closed.
        stage.drills.remove(0).stop().await;
        let reply = exchange.end().await;
        assert_eq!((reply.status, reply.is_whole), (200, false), "{caller:?}: {reply:?}");
        assert_eq!(caller.streamed(&reply.body).trim(), "one two three");
        assert!(!reply.body.contains(caller.end()), "{caller:?} looks whole: {}", reply.body);
        let events = http::events(&reply.body);
        let last = events.last().expect("an error");
        let told = match caller {
            Caller::Responses => last["type"] == "response.failed" || last["type"] == "error",
            _ => last["error"].is_object(),
        };
        assert!(told, "{caller:?} ends with {last}");
        assert_eq!(stage.counts(0).received, 0, "nobody may go on where another began");
    }
}

#[tokio::test]
async fn a_buffered_stream_is_whole_though_its_provider_broke_off() {
    for (header, by_default) in [(Some("buffered"), false), (None, true)] {
        for caller in Caller::ALL {
            let stage = stage_with(2, Script::default(), |settings| {
                if by_default {
                    settings.server.streams = standin::sidecar::Streams::Buffered;
                }
            })
            .await;
            stage.drills[0].handle().always(Fault::CutAfter(3));
            let headers: Vec<_> = header.map(|how| ("x-standin-stream", how)).into_iter().collect();
            let reply = http::ask_with(stage.sidecar.address(), caller, "smart", SAID, true, &headers).await;
            assert_eq!((reply.status, reply.is_whole), (200, true), "{caller:?}: {reply:?}");
            assert_eq!(caller.streamed(&reply.body), SAID);
            assert!(reply.body.contains(caller.end()), "{caller:?}: {}", reply.body);
            assert_eq!(reply.header("x-standin-attempts"), Some("2"));
            assert_eq!(reply.header("x-standin-target"), Some("b/claude-haiku-4-5"));
        }
    }
}

#[tokio::test]
async fn a_stream_that_fails_over_before_its_content_shows_nothing_of_it() {
    for caller in Caller::ALL {
        let stage = stage(3).await;
        stage.drills[0].handle().always(Fault::Reset);
        stage.drills[1].handle().always(Fault::CutAfter(0));
        let reply = http::ask(stage.sidecar.address(), caller, "smart", SAID, true).await;
        assert_eq!((reply.status, reply.is_whole), (200, true), "{caller:?}: {reply:?}");
        assert_eq!(caller.streamed(&reply.body), SAID);
        assert_eq!(reply.header("x-standin-target"), Some("c/gemini-2.5-flash"));
    }
}

#[tokio::test]
async fn a_stream_that_waits_shows_that_it_lives() {
    for caller in Caller::ALL {
        for how in ["live", "buffered"] {
            let mut stage = stage_with(2, Script::default(), |settings| {
                settings.server.keep_alive = Duration::from_millis(5);
            })
            .await;
            stage.drills[0].handle().always(Fault::Hang);
            let headers = [("x-standin-stream", how)];
            let mut exchange = http::begin(stage.sidecar.address(), caller, "smart", SAID, true, &headers).await;
            // Three of them; Gemini's are blank lines, which the chunks around them have as well.
            let (sign, times) = if caller == Caller::Gemini { ("\n\n\r\n", 3) } else { (caller.keep_alive(), 3) };
            exchange.until(|seen| seen.matches(sign).count() >= times).await;
            stage.drills.remove(0).stop().await;
            let reply = exchange.end().await;
            assert_eq!((reply.status, reply.is_whole), (200, true), "{caller:?} {how}: {reply:?}");
            assert_eq!(caller.streamed(&reply.body), SAID, "{caller:?} {how}");
            assert!(reply.body.contains(caller.end()));
        }
    }
}

#[tokio::test]
async fn a_deadline_that_passes_is_a_timeout() {
    let stage = stage(1).await;
    stage.drills[0].handle().always(Fault::Hang);
    for (caller, stream) in Caller::ALL.into_iter().zip([false, true, false, true]) {
        let headers = [("x-standin-deadline", "0.05")];
        let reply = http::ask_with(stage.sidecar.address(), caller, "smart", SAID, stream, &headers).await;
        assert_eq!((reply.status, reply.header("x-should-retry")), (504, Some("false")), "{caller:?}: {reply:?}");
        assert!(caller.message(&reply.json()).contains("deadline"));
    }
}

#[tokio::test]
async fn a_header_that_says_nonsense_is_refused_by_its_name() {
    let stage = stage(1).await;
    for (name, value) in [
        ("x-standin-priority", "urgent"),
        ("x-standin-deadline", "soon"),
        ("x-standin-deadline", "0"),
        ("x-standin-deadline", "-1"),
        ("x-standin-stream", "maybe"),
        ("x-standin-colour", "blue"),
    ] {
        for caller in Caller::ALL {
            let headers = [(name, value)];
            let reply = http::ask_with(stage.sidecar.address(), caller, "smart", SAID, false, &headers).await;
            assert_eq!(reply.status, 400, "{name}: {value}: {reply:?}");
            assert!(caller.message(&reply.json()).contains(name), "{reply:?}");
        }
    }
    assert_eq!(stage.counts(0).received, 0);
}

#[tokio::test]
async fn labels_and_sessions_of_a_header_choose_the_target() {
    let stage = stage_with(3, Script::default(), |settings| {
        settings.runtime.providers.get_mut("c").expect("c").labels = vec!["eu".into()];
        let route = settings.runtime.routes.get_mut("smart").expect("the route");
        route.options.strategy = standin::Strategy::RoundRobin;
    })
    .await;
    let to = stage.sidecar.address();
    let walled = http::ask_with(to, Caller::Chat, "smart", SAID, false, &[("x-standin-labels", "eu")]).await;
    assert_eq!(walled.header("x-standin-target"), Some("c/gemini-2.5-flash"));
    let nobody = http::ask_with(to, Caller::Chat, "smart", SAID, false, &[("x-standin-labels", "eu, moon")]).await;
    assert_eq!(nobody.status, 400, "{nobody:?}");
    for (name, value) in [
        ("x-standin-priority", "batch"),
        ("x-standin-priority", "critical"),
        ("x-standin-session", "conversation-7"),
        ("x-standin-deadline", "2m"),
        ("x-standin-tag-team", "search"),
    ] {
        let reply = http::ask_with(to, Caller::Chat, "smart", SAID, false, &[(name, value)]).await;
        assert_eq!(reply.status, 200, "{name}: {reply:?}");
    }
}

#[tokio::test]
async fn a_body_in_an_encoding_is_refused_by_its_name() {
    let stage = stage(1).await;
    let to = stage.sidecar.address();
    for (encoding, status) in [("gzip", 415), ("identity", 200)] {
        let headers = [("content-encoding", encoding)];
        let reply = http::ask_with(to, Caller::Chat, "smart", SAID, false, &headers).await;
        assert_eq!(reply.status, status, "{reply:?}");
        assert!(status == 200 || Caller::Chat.message(&reply.json()).contains("gzip"));
    }
}

#[tokio::test]
async fn a_wrong_address_or_method_says_so() {
    let stage = stage(1).await;
    let to = stage.sidecar.address();
    let nowhere = Exchange::begin(to, "POST", "/v1/paintings", &[], "{}").await.end().await;
    assert_eq!(nowhere.status, 404);
    assert!(Caller::Chat.message(&nowhere.json()).contains("POST /v1/paintings"));
    assert!(nowhere.json()["error"]["code"].is_null(), "no model is missing");
    let older = Exchange::begin(to, "POST", "/v1/completions", &[], "{}").await.end().await;
    assert!(Caller::Chat.message(&older.json()).contains("/v1/chat/completions"));
    let wrong = http::get(to, "/v1/messages").await;
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("POST")));
    assert_eq!(Caller::Anthropic.message(&wrong.json()), "/v1/messages takes POST, not GET");
}

//! Callers of the sidecar whose calls wait, or get an answer from a lower rung.

use std::time::Duration;

use standin::config::{RungConfig, StaleOptions};
use standin::testing::{Fault, Latency, RetryHint, Script};
use standin::{OnExhausted, RouteConfig};

use super::http::{self, Caller};
use super::stage_with;

const SAID: &str = "one two three four five";
const SHORT: Duration = Duration::from_millis(20);

#[tokio::test]
async fn a_stream_whose_call_is_parked_says_so_in_comments_and_a_whole_answer_comes_when_it_is_there() {
    let stage = stage_with(1, Script::default(), |settings| settings.server.keep_alive = SHORT).await;
    let to = stage.sidecar.address();
    let limit = stage.drills[0].handle().always(Fault::RateLimited(RetryHint::Seconds(Duration::from_secs(3))));
    let refused = http::ask(to, Caller::Chat, "a", SAID, false).await;
    assert_eq!(refused.status, 429, "{refused:?}");
    stage.drills[0].handle().lift(limit);
    let begun = std::time::Instant::now();
    let headers = [("x-standin-on-exhausted", "wait")];
    let whole = http::ask_with(to, Caller::Chat, "smart", SAID, false, &headers);
    let streams = async {
        let mut streams = Vec::new();
        for caller in Caller::ALL {
            for how in ["live", "buffered"] {
                let headers = [("x-standin-on-exhausted", "wait"), ("x-standin-stream", how)];
                let mut exchange = http::begin(to, caller, "smart", SAID, true, &headers).await;
                // The head says it in every dialect.
                exchange.until(|seen| seen.contains("x-standin-waiting: waiting, back in ")).await;
                if caller == Caller::Gemini {
                    exchange.until(|seen| seen.contains("\n\n\r\n")).await;
                } else {
                    exchange.until(|seen| seen.contains(": waiting, back in ")).await;
                    exchange.until(|seen| seen.contains(" s: a/gpt-5-mini rate_limited\n\n")).await;
                }
                streams.push((caller, how, exchange));
            }
        }
        let health = http::get(to, "/health").await.json();
        assert_eq!(health["parked"][0]["route"], "smart", "{health}");
        assert_eq!(health["parked"][0]["waits_for"][0]["why"], "rate_limited", "{health}");
        let metrics = http::get(to, "/metrics").await.body;
        assert!(metrics.contains("standin_calls_parked_now{route=\"smart\"} "), "{metrics}");
        for (caller, how, exchange) in streams {
            let reply = exchange.end().await;
            assert_eq!((reply.status, reply.is_whole), (200, true), "{caller:?} {how}: {reply:?}");
            assert_eq!(caller.streamed(&reply.body), SAID, "{caller:?} {how}");
            assert!(reply.body.contains(caller.end()), "{caller:?} {how}");
        }
    };
    let (whole, ()) = tokio::join!(whole, streams);
    assert_eq!((whole.status, Caller::Chat.text(&whole.json())), (200, SAID.to_owned()));
    assert!(begun.elapsed() > Duration::from_millis(2_500), "{:?}", begun.elapsed());
    let metrics = http::get(to, "/metrics").await.body;
    assert!(metrics.contains("standin_calls_parked_total{route=\"smart\"} 9"), "{metrics}");
}

#[tokio::test]
async fn an_answer_that_is_less_than_what_was_asked_for_says_so_in_its_header() {
    let stage = stage_with(2, Script::default(), |settings| {
        let route = settings.runtime.routes.get_mut("smart").expect("there");
        route.targets[1].degraded = true;
        route.degrade = vec![RungConfig::Targets, RungConfig::Text("Nobody answers.".to_owned())];
        route.failover.on_exhausted = Some(OnExhausted::Degrade);
    })
    .await;
    let to = stage.sidecar.address();
    let wait = RetryHint::Seconds(Duration::from_secs(600));
    for (limited, header, said) in [(0, "target", SAID), (1, "text", "Nobody answers.")] {
        stage.drills[limited].handle().always(Fault::RateLimited(wait));
        for caller in Caller::ALL {
            let reply = http::ask(to, caller, "smart", SAID, false).await;
            assert_eq!(
                (reply.status, reply.header("x-standin-degraded")),
                (200, Some(header)),
                "{caller:?}: {reply:?}"
            );
            assert_eq!(caller.text(&reply.json()), said, "{caller:?}");
            let reply = http::ask(to, caller, "smart", SAID, true).await;
            assert_eq!((reply.status, reply.is_whole), (200, true), "{caller:?}: {reply:?}");
            assert_eq!(caller.streamed(&reply.body), said, "{caller:?}");
        }
    }
    let metrics = http::get(to, "/metrics").await.body;
    assert!(metrics.contains("standin_calls_degraded_total{route=\"smart\",rung=\"text\"} 8"), "{metrics}");
}

#[tokio::test]
async fn the_last_good_answer_comes_in_each_dialect_with_its_age_also_where_it_had_gone_on_as_it_came() {
    let stage = stage_with(3, Script::default(), |settings| {
        let route = settings.runtime.routes.get_mut("smart").expect("there");
        route.degrade = vec![RungConfig::StaleIfError(StaleOptions::default())];
        route.failover.on_exhausted = Some(OnExhausted::Degrade);
        let smart = route.clone();
        for name in ["a", "b", "c"] {
            let targets = settings.runtime.routes[name].targets.clone();
            settings.runtime.routes.insert(name.to_owned(), RouteConfig { targets, ..smart.clone() });
        }
    })
    .await;
    let to = stage.sidecar.address();
    let said = |caller: Caller, stream: bool| format!("{SAID} {caller:?} {stream}");
    let all = || Caller::ALL.into_iter().flat_map(|caller| ["a", "b", "c"].map(|route| (caller, route)));
    for (caller, route) in all() {
        for stream in [false, true] {
            let reply = http::ask(to, caller, route, &said(caller, stream), stream).await;
            assert_eq!((reply.status, reply.header("x-standin-degraded")), (200, None), "{caller:?}: {reply:?}");
        }
    }
    for drill in &stage.drills {
        drill.handle().always(Fault::RateLimited(RetryHint::Seconds(Duration::from_secs(600))));
    }
    for (caller, route) in all() {
        for (stream, again) in [(false, true), (false, false), (true, true)] {
            // A whole answer may be given again as a stream, and a streamed one whole.
            let said = said(caller, stream);
            let reply = http::ask(to, caller, route, &said, again).await;
            assert_eq!((reply.status, reply.is_whole), (200, true), "{caller:?} {route}: {reply:?}");
            if again {
                assert_eq!(caller.streamed(&reply.body), said, "{caller:?} {route}");
                continue;
            }
            assert_eq!(caller.text(&reply.json()), said, "{caller:?} {route}");
            assert_eq!(reply.header("x-standin-degraded"), Some("stale"), "{caller:?} {route}");
            assert!(reply.header("x-standin-age").is_some_and(|age| age.parse::<u64>().is_ok()), "{reply:?}");
        }
    }
    let metrics = http::get(to, "/metrics").await.body;
    assert!(metrics.contains("standin_calls_degraded_total{route=\"a\",rung=\"stale\"} 12"), "{metrics}");
}

#[tokio::test]
async fn a_call_that_would_wait_too_long_for_a_place_is_told_when_to_come_back_in_its_own_dialect() {
    let script = Script { first_token: Latency::Fixed(Duration::from_millis(200)), ..Script::default() };
    let stage = stage_with(1, script, |settings| {
        let a = settings.runtime.providers.get_mut("a").expect("there");
        a.models.values_mut().for_each(|model| model.in_flight_max = Some(1));
    })
    .await;
    let to = stage.sidecar.address();
    let call = || async move {
        http::ask_with(to, Caller::Chat, "smart", SAID, false, &[("x-standin-priority", "critical")]).await
    };
    let calls: tokio::task::JoinSet<_> = (0..20).map(|_| call()).collect();
    tokio::time::sleep(Duration::from_millis(1_300)).await;
    let health = http::get(to, "/health").await.json();
    assert!(health["queued"].as_u64().is_some_and(|queued| queued > 5), "{health}");
    let metrics = http::get(to, "/metrics").await.body;
    assert!(metrics.contains("standin_calls_queued_now 1"), "{metrics}");
    for caller in Caller::ALL {
        let begun = std::time::Instant::now();
        let headers = [("x-standin-deadline", "0.5")];
        let refused = http::ask_with(to, caller, "smart", SAID, false, &headers).await;
        let status = if caller == Caller::Anthropic { 529 } else { 503 };
        assert_eq!(refused.status, status, "{caller:?}: {refused:?}");
        let wait: u64 = refused.header("retry-after").and_then(|wait| wait.parse().ok()).expect("it is told");
        assert!((1..=4).contains(&wait), "{caller:?}: {wait}");
        assert!(begun.elapsed() < Duration::from_millis(400), "{caller:?}: {:?}", begun.elapsed());
    }
    assert!(calls.join_all().await.iter().all(|reply| reply.status == 200), "who waits is served");
}

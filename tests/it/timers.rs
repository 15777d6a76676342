//! Every timer, to the millisecond: nothing hangs, nothing is given up too early, no target is asked before its time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use futures_util::StreamExt as _;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use standin::routing::FailoverOptions;
use standin::testing::{Answer, Fault, Latency, Outcome, ProviderError, RetryHint, Script, Scripted};
use standin::{BoxFuture, HttpRequest, HttpResponse, Transport, TransportError};
use standin::{ChatRequest, CommitPolicy, Config, Error, Hedging, ModelConfig, OnExhausted};
use tokio::time::Instant;

use super::kit::{
    MS, S, World, ask, config_with, outcomes, path, settle, start, stream, unhurried, words, world, world_with,
};

/// A world whose models have these options.
async fn of(count: usize, script: Script, model: ModelConfig) -> World {
    let providers: Vec<Scripted> = (0..count).map(|_| Scripted::new(script.clone())).collect();
    let mut config = config_with(&providers, &model);
    config.failover.attempts_max = Some(4);
    World { runtime: start(config.clone()).await, providers, config }
}

fn patient(first_token: Duration) -> ModelConfig {
    ModelConfig { first_token: Some(first_token), ..ModelConfig::default() }
}

#[tokio::test(start_paused = true)]
async fn a_refused_connection_costs_no_time() {
    let world = world(2, Script::default()).await;
    world.providers[0].always(Fault::Refuse);
    let begun = Instant::now();
    let reply = world.runtime.chat(ask("hello")).await.expect("an answer");
    assert_eq!(path(&reply.finished.attempts), "a/m connect, b/m won");
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_provider_without_content_is_left_in_time_keep_alives_or_not() {
    let black_hole = Fault::BlackHole { every: 100 * MS };
    let (joined, given_up) = ("a/m hedge_lost, b/m won", "a/m no_first_token, b/m won");
    for (fault, model, limit, way) in [
        (black_hole.clone(), ModelConfig::default(), 4_038 * MS, joined),
        (Fault::Hang, ModelConfig::default(), 4_038 * MS, joined),
        // Such a head is no content either.
        (Fault::StallAfter(0), ModelConfig::default(), 4_038 * MS, joined),
        // A guess takes a third of the time at most, where another target is behind.
        (Fault::Hang, ModelConfig { reasoning: Some(true), ..ModelConfig::default() }, 20_006 * MS, joined),
        (black_hole.clone(), patient(1_234 * MS), 1_234 * MS, given_up),
        (black_hole.clone(), patient(60 * S), 60 * S, given_up),
        (black_hole, ModelConfig { ttft_median: Some(2 * S), ..ModelConfig::default() }, 6_668 * MS, joined),
    ] {
        let world = of(2, Script::default(), model).await;
        world.providers[0].always(fault.clone());
        let begun = Instant::now();
        let reply = world.runtime.chat(ask("hello")).await.expect("an answer");
        assert_eq!(path(&reply.finished.attempts), way, "{fault:?}");
        let took = begun.elapsed();
        // Times computed from latencies have two significant digits.
        assert!((limit.mul_f64(0.99)..limit + 5 * MS).contains(&took), "{fault:?}: {took:?} instead of {limit:?}");
        settle().await;
        assert_eq!(world.providers[0].counts().in_flight, 0, "{fault:?}: the connection is closed");
        assert_eq!(world.health("a/m").failed, 1, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_pauses_is_left_at_the_stall_limit() {
    for (model, limit) in [
        (ModelConfig::default(), 30 * S),
        (ModelConfig { reasoning: Some(true), ..ModelConfig::default() }, 90 * S),
        (ModelConfig { stall: Some(700 * MS), ..ModelConfig::default() }, 700 * MS),
    ] {
        let world = of(2, unhurried(), model).await;
        world.providers[0].always(Fault::StallAfter(5));
        let begun = Instant::now();
        let seen = stream(&world.runtime, ask(&words(10))).await;
        assert_eq!(seen.shape(), "a/m#1 text reset(stalled) b/m#2 text finished");
        // Four more tokens after the first; then b's answer.
        let expected = (200 * MS + 4 * 20 * MS) + limit + (200 * MS + 9 * 20 * MS);
        let took = begun.elapsed();
        assert!((expected..expected + 5 * MS).contains(&took), "{took:?} instead of {expected:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_gap_shorter_than_the_stall_limit_is_no_failure() {
    let world = of(1, Script { per_token: 25 * S, ..Script::default() }, ModelConfig::default()).await;
    let reply = world.runtime.chat(ask(&words(20))).await.expect("an answer");
    assert_eq!(path(&reply.finished.attempts), "a/m won");
    settle().await;
    assert_eq!(world.health("a/m").failed, 0);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_holds_over_all_attempts_and_its_error_lists_them() {
    let world = of(3, Script::default(), patient(3 * S)).await;
    for provider in &world.providers {
        provider.always(Fault::Hang);
    }
    let begun = Instant::now();
    let error = world.runtime.chat(ask("hello").deadline(7 * S)).await.expect_err("nobody answers");
    assert_eq!(begun.elapsed().as_secs(), 7);
    let Error::DeadlineExceeded { attempts } = &error else { panic!("{error:?}") };
    // They need as much each, so each has a third until the next is asked; none is asked twice.
    let starts: Vec<_> = attempts.iter().map(|record| record.started_after.as_millis() / 10).collect();
    assert_eq!(path(attempts), "a/m no_first_token, b/m no_first_token, c/m call_ended", "{starts:?}");
    assert_eq!(starts, [0, 233, 466]);
    settle().await;
    world.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn three_providers_of_500_ms_each_work_as_a_chain() {
    for silent in 1..=2 {
        let world = of(3, Script::default(), patient(500 * MS)).await;
        for provider in &world.providers[..silent] {
            provider.always(Fault::BlackHole { every: 50 * MS });
        }
        let begun = Instant::now();
        let reply = world.runtime.chat(ask("hello").deadline(1_600 * MS)).await;
        let reply = reply.unwrap_or_else(|error| panic!("{silent} silent: {error}"));
        assert_eq!(reply.finished.attempts.len(), silent + 1);
        assert!(begun.elapsed() <= 1_600 * MS, "{:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_chain_of_silent_providers_is_walked_at_exactly_their_own_limits() {
    let world = of(4, Script::default(), patient(500 * MS)).await;
    for provider in &world.providers[..3] {
        provider.always(Fault::Hang);
    }
    let begun = Instant::now();
    let reply = world.runtime.chat(ask("hello")).await.expect("d answers");
    assert_eq!(reply.finished.target.to_string(), "d/m");
    let took = begun.elapsed();
    assert!((1_500 * MS..1_506 * MS).contains(&took), "{took:?}");
    let starts: Vec<_> = reply.finished.attempts.iter().map(|record| record.started_after.as_millis() / 10).collect();
    assert_eq!(starts, [0, 50, 100, 150]);
}

#[tokio::test(start_paused = true)]
async fn the_last_possible_attempt_gets_all_the_time_that_is_left() {
    // A sole target thinks longer than its own limit: no other could do it faster.
    let world = of(1, Script { first_token: Latency::Fixed(100 * S), ..Script::default() }, patient(S)).await;
    let reply = world.runtime.chat(ask("hello")).await.expect("an answer");
    assert_eq!(reply.finished.attempts[0].first_token, Some(100 * S));
    // The second of two, likewise.
    let slow = Script { first_token: Latency::Fixed(100 * S), ..Script::default() };
    let world = world_with(2, slow, |config| {
        config.failover.attempts_max = Some(2);
        for provider in config.providers.values_mut() {
            *provider = provider.clone().model_with("m", patient(S));
        }
    })
    .await;
    let reply = world.runtime.chat(ask("hello")).await.expect("an answer");
    // Both are asked again beside it, in case that only its connection hangs.
    let path = path(&reply.finished.attempts);
    assert!(path.starts_with("a/m no_first_token, b/m won, a/m hedge_lost"), "{path}");
    assert!(path.split(", ").skip(2).all(|rest| rest.ends_with("hedge_lost")), "{path}");
}

#[tokio::test(start_paused = true)]
async fn another_try_starts_with_a_third_of_a_second_left() {
    let world = of(2, Script { per_token: S, ..Script::default() }, ModelConfig::default()).await;
    // a says a word a second, and breaks off after the eighth, 7 s after it began.
    world.providers[0].always(Fault::CutAfter(8));
    world.providers[1].say(Answer::text("short"));
    let request = ask("a b c d e f g h i j k l").deadline(7_300 * MS);
    assert_eq!(stream(&world.runtime, request).await.shape(), "a/m#1 text reset(cut) b/m#2 text finished");
}

#[tokio::test(start_paused = true)]
async fn however_short_the_time_and_however_many_are_silent_everybody_is_asked() {
    for fault in [Fault::Hang, Fault::BlackHole { every: 50 * MS }, Fault::StallAfter(2)] {
        for count in 2..=4 {
            for deadline in [MS * 500, S, 3 * S, 10 * S, 60 * S, 600 * S] {
                let world = world(count, Script::default()).await;
                for provider in &world.providers[..count - 1] {
                    provider.always(fault.clone());
                }
                let reply = world.runtime.chat(ask(&words(6)).deadline(deadline)).await;
                let reply = reply.unwrap_or_else(|error| panic!("{fault:?}, {count} in {deadline:?}: {error}"));
                assert_eq!(reply.finished.attempts.len(), count);
                world.assert_idle();
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_attempt_always_starts() {
    let world = world(1, Script::default()).await;
    let reply = world.runtime.chat(ask("hello").deadline(MS)).await.expect("an answer in no time");
    assert_eq!(reply.text, "hello");
}

#[tokio::test(start_paused = true)]
async fn a_short_retry_after_of_a_sole_target_is_waited_for_and_never_less() {
    let waits = [
        (RetryHint::Seconds(Duration::from_millis(1_500)), 1_500),
        (RetryHint::Seconds(2 * S), 2_000),
        (RetryHint::Millis(Duration::from_millis(700)), 700),
        (RetryHint::Reset(S), 1_000),
        (RetryHint::Text(S), 1_000),
    ];
    for (hint, millis) in waits {
        let world = world(1, Script::default()).await;
        world.providers[0].next(1, Fault::RateLimited(hint));
        let begun = Instant::now();
        let reply = world.runtime.chat(ask("hello")).await.unwrap_or_else(|error| panic!("{hint:?}: {error}"));
        assert_eq!(path(&reply.finished.attempts), "a/m rate_limited, a/m won");
        let took = begun.elapsed().as_millis();
        // Up to 10 % more, so that not all calls come back at once.
        assert!((millis..=millis * 11 / 10 + 5).contains(&took), "{hint:?}: {took} ms");
        assert_eq!(world.health("a/m").failed, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_retry_after_is_not_waited_for_and_no_call_asks_before_it_is_over() {
    let world = world(1, Script::default()).await;
    world.providers[0].next(1, Fault::RateLimited(RetryHint::Seconds(30 * S)));
    let begun = Instant::now();
    let error = world.runtime.chat(ask("hello")).await.expect_err("it will not wait so long");
    assert_eq!(begun.elapsed().as_millis(), 0);
    let Error::Exhausted { retry_after: Some(after), .. } = error else { panic!("{error:?}") };
    assert!((30 * S..=33 * S).contains(&after), "{after:?}");
    let mut answered = None;
    while answered.is_none() {
        tokio::time::sleep(500 * MS).await;
        answered = world.runtime.chat(ask("hello")).await.ok().map(|_| begun.elapsed());
    }
    let log = world.providers[0].log();
    assert_eq!(log.len(), 2, "one that was refused and one that was answered");
    assert!((30 * S..=33_500 * MS).contains(&answered.expect("answered")), "{answered:?}");
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_beyond_a_tenth_of_the_time_left_is_not_waited_for() {
    let world = world(1, Script::default()).await;
    world.providers[0].next(1, Fault::RateLimited(RetryHint::Seconds(S)));
    let error = world.runtime.chat(ask("hello").deadline(5 * S)).await.expect_err("half a second is the most");
    assert!(matches!(error, Error::Exhausted { .. }), "{error:?}");
    assert_eq!(world.providers[0].received(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_429_is_left_for_another_target_at_once_and_not_asked_again_before_its_time() {
    let world = world(2, Script::default()).await;
    world.providers[0].next(1, Fault::RateLimited(RetryHint::Seconds(20 * S)));
    let begun = Instant::now();
    for second in 0..30 {
        let reply = world.runtime.chat(ask("hello")).await.expect("an answer");
        let expected = match second {
            0 => "a/m rate_limited, b/m won",
            1..20 => "b/m won",
            20..=22 => &path(&reply.finished.attempts),
            _ => "a/m won",
        };
        assert_eq!(path(&reply.finished.attempts), expected, "at {second} s");
        tokio::time::sleep_until(begun + (second + 1) * S).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_overload_with_a_retry_after_opens_the_breaker_for_so_long() {
    let world = world(2, Script::default()).await;
    let mut headers = http::HeaderMap::new();
    headers.insert("retry-after", http::HeaderValue::from_static("40"));
    world.providers[0].next(1, Fault::Reply { status: 503, headers, body: "{}".into() });
    let begun = Instant::now();
    world.runtime.chat(ask("hello")).await.expect("an answer");
    while world.providers[0].received() < 2 {
        world.runtime.chat(ask("hello")).await.expect("an answer");
        tokio::time::sleep(S).await;
    }
    assert!((40 * S..=46 * S).contains(&begun.elapsed()), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_sole_targets_500_is_tried_again_after_a_jittered_wait() {
    let mut waits = Vec::new();
    for seed in 0..20 {
        let world = world_with(1, Script::default(), |config| config.seed = Some(seed)).await;
        world.providers[0].next(2, Fault::Error(ProviderError::Server));
        let begun = Instant::now();
        let reply = world.runtime.chat(ask("hello")).await.expect("an answer");
        assert_eq!(path(&reply.finished.attempts), "a/m server, a/m server, a/m won");
        // Over the 15 s of a caller that says nothing: a sixteenth of them at most, and a quarter of what is left.
        assert!((2 * S..=4_800 * MS).contains(&begun.elapsed()), "{:?}", begun.elapsed());
        waits.push(begun.elapsed());
    }
    let mean = waits.iter().sum::<Duration>() / 20;
    assert!((2_700 * MS..4 * S).contains(&mean), "{mean:?}");
    waits.dedup();
    assert!(waits.len() > 15, "different calls wait differently");
}

#[tokio::test(start_paused = true)]
async fn a_500_moves_to_the_next_target_at_once_and_comes_back_only_when_no_other_is_left() {
    let world = world(2, Script::default()).await;
    world.providers[0].next(1, Fault::Error(ProviderError::Server));
    world.providers[1].next(1, Fault::Error(ProviderError::Overloaded));
    let reply = world.runtime.chat(ask("hello")).await.expect("an answer");
    let way = path(&reply.finished.attempts);
    assert!(
        matches!(way.as_str(), "a/m server, b/m overloaded, a/m won" | "a/m server, b/m overloaded, b/m won"),
        "{way}"
    );
    assert!(reply.finished.attempts[1].started_after < MS, "no wait before another target");
}

/// Breaks the first connections before a response, as pooled ones do.
#[derive(Debug)]
struct Stale {
    inner: Scripted,
    after: Duration,
    broken: AtomicU32,
}

impl Transport for Stale {
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, TransportError>> {
        if self.broken.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok() {
            return Box::pin(async {
                tokio::time::sleep(self.after).await;
                Err(TransportError::Unsent("reset".into()))
            });
        }
        self.inner.send(request)
    }
}

async fn stale(broken: u32, attempts_max: u32) -> World {
    stale_after(Duration::ZERO, broken, attempts_max).await
}

async fn stale_after(after: Duration, broken: u32, attempts_max: u32) -> World {
    let providers: Vec<Scripted> = (0..2).map(|_| Scripted::new(Script::default())).collect();
    let mut config = config_with(&providers, &ModelConfig::default());
    let transport = Stale { inner: providers[0].clone(), after, broken: AtomicU32::new(broken) };
    config.providers.get_mut("a").expect("a").custom = Some(Arc::new(transport));
    config.failover.attempts_max = Some(attempts_max);
    World { runtime: start(config.clone()).await, providers, config }
}

#[tokio::test(start_paused = true)]
async fn a_pooled_connection_that_breaks_unsent_is_replaced_at_once_and_counts_for_nothing() {
    let world = stale(1, 1).await;
    let begun = Instant::now();
    let reply = world.runtime.chat(ask("hello")).await.expect("an answer, though one attempt is the most");
    assert_eq!(path(&reply.finished.attempts), "a/m unsent, a/m won");
    assert_eq!(begun.elapsed(), Duration::ZERO);
    settle().await;
    assert_eq!(world.health("a/m").failed, 0);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_unsent_twice_is_no_connection() {
    let world = stale(2, 3).await;
    let reply = world.runtime.chat(ask("hello")).await.expect("an answer");
    assert_eq!(path(&reply.finished.attempts), "a/m unsent, a/m connect, b/m won");
    settle().await;
    assert_eq!(world.health("a/m").failed, 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_late_is_a_failure_and_not_repeated_for_nothing() {
    let world = stale_after(3 * S, 1, 3).await;
    let reply = world.runtime.chat(ask("hello")).await.expect("an answer");
    assert_eq!(path(&reply.finished.attempts), "a/m cut, b/m won");
    settle().await;
    assert_eq!(world.health("a/m").failed, 1);
}

#[tokio::test(start_paused = true)]
async fn no_more_attempts_are_made_than_allowed() {
    for attempts_max in 1..=3 {
        let world = world_with(3, Script::default(), |config| config.failover.attempts_max = Some(attempts_max)).await;
        for provider in &world.providers {
            provider.always(Fault::Error(ProviderError::BadGateway));
        }
        let error = world.runtime.chat(ask("hello")).await.expect_err("nobody answers");
        assert_eq!(error.attempts().len(), attempts_max as usize);
        assert!(matches!(error, Error::Exhausted { .. }), "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn where_nothing_is_configured_each_target_of_a_route_is_asked_once() {
    for targets in 2..=5 {
        let world = world_with(targets, Script::default(), |_| {}).await;
        for provider in &world.providers[..targets - 1] {
            provider.always(Fault::Error(ProviderError::BadGateway));
        }
        for _ in 0..20 {
            let reply = world.runtime.chat(ask("hello")).await.expect("the last one answers");
            assert!(reply.finished.attempts.len() <= targets, "{}", path(&reply.finished.attempts));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_routes_failover_sets_its_own_fields_and_leaves_the_others_to_the_runtime() {
    let world = world_with(4, Script::default(), |config| {
        config.failover.attempts_max = Some(2);
        config.failover.deadline = 50 * S;
        config.routes.get_mut("smart").expect("smart").failover.on_exhausted = Some(OnExhausted::Wait);
    })
    .await;
    for provider in &world.providers {
        provider.always(Fault::Error(ProviderError::BadGateway));
    }
    let failed = world.runtime.chat(ask("hello").on_exhausted(OnExhausted::Fail)).await.expect_err("all fail");
    assert_eq!(failed.attempts().len(), 2, "{failed}");
    let file = "[failover]\nattempts_max = 2\ndeadline = '7s'\nhedging = 'race'\n\
                [routes.smart]\ntargets = ['a/m']\nfailover = { on_exhausted = 'degrade', wait_max = '1s' }\n";
    let config: Config = toml::from_str(file).expect("a configuration");
    let merged = config.routes["smart"].failover.over(&config.failover);
    let expected = FailoverOptions {
        attempts_max: Some(2),
        deadline: 7 * S,
        hedging: Some(Hedging::Race),
        on_exhausted: OnExhausted::Degrade,
        wait_max: S,
        ..FailoverOptions::default()
    };
    assert_eq!(merged, expected);
}

#[tokio::test(start_paused = true)]
async fn a_route_and_a_request_may_set_their_own_deadlines() {
    let world = world_with(1, Script::default(), |config| {
        config.failover.deadline = 50 * S;
        let route = config.routes.get_mut("smart").expect("smart");
        route.failover.deadline = Some(20 * S);
    })
    .await;
    world.providers[0].always(Fault::Hang);
    for (request, seconds) in [
        (ask("the route's"), 20),
        (ask("its own").deadline(4 * S), 4),
        (ask("a longer one").deadline(90 * S), 90),
        (ChatRequest { route: "a/m".into(), ..ask("the configuration's") }, 50),
    ] {
        let begun = Instant::now();
        let error = world.runtime.chat(request.clone()).await.expect_err("it hangs");
        assert!(matches!(error, Error::DeadlineExceeded { .. }), "{error:?}");
        assert_eq!(begun.elapsed().as_millis() / 100, seconds * 10, "{request:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_burst_reply_is_joined_when_answers_of_its_length_would_be_late() {
    // Without a limit the guess is longer than a third of the time that the caller is thought to have.
    for (limit, millis) in [(None, 5_000), (Some(10), 4_846), (Some(1), 4_119)] {
        let world = world_with(2, Script::default(), |config| {
            config.providers.values_mut().for_each(|provider| provider.stream_upstream = Some(false));
        })
        .await;
        world.providers[0].always(Fault::Hang);
        let begun = Instant::now();
        let request = ChatRequest { output_tokens_max: limit, ..ask("hello") };
        let reply = world.runtime.chat(request).await.expect("an answer");
        assert_eq!(path(&reply.finished.attempts), "a/m hedge_lost, b/m won");
        let took = begun.elapsed().as_millis();
        assert!((millis..millis + 5).contains(&took), "{limit:?}: {took} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_is_not_timed_while_its_reader_pauses() {
    let world = of(1, Script::default(), ModelConfig { stall: Some(S), ..ModelConfig::default() }).await;
    world.providers[0].say(Answer::text(words(400)));
    let request = ChatRequest { commit: CommitPolicy::Fail, ..ask("hello") };
    let mut reading = world.runtime.stream(request).await.expect("it runs");
    let mut events = 0;
    while let Some(event) = reading.next().await {
        event.expect("no error");
        events += 1;
        if events % 50 == 0 {
            tokio::time::sleep(20 * S).await;
        }
    }
    assert_eq!(outcomes(&world.providers[0]), [Outcome::Answered]);
    settle().await;
    assert_eq!(world.health("a/m").failed, 0);
}

/// Says a word, then for some time only that it is alive, then calls a tool.
#[derive(Debug)]
struct Busy {
    /// What comes in between, every ten seconds.
    sign: &'static str,
    signs: usize,
}

impl Transport for Busy {
    fn send(&self, _: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, TransportError>> {
        let word = r#"{"choices":[{"index":0,"delta":{"content":"Wait."}}]}"#;
        let call = r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c1","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}"#;
        let first = [format!("data: {word}\n\n")];
        let signs = vec![self.sign.to_owned(); self.signs];
        let last = [format!("data: {call}\n\ndata: [DONE]\n\n")];
        let chunks = first.into_iter().chain(signs).chain(last);
        let body = futures_util::stream::iter(chunks.enumerate()).then(|(at, chunk)| async move {
            tokio::time::sleep(if at == 0 { S } else { 10 * S }).await;
            Ok(chunk.into())
        });
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"))]);
        Box::pin(async { Ok(HttpResponse::new(200, headers, Box::pin(body))) })
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_sends_keep_alives_while_a_call_is_written_is_waited_for() {
    let signs = [": ping\n\n", "data: {\"choices\":[{\"index\":0,\"delta\":{}}]}\n\n"];
    let short = ModelConfig { stall: Some(15 * S), ..ModelConfig::default() };
    // 300 s without content are the most, and a limit of one's own is kept to.
    for (model, signs_sent, whole) in
        [(ModelConfig::default(), 25, true), (ModelConfig::default(), 40, false), (short, 3, false)]
    {
        for sign in signs {
            let providers = vec![Scripted::new(Script::default())];
            let mut config = config_with(&providers, &model);
            config.providers.get_mut("a").expect("a").custom = Some(Arc::new(Busy { sign, signs: signs_sent }));
            let world = World { runtime: start(config.clone()).await, providers, config };
            let seen = stream(&world.runtime, ChatRequest { commit: CommitPolicy::Fail, ..ask("hello") }).await;
            let end = if whole { "a/m#1 text tool finished" } else { "a/m#1 text interrupted" };
            assert_eq!(seen.shape(), end, "{signs_sent} of {sign:?}");
            settle().await;
            assert_eq!(world.health("a/m").failed, u64::from(!whole), "{signs_sent} of {sign:?}");
        }
    }
}

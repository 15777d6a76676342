//! Streams as their readers see them: whole answers of one attempt each, resets in between, one end.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use standin::health::BreakerState;
use standin::testing::{Answer, Answers, Fault, Latency, Outcome, ProviderError, Script, Scripted, When};
use standin::{ChatRequest, CommitPolicy, Error, FailureClass, ReplyEvent, StopReason, Tool};
use tokio::time::{Instant, sleep};

use super::kit::{
    MS, S, Seen, World, ask, config, outcomes, path, read, settle, start, stream, unhurried, words, world,
};

/// Tokens of each answer in [`signed`] worlds.
const TOKENS: usize = 20;

/// The answer of a provider in a [`signed`] world: each has its own.
fn said_by(provider: &str) -> String {
    (0..TOKENS).map(|word| format!("{provider}{word}")).collect::<Vec<_>>().join(" ")
}

/// A world whose providers can be told by their answers.
async fn signed(count: usize) -> World {
    let signed = |name: &'static str| {
        Scripted::new(Script { answers: Answers::by(move |_| Answer::text(said_by(name))), ..unhurried() })
    };
    let providers: Vec<Scripted> = ["a", "b", "c"].into_iter().take(count).map(signed).collect();
    let config = config(&providers);
    World { runtime: start(config.clone()).await, providers, config }
}

fn with(commit: CommitPolicy) -> ChatRequest {
    ChatRequest { commit, ..ask("hello") }
}

fn add() -> Tool {
    let parameters = serde_json::json!({"type": "object", "properties": {"a": {"type": "integer"}}});
    Tool { name: "add".into(), description: "adds".into(), parameters: parameters.into(), strict: None }
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_started_told_in_order_and_finished() {
    let world = world(1, unhurried()).await;
    world.providers[0].say(Answer::text("one two three").reasoning("let me see"));
    let seen = stream(&world.runtime, ask("hello")).await;
    assert_eq!(seen.shape(), "a/m#1 reasoning text finished");
    assert_eq!(seen.text(), "one two three");
    let finished = seen.finished();
    assert_eq!((finished.stop, finished.usage.output), (StopReason::Stop, 6));
    assert_eq!(path(&finished.attempts), "a/m won");
    assert!(matches!(seen.events[0], ReplyEvent::Started { call, attempt: 1, .. } if call == finished.call));
}

#[tokio::test(start_paused = true)]
async fn content_arrives_when_it_is_sent_and_not_with_the_end() {
    let world = world(1, unhurried()).await;
    let begun = Instant::now();
    let mut reading = world.runtime.stream(ask(&words(11))).await.expect("it runs");
    assert_eq!(begun.elapsed(), Duration::ZERO, "a stream is there before its content");
    let mut times = Vec::new();
    while let Some(Ok(event)) = reading.next().await {
        if let ReplyEvent::Text(_) = event {
            times.push(begun.elapsed());
        }
    }
    let expected: Vec<_> = (0..11).map(|token| 200 * MS + token * 20 * MS).collect();
    assert_eq!(times, expected);
}

#[tokio::test(start_paused = true)]
async fn an_answer_cut_before_its_content_is_replaced_without_a_word() {
    for commit in [CommitPolicy::Reset, CommitPolicy::Fail, CommitPolicy::Buffered] {
        let world = signed(2).await;
        world.providers[0].next(1, Fault::CutAfter(0));
        let seen = stream(&world.runtime, with(commit)).await;
        assert_eq!(seen.shape(), "b/m#2 text finished", "{commit:?}");
        assert_eq!(seen.text(), said_by("b"));
        assert_eq!(path(&seen.finished().attempts), "a/m cut, b/m won");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_cut_after_any_token_is_reset_and_another_one_is_whole() {
    for tokens in 1..=u32::try_from(TOKENS).expect("few") {
        let world = signed(2).await;
        world.providers[0].next(1, Fault::CutAfter(tokens));
        let seen = stream(&world.runtime, with(CommitPolicy::Reset)).await;
        assert_eq!(seen.shape(), "a/m#1 text reset(cut) b/m#2 text finished", "after {tokens}");
        assert_eq!(seen.text(), said_by("b"));
        settle().await;
        world.assert_idle();
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_cut_after_content_ends_with_an_error_and_nothing_after_where_that_is_asked_for() {
    let world = signed(2).await;
    world.providers[0].next(1, Fault::CutAfter(5));
    let seen = stream(&world.runtime, with(CommitPolicy::Fail)).await;
    assert_eq!(seen.shape(), "a/m#1 text interrupted");
    let Some(Error::Interrupted { failure, attempts }) = &seen.error else { panic!("{seen:?}") };
    assert_eq!(failure.class, FailureClass::Cut);
    assert_eq!(path(attempts), "a/m cut");
    assert_eq!(world.providers[1].received(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_broke_answers_off_is_probed_by_answers_that_are_shown_whole() {
    for fault in [Fault::CutAfter(5), Fault::StallAfter(5)] {
        let world = signed(2).await;
        let outage = world.providers[0].always(fault.clone());
        let is_out = || matches!(world.health("a/m").breaker, BreakerState::Open { .. } | BreakerState::HalfOpen);
        let mut broken = 0;
        while !is_out() {
            broken += u32::from(stream(&world.runtime, with(CommitPolicy::Fail)).await.error.is_some());
            settle().await;
        }
        assert!(broken > 0, "{fault:?}");
        let before = world.providers[0].received();
        for _ in 0..60 {
            let seen = stream(&world.runtime, with(CommitPolicy::Fail)).await;
            assert_eq!(seen.shape().rsplit(' ').next(), Some("finished"), "{fault:?} {seen:?}");
            assert_eq!(seen.text(), said_by("b"), "{fault:?}");
            sleep(S).await;
        }
        assert!(world.providers[0].received() > before + 2, "{fault:?}: it is looked at");
        world.providers[0].lift(outage);
        let mut well = 0;
        while !matches!(world.health("a/m").breaker, BreakerState::Closed) {
            let seen = stream(&world.runtime, with(CommitPolicy::Fail)).await;
            well += u32::from(seen.text() == said_by("a"));
            assert!(seen.error.is_none(), "{seen:?}");
            sleep(S).await;
        }
        assert!(well > 0, "{fault:?}: the probes' answers are the callers'");
    }
}

#[tokio::test(start_paused = true)]
async fn a_buffered_answer_comes_at_its_valid_end_after_any_failures() {
    let world = signed(3).await;
    world.providers[0].next(1, Fault::CutAfter(19));
    world.providers[1].next(1, Fault::ErrorEvent { after: 3 });
    let begun = Instant::now();
    let mut reading = world.runtime.stream(with(CommitPolicy::Buffered)).await.expect("it runs");
    assert!(matches!(reading.next().await, Some(Ok(ReplyEvent::Started { attempt: 3, .. }))));
    // 19 tokens of a, 3 of b, 20 of c.
    assert_eq!(begun.elapsed(), 3 * 200 * MS + (18 + 2 + 19) * 20 * MS);
    let seen = read(reading).await;
    assert_eq!((seen.text(), seen.error), (said_by("c"), None));
}

#[tokio::test(start_paused = true)]
async fn a_plain_chat_is_one_whole_answer_of_one_target_after_any_failures() {
    for tokens in [0, 1, 10, 20] {
        let world = signed(3).await;
        world.providers[0].next(1, Fault::CutAfter(tokens));
        world.providers[1].next(1, Fault::StallAfter(tokens));
        let reply = world.runtime.chat(ask("hello")).await.expect("an answer");
        assert_eq!(reply.text, said_by("c"));
        // A silent attempt is joined, before a word as after some.
        assert_eq!(path(&reply.finished.attempts), "a/m cut, b/m hedge_lost, c/m won");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_may_be_reset_more_than_once() {
    let world = signed(3).await;
    world.providers[0].next(1, Fault::CutAfter(3));
    world.providers[1].next(1, Fault::CutAfter(4));
    let seen = stream(&world.runtime, with(CommitPolicy::Reset)).await;
    assert_eq!(seen.shape(), "a/m#1 text reset(cut) b/m#2 text reset(cut) c/m#3 text finished");
    assert_eq!(seen.text(), said_by("c"));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_cannot_be_replaced_ends_as_interrupted_even_if_the_last_failure_was_another() {
    let world = signed(2).await;
    world.providers[0].next(1, Fault::CutAfter(3));
    for provider in &world.providers {
        provider.inject(Fault::Error(ProviderError::OutOfMoney), When::ALWAYS.during(MS..60 * S));
    }
    let seen = stream(&world.runtime, with(CommitPolicy::Reset)).await;
    assert_eq!(seen.shape(), "a/m#1 text interrupted");
    let error = seen.error.expect("an error");
    assert_eq!(path(error.attempts()), "a/m cut, b/m out_of_money, a/m out_of_money");
}

#[tokio::test(start_paused = true)]
async fn between_two_resets_all_text_is_of_the_attempt_that_was_started() {
    for seed in 0..60 {
        let mut rng = StdRng::seed_from_u64(seed);
        let world = signed(3).await;
        for provider in &world.providers[..2] {
            let tokens = rng.random_range(0..=u32::try_from(TOKENS).expect("few"));
            match rng.random_range(0..5) {
                0 => drop(provider.next(1, Fault::CutAfter(tokens))),
                1 => drop(provider.next(1, Fault::StallAfter(tokens))),
                2 => drop(provider.next(1, Fault::ErrorEvent { after: tokens })),
                3 => drop(provider.next(1, Fault::TruncatedJson)),
                _ => {}
            }
        }
        let commit = [CommitPolicy::Reset, CommitPolicy::Fail, CommitPolicy::Buffered][rng.random_range(0..3)];
        let seen = stream(&world.runtime, with(commit)).await;
        let (mut target, mut text) = (String::new(), String::new());
        for event in &seen.events {
            match event {
                ReplyEvent::Started { target: new, .. } => (target, text) = (new.provider.to_string(), String::new()),
                ReplyEvent::Text(more) => {
                    text.push_str(more);
                    assert!(said_by(&target).starts_with(&text), "seed {seed}: {target} never said {text}");
                }
                ReplyEvent::Reset(_) => assert_eq!(commit, CommitPolicy::Reset),
                ReplyEvent::Finished(finished) => {
                    assert_eq!(*finished.target.provider, *target, "seed {seed}");
                    assert_eq!(text, said_by(&target), "seed {seed}");
                }
                other => panic!("{other:?}"),
            }
        }
        match (&seen.error, commit) {
            (None, _) => drop(seen.finished()),
            (Some(Error::Interrupted { .. }), CommitPolicy::Fail) => {}
            (Some(error), _) => panic!("seed {seed}, {commit:?}: {error}"),
        }
        settle().await;
        world.assert_idle();
    }
}

#[tokio::test(start_paused = true)]
async fn tool_calls_come_whole_and_once_with_the_valid_end() {
    let world = world(1, unhurried()).await;
    let request = ask(r#"call:add({"a":1}) call:add({"a":2})"#).tool(add());
    let begun = Instant::now();
    let mut reading = world.runtime.stream(request.clone()).await.expect("it runs");
    let mut calls = Vec::new();
    let mut last = None;
    while let Some(event) = reading.next().await {
        let event = event.expect("no error");
        if let ReplyEvent::ToolCall(call) = &event {
            assert!(begun.elapsed() > 200 * MS, "it came before the end of the answer");
            calls.push(call.clone());
        }
        last = Some(event);
    }
    let arguments: Vec<_> = calls.iter().map(|call| call.arguments.as_str()).collect();
    assert_eq!(arguments, [r#"{"a":1}"#, r#"{"a":2}"#]);
    assert_ne!(calls[0].id, calls[1].id);
    let Some(ReplyEvent::Finished(finished)) = last else { panic!("{last:?}") };
    assert_eq!(finished.stop, StopReason::ToolCalls);
    let reply = world.runtime.chat(request).await.expect("an answer");
    assert_eq!(reply.tool_calls.iter().map(|call| call.arguments.as_str()).collect::<Vec<_>>(), arguments);
}

#[tokio::test(start_paused = true)]
async fn a_tool_call_of_an_answer_that_breaks_off_is_never_seen() {
    let request = ask(r#"call:add({"a":1234567890123}) call:add({"a":2})"#).tool(add());
    for commit in [CommitPolicy::Reset, CommitPolicy::Fail, CommitPolicy::Buffered] {
        for tokens in 0..8 {
            let world = world(2, unhurried()).await;
            world.providers[0].next(1, Fault::CutAfter(tokens));
            let seen = stream(&world.runtime, ChatRequest { commit, ..request.clone() }).await;
            // Nothing of a tool call reaches the reader early, so there is nothing to reset.
            assert_eq!(seen.shape(), "b/m#2 tool finished", "{commit:?} after {tokens}");
            let calls = seen.events.iter().filter(|event| matches!(event, ReplyEvent::ToolCall(_))).count();
            assert_eq!(calls, 2);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_tool_call_comes_nothing_but_more_of_them_and_the_end() {
    for seed in 0..20 {
        let mut rng = StdRng::seed_from_u64(seed);
        let world = world(3, unhurried()).await;
        for provider in &world.providers {
            provider.say(Answer::text("I shall add").tool_call("add", r#"{"a":1}"#).tool_call("add", r#"{"a":2}"#));
        }
        for provider in &world.providers[..rng.random_range(0..3)] {
            provider.next(1, Fault::CutAfter(rng.random_range(0..8)));
        }
        let seen = stream(&world.runtime, ask("go").tool(add())).await;
        let first = seen.events.iter().position(|event| matches!(event, ReplyEvent::ToolCall(_))).expect("a call");
        let after: Vec<_> = seen.events[first..].iter().collect();
        assert_eq!(after.len(), 3, "seed {seed}: {}", seen.shape());
        assert!(matches!(after[2], ReplyEvent::Finished(_)));
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_whose_tool_call_is_no_json_is_asked_for_again_and_not_seen() {
    let world = world(2, unhurried()).await;
    world.providers[0].say(Answer::default().tool_call("add", r#"{"a":"#));
    let seen = stream(&world.runtime, ask(r#"call:add({"a":1})"#).tool(add())).await;
    assert_eq!(seen.shape(), "a/m#2 tool finished");
    assert_eq!(path(&seen.finished().attempts), "a/m unusable, a/m won");
}

#[tokio::test(start_paused = true)]
async fn dropping_a_stream_ends_everything_at_once_at_any_moment() {
    for moment in [Duration::ZERO, 100 * MS, 200 * MS, 500 * MS] {
        let world = world(2, unhurried()).await;
        let mut reading = world.runtime.stream(ask(&words(100))).await.expect("it runs");
        let _ = tokio::time::timeout(moment, async { while reading.next().await.is_some() {} }).await;
        let left = Instant::now();
        drop(reading);
        sleep(MS).await;
        world.assert_idle();
        let log = world.providers[0].log();
        if let [record] = &log[..] {
            assert_eq!(record.outcome, Outcome::ClientLeft, "at {moment:?}");
        } else {
            assert!(moment.is_zero() && log.is_empty(), "{log:?}");
        }
        assert!(left.elapsed() < 5 * MS);
        assert_eq!(world.health("a/m").failed, 0, "a reader that leaves is nobody's fault");
        assert_eq!(world.providers[1].received(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_a_chat_ends_everything_at_once() {
    let world = world(2, unhurried()).await;
    let chat = world.runtime.chat(ask(&words(100)));
    assert!(tokio::time::timeout(S, chat).await.is_err());
    sleep(MS).await;
    world.assert_idle();
    assert_eq!(outcomes(&world.providers[0]), [Outcome::ClientLeft]);
    let totals = world.runtime.totals();
    assert_eq!(totals[0].1.failed[&FailureClass::CallerLeft], 1);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_pauses_holds_the_provider_back_and_then_has_everything() {
    let world = world(1, Script::default()).await;
    let text = words(1_000);
    let mut reading = world.runtime.stream(ask(&text)).await.expect("it runs");
    sleep(50 * S).await;
    let counts = world.providers[0].counts();
    assert_eq!((counts.in_flight, counts.answered), (1, 0), "the answer waits for its reader");
    let mut seen = String::new();
    while let Some(event) = reading.next().await {
        if let ReplyEvent::Text(more) = event.expect("no error") {
            seen.push_str(&more);
        }
    }
    assert_eq!(seen, text);
    settle().await;
    assert_eq!(world.health("a/m").failed, 0, "the provider was not slow, its reader was");
    assert!(!world.health("a/m").degraded);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_takes_nothing_for_a_minute_loses_its_call() {
    let world = world(2, Script::default()).await;
    let mut reading = world.runtime.stream(ask(&words(1_000))).await.expect("it runs");
    sleep(61 * S).await;
    world.assert_idle();
    assert_eq!(outcomes(&world.providers[0]), [Outcome::ClientLeft], "nobody pays for what nobody reads");
    let mut last = None;
    let mut texts = 0;
    while let Some(item) = reading.next().await {
        texts += usize::from(matches!(item, Ok(ReplyEvent::Text(_))));
        last = Some(item);
    }
    assert!(matches!(last, Some(Err(Error::ConsumerStalled(after))) if after == 60 * S), "{last:?}");
    assert!((32..=70).contains(&texts), "{texts} pieces were ahead of the reader");
    assert_eq!(world.providers[1].received(), 0, "it is nobody else's turn");
    assert_eq!(world.health("a/m").failed, 0);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_that_goes_on_reading_is_never_cut_off() {
    let world = world(1, Script::default()).await;
    let request = ask(&words(300)).deadline(24 * 3_600 * S);
    let mut reading = world.runtime.stream(request).await.expect("it runs");
    let mut texts = 0;
    while let Some(event) = reading.next().await {
        texts += usize::from(matches!(event.expect("no error"), ReplyEvent::Text(_)));
        sleep(29 * S).await;
    }
    assert!(texts > 100, "{texts}");
    assert_eq!(world.health("a/m").failed, 0);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_a_stream_in_its_middle_and_its_attempt() {
    for reads in [true, false] {
        let world = world(2, Script { per_token: 100 * MS, ..unhurried() }).await;
        let begun = Instant::now();
        let reading = world.runtime.stream(ask(&words(1_000)).deadline(5 * S)).await.expect("it runs");
        let seen = if reads {
            read(reading).await
        } else {
            // The deadline does not depend on a reader.
            sleep(5 * S + 10 * MS).await;
            world.assert_idle();
            read(reading).await
        };
        assert!(begun.elapsed() <= 5 * S + 10 * MS, "{:?}", begun.elapsed());
        assert_eq!(seen.shape(), "a/m#1 text deadline_exceeded");
        assert_eq!(path(seen.error.expect("an error").attempts()), "a/m call_ended");
        assert_eq!(outcomes(&world.providers[0]), [Outcome::ClientLeft]);
        settle().await;
        world.assert_idle();
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_can_be_read_by_the_usual_combinators_and_from_another_task() {
    use futures_util::StreamExt as _;
    let world = world(1, unhurried()).await;
    let reading = world.runtime.stream(ask(&words(5))).await.expect("it runs");
    let texts = tokio::spawn(
        reading
            .filter_map(|item| async move {
                match item {
                    Ok(ReplyEvent::Text(text)) => Some(text),
                    _ => None,
                }
            })
            .collect::<Vec<_>>(),
    );
    assert_eq!(texts.await.expect("no panic").concat(), words(5));
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_answers_a_stream_with_one_whole_reply_is_understood() {
    let provider = Scripted::new(unhurried());
    let mut config = config(std::slice::from_ref(&provider));
    config.providers.get_mut("a").expect("a").stream_upstream = Some(false);
    let world = World { runtime: start(config.clone()).await, providers: vec![provider], config };
    let seen: Seen = stream(&world.runtime, ask(&words(30))).await;
    assert_eq!(seen.shape(), "a/m#1 text finished");
    assert_eq!(seen.text(), words(30));
    let body = String::from_utf8_lossy(&world.providers[0].log()[0].body).into_owned();
    assert!(!body.contains(r#""stream":true"#), "{body}");
}

#[tokio::test(start_paused = true)]
async fn many_streams_at_once_do_not_mix() {
    let script = Script { first_token: Latency::LogNormal { median: 300 * MS, sigma: 0.5 }, ..unhurried() };
    let world = world(2, script).await;
    let runtime = Arc::new(world.runtime.clone());
    let tasks: Vec<_> = (0..200)
        .map(|call| {
            let runtime = runtime.clone();
            tokio::spawn(async move {
                let text = format!("call {call} says {}", words(call % 37));
                (text.clone(), stream(&runtime, ask(&text)).await)
            })
        })
        .collect();
    for (text, seen) in super::kit::all(tasks).await {
        assert_eq!(seen.text(), text);
        assert_eq!(seen.error.as_ref().map(Error::name), None);
    }
}

//! The runtime as an actor: messages, limits, ledger, events, recorder.

use std::time::Duration;

use standin::config::PriceConfig;
use standin::health::Force;
use standin::ractor::{self, Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use standin::runtime::CallStep;
use standin::testing::{Fault, Outcome, ProviderError, Script};
use standin::{ChatRequest, Error, Event, Reply, ReplyEvent, RouterMessage, Usage};
use tokio::time::{Instant, sleep};

use super::kit::{
    MS, S, all, ask, events, outcomes, path, read, settle, stream, target, unhurried, words, world, world_with,
};

/// A user's actor that asks the runtime for its answers.
struct Agent;

enum Task {
    Ask(String, RpcReplyPort<Result<Reply, Error>>),
}

#[cfg(feature = "cluster")]
impl ractor::Message for Task {}

#[cfg_attr(feature = "async-trait", ractor::async_trait)]
impl Actor for Agent {
    type Msg = Task;
    type State = ActorRef<RouterMessage>;
    type Arguments = ActorRef<RouterMessage>;

    async fn pre_start(
        &self,
        _: ActorRef<Task>,
        router: ActorRef<RouterMessage>,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(router)
    }

    async fn handle(
        &self,
        _: ActorRef<Task>,
        Task::Ask(text, port): Task,
        router: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let reply = ractor::call!(router, RouterMessage::Chat, Box::new(ask(&text)))?;
        let _ = port.send(reply);
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_users_own_actor_asks_by_message() {
    let world = world(1, unhurried()).await;
    let router = world.runtime.router().expect("it runs");
    let (agent, task) = Actor::spawn(None, Agent, router).await.expect("starts");
    for text in ["one", "two"] {
        let reply = ractor::call_t!(agent, Task::Ask, 5_000, text.to_owned()).expect("in time").expect("an answer");
        assert_eq!(reply.text, text);
    }
    agent.stop(None);
    task.await.expect("no panic");
}

#[tokio::test(start_paused = true)]
async fn every_message_has_the_effect_of_its_method() {
    let world = world(2, unhurried()).await;
    let router = world.runtime.router().expect("it runs");

    let stream = ractor::call!(router, RouterMessage::Stream, Box::new(ask("hello"))).expect("answered");
    let seen = read(stream.expect("it runs")).await;
    assert_eq!((seen.shape().as_str(), seen.text().as_str()), ("a/m#1 text finished", "hello"));

    let health = ractor::call!(router, RouterMessage::Health).expect("answered");
    assert_eq!(health.providers, world.runtime.health().providers);

    let explained = ractor::call!(router, RouterMessage::Explain, Box::new(ask("hello"))).expect("answered");
    assert_eq!(explained, world.runtime.explain(ask("hello")).await);

    ractor::call!(router, RouterMessage::Pin, "smart".into(), Some(target("b/m"))).expect("answered").expect("pinned");
    let reply = ractor::call!(router, RouterMessage::Chat, Box::new(ask("hello"))).expect("answered");
    assert_eq!(path(&reply.expect("an answer").finished.attempts), "b/m won");
    ractor::call!(router, RouterMessage::Pin, "smart".into(), None).expect("answered").expect("lifted");

    let off = Force::Off { until: None };
    ractor::call!(router, RouterMessage::Force, target("a/m"), off).expect("answered").expect("forced");
    let reply = ractor::call!(router, RouterMessage::Chat, Box::new(ask("hello"))).expect("answered");
    assert_eq!(path(&reply.expect("an answer").finished.attempts), "b/m won");
    ractor::call!(router, RouterMessage::Force, target("a/m"), Force::Auto).expect("answered").expect("lifted");

    ractor::call!(router, RouterMessage::Drain, target("b/m")).expect("answered").expect("drained");
    let error = ractor::call!(router, RouterMessage::Drain, target("z/m")).expect("answered").expect_err("no such");
    assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_by_message_is_there_before_its_content_and_its_errors_come_in_it() {
    let world = world(1, unhurried()).await;
    let router = world.runtime.router().expect("it runs");
    let begun = Instant::now();
    world.providers[0].next(1, Fault::Error(ProviderError::ModelGone));
    let stream = ractor::call!(router, RouterMessage::Stream, Box::new(ask("hello"))).expect("answered");
    assert!(begun.elapsed() < MS);
    let seen = read(stream.expect("it runs")).await;
    assert_eq!(seen.shape(), "exhausted");
    let refused = ractor::call!(router, RouterMessage::Stream, Box::new(ChatRequest::new("smart"))).expect("answered");
    assert!(matches!(refused, Err(Error::Invalid { field, .. }) if field == "messages"));
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_caller_left_is_noticed_within_a_quarter_of_a_second() {
    for wait in [10_u64, 100, 240, 251, 600] {
        let world = world(2, unhurried()).await;
        let router = world.runtime.router().expect("it runs");
        let asked = ractor::call_t!(router, RouterMessage::Chat, wait, Box::new(ask(&words(500))));
        assert!(asked.is_err(), "it takes ten seconds");
        let left = Instant::now();
        while world.providers[0].counts().in_flight > 0 {
            sleep(MS).await;
        }
        assert!(left.elapsed() <= 255 * MS, "{:?} after {wait} ms", left.elapsed());
        settle().await;
        world.assert_idle();
        assert_eq!(outcomes(&world.providers[0]), [Outcome::ClientLeft]);
        let totals = &world.runtime.totals()[0].1;
        assert_eq!(totals.failed[&standin::FailureClass::CallerLeft], 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_by_message_whose_reader_left_is_noticed_at_once() {
    let world = world(2, unhurried()).await;
    let router = world.runtime.router().expect("it runs");
    let stream = ractor::call!(router, RouterMessage::Stream, Box::new(ask(&words(500)))).expect("answered");
    let mut stream = stream.expect("it runs");
    assert!(matches!(stream.next().await, Some(Ok(ReplyEvent::Started { .. }))));
    drop(stream);
    sleep(MS).await;
    world.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn one_call_too_many_is_refused_at_once_however_it_comes() {
    let world = world_with(1, unhurried(), |config| (config.calls_max, config.queue_max) = (10, 0)).await;
    let router = world.runtime.router().expect("it runs");
    let asking: Vec<_> = (0..10)
        .map(|_| {
            let runtime = world.runtime.clone();
            tokio::spawn(async move { runtime.chat(ask("hello")).await })
        })
        .collect();
    sleep(MS).await;
    let begun = Instant::now();
    let overloaded = Error::Overloaded { calls_max: 10, retry_after: None };
    assert_eq!(world.runtime.health().calls, 10);
    assert_eq!(world.runtime.chat(ask("eleven")).await.expect_err("full"), overloaded);
    assert_eq!(world.runtime.stream(ask("eleven")).await.expect_err("full"), overloaded);
    let asked = ractor::call!(router, RouterMessage::Chat, Box::new(ask("eleven"))).expect("answered");
    assert_eq!(asked.expect_err("full"), overloaded);
    let asked = ractor::call!(router, RouterMessage::Stream, Box::new(ask("eleven"))).expect("answered");
    assert_eq!(asked.expect_err("full"), overloaded);
    assert!(begun.elapsed() < MS);
    assert!(all(asking).await.iter().all(Result::is_ok), "those inside are served");
    assert_eq!(world.runtime.chat(ask("next")).await.expect("a place is free").text, "next");
    assert_eq!(world.providers[0].received(), 11);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_messages_is_answered_to_the_last() {
    let world = world_with(2, unhurried(), |config| (config.calls_max, config.queue_max) = (50, 0)).await;
    let router = world.runtime.router().expect("it runs");
    let asking: Vec<_> = (0..2_000)
        .map(|_| {
            let router = router.clone();
            tokio::spawn(async move { ractor::call!(router, RouterMessage::Chat, Box::new(ask("hello"))) })
        })
        .collect();
    let mut answered = 0;
    for asked in all(asking).await {
        match asked.expect("answered") {
            Ok(_) => answered += 1,
            Err(error) => assert_eq!(error, Error::Overloaded { calls_max: 50, retry_after: None }),
        }
    }
    assert_eq!(answered, 50);
    settle().await;
    world.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn an_invalid_request_is_refused_by_its_field_and_nothing_is_sent() {
    use standin::{Message, Sampling, ToolChoice};
    let world = world(1, Script::default()).await;
    let base = || ask("hello");
    let nan = Sampling { temperature: Some(f64::NAN), ..Sampling::default() };
    let table = [
        ("messages", ChatRequest::new("smart")),
        ("route", ChatRequest { route: "clever".into(), ..base() }),
        ("deadline", base().deadline(Duration::ZERO)),
        ("output_tokens_max", ChatRequest { output_tokens_max: Some(0), ..base() }),
        ("tool_choice", ChatRequest { tool_choice: ToolChoice::Named("x".into()), ..base() }),
        ("sampling.temperature", ChatRequest { sampling: nan, ..base() }),
    ];
    for (field, request) in table {
        for error in [
            world.runtime.chat(request.clone()).await.expect_err(field),
            world.runtime.stream(request.clone()).await.map(drop).expect_err(field),
        ] {
            assert!(matches!(&error, Error::Invalid { field: named, .. } if named == field), "{error:?}");
        }
        // A request for an explanation needs no conversation.
        match world.runtime.explain(request).await {
            Err(error) => assert!(matches!(&error, Error::Invalid { field: named, .. } if named == field), "{error:?}"),
            Ok(_) => assert_eq!(field, "messages"),
        }
    }
    assert_eq!(world.providers[0].received(), 0);
    let conversation = ChatRequest {
        messages: vec![Message::System("be brief".into()), Message::user("hello")],
        ..ChatRequest::new("smart")
    };
    world.runtime.chat(conversation).await.expect("a fine request");
}

fn priced(world_config: &mut standin::Config) {
    for (name, input, output) in [("a", 1.0, 10.0), ("b", 2.0, 20.0)] {
        let model = world_config.providers.get_mut(name).expect("it").models.get_mut("m").expect("m");
        model.price = Some(PriceConfig { cached_input: Some(0.1), ..PriceConfig::new(input, output) });
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_says_what_it_cost_waste_included_and_the_books_balance() {
    let world = world_with(2, unhurried(), priced).await;
    let million = 1e6;
    let text = words(40);
    let reply = world.runtime.chat(ask(&text)).await.expect("an answer");
    let plain = (40.0 * 1.0 + 40.0 * 10.0) / million;
    assert_eq!(reply.finished.usage, Usage::new(40, 40));
    assert!((reply.finished.cost_usd.expect("known") - plain).abs() < 1e-12, "{:?}", reply.finished.cost_usd);

    world.providers[0].next(1, Fault::CutAfter(20));
    let reply = world.runtime.chat(ask(&text)).await.expect("an answer");
    let [lost, won] = &reply.finished.attempts[..] else { panic!("{:?}", reply.finished.attempts) };
    assert!(lost.estimated && !won.estimated);
    let cost = |record: &standin::AttemptRecord| record.cost_usd.expect("known");
    assert!((cost(won) - (40.0 * 2.0 + 40.0 * 20.0) / million).abs() < 1e-12);
    assert!(cost(lost) > 0.0 && cost(lost) < plain * 2.0, "{}", cost(lost));
    let total = reply.finished.cost_usd.expect("known");
    assert!((total - cost(won) - cost(lost)).abs() < 1e-12);

    let totals = world.runtime.totals();
    let (a, b) = (&totals[0].1, &totals[1].1);
    assert_eq!((a.attempts, a.won, b.attempts, b.won), (2, 1, 1, 1));
    assert!((a.wasted_usd - cost(lost)).abs() < 1e-12 && b.wasted_usd == 0.0);
    assert!((a.cost_usd - cost(lost) - plain).abs() < 1e-12);
    assert_eq!(world.runtime.attempts(reply.finished.call), reply.finished.attempts);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_price_is_not_taken_for_nothing() {
    let world = world(1, unhurried()).await;
    let reply = world.runtime.chat(ask("hello")).await.expect("an answer");
    assert_eq!(reply.finished.cost_usd, None);
    assert_eq!(reply.finished.attempts[0].cost_usd, None);
}

#[tokio::test(start_paused = true)]
async fn a_failed_call_can_be_asked_about_by_its_attempts() {
    let world = world(2, unhurried()).await;
    for provider in &world.providers {
        provider.always(Fault::Error(ProviderError::Overloaded));
    }
    let error = world.runtime.chat(ask("hello")).await.expect_err("nobody answers");
    let call = error.attempts()[0].call;
    let flight = world.runtime.why(call).expect("it is remembered");
    let kinds: Vec<_> = flight
        .steps
        .iter()
        .map(|(_, happened)| match happened {
            CallStep::Planned { .. } => "planned",
            CallStep::Refused { .. } => "refused",
            CallStep::Tried { .. } => "tried",
            CallStep::Failed { .. } => "failed",
            CallStep::Waited(_) => "waited",
            CallStep::GaveUp(_) => "gave up",
            other => panic!("{other:?}"),
        })
        .collect();
    let count = |kind: &str| kinds.iter().filter(|known| **known == kind).count();
    assert_eq!((count("tried"), count("failed")), (error.attempts().len(), error.attempts().len()));
    assert_eq!((kinds.first(), kinds.last()), (Some(&"planned"), Some(&"gave up")));
    assert!(flight.steps.is_sorted_by_key(|(after, _)| *after), "{flight}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_or_is_refused_says_so_in_its_flight() {
    let world = world_with(1, unhurried(), |config| {
        config.providers.get_mut("a").expect("a").models.get_mut("m").expect("m").in_flight_max = Some(1);
    })
    .await;
    let runtime = world.runtime.clone();
    let first = tokio::spawn(async move { runtime.chat(ask("hello")).await });
    sleep(MS).await;
    let second = world.runtime.chat(ask("there")).await.expect("it waits for a place");
    first.await.expect("no panic").expect("an answer");
    let flight = world.runtime.why(second.finished.call).expect("it is remembered");
    assert!(flight.steps.iter().any(|(_, happened)| matches!(happened, CallStep::Queued(_))), "{flight}");
}

#[tokio::test(start_paused = true)]
async fn the_flight_recorder_and_the_ledger_forget_the_oldest() {
    let world = world_with(1, Script::default(), |config| {
        config.recorder_max = 3;
        config.ledger_max = 2;
    })
    .await;
    let mut calls = Vec::new();
    for _ in 0..5 {
        calls.push(world.runtime.chat(ask("hello")).await.expect("an answer").finished.call);
    }
    settle().await;
    let flights: Vec<_> = calls.iter().map(|call| world.runtime.why(*call).is_some()).collect();
    assert_eq!(flights, [false, false, true, true, true]);
    let entries: Vec<_> = calls.iter().map(|call| world.runtime.attempts(*call).len()).collect();
    assert_eq!(entries, [0, 0, 0, 1, 1]);
    assert_eq!(world.runtime.totals()[0].1.attempts, 5, "totals forget nothing");
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_is_in_the_flight_recorder() {
    let world = world(1, unhurried()).await;
    assert!(tokio::time::timeout(S, world.runtime.chat(ask(&words(200)))).await.is_err());
    settle().await;
    let flight = world.runtime.recent().pop().expect("it is remembered");
    assert!(flight.steps.iter().any(|(_, happened)| *happened == CallStep::CallerLeft), "{flight}");
}

#[tokio::test(start_paused = true)]
async fn an_observer_that_sleeps_loses_the_oldest_events_and_nothing_else() {
    let world = world(1, Script::default()).await;
    let mut sleepy = world.runtime.subscribe();
    for _ in 0..2_000 {
        world.runtime.reconfigure(world.config.clone()).await.expect("the same again");
    }
    let told = events(&mut sleepy);
    assert!((1_000..=1_024).contains(&told.len()), "{}", told.len());
    assert!(told.iter().all(|event| *event == Event::Reconfigured));
}

#[tokio::test(start_paused = true)]
async fn an_observers_stream_of_events_ends_with_the_runtime() {
    let world = world(1, Script::default()).await;
    let mut told = world.runtime.subscribe();
    world.runtime.drain(S).await;
    drop(world);
    let ended = async { while told.next().await.is_some() {} };
    tokio::time::timeout(60 * S, ended).await.expect("it ends");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_served_says_the_same_as_a_chat() {
    let world = world_with(2, unhurried(), priced).await;
    let chat = world.runtime.chat(ask(&words(20))).await.expect("an answer");
    let seen = stream(&world.runtime, ask(&words(20))).await;
    let finished = seen.finished();
    assert_eq!(seen.text(), chat.text);
    assert_eq!((finished.usage, finished.cost_usd, finished.stop), {
        let finished = &chat.finished;
        (finished.usage, finished.cost_usd, finished.stop)
    });
}

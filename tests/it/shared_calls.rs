//! Calls that do not belong to one caller: those with a key, and those that were submitted.

use std::time::Duration;

use standin::ractor;
use standin::runtime::CallStatus;
use standin::testing::{Answer, Fault, Outcome, ProviderError};
use standin::{CallId, ChatRequest, Durable, Error, Hedging, OnExhausted, Priority, ReplyEvent, RouterMessage, Rule};
use tokio::time::{Instant, sleep};

use super::kit::{MS, S, all, ask, outcomes, read, settle, stream, unhurried, words, world, world_with};

fn keyed(key: &str) -> ChatRequest {
    ask(&words(20)).key(key)
}

/// How long a call goes on that has no holder.
const LINGERS: Duration = Duration::from_secs(2);

#[tokio::test(start_paused = true)]
async fn all_callers_with_one_key_get_the_answer_of_one_call() {
    let world = world(2, unhurried()).await;
    let wholes = (0..20).map(|_| {
        let runtime = world.runtime.clone();
        tokio::spawn(async move { runtime.chat(keyed("k")).await.expect("an answer") })
    });
    let wholes = wholes.collect();
    sleep(300 * MS).await;
    let streams = (0..20).map(|_| {
        let runtime = world.runtime.clone();
        tokio::spawn(async move { stream(&runtime, keyed("k")).await })
    });
    let (streams, wholes) = (all(streams.collect()).await, all(wholes).await);
    let first = wholes[0].clone();
    assert_eq!(first.text, words(20));
    assert!(wholes.iter().all(|whole| *whole == first), "all got the same");
    for seen in &streams {
        assert_eq!(seen.shape(), "a/m#1 text finished");
        assert_eq!((seen.text(), seen.finished()), (first.text.clone(), &first.finished));
    }
    assert_eq!((world.providers[0].received(), world.providers[1].received()), (1, 0));
    assert_eq!(world.runtime.attempts(first.finished.call).len(), 1);
    world.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_asks_again_gets_the_answer_that_was_given_until_it_is_forgotten() {
    let world = world_with(1, unhurried(), |config| config.kept_for = 60 * S).await;
    let first = stream(&world.runtime, keyed("k")).await;
    sleep(59 * S).await;
    let again = stream(&world.runtime, keyed("k")).await;
    assert_eq!(again.events, first.events);
    assert_eq!(world.runtime.chat(keyed("k")).await.expect("an answer").finished, *first.finished());
    assert_eq!(world.providers[0].received(), 1);
    sleep(2 * S).await;
    let anew = world.runtime.chat(keyed("k")).await.expect("an answer");
    assert_ne!(anew.finished.call, first.finished().call);
    assert_eq!(world.providers[0].received(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_stream_with_a_key_tells_what_comes_when_it_comes_and_a_whole_answer_fails_over_unseen() {
    let world = world(2, unhurried()).await;
    let begun = Instant::now();
    let mut reading = world.runtime.stream(keyed("streamed")).await.expect("accepted");
    while !matches!(reading.next().await, Some(Ok(ReplyEvent::Text(_)))) {}
    assert!(begun.elapsed() < 300 * MS, "{:?}", begun.elapsed());
    drop(reading);
    world.providers[0].next(1, Fault::CutAfter(5));
    let seen = {
        let whole = world.runtime.chat(keyed("whole"));
        let joined = async {
            sleep(MS).await;
            stream(&world.runtime, keyed("whole")).await
        };
        let (whole, joined) = tokio::join!(whole, joined);
        assert_eq!(whole.expect("an answer").finished, *joined.finished());
        joined
    };
    assert_eq!(seen.shape(), "b/m#2 text finished");
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_hurts_no_other_and_the_call_ends_when_all_have_left() {
    let world = world(1, unhurried()).await;
    let ask_for =
        |runtime: standin::Runtime| tokio::spawn(async move { runtime.chat(keyed("k").user(words(500))).await });
    let (one, two) = (ask_for(world.runtime.clone()), ask_for(world.runtime.clone()));
    let stream = world.runtime.stream(keyed("k").user(words(500))).await.expect("accepted");
    sleep(S).await;
    one.abort();
    drop(stream);
    sleep(LINGERS + S).await;
    assert_eq!(world.providers[0].counts().in_flight, 1, "one is left");
    two.abort();
    sleep(1_900 * MS).await;
    assert_eq!(world.providers[0].counts().in_flight, 1, "somebody may come back");
    sleep(200 * MS).await;
    assert_eq!(outcomes(&world.providers[0]), [Outcome::ClientLeft]);
    settle().await;
    world.assert_idle();
    let anew = world.runtime.chat(keyed("k")).await.expect("its key is free");
    assert_eq!(anew.text, words(20));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_lost_its_connection_comes_back_to_its_call() {
    let world = world(1, unhurried()).await;
    for _ in 0..5 {
        let left = tokio::time::timeout(100 * MS, world.runtime.chat(keyed("k"))).await;
        assert!(left.is_err(), "it takes longer");
        sleep(20 * MS).await;
    }
    let begun = Instant::now();
    let reply = world.runtime.chat(keyed("k")).await.expect("an answer");
    assert_eq!((reply.text, world.providers[0].received()), (words(20), 1));
    assert!(begun.elapsed() < 100 * MS, "most of it was done: {:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn with_a_key_the_same_work_is_the_same_call_however_it_is_to_be_done() {
    let world = world(1, unhurried()).await;
    let first = world.runtime.chat(keyed("k")).await.expect("an answer");
    let edits: [fn(&mut ChatRequest); 7] = [
        |request| request.deadline = Some(7 * S),
        |request| request.priority = Priority::Critical,
        |request| request.session = Some("s".into()),
        |request| request.on_exhausted = Some(OnExhausted::Wait),
        |request| request.hedging = Some(Hedging::Race),
        |request| request.rule = Some(Rule::LeastCost),
        |request| drop(request.tags.insert("trace".into(), "1".into())),
    ];
    for edit in edits {
        let mut again = keyed("k");
        edit(&mut again);
        assert_eq!(world.runtime.chat(again).await, Ok(first.clone()));
    }
    assert_eq!(world.providers[0].received(), 1);
    // A call that ends with its process does not become one that outlives it.
    let durable = keyed("k").durable(Durable::Again);
    assert!(matches!(world.runtime.chat(durable).await, Err(Error::NotDurable(_))), "there is no store");
}

#[tokio::test(start_paused = true)]
async fn another_request_with_a_key_is_refused_and_no_caller_finds_the_call_of_another() {
    let world = world(1, unhurried()).await;
    let first = world.runtime.chat(keyed("k")).await.expect("an answer");
    let edits: [fn(&mut ChatRequest); 4] = [
        |request| request.messages.push(standin::Message::user("more")),
        |request| request.labels.push("eu".into()),
        |request| request.sampling.temperature = Some(0.5),
        |request| request.route = "a/m".into(),
    ];
    for edit in edits {
        let mut other = keyed("k");
        edit(&mut other);
        assert_eq!(world.runtime.chat(other.clone()).await, Err(Error::KeyConflict));
        assert!(matches!(world.runtime.stream(other.clone()).await, Err(Error::KeyConflict)));
        assert!(matches!(world.runtime.submit(other).await, Err(Error::KeyConflict)));
    }
    let of = |client: &str| ChatRequest { client: Some(client.into()), ..keyed("k") };
    let (red, blue) = (world.runtime.chat(of("red")).await, world.runtime.chat(of("blue")).await);
    let (red, blue) = (red.expect("an answer").finished.call, blue.expect("an answer").finished.call);
    assert!(red != blue && red != first.finished.call && blue != first.finished.call);
    assert_eq!(world.runtime.chat(of("red")).await.expect("kept").finished.call, red);
    for key in [String::new(), "k".repeat(257)] {
        let refused = world.runtime.chat(keyed(&key)).await;
        assert!(matches!(refused, Err(Error::Invalid { field, .. }) if field == "key"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_is_told_to_all_waiting_callers_and_is_not_kept() {
    let world = world(1, unhurried()).await;
    world.providers[0].next(1, Fault::Error(ProviderError::ModelGone));
    let (one, two) = tokio::join!(world.runtime.chat(keyed("k")), world.runtime.chat(keyed("k")));
    let (one, two) = (one.expect_err("no answer"), two.expect_err("no answer"));
    assert_eq!((one.name(), &one), ("exhausted", &two));
    assert_eq!(world.providers[0].received(), 1);
    world.runtime.reset(standin::Reset::All).await.expect("lifted");
    assert_eq!(world.runtime.chat(keyed("k")).await.expect("made anew").text, words(20));
    let refused = world.runtime.stream(ChatRequest::new("nowhere").user("hi").key("n")).await;
    assert!(matches!(refused, Err(Error::Invalid { field, .. }) if field == "route"));
}

#[tokio::test(start_paused = true)]
async fn of_what_is_kept_the_oldest_goes_when_it_is_too_much() {
    let world = world_with(1, unhurried(), |config| config.kept_bytes_max = 100_000).await;
    let text = "x".repeat(20_000);
    let ask_for = |key: &str| ask(&text).key(key);
    world.providers[0].say(Answer::text("short"));
    for key in ["1", "2", "3", "4", "5", "6"] {
        world.runtime.chat(ask_for(key)).await.expect("an answer");
    }
    let received = world.providers[0].received();
    world.runtime.chat(ask_for("6")).await.expect("kept");
    assert_eq!(world.providers[0].received(), received);
    world.runtime.chat(ask_for("1")).await.expect("made anew");
    assert_eq!(world.providers[0].received(), received + 1);
    // An answer that alone exceeds the memory can be joined, but is not kept.
    let long = || ask(&"y".repeat(200_000)).key("long");
    let (one, two) = tokio::join!(world.runtime.chat(long()), world.runtime.chat(long()));
    assert_eq!(one.expect("an answer").finished.call, two.expect("an answer").finished.call);
    world.runtime.chat(long()).await.expect("made anew");
    assert_eq!(world.providers[0].received(), received + 3);
}

#[tokio::test(start_paused = true)]
async fn a_submitted_call_goes_on_without_its_caller_and_is_read_from_anywhere_as_often_as_one_likes() {
    let world = world(2, unhurried()).await;
    world.providers[0].next(1, Fault::CutAfter(5));
    let call = world.runtime.submit(ask(&words(20))).await.expect("accepted");
    let id = call.id();
    assert_eq!(call.status(), CallStatus::Running);
    let live = tokio::spawn(read(call.stream_from(0)));
    drop(call);
    sleep(60 * S).await;
    let call = world.runtime.resume(id).await.expect("kept");
    assert_eq!(call.status(), CallStatus::Answered);
    let whole = call.wait().await.expect("an answer");
    assert_eq!((&whole, whole.finished.call), (&call.wait().await.expect("the same"), id));
    let seen = read(call.stream_from(0)).await;
    assert_eq!(seen.shape(), "a/m#1 text reset(cut) b/m#2 text finished");
    assert_eq!(live.await.expect("no panic").events, seen.events);
    for offset in 0..seen.events.len() + 2 {
        let rest = read(call.stream_from(offset)).await;
        assert_eq!(rest.events, seen.events[offset.min(seen.events.len())..]);
    }
    assert_eq!(world.runtime.why(id).expect("recorded").about.id, id);
    world.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn a_submitted_call_is_ended_by_a_word_and_everybody_is_told() {
    let world = world(1, unhurried()).await;
    let call = world.runtime.submit(ask(&words(500))).await.expect("accepted");
    let waiting = tokio::spawn({
        let call = call.clone();
        async move { call.wait().await }
    });
    sleep(S).await;
    call.cancel();
    assert_eq!(waiting.await.expect("no panic"), Err(Error::Cancelled));
    assert_eq!(call.status(), CallStatus::Cancelled);
    let seen = read(call.stream_from(0)).await;
    assert_eq!(seen.shape(), "a/m#1 text cancelled");
    settle().await;
    assert_eq!(outcomes(&world.providers[0]), [Outcome::ClientLeft]);
    world.assert_idle();
    let done = world.runtime.submit(ask("hello")).await.expect("accepted");
    done.wait().await.expect("an answer");
    done.cancel();
    settle().await;
    assert_eq!(done.status(), CallStatus::Answered, "what has ended stays as it is");
}

#[tokio::test(start_paused = true)]
async fn how_a_submitted_call_failed_is_kept_and_what_is_not_known_is_said() {
    let world = world_with(1, unhurried(), |config| config.kept_for = 60 * S).await;
    world.providers[0].always(Fault::Error(ProviderError::ModelGone));
    let call = world.runtime.submit(keyed("k")).await.expect("accepted");
    let id = call.id();
    assert_eq!(call.wait().await.expect_err("no answer").name(), "exhausted");
    drop(call);
    sleep(59 * S).await;
    let call = world.runtime.resume(id).await.expect("kept");
    assert_eq!((call.status(), call.wait().await.expect_err("no answer").name()), (CallStatus::Failed, "exhausted"));
    sleep(2 * S).await;
    assert!(matches!(world.runtime.resume(id).await, Err(Error::NotKept(unknown)) if unknown == id));
    let refused = world.runtime.submit(ChatRequest::new("nowhere").user("hi")).await;
    assert!(matches!(refused, Err(Error::Invalid { field, .. }) if field == "route"));
    world.providers[0].clear();
    world.runtime.reset(standin::Reset::All).await.expect("lifted");
    let plain = world.runtime.chat(ask("hello")).await.expect("an answer").finished.call;
    assert!(matches!(world.runtime.resume(plain).await, Err(Error::NotKept(_))), "a plain call has no log");
}

#[tokio::test(start_paused = true)]
async fn a_caller_with_the_key_of_a_submitted_call_gets_its_answer() {
    let world = world(1, unhurried()).await;
    let call = world.runtime.submit(keyed("k")).await.expect("accepted");
    let reply = world.runtime.chat(keyed("k")).await.expect("an answer");
    assert_eq!((reply.finished.call, world.providers[0].received()), (call.id(), 1));
    assert_eq!(world.runtime.submit(keyed("k")).await.expect("the same").id(), call.id());
    // A call that a caller made first may become the runtime's own.
    let asked = tokio::spawn({
        let runtime = world.runtime.clone();
        async move { runtime.chat(keyed("other")).await }
    });
    sleep(100 * MS).await;
    let call = world.runtime.submit(keyed("other")).await.expect("the same");
    asked.abort();
    let id = call.id();
    drop(call);
    sleep(60 * S).await;
    assert_eq!(world.runtime.resume(id).await.expect("kept").status(), CallStatus::Answered);
    assert_eq!(world.providers[0].received(), 2);
}

#[tokio::test(start_paused = true)]
async fn shared_calls_are_asked_for_by_message_as_by_method() {
    let world = world(1, unhurried()).await;
    let router = world.runtime.router().expect("it runs");
    let whole = ractor::call!(router, RouterMessage::Chat, Box::new(keyed("k"))).expect("answered").expect("an answer");
    let again = ractor::call!(router, RouterMessage::Stream, Box::new(keyed("k"))).expect("answered");
    assert_eq!(*read(again.expect("kept")).await.finished(), whole.finished);
    let call = ractor::call!(router, RouterMessage::Submit, Box::new(ask("hello"))).expect("answered");
    let id = call.expect("accepted").id();
    let call = ractor::call!(router, RouterMessage::Resume, id).expect("answered").expect("kept");
    assert_eq!(call.wait().await.expect("an answer").text, "hello");
    let unknown = ractor::call!(router, RouterMessage::Resume, CallId::new(1, 1)).expect("answered");
    assert!(matches!(unknown, Err(Error::NotKept(_))));
    // A caller that leaves by message is noticed, too.
    let left = ractor::call_t!(router, RouterMessage::Chat, 500, Box::new(keyed("long").user(words(500))));
    assert!(left.is_err(), "it takes ten seconds");
    sleep(LINGERS + 400 * MS).await;
    world.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_stops_cuts_shared_calls_off_and_says_so() {
    let world = world(1, unhurried()).await;
    let call = world.runtime.submit(ask(&words(500))).await.expect("accepted");
    assert_eq!(world.runtime.drain(S).await, 1);
    assert_eq!(call.wait().await, Err(Error::Draining));
    assert!(matches!(world.runtime.submit(ask("hello")).await, Err(Error::Draining)));
    assert_eq!(world.runtime.chat(keyed("k")).await, Err(Error::Draining));
}

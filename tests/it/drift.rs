//! Unknown parts of answers: they are counted and reported, and break no answer.

use http::HeaderMap;
use standin::testing::{Crash, Fault, Script, crash};
use standin::{DriftKind, Event};
use tokio::time::sleep;

use super::kit::{S, World, ask, events, path, settle, world};

const PROMPT: &str = "my secret prompt";

/// Returns the unknown parts of a provider's answers, and in how many they were.
fn counts(world: &World, provider: &str) -> Vec<(&'static str, String, u64)> {
    let health = world.runtime.health();
    let provider = health.providers.iter().find(|known| &*known.name == provider).expect("such a provider");
    provider.drift.iter().map(|(drift, count)| (drift.kind.name(), drift.name.to_string(), *count)).collect()
}

/// A whole answer of status 200 with a field more.
fn odd_reply(field: &str) -> Fault {
    let body = format!(r#"{{"{field}":1,"choices":[{{"message":{{"content":"Hi"}},"finish_reason":"stop"}}]}}"#);
    Fault::Reply { status: 200, headers: HeaderMap::new(), body }
}

#[tokio::test(start_paused = true)]
async fn unknown_parts_of_answers_are_counted_by_provider_and_reported_once() {
    let world = world(2, Script::default()).await;
    let mut told = world.runtime.subscribe();
    for _ in 0..3 {
        world.providers[0].next(1, Fault::Finish("bored".into()));
        let reply = world.runtime.chat(ask("hello")).await.expect("an answer all the same");
        assert_eq!(path(&reply.finished.attempts), "a/m won");
    }
    settle().await;
    assert_eq!(counts(&world, "a"), [("finish", "bored".to_owned(), 3)]);
    assert_eq!(counts(&world, "b"), []);
    let told: Vec<Event> = events(&mut told).into_iter().filter(|event| matches!(event, Event::Drift { .. })).collect();
    let expected = Event::Drift { provider: "a".into(), what: DriftKind::Finish, name: "bored".into() };
    assert_eq!(told, [expected]);
}

#[tokio::test(start_paused = true)]
async fn counts_of_what_is_unknown_survive_the_provider() {
    let world = world(1, Script::default()).await;
    for _ in 0..2 {
        world.providers[0].next(1, odd_reply("aura"));
        world.runtime.chat(ask("hello")).await.expect("an answer all the same");
        assert!(crash(&world.runtime, Crash::ProviderPanics("a".into())));
        sleep(2 * S).await;
    }
    assert_eq!(counts(&world, "a"), [("field", "aura".to_owned(), 2)]);
}

#[tokio::test(start_paused = true)]
async fn fields_are_looked_for_in_few_answers_until_an_unknown_one_is_found() {
    let world = world(1, Script::default()).await;
    for _ in 0..70 {
        world.runtime.chat(ask("hello")).await.expect("an answer");
    }
    for _ in 0..200 {
        world.providers[0].next(1, odd_reply("aura"));
        world.runtime.chat(ask("hello")).await.expect("an answer all the same");
    }
    settle().await;
    let [(_, name, found)] = &counts(&world, "a")[..] else { panic!("one field is found") };
    assert_eq!(name, "aura");
    // It is found among the first 64, and then in all.
    assert!((137..200).contains(found), "{found}");
}

#[tokio::test(start_paused = true)]
async fn a_failures_unknown_code_is_counted_and_no_word_of_a_prompt_is() {
    let world = world(2, Script::default()).await;
    for code in ["bad_karma", PROMPT] {
        let body = format!(r#"{{"error":{{"message":"{PROMPT}","code":"{code}"}}}}"#);
        world.providers[0].next(1, Fault::Reply { status: 500, headers: HeaderMap::new(), body });
        world.runtime.chat(ask("hello")).await.expect("another provider answers");
    }
    settle().await;
    assert_eq!(counts(&world, "a"), [("code", "?".to_owned(), 1), ("code", "bad_karma".to_owned(), 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_sends_ever_new_things_fills_no_memory() {
    let world = world(1, Script::default()).await;
    for at in 0..200 {
        world.providers[0].next(1, odd_reply(&format!("f{at}")));
        world.runtime.chat(ask("hello")).await.expect("an answer all the same");
    }
    settle().await;
    let counts = counts(&world, "a");
    assert_eq!(counts.len(), 65);
    assert_eq!(counts.iter().map(|(.., count)| count).sum::<u64>(), 200);
    assert!(counts.contains(&("field", "others".to_owned(), 136)));
}

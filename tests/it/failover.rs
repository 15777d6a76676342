//! A call moves when its target fails.

use standin::testing::{Fault, ProviderError, Script};

use super::kit::{ask, world};

#[tokio::test(start_paused = true)]
async fn a_healthy_provider_answers() {
    let world = world(2, Script::default()).await;
    let reply = world.runtime.chat(ask("hello there")).await.expect("an answer");
    assert!(reply.text.contains("hello there"), "{reply:?}");
    assert_eq!(reply.finished.target.to_string(), "a/m");
    assert_eq!(world.providers[1].received(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_overloaded_provider_is_left_for_the_next_at_once() {
    let world = world(2, Script::default()).await;
    world.providers[0].next(1, Fault::Error(ProviderError::Overloaded));
    let reply = world.runtime.chat(ask("hello there")).await.expect("an answer");
    assert_eq!(reply.finished.target.to_string(), "b/m");
    assert_eq!(reply.finished.attempts.len(), 2);
    println!("{}", world.runtime.why(reply.finished.call).unwrap());
}

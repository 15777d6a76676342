//! A call moves when its target fails.

use standin::testing::{Answer, Fault, ProviderError, Script};
use standin::{Tool, ToolChoice};

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

#[tokio::test(start_paused = true)]
async fn a_provider_that_ignores_a_required_tool_is_asked_once_more_and_then_another() {
    let world = world(2, Script::default()).await;
    (0..2).for_each(|_| world.providers[0].say(Answer::text("It is sunny, I guess.")));
    let parameters = serde_json::json!({"type": "object", "properties": {}});
    let tool =
        Tool { name: "weather".into(), description: "Tells it.".into(), parameters: parameters.into(), strict: None };
    let mut request = ask("How is the weather?").tool(tool);
    request.tool_choice = ToolChoice::Required;
    let reply = world.runtime.chat(request).await.expect("an answer");
    assert_eq!((reply.finished.attempts.len(), reply.finished.target.to_string()), (3, "b/m".into()));
    assert_eq!(reply.tool_calls[0].name, "weather");
}

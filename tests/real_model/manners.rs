//! The server without faults: its answers, and its unusual refusals.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use standin::internals::wire;
use standin::{
    AttemptEnd, AttemptRecord, Error, FailureClass, Image, Message, ResponseFormat, Tool, ToolChoice, UserPart,
};

use crate::crew::Listener;
use crate::world::{MODEL, World, ask};

/// Phase 1: answers whole and streamed, in a form, after a pause; a caller that leaves.
pub async fn healthy(world: &World) -> String {
    let World { runtime, real, .. } = world;
    let reply = runtime.chat(ask("smart", "Name a colour.")).await.expect("an answer");
    let finished = &reply.finished;
    assert_eq!((&finished.target, finished.attempts.len()), (real, 1), "{finished:?}");
    assert_eq!(finished.model.as_deref(), Some(MODEL));
    assert_eq!(finished.cost_usd, Some(0.0));
    assert!(!finished.attempts[0].estimated && finished.usage.input > 0, "{finished:?}");
    assert!((1..=24).contains(&finished.usage.output) && !reply.text.is_empty(), "{reply:?}");

    let mut listener = Listener::start(runtime, ask("smart", "Tell a story.")).await.expect("a stream");
    let finished = listener.rest().await.expect("an answer");
    assert_eq!((listener.target.as_ref(), listener.resets.len()), (Some(real), 0));
    assert!(listener.pieces > 5 && finished.usage.output > 5, "it comes in pieces: {finished:?}");
    let ttft = finished.attempts[0].first_token.expect("content came");

    let schema = json!({
        "type": "object",
        "properties": {"colour": {"enum": ["red", "green"]}, "digit": {"type": "integer", "minimum": 0, "maximum": 9}},
        "required": ["colour", "digit"],
        "additionalProperties": false,
    });
    let mut request = ask("smart", "Pick a colour and a digit.");
    request.output_tokens_max = Some(48);
    request.response_format = ResponseFormat::JsonSchema { name: "pick".into(), schema: schema.into(), strict: true };
    let reply = runtime.chat(request).await.expect("an answer");
    let picked: Value = serde_json::from_str(&reply.text).expect("JSON");
    assert!(matches!(picked["colour"].as_str(), Some("red" | "green")) && picked["digit"].is_u64(), "{picked}");
    assert_eq!(&reply.finished.target, real);

    // The server closes idle connections after 5 s; no caller may notice.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let reply = runtime.chat(ask("smart", "Name a river.")).await.expect("an answer");
    assert_eq!((&reply.finished.target, reply.finished.attempts.len()), (real, 1), "{reply:?}");

    let mut long = ask("smart", "Tell a long story.");
    long.output_tokens_max = Some(600);
    let mut listener = Listener::start(runtime, long).await.expect("a stream");
    assert_eq!(listener.read(3).await.expect("content"), None);
    drop(listener);
    let freed = world.until("a caller left", Duration::from_secs(3), async || world.server.busy().await == 0).await;

    let health = world.health();
    assert!(health.ttft.samples >= 5 && health.failed == 0 && health.in_flight == 0, "{health:?}");
    assert!(world.is_home().await);
    format!("first token {ttft:.0?}; schema held: {picked}; a caller that left freed its slot in {freed:.0?}")
}

/// Phase 5: refusals that look like something else, and requests that it ignores in part.
pub async fn odd(world: &World) -> String {
    let before = world.health();
    malformed_body(world).await;
    overlong_prompt(world).await;
    image(world).await;
    let ignored = ignored(world).await;
    let after = world.health();
    assert_eq!(before.generation, after.generation, "no breaker moved");
    format!("malformed body rejected, overlong prompt and image moved on; {ignored}")
}

/// A malformed body gets 500: the caller's fault, though it looks like the provider's.
async fn malformed_body(world: &World) {
    let (status, headers, body) = world.server.post("{\"messages\":").await.expect("a response");
    let failure = wire::classify(status, &headers, &body, wire::Sent::default());
    assert_eq!((status, failure.class), (500, FailureClass::BadRequest), "{failure}");
    let said: Value = serde_json::from_slice(&body).expect("JSON");
    assert!(said["error"]["code"].is_u64(), "{said}");
    assert_eq!(failure.code.as_deref(), Some("server_error"), "the number says no more than the status");

    let received = || world.drills.iter().map(|drill| drill.handle().received()).sum::<u64>();
    let before = received();
    match world.runtime.chat(ask("broken", "Half of this will be sent.")).await {
        Err(Error::Rejected { failure, attempts }) => {
            assert_eq!((failure.class, attempts.len()), (FailureClass::BadRequest, 1), "{attempts:?}");
        }
        other => panic!("a malformed body is rejected, not {other:?}"),
    }
    assert_eq!(received(), before, "nobody else is asked");
    let health = world.runtime.health();
    let broken = health.providers.iter().find(|provider| &*provider.name == "broken").expect("a provider");
    assert_eq!(broken.targets[0].1.failed, 0, "it is not held against the provider");
}

/// A prompt that our estimate (four bytes a token) lets through, and its tokenizer does not.
async fn overlong_prompt(world: &World) {
    let reply = world.runtime.chat(ask("smart", &"x ".repeat(1_500))).await.expect("an answer");
    let attempts = &reply.finished.attempts;
    assert_failed(&attempts[0], FailureClass::ContextTooLong, 400);
    assert_eq!(attempts.len(), 2, "{attempts:?}");
    assert_eq!(&*reply.finished.target.provider, "drill-b", "the one with a larger window, not the next one");
}

/// An image gets 500 by a model that sees none.
async fn image(world: &World) {
    let image = Image::Base64 { media_type: "image/png".into(), data: "iVBORw0KGgo=".into() };
    let mut request = ask("smart", "what?");
    request.output_tokens_max = Some(8);
    request.messages.push(Message::User(vec![UserPart::Text("and?".into()), UserPart::Image(image)]));
    let reply = world.runtime.chat(request).await.expect("an answer");
    assert_failed(&reply.finished.attempts[0], FailureClass::Unsupported, 500);
    assert_eq!(reply.finished.attempts.len(), 2);
}

/// Fields that it ignores: the model's name, `json_object` and `tool_choice`.
async fn ignored(world: &World) -> String {
    let World { runtime, real, .. } = world;
    let reply = runtime.chat(ask("llama/no-such-model", "Name a colour.")).await.expect("an answer");
    assert_eq!(reply.finished.model.as_deref(), Some(MODEL), "the answer says who really answered");

    let mut request = ask("smart", "Say hello. No json, please.");
    request.output_tokens_max = Some(200);
    request.sampling.temperature = Some(0.0);
    request.response_format = ResponseFormat::Json;
    let since = Instant::now();
    let reply = runtime.chat(request.clone()).await.expect("an answer");
    assert!(serde_json::from_str::<Value>(&reply.text).is_ok(), "{reply:?}");
    let json = (tried(&reply.finished.attempts), since.elapsed());
    assert_ne!(&reply.finished.target, real, "{reply:?}");

    request.response_format = ResponseFormat::Text;
    request.tools = vec![Tool {
        name: "weather".into(),
        description: "Tells the weather.".into(),
        parameters: json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}).into(),
        strict: None,
    }];
    request.tool_choice = ToolChoice::Required;
    let reply = runtime.chat(request).await.expect("an answer");
    assert_eq!(reply.tool_calls.len(), 1, "{reply:?}");
    let tool = tried(&reply.finished.attempts);
    format!("json_object: {} in {:.1?}; a required tool: {tool}", json.0, json.1)
}

fn assert_failed(attempt: &AttemptRecord, class: FailureClass, status: u16) {
    let AttemptEnd::Failed(failure) = &attempt.end else { panic!("{attempt} should have failed") };
    assert_eq!((failure.class, failure.status), (class, Some(status)), "{failure}");
}

fn tried(attempts: &[AttemptRecord]) -> String {
    let name = |attempt: &AttemptRecord| {
        let end = attempt.end.failure().map_or("answered", |failure| failure.class.name());
        format!("{} {end}", attempt.target.provider)
    };
    attempts.iter().map(name).collect::<Vec<_>>().join(", ")
}

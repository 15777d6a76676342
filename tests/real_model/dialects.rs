//! The server in the three dialects it speaks: no codec is proven by itself.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use standin::config::{DialectConfig, PriceConfig};
use standin::{
    AssistantPart, ChatRequest, Message, ModelConfig, ProviderConfig, ReplyEvent, ResponseFormat, Runtime, StopReason,
    Tool, ToolCall,
};

use crate::world::{MODEL, WINDOW, World};

/// A provider's name, and its dialect.
const CALLER_DIALECTS: [(&str, DialectConfig); 3] = [
    ("chat", DialectConfig::OpenaiChat),
    ("responses", DialectConfig::OpenaiResponses),
    ("messages", DialectConfig::Anthropic),
];

/// Phase 6: answers whole and streamed, a form, tools and their results, and a conversation that changes its dialect
/// at every turn.
pub async fn spoken(world: &World) -> String {
    let runtime = start(world).await;
    for (name, _) in CALLER_DIALECTS {
        let reply =
            runtime.chat(ask(name).user("Name a colour.")).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        let finished = &reply.finished;
        assert!(!reply.text.is_empty() && finished.usage.input > 0 && finished.usage.output > 0, "{name}: {reply:?}");
        assert!(!finished.attempts[0].estimated, "{name}: {reply:?}");
        streamed(&runtime, name).await;
        shaped(&runtime, name).await;
        after_tools(&runtime, name).await;
    }
    let turns = moved(&runtime).await;
    format!(
        "{} dialects, whole and streamed; {turns} turns of one conversation, another dialect each",
        CALLER_DIALECTS.len()
    )
}

async fn start(world: &World) -> Runtime {
    let mut builder = Runtime::builder();
    for (name, dialect) in CALLER_DIALECTS {
        let free = PriceConfig::new(0.0, 0.0);
        let model = ModelConfig { price: Some(free), context_tokens_max: Some(WINDOW), ..ModelConfig::default() };
        let mut provider =
            ProviderConfig::new(format!("http://{}/v1", world.server.address())).model_with(MODEL, model);
        provider.dialect = Some(dialect);
        builder = builder.provider(name, provider);
    }
    builder.start().await.expect("a runtime")
}

fn ask(provider: &str) -> ChatRequest {
    ChatRequest { output_tokens_max: Some(24), ..ChatRequest::new(format!("{provider}/{MODEL}")) }.system("Be brief.")
}

async fn streamed(runtime: &Runtime, name: &str) {
    let mut stream = runtime.stream(ask(name).user("Tell a long story about a river.")).await.expect("a stream");
    let (mut text, mut pieces, mut finished) = (String::new(), 0, None);
    while let Some(event) = stream.next().await {
        match event.unwrap_or_else(|error| panic!("{name}: {error}")) {
            ReplyEvent::Text(more) => {
                pieces += 1;
                text.push_str(&more);
            }
            ReplyEvent::Finished(end) => finished = Some(end),
            _ => {}
        }
    }
    let finished = finished.expect("an end");
    assert!(pieces > 1, "{name}: it comes in pieces");
    assert!(matches!(finished.stop, StopReason::Stop | StopReason::Length), "{name}: {finished:?}");
    let whole: String = finished.parts.iter().filter_map(|part| part.as_text()).collect();
    assert_eq!(text, whole, "{name}");
}

async fn shaped(runtime: &Runtime, name: &str) {
    let schema = json!({
        "type": "object",
        "properties": {"colour": {"enum": ["red", "green"]}},
        "required": ["colour"],
        "additionalProperties": false,
    });
    let mut request = ask(name).user("Pick a colour. Answer in JSON like {\"colour\": \"red\"}.");
    request.output_tokens_max = Some(64);
    request.response_format = ResponseFormat::JsonSchema { name: "pick".into(), schema: schema.into(), strict: true };
    match runtime.chat(request).await {
        // An answer that reached its limit is whole as far as it goes.
        Ok(reply) if reply.finished.stop == StopReason::Length => assert_ne!(name, "chat", "{reply:?}"),
        Ok(reply) => {
            let picked: Value = serde_json::from_str(&reply.text).expect("JSON");
            assert!(picked.is_object(), "{name}: {picked}");
        }
        // The server holds a schema in chat completions only; elsewhere it may ignore it, and that is found out.
        Err(error) => assert_ne!(name, "chat", "{error}"),
    }
}

/// A history with parallel calls and their results is taken in every dialect.
async fn after_tools(runtime: &Runtime, name: &str) {
    let call = |id: &str, city: &str| ToolCall {
        id: id.into(),
        name: "weather".into(),
        arguments: json!({"city": city}).to_string().into(),
        ..ToolCall::default()
    };
    let calls = [call("call_aaaaaaaa1", "Paris"), call("call_bbbbbbbb2", "Rome")];
    let parts = calls.iter().cloned().map(AssistantPart::ToolCall).collect();
    let mut request = ask(name)
        .user("How is the weather in Paris and Rome?")
        .message(Message::Assistant(parts))
        .message(Message::tool_result(&calls[0], "sunny"))
        .message(Message::tool_result(&calls[1], "rain"))
        .user("And what does that mean?")
        .tool(Tool {
            name: "weather".into(),
            description: "Tells the weather.".into(),
            parameters: json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})
                .into(),
            strict: None,
        });
    request.output_tokens_max = Some(48);
    let reply = runtime.chat(request).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(!reply.finished.parts.is_empty(), "{name}");
}

/// One conversation, another dialect at every turn.
async fn moved(runtime: &Runtime) -> usize {
    let mut conversation = ask("").user("Name a river.");
    let (mut seen, turns) = (BTreeSet::new(), 6);
    for turn in 0..turns {
        let name = CALLER_DIALECTS[turn % CALLER_DIALECTS.len()].0;
        conversation.route = format!("{name}/{MODEL}");
        let reply = runtime.chat(conversation.clone()).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        seen.insert(reply.finished.target.provider.clone());
        conversation = conversation.message(reply.finished.to_message()).user("Another one.");
    }
    assert_eq!(seen.len(), CALLER_DIALECTS.len());
    turns
}

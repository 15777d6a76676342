//! The tool loop: the model calls tools until it has what it needs, with any target answering each turn.
//!
//! With `OPENAI_API_KEY` or `ANTHROPIC_API_KEY` a real model is asked; without them, or when it fails, a function of
//! this program that uses the same tools:
//!
//! ```text
//! cargo run --example tools
//! ```

use schemars::{JsonSchema, schema_for};
use serde::Deserialize;
use serde_json::json;
use standin::{
    Answer, ChatRequest, Failure, Message, ProviderConfig, Report, RouteConfig, Runtime, Tool, ToolCall, ToolResult,
};

/// The most turns: a model that still calls tools then is going round in circles.
const TURNS_MAX: usize = 8;

/// Arguments of the tool `weather`: the schema that the model sees comes from the type that reads them.
#[derive(Deserialize, JsonSchema)]
struct Place {
    /// The city's name.
    city: String,
}

/// Runs a call. An error goes back to the model, which may try something else.
fn carry_out(call: &ToolCall) -> ToolResult {
    let answer = match call.name.as_str() {
        "weather" => serde_json::from_str(&call.arguments).map_err(|error| error.to_string()).map(weather),
        unknown => Err(format!("there is no tool `{unknown}`")),
    };
    let is_error = answer.is_err();
    let text = answer.unwrap_or_else(|problem| problem);
    ToolResult { is_error, ..ToolResult::new(&call.id, &call.name, text) }
}

fn weather(place: Place) -> String {
    format!("It is raining in {}, 12 degrees.", place.city)
}

/// Answers without a model: calls the tool once, and repeats its result.
async fn stand_in(request: ChatRequest) -> Result<Answer, Failure> {
    Ok(match request.messages.last() {
        Some(Message::Tool(result)) => format!("As far as I can tell: {}", result.text()).into(),
        _ => Answer::tool_call("weather", &json!({"city": "Bern"})),
    })
}

/// Asks until the model calls no more tools; returns what happened, a line each.
///
/// # Errors
/// If a call ends without an answer, or a tool was called with arguments that it cannot read.
pub async fn converse(question: &str) -> Result<Vec<String>, Report> {
    let runtime = Runtime::builder()
        .provider("openai", ProviderConfig::openai().key_env("OPENAI_API_KEY"))
        .provider("anthropic", ProviderConfig::anthropic().key_env("ANTHROPIC_API_KEY"))
        .provider("local", ProviderConfig::from_fn(stand_in).model("stand-in"))
        .route(
            "smart",
            RouteConfig::new(["openai/gpt-5.4-mini", "anthropic/claude-haiku-4-5"]).tier(1, ["local/stand-in"]),
        )
        .start()
        .await?;

    let tool = Tool::new("weather", "Tells the weather of a city.", schema_for!(Place));
    let mut request = ChatRequest::new("smart").user(question).tool(tool).session("umbrella");
    let mut happened = Vec::new();
    for _ in 0..TURNS_MAX {
        let reply = runtime.chat(request.clone()).await?;
        let target = &reply.finished.target;
        if reply.tool_calls.is_empty() {
            happened.push(format!("{target} says: {}", reply.text));
            return Ok(happened);
        }
        // The answer goes back as it was, thoughts and all; then a result for each call.
        request = request.message(reply.finished.to_message());
        for call in &reply.tool_calls {
            happened.push(format!("{target} calls {}({})", call.name, call.arguments));
            request = request.message(Message::Tool(carry_out(call)));
        }
    }
    happened.push(format!("after {TURNS_MAX} turns it still calls tools"));
    Ok(happened)
}

#[tokio::main]
async fn main() -> Result<(), Report> {
    for line in converse("Do I need an umbrella in Bern?").await? {
        println!("{line}");
    }
    Ok(())
}

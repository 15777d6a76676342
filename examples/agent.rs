//! An actor of your own that asks a model through the runtime, against a real provider:
//!
//! ```text
//! STANDIN_BASE_URL=https://api.openai.com/v1 STANDIN_MODEL=gpt-5-mini OPENAI_API_KEY=… cargo run --example agent hello
//! ```

use std::{env, io, io::Write as _, process::ExitCode};

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, call};
use standin::config::{ModelConfig, PriceConfig};
use standin::{ChatRequest, Error, Finished, ProviderConfig, ReplyEvent, RouteConfig, RouterMessage, Runtime, ractor};

/// Answers questions on stdout. Of the runtime it holds the router's reference and nothing else.
struct Agent;
struct Ask(String, RpcReplyPort<Result<Finished, Error>>);
#[cfg(feature = "cluster")]
impl ractor::Message for Ask {}

#[cfg_attr(feature = "async-trait", ractor::async_trait)]
impl Actor for Agent {
    type Msg = Ask;
    type State = ActorRef<RouterMessage>;
    type Arguments = ActorRef<RouterMessage>;

    async fn pre_start(&self, _: ActorRef<Ask>, router: Self::State) -> Result<Self::State, ActorProcessingErr> {
        Ok(router)
    }

    async fn handle(&self, _: ActorRef<Ask>, ask: Ask, router: &mut Self::State) -> Result<(), ActorProcessingErr> {
        let Ask(question, port) = ask;
        // The caller may have left: no reason to crash.
        let _ = port.send(answer(router, question).await);
        Ok(())
    }
}

async fn answer(router: &ActorRef<RouterMessage>, question: String) -> Result<Finished, Error> {
    let request = Box::new(ChatRequest::new("smart").user(question));
    let mut stream = call!(router, RouterMessage::Stream, request).unwrap_or(Err(Error::Unavailable))?;
    while let Some(event) = stream.next().await {
        match event? {
            ReplyEvent::Text(text) => print(&text),
            ReplyEvent::Reset(failure) => print(&format!("\n[{failure}; once more, from the start]\n")),
            ReplyEvent::Finished(finished) => return Ok(*finished),
            _ => {}
        }
    }
    Err(Error::Crashed)
}

async fn ask() -> Result<(), Box<dyn std::error::Error>> {
    let set = |name: &str, hint: &str| env::var(name).map_err(|_| format!("{name} is not set: {hint}"));
    let base_url = set("STANDIN_BASE_URL", "it is what comes before /chat/completions")?;
    let model = set("STANDIN_MODEL", "it is the model's name as the provider spells it")?;
    let key = env::var("STANDIN_API_KEY")
        .or_else(|_| set("OPENAI_API_KEY", "nor is STANDIN_API_KEY, and one of them must be"))?;
    // Dollars per million tokens, as gpt-5-mini's; without a price the runtime cannot tell what an answer cost.
    let price = Some(PriceConfig { cached_input: Some(0.025), ..PriceConfig::new(0.25, 2.0) });
    let provider =
        ProviderConfig::new(base_url).key(key).model_with(&model, ModelConfig { price, ..Default::default() });
    // A second provider, and its target in the route, is all that failover takes.
    let route = RouteConfig::new([format!("main/{model}").as_str()]);
    let runtime = Runtime::builder().provider("main", provider).route("smart", route).start().await?;
    let (agent, _) = Actor::spawn(None, Agent, runtime.router()?).await?;
    let done = call!(agent, Ask, env::args().skip(1).collect::<Vec<_>>().join(" "))??;
    let (input, output, dollars) = (done.usage.input, done.usage.output, done.cost_usd.unwrap_or_default());
    print(&format!("\n[{} answered: {input} tokens in, {output} out, {dollars:.6} $]\n", done.target));
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    let asked = ask().await.map_err(|error| print(&format!("{error}\n")));
    if asked.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush());
}

//! The shortest program: three targets behind one name. Without `ANTHROPIC_API_KEY` and `OPENAI_API_KEY` the last of
//! them answers, a function, as it does when no other target can.
//!
//! ```text
//! cargo run --example embed
//! ```

use standin::{ChatRequest, ProviderConfig, Report, RouteConfig, Runtime};

#[tokio::main]
async fn main() -> Result<(), Report> {
    let route = RouteConfig::new(["anthropic/claude-haiku-4-5", "openai/gpt-5.4-mini"]).tier(1, ["local/echo"]);
    let runtime = Runtime::builder()
        .provider("anthropic", ProviderConfig::anthropic().key_env("ANTHROPIC_API_KEY"))
        .provider("openai", ProviderConfig::openai().key_env("OPENAI_API_KEY"))
        .provider("local", ProviderConfig::from_fn(|_| async { Ok("Nobody answers just now.") }).model("echo"))
        .route("smart", route)
        .start()
        .await?;
    let reply = runtime.chat(ChatRequest::new("smart").user("Why is the sky blue?")).await?;
    println!("{} says: {}", reply.finished.target, reply.text);
    println!("{}", runtime.why(reply.finished.call).expect("it is among the last thousand"));
    Ok(())
}

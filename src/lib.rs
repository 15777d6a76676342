//! `standin` keeps an agent's calls to language models alive while the providers behind them fail.
//!
//! Each provider is a supervised actor that owns its health histograms and its circuit breakers; a router actor picks targets
//! from percentile latency, error rates and cost; supervisors restart what crashes.
//!
//! ```
//! use standin::{ChatRequest, ProviderConfig, Report, RouteConfig, Runtime};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Report> {
//! // Who may answer: providers that are known by name, and at last a function of this program.
//! let runtime = Runtime::builder()
//!     .provider("openai", ProviderConfig::openai().key_env("OPENAI_API_KEY"))
//!     .provider("anthropic", ProviderConfig::anthropic().key_env("ANTHROPIC_API_KEY"))
//!     .provider("local", ProviderConfig::from_fn(|_| async { Ok("Nobody answers just now.") }).model("echo"))
//!     .route("smart", RouteConfig::new(["openai/gpt-5-mini", "anthropic/claude-haiku-4-5"]).tier(1, ["local/echo"]))
//!     .start()
//!     .await?;
//! # if std::env::var("OPENAI_API_KEY").is_err() && std::env::var("ANTHROPIC_API_KEY").is_err() {
//! let reply = runtime.chat(ChatRequest::new("smart").user("Why is the sky blue?")).await?;
//! println!("{} says: {}", reply.finished.target, reply.text);
//! # }
//! # Ok(())
//! # }
//! ```
//!
//! | | |
//! |---|---|
//! | [`Runtime`] | starts everything, answers, explains, and is the operator's hand |
//! | [`ChatRequest`], [`Tool`], [`EmbedRequest`] | what is asked |
//! | [`Reply`], [`ReplyEvent`], [`Error`] | what comes back: whole, as a stream, or not at all |
//! | [`RouterMessage`] | the same by message, for [ractor] actors |
//! | [`ProviderConfig`], [`RouteConfig`], [`config`] | who may answer, and how a route chooses |
//! | [`testing`], `drill` (feature) | scripted providers with every fault, in process or on sockets |
//! | `sidecar` (feature) | the runtime served over HTTP: the program `standin` |
//!
//! The guide, every field of a configuration, and what exactly is promised are in the folder `docs` of the source.

// What a library may not do, though its tests may.
#![cfg_attr(
    not(test),
    warn(clippy::disallowed_methods, clippy::print_stderr, clippy::print_stdout, clippy::unwrap_used)
)]

#[cfg(not(panic = "unwind"))]
compile_error!("standin isolates crashes by unwinding: build with panic = \"unwind\"");

// In reading order, floor by floor: imports go down only (tests/architecture.rs).
mod words;

pub mod policy;
pub mod wire;
pub mod catalog;

pub mod transport;
mod source;

mod spec;

mod actors;

pub mod config;
pub mod runtime;
pub mod testing;

#[cfg(feature = "drill")]
pub mod drill;

#[cfg(feature = "sidecar")]
pub mod sidecar;

pub use ractor;

pub use config::{Answer, Config, ModelConfig, ProviderConfig, RouteConfig};
pub use policy::routing::{ForeignParts, Strategy};
pub use runtime::{ReplyStream, Report, RouterMessage, Runtime};
pub use words::*;

/// The snippets of the documents, compiled and run with the doc-tests.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../README.md")]
    mod readme {}
    #[doc = include_str!("../docs/guide.md")]
    mod guide {}
    #[doc = include_str!("../docs/configuration.md")]
    mod configuration {}
    #[doc = include_str!("../docs/drill.md")]
    mod drill {}
}

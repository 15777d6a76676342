//! `standin` keeps an agent's calls to language models alive while the providers behind them fail.
//!
//! Each provider is a supervised actor that owns its health histograms and its circuit breakers; a router actor picks
//! targets from percentile latency, error rates and cost; supervisors restart what crashes.
//!
//! ```
//! use standin::{ChatRequest, ProviderConfig, Report, RouteConfig, Runtime};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Report> {
//! // Providers that are known by name, and as the last resort a function of this program.
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
//! | [`Runtime`] | starts everything, answers, explains, and does what operators ask |
//! | [`ChatRequest`], [`Tool`], [`EmbedRequest`] | requests |
//! | [`Reply`], [`ReplyEvent`], [`Error`] | answers: whole, as a stream, or an error |
//! | [`RouterMessage`] | the same by message, for [ractor] actors |
//! | [`ProviderConfig`], [`RouteConfig`], [`config`] | which targets may answer, and how a route chooses |
//! | [`health`], [`routing`] | what is known of targets, and how routes choose |
//! | [`models`], [`consequence`] | prices and windows of models, and what a failure means |
//!
//! | feature | adds |
//! |---|---|
//! | `serialise` | serde's `Serialize` for records, statements, explanations and health |
//! | `store` | a ledger, durable calls and health in one file that outlives the process ([keeping.md]) |
//! | `exact-tokens` | OpenAI's own vocabularies to count prompts by, some 35 MB of program |
//! | `testing`, `drill` | scripted providers with every fault, in process or on sockets ([drill.md]) |
//! | `sidecar` | the program `standin`, the runtime over HTTP ([sidecar.md]); brings `drill`, `serialise`, `store` |
//! | `async-trait`, `cluster` | ractor's features of these names, for a program that has them on |
//!
//! | chapter | tells |
//! |---|---|
//! | [guide.md] | ten minutes: a first answer, an outage, what happened |
//! | [features.md] | what it does, and what it does not |
//! | [configuration.md], [providers.md] | every field; the providers that are known by name |
//! | [policy.md], [failures.md] | how a target is chosen; what each failure means |
//! | [semantics.md] | what is promised, with the tests that hold it |
//! | [security.md] | which clients may call, what is logged and kept |
//! | [architecture.md] | how it is built |
//!
//! [architecture.md]: https://docs.rs/crate/standin/latest/source/docs/architecture.md
//! [configuration.md]: https://docs.rs/crate/standin/latest/source/docs/configuration.md
//! [drill.md]: https://docs.rs/crate/standin/latest/source/docs/drill.md
//! [failures.md]: https://docs.rs/crate/standin/latest/source/docs/failures.md
//! [features.md]: https://docs.rs/crate/standin/latest/source/docs/features.md
//! [guide.md]: https://docs.rs/crate/standin/latest/source/docs/guide.md
//! [keeping.md]: https://docs.rs/crate/standin/latest/source/docs/keeping.md
//! [policy.md]: https://docs.rs/crate/standin/latest/source/docs/policy.md
//! [providers.md]: https://docs.rs/crate/standin/latest/source/docs/providers.md
//! [security.md]: https://docs.rs/crate/standin/latest/source/docs/security.md
//! [semantics.md]: https://docs.rs/crate/standin/latest/source/docs/semantics.md
//! [sidecar.md]: https://docs.rs/crate/standin/latest/source/docs/sidecar.md

// Lints that tests need not obey.
#![cfg_attr(
    not(test),
    warn(clippy::disallowed_methods, clippy::print_stderr, clippy::print_stdout, clippy::unwrap_used)
)]

#[cfg(not(panic = "unwind"))]
compile_error!("standin isolates crashes by unwinding: build with panic = \"unwind\"");

// In reading order, floor by floor: imports go down only (tests/architecture.rs).
mod words;

mod policy;
mod wire;
mod catalog;

mod transport;
mod source;

mod spec;

mod actors;
#[cfg(feature = "store")]
mod store;

pub mod config;
pub mod runtime;
#[cfg(feature = "testing")]
pub mod testing;

#[cfg(feature = "drill")]
pub mod drill;

#[cfg(feature = "sidecar")]
pub mod sidecar;

// The public interface, name by name: docs/public.md has the list, and a test compares.
pub use ractor;

pub use config::{Answer, Config, ModelConfig, ProviderConfig, RouteConfig};
pub use routing::{ForeignParts, Strategy};
pub use runtime::{ReplyStream, Report, RouterMessage, Runtime};
pub use transport::{Body, BoxFuture, Http, HttpRequest, HttpResponse, Transport, TransportError, TransportOptions};
pub use words::consequence;
pub use words::{
    Amount, AnswerPiece, AssistantPart, AttemptEnd, AttemptRecord, Audio, Bill, CallFacts, CallId, Capabilities, Cause,
    ChatRequest, CommitPolicy, ConfigError, ConfigErrors, Date, Degraded, Demand, Demanded, Dialect, Document,
    DocumentSource, Drift, DriftKind, Durable, Effort, EmbedRequest, Embeddings, Error, Event, Failure, FailureClass,
    FieldName, Finished, Foreign, Gauge, Hedging, Hint, HintSource, Hold, Image, Json, Limits, Marks, Message,
    ModelClass, ModelKind, NAME_BYTES_MAX, NoCallId, NoTarget, Note, OnExhausted, Original, OverBudget, Payload, Piece,
    Price, PriceTier, Priority, Proof, Rates, Reasoning, Reply, ReplyEvent, Reported, Reset, ResponseFormat,
    RetryAfter, Rule, Sampling, Scope, Secret, Source, StopReason, TargetId, Text, Tool, ToolCall, ToolChoice,
    ToolResult, UnavailableTarget, UnknownName, Unread, Usage, UserPart,
};

/// The health of targets: breakers, gates, measured times; and the options that they are judged by.
pub mod health {
    pub use crate::policy::breaker::BreakerOptions;
    pub use crate::policy::detector::DetectorOptions;
    pub use crate::policy::health::HealthOptions;
    pub use crate::policy::latency::Latency;
    pub use crate::policy::restart::RestartOptions;
    pub use crate::policy::snapshot::{BreakerState, Disabled, Force, Gate, Gates, Health, Refusal};
    pub use crate::policy::time_left::Pace;
}

/// How a route chooses and how long a call tries, and the reason for a target's place in a plan.
pub mod routing {
    pub use crate::policy::failover::{FailoverOptions, RouteFailover};
    pub use crate::policy::routing::{
        ForeignParts, Percentile, Pick, PickReason, Plan, RouteOptions, Score, SecondValue, Skip, SkipReason, Sticky,
        Strategy,
    };
    pub use crate::policy::trim::OverWindow;
}

/// The catalogue of models: prices, windows, abilities.
pub mod models {
    pub use crate::catalog::{Model, PriceList, as_of, family, find, kind, models};
}

/// Modules without any stability promise: for this package's own benchmarks, fuzz targets and simulator.
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals {
    pub mod policy {
        pub use crate::policy::*;
    }
    pub mod wire {
        pub use crate::wire::*;
    }
}

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

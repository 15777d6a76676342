//! Scripted providers in process: no socket, tokio's clock, every fault a provider can have.
//!
//! A [`Scripted`] provider is a [`Transport`](crate::transport::Transport). It answers as a real one would, byte by
//! byte in the provider's dialect, after the times its [`Script`] says, and fails as its [`Fault`]s say. The clock is
//! tokio's: under `#[tokio::test(start_paused = true)]` an outage of an hour takes no time. The same provider behind
//! real sockets is the `drill` (feature of that name).
//!
//! Input: requests. Output: bytes, and a log of what the provider saw, independent of the runtime under test. Its bytes
//! never come from the crate's own codecs.
//!
//! ```
//! use std::time::Duration;
//! use futures_util::StreamExt as _;
//! use standin::testing::{Fault, Latency, Outcome, ProviderError, Schedule, Script, Scripted};
//! use standin::{HttpRequest, Transport as _};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! let openai = Scripted::new(Script {
//!     first_token: Latency::LogNormal { median: Duration::from_millis(600), sigma: 0.5 },
//!     per_token: Duration::from_millis(20),
//!     ..Script::default()
//! });
//! // An hour's outage from the second minute on; before it one request fails.
//! let minute = Duration::from_secs(60);
//! openai.schedule(Schedule::new().during(2 * minute, 62 * minute, Fault::Refuse));
//! openai.next(1, Fault::Error(ProviderError::Overloaded));
//!
//! let body = r#"{"model": "m", "messages": [{"role": "user", "content": "hello there"}], "stream": true}"#;
//! let ask = || HttpRequest::new("https://openai.test/v1/chat/completions", http::HeaderMap::new(), body.into());
//! assert_eq!(openai.send(ask()).await.unwrap().status, 529);
//! let answer: Vec<_> = openai.send(ask()).await.unwrap().body.collect().await;
//! assert!(String::from_utf8_lossy(answer[2].as_ref().unwrap()).contains(r#"{"content":" there"}"#));
//! tokio::time::sleep(30 * minute).await;
//! assert!(openai.send(ask()).await.is_err());
//!
//! let log = openai.log();
//! assert_eq!(log[0].outcome, Outcome::Fault("overloaded"));
//! assert_eq!(log[1].outcome, Outcome::Answered);
//! assert_eq!(openai.counts().refused, 1);
//! # }
//! ```

mod answer;
mod body_recorder;
mod actor_counts;
mod crash;
mod fault;
mod gauge;
mod record;
mod script;
mod embed_question;
mod dialects;
mod response_plan;
mod response_run;
mod provider;
mod player;

pub use actor_counts::{ActorCounts, actor_counts};
pub use answer::{Answer, Form, Question};
pub use crash::{Crash, crash, is_asked_for};
pub use embed_question::vector;
pub use fault::{Fault, ProviderError, RetryHint, Schedule, When};
pub use provider::{Scripted, Switch};
pub use record::{Counts, Outcome, Record};
pub use script::{Answers, Flavour, Latency, Script};

#[cfg(feature = "drill")]
pub(crate) use {
    provider::Arrival,
    response_plan::{End, Head},
    response_run::ResponseRun,
};

#[cfg(test)]
pub(crate) mod tests;

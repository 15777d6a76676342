//! Floor 0: plain data that all floors share.
//!
//! Requests, targets, failures, answers, events. Nothing here decides, waits, reads a
//! clock, or knows any provider's wire format: wire formats live in `wire`, decisions in `policy`. No serde on these
//! types, so no wire format can leak into them.

pub(crate) mod base64;
mod brief;
mod conceal;
pub mod date;
pub(crate) mod named;
pub mod drift;
pub mod fnv;
pub(crate) mod hex;
pub(crate) mod locks;
mod money;
pub mod limits;
pub mod failure_class;
pub mod consequence;
pub mod failure;
pub mod durable;
pub mod exhausted;
pub mod hedging;
pub mod hint;
mod note;
mod near;
pub mod payload;
mod priority;
pub mod rule;
pub mod text;
mod json;
mod usage;
mod price;
pub mod target;
pub mod attempt;
pub mod hold;
pub mod error;
pub(crate) mod header;
pub mod event;
pub mod names;
pub mod embed;
pub mod original;
pub mod chat;
pub mod demand;
pub mod reply;
pub mod answer_piece;

pub use answer_piece::AnswerPiece;
pub use attempt::{AttemptEnd, AttemptRecord, CallFacts, CallId, NoCallId};
pub use brief::Brief;
pub use chat::{
    AssistantPart, Audio, ChatRequest, CommitPolicy, Document, DocumentSource, Effort, Foreign, Image, Message, Proof,
    Reasoning, ResponseFormat, Sampling, Tool, ToolCall, ToolChoice, ToolResult, UserPart,
};
pub(crate) use conceal::conceal;
pub use date::Date;
pub use demand::{Demand, Demanded};
pub use drift::{Drift, DriftKind};
pub use durable::Durable;
pub use embed::{EmbedRequest, Embeddings};
pub use error::{ConfigError, ConfigErrors, Error};
pub use event::Event;
pub use exhausted::{Degraded, OnExhausted};
pub use failure::{Failure, RetryAfter};
pub use failure_class::{FailureClass, Scope};
pub use hedging::Hedging;
pub use hint::{Hint, HintSource, Reported};
pub use hold::{Cause, Hold, Reset, UnavailableTarget};
pub use json::Json;
pub use limits::{Gauge, Limits, MINUTE, NamedLimit};
pub use money::{Amount, OverBudget};
pub use named::UnknownName;
pub use names::NAME_BYTES_MAX;
#[cfg(feature = "sidecar")]
pub(crate) use near::nearest;
pub use near::{did_you_mean, meant};
pub use note::{FieldName, Note};
pub use original::{Marks, Original, Unread};
pub use payload::Payload;
pub(crate) use price::TIERS_MAX;
pub use price::{Bill, Price, PriceTier, Rates};
pub use priority::Priority;
pub use reply::{Finished, Piece, Reply, ReplyEvent, Source, StopReason};
pub use rule::Rule;
pub(crate) use target::without_path;
pub use target::{Capabilities, Dialect, ModelClass, ModelKind, NoTarget, Secret, TargetId};
pub use text::Text;
pub use usage::Usage;

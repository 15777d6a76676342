//! `standin` keeps an agent's calls to language models alive while the providers behind them fail.
//!
//! Each provider is a supervised actor that owns its health histograms and its circuit breakers; a router actor
//! picks targets from percentile latency, error rates and cost; supervisors restart what crashes. See
//! `docs/architecture.md` for the house and `docs/semantics.md` for what is promised.

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

/// The snippets of README.md, compiled and run with the doc-tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

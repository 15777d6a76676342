//! Floor 1: pure decisions, `(state, event, now, rng) -> what next`.
//!
//! Input: events and the time they happened. Output: decisions. `now: Instant` and the random source are arguments,
//! always last. Nothing here may ever read a clock, draw its own randomness, wait, spawn, print, or know how a provider
//! spells things (`wire` and `policy` meet only in `words::failure` and `words::limits`).

// What outlives a process; first, because all that does uses its macro.
#[cfg(feature = "store")]
#[macro_use]
pub mod persist;
#[cfg(not(feature = "store"))]
macro_rules! persist {
    ($($parts:tt)*) => {};
}

pub mod latency;
pub mod window;
pub mod time_left;
pub mod snapshot;
pub mod hint;
pub mod detector;
mod mean;

pub mod local_fault;
pub mod health;
pub mod suspension;
pub mod breaker;
pub mod headroom;
pub mod concurrency;
pub mod look_pace;
pub mod admission;

pub mod tokens;
pub mod trim;
pub mod hedge;
pub mod retry_budget;
pub mod budget;
pub mod probe;
pub mod routing;
pub mod wait_queue;
pub mod failover;
pub mod verify;
pub mod stale;
pub mod restart;
pub mod ledger;
pub mod explain;
pub mod record;
#[cfg(feature = "store")]
pub mod statement;
pub mod store_health;
#[cfg(feature = "store")]
pub mod memory;
pub mod durable_store;
#[cfg(feature = "serialise")]
pub(crate) mod serial;

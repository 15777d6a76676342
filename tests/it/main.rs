//! The runtime over scripted providers, under paused time.

mod kit;

mod budgets;
mod classes;
mod config_errors;
mod dialects;
mod drains;
mod drift;
#[cfg(feature = "store")]
mod durable;
mod edges;
mod embed;
mod failover;
mod functions;
mod hedging;
mod hints;
mod holds;
mod keys;
mod leavers;
#[cfg(feature = "store")]
mod ledgers;
mod lifetimes;
mod messages;
mod moves;
mod observers;
mod operators;
mod parked;
mod prices;
mod privacy;
mod probes;
mod providers;
mod queue;
mod reconfigure;
mod rehearsal_anthropic;
mod rehearsal_gemini;
mod rehearsal_responses;
mod shared_calls;
#[cfg(feature = "sidecar")]
mod sidecar;
mod silence;
mod stale;
mod strategies;
mod streams;
mod supervision;
mod timers;
mod told;
mod translations;
#[cfg(feature = "sidecar")]
mod warm;
mod windows;

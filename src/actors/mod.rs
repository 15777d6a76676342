//! Floor 5: the actors. The only room with ractor, spawns and the clock. Their tree and their rules:
//! docs/architecture.md.

// What all others use.
pub(crate) mod clock;
pub(crate) mod live_actor;
pub(crate) mod task;
mod yielding;
mod progress;
mod permit;
pub(crate) mod wait_notifier;
pub(crate) mod to_provider;
pub(crate) mod slot;
mod key;
pub(crate) mod blocking_pool;
pub(crate) mod work;
pub(crate) mod classify;
#[cfg(feature = "store")]
mod fingerprints;

// What is served, and to which callers.
pub(crate) mod prices;
pub(crate) mod table;
mod routed_request;
mod prompt;
mod candidates;
pub(crate) mod call_log;
pub(crate) mod stream;
pub(crate) mod handle;
pub(crate) mod responder;
mod call_registry;
pub(crate) mod health;
pub(crate) mod parking;
mod call_journal;
mod accepted;

// Messages, and what is shared.
pub(crate) mod to_router;
pub(crate) mod to_front;
pub(crate) mod to_root;
pub(crate) mod to_supervisor;
pub(crate) mod sink;
mod recorder;
pub(crate) mod budgets;
pub(crate) mod stale;
pub(crate) mod shared;

// One attempt, and the page of its call.
mod call_page;
mod redact;
mod watchdog;
mod account;
mod job;
mod read;
pub(crate) mod attempt;

// One call.
mod call_record;
mod running;
mod caller_channel;
mod wait_state;
mod driver;
mod reservations;
mod tries;
mod parked;
mod rungs;
mod call;

// The actors that live for long, and what is known of a provider before its actor starts.
mod begin;
mod provider;
mod prober;
mod hint_poller;
mod price_poller;
mod supervisor;
mod router;
mod successor;
pub(crate) mod log_writer;
pub(crate) mod front;
mod wait_scheduler;
pub(crate) mod carried_state;
pub(crate) mod root;

//! Floor 5: who lives. The only room with ractor, spawns and the clock.
//!
//! ```text
//! root                        one per runtime; starts and restarts everything below
//! ├── front                   the public reference; stateless
//! ├── router                  routes, sessions, strategies' memory; picks; starts calls
//! ├── supervisor ×n           one per provider
//! │    ├── provider           error kernel: owns health, breakers, keys; no I/O
//! │    ├── attempt ×k         one try: encode, send, decode
//! │    └── reading            one look at a key's source, while somebody needs it
//! └── calls
//!      └── call ×m            drives one failover machine to its end
//! ```
//!
//! No handler awaits the network or another actor, none decides anything itself: it reads the clock, asks the machine
//! and carries out the answer. Calls, attempts and readings are one async function each. No actor has a registered name, and
//! nobody keeps a raw reference to one that may restart: see [`slot`].

pub(crate) mod shared;
pub(crate) mod slot;
pub(crate) mod work;
pub(crate) mod key;
pub(crate) mod table;
mod prompt;
mod candidates;

pub(crate) mod root;
pub(crate) mod front;
pub(crate) mod router;
pub(crate) mod call;
pub(crate) mod stream;
mod running;
pub(crate) mod attempt;
mod redact;
mod watchdog;
pub(crate) mod provider;
pub(crate) mod supervisor;

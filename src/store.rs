//! Floor 5: what is kept: everything that ended, in one file that outlives the process.
//!
//! Input: records of attempts and calls, and what is known of providers, in place and without waiting. Output:
//! statements, and what was known before. One thread owns the connection and writes in groups; readers have connections
//! of their own. A disk never holds up a call: records that cannot be written wait in a bounded queue, records without
//! room there are counted as lost, and health says both. It holds no word of a prompt or of an answer, but for calls
//! that ask to be durable: those wait for the disk, and are read again after a restart.

mod error;
mod numbers;
mod hours;
mod cross_sums;
mod schema;
mod file;
mod seal;
mod reserved;
mod durable_writes;
mod budget_accounts;
mod forget;
mod ask;
mod memory;
mod ledger_file;
mod verify;
mod state;
mod notes;
mod owner;
mod handle;

pub use ask::ask_file;
pub(crate) use budget_accounts::recall;
pub use error::LedgerError;
pub(crate) use error::OpenError;
pub(crate) use handle::Store;
pub(crate) use memory::{Recollection, ServedSession, moment, recollect};
pub(crate) use reserved::reserved;
pub use verify::{Verified, verify_file};

#[cfg(test)]
mod tests;

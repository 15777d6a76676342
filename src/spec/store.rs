//! Where records are kept, as configured.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// Where records are kept, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoreSpec {
    pub(crate) path: PathBuf,
    /// How long each record is kept.
    pub(crate) keep: Duration,
    /// How long the sums of each hour are kept.
    pub(crate) keep_totals: Duration,
    /// How long durable calls are kept after their end.
    pub(crate) durable_for: Duration,
    /// The largest size of the file, in bytes.
    pub(crate) bytes_max: u64,
    /// Whether the state of providers is kept for the next process, too.
    pub(crate) warm: bool,
}

/// What was spent out of one account in one hour.
#[derive(Clone, Debug)]
pub(crate) struct HourlySpend {
    /// The place of its budget.
    pub(crate) budget: usize,
    pub(crate) account: String,
    /// In the budget's unit.
    pub(crate) amount: i64,
    pub(crate) at: SystemTime,
}

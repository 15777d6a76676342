//! Where records are kept, as configured.

use std::path::PathBuf;
use std::time::Duration;

/// Where records are kept, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoreSpec {
    pub(crate) path: PathBuf,
    /// How long each record is kept.
    pub(crate) keep: Duration,
    /// How long the sums of each hour are.
    pub(crate) keep_totals: Duration,
    /// How long the file may grow.
    pub(crate) bytes_max: u64,
    /// Whether what is known of providers outlives the process, too.
    pub(crate) warm: bool,
}

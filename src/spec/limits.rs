//! Limits of a runtime.

use std::time::Duration;

#[cfg(feature = "store")]
use super::store::StoreSpec;
use crate::policy::restart::RestartOptions;
use crate::wire::AnswerMax;

/// Limits of a runtime, for as long as it lives.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Limits {
    pub(crate) calls_max: usize,
    pub(crate) parked_max: usize,
    pub(crate) queue_max: usize,
    pub(crate) consumer_stall_max: Duration,
    pub(crate) ledger_max: usize,
    pub(crate) recorder_max: usize,
    pub(crate) restart: RestartOptions,
    pub(crate) seed: u64,
    pub(crate) answer_max: AnswerMax,
    pub(crate) answers_bytes_max: usize,
    pub(crate) kept_for: Duration,
    pub(crate) kept_bytes_max: usize,
    #[cfg(feature = "store")]
    pub(crate) store: Option<StoreSpec>,
}

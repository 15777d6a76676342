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

impl Limits {
    /// Returns the fields in which these differ from other ones, by their names in a configuration. A seed is not among
    /// them: where none is configured each has its own.
    pub(crate) fn differing(&self, other: &Self) -> Vec<&'static str> {
        let Self {
            calls_max,
            parked_max,
            queue_max,
            consumer_stall_max,
            ledger_max,
            recorder_max,
            restart,
            seed: _,
            answer_max,
            answers_bytes_max,
            kept_for,
            kept_bytes_max,
            #[cfg(feature = "store")]
            store,
        } = self;
        let fields = [
            ("calls_max", *calls_max != other.calls_max),
            ("parked_max", *parked_max != other.parked_max),
            ("queue_max", *queue_max != other.queue_max),
            ("consumer_stall_max", *consumer_stall_max != other.consumer_stall_max),
            ("ledger_max", *ledger_max != other.ledger_max),
            ("recorder_max", *recorder_max != other.recorder_max),
            ("restart", *restart != other.restart),
            ("answer_bytes_max, answer_tokens_max", *answer_max != other.answer_max),
            ("answers_bytes_max", *answers_bytes_max != other.answers_bytes_max),
            ("kept_for", *kept_for != other.kept_for),
            ("kept_bytes_max", *kept_bytes_max != other.kept_bytes_max),
            #[cfg(feature = "store")]
            ("store", *store != other.store),
        ];
        fields.into_iter().filter(|(_, differs)| *differs).map(|(field, _)| field).collect()
    }
}

//! What an attempt's end means for the health of its target.
//!
//! Input: the end, and how the attempt went until then. Output: an outcome to be reported. It knows no target.

use std::time::{Duration, Instant};

use super::{CancelReason, Outcome};
use crate::words::consequence::{Consequences, FaultOwner, Waste};
use crate::words::{AttemptEnd, FailureClass};

/// How an attempt went, beside its end.
#[derive(Clone, Copy, Debug)]
pub struct AttemptSummary {
    /// Whether anything was sent.
    pub begun: bool,
    /// The longest that the answer's reader kept it waiting.
    pub blocked: Duration,
    /// From its first content to its end, where there was any.
    pub streamed: Option<Duration>,
    /// Whether its answer comes in one burst.
    pub whole: bool,
    /// When the target may be asked again, where it said so.
    pub back: Option<Instant>,
    /// Whether the attempt that was faster had been asked later, because this one was late.
    pub overtaken: bool,
}

/// A reader that blocked the attempt for this long makes its time per token meaningless.
const BLOCKED_NO_TPOT: Duration = Duration::from_millis(100);
/// A reader that blocked for this long may itself be why the provider cut the stream.
pub(super) const BLOCKED_NO_FAULT: Duration = Duration::from_secs(5);
/// Answers shorter than this say nothing about time per token.
const TPOT_TOKENS_MIN: u64 = 16;

impl AttemptSummary {
    /// Returns what an end means for the target's health, after an answer of this many tokens.
    pub fn outcome(&self, end: &AttemptEnd, output_tokens: u64) -> Outcome {
        let AttemptEnd::Failed(failure) = end else {
            return Outcome::Success { tpot: self.tpot(output_tokens) };
        };
        let class = failure.class;
        let Consequences { owner, hold, waste, .. } = class.consequences();
        let is_unused = !self.begun && (class.is_unwanted() || class == FailureClass::Crashed);
        match waste {
            _ if is_unused => Outcome::Unused,
            Waste::Abandoned | Waste::Cancelled => Outcome::Cancelled(CancelReason::Left),
            Waste::CallEnded => Outcome::Cancelled(CancelReason::Ended),
            Waste::SlowerOfTwo if self.overtaken => Outcome::Cancelled(CancelReason::Overtaken),
            Waste::SlowerOfTwo => Outcome::Cancelled(CancelReason::Lost),
            // What is ours and not of the configuration says nothing of the target, and neither does our own stop.
            Waste::Failed if owner == FaultOwner::Ours && hold.is_none() => Outcome::Crashed,
            Waste::Stopped => Outcome::Crashed,
            Waste::CutOff if class == FailureClass::Cut && self.blocked >= BLOCKED_NO_FAULT => {
                Outcome::Cancelled(CancelReason::Ended)
            }
            Waste::Failed | Waste::CutOff | Waste::DrawnAgain => {
                Outcome::Failure { class, scope: failure.scope, retry_after: self.back }
            }
        }
    }

    pub(super) fn tpot(&self, output_tokens: u64) -> Option<Duration> {
        let counts = output_tokens >= TPOT_TOKENS_MIN && self.blocked < BLOCKED_NO_TPOT && !self.whole;
        let tokens = u32::try_from(output_tokens.saturating_sub(1)).ok()?;
        counts.then(|| Some(self.streamed? / tokens))?
    }
}

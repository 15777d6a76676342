//! What follows a failure: its target is asked again, or is spent, or the call ends.

use std::time::{Duration, Instant};

use rand::{Rng, RngExt};

use super::{Failover, GiveUp, Reason, TargetState};
use crate::words::consequence::Next;
use crate::words::{Failure, FailureClass, Scope};

/// The pause before the same target is asked again: U(0, min(8 s, 0.5 s * 2^n)), full jitter as AWS's SDKs do it.
const PAUSE_BASE: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(8);

/// The consequence of a failure.
pub(super) enum Consequence {
    /// The call ends, for this reason or because no other target may be asked.
    End(Option<GiveUp>),
    /// The target is done with.
    Spent,
    /// The target is asked again.
    Again(Reason, Instant),
}

impl Failover {
    /// Returns what follows a failure for its target, and counts it.
    pub(super) fn consequence(
        &mut self,
        at: usize,
        failure: &Failure,
        back: Option<Instant>,
        now: Instant,
        rng: &mut impl Rng,
    ) -> Consequence {
        use Consequence::{Again, End, Spent};
        use FailureClass as C;
        let resent = matches!(self.targets[at].state, TargetState::Runs { reason: Reason::Resend, .. });
        if failure.scope == Scope::Key {
            // A failure of the key: it costs the call nothing.
            self.uncount(at);
            let met = &mut self.targets[at];
            met.keys_failed += 1;
            return match back {
                _ if met.keys_failed < met.planned.keys => Again(Reason::OtherKey, now),
                Some(back) if failure.class == C::RateLimited => {
                    self.retry(at, failure.class, Some(back), now, rng).unwrap_or(Again(Reason::Deferred, back))
                }
                _ => Spent,
            };
        }
        if let Some(again) = self.retry(at, failure.class, back, now, rng) {
            return again;
        }
        let consequences = failure.class.consequences();
        match consequences.next {
            Next::Reject if !self.others_are_asked(failure) => End(Some(GiveUp::Rejected(failure.clone()))),
            // Only its reader makes an attempt give up while its call still wants it.
            Next::End => End(Some(GiveUp::Interrupted(failure.clone()))),
            Next::Resend if !resent => {
                self.uncount(at);
                Again(Reason::Resend, now)
            }
            _ if consequences.heeds && back.is_some() => Again(Reason::Deferred, back.unwrap_or(now)),
            // Any failure that may pass: a user with only one provider must not be worse off than with its SDK, which
            // tries again.
            Next::Pause | Next::Resend => Again(Reason::Pause, now + self.pause(rng)),
            Next::Silence => Again(Reason::Silence, now + self.pause(rng)),
            Next::Redraw => {
                self.unusable += 1;
                match self.unusable {
                    1 => Again(Reason::Redraw, now),
                    2 => Spent,
                    // Two targets have failed at it: it is likely the request that cannot be answered so.
                    _ => End(None),
                }
            }
            Next::Shorter => {
                self.too_small = self.too_small.max(self.targets[at].planned.context_tokens_max.unwrap_or(0));
                self.leave_small_windows();
                let met = &mut self.targets[at];
                if met.cuts == met.planned.cuts_max {
                    return Spent;
                }
                met.cuts += 1;
                Again(Reason::Shorter, now)
            }
            Next::Leave | Next::Reject => Spent,
        }
    }

    /// Tells whether other targets are asked after a rejection: where the route allows it, and where it reaches no
    /// further than its target, because that follows its own rules or looks for words of its own list.
    fn others_are_asked(&self, failure: &Failure) -> bool {
        let is_allowed = if failure.class == FailureClass::ContentPolicy {
            self.options.content_policy_failover
        } else {
            self.options.bad_request_failover
        };
        failure.scope != Scope::Request || is_allowed
    }

    pub(super) fn pause(&self, rng: &mut impl Rng) -> Duration {
        let ceiling = PAUSE_BASE.saturating_mul(1 << self.counted.saturating_sub(1).min(10)).min(PAUSE_MAX);
        ceiling.mul_f64(rng.random_range(0.0..=1.0))
    }
}

/// Tells whether a failure is about this request rather than about the target: what a call ends with when no other
/// target could take it.
pub(super) fn is_own(class: FailureClass) -> bool {
    class.consequences().telling.is_some()
}

/// Ranks a refusal by its use to a caller: one that the caller can correct comes before all others.
pub(super) fn telling(failure: &Failure) -> (Option<u8>, bool) {
    (failure.class.consequences().telling, failure.code.is_some())
}

//! What follows a failure: its target is asked again, or is spent, or the call ends.

use std::time::{Duration, Instant};

use rand::{Rng, RngExt};

use super::{Failover, GiveUp, Reason, TargetState};
use crate::policy::suspension::Suspension;
use crate::policy::time_left::look_share;
use crate::words::consequence::{HoldRule, Next};
use crate::words::{Failure, FailureClass, Scope};

/// The pause before the same target is asked again: U(0, min(8 s, 0.5 s * 2^n)), full jitter as AWS's SDKs do it.
const PAUSE_BASE: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(8);
/// Where nothing else is left, the attempts that a call has are spread over the time of its caller: what is left of it
/// is divided by this for each of them, but the n-th pause is at most this number to the power of n, in seconds.
const SPREAD: u32 = 4;
/// Of that, this part at least is waited.
const SPREAD_LEAST: f64 = 0.5;
/// By up to this part of it a guessed limit is asked about later than it may be.
const LOOK_JITTER: f64 = 0.1;

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
    /// Returns what follows a failure for its target, and counts it. `told` is when the target may be asked again,
    /// where it said so, and `back` when it is let in again, as far as that is known.
    pub(super) fn consequence(
        &mut self,
        at: usize,
        failure: &Failure,
        (told, back): (Option<Instant>, Option<Instant>),
        now: Instant,
        rng: &mut impl Rng,
    ) -> Consequence {
        use Consequence::{Again, End, Spent};
        use FailureClass as C;
        // What is sent to find out whether a target answers is not sent twice.
        let resent = matches!(self.targets[at].state,
            TargetState::Runs { reason, .. } if reason == Reason::Resend || reason.is_look());
        let (times, lasting) = self.targets[at].fails(now);
        // Who fails is asked ever more seldom.
        let rested = now + look_share(lasting);
        if failure.scope == Scope::Key {
            // A failure of the key: it costs the call nothing.
            self.uncount(at);
            let met = &mut self.targets[at];
            met.keys_failed += 1;
            // Of several keys one may be refused for good while another is at a limit that ends.
            let ahead = met.key_back.filter(|&back| back > now);
            met.key_back = ahead.into_iter().chain(back.filter(|_| failure.class == C::RateLimited)).min();
            return match met.key_back {
                _ if met.keys_failed < met.planned.keys => Again(Reason::OtherKey, now),
                Some(back) => {
                    let again = self.retry(at, failure.class, told, now, rng);
                    again.unwrap_or(Again(Reason::Deferred, back.max(rested)))
                }
                None => Spent,
            };
        }
        if let Some(again) = self.retry(at, failure.class, told, now, rng) {
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
            _ if consequences.obeys_retry_after && back.is_some() => {
                Again(Reason::Deferred, back.max(Some(rested)).unwrap_or(now))
            }
            // Any failure that may pass: a user with only one provider must not be worse off than with its SDK, which
            // tries again.
            Next::Pause | Next::Resend => {
                let spread = now + self.spread(at, now).mul_f64(rng.random_range(SPREAD_LEAST..=1.0));
                self.put_off(spread);
                Again(Reason::Pause, (now + pause(times, rng)).max(rested).max(spread))
            }
            Next::Silence => Again(Reason::Silence, (now + pause(times, rng)).max(rested)),
            Next::AskAgain => {
                // Two targets have failed at it: it is likely the request that cannot be answered so.
                let others = self.targets.iter().any(|met| met.unusable > 1);
                let met = &mut self.targets[at];
                met.unusable += 1;
                match met.unusable {
                    _ if others => End(None),
                    1 => Again(Reason::AskAgain, now),
                    _ => Spent,
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

    /// Returns how far a call puts off its next attempt that has nothing else in flight and nothing else to do than to
    /// wait: it has few attempts, and its caller may have much time. One that can go on in another way does that.
    fn spread(&self, at: usize, now: Instant) -> Duration {
        let alone = self.targets.iter().enumerate().all(|(other, met)| other == at || !met.runs());
        let left = self.options.attempts().saturating_sub(self.counted);
        if !alone || left == 0 || self.goes_on() {
            return Duration::ZERO;
        }
        let time = self.caller.time(self.deadline, now) / SPREAD.saturating_pow(left);
        time.min(Duration::from_secs(SPREAD.saturating_pow(self.counted.saturating_sub(1)).into())).min(PAUSE_MAX)
    }

    /// Puts off all that is only to be tried once more: these attempts are the last ones of the call.
    fn put_off(&mut self, until: Instant) {
        for met in &mut self.targets {
            if let TargetState::Waits { reason: Reason::Pause, from } = &mut met.state {
                *from = (*from).max(until);
            }
        }
    }
}

/// Returns when a target is let in again that did not say when, as far as that is known: a limit that ends by itself is
/// asked about sooner than it is thought to last.
pub(super) fn first_look(class: FailureClass, now: Instant, rng: &mut impl Rng) -> Option<Instant> {
    let rest = class.consequences().hold.filter(HoldRule::passes)?;
    let wait = Suspension::first_back(rest, None);
    Some(now + wait + wait.mul_f64(rng.random_range(0.0..=LOOK_JITTER)))
}

/// Returns the pause after a target failed so many times.
pub(super) fn pause(times: u32, rng: &mut impl Rng) -> Duration {
    let ceiling = PAUSE_BASE.saturating_mul(1 << times.saturating_sub(1).min(10)).min(PAUSE_MAX);
    ceiling.mul_f64(rng.random_range(0.0..=1.0))
}

/// Tells whether a failure is about this request rather than about the target: what a call ends with when no other
/// target could take it.
pub(super) fn is_own(class: FailureClass) -> bool {
    class.consequences().refusal_rank.is_some()
}

/// Ranks a refusal by its use to a caller: one that the caller can correct comes before all others.
pub(super) fn refusal_rank(failure: &Failure) -> (Option<u8>, bool) {
    (failure.class.consequences().refusal_rank, failure.code.is_some())
}

//! The state between a call and the targets that it has met.

use std::time::{Duration, Instant};

use super::{Planned, TRY_MIN};
use crate::policy::hedge::{Cost, Join};
use crate::policy::retry_budget::RetryKind;
use crate::policy::snapshot::{Gate, Refusal};
use crate::policy::time_left::reached;

/// Why a target is asked, in the order in which those that are due go; second tries go in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reason {
    /// Its pooled connection broke before any response: it is asked again, free, and not counted as an attempt.
    Resend,
    /// Its key failed; it may have another: at once, free, and not counted.
    OtherKey,
    /// Its answer was of no use; the next one may be.
    AskAgain,
    /// It failed in a way that may pass at once, and its route has it tried again before others are.
    Retry,
    /// It is new to the call.
    New,
    /// It found the conversation too long, and no target with a larger window is left: it gets less of it.
    Shorter,
    /// It failed in a way that may pass, and no other target is left: after a pause.
    Pause,
    /// The same, but the target asked for the pause: the call waits for it no longer than for any other target.
    Deferred,
    /// It is full: it is to be asked again once it has a place.
    Full,
    /// It failed in a way that may pass, and the call waits for another that is silent: at the target's pace.
    Look,
    /// It was silent for longer than it may, and no other target is left, not even one that is as silent.
    Silence,
    /// It is silent, and no other target is left: again beside that attempt.
    Beside,
}

impl Reason {
    /// Tells whether it is a look whether a target answers again.
    pub(super) const fn is_look(self) -> bool {
        matches!(self, Self::Look | Self::Silence | Self::Beside)
    }

    /// Returns the place of those that are due for this reason: a target that was asked to wait is tried again as any
    /// other that has failed.
    pub(super) const fn turn(self) -> Self {
        if self.is_late_try() { Self::Pause } else { self }
    }

    /// Tells whether its target failed in a way that may pass, and is tried again.
    pub(super) const fn is_second_try(self) -> bool {
        self.is_late_try() || matches!(self, Self::Retry)
    }

    /// Tells whether that is done only once no other target is left.
    pub(super) const fn is_late_try(self) -> bool {
        matches!(self, Self::Pause | Self::Deferred | Self::Full)
    }
}

/// The state between a call and a target.
#[derive(Clone, Copy, Debug)]
pub(super) enum TargetState {
    /// May be asked from then on.
    Waits { reason: Reason, from: Instant },
    /// Was asked for a permit.
    Asked { reason: Reason, paid: Option<RetryKind>, hedge: Option<Cost> },
    /// Has an attempt in flight, silent since then, which is tolerated for this long; the age at which another may join
    /// it for speed, and at which its own target may be asked again where no other is left; why another may join it or
    /// did, whether it counts among the call's attempts, and what it took from the budget.
    Runs {
        reason: Reason,
        number: u32,
        since: Instant,
        patience: Duration,
        hedge_after: Option<Duration>,
        again_after: Option<Duration>,
        joined: Option<Join>,
        counts: bool,
        paid: Option<RetryKind>,
    },
    /// Done with, for this call; maybe because the request is not for it, and maybe others may come back then.
    Spent { own: bool, back: Option<Instant> },
}

/// Whether a target admits calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Open,
    /// It is well, and lacks a place.
    Full,
    /// It is out: a call that waits hears in a queue when it is back.
    Out,
}

/// A target that a call has met.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallTarget {
    pub(super) planned: Planned,
    pub(super) state: TargetState,
    /// How often it found the conversation too long.
    pub(super) cuts: u32,
    /// How many of its keys failed this call, or were silent.
    pub(super) keys_failed: u32,
    /// How often it was asked again before others were.
    pub(super) retries: u32,
    /// How often its answer was of no use.
    pub(super) unusable: u32,
    /// How often it failed, and since when.
    pub(super) failed: Option<(u32, Instant)>,
    /// When the first of its keys that are at a limit is past that.
    pub(super) key_back: Option<Instant>,
    /// Whether it is at a limit of which it did not say when that ends.
    pub(super) guessed: bool,
    /// When the call last sent it something.
    pub(super) sent: Option<Instant>,
    /// Whether it admits calls, as last planned.
    pub(super) access: Access,
}

impl CallTarget {
    /// Returns a target that a call has not asked.
    pub(super) fn new(planned: Planned, now: Instant) -> Self {
        Self {
            planned,
            state: TargetState::Waits { reason: Reason::New, from: now },
            cuts: 0,
            keys_failed: 0,
            retries: 0,
            unusable: 0,
            failed: None,
            key_back: None,
            guessed: false,
            sent: None,
            access: Access::Open,
        }
    }

    /// Notes a failure, and returns how often it has failed and for how long it does.
    pub(super) fn fails(&mut self, now: Instant) -> (u32, Duration) {
        let (times, since) = self.failed.map_or((1, now), |(times, since)| (times.saturating_add(1), since));
        self.failed = Some((times, since));
        (times, now.saturating_duration_since(since))
    }

    /// Returns how often it has failed.
    pub(super) fn failures(&self) -> u32 {
        self.failed.map_or(0, |(times, _)| times)
    }

    pub(super) fn runs(&self) -> bool {
        matches!(self.state, TargetState::Runs { .. })
    }

    /// Asks it again now, if it lacked only a place.
    pub(super) fn place(&mut self, now: Instant) {
        if let TargetState::Waits { reason: Reason::Full, from } = &mut self.state {
            *from = now;
        }
    }

    /// Asks it again now, if it has failed in a way that may pass.
    pub(super) fn is_back(&mut self, now: Instant) {
        if let TargetState::Waits { reason, from } = &mut self.state
            && reason.is_second_try()
        {
            *from = now;
        }
    }

    /// Tells whether it refused the request itself, or answered it twice in a way that is of no use.
    pub(super) fn refuses(&self) -> bool {
        matches!(self.state, TargetState::Spent { own, .. } if own || self.unusable > 1)
    }

    /// Tells whether it has an attempt in flight, or is being asked for one.
    pub(super) fn is_at_work(&self) -> bool {
        matches!(self.state, TargetState::Runs { .. } | TargetState::Asked { .. })
    }

    /// Returns when its attempt, if one is in flight, is late.
    pub(super) fn late_at(&self) -> Option<Instant> {
        let TargetState::Runs { since, patience, .. } = self.state else { return None };
        Some(since + patience)
    }

    /// Returns until when its attempt, if one is in flight, is not late.
    pub(super) fn works_until(&self, now: Instant) -> Option<Instant> {
        let TargetState::Runs { since, patience, .. } = self.state else { return None };
        (!reached(now.saturating_duration_since(since), patience)).then(|| since + patience)
    }

    /// Returns since when its attempt, if one is in flight, is silent.
    pub(super) fn since(&self) -> Option<Instant> {
        let TargetState::Runs { since, .. } = self.state else { return None };
        Some(since)
    }

    /// Returns the number of its attempt, if one is in flight.
    pub(super) fn number(&self) -> Option<u32> {
        let TargetState::Runs { number, .. } = self.state else { return None };
        Some(number)
    }

    /// Returns when it may be asked again beside its attempt.
    pub(super) fn again_at(&self) -> Option<Instant> {
        let TargetState::Runs { since, again_after, .. } = self.state else { return None };
        Some(since + again_after?)
    }

    /// Tells whether it can be asked after others, before the call's time is over.
    pub(super) fn is_behind(&self, deadline: Instant) -> bool {
        matches!(self.state, TargetState::Waits { reason, from } if reason < Reason::Look && from + TRY_MIN <= deadline)
    }

    /// Tells whether it said itself when it may be asked again, or has no place.
    pub(super) fn said_when(&self) -> bool {
        matches!(self.state, TargetState::Waits { reason: Reason::Deferred | Reason::Full, .. })
    }

    pub(super) fn is_new(&self) -> bool {
        matches!(self.state, TargetState::Waits { reason: Reason::New, .. })
    }
}

/// What a call waits for without a known time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum UntimedWait {
    /// A free probe, a provider that restarts.
    Return,
    /// A place at a target that is well.
    FreePlace,
}

impl UntimedWait {
    pub(super) fn of(refusal: Refusal) -> Option<Self> {
        match refusal.until {
            _ if refusal.is_full() => Some(Self::FreePlace),
            None if refusal.gate != Gate::Disabled => Some(Self::Return),
            _ => None,
        }
    }
}

//! What the machine is told of a target, and what it says is to be done.

use std::time::{Duration, Instant};

use crate::policy::health::CancelReason;
use crate::policy::hedge::{Cost, Join};
use crate::policy::look_pace::Look;
use crate::words::Failure;

/// A target as planned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Planned {
    /// Its index in the table.
    pub target: usize,
    /// The context window, where it is known.
    pub context_tokens_max: Option<u32>,
    /// How often the conversation can be cut shorter, should it be too long.
    pub cuts_max: u32,
    /// How many keys it has: a call may be refused for its key's sake this often.
    pub keys: u32,
    /// The most time until its first token.
    pub first_token_max: Duration,
    /// The time in which it almost certainly gives a usable answer.
    pub needs: Duration,
    /// How long it may be silent before another is asked beside it, where time allows: until its first content …
    pub patience: Duration,
    /// … and after.
    pub pause_max: Duration,
    /// The silence that is too long: after it the same target may be asked again beside itself, where no other is left.
    /// `None` is never.
    pub overdue: Option<Duration>,
    /// Whether that is measured, or configured, and no guess.
    pub measured: bool,
    /// Whether its breaker is closed: a first visit there takes nothing from the budget.
    pub closed: bool,
    /// Its failure domain: no second target in the same domain is asked for speed.
    pub domain: usize,
    /// The age without content from which a second one may be asked for speed; `None` is never.
    pub hedge_after: Option<Duration>,
    /// Its expected cost if it is asked for speed; `None` if it must not be.
    pub hedge: Option<Cost>,
    /// Whether its answer is shown only once it is whole.
    pub shown_whole: bool,
}

/// One try.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Try {
    /// Number within the call, from 1. A refused try's number is used again.
    pub number: u32,
    /// The target's index in the table.
    pub target: usize,
    /// Whether it may pass an open breaker.
    pub last_resort: bool,
    /// Whether it repeats a try whose connection broke before any response came.
    pub resend: bool,
    /// How often this target found the conversation too long: it is cut shorter each time.
    pub cuts: u32,
    /// The most time until the first token. The last possible attempt has none: it gets all that is left.
    pub first_token_max: Option<Duration>,
    /// The look that it is at a target that is silent.
    pub look: Option<Look>,
    /// Whether it goes with another key than those with which the call waits there, or not at all.
    pub other_key: bool,
    /// The attempt that it joins, and why.
    pub beside: Option<(u32, Join)>,
    /// Its expected cost, if it is asked for speed only.
    pub hedge: Option<Cost>,
    /// Whether nothing of its answer may be handed on before it is whole.
    pub buffered: bool,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Pick targets again, none of [`Failover::spent`], and report [`Failover::planned`].
    Plan,
    /// Ask this target for a permit and start an attempt; then report [`Failover::admitted`] or
    /// [`Failover::refused`].
    Try(Try),
    /// Tell the caller to drop what it has of an answer: the answer broke off with this failure, and another one
    /// follows at once.
    Reset(Failure),
    /// Hand this attempt's content to the caller from now on.
    Commit(u32),
    /// Stop this attempt; its end need not be reported.
    Cancel(u32, CancelReason),
    /// Nothing to do until an event, or until this time.
    Wait(Instant),
    /// The same, but a target that could not say when it has a place may have one before: report [`Failover::woken`]
    /// when that is known, and [`Failover::unplaced`] when it would be too late.
    Queue(Instant),
    /// Nothing is left to try now, but the call may go on in another way; the first target may come back at this time.
    /// What follows is [`Failover::anew`] or [`Failover::end_exhausted`].
    Exhausted(Option<Instant>),
    /// All targets that were asked have been silent for too long, and no other is left; the call may take less. What
    /// may follow is [`Failover::anew`] or [`Failover::end_silent`]; else it waits on.
    Silent,
    /// The call ended well, with this attempt's answer. The last step.
    Finish(u32),
    /// The call ended badly. The last step; nothing is in flight any more.
    GiveUp(GiveUp),
}

/// Why a call ends without an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum GiveUp {
    /// The failure is the request's own; no other target is asked.
    Rejected(Failure),
    /// Nothing is left to try; the first target may come back at this time.
    Exhausted(Option<Instant>),
    /// The time is up, or too short for another attempt.
    Deadline,
    /// The answer broke off after content had reached the caller, and nothing replaced it.
    Interrupted(Failure),
}

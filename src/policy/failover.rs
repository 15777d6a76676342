//! One call's way over its targets: what to try next, when to wait, when to give up.
//!
//! ```text
//!   Plan             Try, admitted            first content              succeeded
//!  ------> [queue] ---------------> [open] -------------------> [committed] --------> Finish
//!     ^      |  ^                     | failed                       | failed
//!     |      |  +---- again, later ---+------ Reset (or GiveUp) -----+
//!     +------+  none due: Plan, Wait
//!            +  nothing left: GiveUp
//! ```
//!
//! In flow plans, refusals, contents and ends of attempts, and the time; out flow [`Step`]s. The caller asks
//! [`Failover::next`] until it says [`Step::Wait`], then waits for an event or the time. It holds several attempts
//! at once as easily as one. It never sends, sleeps or picks by itself: targets are picked by `routing`.
//!
//! The whole memory of a call is one queue of targets, each with the time from which it may be tried. What a failure
//! means for its target is only where in the queue it goes back, and when: at the front, at once (another key, a
//! broken pooled connection); at the back, later (a sole target's 500, a short Retry-After); or not at all.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::budget::Budget;
use super::snapshot::Refusal;
use crate::words::{CommitPolicy, Failure, FailureClass};

/// How long and how often a call may try. A route or a caller may say otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FailoverOptions {
    /// The most attempts of one call. 3.
    pub attempts_max: u32,
    /// Time for a whole call where the caller sets none. 10 min.
    #[serde(with = "humantime_serde")]
    pub deadline: Duration,
    /// The longest a call waits for a target to come back (a short Retry-After, a provider that restarts) when it has
    /// nothing else to try; never more than a tenth of the time it has left. 2 s.
    #[serde(with = "humantime_serde")]
    pub wait_max: Duration,
    /// Whether an answer that a provider's content filter refused is tried at another provider. Off.
    pub content_policy_failover: bool,
}

impl Default for FailoverOptions {
    fn default() -> Self {
        Self {
            attempts_max: 3,
            deadline: Duration::from_secs(600),
            wait_max: Duration::from_secs(2),
            content_policy_failover: false,
        }
    }
}

/// The wait before the same target is asked again: U(0, min(8 s, 0.5 s * 2^n)), full jitter as AWS's SDKs do it.
const BACKOFF_MIN: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_secs(8);
/// When to look again for a target that could not say when: a provider that restarts, a free place.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// A later attempt does not start with less time left than this (or its own first-token limit, if that is shorter).
const LATER_ATTEMPT_MIN: Duration = Duration::from_secs(2);
/// Plans without an attempt or a wait between them: one, one more after its targets refused, one as a last resort.
const PLANS_MAX: u32 = 3;

/// A target as planned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Planned {
    /// Its index in the table.
    pub target: usize,
    /// The context window, where it is known.
    pub context_tokens_max: Option<u32>,
    /// The most time until its first token.
    pub first_token_max: Duration,
}

/// One try.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Try {
    /// Number within the call, from 1. A refused try's number is used again.
    pub number: u32,
    /// Where to.
    pub target: usize,
    /// Whether it may pass an open breaker.
    pub last_resort: bool,
    /// Whether it repeats a try whose connection broke before any response came.
    pub resend: bool,
    /// The most time until the first token; the last possible attempt gets all that is left.
    pub first_token_max: Duration,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Pick targets again, none of [`Failover::spent`], and report [`Failover::planned`].
    Plan,
    /// Ask this target for a permit and start an attempt; then report [`Failover::admitted`] or
    /// [`Failover::refused`].
    Try(Try),
    /// Hand this attempt's content to the caller from now on.
    Commit(u32),
    /// Tell the caller to drop what it has of the committed attempt's content.
    Reset(Failure),
    /// Stop this attempt; its end need not be reported.
    Cancel(u32),
    /// Nothing to do until an event, or until then.
    Wait(Instant),
    /// The call ended well, with this attempt's answer. The last step.
    Finish(u32),
    /// The call ended badly. The last step; nothing is in flight any more.
    GiveUp(GiveUp),
}

/// Why a call ends without an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum GiveUp {
    /// The failure is the request's own; nobody else is asked.
    Rejected(Failure),
    /// Nothing is left to try; a target may come back then.
    Exhausted(Option<Instant>),
    /// The time is up.
    Deadline,
    /// The answer broke off after content had reached the caller.
    Interrupted(Failure),
}

/// A target waiting for its turn.
#[derive(Clone, Copy, Debug)]
struct Queued {
    planned: Planned,
    from: Instant,
    again: Again,
}

/// Why a target is asked, as the budget sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Again {
    /// Its first time in this call.
    No,
    /// A pooled connection broke: free, and not counted as an attempt.
    Resend,
    /// Its key was refused; it may have another.
    OtherKey,
    /// It failed in a way that may pass: takes from the sub-limit for the same target.
    Same,
}

/// What a failure means for its target.
enum Consequence {
    /// It is the request's own: nobody else is asked.
    Return,
    /// This target is done with.
    Next,
    /// Back into the queue, before all others or behind them.
    First(Again),
    Later(Instant),
}

/// A try that was admitted, or waits to be.
#[derive(Clone, Copy, Debug)]
struct Open {
    number: u32,
    queued: Queued,
}

/// One call's failover machine.
#[derive(Debug)]
pub struct Failover {
    options: FailoverOptions,
    commit: CommitPolicy,
    deadline: Instant,
    queue: VecDeque<Queued>,
    asking: Option<Open>,
    open: Vec<Open>,
    /// Steps that an event brought about and that are still to be said.
    said: VecDeque<Step>,
    /// Targets that are done with for this call.
    spent: Vec<usize>,
    /// Targets that had their second try after an unusable answer.
    repeated: Vec<usize>,
    attempts: u32,
    /// Attempts among them whose connection broke before anything was sent, and that do not count.
    unsent: u32,
    /// The last target that admitted an attempt, and whether the call ever moved to another.
    at: Option<usize>,
    moved: bool,
    last_resort: bool,
    committed: Option<u32>,
    /// Why a call that now runs out of targets ends, where that is not mere exhaustion.
    verdict: Option<GiveUp>,
    /// When the first target that cannot be asked now comes back.
    back: Option<Instant>,
    /// Whether something changed since the last plan, and how many plans led to nothing.
    stale: bool,
    plans: u32,
    /// How long this call goes on waiting, once it has begun to.
    patience: Option<Instant>,
}

impl Failover {
    /// Returns the machine of a call that starts now. Its first step is [`Step::Plan`].
    pub fn new(options: FailoverOptions, commit: CommitPolicy, deadline: Instant) -> Self {
        Self {
            options,
            commit,
            deadline,
            queue: VecDeque::new(),
            asking: None,
            open: Vec::new(),
            said: VecDeque::new(),
            spent: Vec::new(),
            repeated: Vec::new(),
            attempts: 0,
            unsent: 0,
            at: None,
            moved: false,
            last_resort: false,
            committed: None,
            verdict: None,
            back: None,
            stale: true,
            plans: 0,
            patience: None,
        }
    }

    /// Returns the targets that are done with for this call and must not be planned again.
    pub fn spent(&self) -> &[usize] {
        &self.spent
    }

    /// Takes new indexes after a reconfiguration; targets that are gone are forgotten.
    pub fn reindex(&mut self, new: impl Fn(usize) -> Option<usize>) {
        self.queue.retain_mut(|queued| {
            new(queued.planned.target).is_some_and(|target| {
                queued.planned.target = target;
                true
            })
        });
        for targets in [&mut self.spent, &mut self.repeated] {
            *targets = targets.iter().filter_map(|&target| new(target)).collect();
        }
        self.at = self.at.and_then(new);
    }

    /// Takes a plan: targets in the order they should be tried, and when the first of those that were skipped comes
    /// back. A target that is to be asked again later keeps its time.
    pub fn planned(
        &mut self,
        picks: impl IntoIterator<Item = Planned>,
        last_resort: bool,
        back: Option<Instant>,
        now: Instant,
    ) {
        self.stale = false;
        self.plans += 1;
        self.last_resort = last_resort;
        self.back = back;
        let waiting = std::mem::take(&mut self.queue);
        self.queue = picks
            .into_iter()
            .filter(|planned| !self.spent.contains(&planned.target))
            .map(|planned| {
                let waiting = waiting.iter().find(|queued| queued.planned.target == planned.target);
                match waiting {
                    Some(queued) if queued.again != Again::No => *queued,
                    _ => Queued { planned, from: now, again: Again::No },
                }
            })
            .collect();
    }

    /// Reports that the target of the last [`Step::Try`] admitted the attempt and that it runs.
    pub fn admitted(&mut self) {
        let Some(open) = self.asking.take() else { return };
        let target = open.queued.planned.target;
        self.moved |= self.at.is_some_and(|at| at != target);
        self.at = Some(target);
        self.attempts = open.number;
        self.stale = true;
        self.plans = 0;
        self.patience = None;
        self.open.push(open);
    }

    /// Reports that the target of the last [`Step::Try`] refused, and what it took goes back to the budget.
    pub fn refused(&mut self, refusal: Refusal, budget: &Budget, now: Instant) {
        let Some(open) = self.asking.take() else { return };
        self.pay(&open.queued).give_back(budget);
        let until = refusal.until.unwrap_or(now + LOOK_AGAIN);
        self.back = Some(self.back.map_or(until, |back| back.min(until)));
        self.stale = true;
    }

    /// Reports an attempt's first content. The attempt wins, unless the whole answer is to be checked first.
    pub fn content(&mut self, number: u32) {
        if self.commit != CommitPolicy::Buffered && self.committed.is_none() {
            self.committed = Some(number);
            self.said.push_back(Step::Commit(number));
            self.cancel_all_but(number);
        }
    }

    /// Reports that an attempt ended with a whole, usable answer.
    pub fn succeeded(&mut self, number: u32, budget: &Budget) {
        if self.take_open(number).is_none() {
            return;
        }
        budget.succeeded();
        if self.committed != Some(number) {
            self.said.push_back(Step::Commit(number));
        }
        self.cancel_all_but(number);
        self.said.push_back(Step::Finish(number));
    }

    /// Reports that an attempt failed. `back` is when its target may be asked again, where it said so.
    pub fn failed(&mut self, number: u32, failure: &Failure, back: Option<Instant>, now: Instant, rng: &mut impl Rng) {
        let Some(open) = self.take_open(number) else { return };
        self.stale = true;
        if failure.class == FailureClass::Cancelled {
            return self.give_up(GiveUp::Interrupted(failure.clone()));
        }
        if self.committed == Some(number) {
            self.committed = None;
            self.verdict = Some(GiveUp::Interrupted(failure.clone()));
            if self.commit == CommitPolicy::Fail {
                return self.give_up(GiveUp::Interrupted(failure.clone()));
            }
            self.said.push_back(Step::Reset(failure.clone()));
        } else if is_own(failure.class) && self.verdict.is_none() {
            self.verdict = Some(GiveUp::Rejected(failure.clone()));
        }
        match self.consequence(&open, failure, back, now, rng) {
            Consequence::Return => self.give_up(GiveUp::Rejected(failure.clone())),
            Consequence::Next => self.spent.push(open.queued.planned.target),
            Consequence::First(again) => {
                self.unsent += u32::from(again == Again::Resend);
                self.queue.push_front(Queued { from: now, again, ..open.queued });
            }
            Consequence::Later(from) => self.queue.push_back(Queued { from, again: Again::Same, ..open.queued }),
        }
    }

    /// Returns the next step.
    pub fn next(&mut self, budget: &Budget, now: Instant) -> Step {
        loop {
            if let Some(step) = self.said.pop_front() {
                return step;
            }
            if now >= self.deadline {
                self.give_up(GiveUp::Deadline);
                continue;
            }
            if !self.open.is_empty() {
                return Step::Wait(self.deadline);
            }
            if self.attempts - self.unsent >= self.options.attempts_max {
                self.exhausted(now);
                continue;
            }
            if let Some(due) = self.queue.iter().position(|queued| queued.from <= now)
                && let Some(queued) = self.queue.remove(due)
            {
                match self.ask(queued, budget, now) {
                    Some(step) => return step,
                    None => continue,
                }
            }
            if self.stale && self.plans < PLANS_MAX {
                return Step::Plan;
            }
            match self.wait(now) {
                Some(step) => return step,
                None => self.exhausted(now),
            }
        }
    }

    /// Tries a target if time and budget allow.
    fn ask(&mut self, queued: Queued, budget: &Budget, now: Instant) -> Option<Step> {
        let left = self.deadline.saturating_duration_since(now);
        let left_min = LATER_ATTEMPT_MIN.min(queued.planned.first_token_max);
        if self.attempts > 0 && left < left_min {
            self.give_up(GiveUp::Deadline);
            return None;
        }
        if !self.pay(&queued).take(budget) {
            self.spent.push(queued.planned.target);
            return None;
        }
        let first_token_max = match self.tries_left(left, left_min) {
            1 => left,
            tries => queued.planned.first_token_max.min(left / tries),
        };
        let number = self.attempts + 1;
        self.asking = Some(Open { number, queued });
        Some(Step::Try(Try {
            number,
            target: queued.planned.target,
            last_resort: self.last_resort,
            resend: queued.again == Again::Resend,
            first_token_max,
        }))
    }

    /// Counts the attempts that are still possible, the one at hand included: so many share the time that is left. One
    /// that would find too little of it to start has no share.
    fn tries_left(&self, left: Duration, left_min: Duration) -> u32 {
        let targets = self.queue.len() + usize::from(self.back.is_some_and(|back| back < self.deadline));
        let attempts = self.options.attempts_max.saturating_sub(self.attempts - self.unsent);
        let room = left.as_nanos() / left_min.as_nanos().max(1);
        attempts.min(u32::try_from(room.min(targets as u128 + 1)).unwrap_or(u32::MAX)).max(1)
    }

    /// Waits for the first target that comes back, if that is near: then things may look different.
    fn wait(&mut self, now: Instant) -> Option<Step> {
        let left = self.deadline.saturating_duration_since(now);
        let patience = *self.patience.get_or_insert(now + self.options.wait_max.min(left / 10));
        let at = self.queue.iter().map(|queued| queued.from).chain(self.back).min()?;
        let at = at.max(now + Duration::from_millis(1));
        (at <= patience).then(|| {
            self.stale = true;
            self.plans = 0;
            Step::Wait(at)
        })
    }

    fn consequence(
        &mut self,
        open: &Open,
        failure: &Failure,
        back: Option<Instant>,
        now: Instant,
        rng: &mut impl Rng,
    ) -> Consequence {
        use FailureClass as C;
        let target = open.queued.planned.target;
        match failure.class {
            C::BadRequest => Consequence::Return,
            C::ContentPolicy if !self.options.content_policy_failover => Consequence::Return,
            C::Unsent if open.queued.again != Again::Resend => Consequence::First(Again::Resend),
            C::Unauthorised => Consequence::First(Again::OtherKey),
            C::Empty | C::Unusable if !self.repeated.contains(&target) => {
                self.repeated.push(target);
                Consequence::First(Again::Same)
            }
            C::Server => Consequence::Later(back.unwrap_or(now).max(now + self.backoff(rng))),
            C::RateLimited if back.is_some() => Consequence::Later(back.unwrap_or(now)),
            C::ContextTooLong => {
                self.need_larger_window(open);
                Consequence::Next
            }
            _ => Consequence::Next,
        }
    }

    fn backoff(&self, rng: &mut impl Rng) -> Duration {
        let ceiling = BACKOFF_MIN.saturating_mul(1 << self.attempts.saturating_sub(1).min(10)).min(BACKOFF_MAX);
        ceiling.mul_f64(rng.random_range(0.0..=1.0))
    }

    /// Drops the targets whose window is known not to be larger than the one that was too small.
    fn need_larger_window(&mut self, open: &Open) {
        let Some(too_small) = open.queued.planned.context_tokens_max else { return };
        let spent = &mut self.spent;
        self.queue.retain(|queued| {
            let larger = queued.planned.context_tokens_max.is_none_or(|window| window > too_small);
            if !larger {
                spent.push(queued.planned.target);
            }
            larger
        });
    }

    /// Says which part of the budget a try takes from. A call's first move to another target is free: when a provider
    /// dies, every call in flight must be able to go.
    fn pay(&self, queued: &Queued) -> Price {
        let moves = self.at.is_some_and(|at| at != queued.planned.target);
        match queued.again {
            Again::Same => Price::SameTarget,
            Again::Resend => Price::Free,
            Again::OtherKey => Price::Failover,
            Again::No if moves && self.moved => Price::Failover,
            Again::No => Price::Free,
        }
    }

    fn exhausted(&mut self, now: Instant) {
        let later = self.queue.iter().map(|queued| queued.from).filter(|&from| from > now);
        let back = later.chain(self.back).min();
        let last = self.verdict.take().unwrap_or(GiveUp::Exhausted(back));
        self.give_up(last);
    }

    fn give_up(&mut self, why: GiveUp) {
        self.cancel_all_but(0);
        self.said.push_back(Step::GiveUp(why));
    }

    fn take_open(&mut self, number: u32) -> Option<Open> {
        let at = self.open.iter().position(|open| open.number == number)?;
        Some(self.open.swap_remove(at))
    }

    fn cancel_all_but(&mut self, number: u32) {
        let said = &mut self.said;
        self.open.retain(|open| {
            let keep = open.number == number;
            if !keep {
                said.push_back(Step::Cancel(open.number));
            }
            keep
        });
    }
}

/// Tells whether a failure is about this request rather than about the target: what a call ends with when nobody
/// else could take it.
fn is_own(class: FailureClass) -> bool {
    use FailureClass as C;
    matches!(class, C::Unsupported | C::ContextTooLong | C::ContentPolicy | C::RequestExceedsLimit)
}

/// What a try takes from the budget.
#[derive(Clone, Copy)]
enum Price {
    Free,
    Failover,
    SameTarget,
}

impl Price {
    fn take(self, budget: &Budget) -> bool {
        match self {
            Self::Free => true,
            Self::Failover => budget.take_failover(),
            Self::SameTarget => budget.take_same_target(),
        }
    }

    fn give_back(self, budget: &Budget) {
        match self {
            Self::Free => {}
            Self::Failover => budget.give_back_failover(),
            Self::SameTarget => budget.give_back_same_target(),
        }
    }
}

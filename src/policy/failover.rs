//! One call's way over its targets: what to try next, when to wait, when to give up.
//!
//! ```text
//!  a target:
//!             Plan             Try               admitted               won
//!   (unknown) ----> waits ------------> asked ------------> runs ------------> Commit, Finish
//!                    ^ ^ refused, later   | refused          | failed, lost
//!                    | +------------------+-----> spent <----+
//!                    +------------ again, for a reason ------+
//!
//!  the call:  a target waits and is due: Try.  None does: Plan.  A plan does not help: Wait.
//!             Nothing to wait for: GiveUp.
//! ```
//!
//! Input: plans, refusals, contents and ends of attempts, and the time. Output: [`Step`]s. The caller asks
//! [`Failover::next`] until it says [`Step::Wait`] or [`Step::Queue`], then waits for an event or the time. Several
//! attempts at once are no special case. It never sends, sleeps or picks by itself: targets are picked by `routing`.
//!
//! Silence is no failure, and takes no time from other targets: an attempt that is silent for longer than its call can
//! bear is late. It may go on, and may still win, but it does not count when others are chosen: the next target is
//! asked beside it. How long that is follows from how long the target usually takes, and from what those that were not
//! asked need of the time that is left. Where no other target is left, a hang may be one connection's: the same target
//! is asked again beside its silent attempts, at the pace of the target. So is one that has failed: a call that waits
//! anyway looks whether it is well again. Where that helps nothing either, a call that may take less does so.
//!
//! The whole state of a call is one list of the targets it has met, each in one standing; only one that is asked again
//! beside its own attempt stands there twice, until one of the two has ended. A failure only decides for what reason
//! its target is asked again, and from when on; or that the target is spent. Reasons are ordered: another key or a
//! broken connection goes before other targets, a shorter conversation or a pause at the same target after them. A
//! failure of the key costs nothing: no attempt, no budget, because the provider rests that key alone.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand::Rng;

use super::health::CancelReason;
use super::hedge::{Cost, Join};
use super::retry_budget::{RetryBudget, RetryKind};
use super::snapshot::Refusal;
use super::time_left::{CallerPatience, TimeLeft};
use crate::words::{CommitPolicy, Failure, OnExhausted, Scope};

mod step;
mod options;
mod target_state;
mod shares;
mod after;
mod again;
mod waits;
mod beside;

use after::{Consequence, first_look, is_own, refusal_rank};
#[cfg(feature = "internals")]
pub use options::usual_attempts;
pub use options::{FailoverOptions, RouteFailover};
pub use step::{GiveUp, Planned, Step, Try};
use target_state::{Access, CallTarget, Reason, TargetState, UntimedWait};

/// The shortest wait, for a target that says it is back already: tokio's timers have no shorter one.
const WAIT_MIN: Duration = Duration::from_millis(1);
/// With less time left than this no later attempt starts: no answer comes that quickly.
const TRY_MIN: Duration = Duration::from_millis(25);
/// No pause within an answer is late before this.
const PAUSE_LATE_MIN: Duration = Duration::from_millis(300);
/// After this time at the earliest a target is asked again beside a silent attempt that it refused.
const AGAIN_REFUSED: Duration = Duration::from_secs(1);
/// Callers watch a silence for about this long: a call that may take less does not do so before, if it has the time.
const SILENCE_MIN: Duration = Duration::from_secs(10);
/// The part of its time that a call leaves at least to targets that it takes rather than nothing; half of it to a text.
const LESS_SHARE: u32 = 4;
/// Plans without an attempt or a wait between them: one, one more after its targets refused, one as a last resort.
const PLANS_MAX: u32 = 3;
/// The name of a target that a reconfiguration removed while an attempt ran there.
const GONE: usize = usize::MAX;

/// One call's failover machine.
#[derive(Debug)]
pub struct Failover {
    options: FailoverOptions,
    commit: CommitPolicy,
    deadline: Instant,
    caller: CallerPatience,
    targets: Vec<CallTarget>,
    /// Steps that an event caused and that `next` has not returned yet.
    said: VecDeque<Step>,
    /// When the first attempt was started, how many were, and those among them that count.
    begun: Option<Instant>,
    attempts: u32,
    counted: u32,
    /// Whether the call's one free move to another target is taken.
    moved: bool,
    /// The largest context window that was too small.
    too_small: u32,
    last_resort: bool,
    committed: Option<u32>,
    /// The failure that broke off the content which the caller still has.
    broken: Option<Failure>,
    /// The most informative of the refusals that are about the request itself.
    own: Option<Failure>,
    /// Whether a target was left out because time was too short.
    hurried: bool,
    /// When the first target comes back that does not admit the call now.
    back: Option<Instant>,
    /// What the call may wait for without a known time.
    uncertain: Option<UntimedWait>,
    /// Whether no place comes in time, as was said since it had a turn.
    is_late_for_places: bool,
    /// The target at which a queue has given it its turn, where it waited for a place at one that is well.
    turn: Option<usize>,
    /// What the budget refuses for a target that is due, while the call waits anyway.
    unpaid: Option<RetryKind>,
    /// Whether something changed since the last plan, and how many plans led to nothing.
    stale: bool,
    plans: u32,
    /// Until when this call waits for targets that do not admit it, once it has begun to, and since when it does.
    patience: Option<Instant>,
    waits_since: Option<Instant>,
    /// How long it has waited before, of the time that all its waits may take together.
    waited: Duration,
    /// When the last plan was made.
    planned_at: Option<Instant>,
    /// The attempt that a second one is to join for speed, as long as a target for it may exist.
    hedging: Option<u32>,
    /// Whether an attempt was joined for speed: once a call.
    hedged: bool,
    /// Whether its target was given up while it waited, together with those of other calls.
    scattered: bool,
    /// Whether the targets of its plan that were not asked were dropped for that: the next plan has them again.
    dropped: bool,
    /// Whether it was said that all are silent.
    told_silent: bool,
    /// Whether targets are kept for this call should it take less.
    steps_down: bool,
    /// Whether it ends once nothing is left to try, whatever its route says.
    ends: bool,
}

impl Failover {
    /// Returns the machine of a call that starts now. Its first step is [`Step::Plan`].
    pub fn new(options: FailoverOptions, commit: CommitPolicy, deadline: Instant) -> Self {
        Self {
            options,
            commit,
            deadline,
            caller: CallerPatience::Deadline,
            targets: Vec::new(),
            said: VecDeque::new(),
            begun: None,
            attempts: 0,
            counted: 0,
            moved: false,
            too_small: 0,
            last_resort: false,
            committed: None,
            broken: None,
            own: None,
            hurried: false,
            back: None,
            uncertain: None,
            is_late_for_places: false,
            turn: None,
            unpaid: None,
            stale: true,
            plans: 0,
            patience: None,
            waits_since: None,
            waited: Duration::ZERO,
            planned_at: None,
            hedging: None,
            hedged: false,
            scattered: false,
            dropped: false,
            told_silent: false,
            steps_down: false,
            ends: false,
        }
    }

    /// Returns it for a caller of which this is known.
    #[must_use]
    pub fn with_caller(self, caller: CallerPatience) -> Self {
        Self { caller, ..self }
    }

    /// Returns how many attempts were started.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Returns when the call's time is up.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Sets the time at which the call's time is up.
    pub fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// Takes the options that count from now on.
    pub fn retune(&mut self, options: FailoverOptions) {
        self.options = options;
    }

    /// Begins again after [`Step::Exhausted`] or [`Step::Silent`]: targets may have come back, or others are asked.
    /// What the request itself was refused for stays refused, and what runs goes on; attempts are counted from 0 again,
    /// and the first of them is free.
    pub fn anew(&mut self) {
        self.targets.retain(|met| met.runs() || met.refuses());
        (0..self.targets.len()).for_each(|at| self.uncount(at));
        (self.counted, self.moved) = (0, false);
        (self.hurried, self.back, self.uncertain, self.patience, self.waits_since) = (false, None, None, None, None);
        (self.stale, self.plans) = (true, 0);
        (self.hedging, self.scattered, self.told_silent, self.steps_down) = (None, false, false, false);
    }

    /// Ends a call that does not go on: its end takes the place of [`Step::Exhausted`].
    pub fn end_exhausted(&mut self) {
        self.ends = true;
    }

    /// Says whether targets are kept for a call that takes less: they need a part of its time.
    pub fn set_steps_down(&mut self, kept: bool) {
        self.steps_down = kept;
    }

    /// Tells whether targets are left that are asked only once all others say nothing.
    fn steps_down(&self) -> bool {
        self.steps_down && self.goes_on() && self.options.on_exhausted == OnExhausted::Degrade
    }

    /// Tells whether the call may go on in another way once nothing is left to try.
    fn goes_on(&self) -> bool {
        !self.ends && self.options.on_exhausted != OnExhausted::Fail
    }

    /// Returns the targets that refused the request itself, or answered it twice in a way that is of no use.
    pub fn refusing(&self) -> Vec<usize> {
        self.targets.iter().filter(|met| met.refuses()).map(|met| met.planned.target).collect()
    }

    /// Returns the targets that must not be planned: those that are done with, and those at work.
    pub fn spent(&self) -> Vec<usize> {
        let out = |met: &&CallTarget| met.runs() || matches!(met.state, TargetState::Spent { .. });
        self.targets.iter().filter(out).map(|met| met.planned.target).collect()
    }

    /// Returns the targets for which the call does not wait in a queue: those that are done with or at work, and those
    /// that admit it and are to be asked again at a time of their own.
    pub fn occupied(&self) -> Vec<usize> {
        let waits = |it: &CallTarget| {
            let has_own_time = it.access != Access::Out;
            has_own_time && matches!(it.state, TargetState::Waits { reason, .. } if reason != Reason::Full)
        };
        let out = |met: &&CallTarget| met.runs() || waits(met) || matches!(met.state, TargetState::Spent { .. });
        self.targets.iter().filter(out).map(|met| met.planned.target).collect()
    }

    /// Takes new indexes after a reconfiguration. Targets that are gone are forgotten; an attempt that runs goes on.
    pub fn reindex(&mut self, new: impl Fn(usize) -> Option<usize>) {
        self.targets.retain_mut(|met| {
            let index = new(met.planned.target);
            met.planned.target = index.unwrap_or(GONE);
            index.is_some() || met.runs()
        });
        self.turn = self.turn.and_then(new);
    }

    /// Takes a plan: targets in the order they should be tried, and when those come back that do not admit the call
    /// now. A target that is to be asked again keeps its reason and its time.
    pub fn planned(
        &mut self,
        picks: impl IntoIterator<Item = Planned>,
        refusals: impl IntoIterator<Item = (usize, Refusal)>,
        last_resort: bool,
        now: Instant,
    ) {
        (self.stale, self.dropped, self.planned_at) = (false, false, Some(now));
        self.plans += 1;
        self.last_resort = last_resort;
        (self.back, self.uncertain) = (None, None);
        // Those that the call has met take their places in the new order, too; those that are not planned come last.
        let known = std::mem::take(&mut self.targets).into_iter().filter(|met| !met.is_new());
        let (runs, mut known): (Vec<_>, Vec<_>) = known.partition(CallTarget::runs);
        self.targets = runs;
        for met in &mut known {
            met.access = Access::Out;
        }
        for (target, refusal) in refusals {
            self.note_refusal(refusal, now);
            if let Some(met) = known.iter_mut().find(|met| met.planned.target == target && refusal.is_full()) {
                met.access = Access::Full;
            }
        }
        for planned in picks {
            let met = known.iter().position(|met| met.planned.target == planned.target);
            let mut met = met.map_or_else(|| CallTarget::new(planned, now), |at| known.remove(at));
            met.access = if last_resort { Access::Out } else { Access::Open };
            met.place(now);
            self.targets.push(met);
        }
        self.targets.append(&mut known);
        self.leave_small_windows();
    }

    /// Reports that the target of the last [`Step::Try`] admitted the attempt and that it runs.
    pub fn admitted(&mut self, now: Instant) {
        let Some((at, reason, paid, hedge)) = self.asked() else { return };
        let is_twin = reason == Reason::Beside;
        let is_look = reason.is_look();
        let is_other_key = self.is_other_key(at, reason);
        if is_other_key {
            self.give_up_keys(at, 1);
        }
        // One that is beside others is no attempt of its own, nor is a second answer of the same target. What is asked
        // again while another target only lacks a place takes nothing from that.
        let is_full = reason == Reason::Full || self.targets[at].access == Access::Full;
        let is_extra = reason == Reason::AskAgain || (self.queues() && reason.is_second_try() && !is_full);
        let is_free = hedge.is_some() || is_other_key || is_extra || (is_look && self.runs());
        let counts = !is_free;
        let planned = self.targets[at].planned;
        let patience = match planned.overdue {
            // Others that come back are asked as if it were not there.
            _ if is_twin => Duration::ZERO,
            // Without a limit of its own nothing else ends its silence.
            Some(overdue) if is_look || self.first_token_max(&planned, now).is_none() => planned.patience.min(overdue),
            _ => planned.patience,
        };
        let patience = self.tolerated(at, patience, now);
        let joined = is_twin.then_some(Join::Overdue);
        let again_after = self.again_after(at, now);
        self.note_hedge(hedge);
        self.moved |= self.is_move(reason);
        self.begun.get_or_insert(now);
        self.attempts += 1;
        self.counted += u32::from(counts);
        self.end_wait(now);
        self.turn = None;
        self.targets[at].sent = Some(now);
        let number = self.attempts;
        let hedge_after = self.targets[at]
            .planned
            .hedge_after
            .filter(|_| !is_twin && !is_other_key && !self.hedged && !self.last_resort);
        self.targets[at].state =
            TargetState::Runs { reason, number, since: now, patience, hedge_after, again_after, joined, counts, paid };
        if let (true, Some(every)) = (is_look, again_after) {
            self.again_from(planned.target, now + every);
            self.give_way(planned.target);
        }
    }

    /// Reports when an attempt was last heard of. It has had content, so that from now on its silence is a pause.
    pub fn heard(&mut self, number: u32, at: Instant) {
        let Some(index) = self.running(number) else { return };
        let left = TimeLeft::until(self.deadline, at);
        let pause_max = self.patience_with(index, self.targets[index].planned.pause_max, left, at).max(PAUSE_LATE_MIN);
        if let TargetState::Runs { since, patience, hedge_after, again_after, .. } = &mut self.targets[index].state
            && at > *since
        {
            (*since, *patience, *hedge_after, *again_after) = (at, pause_max, None, None);
        }
    }

    /// Reports that the target of the last [`Step::Try`] refused, and what it took goes back to the budget.
    pub fn refused(&mut self, refusal: Refusal, budget: &RetryBudget, now: Instant) {
        let Some((at, reason, paid, hedge)) = self.asked() else { return };
        if let Some(spend) = paid {
            budget.give_back(spend);
        }
        if let Some(cost) = hedge {
            budget.hedges.give_back(cost, now);
        }
        if self.is_other_key(at, reason) {
            self.give_up_keys(at, u32::MAX);
            self.targets.remove(at);
            return;
        }
        // With nothing in flight a target that was told to rest is no silent one any more.
        let rests = refusal.is_word() && !self.runs();
        if reason.is_look() && self.looks() && !rests {
            return self.look_later(at, reason, refusal, now);
        }
        self.stale = true;
        self.note_refusal(refusal, now);
        let back = comes_back(refusal, now);
        self.targets[at].state = match (reason, back) {
            (Reason::New | Reason::Beside, _) => {
                // The next plan has newer health.
                self.targets.remove(at);
                return;
            }
            (_, None) if UntimedWait::of(refusal).is_some() => {
                TargetState::Waits { reason: Reason::Full, from: self.deadline }
            }
            // No other key is free, or its pause is longer than it said.
            (
                Reason::OtherKey
                | Reason::Retry
                | Reason::Pause
                | Reason::Deferred
                | Reason::Full
                | Reason::Look
                | Reason::Silence,
                Some(from),
            ) => TargetState::Waits { reason: Reason::Deferred, from },
            _ => TargetState::Spent { own: false, back },
        };
    }

    /// Reports an attempt's first content. The attempt wins, unless the whole answer is to be checked first.
    pub fn content(&mut self, number: u32, now: Instant) {
        self.heard(number, now);
        let Some(at) = self.running(number) else { return };
        if self.committed.is_none() && !self.is_buffered(at) {
            self.win(number);
        }
        if let TargetState::Runs { hedge_after, again_after, .. } = &mut self.targets[at].state {
            (*hedge_after, *again_after) = (None, None);
        }
    }

    /// Reports that an attempt ended with a whole, usable answer.
    pub fn succeeded(&mut self, number: u32, budget: &RetryBudget) {
        let Some(at) = self.running(number) else { return };
        let TargetState::Runs { paid, .. } = self.targets[at].state else { return };
        budget.succeeded(paid);
        if self.committed != Some(number) {
            self.win(number);
        }
        self.targets[at].state = TargetState::Spent { own: false, back: None };
        self.said.push_back(Step::Finish(number));
    }

    /// Reports that an attempt failed. `back` is when its target may be asked again, where it said so.
    pub fn failed(&mut self, number: u32, failure: &Failure, back: Option<Instant>, now: Instant, rng: &mut impl Rng) {
        let Some(at) = self.running(number) else { return };
        (self.stale, self.plans) = (true, 0);
        if is_own(failure.class) && self.own.as_ref().is_none_or(|own| refusal_rank(own) < refusal_rank(failure)) {
            self.own = Some(failure.clone());
        }
        if self.committed == Some(number) {
            self.committed = None;
            self.broken = Some(failure.clone());
        }
        let told = back;
        let back = told.or_else(|| first_look(failure.class, now, rng));
        if back.is_some() || failure.scope != Scope::Key {
            self.targets[at].guessed = told.is_none() && back.is_some();
        }
        let consequence = match self.consequence(at, failure, (told, back), now, rng) {
            _ if self.broken.is_some() && self.commit == CommitPolicy::Fail => Consequence::End(None),
            Consequence::Again(..) if self.targets[at].planned.target == GONE => Consequence::Spent,
            consequence => consequence,
        };
        self.targets[at].state = match consequence {
            Consequence::Again(reason, from) => TargetState::Waits { reason, from },
            Consequence::Spent | Consequence::End(_) => TargetState::Spent { own: is_own(failure.class), back },
        };
        self.leave_time_for(at, now);
        self.forget_elder(at);
        if let Consequence::End(why) = consequence {
            let why = why.unwrap_or_else(|| self.exhausted(now));
            self.give_up(why);
        }
    }

    fn note_refusal(&mut self, refusal: Refusal, now: Instant) {
        self.back = self.back.into_iter().chain(comes_back(refusal, now)).min();
        self.uncertain = self.uncertain.max(UntimedWait::of(refusal));
    }

    /// Reports that at all healthy targets other calls wait for a place, and go before this one.
    pub fn queue_behind_others(&mut self) {
        (self.stale, self.uncertain) = (false, Some(UntimedWait::FreePlace));
    }

    /// Reports that a target may have a place now that had none: the one at which a queue has given the call its turn,
    /// or any. Where that had failed it is back. The turn of a call that waits for a place costs nothing; one that only
    /// waits a moment for a target that is down pays for its second try, or dead targets would be asked more often than
    /// there is a budget for.
    pub fn woken(&mut self, turn: Option<usize>, now: Instant) {
        (self.stale, self.plans, self.turn) = (true, 0, turn.filter(|_| self.queues()));
        self.is_late_for_places &= turn.is_none();
        for met in &mut self.targets {
            met.place(now);
            if turn == Some(met.planned.target) {
                met.is_back(now);
            }
        }
    }

    /// Reports that no place will come in time; one is expected then.
    pub fn unplaced(&mut self, back: Option<Instant>, now: Instant) {
        (self.stale, self.uncertain, self.patience) = (false, None, Some(now));
        self.is_late_for_places = true;
        self.back = self.back.into_iter().chain(back).min();
    }

    /// Returns what the budget must allow for the call to go on before the time of its last step. Until then it waits
    /// for that time or an event, and asks nothing.
    pub fn unpaid(&self) -> Option<RetryKind> {
        self.unpaid
    }

    /// Returns the next step.
    pub fn next(&mut self, budget: &RetryBudget, now: Instant) -> Step {
        self.unpaid = None;
        loop {
            if let Some(step) = self.said.pop_front() {
                return step;
            }
            if now >= self.deadline {
                self.give_up(GiveUp::Deadline);
                continue;
            }
            if self.committed.is_some() {
                return Step::Wait(self.deadline);
            }
            self.note_late(now);
            if let Some(step) = self.hedge(budget, now) {
                return step;
            }
            let works_until = self.targets.iter().filter_map(|met| met.works_until(now));
            let until = self.hedge_at().map_or(self.deadline, |at| at.min(self.deadline));
            let (working, mut until) = works_until.fold((0, until), |(n, until), next| (n + 1, until.min(next)));
            let more = working == 0 && self.counted < self.options.attempts();
            let mut step = if more { self.next_attempt(budget, now) } else { None };
            if working == 0 && step.is_none() {
                step = self.ask_again(now);
                until = self.again().map(|(at, _)| at).into_iter().fold(until, Instant::min);
            }
            let silent_at = if step.is_none() { self.silent_at() } else { None };
            if silent_at.is_some_and(|at| at <= now) {
                self.told_silent = true;
                return Step::Silent;
            }
            until = silent_at.into_iter().fold(until, Instant::min);
            match step.or_else(|| if more { self.wait(budget, now) } else { None }) {
                Some(Step::Wait(at)) => return Step::Wait(at.min(until)),
                Some(Step::Queue(at)) => return Step::Queue(at.min(until)),
                Some(step) => return step,
                None if self.runs() || self.again().is_some() => {
                    return Step::Wait(until);
                }
                None => match self.exhausted(now) {
                    GiveUp::Exhausted(back) if self.goes_on() => return Step::Exhausted(back),
                    end => self.give_up(end),
                },
            }
        }
    }

    /// Returns the step towards another attempt, if there may be one now. Beside one that is late, a target that was
    /// silent is asked when it is time to ask again beside a silence, and not before.
    fn next_attempt(&mut self, budget: &RetryBudget, now: Instant) -> Option<Step> {
        if let Some(at) = self.retry_at(now) {
            return Some(Step::Wait(at));
        }
        if self.dropped && self.plans < PLANS_MAX {
            return Some(Step::Plan);
        }
        let beside = self.runs();
        // Beside one that is silent, those that failed are asked at their own pace, too.
        let most = match (self.looks(), beside) {
            (true, true) => Reason::Shorter,
            (true, false) => Reason::Full,
            (false, _) => Reason::Silence,
        };
        // A call that waits anyway asks once the budget allows it.
        let waits_anyway = (beside || self.queues()) && !self.hurried;
        let is_paid = |price: Option<RetryKind>| !waits_anyway || price.is_none_or(|spend| budget.allows(spend));
        while let Some((at, reason)) = self.due(now, |at, reason| reason <= most && is_paid(self.price(at, reason))) {
            // Meanwhile others may be back, or better.
            if self.stale && reason.is_late_try() && self.plans < PLANS_MAX {
                return Some(Step::Plan);
            }
            if let Some(this) = self.ask(at, reason, budget, now) {
                return Some(Step::Try(this));
            }
            // Another call has just taken what there was.
            if waits_anyway && !self.hurried {
                break;
            }
            self.targets[at].state = TargetState::Spent { own: reason == Reason::Shorter, back: None };
        }
        let unpaid = self.due(now, |_, reason| waits_anyway && reason <= most);
        self.unpaid = unpaid.and_then(|(at, reason)| self.price(at, reason));
        (self.stale && self.plans < PLANS_MAX).then_some(Step::Plan)
    }

    /// Returns the target that is due, and for what reason, of some: of those with the best reason one that has failed
    /// least often, and of these the first as they are planned.
    fn due(&self, now: Instant, may: impl Fn(usize, Reason) -> bool) -> Option<(usize, Reason)> {
        let due = self.targets.iter().enumerate().filter_map(|(at, met)| match met.state {
            TargetState::Waits { reason, from } if from <= now && may(at, reason) => Some((at, reason)),
            _ => None,
        });
        due.min_by_key(|&(at, reason)| (reason.turn(), self.targets[at].failures()))
    }

    /// Asks a target, if time and budget allow.
    fn ask(&mut self, at: usize, reason: Reason, budget: &RetryBudget, now: Instant) -> Option<Try> {
        if self.attempts > 0 && !TimeLeft::until(self.deadline, now).is_enough_for(TRY_MIN) {
            self.hurried = true;
            return None;
        }
        let price = self.price(at, reason);
        if !price.is_none_or(|spend| budget.take(spend)) {
            return None;
        }
        if !self.hedged && self.targets[at].planned.hedge_after.is_some_and(|after| !after.is_zero()) {
            budget.hedges.begun();
        }
        Some(self.asking(at, reason, price, None, now))
    }

    /// Returns what a try takes from the budget. A call's first move is free: when a provider dies, every call in
    /// flight must be able to go. So is a first visit to a target that is not known to be ill: what bounds these are
    /// the breakers. Nor does a turn at a target that is back take anything: that follows its breaker's pace.
    fn price(&self, at: usize, reason: Reason) -> Option<RetryKind> {
        match reason {
            Reason::Resend | Reason::OtherKey => None,
            _ if reason != Reason::Full && self.turn == Some(self.targets[at].planned.target) => None,
            Reason::New => {
                let ill = !self.targets[at].planned.closed;
                (self.moved && self.is_move(reason) && ill).then_some(RetryKind::Failover)
            }
            _ => Some(RetryKind::SameTarget),
        }
    }

    fn is_move(&self, reason: Reason) -> bool {
        self.attempts > 0 && reason == Reason::New
    }

    /// Leaves out new targets whose window is known not to be larger than one that was too small.
    fn leave_small_windows(&mut self) {
        for met in self.targets.iter_mut().filter(|met| met.is_new()) {
            if met.planned.context_tokens_max.is_some_and(|window| window <= self.too_small) {
                met.state = TargetState::Spent { own: true, back: None };
            }
        }
    }

    /// Returns the end of a call that has nothing left to try.
    fn exhausted(&mut self, now: Instant) -> GiveUp {
        // The targets that are left then are not asked any more: what all others said counts.
        let tired = self.counted >= self.options.attempts();
        let is_own = |state| match state {
            TargetState::Spent { own, .. } => own,
            TargetState::Waits { reason, .. } => reason == Reason::Shorter || (tired && reason == Reason::New),
            _ => false,
        };
        let all_own = self.targets.iter().all(|met| is_own(met.state));
        let own = self.own.take().filter(|_| all_own && (tired || self.back.is_none()));
        let backs = self.targets.iter().filter_map(|met| match met.state {
            TargetState::Waits { reason: Reason::Deferred, from } => Some(from),
            TargetState::Spent { back, .. } => back,
            _ => None,
        });
        match own {
            Some(failure) => GiveUp::Rejected(failure),
            None if self.hurried => GiveUp::Deadline,
            None => GiveUp::Exhausted(backs.chain(self.back).filter(|&back| back > now).min()),
        }
    }

    /// Ends the call with an error. If the caller has half an answer, the error is that it broke off.
    fn give_up(&mut self, why: GiveUp) {
        self.cancel_all_but(0, CancelReason::Ended);
        let why = self.broken.take().map_or(why, GiveUp::Interrupted);
        self.said.push_back(Step::GiveUp(why));
    }

    /// Lets an attempt win: its content is the caller's from now on.
    fn win(&mut self, number: u32) {
        self.said.extend(self.broken.take().map(Step::Reset));
        self.committed = Some(number);
        self.said.push_back(Step::Commit(number));
        self.cancel_all_but(number, CancelReason::Lost);
    }

    fn cancel_all_but(&mut self, kept: u32, why: CancelReason) {
        for met in &mut self.targets {
            if let TargetState::Runs { number, joined, .. } = met.state
                && number != kept
            {
                let is_late = number < kept && matches!(joined, Some(Join::Overdue | Join::GivenUp));
                let why = if is_late { CancelReason::Overtaken } else { why };
                met.state = TargetState::Spent { own: false, back: None };
                self.said.push_back(Step::Cancel(number, why));
            }
        }
    }

    fn running(&self, this: u32) -> Option<usize> {
        self.targets.iter().position(|met| matches!(met.state, TargetState::Runs { number, .. } if number == this))
    }

    /// Tells whether an attempt is in flight.
    fn runs(&self) -> bool {
        self.targets.iter().any(CallTarget::runs)
    }

    /// Tells whether nothing of a target's answer may be handed on before it is whole.
    fn is_buffered(&self, at: usize) -> bool {
        self.commit == CommitPolicy::Buffered || self.targets[at].planned.shown_whole
    }

    fn asked(&self) -> Option<(usize, Reason, Option<RetryKind>, Option<Cost>)> {
        self.targets.iter().enumerate().find_map(|(at, met)| match met.state {
            TargetState::Asked { reason, paid, hedge } => Some((at, reason, paid, hedge)),
            _ => None,
        })
    }
}

/// Returns when a target that refused is expected back, where it could say so. At a full target the queue decides the
/// turns, or all waiting calls would ask at the same moment.
fn comes_back(refusal: Refusal, now: Instant) -> Option<Instant> {
    refusal.until.filter(|_| !refusal.is_full()).map(|until| until.max(now + WAIT_MIN))
}

#[cfg(test)]
mod tests;

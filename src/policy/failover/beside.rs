//! More than one attempt of a call at a time: which one is joined by another, when, and which budget pays for that.
//!
//! An attempt is joined for one of three reasons. It is late: silent for longer than its call can bear. Its target was
//! given up meanwhile, so that its silence is no longer tolerated. Both are moves like any other, and are paid in the
//! same way. Or it is merely slower than usual, or was to be raced from its start: that is for speed, once a call, at
//! the expense of a budget of its own, in another failure domain, and takes nothing from the call's other attempts.
//!
//! One that is late is joined by its own target where no other is left: another connection, or another of its server's
//! workers, may answer, or the target may be well again. That is a look. When a call looks next follows from how long
//! it has waited there; whether it may is decided by the target, which has one pace for all its calls. So a look takes
//! nothing from a budget, which only answers would fill. It keeps no other target from being asked.
//!
//! A key that the call has not used there is as good as another target: one of a provider's accounts may be silent
//! while the others answer. It has a part of the call's time, and is asked once the attempt before it is late, at no
//! pace and no cost.

use std::time::{Duration, Instant};

use super::waits::LOOK_BESIDE_MAX;
use super::{
    AGAIN_REFUSED, CallTarget, CancelReason, Failover, GONE, LESS_SHARE, PLANS_MAX, Planned, Reason, RetryKind,
    SILENCE_MIN, Step, TRY_MIN, TargetState, Try,
};
use crate::policy::hedge::{Cost, Join};
use crate::policy::look_pace::Look;
use crate::policy::retry_budget::RetryBudget;
use crate::policy::snapshot::Refusal;
use crate::policy::time_left::{CallerPatience, TimeLeft, look_every, reached};
use crate::words::OnExhausted;

/// With nothing in flight a call waits no longer than this until it may look at a silent target.
const SILENT_MAX: Duration = Duration::from_secs(60);

impl Failover {
    /// Reports that an attempt's target was given up: its breaker opened, or it was taken out. An attempt without
    /// content is joined at once by the target that a new plan names: the last plan knew nothing of this.
    pub fn given_up(&mut self, number: u32) {
        let Some(at) = self.running(number).filter(|_| self.committed.is_none()) else { return };
        let TargetState::Runs { patience, hedge_after, joined, .. } = &mut self.targets[at].state else { return };
        *patience = Duration::ZERO;
        *hedge_after = None;
        if matches!(joined.replace(Join::GivenUp), Some(Join::Overdue | Join::GivenUp)) {
            return;
        }
        self.release(at);
        (self.scattered, self.dropped) = (true, true);
        self.targets.retain(|met| !met.is_new());
    }

    /// Tells whether a plan is for a call whose target was given up while many others may have waited there, too.
    pub fn is_scattered(&self) -> bool {
        self.scattered
    }

    /// Tells whether the caller is given an attempt's content.
    pub fn is_committed(&self) -> bool {
        self.committed.is_some() || self.broken.is_some()
    }

    /// Reports the age at which an attempt without content may be joined for speed, as its target is now.
    pub fn slow_after(&mut self, number: u32, after: Option<Duration>) {
        let Some(at) = self.running(number) else { return };
        if let TargetState::Runs { hedge_after: hedge_after @ Some(_), .. } = &mut self.targets[at].state {
            *hedge_after = after;
        }
    }

    /// Notes the attempts that have become late.
    pub(super) fn note_late(&mut self, now: Instant) {
        for at in 0..self.targets.len() {
            let met = &mut self.targets[at];
            let is_late = met.works_until(now).is_none();
            if let TargetState::Runs { joined, hedge_after, .. } = &mut met.state
                && is_late
                && !matches!(joined, Some(Join::Overdue | Join::GivenUp))
            {
                (*joined, *hedge_after) = (Some(Join::Overdue), None);
                self.release(at);
            }
        }
    }

    /// Lets others be asked as if this attempt were not there. It no longer counts, and targets that had refused may be
    /// asked again.
    fn release(&mut self, at: usize) {
        (self.stale, self.plans) = (true, 0);
        // One that looked goes on counting: a call whose targets all say nothing ends some time.
        let looks = matches!(self.targets[at].state, TargetState::Runs { reason, .. } if reason.is_look());
        if self.options.attempts() > 1 && !looks {
            self.uncount(at);
        }
    }

    /// Takes a running attempt out of those that count.
    pub(super) fn uncount(&mut self, at: usize) {
        if let TargetState::Runs { counts, .. } = &mut self.targets[at].state {
            self.counted -= u32::from(std::mem::take(counts));
        }
    }

    /// Returns when the first attempt may be joined for speed.
    pub(super) fn hedge_at(&self) -> Option<Instant> {
        let at = self.targets.iter().filter_map(|met| match met.state {
            TargetState::Runs { since, hedge_after: Some(after), .. } => Some(since + after),
            _ => None,
        });
        at.min()
    }

    /// Returns the step towards an attempt beside one that is slower than usual, if there is to be one.
    pub(super) fn hedge(&mut self, budget: &RetryBudget, now: Instant) -> Option<Step> {
        self.note_slow(budget, now);
        let beside = self.hedging?;
        // An attempt that was late or has failed meanwhile is followed by others anyway.
        let slow = self.running(beside).map(|at| self.targets[at]);
        let slow = slow.filter(|met| met.works_until(now).is_some() && self.options.attempts() > 1);
        let elsewhere = slow.and_then(|slow| self.elsewhere(slow.planned.domain, now));
        if let Some((at, cost)) = elsewhere
            && let Some(this) = self.ask_beside(at, cost, budget, now)
        {
            return Some(Step::Try(this));
        }
        if slow.is_some() && elsewhere.is_none() && self.stale && self.plans < PLANS_MAX {
            return Some(Step::Plan);
        }
        self.hedging = None;
        None
    }

    /// Notes which attempt has become slow enough to be joined. Where many do, all are slow, and none is.
    fn note_slow(&mut self, budget: &RetryBudget, now: Instant) {
        for met in &mut self.targets {
            let TargetState::Runs { number, since, hedge_after: after @ Some(_), joined, .. } = &mut met.state else {
                continue;
            };
            let races = *after == Some(Duration::ZERO);
            if !reached(now.saturating_duration_since(*since), after.unwrap_or_default()) {
                continue;
            }
            *after = None;
            if !self.hedged && (races || budget.hedges.is_straggler()) {
                *joined = Some(if races { Join::Race } else { Join::Slow });
                self.hedging = Some(*number);
            }
        }
    }

    /// Returns the first that is there to be asked for speed and does not fail together with a domain.
    fn elsewhere(&self, domain: usize, now: Instant) -> Option<(usize, Cost)> {
        self.targets.iter().enumerate().find_map(|(at, met)| match met.state {
            TargetState::Waits { reason: Reason::New, from } if from <= now && met.planned.domain != domain => {
                Some((at, met.planned.hedge?))
            }
            _ => None,
        })
    }

    fn ask_beside(&mut self, at: usize, cost: Cost, budget: &RetryBudget, now: Instant) -> Option<Try> {
        if self.last_resort || !TimeLeft::until(self.deadline, now).is_enough_for(TRY_MIN) {
            return None;
        }
        if !budget.hedges.take(self.options.hedge_share_max, cost, now) {
            return None;
        }
        let price = self.price(at, Reason::New);
        if !price.is_none_or(|spend| budget.take(spend)) {
            budget.hedges.give_back(cost, now);
            return None;
        }
        Some(self.asking(at, Reason::New, price, Some(cost), now))
    }

    /// Notes that an attempt was admitted, for speed or not: no attempt is joined for speed twice.
    pub(super) fn note_hedge(&mut self, hedge: Option<Cost>) {
        if hedge.is_some() {
            (self.hedged, self.hedging) = (true, None);
        }
    }

    /// Asks a target for a permit.
    pub(super) fn asking(
        &mut self,
        at: usize,
        reason: Reason,
        paid: Option<RetryKind>,
        hedge: Option<Cost>,
        now: Instant,
    ) -> Try {
        let planned = self.targets[at].planned;
        let look = self.look(at, reason, now);
        self.targets[at].state = TargetState::Asked { reason, paid, hedge };
        Try {
            number: self.attempts + 1,
            target: planned.target,
            // Nobody is left that has not failed, whatever a plan says of those that have.
            last_resort: self.last_resort
                || (self.targets[at].guessed && (reason.is_second_try() || reason == Reason::Look)),
            resend: reason == Reason::Resend,
            other_key: self.is_other_key(at, reason),
            cuts: self.targets[at].cuts,
            // Another look ends a silent one.
            first_token_max: self.first_token_max(&planned, now).filter(|_| look.is_none()),
            look,
            beside: self.beside(),
            hedge,
            buffered: self.is_buffered(at),
        }
    }

    /// Returns the attempts in flight at a target of the list.
    fn running_at(&self, at: usize) -> impl Iterator<Item = &CallTarget> {
        let target = self.targets[at].planned.target;
        self.targets.iter().filter(move |met| met.runs() && met.planned.target == target)
    }

    /// Tells whether a try for this reason is one with another key, beside silent ones at the same target.
    pub(super) fn is_other_key(&self, at: usize, reason: Reason) -> bool {
        reason == Reason::OtherKey && self.running_at(at).next().is_some()
    }

    /// Counts keys of a target as silent: the call asks there with others, if there are any.
    pub(super) fn give_up_keys(&mut self, at: usize, more: u32) {
        let target = self.targets[at].planned.target;
        for met in self.targets.iter_mut().filter(|met| met.planned.target == target) {
            met.keys_failed = met.keys_failed.saturating_add(more).min(met.planned.keys);
        }
    }

    /// Returns with how many other keys a target of the list may be asked beside the attempts that it has.
    fn other_keys(&self, at: usize) -> u32 {
        let CallTarget { planned, keys_failed, .. } = self.targets[at];
        planned.keys.min(self.options.attempts()).saturating_sub(keys_failed.saturating_add(1))
    }

    /// Returns the time that the other keys of silent targets need.
    pub(super) fn keys_behind(&self) -> impl Iterator<Item = Duration> {
        let is_first = |at: usize| {
            let target = self.targets[at].planned.target;
            target != GONE && self.targets[..at].iter().all(|met| met.planned.target != target || !met.is_at_work())
        };
        let at_work = (0..self.targets.len()).filter(move |&at| self.targets[at].is_at_work() && is_first(at));
        at_work.filter(|&at| self.targets[at].planned.overdue.is_some()).flat_map(|at| {
            let planned = &self.targets[at].planned;
            std::iter::repeat_n(planned.needs.min(planned.patience), self.other_keys(at) as usize)
        })
    }

    /// Returns when a target is asked with another key: once its last attempt is late.
    fn other_key_at(&self, at: usize) -> Option<Instant> {
        let silent = self.running_at(at).filter(|met| met.again_at().is_some());
        silent.filter_map(CallTarget::late_at).max().filter(|_| self.other_keys(at) > 0)
    }

    /// Returns after which time a target is asked again beside an attempt that starts there now.
    pub(super) fn again_after(&self, at: usize, now: Instant) -> Option<Duration> {
        let Planned { overdue, measured, .. } = self.targets[at].planned;
        overdue.map(|overdue| look_every(overdue, self.silent_for(at, now), measured))
    }

    /// Returns for how long the first attempt in flight at a target of the list has waited.
    fn silent_for(&self, at: usize, now: Instant) -> Duration {
        let first = self.running_at(at).filter_map(CallTarget::since).min();
        first.map_or(Duration::ZERO, |first| now.saturating_duration_since(first))
    }

    /// Tells whether the call looks at targets that are silent: if it waits for an attempt anyway, and also where none
    /// is left in flight, as long as it may make attempts, unless it goes on in another way then.
    pub(super) fn looks(&self) -> bool {
        let most = self.options.attempts();
        most > 1 && (self.runs() || (self.counted < most && !self.goes_on()))
    }

    /// Returns when the first target may be asked again beside those that are silent: once the last attempt there is
    /// late, with another key, and once it is overdue, with any; or one that was silent or has failed and has none now,
    /// once it may.
    pub(super) fn again(&self) -> Option<(Instant, usize)> {
        if !self.looks() {
            return None;
        }
        let beside = self.runs();
        let due = |at: usize| {
            let last = self.running_at(at).filter_map(CallTarget::again_at).max();
            match self.targets[at].state {
                TargetState::Runs { .. } => self.other_key_at(at).into_iter().chain(last).min(),
                TargetState::Waits { reason, from }
                    if reason == Reason::Silence || (beside && reason.is_second_try()) =>
                {
                    last.max(Some(from))
                }
                _ => None,
            }
        };
        let all = (0..self.targets.len()).filter(|&at| self.targets[at].planned.target != GONE);
        let in_time = |due: &Instant| TimeLeft::until(self.deadline, *due).is_enough_for(TRY_MIN);
        let due = all.filter_map(|at| Some((due(at).filter(in_time)?, at)));
        // One that has none in flight goes first: what it is asked then is what the call waits for.
        due.min_by_key(|&(due, at)| (due, self.targets[at].runs(), at))
    }

    /// Returns the step towards asking a target again that is silent or has failed, if it is time: the target has its
    /// own pace, and may refuse. Whether one that failed is the last resort is planned first.
    pub(super) fn ask_again(&mut self, now: Instant) -> Option<Step> {
        let (due, at) = self.again().filter(|(due, _)| *due <= now)?;
        if let TargetState::Waits { reason, .. } = self.targets[at].state {
            let second = reason.is_second_try();
            if second && self.planned_at.is_none_or(|planned| planned < due) {
                return Some(Step::Plan);
            }
            let reason = if second { Reason::Look } else { reason };
            return Some(Step::Try(self.asking(at, reason, None, None, now)));
        }
        let other_key = self.other_key_at(at).is_some_and(|due| due <= now);
        let reason = if other_key { Reason::OtherKey } else { Reason::Beside };
        self.targets.push(self.targets[at]);
        Some(Step::Try(self.asking(self.targets.len() - 1, reason, None, None, now)))
    }

    /// Returns the look that a try at a silent target is.
    fn look(&self, at: usize, reason: Reason, now: Instant) -> Option<Look> {
        if !reason.is_look() {
            return None;
        }
        let since = self.running_at(at).filter_map(CallTarget::since).max().or(self.targets[at].sent);
        let beside = u32::try_from(self.running_at(at).count()).unwrap_or(u32::MAX);
        // One that fails says so at once.
        let every = if reason == Reason::Look { None } else { self.again_after(at, now) };
        Some(Look { since, beside, every: every.unwrap_or_default() })
    }

    /// Lets a target that refused a look be looked at later.
    pub(super) fn look_later(&mut self, at: usize, reason: Reason, refusal: Refusal, now: Instant) {
        let CallTarget { planned, failed, .. } = self.targets[at];
        let fails_for = failed.map_or(Duration::ZERO, |(_, since)| now.saturating_duration_since(since));
        // Where it could not say when, its calls are told when it is back.
        let unsaid = (self.silent_for(at, now).max(fails_for) / 8).max(AGAIN_REFUSED);
        let from = refusal.until.map_or(now + unsaid, |until| until.max(now + AGAIN_REFUSED));
        if reason == Reason::Beside {
            self.targets.remove(at);
            return self.again_from(planned.target, from);
        }
        // Another call may find out sooner that it is well, and nothing is in flight there that could tell.
        let from = if self.runs() && !refusal.is_word() { from.min(now + LOOK_BESIDE_MAX) } else { from };
        // With nothing in flight the call waits for one that failed no longer than for any other.
        let is_silent = reason == Reason::Silence && !refusal.is_word() && from <= now + SILENT_MAX;
        let reason = if is_silent { Reason::Silence } else { Reason::Deferred };
        self.targets[at].state = TargetState::Waits { reason, from };
        self.again_from(planned.target, from);
    }

    /// Takes the place of one that is presumed lost for the attempt that was started last, if a target has as many of a
    /// call as it may make: the oldest that is overdue, but never the first. If that is only slow it is the nearest to
    /// its answer.
    pub(super) fn give_way(&mut self, target: usize) {
        let silent = self.targets.iter().filter(|met| met.planned.target == target && met.again_at().is_some());
        let mut numbers: Vec<u32> = silent.filter_map(CallTarget::number).collect();
        numbers.sort_unstable();
        if numbers.len() > self.options.attempts() as usize {
            let lost = numbers[1];
            self.targets.retain(|met| met.number() != Some(lost));
            self.said.push_back(Step::Cancel(lost, CancelReason::Lost));
        }
    }

    /// Reports that an attempt's target answers again. What was sent there before and is overdue, or was given up, is
    /// lost, and the target is asked again now.
    pub fn came_back(&mut self, number: u32, now: Instant) {
        let Some(at) = self.running(number).filter(|_| self.committed.is_none()) else { return };
        let overdue = self.targets[at].planned.overdue.unwrap_or_default();
        if let TargetState::Runs { since, again_after: Some(after), joined, .. } = &mut self.targets[at].state {
            let least = if *joined == Some(Join::GivenUp) { Duration::ZERO } else { overdue };
            *after = (*after).min(now.saturating_duration_since(*since).max(least));
        }
    }

    /// Lets the attempts at a target be joined by it from then on.
    pub(super) fn again_from(&mut self, target: usize, from: Instant) {
        for met in self.targets.iter_mut().filter(|met| met.planned.target == target) {
            if let TargetState::Runs { since, again_after: Some(after), .. } = &mut met.state {
                *after = from.saturating_duration_since(*since);
            }
        }
    }

    /// Forgets what a target was asked again for before, now that its last attempt has ended.
    pub(super) fn forget_elder(&mut self, at: usize) {
        let target = self.targets[at].planned.target;
        let mut index = 0..;
        self.targets
            .retain(|met| index.next() == Some(at) || met.runs() || met.planned.target != target || target == GONE);
    }

    /// Ends a call that takes less rather than wait for targets that say nothing.
    pub fn end_silent(&mut self, now: Instant) {
        let why = self.exhausted(now);
        self.give_up(why);
    }

    /// Returns when a call that may take less no longer waits for what it has in flight: the first attempt is overdue
    /// by as much again and that at the last target is overdue, but callers watch a silence for a while; in any case
    /// while what it takes still reaches its caller.
    pub(super) fn silent_at(&self) -> Option<Instant> {
        let takes_less = self.goes_on() && self.options.on_exhausted == OnExhausted::Degrade;
        if !takes_less || self.told_silent || self.broken.is_some() {
            return None;
        }
        let running = self.targets.iter().filter_map(|met| match met.state {
            TargetState::Runs { reason, since, .. } if reason != Reason::Beside => Some((since, met.planned)),
            _ => None,
        });
        let (first, eldest) = running.clone().min_by_key(|(since, _)| *since)?;
        let overdue = |planned: Planned| planned.overdue.unwrap_or(planned.first_token_max);
        let tolerated = eldest.overdue.map_or(eldest.first_token_max, |overdue| overdue.saturating_mul(2));
        let last = running.map(|(since, planned)| since + overdue(planned)).max();
        last.max(Some(first + tolerated.max(SILENCE_MIN))).map(|at| at.min(self.latest_for_less(first, &eldest)))
    }

    /// Returns by when a call takes less whose first attempt in flight began then. Targets that are kept for this have
    /// half of its caller's time, or what the attempts before them leave; of a time that is assumed, what is left after
    /// callers have watched a silence. A text takes no time but its way.
    fn latest_for_less(&self, first: Instant, eldest: &Planned) -> Instant {
        let is_assumed = matches!(self.caller, CallerPatience::Unknown(_));
        let asked = self.targets.iter().filter_map(|met| match met.state {
            TargetState::Runs { reason, since, .. } if !reason.is_look() => Some((since, met.late_at()?)),
            _ => None,
        });
        let newest = asked.clone().map(|(since, _)| since).max();
        let leaves = self.caller.leaves((!eldest.measured).then_some(eldest.needs));
        // A caller that still waits after its time has more.
        let leaves = leaves.filter(|at| *at > newest.unwrap_or(first) && *at < self.deadline);
        let (begun, ends) = (self.begun.unwrap_or(first), leaves.unwrap_or(self.deadline));
        let left = |share: u32| ends.checked_sub(ends.saturating_duration_since(begun) / share).unwrap_or(begun);
        let latest = if self.steps_down() {
            let late = asked.map(|(_, late)| late).max();
            let watched = Some(begun + SILENCE_MIN).filter(|_| is_assumed);
            left(2).max(late.max(watched).map_or(begun, |at| at.min(left(LESS_SHARE))))
        } else {
            leaves.map_or(ends, |_| left(LESS_SHARE * 2))
        };
        // What was asked last has a part of its own, and an assumption about a caller takes nothing from a target
        // before it is later than almost all answers.
        let part = newest.map(|since| since + ends.saturating_duration_since(since) / LESS_SHARE);
        let known = Some(first + eldest.overdue.unwrap_or_default() / 2).filter(|_| is_assumed && eldest.measured);
        latest.max(part.max(known).unwrap_or(begun))
    }

    /// Returns which attempt the next one joins, and why: of several the last that was started.
    fn beside(&self) -> Option<(u32, Join)> {
        let running = self.targets.iter().filter_map(|met| match met.state {
            TargetState::Runs { number, joined, .. } => Some((number, joined.unwrap_or(Join::Overdue))),
            _ => None,
        });
        running.max_by_key(|(number, _)| *number)
    }
}

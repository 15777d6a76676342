//! The state of a call while it runs, and its planning: by the same rule as the router, on the published table.

use std::sync::Arc;
use std::time::Instant;

use rand::rngs::Xoshiro256PlusPlus as SeededRng;

use super::account::AttemptOutcome;
use super::call_journal::CallJournal;
use super::call_record::CallRecord;
use super::candidates::{Among, TargetView};
use super::clock::now;
use super::routed_request::RoutedRequest;
use super::running::RunningAttempt;
use super::shared::Shared;
use super::table::Provider;
use super::wait_state::WaitState;
use crate::policy::explain::CallStep;
use crate::policy::failover::{Failover, FailoverOptions, Planned};
use crate::policy::hedge::{self, Cost};
use crate::policy::latency::Latency;
use crate::policy::routing::{Needs, Pick, PickReason, Plan, RouteState, Sticky, Strategy};
use crate::policy::snapshot::{BreakerState, Gate, Refusal};
use crate::policy::suspension::Suspension;
use crate::policy::trim::{CUTS_MAX, OverWindow};
use crate::words::{
    AttemptEnd, AttemptRecord, Cause, Failure, FailureClass, Hedging, OnExhausted, OverBudget, Reported, Rule, Scope,
    UnavailableTarget,
};

/// One call that runs.
pub(super) struct Driver {
    pub(super) machine: Failover,
    /// The router's first choice, until it is used.
    pub(super) plan: Option<Plan>,
    pub(super) running: Vec<RunningAttempt>,
    /// Attempts that ended, in the order they were started.
    pub(super) ended: Vec<AttemptOutcome>,
    /// The target that the plan probes.
    pub(super) probe: Option<usize>,
    pub(super) call_record: CallRecord,
    pub(super) asked: RoutedRequest,
    pub(super) started: Instant,
    pub(super) state: RouteState,
    pub(super) sticky: Option<Sticky>,
    pub(super) rng: SeededRng,
    pub(super) shared: Arc<Shared>,
    pub(super) on_exhausted: OnExhausted,
    /// Whether its caller set its deadline: then nothing moves it.
    pub(super) is_due: bool,
    /// Whether it asks the targets that are marked as degraded.
    pub(super) is_degraded: bool,
    pub(super) waits: WaitState,
    /// The budget that had no room for the last try.
    pub(super) over: Option<Box<OverBudget>>,
    /// The store's part of a durable call, until it has noted that the call is sent.
    pub(super) journal: Option<CallJournal>,
}

impl Driver {
    /// Plans: with the router's choice at first, later by the same function from the table as it is then published.
    pub(super) fn choose(&mut self) {
        let now = now();
        self.follow_table();
        let plan = self.plan.take().unwrap_or_else(|| {
            let (without, gone, needs) = (self.machine.spent(), self.gone(), self.scattering());
            let among = Among { without: &without, gone: &gone, degraded: self.is_degraded };
            let pinned = self.shared.pinned(&self.asked.route.name);
            self.asked.plan(among, &needs, pinned, self.sticky, &mut self.state, &mut self.rng)
        });
        self.probe = plan.picks.first().filter(|pick| pick.why == PickReason::Probe).map(|pick| pick.target);
        let refusals = plan.skipped.iter().filter_map(|skip| Some((skip.target, skip.refusal()?)));
        let hedging = self.hedging();
        let picks = plan.picks.iter().filter_map(|pick| self.planned(pick, hedging));
        self.machine.planned(picks.collect::<Vec<_>>(), refusals, plan.last_resort, now);
        let planned = CallStep::planned(&plan, |target| self.asked.target(target).id().clone(), now);
        self.call_record.note(planned);
        if !std::mem::replace(&mut self.waits.hinted, true) {
            self.note_hints(&plan);
        }
    }

    /// Notes the hints about providers of a plan that are not well.
    fn note_hints(&mut self, plan: &Plan) {
        let targets = plan.picks.iter().map(|pick| pick.target).chain(plan.skipped.iter().map(|skip| skip.target));
        let mut known: Vec<&Arc<Provider>> = Vec::new();
        for target in targets {
            let provider = &self.asked.target(target).provider;
            if provider.spec.hints.is_none() || known.iter().any(|known| Arc::ptr_eq(known, provider)) {
                continue;
            }
            known.push(provider);
            for hint in provider.hints().into_iter().filter(|hint| hint.reported != Reported::Well) {
                self.call_record.note(CallStep::Hinted { provider: provider.spec.name.clone(), hint });
            }
        }
    }

    /// Returns the targets that this call was told are gone: what is published may be a moment old.
    pub(super) fn gone(&self) -> Vec<usize> {
        let gone = |record: &AttemptRecord| {
            let index = self.asked.table.index(&record.target)?;
            // A refusal of one key of several is published only once all keys are refused.
            let keys = self.asked.target(index).provider.spec.keys.len();
            let is_gone = |it: &Failure| it.class == FailureClass::ModelGone && (it.scope != Scope::Key || keys < 2);
            matches!(&record.end, AttemptEnd::Failed(failure) if is_gone(failure)).then_some(index)
        };
        self.ended.iter().filter_map(|ended| gone(&ended.record)).collect()
    }

    /// Moves to the table that is now published, if there is a new one that still has the route.
    pub(super) fn follow_table(&mut self) {
        let table = self.shared.table();
        if Arc::ptr_eq(&table, &self.asked.table) {
            return;
        }
        let Some(route) = table.layout.routes.get(&self.asked.route.name).cloned() else { return };
        let moved = self.asked.moved(table, route);
        let old = std::mem::replace(&mut self.asked, moved).table;
        // Windows may be others now: whether its length is all that is in the way is seen anew.
        let pinned = self.shared.pinned(&self.asked.route.name);
        self.asked.first_plan(pinned, None, &mut self.state.clone(), &mut self.rng.clone());
        self.plan = None;
        self.sticky = None;
        self.probe = None;
        let failover = &self.asked.route.failover;
        self.on_exhausted = self.asked.work.on_exhausted().unwrap_or(failover.on_exhausted);
        self.machine.retune(FailoverOptions { on_exhausted: self.on_exhausted, ..failover.clone() });
        self.machine.set_steps_down(self.asked.route.steps_down() && !self.is_degraded);
        self.machine.reindex(|target| self.asked.table.index(old.targets.get(target)?.id()));
    }

    /// Returns what the call needs. Calls that lose their target at the same moment, before any of them is admitted
    /// elsewhere, would all go to one target under a rule without a draw: those plans are drawn.
    fn scattering(&self) -> Needs {
        let draws = self.asked.needs.rule.map_or(self.asked.route.options.strategy, Strategy::from).draws();
        let rule = if self.machine.is_scattered() && !draws { Some(Rule::Weighted) } else { self.asked.needs.rule };
        Needs { rule, ..self.asked.needs }
    }

    /// Returns when the call asks a second target, as busy as the runtime is now.
    pub(super) fn hedging(&self) -> Hedging {
        let hedging =
            hedge::chosen(self.asked.work.hedging(), self.asked.route.failover.hedging, self.asked.needs.priority);
        let calls = (self.shared.budget.calls() as u64, self.shared.limits.calls_max as u64);
        if hedge::is_busy(calls.0, calls.1) { hedge::under_load(hedging) } else { hedging }
    }

    /// Returns the expected cost of a hedge at a target; `None` where it is busy or not well.
    fn hedge_cost(&self, target: usize, view: &TargetView) -> Option<Cost> {
        let price = self.asked.target(target).price.as_ref();
        hedge::is_there(&view.health).then(|| Cost::expected(price, view.prompt_tokens, self.output_tokens()))
    }

    /// Returns how many tokens its answer is expected to have.
    pub(super) fn output_tokens(&self) -> u32 {
        self.state.output_tokens(self.asked.needs.output_tokens)
    }

    /// Returns a target's failure domain. If all targets of the route are in one domain, each counts as its own.
    fn domain(&self, target: usize) -> usize {
        let domain = |target: usize| self.asked.target(target).domain();
        let several = self.asked.route.members.iter().any(|member| domain(member.target) != domain(target));
        if several { domain(target) } else { target }
    }

    fn planned(&self, pick: &Pick, hedging: Hedging) -> Option<Planned> {
        let target = pick.target;
        let entry = self.asked.target(target);
        let (provider, spec) = (&entry.provider.spec, entry.spec());
        let view = self.asked.view(target)?;
        let TargetView { health, prompt_tokens, whole } = &view;
        let pace = health.pace(*prompt_tokens, *whole, self.asked.needs.output_tokens);
        let tolerated = pace.join_after(pick.why == PickReason::Probe);
        let overdue = Some(pace.again_after());
        let (first_token_max, patience, overdue) = match spec.timers.first_token {
            // A configured limit is better than a guess.
            Some(limit) if pace.measured => (limit, tolerated.min(limit), overdue.min(Some(limit))),
            // Its own limit ends it before another joins it.
            Some(limit) => (limit, limit.saturating_mul(2), Some(limit)),
            None => {
                let limit = if *whole { health.reply_max } else { health.first_token_max };
                (Latency::at(limit, *prompt_tokens), tolerated, overdue)
            }
        };
        let (domain, hedge_after, hedge) = match hedging {
            Hedging::Sequential => (0, None, None),
            _ => (self.domain(target), view.slow_after(hedging), self.hedge_cost(target, &view)),
        };
        Some(Planned {
            target,
            context_tokens_max: spec.capabilities.context_tokens_max,
            cuts_max: self.cuts_max(target, *prompt_tokens),
            keys: u32::try_from(provider.keys.len()).unwrap_or(u32::MAX),
            first_token_max,
            needs: pace.needs(),
            patience,
            pause_max: health.pause_max(),
            overdue,
            measured: pace.measured || spec.timers.first_token.is_some(),
            closed: health.breaker == BreakerState::Closed,
            domain,
            hedge_after,
            hedge,
            shown_whole: health.shows_whole(),
        })
    }

    /// Returns how often the conversation can be cut shorter than at the first attempt at a target.
    fn cuts_max(&self, target: usize, mut tokens: u32) -> u32 {
        if self.asked.route.over_window == OverWindow::Skip {
            return 0;
        }
        let shorter = |cuts: &u32| {
            let before = std::mem::replace(&mut tokens, self.asked.fit(target, *cuts).tokens);
            tokens < before
        };
        u32::try_from((1..=CUTS_MAX).take_while(shorter).count()).unwrap_or(CUTS_MAX)
    }

    /// Returns each target that does not admit a call now, as published or as this call has just heard.
    pub(super) fn barred(&self, now: Instant) -> Vec<UnavailableTarget> {
        let candidates = self.asked.candidates(Among::default());
        let barred = candidates.iter().filter_map(|candidate| {
            let target = self.asked.target(candidate.target).id().clone();
            let published = candidate.health.gates().expected(now);
            let heard = self.heard(candidate.target, now);
            // What was just heard may not be published yet.
            let is_known = |gate| matches!(gate, Gate::Disabled | Gate::RateLimited | Gate::Overloaded | Gate::Down);
            let is_news = heard.as_ref().is_some_and(|heard| heard.back_in.is_some());
            let Some(refusal) = published.filter(|refusal| is_known(refusal.gate) || !is_news) else { return heard };
            let Refusal { gate, until } = refusal;
            let until = self.waits.placed.filter(|_| refusal.is_full()).or(until);
            let back_in = until.map(|until| until.saturating_duration_since(now));
            let keys = self.asked.target(candidate.target).provider.spec.key_names();
            Some(UnavailableTarget { target, cause: candidate.health.cause(gate), back_in, keys })
        });
        barred.collect()
    }

    /// Returns what this call heard last from a target that did not answer it, and when the target is expected back: of
    /// several keys that were refused, with the first.
    fn heard(&self, target: usize, now: Instant) -> Option<UnavailableTarget> {
        let entry = self.asked.target(target);
        let other_keys = entry.provider.spec.keys.len().saturating_sub(1);
        let ended = self.ended.iter().rev().filter(|ended| ended.record.target == *entry.id());
        let failures = ended.filter_map(|ended| match &ended.record.end {
            AttemptEnd::Failed(failure) => Some((failure, ended.back)),
            AttemptEnd::Won => None,
        });
        let mut failures = failures.map(|(failure, back)| {
            let told = back.map(|back| back.saturating_duration_since(now));
            let rests = failure.class.consequences().hold.map(|rest| Suspension::first_back(rest, told)).or(told);
            (failure, rests)
        });
        let (last, mut back_in) = failures.next()?;
        if last.scope == Scope::Key {
            let others = failures.take_while(|(failure, _)| failure.scope == Scope::Key).take(other_keys);
            let ahead = others.filter_map(|(_, other)| other).filter(|other| !other.is_zero());
            back_in = ahead.chain(back_in).min();
        }
        let keys = entry.provider.spec.key_names();
        Some(UnavailableTarget { target: entry.id().clone(), cause: Cause::Failure(last.class), back_in, keys })
    }
}

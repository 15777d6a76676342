//! The attempts of a call: permitted, started, followed, stopped.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::account::{AttemptAccount, PlannedAttempt};
use super::attempt;
use super::budgets::BudgetReservation;
use super::caller_channel::CallerChannel;
use super::clock::now;
use super::driver::Driver;
use super::job::{AttemptJob, PIECES_MAX};
use super::parking::QueueGrant;
use super::permit::Permit;
use super::progress::TargetNews;
use super::prompt::FittedPrompt;
use super::recorder::CALLS;
use super::routed_request::RoutedRequest;
use super::running::{AttemptEvent, RunningAttempt};
use super::shared::CrashHook;
use super::to_provider::ProviderMessage;
use crate::policy::admission::AdmissionRequest;
use crate::policy::explain::CallStep;
use crate::policy::failover::Try;
use crate::policy::health::CancelReason;
use crate::policy::hedge::Join;
use crate::policy::snapshot::{Gate, Refusal};
use crate::wire::Verbatim;
use crate::words::{AttemptEnd, Error, Event, Failure, FailureClass, TargetId};

/// The longest a call waits for a provider's answer on a permit, or for a cancelled attempt's end. Both answer in
/// microseconds; only a bug takes longer, and then the call goes on without.
const ANSWER_MAX: Duration = Duration::from_secs(1);

impl Driver {
    /// Asks for a permit, and starts an attempt with it. Returns why the call ends before that; `None` where its caller
    /// has left.
    pub(super) async fn attempt(&mut self, this: Try, caller: &mut CallerChannel) -> Result<(), Option<Error>> {
        let fitted = self.asked.fit(this.target, this.cuts);
        let bought = self
            .check_price_cap(this.target, fitted.tokens)
            .and_then(|()| self.reserve_budget(this.target, fitted.tokens));
        let budget_reservation = match bought {
            Ok(budget_reservation) => budget_reservation,
            Err(refused) => {
                self.refuse_over_budget(this.target, refused);
                return Ok(());
            }
        };
        match self.admit(this, fitted.tokens).await {
            Err(refusal) => {
                let wait = refusal.until.map(|until| until.saturating_duration_since(now()));
                let target = self.asked.target(this.target).id().clone();
                // A call that waits may be refused many looks.
                if this.look.is_none() && !this.other_key {
                    self.call_record.note(CallStep::Refused { target, gate: refusal.gate, wait });
                }
                self.refused(refusal);
            }
            Ok(permit) => {
                if let Some(journal) = self.journal.take() {
                    let sent = tokio::select! {
                        biased;
                        () = caller.closed() => Err(None),
                        sent = journal.sent(self.machine.deadline()) => sent.map_err(Some),
                    };
                    if sent.is_err() {
                        // The call ends, and what it has paid goes back.
                        self.refused(Refusal { gate: Gate::Down, until: None });
                        return sent;
                    }
                }
                let target = self.asked.target(this.target).id().clone();
                self.waits.grant.take().into_iter().for_each(QueueGrant::arrived);
                if let Some((beside, why)) = this.beside {
                    self.joined(beside, &target, why);
                }
                self.call_record.note(CallStep::Tried { attempt: this.number, target });
                self.over = None;
                let running = self.spawn(this, fitted, permit, budget_reservation);
                self.running.push(running);
                self.machine.admitted(now());
                let crash = CrashHook::take(&self.shared.crash.calls);
                assert!(!crash, "panic in a call asked for by the crash hook");
            }
        }
        Ok(())
    }

    /// Goes on without a target that refuses: what was paid for it goes back to the retry budget.
    pub(super) fn refused(&mut self, refusal: Refusal) {
        self.machine.refused(refusal, &self.shared.budget, now());
        self.shared.parking.notifier.budget.refilled();
    }

    /// Records that an attempt is joined by another one.
    fn joined(&mut self, attempt: u32, by: &TargetId, why: Join) {
        self.call_record.note(CallStep::Joined { attempt, why });
        let target = self.running.iter().find(|running| running.number == attempt).map(|running| &running.target);
        if let Some(target) = target {
            let (call, target, by) = (self.call_record.about().id, target.clone(), by.clone());
            self.shared.tell(Event::Hedged { call, target, by, why: why.name() });
        }
    }

    async fn admit(&self, this: Try, prompt_tokens: u32) -> Result<Permit, Refusal> {
        let target = self.asked.target(this.target);
        let slot = &target.provider.slot;
        let (reply, permit) = oneshot::channel();
        let whole = self.asked.work.is_whole(&target.provider.spec, target.spec());
        let output_max = self.asked.needs.output_tokens;
        let output_expected = self.output_tokens();
        let here = self.running.iter().filter(|running| running.target == *target.id());
        let in_use = here.map(RunningAttempt::key).collect();
        let (target, Try { last_resort, look, other_key, .. }) = (target.index, this);
        let ask = AdmissionRequest {
            target,
            prompt_tokens,
            whole,
            output_max,
            output_expected,
            last_resort,
            look,
            in_use,
            other_key,
        };
        let asked = slot
            .provider
            .get()
            .is_some_and(|provider| provider.send_message(ProviderMessage::Admit(ask, reply)).is_ok());
        let left =
            self.asked.needs.deadline.map_or(ANSWER_MAX, |deadline| deadline.saturating_duration_since(now()) / 4);
        let answer = if asked { tokio::time::timeout(ANSWER_MAX.min(left), permit).await.ok() } else { None };
        answer.and_then(Result::ok).unwrap_or_else(|| {
            let until = slot.status().down().flatten();
            Err(Refusal { gate: Gate::Down, until })
        })
    }

    /// Starts an attempt under its provider's supervisor. If that fails, the account says so by being dropped.
    fn spawn(
        &self,
        this: Try,
        fitted: FittedPrompt,
        permit: Permit,
        budget_reservation: Option<BudgetReservation>,
    ) -> RunningAttempt {
        let target = self.asked.target(this.target).clone();
        let (pieces, receiver) = mpsc::channel(PIECES_MAX);
        let (unwanted, wanted) = oneshot::channel();
        let progress = permit.progress().clone();
        let span = tracing::info_span!(target: CALLS, "attempt", number = this.number, target = %target.id(),
            trimmed = tracing::field::Empty);
        let supervisor = target.provider.slot.supervisor();
        let (id, prompt_tokens) = (target.id().clone(), fitted.tokens);
        let runs_on =
            if self.asked.work.runs_on(&target.provider.spec, target.spec()) { self.output_tokens() } else { 0 };
        let planned = PlannedAttempt {
            target,
            about: self.call_record.about().clone(),
            page: self.call_record.page(),
            number: this.number,
            call_started: self.started,
            prompt: fitted,
            runs_on,
            hedge: this.beside.is_some(),
            hedge_cost: this.hedge,
            budget_reservation,
            degraded: self.is_degraded,
        };
        let (account, ended) = AttemptAccount::new(planned, permit, self.shared.clone());
        let RoutedRequest { work, table, route, key, .. } = &self.asked;
        let provider = &account.planned.target.provider.spec;
        let verbatim = work.verbatim(provider).map(|how| Verbatim {
            buffered: this.buffered,
            signed: table.has_several_issuers(route, provider.dialect),
            filtered: !route.failover.content_policy_failover,
            kept: key.is_some(),
            ..how
        });
        let job = Box::new(AttemptJob {
            work: work.clone(),
            resend: this.resend,
            first_token_max: this.first_token_max,
            buffered: this.buffered,
            meant: table.layout.is_only_model(route, this.target),
            verbatim,
            pieces,
            delivered_any: false,
            unseen: None,
            account,
            rest: None,
            unfence: None,
            span,
        });
        if let Some(supervisor) = supervisor {
            attempt::start(job, wanted, &supervisor.tasks);
        }
        RunningAttempt::new(this, id, receiver, ended, unwanted, progress, prompt_tokens)
    }

    pub(super) fn handle_event(&mut self, event: AttemptEvent) {
        match event {
            AttemptEvent::News(number, TargetNews::GivenUp) => self.machine.given_up(number),
            AttemptEvent::News(number, TargetNews::Back) => self.machine.came_back(number, now()),
            AttemptEvent::Content(number) => self.machine.content(number, now()),
            AttemptEvent::Ended(number, ended) => {
                self.running.iter_mut().filter(|running| running.number == number).for_each(RunningAttempt::close);
                match &ended.record.end {
                    AttemptEnd::Won => {
                        self.machine.succeeded(number, &self.shared.budget);
                        self.shared.parking.notifier.budget.refilled();
                    }
                    AttemptEnd::Failed(failure) => {
                        self.running.retain(|running| running.number != number);
                        self.machine.failed(number, failure, ended.back, now(), &mut self.rng);
                        self.call_record.note(CallStep::Failed { attempt: number, failure: failure.clone() });
                    }
                }
                self.ended.push(*ended);
            }
            // Its account reports even when it crashes, so this cannot happen; if it does, the call goes on.
            AttemptEvent::Lost(number) => {
                let failure = Failure::new(FailureClass::Crashed, "the attempt was lost");
                self.running.retain(|running| running.number != number);
                self.machine.failed(number, &failure, None, now(), &mut self.rng);
            }
        }
    }

    /// Stops an attempt, and waits for its end, which comes at once.
    pub(super) async fn cancel(&mut self, number: u32, why: CancelReason) {
        let Some(at) = self.running.iter().position(|running| running.number == number) else { return };
        let class = match why {
            CancelReason::Left => FailureClass::CallerLeft,
            CancelReason::Ended => FailureClass::CallEnded,
            CancelReason::Lost | CancelReason::Overtaken => FailureClass::HedgeLost,
        };
        if why == CancelReason::Overtaken {
            self.running[at].overtaken();
        }
        let ended = self.running.swap_remove(at).cancel(class);
        if let Ok(Ok(ended)) = tokio::time::timeout(ANSWER_MAX, ended).await {
            self.ended.push(ended);
        }
    }

    /// Stops all that are left, and waits for their ends.
    pub(super) async fn stop_all(&mut self) {
        while let Some(running) = self.running.first() {
            self.cancel(running.number, CancelReason::Ended).await;
        }
    }
}

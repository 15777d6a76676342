//! One call: drives its failover machine to its one end, and owns the caller's reply.
//!
//! A task of its own: one async function, then it stops. It decides nothing: it asks `policy::failover` what to do,
//! does it, and waits for its caller to leave, for one timer, or for its attempts.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use rand::rngs::Xoshiro256PlusPlus as SeededRng;
use tracing::Instrument;

use super::accepted::{Accepted, CallAdmission, InFlightGuard};
use super::call_record::CallRecord;
use super::caller_channel::{CallResult, CallerChannel, pieces_of};
use super::clock::now;
use super::driver::Driver;
use super::parked::WaitOutcome;
use super::parking::{QueueTicket, WakeReason};
use super::running::next_event;
use super::shared::Shared;
use super::stream::StreamMessage;
use super::task::{TaskKind, Tasks};
use super::to_router::RouterCommand;
use super::wait_state::WaitState;
use super::work::AttemptAnswer;
use crate::policy::explain::CallStep;
use crate::policy::failover::{Failover, FailoverOptions, GiveUp, Step};
use crate::policy::routing::{Plan, RouteState, Sticky};
use crate::wire::{Embedded, Ending};
use crate::words::consequence::Next;
use crate::words::{
    AttemptRecord, Degraded, Embeddings, Error, Failure, FailureClass, Finished, Hedging, Scope, UnavailableTarget,
};

/// A call with the router's first choice.
pub(super) struct CallJob {
    pub(super) accepted: Accepted,
    pub(super) call_record: CallRecord,
    pub(super) plan: Plan,
    pub(super) state: RouteState,
    pub(super) sticky: Option<Sticky>,
    pub(super) rng: SeededRng,
}

/// Starts a call under the supervisor of all calls. If that has ended the call is dropped.
pub(super) fn start(job: Box<CallJob>, shared: Arc<Shared>, calls: &Tasks) {
    let span = job.accepted.span.clone();
    calls.run(TaskKind::Call, Box::pin(run(job, shared).instrument(span)));
}

async fn run(job: Box<CallJob>, shared: Arc<Shared>) {
    let CallJob { accepted, mut call_record, plan, state, sticky, rng } = *job;
    let Accepted { asked, started, deadline, wanted, admission, identity, .. } = accepted;
    let (commit, mut caller) = CallerChannel::open(wanted, asked.work.commit(), &shared.draining);
    let (place, plan, slot) = match admission {
        CallAdmission::InFlight(place) => (place, Some(plan), None),
        // The plan is old by then.
        CallAdmission::Queued(queued) => {
            call_record.note(CallStep::Queued(queued.expected_wait()));
            let answer =
                asked.table.quickest(&asked.route, &asked.work, state.output_tokens(asked.needs.output_tokens));
            let (due, slot) = (asked.work.leaves(started, deadline), queued.rank());
            let latest = due.checked_sub(answer).unwrap_or(started);
            match wait_for_place(queued, &mut caller, &shared, latest).await {
                Ok(place) => (place, None, Some(slot)),
                Err(None) => {
                    call_record.left();
                    return;
                }
                Err(Some(error)) => {
                    call_record.end(CallStep::GaveUp(error.clone()));
                    return caller.fail(error);
                }
            }
        }
    };
    let on_exhausted = asked.work.on_exhausted().unwrap_or(asked.route.failover.on_exhausted);
    let is_due = asked.work.deadline().is_some();
    let mut machine = Failover::new(FailoverOptions { on_exhausted, ..asked.route.failover.clone() }, commit, deadline)
        .with_caller(asked.work.patience(started));
    machine.set_steps_down(asked.route.steps_down());
    let mut driver = Driver {
        call_record,
        machine,
        plan,
        running: Vec::new(),
        ended: Vec::new(),
        probe: None,
        asked,
        started,
        state,
        sticky,
        rng,
        shared,
        on_exhausted,
        is_due,
        is_degraded: false,
        waits: WaitState { slot, ..WaitState::default() },
        over: None,
        journal: identity.journal,
    };
    driver.drive(caller).await;
    drop(place);
}

/// Waits for a place among the calls in flight, as long as an answer could come in time; returns why there is none, if
/// it is not that the caller has left.
async fn wait_for_place(
    mut queued: QueueTicket,
    caller: &mut CallerChannel,
    shared: &Arc<Shared>,
    latest: Instant,
) -> Result<InFlightGuard, Option<Error>> {
    loop {
        let woken = tokio::select! {
            biased;
            () = caller.closed() => {
                queued.left();
                return Err(None);
            }
            woken = queued.woken() => woken,
            () = tokio::time::sleep_until(latest.into()) => WakeReason::Displaced,
        };
        let again = match woken {
            WakeReason::Granted(grant) => match shared.take_place() {
                Some(place) => {
                    grant.arrived();
                    return Ok(place);
                }
                // Another call took the place just then.
                None => queued.again(),
            },
            WakeReason::Recheck if shared.draining.load(Relaxed) => return Err(Some(Error::Draining)),
            WakeReason::Recheck => continue,
            WakeReason::Displaced => None,
        };
        queued = again.ok_or_else(|| Some(shared.overloaded(queued.expected_wait())))?;
    }
}

impl Driver {
    async fn drive(&mut self, mut caller: CallerChannel) {
        if self.is_behind_others() {
            self.machine.queue_behind_others();
        }
        let shared = self.shared.clone();
        let mut turn = None;
        loop {
            let step = self.machine.next(&self.shared.budget, now());
            // By now it has taken what was there for it. A plan waits for nothing.
            if !matches!(step, Step::Plan) {
                drop(turn.take());
            }
            match step {
                Step::Plan => self.choose(),
                Step::Try(this) => match self.attempt(this, &mut caller).await {
                    Ok(()) => {}
                    Err(None) => return self.left(None),
                    Err(Some(error)) => return self.fail(error, caller).await,
                },
                Step::Commit(number) => self.commit(number, &caller),
                Step::Reset(failure) => {
                    self.call_record.note(CallStep::Reset);
                    caller.say(StreamMessage::Reset(failure));
                }
                Step::Cancel(number, why) => self.cancel(number, why).await,
                Step::Wait(until) => {
                    // A turn that led to nothing goes to another call.
                    self.waits.grant = None;
                    if self.running.is_empty() {
                        let wait = until.saturating_duration_since(now());
                        self.call_record.note(CallStep::Waited(wait));
                    }
                    tokio::select! {
                        biased;
                        () = caller.closed() => return self.left(None),
                        event = next_event(&mut self.running) => self.handle_event(event),
                        mine = shared.parking.notifier.budget.turn(self.machine.unpaid(), &shared.budget) => {
                            self.listen();
                            turn = Some(mine);
                        }
                        () = tokio::time::sleep_until(until.into()) => self.listen(),
                    }
                }
                Step::Queue(until) => {
                    let Some((mut queued, latest)) = self.line_up() else { continue };
                    if self.running.is_empty() {
                        self.call_record.note(CallStep::Queued(self.waits.expected_wait(now())));
                    }
                    tokio::select! {
                        biased;
                        () = caller.closed() => return self.left(Some(queued)),
                        event = next_event(&mut self.running) => self.handle_event(event),
                        woken = queued.woken() => self.woken(woken),
                        mine = shared.parking.notifier.budget.turn(self.machine.unpaid(), &shared.budget) => {
                            self.listen();
                            turn = Some(mine);
                        }
                        () = tokio::time::sleep_until(until.min(latest).into()) => self.listen(),
                    }
                }
                Step::Exhausted(back) => match self.exhausted(back, &mut caller).await {
                    WaitOutcome::Restart | WaitOutcome::GiveUp | WaitOutcome::RouteChanged => {}
                    WaitOutcome::CallerLeft => return self.left(None),
                    WaitOutcome::Draining => return self.fail(Error::Draining, caller).await,
                },
                Step::Silent => self.silent(&caller),
                Step::Finish(number) => return self.finish(number, caller),
                Step::GiveUp(why) => return self.give_up(why, caller).await,
            }
        }
    }

    /// Tells the machine when each attempt in flight last had content, and when those without content become slow.
    fn listen(&mut self) {
        let hedging = self.hedging();
        for running in &self.running {
            match running.heard() {
                Some(at) => self.machine.heard(running.number, at),
                None if hedging == Hedging::Race => {}
                // What counts as slow follows from the present state.
                None => {
                    let target = self.asked.table.index(&running.target).filter(|_| hedging != Hedging::Sequential);
                    let after = target.and_then(|target| self.asked.view(target)?.slow_after(hedging));
                    self.machine.slow_after(running.number, after);
                }
            }
        }
    }

    /// Hands an attempt's content to the caller: what has come and the channel for the rest; or all of an answer that
    /// must be whole first.
    fn commit(&mut self, number: u32, caller: &CallerChannel) {
        let Some(running) = self.running.iter_mut().find(|it| it.number == number).filter(|_| caller.is_stream())
        else {
            return;
        };
        let (target, prompt_tokens) = (running.target.clone(), running.prompt_tokens.into());
        let (first, rest) = running.hand_over();
        let whole = self.ended.iter().find(|ended| ended.record.attempt == number);
        let whole = whole.and_then(|ended| ended.answer.as_ref());
        let first = whole.map_or_else(|| first.into_iter().collect(), pieces_of);
        caller.say(StreamMessage::Segment {
            call: self.call_record.about().id,
            target,
            attempt: number,
            prompt_tokens,
            first,
            rest,
        });
    }

    fn finish(&mut self, number: u32, caller: CallerChannel) {
        let Some(at) = self.ended.iter().position(|ended| ended.record.attempt == number) else { return };
        let Some(mut answer) = self.ended[at].answer.take() else { return };
        let winner = &self.ended[at].record;
        let (target, usage, cost_usd, won) = (winner.target.clone(), winner.usage, winner.cost_usd, winner.won());
        let is_less = winner.degraded;
        if let AttemptAnswer::Answer(ending) = &mut answer {
            if won && !is_less {
                self.keep(ending, &target);
            }
            ending.leave_to_verbatim();
        }
        // A session does not follow a probe, and does not leave its prompt's cache for a target that was quicker once.
        let probed = self.probe.is_some_and(|probe| *self.asked.target(probe).id() == target);
        let is_hedge = self.running.iter().any(|running| running.number == number && running.is_hedge);
        let astray = probed || (is_hedge && self.sticky.is_some());
        let session = self.asked.work.session().cloned().filter(|_| !astray);
        let route = self.asked.route.name.clone();
        let answered = RouterCommand::Answered { route, session, target: target.clone(), output: usage.output };
        self.shared.router.send(answered);
        let attempts = self.attempts();
        let others = attempts.iter().filter(|record| record.attempt != number && !record.won());
        let waste: f64 = others.filter_map(|record| record.cost_usd).sum();
        self.call_record.end(CallStep::Answered { attempt: number, target: target.clone() });
        let last_resort = self.running.iter().any(|running| running.number == number && running.last_resort);
        let degraded = is_less.then_some(Degraded::Target);
        let (call, cost_usd) = (self.call_record.about().id, cost_usd.map(|won| won + waste));
        let notes = std::mem::take(&mut self.ended[at].notes);
        caller.finish(match answer {
            AttemptAnswer::Answer(Ending { stop, refuses, parts, verbatim, model, stop_sequence, sources, .. }) => {
                CallResult::Answer(Finished {
                    call,
                    parts,
                    verbatim,
                    target,
                    model,
                    stop,
                    refuses,
                    stop_sequence,
                    sources,
                    usage,
                    cost_usd,
                    attempts,
                    last_resort,
                    degraded,
                    notes,
                })
            }
            AttemptAnswer::Vectors(Embedded { vectors, model, .. }) => CallResult::Vectors(Embeddings {
                call,
                vectors,
                target,
                model,
                usage,
                cost_usd,
                attempts,
                last_resort,
                degraded,
                notes,
            }),
        });
    }

    async fn give_up(&mut self, why: GiveUp, caller: CallerChannel) {
        // What the targets of a lower rung do not take, those may take that are out.
        let is_final = |it: &Failure| it.scope == Scope::Request && it.class.consequences().next == Next::Reject;
        let why = match why {
            GiveUp::Rejected(failure) if self.is_degraded && !is_final(&failure) => GiveUp::Exhausted(None),
            why => why,
        };
        let attempts = self.attempts();
        if matches!(why, GiveUp::Exhausted(_) | GiveUp::Deadline)
            && let Some(words) = self.own_answer(&caller, &attempts)
        {
            return caller.finish(words);
        }
        // The provider's own answer, failed as it is, is more useful than an error of ours.
        let says_more = match &why {
            GiveUp::Exhausted(_) | GiveUp::Deadline => true,
            GiveUp::Rejected(failure) => failure.class == FailureClass::ContentPolicy,
            GiveUp::Interrupted(_) => false,
        };
        let flawed = self.ended.iter().rfind(|ended| ended.answer.is_some()).filter(|_| says_more);
        if let Some(ended) = flawed {
            let (number, answer) = (ended.record.attempt, ended.answer.as_ref());
            let first = answer.map(pieces_of).unwrap_or_default();
            if !first.is_empty() {
                caller.say(StreamMessage::Segment {
                    call: self.call_record.about().id,
                    target: ended.record.target.clone(),
                    attempt: number,
                    prompt_tokens: ended.record.usage.input,
                    first,
                    rest: None,
                });
            }
            return self.finish(number, caller);
        }
        let error = match why {
            GiveUp::Exhausted(_) if self.over.is_some() => self.over_budget(attempts),
            GiveUp::Rejected(failure) => Error::Rejected { failure, attempts },
            GiveUp::Exhausted(back) => {
                let barred = self.barred(now());
                let retry_after =
                    UnavailableTarget::first_back(&barred).or_else(|| Some(back?.saturating_duration_since(now())));
                Error::Exhausted { attempts, retry_after, barred }
            }
            GiveUp::Deadline => Error::DeadlineExceeded { attempts },
            // Only its reader makes an attempt give up while its call still wants it.
            GiveUp::Interrupted(failure) if failure.class == FailureClass::CallerLeft => {
                Error::ConsumerStalled(self.shared.limits.consumer_stall_max)
            }
            GiveUp::Interrupted(failure) => Error::Interrupted { failure, attempts },
        };
        self.fail(error, caller).await;
    }

    async fn fail(&mut self, error: Error, caller: CallerChannel) {
        self.stop_all().await;
        self.call_record.end(CallStep::GaveUp(error.clone()));
        caller.fail(error);
    }

    fn attempts(&mut self) -> Vec<AttemptRecord> {
        self.ended.sort_by_key(|ended| ended.record.attempt);
        self.ended.iter().map(|ended| AttemptRecord::clone(&ended.record)).collect()
    }
}

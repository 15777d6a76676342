//! One call: drives its failover machine to its one end, and owns the caller's reply.
//!
//! An actor for isolation and lifetime only: it runs one async function and stops. It decides nothing: it asks
//! `policy::failover` what to do, does it, and waits for the caller's leaving, one timer, or its attempts.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use rand::rngs::Xoshiro256PlusPlus as SeededRng;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tracing::Instrument;

use super::attempt::{Account, Arguments as AttemptArguments, Attempt, Ended, Job as AttemptJob, Never, PIECES_MAX};
use super::prompt::{Asked, Fitted};
use super::router::{Flight, Happened, RouterCommand};
use super::running::{Happening, Pulse, Running, next_happening};
use super::shared::{CrashHook, Shared, now};
use super::slot::Permit;
use super::stream::{ReplyStream, Word};
use super::table::Table;
use super::work::Brought;
use crate::policy::admission::{Ask, RATE_LIMIT_DEFAULT};
use crate::policy::failover::{Failover, GiveUp, Planned, Step, Try};
use crate::policy::health::Unwanted;
use crate::policy::routing::{self, Needs, Plan, RouteState, Skip, Sticky, Why};
use crate::policy::snapshot::{Gate, Latency, Refusal};
use crate::policy::trim::{CUTS_MAX, OverWindow};
use crate::spec::RouteSpec;
use crate::wire::{Embedded, Ending};
use crate::words::{
    AssistantPart, AttemptEnd, AttemptRecord, Barred, CallId, Cause, CommitPolicy, Embeddings, Error, Failure,
    FailureClass, Finished, Piece, Reply, Scope,
};

/// How often a message's reply port is looked at, which cannot be awaited.
const PORT_LOOK: Duration = Duration::from_millis(250);
/// The longest a call waits for a provider's word on a permit, or a cancelled attempt's last word. Both answer in
/// microseconds; only a bug takes longer, and then the call goes on without.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// Where an answer goes. Dropped unanswered, it says why: nobody hangs.
pub(crate) struct Answer<T> {
    to: Option<To<T>>,
    begun: bool,
    draining: Arc<AtomicBool>,
}

enum To<T> {
    Method(oneshot::Sender<Result<T, Error>>),
    Port(RpcReplyPort<Result<T, Error>>),
}

impl<T> Answer<T> {
    pub(crate) fn method(sender: oneshot::Sender<Result<T, Error>>, shared: &Shared) -> Self {
        Self { to: Some(To::Method(sender)), begun: false, draining: shared.draining.clone() }
    }

    pub(crate) fn port(port: RpcReplyPort<Result<T, Error>>, shared: &Shared) -> Self {
        Self { to: Some(To::Port(port)), begun: false, draining: shared.draining.clone() }
    }

    pub(crate) fn send(&mut self, answer: Result<T, Error>) {
        match self.to.take() {
            Some(To::Method(sender)) => drop(sender.send(answer)),
            Some(To::Port(port)) => drop(port.send(answer)),
            None => {}
        }
    }

    /// Resolves when the caller has left.
    async fn closed(&mut self) {
        match &mut self.to {
            Some(To::Method(sender)) => sender.closed().await,
            Some(To::Port(port)) => {
                while !port.is_closed() {
                    tokio::time::sleep(PORT_LOOK).await;
                }
            }
            None => std::future::pending().await,
        }
    }
}

impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        let error = if self.begun { cut_off(&self.draining) } else { Error::Unavailable };
        self.send(Err(error));
    }
}

/// Returns why a call ends that did not end by itself: the runtime stops, or the call crashed.
pub(super) fn cut_off(draining: &AtomicBool) -> Error {
    if draining.load(Relaxed) { Error::Draining } else { Error::Crashed }
}

/// What a caller wants back.
pub(crate) enum Wanted {
    /// The whole answer.
    Whole(Answer<Reply>),
    /// A stream of it.
    Stream(Answer<ReplyStream>),
    /// Vectors.
    Vectors(Answer<Embeddings>),
}

impl Wanted {
    pub(crate) fn refuse(self, error: Error) {
        match self {
            Self::Whole(mut answer) => answer.send(Err(error)),
            Self::Stream(mut answer) => answer.send(Err(error)),
            Self::Vectors(mut answer) => answer.send(Err(error)),
        }
    }
}

/// A place among the calls in flight; gives it back, and says so to the budget, when dropped.
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
    shared: Arc<Shared>,
}

impl Place {
    /// Takes a place, if the runtime takes calls.
    pub(crate) fn take(shared: &Arc<Shared>) -> Result<Self, Error> {
        if shared.draining.load(Relaxed) {
            return Err(Error::Draining);
        }
        let permit = shared.places.clone().try_acquire_owned();
        let permit = permit.map_err(|_| Error::Overloaded { calls_max: shared.limits.calls_max })?;
        shared.budget.call_started();
        Ok(Self { _permit: permit, shared: shared.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.budget.call_ended();
    }
}

/// A call as it was accepted.
pub(crate) struct Accepted {
    pub(crate) id: CallId,
    pub(crate) asked: Asked,
    pub(crate) table: Arc<Table>,
    pub(crate) route: Arc<RouteSpec>,
    pub(crate) needs: Needs,
    pub(crate) started: Instant,
    pub(crate) deadline: Instant,
    pub(crate) wanted: Wanted,
    pub(crate) place: Place,
    pub(crate) span: tracing::Span,
}

/// A call with the router's first choice.
pub(crate) struct Job {
    pub(crate) accepted: Accepted,
    pub(crate) plan: Plan,
    pub(crate) state: RouteState,
    pub(crate) sticky: Option<Sticky>,
    pub(crate) rng: SeededRng,
}

pub(crate) struct Call;

pub(crate) struct Arguments {
    pub(crate) job: Box<Job>,
    pub(crate) shared: Arc<Shared>,
}

#[cfg_attr(feature = "async-trait", ractor::async_trait)]
impl Actor for Call {
    type Msg = Never;
    type State = Option<Arguments>;
    type Arguments = Arguments;

    async fn pre_start(&self, _: ActorRef<Never>, arguments: Arguments) -> Result<Self::State, ActorProcessingErr> {
        Ok(Some(arguments))
    }

    async fn post_start(&self, myself: ActorRef<Never>, state: &mut Self::State) -> Result<(), ActorProcessingErr> {
        if let Some(Arguments { job, shared }) = state.take() {
            let span = job.accepted.span.clone();
            run(*job, shared).instrument(span).await;
        }
        myself.stop(None);
        Ok(())
    }
}

async fn run(job: Job, shared: Arc<Shared>) {
    let Job { accepted, plan, state, sticky, rng } = job;
    let Accepted { id, asked, table, route, needs, started, deadline, wanted, place, span: _ } = accepted;
    let (commit, outlet) = match wanted {
        Wanted::Whole(mut answer) => {
            answer.begun = true;
            (CommitPolicy::Buffered, Outlet::Whole(answer))
        }
        Wanted::Stream(mut answer) => {
            let (words, receiver) = mpsc::unbounded_channel();
            answer.send(Ok(ReplyStream::new(receiver, shared.draining.clone())));
            (asked.work.commit(), Outlet::Stream(words))
        }
        Wanted::Vectors(mut answer) => {
            answer.begun = true;
            (CommitPolicy::Buffered, Outlet::Vectors(answer))
        }
    };
    let machine = Failover::new(route.failover.clone(), commit, deadline);
    let mut driver = Driver {
        log: Log::new(Flight::new(id, &route.name, asked.work.session().cloned()), started, shared.clone()),
        machine,
        plan: Some(plan),
        running: Vec::new(),
        ended: Vec::new(),
        probe: None,
        id,
        asked,
        table,
        route,
        needs,
        started,
        state,
        sticky,
        rng,
        shared,
    };
    driver.drive(outlet).await;
    drop(place);
}

/// The caller's end.
enum Outlet {
    Whole(Answer<Reply>),
    Stream(mpsc::UnboundedSender<Word>),
    Vectors(Answer<Embeddings>),
}

impl Outlet {
    async fn closed(&mut self) {
        match self {
            Self::Whole(answer) => answer.closed().await,
            Self::Stream(words) => words.closed().await,
            Self::Vectors(answer) => answer.closed().await,
        }
    }

    fn finish(self, finished: Finished) {
        match self {
            Self::Stream(words) => drop(words.send(Word::Finished(Box::new(finished)))),
            Self::Whole(mut answer) => answer.send(Ok(finished.into())),
            Self::Vectors(_) => unreachable!("who wants vectors asked for them"),
        }
    }

    fn say(&self, word: Word) {
        if let Self::Stream(words) = self {
            let _ = words.send(word);
        }
    }
}

/// Writes the flight recorder's page, whatever becomes of the call.
struct Log {
    flight: Option<Flight>,
    started: Instant,
    shared: Arc<Shared>,
}

impl Log {
    fn new(flight: Flight, started: Instant, shared: Arc<Shared>) -> Self {
        Self { flight: Some(flight), started, shared }
    }

    fn note(&mut self, happened: Happened) {
        if let Some(flight) = &mut self.flight {
            flight.steps.push((now().saturating_duration_since(self.started), happened));
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if let Some(flight) = self.flight.take() {
            self.shared.record(flight);
        }
    }
}

struct Driver {
    machine: Failover,
    /// The router's first choice, until it is used.
    plan: Option<Plan>,
    running: Vec<Running>,
    /// Attempts that ended, in the order they were started.
    ended: Vec<Ended>,
    /// The target that the plan probes.
    probe: Option<usize>,
    log: Log,
    id: CallId,
    asked: Asked,
    table: Arc<Table>,
    route: Arc<RouteSpec>,
    needs: Needs,
    started: Instant,
    state: RouteState,
    sticky: Option<Sticky>,
    rng: SeededRng,
    shared: Arc<Shared>,
}

impl Driver {
    async fn drive(&mut self, mut outlet: Outlet) {
        loop {
            match self.machine.next(&self.shared.budget, now()) {
                Step::Plan => self.choose(),
                Step::Try(this) => self.attempt(this).await,
                Step::Commit(number) => self.commit(number, &outlet),
                Step::Reset(failure) => {
                    self.log.note(Happened::Reset);
                    outlet.say(Word::Reset(failure));
                }
                Step::Cancel(number, why) => self.cancel(number, why).await,
                Step::Wait(until) => {
                    if self.running.is_empty() {
                        let wait = until.saturating_duration_since(now());
                        self.log.note(Happened::Waited(wait));
                    }
                    tokio::select! {
                        biased;
                        () = outlet.closed() => return self.log.note(Happened::CallerLeft),
                        happening = next_happening(&mut self.running) => self.happened(happening),
                        () = tokio::time::sleep_until(until.into()) => self.listen(),
                    }
                }
                Step::Finish(number) => return self.finish(number, outlet),
                Step::GiveUp(why) => return self.give_up(why, outlet),
            }
        }
    }

    /// Tells the machine when the attempts in flight were last heard of.
    fn listen(&mut self) {
        for running in &self.running {
            if let Some(at) = running.heard() {
                self.machine.heard(running.number, at);
            }
        }
    }

    /// Plans: with the router's choice at first, later by the same function from the table as it is then published.
    fn choose(&mut self) {
        let now = now();
        self.follow_table();
        let plan = self.plan.take().unwrap_or_else(|| {
            let candidates = self.table.candidates(&self.route, &self.asked, &self.machine.spent(), &self.gone());
            let pinned = self.shared.pinned(&self.route.name).and_then(|id| self.table.index(&id));
            let options = &self.route.options;
            let sticky = self.sticky;
            routing::plan(options, &mut self.state, &candidates, &self.needs, sticky, pinned, now, &mut self.rng)
        });
        self.probe = plan.picks.first().filter(|pick| pick.why == Why::Probe).map(|pick| pick.target);
        let refusals = plan.skipped.iter().filter_map(Skip::refusal);
        let picks = plan.picks.iter().filter_map(|pick| self.planned(pick.target));
        self.machine.planned(picks.collect::<Vec<_>>(), refusals, plan.last_resort, now);
        let planned = Happened::planned(&plan, &self.table, now);
        self.log.note(planned);
    }

    /// Returns the targets that this call was told are gone: what is published may be a moment old.
    fn gone(&self) -> Vec<usize> {
        let gone = |record: &AttemptRecord| {
            let index = self.table.index(&record.target)?;
            // What one key of several may not see is published once none may.
            let keys = self.table.targets[index].provider.spec.keys.len();
            let is_gone = |it: &Failure| it.class == FailureClass::ModelGone && (it.scope != Scope::Key || keys < 2);
            matches!(&record.end, AttemptEnd::Failed(failure) if is_gone(failure)).then_some(index)
        };
        self.ended.iter().filter_map(|ended| gone(&ended.record)).collect()
    }

    /// Moves to the table that is now published, if there is a new one that still has the route.
    fn follow_table(&mut self) {
        let table = self.shared.table();
        if Arc::ptr_eq(&table, &self.table) {
            return;
        }
        let Some(route) = table.layout.routes.get(&self.route.name).cloned() else { return };
        let old = std::mem::replace(&mut self.table, table);
        self.route = route;
        self.plan = None;
        self.sticky = None;
        self.needs = Needs { deadline: self.needs.deadline, ..self.table.needs_of(&self.route, &self.asked.work) };
        self.asked = self.table.ask(&self.route, self.asked.work.clone());
        self.machine.reindex(|target| self.table.index(old.targets.get(target)?.id()));
    }

    fn planned(&self, target: usize) -> Option<Planned> {
        let entry = &self.table.targets[target];
        let spec = entry.spec();
        let health = entry.provider.slot.health(entry.index)?;
        let (whole, tokens) = (self.asked.work.is_whole(&entry.provider.spec), self.fit(target, 0).tokens);
        let pace = health.pace(tokens, whole, self.needs.output_tokens);
        let (first_token_max, patience) = match spec.timers.first_token {
            // Whoever sets a limit knows better than a guess.
            Some(limit) if pace.measured => (limit, pace.patience().min(limit)),
            // Its own limit ends it before anybody joins it.
            Some(limit) => (limit, limit.saturating_mul(2)),
            None => {
                let limit = if whole { health.reply_max } else { health.first_token_max };
                (Latency::at(limit, tokens), pace.patience())
            }
        };
        Some(Planned {
            target,
            context_tokens_max: spec.capabilities.context_tokens_max,
            cuts_max: self.cuts_max(target),
            keys: u32::try_from(entry.provider.spec.keys.len()).unwrap_or(u32::MAX),
            first_token_max,
            usual: pace.answer,
            patience,
            pause_max: health.pause_max(),
        })
    }

    fn fit(&self, target: usize, cuts: u32) -> Fitted {
        self.table.fit(target, &self.route, &self.asked, cuts)
    }

    /// Returns how often the conversation can be cut shorter than it goes to a target at first.
    fn cuts_max(&self, target: usize) -> u32 {
        if self.route.over_window == OverWindow::Skip {
            return 0;
        }
        let tokens = |cuts| self.fit(target, cuts).tokens;
        (0..CUTS_MAX).take_while(|&cuts| tokens(cuts + 1) < tokens(cuts)).fold(0, |max, _| max + 1)
    }

    /// Asks for a permit, and starts an attempt with it.
    async fn attempt(&mut self, this: Try) {
        let fitted = self.fit(this.target, this.cuts);
        match self.admit(this, fitted.tokens).await {
            Err(refusal) => {
                let wait = refusal.until.map(|until| until.saturating_duration_since(now()));
                let target = self.table.targets[this.target].id().clone();
                self.log.note(Happened::Refused { target, gate: refusal.gate, wait });
                self.machine.refused(refusal, &self.shared.budget, now());
            }
            Ok(permit) => {
                let target = self.table.targets[this.target].id().clone();
                self.log.note(Happened::Tried { attempt: this.number, target });
                let running = self.spawn(this, fitted, permit).await;
                self.running.push(running);
                self.machine.admitted(now());
                let crash = CrashHook::take(&self.shared.crash.calls);
                assert!(!crash, "panic in a call asked for by the crash hook");
            }
        }
    }

    async fn admit(&self, this: Try, prompt_tokens: u32) -> Result<Permit, Refusal> {
        let target = &self.table.targets[this.target];
        let slot = &target.provider.slot;
        let (reply, permit) = oneshot::channel();
        let whole = self.asked.work.is_whole(&target.provider.spec);
        let output_max = self.needs.output_tokens;
        let ask = Ask { target: target.index, prompt_tokens, whole, output_max, last_resort: this.last_resort };
        let asked = slot
            .provider
            .get()
            .is_some_and(|provider| provider.send_message(super::provider::ProviderMessage::Admit(ask, reply)).is_ok());
        let left = self.needs.deadline.map_or(ANSWER_MAX, |deadline| deadline.saturating_duration_since(now()) / 4);
        let answer = if asked { tokio::time::timeout(ANSWER_MAX.min(left), permit).await.ok() } else { None };
        answer.and_then(Result::ok).unwrap_or_else(|| {
            let until = slot.status.borrow().down().flatten();
            Err(Refusal { gate: Gate::Down, until })
        })
    }

    /// Starts an attempt under its provider's supervisor. If that fails, the account says so by being dropped.
    async fn spawn(&self, this: Try, fitted: Fitted, permit: Permit) -> Running {
        let target = self.table.targets[this.target].clone();
        let (pieces, receiver) = mpsc::channel(PIECES_MAX);
        let (end, ended) = oneshot::channel();
        let (wanted, unwanted) = oneshot::channel();
        let pulse = Arc::new(Pulse::new(now()));
        let span = tracing::info_span!("attempt", number = this.number, target = %target.id(), trimmed = tracing::field::Empty);
        let supervisor = target.provider.slot.supervisor();
        let (id, prompt_tokens) = (target.id().clone(), fitted.tokens);
        let account = Account {
            permit,
            target,
            call: self.id,
            number: this.number,
            call_started: self.started,
            shared: self.shared.clone(),
            end: Some(end),
            prompt: fitted,
            begun: None,
            head: None,
            first_token: None,
            content_bytes: 0,
            kept: 0,
            blocked: Duration::ZERO,
            notes: Vec::new(),
            secrets: [const { None }; 2],
            drift: Vec::new(),
            pulse: pulse.clone(),
            unwanted: None,
        };
        let work = self.asked.work.clone();
        let meant = self.table.layout.is_only_model(&self.route, this.target);
        let signed = self.table.has_several_makers(&self.route, account.target.provider.spec.dialect);
        let job = AttemptJob {
            work,
            resend: this.resend,
            first_token_max: this.first_token_max,
            buffered: self.machine.is_buffered(),
            meant,
            signed,
            filtered: !self.route.failover.content_policy_failover,
            pieces,
            account,
            rest: None,
            unfence: None,
            span,
        };
        if let Some(supervisor) = supervisor {
            let _ = Actor::spawn_linked(None, Attempt, AttemptArguments { job, unwanted }, supervisor).await;
        }
        Running::new(this, id, receiver, ended, wanted, pulse, prompt_tokens)
    }

    fn happened(&mut self, happening: Happening) {
        match happening {
            Happening::Content(number) => self.machine.content(number),
            Happening::Ended(number, ended) => {
                self.running.iter_mut().filter(|running| running.number == number).for_each(Running::close);
                match &ended.record.end {
                    AttemptEnd::Won => self.machine.succeeded(number, &self.shared.budget),
                    AttemptEnd::Failed(failure) => {
                        self.running.retain(|running| running.number != number);
                        self.machine.failed(number, failure, ended.back, now(), &mut self.rng);
                        self.log.note(Happened::Failed { attempt: number, failure: failure.clone() });
                    }
                }
                self.ended.push(ended);
            }
            // Its account speaks even when it crashes, so this cannot be; if it is, the call goes on.
            Happening::Lost(number) => {
                let failure = Failure::new(FailureClass::Crashed, "the attempt was lost");
                self.running.retain(|running| running.number != number);
                self.machine.failed(number, &failure, None, now(), &mut self.rng);
            }
        }
    }

    /// Hands an attempt's content to the caller: what has come and the channel for the rest, or, of an answer that was
    /// to be whole first, all of it.
    fn commit(&mut self, number: u32, outlet: &Outlet) {
        let (Outlet::Stream(_), Some(running)) = (outlet, self.running.iter_mut().find(|it| it.number == number))
        else {
            return;
        };
        let (target, prompt_tokens) = (running.target.clone(), running.prompt_tokens.into());
        let (first, rest) = running.hand_over();
        let whole = self.ended.iter().find(|ended| ended.record.attempt == number);
        let first = match whole.and_then(|ended| ended.brought.as_ref()) {
            // What goes on as it came is told with the end.
            Some(Brought::Answer(ending)) if ending.verbatim.is_some() => VecDeque::new(),
            Some(Brought::Answer(ending)) => ending.parts.iter().flat_map(pieces).collect(),
            _ => first.into_iter().collect(),
        };
        outlet.say(Word::Segment { call: self.id, target, attempt: number, prompt_tokens, first, rest });
    }

    /// Stops an attempt, and waits for its last word, which comes at once.
    async fn cancel(&mut self, number: u32, why: Unwanted) {
        let Some(at) = self.running.iter().position(|running| running.number == number) else { return };
        let ended = self.running.swap_remove(at).cancel(why);
        if let Ok(Ok(ended)) = tokio::time::timeout(ANSWER_MAX, ended).await {
            self.ended.push(ended);
        }
    }

    fn finish(&mut self, number: u32, outlet: Outlet) {
        let Some(at) = self.ended.iter().position(|ended| ended.record.attempt == number) else { return };
        let Some(brought) = self.ended[at].brought.take() else { return };
        let winner = &self.ended[at].record;
        let (target, usage, cost_usd) = (winner.target.clone(), winner.usage, winner.cost_usd);
        // A session does not follow a probe.
        let probed = self.probe.is_some_and(|probe| *self.table.targets[probe].id() == target);
        let session = self.asked.work.session().cloned().filter(|_| !probed);
        let route = self.route.name.clone();
        let answered = RouterCommand::Answered { route, session, target: target.clone(), output: usage.output };
        self.shared.router.send(answered);
        let attempts = self.attempts();
        let waste: f64 = attempts.iter().filter(|record| !record.won()).filter_map(|record| record.cost_usd).sum();
        tracing::info!(target_id = %target, attempts = attempts.len(), "call answered");
        self.log.note(Happened::Answered { attempt: number });
        let last_resort = self.running.iter().any(|running| running.number == number && running.last_resort);
        let (call, cost_usd) = (self.id, cost_usd.map(|won| won + waste));
        let notes = std::mem::take(&mut self.ended[at].notes);
        match brought {
            Brought::Answer(Ending { stop, parts, verbatim, model, .. }) => {
                outlet.finish(Finished {
                    call,
                    parts,
                    verbatim,
                    target,
                    model,
                    stop,
                    usage,
                    cost_usd,
                    attempts,
                    last_resort,
                    notes,
                });
            }
            Brought::Vectors(Embedded { vectors, model, .. }) => {
                let Outlet::Vectors(mut answer) = outlet else { unreachable!("who wants vectors asked for them") };
                let embeddings =
                    Embeddings { call, vectors, target, model, usage, cost_usd, attempts, last_resort, notes };
                answer.send(Ok(embeddings));
            }
        }
    }

    fn give_up(&mut self, why: GiveUp, outlet: Outlet) {
        let attempts = self.attempts();
        let error = match why {
            GiveUp::Rejected(failure) => Error::Rejected { failure, attempts },
            GiveUp::Exhausted(back) => {
                let barred = self.barred(now());
                let retry_after = Barred::first_back(&barred).or_else(|| Some(back?.saturating_duration_since(now())));
                Error::Exhausted { attempts, retry_after, barred }
            }
            GiveUp::Deadline => Error::DeadlineExceeded { attempts },
            // Nobody but its reader makes an attempt give up while its call still wants it.
            GiveUp::Interrupted(failure) if failure.class == FailureClass::Cancelled => {
                Error::ConsumerStalled(self.shared.limits.consumer_stall_max)
            }
            GiveUp::Interrupted(failure) => Error::Interrupted { failure, attempts },
        };
        let last = error.attempts().last().map(|record| record.end.name());
        // Not the providers' own words: they may repeat the prompt.
        tracing::warn!(error = error.name(), attempts = error.attempts().len(), last, "call failed");
        self.log.note(Happened::GaveUp(error.clone()));
        match outlet {
            Outlet::Whole(mut answer) => answer.send(Err(error)),
            Outlet::Stream(words) => drop(words.send(Word::Failed(error))),
            Outlet::Vectors(mut answer) => answer.send(Err(error)),
        }
    }

    /// Returns each target that does not admit a call now, as published or as this call has just heard.
    fn barred(&self, now: Instant) -> Vec<Barred> {
        let candidates = self.table.candidates(&self.route, &self.asked, &[], &[]);
        let barred = candidates.iter().filter_map(|candidate| {
            let target = self.table.targets[candidate.target].id().clone();
            if let Some(Refusal { gate, until }) = candidate.health.refusal(false, now) {
                let back_in = until.map(|until| until.saturating_duration_since(now));
                return Some(Barred { target, cause: candidate.health.cause(gate), back_in });
            }
            let last = self.ended.iter().rfind(|ended| ended.record.target == target)?;
            let AttemptEnd::Failed(failure) = &last.record.end else { return None };
            let default = (failure.class == FailureClass::RateLimited).then_some(RATE_LIMIT_DEFAULT);
            let told = last.back.map(|back| back.saturating_duration_since(now));
            Some(Barred { target, cause: Cause::Failure(failure.class), back_in: told.or(default) })
        });
        barred.collect()
    }

    fn attempts(&mut self) -> Vec<AttemptRecord> {
        self.ended.sort_by_key(|ended| ended.record.attempt);
        self.ended.iter().map(|ended| ended.record.clone()).collect()
    }
}

/// Returns the pieces that a part of an answer would have come in.
fn pieces(part: &AssistantPart) -> impl Iterator<Item = Piece> {
    let content = match part {
        AssistantPart::Text(text) => Some(Piece::Text(text.clone())),
        AssistantPart::Reasoning(reasoning) if reasoning.text.is_empty() => None,
        AssistantPart::Reasoning(reasoning) => Some(Piece::Reasoning(reasoning.text.clone())),
        AssistantPart::ToolCall(_) | AssistantPart::Foreign(_) => None,
    };
    let proof = match part {
        AssistantPart::Reasoning(reasoning) => reasoning.proof.clone().map(Piece::Proof),
        _ => None,
    };
    content.into_iter().chain(proof)
}

//! The result of a try, and its one end: told to the provider, all observers, and its call, in this order, also when it
//! crashes.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::oneshot;

use super::budgets::BudgetReservation;
use super::call_page::CallPage;
use super::clock::now;
use super::permit::Permit;
use super::prompt::FittedPrompt;
use super::redact;
use super::shared::Shared;
use super::table::Target;
use super::to_provider::ProviderMessage;
use super::watchdog::Watchdog;
use super::work::AttemptAnswer;
use crate::policy::budget::{Alert, PromptKind, PromptSizing};
use crate::policy::health::AttemptSummary;
use crate::policy::hedge::Cost;
use crate::policy::record::Record;
use crate::wire::{self, Ending, Tally};
use crate::words::{
    AttemptEnd, AttemptRecord, CallFacts, Drift, DriftKind, Event, Failure, FailureClass, Note, RetryAfter, Secret,
    Usage,
};

/// This much of an answer may always be kept, however much is kept of others: only long answers are refused memory.
const KEPT_FAIR: usize = 256 * 1024;

/// How a try ended, for its call.
pub(super) struct AttemptOutcome {
    pub(super) record: Arc<AttemptRecord>,
    /// When the target may be asked again, where it said so.
    pub(super) back: Option<Instant>,
    /// The answer, if it is whole; also the answer that its provider itself called a failure.
    pub(super) answer: Option<AttemptAnswer>,
    /// The parts of the conversation that the target could not take as they were.
    pub(super) notes: Vec<Note>,
}

/// What is known of a try before it begins.
pub(super) struct PlannedAttempt {
    pub(super) target: Arc<Target>,
    pub(super) about: Arc<CallFacts>,
    /// The page of its call, until its end is counted there.
    pub(super) page: Option<Arc<CallPage>>,
    pub(super) number: u32,
    pub(super) call_started: Instant,
    /// How the request goes to this target.
    pub(super) prompt: FittedPrompt,
    /// Tokens of the answer that its provider bills though it was cancelled before they came.
    pub(super) runs_on: u32,
    /// Whether it joined another attempt of its call.
    pub(super) hedge: bool,
    /// Its expected cost, where it joined only for speed.
    pub(super) hedge_cost: Option<Cost>,
    /// Its reservation in budgets.
    pub(super) budget_reservation: Option<BudgetReservation>,
    /// Whether its target is marked as degraded.
    pub(super) degraded: bool,
}

/// The result of the try so far. If it is dropped unsettled, it reports that the try crashed or never began.
pub(super) struct AttemptAccount {
    pub(super) planned: PlannedAttempt,
    pub(super) permit: Permit,
    pub(super) shared: Arc<Shared>,
    /// Takes its end; `None` once it is settled.
    end: Option<oneshot::Sender<AttemptOutcome>>,
    begun: Option<Instant>,
    /// When the last response's head came, and the provider's own time then.
    pub(super) head: Option<(Instant, SystemTime)>,
    pub(super) first_token: Option<Instant>,
    pub(super) content_bytes: usize,
    /// Bytes of the request's body and of the answer's, as they were sent.
    pub(super) sent: u64,
    pub(super) received: u64,
    /// Bytes of the answer that are kept in memory.
    kept: usize,
    pub(super) blocked: Duration,
    pub(super) notes: Vec<Note>,
    /// The secret that was sent, and the one before it, if that was refused.
    pub(super) secrets: [Option<Secret>; 2],
    /// The parts of the answer that are not known here.
    pub(super) drift: Vec<Drift>,
    /// What the provider has told so far of its bill.
    pub(super) tally: Tally,
    /// An answer that came whole and that its provider calls a failure, for a caller that gets no other answer.
    pub(super) flawed: Option<Ending>,
}

impl AttemptAccount {
    /// Returns the account of a try that has not begun, and where its end is told.
    pub(super) fn new(
        planned: PlannedAttempt,
        permit: Permit,
        shared: Arc<Shared>,
    ) -> (Self, oneshot::Receiver<AttemptOutcome>) {
        let (end, ended) = oneshot::channel();
        let account = Self {
            planned,
            permit,
            shared,
            end: Some(end),
            begun: None,
            head: None,
            first_token: None,
            content_bytes: 0,
            sent: 0,
            received: 0,
            kept: 0,
            blocked: Duration::ZERO,
            notes: Vec::new(),
            secrets: [const { None }; 2],
            drift: Vec::new(),
            tally: Tally::default(),
            flawed: None,
        };
        (account, ended)
    }

    /// Says that something is being sent, and starts the timers.
    pub(super) fn begin(&mut self, first_token_max: Option<Duration>) -> Watchdog {
        let now = now();
        self.permit.begin(now);
        self.begun.get_or_insert(now);
        Watchdog::new(
            self.permit.ticket(),
            first_token_max,
            self.planned.target.spec().stall(),
            self.permit.progress().clone(),
            now,
        )
    }

    /// Counts content: the first ends the first-token timer, and each restarts the stall timer.
    pub(super) fn content(&mut self, watchdog: &mut Watchdog, now: Instant) {
        if self.first_token.is_none() {
            self.first_token = Some(now);
            let after = now.saturating_duration_since(self.permit.ticket().started);
            self.permit.content(after);
        }
        watchdog.content(now, &self.permit);
    }

    /// Notes how much of the answer is kept in memory; all answers together have a limit.
    pub(super) fn keep(&mut self, bytes: usize) -> Result<(), Failure> {
        let before = std::mem::replace(&mut self.kept, bytes);
        let Some(more) = bytes.checked_sub(before) else {
            self.shared.kept.fetch_sub(before - bytes, Relaxed);
            return Ok(());
        };
        let all = self.shared.kept.fetch_add(more, Relaxed) + more;
        let bytes_max = self.shared.limits.answers_bytes_max;
        if all <= bytes_max || bytes <= KEPT_FAIR {
            return Ok(());
        }
        let message = format!("more than {bytes_max} bytes would have to be kept of all answers");
        self.shared.note_shortage(&message, now());
        Err(Failure::new(FailureClass::LocalShortage, message))
    }

    pub(super) fn tell_all(&self, message: impl Fn() -> ProviderMessage) {
        for provider in &self.shared.table().providers {
            provider.slot.provider.send(message());
        }
    }

    /// Returns when the target may be asked again, where a failure says so.
    fn back(&self, failure: &Failure) -> Option<Instant> {
        let (head, date) = self.head?;
        match failure.retry_after? {
            RetryAfter::After(wait) => head.checked_add(wait),
            RetryAfter::At(at) => head.checked_add(at.duration_since(date).unwrap_or_default()),
        }
    }

    /// Returns a number that tells this try's answer from every other, those of other processes included.
    pub(super) fn salt(&self) -> u64 {
        let since = self.head.and_then(|(_, date)| date.duration_since(SystemTime::UNIX_EPOCH).ok());
        let nanos = since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX));
        nanos
            ^ self.planned.about.id.runtime
            ^ self.planned.about.id.number.rotate_left(32)
            ^ u64::from(self.planned.number)
    }

    /// Returns the class of an end that was not asked for: the runtime stops or, if it does not, another.
    pub(super) fn stopped_or(&self, other: FailureClass) -> FailureClass {
        if self.shared.draining.load(Relaxed) { FailureClass::Stopped } else { other }
    }

    /// Ends the try: tells the provider, the observers, and the call.
    pub(super) fn settle(&mut self, result: Result<AttemptAnswer, Failure>) {
        let Some(tell) = self.end.take() else { return };
        let now = now();
        let is_retirement = result.as_ref().is_err_and(wire::classify::is_retirement);
        let (end, back, answer) = match result {
            Ok(answer) => (AttemptEnd::Won, None, Some(answer)),
            Err(failure) => {
                let back = self.back(&failure);
                let judged = self.judged(failure, is_retirement);
                (AttemptEnd::Failed(judged), back, self.flawed.take().map(AttemptAnswer::Answer))
            }
        };
        self.tell_drift(&end);
        let record = Arc::new(self.record(end, answer.as_ref(), now));
        self.learn(&record.usage);
        self.tell_provider(&record, back, now);
        if is_retirement {
            self.shared.retiring(self.planned.target.spec(), None);
        }
        self.pay(&record, now);
        self.shared.sink.tell(&Record::Attempt(record.clone()));
        // Before its call hears of it: a call that ends with this attempt is recorded before its caller is answered.
        self.planned.page.take().into_iter().for_each(|page| page.change(|flight| flight.count(&record)));
        let notes = std::mem::take(&mut self.notes);
        // The call waits no longer than the provider's hold lasts.
        let honoured = now + self.planned.target.provider.spec.admission.breaker.retry_after_max;
        let back = back.map(|back| back.min(honoured));
        let _ = tell.send(AttemptOutcome { record, back, answer, notes });
    }

    /// Returns a failure as it counts at this target, without anything secret.
    fn judged(&mut self, failure: Failure, is_retirement: bool) -> Failure {
        if failure.class == FailureClass::RateLimited {
            self.permit.refused_by(wire::limits::named(&failure.message));
        }
        let keys = self.planned.target.provider.spec.keys.len();
        let failure = self.permit.ticket().judged(failure, keys, is_retirement);
        redact::failure(&self.shared.table(), &self.secrets, failure)
    }

    /// Learns from what the provider told of the prompt. What it adds to one comes after its first count.
    fn learn(&mut self, usage: &Usage) {
        let (Some(told), is_whole) = (self.tally.told(), self.tally.is_whole) else { return };
        let PlannedAttempt { target, prompt, .. } = &self.planned;
        if is_whole || prompt.sizing != PromptSizing::Grows {
            target.provider.slot.learn(target.index, &prompt.size, told.input);
        }
        self.shared.budgets.learn(self.kind(), prompt.length(), told.input, is_whole);
        self.permit.took(usage.input.saturating_add(usage.output));
    }

    /// Returns the kind of its prompt.
    fn kind(&self) -> PromptKind {
        let PlannedAttempt { target, about, prompt, .. } = &self.planned;
        PromptKind { route: about.route.clone(), target: target.id().clone(), sizing: prompt.sizing }
    }

    /// Returns the record of the try.
    fn record(&self, end: AttemptEnd, answer: Option<&AttemptAnswer>, now: Instant) -> AttemptRecord {
        let (usage, is_estimate) = self.usage(answer.is_some(), &end);
        let price = self.planned.target.price.as_ref().map(|price| price.at(usage.input));
        let bill = self.tally.bill(&usage, price.as_ref());
        let billed = price.map(|price| price.billed(&usage, &bill));
        let began = self.begun.unwrap_or(now);
        let ticket = self.permit.ticket();
        let PlannedAttempt { target, about, number, .. } = &self.planned;
        let key = target.provider.spec.keys[ticket.key].name.clone();
        AttemptRecord {
            model: answer.and_then(AttemptAnswer::model).cloned(),
            started_after: began.saturating_duration_since(self.planned.call_started),
            first_token: self.first_token.map(|at| at.saturating_duration_since(began)),
            took: now.saturating_duration_since(began),
            usage,
            estimated: is_estimate || billed.is_some_and(|(_, is_estimate)| is_estimate),
            bill,
            price,
            cost_usd: billed.map(|(dollars, _)| dollars).or(bill.cost_usd),
            bytes_sent: self.sent,
            bytes_received: self.received,
            probe: ticket.probe,
            last_resort: ticket.last_resort,
            hedge: self.planned.hedge,
            degraded: self.planned.degraded,
            end,
            ..AttemptRecord::new(about.clone(), *number, target.id().clone(), key)
        }
    }

    /// Tells the provider what the end means for the target's health.
    fn tell_provider(&mut self, record: &AttemptRecord, back: Option<Instant>, now: Instant) {
        let summary = AttemptSummary {
            begun: self.begun.is_some(),
            blocked: self.blocked,
            streamed: self.first_token.map(|first| now.saturating_duration_since(first)),
            whole: self.permit.ticket().whole,
            back,
            overtaken: self.permit.progress().is_overtaken(),
        };
        self.permit.settle(summary.outcome(&record.end, record.usage.output));
    }

    /// Charges the attempt to the budgets, and tells of budgets that are nearly spent.
    fn pay(&mut self, record: &AttemptRecord, now: Instant) {
        self.shared.budget.hedges.ended(self.planned.hedge_cost.take(), Cost::of(record.cost_usd), now);
        let alerts = self
            .planned
            .budget_reservation
            .take()
            .map_or_else(Vec::new, |budget_reservation| budget_reservation.settle(record));
        for Alert { budget, share } in alerts {
            tracing::warn!(share, %budget, "a budget is spent, or soon will be");
            self.shared.tell(Event::Budget { budget, share });
        }
    }

    /// Counts the unknown parts of the answer, and says which never came before.
    fn tell_drift(&mut self, end: &AttemptEnd) {
        if let AttemptEnd::Failed(failure) = end {
            self.drift.extend(wire::unknown_code(failure));
        }
        let provider = &self.planned.target.provider;
        redact::names(&self.shared.table(), &self.secrets, &mut self.drift);
        if self.drift.iter().any(|drift| drift.kind == DriftKind::Field) {
            provider.slot.surprised(self.planned.target.index);
        }
        for Drift { kind, name } in self.drift.drain(..).filter_map(|drift| provider.slot.drifted(drift)) {
            let (provider, what) = (provider.spec.name.clone(), kind);
            tracing::warn!(%provider, what = what.name(), %name, "the provider sent something unknown to this version");
            self.shared.tell(Event::Drift { provider, what, name });
        }
    }

    /// Returns the tokens that are booked, and whether they are an estimate: as the provider counted them; of an answer
    /// that did not come whole, what it had told and at least what was seen, at four bytes a token. A try of which
    /// nothing was told and that failed before any content is taken to have cost nothing. A cancelled one has cost its
    /// prompt, and also an answer where the provider does not stop for that.
    fn usage(&self, has_answer: bool, end: &AttemptEnd) -> (Usage, bool) {
        let told = self.tally.told();
        if let Some(usage) = told.filter(|_| self.tally.is_whole) {
            return (usage, false);
        }
        let is_cancelled = self.begun.is_some() && end.is_cancelled();
        if !has_answer && told.is_none() && self.first_token.is_none() && !is_cancelled {
            return (Usage::default(), true);
        }
        let output = u64::try_from(self.content_bytes.div_ceil(4)).unwrap_or(u64::MAX);
        let output = if is_cancelled { output.max(self.planned.runs_on.into()) } else { output };
        let told = told.unwrap_or_else(|| {
            let input = self.shared.budgets.unbilled(&self.kind(), self.planned.prompt.length());
            Usage { input: input.into(), ..Usage::default() }
        });
        (Usage { output: told.output.max(output), ..told }, true)
    }
}

impl Drop for AttemptAccount {
    fn drop(&mut self) {
        self.shared.kept.fetch_sub(self.kept, Relaxed);
        if self.end.is_none() {
            return;
        }
        // Our own failure, unless it is the end of everything. A try that never began was not stopped by its reader, so
        // the call goes on to the next target.
        let crashed = FailureClass::Crashed;
        let class = if std::thread::panicking() { crashed } else { self.stopped_or(crashed) };
        let how = if self.begun.is_some() { "crashed or was killed" } else { "never started" };
        let failure = if class == crashed {
            Failure::new(class, format!("the attempt's actor {how}"))
        } else {
            Failure::unwanted(class)
        };
        self.settle(Err(failure));
    }
}

//! The record of every call: one line in the log, and the counters. It never holds text of the conversation.

use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::Handle;

use super::answer_headers::{Answered, tell_call};
use super::caller::Caller;
use super::dollars::dollars;
use super::intake::BodyMemory;
use super::state::{State, now};
use crate::runtime::CallNote;
use crate::wire::serve::{CallerDialect, Refusal, RefusalReason, refuse};
use crate::words::{AttemptRecord, CallId, Degraded, Error, TargetId};

/// A call's record; written when the call has ended, or when its caller has left.
pub(super) struct CallReport {
    state: Arc<State>,
    route: Arc<str>,
    dialect: CallerDialect,
    client: Option<String>,
    stream: bool,
    begun: Instant,
    /// The call that the request has become.
    call: CallNote,
    /// The target whose answer has begun to reach the caller.
    heard: Option<TargetId>,
    /// Whether it found a call that was made before, by its key: what that cost is told with that.
    repeated: bool,
    written: bool,
    /// The room that its body takes, as long as its call lasts.
    _place: BodyMemory,
}

impl CallReport {
    pub(super) fn new(caller: &Caller<'_>, route: &str, stream: bool, place: BodyMemory) -> Self {
        Self {
            state: caller.state.clone(),
            route: route.into(),
            dialect: caller.dialect,
            client: caller.name().map(str::to_owned),
            stream,
            begun: now(),
            call: CallNote::default(),
            heard: None,
            repeated: false,
            written: false,
            _place: place,
        }
    }

    /// Returns where the runtime notes which call it is.
    pub(super) fn note(&self) -> CallNote {
        self.call.clone()
    }

    /// Notes the call that it is, or that it found by its key.
    pub(super) fn is_of(&mut self, call: CallId, repeated: bool) {
        self.call.set(call);
        self.repeated = repeated;
    }

    /// Notes the target whose answer begins.
    pub(super) fn started(&mut self, call: CallId, target: &TargetId) {
        self.call.set(call);
        self.heard = Some(target.clone());
    }

    /// Writes down the end of a call that was answered.
    pub(super) fn finished(&mut self, answered: Answered<'_>) {
        let Answered { call, target, degraded, cost_usd, attempts } = answered;
        self.call.set(call);
        // From a lower rung's targets it is an answer as any other.
        let outcome = if degraded.is_none_or(|rung| rung == Degraded::Target) { "ok" } else { "degraded" };
        self.write(outcome, Some(&target.to_string()), cost_usd, attempts, None);
    }

    /// Returns the call's id, if it is known.
    pub(super) fn call(&self) -> Option<CallId> {
        self.call.get()
    }

    /// Writes down how it failed.
    pub(super) fn failed(&mut self, error: &Error) {
        if let (None, Some(attempt)) = (self.call(), error.attempts().first()) {
            self.call.set(attempt.call);
        }
        // A provider's words may repeat the prompt.
        let ours = matches!(
            error,
            Error::Invalid { .. }
                | Error::NoTarget { .. }
                | Error::TooLong { .. }
                | Error::NoTargetTakes { .. }
                | Error::OverBudget { .. }
                | Error::NotDurable(_)
                | Error::Unopened(_)
        );
        let cost_usd = error.attempts().iter().filter_map(|attempt| attempt.cost_usd).reduce(|all, one| all + one);
        self.write(error.name(), None, cost_usd, error.attempts(), ours.then(|| error.to_string()));
    }

    /// Writes down how it failed, and says so in the caller's dialect.
    pub(super) fn refused(&mut self, error: &Error) -> Refusal {
        self.failed(error);
        let mut refusal = refuse(self.dialect, RefusalReason::Call(error));
        if let Some(call) = self.call() {
            tell_call(&mut refusal.headers, call);
        }
        refusal
    }

    fn write(
        &mut self,
        outcome: &'static str,
        target: Option<&str>,
        cost_usd: Option<f64>,
        attempts: &[AttemptRecord],
        reason: Option<String>,
    ) {
        if std::mem::replace(&mut self.written, true) {
            return;
        }
        // A name that no route has may be any text of a caller, so it is not used as a label.
        let asked = (outcome == "invalid").then(|| std::mem::replace(&mut self.route, Arc::from("unknown")));
        let counted = if self.repeated { "repeated" } else { outcome };
        self.state.metrics.answered(&self.route, name(self.dialect), counted);
        let line = CallLine {
            call: self.call(),
            route: self.route.clone(),
            asked,
            dialect: name(self.dialect),
            client: self.client.take(),
            stream: self.stream,
            outcome,
            repeated: self.repeated,
            reason,
            target: target.map(str::to_owned),
            took_ms: u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        };
        if !line.is_wanted() {
            return;
        }
        // Its attempts end a moment after it. Where the process ends, nobody waits for that.
        let is_late = attempts.is_empty() && !line.repeated && !matches!(outcome, "ok" | "degraded" | "draining");
        match (line.call.filter(|_| is_late), Handle::try_current()) {
            (Some(call), Ok(handle)) => {
                let (runtime, line) = (self.state.runtime.clone(), LateLine(Some(line)));
                // It owns a line, which is also written if it is dropped.
                handle.spawn(async move {
                    let ended = runtime.ended(call).await.filter(|flight| flight.attempts > 0);
                    let cost_usd = ended.map(|flight| flight.cost_usd);
                    line.write(cost_usd, &runtime.attempts(call));
                });
            }
            _ => line.write(cost_usd, attempts),
        }
    }
}

/// What a line says of a call, but for its attempts.
struct CallLine {
    call: Option<CallId>,
    route: Arc<str>,
    asked: Option<Arc<str>>,
    dialect: &'static str,
    client: Option<String>,
    stream: bool,
    outcome: &'static str,
    repeated: bool,
    reason: Option<String>,
    target: Option<String>,
    took_ms: u64,
}

impl CallLine {
    /// Tells whether it is a failure that no caller caused, and no caller can correct.
    fn is_ours(&self) -> bool {
        !matches!(
            self.outcome,
            "ok" | "degraded"
                | "caller_left"
                | "cancelled"
                | "invalid"
                | "rejected"
                | "no_target"
                | "too_long"
                | "consumer_stalled"
        )
    }

    fn is_wanted(&self) -> bool {
        if self.is_ours() { tracing::enabled!(tracing::Level::WARN) } else { tracing::enabled!(tracing::Level::INFO) }
    }

    fn write(&self, cost_usd: Option<f64>, attempts: &[AttemptRecord]) {
        let tried: Vec<String> = attempts
            .iter()
            .map(|attempt| format!("{} {} {} ms", attempt.target, attempt.end.name(), attempt.took.as_millis()))
            .collect();
        let (input, output) =
            attempts.iter().find(|attempt| attempt.won()).map_or((0, 0), |won| (won.usage.input, won.usage.output));
        let call = self.call.map(|call| call.to_string());
        let call = call.as_deref();
        let cost_usd = cost_usd.filter(|_| !self.repeated).map(dollars);
        let repeated = self.repeated.then_some(true);
        let cost_usd = cost_usd.as_ref().map(tracing::field::display);
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    target: "standin::calls",
                    call,
                    route = &*self.route,
                    asked = self.asked.as_deref(),
                    dialect = self.dialect,
                    client = self.client.as_deref(),
                    stream = self.stream,
                    outcome = self.outcome,
                    repeated,
                    reason = self.reason.as_deref(),
                    answered_by = self.target.as_deref(),
                    took_ms = self.took_ms,
                    input_tokens = input,
                    output_tokens = output,
                    cost_usd,
                    attempts = tried.join(", "),
                    "call"
                )
            };
        }
        if self.is_ours() {
            line!(warn);
        } else {
            line!(info);
        }
    }
}

/// A line that waits for the attempts of its call.
struct LateLine(Option<CallLine>);

impl LateLine {
    fn write(mut self, cost_usd: Option<f64>, attempts: &[AttemptRecord]) {
        self.0.take().into_iter().for_each(|line| line.write(cost_usd, attempts));
    }
}

impl Drop for LateLine {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(|line| line.write(None, &[]));
    }
}

impl Drop for CallReport {
    fn drop(&mut self) {
        let heard = self.heard.take().map(|target| target.to_string());
        self.write("caller_left", heard.as_deref(), None, &[], None);
    }
}

/// Returns the dialect's name as logs and metrics spell it.
fn name(caller_dialect: CallerDialect) -> &'static str {
    match caller_dialect {
        CallerDialect::OpenAiChat => "openai_chat",
        CallerDialect::OpenAiResponses => "openai_responses",
        CallerDialect::Anthropic => "anthropic",
        CallerDialect::Gemini => "gemini",
    }
}

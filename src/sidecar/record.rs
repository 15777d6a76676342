//! What is written down of every call: one line in the log, and the counters. Never a word of what was said.

use std::sync::Arc;
use std::time::Instant;

use super::intake::Place;
use super::state::State;
use crate::words::{AttemptRecord, Error, TargetId};

/// A call's record; written when the call has ended, or when its caller has left.
pub(super) struct Record {
    state: Arc<State>,
    route: Arc<str>,
    face: &'static str,
    client: Option<String>,
    stream: bool,
    begun: Instant,
    /// Whose answer its caller has the beginning of.
    heard: Option<TargetId>,
    written: bool,
    /// The room that its body takes, as long as its call lasts.
    _place: Place,
}

impl Record {
    pub(super) fn new(
        state: Arc<State>,
        route: Arc<str>,
        face: &'static str,
        client: Option<String>,
        stream: bool,
        place: Place,
    ) -> Self {
        #[expect(clippy::disallowed_methods, reason = "how long a call took is told by the clock")]
        let begun = Instant::now();
        Self { state, route, face, client, stream, begun, heard: None, written: false, _place: place }
    }

    /// Notes whose answer begins.
    pub(super) fn started(&mut self, target: &TargetId) {
        self.heard = Some(target.clone());
    }

    /// Writes down how a call ended well.
    pub(super) fn finished(&mut self, target: &TargetId, cost_usd: Option<f64>, attempts: &[AttemptRecord]) {
        self.write("ok", Some(&target.to_string()), cost_usd, attempts);
    }

    /// Writes down how it failed.
    pub(super) fn failed(&mut self, error: &Error) {
        self.write(error.name(), None, None, error.attempts());
    }

    fn write(
        &mut self,
        outcome: &'static str,
        target: Option<&str>,
        cost_usd: Option<f64>,
        attempts: &[AttemptRecord],
    ) {
        if std::mem::replace(&mut self.written, true) {
            return;
        }
        // A name that no route has is whatever a caller wrote: it is no label.
        if outcome == "invalid" {
            self.route = Arc::from("unknown");
        }
        self.state.metrics.call(&self.route, self.face, outcome, attempts);
        if !tracing::enabled!(tracing::Level::INFO) {
            return;
        }
        let tried: Vec<String> = attempts
            .iter()
            .map(|attempt| format!("{} {} {} ms", attempt.target, attempt.end.name(), attempt.took.as_millis()))
            .collect();
        let (input, output) =
            attempts.iter().find(|attempt| attempt.won()).map_or((0, 0), |won| (won.usage.input, won.usage.output));
        tracing::info!(
            target: "standin::calls",
            route = &*self.route,
            dialect = self.face,
            client = self.client.as_deref(),
            stream = self.stream,
            outcome,
            answered_by = target,
            took_ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            input_tokens = input,
            output_tokens = output,
            cost_usd,
            attempts = tried.join(", "),
            "call"
        );
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        // What becomes of its attempt is known a moment later: the counters will have it.
        let heard = self.heard.take().map(|target| target.to_string());
        self.write("caller_left", heard.as_deref(), None, &[]);
    }
}

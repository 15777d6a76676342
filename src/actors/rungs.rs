//! A call that has nothing left to try: it waits, or it takes an answer from the lower rungs of its route, in their
//! order.

use std::sync::Arc;
use std::time::Instant;

use super::caller_channel::{CallResult, CallerChannel};
use super::clock::now;
use super::driver::Driver;
use super::parked::WaitOutcome;
use super::stream::StreamMessage;
use super::work::Work;
use crate::policy::explain::CallStep;
use crate::policy::stale::{StaleAnswer, is_good};
use crate::policy::verify;
use crate::spec::Rung;
use crate::wire::{self, Ending};
use crate::words::{
    AssistantPart, AttemptRecord, Degraded, Finished, OnExhausted, Piece, ResponseFormat, StopReason, TargetId, Usage,
};

/// The provider's name in the reply of a fixed text.
const OURS: &str = "standin";

impl Driver {
    /// Goes on with a call that has nothing left to try.
    pub(super) async fn exhausted(&mut self, back: Option<Instant>, caller: &mut CallerChannel) -> WaitOutcome {
        self.waits.grant = None;
        let mut rest = WaitOutcome::RouteChanged;
        while let WaitOutcome::RouteChanged = rest {
            rest = match self.on_exhausted {
                OnExhausted::Fail => WaitOutcome::GiveUp,
                // Money comes back with the calendar, and not with a target.
                OnExhausted::Wait if self.over.is_some() => WaitOutcome::GiveUp,
                OnExhausted::Wait => self.park(back, caller).await,
                OnExhausted::Degrade => self.step_down(),
            };
        }
        if let WaitOutcome::GiveUp = rest {
            self.machine.end_exhausted();
        }
        rest
    }

    /// Takes less for a call whose targets all say nothing, where a rung has something. What is in flight may still win
    /// beside targets that are kept for this.
    pub(super) fn silent(&mut self, caller: &CallerChannel) {
        if !matches!(self.step_down(), WaitOutcome::GiveUp) {
            return;
        }
        // What its provider itself calls a failure is passed on where no rung has anything.
        let has_failed_answer = self.ended.iter().any(|ended| ended.answer.is_some());
        if has_failed_answer || self.own_answer_left(caller).is_some() {
            self.machine.end_silent(now());
        }
    }

    /// Asks the targets of the next rung that is made of some, unless a rung before it has an answer.
    fn step_down(&mut self) -> WaitOutcome {
        while let Some(rung) = self.asked.route.rungs.get(self.waits.rungs).cloned() {
            if self.own_answer_of(&rung).is_some() {
                break;
            }
            self.waits.rungs += 1;
            if rung == Rung::Targets {
                self.is_degraded = true;
                if self.awaited(&self.machine.refusing()).is_some() {
                    self.call_record.note(CallStep::Degraded(Degraded::Target));
                    self.begin_anew();
                    return WaitOutcome::Restart;
                }
            }
        }
        WaitOutcome::GiveUp
    }

    /// Returns a rung's own text, if it fits the form that was asked for.
    fn own_answer_of(&self, rung: &Rung) -> Option<(StaleAnswer, Degraded)> {
        let Work::Chat(request) = &self.asked.work else { return None };
        let (answer, rung) = match rung {
            Rung::Targets => return None,
            Rung::Stale(options) => {
                let key = self.asked.key.as_ref()?;
                let (answer, age) = self.shared.stale.find(&self.asked.route.name, key, options)?;
                // Labels may have changed since.
                let place = self.asked.table.layout.targets[self.asked.table.index(&answer.target)?];
                (place.labels.carries(self.asked.needs.labels).then_some(answer)?, Degraded::Stale { age })
            }
            Rung::Text(text) => {
                let target = TargetId::new(OURS, Degraded::Text.name());
                (StaleAnswer { text: text.clone(), target, model: None, stop: StopReason::Stop }, Degraded::Text)
            }
        };
        verify::fits(request, &answer.text).then_some((answer, rung))
    }

    /// Returns what the rungs that are left have to say by themselves to a call that takes less.
    fn own_answer_left(&self, caller: &CallerChannel) -> Option<(StaleAnswer, Degraded)> {
        if self.on_exhausted != OnExhausted::Degrade || caller.is_vectors() {
            return None;
        }
        let left = self.asked.route.rungs.get(self.waits.rungs..).unwrap_or_default();
        left.iter().find_map(|rung| self.own_answer_of(rung))
    }

    /// Returns the last resort of a call that no target answered and that takes less: what a rung of its route says
    /// without a target.
    pub(super) fn own_answer(&mut self, caller: &CallerChannel, attempts: &[AttemptRecord]) -> Option<CallResult> {
        let (answer, rung) = self.own_answer_left(caller)?;
        let call = self.call_record.about().id;
        let StaleAnswer { text, target, model, stop } = answer;
        let first = [Piece::Text(text.to_string())].into();
        caller.say(StreamMessage::Segment {
            call,
            target: target.clone(),
            attempt: 0,
            prompt_tokens: 0,
            first,
            rest: None,
        });
        self.call_record.end(CallStep::Degraded(rung));
        let cost: f64 = attempts.iter().filter_map(|record| record.cost_usd).sum();
        Some(CallResult::Answer(Finished {
            call,
            parts: vec![AssistantPart::Text(text.to_string().into())],
            verbatim: None,
            target,
            model,
            stop,
            refuses: false,
            stop_sequence: None,
            sources: Vec::new(),
            usage: Usage::default(),
            cost_usd: Some(cost),
            attempts: attempts.to_vec(),
            last_resort: false,
            degraded: Some(rung),
            notes: Vec::new(),
        }))
    }

    /// Keeps an answer that may be given again, if the route has that rung.
    pub(super) fn keep(&mut self, ending: &Ending, target: &TargetId) {
        let Work::Chat(request) = &self.asked.work else { return };
        let is_whole = !ending.has_foreign_parts && !ending.cut && is_good(ending.stop, &ending.parts);
        let Some(key) = self.asked.key.take_if(|_| is_whole) else { return };
        let whole = ending.text();
        let json = if request.response_format == ResponseFormat::Text { None } else { wire::unfenced(&whole) };
        let text = json.unwrap_or(&whole);
        if !text.is_empty() {
            let (text, target) = (Arc::from(text), target.clone());
            let answer = StaleAnswer { text, target, model: ending.model.clone(), stop: ending.stop };
            self.shared.stale.keep(&self.asked.route, key, answer);
        }
    }
}

//! Writes one answer in the caller's dialect: the order of its parts, and what may never follow.

use std::time::Duration;

use bytes::Bytes;
use memchr::memmem;

use super::encoder::AnswerEncoder;
use super::refusal::Fault;
use super::{CallerDialect, Form, anthropic, gemini, id_of, openai, responses};
use crate::words::{AssistantPart, CallId, Error, Finished, Reply, ReplyEvent, UnavailableTarget};

/// The most targets that a comment names.
const BARRED_MAX: usize = 8;

/// Writes one answer, as a stream of events or whole. One that passes unchanged is not written here: its bytes pass.
#[derive(Debug)]
pub struct Writer {
    form: Form,
    seed: u64,
    created: u64,
    /// The call that is answered, once it is known.
    call: Option<CallId>,
    encoder: Option<Box<dyn AnswerEncoder>>,
    state: State,
    /// As far as is known before the end.
    prompt_tokens: u64,
    background: Option<Background>,
}

/// What speaks of an answer that is given in the background.
#[derive(Debug)]
struct Background {
    encoder: responses::Responses,
    /// How many of its events are left out yet.
    left_out: u64,
}

/// The state of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing is written.
    Silent,
    /// It has begun; this number of proofs were written.
    Speaking { proofs: usize },
    /// The provider's own events pass.
    Passing,
    /// Nothing may follow.
    Ended,
}

impl Writer {
    /// Returns the writer of one answer. Its ids are made of `seed`, which should be of its own for every answer;
    /// `created` is the time in seconds since 1970.
    pub fn new(form: Form, seed: u64, created: u64) -> Self {
        let (call, encoder, background) = (None, None, None);
        Self { form, seed, created, call, encoder, state: State::Silent, prompt_tokens: 0, background }
    }

    /// Lets it tell of an answer that is given in the background: a response that has its call's id, and of whose
    /// events those up to one are left out.
    #[must_use]
    pub fn in_background(mut self, call: CallId, after: Option<u64>) -> Self {
        let encoder = responses::Responses::new(self.form.clone(), self.seed, self.created).named(Some(id_of(call)));
        let encoder = encoder.in_background();
        let left_out = after.map_or(0, |number| number.saturating_add(1));
        self.background = Some(Background { encoder, left_out });
        self
    }

    /// Appends what a stream of such an answer begins with, before anything is known of it.
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        let from = out.len();
        self.speak(out);
        self.leave_out(from, out);
    }

    /// Returns such an answer before it is there.
    pub fn unfinished(self, status: &'static str) -> Bytes {
        self.background.map_or_else(Vec::new, |it| it.encoder.unfinished(status)).into()
    }

    /// Returns such an answer where there never will be one.
    pub fn unanswered(self, error: &Error) -> Bytes {
        self.background.map_or_else(Vec::new, |it| it.encoder.unanswered(&Fault::of(error))).into()
    }

    /// Leaves events out that are told already.
    fn leave_out(&mut self, from: usize, out: &mut Vec<u8>) {
        let Some(Background { left_out, .. }) = self.background.as_mut().filter(|it| it.left_out > 0) else { return };
        let mut to = from;
        while *left_out > 0
            && let Some(end) = memmem::find(&out[to..], b"\n\n")
        {
            (to, *left_out) = (to + end + 2, *left_out - 1);
        }
        out.drain(from..to);
    }

    /// Appends the bytes of an event to the stream; may be none. After the end, nothing follows.
    pub fn event(&mut self, event: &ReplyEvent, out: &mut Vec<u8>) {
        let from = out.len();
        self.write(event, out);
        self.leave_out(from, out);
    }

    fn write(&mut self, event: &ReplyEvent, out: &mut Vec<u8>) {
        if let (ReplyEvent::Finished(answer), true) = (event, self.background.is_some()) {
            self.take_name(answer);
        }
        match event {
            ReplyEvent::Started { call, target, prompt_tokens, .. } => {
                self.call = Some(*call);
                self.form.answers(&target.model);
                if let Some(Background { encoder, .. }) = &mut self.background {
                    encoder.answers(&self.form.model);
                }
                self.prompt_tokens = *prompt_tokens;
            }
            ReplyEvent::Verbatim(events) => self.pass(events, out),
            ReplyEvent::Finished(answer) if answer.verbatim.is_some() => {
                self.pass(answer.verbatim.as_deref().unwrap_or_default(), out);
                self.state = State::Ended;
            }
            ReplyEvent::Reset(failure) => {
                if self.speak(out).is_some() {
                    self.stop(&Fault::broken(failure.to_string()), out);
                }
            }
            // A call is in the answer's parts, which follow at once and give its place.
            ReplyEvent::ToolCall(_) | ReplyEvent::Waiting { .. } => {}
            ReplyEvent::Refusal
            | ReplyEvent::Text(_)
            | ReplyEvent::Reasoning(_)
            | ReplyEvent::Proof(_)
            | ReplyEvent::Finished(_) => {
                self.say(event, out);
            }
        }
    }

    /// Appends events as they came.
    fn pass(&mut self, events: &[u8], out: &mut Vec<u8>) {
        if self.state == State::Ended {
            return;
        }
        if self.background.is_some() {
            self.speak(out);
        }
        if let Some(Background { encoder, .. }) = &mut self.background {
            encoder.pass_on(events, out);
        } else {
            self.state = State::Passing;
            if self.form.caller_dialect == CallerDialect::OpenAiResponses {
                self.encoder().passed(events);
            }
            out.extend_from_slice(events);
        }
    }

    fn say(&mut self, event: &ReplyEvent, out: &mut Vec<u8>) {
        let Some(proofs) = self.speak(out) else { return };
        match event {
            ReplyEvent::Refusal => self.encoder().refuse(out),
            ReplyEvent::Text(text) => self.encoder().text(text, out),
            ReplyEvent::Reasoning(text) => self.encoder().reasoning(text, out),
            ReplyEvent::Proof(proof) => {
                self.state = State::Speaking { proofs: proofs + 1 };
                self.encoder().proof(proof, out);
            }
            ReplyEvent::Finished(answer) => {
                if !answer.sources.is_empty() {
                    self.encoder().sources(&answer.sources, out);
                }
                rest(self.encoder(), &answer.parts, proofs, out);
                self.encoder().end(answer, out);
                self.state = State::Ended;
            }
            _ => {}
        }
    }

    /// Appends the end of a stream that broke off: an error, and never what ends an answer that is whole.
    pub fn failed(&mut self, error: &Error, out: &mut Vec<u8>) {
        let from = out.len();
        if self.speak(out).is_some() {
            self.stop(&Fault::of(error), out);
        }
        self.leave_out(from, out);
    }

    /// Returns a whole answer, which is the body of a reply.
    pub fn whole(mut self, reply: &Reply) -> Bytes {
        let answer = &reply.finished;
        if let (Some(body), None) = (&answer.verbatim, &self.background) {
            return body.clone();
        }
        self.take_name(answer);
        self.call = Some(answer.call);
        if let (Some(events), Some(Background { encoder, .. })) = (&answer.verbatim, &self.background) {
            return encoder.whole_of(events).into();
        }
        let mut out = Vec::new();
        self.encoder().whole(answer, &mut out);
        out.into()
    }

    /// Takes the name of the model as an answer has it.
    fn take_name(&mut self, answer: &Finished) {
        self.form.answers(answer.model.as_deref().unwrap_or(&answer.target.model));
        if let Some(Background { encoder, .. }) = &mut self.background {
            encoder.answers(&self.form.model);
        }
    }

    /// Returns what shows in a stream that the answer is still worked on, at any time between two events. Clients
    /// of Gemini take a comment for an error and skip blank lines.
    pub const fn keep_alive(&self) -> &'static [u8] {
        match self.form.caller_dialect {
            CallerDialect::OpenAiChat | CallerDialect::OpenAiResponses => b": keep-alive\n\n",
            CallerDialect::Anthropic => b"event: ping\ndata: {\"type\": \"ping\"}\n\n",
            CallerDialect::Gemini => b"\n\n",
        }
    }

    /// Returns the same while the call is parked, with what it waits for where comments are no errors.
    pub fn waiting(&self, back_in: Option<Duration>, barred: &[UnavailableTarget]) -> Vec<u8> {
        if self.form.caller_dialect == CallerDialect::Gemini {
            return self.keep_alive().to_vec();
        }
        format!(": {}\n\n", wait_notice(back_in, barred)).into_bytes()
    }

    /// Begins the stream where it has not begun; returns how many proofs were written, `None` where it has ended.
    fn speak(&mut self, out: &mut Vec<u8>) -> Option<usize> {
        match self.state {
            State::Silent => {
                let prompt_tokens = self.prompt_tokens;
                self.encoder().begin(prompt_tokens, out);
                self.state = State::Speaking { proofs: 0 };
                Some(0)
            }
            State::Speaking { proofs } => Some(proofs),
            State::Passing => Some(0),
            State::Ended => None,
        }
    }

    fn stop(&mut self, fault: &Fault, out: &mut Vec<u8>) {
        self.encoder().fail(fault, out);
        self.state = State::Ended;
    }

    /// Returns the dialect's writer, which begins when it is known which model answers.
    fn encoder(&mut self) -> &mut dyn AnswerEncoder {
        if let Some(Background { encoder, .. }) = &mut self.background {
            return encoder;
        }
        let Self { form, seed, created, call, .. } = self;
        self.encoder
            .get_or_insert_with(|| match form.caller_dialect {
                CallerDialect::OpenAiChat => Box::new(openai::Chat::new(form.clone(), *seed, *created)),
                CallerDialect::OpenAiResponses => {
                    let id = call.map(id_of);
                    Box::new(responses::Responses::new(form.clone(), *seed, *created).named(id))
                }
                CallerDialect::Anthropic => Box::new(anthropic::Messages::new(form.clone(), *seed)),
                CallerDialect::Gemini => Box::new(gemini::Contents::new(form.clone(), *seed)),
            })
            .as_mut()
    }
}

/// Says of a parked call for how long it waits, and for which targets.
pub fn wait_notice(back_in: Option<Duration>, barred: &[UnavailableTarget]) -> String {
    let back = back_in.map_or_else(String::new, |wait| format!(", back in {} s", wait.as_millis().div_ceil(1000)));
    let named = barred.iter().take(BARRED_MAX).map(|one| format!("{} {}", one.target, one.cause));
    let named = named.collect::<Vec<_>>().join("; ").replace(char::is_control, " ");
    // None is barred any more: they come back, and calls that waited go first.
    let named = if named.is_empty() { "for its turn" } else { &*named };
    format!("waiting{back}: {named}")
}

/// Says the parts of an answer that have not come in pieces: the proof of the thought that is still open, then its
/// calls, and the proofs that stand alone.
fn rest<'a>(encoder: &mut dyn AnswerEncoder, parts: &'a [AssistantPart], told: usize, out: &mut Vec<u8>) {
    let proof = |part: &'a AssistantPart| match part {
        AssistantPart::Reasoning(thought) => Some((thought.text.is_empty(), thought.proof.as_ref()?)),
        _ => None,
    };
    let open = parts.iter().filter_map(proof).skip(told).filter(|(alone, _)| !alone);
    open.for_each(|(_, proof)| encoder.proof(proof, out));
    let mut before = 0;
    for part in parts {
        if let AssistantPart::ToolCall(call) = part {
            encoder.call(call, out);
        } else if let Some((alone, proof)) = proof(part) {
            before += 1;
            if alone && before > told {
                encoder.proof(proof, out);
            }
        }
    }
}

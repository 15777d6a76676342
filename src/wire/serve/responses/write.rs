//! Writes answers: the events of a stream, each numbered, each item from its beginning to its end; and whole responses,
//! which are what the last event of such a stream holds.

use std::io::Write as _;

use memchr::memmem;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::tools::SEARCH;
use crate::wire::request::object;
use crate::wire::responses::THOUGHT;
use crate::wire::serve::encoder::AnswerEncoder;
use crate::wire::serve::out::{event, json};
use crate::wire::serve::reading::free_input;
use crate::wire::serve::refusal::{Fault, Kind};
use crate::wire::serve::seal::{self, Proves};
use crate::wire::serve::{Form, out};
use crate::words::{AssistantPart, Dialect, Finished, Proof, Source, StopReason, ToolCall, Usage};

/// One answer in the form of responses.
#[derive(Clone, Debug)]
pub(in crate::wire::serve) struct Responses {
    form: Form,
    seed: u64,
    created: u64,
    /// The number of the next event.
    sequence: u64,
    open: Open,
    /// The items that are done: JSON, with commas between.
    output: Vec<u8>,
    /// How many of them there are.
    index: usize,
    /// Whether the model's text is a refusal.
    refuses: bool,
    /// The sources of the open message, as annotations.
    annotations: Vec<Value>,
    /// The id, where it is not made of the seed: that of its call, or of a response whose beginning passed as it came.
    named: Option<String>,
    /// Whether it is given in the background.
    background: bool,
}

/// The item that is being written, and the part of it that is written.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Open {
    None,
    Message(String),
    Thought(String),
}

/// The status of a whole response.
struct State<'a> {
    status: &'static str,
    incomplete: Option<&'static str>,
    error: Option<Value>,
    usage: Option<&'a Usage>,
}

impl Responses {
    pub(in crate::wire::serve) fn new(form: Form, seed: u64, created: u64) -> Self {
        let (open, output, annotations) = (Open::None, Vec::new(), Vec::new());
        let (sequence, index, refuses, named, background) = (0, 0, false, None, false);
        Self { form, seed, created, sequence, open, output, index, refuses, annotations, named, background }
    }

    /// Gives it the id of its call, where that is known.
    pub(in crate::wire::serve) fn named(self, id: Option<String>) -> Self {
        Self { named: id, ..self }
    }

    /// Lets it be given in the background.
    pub(in crate::wire::serve) fn in_background(self) -> Self {
        Self { background: true, ..self }
    }

    /// Returns id and date of an answer that is given in the background.
    pub(super) fn identity(&self) -> (&str, u64) {
        (self.named.as_deref().unwrap_or_default(), self.created)
    }

    /// Takes the name of the model that answers, where something was said before it was known.
    pub(in crate::wire::serve) fn answers(&mut self, model: &str) {
        model.clone_into(&mut self.form.model);
    }

    /// Returns the response while there is no answer.
    pub(in crate::wire::serve) fn unfinished(&self, status: &'static str) -> Vec<u8> {
        let mut out = Vec::new();
        self.response(&State::without(status), &mut out);
        out
    }

    /// Returns the response where there never will be an answer.
    pub(in crate::wire::serve) fn unanswered(&self, fault: &Fault) -> Vec<u8> {
        let mut out = Vec::new();
        self.response(&self.lost(fault), &mut out);
        out
    }

    /// Returns the state of a response that has no answer, and never will have.
    fn lost(&self, fault: &Fault) -> State<'static> {
        let code = match fault.kind {
            Kind::Cancelled if self.background => return State::without("cancelled"),
            Kind::Invalid | Kind::ContentPolicy | Kind::ContextTooLong | Kind::TooLarge => "invalid_prompt",
            kind => {
                let (kind, code) = kind.openai();
                code.unwrap_or(kind)
            }
        };
        State { error: Some(json!({"code": code, "message": fault.message})), ..State::without("failed") }
    }

    /// Returns the number of the next event, which is counted.
    pub(super) fn next(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence - 1
    }

    /// Returns the id of the item that is being written.
    fn id(&self, kind: &str) -> String {
        format!("{kind}_{:016x}{:04x}", self.seed, self.index)
    }

    /// Writes an event: its type and number, then its fields.
    fn event(&mut self, kind: &str, fields: Value, out: &mut Vec<u8>) {
        event(out, kind, &Event { kind, sequence_number: self.next(), fields });
    }

    /// Writes an event about the open item.
    fn tell(&mut self, kind: &str, id: &str, fields: Value, out: &mut Vec<u8>) {
        let mut about = json!({"item_id": id, "output_index": self.index});
        if let (Value::Object(about), Value::Object(fields)) = (&mut about, fields) {
            about.extend(fields);
        }
        self.event(kind, about, out);
    }

    /// Writes more of the open item: all that a token takes.
    fn delta(&mut self, kind: &str, id: [&str; 2], part: &str, text: &str, after: &str, out: &mut Vec<u8>) {
        use std::io::Write;
        let [prefix, name] = id;
        let (sequence, Self { seed, index, .. }) = (self.next(), &*self);
        write!(
            out,
            "event: {kind}\ndata: {{\"type\":\"{kind}\",\"sequence_number\":{sequence},\
             \"item_id\":\"{prefix}_{seed:016x}{index:04x}\",\"output_index\":{index},\"{name}\":0,\"{part}\":"
        )
        .expect("a buffer takes everything");
        out::json(out, text);
        out.extend_from_slice(after.as_bytes());
    }

    /// Writes that an item begins.
    fn added(&mut self, item: &(impl Serialize + ?Sized), out: &mut Vec<u8>) {
        self.about("response.output_item.added", item, out);
    }

    fn about(&mut self, kind: &'static str, item: &(impl Serialize + ?Sized), out: &mut Vec<u8>) {
        event(out, kind, &EventHead { kind, sequence_number: self.next(), output_index: self.index, item });
    }

    /// Writes that an item is done, and keeps it for the end.
    fn done(&mut self, item: &(impl Serialize + ?Sized), out: &mut Vec<u8>) {
        self.about("response.output_item.done", item, out);
        if self.index > 0 {
            self.output.push(b',');
        }
        json(&mut self.output, item);
        self.index += 1;
        self.open = Open::None;
    }

    /// Ends the open item; a thought may have a proof.
    fn close(&mut self, encrypted: Option<String>, out: &mut Vec<u8>) {
        match std::mem::replace(&mut self.open, Open::None) {
            Open::None => {}
            Open::Message(text) => {
                let id = self.id("msg");
                let part = self.part(&text);
                self.annotations.clear();
                let (kind, field) = if self.refuses {
                    ("response.refusal.done", "refusal")
                } else {
                    ("response.output_text.done", "text")
                };
                let mut told = json!({"content_index": 0, field: text});
                if !self.refuses {
                    told["logprobs"] = json!([]);
                }
                self.tell(kind, &id, told, out);
                let done = json!({"content_index": 0, "part": &part});
                self.tell("response.content_part.done", &id, done, out);
                self.done(&message(&id, "completed", &[part]), out);
            }
            Open::Thought(text) => {
                let id = self.id(THOUGHT);
                let part = json!({"type": "summary_text", "text": text});
                let done = json!({"summary_index": 0, "text": text});
                self.tell("response.reasoning_summary_text.done", &id, done, out);
                let done = json!({"summary_index": 0, "part": &part});
                self.tell("response.reasoning_summary_part.done", &id, done, out);
                self.done(&thought(&id, &[part], encrypted), out);
            }
        }
    }

    fn part(&self, text: &str) -> Value {
        if self.refuses {
            json!({"type": "refusal", "refusal": text})
        } else {
            json!({"type": "output_text", "text": text, "annotations": self.annotations, "logprobs": []})
        }
    }

    /// Writes an item that is known as a whole: a thought of which only the proof is given, a search for tools.
    fn sealed(&mut self, item: &(impl Serialize + ?Sized), out: &mut Vec<u8>) {
        self.added(item, out);
        self.done(item, out);
    }

    /// Writes the response in its current state.
    fn response(&self, state: &State<'_>, out: &mut Vec<u8>) {
        let incomplete = state.incomplete.map(|reason| json!({"reason": reason}));
        let mut head = json!({
            "id": self.named.clone().unwrap_or_else(|| format!("resp_{:016x}", self.seed)),
            "object": "response",
            "created_at": self.created,
            "status": state.status,
            "background": self.background,
            "error": state.error,
            "incomplete_details": incomplete,
            "model": self.form.model,
        });
        if let Some(tokens) = state.usage {
            head["usage"] = usage(tokens);
        }
        let head = head.to_string();
        // It may be long, and growing would hold it twice.
        out.reserve(self.form.echo.length() + self.output.len() + head.len() + 16);
        out.extend_from_slice(b"{");
        // A vector takes all that is written.
        let _ = write!(out, "{}", self.form.echo);
        out.extend_from_slice(b"\"output\":[");
        out.extend_from_slice(&self.output);
        out.extend_from_slice(b"],");
        out.extend_from_slice(&head.as_bytes()[1..]);
    }

    /// Writes an event that holds the whole response.
    fn standing(&mut self, kind: &str, state: &State<'_>, out: &mut Vec<u8>) {
        let mut response = Vec::new();
        self.response(state, &mut response);
        let response: &RawValue = serde_json::from_slice(&response).expect("it was written as JSON");
        event(out, kind, &ResponseState { kind, sequence_number: self.next(), response });
    }

    /// Writes a part of an answer that is known as a whole.
    fn part_of(&mut self, part: &AssistantPart, out: &mut Vec<u8>) {
        match part {
            AssistantPart::Text(text) => self.text(text, out),
            AssistantPart::Reasoning(reasoning) => match &reasoning.proof {
                // Its item holds what can be read of it as well.
                Some(proof) if proof.dialect == Dialect::OpenAiResponses => self.proof(proof, out),
                proof => {
                    self.close(None, out);
                    if !reasoning.text.is_empty() {
                        self.reasoning(&reasoning.text, out);
                    }
                    if let Some(proof) = proof {
                        self.proof(proof, out);
                    }
                }
            },
            AssistantPart::ToolCall(call) => self.call(call, out),
            AssistantPart::Foreign(_) => {}
        }
    }
}

impl AnswerEncoder for Responses {
    fn begin(&mut self, _: u64, out: &mut Vec<u8>) {
        if self.background {
            self.standing("response.created", &State::without("queued"), out);
            self.standing("response.queued", &State::without("queued"), out);
        } else {
            self.standing("response.created", &State::without("in_progress"), out);
        }
        self.standing("response.in_progress", &State::without("in_progress"), out);
    }

    fn refuse(&mut self, out: &mut Vec<u8>) {
        self.close(None, out);
        self.refuses = true;
    }

    fn text(&mut self, text: &str, out: &mut Vec<u8>) {
        if !matches!(self.open, Open::Message(_)) {
            self.close(None, out);
            let id = self.id("msg");
            self.added(&message(&id, "in_progress", &[]), out);
            let part = self.part("");
            self.tell("response.content_part.added", &id, json!({"content_index": 0, "part": part}), out);
            self.open = Open::Message(String::new());
        }
        if let Open::Message(told) = &mut self.open {
            told.push_str(text);
        }
        let (kind, after) = if self.refuses {
            ("response.refusal.delta", "}\n\n")
        } else {
            ("response.output_text.delta", ",\"logprobs\":[]}\n\n")
        };
        self.delta(kind, ["msg", "content_index"], "delta", text, after, out);
    }

    fn reasoning(&mut self, text: &str, out: &mut Vec<u8>) {
        if !matches!(self.open, Open::Thought(_)) {
            self.close(None, out);
            let id = self.id(THOUGHT);
            self.added(&thought(&id, &[], None), out);
            let part = json!({"type": "summary_text", "text": ""});
            self.tell("response.reasoning_summary_part.added", &id, json!({"summary_index": 0, "part": part}), out);
            self.open = Open::Thought(String::new());
        }
        if let Open::Thought(told) = &mut self.open {
            told.push_str(text);
        }
        self.delta("response.reasoning_summary_text.delta", [THOUGHT, "summary_index"], "delta", text, "}\n\n", out);
    }

    fn proof(&mut self, proof: &Proof, out: &mut Vec<u8>) {
        // The provider's item has an id of its own, which is bound to what it encrypted: it goes out as it came, or
        // whole within the one whose id is told already.
        if matches!(self.open, Open::Thought(_)) {
            self.close(Some(seal::seal(Proves::Thought, proof)), out);
            return;
        }
        self.close(None, out);
        let own = Some(proof).filter(|proof| proof.dialect == Dialect::OpenAiResponses);
        let issued = own.and_then(|proof| seal::issued(&proof.data, proof.issuer.as_deref()?));
        match issued.as_deref().or(own.map(|proof| &*proof.data)).and_then(object) {
            Some(item) => self.sealed(item, out),
            None => self.sealed(&thought(&self.id(THOUGHT), &[], Some(seal::seal(Proves::Thought, proof))), out),
        }
    }

    fn call(&mut self, call: &ToolCall, out: &mut Vec<u8>) {
        self.close(None, out);
        if let Some(proof) = &call.proof {
            let item = thought(&self.id(THOUGHT), &[], Some(seal::seal(Proves::Call, proof)));
            self.sealed(&item, out);
        }
        if self.form.searches && call.name == SEARCH {
            let arguments = object(&call.arguments);
            let item = json!({"type": "tool_search_call", "id": self.id("tsc"), "status": "completed",
                "call_id": call.id, "execution": "client", "arguments": arguments});
            return self.sealed(&item, out);
        }
        let free = self.form.free_tools.contains(&call.name);
        let (kind, event, field) = if free {
            ("custom_tool_call", "response.custom_tool_call_input", "input")
        } else {
            ("function_call", "response.function_call_arguments", "arguments")
        };
        let given = if free { free_input(&call.arguments) } else { call.arguments.as_str().to_owned() };
        let id = self.id(if free { "ctc" } else { "fc" });
        let spaced = self.form.spaces.iter().find(|[joined, ..]| *joined == call.name).cloned();
        let (space, name) = match &spaced {
            Some([_, space, name]) => (Some(space.as_str()), name.as_str()),
            None => (None, call.name.as_str()),
        };
        let item = |status: &str, given: &str| {
            let call_id = &call.id;
            let mut item =
                json!({"type": kind, "id": id, "status": status, "call_id": call_id, "name": name, field: given});
            if let Some(space) = space {
                item["namespace"] = space.into();
            }
            item
        };
        self.added(&item("in_progress", ""), out);
        self.tell(&format!("{event}.delta"), &id, json!({"delta": given}), out);
        let mut done = json!({field: given});
        if !free {
            done["name"] = name.into();
        }
        self.tell(&format!("{event}.done"), &id, done, out);
        self.done(&item("completed", &given), out);
    }

    fn sources(&mut self, sources: &[Source], out: &mut Vec<u8>) {
        if !matches!(self.open, Open::Message(_)) {
            return;
        }
        let (all, id) = (annotations(sources), self.id("msg"));
        for (at, annotation) in all.iter().enumerate() {
            let told = json!({"content_index": 0, "annotation_index": at, "annotation": annotation});
            self.tell("response.output_text.annotation.added", &id, told, out);
        }
        self.annotations = all;
    }

    fn passed(&mut self, events: &[u8]) {
        let after = |at: usize, name: &[u8]| events[at + name.len()..].trim_ascii_start();
        if let Some(at) = memmem::rfind(events, SEQUENCE) {
            let digits = after(at, SEQUENCE).iter().take_while(|byte| byte.is_ascii_digit());
            let number = digits.fold(0_u64, |sum, digit| sum.saturating_mul(10).saturating_add((digit - b'0').into()));
            self.sequence = number.saturating_add(1);
        }
        if self.named.is_none()
            && let Some(at) = memmem::find(events, ID)
        {
            let name = after(at, ID).strip_prefix(b"\"").unwrap_or_default();
            let end = name.iter().position(|byte| *byte == b'"').unwrap_or(0);
            self.named = std::str::from_utf8(&name[..end]).ok().filter(|id| id.starts_with("resp")).map(str::to_owned);
        }
    }

    fn end(&mut self, answer: &Finished, out: &mut Vec<u8>) {
        self.close(None, out);
        let state = State::of(answer, self.refuses);
        let kind = if state.incomplete.is_some() { "response.incomplete" } else { "response.completed" };
        self.standing(kind, &state, out);
    }

    fn fail(&mut self, fault: &Fault, out: &mut Vec<u8>) {
        let state = self.lost(fault);
        self.standing("response.failed", &state, out);
    }

    fn whole(&self, answer: &Finished, out: &mut Vec<u8>) {
        // A stream that is thrown away; only its last event is used.
        let mut told = Self { refuses: answer.refuses, ..self.clone() };
        let mut unread = Vec::new();
        let last = answer.parts.iter().rposition(|part| part.as_text().is_some());
        for (at, part) in answer.parts.iter().enumerate() {
            told.part_of(part, &mut unread);
            if Some(at) == last {
                told.sources(&answer.sources, &mut unread);
            }
            unread.clear();
        }
        told.close(None, &mut unread);
        told.response(&State::of(answer, told.refuses), out);
    }
}

impl<'a> State<'a> {
    /// Returns the state of a response that has no answer.
    const fn without(status: &'static str) -> Self {
        Self { status, incomplete: None, error: None, usage: None }
    }

    fn of(answer: &'a Finished, refuses: bool) -> Self {
        let incomplete = match answer.stop {
            StopReason::Length => Some("max_output_tokens"),
            StopReason::ContentFilter => Some("content_filter"),
            // That the model declined was known too late to say it in a part of its own.
            StopReason::Refusal if !refuses => Some("content_filter"),
            _ => None,
        };
        let status = if incomplete.is_some() { "incomplete" } else { "completed" };
        Self { status, incomplete, error: None, usage: Some(&answer.usage) }
    }
}

/// The fields for the number of an event and the id of a response.
const SEQUENCE: &[u8] = b"\"sequence_number\":";
const ID: &[u8] = b"\"id\":";

/// Returns sources as annotations of a message's text.
fn annotations(sources: &[Source]) -> Vec<Value> {
    let cited = |Source { url, title, place, .. }: &Source| {
        json!({"type": "url_citation", "url": url, "title": title,
            "start_index": place.start, "end_index": place.end})
    };
    sources.iter().map(cited).collect()
}

#[derive(Serialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    sequence_number: u64,
    #[serde(flatten)]
    fields: Value,
}

#[derive(Serialize)]
struct EventHead<'a, T: ?Sized> {
    #[serde(rename = "type")]
    kind: &'static str,
    sequence_number: u64,
    output_index: usize,
    item: &'a T,
}

#[derive(Serialize)]
struct ResponseState<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    sequence_number: u64,
    response: &'a RawValue,
}

fn message(id: &str, status: &str, content: &[Value]) -> Value {
    json!({"type": "message", "id": id, "status": status, "role": "assistant", "content": content})
}

fn thought(id: &str, summary: &[Value], encrypted: Option<String>) -> Value {
    let mut item = json!({"type": "reasoning", "id": id, "summary": summary});
    if let Some(encrypted) = encrypted {
        item["encrypted_content"] = encrypted.into();
    }
    item
}

fn usage(usage: &Usage) -> Value {
    json!({
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": usage.cache_write},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input.saturating_add(usage.output),
    })
}

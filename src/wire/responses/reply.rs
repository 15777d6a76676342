//! Reads answers: events of a stream, and whole replies, which a stream's last event repeats.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::shape::{EVENT, EVENTS, ITEMS, RESPONSE, SERVED};
use crate::wire::draft::{Draft, Forwarding, Fragment, arguments, broken, cut};
use crate::wire::edit::{Array, Edits, Object, find, quoted, text};
use crate::wire::json::{Content, Scalar, loose, parse, says_something};
use crate::wire::seal::unissued;
use crate::wire::stop_reason::stop_reason;
use crate::wire::{bill, classify};
use crate::words::{Dialect, DriftKind, Failure, FailureClass, Piece, Proof, StopReason, Usage};

/// Reads one event of a stream; tells whether it had content.
pub(in crate::wire) fn read_event(
    draft: &mut Draft,
    name: &str,
    data: &str,
    out: &mut Vec<Piece>,
) -> Result<bool, Failure> {
    let data = data.trim();
    // Some gateways end the stream as chat completions do, after its true end.
    if data == "[DONE]" {
        draft.forwarding = Forwarding::OtherEnd;
    }
    if matches!(data, "" | "[DONE]") {
        return Ok(false);
    }
    if name == "error" {
        return Err(classify::in_band(data));
    }
    match parse::<Event<'_>>(data) {
        // A whole answer in the only event of a stream.
        Ok(event) if event.kind.text().is_empty() && event.object.text() == "response" && draft.is_empty() => {
            let content = read_whole(draft, data, out)?;
            draft.is_whole(data);
            Ok(content)
        }
        Ok(event) => event.read(draft, name, data, out),
        // Events of other names belong to no answer.
        Err(_) if !matches!(name, "" | "message") && !name.starts_with("response.") => {
            draft.drifts.note(DriftKind::Event, name);
            Ok(false)
        }
        Err(problem) => Err(broken(data, &problem)),
    }
}

/// Reads a whole answer; tells whether it had content.
pub(in crate::wire) fn read_whole(draft: &mut Draft, body: &str, out: &mut Vec<Piece>) -> Result<bool, Failure> {
    match parse::<Response<'_>>(body) {
        Ok(response) if response.is_empty() => classify::recognise(body).map_or(Ok(false), Err),
        Ok(response) => {
            draft.drifts.look(&RESPONSE, body, true);
            let content = response.read(draft, None, out)?;
            repair_all(draft, body, &["output"]);
            Ok(content)
        }
        Err(problem) => Err(broken(body, &problem)),
    }
}

loose! {
    /// One event of a stream, of any type.
    #[derive(Deserialize)]
    struct Event<'a> {
        #[serde(rename = "type")]
        kind: Scalar<'a>,
        object: Scalar<'a>,
        delta: Content<'a>,
        output_index: Scalar<'a>,
        item: Option<&'a RawValue>,
        annotation: Option<&'a RawValue>,
        /// What the ends of parts say.
        text: Option<&'a RawValue>,
        refusal: Option<&'a RawValue>,
        part: Option<&'a RawValue>,
        arguments: Option<&'a RawValue>,
        call_id: Scalar<'a>,
        name: Scalar<'a>,
        response: Option<&'a RawValue>,
        error: Option<&'a RawValue>,
    }
}

impl Event<'_> {
    fn read(self, draft: &mut Draft, name: &str, data: &str, out: &mut Vec<Piece>) -> Result<bool, Failure> {
        let index = self.output_index.count();
        // Some servers tell an event's kind by its name alone.
        let kind = match self.kind.text() {
            "" => name,
            kind => kind,
        };
        match kind {
            "response.output_text.delta" => Ok(draft.text(self.delta.text, out)),
            "response.output_text.annotation.added" => {
                if let (Some(annotation), false) = (self.annotation, draft.verbatim) {
                    draft.sources.annotation(annotation);
                }
                Ok(false)
            }
            "response.refusal.delta" => Ok(draft.refusal(self.delta.text, out)),
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                Ok(draft.reasoning(self.delta.text, out))
            }
            // Items of other types may have arguments, too; a call whose beginning never came is told when it is done.
            "response.function_call_arguments.delta" if draft.has_call(index) => {
                draft.fragment(Fragment { index, arguments: self.delta.text, ..Fragment::default() })
            }
            "response.output_text.done" => Ok(draft.end_of_text(&said(self.text), out)),
            "response.refusal.done" => Ok(draft.end_of_refusal(&said(self.refusal), out)),
            "response.reasoning_summary_text.done" | "response.reasoning_text.done" => {
                Ok(draft.end_of_reasoning(&said(self.text), out))
            }
            "response.content_part.done" | "response.reasoning_summary_part.done" => {
                Ok(self.part.and_then(lax::<Part<'_>>).is_some_and(|part| part.end(draft, out)))
            }
            "response.function_call_arguments.done" => {
                let (id, name, arguments) = (self.call_id.text(), self.name.text(), arguments(self.arguments)?);
                draft.end_of_call(Fragment { index, id, name, arguments, proof: None })
            }
            "response.output_item.added" => match self.item.and_then(lax::<Item<'_>>) {
                Some(item) if item.kind.text() == "function_call" => {
                    let content = draft.fragment(item.call(index)?)?;
                    item.repair(draft, index, data);
                    Ok(content)
                }
                Some(item) => Ok(item.note_foreign_part(draft)),
                None => Ok(false),
            },
            "response.output_item.done" => match self.item.and_then(|raw| Some((lax::<Item<'_>>(raw)?, raw))) {
                Some((item, raw)) => {
                    let content = item.end(draft, out);
                    let content = item.done(draft, index, raw)? || content;
                    item.repair(draft, index, data);
                    Ok(content)
                }
                None => Ok(false),
            },
            "response.created" => {
                if let Some(response) = self.response.and_then(lax::<Head<'_>>) {
                    draft.identify(response.id.text(), response.model.text());
                }
                Ok(false)
            }
            "response.completed" | "response.incomplete" | "response.failed" | "response.done" => {
                draft.drifts.look(&EVENT, data, true);
                // What is only done says in itself how it ended.
                let status = kind.strip_prefix("response.").filter(|status| *status != "done");
                let response = self.response.unwrap_or(RawValue::NULL).get();
                let response = parse::<Option<Response<'_>>>(response).map_err(|problem| broken(data, &problem))?;
                let content = response.unwrap_or_default().read(draft, status, out)?;
                repair_all(draft, data, &["response", "output"]);
                Ok(content)
            }
            "error" => Err(classify::in_band(data)),
            _ if self.error.is_some_and(says_something) => Err(classify::in_band(data)),
            "" => classify::recognise(data).map_or(Ok(false), Err),
            kind => {
                if !EVENTS.contains(&kind) {
                    draft.drifts.note(DriftKind::Event, kind);
                }
                Ok(false)
            }
        }
    }
}

/// Returns a text that an answer can do without.
fn said(raw: Option<&RawValue>) -> Cow<'_, str> {
    raw.and_then(lax::<Content<'_>>).unwrap_or_default().text
}

/// Reads JSON that an answer can do without.
fn lax<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Option<T> {
    parse(raw.get()).ok()
}

loose! {
    /// The answer's id and model, as its first event has them.
    #[derive(Deserialize)]
    struct Head<'a> {
        id: Scalar<'a>,
        model: Scalar<'a>,
    }

    /// A whole answer, or the last state of one that was streamed.
    #[derive(Default, Deserialize)]
    struct Response<'a> {
        id: Scalar<'a>,
        model: Scalar<'a>,
        status: Scalar<'a>,
        incomplete_details: Option<Incomplete<'a>>,
        error: Option<&'a RawValue>,
        output: Option<Vec<&'a RawValue>>,
        usage: Option<&'a RawValue>,
        service_tier: Scalar<'a>,
    }
}

/// The kind of an item.
#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Scalar<'a>,
}

#[derive(Deserialize)]
struct Incomplete<'a> {
    #[serde(borrow, default)]
    reason: Scalar<'a>,
}

impl Response<'_> {
    /// Tells whether it is no answer at all.
    fn is_empty(&self) -> bool {
        let is_own = matches!(
            self.status.text(),
            "completed" | "incomplete" | "failed" | "in_progress" | "queued" | "cancelled"
        );
        self.output.is_none() && !is_own && !self.error.is_some_and(says_something)
    }

    /// Reads how the answer ended, and the parts that have not come before. The event's type, where there is one, is
    /// the status.
    fn read(self, draft: &mut Draft, status: Option<&str>, out: &mut Vec<Piece>) -> Result<bool, Failure> {
        if let Some(error) = self.error.filter(|error| says_something(error)) {
            return Err(classify::in_band(error.get()));
        }
        draft.identify(self.id.text(), self.model.text());
        if let Some(usage) = self.usage.and_then(lax::<Tokens<'_>>) {
            draft.usage = usage.normal().or(draft.usage);
        }
        draft.bill.cost_usd = self.usage.and_then(|raw| bill::cost(raw.get())).or(draft.bill.cost_usd);
        bill::serve(&mut draft.bill, self.service_tier.text());
        let is_search =
            |raw: &&&RawValue| lax::<Kind<'_>>(raw).is_some_and(|item| item.kind.text() == "web_search_call");
        let searches = self.output.iter().flatten().filter(is_search).count() as u64;
        draft.bill.searches = draft.bill.searches.max(searches);
        let mut content = false;
        let items = self.output.iter().flatten().filter_map(|raw| Some((lax::<Item<'_>>(raw)?, raw)));
        if draft.is_empty() {
            for (index, (item, raw)) in items.enumerate() {
                content |= item.say(draft, out);
                content |= item.done(draft, u64::try_from(index).ok(), raw)?;
                item.tell(draft);
            }
        } else {
            content |= repeated(items.map(|(item, _)| item), draft, out)?;
        }
        let reason = self.incomplete_details.as_ref().map_or("", |details| details.reason.text());
        match status.unwrap_or(self.status.text()) {
            "" | "completed" => draft.stopped(StopReason::Stop),
            // It is not complete, whatever it says of that.
            "incomplete" if stop_reason(reason) == Some(StopReason::Stop) => draft.stopped(StopReason::Other),
            "incomplete" => draft.stopped_by_word(reason)?,
            "failed" => return Err(Failure::new(FailureClass::Server, "the provider reports an error, not which")),
            other => return Err(cut(&format!("the answer came when it was `{other}`"))),
        }
        draft.done = true;
        Ok(content)
    }
}

/// Reads items that repeat all that came before: new is only what that left out.
fn repeated<'a>(
    items: impl Iterator<Item = Item<'a>>,
    draft: &mut Draft,
    out: &mut Vec<Piece>,
) -> Result<bool, Failure> {
    let (mut whole, mut refusal, mut calls, mut content) = (String::new(), false, 0, false);
    for item in items {
        match item.kind.text() {
            "message" => {
                for part in parts(item.content) {
                    refusal |= !part.refusal.text.is_empty();
                    whole.extend([&*part.text.text, &*part.refusal.text]);
                }
            }
            "function_call" => {
                let begun = draft.calls_begun();
                content |= draft.repeated_call(calls, item.call(None)?)?;
                calls += 1;
                if draft.calls_begun() > begun {
                    item.tell(draft);
                }
            }
            _ => {}
        }
    }
    let said = if refusal { draft.end_of_refusals(&whole, out) } else { draft.end_of_texts(&whole, out) };
    Ok(said || content)
}

loose! {
    /// A piece of an answer: a message, reasoning, a call. Tools that run at the provider leave items of other types.
    #[derive(Deserialize)]
    struct Item<'a> {
        #[serde(rename = "type")]
        kind: Scalar<'a>,
        id: Scalar<'a>,
        call_id: Scalar<'a>,
        name: Scalar<'a>,
        arguments: Option<&'a RawValue>,
        content: Option<&'a RawValue>,
        summary: Option<&'a RawValue>,
        encrypted_content: Scalar<'a>,
    }

    #[derive(Deserialize)]
    struct Part<'a> {
        #[serde(rename = "type")]
        kind: Scalar<'a>,
        text: Content<'a>,
        refusal: Content<'a>,
        annotations: Option<&'a RawValue>,
    }
}

/// Returns the parts of a text or of reasoning.
fn parts(raw: Option<&RawValue>) -> Vec<Part<'_>> {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}

impl Part<'_> {
    /// Takes the part's end, which says all of it; tells whether that was more than its pieces.
    fn end(&self, draft: &mut Draft, out: &mut Vec<Piece>) -> bool {
        match self.kind.text() {
            "summary_text" | "reasoning_text" => draft.end_of_reasoning(&self.text.text, out),
            _ => {
                let content = draft.end_of_text(&self.text.text, out);
                draft.end_of_refusal(&self.refusal.text, out) || content
            }
        }
    }
}

impl Item<'_> {
    /// Takes the item's text and reasoning; tells whether there was any.
    fn say(&self, draft: &mut Draft, out: &mut Vec<Piece>) -> bool {
        let mut content = false;
        match self.kind.text() {
            "message" => {
                for part in parts(self.content) {
                    content |= draft.text(part.text.text, out);
                    content |= draft.refusal(part.refusal.text, out);
                }
            }
            "reasoning" => {
                for part in [self.summary, self.content].into_iter().flat_map(parts) {
                    content |= draft.reasoning(part.text.text, out);
                }
            }
            _ => {}
        }
        content
    }

    /// Takes the ends of its parts, each of which says all of its part; tells whether that was more than their pieces.
    fn end(&self, draft: &mut Draft, out: &mut Vec<Piece>) -> bool {
        let mut content = false;
        match self.kind.text() {
            "message" => {
                for part in parts(self.content) {
                    content |= part.end(draft, out);
                }
            }
            "reasoning" => {
                for part in [self.summary, self.content].into_iter().flat_map(parts) {
                    content |= draft.end_of_reasoning(&part.text.text, out);
                }
            }
            _ => {}
        }
        content
    }

    /// Takes what only a complete item has: the proof of reasoning, and a call as a whole.
    fn done(&self, draft: &mut Draft, index: Option<u64>, raw: &RawValue) -> Result<bool, Failure> {
        match self.kind.text() {
            // Without its encrypted content an item cannot go back: the provider has not kept it.
            "reasoning" if !self.encrypted_content.text().is_empty() => {
                // One that went on as it came may have its provider's name on it already.
                draft.prove(Proof::new(Dialect::OpenAiResponses, unissued(raw.get()).1));
                Ok(false)
            }
            "function_call" => draft.whole_call(self.call(index)?),
            "message" if !draft.verbatim => {
                let annotations = parts(self.content).into_iter().filter_map(|part| part.annotations);
                annotations.for_each(|annotations| draft.sources.annotations(annotations));
                Ok(false)
            }
            kind => {
                if !ITEMS.contains(&kind) {
                    draft.drifts.note(DriftKind::Part, kind);
                }
                Ok(self.note_foreign_part(draft))
            }
        }
    }

    /// Takes note of an item that the common form cannot express; tells whether the caller gets it.
    fn note_foreign_part(&self, draft: &mut Draft) -> bool {
        match self.kind.text() {
            "" | "message" | "reasoning" => false,
            kind if SERVED.contains(&kind) || !kind.contains("_call") && kind != "mcp_approval_request" => {
                draft.note_foreign_part()
            }
            _ => draft.acts(),
        }
    }

    /// Lets a call have an id of its own for a client that gets the answer as it came.
    fn tell(&self, draft: &mut Draft) {
        if draft.verbatim && self.kind.text() == "function_call" {
            draft.told();
        }
    }

    /// Passes on an event about a call with the id by which clients know it.
    fn repair(&self, draft: &mut Draft, index: Option<u64>, data: &str) {
        self.tell(draft);
        if !draft.verbatim || self.kind.text() != "function_call" {
            return;
        }
        let item = find(data, &["item"]);
        let Some(id) = item.and_then(|item| id_of(item, draft.id_for_clients(index))) else { return };
        let mut edits = Edits::new(data);
        name(item, &id, &mut edits);
        draft.forwarding = Forwarding::Replace(edits.finish().into_owned());
    }

    fn call(&self, index: Option<u64>) -> Result<Fragment<'_>, Failure> {
        let id = if self.call_id.text().is_empty() { self.id.text() } else { self.call_id.text() };
        Ok(Fragment { index, id, name: self.name.text(), arguments: arguments(self.arguments)?, proof: None })
    }
}

/// Passes on a response with the ids by which clients know its calls, where it has all of them.
fn repair_all(draft: &mut Draft, data: &str, output: &[&str]) {
    if !draft.verbatim || draft.calls_begun() == 0 {
        return;
    }
    let items = find(data, output).and_then(Array::of);
    let is_call = |item: &&str| find(item, &["type"]).and_then(text).as_deref() == Some("function_call");
    let calls: Vec<&str> = items.iter().flat_map(Array::items).filter(is_call).collect();
    if calls.len() != draft.ids_for_clients().count() {
        return;
    }
    let mut edits = Edits::new(data);
    for (call, given) in calls.into_iter().zip(draft.ids_for_clients()) {
        if let Some(id) = id_of(call, given) {
            name(Some(call), &id, &mut edits);
        }
    }
    if !edits.is_empty() {
        draft.forwarding = Forwarding::Replace(edits.finish().into_owned());
    }
}

/// Returns the id that a call must get: the given one or, where it has none, that of its item, by which it is known
/// here.
fn id_of<'a>(call: &'a str, given: Option<&str>) -> Option<Cow<'a, str>> {
    let said = |field: &str| find(call, &[field]).and_then(text).filter(|id| !id.is_empty());
    let own = || if said("call_id").is_none() { said("id") } else { None };
    given.map(|given| Cow::Owned(given.to_owned())).or_else(own)
}

/// Gives a call its id.
fn name<'a>(call: Option<&'a str>, id: &str, edits: &mut Edits<'a>) {
    if let Some(mut call) = call.and_then(Object::of) {
        call.set("call_id", quoted(id), edits);
        call.finish(edits);
    }
}

loose! {
    /// Usage as this dialect counts it.
    #[derive(Deserialize)]
    #[expect(clippy::struct_field_names, reason = "the names are the wire's")]
    struct Tokens<'a> {
        input_tokens: Scalar<'a>,
        output_tokens: Scalar<'a>,
        input_tokens_details: Option<Details<'a>>,
        output_tokens_details: Option<Details<'a>>,
    }

    #[derive(Deserialize)]
    #[expect(clippy::struct_field_names, reason = "the names are the wire's")]
    struct Details<'a> {
        cached_tokens: Scalar<'a>,
        cache_write_tokens: Scalar<'a>,
        reasoning_tokens: Scalar<'a>,
    }
}

impl Tokens<'_> {
    /// Returns the usage in this crate's count; `None` where it says nothing.
    fn normal(&self) -> Option<Usage> {
        let count = |count: &Scalar<'_>| count.count().unwrap_or(0);
        let (input, output) = (self.input_tokens_details.as_ref(), self.output_tokens_details.as_ref());
        let usage = Usage {
            input: count(&self.input_tokens),
            output: count(&self.output_tokens),
            cached: input.map_or(0, |details| count(&details.cached_tokens)),
            cache_write: input.map_or(0, |details| count(&details.cache_write_tokens)),
            reasoning: output.map_or(0, |details| count(&details.reasoning_tokens)),
        };
        (usage != Usage::default()).then_some(usage)
    }
}

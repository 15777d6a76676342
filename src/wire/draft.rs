//! An answer while it is decoded: every dialect's decoder fills it in, and here it is judged.
//!
//! Input: texts, reasoning, fragments of tool calls, the reason of the end and the usage. Output: pieces as they come,
//! and one [`Ending`]. Which answers are cut, empty or unusable is decided here, once for all dialects.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::classify;
use super::drift::Drifts;
use super::ending::Ending;
use super::halves::Joiner;
use super::partial_args::PartialArgs;
pub(super) use super::partial_call::{Fragment, arguments, cut, unusable};
use super::partial_call::{PartialCall, made_up};
use super::sources::Sources;
use super::stop_reason::{is_error, is_window, stop_reason};
use super::stops::Stops;
use super::thought_blocks::ThoughtBlocks;
use super::told::Told;
use crate::words::{
    AssistantPart, Bill, DriftKind, Failure, FailureClass, Piece, Proof, Reasoning, Scope, StopReason, Text, Usage,
};

/// The most tool calls of one answer. OpenAI takes 128 tools; a model with more calls than that in one turn is out of
/// control.
const TOOL_CALLS_MAX: usize = 128;

/// A kind of output of an answer: what the model says, thinks and calls.
#[derive(Clone, Copy, Debug)]
pub(super) enum OutputKind {
    Text,
    Thought,
    Calls,
}

/// How an event is passed on in an answer that passes unchanged.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Forwarding {
    /// It is passed on.
    #[default]
    Pass,
    /// It holds usage and no part of the answer: if that is all, it is passed on to a caller that asked for it.
    Usage,
    /// It is the end marker of another dialect: it is dropped.
    OtherEnd,
    /// It came after the end and cannot be read: it is dropped.
    Drop,
    /// Other data is passed on in its place.
    Replace(String),
    /// It is a whole answer, this one: it is passed on as the events in which it would have been streamed.
    Whole(String),
}

/// The effect of a fragment of a tool call.
#[derive(Debug)]
struct FragmentEffect {
    /// The call that it belongs to.
    at: usize,
    begins: bool,
    named: bool,
    added: Option<String>,
}

/// The parts that a fragment of a tool call must contain for the client.
#[derive(Debug)]
pub(super) struct FragmentPatch {
    /// The call's index.
    pub(super) index: u64,
    /// Whether the call begins with it.
    pub(super) begins: bool,
    /// Whether its name is a new piece of the call's name, not a repetition.
    pub(super) named: bool,
    /// What it adds to the arguments, where that differs from what it holds.
    pub(super) added: Option<String>,
    /// The id that it must give the call, which has none or that of another.
    pub(super) id: Option<String>,
}

/// An answer while it is decoded.
#[derive(Debug, Default)]
pub(super) struct Draft {
    /// Its bytes are passed on: no pieces are made of it.
    pub(super) verbatim: bool,
    /// Its texts are not asked for in the end: they are not gathered.
    pub(super) forgets: bool,
    /// It is a stream that passes unchanged, and JSON was asked for.
    pub(super) unfences: bool,
    /// The text of the event that is being read, where it is needed.
    pub(super) said: String,
    /// An end by a filter counts as an answer, for a caller that gets the answer unchanged; not by one that only its
    /// host has.
    pub(super) filtered: bool,
    /// How the event that is being read is passed on.
    pub(super) forwarding: Forwarding,
    /// Something came that can be shown: text, reasoning, and what the common form cannot express where it passes
    /// unchanged.
    pub(super) shows: bool,
    /// A call came that the caller must act on: everything after it waits for the end.
    pub(super) acts: bool,
    /// Arguments came that replace the empty ones before: those must not reach the client.
    pub(super) instead: bool,
    /// The last event was about a tool that the provider runs.
    pub(super) works: bool,
    /// Bytes of text and reasoning.
    pub(super) bytes: usize,
    /// Bytes of all content: calls and proofs, too.
    pub(super) size: usize,
    /// The terminal marker came: nothing more is read.
    pub(super) done: bool,
    pub(super) stop: Option<StopReason>,
    stop_sequence: Option<Arc<str>>,
    /// The sources that it cites.
    pub(super) sources: Sources,
    pub(super) usage: Option<Usage>,
    /// What its provider told of its bill beside the tokens.
    pub(super) bill: Bill,
    /// Unknown events, fields and codes that came.
    pub(super) drifts: Drifts,
    model: Option<Arc<str>>,
    /// The model that was asked, by the name of its family, where that is known.
    pub(super) asked: Option<Arc<str>>,
    /// The provider that sends it, where it has a name: its proofs are then its own.
    pub(super) issuer: Option<Arc<str>>,
    /// When its provider says that it was made.
    pub(super) created: u64,
    /// The provider's id of the answer, and what tells it from every other, to make ids of tool calls that have none.
    pub(super) id: String,
    pub(super) salt: u64,
    /// The most tokens of the answer that were asked for.
    pub(super) output_tokens_max: Option<u32>,
    /// Whether halves of characters came.
    pub(super) halves: bool,
    text_half: Joiner,
    /// What came of its text and of its reasoning, for the ends that repeat them.
    told: Told,
    told_thought: Told,
    /// The names of tools of free text.
    pub(super) free: Vec<String>,
    /// Stop sequences that are looked for here.
    pub(super) stops: Stops,
    thought_half: Joiner,
    /// It says its thoughts in a field for them: the blocks beside repeat them.
    pub(super) thinks_plainly: bool,
    /// Blocks of thoughts that are not proven yet.
    blocks: ThoughtBlocks,
    /// By which of several choices each voice is told.
    first_choices: [Option<u64>; 3],
    parts: Vec<AssistantPart>,
    calls: Vec<PartialCall>,
    /// The effect of the last fragment.
    last: Option<FragmentEffect>,
    spoke: bool,
    /// The text with which a part began, as long as it is not known whether it is repeated.
    begun: String,
    thought: bool,
    has_foreign_parts: bool,
    refused: bool,
    /// It ended by a filter that only its host has.
    hosts_filter: bool,
    /// Whether the answer ended where the model's window did.
    full: bool,
    /// The failure that its provider reports, in an answer that passes unchanged.
    flaw: Option<Failure>,
    /// Proofs that go out with the next content: alone they commit no caller to an answer.
    held: Vec<Proof>,
}

impl Draft {
    /// Notes the answer's id and the model's name, the first of each.
    pub(super) fn identify(&mut self, id: &str, model: &str) {
        if self.id.is_empty() && !id.is_empty() {
            id.clone_into(&mut self.id);
        }
        if self.model.is_none() && !model.is_empty() {
            self.model = Some(model.into());
        }
    }

    /// Returns the model's name as the provider spelled it, where it did.
    pub(super) fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// Takes text of the answer; tells whether there was any.
    pub(super) fn text(&mut self, text: Cow<'_, str>, out: &mut Vec<Piece>) -> bool {
        self.told.piece(&text);
        self.add(text, out)
    }

    /// Takes the end of a part of the text, which says all of it: what its pieces did not say is added.
    pub(super) fn end_of_text(&mut self, whole: &str, out: &mut Vec<Piece>) -> bool {
        let rest = self.told.end(whole);
        self.add(rest.into(), out)
    }

    /// Takes the end of all of the text in the same way.
    pub(super) fn end_of_texts(&mut self, whole: &str, out: &mut Vec<Piece>) -> bool {
        let rest = self.told.end_of_all(whole);
        self.add(rest.into(), out)
    }

    fn add(&mut self, text: Cow<'_, str>, out: &mut Vec<Piece>) -> bool {
        let text = if self.halves { Cow::Owned(self.text_half.push(&text)) } else { text };
        let text = if self.stops.is_empty() { text } else { Cow::Owned(self.stops.push(&text)) };
        if let Some(sequence) = self.stops.met() {
            self.stop_sequence = Some(sequence.into());
            (self.done, self.stop) = (true, Some(StopReason::Stop));
        }
        self.say(text, out)
    }

    /// Takes the text with which a part of a stream begins, where most begin with none.
    pub(super) fn begin_text(&mut self, text: &str) {
        text.clone_into(&mut self.begun);
    }

    /// Takes the beginning into the answer, unless what follows repeats it; tells whether there was any.
    pub(super) fn say_begun(&mut self, follows: &str, out: &mut Vec<Piece>) -> bool {
        let begun = std::mem::take(&mut self.begun);
        !follows.starts_with(&*begun) && self.text(begun.into(), out)
    }

    fn say(&mut self, text: Cow<'_, str>, out: &mut Vec<Piece>) -> bool {
        if text.is_empty() {
            return false;
        }
        // A refusal is no JSON.
        if self.unfences && !self.refused {
            self.said.push_str(&text);
        }
        self.spoke = true;
        self.sources.told(text.len());
        self.shows(&text);
        if !self.forgets {
            match self.open_part() {
                Some(AssistantPart::Text(last)) => last.push_str(&text),
                _ => self.parts.push(AssistantPart::Text(text.clone().into())),
            }
        }
        if self.verbatim {
            return true;
        }
        out.extend(self.held.drain(..).map(Piece::Proof));
        // Texts that arrived together go on together: one message to the caller, not fifty.
        match out.last_mut() {
            Some(Piece::Text(last)) => last.push_str(&text),
            _ => out.push(Piece::Text(text.into_owned())),
        }
        true
    }

    /// Takes visible reasoning; tells whether there was any.
    pub(super) fn reasoning(&mut self, text: Cow<'_, str>, out: &mut Vec<Piece>) -> bool {
        self.told_thought.piece(&text);
        self.think(text, out)
    }

    /// Takes the end of a part of it, which says all of that: what its pieces did not say is added.
    pub(super) fn end_of_reasoning(&mut self, whole: &str, out: &mut Vec<Piece>) -> bool {
        let rest = self.told_thought.end(whole);
        self.think(rest.into(), out)
    }

    fn think(&mut self, text: Cow<'_, str>, out: &mut Vec<Piece>) -> bool {
        let text = if self.halves { Cow::Owned(self.thought_half.push(&text)) } else { text };
        if text.is_empty() {
            return false;
        }
        self.thought = true;
        self.shows(&text);
        if self.verbatim {
            return true;
        }
        match self.open_part() {
            Some(AssistantPart::Reasoning(last)) if last.proof.is_none() => last.text.push_str(&text),
            _ => self.parts.push(AssistantPart::Reasoning(text.clone().into_owned().into())),
        }
        out.extend(self.held.drain(..).map(Piece::Proof));
        match out.last_mut() {
            Some(Piece::Reasoning(last)) => last.push_str(&text),
            _ => out.push(Piece::Reasoning(text.into_owned())),
        }
        true
    }

    /// Takes the end that was held back: half a character, which stays alone.
    pub(super) fn flush(&mut self, out: &mut Vec<Piece>) {
        self.halves = false;
        if let Some(half) = self.thought_half.finish() {
            self.think(half.to_string().into(), out);
        }
        if let Some(half) = self.text_half.finish() {
            self.add(half.to_string().into(), out);
        }
        let held = self.stops.finish();
        self.say(held.into(), out);
    }

    fn shows(&mut self, text: &str) {
        self.shows = true;
        self.works = false;
        self.bytes += text.len();
        self.size += text.len();
    }

    /// Takes note of content that the common form cannot express; tells whether the caller gets it: only an answer that
    /// passes unchanged keeps it.
    pub(super) fn note_foreign_part(&mut self) -> bool {
        self.has_foreign_parts = true;
        self.shows |= self.verbatim;
        self.works = self.verbatim;
        self.verbatim
    }

    /// Takes note of a call that the common form cannot express and that the caller is to act on.
    pub(super) fn acts(&mut self) -> bool {
        self.acts = true;
        self.has_foreign_parts = true;
        self.verbatim
    }

    /// Takes what the provider wants back with what came last: the proof of that reasoning, or a part of its own.
    pub(super) fn prove(&mut self, mut proof: Proof) {
        proof.issuer.clone_from(&self.issuer);
        self.size += proof.data.len();
        if self.verbatim {
            return;
        }
        match self.open_part() {
            Some(AssistantPart::Reasoning(last)) if last.proof.is_none() => {
                last.proof = Some(proof.clone());
                self.held.push(proof);
            }
            _ => self.stands_alone(proof),
        }
    }

    fn stands_alone(&mut self, proof: Proof) {
        self.held.push(proof.clone());
        self.parts.push(AssistantPart::Reasoning(Reasoning { text: Text::default(), proof: Some(proof) }));
    }

    /// Takes blocks of thoughts from a field of their own: those that are proven.
    pub(super) fn prove_blocks(&mut self, field: &str, blocks: &RawValue) {
        for proof in self.blocks.push(field, blocks) {
            self.prove(proof);
        }
    }

    /// Takes reasoning that is encrypted.
    pub(super) fn seal(&mut self, mut proof: Proof) {
        proof.issuer.clone_from(&self.issuer);
        self.size += proof.data.len();
        if !self.verbatim {
            self.stands_alone(proof);
        }
    }

    /// Tells whether the answer's end was told, and something of it before.
    pub(super) fn has_told_end(&self) -> bool {
        self.stop.is_some() && !self.is_empty()
    }

    /// Has the event that is being read passed on with a change beside those that it has.
    pub(super) fn replace(&mut self, data: &str, change: impl FnOnce(&str) -> Option<String>) {
        let before = if let Forwarding::Replace(before) = &self.forwarding { before } else { data };
        if let Some(changed) = change(before) {
            self.forwarding = Forwarding::Replace(changed);
        }
    }

    /// Notes that the event that is being read is a whole answer.
    pub(super) fn is_whole(&mut self, data: &str) {
        if self.verbatim {
            self.forwarding = match std::mem::take(&mut self.forwarding) {
                Forwarding::Replace(data) => Forwarding::Whole(data),
                _ => Forwarding::Whole(data.to_owned()),
            };
        }
    }

    /// Returns how many bytes of it are kept in memory.
    pub(super) fn kept(&self) -> usize {
        if self.forgets { self.size - self.bytes } else { self.size }
    }

    /// Returns the last part, unless a tool call came after it: what follows then is a part of its own.
    fn open_part(&mut self) -> Option<&mut AssistantPart> {
        let closed = self.calls.last().is_some_and(|call| call.after == self.parts.len());
        self.parts.last_mut().filter(|_| !closed)
    }

    /// Tells whether a tool call of this index has begun.
    pub(super) fn has_call(&self, index: Option<u64>) -> bool {
        self.calls.iter().any(|call| call.index == index)
    }

    /// Takes the text of a refusal; the caller sees it as the answer's text.
    pub(super) fn refusal(&mut self, text: Cow<'_, str>, out: &mut Vec<Piece>) -> bool {
        self.refuse(!text.is_empty(), out);
        self.text(text, out)
    }

    /// Notes that what follows is a refusal.
    fn refuse(&mut self, is_refusal: bool, out: &mut Vec<Piece>) {
        if is_refusal && !self.refused {
            self.refused = true;
            if !self.verbatim {
                out.push(Piece::Refusal);
            }
        }
    }

    /// Takes the end of a part of a refusal, which says all of it.
    pub(super) fn end_of_refusal(&mut self, whole: &str, out: &mut Vec<Piece>) -> bool {
        let rest = self.told.end(whole);
        self.refuse(!whole.is_empty(), out);
        self.add(rest.into(), out)
    }

    /// Takes the end of all of the text in the same way, of which some is a refusal.
    pub(super) fn end_of_refusals(&mut self, whole: &str, out: &mut Vec<Piece>) -> bool {
        self.refuse(true, out);
        self.end_of_texts(whole, out)
    }

    /// Returns how many tool calls have begun: the index of the next, where every fragment is a whole call.
    pub(super) fn calls_begun(&self) -> u64 {
        self.calls.len() as u64
    }

    /// Takes a fragment of a tool call; tells whether it added anything.
    pub(super) fn fragment(&mut self, fragment: Fragment<'_>) -> Result<bool, Failure> {
        if self.stops.met().is_some() {
            return Ok(false);
        }
        self.acts = true;
        self.works = false;
        self.size += fragment.id.len() + fragment.name.len() + fragment.arguments.len();
        let known = self.call_of(&fragment);
        let at = match known {
            Some(at) => at,
            None if self.calls.len() == TOOL_CALLS_MAX => {
                return Err(unusable(&format!("more than {TOOL_CALLS_MAX} tool calls in one answer")));
            }
            None => {
                let (id, name, arguments, after) = (String::new(), String::new(), String::new(), self.parts.len());
                let (index, shown, given) = (fragment.index, self.free(fragment.index), None);
                let (proof, values) = (None, PartialArgs::default());
                self.calls.push(PartialCall { index, shown, given, id, name, arguments, proof, values, after });
                self.calls.len() - 1
            }
        };
        let begins = known.is_none();
        let call = &mut self.calls[at];
        if call.id.is_empty() {
            fragment.id.clone_into(&mut call.id);
        }
        let named = call.name(fragment.name, begins);
        let empty = call.arguments.trim() == "{}";
        let added = call.add(&fragment.arguments);
        self.instead |= empty && added.is_some() && call.arguments.trim() != "{}";
        let issuer = &self.issuer;
        let own = |proof| Proof { issuer: issuer.clone(), ..proof };
        call.proof = call.proof.take().or(fragment.proof.map(own));
        self.last = Some(FragmentEffect { at, begins, named, added });
        Ok(!fragment.name.is_empty() || !fragment.arguments.is_empty())
    }

    /// Returns the arguments of the last call, where they come value by value.
    pub(super) fn values(&mut self) -> Option<&mut PartialArgs> {
        self.calls.last_mut().map(|call| &mut call.values)
    }

    /// Returns an index that no call has: this one, if it is free.
    fn free(&self, index: Option<u64>) -> u64 {
        let is_free = |index: &u64| self.calls.iter().all(|call| call.shown != *index);
        let next = || self.calls.iter().map(|call| call.shown + 1).max().unwrap_or(0);
        index.filter(is_free).unwrap_or_else(next)
    }

    /// Returns what the last fragment must contain so that a client that reads only fragments understands it.
    pub(super) fn told(&mut self) -> Option<FragmentPatch> {
        let FragmentEffect { at, begins, named, added } = self.last.take()?;
        let call = &self.calls[at];
        let is_own = || self.calls[..at].iter().all(|other| other.id != call.id);
        let id = (begins && (call.id.is_empty() || !is_own()))
            .then(|| made_up(&(self.salt, &self.id, at, &call.name, &call.arguments, self.bytes)));
        let index = call.shown;
        if id.is_some() {
            self.calls[at].given.clone_from(&id);
        }
        Some(FragmentPatch { index, begins, named, added, id })
    }

    /// Takes a whole tool call, perhaps a repeated one: it fills in what fragments left open.
    pub(super) fn whole_call(&mut self, call: Fragment<'_>) -> Result<bool, Failure> {
        let is_known = |known: &&mut PartialCall| {
            if known.id.is_empty() || call.id.is_empty() {
                known.index == call.index && (call.index.is_some() || known.name.is_empty())
            } else {
                // Some servers give one id to several calls.
                known.id == call.id && (known.index == call.index || known.says(&call))
            }
        };
        let Some(known) = self.calls.iter_mut().find(is_known) else { return self.fragment(call) };
        known.fill(&call);
        Ok(true)
    }

    /// Takes the end of a call's arguments, which says all of them, and perhaps its name.
    pub(super) fn end_of_call(&mut self, call: Fragment<'_>) -> Result<bool, Failure> {
        match self.calls.iter_mut().rfind(|known| known.index == call.index) {
            Some(known) => {
                known.fill(&call);
                Ok(true)
            }
            // Without a name it is not known what it is the end of: a call's item follows.
            None if call.name.is_empty() => Ok(false),
            None => self.fragment(call),
        }
    }

    /// Returns the id by which clients know the call of an index, where they could not tell it from others by its own.
    pub(super) fn id_for_clients(&self, index: Option<u64>) -> Option<&str> {
        self.calls.iter().rfind(|call| call.index == index)?.given.as_deref()
    }

    /// Returns the same of all calls, in their order.
    pub(super) fn ids_for_clients(&self) -> impl Iterator<Item = Option<&str>> {
        self.calls.iter().map(|call| call.given.as_deref())
    }

    /// Takes a call out of a list that repeats all calls of the answer, by its place there: one that came is filled in,
    /// and one that did not is new.
    pub(super) fn repeated_call(&mut self, at: usize, call: Fragment<'_>) -> Result<bool, Failure> {
        match self.calls.get_mut(at) {
            Some(known) => {
                known.fill(&call);
                Ok(true)
            }
            None => self.fragment(Fragment { index: Some(self.free(None)), ..call }),
        }
    }

    /// Tells whether some text of the answer has come.
    pub(super) fn has_spoken(&self) -> bool {
        self.spoke
    }

    /// Tells whether some visible reasoning has come.
    pub(super) fn has_thought(&self) -> bool {
        self.thought
    }

    /// Tells whether a voice of the answer is told by this one of several choices: by the first that has some of it.
    pub(super) fn is_told_by(&mut self, output_kind: OutputKind, choice: u64) -> bool {
        *self.first_choices[output_kind as usize].get_or_insert(choice) == choice
    }

    /// Returns what a text that repeats all of the answer's says beyond it.
    pub(super) fn new_text<'t>(&self, whole: &'t str) -> &'t str {
        self.told.new_text(whole).unwrap_or_default()
    }

    /// Tells whether a text repeats all that came before.
    pub(super) fn repeats(&self, text: &str) -> bool {
        self.spoke && self.told.new_text(text).is_some()
    }

    /// Tells whether nothing of the answer has come yet.
    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty() && self.calls.is_empty() && !self.shows && !self.acts
    }

    /// Finds the call that a fragment continues. Calls are told apart by index; some providers leave it out, number
    /// every call 0, or go on under another number: then a name with another id begins a new call, and so does one
    /// after complete arguments; an id that is known tells the call, and what has neither id nor name belongs to the
    /// last one.
    fn call_of(&self, fragment: &Fragment<'_>) -> Option<usize> {
        let last = self.calls.len().checked_sub(1);
        let known = || self.calls.iter().rposition(|call| call.index == fragment.index);
        let named = || self.calls.iter().rposition(|call| call.id == fragment.id && !fragment.id.is_empty());
        let at = match fragment.index {
            None => named().or(last)?,
            Some(_) if fragment.name.is_empty() => named().or_else(known).or(last.filter(|_| fragment.id.is_empty()))?,
            Some(_) => known()?,
        };
        let call = &self.calls[at];
        let begins = !fragment.name.is_empty()
            && if fragment.id.is_empty() || call.id.is_empty() {
                let anew = fragment.arguments.trim_start().starts_with('{');
                let is_new = fragment.name != call.name || anew;
                // The same fragment again under one index is a repetition.
                is_new
                    && match fragment.index {
                        Some(_) => fragment.arguments != call.arguments && call.is_complete(),
                        None => call.has_more(fragment),
                    }
            } else {
                fragment.id != call.id
            };
        (!begins).then_some(at)
    }

    /// Notes why the model stopped. The first reason counts, unless a later one says more.
    pub(super) fn stopped(&mut self, stop: StopReason) {
        if self.stops.met().is_none() && matches!(self.stop, None | Some(StopReason::Stop | StopReason::Other)) {
            self.stop = Some(stop);
        }
    }

    /// Notes the stop sequence that ended the answer, as the provider names it.
    pub(super) fn stopped_at(&mut self, sequence: &str) {
        if self.stop_sequence.is_none() && !sequence.is_empty() {
            self.stop_sequence = Some(sequence.into());
        }
    }

    /// Notes that the provider calls the answer a failure. A caller that gets the answer unchanged may still read it;
    /// for all others the call fails now.
    pub(super) fn failed(&mut self, failure: Failure) -> Result<(), Failure> {
        // What is as long as it may be was cut by that.
        if failure.class == FailureClass::Unusable && self.is_full() {
            self.stopped(StopReason::Length);
            return Ok(());
        }
        if !self.verbatim {
            return Err(failure);
        }
        self.stopped(if failure.class == FailureClass::ContentPolicy {
            StopReason::ContentFilter
        } else {
            StopReason::Other
        });
        self.flaw.get_or_insert(failure);
        Ok(())
    }

    /// Tells whether it is as long as it may be, as far as its tokens were told.
    fn is_full(&self) -> bool {
        let is_full = |usage: &Usage| self.output_tokens_max.is_some_and(|max| usage.output >= max.into());
        self.usage.as_ref().is_some_and(is_full)
    }

    /// Tells whether its provider has called it a failure, although it passes unchanged.
    pub(super) fn is_flawed(&self) -> bool {
        self.flaw.is_some()
    }

    /// Notes why the model stopped, by the provider's word for it; an unknown word is noted as such.
    pub(super) fn stopped_by(&mut self, stop: Option<StopReason>, word: &str) {
        if stop.is_none() {
            self.drifts.note(DriftKind::Finish, word);
        }
        self.hosts_filter |= classify::is_hosts_filter(word);
        self.stopped(stop.unwrap_or(StopReason::Other));
    }

    /// Notes why the model stopped, by a word that all dialects know; fails where that is a failure.
    pub(super) fn stopped_by_word(&mut self, word: &str) -> Result<(), Failure> {
        if is_error(word) {
            return Err(Failure::new(FailureClass::Server, "the provider reports an error, not which"));
        }
        self.full |= is_window(word);
        self.stopped_by(stop_reason(word), word);
        Ok(())
    }

    /// Judges the answer when its body has ended.
    pub(super) fn finish(self) -> Result<Ending, Failure> {
        if !self.done && self.stop.is_none() {
            return Err(cut("the body ended before the answer did"));
        }
        let is_full = self.is_full();
        let mut stop = self.stop.unwrap_or(StopReason::Stop);
        let (mut parts, mut called) = (Vec::with_capacity(self.parts.len() + self.calls.len()), 0);
        let (mut said, mut before) = (self.parts.into_iter(), 0);
        let last = self.calls.len().wrapping_sub(1);
        let (mut cut, mut ids) = (false, Vec::new());
        for (at, mut call) in self.calls.into_iter().enumerate() {
            if stop != StopReason::Length && !is_full && !self.verbatim && self.free.contains(&call.name) {
                call.wrap();
            }
            parts.extend(said.by_ref().take(call.after - before));
            before = call.after;
            // A call that begins where the limit ends has no content yet.
            let is_empty = call.arguments.trim().is_empty() && call.values.json().is_none();
            let is_bare = stop == StopReason::Length && at == last && is_empty;
            match call.complete(&(self.salt, &self.id), called, &ids, self.verbatim) {
                Ok(None) => {}
                Ok(Some(_)) if is_bare => cut = true,
                Ok(Some(call)) => {
                    ids.push(call.id.clone());
                    parts.push(AssistantPart::ToolCall(call));
                    called += 1;
                }
                // An answer that the caller's own limit ended is no failure.
                Err(_) if stop == StopReason::Length || is_full => (stop, cut) = (StopReason::Length, true),
                Err(failure) => return Err(failure),
            }
        }
        parts.extend(said);
        // A call of a tool that the common form cannot express, or none at all: its caller must not wait for one.
        if stop == StopReason::ToolCalls && called == 0 && !self.verbatim {
            stop = StopReason::Stop;
        }
        if matches!(stop, StopReason::Stop | StopReason::Other) {
            if called > 0 {
                stop = StopReason::ToolCalls;
            } else if self.refused {
                stop = StopReason::Refusal;
            }
        }
        let says_nothing = !self.spoke && called == 0 && !(self.has_foreign_parts && self.verbatim);
        if is_full && says_nothing && matches!(stop, StopReason::Stop | StopReason::Other) {
            stop = StopReason::Length;
        }
        let (mut flaw, mut thoughts) = (self.flaw, None);
        if flaw.is_none() && says_nothing {
            let empty = || Failure::new(FailureClass::Empty, "neither text nor tool call");
            match stop {
                StopReason::ContentFilter | StopReason::Refusal => {
                    let problem = "the provider's filter held the whole answer back, or the model declined in silence";
                    let failure = Failure::new(FailureClass::ContentPolicy, problem);
                    let scope = if self.hosts_filter { Scope::Endpoint } else { failure.scope };
                    flaw = Some(Failure { scope, ..failure });
                }
                // The prompt left no room for a word: a model with a larger window has some.
                StopReason::Length if self.full && !self.shows => {
                    let problem = "the model's window ended before its answer began";
                    flaw = Some(Failure::new(FailureClass::ContextTooLong, problem));
                }
                StopReason::Length => {}
                // An empty answer that ended by itself is valid for a caller that gets it unchanged: after a tool's
                // result some models have nothing to add.
                _ if self.verbatim && self.stop.is_some() => flaw = Some(empty()),
                _ if self.shows && self.stop.is_some() => thoughts = Some(empty()),
                _ => return Err(empty()),
            }
        }
        if let Some(failure) = flaw.take_if(|_| !self.verbatim) {
            return Err(failure);
        }
        let counts = |flaw: &Failure| flaw.class == FailureClass::ContentPolicy && flaw.scope == Scope::Request;
        flaw.take_if(|flaw| self.filtered && counts(flaw));
        let Self { usage, bill, model, has_foreign_parts, stop_sequence, sources, refused: refuses, .. } = self;
        let stop_sequence = stop_sequence.filter(|_| stop == StopReason::Stop);
        let (sources, lost_sources) = sources.finish(&parts);
        let (verbatim, unfenced) = (None, false);
        Ok(Ending {
            stop,
            refuses,
            usage,
            bill,
            model,
            parts,
            verbatim,
            has_foreign_parts,
            cut,
            full: is_full,
            unfenced,
            stop_sequence,
            sources,
            lost_sources,
            flaw: flaw.or(thoughts),
            partly_delivered: false,
        })
    }
}

/// Returns the failure of what should have been an answer and does not parse: an error, if it is one.
pub(super) fn broken(text: &str, problem: &serde_json::Error) -> Failure {
    classify::recognise(text).unwrap_or_else(|| cut(&format!("the provider sent what is no answer: {problem}")))
}

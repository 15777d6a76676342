//! An answer as far as it is known: what every dialect's decoder fills in, and what makes an answer valid.
//!
//! In flow texts, reasoning, fragments of tool calls, the reason of the end and the usage; out flow pieces as they
//! come, and one [`Ending`]. Which answers are cut, empty or unusable is decided here, once for all dialects.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use serde::de::IgnoredAny;

use super::classify::tidy;
use crate::words::{AssistantPart, Failure, FailureClass, Piece, Proof, Reasoning, StopReason, ToolCall, Usage};

/// The most tool calls of one answer. OpenAI takes 128 tools; more calls than that in one turn is a model gone astray.
const TOOL_CALLS_MAX: usize = 128;

/// How an answer ended well.
#[derive(Clone, Debug, PartialEq)]
pub struct Ending {
    /// Why the model stopped.
    pub stop: StopReason,
    /// What it cost, where the provider said so.
    pub usage: Option<Usage>,
    /// The model's name as the provider spelled it.
    pub model: Option<Arc<str>>,
    /// The whole answer, to be shown or sent back: text, reasoning and complete tool calls in the order they began.
    pub parts: Vec<AssistantPart>,
}

impl Ending {
    /// Returns the tool calls, in the model's order.
    pub fn tool_calls(&self) -> impl Iterator<Item = &ToolCall> {
        self.parts.iter().filter_map(AssistantPart::as_tool_call)
    }

    /// Returns the answer's text.
    pub fn text(&self) -> String {
        self.parts.iter().filter_map(AssistantPart::as_text).collect()
    }
}

/// A fragment of a tool call as it came in one chunk; what the chunk did not hold is empty.
#[derive(Debug, Default)]
pub(super) struct Fragment<'a> {
    pub(super) index: Option<u64>,
    pub(super) id: &'a str,
    pub(super) name: &'a str,
    pub(super) arguments: Cow<'a, str>,
}

/// An answer in the making.
#[derive(Debug, Default)]
pub(super) struct Draft {
    /// The terminal marker came: nothing more is read.
    pub(super) done: bool,
    pub(super) stop: Option<StopReason>,
    pub(super) usage: Option<Usage>,
    model: Option<Arc<str>>,
    /// The provider's id of the answer, to make ids of tool calls that have none.
    id: String,
    parts: Vec<AssistantPart>,
    calls: Vec<PartialCall>,
    refused: bool,
}

#[derive(Debug)]
struct PartialCall {
    index: Option<u64>,
    /// How many parts came before it.
    after: usize,
    id: String,
    name: String,
    arguments: String,
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

    /// Takes text of the answer; tells whether there was any.
    pub(super) fn text(&mut self, text: Cow<'_, str>, out: &mut Vec<Piece>) -> bool {
        if text.is_empty() {
            return false;
        }
        match self.open_part() {
            Some(AssistantPart::Text(last)) => last.push_str(&text),
            _ => self.parts.push(AssistantPart::Text(text.clone().into_owned())),
        }
        // Texts that arrived together go on together: one hop to the caller, not fifty.
        match out.last_mut() {
            Some(Piece::Text(last)) => last.push_str(&text),
            _ => out.push(Piece::Text(text.into_owned())),
        }
        true
    }

    /// Takes visible reasoning; tells whether there was any.
    pub(super) fn reasoning(&mut self, text: Cow<'_, str>, out: &mut Vec<Piece>) -> bool {
        if text.is_empty() {
            return false;
        }
        match self.open_part() {
            Some(AssistantPart::Reasoning(last)) if last.proof.is_none() => last.text.push_str(&text),
            _ => self.parts.push(AssistantPart::Reasoning(text.clone().into_owned().into())),
        }
        match out.last_mut() {
            Some(Piece::Reasoning(last)) => last.push_str(&text),
            _ => out.push(Piece::Reasoning(text.into_owned())),
        }
        true
    }

    /// Takes the proof of the reasoning that came last; where none came without one, the proof is all there is to see.
    pub(super) fn prove(&mut self, proof: Proof) {
        match self.open_part() {
            Some(AssistantPart::Reasoning(last)) if last.proof.is_none() => last.proof = Some(proof),
            _ => self.parts.push(AssistantPart::Reasoning(Reasoning { text: String::new(), proof: Some(proof) })),
        }
    }

    /// Returns the last part, unless a tool call came after it: what follows then is a part of its own.
    fn open_part(&mut self) -> Option<&mut AssistantPart> {
        let closed = self.calls.last().is_some_and(|call| call.after == self.parts.len());
        self.parts.last_mut().filter(|_| !closed)
    }

    /// Takes text by which the model declines; the caller sees it as the answer's text.
    pub(super) fn refusal(&mut self, text: Cow<'_, str>, out: &mut Vec<Piece>) -> bool {
        let any = self.text(text, out);
        self.refused |= any;
        any
    }

    /// Takes a fragment of a tool call; tells whether it had substance.
    pub(super) fn fragment(&mut self, fragment: &Fragment<'_>) -> Result<bool, Failure> {
        let at = match self.call_of(fragment) {
            Some(at) => at,
            None if self.calls.len() == TOOL_CALLS_MAX => {
                return Err(unusable(&format!("more than {TOOL_CALLS_MAX} tool calls in one answer")));
            }
            None => {
                let (id, name, arguments) = (String::new(), String::new(), String::new());
                self.calls.push(PartialCall { index: fragment.index, after: self.parts.len(), id, name, arguments });
                self.calls.len() - 1
            }
        };
        let call = &mut self.calls[at];
        if call.id.is_empty() {
            fragment.id.clone_into(&mut call.id);
        }
        if call.name.is_empty() {
            fragment.name.clone_into(&mut call.name);
        }
        call.arguments.push_str(&fragment.arguments);
        Ok(!fragment.name.is_empty() || !fragment.arguments.is_empty())
    }

    /// Takes a tool call that is told as a whole, perhaps once more: it fills in what fragments left open.
    pub(super) fn whole_call(&mut self, call: &Fragment<'_>) -> Result<bool, Failure> {
        let is_known = |known: &&mut PartialCall| {
            if known.id.is_empty() || call.id.is_empty() {
                known.index == call.index && (call.index.is_some() || known.name.is_empty())
            } else {
                known.id == call.id
            }
        };
        let Some(known) = self.calls.iter_mut().find(is_known) else { return self.fragment(call) };
        let open = [(&mut known.id, call.id), (&mut known.name, call.name), (&mut known.arguments, &call.arguments)];
        for (part, whole) in open.into_iter().filter(|(part, _)| part.is_empty()) {
            whole.clone_into(part);
        }
        Ok(true)
    }

    /// Tells whether nothing of the answer has come yet.
    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty() && self.calls.is_empty()
    }

    /// Finds the call that a fragment continues. Calls are told apart by index; some providers leave it out, or
    /// number every call 0: then a name with another id begins a new call, and so does one after arguments.
    fn call_of(&self, fragment: &Fragment<'_>) -> Option<usize> {
        let at = match fragment.index {
            Some(_) => self.calls.iter().rposition(|call| call.index == fragment.index)?,
            None => self.calls.len().checked_sub(1)?,
        };
        let call = &self.calls[at];
        let begins = !fragment.name.is_empty()
            && if fragment.id.is_empty() || call.id.is_empty() {
                fragment.index.is_none() && !call.arguments.is_empty()
            } else {
                fragment.id != call.id
            };
        (!begins).then_some(at)
    }

    /// Notes why the model stopped. The first reason holds, unless a later one says more.
    pub(super) fn stopped(&mut self, stop: StopReason) {
        if matches!(self.stop, None | Some(StopReason::Stop | StopReason::Other)) {
            self.stop = Some(stop);
        }
    }

    /// Judges the answer when its body has ended.
    pub(super) fn finish(self) -> Result<Ending, Failure> {
        if !self.done && self.stop.is_none() {
            return Err(cut("the body ended before the answer did"));
        }
        let mut stop = self.stop.unwrap_or(StopReason::Stop);
        let (mut parts, mut called) = (self.parts, 0);
        let spoke = parts.iter().any(|part| part.as_text().is_some());
        for call in self.calls {
            let after = call.after;
            if let Some(call) = call.complete(&self.id, called)? {
                parts.insert(after + called, AssistantPart::ToolCall(call));
                called += 1;
            }
        }
        if matches!(stop, StopReason::Stop | StopReason::Other) {
            if called > 0 {
                stop = StopReason::ToolCalls;
            } else if self.refused {
                stop = StopReason::Refusal;
            }
        }
        if !spoke && called == 0 {
            match stop {
                StopReason::ContentFilter => {
                    let problem = "the provider's filter held the whole answer back";
                    return Err(Failure::new(FailureClass::ContentPolicy, problem));
                }
                StopReason::Length | StopReason::Refusal => {}
                _ => return Err(Failure::new(FailureClass::Empty, "neither text nor tool call")),
            }
        }
        Ok(Ending { stop, usage: self.usage, model: self.model, parts })
    }
}

impl PartialCall {
    /// Checks that the call is whole; `None` where nothing of it ever came.
    fn complete(self, answer_id: &str, position: usize) -> Result<Option<ToolCall>, Failure> {
        let Self { mut id, name, mut arguments, .. } = self;
        if name.is_empty() {
            return match arguments.trim() {
                "" => Ok(None),
                _ => Err(unusable("a tool call has no name")),
            };
        }
        if matches!(arguments.trim(), "" | "null") {
            "{}".clone_into(&mut arguments);
        }
        if !arguments.trim_start().starts_with('{') {
            return Err(unusable(&format!("the arguments of `{name}` are no JSON object")));
        }
        if let Err(problem) = serde_json::from_str::<IgnoredAny>(&arguments) {
            return Err(unusable(&format!("the arguments of `{name}` are no JSON: {problem}")));
        }
        if id.is_empty() {
            // The result must name its call, at any provider it may be sent to, and ids must not repeat within a
            // conversation: hash what tells this call from the others.
            let mut hasher = DefaultHasher::new();
            (answer_id, position, &name, &arguments).hash(&mut hasher);
            id = format!("call_{:016x}", hasher.finish());
        }
        Ok(Some(ToolCall { id, name, arguments, proof: None }))
    }
}

/// Returns the failure of a body that broke off or broke the protocol.
pub(super) fn cut(problem: &str) -> Failure {
    Failure::new(FailureClass::Cut, tidy(problem))
}

fn unusable(problem: &str) -> Failure {
    Failure::new(FailureClass::Unusable, tidy(problem))
}

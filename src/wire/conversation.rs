//! Brings a conversation into the order that providers take: every call of a tool answered at once, all results of a
//! turn together, in the order of the calls and before anything else that is said; unique ids of calls; no empty
//! message.
//!
//! Input: a caller's messages. Output: steps that borrow them, and notes of what could not go as it was. A conversation
//! in the target's own dialect keeps its order: a caller that speaks a dialect knows what is right in it. Steps are
//! only appended to as a conversation grows, and never rewritten, so that a provider's prompt cache holds.

use std::borrow::Cow;
use std::collections::HashSet;

use serde_json::value::RawValue;

use super::outgoing_text::OutgoingText;
use super::request::{Notes, is_own, is_theirs, verbatim};
use crate::words::{AssistantPart, ChatRequest, Dialect, Message, Text, ToolCall, ToolResult, UserPart};

/// The result of a call that has none.
pub(super) const NO_RESULT: &str = "This tool was not run.";
/// The text of a result that has media and no text.
const SEE_BELOW: &str = "(What it shows follows.)";

/// The place of images and documents of a tool's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Media {
    /// In its result.
    Within,
    /// In the user's words after all results of the turn.
    Behind,
}

/// One step of a conversation.
#[derive(Debug)]
pub(super) enum Step<'a> {
    /// A text of the system.
    System(&'a Text),
    /// Texts and media of the user: never empty.
    User(Vec<Part<'a>>),
    /// Texts, reasoning and calls of the assistant.
    Assistant(AssistantTurn<'a>),
    /// The result of a call.
    Result(CallResult<'a>),
    /// A part that only this dialect has, and its name.
    Foreign(&'a str, &'a RawValue),
}

/// A part of what the user says and shows.
#[derive(Debug)]
pub(super) enum Part<'a> {
    /// One of the caller's.
    FromRequest(&'a UserPart),
    /// A text that is made here.
    Made(OutgoingText<'a>),
}

impl Part<'_> {
    /// Returns the text, if it is one.
    pub(super) fn as_text(&self) -> Option<OutgoingText<'_>> {
        match self {
            Self::FromRequest(UserPart::Text(text)) => Some(text.into()),
            Self::FromRequest(_) => None,
            Self::Made(text) => Some(text.clone()),
        }
    }
}

/// One message of an assistant.
#[derive(Debug)]
pub(super) struct AssistantTurn<'a> {
    pub(super) parts: &'a [AssistantPart],
    /// The ids of its calls, in their order.
    pub(super) ids: Vec<Cow<'a, str>>,
}

impl<'a> AssistantTurn<'a> {
    /// Returns its calls, each with the id that it has here.
    pub(super) fn calls(&self) -> impl Iterator<Item = (&str, &'a ToolCall)> {
        self.ids.iter().map(AsRef::as_ref).zip(self.parts.iter().filter_map(AssistantPart::as_tool_call))
    }
}

/// The result of a call, where there is one.
#[derive(Debug)]
pub(super) struct CallResult<'a> {
    /// The id of the call.
    pub(super) id: Cow<'a, str>,
    /// The tool's name.
    pub(super) name: &'a str,
    pub(super) result: Option<&'a ToolResult>,
}

impl<'a> CallResult<'a> {
    /// Returns what the tool said.
    pub(super) fn text(&self) -> OutgoingText<'a> {
        let Some(result) = self.result else { return NO_RESULT.into() };
        let text = said(result);
        if text.is_blank() && result.beside().next().is_some() { SEE_BELOW.into() } else { text }
    }

    /// Tells whether the tool failed, or was not run.
    pub(super) fn is_error(&self) -> bool {
        self.result.is_none_or(|result| result.is_error)
    }
}

/// Returns the texts of a result as one.
fn said(result: &ToolResult) -> OutgoingText<'_> {
    OutgoingText::row(result.content.iter().filter_map(UserPart::text).map(OutgoingText::FromRequest), "\n")
}

/// Tells whether a request's parts are put in order for a dialect: a caller that speaks it knows what is right in it,
/// and a conversation that its provider keeps is not all here.
pub(super) fn repairs(request: &ChatRequest, dialect: Dialect) -> bool {
    let is_here = request.extra_needed.is_empty() || !is_theirs(dialect, request);
    is_here && !is_own(request, dialect)
}

/// Tells whether a caller wants its last message continued. Clients of another dialect, Anthropic's and Google's, so
/// begin an answer themselves; those of chat completions must flag it, or a last message of the assistant is like all
/// others.
pub(super) fn is_prefilled(request: &ChatRequest, dialect: Dialect) -> bool {
    let theirs = request.original.as_ref().map(|original| original.dialect);
    let begins = matches!(theirs, Some(Dialect::AnthropicMessages | Dialect::Gemini | Dialect::Vertex));
    let flags = request.original.as_ref().is_some_and(|it| it.dialect == Dialect::OpenAiChat && it.marks.begun);
    let said = |parts: &Vec<AssistantPart>| {
        let calls = parts.iter().any(|part| part.as_tool_call().is_some());
        !calls && parts.iter().filter_map(AssistantPart::text).any(|text| !text.is_blank())
    };
    (flags || (begins && !is_own(request, dialect)))
        && matches!(request.messages.last(), Some(Message::Assistant(parts)) if said(parts))
}

/// Puts a request's messages in order for a dialect. `takes` tells which ids of calls it takes; others are replaced.
pub(super) fn steps<'a>(
    request: &'a ChatRequest,
    dialect: Dialect,
    media: Media,
    takes: fn(&str) -> bool,
    notes: &mut Notes,
) -> Vec<Step<'a>> {
    let (repairs, ids) = (repairs(request, dialect), HashSet::new());
    let (steps, calls, said, calls_made) = (Vec::new(), Vec::new(), Vec::new(), 0);
    let mut talk = ConversationOrder { dialect, media, takes, repairs, steps, calls, said, ids, calls_made };
    for message in &request.messages {
        match message {
            // An empty one is refused by some providers, and says nothing to any.
            Message::System(text) if repairs && text.is_blank() => {}
            Message::System(text) => talk.said.push(Step::System(text)),
            Message::User(parts) => talk.user(parts),
            Message::Assistant(parts) => talk.assistant(parts, notes),
            Message::Tool(result) => talk.result(result, notes),
            Message::Foreign(foreign) => {
                talk.said.extend(verbatim(dialect, foreign).map(|json| Step::Foreign(&foreign.kind, json)));
            }
        }
    }
    talk.close(notes);
    talk.steps
}

/// The conversation as far as it is ordered.
#[derive(Debug)]
struct ConversationOrder<'a> {
    dialect: Dialect,
    media: Media,
    takes: fn(&str) -> bool,
    /// Whether parts that are out of order are put in order.
    repairs: bool,
    steps: Vec<Step<'a>>,
    /// The calls of the last turn of the assistant, and their results as far as they are known.
    calls: Vec<OpenCall<'a>>,
    /// The steps since then.
    said: Vec<Step<'a>>,
    /// Ids of calls in use.
    ids: HashSet<&'a str>,
    calls_made: usize,
}

#[derive(Debug)]
struct OpenCall<'a> {
    /// The id that the caller's result names.
    call_id: &'a str,
    answer: CallResult<'a>,
}

impl<'a> ConversationOrder<'a> {
    fn user(&mut self, parts: &'a [UserPart]) {
        let blank = |part: &UserPart| part.text().is_some_and(Text::is_blank);
        let says = |part: &&UserPart| match part {
            UserPart::Foreign(foreign) => verbatim(self.dialect, foreign).is_some(),
            part => !self.repairs || !blank(part),
        };
        let mut said = Vec::with_capacity(parts.len());
        said.extend(parts.iter().filter(says).map(Part::FromRequest));
        if !said.is_empty() {
            self.said.push(Step::User(said));
        }
    }

    fn assistant(&mut self, parts: &'a [AssistantPart], notes: &mut Notes) {
        if !self.said.is_empty() || self.calls.iter().any(|call| call.answer.result.is_some()) || !self.repairs {
            self.close(notes);
        }
        let says = |part: &AssistantPart| match part {
            AssistantPart::Text(text) => !text.is_empty(),
            AssistantPart::Foreign(foreign) => verbatim(self.dialect, foreign).is_some(),
            AssistantPart::Reasoning(_) | AssistantPart::ToolCall(_) => true,
        };
        if self.repairs && !parts.iter().any(says) {
            return;
        }
        let ids = parts.iter().filter_map(AssistantPart::as_tool_call).map(|call| self.call(call, notes)).collect();
        self.steps.push(Step::Assistant(AssistantTurn { parts, ids }));
    }

    /// Opens a call; returns the id that it has here.
    fn call(&mut self, call: &'a ToolCall, notes: &mut Notes) -> Cow<'a, str> {
        // Google's calls need none.
        let fits = match call.id.as_str() {
            "" => self.dialect.shares_fields(Dialect::Gemini),
            id => (self.takes)(id) && self.ids.insert(id),
        };
        let id = if fits || !self.repairs {
            Cow::Borrowed(call.id.as_str())
        } else {
            notes.converted("messages.tool_call.id");
            Cow::Owned(format!("call_standin_{}", self.calls_made))
        };
        self.calls_made += 1;
        let answer = CallResult { id: id.clone(), name: &call.name, result: None };
        self.calls.push(OpenCall { call_id: &call.id, answer });
        id
    }

    fn result(&mut self, result: &'a ToolResult, notes: &mut Notes) {
        let find = |of: &dyn Fn(&OpenCall<'_>) -> bool| {
            self.calls.iter().position(|call| call.answer.result.is_none() && of(call))
        };
        // A call without an id is known by its tool's name.
        let open = find(&|call| call.call_id == result.call_id)
            .or_else(|| find(&|call| call.call_id.is_empty() && call.answer.name == result.name));
        if let Some(at) = open {
            self.calls[at].answer.result = Some(result);
        } else if self.repairs {
            notes.converted("messages.tool_result");
            let head = match &*result.name {
                "" => "Result of a tool:\n".to_owned(),
                name => format!("Result of the tool `{name}`:\n"),
            };
            let told = OutgoingText::row([head.into(), said(result)], "");
            let beside = result.beside().map(Part::FromRequest);
            self.said.push(Step::User([Part::Made(told)].into_iter().chain(beside).collect()));
        } else {
            let (id, name) = (result.call_id.as_str().into(), result.name.as_str());
            let answer = CallResult { id, name, result: Some(result) };
            self.calls.push(OpenCall { call_id: &result.call_id, answer });
        }
    }

    /// Ends what comes between two turns of the assistant: results, what they show, and what else was said.
    fn close(&mut self, notes: &mut Notes) {
        let mut shown: Vec<Part<'a>> = Vec::new();
        for OpenCall { answer, .. } in self.calls.drain(..) {
            match answer.result {
                None if !self.repairs => continue,
                None => notes.converted("messages.tool_call"),
                Some(result) if self.media == Media::Behind && result.beside().next().is_some() => {
                    shown.push(Part::Made(format!("What the tool `{}` shows:", answer.name).into()));
                    shown.extend(result.beside().map(Part::FromRequest));
                    notes.converted("messages.tool_result");
                }
                Some(_) => {}
            }
            self.steps.push(Step::Result(answer));
        }
        if !shown.is_empty() {
            match self.said.first_mut() {
                Some(Step::User(parts)) => drop(parts.splice(..0, shown)),
                _ => self.said.insert(0, Step::User(shown)),
            }
        }
        self.steps.append(&mut self.said);
    }
}

#[cfg(test)]
mod tests;

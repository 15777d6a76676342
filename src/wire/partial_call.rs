//! A tool call of an answer, while its fragments come: what they add, and whether the call is whole at the end.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::edit::quoted;
use super::fence::{FENCE, unfenced};
use super::halves::{self, Joiner};
use super::json::Content;
use super::partial_args::PartialArgs;
use super::tidy::begin;
use crate::words::{Failure, FailureClass, Proof, ToolCall};

/// A fragment of a tool call as it came in one chunk; fields that the chunk did not have are empty.
#[derive(Debug, Default)]
pub(super) struct Fragment<'a> {
    pub(super) index: Option<u64>,
    pub(super) id: &'a str,
    pub(super) name: &'a str,
    pub(super) arguments: Cow<'a, str>,
    pub(super) proof: Option<Proof>,
}

/// A call as far as it came.
#[derive(Debug)]
pub(super) struct PartialCall {
    pub(super) index: Option<u64>,
    /// Its index for the client: its own, unless another call has that.
    pub(super) shown: u64,
    /// The id that it has for the client, where that is not its own.
    pub(super) given: Option<String>,
    pub(super) id: String,
    pub(super) name: String,
    pub(super) arguments: String,
    pub(super) proof: Option<Proof>,
    /// Its arguments, where they come value by value.
    pub(super) values: PartialArgs,
    /// How many parts of text and reasoning came before it.
    pub(super) after: usize,
}

impl PartialCall {
    /// Takes what a repetition of the call has and the fragments had not: arguments that did not come, or not to their
    /// end.
    pub(super) fn fill(&mut self, call: &Fragment<'_>) {
        for (part, whole) in [(&mut self.id, call.id), (&mut self.name, call.name)] {
            if part.is_empty() {
                whole.clone_into(part);
            }
        }
        let is_open = self.arguments.trim() == "{}" || !self.is_complete();
        if is_open && !call.arguments.trim().is_empty() {
            self.arguments.clear();
            self.arguments.push_str(&call.arguments);
        }
    }

    /// Tells whether a repetition of a call says nothing else than this one.
    pub(super) fn says(&self, call: &Fragment<'_>) -> bool {
        let same = |own: &str, its: &str| own.is_empty() || its.is_empty() || own == its;
        same(&self.name, call.name) && same(&self.arguments, &call.arguments)
    }

    /// Takes a name, which may come in pieces, or again and again; tells whether it said something new.
    pub(super) fn name(&mut self, name: &str, begins: bool) -> bool {
        if name.is_empty() || name == self.name {
            return begins;
        }
        if name.starts_with(&self.name) {
            name.clone_into(&mut self.name);
        } else if self.arguments.is_empty() && !self.name.ends_with(name) {
            self.name.push_str(name);
        } else {
            return false;
        }
        true
    }

    /// Takes more of the arguments, which may repeat all that came before. Returns what that adds, where it is not what
    /// was said.
    pub(super) fn add(&mut self, arguments: &str) -> Option<String> {
        let before = self.arguments.trim_start();
        if before.starts_with('{') && arguments.trim_start().starts_with('{') {
            // The text does not continue as JSON: it is written again, as far as it goes, or from the start after what
            // was in its place.
            let added = arguments.strip_prefix(&*self.arguments).map(str::to_owned);
            if added.is_some() || self.is_complete() {
                arguments.clone_into(&mut self.arguments);
                return Some(added.unwrap_or_else(|| arguments.to_owned()));
            }
        }
        self.arguments.push_str(arguments);
        None
    }

    /// Puts the text that a tool of free text is called with into the JSON that stands for it: some models give the
    /// text itself. JSON around it that is broken is no text.
    pub(super) fn wrap(&mut self) {
        let said = self.arguments.trim();
        let within = serde_json::from_str::<String>(said).ok();
        let text = within.as_deref().unwrap_or(&self.arguments);
        let is_json = |text: &str| {
            let inner = text.trim_start().strip_prefix('{').map(str::trim_start);
            inner.is_some_and(|inner| inner.starts_with("\"input\"")) || is_object(text)
        };
        let fenced = said.starts_with(FENCE).then(|| unfenced(said)).flatten();
        if !(is_json(text) || fenced.is_some_and(is_json)) {
            self.arguments = format!("{{\"input\":{}}}", quoted(text));
        }
    }

    /// Tells whether the arguments are already whole.
    pub(super) fn is_complete(&self) -> bool {
        is_object(&self.arguments)
    }

    /// Tells whether a fragment that names no call is more than this one can take.
    pub(super) fn has_more(&self, fragment: &Fragment<'_>) -> bool {
        !self.arguments.is_empty() || (!self.name.is_empty() && fragment.name != self.name)
    }

    /// Checks that the call is whole; `None` where nothing of it ever came. Its id differs from those of all others.
    pub(super) fn complete(
        self,
        answer: &impl Hash,
        position: usize,
        ids: &[String],
        verbatim: bool,
    ) -> Result<Option<ToolCall>, Failure> {
        let Self { mut id, name, mut arguments, proof, values, .. } = self;
        if values.is_open() {
            return Err(unusable(&format!("the arguments of `{name}` broke off")));
        }
        arguments = values.json().unwrap_or(arguments);
        if name.is_empty() {
            return match arguments.trim() {
                "" => Ok(None),
                _ => Err(unusable("a tool call has no name")),
            };
        }
        if arguments.trim_start().starts_with('"')
            && let Ok(inner) = serde_json::from_str::<String>(&arguments)
        {
            // Written twice, a text within a text.
            arguments = inner;
        }
        // A client that gets the answer as it came would get the fence as well.
        if !verbatim
            && arguments.trim_start().starts_with(FENCE)
            && let Some(inner) = unfenced(&arguments).map(str::to_owned)
        {
            arguments = inner;
        }
        if matches!(arguments.trim(), "" | "null" | "[]") {
            "{}".clone_into(&mut arguments);
        }
        if !arguments.trim_start().starts_with('{') {
            return Err(unusable(&format!("the arguments of `{name}` are no JSON object")));
        }
        if let Err(problem) = serde_json::from_str::<IgnoredAny>(&arguments) {
            return Err(unusable(&format!("the arguments of `{name}` are no JSON: {problem}")));
        }
        // Halves of characters, in the text and in its own escapes.
        if let Some(marked) = halves::mark(&arguments) {
            arguments = marked;
        }
        if !arguments.is_ascii() {
            arguments = Joiner::join(&arguments);
        }
        if id.is_empty() || ids.contains(&id) {
            // The result must name its call, at any provider it may be sent to, and ids must not repeat within a
            // conversation: hash the data that differs between calls.
            id = made_up(&(answer, position, &name, &arguments));
        }
        Ok(Some(ToolCall { id, name, arguments: arguments.into(), proof }))
    }
}

/// Tells whether a text is a JSON object.
fn is_object(text: &str) -> bool {
    text.trim_start().starts_with('{') && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// Returns an id of a call that has none.
pub(super) fn made_up(of: &impl Hash) -> String {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    format!("call_{:016x}", hasher.finish())
}

/// Returns the failure of an unusable answer.
pub(super) fn unusable(problem: &str) -> Failure {
    Failure::new(FailureClass::Unusable, begin(problem))
}

/// Returns the failure of a body that broke off or broke the protocol.
pub(super) fn cut(problem: &str) -> Failure {
    Failure::new(FailureClass::Cut, begin(problem))
}

/// Returns a call's arguments, JSON in a text; from servers that send the object as it is, its own JSON.
pub(super) fn arguments(raw: Option<&RawValue>) -> Result<Cow<'_, str>, Failure> {
    match raw.map_or("null", RawValue::get) {
        "null" => Ok(Cow::Borrowed("")),
        text if text.starts_with('"') => match serde_json::from_str(text) {
            Ok(Content { text, .. }) => Ok(text),
            Err(problem) => Err(cut(&format!("arguments of a tool call are no text: {problem}"))),
        },
        json => Ok(Cow::Borrowed(json)),
    }
}

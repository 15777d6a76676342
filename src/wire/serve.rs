//! The server half: what a provider would do with a caller's bytes, for callers that speak a provider's dialect.
//!
//! Input: a caller's request body, and the events of the answer that the runtime gives. Output: a [`ChatRequest`], and
//! the answer's bytes in the caller's own dialect. What only a provider of that dialect would understand travels in the
//! request's extra fields, and is left out where another one answers. What a provider wants back comes back: proofs go
//! out in the place that the caller's dialect has for them, sealed where they are of another dialect.
//!
//! An answer that breaks off is never ended as if it were whole. Nothing here may know a socket, a route or a policy.

mod lists;
mod lone;
mod published;
mod out;
mod refusal;
mod encoder;
mod seal;
mod twins;
mod node;
mod original;
mod reading;
mod embed;
mod openai;
mod anthropic;
mod gemini;
mod responses;
mod unread;
mod skipped_parts;
mod other_form;
mod writer;

pub use embed::{ParsedEmbedRequest, read_embed, write_embed};
pub use lists::{Listing, count_tokens, model, models};
pub use other_form::in_other_form;
pub use published::{is_published, is_published_for_vectors};
pub use refusal::{Refusal, RefusalReason, refuse};
pub use responses::{call_of, deleted, id_of};
pub use writer::{Writer, wait_notice};

use std::fmt;

use bytes::Bytes;
use bytestring::ByteString;

use self::node::Object;
use self::skipped_parts::SkippedParts;
use crate::words::{ChatRequest, CommitPolicy, Dialect, Marks, Original, Text};

/// The dialect a caller speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallerDialect {
    /// OpenAI's chat completions.
    OpenAiChat,
    /// OpenAI's responses, without state here.
    OpenAiResponses,
    /// Anthropic's messages.
    Anthropic,
    /// Google's `generateContent`.
    Gemini,
}

impl CallerDialect {
    /// Returns the dialect in which a provider is asked what a caller asks in this one.
    pub const fn dialect(self) -> Dialect {
        match self {
            Self::OpenAiChat => Dialect::OpenAiChat,
            Self::OpenAiResponses => Dialect::OpenAiResponses,
            Self::Anthropic => Dialect::AnthropicMessages,
            Self::Gemini => Dialect::Gemini,
        }
    }
}

/// A caller's request, understood.
#[derive(Clone, Debug, PartialEq)]
pub struct ParsedRequest {
    /// The request; its route is the model's name as the caller wrote it. When an answer breaks off the stream ends
    /// with an error: no dialect can take back what it said.
    pub request: Box<ChatRequest>,
    /// Whether the answer is to be streamed.
    pub stream: bool,
    /// How the answer is to be written.
    pub form: Form,
    /// How many values of its body were read.
    pub values: usize,
}

impl ParsedRequest {
    /// Tells whether the answer is to be given in the background.
    pub fn is_in_background(&self) -> bool {
        self.request.original.as_ref().is_some_and(|original| original.marks.background)
    }

    /// Asks for the conversation made short instead of an answer to it. Only a provider of responses can do that, and
    /// only that provider reads the result.
    #[must_use]
    pub fn compacting(mut self) -> Self {
        self.stream = false;
        self.request.extra_needed.push("compact".to_owned());
        if let Some(original) = &mut self.request.original {
            original.method = "/compact";
        }
        self
    }
}

/// The parts of a request that its answer must repeat or obey.
#[derive(Clone, Debug, PartialEq)]
pub struct Form {
    caller_dialect: CallerDialect,
    /// The model's name: at first as it was asked for.
    model: String,
    /// Whether the answer names the model so, and not as its provider does.
    as_asked: bool,
    /// Whether a stream ends with the usage, where that is the caller's choice.
    usage: bool,
    /// Whether thoughts are shown, where that is the caller's choice.
    thoughts: bool,
    /// Whether calls go out in the form that was before tools: one function.
    functions: bool,
    /// Names of tools that take a text instead of JSON.
    free_tools: Vec<String>,
    /// Tools of namespaces: what each is called where no names have spaces, its namespace and its own name.
    spaces: Vec<[String; 3]>,
    /// Whether calls of the tool that finds others are items of their own.
    searches: bool,
    /// Fields of the request that every answer repeats: JSON, between an object's braces.
    echo: Text,
}

impl Form {
    fn new(caller_dialect: CallerDialect, model: String) -> Self {
        let (as_asked, usage, thoughts, functions, searches) = (false, false, true, false, false);
        let (free_tools, spaces, echo) = (Vec::new(), Vec::new(), Text::default());
        Self { caller_dialect, model, as_asked, usage, thoughts, functions, free_tools, spaces, searches, echo }
    }

    /// Returns the dialect of the caller.
    pub const fn caller_dialect(&self) -> CallerDialect {
        self.caller_dialect
    }

    /// Returns the model's name as it was asked for.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Tells whether a stream ends with the usage, where that is the caller's choice.
    pub const fn wants_usage(&self) -> bool {
        self.usage
    }

    /// Lets the answer name the model as it was asked for.
    pub fn name_as_asked(&mut self) {
        self.as_asked = true;
    }

    /// Takes the name of the model that answers.
    fn answers(&mut self, model: &str) {
        if !self.as_asked {
            model.clone_into(&mut self.model);
        }
    }
}

/// What is wrong with a caller's request, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRequest {
    /// Path of the field (`messages[2].content[0].text`); empty for the body as a whole.
    pub field: String,
    /// What is wrong with it and what would be right.
    pub problem: String,
    /// Whether it is no provider's to decide.
    is_final: bool,
    /// What is wrong beside it.
    more: Vec<Self>,
}

/// The most entries of one list that are told beside the first.
const MORE_MAX: usize = 1_000;

impl BadRequest {
    /// Returns what is wrong with a field. A problem repeats a caller's text as [`Shown`](crate::words::names::Shown)
    /// only.
    pub fn new(field: &str, problem: impl Into<String>) -> Self {
        Self { field: field.to_owned(), problem: problem.into(), is_final: false, more: Vec::new() }
    }

    /// Tells whether more of the same list may be added.
    fn has_room(&self) -> bool {
        self.more.len() < MORE_MAX
    }

    /// Adds what else is wrong.
    fn and(&mut self, mut other: Self) {
        if other.is_final && !self.is_final {
            std::mem::swap(self, &mut other);
        }
        self.more.append(&mut other.more);
        self.more.push(other);
    }

    /// Returns the same, seen from the object that has the field.
    fn within(mut self, key: &str) -> Self {
        self.field = match self.field.as_str() {
            "" => key.to_owned(),
            inner if key.is_empty() || inner.starts_with('[') => format!("{key}{inner}"),
            inner => format!("{key}.{inner}"),
        };
        self.more = self.more.into_iter().map(|bad| bad.within(key)).collect();
        self
    }

    /// Returns the same, seen from the list that has the entry.
    fn at(mut self, index: usize) -> Self {
        let dot = if self.field.is_empty() || self.field.starts_with('[') { "" } else { "." };
        self.field = format!("[{index}]{dot}{}", self.field);
        self.more = self.more.into_iter().map(|bad| bad.at(index)).collect();
        self
    }
}

impl fmt::Display for BadRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field.as_str() {
            "" => f.write_str(&self.problem),
            field => write!(f, "{field}: {}", self.problem),
        }
    }
}

impl std::error::Error for BadRequest {}

/// Reads a caller's request. In Gemini's dialect the address says which model is asked, and whether for a stream; the
/// others say so in the body. A request to count tokens is read in the same way.
///
/// What cannot be read is set aside: targets of the caller's dialect get it as it came, and decide; others are not
/// asked.
///
/// # Errors
///
/// [`BadRequest`] names the field that cannot be understood and must be: JSON, the model, the conversation as such.
pub fn read(
    caller_dialect: CallerDialect,
    path_model: Option<&str>,
    stream_by_path: bool,
    body: &Bytes,
) -> Result<ParsedRequest, BadRequest> {
    let read = |body: &Bytes| read_body(caller_dialect, path_model, stream_by_path, body);
    // Only a body that is no JSON can have half a letter in it.
    read(body).or_else(|bad| match lone::repaired(body).filter(|_| bad.field.is_empty()) {
        Some(repaired) => read(&repaired),
        None => Err(bad),
    })
}

fn read_body(
    caller_dialect: CallerDialect,
    path_model: Option<&str>,
    stream_by_path: bool,
    body: &Bytes,
) -> Result<ParsedRequest, BadRequest> {
    let body = &text(body)?;
    let mut aside = SkippedParts::default();
    loop {
        let bad = match read_once(caller_dialect, path_model, body, &aside) {
            Ok(mut asked) => {
                asked.stream |= stream_by_path;
                let original = asked.request.original.as_mut().expect("it was just read");
                original.stream = asked.stream;
                if original.marks.background {
                    original.streamed();
                }
                aside.finish(&mut asked.request);
                return Ok(asked);
            }
            Err(bad) => bad,
        };
        aside.learn(bad)?;
    }
}

/// Reads a body without what is set aside.
fn read_once(
    caller_dialect: CallerDialect,
    path_model: Option<&str>,
    body: &ByteString,
    aside: &SkippedParts,
) -> Result<ParsedRequest, BadRequest> {
    let (mut object, values) = Object::parse(body)?;
    let original = original::of(caller_dialect, body, &object);
    let mut lost = Vec::new();
    unread::notes(caller_dialect, &object, &mut lost);
    aside.set(caller_dialect, &mut object);
    let (mut asked, more) = match caller_dialect {
        CallerDialect::OpenAiChat => openai::read(object, path_model),
        CallerDialect::OpenAiResponses => responses::read(object, path_model),
        CallerDialect::Anthropic => anthropic::read(object, path_model),
        CallerDialect::Gemini => gemini::read(object, path_model),
    }?;
    for more in more {
        reading::note(&mut lost, more);
    }
    asked.values = values;
    asked.request.commit = CommitPolicy::Fail;
    asked.request.extra_dialect = Some(caller_dialect.dialect());
    let marks = Marks { hides_thoughts: !asked.form.thoughts, ..original.marks };
    asked.request.original = Some(Original { marks, lost, ..original });
    asked.request.messages.retain_mut(reading::is_for_all);
    reading::name_results(&mut asked.request.messages);
    Ok(asked)
}

/// Returns how many values of a body are read at most, without reading it.
pub fn values_max(body: &[u8]) -> usize {
    node::values_max(body.len()).min(node::begun(body))
}

/// Returns how many values of any body of this many bytes are read at most: each has one byte, and one before it.
pub fn values_of(bytes: usize) -> usize {
    node::values_max(bytes).min(bytes / 2)
}

/// Returns a body as the text that it must be.
fn text(body: &Bytes) -> Result<ByteString, BadRequest> {
    let problem = |problem| BadRequest::new("", format!("the body is no JSON: {problem}"));
    ByteString::try_from(body.clone()).map_err(problem)
}

#[cfg(test)]
mod tests;

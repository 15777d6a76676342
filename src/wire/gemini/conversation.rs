//! Turns a conversation into Gemini's contents: turns with their roles, and parts that borrow from the caller's words.
//!
//! Neighbours of one role are one turn. The results of a turn's tool calls follow it together, in the calls' order,
//! since Gemini matches them by order and name; what the user says beside them follows after. All that the operator
//! says is the system instruction, at any place in the conversation.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use super::family::Family;
use crate::wire::conversation::{self, AssistantTurn, CallResult, Media, Step, repairs, steps};
use crate::wire::names::Names;
use crate::wire::outgoing_text::{OutgoingText, told};
use crate::wire::request::{ArgumentsObject, Notes, bad, inline, object, verbatim};
use crate::wire::seal::NO_PROOF;
use crate::words::{
    AssistantPart, Audio, ChatRequest, Dialect, DocumentSource, Failure, FailureClass, Proof, Reasoning, Text,
    ToolCall, ToolResult, UserPart,
};

/// The user's text where a conversation begins with a tool call.
const OPENING: &str = "(The conversation begins here.)";

/// One turn.
#[derive(Debug, Serialize)]
pub(super) struct Content<'a> {
    role: &'static str,
    parts: Vec<Part<'a>>,
}

/// One turn, or what only this dialect has in the place of one.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Turn<'a> {
    Of(Content<'a>),
    Foreign(&'a RawValue),
}

/// One part of a turn: of a kind that the common form can express, or as it came.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Part<'a> {
    Of(KnownPart<'a>),
    Foreign(&'a RawValue),
}

/// Exactly one kind of data, perhaps with a proof. There are many texts: what else there may be takes no room in them.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct KnownPart<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<OutgoingText<'a>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    thought: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    inline_data: Option<Box<InlineData<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_data: Option<Box<FileData<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_call: Option<Box<FunctionCall<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_response: Option<Box<FunctionResponse<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thought_signature: Option<&'a str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct InlineData<'a> {
    mime_type: &'a str,
    data: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct FileData<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    mime_type: Option<&'static str>,
    file_uri: &'a str,
}

#[derive(Debug, Serialize)]
struct FunctionCall<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Cow<'a, str>>,
    name: &'a str,
    args: ArgumentsObject<'a>,
}

#[derive(Debug, Serialize)]
struct FunctionResponse<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Cow<'a, str>>,
    name: &'a str,
    response: Response<'a>,
    /// Its media.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parts: Vec<Part<'a>>,
}

/// A result must be an object. Google's own keys for other results: `output` and `error`.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Response<'a> {
    Object(&'a RawValue),
    Output { output: OutgoingText<'a> },
    Error { error: OutgoingText<'a> },
}

impl<'a> Part<'a> {
    pub(super) fn text(text: impl Into<OutgoingText<'a>>) -> Self {
        Self::Of(KnownPart { text: Some(text.into()), ..KnownPart::default() })
    }

    fn inline(mime_type: &'a str, data: &'a str) -> Self {
        Self::Of(KnownPart { inline_data: Some(Box::new(InlineData { mime_type, data })), ..KnownPart::default() })
    }

    /// Returns a file at an address.
    fn elsewhere(what: &str, file_uri: &'a str, mime_type: Option<&'static str>) -> Result<Self, Failure> {
        if !["https://", "http://", "gs://"].iter().any(|scheme| file_uri.starts_with(scheme)) {
            let problem = format!("messages: {what} must be inline or at an http(s) or gs address");
            return Err(Failure::new(FailureClass::Unsupported, problem));
        }
        let file_data = Some(Box::new(FileData { mime_type, file_uri }));
        Ok(Self::Of(KnownPart { file_data, ..KnownPart::default() }))
    }

    fn known(&mut self) -> Option<&mut KnownPart<'a>> {
        if let Self::Of(known) = self { Some(known) } else { None }
    }

    fn function_call(&self) -> Option<&FunctionCall<'a>> {
        if let Self::Of(known) = self { known.function_call.as_deref() } else { None }
    }

    fn is_inline(&self) -> bool {
        matches!(self, Self::Of(KnownPart { inline_data: Some(_), .. }))
    }
}

/// A conversation as Gemini takes it.
#[derive(Debug)]
pub(super) struct Conversation<'a> {
    /// The parts of the system instruction.
    pub(super) system: Vec<Part<'a>>,
    /// The turns.
    pub(super) contents: Vec<Turn<'a>>,
    /// The notes of converted and dropped parts.
    pub(super) notes: Notes,
    dialect: Dialect,
    /// Names of tools that are sent instead of the caller's own.
    names: &'a Names,
    /// Whether a tool's images and documents go within its result.
    shows_within: bool,
}

impl<'a> Conversation<'a> {
    /// Reads a request's messages.
    pub(super) fn of(
        dialect: Dialect,
        family: Family,
        names: &'a Names,
        request: &'a ChatRequest,
    ) -> Result<Self, Failure> {
        let shows_within = family.shows_results();
        let (system, contents, notes) = (Vec::new(), Vec::new(), Notes::default());
        let mut all = Self { system, contents, notes, dialect, names, shows_within };
        let media = if shows_within { Media::Within } else { Media::Behind };
        let repairs = repairs(request, dialect);
        let mut after_results = false;
        for step in steps(request, dialect, media, |_| true, &mut all.notes) {
            let is_result = matches!(step, Step::Result(_));
            match step {
                Step::System(text) => all.system(text),
                Step::User(parts) => {
                    let mut said = Vec::with_capacity(parts.len());
                    for part in parts {
                        said.extend(all.user(part)?);
                    }
                    all.push("user", said, !after_results);
                }
                Step::Assistant(spoken) => {
                    let parts = all.assistant(&spoken);
                    all.push("model", parts, true);
                }
                Step::Result(answer) => {
                    let parts = all.result(answer)?;
                    all.push("user", parts, after_results);
                }
                Step::Foreign(_, content) => all.contents.push(Turn::Foreign(content)),
            }
            after_results = is_result;
        }
        if all.contents.is_empty() {
            // There must be a turn.
            if all.system.is_empty() {
                return Err(bad("messages", "hold nothing that could be sent"));
            }
            let parts = std::mem::take(&mut all.system);
            all.contents.push(Turn::Of(Content { role: "user", parts }));
            all.notes.converted("messages.system");
        }
        let calls = |part: &Part<'_>| part.function_call().is_some();
        if repairs && matches!(&all.contents[0], Turn::Of(content) if content.parts.iter().any(calls)) {
            all.contents.insert(0, Turn::Of(Content { role: "user", parts: vec![Part::text(OPENING)] }));
            all.notes.converted("messages");
        }
        if repairs && family.is_set() && matches!(all.contents.last(), Some(Turn::Of(last)) if last.role == "model") {
            let problem = "messages: this model does not go on with an assistant's message";
            return Err(Failure::new(FailureClass::Unsupported, problem));
        }
        if family.wants_proofs() {
            // Of calls that came together only the first carries the proof.
            for turn in &mut all.contents {
                let Turn::Of(content) = turn else { continue };
                let first = content.parts.iter_mut().filter_map(Part::known).find(|part| part.function_call.is_some());
                if let Some(first) = first {
                    first.thought_signature.get_or_insert(NO_PROOF);
                }
            }
        }
        Ok(all)
    }

    /// Adds parts to the last turn, if it has the same role and they belong to it, else as a new turn.
    fn push(&mut self, role: &'static str, parts: Vec<Part<'a>>, joins: bool) {
        match self.contents.last_mut() {
            _ if parts.is_empty() => {}
            Some(Turn::Of(last)) if last.role == role && joins => last.parts.extend(parts),
            _ => self.contents.push(Turn::Of(Content { role, parts })),
        }
    }

    fn system(&mut self, text: &'a Text) {
        if !self.contents.is_empty() {
            self.notes.converted("messages.system");
        }
        self.system.push(Part::text(text));
    }

    fn user(&self, part: conversation::Part<'a>) -> Result<Option<Part<'a>>, Failure> {
        let part = match part {
            conversation::Part::FromRequest(part) => part,
            conversation::Part::Made(text) => return Ok(Some(Part::text(text))),
        };
        Ok(Some(match part {
            UserPart::Text(text) => Part::text(text),
            UserPart::Image(image) => match inline(image) {
                Ok((mime_type, data)) => Part::inline(mime_type, data),
                Err(url) => {
                    // Vertex must be told the type; most images of no known ending are JPEG.
                    let unknown = (self.dialect == Dialect::Vertex).then_some("image/jpeg");
                    Part::elsewhere("an image", url, media_type(url).or(unknown))?
                }
            },
            UserPart::Document(document) => match &document.source {
                DocumentSource::Text(_) => Part::text(told(document).unwrap_or_default()),
                DocumentSource::Base64 { media_type, data } => Part::inline(media_type, data),
                DocumentSource::Url(url) => Part::elsewhere("a document", url, Some("application/pdf"))?,
            },
            UserPart::Audio(Audio { media_type, data }) => Part::inline(media_type, data),
            UserPart::Foreign(part) => return Ok(verbatim(self.dialect, part).map(Part::Foreign)),
        }))
    }

    fn assistant(&mut self, spoken: &AssistantTurn<'a>) -> Vec<Part<'a>> {
        let mut own: Vec<Part<'a>> = Vec::with_capacity(spoken.parts.len());
        let mut ids = spoken.ids.iter().cloned();
        for part in spoken.parts {
            match part {
                AssistantPart::Text(text) if text.is_empty() => {}
                AssistantPart::Text(text) => own.push(Part::text(text)),
                AssistantPart::Reasoning(reasoning) => self.reasoning(reasoning, &mut own),
                AssistantPart::ToolCall(call) => {
                    let id = ids.next().unwrap_or_default();
                    own.push(self.call(id, call));
                }
                AssistantPart::Foreign(part) => own.extend(verbatim(self.dialect, part).map(Part::Foreign)),
            }
        }
        own
    }

    /// Sends reasoning back only with a proof. A proof without text belongs to the text before it.
    fn reasoning(&mut self, reasoning: &'a Reasoning, own: &mut Vec<Part<'a>>) {
        let Some(proof) = self.proof(reasoning.proof.as_ref()) else {
            if reasoning.proof.is_none() && !reasoning.text.is_empty() {
                self.notes.dropped("messages.reasoning");
            }
            return;
        };
        match own.last_mut().and_then(Part::known) {
            Some(last) if reasoning.text.is_empty() && last.text.is_some() && last.thought_signature.is_none() => {
                last.thought_signature = Some(proof);
            }
            _ => own.push(Part::Of(KnownPart {
                text: Some((&reasoning.text).into()),
                thought: !reasoning.text.is_empty(),
                thought_signature: Some(proof),
                ..KnownPart::default()
            })),
        }
    }

    fn call(&mut self, id: Cow<'a, str>, call: &'a ToolCall) -> Part<'a> {
        let args = ArgumentsObject::of(call, &mut self.notes);
        let function_call = FunctionCall { id: self.id(id), name: self.names.sent(&call.name), args };
        let thought_signature = self.proof(call.proof.as_ref());
        Part::Of(KnownPart { function_call: Some(Box::new(function_call)), thought_signature, ..KnownPart::default() })
    }

    /// Returns a result, and behind it what it shows that has no place in it.
    fn result(&self, answer: CallResult<'a>) -> Result<Vec<Part<'a>>, Failure> {
        let CallResult { name, result, .. } = answer;
        if name.is_empty() {
            return Err(bad("messages.name", "must name the tool, since no call before has this id"));
        }
        let response = match result.map(|result| &result.content[..]) {
            _ if answer.is_error() => Response::Error { error: answer.text() },
            Some([UserPart::Text(text)])
                if text.begins_with('{')
                    && !may_refer(text)
                    && let Some(object) = object(text) =>
            {
                Response::Object(object)
            }
            _ => Response::Output { output: answer.text() },
        };
        let beside = result.filter(|_| self.shows_within).into_iter().flat_map(ToolResult::beside);
        let beside: Result<Vec<_>, _> = beside.map(|part| self.user(conversation::Part::FromRequest(part))).collect();
        let (parts, behind): (Vec<_>, Vec<_>) = beside?.into_iter().flatten().partition(Part::is_inline);
        let response = FunctionResponse { id: self.id(answer.id), name: self.names.sent(name), response, parts };
        let result = Part::Of(KnownPart { function_response: Some(Box::new(response)), ..KnownPart::default() });
        Ok([result].into_iter().chain(behind).collect())
    }

    /// Returns an id to be sent: Vertex knows none, and matches by order and name.
    fn id(&self, id: Cow<'a, str>) -> Option<Cow<'a, str>> {
        Some(id).filter(|id| self.dialect == Dialect::Gemini && !id.is_empty())
    }

    /// Returns a proof to be sent back, if it is this dialect's.
    fn proof(&mut self, proof: Option<&'a Proof>) -> Option<&'a str> {
        let proof = proof?;
        if proof.dialect == self.dialect {
            return Some(&proof.data);
        }
        self.notes.dropped("messages.reasoning");
        None
    }
}

/// Tells whether a result may hold a `$ref` of its own, as every description of an API does. Google takes one at any
/// depth for the name of a part beside the result ("The referenced name … does not match to a `display_name`").
fn may_refer(text: &str) -> bool {
    ["$ref", r"\u0024ref"].iter().any(|name| text.contains(name))
}

/// Guesses an image's type by its address's ending.
fn media_type(url: &str) -> Option<&'static str> {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    let (_, ending) = path.rsplit_once('.')?;
    match ending.to_ascii_lowercase().as_str() {
        "png" => Some("image/png"),
        "jpg" | "jpeg" => Some("image/jpeg"),
        "webp" => Some("image/webp"),
        "gif" => Some("image/gif"),
        "heic" => Some("image/heic"),
        "heif" => Some("image/heif"),
        _ => None,
    }
}

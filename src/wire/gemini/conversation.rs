//! Turns a conversation into Gemini's contents: whose turn it is, and parts that borrow from the caller's words.
//!
//! Neighbours of one role are one turn. The results of a turn's tool calls follow it together, in the calls' order,
//! since Gemini matches them by order and name; what the user says beside them follows after. Whatever the operator
//! says is the system instruction, wherever it was said.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use super::family::Family;
use crate::wire::request::{Notes, arguments_object, bad, inline, object};
use crate::words::{
    AssistantPart, ChatRequest, Dialect, Failure, FailureClass, Message, Proof, Reasoning, ToolCall, ToolResult,
    UserPart,
};

/// What Google documents to be sent as the proof of a tool call that another model made.
const NO_PROOF: &str = "skip_thought_signature_validator";

/// What the user says where a conversation begins with a call of a tool.
const OPENING: &str = "(The conversation begins here.)";

/// One turn.
#[derive(Debug, Serialize)]
pub(super) struct Content<'a> {
    role: &'static str,
    parts: Vec<Part<'a>>,
}

/// One part of a turn: exactly one kind of data, perhaps with a proof.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Part<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    thought: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    inline_data: Option<InlineData<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_data: Option<FileData<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_call: Option<FunctionCall<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_response: Option<FunctionResponse<'a>>,
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
    id: Option<&'a str>,
    name: &'a str,
    args: &'a RawValue,
}

#[derive(Debug, Serialize)]
struct FunctionResponse<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    name: &'a str,
    response: Response<'a>,
}

/// A result must be an object. Google's own keys for what is none: `output` and `error`.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Response<'a> {
    Object(&'a RawValue),
    Output { output: Cow<'a, str> },
    Error { error: Cow<'a, str> },
}

impl<'a> Part<'a> {
    pub(super) fn text(text: &'a str) -> Self {
        Self { text: Some(text), ..Self::default() }
    }
}

/// A conversation as Gemini takes it.
#[derive(Debug)]
pub(super) struct Conversation<'a> {
    /// The parts of the system instruction.
    pub(super) system: Vec<Part<'a>>,
    /// The turns.
    pub(super) contents: Vec<Content<'a>>,
    /// What could not go as it was.
    pub(super) notes: Notes,
    dialect: Dialect,
    /// The calls of the model's last turn.
    calls: Vec<&'a ToolCall>,
    /// The results since, each with its call's position.
    results: Vec<(usize, Part<'a>)>,
    /// What the user said since.
    said: Vec<Part<'a>>,
}

impl<'a> Conversation<'a> {
    /// Reads a request's messages.
    pub(super) fn of(dialect: Dialect, family: Family, request: &'a ChatRequest) -> Result<Self, Failure> {
        let (system, contents, notes) = (Vec::new(), Vec::new(), Notes::default());
        let (calls, results, said) = (Vec::new(), Vec::new(), Vec::new());
        let mut all = Self { system, contents, notes, dialect, calls, results, said };
        for (at, message) in request.messages.iter().enumerate() {
            match message {
                Message::System(text) => all.system(text),
                Message::User(parts) => {
                    for part in parts {
                        let part = all.user(at, part)?;
                        all.said.extend(part);
                    }
                }
                Message::Assistant(parts) => all.assistant(at, parts)?,
                Message::Tool(result) => all.result(at, result)?,
                Message::Foreign(_) => {}
            }
        }
        all.user_turn();
        if all.contents.is_empty() {
            // There must be a turn.
            if all.system.is_empty() {
                return Err(bad("messages", "hold nothing that could be sent"));
            }
            let parts = std::mem::take(&mut all.system);
            all.contents.push(Content { role: "user", parts });
            all.notes.converted("messages.system");
        }
        if all.contents[0].parts.iter().any(|part| part.function_call.is_some()) {
            all.contents.insert(0, Content { role: "user", parts: vec![Part::text(OPENING)] });
            all.notes.converted("messages");
        }
        if family.is_set() && all.contents.last().is_some_and(|last| last.role == "model") {
            let problem = "messages: this model does not go on with an assistant's message";
            return Err(Failure::new(FailureClass::Unsupported, problem));
        }
        if family.wants_proofs() {
            // Of calls that came together the first alone carries the proof.
            for content in &mut all.contents {
                if let Some(first) = content.parts.iter_mut().find(|part| part.function_call.is_some()) {
                    first.thought_signature.get_or_insert(NO_PROOF);
                }
            }
        }
        Ok(all)
    }

    fn system(&mut self, text: &'a str) {
        if !self.contents.is_empty() || !self.said.is_empty() || !self.results.is_empty() {
            self.notes.converted("messages.system");
        }
        self.system.push(Part::text(text));
    }

    fn user(&mut self, at: usize, part: &'a UserPart) -> Result<Option<Part<'a>>, Failure> {
        match part {
            UserPart::Text(text) => Ok(Some(Part::text(text))),
            UserPart::Image(image) => {
                let url = match inline(image) {
                    Ok((mime_type, data)) => {
                        return Ok(Some(Part { inline_data: Some(InlineData { mime_type, data }), ..Part::default() }));
                    }
                    Err(url) => url,
                };
                if !["https://", "http://", "gs://"].iter().any(|scheme| url.starts_with(scheme)) {
                    let problem = format!("messages[{at}]: an image must be inline or at an http(s) or gs address");
                    return Err(Failure::new(FailureClass::Unsupported, problem));
                }
                // Vertex must be told the type; most images of no known ending are JPEG.
                let unknown = (self.dialect == Dialect::Vertex).then_some("image/jpeg");
                let file = FileData { mime_type: media_type(url).or(unknown), file_uri: url };
                Ok(Some(Part { file_data: Some(file), ..Part::default() }))
            }
            _ => Ok(None),
        }
    }

    fn assistant(&mut self, at: usize, parts: &'a [AssistantPart]) -> Result<(), Failure> {
        let mut own: Vec<Part<'a>> = Vec::with_capacity(parts.len());
        let mut calls = Vec::new();
        for part in parts {
            match part {
                AssistantPart::Text(text) if text.is_empty() => {}
                AssistantPart::Text(text) => own.push(Part::text(text)),
                AssistantPart::Reasoning(reasoning) => self.reasoning(reasoning, &mut own),
                AssistantPart::ToolCall(call) => {
                    own.push(self.call(at, call)?);
                    calls.push(call);
                }
                AssistantPart::Foreign(_) => {}
            }
        }
        if own.is_empty() {
            return Ok(());
        }
        self.user_turn();
        match self.contents.last_mut() {
            Some(last) if last.role == "model" => {
                last.parts.append(&mut own);
                self.calls.append(&mut calls);
            }
            _ => {
                self.contents.push(Content { role: "model", parts: own });
                self.calls = calls;
            }
        }
        Ok(())
    }

    /// Sends reasoning back only with a proof. A proof alone is that of the text before it.
    fn reasoning(&mut self, reasoning: &'a Reasoning, own: &mut Vec<Part<'a>>) {
        let Some(proof) = self.proof(reasoning.proof.as_ref()) else {
            if reasoning.proof.is_none() && !reasoning.text.is_empty() {
                self.notes.dropped("messages.reasoning");
            }
            return;
        };
        match own.last_mut() {
            Some(last) if reasoning.text.is_empty() && last.text.is_some() && last.thought_signature.is_none() => {
                last.thought_signature = Some(proof);
            }
            _ => own.push(Part {
                thought: !reasoning.text.is_empty(),
                thought_signature: Some(proof),
                ..Part::text(&reasoning.text)
            }),
        }
    }

    fn call(&mut self, at: usize, call: &'a ToolCall) -> Result<Part<'a>, Failure> {
        let args = arguments_object(at, call)?;
        let function_call = FunctionCall { id: self.id(&call.id), name: &call.name, args };
        let thought_signature = self.proof(call.proof.as_ref());
        Ok(Part { function_call: Some(function_call), thought_signature, ..Part::default() })
    }

    fn result(&mut self, at: usize, result: &'a ToolResult) -> Result<(), Failure> {
        let position = self.calls.iter().position(|call| call.id == result.call_id);
        let name = position.map_or(result.name.as_str(), |position| &self.calls[position].name);
        if name.is_empty() {
            return Err(bad(&format!("messages[{at}].name"), "must name the tool, since no call before has this id"));
        }
        let response = match &result.content[..] {
            _ if result.is_error => Response::Error { error: result.text() },
            [UserPart::Text(text)] if let Some(object) = object(text) => Response::Object(object),
            _ => Response::Output { output: result.text() },
        };
        let response = FunctionResponse { id: self.id(&result.call_id), name, response };
        let part = Part { function_response: Some(response), ..Part::default() };
        self.results.push((position.unwrap_or(usize::MAX), part));
        Ok(())
    }

    /// Ends the user's turn: the results in the order of their calls, then what was said.
    fn user_turn(&mut self) {
        self.results.sort_by_key(|(position, _)| *position);
        let results: Vec<_> = self.results.drain(..).map(|(_, part)| part).collect();
        for parts in [results, std::mem::take(&mut self.said)] {
            if !parts.is_empty() {
                self.contents.push(Content { role: "user", parts });
            }
        }
    }

    /// Returns an id to be sent: Vertex knows none, and matches by order and name.
    fn id(&self, id: &'a str) -> Option<&'a str> {
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

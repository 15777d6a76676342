//! Brings a conversation into the shape this dialect wants: the system's texts apart; turns of user and assistant in
//! alternation, the user's first and last; every tool call answered at once, all results of a turn together, in the
//! order of the calls and before anything else; ids of calls that it takes, none of them twice.
//!
//! In flow a caller's messages, out flow turns that borrow them, and notes of what could not go as it was. Turns are
//! only appended to as a conversation grows, and never rewritten, so that the provider's prompt cache holds.

use std::borrow::Cow;
use std::collections::HashSet;

use serde::Serialize;
use serde_json::value::RawValue;

use super::proof::{self, Thought};
use crate::wire::request::{Notes, arguments_object, inline};
use crate::words::{AssistantPart, Failure, FailureClass, Message, Reasoning, ToolCall, ToolResult, UserPart};

/// What the user says where a conversation does not begin with the user.
const OPENING: &str = "(The conversation begins here.)";
/// What the user says where a conversation ends with the assistant: newer models refuse to go on from there.
const GO_ON: &str = "Continue.";
/// The result of a call that has none.
const NO_RESULT: &str = "This tool was not run.";
/// The kinds of images taken.
const IMAGE_TYPES: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];

/// A conversation in this dialect's shape.
#[derive(Debug, Default)]
pub(super) struct Turns<'a> {
    /// The system's texts before the conversation.
    pub(super) system: Vec<Block<'a>>,
    /// The conversation.
    pub(super) all: Vec<Turn<'a>>,
    /// The calls of the last turn of the assistant, and their results as far as they are known.
    calls: Vec<OpenCall<'a>>,
    /// What the user said since the last turn.
    said: Vec<Block<'a>>,
    /// Ids of calls in use.
    ids: HashSet<&'a str>,
    calls_made: usize,
}

/// What was said in one go.
#[derive(Debug, Serialize)]
pub(super) struct Turn<'a> {
    role: Role,
    content: Vec<Block<'a>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Role {
    User,
    Assistant,
}

/// A part of a turn.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Block<'a> {
    Text {
        text: Cow<'a, str>,
    },
    Image {
        source: Source<'a>,
    },
    Thinking {
        thinking: &'a str,
        signature: &'a str,
    },
    RedactedThinking {
        data: &'a str,
    },
    ToolUse {
        id: Cow<'a, str>,
        name: &'a str,
        input: &'a RawValue,
    },
    ToolResult {
        tool_use_id: Cow<'a, str>,
        content: Cow<'a, str>,
        #[serde(skip_serializing_if = "is_false")]
        is_error: bool,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// Where an image is.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Source<'a> {
    Url { url: &'a str },
    Base64 { media_type: &'a str, data: &'a str },
}

#[derive(Debug)]
struct OpenCall<'a> {
    /// The id that the caller's result names.
    call_id: &'a str,
    /// The id that is sent.
    id: Cow<'a, str>,
    result: Option<&'a ToolResult>,
}

impl<'a> Block<'a> {
    /// Returns a block of text, if there is any: blank ones are refused.
    pub(super) fn text(text: impl Into<Cow<'a, str>>) -> Option<Self> {
        let text = text.into();
        (!text.trim().is_empty()).then_some(Self::Text { text })
    }
}

impl<'a> Turns<'a> {
    /// Shapes a conversation.
    pub(super) fn of(messages: &'a [Message], model: &str, notes: &mut Notes) -> Result<Self, Failure> {
        let mut turns = Self::default();
        let system = |message: &Message| matches!(message, Message::System(_));
        // Somebody must say something: where only the system speaks, the user says it.
        let leading = messages.iter().position(|message| !system(message)).unwrap_or(0);
        for (at, message) in messages.iter().enumerate() {
            match message {
                Message::System(text) if at < leading => turns.system.extend(Block::text(text)),
                Message::System(text) => {
                    // Further up it would change the prompt from its beginning, and lose what is cached of it.
                    notes.converted("messages.system");
                    turns.said.extend(Block::text(format!("<system>\n{text}\n</system>")));
                }
                Message::User(parts) => {
                    for part in parts {
                        turns.said.extend(user_block(part)?);
                    }
                }
                Message::Assistant(parts) => turns.assistant(at, parts, model, notes)?,
                Message::Tool(result) => turns.result(result, notes),
                Message::Foreign(_) => {}
            }
        }
        turns.finish(notes);
        Ok(turns)
    }

    /// Tells whether a model may be made to think: the last thing that the assistant did, should it have called a
    /// tool, must have begun with a thought that the provider can read.
    pub(super) fn may_think(&self) -> bool {
        let last = self.all.iter().rfind(|turn| turn.role == Role::Assistant);
        last.is_none_or(|turn| {
            let thought = matches!(turn.content.first(), Some(Block::Thinking { .. } | Block::RedactedThinking { .. }));
            thought || !turn.content.iter().any(|block| matches!(block, Block::ToolUse { .. }))
        })
    }

    fn assistant(
        &mut self,
        at: usize,
        parts: &'a [AssistantPart],
        model: &str,
        notes: &mut Notes,
    ) -> Result<(), Failure> {
        if !self.said.is_empty() || self.calls.iter().any(|call| call.result.is_some()) {
            self.close(notes);
        }
        let mut content = Vec::with_capacity(parts.len());
        for part in parts {
            match part {
                AssistantPart::Text(text) => content.extend(Block::text(text)),
                AssistantPart::Reasoning(reasoning) => match thinking_block(reasoning, model) {
                    Some(block) => content.push(block),
                    None => notes.dropped("messages.reasoning"),
                },
                AssistantPart::ToolCall(call) => content.push(self.call(at, call, notes)?),
                AssistantPart::Foreign(_) => {}
            }
        }
        self.push(Role::Assistant, content);
        Ok(())
    }

    fn call(&mut self, at: usize, call: &'a ToolCall, notes: &mut Notes) -> Result<Block<'a>, Failure> {
        let is_taken = |letter: u8| letter.is_ascii_alphanumeric() || matches!(letter, b'_' | b'-');
        let id = if !call.id.is_empty() && call.id.bytes().all(is_taken) && self.ids.insert(&call.id) {
            Cow::Borrowed(call.id.as_str())
        } else {
            notes.converted("messages.tool_call.id");
            Cow::Owned(format!("toolu_standin_{}", self.calls_made))
        };
        notes.keep(false, "messages.tool_call.proof", call.proof.as_ref());
        self.calls_made += 1;
        self.calls.push(OpenCall { call_id: &call.id, id: id.clone(), result: None });
        Ok(Block::ToolUse { id, name: &call.name, input: arguments_object(at, call)? })
    }

    fn result(&mut self, result: &'a ToolResult, notes: &mut Notes) {
        let open = |call: &&mut OpenCall<'_>| call.result.is_none() && call.call_id == result.call_id;
        if let Some(call) = self.calls.iter_mut().find(open) {
            call.result = Some(result);
        } else {
            notes.converted("messages.tool_result");
            let (name, content) = (&result.name, result.text());
            self.said.extend(Block::text(format!("Result of the tool `{name}`:\n{content}")));
        }
    }

    /// Ends a turn of the user.
    fn close(&mut self, notes: &mut Notes) {
        if self.calls.iter().any(|call| call.result.is_none()) {
            notes.converted("messages.tool_call");
        }
        let results = self.calls.drain(..).map(|OpenCall { id: tool_use_id, result, .. }| {
            let (content, is_error) =
                result.map_or((NO_RESULT.into(), true), |result| (result.text(), result.is_error));
            Block::ToolResult { tool_use_id, content, is_error }
        });
        let content = results.chain(self.said.drain(..)).collect();
        self.push(Role::User, content);
    }

    fn push(&mut self, role: Role, content: Vec<Block<'a>>) {
        match self.all.last_mut() {
            _ if content.is_empty() => {}
            Some(turn) if turn.role == role => turn.content.extend(content),
            _ => self.all.push(Turn { role, content }),
        }
    }

    fn finish(&mut self, notes: &mut Notes) {
        self.close(notes);
        if self.all.first().is_none_or(|turn| turn.role == Role::Assistant) {
            notes.converted("messages");
            let content = Block::text(OPENING).into_iter().collect();
            self.all.insert(0, Turn { role: Role::User, content });
        }
        if self.all.last().is_some_and(|turn| turn.role == Role::Assistant) {
            notes.converted("messages");
            self.push(Role::User, Block::text(GO_ON).into_iter().collect());
        }
    }
}

fn user_block(part: &UserPart) -> Result<Option<Block<'_>>, Failure> {
    let image = match part {
        UserPart::Text(text) => return Ok(Block::text(text)),
        UserPart::Image(image) => image,
        _ => return Ok(None),
    };
    let (media_type, data) = match inline(image) {
        Ok(inline) => inline,
        Err(url) => return Ok(Some(Block::Image { source: Source::Url { url } })),
    };
    if IMAGE_TYPES.contains(&media_type) {
        Ok(Some(Block::Image { source: Source::Base64 { media_type, data } }))
    } else {
        let problem = format!("messages.image.media_type: `{media_type}` is none of {}", IMAGE_TYPES.join(", "));
        Err(Failure::new(FailureClass::Unsupported, problem))
    }
}

/// Returns reasoning for the model that thought it.
fn thinking_block<'a>(reasoning: &'a Reasoning, model: &str) -> Option<Block<'a>> {
    Some(match proof::unwrap(reasoning, model)? {
        Thought::Signed { text, signature } => Block::Thinking { thinking: text, signature },
        Thought::Redacted(data) => Block::RedactedThinking { data },
    })
}

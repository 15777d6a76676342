//! Brings a conversation into the shape this dialect wants: the system's texts apart; turns of user and assistant in
//! alternation, the user's first and last, unless the model goes on with what the assistant said; ids of calls that it
//! takes; no text that is blank.
//!
//! Input: a caller's messages. Output: turns that borrow them, and notes of what could not go as it was. Turns are only
//! appended to as a conversation grows, and never rewritten, so that the provider's prompt cache holds.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use super::models::{OTHER, Traits};
use super::proof::{self, Thought, parted};
use super::{DOCUMENT_TYPE, INVOICE, SYSTEM};
use crate::wire::conversation::{AssistantTurn, CallResult, Media, Part, Step, is_prefilled, repairs, steps};
use crate::wire::names::Names;
use crate::wire::outgoing_text::OutgoingText;
use crate::wire::request::{ArgumentsObject, Notes, inline, unsupported, verbatim};
use crate::words::{
    AssistantPart, ChatRequest, Dialect, Document, DocumentSource, Failure, FailureClass, Reasoning, UserPart,
};

const OWN: Dialect = Dialect::AnthropicMessages;
/// The user's text where a conversation does not begin with the user.
const OPENING: &str = "(The conversation begins here.)";
/// The user's text where a conversation ends with the assistant, and the model cannot continue that.
const GO_ON: &str = "Continue.";
/// How ids of calls begin that others give: OpenAI and its copies, vLLM, responses, Kimi.
const OTHERS_IDS: [&str; 4] = ["call_", "chatcmpl-tool-", "fc_", "functions."];
/// The kinds of images taken.
const IMAGE_TYPES: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];

/// A conversation in this dialect's shape.
#[derive(Debug, Default)]
pub(super) struct Turns<'a> {
    /// The system's texts before the conversation.
    pub(super) system: Vec<Block<'a>>,
    /// The conversation.
    pub(super) all: Vec<Turn<'a>>,
    /// Whether the assistant's last turn had a thought of another maker's model.
    foreign_thought: bool,
}

/// One message of a role.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Turn<'a> {
    Of { role: Role, content: Vec<Block<'a>> },
    Foreign(&'a RawValue),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Role {
    User,
    Assistant,
}

/// A part of a turn: of a kind that the common form can express, or as it came.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Block<'a> {
    Of(KnownBlock<'a>),
    Foreign(&'a RawValue),
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum KnownBlock<'a> {
    Text {
        text: OutgoingText<'a>,
    },
    Image {
        source: Source<'a>,
    },
    Document {
        source: Source<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        title: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        context: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        citations: Option<Citations>,
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
        input: ArgumentsObject<'a>,
    },
    ToolResult {
        tool_use_id: Cow<'a, str>,
        content: Content<'a>,
        #[serde(skip_serializing_if = "is_false")]
        is_error: bool,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// The content of a tool's result.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Content<'a> {
    Text(OutgoingText<'a>),
    Blocks(Vec<Block<'a>>),
}

/// Asks for places in a document.
#[derive(Debug, Serialize)]
pub(super) struct Citations {
    enabled: bool,
}

/// Where a file is, or its content.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Source<'a> {
    Url { url: &'a str },
    Base64 { media_type: &'a str, data: &'a str },
    Text { media_type: &'static str, data: OutgoingText<'a> },
}

impl<'a> Block<'a> {
    /// Returns a block of text, if there is any: blank ones are refused.
    pub(super) fn text(text: impl Into<OutgoingText<'a>>) -> Option<Self> {
        let text = text.into();
        (!text.is_blank()).then_some(Self::Of(KnownBlock::Text { text }))
    }

    fn is_thought(&self) -> bool {
        matches!(self, Self::Of(KnownBlock::Thinking { .. } | KnownBlock::RedactedThinking { .. }))
    }
}

impl<'a> Turns<'a> {
    /// Shapes a conversation.
    pub(super) fn of(
        request: &'a ChatRequest,
        (model, traits): (&str, Traits),
        echo: Option<&'static str>,
        names: &'a Names,
        notes: &mut Notes,
    ) -> Result<Self, Failure> {
        let mut turns = Self::default();
        let prefills = traits.prefills && request.effort.is_none();
        if is_prefilled(request, OWN) && !prefills {
            let field = format!("messages[{}]", request.messages.len() - 1);
            let problem = "the model does not go on with a last message of the assistant, it answers it";
            return Err(Failure::new(FailureClass::Unsupported, format!("{field}: {problem}")));
        }
        let steps = steps(request, OWN, Media::Within, is_id, notes);
        let system = |step: &Step<'_>| matches!(step, Step::System(_) | Step::Foreign(SYSTEM | INVOICE, _));
        // A conversation needs a message: where there is only a system prompt, the user says it.
        let leading = steps.iter().position(|step| !system(step)).unwrap_or(0);
        for (at, step) in steps.into_iter().enumerate() {
            match step {
                Step::System(text) if at < leading => turns.system.extend(Block::text(text)),
                Step::System(text) => {
                    // At the top it would change the prompt from its beginning, and lose its cache.
                    notes.converted("messages.system");
                    let text =
                        Block::text(OutgoingText::row(["<system>\n".into(), text.into(), "\n</system>".into()], ""));
                    turns.push(Role::User, text.into_iter().collect());
                }
                Step::User(parts) => {
                    let mut blocks = Vec::with_capacity(parts.len());
                    for part in parts {
                        blocks.extend(user_block(part)?);
                    }
                    turns.push(Role::User, blocks);
                }
                Step::Assistant(spoken) => {
                    turns.foreign_thought = spoken.parts.iter().any(is_anothers);
                    let content = assistant(&spoken, (model, echo), names, notes);
                    turns.push(Role::Assistant, content);
                }
                Step::Result(answer) => {
                    let block = result(answer)?;
                    turns.push(Role::User, vec![block]);
                }
                // It differs in every request: a prompt that begins with it finds no cache at another provider.
                Step::Foreign(INVOICE, _) if !model.contains("claude") => notes.dropped("messages.content"),
                Step::Foreign(SYSTEM | INVOICE, block) => turns.system.push(Block::Foreign(block)),
                Step::Foreign(_, message) => turns.all.push(Turn::Foreign(message)),
            }
        }
        if repairs(request, OWN) {
            // With thinking on, a turn of the assistant must begin with a thought.
            turns.finish(prefills, notes);
        }
        Ok(turns)
    }

    /// Tells whether a model may be asked to think: if the assistant's last turn called a tool, it must have begun with
    /// a thought that the provider can read.
    pub(super) fn may_think(&self) -> bool {
        self.calls_without_thought().next().is_none()
    }

    /// Tells whether the assistant's last turn is known to be another model's: it called a tool without a thought of
    /// its own, by an id that no model of Anthropic's gives, or after a thought that none of them had. Claude's calls
    /// without a thought are accepted by its provider.
    pub(super) fn is_anothers(&self) -> bool {
        let is_others = |id: &str| OTHERS_IDS.iter().any(|begin| id.starts_with(begin));
        self.calls_without_thought().any(|id| self.foreign_thought || is_others(id))
    }

    /// Returns the ids of the calls in the assistant's last turn, if that did not begin with a thought.
    fn calls_without_thought(&self) -> impl Iterator<Item = &str> {
        let last = self.all.iter().rev().find_map(|turn| match turn {
            Turn::Of { role: Role::Assistant, content } => Some(&content[..]),
            _ => None,
        });
        let content = last.filter(|content| !content.first().is_some_and(Block::is_thought)).unwrap_or_default();
        content.iter().filter_map(|block| match block {
            Block::Of(KnownBlock::ToolUse { id, .. }) => Some(&**id),
            _ => None,
        })
    }

    fn push(&mut self, role: Role, content: Vec<Block<'a>>) {
        match self.all.last_mut() {
            _ if content.is_empty() => {}
            Some(Turn::Of { role: last, content: said }) if *last == role => said.extend(content),
            _ => self.all.push(Turn::Of { role, content }),
        }
    }

    fn finish(&mut self, prefills: bool, notes: &mut Notes) {
        let is_said = |turn: Option<&Turn<'_>>| matches!(turn, Some(Turn::Of { role: Role::Assistant, .. }));
        if self.all.is_empty() || is_said(self.all.first()) {
            notes.converted("messages");
            let content = Block::text(OPENING).into_iter().collect();
            self.all.insert(0, Turn::Of { role: Role::User, content });
        }
        if !is_said(self.all.last()) {
            return;
        }
        match self.all.last_mut() {
            // The last text of the assistant must not end with a space.
            Some(Turn::Of { content, .. }) if prefills => {
                if let Some(Block::Of(KnownBlock::Text { text })) = content.last_mut() {
                    *text = std::mem::take(text).trimmed_end();
                }
            }
            _ => {
                notes.converted("messages");
                self.push(Role::User, Block::text(GO_ON).into_iter().collect());
            }
        }
    }
}

/// Tells whether a part is a thought that no model of Anthropic's had: theirs are signed, by them.
fn is_anothers(part: &AssistantPart) -> bool {
    let AssistantPart::Reasoning(Reasoning { proof, .. }) = part else { return false };
    proof.as_ref().is_none_or(|proof| proof.dialect != OWN || parted(&proof.data).maker == Some(OTHER))
}

/// Tells whether an id of a call is one that is taken.
fn is_id(id: &str) -> bool {
    id.bytes().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, b'_' | b'-'))
}

/// Returns what an assistant said. Where thoughts are wanted back, those that nobody signed go, too, and before a call
/// there is one at least.
fn assistant<'a>(
    spoken: &AssistantTurn<'a>,
    (model, echo): (&str, Option<&'static str>),
    names: &'a Names,
    notes: &mut Notes,
) -> Vec<Block<'a>> {
    let unsigned = |thinking| Block::Of(KnownBlock::Thinking { thinking, signature: "" });
    let mut content = Vec::with_capacity(spoken.parts.len());
    let mut ids = spoken.ids.iter().cloned();
    for part in spoken.parts {
        match part {
            AssistantPart::Text(text) => content.extend(Block::text(text)),
            AssistantPart::Reasoning(reasoning) => match thinking_block(reasoning, model) {
                Some(block) => content.push(Block::Of(block)),
                None if echo.is_some() && reasoning.proof.is_none() => content.push(unsigned(&reasoning.text)),
                None => notes.dropped("messages.reasoning"),
            },
            AssistantPart::ToolCall(call) => {
                notes.keep(false, "messages.tool_call.proof", call.proof.as_ref());
                let (id, input) = (ids.next().unwrap_or_default(), ArgumentsObject::of(call, notes));
                content.push(Block::Of(KnownBlock::ToolUse { id, name: names.sent(&call.name), input }));
            }
            AssistantPart::Foreign(block) => content.extend(verbatim(OWN, block).map(Block::Foreign)),
        }
    }
    if let Some(unknown) = echo.filter(|_| !spoken.ids.is_empty() && !content.iter().any(Block::is_thought)) {
        content.insert(0, unsigned(unknown));
    }
    content
}

fn result(answer: CallResult<'_>) -> Result<Block<'_>, Failure> {
    let shows = answer.result.filter(|result| result.beside().next().is_some());
    let content = match shows {
        None => Content::Text(answer.text()),
        Some(result) => {
            let blocks: Result<Vec<_>, _> =
                result.content.iter().map(|part| user_block(Part::FromRequest(part))).collect();
            Content::Blocks(blocks?.into_iter().flatten().collect())
        }
    };
    let is_error = answer.is_error();
    Ok(Block::Of(KnownBlock::ToolResult { tool_use_id: answer.id, content, is_error }))
}

fn user_block(part: Part<'_>) -> Result<Option<Block<'_>>, Failure> {
    let part = match part {
        Part::FromRequest(part) => part,
        Part::Made(text) => return Ok(Block::text(text)),
    };
    let image = match part {
        UserPart::Text(text) => return Ok(Block::text(text)),
        UserPart::Image(image) => image,
        UserPart::Document(document) => return document_block(document).map(Some),
        UserPart::Audio(_) => return Err(unsupported("messages.audio")),
        UserPart::Foreign(block) => return Ok(verbatim(OWN, block).map(Block::Foreign)),
    };
    let source = match inline(image) {
        Ok((media_type, data)) if IMAGE_TYPES.contains(&media_type) => Source::Base64 { media_type, data },
        Ok((media_type, _)) => return Err(kind_of("image", media_type, &IMAGE_TYPES)),
        Err(url) => Source::Url { url },
    };
    Ok(Some(Block::Of(KnownBlock::Image { source })))
}

fn document_block(document: &Document) -> Result<Block<'_>, Failure> {
    let source = match &document.source {
        DocumentSource::Text(data) => Source::Text { media_type: "text/plain", data: data.into() },
        DocumentSource::Url(url) => Source::Url { url },
        DocumentSource::Base64 { media_type, data } if media_type == DOCUMENT_TYPE => {
            Source::Base64 { media_type, data }
        }
        DocumentSource::Base64 { media_type, .. } => return Err(kind_of("document", media_type, &[DOCUMENT_TYPE])),
    };
    let citations = document.citations.then_some(Citations { enabled: true });
    let (title, context) = (document.title.as_deref(), document.context.as_deref());
    Ok(Block::Of(KnownBlock::Document { source, title, context, citations }))
}

/// Returns the failure of a file of a kind that is not taken.
fn kind_of(what: &str, media_type: &str, taken: &[&str]) -> Failure {
    let problem = format!("messages.{what}.media_type: `{media_type}` is none of {}", taken.join(", "));
    Failure::new(FailureClass::Unsupported, problem)
}

/// Returns reasoning for the model that thought it.
fn thinking_block<'a>(reasoning: &'a Reasoning, model: &str) -> Option<KnownBlock<'a>> {
    Some(match proof::unwrap(reasoning, model)? {
        Thought::Signed { text, signature } => KnownBlock::Thinking { thinking: text, signature },
        Thought::Redacted(data) => KnownBlock::RedactedThinking { data },
    })
}

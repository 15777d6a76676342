//! Checks a conversation: the order of roles, the results of calls, the signatures of thoughts.

use std::collections::BTreeSet;

use serde_json::Value;

use super::fields::{Checked, Object, check_pattern, invalid, refuse};
use super::{Thinking, is_at_least};
use crate::testing::answer::words;
use crate::testing::dialects::anthropic::is_genuine;

const USER_BLOCKS: &[&str] = &["document", "image", "search_result", "text", "tool_result"];
const ASSISTANT_BLOCKS: &[&str] = &["redacted_thinking", "text", "thinking", "tool_use"];
const RESULT_BLOCKS: &[&str] = &["document", "image", "search_result", "text", "tool_reference"];

/// The texts of a conversation.
#[derive(Default)]
pub(super) struct ConversationTexts {
    /// Text of the last user message that has any.
    pub(super) user: Option<String>,
    /// Text of the last turn.
    pub(super) last: Option<String>,
    /// The tools' results, if they are the last.
    pub(super) tool_results: Vec<String>,
    /// Words of it all.
    pub(super) tokens: u64,
}

/// The content of one message.
#[derive(Default)]
struct MessageContent<'a> {
    text: String,
    /// The ids of its calls.
    calls: Vec<&'a str>,
    /// Its tools' results that stand before all else, by the call's id.
    results: Vec<(&'a str, String)>,
    has_other_blocks: bool,
    /// The kinds of its first and last block.
    first: &'a str,
    last: &'a str,
}

impl ConversationTexts {
    pub(super) fn read(request: &Object<'_>, model: &str, thinking: Thinking) -> Checked<Self> {
        let mut talk = Self::default();
        talk.system(request)?;
        let messages = request.list("messages")?.ok_or_else(|| request.missing("messages"))?;
        if messages.is_empty() {
            return Err(invalid("messages", "at least one message is required"));
        }
        let mut open: Option<(usize, Vec<&str>)> = None;
        let mut ids = BTreeSet::new();
        // Whether the assistant has spoken since the user last spoke, and whether it thought before that.
        let (mut has_acted, mut has_thought) = (false, false);
        for (at, message) in messages.iter().enumerate() {
            let path = format!("messages.{at}");
            let message = Object::new(message, path.clone())?;
            // From Opus 4.8 on the system may speak amid a conversation, by the notes of that release.
            if at > 0 && is_at_least(model, (4, 8)) && message.string("role")? == "system" {
                message.known(&["role", "content", "output_config"])?;
                let turn = MessageContent::read(&message, true, model)?;
                answered(open.take(), at, &turn)?;
                talk.hear(&turn.text);
                continue;
            }
            let is_user = role(&message, at)?;
            let is_last = at + 1 == messages.len();
            let turn = MessageContent::read(&message, is_user, model)?;
            if turn.first.is_empty() && (is_user || !is_last) {
                let problem =
                    "all messages must have non-empty content except for the optional final assistant message";
                return Err(invalid(&path, problem));
            }
            answered(open.take(), at, &turn)?;
            if is_user {
                let resumes = turn.has_other_blocks || turn.results.is_empty();
                has_acted &= !resumes;
                has_thought &= !resumes;
                talk.hear_user(turn);
                continue;
            }
            if matches!(turn.last, "thinking" | "redacted_thinking") && !is_last {
                return Err(invalid(&path, "The final block in an assistant message cannot be `thinking`."));
            }
            if !turn.calls.iter().all(|id| ids.insert(*id)) {
                return Err(invalid("messages", "`tool_use` ids must be unique"));
            }
            has_acted = true;
            has_thought |= matches!(turn.first, "thinking" | "redacted_thinking");
            if is_last {
                prefill(model, &turn)?;
            }
            talk.hear(&turn.text);
            open = Some((at, turn.calls)).filter(|(_, calls)| !calls.is_empty());
        }
        answered(open, messages.len(), &MessageContent::default())?;
        if thinking == Thinking::Enabled && has_acted && !has_thought {
            return Err(refuse_without_thought(messages));
        }
        Ok(talk)
    }

    fn system(&mut self, request: &Object<'_>) -> Checked<()> {
        match request.get("system") {
            None => Ok(()),
            Some(Value::String(text)) => {
                self.hear(text);
                Ok(())
            }
            Some(_) => {
                for (at, block) in request.list("system")?.into_iter().flatten().enumerate() {
                    let block = Object::new(block, format!("system.{at}"))?;
                    block.tag(&["text"])?;
                    let text = text(&block, "system")?;
                    self.hear(text);
                }
                Ok(())
            }
        }
    }

    fn hear_user(&mut self, turn: MessageContent<'_>) {
        self.tool_results.clear();
        for (_, result) in turn.results {
            self.hear(&result);
            self.tool_results.push(result);
        }
        if turn.has_other_blocks {
            self.tool_results.clear();
            self.hear(&turn.text);
            self.user = Some(turn.text);
        }
    }

    fn hear(&mut self, text: &str) {
        self.tokens += words(text).count() as u64;
        self.last = Some(text.to_owned());
    }
}

/// Tells whether a message is the user's.
fn role(message: &Object<'_>, at: usize) -> Checked<bool> {
    message.known(&["role", "content"])?;
    match message.string("role")? {
        "system" => Err(invalid(
            "messages",
            "Unexpected role \"system\". The Messages API accepts a top-level `system` parameter, not \"system\" as an \
             input message role.",
        )),
        "assistant" if at == 0 => Err(invalid("messages", "first message must use the \"user\" role")),
        _ => message.literal("role", &["user", "assistant"]).map(|role| role == "user"),
    }
}

/// Checks that a message has the results of the calls before it, and no others.
fn answered(open: Option<(usize, Vec<&str>)>, at: usize, turn: &MessageContent<'_>) -> Checked<()> {
    let (asker, calls) = open.unwrap_or_default();
    let missing: Vec<_> = calls.iter().filter(|call| turn.results.iter().all(|(id, _)| id != *call)).copied().collect();
    if !missing.is_empty() {
        return Err(refuse(format!(
            "messages.{asker}: `tool_use` ids were found without `tool_result` blocks immediately after: {}. Each \
             `tool_use` block must have a corresponding `tool_result` block in the next message.",
            missing.join(", ")
        )));
    }
    for (block, (id, _)) in turn.results.iter().enumerate() {
        let path = format!("messages.{at}.content.{block}");
        if !calls.contains(id) {
            let problem = format!(
                "unexpected `tool_use_id` found in `tool_result` blocks: {id}. Each `tool_result` block must have a \
                 corresponding `tool_use` block in the previous message."
            );
            return Err(invalid(&path, &problem));
        }
        if turn.results[..block].iter().any(|(known, _)| known == id) {
            let problem =
                format!("each tool_use must have a single result. Found multiple `tool_result` blocks with id: {id}");
            return Err(invalid(&path, &problem));
        }
    }
    Ok(())
}

/// Checks a prefilled answer.
fn prefill(model: &str, turn: &MessageContent<'_>) -> Checked<()> {
    if !turn.calls.is_empty() {
        return Ok(());
    }
    if is_at_least(model, (4, 6)) {
        return Err(refuse(
            "This model does not support assistant message prefill. The conversation must end with a user message.",
        ));
    }
    if turn.text.ends_with(char::is_whitespace) {
        return Err(invalid("messages", "final assistant content cannot end with trailing whitespace"));
    }
    Ok(())
}

/// Returns the refusal of calls without the thought that led to them.
fn refuse_without_thought(messages: &[Value]) -> crate::testing::dialects::Refusal {
    let at = messages.iter().rposition(|message| message["role"] == "assistant").unwrap_or(0);
    let found = messages[at]["content"][0]["type"].as_str().unwrap_or("text");
    refuse(format!(
        "messages.{at}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{found}`. When `thinking` is \
         enabled, a final `assistant` message must start with a thinking block (preceeding the lastmost set of \
         `tool_use` and `tool_result` blocks). We recommend you include thinking blocks from previous turns. To avoid \
         this requirement, disable `thinking`. Please consult our documentation at \
         https://docs.claude.com/en/docs/build-with-claude/extended-thinking"
    ))
}

impl<'a> MessageContent<'a> {
    fn read(message: &Object<'a>, is_user: bool, model: &str) -> Checked<Self> {
        let mut turn = Self::default();
        let blocks = match message.get("content").ok_or_else(|| message.missing("content"))? {
            Value::String(text) => {
                if text.is_empty() {
                    return Ok(turn);
                }
                spoken(text, "messages")?;
                turn.text.push_str(text);
                turn.has_other_blocks = true;
                (turn.first, turn.last) = ("text", "text");
                return Ok(turn);
            }
            Value::Array(blocks) => blocks,
            _ => return Err(invalid(&message.place("content"), "Input should be a valid list")),
        };
        for (at, block) in blocks.iter().enumerate() {
            let block = Object::new(block, format!("{}.{at}", message.place("content")))?;
            let kind = block.string_opt("type")?.unwrap_or_default();
            let elsewhere = match kind {
                "tool_use" if is_user => Some("assistant"),
                "tool_result" if !is_user => Some("user"),
                _ => None,
            };
            if let Some(role) = elsewhere {
                let problem = format!("`{kind}` blocks can only be in `{role}` messages");
                return Err(invalid(message.path(), &problem));
            }
            let kind = block.tag(if is_user { USER_BLOCKS } else { ASSISTANT_BLOCKS })?;
            turn.first = if at == 0 { kind } else { turn.first };
            turn.last = kind;
            turn.block(kind, &block, model)?;
        }
        Ok(turn)
    }

    fn block(&mut self, kind: &str, block: &Object<'a>, model: &str) -> Checked<()> {
        let whole = block;
        let block = &block.within(kind);
        match kind {
            "text" => self.text.push_str(text(whole, "messages")?),
            "tool_result" => {
                let result = tool_result(block)?;
                // A result after other content does not count: it must come first.
                if !self.has_other_blocks {
                    self.results.push(result);
                }
                return Ok(());
            }
            "tool_use" => {
                block.known(&["type", "id", "name", "input", "cache_control", "caller"])?;
                block.cache_control()?;
                let id = block.string("id")?;
                check_pattern(id, &block.place("id"), None)?;
                check_pattern(block.string("name")?, &block.place("name"), Some(200))?;
                match block.get("input") {
                    Some(Value::Object(_)) => {}
                    Some(_) => return Err(invalid(&block.place("input"), "Input should be a valid dictionary")),
                    None => return Err(block.missing("input")),
                }
                self.calls.push(id);
            }
            "thinking" => {
                block.known(&["type", "thinking", "signature"])?;
                if !is_genuine(model, block.string("thinking")?, block.string("signature")?) {
                    return Err(invalid(whole.path(), "Invalid `signature` in `thinking` block"));
                }
            }
            "redacted_thinking" => {
                // The model played here hides no thought in this way, so any that comes is forged.
                block.known(&["type", "data"])?;
                block.string("data")?;
                return Err(invalid(whole.path(), "Invalid `data` in `redacted_thinking` block"));
            }
            _ => media(kind, block)?,
        }
        self.has_other_blocks = true;
        Ok(())
    }
}

/// Returns a text block's text. `place` is where empty ones are said to be.
fn text<'a>(block: &Object<'a>, place: &str) -> Checked<&'a str> {
    let block = block.within("text");
    block.known(&["type", "text", "cache_control", "citations"])?;
    block.cache_control()?;
    let text = block.string("text")?;
    spoken(text, place).map(|()| text)
}

fn spoken(text: &str, place: &str) -> Checked<()> {
    if text.is_empty() {
        return Err(invalid(place, "text content blocks must be non-empty"));
    }
    if text.trim().is_empty() {
        return Err(invalid(place, "text content blocks must contain non-whitespace text"));
    }
    Ok(())
}

/// Returns the id of the call and what its tool said.
fn tool_result<'a>(block: &Object<'a>) -> Checked<(&'a str, String)> {
    block.known(&["type", "tool_use_id", "content", "is_error", "cache_control"])?;
    block.cache_control()?;
    let id = block.string("tool_use_id")?;
    check_pattern(id, &block.place("tool_use_id"), None)?;
    let is_error = block.flag("is_error")?.unwrap_or(false);
    let mut said = String::new();
    match block.get("content") {
        None => {}
        Some(Value::String(text)) => said.push_str(text),
        Some(_) => {
            for (at, part) in block.list("content")?.into_iter().flatten().enumerate() {
                let part = Object::new(part, format!("{}.{at}", block.place("content")))?;
                match part.tag(RESULT_BLOCKS)? {
                    "text" => said.push_str(text(&part, "messages")?),
                    "tool_reference" => {}
                    kind => media(kind, &part.within(kind))?,
                }
            }
        }
    }
    if is_error && said.is_empty() {
        return Err(invalid(block.path(), "content cannot be empty if `is_error` is true"));
    }
    Ok((id, said))
}

/// Checks an image or a document.
fn media(kind: &str, block: &Object<'_>) -> Checked<()> {
    block.cache_control()?;
    if kind == "search_result" {
        block.known(&["type", "content", "source", "title", "cache_control", "citations"])?;
        block.string("source")?;
        return block.string("title").map(|_| ());
    }
    let (fields, kinds, media_types): (&[&str], &[&str], &[&str]) = if kind == "image" {
        (
            &["type", "source", "cache_control"],
            &["base64", "file", "url"],
            &["image/jpeg", "image/png", "image/gif", "image/webp"],
        )
    } else {
        (
            &["type", "source", "cache_control", "citations", "context", "title"],
            &["base64", "content", "file", "text", "url"],
            &["application/pdf", "text/plain"],
        )
    };
    block.known(fields)?;
    let source = block.required_object("source")?;
    let kind = source.tag(kinds)?;
    let source = source.within(kind);
    match kind {
        "url" => {
            source.known(&["type", "url"])?;
            source.string("url").map(|_| ())
        }
        "file" => source.string("file_id").map(|_| ()),
        "content" => Ok(()),
        _ => {
            source.known(&["type", "media_type", "data"])?;
            source.literal("media_type", media_types)?;
            source.string("data").map(|_| ())
        }
    }
}

//! What the readers of all faces share.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::BadRequest;
use super::node::{Node, Object, Read, each};
use super::seal::Proves;
use crate::words::{AssistantPart, Effort, Image, Message, Note, Proof, Reasoning, Tool, ToolCall, UserPart};

/// What stands in a tool's result for an image, which follows by itself: results are texts.
pub(super) const SEE_BELOW: &str = "(The image follows.)";

/// Returns the model's name: of the address, else of the body.
pub(super) fn model(body: &mut Object<'_>, path_model: Option<&str>) -> Read<String> {
    let named = body.text("model")?;
    match path_model.map(str::to_owned).or(named) {
        Some(model) if !model.trim().is_empty() => Ok(model),
        _ => Err(BadRequest::new("model", "is missing; must name a model")),
    }
}

/// Returns how hard to think.
pub(super) fn effort(word: &str, field: &str, notes: &mut Vec<Note>) -> Read<Option<Effort>> {
    Ok(Some(match word.to_ascii_lowercase().as_str() {
        "auto" | "default" => return Ok(None),
        "none" | "minimal" => Effort::Minimal,
        "low" => Effort::Low,
        "medium" => Effort::Medium,
        "high" => Effort::High,
        "xhigh" | "max" => {
            note(notes, Note::Converted("effort"));
            Effort::High
        }
        _ => {
            let problem = "must be one of none, minimal, low, medium, high, xhigh, max";
            return Err(BadRequest::new(field, problem));
        }
    }))
}

/// Notes something once.
pub(super) fn note(notes: &mut Vec<Note>, note: Note) {
    if !notes.contains(&note) {
        notes.push(note);
    }
}

/// Returns the schema of a tool that was given none.
pub(super) fn no_arguments() -> Value {
    json!({"type": "object", "properties": {}})
}

/// Returns a tool that takes a text as one that takes JSON: a function of the one argument `input`.
pub(super) fn free_tool(name: String, description: String) -> Tool {
    let parameters = json!({
        "type": "object",
        "properties": {"input": {"type": "string"}},
        "required": ["input"],
        "additionalProperties": false,
    });
    Tool { name, description, parameters, strict: None }
}

/// Returns the arguments of a call of such a tool.
pub(super) fn free_arguments(input: &str) -> String {
    json!({"input": input}).to_string()
}

/// Returns the text out of the arguments of a call of such a tool.
pub(super) fn free_input(arguments: &str) -> String {
    match serde_json::from_str::<Value>(arguments) {
        Ok(Value::Object(mut fields)) => match fields.remove("input") {
            Some(Value::String(input)) => input,
            _ => arguments.to_owned(),
        },
        _ => arguments.to_owned(),
    }
}

/// What a user or a tool said: texts and images, of blocks that every face spells in its own way.
pub(super) fn parts(content: Node<'_>, block: impl FnMut(Node<'_>) -> Read<UserPart>) -> Read<Vec<UserPart>> {
    match content {
        Node::Text(text) => Ok(vec![UserPart::Text(text.into_owned())]),
        Node::List(list) => each("content", list, block),
        _ => Err(BadRequest::new("content", "must be a string or an array of parts")),
    }
}

/// Parts a tool's result into its text and its images.
pub(super) fn result(parts: Vec<UserPart>) -> (String, Vec<UserPart>) {
    let (mut text, mut images) = (String::new(), Vec::new());
    for part in parts {
        let line = match &part {
            UserPart::Text(line) => line.as_str(),
            _ => SEE_BELOW,
        };
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(line);
        if part.as_text().is_none() {
            images.push(part);
        }
    }
    (text, images)
}

/// Returns the texts of parts as one, a line each; images have no place in it.
pub(super) fn joined(parts: Vec<UserPart>) -> Read<String> {
    let (text, images) = result(parts);
    if images.is_empty() { Ok(text) } else { Err(BadRequest::new("content", "must be text only")) }
}

/// Returns an image by its address, which may hold all of it.
pub(super) fn image(url: String) -> UserPart {
    UserPart::Image(Image::Url(url))
}

/// Returns the refusal of a part that there are no words for.
pub(super) fn strange(kind: &str) -> BadRequest {
    let what = if kind.is_empty() { "is missing".to_owned() } else { format!("is `{kind}`, which is not taken here") };
    BadRequest::new("type", format!("{what}; send text or images"))
}

/// What an assistant said, thought and called, as it is put together again.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) parts: Vec<AssistantPart>,
    /// The proof of the next call.
    next: Option<Proof>,
}

impl Said {
    /// Takes text.
    pub(super) fn text(&mut self, text: String) {
        self.parts.push(AssistantPart::Text(text));
    }

    /// Takes a thought, and its proof.
    pub(super) fn thought(&mut self, text: String, proof: Option<(Proves, Proof)>) {
        let (proof, next) = match proof {
            Some((Proves::Call, proof)) => (None, Some(proof)),
            Some((Proves::Thought, proof)) => (Some(proof), None),
            None => (None, None),
        };
        self.next = next.or(self.next.take());
        if !text.is_empty() || proof.is_some() {
            self.parts.push(AssistantPart::Reasoning(Reasoning { text, proof }));
        }
    }

    /// Takes a thought that came before all else.
    pub(super) fn thought_first(&mut self, text: String) {
        if !text.is_empty() {
            self.parts.insert(0, AssistantPart::Reasoning(text.into()));
        }
    }

    /// Takes a call.
    pub(super) fn call(&mut self, id: String, name: String, arguments: String) {
        self.parts.push(AssistantPart::ToolCall(ToolCall { id, name, arguments, proof: self.next.take() }));
    }
}

/// Fills in the names of the tools that results are of, which some dialects want and others leave out.
pub(super) fn name_results(messages: &mut [Message]) {
    let mut names: HashMap<String, String> = HashMap::new();
    for message in messages {
        match message {
            Message::Assistant(parts) => {
                let calls = parts.iter().filter_map(AssistantPart::as_tool_call);
                names.extend(calls.map(|call| (call.id.clone(), call.name.clone())));
            }
            Message::Tool(result) if result.name.is_empty() => {
                if let Some(name) = names.get(&result.call_id) {
                    result.name.clone_from(name);
                }
            }
            _ => {}
        }
    }
}

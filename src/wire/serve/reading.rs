//! Tools of the readers of all dialects.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::BadRequest;
use super::node::{Node, Object, Read, each};
use crate::wire::original::{INVOICE, without_invoice};
use crate::wire::schema::FREE;
use crate::wire::serve::seal::Proves;
use crate::words::names::Shown;
use crate::words::{
    AssistantPart, Audio, Dialect, Document, DocumentSource, Effort, Foreign, Image, Json, Message, Note, Proof,
    Reasoning, Text, Tool, ToolCall, UserPart,
};

/// Kinds of files that are text, though their type does not begin so.
const TEXTS: [&str; 5] =
    ["application/json", "application/xml", "application/yaml", "application/x-yaml", "application/javascript"];

/// Returns the model's name: of the address, else of the body.
pub(super) fn model(body: &mut Object<'_>, path_model: Option<&str>) -> Read<String> {
    let named = body.text("model")?;
    match path_model.map(str::to_owned).or(named) {
        Some(model) if !model.trim().is_empty() => Ok(model),
        _ => Err(BadRequest::new("model", "is missing; must name a model")),
    }
}

/// Returns how hard to think. A step that is not known stays in the request as it came, for who knows it; all others
/// are told of none.
pub(super) fn effort(word: &str, notes: &mut Vec<Note>) -> Option<Effort> {
    let word = word.to_ascii_lowercase();
    if matches!(&*word, "auto" | "default" | "") {
        return None;
    }
    let effort = word.parse().ok();
    if effort.is_none() {
        note(notes, Note::Dropped("effort"));
    }
    effort
}

/// Notes something once.
pub(super) fn note(notes: &mut Vec<Note>, note: Note) {
    if !notes.contains(&note) {
        notes.push(note);
    }
}

/// Returns the schema of a tool that was given none.
pub(super) fn no_arguments() -> Json {
    json!({"type": "object", "properties": {}}).into()
}

/// Returns a tool that takes a text as one that takes JSON: a function of the one argument `input`.
pub(super) fn free_tool(name: String, description: Text) -> Tool {
    let parameters = Json::of(FREE.into());
    Tool { name, description, parameters, strict: None }
}

/// Returns the arguments of a call of such a tool.
pub(super) fn free_arguments(input: &Text) -> Text {
    Text::row(vec!["{\"input\":".into(), input.in_json(), "}".into()], "")
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

/// The content of a user or a tool: texts and images, from blocks that every face spells in its own way.
pub(super) fn parts(content: Node<'_>, block: impl FnMut(Node<'_>) -> Read<UserPart>) -> Read<Vec<UserPart>> {
    match content {
        Node::Text(text) => Ok(vec![UserPart::Text(text.into())]),
        Node::List(list) => each("content", list, block),
        other => Err(other.not("content", "must be a string or an array of parts")),
    }
}

/// Returns parts that are texts as one, a line each; where there is anything else, none.
pub(super) fn joined(parts: Vec<UserPart>) -> Option<Text> {
    let texts = parts.into_iter().map(|part| if let UserPart::Text(text) = part { Some(text) } else { None });
    texts.collect::<Option<_>>().map(|texts| Text::row(texts, "\n"))
}

/// Returns a part that the common form cannot express, unchanged.
pub(super) fn foreign(dialect: Dialect, kind: &str, object: Object<'_>) -> Read<Foreign> {
    object.json().map(|json| Foreign::new(dialect, kind, json))
}

/// Returns a block that the common form cannot express, by its type; one without any is none.
pub(super) fn block(dialect: Dialect, block: Object<'_>) -> Read<Foreign> {
    match Shown(block.peek("type")).to_string() {
        kind if kind.is_empty() => Err(BadRequest::new("type", "is missing; must be the block's type")),
        kind => foreign(dialect, &kind, block),
    }
}

/// Tells whether the common form can express a file of a type.
pub(super) fn has_words(media_type: &str) -> bool {
    !media_type.is_empty() && !media_type.starts_with("video/")
}

/// Returns a file by value: an image, something to be heard, a document.
pub(super) fn file(mut media_type: String, data: Text, title: Option<String>) -> UserPart {
    media_type.make_ascii_lowercase();
    if media_type.starts_with("image/") {
        return UserPart::Image(Image::Base64 { media_type, data });
    }
    if media_type.starts_with("audio/") {
        return UserPart::Audio(Audio { media_type, data });
    }
    let is_text = media_type.starts_with("text/") || TEXTS.contains(&media_type.as_str());
    let text = if is_text { Text::of_base64(&data) } else { None };
    let source = text.map_or(DocumentSource::Base64 { media_type, data }, DocumentSource::Text);
    UserPart::Document(Document { title, ..Document::new(source) })
}

/// Returns an image by its address, which may hold all of it.
pub(super) fn image(url: Text) -> UserPart {
    UserPart::Image(Image::Url(url))
}

/// The parts of an assistant's message, as they are collected.
#[derive(Debug, Default)]
pub(super) struct AssistantParts {
    pub(super) parts: Vec<AssistantPart>,
    /// The proof of the next call.
    next: Option<Proof>,
}

impl AssistantParts {
    fn push(&mut self, part: AssistantPart) {
        if self.parts.is_empty() {
            // Most have one, and there are many of them.
            self.parts.reserve_exact(1);
        }
        self.parts.push(part);
    }

    /// Takes text.
    pub(super) fn text(&mut self, text: Text) {
        self.push(AssistantPart::Text(text));
    }

    /// Takes a thought, and its proof.
    pub(super) fn thought(&mut self, text: Text, proof: Option<(Proves, Proof)>) {
        let (proof, next) = match proof {
            Some((Proves::Call, proof)) => (None, Some(proof)),
            Some((Proves::Thought, proof)) => (Some(proof), None),
            None => (None, None),
        };
        self.next = next.or(self.next.take());
        if !text.is_empty() || proof.is_some() {
            self.push(AssistantPart::Reasoning(Reasoning { text, proof }));
        }
    }

    /// Takes a thought that came before all else.
    pub(super) fn thought_first(&mut self, text: Text) {
        if !text.is_empty() {
            self.parts.insert(0, AssistantPart::Reasoning(Reasoning { text, proof: None }));
        }
    }

    /// Takes a part that the common form cannot express.
    pub(super) fn foreign(&mut self, foreign: Foreign) {
        self.push(AssistantPart::Foreign(foreign));
    }

    /// Takes a call.
    pub(super) fn call(&mut self, id: String, name: String, arguments: Text) {
        let proof = self.next.take();
        self.push(AssistantPart::ToolCall(ToolCall { id, name, arguments, proof }));
    }
}

/// Takes what is for Anthropic's books alone out of what the system says; tells whether anything is left. Anthropic
/// itself gets it with the request as it came.
pub(super) fn is_for_all(message: &mut Message) -> bool {
    let Message::System(text) = message else { return true };
    if !text.starts_with(INVOICE) {
        return true;
    }
    match without_invoice(text).map(|rest| text.slice(rest)) {
        Some(rest) => {
            *text = rest;
            true
        }
        None => false,
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

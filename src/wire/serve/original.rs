//! Keeps a caller's body as it came, for targets of its dialect.
//!
//! Input: a body and its fields. Output: the [`Original`]: what must change for a target is found out once the target
//! is known.

use bytestring::ByteString;

use super::CallerDialect;
use super::node::{Node, Object};
use crate::wire::edit::{self, Edits};
use crate::wire::original::{BEGUN, INVOICE, place, replace};
use crate::wire::seal::SEAL;
use crate::words::{Marks, Original};

/// Returns a body as it came, before its reader takes it apart.
pub(super) fn of(caller_dialect: CallerDialect, body: &ByteString, object: &Object<'_>) -> Original {
    let model = if caller_dialect == CallerDialect::Gemini { None } else { object.as_it_stands("model") };
    let names = |is_null: bool| object.names(is_null).map(str::to_owned);
    Original {
        dialect: caller_dialect.dialect(),
        body: body.as_bytes().clone(),
        model: model.map(|name| place(body.as_bytes(), name)),
        fields: names(false).chain(choices(caller_dialect, object)).collect(),
        nulls: names(true).collect(),
        stream: false,
        stream_usage: object.within("stream_options").map(|options| options.is("include_usage") == Some(true)),
        left_out: Vec::new(),
        marks: Marks {
            background: caller_dialect == CallerDialect::OpenAiResponses && object.is("background") == Some(true),
            ..marks(object)
        },
        lost: Vec::new(),
        unread: Vec::new(),
        method: "",
    }
}

/// Returns the paths of settings by which Vertex answers with another model than the address names.
fn choices(caller_dialect: CallerDialect, object: &Object<'_>) -> impl Iterator<Item = String> {
    const SETTINGS: [&str; 2] = ["generationConfig", "generation_config"];
    const CHOICES: [&str; 4] = ["modelConfig", "model_config", "routingConfig", "routing_config"];
    let settings = SETTINGS.into_iter().filter(move |_| caller_dialect == CallerDialect::Gemini);
    settings.filter_map(|name| Some((name, object.within(name)?))).flat_map(|(name, settings)| {
        let chosen = CHOICES.into_iter().filter(|choice| settings.names(false).any(|name| name == *choice));
        chosen.map(move |choice| format!("{name}.{choice}"))
    })
}

fn marks(object: &Object<'_>) -> Marks {
    let mut marks = Marks::default();
    object.fields().for_each(|(name, node)| mark(name, node, &mut marks));
    marks
}

/// The kinds of blocks and items that are thoughts, or stand for one.
const THOUGHTS: [&str; 4] = ["thinking", "redacted_thinking", "reasoning", "item_reference"];

/// Notes the parts of a field, and of all within it, that are not for every target.
fn mark(name: &str, node: &Node<'_>, marks: &mut Marks) {
    match name {
        "cache_control" => marks.cached = true,
        "scope" => marks.scoped = true,
        "signature" | "thoughtSignature" | "thought_signature" => marks.proof = true,
        _ => {}
    }
    match node {
        Node::Text(text) => {
            marks.developer |= name == "role" && &**text == "developer";
            marks.proof |= name == "type" && THOUGHTS.contains(&&**text);
            marks.invoice |= text.starts_with(INVOICE);
            marks.sealed |= text.starts_with(SEAL);
        }
        Node::List(list) => list.iter().for_each(|node| mark("", node, marks)),
        Node::Object(object) => object.fields().for_each(|(name, node)| mark(name, node, marks)),
        Node::Bool(true) => marks.begun |= BEGUN.contains(&name),
        // What is only carried has no mark of its dialect in it.
        Node::Null | Node::Bool(false) | Node::Number(_) | Node::Dense | Node::Aside(_) | Node::Carried(..) => {}
    }
}

impl Original {
    /// Takes the gateway's own fields out of the body's `metadata`: those whose names begin so.
    pub fn forget(&mut self, prefix: &str) {
        let Ok(text) = std::str::from_utf8(&self.body) else { return };
        let Some(mut metadata) = edit::find(text, &["metadata"]).and_then(edit::Object::of) else { return };
        let ours: Vec<_> = metadata.members().iter().map(|member| member.name.clone()).collect();
        let (ours, theirs): (Vec<_>, Vec<_>) = ours.into_iter().partition(|name| name.starts_with(prefix));
        let mut edits = Edits::new(text);
        if theirs.is_empty() {
            let Some(mut object) = edit::Object::of(text) else { return };
            object.remove("metadata");
            object.finish(&mut edits);
            self.fields.retain(|field| field != "metadata");
        } else {
            for name in &ours {
                metadata.remove(name);
            }
            metadata.finish(&mut edits);
        }
        replace(self, edits.finish().into_owned().into());
    }

    /// Lets it ask for a stream: of an answer that is given in the background the events are kept.
    pub(super) fn streamed(&mut self) {
        let Ok(text) = std::str::from_utf8(&self.body) else { return };
        let Some(mut object) = edit::Object::of(text) else { return };
        let mut edits = Edits::new(text);
        object.set("stream", "true", &mut edits);
        object.finish(&mut edits);
        replace(self, edits.finish().into_owned().into());
        self.stream = true;
        if !self.has("stream") {
            self.fields.push("stream".to_owned());
        }
    }
}

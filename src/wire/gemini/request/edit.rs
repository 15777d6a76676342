//! Edits requests that came in this dialect, part by part: parts that the target accepts stay unchanged.

use super::super::family::Family;
use super::resource;
use crate::wire::edit::{Array, Edits, Object, find, quoted, text};
use crate::wire::model::Model;
use crate::wire::names::Names;
use crate::wire::original::{self, Draft, Setting, without_invoice};
use crate::wire::request::Notes;
use crate::wire::seal::{NO_PROOF, Proves, open, open_digits};
use crate::words::{AssistantPart, ChatRequest, Dialect, Message, Original, Payload};

/// The settings, and the fields that say them: the dialect takes each name in two spellings.
const SETTINGS: &[Setting] = &[
    Setting("sampling.temperature", &["generationConfig.temperature"]),
    Setting("sampling.top_p", &["generationConfig.topP", "generationConfig.top_p"]),
    Setting("sampling.seed", &["generationConfig.seed"]),
    Setting("sampling.presence_penalty", &["generationConfig.presencePenalty", "generationConfig.presence_penalty"]),
    Setting("sampling.frequency_penalty", &["generationConfig.frequencyPenalty", "generationConfig.frequency_penalty"]),
    Setting("sampling.stop", &["generationConfig.stopSequences", "generationConfig.stop_sequences"]),
    Setting("output_tokens_max", &["generationConfig.maxOutputTokens", "generationConfig.max_output_tokens"]),
    Setting("effort", &["generationConfig.thinkingConfig", "generationConfig.thinking_config"]),
    Setting(
        "response_format",
        &[
            "generationConfig.responseMimeType",
            "generationConfig.response_mime_type",
            "generationConfig.responseSchema",
            "generationConfig.response_schema",
            "generationConfig.responseJsonSchema",
            "generationConfig.response_json_schema",
        ],
    ),
];

/// The place of settings.
const CONFIG: &str = "generationConfig.";

/// Returns the body as it came, edited for a target. `ours` has the settings as the target takes them, `instruction` is
/// what has to be asked for in words. `None` where the body must be written anew.
pub(super) fn edited(
    original: &Original,
    to: (Dialect, Model<'_>, Wants),
    names: &Names,
    ours: &str,
    instruction: Option<&str>,
    notes: &mut Notes,
) -> Option<Payload> {
    let (dialect, model, wants) = to;
    if original.has("generation_config") && original.has("generationConfig") {
        return None;
    }
    let differing = original::differing(original, SETTINGS, ours, notes);
    let invoice = original.marks.invoice;
    let sealed = original.marks.proof;
    let parts = sealed || invoice || !names.is_empty() || wants.misses || wants.ids;
    let settled = differing.is_empty() && instruction.is_none() && !original.has("model");
    if settled && !parts {
        return Some(original.body.clone().into());
    }
    let mut draft = Draft::of(original)?;
    if original.has("model") {
        draft.set("model", quoted(&resource(model.name)));
    }
    if original.has("generation_config") {
        // The same fields within it; ours are spelled in one way.
        for path in differing.iter().flat_map(|Setting(_, fields)| *fields) {
            let field = path.strip_prefix(CONFIG).unwrap_or(path);
            let spelled = format!("generation_config.{field}");
            match find(ours, &["generationConfig", field]) {
                Some(json) => draft.set(&spelled, json.to_owned()),
                None => draft.remove(&spelled),
            }
        }
    } else {
        draft.settle(&differing, ours);
    }
    if parts {
        let parts = Parts { dialect, names, invoice, wants };
        parts.edit(&mut draft, notes);
    }
    if let Some(instruction) = instruction {
        let spelled = ["systemInstruction", "system_instruction"].into_iter().find(|name| original.has(name));
        let part = format!(r#"{{"text":{}}}"#, quoted(instruction));
        let said = spelled.and_then(|name| draft.object.get(name)).and_then(Object::of);
        match said.and_then(|said| said.get("parts").and_then(Array::of)) {
            Some(mut all) => {
                all.add(part);
                all.finish(&mut draft.edits);
            }
            None if spelled.is_none() => draft.set("systemInstruction", format!(r#"{{"parts":[{part}]}}"#)),
            None => return None,
        }
    }
    Some(draft.finish())
}

/// What a model wants of the calls in a conversation.
#[derive(Clone, Copy)]
pub(super) struct Wants {
    /// The first call of a turn must carry a proof.
    pub(super) proofs: bool,
    /// Some first call came without one.
    pub(super) misses: bool,
    /// Some call or result has an id, which Vertex AI does not know.
    pub(super) ids: bool,
}

impl Wants {
    pub(super) fn of(dialect: Dialect, family: Family, request: &ChatRequest) -> Self {
        let proofs = family.wants_proofs();
        let misses = |message: &Message| match message {
            Message::Assistant(parts) => {
                parts.iter().find_map(AssistantPart::as_tool_call).is_some_and(|call| call.proof.is_none())
            }
            _ => false,
        };
        let has_ids = |message: &Message| match message {
            Message::Assistant(parts) => {
                parts.iter().filter_map(AssistantPart::as_tool_call).any(|call| !call.id.is_empty())
            }
            Message::Tool(result) => !result.call_id.is_empty(),
            _ => false,
        };
        let ids = dialect == Dialect::Vertex && request.messages.iter().any(has_ids);
        Self { proofs, misses: proofs && request.messages.iter().any(misses), ids }
    }
}

/// The conversation and the tools, where something in them must change.
struct Parts<'b> {
    dialect: Dialect,
    names: &'b Names,
    invoice: bool,
    wants: Wants,
}

/// Returns which of two spellings an object has.
fn either(object: &Object<'_>, names: [&'static str; 2]) -> Option<&'static str> {
    names.into_iter().find(|name| object.get(name).is_some())
}

impl Parts<'_> {
    fn edit(&self, draft: &mut Draft<'_>, notes: &mut Notes) {
        let Draft { object, edits, .. } = draft;
        if !self.names.is_empty() {
            for tool in object.get("tools").and_then(Array::of).iter().flat_map(Array::items).filter_map(Object::of) {
                let declared = either(&tool, ["functionDeclarations", "function_declarations"]);
                let declared = declared.and_then(|name| tool.get(name)).and_then(Array::of);
                declared.iter().flat_map(Array::items).for_each(|function| self.rename(function, edits));
            }
            let config = either(object, ["toolConfig", "tool_config"]).and_then(|name| object.get(name));
            let config = config.and_then(Object::of);
            let calling = config.and_then(|config| {
                let name = either(&config, ["functionCallingConfig", "function_calling_config"])?;
                config.get(name).and_then(Object::of)
            });
            let allowed = calling.and_then(|calling| {
                let name = either(&calling, ["allowedFunctionNames", "allowed_function_names"])?;
                calling.get(name).and_then(Array::of)
            });
            for value in allowed.iter().flat_map(Array::items) {
                let Some(name) = text(value) else { continue };
                let sent = self.names.sent(&name);
                if sent != name {
                    edits.replace(value, quoted(sent));
                }
            }
        }
        let system = either(object, ["systemInstruction", "system_instruction"]).and_then(|name| object.get(name));
        if let Some(system) = system.filter(|_| self.invoice) {
            self.content(system, edits, notes);
        }
        for content in object.get("contents").and_then(Array::of).iter().flat_map(Array::items) {
            self.content(content, edits, notes);
        }
    }

    fn content<'m>(&self, content: &'m str, edits: &mut Edits<'m>, notes: &mut Notes) {
        let Some(mut parts) = Object::of(content).and_then(|content| content.get("parts").and_then(Array::of)) else {
            return;
        };
        let mut called = !self.wants.proofs;
        for (at, part) in parts.items().collect::<Vec<_>>().into_iter().enumerate() {
            if !self.part(part, &mut called, edits, notes) {
                parts.remove(at);
            }
        }
        parts.finish(edits);
    }

    /// Edits a part; tells whether it stays. `called` is whether nothing is wanted of a call: its turn has one already.
    fn part<'m>(&self, part: &'m str, called: &mut bool, edits: &mut Edits<'m>, notes: &mut Notes) -> bool {
        let Some(mut object) = Object::of(part) else { return true };
        let calls = either(&object, ["functionCall", "function_call"]).filter(|_| !std::mem::replace(called, true));
        for name in ["functionCall", "function_call", "functionResponse", "function_response"] {
            let Some(called) = object.get(name) else { continue };
            self.rename(called, edits);
            if let Some(mut called) = Object::of(called).filter(|_| self.wants.ids) {
                called.remove("id");
                called.finish(edits);
            }
        }
        if let (true, Some(said)) = (self.invoice, object.text("text")) {
            match without_invoice(&said) {
                Some(rest) if rest.len() == said.len() => {}
                Some(rest) => object.set("text", quoted(rest), edits),
                None => return false,
            }
        }
        let mut proven = false;
        for name in ["thoughtSignature", "thought_signature"] {
            let Some(data) = object.text(name) else { continue };
            // Clients take all proofs for Base64.
            let sealed = open_digits(&data).or_else(|| open(&data));
            let Some((_, proof)): Option<(Proves, _)> = sealed else {
                proven |= !data.is_empty();
                continue;
            };
            if proof.dialect == self.dialect {
                object.set(name, quoted(&proof.data), edits);
                proven = true;
            } else {
                notes.dropped("messages.reasoning");
                object.remove(name);
                // A part that holds only the proof goes with it.
                let holds = |member: &crate::wire::edit::Member<'_>| {
                    !(member.name == name
                        || member.name == "thought"
                        || (member.name == "text" && member.value == "\"\""))
                };
                if !object.members().iter().any(holds) {
                    return false;
                }
            }
        }
        if let Some(calls) = calls.filter(|_| !proven) {
            // It is another model's, or has lost its proof on its way.
            let name = if calls.contains('_') { "thought_signature" } else { "thoughtSignature" };
            object.set(name, quoted(NO_PROOF), edits);
        }
        object.finish(edits);
        true
    }

    /// Replaces a tool's name by the one that is sent.
    fn rename<'m>(&self, named: &'m str, edits: &mut Edits<'m>) {
        let Some(value) = find(named, &["name"]) else { return };
        let Some(name) = text(value) else { return };
        let sent = self.names.sent(&name);
        if sent != name {
            edits.replace(value, quoted(sent));
        }
    }
}

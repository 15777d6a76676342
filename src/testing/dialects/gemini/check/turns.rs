//! Checks the conversation: the order of roles, calls and their results, and the signatures of thoughts.

use serde_json::{Map, Value};

use super::super::{Host, proof};
use super::{Checked, FieldFaults, Fields, Rules, fields, list, message, objects, text};
use crate::testing::answer::words;

/// Checks that every turn has parts, and every part has something.
pub(super) fn check(request: &Fields, notes: &mut FieldFaults) {
    let contents = list(request, "contents");
    if contents.is_empty() {
        notes.add("contents", "contents is not specified");
    }
    // The prompt of the system is not said in empty parts; reported so by users of SDKs that send one.
    let system = message(request, "system_instruction").map_or(&[][..], |system| list(system, "parts"));
    for (place, part) in system.iter().filter_map(Value::as_object).enumerate() {
        if fields::DATA.iter().all(|name| part.get(*name).is_none_or(|data| data == "")) {
            let path = format!("system_instruction.parts[{place}].data");
            notes.add(&path, "required oneof field 'data' must have one initialized field");
        }
    }
    for (at, content) in objects(request, "contents").enumerate() {
        let parts = list(content, "parts");
        if parts.is_empty() {
            notes.add(&format!("contents[{at}].parts"), "contents.parts must not be empty.");
        }
        for (place, part) in parts.iter().filter_map(Value::as_object).enumerate() {
            let path = format!("contents[{at}].parts[{place}]");
            let data: Vec<_> = fields::DATA.iter().filter(|name| part.contains_key(**name)).collect();
            if data.is_empty() {
                notes.add(&format!("{path}.data"), "required oneof field 'data' must have one initialized field");
            }
            if data.len() > 1 {
                notes.add(&format!("{path}.data"), "oneof field 'data' is already set. Cannot set another field.");
            }
            for name in ["function_call", "function_response"] {
                if message(part, name).is_some_and(|named| text(named, "name").is_empty()) {
                    notes.add(&format!("{path}.{name}.name"), "Name cannot be empty.");
                }
            }
            if message(part, "function_response").is_some_and(|result| !result.contains_key("response")) {
                notes.add(&format!("{path}.function_response.response"), "required field is not set");
            }
        }
    }
}

/// The texts of a conversation.
#[derive(Default)]
pub(super) struct ConversationTexts {
    pub(super) user: Option<String>,
    pub(super) last: Option<String>,
    pub(super) tool_results: Vec<String>,
    pub(super) tokens: u64,
}

/// One turn.
struct ContentTurn<'a> {
    is_model: bool,
    parts: Vec<&'a Fields>,
}

impl<'a> ContentTurn<'a> {
    fn read(content: &'a Fields) -> Checked<Self> {
        let is_model = match text(content, "role") {
            "model" => true,
            "user" | "" => false,
            _ => return Err("Please use a valid role: user, model.".into()),
        };
        Ok(Self { is_model, parts: objects(content, "parts").collect() })
    }

    fn calls(&self) -> impl Iterator<Item = (&'a Fields, &'a Fields)> {
        self.parts.iter().filter_map(|part| Some((*part, message(part, "function_call")?)))
    }

    fn results(&self) -> impl Iterator<Item = &'a Fields> {
        self.parts.iter().filter_map(|part| message(part, "function_response"))
    }

    fn texts(&self) -> impl Iterator<Item = &'a str> {
        self.parts.iter().filter_map(|part| part.get("text")?.as_str())
    }
}

impl ConversationTexts {
    pub(super) fn read(rules: Rules, request: &Fields) -> Checked<Self> {
        let turns: Vec<_> = objects(request, "contents").map(ContentTurn::read).collect::<Checked<_>>()?;
        order(rules, &turns)?;
        signatures(rules, &turns)?;
        references(rules, &turns)?;
        let mut talk = Self::default();
        if let Some(system) = message(request, "system_instruction") {
            objects(system, "parts").for_each(|part| talk.hear(text(part, "text")));
        }
        for turn in &turns {
            talk.tool_results.clear();
            let said: String = turn.texts().collect();
            if turn.texts().next().is_some() {
                talk.hear(&said);
                talk.user = if turn.is_model { talk.user } else { Some(said) };
            }
            for result in turn.results() {
                let said = spoken(result.get("response").and_then(Value::as_object));
                talk.hear(&said);
                talk.tool_results.push(said);
            }
        }
        Ok(talk)
    }

    fn hear(&mut self, text: &str) {
        self.tokens += words(text).count() as u64;
        self.last = Some(text.to_owned());
    }
}

/// Returns what a result says: its only text, or all of it.
fn spoken(response: Option<&Map<String, Value>>) -> String {
    let Some(response) = response else { return String::new() };
    match response.values().next() {
        Some(Value::String(text)) if response.len() == 1 => text.clone(),
        _ => Value::Object(response.clone()).to_string(),
    }
}

/// Checks that calls come when they may, and that each is answered at once.
fn order(rules: Rules, turns: &[ContentTurn<'_>]) -> Checked<()> {
    for (at, turn) in turns.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| &turns[before]);
        let calls = before.map_or(0, |before| if before.is_model { before.calls().count() } else { 0 });
        let results = turn.results().count();
        if turn.calls().next().is_some() && (!turn.is_model || before.is_none_or(|before| before.is_model)) {
            return Err(
                "Please ensure that function call turn comes immediately after a user turn or after a function \
                        response turn."
                    .into(),
            );
        }
        if results > 0 && (calls == 0 || turn.is_model) {
            return Err(
                "Please ensure that function response turn comes immediately after a function call turn.".into()
            );
        }
        if results != calls {
            return Err(miscounted());
        }
    }
    let Some(last) = turns.last().filter(|last| last.is_model) else { return Ok(()) };
    if last.calls().next().is_some() {
        return Err(miscounted());
    }
    if !rules.family.continues() {
        return Err("Requests ending with a model turn are not supported.".into());
    }
    Ok(())
}

fn miscounted() -> super::RequestFault {
    "Please ensure that the number of function response parts is equal to the number of function call parts of the function \
     call turn."
        .into()
}

/// Checks the signatures of thoughts: the third generation takes only its own, and requires one at the first call of
/// each step since the user last spoke. Older models check none.
fn signatures(rules: Rules, turns: &[ContentTurn<'_>]) -> Checked<()> {
    if !rules.family.is_third() {
        return Ok(());
    }
    let current = turns.iter().rposition(|turn| !turn.is_model && turn.texts().next().is_some()).unwrap_or(0);
    for (at, turn) in turns.iter().enumerate() {
        for part in &turn.parts {
            let tool = message(part, "function_call").map_or("", |call| text(call, "name"));
            let signature = part.get("thought_signature").and_then(Value::as_str);
            if signature.is_some_and(|signature| !proof::holds(rules.host, signature, tool)) {
                return Err(match rules.host {
                    Host::Studio => "Corrupted thought signature.".into(),
                    Host::Vertex => "Unable to submit request because Thought signature is not valid.. Learn more: \
                        https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/gemini"
                        .into(),
                });
            }
        }
        if let Some((_, call)) =
            turn.calls().next().filter(|(part, _)| at > current && !part.contains_key("thought_signature"))
        {
            return Err(unsigned(rules.host, text(call, "name"), at + 1).into());
        }
    }
    Ok(())
}

/// Checks the names by which results refer to the parts beside them. The third generation takes every `$ref` for one,
/// at any depth (its guide to functions, "Multimodal function responses").
fn references(rules: Rules, turns: &[ContentTurn<'_>]) -> Checked<()> {
    if !rules.family.is_third() {
        return Ok(());
    }
    for result in turns.iter().flat_map(ContentTurn::results) {
        let names: Vec<_> = objects(result, "parts")
            .filter_map(|part| message(part, "inline_data"))
            .map(|data| text(data, "display_name"))
            .collect();
        if let Some(name) = result.get("response").and_then(reference).filter(|name| !names.contains(name)) {
            let problem = format!(
                "The referenced name `{name}` in function_response.response does not match to a display_name in the \
                 function_response.parts."
            );
            return Err(problem.into());
        }
    }
    Ok(())
}

/// Returns the first name that a value refers to.
fn reference(value: &Value) -> Option<&str> {
    match value {
        Value::Object(fields) => {
            fields.get("$ref").and_then(Value::as_str).or_else(|| fields.values().find_map(reference))
        }
        Value::Array(items) => items.iter().find_map(reference),
        _ => None,
    }
}

fn unsigned(host: Host, name: &str, position: usize) -> String {
    match host {
        Host::Studio => format!(
            "Function call is missing a thought_signature in functionCall parts. This is required for tools to work \
             correctly, and missing thought_signature may lead to degraded model performance. Additional data, function \
             call `default_api:{name}` , position {position}. Please refer to \
             https://ai.google.dev/gemini-api/docs/thought-signatures for more details."
        ),
        Host::Vertex => format!(
            "Unable to submit request because function call `default_api:{name}` in the {position}. content block is \
             missing a `thought_signature`. Learn more: \
             https://docs.cloud.google.com/vertex-ai/generative-ai/docs/thought-signatures"
        ),
    }
}

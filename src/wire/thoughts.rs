//! A request without the proofs of the thoughts that come back with it, for a target that refused them: they are
//! another account's, another model's, or damaged on their way.
//!
//! Input: a request. Output: the same, in which no thought is proven. Each dialect's encoder then does with them what
//! it does with the thoughts of others. In a body that goes out as it came they are left out here.

use super::edit::{Array, Edits, Member, Object, find, text};
use super::original::replace;
use super::thought_blocks::BLOCKS;
use crate::words::{AssistantPart, ChatRequest, Dialect, Message, Original};

/// The fields of a message of chat completions, and of a call in it, that hold proofs, beside those of blocks.
const PROOFS: [&str; 3] = ["extra_content", "provider_specific_fields", "thought_signature"];

/// Returns a request in which no thought and no call is proven; `None` where none was.
pub fn without_thoughts(request: &ChatRequest) -> Option<ChatRequest> {
    let original = request.original.as_ref().and_then(bare);
    let mut bare = request.clone();
    let mut found = original.is_some();
    for message in &mut bare.messages {
        let Message::Assistant(parts) = message else { continue };
        for part in parts {
            found |= match part {
                AssistantPart::Reasoning(thought) => thought.proof.take().is_some(),
                AssistantPart::ToolCall(call) => call.proof.take().is_some(),
                AssistantPart::Text(_) | AssistantPart::Foreign(_) => false,
            };
        }
    }
    bare.original = original.or(bare.original);
    found.then_some(bare)
}

/// Returns a body as it came without its thoughts; `None` where it has none.
fn bare(original: &Original) -> Option<Original> {
    let body = std::str::from_utf8(&original.body).ok()?;
    let mut edits = Edits::new(body);
    match original.dialect {
        Dialect::OpenAiResponses => items(body, &mut edits)?,
        Dialect::AnthropicMessages => blocks(body, &mut edits)?,
        Dialect::Gemini | Dialect::Vertex => parts(body, &mut edits)?,
        Dialect::OpenAiChat => messages(body, &mut edits)?,
        Dialect::Ollama | Dialect::Function => {}
    }
    if edits.is_empty() {
        return None;
    }
    let body = edits.finish().into_owned();
    let mut bare = original.clone();
    replace(&mut bare, body.into());
    Some(bare)
}

fn items<'a>(body: &'a str, edits: &mut Edits<'a>) -> Option<()> {
    let mut items = Array::of(find(body, &["input"])?)?;
    let mut is_bound = false;
    for (at, item) in items.items().enumerate().collect::<Vec<_>>() {
        let Some(mut object) = Object::of(item) else { continue };
        let id = object.text("id").unwrap_or_default();
        match object.text("type").as_deref() {
            Some("reasoning") => {
                items.remove(at);
                is_bound = true;
            }
            Some("item_reference") if id.starts_with("rs_") => {
                items.remove(at);
                is_bound = true;
            }
            // With its id what followed a thought is bound to that.
            Some("message" | "function_call" | "custom_tool_call") if is_bound && object.remove("id") => {
                object.finish(edits);
            }
            _ => {}
        }
    }
    items.finish(edits);
    Some(())
}

fn blocks<'a>(body: &'a str, edits: &mut Edits<'a>) -> Option<()> {
    let mut messages = Array::of(find(body, &["messages"])?)?;
    for (at, message) in messages.items().enumerate().collect::<Vec<_>>() {
        let Some(mut blocks) = find(message, &["content"]).and_then(Array::of) else { continue };
        let is_thought = |block: &str| {
            matches!(find(block, &["type"]).and_then(text).as_deref(), Some("thinking" | "redacted_thinking"))
        };
        let all: Vec<bool> = blocks.items().map(is_thought).collect();
        (0..all.len()).filter(|at| all[*at]).for_each(|at| blocks.remove(at));
        // A message without content is refused.
        if !all.is_empty() && all.iter().all(|is_thought| *is_thought) {
            messages.remove(at);
        }
        blocks.finish(edits);
    }
    messages.finish(edits);
    Some(())
}

fn parts<'a>(body: &'a str, edits: &mut Edits<'a>) -> Option<()> {
    let mut contents = Array::of(find(body, &["contents"])?)?;
    for (at, content) in contents.items().enumerate().collect::<Vec<_>>() {
        let Some(mut parts) = find(content, &["parts"]).and_then(Array::of) else { continue };
        let all: Vec<&str> = parts.items().collect();
        let mut left = 0;
        for (at, part) in all.iter().enumerate() {
            let Some(mut object) = Object::of(part) else { continue };
            let is_signed = ["thoughtSignature", "thought_signature"].map(|name| object.remove(name)).contains(&true);
            let says = |member: &Member<'_>| match &*member.name {
                "thoughtSignature" | "thought_signature" | "thought" => false,
                "text" => member.value != "\"\"",
                _ => true,
            };
            // A part that is a thought goes, and one that held only a proof.
            let is_thought = object.get("thought") == Some("true");
            if is_thought || (is_signed && !object.members().iter().any(says)) {
                parts.remove(at);
            } else {
                left += 1;
                object.finish(edits);
            }
        }
        // A turn without parts is refused.
        if left == 0 && !all.is_empty() {
            contents.remove(at);
        }
        parts.finish(edits);
    }
    contents.finish(edits);
    Some(())
}

fn messages<'a>(body: &'a str, edits: &mut Edits<'a>) -> Option<()> {
    let stripped = |part: &'a str, edits: &mut Edits<'a>| {
        let Some(mut object) = Object::of(part) else { return };
        for name in BLOCKS.into_iter().chain(PROOFS) {
            object.remove(name);
        }
        object.finish(edits);
    };
    for message in Array::of(find(body, &["messages"])?)?.items() {
        if find(message, &["role"]).and_then(text).as_deref() == Some("assistant") {
            stripped(message, edits);
            let calls = find(message, &["tool_calls"]).and_then(Array::of);
            calls.iter().flat_map(Array::items).for_each(|call| stripped(call, edits));
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::wire::original::of_body;
    use crate::words::{Proof, Reasoning};

    /// Returns the body that is left of one, if it had thoughts.
    fn left(dialect: Dialect, body: &Value) -> Option<Value> {
        let original = of_body(dialect, &body.to_string());
        let bare = bare(&original)?;
        assert_eq!(bare.model(), Some("mine"), "its place is known still");
        Some(serde_json::from_slice(&bare.body).expect("JSON"))
    }

    #[test]
    fn a_body_as_it_came_loses_its_thoughts_and_nothing_else_in_every_dialect() {
        let user = json!({"role": "user", "content": "x"});
        let call = json!({"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"});
        let mut unbound = call.clone();
        unbound.as_object_mut().expect("an object").remove("id");
        let tool = json!({"type": "tool_use", "id": "t", "name": "f", "input": {}});
        let said = json!({"role": "assistant", "content": "a", "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]});
        let mut proven = said.clone();
        proven["reasoning_details"] = json!([{"type": "reasoning.text", "text": "Hm", "signature": "S"}]);
        proven["tool_calls"][0]["extra_content"] = json!({"google": {"thought_signature": "S"}});
        for (dialect, field, came, goes) in [
            (
                Dialect::OpenAiResponses,
                "input",
                json!([call, {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "E"}, call,
                    {"type": "item_reference", "id": "rs_2"}, {"type": "item_reference", "id": "msg_2"}]),
                json!([call, unbound, {"type": "item_reference", "id": "msg_2"}]),
            ),
            (
                Dialect::AnthropicMessages,
                "messages",
                json!([user, {"role": "assistant",
                    "content": [{"type": "thinking", "thinking": "", "signature": "S"}, tool]},
                    {"role": "assistant", "content": [{"type": "redacted_thinking", "data": "S"}]}]),
                json!([user, {"role": "assistant", "content": [tool]}]),
            ),
            (
                Dialect::Gemini,
                "contents",
                json!([{"role": "model", "parts": [{"text": "Hm", "thought": true},
                    {"functionCall": {"name": "f"}, "thoughtSignature": "S"}, {"thought_signature": "S"}]}]),
                json!([{"role": "model", "parts": [{"functionCall": {"name": "f"}}]}]),
            ),
            (Dialect::OpenAiChat, "messages", json!([user, proven]), json!([user, said])),
        ] {
            let body = |list: &Value| json!({"x": [1, 2], field: list, "model": "mine"});
            assert_eq!(left(dialect, &body(&came)), Some(body(&goes)), "{dialect:?}");
            assert_eq!(left(dialect, &body(&goes)), None, "{dialect:?}: nothing is left to leave out");
        }
    }

    #[test]
    fn no_thought_is_proven_and_each_is_still_known_as_one() {
        let proof = || Some(Proof::new(Dialect::OpenAiResponses, "{}"));
        let thought = |proof| AssistantPart::Reasoning(Reasoning { text: "Hm".into(), proof });
        let request = |proof| {
            ChatRequest::new("r")
                .user("x")
                .message(Message::Assistant(vec![thought(proof), AssistantPart::Text("a".into())]))
        };
        assert_eq!(without_thoughts(&request(proof())), Some(request(None)));
        assert_eq!(without_thoughts(&request(None)), None);
    }
}

//! Which requests may go on as they came.
//!
//! In flow a body as it was parsed and what its reader made of it, out flows the [`Original`], or none: where something in
//! it is another dialect's (a proof under a seal), the request must be written anew.

use std::ops::Range;

use bytes::Bytes;

use super::node::Object;
use super::{Asked, Face};
use crate::words::{AssistantPart, Message, Original};

/// Returns a body as it came, before its reader takes it apart.
pub(super) fn of(face: Face, body: &Bytes, object: &Object<'_>) -> Option<Original> {
    let (may, tokens) = match face {
        Face::OpenAiChat => {
            let old = object.has("functions") || object.has("function_call");
            (!old, &["max_completion_tokens", "max_tokens"][..])
        }
        Face::OpenAiResponses => (true, &["max_output_tokens"][..]),
        Face::Anthropic => (true, &["max_tokens"][..]),
        Face::Gemini => (!object.has("model"), &[][..]),
    };
    let model = match face {
        Face::Gemini => None,
        _ => Some(place(body, object.as_it_stands("model")?)),
    };
    let ours = makers(body, object)?;
    let mut limits = tokens.iter().copied().filter(|field| object.has(field));
    let (tokens_field, another) = (limits.next(), limits.next());
    let stream_usage = object.within("stream_options").map(|options| options.is("include_usage") == Some(true));
    let (dialect, body) = (face.dialect(), body.clone());
    let original = Original { dialect, body, model, ours, stream: false, stream_usage, tokens_field };
    (may && another.is_none()).then_some(original)
}

/// Tells whether nothing in a request is another dialect's.
pub(super) fn holds(asked: &Asked) -> bool {
    let own = asked.form.face().dialect();
    let is_foreign = |part: &AssistantPart| {
        let proof = match part {
            AssistantPart::Reasoning(reasoning) => reasoning.proof.as_ref(),
            AssistantPart::ToolCall(call) => call.proof.as_ref(),
            AssistantPart::Text(_) | AssistantPart::Foreign(_) => None,
        };
        proof.is_some_and(|proof| proof.dialect != own)
    };
    let sealed = |message: &Message| matches!(message, Message::Assistant(parts) if parts.iter().any(is_foreign));
    !asked.request.messages.iter().any(sealed)
}

/// Returns where makers' names stand before signatures of thoughts, as Anthropic's callers bring them back; none where they
/// cannot be taken off in place.
fn makers(body: &Bytes, object: &Object<'_>) -> Option<Vec<Range<usize>>> {
    let mut makers = Vec::new();
    for block in object.objects("messages").flat_map(|message| message.objects("content")) {
        match block.peek("type") {
            "redacted_thinking" => return None,
            "thinking" => {
                let signature = block.as_it_stands("signature")?;
                if let Some((maker, _)) = signature.split_once(':') {
                    let at = place(body, maker);
                    makers.push(at.start..at.end + 1);
                }
            }
            _ => {}
        }
    }
    Some(makers)
}

/// Returns where a text stands in the body that it is a part of.
fn place(body: &Bytes, text: &str) -> Range<usize> {
    let start = text.as_ptr().addr() - body.as_ptr().addr();
    start..start + text.len()
}

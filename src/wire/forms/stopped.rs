//! The end of an answer at a stop sequence that its provider was not told: out of the answer's own bytes.
//!
//! Input: a whole answer, or the event in which the sequence came. Output: the same without what follows the sequence,
//! and with the end that its dialect tells of one.

use super::events::Events;
use super::node::{Node, empty, index_of, null, object, raw, said};
use crate::wire::edit::quoted;
use crate::wire::stops::Stops;
use crate::words::Dialect;

/// Ends a whole answer before the first sequence in its text; tells whether there is one.
pub(super) fn whole(dialect: Dialect, whole: &mut Node, stops: &Stops) -> bool {
    match dialect {
        Dialect::AnthropicMessages => {
            let Some(sequence) = whole.list("content").and_then(|blocks| cut(blocks, stops)) else { return false };
            whole.set("stop_reason", said("stop_sequence"));
            whole.set("stop_sequence", raw(quoted(&sequence)));
            true
        }
        Dialect::Gemini | Dialect::Vertex => {
            // Of several pieces each is looked at by itself.
            let pieces = match whole.open() {
                Node::List(pieces) => pieces.as_mut_slice(),
                whole => std::slice::from_mut(whole),
            };
            let mut any = false;
            for one in pieces.iter_mut().flat_map(|piece| piece.list("candidates").into_iter().flatten()) {
                let parts = one.get("content").and_then(|content| content.list("parts"));
                if parts.is_some_and(|parts| cut(parts, stops).is_some()) {
                    one.set("finishReason", said("STOP"));
                    any = true;
                }
            }
            any
        }
        _ => {
            let mut any = false;
            for choice in whole.list("choices").into_iter().flatten() {
                let Some(message) = choice.get("message").filter(|message| !message.is_null()) else { continue };
                let cut = match message.get("content").map(Node::open) {
                    Some(Node::List(parts)) => cut(parts, stops).is_some(),
                    Some(Node::Text(text)) => cut_text(text, stops).is_some(),
                    _ => false,
                };
                if cut {
                    forget_calls(message);
                    choice.set("finish_reason", said("stop"));
                    any = true;
                }
            }
            any
        }
    }
}

/// Cuts the texts of a list before the first sequence in all of them, and removes what follows; returns the sequence.
fn cut(list: &mut Vec<Node>, stops: &Stops) -> Option<String> {
    let texts: Vec<(usize, String)> =
        list.iter_mut().enumerate().filter_map(|(at, it)| Some((at, text(it)?))).collect();
    let all: String = texts.iter().map(|(_, text)| &**text).collect();
    let (mut left, sequence) = stops.first(&all)?;
    for (at, text) in texts {
        if text.len() >= left {
            list[at].set("text", raw(quoted(&text[..left])));
            list.truncate(at + 1);
            break;
        }
        left -= text.len();
    }
    Some(sequence.to_owned())
}

/// Cuts a text, as it is written, before the first sequence in it.
fn cut_text(written: &mut String, stops: &Stops) -> Option<()> {
    let text: String = serde_json::from_str(&format!("\"{written}\"")).ok()?;
    let (left, _) = stops.first(&text)?;
    let quoted = quoted(&text[..left]);
    quoted[1..quoted.len() - 1].clone_into(written);
    Some(())
}

/// Returns what an item of an answer's content says, if it is text and not thought.
fn text(item: &mut Node) -> Option<String> {
    if !item.is_object() || item.get("thought").is_some_and(|it| it.json() == "true") {
        return None;
    }
    item.text("text").and_then(|text| serde_json::from_str(&format!("\"{text}\"")).ok())
}

fn forget_calls(message: &mut Node) {
    for field in ["tool_calls", "function_call"] {
        drop(message.take(field));
    }
}

/// Ends the event in which the sequence came: its text ends there already.
pub(super) fn event(dialect: Dialect, event: &mut Node) {
    match dialect {
        Dialect::AnthropicMessages => {}
        Dialect::Gemini | Dialect::Vertex => {
            for one in event.list("candidates").into_iter().flatten() {
                if let Some(parts) = one.get("content").and_then(|content| content.list("parts")) {
                    let speaks = |part: &mut Node| text(part).is_some_and(|text| !text.is_empty());
                    let last = parts.iter_mut().rposition(speaks);
                    let last = last.or_else(|| parts.iter_mut().position(|part| text(part).is_some()));
                    parts.truncate(last.map_or(parts.len(), |last| last + 1));
                }
                one.set("finishReason", said("STOP"));
            }
        }
        _ => {
            for choice in event.list("choices").into_iter().flatten() {
                choice.set("finish_reason", null());
                for piece in ["delta", "message"] {
                    choice.get(piece).filter(|piece| !piece.is_null()).into_iter().for_each(forget_calls);
                }
            }
        }
    }
}

/// Writes the events that follow it: the stream's end. `output` is how many tokens have come, as far as that is known.
pub(super) fn end(dialect: Dialect, event: &mut Node, sequence: &str, output: u64, events: &mut Events) {
    match dialect {
        Dialect::AnthropicMessages => {
            let index = index_of(event).unwrap_or_else(|| "0".to_owned());
            events.named("content_block_stop", object([("index", raw(index))]));
            let delta = object([("stop_reason", said("stop_sequence")), ("stop_sequence", raw(quoted(sequence)))]);
            let usage = object([("output_tokens", raw(output.to_string()))]);
            events.named("message_delta", object([("delta", delta), ("usage", usage)]));
            events.named("message_stop", empty());
        }
        Dialect::Gemini | Dialect::Vertex => {}
        _ => {
            let choices = event.take_items("choices").into_iter().map(|mut choice| {
                let index = index_of(&mut choice).unwrap_or_else(|| "0".to_owned());
                object([("index", raw(index)), ("delta", empty()), ("finish_reason", said("stop"))])
            });
            let choices = Node::List(choices.collect());
            event.set("choices", choices);
            drop(event.take("usage"));
            events.data(event);
            events.out.push_str("data: [DONE]\n\n");
        }
    }
}

//! The two forms of an answer, a stream of events and a whole: each is written out of the other's own bytes.
//!
//! Input: an answer in its provider's dialect. Output: the same answer in the other form of that dialect. No word is
//! made of it: what nobody here knows (fields, blocks, items) is carried like everything else. A stream becomes what a
//! client puts together of it; a whole becomes what a provider would have streamed, piece by piece.

mod node;
mod whole;
mod events;

use serde_json::value::RawValue;

use self::events::Events;
use self::node::{Node, said};
use super::numbers::finite;
use super::sse::{SseItem, SseParser, TooLong};
use crate::words::Dialect;

/// Returns the whole answer that a stream says.
pub fn whole_of(dialect: Dialect, events: &[u8]) -> Vec<u8> {
    let names = matches!(dialect, Dialect::AnthropicMessages | Dialect::OpenAiResponses);
    let mut whole = whole::begin(dialect);
    let take = |item: SseItem<'_>| {
        if let SseItem::Event { name, data, .. } = item {
            let finite = finite(data);
            let data = finite.as_deref().unwrap_or(data);
            // Where the blank line between two events is missing, several values stand in one.
            let values = serde_json::Deserializer::from_str(data).into_iter::<&RawValue>().map_while(Result::ok);
            for value in values {
                let mut event = Node::of(value.get());
                if event.is_object() {
                    if names && event.get("type").is_none() {
                        event.set("type", said(name));
                    }
                    whole.take(event);
                }
            }
        }
        Ok::<_, TooLong>(())
    };
    // They were read before; there is no limit, and nothing that fails.
    let _ = SseParser::new(usize::MAX).push(events, take);
    whole.finish().json().into_bytes()
}

/// Returns the events in which a whole answer would have been streamed; with its usage where that was asked for.
pub fn events_of(dialect: Dialect, whole: &[u8], usage: bool) -> Vec<u8> {
    let text = String::from_utf8_lossy(whole);
    let whole = Node::of(finite(&text).as_deref().unwrap_or(&text));
    let mut events = Events::default();
    match dialect {
        Dialect::AnthropicMessages => events.messages(whole),
        Dialect::OpenAiResponses => events.response(whole),
        // A whole answer of several pieces is a list of them.
        Dialect::Gemini | Dialect::Vertex => match whole {
            Node::List(pieces) => pieces.iter().for_each(|piece| events.data(piece)),
            whole => events.data(&whole),
        },
        Dialect::OpenAiChat | Dialect::Ollama | Dialect::Function => events.chat(whole, usage),
    }
    events.out.into_bytes()
}

#[cfg(test)]
mod tests;

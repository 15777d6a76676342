//! An answer that is given in the background and came from a provider of this dialect: it goes on as it came, but for
//! what makes it the answer that was promised: its id, its date, and the numbers of its events.

use crate::wire::edit::{Array, Edits, Object, find, quoted};
use crate::wire::sse::{SseItem, SseParser, TooLong};

use super::write::Responses;

/// Events that begin an answer: they are told before it comes.
const BEGINNING: [&str; 3] = ["response.created", "response.queued", "response.in_progress"];
/// The last event of an answer holds all of it.
const LAST: [&str; 2] = ["response.completed", "response.incomplete"];

/// Reads events that are complete.
fn events(bytes: &[u8], mut read: impl FnMut(&str, &str)) {
    let take = |item: SseItem<'_>| {
        if let SseItem::Event { name, data, .. } = item {
            read(name, data);
        }
        Ok::<_, TooLong>(())
    };
    // They were read before; there is no limit, and nothing that fails.
    let _ = SseParser::new(usize::MAX).push(bytes, take);
}

impl Responses {
    /// Writes events that came as this answer's own.
    pub(in crate::wire::serve) fn pass_on(&mut self, came: &[u8], out: &mut Vec<u8>) {
        events(came, |name, data| {
            let Some(mut event) = Object::of(data) else { return };
            let kind = event.text("type").map_or_else(|| name.to_owned(), String::from);
            if BEGINNING.contains(&&*kind) {
                return;
            }
            let mut edits = Edits::new(data);
            event.set("sequence_number", self.next().to_string(), &mut edits);
            if let Some(mut response) = event.get("response").and_then(Object::of) {
                self.make_own(&mut response, &mut edits);
                response.finish(&mut edits);
            }
            event.finish(&mut edits);
            let data = edits.finish().replace(['\n', '\r'], " ");
            out.extend([b"event: ", kind.as_bytes(), b"\ndata: ", data.as_bytes(), b"\n\n"].concat());
        });
    }

    /// Returns the whole answer that such events end with, if it is there.
    pub(in crate::wire::serve) fn whole_of(&self, came: &[u8]) -> Option<String> {
        let (mut items, mut last) = (Vec::new(), None);
        events(came, |name, data| {
            let Some(event) = Object::of(data) else { return };
            let kind = event.text("type").map_or_else(|| name.to_owned(), String::from);
            if kind == "response.output_item.done" {
                items.extend(event.get("item").map(str::to_owned));
            }
            if LAST.contains(&&*kind) {
                last = event.get("response").map(|response| (kind, response.to_owned()));
            }
        });
        let (kind, text) = last?;
        let mut response = Object::of(&text)?;
        let mut edits = Edits::new(&text);
        // Some servers do not repeat at the end what they said before.
        if find(&text, &["output"]).and_then(Array::of).is_none_or(|output| output.items().len() == 0) {
            if items.is_empty() {
                return None;
            }
            response.set("output", format!("[{}]", items.join(",")), &mut edits);
        }
        if response.get("status").is_none() {
            response.set("status", quoted(&kind["response.".len()..]), &mut edits);
        }
        self.make_own(&mut response, &mut edits);
        response.finish(&mut edits);
        Some(edits.finish().into_owned())
    }

    /// Gives a response the id, the date and the nature that were promised.
    fn make_own<'a>(&self, response: &mut Object<'a>, edits: &mut Edits<'a>) {
        let (id, created) = self.identity();
        response.set("id", quoted(id), edits);
        response.set("created_at", created.to_string(), edits);
        response.set("background", "true", edits);
        response.set("store", "true", edits);
    }
}

//! An answer that is given in the background and came from a provider of this dialect: it goes on as it came, but for
//! what makes it the answer that was promised: its id, its date, and the numbers of its events.

use crate::wire::edit::{Edits, Object, quoted};
use crate::wire::forms;
use crate::wire::sse::{SseItem, SseParser, TooLong};
use crate::words::Dialect;

use super::write::Responses;

/// Events that begin an answer: they are told before it comes.
const BEGINNING: [&str; 3] = ["response.created", "response.queued", "response.in_progress"];

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

    /// Returns the whole answer that such events tell.
    pub(in crate::wire::serve) fn whole_of(&self, came: &[u8]) -> Vec<u8> {
        let whole = forms::whole_of(Dialect::OpenAiResponses, came);
        let text = String::from_utf8_lossy(&whole);
        let mut edits = Edits::new(&text);
        if let Some(mut response) = Object::of(&text) {
            self.make_own(&mut response, &mut edits);
            response.finish(&mut edits);
        }
        edits.finish().into_owned().into_bytes()
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

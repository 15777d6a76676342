//! The detail setting of images, carried between OpenAI's two dialects, which both have it.
//!
//! Input: a caller's body as it came and the body that was written anew for a target of the other dialect. Output: the
//! latter with each image's detail in its place.

use super::edit::{Array, Edits, Object, find, says_the_same};
use crate::words::{Dialect, Note, Original, Payload};

/// The name of the note where the detail cannot be sent.
pub(super) const LOST: Note = Note::Dropped("messages.image.detail");

/// Tells whether a dialect has the detail setting of the dialect that a request came in.
pub(super) fn goes(original: &Original, dialect: Dialect) -> bool {
    let is_openai = |dialect| matches!(dialect, Dialect::OpenAiChat | Dialect::OpenAiResponses);
    is_openai(dialect) && is_openai(original.dialect)
}

/// Returns a body that was written anew with the details of the one that came.
pub(super) fn carried(original: &Original, dialect: Dialect, body: Payload) -> Payload {
    if !original.lost.contains(&LOST) || dialect == original.dialect || !goes(original, dialect) {
        return body;
    }
    let whole = body.whole();
    // Its pieces are not needed beside it.
    drop(body);
    match (std::str::from_utf8(&original.body), std::str::from_utf8(&whole)) {
        (Ok(theirs), Ok(ours)) => detailed(theirs, ours).finish_in(&whole),
        _ => whole.into(),
    }
}

/// Puts the details of one body into another.
fn detailed<'o>(theirs: &str, ours: &'o str) -> Edits<'o> {
    let (from, to) = (images(theirs), images(ours));
    let mut edits = Edits::new(ours);
    for (at, image) in from.iter().enumerate() {
        let Some(detail) = find(image.holder, &["detail"]) else { continue };
        // The same image may come again with another detail.
        let before = from[..at].iter().filter(|other| says_the_same(other.url, image.url)).count();
        let Some(place) = to.iter().filter(|other| says_the_same(other.url, image.url)).nth(before) else { continue };
        if let Some(mut holder) = Object::of(place.holder) {
            holder.set("detail", detail.to_owned(), &mut edits);
            holder.finish(&mut edits);
        }
    }
    edits
}

/// An image, and the object that holds its detail setting.
struct Image<'a> {
    /// As it is written: it may be long.
    url: &'a str,
    holder: &'a str,
}

/// Returns the images of a body of either dialect, in their order.
fn images(body: &str) -> Vec<Image<'_>> {
    let lists = ["messages", "input"].into_iter().filter_map(|name| find(body, &[name]).and_then(Array::of));
    let items: Vec<&str> = lists.flat_map(|list| list.items().collect::<Vec<_>>()).collect();
    let said = items.iter().flat_map(|item| ["content", "output"].map(|name| find(item, &[name])));
    let parts = said.flatten().filter_map(Array::of).flat_map(|list| list.items().collect::<Vec<_>>());
    let image = |part| {
        let image = find(part, &["image_url"])?;
        let is_text = |json: &&str| json.starts_with('"');
        if is_text(&image) {
            Some(Image { url: image, holder: part })
        } else {
            Some(Image { url: find(image, &["url"]).filter(is_text)?, holder: image })
        }
    };
    parts.filter_map(image).collect()
}

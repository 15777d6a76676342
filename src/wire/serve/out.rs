//! How bytes are written: into the caller's buffer, straight from the words.

use serde::Serialize;

/// Writes a value as JSON.
pub(super) fn json<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("what is written here has text keys, and a buffer takes everything");
}

/// Writes a value as JSON of one line: what a provider wrote may hold line breaks between its fields, and no text holds
/// one that is not escaped.
pub(super) fn line<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    let start = out.len();
    json(out, value);
    out[start..].iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
}

/// Writes an event of a stream that has no name.
pub(super) fn data(out: &mut Vec<u8>, value: &impl Serialize) {
    out.extend_from_slice(b"data: ");
    line(out, value);
    out.extend_from_slice(b"\n\n");
}

/// Writes an event of a stream by its name.
pub(super) fn event(out: &mut Vec<u8>, name: &str, value: &impl Serialize) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.push(b'\n');
    data(out, value);
}

/// Writes a text between what precedes and what follows it, which are JSON already: all that a token takes.
pub(super) fn between(out: &mut Vec<u8>, before: &[u8], text: &str, after: &[u8]) {
    out.extend_from_slice(before);
    json(out, text);
    out.extend_from_slice(after);
}

/// Returns arguments of a call as JSON that can stand in an object: they are checked to be an object where they come
/// from a provider.
pub(super) fn object(arguments: &str) -> &serde_json::value::RawValue {
    crate::wire::request::object(arguments).unwrap_or_else(|| serde_json::from_str("{}").expect("an empty object"))
}

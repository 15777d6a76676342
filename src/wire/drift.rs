//! Notes unknown events, fields and codes that a provider sends, so that an operator learns of them early.
//!
//! Input: names from outside. Output: a short list of them without repetition. Names are all that is kept: never a
//! value, and nothing that is not spelled like a name. An unknown part is never an error.

use std::borrow::Cow;
use std::fmt;

use memchr::memchr2;

use super::json::Nesting;
use super::tidy::tidy;
use crate::words::text::unescaped;
use crate::words::{Drift, DriftKind};

/// The most things noted of one answer: fewer are enough to show that a dialect changed.
const NOTES_MAX: usize = 16;
/// The longest name: event types and field names have half of that.
const NAME_CHARS_MAX: usize = 64;
/// The most texts of one answer whose fields are looked at: the first, the last, and a few in between.
const LOOKS_MAX: u8 = 6;
/// The longest text whose fields are looked at. Looking costs about 1 us a KiB.
const LOOK_BYTES_MAX: usize = 16 << 10;

/// The unknown parts of one answer.
#[derive(Debug, Default)]
pub(super) struct Drifts {
    noted: Vec<Drift>,
    looks: u8,
}

impl Drifts {
    /// Notes something unknown, once.
    pub(super) fn note(&mut self, kind: DriftKind, name: &str) {
        if name.is_empty() || self.noted.len() == NOTES_MAX {
            return;
        }
        let name = tidied(name);
        if !self.noted.iter().any(|noted| noted.kind == kind && *noted.name == *name) {
            self.noted.push(Drift { kind, name: name.into() });
        }
    }

    /// Says whether unknown fields are looked for at all.
    pub(super) fn look_at_fields(&mut self, looks: bool) {
        self.looks = if looks { 0 } else { LOOKS_MAX };
    }

    /// Looks for unknown fields in a piece of an answer: in the first, in those that are worth it, and in no more than
    /// a few, because looking means reading the text again.
    pub(super) fn look(&mut self, shape: &Shape, text: &str, worth: bool) {
        if (self.looks > 0 && !worth) || self.looks == LOOKS_MAX || text.len() > LOOK_BYTES_MAX {
            return;
        }
        self.looks += 1;
        // The decoder reports text that is no JSON.
        Walk { text, at: 0, drifts: self }.value(Some(shape), None);
    }

    /// Returns what was noted, and forgets it.
    pub(super) fn take(&mut self) -> Vec<Drift> {
        std::mem::take(&mut self.noted)
    }
}

/// Returns a name as it may be shown; a text that does not look like a name, such as a key or a sentence, becomes a
/// question mark.
pub(super) fn tidied(name: &str) -> Cow<'_, str> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || "_-.:/@".contains(letter);
    if !name.chars().take(NAME_CHARS_MAX).all(is_part) || tidy(name) != name {
        return Cow::Borrowed("?");
    }
    let end = name.char_indices().nth(NAME_CHARS_MAX).map_or(name.len(), |(end, _)| end);
    Cow::Borrowed(&name[..end])
}

/// Fields of an object that are known, and which of them hold objects whose fields are known, too.
pub(super) struct Shape {
    pub(super) plain: &'static [&'static str],
    pub(super) deep: &'static [(&'static str, &'static Shape)],
}

/// The fields that lead to an object, the innermost first.
#[derive(Clone, Copy)]
struct Path<'a> {
    name: &'a str,
    outer: Option<&'a Path<'a>>,
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(outer) = self.outer {
            write!(f, "{outer}.")?;
        }
        f.write_str(self.name)
    }
}

/// Walks through JSON that its reader has read: through objects, and through arrays of them. Text that is no JSON is
/// passed over.
struct Walk<'a> {
    text: &'a str,
    at: usize,
    drifts: &'a mut Drifts,
}

impl<'a> Walk<'a> {
    /// Walks through a value, with its shape where that is known.
    fn value(&mut self, shape: Option<&Shape>, path: Option<&Path<'_>>) {
        match (self.blanks(), shape) {
            (Some(b'{'), Some(shape)) => self.object(shape, path),
            (Some(b'['), shape @ Some(_)) => {
                let mut before = self.at;
                self.at += 1;
                while self.at > before && !matches!(self.blanks(), Some(b']') | None) {
                    before = self.at;
                    // Lists within lists hold no objects that are known.
                    let is_list = self.blanks() == Some(b'[');
                    self.value(shape.filter(|_| !is_list), path);
                    self.comma();
                }
                self.at = self.text.len().min(self.at + 1);
            }
            (Some(b'"'), _) => drop(self.string()),
            (Some(b'{' | b'['), None) => {
                let length = Nesting::default().end(&self.text.as_bytes()[self.at..]);
                self.at = length.map_or(self.text.len(), |length| self.at + length);
            }
            _ => {
                let rest = &self.text.as_bytes()[self.at..];
                let is_end = |byte: &u8| matches!(byte, b',' | b'}' | b']') || byte.is_ascii_whitespace();
                self.at += rest.iter().position(is_end).unwrap_or(rest.len());
            }
        }
    }

    fn object(&mut self, shape: &Shape, outer: Option<&Path<'_>>) {
        self.at += 1;
        while self.blanks() == Some(b'"') {
            let name = self.string();
            // Names with escapes are few.
            let name = if name.contains('\\') { unescaped(name).into() } else { Cow::Borrowed(name) };
            if self.blanks() == Some(b':') {
                self.at += 1;
            }
            let path = Path { name: &name, outer };
            match shape.deep.iter().find(|(known, _)| *known == name) {
                Some((_, inner)) => self.value(Some(inner), Some(&path)),
                None => {
                    if !shape.plain.contains(&&*name) {
                        self.drifts.note(DriftKind::Field, &path.to_string());
                    }
                    self.value(None, None);
                }
            }
            self.comma();
        }
        self.at = self.text.len().min(self.at + 1);
    }

    /// Passes over a string; returns what is between its quotes.
    fn string(&mut self) -> &'a str {
        let start = self.at + 1;
        let bytes = self.text.as_bytes();
        let mut end = start;
        while let Some(found) = memchr2(b'"', b'\\', bytes.get(end..).unwrap_or_default()) {
            end += found;
            if bytes[end] == b'"' {
                self.at = end + 1;
                return &self.text[start..end];
            }
            end += 2;
        }
        self.at = self.text.len();
        ""
    }

    fn comma(&mut self) {
        if self.blanks() == Some(b',') {
            self.at += 1;
        }
    }

    /// Passes over blanks; returns the byte behind them.
    fn blanks(&mut self) -> Option<u8> {
        loop {
            match self.text.as_bytes().get(self.at) {
                Some(byte) if byte.is_ascii_whitespace() => self.at += 1,
                byte => return byte.copied(),
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! Texts of a conversation.
//!
//! A text has memory of its own, or is a part of a body that came: then all texts of that body share its bytes, and a
//! text with escapes is decoded at first use. So a conversation of megabytes is held once, and code that passes it on
//! unchanged need not parse it.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use bytestring::ByteString;

/// A text. It is used as a `str`, made of a `String`, and cheap to clone where it is a part of a body.
#[derive(Clone)]
pub struct Text(Storage);

#[derive(Clone)]
#[cfg_attr(
    not(any(feature = "sidecar", feature = "internals")),
    expect(dead_code, reason = "only the server half of the codecs reads bodies")
)]
enum Storage {
    Own(String),
    /// A part of a body, as it is written there.
    Part(ByteString),
    /// A part of a body that has escapes.
    Escaped(Arc<Escaped>),
}

struct Escaped {
    /// As it is written there, its quotes included.
    json: ByteString,
    /// The decoded text, once it was asked for.
    says: OnceLock<String>,
}

impl Text {
    /// Returns a part of a body.
    ///
    /// # Panics
    /// If it is none.
    #[cfg(any(feature = "sidecar", feature = "internals"))]
    pub(crate) fn part(body: &ByteString, part: &str) -> Self {
        Self(Storage::Part(body.slice_ref(part)))
    }

    /// Returns a part of a body that has escapes: a JSON string, which was checked to be one.
    ///
    /// # Panics
    /// If it is no part of the body.
    #[cfg(any(feature = "sidecar", feature = "internals"))]
    pub(crate) fn escaped(body: &ByteString, json: &str) -> Self {
        Self(Storage::Escaped(Arc::new(Escaped { json: body.slice_ref(json), says: OnceLock::new() })))
    }

    /// Returns a part of it: no copy, where it is a part of a body without escapes.
    #[cfg(any(feature = "sidecar", feature = "internals"))]
    pub(crate) fn slice(&self, part: &str) -> Self {
        match &self.0 {
            Storage::Part(text) => Self(Storage::Part(text.slice_ref(part))),
            Storage::Own(_) | Storage::Escaped(_) => part.into(),
        }
    }

    /// Returns it as it is written in its body, where it has escapes there: a JSON string.
    pub(crate) fn quoted(&self) -> Option<&str> {
        if let Storage::Escaped(escaped) = &self.0 { Some(&escaped.json) } else { None }
    }

    /// Returns the same without its quotes.
    pub(crate) fn json(&self) -> Option<&str> {
        self.quoted().map(inside)
    }

    /// Returns it as a `str`.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Storage::Own(text) => text,
            Storage::Part(text) => text,
            Storage::Escaped(escaped) => escaped.says.get_or_init(|| unescaped(inside(&escaped.json))),
        }
    }

    /// Returns it as a `String`.
    pub fn into_string(self) -> String {
        match self.0 {
            Storage::Own(text) => text,
            Storage::Part(text) => (*text).to_owned(),
            Storage::Escaped(escaped) => match Arc::try_unwrap(escaped) {
                Ok(Escaped { json, says }) => says.into_inner().unwrap_or_else(|| unescaped(inside(&json))),
                Err(shared) => unescaped(inside(&shared.json)),
            },
        }
    }

    /// Tells whether it begins so. Where it has escapes, no more of it is read than that takes.
    pub fn starts_with(&self, prefix: &str) -> bool {
        match self.json() {
            Some(json) => {
                let mut letters = letters(json);
                prefix.chars().all(|letter| letters.next() == Some(letter))
            }
            None => self.as_str().starts_with(prefix),
        }
    }

    /// Tells whether it has only blanks. No more of it is read than is needed.
    pub(crate) fn is_blank(&self) -> bool {
        match self.json() {
            Some(json) => letters(json).all(char::is_whitespace),
            None => self.as_str().trim().is_empty(),
        }
    }

    /// Tells whether it is the empty text.
    pub fn is_empty(&self) -> bool {
        match &self.0 {
            Storage::Own(text) => text.is_empty(),
            Storage::Part(text) => text.is_empty(),
            Storage::Escaped(_) => false,
        }
    }

    /// Appends to it.
    pub fn push_str(&mut self, more: &str) {
        if let Storage::Own(text) = &mut self.0 {
            return text.push_str(more);
        }
        let mut text = std::mem::take(self).into_string();
        text.push_str(more);
        *self = text.into();
    }
}

/// Returns what is between the quotes of a JSON string.
fn inside(json: &str) -> &str {
    &json[1..json.len() - 1]
}

/// Returns the letters that the inside of a JSON string means.
fn letters(json: &str) -> impl Iterator<Item = char> {
    let mut rest = json;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let (letter, length) = if first == '\\' { escape(rest.as_bytes())? } else { (first, first.len_utf8()) };
        rest = &rest[length..];
        Some(letter)
    })
}

/// Returns what the inside of a JSON string says.
pub(crate) fn unescaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        text.push_str(&rest[..at]);
        let Some((letter, length)) = escape(&rest.as_bytes()[at..]) else { break };
        text.push(letter);
        rest = &rest[at + length..];
    }
    text.push_str(rest);
    text
}

/// Reads the escape at the beginning of a JSON text: the letter it means, and how many bytes it takes.
pub(crate) fn escape(json: &[u8]) -> Option<(char, usize)> {
    let letter = match json.get(1)? {
        b'n' => '\n',
        b't' => '\t',
        b'r' => '\r',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'u' => {
            let unit = unit(json)?;
            if !(0xd800..0xdc00).contains(&unit) {
                return Some((char::from_u32(unit)?, 6));
            }
            let low = unit_of_low(json.get(6..)?)?;
            return Some((char::from_u32(0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00))?, 12));
        }
        same @ (b'"' | b'\\' | b'/') => char::from(*same),
        _ => return None,
    };
    Some((letter, 2))
}

/// Reads `\uXXXX`.
fn unit(json: &[u8]) -> Option<u32> {
    let digits = json.get(..6)?.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0, |unit, digit| Some(16 * unit + char::from(*digit).to_digit(16)?))
}

fn unit_of_low(json: &[u8]) -> Option<u32> {
    unit(json).filter(|low| (0xdc00..0xe000).contains(low))
}

impl Default for Text {
    fn default() -> Self {
        Self(Storage::Own(String::new()))
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(Storage::Own(text))
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<&String> for Text {
    fn from(text: &String) -> Self {
        text.clone().into()
    }
}

impl From<Cow<'_, str>> for Text {
    fn from(text: Cow<'_, str>) -> Self {
        text.into_owned().into()
    }
}

impl<'a> From<&'a Text> for Cow<'a, str> {
    fn from(text: &'a Text) -> Self {
        Cow::Borrowed(text)
    }
}

impl From<char> for Text {
    fn from(letter: char) -> Self {
        String::from(letter).into()
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.into_string()
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Text {}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        **self == *other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        **self == **other
    }
}

impl PartialEq<String> for Text {
    fn eq(&self, other: &String) -> bool {
        **self == **other
    }
}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(json: &str) -> Text {
        let body = ByteString::from(format!("\"{json}\""));
        Text::escaped(&body, &body)
    }

    #[test]
    fn a_part_of_a_body_is_that_part_of_its_bytes() {
        let body = ByteString::from("{\"text\":\"Hello\"}");
        let text = Text::part(&body, &body[9..14]);
        assert_eq!((&*text, text.as_ptr(), text.json()), ("Hello", body[9..].as_ptr(), None));
        assert_eq!(text.clone().as_ptr(), text.as_ptr(), "a clone is the same part");
        assert_eq!(text, Text::from("Hello"));
    }

    #[test]
    fn escapes_are_read_as_json_says() {
        for json in
            [r"a\nb", r#"\"\\\/\b\f\n\r\t"#, r"\u00e9\u4f60\ud83d\ude00x", r"\\n\\u0041", "é\\u00E9\u{1f600}\\\\"]
        {
            let expected: String = serde_json::from_str(&format!("\"{json}\"")).expect("JSON");
            let text = escaped(json);
            assert_eq!(text, expected);
            assert_eq!(text.into_string(), expected);
        }
    }

    #[test]
    fn a_texts_beginning_is_recognised_with_any_escapes() {
        for (json, prefix, does) in [
            (r"ab\ncd", "ab", true),
            (r"ab\ncd", "ac", false),
            (r"ab\ncd", "ab\ncd", true),
            (r"\u0061b\n", "ab", true),
            (r"\u0061b\n", "b", false),
            (r"a\n", "a\nb", false),
        ] {
            assert_eq!(escaped(json).starts_with(prefix), does, "{json} {prefix}");
        }
        assert!(!escaped(r"\n").is_empty() && Text::default().is_empty());
    }

    #[test]
    fn blanks_are_blank_however_they_are_written() {
        for (json, is_blank) in [(r" \n\t\u0020", true), (r" \n\u0041", false), (r"\\n", false)] {
            assert_eq!(escaped(json).is_blank(), is_blank, "{json}");
        }
        assert!(Text::from(" \n").is_blank() && !Text::from(" x").is_blank());
    }

    #[test]
    fn a_part_of_a_part_is_a_part_of_the_same_bytes() {
        let body = ByteString::from("data:image/png;base64,AAAA");
        let text = Text::part(&body, &body);
        assert_eq!(text.slice(&text[22..]).as_ptr(), body[22..].as_ptr());
        assert_eq!(Text::from("ab").slice("b"), "b");
    }

    #[test]
    fn appending_to_a_part_of_a_body_makes_a_text_of_its_own() {
        let mut text = escaped(r"a\n");
        text.push_str("b");
        assert_eq!((&*text, text.json()), ("a\nb", None));
    }
}

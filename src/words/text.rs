//! Texts of a conversation.
//!
//! A text has memory of its own, or is a part of a body that came: then all texts of that body share its bytes. One
//! that is written there in another form, with escapes or in Base64, or is several texts in a row, is decoded at first
//! use; [`fmt::Display`] tells it piece by piece instead. So a conversation of megabytes is held once, and code that
//! passes it on need not parse it.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use bytestring::ByteString;

use super::base64;

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
    /// What is written in another form.
    Lazy(Arc<Lazy>),
}

struct Lazy {
    source: Source,
    /// The decoded text, once it was asked for.
    says: OnceLock<ByteString>,
}

#[cfg_attr(
    not(any(feature = "sidecar", feature = "internals")),
    expect(dead_code, reason = "only the server half of the codecs reads bodies")
)]
enum Source {
    /// A part of a body that has escapes, its quotes included.
    Json(ByteString),
    /// A part of a body that is the Base64 of a text.
    Base64(ByteString),
    /// Texts, and what is between each two of them.
    Row(Vec<Text>, &'static str),
    /// A text that says the same in other words, and how these become ours.
    Rewritten(Text, fn(&str) -> String),
}

impl Source {
    /// Tells the text piece by piece.
    fn tell(&self, out: &mut impl fmt::Write) -> fmt::Result {
        match self {
            Self::Json(json) => tell(inside(json), out),
            Self::Base64(base64) => base64::tell(base64, out),
            Self::Row(texts, between) => texts.iter().enumerate().try_for_each(|(at, text)| {
                out.write_str(if at == 0 { "" } else { between })?;
                text.tell(out)
            }),
            Self::Rewritten(text, rewrite) => out.write_str(&rewrite(text)),
        }
    }

    /// Returns about how many bytes the text has: rarely more.
    fn length(&self) -> usize {
        match self {
            Self::Json(json) => json.len(),
            Self::Base64(base64) => base64.len() / 4 * 3,
            Self::Row(texts, between) => texts.iter().map(|text| text.length() + between.len()).sum(),
            Self::Rewritten(text, _) => text.length(),
        }
    }

    fn says(&self) -> String {
        if let Self::Rewritten(text, rewrite) = self {
            return rewrite(text);
        }
        let mut says = String::with_capacity(self.length());
        // It was checked when it came.
        let _ = self.tell(&mut says);
        says.shrink_to_fit();
        says
    }
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

    /// Returns a text that shares its memory with what is written from it.
    pub(crate) const fn shared(text: ByteString) -> Self {
        Self(Storage::Part(text))
    }

    /// Returns a part of a body that has escapes: a JSON string, which was checked to be one.
    ///
    /// # Panics
    /// If it is no part of the body.
    #[cfg(any(feature = "sidecar", feature = "internals"))]
    pub(crate) fn escaped(body: &ByteString, json: &str) -> Self {
        Self::told(Source::Json(body.slice_ref(json)))
    }

    /// Returns the text whose Base64 this is; `None` where it is that of something else.
    #[cfg(any(feature = "sidecar", feature = "internals"))]
    pub(crate) fn of_base64(base64: &Self) -> Option<Self> {
        match &base64.0 {
            Storage::Part(part) => {
                base64::tell(part, &mut Reader(|_: &str| true)).ok().map(|()| Self::told(Source::Base64(part.clone())))
            }
            _ => {
                let mut says = String::new();
                base64::tell(base64, &mut says).ok().map(|()| says.into())
            }
        }
    }

    /// Returns a text that is rewritten when it is first read.
    #[cfg(any(feature = "sidecar", feature = "internals"))]
    pub(crate) fn rewritten(text: Self, rewrite: fn(&str) -> String) -> Self {
        Self::told(Source::Rewritten(text, rewrite))
    }

    /// Returns several texts as one, with this between each two.
    #[cfg(any(feature = "sidecar", feature = "internals"))]
    pub(crate) fn row(mut texts: Vec<Self>, between: &'static str) -> Self {
        if texts.len() > 1 { Self::told(Source::Row(texts, between)) } else { texts.pop().unwrap_or_default() }
    }

    /// Appends another text, which is not copied.
    #[cfg(any(feature = "sidecar", feature = "internals"))]
    pub(crate) fn push(&mut self, more: Self) {
        let told = if let Storage::Lazy(told) = &mut self.0 { Arc::get_mut(told) } else { None };
        match told {
            Some(Lazy { source: Source::Row(texts, ""), says }) => {
                says.take();
                texts.push(more);
            }
            _ => *self = Self::row(vec![std::mem::take(self), more], ""),
        }
    }

    /// Returns it as JSON: where a body has it so, in that body's memory.
    #[cfg(any(feature = "sidecar", feature = "internals"))]
    pub(crate) fn in_json(&self) -> Self {
        let is_plain = |text: &str| !text.bytes().any(|byte| matches!(byte, b'"' | b'\\' | ..b' '));
        match (&self.0, self.source()) {
            (_, Some(Source::Json(json))) => Self(Storage::Part(json.clone())),
            (Storage::Part(part), _) if is_plain(part) => Self::row(vec!["\"".into(), self.clone(), "\"".into()], ""),
            _ => serde_json::Value::from(self.as_str()).to_string().into(),
        }
    }

    #[cfg(any(feature = "sidecar", feature = "internals"))]
    fn told(source: Source) -> Self {
        Self(Storage::Lazy(Arc::new(Lazy { source, says: OnceLock::new() })))
    }

    /// Returns a part of it: no copy, where it is a part of a body without escapes.
    pub(crate) fn slice(&self, part: &str) -> Self {
        match &self.0 {
            Storage::Part(text) => Self(Storage::Part(text.slice_ref(part))),
            Storage::Lazy(told) => {
                told.says.get().map_or_else(|| part.into(), |says| Self(Storage::Part(says.slice_ref(part))))
            }
            Storage::Own(_) => part.into(),
        }
    }

    fn source(&self) -> Option<&Source> {
        if let Storage::Lazy(told) = &self.0 { Some(&told.source) } else { None }
    }

    /// Returns it as it is written in its body, where it has escapes there: a JSON string.
    pub(crate) fn quoted(&self) -> Option<&str> {
        if let Some(Source::Json(json)) = self.source() { Some(json) } else { None }
    }

    /// Returns the same without its quotes.
    pub(crate) fn json(&self) -> Option<&str> {
        self.quoted().map(inside)
    }

    /// Returns it as it is written in its body, where it is in Base64 there.
    pub(crate) fn base64(&self) -> Option<&str> {
        if let Some(Source::Base64(base64)) = self.source() { Some(base64) } else { None }
    }

    /// Returns the texts that it is made of, where it is several.
    pub(crate) fn texts(&self) -> Option<&[Self]> {
        if let Some(Source::Row(texts, _)) = self.source() { Some(texts) } else { None }
    }

    /// Returns it as it came, where it is rewritten; else itself.
    pub(crate) fn as_it_came(&self) -> &Self {
        if let Some(Source::Rewritten(text, _)) = self.source() { text } else { self }
    }

    /// Returns the memory that it shares: of its body, or of what was decoded.
    pub(crate) fn memory(&self) -> Option<&Bytes> {
        match &self.0 {
            Storage::Own(_) => None,
            Storage::Part(part) => Some(part.as_bytes()),
            Storage::Lazy(told) => told.says.get().map(ByteString::as_bytes),
        }
    }

    /// Returns it as a `str`.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Storage::Own(text) => text,
            Storage::Part(text) => text,
            Storage::Lazy(told) => told.says.get_or_init(|| told.source.says().into()),
        }
    }

    /// Returns it as a `String`.
    pub fn into_string(self) -> String {
        match self.0 {
            Storage::Own(text) => text,
            Storage::Part(text) => (*text).to_owned(),
            Storage::Lazy(told) => told.says.get().map_or_else(|| told.source.says(), |says| (**says).to_owned()),
        }
    }

    /// Tells it piece by piece: what was not decoded before is not held.
    fn tell(&self, out: &mut impl fmt::Write) -> fmt::Result {
        match &self.0 {
            Storage::Lazy(told) if told.says.get().is_none() => told.source.tell(out),
            _ => out.write_str(self),
        }
    }

    /// Returns about how many bytes it has: rarely more.
    pub(crate) fn length(&self) -> usize {
        match &self.0 {
            Storage::Own(text) => text.len(),
            Storage::Part(text) => text.len(),
            Storage::Lazy(told) => told.source.length(),
        }
    }

    /// Tells whether it begins so. No more of it is decoded than that takes.
    pub fn starts_with(&self, prefix: &str) -> bool {
        let mut left = prefix;
        self.read(|text| {
            let (length, begin) = (left.len(), text.len().min(left.len()));
            left = left.strip_prefix(text.get(..begin).unwrap_or(text)).unwrap_or(left);
            !left.is_empty() && left.len() < length
        });
        left.is_empty()
    }

    /// Tells whether its first letter that is no blank is this one. No more of it is decoded than is needed.
    pub(crate) fn begins_with(&self, letter: char) -> bool {
        let mut first = None;
        self.read(|text| {
            first = text.trim_start().chars().next();
            first.is_none()
        });
        first == Some(letter)
    }

    /// Tells whether it has only blanks. No more of it is decoded than is needed.
    pub(crate) fn is_blank(&self) -> bool {
        let mut is_blank = true;
        self.read(|text| {
            is_blank = text.trim().is_empty();
            is_blank
        });
        is_blank
    }

    /// Reads it piece by piece, as long as the reader wants more.
    fn read(&self, reader: impl FnMut(&str) -> bool) {
        // It ends where the reader has enough.
        let _ = self.tell(&mut Reader(reader));
    }

    /// Tells whether it is the empty text.
    pub fn is_empty(&self) -> bool {
        match &self.0 {
            Storage::Own(text) => text.is_empty(),
            Storage::Part(text) => text.is_empty(),
            Storage::Lazy(told) => match &told.source {
                Source::Json(_) => false,
                Source::Base64(base64) => base64::decoded_len(base64) == 0,
                // Of one alone there is no row.
                Source::Row(texts, between) => between.is_empty() && texts.iter().all(Self::is_empty),
                Source::Rewritten(text, _) => text.is_empty(),
            },
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
pub(crate) fn letters(json: &str) -> impl Iterator<Item = char> {
    let mut rest = json;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let (letter, length) = if first == '\\' { escape(rest.as_bytes())? } else { (first, first.len_utf8()) };
        rest = &rest[length..];
        Some(letter)
    })
}

/// Tells what the inside of a JSON string says, piece by piece.
fn tell(json: &str, out: &mut impl fmt::Write) -> fmt::Result {
    let mut rest = json;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        out.write_str(&rest[..at])?;
        let Some((letter, length)) = escape(&rest.as_bytes()[at..]) else { break };
        out.write_char(letter)?;
        rest = &rest[at + length..];
    }
    out.write_str(rest)
}

/// Returns what the inside of a JSON string says.
pub(crate) fn unescaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    let _ = tell(json, &mut text);
    text
}

/// What takes a text piece by piece, and tells whether it wants more.
struct Reader<R>(R);

impl<R: FnMut(&str) -> bool> fmt::Write for Reader<R> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // An empty piece says nothing.
        if text.is_empty() || (self.0)(text) { Ok(()) } else { Err(fmt::Error) }
    }
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
        self.tell(f)
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
    fn what_is_written_in_another_form_is_told_piece_by_piece_and_held_when_it_is_read() {
        let (said, long) = (escaped(r"a\nb"), "x, é\n".repeat(2_000));
        let encoded = ByteString::from(base64::encode(long.as_bytes()));
        let file = Text::of_base64(&Text::part(&encoded, &encoded)).expect("a text");
        let mut row = Text::row(vec![said.clone(), file.clone(), "".into()], "; ");
        row.push(said.clone());
        let mut more = Text::row(vec![row.clone()], ", ");
        more.push("end".into());
        let says = format!("a\nb; {long}; ");
        for (text, says) in [(said, "a\nb".to_owned()), (file, long.clone()), (more, format!("{says}a\nbend"))] {
            assert_eq!((text.to_string(), text.memory()), (says.clone(), None), "it is told, and not held");
            assert_eq!((&*text, text.memory().map(Bytes::len)), (&*says, Some(says.len())));
            assert_eq!((text.to_string(), text.clone().into_string()), (says.clone(), says));
            assert!(!text.is_empty() && !text.is_blank());
        }
        let no_text = base64::encode(b"\xff");
        assert_eq!(Text::of_base64(&no_text.as_str().into()), None);
        assert_eq!(Text::row(Vec::new(), "; "), "");
        assert!(Text::row(vec![Text::default(), " ".into()], "\n").is_blank());
    }

    #[test]
    fn a_text_in_json_is_as_its_body_has_it() {
        let body = ByteString::from(r#"plain "quoted""#);
        for (text, json) in [
            (escaped(r"\u0041\n"), r#""\u0041\n""#),
            (Text::part(&body, &body[..5]), r#""plain""#),
            (Text::part(&body, &body[6..]), r#""\"quoted\"""#),
            ("own\n".into(), r#""own\n""#),
        ] {
            assert_eq!(text.in_json(), json);
        }
    }

    #[test]
    fn appending_to_a_part_of_a_body_makes_a_text_of_its_own() {
        let mut text = escaped(r"a\n");
        text.push_str("b");
        assert_eq!((&*text, text.json()), ("a\nb", None));
    }
}

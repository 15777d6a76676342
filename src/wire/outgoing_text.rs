//! Texts on their way out.
//!
//! Input: texts of a request, and texts that are made here. Output: JSON. A text that came with escapes goes out as it
//! is written in its body: it is not decoded and encoded again. One that is put together is written part by part. So a
//! body of megabytes is held once.

use std::borrow::Cow;
use std::fmt;

use serde::ser::{Error as _, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::words::{Document, DocumentSource, Json, Text};

/// A text as it goes out.
#[derive(Clone, Debug)]
pub(super) enum OutgoingText<'a> {
    /// One of the request's.
    FromRequest(&'a Text),
    /// One that is made here, or a part of one.
    Made(Cow<'a, str>),
    /// Several in a row.
    Row(Box<[OutgoingText<'a>]>),
    /// A document of plain text.
    Told(Told<'a>),
}

impl OutgoingText<'_> {
    /// Returns several as one, with this between each two.
    pub(super) fn row(all: impl IntoIterator<Item = Self>, between: &'static str) -> Self {
        let mut row = Vec::new();
        for phrase in all {
            if !row.is_empty() && !between.is_empty() {
                row.push(between.into());
            }
            row.push(phrase);
        }
        if row.len() > 1 { Self::Row(row.into()) } else { row.pop().unwrap_or_default() }
    }

    /// Tells whether it is the empty text.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::FromRequest(text) => text.is_empty(),
            Self::Made(text) => text.is_empty(),
            Self::Row(all) => all.iter().all(Self::is_empty),
            Self::Told(_) => false,
        }
    }

    /// Tells whether it is blank.
    pub(super) fn is_blank(&self) -> bool {
        match self {
            Self::FromRequest(text) => text.is_blank(),
            Self::Made(text) => text.trim().is_empty(),
            Self::Row(all) => all.iter().all(Self::is_blank),
            Self::Told(_) => false,
        }
    }

    /// Returns it without blanks at its end.
    pub(super) fn trimmed_end(self) -> Self {
        match self {
            Self::FromRequest(text) => Self::Made(text.as_str().trim_end().into()),
            other => other.to_string().trim_end().to_owned().into(),
        }
    }
}

impl fmt::Display for OutgoingText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FromRequest(text) => text.fmt(f),
            Self::Made(text) => f.write_str(text),
            Self::Row(all) => all.iter().try_for_each(|phrase| phrase.fmt(f)),
            Self::Told(told) => told.fmt(f),
        }
    }
}

/// The text that stands for a document of plain text, where the dialect has no documents.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told<'a>(&'a Document, &'a Text);

/// Returns a document as text, if it is plain text.
pub(super) fn told(document: &Document) -> Option<OutgoingText<'_>> {
    let DocumentSource::Text(text) = &document.source else { return None };
    Some(OutgoingText::Told(Told(document, text)))
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(document, text) = self;
        f.write_str("<document")?;
        for (name, value) in [("title", &document.title), ("context", &document.context)] {
            if let Some(value) = value {
                write!(f, " {name}={value:?}")?;
            }
        }
        write!(f, ">\n{text}\n</document>")
    }
}

impl Default for OutgoingText<'_> {
    fn default() -> Self {
        Self::Made(Cow::Borrowed(""))
    }
}

impl<'a> From<&'a Text> for OutgoingText<'a> {
    fn from(text: &'a Text) -> Self {
        Self::FromRequest(text)
    }
}

impl<'a> From<&'a str> for OutgoingText<'a> {
    fn from(text: &'a str) -> Self {
        Self::Made(text.into())
    }
}

impl From<String> for OutgoingText<'_> {
    fn from(text: String) -> Self {
        Self::Made(text.into())
    }
}

/// A part of a message that is text, with its type.
#[derive(serde::Serialize)]
pub(super) struct WireText<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    text: OutgoingText<'a>,
}

impl<'a> WireText<'a> {
    pub(super) fn of(kind: &'static str, text: impl Into<OutgoingText<'a>>) -> Self {
        Self { kind, text: text.into() }
    }
}

impl Serialize for OutgoingText<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let quoted = if let Self::FromRequest(text) = self { text.quoted() } else { None };
        match quoted {
            Some(json) => raw(json, serializer),
            None => serializer.collect_str(self),
        }
    }
}

/// JSON as it goes out: as it is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct OutgoingJson<'a>(pub(super) &'a str);

impl<'a> From<&'a Json> for OutgoingJson<'a> {
    fn from(json: &'a Json) -> Self {
        Self(json.as_str())
    }
}

impl Serialize for OutgoingJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        raw(self.0, serializer)
    }
}

/// Texts as they go out.
#[derive(Clone, Copy, Debug)]
pub(super) struct OutgoingTexts<'a>(pub(super) &'a [Text]);

impl Serialize for OutgoingTexts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(OutgoingText::FromRequest))
    }
}

/// Writes JSON as it is written.
pub(super) fn raw<S: Serializer>(json: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serde_json::from_str::<&RawValue>(json).map_err(S::Error::custom)?.serialize(serializer)
}

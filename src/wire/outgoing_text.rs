//! Texts on their way out.
//!
//! Input: texts of a request, and texts that are made here. Output: JSON. A text that came with escapes goes out as it
//! is written in its body: it is not decoded and encoded again, and a body of megabytes is held once.

use std::borrow::Cow;

use serde::ser::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::words::Text;

/// A text as it goes out.
#[derive(Clone, Debug)]
pub(super) enum OutgoingText<'a> {
    /// One of the request's.
    FromRequest(&'a Text),
    /// One that is made here, or a part of one.
    Made(Cow<'a, str>),
}

impl OutgoingText<'_> {
    /// Tells whether it is the empty text.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::FromRequest(text) => text.is_empty(),
            Self::Made(text) => text.is_empty(),
        }
    }

    /// Tells whether it is blank.
    pub(super) fn is_blank(&self) -> bool {
        match self {
            Self::FromRequest(text) => text.is_blank(),
            Self::Made(text) => text.trim().is_empty(),
        }
    }

    /// Returns the text.
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::FromRequest(text) => text,
            Self::Made(text) => text,
        }
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

impl Serialize for OutgoingText<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let quoted = if let Self::FromRequest(text) = self { text.quoted() } else { None };
        match quoted.and_then(|json| serde_json::from_str::<&RawValue>(json).ok()) {
            Some(json) => json.serialize(serializer),
            None => serializer.serialize_str(self.as_str()),
        }
    }
}

//! What a target could not take as it was.

use std::fmt;

/// A part of a conversation that a target could not take as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Note {
    /// Left out: the request's field or part, or the part of the `answer` that the common form cannot express.
    Dropped(&'static str),
    /// Left out: one of the fields of the caller's own, by its name. `Dropped("extra")` stands beside them.
    DroppedField(FieldName),
    /// Sent in another form: the request's field or part.
    Converted(&'static str),
    /// The oldest messages were left out, because the target's window does not hold all.
    Trimmed {
        /// How many messages.
        messages: u32,
        /// How many tokens they were, by our estimate.
        tokens: u32,
    },
}

/// The name of a request's field, or the beginning of a longer one. What a header cannot hold is replaced.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FieldName {
    letters: [u8; FieldName::LETTERS_MAX],
    length: u8,
}

impl FieldName {
    const LETTERS_MAX: usize = 47;

    /// Returns a name.
    pub fn new(name: &str) -> Self {
        let (mut letters, mut length) = ([0; Self::LETTERS_MAX], 0);
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.');
        for (place, letter) in letters.iter_mut().zip(name.chars()) {
            *place = if is_plain(letter) { u8::try_from(letter).unwrap_or(b'?') } else { b'?' };
            length += 1;
        }
        Self { letters, length }
    }

    /// Returns it as a text.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.letters[..self.length.into()]).unwrap_or_default()
    }
}

impl fmt::Display for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fields_name_is_what_a_header_can_hold() {
        let long = "x".repeat(100);
        for (name, shown) in [
            ("service_tier", "service_tier"),
            ("generationConfig.topK", "generationConfig.topK"),
            ("", ""),
            ("a, b\r\nc é", "a??b??c??"),
            (&long, &long[..47]),
        ] {
            assert_eq!(FieldName::new(name).as_str(), shown, "{name}");
        }
    }
}

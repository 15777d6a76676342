//! Notes what a provider sends that is not known here, so that somebody hears of it before it matters.
//!
//! In flow names from outside, out flows a short list of them without repetition. Names are all that is kept: never a
//! value, and nothing that is not spelled like a name. What is unknown is never an error.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::json::Scalar;
use super::tidy::tidy;
use crate::words::{Drift, DriftKind};

/// The most things noted of one answer: a dialect that changed altogether is told by fewer.
const NOTES_MAX: usize = 16;
/// The longest name: event types and field names have half of that.
const NAME_CHARS_MAX: usize = 64;
/// The most texts of one answer whose fields are looked at: the first, the last, and a few in between.
const LOOKS_MAX: u8 = 6;
/// The longest text whose fields are looked at. Looking costs about 1 us a KiB.
const LOOK_BYTES_MAX: usize = 16 << 10;

/// What was unknown in one answer.
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

    /// Looks for unknown fields in a piece of an answer: in the first, in those that are worth it, and in no more than
    /// a few, since to look is to read the text once more.
    pub(super) fn look(&mut self, shape: &Shape, text: &str, worth: bool) {
        if (self.looks > 0 && !worth) || self.looks == LOOKS_MAX || text.len() > LOOK_BYTES_MAX {
            return;
        }
        self.looks += 1;
        let walk = Walk { shape, path: None, drifts: self };
        // What is no JSON was noticed by who read it in earnest.
        drop(walk.deserialize(&mut serde_json::Deserializer::from_str(text)));
    }

    /// Returns what was noted, and forgets it.
    pub(super) fn take(&mut self) -> Vec<Drift> {
        std::mem::take(&mut self.noted)
    }
}

/// Returns a name as it may be shown: what is no name, a key or a sentence say, is a question mark.
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

/// Walks through an object, or through an array of them.
struct Walk<'a> {
    shape: &'a Shape,
    path: Option<&'a Path<'a>>,
    drifts: &'a mut Drifts,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Scalar<'de>>()? {
            let key = key.text();
            let path = Path { name: key, outer: self.path };
            if let Some((_, shape)) = self.shape.deep.iter().find(|(known, _)| *known == key) {
                map.next_value_seed(Walk { shape, path: Some(&path), drifts: self.drifts })?;
                continue;
            }
            if !self.shape.plain.contains(&key) {
                self.drifts.note(DriftKind::Field, &path.to_string());
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self { shape, path, drifts } = self;
        while seq.next_element_seed(Walk { shape, path, drifts: &mut *drifts })?.is_some() {}
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;

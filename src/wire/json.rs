//! Tolerant JSON: values are read in any type that a provider sends.
//!
//! A name, a number or a text must not fail a whole chunk because a gateway wrote `"code": 400` for `"code": "400"`, or
//! an array of parts for a text. Texts borrow from the input wherever it holds no escapes.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use memchr::memchr2;
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Lets every field of a struct be left out, and borrow from the text that is read.
macro_rules! loose {
    ($(
        $(#[$of:meta])*
        $vis:vis struct $name:ident<$life:lifetime> {
            $($(#[$about:meta])* $seen:vis $field:ident: $kind:ty,)*
        }
    )*) => {$(
        $(#[$of])*
        $vis struct $name<$life> {
            $($(#[$about])* #[serde(borrow, default)] $seen $field: $kind,)*
        }
    )*};
}
pub(in crate::wire) use loose;

/// Reads an object. Serde takes an array for a struct's fields in their order.
pub(super) fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> serde_json::Result<T> {
    if text.trim_start().starts_with('[') {
        return Err(Error::custom("an array"));
    }
    serde_json::from_str(text)
}

/// Tells whether an `error` field is one: some servers send it with every chunk, empty or with the code of a success.
pub(super) fn says_something(error: &RawValue) -> bool {
    loose! {
        #[derive(Deserialize)]
        struct Coded<'a> {
            code: Scalar<'a>,
            message: Scalar<'a>,
            r#type: Scalar<'a>,
        }
    }
    let succeeds = || {
        let coded = serde_json::from_str::<Coded<'_>>(error.get());
        coded.is_ok_and(|it| {
            it.code.count().is_some_and(|code| is_success(code as f64))
                && says_success(it.message.text())
                && it.r#type.text().is_empty()
        })
    };
    match error.get() {
        "null" | "false" | "\"\"" | "{}" | "[]" => false,
        object if object.starts_with('{') => !succeeds(),
        _ => true,
    }
}

/// Tells whether a code is zero or what HTTP calls success: no failure, under any name.
pub(super) fn is_success(code: f64) -> bool {
    matches!(code, 0.0 | 200.0..300.0)
}

/// Tells whether words beside the code of a success say no more than that.
pub(super) fn says_success(text: &str) -> bool {
    const WORDS: [&str; 8] = ["", "ok", "success", "successful", "succeeded", "accepted", "no error", "成功"];
    WORDS.contains(&&*text.trim().to_lowercase())
}

/// A string or a number; anything else counts as nothing.
#[derive(Debug, Default)]
pub(super) enum Scalar<'a> {
    #[default]
    Nothing,
    Text(Cow<'a, str>),
    Count(u64),
}

impl Scalar<'_> {
    /// Returns the text; empty where there is none.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Nothing | Self::Count(_) => "",
        }
    }

    /// Returns the number, also from text that holds one; a negative one is none.
    pub(super) fn count(&self) -> Option<u64> {
        match self {
            Self::Nothing => None,
            Self::Text(text) => text.trim().parse().ok(),
            Self::Count(count) => Some(*count),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E>(self, count: u64) -> Result<Self::Value, E> {
        Ok(Scalar::Count(count))
    }

    fn visit_i64<E>(self, count: i64) -> Result<Self::Value, E> {
        Ok(u64::try_from(count).map_or(Scalar::Nothing, Scalar::Count))
    }

    fn visit_f64<E>(self, count: f64) -> Result<Self::Value, E> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, and is checked")]
        Ok(if count >= 0.0 { Scalar::Count(count as u64) } else { Scalar::Nothing })
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Scalar::Nothing)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Nothing)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        IgnoredAny.visit_seq(seq).map(|_| Scalar::Nothing)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        IgnoredAny.visit_map(map).map(|_| Scalar::Nothing)
    }
}

/// A message's content: a text, or parts that hold text or thinking, in any nesting.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Content<'a> {
    pub(super) text: Cow<'a, str>,
    pub(super) thinking: Cow<'a, str>,
    /// Whether there are parts that hold neither.
    pub(super) others: bool,
}

impl<'a> Content<'a> {
    fn append(&mut self, more: Self) {
        append(&mut self.text, more.text);
        append(&mut self.thinking, more.thinking);
        self.others |= more.others;
    }

    /// Returns all of it as one text.
    fn flat(mut self) -> Cow<'a, str> {
        append(&mut self.text, self.thinking);
        self.text
    }
}

/// Appends without copying where one of the two is empty.
fn append<'a>(text: &mut Cow<'a, str>, more: Cow<'a, str>) {
    if text.is_empty() {
        *text = more;
    } else if !more.is_empty() {
        text.to_mut().push_str(&more);
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or parts")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Content { text: Cow::Borrowed(text), ..Content::default() })
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Content { text: Cow::Owned(text.to_owned()), ..Content::default() })
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Content::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Content::default())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Content::default())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Content::default())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Content::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut all = Content::default();
        while let Some(part) = seq.next_element()? {
            all.append(part);
        }
        Ok(all)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut part = Content { others: true, ..Content::default() };
        while let Some(key) = map.next_key::<Scalar<'de>>()? {
            match key.text() {
                "text" => {
                    part.others = false;
                    part.append(map.next_value()?);
                }
                "thinking" => {
                    part.others = false;
                    append(&mut part.thinking, map.next_value::<Content<'de>>()?.flat());
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(part)
    }
}

/// A list whose items are read one after another: many small ones take many times their bytes once all are read.
#[derive(Debug)]
pub(super) enum Items<'a, T> {
    /// A short list.
    Read(Vec<T>),
    /// A long one, which has been checked.
    Checked(&'a str),
}

/// The most bytes of a list that is read at once.
const SHORT_BYTES_MAX: usize = 16 << 10;

impl<'a, T: Deserialize<'a>> Items<'a, T> {
    /// Takes the items in their order, until one fails.
    pub(super) fn each<E>(self, mut take: impl FnMut(T) -> Result<(), E>) -> Result<(), E> {
        match self {
            Self::Read(items) => items.into_iter().try_for_each(take),
            Self::Checked(list) => {
                let mut failed = None;
                let read = |item| {
                    failed = take(item).err();
                    failed.is_none()
                };
                // It was read before.
                let _ = one_by_one(list, read);
                failed.map_or(Ok(()), Err)
            }
        }
    }
}

impl<'de: 'a, 'a, T: Deserialize<'a>> Deserialize<'de> for Items<'a, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let list = <&'a RawValue>::deserialize(deserializer)?.get();
        if list.len() <= SHORT_BYTES_MAX {
            return serde_json::from_str(list).map(Self::Read).map_err(Error::custom);
        }
        one_by_one(list, |_: T| true).map(|()| Self::Checked(list)).map_err(Error::custom)
    }
}

/// Reads the items of a list, and hands each on, as long as more are wanted.
fn one_by_one<'a, T: Deserialize<'a>>(list: &'a str, take: impl FnMut(T) -> bool) -> serde_json::Result<()> {
    struct Each<T, F>(F, PhantomData<T>);

    impl<'de, T: Deserialize<'de>, F: FnMut(T) -> bool> Visitor<'de> for Each<T, F> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
            while let Some(item) = seq.next_element()? {
                if !(self.0)(item) {
                    return Err(Error::custom("no more is wanted"));
                }
            }
            Ok(())
        }
    }

    let mut deserializer = serde_json::Deserializer::from_str(list);
    deserializer.deserialize_seq(Each(take, PhantomData::<T>))
}

/// Finds where a JSON object or array that arrives in chunks is complete.
#[derive(Debug, Default)]
pub(super) struct Nesting {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Nesting {
    /// Reads on; returns how many bytes of `chunk` belong to the value if it is complete within it.
    pub(super) fn end(&mut self, chunk: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < chunk.len() {
            if std::mem::take(&mut self.escaped) {
                at += 1;
            } else if self.in_string {
                at += memchr2(b'"', b'\\', &chunk[at..])?;
                self.escaped = chunk[at] == b'\\';
                self.in_string = self.escaped;
                at += 1;
            } else {
                match chunk[at] {
                    b'"' => self.in_string = true,
                    b'{' | b'[' => self.depth += 1,
                    b'}' | b']' => {
                        self.depth = self.depth.saturating_sub(1);
                        if self.depth == 0 {
                            return Some(at + 1);
                        }
                    }
                    _ => {}
                }
                at += 1;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_items_of_a_list_are_the_same_however_long_it_is() {
        for count in [0, 1, 3, 20_000] {
            let numbers: Vec<u32> = (0..count).collect();
            let list = serde_json::to_string(&numbers).expect("JSON");
            let items = || serde_json::from_str::<Items<'_, u32>>(&list).expect("a list");
            assert_eq!(matches!(items(), Items::Checked(_)), count > 10_000);
            let mut seen = Vec::new();
            let all: Result<(), ()> = items().each(|item| {
                seen.push(item);
                Ok(())
            });
            assert_eq!((all, &seen), (Ok(()), &numbers));
            let mut taken = 0;
            let failed = items().each(|item| {
                taken += 1;
                if item == 2 { Err("two") } else { Ok(()) }
            });
            assert_eq!((failed.is_err(), taken), (count > 2, count.min(3)));
            let spoiled = format!("{},\"x\"]", list.strip_suffix(']').expect("a list"));
            assert!(serde_json::from_str::<Items<'_, u32>>(&spoiled).is_err(), "nothing of it is read");
        }
    }
}

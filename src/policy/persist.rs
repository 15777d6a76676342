//! Data that outlives a process: the state of machines, requests and answers, written in bytes and read again by the
//! next process.
//!
//! Input: values. Output: bytes, and the way back. A moment is written as its distance from now, so that it means the
//! same to a process whose clock began elsewhere: the reader says how long ago "now" was, and all ages are as if the
//! process had run on. The [`schema_hash`] of a type is a number made of the names and kinds of all its parts. Bytes of
//! another schema are never read, so that no field can be taken for another. It reads no clock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::words::fnv::{FNV1A, fnv1a};
use crate::words::{Gauge, ModelClass};

/// A type that can be written down and read again.
pub trait Persist: Sized {
    /// Describes its parts.
    fn schema_hash(schema_hash: &mut SchemaHash);
    /// Writes it down.
    fn write(&self, to: &mut Writer);
    /// Reads it; `None` where the bytes are none of it.
    fn read(from: &mut Reader<'_>) -> Option<Self>;
}

/// Returns the schema of a type.
pub fn schema_hash<T: Persist>() -> u64 {
    let mut schema_hash = SchemaHash(FNV1A);
    T::schema_hash(&mut schema_hash);
    schema_hash.0
}

/// Writes something down, as of now.
pub fn write(it: &impl Persist, now: Instant) -> Vec<u8> {
    let mut to = Writer { bytes: Vec::new(), now: Some(now) };
    it.write(&mut to);
    to.bytes
}

/// Reads something that was written then, which is all that the bytes are.
pub fn read<T: Persist>(bytes: &[u8], then: Instant) -> Option<T> {
    whole(Reader { bytes, then: Some(then) })
}

/// Writes down something without moments, behind its schema.
pub fn write_with_schema<T: Persist>(it: &T) -> Vec<u8> {
    let mut to = Writer { bytes: schema_hash::<T>().to_le_bytes().to_vec(), now: None };
    it.write(&mut to);
    to.bytes
}

/// Tells whether bytes are of the schema of a type.
pub fn is_formed<T: Persist>(bytes: &[u8]) -> bool {
    bytes.first_chunk().is_some_and(|told| u64::from_le_bytes(*told) == schema_hash::<T>())
}

/// Reads something without moments behind its schema; `None` where that is another one.
pub fn read_with_schema<T: Persist>(bytes: &[u8]) -> Option<T> {
    let (told, bytes) = bytes.split_first_chunk()?;
    (u64::from_le_bytes(*told) == schema_hash::<T>()).then_some(())?;
    whole(Reader { bytes, then: None })
}

fn whole<T: Persist>(mut from: Reader<'_>) -> Option<T> {
    T::read(&mut from).filter(|_| from.bytes.is_empty())
}

/// Returns a checksum that shows whether a disk has changed bytes.
pub fn sum(bytes: &[u8]) -> u64 {
    fnv1a(FNV1A, bytes.iter().copied())
}

/// The schema of a type, as far as it was told.
pub struct SchemaHash(u64);

impl SchemaHash {
    /// Tells of a name.
    pub fn name(&mut self, name: &str) {
        self.0 = fnv1a(self.0, name.bytes().chain([0]));
    }

    /// Tells of a part, which a function finds: so its type need not be written twice.
    pub fn part<S, T: Persist>(&mut self, name: &str, _: impl Fn(&S) -> &T) {
        self.name(name);
        T::schema_hash(self);
    }

    /// Tells of a part that some variants have.
    pub fn part_of<S, T: Persist>(&mut self, name: &str, _: impl Fn(&S) -> Option<&T>) {
        self.name(name);
        T::schema_hash(self);
    }
}

/// Bytes that are being written.
pub struct Writer {
    bytes: Vec<u8>,
    /// `None` where nothing has a moment.
    now: Option<Instant>,
}

impl Writer {
    /// Writes a number, in as few bytes as it needs (LEB128).
    pub fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.bytes.push(number.to_le_bytes()[0]);
    }

    /// Writes bytes, and how many they are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    /// Writes several, and how many they are.
    pub fn all<'a, T: Persist + 'a>(&mut self, all: impl ExactSizeIterator<Item = &'a T>) {
        self.number(all.len() as u64);
        all.for_each(|it| it.write(self));
    }
}

/// Bytes that are being read.
pub struct Reader<'a> {
    bytes: &'a [u8],
    /// `None` where nothing has a moment.
    then: Option<Instant>,
}

impl<'a> Reader<'a> {
    /// Reads a number.
    pub fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.bytes.split_first()?;
            self.bytes = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    /// Reads how many follow, each of which takes a byte at least.
    pub fn count(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok().filter(|count| *count <= self.bytes.len())
    }

    /// Reads bytes.
    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let count = self.count()?;
        let (bytes, rest) = self.bytes.split_at_checked(count)?;
        self.bytes = rest;
        Some(bytes)
    }

    /// Reads a text.
    pub fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }
}

/// Makes a type persistent by its parts. `anew` names parts that are not kept and start from their default; `as` gives
/// the name that the type's schema keeps, where the type was renamed: what was written before stays readable.
macro_rules! persist {
    (@name $name:ident) => {
        stringify!($name)
    };
    (@name $name:ident $written:ident) => {
        stringify!($written)
    };
    (struct $name:ident $(as $written:ident)? { $($field:ident),* $(,)? } $(anew { $($anew:ident),* $(,)? })?) => {
        impl $crate::policy::persist::Persist for $name {
            fn schema_hash(schema_hash: &mut $crate::policy::persist::SchemaHash) {
                schema_hash.name(persist!(@name $name $($written)?));
                $(schema_hash.part(stringify!($field), |it: &Self| &it.$field);)*
            }

            fn write(&self, to: &mut $crate::policy::persist::Writer) {
                $($crate::policy::persist::Persist::write(&self.$field, to);)*
            }

            fn read(from: &mut $crate::policy::persist::Reader<'_>) -> Option<Self> {
                Some(Self {
                    $($field: $crate::policy::persist::Persist::read(from)?,)*
                    $($($anew: Default::default(),)*)?
                })
            }
        }
    };
    (enum $name:ident $(as $written:ident)? {
        $($variant:ident $(($part:ident))? $({ $($field:ident),* $(,)? })?),* $(,)?
    }) => {
        const _: () = {
            use $crate::policy::persist::{SchemaHash, Persist, Reader, Writer};

            /// The number of each variant.
            enum Tag {
                $($variant,)*
            }

            impl Persist for $name {
                fn schema_hash(schema_hash: &mut SchemaHash) {
                    schema_hash.name(persist!(@name $name $($written)?));
                    $(
                        schema_hash.name(stringify!($variant));
                        $(schema_hash.part_of(stringify!($part), |it: &Self| match it {
                            Self::$variant($part) => Some($part),
                            _ => None,
                        });)?
                        $($(schema_hash.part_of(stringify!($field), |it: &Self| match it {
                            Self::$variant { $field, .. } => Some($field),
                            _ => None,
                        });)*)?
                    )*
                }

                fn write(&self, to: &mut Writer) {
                    match self {
                        $(Self::$variant $(($part))? $({ $($field),* })? => {
                            to.number(Tag::$variant as u64);
                            $(Persist::write($part, to);)?
                            $($(Persist::write($field, to);)*)?
                        })*
                    }
                }

                fn read(from: &mut Reader<'_>) -> Option<Self> {
                    let tag = from.number()?;
                    $(
                        if tag == Tag::$variant as u64 {
                            $(let $part = Persist::read(from)?;)?
                            $($(let $field = Persist::read(from)?;)*)?
                            return Some(Self::$variant $(($part))? $({ $($field),* })?);
                        }
                    )*
                    None
                }
            }
        };
    };
}

/// Makes types persistent that are numbers, each by its way to and from the widest.
macro_rules! whole_numbers {
    ($($kind:ident by $wide:expr),*) => {
        $(impl Persist for $kind {
            fn schema_hash(schema_hash: &mut SchemaHash) {
                schema_hash.name(stringify!($kind));
            }

            fn write(&self, to: &mut Writer) {
                to.number($wide(*self));
            }

            fn read(from: &mut Reader<'_>) -> Option<Self> {
                Self::try_from(from.number()?).ok()
            }
        })*
    };
}
whole_numbers!(u8 by u64::from, u16 by u64::from, u32 by u64::from, u64 by u64::from, usize by |it| it as u64);

impl Persist for bool {
    fn schema_hash(schema_hash: &mut SchemaHash) {
        schema_hash.name("bool");
    }

    fn write(&self, to: &mut Writer) {
        to.number(u64::from(*self));
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        match from.number()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl Persist for f64 {
    fn schema_hash(schema_hash: &mut SchemaHash) {
        schema_hash.name("f64");
    }

    fn write(&self, to: &mut Writer) {
        to.bytes.extend(self.to_le_bytes());
    }

    /// No value here is ever NaN.
    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let (bytes, rest) = from.bytes.split_first_chunk()?;
        from.bytes = rest;
        Some(Self::from_le_bytes(*bytes)).filter(|it| !it.is_nan())
    }
}

impl Persist for Duration {
    fn schema_hash(schema_hash: &mut SchemaHash) {
        schema_hash.name("Duration");
    }

    fn write(&self, to: &mut Writer) {
        to.number(self.as_secs());
        to.number(self.subsec_nanos().into());
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let (seconds, nanos) = (from.number()?, u32::try_from(from.number()?).ok()?);
        (nanos < 1_000_000_000).then(|| Self::new(seconds, nanos))
    }
}

impl Persist for Instant {
    fn schema_hash(schema_hash: &mut SchemaHash) {
        schema_hash.name("Instant");
    }

    fn write(&self, to: &mut Writer) {
        let now = to.now.unwrap_or(*self);
        let is_past = *self < now;
        is_past.write(to);
        let apart = if is_past { now.duration_since(*self) } else { self.duration_since(now) };
        apart.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let (is_past, apart) = (bool::read(from)?, Duration::read(from)?);
        if is_past { from.then?.checked_sub(apart) } else { from.then?.checked_add(apart) }
    }
}

/// Makes texts persistent.
macro_rules! texts {
    ($($kind:ty),*) => {
        $(impl $crate::policy::persist::Persist for $kind {
            fn schema_hash(schema_hash: &mut $crate::policy::persist::SchemaHash) {
                schema_hash.name("String");
            }

            fn write(&self, to: &mut $crate::policy::persist::Writer) {
                to.bytes(AsRef::<str>::as_ref(self).as_bytes());
            }

            fn read(from: &mut $crate::policy::persist::Reader<'_>) -> Option<Self> {
                from.text().map(Self::from)
            }
        })*
    };
}
texts!(String, Arc<str>);

/// Makes what is behind a pointer as persistent as it is itself.
macro_rules! pointers {
    ($($pointer:ident),*) => {
        $(impl<T: Persist> Persist for $pointer<T> {
            fn schema_hash(schema_hash: &mut SchemaHash) {
                T::schema_hash(schema_hash);
            }

            fn write(&self, to: &mut Writer) {
                T::write(self, to);
            }

            fn read(from: &mut Reader<'_>) -> Option<Self> {
                T::read(from).map(Self::new)
            }
        })*
    };
}
pointers!(Arc, Box);

impl<T: Persist> Persist for Option<T> {
    fn schema_hash(schema_hash: &mut SchemaHash) {
        schema_hash.name("Option");
        T::schema_hash(schema_hash);
    }

    fn write(&self, to: &mut Writer) {
        self.is_some().write(to);
        if let Some(it) = self {
            it.write(to);
        }
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        if bool::read(from)? { Some(Some(T::read(from)?)) } else { Some(None) }
    }
}

impl<T: Persist> Persist for Vec<T> {
    fn schema_hash(schema_hash: &mut SchemaHash) {
        schema_hash.name("Vec");
        T::schema_hash(schema_hash);
    }

    fn write(&self, to: &mut Writer) {
        to.all(self.iter());
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        (0..from.count()?).map(|_| T::read(from)).collect()
    }
}

impl<T: Persist> Persist for VecDeque<T> {
    fn schema_hash(schema_hash: &mut SchemaHash) {
        Vec::<T>::schema_hash(schema_hash);
    }

    fn write(&self, to: &mut Writer) {
        to.all(self.iter());
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        Vec::read(from).map(Self::from)
    }
}

impl<T: Persist, const N: usize> Persist for [T; N] {
    fn schema_hash(schema_hash: &mut SchemaHash) {
        schema_hash.name(&format!("[{N}]"));
        T::schema_hash(schema_hash);
    }

    fn write(&self, to: &mut Writer) {
        for it in self {
            it.write(to);
        }
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let all: Option<Vec<T>> = (0..N).map(|_| T::read(from)).collect();
        all?.try_into().ok()
    }
}

impl<A: Persist, B: Persist> Persist for (A, B) {
    fn schema_hash(schema_hash: &mut SchemaHash) {
        schema_hash.name("pair");
        A::schema_hash(schema_hash);
        B::schema_hash(schema_hash);
    }

    fn write(&self, to: &mut Writer) {
        self.0.write(to);
        self.1.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        Some((A::read(from)?, B::read(from)?))
    }
}

persist!(
    enum ModelClass {
        Chat,
        Reasoning,
    }
);
persist!(struct Gauge { limit, remaining, reset, window });

mod words;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::SystemTime;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    struct Point {
        name: String,
        at: Instant,
        parts: Vec<(u32, Option<f64>)>,
        told: Told,
        scratch: u32,
    }

    #[derive(Clone, Debug, PartialEq)]
    enum Told {
        Nothing,
        Until { until: Instant, times: u8 },
    }

    persist!(struct Point { name, at, parts, told } anew { scratch });
    persist!(enum Told { Nothing, Until { until, times } });

    fn point(now: Instant) -> Point {
        let told = Told::Until { until: now + Duration::from_millis(7_001), times: 3 };
        let at = now.checked_sub(Duration::from_nanos(12_345_678_901)).expect("clocks begin long before");
        Point { name: "é".into(), at, parts: vec![(0, None), (u32::MAX, Some(-0.25))], told, scratch: 0 }
    }

    #[test]
    fn times_are_read_with_the_age_they_have_by_then() {
        let now = Instant::now();
        let bytes = write(&point(now), now);
        assert_eq!(read::<Point>(&bytes, now), Some(point(now)));
        // To a process whose clock is a minute ahead, and twenty seconds later.
        let then = now + Duration::from_secs(40);
        assert_eq!(read::<Point>(&bytes, then), Some(point(then)));
    }

    #[test]
    fn no_piece_of_it_is_taken_for_the_whole_nor_anything_after_it() {
        let now = Instant::now();
        let bytes = write(&point(now), now);
        for end in 0..bytes.len() {
            assert_eq!(read::<Point>(&bytes[..end], now), None, "{end} of {} bytes", bytes.len());
        }
        assert_eq!(read::<Point>(&[&bytes[..], &[0]].concat(), now), None);
    }

    #[test]
    fn another_name_kind_or_order_of_the_parts_is_another_form() {
        struct A {
            x: u32,
            y: u32,
        }
        struct B {
            y: u32,
            x: u32,
        }
        struct C {
            x: u32,
            y: Option<u32>,
        }
        persist!(struct A { x, y });
        persist!(struct B { y, x });
        persist!(struct C { x, y });
        // The name of the type itself counts, too: so compare what they are made of.
        let parts = |name: fn(&mut SchemaHash)| {
            let mut schema_hash = SchemaHash(FNV1A);
            name(&mut schema_hash);
            schema_hash.0
        };
        let of_a = parts(|schema_hash| {
            schema_hash.part("x", |it: &A| &it.x);
            schema_hash.part("y", |it: &A| &it.y);
        });
        let of_b = parts(|schema_hash| {
            schema_hash.part("y", |it: &B| &it.y);
            schema_hash.part("x", |it: &B| &it.x);
        });
        let of_c = parts(|schema_hash| {
            schema_hash.part("x", |it: &C| &it.x);
            schema_hash.part("y", |it: &C| &it.y);
        });
        assert!(of_a != of_b && of_a != of_c && of_b != of_c);
        assert_eq!(schema_hash::<A>(), schema_hash::<A>());
        assert!(schema_hash::<A>() != schema_hash::<B>());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read::<Point>(&bytes, Instant::now());
        }

        #[test]
        fn whole_numbers_come_back(number in any::<u64>()) {
            let now = Instant::now();
            prop_assert_eq!(read::<u64>(&write(&number, now), now), Some(number));
        }
    }

    #[test]
    fn no_two_kinds_of_parts_have_one_form() {
        struct Nothing;
        impl Persist for Nothing {
            fn schema_hash(_: &mut SchemaHash) {}
            fn write(&self, _: &mut Writer) {}
            fn read(_: &mut Reader<'_>) -> Option<Self> {
                Some(Self)
            }
        }
        let forms = [
            ("nothing", schema_hash::<Nothing>()),
            ("a flag", schema_hash::<bool>()),
            ("a byte", schema_hash::<u8>()),
            ("a number", schema_hash::<u16>()),
            ("a number below 0", schema_hash::<i64>()),
            ("a fraction", schema_hash::<f64>()),
            ("a time", schema_hash::<Duration>()),
            ("a moment", schema_hash::<Instant>()),
            ("a date", schema_hash::<SystemTime>()),
            ("a text", schema_hash::<String>()),
            ("a name", schema_hash::<&'static str>()),
            ("a field, by its name", schema_hash::<crate::words::FieldName>()),
            ("bytes", schema_hash::<bytes::Bytes>()),
            ("headers", schema_hash::<http::HeaderMap>()),
            ("pairs of texts", schema_hash::<BTreeMap<String, String>>()),
            ("a range", schema_hash::<std::ops::Range<usize>>()),
            ("a byte or none", schema_hash::<Option<u8>>()),
            ("a number or none", schema_hash::<Option<u16>>()),
            ("some bytes", schema_hash::<Vec<u8>>()),
            ("some numbers", schema_hash::<VecDeque<u16>>()),
            ("two bytes", schema_hash::<[u8; 2]>()),
            ("three bytes", schema_hash::<[u8; 3]>()),
            ("two numbers", schema_hash::<[u16; 2]>()),
            ("a byte and a number", schema_hash::<(u8, u16)>()),
            ("a byte and a byte", schema_hash::<(u8, u8)>()),
            ("a number and a byte", schema_hash::<(u16, u8)>()),
            ("a byte, or why not", schema_hash::<Result<u8, u16>>()),
            ("a number, or why not", schema_hash::<Result<u16, u16>>()),
            ("a byte, or what instead", schema_hash::<Result<u8, u8>>()),
            ("a distribution's window", schema_hash::<crate::policy::window::Window>()),
        ];
        for (at, (one, schema_hash)) in forms.iter().enumerate() {
            let same = forms[..at].iter().find(|(_, other)| other == schema_hash);
            assert_eq!(same.map(|(other, _)| other), None, "{one}");
        }
        assert_eq!(schema_hash::<Box<u8>>(), schema_hash::<u8>(), "where it is kept is no part of it");
    }

    #[test]
    fn a_time_has_less_than_a_second_in_its_nanoseconds() {
        let then = Instant::now();
        let read = |nanos: u64| {
            let mut to = Writer { bytes: Vec::new(), now: None };
            to.number(1);
            to.number(nanos);
            read::<Duration>(&to.bytes, then)
        };
        assert_eq!(read(999_999_999), Some(Duration::new(1, 999_999_999)));
        assert_eq!(read(1_000_000_000), None);
    }
}

//! Data that outlives a process: the state of machines, requests and answers, written in bytes and read again by the
//! next process.
//!
//! Input: values. Output: bytes, and the way back. A moment is written as its distance from now, so that it means the
//! same to a process whose clock began elsewhere: the reader says how long ago "now" was, and all ages are as if the
//! process had run on. The [`form`] of a type is a number made of the names and kinds of all its parts. Bytes of
//! another form are never read, so that no field can be taken for another. It reads no clock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::words::fnv::{FNV1A, fnv1a};
use crate::words::{Gauge, ModelClass};

/// A type that can be written down and read again.
pub trait Lasting: Sized {
    /// Describes its parts.
    fn form(form: &mut Form);
    /// Writes it down.
    fn write(&self, to: &mut Writer);
    /// Reads it; `None` where the bytes are none of it.
    fn read(from: &mut Reader<'_>) -> Option<Self>;
}

/// Returns the form of a type.
pub fn form<T: Lasting>() -> u64 {
    let mut form = Form(FNV1A);
    T::form(&mut form);
    form.0
}

/// Writes something down, as of now.
pub fn write(it: &impl Lasting, now: Instant) -> Vec<u8> {
    let mut to = Writer { bytes: Vec::new(), now: Some(now) };
    it.write(&mut to);
    to.bytes
}

/// Reads something that was written then, which is all that the bytes are.
pub fn read<T: Lasting>(bytes: &[u8], then: Instant) -> Option<T> {
    whole(Reader { bytes, then: Some(then) })
}

/// Writes down something without moments, behind its form.
pub fn write_formed<T: Lasting>(it: &T) -> Vec<u8> {
    let mut to = Writer { bytes: form::<T>().to_le_bytes().to_vec(), now: None };
    it.write(&mut to);
    to.bytes
}

/// Tells whether bytes are of the form of a type.
pub fn is_formed<T: Lasting>(bytes: &[u8]) -> bool {
    bytes.first_chunk().is_some_and(|told| u64::from_le_bytes(*told) == form::<T>())
}

/// Reads something without moments behind its form; `None` where that is another one.
pub fn read_formed<T: Lasting>(bytes: &[u8]) -> Option<T> {
    let (told, bytes) = bytes.split_first_chunk()?;
    (u64::from_le_bytes(*told) == form::<T>()).then_some(())?;
    whole(Reader { bytes, then: None })
}

fn whole<T: Lasting>(mut from: Reader<'_>) -> Option<T> {
    T::read(&mut from).filter(|_| from.bytes.is_empty())
}

/// Returns a checksum that shows whether a disk has changed bytes.
pub fn sum(bytes: &[u8]) -> u64 {
    fnv1a(FNV1A, bytes.iter().copied())
}

/// The form of a type, as far as it was told.
pub struct Form(u64);

impl Form {
    /// Tells of a name.
    pub fn name(&mut self, name: &str) {
        self.0 = fnv1a(self.0, name.bytes().chain([0]));
    }

    /// Tells of a part, which a function finds: so its type need not be written twice.
    pub fn part<S, T: Lasting>(&mut self, name: &str, _: impl Fn(&S) -> &T) {
        self.name(name);
        T::form(self);
    }

    /// Tells of a part that some variants have.
    pub fn part_of<S, T: Lasting>(&mut self, name: &str, _: impl Fn(&S) -> Option<&T>) {
        self.name(name);
        T::form(self);
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
    pub fn all<'a, T: Lasting + 'a>(&mut self, all: impl ExactSizeIterator<Item = &'a T>) {
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

/// Makes a type lasting by its parts. `anew` names parts that are not kept and start from their default; `as` gives the
/// name that the type's form keeps, where the type was renamed: what was written before stays readable.
macro_rules! lasting {
    (@name $name:ident) => {
        stringify!($name)
    };
    (@name $name:ident $written:ident) => {
        stringify!($written)
    };
    (struct $name:ident $(as $written:ident)? { $($field:ident),* $(,)? } $(anew { $($anew:ident),* $(,)? })?) => {
        impl $crate::policy::lasting::Lasting for $name {
            fn form(form: &mut $crate::policy::lasting::Form) {
                form.name(lasting!(@name $name $($written)?));
                $(form.part(stringify!($field), |it: &Self| &it.$field);)*
            }

            fn write(&self, to: &mut $crate::policy::lasting::Writer) {
                $($crate::policy::lasting::Lasting::write(&self.$field, to);)*
            }

            fn read(from: &mut $crate::policy::lasting::Reader<'_>) -> Option<Self> {
                Some(Self {
                    $($field: $crate::policy::lasting::Lasting::read(from)?,)*
                    $($($anew: Default::default(),)*)?
                })
            }
        }
    };
    (enum $name:ident $(as $written:ident)? {
        $($variant:ident $(($part:ident))? $({ $($field:ident),* $(,)? })?),* $(,)?
    }) => {
        const _: () = {
            use $crate::policy::lasting::{Form, Lasting, Reader, Writer};

            /// The number of each variant.
            enum Tag {
                $($variant,)*
            }

            impl Lasting for $name {
                fn form(form: &mut Form) {
                    form.name(lasting!(@name $name $($written)?));
                    $(
                        form.name(stringify!($variant));
                        $(form.part_of(stringify!($part), |it: &Self| match it {
                            Self::$variant($part) => Some($part),
                            _ => None,
                        });)?
                        $($(form.part_of(stringify!($field), |it: &Self| match it {
                            Self::$variant { $field, .. } => Some($field),
                            _ => None,
                        });)*)?
                    )*
                }

                fn write(&self, to: &mut Writer) {
                    match self {
                        $(Self::$variant $(($part))? $({ $($field),* })? => {
                            to.number(Tag::$variant as u64);
                            $(Lasting::write($part, to);)?
                            $($(Lasting::write($field, to);)*)?
                        })*
                    }
                }

                fn read(from: &mut Reader<'_>) -> Option<Self> {
                    let tag = from.number()?;
                    $(
                        if tag == Tag::$variant as u64 {
                            $(let $part = Lasting::read(from)?;)?
                            $($(let $field = Lasting::read(from)?;)*)?
                            return Some(Self::$variant $(($part))? $({ $($field),* })?);
                        }
                    )*
                    None
                }
            }
        };
    };
}

/// Makes types lasting that are numbers, each by its way to and from the widest.
macro_rules! whole_numbers {
    ($($kind:ident by $wide:expr),*) => {
        $(impl Lasting for $kind {
            fn form(form: &mut Form) {
                form.name(stringify!($kind));
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

impl Lasting for bool {
    fn form(form: &mut Form) {
        form.name("bool");
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

impl Lasting for f64 {
    fn form(form: &mut Form) {
        form.name("f64");
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

impl Lasting for Duration {
    fn form(form: &mut Form) {
        form.name("Duration");
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

impl Lasting for Instant {
    fn form(form: &mut Form) {
        form.name("Instant");
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

/// Makes texts lasting.
macro_rules! texts {
    ($($kind:ty),*) => {
        $(impl $crate::policy::lasting::Lasting for $kind {
            fn form(form: &mut $crate::policy::lasting::Form) {
                form.name("String");
            }

            fn write(&self, to: &mut $crate::policy::lasting::Writer) {
                to.bytes(AsRef::<str>::as_ref(self).as_bytes());
            }

            fn read(from: &mut $crate::policy::lasting::Reader<'_>) -> Option<Self> {
                from.text().map(Self::from)
            }
        })*
    };
}
texts!(String, Arc<str>);

/// Makes what is behind a pointer as lasting as it is itself.
macro_rules! pointers {
    ($($pointer:ident),*) => {
        $(impl<T: Lasting> Lasting for $pointer<T> {
            fn form(form: &mut Form) {
                T::form(form);
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

impl<T: Lasting> Lasting for Option<T> {
    fn form(form: &mut Form) {
        form.name("Option");
        T::form(form);
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

impl<T: Lasting> Lasting for Vec<T> {
    fn form(form: &mut Form) {
        form.name("Vec");
        T::form(form);
    }

    fn write(&self, to: &mut Writer) {
        to.all(self.iter());
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        (0..from.count()?).map(|_| T::read(from)).collect()
    }
}

impl<T: Lasting> Lasting for VecDeque<T> {
    fn form(form: &mut Form) {
        Vec::<T>::form(form);
    }

    fn write(&self, to: &mut Writer) {
        to.all(self.iter());
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        Vec::read(from).map(Self::from)
    }
}

impl<T: Lasting, const N: usize> Lasting for [T; N] {
    fn form(form: &mut Form) {
        form.name(&format!("[{N}]"));
        T::form(form);
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

impl<A: Lasting, B: Lasting> Lasting for (A, B) {
    fn form(form: &mut Form) {
        form.name("pair");
        A::form(form);
        B::form(form);
    }

    fn write(&self, to: &mut Writer) {
        self.0.write(to);
        self.1.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        Some((A::read(from)?, B::read(from)?))
    }
}

lasting!(
    enum ModelClass {
        Chat,
        Reasoning,
    }
);
lasting!(struct Gauge { limit, remaining, reset, window });

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

    lasting!(struct Point { name, at, parts, told } anew { scratch });
    lasting!(enum Told { Nothing, Until { until, times } });

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
        lasting!(struct A { x, y });
        lasting!(struct B { y, x });
        lasting!(struct C { x, y });
        // The name of the type itself counts, too: so compare what they are made of.
        let parts = |name: fn(&mut Form)| {
            let mut form = Form(FNV1A);
            name(&mut form);
            form.0
        };
        let of_a = parts(|form| {
            form.part("x", |it: &A| &it.x);
            form.part("y", |it: &A| &it.y);
        });
        let of_b = parts(|form| {
            form.part("y", |it: &B| &it.y);
            form.part("x", |it: &B| &it.x);
        });
        let of_c = parts(|form| {
            form.part("x", |it: &C| &it.x);
            form.part("y", |it: &C| &it.y);
        });
        assert!(of_a != of_b && of_a != of_c && of_b != of_c);
        assert_eq!(form::<A>(), form::<A>());
        assert!(form::<A>() != form::<B>());
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
        impl Lasting for Nothing {
            fn form(_: &mut Form) {}
            fn write(&self, _: &mut Writer) {}
            fn read(_: &mut Reader<'_>) -> Option<Self> {
                Some(Self)
            }
        }
        let forms = [
            ("nothing", form::<Nothing>()),
            ("a flag", form::<bool>()),
            ("a byte", form::<u8>()),
            ("a number", form::<u16>()),
            ("a number below 0", form::<i64>()),
            ("a fraction", form::<f64>()),
            ("a time", form::<Duration>()),
            ("a moment", form::<Instant>()),
            ("a date", form::<SystemTime>()),
            ("a text", form::<String>()),
            ("a name", form::<&'static str>()),
            ("bytes", form::<bytes::Bytes>()),
            ("headers", form::<http::HeaderMap>()),
            ("pairs of texts", form::<BTreeMap<String, String>>()),
            ("a range", form::<std::ops::Range<usize>>()),
            ("a byte or none", form::<Option<u8>>()),
            ("a number or none", form::<Option<u16>>()),
            ("some bytes", form::<Vec<u8>>()),
            ("some numbers", form::<VecDeque<u16>>()),
            ("two bytes", form::<[u8; 2]>()),
            ("three bytes", form::<[u8; 3]>()),
            ("two numbers", form::<[u16; 2]>()),
            ("a byte and a number", form::<(u8, u16)>()),
            ("a byte and a byte", form::<(u8, u8)>()),
            ("a number and a byte", form::<(u16, u8)>()),
            ("a byte, or why not", form::<Result<u8, u16>>()),
            ("a number, or why not", form::<Result<u16, u16>>()),
            ("a byte, or what instead", form::<Result<u8, u8>>()),
            ("a distribution's window", form::<crate::policy::window::Window>()),
        ];
        for (at, (one, form)) in forms.iter().enumerate() {
            let same = forms[..at].iter().find(|(_, other)| other == form);
            assert_eq!(same.map(|(other, _)| other), None, "{one}");
        }
        assert_eq!(form::<Box<u8>>(), form::<u8>(), "where it is kept is no part of it");
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

//! What is kept of a call, as bytes: each type is its fields in their order, one behind the other.
//!
//! A type that gets a field does not compile before this knows of it. What was written by another form of this is not
//! read: [`FORM`] stands before all.

mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};

/// The form of all that follows: another number for every change.
const FORM: u8 = 1;

/// Returns something as bytes.
pub(super) fn write(what: &impl Tape) -> Vec<u8> {
    let mut out = vec![FORM];
    what.put(&mut out);
    out
}

/// Returns what such bytes say; `None` where they are of another form.
pub(super) fn read<T: Tape>(mut from: &[u8]) -> Option<T> {
    (u8::take(&mut from)? == FORM).then_some(())?;
    let what = T::take(&mut from)?;
    from.is_empty().then_some(what)
}

/// What can be written and read again.
pub(super) trait Tape: Sized {
    /// Appends it.
    fn put(&self, out: &mut Vec<u8>);
    /// Takes it off the beginning.
    fn take(from: &mut &[u8]) -> Option<Self>;
}

/// A struct: its fields.
macro_rules! fields {
    ($type:ident { $($field:ident),* $(,)? }) => {
        impl Tape for $type {
            fn put(&self, out: &mut Vec<u8>) {
                let Self { $($field),* } = self;
                $($field.put(out);)*
            }

            fn take(from: &mut &[u8]) -> Option<Self> {
                $(let $field = Tape::take(from)?;)*
                Some(Self { $($field),* })
            }
        }
    };
}

/// An enum: the number of its variant, and what that holds.
macro_rules! variants {
    ($type:ty { $($number:literal = $variant:ident $(($($part:ident),*))? $({ $($field:ident),* })?),* $(,)? }) => {
        impl Tape for $type {
            fn put(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$variant $(($($part),*))? $({ $($field),* })? => {
                        out.push($number);
                        $($($part.put(out);)*)?
                        $($($field.put(out);)*)?
                    })*
                }
            }

            fn take(from: &mut &[u8]) -> Option<Self> {
                match u8::take(from)? {
                    $($number => {
                        $($(let $part = Tape::take(from)?;)*)?
                        $($(let $field = Tape::take(from)?;)*)?
                        Some(Self::$variant $(($($part),*))? $({ $($field),* })?)
                    })*
                    _ => None,
                }
            }
        }
    };
}

/// An enum whose variants have names, which are read back.
macro_rules! by_name {
    ($($type:ty),* $(,)?) => {
        $(impl Tape for $type {
            fn put(&self, out: &mut Vec<u8>) {
                self.name().put(out);
            }

            fn take(from: &mut &[u8]) -> Option<Self> {
                let name = take_text(from)?;
                Self::ALL.iter().copied().find(|one| one.name() == name)
            }
        })*
    };
}

use {by_name, fields, variants};

/// Numbers, as they stand in memory.
macro_rules! numbers {
    ($($type:ty),*) => {
        $(impl Tape for $type {
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }

            fn take(from: &mut &[u8]) -> Option<Self> {
                let (bytes, rest) = from.split_first_chunk()?;
                *from = rest;
                Some(Self::from_le_bytes(*bytes))
            }
        })*
    };
}

numbers!(u8, u16, u32, u64, i64, f64);

impl Tape for usize {
    fn put(&self, out: &mut Vec<u8>) {
        (*self as u64).put(out);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        u64::take(from)?.try_into().ok()
    }
}

impl Tape for bool {
    fn put(&self, out: &mut Vec<u8>) {
        u8::from(*self).put(out);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        match u8::take(from)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    bytes.len().put(out);
    out.extend_from_slice(bytes);
}

fn take_bytes<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::take(from)?;
    let (bytes, rest) = from.split_at_checked(length)?;
    *from = rest;
    Some(bytes)
}

fn take_text<'a>(from: &mut &'a [u8]) -> Option<&'a str> {
    std::str::from_utf8(take_bytes(from)?).ok()
}

/// What is a text, or is made of one.
macro_rules! texts {
    ($($type:ty),*) => {
        $(impl Tape for $type {
            fn put(&self, out: &mut Vec<u8>) {
                put_bytes(AsRef::<str>::as_ref(self).as_bytes(), out);
            }

            fn take(from: &mut &[u8]) -> Option<Self> {
                take_text(from).map(Self::from)
            }
        })*
    };
}

texts!(String, Arc<str>);

/// The most names of parts that live as long as the process: there are some hundred.
const NAMES_MAX: usize = 4_096;

impl Tape for &'static str {
    fn put(&self, out: &mut Vec<u8>) {
        put_bytes(self.as_bytes(), out);
    }

    /// What is a name in the code is one again: each is made once.
    fn take(from: &mut &[u8]) -> Option<Self> {
        static NAMES: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());
        let name = take_text(from)?;
        let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = names.get(name) {
            return Some(known);
        }
        if names.len() >= NAMES_MAX {
            return None;
        }
        let name: &'static str = Box::leak(name.into());
        names.insert(name);
        Some(name)
    }
}

impl Tape for Bytes {
    fn put(&self, out: &mut Vec<u8>) {
        put_bytes(self, out);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        take_bytes(from).map(Self::copy_from_slice)
    }
}

impl Tape for Duration {
    fn put(&self, out: &mut Vec<u8>) {
        (self.as_secs(), self.subsec_nanos()).put(out);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        let (seconds, nanos): (u64, u32) = Tape::take(from)?;
        (nanos < 1_000_000_000).then(|| Self::new(seconds, nanos))
    }
}

impl Tape for SystemTime {
    fn put(&self, out: &mut Vec<u8>) {
        self.duration_since(UNIX_EPOCH).unwrap_or_default().put(out);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        UNIX_EPOCH.checked_add(Tape::take(from)?)
    }
}

impl<A: Tape, B: Tape> Tape for (A, B) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        Some((A::take(from)?, B::take(from)?))
    }
}

impl<T: Tape> Tape for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        if let Some(it) = self {
            it.put(out);
        }
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        if bool::take(from)? { T::take(from).map(Some) } else { Some(None) }
    }
}

impl<T: Tape, E: Tape> Tape for Result<T, E> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_ok().put(out);
        match self {
            Ok(it) => it.put(out),
            Err(error) => error.put(out),
        }
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        Some(if bool::take(from)? { Ok(T::take(from)?) } else { Err(E::take(from)?) })
    }
}

impl<T: Tape> Tape for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.len().put(out);
        for it in self {
            it.put(out);
        }
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        (0..usize::take(from)?).map(|_| T::take(from)).collect()
    }
}

/// What is the same behind a pointer.
macro_rules! pointers {
    ($($pointer:ident),*) => {
        $(impl<T: Tape> Tape for $pointer<T> {
            fn put(&self, out: &mut Vec<u8>) {
                T::put(self, out);
            }

            fn take(from: &mut &[u8]) -> Option<Self> {
                T::take(from).map(Self::new)
            }
        })*
    };
}

pointers!(Arc, Box);

impl Tape for BTreeMap<String, String> {
    fn put(&self, out: &mut Vec<u8>) {
        self.len().put(out);
        for (name, value) in self {
            name.put(out);
            value.put(out);
        }
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        Vec::<(String, String)>::take(from).map(|all| all.into_iter().collect())
    }
}

impl Tape for Range<usize> {
    fn put(&self, out: &mut Vec<u8>) {
        (self.start, self.end).put(out);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        let (start, end) = Tape::take(from)?;
        Some(start..end)
    }
}

impl Tape for Value {
    fn put(&self, out: &mut Vec<u8>) {
        self.to_string().put(out);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        serde_json::from_str(take_text(from)?).ok()
    }
}

impl Tape for Map<String, Value> {
    fn put(&self, out: &mut Vec<u8>) {
        serde_json::to_string(self).unwrap_or_default().put(out);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        serde_json::from_str(take_text(from)?).ok()
    }
}

impl Tape for HeaderMap {
    fn put(&self, out: &mut Vec<u8>) {
        self.len().put(out);
        for (name, value) in self {
            name.as_str().to_owned().put(out);
            put_bytes(value.as_bytes(), out);
        }
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        let mut headers = Self::new();
        for _ in 0..usize::take(from)? {
            let name = HeaderName::from_bytes(take_bytes(from)?).ok()?;
            headers.append(name, HeaderValue::from_bytes(take_bytes(from)?).ok()?);
        }
        Some(headers)
    }
}

#[cfg(test)]
mod tests;

//! What came of a text in pieces, for the ends that repeat it: an end may say more than its pieces did.
//!
//! Input: the pieces, and what their ends say the whole is. Output: what an end says beyond its pieces, once, however
//! often it is repeated. Where an end says something else than its pieces, the pieces count. Of the text only its
//! length and a sum are kept.

use crate::words::fnv::{FNV1A, fnv1a};

/// What came of a text.
#[derive(Debug, Default)]
pub(super) struct Told {
    all: Sum,
    /// The part that has not ended.
    open: Sum,
    /// The parts that have ended.
    ends: Vec<Sum>,
    /// An end said something else than its pieces: which part is meant is not known any more.
    lost: bool,
}

/// The length and the sum of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sum {
    bytes: usize,
    hash: u64,
}

impl Default for Sum {
    fn default() -> Self {
        Self { bytes: 0, hash: FNV1A }
    }
}

impl Sum {
    fn add(&mut self, text: &str) {
        self.bytes += text.len();
        self.hash = fnv1a(self.hash, text.bytes());
    }

    fn of(text: &str) -> Self {
        let mut sum = Self::default();
        sum.add(text);
        sum
    }

    /// Returns what a text says beyond this one; `None` where it does not begin with it.
    fn rest<'t>(&self, text: &'t str) -> Option<&'t str> {
        let (begin, rest) = text.split_at_checked(self.bytes)?;
        (Self::of(begin) == *self).then_some(rest)
    }
}

impl Told {
    /// Takes a piece.
    pub(super) fn piece(&mut self, text: &str) {
        self.all.add(text);
        self.open.add(text);
    }

    /// Takes the end of a part, which says all of it; returns what is new of that.
    pub(super) fn end<'t>(&mut self, whole: &'t str) -> &'t str {
        let sum = Sum::of(whole);
        if whole.is_empty() || self.lost || (self.open.bytes == 0 && self.ends.contains(&sum)) {
            return "";
        }
        let Some(rest) = self.open.rest(whole) else {
            self.lost = true;
            return "";
        };
        // Several parts may be repeated as one.
        let rest = if self.open.bytes == 0 { self.all.rest(whole).unwrap_or(rest) } else { rest };
        self.all.add(rest);
        self.open = Sum::default();
        self.ends.push(sum);
        rest
    }

    /// Returns what a text says beyond all that came; `None` where it does not begin with that.
    pub(super) fn new_text<'t>(&self, whole: &'t str) -> Option<&'t str> {
        self.all.rest(whole)
    }

    /// Takes the end of all parts, which says all of them; returns what is new of that.
    pub(super) fn end_of_all<'t>(&mut self, whole: &'t str) -> &'t str {
        let rest = self.new_text(whole).unwrap_or_default();
        self.all.add(rest);
        self.open = Sum::default();
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says pieces, and what begins with `=` as the end of a part, with `==` as the end of all; returns all that is
    /// new.
    fn said(steps: &[&str]) -> String {
        let mut told = Told::default();
        let new = |step: &&str| match (step.strip_prefix("=="), step.strip_prefix('=')) {
            (Some(whole), _) => told.end_of_all(whole).to_owned(),
            (None, Some(whole)) => told.end(whole).to_owned(),
            (None, None) => {
                told.piece(step);
                (*step).to_owned()
            }
        };
        steps.iter().map(new).collect()
    }

    #[test]
    fn an_end_adds_what_its_pieces_did_not_say_and_repeats_nothing() {
        for (steps, expected) in [
            (&["hel", "lo"][..], "hello"),
            (&["hel", "=hello"], "hello"),
            (&["=hello", "=hello", "=hello", "==hello"], "hello"),
            (&["hel", "=hello", "=hello", "==hello you"], "hello you"),
            (&["h", "=hi", " you", "=you", "== you"], "hi you"),
            (&["a", "=a", "=a", "=b", "=b", "==ab"], "ab"),
            (&["a", "=a", "b", "=b", "=ab", "==ab"], "ab"),
            (&["a", "b", "=ab", "==abc"], "abc"),
            // What the end says is not what was said: the pieces count.
            (&["hello ", "=hello", "=hello", "==hello"], "hello "),
            (&["a", "b", "=a", "=b", "==ab"], "ab"),
            (&["a", "=x", "=x", "==xy"], "a"),
            // Within a letter no text goes on.
            (&["\u{e9}", "=e\u{301}"], "\u{e9}"),
            (&["", "=", "=="], ""),
        ] {
            assert_eq!(said(steps), expected, "{steps:?}");
        }
    }
}

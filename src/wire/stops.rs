//! Stop sequences that a provider could not be told: the answer ends before the first of them nevertheless.
//!
//! Input: text as it comes. Output: the text before a sequence. Text that may begin a sequence is held until more text
//! follows.

use crate::words::Text;

/// Looks for sequences in a text that comes in pieces.
#[derive(Debug, Default)]
pub(super) struct Stops {
    sequences: Vec<Text>,
    /// The end of the text, held because a sequence may begin there.
    held: String,
    met: Option<String>,
}

impl Stops {
    pub(super) fn new(sequences: Vec<Text>) -> Self {
        Self { sequences: sequences.into_iter().filter(|it| !it.is_empty()).collect(), ..Self::default() }
    }

    /// Tells whether there is nothing to look for.
    pub(super) fn is_empty(&self) -> bool {
        self.sequences.is_empty()
    }

    /// Returns the sequence that has come: the answer is over.
    pub(super) fn met(&self) -> Option<&str> {
        self.met.as_deref()
    }

    /// Takes more text; returns the part that goes on.
    pub(super) fn push(&mut self, text: &str) -> String {
        if self.met.is_some() {
            return String::new();
        }
        let mut all = std::mem::take(&mut self.held) + text;
        let first = self.sequences.iter().filter_map(|it| Some((all.find(it.as_str())?, it))).min_by_key(|(at, _)| *at);
        if let Some((at, sequence)) = first {
            self.met = Some(sequence.to_string());
            all.truncate(at);
            return all;
        }
        let begins = |at: &usize| self.sequences.iter().any(|it| it.as_str().starts_with(&all[*at..]));
        let longest = self.sequences.iter().map(|it| it.len()).max().unwrap_or(0);
        let first = all.len().saturating_sub(longest);
        let at = all.char_indices().map(|(at, _)| at).filter(|at| *at >= first).find(begins).unwrap_or(all.len());
        self.held = all.split_off(at);
        all
    }

    /// Returns what was held back, when the text has ended.
    pub(super) fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_ends_before_the_first_sequence_however_it_comes() {
        for (text, expected, met) in [
            ("one END two", "one ", Some("END")),
            ("one EN two", "one EN two", None),
            ("one E", "one E", None),
            ("xxENENDy", "xxEN", Some("END")),
            ("END", "", Some("END")),
            ("a ü\u{1f600} STOPP END", "a ü\u{1f600} ", Some("STOPP")),
            ("", "", None),
        ] {
            for size in [1, 2, 3, 100] {
                let mut stops = Stops::new(vec!["END".into(), "STOPP".into(), Text::default()]);
                let letters: Vec<char> = text.chars().collect();
                let pieces = letters.chunks(size).map(|piece| stops.push(&piece.iter().collect::<String>()));
                let mut out = pieces.collect::<Vec<_>>().concat();
                out += &stops.finish();
                assert_eq!((&*out, stops.met()), (expected, met), "{text} {size}");
            }
        }
    }
}

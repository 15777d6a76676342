//! Halves of characters: JSON writes a character as a pair of escapes, and some servers cut between the two.
//!
//! A half alone is no character, so no text can hold it; it must not spoil an answer. Input: JSON with such halves.
//! Output: JSON in which each is written as a private character of its own. Then, input: texts; output: the same with
//! each two halves joined. A half that stays alone becomes a replacement character.

/// Where the private characters begin that stand for halves, in Unicode's last plane.
const PRIVATE: u32 = 0x10_0000;

/// Writes the halves that stand alone in a JSON text as private characters; `None` where there are none.
pub(super) fn mark(json: &str) -> Option<String> {
    let mut out = String::new();
    let mut taken = 0;
    let mut at = 0;
    while let Some(step) = json[at..].find('\\') {
        at += step;
        match (half(&json[at..]), json.get(at + 6..).and_then(half)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => at += 12,
            (Some(code), _) => {
                out.push_str(&json[taken..at]);
                out.extend(char::from_u32(PRIVATE + code));
                at += 6;
                taken = at;
            }
            // Any escaped character, a backslash included.
            (None, _) => at += 1 + json[at + 1..].chars().next().map_or(0, char::len_utf8),
        }
    }
    (taken > 0).then(|| out + &json[taken..])
}

/// Reads the escape of a half at the beginning of a text.
fn half(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    u32::from_str_radix(digits, 16).ok().filter(|code| (0xd800..=0xdfff).contains(code))
}

/// Joins halves in a text that comes in pieces; the last half may get its other half with the next piece.
#[derive(Debug, Default)]
pub(super) struct Joiner {
    first: Option<u32>,
}

impl Joiner {
    /// Takes more of a text; returns it with its halves joined, except one at the end.
    pub(super) fn push(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for letter in text.chars() {
            let code = u32::from(letter).wrapping_sub(PRIVATE);
            match (self.first.take(), code) {
                (Some(first), 0xdc00..=0xdfff) => {
                    let code = 0x1_0000 + ((first - 0xd800) << 10) + (code - 0xdc00);
                    out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                }
                (alone, code) => {
                    out.extend(alone.map(|_| char::REPLACEMENT_CHARACTER));
                    match code {
                        0xd800..=0xdbff => self.first = Some(code),
                        0xdc00..=0xdfff => out.push(char::REPLACEMENT_CHARACTER),
                        _ => out.push(letter),
                    }
                }
            }
        }
        out
    }

    /// Returns what the half at the end becomes, if there is one.
    pub(super) fn finish(&mut self) -> Option<char> {
        self.first.take().map(|_| char::REPLACEMENT_CHARACTER)
    }

    /// Joins the halves of a text that is whole.
    pub(super) fn join(text: &str) -> String {
        let mut joiner = Self::default();
        let mut out = joiner.push(text);
        out.extend(joiner.finish());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_joined_and_those_that_stay_alone_replaced() {
        for (parts, expected) in [
            (&["a\\ud83d", "\\ude00b"][..], "a\u{1f600}b"),
            (&["\\uD83D", "", "\\uDE00"], "\u{1f600}"),
            (&["\\ud83d\\ude00 whole"], "\u{1f600} whole"),
            (&["\\ud83d", "x"], "\u{fffd}x"),
            (&["\\ude00"], "\u{fffd}"),
            (&["\\ud83d"], "\u{fffd}"),
            (&["\\ud83d\\ud83d", "\\ude00"], "\u{fffd}\u{1f600}"),
            (&["\\\\ud83d is no escape"], "\\ud83d is no escape"),
            (&["\\n\\u0041"], "\nA"),
        ] {
            let mut joiner = Joiner::default();
            let mut found = String::new();
            for part in parts {
                let json = format!("\"{part}\"");
                let json = mark(&json).unwrap_or(json);
                found += &joiner.push(&serde_json::from_str::<String>(&json).expect("JSON"));
            }
            found.extend(joiner.finish());
            assert_eq!(found, expected, "{parts:?}");
        }
    }
}

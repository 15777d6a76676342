//! Makes providers' messages safe to show: no keys, no control characters for terminals, a limited length.
//!
//! Who reads a message takes no more of it than this room wants to see, and leaves it as it is; who knows the secrets
//! takes these out, and then has it tidied.

/// The most characters of a provider's message that are shown.
const MESSAGE_CHARS_MAX: usize = 500;

/// The most bytes of a message that are looked at: more than are shown, so that no secret in these is cut.
pub const WORDS_BYTES_MAX: usize = 4 * MESSAGE_CHARS_MAX;

/// No key is shorter than this, prefix included.
const KEY_BYTES_MIN: usize = 8;

/// Returns as much of a message as is looked at.
pub(super) fn begin(message: &str) -> &str {
    &message[..message.floor_char_boundary(WORDS_BYTES_MAX)]
}

/// Cuts a message to what may be shown: no keys, no control characters for terminals, 500 characters. Secrets that only
/// their owner knows are to be taken out before: a text that is cut, or in one line, no longer shows them as they are.
pub fn tidy(message: &str) -> String {
    let clean = redact(message);
    let commands = |letter: char| letter.is_control() || TURNS.contains(&letter);
    clean.chars().take(MESSAGE_CHARS_MAX).map(|letter| if commands(letter) { ' ' } else { letter }).collect()
}

/// Letters that only turn the direction or break the line of those around them.
const TURNS: [char; 11] = [
    '\u{2028}', '\u{2029}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}', '\u{2066}', '\u{2067}',
    '\u{2068}', '\u{2069}',
];

/// Replaces what looks like a key: known prefixes, and the word after "Bearer", "key:", "key provided:", "key=".
fn redact(message: &str) -> String {
    const PREFIXES: [&str; 9] = ["sk-", "sk_", "gsk_", "xai-", "AIza", "hf_", "pplx-", "tgp_", "csk-"];
    const LEADS: [&str; 3] = ["key", "token", "key provided"];
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || "-_.*+/~".contains(letter);
    let mut clean = String::with_capacity(message.len().min(4 * MESSAGE_CHARS_MAX));
    let mut rest = message;
    // Text that is cut off later need not be cleaned.
    while !rest.is_empty() && clean.len() < 4 * MESSAGE_CHARS_MAX {
        let start = rest.find(is_word).unwrap_or(rest.len());
        let (gap, tail) = rest.split_at(start);
        clean.push_str(gap);
        let end = tail.find(|letter| !is_word(letter)).unwrap_or(tail.len());
        let (word, tail) = tail.split_at(end);
        rest = tail;
        let before = clean.trim_end_matches([' ', '"', '\'', '`', '=', ':']);
        let (lead, mark) = clean.split_at(before.len());
        let named = LEADS.iter().any(|word| ends_with_word(lead, word)) && mark.contains([':', '='])
            || ends_with_word(lead, "bearer");
        let known = PREFIXES.iter().any(|prefix| holds_key(word, prefix));
        clean.push_str(if !word.is_empty() && (named || known) { "[redacted]" } else { word });
    }
    clean
}

/// Tells whether a word holds a key of this prefix, not only a word that ends like it ("task-").
fn holds_key(word: &str, prefix: &str) -> bool {
    word.match_indices(prefix).any(|(at, _)| {
        let begins = !word[..at].ends_with(|letter: char| letter.is_ascii_alphanumeric());
        begins && word.len() - at >= KEY_BYTES_MIN
    })
}

/// Tells whether a text ends with these words, in any case, and they do not end a longer one ("monkey").
fn ends_with_word(text: &str, word: &str) -> bool {
    let Some(at) = text.len().checked_sub(word.len()) else { return false };
    let text = text.as_bytes();
    text[at..].eq_ignore_ascii_case(word.as_bytes()) && !text[..at].last().is_some_and(u8::is_ascii_alphanumeric)
}

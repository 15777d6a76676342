//! Removes secrets from texts that come from outside.

/// A secret of fewer bytes may be a part of any name or word: it is recognised only where it is a word of its own.
const SHORT: usize = 8;
/// The fewest bytes of a secret's beginning that count as a part of it.
const TELLING: usize = 4;
/// What replaces it.
const CONCEALED: &str = "[redacted]";

/// Removes a secret from a text, at every place and in every spelling: as it is, with the escapes of JSON, of addresses
/// or of HTML, and with line breaks or invisible letters within. If the text was cut (`cut`), its end may be a secret's
/// beginning.
pub(crate) fn conceal(text: &mut String, secret: &str, cut: bool) {
    let Some(first) = secret.chars().next() else { return };
    let (mut out, mut taken) = (String::new(), 0);
    while let Some(at) = text[taken..].find([first, '\\', '%', '&']).map(|at| taken + at) {
        out.push_str(&text[taken..at]);
        let begins =
            |end: usize| secret.len() >= SHORT || !goes_on(text[..at].chars().rev()) && !goes_on(text[end..].chars());
        match matched(&text[at..], secret) {
            Match::Whole(length) => {
                taken = at + length;
                out.push_str(if begins(taken) { CONCEALED } else { &text[at..taken] });
            }
            Match::Begins(letters) if cut && letters >= TELLING && begins(text.len()) => {
                taken = text.len();
                out.push_str(CONCEALED);
            }
            Match::Begins(_) | Match::No => {
                taken = text.ceil_char_boundary(at + 1);
                out.push_str(&text[at..taken]);
            }
        }
    }
    if taken > 0 {
        out.push_str(&text[taken..]);
        *text = out;
    }
}

/// How much of a secret a text begins with.
enum Match {
    No,
    /// All of it, in this number of bytes.
    Whole(usize),
    /// This number of its letters, and there the text ends.
    Begins(usize),
}

fn matched(text: &str, secret: &str) -> Match {
    let mut rest = text;
    for (at, letter) in secret.chars().enumerate() {
        let goes_on = if at > 0 { visible(rest) } else { rest };
        rest = match (spelled(rest, letter), spelled(goes_on, letter)) {
            (Some(length), _) => &rest[length..],
            (None, Some(length)) => &goes_on[length..],
            (None, None) if is_cut_off(goes_on) => return Match::Begins(at),
            (None, None) => return Match::No,
        };
    }
    Match::Whole(text.len() - rest.len())
}

/// Returns a text from its next letter on that is seen: where it goes on in another line, from that line's first one.
fn visible(text: &str) -> &str {
    let mut rest = text;
    loop {
        let unbroken = ["\\n", "\\r", "\\t"].iter().find_map(|escape| rest.strip_prefix(escape)).unwrap_or(rest);
        let seen = unbroken.trim_start_matches(is_invisible);
        if seen.len() == rest.len() {
            return rest;
        }
        rest = seen.trim_start();
    }
}

/// Tells whether a letter may stand within a secret and is not seen.
fn is_invisible(letter: char) -> bool {
    let has_no_width = matches!(letter, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    has_no_width || letter.is_control() || matches!(letter, '\u{2028}'..='\u{202e}')
}

/// Tells whether a text ends here, or within an escape.
fn is_cut_off(rest: &str) -> bool {
    rest.is_empty() || rest.len() < "&#x10ffff;".len() && rest.starts_with(['\\', '%', '&'])
}

/// Returns the length of a letter at the beginning of a text, in any spelling of it.
fn spelled(text: &str, letter: char) -> Option<usize> {
    escaped(text, letter).or_else(|| text.starts_with(letter).then(|| letter.len_utf8()))
}

fn escaped(text: &str, letter: char) -> Option<usize> {
    match text.as_bytes().first()? {
        b'\\' => {
            let escape = text[1..].strip_prefix('u').and_then(|code| code.get(..4));
            if escape.is_some_and(|code| u32::from_str_radix(code, 16) == Ok(letter.into())) {
                return Some("\\u0000".len());
            }
            (!letter.is_alphanumeric() && text[1..].starts_with(letter)).then(|| 1 + letter.len_utf8())
        }
        b'%' => {
            let bytes = letter.encode_utf8(&mut [0; 4]).bytes().collect::<Vec<_>>();
            let is = |(at, byte): (usize, &u8)| {
                let code = text.get(3 * at..3 * at + 3).and_then(|escape| escape.strip_prefix('%'));
                code.is_some_and(|code| u8::from_str_radix(code, 16) == Ok(*byte))
            };
            bytes.iter().enumerate().all(is).then_some(3 * bytes.len())
        }
        b'&' => {
            let name = &text[1..text.find(';').filter(|end| *end < "&#x10ffff;".len())?];
            let code = match name {
                "amp" => Some('&'.into()),
                "apos" => Some('\''.into()),
                "gt" => Some('>'.into()),
                "lt" => Some('<'.into()),
                "quot" => Some('"'.into()),
                _ => {
                    let number = name.strip_prefix('#')?;
                    number
                        .strip_prefix(['x', 'X'])
                        .map_or_else(|| number.parse(), |hex| u32::from_str_radix(hex, 16))
                        .ok()
                }
            };
            (code == Some(u32::from(letter))).then(|| name.len() + 2)
        }
        _ => None,
    }
}

/// Tells whether what follows is more of the same name, number, address or word.
fn goes_on(mut letters: impl Iterator<Item = char>) -> bool {
    match letters.next() {
        Some('-' | '.' | '/' | '@' | '+' | '\'' | '’') => letters.next().is_some_and(char::is_alphanumeric),
        letter => letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '_'),
    }
}

/// How keys of providers begin.
const KEYS_BEGIN: [&str; 13] =
    ["sk-", "sk_", "gsk_", "csk-", "xai-", "pplx-", "nvapi-", "hf_", "tgp_", "ghp_", "AIza", "AKIA", "eyJ"];
/// A word of fewer bytes is no key.
const KEY_BYTES_MIN: usize = 12;

/// Removes what looks like a provider's key from what is said of a configuration: a key that stands where a name
/// belongs is no name that a reader needs.
pub(crate) fn without_keys(text: String) -> String {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || "-_.+/=".contains(letter);
    let begins = |at: usize| {
        let is_first = !text[..at].ends_with(|before: char| before.is_ascii_alphanumeric());
        is_first && KEYS_BEGIN.iter().any(|begin| text[at..].starts_with(begin))
    };
    let (mut out, mut taken) = (String::new(), 0);
    for (at, _) in text.char_indices() {
        if at < taken || !begins(at) {
            continue;
        }
        let length = text[at..].find(|letter| !is_part(letter)).unwrap_or(text.len() - at);
        if length >= KEY_BYTES_MIN {
            out.push_str(&text[taken..at]);
            out.push_str(CONCEALED);
            taken = at + length;
        }
    }
    if taken == 0 { text } else { out + &text[taken..] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_key_is_no_name() {
        for (text, expected) in [
            ("providers.openai.sk-proj-ABC.SECRET: is unknown", "providers.openai.[redacted]: is unknown"),
            ("a/sk-0123456789ab, gsk_0123456789", "a/[redacted], [redacted]"),
            ("`AIzaSyA1234567890` is no file", "`[redacted]` is no file"),
            ("risk-assessment-model, sk-team and sk_a", "risk-assessment-model, sk-team and sk_a"),
        ] {
            assert_eq!(without_keys(text.to_owned()), expected);
        }
    }

    #[test]
    fn a_secret_is_taken_out_in_every_spelling() {
        let secret = "p%4k/e\"y+plus=";
        for (text, expected) in [
            (r#"oops "p%4k\/e\"y+plus=" it"#, r#"oops "[redacted]" it"#),
            ("a &quot;p%4k/e&quot;y&#43;plus&#x3d;&quot; b", "a &quot;[redacted]&quot; b"),
            (r"\u0070\u0025\u0034\u006b\u002f\u0065\u0022\u0079\u002b\u0070lus\u003D", "[redacted]"),
            ("?key=p%254k%2Fe%22y%2Bplus%3D&x=1", "?key=[redacted]&x=1"),
            ("p%4k/\u{200b}e\"y+\r\nplus=.", "[redacted]."),
            ("p%4\u{1b}k/e\n    \"y+\\r\\n\\tplus\u{2028}=.", "[redacted]."),
            ("p%4k/e \"y+plus=", "p%4k/e \"y+plus="),
            ("p%4k/e\"y-plus= 100 % \\ & more", "p%4k/e\"y-plus= 100 % \\ & more"),
        ] {
            let mut said = text.to_owned();
            conceal(&mut said, secret, false);
            assert_eq!(said, expected);
        }
        let mut cut = r"what came is p%4k\/e\u00".to_owned();
        conceal(&mut cut, secret, true);
        assert_eq!(cut, "what came is [redacted]");
    }

    #[test]
    fn a_secret_of_any_shape_is_taken_out_and_a_short_one_where_it_is_a_word_of_its_own() {
        for (text, secret, cut, expected) in [
            ("key sk-12345678 is wrong, sk-12345678!", "sk-12345678", false, "key [redacted] is wrong, [redacted]!"),
            ("xsk-12345678x", "sk-12345678", false, "x[redacted]x"),
            ("a test of 'test' in testing", "test", false, "a [redacted] of '[redacted]' in testing"),
            (
                "test-model at http://x.test/v1: test's, a.test, test_k",
                "test",
                false,
                "test-model at http://x.test/v1: test's, a.test, test_k",
            ),
            ("ask k, kk, k-2 or 4.k (k). K", "k", false, "ask [redacted], kk, k-2 or 4.k ([redacted]). K"),
            ("api_key=test. key:test - test", "test", false, "api_key=[redacted]. key:[redacted] - [redacted]"),
            ("pass word: \"pass word\"", "pass word", false, "[redacted]: \"[redacted]\""),
            ("Schlüssel ÄÖÜ", "ÄÖÜ", false, "Schlüssel [redacted]"),
            ("what came is sk-12345", "sk-12345678", true, "what came is [redacted]"),
            ("what came is sk-12345", "sk-12345678", false, "what came is sk-12345"),
            ("what came is sk", "sk-12345678", true, "what came is sk"),
            ("what came latest", "test12", true, "what came latest"),
            ("what came is test", "test12", true, "what came is [redacted]"),
            ("nothing", "", true, "nothing"),
        ] {
            let mut said = text.to_owned();
            conceal(&mut said, secret, cut);
            assert_eq!(said, expected);
        }
    }
}

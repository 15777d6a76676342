//! Removes secrets from texts that come from outside.

/// A secret of fewer bytes may be a part of any name or word: it is recognised only where it is a word of its own.
const SHORT: usize = 8;
/// The fewest bytes of a secret's beginning that count as a part of it.
const TELLING: usize = 4;
/// What replaces it.
const CONCEALED: &str = "[redacted]";

/// Removes a secret from a text, at every place. If the text was cut (`cut`), its end may be a secret's beginning.
pub(crate) fn conceal(text: &mut String, secret: &str, cut: bool) {
    if secret.is_empty() {
        return;
    }
    if text.contains(secret) {
        *text = without(text, secret);
    }
    if !cut {
        return;
    }
    let mut beginnings = (TELLING..secret.len()).rev().filter(|end| secret.is_char_boundary(*end));
    let ends_so = |end: &usize| {
        let before = text.strip_suffix(&secret[..*end]);
        before.is_some_and(|before| secret.len() >= SHORT || !goes_on(before.chars().rev()))
    };
    if let Some(end) = beginnings.find(ends_so) {
        text.truncate(text.len() - end);
        text.push_str(CONCEALED);
    }
}

fn without(text: &str, secret: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut taken = 0;
    while let Some(at) = text[taken..].find(secret).map(|at| taken + at) {
        let end = at + secret.len();
        let is_alone = !goes_on(text[..at].chars().rev()) && !goes_on(text[end..].chars());
        out.push_str(&text[taken..at]);
        out.push_str(if is_alone || secret.len() >= SHORT { CONCEALED } else { secret });
        taken = end;
    }
    out.push_str(&text[taken..]);
    out
}

/// Tells whether what follows is more of the same name, number, address or word.
fn goes_on(mut letters: impl Iterator<Item = char>) -> bool {
    match letters.next() {
        Some('-' | '.' | '/' | '@' | '+' | '\'' | '’') => letters.next().is_some_and(char::is_alphanumeric),
        letter => letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '_'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

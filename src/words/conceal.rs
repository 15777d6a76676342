//! Takes secrets out of words that come from outside.

/// A secret of fewer bytes may be a part of any word: it is known as a whole word only.
const SHORT: usize = 8;
/// The fewest bytes of a secret's beginning that tell anything of it.
const TELLING: usize = 4;
/// What stands in its place.
const CONCEALED: &str = "[redacted]";

/// Takes a secret out of a text, wherever it stands. Of one that was cut, `cut`, the end may be a secret's beginning.
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
    let beginnings = (TELLING..secret.len()).rev().filter(|end| secret.is_char_boundary(*end));
    if let Some(end) = beginnings.into_iter().find(|end| text.ends_with(&secret[..*end])) {
        text.truncate(text.len() - end);
        text.push_str(CONCEALED);
    }
}

fn without(text: &str, secret: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(secret) {
        let (before, after) = (&rest[..at], &rest[at + secret.len()..]);
        let joins = |letter: Option<char>| letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '_');
        let is_word = !joins(before.chars().next_back()) && !joins(after.chars().next());
        out.push_str(before);
        out.push_str(if is_word || secret.len() >= SHORT { CONCEALED } else { secret });
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_of_any_shape_is_taken_out_and_a_short_one_as_a_word_only() {
        for (text, secret, cut, expected) in [
            ("key sk-12345678 is wrong, sk-12345678!", "sk-12345678", false, "key [redacted] is wrong, [redacted]!"),
            ("xsk-12345678x", "sk-12345678", false, "x[redacted]x"),
            ("a test of 'test' in testing", "test", false, "a [redacted] of '[redacted]' in testing"),
            ("pass word: \"pass word\"", "pass word", false, "[redacted]: \"[redacted]\""),
            ("Schlüssel ÄÖÜ", "ÄÖÜ", false, "Schlüssel [redacted]"),
            ("what came is sk-12345", "sk-12345678", true, "what came is [redacted]"),
            ("what came is sk-12345", "sk-12345678", false, "what came is sk-12345"),
            ("what came is sk", "sk-12345678", true, "what came is sk"),
            ("nothing", "", true, "nothing"),
        ] {
            let mut said = text.to_owned();
            conceal(&mut said, secret, cut);
            assert_eq!(said, expected);
        }
    }
}

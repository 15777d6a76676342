//! Numbers that JSON has no words for. Servers in Python write them: `"logprob": -Infinity`.

/// Their words, as Python writes them.
const WORDS: [&str; 3] = ["-Infinity", "Infinity", "NaN"];

/// Returns a text of JSON with `null` in the place of such numbers, if it has any outside of its texts.
pub(super) fn finite(json: &str) -> Option<String> {
    if !(json.contains("Infinity") || json.contains("NaN")) {
        return None;
    }
    let mut finite = String::with_capacity(json.len());
    let (mut is_quoted, mut found) = (false, false);
    let mut rest = json;
    while let Some(letter) = rest.chars().next() {
        if let Some(word) = WORDS.iter().find(|word| !is_quoted && rest.starts_with(**word)) {
            finite.push_str("null");
            (rest, found) = (&rest[word.len()..], true);
            continue;
        }
        // An escape, and the letter that it is for.
        let escapes = is_quoted && letter == '\\';
        let length = rest.chars().take(1 + usize::from(escapes)).map(char::len_utf8).sum();
        is_quoted ^= letter == '"';
        finite.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    found.then_some(finite)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_that_json_has_no_words_for_become_null_and_texts_stay() {
        for (json, expected) in [
            (r#"{"a":NaN,"b":[-Infinity,Infinity]}"#, Some(r#"{"a":null,"b":[null,null]}"#)),
            (r#"{"a":"NaN","b":"\"Infinity","c":1}"#, None),
            (r#"{"a":"\\","b":NaN,"c":"-Infinity"}"#, Some(r#"{"a":"\\","b":null,"c":"-Infinity"}"#)),
            (r#"{"a":1}"#, None),
        ] {
            assert_eq!(finite(json).as_deref(), expected, "{json}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(json in r#"(NaN|-?Infinity|"|\\|[{}:,]|\PC){0,30}"#) {
            finite(&json);
        }
    }
}

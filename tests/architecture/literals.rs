//! Finds the parts of a source that are no code: comments and literals.

pub fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

/// Blanks comments, strings and characters; every other byte stays in its place.
pub fn blank(source: &str) -> String {
    blanked(source, true)
}

/// Blanks strings and characters alone.
pub fn blank_literals(source: &str) -> String {
    blanked(source, false)
}

fn blanked(source: &str, comments: bool) -> String {
    let bytes = source.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &source[at..];
        let in_word = at > 0 && is_word(bytes[at - 1]);
        let is_comment = rest.starts_with("//") || rest.starts_with("/*");
        let length = match bytes[at] {
            b'/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            b'/' if is_comment => comment(rest),
            b'"' => 1 + string(&rest[1..]),
            b'\'' => character(rest),
            b'r' | b'b' | b'c' if !in_word => raw_string(rest),
            _ => 0,
        };
        for byte in &mut out[at..at + length] {
            if *byte != b'\n' && (comments || !is_comment) {
                *byte = b' ';
            }
        }
        // Never into the middle of a character.
        at += length.max(rest.chars().next().map_or(1, char::len_utf8));
    }
    String::from_utf8(out).expect("whole characters were blanked")
}

/// Returns the length of a block comment, nested ones included.
fn comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        match &text.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// Returns the length of a string after its first quote.
fn string(text: &str) -> usize {
    let mut escaped = false;
    let end = text.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |end| end + 1)
}

/// Returns the length of a raw string, 0 where there is none.
fn raw_string(text: &str) -> usize {
    let after = text.trim_start_matches(['b', 'c']);
    let Some(after) = after.strip_prefix('r') else { return 0 };
    let quoted = after.trim_start_matches('#');
    let hashes = after.len() - quoted.len();
    let Some(body) = quoted.strip_prefix('"') else { return 0 };
    let end = format!("\"{}", "#".repeat(hashes));
    text.len() - body.len() + body.find(&end).map_or(body.len(), |at| at + end.len())
}

/// Returns the length of a character, 0 where the quote begins a lifetime.
fn character(text: &str) -> usize {
    let mut characters = text.char_indices().skip(1);
    match (characters.next(), characters.next()) {
        (Some((_, '\\')), Some((at, escaped))) => {
            let from = at + escaped.len_utf8();
            text[from..].find('\'').map_or(0, |end| from + end + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 0,
    }
}

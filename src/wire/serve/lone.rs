//! Halves of letters: a client that cuts a text in UTF-16 may part a pair of surrogates, and what it sends is no JSON.

use bytes::Bytes;

/// The mark of a letter that is not whole.
const LOST: &[u8] = br"\ufffd";

/// Returns a body in which every half of a letter is replaced; `None` where there is none.
pub(super) fn repaired(body: &[u8]) -> Option<Bytes> {
    let mut out = Vec::new();
    let (mut at, mut copied) = (0, 0);
    while let Some(found) = memchr::memchr(b'\\', &body[at..]) {
        at += found;
        match (half(body, at), half(body, at + 6)) {
            (Some(High), Some(Low)) => at += 12,
            (Some(_), _) => {
                // The mark is as long as what it stands for; growing would hold all of it twice.
                out.reserve_exact(body.len() - out.len());
                out.extend_from_slice(&body[copied..at]);
                out.extend_from_slice(LOST);
                at += 6;
                copied = at;
            }
            // Any escaped character: it is no backslash that begins an escape.
            (None, _) => at += 2,
        }
        if at >= body.len() {
            break;
        }
    }
    if copied == 0 {
        return None;
    }
    out.extend_from_slice(&body[copied..]);
    Some(out.into())
}

use Half::{High, Low};

#[derive(Clone, Copy)]
enum Half {
    High,
    Low,
}

/// Returns which half of a letter is escaped at a place, if it is one.
fn half(body: &[u8], at: usize) -> Option<Half> {
    let digits = body.get(at..at + 6)?.strip_prefix(br"\u")?;
    let unit = u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    match unit {
        0xd800..=0xdbff => Some(High),
        0xdc00..=0xdfff => Some(Low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_letter_is_replaced_and_whole_ones_stay() {
        for (given, expected) in [
            (r#"{"a":"\ud83d\ude00"}"#, None),
            (r#"{"a":"\\ud83d"}"#, None),
            (r#"{"a":"x\n"}"#, None),
            (r#"{"a":"\ud83d"}"#, Some(r#"{"a":"\ufffd"}"#)),
            (r#"{"a":"\ude00\ud83d\ude00","b":"\ud83dx"}"#, Some(r#"{"a":"\ufffd\ud83d\ude00","b":"\ufffdx"}"#)),
            (r#"{"a":"\\\ud83d"}"#, Some(r#"{"a":"\\\ufffd"}"#)),
            (r"\ud83d", Some(r"\ufffd")),
            (r"\", None),
        ] {
            assert_eq!(repaired(given.as_bytes()).as_deref(), expected.map(str::as_bytes), "{given}");
        }
    }
}

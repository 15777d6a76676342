//! Proofs that leave under a seal, and come back.

use std::borrow::Cow;

use crate::wire::seal::{DIALECTS, SEAL};
pub(super) use crate::wire::seal::{Proves, SOURCE, from_digits, issued, open, open_text, unissued};
use crate::words::{Dialect, Proof, Text};

/// Returns a proof as callers of a dialect are given it.
pub(super) fn thought(own: Dialect, proof: &Proof) -> Cow<'_, str> {
    if proof.dialect == own { Cow::Borrowed(&proof.data) } else { Cow::Owned(seal(Proves::Thought, proof)) }
}

/// Returns a proof under a seal.
pub(super) fn seal(proves: Proves, proof: &Proof) -> String {
    let dialect = DIALECTS.iter().find(|(dialect, _)| *dialect == proof.dialect).map_or("", |(_, name)| name);
    let kind = match proves {
        Proves::Thought => "thought",
        Proves::Call => "call",
    };
    let issuer = proof.issuer.as_deref().map_or_else(|| ":".to_owned(), |provider| format!("/{provider}/"));
    format!("{SEAL}{kind}:{dialect}{issuer}{}", proof.data)
}

/// Reads a proof as a caller of a dialect brings it back.
pub(super) fn proof(own: Dialect, data: Text) -> (Proves, Proof) {
    open_text(&data).unwrap_or_else(|| (Proves::Thought, Proof::new(own, data)))
}

/// Reads a proof in Google's field for one: its clients take all of them for Base64.
pub(super) fn google(data: Text) -> Proof {
    match from_digits(&data).as_deref().and_then(open) {
        Some((_, proof)) => proof,
        None => Proof::new(Dialect::Gemini, data),
    }
}

/// Writes a sealed proof for clients that take it for Base64 and bring back what they decoded: in the hexadecimal
/// digits, which are Base64 too, four by four.
pub(super) fn to_digits(sealed: &str) -> String {
    let filler = if sealed.len().is_multiple_of(2) { "" } else { "\0" };
    sealed.bytes().chain(filler.bytes()).flat_map(|byte| [byte >> 4, byte & 15]).map(digit).collect()
}

fn digit(value: u8) -> char {
    char::from_digit(u32::from(value), 16).expect("half a byte is one digit")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_to_what_it_was() {
        for (dialect, _) in DIALECTS {
            for data in ["", "ab:c", r#"{"id":"rs_1","summary":[]}"#, "redacted:x", "ü"] {
                for (proves, issuer) in
                    [(Proves::Thought, None), (Proves::Call, None), (Proves::Thought, Some("a:b c"))]
                {
                    let proof = Proof { issuer: issuer.map(Into::into), ..Proof::new(dialect, data) };
                    let sealed = seal(proves, &proof);
                    assert_eq!(open(&sealed), Some((proves, proof.clone())));
                    let digits = to_digits(&sealed);
                    assert!(digits.len().is_multiple_of(4), "{digits}");
                    assert_eq!(from_digits(&digits).as_deref().and_then(open), Some((proves, proof.clone())));
                }
            }
        }
    }

    #[test]
    fn what_has_no_seal_is_the_dialects_own() {
        for data in
            ["EqQBCgIYAhIM1gbcDa9GJwZA2b3h", "standin", "standin:call", "standin:call:nobody:x", "standin:of/a/x", ""]
        {
            assert_eq!(open(data), None, "{data}");
            assert_eq!(from_digits(data), None, "{data}");
            let (proves, proof) = proof(Dialect::Gemini, data.into());
            assert_eq!((proves, proof.dialect, proof.data.as_str()), (Proves::Thought, Dialect::Gemini, data));
        }
    }
}

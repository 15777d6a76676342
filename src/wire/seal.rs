//! Proofs on their way through a caller: out with an answer, back with the next request.
//!
//! A caller's dialect has a place for proofs of its own kind, and its clients bring back what they find there. Those of
//! another kind take that place under a seal, which says whose they are and whether they belong to the call that
//! follows. What comes back without a seal is the dialect's own: conversations may begin elsewhere.

#[cfg(any(feature = "sidecar", feature = "internals"))]
use std::borrow::Cow;

use crate::words::{Dialect, Proof};

/// How a seal begins. No provider's proof does: they are Base64, JSON, or begin with a word of their own.
pub(super) const SEAL: &str = "standin:";

/// What stands in the place of what a provider would want back with a source that it did not find itself.
pub(super) const SOURCE: &str = "standin:source:";

/// What a proof proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proves {
    /// The thought it stands with.
    Thought,
    /// The call that follows.
    Call,
}

const DIALECTS: [(Dialect, &str); 5] = [
    (Dialect::OpenAiChat, "openai"),
    (Dialect::OpenAiResponses, "responses"),
    (Dialect::AnthropicMessages, "anthropic"),
    (Dialect::Gemini, "gemini"),
    (Dialect::Vertex, "vertex"),
];

/// Returns a proof as callers of a dialect are given it.
#[cfg(any(feature = "sidecar", feature = "internals"))]
pub(super) fn thought(own: Dialect, proof: &Proof) -> Cow<'_, str> {
    if proof.dialect == own { Cow::Borrowed(&proof.data) } else { Cow::Owned(seal(Proves::Thought, proof)) }
}

/// Returns a proof under a seal.
#[cfg(any(feature = "sidecar", feature = "internals"))]
pub(super) fn seal(proves: Proves, proof: &Proof) -> String {
    let dialect = DIALECTS.iter().find(|(dialect, _)| *dialect == proof.dialect).map_or("", |(_, name)| name);
    let kind = match proves {
        Proves::Thought => "thought",
        Proves::Call => "call",
    };
    format!("{SEAL}{kind}:{dialect}:{}", proof.data)
}

/// Takes a proof from under its seal; `None` where there is no seal.
pub(super) fn open(sealed: &str) -> Option<(Proves, Proof)> {
    let (kind, rest) = sealed.strip_prefix(SEAL)?.split_once(':')?;
    let (dialect, data) = rest.split_once(':')?;
    let (dialect, _) = DIALECTS.iter().find(|(_, name)| *name == dialect)?;
    let proves = if kind == "call" { Proves::Call } else { Proves::Thought };
    Some((proves, Proof::new(*dialect, data.to_owned())))
}

/// Reads a proof as a caller of a dialect brings it back.
#[cfg(any(feature = "sidecar", feature = "internals"))]
pub(super) fn proof(own: Dialect, data: String) -> (Proves, Proof) {
    open(&data).unwrap_or((Proves::Thought, Proof::new(own, data)))
}

/// Writes a sealed proof for clients that take it for Base64 and bring back what they decoded: in the hexadecimal
/// digits, which are Base64 too, four by four.
#[cfg(any(feature = "sidecar", feature = "internals"))]
pub(super) fn to_digits(sealed: &str) -> String {
    let filler = if sealed.len().is_multiple_of(2) { "" } else { "\0" };
    sealed.bytes().chain(filler.bytes()).flat_map(|byte| [byte >> 4, byte & 15]).map(digit).collect()
}

/// Takes a proof from under a seal that is written in digits.
pub(super) fn open_digits(digits: &str) -> Option<(Proves, Proof)> {
    from_digits(digits).as_deref().and_then(open)
}

/// Reads what [`to_digits`] wrote; `None` where it is none of that.
pub(super) fn from_digits(digits: &str) -> Option<String> {
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let bytes: Option<Vec<u8>> =
        digits.as_bytes().chunks(2).map(|pair| Some(value(pair[0])? << 4 | value(*pair.get(1)?)?)).collect();
    let text = String::from_utf8(bytes?).ok()?;
    text.starts_with(SEAL).then(|| text.trim_end_matches('\0').to_owned())
}

#[cfg(any(feature = "sidecar", feature = "internals"))]
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
                let proof = Proof::new(dialect, data.to_owned());
                for proves in [Proves::Thought, Proves::Call] {
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
        for data in ["EqQBCgIYAhIM1gbcDa9GJwZA2b3h", "standin", "standin:call", "standin:call:nobody:x", ""] {
            assert_eq!(open(data), None, "{data}");
            assert_eq!(from_digits(data), None, "{data}");
            let (proves, proof) = proof(Dialect::Gemini, data.to_owned());
            assert_eq!((proves, proof.dialect, proof.data.as_str()), (Proves::Thought, Dialect::Gemini, data));
        }
    }
}

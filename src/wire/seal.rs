//! Proofs on their way through a caller: out with an answer, back with the next request.
//!
//! A caller's dialect has a place for proofs of its own kind, and its clients bring back what they find there. Proofs
//! of another kind take that place under a seal, which names their owner and says whether they belong to the call that
//! follows. A proof that comes back without a seal is the dialect's own: conversations may begin elsewhere.

use crate::words::{Dialect, Proof};

/// How a seal begins. No provider's proof begins so: they are Base64, JSON, or begin with a word of their own.
pub(super) const SEAL: &str = "standin:";

/// The substitute for the proof of a source that its provider did not find itself.
pub(super) const SOURCE: &str = "standin:source:";

/// What a proof belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proves {
    /// The thought it comes with.
    Thought,
    /// The call that follows.
    Call,
}

pub(super) const DIALECTS: [(Dialect, &str); 5] = [
    (Dialect::OpenAiChat, "openai"),
    (Dialect::OpenAiResponses, "responses"),
    (Dialect::AnthropicMessages, "anthropic"),
    (Dialect::Gemini, "gemini"),
    (Dialect::Vertex, "vertex"),
];

/// Takes a proof from under its seal; `None` where there is no seal.
pub(super) fn open(sealed: &str) -> Option<(Proves, Proof)> {
    let (kind, rest) = sealed.strip_prefix(SEAL)?.split_once(':')?;
    let (dialect, data) = rest.split_once(':')?;
    let (dialect, _) = DIALECTS.iter().find(|(_, name)| *name == dialect)?;
    let proves = if kind == "call" { Proves::Call } else { Proves::Thought };
    Some((proves, Proof::new(*dialect, data.to_owned())))
}

/// Takes a proof from under a seal that is written in digits.
pub(super) fn open_digits(digits: &str) -> Option<(Proves, Proof)> {
    from_digits(digits).as_deref().and_then(open)
}

/// Reads what a seal in hexadecimal digits says; `None` where it is none.
pub(super) fn from_digits(digits: &str) -> Option<String> {
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let bytes: Option<Vec<u8>> =
        digits.as_bytes().chunks(2).map(|pair| Some(value(pair[0])? << 4 | value(*pair.get(1)?)?)).collect();
    let text = String::from_utf8(bytes?).ok()?;
    text.starts_with(SEAL).then(|| text.trim_end_matches('\0').to_owned())
}

//! Proofs on their way through a caller: out with an answer, back with the next request.
//!
//! A caller's dialect has a place for proofs of its own kind, and its clients bring back what they find there. Proofs
//! of another kind take that place under a seal, which names their owner and says whether they belong to the call that
//! follows. A thought that only one account can read carries its provider's name, in its own dialect too. A proof that
//! comes back without a seal is the dialect's own: conversations may begin elsewhere.

use std::borrow::Cow;
use std::sync::Arc;

use super::edit::{Edits, find, quoted, text};
use crate::words::{Dialect, Proof, Text, hex};

/// How a seal begins. No provider's proof begins so: they are Base64, JSON, or begin with a word of their own.
pub(super) const SEAL: &str = "standin:";

/// The substitute for the proof of a source that its provider did not find itself.
pub(super) const SOURCE: &str = "standin:source:";

/// How an encrypted thought begins that names the provider which encrypted it. Names of providers have no slash.
const ISSUED: &str = "standin:of/";

/// The field of an encrypted thought, in the item that holds it.
const ENCRYPTED: &str = "encrypted_content";

/// The proof for tool calls of other models, from Google's documentation.
pub(super) const NO_PROOF: &str = "skip_thought_signature_validator";

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
    opened(sealed, |data| data.to_owned().into())
}

/// The same of a text, which the proof is a part of. No more of it is decoded than is needed.
#[cfg(any(feature = "sidecar", feature = "internals"))]
pub(super) fn open_text(sealed: &Text) -> Option<(Proves, Proof)> {
    sealed.starts_with(SEAL).then(|| opened(sealed, |data| sealed.slice(data)))?
}

fn opened(sealed: &str, data_of: impl FnOnce(&str) -> Text) -> Option<(Proves, Proof)> {
    let (kind, rest) = sealed.strip_prefix(SEAL)?.split_once(':')?;
    let proves = match kind {
        "call" => Proves::Call,
        "thought" => Proves::Thought,
        _ => return None,
    };
    let (dialect, rest) = rest.split_at(rest.find([':', '/'])?);
    let (dialect, _) = DIALECTS.iter().find(|(_, name)| *name == dialect)?;
    let (issuer, data) = match rest.strip_prefix('/') {
        Some(named) => named.split_once('/').map(|(issuer, data)| (Some(issuer.into()), data))?,
        None => (None, &rest[1..]),
    };
    Some((proves, Proof { issuer, ..Proof::new(*dialect, data_of(data)) }))
}

/// Parts an encrypted thought into the provider that encrypted it and what that wrote; `None` where no name is on it.
pub(super) fn issuer(encrypted: &str) -> Option<(&str, &str)> {
    encrypted.strip_prefix(ISSUED)?.split_once('/')
}

/// Puts the provider's name on a thought that it encrypted, an item of responses; `None` where nothing is encrypted.
#[cfg(any(feature = "sidecar", feature = "internals"))]
pub(super) fn issued(item: &str, provider: &str) -> Option<String> {
    let mut edits = Edits::new(item);
    issue(item, provider, &mut edits);
    if edits.is_empty() { None } else { Some(edits.finish().into_owned()) }
}

/// The same within a longer text.
pub(super) fn issue<'a>(item: &'a str, provider: &str, edits: &mut Edits<'a>) {
    let is_thought = find(item, &["type"]).and_then(text).as_deref() == Some("reasoning");
    let Some(value) = find(item, &[ENCRYPTED]).filter(|_| is_thought) else { return };
    if let Some(data) = text(value).filter(|data| !data.is_empty() && !data.starts_with(SEAL)) {
        edits.replace(value, quoted(&format!("{ISSUED}{provider}/{data}")));
    }
}

/// Takes the provider's name from such an item.
pub(super) fn unissued(item: &str) -> (Option<Arc<str>>, Cow<'_, str>) {
    let Some(value) = find(item, &[ENCRYPTED]) else { return (None, item.into()) };
    let data = text(value).unwrap_or_default();
    let Some((provider, data)) = issuer(&data) else { return (None, item.into()) };
    let mut edits = Edits::new(item);
    edits.replace(value, quoted(data));
    (Some(provider.into()), edits.finish())
}

/// Takes a proof from under a seal that is written in digits.
pub(super) fn open_digits(digits: &str) -> Option<(Proves, Proof)> {
    from_digits(digits).as_deref().and_then(open)
}

/// Reads what a seal in hexadecimal digits says; `None` where it is none.
pub(super) fn from_digits(digits: &str) -> Option<String> {
    // Most proofs are none of ours, and are long.
    if hex::decode(digits.get(..2 * SEAL.len())?)? != SEAL.as_bytes() {
        return None;
    }
    let text = String::from_utf8(hex::decode(digits)?).ok()?;
    Some(text.trim_end_matches('\0').to_owned())
}

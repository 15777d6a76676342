//! The content of a thought's proof: the model that thought, whether the text can be read, and the provider's
//! signature.
//!
//! A signature is valid only for the model that thought; any other refuses it, and the conversation with it. So the
//! proof begins with its maker, as far as its name tells that: `opus-4.8:ErUB…`, or `other:…` where that is no Claude.

use super::models::maker;
use crate::words::{Dialect, Proof, Reasoning};

/// The mark before a redacted thought. A signature is Base64 and has no colon, and signed reasoning, too, may come
/// without text.
pub(in crate::wire) const REDACTED: &str = "redacted:";

/// Wraps the proof of a thought of this maker.
pub(super) fn wrap(maker: Option<String>, is_redacted: bool, data: &str) -> Proof {
    // One that went on as it came may have its maker's name on it already.
    let Parted { maker: named, data, .. } = parted(data);
    let maker = named.map(str::to_owned).or(maker);
    let maker = maker.map_or_else(String::new, |maker| format!("{maker}:"));
    let redacted = if is_redacted { REDACTED } else { "" };
    Proof::new(Dialect::AnthropicMessages, format!("{redacted}{maker}{data}"))
}

/// A thought that its model takes back.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Thought<'a> {
    Signed { text: &'a str, signature: &'a str },
    Redacted(&'a str),
}

/// Returns a thought only for the model that thought it. A thought of an unknown maker goes to all.
pub(super) fn unwrap<'a>(reasoning: &'a Reasoning, model: &str) -> Option<Thought<'a>> {
    let Reasoning { text, proof: Some(Proof { dialect: Dialect::AnthropicMessages, data, .. }) } = reasoning else {
        return None;
    };
    let Parted { maker: made_by, is_redacted, data } = parted(data);
    if made_by.is_some_and(|made_by| maker(model).as_deref() != Some(made_by)) {
        return None;
    }
    Some(if is_redacted { Thought::Redacted(data) } else { Thought::Signed { text, signature: data } })
}

/// The parts of a proof.
pub(super) struct Parted<'a> {
    /// The maker of the thought, where one is named.
    pub(super) maker: Option<&'a str>,
    is_redacted: bool,
    /// What the provider wrote.
    pub(super) data: &'a str,
}

/// Parts a proof; the mark of a redacted one may also stand behind its maker.
pub(super) fn parted(data: &str) -> Parted<'_> {
    let bare = |data| str::strip_prefix(data, REDACTED).map_or((false, data), |data| (true, data));
    let (is_redacted, data) = bare(data);
    match data.split_once(':') {
        Some((maker, data)) => {
            let (is_too, data) = bare(data);
            Parted { maker: Some(maker), is_redacted: is_redacted || is_too, data }
        }
        None => Parted { maker: None, is_redacted, data },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thought_goes_back_to_its_maker_under_any_name() {
        let table = [
            (Some("claude-sonnet-4-5-20250929"), "claude-sonnet-4-5", true),
            (Some("claude-sonnet-4-5-20250929"), "claude-sonnet-4-5@20250929", true),
            (Some("claude-sonnet-4-20250514"), "claude-sonnet-4-0", true),
            (Some("claude-3-5-haiku-20241022"), "anthropic/claude-3.5-haiku", true),
            (Some("claude-opus-4-8"), "claude-opus-4-7", false),
            (Some("claude-opus-4-5-20251101"), "claude-sonnet-4-5", false),
            (Some("claude-opus-4-8"), "glm-5", false),
            (Some("claude-opus-4-8"), "claude", false),
            (Some("glm-5"), "glm-5-air", true),
            (Some("deepseek-v4-pro"), "deepseek-v4-pro", true),
            (Some("deepseek-v4-pro"), "claude-opus-4-8", false),
            (Some("claude"), "claude-opus-4-8", true),
            (None, "claude-opus-4-8", true),
        ];
        for (by, to, expected) in table {
            for (is_redacted, expected_data) in [(false, "ErUB=="), (true, "RrUB==")] {
                let proof = Some(wrap(by.and_then(maker), is_redacted, expected_data));
                let reasoning = Reasoning { text: "Hm.".into(), proof };
                let thought = if is_redacted {
                    Thought::Redacted(expected_data)
                } else {
                    Thought::Signed { text: "Hm.", signature: expected_data }
                };
                assert_eq!(unwrap(&reasoning, to), expected.then_some(thought), "{by:?} to {to}");
            }
        }
    }

    #[test]
    fn a_thought_of_another_dialect_is_left_out() {
        let proof = Some(Proof::new(Dialect::Gemini, "ErUB=="));
        assert_eq!(unwrap(&Reasoning { text: "Hm.".into(), proof }, "claude-opus-4-8"), None);
        assert_eq!(unwrap(&Reasoning::from("Hm.".to_owned()), "claude-opus-4-8"), None);
    }
}

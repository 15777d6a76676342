//! Ids and names in the forms that providers take: the same text always becomes the same one.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Ids of tool calls that a provider takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IdForm {
    /// Any.
    Any,
    /// At most this many characters.
    Max(usize),
    /// Exactly this many letters and digits, at most eleven.
    Alphanumeric(usize),
}

impl IdForm {
    /// Returns an id of this form: the same for the same id, so that a call and its result still fit together.
    pub(super) fn fit(self, id: &str) -> Cow<'_, str> {
        let (fits, chars) = match self {
            Self::Any => (true, 0),
            Self::Max(max) => (id.chars().count() <= max, 11),
            Self::Alphanumeric(chars) => {
                (id.len() == chars && id.bytes().all(|byte| byte.is_ascii_alphanumeric()), chars)
            }
        };
        if fits { Cow::Borrowed(id) } else { Cow::Owned(digest(id, chars)) }
    }
}

/// Returns letters and digits that stand for a text, at most eleven: what 64 bits hold.
pub(super) fn digest(text: &str, chars: usize) -> String {
    const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let mut rest = hasher.finish();
    let mut letter = || {
        let at = rest % 62;
        rest /= 62;
        char::from(LETTERS[usize::try_from(at).unwrap_or_default()])
    };
    (0..chars).map(|_| letter()).collect()
}

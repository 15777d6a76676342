//! Encrypted thoughts. They are not really encrypted, but sealed, so that a forged or changed one, or one of another
//! account, is noticed.

use crate::words::fnv::{FNV1A, fnv1a};

/// How every encrypted thought begins, as those of the real one do.
const BEGIN: &str = "gAAAAAB";

/// Digits of a hash.
const DIGITS: usize = 16;

/// A fault of an encrypted thought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ThoughtFault {
    /// It is not from this provider, or expired, or another account's.
    Unreadable,
    /// It is another item's.
    OtherItem,
}

/// Seals a thought for an account, as the content of an item.
pub(super) fn seal(account: &str, item: &str, thought: &str) -> String {
    let thought = hash(&[thought]);
    let mac = hash(&[account, item, &thought]);
    format!("{BEGIN}{thought}{mac}{item}==")
}

/// Checks what came back, as an item's content if that has an id.
pub(super) fn check(account: &str, item: Option<&str>, sealed: &str) -> Result<(), ThoughtFault> {
    let inner = sealed.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix("==")).ok_or(ThoughtFault::Unreadable)?;
    let (thought, rest) = inner.split_at_checked(DIGITS).ok_or(ThoughtFault::Unreadable)?;
    let (mac, sealed_item) = rest.split_at_checked(DIGITS).ok_or(ThoughtFault::Unreadable)?;
    if mac != hash(&[account, sealed_item, thought]) {
        return Err(ThoughtFault::Unreadable);
    }
    if item.is_some_and(|item| item != sealed_item) { Err(ThoughtFault::OtherItem) } else { Ok(()) }
}

/// Returns the hash of texts, each with its end. No secret is safe with it, and none is here: it only has to
/// be the same in every run.
fn hash(texts: &[&str]) -> String {
    let bytes = texts.iter().flat_map(|text| text.bytes().chain([0xFF]));
    format!("{:016x}", fnv1a(FNV1A, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_account_and_the_item_it_was_sealed_for_can_bring_a_thought_back() {
        let sealed = seal("host key", "rs_1", "Hm.");
        assert_eq!(check("host key", Some("rs_1"), &sealed), Ok(()));
        assert_eq!(check("host key", None, &sealed), Ok(()));
        assert_eq!(check("host key", Some("rs_2"), &sealed), Err(ThoughtFault::OtherItem));
        assert_eq!(check("host other", Some("rs_1"), &sealed), Err(ThoughtFault::Unreadable));
        assert_ne!(sealed, seal("host key", "rs_1", "Hm!"));
        for at in 0..sealed.len() {
            let mut forged = sealed.clone().into_bytes();
            forged[at] ^= 1;
            let forged = String::from_utf8(forged).unwrap();
            assert_eq!(check("host key", None, &forged), Err(ThoughtFault::Unreadable), "{forged}");
            assert_eq!(check("host key", None, &sealed[..at]), Err(ThoughtFault::Unreadable));
        }
    }
}

//! Where records are kept, as configured.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::source::KeySource;
use crate::words::{base64, hex};

/// Where records are kept, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoreSpec {
    pub(crate) path: PathBuf,
    /// How long each record is kept.
    pub(crate) keep: Duration,
    /// How long the sums of each hour are kept.
    pub(crate) keep_totals: Duration,
    /// How long durable calls are kept after their end.
    pub(crate) durable_for: Duration,
    /// The largest size of all but durable calls, in bytes.
    pub(crate) bytes_max: u64,
    /// The largest size of durable calls.
    pub(crate) durable_bytes_max: u64,
    /// Whether the state of providers is kept for the next process, too.
    pub(crate) warm: bool,
    /// Where the keys are that seal durable calls: the first seals, all open.
    pub(crate) encryption_keys: Vec<KeySource>,
}

/// A key that seals and opens.
pub(crate) struct EncryptionKey([u8; 32]);

impl EncryptionKey {
    /// The forms of a key, for errors.
    pub(crate) const FORMS: &str =
        "32 bytes as 64 hexadecimal digits or as base64, as `openssl rand -hex 32` makes them";

    /// Reads a key as people write it.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let bytes = if text.len() == 64 { hex::decode(text)? } else { base64::decode(text)? };
        bytes.try_into().ok().map(Self)
    }

    pub(crate) fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EncryptionKey(..)")
    }
}

/// What was spent out of one account in one step of its budget's period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PastSpend {
    /// The place of its budget.
    pub(crate) budget: usize,
    pub(crate) account: String,
    /// In the budget's unit.
    pub(crate) amount: i64,
    pub(crate) step: i64,
}

/// What attempts in flight may still cost out of one account, as another process tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReservedSpend {
    /// The name of its budget.
    pub(crate) budget: String,
    pub(crate) account: String,
    /// In the budget's unit.
    pub(crate) amount: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_32_bytes_as_hex_or_base64_and_nothing_else() {
        let bytes: [u8; 32] = std::array::from_fn(|at| u8::try_from(at * 7).expect("small"));
        let hex = bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        let base64 = "AAcOFRwjKjE4P0ZNVFtiaXB3foWMk5qhqK+2vcTL0tk=";
        for text in [&hex, &hex.to_uppercase(), base64, base64.trim_end_matches('=')] {
            assert_eq!(EncryptionKey::read(text).expect(text).expose(), &bytes, "{text}");
        }
        for text in [
            "",
            "short",
            &hex[1..],
            &format!("{hex}0"),
            &hex.replace('0', "g"),
            &base64[4..],
            &base64.replace('+', "!"),
        ] {
            assert!(EncryptionKey::read(text).is_none(), "{text}");
        }
        let key = EncryptionKey::read(base64).expect("a key");
        assert_eq!(format!("{key:?}"), "EncryptionKey(..)");
    }
}

//! A choice of words, by its name.

use serde::{Deserialize, Deserializer, Serializer, de};

use crate::words::Hedging;

#[expect(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "serde hands it so")]
pub(super) fn serialize<S: Serializer>(hedging: &Option<Hedging>, serializer: S) -> Result<S::Ok, S::Error> {
    match hedging {
        Some(hedging) => serializer.serialize_str(hedging.name()),
        None => serializer.serialize_none(),
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Hedging>, D::Error> {
    let name = String::deserialize(deserializer)?;
    let known = Hedging::named(&name);
    known.map(Some).ok_or_else(|| de::Error::unknown_variant(&name, &Hedging::NAMES))
}

//! Google's signatures in chat completions: at its own address of this dialect, and through gateways that pass on what
//! they do not know.

use serde_json::value::RawValue;

use crate::wire::edit::find;
use crate::wire::flavour::Flavour;
use crate::wire::model::Model;
use crate::words::{Dialect, Proof, without_path};

/// The field that holds a signature, in a call and in a message.
pub(super) const FIELD: &str = "extra_content";

/// Reads the signature in the field.
pub(super) fn signature(field: Option<&RawValue>) -> Option<Proof> {
    let signature = find(field?.get(), &["google", "thought_signature"])?;
    let signature: String = serde_json::from_str(signature).ok()?;
    (!signature.is_empty()).then(|| Proof::new(Dialect::Gemini, signature))
}

/// Returns the content of the field.
pub(super) fn field(signature: &str) -> serde_json::Value {
    serde_json::json!({"google": {"thought_signature": signature}})
}

/// Tells whether a model wants a signature of every first call: Gemini from 3 on, at a server that is not known to
/// refuse such a field.
pub(super) fn wants(flavour: &Flavour, model: Model<'_>) -> bool {
    let Some(rest) = without_path(model.family).strip_prefix("gemini-") else { return false };
    let generation = rest.split(['-', '.']).next().and_then(|number| number.parse::<u8>().ok());
    flavour.is_generic() && (generation.is_some_and(|number| number >= 3) || rest.ends_with("-latest"))
}

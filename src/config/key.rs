//! A key as a user sets it.

use serde::Deserialize;

use crate::words::Secret;

/// One key.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "KeyForm")]
pub struct KeyConfig {
    /// What the ledger and events call it. `key-1`, `key-2`, … where absent.
    pub name: Option<String>,
    /// The key itself.
    pub value: Secret,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum KeyForm {
    Value(String),
    Named { name: Option<String>, value: String },
}

impl From<KeyForm> for KeyConfig {
    fn from(form: KeyForm) -> Self {
        let (name, value) = match form {
            KeyForm::Value(value) => (None, value),
            KeyForm::Named { name, value } => (name, value),
        };
        Self { name, value: Secret::new(value) }
    }
}

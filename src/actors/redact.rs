//! Removes secrets from providers' texts.
//!
//! Input: texts as providers wrote them. Output: the same texts without any key that was sent or is configured, tidied
//! after that: no text is cut or put into one line before.

use super::key::Key;
use super::table::Table;
use crate::wire;
use crate::words::{Drift, Failure, Secret, conceal};

/// All secrets: those that an attempt sent, and all that are configured.
fn secrets(table: &Table, sent: &[Option<Secret>]) -> Vec<Secret> {
    let keys = table.providers.iter().flat_map(|provider| &provider.keys);
    sent.iter().flatten().cloned().chain(keys.filter_map(Key::known)).collect()
}

/// Removes them from a failure's text.
pub(super) fn failure(table: &Table, sent: &[Option<Secret>], mut failure: Failure) -> Failure {
    let secrets = secrets(table, sent);
    for text in std::iter::once(&mut failure.message).chain(&mut failure.code).chain(&mut failure.param) {
        // Then it was cut, perhaps within a secret; all but a letter of its end.
        let cut = text.len() + char::MAX_LEN_UTF8 > wire::WORDS_BYTES_MAX;
        for secret in &secrets {
            conceal(text, secret.expose(), cut);
        }
        *text = wire::tidy(text);
    }
    failure
}

/// Removes unknown names that hold a secret.
pub(super) fn names(table: &Table, sent: &[Option<Secret>], drift: &mut [Drift]) {
    if drift.is_empty() {
        return;
    }
    let secrets = secrets(table, sent);
    for one in drift {
        let mut name = one.name.to_string();
        for secret in &secrets {
            conceal(&mut name, secret.expose(), true);
        }
        if *name != *one.name {
            one.name = "?".into();
        }
    }
}

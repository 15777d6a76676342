//! A key as configured: its name and its source.

use std::sync::Arc;
use std::time::Duration;

use crate::source::KeySource;

/// One key of a provider.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct KeySpec {
    /// Its name in the ledger and in events.
    pub(crate) name: Arc<str>,
    /// Its source; `None` if the provider needs no key.
    pub(crate) source: Option<KeySource>,
    /// How long a secret is good after it was read, if its source does not say.
    pub(crate) expires_in: Option<Duration>,
}

impl KeySpec {
    /// Tells whether a secret that was read for one key is good for the other, whatever their names.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.source == other.source && self.expires_in == other.expires_in
    }

    /// Tells whether its source may give another secret some day.
    pub(crate) fn may_change(&self) -> bool {
        self.source.as_ref().is_some_and(|source| !matches!(source, KeySource::Value(_)))
    }
}

//! The part of the store that belongs to one durable call, as its writer uses it.

use std::sync::Arc;
use std::time::Duration;

use crate::policy::durable_store::{CallSelector, DurableStore, Item, KeptCall};
use crate::words::{CallId, Error};

/// The longest that a caller waits for its call to be kept, and a call to be noted as sent.
const WRITE_MAX: Duration = Duration::from_secs(10);

/// Keeps one call. Cheap to clone.
#[derive(Clone)]
pub(super) struct CallJournal {
    durable_store: Arc<dyn DurableStore>,
    id: CallId,
    /// In how many processes before this one it was about to be sent.
    sent: u32,
}

impl CallJournal {
    pub(super) fn new(durable_store: Arc<dyn DurableStore>, id: CallId, sent: u32) -> Self {
        Self { durable_store, id, sent }
    }

    /// Keeps the call before it is accepted. A call that could not be kept in time is forgotten in the store, too.
    pub(super) async fn accept(&self, call: &KeptCall) -> Result<(), Error> {
        let why = match tokio::time::timeout(WRITE_MAX, self.durable_store.accept(call)).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(why)) => why.to_string(),
            Err(_) => "the store does not write; `store.problem` in health says why".to_owned(),
        };
        let forgotten = self.durable_store.forget(CallSelector::Call(self.id));
        let _ = tokio::time::timeout(Duration::ZERO, forgotten).await;
        Err(Error::NotDurable(why))
    }

    /// Keeps that the call is about to be sent.
    pub(super) async fn sent(&self) {
        if tokio::time::timeout(WRITE_MAX, self.durable_store.sent(self.id, self.sent + 1)).await.is_err() {
            tracing::warn!(id = %self.id, "a durable call is sent though the store does not write");
        }
    }

    /// Keeps items before they are delivered, however long that takes.
    pub(super) async fn tell(&self, at: usize, items: &[Item]) {
        if let Err(why) = self.durable_store.tell(self.id, at, items).await {
            tracing::error!(id = %self.id, %why, "what a durable call said is not kept");
        }
    }
}

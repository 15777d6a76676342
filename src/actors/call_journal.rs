//! The part of the store that belongs to one durable call, as its writer uses it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::blocking_pool::BlockingPool;
use crate::policy::durable_store::{CallSelector, DurableStore, Item, KeptCall};
use crate::words::{CallId, Error, Failure, FailureClass};

/// The longest that a caller waits for its call to be kept.
const WRITE_MAX: Duration = Duration::from_secs(10);

/// Keeps one call. Cheap to clone.
#[derive(Clone)]
pub(super) struct CallJournal {
    durable_store: Arc<dyn DurableStore>,
    id: CallId,
    /// In how many processes before this one it was about to be sent.
    sent: u32,
    /// The file that it is kept in: how many were lost before.
    file: Arc<AtomicU64>,
}

impl CallJournal {
    pub(super) fn new(durable_store: Arc<dyn DurableStore>, id: CallId) -> Self {
        let file = Arc::new(durable_store.files().into());
        Self { durable_store, id, sent: 0, file }
    }

    /// Returns the journal of a call that was about to be sent in `sent` processes before this one.
    pub(super) fn sent_before(&self, sent: u32) -> Self {
        Self { sent, ..self.clone() }
    }

    /// Keeps the call before it is accepted. A call that could not be kept in time is forgotten in the store, too.
    pub(super) async fn accept(&self, call: &KeptCall) -> Result<(), Error> {
        let why = match tokio::time::timeout(WRITE_MAX, self.durable_store.accept(call)).await {
            Ok(Ok(_)) => {
                self.file.store(self.durable_store.files(), Relaxed);
                return Ok(());
            }
            Ok(Err(why)) => why.to_string(),
            Err(_) => "the store does not write; `store.problem` in health says why".to_owned(),
        };
        let forgotten = self.durable_store.forget(CallSelector::Call(self.id));
        let _ = tokio::time::timeout(Duration::ZERO, forgotten).await;
        Err(Error::NotDurable(why))
    }

    /// Keeps that the call is about to be sent. A call of which that is not kept is not sent: it waits until its
    /// deadline.
    pub(super) async fn sent(&self, deadline: Instant) -> Result<(), Error> {
        let noted = self.durable_store.sent(self.id, self.sent + 1);
        match tokio::time::timeout_at(deadline.into(), noted).await {
            Ok(Ok(0)) => Err(self.why_not_there()),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(why)) => Err(Error::NotDurable(why.to_string())),
            Err(_) => Err(Error::DeadlineExceeded { attempts: Vec::new() }),
        }
    }

    /// Keeps items before they are delivered, however long that takes. Tells whether they are the call's: not where it
    /// was forgotten, or another process wrote in their place.
    pub(super) async fn tell(&self, at: usize, items: &[Item]) -> Result<bool, Error> {
        if items.is_empty() {
            return Ok(false);
        }
        match self.durable_store.tell(self.id, at, items).await {
            Ok(0) if self.is_lost() => Err(self.why_not_there()),
            Ok(changed) => Ok(changed > 0),
            Err(why) => {
                tracing::error!(id = %self.id, %why, "what a durable call said is not kept");
                Err(Error::NotDurable(why.to_string()))
            }
        }
    }

    /// Returns why a call that was kept is not there, or has ended without this process.
    pub(super) fn why_not_there(&self) -> Error {
        if !self.is_lost() {
            // Another process has ended it, or it was forgotten.
            return Error::Cancelled;
        }
        let what = "the file that kept this call was deleted or moved: what was told of it before is there";
        Error::Interrupted { failure: Failure::new(FailureClass::LocalShortage, what), attempts: Vec::new() }
    }

    /// Tells whether the file that it was kept in was deleted or moved.
    fn is_lost(&self) -> bool {
        self.durable_store.files() != self.file.load(Relaxed)
    }

    /// Tells whether the call may be taken up: no process that could still work on it lives.
    pub(super) fn may_take_over(&self) -> bool {
        self.durable_store.may_take_over()
    }

    /// Reads what was told from a place on; `None` where the call was forgotten.
    pub(super) async fn told(&self, pool: &BlockingPool, from: usize) -> Result<Option<Vec<Item>>, Error> {
        let (durable_store, id) = (self.durable_store.clone(), self.id);
        Ok(pool.run(true, move || durable_store.told(id, from)).await?)
    }

    /// Reads the call; `None` where it was forgotten.
    pub(super) async fn call(&self, pool: &BlockingPool) -> Result<Option<KeptCall>, Error> {
        let (durable_store, id) = (self.durable_store.clone(), self.id);
        Ok(pool.run(true, move || durable_store.call(id)).await?)
    }
}

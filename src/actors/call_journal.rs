//! The part of the store that belongs to one durable call, as its writer uses it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::blocking_pool::BlockingPool;
use crate::policy::durable_store::{CallSelector, DurableStore, Item, KeptCall, Written};
use crate::words::{CallId, Error, Failure, FailureClass};

/// The longest that a caller waits for something to be written.
pub(super) const WRITE_MAX: Duration = Duration::from_secs(10);
/// Why it waits no longer.
pub(super) const NOT_WRITTEN: &str = "the store does not write; `store.problem` in health says why";

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
    /// Returns the journal of a call that was read from a file, or is to be accepted.
    pub(super) fn new(durable_store: Arc<dyn DurableStore>, id: CallId, file: u64) -> Self {
        Self { durable_store, id, sent: 0, file: Arc::new(file.into()) }
    }

    /// Returns the journal of a call that was about to be sent in `sent` processes before this one.
    pub(super) fn sent_before(&self, sent: u32) -> Self {
        Self { sent, ..self.clone() }
    }

    /// Keeps the call before it is accepted. A call that could not be kept in time is forgotten in the store, too.
    pub(super) async fn accept(&self, call: &KeptCall) -> Result<(), Error> {
        let why = match tokio::time::timeout(WRITE_MAX, self.durable_store.accept(call)).await {
            Ok(Ok(kept)) => {
                self.file.store(kept.file, Relaxed);
                return Ok(());
            }
            Ok(Err(why)) => why.to_string(),
            Err(_) => NOT_WRITTEN.to_owned(),
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
            Ok(Ok(Written { changed: 0, file })) => Err(self.why_not_in(file)),
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
            Ok(Written { changed: 0, file }) if self.is_lost_in(file) => Err(self.why_not_in(file)),
            Ok(told) => Ok(told.changed > 0),
            Err(why) => {
                tracing::error!(id = %self.id, %why, "what a durable call said is not kept");
                Err(Error::NotDurable(why.to_string()))
            }
        }
    }

    /// Returns why a call that was kept is not there, or has ended without this process.
    pub(super) fn why_not_there(&self) -> Error {
        self.why_not_in(self.durable_store.files())
    }

    /// Returns the same of a file that it was looked for in.
    fn why_not_in(&self, file: u64) -> Error {
        if !self.is_lost_in(file) {
            // Another process has ended it, or it was forgotten.
            return Error::Cancelled;
        }
        let what = "the file that kept this call was deleted or moved: what was told of it before is there";
        Error::Interrupted { failure: Failure::new(FailureClass::LocalShortage, what), attempts: Vec::new() }
    }

    /// Tells whether the file that it was kept in was deleted or moved before this one was begun.
    fn is_lost_in(&self, file: u64) -> bool {
        file != self.file.load(Relaxed)
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

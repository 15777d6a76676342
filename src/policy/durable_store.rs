//! The interface of a store that keeps durable calls, and what is known of providers, beyond the process.

use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

#[cfg(feature = "store")]
use super::memory::Memory;
use super::store_health::StoreHealth;
use crate::words::{CallId, ChatRequest, Durable, Error, ReplyEvent};

/// An item that a reader gets of a call. `Finished` or an error is the last.
pub type Item = Result<ReplyEvent, Error>;

/// Tells whether nothing follows an item.
pub const fn is_last(item: &Item) -> bool {
    matches!(item, Ok(ReplyEvent::Finished(_)) | Err(_))
}

/// A durable call, as it is kept.
#[derive(Clone, Debug)]
pub struct KeptCall {
    /// Its id: the same after every restart.
    pub id: CallId,
    /// When it was accepted.
    pub begun_at: SystemTime,
    /// Its request.
    pub request: Arc<ChatRequest>,
    /// How it goes on after a restart.
    pub durable: Durable,
    /// Whether nothing of its answer is delivered before it is whole.
    pub is_whole: bool,
    /// In how many processes it was about to be sent to a provider, or was sent.
    pub sent: u32,
    /// What was told of it.
    pub items: Vec<Item>,
    /// When it ended, if it has.
    pub ended_at: Option<SystemTime>,
}

/// Something that is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// How many calls it changed.
    pub changed: usize,
    /// The file that it is in: how many before it were deleted or moved.
    pub file: u64,
}

/// Resolves when something is on disk, whatever becomes of the process; to what is wrong where it never will be.
pub type WriteFuture = Pin<Box<dyn Future<Output = Result<Written, Arc<str>>> + Send>>;

/// Why what is kept cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Nothing can be read now.
    #[error("{0}")]
    Disk(String),
    /// It is there and does not open: what is wrong with it, and the remedy.
    #[error("what is kept of the call {0}")]
    Unopened(String),
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Disk(why) => Self::NotDurable(why),
            ReadError::Unopened(why) => Self::Unopened(why),
        }
    }
}

/// Which calls.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallSelector {
    /// This one.
    Call(CallId),
    /// All that carry this value of a tag.
    Tag(String, String),
    /// All that ended before.
    Before(SystemTime),
}

/// What outlives the process. Reads of calls block on a disk: call them where that holds up no other task.
pub trait DurableStore: Send + Sync + 'static {
    /// Returns its state.
    fn health(&self) -> StoreHealth;
    /// Keeps what is known of a provider, instead of what was known of it before. It waits for nothing.
    #[cfg(feature = "store")]
    fn keep(&self, memory: Memory);
    /// Keeps a call of which nothing was delivered yet.
    fn accept(&self, call: &KeptCall) -> WriteFuture;
    /// Keeps that a call is about to be sent, and by how many `processes` until now. Changes nothing where it has ended
    /// or was forgotten.
    fn sent(&self, call: CallId, processes: u32) -> WriteFuture;
    /// Keeps items of a call, the first of which has this place. The last ends it, and counts it if it was to be sent
    /// in more than one process. Changes nothing where the call has ended or was forgotten, or another item has the
    /// last of these places: of two that write there, the first one wins.
    fn tell(&self, call: CallId, at: usize, items: &[Item]) -> WriteFuture;
    /// Forgets calls. A call that has not ended is forgotten only if it is named.
    fn forget(&self, which: CallSelector) -> WriteFuture;
    /// Tells whether what others accepted and did not finish may be taken up: no process that could still work on it
    /// lives.
    fn may_take_over(&self) -> bool;
    /// Returns how many files were begun because the one before was deleted or moved: what that one kept is not here.
    fn files(&self) -> u64;
    /// Returns the items of a call from a place on; `None` where there is no such call.
    ///
    /// # Errors
    /// Why nothing can be read.
    fn told(&self, call: CallId, from: usize) -> Result<Option<Vec<Item>>, ReadError>;
    /// Returns a call by its id.
    ///
    /// # Errors
    /// Why nothing can be read.
    fn call(&self, call: CallId) -> Result<Option<KeptCall>, ReadError>;
    /// Returns the call of a client's key.
    ///
    /// # Errors
    /// Why nothing can be read.
    fn keyed(&self, client: Option<&str>, key: &str) -> Result<Option<KeptCall>, ReadError>;
    /// Returns the calls that have not ended.
    ///
    /// # Errors
    /// Why nothing can be read.
    fn unfinished(&self) -> Result<Vec<CallId>, ReadError>;
}

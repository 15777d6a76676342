//! The store, for all code outside of its owner's thread: takes records and notes, and reads beside the owner.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::budget_accounts::CountedBudgets;
use super::durable_writes::{self, DurableWrite};
use super::error::OpenError;
use super::file::Readers;
use super::memory::PendingMemory;
use super::numbers::wall;
use super::owner::{self, FLUSH_MAX, GATHER, StartedOwner};
use super::seal::Sealer;
use super::state::{FileHolder, Job, StoreState};
use crate::policy::budget::Budget;
use crate::policy::durable_store::{CallSelector, DurableStore, Item, KeptCall, ReadError, WriteFuture};
use crate::policy::memory::Memory;
use crate::policy::record::{Observer, Record};
use crate::policy::store_health::StoreHealth;
use crate::spec::{PastSpend, StoreSpec};
use crate::words::CallId;
use crate::words::locks::lock;

/// What others spent, by a budget's name, its account and the step.
type SpentByOthers = HashMap<(Arc<str>, String, i64), i64>;

/// The store, for the code that gives it records and asks for its health. When it is dropped it writes what waits and
/// frees the file.
pub(crate) struct Store {
    /// The queue to the owner, and its thread. `None` once it is dropped.
    owner: Option<StartedOwner>,
    state: Arc<StoreState>,
    sealer: Arc<Sealer>,
    readers: Readers,
    /// What others spent of each account of a budget in each step, by its name, as far as it was read.
    spent: Mutex<SpentByOthers>,
    durable_bytes_max: u64,
}

impl Store {
    /// Takes and opens the file, and starts its owner. Who follows a process that ends does not wait for its end:
    /// records do.
    pub(crate) async fn open(spec: StoreSpec, follows: bool) -> Result<Self, OpenError> {
        let sealer = Arc::new(Sealer::read(&spec.encryption_keys).await?);
        let state = Arc::new(StoreState::new(spec.path.clone()));
        let durable_bytes_max = spec.durable_bytes_max;
        let (owner, opened) = owner::start(spec, sealer.clone(), follows, state.clone())?;
        let (readers, spent) = (Readers::default(), Mutex::default());
        let store = Self { owner: Some(owner), state, sealer, readers, spent, durable_bytes_max };
        match opened.await {
            Ok(result) => result.map(|()| store),
            Err(_) => Err(std::io::Error::other("its thread ended").into()),
        }
    }

    fn queue(&self) -> Option<&SyncSender<Job>> {
        self.owner.as_ref().map(|(queue, _)| queue)
    }

    /// Returns its file.
    pub(crate) fn path(&self) -> &Path {
        self.state.gauge.path()
    }

    /// Keeps the accounts of these budgets, and of no others, from now on.
    pub(crate) fn count(&self, budgets: &[Budget], since: SystemTime) {
        let mut counted = lock(&self.state.counted);
        if counted.as_ref().is_none_or(|known| *known.budgets != *budgets) {
            *counted = Some(CountedBudgets { budgets: budgets.into(), since });
        }
    }

    /// Waits until everything given before is written, or was tried; not for long.
    pub(crate) async fn flush(&self) {
        self.wait_for(Job::Flush).await;
    }

    /// Does the same at the end, and leaves nothing behind of what was forgotten.
    pub(crate) async fn finish(&self) {
        self.wait_for(Job::Finish).await;
    }

    async fn wait_for(&self, job: impl FnOnce(oneshot::Sender<()>) -> Job) {
        let (done, told) = oneshot::channel();
        let sent = self.queue().is_some_and(|queue| queue.try_send(job(done)).is_ok());
        if sent {
            let _ = tokio::time::timeout(FLUSH_MAX, told).await;
        }
    }

    /// Says whether what others spent is still to be read: until then this process does not add its own, not for long.
    pub(crate) fn read_first(&self, is_read: bool) {
        self.state.is_read.store(is_read, Relaxed);
    }

    /// Adds up what others spent: returns what is new since the last time.
    pub(crate) fn add_up(&self, budgets: &[Budget], spent: Vec<PastSpend>) -> Vec<PastSpend> {
        let mut known = lock(&self.spent);
        let news = spent.into_iter().filter_map(|one| {
            let known = known.entry((budgets[one.budget].name.clone(), one.account.clone(), one.step)).or_default();
            let more = one.amount - std::mem::replace(known, one.amount);
            (more > 0).then_some(PastSpend { amount: more, ..one })
        });
        news.collect()
    }

    /// Tells the process that follows what attempts in flight may still cost.
    #[cfg(feature = "sidecar")]
    pub(crate) fn tell_reserved(&self, reserved: Vec<crate::spec::ReservedSpend>) -> WriteFuture {
        self.note(Ok(DurableWrite::Reserved(reserved)))
    }

    /// Tells whether another process, which this one follows, still has the file.
    #[cfg(any(test, feature = "sidecar"))]
    pub(crate) fn is_behind(&self) -> bool {
        self.state.holder() == FileHolder::Another
    }

    /// Writes something of a durable call.
    fn note(&self, note: Result<DurableWrite, OpenError>) -> WriteFuture {
        let (note, queue) = match (note, self.queue().cloned()) {
            (Ok(note), Some(queue)) => (note, queue),
            (Err(error), _) => return Box::pin(std::future::ready(Err(error.to_string().into()))),
            (_, None) => return Box::pin(std::future::ready(Err(GONE.into()))),
        };
        Box::pin(async move {
            let (done, told) = oneshot::channel();
            let mut job = Job::DurableCall(note, done);
            // If the queue is full, this waits.
            loop {
                job = match queue.try_send(job) {
                    Ok(()) => break,
                    Err(TrySendError::Full(job)) => job,
                    Err(TrySendError::Disconnected(_)) => return Err(GONE.into()),
                };
                tokio::time::sleep(GATHER).await;
            }
            drop(queue);
            told.await.map_err(|_| GONE.into())
        })
    }

    fn read<T>(&self, look: impl FnOnce(&Connection) -> Result<T, OpenError>) -> Result<T, ReadError> {
        self.readers.read(self.path(), look).map_err(|error| match error.of_call() {
            Some(why) => ReadError::Unopened(why),
            None => ReadError::Disk(format!("{} cannot be read: {error}", self.path().display())),
        })
    }
}

/// The error where a new durable call has no room.
const NO_ROOM: &str =
    "durable calls that have not ended take all of `store.durable_size_max`: raise it, or let some end";
/// The error once nothing can be written any more.
const GONE: &str = "the store writes no more";

impl DurableStore for Store {
    fn health(&self) -> StoreHealth {
        self.state.gauge.health()
    }

    fn keep(&self, memory: Memory) {
        let provider = memory.provider.clone();
        lock(&self.state.memories).insert(provider, PendingMemory::now(memory));
        // Where the queue is full, there is a group that takes it along.
        let _ = self.queue().map(|queue| queue.try_send(Job::Memory));
    }

    fn accept(&self, call: &KeptCall) -> WriteFuture {
        let kept = self.note(DurableWrite::accept(call, &self.sealer, self.durable_bytes_max));
        Box::pin(
            async move { kept.await.and_then(|kept| if kept.changed == 0 { Err(NO_ROOM.into()) } else { Ok(kept) }) },
        )
    }

    fn sent(&self, id: CallId, processes: u32) -> WriteFuture {
        self.note(Ok(DurableWrite::Sent { id, processes }))
    }

    fn tell(&self, call: CallId, at: usize, items: &[Item]) -> WriteFuture {
        self.note(DurableWrite::items(call, at, items, wall(), &self.sealer))
    }

    fn forget(&self, which: CallSelector) -> WriteFuture {
        self.note(Ok(DurableWrite::Forget(which)))
    }

    fn may_take_over(&self) -> bool {
        self.state.holder() == FileHolder::This
    }

    fn files(&self) -> u64 {
        self.state.files.load(Relaxed)
    }

    fn told(&self, call: CallId, from: usize) -> Result<Option<Vec<Item>>, ReadError> {
        self.read(|file| durable_writes::told(file, &self.sealer, call, from))
    }

    fn call(&self, call: CallId) -> Result<Option<KeptCall>, ReadError> {
        self.read(|file| durable_writes::call(file, &self.sealer, call))
    }

    fn keyed(&self, client: Option<&str>, key: &str) -> Result<Option<KeptCall>, ReadError> {
        self.read(|file| durable_writes::keyed(file, &self.sealer, client.unwrap_or_default(), key))
    }

    fn unfinished(&self) -> Result<Vec<CallId>, ReadError> {
        self.read(durable_writes::unfinished)
    }
}

impl Observer for Store {
    fn observe(&self, record: &Record) {
        let Some(queue) = self.queue() else { return };
        // Before it is sent: it may be written before this thread goes on.
        self.state.gauge.taken();
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = queue.try_send(Job::Record(record.clone()))
        {
            self.state.gauge.given_up(1);
            let lost = self.state.gauge.lost();
            if lost.is_power_of_two() {
                tracing::warn!(lost, path = %self.path().display(), "the store loses records: it cannot keep up");
            }
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Before the owner's connection: the last that is closed takes the journal away, and a reader may not.
        self.readers = Readers::default();
        self.state.is_closing.store(true, Relaxed);
        if let Some((queue, owner)) = self.owner.take() {
            drop(queue);
            owner.thread().unpark();
        }
    }
}

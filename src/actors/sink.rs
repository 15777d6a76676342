//! The list of observers that get a record of each attempt and call that ended, isolated from each other.
//!
//! The runtime's own are called in place and lose nothing; they are quick and hold a lock for one entry at most. A
//! user's observer has a queue and a thread, so that it may be slow. A panic ends only the observer that panicked.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;

use super::health::ObserverHealth;
use crate::policy::record::{Observer, QUEUE_MAX, Record};

/// An observer that was added before the runtime started.
#[derive(Clone)]
pub(crate) struct AddedObserver {
    pub(crate) name: Arc<str>,
    pub(crate) observer: Arc<dyn Observer>,
    /// Whether it is called in place, and loses nothing: one of ours.
    pub(crate) in_place: bool,
}

impl fmt::Debug for AddedObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AddedObserver").field(&self.name).finish()
    }
}

/// All observers of a runtime.
pub(crate) struct Sink(Box<[ObserverEntry]>);

struct ObserverEntry {
    name: Arc<str>,
    delivery: Delivery,
    lost: AtomicU64,
    /// Whether it panicked.
    gone: Arc<AtomicBool>,
}

enum Delivery {
    InPlace(Arc<dyn Observer>),
    Queued(SyncSender<Record>),
}

impl Sink {
    pub(crate) fn new(observers: impl IntoIterator<Item = AddedObserver>) -> Self {
        Self(observers.into_iter().map(ObserverEntry::new).collect())
    }

    /// Gives a record to all observers.
    pub(crate) fn tell(&self, record: &Record) {
        for entry in &self.0 {
            entry.tell(record);
        }
    }

    /// Returns the state of the observers.
    pub(crate) fn health(&self) -> Vec<ObserverHealth> {
        let health = |entry: &ObserverEntry| ObserverHealth {
            name: entry.name.clone(),
            lost: entry.lost.load(Relaxed),
            gone: entry.gone.load(Relaxed),
        };
        self.0.iter().map(health).collect()
    }
}

impl ObserverEntry {
    fn new(AddedObserver { name, observer, in_place }: AddedObserver) -> Self {
        let gone = Arc::new(AtomicBool::new(false));
        let delivery = if in_place {
            Delivery::InPlace(observer)
        } else {
            let (sender, receiver) = sync_channel(QUEUE_MAX);
            let (name, gone) = (name.clone(), gone.clone());
            // Without a thread its receiver is dropped, and all its records count as lost.
            let _ = thread::Builder::new()
                .name("standin-observer".into())
                .spawn(move || serve(&name, &*observer, &receiver, &gone));
            Delivery::Queued(sender)
        };
        Self { name, delivery, lost: AtomicU64::new(0), gone }
    }

    fn tell(&self, record: &Record) {
        match &self.delivery {
            _ if self.gone.load(Relaxed) => self.lose(),
            Delivery::InPlace(observer) => {
                guarded(&self.name, &**observer, record, &self.gone);
            }
            Delivery::Queued(queue) => match queue.try_send(record.clone()) {
                Ok(()) => {}
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => self.lose(),
            },
        }
    }

    /// Counts a record that it does not get; says so now and then.
    fn lose(&self) {
        let lost = self.lost.fetch_add(1, Relaxed) + 1;
        if lost.is_power_of_two() {
            tracing::warn!(observer = %self.name, lost, "an observer loses records");
        }
    }
}

/// Gives an observer its queued records, as long as there is a runtime.
fn serve(name: &str, observer: &dyn Observer, queue: &Receiver<Record>, gone: &AtomicBool) {
    while let Ok(record) = queue.recv() {
        if !guarded(name, observer, &record, gone) {
            return;
        }
    }
}

/// Gives an observer one record. Returns whether it did not panic.
fn guarded(name: &str, observer: &dyn Observer, record: &Record, gone: &AtomicBool) -> bool {
    let survived = catch_unwind(AssertUnwindSafe(|| observer.observe(record))).is_ok();
    if !survived && !gone.swap(true, Relaxed) {
        tracing::error!(observer = name, "an observer panicked; it gets no more records");
    }
    survived
}

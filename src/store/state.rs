//! What the owner of the file and all others tell each other: jobs, and the state that they share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;

use super::budget_accounts::CountedBudgets;
use super::durable_writes::DurableWrite;
use super::memory::PendingMemory;
use crate::policy::durable_store::Written;
use crate::policy::record::Record;
use crate::policy::store_health::StoreGauge;
use crate::words::locks::lock;

/// Work for the owner.
pub(super) enum Job {
    Record(Record),
    /// There is a new state of a provider.
    Memory,
    /// Write this, and say when it is on the disk.
    DurableCall(DurableWrite, oneshot::Sender<Written>),
    /// Say when everything before this was tried once.
    Flush(oneshot::Sender<()>),
    /// The same, and leave nothing behind of what was forgotten.
    Finish(oneshot::Sender<()>),
}

/// The latest state of each provider.
pub(super) type Memories = BTreeMap<Arc<str>, PendingMemory>;

/// What both sides read and set.
pub(super) struct StoreState {
    /// The counters, for health.
    pub(super) gauge: StoreGauge,
    /// States of providers that the owner has not taken yet.
    pub(super) memories: Mutex<Memories>,
    /// The budgets whose accounts are kept.
    pub(super) counted: Mutex<Option<CountedBudgets>>,
    /// Nothing more will come.
    pub(super) is_closing: AtomicBool,
    /// What others spent is being read: nothing of this process's own is written before.
    pub(super) is_read: AtomicBool,
    /// How many files were begun, or found, in the place of one that was gone.
    pub(super) files: AtomicU64,
    /// Who has the file.
    holder: Mutex<FileHolder>,
}

/// Who has the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum FileHolder {
    /// Nobody yet: it is being opened, or its disk takes nothing.
    #[default]
    Nobody,
    /// Another process, which this one follows.
    Another,
    /// This process.
    This,
}

impl StoreState {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            gauge: StoreGauge::new(path),
            memories: Mutex::default(),
            counted: Mutex::default(),
            is_closing: AtomicBool::default(),
            is_read: AtomicBool::default(),
            files: AtomicU64::default(),
            holder: Mutex::default(),
        }
    }

    pub(super) fn holder(&self) -> FileHolder {
        *lock(&self.holder)
    }

    pub(super) fn held_by(&self, holder: FileHolder) {
        *lock(&self.holder) = holder;
    }
}

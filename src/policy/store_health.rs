//! The state of the store, counted by the store and read by requests for health.
//!
//! Atomics and `&self`: a reader never waits for a disk.

#[cfg(feature = "store")]
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
#[cfg(feature = "store")]
use std::sync::Mutex;
#[cfg(feature = "store")]
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

#[cfg(feature = "store")]
use crate::words::locks::lock;

/// The state of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreHealth {
    /// Its file.
    pub path: PathBuf,
    /// Why nothing can be written just now; what ends meanwhile waits in memory. `None` where all is well.
    pub problem: Option<Arc<str>>,
    /// Records that wait to be written.
    pub waiting: u64,
    /// Records that were written since the start.
    pub written: u64,
    /// Records that were lost: more were waiting than the queue holds.
    pub lost: u64,
    /// How long the file is, in bytes.
    pub bytes: u64,
}

/// The counters that the store updates.
#[cfg(feature = "store")]
#[derive(Debug)]
pub struct StoreGauge {
    path: PathBuf,
    problem: Mutex<Option<Arc<str>>>,
    taken: AtomicU64,
    written: AtomicU64,
    lost: AtomicU64,
    bytes: AtomicU64,
}

#[cfg(feature = "store")]
impl StoreGauge {
    /// Returns the gauge of a file of which nothing is known.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            problem: Mutex::default(),
            taken: AtomicU64::new(0),
            written: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    /// Returns the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Notes that a record waits.
    pub fn taken(&self) {
        self.taken.fetch_add(1, Relaxed);
    }

    /// Notes that records were written, and how long the file is now.
    pub fn written(&self, records: u64, bytes: u64) {
        self.written.fetch_add(records, Relaxed);
        self.bytes.store(bytes, Relaxed);
    }

    /// Notes that records which waited are given up.
    pub fn given_up(&self, records: u64) {
        self.lost.fetch_add(records, Relaxed);
        self.taken.fetch_sub(records, Relaxed);
    }

    /// Returns how many records were lost.
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    /// Notes why nothing can be written, or that all is well. Tells whether that is a change.
    pub fn set_problem(&self, problem: Option<&str>) -> bool {
        let mut known = lock(&self.problem);
        if known.as_deref() == problem {
            return false;
        }
        *known = problem.map(Arc::from);
        true
    }

    /// Returns the state of the store.
    pub fn health(&self) -> StoreHealth {
        let written = self.written.load(Relaxed);
        StoreHealth {
            path: self.path.clone(),
            problem: lock(&self.problem).clone(),
            waiting: self.taken.load(Relaxed).saturating_sub(written),
            written,
            lost: self.lost(),
            bytes: self.bytes.load(Relaxed),
        }
    }
}

#[cfg(all(test, feature = "store"))]
mod tests {
    use super::*;

    #[test]
    fn what_waits_was_taken_and_neither_written_nor_given_up() {
        let gauge = StoreGauge::new("ledger".into());
        let counts = || {
            let StoreHealth { waiting, written, lost, bytes, .. } = gauge.health();
            (waiting, written, lost, bytes)
        };
        assert_eq!(counts(), (0, 0, 0, 0));
        (0..10).for_each(|_| gauge.taken());
        gauge.written(3, 4_096);
        gauge.written(2, 8_192);
        gauge.given_up(4);
        assert_eq!(counts(), (1, 5, 4, 8_192));
    }

    #[test]
    fn a_problem_is_news_once_and_so_is_its_end() {
        let gauge = StoreGauge::new("ledger".into());
        let told =
            [None, Some("full"), Some("full"), Some("gone"), None, None].map(|problem| gauge.set_problem(problem));
        assert_eq!(told, [false, true, false, true, true, false]);
        gauge.set_problem(Some("full"));
        assert_eq!(gauge.health().problem.as_deref(), Some("full"));
    }
}

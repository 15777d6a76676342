//! Places for connections: their number is limited, and idle connections are closed while all are taken.
//!
//! Input: connections that need a place. Output: places, and a signal that a connection waits. It ends no connection by
//! itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout};

/// How often idle connections are told that another one waits.
const TELL_EVERY: Duration = Duration::from_millis(250);

pub(super) struct ConnectionSlots {
    left: Arc<Semaphore>,
    max: u32,
    /// Since when a connection waits.
    wanted: watch::Sender<Option<Instant>>,
}

impl ConnectionSlots {
    pub(super) fn new(max: usize) -> Arc<Self> {
        let max = u32::try_from(max).unwrap_or(u32::MAX >> 3);
        let (left, wanted) = (Arc::new(Semaphore::new(max as usize)), watch::Sender::new(None));
        Arc::new(Self { left, max, wanted })
    }

    /// Takes a place, if one is free.
    pub(super) fn free(&self) -> Option<OwnedSemaphorePermit> {
        let place = self.left.clone().try_acquire_owned().ok()?;
        self.wanted.send_if_modified(|wanted| wanted.take().is_some());
        Some(place)
    }

    /// Waits for a place.
    pub(super) async fn next(&self) -> Option<OwnedSemaphorePermit> {
        loop {
            self.want();
            if let Ok(place) = timeout(TELL_EVERY, self.left.clone().acquire_owned()).await {
                return place.ok();
            }
        }
    }

    /// Tells idle connections that another one waits for their place.
    pub(super) fn want(&self) {
        self.wanted.send_modify(|wanted| *wanted = wanted.or_else(|| Some(Instant::now())));
    }

    /// Returns a receiver that tells whether a connection waits.
    pub(super) fn wanted(&self) -> watch::Receiver<Option<Instant>> {
        self.wanted.subscribe()
    }

    /// Returns for how long a connection has waited.
    pub(super) fn full_for(&self) -> Option<Duration> {
        let since = (*self.wanted.borrow()).filter(|_| self.left.available_permits() == 0);
        since.map(|since| since.elapsed())
    }

    /// Returns how many places are taken, of how many.
    pub(super) fn taken(&self) -> (usize, usize) {
        let max = self.max as usize;
        (max - self.left.available_permits().min(max), max)
    }

    /// Waits until all places are free.
    pub(super) async fn all_free(&self) {
        let _ = self.left.acquire_many(self.max).await;
    }
}

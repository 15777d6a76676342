//! Tells the scheduler of waiting calls that something may have changed: no look is missed, and none is made without a
//! waiter.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use ractor::ActorRef;
use tokio::sync::Notify;

use super::live_actor::LiveActor;

/// The message to the scheduler of the waiting calls: look.
pub(crate) struct CheckWaiting;

#[cfg(feature = "cluster")]
impl ractor::Message for CheckWaiting {}

/// Notified of each change of what a target admits. It costs one load while no call waits, and one message however
/// often it is notified before the scheduler looks.
#[derive(Default)]
pub(crate) struct WaitNotifier {
    scheduler: LiveActor<CheckWaiting>,
    waiting: AtomicUsize,
    notified: AtomicBool,
    /// Notified of what comes back to the retry budget: one call that waits for that hears of it.
    pub(super) refilled: Notify,
}

impl WaitNotifier {
    /// Tells the scheduler, if any call waits.
    pub(crate) fn notify(&self) {
        if self.waiting.load(SeqCst) > 0 && !self.notified.swap(true, SeqCst) {
            self.scheduler.send(CheckWaiting);
        }
    }

    /// Sets the living scheduler, which looks at once: a message to its predecessor may be lost.
    pub(super) fn set_scheduler(&self, scheduler: ActorRef<CheckWaiting>) {
        self.scheduler.set(scheduler);
        self.notified.store(true, SeqCst);
        self.scheduler.send(CheckWaiting);
    }

    /// Returns the living scheduler.
    #[cfg(feature = "testing")]
    pub(crate) fn scheduler(&self) -> Option<ActorRef<CheckWaiting>> {
        self.scheduler.get()
    }

    /// Notes that the scheduler looks now: later changes send a new message.
    pub(super) fn acknowledge(&self) {
        self.notified.store(false, SeqCst);
    }

    /// Returns how many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(SeqCst)
    }

    pub(super) fn waiter_came(&self) {
        self.waiting.fetch_add(1, SeqCst);
    }

    pub(super) fn waiter_left(&self) {
        self.waiting.fetch_sub(1, SeqCst);
    }
}

//! Tells the keeper of waiting calls that something may have changed: no look is missed, and none is made without a
//! waiter.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use ractor::ActorRef;

use super::live_actor::LiveActor;

/// The message to the keeper of the waiting calls: look.
pub(crate) struct CheckWaiting;

#[cfg(feature = "cluster")]
impl ractor::Message for CheckWaiting {}

/// Rung by each change of what a target admits. It costs one load while no call waits, and one message however often it
/// is rung before the keeper looks.
#[derive(Default)]
pub(crate) struct WaitNotifier {
    keeper: LiveActor<CheckWaiting>,
    waiting: AtomicUsize,
    rung: AtomicBool,
}

impl WaitNotifier {
    /// Tells the keeper, if any call waits.
    pub(crate) fn ring(&self) {
        if self.waiting.load(SeqCst) > 0 && !self.rung.swap(true, SeqCst) {
            self.keeper.send(CheckWaiting);
        }
    }

    /// Sets the living keeper, which looks at once: a message to its predecessor may be lost.
    pub(super) fn kept_by(&self, keeper: ActorRef<CheckWaiting>) {
        self.keeper.set(keeper);
        self.rung.store(true, SeqCst);
        self.keeper.send(CheckWaiting);
    }

    /// Returns the living keeper.
    #[cfg(feature = "testing")]
    pub(crate) fn keeper(&self) -> Option<ActorRef<CheckWaiting>> {
        self.keeper.get()
    }

    /// Notes that the keeper looks now: later changes send a new message.
    pub(super) fn heard(&self) {
        self.rung.store(false, SeqCst);
    }

    /// Returns how many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(SeqCst)
    }

    pub(super) fn came(&self) {
        self.waiting.fetch_add(1, SeqCst);
    }

    pub(super) fn went(&self) {
        self.waiting.fetch_sub(1, SeqCst);
    }
}

//! A reference to the living incarnation of an actor that may restart, and a lock that survives panics.

use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use ractor::{ActorRef, Message};

/// The living incarnation of an actor, if there is one.
pub(crate) struct LiveActor<M>(RwLock<Option<ActorRef<M>>>);

impl<M> Default for LiveActor<M> {
    fn default() -> Self {
        Self(RwLock::new(None))
    }
}

impl<M: Message> LiveActor<M> {
    /// Sets the living incarnation.
    pub(crate) fn set(&self, actor: ActorRef<M>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(actor);
    }

    /// Notes that there is none.
    pub(crate) fn clear(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Returns the living incarnation.
    pub(crate) fn get(&self) -> Option<ActorRef<M>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends to the living incarnation, and returns whether that worked. A message that went nowhere is dropped.
    pub(crate) fn send(&self, message: M) -> bool {
        match &*self.0.read().unwrap_or_else(PoisonError::into_inner) {
            Some(actor) => actor.send_message(message).is_ok(),
            None => false,
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code panics while it holds one of these; if it did, the data are still the best we have.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

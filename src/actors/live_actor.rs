//! A reference to the living incarnation of an actor that may restart.

use std::sync::RwLock;

use ractor::{ActorRef, Message};

use crate::words::locks::{read_lock, write_lock};

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
        *write_lock(&self.0) = Some(actor);
    }

    /// Notes that there is none.
    pub(crate) fn clear(&self) {
        *write_lock(&self.0) = None;
    }

    /// Returns the living incarnation.
    pub(crate) fn get(&self) -> Option<ActorRef<M>> {
        read_lock(&self.0).clone()
    }

    /// Sends to the living incarnation, and returns whether that worked. A message that went nowhere is dropped.
    pub(crate) fn send(&self, message: M) -> bool {
        match &*read_lock(&self.0) {
            Some(actor) => actor.send_message(message).is_ok(),
            None => false,
        }
    }
}

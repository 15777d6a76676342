//! Where a call's answer goes, and in what form.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ractor::RpcReplyPort;
use tokio::sync::oneshot;

use super::stream::{ReplyStream, cut_off};
use crate::words::locks::lock;
use crate::words::{CallId, Embeddings, Error, Reply};

/// How often a message's reply port is polled, because it cannot be awaited.
const PORT_LOOK: Duration = Duration::from_millis(250);

/// Where a caller reads which call its request has become: set when the call is on record.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallNote(Arc<Mutex<Option<CallId>>>);

impl CallNote {
    pub(crate) fn set(&self, call: CallId) {
        *lock(&self.0) = Some(call);
    }

    #[cfg(feature = "sidecar")]
    pub(crate) fn get(&self) -> Option<CallId> {
        *lock(&self.0)
    }
}

/// The receiver of an answer. If it is dropped unanswered, it sends the reason as an error: no caller hangs.
pub(crate) struct Responder<T> {
    to: Option<ReplyPath<T>>,
    pub(super) begun: bool,
    draining: Arc<AtomicBool>,
    note: Option<CallNote>,
}

enum ReplyPath<T> {
    Method(oneshot::Sender<Result<T, Error>>),
    Port(RpcReplyPort<Result<T, Error>>),
}

impl<T> Responder<T> {
    /// Returns one for a method that waits, and where the method waits.
    pub(crate) fn pair(draining: &Arc<AtomicBool>) -> (Self, oneshot::Receiver<Result<T, Error>>) {
        let (sender, answer) = oneshot::channel();
        let to = Some(ReplyPath::Method(sender));
        (Self { to, begun: false, draining: draining.clone(), note: None }, answer)
    }

    pub(crate) fn port(port: RpcReplyPort<Result<T, Error>>, draining: &Arc<AtomicBool>) -> Self {
        Self { to: Some(ReplyPath::Port(port)), begun: false, draining: draining.clone(), note: None }
    }

    /// Lets it note which call the request has become.
    pub(crate) fn noting(mut self, note: Option<&CallNote>) -> Self {
        self.note = note.cloned();
        self
    }

    fn note(&self, call: CallId) {
        if let Some(note) = &self.note {
            note.set(call);
        }
    }

    pub(crate) fn send(&mut self, answer: Result<T, Error>) {
        match self.to.take() {
            Some(ReplyPath::Method(sender)) => drop(sender.send(answer)),
            Some(ReplyPath::Port(port)) => drop(port.send(answer)),
            None => {}
        }
    }

    /// Resolves when the caller has left.
    pub(super) async fn closed(&mut self) {
        match &mut self.to {
            Some(ReplyPath::Method(sender)) => sender.closed().await,
            Some(ReplyPath::Port(port)) => {
                while !port.is_closed() {
                    tokio::time::sleep(PORT_LOOK).await;
                }
            }
            None => std::future::pending().await,
        }
    }
}

impl<T> Drop for Responder<T> {
    fn drop(&mut self) {
        let error = if self.begun { cut_off(&self.draining) } else { Error::Unavailable };
        self.send(Err(error));
    }
}

/// The form of answer that a caller wants.
pub(crate) enum WantedReply {
    /// The whole answer.
    Whole(Responder<Reply>),
    /// A stream of it.
    Stream(Responder<ReplyStream>),
    /// A stream of it that yields nothing before it is whole.
    Buffered(Responder<ReplyStream>),
    /// Vectors.
    Vectors(Responder<Embeddings>),
}

impl WantedReply {
    /// Notes which call the request has become.
    pub(super) fn note(&self, call: CallId) {
        match self {
            Self::Whole(answer) => answer.note(call),
            Self::Stream(answer) | Self::Buffered(answer) => answer.note(call),
            Self::Vectors(answer) => answer.note(call),
        }
    }

    pub(crate) fn refuse(self, error: Error) {
        match self {
            Self::Whole(mut answer) => answer.send(Err(error)),
            Self::Stream(mut answer) | Self::Buffered(mut answer) => answer.send(Err(error)),
            Self::Vectors(mut answer) => answer.send(Err(error)),
        }
    }
}

//! The attempts a call has in flight, as their call sees them.

use std::task::{Context, Poll, ready};

use tokio::sync::{mpsc, oneshot};

use super::attempt::{Ended, Never};
use crate::words::{Piece, TargetId};

/// One attempt in flight.
pub(super) struct Running {
    pub(super) number: u32,
    pub(super) target: TargetId,
    /// `None` once it has closed or was handed to the caller.
    pieces: Option<mpsc::Receiver<Piece>>,
    /// `None` once it has spoken.
    ended: Option<oneshot::Receiver<Ended>>,
    /// Dropped, it stops the attempt.
    _wanted: oneshot::Sender<Never>,
    /// Its first content.
    first: Option<Piece>,
    /// Estimated length of its prompt.
    pub(super) prompt_tokens: u32,
}

/// What an attempt did.
#[expect(clippy::large_enum_variant, reason = "it is taken apart where it is made, and never stored")]
pub(super) enum Happening {
    /// Its first content came.
    Content(u32),
    /// It ended; all its content came before.
    Ended(u32, Ended),
    /// It vanished without a word.
    Lost(u32),
}

impl Running {
    pub(super) fn new(
        number: u32,
        target: TargetId,
        pieces: mpsc::Receiver<Piece>,
        ended: oneshot::Receiver<Ended>,
        wanted: oneshot::Sender<Never>,
        prompt_tokens: u32,
    ) -> Self {
        let (pieces, ended) = (Some(pieces), Some(ended));
        Self { number, target, pieces, ended, _wanted: wanted, first: None, prompt_tokens }
    }

    /// Hands over its first content and the channel for the rest.
    pub(super) fn hand_over(&mut self) -> (Option<Piece>, Option<mpsc::Receiver<Piece>>) {
        (self.first.take(), self.pieces.take())
    }

    /// Stops the attempt; what is returned resolves with its last word.
    pub(super) fn cancel(self) -> oneshot::Receiver<Ended> {
        self.ended.unwrap_or_else(|| oneshot::channel().1)
    }

    /// Notes that it has spoken its last word.
    pub(super) fn close(&mut self) {
        self.ended = None;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Happening> {
        while let Some(pieces) = &mut self.pieces {
            match ready!(pieces.poll_recv(cx)) {
                Some(piece) if self.first.is_none() => {
                    self.first = Some(piece);
                    return Poll::Ready(Happening::Content(self.number));
                }
                // Nobody wants it piece by piece, or the first would have been handed over: the end has it all.
                Some(_) => {}
                None => self.pieces = None,
            }
        }
        // The channel closes before the end is told, so nothing is left behind.
        let Some(ended) = &mut self.ended else { return Poll::Pending };
        let ended = ready!(std::pin::Pin::new(ended).poll(cx));
        self.ended = None;
        Poll::Ready(match ended {
            Ok(ended) => Happening::Ended(self.number, ended),
            Err(_) => Happening::Lost(self.number),
        })
    }
}

/// Resolves with what the first of some attempts does; never, if there are none.
pub(super) async fn next_happening(running: &mut [Running]) -> Happening {
    std::future::poll_fn(|cx| {
        let happening = running.iter_mut().find_map(|running| match running.poll(cx) {
            Poll::Ready(happening) => Some(happening),
            Poll::Pending => None,
        });
        happening.map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

//! The attempts a call has in flight, as their call sees them.

use std::collections::VecDeque;
use std::task::{Context, Poll, ready};

use tokio::sync::{mpsc, oneshot};

use super::attempt::Ended;
use crate::words::{Piece, TargetId};

/// One attempt in flight.
pub(super) struct Running {
    pub(super) number: u32,
    pub(super) target: TargetId,
    /// `None` once it has closed or was handed to the caller.
    pieces: Option<mpsc::Receiver<Piece>>,
    /// `None` once it has spoken.
    ended: Option<oneshot::Receiver<Ended>>,
    /// Content that nobody has been given yet.
    held: VecDeque<Piece>,
    /// Whether its first content was told.
    told: bool,
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
    ) -> Self {
        Self { number, target, pieces: Some(pieces), ended: Some(ended), held: VecDeque::new(), told: false }
    }

    /// Hands over what is held, and the channel for the rest.
    pub(super) fn hand_over(&mut self) -> (VecDeque<Piece>, Option<mpsc::Receiver<Piece>>) {
        (std::mem::take(&mut self.held), self.pieces.take())
    }

    /// Stops the attempt; what is returned resolves with its last word.
    pub(super) fn cancel(mut self) -> oneshot::Receiver<Ended> {
        self.pieces = None;
        self.ended.take().unwrap_or_else(|| oneshot::channel().1)
    }

    /// Notes that it has spoken its last word.
    pub(super) fn close(&mut self) {
        self.ended = None;
    }

    /// Returns the text and the reasoning that are held.
    pub(super) fn collected(&mut self) -> (String, String) {
        let (mut text, mut reasoning) = (String::new(), String::new());
        for piece in self.held.drain(..) {
            match piece {
                Piece::Text(more) => text.push_str(&more),
                Piece::Reasoning(more) => reasoning.push_str(&more),
            }
        }
        (text, reasoning)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Happening> {
        while let Some(pieces) = &mut self.pieces {
            match ready!(pieces.poll_recv(cx)) {
                Some(piece) => {
                    self.hold(piece);
                    if !std::mem::replace(&mut self.told, true) {
                        return Poll::Ready(Happening::Content(self.number));
                    }
                }
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

    /// Holds a piece; more of the same kind is one piece.
    fn hold(&mut self, piece: Piece) {
        match (self.held.back_mut(), piece) {
            (Some(Piece::Text(held)), Piece::Text(more)) | (Some(Piece::Reasoning(held)), Piece::Reasoning(more)) => {
                held.push_str(&more);
            }
            (_, piece) => self.held.push_back(piece),
        }
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

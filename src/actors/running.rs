//! The attempts a call has in flight, as their call sees them.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};

use super::account::AttemptOutcome;
use super::progress::{AttemptProgress, TargetNews};
use crate::policy::failover::Try;
use crate::words::{FailureClass, Piece, TargetId};

/// One attempt in flight.
pub(super) struct RunningAttempt {
    pub(super) number: u32,
    pub(super) target: TargetId,
    /// `None` once it has closed or was handed to the caller.
    pieces: Option<mpsc::Receiver<Piece>>,
    /// `None` once it has reported its end.
    ended: Option<oneshot::Receiver<AttemptOutcome>>,
    /// Used or dropped, it stops the attempt.
    unwanted: oneshot::Sender<FailureClass>,
    /// When it last had content, and what became of its target.
    progress: Arc<AttemptProgress>,
    /// What the call has heard of that.
    heard: u32,
    /// Whether it could pass an open breaker.
    pub(super) last_resort: bool,
    /// Whether it was made for speed only.
    pub(super) is_hedge: bool,
    /// Its first content.
    first: Option<Piece>,
    /// Estimated length of its prompt.
    pub(super) prompt_tokens: u32,
}

/// An event of an attempt.
pub(super) enum AttemptEvent {
    /// Its target was given up, or came back, while it had no content.
    News(u32, TargetNews),
    /// Its first content came.
    Content(u32),
    /// It ended; all its content came before.
    Ended(u32, Box<AttemptOutcome>),
    /// It vanished without a report.
    Lost(u32),
}

impl RunningAttempt {
    pub(super) fn new(
        this: Try,
        target: TargetId,
        pieces: mpsc::Receiver<Piece>,
        ended: oneshot::Receiver<AttemptOutcome>,
        unwanted: oneshot::Sender<FailureClass>,
        progress: Arc<AttemptProgress>,
        prompt_tokens: u32,
    ) -> Self {
        let (pieces, ended, first) = (Some(pieces), Some(ended), None);
        let Try { number, last_resort, hedge, .. } = this;
        let is_hedge = hedge.is_some();
        Self {
            number,
            target,
            pieces,
            ended,
            unwanted,
            progress,
            heard: 0,
            last_resort,
            is_hedge,
            first,
            prompt_tokens,
        }
    }

    /// Returns when it last had content, if it has had any.
    pub(super) fn heard(&self) -> Option<Instant> {
        self.progress.last()
    }

    /// Returns the key that it was sent with, by its index.
    pub(super) fn key(&self) -> usize {
        self.progress.key()
    }

    /// Notes that another attempt was faster though it had been asked later, because this one was late.
    pub(super) fn overtaken(&self) {
        self.progress.mark_overtaken();
    }

    /// Hands over its first content and the channel for the rest.
    pub(super) fn hand_over(&mut self) -> (Option<Piece>, Option<mpsc::Receiver<Piece>>) {
        (self.first.take(), self.pieces.take())
    }

    /// Stops the attempt, whose end is of this class; the result resolves with it.
    pub(super) fn cancel(self, class: FailureClass) -> oneshot::Receiver<AttemptOutcome> {
        let _ = self.unwanted.send(class);
        self.ended.unwrap_or_else(|| oneshot::channel().1)
    }

    /// Notes that it has reported its end.
    pub(super) fn close(&mut self) {
        self.ended = None;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<AttemptEvent> {
        if let Poll::Ready(event) = self.poll_attempt(cx) {
            return Poll::Ready(event);
        }
        if self.first.is_some() || self.ended.is_none() {
            return Poll::Pending;
        }
        match self.progress.news(&mut self.heard, cx) {
            Some(news) => Poll::Ready(AttemptEvent::News(self.number, news)),
            None => Poll::Pending,
        }
    }

    fn poll_attempt(&mut self, cx: &mut Context<'_>) -> Poll<AttemptEvent> {
        while let Some(pieces) = &mut self.pieces {
            match ready!(pieces.poll_recv(cx)) {
                Some(piece) if self.first.is_none() => {
                    self.first = Some(piece);
                    return Poll::Ready(AttemptEvent::Content(self.number));
                }
                // Its call waits for the whole answer, or the first piece would have been handed over: the end has all
                // of it.
                Some(_) => {}
                None => self.pieces = None,
            }
        }
        // The channel closes before the end is reported, so nothing is left in it.
        let Some(ended) = &mut self.ended else { return Poll::Pending };
        let ended = ready!(std::pin::Pin::new(ended).poll(cx));
        self.ended = None;
        Poll::Ready(match ended {
            Ok(ended) => AttemptEvent::Ended(self.number, Box::new(ended)),
            Err(_) => AttemptEvent::Lost(self.number),
        })
    }
}

/// Resolves with the first event of some attempts; never, if there are none.
pub(super) async fn next_event(running: &mut [RunningAttempt]) -> AttemptEvent {
    std::future::poll_fn(|cx| {
        let event = running.iter_mut().find_map(|running| match running.poll(cx) {
            Poll::Ready(event) => Some(event),
            Poll::Pending => None,
        });
        event.map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

//! The caller's end of a streamed answer.
//!
//! Content comes straight from the attempt that is committed: its channel's receiver is handed over, so no token passes
//! the call or any mailbox. When a segment ends, the stream waits for the call's message about it.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::{FutureExt as _, Stream};
use tokio::sync::mpsc;

use super::call_log::LogReader;
use crate::policy::durable_store::{Item, is_last};
use crate::words::{
    AssistantPart, CallId, Error, Failure, Finished, Piece, ReplyEvent, TargetId, ToolCall, UnavailableTarget,
};

/// The most items that are written at once.
const BATCH_MAX: usize = 256;

/// A message of a call to its caller's stream.
pub(super) enum StreamMessage {
    Segment {
        call: CallId,
        target: TargetId,
        attempt: u32,
        prompt_tokens: u64,
        first: VecDeque<Piece>,
        rest: Option<mpsc::Receiver<Piece>>,
    },
    Waiting {
        back_in: Option<Duration>,
        barred: Vec<UnavailableTarget>,
    },
    Reset(Failure),
    Finished(Box<Finished>),
    Failed(Error),
}

/// A streamed answer: [`ReplyEvent`]s, or an error as its last item. Dropping it cancels the call and closes the
/// connection to the provider, unless others hold the call, too.
pub struct ReplyStream(EventSource);

/// Where the events come from.
enum EventSource {
    /// From the call, to its only reader.
    Call(CallStream),
    /// From the call's log.
    Log(LogReader),
}

/// The messages of a call to its only reader.
struct CallStream {
    words: mpsc::UnboundedReceiver<StreamMessage>,
    first: VecDeque<Piece>,
    rest: Option<mpsc::Receiver<Piece>>,
    tool_calls: std::vec::IntoIter<ToolCall>,
    finished: Option<Box<Finished>>,
    ended: bool,
    draining: Arc<AtomicBool>,
}

impl ReplyStream {
    pub(super) fn new(words: mpsc::UnboundedReceiver<StreamMessage>, draining: Arc<AtomicBool>) -> Self {
        Self(EventSource::Call(CallStream {
            words,
            first: VecDeque::new(),
            rest: None,
            tool_calls: Vec::new().into_iter(),
            finished: None,
            ended: false,
            draining,
        }))
    }

    /// Returns a stream that reads a call's log.
    pub(super) fn read(reader: LogReader) -> Self {
        Self(EventSource::Log(reader))
    }

    /// Returns the next item, or `None` after the last.
    pub async fn next(&mut self) -> Option<Result<ReplyEvent, Error>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Returns the events that have come. A tool call comes together with the answer's end, and so does all of an
    /// answer that is told when it is whole: nothing is kept of either that a restart could not tell again.
    pub(super) async fn batch(&mut self, is_whole: bool) -> Option<Vec<Item>> {
        let mut batch = vec![self.next().await?];
        while batch.last().is_some_and(|item| !is_last(item)) {
            let waits = batch.iter().any(|item| match item {
                Ok(ReplyEvent::ToolCall(_)) => true,
                Ok(ReplyEvent::Started { .. }) => is_whole,
                _ => false,
            });
            let more = match self.next().now_or_never() {
                _ if batch.len() >= BATCH_MAX && !waits => break,
                Some(more) => more,
                None if waits => self.next().await,
                None => break,
            };
            batch.push(more?);
        }
        Some(batch)
    }
}

impl CallStream {
    /// Takes the call's next message; returns an item if the message is one.
    fn hear(&mut self, word: Option<StreamMessage>) -> Option<Result<ReplyEvent, Error>> {
        match word {
            Some(StreamMessage::Segment { call, target, attempt, prompt_tokens, first, rest }) => {
                self.first = first;
                self.rest = rest;
                Some(Ok(ReplyEvent::Started { call, target, attempt, prompt_tokens }))
            }
            Some(StreamMessage::Waiting { back_in, barred }) => Some(Ok(ReplyEvent::Waiting { back_in, barred })),
            Some(StreamMessage::Reset(failure)) => Some(Ok(ReplyEvent::Reset(failure))),
            Some(StreamMessage::Finished(finished)) => {
                let calls: Vec<_> = finished.parts.iter().filter_map(AssistantPart::as_tool_call).cloned().collect();
                self.tool_calls = calls.into_iter();
                self.finished = Some(finished);
                None
            }
            Some(StreamMessage::Failed(error)) => {
                self.ended = true;
                Some(Err(error))
            }
            None => {
                self.ended = true;
                Some(Err(cut_off(&self.draining)))
            }
        }
    }
}

impl Stream for ReplyStream {
    type Item = Result<ReplyEvent, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = match &mut self.get_mut().0 {
            EventSource::Call(this) => this,
            EventSource::Log(reader) => return reader.poll_next(cx),
        };
        loop {
            if this.ended {
                return Poll::Ready(None);
            }
            if let Some(piece) = this.first.pop_front() {
                return Poll::Ready(Some(Ok(piece.into())));
            }
            if let Some(rest) = &mut this.rest {
                match ready!(rest.poll_recv(cx)) {
                    Some(piece) => return Poll::Ready(Some(Ok(piece.into()))),
                    None => this.rest = None,
                }
            }
            if let Some(call) = this.tool_calls.next() {
                return Poll::Ready(Some(Ok(ReplyEvent::ToolCall(call))));
            }
            if let Some(finished) = this.finished.take() {
                this.ended = true;
                return Poll::Ready(Some(Ok(ReplyEvent::Finished(finished))));
            }
            let word = ready!(this.words.poll_recv(cx));
            if let Some(item) = this.hear(word) {
                return Poll::Ready(Some(item));
            }
        }
    }
}

/// Returns why a call was cut off: the runtime stops, or the call crashed.
pub(super) fn cut_off(draining: &AtomicBool) -> Error {
    if draining.load(Relaxed) { Error::Draining } else { Error::Crashed }
}

impl From<Piece> for ReplyEvent {
    fn from(piece: Piece) -> Self {
        match piece {
            Piece::Refusal => Self::Refusal,
            Piece::Text(text) => Self::Text(text),
            Piece::Reasoning(text) => Self::Reasoning(text),
            Piece::Proof(proof) => Self::Proof(proof),
            Piece::Verbatim(events) => Self::Verbatim(events),
        }
    }
}

impl fmt::Debug for ReplyStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyStream").finish_non_exhaustive()
    }
}

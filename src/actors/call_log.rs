//! The events of one call, kept in their order, for any number of readers, each from its own place.
//!
//! One task writes a log (`log_writer`), and the holders of its call read it. A call that has a log belongs to all its
//! holders together, and ends when there is none.

use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::SystemTime;

use tokio::sync::watch;

use super::clock::wall;
use crate::policy::durable_store::{Item, is_last};
use crate::words::locks::lock;
use crate::words::{AssistantPart, CallId, ChatRequest, Error, Finished, Reply, ReplyEvent, Text};

/// The events of one call.
pub(crate) struct CallLog {
    id: CallId,
    /// By the wall's clock.
    begun_at: SystemTime,
    /// What was asked for: another request is another call.
    request: Arc<ChatRequest>,
    /// Whether it is kept beyond the process, too.
    is_durable: bool,
    held: watch::Sender<HolderState>,
    told: Mutex<LogState>,
}

/// How many holders the call has, and whether it is cancelled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct HolderState {
    pub(super) by: usize,
    pub(super) is_cancelled: bool,
}

#[derive(Default)]
struct LogState {
    items: Vec<Item>,
    bytes: usize,
    /// Whether the call was accepted.
    is_begun: bool,
    has_ended: bool,
    waiting: Vec<Waker>,
}

impl LogState {
    /// Wakes the readers that wait for more.
    fn wake(&mut self) {
        self.waiting.drain(..).for_each(Waker::wake);
    }

    fn wait<T>(&mut self, cx: &Context<'_>) -> Poll<T> {
        if !self.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl CallLog {
    pub(super) fn new(id: CallId, request: Arc<ChatRequest>, is_durable: bool) -> Arc<Self> {
        Self::begun(id, wall(), request, is_durable)
    }

    fn begun(id: CallId, begun_at: SystemTime, request: Arc<ChatRequest>, is_durable: bool) -> Arc<Self> {
        Arc::new(Self { id, begun_at, request, is_durable, held: watch::Sender::default(), told: Mutex::default() })
    }

    pub(super) fn id(&self) -> CallId {
        self.id
    }

    /// Returns a receiver of what is known of its call's holders.
    pub(super) fn held(&self) -> watch::Receiver<HolderState> {
        self.held.subscribe()
    }

    /// Returns the log of a call that was accepted by a process before this one.
    pub(super) fn restored(id: CallId, begun_at: SystemTime, request: Arc<ChatRequest>, items: Vec<Item>) -> Arc<Self> {
        let log = Self::begun(id, begun_at, request, true);
        log.begin();
        log.extend(items);
        log
    }

    pub(super) fn begun_at(&self) -> SystemTime {
        self.begun_at
    }

    pub(super) fn request(&self) -> &Arc<ChatRequest> {
        &self.request
    }

    /// Tells whether it is kept beyond the process, too.
    pub(super) fn is_durable(&self) -> bool {
        self.is_durable
    }

    /// Tells whether the call was accepted.
    pub(super) fn is_begun(&self) -> bool {
        lock(&self.told).is_begun
    }

    /// Says that the call was accepted.
    pub(super) fn begin(&self) {
        let mut told = lock(&self.told);
        told.is_begun = true;
        told.wake();
    }

    /// Appends items. Nothing follows the last.
    pub(super) fn extend(&self, items: Vec<Item>) {
        let mut told = lock(&self.told);
        for item in items {
            if !told.has_ended {
                told.has_ended = is_last(&item);
                told.bytes += bytes_of(&item);
                told.items.push(item);
            }
        }
        told.wake();
    }

    /// Returns how many items it has.
    pub(super) fn length(&self) -> usize {
        lock(&self.told).items.len()
    }

    /// Returns how many bytes it takes, what was asked for included.
    pub(super) fn bytes(&self) -> usize {
        bytes_of_request(&self.request) + lock(&self.told).bytes
    }

    /// Waits until a function of the log returns a value.
    async fn when<T>(&self, there: impl Fn(&LogState) -> Option<T>) -> T {
        poll_fn(|cx| {
            let mut told = lock(&self.told);
            there(&told).map_or_else(|| told.wait(cx), Poll::Ready)
        })
        .await
    }
}

/// A share in a call that has a log. While there is a share, the call goes on.
pub(crate) struct LogShare(Arc<CallLog>);

impl LogShare {
    pub(super) fn new(log: Arc<CallLog>) -> Self {
        log.held.send_modify(|held| held.by += 1);
        Self(log)
    }

    pub(super) fn log(&self) -> &Arc<CallLog> {
        &self.0
    }

    pub(super) fn id(&self) -> CallId {
        self.0.id
    }

    pub(super) fn begun_at(&self) -> SystemTime {
        self.0.begun_at
    }

    /// Ends the call, for all its holders.
    pub(super) fn cancel(&self) {
        self.0.held.send_modify(|held| held.is_cancelled = true);
    }

    /// Returns when the call was accepted, or why it was not.
    pub(super) async fn accepted(&self) -> Result<(), Error> {
        let refused = |told: &LogState| match told.items.last() {
            Some(Err(error)) if !told.is_begun => Some(Err(error.clone())),
            _ => told.is_begun.then_some(Ok(())),
        };
        self.0.when(refused).await
    }

    /// Returns the whole answer, when it is there.
    pub(super) async fn reply(&self) -> Result<Reply, Error> {
        let last = |told: &LogState| if told.has_ended { told.items.last().cloned() } else { None };
        match self.0.when(last).await {
            Ok(ReplyEvent::Finished(finished)) => Ok((*finished).into()),
            Ok(_) => Err(Error::Crashed),
            Err(error) => Err(error),
        }
    }

    /// Tells whether the next process on the file goes on with the call, if this one does not.
    pub(super) fn outlives(&self) -> bool {
        self.0.is_durable && self.0.is_begun()
    }

    /// Looks at the last item.
    pub(super) fn look<T>(&self, at: impl FnOnce(Option<&Item>) -> T) -> T {
        at(lock(&self.0.told).items.last())
    }
}

impl Clone for LogShare {
    fn clone(&self) -> Self {
        Self::new(self.0.clone())
    }
}

impl Drop for LogShare {
    fn drop(&mut self) {
        self.0.held.send_modify(|held| held.by -= 1);
    }
}

impl fmt::Debug for LogShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LogShare").field(&self.0.id).finish()
    }
}

/// Reads a log from some place on.
pub(super) struct LogReader {
    hold: LogShare,
    at: usize,
}

impl LogReader {
    pub(super) fn new(hold: LogShare, at: usize) -> Self {
        Self { hold, at }
    }

    /// Returns the next item; `None` after the last.
    pub(super) fn poll_next(&mut self, cx: &Context<'_>) -> Poll<Option<Item>> {
        let mut told = lock(&self.hold.log().told);
        match told.items.get(self.at) {
            Some(item) => {
                self.at += 1;
                Poll::Ready(Some(item.clone()))
            }
            None if told.has_ended => Poll::Ready(None),
            None => told.wait(cx),
        }
    }
}

/// Returns how many bytes an item has, about.
pub(super) fn bytes_of(item: &Item) -> usize {
    let more = match item {
        Ok(ReplyEvent::Text(text) | ReplyEvent::Reasoning(text)) => text.len(),
        Ok(ReplyEvent::Verbatim(events)) => events.len(),
        Ok(ReplyEvent::Finished(finished)) => bytes_of_answer(finished),
        _ => 0,
    };
    size_of::<Item>() + more
}

fn bytes_of_answer(finished: &Finished) -> usize {
    let verbatim = finished.verbatim.as_ref().map_or(0, bytes::Bytes::len);
    size_of::<Finished>() + verbatim + finished.parts.iter().map(bytes_of_part).sum::<usize>()
}

fn bytes_of_part(part: &AssistantPart) -> usize {
    let words = match part {
        AssistantPart::Text(text) => text.as_str().len(),
        AssistantPart::Reasoning(reasoning) => reasoning.text.as_str().len(),
        AssistantPart::ToolCall(call) => call.arguments.as_str().len(),
        AssistantPart::Foreign(foreign) => foreign.json.len(),
    };
    size_of::<AssistantPart>() + words
}

/// Returns how many bytes a request has, about: its words share the body that it came in, where it came in one.
fn bytes_of_request(request: &ChatRequest) -> usize {
    let said = || request.texts().map(Text::length).sum();
    size_of::<ChatRequest>() + request.original.as_ref().map_or_else(said, |original| original.body.len())
}

//! Bodies of responses: whole, or a stream that is written as its reader takes it.
//!
//! Input: the runtime's events. Output: bytes in the caller's dialect. When the reader takes nothing the runtime's own
//! channel fills, and the provider waits. An answer that breaks off ends uncleanly, after its error has gone out; it
//! never looks whole.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream as _;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

use super::call_report::CallReport;
use super::pipelining::{ConnectionState, PROBE};
use crate::runtime::ReplyStream;
use crate::wire::serve::{Writer, wait_notice};
use crate::words::{AssistantPart, Error, Reply, ReplyEvent, StopReason, UnavailableTarget};

/// Bytes that go out in one piece, if they are there at once.
const PIECE: usize = 16 * 1024;
/// Bytes of a whole body that go out in one piece: what is below copies a piece behind the head.
const WHOLE_PIECE: usize = 64 * 1024;

/// A response's body.
pub(super) enum ReplyBody {
    /// All of it.
    Whole(Bytes),
    /// A stream.
    Stream(Box<Streaming>),
}

impl ReplyBody {
    /// Tells it which connection it goes out on.
    pub(super) fn on(mut self, line: Arc<ConnectionState>) -> Self {
        if let Self::Stream(streaming) = &mut self {
            streaming.line = Some(line);
        }
        self
    }
}

/// Makes a body a response.
pub(super) fn bytes(status: StatusCode, kind: &'static str, body: Bytes) -> Response<ReplyBody> {
    let length = body.len();
    let mut response = Response::new(ReplyBody::Whole(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CONTENT_LENGTH, length.into());
    response
}

/// An answer on its way.
pub(super) struct Streaming {
    source: EventSource,
    writer: Writer,
    out: Vec<u8>,
    keep_alive: Duration,
    quiet: Pin<Box<Sleep>>,
    /// When something last went out.
    spoke: Instant,
    state: BodyState,
    /// The call's record, where this is its one reader.
    record: Option<CallReport>,
    /// Whether it tells of an answer that is kept: that it failed is the answer, then.
    is_kept: bool,
    /// The connection that it goes out on.
    line: Option<Arc<ConnectionState>>,
    /// What the stream says while the call is parked.
    waiting: watch::Receiver<Option<WaitNotice>>,
}

/// What a parked call waits for: the targets, and when the first of them is expected back.
#[derive(Debug)]
pub(super) struct WaitNotice {
    until: Option<Instant>,
    barred: Vec<UnavailableTarget>,
}

impl WaitNotice {
    pub(super) fn new(back_in: Option<Duration>, barred: Vec<UnavailableTarget>) -> Self {
        Self { until: back_in.map(|wait| Instant::now() + wait), barred }
    }

    fn back_in(&self) -> Option<Duration> {
        self.until.map(|until| until.saturating_duration_since(Instant::now()))
    }

    pub(super) fn text(&self) -> String {
        wait_notice(self.back_in(), &self.barred)
    }
}

/// Where the events come from.
enum EventSource {
    /// As they come, to a client that is told what the call waits for.
    Live(ReplyStream, watch::Sender<Option<WaitNotice>>),
    /// When the answer is whole.
    Buffered(Pin<Box<dyn Future<Output = Result<Reply, Error>> + Send>>),
}

/// The state of the body.
#[derive(Clone, Copy, PartialEq, Eq)]
enum BodyState {
    Running,
    /// The last bytes are out; `true` if the end is clean.
    Ended(bool),
    /// The last bytes are being flushed; then the connection breaks.
    Breaking,
    Over,
}

impl Streaming {
    /// Returns the body of a stream whose first event, if any, came already.
    pub(super) fn live(
        stream: ReplyStream,
        first: Option<Result<ReplyEvent, Error>>,
        writer: Writer,
        keep_alive: Duration,
        record: CallReport,
    ) -> Self {
        let (tell, told) = watch::channel(None);
        let mut streaming = Self::new(EventSource::Live(stream, tell), told, writer, keep_alive, Some(record));
        match first {
            Some(event) => streaming.take(event),
            None => streaming.keep_alive(),
        }
        streaming
    }

    /// Returns the body of a stream that sends the whole answer at its end, and keep-alives while it waits.
    pub(super) fn buffered(
        reply: Pin<Box<dyn Future<Output = Result<Reply, Error>> + Send>>,
        waits: bool,
        told: watch::Receiver<Option<WaitNotice>>,
        writer: Writer,
        keep_alive: Duration,
        record: CallReport,
    ) -> Self {
        let mut streaming = Self::new(EventSource::Buffered(reply), told, writer, keep_alive, Some(record));
        if waits {
            streaming.keep_alive();
        }
        streaming
    }

    /// Returns the body of a stream of an answer that is kept.
    pub(super) fn kept(stream: ReplyStream, writer: Writer, keep_alive: Duration) -> Self {
        let (tell, told) = watch::channel(None);
        let mut streaming = Self::new(EventSource::Live(stream, tell), told, writer, keep_alive, None);
        streaming.is_kept = true;
        streaming.writer.begin(&mut streaming.out);
        streaming
    }

    fn new(
        source: EventSource,
        waiting: watch::Receiver<Option<WaitNotice>>,
        writer: Writer,
        keep_alive: Duration,
        record: Option<CallReport>,
    ) -> Self {
        let quiet = Box::pin(tokio::time::sleep(keep_alive));
        let spoke = Instant::now();
        let (out, state, is_kept) = (Vec::new(), BodyState::Running, false);
        Self { source, writer, out, keep_alive, quiet, spoke, state, record, is_kept, line: None, waiting }
    }

    fn wait_for(&self, waiting: Option<WaitNotice>) {
        if let EventSource::Live(_, tell) = &self.source {
            tell.send_replace(waiting);
        }
    }

    fn keep_alive(&mut self) {
        match &*self.waiting.borrow() {
            Some(notice) => self.out.extend_from_slice(&self.writer.waiting(notice.back_in(), &notice.barred)),
            None => self.out.extend_from_slice(self.writer.keep_alive()),
        }
    }

    /// Says something after so long a silence.
    fn keep_alive_after(&mut self, silence: Duration, cx: &Context<'_>) {
        if self.spoke + silence <= Instant::now() {
            self.keep_alive();
            cx.waker().wake_by_ref();
            self.spoke = Instant::now();
        }
    }

    fn take(&mut self, event: Result<ReplyEvent, Error>) {
        match event {
            Ok(event) => {
                self.writer.event(&event, &mut self.out);
                match event {
                    ReplyEvent::Waiting { back_in, barred } => {
                        self.wait_for(Some(WaitNotice::new(back_in, barred)));
                        // Of what is kept it may be long ago: it is said while nothing else comes.
                        if !self.is_kept {
                            self.keep_alive();
                        }
                    }
                    ReplyEvent::Started { call, target, .. } => {
                        self.wait_for(None);
                        if let Some(record) = &mut self.record {
                            record.started(call, &target);
                        }
                    }
                    ReplyEvent::Finished(finished) => {
                        if let Some(record) = &mut self.record {
                            record.finished((&*finished).into());
                        }
                        self.state = BodyState::Ended(true);
                    }
                    _ => {}
                }
            }
            // The process ends, and not the call: the next one tells what follows.
            Err(error) if self.is_kept && error.is_of_process() => self.state = BodyState::Ended(false),
            Err(error) => {
                self.writer.failed(&error, &mut self.out);
                if let Some(record) = &mut self.record {
                    record.failed(&error);
                }
                self.state = BodyState::Ended(self.is_kept);
            }
        }
    }

    /// Writes the events that are there; tells whether more may come at once.
    fn advance(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.source {
            EventSource::Live(stream, _) => match Pin::new(stream).poll_next(cx) {
                Poll::Ready(Some(event)) => self.take(event),
                Poll::Ready(None) => self.take(Err(Error::Crashed)),
                Poll::Pending => return Poll::Pending,
            },
            EventSource::Buffered(reply) => match reply.as_mut().poll(cx) {
                Poll::Ready(Ok(reply)) => self.play(reply),
                Poll::Ready(Err(error)) => self.take(Err(error)),
                Poll::Pending => return Poll::Pending,
            },
        }
        Poll::Ready(())
    }

    /// Writes a whole answer as a stream.
    fn play(&mut self, reply: Reply) {
        for event in events(reply) {
            self.take(Ok(event));
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        while self.state == BodyState::Running && self.out.len() < PIECE {
            if self.advance(cx).is_pending() {
                break;
            }
        }
        if !self.out.is_empty() {
            self.spoke = Instant::now();
            let bytes = Bytes::from(std::mem::take(&mut self.out));
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        match self.state {
            BodyState::Running => {
                // A client that sends no more may be gone, which a write shows: its connection wakes this for that.
                if self.line.as_ref().is_some_and(|line| line.is_half_closed()) {
                    self.keep_alive_after(PROBE, cx);
                }
                // The timer is set again when it fires, and not for every token.
                while self.quiet.as_mut().poll(cx).is_ready() {
                    self.keep_alive_after(self.keep_alive, cx);
                    self.quiet.as_mut().reset(self.spoke + self.keep_alive);
                }
                Poll::Pending
            }
            // The error event goes out before the connection breaks: one poll is left for the flush.
            BodyState::Ended(false) => {
                self.state = BodyState::Breaking;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            BodyState::Breaking => {
                self.state = BodyState::Over;
                Poll::Ready(Some(Err(Broken)))
            }
            BodyState::Ended(true) | BodyState::Over => Poll::Ready(None),
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes.split_to(bytes.len().min(WHOLE_PIECE)))))),
            Self::Stream(streaming) => streaming.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

/// The answer broke off; the connection must show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the answer broke off")
    }
}

impl std::error::Error for Broken {}

/// Returns a whole answer as the events it would have come in.
fn events(reply: Reply) -> impl Iterator<Item = ReplyEvent> {
    let finished = reply.finished;
    let pieces: Vec<ReplyEvent> = finished
        .parts
        .iter()
        .filter(|_| finished.verbatim.is_none())
        .filter_map(|part| match part {
            AssistantPart::Text(text) => Some(ReplyEvent::Text(text.as_str().to_owned())),
            AssistantPart::Reasoning(reasoning) => Some(ReplyEvent::Reasoning(reasoning.text.as_str().to_owned())),
            AssistantPart::ToolCall(_) | AssistantPart::Foreign(_) => None,
        })
        .collect();
    let started = ReplyEvent::Started {
        call: finished.call,
        target: finished.target.clone(),
        attempt: u32::try_from(finished.attempts.len()).unwrap_or(u32::MAX),
        prompt_tokens: finished.usage.input,
    };
    let refusal = (finished.stop == StopReason::Refusal && finished.verbatim.is_none()).then_some(ReplyEvent::Refusal);
    [started].into_iter().chain(refusal).chain(pieces).chain([ReplyEvent::Finished(Box::new(finished))])
}

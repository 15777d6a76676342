//! Passes a connection's bytes on one request at a time.
//!
//! Input: bytes. Output: the same, except for three things. First, what comes behind a request waits until that is
//! answered: hyper would keep it, no longer look at the socket, and not notice that its sender hung up. Second, heads
//! that two servers may read in two ways are made invalid, so that hyper refuses them: a line feed alone, which some
//! take for the end of a line and others do not, and the end of a head that says more than once how long its body is.
//! It never refuses by itself: where it does not understand the bytes, it lets everything pass.
//!
//! Third, a client may say that it sends no more, and still wait for its answer: the end of its bytes is handed on
//! behind that. Whether it waits, or is gone, only shows when something is sent to it: a `100 Continue` before the
//! answer, which every client of HTTP/1.1 skips, and keep-alives within a stream.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::Version;
use hyper::body::{Body, Frame, SizeHint};
use memchr::memchr;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::words::locks::lock;

/// The most bytes that wait behind a request. No client that is known sends any.
const WAITING_MAX: usize = 16 * 1024;
/// This much of a head is handed on at once: hyper begins with 8 KiB and doubles its room when a client fills that, and
/// each connection with half a head would keep it.
const HEAD_PIECE: usize = 8 * 1024 - 1;
/// This much of a head's line is looked at: names and numbers are shorter.
const LINE_MAX: usize = 64;

/// How many requests have begun to come, of all connections, and are not all there yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Arrivals(Arc<AtomicUsize>);

/// How often a client that sends no more is sent something, to see whether it is there.
pub(super) const PROBE: Duration = Duration::from_millis(250);
/// How long after the first time: the answer to that tells, and is here by then where the client is near.
const PROBE_AGAIN: Duration = Duration::from_millis(20);
/// What a client is sent before its answer.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(20);

impl Arrivals {
    /// Returns once no request has been coming for this long.
    pub(super) async fn none_for(&self, time: Duration) {
        let mut since = Instant::now();
        while since.elapsed() < time {
            tokio::time::sleep(LOOK).await;
            if self.0.load(SeqCst) > 0 {
                since = Instant::now();
            }
        }
    }
}

/// The state of a connection.
#[derive(Debug)]
pub(super) struct ConnectionState {
    counts: Mutex<RequestCounts>,
    arrivals: Arrivals,
}

#[derive(Debug)]
struct RequestCounts {
    /// Requests that the service was given.
    asked: u64,
    /// Requests that were answered, their last byte included.
    answered: u64,
    /// Whether a request comes, and is not all there.
    is_arriving: bool,
    /// Whether the present request may be answered by more than one head: not before HTTP/1.1.
    is_modern: bool,
    /// Whether its client sends no more.
    is_half_closed: bool,
    /// When it last became idle.
    since: Instant,
    reader: Option<Waker>,
}

/// A request's turn; it ends when this is dropped.
pub(super) struct RequestGuard(Arc<ConnectionState>);

impl ConnectionState {
    pub(super) fn new(arrivals: Arrivals) -> Arc<Self> {
        let counts = RequestCounts {
            asked: 0,
            answered: 0,
            is_arriving: false,
            is_modern: true,
            is_half_closed: false,
            since: Instant::now(),
            reader: None,
        };
        Arc::new(Self { counts: Mutex::new(counts), arrivals })
    }

    /// Notes that a request has begun to come.
    fn arrives(&self) {
        if !std::mem::replace(&mut self.lock().is_arriving, true) {
            self.arrivals.0.fetch_add(1, SeqCst);
        }
    }

    /// Notes that it is all there, or that no more of it is wanted.
    pub(super) fn has_arrived(&self) {
        if std::mem::take(&mut self.lock().is_arriving) {
            self.arrivals.0.fetch_sub(1, SeqCst);
        }
    }

    /// Begins a request's turn.
    pub(super) fn begin(self: &Arc<Self>, version: Version) -> RequestGuard {
        let mut turns = self.lock();
        turns.asked += 1;
        turns.is_modern = version >= Version::HTTP_11;
        drop(turns);
        RequestGuard(self.clone())
    }

    /// Tells whether its client sends no more, and may be gone.
    pub(super) fn is_half_closed(&self) -> bool {
        self.lock().is_half_closed
    }

    /// Tells whether nothing was asked for this long.
    pub(super) fn is_idle(&self, time: Duration) -> bool {
        let turns = self.lock();
        turns.asked == turns.answered && turns.since.elapsed() >= time
    }

    /// Tells whether this number of requests were answered.
    fn is_answered(&self, requests: u64) -> bool {
        self.lock().answered >= requests
    }

    /// Tells whether this number of requests were answered; if not, the task that asks is woken when another one is.
    fn answered(&self, requests: u64, cx: &Context<'_>) -> bool {
        let mut turns = self.lock();
        let done = turns.answered >= requests;
        if !done {
            turns.reader = Some(cx.waker().clone());
        }
        done
    }

    fn lock(&self) -> MutexGuard<'_, RequestCounts> {
        lock(&self.counts)
    }
}

impl Drop for ConnectionState {
    fn drop(&mut self) {
        self.has_arrived();
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.0.has_arrived();
        let mut turns = self.0.lock();
        turns.answered += 1;
        turns.since = Instant::now();
        if let Some(reader) = turns.reader.take() {
            reader.wake();
        }
    }
}

/// A response's body that ends its request's turn.
pub(super) struct GuardedBody<B> {
    body: B,
    _turn: RequestGuard,
}

impl<B> GuardedBody<B> {
    pub(super) fn new(body: B, turn: RequestGuard) -> Self {
        Self { body, _turn: turn }
    }
}

impl<B: Body + Unpin> Body for GuardedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A socket that is read a request at a time.
pub(super) struct Unpipelined<S> {
    stream: S,
    line: Arc<ConnectionState>,
    scan: Scan,
    /// The number of the request during which something was written last, and of the last whose answer is all written.
    spoke: u64,
    flushed: u64,
    /// When a client that sends no more is looked at again.
    probe: Option<Pin<Box<Sleep>>>,
    is_probed: bool,
    /// The bytes that came behind the request that is being answered.
    waiting: Vec<u8>,
}

impl<S> Unpipelined<S> {
    pub(super) fn new(stream: S, line: Arc<ConnectionState>) -> Self {
        Self {
            stream,
            line,
            scan: Scan::default(),
            spoke: 0,
            flushed: 0,
            probe: None,
            is_probed: false,
            waiting: Vec::new(),
        }
    }
}

impl<S: AsyncWrite + Unpin> Unpipelined<S> {
    /// Looks whether a client that sends no more is still there, while it is answered.
    fn is_there(&mut self, is_answered: bool, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(probe) = &mut self.probe else { return Poll::Pending };
        while probe.as_mut().poll(cx).is_ready() {
            let is_first = !std::mem::replace(&mut self.is_probed, true);
            probe.as_mut().reset(Instant::now() + if is_first { PROBE_AGAIN } else { PROBE });
            // Once its answer has begun, that is written to it.
            if is_answered || self.spoke == self.scan.requests {
                continue;
            }
            match Pin::new(&mut self.stream).poll_write(cx, CONTINUE) {
                Poll::Ready(Ok(written)) if written < CONTINUE.len() => {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(_)) | Poll::Pending => {}
            }
            if let Poll::Ready(Err(error)) = Pin::new(&mut self.stream).poll_flush(cx) {
                return Poll::Ready(Err(error));
            }
        }
        Poll::Pending
    }

    /// Notes that something was written. Hyper's own `100 Continue` is no beginning of an answer, if it goes out alone.
    fn wrote<'a>(&mut self, written: &Poll<io::Result<usize>>, bytes: impl Iterator<Item = &'a u8>) {
        let Poll::Ready(Ok(length @ 1..)) = written else { return };
        if *length != CONTINUE.len() || !bytes.eq(CONTINUE) {
            self.spoke = self.scan.requests;
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Unpipelined<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            let is_answered = this.line.answered(this.scan.requests, cx);
            if this.probe.is_some() && !(is_answered && this.flushed == this.scan.requests) {
                return this.is_there(is_answered, cx);
            }
            if is_answered {
                break;
            }
            let mut piece = [0; 1024];
            let mut piece = ReadBuf::new(&mut piece);
            std::task::ready!(Pin::new(&mut this.stream).poll_read(cx, &mut piece))?;
            if piece.filled().is_empty() {
                let mut turns = this.line.lock();
                if !turns.is_modern {
                    return Poll::Ready(Ok(()));
                }
                turns.is_half_closed = true;
                this.probe = Some(Box::pin(tokio::time::sleep(Duration::ZERO)));
                continue;
            }
            if this.waiting.len() + piece.filled().len() > WAITING_MAX {
                return Poll::Ready(Err(io::Error::other("too much came behind a request that is being answered")));
            }
            this.waiting.extend_from_slice(piece.filled());
        }
        let (from, is_in_body) = (buf.filled().len(), this.scan.is_in_body());
        if this.waiting.is_empty() && !is_in_body && buf.remaining() > HEAD_PIECE + 1 {
            // A long body has left this much room, of which a head needs a part.
            let mut piece = ReadBuf::new(buf.initialize_unfilled_to(HEAD_PIECE));
            std::task::ready!(Pin::new(&mut this.stream).poll_read(cx, &mut piece))?;
            let read = piece.filled().len();
            buf.advance(read);
        } else if this.waiting.is_empty() {
            // Nothing needs to be cleared for it: a byte more than a piece is put aside instead.
            std::task::ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
            let most = from + HEAD_PIECE;
            if !is_in_body && buf.filled().len() > most {
                this.waiting.extend_from_slice(&buf.filled()[most..]);
                buf.set_filled(most);
            }
        } else {
            let some = this.waiting.len().min(buf.remaining());
            buf.put_slice(&this.waiting[..some]);
            this.waiting.drain(..some);
        }
        let (requests, was_before) = (this.scan.requests, this.scan.is_before());
        let taken = from + this.scan.take(&mut buf.filled_mut()[from..]);
        if was_before && (this.scan.requests > requests || !this.scan.is_before()) {
            this.line.arrives();
        }
        if taken < buf.filled().len() {
            this.waiting.splice(..0, buf.filled()[taken..].iter().copied());
            buf.set_filled(taken);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Unpipelined<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(&written, buf.iter());
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wrote(&written, bufs.iter().flat_map(|buf| &**buf));
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        let this = &mut *self;
        if flushed.is_ready()
            && this.probe.is_some()
            && this.flushed < this.scan.requests
            && this.line.is_answered(this.scan.requests)
        {
            this.flushed = this.scan.requests;
            // It may be told of the end now.
            cx.waker().wake_by_ref();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Where in its requests a connection is.
#[derive(Debug, Default)]
struct Scan {
    place: ScanState,
    /// Requests that are all there.
    requests: u64,
    /// The beginning of the line that is being read.
    line: Vec<u8>,
    /// Its last byte.
    last: u8,
    length: u64,
    is_chunked: bool,
    /// How often the head has said how long its body is; a way that is not supported here counts twice.
    said: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ScanState {
    /// Before a request, where blank lines are none of a head.
    #[default]
    Before,
    Head,
    /// In a body, or in a chunk and the end of its line, of which this much is still to come.
    Body(u64),
    Size,
    Chunk(u64),
    Trailer,
    /// In bytes that are not understood.
    Lost,
}

impl Scan {
    /// Takes bytes up to the end of a request; returns how many.
    fn take(&mut self, bytes: &mut [u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &mut bytes[at..];
            match self.place {
                ScanState::Lost => return at + rest.len(),
                ScanState::Body(left) | ScanState::Chunk(left) => {
                    let some = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    at += some;
                    let left = left - some as u64;
                    match self.place {
                        ScanState::Body(_) if left == 0 => return self.over(at),
                        ScanState::Body(_) => self.place = ScanState::Body(left),
                        _ if left == 0 => self.place = ScanState::Size,
                        _ => self.place = ScanState::Chunk(left),
                    }
                }
                ScanState::Before | ScanState::Head | ScanState::Size | ScanState::Trailer => {
                    let end = memchr(b'\n', rest);
                    let part = &rest[..end.unwrap_or(rest.len())];
                    let room = LINE_MAX.saturating_sub(self.line.len()).min(part.len());
                    self.line.extend_from_slice(&part[..room]);
                    self.last = part.last().copied().unwrap_or(self.last);
                    at += part.len();
                    let Some(end) = end else { continue };
                    at += 1;
                    if self.last == b'\r' && !self.is_doubtful() {
                        self.last = 0;
                        if self.line_ended() {
                            return self.over(at);
                        }
                    } else if self.place != ScanState::Size {
                        // No head has such a byte: it will be refused. So will a line feed alone behind the size of a
                        // chunk.
                        rest[end] = 0;
                    }
                }
            }
        }
        at
    }

    /// Tells whether nothing of the next request has come: blank lines are nothing.
    fn is_before(&self) -> bool {
        self.place == ScanState::Before && matches!(self.line.as_slice(), b"" | b"\r")
    }

    /// Tells whether what comes next is of a body.
    fn is_in_body(&self) -> bool {
        matches!(self.place, ScanState::Body(_) | ScanState::Chunk(_))
    }

    fn over(&mut self, at: usize) -> usize {
        self.requests += 1;
        (self.place, self.length, self.is_chunked, self.said) = (ScanState::Before, 0, false, 0);
        at
    }

    /// Tells whether a head ends here that says more than once how long its body is.
    fn is_doubtful(&self) -> bool {
        self.place == ScanState::Head && self.said > 1 && self.line == b"\r"
    }

    /// Reads a line that has ended; tells whether the request ends with it.
    fn line_ended(&mut self) -> bool {
        let mut whole = std::mem::take(&mut self.line);
        let line = whole.strip_suffix(b"\r").unwrap_or(&whole);
        let next = match (self.place, line) {
            (ScanState::Before, b"") => ScanState::Before,
            (ScanState::Before, _) => ScanState::Head,
            (ScanState::Head, b"") if self.is_chunked => ScanState::Size,
            (ScanState::Head, b"") if self.length > 0 => ScanState::Body(self.length),
            (ScanState::Head | ScanState::Trailer, b"") => ScanState::Before,
            (ScanState::Head, line) => self.field(line),
            (ScanState::Size, line) => match size(line) {
                Some(0) => ScanState::Trailer,
                // The line's end is part of a chunk.
                Some(size) => size.checked_add(2).map_or(ScanState::Lost, ScanState::Chunk),
                None => ScanState::Lost,
            },
            (place, _) => place,
        };
        let ends = line.is_empty() && next == ScanState::Before && self.place != ScanState::Before;
        whole.clear();
        (self.place, self.line) = (next, whole);
        ends
    }

    /// Reads a header: two of them say how long a body is.
    fn field(&mut self, line: &[u8]) -> ScanState {
        let name = |name: &str| line.len() >= name.len() && line[..name.len()].eq_ignore_ascii_case(name.as_bytes());
        if name("transfer-encoding:") {
            self.is_chunked = true;
            let coding = line["transfer-encoding:".len()..].trim_ascii();
            self.said += if coding.eq_ignore_ascii_case(b"chunked") { 1 } else { 2 };
        } else if name("content-length:") {
            self.said += 1;
            let number = std::str::from_utf8(&line["content-length:".len()..]).ok();
            match number.and_then(|number| number.trim().parse().ok()) {
                Some(length) => self.length = length,
                None => return ScanState::Lost,
            }
        }
        ScanState::Head
    }
}

/// Returns the size of a chunk by its line.
fn size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| *byte == b';').next()?;
    u64::from_str_radix(std::str::from_utf8(digits).ok()?.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    /// Requests, one after another, as they may come.
    const REQUESTS: [&str; 6] = [
        "GET / HTTP/1.1\r\nhost: x\r\n\r\n",
        "\r\nPOST / HTTP/1.1\r\nhost: x\r\nContent-Length: 4\r\n\r\nab\ncd",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na\nb\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: y\r\n\r\n",
        "POST / HTTP/1.1\r\ncontent-length:0\r\n\r\n",
        "GET /a HTTP/1.1\r\nx: 0123456789012345678901234567890123456789012345678901234567890123456789\r\n\r\n",
    ];

    /// Returns where requests end, and the resulting bytes.
    fn scanned(bytes: &[u8], pieces: &[usize]) -> (Vec<usize>, Vec<u8>) {
        let (mut scan, mut bytes, mut ends, mut at) = (Scan::default(), bytes.to_vec(), Vec::new(), 0);
        let mut pieces = pieces.iter().copied().cycle();
        while at < bytes.len() {
            let end = (at + pieces.next().unwrap_or(usize::MAX)).min(bytes.len());
            let before = scan.requests;
            at += scan.take(&mut bytes[at..end]);
            if scan.requests > before {
                ends.push(at);
            }
        }
        (ends, bytes)
    }

    proptest! {
        #[test]
        fn requests_end_where_they_end_however_they_come(
            which in prop::collection::vec(0..REQUESTS.len(), 1..6),
            pieces in prop::collection::vec(1_usize..50, 1..9),
        ) {
            let (mut all, mut ends) = (Vec::new(), Vec::new());
            for which in which {
                // The second has one byte more than it says: that byte belongs to the next request, and is not spoiled.
                let request = if which == 1 { &REQUESTS[1][..REQUESTS[1].len() - 1] } else { REQUESTS[which] };
                all.extend_from_slice(request.as_bytes());
                ends.push(all.len());
            }
            let (found, bytes) = scanned(&all, &pieces);
            prop_assert_eq!(found, ends);
            prop_assert_eq!(bytes, all);
        }

        #[test]
        fn no_bytes_are_lost(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            piece in 1_usize..50,
        ) {
            let (_, after) = scanned(&bytes, &[piece]);
            prop_assert_eq!(after.len(), bytes.len());
            prop_assert!(after.iter().zip(&bytes).all(|(now, was)| now == was || (*was == b'\n' && *now == 0)));
        }
    }

    #[test]
    fn a_line_feed_alone_is_spoiled_in_heads_and_nowhere_else() {
        let (_, bytes) = scanned(b"GET / HTTP/1.1\nhost: x\r\ncontent-length: 2\r\n\r\n\n\n\n", &[3]);
        assert_eq!(bytes, b"GET / HTTP/1.1\0host: x\r\ncontent-length: 2\r\n\r\n\n\n\0");
    }

    #[test]
    fn a_head_that_says_twice_how_long_its_body_is_does_not_end() {
        for (fields, ends) in [
            ("content-length: 0\r\n", true),
            ("Transfer-Encoding: \tChunked \r\n\r\n0\r\n", true),
            ("content-length: 0\r\ncontent-length: 0\r\n", false),
            ("content-length: 0\r\ntransfer-encoding: chunked\r\n", false),
            ("transfer-encoding: chunked\r\ncontent-length: 0\r\n", false),
            ("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n", false),
            ("transfer-encoding: gzip, chunked\r\n", false),
            ("transfer-encoding:\r\n", false),
        ] {
            let head = format!("POST / HTTP/1.1\r\n{fields}\r\n");
            let (found, bytes) = scanned(head.as_bytes(), &[7]);
            assert_eq!((found.len() == 1, bytes == head.as_bytes()), (ends, ends), "{head:?}");
            // The next request is judged alone.
            let again = [REQUESTS[0], &head, &head].concat();
            assert_eq!(scanned(again.as_bytes(), &[9]).0.len(), if ends { 3 } else { 1 }, "{head:?}");
        }
    }

    #[tokio::test]
    async fn pipelined_bytes_wait_for_the_answer_and_a_hang_up_does_not() {
        let (near, mut far) = duplex(1024);
        let arrivals = Arrivals::default();
        let line = ConnectionState::new(arrivals.clone());
        let mut orderly = Unpipelined::new(near, line.clone());
        let request = REQUESTS[0].as_bytes();
        far.write_all(&[request, request, b"x"].concat()).await.expect("room");
        let mut buf = vec![0; 1024];
        let read = orderly.read(&mut buf).await.expect("bytes");
        assert_eq!(&buf[..read], request);
        let turn = line.begin(Version::HTTP_11);
        assert!(tokio::time::timeout(Duration::from_millis(50), orderly.read(&mut buf)).await.is_err(), "too early");
        assert!(!line.is_idle(Duration::ZERO));
        drop(turn);
        assert!(line.is_idle(Duration::ZERO));
        let read = orderly.read(&mut buf).await.expect("bytes");
        assert_eq!(&buf[..read], request);
        let turn = line.begin(Version::HTTP_11);
        drop(far);
        orderly.read(&mut buf).await.expect_err("its sender hung up");
        drop(turn);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_a_clients_bytes_is_handed_on_behind_its_answer_and_it_is_looked_at_meanwhile() {
        let (near, mut far) = duplex(1024);
        let line = ConnectionState::new(Arrivals::default());
        let mut orderly = Unpipelined::new(near, line.clone());
        far.write_all(REQUESTS[0].as_bytes()).await.expect("room");
        far.shutdown().await.expect("half of it");
        let mut buf = vec![0; 1024];
        assert_eq!(orderly.read(&mut buf).await.expect("bytes"), REQUESTS[0].len());
        let turn = line.begin(Version::HTTP_11);
        // Hyper's own is none of the answer.
        orderly.write_all(CONTINUE).await.expect("room");
        let waits = Duration::from_millis(600);
        assert!(tokio::time::timeout(waits, orderly.read(&mut buf)).await.is_err(), "it waits for its answer");
        assert!(line.is_half_closed());
        let read = far.read(&mut buf).await.expect("bytes");
        assert_eq!(buf[..read], CONTINUE.repeat(5), "hyper's, at once, soon again, and from time to time");
        orderly.write_all(b"an answer").await.expect("room");
        assert!(tokio::time::timeout(waits, orderly.read(&mut buf)).await.is_err(), "not all is written");
        drop(turn);
        assert!(tokio::time::timeout(waits, orderly.read(&mut buf)).await.is_err(), "not all is flushed");
        orderly.flush().await.expect("room");
        assert_eq!(orderly.read(&mut buf).await.expect("an end"), 0);
        let read = far.read(&mut buf).await.expect("bytes");
        assert_eq!(&buf[..read], b"an answer", "nothing comes between");
        // What is older than HTTP/1.1 knows one head alone.
        let (near, mut far) = duplex(1024);
        let line = ConnectionState::new(Arrivals::default());
        let mut orderly = Unpipelined::new(near, line.clone());
        far.write_all(REQUESTS[0].as_bytes()).await.expect("room");
        far.shutdown().await.expect("half of it");
        assert_eq!(orderly.read(&mut buf).await.expect("bytes"), REQUESTS[0].len());
        let _turn = line.begin(Version::HTTP_10);
        assert_eq!(orderly.read(&mut buf).await.expect("an end"), 0);
    }
}

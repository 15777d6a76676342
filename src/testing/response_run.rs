//! One request being answered: its score played in time, and its place in the log.
//!
//! A player asks when the next piece is due, waits, and takes it. Dropping a performance before its end means that the
//! client left.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::body_recorder::TimedPiece;
use super::record::{Outcome, SharedLog};
use super::response_plan::{End, Head, ResponsePlan};

/// One request being answered.
#[derive(Debug)]
pub(crate) struct ResponseRun {
    head: Option<Head>,
    pieces: std::vec::IntoIter<TimedPiece>,
    end: End,
    outcome: Outcome,
    /// When the next thing is due, except its own wait. Times are counted from the arrival, so that no task's slowness
    /// adds up.
    due: Instant,
    /// `None` for a request that was never received.
    ticket: Option<LogTicket>,
}

impl ResponseRun {
    pub(crate) fn new(score: ResponsePlan, arrived: Instant, ticket: Option<LogTicket>) -> Self {
        let ResponsePlan { wait, head, pieces, end, outcome } = score;
        Self { head, pieces: pieces.into_iter(), end, outcome, due: later(arrived, wait), ticket }
    }

    /// Returns when the head is due, or the end where there is none.
    pub(crate) fn due(&self) -> Instant {
        self.due
    }

    /// Takes the head. A body that is no stream goes out with it, on a socket in one write: the provider cannot know
    /// whether the client reads it.
    pub(crate) fn head(&mut self) -> Option<Head> {
        let head = self.head.take()?;
        if head.length.is_some() {
            let tokens = self.pieces.as_slice().iter().map(|piece| piece.tokens).sum();
            self.count(tokens);
            self.settle();
        }
        Some(head)
    }

    /// Returns when the next piece of the body is due.
    pub(crate) fn piece_due(&self) -> Option<Instant> {
        self.pieces.as_slice().first().map(|piece| later(self.due, piece.wait))
    }

    /// Takes the next piece of the body. The last one sets the request's outcome, before the client can see it, so that
    /// a test that has read an answer finds it in the log.
    pub(crate) fn take(&mut self) -> Option<Bytes> {
        let piece = self.pieces.next()?;
        self.due = later(self.due, piece.wait);
        self.count(piece.tokens);
        if self.pieces.as_slice().is_empty() {
            self.settle();
        }
        Some(piece.bytes)
    }

    /// Returns what happens after the last piece.
    pub(crate) fn end(&mut self) -> End {
        self.settle();
        self.end
    }

    fn count(&mut self, tokens: u32) {
        if let Some(ticket) = &mut self.ticket {
            ticket.tokens += u64::from(tokens);
        }
    }

    fn settle(&mut self) {
        if let Some(ticket) = &mut self.ticket {
            ticket.settle(self.outcome);
            if matches!(self.end, End::Hang | End::KeepAlive { .. }) {
                return;
            }
        }
        self.ticket = None;
    }
}

/// A time that overflows the clock becomes a day: no test waits that long.
fn later(from: Instant, wait: Duration) -> Instant {
    const FOR_EVER: Duration = Duration::from_secs(86_400);
    from.checked_add(wait).unwrap_or(from + FOR_EVER)
}

/// A request's place in the log and among those in flight, until it is dropped.
#[derive(Debug)]
pub(crate) struct LogTicket {
    log: SharedLog,
    /// When the provider was made.
    born: Instant,
    serial: u64,
    tokens: u64,
    is_settled: bool,
}

impl LogTicket {
    pub(crate) fn new(log: SharedLog, born: Instant, serial: u64) -> Self {
        Self { log, born, serial, tokens: 0, is_settled: false }
    }

    fn settle(&mut self, outcome: Outcome) {
        if !std::mem::replace(&mut self.is_settled, true) {
            self.log.lock().settle(self.serial, outcome, self.tokens);
        }
    }
}

impl Drop for LogTicket {
    fn drop(&mut self) {
        self.settle(Outcome::ClientLeft);
        self.log.lock().close(self.serial, self.born.elapsed());
    }
}

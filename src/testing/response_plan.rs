//! The score of one answer: every byte of it with its time, and how it ends. A player, in process or on a
//! socket, plays the same. Faults are edits of it. Nothing here reads a clock or waits.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::body_recorder::TimedPiece;
use super::dialects::ScriptedDialect;
use super::fault::{Fault, RetryHint};
use super::record::Outcome;

/// A response, head to end, with its times.
#[derive(Clone, Debug)]
pub(crate) struct ResponsePlan {
    /// From the request to the head; to the end, where there is no head.
    pub(crate) wait: Duration,
    /// The response's head; `None` where nothing is ever answered.
    pub(crate) head: Option<Head>,
    /// The body, piece by piece.
    pub(crate) pieces: Vec<TimedPiece>,
    /// What happens after the last piece.
    pub(crate) end: End,
    /// The outcome for the log once the end is reached.
    pub(crate) outcome: Outcome,
}

/// A response's head.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// Length of the body as the head promises it; `None` is a stream, of which every piece goes out by itself.
    pub(crate) length: Option<usize>,
}

/// What happens after a response's last piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The response is complete.
    Whole,
    /// The connection closes before the response is complete.
    Cut,
    /// The connection is reset.
    Reset,
    /// The connection is refused, before anything is sent.
    Refuse,
    /// Nothing more, without end.
    Hang,
    /// These bytes, again and again.
    KeepAlive { every: Duration, bytes: &'static [u8] },
}

impl ResponsePlan {
    /// Returns the score of a request without an answer.
    pub(crate) fn silent(end: End, outcome: Outcome) -> Self {
        Self { wait: Duration::ZERO, head: None, pieces: Vec::new(), end, outcome }
    }

    /// Returns the score of a response in one piece.
    pub(crate) fn whole(wait: Duration, status: u16, headers: HeaderMap, body: Bytes, outcome: Outcome) -> Self {
        let head = Some(Head { status, headers, length: Some(body.len()) });
        let pieces = vec![TimedPiece { wait: Duration::ZERO, bytes: body, tokens: 0 }];
        Self { wait, head, pieces, end: End::Whole, outcome }
    }

    /// Plays a fault's part in an answer; those that replace the answer or change what it says have none here.
    /// `error` is the dialect's error within a good answer, after this number of its pieces.
    pub(crate) fn spoil(&mut self, fault: &Fault, dialect: &dyn ScriptedDialect, error: impl FnOnce(usize) -> Bytes) {
        match fault {
            Fault::StallAfter(tokens) => {
                self.keep_tokens(*tokens);
                self.end = End::Hang;
            }
            Fault::CutAfter(tokens) => {
                self.keep_tokens(*tokens);
                self.end = End::Cut;
            }
            Fault::ErrorEvent { after } => {
                if self.is_stream() {
                    self.keep_tokens(*after);
                } else {
                    self.pieces.clear();
                }
                let error = error(self.pieces.len());
                self.pieces.push(TimedPiece { wait: Duration::ZERO, bytes: error, tokens: 0 });
                self.refit();
            }
            Fault::TruncatedJson => {
                let last = self.pieces.iter().rposition(|piece| piece.tokens > 0).unwrap_or(0);
                self.pieces.truncate(last + 1);
                if let Some(piece) = self.pieces.last_mut() {
                    piece.bytes.truncate(piece.bytes.len() / 2);
                }
                self.refit();
            }
            Fault::InvalidJson => {
                let middle = self.pieces.len() / 2;
                if let Some(piece) = self.pieces.get_mut(middle) {
                    piece.bytes = garbled(&piece.bytes);
                }
                self.refit();
            }
            Fault::LyingHeaders => {
                if let Some(head) = &mut self.head {
                    lie(&mut head.headers, dialect);
                }
            }
            _ => {}
        }
    }

    fn is_stream(&self) -> bool {
        self.head.as_ref().is_some_and(|head| head.length.is_none())
    }

    /// Drops everything after this number of tokens, and always the end. A body in one piece is cut in proportion.
    fn keep_tokens(&mut self, tokens: u32) {
        if !self.is_stream() {
            for piece in &mut self.pieces {
                let (kept, parts) = (tokens.min(piece.tokens), u64::from(piece.tokens) + 1);
                let share = piece.bytes.len() as u64 * u64::from(kept) / parts;
                piece.bytes.truncate(usize::try_from(share).unwrap_or(usize::MAX));
                piece.tokens = kept;
            }
            return;
        }
        let content_end = self.pieces.iter().rposition(|piece| piece.tokens > 0).map_or(1, |last| last + 1);
        self.pieces.truncate(content_end);
        let mut left = tokens;
        let fits = |piece: &&TimedPiece| match left.checked_sub(piece.tokens) {
            Some(rest) => {
                left = rest;
                true
            }
            None => false,
        };
        let kept = self.pieces.iter().take_while(fits).count();
        self.pieces.truncate(kept);
    }

    /// Makes the head promise what the body now has.
    fn refit(&mut self) {
        let sum = self.pieces.iter().map(|piece| piece.bytes.len()).sum();
        if let Some(length) = self.head.as_mut().and_then(|head| head.length.as_mut()) {
            *length = sum;
        }
    }
}

/// Spoils the first JSON object in it, with any text around it.
fn garbled(bytes: &Bytes) -> Bytes {
    let at = bytes.iter().position(|&byte| byte == b'{').map_or(0, |at| at + 1);
    [&bytes[..at], b"]", &bytes[at..]].concat().into()
}

/// Sets false headers: a limit is used up for an hour, in the dialect's form.
fn lie(headers: &mut HeaderMap, dialect: &dyn ScriptedDialect) {
    const HOUR: Duration = Duration::from_secs(3_600);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
    for hint in [RetryHint::Reset(HOUR), RetryHint::Seconds(HOUR)] {
        for (name, value) in dialect.rate_limit(hint, 1, "").headers {
            let value = HeaderValue::try_from(value).expect("a dialect's own headers are ASCII");
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}

//! The records of requests that a scripted provider received.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;

use crate::words::locks::lock;

/// One request, as the provider saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Number of the request, from 1. One that was refused a connection in process has a number and no record.
    pub serial: u64,
    /// The provider's age when the request was there.
    pub at: Duration,
    /// The provider's age when it was done with it: whole, given up, or the client gone.
    pub ended: Option<Duration>,
    /// Path of the address, without the query.
    pub path: String,
    /// The mark of repetitions of one call: the first of the headers `idempotency-key`, `x-client-request-id` and
    /// `x-session-id` that the request has.
    pub marker: Option<String>,
    /// The request's body.
    pub body: Bytes,
    /// Names of the faults that were on for it, whether or not they showed.
    pub faults: Vec<&'static str>,
    /// Its outcome.
    pub outcome: Outcome,
    /// Tokens that went out. Known at the end, 0 before.
    pub tokens: u64,
}

/// The outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing yet.
    Open,
    /// It got its whole answer.
    Answered,
    /// The provider refused it by itself, with this status.
    Rejected(u16),
    /// This fault was played to its end; for one that has none, to where the waiting begins.
    Fault(&'static str),
    /// The client went away before.
    ClientLeft,
}

/// Numbers of requests by outcome, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All that were received.
    pub received: u64,
    /// [`Outcome::Answered`].
    pub answered: u64,
    /// [`Outcome::Rejected`].
    pub rejected: u64,
    /// [`Outcome::Fault`].
    pub faulted: u64,
    /// [`Outcome::ClientLeft`].
    pub client_left: u64,
    /// Refused before they were received, where that can be counted: in process, and on connections that were open.
    pub refused: u64,
    /// Being worked on, waited for or hung right now.
    pub in_flight: u64,
    /// Tokens that went out in answers that ended, broke off or hang.
    pub tokens: u64,
}

/// The last records, and the counts of all.
#[derive(Debug)]
pub(crate) struct Log {
    records: VecDeque<Record>,
    records_max: usize,
    pub(crate) counts: Counts,
}

impl Log {
    pub(crate) fn new(records_max: usize) -> Self {
        Self { records: VecDeque::new(), records_max, counts: Counts::default() }
    }

    /// Adds the record of a request that was received. Serials ascend.
    pub(crate) fn open(&mut self, record: Record) {
        self.counts.received += 1;
        self.counts.in_flight += 1;
        if self.records_max == 0 {
            return;
        }
        if self.records.len() >= self.records_max {
            self.records.pop_front();
        }
        self.records.push_back(record);
    }

    /// Notes the outcome of a request.
    pub(crate) fn settle(&mut self, serial: u64, outcome: Outcome, tokens: u64) {
        let counts = &mut self.counts;
        counts.tokens += tokens;
        match outcome {
            Outcome::Open => {}
            Outcome::Answered => counts.answered += 1,
            Outcome::Rejected(_) => counts.rejected += 1,
            Outcome::Fault(_) => counts.faulted += 1,
            Outcome::ClientLeft => counts.client_left += 1,
        }
        if let Some(record) = self.find(serial) {
            record.outcome = outcome;
            record.tokens = tokens;
        }
    }

    /// Notes that a request is no longer in flight.
    pub(crate) fn close(&mut self, serial: u64, age: Duration) {
        self.counts.in_flight -= 1;
        if let Some(record) = self.find(serial) {
            record.ended = Some(age);
        }
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        self.records.iter().cloned().collect()
    }

    pub(crate) fn take(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.records).into()
    }

    /// Finds a record that is still there.
    fn find(&mut self, serial: u64) -> Option<&mut Record> {
        let at = self.records.binary_search_by_key(&serial, |record| record.serial).ok()?;
        self.records.get_mut(at)
    }
}

/// A log that the provider and the answers under way write to.
#[derive(Clone, Debug)]
pub(crate) struct SharedLog(Arc<Mutex<Log>>);

impl SharedLog {
    pub(crate) fn new(records_max: usize) -> Self {
        Self(Arc::new(Mutex::new(Log::new(records_max))))
    }

    /// No change under the lock is left half done, so a panic elsewhere does not harm the data.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Log> {
        lock(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(serial: u64) -> Record {
        Record {
            serial,
            at: Duration::ZERO,
            ended: None,
            path: "/".into(),
            marker: None,
            body: Bytes::new(),
            faults: vec![],
            outcome: Outcome::Open,
            tokens: 0,
        }
    }

    #[test]
    fn the_log_is_bounded_and_the_counts_are_not() {
        let mut log = Log::new(2);
        for serial in [1, 2, 5] {
            log.open(record(serial));
        }
        for serial in [1, 5] {
            log.settle(serial, Outcome::Answered, 3);
            log.close(serial, Duration::from_secs(serial));
        }
        let kept: Vec<_> = log.take().into_iter().map(|record| (record.serial, record.outcome)).collect();
        assert_eq!(kept, [(2, Outcome::Open), (5, Outcome::Answered)]);
        assert_eq!(log.counts, Counts { received: 3, answered: 2, in_flight: 1, tokens: 6, ..Counts::default() });
        log.settle(2, Outcome::ClientLeft, 0);
        log.close(2, Duration::ZERO);
        assert!(log.records().is_empty());
        assert_eq!(log.counts.in_flight, 0);
    }
}

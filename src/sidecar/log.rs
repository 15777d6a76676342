//! The log: lines that a thread of its own writes, so that no call waits.
//!
//! Input: lines. Output: the same to a sink that may be slow, full, closed or asleep. The caller of the log never waits
//! for that sink and never gets its errors: lines that the sink does not take in time are dropped and counted, and a
//! later line tells how many.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use memchr::memchr_iter;

use crate::words::locks::lock;

/// The most bytes that wait for the sink: some seconds of a busy sidecar's lines.
const BYTES_MAX: usize = 1024 * 1024;
/// How long the first line waits for others: a busy sidecar writes them together, and does not wake the log's thread
/// for each.
const GATHER: Duration = Duration::from_millis(10);
/// How long to wait for a sink that takes nothing at the moment.
const PAUSE: Duration = Duration::from_millis(10);

/// A log for which no request waits.
#[derive(Clone)]
pub struct Log(Arc<Shared>);

struct Shared {
    pending: Mutex<Pending>,
    changed: Condvar,
    lost: AtomicU64,
}

/// Lines to write.
#[derive(Default)]
struct Pending {
    lines: Vec<u8>,
    /// Whether the thread is awake: it has lines to write, or will look for them.
    busy: bool,
}

impl Log {
    /// Starts the thread that writes to the sink. `lost` makes the line that tells how many were dropped.
    ///
    /// # Errors
    /// If the system has no thread.
    pub fn to(sink: impl Write + Send + 'static, lost: fn(u64) -> String) -> io::Result<Self> {
        let shared = Arc::new(Shared { pending: Mutex::default(), changed: Condvar::new(), lost: AtomicU64::new(0) });
        let own = shared.clone();
        std::thread::Builder::new().name("log".to_owned()).spawn(move || own.run(sink, lost))?;
        Ok(Self(shared))
    }

    /// Takes a line, its end included, or drops it.
    pub fn line(&self, line: &[u8]) {
        let mut pending = self.0.lock();
        if pending.lines.len() + line.len() > BYTES_MAX {
            drop(pending);
            self.0.lost.fetch_add(1, Relaxed);
            return;
        }
        let asleep = pending.lines.is_empty() && !pending.busy;
        pending.lines.extend_from_slice(line);
        drop(pending);
        if asleep {
            self.0.changed.notify_all();
        }
    }

    /// Returns how many lines were dropped.
    pub fn lost(&self) -> u64 {
        self.0.lost.load(Relaxed)
    }

    /// Waits until everything is written, but no longer than this.
    pub fn settle(&self, patience: Duration) {
        let pending = self.0.lock();
        let unwritten = |pending: &mut Pending| pending.busy || !pending.lines.is_empty();
        drop(self.0.changed.wait_timeout_while(pending, patience, unwritten));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        lock(&self.pending)
    }

    fn run(&self, mut sink: impl Write, lost: fn(u64) -> String) {
        let (mut told, mut lines) = (0, Vec::new());
        loop {
            lines.clear();
            let mut pending = self.lock();
            pending.busy = false;
            self.changed.notify_all();
            while pending.lines.is_empty() {
                pending = self.changed.wait(pending).unwrap_or_else(PoisonError::into_inner);
            }
            pending.busy = true;
            drop(pending);
            sleep(GATHER);
            std::mem::swap(&mut self.lock().lines, &mut lines);
            let before = self.lost.load(Relaxed);
            if before > told && write(&mut sink, lost(before - told).as_bytes()) == 0 {
                told = before;
            }
            let dropped = write(&mut sink, &lines);
            self.lost.fetch_add(dropped, Relaxed);
        }
    }
}

/// Writes lines; returns how many did not reach the sink whole.
fn write(sink: &mut impl Write, lines: &[u8]) -> u64 {
    let mut rest = lines;
    while !rest.is_empty() {
        match sink.write(rest) {
            Ok(0) => break,
            Ok(written) => rest = &rest[written.min(rest.len())..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Another process made the sink non-blocking: it will take more after a while.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(PAUSE),
            Err(_) => break,
        }
    }
    memchr_iter(b'\n', rest).count() as u64
}

#[expect(clippy::disallowed_methods, reason = "no call waits for the log's own thread")]
fn sleep(time: Duration) {
    std::thread::sleep(time);
}

/// Escapes foreign text so that it cannot control a terminal or begin a second line.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() { out.extend(letter.escape_default()) } else { out.push(letter) }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// A sink for tests: it handles each write as scripted, and records what it took.
    struct Sink {
        orders: Receiver<io::Result<()>>,
        taken: Sender<String>,
    }

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.orders.recv().map_err(io::Error::other)??;
            let _ = self.taken.send(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn sink() -> (Log, Sender<io::Result<()>>, Receiver<String>) {
        let ((order, orders), (taken, took)) = (channel(), channel());
        let log = Log::to(Sink { orders, taken }, |count| format!("lost {count}\n")).expect("a thread");
        (log, order, took)
    }

    const PATIENCE: Duration = Duration::from_secs(10);

    #[test]
    fn a_stopped_sink_holds_up_no_writer_and_what_it_missed_is_counted_and_told() {
        let (log, order, took) = sink();
        let line = [&[b'x'; 1_023][..], b"\n"].concat();
        let count = 2 * BYTES_MAX / line.len();
        for _ in 0..count {
            log.line(&line);
        }
        let lost = log.lost();
        assert!(lost > 0 && lost < count as u64, "{lost}");
        log.settle(Duration::from_millis(10));
        for _ in 0..9 {
            order.send(Ok(())).expect("a sink");
        }
        log.settle(PATIENCE);
        let all: Vec<String> = took.try_iter().collect();
        let told: u64 = all.iter().filter_map(|text| text.strip_prefix("lost ")?.trim_end().parse::<u64>().ok()).sum();
        let came = all.iter().flat_map(|text| text.lines()).filter(|line| line.starts_with('x')).count() as u64;
        assert_eq!((told, came), (lost, count as u64 - lost));
    }

    #[test]
    fn errors_of_the_sink_cost_their_lines_and_no_more() {
        let (log, order, took) = sink();
        order.send(Err(io::ErrorKind::StorageFull.into())).expect("a sink");
        log.line(b"one\n");
        log.settle(PATIENCE);
        assert_eq!(log.lost(), 1);
        for _ in 0..3 {
            order.send(Ok(())).expect("a sink");
        }
        order.send(Err(io::ErrorKind::WouldBlock.into())).expect("a sink");
        order.send(Ok(())).expect("a sink");
        for line in ["two\n", "three\n", "four\n"] {
            log.line(line.as_bytes());
            log.settle(PATIENCE);
        }
        assert_eq!(took.try_iter().collect::<String>(), "lost 1\ntwo\nthree\nfour\n");
        assert_eq!(log.lost(), 1);
    }

    #[test]
    fn control_characters_in_the_log_are_escaped() {
        let said = printable("a\u{1b}[31m\n\u{9b}2J\u{7f} é\t\u{202e}");
        assert_eq!(said, "a\\u{1b}[31m\\n\\u{9b}2J\\u{7f} é\\t\u{202e}");
    }
}

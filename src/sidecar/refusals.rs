//! Refused requests: counted, and logged at intervals.
//!
//! Input: reasons. Output: a counter for each reason, and at most one log line per reason and interval, with the number
//! of refusals: a client that is refused a thousand times a second does not fill the log.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::words::locks::lock;
use crate::words::named::named;

/// The time between two lines of one reason.
const QUIET: Duration = Duration::from_secs(10);

/// Why a request was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// Its host is not ours, or missing.
    Host,
    /// A page that is not allowed.
    Page,
    /// A body that is no JSON.
    Content,
    /// A request that cannot be right, whoever answers it.
    Request,
    /// No key, or a wrong one.
    Key,
    /// A route that is not for the key.
    Route,
    /// Too many requests.
    Limit,
    /// Nothing at that address.
    Address,
    /// No room for the body, after its longest wait.
    Bodies,
    /// No place for the connection: it waits.
    Places,
    /// The system had no socket for the connection: it waits.
    Sockets,
    /// An answer that is kept, or was: it is not there, or cannot be read or deleted.
    Kept,
    /// Sent from here: a provider's address leads back.
    Loop,
}

named!(Reason {
    Host = "host",
    Page = "page",
    Content = "content",
    Request = "request",
    Key = "key",
    Route = "route",
    Limit = "limit",
    Address = "address",
    Bodies = "bodies",
    Places = "places",
    Sockets = "sockets",
    Kept = "kept",
    Loop = "loop",
});

/// All requests that were turned away.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<[RefusalCount; Reason::ALL.len()]>);

#[derive(Clone, Copy, Debug, Default)]
struct RefusalCount {
    all: u64,
    told: u64,
    last: Option<Instant>,
}

impl Refusals {
    /// Notes one.
    pub(super) fn note(&self, reason: Reason, peer: Option<SocketAddr>, now: Instant) {
        let Some(count) = self.count(reason, now) else { return };
        let peer = peer.map(|peer| peer.ip().to_string());
        tracing::warn!(reason = reason.name(), peer, count, "a request was refused, or had to wait");
    }

    /// Counts one; returns how many there were since the last line, if there is to be one.
    fn count(&self, reason: Reason, now: Instant) -> Option<u64> {
        let mut all = lock(&self.0);
        let noted = &mut all[reason as usize];
        noted.all = noted.all.saturating_add(1);
        if noted.last.is_some_and(|last| now.saturating_duration_since(last) < QUIET) {
            return None;
        }
        noted.last = Some(now);
        Some(noted.all - std::mem::replace(&mut noted.told, noted.all))
    }

    /// Returns how many there were of each reason.
    pub(super) fn counts(&self) -> [(&'static str, u64); Reason::ALL.len()] {
        let all = lock(&self.0);
        std::array::from_fn(|at| (Reason::ALL[at].name(), all[at].all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_is_counted_whole_and_told_in_few_lines() {
        let (refusals, start) = (Refusals::default(), Instant::now());
        let lines: Vec<u64> = (0..1_000u32)
            .filter_map(|at| refusals.count(Reason::Key, start + Duration::from_millis(25) * at))
            .collect();
        assert_eq!(lines, [1, 400, 400]);
        assert_eq!(refusals.count(Reason::Limit, start), Some(1), "another reason has lines of its own");
        assert_eq!(refusals.counts()[Reason::Key as usize], ("key", 1_000));
    }
}

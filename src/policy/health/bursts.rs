//! Attempts that began at the same moment, and how often their failures count.
//!
//! Input: when attempts began that failed or had content. Output: whether a failure counts.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Attempts that start within this time fail together.
const BURST: Duration = Duration::from_millis(250);
/// How often the failures of one burst count.
const BURST_FAILURES_MAX: u8 = 2;
/// Bursts that are remembered: at least 16 s of starts, as many as an attempt without content may last.
pub(super) const BURSTS_MAX: usize = 64;

/// Attempts that started together, anchored at the first that was heard of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Burst {
    anchor: Instant,
    failures: u8,
    content: bool,
}

/// The recent bursts. A hundred calls that fail at once are one event, unless one of them works: then they failed one
/// by one.
#[derive(Clone, Debug, Default)]
pub(super) struct Bursts(pub(super) VecDeque<Burst>);

impl Bursts {
    fn of(&mut self, started: Instant) -> &mut Burst {
        let distance = |anchor: Instant| started.max(anchor).duration_since(started.min(anchor));
        let known = self.0.iter().rposition(|burst| distance(burst.anchor) < BURST);
        let index = known.unwrap_or_else(|| {
            if self.0.len() == BURSTS_MAX {
                self.0.pop_front();
            }
            self.0.push_back(Burst { anchor: started, failures: 0, content: false });
            self.0.len() - 1
        });
        &mut self.0[index]
    }

    pub(super) fn counts_failure(&mut self, started: Instant) -> bool {
        let burst = self.of(started);
        let counts = burst.content || burst.failures < BURST_FAILURES_MAX;
        burst.failures = burst.failures.saturating_add(1);
        counts
    }

    pub(super) fn content(&mut self, started: Instant) {
        self.of(started).content = true;
    }
}

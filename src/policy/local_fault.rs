//! Tells our own network's failure from the providers'.
//!
//! In flow connect failures, deliveries and heartbeats of all providers, out flows since when the fault is ours. It
//! never touches a breaker: who asks it takes back what was counted (`Admission::local_fault`).

use std::time::{Duration, Instant, SystemTime};

/// Two hosts that fail within this time fail together.
const TOGETHER: Duration = Duration::from_secs(5);
/// Wall time that outruns monotonic time by this much means that the machine slept: monotonic clocks stop then.
const SUSPEND_MIN: Duration = Duration::from_secs(2);
/// A fault is believed so long without being confirmed anew. Without an end, a runtime whose calls all went quiet
/// would never probe again.
pub const LOCAL_FAULT_MAX: Duration = Duration::from_secs(60);

/// Connect failures since the last delivery.
#[derive(Clone, Debug)]
struct Run {
    first: Instant,
    host: String,
    last: Instant,
}

/// The guard of one runtime: connect failures on two different hosts within 5 s, and nobody has delivered a byte since
/// the first of them.
#[derive(Clone, Debug, Default)]
pub struct LocalFault {
    run: Option<Run>,
    confirmed: Option<Instant>,
    heartbeat: Option<(SystemTime, Instant)>,
}

impl LocalFault {
    /// Notes a connect failure. Returns, at confirmation only, since when failures are to be taken back.
    pub fn failed(&mut self, host: &str, now: Instant) -> Option<Instant> {
        let Some(run) = &mut self.run else {
            self.run = Some(Run { first: now, host: host.to_owned(), last: now });
            return None;
        };
        let together = run.host != host && now.saturating_duration_since(run.last) <= TOGETHER;
        let first = run.first;
        if run.host != host {
            host.clone_into(&mut run.host);
        }
        run.last = now;
        if !together {
            return None;
        }
        let since = now.checked_sub(TOGETHER).map_or(first, |earliest| earliest.max(first));
        self.confirm(since, now)
    }

    /// Notes the time on both clocks, at any regular interval. Returns, when the machine has slept since the last time,
    /// since when failures are to be taken back.
    pub fn heartbeat(&mut self, wall: SystemTime, now: Instant) -> Option<Instant> {
        let (wall_before, before) = self.heartbeat.replace((wall, now))?;
        let wall_passed = wall.duration_since(wall_before).unwrap_or_default();
        let slept = wall_passed >= now.saturating_duration_since(before) + SUSPEND_MIN;
        if slept { self.confirm(before, now) } else { None }
    }

    /// Notes that a provider delivered a byte: the network works.
    pub fn delivered(&mut self, _now: Instant) {
        (self.run, self.confirmed) = (None, None);
    }

    /// Tells whether the fault is ours now.
    pub fn active(&self, now: Instant) -> bool {
        self.confirmed.is_some_and(|at| now.saturating_duration_since(at) < LOCAL_FAULT_MAX)
    }

    fn confirm(&mut self, since: Instant, now: Instant) -> Option<Instant> {
        let news = !self.active(now);
        if news {
            self.confirmed = Some(now);
        }
        news.then_some(since)
    }
}

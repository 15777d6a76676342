//! Tells our own network's failure from the providers'.
//!
//! Input: connect failures, deliveries and heartbeats of all providers. Output: since when the fault is ours, and
//! since when no provider is reached. It never
//! touches a breaker: its caller takes back what was counted (`Admission::local_fault`).

use std::time::{Duration, Instant, SystemTime};

/// Two hosts that fail within this time fail together.
const TOGETHER: Duration = Duration::from_secs(5);
/// Wall time that outruns monotonic time by this much means that the machine slept: monotonic clocks stop then.
const SUSPEND_MIN: Duration = Duration::from_secs(2);
/// A fault is believed for this long without being confirmed again. Without an end, a runtime whose calls all went
/// quiet would never probe again.
pub const LOCAL_FAULT_MAX: Duration = Duration::from_secs(60);

/// Once nothing was reached for this long, connect failures count against their providers after all: two that are gone
/// for good would otherwise look well for ever. An outage here that lasts longer costs a probe of each when it ends.
pub const BLAMELESS_MAX: Duration = Duration::from_secs(5 * 60);

/// Connect failures since the last delivery.
#[derive(Clone, Debug)]
struct FailureRun {
    first: Instant,
    host: String,
    last: Instant,
}

/// The machine slept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MachineSleep {
    /// Since when failures are to be taken back; `None` where that was said before.
    pub since: Option<Instant>,
    /// How long.
    pub by: Duration,
}

/// One look at the clocks.
#[derive(Clone, Copy, Debug)]
struct Heartbeat {
    wall: SystemTime,
    uptime: Instant,
    now: Instant,
}

/// The guard of one runtime: connect failures on two different hosts within 5 s, and no provider has delivered a byte
/// since the first of them.
#[derive(Clone, Debug, Default)]
pub struct LocalFault {
    run: Option<FailureRun>,
    confirmed: Option<Instant>,
    /// Since when no provider was reached, once that is clear.
    unreached: Option<Instant>,
    /// Until when no new fault is suspected, because a provider delivered right after the last suspicion.
    acquitted: Option<Instant>,
    heartbeat: Option<Heartbeat>,
}

impl LocalFault {
    /// Notes a connect failure. Returns, at confirmation only, since when failures are to be taken back.
    pub fn failed(&mut self, host: &str, now: Instant) -> Option<Instant> {
        let Some(run) = &mut self.run else {
            self.run = Some(FailureRun { first: now, host: host.to_owned(), last: now });
            return None;
        };
        let quiet = now.saturating_duration_since(run.last);
        let together = run.host != host && quiet <= TOGETHER;
        let first = run.first;
        if quiet >= LOCAL_FAULT_MAX {
            self.unreached = None;
        }
        if run.host != host {
            host.clone_into(&mut run.host);
        }
        run.last = now;
        if !together {
            return None;
        }
        if self.acquitted.is_some_and(|until| now < until) {
            return None;
        }
        let since = now.checked_sub(TOGETHER).map_or(first, |earliest| earliest.max(first));
        let unreached = *self.unreached.get_or_insert(since);
        if now.saturating_duration_since(unreached) >= BLAMELESS_MAX {
            return None;
        }
        self.confirm(since, now)
    }

    /// Returns since when no provider is reached, while calls find it so: it is forgotten once none has tried for
    /// [`LOCAL_FAULT_MAX`]. Else a caller that sends calls only while all is well would never send one again.
    pub fn unreached(&self, now: Instant) -> Option<Instant> {
        let tried = self.run.as_ref().is_some_and(|run| now.saturating_duration_since(run.last) < LOCAL_FAULT_MAX);
        self.unreached.filter(|_| tried)
    }

    /// Notes the time, at any regular interval: on the wall, on the machine's monotonic clock, and on the clock of all
    /// others here, which a test may have paused. Tells when the machine has slept since the last time.
    pub fn heartbeat(&mut self, wall: SystemTime, uptime: Instant, now: Instant) -> Option<MachineSleep> {
        let before = self.heartbeat.replace(Heartbeat { wall, uptime, now })?;
        let wall_passed = wall.duration_since(before.wall).unwrap_or_default();
        let by = wall_passed.checked_sub(uptime.saturating_duration_since(before.uptime))?;
        (by >= SUSPEND_MIN).then(|| MachineSleep { since: self.confirm(before.now, now), by })
    }

    /// Notes that a provider delivered a byte: the network works. If a fault was believed, it is over, or there never
    /// was one: two providers that refuse while a third delivers would otherwise have their failures taken back call
    /// after call.
    pub fn delivered(&mut self, now: Instant) {
        if self.confirmed.take().is_some() {
            self.acquitted = Some(now + LOCAL_FAULT_MAX);
        }
        (self.run, self.unreached) = (None, None);
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

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn one_host_that_fails_is_the_hosts_fault() {
        let (mut guard, now) = (LocalFault::default(), Instant::now());
        assert!((0..9).all(|i| guard.failed("a", now + SECOND * i).is_none()));
        assert!(!guard.active(now + SECOND * 9));
    }

    #[test]
    fn two_hosts_that_fail_together_are_our_fault_and_it_is_reported_once() {
        let (mut guard, now) = (LocalFault::default(), Instant::now());
        assert_eq!(guard.failed("a", now), None);
        assert_eq!(guard.failed("b", now + SECOND * 4), Some(now));
        assert!(guard.active(now + SECOND * 4));
        assert_eq!(guard.failed("a", now + SECOND * 5), None);
    }

    #[test]
    fn two_hosts_that_fail_6_s_apart_are_not() {
        let (mut guard, now) = (LocalFault::default(), Instant::now());
        guard.failed("a", now);
        assert_eq!(guard.failed("b", now + SECOND * 6), None);
        assert_eq!(guard.failed("a", now + SECOND * 8), Some(now + SECOND * 3), "the last 5 s are taken back");
    }

    #[test]
    fn a_delivery_between_the_two_acquits_us_and_one_afterwards_ends_the_fault() {
        let (mut guard, now) = (LocalFault::default(), Instant::now());
        guard.failed("a", now);
        guard.delivered(now + SECOND);
        assert_eq!(guard.failed("b", now + SECOND * 2), None);
        assert_eq!(guard.failed("a", now + SECOND * 3), Some(now + SECOND * 2));
        guard.delivered(now + SECOND * 4);
        assert!(!guard.active(now + SECOND * 4));
    }

    #[test]
    fn a_network_that_was_acquitted_is_not_suspected_again_for_a_minute() {
        let (mut guard, now) = (LocalFault::default(), Instant::now());
        guard.failed("a", now);
        assert!(guard.failed("b", now).is_some());
        guard.delivered(now);
        for call in 1..60 {
            guard.failed("a", now + SECOND * call);
            assert_eq!(guard.failed("b", now + SECOND * call), None, "call {call}");
            guard.delivered(now + SECOND * call);
        }
        guard.failed("a", now + SECOND * 60);
        assert!(guard.failed("b", now + SECOND * 60).is_some());
    }

    #[test]
    fn a_fault_ends_after_a_minute_and_can_be_confirmed_anew() {
        let (mut guard, now) = (LocalFault::default(), Instant::now());
        guard.failed("a", now);
        guard.failed("b", now);
        let later = now + LOCAL_FAULT_MAX;
        assert!(!guard.active(later));
        guard.failed("a", later);
        assert_eq!(guard.failed("b", later), later.checked_sub(TOGETHER));
    }

    #[test]
    fn what_is_never_reached_is_told_and_is_the_providers_fault_after_five_minutes() {
        let (mut guard, begun) = (LocalFault::default(), Instant::now());
        let mut taken_back = Vec::new();
        assert_eq!(guard.unreached(begun), None);
        for second in 0..400 {
            let now = begun + SECOND * second;
            let since = [guard.failed("a", now), guard.failed("b", now)];
            taken_back.extend(since.into_iter().flatten().map(|_| second));
            assert_eq!(guard.unreached(now), Some(begun), "second {second}");
        }
        assert_eq!(taken_back, [0, 60, 120, 180, 240], "and not from 300 on");
        assert_eq!(guard.unreached(begun + SECOND * 399 + LOCAL_FAULT_MAX), None, "nobody has tried for a minute");
        let later = begun + SECOND * 999;
        guard.failed("a", later);
        assert_eq!((guard.failed("b", later).is_some(), guard.unreached(later).is_some()), (true, true), "begins anew");
        guard.delivered(later);
        assert_eq!(guard.unreached(later), None);
    }

    #[test]
    fn a_machine_that_slept_is_at_fault_and_a_slow_heartbeat_is_not() {
        let (mut guard, now, wall) = (LocalFault::default(), Instant::now(), SystemTime::now());
        let mut beat = |wall, now| guard.heartbeat(wall, now, now);
        assert_eq!(beat(wall, now), None);
        assert_eq!(beat(wall + SECOND * 30, now + SECOND * 29), None);
        let slept = MachineSleep { since: Some(now + SECOND * 29), by: SECOND * 68 };
        assert_eq!(beat(wall + SECOND * 99, now + SECOND * 30), Some(slept));
        assert_eq!(beat(wall, now + SECOND * 31), None, "a clock set back is no sleep");
        assert!(guard.active(now + SECOND * 30));
    }

    #[test]
    fn a_test_that_pauses_its_clock_is_no_sleep() {
        let (mut guard, now, wall) = (LocalFault::default(), Instant::now(), SystemTime::now());
        assert_eq!(guard.heartbeat(wall, now, now), None);
        assert_eq!(guard.heartbeat(wall + SECOND * 9, now + SECOND * 9, now + SECOND), None);
    }
}

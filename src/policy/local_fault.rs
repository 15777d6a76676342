//! Tells our own network's failure from the providers'.
//!
//! Input: connect failures, deliveries and heartbeats of all providers. Output: since when the fault is ours, and
//! since when no provider is reached. It never touches a breaker: its caller takes back what was counted
//! (`Admission::local_fault`).

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

/// What a look at the clocks tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockNews {
    /// The machine slept.
    Slept(MachineSleep),
    /// The wall's clock was set.
    Set {
        /// By how much.
        by: Duration,
        /// Whether it was set back.
        back: bool,
    },
}

/// One look at the clocks.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    /// The wall's, which goes on while the machine sleeps, and which somebody may set.
    pub wall: SystemTime,
    /// The machine's own, which goes on while it sleeps, and which nobody sets; where the system tells it.
    pub machine: Option<Duration>,
    /// The machine's own, which stands still while it sleeps.
    pub awake: Instant,
    /// The clock of all others here, which a test may have paused.
    pub now: Instant,
}

impl Clocks {
    /// Returns what happened since an earlier look: how long the machine slept and, where that is known, how far the
    /// wall's clock was set, and whether back.
    fn since(&self, before: &Self) -> (Duration, Option<(Duration, bool)>) {
        let awake = self.awake.saturating_duration_since(before.awake);
        let (wall, back) = match self.wall.duration_since(before.wall) {
            Ok(passed) => (passed, Duration::ZERO),
            Err(error) => (Duration::ZERO, error.duration()),
        };
        let Some(passed) = self.machine.zip(before.machine).map(|(now, then)| now.saturating_sub(then)) else {
            // A clock that is set forward looks like sleep.
            return (wall.saturating_sub(awake), None);
        };
        let set = match wall.checked_sub(passed) {
            Some(forward) if back.is_zero() => (forward, false),
            _ => ((passed + back).saturating_sub(wall), true),
        };
        (passed.saturating_sub(awake), Some(set))
    }
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
    heartbeat: Option<Clocks>,
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

    /// Notes the time, at any regular interval. Tells when the machine has slept since the last time, or its clock was
    /// set.
    pub fn heartbeat(&mut self, clocks: Clocks) -> Option<ClockNews> {
        let before = self.heartbeat.replace(clocks)?;
        let (by, set) = clocks.since(&before);
        if by >= SUSPEND_MIN {
            return Some(ClockNews::Slept(MachineSleep { since: self.confirm(before.now, clocks.now), by }));
        }
        set.filter(|(by, _)| *by >= SUSPEND_MIN).map(|(by, back)| ClockNews::Set { by, back })
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
        for has_machine in [false, true] {
            let (mut guard, now, wall) = (LocalFault::default(), Instant::now(), SystemTime::now());
            let mut beat = |passed, awake| {
                let machine = has_machine.then_some(SECOND * 1_000 + passed);
                guard.heartbeat(Clocks { wall: wall + passed, machine, awake: now + awake, now: now + awake })
            };
            assert_eq!(beat(Duration::ZERO, Duration::ZERO), None);
            assert_eq!(beat(SECOND * 30, SECOND * 29), None);
            let slept = MachineSleep { since: Some(now + SECOND * 29), by: SECOND * 68 };
            assert_eq!(beat(SECOND * 99, SECOND * 30), Some(ClockNews::Slept(slept)));
            assert!(guard.active(now + SECOND * 30));
        }
    }

    #[test]
    fn a_clock_that_is_set_is_no_sleep() {
        let (mut guard, now, wall) = (LocalFault::default(), Instant::now(), SystemTime::now() + SECOND * 10_000);
        let mut beat = |second: u32, wall| {
            let (machine, now) = (Some(SECOND * second), now + SECOND * second);
            guard.heartbeat(Clocks { wall, machine, awake: now, now })
        };
        let set = |by, back| Some(ClockNews::Set { by: SECOND * by, back });
        assert_eq!(beat(0, wall), None);
        assert_eq!(beat(1, wall + SECOND * 901), set(900, false));
        assert_eq!(beat(2, wall + SECOND * 902), None);
        assert_eq!(beat(3, wall + SECOND), set(902, true));
        assert_eq!(beat(13, wall + SECOND * 5), set(6, true), "it stood still, or was set a little");
        assert_eq!(beat(14, wall + SECOND * 7), None);
        assert!(!guard.active(now + SECOND * 14));
        // Where nothing better is known, one that is set back is no sleep.
        let mut guard = LocalFault::default();
        let mut beat = |wall| guard.heartbeat(Clocks { wall, machine: None, awake: now, now });
        assert_eq!((beat(wall), beat(wall - SECOND * 9)), (None, None));
    }

    #[test]
    fn a_test_that_pauses_its_clock_is_no_sleep() {
        let (mut guard, now, wall) = (LocalFault::default(), Instant::now(), SystemTime::now());
        let mut beat = |passed, paused| {
            let clocks = Clocks { wall: wall + passed, machine: Some(passed), awake: now + passed, now: now + paused };
            guard.heartbeat(clocks)
        };
        assert_eq!((beat(Duration::ZERO, Duration::ZERO), beat(SECOND * 9, SECOND)), (None, None));
    }
}

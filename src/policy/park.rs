//! Calls that wait for a target to come back: who goes next, and how fast.
//!
//! ```text
//!   a target:  shut ──admits──▶ one goes ──answers──▶ two more for each that was answered, at twice the proven rate
//!                ▲                  │
//!                └──refuses again───┴── failed: one more, after a moment
//! ```
//!
//! In flow calls that begin and cease to wait, what the targets say now, and what became of those that were let go; out
//! flow those that may go, and when to look again. Who waits for the same targets stands in one queue, by priority and
//! then by arrival. A target that comes back is asked by one; each that is answered lets two more go, and no second
//! carries more than twice what the best second before it has proven. So a thousand that wait for one limit are no
//! thousand that meet it. It never waits and knows no call.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::words::Priority;

/// The unit in which a proven load is counted.
const SECOND: Duration = Duration::from_secs(1);
/// How far one look may run ahead of the pace: timers are no finer.
const TICK: Duration = Duration::from_millis(10);
/// How long after one that failed the next one goes.
const AFTER_FAILURE: Duration = Duration::from_millis(100);
/// How long one that was let go may say nothing before the next one goes.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// How long after its time a target is asked: clocks differ.
const GRACE: Duration = Duration::from_millis(50);
/// The pause of a call that has just failed, before it waits again: doubled each time.
const PAUSE_BASE: Duration = Duration::from_secs(1);
/// The longest such pause.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// A place among those who wait: the first goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    priority: Reverse<Priority>,
    arrival: u64,
}

/// What a target says of calls that would go there now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// It admits them.
    Open,
    /// It does not until then.
    Until(Instant),
    /// It does not until something lets it: a place that is taken, an operator's override.
    Shut,
}

/// What a look at the lot came to.
#[derive(Debug)]
pub struct Look<K, W> {
    /// Who may go, and where each of them is expected.
    pub go: Vec<(W, K)>,
    /// When to look again, if nothing happens before.
    pub next: Option<Instant>,
}

/// Those who wait. `K` names targets, `W` wakes one who waits.
#[derive(Debug)]
pub struct Lot<K, W> {
    queues: BTreeMap<Arc<[K]>, BTreeMap<Place, W>>,
    paces: BTreeMap<K, Pace>,
    arrivals: u64,
}

impl<K, W> Default for Lot<K, W> {
    fn default() -> Self {
        Self { queues: BTreeMap::new(), paces: BTreeMap::new(), arrivals: 0 }
    }
}

impl<K: Ord + Clone, W> Lot<K, W> {
    /// Gives a call its place. It keeps it when it has to wait again.
    pub fn arrive(&mut self, priority: Priority) -> Place {
        self.arrivals += 1;
        Place { priority: Reverse(priority), arrival: self.arrivals }
    }

    /// Lets a call wait for the first of some targets.
    pub fn enter(&mut self, targets: Arc<[K]>, place: Place, waiter: W) {
        self.queues.entry(targets).or_default().insert(place, waiter);
    }

    /// Forgets a call that waits no more.
    pub fn leave(&mut self, targets: &Arc<[K]>, place: Place) {
        if let Some(queue) = self.queues.get_mut(targets) {
            queue.remove(&place);
            if queue.is_empty() {
                self.queues.remove(targets);
            }
        }
    }

    /// Tells whether somebody waits for just these targets who goes before a call that comes now.
    pub fn is_before(&self, targets: &Arc<[K]>, priority: Priority) -> bool {
        let first = self.queues.get(targets).and_then(|queue| queue.first_key_value());
        first.is_some_and(|(place, _)| place.priority <= Reverse(priority))
    }

    /// Returns who may go now.
    pub fn look(&mut self, now: Instant, mut gate: impl FnMut(&K) -> Gate) -> Look<K, W> {
        let (mut go, mut next): (Vec<(W, K)>, Option<Instant>) = (Vec::new(), None);
        let mut sooner = |at: Instant| next = Some(next.map_or(at, |next| next.min(at)));
        for key in self.queues.keys().flat_map(|keys| keys.iter()) {
            if !self.paces.contains_key(key) {
                self.paces.insert(key.clone(), Pace::new(now));
            }
        }
        let waited_for = |key: &K| self.queues.keys().any(|keys| keys.contains(key));
        self.paces.retain(|key, pace| pace.out > 0 || now < pace.went + SECOND || waited_for(key));
        for (key, pace) in &mut self.paces {
            let gate = gate(key);
            pace.hear(gate, now);
            if let Gate::Until(at) = gate {
                sooner(at.max(now) + GRACE);
            }
        }
        while let Some((place, keys, key)) = self.first(now) {
            if let Some(waiter) = self.queues.get_mut(&keys).and_then(|queue| queue.remove(&place))
                && let Some(pace) = self.paces.get_mut(&key)
            {
                pace.go(now);
                go.push((waiter, key));
            }
            self.queues.retain(|_, queue| !queue.is_empty());
        }
        for keys in self.queues.keys() {
            keys.iter().filter_map(|key| self.paces.get(key)?.due(now)).for_each(&mut sooner);
        }
        Look { go, next }
    }

    /// Returns who goes before all others whose target lets one go, and where to.
    fn first(&self, now: Instant) -> Option<(Place, Arc<[K]>, K)> {
        let ready = |key: &&K| self.paces.get(*key).is_some_and(|pace| pace.due(now).is_some_and(|at| at <= now));
        let first = self.queues.iter().filter_map(|(keys, queue)| {
            let key = keys.iter().find(ready)?;
            Some((*queue.first_key_value()?.0, keys, key))
        });
        let (place, keys, key) = first.min_by_key(|(place, ..)| *place)?;
        Some((place, keys.clone(), key.clone()))
    }

    /// Reports that one who was let go has been answered.
    pub fn proved(&mut self, key: &K, now: Instant) {
        if let Some(pace) = self.paces.get_mut(key) {
            pace.proved(now);
        }
    }

    /// Reports that one who was let go was not answered: it failed, waits again, or left.
    pub fn returned(&mut self, key: &K, now: Instant) {
        if let Some(pace) = self.paces.get_mut(key) {
            pace.returned(now);
        }
    }
}

/// How many are let go to one target.
#[derive(Clone, Copy, Debug)]
struct Pace {
    open: bool,
    /// How many may go, for each that was answered.
    may: u32,
    /// How many went and were not heard of.
    out: u32,
    /// When the next one may go, as far as the rate is concerned.
    next: Instant,
    /// When one went last.
    went: Instant,
    /// The second that runs, and how many were answered in it.
    second: Instant,
    answered: u32,
    /// The most that were answered in one second since it came back.
    proven: u32,
}

impl Pace {
    fn new(now: Instant) -> Self {
        Self { open: false, may: 1, out: 0, next: now, went: now, second: now, answered: 0, proven: 1 }
    }

    /// Takes in what the target says. One that has been away begins anew; one whose places are all taken goes on.
    fn hear(&mut self, gate: Gate, now: Instant) {
        match gate {
            Gate::Open => {
                self.roll(now);
                self.open = true;
            }
            Gate::Until(_) => *self = Self { out: self.out, ..Self::new(now) },
            Gate::Shut => self.open = false,
        }
    }

    fn roll(&mut self, now: Instant) {
        if now.saturating_duration_since(self.second) >= SECOND {
            self.proven = self.proven.max(self.answered);
            (self.second, self.answered) = (now, 0);
        }
    }

    /// Returns when the next one goes, if that is not for somebody else to say.
    fn due(&self, now: Instant) -> Option<Instant> {
        if !self.open {
            None
        } else if self.may > 0 {
            Some(self.next.max(now))
        } else {
            Some((self.went + SILENCE_MAX).max(self.next).max(now))
        }
    }

    fn go(&mut self, now: Instant) {
        self.may = self.may.saturating_sub(1);
        self.out += 1;
        self.went = now;
        let late = now.checked_sub(TICK).unwrap_or(now);
        self.next = self.next.max(late) + SECOND / self.proven.saturating_mul(2);
    }

    fn proved(&mut self, now: Instant) {
        self.roll(now);
        self.out = self.out.saturating_sub(1);
        self.answered = self.answered.saturating_add(1);
        self.may = self.may.saturating_add(2);
    }

    fn returned(&mut self, now: Instant) {
        self.out = self.out.saturating_sub(1);
        if self.may == 0 && self.out == 0 {
            self.may = 1;
        }
        self.next = self.next.max(now + AFTER_FAILURE);
    }
}

/// Returns the pause of a call that has tried in vain so many times since it first had to wait; `draw` is from 0 to 1.
pub fn pause(rounds: u32, draw: f64) -> Duration {
    let most = PAUSE_BASE.saturating_mul(1 << rounds.saturating_sub(1).min(10)).min(PAUSE_MAX);
    most.mul_f64(0.5 + draw.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests;

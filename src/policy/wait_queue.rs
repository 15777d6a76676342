//! Calls that wait for a place at a target, or for one to come back: which one goes next, and how fast.
//!
//! ```text
//!   a target:  full ───────one leaves──▶ the next one goes
//!              failed ────its breaker──▶ as many go as that lets through: a probe, then at most twice what is proven
//!              out for another reason──▶ eight go in a second, and each second twice as many, until it is out again
//! ```
//!
//! Input: calls that begin and cease to wait, what the targets say now, and what became of those that were let go.
//! Output: those that may go, and when to look again. Calls that wait for the same targets are in one queue: by
//! priority, then by deadline, then by arrival; but every eighth turn goes to the call that has waited longest, so that
//! no call waits for ever. Where many callers leave before they are answered, and the first in line has already waited
//! for half as long as they do, or could not be answered before it has waited as long, the newest goes first among
//! those whose callers set no deadline: in the order of arrival each place would go to a call whose caller is about to
//! leave. The eighth turn is then for the one that has waited longest of those that can be answered, and only the
//! eighth of these for any. A target that is well and full takes the next call for each that leaves. One that failed
//! proves itself to its breaker, which counts all of its attempts, parked calls or not: nothing is counted a second
//! time here. One that was out for another reason, such as a limit, was never ill and need not prove anything: its
//! calls go at a pace that doubles. So a thousand calls that wait for one target do not meet it at once. It never waits
//! and knows no call.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::snapshot::{BreakerState, Gate, Health, Refusal};
use crate::words::Priority;

mod awaited;

pub use awaited::{AwaitedTargets, look_at};

/// The unit in which a load is counted.
const SECOND: Duration = Duration::from_secs(1);
/// How far one look may run ahead of the pace: timers are no finer.
const TICK: Duration = Duration::from_millis(10);
/// After a call that found no place the next one goes a tick later. That pause doubles with each such call, this many
/// times at most.
const REFUSALS_DOUBLED: u32 = 6;
/// What a target is taken to carry in a second before any call has gone there.
const CARRIED_FIRST: u32 = 4;
/// What a target that comes back lets through in a window goes within this part of it.
const WINDOW_PART: f64 = 0.5;
/// How long after its time a target is asked: clocks differ.
const GRACE: Duration = Duration::from_millis(50);
/// The longest wait that is predicted, in seconds.
const FORETOLD_MAX: f64 = 24.0 * 60.0 * 60.0;
/// The pause of a call that has just failed, before it goes again: doubled each time.
const PAUSE_BASE: Duration = Duration::from_secs(1);
/// The longest such pause: how often a target is asked follows from its breaker and the pace, and not from this.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Of this many turns at a target the last does not go to the first call by rank, but to the one that has waited
/// longest.
const AGED: u32 = 8;
/// How many must have gone before their pace says when the next ones go.
const GONE_MIN: u32 = 4;
/// How long departures count: those of a longer time count half.
const GONE_SPAN: Duration = Duration::from_secs(10);
/// That callers leave matters once this many have left …
const LEFT_MIN: u32 = 3;
/// … and at least one in this many calls that went.
const LEFT_SHARE: u32 = 4;
/// How long callers that left count: those of a longer time count half.
const LEFT_SPAN: Duration = Duration::from_secs(60);

/// A rank among the waiting calls: the first goes first. By priority, then by deadline, then by arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct QueueRank {
    priority: Reverse<Priority>,
    due: Instant,
    arrival: u64,
    since: Instant,
    /// Whether its caller set its deadline.
    is_due: bool,
    /// How long its answer takes once it goes, as far as that is known.
    needs: Duration,
}

impl QueueRank {
    /// Returns it for a call whose answer takes so long once it goes.
    #[must_use]
    pub fn needing(self, needs: Duration) -> Self {
        Self { needs, ..self }
    }

    fn waited(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }
}

/// A target's gate for waiting calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capacity {
    /// It admits this many more.
    Free(u32),
    /// It comes back after failures.
    Recovering {
        /// It admits this many more …
        free: u32,
        /// … one after the other at this distance.
        apart: Duration,
    },
    /// It is well and full: until one leaves, or until this time.
    Full(Option<Instant>),
    /// It comes back, and carries no more until this time.
    RecoveringFrom(Instant),
    /// It is out until this time.
    OutUntil(Instant),
    /// It is away until something lets it: a probe that is out, an operator's override.
    Closed,
}

impl Capacity {
    /// Returns what a target says of calls that wait for it, for its health as last published.
    pub fn of(health: &Health, now: Instant) -> Self {
        let gates = health.gates();
        match (gates.refusal_of_waiting(now), health.breaker) {
            // One look is enough.
            (None, _) if gates.may_look(now) => Self::Free(1),
            (None, BreakerState::Ramp { per_second, .. }) if !health.forced_on => {
                let apart = Duration::try_from_secs_f64(WINDOW_PART / per_second).unwrap_or(SECOND).min(SECOND);
                Self::Recovering { free: health.free(), apart }
            }
            (None, _) => Self::Free(health.free()),
            (Some(refusal), _) if refusal.is_full() => Self::Full(refusal.until),
            (Some(Refusal { until: None, .. }), _) => Self::Closed,
            (Some(Refusal { gate: Gate::Breaker, until: Some(until) }), BreakerState::Ramp { .. }) => {
                Self::RecoveringFrom(until)
            }
            (Some(Refusal { until: Some(until), .. }), _) => Self::OutUntil(until),
        }
    }
}

/// The result of a look at the queues.
#[derive(Debug)]
pub struct Released<K, W> {
    /// The calls that may go, and where each of them is expected.
    pub go: Vec<(W, K)>,
    /// When to look again, if nothing happens before.
    pub next: Option<Instant>,
}

/// The waiting calls. `K` names targets, `W` wakes a waiter.
#[derive(Debug)]
pub struct WaitQueues<K, W> {
    queues: BTreeMap<Arc<[K]>, Queue<W>>,
    paces: BTreeMap<K, ReleasePace>,
    arrivals: u64,
}

/// Calls that wait for the same targets: by rank, and by arrival.
#[derive(Debug)]
struct Queue<W> {
    ranks: BTreeMap<QueueRank, Waiting<W>>,
    arrivals: BTreeMap<u64, QueueRank>,
}

/// A call that waits, and pauses until then.
#[derive(Debug)]
struct Waiting<W> {
    from: Instant,
    waiter: W,
}

impl<W> Queue<W> {
    /// Returns the first of those whose pause is over by then.
    fn first(&self, by: Instant) -> Option<QueueRank> {
        self.ranks.iter().find(|(_, waiting)| waiting.from <= by).map(|(rank, _)| *rank)
    }

    /// Returns the newest of them of a priority, of those whose callers set no deadline.
    fn newest(&self, priority: Reverse<Priority>, by: Instant) -> Option<QueueRank> {
        let same = self.ranks.iter().rev().skip_while(|(rank, _)| rank.priority > priority);
        let mut same = same.take_while(|(rank, _)| rank.priority == priority);
        same.find(|(rank, waiting)| !rank.is_due && waiting.from <= by).map(|(rank, _)| *rank)
    }

    /// Returns the oldest of them that fits.
    fn oldest(&self, by: Instant, fits: impl Fn(&QueueRank) -> bool) -> Option<QueueRank> {
        let is_ready = |rank: &&QueueRank| self.ranks.get(rank).is_some_and(|waiting| waiting.from <= by);
        self.arrivals.values().filter(is_ready).find(|rank| fits(rank)).copied()
    }

    /// Returns when the first pause is over.
    fn ready(&self) -> Option<Instant> {
        self.ranks.values().map(|waiting| waiting.from).min()
    }
}

impl<W> Default for Queue<W> {
    fn default() -> Self {
        Self { ranks: BTreeMap::new(), arrivals: BTreeMap::new() }
    }
}

impl<K, W> Default for WaitQueues<K, W> {
    fn default() -> Self {
        Self { queues: BTreeMap::new(), paces: BTreeMap::new(), arrivals: 0 }
    }
}

impl<K: Ord + Clone, W> WaitQueues<K, W> {
    /// Gives a call its rank, which it keeps when it has to wait again; `is_due` if its caller set its deadline.
    pub fn arrive(&mut self, priority: Priority, due: Instant, is_due: bool, now: Instant) -> QueueRank {
        self.arrivals += 1;
        let (arrival, needs) = (self.arrivals, Duration::ZERO);
        QueueRank { priority: Reverse(priority), due, arrival, since: now, is_due, needs }
    }

    /// Lets a call wait for the first of some targets. It pauses until `from`, unless one of them recovers: a call that
    /// has failed does not ask again at once, but that a target is back was found out by another one.
    pub fn enter(&mut self, targets: Arc<[K]>, rank: QueueRank, from: Instant, waiter: W) {
        let queue = self.queues.entry(targets).or_default();
        queue.arrivals.insert(rank.arrival, rank);
        queue.ranks.insert(rank, Waiting { from, waiter });
    }

    /// Notes that a target was seen full, and so is well.
    pub fn full(&mut self, key: &K, now: Instant) {
        self.paces.entry(key.clone()).or_insert_with(|| ReleasePace::new(now)).is_well = true;
    }

    /// Forgets a call that no longer waits; returns what would have woken it.
    pub fn leave(&mut self, targets: &Arc<[K]>, rank: QueueRank) -> Option<W> {
        let queue = self.queues.get_mut(targets)?;
        queue.arrivals.remove(&rank.arrival);
        let waiter = queue.ranks.remove(&rank);
        if queue.ranks.is_empty() {
            self.queues.remove(targets);
        }
        waiter.map(|waiting| waiting.waiter)
    }

    /// Tells whether at each of these targets a call waits that goes before a call that comes now. A call that would
    /// not wait for a target to come back is only behind those that wait for one that is well.
    pub fn is_before(&self, targets: &[K], priority: Priority, due: Instant, waits: bool, now: Instant) -> bool {
        let (arrival, needs) = (u64::MAX, Duration::ZERO);
        let rank = QueueRank { priority: Reverse(priority), due, arrival, since: due, is_due: true, needs };
        let counts = |key: &K| waits || self.paces.get(key).is_some_and(|pace| pace.is_well);
        let before = |(keys, queue): (&Arc<[K]>, &Queue<W>), key: &K| {
            keys.contains(key) && queue.first(now).is_some_and(|first| first < rank)
        };
        !targets.is_empty() && targets.iter().all(|key| counts(key) && self.queues.iter().any(|it| before(it, key)))
    }

    /// Returns how long a call of this rank will wait for its turn, as far as the pace of those before it tells.
    pub fn wait(&self, targets: &[K], rank: QueueRank, now: Instant) -> Option<Duration> {
        let per_second = targets.iter().filter_map(|key| self.paces.get(key)?.per_second(now)).sum::<f64>();
        let shares = |keys: &Arc<[K]>| keys.iter().any(|key| targets.contains(key));
        let before = |queue: &Queue<W>| queue.ranks.range(..rank).count();
        let ahead: usize = self.queues.iter().filter(|(keys, _)| shares(keys)).map(|(_, queue)| before(queue)).sum();
        (per_second > 0.0).then(|| Duration::from_secs_f64(((ahead + 1) as f64 / per_second).min(FORETOLD_MAX)))
    }

    /// Returns the call of a kind that goes last.
    pub fn last(&self, of: impl Fn(&W) -> bool) -> Option<(Arc<[K]>, QueueRank)> {
        let last = |queue: &Queue<W>| Some(*queue.ranks.iter().rev().find(|(_, waiting)| of(&waiting.waiter))?.0);
        let all = self.queues.iter().filter_map(|(keys, queue)| Some((last(queue)?, keys)));
        all.max_by_key(|(rank, _)| *rank).map(|(rank, keys)| (keys.clone(), rank))
    }

    /// Returns the calls that may go now.
    pub fn look(&mut self, now: Instant, mut gate: impl FnMut(&K) -> Capacity) -> Released<K, W> {
        let (mut go, mut next): (Vec<(W, K)>, Option<Instant>) = (Vec::new(), None);
        let mut sooner = |at: Instant| next = Some(next.map_or(at, |next| next.min(at)));
        for key in self.queues.keys().flat_map(|keys| keys.iter()) {
            if !self.paces.contains_key(key) {
                self.paces.insert(key.clone(), ReleasePace::new(now));
            }
        }
        let waited_for = |key: &K| self.queues.keys().any(|keys| keys.contains(key));
        self.paces.retain(|key, pace| pace.going > 0 || now < pace.went + SECOND || waited_for(key));
        let mut ready = Vec::new();
        for (key, pace) in &mut self.paces {
            let gate = gate(key);
            pace.hear(gate, now);
            match gate {
                Capacity::OutUntil(at) => sooner(at.max(now) + GRACE),
                Capacity::Full(Some(at)) | Capacity::RecoveringFrom(at) => sooner(at.max(now + TICK)),
                Capacity::Free(_) | Capacity::Recovering { .. } | Capacity::Full(None) | Capacity::Closed => {}
            }
            if !waited_for(key) {
                pace.rest(now);
            } else if pace.is_due(now) {
                ready.push(key.clone());
            }
        }
        for key in ready {
            while let Some(waiter) = self.take(&key, now) {
                go.push((waiter, key.clone()));
            }
        }
        for (keys, queue) in &self.queues {
            let ready = queue.ready().unwrap_or(now);
            let due = |pace: &ReleasePace| Some(pace.due(now)?.max(if pace.recovers() { now } else { ready }));
            keys.iter().filter_map(|key| due(self.paces.get(key)?)).for_each(&mut sooner);
        }
        Released { go, next }
    }

    /// Lets the next one go to a target, if one may.
    fn take(&mut self, key: &K, now: Instant) -> Option<W> {
        let pace = self.paces.get(key).filter(|pace| pace.is_due(now))?;
        let is_last_of = |turns: u32| pace.turns % turns == turns - 1;
        let by = if pace.recovers() { now + PAUSE_MAX } else { now };
        let queues = self.queues.iter().filter(|(keys, _)| keys.contains(key));
        let fits = |rank: &QueueRank| is_last_of(AGED * AGED) || !pace.leavers.miss(*rank, now);
        let oldest = queues.clone().filter_map(|(keys, queue)| Some((queue.oldest(by, fits)?, keys)));
        let aged = if is_last_of(AGED) { oldest.min_by_key(|(rank, _)| rank.arrival) } else { None };
        let first = queues.clone().filter_map(|(keys, queue)| Some((queue.first(by)?, keys)));
        let (next, keys) = match (aged, first.min_by_key(|(rank, _)| *rank)?) {
            (Some(aged), _) => aged,
            (None, (rank, _)) if pace.leavers.are_before(rank, now) => {
                let newest = queues.filter_map(|(keys, queue)| Some((queue.newest(rank.priority, by)?, keys)));
                newest.max_by_key(|(rank, _)| rank.arrival)?
            }
            (None, first) => first,
        };
        let keys = keys.clone();
        let waiter = self.leave(&keys, next)?;
        self.paces.get_mut(key)?.go(now);
        Some(waiter)
    }

    /// Reports that a call that was let go has arrived there, or has gone to another target: from now on the target
    /// counts those that are there itself, and this one's turn goes to the next one.
    pub fn arrived(&mut self, key: &K) {
        if let Some(pace) = self.paces.get_mut(key) {
            pace.arrived();
        }
    }

    /// Reports that a call that was let go found no place, or left before: what the target says may be a moment old.
    pub fn refused(&mut self, key: &K, now: Instant) {
        if let Some(pace) = self.paces.get_mut(key) {
            pace.refused(now);
        }
    }

    /// Reports that a call's caller left, while it waited for some targets or for one's answer.
    pub fn left(&mut self, keys: &[K], rank: QueueRank, now: Instant) {
        for key in keys {
            if let Some(pace) = self.paces.get_mut(key) {
                pace.leavers.left(rank.waited(now), now);
            }
        }
    }
}

/// How many are let go to one target.
#[derive(Clone, Copy, Debug)]
struct ReleasePace {
    /// Whether only its places limit it: it was seen to carry as many as it may, and has not been away since.
    is_well: bool,
    /// How many more it admits, and how many of those places are reserved: their calls were let go and have not arrived
    /// yet.
    free: u32,
    going: u32,
    /// The distance between two, where its breaker says how many go.
    apart: Option<Duration>,
    /// When the next one may go by the rate alone.
    next: Instant,
    /// When the next call may go, after one that found no place.
    not_before: Instant,
    /// How many found no place since one has arrived.
    refusals: u32,
    /// When a call went last.
    went: Instant,
    /// The current second, and how many went in it.
    second: Instant,
    carries: u32,
    /// The most that went in one second since it was away.
    carried: u32,
    /// How many went at all; and since when at least one call waits without a break, and how many went since then.
    turns: u32,
    since: Instant,
    gone: u32,
    leavers: CallerDepartures,
}

/// The callers that left before they were answered, beside those that went.
#[derive(Clone, Copy, Debug)]
struct CallerDepartures {
    since: Instant,
    went: u32,
    left: u32,
    /// How long the last one had waited.
    patience: Duration,
}

impl CallerDepartures {
    const fn new(now: Instant) -> Self {
        Self { since: now, went: 0, left: 0, patience: Duration::ZERO }
    }

    /// Returns them as they count now.
    fn at(self, now: Instant) -> Self {
        match now.saturating_duration_since(self.since) {
            age if age < LEFT_SPAN => self,
            age if age < LEFT_SPAN * 2 => Self { since: now, went: self.went / 2, left: self.left / 2, ..self },
            _ => Self::new(now),
        }
    }

    fn went(&mut self, now: Instant) {
        *self = self.at(now);
        self.went = self.went.saturating_add(1);
    }

    fn left(&mut self, waited: Duration, now: Instant) {
        *self = self.at(now);
        (self.left, self.patience) = (self.left.saturating_add(1), waited);
    }

    /// Returns how long callers wait, where many leave.
    fn patience(self, now: Instant) -> Option<Duration> {
        let Self { went, left, patience, .. } = self.at(now);
        (left >= LEFT_MIN && left.saturating_mul(LEFT_SHARE) >= went).then_some(patience)
    }

    /// Tells whether many leave, and would before this call's answer. Those that set a deadline leave then.
    fn miss(self, rank: QueueRank, now: Instant) -> bool {
        !rank.is_due && self.patience(now).is_some_and(|patience| rank.waited(now) + rank.needs >= patience)
    }

    /// Tells whether many leave, and a call that has waited for so long will hardly be answered before its caller does.
    fn are_before(self, rank: QueueRank, now: Instant) -> bool {
        let is_late = |patience: Duration| rank.waited(now) >= patience / 2;
        !rank.is_due && (self.miss(rank, now) || self.patience(now).is_some_and(is_late))
    }
}

impl ReleasePace {
    fn new(now: Instant) -> Self {
        Self {
            is_well: false,
            free: 0,
            going: 0,
            apart: None,
            next: now,
            not_before: now,
            refusals: 0,
            went: now,
            second: now,
            carries: 0,
            carried: CARRIED_FIRST,
            turns: 0,
            since: now,
            gone: 0,
            leavers: CallerDepartures::new(now),
        }
    }

    /// Notes the target's gate. The pace begins anew after a target was out; a target whose places are all taken is
    /// well.
    fn hear(&mut self, gate: Capacity, now: Instant) {
        self.roll(now);
        (self.free, self.apart) = (0, None);
        match gate {
            Capacity::Free(free) => self.free = free,
            Capacity::Recovering { free, apart } => (self.is_well, self.free, self.apart) = (false, free, Some(apart)),
            Capacity::Full(_) => self.is_well = true,
            Capacity::OutUntil(_) => {
                let Self { going, turns, leavers, .. } = *self;
                *self = Self { going, turns, leavers, ..Self::new(now) };
            }
            Capacity::RecoveringFrom(_) | Capacity::Closed => self.is_well = false,
        }
    }

    /// Notes that no call waits for it.
    fn rest(&mut self, now: Instant) {
        (self.since, self.gone) = (now, 0);
    }

    fn roll(&mut self, now: Instant) {
        if now.saturating_duration_since(self.second) >= SECOND {
            self.carried = self.carried.max(self.carries);
            (self.second, self.carries) = (now, 0);
        }
    }

    /// Returns when the next one goes, if that does not depend on another event.
    fn due(&self, now: Instant) -> Option<Instant> {
        let paced = if self.is_well { now } else { self.next };
        (self.free > self.going).then(|| paced.max(self.not_before).max(now))
    }

    /// Tells whether it comes back after failures, and takes more than probes.
    const fn recovers(&self) -> bool {
        self.apart.is_some()
    }

    fn is_due(&self, now: Instant) -> bool {
        self.due(now).is_some_and(|at| at <= now)
    }

    fn go(&mut self, now: Instant) {
        self.roll(now);
        self.carries = self.carries.saturating_add(1);
        self.going += 1;
        self.went = now;
        self.turns = self.turns.wrapping_add(1);
        if now.saturating_duration_since(self.since) > GONE_SPAN {
            (self.since, self.gone) = (now.checked_sub(GONE_SPAN / 2).unwrap_or(now), self.gone / 2);
        }
        self.gone += 1;
        self.leavers.went(now);
        let late = now.checked_sub(TICK).unwrap_or(now);
        self.next = self.next.max(late) + self.apart.unwrap_or(SECOND / self.carried.saturating_mul(2));
    }

    /// Notes that one that went has arrived.
    fn arrived(&mut self) {
        (self.going, self.refusals) = (self.going.saturating_sub(1), 0);
    }

    /// Notes that one that went found no place: it proves no load, and where that goes on the next one goes ever later.
    fn refused(&mut self, now: Instant) {
        (self.going, self.carries) = (self.going.saturating_sub(1), self.carries.saturating_sub(1));
        self.not_before = now + TICK.saturating_mul(1 << self.refusals.min(REFUSALS_DOUBLED));
        self.refusals = self.refusals.saturating_add(1);
    }

    /// Returns how many go in a second, once that is known.
    fn per_second(&self, now: Instant) -> Option<f64> {
        let span = now.saturating_duration_since(self.since).max(TICK);
        (self.gone >= GONE_MIN).then(|| f64::from(self.gone) / span.as_secs_f64())
    }
}

/// Returns the pause of a call that has failed this many times since it first had to wait; `draw` is from 0 to 1.
pub fn pause(rounds: u32, draw: f64) -> Duration {
    let most = PAUSE_BASE.saturating_mul(1 << rounds.saturating_sub(1).min(10)).min(PAUSE_MAX);
    most.mul_f64(0.5 + draw.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests;

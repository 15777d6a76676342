//! Where calls wait for a place, or for a target to come back: which calls wait, for which targets, until when, and how
//! each of them is woken.
//!
//! It survives the actor that serves it (`keeper`). A call holds guards of it: however the call ends, nothing of the
//! call stays here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use super::clock::now;
use super::health::ParkedCalls;
use super::live_actor::lock;
use super::wait_notifier::WaitNotifier;
use crate::policy::explain::Flight;
use crate::policy::wait_queue::{Capacity, QueueRank, WaitQueues};
use crate::words::{CallId, Priority, TargetId, UnavailableTarget};

/// What a call waits for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum WaitResource {
    /// A place among the calls in flight.
    CallSlot,
    /// A place at a target.
    Target(TargetId),
}

/// A call that waits for its turn.
struct Waiter {
    waker: oneshot::Sender<QueueGrant>,
    /// Whether it is parked: then it is counted as parked.
    is_parked: bool,
}

/// The calls that wait for a turn, and how many of them are not parked.
#[derive(Default)]
struct CountedQueues {
    lot: WaitQueues<WaitResource, Waiter>,
    queued: usize,
}

impl CountedQueues {
    fn left(&mut self, waiter: &Waiter) {
        self.queued -= usize::from(!waiter.is_parked);
    }
}

/// The lot of one runtime.
pub(crate) struct Parking {
    queues: Mutex<CountedQueues>,
    queue_max: usize,
    /// The parked calls, on their turn or not, and what is shown of each.
    parked: Mutex<BTreeMap<CallId, ParkedCall>>,
    parked_max: usize,
    /// Rung when a call may go.
    pub(crate) bell: Arc<WaitNotifier>,
    /// Changes when every waiting call must check by itself: at a new table, or at the runtime's end.
    all: watch::Sender<()>,
}

/// A call that is parked.
struct ParkedCall {
    flight: Arc<Flight>,
    since: Instant,
    until: Option<Instant>,
    barred: Vec<UnavailableTarget>,
}

impl Parking {
    pub(crate) fn new(parked_max: usize, queue_max: usize) -> Self {
        Self {
            queues: Mutex::default(),
            queue_max,
            parked: Mutex::default(),
            parked_max,
            bell: Arc::default(),
            all: watch::Sender::new(()),
        }
    }

    /// Lets every waiting call check by itself.
    pub(crate) fn wake_all(&self) {
        self.all.send_replace(());
    }

    /// Returns a receiver that changes when every waiting call must check by itself.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.all.subscribe()
    }

    /// Gives a call its place; `is_due` if its caller set its deadline.
    pub(super) fn arrive(&self, priority: Priority, due: Instant, is_due: bool) -> QueueRank {
        lock(&self.queues).lot.arrive(priority, due, is_due, now())
    }

    /// Says that a caller has left whose call had waited for this target, and had gone there.
    pub(super) fn left(&self, target: &TargetId, place: QueueRank) {
        lock(&self.queues).lot.left(&[WaitResource::Target(target.clone())], place, now());
    }

    /// Parks a call, unless the most calls are parked already.
    pub(super) fn enter(self: &Arc<Self>, flight: &Arc<Flight>, since: Instant) -> Option<ParkedGuard> {
        let mut parked = lock(&self.parked);
        if parked.len() >= self.parked_max {
            return None;
        }
        let entry = ParkedCall { flight: flight.clone(), since, until: None, barred: Vec::new() };
        parked.insert(flight.call, entry);
        self.bell.came();
        Some(ParkedGuard { call: flight.call, parking: self.clone() })
    }

    /// Lets a call wait for its turn at the first of some spots, of which these were seen to be full. If too many calls
    /// wait for a place, the last of them goes away.
    pub(super) fn queue(
        self: &Arc<Self>,
        spots: &Arc<[WaitResource]>,
        full: &[WaitResource],
        place: QueueRank,
        is_parked: bool,
    ) -> Option<QueueTicket> {
        let (waker, turn) = oneshot::channel();
        let all = self.changes();
        let mut guard = lock(&self.queues);
        let queues = &mut *guard;
        if !is_parked && queues.queued >= self.queue_max {
            let (last, its_place) = queues.lot.last(|waiter| !waiter.is_parked).filter(|(_, last)| *last > place)?;
            if let Some(waiter) = queues.lot.leave(&last, its_place) {
                queues.left(&waiter);
            }
        }
        for spot in full {
            queues.lot.full(spot, now());
        }
        queues.lot.enter(spots.clone(), place, Waiter { waker, is_parked });
        queues.queued += usize::from(!is_parked);
        drop(guard);
        self.bell.came();
        self.bell.ring();
        Some(QueueTicket { spots: spots.clone(), place, turn, all, parking: self.clone() })
    }

    /// Tells whether others wait for the targets of a call that comes now, and go before it. A call that would not wait
    /// for a target to come back is only behind those that wait for a place at a target that is well.
    pub(super) fn is_before(&self, spots: &[WaitResource], priority: Priority, due: Instant, waits: bool) -> bool {
        lock(&self.queues).lot.is_before(spots, priority, due, waits)
    }

    /// Returns how long a call will wait for its turn, as far as that can be told.
    pub(super) fn wait(&self, spots: &[WaitResource], place: QueueRank) -> Option<Duration> {
        lock(&self.queues).lot.wait(spots, place, now())
    }

    /// Lets go the calls that may go; returns when to look again.
    pub(super) fn look(self: &Arc<Self>, gate: impl FnMut(&WaitResource) -> Capacity) -> Option<Instant> {
        let mut guard = lock(&self.queues);
        let look = guard.lot.look(now(), gate);
        look.go.iter().for_each(|(waiter, _)| guard.left(waiter));
        drop(guard);
        for (waiter, spot) in look.go {
            // If the call has left meanwhile, the turn is dropped and goes to another call.
            let _ = waiter.waker.send(QueueGrant { spot, arrived: false, taken: false, parking: self.clone() });
        }
        look.next
    }

    /// Returns how many wait for a place.
    pub(crate) fn queued(&self) -> usize {
        lock(&self.queues).queued
    }

    /// Returns the page, so far, of a call that is parked.
    pub(crate) fn flight(&self, call: CallId) -> Option<Arc<Flight>> {
        Some(lock(&self.parked).get(&call)?.flight.clone())
    }

    /// Returns the parked calls, by route.
    pub(crate) fn health(&self) -> Vec<ParkedCalls> {
        let mut routes: BTreeMap<Arc<str>, ParkedCalls> = BTreeMap::new();
        for one in lock(&self.parked).values() {
            let route = &one.flight.about.route;
            let known = routes.entry(route.clone()).or_insert_with(|| ParkedCalls {
                route: route.clone(),
                calls: 0,
                since: one.since,
                until: None,
                barred: one.barred.clone(),
            });
            known.calls += 1;
            known.since = known.since.min(one.since);
            known.until = known.until.into_iter().chain(one.until).min();
        }
        routes.into_values().collect()
    }

    /// Returns how many are parked on a route.
    pub(crate) fn on_route(&self, route: &str) -> usize {
        lock(&self.parked).values().filter(|one| &*one.flight.about.route == route).count()
    }
}

/// A call's stay here, from when it is parked until it goes on or ends.
pub(super) struct ParkedGuard {
    call: CallId,
    parking: Arc<Parking>,
}

impl ParkedGuard {
    /// Notes what the call waits for.
    pub(super) fn tell(&self, flight: Arc<Flight>, until: Option<Instant>, barred: Vec<UnavailableTarget>) {
        if let Some(parked) = lock(&self.parking.parked).get_mut(&self.call) {
            (parked.flight, parked.until, parked.barred) = (flight, until, barred);
        }
    }
}

impl Drop for ParkedGuard {
    fn drop(&mut self) {
        lock(&self.parking.parked).remove(&self.call);
        self.parking.bell.went();
    }
}

/// A call's place in a queue.
pub(crate) struct QueueTicket {
    spots: Arc<[WaitResource]>,
    place: QueueRank,
    turn: oneshot::Receiver<QueueGrant>,
    all: watch::Receiver<()>,
    parking: Arc<Parking>,
}

/// Why a waiting call wakes.
pub(super) enum WakeReason {
    /// It is its turn.
    Granted(QueueGrant),
    /// Too many wait, and it was the last.
    Displaced,
    /// Every waiting call must check by itself.
    Recheck,
}

impl QueueTicket {
    /// Waits again, at the same place.
    pub(super) fn again(&self) -> Option<Self> {
        self.parking.queue(&self.spots, &[], self.place, false)
    }

    /// Returns how long it will wait, as far as that can be told.
    pub(super) fn foretold(&self) -> Option<Duration> {
        self.parking.wait(&self.spots, self.place)
    }

    /// Says that its caller has left.
    pub(super) fn left(self) {
        lock(&self.parking.queues).lot.left(&self.spots, self.place, now());
    }

    /// Resolves when it may go, or when it must stop waiting.
    pub(super) async fn woken(&mut self) -> WakeReason {
        tokio::select! {
            biased;
            turn = &mut self.turn => turn.map_or(WakeReason::Displaced, WakeReason::Granted),
            _ = self.all.changed() => WakeReason::Recheck,
        }
    }
}

impl Drop for QueueTicket {
    fn drop(&mut self) {
        let mut queues = lock(&self.parking.queues);
        if let Some(waiter) = queues.lot.leave(&self.spots, self.place) {
            queues.left(&waiter);
        }
        drop(queues);
        self.parking.bell.went();
    }
}

/// Permission to go where there is a place, or to ask a target that is back. Its result decides which call goes next.
pub(super) struct QueueGrant {
    spot: WaitResource,
    /// Whether its place is counted where it is taken.
    arrived: bool,
    taken: bool,
    parking: Arc<Parking>,
}

impl QueueGrant {
    /// Tells whether it is for this target.
    pub(super) fn is_for(&self, target: &TargetId) -> bool {
        matches!(&self.spot, WaitResource::Target(known) if known == target)
    }

    /// Reports that the call has a place.
    pub(super) fn arrived(&mut self) {
        if !std::mem::replace(&mut self.arrived, true) {
            lock(&self.parking.queues).lot.arrived(&self.spot);
            self.parking.bell.ring();
        }
    }

    /// Says that the call is being answered: its target works.
    pub(super) fn proved(mut self) {
        self.arrived();
        self.taken = true;
        lock(&self.parking.queues).lot.proved(&self.spot, now());
        self.parking.bell.ring();
    }
}

impl Drop for QueueGrant {
    fn drop(&mut self) {
        if !self.taken {
            let mut queues = lock(&self.parking.queues);
            if self.arrived {
                queues.lot.returned(&self.spot, now());
            } else {
                queues.lot.refused(&self.spot, now());
            }
            drop(queues);
            self.parking.bell.ring();
        }
    }
}

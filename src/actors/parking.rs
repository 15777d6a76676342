//! Where calls wait for a place, or for a target to come back: which calls wait, for which targets, until when, and how
//! each of them is woken.
//!
//! It survives the actor that serves it (`wait_scheduler`). A call holds guards of it: however the call ends, nothing
//! of the call stays here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use super::clock::now;
use super::health::ParkedCalls;
use super::wait_notifier::WaitNotifier;
use crate::policy::explain::Flight;
use crate::policy::wait_queue::{Capacity, QueueRank, WaitQueues};
use crate::words::locks::lock;
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
    waiting: WaitQueues<WaitResource, Waiter>,
    queued: usize,
}

impl CountedQueues {
    fn left(&mut self, waiter: &Waiter) {
        self.queued -= usize::from(!waiter.is_parked);
    }
}

/// The waiting calls of one runtime.
pub(crate) struct Parking {
    queues: Mutex<CountedQueues>,
    queue_max: usize,
    /// The parked calls, on their turn or not, and what is shown of each.
    parked: Mutex<BTreeMap<CallId, ParkedCall>>,
    parked_max: usize,
    /// Notified when a call may go.
    pub(crate) notifier: Arc<WaitNotifier>,
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
            notifier: Arc::default(),
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

    /// Gives a call its rank; `is_due` if its caller set its deadline.
    pub(super) fn arrive(&self, priority: Priority, due: Instant, is_due: bool) -> QueueRank {
        lock(&self.queues).waiting.arrive(priority, due, is_due, now())
    }

    /// Says that a caller has left whose call had waited for this, and had gone there.
    pub(super) fn left(&self, resource: WaitResource, rank: QueueRank) {
        lock(&self.queues).waiting.left(&[resource], rank, now());
    }

    /// Parks a call, unless the most calls are parked already.
    pub(super) fn enter(self: &Arc<Self>, flight: &Arc<Flight>, since: Instant) -> Option<ParkedGuard> {
        let mut parked = lock(&self.parked);
        if parked.len() >= self.parked_max {
            return None;
        }
        let entry = ParkedCall { flight: flight.clone(), since, until: None, barred: Vec::new() };
        parked.insert(flight.call, entry);
        self.notifier.waiter_came();
        Some(ParkedGuard { call: flight.call, parking: self.clone() })
    }

    /// Lets a call wait for its turn at the first of some resources, of which these were seen to be full; it pauses
    /// until `from`. If too many calls wait for a place, the last of them goes away.
    pub(super) fn queue(
        self: &Arc<Self>,
        resources: &Arc<[WaitResource]>,
        full: &[WaitResource],
        rank: QueueRank,
        from: Instant,
        is_parked: bool,
    ) -> Option<QueueTicket> {
        let (waker, grant) = oneshot::channel();
        let all = self.changes();
        let mut guard = lock(&self.queues);
        let queues = &mut *guard;
        if !is_parked && queues.queued >= self.queue_max {
            let (last, its_rank) = queues.waiting.last(|waiter| !waiter.is_parked).filter(|(_, last)| *last > rank)?;
            if let Some(waiter) = queues.waiting.leave(&last, its_rank) {
                queues.left(&waiter);
            }
        }
        for resource in full {
            queues.waiting.full(resource, now());
        }
        queues.waiting.enter(resources.clone(), rank, from, Waiter { waker, is_parked });
        queues.queued += usize::from(!is_parked);
        drop(guard);
        self.notifier.waiter_came();
        self.notifier.notify();
        Some(QueueTicket { resources: resources.clone(), rank, grant, all, parking: self.clone() })
    }

    /// Tells whether others wait for the targets of a call that comes now, and go before it. A call that would not wait
    /// for a target to come back is only behind those that wait for a place at a target that is well.
    pub(super) fn is_before(&self, resources: &[WaitResource], priority: Priority, due: Instant, waits: bool) -> bool {
        lock(&self.queues).waiting.is_before(resources, priority, due, waits, now())
    }

    /// Returns how long a call will wait for its turn, as far as that can be told.
    pub(super) fn wait(&self, resources: &[WaitResource], rank: QueueRank) -> Option<Duration> {
        lock(&self.queues).waiting.wait(resources, rank, now())
    }

    /// Lets go the calls that may go; returns when to look again.
    pub(super) fn look(self: &Arc<Self>, gate: impl FnMut(&WaitResource) -> Capacity) -> Option<Instant> {
        let mut guard = lock(&self.queues);
        let look = guard.waiting.look(now(), gate);
        look.go.iter().for_each(|(waiter, _)| guard.left(waiter));
        drop(guard);
        for (waiter, resource) in look.go {
            // If the call has left meanwhile, the turn is dropped and goes to another call.
            let _ = waiter.waker.send(QueueGrant { resource, arrived: false, parking: self.clone() });
        }
        look.next
    }

    /// Returns how many wait for a place.
    pub(crate) fn queued(&self) -> usize {
        lock(&self.queues).queued
    }

    /// Returns the history, so far, of a call that is parked.
    pub(crate) fn flight(&self, call: CallId) -> Option<Arc<Flight>> {
        lock(&self.parked).values().find(|one| one.flight.is_of(call)).map(|one| one.flight.clone())
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
        self.parking.notifier.waiter_left();
    }
}

/// A call in a queue: its rank, and where it hears that it may go.
pub(crate) struct QueueTicket {
    resources: Arc<[WaitResource]>,
    rank: QueueRank,
    grant: oneshot::Receiver<QueueGrant>,
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
    /// Returns its rank.
    pub(super) fn rank(&self) -> QueueRank {
        self.rank
    }

    /// Waits again, at the same rank.
    pub(super) fn again(&self) -> Option<Self> {
        self.parking.queue(&self.resources, &[], self.rank, now(), false)
    }

    /// Returns how long it will wait, as far as that can be told.
    pub(super) fn expected_wait(&self) -> Option<Duration> {
        self.parking.wait(&self.resources, self.rank)
    }

    /// Says that its caller has left.
    pub(super) fn left(self) {
        lock(&self.parking.queues).waiting.left(&self.resources, self.rank, now());
    }

    /// Resolves when it may go, or when it must stop waiting.
    pub(super) async fn woken(&mut self) -> WakeReason {
        tokio::select! {
            biased;
            grant = &mut self.grant => grant.map_or(WakeReason::Displaced, WakeReason::Granted),
            _ = self.all.changed() => WakeReason::Recheck,
        }
    }
}

impl Drop for QueueTicket {
    fn drop(&mut self) {
        let mut queues = lock(&self.parking.queues);
        if let Some(waiter) = queues.waiting.leave(&self.resources, self.rank) {
            queues.left(&waiter);
        }
        drop(queues);
        self.parking.notifier.waiter_left();
    }
}

/// Permission to go where there is a place, or to ask a target that is back, until the call has a place there or
/// elsewhere.
pub(super) struct QueueGrant {
    resource: WaitResource,
    /// Whether the call has a place.
    arrived: bool,
    parking: Arc<Parking>,
}

impl QueueGrant {
    /// Returns the target, if it is for one.
    pub(super) fn target(&self) -> Option<&TargetId> {
        match &self.resource {
            WaitResource::Target(target) => Some(target),
            WaitResource::CallSlot => None,
        }
    }

    /// Reports that the call has a place, here or elsewhere: from now on it is counted there.
    pub(super) fn arrived(mut self) {
        self.arrived = true;
    }
}

impl Drop for QueueGrant {
    fn drop(&mut self) {
        let mut queues = lock(&self.parking.queues);
        if self.arrived {
            queues.waiting.arrived(&self.resource);
        } else {
            queues.waiting.refused(&self.resource, now());
        }
        drop(queues);
        self.parking.notifier.notify();
    }
}

//! Where calls wait for a target to come back: who waits, for whom, until when, and how each of them is woken.
//!
//! It survives the actor that looks after it (`keeper`). What a call holds of it are guards: however the call ends,
//! nothing of it stays here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::sync::{oneshot, watch};

use super::bell::Bell;
use super::clock::now;
use super::health::ParkedCalls;
use super::post::lock;
use crate::policy::explain::Flight;
use crate::policy::park::{Gate, Lot, Place};
use crate::words::{Barred, CallId, Priority, TargetId};

/// The lot of one runtime.
pub(crate) struct Parking {
    lot: Mutex<Lot<TargetId, oneshot::Sender<Turn>>>,
    /// Who is parked, on its turn or not, and what there is to tell of it.
    parked: Mutex<BTreeMap<CallId, Parked>>,
    parked_max: usize,
    /// Rung when somebody may go.
    pub(crate) bell: Arc<Bell>,
    /// Changes when everybody is to look by itself: another table, or the end.
    all: watch::Sender<()>,
}

/// A call that is parked.
struct Parked {
    flight: Arc<Flight>,
    since: Instant,
    until: Option<Instant>,
    barred: Vec<Barred>,
}

impl Parking {
    pub(crate) fn new(parked_max: usize) -> Self {
        Self {
            lot: Mutex::default(),
            parked: Mutex::default(),
            parked_max,
            bell: Arc::default(),
            all: watch::Sender::new(()),
        }
    }

    /// Lets everybody look by itself.
    pub(crate) fn wake_all(&self) {
        self.all.send_replace(());
    }

    /// Returns what changes when everybody is to look by itself: from now on.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.all.subscribe()
    }

    /// Gives a call its place.
    pub(super) fn arrive(&self, priority: Priority) -> Place {
        lock(&self.lot).arrive(priority)
    }

    /// Parks a call, unless as many are as may be.
    pub(super) fn enter(self: &Arc<Self>, flight: &Arc<Flight>, since: Instant) -> Option<Stay> {
        let mut parked = lock(&self.parked);
        if parked.len() >= self.parked_max {
            return None;
        }
        let entry = Parked { flight: flight.clone(), since, until: None, barred: Vec::new() };
        parked.insert(flight.call, entry);
        self.bell.came();
        Some(Stay { call: flight.call, parking: self.clone() })
    }

    /// Lets a call wait for its turn at the first of some targets.
    pub(super) fn queue(self: &Arc<Self>, targets: &Arc<[TargetId]>, place: Place) -> Queued {
        let (waker, turn) = oneshot::channel();
        lock(&self.lot).enter(targets.clone(), place, waker);
        self.bell.ring();
        Queued { targets: targets.clone(), place, turn, parking: self.clone() }
    }

    /// Tells whether somebody waits for just these targets who goes before a call that comes now.
    pub(super) fn is_before(&self, targets: &Arc<[TargetId]>, priority: Priority) -> bool {
        lock(&self.lot).is_before(targets, priority)
    }

    /// Lets go who may go; returns when to look again.
    pub(super) fn look(self: &Arc<Self>, gate: impl FnMut(&TargetId) -> Gate) -> Option<Instant> {
        let look = lock(&self.lot).look(now(), gate);
        for (waker, target) in look.go {
            // Who has left meanwhile gives its turn back by not taking it.
            let _ = waker.send(Turn { target, taken: false, parking: self.clone() });
        }
        look.next
    }

    /// Returns the page, so far, of a call that is parked.
    pub(crate) fn flight(&self, call: CallId) -> Option<Arc<Flight>> {
        Some(lock(&self.parked).get(&call)?.flight.clone())
    }

    /// Returns who is parked, by route.
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
pub(super) struct Stay {
    call: CallId,
    parking: Arc<Parking>,
}

impl Stay {
    /// Notes what the call waits for.
    pub(super) fn tell(&self, flight: Arc<Flight>, until: Option<Instant>, barred: Vec<Barred>) {
        if let Some(parked) = lock(&self.parking.parked).get_mut(&self.call) {
            (parked.flight, parked.until, parked.barred) = (flight, until, barred);
        }
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        lock(&self.parking.parked).remove(&self.call);
        self.parking.bell.went();
    }
}

/// A call's place in a queue.
pub(super) struct Queued {
    targets: Arc<[TargetId]>,
    place: Place,
    turn: oneshot::Receiver<Turn>,
    parking: Arc<Parking>,
}

impl Queued {
    /// Resolves with the call's turn.
    pub(super) async fn turn(&mut self) -> Turn {
        match (&mut self.turn).await {
            Ok(turn) => turn,
            // Nobody drops a waker but who uses it.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        lock(&self.parking.lot).leave(&self.targets, self.place);
    }
}

/// Leave to ask a target that is back. What comes of it decides who goes next.
pub(super) struct Turn {
    target: TargetId,
    taken: bool,
    parking: Arc<Parking>,
}

impl Turn {
    /// Says that the call is being answered.
    pub(super) fn proved(mut self) {
        self.taken = true;
        lock(&self.parking.lot).proved(&self.target, now());
        self.parking.bell.ring();
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.taken {
            lock(&self.parking.lot).returned(&self.target, now());
            self.parking.bell.ring();
        }
    }
}

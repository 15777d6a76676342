//! The state that all actors of one runtime share: references that survive restarts, the table, and the observers of
//! everything that ends.
//!
//! Locks here are held for one read or one write, never across an await.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, broadcast, watch};

use super::accepted::InFlightGuard;
use super::blocking_pool::BlockingPool;
use super::budgets::SharedBudgets;
use super::call_registry::CallRegistry;
use super::classify::{Arrival, Classify};
use super::health::{LocalShortage, ObserverHealth};
use super::live_actor::LiveActor;
use super::parking::Parking;
use super::prices::Prices;
use super::recorder::{CallLogger, Recorder};
use super::sink::{AddedObserver, Sink};
use super::stale::StaleAnswers;
use super::table::Table;
use super::task::{TaskCounts, TaskSupervisor};
use super::to_front::RouterMessage;
use super::to_root::RootMessage;
use super::to_router::RouterCommand;
use super::work::Work;
use crate::policy::durable_store::DurableStore;
use crate::policy::local_fault::{ClockNews, Clocks, LocalFault};
use crate::policy::retry_budget::RetryBudget;
use crate::policy::store_health::StoreHealth;
use crate::spec::{Limits, TargetSpec};
use crate::words::locks::lock;
use crate::words::{CallId, ChatRequest, Date, Durable, Error, Event, Priority, TargetId};

pub(crate) struct Shared {
    pub(crate) limits: Limits,
    pub(crate) table: watch::Sender<Arc<Table>>,
    pub(crate) root: LiveActor<RootMessage>,
    pub(crate) front: LiveActor<RouterMessage>,
    pub(crate) router: LiveActor<RouterCommand>,
    /// The supervisor under which calls live.
    pub(crate) calls: Mutex<Option<TaskSupervisor>>,
    /// How many calls, attempts and readings there are.
    pub(crate) tasks: Arc<TaskCounts>,
    pub(crate) budget: Arc<RetryBudget>,
    pub(crate) events: broadcast::Sender<Event>,
    /// A place for each call in flight.
    pub(crate) places: Arc<Semaphore>,
    /// Where calls wait for a place, or for a target to come back.
    pub(crate) parking: Arc<Parking>,
    /// The calls that have a log.
    pub(super) registry: Arc<CallRegistry>,
    /// What outlives the process.
    pub(crate) durable_store: Option<Arc<dyn DurableStore>>,
    /// The lists of prices.
    pub(crate) prices: Prices,
    /// What may be spent, and what is spent.
    pub(crate) budgets: Arc<SharedBudgets>,
    /// The last good answers of routes that keep some.
    pub(crate) stale: StaleAnswers,
    /// Whether the runtime stops; answers hold it, too.
    pub(crate) draining: Arc<AtomicBool>,
    /// The calls of which observers have not been told yet.
    pub(crate) untold_calls: AtomicUsize,
    pub(crate) crash: CrashHook,
    /// The classifier of calls' priorities.
    classify: Option<Classify>,
    /// Where long requests are counted and written.
    pub(crate) blocking_pool: BlockingPool,
    /// Bytes of answers that are kept in memory.
    pub(crate) kept: AtomicUsize,
    shortage: Mutex<Option<LocalShortage>>,
    /// The ledger and the flight recorder.
    pub(crate) recorder: Arc<Recorder>,
    /// The observers: records go only through here.
    pub(crate) sink: Sink,
    /// The runtime's number, which makes its calls' ids unique.
    runtime: u64,
    calls_begun: AtomicU64,
    pins: Mutex<HashMap<Arc<str>, TargetId>>,
    local_fault: Mutex<LocalFault>,
}

/// Crashes that were asked for, for tests of what they lead to. Zero costs one relaxed load.
#[derive(Debug, Default)]
pub(crate) struct CrashHook {
    /// How many of the next attempts panic while they decode.
    pub(crate) attempts: AtomicU32,
    /// How many of the next calls panic once an attempt of theirs runs.
    pub(crate) calls: AtomicU32,
    /// How many of the next starts of a provider fail.
    pub(crate) provider_starts: AtomicU32,
}

impl CrashHook {
    /// Takes one crash of a kind, if one was asked for.
    pub(crate) fn take(kind: &AtomicU32) -> bool {
        kind.load(Relaxed) > 0 && kind.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok()
    }
}

impl Shared {
    pub(crate) fn new(
        limits: Limits,
        observers: impl IntoIterator<Item = AddedObserver>,
        classify: Option<Classify>,
        durable_store: Option<Arc<dyn DurableStore>>,
    ) -> Self {
        let recorder = Arc::new(Recorder::new(limits.ledger_max, limits.recorder_max));
        let ours = |name: &str, observer| AddedObserver { name: name.into(), observer, in_place: true };
        let own = [ours("books", recorder.clone()), ours("log", Arc::new(CallLogger))];
        Self {
            table: watch::Sender::new(Arc::default()),
            root: LiveActor::default(),
            front: LiveActor::default(),
            router: LiveActor::default(),
            calls: Mutex::default(),
            tasks: Arc::default(),
            budget: Arc::default(),
            events: broadcast::Sender::new(EVENTS_MAX),
            places: Arc::new(Semaphore::new(limits.calls_max)),
            parking: Arc::new(Parking::new(limits.parked_max, limits.queue_max)),
            registry: Arc::new(CallRegistry::new(limits.kept_bytes_max)),
            durable_store,
            prices: Prices::default(),
            budgets: Arc::default(),
            stale: StaleAnswers::default(),
            draining: Arc::default(),
            untold_calls: AtomicUsize::new(0),
            crash: CrashHook::default(),
            classify,
            blocking_pool: BlockingPool::default(),
            kept: AtomicUsize::new(0),
            shortage: Mutex::default(),
            calls_begun: AtomicU64::new(0),
            recorder,
            sink: Sink::new(own.into_iter().chain(observers)),
            runtime: rand::random(),
            pins: Mutex::default(),
            local_fault: Mutex::default(),
            limits,
        }
    }

    /// Takes a place among the calls in flight, if one is free.
    pub(super) fn take_place(&self) -> Option<InFlightGuard> {
        let permit = self.places.clone().try_acquire_owned().ok()?;
        Some(InFlightGuard::new(permit, self.budget.clone(), self.parking.notifier.clone()))
    }

    /// Returns the refusal of a call that found no place, and when it would have one.
    pub(super) fn overloaded(&self, retry_after: Option<Duration>) -> Error {
        Error::Overloaded { calls_max: self.limits.calls_max, retry_after }
    }

    /// Returns the classifier, if its answer has to be waited for.
    pub(super) fn slow_classify(&self) -> Option<&Classify> {
        self.classify.as_ref().filter(|classify| classify.is_waited_for())
    }

    /// Returns a call's priority, as far as it is known at once.
    pub(super) fn priority(&self, work: &Work) -> Priority {
        self.classify.as_ref().map_or_else(|| work.priority(), |classify| classify.at_once(&self.arrival(work)))
    }

    pub(super) fn arrival(&self, work: &Work) -> Arrival {
        Arrival::new(work.clone(), self.budget.calls() + 1, self.limits.calls_max)
    }

    /// Returns whether a call outlives its process.
    pub(crate) fn durable(&self, request: &ChatRequest) -> Durable {
        match request.durable {
            Some(durable) => durable,
            None if self.durable_store.is_none() => Durable::No,
            None => self.table().route(&request.route).map_or(Durable::No, |route| route.durable),
        }
    }

    /// Returns how long a call is kept in memory after its end: a durable one no longer than in the file.
    pub(super) fn kept_for(&self, is_durable: bool) -> Duration {
        #[cfg(feature = "store")]
        if let Some(spec) = self.limits.store.as_ref().filter(|_| is_durable) {
            return self.limits.kept_for.min(spec.durable_for);
        }
        let _ = is_durable;
        self.limits.kept_for
    }

    /// Tells whether a call belongs to more than its caller.
    pub(super) fn is_kept(&self, request: &ChatRequest) -> bool {
        request.key.is_some() || self.durable(request) != Durable::No
    }

    /// Tells observers, if there are any.
    pub(crate) fn tell(&self, event: Event) {
        let _ = self.events.send(event);
    }

    /// Tells that a model no longer answers, or soon will not.
    pub(crate) fn retiring(&self, target: &TargetSpec, on: Option<Date>) {
        let TargetSpec { id, replaced_by, .. } = target;
        let (last_day, replacement) = (on.map(|on| on.to_string()), replaced_by.as_ref().map(ToString::to_string));
        tracing::warn!(target_id = %id, last_day, replacement, "model retires");
        self.tell(Event::Retiring { target: id.clone(), on, replacement: replaced_by.clone() });
    }

    /// Returns the state of the observers. The store counts its losses itself.
    pub(crate) fn observers(&self) -> Vec<ObserverHealth> {
        let mut observers = self.sink.health();
        if let Some(store) = self.store() {
            observers.iter_mut().filter(|one| &*one.name == STORE).for_each(|one| one.lost += store.lost);
        }
        observers
    }

    /// Returns the state of the store, if there is one.
    pub(crate) fn store(&self) -> Option<StoreHealth> {
        self.durable_store.as_ref().map(|store| store.health())
    }

    /// Returns the store of what is known of providers, if that is to outlive the process.
    #[cfg(feature = "store")]
    pub(super) fn keeps(&self) -> Option<&Arc<dyn DurableStore>> {
        self.durable_store.as_ref().filter(|_| self.limits.store.as_ref().is_some_and(|spec| spec.warm))
    }

    pub(crate) fn table(&self) -> Arc<Table> {
        self.table.borrow().clone()
    }

    pub(crate) fn next_call(&self) -> CallId {
        CallId::new(self.runtime, self.calls_begun.fetch_add(1, Relaxed) + 1)
    }

    pub(crate) fn pin(&self, route: Arc<str>, target: Option<TargetId>) {
        let mut pins = lock(&self.pins);
        match target {
            Some(target) => pins.insert(route, target),
            None => pins.remove(&route),
        };
    }

    /// Lifts and returns the pins that do not fit this table: those of routes that are gone, and those to targets of
    /// other routes.
    pub(crate) fn lift_pins(&self, table: &Table) -> Vec<(Arc<str>, TargetId)> {
        let stays = |route: &str, target: &TargetId| {
            table.layout.routes.get(route).is_some_and(|route| table.serves(route, target))
        };
        lock(&self.pins).extract_if(|route, target| !stays(route, target)).collect()
    }

    pub(crate) fn pinned(&self, route: &str) -> Option<TargetId> {
        let pins = lock(&self.pins);
        if pins.is_empty() { None } else { pins.get(route).cloned() }
    }

    pub(crate) fn calls(&self) -> Option<TaskSupervisor> {
        lock(&self.calls).clone()
    }

    /// Reports that a host could not be reached; returns since when, once it is clear that the fault is ours. While it
    /// is, that is a lack of this machine.
    pub(crate) fn unreachable(&self, host: &str, problem: &str, now: Instant) -> Option<Instant> {
        let (since, active) = {
            let mut guard = lock(&self.local_fault);
            (guard.failed(host, now), guard.active(now))
        };
        if active {
            self.note_shortage(&format!("no provider can be reached, the last one: {problem}"), now);
        }
        since
    }

    /// Returns since when no provider is reached, if that is so.
    pub(crate) fn unreached(&self, now: Instant) -> Option<Instant> {
        lock(&self.local_fault).unreached(now)
    }

    /// Notes that an attempt failed because this machine lacks something; says so now and then.
    pub(crate) fn note_shortage(&self, what: &str, now: Instant) {
        let mut shortage = lock(&self.shortage);
        let before = shortage.take();
        if before.as_ref().is_none_or(|before| now.saturating_duration_since(before.at) >= SHORTAGE_QUIET) {
            tracing::warn!(what, "this machine lacks a resource that attempts need; no provider is blamed");
        }
        let count = before.map_or(0, |before| before.count).saturating_add(1);
        *shortage = Some(LocalShortage { what: what.to_owned(), count, at: now });
    }

    pub(crate) fn shortage(&self) -> Option<LocalShortage> {
        lock(&self.shortage).clone()
    }

    /// Compares wall time with monotonic time; tells when the machine slept.
    pub(crate) fn heartbeat(&self, clocks: Clocks) -> Option<ClockNews> {
        lock(&self.local_fault).heartbeat(clocks)
    }

    /// Reports bytes from a provider; returns whether that ended a local fault.
    pub(crate) fn delivered(&self, now: Instant) -> bool {
        let mut guard = lock(&self.local_fault);
        let active = guard.active(now);
        guard.delivered(now);
        active
    }
}

/// The store's name among observers.
pub(crate) const STORE: &str = "store";
/// A shortage is logged again after no call met it for this long.
const SHORTAGE_QUIET: Duration = Duration::from_secs(10);
/// Events that a slow observer may be behind before it loses the oldest.
const EVENTS_MAX: usize = 1_024;

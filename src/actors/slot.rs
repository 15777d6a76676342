//! State that survives a provider's restarts: a reference to its living incarnation, and its last published health.
//!
//! Readers never queue behind the actor and never wait for it: while it restarts they read what it last published.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use ractor::ActorRef;

use super::clock::now;
use super::live_actor::LiveActor;
use super::permit::PermitIssuer;
use super::task::TaskSupervisor;
use super::to_provider::ProviderMessage;
use super::wait_notifier::WaitNotifier;
use crate::policy::admission::{Admission, Report, Ticket};
use crate::policy::headroom::Room;
use crate::policy::snapshot::{Disabled, Health, IndexedHold};
use crate::policy::tokens::{PromptSize, TokenModel, Weights};
use crate::transport::Transport;
use crate::words::locks::{lock, read_lock, write_lock};
use crate::words::{Drift, Hint, Limits};

/// The most unknown things of one provider that are told apart.
const DRIFT_MAX: usize = 64;
/// After this many answers of a target without an unknown field only one of as many is looked through for such.
const LOOKS: u32 = 64;
/// The common name of the unknown things beyond them.
const DRIFT_OTHERS: &str = "others";

/// The state of a provider's actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProviderStatus {
    /// It runs.
    Up,
    /// It crashed and is started again at that time.
    Restarting(Instant),
    /// It crashed too often and rests until then; its targets are down.
    Resting(Instant),
    /// It was removed or replaced and only waits for its last attempts.
    Retired,
}

impl ProviderStatus {
    /// Returns until when it is down, if it is.
    #[expect(clippy::option_option, reason = "whether it is down, and then until when, which may be unknown")]
    pub(crate) fn down(self) -> Option<Option<Instant>> {
        match self {
            Self::Up => None,
            Self::Restarting(until) | Self::Resting(until) => Some(Some(until)),
            Self::Retired => Some(None),
        }
    }
}

/// Whether a target's limits have room for one more, to be read without a lock.
#[derive(Default)]
struct LiveRoom {
    /// For how many requests, plus one: 0 is unknown.
    requests: AtomicU32,
    /// Until when there is no room, in microseconds after the slot was made; 0 where there is room.
    until: AtomicU64,
    /// The most that may be in flight.
    in_flight_max: AtomicU32,
}

impl LiveRoom {
    fn of(health: &Health) -> Self {
        Self { in_flight_max: AtomicU32::new(health.in_flight_max), ..Self::default() }
    }
}

/// One provider's slot.
pub(crate) struct Slot {
    /// The provider's actor.
    pub(crate) provider: LiveActor<ProviderMessage>,
    /// Its supervisor, under which attempts live.
    pub(crate) supervisor: RwLock<Option<TaskSupervisor>>,
    /// The way out; a new one at each start of the provider.
    pub(crate) transport: RwLock<Option<Arc<dyn Transport>>>,
    /// Health of its targets, as last published.
    health: RwLock<Arc<[Health]>>,
    /// The holds of its keys and targets, as last published.
    pub(crate) indexed_holds: Mutex<Vec<IndexedHold>>,
    /// Its state.
    status: RwLock<ProviderStatus>,
    /// The whole machine as of its last transition, for the next incarnation.
    pub(crate) checkpoint: Mutex<Option<Arc<Admission>>>,
    /// Ends of attempts that came while the provider was down: verdicts among them must not be lost. At most as many as
    /// were in flight.
    missed: Mutex<Vec<(Ticket, Option<Duration>, Report)>>,
    /// Unknown parts of the provider's answers, and in how many they were.
    drift: Mutex<BTreeMap<Drift, u64>>,
    /// Per target, how many answers without an unknown field have come since the last with one.
    unsurprising: Box<[AtomicU32]>,
    /// The hints about it, and until when they count.
    hints: Mutex<Vec<(Hint, Instant)>>,
    /// How often the provider was started.
    pub(crate) incarnations: AtomicU64,
    /// Attempts in flight, per target.
    gauges: Box<[AtomicU32]>,
    /// Whether each target's limits have room; newer than the published health.
    rooms: Box<[LiveRoom]>,
    begun: Instant,
    /// All attempts ever admitted, per target: counted here, so that a crash of the provider loses none.
    admitted: Box<[AtomicU64]>,
    /// How each target counts tokens, as far as its answers told. Held for a few sums only.
    tokens: Box<[Mutex<TokenModel>]>,
    /// Rung by each change of what is admitted here.
    notifier: Arc<WaitNotifier>,
}

impl Slot {
    pub(crate) fn new(
        tokens: impl Iterator<Item = TokenModel>,
        health: Arc<[Health]>,
        notifier: Arc<WaitNotifier>,
    ) -> Self {
        let tokens: Box<[_]> = tokens.map(Mutex::new).collect();
        let rooms = health.iter().map(LiveRoom::of).collect();
        let admitted = health.iter().map(|health| AtomicU64::new(health.admitted)).collect();
        Self {
            provider: LiveActor::default(),
            supervisor: RwLock::new(None),
            transport: RwLock::new(None),
            health: RwLock::new(health),
            indexed_holds: Mutex::default(),
            status: RwLock::new(ProviderStatus::Up),
            checkpoint: Mutex::new(None),
            missed: Mutex::default(),
            drift: Mutex::default(),
            unsurprising: tokens.iter().map(|_| AtomicU32::new(0)).collect(),
            hints: Mutex::default(),
            incarnations: AtomicU64::new(0),
            gauges: tokens.iter().map(|_| AtomicU32::new(0)).collect(),
            rooms,
            begun: now(),
            admitted,
            tokens,
            notifier,
        }
    }

    /// Returns a target's health as last published; its gauge and room, and whether its provider is there, as of now.
    pub(crate) fn health(&self, target: usize) -> Option<Health> {
        let mut health = *read_lock(&self.health).get(target)?;
        health.in_flight = self.in_flight(target);
        health.admitted = self.admitted(target);
        if let Some(live) = self.rooms.get(target) {
            health.room = live.requests.load(Relaxed).checked_sub(1);
            let until = live.until.load(Relaxed).checked_sub(1);
            health.paced_until = until.map(|after| self.begun + Duration::from_micros(after));
            health.in_flight_max = live.in_flight_max.load(Relaxed);
        }
        if let Some(until) = self.status().down() {
            health.disabled = Some(Disabled::Down { until });
        }
        Some(health)
    }

    /// Sets whether a target's limits have room, and how many may be in flight.
    pub(crate) fn set_room(&self, target: usize, room: Room, in_flight_max: u32) {
        let Some(live) = self.rooms.get(target) else { return };
        let requests = room.requests.map_or(0, |requests| requests.saturating_add(1));
        let until = room.until.map_or(0, |until| {
            let after = until.saturating_duration_since(self.begun).as_micros();
            u64::try_from(after).unwrap_or(u64::MAX).saturating_add(1)
        });
        let before = (
            live.requests.swap(requests, Relaxed),
            live.until.swap(until, Relaxed),
            live.in_flight_max.swap(in_flight_max, Relaxed),
        );
        if before != (requests, until, in_flight_max) {
            self.notifier.notify();
        }
    }

    /// Publishes the health of all targets.
    pub(crate) fn publish(&self, health: Arc<[Health]>) {
        *write_lock(&self.health) = health;
        self.notifier.notify();
    }

    /// Returns a target's attempts in flight.
    pub(crate) fn in_flight(&self, target: usize) -> u32 {
        self.gauges.get(target).map_or(0, |gauge| gauge.load(Relaxed))
    }

    /// Returns how many attempts a target was ever admitted.
    pub(crate) fn admitted(&self, target: usize) -> u64 {
        self.admitted.get(target).map_or(0, |count| count.load(Relaxed))
    }

    /// Returns what a prompt's features cost at a target, as far as is known now.
    pub(crate) fn weights(&self, target: usize) -> Weights {
        self.tokens.get(target).map_or_else(Weights::default, |model| lock(model).weights())
    }

    /// Learns from an answer of a target how many tokens a prompt of this size was.
    pub(crate) fn learn(&self, target: usize, size: &PromptSize, tokens: u64) {
        if let Some(model) = self.tokens.get(target) {
            lock(model).learn(size, tokens);
        }
    }

    /// Returns a target's token model, for the target that replaces it.
    pub(crate) fn token_model(&self, target: usize) -> Option<TokenModel> {
        Some(lock(self.tokens.get(target)?).clone())
    }

    /// Tells whether no attempt is in flight at any target.
    pub(crate) fn is_idle(&self) -> bool {
        self.gauges.iter().all(|gauge| gauge.load(Relaxed) == 0)
    }

    /// Tells whether the next answer of a target is looked through for unknown fields: that is to read it again.
    pub(crate) fn looks(&self, target: usize) -> bool {
        let Some(count) = self.unsurprising.get(target) else { return true };
        let count = count.fetch_add(1, Relaxed);
        count < LOOKS || count % LOOKS == 0
    }

    /// Notes that an answer of a target had an unknown field: the next ones are looked through.
    pub(crate) fn surprised(&self, target: usize) {
        self.unsurprising.get(target).into_iter().for_each(|count| count.store(0, Relaxed));
    }

    /// Counts something unknown in an answer; returns it as it is counted, if that is for the first time.
    pub(crate) fn drifted(&self, mut drift: Drift) -> Option<Drift> {
        let mut seen = lock(&self.drift);
        if seen.len() >= DRIFT_MAX && !seen.contains_key(&drift) {
            drift.name = DRIFT_OTHERS.into();
        }
        let count = seen.entry(drift.clone()).or_default();
        *count += 1;
        (*count == 1).then_some(drift)
    }

    /// Returns what was unknown so far, and in how many answers.
    pub(crate) fn drift(&self) -> Vec<(Drift, u64)> {
        lock(&self.drift).iter().map(|(drift, count)| (drift.clone(), *count)).collect()
    }

    /// Notes a source's hint until a time; tells whether it differs from the last one.
    pub(super) fn hinted(&self, hint: Hint, until: Instant) -> bool {
        let mut hints = lock(&self.hints);
        let before = hints.iter().position(|(known, _)| known.source == hint.source);
        let before = before.map(|at| hints.swap_remove(at).0);
        let news = before.as_ref() != Some(&hint);
        hints.push((hint, until));
        news
    }

    /// Returns what sources beside its calls say of it now.
    pub(super) fn hints(&self, now: Instant) -> Vec<Hint> {
        let hints = lock(&self.hints);
        hints.iter().filter(|(_, until)| *until > now).map(|(hint, _)| hint.clone()).collect()
    }

    /// Sets the living provider, and hands it the reports that came while there was none.
    pub(crate) fn up(&self, provider: ActorRef<ProviderMessage>) {
        let mut missed = lock(&self.missed);
        self.provider.set(provider);
        for (ticket, content, report) in missed.drain(..) {
            self.provider.send(ProviderMessage::Report(ticket, content, report));
        }
        drop(missed);
        *write_lock(&self.status) = ProviderStatus::Up;
        self.notifier.notify();
    }

    /// Notes that the provider is down, and its state.
    pub(crate) fn down(&self, status: ProviderStatus) {
        self.provider.clear();
        *write_lock(&self.status) = status;
        self.notifier.notify();
    }

    pub(crate) fn status(&self) -> ProviderStatus {
        *read_lock(&self.status)
    }

    pub(crate) fn transport(&self) -> Option<Arc<dyn Transport>> {
        read_lock(&self.transport).clone()
    }

    pub(crate) fn supervisor(&self) -> Option<TaskSupervisor> {
        read_lock(&self.supervisor).clone()
    }
}

impl PermitIssuer for Slot {
    fn enter(&self, target: usize) {
        if let (Some(gauge), Some(admitted)) = (self.gauges.get(target), self.admitted.get(target)) {
            gauge.fetch_add(1, Relaxed);
            admitted.fetch_add(1, Relaxed);
        }
    }

    fn leave(&self, target: usize) {
        if let Some(gauge) = self.gauges.get(target) {
            gauge.fetch_sub(1, Relaxed);
        }
        self.notifier.notify();
    }

    fn report(&self, ticket: Ticket, content: Option<Duration>, report: Report) {
        let send = || self.provider.send(ProviderMessage::Report(ticket, content, report));
        if send() || !matches!(report, Report::Ended(_)) {
            return;
        }
        // It is sent again under the lock, so that no provider starts between a lost report and its note.
        let mut missed = lock(&self.missed);
        if !send() {
            missed.push((ticket, content, report));
        }
    }

    fn limits(&self, ticket: Ticket, limits: Limits) {
        self.provider.send(ProviderMessage::Limits(ticket, limits));
    }
}

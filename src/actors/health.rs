//! Health of all providers at one moment, as it is published.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::prices::PricesHealth;
use super::slot::ProviderStatus;
use crate::policy::budget::BudgetHealth;
use crate::policy::snapshot::Health;
use crate::policy::store_health::StoreHealth;
use crate::words::{Date, Drift, Hint, Hold, TargetId, UnavailableTarget};

/// Health of all providers at one moment.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct HealthSnapshot {
    /// When it was taken, on the clock of its times.
    pub at: Instant,
    /// When that was by the wall clock.
    pub taken_at: SystemTime,
    /// Calls in flight.
    pub calls: usize,
    /// Whether the runtime takes no new calls.
    pub draining: bool,
    /// What this machine lacked when an attempt last failed for that reason.
    pub lack: Option<LocalShortage>,
    /// Since when no provider is reached: connections to several hosts fail, and none has answered since. It ends with
    /// the first answer, or when no call has tried for a minute.
    pub unreached: Option<Instant>,
    /// Calls that wait for a place.
    pub queued: usize,
    /// Calls that are parked until a target is back, by route.
    pub parked: Vec<ParkedCalls>,
    /// Each provider.
    pub providers: Vec<ProviderHealth>,
    /// The observers, and the records that they lost.
    pub observers: Vec<ObserverHealth>,
    /// The lists of prices that are named, and how they fare.
    pub prices: Vec<PricesHealth>,
    /// The targets whose price is not known: what they cost stands in no sum.
    pub unpriced: Vec<TargetId>,
    /// What is spent of what may be, the accounts first that are emptiest; a hundred of them at most.
    pub budgets: Vec<BudgetHealth>,
    /// The state of the store, if there is one.
    pub store: Option<StoreHealth>,
}

/// The calls of one route that are parked.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ParkedCalls {
    /// The route.
    pub route: Arc<str>,
    /// How many.
    pub calls: usize,
    /// Since when the first of them is.
    pub since: Instant,
    /// When the first target is expected back, where that is known.
    pub until: Option<Instant>,
    /// What one of them waits for.
    pub barred: Vec<UnavailableTarget>,
}

/// The state of one observer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObserverHealth {
    /// Its name.
    pub name: Arc<str>,
    /// Records that it did not get: it was too far behind, or is gone.
    pub lost: u64,
    /// Whether it panicked and is told nothing more.
    pub gone: bool,
}

/// Health of one provider.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ProviderHealth {
    /// Its name.
    pub name: Arc<str>,
    /// The state of its actor.
    pub status: ProviderStatus,
    /// How often its actor was started.
    pub incarnations: u64,
    /// Its targets.
    pub targets: Vec<(TargetId, Health)>,
    /// The last days of its models, of those where one is known.
    pub retires: Vec<(TargetId, Date)>,
    /// The holds of its keys and targets.
    pub holds: Vec<Hold>,
    /// The hints about it: from its status page and its health address.
    pub hints: Vec<Hint>,
    /// Unknown parts of its answers, and in how many they were. Counted as long as the provider is configured.
    pub drift: Vec<(Drift, u64)>,
}

impl HealthSnapshot {
    /// Returns a target's health.
    pub fn target(&self, id: &TargetId) -> Option<&Health> {
        let mut targets = self.providers.iter().flat_map(|provider| &provider.targets);
        targets.find(|(target, _)| target == id).map(|(_, health)| health)
    }

    /// Returns how old a target's health was when this was taken.
    pub fn age(&self, health: &Health) -> Duration {
        self.at.saturating_duration_since(health.published)
    }

    /// Returns when a target's health was published, by the wall clock.
    pub fn published_at(&self, health: &Health) -> SystemTime {
        self.taken_at.checked_sub(self.age(health)).unwrap_or(self.taken_at)
    }

    /// Returns a model's last day by the catalogue or the configuration, where one is known.
    pub fn retires(&self, id: &TargetId) -> Option<Date> {
        let mut retiring = self.providers.iter().flat_map(|provider| &provider.retires);
        retiring.find(|(target, _)| target == id).map(|(_, on)| *on)
    }
}

/// What this machine lacked when an attempt last failed for that reason.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LocalShortage {
    /// What it was, for people.
    pub what: String,
    /// How many attempts failed so.
    pub count: u64,
    /// When the last one did.
    pub at: Instant,
}

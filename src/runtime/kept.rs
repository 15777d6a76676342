//! State that is kept beyond the process, if a store is configured.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::actors::carried_state::CarriedState;
use crate::actors::clock::{now, wall};
use crate::actors::root::Recalled;
use crate::actors::shared::{STORE, Shared};
use crate::actors::sink::AddedObserver;
use crate::actors::to_router::RouterCommand;
use crate::policy::budget::Budget;
use crate::policy::durable_store::DurableStore;
use crate::policy::memory::Elapsed;
use crate::policy::routing::IDLE_MAX;
use crate::policy::statement::{Question, Statement};
use crate::spec::{Limits, Setup};
use crate::store::{self, LedgerError, OpenError, Recollection, ServedSession, Store};
use crate::words::{ConfigError, TargetId};

/// How often what the process before this one spends is read.
const LOOK: Duration = Duration::from_millis(100);
/// The longest that a process which is to be followed waits for its file.
#[cfg(feature = "sidecar")]
const TOLD_MAX: Duration = Duration::from_secs(1);

/// What is kept, if anything is.
#[derive(Clone)]
pub(super) struct Kept(Option<Arc<Store>>);

impl Kept {
    /// Opens the configured store, if there is one; its writer gets a record of each attempt and call that ends.
    pub(super) async fn open(
        limits: &Limits,
        observers: &mut Vec<AddedObserver>,
        follows: bool,
    ) -> Result<Self, ConfigError> {
        let Some(spec) = &limits.store else { return Ok(Self(None)) };
        let of_file =
            |field: &str, error: OpenError| ConfigError::new(field, format!("{} {error}", spec.path.display()));
        let store = Store::open(spec.clone(), follows).await.map_err(|error| match error {
            OpenError::Key { at, problem } => ConfigError::new(format!("store.encryption_keys[{at}]"), problem),
            OpenError::Sealed { .. } => of_file("store.encryption_keys", error),
            _ => of_file("store.path", error),
        });
        let store = Arc::new(store?);
        observers.push(AddedObserver { name: STORE.into(), observer: store.clone(), in_place: true });
        Ok(Self(Some(store)))
    }

    /// Returns it for those that keep something in it.
    pub(super) fn durable_store(&self) -> Option<Arc<dyn DurableStore>> {
        self.0.clone().map(|store| store as Arc<dyn DurableStore>)
    }

    /// Looks up in the store what was spent of budgets that are new: before the process began, or before a reload
    /// brought them.
    pub(super) async fn add_spent(&self, shared: &Shared, setup: &mut Setup) {
        let Some(store) = &self.0 else { return };
        let now = wall();
        let counted = shared.budgets.budgets();
        let is_new = |budget: &Budget| !counted.iter().any(|one| one.counts_as(budget));
        let new: Vec<_> = setup.budgets.iter().cloned().enumerate().filter(|(_, budget)| is_new(budget)).collect();
        if !new.is_empty() {
            store.flush().await;
        }
        store.count(&setup.budgets, now);
        if new.is_empty() {
            return;
        }
        let path = store.path().to_owned();
        let look = move || {
            let spent = |(at, budget): (usize, Budget)| (budget.name.clone(), store::recall(&path, at, &budget, now));
            new.into_iter().map(spent).collect::<Vec<_>>()
        };
        for (budget, spent) in shared.blocking_pool.run(true, look).await {
            match spent {
                Ok(spent) => setup.spent.extend(store.add_up(&setup.budgets, spent)),
                Err(error) => {
                    let what = "what was spent before cannot be read: the budget starts from zero";
                    tracing::error!(%budget, %error, "{what}");
                }
            }
        }
    }

    /// Returns the state of the configured providers that earlier processes kept, and logs what is not used. After an
    /// error the start goes on without it.
    pub(super) async fn recollect(&self, shared: &Arc<Shared>, setup: &Setup) -> (Recalled, Vec<ServedSession>) {
        let nothing = || (Recalled::new(), Vec::new());
        let is_warm = shared.limits.store.as_ref().is_some_and(|spec| spec.warm);
        let Some(store) = self.0.as_ref().filter(|_| is_warm) else { return nothing() };
        let path = store.path().to_owned();
        let look = move || (store::recollect(&path, IDLE_MAX), store::moment());
        let ((found, moment), now) = (shared.blocking_pool.run(true, look).await, now());
        let Recollection { kept, served } = match found {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(%error, "the health kept from before cannot be read: all providers start without it");
                return nothing();
            }
        };
        let mut recalled = Recalled::new();
        let mut clock_told = false;
        for kept in kept {
            let Some(spec) = setup.providers.iter().find(|spec| *spec.name == *kept.provider) else { continue };
            let (provider, ago) = (&*spec.name, kept.at.ago(&moment));
            clock_told = clock_told || tell_of_clock(ago);
            if !kept.is_ours() {
                tracing::info!(provider, "its health kept from before is of another version: it starts without it");
                continue;
            }
            let then = ago.time().and_then(|time| now.checked_sub(time));
            let Some(mut memory) = kept.read(then, now) else {
                tracing::warn!(provider, "its health kept from before is damaged: it starts without it");
                continue;
            };
            let bills = std::mem::take(&mut memory.bills);
            match CarriedState::from(memory, spec).await {
                Some(known) => {
                    shared.budgets.take_up(bills);
                    tracing::info!(provider, age = ?ago.time(), "continues with its health kept from before");
                    recalled.insert(spec.name.clone(), known);
                }
                None => {
                    tracing::info!(provider, "has another address now: it starts without its health kept from before");
                }
            }
        }
        (recalled, served)
    }

    /// Goes on where processes before this one were, once the actors run: tells the router which targets served
    /// sessions, by its clock, and counts what a process spends that still has the file.
    pub(super) async fn resume(&self, shared: &Arc<Shared>, served: Vec<ServedSession>) {
        let now = now();
        let at = |ago: Duration| now.checked_sub(ago);
        let known = served.into_iter().filter_map(|it| {
            let target = TargetId { provider: it.provider.into(), model: it.model.into() };
            Some((it.session, target, at(it.ago)?))
        });
        let known: Vec<_> = known.collect();
        if !known.is_empty() {
            shared.router.send(RouterCommand::Resume(known));
        }
        if let Some(store) = &self.0 {
            follow(store, shared).await;
        }
    }

    /// Writes what waits, at the end.
    pub(super) async fn finish(&self) {
        if let Some(store) = &self.0 {
            store.finish().await;
        }
    }

    /// Tells whether another process, which this one follows, still has the file.
    #[cfg(feature = "sidecar")]
    pub(super) fn is_behind(&self) -> bool {
        self.0.as_ref().is_some_and(|store| store.is_behind())
    }

    /// Tells the process that is to follow what attempts in flight may still cost. Returns what goes on telling it, as
    /// long as the runtime lives.
    #[cfg(feature = "sidecar")]
    pub(super) async fn tell_reserved(&self, shared: &Arc<Shared>) -> Option<impl Future<Output = ()> + use<>> {
        let store = self.0.as_ref()?;
        let mut told = shared.budgets.reserved();
        let _ = tokio::time::timeout(TOLD_MAX, store.tell_reserved(told.clone())).await;
        let (store, shared) = (Arc::downgrade(store), Arc::downgrade(shared));
        Some(async move {
            loop {
                tokio::time::sleep(LOOK).await;
                let (Some(store), Some(shared)) = (store.upgrade(), shared.upgrade()) else { return };
                let reserved = shared.budgets.reserved();
                if reserved != told && store.tell_reserved(reserved.clone()).await.is_ok() {
                    told = reserved;
                }
            }
        })
    }

    /// Answers a question with all that had ended before it was asked.
    pub(super) async fn ask(self, shared: Arc<Shared>, question: Question) -> Result<Statement, LedgerError> {
        let store = self.0.ok_or(LedgerError::NotKept)?;
        store.flush().await;
        shared.blocking_pool.run(true, move || crate::store::ask_file(store.path(), &question)).await
    }
}

/// Counts for the budgets, until the file is this process's own, what the process that has it spends, and what its
/// attempts in flight may still cost.
async fn follow(store: &Arc<Store>, shared: &Arc<Shared>) {
    if store.may_take_over() {
        return;
    }
    store.read_first(true);
    let mut reserved = Reserved::new();
    read_spent(store, shared, false, &mut reserved).await;
    let (store, shared) = (Arc::downgrade(store), Arc::downgrade(shared));
    #[expect(clippy::disallowed_methods, reason = "it ends with the process before this one, or with the runtime")]
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(LOOK).await;
            let (Some(store), Some(shared)) = (store.upgrade(), shared.upgrade()) else { return };
            let (may_take_over, ends) = (store.may_take_over(), shared.draining.load(Relaxed));
            if !ends {
                read_spent(&store, &shared, may_take_over, &mut reserved).await;
            }
            if may_take_over || ends {
                return store.read_first(false);
            }
        }
    });
}

/// What attempts of another process have reserved, by budget and account.
type Reserved = HashMap<(String, String), i64>;

/// Reads what others spent and reserved, and counts what has changed. Once they have ended nothing of theirs is
/// reserved.
async fn read_spent(store: &Store, shared: &Shared, is_over: bool, known: &mut Reserved) {
    let (budgets, path) = (shared.budgets.budgets(), store.path().to_owned());
    if budgets.is_empty() {
        return;
    }
    let now = wall();
    let counted = budgets.clone();
    let look = move || {
        // First what was reserved: what ends meanwhile counts twice for a moment, and never not at all.
        let reserved = store::reserved(&path)?;
        let spent = counted.iter().enumerate().map(|(at, budget)| store::recall(&path, at, budget, now));
        Ok::<_, OpenError>((reserved, spent.collect::<Result<Vec<_>, _>>()?.concat()))
    };
    let (reserved, spent) = match shared.blocking_pool.run(true, look).await {
        Ok(read) => read,
        Err(error) => return tracing::debug!(%error, "what another process spends cannot be read now"),
    };
    shared.budgets.recall(&store.add_up(&budgets, spent));
    let reserved = reserved.into_iter().filter(|_| !is_over).map(|one| ((one.budget, one.account), one.amount));
    let before = std::mem::replace(known, reserved.collect());
    for (of, amount) in &*known {
        shared.budgets.reserve(&of.0, &of.1, amount - before.get(of).copied().unwrap_or(0));
    }
    for (of, amount) in before.iter().filter(|(of, _)| !known.contains_key(*of)) {
        shared.budgets.reserve(&of.0, &of.1, -amount);
    }
}

/// Logs that the clock was set. Returns whether it was.
fn tell_of_clock(ago: Elapsed) -> bool {
    let what = match ago {
        Elapsed::Measured(_) => return false,
        Elapsed::ClockSet { back: true, .. } => {
            "the clock was set back meanwhile: the machine's own count gives the age of what was kept"
        }
        Elapsed::ClockSet { .. } => {
            "the clock was set forward meanwhile: the machine's own count gives the age of what was kept"
        }
        Elapsed::Negative(_) => "the clock is earlier than what was kept: all of it that ages is dropped",
        Elapsed::TooLong(_) => "what was kept is too old, or the clock was set forward: all of it that ages is dropped",
    };
    tracing::warn!(?ago, "{what}");
    true
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rusqlite::Connection;

    use super::*;
    use crate::config::{ProviderConfig, RouteConfig, StoreConfig};
    use crate::policy::snapshot::Health;
    use crate::runtime::Runtime;
    use crate::words::{ChatRequest, Failure, FailureClass};

    async fn start(file: &Path) -> Runtime {
        let broken =
            ProviderConfig::from_fn(|_| async { Err::<String, _>(Failure::new(FailureClass::Server, "not now")) });
        let well = ProviderConfig::from_fn(|_| async { Ok("yes") });
        Runtime::builder()
            .provider("a", broken.model("m"))
            .provider("b", well.model("m"))
            .route("smart", RouteConfig::new(["a/m"]).tier(1, ["b/m"]))
            .with(|config| config.store = Some(StoreConfig::new(file)))
            .start()
            .await
            .expect("it starts whatever stands in the file")
    }

    fn health(runtime: &Runtime) -> Health {
        *runtime.health().target(&TargetId::new("a", "m")).expect("a target")
    }

    #[tokio::test]
    async fn kept_health_is_dropped_only_if_its_age_is_unknown_or_it_is_damaged() {
        let folder = std::env::temp_dir().join(format!("standin-undated-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join("kept.db");
        for (what, sql, is_known) in [
            ("nothing", "", true),
            // The wall's clock was set three days forward, then back, while the machine ran on.
            ("set forward", "UPDATE memory SET at = at - 259200000", true),
            ("set back", "UPDATE memory SET at = at + 259200000", true),
            // Another run of the machine.
            ("an hour ago", "UPDATE memory SET at = at - 3600000, run = 'another'", true),
            ("to come", "UPDATE memory SET at = at + 3600000, run = 'another'", false),
            ("long ago", "UPDATE memory SET at = at - 31 * 86400000, run = NULL", false),
            ("damaged", "UPDATE memory SET bytes = zeroblob(length(bytes))", false),
            ("cut", "UPDATE memory SET bytes = x''", false),
            ("another form", "UPDATE memory SET form = form + 1", false),
        ] {
            for ending in ["", "-wal", "-shm"] {
                let _ = std::fs::remove_file(folder.join(format!("kept.db{ending}")));
            }
            let runtime = start(&file).await;
            for _ in 0..4 {
                runtime.chat(ChatRequest::new("smart").user("Are you there?")).await.expect("b answers");
            }
            let asked = health(&runtime).admitted;
            assert!(asked > 0);
            runtime.drain(Duration::from_secs(1)).await;
            drop(runtime);
            Connection::open(&file).and_then(|connection| connection.execute_batch(sql)).expect("a change");
            let runtime = start(&file).await;
            let now = health(&runtime);
            assert_eq!(now.admitted, if is_known { asked } else { 0 }, "{what}: {now:?}");
        }
        std::fs::remove_dir_all(&folder).expect("a folder");
    }
}

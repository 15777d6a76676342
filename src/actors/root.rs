//! The root supervisor: starts everything, restarts what crashes, replaces what is reconfigured, stops in order.
//!
//! No child restarts silently for ever: each has a restart intensity with backoff, and each crash is an event. Beyond
//! the intensity a provider's supervisor rests; the others, which have no substitute, wait the longest backoff.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime};

#[cfg(feature = "store")]
use futures_util::future::join_all;
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus as SeededRng;
#[cfg(feature = "store")]
use tokio::sync::oneshot;

#[cfg(feature = "store")]
use super::carried_state::memory;
use super::carried_state::{CarriedState, changeable, provide};
use super::clock::now;
use super::front::Front;
use super::price_poller;
use super::router::Router;
use super::shared::Shared;
use super::slot::ProviderStatus;
use super::supervisor::Supervisor;
use super::table::{Provider, Table, Target};
use super::task::{NoMessage, OwnTasks, TaskSupervisor, died};
use super::to_provider::ProviderMessage;
use super::to_root::{Child, RootMessage};
use super::to_router::RouterCommand;
use super::to_supervisor::SupervisorMessage;
use super::wait_scheduler::WaitScheduler;
use crate::policy::budget::Unit;
use crate::policy::local_fault::{ClockNews, Clocks, MachineSleep};
use crate::policy::restart::{Restart, Restarts};
use crate::source::uptime;
use crate::spec::Setup;
use crate::words::locks::lock;
use crate::words::{Date, Event};

/// How often wall time is compared with monotonic time.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How long before a model's last day its users are told, and how often.
const NOTICE_DAYS: i64 = 14;
const NOTICE_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a child may take to stop before it is killed.
const STOP_MAX: Duration = Duration::from_secs(5);
/// How long providers may take to save their machines before they are stopped.
#[cfg(feature = "store")]
const SAVE_MAX: Duration = Duration::from_secs(1);

impl Child {
    /// Returns its name as events and logs spell it.
    fn name(&self) -> String {
        match self {
            Self::Calls => "calls".into(),
            Self::WaitScheduler => "wait scheduler".into(),
            Self::PricePoller => "price poller".into(),
            Self::Front => "front".into(),
            Self::Router => "router".into(),
            Self::Supervisor(provider) => format!("supervisor of {}", provider.spec.name),
        }
    }

    /// The order in which children are stopped: a child that needs others goes first.
    fn stops(&self) -> u8 {
        match self {
            Self::Calls => 0,
            Self::Supervisor(_) | Self::WaitScheduler | Self::PricePoller => 1,
            Self::Router => 2,
            Self::Front => 3,
        }
    }
}

/// The state of each provider from before this process.
pub(crate) type Recalled = HashMap<Arc<str>, CarriedState>;

pub(crate) struct Root;

pub(crate) struct State {
    shared: Arc<Shared>,
    children: HashMap<ActorId, (ActorCell, Child)>,
    restarts: HashMap<String, Restarts>,
    /// When retiring models were last published; `None` if not yet for this table.
    noticed: Option<Instant>,
    rng: SeededRng,
}

#[cfg_attr(feature = "async-trait", ractor::async_trait)]
impl Actor for Root {
    type Msg = RootMessage;
    type State = State;
    type Arguments = (Arc<Shared>, Setup, Recalled);

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        (shared, setup, recalled): Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        let rng = SeededRng::seed_from_u64(shared.limits.seed);
        shared.root.set(myself.clone());
        let mut state = State { shared, children: HashMap::new(), restarts: HashMap::new(), noticed: None, rng };
        for child in [Child::Calls, Child::WaitScheduler, Child::PricePoller, Child::Router, Child::Front] {
            state.start(&myself, child).await?;
        }
        state.reconfigure(&myself, setup, recalled).await;
        myself.send_interval(HEARTBEAT, || RootMessage::Heartbeat);
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            RootMessage::Reconfigure(setup, done) => {
                state.reconfigure(&myself, *setup, Recalled::default()).await;
                state.shared.tell(Event::Reconfigured);
                let _ = done.send(());
            }
            // It was removed while it waited to be started again.
            RootMessage::Start(child) if !state.wants(&child) => {}
            RootMessage::Start(child) => {
                if let Err(error) = state.start(&myself, child.clone()).await {
                    state.crashed(&myself, child, &error.to_string());
                }
            }
            RootMessage::Heartbeat => state.beat(),
            RootMessage::Priced => state.reprice(),
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let Some((who, reason)) = died(event) else { return Ok(()) };
        if let Some((_, child)) = state.children.remove(&who.get_id())
            && state.wants(&child)
        {
            state.crashed(&myself, child, &reason);
        }
        Ok(())
    }

    async fn post_stop(&self, _: ActorRef<Self::Msg>, state: &mut Self::State) -> Result<(), ActorProcessingErr> {
        state.shared.draining.store(true, Relaxed);
        state.shared.parking.wake_all();
        let mut children: Vec<_> = state.children.drain().map(|(_, child)| child).collect();
        children.sort_by_key(|(_, child)| child.stops());
        let others = children.split_off(children.partition_point(|(_, child)| matches!(child, Child::Calls)));
        stop(children).await;
        // Its tasks were told to end: what an attempt reports later than this is not remembered.
        #[cfg(feature = "store")]
        state.remember_last().await;
        stop(others).await;
        Ok(())
    }
}

/// Stops some children, one after the other.
async fn stop(children: Vec<(ActorCell, Child)>) {
    for (cell, child) in children {
        // A task hears of no stop before its work is done.
        if matches!(child, Child::PricePoller) || cell.stop_and_wait(None, Some(STOP_MAX)).await.is_err() {
            cell.kill();
        }
    }
}

impl State {
    async fn start(&mut self, myself: &ActorRef<RootMessage>, child: Child) -> Result<(), SpawnErr> {
        let (shared, root) = (self.shared.clone(), myself.get_cell());
        let cell = match &child {
            Child::Calls => {
                let own = OwnTasks::new(&shared.tasks);
                let tasks = own.shared().clone();
                let (calls, _) = Actor::spawn_linked(None, Calls, own, root).await?;
                let actor = calls.get_cell();
                *lock(&shared.calls) = Some(TaskSupervisor { actor: actor.clone(), tasks });
                actor
            }
            Child::Front => {
                let (front, _) = Actor::spawn_linked(None, Front, shared.clone(), root).await?;
                shared.front.set(front.clone());
                front.get_cell()
            }
            Child::WaitScheduler => Actor::spawn_linked(None, WaitScheduler, shared, root).await?.0.get_cell(),
            Child::PricePoller => price_poller::start(shared, root).await?,
            Child::Router => Actor::spawn_linked(None, Router, shared, root).await?.0.get_cell(),
            Child::Supervisor(provider) => {
                Actor::spawn_linked(None, Supervisor, (provider.clone(), shared), root).await?.0.get_cell()
            }
        };
        self.children.insert(cell.get_id(), (cell, child));
        Ok(())
    }

    fn crashed(&mut self, myself: &ActorRef<RootMessage>, child: Child, reason: &str) {
        let (now, actor) = (now(), child.name());
        let options = || Restarts::new(self.shared.limits.restart.clone());
        let restarts = self.restarts.entry(actor.clone()).or_insert_with(options);
        let (wait, resting) = match (restarts.crashed(now, &mut self.rng), &child) {
            (Restart::After { wait, .. }, _) => (wait, false),
            (Restart::Rest(wait), Child::Supervisor(_)) => (wait, true),
            // These have no substitute: their rest would be an outage of everything.
            (
                Restart::Rest(_),
                Child::Calls | Child::WaitScheduler | Child::PricePoller | Child::Front | Child::Router,
            ) => (self.shared.limits.restart.backoff_max, false),
        };
        tracing::error!(actor, reason, ?wait, resting, "actor crashed");
        self.shared.tell(Event::ActorRestarted { actor, reason: reason.to_owned() });
        match &child {
            Child::Router => self.shared.router.clear(),
            Child::Front => self.shared.front.clear(),
            Child::WaitScheduler | Child::PricePoller => {}
            Child::Calls => *lock(&self.shared.calls) = None,
            Child::Supervisor(provider) if resting => {
                provider.slot.down(ProviderStatus::Resting(now + wait));
                self.shared.tell(Event::ProviderResting { provider: provider.spec.name.clone(), wait });
            }
            Child::Supervisor(provider) => provider.slot.down(ProviderStatus::Restarting(now + wait)),
        }
        if wait.is_zero() {
            let _ = myself.send_message(RootMessage::Start(child));
        } else {
            myself.send_after(wait, || RootMessage::Start(child));
        }
    }

    /// Tells whether a child is to live: all are, except supervisors of providers that the table no longer has.
    fn wants(&self, child: &Child) -> bool {
        match child {
            Child::Calls | Child::WaitScheduler | Child::PricePoller | Child::Front | Child::Router => true,
            Child::Supervisor(provider) => {
                self.shared.table.borrow().providers.iter().any(|known| Arc::ptr_eq(known, provider))
            }
        }
    }

    /// Starts what is new, publishes the table, retires what is gone: no call in flight loses its provider.
    async fn reconfigure(&mut self, myself: &ActorRef<RootMessage>, setup: Setup, mut recalled: Recalled) {
        let old = self.shared.table();
        let mut providers = Vec::with_capacity(setup.providers.len());
        let known: HashMap<&str, &Arc<Provider>> = old.providers.iter().map(|old| (&*old.spec.name, old)).collect();
        for spec in setup.providers {
            let known = known.get(&*spec.name).copied();
            if let Some(same) = known.filter(|known| known.spec == spec) {
                let keys = changeable(&same.spec);
                if !keys.is_empty() {
                    same.slot.provider.send(ProviderMessage::Renew(keys));
                }
                providers.push(same.clone());
                continue;
            }
            let from_before = known.map_or_else(|| recalled.remove(&spec.name), |old| CarriedState::of(old, &spec));
            let read = known.map_or(&[][..], |old| &old.keys);
            let provider = Arc::new(provide(spec, read, from_before, self.shared.parking.notifier.clone()));
            let child = Child::Supervisor(provider.clone());
            if let Err(error) = self.start(myself, child.clone()).await {
                self.crashed(myself, child, &error.to_string());
            }
            providers.push(provider);
        }
        self.noticed = None;
        let counts_dollars = setup.budgets.iter().any(|budget| budget.unit == Unit::Nanodollars);
        self.shared.budgets.replace(setup.budgets);
        #[cfg(feature = "store")]
        self.shared.budgets.recall(&setup.spent);
        self.shared.table.send_replace(Arc::new(Table::new(providers, setup.layout, &self.shared.prices)));
        self.shared.parking.wake_all();
        self.shared.router.send(RouterCommand::Retabled(old.clone()));
        let table = self.shared.table();
        let unpriced = |target: &&Arc<Target>| target.price.is_none() && target.spec().named;
        for target in table.targets.iter().filter(unpriced).filter(|_| counts_dollars) {
            let (target, remedy) = (target.id(), "set its `price`");
            tracing::warn!(target_id = %target, remedy, "budgets count dollars, and its price is not known");
        }
        for (route, target) in self.shared.lift_pins(&table) {
            tracing::warn!(%route, target_id = %target, "a pin is lifted: the target is no longer one of the route's");
            self.shared.tell(Event::Unpinned { route, target });
        }
        let stays: HashSet<*const Provider> = table.providers.iter().map(Arc::as_ptr).collect();
        for gone in old.providers.iter().filter(|gone| !stays.contains(&Arc::as_ptr(gone))) {
            gone.slot.down(ProviderStatus::Retired);
            if let Some(supervisor) = gone.slot.supervisor() {
                let _ = supervisor.actor.send_message(SupervisorMessage::Retire);
            }
        }
    }

    /// Publishes the same table at the prices of now. Attempts in flight keep the ones that they began with.
    fn reprice(&self) {
        let old = self.shared.table();
        let table = Table::new(old.providers.clone(), old.layout.clone(), &self.shared.prices);
        let changed = old.targets.iter().zip(&table.targets).filter(|(old, new)| old.price != new.price).count();
        let unpriced = table.targets.iter().filter(|target| target.price.is_none()).count();
        tracing::info!(changed, unpriced, "targets have other prices");
        self.shared.table.send_replace(Arc::new(table));
    }

    /// Tells a machine's sleep from providers' failures; forgets answers that are too old; once a day, and of a new
    /// table with its first beat, tells which models retire.
    #[expect(clippy::disallowed_methods, reason = "only wall time goes on while the machine sleeps, and has days")]
    fn beat(&mut self) {
        let (wall, now) = (SystemTime::now(), now());
        match self.shared.heartbeat(Clocks { wall, machine: uptime(), awake: Instant::now(), now }) {
            Some(ClockNews::Slept(MachineSleep { since, by })) => {
                tracing::warn!(
                    ?by,
                    "the machine slept; recent failures are taken back, and waiting times went on meanwhile"
                );
                for provider in &self.shared.table().providers {
                    since.map(|since| provider.slot.provider.send(ProviderMessage::LocalFault(since)));
                    provider.slot.provider.send(ProviderMessage::MachineSlept(by));
                }
            }
            Some(ClockNews::Set { by, back }) => {
                tracing::warn!(
                    ?by,
                    back,
                    "the clock was set; nothing here ages by that, and records have its new time"
                );
            }
            None => {}
        }
        #[cfg(feature = "store")]
        self.remember();
        self.shared.stale.expire(&self.shared.table());
        if self.noticed.is_none_or(|then| now.saturating_duration_since(then) >= NOTICE_EVERY) {
            self.noticed = Some(now);
            self.tell_retiring(Date::of(wall));
        }
    }

    /// Gives the store what is new about providers, for the next process. It waits for no actor.
    #[cfg(feature = "store")]
    fn remember(&self) {
        if let Some(keeps) = self.shared.keeps() {
            let (table, budgets) = (self.shared.table(), &self.shared.budgets);
            table.providers.iter().filter_map(|it| memory(it, budgets)).for_each(|memory| keeps.keep(memory));
        }
    }

    /// Keeps it for the last time, with the providers' latest state.
    #[cfg(feature = "store")]
    async fn remember_last(&self) {
        if self.shared.keeps().is_none() {
            return;
        }
        let mut saved = Vec::new();
        for provider in &self.shared.table().providers {
            let (asks, told) = oneshot::channel();
            if provider.slot.provider.send(ProviderMessage::Checkpoint(Some(asks))) {
                saved.push(told);
            }
        }
        let _ = tokio::time::timeout(SAVE_MAX, join_all(saved)).await;
        self.remember();
    }

    /// Tells of every model that the user named and that no longer answers, or soon will not. It is not left out: the
    /// date may be wrong.
    fn tell_retiring(&self, today: Date) {
        for target in &self.shared.table().targets {
            let spec = target.spec();
            if let Some(on) = spec.retires.filter(|on| spec.named && *on <= today.plus(NOTICE_DAYS)) {
                self.shared.retiring(spec, Some(on));
            }
        }
    }
}

/// The supervisor under which calls live. A call that crashes has sent its error by being dropped: nothing is left to
/// do, and so it only holds them.
pub(crate) struct Calls;

#[cfg_attr(feature = "async-trait", ractor::async_trait)]
impl Actor for Calls {
    type Msg = NoMessage<Self>;
    type State = OwnTasks;
    type Arguments = OwnTasks;

    async fn pre_start(&self, _: ActorRef<NoMessage<Self>>, calls: OwnTasks) -> Result<OwnTasks, ActorProcessingErr> {
        Ok(calls)
    }

    async fn post_stop(&self, _: ActorRef<NoMessage<Self>>, calls: &mut OwnTasks) -> Result<(), ActorProcessingErr> {
        // Its state goes to its own supervisor, and may lie there for a while.
        calls.close();
        Ok(())
    }
}

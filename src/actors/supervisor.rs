//! One provider's supervisor: starts its provider again, keeps its attempts alive meanwhile.
//!
//! Attempts are the provider's siblings: a crash of the bookkeeping does not end attempts that are paid for. After too
//! many crashes the supervisor does not die (that would kill them) but rests: the slot is empty, all calls see `down`,
//! and the provider is started again later.

use std::sync::Arc;
use std::time::Duration;

use ractor::concurrency::JoinHandle;
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus as SeededRng;

use super::clock::now;
use super::hint_poller;
use super::provider::{Arguments, Provider};
use super::shared::Shared;
use super::slot::ProviderStatus;
use super::table::Provider as Configured;
use super::task::{OwnTasks, TaskSupervisor, died};
use super::to_supervisor::SupervisorMessage;
use crate::policy::restart::{Restart, Restarts};
use crate::words::Event;
use crate::words::locks::write_lock;

/// How long after a crash the hint poller is started again.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// How often a retired provider's supervisor looks whether the last attempt has ended.
const RETIRED_LOOK: Duration = Duration::from_millis(50);

pub(crate) struct Supervisor;

pub(crate) struct State {
    configured: Arc<Configured>,
    shared: Arc<Shared>,
    restarts: Restarts,
    rng: SeededRng,
    /// Attempts, and readings of keys.
    tasks: OwnTasks,
    /// The living provider.
    child: Option<(ActorId, JoinHandle<()>)>,
    /// The task that reads its status page and health address.
    hint_poller_id: Option<ActorId>,
    /// Counts starts and crashes, so that a late start is recognised.
    epoch: u64,
    retired: bool,
}

#[cfg_attr(feature = "async-trait", ractor::async_trait)]
impl Actor for Supervisor {
    type Msg = SupervisorMessage;
    type State = State;
    type Arguments = (Arc<Configured>, Arc<Shared>);

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        (configured, shared): Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        let tasks = OwnTasks::new(&shared.tasks);
        let own = TaskSupervisor { actor: myself.get_cell(), tasks: tasks.shared().clone() };
        *write_lock(&configured.slot.supervisor) = Some(own);
        let restarts = Restarts::new(configured.spec.restart.clone());
        let rng = SeededRng::seed_from_u64(shared.limits.seed);
        let (child, hint_poller_id, epoch, retired) = (None, None, 0, false);
        let mut state = State { configured, shared, restarts, rng, tasks, child, hint_poller_id, epoch, retired };
        state.start(&myself, true).await;
        state.start_hint_poller(&myself).await;
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            SupervisorMessage::Start { epoch, keep_statistics } => {
                if epoch == state.epoch && !state.retired {
                    state.start(&myself, keep_statistics).await;
                }
            }
            SupervisorMessage::PollHints => state.start_hint_poller(&myself).await,
            SupervisorMessage::Retire => {
                state.retire();
                if state.configured.slot.is_idle() {
                    myself.stop(Some("retired".into()));
                } else {
                    myself.send_after(RETIRED_LOOK, || SupervisorMessage::Retire);
                }
            }
            SupervisorMessage::Abort => {
                if let Some((_, task)) = &state.child {
                    task.abort();
                }
            }
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
        if state.hint_poller_id.take_if(|hint_poller_id| *hint_poller_id == who.get_id()).is_some() {
            myself.send_after(LOOK_AGAIN, || SupervisorMessage::PollHints);
        }
        if state.child.as_ref().is_some_and(|(child, _)| *child == who.get_id()) {
            state.child = None;
            if !state.retired {
                state.crashed(&myself, reason);
            }
        }
        Ok(())
    }

    async fn post_stop(&self, _: ActorRef<Self::Msg>, state: &mut State) -> Result<(), ActorProcessingErr> {
        // Its state goes to its own supervisor, and may lie there for a while.
        state.tasks.close();
        Ok(())
    }
}

impl State {
    /// Starts the provider. A start that fails is a crash.
    async fn start(&mut self, myself: &ActorRef<SupervisorMessage>, keep_statistics: bool) {
        self.epoch += 1;
        let arguments = Arguments { configured: self.configured.clone(), shared: self.shared.clone(), keep_statistics };
        match Actor::spawn_linked(None, Provider, arguments, myself.get_cell()).await {
            Ok((provider, task)) => self.child = Some((provider.get_id(), task)),
            Err(error) => self.crashed(myself, error.to_string()),
        }
    }

    /// Starts the hint poller, if the provider has a status page or a health address.
    async fn start_hint_poller(&mut self, myself: &ActorRef<SupervisorMessage>) {
        self.hint_poller_id =
            hint_poller::start(self.configured.clone(), self.shared.clone(), myself.get_cell()).await.ok().flatten();
    }

    fn crashed(&mut self, myself: &ActorRef<SupervisorMessage>, reason: String) {
        self.epoch += 1;
        let now = now();
        let (wait, keep_statistics, resting) = match self.restarts.crashed(now, &mut self.rng) {
            Restart::After { wait, crashes } => (wait, crashes < 2, false),
            Restart::Rest(wait) => (wait, false, true),
        };
        let provider = self.configured.spec.name.clone();
        let status = if resting { ProviderStatus::Resting } else { ProviderStatus::Restarting };
        self.configured.slot.down(status(now + wait));
        tracing::error!(%provider, reason, ?wait, resting, "provider crashed");
        self.shared.tell(Event::ProviderCrashed { provider: provider.clone(), reason, restart_in: wait });
        if resting {
            self.shared.tell(Event::ProviderResting { provider, wait });
        }
        let epoch = self.epoch;
        let start = move || SupervisorMessage::Start { epoch, keep_statistics };
        if wait.is_zero() {
            let _ = myself.send_message(start());
        } else {
            myself.send_after(wait, start);
        }
    }

    fn retire(&mut self) {
        if !std::mem::replace(&mut self.retired, true) {
            self.configured.slot.down(ProviderStatus::Retired);
        }
    }
}

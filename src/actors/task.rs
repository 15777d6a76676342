//! Actors that run one async function and stop: for isolation and lifetime only.
//!
//! Calls, attempts and readings are such actors. Their data is dropped with them, however they end: a guard that is
//! dropped reports that end.

use std::convert::Infallible;
use std::marker::PhantomData;
use std::pin::Pin;

use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};

/// The messages of a task: none. Its kind tells one sort of task from another.
pub(crate) struct NoMessage<Kind>(PhantomData<fn() -> Kind>, Infallible);

#[cfg(feature = "cluster")]
impl<Kind: 'static> ractor::Message for NoMessage<Kind> {}

/// The future of a task, boxed by its starter: otherwise the future that starts a task would be as large as the task's
/// own, and an actor's handlers are moved with every message.
pub(super) type TaskFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Task<Kind>(PhantomData<fn() -> Kind>);

#[cfg_attr(feature = "async-trait", ractor::async_trait)]
impl<Kind: 'static> Actor for Task<Kind> {
    type Msg = NoMessage<Kind>;
    type State = Option<Self::Arguments>;
    /// The work, and the supervisor that hears nothing of its end, if it ends by itself.
    type Arguments = (TaskFuture, Option<ActorCell>);

    async fn pre_start(
        &self,
        _: ActorRef<NoMessage<Kind>>,
        work: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(Some(work))
    }

    async fn post_start(
        &self,
        myself: ActorRef<NoMessage<Kind>>,
        work: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        if let Some((work, supervisor)) = work.take() {
            work.await;
            if let Some(supervisor) = supervisor {
                myself.unlink(supervisor);
            }
        }
        myself.stop(None);
        Ok(())
    }
}

/// Runs some work as an actor of its own, under a supervisor. If the supervisor is just stopping, the work is dropped.
/// That the work was done is no news to a supervisor of thousands a second, and is not told.
pub(super) async fn run<Kind: 'static>(work: TaskFuture, supervisor: ActorCell) -> Result<(), SpawnErr> {
    let work = (work, Some(supervisor.clone()));
    Actor::spawn_linked(None, Task::<Kind>(PhantomData), work, supervisor).await.map(drop)
}

/// The same, and returns the actor, of whose end its supervisor always hears.
pub(super) async fn spawn<Kind: 'static>(work: TaskFuture, supervisor: ActorCell) -> Result<ActorCell, SpawnErr> {
    let (task, _) = Actor::spawn_linked(None, Task::<Kind>(PhantomData), (work, None), supervisor).await?;
    Ok(task.get_cell())
}

/// Returns which child died and how, if the event is a death.
pub(super) fn died(event: SupervisionEvent) -> Option<(ActorCell, String)> {
    match event {
        SupervisionEvent::ActorFailed(who, error) => Some((who, error.to_string())),
        SupervisionEvent::ActorTerminated(who, _, reason) => Some((who, reason.unwrap_or_else(|| "stopped".into()))),
        _ => None,
    }
}

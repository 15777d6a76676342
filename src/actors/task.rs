//! Work that is one async function: tasks under a supervisor, and actors of one function.
//!
//! Calls, attempts and readings are tasks. They end with their supervisor, and their data is dropped with them, however
//! they end: a guard that is dropped reports that end. Pollers, whose end their supervisor is to hear of, are actors.

use std::any::Any;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use tokio::task::AbortHandle;

use crate::words::locks::lock;

/// The future of a task, boxed by its starter: otherwise the future that starts a task would be as large as the task's
/// own, and an actor's handlers are moved with every message.
pub(super) type TaskFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The kinds of tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TaskKind {
    Call,
    Attempt,
    /// Of a key, at its source.
    Reading,
}

/// How many tasks of each kind a runtime has.
#[derive(Debug, Default)]
pub(crate) struct TaskCounts([AtomicUsize; 3]);

impl TaskCounts {
    fn of(&self, kind: TaskKind) -> &AtomicUsize {
        &self.0[kind as usize]
    }

    #[cfg(feature = "testing")]
    pub(crate) fn count(&self, kind: TaskKind) -> usize {
        self.of(kind).load(Relaxed)
    }
}

/// An actor that has tasks, and those that it has.
#[derive(Clone)]
pub(crate) struct TaskSupervisor {
    pub(crate) actor: ActorCell,
    pub(crate) tasks: Tasks,
}

/// The tasks of one supervisor, known to those that start them.
#[derive(Clone)]
pub(crate) struct Tasks(Arc<Mutex<Members>>, Arc<TaskCounts>);

/// The same as its supervisor holds it: they end when this is dropped.
pub(crate) struct OwnTasks(Tasks);

#[derive(Default)]
struct Members {
    /// By their numbers; a task that is just starting has no handle yet.
    running: BTreeMap<u64, Option<AbortHandle>>,
    started: u64,
    /// Whether the supervisor has ended.
    closed: bool,
}

/// A task's place among those of its supervisor.
struct Membership {
    tasks: Tasks,
    number: u64,
    kind: TaskKind,
}

impl Drop for Membership {
    fn drop(&mut self) {
        let gone = lock(&self.tasks.0).running.remove(&self.number);
        drop(gone);
        self.tasks.1.of(self.kind).fetch_sub(1, Relaxed);
    }
}

impl OwnTasks {
    pub(super) fn new(counts: &Arc<TaskCounts>) -> Self {
        Self(Tasks(Arc::default(), counts.clone()))
    }

    pub(super) const fn shared(&self) -> &Tasks {
        &self.0
    }

    /// Ends all of them. No more are started.
    pub(super) fn close(&self) {
        lock(&self.0.0).closed = true;
        self.0.kill();
    }
}

impl Drop for OwnTasks {
    fn drop(&mut self) {
        self.close();
    }
}

impl Tasks {
    /// Runs some work until it is done or its supervisor ends. If that has ended, the work is dropped. A panic ends
    /// this task alone.
    pub(super) fn run(&self, kind: TaskKind, work: TaskFuture) {
        let Some(membership) = self.enter(kind) else { return };
        let number = membership.number;
        let guarded = async move {
            let _membership = membership;
            if let Err(panic) = AssertUnwindSafe(work).catch_unwind().await {
                tracing::error!(error = said(&*panic), ?kind, "a task crashed");
            }
        };
        #[expect(clippy::disallowed_methods, reason = "it ends with its supervisor, by its membership")]
        let task = tokio::spawn(guarded).abort_handle();
        let mut members = lock(&self.0);
        if members.closed {
            drop(members);
            task.abort();
        } else if let Some(place) = members.running.get_mut(&number) {
            // Where it has no place it is over.
            *place = Some(task);
        }
    }

    /// Takes a place for a task that starts, unless the supervisor has ended.
    fn enter(&self, kind: TaskKind) -> Option<Membership> {
        let mut members = lock(&self.0);
        if members.closed {
            return None;
        }
        members.started += 1;
        let number = members.started;
        members.running.insert(number, None);
        self.1.of(kind).fetch_add(1, Relaxed);
        Some(Membership { tasks: self.clone(), number, kind })
    }

    /// Ends those that run now; tells whether there were any.
    pub(crate) fn kill(&self) -> bool {
        // They end without the lock, which each of them takes then.
        let running: Vec<AbortHandle> = lock(&self.0).running.values().flatten().cloned().collect();
        running.iter().for_each(AbortHandle::abort);
        !running.is_empty()
    }
}

/// Returns what a panic said.
fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without a text")
}

/// The messages of an actor of one function: none. Its kind tells one sort from another.
pub(crate) struct NoMessage<Kind>(PhantomData<fn() -> Kind>, Infallible);

#[cfg(feature = "cluster")]
impl<Kind: 'static> ractor::Message for NoMessage<Kind> {}

struct Task<Kind>(PhantomData<fn() -> Kind>);

#[cfg_attr(feature = "async-trait", ractor::async_trait)]
impl<Kind: 'static> Actor for Task<Kind> {
    type Msg = NoMessage<Kind>;
    type State = Option<TaskFuture>;
    type Arguments = TaskFuture;

    async fn pre_start(
        &self,
        _: ActorRef<NoMessage<Kind>>,
        work: TaskFuture,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(Some(work))
    }

    async fn post_start(
        &self,
        myself: ActorRef<NoMessage<Kind>>,
        work: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        if let Some(work) = work.take() {
            work.await;
        }
        myself.stop(None);
        Ok(())
    }
}

/// Runs some work as an actor of its own, of whose end its supervisor hears.
pub(super) async fn spawn<Kind: 'static>(work: TaskFuture, supervisor: ActorCell) -> Result<ActorCell, SpawnErr> {
    let (task, _) = Actor::spawn_linked(None, Task::<Kind>(PhantomData), work, supervisor).await?;
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

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    /// Returns work that never ends, and what resolves when it is dropped.
    fn endless() -> (TaskFuture, oneshot::Receiver<()>) {
        let (held, dropped) = oneshot::channel::<()>();
        let work = async move {
            let _held = held;
            std::future::pending::<()>().await;
        };
        (Box::pin(work), dropped)
    }

    #[tokio::test]
    async fn tasks_end_with_their_supervisor_and_none_begins_after_it() {
        let counts = Arc::new(TaskCounts::default());
        let own = OwnTasks::new(&counts);
        let tasks = own.shared().clone();
        let (one, dropped) = endless();
        tasks.run(TaskKind::Call, one);
        tasks.run(TaskKind::Attempt, Box::pin(async { panic!("this is a test") }));
        tasks.run(TaskKind::Reading, Box::pin(std::future::ready(())));
        tokio::task::yield_now().await;
        let of = |kind| counts.of(kind).load(Relaxed);
        assert_eq!([TaskKind::Call, TaskKind::Attempt, TaskKind::Reading].map(of), [1, 0, 0], "a panic ends one alone");
        drop(own);
        dropped.await.expect_err("it ends");
        let (late, dropped) = endless();
        tasks.run(TaskKind::Call, late);
        dropped.await.expect_err("it is dropped");
        tokio::task::yield_now().await;
        assert_eq!(of(TaskKind::Call), 0);
        assert!(lock(&tasks.0).running.is_empty());
    }
}

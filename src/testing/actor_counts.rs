//! Counts living actors, for tests that none is left over.

use ractor::{ActorCell, ActorStatus, Message};

use crate::actors::task::TaskKind;
use crate::actors::to_provider::ProviderMessage;
use crate::actors::to_supervisor::SupervisorMessage;
use crate::runtime::Runtime;

/// The actors of one runtime, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ActorCounts {
    /// All actors, the root included, and all their tasks. None, once the runtime has stopped.
    pub actors: usize,
    /// Providers' supervisors, also of providers that were removed and wait for their last attempts.
    pub supervisors: usize,
    /// Providers.
    pub providers: usize,
    /// Attempts in flight.
    pub attempts: usize,
    /// Calls in flight.
    pub calls: usize,
}

/// Counts the actors that live.
pub fn actor_counts(runtime: &Runtime) -> ActorCounts {
    let shared = runtime.shared();
    let root = shared.root.get().map(|root| root.get_cell());
    let children = root.as_ref().map(ActorCell::get_children).unwrap_or_default();
    let supervisors = of::<SupervisorMessage>(&children);
    let below: Vec<_> = supervisors.iter().flat_map(|supervisor| supervisor.get_children()).collect();
    let [calls, attempts, readings] =
        [TaskKind::Call, TaskKind::Attempt, TaskKind::Reading].map(|kind| shared.tasks.count(kind));
    let stands = root.is_some_and(|root| root.get_status() < ActorStatus::Stopped);
    ActorCounts {
        actors: usize::from(stands) + children.len() + below.len() + calls + attempts + readings,
        supervisors: supervisors.len(),
        providers: of::<ProviderMessage>(&below).len(),
        attempts,
        calls,
    }
}

/// Returns those that take this kind of message.
fn of<M: Message>(actors: &[ActorCell]) -> Vec<&ActorCell> {
    actors.iter().filter(|actor| actor.is_message_type_of::<M>() == Some(true)).collect()
}

//! Counts living actors, for tests that none is left over.

use ractor::{ActorCell, ActorStatus, Message};

use crate::actors::attempt::Attempt;
use crate::actors::task::NoMessage;
use crate::actors::to_provider::ProviderMessage;
use crate::actors::to_supervisor::SupervisorMessage;
use crate::runtime::Runtime;

/// The actors of one runtime, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ActorCounts {
    /// All actors, the root included. None, once the runtime has stopped.
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
    let calls = shared.calls().map_or(0, |calls| calls.get_children().len());
    let stands = root.is_some_and(|root| root.get_status() < ActorStatus::Stopped);
    ActorCounts {
        actors: usize::from(stands) + children.len() + below.len() + calls,
        supervisors: supervisors.len(),
        providers: of::<ProviderMessage>(&below).len(),
        attempts: of::<NoMessage<Attempt>>(&below).len(),
        calls,
    }
}

/// Returns those that take this kind of message.
fn of<M: Message>(actors: &[ActorCell]) -> Vec<&ActorCell> {
    actors.iter().filter(|actor| actor.is_message_type_of::<M>() == Some(true)).collect()
}

//! The scheduler of the waiting calls: it looks when it is notified or when something is due, and lets go the calls
//! that may go.
//!
//! One look for all of them, and none while no call waits. It owns nothing: its successor goes on where it stopped.

use std::sync::Arc;

use ractor::concurrency::JoinHandle;
use ractor::{Actor, ActorProcessingErr, ActorRef, MessagingErr};

use super::clock::now;
use super::parking::WaitResource;
use super::shared::Shared;
use super::table::Table;
use super::wait_notifier::CheckWaiting;
use crate::policy::wait_queue::Capacity;
use crate::words::TargetId;

pub(crate) struct WaitScheduler;

pub(crate) struct State {
    shared: Arc<Shared>,
    /// The look that is due next.
    next: Option<JoinHandle<Result<(), MessagingErr<CheckWaiting>>>>,
}

#[cfg_attr(feature = "async-trait", ractor::async_trait)]
impl Actor for WaitScheduler {
    type Msg = CheckWaiting;
    type State = State;
    type Arguments = Arc<Shared>;

    async fn pre_start(
        &self,
        myself: ActorRef<CheckWaiting>,
        shared: Arc<Shared>,
    ) -> Result<State, ActorProcessingErr> {
        shared.parking.notifier.set_scheduler(myself);
        Ok(State { shared, next: None })
    }

    async fn handle(
        &self,
        myself: ActorRef<CheckWaiting>,
        _: CheckWaiting,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let parking = &state.shared.parking;
        parking.notifier.acknowledge();
        let table = state.shared.table();
        let next = parking.look(|resource| match resource {
            WaitResource::Target(target) => gate(&table, target),
            WaitResource::CallSlot => match state.shared.places.available_permits() {
                0 => Capacity::Full(None),
                free => Capacity::Free(u32::try_from(free).unwrap_or(u32::MAX)),
            },
        });
        if let Some(before) = state.next.take() {
            before.abort();
        }
        state.next = next.map(|at| myself.send_after(at.saturating_duration_since(now()), || CheckWaiting));
        Ok(())
    }
}

/// Returns a target's gate for waiting calls, as published.
fn gate(table: &Table, target: &TargetId) -> Capacity {
    let target = table.index(target).map(|at| &table.targets[at]);
    let health = target.and_then(|target| target.provider.slot.health(target.index));
    health.map_or(Capacity::Closed, |health| Capacity::of(&health, now()))
}

//! The keeper of the calls that are parked: looks when somebody rings, or when something is due, and lets go who may
//! go.
//!
//! One look for all of them, and none while nobody waits. It owns nothing: its successor goes on where it stopped.

use std::sync::Arc;

use ractor::concurrency::JoinHandle;
use ractor::{Actor, ActorProcessingErr, ActorRef, MessagingErr};

use super::bell::Look;
use super::clock::now;
use super::shared::Shared;
use super::table::Table;
use crate::policy::park::Gate;
use crate::words::TargetId;

pub(crate) struct Keeper;

pub(crate) struct State {
    shared: Arc<Shared>,
    /// The look that is due next.
    next: Option<JoinHandle<Result<(), MessagingErr<Look>>>>,
}

#[cfg_attr(feature = "async-trait", ractor::async_trait)]
impl Actor for Keeper {
    type Msg = Look;
    type State = State;
    type Arguments = Arc<Shared>;

    async fn pre_start(&self, myself: ActorRef<Look>, shared: Arc<Shared>) -> Result<State, ActorProcessingErr> {
        shared.parking.bell.kept_by(myself);
        Ok(State { shared, next: None })
    }

    async fn handle(&self, myself: ActorRef<Look>, _: Look, state: &mut State) -> Result<(), ActorProcessingErr> {
        let parking = &state.shared.parking;
        parking.bell.heard();
        let table = state.shared.table();
        let next = parking.look(|target| gate(&table, target));
        if let Some(before) = state.next.take() {
            before.abort();
        }
        state.next = next.map(|at| myself.send_after(at.saturating_duration_since(now()), || Look));
        Ok(())
    }
}

/// Returns what a target says of calls that would go there, as published.
fn gate(table: &Table, target: &TargetId) -> Gate {
    let target = table.index(target).map(|at| &table.targets[at]);
    let health = target.and_then(|target| target.provider.slot.health(target.index));
    match health.map(|health| health.refusal(false, now())) {
        Some(None) => Gate::Open,
        Some(Some(refusal)) => refusal.until.map_or(Gate::Shut, Gate::Until),
        None => Gate::Shut,
    }
}

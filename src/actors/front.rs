//! The public actor: the one reference that stays valid for the runtime's life.
//!
//! Stateless: it hands calls to the living router, or answers at once that it cannot. Operators' orders go past the
//! router, so that they are heard while it restarts.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};

use super::clock::{now, wall};
use super::health::{HealthSnapshot, ProviderHealth};
use super::log_writer::{self, Form};
use super::responder::{Responder, WantedReply};
use super::shared::Shared;
use super::table::Provider;
use super::to_front::RouterMessage;
use super::to_provider::ProviderMessage;
use super::to_router::RouterCommand;
use crate::policy::explain::Explanation;
use crate::policy::snapshot::{Force, IndexedHold};
use crate::words::locks::lock;
use crate::words::{ChatRequest, Error, Hold, Reset, TargetId, meant};

pub(crate) struct Front;

#[cfg_attr(feature = "async-trait", ractor::async_trait)]
impl Actor for Front {
    type Msg = RouterMessage;
    type State = Arc<Shared>;
    type Arguments = Arc<Shared>;

    async fn pre_start(&self, _: ActorRef<Self::Msg>, shared: Arc<Shared>) -> Result<Self::State, ActorProcessingErr> {
        Ok(shared)
    }

    async fn handle(
        &self,
        _: ActorRef<Self::Msg>,
        message: Self::Msg,
        shared: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            RouterMessage::Chat(request, port) => {
                log_writer::serve(shared, (*request).into(), WantedReply::Whole(answer(shared, port)));
            }
            RouterMessage::Stream(request, port) => {
                log_writer::serve(shared, (*request).into(), WantedReply::Stream(answer(shared, port)));
            }
            RouterMessage::Embed(request, port) => {
                log_writer::serve(shared, (*request).into(), WantedReply::Vectors(answer(shared, port)));
            }
            RouterMessage::Submit(request, port) => {
                log_writer::keep(shared, Arc::new(*request), Form::Stream, true, answer(shared, port));
            }
            RouterMessage::Resume(id, port) => log_writer::resume(shared, id, answer(shared, port)),
            RouterMessage::Health(port) => {
                let _ = port.send(health(shared));
            }
            RouterMessage::Explain(request, port) => explain(shared, request, port),
            RouterMessage::Pin(route, target, port) => {
                let _ = port.send(pin(shared, &route, target));
            }
            RouterMessage::Force(target, to, port) => {
                let _ = port.send(force(shared, &target, to));
            }
            #[expect(
                clippy::disallowed_methods,
                reason = "who waits for providers owns nothing; if it dies, its port says so"
            )]
            RouterMessage::Reset(what, port) => {
                let shared = shared.clone();
                tokio::spawn(async move {
                    let lifted = reset(&shared, &what).await;
                    let _ = port.send(lifted);
                });
            }
            #[expect(
                clippy::disallowed_methods,
                reason = "who waits for a drain owns nothing; if it dies, its port says so"
            )]
            RouterMessage::Drain(target, port) => {
                tokio::spawn(drain(shared.clone(), target, port));
            }
        }
        Ok(())
    }
}

/// Returns where a message's answer goes.
fn answer<T>(shared: &Shared, port: RpcReplyPort<Result<T, Error>>) -> Responder<T> {
    Responder::port(port, &shared.draining)
}

/// Asks the router, which knows the sessions; if there is none, the answer says so.
fn explain(shared: &Shared, request: Box<ChatRequest>, port: RpcReplyPort<Result<Explanation, Error>>) {
    match shared.router.get() {
        Some(router) => {
            if let Err(ractor::MessagingErr::SendErr(_)) = router.send_message(RouterCommand::Explain(request, port)) {
                tracing::debug!("the router restarts; its port was dropped");
            }
        }
        None => drop(port.send(Err(Error::Unavailable))),
    }
}

/// Sends all calls of a route to one of its targets, or to none in particular.
fn pin(shared: &Shared, route: &str, target: Option<TargetId>) -> Result<(), Error> {
    let table = shared.table();
    let route = table.route(route)?;
    if let Some(target) = &target
        && !table.serves(route, target)
    {
        let problem = format!("`{target}` is no target of route `{}`", route.name);
        return Err(Error::Invalid { field: "target".into(), problem });
    }
    shared.pin(route.name.clone(), target);
    Ok(())
}

/// Overrides a target: its provider gets this before any request for a permit that is made later.
fn force(shared: &Shared, target: &TargetId, force: Force) -> Result<(), Error> {
    let table = shared.table();
    let target = table.find(target)?;
    let sent = target.provider.slot.provider.send(ProviderMessage::Force(target.index, force));
    if sent { Ok(()) } else { Err(Error::Unavailable) }
}

/// Forces a target off and waits until nothing is in flight there.
async fn drain(shared: Arc<Shared>, target: TargetId, port: RpcReplyPort<Result<(), Error>>) {
    const LOOK: Duration = Duration::from_millis(50);
    let drained = match shared.table().find(&target) {
        Err(error) => Err(error),
        Ok(entry) => {
            let forced = force(&shared, &target, Force::Off { until: None });
            while forced.is_ok() && entry.provider.slot.in_flight(entry.index) > 0 && !port.is_closed() {
                tokio::time::sleep(LOOK).await;
            }
            forced
        }
    };
    let _ = port.send(drained);
}

/// The longest wait for a provider's answer to a reset. It takes microseconds; only a bug takes longer.
const RESET_MAX: Duration = Duration::from_secs(1);

/// Lifts holds, and returns them.
async fn reset(shared: &Shared, what: &Reset) -> Result<Vec<Hold>, Error> {
    let table = shared.table();
    let known = |name: &str| {
        table.providers.iter().find(|provider| &*provider.spec.name == name).ok_or_else(|| {
            let known = table.providers.iter().map(|provider| &*provider.spec.name);
            let problem = format!("no provider `{name}`; {}", meant(name, known));
            Error::Invalid { field: "provider".into(), problem }
        })
    };
    let whole = |provider: &Arc<Provider>| (provider.clone(), None, None);
    let concerned: Vec<(Arc<Provider>, Option<usize>, Option<usize>)> = match what {
        Reset::All => table.providers.iter().map(whole).collect(),
        Reset::Provider(name) => vec![whole(known(name)?)],
        Reset::Target(id) => {
            let target = table.find(id)?;
            vec![(target.provider.clone(), Some(target.index), None)]
        }
        Reset::Key { provider, key } => {
            let provider = known(provider)?;
            let index = provider.spec.keys.iter().position(|known| known.name == *key).ok_or_else(|| {
                let known = provider.spec.keys.iter().map(|key| &*key.name);
                let problem = format!("no key `{key}` of provider `{}`; {}", provider.spec.name, meant(key, known));
                Error::Invalid { field: "key".into(), problem }
            })?;
            vec![(provider.clone(), None, Some(index))]
        }
    };
    let mut lifted = Vec::new();
    for (provider, target, key) in concerned {
        let (reply, told) = tokio::sync::oneshot::channel();
        let sent = provider.slot.provider.send(ProviderMessage::Reset(target, key, reply));
        let told = if sent { tokio::time::timeout(RESET_MAX, told).await.ok().and_then(Result::ok) } else { None };
        // A provider's actor that is down starts from its checkpoint.
        let indexed_holds = told.unwrap_or_else(|| {
            let mut checkpoint = lock(&provider.slot.checkpoint);
            checkpoint.as_mut().map_or_else(Vec::new, |known| Arc::make_mut(known).reset(target, key, now()))
        });
        lifted.extend(indexed_holds.iter().map(|indexed_hold| hold(&provider, indexed_hold)));
    }
    Ok(lifted)
}

/// Names what a provider knows by number.
fn hold(provider: &Provider, indexed_hold: &IndexedHold) -> Hold {
    let spec = &provider.spec;
    let IndexedHold { target, key, cause, since, until } = *indexed_hold;
    Hold {
        provider: spec.name.clone(),
        model: target.and_then(|target| Some(spec.targets.get(target)?.id.model.clone())),
        key: key.and_then(|key| Some(spec.keys.get(key)?.name.clone())),
        cause,
        since,
        until,
    }
}

/// Reads what is published; asks no actor.
pub(crate) fn health(shared: &Shared) -> HealthSnapshot {
    let table = shared.table();
    let providers = table.providers.iter().map(|provider| {
        let slot = &provider.slot;
        let targets = provider.spec.targets.iter().enumerate();
        ProviderHealth {
            name: provider.spec.name.clone(),
            status: slot.status(),
            incarnations: slot.incarnations.load(Relaxed),
            retires: targets.clone().filter_map(|(_, spec)| Some((spec.id.clone(), spec.retires?))).collect(),
            targets: targets.filter_map(|(index, spec)| Some((spec.id.clone(), slot.health(index)?))).collect(),
            holds: lock(&slot.indexed_holds).iter().map(|indexed_hold| hold(provider, indexed_hold)).collect(),
            hints: provider.hints(),
            drift: slot.drift(),
        }
    });
    let at = now();
    HealthSnapshot {
        at,
        taken_at: wall(),
        calls: shared.budget.calls(),
        draining: shared.draining.load(Relaxed),
        lack: shared.shortage(),
        unreached: shared.unreached(at),
        providers: providers.collect(),
        observers: shared.observers(),
        queued: shared.parking.queued(),
        parked: shared.parking.health(),
        prices: shared.prices.health(),
        unpriced: table.targets.iter().filter(|it| it.price.is_none()).map(|it| it.id().clone()).collect(),
        budgets: shared.budgets.health(),
        store: shared.store(),
    }
}

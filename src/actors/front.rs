//! The public face among actors: the one reference that stays valid for the runtime's life.
//!
//! Stateless: it accepts a call and hands it to the living router, or answers at once that it cannot.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime};

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use tracing::Instrument as _;

use super::accepted::{Accepted, Seat};
use super::answer::{Answer, Wanted};
use super::books::CALLS;
use super::clock::now;
use super::health::{HealthSnapshot, ProviderHealth};
use super::parking::Spot;
use super::post::lock;
use super::shared::Shared;
use super::table::{Provider, Table};
use super::to_front::RouterMessage;
use super::to_provider::ProviderMessage;
use super::to_router::RouterCommand;
use super::work::Work;
use crate::policy::routing::Needs;
use crate::policy::snapshot::{Barrier, Force};
use crate::spec::RouteSpec;
use crate::words::{CallFacts, CallId, Error, Hold, Priority, Reset, Rule, TargetId, meant};

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
                submit(shared, (*request).into(), Wanted::Whole(Answer::port(port, &shared.draining)));
            }
            RouterMessage::Stream(request, port) => {
                submit(shared, (*request).into(), Wanted::Stream(Answer::port(port, &shared.draining)));
            }
            RouterMessage::Embed(request, port) => {
                submit(shared, (*request).into(), Wanted::Vectors(Answer::port(port, &shared.draining)));
            }
            RouterMessage::Health(port) => {
                let _ = port.send(health(shared));
            }
            RouterMessage::Explain(request, port) => {
                ask(shared, port, |port| RouterCommand::Explain(request, port));
            }
            RouterMessage::Pin(route, target, port) => {
                ask(shared, port, |port| RouterCommand::Pin(route, target, port));
            }
            RouterMessage::Force(target, force, port) => {
                ask(shared, port, |port| RouterCommand::Force(target, force, port));
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

/// The most time for a call, whatever its caller says: a year, which no clock overflows on.
const DEADLINE_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Accepts a call and hands it to the router, or answers: at once, unless it is long.
pub(crate) fn submit(shared: &Arc<Shared>, work: Work, wanted: Wanted) {
    if !work.is_long() {
        return begin(shared, work, wanted);
    }
    let shared = shared.clone();
    let beginning = async move {
        let own = shared.clone();
        shared.apart.run(true, move || begin(&own, work, wanted)).await;
    };
    #[expect(clippy::disallowed_methods, reason = "whoever asked waits for its answer; dropped, that says so")]
    tokio::spawn(beginning.in_current_span());
}

/// Checks a request, gives it a place, and hands it to the router.
fn begin(shared: &Arc<Shared>, work: Work, wanted: Wanted) {
    let (table, route) = match accept(shared, &work) {
        Ok(entry) => entry,
        Err(error) => return wanted.refuse(error),
    };
    let started = now();
    let priority = shared.priority(&work);
    let deadline = started + work.deadline().unwrap_or(route.failover.deadline).min(DEADLINE_MAX);
    let seat = match take_seat(shared, priority, deadline) {
        Ok(seat) => seat,
        Err(error) => return wanted.refuse(error),
    };
    let about = about(shared.next_call(), &route, &work, priority);
    let mood = shared.purses.mood(&about);
    let needs = table.needs_of(&route, &work);
    let rule = if mood.least_cost { Some(Rule::LeastCost) } else { needs.rule };
    let needs = Needs { deadline: Some(deadline), priority, rule, price_max: mood.price_max, ..needs };
    let asked = table.ask(&route, work);
    let span = tracing::info_span!(target: CALLS, "call", id = %about.id, route = %route.name);
    let accepted = Accepted { about, asked, table, route, needs, started, deadline, wanted, seat, span };
    // Dropped with its answer if there is no router, which then says so.
    shared.router.send(RouterCommand::Start(Box::new(accepted)));
}

/// Returns what is known of a call from its start on.
#[expect(clippy::disallowed_methods, reason = "records are read by people and kept: their time is the wall's")]
fn about(id: CallId, route: &RouteSpec, work: &Work, priority: Priority) -> Arc<CallFacts> {
    let mut facts = CallFacts::new(id, SystemTime::now(), route.name.clone());
    facts.session = work.session().cloned();
    (facts.tags, facts.priority) = (work.tags().clone(), priority);
    (facts.dialect, facts.client) = (work.dialect(), work.client().cloned());
    Arc::new(facts)
}

fn accept(shared: &Arc<Shared>, work: &Work) -> Result<(Arc<Table>, Arc<RouteSpec>), Error> {
    work.check()?;
    let table = shared.table();
    let route = table.route(work.route())?.clone();
    if shared.draining.load(Relaxed) { Err(Error::Draining) } else { Ok((table, route)) }
}

/// Takes a place among the calls in flight, or one among those who wait for that, unless it would come too late.
fn take_seat(shared: &Shared, priority: Priority, due: Instant) -> Result<Seat, Error> {
    let (parking, spots) = (&shared.parking, [Spot::Calls]);
    let is_behind = parking.bell.waiting() > 0 && parking.is_before(&spots, priority, due, true);
    if !is_behind && let Some(place) = shared.take_place() {
        return Ok(Seat::Taken(place));
    }
    let place = parking.arrive(priority, due);
    let wait = parking.wait(&spots, place);
    let in_time = wait.is_none_or(|wait| now() + wait <= due);
    let queued = if in_time { parking.queue(&spots.clone().into(), &spots, place, false) } else { None };
    queued.map(Seat::Queued).ok_or_else(|| shared.overloaded(wait))
}

/// Asks the router; if there is none, answers that.
fn ask<T: Send + 'static>(
    shared: &Shared,
    port: RpcReplyPort<Result<T, Error>>,
    command: impl FnOnce(RpcReplyPort<Result<T, Error>>) -> RouterCommand,
) {
    match shared.router.get() {
        Some(router) => {
            if let Err(ractor::MessagingErr::SendErr(_)) = router.send_message(command(port)) {
                tracing::debug!("the router restarts; its port was dropped");
            }
        }
        None => drop(port.send(Err(Error::Unavailable))),
    }
}

/// Forces a target off and waits until nothing is in flight there.
async fn drain(shared: Arc<Shared>, target: TargetId, port: RpcReplyPort<Result<(), Error>>) {
    const LOOK: Duration = Duration::from_millis(50);
    let forced = match shared.table().find(&target) {
        Err(error) => Err(error),
        Ok(entry) => {
            let (reply, forced) = ractor::concurrency::oneshot();
            let force = Force::Off { until: None };
            ask(&shared, reply.into(), |port| RouterCommand::Force(target, force, port));
            let forced = forced.await.unwrap_or(Err(Error::Unavailable));
            while forced.is_ok() && entry.provider.slot.in_flight(entry.index) > 0 && !port.is_closed() {
                tokio::time::sleep(LOOK).await;
            }
            forced
        }
    };
    let _ = port.send(forced);
}

/// The longest that a provider's word on a reset is waited for. It takes microseconds; only a bug takes longer.
const RESET_MAX: Duration = Duration::from_secs(1);

/// Lifts what keeps something out, and says what that was.
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
        // Who is not there begins with its checkpoint.
        let barriers = told.unwrap_or_else(|| {
            let mut checkpoint = lock(&provider.slot.checkpoint);
            checkpoint.as_mut().map_or_else(Vec::new, |known| Arc::make_mut(known).reset(target, key, now()))
        });
        lifted.extend(barriers.iter().map(|barrier| hold(&provider, barrier)));
    }
    Ok(lifted)
}

/// Names what a provider knows by number.
fn hold(provider: &Provider, barrier: &Barrier) -> Hold {
    let spec = &provider.spec;
    let Barrier { target, key, cause, since, until } = *barrier;
    Hold {
        provider: spec.name.clone(),
        model: target.and_then(|target| Some(spec.targets.get(target)?.id.model.clone())),
        key: key.and_then(|key| Some(spec.keys.get(key)?.name.clone())),
        cause,
        since,
        until,
    }
}

/// Reads what is published; asks nobody.
pub(crate) fn health(shared: &Shared) -> HealthSnapshot {
    let table = shared.table();
    let providers = table.providers.iter().map(|provider| {
        let slot = &provider.slot;
        let targets = provider.spec.targets.iter().enumerate();
        ProviderHealth {
            name: provider.spec.name.clone(),
            status: *slot.status.borrow(),
            incarnations: slot.incarnations.load(Relaxed),
            retires: targets.clone().filter_map(|(_, spec)| Some((spec.id.clone(), spec.retires?))).collect(),
            targets: targets.filter_map(|(index, spec)| Some((spec.id.clone(), slot.health(index)?))).collect(),
            holds: lock(&slot.barriers).iter().map(|barrier| hold(provider, barrier)).collect(),
            drift: slot.drift(),
        }
    });
    HealthSnapshot {
        at: now(),
        calls: shared.budget.calls(),
        draining: shared.draining.load(Relaxed),
        lack: shared.lack(),
        providers: providers.collect(),
        observers: shared.observers(),
        queued: shared.parking.queued(),
        parked: shared.parking.health(),
        budgets: shared.purses.health(),
        store: shared.store(),
    }
}

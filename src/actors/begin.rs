//! How a call begins: its request is checked, it gets a place, and the router gets it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tracing::Instrument as _;

use super::accepted::{Accepted, CallAdmission, CallIdentity};
use super::clock::{now, wall};
use super::parking::WaitResource;
use super::recorder::CALLS;
use super::responder::WantedReply;
use super::routed_request::RoutedRequest;
use super::shared::Shared;
use super::table::Table;
use super::to_router::RouterCommand;
use super::work::Work;
use crate::policy::routing::Needs;
use crate::spec::RouteSpec;
use crate::words::{CallFacts, CallId, Error, Priority, Rule};

/// The most time for a call, even if its caller sets more: a year, which overflows no clock.
const DEADLINE_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Accepts a call and hands it to the router, or answers it. This is done at once, except for long requests and where
/// an actor decides the priority. A call that has an id already keeps it.
pub(super) fn call(shared: &Arc<Shared>, named: Option<CallIdentity>, work: Work, wanted: WantedReply) {
    let is_long = work.is_long();
    if !is_long && shared.slow_classify().is_none() {
        return begin(shared, named, work, None, wanted);
    }
    let shared = shared.clone();
    let beginning = async move {
        let own = shared.clone();
        let said = match shared.slow_classify() {
            Some(classify) => Some(classify.priority(shared.arrival(&work)).await),
            None => None,
        };
        shared.blocking_pool.run(is_long, move || begin(&own, named, work, said, wanted)).await;
    };
    #[expect(clippy::disallowed_methods, reason = "the caller waits for its answer; dropped, that says so")]
    tokio::spawn(beginning.in_current_span());
}

/// Checks a request, gives it a place, and hands it to the router.
fn begin(shared: &Arc<Shared>, named: Option<CallIdentity>, work: Work, said: Option<Priority>, wanted: WantedReply) {
    match accept(shared, &work) {
        Ok((table, route)) => {
            let priority = said.unwrap_or_else(|| shared.priority(&work));
            start(shared, table, route, named, work, priority, wanted);
        }
        Err(error) => wanted.refuse(error),
    }
}

/// Makes a call of our own, on a route that no caller can ask for.
pub(super) fn own(shared: &Arc<Shared>, table: Arc<Table>, route: Arc<RouteSpec>, work: Work, wanted: WantedReply) {
    if shared.draining.load(Relaxed) {
        return wanted.refuse(Error::Draining);
    }
    start(shared, table, route, None, work, Priority::Batch, wanted);
}

/// Gives a call its place, and hands it to the router.
fn start(
    shared: &Arc<Shared>,
    table: Arc<Table>,
    route: Arc<RouteSpec>,
    named: Option<CallIdentity>,
    work: Work,
    priority: Priority,
    wanted: WantedReply,
) {
    let started = now();
    let deadline = started + work.deadline().unwrap_or(route.failover.deadline).min(DEADLINE_MAX);
    let due = work.leaves(started, deadline);
    let is_due = work.deadline().is_some() || due < deadline;
    let answer = || table.quickest(&route, &work, 0);
    let admission = match take_slot(shared, priority, due, is_due, answer) {
        Ok(admission) => admission,
        Err(error) => return wanted.refuse(error),
    };
    let identity = named.unwrap_or_else(|| CallIdentity::new(shared.next_call()));
    let about = about(identity.id, &route, &work, priority);
    let mut asked = RoutedRequest::new(work, table, route);
    let soft_routing = shared.budgets.soft_routing(&about);
    let rule = if soft_routing.least_cost { Some(Rule::LeastCost) } else { asked.needs.rule };
    let price_max = soft_routing.price_max;
    asked.needs = Needs { deadline: Some(deadline), priority, rule, price_max, ..asked.needs };
    asked.key = shared.stale.key(&asked.route, &asked.work);
    let span = tracing::info_span!(target: CALLS, "call", id = %about.id, route = %asked.route.name);
    let over = soft_routing.over;
    let accepted = Accepted { about, asked, over, started, deadline, wanted, admission, span, identity };
    // If there is no router it is dropped with its answer, which then sends the error.
    shared.router.send(RouterCommand::Start(Box::new(accepted)));
}

/// Returns what is known of a call from its start on.
fn about(id: CallId, route: &RouteSpec, work: &Work, priority: Priority) -> Arc<CallFacts> {
    let mut facts = CallFacts::new(id, wall(), route.name.clone());
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

/// Takes a place among the calls in flight, or among those that wait for one, unless its answer would come too late.
fn take_slot(
    shared: &Shared,
    priority: Priority,
    due: Instant,
    is_due: bool,
    answer: impl FnOnce() -> Duration,
) -> Result<CallAdmission, Error> {
    let (parking, resources) = (&shared.parking, [WaitResource::CallSlot]);
    let is_behind = parking.notifier.waiting() > 0 && parking.is_before(&resources, priority, due, true);
    if !is_behind && let Some(place) = shared.take_place() {
        return Ok(CallAdmission::InFlight(place));
    }
    let needs = answer();
    let rank = parking.arrive(priority, due, is_due).needing(needs);
    let wait = parking.wait(&resources, rank);
    let in_time = now() + wait.unwrap_or_default() + needs <= due;
    let queued = if in_time { parking.queue(&resources.clone().into(), &resources, rank, now(), false) } else { None };
    queued.map(CallAdmission::Queued).ok_or_else(|| shared.overloaded(wait))
}

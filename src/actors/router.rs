//! The router: owns the memory of routes and sessions, picks the first targets of each call, and starts the call.
//!
//! Input: accepted calls. Output: running calls and explanations. It is free again in microseconds: it
//! picks from published health, by the rules of `policy::routing`. A running call no longer needs it.

use std::collections::HashMap;
use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus as SeededRng;

use super::accepted::Accepted;
use super::call::{self, CallJob};
use super::call_record::CallRecord;
use super::clock::now;
use super::routed_request::RoutedRequest;
use super::shared::Shared;
use super::to_provider::Crash;
use super::to_router::RouterCommand;
use super::work::Work;
use crate::policy::explain::{CallStep, Considered, Explanation, Skipped};
use crate::policy::routing::{Plan, RouteState, Sessions, Skip, SkipReason};
use crate::wire::part_path;
use crate::words::{ChatRequest, Demanded, Error, Unread};

pub(crate) struct Router;

pub(crate) struct State {
    shared: Arc<Shared>,
    routes: HashMap<Arc<str>, RouteState>,
    sessions: Sessions,
    rng: SeededRng,
}

#[cfg_attr(feature = "async-trait", ractor::async_trait)]
impl Actor for Router {
    type Msg = RouterCommand;
    type State = State;
    type Arguments = Arc<Shared>;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        shared: Arc<Shared>,
    ) -> Result<Self::State, ActorProcessingErr> {
        let rng = SeededRng::seed_from_u64(shared.limits.seed);
        shared.router.set(myself);
        Ok(State { shared, routes: HashMap::new(), sessions: Sessions::default(), rng })
    }

    async fn handle(
        &self,
        _: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            RouterCommand::Start(accepted) => state.start(*accepted),
            RouterCommand::Explain(request, port) => {
                let _ = port.send(state.explain(*request));
            }
            RouterCommand::Answered { route, session, target, output } => {
                state.routes.entry(route).or_default().answered(output);
                // By the present table: the call may have begun under an older one.
                if let Some(session) = session
                    && let Some(target) = state.shared.table().index(&target)
                {
                    state.sessions.set(&session, target, now());
                }
            }
            #[cfg(feature = "store")]
            RouterCommand::Resume(served) => {
                let table = state.shared.table();
                for (session, target, at) in served {
                    if let Some(target) = table.index(&target) {
                        state.sessions.set(&session, target, at);
                    }
                }
            }
            RouterCommand::Retabled(old) => {
                let new = state.shared.table();
                state.sessions.reindex(|target| new.index(old.targets.get(target)?.id()));
            }
            RouterCommand::Crash(Crash::Panic) => panic!("panic asked for by the crash hook"),
            RouterCommand::Crash(Crash::Error) => return Err("error asked for by the crash hook".into()),
        }
        Ok(())
    }
}

impl State {
    fn start(&mut self, mut accepted: Accepted) {
        let now = now();
        let sticky = accepted.asked.work.session().and_then(|session| self.sessions.get(session, now));
        let memory = self.routes.entry(accepted.asked.route.name.clone()).or_default();
        let pinned = self.shared.pinned(&accepted.asked.route.name);
        let plan = accepted.asked.first_plan(pinned, sticky, memory, &mut self.rng);
        if let (Some(session), Some(sticky)) = (accepted.asked.work.session(), plan.sticky) {
            self.sessions.keep(session, sticky, now);
        }
        accepted.wanted.note(accepted.about.id);
        let (about, identity) = (accepted.about.clone(), &accepted.identity);
        let mut call_record = CallRecord::new(about, accepted.started, identity, self.shared.clone());
        if let Some(error) = unservable(&plan, &accepted) {
            call_record.note(CallStep::planned(&plan, |target| accepted.asked.target(target).id().clone(), now));
            call_record.end(CallStep::GaveUp(error.clone()));
            return accepted.wanted.refuse(error);
        }
        let Some(calls) = self.shared.calls() else {
            return accepted.wanted.refuse(Error::Unavailable);
        };
        let state = memory.clone();
        let rng = SeededRng::from_rng(&mut self.rng);
        let job = Box::new(CallJob { accepted, call_record, plan, state, sticky, rng });
        // If the call cannot be started it is dropped, and its answer sends `Unavailable`.
        call::start(job, self.shared.clone(), &calls.tasks);
    }

    /// Plans on copies, so that nothing is drawn or advanced.
    fn explain(&self, request: ChatRequest) -> Result<Explanation, Error> {
        let now = now();
        let table = self.shared.table();
        let route = table.route(&request.route)?;
        request.check_options()?;
        let work = Work::from(request);
        let sticky = work.session().and_then(|session| self.sessions.get(session, now));
        let mut memory = self.routes.get(&route.name).cloned().unwrap_or_default();
        let (priority, pinned) = (self.shared.priority(&work), self.shared.pinned(&route.name));
        let mut asked = RoutedRequest::new(work, table.clone(), route.clone());
        asked.needs.priority = priority;
        let plan = asked.first_plan(pinned, sticky, &mut memory, &mut self.rng.clone());
        let id = |target: usize| table.targets[target].id().clone();
        let health = |target: usize| {
            let entry = &table.targets[target];
            entry.provider.slot.health(entry.index)
        };
        let hints = |target: usize| table.targets[target].provider.hints();
        let planned = plan.picks.iter().map(|pick| Considered {
            target: id(pick.target),
            why: pick.why,
            score: pick.score,
            health: health(pick.target),
            hints: hints(pick.target),
        });
        let skipped = plan.skipped.iter().map(|skip| Skipped {
            target: id(skip.target),
            why: skip.why,
            back_in: skip.back_in(now),
            health: health(skip.target),
            hints: hints(skip.target),
        });
        Ok(Explanation {
            at: now,
            route: route.name.clone(),
            planned: planned.collect(),
            skipped: skipped.collect(),
            last_resort: plan.last_resort,
            parked: self.shared.parking.on_route(&route.name),
        })
    }
}

/// Tells whether no target could serve the request even in full health, and what each lacks.
fn unservable(plan: &Plan, accepted: &Accepted) -> Option<Error> {
    let RoutedRequest { route, table, needs, .. } = &accepted.asked;
    if !plan.is_hopeless() {
        return None;
    }
    // Where the route would let it through it is the budget that has no room for the call.
    let is_dear = |skip: &Skip| skip.why == SkipReason::Price;
    let is_least = needs.price_max <= route.options.price_max || route.options.price_max.is_none();
    if let Some(budget) = accepted.over.clone().filter(|_| is_least && plan.skipped.iter().any(is_dear)) {
        return Some(Error::OverBudget { budget, attempts: Vec::new() });
    }
    let why: Vec<String> =
        plan.skipped.iter().map(|skip| format!("{}: {}", table.targets[skip.target].id(), skip.why.text())).collect();
    let (route_name, why) = (route.name.to_string(), why.join("; "));
    if let Some((window, target)) = plan.too_small().map(|at| (accepted.asked.window(at), at)).max() {
        let tokens = accepted.asked.fit(target, 0).tokens;
        return Some(Error::TooLong { route: route_name, tokens, answer: needs.output_tokens, window, why });
    }
    let takes = |skip: &Skip| !matches!(skip.why, SkipReason::Foreign | SkipReason::Documents | SkipReason::Audio);
    let Some(part) = accepted.asked.untaken().filter(|_| !plan.skipped.iter().all(takes)) else {
        return Some(Error::NoTarget { route: route_name, why });
    };
    let may_be_left_out = matches!(&accepted.asked.work, Work::Chat(request) if part.may_be_left_out(request));
    let remedy = match part.what {
        Demanded::Tokens => {
            "send the text itself (LangChain: `check_embedding_ctx_length=False`), or add a target of OpenAI's dialect \
             to the route"
        }
        Demanded::Foreign(..) if may_be_left_out => {
            "leave it out, add a target of its dialect to the route, or let the route leave it out with \
             `foreign_parts = \"drop\"`"
        }
        Demanded::Foreign(..) => "leave it out, or add a target of its dialect to the route",
        _ => "leave it out, or add a target to the route that reads it",
    };
    // A call without a dialect is treated as one of the target's own.
    let original = if let Work::Chat(request) = &accepted.asked.work { request.original.as_ref() } else { None };
    let path = original.and_then(|original| part_path(&original.body, part));
    let (field, what) = (path.unwrap_or_else(|| part.field.clone()), part.what.text());
    let is_foreign = matches!(part.what, Demanded::Foreign(..));
    let unread = original.filter(|_| is_foreign).and_then(|original| {
        let unread = original.unread.iter();
        unread.clone().find(|unread| unread.field.starts_with(&field)).or_else(|| unread.clone().next())
    });
    let (field, what) = match unread {
        Some(Unread { field, problem }) => (field.clone(), format!("what is not understood here ({problem})")),
        None => (field, what),
    };
    Some(Error::NoTargetTakes { route: route_name, field, what, why, remedy })
}

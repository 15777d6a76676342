//! The router: owns what routes and sessions remember, picks the first targets of each call, starts the call.
//!
//! In flow accepted calls and operators' wishes, out flow calls and explanations. It is free again in microseconds:
//! what it picks from is published, what it picks by is `policy::routing`. A call that runs no longer needs it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus as SeededRng;

use super::call::{Accepted, Arguments as CallArguments, Call, Job};
use super::provider::{Crash, ProviderMessage};
use super::shared::{Shared, now};
use super::table::Table;
use super::work::Work;
use crate::policy::routing::{self, Pick, Plan, RouteState, Score, Sessions, Skip, SkipReason, Sticky, Why};
use crate::policy::snapshot::{Force, Gate, Health};
use crate::wire::serve::place;
use crate::words::{CallId, ChatRequest, Demanded, Error, Failure, TargetId};

/// What the runtime's front tells the router.
pub(crate) enum RouterCommand {
    /// Start this call.
    Start(Box<Accepted>),
    /// What would this request do now, and why?
    Explain(Box<ChatRequest>, RpcReplyPort<Result<Explanation, Error>>),
    /// A call was answered: its session stays there, its route learns how long answers are.
    Answered { route: Arc<str>, session: Option<String>, target: TargetId, output: u64 },
    /// All calls of a route go to this target, or to none in particular.
    Pin(String, Option<TargetId>, RpcReplyPort<Result<(), Error>>),
    /// An operator's hand on a target.
    Force(TargetId, Force, RpcReplyPort<Result<(), Error>>),
    /// This table was replaced: its indexes mean something else now.
    Retabled(Arc<Table>),
    /// Die, for tests and drills.
    Crash(Crash),
}

#[cfg(feature = "cluster")]
impl ractor::Message for RouterCommand {}

/// What a request would do now, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The route.
    pub route: Arc<str>,
    /// Targets in the order they would be tried. The first is where the next call goes.
    pub planned: Vec<Considered>,
    /// Targets that would not be tried.
    pub skipped: Vec<Skipped>,
    /// Whether every target is ill and the planned ones would be asked as a last resort.
    pub last_resort: bool,
}

/// A target that would be tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Considered {
    /// The target.
    pub target: TargetId,
    /// Why at this place.
    pub why: Why,
    /// Its expected cost, where the strategy computes one.
    pub score: Option<Score>,
    /// Its health as last published.
    pub health: Option<Health>,
}

/// A target that would not be tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Skipped {
    /// The target.
    pub target: TargetId,
    /// Why not.
    pub why: SkipReason,
    /// When it comes back, where that is known.
    pub back_in: Option<Duration>,
    /// Its health as last published.
    pub health: Option<Health>,
}

/// What became of one recent call: the flight recorder's page.
#[derive(Clone, Debug, PartialEq)]
pub struct Flight {
    /// The call.
    pub call: CallId,
    /// The route it asked for.
    pub route: Arc<str>,
    /// Its session.
    pub session: Option<String>,
    /// What happened, and how long after the call's start.
    pub steps: Vec<(Duration, Happened)>,
}

/// One thing that happened to a call.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Happened {
    /// Targets were picked.
    Planned {
        /// In the order to be tried, with why and how expensive.
        picks: Vec<(TargetId, Why, Option<Score>)>,
        /// The others, with why not and when they come back.
        skipped: Vec<(TargetId, SkipReason, Option<Duration>)>,
        /// Whether every target is ill.
        last_resort: bool,
    },
    /// A target did not admit the attempt.
    Refused {
        /// The target.
        target: TargetId,
        /// Which gate.
        gate: Gate,
        /// When it comes back, where that is known.
        wait: Option<Duration>,
    },
    /// An attempt was started.
    Tried {
        /// Its number.
        attempt: u32,
        /// Where to.
        target: TargetId,
    },
    /// An attempt failed.
    Failed {
        /// Its number.
        attempt: u32,
        /// How.
        failure: Failure,
    },
    /// The caller was told to drop what it had.
    Reset,
    /// The call waited for a target to come back.
    Waited(Duration),
    /// The call was answered by this attempt.
    Answered {
        /// Its number.
        attempt: u32,
    },
    /// The caller left before the call's end.
    CallerLeft,
    /// The call failed.
    GaveUp(Error),
}

impl Flight {
    pub(super) fn new(call: CallId, route: &Arc<str>, session: Option<String>) -> Self {
        Self { call, route: route.clone(), session, steps: Vec::with_capacity(4) }
    }
}

impl Happened {
    pub(super) fn planned(plan: &Plan, table: &Table, now: Instant) -> Self {
        let pick = |pick: &Pick| (table.targets[pick.target].id().clone(), pick.why, pick.score);
        let skip = |skip: &Skip| (table.targets[skip.target].id().clone(), skip.why, back_in(skip, now));
        Self::Planned {
            picks: plan.picks.iter().map(pick).collect(),
            skipped: plan.skipped.iter().map(skip).collect(),
            last_resort: plan.last_resort,
        }
    }
}

fn back_in(skip: &Skip, now: Instant) -> Option<Duration> {
    skip.until.map(|until| until.saturating_duration_since(now))
}

impl fmt::Display for Flight {
    /// Writes a page for people, a line a step.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "call {} on route {}", self.call, self.route)?;
        for (after, happened) in &self.steps {
            write!(f, "\n  +{:.3}s {happened}", after.as_secs_f64())?;
        }
        Ok(())
    }
}

impl fmt::Display for Happened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Planned { picks, skipped, last_resort } => {
                f.write_str(if *last_resort { "planned as a last resort:" } else { "planned:" })?;
                for (target, why, _) in picks {
                    write!(f, " {target} ({why:?})")?;
                }
                for (target, why, _) in skipped {
                    write!(f, ", not {target} ({})", why.text())?;
                }
                Ok(())
            }
            Self::Refused { target, gate, wait: Some(wait) } => {
                write!(f, "{target} refused: {}, back in {wait:?}", gate.name())
            }
            Self::Refused { target, gate, wait: None } => write!(f, "{target} refused: {}", gate.name()),
            Self::Tried { attempt, target } => write!(f, "attempt {attempt} at {target}"),
            Self::Failed { attempt, failure } => write!(f, "attempt {attempt} failed: {failure}"),
            Self::Reset => f.write_str("the caller was told to drop what it had"),
            Self::Waited(wait) => write!(f, "waiting up to {wait:?}"),
            Self::Answered { attempt } => write!(f, "answered by attempt {attempt}"),
            Self::CallerLeft => f.write_str("the caller left"),
            Self::GaveUp(error) => write!(f, "gave up: {error}"),
        }
    }
}

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
            RouterCommand::Start(accepted) => state.start(*accepted).await,
            RouterCommand::Explain(request, port) => {
                let _ = port.send(state.explain(*request));
            }
            RouterCommand::Answered { route, session, target, output } => {
                state.routes.entry(route).or_default().answered(output);
                // By the table as it is now: the call may have begun under an older one.
                if let Some(session) = session
                    && let Some(target) = state.shared.table().index(&target)
                {
                    state.sessions.set(&session, target, now());
                }
            }
            RouterCommand::Pin(route, target, port) => {
                let _ = port.send(state.pin(&route, target));
            }
            RouterCommand::Force(target, force, port) => {
                let _ = port.send(state.force(&target, force));
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
    async fn start(&mut self, accepted: Accepted) {
        let now = now();
        let sticky = accepted.asked.work.session().and_then(|session| self.sessions.get(session, now));
        let memory = self.routes.entry(accepted.route.name.clone()).or_default();
        let plan = pick(&self.shared, &accepted, memory, sticky, now, &mut self.rng);
        if let (Some(session), Some(sticky)) = (accepted.asked.work.session(), plan.sticky) {
            self.sessions.keep(session, sticky, now);
        }
        if let Some(error) = unservable(&plan, &accepted) {
            return accepted.wanted.refuse(error);
        }
        let Some(calls) = self.shared.calls() else {
            return accepted.wanted.refuse(Error::Unavailable);
        };
        let state = memory.clone();
        let rng = SeededRng::from_rng(&mut self.rng);
        let job = Box::new(Job { accepted, plan, state, sticky, rng });
        // If the call cannot be started it is dropped, and its answer says that the runtime is not available.
        let _ = Actor::spawn_linked(None, Call, CallArguments { job, shared: self.shared.clone() }, calls).await;
    }

    /// Peeks: plans on copies, so that nothing is drawn or advanced.
    fn explain(&self, request: ChatRequest) -> Result<Explanation, Error> {
        let now = now();
        let table = self.shared.table();
        let route = table.route(&request.route)?;
        request.check()?;
        let needs = table.needs(route, &request);
        let sticky = request.session.as_deref().and_then(|session| self.sessions.get(session, now));
        let mut memory = self.routes.get(&route.name).cloned().unwrap_or_default();
        let mut rng = self.rng.clone();
        let pinned = self.shared.pinned(&route.name).and_then(|id| table.index(&id));
        let asked = table.ask(route, Arc::new(request));
        let candidates = table.candidates(route, &asked, &[], &[]);
        let plan = routing::plan(&route.options, &mut memory, &candidates, &needs, sticky, pinned, now, &mut rng);
        let id = |target: usize| table.targets[target].id().clone();
        let health = |target: usize| {
            let entry = &table.targets[target];
            entry.provider.slot.health(entry.index)
        };
        let planned = plan.picks.iter().map(|pick| Considered {
            target: id(pick.target),
            why: pick.why,
            score: pick.score,
            health: health(pick.target),
        });
        let skipped = plan.skipped.iter().map(|skip| Skipped {
            target: id(skip.target),
            why: skip.why,
            back_in: back_in(skip, now),
            health: health(skip.target),
        });
        Ok(Explanation {
            route: route.name.clone(),
            planned: planned.collect(),
            skipped: skipped.collect(),
            last_resort: plan.last_resort,
        })
    }

    fn pin(&self, route: &str, target: Option<TargetId>) -> Result<(), Error> {
        let table = self.shared.table();
        let route = table.route(route)?;
        if let Some(target) = &target
            && !table.serves(route, target)
        {
            let problem = format!("`{target}` is no target of route `{}`", route.name);
            return Err(Error::Invalid { field: "target".into(), problem });
        }
        self.shared.pin(route.name.clone(), target);
        Ok(())
    }

    fn force(&self, target: &TargetId, force: Force) -> Result<(), Error> {
        let table = self.shared.table();
        let target = table.find(target)?;
        let sent = target.provider.slot.provider.send(ProviderMessage::Force(target.index, force));
        if sent { Ok(()) } else { Err(Error::Unavailable) }
    }
}

/// Picks targets for a call that starts.
fn pick(
    shared: &Shared,
    accepted: &Accepted,
    memory: &mut RouteState,
    sticky: Option<Sticky>,
    now: Instant,
    rng: &mut SeededRng,
) -> Plan {
    let route = &accepted.route;
    let pinned = shared.pinned(&route.name).and_then(|id| accepted.table.index(&id));
    let candidates = accepted.table.candidates(route, &accepted.asked, &[], &[]);
    routing::plan(&route.options, memory, &candidates, &accepted.needs, sticky, pinned, now, rng)
}

/// Tells whether no target could serve the request however healthy it were, and what each lacks.
fn unservable(plan: &Plan, accepted: &Accepted) -> Option<Error> {
    let Accepted { route, table, asked, .. } = accepted;
    let lacks = |skip: &Skip| !matches!(skip.why, SkipReason::Gate(_));
    if !plan.picks.is_empty() || !plan.skipped.iter().all(lacks) {
        return None;
    }
    let why: Vec<String> =
        plan.skipped.iter().map(|skip| format!("{}: {}", table.targets[skip.target].id(), skip.why.text())).collect();
    let (route_name, why) = (route.name.to_string(), why.join("; "));
    let takes = |skip: &Skip| !matches!(skip.why, SkipReason::Foreign | SkipReason::Documents | SkipReason::Audio);
    let Some(part) = table.untaken(route, asked).filter(|_| !plan.skipped.iter().all(takes)) else {
        return Some(Error::NoTarget { route: route_name, why });
    };
    let remedy = match part.what {
        Demanded::Foreign(..) => {
            "leave it out, add a target of its dialect to the route, or let the route leave it out with \
             `foreign_parts = \"drop\"`"
        }
        _ => "leave it out, or add a target to the route that reads it",
    };
    // Its caller counts as its own dialect does.
    let original = if let Work::Chat(request) = &asked.work { request.original.as_ref() } else { None };
    let place = original.and_then(|original| place(&original.body, part));
    let (field, what) = (place.unwrap_or_else(|| part.field.clone()), part.what.text());
    Some(Error::NoTargetTakes { route: route_name, field, what, why, remedy })
}

//! The crew: the actor over the agents. It starts them, collects the results of their calls, asks the router for the
//! providers' health, and stops the agents in the end.

use std::time::{Duration, Instant};

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent, call};
use standin::runtime::HealthSnapshot;
use standin::{AttemptEnd, AttemptRecord, Failure, FailureClass, OnExhausted, RouterMessage, ractor};

use crate::agent::{Agent, Arguments};
use crate::report::percentile;

pub const AGENTS: usize = 12;
/// The time that "now" covers on the screen.
const RECENT: Duration = Duration::from_secs(2);
/// An agent that is sent home still takes its turn to the end.
const TURN_MAX: Duration = Duration::from_secs(10);

pub enum CrewMessage {
    /// A call of an agent ended.
    Called(Call),
    /// An agent was let down: no answer, a wrong one, or a tool that ran twice.
    Trouble(String),
    /// How are things?
    Look(RpcReplyPort<Picture>),
    /// All agents stop; the port is answered when all have.
    GoHome(RpcReplyPort<()>),
    /// What has happened so far?
    Account(RpcReplyPort<Account>),
}

#[cfg(feature = "cluster")]
impl ractor::Message for CrewMessage {}

/// What kind of call it was: a tool call is shorter than a text, so each kind has its own baseline.
#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    Tool,
    Text,
}

/// One call, as its agent saw it.
#[derive(Clone, Copy)]
pub struct Call {
    pub began: Instant,
    pub took: Duration,
    pub kind: Kind,
    /// How often the runtime says it tried.
    pub attempts: u32,
    pub resets: u32,
    pub answered: bool,
    /// Whether the answer is from a target that was asked beside a silent one.
    pub hedged: bool,
    /// Attempts that others overtook, what they cost, and what all attempts did, in dollars.
    pub overtaken: u32,
    pub overtaken_usd: f64,
    pub usd: f64,
    /// How long no target could answer.
    pub waited: Duration,
    /// Whether its answer was from a lower rung.
    pub less: bool,
}

impl Call {
    /// Returns what the runtime tells of a call that was answered.
    pub fn of(attempts: &[AttemptRecord]) -> Self {
        let lost = |failure: &Failure| failure.class == FailureClass::HedgeLost;
        let overtaken = |attempt: &&AttemptRecord| matches!(&attempt.end, AttemptEnd::Failed(failure) if lost(failure));
        let usd = |attempt: &AttemptRecord| attempt.cost_usd.unwrap_or_default();
        let count = |attempts: usize| u32::try_from(attempts).unwrap_or(u32::MAX);
        Self {
            began: Instant::now(),
            took: Duration::ZERO,
            kind: Kind::Text,
            attempts: count(attempts.len()),
            resets: 0,
            answered: true,
            hedged: attempts.iter().any(|attempt| attempt.hedge && attempt.end == AttemptEnd::Won),
            overtaken: count(attempts.iter().filter(overtaken).count()),
            overtaken_usd: attempts.iter().filter(overtaken).map(usd).sum(),
            usd: attempts.iter().map(usd).sum(),
            waited: Duration::ZERO,
            less: false,
        }
    }
}

/// All calls, and what the agents complained about.
#[derive(Clone, Default)]
pub struct Account {
    pub calls: Vec<Call>,
    pub troubles: Vec<String>,
}

/// The content of the screen.
pub struct Picture {
    pub health: HealthSnapshot,
    pub calls: usize,
    pub failures: usize,
    pub masked: u32,
    pub resets: u32,
    /// Median and 99th percentile of the calls of the last two seconds.
    pub recent: [Duration; 2],
    /// The longest of the calls that ended since the last look.
    pub longest: Duration,
}

pub struct Crew;

pub struct State {
    router: ActorRef<RouterMessage>,
    account: Account,
    /// Calls that earlier looks have seen.
    seen: usize,
}

#[cfg_attr(feature = "async-trait", ractor::async_trait)]
impl Actor for Crew {
    type Msg = CrewMessage;
    type State = State;
    type Arguments = ActorRef<RouterMessage>;

    async fn pre_start(
        &self,
        myself: ActorRef<CrewMessage>,
        router: ActorRef<RouterMessage>,
    ) -> Result<State, ActorProcessingErr> {
        for number in 1..=AGENTS {
            // One agent is in a hurry: it prefers a lesser answer now to a full one later.
            let on_exhausted = if number == AGENTS { OnExhausted::Degrade } else { OnExhausted::Wait };
            let arguments = Arguments { number, router: router.clone(), crew: myself.clone(), on_exhausted };
            Actor::spawn_linked(None, Agent, arguments, myself.get_cell()).await?;
        }
        Ok(State { router, account: Account::default(), seen: 0 })
    }

    async fn handle(
        &self,
        myself: ActorRef<CrewMessage>,
        message: CrewMessage,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            CrewMessage::Called(call) => state.account.calls.push(call),
            CrewMessage::Trouble(trouble) => state.account.troubles.push(trouble),
            // Health is published: the answer waits for no provider and no call.
            CrewMessage::Look(port) => {
                let health = call!(state.router, RouterMessage::Health)?;
                let _ = port.send(state.look(health));
            }
            CrewMessage::GoHome(port) => {
                myself.get_cell().stop_children_and_wait(None, Some(TURN_MAX)).await;
                let _ = port.send(());
            }
            CrewMessage::Account(port) => drop(port.send(state.account.clone())),
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<CrewMessage>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(_, error) = event {
            state.account.troubles.push(format!("an agent crashed: {error}"));
        }
        Ok(())
    }
}

impl State {
    fn look(&mut self, health: HealthSnapshot) -> Picture {
        let Account { calls, troubles } = &self.account;
        let recent = calls.iter().rev().take_while(|call| (call.began + call.took).elapsed() < RECENT);
        let mut recent: Vec<Duration> = recent.map(|call| call.took).collect();
        recent.sort_unstable();
        let new = &calls[self.seen..];
        let picture = Picture {
            health,
            calls: calls.len(),
            failures: troubles.len(),
            masked: calls.iter().filter(|call| call.answered).map(|call| call.attempts.saturating_sub(1)).sum(),
            resets: calls.iter().map(|call| call.resets).sum(),
            recent: [percentile(&recent, 50), percentile(&recent, 99)],
            longest: new.iter().map(|call| call.took).max().unwrap_or_default(),
        };
        self.seen = calls.len();
        picture
    }
}

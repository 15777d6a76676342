//! Decisions and their reasons, for people and for programs: what a call would do now, and what happened to one.
//!
//! Plain data, made by the code that decided; nothing here decides.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::hedge::Join;
use super::routing::{PickReason, Plan, Score, Skip, SkipReason};
use super::snapshot::{Gate, Health};
use crate::words::{
    AttemptRecord, Brief, CallFacts, CallId, Degraded, Error, Failure, Hint, TargetId, UnavailableTarget,
};

/// What a request would do now, and why.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Explanation {
    /// When it was made, on the clock of its times.
    pub at: Instant,
    /// The route.
    pub route: Arc<str>,
    /// Targets in the order they would be tried. The first is where the next call goes.
    pub planned: Vec<Considered>,
    /// Targets that would not be tried.
    pub skipped: Vec<Skipped>,
    /// Whether no target is well, and the planned ones would be asked as a last resort.
    pub last_resort: bool,
    /// Calls of the route that are parked.
    pub parked: usize,
}

/// A target that would be tried.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Considered {
    /// The target.
    pub target: TargetId,
    /// Why at this place.
    pub why: PickReason,
    /// Its expected cost, where the strategy computes one.
    pub score: Option<Score>,
    /// Its health as last published.
    pub health: Option<Health>,
    /// The hints about its provider.
    pub hints: Vec<Hint>,
}

/// A target that would not be tried.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Skipped {
    /// The target.
    pub target: TargetId,
    /// Why not.
    pub why: SkipReason,
    /// When it comes back, where that is known.
    pub back_in: Option<Duration>,
    /// Its health as last published.
    pub health: Option<Health>,
    /// The hints about its provider.
    pub hints: Vec<Hint>,
}

/// The history of one recent call: the flight recorder's page.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Flight {
    /// The call.
    pub call: CallId,
    /// Its facts, known from its start on.
    pub about: Arc<CallFacts>,
    /// What happened, and how long after the call's start. The last says how it ended.
    pub steps: Vec<(Duration, CallStep)>,
    /// From its start to its end.
    pub took: Duration,
    /// Its attempts; of a call that runs, those that have ended.
    pub attempts: u32,
    /// Dollars of those, as far as their prices are known.
    pub cost_usd: f64,
    /// Dollars of those among them that did not answer it.
    pub wasted_usd: f64,
    /// Whether it was sent before a restart and is sent again: the first sending may have been billed, too.
    pub again: bool,
}

/// One thing that happened to a call.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum CallStep {
    /// The runtime was restarted, and took the call up.
    TakenUp {
        /// The id that it was accepted under.
        call: CallId,
    },
    /// Targets were picked.
    Planned {
        /// In the order to be tried, with why and how expensive.
        picks: Vec<(TargetId, PickReason, Option<Score>)>,
        /// The others, with why not and when they come back.
        skipped: Vec<(TargetId, SkipReason, Option<Duration>)>,
        /// Whether no target is well, and these are asked as a last resort.
        last_resort: bool,
    },
    /// A source beside the calls says that a provider of these is not well.
    Hinted {
        /// The provider.
        provider: Arc<str>,
        /// The hint.
        hint: Hint,
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
    /// The next attempt joins this one.
    Joined {
        /// Its number.
        attempt: u32,
        /// Why.
        why: Join,
    },
    /// An attempt was started.
    Tried {
        /// Its number.
        attempt: u32,
        /// The target.
        target: TargetId,
    },
    /// An attempt failed.
    Failed {
        /// Its number.
        attempt: u32,
        /// How it failed.
        failure: Failure,
    },
    /// The caller was told to drop what it had.
    Reset,
    /// The call waited for a target to come back.
    Waited(Duration),
    /// The call is in a queue for a place at a target, and for how long it is expected to wait; `None` is not known.
    Queued(Option<Duration>),
    /// The call was parked, or what it waits for has changed.
    Parked {
        /// When the first target is expected back, where that is known.
        back_in: Option<Duration>,
        /// Each target that could not be asked: why, and until when.
        barred: Vec<UnavailableTarget>,
    },
    /// A target was back, and it was the call's turn.
    Resumed,
    /// The call goes on a rung lower; as the last step it was answered from there.
    Degraded(Degraded),
    /// The call was answered by this attempt.
    Answered {
        /// Its number.
        attempt: u32,
        /// Where it was.
        target: TargetId,
    },
    /// The caller left before the call's end.
    CallerLeft,
    /// The call failed, was cancelled, or was cut off.
    GaveUp(Error),
}

impl Flight {
    /// Returns the page of a call to which nothing has happened yet.
    pub fn new(about: Arc<CallFacts>) -> Self {
        let (call, steps) = (about.id, Vec::with_capacity(4));
        Self { call, about, steps, took: Duration::ZERO, attempts: 0, cost_usd: 0.0, wasted_usd: 0.0, again: false }
    }

    /// Adds the cost of an attempt that ended.
    pub fn count(&mut self, attempt: &AttemptRecord) {
        let cost = attempt.cost_usd.unwrap_or(0.0);
        self.attempts += 1;
        self.cost_usd += cost;
        if !attempt.won() {
            self.wasted_usd += cost;
        }
    }

    /// Returns how the call ended: `answered`, `degraded` where no target answered it, `caller_left`, or the error's
    /// name; `running` where it has not.
    pub fn outcome(&self) -> &'static str {
        match self.steps.last() {
            Some((_, CallStep::Answered { .. })) => "answered",
            Some((_, CallStep::Degraded(_))) => "degraded",
            Some((_, CallStep::CallerLeft)) => "caller_left",
            Some((_, CallStep::GaveUp(error))) => error.name(),
            _ => "running",
        }
    }
}

impl Flight {
    /// Tells whether it is of the call that has this id, or had it before a restart.
    pub fn is_of(&self, call: CallId) -> bool {
        self.call == call
            || matches!(self.steps.first(), Some((_, CallStep::TakenUp { call: first })) if *first == call)
    }

    /// Returns the age of its answer, if that was a stale one.
    pub fn age(&self) -> Option<Duration> {
        match self.steps.last() {
            Some((_, CallStep::Degraded(rung))) => rung.age(),
            _ => None,
        }
    }
}

impl CallStep {
    /// Returns what a plan says, its targets named.
    pub fn planned(plan: &Plan, name: impl Fn(usize) -> TargetId, now: Instant) -> Self {
        Self::Planned {
            picks: plan.picks.iter().map(|pick| (name(pick.target), pick.why, pick.score)).collect(),
            skipped: plan.skipped.iter().map(|skip| (name(skip.target), skip.why, skip.back_in(now))).collect(),
            last_resort: plan.last_resort,
        }
    }
}

impl Skip {
    /// Returns when the target comes back, where that is known.
    pub fn back_in(&self, now: Instant) -> Option<Duration> {
        self.until.map(|until| until.saturating_duration_since(now))
    }
}

impl fmt::Display for Flight {
    /// Writes a page for people, a line a step.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "call {} on route {}", self.call, self.about.route)?;
        for (after, happened) in &self.steps {
            write!(f, "\n  +{:.3}s {happened}", after.as_secs_f64())?;
        }
        Ok(())
    }
}

impl fmt::Display for CallStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TakenUp { call } => write!(f, "taken up after a restart, accepted as {call}"),
            Self::Planned { picks, skipped, last_resort } => {
                f.write_str(if *last_resort { "planned as a last resort:" } else { "planned:" })?;
                for (target, why, _) in picks {
                    write!(f, " {target} ({})", why.text())?;
                }
                for (target, why, _) in skipped {
                    write!(f, ", not {target} ({})", why.text())?;
                }
                Ok(())
            }
            Self::Hinted { provider, hint } => write!(f, "{provider}: {hint}"),
            Self::Refused { target, gate, wait: Some(wait) } => {
                write!(f, "{target} refused: {}, back in {}", gate.name(), Brief(*wait))
            }
            Self::Refused { target, gate, wait: None } => write!(f, "{target} refused: {}", gate.name()),
            Self::Joined { attempt, why } => write!(f, "beside attempt {attempt}, {}:", why.text()),
            Self::Tried { attempt, target } => write!(f, "attempt {attempt} at {target}"),
            Self::Failed { attempt, failure } => write!(f, "attempt {attempt} failed: {failure}"),
            Self::Reset => f.write_str("the caller was told to drop what it had"),
            Self::Waited(wait) => write!(f, "waiting up to {}", Brief(*wait)),
            Self::Queued(Some(wait)) => write!(f, "waits for a place, for about {:.1} s", wait.as_secs_f64()),
            Self::Queued(None) => f.write_str("waits for a place"),
            Self::Parked { back_in, barred } => {
                f.write_str("parked")?;
                for (at, one) in barred.iter().enumerate() {
                    write!(f, "{}{one}", if at == 0 { ": " } else { "; " })?;
                }
                match back_in {
                    Some(wait) => write!(f, ", for about {:.1} s", wait.as_secs_f64()),
                    None => Ok(()),
                }
            }
            Self::Resumed => f.write_str("a target is back"),
            Self::Degraded(Degraded::Target) => f.write_str("asks the targets of a lower rung"),
            Self::Degraded(Degraded::Stale { age }) => {
                write!(f, "answered by the last good answer to the same request, {} s old", age.as_secs())
            }
            Self::Degraded(rung) => write!(f, "answered by the route's {rung}"),
            Self::Answered { attempt, .. } => write!(f, "answered by attempt {attempt}"),
            Self::CallerLeft => f.write_str("the caller left"),
            Self::GaveUp(error) => write!(f, "gave up: {error}"),
        }
    }
}

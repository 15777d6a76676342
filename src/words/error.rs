//! The errors of calls and of configurations.

use std::fmt;
use std::time::Duration;

use super::attempt::{AttemptEnd, AttemptRecord, CallId};
use super::brief::Brief;
use super::conceal::without_keys;
use super::failure::Failure;
use super::hold::UnavailableTarget;
use super::money::OverBudget;

/// Why a call has no answer. Every variant says whose fault it is and whether anything was sent.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The request cannot be right at any provider. The caller's fault; nothing was sent.
    #[error("{field}: {problem}")]
    Invalid {
        /// The request's field.
        field: String,
        /// What is wrong with it and what would be right.
        problem: String,
    },
    /// No target of the route can serve this request, however healthy. The caller's or the configuration's fault;
    /// nothing was sent.
    #[error("no target of route `{route}` can serve this request: {why}")]
    NoTarget {
        /// The route that was asked for.
        route: String,
        /// Each target and what it lacks.
        why: String,
    },
    /// It is longer than the window of every target of the route that could serve it otherwise. The caller's fault;
    /// nothing was sent.
    #[error("too long for every target of route `{route}`: about {tokens} tokens{}, where the largest window has \
             {window} ({why})", beside(*.answer))]
    TooLong {
        /// The route that was asked for.
        route: String,
        /// Its tokens, as the target of the largest window is thought to count them.
        tokens: u32,
        /// The tokens that its answer may have beside them, where there is a limit.
        answer: Option<u32>,
        /// The tokens of the largest window.
        window: u32,
        /// Each target and what it lacks.
        why: String,
    },
    /// No target of the route can take a part of this request. The caller's or the configuration's fault; nothing was
    /// sent.
    #[error("{field}: no target of route `{route}` can take {what} ({why}); {remedy}")]
    NoTargetTakes {
        /// The route that was asked for.
        route: String,
        /// The part's place in the request.
        field: String,
        /// The part itself, or its kind, as the message prints it.
        what: String,
        /// Each target and why not.
        why: String,
        /// What can be done.
        remedy: &'static str,
    },
    /// A provider proves that the request is the caller's fault, or every target refused it.
    #[error("request rejected by {}", whose(.failure, .attempts))]
    Rejected {
        /// The provider's refusal; of several, the most useful one.
        failure: Failure,
        /// Every attempt, in order.
        attempts: Vec<AttemptRecord>,
    },
    /// Every attempt the call was allowed failed, or no target admitted it.
    #[error("no target could answer after {} attempt(s){}{}", .attempts.len(), tail(.attempts), listed(.barred))]
    Exhausted {
        /// Every attempt, in order; empty where no target admitted the call.
        attempts: Vec<AttemptRecord>,
        /// When the first target is expected to admit calls again.
        retry_after: Option<Duration>,
        /// Each target that cannot be asked now: why, and until when.
        barred: Vec<UnavailableTarget>,
    },
    /// A budget has no room for the call. The operator's limit; every attempt that was sent had room.
    #[error("{budget}")]
    OverBudget {
        /// The budget, how much of it is spent, and when it renews.
        budget: Box<OverBudget>,
        /// Every attempt that there was room for, in order.
        attempts: Vec<AttemptRecord>,
    },
    /// The call's time is up.
    #[error("deadline passed after {} attempt(s), last: {}", .attempts.len(), last(.attempts))]
    DeadlineExceeded {
        /// Every attempt, in order.
        attempts: Vec<AttemptRecord>,
    },
    /// The answer broke off after content had reached the caller, and it was not replaced; or the process that worked
    /// on a durable call ended, and it is not sent again.
    #[error("interrupted: {}", broke(.failure, .attempts))]
    Interrupted {
        /// Why it broke off.
        failure: Failure,
        /// Every attempt, in order; empty where the process that made them has ended.
        attempts: Vec<AttemptRecord>,
    },
    /// The runtime is at its limit of calls, and no place would come in time. Nothing was sent.
    #[error("overloaded: {calls_max} calls are in flight{}", soon(*.retry_after))]
    Overloaded {
        /// The limit.
        calls_max: usize,
        /// When a place is expected, where that can be told.
        retry_after: Option<Duration>,
    },
    /// Another request was made with the same key, and is worked on or kept. The caller's fault; nothing was sent.
    #[error("idempotency key: it was used for another request; each call needs one of its own")]
    KeyConflict,
    /// No call of this id has a log here: it is not known, or was forgotten. Nothing was sent.
    #[error("no call {0} is kept: it is not known here, or it ended too long ago")]
    NotKept(CallId),
    /// It was to be durable, and cannot be kept. The configuration's or the disk's fault; nothing was sent.
    #[error("durable: {0}")]
    NotDurable(String),
    /// It is kept, and cannot be opened. The operator's fault, or the disk's; nothing was sent.
    #[error("unopened: what is kept of the call {0}")]
    Unopened(String),
    /// The call was ended from outside.
    #[error("cancelled: a holder of the call ended it")]
    Cancelled,
    /// The runtime is shutting down. Nothing was sent, or the call was cut off at the drain's deadline.
    #[error("draining: the runtime is shutting down")]
    Draining,
    /// The router is restarting. Nothing was sent; ask again.
    #[error("unavailable: the router is restarting")]
    Unavailable,
    /// The call's own actor crashed. A bug of ours; attempts may have been sent and paid for.
    #[error("the call's actor crashed; this is a bug in standin")]
    Crashed,
    /// The caller's stream took nothing for longer than `consumer_stall_max`.
    #[error("the caller read nothing of its stream for {}", Brief(*.0))]
    ConsumerStalled(Duration),
}

impl Error {
    /// Returns the variant's name as metrics and logs spell it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "invalid",
            Self::NoTarget { .. } | Self::NoTargetTakes { .. } => "no_target",
            Self::TooLong { .. } => "too_long",
            Self::Rejected { .. } => "rejected",
            Self::Exhausted { .. } => "exhausted",
            Self::OverBudget { .. } => "over_budget",
            Self::DeadlineExceeded { .. } => "deadline_exceeded",
            Self::Interrupted { .. } => "interrupted",
            Self::Overloaded { .. } => "overloaded",
            Self::KeyConflict => "key_conflict",
            Self::NotKept(_) => "not_kept",
            Self::NotDurable(_) => "not_durable",
            Self::Unopened(_) => "unopened",
            Self::Cancelled => "cancelled",
            Self::Draining => "draining",
            Self::Unavailable => "unavailable",
            Self::Crashed => "crashed",
            Self::ConsumerStalled(_) => "consumer_stalled",
        }
    }

    /// Tells whether it is the end of a process, or of its store, and not the call's own: the next process goes on with
    /// a call that is durable.
    pub(crate) const fn is_of_process(&self) -> bool {
        matches!(self, Self::Draining | Self::Unavailable | Self::NotDurable(_) | Self::Unopened(_))
    }

    /// Returns the attempts that were made before the call failed.
    pub fn attempts(&self) -> &[AttemptRecord] {
        match self {
            Self::Rejected { attempts, .. }
            | Self::Exhausted { attempts, .. }
            | Self::OverBudget { attempts, .. }
            | Self::DeadlineExceeded { attempts }
            | Self::Interrupted { attempts, .. } => attempts,
            _ => &[],
        }
    }
}

fn soon(retry_after: Option<Duration>) -> String {
    retry_after
        .map_or_else(String::new, |wait| format!("; a place is expected in {} s", wait.as_millis().div_ceil(1_000)))
}

fn beside(answer: Option<u32>) -> String {
    answer.filter(|tokens| *tokens > 0).map_or_else(String::new, |tokens| format!(", and {tokens} for its answer"))
}

fn last(attempts: &[AttemptRecord]) -> String {
    attempts.last().map_or_else(|| "none was admitted".to_owned(), ToString::to_string)
}

fn broke(failure: &Failure, attempts: &[AttemptRecord]) -> String {
    if attempts.is_empty() { failure.message.clone() } else { format!("the answer broke off: {failure}") }
}

fn tail(attempts: &[AttemptRecord]) -> String {
    attempts.last().map_or_else(String::new, |last| format!(", last: {last}"))
}

/// The most targets that a message names.
const BARRED_MAX: usize = 8;

fn listed(barred: &[UnavailableTarget]) -> String {
    if barred.is_empty() {
        return String::new();
    }
    let mut named: Vec<String> = barred.iter().take(BARRED_MAX).map(ToString::to_string).collect();
    if barred.len() > BARRED_MAX {
        named.push(format!("and {} more", barred.len() - BARRED_MAX));
    }
    format!("; now: {}", named.join("; "))
}

fn whose(failure: &Failure, attempts: &[AttemptRecord]) -> String {
    let said = |record: &&AttemptRecord| matches!(&record.end, AttemptEnd::Failed(it) if it == failure);
    attempts.iter().rfind(said).map_or_else(|| last(attempts), ToString::to_string)
}

/// Why a configuration is refused. Names the field as a path (`providers.openai.base_url`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Path of the field.
    pub field: String,
    /// What is wrong with it and what would be right.
    pub problem: String,
}

impl ConfigError {
    /// Returns an error about a field.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }

    /// Returns an error for each wrong field below a path, with what it must be.
    pub fn unless<'a>(path: &str, fields: impl IntoIterator<Item = (&'a str, bool, &'a str)>) -> Vec<Self> {
        let wrong = fields.into_iter().filter(|(_, fine, _)| !fine);
        wrong.map(|(name, _, must)| Self::new(format!("{path}.{name}"), must)).collect()
    }
}

impl fmt::Display for ConfigError {
    /// What looks like a key is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&without_keys(format!("{}: {}", self.field, self.problem)))
    }
}

impl std::error::Error for ConfigError {}

/// All errors of a configuration, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// Returns them, if there are any.
    ///
    /// # Errors
    /// If there is one.
    pub fn none(errors: Vec<ConfigError>) -> Result<(), Self> {
        if errors.is_empty() { Ok(()) } else { Err(Self(errors)) }
    }
}

impl std::ops::Deref for ConfigErrors {
    type Target = [ConfigError];

    fn deref(&self) -> &[ConfigError] {
        &self.0
    }
}

impl IntoIterator for ConfigErrors {
    type Item = ConfigError;
    type IntoIter = std::vec::IntoIter<ConfigError>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(vec![error])
    }
}

/// The most errors that are written out; further ones show after these are corrected.
pub(crate) const ERRORS_MAX: usize = 50;

impl fmt::Display for ConfigErrors {
    /// A line each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.0.iter().take(ERRORS_MAX).enumerate() {
            write!(f, "{}{error}", if at > 0 { "\n" } else { "" })?;
        }
        match self.0.len().saturating_sub(ERRORS_MAX) {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

impl std::error::Error for ConfigErrors {}

//! Holds: why a key or a target is not asked, for people and for the code that refuses calls.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::consequence::Remedy;
use super::failure_class::FailureClass;
use super::target::TargetId;

/// Why something is not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// A failure of the provider, or its refusal.
    Failure(FailureClass),
    /// Its breaker is open, or its probe is taken.
    Breaker,
    /// An operator took it out.
    Operator,
    /// As many attempts are in flight as allowed.
    Full,
    /// Its provider's actor is down.
    Down,
}

impl Cause {
    /// Returns its name as health and logs spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Failure(class) => class.name(),
            Self::Breaker => "breaker_open",
            Self::Operator => "operator",
            Self::Full => "full",
            Self::Down => "down",
        }
    }

    /// Tells whether it ends by itself after a time; else an operator has to act.
    pub const fn passes(self) -> bool {
        match self {
            Self::Failure(class) => match class.consequences().hold {
                Some(rest) => rest.passes(),
                None => true,
            },
            Self::Operator => false,
            Self::Breaker | Self::Full | Self::Down => true,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A target that a call could not ask any more.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct UnavailableTarget {
    /// Which target it was.
    pub target: TargetId,
    /// Why.
    pub cause: Cause,
    /// When it is expected to admit calls again, where that is known.
    pub back_in: Option<Duration>,
    /// The names of its provider's keys, all of which are out where a key is the cause.
    pub keys: Vec<Arc<str>>,
}

impl UnavailableTarget {
    /// Returns when the first of them is back, of those that come back by themselves.
    pub fn first_back(all: &[Self]) -> Option<Duration> {
        let soonest = |of: fn(&Self) -> bool| all.iter().filter(|one| of(one)).filter_map(|one| one.back_in).min();
        soonest(|one| one.cause.passes()).or_else(|| soonest(|_| true))
    }

    /// Returns what an operator has to do, where the cause does not end by itself.
    fn remedy(&self) -> Option<String> {
        let TargetId { provider, .. } = &self.target;
        let keys = match &self.keys[..] {
            [] => "its key".to_owned(),
            [key] => format!("key `{key}`"),
            keys if keys.len() <= KEYS_MAX => format!("keys `{}`", keys.join("`, `")),
            keys => format!("all {} keys", keys.len()),
        };
        let rule = match self.cause {
            Cause::Failure(class) => class.consequences().hold?,
            Cause::Operator => return Some(format!("`standin reset {}` puts it back", self.target)),
            Cause::Breaker | Cause::Full | Cause::Down => return None,
        };
        let act = match rule.remedy? {
            Remedy::ReplaceKey if self.keys.is_empty() => "give it a key that is good".to_owned(),
            Remedy::ReplaceKey => format!("replace {keys}"),
            Remedy::AddCredit => format!("add credit for {keys}"),
            Remedy::HaveAllowed => format!("have it allowed to {keys}"),
            Remedy::NameAnother => format!("name another model, or have it opened to {keys}"),
            Remedy::CorrectAddress => return Some(format!("correct providers.{provider}.base_url")),
        };
        let reset = if rule.whole_key { provider.to_string() } else { self.target.to_string() };
        Some(format!("{act}, then `standin reset {reset}`"))
    }
}

/// The most keys that a message names.
const KEYS_MAX: usize = 4;

impl fmt::Display for UnavailableTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.target, self.cause)?;
        let remedy = self.remedy();
        if let Some(wait) = self.back_in {
            let returns = if remedy.is_some() { "asked again" } else { "back" };
            write!(f, ", {returns} in {} s", wait.as_millis().div_ceil(1000))?;
        }
        remedy.map_or(Ok(()), |remedy| write!(f, " ({remedy})"))
    }
}

/// What an operator may reset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reset {
    /// Everything.
    All,
    /// All of a provider's keys and targets.
    Provider(Arc<str>),
    /// One target, and the holds of its keys there.
    Target(TargetId),
    /// One key of a provider, by its name, at every target.
    Key {
        /// The provider.
        provider: Arc<str>,
        /// The key's name.
        key: Arc<str>,
    },
}

/// Something that keeps a key or a target out: what health shows, and what a reset lifts.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Hold {
    /// The provider.
    pub provider: Arc<str>,
    /// Which model of it; `None` is all.
    pub model: Option<Arc<str>>,
    /// With which key, by its name; `None` is with any.
    pub key: Option<Arc<str>>,
    /// Why.
    pub cause: Cause,
    /// Since when.
    pub since: Instant,
    /// Until when; `None` is until it is lifted or has been probed.
    pub until: Option<Instant>,
}

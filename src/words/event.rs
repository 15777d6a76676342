//! Events for subscribers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::attempt::CallId;
use super::date::Date;
use super::drift::DriftKind;
use super::failure_class::FailureClass;
use super::hold::Cause;
use super::money::OverBudget;
use super::target::TargetId;

/// Something that operators should know, published as it happens.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A target's breaker changed its state.
    Breaker {
        /// The target.
        target: TargetId,
        /// The state it left: `closed`, `open`, `half_open`, `ramp`.
        from: &'static str,
        /// The state it entered.
        to: &'static str,
        /// For an open breaker, how long until it may be probed.
        cooldown: Option<Duration>,
    },
    /// An attempt was joined by another one, at another target. The first to answer wins.
    Hedged {
        /// The call.
        call: CallId,
        /// The target of the attempt that was joined.
        target: TargetId,
        /// The target of the other attempt.
        by: TargetId,
        /// Why: `race`, `slow`, `overdue`, or `given_up` where its breaker has opened.
        why: &'static str,
    },
    /// A target's flag Degraded was raised or lowered.
    Degraded {
        /// The target.
        target: TargetId,
        /// Whether it is degraded now.
        raised: bool,
    },
    /// A provider asked us to wait.
    RateLimited {
        /// The target.
        target: TargetId,
        /// For how long.
        wait: Duration,
    },
    /// A key was taken out. An operator must act.
    KeyDisabled {
        /// The provider.
        provider: Arc<str>,
        /// The key's name.
        key: Arc<str>,
        /// Why: `unauthorised`, `out_of_money`, or, at one target only, `forbidden` or `model_gone`.
        class: FailureClass,
    },
    /// A target was taken out until it is checked again. An operator should act.
    TargetDisabled {
        /// The target.
        target: TargetId,
        /// Why.
        class: FailureClass,
    },
    /// A hold of a key or a target has ended: an operator lifted it, or a call that tested it was answered.
    Lifted {
        /// The provider.
        provider: Arc<str>,
        /// Which target; `None` where it was all of the provider's.
        target: Option<TargetId>,
        /// The key's name; `None` where it was for all keys.
        key: Option<Arc<str>>,
        /// Why it was out.
        cause: Cause,
    },
    /// A model no longer answers, or will stop within 14 days. Published a second after the start and after each
    /// reconfiguration, then once a day, and whenever its provider refuses a request for that reason. An operator
    /// should act.
    Retiring {
        /// The target.
        target: TargetId,
        /// Its last day by the catalogue or the configuration; `None` if only its provider said that it ends.
        on: Option<Date>,
        /// The target that serves in its place once its provider refuses it, if that is configured.
        replacement: Option<TargetId>,
    },
    /// A provider sent something that is not known here, for the first time. No answer has failed for it.
    Drift {
        /// The provider.
        provider: Arc<str>,
        /// Where it was.
        what: DriftKind,
        /// Its name.
        name: Arc<str>,
    },
    /// A provider's actor crashed and is being restarted.
    ProviderCrashed {
        /// The provider.
        provider: Arc<str>,
        /// How it died.
        reason: String,
        /// When it is started again.
        restart_in: Duration,
    },
    /// A provider's actor runs again.
    ProviderStarted {
        /// The provider.
        provider: Arc<str>,
        /// How often it has been started, from 1.
        incarnation: u64,
    },
    /// A provider's actor crashed too often and rests; its targets are down until then.
    ProviderResting {
        /// The provider.
        provider: Arc<str>,
        /// How long it rests.
        wait: Duration,
    },
    /// Another of the runtime's own actors crashed and was restarted.
    ActorRestarted {
        /// `router`, `front`, `calls` or a provider's supervisor.
        actor: String,
        /// How it died.
        reason: String,
    },
    /// A budget has come to a share of what may be spent: half, four fifths, all. Once each in its period.
    Budget {
        /// Which one, and its state.
        budget: OverBudget,
        /// The share, in hundredths.
        share: u8,
    },
    /// A pin was lifted by a reconfiguration: its route is gone, or its target is none of the route's any more.
    Unpinned {
        /// The route.
        route: Arc<str>,
        /// The target.
        target: TargetId,
    },
    /// The providers and routes were replaced.
    Reconfigured,
    /// The runtime takes no new calls.
    Draining,
}

impl fmt::Display for Event {
    /// Writes it as a line for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Breaker { target, from, to, cooldown } => {
                write!(f, "{target}: its breaker went from {from} to {to}")?;
                cooldown.map_or(Ok(()), |time| write!(f, ", for {time:.1?}"))
            }
            Self::Hedged { call, target, by, why } => write!(f, "{call}: {by} is asked beside {target} ({why})"),
            Self::Degraded { target, raised: true } => write!(f, "{target}: it is degraded"),
            Self::Degraded { target, raised: false } => write!(f, "{target}: it is degraded no more"),
            Self::RateLimited { target, wait } => write!(f, "{target}: it asks to wait {wait:.1?}"),
            Self::KeyDisabled { provider, key, class } => write!(f, "{provider}: its key `{key}` is out: {class}"),
            Self::TargetDisabled { target, class } => write!(f, "{target}: it is out: {class}"),
            Self::Lifted { provider, target, key, cause } => {
                match target {
                    Some(target) => write!(f, "{target}")?,
                    None => write!(f, "{provider}")?,
                }
                key.as_ref().map_or(Ok(()), |key| write!(f, ", key `{key}`"))?;
                write!(f, ": it is back in; it was out: {cause}")
            }
            Self::Retiring { target, on, replacement } => {
                write!(f, "{target}: the model ends")?;
                on.map_or(Ok(()), |day| write!(f, " on {day}"))?;
                replacement.as_ref().map_or(Ok(()), |other| write!(f, "; {other} serves in its place"))
            }
            Self::Drift { provider, what, name } => {
                write!(f, "{provider}: it sent an unknown {}, `{name}`", what.name())
            }
            Self::ProviderCrashed { provider, reason, restart_in } => {
                write!(f, "{provider}: its actor crashed and starts again in {restart_in:.1?}: {reason}")
            }
            Self::ProviderStarted { provider, incarnation } => {
                write!(f, "{provider}: its actor has started, number {incarnation}")
            }
            Self::ProviderResting { provider, wait } => {
                write!(f, "{provider}: its actor crashed too often and rests for {wait:.1?}")
            }
            Self::ActorRestarted { actor, reason } => write!(f, "{actor}: the actor was restarted: {reason}"),
            Self::Budget { budget, share } => write!(f, "{share} % are reached: {budget}"),
            Self::Unpinned { route, target } => write!(f, "{route}: it is no longer pinned to {target}"),
            Self::Reconfigured => f.write_str("the configuration was replaced"),
            Self::Draining => f.write_str("no new calls are taken"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_line_for_people() {
        let target = TargetId::new("a", "m");
        for (event, expected) in [
            (
                Event::Breaker {
                    target: target.clone(),
                    from: "closed",
                    to: "open",
                    cooldown: Some(Duration::from_secs(30)),
                },
                "a/m: its breaker went from closed to open, for 30.0s",
            ),
            (
                Event::KeyDisabled { provider: "a".into(), key: "k".into(), class: FailureClass::OutOfMoney },
                "a: its key `k` is out: out_of_money",
            ),
            (Event::Retiring { target, on: None, replacement: None }, "a/m: the model ends"),
            (Event::Draining, "no new calls are taken"),
        ] {
            assert_eq!(event.to_string(), expected);
        }
        assert_eq!("a/b/c".parse::<TargetId>(), Ok(TargetId::new("a", "b/c")));
        for text in ["a", "/m", "a/"] {
            assert!(text.parse::<TargetId>().is_err(), "{text}");
        }
    }
}

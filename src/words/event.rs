//! Events for subscribers.

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

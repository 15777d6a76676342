//! A route as configured.

use std::sync::Arc;

use crate::policy::failover::FailoverOptions;
use crate::policy::routing::{ForeignParts, LabelSet, RouteOptions};
use crate::policy::stale::StaleOptions;
use crate::policy::trim::OverWindow;
use crate::words::Durable;

/// A route as configured.
#[derive(Clone, Debug)]
pub(crate) struct RouteSpec {
    pub(crate) name: Arc<str>,
    pub(crate) options: RouteOptions,
    pub(crate) failover: FailoverOptions,
    pub(crate) members: Vec<MemberSpec>,
    /// The labels that its targets must carry.
    pub(crate) labels: LabelSet,
    pub(crate) over_window: OverWindow,
    pub(crate) foreign_parts: ForeignParts,
    /// The rungs that answer a call which no other target can answer, in this order.
    pub(crate) rungs: Arc<[Rung]>,
    /// Whether its calls outlive their process, where they do not say so themselves.
    pub(crate) durable: Durable,
}

impl RouteSpec {
    /// Returns the route to one target alone.
    pub(crate) fn to(target: usize, name: impl Into<Arc<str>>, failover: FailoverOptions) -> Self {
        Self {
            name: name.into(),
            options: RouteOptions::default(),
            failover,
            members: vec![MemberSpec { target, tier: 0, weight: 1.0, degraded: false }],
            labels: LabelSet::default(),
            over_window: OverWindow::default(),
            foreign_parts: ForeignParts::default(),
            rungs: [].into(),
            durable: Durable::No,
        }
    }

    /// Tells whether targets are kept for calls that no other can answer.
    pub(crate) fn steps_down(&self) -> bool {
        self.rungs.contains(&Rung::Targets)
    }

    /// Returns which good answers it keeps, if any.
    pub(crate) fn stale(&self) -> Option<&StaleOptions> {
        self.rungs.iter().find_map(|rung| if let Rung::Stale(options) = rung { Some(options) } else { None })
    }
}

/// A source of answers that give less than what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rung {
    /// The targets that are marked as degraded.
    Targets,
    /// The last good answer to the same request.
    Stale(StaleOptions),
    /// A fixed text.
    Text(Arc<str>),
}

/// A target of a route.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MemberSpec {
    /// Its place among all targets.
    pub(crate) target: usize,
    pub(crate) tier: u8,
    pub(crate) weight: f64,
    /// Whether it is asked only where no other can answer.
    pub(crate) degraded: bool,
}

//! What a call waits for: which targets could answer it once they have a place or are back, and when it looks again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::policy::routing::{Plan, Skip};

/// How long after its time a call that did not go reads again what its targets say, and how often from then on.
const LOOK_AFTER: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// The targets that could answer a call once they have a place, or are back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwaitedTargets<K> {
    /// All of them, in order.
    pub resources: Arc<[K]>,
    /// Those among them that are well.
    pub well: Vec<K>,
    /// Those of these that are full.
    pub full: Vec<K>,
    /// How long before its deadline the call must go to the quickest of them, where that is known.
    pub needs: Duration,
}

impl<K: Ord> AwaitedTargets<K> {
    /// Returns those of a plan, if there are any. `resource` names a target of the plan; `needs` tells how long before
    /// its deadline a call must go there ([`Health::takes`]), where that is known.
    pub fn of(plan: &Plan, resource: impl Fn(usize) -> K, needs: impl Fn(usize) -> Option<Duration>) -> Option<Self> {
        let waits = plan.skipped.iter().filter_map(|skip| Some((skip.target, Skip::refusal(skip)?)));
        let full: Vec<usize> = waits.clone().filter(|(_, it)| it.is_full()).map(|(target, _)| target).collect();
        let picks = plan.picks.iter().map(|pick| pick.target);
        let well = picks.clone().filter(|_| !plan.last_resort).chain(full.iter().copied());
        let mut resources: Vec<K> = picks.chain(waits.map(|(target, _)| target)).map(&resource).collect();
        resources.sort_unstable();
        resources.dedup();
        let needs = well.clone().filter_map(needs).min().unwrap_or_default();
        let well = well.map(&resource).collect();
        (!resources.is_empty()).then(|| Self {
            resources: resources.into(),
            well,
            full: full.into_iter().map(resource).collect(),
            needs,
        })
    }
}

/// Returns when a parked call looks by itself at what its targets say, though nothing woke it: the first target is
/// expected back at `until`, and it waits to the `end`.
pub fn look_at(until: Option<Instant>, end: Instant, now: Instant) -> Instant {
    let look = match until {
        Some(until) if until > now => until + LOOK_AFTER,
        Some(_) => now + LOOK_AGAIN,
        None => end,
    };
    look.min(end)
}

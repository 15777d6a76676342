//! The table of what is served: providers with their slots and keys, targets and routes, by name and by place.
//!
//! A table is immutable; a new configuration is a new table. A provider that did not change keeps its slot from table
//! to table, and with it its actor, its health and its connections.

use std::sync::Arc;

use super::clock::now;
#[cfg(feature = "store")]
use super::fingerprints::Fingerprints;
use super::key::Key;
use super::prices::Prices;
use super::slot::Slot;
use crate::spec::{Layout, PlacedTarget, ProviderSpec, RouteSpec, TargetSpec};
use crate::wire;
use crate::words::{Dialect, Error, Hint, Price, TargetId, meant};

/// A configured provider, and the state that survives its actor.
pub(crate) struct Provider {
    pub(crate) spec: ProviderSpec,
    pub(crate) slot: Arc<Slot>,
    /// Its keys, and what was read of them.
    pub(super) keys: Vec<Key>,
    /// The marks by which the next process recognises it.
    #[cfg(feature = "store")]
    pub(super) marks: Fingerprints,
}

impl Provider {
    /// Returns what sources beside its calls say of it now.
    pub(super) fn hints(&self) -> Vec<Hint> {
        if self.spec.hints.is_none() { Vec::new() } else { self.slot.hints(now()) }
    }
}

/// One target of the table.
pub(crate) struct Target {
    pub(crate) provider: Arc<Provider>,
    /// Its index at the provider.
    pub(crate) index: usize,
    /// What it costs, as far as that is known.
    pub(crate) price: Option<Price>,
    /// Whether its model searches by itself: more is billed of a prompt than is sent.
    pub(super) searches: bool,
    /// Its place.
    pub(super) place: PlacedTarget,
}

impl Target {
    pub(crate) fn spec(&self) -> &TargetSpec {
        &self.provider.spec.targets[self.index]
    }

    pub(crate) fn id(&self) -> &TargetId {
        &self.spec().id
    }

    /// Returns its failure domain.
    pub(super) fn domain(&self) -> usize {
        self.place.domain.into()
    }
}

/// Providers, targets and routes.
#[derive(Default)]
pub(crate) struct Table {
    pub(crate) providers: Vec<Arc<Provider>>,
    pub(crate) targets: Vec<Arc<Target>>,
    pub(crate) layout: Layout,
}

impl Table {
    /// Returns the table of some providers in their layout, at these prices.
    pub(super) fn new(providers: Vec<Arc<Provider>>, layout: Layout, prices: &Prices) -> Self {
        let target = |place: &PlacedTarget| {
            let provider = providers[place.provider].clone();
            let spec = &provider.spec.targets[place.index];
            Target {
                price: prices.of(spec),
                searches: provider.spec.flavour.searches_by_itself(&spec.id.model),
                provider,
                index: place.index,
                place: *place,
            }
        };
        let targets = layout.targets.iter().map(|place| Arc::new(target(place))).collect();
        Self { providers, targets, layout }
    }

    /// Returns a target's index.
    pub(crate) fn index(&self, id: &TargetId) -> Option<usize> {
        self.layout.index(id)
    }

    /// Returns the target of an id.
    pub(crate) fn find(&self, id: &TargetId) -> Result<&Arc<Target>, Error> {
        self.index(id).map(|at| &self.targets[at]).ok_or_else(|| {
            let known: Vec<String> = self.targets.iter().map(|target| target.id().to_string()).collect();
            let problem = format!("no target `{id}`; {}", meant(&id.to_string(), known.iter().map(String::as_str)));
            Error::Invalid { field: "target".into(), problem }
        })
    }

    /// Tells whether a target is one of a route's, and not one that is used because no other is left.
    pub(crate) fn serves(&self, route: &RouteSpec, target: &TargetId) -> bool {
        route.members.iter().any(|member| !member.degraded && self.targets[member.target].id() == target)
    }

    /// Tells whether a route has targets of a dialect of which some cannot read the proofs of others.
    pub(super) fn has_several_issuers(&self, route: &RouteSpec, dialect: Dialect) -> bool {
        let targets = route.members.iter().map(|member| &self.targets[member.target]);
        let speak = targets.filter(|target| target.provider.spec.dialect == dialect);
        wire::has_several_issuers(dialect, speak.map(|target| target.id()))
    }

    /// Returns the route of a name.
    pub(crate) fn route(&self, name: &str) -> Result<&Arc<RouteSpec>, Error> {
        self.layout.routes.get(name).ok_or_else(|| {
            let mut known: Vec<&str> = self.layout.routes.keys().map(AsRef::as_ref).collect();
            known.sort_unstable();
            Error::Invalid {
                field: "route".into(),
                problem: format!("no route `{name}`; {}", meant(name, known.iter().copied())),
            }
        })
    }
}

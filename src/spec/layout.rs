//! The layout: names are looked up once and then known by their places.

use std::collections::HashMap;
use std::sync::Arc;

use super::provider::ProviderSpec;
use super::route::RouteSpec;
use crate::policy::routing::LabelSet;
use crate::words::TargetId;

/// One target among all: its place, and its properties that are compared with others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlacedTarget {
    /// Its provider's place.
    pub(crate) provider: usize,
    /// Its place at the provider.
    pub(crate) index: usize,
    pub(crate) labels: LabelSet,
    /// The company that runs it.
    pub(crate) domain: u16,
    /// Which model it is, the same for all hosts.
    pub(crate) model: u16,
    /// The target that serves in its place once it is gone. Replacements form no circle.
    pub(crate) replaced_by: Option<usize>,
}

/// The places of all targets, and the routes by their names and other names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layout {
    /// The targets, in the order of their providers.
    pub(crate) targets: Vec<PlacedTarget>,
    pub(crate) routes: HashMap<Arc<str>, Arc<RouteSpec>>,
    /// The bit of each label that a target carries: at most 63.
    labels: HashMap<String, usize>,
    places: HashMap<TargetId, usize>,
}

impl Layout {
    /// Gives the targets of some providers their places.
    pub(crate) fn new(providers: &[ProviderSpec]) -> Self {
        let mut layout = Self::default();
        let (mut domains, mut models) = (HashMap::new(), HashMap::new());
        let small = |index: usize| u16::try_from(index).unwrap_or(u16::MAX);
        for (provider, spec) in providers.iter().enumerate() {
            for (index, target) in spec.targets.iter().enumerate() {
                let bit = |set: LabelSet, label: &String| set | LabelSet(1 << (intern(&mut layout.labels, label) & 63));
                let labels = target.labels.iter().fold(LabelSet::default(), bit);
                let domain = small(intern(&mut domains, &target.domain));
                let model = small(intern(&mut models, &target.family));
                layout.places.entry(target.id.clone()).or_insert(layout.targets.len());
                layout.targets.push(PlacedTarget { provider, index, labels, domain, model, replaced_by: None });
            }
        }
        let targets = providers.iter().flat_map(|provider| &provider.targets);
        for (place, target) in layout.targets.iter_mut().zip(targets) {
            place.replaced_by = target.replaced_by.as_ref().and_then(|id| layout.places.get(id).copied());
        }
        layout
    }

    /// Adds a route under its name.
    pub(crate) fn add(&mut self, route: RouteSpec) {
        self.routes.insert(route.name.clone(), Arc::new(route));
    }

    /// Gives a route another name.
    pub(crate) fn alias(&mut self, name: &str, route: &str) {
        if let Some(route) = self.routes.get(route).cloned() {
            self.routes.insert(name.into(), route);
        }
    }

    /// Returns a target's place.
    pub(crate) fn index(&self, id: &TargetId) -> Option<usize> {
        self.places.get(id).copied()
    }

    /// Returns the set of some labels. A label that no target carries excludes all targets.
    pub(crate) fn labels(&self, labels: &[String]) -> LabelSet {
        let bit = |label| self.labels.get(label).map_or(1 << 63, |at| 1 << (at & 63));
        LabelSet(labels.iter().map(bit).fold(0, |set: u64, bit| set | bit))
    }

    /// Tells whether all targets of a route are one model, that of this one.
    pub(crate) fn is_only_model(&self, route: &RouteSpec, target: usize) -> bool {
        route.members.iter().all(|member| self.targets[member.target].model == self.targets[target].model)
    }
}

/// Returns the number of a name; a new one gets the next.
fn intern(names: &mut HashMap<String, usize>, name: &str) -> usize {
    let next = names.len();
    names.get(name).copied().unwrap_or_else(|| *names.entry(name.to_owned()).or_insert(next))
}

//! Names that stand for others: aliases of routes, and models that serve in the place of those that are gone.
//!
//! In flow what a user wrote and what is there, out flow names that lead somewhere: chains are followed to their end,
//! and circles refused, so that nobody has to look out for them later.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use super::ProviderConfig;
use crate::spec::{Layout, ProviderSpec};
use crate::words::{ConfigError, TargetId};

/// Gives each alias the route it comes to.
pub(super) fn alias(layout: &mut Layout, aliases: &BTreeMap<String, String>) -> Result<(), ConfigError> {
    let routes: HashSet<Arc<str>> = layout.routes.keys().cloned().collect();
    let ends = ends(aliases).map_err(|(name, by)| {
        ConfigError::new(format!("aliases.{name}"), format!("goes in a circle by way of `{by}`"))
    })?;
    for name in aliases.keys() {
        let refuse = |problem: String| Err(ConfigError::new(format!("aliases.{name}"), problem));
        if name.is_empty() || routes.contains(name.as_str()) {
            return refuse("must be a name that no route has".into());
        }
        let end = ends[name];
        if !routes.contains(end.as_str()) {
            return refuse(format!("no route `{end}`; there are: {}", few(routes.iter().collect::<BTreeSet<_>>())));
        }
        layout.alias(name, end);
    }
    Ok(())
}

/// The most names that an error lists.
const NAMES_MAX: usize = 20;

/// Follows every name to the last one that it leads to.
///
/// # Errors
/// A name that leads into a circle, and one of the circle.
fn ends<T: Ord>(next: &BTreeMap<T, T>) -> Result<BTreeMap<&T, &T>, (&T, &T)> {
    let mut ends: BTreeMap<&T, &T> = BTreeMap::new();
    for first in next.keys() {
        let (mut path, mut at) = (Vec::new(), first);
        let end = loop {
            if let Some(end) = ends.get(at) {
                break *end;
            }
            let Some(further) = next.get(at) else { break at };
            if path.len() == next.len() {
                return Err((first, at));
            }
            path.push(at);
            at = further;
        };
        ends.extend(path.into_iter().map(|name| (name, end)));
    }
    Ok(ends)
}

/// Returns names for an error: as many as somebody reads.
pub(super) fn few(names: impl IntoIterator<Item = impl ToString>) -> String {
    let mut names = names.into_iter();
    let listed: Vec<String> = names.by_ref().take(NAMES_MAX).map(|name| name.to_string()).collect();
    let more = names.count();
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{rest}", listed.join(", "))
}

/// Tells every model that is to be replaced by whom.
pub(super) fn replace(
    configs: &BTreeMap<String, ProviderConfig>,
    providers: &mut [ProviderSpec],
) -> Result<(), ConfigError> {
    let targets = providers.iter().flat_map(|provider| &provider.targets);
    let ids: HashSet<TargetId> = targets.map(|target| target.id.clone()).collect();
    let find = |name: &str| {
        let (provider, model) = name.split_once('/')?;
        Some(TargetId::new(provider, model)).filter(|id| ids.contains(id))
    };
    let mut replaced: BTreeMap<TargetId, TargetId> = BTreeMap::new();
    for (name, config) in configs {
        for (model, options) in &config.models {
            let Some(replacement) = &options.replaced_by else { continue };
            let found = find(replacement).or_else(|| find(&format!("{name}/{replacement}"))).ok_or_else(|| {
                let problem =
                    format!("no model `{replacement}`; there are: {}", few(ids.iter().collect::<BTreeSet<_>>()));
                ConfigError::new(field(name, model), problem)
            })?;
            replaced.insert(TargetId::new(name.as_str(), model.as_str()), found);
        }
    }
    if let Err((id, by)) = ends(&replaced) {
        let problem = format!("goes in a circle by way of `{by}`");
        return Err(ConfigError::new(field(&id.provider, &id.model), problem));
    }
    for target in providers.iter_mut().flat_map(|provider| &mut provider.targets) {
        target.replaced_by = replaced.remove(&target.id);
    }
    Ok(())
}

fn field(provider: &str, model: &str) -> String {
    format!("providers.{provider}.models.{model}.replaced_by")
}

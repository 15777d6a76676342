//! Names that stand for others: aliases of routes, and models that serve in the place of those that are gone.
//!
//! In flow what a user wrote and what is there, out flow names that lead somewhere: chains are followed to their end,
//! and circles refused, so that nobody has to look out for them later.

use std::collections::BTreeMap;

use super::ProviderConfig;
use crate::actors::table::{AliasSpec, ProviderSpec, RouteSpec};
use crate::words::{ConfigError, TargetId};

/// Returns each alias with the route it comes to.
pub(super) fn aliases(aliases: &BTreeMap<String, String>, routes: &[RouteSpec]) -> Result<Vec<AliasSpec>, ConfigError> {
    let route = |name: &str| routes.iter().find(|route| &*route.name == name).map(|route| route.name.clone());
    let mut specs = Vec::with_capacity(aliases.len());
    for (name, target) in aliases {
        let refuse = |problem: String| Err(ConfigError::new(format!("aliases.{name}"), problem));
        if name.is_empty() || route(name).is_some() {
            return refuse("must be a name that no route has".into());
        }
        let mut end = target;
        // A chain is no longer than there are aliases.
        for _ in aliases {
            end = aliases.get(end).unwrap_or(end);
        }
        match route(end) {
            Some(route) => specs.push(AliasSpec { name: name.as_str().into(), route }),
            None if aliases.contains_key(end) => return refuse(format!("goes in a circle by way of `{end}`")),
            None => {
                let names: Vec<&str> = routes.iter().map(|route| &*route.name).collect();
                return refuse(format!("no route `{end}`; there are: {}", names.join(", ")));
            }
        }
    }
    Ok(specs)
}

/// Tells every model that is to be replaced by whom.
pub(super) fn replace(
    configs: &BTreeMap<String, ProviderConfig>,
    providers: &mut [ProviderSpec],
) -> Result<(), ConfigError> {
    let ids: Vec<TargetId> = providers.iter().flat_map(|provider| &provider.targets).map(|it| it.id.clone()).collect();
    let find = |name: &str| ids.iter().find(|id| id.to_string() == name).cloned();
    let mut replaced: BTreeMap<TargetId, TargetId> = BTreeMap::new();
    for (name, config) in configs {
        for (model, options) in &config.models {
            let Some(replacement) = &options.replaced_by else { continue };
            let found = find(replacement).or_else(|| find(&format!("{name}/{replacement}"))).ok_or_else(|| {
                let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
                let problem = format!("no model `{replacement}`; there are: {}", names.join(", "));
                ConfigError::new(field(name, model), problem)
            })?;
            replaced.insert(TargetId::new(name.as_str(), model.as_str()), found);
        }
    }
    for id in replaced.keys() {
        let end = replaced.keys().fold(id, |end, _| replaced.get(end).unwrap_or(end));
        if replaced.contains_key(end) {
            let problem = format!("goes in a circle by way of `{end}`");
            return Err(ConfigError::new(field(&id.provider, &id.model), problem));
        }
    }
    for target in providers.iter_mut().flat_map(|provider| &mut provider.targets) {
        target.replaced_by = replaced.remove(&target.id);
    }
    Ok(())
}

fn field(provider: &str, model: &str) -> String {
    format!("providers.{provider}.models.{model}.replaced_by")
}

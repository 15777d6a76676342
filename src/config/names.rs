//! Names that stand for others: aliases of routes, and models that serve in the place of those that are gone.
//!
//! In flow what a user wrote and what is there, out flow names that lead somewhere: chains are followed to their end,
//! and circles refused, so that later code need not look out for them.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use super::ProviderConfig;
use crate::spec::{Layout, ProviderSpec, Setup};
use crate::words::{ConfigError, TargetId};

/// Gives each alias the route it comes to; `doubtful` tells names that may be good once something else is.
pub(super) fn alias(
    layout: &mut Layout,
    aliases: &BTreeMap<String, String>,
    doubtful: &dyn Fn(&str) -> bool,
    errors: &mut Vec<ConfigError>,
) {
    let routes: BTreeSet<Arc<str>> = layout.routes.keys().cloned().collect();
    let ends = match ends(aliases) {
        Ok(ends) => ends,
        Err((name, by)) => {
            errors.push(ConfigError::new(format!("aliases.{name}"), format!("goes in a circle by way of `{by}`")));
            return;
        }
    };
    for name in aliases.keys() {
        let mut refuse = |problem: String| errors.push(ConfigError::new(format!("aliases.{name}"), problem));
        let end = ends[name];
        if name.is_empty() || routes.contains(name.as_str()) {
            refuse("must be a name that no route has".into());
        } else if routes.contains(end.as_str()) {
            layout.alias(name, end);
        } else if !doubtful(end) {
            refuse(format!("leads to no route; {}", meant(end, routes.iter().map(|route| &**route))));
        }
    }
}

/// What there is to ask for.
pub(super) struct Known<'a> {
    pub(super) setup: &'a Setup,
    doubtful: Box<dyn Fn(&str) -> bool + 'a>,
}

impl<'a> Known<'a> {
    pub(super) fn new(setup: &'a Setup, doubtful: impl Fn(&str) -> bool + 'a) -> Self {
        Self { setup, doubtful: Box::new(doubtful) }
    }

    /// Returns a target's place by its name.
    ///
    /// # Errors
    /// If there is none; what to say of it, unless it may come to be.
    pub(super) fn find(&self, name: &str) -> Result<usize, Option<String>> {
        let id = name.split_once('/').map(|(provider, model)| TargetId::new(provider, model));
        id.and_then(|id| self.setup.layout.index(&id)).ok_or_else(|| {
            let says = || {
                let names: BTreeSet<String> = self.setup.targets().map(|target| target.id.to_string()).collect();
                format!("is no `provider/model` that there is; {}", meant(name, names.iter().map(String::as_str)))
            };
            (!(self.doubtful)(name)).then(says)
        })
    }
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

/// Returns the known name that was likely meant by one that is not.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    // More than a fourth of other letters is another word, but where one is the other's beginning.
    let most = 1 + name.chars().count() / 4;
    let distance = |known: &str| {
        let known = known.to_lowercase();
        let begins = lower.len() >= 4 && (known.starts_with(&lower) || lower.starts_with(&known) && known.len() >= 4);
        let near = known.len().abs_diff(lower.len()) <= most;
        let letters = near.then(|| strsim::osa_distance(&lower, &known)).filter(|distance| *distance <= most);
        letters.or_else(|| begins.then_some(most + 1))
    };
    let near = known.into_iter().filter_map(|known| Some((distance(known)?, known)));
    near.min_by_key(|(distance, known)| (*distance, known.len())).map(|(_, known)| known)
}

/// Says which of the known names was likely meant, or which there are: a few of them.
pub(super) fn meant<'a>(name: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    if let Some(near) = nearest(name, known.clone()) {
        return format!("did you mean `{near}`?");
    }
    let mut names = known.into_iter();
    let listed: Vec<&str> = names.by_ref().take(NAMES_MAX).collect();
    let more = names.count();
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("there are: {}{rest}", if listed.is_empty() { "none".into() } else { listed.join(", ") })
}

/// Tells every model that is to be replaced by whom; `doubtful` tells names that may be good once something else is.
pub(super) fn replace(
    configs: &BTreeMap<String, ProviderConfig>,
    providers: &mut [ProviderSpec],
    doubtful: &dyn Fn(&str) -> bool,
    errors: &mut Vec<ConfigError>,
) {
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
            let own = format!("{name}/{replacement}");
            match find(replacement).or_else(|| find(&own)) {
                Some(found) => drop(replaced.insert(TargetId::new(name.as_str(), model.as_str()), found)),
                None if doubtful(replacement) || doubtful(&own) => {}
                None => {
                    let names: BTreeSet<String> = ids.iter().map(ToString::to_string).collect();
                    let meant = meant(replacement, names.iter().map(String::as_str));
                    errors.push(ConfigError::new(field(name, model), format!("is no model that there is; {meant}")));
                }
            }
        }
    }
    if let Err((id, by)) = ends(&replaced) {
        let problem = format!("goes in a circle by way of `{by}`");
        errors.push(ConfigError::new(field(&id.provider, &id.model), problem));
        return;
    }
    for target in providers.iter_mut().flat_map(|provider| &mut provider.targets) {
        target.replaced_by = replaced.remove(&target.id);
    }
}

fn field(provider: &str, model: &str) -> String {
    format!("providers.{provider}.models.{model}.replaced_by")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_nearly_one_brings_it_to_mind() {
        let known = [
            "openai",
            "anthropic",
            "mistral",
            "lmstudio",
            "tier",
            "weight",
            "attempts_max",
            "a/gpt-5-mini",
            "b/gpt-5-nano",
        ];
        for (name, expected) in [
            ("openia", Some("openai")),
            ("antropic", Some("anthropic")),
            ("Mistral", Some("mistral")),
            ("lm-studio", Some("lmstudio")),
            ("teir", Some("tier")),
            ("wieght", Some("weight")),
            ("a/gpt-5mini", Some("a/gpt-5-mini")),
            ("attempts", Some("attempts_max")),
            ("bedrock", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, known), expected, "{name}");
        }
        assert_eq!(meant("bedrock", ["openai", "groq"]), "there are: openai, groq");
        assert_eq!(meant("opena", ["openai", "groq"]), "did you mean `openai`?");
    }
}

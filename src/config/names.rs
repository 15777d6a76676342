//! Names that stand for others: aliases of routes, and replacements of models that are gone.
//!
//! Input: the user's names and the known ones. Output: names that lead to a target. Chains are followed to their end
//! and circles are refused, so that later code need not check for them. A name is held against all that are written,
//! also of what is not valid: so one wrong field hides no wrong name.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Display;

use super::provider::ProviderConfig;
use crate::catalog;
use crate::spec::{Layout, ProviderSpec, Setup};
use crate::words::{ConfigError, ModelKind, TargetId, meant};

/// The names that a configuration gives, whether or not what they name is valid.
pub(crate) struct WrittenNames<'a> {
    routes: BTreeSet<&'a str>,
    aliases: BTreeSet<&'a str>,
    /// Every `provider/model`.
    targets: BTreeSet<String>,
    /// Providers whose models cannot be told.
    open: BTreeSet<&'a str>,
    doubtful: &'a dyn Fn(&str) -> bool,
}

impl<'a> WrittenNames<'a> {
    /// Returns the names of providers, routes and aliases; `doubtful` tells names that a text may have beside, in a
    /// part that could not be read.
    pub(super) fn of(
        providers: &'a BTreeMap<String, ProviderConfig>,
        routes: impl Iterator<Item = &'a String>,
        aliases: impl Iterator<Item = &'a String>,
        doubtful: &'a dyn Fn(&str) -> bool,
    ) -> Self {
        let (mut targets, mut open) = (BTreeSet::new(), BTreeSet::new());
        for (name, provider) in providers {
            match provider.models_written(name) {
                Some(models) => targets.extend(models.into_iter().map(|model| format!("{name}/{model}"))),
                None => drop(open.insert(name.as_str())),
            }
        }
        let (routes, aliases) = (routes.map(String::as_str).collect(), aliases.map(String::as_str).collect());
        Self { routes, aliases, targets, open, doubtful }
    }

    /// Tells whether a `provider/model` is written, or may be.
    fn has_target(&self, name: &str) -> bool {
        let at_open = || name.split_once('/').is_some_and(|(provider, _)| self.open.contains(provider));
        self.targets.contains(name) || at_open() || (self.doubtful)(name)
    }

    /// Tells whether a name can be asked for, or may be: a route, an alias or a `provider/model`.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.routes.contains(name) || self.aliases.contains(name) || self.has_target(name)
    }

    /// Returns every name that can be asked for: routes and aliases first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &str> + Clone {
        let named = self.routes.iter().chain(&self.aliases).copied();
        named.chain(self.targets())
    }

    /// Returns every `provider/model` that is written.
    pub(super) fn targets(&self) -> impl Iterator<Item = &str> + Clone {
        self.targets.iter().map(String::as_str)
    }

    /// Says that a name is no target, and which was probably meant.
    fn no_target(&self, name: &str, what: &str) -> String {
        let meant = meant(name, self.targets());
        let is_left_out = |(provider, model): &(&str, &str)| {
            let is_model = catalog::find(model).is_some() || catalog::kind(model) == ModelKind::Embedding;
            is_model && self.targets().any(|known| known.split_once('/').is_some_and(|(own, _)| own == *provider))
        };
        match name.split_once('/').filter(is_left_out) {
            Some((provider, model)) => format!(
                "is not served: a provider serves what its `models` name, or its vendor's models that chat where they \
                 name none; add `models.\"{model}\" = {{}}` to `{provider}`, beside all others that are used; {meant}"
            ),
            None => format!("is no known {what}; {meant}"),
        }
    }
}

/// Gives each alias the route that it leads to.
pub(super) fn alias(
    layout: &mut Layout,
    aliases: &BTreeMap<String, String>,
    written: &WrittenNames<'_>,
    errors: &mut Vec<ConfigError>,
) {
    let ends = ends(aliases);
    for (name, by) in aliases {
        let mut refuse = |problem: String| errors.push(ConfigError::new(format!("aliases.{name}"), problem));
        let Some(end) = ends[name] else {
            refuse(format!("{}; it must lead to a route", circle(name, by)));
            continue;
        };
        if written.routes.contains(name.as_str()) || written.targets.contains(name) {
            refuse("must be a name that no route has".into());
        } else if layout.routes.contains_key(end.as_str()) {
            layout.alias(name, end);
        } else if !written.has(end) {
            refuse(format!("leads to no route; {}", meant(end, written.all().filter(|known| *known != name.as_str()))));
        }
    }
}

/// The targets that there are, and the names that are written.
pub(super) struct KnownNames<'a> {
    pub(super) setup: &'a Setup,
    pub(super) written: &'a WrittenNames<'a>,
}

impl KnownNames<'_> {
    /// Returns a target's place by its name.
    ///
    /// # Errors
    /// If there is none: the text of the error, unless the name is that of a target which is not valid.
    pub(super) fn find(&self, name: &str) -> Result<usize, Option<String>> {
        let id = name.split_once('/').map(|(provider, model)| TargetId::new(provider, model));
        id.and_then(|id| self.setup.layout.index(&id))
            .ok_or_else(|| (!self.written.has_target(name)).then(|| self.written.no_target(name, "`provider/model`")))
    }
}

/// Follows every name to the last one that it leads to; `None` for one that leads into a circle.
fn ends<T: Ord>(next: &BTreeMap<T, T>) -> BTreeMap<&T, Option<&T>> {
    let mut ends: BTreeMap<&T, Option<&T>> = BTreeMap::new();
    for first in next.keys() {
        let (mut path, mut at) = (BTreeSet::new(), first);
        let end = loop {
            if let Some(end) = ends.get(at) {
                break *end;
            }
            let Some(further) = next.get(at) else { break Some(at) };
            if !path.insert(at) {
                break None;
            }
            at = further;
        };
        ends.extend(path.into_iter().map(|name| (name, end)));
    }
    ends
}

/// Says that a name leads into a circle, by its first step.
fn circle(name: &impl Display, by: &impl Display) -> String {
    let (name, by) = (name.to_string(), by.to_string());
    if name == by { "leads to itself".to_owned() } else { format!("goes in a circle by way of `{by}`") }
}

/// Tells which model replaces each model that has a replacement.
pub(super) fn replace(
    configs: &BTreeMap<String, ProviderConfig>,
    providers: &mut [ProviderSpec],
    written: &WrittenNames<'_>,
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
                None if written.has_target(replacement) || written.has_target(&own) => {}
                None => errors.push(ConfigError::new(field(name, model), written.no_target(replacement, "model"))),
            }
        }
    }
    for (id, _) in ends(&replaced).into_iter().filter(|(_, end)| end.is_none()) {
        errors.push(ConfigError::new(field(&id.provider, &id.model), circle(id, &replaced[id])));
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
    use crate::config::{Config, KeyConfig, RouteConfig};

    #[test]
    fn models_that_a_user_named_are_told_from_those_of_the_catalogue() {
        let route = RouteConfig::new(["openai/gpt-5.4-mini"]);
        let mut config = Config { routes: BTreeMap::from([("smart".into(), route)]), ..Config::default() };
        config.providers.insert("openai".into(), ProviderConfig::openai().key("k"));
        let named = |config: &Config| {
            let (_, setup) = config.check().expect("a good configuration");
            let targets = || setup.providers.iter().flat_map(|provider| &provider.targets);
            let named = targets().filter(|target| target.named).map(|target| target.id.to_string());
            assert!(targets().count() > 1 || config.providers["openai"].models.len() == 1);
            named.collect::<Vec<_>>()
        };
        assert_eq!(named(&config), ["openai/gpt-5.4-mini"], "the catalogue names nobody for a user");
        config.providers.insert("openai".into(), ProviderConfig::openai().key("k").model("gpt-5.4-mini"));
        config.routes.clear();
        assert_eq!(named(&config), ["openai/gpt-5.4-mini"]);
    }

    #[test]
    fn a_model_that_is_not_served_because_others_are_named_is_told_so() {
        let with = |provider: ProviderConfig, target: &str| {
            let route = RouteConfig::new([target]);
            let providers = [("openai".to_owned(), provider.key("k"))].into();
            let config = Config { providers, routes: [("smart".to_owned(), route)].into(), ..Config::default() };
            config.check().err().map(|errors| errors.to_string()).unwrap_or_default()
        };
        for (provider, target, is_told) in [
            (ProviderConfig::openai().model("gpt-5.4-nano"), "openai/gpt-5.4-mini", true),
            (ProviderConfig::openai(), "openai/text-embedding-3-small", true),
            (ProviderConfig::openai(), "openai/gpt-5.4-minni", false),
            (ProviderConfig::openai(), "openia/gpt-5.4-mini", false),
        ] {
            let said = with(provider, target);
            assert_eq!(said.contains("is not served: "), is_told, "{said}");
            assert_eq!(said.contains("is no known `provider/model`"), !is_told, "{said}");
        }
    }

    #[test]
    fn one_rule_holds_for_every_name_that_is_given() {
        let (most, long) = ("n".repeat(256), "n".repeat(257));
        for (name, good) in [
            (&*most, true),
            ("a b", true),
            ("größe", true),
            ("", false),
            (" a", false),
            ("a\t", false),
            ("a\u{1b}[31mb", false),
            ("a\nb", false),
            (&*long, false),
        ] {
            let model = |name: &str| Config {
                providers: BTreeMap::from([("p".into(), ProviderConfig::new("http://p/v1").model(name))]),
                ..Config::default()
            };
            let named: [fn(&str, &mut Config); 4] = [
                |name, config| drop(config.routes.insert(name.into(), RouteConfig::new(["p/m"]))),
                |name, config| drop(config.aliases.insert(name.into(), "p/m".into())),
                |name, config| {
                    drop(config.providers.insert(name.into(), ProviderConfig::new("http://q/v1").model("m")));
                },
                |name, config| {
                    let key = KeyConfig::value("k").named(name);
                    config.providers.get_mut("p").expect("p").keys.push(key);
                },
            ];
            for (at, give) in named.into_iter().enumerate() {
                let mut config = model("m");
                give(name, &mut config);
                let refused = config.check().err();
                // With a model behind it a provider's name must be shorter.
                let good = good && !(at == 2 && name == most);
                assert_eq!(refused.is_none(), good, "{at} {name:?}: {refused:?}");
            }
            let good = good && name.len() <= 254;
            assert_eq!(model(name).check().is_ok(), good, "model {name:?}");
        }
    }

    #[test]
    fn every_name_that_leads_into_a_circle_is_found_and_no_other() {
        let next = BTreeMap::from([("a", "a"), ("b", "c"), ("c", "b"), ("d", "b"), ("e", "f"), ("f", "end")]);
        let ends = ends(&next);
        let lost: Vec<&str> = ends.iter().filter(|(_, end)| end.is_none()).map(|(name, _)| **name).collect();
        assert_eq!(lost, ["a", "b", "c", "d"]);
        assert_eq!((ends[&"e"], ends[&"f"]), (Some(&"end"), Some(&"end")));
        assert_eq!(
            (circle(&"a", &"a"), circle(&"b", &"c")),
            ("leads to itself".into(), "goes in a circle by way of `c`".into())
        );
    }
}

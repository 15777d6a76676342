//! A route as a user sets it.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::sync::Arc;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::names::KnownNames;
use super::times::{check_time, check_wait};
use crate::policy::failover::{FailoverOptions, RouteFailover};
use crate::policy::routing::{ForeignParts, RouteOptions, Strategy};
use crate::policy::stale::StaleOptions;
use crate::policy::trim::OverWindow;
use crate::spec::{MemberSpec, RouteSpec, Rung, TargetSpec};
use crate::words::{ConfigError, Durable, ModelKind, OnExhausted, meant};

/// A name that callers ask for, and the targets that may serve it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RouteConfig {
    /// The targets that may serve it, in order of preference for strategies that have one.
    pub targets: Vec<MemberConfig>,
    /// Options of its choice.
    pub options: RouteOptions,
    /// How long and how often its calls may try. Default of each field: the configuration's `failover`.
    pub failover: RouteFailover,
    /// Labels that a target must carry to serve it.
    pub labels: Vec<String>,
    /// How a conversation is treated that does not fit a target's window: `skip` asks other targets, `trim` leaves out
    /// its oldest part.
    pub over_window: OverWindow,
    /// The rungs that give an answer once no other target can, in this order, for calls with
    /// `on_exhausted = "degrade"`. Default: the targets that are marked as degraded.
    pub degrade: Vec<RungConfig>,
    /// How parts are treated that only one dialect has words for, where a target speaks another: `refuse` does not ask
    /// such a target, and refuses a call that no target of the route could take; `drop` leaves the parts out for that
    /// target, and the reply's notes say so.
    pub foreign_parts: ForeignParts,
    /// Whether its calls outlive their callers and the process, if a request does not say. After a restart `true` or
    /// `"again"` sends calls again that had been sent, `"once"` ends them as interrupted. It needs a `store`.
    #[serde(deserialize_with = "durable")]
    pub durable: Durable,
}

/// Reads `durable`: true, false, or a name.
fn durable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Durable, D::Error> {
    struct How;

    impl Visitor<'_> for How {
        type Value = Durable;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("true, false, \"again\" or \"once\"")
        }

        fn visit_bool<E>(self, is: bool) -> Result<Durable, E> {
            Ok(if is { Durable::Again } else { Durable::No })
        }

        fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Durable, E> {
            name.parse().map_err(|_| E::custom("must be true, false, \"again\" or \"once\""))
        }
    }

    deserializer.deserialize_any(How)
}

/// A source of answers that give less than what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum RungConfig {
    /// The targets that are marked as degraded.
    Targets,
    /// The last good answer to the same request of the same caller with the same labels: its unchanged text. The route
    /// keeps such answers in memory, within these limits. Answers that call tools are not kept.
    #[serde(rename = "stale_if_error")]
    StaleIfError(StaleOptions),
    /// This text. Never for vectors; for a request of JSON only if the text is JSON.
    Text(String),
}

/// One target of a route.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberConfig {
    /// `provider/model`.
    pub target: String,
    /// A tier serves when those with lower numbers cannot (active-passive). Default: 0.
    pub tier: u8,
    /// Its part of its tier's traffic, for strategies that weigh (active-active). Default: 1.
    pub weight: f64,
    /// Whether it is asked only where no other can answer, and the call takes less: `on_exhausted = "degrade"`.
    /// Default: no.
    pub degraded: bool,
}

/// A target of a route as a table of a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MemberTable {
    target: String,
    #[serde(default)]
    tier: u8,
    #[serde(default = "one")]
    weight: f64,
    #[serde(default)]
    degraded: bool,
}

fn one() -> f64 {
    1.0
}

impl<'de> Deserialize<'de> for MemberConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MemberVisitor)
    }
}

/// Tells a text from a table, so that errors within a table can be reported.
struct MemberVisitor;

impl<'de> Visitor<'de> for MemberVisitor {
    type Value = MemberConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"provider/model\", or a table, as { target = \"provider/model\", tier = 1, weight = 1.0 }")
    }

    fn visit_str<E>(self, target: &str) -> Result<MemberConfig, E> {
        Ok(target.into())
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<MemberConfig, M::Error> {
        let MemberTable { target, tier, weight, degraded } = MemberTable::deserialize(MapAccessDeserializer::new(map))?;
        Ok(MemberConfig { target, tier, weight, degraded })
    }
}

impl<S: Into<String>> From<S> for MemberConfig {
    fn from(target: S) -> Self {
        Self { target: target.into(), tier: 0, weight: 1.0, degraded: false }
    }
}

impl RouteConfig {
    /// Returns a route over some targets, `provider/model` each, with the adaptive strategy.
    pub fn new<T: Into<String>>(targets: impl IntoIterator<Item = T>) -> Self {
        Self { targets: targets.into_iter().map(MemberConfig::from).collect(), ..Self::default() }
    }

    /// Adds targets to a tier: they serve when those of lower tiers cannot. Those of [`new`](Self::new) are of tier 0.
    #[must_use]
    pub fn tier<T: Into<String>>(mut self, tier: u8, targets: impl IntoIterator<Item = T>) -> Self {
        self.targets.extend(targets.into_iter().map(|target| MemberConfig { tier, ..MemberConfig::from(target) }));
        self
    }

    /// Sets how a target is chosen.
    #[must_use]
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.options.strategy = strategy;
        self
    }

    /// Sets how a call goes on that no target can answer now, and leaves the rest of `failover` as it is.
    #[must_use]
    pub fn on_exhausted(mut self, on_exhausted: OnExhausted) -> Self {
        self.failover.on_exhausted = Some(on_exhausted);
        self
    }

    /// Adds targets that are asked only where no other can answer, and the call takes less: `on_exhausted = "degrade"`.
    #[must_use]
    pub fn degraded<T: Into<String>>(mut self, targets: impl IntoIterator<Item = T>) -> Self {
        self.targets
            .extend(targets.into_iter().map(|target| MemberConfig { degraded: true, ..MemberConfig::from(target) }));
        self
    }

    /// Adds a target with its settings, as `MemberConfig { weight: 2.0, .."openai/gpt-5-mini".into() }`.
    #[must_use]
    pub fn target(mut self, target: impl Into<MemberConfig>) -> Self {
        self.targets.push(target.into());
        self
    }

    /// Adds a rung: a source of lesser answers.
    #[must_use]
    pub fn rung(mut self, rung: RungConfig) -> Self {
        self.degrade.push(rung);
        self
    }
}

impl RouteConfig {
    pub(super) fn check(
        &self,
        name: &str,
        failover: &FailoverOptions,
        known: &KnownNames<'_>,
        errors: &mut Vec<ConfigError>,
    ) -> Option<RouteSpec> {
        let before = errors.len();
        let at = |field: &str| format!("routes.{name}.{field}");
        if self.targets.is_empty() {
            let one = known.written.targets().next().unwrap_or("provider/model");
            let problem = format!("is empty; name at least one, as `targets = [\"{one}\"]`");
            errors.push(ConfigError::new(at("targets"), problem));
        }
        errors.extend(self.options.check(&at("options")));
        // What the runtime says is checked there.
        check_failover(&at("failover"), &self.failover.over(&FailoverOptions::default()), errors);
        let embedding = |target: &TargetSpec| target.capabilities.kind == ModelKind::Embedding;
        let mut embeds: Option<&TargetSpec> = None;
        let mut members: Vec<MemberSpec> = Vec::with_capacity(self.targets.len());
        let mut named = HashSet::with_capacity(self.targets.len());
        let mut unknown = false;
        for (place, member) in self.targets.iter().enumerate() {
            let mut refuse =
                |field: &str, problem| errors.push(ConfigError::new(at(&format!("targets[{place}]{field}")), problem));
            if !member.weight.is_finite() || member.weight < 0.0 {
                refuse(".weight", "must be 0 or more, as 1.0".to_owned());
            }
            if !named.insert(&member.target) {
                refuse("", "is listed twice".to_owned());
            }
            let at = match known.find(&member.target) {
                Ok(at) => at,
                Err(problem) => {
                    unknown = true;
                    if let Some(problem) = problem {
                        refuse("", problem);
                    }
                    continue;
                }
            };
            let target = known.setup.target(at);
            if let Some(other) = embeds.filter(|_| embedding(target)).filter(|other| other.family != target.family) {
                let problem = format!(
                    "`{}` and `{}` embed and are two models, whose vectors cannot be compared; name one model at \
                     several places, with `same_as` where its name does not tell",
                    other.id, target.id
                );
                refuse("", problem);
            }
            embeds = embeds.or(Some(target).filter(|target| embedding(target)));
            let MemberConfig { tier, weight, degraded, .. } = *member;
            members.push(MemberSpec { target: at, tier, weight, degraded });
        }
        if !unknown {
            self.check_labels(&at("labels"), members.iter().map(|member| known.setup.target(member.target)), errors);
        }
        self.check_rungs(&at, errors);
        // Those that give less are no part of what a call tries first.
        let first = members.iter().filter(|member| !member.degraded).count();
        (errors.len() == before && !unknown).then(|| RouteSpec {
            name: name.into(),
            options: self.options,
            failover: self.failover.over(failover).of_route(first),
            members,
            labels: known.setup.layout.labels(&self.labels),
            over_window: self.over_window,
            foreign_parts: self.foreign_parts,
            rungs: self.rungs(),
            durable: self.durable,
        })
    }

    /// Reports labels that leave the route without a target.
    fn check_labels<'a>(
        &self,
        at: &str,
        members: impl Iterator<Item = &'a TargetSpec> + Clone,
        errors: &mut Vec<ConfigError>,
    ) {
        let fits = |target: &TargetSpec| self.labels.iter().all(|label| target.labels.contains(label));
        if self.labels.is_empty() || members.clone().next().is_none() || members.clone().any(fits) {
            return;
        }
        let carried: BTreeSet<&str> = members.flat_map(|target| &target.labels).map(String::as_str).collect();
        let problem = match self.labels.iter().find(|label| !carried.contains(label.as_str())) {
            Some(label) => {
                let meant = meant(label, carried);
                format!("`{label}` is carried by none of its targets, so that none would be asked; {meant}")
            }
            None => "no target of the route carries all of them, so that none would be asked".to_owned(),
        };
        errors.push(ConfigError::new(at, problem));
    }

    /// Returns a doubt about rungs and degraded targets that none of its calls reaches by itself.
    pub(super) fn unreached(&self, name: &str, failover: &FailoverOptions) -> Option<ConfigError> {
        let field = match self.targets.iter().position(|member| member.degraded) {
            Some(place) => format!("routes.{name}.targets[{place}].degraded"),
            None if !self.degrade.is_empty() => format!("routes.{name}.degrade"),
            None => return None,
        };
        let degrades = self.failover.over(failover).on_exhausted == OnExhausted::Degrade;
        let problem = "is reached only by calls that ask to degrade; for all calls of the route set \
                       `failover.on_exhausted = \"degrade\"`";
        (!degrades).then(|| ConfigError::new(field, problem))
    }

    /// Returns the rungs: those that are named, else the targets that are marked.
    fn rungs(&self) -> Arc<[Rung]> {
        let marked = self.targets.iter().any(|member| member.degraded);
        let named = self.degrade.iter().map(|rung| match rung {
            RungConfig::Targets => Rung::Targets,
            RungConfig::StaleIfError(options) => Rung::Stale(options.clone()),
            RungConfig::Text(text) => Rung::Text(text.as_str().into()),
        });
        let usual = Some(Rung::Targets).filter(|_| marked && self.degrade.is_empty());
        named.chain(usual).collect()
    }

    fn check_rungs(&self, at: &dyn Fn(&str) -> String, errors: &mut Vec<ConfigError>) {
        let marked = self.targets.iter().filter(|member| member.degraded).count();
        if marked > 0 && marked == self.targets.len() {
            let problem = "must not all be marked as degraded: one at least is asked first";
            errors.push(ConfigError::new(at("targets"), problem));
        }
        for (place, rung) in self.degrade.iter().enumerate() {
            let field = at(&format!("degrade[{place}]"));
            match rung {
                RungConfig::Targets if marked == 0 => {
                    let problem = "names targets, and none is marked; add one, as `{ target = \"provider/model\", \
                                   degraded = true }`";
                    errors.push(ConfigError::new(field, problem));
                }
                RungConfig::Text(text) if text.trim().is_empty() => {
                    errors
                        .push(ConfigError::new(field, "is empty; say something, as `{ text = \"Try again later.\" }`"));
                }
                RungConfig::StaleIfError(options) => {
                    errors.extend(options.check(&format!("{field}.stale_if_error")));
                    let is_one = |rung: &RungConfig| matches!(rung, RungConfig::StaleIfError(_));
                    if self.degrade[..place].iter().any(is_one) {
                        errors.push(ConfigError::new(field, "is `stale_if_error` once more; a route has one"));
                    }
                }
                _ => {}
            }
        }
        let degrades = self.failover.on_exhausted == Some(OnExhausted::Degrade);
        if degrades && marked == 0 && self.degrade.is_empty() {
            let problem = "is `degrade`, and there is nothing to degrade to; mark a target with `degraded = true`, or add \
                           `degrade = [{ text = \"…\" }]` to the route";
            errors.push(ConfigError::new(at("failover.on_exhausted"), problem));
        }
    }
}

/// Checks how long and how often calls may try.
pub(super) fn check_failover(field: &str, options: &FailoverOptions, errors: &mut Vec<ConfigError>) {
    if options.attempts_max == Some(0) {
        errors.push(ConfigError::new(format!("{field}.attempts_max"), "must be 1 or more"));
    }
    if !(0.0..=1.0).contains(&options.hedge_share_max) {
        errors.push(ConfigError::new(format!("{field}.hedge_share_max"), "must lie between 0 and 1, as 0.05"));
    }
    errors.extend(check_wait(&format!("{field}.wait_max"), options.wait_max).err());
    errors.extend(check_time(&format!("{field}.deadline"), options.deadline).err());
    errors.extend(check_time(&format!("{field}.wait_deadline"), options.wait_deadline).err());
}

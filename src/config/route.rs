//! A route as a user sets it.

use std::collections::HashSet;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::check_failover;
use super::names::Known;
use crate::policy::failover::FailoverOptions;
use crate::policy::routing::{ForeignParts, RouteOptions};
use crate::policy::trim::OverWindow;
use crate::spec::{MemberSpec, RouteSpec, TargetSpec};
use crate::words::{ConfigError, ModelKind};

/// One route.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RouteConfig {
    /// Who may serve it, in order of preference for strategies that have one.
    pub targets: Vec<MemberConfig>,
    /// How it chooses.
    pub options: RouteOptions,
    /// How long and how often its calls may try; the configuration's `failover` where absent.
    pub failover: Option<FailoverOptions>,
    /// Labels that a target must carry to serve it.
    pub labels: Vec<String>,
    /// What becomes of a conversation that a target's window does not hold: `skip` asks other targets, `trim` leaves
    /// out its oldest part.
    pub over_window: OverWindow,
    /// What becomes of what only one dialect has words for, where a target speaks another: `refuse` does not ask such a
    /// target, and refuses a call that no target of the route could take; `drop` leaves it out there, and says so.
    pub foreign_parts: ForeignParts,
}

/// One target of a route.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberConfig {
    /// `provider/model`.
    pub target: String,
    /// A tier serves when those with lower numbers cannot (active-passive). 0.
    pub tier: u8,
    /// Its part of its tier's traffic, for strategies that weigh (active-active). 1.
    pub weight: f64,
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
}

fn one() -> f64 {
    1.0
}

impl<'de> Deserialize<'de> for MemberConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MemberVisitor)
    }
}

/// Tells a text from a table, so that what is wrong in a table can be said.
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
        let MemberTable { target, tier, weight } = MemberTable::deserialize(MapAccessDeserializer::new(map))?;
        Ok(MemberConfig { target, tier, weight })
    }
}

impl From<&str> for MemberConfig {
    fn from(target: &str) -> Self {
        Self { target: target.to_owned(), tier: 0, weight: 1.0 }
    }
}

impl RouteConfig {
    /// Returns a route over some targets, `provider/model` each, with the adaptive strategy.
    pub fn new<'a>(targets: impl IntoIterator<Item = &'a str>) -> Self {
        Self { targets: targets.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// Adds targets to a tier: they serve when those of lower tiers cannot. Those of [`new`](Self::new) are of tier 0.
    #[must_use]
    pub fn tier<'a>(mut self, tier: u8, targets: impl IntoIterator<Item = &'a str>) -> Self {
        self.targets.extend(targets.into_iter().map(|target| MemberConfig { tier, ..target.into() }));
        self
    }
}

impl RouteConfig {
    pub(super) fn check(
        &self,
        name: &str,
        failover: &FailoverOptions,
        known: &Known<'_>,
        errors: &mut Vec<ConfigError>,
    ) -> Option<RouteSpec> {
        let before = errors.len();
        let at = |field: &str| format!("routes.{name}.{field}");
        if self.targets.is_empty() {
            let problem = "is empty; name at least one, as `targets = [\"provider/model\"]`";
            errors.push(ConfigError::new(at("targets"), problem));
        }
        errors.extend(self.options.check(&at("options")));
        if let Some(failover) = &self.failover {
            check_failover(&at("failover"), failover, errors);
        }
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
                refuse("", "stands there twice".to_owned());
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
            members.push(MemberSpec { target: at, tier: member.tier, weight: member.weight });
        }
        (errors.len() == before && !unknown).then(|| RouteSpec {
            name: name.into(),
            options: self.options,
            failover: self.failover.as_ref().unwrap_or(failover).clone(),
            members,
            labels: known.setup.layout.labels(&self.labels),
            over_window: self.over_window,
            foreign_parts: self.foreign_parts,
        })
    }
}

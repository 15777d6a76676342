//! A route as a user sets it.

use serde::Deserialize;

use super::check_failover;
use super::names::few;
use crate::policy::failover::FailoverOptions;
use crate::policy::routing::{ForeignParts, RouteOptions};
use crate::policy::trim::OverWindow;
use crate::spec::{MemberSpec, RouteSpec, Setup, TargetSpec};
use crate::words::{ConfigError, ModelKind, TargetId};

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
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(from = "MemberForm")]
pub struct MemberConfig {
    /// `provider/model`.
    pub target: String,
    /// A tier serves when those with lower numbers cannot (active-passive). 0.
    pub tier: u8,
    /// Its part of its tier's traffic, for strategies that weigh (active-active). 1.
    pub weight: f64,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum MemberForm {
    Target(String),
    Member {
        target: String,
        #[serde(default)]
        tier: u8,
        #[serde(default = "one")]
        weight: f64,
    },
}

fn one() -> f64 {
    1.0
}

impl From<MemberForm> for MemberConfig {
    fn from(form: MemberForm) -> Self {
        match form {
            MemberForm::Target(target) => target.as_str().into(),
            MemberForm::Member { target, tier, weight } => Self { target, tier, weight },
        }
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
}

impl RouteConfig {
    pub(super) fn check(
        &self,
        name: &str,
        failover: &FailoverOptions,
        known: &Setup,
    ) -> Result<RouteSpec, ConfigError> {
        let at = |field: &str| format!("routes.{name}.{field}");
        if self.targets.is_empty() {
            return Err(ConfigError::new(at("targets"), "is empty; name at least one `provider/model`"));
        }
        self.options
            .check()
            .map_err(|error| ConfigError::new(at(&format!("options.{}", error.field)), error.problem))?;
        let failover = self.failover.as_ref().unwrap_or(failover);
        check_failover(&at("failover"), failover)?;
        let embedding = |target: &TargetSpec| target.capabilities.kind == ModelKind::Embedding;
        let mut embeds: Option<&TargetSpec> = None;
        let mut members: Vec<MemberSpec> = Vec::with_capacity(self.targets.len());
        for member in &self.targets {
            let id = member.target.split_once('/').map(|(provider, model)| TargetId::new(provider, model));
            let place = id.and_then(|id| known.layout.index(&id)).ok_or_else(|| {
                let mut names: Vec<&TargetId> = known.targets().map(|target| &target.id).collect();
                names.sort_unstable();
                let problem = format!("no model `{}`; there are: {}", member.target, few(names));
                ConfigError::new(at("targets"), problem)
            })?;
            let target = known.target(place);
            if members.iter().any(|known| known.target == place) {
                return Err(ConfigError::new(at("targets"), format!("`{}` stands there twice", member.target)));
            }
            if !member.weight.is_finite() || member.weight < 0.0 {
                return Err(ConfigError::new(
                    at("targets"),
                    format!("the weight of `{}` must be 0 or more", member.target),
                ));
            }
            if let Some(other) = embeds.filter(|_| embedding(target)).filter(|other| other.family != target.family) {
                let problem = format!(
                    "`{}` and `{}` embed and are two models, whose vectors cannot be compared; name one model at \
                     several places, with `same_as` where its name does not tell",
                    other.id, target.id
                );
                return Err(ConfigError::new(at("targets"), problem));
            }
            embeds = embeds.or(Some(target).filter(|target| embedding(target)));
            members.push(MemberSpec { target: place, tier: member.tier, weight: member.weight });
        }
        Ok(RouteSpec {
            name: name.into(),
            options: self.options,
            failover: failover.clone(),
            members,
            labels: known.layout.labels(&self.labels),
            over_window: self.over_window,
            foreign_parts: self.foreign_parts,
        })
    }
}

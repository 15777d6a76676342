//! The configuration: plain structs, gathered here and checked once.
//!
//! `Runtime::builder()` edits a [`Config`]; a file deserialises into one. Options of a machine are declared beside
//! the machine. It reads no environment and no file: a key whose source is one is read when it is needed.

mod times;
mod carrier;
mod dialect;
mod function;
mod key;
mod presets;
mod address;
mod model;
mod prices;
mod provider;
mod names;
mod budget;
mod route;
mod slips;
mod store;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use crate::catalog::PriceList;
use crate::policy::failover::FailoverOptions;
use crate::policy::restart::RestartOptions;
use crate::spec::{Layout, Limits, ProviderSpec, RouteSpec, Setup};
use crate::wire::AnswerMax;
use crate::words::names::fault;
use crate::words::{Capabilities, ConfigError, ConfigErrors, Date, Dialect, Durable, ModelClass, Price, TargetId};

#[cfg(feature = "sidecar")]
use crate::words::OnExhausted;
use names::{KnownNames, WrittenNames};
use route::check_failover;
use times::check_order;
#[cfg(not(feature = "sidecar"))]
use times::{check_time, check_wait};

pub use crate::catalog::{PriceConfig, PriceTierConfig};
pub use crate::policy::budget::{BudgetScope, OnSpent, Period};
pub use crate::policy::hint::HintOptions;
pub use crate::policy::probe::ProbeOptions;
pub use crate::policy::stale::StaleOptions;
#[cfg(feature = "sidecar")]
pub(crate) use crate::source::{is_constant, is_path};
#[cfg(feature = "sidecar")]
pub(crate) use crate::transport::destination;
pub use budget::BudgetConfig;
pub use dialect::DialectConfig;
pub use function::Answer;
pub use key::{IssuedKey, KeyConfig, KeyFunction, KeySource};
pub use model::{Ability, KindConfig, ModelConfig};
pub use presets::{Preset, presets};
pub use prices::PricesConfig;
pub use provider::{ProviderConfig, header_name};
pub use route::{MemberConfig, RouteConfig, RungConfig};
pub use store::StoreConfig;
#[cfg(feature = "sidecar")]
pub(crate) use times::{check_time, check_wait};

/// The most labels of one configuration.
const LABELS_MAX: usize = 63;
/// The most calls in flight that can be asked for: what a semaphore can count.
const CALLS_MAX: usize = u32::MAX as usize;

/// The known properties of a target.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Described {
    /// Which target it is.
    pub id: TargetId,
    /// The dialect that it is asked in.
    pub dialect: Dialect,
    /// The flavour of that dialect.
    pub flavour: &'static str,
    /// Its price, if it is known.
    pub price: Option<Price>,
    /// Its kind, its abilities and its limits.
    pub capabilities: Capabilities,
    /// Whether it reasons by default.
    pub reasons: bool,
    /// Its last day, where one was announced.
    pub retires: Option<Date>,
}

/// The whole configuration of a runtime.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The providers, by name.
    pub providers: BTreeMap<String, ProviderConfig>,
    /// The routes, by name. Every target can also be asked for directly, as `provider/model`.
    pub routes: BTreeMap<String, RouteConfig>,
    /// Other names of routes: a route, a `provider/model` or another alias, by the name that callers may ask for.
    pub aliases: BTreeMap<String, String>,
    /// How long and how often a call may try, where its route does not say otherwise.
    pub failover: FailoverOptions,
    /// How crashed actors are restarted.
    pub restart: RestartOptions,
    /// The most calls in flight; one more waits for a place, as long as its deadline allows. Default: 10 000.
    pub calls_max: usize,
    /// The most calls that may be parked until a target is back; one more ends as if it could not wait. Default: 5 000.
    pub parked_max: usize,
    /// The most calls that wait for a place (in flight at a target, or among `calls_max`); beyond it the call that
    /// would go last is answered at once. Default: 1 000.
    pub queue_max: usize,
    /// The longest a caller may leave its stream unread before the call ends. Default: 60 s.
    #[serde(with = "humantime_serde")]
    pub consumer_stall_max: Duration,
    /// The longest answer, in bytes of text, reasoning and calls; an attempt at a longer one fails. Default: 8 MiB.
    pub answer_bytes_max: usize,
    /// The longest answer, in tokens: each event with content counts as one at least, and four bytes do.
    /// Default: 1 048 576.
    pub answer_tokens_max: usize,
    /// The memory for all answers in flight, in bytes; beyond it attempts at long answers fail. Default: 512 MiB.
    pub answers_bytes_max: usize,
    /// How long the result of a call is kept in memory after its end, where it was asked for with a key or submitted.
    /// Default: 10 min.
    #[serde(with = "humantime_serde")]
    pub kept_for: Duration,
    /// The memory of all those results together, in bytes, requests included; beyond it the oldest is forgotten.
    /// Default: 64 MiB.
    pub kept_bytes_max: usize,
    /// Attempts that the ledger remembers one by one; its totals have no limit. Default: 10 000.
    pub ledger_max: usize,
    /// Calls that the flight recorder remembers. Default: 1 000.
    pub recorder_max: usize,
    /// Where prices are listed that go before the catalogue's.
    pub prices: PricesConfig,
    /// What may be spent, by the name that errors and health show. Without bounds, where empty.
    pub budgets: BTreeMap<String, BudgetConfig>,
    /// Where records of attempts and calls are kept. Without it they end with the process.
    pub store: Option<StoreConfig>,
    /// Seed of every draw: the same seed and the same events give the same choices. Drawn at random if it is `None`.
    pub seed: Option<u64>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            providers: BTreeMap::new(),
            routes: BTreeMap::new(),
            aliases: BTreeMap::new(),
            failover: FailoverOptions::default(),
            restart: RestartOptions::default(),
            calls_max: 10_000,
            parked_max: 5_000,
            queue_max: 1_000,
            consumer_stall_max: Duration::from_secs(60),
            answer_bytes_max: 8 << 20,
            answer_tokens_max: 1 << 20,
            answers_bytes_max: 512 << 20,
            kept_for: Duration::from_secs(10 * 60),
            kept_bytes_max: 64 << 20,
            ledger_max: 10_000,
            recorder_max: 1_000,
            prices: PricesConfig::default(),
            budgets: BTreeMap::new(),
            store: None,
            seed: None,
        }
    }
}

/// Returns each target with its price, if that is known.
pub(crate) fn targets_of(setup: Setup) -> Vec<(TargetId, Option<Price>)> {
    let targets = setup.providers.into_iter().flat_map(|provider| provider.targets);
    targets.map(|target| (target.id, target.price)).collect()
}

impl Config {
    /// Checks everything, and returns each target that can be called, with its price if that is known.
    ///
    /// # Errors
    /// All errors; each names its field.
    pub fn targets(&self) -> Result<Vec<(TargetId, Option<Price>)>, ConfigErrors> {
        self.check().map(|(_, setup)| targets_of(setup))
    }

    /// Checks everything, and returns the known properties of each target, from the catalogue and the configuration.
    ///
    /// # Errors
    /// All errors; each names its field.
    pub fn describe(&self) -> Result<Vec<Described>, ConfigErrors> {
        self.describe_by(&PriceList::default())
    }

    /// The same with a list of prices, as a runtime takes it in by [`PricesConfig`].
    ///
    /// # Errors
    /// All errors; each names its field.
    pub fn describe_by(&self, list: &PriceList) -> Result<Vec<Described>, ConfigErrors> {
        let (_, setup) = self.check()?;
        let targets = setup.providers.into_iter().flat_map(|provider| {
            let spoken = (provider.dialect, provider.flavour.name);
            provider.targets.into_iter().map(move |target| (spoken, target))
        });
        Ok(targets
            .map(|((dialect, flavour), target)| Described {
                dialect,
                flavour,
                price: target.listing.and_then(|listing| list.price(&listing)).or(target.price),
                id: target.id,
                capabilities: target.capabilities,
                reasons: target.class == ModelClass::Reasoning,
                retires: target.retires,
            })
            .collect())
    }

    /// Returns what is probably a slip: a model's name that is nearly a known one, the name of a variable where a key
    /// should be, a target that is never asked. Nothing of it is an error.
    pub fn slips(&self) -> Vec<ConfigError> {
        let priced = self.prices.file.is_some() || self.prices.url.is_some();
        let of_providers = self.providers.iter().flat_map(|(name, provider)| slips::slips(name, provider, priced));
        let of_routes = self.routes.iter().filter_map(|(name, route)| route.unreached(name, &self.failover));
        of_providers.chain(of_routes).collect()
    }

    /// Returns how calls by a name go on that no target can answer.
    #[cfg(feature = "sidecar")]
    pub(crate) fn on_exhausted(&self, name: &str) -> OnExhausted {
        let leads = |name: &&str| self.aliases.get(*name).map(String::as_str);
        // Aliases in a circle are refused before.
        let name = std::iter::successors(Some(name), leads).take(self.aliases.len() + 1).last().unwrap_or(name);
        let own = self.routes.get(name).and_then(|route| route.failover.on_exhausted);
        own.unwrap_or(self.failover.on_exhausted)
    }

    /// Checks everything and returns the specification that the runtime runs.
    pub(crate) fn check(&self) -> Result<(Limits, Setup), ConfigErrors> {
        self.check_beside(&|_| false)
    }

    /// The same for the valid parts of a file with errors. An unknown name is no error if a part of the file that could
    /// not be read may give it: `doubtful` tells.
    pub(crate) fn check_beside(&self, doubtful: &dyn Fn(&str) -> bool) -> Result<(Limits, Setup), ConfigErrors> {
        let mut errors = Vec::new();
        check_names(self, &mut errors);
        self.check_limits(&mut errors);
        if let Some(store) = &self.store {
            store.check(&mut errors);
        }
        let mut providers = Vec::with_capacity(self.providers.len());
        for (name, provider) in &self.providers {
            providers.extend(provider.check(name, &self.restart, &mut errors));
        }
        if self.providers.is_empty() {
            let problem = "there is none; add at least one, as `providers.openai.keys = [{ env = \
                           \"OPENAI_API_KEY\" }]`";
            errors.push(ConfigError::new("providers", problem));
        }
        let written = self.written_names(doubtful);
        names::replace(&self.providers, &mut providers, &written, &mut errors);
        errors.extend(check_labels(&providers));
        let mut setup = Setup { layout: Layout::new(&providers), providers, ..Setup::default() };
        let known = KnownNames { setup: &setup, written: &written };
        let routes =
            self.routes.iter().filter_map(|(name, route)| route.check(name, &self.failover, &known, &mut errors));
        let routes: Vec<RouteSpec> = routes.collect();
        for (name, _) in self.routes.iter().filter(|(_, route)| route.durable != Durable::No && self.store.is_none()) {
            let problem = "needs a `[store]`, as `path = \"standin.db\"`: what is durable is kept there";
            errors.push(ConfigError::new(format!("routes.{name}.durable"), problem));
        }
        for route in routes {
            for member in &route.members {
                setup.target_mut(member.target).named = true;
            }
            setup.layout.add(route);
        }
        for target in 0..setup.layout.targets.len() {
            let name = setup.target(target).id.to_string();
            if !self.routes.contains_key(&name) {
                setup.layout.add(RouteSpec::to(target, name, self.failover.clone()));
            }
        }
        names::alias(&mut setup.layout, &self.aliases, &written, &mut errors);
        let own = |name: &str| setup.layout.routes.get(name).map(|route| &*route.name);
        let budgets = self.budgets.iter().map(|(name, budget)| budget.check(name, &own, &written, &mut errors));
        let probes =
            setup.providers.iter().filter_map(|provider| Some(provider.probe.as_ref()?.budget(&provider.name)));
        setup.budgets = budgets.chain(probes).collect();
        setup.prices = self.prices.check(&mut errors);
        ConfigErrors::none(errors)?;
        let limits = Limits {
            calls_max: self.calls_max,
            parked_max: self.parked_max,
            queue_max: self.queue_max,
            consumer_stall_max: self.consumer_stall_max,
            answer_max: AnswerMax { bytes: self.answer_bytes_max, tokens: self.answer_tokens_max },
            answers_bytes_max: self.answers_bytes_max,
            kept_for: self.kept_for,
            kept_bytes_max: self.kept_bytes_max,
            ledger_max: self.ledger_max,
            recorder_max: self.recorder_max,
            restart: self.restart.clone(),
            #[cfg(feature = "store")]
            store: self.store.as_ref().map(StoreConfig::spec),
            seed: self.seed.unwrap_or_else(rand::random),
        };
        Ok((limits, setup))
    }

    /// Returns the names that can be asked for, whether or not what they name is valid.
    pub(crate) fn written_names<'a>(&'a self, doubtful: &'a dyn Fn(&str) -> bool) -> WrittenNames<'a> {
        WrittenNames::of(&self.providers, self.routes.keys(), self.aliases.keys(), doubtful)
    }

    /// Checks the fields that depend on no others.
    fn check_limits(&self, errors: &mut Vec<ConfigError>) {
        if self.calls_max == 0 || self.calls_max > CALLS_MAX {
            errors.push(ConfigError::new("calls_max", format!("must be 1 to {CALLS_MAX}")));
        }
        for (field, number) in [
            ("answer_bytes_max", self.answer_bytes_max),
            ("answer_tokens_max", self.answer_tokens_max),
            ("answers_bytes_max", self.answers_bytes_max),
        ] {
            if number == 0 {
                errors.push(ConfigError::new(field, "must be 1 or more"));
            }
        }
        errors.extend(
            [
                check_time("consumer_stall_max", self.consumer_stall_max),
                check_wait("kept_for", self.kept_for),
                check_time("restart.within", self.restart.within),
                check_time("restart.rest", self.restart.rest),
                check_wait("restart.backoff_min", self.restart.backoff_min),
                check_wait("restart.backoff_max", self.restart.backoff_max),
                check_order("restart.backoff_max", self.restart.backoff_max, "backoff_min", self.restart.backoff_min),
            ]
            .into_iter()
            .filter_map(Result::err),
        );
        check_failover("failover", &self.failover, errors);
    }
}

/// Refuses names that nobody could ask for, or that a log could not show, wherever the configuration gives one. An
/// empty one is its own field, as the table around it.
fn check_names(config: &Config, errors: &mut Vec<ConfigError>) {
    let mut see = |table: &str, own: &str, name: &str| {
        let field = if own.is_empty() { table.to_owned() } else { format!("{table}.{own}") };
        errors.extend(fault(name).map(|fault| ConfigError::new(field, fault)));
    };
    for (name, provider) in &config.providers {
        see("providers", name, name);
        for model in provider.models.keys() {
            // Callers ask for it by both names.
            let full = if model.is_empty() { String::new() } else { format!("{name}/{model}") };
            let full = if model.trim() == model { full } else { model.clone() };
            see(&format!("providers.{name}.models"), model, &full);
        }
        for (at, key) in provider.keys.iter().enumerate() {
            key.name.iter().for_each(|own| see(&format!("providers.{name}.keys[{at}]"), "name", own));
        }
    }
    config.routes.keys().for_each(|name| see("routes", name, name));
    config.aliases.keys().for_each(|name| see("aliases", name, name));
    config.budgets.keys().for_each(|name| see("budgets", name, name));
}

fn check_labels(providers: &[ProviderSpec]) -> Option<ConfigError> {
    let mut labels: Vec<&String> =
        providers.iter().flat_map(|provider| &provider.targets).flat_map(|target| &target.labels).collect();
    labels.sort_unstable();
    labels.dedup();
    let problem = || format!("there are {} labels; the most is {LABELS_MAX}", labels.len());
    (labels.len() > LABELS_MAX).then(|| ConfigError::new("providers.*.labels", problem()))
}

//! What a user can set: plain structs, gathered here and checked once.
//!
//! `Runtime::builder()` edits a [`Config`]; a file deserialises into one. Options of a machine are declared beside
//! the machine. It reads no environment and no file: the program does.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::actors::root::Plan;
use crate::actors::shared::Limits;
use crate::actors::table::{Key, MemberSpec, ProviderSpec, RouteSpec, TargetSpec, Timers, Way};
use crate::catalog;
use crate::policy::admission::{AdmissionOptions, TargetOptions};
use crate::policy::breaker::BreakerOptions;
use crate::policy::failover::FailoverOptions;
use crate::policy::health::HealthOptions;
use crate::policy::restart::RestartOptions;
use crate::policy::routing::RouteOptions;
use crate::transport::{Http, Transport, TransportOptions};
use crate::wire::quirks::{Quirks, percent_encoded};
use crate::words::{Capabilities, ConfigError, Dialect, ModelClass, Price, Secret, TargetId};

/// The most labels of one configuration.
const LABELS_MAX: usize = 63;
/// The longest time that can be set: no clock overflows on it.
const TIME_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// The most calls in flight that can be asked for: what a semaphore can count.
const CALLS_MAX: usize = u32::MAX as usize;

/// Everything a runtime is told.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The providers, by name.
    pub providers: BTreeMap<String, ProviderConfig>,
    /// The routes, by name. Every target can also be asked for directly, as `provider/model`.
    pub routes: BTreeMap<String, RouteConfig>,
    /// How long and how often a call may try, where its route does not say otherwise.
    pub failover: FailoverOptions,
    /// How crashed actors are restarted.
    pub restart: RestartOptions,
    /// The most calls in flight; one more is answered `Overloaded` at once. 10 000.
    pub calls_max: usize,
    /// The longest a caller may leave its stream unread before the call ends. 60 s.
    #[serde(with = "humantime_serde")]
    pub consumer_stall_max: Duration,
    /// Attempts that the ledger remembers one by one; its totals have no limit. 10 000.
    pub ledger_max: usize,
    /// Calls that the flight recorder remembers. 1 000.
    pub recorder_max: usize,
    /// Seed of every draw: the same seed and the same events give the same choices. Drawn at random if it is `None`.
    pub seed: Option<u64>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            providers: BTreeMap::new(),
            routes: BTreeMap::new(),
            failover: FailoverOptions::default(),
            restart: RestartOptions::default(),
            calls_max: 10_000,
            consumer_stall_max: Duration::from_secs(60),
            ledger_max: 10_000,
            recorder_max: 1_000,
            seed: None,
        }
    }
}

/// One provider: an account at a base URL.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderConfig {
    /// Everything before what the dialect appends. Before `/chat/completions`, `/responses` or `/messages`:
    /// `https://api.openai.com/v1`, `https://api.anthropic.com/v1`; at Azure everything before and with `/openai/v1`,
    /// or, for its older addresses, everything before `/openai/deployments`. Before `/models/…`:
    /// `https://generativelanguage.googleapis.com/v1beta` at AI Studio,
    /// `https://{location}-aiplatform.googleapis.com/v1/projects/{project}/locations/{location}/publishers/google`
    /// at Vertex AI.
    pub base_url: String,
    /// How its HTTP speaks.
    #[serde(default)]
    pub dialect: DialectConfig,
    /// Whose accent of OpenAI's dialects it speaks: `openai`, `azure`, `azure-deployments`, `deepseek`, `mistral`,
    /// `qwen`, `groq`, `xai`, `together`, `openrouter`, `perplexity`, `vllm`, `ollama`, `llamacpp` or `generic`, which is
    /// none. By the base URL's host where absent; a local server's host tells nothing.
    #[serde(default)]
    pub flavour: Option<String>,
    /// Parameters added to every address, Azure's `api-version` for one.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// Its keys. They take turns; one that is refused is taken out alone. None is fine for a local server.
    #[serde(default)]
    pub keys: Vec<KeyConfig>,
    /// Its models, by the name the provider knows them by.
    #[serde(default)]
    pub models: BTreeMap<String, ModelConfig>,
    /// Labels of all its models: region, zero retention, … Routes and requests may require them.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Who runs it (a vendor, a cloud, an aggregator); failovers prefer another. The provider's name where absent.
    #[serde(default)]
    pub domain: Option<String>,
    /// Headers sent with every request. Not for keys: they would be printed.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Whether a whole answer, too, is asked for as a stream: only so can a hanging provider be told from a long
    /// thought. On.
    #[serde(default = "yes")]
    pub stream_upstream: bool,
    /// How connections are made.
    #[serde(default)]
    pub transport: TransportOptions,
    /// Tuning of its breakers.
    #[serde(default)]
    pub breaker: BreakerOptions,
    /// Tuning of its health.
    #[serde(default)]
    pub health: HealthOptions,
    /// Another way out than a socket; for tests.
    #[serde(skip)]
    pub custom: Option<Arc<dyn Transport>>,
}

fn yes() -> bool {
    true
}

impl fmt::Debug for ProviderConfig {
    /// Shows where and what, and no headers or parameters: somebody may have put a key there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { base_url, dialect, flavour, keys, models, labels, domain, stream_upstream, .. } = self;
        f.debug_struct("ProviderConfig")
            .field("base_url", base_url)
            .field("dialect", dialect)
            .field("flavour", flavour)
            .field("keys", keys)
            .field("models", models)
            .field("labels", labels)
            .field("domain", domain)
            .field("stream_upstream", stream_upstream)
            .finish_non_exhaustive()
    }
}

impl PartialEq for ProviderConfig {
    fn eq(&self, other: &Self) -> bool {
        let custom = match (&self.custom, &other.custom) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        };
        custom
            && self.base_url == other.base_url
            && self.dialect == other.dialect
            && self.flavour == other.flavour
            && self.query == other.query
            && self.keys == other.keys
            && self.models == other.models
            && self.labels == other.labels
            && self.domain == other.domain
            && self.headers == other.headers
            && self.stream_upstream == other.stream_upstream
            && self.transport == other.transport
            && self.breaker == other.breaker
            && self.health == other.health
    }
}

/// How a provider's HTTP speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum DialectConfig {
    /// OpenAI's chat completions, which most providers speak.
    #[default]
    OpenaiChat,
    /// OpenAI's responses, without state at the provider.
    OpenaiResponses,
    /// Anthropic's messages.
    Anthropic,
    /// Google's `generateContent` at AI Studio, with an API key.
    Gemini,
    /// Google's `generateContent` at Vertex AI, with an access token.
    Vertex,
}

/// One key.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "KeyForm")]
pub struct KeyConfig {
    /// What the ledger and events call it. `key-1`, `key-2`, … where absent.
    pub name: Option<String>,
    /// The key itself.
    pub value: Secret,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum KeyForm {
    Value(String),
    Named { name: Option<String>, value: String },
}

impl From<KeyForm> for KeyConfig {
    fn from(form: KeyForm) -> Self {
        let (name, value) = match form {
            KeyForm::Value(value) => (None, value),
            KeyForm::Named { name, value } => (name, value),
        };
        Self { name, value: Secret::new(value) }
    }
}

/// One model at a provider.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelConfig {
    /// Whether it thinks before it answers: sets first guesses of its latency, and its timers.
    pub reasoning: bool,
    /// What it costs. The catalogue's price where absent; one that is unknown there, too, counts as the dearest known
    /// one of the route.
    pub price: Option<PriceConfig>,
    /// What it cannot do: `tools`, `images`, `json`, `json_schema`. What the catalogue says where absent.
    pub lacks: Option<Vec<Ability>>,
    /// Prompt and answer together, in tokens. What the catalogue says where absent.
    pub context_tokens_max: Option<u32>,
    /// The answer, in tokens. What the catalogue says where absent.
    pub output_tokens_max: Option<u32>,
    /// Labels beside its provider's.
    pub labels: Vec<String>,
    /// The most attempts in flight. 2 048.
    pub in_flight_max: Option<u32>,
    /// The longest an attempt may be without content. From the measured latency where absent: 8 to 30 s, for
    /// reasoning models 60 to 300 s.
    #[serde(with = "humantime_serde")]
    pub first_token: Option<Duration>,
    /// The longest pause between two pieces of content. 15 s, for reasoning models 90 s.
    #[serde(with = "humantime_serde")]
    pub stall: Option<Duration>,
    /// Its usual time to first token, where it is known better than by its class: 1 s, for reasoning models 10 s.
    #[serde(with = "humantime_serde")]
    pub ttft_median: Option<Duration>,
}

/// Something a model can be unable to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ability {
    /// Call tools.
    Tools,
    /// See images.
    Images,
    /// Answer in JSON when told so.
    Json,
    /// Hold an answer to a JSON schema.
    JsonSchema,
}

/// Dollars per million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceConfig {
    /// Prompt tokens.
    pub input: f64,
    /// Answer tokens.
    pub output: f64,
    /// Prompt tokens read from the cache; as `input` where absent.
    #[serde(default)]
    pub cached_input: Option<f64>,
}

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

impl ProviderConfig {
    /// Returns a provider at a base URL that speaks OpenAI's chat completions.
    pub fn new(base_url: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            dialect: DialectConfig::default(),
            flavour: None,
            query: BTreeMap::new(),
            keys: Vec::new(),
            models: BTreeMap::new(),
            labels: Vec::new(),
            domain: None,
            headers: BTreeMap::new(),
            stream_upstream: true,
            transport: TransportOptions::default(),
            breaker: BreakerOptions::default(),
            health: HealthOptions::default(),
            custom: None,
        }
    }

    /// Adds a key.
    #[must_use]
    pub fn key(mut self, value: impl Into<Arc<str>>) -> Self {
        self.keys.push(KeyConfig { name: None, value: Secret::new(value) });
        self
    }

    /// Adds a model with what is usual for it.
    #[must_use]
    pub fn model(self, name: impl Into<String>) -> Self {
        self.model_with(name, ModelConfig::default())
    }

    /// Adds a model.
    #[must_use]
    pub fn model_with(mut self, name: impl Into<String>, model: ModelConfig) -> Self {
        self.models.insert(name.into(), model);
        self
    }
}

impl RouteConfig {
    /// Returns a route over some targets, `provider/model` each, with the adaptive strategy.
    pub fn new<'a>(targets: impl IntoIterator<Item = &'a str>) -> Self {
        Self { targets: targets.into_iter().map(Into::into).collect(), ..Self::default() }
    }
}

impl Config {
    /// Checks everything and returns what the runtime runs by.
    pub(crate) fn check(&self) -> Result<(Limits, Plan), ConfigError> {
        let providers = self
            .providers
            .iter()
            .map(|(name, provider)| provider.check(name, &self.restart))
            .collect::<Result<Vec<_>, _>>()?;
        if providers.iter().all(|provider| provider.targets.is_empty()) {
            return Err(ConfigError::new("providers", "there is no model at any provider; add at least one"));
        }
        check_labels(&providers)?;
        if self.calls_max == 0 || self.calls_max > CALLS_MAX {
            return Err(ConfigError::new("calls_max", format!("must be 1 to {CALLS_MAX}")));
        }
        check_time("consumer_stall_max", self.consumer_stall_max)?;
        check_time("restart.within", self.restart.within)?;
        check_time("restart.rest", self.restart.rest)?;
        check_failover("failover", &self.failover)?;
        let mut routes = Vec::with_capacity(self.routes.len());
        for (name, route) in &self.routes {
            routes.push(route.check(name, &self.failover, &providers)?);
        }
        for target in providers.iter().flat_map(|provider| &provider.targets) {
            let name = target.id.to_string();
            if !self.routes.contains_key(&name) {
                let member = MemberSpec { target: target.id.clone(), tier: 0, weight: 1.0 };
                routes.push(RouteSpec {
                    name: name.into(),
                    options: RouteOptions::default(),
                    failover: self.failover.clone(),
                    members: vec![member],
                    labels: Vec::new(),
                });
            }
        }
        let limits = Limits {
            calls_max: self.calls_max,
            consumer_stall_max: self.consumer_stall_max,
            ledger_max: self.ledger_max,
            recorder_max: self.recorder_max,
            restart: self.restart.clone(),
            seed: self.seed.unwrap_or_else(rand::random),
        };
        Ok((limits, Plan { providers, routes }))
    }
}

impl ProviderConfig {
    fn check(&self, name: &str, restart: &RestartOptions) -> Result<ProviderSpec, ConfigError> {
        let at = |field: &str| format!("providers.{name}.{field}");
        if name.is_empty() || name.contains('/') {
            return Err(ConfigError::new(
                "providers",
                format!("`{name}` is no name: it must not be empty or hold a `/`"),
            ));
        }
        let base_url = self.base_url.trim_end_matches('/').to_owned();
        let host = host(&base_url).ok_or_else(|| {
            let problem = "is no base address; one looks like `https://api.openai.com/v1`, without key or query";
            ConfigError::new(at("base_url"), problem)
        })?;
        let quirks = self.quirks(&base_url).ok_or_else(|| {
            let known: Vec<&str> = Quirks::names().collect();
            ConfigError::new(at("flavour"), format!("is none that is known; there are: {}", known.join(", ")))
        })?;
        let mut headers = http::HeaderMap::new();
        for (header, value) in &self.headers {
            let problem = |what| ConfigError::new(at(&format!("headers.{header}")), format!("is no header {what}"));
            let header = http::HeaderName::try_from(header).map_err(|_| problem("name"))?;
            let value = http::HeaderValue::try_from(value).map_err(|_| problem("value"))?;
            headers.insert(header, value);
        }
        let way = if let Some(custom) = &self.custom {
            Way::Custom(custom.clone())
        } else {
            Http::new(&self.transport).map_err(|problem| ConfigError::new(at("transport"), problem))?;
            Way::Http(self.transport.clone())
        };
        self.health.check(&at("health"))?;
        self.breaker.check(&at("breaker"))?;
        let mut targets = Vec::with_capacity(self.models.len());
        for (model, options) in &self.models {
            targets.push(options.check(&at(&format!("models.{model}")), TargetId::new(name, model.as_str()), self)?);
        }
        let admission = AdmissionOptions {
            targets: self.models.values().map(ModelConfig::target_options).collect(),
            keys: self.keys.len().max(1),
            breaker: self.breaker.clone(),
            health: self.health.clone(),
        };
        Ok(ProviderSpec {
            name: name.into(),
            dialect: match self.dialect {
                DialectConfig::OpenaiChat => Dialect::OpenAiChat,
                DialectConfig::OpenaiResponses => Dialect::OpenAiResponses,
                DialectConfig::Anthropic => Dialect::AnthropicMessages,
                DialectConfig::Gemini => Dialect::Gemini,
                DialectConfig::Vertex => Dialect::Vertex,
            },
            query: self.query(quirks),
            quirks,
            base_url,
            host,
            keys: self.named_keys(&at("keys"))?,
            headers,
            stream_upstream: self.stream_upstream,
            way,
            admission,
            restart: restart.clone(),
            targets,
        })
    }

    /// Returns the accent it speaks with, if it is known.
    fn quirks(&self, base_url: &str) -> Option<&'static Quirks> {
        self.flavour.as_ref().map_or_else(|| Some(Quirks::at(base_url)), |name| Quirks::named(name))
    }

    /// Returns the parameters of every address, those of the accent first; escaped.
    fn query(&self, quirks: &Quirks) -> String {
        let usual = quirks.query.iter().copied().filter(|(name, _)| !self.query.contains_key(*name));
        let own = self.query.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let pairs: Vec<String> = usual
            .chain(own)
            .map(|(name, value)| format!("{}={}", percent_encoded(name), percent_encoded(value)))
            .collect();
        pairs.join("&")
    }

    /// Names the keys; a provider without one has a key of no value.
    fn named_keys(&self, field: &str) -> Result<Vec<Key>, ConfigError> {
        if self.keys.is_empty() {
            return Ok(vec![Key { name: "none".into(), secret: None }]);
        }
        let mut keys: Vec<Key> = Vec::with_capacity(self.keys.len());
        for (at, key) in self.keys.iter().enumerate() {
            let name = key.name.clone().unwrap_or_else(|| format!("key-{}", at + 1));
            if keys.iter().any(|known| *known.name == name) {
                return Err(ConfigError::new(field, format!("two keys are named `{name}`")));
            }
            if key.value.expose().trim().is_empty() {
                return Err(ConfigError::new(field, format!("key `{name}` is empty")));
            }
            if http::HeaderValue::try_from(key.value.expose()).is_err() {
                let problem = format!("key `{name}` holds what no header may, a line break at its end perhaps");
                return Err(ConfigError::new(field, problem));
            }
            keys.push(Key { name: name.into(), secret: Some(key.value.clone()) });
        }
        Ok(keys)
    }
}

impl ModelConfig {
    fn target_options(&self) -> TargetOptions {
        let default = TargetOptions::default();
        TargetOptions {
            class: self.class(),
            in_flight_max: self.in_flight_max.unwrap_or(default.in_flight_max),
            ttft_median: self.ttft_median,
        }
    }

    fn class(&self) -> ModelClass {
        if self.reasoning { ModelClass::Reasoning } else { ModelClass::Chat }
    }

    fn check(&self, field: &str, id: TargetId, provider: &ProviderConfig) -> Result<TargetSpec, ConfigError> {
        let at = |name: &str| format!("{field}.{name}");
        for (name, duration) in
            [("first_token", self.first_token), ("stall", self.stall), ("ttft_median", self.ttft_median)]
        {
            duration.map_or(Ok(()), |duration| check_time(&at(name), duration))?;
        }
        for (name, number) in [
            ("in_flight_max", self.in_flight_max),
            ("context_tokens_max", self.context_tokens_max),
            ("output_tokens_max", self.output_tokens_max),
        ] {
            if number == Some(0) {
                return Err(ConfigError::new(at(name), "must not be 0; leave it out for no limit"));
            }
        }
        let known = catalog::find(&id.model);
        let price = self.price.map(|price| price.check(&at("price"))).transpose()?;
        let price = price.or_else(|| known?.price);
        let usual = known.map(|model| model.capabilities).unwrap_or_default();
        let can = |ability, usual| self.lacks.as_ref().map_or(usual, |lacks| !lacks.contains(&ability));
        let capabilities = Capabilities {
            tools: can(Ability::Tools, usual.tools),
            images: can(Ability::Images, usual.images),
            json: can(Ability::Json, usual.json),
            json_schema: can(Ability::JsonSchema, usual.json_schema),
            context_tokens_max: self.context_tokens_max.or(usual.context_tokens_max),
            output_tokens_max: self.output_tokens_max.or(usual.output_tokens_max),
        };
        let domain = provider.domain.clone().unwrap_or_else(|| id.provider.to_string());
        let labels = provider.labels.iter().chain(&self.labels).cloned().collect();
        let timers = Timers { first_token: self.first_token, stall: self.stall };
        Ok(TargetSpec { id, class: self.class(), price, capabilities, labels, domain, timers })
    }
}

impl PriceConfig {
    fn check(self, field: &str) -> Result<Price, ConfigError> {
        let price =
            Price { input: self.input, cached_input: self.cached_input.unwrap_or(self.input), output: self.output };
        let fine = |dollars: f64| dollars.is_finite() && dollars >= 0.0;
        if fine(price.input) && fine(price.cached_input) && fine(price.output) {
            Ok(price)
        } else {
            Err(ConfigError::new(field, "must be dollars per million tokens, 0 or more"))
        }
    }
}

impl RouteConfig {
    fn check(
        &self,
        name: &str,
        failover: &FailoverOptions,
        providers: &[ProviderSpec],
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
        let known = || providers.iter().flat_map(|provider| &provider.targets);
        let mut members: Vec<MemberSpec> = Vec::with_capacity(self.targets.len());
        for member in &self.targets {
            let target = known().find(|target| target.id.to_string() == member.target).ok_or_else(|| {
                let names: Vec<String> = known().map(|target| target.id.to_string()).collect();
                let problem = format!("no model `{}`; there are: {}", member.target, names.join(", "));
                ConfigError::new(at("targets"), problem)
            })?;
            if members.iter().any(|known| known.target == target.id) {
                return Err(ConfigError::new(at("targets"), format!("`{}` stands there twice", member.target)));
            }
            if !member.weight.is_finite() || member.weight < 0.0 {
                return Err(ConfigError::new(
                    at("targets"),
                    format!("the weight of `{}` must be 0 or more", member.target),
                ));
            }
            members.push(MemberSpec { target: target.id.clone(), tier: member.tier, weight: member.weight });
        }
        let labels = self.labels.clone();
        Ok(RouteSpec { name: name.into(), options: self.options, failover: failover.clone(), members, labels })
    }
}

fn check_failover(field: &str, options: &FailoverOptions) -> Result<(), ConfigError> {
    if options.attempts_max == 0 {
        return Err(ConfigError::new(format!("{field}.attempts_max"), "must be at least 1"));
    }
    check_time(&format!("{field}.deadline"), options.deadline)
}

fn check_labels(providers: &[ProviderSpec]) -> Result<(), ConfigError> {
    let mut labels: Vec<&String> =
        providers.iter().flat_map(|provider| &provider.targets).flat_map(|target| &target.labels).collect();
    labels.sort_unstable();
    labels.dedup();
    if labels.len() > LABELS_MAX {
        let problem = format!("there are {} labels; the most is {LABELS_MAX}", labels.len());
        return Err(ConfigError::new("providers.*.labels", problem));
    }
    Ok(())
}

fn check_time(field: &str, time: Duration) -> Result<(), ConfigError> {
    let fine = !time.is_zero() && time <= TIME_MAX;
    if fine { Ok(()) } else { Err(ConfigError::new(field, "must be longer than 0 s and at most a year")) }
}

/// Returns the host of an address that can be a base: http or https, no credentials, no query.
fn host(url: &str) -> Option<String> {
    let uri: http::Uri = url.parse().ok()?;
    let base = matches!(uri.scheme_str(), Some("http" | "https")) && uri.query().is_none();
    let without_key = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
    uri.host().filter(|_| base && without_key).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(provider: ProviderConfig) -> Result<ProviderSpec, ConfigError> {
        provider.check("p", &RestartOptions::default())
    }

    #[test]
    fn the_accent_follows_from_the_host_unless_it_is_named() {
        let named =
            |flavour: &str| ProviderConfig { flavour: Some(flavour.into()), ..ProviderConfig::new("http://x/v1") };
        for (provider, expected) in [
            (ProviderConfig::new("https://api.mistral.ai/v1"), "mistral"),
            (ProviderConfig::new("http://x/v1"), "generic"),
            (named("vllm"), "vllm"),
        ] {
            assert_eq!(checked(provider).expect("a good provider").quirks.name, expected);
        }
        let error = checked(named("klingon")).expect_err("no such accent");
        assert_eq!(error.field, "providers.p.flavour");
        assert!(error.problem.contains("openai, azure"), "{}", error.problem);
    }

    #[test]
    fn an_address_has_the_accents_parameters_and_the_configured_ones() {
        let with = |base_url: &str, query: &[(&str, &str)]| {
            let query = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            checked(ProviderConfig { query, ..ProviderConfig::new(base_url) }).expect("a good provider")
        };
        let azure = "https://r.openai.azure.com";
        for (provider, path, expected) in [
            (with("https://x/v1/", &[]), "/c", "https://x/v1/c"),
            (with("https://x/v1", &[("a b", "c&d")]), "/c", "https://x/v1/c?a%20b=c%26d"),
            (with("https://x/v1", &[("a", "b"), ("c", "d")]), "/c?alt=sse", "https://x/v1/c?alt=sse&a=b&c=d"),
            (with(azure, &[]), "/c", "https://r.openai.azure.com/c?api-version=2024-10-21"),
            (with(azure, &[("api-version", "v9")]), "/c", "https://r.openai.azure.com/c?api-version=v9"),
            (with("https://r.openai.azure.com/openai/v1", &[]), "/c", "https://r.openai.azure.com/openai/v1/c"),
        ] {
            assert_eq!(provider.url(path), expected);
        }
    }

    #[test]
    fn a_providers_debug_shows_no_parameters() {
        let query = BTreeMap::from([("key".to_owned(), "sk-secret".to_owned())]);
        let provider = ProviderConfig { query, ..ProviderConfig::new("http://x/v1") };
        assert!(!format!("{provider:?}").contains("sk-secret"));
    }
}

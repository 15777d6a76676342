//! A provider as a user sets it: where it is, how it speaks, with which keys.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;

use super::key::KeyConfig;
use super::model::ModelConfig;
use crate::actors::table::{Key, ProviderSpec, Way};
use crate::policy::admission::AdmissionOptions;
use crate::policy::breaker::BreakerOptions;
use crate::policy::health::HealthOptions;
use crate::policy::restart::RestartOptions;
use crate::transport::{Http, Transport, TransportOptions};
use crate::wire::quirks::{Quirks, percent_encoded};
use crate::words::{ConfigError, Dialect, Secret, TargetId};

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
    /// Ollama's own chat; the base URL is without `/v1`.
    Ollama,
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

impl ProviderConfig {
    pub(super) fn check(&self, name: &str, restart: &RestartOptions) -> Result<ProviderSpec, ConfigError> {
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
                DialectConfig::Ollama => Dialect::Ollama,
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

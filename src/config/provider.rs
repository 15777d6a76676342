//! A provider as a user sets it: its address, dialect and keys.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use ractor::{ActorRef, Message, RpcReplyPort};
use serde::Deserialize;

use super::address;
use super::carrier::check_way;
use super::dialect::DialectConfig;
use super::function::{Answer, Function, ask};
use super::key::KeyConfig;
use super::model::{HostOfModels, ModelConfig};
use super::presets::{Bills, Preset, known};
use super::times::check_wait;
use crate::policy::admission::AdmissionOptions;
use crate::policy::breaker::BreakerOptions;
use crate::policy::health::HealthOptions;
use crate::policy::hint::HintOptions;
use crate::policy::probe::ProbeOptions;
use crate::policy::restart::RestartOptions;
use crate::spec::{BasePath, KeySpec, ProviderSpec, ProviderTransport, TargetSpec};
use crate::transport::{Transport, TransportOptions};
use crate::wire::authorize;
use crate::wire::flavour::{Flavour, GENERIC, percent_encoded};
use crate::words::{ChatRequest, ConfigError, Failure, Secret, TargetId, header, meant};

/// One provider: an account at a base URL. Its default is the preset of the name that it gets.
#[derive(Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProviderConfig {
    /// Which known provider it is, by name (`openai`, `anthropic`, …: [`presets`](super::presets())), which gives
    /// everything that is not set here. Default: the preset of its own name, where there is one.
    pub preset: Option<String>,
    /// The resource's name at Azure.
    pub resource: Option<String>,
    /// The project's id at Vertex AI.
    pub project: Option<String>,
    /// The location at Vertex AI: `global`, `us-east5`, …
    pub location: Option<String>,
    /// The part of the address before what the dialect appends. Default: the preset's. Before `/chat/completions`,
    /// `/responses` or `/messages`: `https://api.openai.com/v1`, `https://api.anthropic.com/v1`; at Azure everything
    /// before and with `/openai/v1`, or, for its older addresses, everything before `/openai/deployments`. Before
    /// `/models/…`: `https://generativelanguage.googleapis.com/v1beta` at AI Studio,
    /// `https://{location}-aiplatform.googleapis.com/v1/projects/{project}/locations/{location}/publishers/google` at
    /// Vertex AI, with `anthropic` at the end for Claude.
    pub base_url: Option<String>,
    /// The dialect of its HTTP. Default: the preset's, else OpenAI's chat completions.
    pub dialect: Option<DialectConfig>,
    /// The flavour that it speaks, by a name of docs/providers.md: `openai`, `azure`, …, or `generic`, which means
    /// none. Default: the preset's, else by the base URL's host; the host of a local server does not tell.
    pub flavour: Option<String>,
    /// Parameters added to every address, Azure's `api-version` for one.
    pub query: BTreeMap<String, String>,
    /// Its keys. The one with the most headroom goes first, equals take turns; one that is refused is taken out alone.
    /// A local server needs none.
    pub keys: Vec<KeyConfig>,
    /// Its models, by the name the provider knows them by. Where there are none, those of the catalogue that the
    /// preset's vendor makes; hosts of others' models serve only what is named.
    pub models: BTreeMap<String, ModelConfig>,
    /// Labels of all its models: region, zero retention, … Routes and requests may require them.
    pub labels: Vec<String>,
    /// The company that runs it (a vendor, a cloud, an aggregator); failovers prefer another company. Default: the
    /// preset's, else the provider's name.
    pub domain: Option<String>,
    /// Headers sent with every request. Not for keys: they would be printed. A header that frames the message or says
    /// how a body is written is refused.
    pub headers: BTreeMap<String, String>,
    /// Whether a whole answer, too, is asked for as a stream: only then can a hanging provider be told from a long
    /// thought. Default: yes, except for a request that came to the sidecar in this provider's own dialect, which goes
    /// out unchanged.
    pub stream_upstream: Option<bool>,
    /// How connections are made.
    pub transport: TransportOptions,
    /// Tuning of its breakers.
    pub breaker: BreakerOptions,
    /// Tuning of its health.
    pub health: HealthOptions,
    /// Sources of hints: a status page, a health address of its server.
    pub hints: HintOptions,
    /// Requests of our own to targets that are out, and what they may cost. None, where absent.
    pub probe: Option<ProbeOptions>,
    /// Another way out than a socket; for tests.
    #[serde(skip)]
    pub custom: Option<Arc<dyn Transport>>,
}

impl fmt::Debug for ProviderConfig {
    /// Shows addresses and models, and no headers or parameters: a user may have put a key there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            preset,
            resource,
            project,
            location,
            base_url,
            dialect,
            flavour,
            keys,
            models,
            labels,
            domain,
            stream_upstream,
            ..
        } = self;
        f.debug_struct("ProviderConfig")
            .field("preset", preset)
            .field("resource", resource)
            .field("project", project)
            .field("location", location)
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

impl ProviderConfig {
    /// Returns a provider at a base URL. It speaks OpenAI's chat completions, unless it gets the name of a
    /// [preset](super::presets()), which then says what is not set.
    pub fn new(base_url: impl Into<String>) -> Self {
        Self { base_url: Some(base_url.into()), ..Self::default() }
    }

    /// Returns a provider that is known by name; [`presets`](super::presets()) lists them. Fields that are set go
    /// before the preset.
    pub fn preset(name: impl Into<String>) -> Self {
        Self { preset: Some(name.into()), ..Self::default() }
    }

    /// Returns OpenAI, by chat completions.
    pub fn openai() -> Self {
        Self::preset("openai")
    }

    /// Returns Anthropic at its public address; its models are those of the catalogue.
    pub fn anthropic() -> Self {
        Self::preset("anthropic")
    }

    /// Returns Google's AI Studio.
    pub fn gemini() -> Self {
        Self::preset("gemini")
    }

    /// Returns Google's Vertex AI for a project at a location, with Google's models.
    pub fn vertex(project: impl Into<String>, location: impl Into<String>) -> Self {
        Self { project: Some(project.into()), location: Some(location.into()), ..Self::preset("vertex") }
    }

    /// Returns a resource at Azure.
    pub fn azure(resource: impl Into<String>) -> Self {
        Self { resource: Some(resource.into()), ..Self::preset("azure") }
    }

    /// Returns OpenRouter at its public address; it serves the models that are named.
    pub fn openrouter() -> Self {
        Self::preset("openrouter")
    }

    /// Returns Ollama on this machine.
    pub fn ollama() -> Self {
        Self::preset("ollama")
    }

    /// Returns a provider that is a function of this program: a model that runs in it, a library, or a text for the
    /// case that no other target answers. It is a provider like all others: supervised, timed, measured, with breakers;
    /// a panic in it ends only that attempt. It takes requests in the common form, opens no socket and costs nothing,
    /// so give it a tier of its own if it is to be asked last.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use standin::{ChatRequest, ProviderConfig, RouteConfig, Runtime};
    ///
    /// let local = ProviderConfig::from_fn(|request| async move { Ok(format!("You said: {}", request.question())) });
    /// let runtime = Runtime::builder()
    ///     .provider("openai", ProviderConfig::new("http://127.0.0.1:9/v1").model("gpt-5-mini"))
    ///     .provider("local", local.model("echo"))
    ///     .route("smart", RouteConfig::new(["openai/gpt-5-mini"]).tier(1, ["local/echo"]))
    ///     .start()
    ///     .await?;
    /// let reply = runtime.chat(ChatRequest::new("smart").user("hello")).await?;
    /// assert_eq!((reply.text.as_str(), &*reply.finished.target.provider), ("You said: hello", "local"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// An [`Answer`] may also call tools or come in pieces. A [`Failure`] has a class, as every other provider's:
    /// `Server` for trouble that may pass, `Declined` for requests that this function does not serve, `RateLimited`
    /// with the time to wait.
    pub fn from_fn<F, Fut, A>(function: F) -> Self
    where
        F: Fn(ChatRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<A, Failure>> + Send + 'static,
        A: Into<Answer>,
    {
        let custom: Arc<dyn Transport> = Arc::new(Function::new(function));
        // A reserved address: it is shown, and never contacted.
        let base_url = Some("http://function.invalid".to_owned());
        Self { base_url, dialect: Some(DialectConfig::Function), custom: Some(custom), ..Self::default() }
    }

    /// Returns a provider that is an actor of this program: it is asked by messages, each with a conversation and a
    /// port for its [`Answer`]. Everything else is as with a [function](Self::from_fn). An actor that does not run, or
    /// drops its port, has failed as a server does; one whose caller has left finds its port closed.
    ///
    /// ```
    /// use standin::ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
    /// use standin::{Answer, ChatRequest, Failure, ProviderConfig, Runtime};
    ///
    /// struct Local;
    ///
    /// enum Ask {
    ///     Answer(Box<ChatRequest>, RpcReplyPort<Result<Answer, Failure>>),
    /// }
    /// # #[cfg(feature = "cluster")]
    /// # impl standin::ractor::Message for Ask {}
    ///
    /// #[cfg_attr(feature = "async-trait", standin::ractor::async_trait)]
    /// impl Actor for Local {
    ///     type Msg = Ask;
    ///     type State = u32;
    ///     type Arguments = ();
    ///
    ///     async fn pre_start(&self, _: ActorRef<Ask>, (): ()) -> Result<u32, ActorProcessingErr> {
    ///         Ok(0)
    ///     }
    ///
    ///     async fn handle(&self, _: ActorRef<Ask>, ask: Ask, asked: &mut u32) -> Result<(), ActorProcessingErr> {
    ///         let Ask::Answer(request, port) = ask;
    ///         *asked += 1;
    ///         port.send(Ok(format!("{asked}: {}", request.question()).into()))?;
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), standin::Report> {
    /// let (local, _) = Actor::spawn(None, Local, ()).await?;
    /// let provider = ProviderConfig::from_actor(local, Ask::Answer).model("echo");
    /// let runtime = Runtime::builder().provider("local", provider).start().await?;
    /// assert_eq!(runtime.chat(ChatRequest::new("local/echo").user("hello")).await?.text, "1: hello");
    /// # Ok(())
    /// # }
    /// ```
    pub fn from_actor<M: Message>(
        actor: ActorRef<M>,
        message: impl Fn(Box<ChatRequest>, RpcReplyPort<Result<Answer, Failure>>) -> M + Clone + Send + Sync + 'static,
    ) -> Self {
        Self::from_fn(move |request| ask(actor.clone(), message.clone(), request))
    }

    /// Sets a transport other than sockets: a scripted provider of a test, or any other carrier of requests.
    #[must_use]
    pub fn over(mut self, transport: impl Transport) -> Self {
        self.custom = Some(Arc::new(transport));
        self
    }

    /// Adds a key.
    #[must_use]
    pub fn key(self, value: impl Into<Arc<str>>) -> Self {
        self.key_from(KeyConfig::value(value))
    }

    /// Adds a key that is read from a variable of the environment when it is first needed. Without that variable this
    /// provider is skipped, and errors say that it is not set; they do not repeat its name.
    #[must_use]
    pub fn key_env(self, variable: impl Into<String>) -> Self {
        self.key_from(KeyConfig::env(variable))
    }

    /// Adds a key from a source.
    #[must_use]
    pub fn key_from(mut self, key: KeyConfig) -> Self {
        self.keys.push(key);
        self
    }

    /// Adds a model with its usual settings.
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

/// What follows a base address, and is often copied with it.
const ENDPOINTS: [&str; 5] = ["/chat/completions", "/completions", "/embeddings", "/responses", "/messages"];

impl ProviderConfig {
    /// Returns its specification, if all of it is valid.
    pub(super) fn check(
        &self,
        name: &str,
        restart: &RestartOptions,
        errors: &mut Vec<ConfigError>,
    ) -> Option<ProviderSpec> {
        let before = errors.len();
        let at = |field: &str| format!("providers.{name}.{field}");
        if name.contains('/') {
            let problem = format!("`{name}` is no name: it must not hold a `/`");
            errors.push(ConfigError::new("providers", problem));
            return None;
        }
        let preset = self.find_preset(name).map_err(|error| errors.push(error));
        let preset = preset.ok().flatten();
        let (base_url, host) = self.check_address(preset, &at, errors);
        let dialect = self.dialect.or(preset.map(|preset| preset.dialect)).unwrap_or_default();
        let flavour = self.flavour(preset, base_url.as_deref().unwrap_or_default());
        if flavour.is_none() {
            let names: Vec<&str> = Flavour::names().collect();
            let meant = meant(self.flavour.as_deref().unwrap_or_default(), names);
            errors.push(ConfigError::new(at("flavour"), format!("is unknown; {meant}")));
        }
        errors.extend(self.check_key(preset, &at("keys")));
        let keys = self.named_keys(&at("keys"), errors);
        let headers = self.check_headers(dialect, flavour, &at, errors);
        let way = match &self.custom {
            Some(custom) => ProviderTransport::Custom(custom.clone()),
            None => ProviderTransport::Http(self.transport.clone()),
        };
        self.check_options(&at, errors);
        let models = match self.served(preset, dialect, &at) {
            Ok(models) => models,
            Err(error) => {
                errors.push(error);
                Cow::Borrowed(&self.models)
            }
        };
        let of_models = HostOfModels {
            preset: preset.map(|preset| preset.name),
            bills: match preset {
                Some(preset) => preset.bills,
                None if dialect == DialectConfig::Function => Bills::Nothing,
                None => Bills::AsVendor,
            },
            domain: self.domain.as_deref().or(preset.and_then(|preset| preset.domain)).unwrap_or(name),
            labels: &self.labels,
        };
        let targets: Vec<TargetSpec> = models
            .iter()
            .map(|(model, options)| {
                let id = TargetId::new(name, model.as_str());
                let spec = options.check(&at(&format!("models.{model}")), id, of_models, errors);
                TargetSpec { named: self.models.contains_key(model), ..spec }
            })
            .collect();
        let options = targets.iter().zip(models.values()).map(|(spec, model)| model.target_options(spec.class));
        let admission = AdmissionOptions {
            targets: options.collect(),
            keys: self.keys.len().max(1),
            breaker: self.breaker.clone(),
            health: self.health.clone(),
        };
        if errors.len() > before {
            return None;
        }
        let (flavour, base_url) = (flavour?, base_url?);
        Some(ProviderSpec {
            name: name.into(),
            dialect: dialect.into(),
            query: self.query(flavour),
            flavour,
            base_path: address::base_path(&base_url, name, preset, dialect, flavour.name),
            base_url,
            host: host?,
            keys,
            headers,
            stream_upstream: self.stream_upstream,
            way,
            admission,
            restart: restart.clone(),
            hints: self.hints.clone(),
            probe: self.probe.clone(),
            targets,
        })
    }

    /// Returns its base URL and that one's host.
    fn check_address(
        &self,
        preset: Option<&Preset>,
        at: &dyn Fn(&str) -> String,
        errors: &mut Vec<ConfigError>,
    ) -> (Option<String>, Option<String>) {
        let base_url = self.address(preset, at).unwrap_or_else(|error| {
            errors.push(error);
            None
        });
        let Some(url) = base_url.as_deref() else { return (None, None) };
        let host = host(url);
        if host.is_none() {
            let usual = preset.map_or("https://api.openai.com/v1", |preset| preset.base_url);
            let problem = format!(
                "is no base address; one looks like \"{usual}\", without key or query, its port 1 to 65535 where it has \
                 one"
            );
            errors.push(ConfigError::new(at("base_url"), problem));
        }
        if let Some(path) = ENDPOINTS.into_iter().find(|path| url.ends_with(path)) {
            let problem = format!("names an endpoint; leave `{path}` off: it is added to a base address");
            errors.push(ConfigError::new(at("base_url"), problem));
        }
        (base_url, host)
    }

    /// Returns the headers of its requests beside the key's.
    fn check_headers(
        &self,
        dialect: DialectConfig,
        flavour: Option<&'static Flavour>,
        at: &dyn Fn(&str) -> String,
        errors: &mut Vec<ConfigError>,
    ) -> http::HeaderMap {
        let mut headers = http::HeaderMap::new();
        for (header, value) in &self.headers {
            let problem = |what: &str| ConfigError::new(at(&format!("headers.{header}")), what.to_owned());
            match (header_name(header), http::HeaderValue::try_from(value)) {
                (Err(what), _) => errors.push(problem(what)),
                (_, Err(_)) => errors.push(problem("is no header value")),
                (Ok(header), Ok(mut value)) => {
                    value.set_sensitive(header::is_of_key(&header));
                    headers.insert(header, value);
                }
            }
        }
        if let Some(name) = flavour.and_then(|flavour| self.replaced_header(dialect, flavour)) {
            let problem = "is replaced by the key, which goes in this header; leave it out, or leave `keys` out";
            errors.push(ConfigError::new(at(&format!("headers.{name}")), problem));
        }
        headers
    }

    fn check_options(&self, at: &dyn Fn(&str) -> String, errors: &mut Vec<ConfigError>) {
        check_way(&at("transport"), &self.transport, errors);
        let times = [
            check_wait(&at("breaker.retry_after_max"), self.breaker.retry_after_max),
            check_wait(&at("breaker.ramp_step_min"), self.breaker.ramp_step_min),
        ];
        errors.extend(times.into_iter().filter_map(Result::err));
        errors.extend(self.health.check(&at("health")));
        errors.extend(self.breaker.check(&at("breaker")));
        errors.extend(self.hints.check(&at("hints")));
        errors.extend(self.probe.iter().flat_map(|probe| probe.check(&at("probe"))));
    }

    /// Returns the base URL that was probably meant, where the one that is set lacks the path of a known provider or
    /// server: `http://127.0.0.1:11434/v1` for Ollama's `http://127.0.0.1:11434`. `name` is the provider's own.
    ///
    /// ```
    /// use standin::ProviderConfig;
    ///
    /// let provider = ProviderConfig::new("https://api.openai.com");
    /// assert_eq!(provider.meant_base_url("mine").as_deref(), Some("https://api.openai.com/v1"));
    /// ```
    pub fn meant_base_url(&self, name: &str) -> Option<String> {
        let base_url = self.base_url.as_deref()?.trim_end_matches('/');
        let preset = self.find_preset(name).ok()?;
        let dialect = self.dialect.or(preset.map(|preset| preset.dialect)).unwrap_or_default();
        match address::base_path(base_url, name, preset, dialect, self.flavour(preset, base_url)?.name) {
            BasePath::Meant(meant) => Some(meant),
            BasePath::Whole | BasePath::Unversioned => None,
        }
    }

    /// Returns the address that it has under a name unless it sets one: that of its preset, with its placeholders.
    pub fn usual_base_url(&self, name: &str) -> Option<&'static str> {
        Preset::named(self.preset.as_deref().unwrap_or(name)).map(|preset| preset.base_url)
    }

    /// Returns its preset, if it has one.
    fn find_preset(&self, name: &str) -> Result<Option<&'static Preset>, ConfigError> {
        let refuse = |field: &str, problem: String| Err(ConfigError::new(format!("providers.{name}.{field}"), problem));
        match (&self.preset, Preset::named(self.preset.as_deref().unwrap_or(name))) {
            (Some(_), Some(preset)) => Ok(Some(preset)),
            (Some(unknown), None) => refuse("preset", format!("is unknown; {}", known(unknown))),
            (None, None) if self.base_url.is_none() => refuse(
                "base_url",
                format!("is not set, and no preset is named `{name}`: set it, or `preset`; {}", known(name)),
            ),
            // A function of this program is what it is, whatever it is called.
            (None, preset) => Ok(preset.filter(|_| self.dialect != Some(DialectConfig::Function))),
        }
    }

    /// Returns the header of its own that its keys are sent in.
    fn replaced_header(&self, dialect: DialectConfig, flavour: &Flavour) -> Option<&str> {
        let mut of_key = http::HeaderMap::new();
        if !self.keys.is_empty() {
            authorize(dialect.into(), flavour, &Secret::new("key"), &mut of_key).ok()?;
        }
        self.headers.keys().map(String::as_str).find(|name| of_key.contains_key(*name))
    }

    /// Returns its base URL, its own or its preset's with its placeholders for a resource, a project or a location
    /// filled in; none, where there is no preset to take it from.
    fn address(&self, preset: Option<&Preset>, at: &dyn Fn(&str) -> String) -> Result<Option<String>, ConfigError> {
        let Some(url) = self.base_url.as_deref().or(preset.map(|preset| preset.base_url)) else { return Ok(None) };
        let mut url = url.to_owned();
        for (field, value) in [("resource", &self.resource), ("project", &self.project), ("location", &self.location)] {
            let place = format!("{{{field}}}");
            let plain =
                |value: &String| value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte));
            match value {
                None if !url.contains(&place) => {}
                None => return Err(ConfigError::new(at(field), "is not set, and it is part of `base_url`")),
                Some(_) if !url.contains(&place) => {
                    return Err(ConfigError::new(at(field), "is set, and it has no place in `base_url`"));
                }
                Some(value) if value.is_empty() || !plain(value) => {
                    let problem = "must be a name of letters, digits, dashes, dots and colons";
                    return Err(ConfigError::new(at(field), problem));
                }
                Some(value) => url = url.replace(&place, value),
            }
        }
        // Google's global location has a host without a location.
        Ok(Some(url.trim_end_matches('/').replace("//global-", "//")))
    }

    /// Returns its models: those that are named, else all of its preset's vendor.
    fn served(
        &self,
        preset: Option<&Preset>,
        dialect: DialectConfig,
        at: &dyn Fn(&str) -> String,
    ) -> Result<Cow<'_, BTreeMap<String, ModelConfig>>, ConfigError> {
        const NAME_THEM: &str = "as `models.\"NAME\" = {}`: each by its name there";
        let problem = match preset {
            _ if !self.models.is_empty() => return Ok(Cow::Borrowed(&self.models)),
            Some(preset) if preset.serves.is_some() => {
                let own = preset.models(dialect).map(|id| (id.to_owned(), ModelConfig::default()));
                return Ok(Cow::Owned(own.collect()));
            }
            Some(preset) => format!("is empty; `{}` serves only models that are named, {NAME_THEM}", preset.name),
            None => format!("is empty; name what this `base_url` serves, {NAME_THEM}"),
        };
        Err(ConfigError::new(at("models"), problem))
    }

    /// Returns the names of its models, valid or not; none, where they cannot be told.
    pub(super) fn models_written(&self, name: &str) -> Option<Vec<&str>> {
        if !self.models.is_empty() {
            return Some(self.models.keys().map(String::as_str).collect());
        }
        let preset = self.find_preset(name).ok()??;
        preset.serves.map(|_| preset.models(self.dialect.unwrap_or(preset.dialect)).collect())
    }

    /// Reports a preset that needs a key and has none. If the user sets an address or a transport, a proxy there may
    /// hold the key.
    fn check_key(&self, preset: Option<&Preset>, field: &str) -> Option<ConfigError> {
        let own_way = self.base_url.is_some() || self.custom.is_some();
        let Preset { name, env, .. } =
            preset.filter(|preset| self.keys.is_empty() && preset.wants_key() && !own_way)?;
        let usual = env.map_or(String::new(), |env| {
            format!("; the environment usually holds it: `keys = [{{ env = \"{env}\" }}]`")
        });
        Some(ConfigError::new(field, format!("is empty, and `{name}` needs a key{usual}")))
    }

    /// Returns the flavour it speaks with, if it is known.
    fn flavour(&self, preset: Option<&Preset>, base_url: &str) -> Option<&'static Flavour> {
        match (self.flavour.as_deref().or(preset.and_then(|preset| preset.flavour)), preset) {
            (Some(name), _) => Flavour::named(name),
            (None, preset) => {
                // A preset keeps its flavour behind another address, a proxy's for one. An address that tells says more
                // than a name that is only the provider's own.
                let of_host = Flavour::at(base_url);
                let kept = preset.filter(|_| self.preset.is_some() || of_host.name == GENERIC.name);
                Some(kept.map_or(of_host, |preset| Flavour::at(preset.base_url)))
            }
        }
    }

    /// Returns the parameters of every address, those of the flavour first; escaped.
    fn query(&self, flavour: &Flavour) -> String {
        let usual = flavour.query.iter().copied().filter(|(name, _)| !self.query.contains_key(*name));
        let own = self.query.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let pairs: Vec<String> = usual
            .chain(own)
            .map(|(name, value)| format!("{}={}", percent_encoded(name), percent_encoded(value)))
            .collect();
        pairs.join("&")
    }

    /// Names the keys; a provider without one has a key of no source.
    fn named_keys(&self, field: &str, errors: &mut Vec<ConfigError>) -> Vec<KeySpec> {
        if self.keys.is_empty() {
            return vec![KeySpec { name: "none".into(), source: None, expires_in: None }];
        }
        let mut keys: Vec<KeySpec> = Vec::with_capacity(self.keys.len());
        for (at, key) in self.keys.iter().enumerate() {
            let field = format!("{field}[{at}]");
            let name = key.name.clone().unwrap_or_else(|| format!("key-{}", at + 1));
            if keys.iter().any(|known| *known.name == name) {
                errors.push(ConfigError::new(&field, "has another key's name".to_owned()));
            }
            match key.check(&field, name) {
                Ok(key) => keys.push(key),
                Err(error) => errors.push(error),
            }
        }
        keys
    }
}

/// Returns the name of a header that a provider's configuration may set.
///
/// # Errors
/// If it is none, or is not the user's to set: what is wrong with it.
pub fn header_name(name: &str) -> Result<http::HeaderName, &'static str> {
    let name = http::HeaderName::try_from(name).map_err(|_| "is no header name")?;
    header::taken(&name).map_or(Ok(name), Err)
}

/// Returns the host of an address that can be a base: http or https, no credentials, no query.
fn host(url: &str) -> Option<String> {
    let uri: http::Uri = url.parse().ok()?;
    let base = matches!(uri.scheme_str(), Some("http" | "https")) && uri.query().is_none();
    let without_key = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
    let host = uri.host()?;
    let port = uri.authority()?.as_str().rsplit_once(host)?.1;
    let real_port = port.is_empty() || uri.port_u16().is_some_and(|port| port > 0);
    (base && without_key && real_port).then(|| host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PriceConfig;
    use crate::words::{Date, ModelClass};

    fn checked(provider: ProviderConfig) -> Result<ProviderSpec, ConfigError> {
        let mut errors = Vec::new();
        let provider = if provider.models.is_empty() { provider.model("m") } else { provider };
        let spec = provider.check("p", &RestartOptions::default(), &mut errors);
        spec.ok_or_else(|| errors.swap_remove(0))
    }

    #[test]
    fn a_header_that_a_key_would_replace_is_refused() {
        let with = |preset: &str, header: &str, keys: &[&str]| {
            let own = ProviderConfig { preset: Some(preset.into()), ..ProviderConfig::new("http://x/v1") };
            let own = keys.iter().fold(own, |own, key| own.key(*key));
            let headers = [(header.to_owned(), "other".to_owned())].into();
            checked(ProviderConfig { headers, ..own }).err().map(|error| error.field)
        };
        for (preset, header) in [
            ("openai", "Authorization"),
            ("anthropic", "x-api-key"),
            ("gemini", "X-Goog-Api-Key"),
            ("azure", "api-key"),
        ] {
            let field = format!("providers.p.headers.{header}");
            assert_eq!(with(preset, header, &["k"]), Some(field));
            // Without a key it is the user's way to send one, and a gateway may want another beside the key.
            assert_eq!((with(preset, header, &[]), with(preset, "x-gateway-key", &["k"])), (None, None));
        }
    }

    #[test]
    fn the_flavour_follows_from_the_host_unless_it_is_named() {
        let named =
            |flavour: &str| ProviderConfig { flavour: Some(flavour.into()), ..ProviderConfig::new("http://x/v1") };
        for (provider, expected) in [
            (ProviderConfig::new("https://api.mistral.ai/v1"), "mistral"),
            (ProviderConfig::new("http://x/v1"), "generic"),
            (named("vllm"), "vllm"),
        ] {
            assert_eq!(checked(provider).expect("a good provider").flavour.name, expected);
        }
        let error = checked(named("klingon")).expect_err("no such flavour");
        assert_eq!(error.field, "providers.p.flavour");
        assert!(error.problem.contains("openai, azure"), "{}", error.problem);
    }

    #[test]
    fn an_address_has_the_flavours_parameters_and_the_configured_ones() {
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

    #[test]
    fn a_models_price_is_its_hosts_price() {
        let price = |preset: &str, model: &str, options: ModelConfig| {
            let provider = ProviderConfig::preset(preset).key("k").model_with(model, options);
            let provider = ProviderConfig { resource: (preset == "azure").then(|| "r".into()), ..provider };
            checked(provider).expect(preset).targets.remove(0).price.map(|price| price.rates.input)
        };
        let plain = ModelConfig::default;
        let mini = || ModelConfig { same_as: Some("gpt-5-mini".into()), ..plain() };
        let own = PriceConfig::new(7.0, 7.0);
        for (preset, model, options, expected) in [
            ("openai", "gpt-5-mini", plain(), Some(0.25)),
            ("openai", "my-own", plain(), None),
            ("azure", "my-own", mini(), Some(0.25)),
            ("azure", "my-own", ModelConfig { price: Some(own), ..mini() }, Some(7.0)),
            ("openrouter", "openai/gpt-5-mini", plain(), Some(0.25)),
            ("openrouter", "deepseek/deepseek-v4-pro", plain(), None),
            ("deepseek", "deepseek-v4-pro", plain(), Some(1.32)),
            ("qwen", "deepseek-v4-pro", plain(), Some(2.4)),
            ("groq", "deepseek-v4-pro", plain(), None),
            ("litellm", "gpt-5-mini", plain(), Some(0.25)),
            ("ollama", "deepseek-r1", plain(), Some(0.0)),
        ] {
            assert_eq!(price(preset, model, options), expected, "{preset} {model}");
        }
        let anywhere = ProviderConfig::new("http://x/v1").model("gpt-5-mini");
        assert!(checked(anywhere).expect("a good provider").targets[0].price.is_some());
    }

    #[test]
    fn the_catalogue_applies_to_a_models_deployments_and_the_configuration_goes_first() {
        let target = |options: ModelConfig| {
            let provider = ProviderConfig::azure("r").key("k").model_with("fast", options);
            checked(provider).expect("a good provider").targets.remove(0)
        };
        let known = ModelConfig { same_as: Some("gpt-5-mini-2025-08-07".into()), ..ModelConfig::default() };
        let found = target(known.clone());
        assert_eq!(
            (found.family.as_str(), found.class, found.domain.as_str()),
            ("gpt-5-mini", ModelClass::Reasoning, "azure")
        );
        assert_eq!((found.capabilities.context_tokens_max, found.retires), (Some(400_000), Date::parse("2026-12-11")));
        let day = Date::parse("2027-01-01");
        let said = ModelConfig { reasoning: Some(false), context_tokens_max: Some(9), retires: day, ..known };
        let found = target(said);
        assert_eq!(
            (found.class, found.capabilities.context_tokens_max, found.retires),
            (ModelClass::Chat, Some(9), day)
        );
        let unknown = target(ModelConfig::default());
        assert_eq!((unknown.family.as_str(), unknown.class, unknown.retires), ("fast", ModelClass::Chat, None));
    }

    #[test]
    fn a_last_day_is_read_or_refused_with_an_example() {
        let read = |day: &str| serde_json::from_value::<ModelConfig>(serde_json::json!({"retires": day}));
        assert_eq!(read("2026-12-11").expect("a day").retires, Date::parse("2026-12-11"));
        assert!(read("soon").expect_err("no day").to_string().contains("one looks like 2026-12-11"));
    }

    #[test]
    fn the_company_that_runs_a_preset_is_its_domain_unless_it_is_the_users_own_or_said() {
        for (provider, expected) in [
            (ProviderConfig::preset("openai-responses").key("k"), "openai"),
            (ProviderConfig::vertex("p", "global").key("k"), "google"),
            (ProviderConfig::ollama(), "p"),
            (ProviderConfig { domain: Some("d".into()), ..ProviderConfig::openai().key("k") }, "d"),
        ] {
            assert_eq!(checked(provider.model("m")).expect("a good provider").targets[0].domain, expected);
        }
    }
}

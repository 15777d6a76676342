//! What the sidecar is told: one TOML file of a `[server]` table and the runtime's configuration.
//!
//! In flows a text and a way to look up the environment, out flow settings or an error that names the field and the
//! remedy. `${NAME}` in any text stands for a variable of the environment, `${NAME:-other}` for that or another text.

use std::collections::HashSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::Deserialize;
use toml::{Table, Value};

use super::access::ClientKey;
use super::blind;
use super::tls::{TlsConfig, acceptor};
use crate::config::{Config, check_time, check_wait};
use crate::words::{ConfigError, Price, TargetId};

/// Everything in the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// The `[server]` table.
    pub server: ServerConfig,
    /// The rest: providers, routes, limits.
    pub runtime: Config,
}

/// How the sidecar serves.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Where clients connect. Loopback by default, where no key is asked for; elsewhere `keys` are required.
    pub listen: SocketAddr,
    /// Where health, metrics and explanations are. Beside the clients' endpoints where absent, if those are on loopback;
    /// elsewhere there is none then.
    pub admin: Option<SocketAddr>,
    /// Certificate and key for TLS on `listen`.
    pub tls: Option<TlsConfig>,
    /// Who may call. Empty asks nobody for a key, on loopback only.
    pub keys: Vec<ClientKey>,
    /// The names by which this is asked, beside addresses and `localhost`: a web page that came by another is no client.
    pub hosts: Vec<String>,
    /// The web pages that may ask, by their origin (`https://app.example`). None, where empty.
    pub allow_origins: Vec<String>,
    /// The most connections; one more waits to be accepted. 10 000.
    pub connections_max: usize,
    /// The longest a request's body may be. 64 MiB.
    pub body_bytes_max: usize,
    /// The bodies of all calls in flight together. One more waits before it is read, for 10 s at most, and is then answered
    /// 503. 512 MiB.
    pub bodies_bytes_max: usize,
    /// The longest a request's head may take to arrive, and a connection may be idle. 15 s.
    #[serde(with = "humantime_serde")]
    pub head_timeout: Duration,
    /// The longest a request's body may take to arrive. 60 s.
    #[serde(with = "humantime_serde")]
    pub body_timeout: Duration,
    /// The longest a client may take nothing of what is written to it; then its connection is closed. 60 s.
    #[serde(with = "humantime_serde")]
    pub write_timeout: Duration,
    /// How long a stream may be silent before a keep-alive is sent; the first also sends the head. 10 s.
    #[serde(with = "humantime_serde")]
    pub keep_alive: Duration,
    /// The route that serves model names which no route has, so that agents can keep the names they know. Such a name is an
    /// error where absent.
    pub default_route: Option<String>,
    /// How streams are delivered. As they come, unless a request's header says otherwise.
    pub streams: Streams,
    /// How answers name their model. As the provider that answers does, unless it is to be as it was asked for.
    pub model: ModelNames,
    /// How long calls in flight may take to end when the sidecar stops. 30 s.
    #[serde(with = "humantime_serde")]
    pub drain: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4_000),
            admin: None,
            tls: None,
            keys: Vec::new(),
            hosts: Vec::new(),
            allow_origins: Vec::new(),
            connections_max: 10_000,
            body_bytes_max: 64 * 1024 * 1024,
            bodies_bytes_max: 512 * 1024 * 1024,
            head_timeout: Duration::from_secs(15),
            body_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(60),
            keep_alive: Duration::from_secs(10),
            default_route: None,
            streams: Streams::Live,
            model: ModelNames::Provider,
            drain: Duration::from_secs(30),
        }
    }
}

/// How answers name their model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelNames {
    /// As their provider does.
    Provider,
    /// As their caller does: a route's name, most often.
    Asked,
}

/// How streams are delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Streams {
    /// As they come; an answer that breaks off ends with an error.
    Live,
    /// When the answer is whole and valid, so that failover stays invisible to the end.
    Buffered,
}

impl ServerConfig {
    /// Checks what no field can check by itself.
    ///
    /// # Errors
    /// The error names the field.
    pub fn check(&self) -> Result<(), ConfigError> {
        if !self.listen.ip().is_loopback() && self.keys.iter().all(|key| key.operator) {
            let problem = "is not loopback: anybody could spend your money; add `[[server.keys]]`, see `standin key`";
            return Err(ConfigError::new("server.listen", problem));
        }
        let is_open = |admin: SocketAddr| !admin.ip().is_loopback() && !self.keys.iter().any(|key| key.operator);
        if self.admin.is_some_and(is_open) {
            let problem =
                "is not loopback: anybody could read your health; add `[[server.keys]]` with `operator = true`";
            return Err(ConfigError::new("server.admin", problem));
        }
        self.check_names()?;
        if self.connections_max == 0 {
            return Err(ConfigError::new("server.connections_max", "must be 1 or more"));
        }
        if self.body_bytes_max == 0 {
            return Err(ConfigError::new("server.body_bytes_max", "must be 1 or more"));
        }
        if self.bodies_bytes_max < self.body_bytes_max {
            let problem = format!("must be `body_bytes_max`, {}, or more: all bodies together", self.body_bytes_max);
            return Err(ConfigError::new("server.bodies_bytes_max", problem));
        }
        for (field, time) in [
            ("head_timeout", self.head_timeout),
            ("body_timeout", self.body_timeout),
            ("write_timeout", self.write_timeout),
            ("keep_alive", self.keep_alive),
        ] {
            check_time(&format!("server.{field}"), time)?;
        }
        check_wait("server.drain", self.drain)?;
        if self.admin.is_some_and(|admin| admin == self.listen && admin.port() != 0) {
            return Err(ConfigError::new("server.admin", "is the address of `listen`; choose another port"));
        }
        let (mut names, mut hashes) = (HashSet::new(), HashSet::new());
        for (at, key) in self.keys.iter().enumerate() {
            if !names.insert(&key.name) | !hashes.insert(key.sha256) {
                let problem = format!("`{}` stands there twice, by its name or its hash", key.name);
                return Err(ConfigError::new("server.keys", problem));
            }
            if key.requests_per_minute == Some(0) {
                let problem = "must be 1 or more; without it there is no limit, without the key no access";
                return Err(ConfigError::new(format!("server.keys[{at}].requests_per_minute"), problem));
            }
            if key.operator && !key.routes.is_empty() {
                let problem = "an operator's key makes no calls: give the client one of its own";
                return Err(ConfigError::new(format!("server.keys[{at}].routes"), problem));
            }
        }
        Ok(())
    }

    /// Checks the names of this and of pages that may ask.
    fn check_names(&self) -> Result<(), ConfigError> {
        let letters = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        for (at, host) in self.hosts.iter().enumerate() {
            if host.is_empty() || !letters(host) {
                let problem = "must be a name alone, without scheme and port: `standin.example`";
                return Err(ConfigError::new(format!("server.hosts[{at}]"), problem));
            }
        }
        for (at, origin) in self.allow_origins.iter().enumerate() {
            let field = format!("server.allow_origins[{at}]");
            if origin == "*" {
                if self.keys.iter().all(|key| key.operator) {
                    let problem = "lets every page of the web spend your money: name origins, or add `[[server.keys]]`";
                    return Err(ConfigError::new(field, problem));
                }
                continue;
            }
            let is_origin = origin.split_once("://").is_some_and(|(scheme, rest)| {
                let rest = rest.strip_prefix('[').map_or(rest, |rest| rest.trim_start_matches([':', ']']));
                !scheme.is_empty() && letters(scheme) && !rest.is_empty() && letters(&rest.replace([':', ']'], ""))
            });
            if !is_origin {
                let problem = "must be an origin, without path and slash: `https://app.example`, or `*`";
                return Err(ConfigError::new(field, problem));
            }
        }
        Ok(())
    }

    /// Returns what of these settings holds for sockets that are bound as others say: what only a start can change stays.
    ///
    /// # Errors
    /// If what stays and what is new do not go together.
    pub(super) fn on_the_sockets_of(self, bound: &Self) -> Result<Self, ConfigError> {
        let tls = match (&self.tls, &bound.tls) {
            (Some(_), Some(_)) => self.tls.clone(),
            _ => bound.tls.clone(),
        };
        let (listen, admin) = (bound.listen, bound.admin);
        let (connections_max, bodies_bytes_max) = (bound.connections_max, bound.bodies_bytes_max);
        let served = Self { listen, admin, tls, connections_max, bodies_bytes_max, ..self };
        served.check().map_err(|error| {
            let problem = format!("{}; until a restart this stays bound: {listen}", error.problem);
            ConfigError::new(error.field, problem)
        })?;
        Ok(served)
    }

    /// Returns the fields that differ from these in what only a start can change.
    pub(super) fn needs_a_start(&self, bound: &Self) -> Vec<&'static str> {
        let fields = [
            ("server.listen", self.listen != bound.listen),
            ("server.admin", self.admin != bound.admin),
            ("server.connections_max", self.connections_max != bound.connections_max),
            ("server.bodies_bytes_max", self.bodies_bytes_max != bound.bodies_bytes_max),
            ("server.tls", self.tls.is_some() != bound.tls.is_some()),
        ];
        fields.into_iter().filter(|(_, differs)| *differs).map(|(field, _)| field).collect()
    }

    /// Tells whether health and metrics are beside the clients' endpoints.
    pub fn is_admin_beside(&self) -> bool {
        self.admin.is_none() && self.listen.ip().is_loopback()
    }
}

/// Why a file is refused.
#[derive(Clone, Debug, PartialEq)]
pub enum SettingsError {
    /// It is no TOML; the text says where.
    Syntax(String),
    /// A field is not right.
    Field(ConfigError),
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(problem) => f.write_str(problem.trim_end()),
            Self::Field(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SettingsError {}

impl From<ConfigError> for SettingsError {
    fn from(error: ConfigError) -> Self {
        Self::Field(error)
    }
}

impl Settings {
    /// Checks everything, also that certificate and key can be read, and that every route which is named is one that there
    /// is. Returns what there is to call: each target, and its price, where that is known.
    ///
    /// # Errors
    /// The error names the field.
    pub fn check(&self) -> Result<Vec<(TargetId, Option<Price>)>, ConfigError> {
        self.server.check()?;
        self.server.tls.as_ref().map(acceptor).transpose()?;
        let targets = self.runtime.targets()?;
        let names: HashSet<String> = targets.iter().map(|(target, _)| target.to_string()).collect();
        let is_known = |name: &str| {
            let Config { routes, aliases, .. } = &self.runtime;
            routes.contains_key(name) || aliases.contains_key(name) || names.contains(name)
        };
        let default = self.server.default_route.iter().map(|route| ("server.default_route".to_owned(), route));
        let keys = self.server.keys.iter().enumerate();
        let of_keys =
            keys.flat_map(|(at, key)| key.routes.iter().map(move |route| (format!("server.keys[{at}].routes"), route)));
        match default.chain(of_keys).find(|(_, route)| !is_known(route)) {
            Some((field, route)) => {
                Err(ConfigError::new(field, format!("there is no route, alias or `provider/model` called `{route}`")))
            }
            None => Ok(targets),
        }
    }

    /// Reads a file's text. `environment` looks up a variable.
    ///
    /// # Errors
    /// If it is no TOML, a variable is missing, or a field is unknown or not right.
    pub fn parse(text: &str, environment: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let mut table: Table = text.parse().map_err(|error| SettingsError::Syntax(blind::syntax(text, &error)))?;
        let settings = (|| {
            for (key, value) in &mut table {
                expand(value, key, &environment)?;
            }
            let server = match table.remove("server") {
                Some(server) => blind::read("server", server)?,
                None => ServerConfig::default(),
            };
            let settings = Self { server, runtime: blind::read("", Value::Table(table))? };
            settings.server.check()?;
            Ok(settings)
        })();
        settings.map_err(|error| SettingsError::Field(blind::located(text, error)))
    }

    /// Tells whether a file's text holds a provider's key itself, and not only where it is read: then it is nobody else's to
    /// read.
    pub fn holds_key(text: &str) -> bool {
        blind::holds_key(text)
    }
}

/// Puts the environment's variables into every text.
fn expand(value: &mut Value, at: &str, environment: &impl Fn(&str) -> Option<String>) -> Result<(), ConfigError> {
    match value {
        Value::String(text) if text.contains("${") => *text = expanded(text, at, environment)?,
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                expand(item, &format!("{at}[{index}]"), environment)?;
            }
        }
        Value::Table(table) => {
            for (key, item) in table {
                expand(item, &format!("{at}.{key}"), environment)?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn expanded(text: &str, at: &str, environment: &impl Fn(&str) -> Option<String>) -> Result<String, ConfigError> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (inside, after) =
            after.split_once('}').ok_or_else(|| ConfigError::new(at, "has a `${` without its `}`"))?;
        let (name, other) = inside.split_once(":-").map_or((inside, None), |(name, other)| (name, Some(other)));
        let found = environment(name).filter(|value| !value.is_empty());
        let value = found.or_else(|| other.map(str::to_owned)).ok_or_else(|| {
            // What looks like no variable may be what one should have held.
            let is_name = name.len() <= 64
                && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
            let problem = if is_name {
                format!("the environment has no `{name}`; set it, or write `${{{name}:-…}}` for another text")
            } else {
                "the environment has no such variable; its name has capital letters, digits and `_`".to_owned()
            };
            ConfigError::new(at, problem)
        })?;
        out.push_str(before);
        out.push_str(&value);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Settings, SettingsError> {
        Settings::parse(text, |name| (name == "KEY").then(|| "sk-\"1\"".to_owned()))
    }

    fn refused(text: &str) -> String {
        parse(text).expect_err("a bad file").to_string()
    }

    #[test]
    fn a_file_has_a_server_and_the_runtimes_configuration() {
        let settings = parse(
            r#"
            calls_max = 7
            [server]
            listen = "127.0.0.1:0"
            drain = "5s"
            streams = "buffered"
            [providers.a]
            base_url = "http://127.0.0.1:1/v1"
            keys = ["${KEY}"]
            models.m = {}
            [routes.smart]
            targets = ["a/m"]
            "#,
        )
        .expect("a good file");
        assert_eq!((settings.server.listen.port(), settings.server.streams), (0, Streams::Buffered));
        assert_eq!((settings.server.drain, settings.runtime.calls_max), (Duration::from_secs(5), 7));
        assert!(settings.runtime.check().is_ok());
        assert!(!format!("{settings:?}").contains("sk-"));
    }

    #[test]
    fn an_unknown_field_is_an_error_with_a_suggestion() {
        let error = refused("[server]\nlisen = \"127.0.0.1:1\"");
        assert!(error.ends_with("; did you mean `listen`? (line 2, column 1)"), "{error}");
        let error = refused("[providers.a]\nbase_url = \"http://x\"\nkey = [\"1\"]");
        assert!(error.starts_with("providers.a") && error.contains("did you mean `keys`?"), "{error}");
        let error = refused("[provider.a]\nbase_url = \"http://x\"");
        assert!(error.contains("did you mean `providers`?"), "{error}");
    }

    #[test]
    fn a_missing_variable_is_named_and_another_text_can_stand_for_it() {
        let error = refused("[providers.a]\nbase_url = \"x\"\nkeys = [\"ok\", \"${OTHER}\"]");
        assert!(error.starts_with("providers.a.keys[1]: the environment has no `OTHER`"), "{error}");
        assert!(refused("[server]\nlisten = \"${KEY\"").contains("without its `}`"));
        let settings = parse("[server]\nlisten = \"127.0.0.1:${PORT:-4100}\"").expect("a good file");
        assert_eq!(settings.server.listen.port(), 4_100);
    }

    #[test]
    fn who_listens_beyond_loopback_needs_keys() {
        assert!(refused("[server]\nlisten = \"0.0.0.0:4000\"").starts_with("server.listen: is not loopback"));
    }

    #[test]
    fn an_error_says_where_and_never_what_stands_there() {
        const KEY: &str = "sk-4uCkx7";
        for (text, place) in [
            ("[providers.a]\nkeys = 'KEY'", "providers.a.keys: is a text"),
            ("[providers.a]\nkeys = [['KEY']]", "providers.a.keys[0]: is a list"),
            ("[providers.a]\nkeys = {KEY = 1}", "providers.a.keys: "),
            ("[providers.a]\nkeys = [{KEY = 1}]", "providers.a.keys[0]"),
            ("[providers.a]\nkeys = [{value = 'KEY', env = 'KEY'}]", "providers.a.keys[0]: "),
            ("[providers.a]\nkeys = ['${KEY}']", "providers.a.keys[0]: the environment has no such variable"),
            ("[providers.a]\nkeys = ['KEY]", "line 2"),
            ("[providers.a]\nkeys = [KEY]", "line 2"),
            ("[providers.a]\nkeys = ['KEY' 'KEY']", "line 2"),
            ("[providers.a]\n'KEY'", "line 2"),
            ("[providers.a]\nkeys = \"KEY\\q\"", "line 2"),
            ("[providers.a]\nmodels = 'KEY'", "providers.a.models: "),
            ("[providers.a]\ndialect = 'KEY'", "providers.a.dialect: "),
            ("[providers.a]\nmodels.m.retires = 'KEY'", "providers.a.models.m.retires: "),
            ("[providers.a]\ntransport.connect_timeout = 'KEY'", "providers.a.transport.connect_timeout: "),
            ("calls_max = 'KEY'", "calls_max: "),
            ("KEY = 1", "configuration: has a field that is unknown"),
            ("[server]\nlisten = 'KEY'", "server.listen: "),
            ("[server]\nstreams = 'KEY'", "server.streams: "),
            ("[server]\ndrain = 'KEY'", "server.drain: "),
            ("[[server.keys]]\nname = 'a'\nsha256 = 'KEY'", "server.keys[0].sha256: "),
            ("[server]\ntls = 'KEY'", "server.tls: "),
        ] {
            let said = parse(&text.replace("KEY", KEY)).expect_err(text).to_string();
            assert!(!said.contains("4uCk") && said.contains(place), "{text}: {said}");
            assert!(said.contains("line ") || text.starts_with("KEY"), "{text}: {said}");
        }
    }

    #[test]
    fn what_is_no_toml_says_where() {
        assert!(refused("[server\n").contains("line 1"));
        assert!(refused("[server]\nlisten = 7").starts_with("server.listen: "));
    }
}

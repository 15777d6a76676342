//! The sidecar's settings: one TOML file of a `[server]` table and the runtime's configuration.
//!
//! Input: a text and a way to look up the environment. Output: settings, or all errors: each names its line, its field
//! and the remedy. `${NAME}` in any text is a variable of the environment, `${NAME:-other}` for that or another text.

use std::collections::HashSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer};

use super::access::ClientKey;
use super::document::{Document, LineColumn};
use super::lenient::{self, DocumentError};
use super::tls::{TlsConfig, acceptor};
use crate::config::{BudgetScope, Config, check_time, check_wait, destination, is_constant, targets_of};
use crate::words::error::ERRORS_MAX;
use crate::words::names::fault;
use crate::words::{ConfigError, ConfigErrors, Price, TargetId, did_you_mean};

/// Everything in the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// The `[server]` table.
    pub server: ServerConfig,
    /// The rest: providers, routes, limits.
    pub runtime: Config,
}

/// The `[server]` table: how the sidecar serves.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Where clients connect. Default: 127.0.0.1:4000, where no key is needed; beyond loopback `keys` are required.
    #[serde(deserialize_with = "an_address")]
    pub listen: SocketAddr,
    /// Where health, metrics and explanations are. Default: on `listen`, if that is on loopback; otherwise nowhere.
    #[serde(deserialize_with = "some_address")]
    pub admin: Option<SocketAddr>,
    /// Certificate and key for TLS on `listen`.
    pub tls: Option<TlsConfig>,
    /// The clients that may call. Empty: no key is needed, on loopback only.
    pub keys: Vec<ClientKey>,
    /// Host names of this sidecar, beside addresses and `localhost`: a request with another host is refused where no
    /// key is needed.
    pub hosts: Vec<String>,
    /// The web pages that may ask, by their origin (`https://app.example`). Default: none.
    pub allow_origins: Vec<String>,
    /// The most connections; one more waits to be accepted. Default: 10 000.
    pub connections_max: usize,
    /// The longest a request's body may be. Default: 64 MiB.
    pub body_bytes_max: usize,
    /// The bodies of all calls in flight together. One more waits before it is read, for 10 s at most, and then gets a
    /// 503 status. Default: 512 MiB.
    pub bodies_bytes_max: usize,
    /// The longest a request's head may take to arrive, and a connection may be idle. Default: 15 s.
    #[serde(with = "humantime_serde")]
    pub head_timeout: Duration,
    /// The longest a request's body may take to arrive. Default: 60 s.
    #[serde(with = "humantime_serde")]
    pub body_timeout: Duration,
    /// The longest a client may leave written bytes unread; then its connection is closed. Default: 60 s.
    #[serde(with = "humantime_serde")]
    pub write_timeout: Duration,
    /// How long a stream may be silent before a keep-alive is sent; the first also sends the head. Default: 10 s.
    #[serde(with = "humantime_serde")]
    pub keep_alive: Duration,
    /// The route that serves model names which no route has, so that agents can keep the names they use. Without it
    /// such a name is an error.
    pub default_route: Option<String>,
    /// How streams are delivered, unless a request's header says otherwise. Default: as they come.
    pub streams: Streams,
    /// How answers name their model. Default: as the provider that answers does.
    pub model: ModelNames,
    /// How long calls in flight may take to end when the sidecar stops. Default: 30 s.
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
    /// As the caller asked for it: usually a route's name.
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
    /// Returns its errors.
    pub fn check(&self) -> Vec<ConfigError> {
        let mut errors = Vec::new();
        let mut refuse = |field: &str, problem: &str| errors.push(ConfigError::new(format!("server.{field}"), problem));
        if !self.listen.ip().is_loopback() && self.keys.iter().all(|key| key.operator) {
            let problem = format!(
                "is not loopback but {}: anybody could spend your money; add `[[server.keys]]`, see `standin key`",
                self.listen
            );
            refuse("listen", &problem);
        }
        let is_open = |admin: &SocketAddr| !admin.ip().is_loopback() && !self.keys.iter().any(|key| key.operator);
        if let Some(admin) = self.admin.filter(is_open) {
            let problem = format!(
                "is not loopback but {admin}: anybody could read your health; add `[[server.keys]]` with `operator = true`"
            );
            refuse("admin", &problem);
        }
        if self.admin.is_some_and(|admin| admin == self.listen && admin.port() != 0) {
            refuse("admin", "is the address of `listen`; choose another port");
        }
        if self.connections_max == 0 {
            refuse("connections_max", "must be 1 or more");
        }
        if self.body_bytes_max == 0 {
            refuse("body_bytes_max", "must be 1 or more");
        }
        if self.bodies_bytes_max < self.body_bytes_max {
            let problem = format!("must be `body_bytes_max`, {}, or more: all bodies together", self.body_bytes_max);
            refuse("bodies_bytes_max", &problem);
        }
        let (mut names, mut hashes) = (HashSet::new(), HashSet::new());
        for (at, key) in self.keys.iter().enumerate() {
            if let Some(fault) = fault(&key.name) {
                refuse(&format!("keys[{at}].name"), fault);
            }
            if !names.insert(&key.name) | !hashes.insert(key.sha256) {
                refuse(&format!("keys[{at}]"), "is listed twice, by its name or its hash");
            }
            if key.requests_per_minute == Some(0) {
                let problem = "must be 1 or more; leave it out for no limit, or remove the key for no access";
                refuse(&format!("keys[{at}].requests_per_minute"), problem);
            }
            if key.routes.is_empty() && !key.fields.is_empty() {
                let problem = "is for a key with `routes`; leave it out, a key of all routes may send every field";
                refuse(&format!("keys[{at}].fields"), problem);
            }
            if key.operator && !key.routes.is_empty() {
                let problem = "an operator's key makes no calls: give the client one of its own";
                refuse(&format!("keys[{at}].routes"), problem);
            }
        }
        self.check_names(&mut refuse);
        let times = [
            check_time("server.head_timeout", self.head_timeout),
            check_time("server.body_timeout", self.body_timeout),
            check_time("server.write_timeout", self.write_timeout),
            check_time("server.keep_alive", self.keep_alive),
            check_wait("server.drain", self.drain),
        ];
        errors.extend(times.into_iter().filter_map(Result::err));
        errors
    }

    /// Checks the names of this address and of pages that may ask.
    fn check_names(&self, refuse: &mut impl FnMut(&str, &str)) {
        let letters = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        for (at, host) in self.hosts.iter().enumerate() {
            if host.is_empty() || !letters(host) {
                let problem = "must be a name alone, without scheme and port, as \"standin.example\"";
                refuse(&format!("hosts[{at}]"), problem);
            }
        }
        for (at, origin) in self.allow_origins.iter().enumerate() {
            let field = format!("allow_origins[{at}]");
            if origin == "*" {
                if self.keys.iter().all(|key| key.operator) {
                    let problem = "lets every page of the web spend your money: name origins, or add `[[server.keys]]`";
                    refuse(&field, problem);
                }
                continue;
            }
            let is_origin = origin.split_once("://").is_some_and(|(scheme, rest)| {
                let rest = rest.strip_prefix('[').map_or(rest, |rest| rest.trim_start_matches([':', ']']));
                !scheme.is_empty() && letters(scheme) && !rest.is_empty() && letters(&rest.replace([':', ']'], ""))
            });
            if !is_origin {
                refuse(&field, "must be an origin, without path and slash, as \"https://app.example\", or \"*\"");
            }
        }
    }

    /// Takes the fields that only a start can change from the settings of sockets that are already bound.
    pub(super) fn stay_on(&mut self, bound: &Self) {
        if self.tls.is_some() != bound.tls.is_some() {
            self.tls.clone_from(&bound.tls);
        }
        (self.listen, self.admin) = (bound.listen, bound.admin);
        (self.connections_max, self.bodies_bytes_max) = (bound.connections_max, bound.bodies_bytes_max);
    }

    /// Returns the fields that differ from these and that only a start can change.
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

    /// Tells whether an address is the one where clients connect, as far as it tells by itself.
    pub fn is_at(&self, url: &str) -> bool {
        let Some((host, port)) = destination(url) else { return false };
        let host = host.trim_end_matches('.');
        let is_here = |ip: IpAddr| ip.is_loopback() || ip.is_unspecified() || ip == self.listen.ip();
        let local = host == "localhost"
            || host.ends_with(".localhost")
            || host.parse().is_ok_and(|ip: IpAddr| is_here(ip.to_canonical()));
        local && port == self.listen.port()
    }

    /// Tells whether health and metrics are beside the clients' endpoints.
    pub fn is_admin_beside(&self) -> bool {
        self.admin.is_none() && self.listen.ip().is_loopback()
    }
}

/// Reads an address as people write it: `127.0.0.1:4000`, `localhost:4000`, or a port of loopback alone, `4000`.
pub fn address(text: &str) -> Option<SocketAddr> {
    let loopback = |port: &str| Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port.parse().ok()?));
    text.parse().ok().or_else(|| loopback(text.strip_prefix("localhost:").unwrap_or(text)))
}

/// The forms of an address, for errors.
const ADDRESS: &str = "an address and a port, as \"127.0.0.1:4000\", \"localhost:4000\" or 4000";

fn an_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    struct Address;

    impl Visitor<'_> for Address {
        type Value = SocketAddr;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(ADDRESS)
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<SocketAddr, E> {
            address(text).ok_or_else(|| E::custom(format!("must be {ADDRESS}")))
        }

        fn visit_i64<E: serde::de::Error>(self, port: i64) -> Result<SocketAddr, E> {
            self.visit_str(&port.to_string())
        }
    }

    deserializer.deserialize_any(Address)
}

fn some_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    an_address(deserializer).map(Some)
}

/// All errors of a text, in the order of its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsErrors(Vec<(Option<LineColumn>, ConfigError)>);

impl SettingsErrors {
    /// Writes them, a line each, as of a file of this name: `standin.toml:7:12: routes.smart.targets[1].teir: …`.
    pub fn of(&self, file: &str) -> String {
        let lines = self.0.iter().take(ERRORS_MAX).map(|(place, error)| {
            let place = place.map_or(String::new(), |(line, column)| format!(":{line}:{column}"));
            match (file, place.as_str()) {
                ("", "") => error.to_string(),
                _ => format!("{}: {error}", format!("{file}{place}").trim_start_matches(':')),
            }
        });
        let more = self.0.len().saturating_sub(ERRORS_MAX);
        let more = (more > 0).then(|| format!("and {more} more"));
        lines.chain(more).collect::<Vec<_>>().join("\n")
    }
}

impl std::ops::Deref for SettingsErrors {
    type Target = [(Option<LineColumn>, ConfigError)];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl fmt::Display for SettingsErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.of(""))
    }
}

impl std::error::Error for SettingsErrors {}

/// Each target that can be called, with its price if that is known.
pub type Targets = Vec<(TargetId, Option<Price>)>;

impl Settings {
    /// Checks everything, also that certificate and key can be read, and that every named route exists. Returns what
    /// can be called.
    ///
    /// # Errors
    /// All errors; each names its field.
    pub fn check(&self) -> Result<Targets, ConfigErrors> {
        self.check_at(&|_| ())
    }

    /// The same for sockets that may be bound already: `place` tells the server's settings where these are, by which
    /// alone they are judged.
    ///
    /// # Errors
    /// All errors; each names its field.
    pub fn check_at(&self, place: &dyn Fn(&mut ServerConfig)) -> Result<Targets, ConfigErrors> {
        let mut placed = self.server.clone();
        place(&mut placed);
        let checked = self.check_beside(&placed, &|_| false, false);
        let mut errors = self.leads_back(&placed);
        errors.extend(placed.tls.as_ref().and_then(|tls| acceptor(tls).err()));
        match checked {
            Ok(targets) => ConfigErrors::none(errors).map(|()| targets),
            Err(wrong) => ConfigErrors::none(wrong.into_iter().chain(errors).collect()).map(|()| Vec::new()),
        }
    }

    /// Returns the providers whose address is the one that clients connect to.
    fn leads_back(&self, placed: &ServerConfig) -> Vec<ConfigError> {
        let listen = placed.listen;
        let providers = self.runtime.providers.iter().filter(|(name, provider)| {
            provider.base_url.as_deref().or_else(|| provider.usual_base_url(name)).is_some_and(|url| placed.is_at(url))
        });
        let problem = format!(
            "leads back to this sidecar, which listens at {listen}: choose another port by `server.listen` or --listen"
        );
        providers.map(|(name, _)| ConfigError::new(format!("providers.{name}.base_url"), &problem)).collect()
    }

    /// Checks fields that need no other file. `doubtful` tells names that a part which could not be read may give, and
    /// `lacks_clients` whether it may give names of clients.
    fn check_beside(
        &self,
        placed: &ServerConfig,
        doubtful: &dyn Fn(&str) -> bool,
        lacks_clients: bool,
    ) -> Result<Targets, ConfigErrors> {
        let mut errors = placed.check();
        if (placed.listen, placed.admin) != (self.server.listen, self.server.admin) {
            let admin = placed.admin.map_or(String::new(), |admin| format!(" and {admin}"));
            let bound = format!("; bound until a restart: {}{admin}", placed.listen);
            for error in &mut errors {
                error.problem.push_str(&bound);
            }
        }
        let checked = self.runtime.check_beside(doubtful);
        let targets: Targets = match checked {
            Ok((_, setup)) => targets_of(setup),
            Err(wrong) => {
                errors.extend(wrong);
                Vec::new()
            }
        };
        let names = self.runtime.written_names(doubtful);
        let default = self.server.default_route.iter().map(|route| ("server.default_route".to_owned(), route));
        let of_keys = self.server.keys.iter().enumerate().flat_map(|(at, key)| {
            let routes = key.routes.iter().enumerate();
            routes.map(move |(place, route)| (format!("server.keys[{at}].routes[{place}]"), route))
        });
        for (field, route) in default.chain(of_keys).filter(|(_, route)| !names.has(route)) {
            let near = (errors.len() < ERRORS_MAX).then(|| did_you_mean(route, names.all()));
            let meant = near.flatten().map_or(String::new(), |near| format!("; {near}"));
            errors.push(ConfigError::new(field, format!("is no route, alias or `provider/model`{meant}")));
        }
        for (name, budget) in &self.runtime.budgets {
            let BudgetScope::Client(Some(client)) = &budget.of else { continue };
            let clients = || self.server.keys.iter().filter(|key| !key.operator).map(|key| key.name.as_str());
            if !lacks_clients && !clients().any(|known| known == client) {
                let meant = did_you_mean(client, clients()).map_or(String::new(), |near| format!("; {near}"));
                let problem = format!("`{client}` is no name of `server.keys`{meant}");
                errors.push(ConfigError::new(format!("budgets.{name}.of"), problem));
            }
        }
        ConfigErrors::none(errors)?;
        Ok(targets)
    }

    /// Reads a file's text, and checks it except for what is in other files. `environment` looks up a variable.
    ///
    /// # Errors
    /// All errors: text that is no TOML, variables that are missing, fields that are unknown, of another kind or out of
    /// range, unknown names.
    pub fn parse(text: &str, environment: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsErrors> {
        Self::parse_at(text, environment, &|_| ())
    }

    /// The same for sockets that may be bound already, as [`check_at`](Self::check_at) judges them. What is returned
    /// names the addresses that the text does.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_at(
        text: &str,
        environment: impl Fn(&str) -> Option<String>,
        place: &dyn Fn(&mut ServerConfig),
    ) -> Result<Self, SettingsErrors> {
        let mut document = Document::parse(text).map_err(|errors| {
            let errors = errors.into_iter().map(|(place, problem)| (place, ConfigError::new("configuration", problem)));
            SettingsErrors(errors.collect())
        })?;
        let mut wrong = Vec::new();
        expand(&mut document, &environment, &mut wrong);
        let server = document.root.fields().iter().position(|field| field.name == SERVER);
        let server =
            server.map_or_else(ServerConfig::default, |at| lenient::read(&mut document, &[at], None, &mut wrong));
        let runtime = lenient::read(&mut document, &[], Some(SERVER), &mut wrong);
        let settings = Self { server, runtime };
        let doubtful = |name: &str| document.may_give(name);
        let mut placed = settings.server.clone();
        place(&mut placed);
        let checked = settings.check_beside(&placed, &doubtful, document.lacks_clients());
        let mut errors: Vec<(Option<LineColumn>, ConfigError)> = wrong
            .into_iter()
            .map(|DocumentError { path, field, problem }| (document.place(&path), ConfigError::new(field, problem)))
            .collect();
        let further = checked.err().into_iter().flatten().filter(|error| !document.explains(error));
        errors.extend(further.map(|error| (document.place(&document.find(&error.field).path), error)));
        if errors.is_empty() {
            return Ok(settings);
        }
        errors.sort_by_key(|(place, _)| *place);
        Err(SettingsErrors(errors))
    }

    /// Gives errors of a check the places that their fields have in the text.
    pub fn placed(text: &str, errors: ConfigErrors) -> SettingsErrors {
        let document = Document::parse(text).ok();
        let place = |error: &ConfigError| {
            let document = document.as_ref()?;
            document.place(&document.find(&error.field).path)
        };
        let mut errors: Vec<_> = errors.into_iter().map(|error| (place(&error), error)).collect();
        errors.sort_by_key(|(place, _)| *place);
        SettingsErrors(errors)
    }

    /// Tells whether a file's text holds a provider's key, or one of the store's, itself, and not only its source: then
    /// only its owner should be able to read it.
    pub fn holds_key(text: &str) -> bool {
        Document::parse(text).is_ok_and(|document| document.holds_key())
    }
}

/// The table of the server.
const SERVER: &str = "server";

/// Puts the environment's variables into every text.
fn expand(document: &mut Document<'_>, environment: &impl Fn(&str) -> Option<String>, wrong: &mut Vec<DocumentError>) {
    let mut missing = Vec::new();
    document.root.each_text(&mut Vec::new(), &mut |path, text| {
        if text.contains("${") {
            match expanded(text, environment) {
                Ok(full) => *text = full,
                Err(problem) => {
                    missing.push((path.to_vec(), problem));
                    return false;
                }
            }
        }
        true
    });
    let missing =
        missing.into_iter().map(|(path, problem)| DocumentError { field: document.name(&path), path, problem });
    wrong.extend(missing);
}

fn expanded(text: &str, environment: &impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (inside, after) = after.split_once('}').ok_or("has a `${` without its `}`")?;
        let (name, other) = inside.split_once(":-").map_or((inside, None), |(name, other)| (name, Some(other)));
        let found = environment(name).filter(|value| !value.is_empty());
        let value = found.or_else(|| other.map(str::to_owned)).ok_or_else(|| {
            // A text that does not look like a variable's name may be its value.
            if is_constant(name) {
                format!("the environment has no `{name}`; set it, or write `${{{name}:-…}}` for another text")
            } else {
                "the environment has no such variable; its name has capital letters, digits and `_`".to_owned()
            }
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

    fn parse(text: &str) -> Result<Settings, SettingsErrors> {
        Settings::parse(text, |name| (name == "KEY").then(|| "sk-\"1\"".to_owned()))
    }

    /// A provider, so that there is one.
    const PROVIDER: &str = "\n[providers.z]\nbase_url = 'http://z/v1'\nmodels.m = {}\n";

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
        for (text, expected) in [
            ("[server]\nlisen = '127.0.0.1:1'", "2:1: server.lisen: is no known field; did you mean `listen`?"),
            (
                "[providers.a]\nbase_url = 'http://x'\nkey = ['1']",
                "3:1: providers.a.key: is no known field; did you mean `keys`?",
            ),
            ("[provider.a]\nbase_url = 'http://x'", "1:2: provider: is no known field; did you mean `providers`?"),
            ("[serve]\nlisten = 1", "1:2: serve: is no known field; did you mean `server`?"),
        ] {
            let error = refused(&format!("{text}{PROVIDER}"));
            assert!(error.starts_with(expected) && error.lines().count() == 1, "{error}");
        }
    }

    #[test]
    fn a_missing_variable_is_named_and_another_text_can_stand_for_it() {
        let error = refused("[providers.a]\nbase_url = \"http://x\"\nkeys = [\"ok\", \"${OTHER}\"]\nmodels.m = {}");
        assert!(error.starts_with("3:15: providers.a.keys[1]: the environment has no `OTHER`"), "{error}");
        assert!(refused("[server]\nlisten = \"${KEY\"").contains("without its `}`"));
        let text = format!("[server]\nlisten = \"127.0.0.1:${{PORT:-4100}}\"{PROVIDER}");
        let settings = parse(&text).expect("a good file");
        assert_eq!(settings.server.listen.port(), 4_100);
    }

    #[test]
    fn a_sidecar_that_listens_beyond_loopback_needs_keys() {
        let error = refused(&format!("[server]\nlisten = \"0.0.0.0:4000\"{PROVIDER}"));
        assert!(error.starts_with("2:1: server.listen: is not loopback"), "{error}");
    }

    #[test]
    fn every_way_to_write_the_own_address_is_known() {
        let server = ServerConfig::default();
        for (url, is_own) in [
            ("http://127.0.0.1:4000/v1", true),
            ("http://LOCALHOST:4000", true),
            ("http://localhost.:4000", true),
            ("http://agent.localhost:4000", true),
            ("http://0.0.0.0:4000/v1", true),
            ("http://2130706433:4000/v1", true),
            ("http://0x7f.1:4000", true),
            ("http://127.9.9.9:4000", true),
            ("http://[::1]:4000", true),
            ("http://[::]:4000", true),
            ("http://[::ffff:127.0.0.1]:4000", true),
            ("http://127.0.0.1:4001", false),
            ("http://127.0.0.1", false),
            ("http://10.0.0.1:4000", false),
            ("http://localhost.example:4000", false),
            ("${BASE}", false),
        ] {
            assert_eq!(server.is_at(url), is_own, "{url}");
        }
        let usual = ServerConfig { listen: SocketAddr::from(([127, 0, 0, 1], 80)), ..server };
        assert!(usual.is_at("http://127.0.0.1/v1") && !usual.is_at("https://127.0.0.1/v1"));
    }

    #[test]
    fn an_error_says_the_place_and_never_the_value() {
        const KEY: &str = "sk-4uCkx7-4uCk";
        for (text, place) in [
            ("[providers.a]\nkeys = 'KEY'", "providers.a.keys: is a text"),
            ("[providers.a]\nkeys = [['KEY']]", "providers.a.keys[0]: is a list"),
            ("[providers.a]\nkeys = {KEY = 1}", "providers.a.keys: "),
            ("[providers.a]\nkeys = [{KEY = 1}]", "providers.a.keys[0]"),
            ("[providers.a]\nkeys = [{value = 'KEY', env = 'KEY'}]", "providers.a.keys[0]: "),
            ("[providers.a]\nkeys = ['${KEY}']", "providers.a.keys[0]: the environment has no such variable"),
            ("[providers.a]\nkeys = ['KEY]", "2:"),
            ("[providers.a]\nkeys = [KEY]", "2:"),
            ("[providers.a]\nkeys = ['KEY' 'KEY']", "2:"),
            ("[providers.a]\n'KEY'", "2:"),
            ("[providers.a]\nkeys = \"KEY\\q\"", "2:"),
            ("[providers.a]\nmodels = 'KEY'", "providers.a.models: "),
            ("[providers.a]\ndialect = 'KEY'", "providers.a.dialect: "),
            ("[providers.a]\nmodels.m.retires = 'KEY'", "providers.a.models.m.retires: "),
            ("[providers.a]\ntransport.connect_timeout = 'KEY'", "providers.a.transport.connect_timeout: "),
            ("calls_max = 'KEY'", "calls_max: "),
            ("KEY = 1", "1:1: configuration: has an unknown field"),
            ("[server]\nlisten = 'KEY'", "server.listen: "),
            ("[server]\nstreams = 'KEY'", "server.streams: "),
            ("[server]\ndrain = 'KEY'", "server.drain: "),
            ("[[server.keys]]\nname = 'a'\nsha256 = 'KEY'", "server.keys[0].sha256: "),
            ("[server]\ntls = 'KEY'", "server.tls: "),
            ("[providers.openai.'KEY']", "providers.openai."),
            ("[aliases]\n'KEY' = 'x'", "aliases."),
            ("[providers.a]\nheaders = {'KEY x' = 'y'}", "providers.a.headers."),
            ("[providers.'a/KEY']", "providers"),
            ("[routes.'KEY']\ntargets = []", "routes."),
        ] {
            let provider = if text.contains("[providers") { "" } else { PROVIDER };
            let said = parse(&(text.replace("KEY", KEY) + provider)).expect_err(text).to_string();
            assert!(!said.contains("4uCk") && said.contains(place), "{text}: {said}");
            let line = said.lines().all(|line| line.starts_with(|first: char| first.is_ascii_digit()));
            assert!(line, "{text}: {said}");
        }
    }

    #[test]
    fn a_name_that_a_table_of_a_list_has_twice_is_told() {
        let key = "[[server.keys]]\nname = 'one'\n[[server.keys]]\nname = 'two'\nname = 'zwei'\n";
        let said = refused(&format!("{key}{PROVIDER}"));
        assert!(said.starts_with("5:1: ") && said.contains("there twice"), "{said}");
    }

    #[test]
    fn text_that_is_no_toml_is_refused_with_its_place() {
        assert!(refused("[server\n").starts_with("1:"));
        let said = refused(&format!("[server]\nlisten = true{PROVIDER}"));
        assert!(said.starts_with("2:1: server.listen: is true or false; must be an address"), "{said}");
    }
}

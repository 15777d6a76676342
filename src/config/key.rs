//! A key as a user sets it: its source, and how long it is good.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::times::check_time;
use crate::source::{fault, is_constant};
use crate::spec::KeySpec;
use crate::words::{ConfigError, Secret};

pub use crate::source::{IssuedKey, KeyFunction, KeySource};

/// One key: the key itself, or the source from which it is read when it is needed. It is read again shortly before it
/// expires, and once when the provider refuses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyConfig {
    /// Its name in the ledger and in events. Default: `key-1`, `key-2`, …
    pub name: Option<String>,
    /// Its source.
    pub source: KeySource,
    /// How long a key is good after it was read, if the source does not say. Default: until it is refused; a file is
    /// also read every minute.
    pub expires_in: Option<Duration>,
}

impl KeyConfig {
    /// Returns a key from a source, good until it is refused.
    pub fn new(source: KeySource) -> Self {
        Self { name: None, source, expires_in: None }
    }

    /// Returns a key that is this text.
    pub fn value(value: impl Into<Arc<str>>) -> Self {
        Self::new(KeySource::Value(Secret::new(value)))
    }

    /// Returns a key that an environment variable holds.
    pub fn env(variable: impl Into<String>) -> Self {
        Self::new(KeySource::Env(variable.into()))
    }

    /// Returns a key that a file holds.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::new(KeySource::File(path.into()))
    }

    /// Returns a key that a program prints.
    pub fn command<A: Into<String>>(program: impl Into<String>, arguments: impl IntoIterator<Item = A>) -> Self {
        let arguments = arguments.into_iter().map(Into::into).collect();
        Self::new(KeySource::Command { program: program.into(), arguments })
    }

    /// Returns a key that a function issues. It is called when there is no key yet, when the last one is about to
    /// expire or was refused; never twice at once, and for 10 s at most. Its errors are shown nowhere, because they may
    /// hold secrets: let the function log them.
    ///
    /// ```
    /// use std::time::Duration;
    /// use standin::config::{IssuedKey, KeyConfig};
    ///
    /// let key = KeyConfig::renewing("cloud", || async {
    ///     // Ask a metadata server.
    ///     Ok::<_, std::io::Error>(IssuedKey::new("token").expires_in(Duration::from_secs(3_600)))
    /// });
    /// ```
    pub fn renewing<F, T, E>(name: impl Into<String>, issue: F) -> Self
    where
        F: Fn() -> T + Send + Sync + 'static,
        T: Future<Output = Result<IssuedKey, E>> + Send + 'static,
    {
        Self::new(KeySource::Function(KeyFunction::new(issue))).named(name)
    }

    /// Sets the name by which the ledger and events call it.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets how long a key is good after it was read.
    #[must_use]
    pub fn expires_in(mut self, lifetime: Duration) -> Self {
        self.expires_in = Some(lifetime);
        self
    }

    /// Checks what can be checked without reading it.
    pub(super) fn check(&self, field: &str, name: String) -> Result<KeySpec, ConfigError> {
        let wrong = |what: &str| Err(ConfigError::new(field, what));
        match &self.source {
            KeySource::Value(_) if self.expires_in.is_some() => {
                return wrong(
                    "has an `expires_in`, and is written here itself: it cannot be read again; leave `expires_in` out",
                );
            }
            KeySource::Value(secret) => {
                if let Some(fault) = fault(secret.expose()) {
                    return wrong(&format!("must be a key, and {fault}"));
                }
                if let Some(slip) = slip(secret.expose()) {
                    return wrong(slip);
                }
                if let Some(name) = reference(secret.expose()) {
                    let must = "is a reference as other tools write them; must be a key, or where it is read, as";
                    return wrong(&format!("{must} {{ env = \"{name}\" }}"));
                }
            }
            KeySource::Env(variable) if !is_variable(variable) => {
                return wrong(
                    "has an `env` that is no variable's name; write the name alone, as { env = \"OPENAI_API_KEY\" }, \
                     and a key itself as a text",
                );
            }
            KeySource::File(path) if path.as_os_str().is_empty() => return wrong("has a `file` without a path"),
            KeySource::Command { program, .. } if program.is_empty() => {
                return wrong("has a `command` without a program");
            }
            KeySource::Env(_) | KeySource::File(_) | KeySource::Command { .. } | KeySource::Function(_) => {}
        }
        if let Some(lifetime) = self.expires_in {
            check_time(&format!("{field}.expires_in"), lifetime)?;
        }
        Ok(KeySpec { name: name.into(), source: Some(self.source.clone()), expires_in: self.expires_in })
    }
}

/// Returns what was written around a key by mistake, and would be sent with it.
fn slip(key: &str) -> Option<&'static str> {
    if key.trim() != key {
        Some("has a blank at an end; write the key alone")
    } else if key.get(..7).is_some_and(|begin| begin.eq_ignore_ascii_case("bearer ")) {
        Some("begins with `Bearer`, which is added where a provider wants it; write the key alone")
    } else if ['"', '\''].iter().any(|quote| key.len() > 1 && key.starts_with(*quote) && key.ends_with(*quote)) {
        Some("has quotes of its own; write the key alone")
    } else {
        None
    }
}

/// Tells whether a text is a name that a shell gives a variable. A key that was written in its place is none.
fn is_variable(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.bytes().all(letter) && text.starts_with(|first: char| !first.is_ascii_digit())
}

/// Returns the variable, if a text is a reference to one in another tool's notation. A text that does not look like a
/// variable may be a key, and is not repeated.
fn reference(text: &str) -> Option<&str> {
    let name = ["os.environ/", "os.environ[", "process.env.", "env.", "env:", "${", "{{", "$"];
    let name = name.into_iter().find_map(|before| text.trim().strip_prefix(before))?;
    let name = name.trim().trim_start_matches("env.").trim_matches(['}', ']', '"', '\'', ' ']);
    Some(if name.contains('_') && is_constant(name) { name } else { "OPENAI_API_KEY" })
}

/// A key as a table of a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyTable {
    name: Option<String>,
    value: Option<String>,
    env: Option<String>,
    file: Option<PathBuf>,
    command: Option<Vec<String>>,
    #[serde(default, with = "humantime_serde")]
    expires_in: Option<Duration>,
}

impl KeyTable {
    /// Returns the key, if the table names exactly one source.
    fn key(self) -> Option<KeyConfig> {
        let Self { name, value, env, file, command, expires_in } = self;
        let source = match (value, env, file, command) {
            (Some(value), None, None, None) => KeySource::Value(Secret::new(value)),
            (None, Some(variable), None, None) => KeySource::Env(variable),
            (None, None, Some(path), None) => KeySource::File(path),
            (None, None, None, Some(command)) => {
                let mut words = command.into_iter();
                KeySource::Command { program: words.next().unwrap_or_default(), arguments: words.collect() }
            }
            _ => return None,
        };
        Some(KeyConfig { name, source, expires_in })
    }
}

impl<'de> Deserialize<'de> for KeyConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KeyVisitor)
    }
}

/// Tells a text from a table, so that errors within a table can be reported.
struct KeyVisitor;

impl<'de> Visitor<'de> for KeyVisitor {
    type Value = KeyConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key in quotes, or a table that says where it is, as { env = \"OPENAI_API_KEY\" }")
    }

    fn visit_str<E>(self, value: &str) -> Result<KeyConfig, E> {
        Ok(KeyConfig::value(value))
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<KeyConfig, M::Error> {
        let table = KeyTable::deserialize(MapAccessDeserializer::new(map))?;
        table.key().ok_or_else(|| {
            M::Error::custom("a key has one of `value`, `env`, `file` and `command`, as { env = \"OPENAI_API_KEY\" }")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<KeyConfig, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn every_form_of_a_key_is_read() {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        for (text, expected) in [
            (r#""sk-1""#, KeyConfig::value("sk-1")),
            (r#"{"value": "sk-1"}"#, KeyConfig::value("sk-1")),
            (r#"{"name": "work", "value": "sk-1"}"#, KeyConfig::value("sk-1").named("work")),
            (r#"{"env": "OPENAI_API_KEY"}"#, KeyConfig::env("OPENAI_API_KEY")),
            (r#"{"file": "/run/secrets/a", "expires_in": "5m"}"#, {
                KeyConfig::file("/run/secrets/a").expires_in(minutes(5))
            }),
            (r#"{"command": ["gcloud", "auth", "print-access-token"], "expires_in": "55m", "name": "cloud"}"#, {
                KeyConfig::command("gcloud", ["auth", "print-access-token"]).expires_in(minutes(55)).named("cloud")
            }),
            (r#"{"command": ["token"]}"#, KeyConfig::command("token", [""; 0])),
        ] {
            assert_eq!(read(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn an_invalid_table_is_refused_with_the_reason() {
        for (text, expected) in [
            ("{}", "a key has one of `value`, `env`, `file` and `command`"),
            (r#"{"value": "sk-1", "env": "X"}"#, "a key has one of"),
            (r#"{"name": "work"}"#, "a key has one of"),
            (r#"{"vlaue": "sk-1"}"#, "unknown field `vlaue`"),
            (r#"{"command": ["a"], "expires_in": 5}"#, "expected a duration"),
            ("7", "expected a key in quotes, or a table that says where it is"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
            assert!(!error.contains("sk-1"), "{error}");
        }
    }

    #[test]
    fn a_reference_of_another_tool_is_no_key() {
        for (text, name) in [
            ("os.environ/MY_KEY", "MY_KEY"),
            ("$MY_KEY", "MY_KEY"),
            ("env:MY_KEY", "MY_KEY"),
            ("env.MY_KEY", "MY_KEY"),
            ("{{ env.MY_KEY }}", "MY_KEY"),
            ("{{MY_KEY}}", "MY_KEY"),
            ("process.env.MY_KEY", "MY_KEY"),
            ("$sk-1abcSECRET", "OPENAI_API_KEY"),
        ] {
            let error = KeyConfig::value(text).check("keys[0]", "k".into()).expect_err(text).to_string();
            assert!(error.contains(&format!("{{ env = \"{name}\" }}")) && !error.contains("SECRET"), "{text}: {error}");
        }
        for slip in ["Bearer sk-1", "bearer sk-1", " sk-1", "sk-1 ", "\"sk-1\"", "'sk-1'"] {
            let error = KeyConfig::value(slip).check("keys[0]", "k".into()).expect_err(slip).to_string();
            assert!(error.contains("write the key alone") && !error.contains("sk-1"), "{slip}: {error}");
        }
        for name in ["sk-proj-1", "${KEY}", "A=B", "1KEY", "A KEY", "", "A\nB"] {
            let error = KeyConfig::env(name).check("keys[0]", "k".into()).expect_err(name).to_string();
            assert!(error.contains("{ env = \"OPENAI_API_KEY\" }") && !error.contains("sk-"), "{name}: {error}");
        }
        for key in ["sk-1", "environment", "k$1", "AIza{x}", "\""] {
            assert!(KeyConfig::value(key).check("keys[0]", "k".into()).is_ok(), "{key}");
        }
    }

    #[test]
    fn debug_shows_a_keys_source_but_neither_the_key_nor_a_commands_arguments() {
        let issue = || async { Ok::<_, ()>(IssuedKey::new("sk-secret")) };
        for (key, shown) in [
            (KeyConfig::value("sk-secret"), "[redacted]"),
            (KeyConfig::env("OPENAI_API_KEY"), "OPENAI_API_KEY"),
            (KeyConfig::file("/run/secrets/openai"), "/run/secrets/openai"),
            (KeyConfig::command("vault", ["--token", "sk-secret"]), "vault"),
            (KeyConfig::renewing("cloud", issue), "cloud"),
        ] {
            let built = key.check("keys", "k".into()).expect("a good key");
            for text in [format!("{key:?}"), format!("{built:?} {}", key.source)] {
                assert!(!text.contains("sk-secret"), "{text}");
            }
            assert!(format!("{key:?}").contains(shown), "{key:?}");
        }
        let issued = IssuedKey::new("sk-secret");
        assert!(!format!("{issued:?}").contains("sk-secret"));
    }

    #[test]
    fn two_keys_are_equal_if_their_sources_are() {
        let issue = || async { Ok::<_, ()>(IssuedKey::new("sk-1")) };
        let renewing = KeyConfig::renewing("cloud", issue);
        assert_eq!(renewing, renewing.clone());
        assert_ne!(renewing, KeyConfig::renewing("cloud", issue), "another function, as far as one can tell");
        assert_ne!(KeyConfig::env("A"), KeyConfig::env("B"));
    }
}

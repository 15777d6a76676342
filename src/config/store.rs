//! Where records are kept, as a user sets it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer};

use super::key::KeyConfig;
#[cfg(feature = "store")]
use super::key::KeySource;
#[cfg(feature = "store")]
use crate::spec::{EncryptionKey, StoreSpec};
use crate::words::ConfigError;

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest time that can be set for keeping.
const KEEP_MAX: Duration = Duration::from_secs(10 * 366 * 24 * 60 * 60);
/// The smallest file: its tables alone take a tenth of it.
const BYTES_MIN: u64 = 1 << 20;

/// Where records of attempts and calls are kept: a file that outlives the process. It needs the feature `store`, which
/// the program has.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    /// The file. It is made where it is missing, for its owner alone, and belongs to one process at a time.
    pub path: PathBuf,
    /// How long each attempt and each call is kept. Default: 30 days.
    #[serde(default = "keep", with = "humantime_serde")]
    pub keep: Duration,
    /// How long the sums of each hour are kept, from which the ledger answers. Default: 400 days.
    #[serde(default = "keep_totals", with = "humantime_serde")]
    pub keep_totals: Duration,
    /// How long durable calls are kept after their end, with their requests and answers. Default: a day.
    #[serde(default = "durable_for", with = "humantime_serde")]
    pub durable_for: Duration,
    /// The largest size of all but durable calls, such as `"2GB"`; beyond it the oldest records are deleted. Default:
    /// 1 GiB.
    #[serde(default = "size_max", deserialize_with = "a_size")]
    pub size_max: u64,
    /// The largest size of durable calls; beyond it the oldest that have ended are deleted, and where none has, new
    /// ones are refused. Default: as `size_max`.
    #[serde(default, deserialize_with = "maybe_a_size")]
    pub durable_size_max: Option<u64>,
    /// Whether the state of providers is kept for the next start, too: breakers, holds, limits, latencies. Default:
    /// true.
    #[serde(default = "warm")]
    pub warm: bool,
    /// The keys that durable calls are sealed with: the first seals, each one opens what it sealed. A key is 32 bytes
    /// as hexadecimal digits or base64, and is read once, at the start. Default: none, and nothing is sealed.
    #[serde(default)]
    pub encryption_keys: Vec<KeyConfig>,
}

impl StoreConfig {
    /// Returns a store in a file, with the usual times.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let (keep, keep_totals, durable_for) = (keep(), keep_totals(), durable_for());
        Self {
            path: path.into(),
            keep,
            keep_totals,
            durable_for,
            size_max: size_max(),
            durable_size_max: None,
            warm: warm(),
            encryption_keys: Vec::new(),
        }
    }

    /// Checks it.
    pub(super) fn check(&self, errors: &mut Vec<ConfigError>) {
        let Self { path, keep, keep_totals, durable_for, size_max, durable_size_max, warm: _, encryption_keys } = self;
        let mut refuse = |field: &str, problem: &str| errors.push(ConfigError::new(format!("store{field}"), problem));
        if path.as_os_str().is_empty() {
            refuse(".path", "must name a file, as \"standin.db\"");
        }
        if !(HOUR..=KEEP_MAX).contains(keep) {
            refuse(".keep", "must be an hour or more and at most ten years, as \"30d\"");
        }
        if !(*keep..=KEEP_MAX).contains(keep_totals) {
            let days = (*keep).clamp(self::keep_totals(), KEEP_MAX).as_secs().div_ceil(DAY.as_secs());
            refuse(".keep_totals", &format!("must be `keep` or more and at most ten years, as \"{days}d\""));
        }
        if durable_for.is_zero() || *durable_for > KEEP_MAX {
            refuse(".durable_for", "must be longer than 0 s and at most ten years, as \"1d\"");
        }
        if *size_max < BYTES_MIN {
            refuse(".size_max", "must be 1 MiB or more, as \"2GB\"");
        }
        if durable_size_max.is_some_and(|bytes| bytes < BYTES_MIN) {
            refuse(".durable_size_max", "must be 1 MiB or more, as \"2GB\"");
        }
        if cfg!(not(feature = "store")) {
            refuse("", "this build keeps nothing: build it with the feature `store`");
        }
        for (at, key) in encryption_keys.iter().enumerate() {
            errors.extend(check_key(key, &format!("store.encryption_keys[{at}]")).err());
        }
    }

    /// Returns its specification.
    #[cfg(feature = "store")]
    pub(super) fn spec(&self) -> StoreSpec {
        let Self { path, keep, keep_totals, durable_for, size_max, durable_size_max, warm, encryption_keys } = self;
        StoreSpec {
            path: path.clone(),
            keep: *keep,
            keep_totals: *keep_totals,
            durable_for: *durable_for,
            bytes_max: *size_max,
            durable_bytes_max: durable_size_max.unwrap_or(*size_max),
            warm: *warm,
            encryption_keys: encryption_keys.iter().map(|key| key.source.clone()).collect(),
        }
    }
}

/// Checks what can be checked of a key without reading it.
fn check_key(key: &KeyConfig, field: &str) -> Result<(), ConfigError> {
    if key.name.is_some() || key.expires_in.is_some() {
        let problem = "takes neither `name` nor `expires_in`: it is read once, at the start; leave them out";
        return Err(ConfigError::new(field, problem));
    }
    key.check(field, String::new())?;
    #[cfg(feature = "store")]
    if let KeySource::Value(secret) = &key.source
        && EncryptionKey::read(secret.expose()).is_none()
    {
        return Err(ConfigError::new(field, format!("must be {}", EncryptionKey::FORMS)));
    }
    Ok(())
}

const fn keep() -> Duration {
    DAY.saturating_mul(30)
}

const fn keep_totals() -> Duration {
    DAY.saturating_mul(400)
}

const fn warm() -> bool {
    true
}

const fn durable_for() -> Duration {
    DAY
}

const fn size_max() -> u64 {
    1 << 30
}

/// The forms of a size, for errors.
const SIZE: &str = "a size, as \"512MB\", \"2GB\", or a number of bytes";
/// Units behind a number, and their bytes.
const UNITS: [(&str, u64); 9] = [
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("b", 1),
];

fn size(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let (number, unit) =
        UNITS.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit))).unwrap_or((&text, 1));
    number.trim().parse::<u64>().ok()?.checked_mul(unit)
}

fn a_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    struct Size;

    impl Visitor<'_> for Size {
        type Value = u64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(SIZE)
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<u64, E> {
            size(text).ok_or_else(|| E::custom(format!("must be {SIZE}")))
        }

        fn visit_i64<E: serde::de::Error>(self, bytes: i64) -> Result<u64, E> {
            u64::try_from(bytes).map_err(|_| E::custom(format!("must be {SIZE}")))
        }

        fn visit_u64<E: serde::de::Error>(self, bytes: u64) -> Result<u64, E> {
            Ok(bytes)
        }
    }

    deserializer.deserialize_any(Size)
}

fn maybe_a_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    a_size(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<StoreConfig, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn a_path_is_enough_and_sizes_are_read_as_people_write_them() {
        assert_eq!(read("path = 'a.db'").expect("a store"), StoreConfig::new("a.db"));
        for (text, bytes) in [("'2GB'", 2_000_000_000), ("'1 GiB'", 1 << 30), ("'512mb'", 512_000_000), ("77", 77)] {
            let store = read(&format!("path = 'a.db'\nsize_max = {text}")).expect(text);
            assert_eq!(store.size_max, bytes, "{text}");
        }
        for text in ["'2 apples'", "'-1'", "-1", "true", "'99999999999TB'"] {
            assert!(read(&format!("path = 'a.db'\nsize_max = {text}")).is_err(), "{text}");
        }
    }

    #[test]
    fn a_value_out_of_range_is_refused_by_its_field() {
        let ill = StoreConfig { keep: Duration::ZERO, size_max: 7, durable_size_max: Some(7), ..StoreConfig::new("") };
        let mut errors = Vec::new();
        ill.check(&mut errors);
        let fields: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
        assert!(
            fields.starts_with(&["store.path", "store.keep", "store.size_max", "store.durable_size_max"]),
            "{fields:?}"
        );
        let hex = "0f".repeat(32);
        for (keys, problem) in [
            (format!("['{hex}', {{ env = 'STORE_KEY' }}, {{ file = 'key' }}, {{ command = ['pass', 'key'] }}]"), None),
            ("['secret-word']".to_owned(), Some("store.encryption_keys[0]: must be 32 bytes as 64 hex")),
            (format!("['{hex}', '{}']", &hex[1..]), Some("store.encryption_keys[1]: must be 32 bytes as 64 hex")),
            ("[{ env = '' }]".to_owned(), Some("store.encryption_keys[0]: has an `env` that is no variable's name")),
            ("[{ env = 'A', name = 'a' }]".to_owned(), Some("store.encryption_keys[0]: takes neither `name`")),
            ("[{ file = 'a', expires_in = '1h' }]".to_owned(), Some("store.encryption_keys[0]: takes neither `name`")),
        ] {
            let store = read(&format!("path = 'a.db'\nencryption_keys = {keys}")).expect(&keys);
            let mut errors = Vec::new();
            store.check(&mut errors);
            let told = errors.first().map(ToString::to_string);
            assert_eq!(told.is_some(), problem.is_some(), "{keys}: {told:?}");
            assert!(told.as_deref().unwrap_or_default().starts_with(problem.unwrap_or_default()), "{told:?}");
            assert!(!format!("{told:?}").contains("secret-word") && !format!("{store:?}").contains(&hex));
        }
        let mut errors = Vec::new();
        StoreConfig { keep_totals: DAY, ..StoreConfig::new("a.db") }.check(&mut errors);
        assert_eq!(errors[0].field, "store.keep_totals");
    }
}

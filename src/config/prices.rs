//! Where prices are listed, as a user sets it.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::carrier::check_way;
use crate::policy::hint::is_address;
use crate::spec::PricesSpec;
use crate::transport::TransportOptions;
use crate::words::ConfigError;

/// The shortest time between two questions for a list: it has some megabytes.
const EVERY_MIN: Duration = Duration::from_secs(60);
const EVERY_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Lists of prices, which go before the catalogue's and are taken in anew while the program runs. A price in the
/// configuration goes before them.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PricesConfig {
    /// A file: JSON with a price for each name, or `LiteLLM`'s `model_prices_and_context_window.json`. It is looked at
    /// every 2 s.
    pub file: Option<PathBuf>,
    /// An address of such a list, `http` or `https`. What the file lists goes before it.
    pub url: Option<String>,
    /// How often the address is asked. Default: 1 h.
    #[serde(with = "humantime_serde")]
    pub every: Duration,
    /// How connections to it are made.
    pub transport: TransportOptions,
}

impl Default for PricesConfig {
    fn default() -> Self {
        let every = Duration::from_secs(60 * 60);
        Self { file: None, url: None, every, transport: TransportOptions::default() }
    }
}

impl PricesConfig {
    /// Returns its specification.
    pub(super) fn check(&self, errors: &mut Vec<ConfigError>) -> PricesSpec {
        let Self { file, url, every, transport } = self;
        let mut refuse = |field: &str, problem: &str| errors.push(ConfigError::new(format!("prices.{field}"), problem));
        if file.as_ref().is_some_and(|file| file.as_os_str().is_empty()) {
            refuse("file", "must name a file, as \"prices.json\"");
        }
        if url.as_ref().is_some_and(|url| !is_address(url)) {
            refuse(
                "url",
                "is no address; one looks like \"https://prices.example.com/prices.json\", without a password",
            );
        }
        if !(EVERY_MIN..=EVERY_MAX).contains(every) {
            refuse("every", "must be a minute or more and at most a week, as \"1h\"");
        }
        check_way("prices.transport", transport, errors);
        PricesSpec { file: file.clone(), url: url.clone(), every: *every, transport: transport.clone() }
    }
}

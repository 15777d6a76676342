//! The way that requests take, as a user sets it: to a provider, or to a list of prices.

use super::times::{check_time, check_wait};
use crate::transport::{Http, TransportOptions};
use crate::words::ConfigError;

/// Checks the options of a way; `field` is where they are set.
pub(super) fn check_way(field: &str, options: &TransportOptions, errors: &mut Vec<ConfigError>) {
    let at = |name: &str| format!("{field}.{name}");
    errors.extend(Http::new(options).err().map(|error| ConfigError::new(at(&error.field), error.problem)));
    errors.extend(check_time(&at("connect_timeout"), options.connect_timeout).err());
    errors.extend(check_wait(&at("idle_timeout"), options.idle_timeout).err());
}

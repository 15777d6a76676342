//! The times that may be set.

use std::time::Duration;

use crate::words::ConfigError;

/// The shortest time that may be set: timers go by milliseconds.
const TIME_MIN: Duration = Duration::from_millis(1);
/// The longest time that can be set: no clock overflows with it.
const TIME_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Checks the longest time of something.
pub(crate) fn check_time(field: &str, time: Duration) -> Result<(), ConfigError> {
    let fine = time >= TIME_MIN && time <= TIME_MAX;
    if fine { Ok(()) } else { Err(ConfigError::new(field, "must be at least 1 ms and at most a year, as \"5s\"")) }
}

/// Checks a time that may be 0.
pub(crate) fn check_wait(field: &str, time: Duration) -> Result<(), ConfigError> {
    if time <= TIME_MAX { Ok(()) } else { Err(ConfigError::new(field, "must be at most a year, as \"5s\"")) }
}

/// Checks a time that must not be shorter than another one of its table, which is told of by itself where it is too
/// long.
pub(crate) fn check_order(field: &str, most: Duration, name: &str, least: Duration) -> Result<(), ConfigError> {
    if most >= least || least > TIME_MAX {
        return Ok(());
    }
    let example = humantime::format_duration(least);
    Err(ConfigError::new(field, format!("must be `{name}`, {example}, or longer, as \"{example}\"")))
}

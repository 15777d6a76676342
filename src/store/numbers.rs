//! Numbers as the file has them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension as _};

use crate::policy::budget::nanos;

/// Seconds in an hour.
pub(super) const HOUR: i64 = 3_600;

/// Returns a count as the file has it.
pub(super) fn whole(count: u64) -> i64 {
    // Providers count their tokens themselves; sums of wrong counts must not overflow.
    i64::try_from(count).unwrap_or(i64::MAX).min(1 << 40)
}

/// Returns dollars as the file has them; more than a million counts as a million.
pub(super) fn money(dollars: f64) -> i64 {
    nanos(dollars).clamp(0, nanos(1e6))
}

/// Returns a moment as the file has it: milliseconds since 1970.
pub(super) fn millis(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Returns a span as the file has it, in milliseconds.
pub(super) fn span_of(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

/// Returns the moment that the file says, in milliseconds since 1970.
pub(super) fn time_of(millis: i64) -> SystemTime {
    UNIX_EPOCH + span_of(millis)
}

/// Returns the hour of a moment in milliseconds since 1970, in hours since then.
pub(super) const fn hour_of(millis: i64) -> i64 {
    millis.div_euclid(1_000).div_euclid(HOUR)
}

/// Reads the wall's clock: what is kept outlives the machine's.
#[expect(clippy::disallowed_methods, reason = "the one place here that reads it")]
pub(super) fn wall() -> SystemTime {
    SystemTime::now()
}

/// Returns the count under a name so far.
pub(super) fn read_count(connection: &Connection, name: &str) -> rusqlite::Result<u64> {
    let count = connection.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0)).optional()?;
    Ok(count.map_or(0, |count: i64| u64::try_from(count).unwrap_or(0)))
}

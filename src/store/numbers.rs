//! Numbers as the file has them.

use std::time::{SystemTime, UNIX_EPOCH};

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

/// Returns the count under a name so far.
pub(super) fn read_count(connection: &Connection, name: &str) -> rusqlite::Result<u64> {
    let count = connection.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0)).optional()?;
    Ok(count.map_or(0, |count: i64| u64::try_from(count).unwrap_or(0)))
}

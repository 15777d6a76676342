//! What attempts in flight may still cost, as a process that hands over tells the one that follows.

use std::path::Path;

use rusqlite::OptionalExtension as _;

use super::error::OpenError;
use super::file;
use crate::spec::ReservedSpend;

/// Puts this in the place of what was told before.
#[cfg(feature = "sidecar")]
pub(super) fn write(connection: &rusqlite::Connection, reserved: &[ReservedSpend]) -> rusqlite::Result<usize> {
    let rows: Vec<_> = reserved.iter().map(|one| (&one.budget, &one.account, one.amount)).collect();
    let told = serde_json::to_string(&rows).unwrap_or_default();
    let put = "INSERT INTO meta VALUES ('reserved', ?1) ON CONFLICT DO UPDATE SET value = excluded.value";
    connection.prepare_cached(put)?.execute([told])
}

/// Returns what was told last.
pub(crate) fn reserved(path: &Path) -> Result<Vec<ReservedSpend>, OpenError> {
    let find = "SELECT value FROM meta WHERE name = 'reserved'";
    let told: Option<String> = file::read(path)?.query_row(find, (), |row| row.get(0)).optional()?;
    let rows: Vec<(String, String, i64)> = told.and_then(|told| serde_json::from_str(&told).ok()).unwrap_or_default();
    let reserved = |(budget, account, amount)| ReservedSpend { budget, account, amount };
    Ok(rows.into_iter().map(reserved).collect())
}

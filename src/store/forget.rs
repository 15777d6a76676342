//! Forgets entries that are too old, and the oldest if the file is too large; some at a time, so that no group waits
//! long.

use std::time::Duration;

use rusqlite::{Connection, params};

use super::hours::HOUR;
use super::keep;
use crate::spec::StoreSpec;

/// Rows that go at once: some milliseconds' work.
const ROWS: i64 = 2_000;
/// Pages that are given back to the disk at once.
const PAGES: i64 = 2_000;
/// How long the state of a provider is kept after it is no longer configured.
const MEMORY: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Forgets some. Returns whether there is more to forget.
pub(super) fn some(connection: &mut Connection, spec: &StoreSpec, now: i64) -> rusqlite::Result<bool> {
    let before = |time: Duration| now.saturating_sub(i64::try_from(time.as_millis()).unwrap_or(i64::MAX));
    let change = connection.transaction()?;
    let mut gone = older(&change, before(spec.keep))?;
    change.prepare_cached("DELETE FROM memory WHERE at < ?1")?.execute([before(MEMORY)])?;
    gone += keep::forget(&change, "ended_at < ?1", [before(spec.durable_for)])?;
    gone += totals(&change, before(spec.keep_totals).div_euclid(1_000).div_euclid(HOUR))?;
    if gone == 0 && used(&change)? > spec.bytes_max {
        gone = older(&change, i64::MAX)?;
        if gone == 0 {
            let oldest = "(runtime, number) IN (SELECT runtime, number FROM kept WHERE ended_at IS NOT NULL \
                          ORDER BY ended_at LIMIT 100)";
            gone = keep::forget(&change, oldest, ())?;
        }
        if gone == 0 {
            // Only sums are left: the oldest tenth of their time goes.
            let (first, last): (i64, i64) =
                change.query_row("SELECT coalesce(min(hour), 0), coalesce(max(hour), 0) FROM hour", (), |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })?;
            gone = totals(&change, first + (last - first) / 10 + 1)?;
        }
    }
    change.commit()?;
    // Each step gives one page back.
    let mut back = connection.prepare(&format!("PRAGMA incremental_vacuum({PAGES})"))?;
    let mut rows = back.query(())?;
    while rows.next()?.is_some() {}
    Ok(gone > 0)
}

/// Forgets some of the entries that ended before then, the oldest first.
fn older(connection: &Connection, before: i64) -> rusqlite::Result<usize> {
    let mut gone = 0;
    for table in ["attempt", "call"] {
        let old =
            format!("DELETE FROM {table} WHERE id IN (SELECT id FROM {table} ORDER BY id LIMIT ?1) AND ended_at < ?2");
        gone += connection.prepare_cached(&old)?.execute(params![ROWS, before])?;
    }
    Ok(gone)
}

/// Forgets the sums of the hours before one.
fn totals(connection: &Connection, before: i64) -> rusqlite::Result<usize> {
    let mut gone = 0;
    for table in ["hour", "call_hour"] {
        gone += connection.prepare_cached(&format!("DELETE FROM {table} WHERE hour < ?1"))?.execute([before])?;
    }
    let old = "DELETE FROM tag_hour WHERE hour < ?1 AND tag IN (SELECT DISTINCT tag FROM tag_hour)";
    Ok(gone + connection.prepare_cached(old)?.execute([before])?)
}

/// Returns how long the file is, in bytes.
pub(super) fn bytes(connection: &Connection) -> rusqlite::Result<u64> {
    pages(connection, "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")
}

/// Returns how much of it is used.
fn used(connection: &Connection) -> rusqlite::Result<u64> {
    pages(
        connection,
        "SELECT (page_count - freelist_count) * page_size \
         FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()",
    )
}

fn pages(connection: &Connection, sql: &str) -> rusqlite::Result<u64> {
    let bytes: i64 = connection.prepare_cached(sql)?.query_row((), |row| row.get(0))?;
    Ok(u64::try_from(bytes).unwrap_or(0))
}

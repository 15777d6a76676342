//! Forgets entries that are too old, and the oldest if the file is too large; some at a time, so that no group waits
//! long.

use std::time::Duration;

use rusqlite::{Connection, params};

use super::numbers::{hour_of, read_count, whole};
use super::{durable_writes, hours};
use crate::spec::StoreSpec;

/// Rows that go at once: some milliseconds' work.
const ROWS: i64 = 4_000;
/// Entries that ended later than this from now have a clock's mistake for their time.
const AHEAD: i64 = 24 * 60 * 60 * 1_000;
/// Pages that are given back to the disk at once.
const PAGES: i64 = 2_000;
/// How long an account is kept after it no longer counts.
const ACCOUNTS_KEPT_FOR: Duration = Duration::from_secs(60 * 60);
/// How long the state of a provider is kept after it is no longer configured.
const MEMORY: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Forgets some. Returns whether there is more to forget.
pub(super) fn some(connection: &mut Connection, spec: &StoreSpec, now: i64) -> rusqlite::Result<bool> {
    let before = |time: Duration| now.saturating_sub(i64::try_from(time.as_millis()).unwrap_or(i64::MAX));
    let change = connection.transaction()?;
    let mut gone = older(&change, before(spec.keep), now.saturating_add(AHEAD))?;
    change.prepare_cached("DELETE FROM memory WHERE at < ?1")?.execute([before(MEMORY)])?;
    gone += durable_writes::forget(&change, "ended_at < ?1", [before(spec.durable_for)])?;
    gone += totals(&change, hour_of(before(spec.keep_totals)))?;
    // An account stays a while longer than it counts: the clock may be set back.
    change.prepare_cached("DELETE FROM purse WHERE over < ?1")?.execute([before(ACCOUNTS_KEPT_FOR)])?;
    let mut told = Vec::new();
    if gone == 0 {
        let durable = durable_writes::bytes(&change, "")?;
        if durable > spec.durable_bytes_max {
            let oldest = "(runtime, number) IN (SELECT runtime, number FROM kept WHERE ended_at IS NOT NULL \
                          ORDER BY ended_at LIMIT 100)";
            let calls = durable_writes::forget(&change, oldest, ())?;
            told.push(("durable calls", add(&change, "removed_calls", calls)?, spec.durable_bytes_max));
            gone += calls;
        }
        if used(&change)?.saturating_sub(durable) > spec.bytes_max {
            let entries = older(&change, i64::MAX, i64::MAX)?;
            told.push(("entries", add(&change, "removed", entries)?, spec.bytes_max));
            gone += entries;
            if entries == 0 {
                // Only sums are left: the oldest tenth of their time goes.
                let ends = "SELECT coalesce(min(hour), 0), coalesce(max(hour), 0) FROM sums WHERE kind = 'all'";
                let (first, last): (i64, i64) = change.query_row(ends, (), |row| Ok((row.get(0)?, row.get(1)?)))?;
                let sums = totals(&change, first + (last - first) / 10 + 1)?;
                told.push(("sums of hours", add(&change, "removed_sums", sums)?, spec.bytes_max));
                gone += sums;
            }
        }
    }
    change.commit()?;
    for (what, (before, count), bytes_max) in told {
        // The first, and then less and less often.
        if before.checked_ilog2() != count.checked_ilog2() {
            tracing::warn!(what, count, bytes_max, path = %spec.path.display(), "the oldest were deleted for size");
        }
    }
    // Each step gives one page back.
    let mut back = connection.prepare(&format!("PRAGMA incremental_vacuum({PAGES})"))?;
    let mut rows = back.query(())?;
    while rows.next()?.is_some() {}
    Ok(gone > 0)
}

/// Forgets some of the entries that ended before then, in the order in which they were written, up to the first that is
/// younger. A clock that was set leaves times that are out of that order: one of the past goes with its neighbours, and
/// one of the future keeps none of them.
fn older(connection: &Connection, before: i64, ahead: i64) -> rusqlite::Result<usize> {
    let first = "SELECT * FROM (SELECT id, ended_at FROM attempt ORDER BY id LIMIT ?1) UNION ALL \
                 SELECT * FROM (SELECT id, ended_at FROM call ORDER BY id LIMIT ?1) ORDER BY 1 LIMIT ?1";
    let mut first = connection.prepare_cached(first)?;
    let mut rows = first.query([ROWS])?;
    let mut until = i64::MIN;
    while let Some(row) = rows.next()? {
        let (id, ended_at): (i64, i64) = (row.get(0)?, row.get(1)?);
        if ended_at < before {
            until = id + 1;
        } else if ended_at <= ahead {
            break;
        }
    }
    let mut gone = 0;
    for table in ["attempt", "call"] {
        gone += connection.prepare_cached(&format!("DELETE FROM {table} WHERE id < ?1"))?.execute([until])?;
    }
    Ok(gone)
}

/// Forgets the sums of the hours before one, and keeps that from then on they are whole.
fn totals(connection: &Connection, before: i64) -> rusqlite::Result<usize> {
    let gone = hours::forget(connection, before)?;
    if gone > 0 {
        let told = "INSERT INTO meta VALUES ('whole_from', ?1) \
                    ON CONFLICT DO UPDATE SET value = max(value, excluded.value)";
        connection.prepare_cached(told)?.execute([before])?;
    }
    Ok(gone)
}

/// Counts what was deleted for size. Returns how much that was before and is now, since the file was begun.
fn add(connection: &Connection, name: &str, more: usize) -> rusqlite::Result<(u64, u64)> {
    let before = read_count(connection, name)?;
    let now = before.saturating_add(more as u64);
    let told = "INSERT INTO meta VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value";
    connection.prepare_cached(told)?.execute(params![name, whole(now)])?;
    Ok((before, now))
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

//! Whether a file is whole: its pages, its entries without a gap or a double, and its sums those of its entries.

use std::path::Path;

use rusqlite::Connection;

use super::error::LedgerError;
use super::numbers::{HOUR, read_count};
use super::{file, schema};
use crate::policy::persist;

/// The result of checking a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// Attempts that it holds.
    pub attempts: u64,
    /// Calls that it holds.
    pub calls: u64,
    /// Records that were lost, by its own account.
    pub lost: u64,
    /// The problems found; empty if there are none.
    pub problems: Vec<String>,
}

/// Counts the rows of durable calls that a disk has changed.
fn damaged(connection: &Connection) -> rusqlite::Result<i64> {
    let mut rows = connection.prepare(
        "SELECT request, sum FROM kept WHERE sum IS NOT NULL UNION ALL \
         SELECT item, sum FROM kept_item WHERE sum IS NOT NULL",
    )?;
    let mut rows = rows.query(())?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        count += i64::from(persist::sum(row.get_ref(0)?.as_blob()?).cast_signed() != row.get::<_, i64>(1)?);
    }
    Ok(count)
}

/// Checks all of a file. It takes as long as reading it.
///
/// # Errors
/// If there is no such file, or it cannot be opened.
pub fn verify_file(path: &Path) -> Result<Verified, LedgerError> {
    let checked = file::read_sums(path, "all").and_then(|connection| Ok(verify(&connection)?));
    checked.map_err(|error| LedgerError::unreadable(path, &error))
}

fn verify(connection: &Connection) -> rusqlite::Result<Verified> {
    let count = |sql: &str| connection.query_row(sql, (), |row| row.get::<_, i64>(0));
    let number = |count: i64| u64::try_from(count).unwrap_or(0);
    let mut problems: Vec<String> = connection
        .prepare("PRAGMA integrity_check(10)")?
        .query_map((), |row| row.get::<_, String>(0))?
        .filter(|found| found.as_deref() != Ok("ok"))
        .collect::<rusqlite::Result<_>>()?;
    let (attempts, calls) = (count("SELECT count(*) FROM attempt")?, count("SELECT count(*) FROM call")?);
    let ids = "(SELECT id FROM attempt UNION ALL SELECT id FROM call)";
    let missing = count(&format!("SELECT coalesce(max(id) - min(id) + 1, 0) - count(*) FROM {ids}"))?;
    let twice = count(&format!("SELECT count(*) - count(DISTINCT id) FROM {ids}"))?;
    let attempts_twice =
        count("SELECT count(*) FROM (SELECT 1 FROM attempt GROUP BY runtime, call, number HAVING count(*) > 1)")?;
    let calls_twice = count("SELECT count(*) FROM (SELECT 1 FROM call GROUP BY runtime, number HAVING count(*) > 1)")?;
    // Sums outlive their entries: of the hour that the first is of there may be more. What a clock that was wrong put
    // long before all others is soon in no sum.
    let from = "max((SELECT CASE WHEN min(id) = 1 THEN min(hour) ELSE min(hour) + 1 END FROM entry), \
                (SELECT min(hour) FROM sums WHERE kind = 'all'))";
    let entry = format!("SELECT id, ended_at / 1000 / {HOUR} AS hour, cost FROM attempt");
    let wrong = count(&format!(
        "WITH entry AS ({entry}), \
         entries AS (SELECT hour, count(*), sum(coalesce(cost, 0)) FROM entry WHERE hour >= {from} GROUP BY hour), \
         told AS (SELECT hour, sum(attempts), sum(cost) FROM sums WHERE kind = 'all' AND hour >= {from} GROUP BY hour) \
         SELECT (SELECT count(*) FROM (SELECT * FROM entries EXCEPT SELECT * FROM told)) \
              + (SELECT count(*) FROM (SELECT * FROM told EXCEPT SELECT * FROM entries))"
    ))?;
    // An older form has none.
    let gaps = match count("SELECT count(*) FROM sqlite_schema WHERE name = 'kept_item'")? {
        0 => 0,
        _ => count(
            "SELECT count(*) FROM (SELECT 1 FROM kept_item GROUP BY runtime, number HAVING count(*) <> max(at) + 1)",
        )?,
    };
    let damaged =
        if schema::form(connection).is_ok_and(|form| form >= schema::LINES) { damaged(connection)? } else { 0 };
    for (found, what) in [
        (damaged, "rows of durable calls are not what was written"),
        (gaps, "durable calls lack something that was told"),
        (missing, "entries are missing among others"),
        (twice, "entries have the number of another"),
        (attempts_twice, "attempts stand there twice"),
        (calls_twice, "calls stand there twice"),
        (wrong, "hours have sums that are not those of their entries"),
    ] {
        if found != 0 {
            problems.push(format!("{found} {what}"));
        }
    }
    let lost = read_count(connection, "lost")?;
    Ok(Verified { attempts: number(attempts), calls: number(calls), lost, problems })
}

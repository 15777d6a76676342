//! Questions: answered from the sums of hours, so that the number of entries does not matter; but for a tag that has no
//! sums in an hour, because others took all places: that hour's entries are read.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, Row, params};

use super::error::{LedgerError, OpenError};
use super::file;
use super::hours::{lacking, of_tag};
use super::numbers::{HOUR, millis, read_count};
use super::schema::ENDS;
use crate::policy::statement::{GroupBy, Line, Question, Statement};
use crate::words::consequence::Waste;
use crate::words::{FailureClass, Usage};

/// The most lines by default.
const LINES_MAX: u32 = 1_000;

/// The sums of attempts, beside the columns of their groups; `end` is how they ended.
const SUMS: &str = "sum(attempts), sum(attempts * (end = 'won')), sum(unpriced), sum(input), sum(cached), \
                    sum(cache_write), sum(output), sum(reasoning), sum(cost), sum(estimated), \
                    sum(cost * (end <> 'won'))";

/// How an attempt ended, by its name.
const END: &str = "name.text AS end";
/// The same sums before the groups get their names: a hundredth of the rows.
const INNER: &str = "sum(attempts) AS attempts, sum(unpriced) AS unpriced, sum(input) AS input, sum(cached) AS cached, \
                     sum(cache_write) AS cache_write, sum(output) AS output, sum(reasoning) AS reasoning, \
                     sum(cost) AS cost, sum(estimated) AS estimated";

/// Answers a question from a file.
pub(super) fn answer(path: &Path, question: &Question) -> Result<Statement, LedgerError> {
    let unreadable = |error: OpenError| LedgerError::Unreadable { path: path.to_owned(), problem: error.to_string() };
    if !path.exists() {
        let problem = "there is no such file".to_owned();
        return Err(LedgerError::Unreadable { path: path.to_owned(), problem });
    }
    let connection = file::read(path).map_err(unreadable)?;
    statement(&connection, question).map_err(|error| unreadable(error.into()))
}

fn statement(connection: &Connection, question: &Question) -> rusqlite::Result<Statement> {
    let hour = |time: SystemTime| millis(time).div_euclid(1_000).div_euclid(HOUR);
    let (since, until) = (question.since.map_or(i64::MIN, hour), question.until.map_or(i64::MAX, hour));
    let lines_max = if question.lines_max == 0 { LINES_MAX } else { question.lines_max };
    let tag = match &question.by {
        GroupBy::Tag(name) => name.as_str(),
        _ => "",
    };
    let form: u32 = connection.query_row("PRAGMA user_version", (), |row| row.get(0))?;
    let mut sql = sql(&question.by);
    if (form as usize) < ENDS {
        // Of all that no call wanted any more it was said that the caller had left.
        sql = sql.replace(END, "iif(name.text = 'cancelled', 'caller_left', name.text) AS end");
    }
    let mut asked = connection.prepare(&sql)?;
    // One line more than is shown is read: it tells whether there are more.
    let rows = asked.query_map(params![since, until, i64::from(lines_max) + 1, tag], line)?;
    let mut lines = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    let cut = lines.len() > lines_max as usize;
    lines.truncate(lines_max as usize);
    if is_of_time(&question.by) {
        lines.reverse();
    }
    let statement = Statement::new(question.by.clone(), lines, cut, read_count(connection, "lost")?);
    Ok(Statement {
        again: read_count(connection, "again")?,
        unknown_hours: if tag.is_empty() { 0 } else { unknown_hours(connection, since, until, tag)? },
        removed: read_count(connection, "removed")?.saturating_add(read_count(connection, "removed_sums")?),
        whole_from: match read_count(connection, "whole_from")? {
            0 => None,
            hour => Some(UNIX_EPOCH + Duration::from_secs(hour.saturating_mul(HOUR.unsigned_abs()))),
        },
        ..statement
    })
}

/// Counts the hours of a time in which a tag may have been used, without sums of it, and of which entries are deleted.
fn unknown_hours(connection: &Connection, since: i64, until: i64, tag: &str) -> rusqlite::Result<u64> {
    let first = "SELECT min(id), ended_at FROM (SELECT * FROM (SELECT id, ended_at FROM attempt ORDER BY id LIMIT 1) \
                 UNION ALL SELECT * FROM (SELECT id, ended_at FROM call ORDER BY id LIMIT 1))";
    let first: (Option<i64>, Option<i64>) = connection.query_row(first, (), |row| Ok((row.get(0)?, row.get(1)?)))?;
    // Of the hour of the first entry some may be deleted; where it is the first of all, none is.
    let kept_from = match first {
        (Some(1), _) => i64::MIN,
        (_, Some(ended_at)) => ended_at.div_euclid(1_000).div_euclid(HOUR) + 1,
        _ => i64::MAX,
    };
    let count = format!("SELECT count(*) FROM ({}) WHERE hour < ?4", lacking("?3", "?1", "?2"));
    let count: i64 = connection.query_row(&count, params![since, until, tag, kept_from], |row| row.get(0))?;
    Ok(count.unsigned_abs())
}

/// Returns a question in SQL: the time from ?1 to ?2, at most ?3 lines, the tag ?4.
fn sql(by: &GroupBy) -> String {
    let group = match by {
        GroupBy::Outcome => {
            return "SELECT text, sum(calls), 0, 0, 0, 0, 0, 0, 0, sum(cost), 0, sum(wasted) FROM call_hour \
                    JOIN name ON name.id = outcome WHERE hour >= ?1 AND hour < ?2 AND ?4 = '' \
                    GROUP BY 1 ORDER BY sum(cost) DESC, 1 LIMIT ?3"
                .to_owned();
        }
        GroupBy::Tag(_) => {
            return format!(
                "WITH few AS (SELECT value, end AS ending, {INNER} FROM ({}) GROUP BY value, end), \
                 named AS (SELECT few.*, {END} FROM few JOIN name ON name.id = ending) \
                 SELECT value, {SUMS} FROM named GROUP BY 1 ORDER BY sum(cost) DESC, 1 LIMIT ?3",
                of_tag("?4", "?1", "?2")
            );
        }
        GroupBy::All => "'all'".to_owned(),
        GroupBy::Route => of("route"),
        GroupBy::Provider => of("provider"),
        GroupBy::Model => of("model"),
        GroupBy::Target => format!("{} || '/' || {}", of("provider"), of("model")),
        GroupBy::Key => format!("{} || '/' || {}", of("provider"), of("key")),
        GroupBy::Client => of("client"),
        GroupBy::Day => format!("strftime('%Y-%m-%d', hour * {HOUR}, 'unixepoch')"),
        GroupBy::DayTarget => {
            let target = format!("{} || '/' || {}", of("provider"), of("model"));
            format!("strftime('%Y-%m-%d', hour * {HOUR}, 'unixepoch') || ' ' || {target}")
        }
        GroupBy::Hour => format!("strftime('%Y-%m-%dT%H:00Z', hour * {HOUR}, 'unixepoch')"),
        GroupBy::Waste => reasons(),
        GroupBy::Failure => "end".to_owned(),
    };
    let which = if matches!(by, GroupBy::Waste | GroupBy::Failure) { "WHERE end <> 'won'" } else { "" };
    let order = if is_of_time(by) { "1 DESC" } else { "sum(cost) DESC, 1" };
    let slot = if is_of_time(by) { "hour" } else { "0 AS hour" };
    format!(
        "WITH few AS (SELECT {slot}, route, provider, model, key, client, end AS ending, {INNER} FROM hour AS h \
         WHERE h.hour >= ?1 AND h.hour < ?2 AND ?4 = '' GROUP BY {by_slot}route, provider, model, key, client, end), \
         named AS (SELECT few.*, {END} FROM few JOIN name ON name.id = ending) \
         SELECT {group}, {SUMS} FROM named {which} GROUP BY 1 ORDER BY {order} LIMIT ?3",
        by_slot = if slot == "hour" { "h.hour, " } else { "" },
    )
}

/// Tells whether lines are of a time each, and stand in its order.
const fn is_of_time(by: &GroupBy) -> bool {
    matches!(by, GroupBy::Day | GroupBy::DayTarget | GroupBy::Hour)
}

/// Returns what a name of these is.
fn of(column: &str) -> String {
    format!("(SELECT text FROM name WHERE id = {column})")
}

/// Returns the SQL for the reason of waste, by how an attempt ended.
fn reasons() -> String {
    let reason = |class: &FailureClass| format!("WHEN '{class}' THEN '{}'", class.consequences().waste);
    let reasons: Vec<String> = FailureClass::ALL.iter().map(reason).collect();
    format!("CASE end {} ELSE '{}' END", reasons.join(" "), Waste::Failed)
}

fn line(row: &Row<'_>) -> rusqlite::Result<Line> {
    let count = |at: usize| row.get::<_, Option<i64>>(at).map(|count| u64::try_from(count.unwrap_or(0)).unwrap_or(0));
    let sum = |at: usize| row.get::<_, Option<i64>>(at).map(Option::unwrap_or_default);
    Ok(Line {
        of: row.get::<_, Option<String>>(0)?.unwrap_or_default(),
        attempts: count(1)?,
        answers: count(2)?,
        unpriced: count(3)?,
        usage: Usage {
            input: count(4)?,
            cached: count(5)?,
            cache_write: count(6)?,
            output: count(7)?,
            reasoning: count(8)?,
        },
        cost: sum(9)?,
        estimated: sum(10)?,
        wasted: sum(11)?,
    })
}

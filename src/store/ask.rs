//! Questions: answered from the sums of hours, so that the number of entries does not matter; but for a tag that has no
//! sums in an hour, because others took all places: that hour's entries are read.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, Row, params};

use super::error::LedgerError;
use super::file;
use super::hours::{SUMS, lacking, of_tag};
use super::numbers::{HOUR, hour_of, millis, read_count};
use crate::policy::statement::{GroupBy, Line, Question, Statement};
use crate::words::consequence::Waste;
use crate::words::{FailureClass, Usage};

/// The most lines by default.
const LINES_MAX: u32 = 1_000;

/// Answers a question from a file, whether or not a process keeps it.
///
/// # Errors
/// If there is no such file, or it cannot be read.
pub fn ask_file(path: &Path, question: &Question) -> Result<Statement, LedgerError> {
    if !path.exists() {
        return Err(LedgerError::unreadable(path, &"there is no such file"));
    }
    let answered = file::read_sums(path, &kind(&question.by)).and_then(|file| Ok(statement(&file, question)?));
    answered.map_err(|error| LedgerError::unreadable(path, &error))
}

fn statement(connection: &Connection, question: &Question) -> rusqlite::Result<Statement> {
    let hour = |time: SystemTime| hour_of(millis(time));
    let (since, until) = (question.since.map_or(i64::MIN, hour), question.until.map_or(i64::MAX, hour));
    let lines_max = if question.lines_max == 0 { LINES_MAX } else { question.lines_max };
    let kind = kind(&question.by);
    let is_tag = matches!(question.by, GroupBy::Tag(_));
    let mut asked = connection.prepare(&sql(&question.by))?;
    // One line more than is shown is read: it tells whether there are more.
    let rows = asked.query_map(params![since, until, i64::from(lines_max) + 1, kind], line)?;
    let mut lines = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    let cut = lines.len() > lines_max as usize;
    lines.truncate(lines_max as usize);
    if is_of_time(&question.by) {
        lines.reverse();
    }
    let statement = Statement::new(question.by.clone(), lines, cut, read_count(connection, "lost")?);
    Ok(Statement {
        again: read_count(connection, "again")?,
        unknown_hours: if is_tag { unknown_hours(connection, since, until, &kind)? } else { 0 },
        removed: read_count(connection, "removed")?.saturating_add(read_count(connection, "removed_sums")?),
        whole_from: match read_count(connection, "whole_from")? {
            0 => None,
            hour => Some(UNIX_EPOCH + Duration::from_secs(hour.saturating_mul(HOUR.unsigned_abs()))),
        },
        ..statement
    })
}

/// Counts the hours of a time in which a tag may have been used, without sums of it, and of which entries are deleted.
fn unknown_hours(connection: &Connection, since: i64, until: i64, kind: &str) -> rusqlite::Result<u64> {
    let first = "SELECT min(id), ended_at FROM (SELECT * FROM (SELECT id, ended_at FROM attempt ORDER BY id LIMIT 1) \
                 UNION ALL SELECT * FROM (SELECT id, ended_at FROM call ORDER BY id LIMIT 1))";
    let first: (Option<i64>, Option<i64>) = connection.query_row(first, (), |row| Ok((row.get(0)?, row.get(1)?)))?;
    // Of the hour of the first entry some may be deleted; where it is the first of all, none is.
    let kept_from = match first {
        (Some(1), _) => i64::MIN,
        (_, Some(ended_at)) => hour_of(ended_at) + 1,
        _ => i64::MAX,
    };
    let count = format!("SELECT count(*) FROM ({}) WHERE hour < ?4", lacking("?3", "?1", "?2"));
    let count: i64 = connection.query_row(&count, params![since, until, kind, kept_from], |row| row.get(0))?;
    Ok(count.unsigned_abs())
}

/// Returns the kind of the sums that answer a question.
fn kind(by: &GroupBy) -> String {
    match by {
        GroupBy::Day | GroupBy::Hour => GroupBy::All.to_string(),
        GroupBy::DayTarget => GroupBy::Target.to_string(),
        GroupBy::Waste => GroupBy::Failure.to_string(),
        own => own.to_string(),
    }
}

/// Returns a question in SQL: the time from ?1 to ?2, at most ?3 lines, the kind ?4.
fn sql(by: &GroupBy) -> String {
    let day = format!("strftime('%Y-%m-%d', hour * {HOUR}, 'unixepoch')");
    let line = match by {
        GroupBy::Day => day,
        GroupBy::DayTarget => format!("{day} || ' ' || line"),
        GroupBy::Hour => format!("strftime('%Y-%m-%dT%H:00Z', hour * {HOUR}, 'unixepoch')"),
        GroupBy::Waste => reasons(),
        _ => "line".to_owned(),
    };
    let from = match by {
        GroupBy::Tag(_) => of_tag("?4", "?1", "?2"),
        _ => "SELECT * FROM sums WHERE kind = ?4 AND hour >= ?1 AND hour < ?2".to_owned(),
    };
    let sums = SUMS.map(|sum| format!("sum({sum})")).join(", ");
    let order = if is_of_time(by) { "1 DESC" } else { "sum(cost) DESC, 1" };
    format!("SELECT {line}, {sums} FROM ({from}) GROUP BY 1 ORDER BY {order} LIMIT ?3")
}

/// Tells whether lines are of a time each, and stand in its order.
const fn is_of_time(by: &GroupBy) -> bool {
    matches!(by, GroupBy::Day | GroupBy::DayTarget | GroupBy::Hour)
}

/// Returns the SQL for the reason of waste, by how an attempt ended.
fn reasons() -> String {
    let reason = |class: &FailureClass| format!("WHEN '{class}' THEN '{}'", class.consequences().waste);
    let reasons: Vec<String> = FailureClass::ALL.iter().map(reason).collect();
    format!("CASE line {} ELSE '{}' END", reasons.join(" "), Waste::Failed)
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

//! The money spent before this process began, for budgets that outlive a process.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, params};

use super::hours::HOUR;
use super::ledger_file::millis;
use super::{OpenError, file};
use crate::policy::budget::{Budget, BudgetScope, Unit};
use crate::spec::HourlySpend;

/// Returns the money spent of a budget in the period of a time, to the hour.
pub(crate) fn recall(path: &Path, at: usize, budget: &Budget, now: SystemTime) -> Result<Vec<HourlySpend>, OpenError> {
    let connection = file::read(path)?;
    let since = millis(budget.period.began(now)).div_euclid(1_000).div_euclid(HOUR);
    Ok(hours(&connection, at, budget, since)?)
}

fn hours(connection: &Connection, place: usize, budget: &Budget, since: i64) -> rusqlite::Result<Vec<HourlySpend>> {
    let amount = match budget.unit {
        Unit::Nanodollars => "sum(cost)",
        Unit::Tokens => "sum(input + output)",
    };
    let named = |column: &str| {
        format!(
            "SELECT name.text, hour, {amount} FROM hour JOIN name ON name.id = {column} \
             WHERE hour >= ?1 AND name.text <> '' AND ?2 IN ('', name.text) AND ?3 = '' GROUP BY 1, 2 ORDER BY 2"
        )
    };
    let (sql, one, tag) = match &budget.of {
        BudgetScope::All => (
            format!("SELECT '', hour, {amount} FROM hour WHERE hour >= ?1 AND ?2 = ?3 GROUP BY 2 ORDER BY 2"),
            &None,
            "",
        ),
        BudgetScope::Route(one) => (named("route"), one, ""),
        BudgetScope::Client(one) => (named("client"), one, ""),
        BudgetScope::Tag(tag, one) => {
            let sql = format!(
                "SELECT value, hour, {amount} FROM tag_hour \
                 WHERE hour >= ?1 AND ?2 IN ('', value) AND tag = ?3 GROUP BY 1, 2 ORDER BY 2"
            );
            (sql, one, tag.as_str())
        }
    };
    let mut asked = connection.prepare(&sql)?;
    let rows = asked.query_map(params![since, one.as_deref().unwrap_or_default(), tag], |row| {
        let hour: i64 = row.get(1)?;
        // The middle of the hour: nearer to the real time than either end.
        let at = UNIX_EPOCH + Duration::from_secs(u64::try_from(hour * HOUR + HOUR / 2).unwrap_or(0));
        Ok(HourlySpend { budget: place, account: row.get(0)?, amount: row.get(2)?, at })
    })?;
    rows.collect()
}

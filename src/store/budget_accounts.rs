//! The accounts of budgets: what each account spent, in the steps in which its budget counts.
//!
//! They are written with the attempts that were paid from them, in one transaction, so that a budget goes on exactly
//! where it was, however the process ended. The accounts of a budget that the file does not know yet begin with what
//! its entries tell of the period; where there are too many or too few entries, with the sums of hours.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension as _, params};

use super::error::OpenError;
use super::file;
use super::hours::of_tag;
use super::numbers::{HOUR, hour_of, millis, money, time_of, whole};
use super::schema::{self, ACCOUNTS};
use crate::policy::budget::{Budget, BudgetScope, Period, Unit};
use crate::policy::statement::GroupBy;
use crate::spec::PastSpend;
use crate::words::{AttemptRecord, CallFacts, CallId};

/// The longest period that is counted from entries, and the most entries: some tenths of a second.
const ENTRIES_FOR: Duration = Duration::from_secs(24 * 60 * 60);
const ENTRIES_MAX: usize = 100_000;

/// The budgets whose accounts are kept, and since when.
#[derive(Clone, Debug)]
pub(super) struct CountedBudgets {
    pub(super) budgets: Arc<[Budget]>,
    pub(super) since: SystemTime,
}

/// What was spent in each step, by account and step.
type Spent = HashMap<(String, i64), i64>;

/// Returns the money spent of a budget in the period of a time.
pub(crate) fn recall(path: &Path, at: usize, budget: &Budget, now: SystemTime) -> Result<Vec<PastSpend>, OpenError> {
    let connection = file::read_sums(path, &kind(&budget.of).to_string())?;
    let known = if schema::form(&connection)? < ACCOUNTS { None } else { number(&connection, budget)? };
    let spent = match known {
        Some(id) => accounts(&connection, id)?,
        None => from_ledger(&connection, budget, now)?,
    };
    let past = |((account, step), amount)| PastSpend { budget: at, account, amount, step };
    Ok(spent.into_iter().map(past).collect())
}

/// Returns the text by which the file knows a budget: two that count the same have the same.
fn mark(budget: &Budget) -> String {
    let unit = match budget.unit {
        Unit::Nanodollars => "nanodollars",
        Unit::Tokens => "tokens",
    };
    format!("{}\n{unit}\n{}\n{}", budget.name, budget.of, budget.period)
}

fn number(connection: &Connection, budget: &Budget) -> rusqlite::Result<Option<i64>> {
    let find = "SELECT id FROM budget WHERE counts = ?1";
    connection.prepare_cached(find)?.query_row([mark(budget)], |row| row.get(0)).optional()
}

fn accounts(connection: &Connection, id: i64) -> rusqlite::Result<Spent> {
    let mut find = connection.prepare("SELECT account, step, spent FROM purse WHERE budget = ?1")?;
    let rows = find.query_map([id], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))?;
    rows.collect()
}

/// The accounts as the writer of a file knows them.
#[derive(Default)]
pub(super) struct BudgetAccounts {
    counted: Option<CountedBudgets>,
    /// The number of each budget in the file, once it was looked up.
    ids: Option<Vec<i64>>,
}

impl BudgetAccounts {
    /// Takes the budgets whose accounts are kept from now on.
    pub(super) fn count(&mut self, counted: Option<CountedBudgets>) {
        let same = match (&self.counted, &counted) {
            (Some(known), Some(new)) => Arc::ptr_eq(&known.budgets, &new.budgets),
            (known, new) => known.is_none() && new.is_none(),
        };
        if !same {
            *self = Self { counted, ids: None };
        }
    }

    /// Makes the budgets of the file those that are counted. One that is new begins with what the ledger tells; one
    /// that is counted no longer is forgotten, for what is spent meanwhile is not in its accounts.
    pub(super) fn begin(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let Some(CountedBudgets { budgets, since }) = &self.counted else { return Ok(()) };
        if self.ids.is_some() {
            return Ok(());
        }
        let marks: Vec<String> = budgets.iter().map(mark).collect();
        let wanted = serde_json::to_string(&marks).unwrap_or_default();
        let old = "DELETE FROM budget WHERE counts NOT IN (SELECT value FROM json_each(?1))";
        connection.prepare_cached(old)?.execute([wanted])?;
        let mut ids = Vec::with_capacity(budgets.len());
        for (budget, mark) in budgets.iter().zip(marks) {
            let id = match number(connection, budget)? {
                Some(id) => id,
                None => {
                    let spent = from_ledger(connection, budget, *since)?;
                    connection.prepare_cached("INSERT INTO budget (counts) VALUES (?1)")?.execute([mark])?;
                    let id = connection.last_insert_rowid();
                    for ((account, step), amount) in spent {
                        add(connection, id, budget.period, &account, step, amount)?;
                    }
                    id
                }
            };
            ids.push(id);
        }
        self.ids = Some(ids);
        Ok(())
    }

    /// Takes what attempts cost out of the accounts that they concern.
    pub(super) fn pay<'a>(
        &self,
        connection: &Connection,
        attempts: impl Iterator<Item = &'a AttemptRecord>,
    ) -> rusqlite::Result<()> {
        let (Some(CountedBudgets { budgets, .. }), Some(ids)) = (&self.counted, &self.ids) else { return Ok(()) };
        let mut paid: HashMap<(usize, &str, i64), i64> = HashMap::new();
        for attempt in attempts {
            for (at, budget) in budgets.iter().enumerate() {
                let Some(account) = budget.of.account(&attempt.about) else { continue };
                let amount = match budget.unit {
                    Unit::Nanodollars => attempt.cost_usd.map_or(0, money),
                    Unit::Tokens => whole(attempt.usage.input).saturating_add(whole(attempt.usage.output)),
                };
                let step = budget.period.step(attempt.started_at() + attempt.took);
                let spent = paid.entry((at, account, step)).or_default();
                *spent = spent.saturating_add(amount);
            }
        }
        let mut paid: Vec<_> = paid.into_iter().filter(|(_, amount)| *amount != 0).collect();
        paid.sort_unstable();
        for ((at, account, step), amount) in paid {
            add(connection, ids[at], budgets[at].period, account, step, amount)?;
        }
        Ok(())
    }
}

/// Adds to an account. What a clock that stood ahead put into steps to come is moved to this one.
fn add(connection: &Connection, id: i64, period: Period, account: &str, step: i64, more: i64) -> rusqlite::Result<()> {
    let ahead = "DELETE FROM purse WHERE budget = ?1 AND account = ?2 AND step > ?3 RETURNING spent";
    let mut ahead = connection.prepare_cached(ahead)?;
    let rows = ahead.query_map(params![id, account, step.saturating_add(1)], |row| row.get::<_, i64>(0))?;
    let more = rows.collect::<rusqlite::Result<Vec<_>>>()?.into_iter().fold(more, i64::saturating_add);
    let add = "INSERT INTO purse VALUES (?1, ?2, ?3, ?4, ?5) \
               ON CONFLICT DO UPDATE SET spent = min(spent, 4611686018427387903) + min(?4, 4611686018427387903)";
    let over = millis(period.over(step));
    connection.prepare_cached(add)?.execute(params![id, account, step, more, over])?;
    Ok(())
}

/// Returns what the ledger tells of a budget's period: by its entries, or by the sums of hours.
fn from_ledger(connection: &Connection, budget: &Budget, now: SystemTime) -> rusqlite::Result<Spent> {
    let is_short = match budget.period {
        Period::Day => true,
        Period::Window(window) => window <= ENTRIES_FOR,
        Period::Week | Period::Month => false,
    };
    let counted = if is_short { entries(connection, budget, now)? } else { None };
    counted.map_or_else(|| hours(connection, budget, now), Ok)
}

/// Counts the entries of a budget's period; `None` where they are too many, or some are forgotten.
fn entries(connection: &Connection, budget: &Budget, now: SystemTime) -> rusqlite::Result<Option<Spent>> {
    let since = millis(budget.period.began(now));
    let find = "SELECT ended_at, cost, input + output, (SELECT text FROM name WHERE id = route), \
                (SELECT text FROM name WHERE id = client), tags FROM attempt ORDER BY id DESC LIMIT ?1";
    let mut find = connection.prepare(find)?;
    let mut rows = find.query([i64::try_from(ENTRIES_MAX).unwrap_or(i64::MAX)])?;
    let (mut spent, mut count) = (Spent::new(), 0);
    while let Some(row) = rows.next()? {
        count += 1;
        let ended_at: i64 = row.get(0)?;
        if ended_at < since {
            // Entries stand in the order in which they were written, a little apart from that of their times.
            if ended_at < since.saturating_sub(HOUR * 1_000) {
                return Ok(Some(spent));
            }
            continue;
        }
        let ended = time_of(ended_at);
        let mut about = CallFacts::new(CallId::new(0, 0), ended, row.get::<_, Option<String>>(3)?.unwrap_or_default());
        about.client = row.get::<_, Option<String>>(4)?.filter(|client| !client.is_empty()).map(Arc::from);
        let tags: Option<String> = row.get(5)?;
        about.tags = tags.and_then(|tags| serde_json::from_str(&tags).ok()).unwrap_or_default();
        let Some(account) = budget.of.account(&about) else { continue };
        let amount: Option<i64> = row.get(if budget.unit == Unit::Tokens { 2 } else { 1 })?;
        let step = spent.entry((account.to_owned(), budget.period.step(ended))).or_default();
        *step = step.saturating_add(amount.unwrap_or(0));
    }
    let first = "SELECT min(coalesce((SELECT min(id) FROM attempt), 1), coalesce((SELECT min(id) FROM call), 1))";
    let first: i64 = connection.query_row(first, (), |row| row.get(0))?;
    Ok((count < ENTRIES_MAX && first <= 1).then_some(spent))
}

/// Returns the kind of the sums that a budget concerns.
fn kind(of: &BudgetScope) -> GroupBy {
    match of {
        BudgetScope::All => GroupBy::All,
        BudgetScope::Route(_) => GroupBy::Route,
        BudgetScope::Client(_) => GroupBy::Client,
        BudgetScope::Tag(tag, _) => GroupBy::Tag(tag.clone()),
    }
}

/// Returns the sums of the hours of a budget's period.
fn hours(connection: &Connection, budget: &Budget, now: SystemTime) -> rusqlite::Result<Spent> {
    let since = hour_of(millis(budget.period.began(now)));
    let amount = match budget.unit {
        Unit::Nanodollars => "sum(cost)",
        Unit::Tokens => "sum(input + output)",
    };
    let all = "9223372036854775807";
    let sums = "SELECT * FROM sums WHERE kind = ?3 AND hour >= ?1".to_owned();
    let (from, line, one) = match &budget.of {
        BudgetScope::All => (sums, "''", &None),
        BudgetScope::Route(one) | BudgetScope::Client(one) => (sums, "line", one),
        BudgetScope::Tag(_, one) => (of_tag("?3", "?1", all), "line", one),
    };
    // A call without a client's key is of no client.
    let sql = format!(
        "SELECT {line}, hour, {amount} FROM ({from}) WHERE ?2 IN ('', line) AND (line <> '' OR ?3 <> 'client') \
         GROUP BY 1, 2 ORDER BY 2"
    );
    let mut asked = connection.prepare(&sql)?;
    let mut rows = asked.query(params![since, one.as_deref().unwrap_or_default(), kind(&budget.of).to_string()])?;
    let mut spent = Spent::new();
    while let Some(row) = rows.next()? {
        let hour: i64 = row.get(1)?;
        // The middle of the hour: nearer to the real time than either end.
        let at = UNIX_EPOCH + Duration::from_secs(u64::try_from(hour * HOUR + HOUR / 2).unwrap_or(0));
        let step = spent.entry((row.get(0)?, budget.period.step(at))).or_default();
        *step = step.saturating_add(row.get(2)?);
    }
    Ok(spent)
}

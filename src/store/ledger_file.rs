//! The ledger: a file that is open, and groups of records written into it, each whole or not at all.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, Params, TransactionBehavior, params};

use super::budget_accounts::{BudgetAccounts, CountedBudgets};
use super::durable_writes::{self, DurableWrite};
use super::error::OpenError;
use super::file::{self, FileId, OpenFile, WriteLock};
use super::forget;
use super::hours::{Hours, KnownTags};
use super::memory::{self, PendingMemory};
use super::numbers::{hour_of, millis, money, read_count, whole};
use crate::policy::explain::Flight;
use crate::policy::record::Record;
use crate::spec::StoreSpec;
use crate::words::{AttemptEnd, AttemptRecord, Bill, CallFacts, Dialect, Failure, Rates, Usage};

/// The most names that are remembered: configurations have fewer.
const NAMES_MAX: usize = 10_000;

/// A file that is open to be written.
pub(super) struct LedgerFile {
    file: OpenFile,
    names: TextIds,
    known: KnownTags,
    accounts: BudgetAccounts,
    /// The number of the next entry.
    next: i64,
    /// Lost records that the file knows of.
    lost: u64,
    /// Whether the journal beside it may still hold words of durable calls that were forgotten.
    has_remains: bool,
}

/// Numbers of the texts that are kept once.
#[derive(Default)]
struct TextIds {
    names: HashMap<Box<str>, i64>,
    prices: HashMap<[Option<u64>; 7], i64>,
}

impl LedgerFile {
    /// Opens it. Entries are counted on from those that it has.
    pub(super) fn open(hold: &WriteLock) -> Result<Self, OpenError> {
        let file = hold.open()?;
        let (next, lost) = (last(&file.connection)? + 1, read_count(&file.connection, "lost")?);
        let (names, known, accounts) = (TextIds::default(), KnownTags::default(), BudgetAccounts::default());
        // What a process before this one forgot may still be there.
        Ok(Self { file, names, known, accounts, next, lost, has_remains: true })
    }

    /// Returns the number that the next entry gets.
    pub(super) const fn next(&self) -> i64 {
        self.next
    }

    /// Takes the budgets whose accounts are kept from now on.
    pub(super) fn count(&mut self, counted: Option<CountedBudgets>) {
        self.accounts.count(counted);
    }

    /// Returns which file it is.
    pub(super) const fn file_id(&self) -> Option<FileId> {
        self.file.id
    }

    /// Tells whether it is still the file that it was.
    pub(super) fn is_of(&self, hold: &WriteLock) -> bool {
        hold.is(&self.file)
    }

    /// Returns how many lost records it knows of.
    pub(super) const fn lost(&self) -> u64 {
        self.lost
    }

    /// Writes a group, the first of which gets this number, how many records were lost so far, what is known of
    /// providers now, and what is noted of durable calls. A group that is there already is left: it was written though
    /// its writer did not hear of it. Notes are on the disk itself when this returns how many calls each of them
    /// changed; all else may still be lost with the machine's power.
    pub(super) fn write<'a>(
        &mut self,
        first: i64,
        group: &[Record],
        lost: u64,
        memories: impl IntoIterator<Item = &'a PendingMemory>,
        notes: &[DurableWrite],
    ) -> rusqlite::Result<Vec<usize>> {
        let Self { file, names, known, accounts, .. } = self;
        if file.is_synced == notes.is_empty() {
            file.is_synced = !notes.is_empty();
            file.connection.pragma_update(None, "synchronous", if file.is_synced { "full" } else { "normal" })?;
        }
        let change = file.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if group.is_empty() || last(&change)? < first {
            let mut hours = Hours::default();
            accounts.begin(&change)?;
            let attempts = group.iter().filter_map(|record| match record {
                Record::Attempt(attempt) => Some(&**attempt),
                Record::Call(_) => None,
            });
            accounts.pay(&change, attempts)?;
            for (id, record) in (first..).zip(group) {
                match record {
                    Record::Attempt(attempt) => enter(&change, names, known, &mut hours, id, attempt)?,
                    Record::Call(flight) => end(&change, names, &mut hours, id, flight)?,
                }
            }
            hours.save(&change)?;
            if lost > self.lost {
                let told = "INSERT INTO meta VALUES ('lost', ?1) ON CONFLICT DO UPDATE SET value = excluded.value";
                change.execute(told, [whole(lost)])?;
            }
        }
        for told in memories {
            memory::write(&change, told)?;
        }
        let changed = notes.iter().map(|note| note.write(&change)).collect::<rusqlite::Result<_>>()?;
        change.commit()?;
        self.known.written();
        self.has_remains |= notes.iter().any(DurableWrite::forgets);
        self.lost = self.lost.max(lost);
        self.next = self.next.max(first + i64::try_from(group.len()).unwrap_or(0));
        Ok(changed)
    }

    /// Forgets what is too old, or too much, by the time of the last entry. Returns whether there is more to forget.
    pub(super) fn forget(&mut self, spec: &StoreSpec, now: SystemTime) -> rusqlite::Result<bool> {
        let before = durable_writes::count(&self.file.connection)?;
        let more = forget::some(&mut self.file.connection, spec, millis(now))?;
        self.has_remains |= durable_writes::count(&self.file.connection)? < before;
        self.clear()?;
        Ok(more)
    }

    /// Clears the journal at the end of a process, whatever it has in it.
    pub(super) fn finish(&mut self) -> rusqlite::Result<()> {
        self.has_remains = true;
        self.clear()
    }

    /// Clears the journal of what was forgotten; where a reader is in the way, with the next chance.
    pub(super) fn clear(&mut self) -> rusqlite::Result<()> {
        if self.has_remains {
            self.has_remains = !file::empty_journal(&self.file.connection)?;
        }
        Ok(())
    }

    /// Returns how long the file is.
    pub(super) fn bytes(&self) -> u64 {
        forget::bytes(&self.file.connection).unwrap_or(0)
    }

    /// Runs SQL on the connection, for tests only.
    #[cfg(test)]
    pub(super) fn trouble(&self, sql: &str) -> rusqlite::Result<()> {
        self.file.connection.execute_batch(sql)
    }
}

/// Returns the number of the last entry; 0 where there is none.
fn last(connection: &Connection) -> rusqlite::Result<i64> {
    let last = "SELECT max(coalesce((SELECT max(id) FROM attempt), 0), coalesce((SELECT max(id) FROM call), 0))";
    connection.prepare_cached(last)?.query_row((), |row| row.get(0))
}

impl TextIds {
    fn name(&mut self, connection: &Connection, text: &str) -> rusqlite::Result<i64> {
        if let Some(id) = self.names.get(text) {
            return Ok(*id);
        }
        let add = "INSERT INTO name (text) VALUES (?1) ON CONFLICT DO NOTHING";
        let id = number(connection, add, "SELECT id FROM name WHERE text = ?1", [text])?;
        remember(&mut self.names, text.into(), id);
        Ok(id)
    }

    fn price(&mut self, connection: &Connection, rates: &Rates) -> rusqlite::Result<i64> {
        let values = rates.named().map(|(_, dollars)| dollars);
        let key = values.map(|dollars| dollars.map(f64::to_bits));
        if let Some(id) = self.prices.get(&key) {
            return Ok(*id);
        }
        let add = "INSERT INTO price (input, cached_input, cache_write, output, reasoning, cache_write_1h, search) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING";
        let find = "SELECT id FROM price WHERE input = ?1 AND cached_input = ?2 AND cache_write = ?3 AND output = ?4 \
                    AND reasoning = ?5 AND cache_write_1h IS ?6 AND search IS ?7";
        let id = number(connection, add, find, values)?;
        remember(&mut self.prices, key, id);
        Ok(id)
    }
}

/// Returns the number of a text that is kept once; a new text gets one.
fn number(connection: &Connection, add: &str, find: &str, values: impl Params + Clone) -> rusqlite::Result<i64> {
    connection.prepare_cached(add)?.execute(values.clone())?;
    connection.prepare_cached(find)?.query_row(values, |row| row.get(0))
}

/// Remembers a number. If there are too many, all are forgotten and looked up again.
fn remember<K: Eq + Hash>(known: &mut HashMap<K, i64>, key: K, id: i64) {
    if known.len() >= NAMES_MAX {
        known.clear();
    }
    known.insert(key, id);
}

/// Enters an attempt: all of its record, so that a new field does not compile before it is kept or left out here.
fn enter(
    connection: &Connection,
    names: &mut TextIds,
    known: &mut KnownTags,
    hours: &mut Hours,
    id: i64,
    attempt: &AttemptRecord,
) -> rusqlite::Result<()> {
    let AttemptRecord {
        call,
        about,
        attempt: number,
        target,
        model: model_told,
        key,
        started_after,
        first_token,
        took,
        usage: Usage { input, output, cached, cache_write, reasoning },
        estimated,
        bill: Bill { cost_usd: told, cache_write_1h, searches, other_price },
        price,
        cost_usd,
        bytes_sent,
        bytes_received,
        probe,
        last_resort,
        degraded,
        hedge,
        end,
    } = attempt;
    // When the call began follows from when the attempt ended.
    let CallFacts { id: _, started_at: _, route, session, tags: _, priority, dialect, client } = &**about;
    let failure = match end {
        AttemptEnd::Won => None,
        // What a provider says may repeat the prompt, and so may the name of a field. When to come back is kept with
        // the state of the provider, as long as it means something.
        AttemptEnd::Failed(Failure { class: _, scope, status, code, param: _, message: _, retry_after: _ }) => {
            Some((scope.name(), *status, code.as_deref()))
        }
    };
    let ended_at = millis(attempt.started_at() + *took);
    let mut name = |text: &str| names.name(connection, text);
    let [route, provider, model, key, client, end] = [
        name(route)?,
        name(&target.provider)?,
        name(&target.model)?,
        name(key)?,
        name(client.as_deref().unwrap_or_default())?,
        name(end.name())?,
    ];
    let price = price.as_ref().map(|rates| names.price(connection, rates)).transpose()?;
    let flags = [*estimated, *probe, *last_resort, *degraded, *hedge, told.is_some(), *other_price];
    let flags = flags.iter().enumerate().fold(0_i64, |all, (bit, is)| all | i64::from(*is) << bit);
    let add = "INSERT INTO attempt VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, \
               ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    connection.prepare_cached(add)?.execute(params![
        id,
        ended_at,
        call.runtime.cast_signed(),
        whole(call.number),
        number,
        route,
        provider,
        model,
        key,
        client,
        end,
        failure.and_then(|(_, status, _)| status),
        session,
        tags(about),
        priority.name(),
        flags,
        micros(*started_after),
        first_token.map(micros),
        micros(*took),
        whole(*input),
        whole(*cached),
        whole(*cache_write),
        whole(*output),
        whole(*reasoning),
        price,
        cost_usd.map(money),
        whole(*bytes_sent),
        whole(*bytes_received),
        dialect.map(Dialect::name),
        model_told.as_deref(),
        failure.map(|(scope, ..)| scope),
        failure.and_then(|(.., code)| code),
        whole(*cache_write_1h),
        whole(*searches),
    ])?;
    hours.attempt(connection, known, hour_of(ended_at), attempt)
}

/// Enters a call: all of its record but its steps, which are told by `why` as long as the process lives, and of which
/// the attempts stand in entries of their own.
fn end(
    connection: &Connection,
    names: &mut TextIds,
    hours: &mut Hours,
    id: i64,
    flight: &Flight,
) -> rusqlite::Result<()> {
    let Flight { call, about, steps: _, took, attempts, cost_usd, wasted_usd, again } = flight;
    let CallFacts { id: _, started_at, route, session, tags: _, priority, dialect, client } = &**about;
    let ended_at = millis(*started_at + *took);
    let mut name = |text: &str| names.name(connection, text);
    let outcome = flight.outcome();
    let (cost, wasted) = (money(*cost_usd), money(*wasted_usd));
    let add = "INSERT INTO call VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    connection.prepare_cached(add)?.execute(params![
        id,
        ended_at,
        call.runtime.cast_signed(),
        whole(call.number),
        name(route)?,
        name(client.as_deref().unwrap_or_default())?,
        name(outcome)?,
        session,
        tags(about),
        micros(*took),
        attempts,
        cost,
        wasted,
        flight.age().map(micros),
        dialect.map(Dialect::name),
        priority.name(),
        again,
    ])?;
    hours.call(hour_of(ended_at), outcome, cost, wasted);
    Ok(())
}

fn tags(about: &CallFacts) -> Option<String> {
    (!about.tags.is_empty()).then(|| serde_json::to_string(&about.tags).unwrap_or_default())
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

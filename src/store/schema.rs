//! The tables, and how an older form becomes the present one.
//!
//! An entry is an attempt or a call that ended; both count from one sequence, so that a gap or a double shows. `sums`
//! are sums over an hour, of each line of each kind of statement, which questions are answered from: kept longer than
//! entries, and as exact, for money is counted in billionths of a dollar. Names that come from a configuration stand
//! once, in `name`. `purse` has what each account of each `budget` spent, step by step of its period. `memory` has what
//! the last process knew of each provider. Durable calls are `kept`, with what was told of each in `kept_item`: the
//! only words of callers and models that there are. `seal` is the mark of the key that sealed a row's bytes, if one
//! did, and `sum` shows whether a disk has changed them.

use rusqlite::{Connection, Transaction};

use super::cross_sums;
use super::error::OpenError;

/// Tells our files from those of others: `stdn`.
pub(super) const APPLICATION: i64 = 0x7374_646e;
/// The present form.
pub(super) const VERSION: usize = STEPS.len();
/// The first form that has a name for each reason why no call wanted an attempt any more.
pub(super) const ENDS: usize = 5;
/// The first form that knows sealed rows.
pub(super) const SEALS: usize = 6;
/// The first form whose sums are of one line each, and whose calls have sums of their bytes.
pub(super) const LINES: usize = 9;
/// The first form that keeps the accounts of budgets.
pub(super) const ACCOUNTS: usize = 7;

/// The steps that turn each form into the next. A step that was released never changes.
const STEPS: [&str; 9] = [
    "
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE name (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE price (
    id INTEGER PRIMARY KEY, input REAL NOT NULL, cached_input REAL NOT NULL, cache_write REAL NOT NULL,
    output REAL NOT NULL, reasoning REAL NOT NULL,
    UNIQUE (input, cached_input, cache_write, output, reasoning)
);
CREATE TABLE attempt (
    id INTEGER PRIMARY KEY, ended_at INTEGER NOT NULL, runtime INTEGER NOT NULL, call INTEGER NOT NULL,
    number INTEGER NOT NULL, route INTEGER NOT NULL, provider INTEGER NOT NULL, model INTEGER NOT NULL,
    key INTEGER NOT NULL, client INTEGER NOT NULL, end INTEGER NOT NULL, status INTEGER, session TEXT, tags TEXT,
    priority TEXT NOT NULL, flags INTEGER NOT NULL, started_after_us INTEGER NOT NULL, first_token_us INTEGER,
    took_us INTEGER NOT NULL, input INTEGER NOT NULL, cached INTEGER NOT NULL, cache_write INTEGER NOT NULL,
    output INTEGER NOT NULL, reasoning INTEGER NOT NULL, price INTEGER, cost INTEGER, bytes_sent INTEGER NOT NULL,
    bytes_received INTEGER NOT NULL
);
CREATE TABLE call (
    id INTEGER PRIMARY KEY, ended_at INTEGER NOT NULL, runtime INTEGER NOT NULL, number INTEGER NOT NULL,
    route INTEGER NOT NULL, client INTEGER NOT NULL, outcome INTEGER NOT NULL, session TEXT, tags TEXT,
    took_us INTEGER NOT NULL, attempts INTEGER NOT NULL, cost INTEGER NOT NULL, wasted INTEGER NOT NULL
);
CREATE TABLE hour (
    hour INTEGER, route INTEGER, provider INTEGER, model INTEGER, key INTEGER, client INTEGER, end INTEGER,
    attempts INTEGER NOT NULL, unpriced INTEGER NOT NULL, input INTEGER NOT NULL, cached INTEGER NOT NULL,
    cache_write INTEGER NOT NULL, output INTEGER NOT NULL, reasoning INTEGER NOT NULL, cost INTEGER NOT NULL,
    estimated INTEGER NOT NULL,
    PRIMARY KEY (hour, route, provider, model, key, client, end)
) WITHOUT ROWID;
CREATE TABLE tag_hour (
    tag TEXT, hour INTEGER, value TEXT, end INTEGER,
    attempts INTEGER NOT NULL, unpriced INTEGER NOT NULL, input INTEGER NOT NULL, cached INTEGER NOT NULL,
    cache_write INTEGER NOT NULL, output INTEGER NOT NULL, reasoning INTEGER NOT NULL, cost INTEGER NOT NULL,
    estimated INTEGER NOT NULL,
    PRIMARY KEY (tag, hour, value, end)
) WITHOUT ROWID;
CREATE TABLE call_hour (
    hour INTEGER, route INTEGER, client INTEGER, outcome INTEGER,
    calls INTEGER NOT NULL, cost INTEGER NOT NULL, wasted INTEGER NOT NULL,
    PRIMARY KEY (hour, route, client, outcome)
) WITHOUT ROWID;
",
    "
CREATE TABLE memory (
    provider TEXT PRIMARY KEY, at INTEGER NOT NULL, run TEXT, uptime_ms INTEGER, form INTEGER NOT NULL,
    sum INTEGER NOT NULL, bytes BLOB NOT NULL
);
",
    "
ALTER TABLE call ADD COLUMN age_us INTEGER;
",
    "
CREATE TABLE kept (
    runtime INTEGER NOT NULL, number INTEGER NOT NULL, begun_at INTEGER NOT NULL, client TEXT NOT NULL, key TEXT,
    tags TEXT NOT NULL, durable TEXT NOT NULL, whole INTEGER NOT NULL, sent INTEGER NOT NULL DEFAULT 0,
    ended_at INTEGER, request BLOB NOT NULL,
    PRIMARY KEY (runtime, number)
);
CREATE INDEX kept_key ON kept (client, key) WHERE key IS NOT NULL;
CREATE INDEX kept_ended ON kept (ended_at);
CREATE TABLE kept_item (
    runtime INTEGER, number INTEGER, at INTEGER, item BLOB NOT NULL,
    PRIMARY KEY (runtime, number, at)
) WITHOUT ROWID;
CREATE TRIGGER kept_gone AFTER DELETE ON kept BEGIN
    DELETE FROM kept_item WHERE runtime = old.runtime AND number = old.number;
END;
",
    // Attempts that no call wanted any more had one name, and were told of as left by their callers.
    "
INSERT OR IGNORE INTO name (text) VALUES ('cancelled'), ('caller_left');
UPDATE attempt SET end = (SELECT id FROM name WHERE text = 'caller_left')
    WHERE end = (SELECT id FROM name WHERE text = 'cancelled');
UPDATE hour SET end = (SELECT id FROM name WHERE text = 'caller_left')
    WHERE end = (SELECT id FROM name WHERE text = 'cancelled');
UPDATE tag_hour SET end = (SELECT id FROM name WHERE text = 'caller_left')
    WHERE end = (SELECT id FROM name WHERE text = 'cancelled');
",
    "
ALTER TABLE kept ADD COLUMN seal INTEGER;
ALTER TABLE kept_item ADD COLUMN seal INTEGER;
CREATE INDEX kept_seal ON kept (seal) WHERE seal IS NOT NULL;
CREATE INDEX kept_item_seal ON kept_item (seal) WHERE seal IS NOT NULL;
",
    "
CREATE TABLE budget (id INTEGER PRIMARY KEY, counts TEXT NOT NULL UNIQUE);
CREATE TABLE purse (
    budget INTEGER, account TEXT, step INTEGER, spent INTEGER NOT NULL, over INTEGER NOT NULL,
    PRIMARY KEY (budget, account, step)
) WITHOUT ROWID;
CREATE INDEX purse_over ON purse (over);
CREATE TRIGGER budget_gone AFTER DELETE ON budget BEGIN
    DELETE FROM purse WHERE budget = old.id;
END;
ALTER TABLE kept ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
UPDATE kept SET bytes = length(request) + coalesce((SELECT sum(length(item)) FROM kept_item
    WHERE kept_item.runtime = kept.runtime AND kept_item.number = kept.number), 0);
DROP INDEX kept_ended;
CREATE INDEX kept_ended ON kept (ended_at, bytes);
",
    // Prices that differ in writes for an hour or in searches were one. Of entries before, what is new is not known.
    "
CREATE TABLE price_8 (
    id INTEGER PRIMARY KEY, input REAL NOT NULL, cached_input REAL NOT NULL, cache_write REAL NOT NULL,
    output REAL NOT NULL, reasoning REAL NOT NULL, cache_write_1h REAL, search REAL
);
INSERT INTO price_8 SELECT id, input, cached_input, cache_write, output, reasoning, NULL, NULL FROM price;
DROP TABLE price;
ALTER TABLE price_8 RENAME TO price;
CREATE UNIQUE INDEX price_once ON price (
    input, cached_input, cache_write, output, reasoning, coalesce(cache_write_1h, -1), coalesce(search, -1)
);
ALTER TABLE attempt ADD COLUMN dialect TEXT;
ALTER TABLE attempt ADD COLUMN model_told TEXT;
ALTER TABLE attempt ADD COLUMN scope TEXT;
ALTER TABLE attempt ADD COLUMN code TEXT;
ALTER TABLE attempt ADD COLUMN cache_write_1h INTEGER;
ALTER TABLE attempt ADD COLUMN searches INTEGER;
ALTER TABLE call ADD COLUMN dialect TEXT;
ALTER TABLE call ADD COLUMN priority TEXT;
ALTER TABLE call ADD COLUMN again INTEGER;
",
    // Sums were of all places of an attempt at once. What they were is carried over behind this step.
    "
CREATE TABLE sums (
    kind TEXT, hour INTEGER, line TEXT,
    attempts INTEGER NOT NULL, answers INTEGER NOT NULL, unpriced INTEGER NOT NULL, input INTEGER NOT NULL,
    cached INTEGER NOT NULL, cache_write INTEGER NOT NULL, output INTEGER NOT NULL, reasoning INTEGER NOT NULL,
    cost INTEGER NOT NULL, estimated INTEGER NOT NULL, wasted INTEGER NOT NULL,
    PRIMARY KEY (kind, hour, line)
) WITHOUT ROWID;
ALTER TABLE kept ADD COLUMN sum INTEGER;
ALTER TABLE kept_item ADD COLUMN sum INTEGER;
",
];

/// Returns the form of a file, which is none yet where it is empty.
pub(super) fn form(connection: &Connection) -> Result<usize, OpenError> {
    let number = |name: &str| connection.query_row(&format!("PRAGMA {name}"), (), |row| row.get::<_, i64>(0));
    let (application, version) = (number("application_id")?, number("user_version")?);
    let is_empty = connection.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get::<_, i64>(0))? == 0;
    match usize::try_from(version) {
        Ok(0) if is_empty && application == 0 => Ok(0),
        _ if application != APPLICATION => Err(OpenError::Foreign),
        Ok(version) if (1..=VERSION).contains(&version) => Ok(version),
        _ => Err(OpenError::Newer { form: version, known: VERSION }),
    }
}

/// Brings a file to the present form, whole or not at all.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), OpenError> {
    let form = form(connection)?;
    if form < VERSION {
        let change = connection.transaction()?;
        steps(&change, form)?;
        change.commit()?;
    }
    Ok(())
}

fn steps(change: &Transaction<'_>, from: usize) -> rusqlite::Result<()> {
    for step in &STEPS[from..] {
        change.execute_batch(step)?;
    }
    if from < LINES {
        cross_sums::carry(change)?;
    }
    change.pragma_update(None, "application_id", APPLICATION)?;
    change.pragma_update(None, "user_version", i64::try_from(VERSION).unwrap_or(i64::MAX))
}

/// Makes an empty file of an older form.
#[cfg(test)]
pub(super) fn make(connection: &Connection, form: usize) -> rusqlite::Result<()> {
    for step in &STEPS[..form] {
        connection.execute_batch(step)?;
    }
    connection.pragma_update(None, "application_id", APPLICATION)?;
    connection.pragma_update(None, "user_version", i64::try_from(form).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_an_older_form_keeps_what_it_has_and_gets_what_it_lacks() {
        for old in 0..VERSION {
            let mut connection = Connection::open_in_memory().expect("a database");
            for step in &STEPS[..old] {
                connection.execute_batch(step).expect("a step");
            }
            if old > 0 {
                let entry = "INSERT INTO call (id, ended_at, runtime, number, route, client, outcome, took_us, attempts, \
                             cost, wasted) VALUES (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)";
                connection.execute(entry, ()).expect("an entry");
                connection.pragma_update(None, "application_id", APPLICATION).expect("ours");
                connection.pragma_update(None, "user_version", i64::try_from(old).expect("few")).expect("its form");
            }
            migrate(&mut connection).expect("it is ours");
            assert_eq!(form(&connection).expect("it is ours"), VERSION);
            let calls = "SELECT count(*), max(age_us) FROM call";
            let (calls, age) = connection.query_row(calls, (), |row| Ok((row.get(0)?, row.get(1)?))).expect("a row");
            assert_eq!((calls, age), (i64::from(old > 0), None::<i64>), "of form {old}");
        }
    }

    #[test]
    fn an_entry_of_the_form_before_keeps_its_price_and_what_it_did_not_keep_is_unknown() {
        let mut connection = Connection::open_in_memory().expect("a database");
        for step in &STEPS[..7] {
            connection.execute_batch(step).expect("a step");
        }
        let before = "INSERT INTO price VALUES (3, 1.0, 0.1, 1.25, 5.0, 5.0);
            INSERT INTO attempt VALUES (1, 0, 7, 1, 1, 1, 3, 3, 3, 3, 1, 429, NULL, NULL, 'default', 9, 0, NULL, 0, \
                1000, 0, 0, 10, 0, 3, 1050000, 0, 0);";
        connection.execute_batch(before).expect("what was kept");
        connection.pragma_update(None, "application_id", APPLICATION).expect("ours");
        connection.pragma_update(None, "user_version", 7).expect("its form");
        migrate(&mut connection).expect("it is ours");
        let find = "SELECT price.input, price.output, price.search, dialect, model_told, code, searches, cost \
                    FROM attempt JOIN price ON price.id = attempt.price";
        let found = connection.query_row(find, (), |row| {
            let unknown = (2..7).map(|at| row.get_ref(at).map(|value| value == rusqlite::types::ValueRef::Null));
            let is_unknown = unknown.collect::<rusqlite::Result<Vec<_>>>()?.into_iter().all(|is| is);
            Ok((row.get::<_, f64>(0)?, row.get::<_, f64>(1)?, is_unknown, row.get::<_, i64>(7)?))
        });
        assert_eq!(found.expect("the entry"), (1.0, 5.0, true, 1_050_000));
    }

    #[test]
    fn ends_of_an_older_form_are_told_as_they_were() {
        let mut connection = Connection::open_in_memory().expect("a database");
        for step in &STEPS[..4] {
            connection.execute_batch(step).expect("a step");
        }
        // A route may have the name of an end.
        let before = "INSERT INTO name VALUES (1, 'cancelled'), (2, 'won'), (3, 'p');
            INSERT INTO attempt VALUES (1, 0, 7, 1, 1, 1, 3, 3, 3, 3, 1, NULL, NULL, NULL, 'default', 0, 0, NULL, 0, \
                0, 0, 0, 0, 0, NULL, NULL, 0, 0);
            INSERT INTO hour VALUES (5, 1, 3, 3, 3, 3, 1, 1, 0, 0, 0, 0, 0, 0, 9, 0);
            INSERT INTO hour VALUES (5, 1, 3, 3, 3, 3, 2, 1, 0, 0, 0, 0, 0, 0, 7, 0);
            INSERT INTO tag_hour VALUES ('team', 5, 'red', 1, 1, 0, 0, 0, 0, 0, 0, 9, 0);
            INSERT INTO call_hour VALUES (5, 1, 3, 1, 3, 20, 4);";
        connection.execute_batch(before).expect("what was kept");
        connection.pragma_update(None, "application_id", APPLICATION).expect("ours");
        connection.pragma_update(None, "user_version", 4).expect("its form");
        migrate(&mut connection).expect("it is ours");
        let find = "SELECT text FROM attempt JOIN name ON name.id = end";
        let end = connection.query_row(find, (), |row| row.get::<_, String>(0));
        assert_eq!(end.expect("an entry"), "caller_left");
        let find = "SELECT kind || ' ' || line || ' ' || attempts || ' ' || answers || ' ' || cost || ' ' || wasted \
                    FROM sums ORDER BY 1";
        let mut sums = connection.prepare(find).expect("the sums");
        let sums = sums.query_map((), |row| row.get(0)).expect("the sums");
        assert_eq!(
            sums.collect::<rusqlite::Result<Vec<String>>>().expect("the sums"),
            [
                "all all 2 1 16 9",
                "client p 2 1 16 9",
                "failure caller_left 1 0 9 9",
                "key p/p 2 1 16 9",
                "model p 2 1 16 9",
                "outcome cancelled 3 0 20 4",
                "provider p 2 1 16 9",
                "route cancelled 2 1 16 9",
                "tag:team red 1 0 9 9",
                "target p/p 2 1 16 9",
            ]
        );
    }
}

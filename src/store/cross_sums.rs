//! The sums of forms before the ninth, which were of all places of an attempt at once: as many as there were mixtures,
//! and too many to be read. They are carried over to sums of one line each, and read as such in a file that is not.

use rusqlite::{Connection, Transaction};

use super::hours::WON;

/// The kinds whose sums are made of mixtures.
const KINDS: [&str; 8] = ["all", "route", "provider", "model", "target", "key", "client", "failure"];

/// Returns the SQL of the sums of a kind as the later table has them, of these hours.
fn of(kind: &str, has_ends: bool, which: &str) -> String {
    let named = |column: &str| format!("(SELECT text FROM name WHERE id = {column})");
    let pair = |other: &str| format!("{} || '/' || {}", named("provider"), named(other));
    let (places, line) = match kind {
        "all" => ("hour", "'all'".to_owned()),
        "target" => ("provider, model", pair("model")),
        "key" => ("provider, key", pair("key")),
        "failure" if has_ends => ("end", named("end")),
        // Of all that no call wanted any more it was said that the caller had left.
        "failure" => ("end", format!("replace({}, 'cancelled', 'caller_left')", named("end"))),
        own => (own, named(own)),
    };
    let sums = format!(
        "sum(attempts) AS attempts, sum(attempts * (end = {WON})) AS answers, sum(unpriced) AS unpriced, \
         sum(input) AS input, sum(cached) AS cached, sum(cache_write) AS cache_write, sum(output) AS output, \
         sum(reasoning) AS reasoning, sum(cost) AS cost, sum(estimated) AS estimated, \
         sum(cost * (end <> {WON})) AS wasted"
    );
    match kind {
        "outcome" => format!(
            "SELECT 'outcome' AS kind, hour, {} AS line, sum(calls) AS attempts, 0 AS answers, 0 AS unpriced, \
             0 AS input, 0 AS cached, 0 AS cache_write, 0 AS output, 0 AS reasoning, sum(cost) AS cost, \
             0 AS estimated, sum(wasted) AS wasted FROM call_hour WHERE {which} GROUP BY hour, outcome",
            named("outcome")
        ),
        // All tags: which of them an hour has is looked at, too.
        tag if tag.starts_with("tag:") => format!(
            "SELECT 'tag:' || tag AS kind, hour, value AS line, {sums} FROM tag_hour WHERE {which} \
             GROUP BY tag, hour, value"
        ),
        _ => {
            let ends = if kind == "failure" { format!("end <> {WON}") } else { "true".to_owned() };
            format!(
                "SELECT '{kind}' AS kind, hour, {line} AS line, {sums} FROM hour WHERE {which} AND {ends} \
                 GROUP BY hour, {places}"
            )
        }
    }
}

/// Makes those of a kind the sums of this connection.
pub(super) fn view(connection: &Connection, kind: &str, has_ends: bool) -> rusqlite::Result<()> {
    connection.execute_batch(&format!("CREATE TEMP VIEW sums AS {}", of(kind, has_ends, "true")))
}

/// Carries them over to their table, and drops theirs. Mixtures are put together an hour at a time, in little memory.
pub(super) fn carry(change: &Transaction<'_>) -> rusqlite::Result<()> {
    let mut hours = change.prepare("SELECT DISTINCT hour FROM hour")?;
    let hours = hours.query_map((), |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
    for kind in KINDS {
        let mut add = change.prepare(&format!("INSERT INTO sums {}", of(kind, true, "hour = ?1")))?;
        for hour in &hours {
            add.execute([hour])?;
        }
    }
    for kind in ["outcome", "tag:"] {
        change.execute(&format!("INSERT INTO sums {}", of(kind, true, "true")), ())?;
    }
    change.execute_batch("DROP TABLE hour; DROP TABLE tag_hour; DROP TABLE call_hour")
}

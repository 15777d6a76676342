//! The sums of an hour: gathered over a group, added to the file at its end.

use std::collections::{HashMap, HashSet};

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::numbers::{HOUR, money, whole};
use crate::policy::budget::OTHERS;
use crate::words::AttemptRecord;

/// The most values of a tag, and the most tags, that an hour has sums of. A tag that is different in every call is no
/// account; its calls are in the entries, and what they cost in the sum of the others.
const VALUES_MAX: usize = 128;
const TAGS_MAX: usize = 16;

/// Places of an hour: route, provider, model, key, client, end.
type HourKey = [i64; 6];

#[derive(Clone, Copy, Default)]
struct Sum {
    attempts: i64,
    unpriced: i64,
    input: i64,
    cached: i64,
    cache_write: i64,
    output: i64,
    reasoning: i64,
    cost: i64,
    estimated: i64,
}

impl Sum {
    fn add(&mut self, attempt: &AttemptRecord) {
        let cost = attempt.cost_usd.map_or(0, money);
        let usage = &attempt.usage;
        for (one, more) in [
            (&mut self.attempts, 1),
            (&mut self.unpriced, i64::from(attempt.cost_usd.is_none())),
            (&mut self.input, whole(usage.input)),
            (&mut self.cached, whole(usage.cached)),
            (&mut self.cache_write, whole(usage.cache_write)),
            (&mut self.output, whole(usage.output)),
            (&mut self.reasoning, whole(usage.reasoning)),
            (&mut self.cost, cost),
            (&mut self.estimated, if attempt.estimated { cost } else { 0 }),
        ] {
            *one = one.saturating_add(more);
        }
    }

    fn values(&self) -> [i64; 9] {
        let Self { attempts, unpriced, input, cached, cache_write, output, reasoning, cost, estimated } = *self;
        [attempts, unpriced, input, cached, cache_write, output, reasoning, cost, estimated]
    }
}

/// The sums of one group.
#[derive(Default)]
pub(super) struct Hours {
    sums: HashMap<(i64, HourKey), Sum>,
    tags: HashMap<(i64, String, String, i64), Sum>,
    calls: HashMap<(i64, [i64; 3]), [i64; 3]>,
}

/// The tags that an hour has sums of, and their values.
#[derive(Default)]
pub(super) struct KnownTags {
    hour: i64,
    tags: HashMap<String, HashSet<String>>,
}

impl KnownTags {
    /// Returns the name of a tag's value in the sums of an hour; `None` where there are too many tags.
    fn value(
        &mut self,
        connection: &Connection,
        hour: i64,
        tag: &str,
        value: &str,
    ) -> rusqlite::Result<Option<String>> {
        if self.hour != hour {
            *self = Self { hour, tags: HashMap::new() };
            let mut known = connection.prepare_cached("SELECT DISTINCT tag, value FROM tag_hour WHERE hour = ?1")?;
            let mut rows = known.query([hour])?;
            while let Some(row) = rows.next()? {
                self.tags.entry(row.get(0)?).or_default().insert(row.get(1)?);
            }
        }
        if self.tags.len() >= TAGS_MAX && !self.tags.contains_key(tag) {
            return Ok(None);
        }
        let values = self.tags.entry(tag.to_owned()).or_default();
        if values.contains(value) {
            return Ok(Some(value.to_owned()));
        }
        let value = if values.len() >= VALUES_MAX { OTHERS } else { value };
        values.insert(value.to_owned());
        Ok(Some(value.to_owned()))
    }
}

impl Hours {
    /// Adds an attempt.
    pub(super) fn attempt(
        &mut self,
        connection: &Connection,
        known: &mut KnownTags,
        hour: i64,
        place: HourKey,
        attempt: &AttemptRecord,
    ) -> rusqlite::Result<()> {
        self.sums.entry((hour, place)).or_default().add(attempt);
        for (tag, value) in &attempt.about.tags {
            if let Some(value) = known.value(connection, hour, tag, value)? {
                self.tags.entry((hour, tag.clone(), value, place[5])).or_default().add(attempt);
            }
        }
        Ok(())
    }

    /// Adds a call: its route, client and outcome, and what it cost and wasted.
    pub(super) fn call(&mut self, hour: i64, place: [i64; 3], cost: i64, wasted: i64) {
        let sum = self.calls.entry((hour, place)).or_default();
        for (one, more) in sum.iter_mut().zip([1, cost, wasted]) {
            *one = one.saturating_add(more);
        }
    }

    /// Adds everything to the file.
    pub(super) fn save(self, connection: &Connection) -> rusqlite::Result<()> {
        let mut add = connection.prepare_cached(&adding(
            "hour",
            &["hour", "route", "provider", "model", "key", "client", "end"],
            &SUMS,
        ))?;
        for ((hour, place), sum) in self.sums {
            let keys = [hour].into_iter().chain(place);
            add.execute(params_from_iter(keys.chain(sum.values())))?;
        }
        let mut add = connection.prepare_cached(&adding("tag_hour", &["hour", "tag", "value", "end"], &SUMS))?;
        for ((hour, tag, value, end), sum) in self.tags {
            let keys = [Value::from(hour), Value::from(tag), Value::from(value), Value::from(end)];
            add.execute(params_from_iter(keys.into_iter().chain(sum.values().map(Value::from))))?;
        }
        let mut add = connection.prepare_cached(&adding(
            "call_hour",
            &["hour", "route", "client", "outcome"],
            &["calls", "cost", "wasted"],
        ))?;
        for ((hour, place), sum) in self.calls {
            add.execute(params_from_iter([hour].into_iter().chain(place).chain(sum)))?;
        }
        Ok(())
    }
}

const SUMS: [&str; 9] =
    ["attempts", "unpriced", "input", "cached", "cache_write", "output", "reasoning", "cost", "estimated"];

/// Returns the SQL of the hours of a time in which a tag has no sums, because others took all places.
pub(super) fn lacking(tag: &str, since: &str, until: &str) -> String {
    format!(
        "SELECT hour FROM tag_hour WHERE hour >= {since} AND hour < {until} \
         GROUP BY hour HAVING count(DISTINCT tag) >= {TAGS_MAX} EXCEPT SELECT hour FROM tag_hour WHERE tag = {tag}"
    )
}

/// Returns the SQL of a tag's sums, as `tag_hour` has them. Of the hours that lack them the entries are read.
pub(super) fn of_tag(tag: &str, since: &str, until: &str) -> String {
    let (lacking, sums) = (lacking(tag, since, until), SUMS.join(", "));
    format!(
        "WITH lacking AS MATERIALIZED ({lacking}) \
         SELECT hour, value, end, {sums} FROM tag_hour WHERE tag = {tag} AND hour >= {since} AND hour < {until} \
         UNION ALL \
         SELECT entry.ended_at / 1000 / {HOUR} AS at, tag.value, entry.end, count(*), sum(entry.cost IS NULL), \
         sum(entry.input), sum(entry.cached), sum(entry.cache_write), sum(entry.output), sum(entry.reasoning), \
         sum(coalesce(entry.cost, 0)), sum(iif(entry.flags & 1, coalesce(entry.cost, 0), 0)) \
         FROM attempt AS entry, json_each(entry.tags) AS tag \
         WHERE EXISTS (SELECT 1 FROM lacking) AND at IN lacking AND tag.key = {tag} GROUP BY 1, 2, 3"
    )
}

/// Returns the statement that adds to the sums of a place, or makes them.
fn adding(table: &str, keys: &[&str], sums: &[&str]) -> String {
    let all: Vec<&str> = keys.iter().chain(sums).copied().collect();
    let marks = vec!["?"; all.len()].join(", ");
    let set: Vec<String> = sums.iter().map(|sum| format!("{sum} = {sum} + excluded.{sum}")).collect();
    let (keys, all, set) = (keys.join(", "), all.join(", "), set.join(", "));
    format!("INSERT INTO {table} ({all}) VALUES ({marks}) ON CONFLICT ({keys}) DO UPDATE SET {set}")
}

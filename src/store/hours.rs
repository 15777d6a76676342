//! The sums of an hour: gathered over a group, added to the file at its end.
//!
//! A sum is of one line of one kind of statement in one hour: what a route cost, or a client, or a value of a tag. No
//! question asks for two of these at once, so no sum is of two: there are as many as there are lines, however they mix.

use std::borrow::Cow;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::numbers::{HOUR, money, whole};
use crate::policy::budget::OTHERS;
use crate::policy::statement::GroupBy;
use crate::words::{AttemptEnd, AttemptRecord};

/// The most values of a tag, and the most tags, that an hour has sums of. A tag that is different in every call is no
/// account; its calls are in the entries, and what they cost in the sum of the others.
const VALUES_MAX: usize = 128;
const TAGS_MAX: usize = 16;

/// What is summed, as the file has it.
pub(super) const SUMS: [&str; 11] = [
    "attempts",
    "answers",
    "unpriced",
    "input",
    "cached",
    "cache_write",
    "output",
    "reasoning",
    "cost",
    "estimated",
    "wasted",
];
type Sum = [i64; SUMS.len()];

fn of_attempt(attempt: &AttemptRecord) -> Sum {
    let (cost, usage) = (attempt.cost_usd.map_or(0, money), &attempt.usage);
    [
        1,
        i64::from(attempt.won()),
        i64::from(attempt.cost_usd.is_none()),
        whole(usage.input),
        whole(usage.cached),
        whole(usage.cache_write),
        whole(usage.output),
        whole(usage.reasoning),
        cost,
        if attempt.estimated { cost } else { 0 },
        if attempt.won() { 0 } else { cost },
    ]
}

/// The sums of one group, by kind, hour and line.
#[derive(Default)]
pub(super) struct Hours(BTreeMap<(Cow<'static, str>, i64, String), Sum>);

/// The tags that an hour has sums of, and their values: those of the hours of the group that is being written, and of
/// the last hour before it. What a group adds is in the file only when it is whole.
#[derive(Default)]
pub(super) struct KnownTags(BTreeMap<i64, HashMap<String, HashSet<String>>>);

impl KnownTags {
    /// Returns the line of a tag's value in the sums of an hour; `None` where there are too many tags.
    fn line(
        &mut self,
        connection: &Connection,
        hour: i64,
        kind: &str,
        value: &str,
    ) -> rusqlite::Result<Option<String>> {
        let tags = match self.0.entry(hour) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(tags_of(connection, hour)?),
        };
        if tags.len() >= TAGS_MAX && !tags.contains_key(kind) {
            return Ok(None);
        }
        let values = tags.entry(kind.to_owned()).or_default();
        if values.contains(value) {
            return Ok(Some(value.to_owned()));
        }
        let value = if values.len() >= VALUES_MAX { OTHERS } else { value };
        values.insert(value.to_owned());
        Ok(Some(value.to_owned()))
    }

    /// Forgets all hours but the last, once a group is written.
    pub(super) fn written(&mut self) {
        while self.0.len() > 1 {
            self.0.pop_first();
        }
    }
}

/// Returns the tags that the file has sums of in an hour, and their values.
fn tags_of(connection: &Connection, hour: i64) -> rusqlite::Result<HashMap<String, HashSet<String>>> {
    let find = format!("{TAGS} SELECT sums.kind, line FROM tags JOIN sums ON sums.kind = tags.kind AND hour = ?1");
    let mut find = connection.prepare_cached(&find)?;
    let mut rows = find.query([hour])?;
    let mut tags = HashMap::<_, HashSet<_>>::new();
    while let Some(row) = rows.next()? {
        tags.entry(row.get(0)?).or_default().insert(row.get(1)?);
    }
    Ok(tags)
}

impl Hours {
    /// Adds an attempt.
    pub(super) fn attempt(
        &mut self,
        connection: &Connection,
        known: &mut KnownTags,
        hour: i64,
        attempt: &AttemptRecord,
    ) -> rusqlite::Result<()> {
        let (sum, about, target) = (of_attempt(attempt), &attempt.about, &attempt.target);
        for (kind, line) in [
            ("all", "all".to_owned()),
            ("route", about.route.to_string()),
            ("provider", target.provider.to_string()),
            ("model", target.model.to_string()),
            ("target", target.to_string()),
            ("key", format!("{}/{}", target.provider, attempt.key)),
            ("client", about.client.as_deref().unwrap_or_default().to_owned()),
        ] {
            self.add(kind, hour, line, sum);
        }
        if let AttemptEnd::Failed(failure) = &attempt.end {
            self.add("failure", hour, failure.class.to_string(), sum);
        }
        for (tag, value) in &about.tags {
            let kind = GroupBy::Tag(tag.clone()).to_string();
            if let Some(line) = known.line(connection, hour, &kind, value)? {
                self.add(kind, hour, line, sum);
            }
        }
        Ok(())
    }

    /// Adds a call: how it ended, and what it cost and wasted.
    pub(super) fn call(&mut self, hour: i64, outcome: &str, cost: i64, wasted: i64) {
        self.add("outcome", hour, outcome.to_owned(), [1, 0, 0, 0, 0, 0, 0, 0, cost, 0, wasted]);
    }

    fn add(&mut self, kind: impl Into<Cow<'static, str>>, hour: i64, line: String, more: Sum) {
        let sum = self.0.entry((kind.into(), hour, line)).or_default();
        for (one, more) in sum.iter_mut().zip(more) {
            *one = one.saturating_add(more);
        }
    }

    /// Adds everything to the file.
    pub(super) fn save(self, connection: &Connection) -> rusqlite::Result<()> {
        let set = SUMS.map(|sum| format!("{sum} = {sum} + excluded.{sum}")).join(", ");
        let marks = ["?"; SUMS.len()].join(", ");
        let add = format!("INSERT INTO sums VALUES (?, ?, ?, {marks}) ON CONFLICT DO UPDATE SET {set}");
        let mut add = connection.prepare_cached(&add)?;
        for ((kind, hour, line), sum) in self.0 {
            let keys = [Value::from(kind.into_owned()), Value::from(hour), Value::from(line)];
            add.execute(params_from_iter(keys.into_iter().chain(sum.map(Value::from))))?;
        }
        Ok(())
    }
}

/// The SQL that finds the kinds that are tags, each by one look into the table's order.
const TAGS: &str = "WITH RECURSIVE tags (kind) AS (SELECT min(kind) FROM sums WHERE kind > 'tag:' AND kind < 'tag;' \
                    UNION ALL SELECT (SELECT min(kind) FROM sums WHERE sums.kind > tags.kind AND sums.kind < 'tag;') \
                    FROM tags WHERE tags.kind IS NOT NULL)";

/// Forgets the sums of the hours before one. Returns how many they were.
pub(super) fn forget(connection: &Connection, before: i64) -> rusqlite::Result<usize> {
    let kinds = "WITH RECURSIVE kinds (kind) AS (SELECT min(kind) FROM sums \
                 UNION ALL SELECT (SELECT min(kind) FROM sums WHERE sums.kind > kinds.kind) FROM kinds \
                 WHERE kinds.kind IS NOT NULL) \
                 DELETE FROM sums WHERE kind IN (SELECT kind FROM kinds) AND hour < ?1";
    connection.prepare_cached(kinds)?.execute([before])
}

/// Returns the SQL of the hours of a time in which a tag has no sums, because others took all places.
pub(super) fn lacking(kind: &str, since: &str, until: &str) -> String {
    format!(
        "SELECT hour FROM (SELECT DISTINCT kind, hour FROM sums WHERE kind > 'tag:' AND kind < 'tag;') \
         WHERE hour >= {since} AND hour < {until} GROUP BY hour HAVING count(*) >= {TAGS_MAX} \
         EXCEPT SELECT hour FROM sums WHERE kind = {kind}"
    )
}

/// Returns the SQL of a tag's sums, as the table has them. Of the hours that lack them the entries are read: where none
/// does, not one.
pub(super) fn of_tag(kind: &str, since: &str, until: &str) -> String {
    let (lacking, sums) = (lacking(kind, since, until), SUMS.join(", "));
    format!(
        "WITH lacking AS MATERIALIZED ({lacking}) \
         SELECT hour, line, {sums} FROM sums WHERE kind = {kind} AND hour >= {since} AND hour < {until} \
         UNION ALL \
         SELECT entry.ended_at / 1000 / {HOUR} AS at, tag.value, count(*), sum(entry.end = {WON}), \
         sum(entry.cost IS NULL), sum(entry.input), sum(entry.cached), sum(entry.cache_write), sum(entry.output), \
         sum(entry.reasoning), sum(coalesce(entry.cost, 0)), sum(iif(entry.flags & 1, coalesce(entry.cost, 0), 0)), \
         sum(iif(entry.end = {WON}, 0, coalesce(entry.cost, 0))) \
         FROM (SELECT 1 FROM lacking LIMIT 1) CROSS JOIN attempt AS entry CROSS JOIN json_each(entry.tags) AS tag \
         WHERE at IN lacking AND 'tag:' || tag.key = {kind} GROUP BY 1, 2"
    )
}

/// The number of the end of an attempt that won; that of no end where none has.
pub(super) const WON: &str = "coalesce((SELECT id FROM name WHERE text = 'won'), 0)";

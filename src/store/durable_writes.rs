//! Durable calls in the file: what was asked for, and what was told of it, item by item.
//!
//! What is written is sealed, where there is a key. It goes into the groups of all else, and says the same if it is
//! written twice. What is read is read beside the writer.

use std::sync::Arc;
use std::time::SystemTime;

use rusqlite::{Connection, OptionalExtension as _, Params, Row, params};

use super::error::OpenError;
use super::numbers::{millis, time_of, whole};
use super::schema::{self, LINES};
use super::seal::{CallPart, SealedBytes, Sealer};
use crate::policy::durable_store::{CallSelector, Item, KeptCall, is_last};
use crate::policy::persist::{self, Persist, is_formed, read_with_schema, write_with_schema};
use crate::words::{CallId, Durable};

/// Something to be written of a durable call.
pub(super) enum DurableWrite {
    Accept {
        id: CallId,
        begun_at: i64,
        client: String,
        key: Option<String>,
        tags: String,
        durable: Durable,
        is_whole: bool,
        request: SealedBytes,
        /// The most bytes of calls that have not ended, this one included.
        bytes_max: u64,
    },
    Sent {
        id: CallId,
        processes: u32,
    },
    Items {
        id: CallId,
        at: usize,
        items: Vec<SealedBytes>,
        end: Option<CallEnd>,
    },
    Forget(CallSelector),
    /// It is of no call: what attempts in flight may still cost, for the process that follows.
    #[cfg(feature = "sidecar")]
    Reserved(Vec<crate::spec::ReservedSpend>),
}

/// How a call ended, and when.
pub(super) struct CallEnd {
    pub(super) at: i64,
    pub(super) has_failed: bool,
}

impl DurableWrite {
    pub(super) fn accept(call: &KeptCall, sealer: &Sealer, bytes_max: u64) -> Result<Self, OpenError> {
        let request = &call.request;
        Ok(Self::Accept {
            id: call.id,
            begun_at: millis(call.begun_at),
            client: request.client.as_deref().unwrap_or_default().to_owned(),
            key: request.key.clone(),
            tags: serde_json::to_string(&request.tags).unwrap_or_default(),
            durable: call.durable,
            is_whole: call.is_whole,
            request: sealer.seal(call.id, CallPart::Request, write_with_schema(&*call.request))?,
            bytes_max,
        })
    }

    pub(super) fn items(
        id: CallId,
        at: usize,
        items: &[Item],
        now: SystemTime,
        sealer: &Sealer,
    ) -> Result<Self, OpenError> {
        let end = items.last().filter(|item| is_last(item));
        let end = end.map(|item| CallEnd { at: millis(now), has_failed: item.is_err() });
        let places = (at as u64..).map(CallPart::Item);
        let items = places.zip(items).map(|(part, item)| sealer.seal(id, part, write_with_schema(item)));
        Ok(Self::Items { id, at, items: items.collect::<Result<_, _>>()?, end })
    }

    /// Tells whether it makes something forgotten.
    pub(super) const fn forgets(&self) -> bool {
        matches!(self, Self::Forget(_))
    }

    /// Writes it. Returns how many calls that changed; of a call that is accepted, 0 where it has no room.
    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<usize> {
        let changed = match self {
            Self::Accept { id, begun_at, client, key, tags, durable, is_whole, request, bytes_max } => {
                let (runtime, number) = of(*id);
                let is_there = "SELECT EXISTS (SELECT 1 FROM kept WHERE runtime = ?1 AND number = ?2)";
                if connection.prepare_cached(is_there)?.query_row([runtime, number], |row| row.get(0))? {
                    return Ok(1);
                }
                let long = request.bytes.len() as u64;
                if bytes(connection, "WHERE ended_at IS NULL")?.saturating_add(long) > *bytes_max {
                    return Ok(0);
                }
                let add = "INSERT INTO kept (runtime, number, begun_at, client, key, tags, durable, whole, request, seal, \
                           bytes, sum) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
                connection.prepare_cached(add)?.execute(params![
                    runtime,
                    number,
                    begun_at,
                    client,
                    key,
                    tags,
                    durable.name(),
                    is_whole,
                    request.bytes,
                    request.mark,
                    whole(long),
                    sum(&request.bytes)
                ])?
            }
            Self::Sent { id, processes } => {
                let (runtime, number) = of(*id);
                let set = "UPDATE kept SET sent = ?3 WHERE runtime = ?1 AND number = ?2 AND ended_at IS NULL";
                connection.prepare_cached(set)?.execute(params![runtime, number, processes])?
            }
            Self::Items { id, at, items, end } => {
                let (runtime, number) = of(*id);
                let add = "INSERT OR IGNORE INTO kept_item SELECT ?1, ?2, ?3, ?4, ?5, ?6 \
                           WHERE EXISTS (SELECT 1 FROM kept WHERE runtime = ?1 AND number = ?2 AND ended_at IS NULL)";
                let (mut add, mut long) = (connection.prepare_cached(add)?, 0);
                for (at, item) in (*at..).zip(items) {
                    let (at, sum) = (whole(at as u64), sum(&item.bytes));
                    let added = add.execute(params![runtime, number, at, item.bytes, item.mark, sum])?;
                    long += if added == 0 { 0 } else { item.bytes.len() as u64 };
                }
                let set = "UPDATE kept SET bytes = bytes + ?3 WHERE runtime = ?1 AND number = ?2";
                connection.prepare_cached(set)?.execute(params![runtime, number, whole(long)])?;
                // A group that is written again finds its own items there, and not those of another writer.
                let Some((last, at)) = items.last().zip((at + items.len()).checked_sub(1)) else { return Ok(0) };
                let ours =
                    "SELECT count(*) FROM kept_item WHERE runtime = ?1 AND number = ?2 AND at = ?3 AND item = ?4";
                let place = params![runtime, number, whole(at as u64), last.bytes];
                let is_ours = connection.prepare_cached(ours)?.query_row(place, |row| row.get::<_, i64>(0))? > 0;
                if let Some(CallEnd { at, has_failed }) = end.as_ref().filter(|_| is_ours) {
                    // What was sent in two processes may be billed twice: it is counted with the end, as often as that.
                    let again = "INSERT INTO meta SELECT 'again', 1 FROM kept \
                                 WHERE runtime = ?1 AND number = ?2 AND ended_at IS NULL AND sent > 1 \
                                 ON CONFLICT DO UPDATE SET value = value + 1";
                    connection.prepare_cached(again)?.execute([runtime, number])?;
                    // Who comes with the key of a call that failed makes another.
                    let set = "UPDATE kept SET ended_at = ?3, key = iif(?4, NULL, key) \
                               WHERE runtime = ?1 AND number = ?2 AND ended_at IS NULL";
                    connection.prepare_cached(set)?.execute(params![runtime, number, at, has_failed])?;
                }
                usize::from(is_ours)
            }
            Self::Forget(CallSelector::Call(id)) => {
                let (runtime, number) = of(*id);
                forget(connection, "runtime = ?1 AND number = ?2", params![runtime, number])?
            }
            Self::Forget(CallSelector::Tag(name, value)) => {
                let which = "ended_at IS NOT NULL AND tags ->> ('$.' || json_quote(?1)) = ?2";
                forget(connection, which, params![name, value])?
            }
            Self::Forget(CallSelector::Before(time)) => forget(connection, "ended_at < ?1", params![millis(*time)])?,
            #[cfg(feature = "sidecar")]
            Self::Reserved(reserved) => super::reserved::write(connection, reserved)?,
        };
        Ok(changed)
    }
}

/// Returns how many calls are kept.
pub(super) fn count(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("SELECT count(*) FROM kept")?.query_row((), |row| row.get(0))
}

/// Forgets calls and their items.
pub(super) fn forget(connection: &Connection, which: &str, params: impl rusqlite::Params) -> rusqlite::Result<usize> {
    // Their items go with them: a trigger of the file's.
    connection.prepare_cached(&format!("DELETE FROM kept WHERE {which}"))?.execute(params)
}

/// Returns how many bytes calls take, with what was told of them.
pub(super) fn bytes(connection: &Connection, which: &str) -> rusqlite::Result<u64> {
    let sum = format!("SELECT coalesce(sum(bytes), 0) FROM kept {which}");
    let bytes: i64 = connection.prepare_cached(&sum)?.query_row((), |row| row.get(0))?;
    Ok(u64::try_from(bytes).unwrap_or(0))
}

fn of(id: CallId) -> (i64, i64) {
    (id.runtime.cast_signed(), whole(id.number))
}

/// Returns a call by its id.
pub(super) fn call(file: &Connection, sealer: &Sealer, id: CallId) -> Result<Option<KeptCall>, OpenError> {
    one(file, sealer, "runtime = ?1 AND number = ?2", of(id))
}

/// Returns the call of a client's key: of several the last.
pub(super) fn keyed(
    file: &Connection,
    sealer: &Sealer,
    client: &str,
    key: &str,
) -> Result<Option<KeptCall>, OpenError> {
    one(file, sealer, "client = ?1 AND key = ?2 ORDER BY begun_at DESC LIMIT 1", [client, key])
}

/// Returns a call; `None` where there is none, or it is of a form that is not known.
fn one(file: &Connection, sealer: &Sealer, which: &str, params: impl Params) -> Result<Option<KeptCall>, OpenError> {
    let find = format!(
        "SELECT runtime, number, begun_at, durable, whole, sent, request, seal, {}, ended_at FROM kept WHERE {which}",
        sum_of(file)?
    );
    let kept = file.prepare_cached(&find)?.query_row(params, KeptRow::read).optional()?;
    kept.map_or(Ok(None), |kept| kept.with_items(file, sealer))
}

/// Returns the items of a call from a place on; `None` where there is no such call.
pub(super) fn told(
    file: &Connection,
    sealer: &Sealer,
    id: CallId,
    from: usize,
) -> Result<Option<Vec<Item>>, OpenError> {
    let find = "SELECT 1 FROM kept WHERE runtime = ?1 AND number = ?2";
    if file.prepare_cached(find)?.query_row(of(id), |_| Ok(())).optional()?.is_none() {
        return Ok(None);
    }
    items(file, sealer, id, from)
}

/// Reads the items of a call from a place on; `None` where one is of a form that is not known.
fn items(connection: &Connection, sealer: &Sealer, id: CallId, from: usize) -> Result<Option<Vec<Item>>, OpenError> {
    let (runtime, number) = of(id);
    let find = format!(
        "SELECT at, item, seal, {} FROM kept_item WHERE runtime = ?1 AND number = ?2 AND at >= ?3 ORDER BY at",
        sum_of(connection)?
    );
    let mut find = connection.prepare_cached(&find)?;
    let mut rows = find.query(params![runtime, number, whole(from as u64)])?;
    let mut items = Vec::new();
    while let Some(row) = rows.next()? {
        let part = CallPart::Item(u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0));
        let item = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
        match open(sealer, id, part, (row.get(2)?, row.get(3)?), item)? {
            Some(item) => items.push(item),
            None => return Ok(None),
        }
    }
    Ok(Some(items))
}

/// Opens what stands in a row beside the mark of its key and its sum; `None` where it is of a form that is not known.
/// An earlier version kept no sums.
fn open<T: Persist>(
    sealer: &Sealer,
    id: CallId,
    part: CallPart,
    (mark, told): (Option<i64>, Option<i64>),
    bytes: &[u8],
) -> Result<Option<T>, OpenError> {
    let opened = sealer.open(id, part, mark, bytes)?;
    if told.is_some_and(|told| told != sum(bytes)) {
        return Err(OpenError::Unopened);
    }
    if is_formed::<T>(&opened) { read_with_schema(&opened).map(Some).ok_or(OpenError::Unopened) } else { Ok(None) }
}

/// Returns the sum by which it shows that a disk has changed bytes.
fn sum(bytes: &[u8]) -> i64 {
    persist::sum(bytes).cast_signed()
}

/// Returns the column of sums; an older form has none.
fn sum_of(connection: &Connection) -> Result<&'static str, OpenError> {
    Ok(if schema::form(connection)? < LINES { "NULL" } else { "sum" })
}

/// Returns the calls that have not ended, in the order in which they were accepted.
pub(super) fn unfinished(file: &Connection) -> Result<Vec<CallId>, OpenError> {
    let mut find = file.prepare("SELECT runtime, number FROM kept WHERE ended_at IS NULL ORDER BY begun_at, number")?;
    let rows = find.query_map((), id)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn id(row: &Row<'_>) -> rusqlite::Result<CallId> {
    let (runtime, number): (i64, i64) = (row.get(0)?, row.get(1)?);
    Ok(CallId::new(runtime.cast_unsigned(), u64::try_from(number).unwrap_or(0)))
}

/// A call's row, as it is in the file.
struct KeptRow {
    id: CallId,
    begun_at: i64,
    durable: String,
    is_whole: bool,
    sent: u32,
    request: Vec<u8>,
    mark: Option<i64>,
    sum: Option<i64>,
    ended_at: Option<i64>,
}

impl KeptRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: id(row)?,
            begun_at: row.get(2)?,
            durable: row.get(3)?,
            is_whole: row.get(4)?,
            sent: row.get(5)?,
            request: row.get(6)?,
            mark: row.get(7)?,
            sum: row.get(8)?,
            ended_at: row.get(9)?,
        })
    }

    /// Returns the call, opened; `None` where it is of a form that is not known.
    fn with_items(self, connection: &Connection, sealer: &Sealer) -> Result<Option<KeptCall>, OpenError> {
        let Self { id, begun_at, durable, is_whole, sent, request, mark, sum, ended_at } = self;
        let request = open(sealer, id, CallPart::Request, (mark, sum), &request)?;
        let Some((durable, request)) = durable.parse().ok().zip(request) else { return Ok(None) };
        let (begun_at, ended_at) = (time_of(begun_at), ended_at.map(time_of));
        let Some(items) = items(connection, sealer, id, 0)? else { return Ok(None) };
        Ok(Some(KeptCall { id, begun_at, request: Arc::new(request), durable, is_whole, sent, items, ended_at }))
    }
}

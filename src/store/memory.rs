//! The state of providers, for the next process: one row of each, replaced each time.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

use super::error::OpenError;
use super::file;
use super::numbers::{millis, span_of, time_of, wall};
use crate::policy::memory::{Memory, Uptime, WallMoment};
use crate::source::uptime;

/// Where Linux tells the number of the machine's run.
const RUN: &str = "/proc/sys/kernel/random/boot_id";
/// Sessions are looked for among this many attempts.
const ATTEMPTS_MAX: u32 = 50_000;

/// The kept health of a provider.
pub(crate) struct KeptHealth {
    pub(crate) provider: String,
    /// When.
    pub(crate) at: WallMoment,
    form: i64,
    sum: i64,
    bytes: Vec<u8>,
}

impl KeptHealth {
    /// Tells whether it is of the form that is read here.
    pub(crate) fn is_ours(&self) -> bool {
        self.form == Memory::schema_hash()
    }

    /// Reads it, as written at this time of the reading process; without a time everything that ages is left out.
    pub(crate) fn read(&self, then: Option<Instant>, now: Instant) -> Option<Memory> {
        Memory::read(&self.provider, &self.bytes, self.sum, then, now)
    }
}

/// A session, and the target that served it last.
pub(crate) struct ServedSession {
    pub(crate) session: String,
    pub(crate) provider: String,
    pub(crate) model: String,
    /// How long ago.
    pub(crate) ago: Duration,
}

/// The state that earlier processes have kept.
pub(crate) struct Recollection {
    /// Of each provider.
    pub(crate) kept: Vec<KeptHealth>,
    /// Of the sessions of late, the oldest first.
    pub(crate) served: Vec<ServedSession>,
}

/// Returns what was kept, and the targets that served sessions within this time.
pub(crate) fn recollect(path: &Path, sessions_for: Duration) -> Result<Recollection, OpenError> {
    let connection = file::read(path)?;
    Ok(Recollection { kept: kept(&connection)?, served: served(&connection, sessions_for)? })
}

fn kept(connection: &Connection) -> rusqlite::Result<Vec<KeptHealth>> {
    let mut asked =
        connection.prepare("SELECT provider, at, run, uptime_ms, form, sum, bytes FROM memory ORDER BY provider")?;
    let rows = asked.query_map((), |row| {
        let run: Option<String> = row.get(2)?;
        let uptime: Option<i64> = row.get(3)?;
        let machine = run.zip(uptime).map(|(run, time)| Uptime { run, time: span_of(time) });
        let at = WallMoment { wall: time_of(row.get(1)?), machine };
        Ok(KeptHealth { provider: row.get(0)?, at, form: row.get(4)?, sum: row.get(5)?, bytes: row.get(6)? })
    })?;
    rows.collect()
}

/// Returns the target that served each session, by the entries of attempts: a probe or the second of two attempts moves
/// no session.
fn served(connection: &Connection, since: Duration) -> rusqlite::Result<Vec<ServedSession>> {
    let now = millis(wall());
    let sql = "SELECT session, provider.text, model.text, ended_at FROM \
               (SELECT * FROM attempt ORDER BY id DESC LIMIT ?1) AS it \
               JOIN name AS provider ON provider.id = it.provider JOIN name AS model ON model.id = it.model \
               JOIN name AS ended ON ended.id = it.end \
               WHERE session IS NOT NULL AND ended.text = 'won' AND flags & 18 = 0 AND ended_at BETWEEN ?2 AND ?3 \
               ORDER BY it.id";
    let mut asked = connection.prepare(sql)?;
    let since = now.saturating_sub(i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
    let rows = asked.query_map(params![ATTEMPTS_MAX, since, now], |row| {
        let ago = span_of(now - row.get::<_, i64>(3)?);
        Ok(ServedSession { session: row.get(0)?, provider: row.get(1)?, model: row.get(2)?, ago })
    })?;
    rows.collect()
}

/// The state of a provider, and when it was given to the store.
pub(super) struct PendingMemory {
    memory: Memory,
    at: Instant,
}

impl PendingMemory {
    #[expect(clippy::disallowed_methods, reason = "how long a disk lets it wait is real time, whatever a test pauses")]
    pub(super) fn now(memory: Memory) -> Self {
        Self { memory, at: Instant::now() }
    }
}

/// Writes the health of a provider, with the age that it has by now.
pub(super) fn write(connection: &Connection, PendingMemory { memory, at }: &PendingMemory) -> rusqlite::Result<()> {
    let (at, waited) = (moment(), at.elapsed());
    let Some((bytes, sum)) = memory.write(memory.at + waited) else { return Ok(()) };
    let (run, uptime) = at.machine.as_ref().map(|machine| (&*machine.run, machine.time)).unzip();
    let uptime = uptime.map(|time| i64::try_from(time.as_millis()).unwrap_or(i64::MAX));
    let put = "INSERT OR REPLACE INTO memory (provider, at, run, uptime_ms, form, sum, bytes) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let row = params![&*memory.provider, millis(at.wall), run, uptime, Memory::schema_hash(), sum, bytes];
    connection.prepare_cached(put)?.execute(row)?;
    Ok(())
}

/// Returns this moment, by the clocks that outlive a process.
pub(crate) fn moment() -> WallMoment {
    let run = fs::read_to_string(RUN).ok().map(|run| run.trim().to_owned());
    WallMoment { wall: wall(), machine: run.zip(uptime()).map(|(run, time)| Uptime { run, time }) }
}

//! The file: made for its owner alone, held by one process, opened for its writer and for readers.
//!
//! Its process has two locks, which the system frees at every end of the process. One is on a file beside it, and is of
//! the place: it holds while the file itself is moved away and made anew. The other is on the file itself, and holds
//! for every name of it, and when what is beside it is deleted.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, OpenFlags};

use super::cross_sums;
use super::error::OpenError;
use super::schema;
use crate::words::locks::lock;

/// How long a write waits for another process that has the file: a backup, or a shell.
const BUSY_WAIT: Duration = Duration::from_secs(1);
/// How often the lock on the file is tried.
const LOCK_LOOK: Duration = Duration::from_millis(5);

/// The right to write a file, as long as it lives.
pub(super) struct WriteLock {
    path: PathBuf,
    wait: Duration,
    _lock: Connection,
}

impl WriteLock {
    /// Takes the file for this process; waits up to this long for another process that has it.
    pub(super) fn take(path: &Path, wait: Duration) -> Result<Self, OpenError> {
        let beside = beside(&resolved(path), "-lock");
        make(&beside)?;
        let lock = Connection::open_with_flags(&beside, FLAGS)?;
        lock.busy_timeout(wait)?;
        match lock.execute_batch("PRAGMA journal_mode = memory; BEGIN EXCLUSIVE") {
            Ok(()) => Ok(Self { path: path.to_owned(), wait, _lock: lock }),
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => {
                Err(OpenError::Taken(holder(path)))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Opens the file to write it: in its present form, and durable to the last group at any end of the process.
    pub(super) fn open(&self) -> Result<OpenFile, OpenError> {
        make(&self.path)?;
        // Before it is opened: under another name of the file `SQLite` would keep another journal beside it.
        let lock = FileLock::take(&self.path, self.wait)?;
        let mut connection = Connection::open_with_flags(&self.path, FLAGS)?;
        connection.busy_timeout(BUSY_WAIT)?;
        // In this order: the way in which the file gives room back must be set before its first page.
        for (name, value) in [
            ("auto_vacuum", "incremental"),
            ("journal_mode", "wal"),
            ("synchronous", "normal"),
            ("temp_store", "memory"),
            // What is forgotten is overwritten where it stood.
            ("secure_delete", "on"),
            ("journal_size_limit", "67108864"),
            ("cache_size", "-8192"),
        ] {
            connection.pragma_update(None, name, value)?;
        }
        schema::migrate(&mut connection)?;
        let told = "INSERT INTO meta VALUES ('pid', ?1) ON CONFLICT DO UPDATE SET value = excluded.value";
        connection.execute(told, [std::process::id()])?;
        connection.set_prepared_statement_cache_capacity(32);
        Ok(OpenFile { connection, is_synced: false, id: identity(&self.path), _lock: Some(lock) })
    }

    /// Tells whether the file is still the one that was opened: it may have been moved or deleted.
    pub(super) fn is(&self, opened: &OpenFile) -> bool {
        opened.is_at(&self.path)
    }
}

/// Opens a file to keep durable calls in it beside the process that writes all else. It changes no form.
pub(super) fn beside_writer(path: &Path) -> Result<OpenFile, OpenError> {
    let connection = Connection::open_with_flags(path, FLAGS)?;
    connection.busy_timeout(BUSY_WAIT)?;
    if schema::form(&connection)? < schema::LINES {
        return Err(OpenError::Older);
    }
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "secure_delete", "on")?;
    Ok(OpenFile { connection, is_synced: true, id: identity(path), _lock: None })
}

/// Empties the journal beside the file, which has in it what was since forgotten. Tells whether it could.
pub(super) fn empty_journal(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| row.get::<_, i64>(0)).map(|busy| busy == 0)
}

/// The file, open for its writer.
pub(super) struct OpenFile {
    pub(super) connection: Connection,
    /// Whether a commit waits for the disk itself.
    pub(super) is_synced: bool,
    /// `None` where it was moved or deleted just now.
    pub(super) id: Option<FileId>,
    /// Given back when the connection is closed.
    _lock: Option<FileLock>,
}

impl OpenFile {
    /// Tells whether it is still the file at its path.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        self.id.is_some() && identity(path) == self.id
    }
}

/// Opens a file to read it, beside its writer.
pub(super) fn read(path: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_WAIT)?;
    match schema::form(&connection)? {
        0 => Err(OpenError::Foreign),
        _ => Ok(connection),
    }
}

/// Connections to read a file with, kept for the next reader: opening one takes most of the time of a short look.
#[derive(Default)]
pub(super) struct Readers(Mutex<Vec<(FileId, Connection)>>);

/// The most that are kept: no more readers look at once.
const READERS_MAX: usize = 4;

impl Readers {
    /// Reads the file that is there now. After an error its connection is closed.
    pub(super) fn read<T>(
        &self,
        path: &Path,
        look: impl FnOnce(&Connection) -> Result<T, OpenError>,
    ) -> Result<T, OpenError> {
        let id = identity(path);
        let mut idle = lock(&self.0);
        idle.retain(|(of, _)| Some(*of) == id);
        let known = idle.pop();
        drop(idle);
        let connection = known.map_or_else(|| read(path), |(_, connection)| Ok(connection))?;
        let seen = look(&connection)?;
        let mut idle = lock(&self.0);
        if let Some(id) = id.filter(|_| idle.len() < READERS_MAX) {
            idle.push((id, connection));
        }
        Ok(seen)
    }
}

/// Opens a file to read its sums of a kind: those of an older form are read as those of this one.
pub(super) fn read_sums(path: &Path, kind: &str) -> Result<Connection, OpenError> {
    let connection = read(path)?;
    let form = schema::form(&connection)?;
    if form < schema::LINES {
        cross_sums::view(&connection, kind, form >= schema::ENDS)?;
    }
    Ok(connection)
}

/// Paths are paths: none is read as an address with options.
const FLAGS: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// Makes a file for its owner alone, where there is none. One that is there is not opened: closing it would take back
/// the locks that this process has on it.
fn make(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Returns the process that wrote to the file last.
fn holder(path: &Path) -> Option<u32> {
    read(path).ok()?.query_row("SELECT value FROM meta WHERE name = 'pid'", (), |row| row.get(0)).ok()
}

/// Returns a file's path without links: where there is no file yet, that of its folder.
fn resolved(path: &Path) -> PathBuf {
    let in_folder = || {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Some(fs::canonicalize(folder).ok()?.join(path.file_name()?))
    };
    fs::canonicalize(path).ok().or_else(in_folder).unwrap_or_else(|| path.to_owned())
}

/// The device of a file, its number there, and when it was made, where the system tells: the number of a file that was
/// deleted is given to another.
pub(super) type FileId = (u64, u64, Option<SystemTime>);

/// The lock on a file itself. It is `flock`'s, which knows nothing of `SQLite`'s own locks.
struct FileLock(FileId);

/// The files that this process has opened to lock them. One that another process has stays here: to close a file takes
/// back all locks that `SQLite` has on it for this process.
static LOCK_FILES: Mutex<BTreeMap<FileId, LockFile>> = Mutex::new(BTreeMap::new());

struct LockFile {
    file: File,
    /// Whether a runtime of this process has the lock.
    is_held: bool,
}

impl FileLock {
    /// Takes the lock; waits up to this long for another process that has it.
    fn take(path: &Path, wait: Duration) -> Result<Self, OpenError> {
        let mut left = wait;
        loop {
            if let Some(lock) = Self::try_take(path)? {
                return Ok(lock);
            }
            left = left.checked_sub(LOCK_LOOK).ok_or_else(|| OpenError::Taken(holder(path)))?;
            thread::park_timeout(LOCK_LOOK);
        }
    }

    fn try_take(path: &Path) -> io::Result<Option<Self>> {
        let id = identity(path).ok_or(io::ErrorKind::NotFound)?;
        let mut files = lock(&LOCK_FILES);
        let LockFile { file, is_held } = match files.entry(id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(free) => free.insert(LockFile { file: File::open(path)?, is_held: false }),
        };
        if *is_held {
            return Ok(None);
        }
        *is_held = match file.try_lock() {
            Err(TryLockError::WouldBlock) => false,
            // Some file systems have no such locks.
            Ok(()) | Err(TryLockError::Error(_)) => true,
        };
        Ok(is_held.then(|| Self(id)))
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        lock(&LOCK_FILES).remove(&self.0);
    }
}

fn identity(path: &Path) -> Option<FileId> {
    fs::metadata(path).ok().map(|data| (data.dev(), data.ino(), data.created().ok()))
}

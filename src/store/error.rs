//! What goes wrong with a file.

use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

/// Why a file cannot be the store's.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// Another process, or another runtime of this one, keeps it.
    #[error(
        "is kept by {}: one process at a time writes it; give each its own file",
        .0.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
    )]
    Taken(Option<u32>),
    /// It is another program's.
    #[error("is no store of standin's: name another file")]
    Foreign,
    /// An earlier version writes it, whose durable calls have another form.
    #[error("is of an older standin, which still writes it: durable calls wait until that has ended")]
    Older,
    /// A later version wrote it.
    #[error("is of a newer standin (its form is {form}, this one knows {known}): update, or name another file")]
    Newer { form: i64, known: usize },
    /// A key that is to seal and open cannot be read, or is none.
    #[error("{problem}")]
    Key { at: usize, problem: String },
    /// It holds what another key sealed.
    #[error(
        "holds durable calls that the key {by} sealed, and {}: list that key in `store.encryption_keys`, behind the one \
         that is to seal; if it is lost, move the file away",
        given_keys(.given)
    )]
    Sealed { by: String, given: Vec<String> },
    /// What stands in a row is not what was written there.
    #[error("holds bytes of a call that are not what was written: they were damaged, changed or moved")]
    Unopened,
    /// Nothing can be sealed.
    #[error("cannot be sealed: the machine gives no random numbers")]
    Sealing,
    /// It cannot be made or opened.
    #[error("cannot be opened: {0}")]
    Files(#[from] io::Error),
    /// Its content cannot be read, or nothing can be written.
    #[error("cannot be used: {}", told(.0))]
    Database(#[from] rusqlite::Error),
}

fn given_keys(keys: &[String]) -> String {
    if keys.is_empty() { "no key is given".to_owned() } else { format!("given is {}", keys.join(", ")) }
}

impl OpenError {
    /// Returns what is wrong with the one call that was read, and the remedy, if it is only that call.
    pub(super) fn of_call(&self) -> Option<String> {
        match self {
            Self::Sealed { by, given: keys } => Some(format!(
                "was sealed by the key {by}, and {}: list that key in `store.encryption_keys`, or have it forgotten",
                given_keys(keys)
            )),
            Self::Unopened => Some("was damaged, changed or moved since it was written: have it forgotten".into()),
            _ => None,
        }
    }

    /// Tells whether a disk is the reason, and not what was configured: it has no room or cannot be written now.
    pub(super) fn is_of_disk(&self, path: &Path) -> bool {
        use rusqlite::ErrorCode as Code;
        let of_disk = |error: &io::Error| {
            let kind = error.kind();
            matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
                || kind == io::ErrorKind::ReadOnlyFilesystem
        };
        match self {
            Self::Files(error) => of_disk(error),
            Self::Database(error) => match error.sqlite_error_code() {
                Some(Code::DiskFull | Code::ReadOnly | Code::SystemIoFailure) => true,
                // A file beside it could not be made.
                Some(Code::CannotOpen) => {
                    fs::OpenOptions::new().write(true).open(path).is_err_and(|error| of_disk(&error))
                }
                _ => false,
            },
            _ => false,
        }
    }
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The runtime keeps no records: its configuration has no `[store]`.
    #[error("nothing is kept: the configuration has no [store]")]
    NotKept,
    /// The file cannot be read.
    #[error("{} cannot be read: {problem}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        problem: String,
    },
}

impl LedgerError {
    pub(super) fn unreadable(path: &Path, problem: &dyn fmt::Display) -> Self {
        Self::Unreadable { path: path.to_owned(), problem: problem.to_string() }
    }
}

/// Describes a database error and its remedy.
pub(super) fn told(error: &rusqlite::Error) -> String {
    use rusqlite::ErrorCode as Code;
    let remedy = match error.sqlite_error_code() {
        Some(Code::DatabaseCorrupt | Code::NotADatabase) => "; move it away, and a new one is begun",
        Some(Code::DiskFull) => "; make room, and what waits is written",
        Some(Code::ReadOnly | Code::PermissionDenied | Code::CannotOpen) => "; it and its folder must be writable",
        _ => "",
    };
    format!("{error}{remedy}")
}

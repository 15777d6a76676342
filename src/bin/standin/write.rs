//! Writes a new file, and never overwrites one.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Writes a text to a new file; if it holds a key, readable by its owner alone.
pub fn new(file: &Path, text: &str, holds_key: bool) -> Result<(), String> {
    let mode = if holds_key { 0o600 } else { 0o644 };
    let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(file);
    let written = opened.and_then(|mut opened| opened.write_all(text.as_bytes()));
    written.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            format!("{} is there, and is not written over; name another file by --out", file.display())
        }
        _ => format!("{}: {error}", file.display()),
    })
}

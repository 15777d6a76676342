//! Whether a call outlives its process.

use super::named::named;

/// Whether a call is kept in a file before it is accepted, so that it outlives caller and process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Durable {
    /// It ends with its process.
    #[default]
    No,
    /// It is taken up after a restart. What had been sent by then is sent again, and may be billed twice.
    Again,
    /// It is taken up after a restart where nothing of it had been sent; else it ends as interrupted, and is billed
    /// once at most for each attempt that it made.
    Once,
}

named!(Durable { No = "no", Again = "again", Once = "once" });

//! Whether a call outlives its process.

use super::named::named;

/// Whether a call is kept in a file before it is accepted, so that it outlives caller and process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Durable {
    /// It ends with its process.
    #[default]
    No,
    /// It is taken up after a restart. If it had been sent before, it is sent again, and may be billed twice.
    Again,
    /// It is taken up after a restart only if nothing of it had been sent; otherwise it ends as interrupted. Each
    /// attempt is billed once at most.
    Once,
}

named!(Durable { No = "no", Again = "again", Once = "once" });

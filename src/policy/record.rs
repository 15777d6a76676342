//! What observers get: one record of each attempt and each call that ended.
//!
//! Plain data, and the observers that take it. A part that counts, bills, stores or sends what a runtime does is an
//! observer.

use std::sync::Arc;

use super::explain::Flight;
use crate::words::AttemptRecord;

/// Something that ended. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Record {
    /// An attempt. Each is recorded once, before its call gets the attempt's end.
    Attempt(Arc<AttemptRecord>),
    /// A call that a router had accepted. Each is recorded once, after all its attempts: so its money is theirs. That
    /// is before its caller is answered, unless the call crashed or was killed.
    Call(Arc<Flight>),
}

/// A listener that is told of everything that ends.
///
/// It can neither slow nor break a call: it gets its records on a thread of its own, in order. One that is more than
/// [`QUEUE_MAX`] records behind loses the next ones, and health says how many; one that panics gets no more records.
pub trait Observer: Send + Sync + 'static {
    /// Takes a record.
    fn observe(&self, record: &Record);
}

/// Records that an observer may be behind.
pub const QUEUE_MAX: usize = 4_096;

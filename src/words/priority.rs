//! How urgent a call is.

use super::named::named;

/// How much a second is worth to the caller; also the order under load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Work in the background: no person waits for it.
    Batch,
    /// An agent at work.
    #[default]
    Default,
    /// A person waits for it.
    Interactive,
    /// Must not fail; never used to probe a target after an outage.
    Critical,
}

named!(Priority { Batch = "batch", Default = "default", Interactive = "interactive", Critical = "critical" });

//! What a provider's actor is told.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::permit::Permit;
use crate::policy::admission::{Ask, Report, Ticket};
use crate::policy::snapshot::{Barrier, Force, Refusal};
use crate::words::{Limits, Reported};

pub(crate) enum ProviderMessage {
    /// May this attempt be made?
    Admit(Ask, oneshot::Sender<Result<Permit, Refusal>>),
    /// How it ended.
    Report(Ticket, Report),
    /// What its answer's head says is left of its key's limits.
    Limits(Ticket, Limits),
    /// An operator's override.
    Force(usize, Force),
    /// Lift what keeps a target out, a key, or everything; say what that was.
    Reset(Option<usize>, Option<usize>, oneshot::Sender<Vec<Barrier>>),
    /// These keys may have changed.
    Renew(Vec<usize>),
    /// The local network failed since then.
    LocalFault(Instant),
    /// The machine slept so long.
    Slept(Duration),
    /// How sources beside its calls say that it is, and until when that counts.
    Hint(Option<Reported>, Instant),
    /// It works again.
    Delivered,
    /// Publish what has gathered since the last time.
    Publish,
    /// Save the machine, and say so to the sender.
    Checkpoint(Option<oneshot::Sender<()>>),
    /// Die, for tests and drills.
    #[cfg_attr(not(feature = "testing"), expect(dead_code, reason = "only `testing` asks for crashes"))]
    Crash(Crash),
}

/// Ways to die by itself.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "testing"), expect(dead_code, reason = "only `testing` asks for crashes"))]
pub(crate) enum Crash {
    Panic,
    Error,
}

#[cfg(feature = "cluster")]
impl ractor::Message for ProviderMessage {}

//! Messages to a provider's actor.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::permit::Permit;
use crate::policy::admission::{AdmissionRequest, Report, Ticket};
use crate::policy::snapshot::{Force, IndexedHold, Refusal};
use crate::words::{Limits, Reported};

pub(crate) enum ProviderMessage {
    /// May this attempt be made?
    Admit(AdmissionRequest, oneshot::Sender<Result<Permit, Refusal>>),
    /// How it goes; before that, when its first content came, where that was not reported yet.
    Report(Ticket, Option<Duration>, Report),
    /// What is left of its key's limits, from its answer's head.
    Limits(Ticket, Limits),
    /// An operator's override.
    Force(usize, Force),
    /// Lift the holds of a target, of a key, or all; answer with them.
    Reset(Option<usize>, Option<usize>, oneshot::Sender<Vec<IndexedHold>>),
    /// These keys may have changed.
    Renew(Vec<usize>),
    /// The local network failed since then.
    LocalFault(Instant),
    /// The machine slept for this time.
    MachineSlept(Duration),
    /// Its state by hints, and until when they count.
    Hint(Option<Reported>, Instant),
    /// It works again.
    Delivered,
    /// Publish the changes since the last time.
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

//! Messages to the router.

use std::sync::Arc;
#[cfg(feature = "store")]
use std::time::Instant;

use ractor::RpcReplyPort;

use super::accepted::Accepted;
use super::table::Table;
use super::to_provider::Crash;
use crate::policy::explain::Explanation;
use crate::words::{ChatRequest, Error, TargetId};

/// A message of the runtime's front to the router.
pub(crate) enum RouterCommand {
    /// Start this call.
    Start(Box<Accepted>),
    /// What would this request do now, and why?
    Explain(Box<ChatRequest>, RpcReplyPort<Result<Explanation, Error>>),
    /// A call was answered: its session stays there, its route learns how long answers are.
    Answered { route: Arc<str>, session: Option<String>, target: TargetId, output: u64 },
    /// These targets served these sessions, before this process.
    #[cfg(feature = "store")]
    Resume(Vec<(String, TargetId, Instant)>),
    /// This table was replaced: its indexes mean something else now.
    Retabled(Arc<Table>),
    /// Die, for tests and drills.
    #[cfg_attr(not(feature = "testing"), expect(dead_code, reason = "only `testing` asks for crashes"))]
    Crash(Crash),
}

#[cfg(feature = "cluster")]
impl ractor::Message for RouterCommand {}

//! Messages to the root.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::table::Provider;
use crate::spec::Setup;

pub(crate) enum RootMessage {
    /// Replace providers and routes, keeping what did not change.
    Reconfigure(Box<Setup>, oneshot::Sender<()>),
    /// Start a child again.
    Start(Child),
    Heartbeat,
    /// Other prices were taken in.
    Priced,
}

#[cfg(feature = "cluster")]
impl ractor::Message for RootMessage {}

/// A child of the root.
#[derive(Clone)]
pub(crate) enum Child {
    Calls,
    WaitScheduler,
    PricePoller,
    Front,
    Router,
    Supervisor(Arc<Provider>),
}

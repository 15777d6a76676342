//! Messages to a provider's supervisor.

pub(crate) enum SupervisorMessage {
    /// Start the provider, unless it has been since.
    Start { epoch: u64, keep_statistics: bool },
    /// Start the hint poller again.
    PollHints,
    /// Admit nothing more, and stop when the last attempt has ended.
    Retire,
    /// Abort the provider's task, for tests and drills.
    #[cfg_attr(not(feature = "testing"), expect(dead_code, reason = "only `testing` asks for crashes"))]
    Abort,
}

#[cfg(feature = "cluster")]
impl ractor::Message for SupervisorMessage {}

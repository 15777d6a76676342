//! The drill's state.

/// The listener's state, for the connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Accepts.
    Open,
    /// Is closed; connections that wait for a request close, too.
    Refusing,
    /// Is closed for good; endless answers end.
    Stopping,
}

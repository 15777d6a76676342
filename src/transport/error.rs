//! Why there is no response.

/// Why there is no response, or no further part of it. The text is for people and holds no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// An established connection broke before the first byte of a response, as pooled ones do that the other side has
    /// closed. Worth one more try at once.
    #[error("connection closed before a response: {0}")]
    Unsent(String),
    /// No connection, because this machine has no socket, port or memory left, or cannot resolve any name.
    #[error("this machine lacks a resource that a connection needs: {0}")]
    LocalShortage(String),
    /// No connection: refused, no such host, TLS, connect timeout.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The connection broke after the request was sent.
    #[error("connection broke: {0}")]
    Cut(String),
}

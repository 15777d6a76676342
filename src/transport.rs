//! The only way out of the crate: one request in, one response head and its body's chunks out.

use std::pin::Pin;
use std::time::Duration;

/// A boxed future, so that [`Transport`] can be a trait object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The only way out. One instance per provider; a restarted provider makes a new one.
pub trait Transport: Send + Sync + std::fmt::Debug + 'static {
    /// Sends a request and returns the response once its head is there. Dropping the future, or the body, cancels.
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, TransportError>>;
}

/// A POST.
#[derive(Debug)]
pub struct HttpRequest {
    /// Absolute address.
    pub url: String,
    /// All headers but those HTTP itself needs.
    pub headers: http::HeaderMap,
    /// The whole body.
    pub body: bytes::Bytes,
    /// The longest the connection may take to come about.
    pub connect_timeout: Duration,
}

/// A response's head, and its body as it comes.
pub struct HttpResponse {
    /// Status code.
    pub status: u16,
    /// All headers.
    pub headers: http::HeaderMap,
    /// The body's chunks; dropping it cancels.
    pub body: Body,
}

/// A body's chunks as they come.
pub type Body = Pin<Box<dyn futures_util::Stream<Item = Result<bytes::Bytes, TransportError>> + Send>>;

/// How a request or its response failed below HTTP.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum TransportError {
    /// Nothing was sent.
    #[error("not sent: {0}")]
    Unsent(String),
    /// No connection came about.
    #[error("no connection: {0}")]
    Connect(String),
    /// The connection broke after the request may have been sent.
    #[error("cut: {0}")]
    Cut(String),
}

//! Floor 3: the only outgoing socket.
//!
//! Input: a request as bytes. Output: a response's head and its body as it arrives. It knows no policy: no retries, no
//! timers except for connecting, no redirects, no cookies, no proxy unless told so. Dropping a future or a body closes
//! only that request.

mod error;
mod coding;

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::io::ErrorKind;
use std::pin::Pin;
use std::sync::{Arc, OnceLock, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use reqwest::Url;

use crate::words::locks::{read_lock, write_lock};
use crate::words::{ChatRequest, ConfigError, Payload};

pub use error::TransportError;

/// A boxed future, so that transports are objects.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Returns the host and the port that an address leads to, read as a connection reads it: `http://2130706433` is
/// `127.0.0.1`, 80. The host is in lower case; of an address in brackets it has none.
#[cfg(feature = "sidecar")]
pub(crate) fn destination(url: &str) -> Option<(String, u16)> {
    let url = Url::parse(url).ok()?;
    Some((url.host_str()?.trim_matches(['[', ']']).to_owned(), url.port_or_known_default()?))
}

/// A response's body as it arrives.
pub type Body = Pin<Box<dyn Stream<Item = Result<Bytes, TransportError>> + Send>>;

/// The way out of one provider. A provider's actor makes a new one whenever it starts, so that a restart begins with
/// fresh connections. What it returns is polled like all futures: it may always be ready, and must not block.
pub trait Transport: Send + Sync + fmt::Debug + 'static {
    /// Sends a POST and returns the response's head as soon as it is there.
    ///
    /// # Errors
    /// If no head came: see [`TransportError`].
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, TransportError>>;

    /// Sends a GET to a status page or a health address. A transport without GET returns an error; then there are no
    /// hints.
    ///
    /// # Errors
    /// If no head came: see [`TransportError`].
    fn get(&self, url: String, headers: HeaderMap) -> BoxFuture<'_, Result<HttpResponse, TransportError>> {
        let _ = (url, headers);
        Box::pin(std::future::ready(Err(TransportError::Connect("this way out only posts".to_owned()))))
    }
}

/// Two are equal if they are the same one.
impl PartialEq for dyn Transport {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::addr_eq(self, other)
    }
}

/// A POST.
#[derive(Clone)]
#[non_exhaustive]
pub struct HttpRequest {
    /// The whole address.
    pub url: String,
    /// Its headers; a key in them is marked sensitive.
    pub headers: HeaderMap,
    /// The bytes to send, as they are.
    pub body: Payload,
    /// The same in words, for a transport that takes no bytes: a function.
    pub words: Option<Arc<ChatRequest>>,
}

impl HttpRequest {
    /// Returns a request of bytes alone.
    pub fn new(url: impl Into<String>, headers: HeaderMap, body: Payload) -> Self {
        Self { url: url.into(), headers, body, words: None }
    }
}

/// A response's head and the body that follows.
#[non_exhaustive]
pub struct HttpResponse {
    /// The HTTP status.
    pub status: u16,
    /// All headers of the response.
    pub headers: HeaderMap,
    /// The body, as its bytes come.
    pub body: Body,
}

impl HttpResponse {
    /// Returns a response.
    pub fn new(status: u16, headers: HeaderMap, body: Body) -> Self {
        Self { status, headers, body }
    }

    /// Returns the whole body, of at most this many bytes; else what is wrong with it, for a sentence.
    pub(crate) async fn whole(mut self, bytes_max: usize) -> Result<Vec<u8>, String> {
        let mut whole = Vec::new();
        while let Some(chunk) = self.body.next().await {
            let chunk = chunk.map_err(|_| "broke off".to_owned())?;
            if whole.len() + chunk.len() > bytes_max {
                return Err(format!("is longer than {bytes_max} bytes"));
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole)
    }
}

/// How connections are made.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TransportOptions {
    /// The longest a connection may take to be made, TLS included. Default: 5 s.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// Idle connections kept to a provider. Fewer than are in flight at once costs a handshake each. Default: 1 024.
    pub idle_connections_max: usize,
    /// How long a connection may be idle. Shorter than what providers keep, or requests meet closed sockets.
    /// Default: 50 s.
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
    /// An HTTP or HTTPS proxy. The environment's is never read.
    pub proxy: Option<String>,
    /// A private certificate authority, PEM, beside the system's.
    pub ca_pem: Option<String>,
}

impl Default for TransportOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            idle_connections_max: 1_024,
            idle_timeout: Duration::from_secs(50),
            proxy: None,
            ca_pem: None,
        }
    }
}

/// The transport over real sockets: reqwest with rustls.
#[derive(Debug)]
pub struct Http {
    options: TransportOptions,
    /// Made at the first request: reading the system's certificates takes milliseconds, and of ten thousand providers
    /// few are ever asked.
    client: OnceLock<Result<reqwest::Client, String>>,
    /// The addresses that were asked, taken apart once: a provider has a few for each of its models.
    addresses: RwLock<HashMap<String, Url>>,
}

/// The most addresses that are kept.
const ADDRESSES_MAX: usize = 4_096;

impl Http {
    /// Returns a transport with a connection pool of its own.
    ///
    /// # Errors
    /// If the proxy's address or the certificate cannot be read; it names the option.
    pub fn new(options: &TransportOptions) -> Result<Self, ConfigError> {
        proxy(options).map_err(|problem| ConfigError::new("proxy", problem))?;
        certificates(options).map_err(|problem| ConfigError::new("ca_pem", problem))?;
        Ok(Self { options: options.clone(), client: OnceLock::new(), addresses: RwLock::default() })
    }

    fn client(&self) -> Result<&reqwest::Client, TransportError> {
        let client = self.client.get_or_init(|| build(&self.options));
        client.as_ref().map_err(|problem| TransportError::Connect(problem.clone()))
    }

    fn address(&self, url: &str) -> Result<Url, TransportError> {
        if let Some(known) = read_lock(&self.addresses).get(url) {
            return Ok(known.clone());
        }
        let address = Url::parse(url).map_err(|problem| TransportError::Connect(problem.to_string()))?;
        let mut addresses = write_lock(&self.addresses);
        if addresses.len() < ADDRESSES_MAX {
            addresses.insert(url.to_owned(), address.clone());
        }
        Ok(address)
    }

    async fn run(
        &self,
        method: reqwest::Method,
        url: &str,
        headers: HeaderMap,
        body: Option<Payload>,
    ) -> Result<HttpResponse, TransportError> {
        let client = self.client()?;
        let mut request = client.request(method, self.address(url)?).build().map_err(|error| no_head(&error))?;
        let own = request.headers_mut();
        // An address may hold a name and a password, which are headers by now.
        if own.is_empty() {
            *own = headers;
        } else {
            own.extend(headers);
        }
        *request.body_mut() = body.map(self::body);
        let sent = client.execute(request).await;
        let mut response = sent.map_err(|error| no_head(&error))?;
        let status = response.status().as_u16();
        let mut headers = std::mem::take(response.headers_mut());
        let body = response.bytes_stream().map(|chunk| chunk.map_err(|error| TransportError::Cut(chain(&error))));
        let body = coding::Plain::new(&mut headers, Box::pin(body));
        Ok(HttpResponse { status, headers, body: Box::pin(body) })
    }
}

fn proxy(options: &TransportOptions) -> Result<Option<reqwest::Proxy>, String> {
    let Some(proxy) = &options.proxy else { return Ok(None) };
    // The error about an address may repeat it, and some addresses hold a password.
    let problem = || "must be an address of http or https, as \"http://proxy.internal:3128\"".to_owned();
    let address = Url::parse(proxy).map_err(|_| problem())?;
    let is_whole = address.has_host() && matches!(address.path(), "" | "/") && address.query().is_none();
    if !is_whole || !matches!(address.scheme(), "http" | "https") || address.port() == Some(0) {
        return Err(problem());
    }
    reqwest::Proxy::all(address).map(Some).map_err(|_| problem())
}

fn certificates(options: &TransportOptions) -> Result<Vec<reqwest::Certificate>, String> {
    let Some(pem) = &options.ca_pem else { return Ok(Vec::new()) };
    let certificates = reqwest::Certificate::from_pem_bundle(pem.as_bytes());
    let problem = "must hold certificates: the text of a PEM file, not its path";
    let certificates = certificates.map_err(|_| problem.to_owned())?;
    if certificates.is_empty() { Err(problem.to_owned()) } else { Ok(certificates) }
}

fn build(options: &TransportOptions) -> Result<reqwest::Client, String> {
    let mut builder = reqwest::Client::builder()
        .connect_timeout(options.connect_timeout)
        .pool_max_idle_per_host(options.idle_connections_max)
        .pool_idle_timeout(options.idle_timeout)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .tcp_nodelay(true)
        .tcp_keepalive(Duration::from_secs(30))
        .user_agent(concat!("standin/", env!("CARGO_PKG_VERSION")))
        .no_proxy();
    if let Some(proxy) = proxy(options)? {
        builder = builder.proxy(proxy);
    }
    if options.ca_pem.is_some() {
        builder = builder.tls_certs_merge(certificates(options)?);
    }
    builder.build().map_err(|error| chain(&error))
}

impl Transport for Http {
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, TransportError>> {
        Box::pin(async move {
            let HttpRequest { url, headers, body, .. } = request;
            self.run(reqwest::Method::POST, &url, headers, Some(body)).await
        })
    }

    fn get(&self, url: String, headers: HeaderMap) -> BoxFuture<'_, Result<HttpResponse, TransportError>> {
        Box::pin(async move { self.run(reqwest::Method::GET, &url, headers, None).await })
    }
}

/// Returns a body for the client. Its length is known, for any number of pieces.
fn body(payload: Payload) -> reqwest::Body {
    let left = payload.len();
    if left <= FRAME_BYTES || payload.pieces().count() == 1 {
        return payload.whole().into();
    }
    reqwest::Body::wrap(Pieces { pieces: payload.into_pieces().collect(), left })
}

/// Short pieces go out together: this much at once.
const FRAME_BYTES: usize = 16 * 1024;

/// The pieces of a body that are left to send.
struct Pieces {
    pieces: VecDeque<Bytes>,
    left: usize,
}

impl Pieces {
    /// Takes what goes out at once: a long piece as it is, short ones together.
    fn frame(&mut self) -> Option<Bytes> {
        let mut length = 0;
        let fits = |piece: &&Bytes| {
            length += piece.len();
            length <= FRAME_BYTES
        };
        let frame = match self.pieces.iter().take_while(fits).count() {
            0 | 1 => self.pieces.pop_front()?,
            short => self.pieces.drain(..short).collect::<Vec<_>>().concat().into(),
        };
        self.left -= frame.len();
        Some(frame)
    }
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.frame().map(|frame| Ok(Frame::data(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left as u64)
    }
}

/// Tells why no head came. A break before the first byte of a response on an established connection is `Unsent`:
/// usually a pooled connection that the other side had closed.
fn no_head(error: &reqwest::Error) -> TransportError {
    let text = chain(error);
    if error.is_connect() {
        return if is_local_shortage(error, &text) {
            TransportError::LocalShortage(text)
        } else if text.contains("InvalidContentType") {
            TransportError::Connect(format!("{text}; no TLS is spoken there: is it http instead of https?"))
        } else {
            TransportError::Connect(text)
        };
    }
    let is_broken = |io: &std::io::Error| {
        matches!(
            io.kind(),
            ErrorKind::ConnectionReset
                | ErrorKind::BrokenPipe
                | ErrorKind::ConnectionAborted
                | ErrorKind::UnexpectedEof
        )
    };
    let before_head = ["connection closed before message completed", "operation was canceled", "refused stream"];
    if io_causes(error).any(is_broken) || before_head.iter().any(|mark| text.contains(mark)) {
        TransportError::Unsent(text)
    } else {
        TransportError::Cut(text)
    }
}

/// The texts of glibc, for both of its errors, and of musl for a resolver that no server answers, or that refuses. That
/// a name does not exist is an answer.
const NO_RESOLVER: [&str; 3] = [
    "failure in name resolution",
    "failed to lookup address information: Try again",
    "failed to lookup address information: Non-recoverable error",
];
/// Unix' error numbers of what can run out: files of this process, files of the system, memory, and Linux' of buffers.
const RUN_OUT: [i32; 4] = [24, 23, 12, 105];

/// Tells whether a connection failed because this machine lacks something.
fn is_local_shortage(error: &reqwest::Error, text: &str) -> bool {
    let is_shortage = |io: &std::io::Error| {
        matches!(io.kind(), ErrorKind::AddrNotAvailable | ErrorKind::OutOfMemory)
            || io.raw_os_error().is_some_and(|number| RUN_OUT.contains(&number))
    };
    io_causes(error).any(is_shortage) || NO_RESOLVER.iter().any(|words| text.contains(words))
}

/// Returns an error's causes, the nearest first.
fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source())
}

/// Returns those of its causes that the system told.
fn io_causes(error: &reqwest::Error) -> impl Iterator<Item = &std::io::Error> {
    causes(error).filter_map(|cause| cause.downcast_ref())
}

/// Returns the texts of an error's causes, without the address (it may hold a key as a parameter) and without those
/// that only repeat that it was the client's.
fn chain(error: &reqwest::Error) -> String {
    let causes = causes(error).map(ToString::to_string);
    let causes: Vec<String> = causes.filter(|cause| !cause.starts_with("client error")).collect();
    match (error.is_timeout(), causes.is_empty()) {
        (true, _) => "no answer in time".to_owned(),
        (false, true) => "for an unknown reason".to_owned(),
        (false, false) => causes.join(": "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_pieces_go_out_together_and_long_ones_as_they_are() {
        let long = Bytes::from(vec![b'x'; 2 * FRAME_BYTES]);
        let short = |length: usize| Bytes::from(vec![b'y'; length]);
        let pieces = [short(3), short(4), long.clone(), short(5), short(FRAME_BYTES - 5), short(1)];
        let left = pieces.iter().map(Bytes::len).sum();
        let mut pieces = Pieces { pieces: pieces.into(), left };
        let frames: Vec<Bytes> = std::iter::from_fn(|| pieces.frame()).collect();
        assert_eq!(frames.iter().map(Bytes::len).collect::<Vec<_>>(), [7, 2 * FRAME_BYTES, FRAME_BYTES, 1]);
        assert_eq!((frames[1].as_ptr(), pieces.left), (long.as_ptr(), 0), "a long piece is not copied");
    }
}

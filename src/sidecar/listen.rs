//! Connections: accepted, bounded, timed and drained. HTTP/1.1, by TLS where configured.
//!
//! Input: sockets. Output: requests to the service. It limits the time of idle and slow connections, for sending and
//! for reading, and never accepts more connections than its limit.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::connection_slots::ConnectionSlots;
use super::pipelining::{ConnectionState, GuardedBody, Unpipelined};
use super::refusals::Reason;
use super::service::{Endpoints, answer};
use super::settings::ServerConfig;
use super::state::{State, now};
use super::write_timeout::WriteTimeout;
use crate::words::ConfigError;

/// How long to wait when the system has no more sockets.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The longest head.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// How much is read at once: a long body in a few steps.
const READ_BYTES_MAX: usize = 64 * 1024;
/// How long a connection may be idle, or slow with its head, while another waits for its place.
const IDLE_MAX: Duration = Duration::from_secs(1);
/// The longest a TLS handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// A listener's parts.
#[derive(Clone)]
pub(super) struct Listening {
    pub(super) state: Arc<State>,
    pub(super) endpoints: Endpoints,
    /// Whether it speaks TLS.
    pub(super) tls: bool,
    pub(super) places: Arc<ConnectionSlots>,
    /// Becomes true when no more connections are to be accepted.
    pub(super) stopping: watch::Receiver<bool>,
}

impl Listening {
    /// Accepts connections until it is told to stop.
    pub(super) async fn run(mut self, listener: Arc<TcpListener>) {
        loop {
            let (places, state) = (self.places.clone(), self.state.clone());
            let next = async {
                let (stream, peer) = listener.accept().await?;
                if let Some(place) = places.free() {
                    return Ok((stream, peer, Some(place)));
                }
                state.refusals.note(Reason::Places, Some(peer), now());
                Ok::<_, io::Error>((stream, peer, places.next().await))
            };
            let accepted = tokio::select! {
                biased;
                _ = self.stopping.wait_for(|stopping| *stopping) => return,
                next = next => next,
            };
            match accepted {
                Ok((stream, peer, Some(place))) => {
                    #[expect(clippy::disallowed_methods, reason = "a connection holds no state that outlives it")]
                    tokio::spawn(self.clone().serve(stream, peer, place));
                }
                Ok((_, _, None)) => return,
                Err(error) => {
                    // One connection's own end, or a lack of sockets that ends when others close.
                    tracing::debug!(%error, "a connection was not accepted");
                    self.state.refusals.note(Reason::Sockets, None, now());
                    self.places.want();
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn serve(self, stream: TcpStream, peer: SocketAddr, _place: OwnedSemaphorePermit) {
        // Without it small writes wait 40 ms for the client's acknowledgement.
        let _ = stream.set_nodelay(true);
        // A renewed certificate is used for later connections.
        let line = ConnectionState::new(self.state.arrivals.clone());
        let Some(tls) = self.state.tls().filter(|_| self.tls) else { return self.speak(stream, peer, line).await };
        let accepted = tokio::select! {
            biased;
            accepted = tokio::time::timeout(HANDSHAKE_MAX, tls.accept(stream)) => accepted,
            () = gives_way(&self.places, &line) => return,
        };
        match accepted {
            Ok(Ok(stream)) => self.speak(stream, peer, line).await,
            Ok(Err(error)) => tracing::debug!(%error, "no TLS"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
    }

    async fn speak(
        mut self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        peer: SocketAddr,
        line: Arc<ConnectionState>,
    ) {
        let (state, endpoints) = (self.state, self.endpoints);
        let current = state.current();
        let (head_timeout, write_timeout) = (current.server.head_timeout, current.server.write_timeout);
        drop(current);
        let turns = line.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(turns.clone());
            // Boxed, so that an idle connection has no memory for a future answer.
            let turn = turns.begin(request.version());
            let (line, answering) = (turns.clone(), Box::pin(answer(state.clone(), endpoints, peer, request)));
            async move { Ok::<_, Infallible>(answering.await?.map(|body| GuardedBody::new(body.on(line), turn))) }
        });
        let stream = Unpipelined::new(WriteTimeout::new(stream, write_timeout), line.clone());
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(head_timeout)
            .max_header_size(HEAD_BYTES_MAX)
            .max_buf_size(READ_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let stop = async { drop(self.stopping.wait_for(|stopping| *stopping).await) };
        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => ended,
            () = gives_way(&self.places, &line) => return,
            () = stop => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended badly");
        }
    }
}

/// Returns once another connection waits for the place of one that has asked for nothing for some time.
async fn gives_way(places: &ConnectionSlots, line: &ConnectionState) {
    let mut wanted = places.wanted();
    while wanted.wait_for(Option::is_some).await.is_ok() {
        if line.is_idle(IDLE_MAX) {
            return;
        }
        let _ = wanted.changed().await;
    }
}

/// Sockets that already listen, to be served instead of new ones.
#[derive(Debug, Default)]
pub struct Sockets {
    /// Where clients connect.
    pub clients: Option<StdListener>,
    /// Where operators connect, if that is an address of its own.
    pub admin: Option<StdListener>,
    /// Whether they come from a process that is ending: it still has the store's file, and records wait until it is
    /// free.
    pub follows: bool,
}

impl Sockets {
    /// Tells settings where those are that listen already, for [`Settings::check_at`](super::Settings::check_at).
    pub fn place(&self, server: &mut ServerConfig) {
        let at = |socket: Option<&StdListener>| socket.and_then(|socket| socket.local_addr().ok());
        server.listen = at(self.clients.as_ref()).unwrap_or(server.listen);
        server.admin = server.admin.map(|admin| at(self.admin.as_ref()).unwrap_or(admin));
    }
}

fn unusable(field: &str, error: &io::Error) -> ConfigError {
    ConfigError::new(field, format!("the inherited socket cannot be used: {error}"))
}

/// Takes a socket that already listens, or binds an address; an error names the address.
pub(super) async fn bind(
    field: &str,
    address: SocketAddr,
    given: Option<StdListener>,
) -> Result<Arc<TcpListener>, ConfigError> {
    let Some(given) = given else { return bind_new(field, address).await.map(Arc::new) };
    let taken = given.set_nonblocking(true).and_then(|()| TcpListener::from_std(given));
    taken.map(Arc::new).map_err(|error| unusable(field, &error))
}

/// Returns another handle of a socket.
pub(super) fn clone_listener(listener: &TcpListener) -> io::Result<StdListener> {
    listener.as_fd().try_clone_to_owned().map(StdListener::from)
}

async fn bind_new(field: &str, address: SocketAddr) -> Result<TcpListener, ConfigError> {
    let problem = |error: io::Error| {
        let remedy = match error.kind() {
            io::ErrorKind::AddrInUse => "; something listens there already: choose another with --listen",
            io::ErrorKind::PermissionDenied => "; ports below 1024 need a privilege",
            _ => "",
        };
        ConfigError::new(field, format!("cannot listen on {address}: {error}{remedy}"))
    };
    TcpListener::bind(address).await.map_err(problem)
}

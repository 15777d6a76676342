//! Floor 7: the sidecar, which serves a [`Runtime`] to agents in any language: OpenAI's, Anthropic's and Google's HTTP
//! on an address of its own.
//!
//! Input: HTTP requests of clients that changed nothing but their base URL. Output: answers of any provider that can
//! give them, in the caller's dialect. It knows the runtime by its public face and no actor, sends nothing anywhere by
//! itself, and never ends an answer that broke off as if it were whole.

// Settings, access and the log.
mod access;
mod other_names;
mod document;
mod lenient;
mod loop_marks;
mod tls;
mod settings;
mod log;
mod dollars;

// Connections.
mod connection_slots;
mod write_timeout;
mod pipelining;
mod refusals;

// One request.
mod endpoint;
mod origin;
mod intake;
mod metrics;
mod lingering;
mod state;
mod answer_headers;
mod caller;
mod call_report;
mod body;
mod call_options;
mod made_call;
mod chat;
mod background;
mod admin;
mod service;
mod listen;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::runtime::{Runtime, StartError};
use crate::words::ConfigError;

/// Says which known name was probably meant, and which there are.
pub use crate::words::{did_you_mean, meant};

use access::Access;
use connection_slots::ConnectionSlots;
use listen::Listening;
use metrics::Metrics;
use service::Endpoints;
use state::{Current, State};

pub use access::{ClientKey, Hash};
pub use admin::{MOMENT, moment};
pub use dollars::dollars;
pub use listen::Sockets;
pub use log::{Log, printable};
pub use settings::{ModelNames, ServerConfig, Settings, SettingsErrors, Streams, Targets, address};
pub use tls::TlsConfig;

/// How long a connection may take to send its first request after another process has taken over.
const HEARD_AFTER: Duration = Duration::from_millis(500);
/// How long a request may take from its last byte until it is a call.
const BEGUN_AFTER: Duration = Duration::from_millis(250);
/// How often a process that follows another looks whether that has ended.
const BEHIND_LOOK: Duration = Duration::from_millis(50);
/// How long connections may take to close once their last answer is out.
const CLOSE_MAX: Duration = Duration::from_secs(2);

/// A sidecar that serves.
pub struct Sidecar {
    state: Arc<State>,
    address: SocketAddr,
    admin: Option<SocketAddr>,
    /// The settings of the start, as they were written.
    configured: ServerConfig,
    bound: (Arc<TcpListener>, Option<Arc<TcpListener>>),
    stopping: watch::Sender<bool>,
    listeners: JoinSet<()>,
}

impl Sidecar {
    /// Starts a runtime and serves it.
    ///
    /// # Errors
    /// If a field is not valid, or an address is taken; the error names the field.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        Self::start_on(Sockets::default(), settings).await
    }

    /// Starts a runtime and serves it on sockets that listen already, as far as there are any.
    ///
    /// # Errors
    /// If a field is not valid, an address is taken, or a socket does not listen; the error names the field.
    pub async fn start_on(sockets: Sockets, mut settings: Settings) -> Result<Self, StartError> {
        let configured = settings.server.clone();
        // What may be served is judged by where the sockets are, whoever has bound them.
        let targets = settings.check_at(&|server| sockets.place(server))?;
        sockets.place(&mut settings.server);
        if settings.server != configured {
            let (at, admin) = (settings.server.listen, settings.server.admin);
            tracing::info!(%at, ?admin, configured = %configured.listen, "listens on inherited sockets");
        }
        let mark = loop_marks::Mark::new();
        mark.put(&mut settings.runtime);
        let tls = settings.server.tls.as_ref().map(tls::acceptor).transpose()?;
        let is_tls = tls.is_some();
        let listener = listen::bind("server.listen", settings.server.listen, sockets.clients).await?;
        let admin = match settings.server.admin {
            Some(address) => Some(listen::bind("server.admin", address, sockets.admin).await?),
            None => None,
        };
        let metrics = Arc::new(Metrics::new());
        let runtime = Runtime::builder().config(settings.runtime.clone());
        let runtime = runtime.follows(sockets.follows).observer_in_place("metrics", metrics.clone()).start().await?;
        let (stopping, stop) = watch::channel(false);
        let mut sidecar = Self {
            state: Arc::new(State::new(
                runtime,
                mark,
                metrics,
                Current::new(&settings, &targets, &Access::default()),
                tls,
            )),
            address: local(&listener)?,
            admin: admin.as_deref().map(local).transpose()?,
            configured,
            bound: (listener.clone(), admin.clone()),
            stopping,
            listeners: JoinSet::new(),
        };
        let endpoints = if settings.server.is_admin_beside() { Endpoints::Both } else { Endpoints::Clients };
        let clients = Listening {
            state: sidecar.state.clone(),
            endpoints,
            tls: is_tls,
            places: sidecar.state.places.clone(),
            stopping: stop,
        };
        if let Some(admin) = admin {
            let operators = Listening {
                endpoints: Endpoints::Admin,
                tls: false,
                places: ConnectionSlots::new(ADMIN_CONNECTIONS_MAX),
                ..clients.clone()
            };
            sidecar.listeners.spawn(operators.run(admin));
        }
        sidecar.listeners.spawn(clients.run(listener));
        Ok(sidecar)
    }

    /// Returns where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns where operators connect, where that is an address of its own.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// Adds this log's lost lines to the metrics.
    pub fn tell_of(&self, log: &Log) {
        self.state.metrics.tell_of(log.clone());
    }

    /// Returns the sockets that it listens on, for a process that follows this one.
    ///
    /// # Errors
    /// If the process has no more descriptors.
    pub fn sockets(&self) -> io::Result<Sockets> {
        let (clients, admin) = &self.bound;
        Ok(Sockets {
            clients: Some(listen::clone_listener(clients)?),
            admin: admin.as_deref().map(listen::clone_listener).transpose()?,
            follows: true,
        })
    }

    /// Tells the process that is to follow what attempts in flight may still cost, from now on.
    pub async fn tell_next(&self) {
        self.state.runtime.tell_next().await;
    }

    /// Tells whether the process before this one still has the store's file.
    pub fn is_behind(&self) -> bool {
        self.state.runtime.is_behind()
    }

    /// Returns once no process before this one has the store's file any more: until then no other can follow.
    pub async fn wait_for_store(&self) {
        while self.state.runtime.is_behind() {
            tokio::time::sleep(BEHIND_LOOK).await;
        }
    }

    /// Returns the runtime that is served.
    pub fn runtime(&self) -> &Runtime {
        &self.state.runtime
    }

    /// Tells settings where the sockets are that it serves on, for [`Settings::check_at`].
    pub fn place(&self, server: &mut ServerConfig) {
        server.stay_on(&self.state.current().server);
    }

    /// Applies new settings without dropping a call: providers, routes, keys, times and certificates. Addresses, the
    /// number of connections and the use of TLS stay as they were; the log names those that only a restart changes.
    ///
    /// # Errors
    /// If a field is not valid, by itself or on the sockets that are bound: everything stays as it was.
    pub async fn reload(&self, mut settings: Settings) -> Result<(), StartError> {
        let targets = settings.check_at(&|server| self.place(server))?;
        let current = self.state.current();
        let waiting = settings.server.needs_a_start(&self.configured);
        self.place(&mut settings.server);
        let tls = settings.server.tls.as_ref().map(tls::acceptor).transpose()?;
        self.state.mark.put(&mut settings.runtime);
        self.state.runtime.reconfigure(settings.runtime.clone()).await?;
        self.state.replace(Current::new(&settings, &targets, &current.access), tls);
        for field in waiting {
            tracing::warn!(field, "this setting was changed: it takes effect at the next start");
        }
        Ok(())
    }

    /// Reads the certificate and its key again, where there are any; open connections keep the old ones.
    ///
    /// # Errors
    /// If they cannot be read, or do not go together: the old ones stay.
    pub fn renew_certificate(&self) -> Result<(), ConfigError> {
        if let Some(tls) = &self.state.current().server.tls {
            self.state.renew(tls::acceptor(tls)?);
        }
        Ok(())
    }

    /// Returns how long calls in flight have at a stop.
    pub fn drain(&self) -> Duration {
        self.state.current().server.drain
    }

    /// Returns the files of the certificate and its key, where there are any.
    pub fn certificate_files(&self) -> Vec<PathBuf> {
        let current = self.state.current();
        current.server.tls.iter().flat_map(|tls| [tls.certificate.clone(), tls.key.clone()]).collect()
    }

    /// Stops as [`stop`](Self::stop) does, for another process that accepts on the same sockets: a request that has
    /// begun to come on a connection accepted here is heard to its end and answered first.
    pub async fn hand_over(mut self, deadline: Duration) -> usize {
        let until = tokio::time::Instant::now() + deadline;
        self.listeners.shutdown().await;
        tokio::time::sleep(HEARD_AFTER).await;
        // Each connection ends with the answer to its present request.
        self.stopping.send_replace(true);
        let _ = tokio::time::timeout_at(until, self.state.arrivals.none_for(BEGUN_AFTER)).await;
        self.stop(until.duration_since(tokio::time::Instant::now())).await
    }

    /// Accepts nothing more, waits until calls in flight have ended or the time is over, then stops. Returns how many
    /// calls were cut off.
    pub async fn stop(mut self, deadline: Duration) -> usize {
        self.stopping.send_replace(true);
        drop(self.bound);
        while self.listeners.join_next().await.is_some() {}
        let left = self.state.runtime.drain(deadline).await;
        // The callers of cut-off calls get an error, and the last bytes go out.
        let _ = tokio::time::timeout(CLOSE_MAX, self.state.places.all_free()).await;
        left
    }
}

/// The most connections of operators.
const ADMIN_CONNECTIONS_MAX: usize = 64;

fn local(listener: &TcpListener) -> Result<SocketAddr, ConfigError> {
    listener.local_addr().map_err(|error| ConfigError::new("server.listen", error.to_string()))
}

#[cfg(test)]
mod tests;

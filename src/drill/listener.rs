//! The drill's port: open, or held closed while every connection is to be refused.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::connection::Connection;
use super::phase::Phase;
use crate::testing::Scripted;

/// Connections the operating system keeps for us until we accept them.
const BACKLOG: u32 = 1_024;

/// The longest that answers under way may take when the drill stops.
const STOP_MAX: Duration = Duration::from_secs(5);

/// The pause before accepting or binding again after an error of the operating system, most likely a lack of file
/// descriptors.
const AGAIN_AFTER: Duration = Duration::from_millis(10);

/// Owns the port and all connections.
pub(super) struct Listener {
    provider: Scripted,
    address: SocketAddr,
    port: Port,
}

/// A bound socket that does not listen refuses every connection and yet keeps its port from other programs.
enum Port {
    Open(TcpListener),
    Held(TcpSocket),
    /// Lost between the two states: it must be bound again.
    Lost,
}

impl Listener {
    pub(super) fn bind(provider: Scripted) -> io::Result<Self> {
        let listener = hold(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        Ok(Self { provider, address, port: Port::Open(listener) })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts connections, closes and opens as the faults say, until it is told to stop (or its owner is gone).
    pub(super) async fn run(mut self, phase: watch::Sender<Phase>, mut stop: oneshot::Receiver<()>) {
        let mut switched = self.provider.switched();
        let mut connections = JoinSet::new();
        loop {
            switched.mark_unchanged();
            let (refusing, turn) = self.provider.refusing();
            let turn = match self.turn(refusing) {
                Ok(()) => turn,
                Err(_) => Some(Instant::now() + AGAIN_AFTER),
            };
            let now = if matches!(self.port, Port::Open(_)) { Phase::Open } else { Phase::Refusing };
            phase.send_if_modified(|phase| std::mem::replace(phase, now) != now);
            tokio::select! {
                biased;
                _ = &mut stop => break,
                _ = switched.changed() => {}
                () = until(turn) => {}
                stream = self.accept() => {
                    let connection = Connection::new(stream, self.provider.clone(), phase.subscribe());
                    connections.spawn(connection.serve());
                }
                Some(_) = connections.join_next() => {}
            }
        }
        self.port = Port::Lost;
        phase.send_replace(Phase::Stopping);
        let all_done = async { while connections.join_next().await.is_some() {} };
        // Connections that still run then are aborted with the set.
        let _ = timeout(STOP_MAX, all_done).await;
    }

    /// Opens or closes the port. After an error it is lost, which refuses, too.
    fn turn(&mut self, refusing: bool) -> io::Result<()> {
        if matches!((&self.port, refusing), (Port::Open(_), false) | (Port::Held(_), true)) {
            return Ok(());
        }
        let held = match std::mem::replace(&mut self.port, Port::Lost) {
            Port::Held(socket) => socket,
            Port::Open(listener) => {
                // Two sockets cannot have the port while one listens.
                drop(listener);
                hold(self.address)?
            }
            Port::Lost => hold(self.address)?,
        };
        self.port = if refusing { Port::Held(held) } else { Port::Open(held.listen(BACKLOG)?) };
        Ok(())
    }

    async fn accept(&self) -> TcpStream {
        let Port::Open(listener) = &self.port else {
            return std::future::pending().await;
        };
        loop {
            match listener.accept().await {
                Ok((stream, _)) => return stream,
                Err(_) => sleep(AGAIN_AFTER).await,
            }
        }
    }
}

/// Binds a socket, also while connections of an earlier one on that port are still there.
fn hold(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

async fn until(turn: Option<Instant>) {
    match turn {
        Some(turn) => sleep_until(turn).await,
        None => std::future::pending().await,
    }
}

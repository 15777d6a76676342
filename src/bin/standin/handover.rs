//! Listening sockets: inherited from the process that started this one, and handed to the process that follows.
//!
//! Input: sockets by systemd's protocol (`LISTEN_FDS`, `LISTEN_FDNAMES`). Output: the same sockets, for the program
//! that is on the disk now. While both processes live both accept, so that no connection is refused: first the new one
//! serves, then the old one stops accepting and ends its calls. If the new one fails to serve, nothing changes.

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt as _, FdMapping};
use listenfd::ListenFd;
use standin::sidecar::{Sidecar, Sockets};

/// The name of the operators' socket; all others are for clients.
const ADMIN: &str = "admin";
/// The name of the socket on which the new program says that it serves.
const READY: &str = "ready";
/// The first descriptor that is handed over, by the protocol.
const FIRST: i32 = 3;
/// How long a new program may take until it serves.
const READY_MAX: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(20);

/// Sockets inherited from the process that started this one.
#[derive(Default)]
pub struct InheritedSockets {
    pub sockets: Sockets,
    /// The socket on which the program before this one waits until this one serves.
    ready: Option<UnixDatagram>,
}

impl InheritedSockets {
    /// Takes the inherited sockets. Call it before there is a second thread: it changes the environment.
    pub fn take() -> io::Result<Self> {
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':').filter(|name| !name.is_empty());
        let (mut given, mut inherited) = (ListenFd::from_env(), Self::default());
        for at in 0..given.len() {
            let name = names.next();
            if name == Some(READY) {
                inherited.ready = given.take_unix_datagram(at)?;
                continue;
            }
            let listener = given.take_tcp_listener(at)?;
            // Without names the second socket is for operators.
            let is_admin = name == Some(ADMIN) || (name.is_none() && at > 0);
            let place = if is_admin { &mut inherited.sockets.admin } else { &mut inherited.sockets.clients };
            *place = listener;
        }
        inherited.sockets.follows = inherited.ready.is_some();
        Ok(inherited)
    }

    /// Reports that this process serves: to the process before it, and to systemd if it asked for that.
    pub fn serves(self) {
        if let Some(ready) = self.ready {
            let _ = ready.send(b"READY=1");
        }
        notify("READY=1");
    }
}

/// The program that follows this one.
pub struct Successor {
    /// Its path, found at the start: after the file is replaced the system names the old one.
    program: PathBuf,
    arguments: Vec<OsString>,
}

impl Successor {
    /// Returns the next program: the same path with the same arguments.
    pub fn new() -> io::Result<Self> {
        Ok(Self { program: env::current_exe()?, arguments: env::args_os().skip(1).collect() })
    }

    /// Starts it with the sockets, and waits until it serves.
    pub async fn start(&self, sidecar: &Sidecar) -> Result<u32, String> {
        let problem = |error: io::Error| format!("{} cannot be started: {error}", self.program.display());
        let (told, tells) = UnixDatagram::pair().map_err(problem)?;
        told.set_nonblocking(true).map_err(problem)?;
        sidecar.tell_next().await;
        let mut child = self.spawn(sidecar, tells).map_err(problem)?;
        let began = Instant::now();
        loop {
            tokio::time::sleep(LOOK).await;
            if told.recv(&mut [0; 16]).is_ok() {
                let next = child.id();
                notify(&format!("MAINPID={next}"));
                return Ok(next);
            }
            if let Ok(Some(status)) = child.try_wait() {
                return Err(format!("it ended at its start: {status}"));
            }
            if began.elapsed() > READY_MAX {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("it did not serve within {READY_MAX:?}"));
            }
        }
    }

    fn spawn(&self, sidecar: &Sidecar, ready: UnixDatagram) -> io::Result<Child> {
        let mut given: Vec<(&str, OwnedFd)> = Vec::new();
        let sockets = sidecar.sockets()?;
        for (name, socket) in [("clients", sockets.clients), (ADMIN, sockets.admin)] {
            given.extend(socket.map(|socket| (name, socket.into())));
        }
        given.push((READY, ready.into()));
        let names: Vec<&str> = given.iter().map(|(name, _)| *name).collect();
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env("LISTEN_FDS", given.len().to_string()).env("LISTEN_FDNAMES", names.join(":"));
        // Not needed: only the new process gets these sockets.
        command.env_remove("LISTEN_PID");
        let mapping = |(child_fd, (_, parent_fd)): (i32, (&str, OwnedFd))| FdMapping { parent_fd, child_fd };
        let mappings = (FIRST..).zip(given).map(mapping).collect();
        command.fd_mappings(mappings).map_err(io::Error::other)?.spawn()
    }
}

/// Notifies systemd, if it asked for that.
#[cfg(target_os = "linux")]
fn notify(what: &str) {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::SocketAddr;

    let Some(name) = env::var("NOTIFY_SOCKET").ok().filter(|name| !name.is_empty()) else { return };
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&name),
    };
    let sent = address.and_then(|to| UnixDatagram::unbound()?.send_to_addr(what.as_bytes(), &to));
    if let Err(error) = sent {
        tracing::warn!(%error, what, "systemd was not told");
    }
}

#[cfg(not(target_os = "linux"))]
fn notify(_: &str) {}

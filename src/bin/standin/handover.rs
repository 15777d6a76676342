//! Sockets that come from whoever started this, and go to whoever follows.
//!
//! In flow listening sockets by systemd's protocol (`LISTEN_FDS`, `LISTEN_FDNAMES`), out flow the same for the program
//! as it is on the disk now. While both live both accept, so that no connection is refused: first the new one serves,
//! then the old one stops accepting and ends its calls. A new one that does not come to serve changes nothing.

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

/// What sockets are called that are for operators; all others are for clients.
const ADMIN: &str = "admin";
/// What the socket is called on which the new program says that it serves.
const READY: &str = "ready";
/// The first descriptor that is handed over, by the protocol.
const FIRST: i32 = 3;
/// How long a new program may take until it serves.
const READY_MAX: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(20);

/// What whoever started this gave along.
#[derive(Default)]
pub struct Inherited {
    pub sockets: Sockets,
    /// Where the program before this one waits to hear that this one serves.
    ready: Option<UnixDatagram>,
}

impl Inherited {
    /// Takes what was given. To be called before there is a second thread: it changes the environment.
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
            // By systemd the second one is for operators, where nobody gave them names.
            let is_admin = name == Some(ADMIN) || (name.is_none() && at > 0);
            let place = if is_admin { &mut inherited.sockets.admin } else { &mut inherited.sockets.clients };
            *place = listener;
        }
        inherited.sockets.follows = inherited.ready.is_some();
        Ok(inherited)
    }

    /// Says that this one serves: to the program before it, and to systemd where that wants to know.
    pub fn serves(self) {
        if let Some(ready) = self.ready {
            let _ = ready.send(b"READY=1");
        }
        notify("READY=1");
    }
}

/// The program that follows this one.
pub struct Next {
    /// Where it lies: found before anybody replaced it, for the system tells only what this one was.
    program: PathBuf,
    arguments: Vec<OsString>,
}

impl Next {
    /// Returns what follows: the same program with the same arguments.
    pub fn new() -> io::Result<Self> {
        Ok(Self { program: env::current_exe()?, arguments: env::args_os().skip(1).collect() })
    }

    /// Starts it with the sockets, and waits until it serves.
    pub async fn start(&self, sidecar: &Sidecar) -> Result<u32, String> {
        let problem = |error: io::Error| format!("{} cannot be started: {error}", self.program.display());
        let (told, tells) = UnixDatagram::pair().map_err(problem)?;
        told.set_nonblocking(true).map_err(problem)?;
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
        // Who it is for is clear: nobody else gets these.
        command.env_remove("LISTEN_PID");
        let mapping = |(child_fd, (_, parent_fd)): (i32, (&str, OwnedFd))| FdMapping { parent_fd, child_fd };
        let mappings = (FIRST..).zip(given).map(mapping).collect();
        command.fd_mappings(mappings).map_err(io::Error::other)?.spawn()
    }
}

/// Tells systemd something, where it wants to be told.
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

//! The program as a process of its own, which tests observe from outside.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::atomic::AtomicU16;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::http::PATIENCE;

/// Returns the program, in an environment without anything and a folder of its own.
pub fn program(folder: &str) -> (Command, PathBuf) {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(folder);
    fs::create_dir_all(&folder).expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_standin"));
    command.env_clear().current_dir(&folder);
    (command, folder)
}

/// A sidecar that serves in a process of its own; it ends with this.
pub struct Served {
    child: Child,
    pub address: SocketAddr,
}

impl Served {
    /// Starts it with these arguments behind `serve`, on a port of its own.
    pub fn start(folder: &str, arguments: &[&str], edit: impl FnOnce(&mut Command)) -> Self {
        let address = free();
        let listen = address.to_string();
        Self::start_at(folder, address, &[&["--listen", listen.as_str()], arguments].concat(), edit)
    }

    /// Starts it with these arguments behind `serve`, which lead it to this address.
    pub fn start_at(folder: &str, address: SocketAddr, arguments: &[&str], edit: impl FnOnce(&mut Command)) -> Self {
        let (mut command, _) = program(folder);
        command.arg("serve").args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        edit(&mut command);
        let mut served = Self { child: command.spawn().expect("it runs"), address };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(served.child.try_wait().expect("a process").is_none(), "it ended at its start");
            assert!(begun.elapsed() < PATIENCE, "it does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        served
    }

    /// Starts it from a shell that sets a limit first.
    pub fn limited(folder: &str, limit: &str, arguments: &[&str]) -> Self {
        let program = env!("CARGO_BIN_EXE_standin");
        Self::start(folder, arguments, |command| {
            let arguments: Vec<String> =
                command.get_args().map(|argument| argument.to_string_lossy().into_owned()).collect();
            let folder = command.get_current_dir().expect("a folder").to_owned();
            *command = Command::new("sh");
            command.args(["-c", &format!("{limit} && exec {program} {}", arguments.join(" "))]);
            command.env_clear().current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        })
    }

    pub fn stderr(&mut self) -> ChildStderr {
        self.child.stderr.take().expect("its errors")
    }

    /// Returns the most bytes of memory that it ever had.
    pub fn peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a process");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        peak.and_then(|peak| peak.trim().parse::<u64>().ok()).expect("a number") * 1024
    }

    /// Sends it a signal by its name.
    pub fn signal(&self, name: &str) {
        let told = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(told.expect("kill runs").success());
    }

    /// Tells whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("a process").is_none()
    }

    /// Waits for its end, which must come soon.
    pub fn ended(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a process") {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns an address where something is about to listen.
///
/// Its port is below those that the system gives away by itself, so that no other socket takes it meanwhile.
pub fn free() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = u16::MAX / 4 + u16::try_from(std::process::id() % 1024 * 8).expect("it is small");
    (0..4096)
        .map(|_| SocketAddr::from(([127, 0, 0, 1], first + NEXT.fetch_add(1, Relaxed) % 8192)))
        .find(|address| TcpListener::bind(address).is_ok())
        .expect("a port")
}

/// Returns an address where nothing listens: nobody is given its port by chance.
pub fn dead() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 1))
}

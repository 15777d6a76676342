//! A program that runs beside, and what the system says it used.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Ticks of the clock that `/proc` counts processor time in: Linux fixes them for programs.
const TICKS_A_SECOND: f64 = 100.0;
/// How long a program may take to begin.
const BEGIN_MAX: Duration = Duration::from_secs(10);

/// A program; it ends when this is dropped.
pub struct Process {
    child: Child,
    begun: Instant,
}

impl Process {
    pub fn start(command: &mut Command) -> Self {
        let begun = Instant::now();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Self { child: child.unwrap_or_else(|error| panic!("{command:?}: {error}")), begun }
    }

    /// Waits until a POST is answered with 200. Returns how long after the start that was.
    pub fn answers(&mut self, address: SocketAddr, path: &str, body: &str) -> Duration {
        loop {
            if post(address, path, body).is_some_and(|answer| answer.starts_with("HTTP/1.1 200")) {
                return self.begun.elapsed();
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("it ended at once: {status}");
            }
            assert!(
                self.begun.elapsed() < BEGIN_MAX,
                "no answer from {address}{path}: {:?}",
                post(address, path, body)
            );
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Its processes: itself and its children.
    fn pids(&self) -> Vec<u32> {
        let own = self.child.id();
        let children = fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap_or_default();
        std::iter::once(own).chain(children.split_whitespace().filter_map(|pid| pid.parse().ok())).collect()
    }

    /// Seconds of processor time used so far.
    pub fn cpu(&self) -> f64 {
        let used = |pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            // What follows the name, which may hold anything but is in parentheses.
            let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
            Some((fields[11].parse::<f64>().ok()? + fields[12].parse::<f64>().ok()?) / TICKS_A_SECOND)
        };
        self.pids().into_iter().filter_map(used).sum()
    }

    /// MiB resident now, and at most so far.
    pub fn memory(&self) -> (f64, f64) {
        let mib = |pid: u32, name: &str| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix("kB"));
            line.and_then(|kib| kib.trim().parse::<f64>().ok()).unwrap_or(0.0) / 1_024.0
        };
        let sum = |name| self.pids().into_iter().map(|pid| mib(pid, name)).sum();
        (sum("VmRSS:"), sum("VmHWM:"))
    }

    /// Open files.
    pub fn files(&self) -> usize {
        self.pids()
            .into_iter()
            .filter_map(|pid| fs::read_dir(format!("/proc/{pid}/fd")).ok())
            .map(Iterator::count)
            .sum()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let pids = self.pids();
        let _ = self.child.kill();
        // Children of a killed parent live on and hold its port; killed before it, they are replaced.
        for pid in pids.into_iter().skip(1) {
            let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
        }
        let _ = self.child.wait();
    }
}

/// Sends a POST on a connection of its own; returns the answer, head and all.
pub fn post(address: SocketAddr, path: &str, body: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let length = body.len();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .ok()?;
    let mut answer = Vec::new();
    // A peer that does not close in time has said enough.
    let _ = stream.read_to_end(&mut answer);
    Some(String::from_utf8_lossy(&answer).into_owned())
}

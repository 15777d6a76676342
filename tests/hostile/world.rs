//! The program, an honest provider and a hostile one.

use std::fs;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::provider;

/// The longest that an honest call may take among hostile ones, in a build that is not optimised.
const PATIENCE: Duration = Duration::from_secs(60);
/// An honest provider's answer.
const SAID: &str = "all is well";

pub struct World {
    program: std::sync::Mutex<Child>,
    pub address: SocketAddr,
    asked: Arc<AtomicU64>,
}

impl World {
    pub async fn start(folder: &str) -> Self {
        let asked = Arc::new(AtomicU64::new(0));
        let honest = listen(honest, asked.clone()).await;
        let hostile = listen(provider::answer, Arc::new(AtomicU64::new(7))).await;
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(folder);
        fs::create_dir_all(&folder).expect("a folder");
        let provider = |name: &str, at: SocketAddr| {
            format!(
                "[providers.{name}]\nbase_url = \"http://{at}/v1\"\nkeys = [\"sk-{name}-1\"]\nmodels.m = {{ first_token = \"2s\", stall = \"2s\" }}\n"
            )
        };
        let text = format!(
            "[server]\nbody_bytes_max = 8_388_608\nbody_timeout = \"20s\"\nhead_timeout = \"20s\"\n{}{}\
             [routes.good]\ntargets = [\"good/m\"]\n[routes.bad]\ntargets = [\"bad/m\"]\nfailover.deadline = \"5s\"\n",
            provider("good", honest),
            provider("bad", hostile)
        );
        fs::write(folder.join("given.toml"), text).expect("a file");
        let address = StdListener::bind("127.0.0.1:0").and_then(|one| one.local_addr()).expect("a port");
        let mut command = Command::new(env!("CARGO_BIN_EXE_standin"));
        command.env_clear().current_dir(&folder).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(fs::File::create(folder.join("log")).expect("a file"));
        command.args(["serve", "--config", "given.toml", "--log", "json", "--listen", &address.to_string()]);
        let program = std::sync::Mutex::new(command.spawn().expect("it runs"));
        let begun = Instant::now();
        while TcpStream::connect(address).await.is_err() {
            assert!(begun.elapsed() < PATIENCE, "it does not listen");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Self { program, address, asked }
    }

    /// How often the honest provider was asked.
    pub fn asked(&self) -> u64 {
        self.asked.load(Relaxed)
    }

    /// Makes a call that must succeed.
    pub async fn honest(&self, route: &str, stream: bool) {
        let body =
            format!(r#"{{"model":"{route}","stream":{stream},"messages":[{{"role":"user","content":"How is it?"}}]}}"#);
        let begun = Instant::now();
        let answer = tokio::time::timeout(PATIENCE, ask(self.address, &body)).await.expect("an honest call hangs");
        let end = if stream { "data: [DONE]" } else { "\"finish_reason\":\"stop\"" };
        let fine = answer.starts_with("HTTP/1.1 200") && answer.contains("well") && answer.contains(end);
        assert!(fine, "an honest call failed after {:?}: {answer}", begun.elapsed());
    }

    /// Asserts that the program lives; returns the most memory that it ever had.
    pub fn alive_with(&self) -> u64 {
        let mut program = self.program.lock().expect("no panic");
        assert!(program.try_wait().expect("a process").is_none(), "it ended");
        let status = fs::read_to_string(format!("/proc/{}/status", program.id())).expect("a process");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        peak.and_then(|peak| peak.trim().parse::<u64>().ok()).expect("a number") * 1024
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Ok(program) = self.program.get_mut() {
            let _ = program.kill();
            let _ = program.wait();
        }
    }
}

/// Asks and reads to the end of the connection, but no more than a few megabytes.
pub async fn ask(to: SocketAddr, body: &str) -> String {
    let Ok(mut stream) = TcpStream::connect(to).await else { return "no connection".to_owned() };
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await;
    let (mut bytes, mut taken) = (Vec::new(), stream.take(32 << 20));
    let _ = taken.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Listens, and answers each request by a function of a number.
async fn listen<F: Future<Output = bool> + Send>(
    answer: impl Fn(TcpStream, u64, bool) -> F + Clone + Send + Sync + 'static,
    count: Arc<AtomicU64>,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (answer, count) = (answer.clone(), count.clone());
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let Some(body) = request(&mut stream).await else { return };
                answer(stream.into_inner(), count.fetch_add(1, Relaxed), body.contains("\"stream\":true")).await;
            });
        }
    });
    address
}

/// Reads a request; returns its body.
async fn request(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let (mut line, mut length) = (String::new(), 0_usize);
    loop {
        line.clear();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let lower = line.to_ascii_lowercase();
        if let Some(number) = lower.strip_prefix("content-length:") {
            length = number.trim().parse().ok()?;
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    String::from_utf8(body).ok()
}

async fn honest(mut stream: TcpStream, _: u64, streams: bool) -> bool {
    let text = if streams {
        let event = |delta: &str, end: &str| {
            format!(
                "data: {{\"id\":\"a\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{end}}}]}}\n\n"
            )
        };
        let body = [
            event(&format!("{{\"role\":\"assistant\",\"content\":\"{SAID}\"}}"), "null"),
            event("{}", "\"stop\""),
            "data: [DONE]\n\n".into(),
        ];
        let body = body.concat();
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    } else {
        let body = format!(
            "{{\"id\":\"a\",\"object\":\"chat.completion\",\"model\":\"m\",\"choices\":[{{\"index\":0,\"finish_reason\":\"stop\",\"message\":{{\"role\":\"assistant\",\"content\":\"{SAID}\"}}}}]}}"
        );
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    stream.write_all(text.as_bytes()).await.is_ok()
}

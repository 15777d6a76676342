//! The sidecar beside nginx and beside the least gateway of the same libraries, in one run: requests and streams a
//! second, processor time, added latency, memory, first answer. A mock and the load generator run on the same machine.
//!
//! Needs `wrk` and, for its row, `nginx` on the path. `SECONDS=5` is how long each figure is measured for, `ONLY=kB`
//! which figures. `BEFORE=path` is another build of the program, measured in the same run.

mod mock;
mod process;
mod relay;

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use process::Process;

/// Connections that keep a gateway busy.
const BUSY: usize = 64;

const PROGRAM: &str = env!("CARGO_BIN_EXE_standin");

const MOCK: u16 = 24_701;
const RELAY: u16 = 24_702;
const NGINX: u16 = 24_703;
const STANDIN: u16 = 24_704;
const BEFORE: u16 = 24_705;

fn at(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn main() {
    let role = std::env::args().nth(1).unwrap_or_default();
    match role.as_str() {
        "mock" => block_on(tokio::runtime::Builder::new_current_thread(), mock::run(at(MOCK))),
        "relay" => block_on(tokio::runtime::Builder::new_multi_thread(), relay::run(at(RELAY), at(MOCK))),
        _ => measure(),
    }
}

fn block_on(mut builder: tokio::runtime::Builder, work: impl Future<Output = ()>) {
    builder.enable_all().build().expect("a runtime").block_on(work);
}

/// A kind of request: its form, its address, and its size.
struct Ask {
    name: &'static str,
    path: &'static str,
    model: &'static str,
    bytes: usize,
    stream: bool,
}

const fn ask(name: &'static str, path: &'static str, model: &'static str, bytes: usize, stream: bool) -> Ask {
    Ask { name, path, model, bytes, stream }
}

const CHAT: &str = "/v1/chat/completions";

const ASKS: [Ask; 11] = [
    ask("whole, 1 kB", CHAT, "same", 1_000, false),
    ask("whole, 1 kB, translated", CHAT, "other", 1_000, false),
    ask("whole, 1 kB, asked as a stream", CHAT, "streamed", 1_000, false),
    ask("stream of 30 tokens, 1 kB", CHAT, "same", 1_000, true),
    ask("stream of 30 tokens in one chunk, 1 kB", CHAT, "burst", 1_000, true),
    ask("stream of 30 tokens, 1 kB, translated", CHAT, "other", 1_000, true),
    ask("whole, 200 kB", CHAT, "same", 200_000, false),
    ask("whole, 200 kB, translated", CHAT, "other", 200_000, false),
    ask("whole, 2 MB", CHAT, "same", 2_000_000, false),
    ask("whole, 2 MB, translated", CHAT, "other", 2_000_000, false),
    ask("stream of 30 tokens, 200 kB", CHAT, "same", 200_000, true),
];

impl Ask {
    /// Only a gateway that knows dialects can translate, and only one that knows routes has several.
    fn is_for(&self, gateway: &str) -> bool {
        matches!(gateway, "standin" | "before") || matches!(self.model, "same" | "burst")
    }

    fn body(&self) -> String {
        let messages = (self.bytes / 4_000).clamp(2, 100);
        let text = "lorem ipsum dolor sit amet ".repeat(self.bytes / messages / 27);
        let mut body = format!(r#"{{"model":"{}","#, self.model);
        if self.stream {
            body += r#""stream":true,"stream_options":{"include_usage":true},"#;
        }
        body += r#""messages":[{"role":"system","content":"You are an agent."}"#;
        for n in 0..messages {
            let role = if n % 2 == 0 { "user" } else { "assistant" };
            let _ = write!(body, r#",{{"role":"{role}","content":"{n} {text}"}}"#);
        }
        body += r#",{"role":"user","content":"Go on."}]}"#;
        body
    }
}

fn measure() {
    let seconds: u64 = std::env::var("SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(5);
    let only = std::env::var("ONLY").unwrap_or_default();
    if !is_there("wrk") {
        eprintln!(
            "gateway: this needs wrk, the load generator (on Debian: apt-get install wrk nginx); nothing measured"
        );
        return;
    }
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("gateway");
    fs::create_dir_all(&folder).expect("a folder");
    let own = std::env::current_exe().expect("its own path");
    let hello = ASKS[0].body();

    let mut mock = Process::start(Command::new(&own).arg("mock"));
    mock.answers(at(MOCK), CHAT, &hello);
    let config = folder.join("standin.toml");
    fs::write(&config, standin(STANDIN)).expect("a file");
    let mut commands =
        vec![("hyper + reqwest", RELAY, Command::new(&own)), ("standin", STANDIN, Command::new(PROGRAM))];
    commands[0].2.arg("relay");
    commands[1].2.args(["serve", "--log", "json", "--config"]).arg(&config);
    if let Some(program) = std::env::var_os("BEFORE") {
        let config = folder.join("before.toml");
        fs::write(&config, standin(BEFORE)).expect("a file");
        let mut command = Command::new(program);
        command.args(["serve", "--log", "json", "--config"]).arg(&config);
        commands.push(("before", BEFORE, command));
    }
    if is_there("nginx") {
        commands.insert(0, ("nginx", NGINX, nginx(&folder)));
    } else {
        eprintln!("gateway: no nginx here, and so no row of it");
    }
    let mut gateways = vec![("direct", MOCK, mock)];
    for (name, port, mut command) in commands {
        let mut process = Process::start(&mut command);
        let first = process.answers(at(port), CHAT, &hello).as_secs_f64() * 1e3;
        println!("{name:16} first answer after {first:.0} ms, {:.1} MiB", process.memory().0);
        gateways.push((name, port, process));
    }

    for ask in ASKS.iter().filter(|ask| ask.name.contains(&only)) {
        let script = folder.join("ask.lua");
        let body = folder.join("body.json");
        fs::write(&body, ask.body()).expect("a file");
        let lua = format!(
            "wrk.method = \"POST\"\nwrk.body = io.open({:?}, \"rb\"):read(\"*a\")\nwrk.headers[\"Content-Type\"] = \"application/json\"\n",
            body.display().to_string()
        );
        fs::write(&script, lua).expect("a file");
        println!("\n{}", ask.name);
        println!(
            "{:16} {:>10} {:>12} {:>10} {:>10}  at one connection",
            "", "a second", "CPU s/1000", "p50 ms", "p99 ms"
        );
        for (name, port, process) in gateways.iter().filter(|(name, ..)| ask.is_for(name)) {
            let url = format!("http://{}{}", at(*port), ask.path);
            let quiet = wrk(&url, &script, 1, Duration::from_secs(seconds.div_ceil(2)));
            let before = process.cpu();
            let busy = wrk(&url, &script, BUSY, Duration::from_secs(seconds));
            let cpu = (process.cpu() - before) / busy.requests * 1e3;
            println!(
                "{name:16} {:>10.0} {cpu:>12.4} {:>10.3} {:>10.3}{}",
                busy.a_second,
                quiet.p50_ms,
                quiet.p99_ms,
                if busy.failed + quiet.failed > 0 {
                    format!("  {} FAILED", busy.failed + quiet.failed)
                } else {
                    String::new()
                }
            );
        }
    }
    println!();
    for (name, _, process) in &gateways {
        let (now, most) = process.memory();
        println!("{name:16} {now:.1} MiB resident at the end, {most:.1} at most, {} files", process.files());
    }
}

/// The load generator's result.
#[derive(Debug, Default)]
struct Seen {
    a_second: f64,
    requests: f64,
    p50_ms: f64,
    p99_ms: f64,
    failed: u64,
}

fn wrk(url: &str, script: &PathBuf, connections: usize, time: Duration) -> Seen {
    let output = Command::new("wrk")
        .args([
            "-t1",
            "-c",
            &connections.to_string(),
            "-d",
            &format!("{}s", time.as_secs()),
            "--latency",
            "--timeout",
            "20s",
        ])
        .arg("-s")
        .arg(script)
        .arg(url)
        .output()
        .expect("wrk runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut seen = Seen::default();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["Requests/sec:", number] => seen.a_second = number.parse().unwrap_or(0.0),
            [number, "requests", "in", ..] => seen.requests = number.parse().unwrap_or(0.0),
            ["50%", time] => seen.p50_ms = milliseconds(time),
            ["99%", time] => seen.p99_ms = milliseconds(time),
            ["Non-2xx", "or", "3xx", "responses:", number] => seen.failed += number.parse::<u64>().unwrap_or(1),
            ["Socket", "errors:", ..] => {
                let numbers = words.iter().filter_map(|word| word.trim_end_matches(',').parse::<u64>().ok());
                seen.failed += numbers.sum::<u64>();
            }
            _ => {}
        }
    }
    assert!(seen.requests > 0.0, "no answer from {url}: {text}");
    seen
}

fn milliseconds(text: &str) -> f64 {
    let units = [("us", 1e-3), ("ms", 1.0), ("s", 1e3)];
    let unit = units.iter().find_map(|(unit, factor)| text.strip_suffix(unit)?.parse::<f64>().ok().map(|n| n * factor));
    unit.unwrap_or(f64::NAN)
}

fn is_there(program: &str) -> bool {
    Command::new(program).arg("-v").output().is_ok()
}

/// nginx as a plain reverse proxy that hands on what comes when it comes.
fn nginx(folder: &std::path::Path) -> Command {
    let folder = folder.display();
    let file = format!("{folder}/nginx.conf");
    let config = format!(
        "daemon off; worker_processes 2; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000; client_max_body_size 64m; client_body_buffer_size 4m;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream mock {{ server {mock}; keepalive 512; keepalive_requests 1000000; }}
  server {{ listen {listen}; location / {{
    proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_buffering off; }} }}
}}
",
        mock = at(MOCK),
        listen = at(NGINX),
    );
    fs::write(&file, config).expect("a file");
    let mut command = Command::new("nginx");
    command.args(["-c", &file]);
    command
}

/// Routes over the mock: in the caller's dialect, in another one, in the caller's but always as a stream, and with a
/// model whose streams come in one chunk.
fn standin(port: u16) -> String {
    let mut text = format!("[server]\nlisten = \"{}\"\n", at(port));
    for (name, dialect, model, options) in [
        ("same", "openai-chat", "gpt-4o-mini", ""),
        ("other", "anthropic", "claude-haiku-4-5", ""),
        ("streamed", "openai-chat", "gpt-4o-mini", "stream_upstream = true\n"),
        ("burst", "openai-chat", "burst", ""),
    ] {
        let _ = write!(
            text,
            "[providers.{name}]\nbase_url = \"http://{}/v1\"\ndialect = \"{dialect}\"\nflavour = \"openai\"\nkeys = [\"k\"]\n{options}models.\"{model}\" = {{ price = {{ input = 1.0, output = 4.0 }} }}\n[routes.{name}]\ntargets = [\"{name}/{model}\"]\n",
            at(MOCK)
        );
    }
    text
}

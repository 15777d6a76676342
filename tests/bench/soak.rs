//! Two thousand streams at a time through the sidecar, over providers that fail in every way and to callers that leave:
//! its memory must not grow, and in the end every call has ended and every attempt is in the ledger.
//!
//! `SECONDS=600` is how long, `STREAMS=2000` how many at a time. `HOSTILE=20` lets this many hostile clients play at it
//! meanwhile; then providers do not fail, so that every honest call that does failed for them.

#[path = "../hostile/client.rs"]
mod client;
#[path = "gateway/process.rs"]
#[expect(dead_code, reason = "what a process costs is measured elsewhere")]
mod process;

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use process::Process;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;
use standin::drill::Drill;
use standin::testing::{Fault, Latency, ProviderError, RetryHint, Script};
use tokio::task::JoinSet;

const PORT: u16 = 24_820;
const CHAT: &str = "/v1/chat/completions";
/// Tokens of an answer, and the time between two: a stream lasts six seconds.
const TOKENS: u32 = 60;
const BETWEEN: Duration = Duration::from_millis(100);
/// One caller in this many leaves in the middle of its answer.
const LEAVES: u64 = 10;
const LOOK: Duration = Duration::from_secs(30);

/// What callers saw.
#[derive(Default)]
struct Seen {
    begun: AtomicU64,
    whole: AtomicU64,
    left: AtomicU64,
    broken: AtomicU64,
    refused: AtomicU64,
    /// Answers that looked whole and were not.
    lied: AtomicU64,
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[tokio::main]
async fn main() -> ExitCode {
    let (time, streams) = (Duration::from_secs(number("SECONDS", 600)), number("STREAMS", 2_000));
    let hostile = number("HOSTILE", 0);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("soak");
    std::fs::create_dir_all(&folder).expect("a folder");
    let script = |seed| Script {
        seed,
        first_token: Latency::LogNormal { median: Duration::from_millis(200), sigma: 0.5 },
        per_token: BETWEEN,
        log_max: 0,
        ..Script::default()
    };
    let mut drills = Vec::new();
    for seed in 1..=3 {
        let drill = Drill::start(script(seed)).await.expect("a drill");
        let faults = [
            (0.02, Fault::CutAfter(7)),
            (0.01, Fault::StallAfter(5)),
            (0.01, Fault::Hang),
            (0.02, Fault::Reset),
            (0.02, Fault::Error(ProviderError::Server)),
            (0.005, Fault::RateLimited(RetryHint::Millis(Duration::from_millis(500)))),
            (0.01, Fault::Empty),
        ];
        for (chance, fault) in faults.into_iter().filter(|_| hostile == 0) {
            drill.handle().sometimes(chance, fault);
        }
        drills.push(drill);
    }
    let listen: SocketAddr = (Ipv4Addr::LOCALHOST, PORT).into();
    let mut config = format!(
        "[server]\nlisten = \"{listen}\"\n[failover]\ndeadline = \"45s\"\n[routes.smart]\ntargets = [\"a/m\", \"b/m\", \"c/m\"]\n\
         [routes.good]\ntargets = [\"a/m\", \"b/m\", \"c/m\"]\n"
    );
    for (name, drill) in ["a", "b", "c"].iter().zip(&drills) {
        let _ = write!(
            config,
            "[providers.{name}]\nbase_url = \"{}\"\nflavour = \"openai\"\nkeys = [\"k\"]\nmodels.m = {{}}\n",
            drill.base_url()
        );
    }
    let file = folder.join("soak.toml");
    std::fs::write(&file, config).expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_standin"));
    let mut sidecar = Process::start(command.args(["serve", "--log", "json", "--config"]).arg(&file));
    let hello = r#"{"model":"smart","messages":[{"role":"user","content":"Hi"}]}"#;
    tokio::task::block_in_place(|| sidecar.answers(listen, CHAT, hello));
    let idle = sidecar.memory().0;
    println!("idle: {idle:.1} MiB, {} files", sidecar.files());

    let seen = Arc::new(Seen::default());
    let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().expect("a client");
    let until = Instant::now() + time;
    let mut callers = JoinSet::new();
    for at in 0..streams {
        let (client, seen) = (client.clone(), seen.clone());
        callers.spawn(async move {
            // Not all at once.
            tokio::time::sleep((BETWEEN * TOKENS).mul_f64(at as f64 / streams as f64)).await;
            while Instant::now() < until {
                call(&client, listen, &seen).await;
            }
        });
    }
    let inputs = Arc::new(AtomicU64::new(0));
    for at in 0..hostile {
        let (inputs, mut rng) = (inputs.clone(), StdRng::seed_from_u64(at));
        callers.spawn(async move {
            while Instant::now() < until {
                client::attack(listen, StdRng::seed_from_u64(rng.random())).await;
                inputs.fetch_add(1, Relaxed);
            }
        });
    }
    println!("{:>6} {:>8} {:>9} {:>7} {:>8} {:>8} {:>8}", "s", "begun", "whole", "left", "broken", "MiB", "files");
    let mut memory = Vec::new();
    let mut look = tokio::time::interval_at((Instant::now() + LOOK).into(), LOOK);
    while Instant::now() + LOOK <= until {
        look.tick().await;
        let (now, files) = (sidecar.memory().0, sidecar.files());
        memory.push(now);
        println!(
            "{:>6} {:>8} {:>9} {:>7} {:>8} {now:>8.1} {files:>8}",
            memory.len() as u64 * LOOK.as_secs(),
            seen.begun.load(Relaxed),
            seen.whole.load(Relaxed),
            seen.left.load(Relaxed),
            seen.broken.load(Relaxed),
        );
    }
    callers.join_all().await;
    // Attempts of callers that left end within the time of a cancellation.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let all_is_well = judge(&client, listen, &seen, &drills, (&memory[..], hostile > 0), &sidecar).await;
    let hurt = seen.refused.load(Relaxed) + seen.broken.load(Relaxed);
    if hostile == 0 {
        return if all_is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    println!("hostile: {} inputs of {hostile} clients, {hurt} honest calls failed", inputs.load(Relaxed));
    if all_is_well && hurt == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn call(client: &reqwest::Client, to: SocketAddr, seen: &Seen) {
    let number = seen.begun.fetch_add(1, Relaxed);
    let said = format!("{number} {}", "word ".repeat(TOKENS as usize - 1));
    let body = json!({"model": "smart", "messages": [{"role": "user", "content": said}], "stream": true});
    let Ok(mut response) = client.post(format!("http://{to}{CHAT}")).body(body.to_string()).send().await else {
        seen.refused.fetch_add(1, Relaxed);
        return;
    };
    if response.status() != 200 {
        seen.refused.fetch_add(1, Relaxed);
        return;
    }
    let mut text = String::new();
    let ended = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => text.push_str(&String::from_utf8_lossy(&chunk)),
            Ok(None) => break true,
            Err(_) => break false,
        }
        if number.is_multiple_of(LEAVES) && text.len() > 4_000 {
            seen.left.fetch_add(1, Relaxed);
            return;
        }
    };
    let tokens = text.matches("\"content\":\"").count() as u64;
    let counter = match (ended && text.contains("data: [DONE]"), tokens >= u64::from(TOKENS)) {
        (true, true) => &seen.whole,
        (true, false) => &seen.lied,
        (false, _) => &seen.broken,
    };
    counter.fetch_add(1, Relaxed);
}

async fn judge(
    client: &reqwest::Client,
    to: SocketAddr,
    seen: &Seen,
    drills: &[Drill],
    (memory, is_hostile): (&[f64], bool),
    sidecar: &Process,
) -> bool {
    let metrics = client.get(format!("http://{to}/metrics")).send().await.expect("metrics").text().await.expect("text");
    let sum = |name: &str, with: &str| -> u64 {
        let lines = metrics.lines().filter(|line| line.starts_with(name) && line.contains(with));
        lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
    };
    let received: u64 = drills.iter().map(|drill| drill.handle().received()).sum();
    let (calls, attempts) = (sum("standin_calls_total", "route=\"smart\""), sum("standin_attempts_total", ""));
    let (open_calls, open_attempts) = (sum("standin_calls_in_flight", ""), sum("standin_attempts_in_flight", ""));
    let begun = seen.begun.load(Relaxed) + 1;
    println!("\ncalls: {begun} begun by callers, {calls} ended here, {open_calls} open");
    println!("attempts: {received} received by providers, {attempts} in the books, {open_attempts} open");
    println!(
        "callers: {} whole, {} left, {} broke off and said so, {} refused, {} looked whole and were not",
        seen.whole.load(Relaxed),
        seen.left.load(Relaxed),
        seen.broken.load(Relaxed),
        seen.refused.load(Relaxed),
        seen.lied.load(Relaxed)
    );
    let third = memory.len() / 3;
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len().max(1) as f64;
    let (early, late) = (mean(&memory[third..(2 * third).max(third)]), mean(&memory[(2 * third).min(memory.len())..]));
    println!("memory: {early:.1} MiB in the second third, {late:.1} in the last; {} files now", sidecar.files());
    // A caller that hangs up at once ends an attempt before its provider has heard of it.
    let kept = if is_hostile { attempts >= received } else { attempts == received };
    let balanced = calls == begun && kept && open_calls + open_attempts == 0;
    let honest = seen.lied.load(Relaxed) == 0;
    let flat = third == 0 || late < early * 1.1;
    for (is_so, what) in
        [(balanced, "the books do not balance"), (honest, "a broken answer looked whole"), (flat, "memory grows")]
    {
        if !is_so {
            println!("NOT SO: {what}");
        }
    }
    balanced && honest && flat
}

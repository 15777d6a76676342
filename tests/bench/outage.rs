//! What callers see of an outage through the sidecar: two providers on real sockets, twenty calls a second, and twelve
//! seconds in which one of them fails in one way. All ways are played at once, each with a sidecar of its own.

#[path = "gateway/process.rs"]
#[expect(dead_code, reason = "what a process uses is measured elsewhere")]
mod process;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use process::Process;
use serde_json::{Value, json};
use standin::drill::Drill;
use standin::testing::{Fault, Latency, Outcome, ProviderError, Record, RetryHint, Script, When};
use tokio::task::JoinSet;

/// The sidecars' ports begin here, below those that the system hands out.
const PORTS: u16 = 24_800;
const WELL: Duration = Duration::from_secs(10);
const ILL: Duration = Duration::from_secs(12);
const AFTER: Duration = Duration::from_secs(53);
const BETWEEN: Duration = Duration::from_millis(50);
/// If two attempts at the failing provider are further apart than this, the first of them was the last before it was
/// left.
const LEFT: Duration = Duration::from_millis(700);
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// The question, and its answer, an echo.
const SAID: &str = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen";

/// How an answer is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    Whole,
    Stream,
    Buffered,
}

struct Scenario {
    name: &'static str,
    ask: Ask,
    fault: Fault,
    /// The probability with which it hits an attempt.
    chance: f64,
}

fn scenarios() -> Vec<Scenario> {
    let mut all = Vec::new();
    for ask in [Ask::Whole, Ask::Stream] {
        for (name, fault, chance) in [
            ("connections refused", Fault::Refuse, 1.0),
            ("503", Fault::Error(ProviderError::Unavailable), 1.0),
            ("429, Retry-After 5 s", Fault::RateLimited(RetryHint::Seconds(RETRY_AFTER)), 1.0),
            ("brown-out, 20 times slower", Fault::SlowFirst { factor: 20.0, plus: Duration::ZERO }, 1.0),
            ("500 for 5 %", Fault::Error(ProviderError::Server), 0.05),
            ("hangs for 20 %", Fault::Hang, 0.2),
        ] {
            all.push(Scenario { name, ask, fault, chance });
        }
    }
    for ask in [Ask::Stream, Ask::Buffered] {
        for (name, fault) in [("streams cut", Fault::CutAfter(5)), ("streams stalled", Fault::StallAfter(5))] {
            all.push(Scenario { name, ask, fault, chance: 1.0 });
        }
    }
    all
}

/// One call, as its caller saw it.
struct Call {
    begun: Duration,
    took: Duration,
    good: bool,
    /// Whether it looked whole and was not.
    lied: bool,
    target: Option<String>,
    /// Attempts beyond the first.
    more: usize,
}

#[tokio::main]
async fn main() {
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("outage");
    std::fs::create_dir_all(&folder).expect("a folder");
    let mut runs = JoinSet::new();
    for (number, scenario) in scenarios().into_iter().enumerate() {
        let folder = folder.clone();
        runs.spawn(async move { (number, play(&scenario, number, &folder).await) });
    }
    let mut lines = runs.join_all().await;
    lines.sort();
    println!(
        "{:<28} {:<9} {:>6} {:>6} {:>5} {:>5} {:>9} {:>9} {:>8} {:>7} {:>7} {:>8} {:>8}",
        "12 s of",
        "asked as",
        "calls",
        "failed",
        "lied",
        "more",
        "p50 well",
        "p50 ill",
        "p99 ill",
        "at A",
        "later",
        "good in",
        "half in"
    );
    for (_, line) in lines {
        println!("{line}");
    }
    println!(
        "\nmore: attempts beyond each call's first; at A: failed attempts before A was left, as A saw them (refused ones it did not); later: attempts there while it was still ill, probes;"
    );
    println!("good in, half in: seconds from its recovery to A's first good answer, and to half of its old share.");
}

async fn play(scenario: &Scenario, number: usize, folder: &Path) -> String {
    let script = |seed| Script {
        seed,
        first_token: Latency::LogNormal { median: Duration::from_millis(50), sigma: 0.3 },
        per_token: Duration::from_millis(2),
        log_max: 100_000,
        ..Script::default()
    };
    let (a, b) = (Drill::start(script(1)).await.expect("a drill"), Drill::start(script(2)).await.expect("a drill"));
    let file = folder.join(format!("{number}.toml"));
    let port = PORTS + u16::try_from(number).expect("few scenarios");
    let listen: SocketAddr = (Ipv4Addr::LOCALHOST, port).into();
    let config = format!(
        "[server]\nlisten = \"{listen}\"\n[providers.a]\nbase_url = \"{}\"\nflavour = \"openai\"\nkeys = [\"k\"]\nmodels.m = {{}}\n\
         [providers.b]\nbase_url = \"{}\"\nflavour = \"openai\"\nkeys = [\"k\"]\nmodels.m = {{}}\n\
         [routes.smart]\ntargets = [\"a/m\", \"b/m\"]\noptions.strategy = \"priority\"\n",
        a.base_url(),
        b.base_url()
    );
    std::fs::write(&file, config).expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_standin"));
    let mut sidecar = Process::start(command.args(["serve", "--log", "off", "--config"]).arg(&file));
    let hello = r#"{"model":"smart","messages":[{"role":"user","content":"Hi"}]}"#;
    tokio::task::block_in_place(|| sidecar.answers(listen, "/v1/chat/completions", hello));
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    // Times are those of the failing provider's clock.
    let (begun, age) = (Instant::now(), a.handle().age());
    let mut calls = JoinSet::new();
    let mut turn = tokio::time::interval(BETWEEN);
    let (mut ill, mut cured) = (None, None);
    while begun.elapsed() < WELL + ILL + AFTER {
        turn.tick().await;
        if ill.is_none() && begun.elapsed() >= WELL {
            let when = When::ALWAYS.chance(scenario.chance);
            ill = Some((a.handle().inject(scenario.fault.clone(), when), a.handle().age()));
        }
        if let (Some((switch, since)), None) = (&ill, cured)
            && a.handle().age() >= *since + ILL
        {
            a.handle().lift(*switch);
            cured = Some(a.handle().age());
        }
        calls.spawn(call(client.clone(), listen.to_string(), scenario.ask, begun));
    }
    let calls = calls.join_all().await;
    drop(sidecar);
    let (ill, cured) = (since(ill.expect("it was ill").1, age), since(cured.expect("it was cured"), age));
    report(scenario, &calls, &a.log(), age, ill, cured)
}

async fn call(client: reqwest::Client, to: String, ask: Ask, start: Instant) -> Call {
    let begun = start.elapsed();
    let body = json!({"model": "smart", "messages": [{"role": "user", "content": SAID}], "stream": ask != Ask::Whole});
    let mut request = client.post(format!("http://{to}/v1/chat/completions")).body(body.to_string());
    if ask == Ask::Buffered {
        request = request.header("x-standin-stream", "buffered");
    }
    let (mut target, mut more, mut text, mut status) = (None, 0, String::new(), 0);
    if let Ok(response) = request.send().await {
        status = response.status().as_u16();
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        target = header("x-standin-target").map(str::to_owned);
        more = header("x-standin-attempts").and_then(|value| value.parse().ok()).map_or(0, |all: usize| all - 1);
        // An answer whose connection broke counts as lost.
        text = response.text().await.unwrap_or_default();
    }
    let took = since(start.elapsed(), begun);
    let looks_whole =
        status == 200 && (if ask == Ask::Whole { !text.is_empty() } else { text.contains("data: [DONE]") });
    let is_whole = looks_whole && said(ask, &text) == SAID;
    Call { begun, took, good: is_whole, lied: looks_whole && !is_whole, target, more }
}

fn said(ask: Ask, text: &str) -> String {
    let content = |value: &Value, at: &str| value["choices"][0][at]["content"].as_str().unwrap_or_default().to_owned();
    if ask == Ask::Whole {
        return serde_json::from_str(text).map(|value| content(&value, "message")).unwrap_or_default();
    }
    let events = text.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok());
    events.map(|value: Value| content(&value, "delta")).collect()
}

/// What has passed; nothing where the clock was read in another order.
fn since(later: Duration, sooner: Duration) -> Duration {
    later.saturating_sub(sooner)
}

fn report(
    scenario: &Scenario,
    calls: &[Call],
    log: &[Record],
    age: Duration,
    ill: Duration,
    cured: Duration,
) -> String {
    let p = |share: usize, within: std::ops::Range<Duration>| {
        let mut took: Vec<Duration> = calls.iter().filter(|it| within.contains(&it.begun)).map(|it| it.took).collect();
        took.sort_unstable();
        took.get(took.len() * share / 100).map_or(0.0, |took| took.as_secs_f64() * 1e3)
    };
    let at = |record: &Record| since(record.at, age);
    let struck: Vec<&Record> = log.iter().filter(|it| (ill..cured).contains(&at(it))).collect();
    let left =
        struck.windows(2).position(|pair| since(at(pair[1]), at(pair[0])) > LEFT).map_or(struck.len(), |at| at + 1);
    let failed_first = struck[..left].iter().filter(|it| it.outcome != Outcome::Answered).count();
    let good = log.iter().find(|it| at(it) >= cured && it.outcome == Outcome::Answered).map(|it| since(at(it), cured));
    let from_a = |it: &&Call| it.target.as_deref() == Some("a/m");
    let share = |within: std::ops::Range<Duration>| {
        let within: Vec<&Call> = calls.iter().filter(|it| within.contains(&it.begun)).collect();
        within.iter().copied().filter(from_a).count() as f64 / within.len().max(1) as f64
    };
    let old = share(Duration::ZERO..ill);
    if std::env::var_os("SHARES").is_some() {
        let part = Duration::from_secs(4);
        let shares = (0..13).map(|n| format!("{:3.0}", 100.0 * share(cured + part * n..cured + part * (n + 1))));
        eprintln!(
            "{} {:?}: {} % of calls at A in each 4 s",
            scenario.name,
            scenario.ask,
            shares.collect::<Vec<_>>().join(" ")
        );
    }
    let two = Duration::from_secs(2);
    let half = (0..=50).map(Duration::from_secs).find(|after| share(cured + *after..cured + *after + two) >= old / 2.0);
    let seconds = |time: Option<Duration>| time.map_or("-".into(), |time| format!("{:.1}", time.as_secs_f64()));
    let early = if let Fault::RateLimited(_) = scenario.fault {
        let early = struck.windows(2).filter(|pair| since(at(pair[1]), at(pair[0])) < RETRY_AFTER).count();
        format!("  {early} before Retry-After")
    } else {
        String::new()
    };
    format!(
        "{:<28} {:<9} {:>6} {:>6} {:>5} {:>5} {:>6.0} ms {:>6.0} ms {:>5.0} ms {:>7} {:>7} {:>8} {:>8}{early}",
        scenario.name,
        format!("{:?}", scenario.ask).to_lowercase(),
        calls.len(),
        calls.iter().filter(|it| !it.good).count(),
        calls.iter().filter(|it| it.lied).count(),
        calls.iter().map(|it| it.more).sum::<usize>(),
        p(50, Duration::ZERO..ill),
        p(50, ill..cured),
        p(99, ill..cured),
        failed_first,
        struck.len() - left,
        seconds(good),
        seconds(half),
    )
}

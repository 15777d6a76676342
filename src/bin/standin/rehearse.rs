//! `standin drill`: drills play the configuration's providers and fail one after the other in every way; a report lists
//! failed calls and latencies.
//!
//! Every row is a rehearsal of its own, by a runtime and drills that start for it: the effects of one failure (a key
//! that is held for ten minutes, an open breaker) do not reach the next, and several rows are played at a time.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use standin::config::KeyConfig;
use standin::drill::Drill;
use standin::sidecar::printable;
use standin::testing::{Crash, Fault, Latency, ProviderError, RetryHint, Script, When, crash};
use standin::{ChatRequest, CommitPolicy, Config, EmbedRequest, Error, ProviderConfig, ReplyEvent, Reset, Runtime};
use tokio::task::JoinSet;

use super::{failed, load, stage};

/// The most calls per second of all rows that are played at a time, so that a slow machine can serve them.
const RATE_OF_ALL: u32 = 100;

/// How long calls may take that have not ended when the time of a failure is over. Then it is lifted: a call that is
/// parked until a provider is back ends only then.
const SETTLE: Duration = Duration::from_secs(5);
/// How long they may take once it is lifted.
const RECOVER: Duration = Duration::from_secs(15);

/// The result of a call.
#[derive(Clone)]
struct Call {
    took: Duration,
    attempts: usize,
    /// Whether it ended only once the failure was lifted.
    waited: bool,
    /// Why it failed, if it did.
    problem: Option<String>,
}

/// A row of the report: a failure, and its provider.
struct Row {
    title: String,
    trouble: Option<(String, Trouble)>,
}

#[derive(Clone)]
enum Trouble {
    /// A provider answers with this fault.
    Fault(Fault),
    /// A provider's actor panics.
    Crash,
}

/// Returns the failures, in their order; each is played at every provider of the route in turn.
fn troubles() -> [(&'static str, Trouble); 7] {
    let fault = Trouble::Fault;
    [
        ("connections refused", fault(Fault::Refuse)),
        ("503, overloaded", fault(Fault::Error(ProviderError::Unavailable))),
        ("429, Retry-After 2 s", fault(Fault::RateLimited(RetryHint::Seconds(Duration::from_secs(2))))),
        ("streams cut after 3 tokens", fault(Fault::CutAfter(3))),
        ("10 times slower", fault(Fault::SlowFirst { factor: 10.0, plus: Duration::ZERO })),
        ("key revoked", fault(Fault::Error(ProviderError::Unauthorised))),
        ("its actor crashes", Trouble::Crash),
    ]
}

/// Returns the rows of the report.
fn rows(providers: &[String]) -> Vec<Row> {
    let mut rows = vec![Row { title: "all is well".into(), trouble: None }];
    for (what, trouble) in troubles() {
        rows.extend(
            providers
                .iter()
                .map(|name| Row { title: format!("{name}: {what}"), trouble: Some((name.clone(), trouble.clone())) }),
        );
    }
    rows
}

pub async fn run(options: super::Drill) -> ExitCode {
    let loaded = match load::load(options.file.named().as_deref(), &|_| ()) {
        Ok(loaded) => loaded,
        Err(problem) => return failed(&problem),
    };
    stage::silence_panics();
    let config = loaded.settings.runtime;
    let targets = match config.targets() {
        Ok(targets) => targets,
        Err(errors) => return failed(&errors),
    };
    // Every target is a route, too.
    let first = || config.routes.keys().next().cloned().or_else(|| Some(targets.first()?.0.to_string()));
    let route = options.route.clone().or_else(first).unwrap_or_default();
    let members = match load::members(&config, &targets, &route) {
        Ok(members) => members,
        Err(problem) => return failed(&problem),
    };
    let mut providers: Vec<String> = Vec::new();
    for (name, _) in members.iter().filter_map(|member| member.split_once('/')) {
        if !providers.iter().any(|known| known == name) {
            providers.push(name.to_owned());
        }
    }
    say!(
        "{}\nrehearsing `{route}`: {} calls a second, {} s of each trouble, each from a fresh start",
        loaded.about,
        options.rate,
        options.seconds
    );
    if let [only] = &providers[..] {
        say!("all its targets are of `{only}`: when that fails, there is no other provider to ask");
    }
    say!("\n{:<46} {:>6} {:>7} {:>9} {:>8} {:>8}", "trouble", "calls", "failed", "attempts", "p50", "p99");
    let mut lost = 0;
    let (config, route, options) = (&config, &route, &options);
    let play = async |row: Row| (play(&row, config, route, options).await, row.title);
    let together = (RATE_OF_ALL / options.rate).max(1) as usize;
    let mut played = std::pin::pin!(futures_util::stream::iter(rows(&providers)).map(play).buffered(together));
    while let Some((calls, title)) = played.next().await {
        match calls {
            Ok(calls) => lost += report(&title, &calls),
            Err(problem) => return failed(&problem),
        }
    }
    say!("\n{}", if lost == 0 { "no call failed".to_owned() } else { format!("{lost} call(s) failed") });
    if lost == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Starts drills and a runtime, lets all providers answer well for a second, and then starts the fault.
async fn play(row: &Row, config: &Config, route: &str, options: &super::Drill) -> Result<Vec<Call>, String> {
    let (config, drills) = with_drills(config.clone()).await?;
    let runtime = Runtime::builder().config(config).start().await.map_err(|error| error.to_string())?;
    let explained = runtime.explain(route).await.map_err(|error| error.to_string())?;
    let ask = Ask { runtime: runtime.clone(), route: route.to_owned(), embeds: explained.planned.is_empty() };
    act(&ask, options.rate, options.rate, async {}).await;
    match &row.trouble {
        None => {}
        Some((name, Trouble::Fault(fault))) => {
            if let Some(drill) = drills.get(name) {
                drill.handle().inject(fault.clone(), When::ALWAYS);
                drill.settled().await;
            }
        }
        Some((name, Trouble::Crash)) => {
            crash(&runtime, Crash::ProviderPanics(name.clone()));
        }
    }
    let lift = async {
        for drill in drills.values() {
            drill.handle().clear();
            drill.settled().await;
        }
        // What it left behind: a key that is held for ten minutes.
        let _ = runtime.reset(Reset::All).await;
    };
    let calls = act(&ask, options.rate, options.rate * options.seconds, lift).await;
    runtime.drain(Duration::from_secs(5)).await;
    Ok(calls)
}

/// Replaces every provider by a drill.
async fn with_drills(mut config: Config) -> Result<(Config, BTreeMap<String, Drill>), String> {
    let targets = config.targets().map_err(|error| error.to_string())?;
    load::keep_nothing(&mut config);
    let mut drills = BTreeMap::new();
    for (seed, (name, provider)) in (1..).zip(&mut config.providers) {
        let script = Script {
            seed,
            first_token: Latency::LogNormal { median: Duration::from_millis(150), sigma: 0.3 },
            per_token: Duration::from_millis(5),
            log_max: 0,
            ..Script::default()
        };
        let drill = Drill::start(script).await.map_err(|error| format!("no port for a drill: {error}"))?;
        // Dialect, flavour and models stay what they are; only the address is another.
        provider.base_url = Some(format!("http://{}{}", drill.address(), path(name, provider)));
        // It is a part of a host, which is another now.
        provider.resource = None;
        provider.keys = vec![KeyConfig::value("drill")];
        provider.transport.proxy = None;
        provider.query.clear();
        for (target, _) in targets.iter().filter(|(target, _)| *target.provider == **name) {
            // A real model takes about a second to its first token; these take a seventh of that.
            let model = provider.models.entry(target.model.to_string()).or_default();
            model.first_token.get_or_insert(Duration::from_secs(2));
        }
        drills.insert(name.clone(), drill);
    }
    Ok((config, drills))
}

/// Returns what follows the host in a provider's address.
fn path<'p>(name: &str, provider: &'p ProviderConfig) -> &'p str {
    let base_url = provider.base_url.as_deref().or_else(|| provider.usual_base_url(name)).unwrap_or_default();
    let after = base_url.split_once("://").map_or("", |(_, rest)| rest);
    after.find('/').map_or("/v1", |at| after[at..].trim_end_matches('/'))
}

/// The parameters of calls.
#[derive(Clone)]
struct Ask {
    runtime: Runtime,
    route: String,
    /// Whether the route's targets turn texts into vectors, and do not chat.
    embeds: bool,
}

const TEXT: &str = "the quick brown fox jumps over the lazy dog";

/// Makes calls at a rate per second; waits for their ends. Where some do not end, lifts the failure and waits again.
async fn act(ask: &Ask, rate: u32, count: u32, lift: impl Future<Output = ()>) -> Vec<Call> {
    let (mut running, mut ended) = (JoinSet::new(), Vec::new());
    let mut tick = tokio::time::interval(Duration::from_secs(1) / rate);
    for _ in 0..count {
        tick.tick().await;
        running.spawn(ask.clone().call());
    }
    join_within(&mut running, SETTLE, &mut ended).await;
    if running.is_empty() {
        return ended;
    }
    lift.await;
    let in_time = ended.len();
    join_within(&mut running, RECOVER, &mut ended).await;
    ended[in_time..].iter_mut().for_each(|call| call.waited = true);
    let problem = format!("still waited {} s after the failure was over, and was given up", RECOVER.as_secs());
    let given_up = Call { took: SETTLE + RECOVER, attempts: 0, waited: false, problem: Some(problem) };
    ended.extend(std::iter::repeat_n(given_up, running.len()));
    ended
}

/// Takes the calls that end within a time.
async fn join_within(running: &mut JoinSet<Call>, time: Duration, ended: &mut Vec<Call>) {
    let all = async {
        while let Some(call) = running.join_next().await {
            let crashed = || Call { took: Duration::ZERO, attempts: 0, waited: false, problem: Some("crashed".into()) };
            ended.push(call.unwrap_or_else(|_| crashed()));
        }
    };
    let _ = tokio::time::timeout(time, all).await;
}

impl Ask {
    async fn call(self) -> Call {
        let begun = Instant::now();
        let ended = if self.embeds { self.embed().await } else { self.chat().await };
        let took = begun.elapsed();
        match ended {
            Ok(attempts) => Call { took, attempts, waited: false, problem: None },
            Err(error) => {
                Call { took, attempts: error.attempts().len(), waited: false, problem: Some(problem(&error)) }
            }
        }
    }

    async fn embed(&self) -> Result<usize, Error> {
        let embedded = self.runtime.embed(EmbedRequest::new(&self.route, [TEXT])).await?;
        Ok(embedded.attempts.len())
    }

    async fn chat(&self) -> Result<usize, Error> {
        let mut request = ChatRequest::new(&self.route).user(TEXT);
        request.commit = CommitPolicy::Buffered;
        let mut stream = self.runtime.stream(request).await?;
        while let Some(event) = stream.next().await {
            if let ReplyEvent::Finished(finished) = event? {
                return Ok(finished.attempts.len());
            }
        }
        Err(Error::Crashed)
    }
}

/// Returns why a call failed, in words that are the same for calls that failed in the same way: without times and
/// numbers.
fn problem(error: &Error) -> String {
    let attempts = error.attempts().iter().map(|one| format!("{} {}", one.target, one.end.name()));
    let barred = match error {
        Error::Exhausted { barred, .. } => barred.as_slice(),
        _ => &[],
    };
    let barred = barred.iter().map(|one| format!("{} not asked: {}", one.target, one.cause));
    let all: Vec<String> = attempts.chain(barred).collect();
    if all.is_empty() { error.to_string() } else { format!("{}: {}", error.name(), all.join("; ")) }
}

/// Prints a line, and beneath it why calls failed; returns how many did.
fn report(title: &str, calls: &[Call]) -> usize {
    let mut took: Vec<Duration> = calls.iter().map(|call| call.took).collect();
    took.sort_unstable();
    let at = |part: usize| {
        took.get((took.len() * part / 100).min(took.len().saturating_sub(1))).copied().unwrap_or_default()
    };
    let mut problems: BTreeMap<&str, usize> = BTreeMap::new();
    for problem in calls.iter().filter_map(|call| call.problem.as_deref()) {
        *problems.entry(problem).or_default() += 1;
    }
    let failed = problems.values().sum();
    let attempts: usize = calls.iter().map(|call| call.attempts).sum();
    say!(
        "{title:<46} {:>6} {failed:>7} {:>9.2} {:>5} ms {:>5} ms",
        calls.len(),
        attempts as f64 / calls.len().max(1) as f64,
        at(50).as_millis(),
        at(99).as_millis(),
    );
    let waited = calls.iter().filter(|call| call.waited && call.problem.is_none()).count();
    if waited > 0 {
        say!("  {waited} x waited until the failure was over, and was answered then");
    }
    for (problem, count) in problems {
        say!("  {count} x {}", printable(problem));
    }
    failed
}

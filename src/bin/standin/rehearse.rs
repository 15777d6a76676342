//! `standin drill`: the configuration's providers are played by drills, go wrong one after the other in every way, and a
//! report says what callers saw of it.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use standin::config::{KeyConfig, presets};
use standin::drill::Drill;
use standin::testing::{Crash, Fault, Latency, ProviderError, RetryHint, Script, When, crash};
use standin::{ChatRequest, CommitPolicy, Config, ProviderConfig, ReplyEvent, Runtime};

use super::{failed, load};

/// What a call came to.
struct Call {
    took: Duration,
    attempts: usize,
    answered: bool,
}

/// A kind of trouble, and what makes it; `None` is none.
type Act = (&'static str, Option<Fault>);

/// What goes wrong, in this order, at every provider of the route in turn.
fn acts() -> Vec<Act> {
    vec![
        ("all is well", None),
        ("connections refused", Some(Fault::Refuse)),
        ("503, overloaded", Some(Fault::Error(ProviderError::Unavailable))),
        ("429, Retry-After 2 s", Some(Fault::RateLimited(RetryHint::Seconds(Duration::from_secs(2))))),
        ("streams cut after 3 tokens", Some(Fault::CutAfter(3))),
        ("10 times slower", Some(Fault::SlowFirst { factor: 10.0, plus: Duration::ZERO })),
        ("key revoked", Some(Fault::Error(ProviderError::Unauthorised))),
    ]
}

pub async fn run(options: super::Drill) -> ExitCode {
    let loaded = match load::load(options.file.config.as_deref()) {
        Ok(loaded) => loaded,
        Err(problem) => return failed(&problem),
    };
    let mut config = loaded.settings.runtime;
    let Some(route) = options.route.clone().or_else(|| config.routes.keys().next().cloned()) else {
        return failed("the configuration has no route to rehearse; add one under [routes]");
    };
    let Some(members) = config.routes.get(&route) else {
        let known: Vec<&str> = config.routes.keys().map(String::as_str).collect();
        return failed(&format!("no route `{route}`; there are: {}", known.join(", ")));
    };
    let providers: Vec<String> =
        members.targets.iter().filter_map(|member| Some(member.target.split_once('/')?.0.to_owned())).collect();
    let drills = match stand_in(&mut config).await {
        Ok(drills) => drills,
        Err(problem) => return failed(&problem),
    };
    let runtime = match Runtime::builder().config(config).start().await {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    say!(
        "{}\nrehearsing `{route}`: {} calls a second, {} s of each trouble\n",
        loaded.about,
        options.rate,
        options.seconds
    );
    say!("{:<46} {:>6} {:>7} {:>9} {:>8} {:>8}", "trouble", "calls", "failed", "attempts", "p50", "p99");
    let mut lost = 0;
    let mut played = Vec::new();
    for (title, fault) in acts() {
        let troubled: &[String] = if fault.is_some() { &providers } else { &providers[..1] };
        for name in dedup(troubled) {
            let title = if fault.is_some() { format!("{name}: {title}") } else { title.to_owned() };
            if let (Some(fault), Some(drill)) = (&fault, drills.get(name)) {
                drill.handle().inject(fault.clone(), When::ALWAYS);
            }
            played.push(title.clone());
            lost += report(&title, &act(&runtime, &route, &options).await);
            for drill in drills.values() {
                drill.handle().clear();
            }
        }
    }
    for name in dedup(&providers) {
        crash(&runtime, Crash::ProviderPanics(name.to_owned()));
        lost += report(&format!("{name}: its actor crashes"), &act(&runtime, &route, &options).await);
    }
    runtime.drain(Duration::from_secs(5)).await;
    say!("\n{}", if lost == 0 { "no caller noticed anything".to_owned() } else { format!("{lost} call(s) failed") });
    if lost == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn dedup(names: &[String]) -> Vec<&str> {
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.dedup();
    names
}

/// Puts a drill in the place of every provider.
async fn stand_in(config: &mut Config) -> Result<BTreeMap<String, Drill>, String> {
    let targets = config.targets().map_err(|error| error.to_string())?;
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
        // Dialect, accent and models stay what they are; only the address is another.
        provider.base_url = Some(format!("http://{}{}", drill.address(), path(provider)));
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
    Ok(drills)
}

/// Returns what follows the host in a provider's address.
fn path(provider: &ProviderConfig) -> &str {
    let usual = presets().iter().find(|preset| Some(preset.name) == provider.preset.as_deref());
    let base_url = provider.base_url.as_deref().or(usual.map(|preset| preset.base_url)).unwrap_or_default();
    let after = base_url.split_once("://").map_or("", |(_, rest)| rest);
    after.find('/').map_or("/v1", |at| after[at..].trim_end_matches('/'))
}

/// Makes calls for as long as an act lasts; waits for their ends.
async fn act(runtime: &Runtime, route: &str, options: &super::Drill) -> Vec<Call> {
    let (mut calls, count) = (tokio::task::JoinSet::new(), options.rate * options.seconds);
    let mut tick = tokio::time::interval(Duration::from_secs(1) / options.rate);
    for _ in 0..count {
        tick.tick().await;
        calls.spawn(call(runtime.clone(), route.to_owned()));
    }
    calls.join_all().await
}

async fn call(runtime: Runtime, route: String) -> Call {
    let begun = Instant::now();
    let mut request = ChatRequest::new(route).user("the quick brown fox jumps over the lazy dog");
    request.commit = CommitPolicy::Buffered;
    let (mut answered, mut attempts) = (false, 0);
    match runtime.stream(request).await {
        Err(error) => attempts = error.attempts().len(),
        Ok(mut stream) => {
            while let Some(event) = stream.next().await {
                match event {
                    Ok(ReplyEvent::Finished(finished)) => {
                        answered = true;
                        attempts = finished.attempts.len();
                    }
                    Ok(_) => {}
                    Err(error) => attempts = error.attempts().len(),
                }
            }
        }
    }
    Call { took: begun.elapsed(), attempts, answered }
}

/// Prints a line; returns how many calls failed.
fn report(title: &str, calls: &[Call]) -> usize {
    let mut took: Vec<Duration> = calls.iter().map(|call| call.took).collect();
    took.sort_unstable();
    let at = |part: usize| {
        took.get((took.len() * part / 100).min(took.len().saturating_sub(1))).copied().unwrap_or_default()
    };
    let failed = calls.iter().filter(|call| !call.answered).count();
    let attempts: usize = calls.iter().map(|call| call.attempts).sum();
    say!(
        "{title:<46} {:>6} {failed:>7} {:>9.2} {:>5} ms {:>5} ms",
        calls.len(),
        attempts as f64 / calls.len().max(1) as f64,
        at(50).as_millis(),
        at(99).as_millis(),
    );
    failed
}

//! Serves until a signal ends it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use standin::config::StoreConfig;
use standin::sidecar::{ServerConfig, Settings, Sidecar};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::handover::{InheritedSockets, Successor};
use super::log::Lines;
use super::operator::reachable;
use super::{ListenAddress, failed, load, stage};

/// How often a file is looked at for changes.
const LOOK: Duration = Duration::from_secs(2);

pub async fn run(options: super::Serve, mut inherited: InheritedSockets) -> ExitCode {
    // Before the program's file may be replaced.
    let next = match Successor::new() {
        Ok(next) => next,
        Err(error) => return failed(&error),
    };
    // From now on a signal that comes during the start is handled once the sidecar serves.
    let signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => return failed(&error),
    };
    let lines = match Lines::begin(options.log) {
        Ok(lines) => lines,
        Err(error) => return failed(&error),
    };
    let stage = if options.drill {
        match stage::Stage::start(options.storm).await {
            Ok(stage) => Some(stage),
            Err(error) => return failed(&error),
        }
    } else {
        None
    };
    let place = |server: &mut ServerConfig| {
        options.at.place(server);
        inherited.sockets.place(server);
    };
    let (mut settings, file, about) = match &stage {
        Some(stage) => (stage.settings(), None, "serving drills: answers are echoes".to_owned()),
        None => match load::load(options.file.named().as_deref(), &place) {
            Ok(loaded) => {
                warn(&loaded.warnings);
                (loaded.settings, loaded.file, loaded.about)
            }
            Err(problem) => return failed(&problem),
        },
    };
    options.at.place(&mut settings.server);
    if let Some(file) = &options.store {
        settings.runtime.store = Some(StoreConfig::new(file));
    }
    if let Err(problem) = load::check(&settings, file.as_deref(), &place) {
        return failed(&problem);
    }
    let sockets = std::mem::take(&mut inherited.sockets);
    let sidecar = match Sidecar::start_on(sockets, settings.clone()).await {
        Ok(sidecar) => sidecar,
        Err(error) => return failed(&error),
    };
    sidecar.tell_of(lines.log());
    print_addresses(&lines, &sidecar, &settings, &about);
    if let Some(stage) = &stage {
        stage.trouble(sidecar.runtime());
    }
    inherited.serves();
    let is_followed = until_told(signals, &sidecar, &next, file.as_deref(), &options.at).await;
    let drain = sidecar.drain();
    lines.say(&format!("standin: draining, {} s at most; interrupt again to stop at once", drain.as_secs()));
    let left = tokio::select! {
        left = async { if is_followed { sidecar.hand_over(drain).await } else { sidecar.stop(drain).await } } => left,
        _ = tokio::signal::ctrl_c() => return ExitCode::from(130),
    };
    if left > 0 {
        lines.say(&format!("standin: {left} call(s) were cut off"));
    }
    ExitCode::SUCCESS
}

/// Prints the addresses and a first request.
fn print_addresses(lines: &Lines, sidecar: &Sidecar, settings: &Settings, about: &str) {
    let scheme = if settings.server.tls.is_some() { "https" } else { "http" };
    let address = sidecar.address();
    let routes: Vec<&str> = settings.runtime.routes.keys().map(String::as_str).collect();
    let operators = match sidecar.admin_address() {
        Some(admin) => format!("http://{admin}/health, /metrics, /explain/ROUTE"),
        None if settings.server.is_admin_beside() => format!("{scheme}://{address}/health, /metrics, /explain/ROUTE"),
        None => "nowhere: set server.admin for health and metrics".to_owned(),
    };
    lines.say(&format!("standin: {about}"));
    for (what, line) in [
        ("OpenAI     base URL", format!("{scheme}://{address}/v1")),
        ("Anthropic  base URL", format!("{scheme}://{address}")),
        ("Gemini     base URL", format!("{scheme}://{address}")),
        ("models    ", format!("{} (and each provider/model)", routes.join(", "))),
        ("operators ", operators),
    ] {
        lines.say(&format!("  {what}  {line}"));
    }
    if let Some(line) = trial(settings, address) {
        lines.say(&format!("  try it      {line}"));
    }
}

/// Returns a command for a first request.
fn trial(settings: &Settings, address: SocketAddr) -> Option<String> {
    let Settings { server, runtime } = settings;
    let chats = |name: &&String| {
        let target = runtime.routes.get(*name).and_then(|route| route.targets.first());
        target.is_none_or(|member| standin::models::kind(&member.target) == standin::ModelKind::Chat)
    };
    let known = runtime.describe().unwrap_or_default();
    // A first question costs as little as it can.
    let price = |name: &str| {
        let target = runtime.routes.get(name).and_then(|route| route.targets.first());
        let target = target.and_then(|member| known.iter().find(|one| one.id.to_string() == member.target));
        target.and_then(|target| target.price.as_ref()).map_or(f64::MAX, |price| price.rates.output)
    };
    let first = || known.iter().find(|one| one.capabilities.kind == standin::ModelKind::Chat);
    let cheapest = || runtime.routes.keys().filter(chats).min_by(|a, b| price(a).total_cmp(&price(b)));
    let model = server.default_route.clone();
    let model = model.or_else(|| cheapest().cloned());
    let model = model.or_else(|| first().map(|target| target.id.to_string()))?;
    let scheme = if server.tls.is_some() { "https" } else { "http" };
    let address = reachable(address);
    let insecure = if server.tls.is_some() { " -k" } else { "" };
    let clients = server.keys.iter().any(|key| !key.operator);
    let key = if clients { " -H \"authorization: Bearer $STANDIN_KEY\"" } else { "" };
    let body = serde_json::json!({"model": model, "messages": [{"role": "user", "content": "Say hello"}]});
    let body = body.to_string().replace('\'', "'\\''");
    Some(format!(
        "curl{insecure} {scheme}://{address}/v1/chat/completions{key} -H 'content-type: application/json' -d '{body}'"
    ))
}

/// The signals that tell the program to reload and to stop.
struct Signals {
    hang_up: Signal,
    terminate: Signal,
    interrupt: Signal,
    /// Start the program that is on the disk now as the next process.
    hand_over: Signal,
    /// This signal comes when a file, for example the log's, reaches the system's size limit; it would end the program.
    _file_full: Signal,
}

/// `SIGXFSZ`, the same number on all systems.
const FILE_FULL: i32 = 25;

impl Signals {
    fn listen() -> std::io::Result<Self> {
        let (hang_up, terminate) = (signal(SignalKind::hangup())?, signal(SignalKind::terminate())?);
        let (interrupt, file_full) = (signal(SignalKind::interrupt())?, signal(SignalKind::from_raw(FILE_FULL))?);
        let hand_over = signal(SignalKind::user_defined2())?;
        Ok(Self { hang_up, terminate, interrupt, hand_over, _file_full: file_full })
    }
}

/// Serves until a signal to stop, or until another process serves in its place, and tells whether one does. Reloads the
/// file when it changes or at a signal.
async fn until_told(
    mut signals: Signals,
    sidecar: &Sidecar,
    next: &Successor,
    file: Option<&Path>,
    at: &ListenAddress,
) -> bool {
    let mut look = tokio::time::interval(LOOK);
    let mut seen = file.and_then(stamp);
    let certificate = || sidecar.certificate_files().iter().map(|file| stamp(file)).collect::<Vec<_>>();
    let mut seen_certificate = certificate();
    let mut hands_over = false;
    loop {
        let told = tokio::select! {
            _ = signals.interrupt.recv() => return false,
            _ = signals.terminate.recv() => return false,
            _ = signals.hand_over.recv() => {
                hands_over = true;
                if sidecar.is_behind() {
                    tracing::info!("another process follows once the one before this has ended");
                }
                continue;
            }
            () = sidecar.wait_for_store(), if hands_over => match next.start(sidecar).await {
                Ok(process) => {
                    tracing::info!(process, "another process serves on these sockets now");
                    return true;
                }
                Err(problem) => {
                    tracing::error!(problem, "the next process did not start: this one goes on serving");
                    hands_over = false;
                    continue;
                }
            },
            _ = signals.hang_up.recv() => true,
            _ = look.tick() => false,
        };
        let Some(file) = file else {
            if told {
                tracing::warn!("there is no file to reload");
            }
            continue;
        };
        let now = stamp(file);
        if told || now != seen {
            seen = now;
            reload(sidecar, file, at).await;
        }
        // A renewal writes two files: a pair that does not match yet is read again with the second file.
        let now = certificate();
        if now != seen_certificate {
            seen_certificate = now;
            match sidecar.renew_certificate() {
                Ok(()) => tracing::info!("the certificate was reloaded"),
                Err(error) => tracing::error!(%error, "the certificate stays as it was"),
            }
        }
    }
}

async fn reload(sidecar: &Sidecar, file: &Path, at: &ListenAddress) {
    let place = |server: &mut ServerConfig| sidecar.place(server);
    let refuse = |problem: &str| {
        for problem in problem.lines() {
            tracing::error!(problem, "the configuration stays as it was");
        }
    };
    let mut settings = match load::read(file, &place) {
        Ok((settings, warnings)) => {
            warn(&warnings);
            settings
        }
        Err(problem) => return refuse(&problem),
    };
    at.place(&mut settings.server);
    if let Err(problem) = load::check(&settings, Some(file), &place) {
        return refuse(&problem);
    }
    match sidecar.reload(settings).await {
        Ok(()) => tracing::info!(file = %file.display(), "reloaded"),
        Err(error) => tracing::error!(%error, "the configuration stays as it was"),
    }
}

fn warn(warnings: &[String]) {
    for warning in warnings {
        tracing::warn!("{warning}");
    }
}

/// Tells versions of a file apart.
fn stamp(file: &Path) -> Option<(PathBuf, SystemTime, u64)> {
    let path = file.canonicalize().ok()?;
    let data = path.metadata().ok()?;
    Some((path, data.modified().ok()?, data.len()))
}

//! The tests' kit: a runtime over scripted providers, a reader of streams, and helpers to inspect both.

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use standin::health::Health;
use standin::runtime::{Events, ProviderStatus};
use standin::testing::{Latency, Record, Script, Scripted, actor_counts};
use standin::{
    ChatRequest, Config, Error, Event, FailureClass, Finished, ModelConfig, ProviderConfig, ReplyEvent, ReplyStream,
    RouteConfig, Runtime, Strategy, TargetId,
};

/// A millisecond.
pub const MS: Duration = Duration::from_millis(1);
/// A second.
pub const S: Duration = Duration::from_secs(1);

/// A folder of its own, which is deleted at its end.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static FOLDERS: AtomicU32 = AtomicU32::new(0);
        let name = format!("standin-it-{}-{}", std::process::id(), FOLDERS.fetch_add(1, Relaxed));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        Self(folder)
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// Scripted providers `a`, `b`, … with one model `m` each, behind the route `smart`, in that order of preference.
pub struct World {
    pub runtime: Runtime,
    pub providers: Vec<Scripted>,
    /// As the runtime was started, to reconfigure from.
    pub config: Config,
}

/// Returns a configuration over scripted providers, by the strategy `priority`.
pub fn config(scripts: &[Scripted]) -> Config {
    config_with(scripts, &ModelConfig::default())
}

pub fn config_with(scripts: &[Scripted], model: &ModelConfig) -> Config {
    let mut config = Config { seed: Some(7), ..Config::default() };
    let mut route = RouteConfig::default();
    route.options.strategy = Strategy::Priority;
    for (scripted, name) in scripts.iter().zip(NAMES) {
        config.providers.insert(name.into(), provider(name, scripted).model_with("m", model.clone()));
        route.targets.push(format!("{name}/m").as_str().into());
    }
    config.routes.insert("smart".into(), route);
    config
}

/// Returns a provider of that name without models.
pub fn provider(name: &str, scripted: &Scripted) -> ProviderConfig {
    let mut provider = ProviderConfig::new(format!("http://{name}.test/v1"));
    provider.custom = Some(Arc::new(scripted.clone()));
    provider
}

/// Starts a runtime over this many providers of one script.
pub async fn world(count: usize, script: Script) -> World {
    world_with(count, script, |_| {}).await
}

pub async fn world_with(count: usize, script: Script, edit: impl FnOnce(&mut Config)) -> World {
    let providers: Vec<Scripted> = (0..count).map(|_| Scripted::new(script.clone())).collect();
    let mut config = config(&providers);
    edit(&mut config);
    let runtime = start(config.clone()).await;
    World { runtime, providers, config }
}

pub async fn start(config: Config) -> Runtime {
    Runtime::builder().config(config).start().await.expect("starts")
}

/// A provider that takes its time: 200 ms to the first token, 20 ms a token.
pub fn unhurried() -> Script {
    Script { first_token: Latency::Fixed(200 * MS), per_token: 20 * MS, ..Script::default() }
}

pub fn ask(text: &str) -> ChatRequest {
    ChatRequest::new("smart").user(text)
}

/// A text of this many different words, each of them a token.
pub fn words(count: usize) -> String {
    (0..count).map(|word| format!("w{word}")).collect::<Vec<_>>().join(" ")
}

/// Lets all due timers and tasks run.
pub async fn settle() {
    tokio::time::sleep(60 * MS).await;
}

pub fn target(id: &str) -> TargetId {
    let (provider, model) = id.split_once('/').expect("provider/model");
    TargetId::new(provider, model)
}

impl World {
    pub fn status(&self, provider: &str) -> ProviderStatus {
        status(&self.runtime, provider)
    }

    pub fn incarnations(&self, provider: &str) -> u64 {
        self.provider(provider).incarnations
    }

    fn provider(&self, name: &str) -> standin::runtime::ProviderHealth {
        let providers = self.runtime.health().providers;
        providers.into_iter().find(|provider| &*provider.name == name).expect("such a provider")
    }

    pub fn health(&self, id: &str) -> Health {
        *self.runtime.health().target(&target(id)).expect("such a target")
    }

    /// Attempts in flight at all targets.
    pub fn in_flight(&self) -> u32 {
        let providers = self.runtime.health().providers;
        providers.iter().flat_map(|provider| &provider.targets).map(|(_, health)| health.in_flight).sum()
    }

    /// Checks that no call has left anything behind.
    pub fn assert_idle(&self) {
        let actor_counts = actor_counts(&self.runtime);
        assert_eq!((actor_counts.calls, actor_counts.attempts), (0, 0), "actors of calls are left");
        assert_eq!(self.runtime.health().calls, 0, "places are taken");
        assert_eq!(self.in_flight(), 0, "attempts are counted in flight");
        for (at, provider) in self.providers.iter().enumerate() {
            assert_eq!(provider.counts().in_flight, 0, "provider {} still works", NAMES[at]);
        }
    }

    /// Waits until a provider has this status.
    pub async fn until(&self, provider: &str, is: impl Fn(ProviderStatus) -> bool) {
        for _ in 0..200_000 {
            if is(self.status(provider)) {
                return;
            }
            tokio::time::sleep(MS).await;
        }
        panic!("{provider} is {:?} for ever", self.status(provider));
    }
}

pub fn status(runtime: &Runtime, provider: &str) -> ProviderStatus {
    let providers = runtime.health().providers;
    providers.iter().find(|known| &*known.name == provider).expect("such a provider").status
}

pub fn is_up(status: ProviderStatus) -> bool {
    status == ProviderStatus::Up
}

pub fn is_resting(status: ProviderStatus) -> bool {
    matches!(status, ProviderStatus::Resting(_))
}

/// All events so far.
pub fn events(events: &mut Events) -> Vec<Event> {
    std::iter::from_fn(|| events.try_next()).collect()
}

/// A stream as its reader saw it.
#[derive(Debug, Default)]
pub struct Seen {
    pub events: Vec<ReplyEvent>,
    pub error: Option<Error>,
}

impl Seen {
    /// The text since the last `Started`.
    pub fn text(&self) -> String {
        let from = self.events.iter().rposition(|event| matches!(event, ReplyEvent::Started { .. })).unwrap_or(0);
        let texts = self.events[from..].iter().filter_map(|event| match event {
            ReplyEvent::Text(text) => Some(text.as_str()),
            _ => None,
        });
        texts.collect()
    }

    /// The kinds of events in order, neighbours of one kind once.
    pub fn shape(&self) -> String {
        let mut kinds: Vec<String> = Vec::new();
        for event in &self.events {
            let kind = match event {
                ReplyEvent::Started { target, attempt, .. } => format!("{target}#{attempt}"),
                ReplyEvent::Text(_) => "text".into(),
                ReplyEvent::Reasoning(_) => "reasoning".into(),
                ReplyEvent::ToolCall(_) => "tool".into(),
                ReplyEvent::Reset(failure) => format!("reset({})", failure.class),
                ReplyEvent::Finished(_) => "finished".into(),
                other => format!("{other:?}"),
            };
            if kinds.last() != Some(&kind) {
                kinds.push(kind);
            }
        }
        kinds.extend(self.error.as_ref().map(|error| error.name().to_owned()));
        kinds.join(" ")
    }

    pub fn finished(&self) -> &Finished {
        match self.events.last() {
            Some(ReplyEvent::Finished(finished)) => finished,
            _ => panic!("not finished: {} {:?}", self.shape(), self.error),
        }
    }
}

/// Reads a stream to its end, and makes sure that it has only one.
pub async fn read(mut stream: ReplyStream) -> Seen {
    let mut seen = Seen::default();
    while let Some(item) = stream.next().await {
        assert!(seen.error.is_none(), "something came after the error");
        assert!(!matches!(seen.events.last(), Some(ReplyEvent::Finished(_))), "something came after the end");
        match item {
            Ok(event) => seen.events.push(event),
            Err(error) => seen.error = Some(error),
        }
    }
    assert!(stream.next().await.is_none(), "a stream that ended stays ended");
    seen
}

/// Asks for a stream and reads it.
pub async fn stream(runtime: &Runtime, request: ChatRequest) -> Seen {
    match runtime.stream(request).await {
        Ok(stream) => read(stream).await,
        Err(error) => Seen { error: Some(error), ..Seen::default() },
    }
}

/// The attempts of an end, like `a/m cut, b/m won`.
pub fn path(attempts: &[standin::AttemptRecord]) -> String {
    let step = |record: &standin::AttemptRecord| format!("{} {}", record.target, record.end.name());
    attempts.iter().map(step).collect::<Vec<_>>().join(", ")
}

/// How the provider saw its requests end, in order.
pub fn outcomes(provider: &Scripted) -> Vec<standin::testing::Outcome> {
    provider.log().iter().map(|record: &Record| record.outcome).collect()
}

/// How many attempts at a target the ledger counts with this class.
pub fn failed(runtime: &Runtime, id: &str, class: FailureClass) -> u64 {
    let totals = runtime.totals();
    let totals = totals.iter().find(|(known, _)| *known == target(id));
    totals.and_then(|(_, totals)| totals.failed.get(&class).copied()).unwrap_or(0)
}

/// Joins tasks, and fails if one hangs for an hour.
pub async fn all<T: Debug>(tasks: Vec<tokio::task::JoinHandle<T>>) -> Vec<T> {
    let mut results = Vec::with_capacity(tasks.len());
    for task in tasks {
        let result = tokio::time::timeout(3_600 * S, task).await.expect("nobody hangs");
        results.push(result.expect("no task panics"));
    }
    results
}

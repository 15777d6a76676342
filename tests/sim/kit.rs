//! A day at work: agents that call at random times, three providers that are watched, and the result.

use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use standin::testing::{Answer, Answers, Form, Latency, Script, Scripted};
use standin::{
    AttemptRecord, ChatRequest, Config, Error, Event, ModelConfig, ProviderConfig, ReplyEvent, ResponseFormat,
    RouteConfig, Runtime,
};
use standin::{BoxFuture, HttpRequest, HttpResponse, Transport, TransportError};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

pub const SECOND: Duration = Duration::from_secs(1);
pub const MINUTE: Duration = Duration::from_secs(60);
pub const HOUR: Duration = Duration::from_secs(3_600);

/// How the agents work.
#[derive(Clone, Debug)]
pub struct Work {
    pub seed: u64,
    /// Mean time between two calls; they come at random times.
    pub every: Duration,
    pub lasting: Duration,
    /// Length of an answer.
    pub words: usize,
    /// Whether answers are read as streams; else whole.
    pub stream: bool,
    pub json: bool,
    /// Usual times to the first token. The runtime is told, or it would need a while to learn them. A is the fastest,
    /// and so the first choice, unless a test says otherwise.
    pub first_tokens: [Duration; 3],
    /// A burst: this many times the calls, from one time to another.
    pub burst: Option<(u32, Duration, Duration)>,
    /// Each provider's keys, as configured.
    pub keys: Vec<&'static str>,
}

impl Default for Work {
    fn default() -> Self {
        Self {
            seed: 1,
            every: SECOND,
            lasting: 10 * MINUTE,
            words: 12,
            stream: false,
            json: false,
            first_tokens: [400, 600, 600].map(Duration::from_millis),
            burst: None,
            keys: Vec::new(),
        }
    }
}

/// A provider, and everything that was sent to it.
#[derive(Clone, Debug)]
pub struct Provider {
    pub scripted: Scripted,
    born: Instant,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// One request, as it arrived.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub at: Duration,
    /// The answer's head: when, its status, and the time it asks to wait.
    pub head: Option<(Duration, u16, Option<Duration>)>,
}

impl Provider {
    fn new(script: Script) -> Self {
        Self { scripted: Scripted::new(script), born: Instant::now(), seen: Arc::default() }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Requests that arrived in that time.
    pub fn seen_in(&self, from: Duration, to: Duration) -> usize {
        self.seen().iter().filter(|seen| (from..to).contains(&seen.at)).count()
    }

    /// Requests that arrived although an answer before them had asked to wait.
    pub fn pestered(&self) -> usize {
        let seen = self.seen();
        let waits = seen.iter().filter_map(|seen| seen.head.and_then(|(at, _, wait)| Some((at, at + wait?))));
        let waits: Vec<_> = waits.collect();
        let within = |at: Duration| waits.iter().any(|(from, until)| *from < at && at < *until);
        seen.iter().filter(|seen| within(seen.at)).count()
    }
}

impl Transport for Provider {
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, TransportError>> {
        let place = {
            let mut seen = self.seen.lock().unwrap();
            seen.push(Seen { at: self.born.elapsed(), head: None });
            seen.len() - 1
        };
        Box::pin(async move {
            let answer = self.scripted.send(request).await;
            if let Ok(response) = &answer {
                let wait = response.headers.get("retry-after").and_then(|wait| wait.to_str().ok()?.parse().ok());
                let wait = wait.filter(|_| response.status != 200).map(Duration::from_secs);
                self.seen.lock().unwrap()[place].head = Some((self.born.elapsed(), response.status, wait));
            }
            answer
        })
    }
}

/// A runtime at work.
#[derive(Clone)]
pub struct World {
    pub runtime: Runtime,
    pub providers: Vec<Provider>,
    pub born: Instant,
}

impl World {
    pub fn a(&self) -> &Scripted {
        &self.providers[0].scripted
    }
}

/// The result of one call.
#[derive(Clone, Debug)]
pub struct Done {
    pub at: Duration,
    pub took: Duration,
    pub result: Result<String, Error>,
    pub attempts: Vec<AttemptRecord>,
}

/// The result of a day.
pub struct Day {
    pub world: World,
    pub calls: Vec<Done>,
    pub events: Vec<(Duration, Event)>,
}

impl Day {
    pub fn failures(&self) -> Vec<&Done> {
        self.calls.iter().filter(|call| call.result.is_err()).collect()
    }

    /// Requests that arrived anywhere.
    pub fn attempts(&self) -> usize {
        self.world.providers.iter().map(|provider| provider.seen().len()).sum()
    }

    /// Requests to a provider that it did not answer well.
    pub fn wasted_at(&self, provider: usize) -> usize {
        let provider = &self.world.providers[provider];
        provider.seen().len() - usize::try_from(provider.scripted.answered()).unwrap()
    }

    pub fn pestered(&self) -> usize {
        self.world.providers.iter().map(Provider::pestered).sum()
    }

    /// How often a provider's breaker opened.
    pub fn opened(&self, provider: &str) -> usize {
        let opens =
            |event: &Event| matches!(event, Event::Breaker { target, to: "open", .. } if *target.provider == *provider);
        self.events.iter().filter(|(_, event)| opens(event)).count()
    }

    pub fn quantile(&self, quantile: f64) -> Duration {
        let mut took: Vec<_> = self.calls.iter().map(|call| call.took).collect();
        took.sort_unstable();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "small"
        )]
        let place = (took.len() as f64 * quantile) as usize;
        took[place.min(took.len() - 1)]
    }

    /// Everything that happened, to be compared with another day.
    pub fn trace(&self) -> String {
        let mut trace = String::new();
        for (at, event) in &self.events {
            match event {
                // The runtime's number differs in each run.
                Event::Hedged { target, by, why, .. } => writeln!(trace, "{at:?} {target} joined by {by}: {why}"),
                event => writeln!(trace, "{at:?} {event:?}"),
            }
            .unwrap();
        }
        for call in &self.calls {
            writeln!(trace, "{:?} {:?} {:?}", call.at, call.took, call.result).unwrap();
            for attempt in &call.attempts {
                let mut attempt = attempt.clone();
                // Another runtime's number, at another hour by the wall's clock.
                attempt.call.runtime = 0;
                let about = Arc::make_mut(&mut attempt.about);
                (about.id, about.started_at) = (attempt.call, SystemTime::UNIX_EPOCH);
                writeln!(trace, "  {attempt:?}").unwrap();
            }
        }
        trace
    }
}

/// The events while the agents work.
pub type Plot = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs a day on a clock of its own. `script` changes the providers' usual behaviour, `plot` switches faults.
pub fn day(work: &Work, script: impl Fn(usize, Script) -> Script, plot: impl FnOnce(World) -> Plot) -> Day {
    let clock = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    clock.block_on(async {
        let world = world(work, script).await;
        let others = tokio::spawn(plot(world.clone()));
        let day = agents(work, world).await;
        others.abort();
        day
    })
}

async fn world(work: &Work, script: impl Fn(usize, Script) -> Script) -> World {
    told(work, script, Some).await
}

/// The same, with a runtime without configured times of its providers.
pub async fn unmeasured(work: &Work, script: impl Fn(usize, Script) -> Script) -> World {
    told(work, script, |_| None).await
}

async fn told(
    work: &Work,
    script: impl Fn(usize, Script) -> Script,
    usual: impl Fn(Duration) -> Option<Duration>,
) -> World {
    let (words, born) = (work.words, Instant::now());
    let answer = move |question: &standin::testing::Question| {
        let text = text(words);
        Answer::text(if question.form == Form::Text { text } else { format!("{{\"answer\": \"{text}\"}}") })
    };
    let providers = (0..3).map(|index| {
        let usual = Script {
            seed: work.seed * 10 + u64::try_from(index).unwrap(),
            head: Duration::from_millis(150),
            first_token: Latency::LogNormal { median: work.first_tokens[index], sigma: 0.5 },
            per_token: Duration::from_millis(20),
            answers: Answers::by(answer),
            log_max: 0,
            ..Script::default()
        };
        Provider::new(script(index, usual))
    });
    let providers: Vec<Provider> = providers.collect();
    let mut config = Config { seed: Some(work.seed), ..Config::default() };
    let mut route = RouteConfig::default();
    for ((provider, name), first_token) in providers.iter().zip(["a", "b", "c"]).zip(work.first_tokens) {
        let model = ModelConfig { ttft_median: usual(first_token), ..ModelConfig::default() };
        let mut configured = ProviderConfig::new(format!("http://{name}.test/v1")).model_with("m", model);
        configured.custom = Some(Arc::new(provider.clone()));
        configured = work.keys.iter().fold(configured, |configured, key| configured.key(*key));
        config.providers.insert(name.into(), configured);
        route.targets.push(format!("{name}/m").as_str().into());
    }
    config.routes.insert("smart".into(), route);
    let runtime = Runtime::builder().config(config).start().await.expect("starts");
    World { runtime, providers, born }
}

async fn agents(work: &Work, world: World) -> Day {
    let born = world.born;
    let events = Arc::new(Mutex::new(Vec::new()));
    let mut told = world.runtime.subscribe();
    let listener = tokio::spawn({
        let events = events.clone();
        async move {
            while let Some(event) = told.next().await {
                events.lock().unwrap().push((born.elapsed(), event));
            }
        }
    });
    let mut rng = SmallRng::seed_from_u64(work.seed);
    let mut calls = JoinSet::new();
    let mut at = Duration::ZERO;
    let mut number = 0;
    let mut done = Vec::new();
    loop {
        // Exponential: agents know nothing of each other.
        let burst = work.burst.filter(|(_, from, to)| (*from..*to).contains(&at)).map_or(1, |(times, ..)| times);
        at += (work.every / burst).mul_f64(-(1.0 - rng.random::<f64>()).ln());
        if at >= work.lasting {
            break;
        }
        sleep_until(born + at).await;
        let (runtime, work) = (world.runtime.clone(), work.clone());
        calls.spawn(async move { (number, call(&runtime, &work, born).await) });
        number += 1;
        while let Some(call) = calls.try_join_next() {
            done.push(call.expect("no caller panics"));
        }
    }
    while let Some(call) = calls.join_next().await {
        done.push(call.expect("no caller panics"));
    }
    done.sort_by_key(|(number, _)| *number);
    listener.abort();
    let events = std::mem::take(&mut *events.lock().unwrap());
    Day { world, calls: done.into_iter().map(|(_, done)| done).collect(), events }
}

pub async fn call(runtime: &Runtime, work: &Work, born: Instant) -> Done {
    let mut request =
        ChatRequest::new("smart").user("What shall we do today, and in which order? Answer in JSON if asked to.");
    if work.json {
        request.response_format = ResponseFormat::Json;
    }
    let begun = Instant::now();
    let result = if work.stream { streamed(runtime, request).await } else { whole(runtime, request).await };
    let (result, attempts) = match result {
        Ok((text, attempts)) => (Ok(text), attempts),
        Err(error) => {
            let attempts = error.attempts().to_vec();
            (Err(error), attempts)
        }
    };
    Done { at: begun - born, took: begun.elapsed(), result, attempts }
}

type Answered = (String, Vec<AttemptRecord>);

async fn whole(runtime: &Runtime, request: ChatRequest) -> Result<Answered, Error> {
    let reply = runtime.chat(request).await?;
    Ok((reply.text, reply.finished.attempts))
}

/// Reads a stream as its documentation says it is to be read.
async fn streamed(runtime: &Runtime, request: ChatRequest) -> Result<Answered, Error> {
    let mut stream = runtime.stream(request).await?;
    let mut text = String::new();
    while let Some(event) = stream.next().await {
        match event? {
            ReplyEvent::Text(more) => text.push_str(&more),
            ReplyEvent::Reset(_) => text.clear(),
            ReplyEvent::Finished(finished) => return Ok((text, finished.attempts)),
            _ => {}
        }
    }
    panic!("a stream without an end");
}

/// The answer to everything.
pub fn text(words: usize) -> String {
    let words: Vec<String> = (1..=words).map(|word| format!("w{word}")).collect();
    words.join(" ")
}

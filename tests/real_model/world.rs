//! The rehearsal's world: the real server, two drill providers beside it, and the runtime over the three.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderMap;
use standin::drill::Drill;
use standin::health::{BreakerState, Health};
use standin::testing::{Latency, Script};
use standin::{BoxFuture, Http, HttpRequest, HttpResponse, Transport, TransportError, TransportOptions};
use standin::{ChatRequest, Config, Event, ModelConfig, ProviderConfig, RouteConfig, Runtime, Strategy, TargetId};

/// The server's name for its model.
pub const MODEL: &str = "smollm2-135m";
/// The server's window: 4 096 tokens, shared by its 4 slots.
pub const WINDOW: u32 = 1_024;

/// The real server.
#[derive(Clone)]
pub struct Server {
    url: String,
    pid_file: PathBuf,
    client: reqwest::Client,
}

impl Server {
    pub fn new(url: String, pid_file: PathBuf) -> Self {
        // No pool: requests past the runtime must not meet connections of a server that died.
        let client = reqwest::Client::builder().pool_max_idle_per_host(0).no_proxy().build().expect("a client");
        Self { url, pid_file, client }
    }

    /// Sends a signal to the server's process.
    pub fn signal(&self, name: &str) {
        let pid = std::fs::read_to_string(&self.pid_file).expect("the server's process id");
        let pid: u32 = pid.trim().parse().expect("a process id");
        let status = Command::new("sh").arg("-c").arg(format!("kill -{name} {pid}")).status().expect("a shell");
        assert!(status.success(), "SIG{name} did not reach process {pid}");
    }

    /// Posts a body past the runtime; returns status, headers and body.
    pub async fn post(&self, body: impl Into<reqwest::Body>) -> reqwest::Result<(u16, HeaderMap, Vec<u8>)> {
        let response = self.client.post(format!("{}/v1/chat/completions", self.url)).body(body).send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok((status, headers, response.bytes().await?.to_vec()))
    }

    /// Returns how many slots generate, by the server's own account.
    pub async fn busy(&self) -> usize {
        let slots = self.client.get(format!("{}/slots", self.url)).send().await.expect("slots");
        slots.text().await.expect("slots").matches("\"is_processing\":true").count()
    }

    /// Returns where it listens, `host:port`.
    pub fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }
}

/// Sends half of every body: a caller whose JSON is broken.
#[derive(Debug)]
struct Halved(Http);

impl Transport for Halved {
    fn send(&self, mut request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, TransportError>> {
        let whole = request.body.whole();
        request.body = whole.slice(..whole.len() / 2).into();
        self.0.send(request)
    }
}

pub struct World {
    pub server: Server,
    pub runtime: Runtime,
    pub drills: [Drill; 2],
    /// The real model, as a target.
    pub real: TargetId,
}

impl World {
    /// Starts drills and runtime. `smart` is adaptive over all three; money counts more than time, so that it belongs
    /// to the free local model as long as that is well.
    pub async fn start(server: Server) -> Self {
        let drills = [drill("small").await, drill("large").await];
        let local =
            ModelConfig { price: Some(price(0.0, 0.0)), context_tokens_max: Some(WINDOW), ..ModelConfig::default() };
        let mut real = ProviderConfig::new(format!("{}/v1", server.url))
            // Shorter than by default, so that all of it can be seen within minutes: 15, 5 and 30 s.
            .model_with(MODEL, ModelConfig { stall: Some(Duration::from_secs(4)), ..local.clone() })
            .model("no-such-model");
        real.breaker.cooldown_base = Duration::from_secs(2);
        real.breaker.ramp_step_min = Duration::from_secs(1);
        let mut broken = ProviderConfig::new(format!("{}/v1", server.url)).model(MODEL);
        broken.custom = Some(Arc::new(Halved(Http::new(&TransportOptions::default()).expect("a transport"))));

        let small = ModelConfig { price: Some(price(3.0, 15.0)), ..local };
        let large =
            ModelConfig { price: Some(price(5.0, 25.0)), context_tokens_max: Some(128_000), ..ModelConfig::default() };
        let fallbacks = ["drill-a/small", "drill-b/large"];
        let route = |first: &str| RouteConfig::new([&*format!("{first}/{MODEL}"), fallbacks[0], fallbacks[1]]);
        let mut smart = route("llama");
        smart.options.second_value.default = 0.0001;
        let mut broken_first = route("broken");
        broken_first.options.strategy = Strategy::Priority;

        let runtime = Runtime::builder()
            .with(|config: &mut Config| config.seed = Some(7))
            .provider("llama", real)
            .provider("broken", broken)
            .provider("drill-a", ProviderConfig::new(drills[0].base_url()).model_with("small", small))
            .provider("drill-b", ProviderConfig::new(drills[1].base_url()).model_with("large", large))
            .route("smart", smart)
            .route("broken", broken_first)
            .start()
            .await
            .expect("a runtime");
        for target in fallbacks {
            // One that was never used keeps a share of the draw.
            runtime.chat(ask(target, "hello")).await.expect("a drill answers");
        }
        Self { server, runtime, drills, real: TargetId::new("llama", MODEL) }
    }

    /// Returns the real model's health as published.
    pub fn health(&self) -> Health {
        *self.runtime.health().target(&self.real).expect("the real model")
    }

    /// Tells whether the real model's breaker lets calls through.
    pub fn lets_through(&self) -> bool {
        matches!(self.health().breaker, BreakerState::Closed | BreakerState::Ramp { .. })
    }

    /// Tells whether its breaker is closed.
    pub fn is_closed(&self) -> bool {
        self.health().breaker == BreakerState::Closed
    }

    /// Returns how many attempts the real model has won.
    pub fn won(&self) -> u64 {
        let totals = self.runtime.totals();
        totals.iter().find(|(target, _)| *target == self.real).map_or(0, |(_, totals)| totals.won)
    }

    /// Tells whether the route's traffic belongs to the real model: its part of the draw is nearly all of it.
    pub async fn is_home(&self) -> bool {
        let explained = self.runtime.explain(ask("smart", "where to?")).await.expect("an explanation");
        let own = explained.planned.iter().find(|considered| considered.target == self.real);
        own.and_then(|considered| considered.score).is_some_and(|score| score.share > 0.9)
    }

    /// Waits until something holds; returns how long that took.
    pub async fn until(&self, what: &str, most: Duration, holds: impl AsyncFn() -> bool) -> Duration {
        let since = Instant::now();
        while !holds().await {
            let health = self.health();
            assert!(since.elapsed() < most, "{what}: not within {most:?}; {health:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        since.elapsed()
    }

    /// Prints the transitions of the real model's breaker as they happen.
    pub fn watch(&self) {
        let (mut events, real, born) = (self.runtime.subscribe(), self.real.clone(), Instant::now());
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                match event {
                    Event::Breaker { target, from, to, .. } if target == real => {
                        println!("    {:6.2} s  breaker: {from} -> {to}", born.elapsed().as_secs_f64());
                    }
                    Event::Degraded { target, raised } if target == real => {
                        println!("    {:6.2} s  degraded: {raised}", born.elapsed().as_secs_f64());
                    }
                    _ => {}
                }
            }
        });
    }
}

/// A request for a short answer.
pub fn ask(route: &str, text: &str) -> ChatRequest {
    ChatRequest { output_tokens_max: Some(24), ..ChatRequest::new(route).user(text) }
}

/// A paid provider elsewhere: it repeats what it is told, word by word.
async fn drill(model: &str) -> Drill {
    let script = Script {
        models: vec![model.into()],
        first_token: Latency::LogNormal { median: Duration::from_millis(300), sigma: 0.3 },
        per_token: Duration::from_millis(15),
        ..Script::default()
    };
    Drill::start(script).await.expect("a free port")
}

fn price(input: f64, output: f64) -> standin::config::PriceConfig {
    standin::config::PriceConfig::new(input, output)
}

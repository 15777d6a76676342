//! Hung targets on the real clock and real sockets: with a paused clock timers never fire late.
//!
//! Many sidecars at once, each over two to five providers of which at least one is well and the others are slow or hang
//! in some way, are called one call after the other with deadlines of one to twenty seconds, whole and streamed. No
//! call may end without an answer, and no target that answers may be left. `STANDIN_SEED` chooses other worlds, and
//! `STANDIN_REAL_SECONDS` how long calls are begun (10 s).

mod hedging;
mod keys;
mod leavers;
mod pairs;
mod parked;
mod queue;
mod scenarios;
mod shares;
mod short;
mod silence;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use standin::config::DialectConfig;
use standin::drill::Drill;
use standin::sidecar::{Settings, Sidecar};
use standin::testing::{Fault, Latency, Script};
use standin::{ChatRequest, ModelConfig, ProviderConfig, RouteConfig, Runtime, Strategy};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// Each test has the machine to itself: they are about time.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

const WORLDS: u64 = 40;
const SECONDS: u64 = 10;
const MS: fn(u64) -> Duration = Duration::from_millis;

/// How a target behaves.
#[derive(Clone, Debug)]
enum Nature {
    Well,
    /// It answers after a time like this.
    Slow(Duration),
    Hung(Fault),
    /// Its connections are not accepted: they are neither made nor refused.
    Dropped,
}

/// An address whose listener accepts nothing, and whose queue is full.
struct BlackHole {
    address: SocketAddr,
    _listener: TcpListener,
    _queue: Vec<JoinHandle<std::io::Result<TcpStream>>>,
}

impl BlackHole {
    async fn new() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a port");
        let listener = socket.listen(1).expect("it listens");
        let address = listener.local_addr().expect("it has one");
        let queue = (0..4).map(|_| tokio::spawn(TcpStream::connect(address))).collect();
        tokio::time::sleep(MS(50)).await;
        Self { address, _listener: listener, _queue: queue }
    }
}

impl Nature {
    fn draw(rng: &mut impl Rng) -> Self {
        match rng.random_range(0..9) {
            0 => Self::Well,
            8 => Self::Dropped,
            1 | 2 => Self::Slow(MS(rng.random_range(200..1_000))),
            3 => Self::Hung(Fault::BlackHole { every: MS(100) }),
            4 => Self::Hung(Fault::StallAfter(0)),
            _ => Self::Hung(Fault::Hang),
        }
    }

    fn script(&self, seed: u64) -> Script {
        let (median, sigma) = match self {
            Self::Slow(median) => (*median, 0.5),
            _ => (MS(10), 0.3),
        };
        Script { seed, first_token: Latency::LogNormal { median, sigma }, per_token: MS(1), ..Script::default() }
    }
}

/// A sidecar over targets of these natures.
struct World {
    name: String,
    sidecar: Sidecar,
    natures: Vec<Nature>,
    _drills: (Vec<Drill>, Vec<BlackHole>),
    rng: SmallRng,
    client: reqwest::Client,
}

impl World {
    async fn new(seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let count = rng.random_range(2..=5);
        let mut natures: Vec<Nature> = (0..count).map(|_| Nature::draw(&mut rng)).collect();
        let well = rng.random_range(0..count);
        natures[well] = Nature::Well;
        let mut settings = Settings::default();
        settings.server.listen.set_port(0);
        settings.runtime.seed = Some(seed);
        let mut route = RouteConfig::default();
        let (mut drills, mut holes) = (Vec::new(), Vec::new());
        for (name, nature) in ["a", "b", "c", "d", "e"].into_iter().zip(&natures) {
            let drill = Drill::start(nature.script(seed)).await.expect("a drill");
            if let Nature::Hung(fault) = nature {
                drill.handle().always(fault.clone());
            }
            let (dialect, path) = match rng.random_range(0..4) {
                0 => (DialectConfig::Anthropic, "/v1"),
                1 => (DialectConfig::Gemini, "/v1beta"),
                _ => (DialectConfig::OpenaiChat, "/v1"),
            };
            let mut address = drill.address();
            if matches!(nature, Nature::Dropped) {
                let hole = BlackHole::new().await;
                address = hole.address;
                holes.push(hole);
            }
            let mut provider = ProviderConfig::new(format!("http://{address}{path}")).key("k");
            provider.dialect = Some(dialect);
            settings.runtime.providers.insert(name.into(), provider.model_with("m", ModelConfig::default()));
            route.targets.push(format!("{name}/m").as_str().into());
            drills.push(drill);
        }
        if rng.random_bool(0.7) {
            route.options.strategy = Strategy::Priority;
        }
        settings.runtime.routes.insert("smart".into(), route);
        let sidecar = Sidecar::start(settings).await.expect("a sidecar");
        let name = format!("world {seed} of {natures:?}");
        Self { name, sidecar, natures, _drills: (drills, holes), rng, client: reqwest::Client::new() }
    }

    /// One call, which must be answered in its time.
    async fn call(&mut self) {
        let deadline = MS(self.rng.random_range(1_000..20_000));
        let stream = self.rng.random_bool(0.5);
        let text = "one two three four five six";
        let body = json!({ "model": "smart", "stream": stream, "messages": [{ "role": "user", "content": text }] });
        let request = self
            .client
            .post(format!("http://{}/v1/chat/completions", self.sidecar.address()))
            .header("x-standin-deadline", format!("{}ms", deadline.as_millis()))
            .header("x-standin-hedging", ["sequential", "hedge", "race"][self.rng.random_range(0..3)])
            .header("content-type", "application/json")
            .body(body.to_string());
        let begun = Instant::now();
        let response = request.send().await.expect("the sidecar answers");
        let (status, said) = (response.status(), response.text().await.unwrap_or_default());
        let took = begun.elapsed();
        let whole = if stream { said.contains("[DONE]") } else { said.contains(text) };
        let what = format!("{}: {deadline:?}, stream: {stream}, after {took:?}: {status} {said}", self.name);
        assert!(status == 200 && whole, "{what}");
        assert!(took < deadline + MS(1_000), "{what}");
    }

    /// No target is left that answers.
    async fn check(&self) {
        let health = self.client.get(format!("http://{}/health", self.sidecar.address()));
        let health = health.send().await.expect("the sidecar answers").text().await.expect("a text");
        let health: Value = serde_json::from_str(&health).expect("JSON");
        for (provider, nature) in health["providers"].as_array().expect("providers").iter().zip(&self.natures) {
            let target = &provider["targets"][0];
            let is_hung = matches!(nature, Nature::Hung(_) | Nature::Dropped);
            assert!(is_hung || target["breaker"] == "closed", "{}: {nature:?} is left: {target}", self.name);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "who runs this test may choose how long, and which worlds")]
fn number(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_hung_target_ends_a_call_and_no_target_that_answers_is_left() {
    let _alone = ALONE.lock().await;
    let seed = number("STANDIN_SEED", 1) * 1_000;
    let until = Instant::now() + Duration::from_secs(number("STANDIN_REAL_SECONDS", SECONDS));
    let mut worlds = JoinSet::new();
    for world in seed..seed + WORLDS {
        worlds.spawn(async move {
            let mut world = World::new(world).await;
            let mut calls = 0;
            while Instant::now() < until && calls < 200 {
                world.call().await;
                calls += 1;
            }
            world.check().await;
            calls
        });
    }
    let mut calls = 0;
    while let Some(world) = worlds.join_next().await {
        calls += world.expect("every call is answered");
    }
    println!("{calls} calls in {WORLDS} worlds");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quick_target_that_is_measured_is_asked_in_time_behind_one_that_hangs() {
    let _alone = ALONE.lock().await;
    let script = |after| Script { first_token: Latency::Fixed(after), per_token: Duration::ZERO, ..Script::default() };
    for after in [MS(0), MS(150)] {
        let drills =
            [Drill::start(script(after)).await.expect("a drill"), Drill::start(script(after)).await.expect("one")];
        drills[0].handle().always(Fault::Hang);
        // Whole answers: the time of the answer is measured, and half of all answers take longer than their median.
        let provider = |drill: &Drill| {
            let mut provider = ProviderConfig::new(drill.base_url()).key("k").model("m");
            provider.stream_upstream = Some(false);
            provider
        };
        let mut route = RouteConfig::new(["hung/m", "quick/m"]);
        route.options.strategy = Strategy::Priority;
        let [hung, quick] = [provider(&drills[0]), provider(&drills[1])];
        let builder = Runtime::builder().provider("hung", hung).provider("quick", quick).route("smart", route);
        let runtime = builder.start().await.expect("a runtime");
        for _ in 0..40 {
            runtime.chat(ChatRequest::new("quick/m").user("hi")).await.expect("an answer");
        }
        let call = |deadline| runtime.chat(ChatRequest::new("smart").user("hi").deadline(deadline));
        for deadline in [MS(1_500), MS(3_000)] {
            // Until its breaker opens each of them waits for the one that hangs.
            let replies = futures_util::future::join_all((0..8).map(|_| call(deadline))).await;
            for reply in replies {
                let reply = reply.unwrap_or_else(|error| panic!("after {after:?}, by {deadline:?}: {error}"));
                assert_eq!(&*reply.finished.target.provider, "quick");
            }
        }
        runtime.drain(Duration::ZERO).await;
    }
}

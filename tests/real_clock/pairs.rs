//! Two faults at once on the real clock and real sockets, through the sidecar: one target is silent or fails all the
//! time, another fails a few times and is well again. Each call has time enough, and is answered.
//!
//! `STANDIN_SEED` chooses other pairs.

use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, RngExt as _, SeedableRng as _};
use serde_json::json;
use standin::config::DialectConfig;
use standin::drill::Drill;
use standin::sidecar::{Settings, Sidecar};
use standin::testing::{Fault, Latency, ProviderError, RetryHint, Script};
use standin::{ModelConfig, ProviderConfig, RouteConfig, Strategy};
use tokio::task::JoinSet;

use super::{ALONE, MS, number};

const PAIRS: u64 = 48;
/// What a caller gives a call: 15 s, shortened.
const DEADLINE: Duration = Duration::from_secs(10);
const WORDS: &str = "one two three four five six";

/// A pair of faults at two targets, in any order.
#[derive(Debug)]
struct Pair {
    /// What one target does all the time, and whether that is silence.
    lasting: (Fault, bool),
    /// What the other one does to so many requests before it is well.
    passing: (Fault, u32),
    first_passes: bool,
    warm: bool,
    stream: bool,
    again: u32,
    hedging: &'static str,
}

impl Pair {
    fn draw(rng: &mut impl Rng) -> Self {
        let lasting = match rng.random_range(0..8) {
            0 => (Fault::Error(ProviderError::Server), false),
            1 => (Fault::RateLimited(RetryHint::Seconds(Duration::from_secs(60))), false),
            2 => (Fault::Error(ProviderError::Unauthorised), false),
            3 => (Fault::BlackHole { every: MS(100) }, true),
            4 => (Fault::StallAfter(0), true),
            _ => (Fault::Hang, true),
        };
        let passing = match rng.random_range(0..6) {
            0 => Fault::Error(ProviderError::Server),
            1 => Fault::Error(ProviderError::Unavailable),
            2 => Fault::RateLimited(RetryHint::Silent),
            3 => Fault::RateLimited(RetryHint::Millis(MS(400))),
            4 => Fault::CutAfter(0),
            _ => Fault::Reset,
        };
        // Where nobody is silent a call waits a tenth of its time. Beside one that is silent each look comes half as
        // late again as the one before: two fit into this time at a cold start.
        // Of two that fail each is asked twice.
        let times = if lasting.1 { rng.random_range(1..=2) } else { 1 };
        Self {
            lasting,
            passing: (passing, times),
            first_passes: rng.random(),
            warm: rng.random(),
            stream: rng.random(),
            again: u32::from(rng.random_bool(0.2)),
            hedging: ["sequential", "hedge", "race"][rng.random_range(0..3)],
        }
    }

    /// Plays the pair, and returns how long the call took.
    async fn play(&self, seed: u64) -> Duration {
        let script = Script { seed, first_token: Latency::Fixed(MS(20)), per_token: MS(1), ..Script::default() };
        let (lasting, passing) =
            (Drill::start(script.clone()).await.expect("a drill"), Drill::start(script).await.expect("a drill"));
        let mut settings = Settings::default();
        settings.server.listen.set_port(0);
        settings.runtime.seed = Some(seed);
        for (name, drill) in [("lasting", &lasting), ("passing", &passing)] {
            // A limit of Gemini's that says no time is one of a day.
            let is_of_day = self.passing.0 == Fault::RateLimited(RetryHint::Silent);
            let (dialect, path) = match seed % 3 {
                0 => (DialectConfig::Anthropic, "/v1"),
                1 if !is_of_day => (DialectConfig::Gemini, "/v1beta"),
                _ => (DialectConfig::OpenaiChat, "/v1"),
            };
            let mut provider = ProviderConfig::new(format!("http://{}{path}", drill.address())).key("k");
            provider.dialect = Some(dialect);
            settings.runtime.providers.insert(name.into(), provider.model_with("m", ModelConfig::default()));
        }
        let names = if self.first_passes { ["passing/m", "lasting/m"] } else { ["lasting/m", "passing/m"] };
        let mut route = RouteConfig::new(names);
        route.options.strategy = Strategy::Priority;
        route.failover.same_target_retries = Some(self.again);
        settings.runtime.routes.insert("smart".into(), route);
        let sidecar = Sidecar::start(settings).await.expect("a sidecar");
        let client = reqwest::Client::new();
        let ask = async |model: &str| {
            let body = json!({
                "model": model,
                "stream": self.stream,
                "messages": [{ "role": "user", "content": WORDS }],
            });
            let request = client
                .post(format!("http://{}/v1/chat/completions", sidecar.address()))
                .header("x-standin-deadline", format!("{}ms", DEADLINE.as_millis()))
                .header("x-standin-hedging", self.hedging)
                .header("content-type", "application/json")
                .body(body.to_string());
            let response = request.send().await.expect("the sidecar answers");
            let call = response.headers().get("x-standin-call").and_then(|call| call.to_str().ok()?.parse().ok());
            let (status, said) = (response.status(), response.text().await.unwrap_or_default());
            let whole = if self.stream { said.contains("[DONE]") } else { said.contains(WORDS) };
            let page = call.and_then(|call| sidecar.runtime().why(call)).map(|page| page.to_string());
            (status == 200 && whole, format!("{status} {said}\n{}", page.unwrap_or_default()))
        };
        for name in names.iter().filter(|_| self.warm) {
            for _ in 0..10 {
                let (answered, said) = ask(name).await;
                assert!(answered, "{self:?} while it is well: {said}");
            }
        }
        lasting.handle().always(self.lasting.0.clone());
        passing.handle().next(self.passing.1, self.passing.0.clone());
        let before = passing.handle().received();
        let begun = Instant::now();
        let (answered, said) = ask("smart").await;
        let took = begun.elapsed();
        let asked = passing.handle().received() - before;
        assert!(answered, "{self:?} of seed {seed}: after {took:?}, {asked} times asked: {said}");
        // Once for each failure, once more for a connection that broke, and the answer; a hedge, too.
        assert!(asked <= u64::from(2 * self.passing.1 + 3), "{self:?}: asked {asked} times");
        took
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_faults_at_once_the_one_that_passes_is_outlived_by_the_real_clock() {
    let _alone = ALONE.lock().await;
    let first = number("STANDIN_SEED", 1) * 1_000;
    let mut took = Vec::new();
    // Some at a time: they are about time.
    for some in (first..first + PAIRS).collect::<Vec<_>>().chunks(12) {
        let mut playing = JoinSet::new();
        for &seed in some {
            playing.spawn(async move { Pair::draw(&mut SmallRng::seed_from_u64(seed)).play(seed).await });
        }
        while let Some(one) = playing.join_next().await {
            took.push(one.expect("it is answered"));
        }
    }
    took.sort_unstable();
    println!("{PAIRS} pairs: half are answered within {:?}, all within {:?}", took[took.len() / 2], took.last());
}

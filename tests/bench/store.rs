//! What keeping costs: a call with a store beside the same call without one, in one run; and how many records a second
//! are kept up with.
//!
//! `cargo bench --features sidecar --bench store`. What ten million entries answer within:
//! `cargo test --features sidecar --lib ten_million -- --ignored --nocapture`.
//!
//! Processor time is the system's count of a thread's own (`/proc/…/schedstat`): other programs do not count.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use standin::config::{PriceConfig, StoreConfig};
use standin::runtime::{GroupBy, Question, verify_file};
use standin::{BoxFuture, HttpRequest, HttpResponse, Transport, TransportError};
use standin::{ChatRequest, Config, ModelConfig, ProviderConfig, RouteConfig, Runtime};

/// Calls of a round, and rounds of each.
const ROUND: u32 = 2_000;
const ROUNDS: usize = 25;
/// Records a second: an attempt and a call for each call.
const PACE: u32 = 5_000;
const SECONDS: u32 = 20;

const ANSWER: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"},\"finish_reason\":\"stop\"}],\"usage\":\
                      {\"prompt_tokens\":9,\"completion_tokens\":1}}\n\ndata: [DONE]\n\n";

/// Answers at once.
#[derive(Debug)]
struct Canned;

impl Transport for Canned {
    fn send(&self, _: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, TransportError>> {
        let body = stream::iter([Ok(Bytes::from_static(ANSWER.as_bytes()))]);
        let headers = http::HeaderMap::new();
        Box::pin(async move { Ok(HttpResponse::new(200, headers, Box::pin(body))) })
    }
}

/// A folder of its own, which is deleted at its end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("standin-bench-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn runtime(file: Option<&Path>) -> Runtime {
    let model = ModelConfig { price: Some(PriceConfig::new(0.25, 2.0)), ..ModelConfig::default() };
    let config = Config { store: file.map(StoreConfig::new), ..Config::default() };
    let mut builder = Runtime::builder().config(config);
    for name in ["p", "q", "r"] {
        let mut provider = ProviderConfig::new("http://canned/v1").key("k").key("l").model_with("m", model.clone());
        provider.custom = Some(Arc::new(Canned));
        builder = builder.provider(name, provider);
    }
    for route in 0..10 {
        builder = builder.route(&*format!("route-{route}"), RouteConfig::new(["p/m", "q/m", "r/m"]));
    }
    builder.start().await.expect("a runtime")
}

/// As a house with many teams has them: routes, clients and tags meet in every mixture.
fn request(call: u32) -> ChatRequest {
    let mut request = ChatRequest::new(format!("route-{}", call % 10)).user("hello");
    request.client = Some(format!("client-{}", call / 10 % 25).into());
    request.tags.insert("team".into(), format!("team-{}", call / 7 % 23));
    request.tags.insert("run".into(), format!("run-{}", call / 40));
    request
}

/// Returns the processor time that a thread has had.
fn cpu(schedstat: &Path) -> Duration {
    let text = std::fs::read_to_string(schedstat).unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0))
}

/// Returns the processor time that the store's thread has had.
fn writers_cpu() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").expect("threads");
    let tasks = tasks.filter_map(|task| Some(task.ok()?.path()));
    let own =
        |task: &PathBuf| std::fs::read_to_string(task.join("comm")).is_ok_and(|name| name.starts_with("standin-store"));
    tasks.filter(own).map(|task| cpu(&task.join("schedstat"))).sum()
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// Calls one after another on one thread, with a store and without, in turns.
fn a_call(folder: &Path) {
    let executor = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("an executor");
    executor.block_on(async {
        let runtimes = [runtime(None).await, runtime(Some(&folder.join("call.db"))).await];
        let own = Path::new("/proc/thread-self/schedstat");
        let mut rounds = [Vec::new(), Vec::new()];
        for round in 0..=ROUNDS {
            for (runtime, rounds) in runtimes.iter().zip(&mut rounds) {
                let before = cpu(own);
                for call in 0..ROUND {
                    runtime.chat(request(call)).await.expect("an answer");
                }
                // The first fills caches.
                if round > 0 {
                    rounds.push(cpu(own).saturating_sub(before).as_secs_f64() * 1e6 / f64::from(ROUND));
                }
            }
        }
        let [without, with] = rounds.map(median);
        println!(
            "a call: {without:.1} us of its thread without a store, {with:.1} with one: {:+.1} us, {:.3} times as much",
            with - without,
            with / without
        );
        let health = runtimes[1].health().store.expect("a store");
        println!("  written {}, waiting {}, lost {}", health.written, health.waiting, health.lost);
    });
}

/// Calls at a pace, on all processors.
fn at_a_pace(folder: &Path) {
    let executor = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("an executor");
    executor.block_on(async {
        let file = folder.join("pace.db");
        let runtime = runtime(Some(&file)).await;
        let (calls, began, cpu_before) = (PACE / 2 * SECONDS, Instant::now(), writers_cpu());
        let (mut made, mut waiting) = (0, 0);
        while made < calls {
            tokio::time::sleep(Duration::from_millis(1)).await;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some thousands")]
            let due = (began.elapsed().as_secs_f64() * f64::from(PACE / 2)) as u32;
            for call in made..due.min(calls) {
                let runtime = runtime.clone();
                tokio::spawn(async move { runtime.chat(request(call)).await.expect("an answer") });
            }
            made = due.min(calls).max(made);
            waiting = waiting.max(runtime.health().store.expect("a store").waiting);
        }
        let took = began.elapsed();
        let statement = runtime.ledger(Question::by(GroupBy::All)).await.expect("a statement");
        let (health, cpu) = (runtime.health().store.expect("a store"), writers_cpu().saturating_sub(cpu_before));
        println!(
            "{} records in {:.1} s, {:.0} a second: {} lost, {waiting} waited at most; the writer took {:.0} % of a \
             processor, {:.1} us a record",
            health.written,
            took.as_secs_f64(),
            health.written as f64 / took.as_secs_f64(),
            health.lost,
            cpu.as_secs_f64() / took.as_secs_f64() * 100.0,
            cpu.as_secs_f64() * 1e6 / health.written.max(1) as f64,
        );
        runtime.drain(Duration::from_secs(5)).await;
        drop(runtime);
        let found = verify_file(&file).expect("it is whole");
        assert_eq!((found.problems.len(), found.attempts), (0, u64::from(calls)), "{:?}", found.problems);
        assert_eq!((statement.sum.answers, health.lost), (u64::from(calls), 0));
    });
}

fn main() {
    let folder = Folder::new();
    a_call(&folder.0);
    at_a_pace(&folder.0);
}

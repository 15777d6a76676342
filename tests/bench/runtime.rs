//! What the runtime adds to a call and to a streamed token, beside the least that a bare tokio program would do over
//! the same bytes: a task, a channel, the body encoded, each event parsed.
//!
//! One thread and a transport in memory, so that wall time is CPU time and nothing waits for anything.

use std::borrow::Cow;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::{StreamExt, stream};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};
use standin::internals::policy::admission::{
    Admission, AdmissionOptions, AdmissionRequest, KeysInUse, Outcome, Report, TargetOptions,
};
use standin::internals::policy::routing::{self, Candidate, LabelSet, Needs, RouteOptions, RouteState};
use standin::internals::policy::tokens::{Measure, Prompt, TokenModel, Vocabulary};
use standin::{BoxFuture, HttpRequest, HttpResponse, Transport, TransportError};
use standin::{
    Capabilities, ChatRequest, Config, Failure, FailureClass, Message, ProviderConfig, Rates, ReplyEvent, RouteConfig,
    Runtime, UserPart,
};
use tokio::sync::{mpsc, oneshot};

/// Answers every request with the same chunks.
#[derive(Clone, Debug)]
struct Canned(Arc<[Bytes]>);

impl Canned {
    fn new(tokens: usize) -> Self {
        let event = |delta: String, finish: &str| {
            Bytes::from(format!(
                "data: {{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\
                 \"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{finish}}}],\"usage\":null}}\n\n"
            ))
        };
        let mut chunks = vec![event("{\"role\":\"assistant\",\"content\":\"\"}".into(), "null")];
        chunks.extend((0..tokens).map(|n| event(format!("{{\"content\":\" word{n}\"}}"), "null")));
        chunks.push(event("{}".into(), "\"stop\""));
        let usage =
            "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":9}}\n\ndata: [DONE]\n\n";
        chunks.push(Bytes::from_static(usage.as_bytes()));
        Self(chunks.into())
    }

    fn one_chunk(tokens: usize) -> Self {
        Self([Bytes::from(Self::new(tokens).0.concat())].into())
    }
}

impl Transport for Canned {
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, TransportError>> {
        black_box(request.body);
        let mut headers = http::HeaderMap::new();
        headers.insert("content-type", http::HeaderValue::from_static("text/event-stream"));
        let chunks = self.0.clone();
        let body = stream::unfold(0, move |at| {
            let chunk = chunks.get(at).cloned();
            async move { chunk.map(|chunk| (Ok(chunk), at + 1)) }
        });
        Box::pin(async move { Ok(HttpResponse::new(200, headers, Box::pin(body))) })
    }
}

fn request(bytes: usize, messages: usize) -> ChatRequest {
    let mut request = ChatRequest::new("smart").system("You are an agent.");
    for n in 0..messages {
        request = request.user(format!("{n} {}", "lorem ipsum ".repeat(bytes / messages / 12)));
    }
    request
}

async fn runtime(transport: Canned) -> Runtime {
    let mut provider = ProviderConfig::new("http://canned/v1").key("k").model("m");
    provider.custom = Some(Arc::new(transport));
    let builder = Runtime::builder().provider("p", provider).route("smart", RouteConfig::new(["p/m"]));
    builder.start().await.expect("a runtime")
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    stream: bool,
    messages: Vec<Said<'a>>,
}

#[derive(Serialize)]
struct Said<'a> {
    role: &'a str,
    content: &'a str,
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    choices: Vec<Choice<'a>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    delta: Delta<'a>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow, default)]
    content: Option<Cow<'a, str>>,
}

/// What a careful programmer would write without a runtime: encode without a tree, send, split into lines, parse into
/// borrowing structs, hand each token through a channel.
async fn bare(transport: &Canned, request: &ChatRequest) -> usize {
    let said = request.messages.iter().filter_map(|message| match message {
        Message::System(text) => Some(Said { role: "system", content: text }),
        Message::User(parts) => match parts.as_slice() {
            [UserPart::Text(text)] => Some(Said { role: "user", content: text }),
            _ => None,
        },
        _ => None,
    });
    let body = serde_json::to_vec(&Body { model: "m", stream: true, messages: said.collect() }).expect("json");
    let transport = transport.clone();
    let (sender, mut receiver) = mpsc::channel::<String>(64);
    let (end, ended) = oneshot::channel();
    tokio::spawn(async move {
        let request = HttpRequest::new("http://canned", http::HeaderMap::new(), body.into());
        let mut response = transport.send(request).await.expect("a response");
        while let Some(Ok(chunk)) = response.body.next().await {
            for line in chunk.split(|&byte| byte == b'\n').filter_map(|line| line.strip_prefix(b"data: ")) {
                let Ok(event) = serde_json::from_slice::<Chunk<'_>>(line) else { continue };
                if let Some(text) = event.choices.into_iter().next().and_then(|choice| choice.delta.content) {
                    sender.send(text.into_owned()).await.expect("a reader");
                }
            }
        }
        let _ = end.send(());
    });
    let mut bytes = 0;
    while let Some(text) = receiver.recv().await {
        bytes += text.len();
    }
    ended.await.expect("an end");
    bytes
}

async fn streamed(runtime: &Runtime, request: ChatRequest) -> usize {
    let mut stream = runtime.stream(request).await.expect("a stream");
    let mut bytes = 0;
    while let Some(event) = stream.next().await {
        if let ReplyEvent::Text(text) = event.expect("an event") {
            bytes += text.len();
        }
    }
    bytes
}

fn calls(criterion: &mut Criterion) {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio");
    let mut group = criterion.benchmark_group("call");
    let canned = Canned::one_chunk(1);
    for (name, bytes, messages) in [("1kB", 1_000, 2), ("200kB", 200_000, 60), ("2MB", 2_000_000, 60)] {
        let request = request(bytes, messages);
        group.throughput(Throughput::Elements(1));
        group.bench_with_input(BenchmarkId::new("bare", name), &request, |bencher, request| {
            bencher.to_async(&tokio).iter(|| bare(&canned, request));
        });
        let runtime = tokio.block_on(runtime(canned.clone()));
        group.bench_with_input(BenchmarkId::new("standin", name), &request, |bencher, request| {
            bencher.to_async(&tokio).iter(|| async { runtime.chat(request.clone()).await.expect("an answer") });
        });
    }
    group.finish();
}

/// Counting a request for its estimates, a part of every call.
fn counts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("count");
    for (name, bytes, messages) in [("1kB", 1_000, 2), ("200kB", 200_000, 60), ("2MB", 2_000_000, 60)] {
        let request = request(bytes, messages);
        group.bench_function(name, |bencher| bencher.iter(|| black_box(Prompt::of(&request, Measure::Shape, false))));
    }
    let mut model = TokenModel::new(Vocabulary::Unknown);
    let size = Prompt::of(&request(1_000, 2), Measure::Shape, false).whole;
    group.bench_function("learn", |bencher| bencher.iter(|| model.learn(black_box(&size), 250)));
    let weights = model.weights();
    group.bench_function("estimate", |bencher| bencher.iter(|| weights.tokens(black_box(&size))));
    group.finish();
}

fn tokens(criterion: &mut Criterion) {
    const TOKENS: usize = 1_000;
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio");
    let mut group = criterion.benchmark_group("token");
    group.throughput(Throughput::Elements(TOKENS as u64));
    let canned = Canned::new(TOKENS);
    let request = request(1_000, 2);
    group.bench_function("bare", |bencher| bencher.to_async(&tokio).iter(|| bare(&canned, &request)));
    let runtime = tokio.block_on(runtime(canned.clone()));
    group.bench_function("standin", |bencher| {
        bencher.to_async(&tokio).iter(|| streamed(&runtime, request.clone()));
    });
    group.finish();
}

/// Targets of one tier, each with a past of its own: prices, latencies, failures.
fn candidates(count: usize, now: Instant) -> Vec<Candidate> {
    let mut rng = SmallRng::seed_from_u64(1);
    let mut one = |target: usize| {
        let options = AdmissionOptions {
            targets: vec![TargetOptions::default()],
            keys: 1,
            breaker: standin::health::BreakerOptions::default(),
            health: standin::health::HealthOptions::default(),
        };
        let mut admission = Admission::new(options, now);
        let (usual, loss) = (rng.random_range(100..3_000), rng.random_range(0.0..0.1));
        for _ in 0..40 {
            let ask = AdmissionRequest {
                target: 0,
                prompt_tokens: 1_000,
                whole: false,
                output_max: None,
                output_expected: 0,
                last_resort: false,
                look: None,
                in_use: KeysInUse::NONE,
                other_key: false,
            };
            let Ok(ticket) = admission.admit(ask, 0, now, &mut rng) else { break };
            if rng.random_bool(loss) {
                let class = FailureClass::Server;
                let outcome = Outcome::Failure { class, scope: Failure::new(class, "").scope, retry_after: None };
                admission.report(&ticket, Report::Ended(outcome), now, &mut rng);
            } else {
                let after = Duration::from_millis(rng.random_range(usual / 2..usual * 2));
                admission.report(&ticket, Report::Content { after }, now, &mut rng);
                let tpot = Some(Duration::from_millis(10));
                admission.report(&ticket, Report::Ended(Outcome::Success { tpot }), now, &mut rng);
            }
        }
        let price = rng.random_range(0.1..3.0);
        Candidate {
            target,
            tier: 0,
            weight: 1.0,
            domain: u16::try_from(target % 7).expect("small"),
            model: 0,
            prompt_tokens: 1_000,
            whole: false,
            price: Some(Rates::new(price, 4.0 * price)),
            obstacle: None,
            capabilities: Capabilities::default(),
            labels: LabelSet::default(),
            health: admission.health(0, 0, now),
        }
    };
    (0..count).map(&mut one).collect()
}

/// Which targets to ask, and in which order: the decision of each call.
fn decisions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decision");
    let (options, now) = (RouteOptions::default(), Instant::now());
    for count in [2, 8, 64, 1_000] {
        let candidates = candidates(count, now);
        let (mut state, mut rng) = (RouteState::default(), SmallRng::seed_from_u64(2));
        let needs = Needs { deadline: Some(now + Duration::from_secs(60)), ..Needs::default() };
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            let candidates = black_box(&candidates);
            bencher.iter(|| routing::plan(&options, &mut state, candidates, &needs, None, None, now, &mut rng));
        });
    }
    group.finish();
}

/// Ten thousand targets of a hundred providers, taken anew without a change.
fn tables(criterion: &mut Criterion) {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio");
    let mut config = Config::default();
    let mut route = RouteConfig::default();
    for provider in 0..100 {
        let named = ProviderConfig::new("http://canned/v1").key("k");
        let named = (0..100).fold(named, |named, model| named.model(format!("m{model}")));
        route.targets.extend((0..100).map(|model| format!("p{provider}/m{model}").as_str().into()));
        config.providers.insert(format!("p{provider}"), named);
    }
    config.routes.insert("all".to_owned(), route);
    let runtime = tokio.block_on(Runtime::builder().config(config.clone()).start()).expect("a runtime");
    let mut group = criterion.benchmark_group("table");
    group.bench_function("reconfigure", |bencher| {
        let again = || config.clone();
        bencher.to_async(&tokio).iter_batched(
            again,
            |config| async { runtime.reconfigure(config).await.expect("a new table") },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(30)
        .measurement_time(Duration::from_secs(4))
        .warm_up_time(Duration::from_secs(1));
    targets = calls, counts, decisions, tokens, tables
}
criterion_main!(benches);

//! The runtime in unusual places: other executors, stopped actors, configurations that are gone, headers that are not
//! its user's, ways out that never wait; and what it tells of itself.

use std::pin::pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant, SystemTime};

use futures_util::{StreamExt, stream};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use standin::config::KindConfig;
use standin::ractor::concurrency::oneshot;
use standin::runtime::StartError;
use standin::testing::{Crash, Script, Scripted, crash};
use standin::{
    Answer, AnswerPiece, BoxFuture, ChatRequest, EmbedRequest, Error, Event, HttpRequest, HttpResponse, ModelConfig,
    ProviderConfig, RouteConfig, RouterMessage, Runtime, Transport, TransportError,
};

use super::kit::{MS, S, ask, config, events, settle, start, target, world};

/// Awaits something on this thread, with no executor around it.
fn await_here<T>(future: impl Future<Output = T>) -> T {
    struct Unparks(Thread);
    impl Wake for Unparks {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unparks(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

#[test]
fn a_call_and_a_drain_may_be_awaited_on_any_executor() {
    let executor = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    let runtime = executor.block_on(start(config(&[Scripted::new(Script::default())])));
    let reply = await_here(runtime.chat(ask("hello"))).expect("an answer");
    assert!(!reply.text.is_empty());
    // While the router restarts, a caller waits a moment: on timers that are not here.
    assert!(crash(&runtime, Crash::RouterKilled));
    await_here(runtime.chat(ask("hello"))).expect("an answer");
    assert_eq!(await_here(runtime.drain(S)), 0);
    assert_eq!(await_here(runtime.chat(ask("hello"))).map(|_| ()), Err(Error::Draining));
}

#[test]
fn a_start_says_what_it_has_no_executor_or_no_timers_for() {
    let builder = || Runtime::builder().config(config(&[Scripted::new(Script::default())]));
    assert!(matches!(await_here(builder().start()), Err(StartError::NoExecutor)));
    let timeless = tokio::runtime::Builder::new_current_thread().build().expect("a thread");
    assert!(matches!(timeless.block_on(builder().start()), Err(StartError::NoTimers)));
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_has_stopped_is_not_reconfigured_and_says_so() {
    let world = world(1, Script::default()).await;
    world.runtime.reconfigure(world.config.clone()).await.expect("it runs");
    world.runtime.drain(S).await;
    assert!(matches!(world.runtime.reconfigure(world.config.clone()).await, Err(StartError::Stopped)));
}

#[tokio::test(start_paused = true)]
async fn a_front_that_is_stopped_is_gone_for_a_moment_and_a_handle_finds_the_next() {
    let world = world(1, Script::default()).await;
    let front = world.runtime.front();
    for _ in 0..3 {
        let held = world.runtime.router().expect("it runs");
        held.stop_and_wait(None, Some(S)).await.expect("it stops");
        let living = tokio::time::timeout(10 * S, async {
            loop {
                match front.get() {
                    Some(living) if living.get_id() != held.get_id() => break living,
                    _ => settle().await,
                }
            }
        });
        assert_ne!(living.await.expect("another is started").get_id(), held.get_id());
        let (port, answer) = oneshot();
        front.send(RouterMessage::Chat(Box::new(ask("hello")), port.into())).expect("there is another");
        answer.await.expect("it is answered").expect("an answer");
    }
    world.runtime.drain(S).await;
    let (port, answer) = oneshot();
    assert_eq!(front.send(RouterMessage::Health(port.into())), Err(Error::Unavailable));
    assert!(answer.await.is_err(), "nobody waits for ever");
}

#[tokio::test(start_paused = true)]
async fn a_pin_whose_target_or_route_is_gone_is_lifted_and_told_of() {
    let world = world(2, Script::default()).await;
    let mut told = world.runtime.subscribe();
    world.runtime.pin("smart", Some(target("b/m"))).await.expect("a target of its");
    world.runtime.reconfigure(world.config.clone()).await.expect("a good configuration");
    let reply = world.runtime.chat(ask("hello")).await.expect("an answer");
    assert_eq!(reply.finished.target, target("b/m"), "what is still right stays");

    let mut config = world.config.clone();
    config.routes.insert("smart".into(), RouteConfig::new(["a/m"]));
    world.runtime.reconfigure(config).await.expect("a good configuration");
    let reply = world.runtime.chat(ask("hello")).await.expect("an answer");
    assert_eq!(reply.finished.target, target("a/m"));
    let lifted = Event::Unpinned { route: "smart".into(), target: target("b/m") };
    assert!(events(&mut told).contains(&lifted));
    // It does not come back with its target.
    world.runtime.reconfigure(world.config.clone()).await.expect("a good configuration");
    assert_eq!(world.runtime.chat(ask("hello")).await.expect("an answer").finished.target, target("a/m"));
}

#[tokio::test(start_paused = true)]
async fn admitted_attempts_are_counted_across_crashes_of_the_provider() {
    let world = world(1, Script::default()).await;
    for round in 1..=4_u64 {
        for _ in 0..5 {
            world.runtime.chat(ask("hello")).await.expect("an answer");
        }
        assert!(crash(&world.runtime, Crash::ProviderKilled("a".into())));
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(world.health("a/m").admitted, 5 * round);
    }
    world.runtime.reconfigure(world.config.clone()).await.expect("a good configuration");
    assert_eq!(world.health("a/m").admitted, 20);
}

/// A transport that notes the headers of what it sends.
#[derive(Debug)]
struct Noting(Scripted, Arc<Mutex<Vec<HeaderMap>>>);

impl Transport for Noting {
    fn send(&self, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, TransportError>> {
        self.1.lock().expect("no panic").push(request.headers.clone());
        self.0.send(request)
    }
}

#[tokio::test(start_paused = true)]
async fn a_header_of_the_connection_of_the_body_or_of_a_key_is_refused_and_each_goes_out_once() {
    let (scripted, noted) = (Scripted::new(Script::default()), Arc::default());
    let mut config = config(std::slice::from_ref(&scripted));
    let a = config.providers.remove("a").expect("a").key("secret");
    let mut a = ProviderConfig { custom: Some(Arc::new(Noting(scripted, Arc::clone(&noted)))), ..a };
    a.headers.insert("x-api-key".into(), "the gateway's".into());
    config.providers.insert("a".into(), a);
    let runtime = start(config).await;
    let with = |name: &'static str| {
        let mut request = ask("hello");
        request.extra_headers.append(HeaderName::from_static(name), HeaderValue::from_static("5"));
        request
    };
    for name in ["content-length", "transfer-encoding", "host", "te", "content-type", "authorization", "x-api-key"] {
        let error = runtime.chat(with(name)).await.map(|_| ()).expect_err(name);
        assert!(matches!(&error, Error::Invalid { field, .. } if *field == format!("extra_headers.{name}")), "{error}");
        assert_eq!(runtime.explain(with(name)).await.map(|_| ()), Err(error));
    }
    runtime.chat(with("x-team")).await.expect("an answer");
    let noted = noted.lock().expect("no panic");
    let [headers] = &noted[..] else { panic!("{noted:?}") };
    for (name, value) in [
        ("content-type", "application/json"),
        ("authorization", "Bearer secret"),
        ("x-api-key", "the gateway's"),
        ("x-team", "5"),
    ] {
        assert_eq!(headers.get_all(name).iter().collect::<Vec<_>>(), [value], "{name}");
    }
    assert!(headers["x-api-key"].is_sensitive(), "no log prints it");
}

/// A transport that never waits: a head, a beginning, and then the same chunk for ever.
#[derive(Debug)]
struct Greedy {
    status: u16,
    begins: &'static str,
    chunk: &'static str,
}

impl Transport for Greedy {
    fn send(&self, _: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, TransportError>> {
        let Self { status, begins, chunk } = *self;
        let body = stream::iter([begins]).chain(stream::repeat(chunk)).map(|chunk| Ok(chunk.into()));
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"))]);
        Box::pin(async move { Ok(HttpResponse::new(status, headers, Box::pin(body))) })
    }
}

/// A transport that fails without waiting.
#[derive(Debug)]
struct Deaf;

impl Transport for Deaf {
    fn send(&self, _: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, TransportError>> {
        Box::pin(async { Err(TransportError::Connect("refused".into())) })
    }
}

/// A provider with this way out, with a model `m` and, for vectors, `e`.
fn by(way: impl Transport) -> ProviderConfig {
    let vectors = ModelConfig { kind: Some(KindConfig::Embedding), ..ModelConfig::default() };
    let custom: Option<Arc<dyn Transport>> = Some(Arc::new(way));
    ProviderConfig { custom, ..ProviderConfig::new("http://g.test/v1") }.model("m").model_with("e", vectors)
}

/// Runs this with a runtime that has one worker, a scripted provider `a`, and this one, `g`. Whoever holds the worker
/// fails the test.
fn on_one_worker<T, F>(g: ProviderConfig, run: impl FnOnce(Runtime) -> F + Send + 'static) -> T
where
    T: Send + 'static,
    F: Future<Output = T>,
{
    let (done, result) = mpsc::channel();
    thread::spawn(move || {
        let executor = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a thread");
        executor.block_on(async {
            let mut config = config(&[Scripted::new(Script::default())]);
            config.providers.insert("g".into(), g);
            let _ = done.send(run(start(config).await).await);
        });
    });
    result.recv_timeout(30 * S).expect("the worker is held")
}

const WORD: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"w \"}}]}\n\n";
const WHOLE: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"w\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

#[test]
fn a_body_that_is_always_ready_holds_neither_a_deadline_nor_another_call_nor_a_cancellation() {
    for (status, begins, chunk) in [
        (200, "", ""),
        (200, "", ": keep-alive\n\n"),
        (200, WORD, ": keep-alive\n\n"),
        (200, "", WORD),
        (500, "", ""),
        (500, "", " "),
    ] {
        on_one_worker(by(Greedy { status, begins, chunk }), move |runtime| async move {
            let case = format!("{status} {begins:?} {chunk:?}");
            let began = Instant::now();
            let greedy = || ChatRequest::new("g/m").user("hello").deadline(300 * MS);
            let (held, other) = tokio::join!(runtime.chat(greedy()), runtime.chat(ask("hello")));
            assert!(held.is_err() && other.is_ok(), "{case}: {held:?}, {other:?}");
            let texts = EmbedRequest { deadline: Some(300 * MS), ..EmbedRequest::new("g/e", ["a"]) };
            assert!(runtime.embed(texts).await.is_err(), "{case}");
            assert!(began.elapsed() < 10 * S, "{case}: {:?}", began.elapsed());
            // Its caller leaves.
            let left = tokio::time::timeout(100 * MS, runtime.chat(ChatRequest::new("g/m").user("hello"))).await;
            assert!(!matches!(left, Ok(Ok(_))), "{case}: {left:?}");
            let idle = async {
                let busy = || runtime.health().target(&target("g/m")).is_some_and(|health| health.in_flight > 0);
                while busy() {
                    tokio::time::sleep(MS).await;
                }
            };
            tokio::time::timeout(10 * S, idle).await.expect("its attempt ends");
        });
    }
}

#[test]
fn what_comes_for_ever_after_an_answers_end_holds_nobody() {
    on_one_worker(by(Greedy { status: 200, begins: WHOLE, chunk: "" }), |runtime| async move {
        let began = Instant::now();
        for _ in 0..3 {
            let reply = runtime.chat(ChatRequest::new("g/m").user("hello").deadline(5 * S)).await.expect("an answer");
            assert_eq!(reply.text, "w");
            runtime.chat(ask("hello")).await.expect("an answer");
        }
        assert!(began.elapsed() < 10 * S, "{:?}", began.elapsed());
    });
}

#[test]
fn a_way_out_that_fails_and_a_function_that_talks_without_waiting_hold_nobody() {
    let talks = || stream::repeat("w ").map(|word| Ok(AnswerPiece::from(word)));
    let function = ProviderConfig::from_fn(move |_| async move { Ok(Answer::stream(talks())) }).model("m");
    for g in [by(Deaf), function] {
        on_one_worker(g, |runtime| async move {
            let began = Instant::now();
            let request = ChatRequest::new("g/m").user("hello").deadline(300 * MS);
            let (held, other) = tokio::join!(runtime.chat(request), runtime.chat(ask("hello")));
            assert!(held.is_err() && other.is_ok(), "{held:?}, {other:?}");
            assert!(began.elapsed() < 10 * S, "{:?}", began.elapsed());
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_says_when_it_was_taken_and_how_old_the_health_in_it_is() {
    let world = world(1, Script::default()).await;
    let before = SystemTime::now();
    world.runtime.chat(ask("hello")).await.expect("an answer");
    settle().await;
    let first = world.runtime.health();
    tokio::time::sleep(3 * S).await;
    let second = world.runtime.health();
    assert!(before <= first.taken_at && first.taken_at <= second.taken_at);
    let age = |snapshot: &standin::runtime::HealthSnapshot| snapshot.age(&snapshot.providers[0].targets[0].1);
    // It is published anew every five seconds at the latest.
    assert!(age(&first) <= age(&second) && age(&second) <= 5 * S, "{:?} {:?}", age(&first), age(&second));
    assert!(age(&second) >= S, "{:?}", age(&second));
    let health = &second.providers[0].targets[0].1;
    assert_eq!(second.published_at(health) + age(&second), second.taken_at);
}

#[cfg(feature = "serialise")]
#[tokio::test(start_paused = true)]
async fn health_and_explanations_keep_everything_in_the_form_of_records() {
    use serde_json::json;

    let world = world(2, Script::default()).await;
    let reply = world.runtime.chat(ask("hello")).await.expect("an answer");
    let off = standin::health::Force::Off { until: None };
    world.runtime.force(target("b/m"), off).await.expect("forced");
    settle().await;
    let health = json!(world.runtime.health());
    let taken_at = health["taken_at"].as_str().expect("a moment");
    assert!(taken_at.ends_with('Z') && taken_at.contains('T'), "{taken_at}");
    let [a, b] = [&health["providers"][0]["targets"][0], &health["providers"][1]["targets"][0]];
    assert_eq!((&a["model"], &a["breaker"], &a["admitted"]), (&json!("m"), &json!("closed"), &json!(1)));
    assert!(a["published_s_ago"].as_f64().is_some_and(|age| (0.0..=5.0).contains(&age)), "{a}");
    assert_eq!(b["disabled"], json!({"why": "operator", "back_in_s": null}));

    let explained = json!(world.runtime.explain("smart").await.expect("explained"));
    let (planned, skipped) = (&explained["planned"][0], &explained["skipped"][0]);
    assert_eq!((&planned["target"], &planned["health"]["breaker"]), (&json!("a/m"), &json!("closed")));
    assert_eq!((&skipped["target"], &skipped["health"]["disabled"]["why"]), (&json!("b/m"), &json!("operator")));
    assert_eq!((&planned["hints"], &skipped["hints"]), (&json!([]), &json!([])));

    let flight = world.runtime.why(reply.finished.call).expect("it is remembered");
    assert_eq!(json!(*flight)["again"], json!(false));
}

/// A provider that never closes its answers: behind the end of each it says that it is alive.
#[derive(Debug)]
struct GoesOn(Duration);

impl Transport for GoesOn {
    fn send(&self, _: HttpRequest) -> BoxFuture<'_, Result<HttpResponse, TransportError>> {
        const ANSWER: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"},\"finish_reason\":\"stop\"}]}\n\n";
        let pause = self.0;
        let alive = stream::unfold((), move |()| async move {
            tokio::time::sleep(pause).await;
            Some((Ok(": alive\n\n".into()), ()))
        });
        let body = stream::iter([Ok(ANSWER.into())]).chain(alive);
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"))]);
        Box::pin(async move { Ok(HttpResponse::new(200, headers, Box::pin(body))) })
    }
}

#[tokio::test(start_paused = true)]
async fn what_follows_an_answer_is_waited_for_a_second_in_all_however_it_comes() {
    for pause in [1, 100, 900, 5_000] {
        let mut provider = ProviderConfig::new("http://goes-on.test/v1").model("m");
        provider.custom = Some(Arc::new(GoesOn(MS * pause)));
        let runtime =
            Runtime::builder().provider("p", provider).route("smart", RouteConfig::new(["p/m"])).start().await;
        let began = tokio::time::Instant::now();
        let reply = runtime.expect("a runtime").chat(ask("hello")).await.expect("an answer");
        assert_eq!(reply.text, "hi");
        assert!(began.elapsed() < MS * 1_500, "{:?} with one every {pause} ms", began.elapsed());
    }
}

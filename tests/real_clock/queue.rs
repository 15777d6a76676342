//! Calls that wait for a place, on the real clock and real sockets: a target with ten times the load that it can carry
//! carries what it can, and a waiting call goes once, in time, or is told at once when to come back. So do as many
//! calls as may run, though their callers leave.

use std::time::{Duration, Instant};

use standin::drill::Drill;
use standin::testing::{Fault, Latency, Outcome, ProviderError, Script};
use standin::{ChatRequest, Error, ModelConfig, OnExhausted, Priority, ProviderConfig, RouteConfig, Runtime, Strategy};
use tokio::task::JoinSet;

const MS: fn(u64) -> Duration = Duration::from_millis;
/// What the target can carry: this many at once, each for this long.
const PLACES: u32 = 4;
const TAKES: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(2);
const LOAD: Duration = Duration::from_secs(6);

#[tokio::test(flavor = "multi_thread")]
async fn at_ten_times_the_load_a_target_carries_what_it_can_by_the_real_clock() {
    let _alone = super::ALONE.lock().await;
    // A server counts an answer until its connection has taken it: a client that has read its end is a moment ahead.
    let bears = Some(PLACES + 2);
    let script = Script { first_token: Latency::Fixed(TAKES), in_flight_max: bears, ..Script::default() };
    let drill = Drill::start(script).await.expect("a drill");
    let model = ModelConfig { in_flight_max: Some(PLACES), ..ModelConfig::default() };
    let runtime = Runtime::builder()
        .provider("a", ProviderConfig::new(format!("http://{}/v1", drill.address())).key("k").model_with("m", model))
        .route("smart", RouteConfig::new(["a/m"]))
        .with(|config| (config.seed, config.queue_max) = (Some(7), 200))
        .start()
        .await
        .expect("it starts");
    let capacity = f64::from(PLACES) / TAKES.as_secs_f64();
    let mut callers = JoinSet::new();
    let begun = Instant::now();
    let mut timer = tokio::time::interval(Duration::from_secs_f64(0.1 / capacity));
    let mut most = 0;
    for n in 0_usize.. {
        timer.tick().await;
        if begun.elapsed() >= LOAD {
            break;
        }
        let runtime = runtime.clone();
        most = most.max(runtime.health().queued);
        let priority = [Priority::Default, Priority::Batch, Priority::Interactive, Priority::Critical][n % 4];
        // One in ten would rather wait for an outage's end than fail.
        let on_exhausted = if n.is_multiple_of(10) { OnExhausted::Wait } else { OnExhausted::Fail };
        callers.spawn(async move {
            let request = ChatRequest::new("smart").user("one two").priority(priority);
            let begun = Instant::now();
            let answer = runtime.chat(request.deadline(PATIENCE).on_exhausted(on_exhausted)).await;
            (answer, begun.elapsed())
        });
    }
    let ended = callers.join_all().await;
    let served = ended.iter().filter(|(answer, _)| answer.is_ok()).count();
    let ceiling = capacity * (LOAD + PATIENCE).as_secs_f64();
    println!(
        "{} calls, {served} served, of at most {:.0} within the load; {most} waited at most",
        ended.len(),
        capacity * LOAD.as_secs_f64()
    );
    assert!(served as f64 >= 0.9 * capacity * LOAD.as_secs_f64() && served as f64 <= ceiling, "{served}");
    assert!(most <= 200, "{most} wait");
    let mut told = 0;
    for (answer, took) in &ended {
        assert!(*took < PATIENCE + MS(1_000), "{took:?}");
        match answer {
            Ok(reply) => assert_eq!(reply.finished.attempts.len(), 1, "nobody is asked twice"),
            Err(Error::Exhausted { attempts, retry_after, .. }) => {
                // A call that got a place with too little time left was sent, and cut at its deadline: on a busy
                // machine only.
                let refused = attempts.is_empty();
                assert!(refused || *took + TAKES >= PATIENCE, "nothing is sent for who is refused: {attempts:?}");
                told += usize::from(retry_after.is_some());
            }
            Err(Error::DeadlineExceeded { .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(told * 10 >= (ended.len() - served) * 8, "{told} were told when to come back");
    let log = drill.handle().log();
    assert!(log.iter().all(|record| record.outcome != Outcome::Rejected(429)), "never more at once than it bears");
    tokio::time::sleep(MS(200)).await;
    let health = runtime.health();
    assert_eq!((health.calls, health.queued, health.parked.len()), (0, 0, 0), "nothing is left behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_waits_for_a_place_is_answered_by_a_target_that_is_back_by_the_real_clock() {
    let _alone = super::ALONE.lock().await;
    let script = Script { first_token: Latency::Fixed(MS(50)), per_token: Duration::ZERO, ..Script::default() };
    // One request in ten seconds, once six have gone.
    let limited = Drill::start(Script { requests_per_minute: 6, ..script.clone() }).await.expect("a drill");
    let failing = Drill::start(script).await.expect("a drill");
    let provider = |of: &Drill| ProviderConfig::new(format!("http://{}/v1", of.address())).key("k").model("m");
    let mut route = RouteConfig::new(["a/m", "b/m"]);
    route.options.strategy = Strategy::Priority;
    let runtime = Runtime::builder()
        .provider("a", provider(&limited))
        .provider("b", provider(&failing))
        .route("smart", route)
        .with(|config| config.seed = Some(7))
        .start()
        .await
        .expect("it starts");
    let fault = failing.handle().always(Fault::Error(ProviderError::Unavailable));
    let mut callers = JoinSet::new();
    for _ in 0..14 {
        let runtime = runtime.clone();
        let request = ChatRequest::new("smart").user("one two").deadline(Duration::from_secs(90));
        callers.spawn(async move { runtime.chat(request).await });
        tokio::time::sleep(MS(200)).await;
    }
    tokio::time::sleep(MS(2_000)).await;
    failing.handle().lift(fault);
    let begun = Instant::now();
    for answer in callers.join_all().await {
        answer.expect("one target is well and the other is back");
    }
    println!("all are answered {:?} after the second target was back", begun.elapsed());
    assert!(begun.elapsed() < MS(20_000), "{:?}", begun.elapsed());
}

/// How a caller's patience is known.
#[derive(Clone, Copy, Debug)]
enum Says {
    Nothing,
    ClientTimeout,
    Deadline,
}

/// When callers leave who have less time than the queue takes.
const LEAVES: Duration = Duration::from_millis(800);

#[tokio::test(flavor = "multi_thread")]
async fn at_ten_times_the_calls_that_may_run_nine_tenths_are_answered_though_callers_leave_by_the_real_clock() {
    let _alone = super::ALONE.lock().await;
    for says in [Says::Nothing, Says::ClientTimeout, Says::Deadline] {
        let script = Script { first_token: Latency::Fixed(TAKES), per_token: Duration::ZERO, ..Script::default() };
        let drill = Drill::start(script).await.expect("a drill");
        let provider = ProviderConfig::new(format!("http://{}/v1", drill.address())).key("k").model("m");
        let runtime = Runtime::builder()
            .provider("a", provider)
            .route("smart", RouteConfig::new(["a/m"]))
            .with(|config| (config.seed, config.calls_max) = (Some(7), PLACES as usize))
            .start()
            .await
            .expect("it starts");
        let capacity = f64::from(PLACES) / TAKES.as_secs_f64();
        let mut callers = JoinSet::new();
        let begun = Instant::now();
        let mut timer = tokio::time::interval(Duration::from_secs_f64(0.1 / capacity));
        while begun.elapsed() < LOAD {
            timer.tick().await;
            let runtime = runtime.clone();
            callers.spawn(async move {
                let mut request = ChatRequest::new("smart").user("one two");
                match says {
                    Says::Nothing => {}
                    Says::ClientTimeout => request.client_timeout = Some(LEAVES),
                    Says::Deadline => request = request.deadline(LEAVES),
                }
                let begun = Instant::now();
                match tokio::time::timeout(LEAVES, runtime.chat(request)).await {
                    Ok(Ok(_)) => (1, 0),
                    Ok(Err(Error::Overloaded { retry_after, .. })) => {
                        assert!(begun.elapsed() < LEAVES && retry_after.is_some_and(|wait| !wait.is_zero()));
                        (0, 1)
                    }
                    Ok(Err(Error::DeadlineExceeded { .. })) | Err(_) => (0, 0),
                    Ok(Err(other)) => panic!("{other:?}"),
                }
            });
        }
        let ended = callers.join_all().await;
        let sum = |of: fn(&(u32, u32)) -> u32| ended.iter().map(of).sum::<u32>();
        let (served, told) = (sum(|it| it.0), sum(|it| it.1));
        let good = f64::from(served) / (capacity * LOAD.as_secs_f64());
        println!("{says:?}: {} calls, {served} answered in time ({good:.2} of what it can), {told} told", ended.len());
        assert!(good >= 0.85, "{says:?}: {good:.2}");
        tokio::time::sleep(MS(300)).await;
        let health = runtime.health();
        assert_eq!((health.calls, health.queued), (0, 0), "nothing is left behind");
    }
}

//! Hedging on the real clock and real sockets: if a primary hangs for one call in five, or becomes twenty times slower,
//! callers hardly notice it.

use std::time::{Duration, Instant};

use standin::drill::Drill;
use standin::testing::{Fault, Latency, Script};
use standin::{ChatRequest, FailureClass, Priority, ProviderConfig, RouteConfig, Runtime};
use tokio::task::JoinSet;

const MS: fn(u64) -> Duration = Duration::from_millis;
/// Callers at a time.
const CALLERS: usize = 8;
/// When a caller leaves.
const PATIENCE: Duration = Duration::from_secs(15);

async fn world(first_token: Duration) -> (Runtime, [Drill; 2]) {
    let script = Script { first_token: Latency::Fixed(first_token), per_token: MS(1), ..Script::default() };
    let drills = [Drill::start(script.clone()).await.expect("a drill"), Drill::start(script).await.expect("a drill")];
    let provider = |drill: &Drill| ProviderConfig::new(format!("http://{}/v1", drill.address())).key("k").model("m");
    let runtime = Runtime::builder()
        .provider("a", provider(&drills[0]))
        .provider("b", provider(&drills[1]))
        .route("smart", RouteConfig::new(["a/m", "b/m"]))
        .with(|config| config.seed = Some(7))
        .start();
    (runtime.await.expect("it starts"), drills)
}

/// Makes this many calls, each at its target, and returns how long they took, the shortest first.
async fn calls(runtime: &Runtime, count: usize, route: &'static str, priority: Priority) -> Vec<Duration> {
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let runtime = runtime.clone();
        callers.spawn(async move {
            let mut took = Vec::new();
            for _ in 0..count / CALLERS {
                let begun = Instant::now();
                let request = ChatRequest::new(route).user("one two three four").priority(priority);
                let reply = tokio::time::timeout(PATIENCE, runtime.chat(request)).await.expect("nobody leaves");
                assert_eq!(reply.expect("an answer").text, "one two three four");
                took.push(begun.elapsed());
            }
            took
        });
    }
    let mut took: Vec<Duration> = callers.join_all().await.into_iter().flatten().collect();
    took.sort_unstable();
    took
}

fn share(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() - 1) * percent / 100]
}

#[tokio::test(flavor = "multi_thread")]
async fn one_call_in_five_that_hangs_costs_no_caller_more_than_a_moment_once_it_is_known_what_is_usual() {
    let _alone = super::ALONE.lock().await;
    let (runtime, drills) = world(MS(60)).await;
    for route in ["a/m", "b/m"] {
        calls(&runtime, 160, route, Priority::Default).await;
    }
    drills[0].handle().sometimes(0.2, Fault::Hang);
    for priority in [Priority::Default, Priority::Interactive] {
        let took = calls(&runtime, 400, "smart", priority).await;
        let (p50, p99) = (share(&took, 50), share(&took, 99));
        println!("20 % hangs, {priority:?}: p50 {p50:?}, p99 {p99:?}, longest {:?}", took[took.len() - 1]);
        assert!(p99 < MS(1_500), "{priority:?}: p99 {p99:?}");
    }
    let lost: u64 = runtime.totals().iter().filter_map(|(_, all)| all.failed.get(&FailureClass::HedgeLost)).sum();
    assert!(lost > 0, "somebody hung");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_target_that_is_twenty_times_slower_interactive_callers_notice_little() {
    let _alone = super::ALONE.lock().await;
    let (runtime, drills) = world(MS(60)).await;
    for route in ["a/m", "b/m"] {
        calls(&runtime, 160, route, Priority::Default).await;
    }
    let well = calls(&runtime, 240, "smart", Priority::Interactive).await;
    drills[0].handle().always(Fault::SlowFirst { factor: 20.0, plus: Duration::ZERO });
    let slow = calls(&runtime, 400, "smart", Priority::Interactive).await;
    let (p50, p99) = (share(&slow, 50), share(&slow, 99));
    println!("brown-out x20: p50 {p50:?} (well {:?}), p99 {p99:?} (well {:?})", share(&well, 50), share(&well, 99));
    assert!(p50 < share(&well, 50).mul_f64(1.25), "p50 {p50:?}");
    assert!(p99 < MS(1_000), "p99 {p99:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_probes_a_silent_target_bears_no_more_than_its_usual_time_by_the_real_clock() {
    let _alone = super::ALONE.lock().await;
    let usual = MS(500);
    let (runtime, drills) = world(usual).await;
    for route in ["a/m", "b/m"] {
        calls(&runtime, 64, route, Priority::Default).await;
    }
    drills[0].handle().always(Fault::Hang);
    let begun = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let runtime = runtime.clone();
        callers.spawn(async move {
            let mut probed = Vec::new();
            while begun.elapsed() < MS(9_000) {
                let was_left = runtime.health().providers[0].targets[0].1.breaker.name() != "closed";
                let asked = Instant::now();
                let reply = runtime.chat(ChatRequest::new("smart").user("hi")).await.expect("an answer");
                if was_left && reply.finished.attempts.iter().any(|attempt| *attempt.target.provider == *"a") {
                    probed.push(asked.elapsed());
                }
            }
            probed
        });
    }
    let mut probed: Vec<Duration> = callers.join_all().await.into_iter().flatten().collect();
    probed.sort_unstable();
    assert!(!probed.is_empty(), "nobody probed");
    let p50 = share(&probed, 50);
    println!("{} calls probed a silent target: p50 {p50:?}", probed.len());
    // Its usual time, and an answer of the other one; until it was overdue it would be three times that.
    assert!(p50 < usual.mul_f64(2.6), "{probed:?}");
}

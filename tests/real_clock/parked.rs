//! Outages of all targets, on the real clock and real sockets: calls that wait go on when one is back.

use std::time::{Duration, Instant};

use standin::drill::Drill;
use standin::testing::{Fault, ProviderError, Script};
use standin::{ChatRequest, OnExhausted, ProviderConfig, RouteConfig, Runtime};
use tokio::task::JoinSet;

const MS: fn(u64) -> Duration = Duration::from_millis;
/// How long no provider listens.
const GONE: Duration = Duration::from_millis(600);

/// Starts two providers, and a runtime whose calls wait where neither answers.
async fn two_waited_for() -> ([Drill; 2], Runtime) {
    let drill = async || Drill::start(Script::default()).await.expect("a drill");
    let drills = [drill().await, drill().await];
    let mut builder = Runtime::builder().with(|config| config.seed = Some(7));
    for (name, drill) in ["a", "b"].into_iter().zip(&drills) {
        builder = builder.provider(name, ProviderConfig::new(drill.base_url()).key("k").model("m"));
    }
    let route = RouteConfig::new(["a/m", "b/m"]).on_exhausted(OnExhausted::Wait);
    let runtime = builder.route("smart", route).start().await.expect("it starts");
    (drills, runtime)
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_wait_go_on_once_the_network_is_back_by_the_real_clock() {
    let _alone = super::ALONE.lock().await;
    let (drills, runtime) = two_waited_for().await;
    let ask = |n: usize| {
        let runtime = runtime.clone();
        async move { runtime.chat(ChatRequest::new("smart").user(format!("call {n}"))).await }
    };
    ask(0).await.expect("all is well");
    let gone = drills.iter().map(|drill| drill.handle().always(Fault::Refuse)).collect::<Vec<_>>();
    for drill in &drills {
        drill.settled().await;
    }
    let begun = Instant::now();
    let mut calls = JoinSet::new();
    for n in 1..=20 {
        calls.spawn(ask(n));
        tokio::time::sleep(MS(10)).await;
    }
    tokio::time::sleep(GONE.saturating_sub(begun.elapsed())).await;
    assert!(calls.try_join_next().is_none(), "nobody gives up");
    let parked: usize = runtime.health().parked.iter().map(|one| one.calls).sum();
    assert!(parked > 10, "{parked} are parked");
    for (drill, fault) in drills.iter().zip(gone) {
        drill.handle().lift(fault);
        drill.settled().await;
    }
    let back = Instant::now();
    let ended = calls.join_all().await;
    println!("{parked} were parked; all were answered {:?} after the network was back", back.elapsed());
    for answer in ended {
        answer.expect("everybody is answered");
    }
    assert!(back.elapsed() < Duration::from_secs(20), "{:?}", back.elapsed());
    tokio::time::sleep(MS(100)).await;
    let health = runtime.health();
    assert_eq!((health.calls, health.queued, health.parked.len()), (0, 0, 0), "nothing is left behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_ten_seconds_of_failures_at_two_targets_all_that_wait_are_served_within_ten_by_the_real_clock() {
    const OUTAGE: Duration = Duration::from_secs(10);
    let _alone = super::ALONE.lock().await;
    let (drills, runtime) = two_waited_for().await;
    let ask = |n: u64| {
        let runtime = runtime.clone();
        async move { runtime.chat(ChatRequest::new("smart").user(format!("call {n}"))).await }
    };
    for n in 0..20 {
        ask(n).await.expect("all is well");
    }
    let down = drills.iter().map(|drill| drill.handle().always(Fault::Error(ProviderError::Server)));
    let down = down.collect::<Vec<_>>();
    let begun = Instant::now();
    let mut calls = JoinSet::new();
    for n in 0..100 {
        let call = ask(n);
        calls.spawn(async move {
            // Half of them at once, the others one after the other.
            tokio::time::sleep(MS(160) * u32::try_from(n.saturating_sub(50)).expect("few")).await;
            call.await
        });
    }
    tokio::time::sleep(OUTAGE.saturating_sub(begun.elapsed())).await;
    for (drill, fault) in drills.iter().zip(down) {
        drill.handle().lift(fault);
        drill.handle().take_log();
    }
    let back = Instant::now();
    for answer in calls.join_all().await {
        answer.expect("everybody is answered");
    }
    let took = back.elapsed();
    let asked: Vec<usize> = drills.iter().map(|drill| drill.handle().log().len()).collect();
    println!("all were answered {took:?} after the return, of {asked:?} asked");
    assert!(took < Duration::from_secs(10), "{took:?}");
    let served: usize = asked.iter().sum();
    assert!(
        asked.iter().all(|asked| *asked >= 20) && served < 120,
        "both serve, and hardly any is asked twice: {asked:?}"
    );
}

//! Short deadlines on the real clock and real sockets, one call after the other: all targets but the last are silent,
//! and the last one is asked in time by each call.

use std::time::Duration;

use futures_util::future::join_all;
use standin::drill::Drill;
use standin::testing::{Fault, Latency, Script};
use standin::{ChatRequest, ProviderConfig, RouteConfig, Runtime, Strategy};

use super::MS;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// Returns how many of these calls at once had no answer, in so many rounds.
async fn lost(targets: usize, warm: usize, deadline: Duration, at_once: usize, rounds: usize) -> usize {
    let script = Script { first_token: Latency::Fixed(MS(40)), per_token: MS(1), ..Script::default() };
    let (mut drills, mut builder) = (Vec::new(), Runtime::builder());
    for name in &NAMES[..targets] {
        let drill = Drill::start(script.clone()).await.expect("a drill");
        builder = builder.provider(*name, ProviderConfig::new(drill.base_url()).key("k").model("m"));
        drills.push(drill);
    }
    let names: Vec<String> = NAMES[..targets].iter().map(|name| format!("{name}/m")).collect();
    let mut route = RouteConfig::new(names.iter().map(String::as_str).collect::<Vec<_>>());
    route.options.strategy = Strategy::Priority;
    let runtime = builder.route("smart", route).start().await.expect("it starts");
    for name in &names {
        for _ in 0..warm {
            runtime.chat(ChatRequest::new(&**name).user("hi")).await.expect("it is well");
        }
    }
    for drill in &drills[..targets - 1] {
        drill.handle().always(Fault::Hang);
    }
    let mut lost = 0;
    for _ in 0..rounds {
        let calls = (0..at_once).map(|_| runtime.chat(ChatRequest::new("smart").user("hi").deadline(deadline)));
        lost += join_all(calls).await.iter().filter(|reply| reply.is_err()).count();
    }
    runtime.drain(Duration::ZERO).await;
    lost
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_with_a_short_deadline_leaves_out_the_target_that_is_well_by_the_real_clock() {
    let _alone = super::ALONE.lock().await;
    for (targets, warm, deadline, at_once, rounds) in [
        (4, 0, MS(900), 1, 12),
        (3, 0, MS(900), 1, 12),
        (4, 3, MS(900), 1, 12),
        (4, 3, MS(3_000), 25, 2),
        (3, 0, MS(2_000), 100, 2),
    ] {
        let lost = lost(targets, warm, deadline, at_once, rounds).await;
        assert_eq!(lost, 0, "{targets} targets, {warm} answers before, by {deadline:?}, {at_once} at once");
    }
}

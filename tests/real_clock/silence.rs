//! A silence of all targets on the real clock and real sockets: those that wait, and nobody new, find its end.

use std::time::{Duration, Instant};

use standin::drill::Drill;
use standin::testing::{Fault, Latency, Script};
use standin::{ChatRequest, ProviderConfig, RouteConfig, Runtime};
use tokio::task::JoinSet;

const MS: fn(u64) -> Duration = Duration::from_millis;
const SILENCE: Duration = Duration::from_secs(4);

/// Returns when the last of these calls was answered, and what each target was asked.
async fn played(targets: usize, calls: u64) -> (Duration, Vec<u64>) {
    let script = Script { first_token: Latency::Fixed(MS(200)), per_token: MS(1), ..Script::default() };
    let (mut drills, mut builder, mut names) = (Vec::new(), Runtime::builder(), Vec::new());
    for name in ["a", "b"].into_iter().take(targets) {
        let drill = Drill::start(script.clone()).await.expect("a drill");
        builder = builder.provider(name, ProviderConfig::new(drill.base_url()).key("k").model("m"));
        names.push(format!("{name}/m"));
        drills.push(drill);
    }
    let route = RouteConfig::new(names.iter().map(String::as_str).collect::<Vec<_>>());
    let runtime = builder.route("smart", route).with(|config| config.seed = Some(7)).start().await.expect("it starts");
    for _ in 0..4 {
        let mut warm = JoinSet::new();
        for name in names.iter().flat_map(|name| std::iter::repeat_n(name.clone(), 10)) {
            let runtime = runtime.clone();
            warm.spawn(async move { runtime.chat(ChatRequest::new(&*name).user("hi")).await.expect("it is well") });
        }
        warm.join_all().await;
    }
    let hangs: Vec<_> = drills.iter().map(|drill| drill.handle().always(Fault::Hang)).collect();
    let before: Vec<u64> = drills.iter().map(|drill| drill.handle().received()).collect();
    let begun = Instant::now();
    let mut waiting = JoinSet::new();
    for _ in 0..calls {
        let runtime = runtime.clone();
        waiting.spawn(async move { runtime.chat(ChatRequest::new("smart").user("hi")).await.expect("an answer") });
    }
    tokio::time::sleep(SILENCE).await;
    for (drill, hang) in drills.iter().zip(hangs) {
        drill.handle().lift(hang);
    }
    waiting.join_all().await;
    let took = begun.elapsed();
    let asked = drills.iter().zip(before).map(|(drill, before)| drill.handle().received() - before).collect();
    runtime.drain(Duration::ZERO).await;
    (took, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_wait_find_the_end_of_a_silence_by_the_real_clock() {
    let _alone = super::ALONE.lock().await;
    for (targets, calls) in [(1, 1), (1, 20), (2, 1), (2, 20)] {
        let (took, asked) = played(targets, calls).await;
        println!(
            "{targets} targets, {calls} calls: answered {took:?} after the silence of {SILENCE:?} began, {asked:?}"
        );
        assert!(took < SILENCE * 3 / 2 + MS(5_000), "{targets} targets, {calls} calls: {took:?}");
        assert!(asked.iter().all(|&asked| asked <= 2 * calls + 12), "{asked:?}");
    }
}

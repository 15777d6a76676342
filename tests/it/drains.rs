//! Calls that were parked through an outage of all their targets: once one is back they are served as fast as each good
//! answer allows, whatever the outage was, and however many targets there are.

use std::time::Duration;

use standin::testing::{Fault, Latency, ProviderError, RetryHint, Script, Scripted};
use standin::{Config, OnExhausted, Strategy};
use tokio::time::{Instant, sleep};

use super::kit::{MS, S, World, all, ask, stream, world_with};

/// How long the outage lasts, and within what time its calls come.
const OUTAGE: Duration = Duration::from_secs(10);
const COMING: Duration = Duration::from_secs(8);
const CALLS: u32 = 60;

/// How an answer is taken, by the caller and from the provider.
#[derive(Clone, Copy, Debug)]
enum Way {
    Stream,
    Whole,
    WholeUpstream,
}

async fn world(targets: usize, way: Way, first_token: Duration) -> World {
    let script = Script { first_token: Latency::Fixed(first_token), per_token: 5 * MS, ..Script::default() };
    let edit = |config: &mut Config| {
        config.failover.on_exhausted = OnExhausted::Wait;
        if matches!(way, Way::Stream) {
            config.routes.get_mut("smart").expect("its route").options.strategy = Strategy::Adaptive;
        }
        for provider in config.providers.values_mut() {
            provider.stream_upstream = Some(!matches!(way, Way::WholeUpstream));
        }
    };
    world_with(targets, script, edit).await
}

/// Returns how long after the return of all targets the last call was answered.
async fn drained(world: &World, fault: &Fault, way: Way) -> Duration {
    for n in 0..20 {
        world.runtime.chat(ask(&format!("warm {n}"))).await.expect("all is well");
    }
    let down: Vec<_> = world.providers.iter().map(|one| one.always(fault.clone())).collect();
    let begun = Instant::now();
    let calls = (0..CALLS).map(|n| {
        let (runtime, text) = (world.runtime.clone(), format!("call {n}"));
        tokio::spawn(async move {
            // Half of them at once, the others one after the other.
            sleep(COMING * n.saturating_sub(CALLS / 2) / (CALLS / 2)).await;
            let said = match way {
                Way::Stream => stream(&runtime, ask(&text)).await.text(),
                Way::Whole | Way::WholeUpstream => runtime.chat(ask(&text)).await.expect("it is served").text,
            };
            assert_eq!(said, text);
        })
    });
    let calls: Vec<_> = calls.collect();
    sleep(OUTAGE).await;
    world.providers.iter().zip(down).for_each(|(one, fault)| one.lift(fault));
    world.providers.iter().for_each(|one| drop(one.take_log()));
    all(calls).await;
    begun.elapsed().saturating_sub(OUTAGE)
}

/// No second carries more than twice what the best one before it has carried, or a first second of eight.
fn check_herd(provider: &Scripted, what: &str) {
    let times: Vec<Duration> = provider.log().iter().map(|record| record.at).collect();
    let within = |from: Duration| times.iter().filter(|at| (from..from + S).contains(*at)).count();
    let seconds: Vec<usize> = times.iter().map(|from| within(*from)).collect();
    for (index, carried) in seconds.iter().enumerate() {
        let best = seconds[..index].iter().copied().max().unwrap_or(0).max(8);
        assert!(*carried <= 2 * best + 2, "{what}: {carried} after {best}: {times:?}");
    }
}

/// The time in which so many calls go where the first second carries two and each one twice as many as the one before.
fn doubling(calls: u32) -> Duration {
    (1..32).find(|seconds| 2_u32.pow(seconds + 1) - 2 >= calls).map(|seconds| S * seconds).expect("it ends")
}

#[tokio::test(start_paused = true)]
async fn whatever_the_outage_was_its_calls_are_served_soon_after_it_and_by_no_herd() {
    let outages = [
        ("500", Fault::Error(ProviderError::Server)),
        ("503", Fault::Error(ProviderError::Overloaded)),
        ("429", Fault::RateLimited(RetryHint::Silent)),
        ("429 with a time", Fault::RateLimited(RetryHint::Seconds(10 * S))),
    ];
    for (name, fault) in outages {
        for (targets, way) in [(1, Way::Whole), (2, Way::Stream), (2, Way::WholeUpstream), (5, Way::Whole)] {
            let world = world(targets, way, 300 * MS).await;
            let took = drained(&world, &fault, way).await;
            let what = format!("{name}, {targets} targets, {way:?}: {took:?}");
            println!("{what}");
            // What is left of a cooldown or a pause, two probes, and the doubling; an answer takes .3 s.
            let each = CALLS.div_ceil(u32::try_from(targets).unwrap());
            assert!(took < 4 * S + doubling(each), "{what}");
            // A limit of what may be in flight, which such a refusal teaches, doubles with each round of answers.
            if !matches!(fault, Fault::RateLimited(_)) {
                world.providers.iter().for_each(|provider| check_herd(provider, &what));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn where_answers_take_longer_the_load_doubles_with_each_round_of_answers() {
    for (targets, way) in [(1, Way::Stream), (2, Way::Whole)] {
        let world = world(targets, way, 2 * S).await;
        let took = drained(&world, &Fault::Error(ProviderError::Server), way).await;
        let each = CALLS.div_ceil(u32::try_from(targets).unwrap());
        println!("{targets} targets: {took:?}");
        assert!(took < 4 * S + 2 * 2 * S + 2 * doubling(each), "{targets} targets: {took:?}");
    }
}

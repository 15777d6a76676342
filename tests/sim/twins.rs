//! One scenario twice: by the machines in the simulator's world, and by the whole runtime under paused time over
//! scripted providers that are as that world says. Both ask the same targets in the same order at the same times.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use standin::Priority;
use standin::testing::{Fault, Latency, ProviderError, Schedule, Script};
use tokio::time::{Instant, sleep_until};

use super::kit::*;
use super::simulator::gateway::{Standin, Tuning};
use super::simulator::world::{How, Scenario, Target, Truth, play};

const SECONDS: f64 = 400.0;
const TOKENS: u32 = 20;
const MS: fn(u64) -> Duration = Duration::from_millis;

/// Times of calls, in whole milliseconds, since the runtime's timers know nothing finer.
fn arrivals(seed: u64) -> Vec<u64> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut at = 0;
    let next = std::iter::from_fn(|| {
        at += 101 + 2 * rng.random_range(0..700);
        Some(at)
    });
    next.take_while(|at| (*at as f64) < 1e3 * SECONDS).collect()
}

/// A fails for a minute, then B is slow for a minute, then A is silent for half a minute.
fn scenario(seed: u64) -> Scenario {
    let well = |first| Truth { loss: 0.0, first, sigma: 0.0, per_token: 0.019, ..Truth::default() };
    let (a, b, c) = (well(0.4), well(0.5), well(0.6));
    let fails = |how| Truth { loss: 1.0, how, ..a };
    let target = |provider, truth| Target { price: (0.0, 0.0), tier: 0, provider, truth };
    let a = vec![(0.0, a), (60.0, fails(How::Error)), (120.0, a), (300.0, fails(How::Silence)), (330.0, a)];
    let b = vec![(0.0, b), (200.0, Truth { first: 2.5, ..b }), (260.0, b)];
    let calls = arrivals(seed).into_iter().map(|at| (at as f64 / 1e3, 0, TOKENS));
    Scenario {
        name: "twins".to_owned(),
        targets: vec![target(0, a), target(1, b), target(2, vec![(0.0, c)])],
        rate: 60.0,
        seconds: SECONDS,
        burst: None,
        prompt: 0,
        tokens: TOKENS,
        deadline: Duration::from_secs(600),
        offline: None,
        headers: false,
        priority: Priority::Default,
        arrivals: Some(std::sync::Arc::new(calls.collect())),
    }
}

/// Which target was asked when, in the simulator.
fn simulated(seed: u64) -> Vec<(u64, usize)> {
    let scenario = scenario(seed);
    let mut gateway = Standin::new(&scenario, Tuning::default(), seed, std::time::Instant::now());
    let (_, log) = play(&scenario, &mut gateway, seed, true);
    let asked = |line: &String| {
        let words: Vec<&str> = line.split(' ').collect();
        let second: f64 = words[0].parse().unwrap();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "milliseconds of some minutes")]
        let at = (1e3 * second).round() as u64;
        (at, words[4].parse().unwrap())
    };
    log.iter().map(asked).collect()
}

/// Which target was asked when, by the runtime.
fn run(seed: u64) -> Vec<(u64, usize)> {
    let clock = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    clock.block_on(async {
        let work = Work { seed, words: usize::try_from(TOKENS).unwrap(), ..Work::default() };
        let script = |index: usize, script: Script| Script {
            head: MS(200),
            first_token: Latency::Fixed(MS([400, 500, 600][index])),
            per_token: MS(20),
            ..script
        };
        let world = unmeasured(&work, script).await;
        let s = Duration::from_secs;
        let a = Schedule::new().during(s(60), s(120), Fault::Error(ProviderError::Server));
        world.providers[0].scripted.schedule(a.during(s(300), s(330), Fault::Hang));
        let slow = Fault::SlowFirst { factor: 5.0, plus: Duration::ZERO };
        world.providers[1].scripted.schedule(Schedule::new().during(s(200), s(260), slow));
        let born = Instant::now();
        let mut calls = tokio::task::JoinSet::new();
        for at in arrivals(seed) {
            sleep_until(born + MS(at)).await;
            let (runtime, work) = (world.runtime.clone(), work.clone());
            calls.spawn(async move { call(&runtime, &work, born).await });
        }
        calls.join_all().await;
        let asked = world.providers.iter().enumerate().flat_map(|(target, provider)| {
            let at = |at: Duration| u64::try_from(at.as_millis()).unwrap();
            provider.seen().into_iter().map(move |seen| (at(seen.at), target))
        });
        let mut asked: Vec<_> = asked.collect();
        asked.sort_unstable();
        asked
    })
}

#[test]
fn the_runtime_under_paused_time_decides_as_the_simulator_does_event_by_event() {
    for seed in 1..=2 {
        let (simulated, run) = (simulated(seed), run(seed));
        assert!(run.len() > 400);
        for target in 0..3 {
            let at = |asked: &[(u64, usize)]| {
                let mut at: Vec<u64> = asked.iter().filter(|asked| asked.1 == target).map(|asked| asked.0).collect();
                at.sort_unstable();
                at
            };
            let (simulated, run) = (at(&simulated), at(&run));
            // The limit of a silence comes from a histogram of two digits, and the runtime's prompt has a length:
            // events within 20 ms of each other count as the same, and one in twenty may have no pair.
            let alone = |these: &[u64], those: &[u64]| {
                these.iter().filter(|at| !those.iter().any(|other| at.abs_diff(*other) <= 20)).count()
            };
            let (ours, theirs) = (alone(&simulated, &run), alone(&run, &simulated));
            let most = run.len().div_ceil(20);
            assert!(ours <= most && theirs <= most, "seed {seed}, target {target}: {ours} and {theirs} have no twin");
        }
    }
}

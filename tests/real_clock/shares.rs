//! Two different targets, with the whole runtime on the real clock and in the simulator: the first one's share of the
//! calls.

#[path = "../../examples/simulate/gateway.rs"]
mod gateway;
#[path = "../../examples/simulate/score.rs"]
#[expect(dead_code, reason = "the example uses the rest")]
mod score;
#[path = "../../examples/simulate/world.rs"]
#[expect(dead_code, reason = "the example uses the rest")]
mod world;

use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway::{Standin, Tuning};
use standin::config::PriceConfig;
use standin::testing::{Answer, Answers, Fault, Latency, ProviderError, Script, Scripted};
use standin::{ChatRequest, ModelConfig, Priority, ProviderConfig, RouteConfig, Runtime};
use tokio::task::JoinSet;
use world::{How, Scenario, Target, Truth, run};

use super::{ALONE, MS};

const SECONDS: f64 = 4.0;
/// Calls a second.
const RATE: f64 = 100.0;
const TOKENS: u32 = 20;
const SEEDS: u64 = 10;
/// Runs on the real clock, each with other latencies.
const RUNS: u64 = 3;

/// A target: dollars for a million tokens of answers, and its behaviour.
#[derive(Clone, Copy)]
struct Of(f64, Truth);

fn cases() -> Vec<(&'static str, [Of; 2])> {
    let well = Truth { loss: 0.0, first: 0.3, sigma: 0.3, per_token: 0.005, ..Truth::default() };
    let fails = Truth { loss: 0.2, how: How::Error, ..well };
    vec![
        ("alike", [Of(1.0, well), Of(1.0, well)]),
        (".3 s, .6 s", [Of(1.0, well), Of(1.0, Truth { first: 0.6, ..well })]),
        ("20 % fail, the other is alike", [Of(1.0, fails), Of(1.0, well)]),
        ("the other costs twice as much", [Of(10.0, well), Of(20.0, well)]),
    ]
}

fn simulated(targets: [Of; 2], seed: u64) -> f64 {
    let target = |(provider, Of(price, truth)): (usize, Of)| Target {
        price: (0.0, price),
        tier: 0,
        provider,
        truth: vec![(0.0, truth)],
    };
    let scenario = Scenario {
        name: "shares".to_owned(),
        targets: targets.into_iter().enumerate().map(target).collect(),
        rate: 60.0 * RATE,
        seconds: SECONDS,
        burst: None,
        prompt: 0,
        tokens: TOKENS,
        deadline: Duration::from_secs(600),
        offline: None,
        headers: false,
        priority: Priority::Default,
        arrivals: None,
    };
    let mut gateway = Standin::new(&scenario, Tuning::default(), seed, Instant::now());
    run(&scenario, &mut gateway, seed).share(0, 0.0, SECONDS)
}

async fn measured(targets: [Of; 2], run: u64) -> f64 {
    let words: Vec<String> = (0..TOKENS).map(|word| format!("w{word}")).collect();
    let text = words.join(" ");
    let mut builder = Runtime::builder();
    for (seed, (name, Of(price, truth))) in (1..).zip(["a", "b"].into_iter().zip(targets)) {
        let text = text.clone();
        let provider = Scripted::new(Script {
            seed: seed + 10 * run,
            head: MS(200),
            first_token: Latency::LogNormal { median: Duration::from_secs_f64(truth.first), sigma: truth.sigma },
            per_token: Duration::from_secs_f64(truth.per_token),
            answers: Answers::by(move |_| Answer::text(text.clone())),
            log_max: 0,
            ..Script::default()
        });
        if truth.loss > 0.0 {
            provider.sometimes(truth.loss, Fault::Error(ProviderError::Server));
        }
        let model = ModelConfig { price: Some(PriceConfig::new(0.0, price)), ..ModelConfig::default() };
        let mut configured = ProviderConfig::new(format!("http://{name}.test/v1")).model_with("m", model);
        configured.custom = Some(Arc::new(provider));
        builder = builder.provider(name, configured);
    }
    let runtime = builder.route("smart", RouteConfig::new(["a/m", "b/m"])).start().await.expect("starts");
    let mut calls = JoinSet::new();
    let mut turn = tokio::time::interval(Duration::from_secs_f64(1.0 / RATE));
    let begun = Instant::now();
    while begun.elapsed().as_secs_f64() < SECONDS {
        turn.tick().await;
        let runtime = runtime.clone();
        calls.spawn(async move { runtime.chat(ChatRequest::new("smart").user("Hi")).await.expect("an answer") });
    }
    let firsts: Vec<bool> = calls
        .join_all()
        .await
        .into_iter()
        .map(|reply| {
            let first = reply.finished.attempts.first();
            first.is_some_and(|attempt| attempt.target.to_string().starts_with('a'))
        })
        .collect();
    firsts.iter().filter(|first| **first).count() as f64 / firsts.len() as f64
}

#[tokio::test]
async fn shares_of_two_targets_on_the_real_clock_lie_within_the_simulators_intervals() {
    let _alone = ALONE.lock().await;
    let mut runs = JoinSet::new();
    for (name, targets) in cases() {
        runs.spawn(async move {
            let mut sum = 0.0;
            for run in 0..RUNS {
                sum += measured(targets, run).await;
            }
            (name, targets, sum / RUNS as f64)
        });
    }
    for (name, targets, measured) in runs.join_all().await {
        let shares: Vec<f64> = (0..SEEDS).map(|seed| simulated(targets, seed)).collect();
        let mean = shares.iter().sum::<f64>() / shares.len() as f64;
        let variance = shares.iter().map(|share| (share - mean).powi(2)).sum::<f64>() / (shares.len() - 1) as f64;
        // A few runs among others, and a machine whose timers are late.
        let wide = 3.0 * (variance / RUNS as f64).sqrt() + 0.04;
        println!("{name}: {measured:.3} on the real clock, {mean:.3} ± {wide:.3} in the simulator");
        assert!((measured - mean).abs() <= wide, "{name}: {measured:.3}, and {mean:.3} ± {wide:.3} in the simulator");
    }
}

//! Properties of every plan, of any route in any state.

use std::time::Duration;

use proptest::option;
use proptest::prelude::{Just, ProptestConfig, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::Strategy as Generator;
use proptest::test_runner::RngSeed;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::kit::*;
use crate::policy::routing::*;
use crate::policy::snapshot::{BreakerState, Disabled};
use crate::words::Priority;

#[derive(Clone, Debug)]
struct Shape {
    tier: u8,
    weight: f64,
    domain: u16,
    labels: u64,
    price: Option<f64>,
    tools: bool,
    breaker: u8,
    flags: u8,
    failure_rate: f64,
    ttft: u64,
}

fn shape() -> impl Generator<Value = Shape> {
    (
        (0_u8..3, prop_oneof![Just(0.0), Just(1.0), 0.1..5.0], 0_u16..3, 0_u64..8),
        (option::of(0.0..20.0), any::<bool>(), 0_u8..6, any::<u8>(), 0.0..1.0, 50_u64..20_000),
    )
        .prop_map(|((tier, weight, domain, labels), (price, tools, breaker, flags, failure_rate, ttft))| Shape {
            tier,
            weight,
            domain,
            labels,
            price,
            tools,
            breaker,
            flags,
            failure_rate,
            ttft,
        })
}

fn bench(shapes: &[Shape], needed: u64, seed: u64, strategy: Strategy, sticky: usize, priority: u8) -> Bench {
    let mut bench = Bench::of(shapes.len()).strategy(strategy);
    let now = bench.now;
    for (target, shape) in bench.targets.iter_mut().zip(shapes) {
        target.tier = shape.tier;
        target.weight = shape.weight;
        target.domain = shape.domain;
        target.labels = LabelSet(shape.labels);
        target.price = shape.price.and_then(price);
        target.capabilities.tools = shape.tools;
        let health = &mut target.health;
        health.breaker = match shape.breaker {
            0 => BreakerState::Open { until: now + MINUTE },
            1 => BreakerState::Open { until: now },
            2 => BreakerState::HalfOpen,
            3 => BreakerState::Ramp { per_second: 2.0, full_until: (shape.flags & 1 == 0).then_some(now + SECOND) },
            _ => BreakerState::Closed,
        };
        health.probe_free = shape.flags & 1 == 0;
        health.degraded = shape.flags & 2 == 0;
        health.slow = shape.flags & 0b1100 == 0;
        health.disabled = (shape.flags & 0b11_0000 == 0).then_some(Disabled::Operator { until: None });
        health.rate_limited_until = (shape.flags & 0b1100_0000 == 0).then_some(now + SECOND);
        health.failure_rate = shape.failure_rate;
        health.ttft = latency(Duration::from_millis(shape.ttft));
        health.last_used = (shape.ttft.is_multiple_of(2)).then_some(now);
    }
    bench.needs.labels = LabelSet(needed);
    bench.needs.tools = seed.is_multiple_of(2);
    bench.needs.priority =
        [Priority::Batch, Priority::Default, Priority::Interactive, Priority::Critical][usize::from(priority)];
    bench.sticky = (sticky < shapes.len()).then(|| Sticky::new(sticky, now));
    bench.rng = SmallRng::seed_from_u64(seed);
    bench
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(1),
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_plan_is_whole_keeps_the_walls_and_repeats(
        shapes in prop::collection::vec(shape(), 0..9),
        needed in prop_oneof![Just(0_u64), 0_u64..4],
        seed in any::<u64>(),
        strategy in 0_usize..8,
        sticky in 0_usize..12,
        priority in 0_u8..4,
    ) {
        let mut asked = bench(&shapes, needed, seed, every_strategy()[strategy], sticky, priority);
        let mut again = asked.clone();
        let plan = asked.plan();
        prop_assert_eq!(&plan, &again.plan(), "same seed, same plan");

        // Every target once.
        let mut named: Vec<_> = plan.picks.iter().map(|pick| pick.target).collect();
        named.extend(plan.skipped.iter().map(|skip| skip.target));
        named.sort_unstable();
        prop_assert_eq!(named, (0..shapes.len()).collect::<Vec<_>>());

        // Nothing crosses a wall, nothing that is barred is picked, and every target that may run is.
        let fits = |target: usize| {
            let it = &asked.targets[target];
            it.labels.carries(asked.needs.labels) && (it.capabilities.tools || !asked.needs.tools)
        };
        for pick in &plan.picks {
            prop_assert!(fits(pick.target));
            let health = &asked.targets[pick.target].health;
            prop_assert!(health.disabled.is_none() && health.rate_limited_until.is_none());
        }
        let admits = |target: usize| fits(target) && asked.targets[target].health.refusal(false, asked.now).is_none();
        let admissible = (0..shapes.len()).filter(|target| admits(*target)).count();
        if admissible > 0 {
            prop_assert_eq!(plan.picks.len(), admissible);
            prop_assert!(!plan.last_resort);
        } else {
            prop_assert_eq!(plan.last_resort, !plan.picks.is_empty());
        }

        // A probe leads or trails.
        let probes = plan.picks.iter().filter(|pick| pick.why == PickReason::Probe).count();
        prop_assert!(probes <= usize::from(priority < 3));
        prop_assert!(probes == 0 || plan.picks[0].why == PickReason::Probe);

        // Shares are a distribution over those that run.
        if strategy == 0 {
            let scores: Vec<_> = plan.picks.iter().map(|pick| pick.score.unwrap()).collect();
            let whole: f64 = scores.iter().map(|score| score.share).sum();
            let runs = plan.picks.iter().any(|pick| !matches!(pick.why, PickReason::Probe | PickReason::Recovering));
            prop_assert!((whole - f64::from(u8::from(runs))).abs() < 1e-9, "{whole}");
            prop_assert!(scores.iter().all(|score| score.j.is_finite() && score.share >= 0.0));
        }
    }
}

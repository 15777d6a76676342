//! Properties over random histories: evidence against a target never helps it, and names and units change nothing.

use std::time::Duration;

use proptest::option;
use proptest::prelude::{Just, ProptestConfig, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::Strategy as Generator;
use proptest::test_runner::RngSeed;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::kit::*;
use crate::policy::admission::{
    Admission, AdmissionOptions, AdmissionRequest, BreakerOptions, HealthOptions, KeysInUse, Outcome, Report,
    TargetOptions, Ticket,
};
use crate::policy::routing::*;
use crate::words::{Failure, FailureClass, Priority};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// A target as its route has it.
#[derive(Clone, Debug)]
struct Place {
    tier: u8,
    weight: f64,
    price: Option<f64>,
}

fn place() -> impl Generator<Value = Place> {
    (0_u8..2, prop_oneof![Just(1.0), 0.1..5.0], option::weighted(0.8, 0.1..20.0))
        .prop_map(|(tier, weight, price)| Place { tier, weight, price })
}

/// What happened: where, how it ended, after what time, and the pause behind it.
#[derive(Clone, Copy, Debug)]
struct Event {
    target: usize,
    failure: Option<FailureClass>,
    age: u64,
    pause: u64,
}

fn event(targets: usize) -> impl Generator<Value = Event> {
    let failure = prop::sample::select(vec![
        FailureClass::Server,
        FailureClass::Connect,
        FailureClass::Overloaded,
        FailureClass::NoFirstToken,
        FailureClass::Cut,
        FailureClass::Unusable,
    ]);
    let age = prop_oneof![50_u64..3_000, 3_000_u64..40_000];
    let pause = prop_oneof![4 => 0_u64..2_000, 1 => 2_000_u64..600_000];
    (0..targets, option::weighted(0.4, failure), age, pause).prop_map(|(target, failure, age, pause)| Event {
        target,
        failure,
        age,
        pause,
    })
}

/// Targets of a route, each at a provider of its own, and what their machines know of them.
#[derive(Clone)]
struct Lab {
    bench: Bench,
    machines: Vec<Admission>,
    rng: SmallRng,
}

impl Lab {
    fn new(places: &[Place], priority: Priority) -> Self {
        let mut bench = Bench::of(places.len());
        bench.needs.priority = priority;
        for (target, place) in bench.targets.iter_mut().zip(places) {
            (target.tier, target.weight, target.price) = (place.tier, place.weight, place.price.and_then(price));
        }
        let machine = || {
            let options = AdmissionOptions {
                targets: vec![TargetOptions::default()],
                keys: 1,
                breaker: BreakerOptions::default(),
                health: HealthOptions::default(),
            };
            Admission::new(options, bench.now)
        };
        let machines = places.iter().map(|_| machine()).collect();
        Self { bench, machines, rng: SmallRng::seed_from_u64(3) }
    }

    fn admit(&mut self, target: usize) -> Option<Ticket> {
        let ask = AdmissionRequest {
            target: 0,
            prompt_tokens: 1_000,
            whole: false,
            output_max: None,
            output_expected: 0,
            last_resort: false,
            look: None,
            in_use: KeysInUse::NONE,
            other_key: false,
        };
        self.machines[target].admit(ask, 0, self.bench.now, &mut self.rng).ok()
    }

    /// Lets an attempt's time pass, with its reports.
    fn wait(&mut self, target: usize, ticket: &Ticket, age: Duration) {
        self.bench.now = ticket.started + age;
        if age >= ticket.overdue_after {
            self.machines[target].report(ticket, Report::Overdue, self.bench.now, &mut self.rng);
        }
    }

    fn fail(&mut self, target: usize, ticket: &Ticket, class: FailureClass) {
        let outcome = Outcome::Failure { class, scope: Failure::new(class, "").scope, retry_after: None };
        self.machines[target].report(ticket, Report::Ended(outcome), self.bench.now, &mut self.rng);
    }

    fn content(&mut self, target: usize, ticket: &Ticket, after: Duration) {
        self.machines[target].report(ticket, Report::Content { after }, self.bench.now, &mut self.rng);
    }

    fn succeed(&mut self, target: usize, ticket: &Ticket, after: Duration, tpot: Option<Duration>) {
        self.content(target, ticket, after);
        let outcome = Outcome::Success { tpot };
        self.machines[target].report(ticket, Report::Ended(outcome), self.bench.now, &mut self.rng);
    }

    fn live(&mut self, events: &[Event]) {
        for event in events {
            let target = event.target % self.machines.len();
            if let Some(ticket) = self.admit(target) {
                let age = MS(event.age);
                self.wait(target, &ticket, age);
                if event.failure == Some(FailureClass::Cut) {
                    self.content(target, &ticket, age);
                }
                match event.failure {
                    Some(class) => self.fail(target, &ticket, class),
                    None => self.succeed(target, &ticket, age, Some(MS(20))),
                }
            }
            self.bench.now += MS(event.pause);
        }
    }

    fn health(&self, target: usize) -> Health {
        self.machines[target].health(0, 0, self.bench.now)
    }

    /// The share of first choices that a target has; `None` where the call is a last resort.
    fn share(&self, target: usize) -> Option<f64> {
        let mut bench = self.bench.clone();
        for at in 0..self.machines.len() {
            bench.targets[at].health = self.health(at);
        }
        let plan = bench.plan();
        let pick = plan.picks.iter().find(|pick| pick.target == target);
        let share =
            |pick: &Pick| if pick.why == PickReason::Probe { 1.0 } else { pick.score.map_or(0.0, |score| score.share) };
        (!plan.last_resort).then(|| pick.map_or(0.0, share))
    }
}

fn priority() -> impl Generator<Value = Priority> {
    prop::sample::select(vec![Priority::Batch, Priority::Default, Priority::Interactive])
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn another_failure_never_raises_a_targets_chance(
        places in prop::collection::vec(place(), 2..5),
        events in prop::collection::vec(event(4), 0..60),
        class in event(1),
        priority in priority(),
    ) {
        let mut before = Lab::new(&places, priority);
        before.live(&events);
        let Some(ticket) = before.admit(0) else { return Ok(()) };
        let failure = class.failure.unwrap_or(FailureClass::Server);
        if failure == FailureClass::Cut {
            before.content(0, &ticket, MS(500));
        }
        // No quicker than those before it, whose mean fades meanwhile: quicker failures are good news, too.
        let age = MS(class.age).max(before.health(0).detect.mul_f64(1.25) + MS(100));
        before.wait(0, &ticket, age);
        let mut after = before.clone();
        after.fail(0, &ticket, failure);
        if let (Some(before), Some(after)) = (before.share(0), after.share(0)) {
            prop_assert!(after <= before + 1e-9, "{before} became {after}");
        }
    }

    #[test]
    fn a_failure_never_leaves_a_target_better_off_than_a_quick_answer_in_its_place(
        places in prop::collection::vec(place(), 2..5),
        events in prop::collection::vec(event(4), 0..60),
        class in event(1),
        priority in priority(),
    ) {
        let mut failed = Lab::new(&places, priority);
        failed.live(&events);
        let Some(ticket) = failed.admit(0) else { return Ok(()) };
        failed.wait(0, &ticket, MS(class.age));
        let mut answered = failed.clone();
        failed.fail(0, &ticket, class.failure.unwrap_or(FailureClass::Server));
        // Too short to tell anything else.
        answered.succeed(0, &ticket, MS(50), None);
        if let (Some(answered), Some(failed)) = (answered.share(0), failed.share(0)) {
            prop_assert!(failed <= answered + 1e-9, "{failed} after a failure, {answered} after an answer");
        }
    }

    #[test]
    fn the_same_history_leads_to_the_same_health_and_the_same_plan(
        places in prop::collection::vec(place(), 1..5), events in prop::collection::vec(event(4), 0..60),
    ) {
        let live = || {
            let mut lab = Lab::new(&places, Priority::Default);
            let start = lab.bench.now;
            lab.live(&events);
            let age = lab.bench.now - start;
            let all = (0..places.len()).map(|target| (age, lab.health(target).failure_rate, lab.share(target)));
            all.collect::<Vec<_>>()
        };
        prop_assert_eq!(live(), live());
    }
}

/// A target in some state, unlike every other.
fn candidate() -> impl Generator<Value = (Place, u8, f64, u64, u64)> {
    (place(), 0_u8..6, 0.0..1.0, 50_000_u64..20_000_000, 0_u64..10)
}

fn bench(shapes: &[(Place, u8, f64, u64, u64)], seed: u64) -> Bench {
    let mut bench = Bench::of(shapes.len());
    let now = bench.now;
    for (target, (place, breaker, failure_rate, ttft, idle)) in bench.targets.iter_mut().zip(shapes) {
        (target.tier, target.weight, target.price) = (place.tier, place.weight, place.price.and_then(price));
        let health = &mut target.health;
        health.breaker = match breaker {
            0 => BreakerState::Open { until: now },
            1 => BreakerState::HalfOpen,
            2 => BreakerState::Ramp { per_second: 2.0, full_until: None },
            _ => BreakerState::Closed,
        };
        health.failure_rate = *failure_rate;
        health.ttft = latency(Duration::from_micros(*ttft));
        health.last_used = now.checked_sub(SECOND * u32::try_from(*idle).expect("some seconds"));
    }
    bench.rng = SmallRng::seed_from_u64(seed);
    bench
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn renaming_targets_permutes_decisions_under_every_strategy(
        shapes in prop::collection::vec(candidate(), 1..8),
        seed in any::<u64>(),
        strategy in 0_usize..8,
        sticky in 0_usize..12,
    ) {
        let renamed = |target: usize| 1_000 - 7 * target;
        let mut known = bench(&shapes, seed).strategy(every_strategy()[strategy]);
        known.sticky = (sticky < shapes.len()).then(|| Sticky::new(sticky, known.now));
        let mut other = known.clone();
        other.sticky = known.sticky.map(|sticky| Sticky { target: renamed(sticky.target), ..sticky });
        other.targets.iter_mut().for_each(|target| target.target = renamed(target.target));
        // Several plans: what routes remember is renamed as well.
        for _ in 0..4 {
            let (known, other) = (known.plan(), other.plan());
            let named = |pick: &Pick| Pick { target: renamed(pick.target), ..*pick };
            let mapped: Vec<_> = known.picks.iter().map(named).collect();
            prop_assert_eq!(mapped, other.picks);
        }
    }

    #[test]
    fn the_order_in_a_configuration_means_nothing_to_the_default_strategy(
        shapes in prop::collection::vec(candidate(), 1..8), seed in any::<u64>(), turn in 0_usize..8,
    ) {
        let mut known = bench(&shapes, seed);
        let mut turned = known.clone();
        turned.targets.reverse();
        turned.targets.rotate_left(turn % shapes.len());
        prop_assert_eq!(known.plan().picks, turned.plan().picks);
    }

    #[test]
    fn prices_and_the_value_of_time_in_another_currency_change_nothing(
        shapes in prop::collection::vec(candidate(), 1..8),
        seed in any::<u64>(),
        power in -12_i32..12,
        cap in option::of(0.001..0.1),
        slo in option::of(1_u64..9),
    ) {
        // A power of two, so that not even the last bit differs.
        let rate = 2_f64.powi(power);
        let mut known = bench(&shapes, seed);
        (known.options.price_max, known.options.slo_ttft_p95) = (cap, slo.map(Duration::from_secs));
        let mut other = known.clone();
        for price in other.targets.iter_mut().filter_map(|target| target.price.as_mut()) {
            for part in [&mut price.input, &mut price.output, &mut price.cached_input] {
                *part *= rate;
            }
        }
        let value = &mut other.options.second_value;
        for part in [&mut value.batch, &mut value.default, &mut value.interactive] {
            *part *= rate;
        }
        other.options.price_max = cap.map(|cap: f64| cap * rate);
        let (known, other) = (known.plan(), other.plan());
        let decided = |plan: &Plan| {
            let of = |pick: &Pick| (pick.target, pick.why, pick.score.map(|score| score.share));
            plan.picks.iter().map(of).collect::<Vec<_>>()
        };
        prop_assert_eq!(decided(&known), decided(&other));
        prop_assert_eq!(&known.skipped, &other.skipped);
        for (known, other) in known.picks.iter().zip(&other.picks) {
            prop_assert_eq!(known.score.unwrap().j * rate, other.score.unwrap().j);
        }
    }
}

//! The machines in the simulator: properties, and that the simulator itself is right.

#[path = "../../examples/simulate/gateway.rs"]
pub mod gateway;
#[path = "../../examples/simulate/rivals.rs"]
#[expect(dead_code, reason = "the example uses the rest")]
mod rivals;
#[path = "../../examples/simulate/scenarios.rs"]
#[expect(dead_code, reason = "the example uses the rest")]
mod scenarios;
#[path = "../../examples/simulate/score.rs"]
#[expect(dead_code, reason = "the example uses the rest")]
mod score;
#[path = "../../examples/simulate/world.rs"]
pub mod world;

use std::time::Instant;

use gateway::{Standin, Tuning};
use rivals::{Oracle, Sequence};
use score::Score;
use standin::{Hedging, OnExhausted, Priority};
use world::{Scenario, play, run};

fn standin(scenario: &Scenario, seed: u64) -> Score {
    tuned(scenario, Tuning::default(), seed)
}

/// With a second target beside one that is slow, and calls that wait out an outage.
fn waits_on_none() -> Tuning {
    let mut tuning = Tuning::default();
    (tuning.failover.hedging, tuning.failover.on_exhausted) = (Some(Hedging::Hedge), OnExhausted::Wait);
    tuning
}

/// Without these, without a queue, and without an attempt beside one that is overdue.
fn waits_on_one() -> Tuning {
    let mut tuning = Tuning { refuses_full: true, bears_silence: true, ..Tuning::default() };
    tuning.failover.hedging = Some(Hedging::Sequential);
    tuning
}

fn tuned(scenario: &Scenario, tuning: Tuning, seed: u64) -> Score {
    run(scenario, &mut Standin::new(scenario, tuning, seed, Instant::now()), seed)
}

#[test]
fn no_target_is_pestered_attempts_are_bounded_and_a_well_target_is_hardly_ever_avoided() {
    let mut avoided = Vec::new();
    for scenario in scenarios::all(60.0, 1_200.0) {
        let score = standin(&scenario, 1);
        let (calls, attempts) = (score.calls() as u64, score.attempts());
        assert_eq!(score.violations(), 0, "{}", scenario.name);
        assert!(2 * attempts <= 3 * calls + 40, "{}: {attempts} attempts for {calls} calls", scenario.name);
        if !scenario.name.contains("all down") && scenario.offline.is_none() {
            assert!(score.success() > 0.999, "{}: {}", scenario.name, score.success());
        }
        avoided.push(score.false_ejections());
    }
    let noise = scenarios::all(10.0, 40.0 * 3_600.0).into_iter().find(|scenario| scenario.name == ".5 % noise");
    let avoided = standin(&noise.expect("it is there"), 1).false_ejections();
    assert!(avoided < 0.000_5, "{avoided}");
}

#[test]
fn the_same_seed_gives_the_same_log_and_another_seed_another() {
    let scenario = scenarios::mixed(2.0, 2.0 * 86_400.0, 3);
    let log =
        |seed| play(&scenario, &mut Standin::new(&scenario, Tuning::default(), seed, Instant::now()), seed, true).1;
    let first = log(1);
    assert!(first.len() > 4_000);
    assert!(first == log(1) && first != log(2));
}

#[test]
fn the_oracle_is_beaten_by_no_gateway() {
    let scenario = scenarios::mixed(2.0, 7.0 * 86_400.0, 5);
    let oracle = run(&scenario, &mut Sequence::new(Oracle::default()), 5);
    assert!(oracle.regret() < 1e-12 && oracle.success() > 0.999_9);
    assert!(oracle.cost() < standin(&scenario, 5).cost());
}

#[test]
fn a_steady_choice_costs_at_most_a_tenth_more_than_the_best_one() {
    let seconds = 1_200.0;
    for case in scenarios::pairs(60.0, seconds).into_iter().filter(|case| case.change.is_none()) {
        let excess = standin(&case.scenario, 1).excess(seconds / 4.0, seconds);
        assert!(excess < 0.1, "{}: {excess}", case.scenario.name);
    }
}

#[test]
fn another_best_choice_is_noticed_within_minutes() {
    for (rate, seconds, noticed_max) in [(60.0, 1_800.0, 300.0), (6.0, 7_200.0, 1_200.0)] {
        for case in scenarios::pairs(rate, seconds) {
            let Some(at) = case.change else { continue };
            let costs = case.scenario.costs(at + 1.0);
            let best = usize::from(costs[0] >= costs[1]);
            let noticed = |seed| standin(&case.scenario, seed).reaches(best, at, 0.5, false).unwrap_or(seconds - at);
            let mean = (1..=5).map(noticed).sum::<f64>() / 5.0;
            assert!(mean < noticed_max, "{} at {rate}: {mean} s", case.scenario.name);
        }
    }
}

#[test]
fn two_equal_targets_end_near_half_each() {
    let mut alike = scenarios::pairs(60.0, 500.0).swap_remove(0).scenario;
    alike.arrivals = None;
    let shares = (0..20).map(|seed| standin(&alike, seed).share(0, 0.0, 500.0));
    let (least, most) = shares.fold((1.0_f64, 0.0_f64), |(least, most), share| (least.min(share), most.max(share)));
    assert!(least >= 0.4 && most <= 0.6, "{least} to {most}");
}

/// Outages as in the weeks of `mixed`, without the hours between them in which nothing happens: those are all the same,
/// so that a few say how much they cost.
fn condensed(scenario: &Scenario) -> (Scenario, f64) {
    const WELL: f64 = 900.0;
    let mut changes: Vec<f64> = scenario.targets.iter().flat_map(|target| &target.truth).map(|(at, _)| *at).collect();
    changes.push(scenario.seconds);
    changes.sort_by(f64::total_cmp);
    let well = |at: f64| scenario.targets.iter().all(|target| *target.at(at) == target.truth[0].1);
    let mut condensed = scenario.clone();
    let mut left_out = 0.0;
    for pair in changes.windows(2).filter(|pair| well(pair[0]) && pair[1] - pair[0] > 2.0 * WELL) {
        let (from, out) = (pair[0] - left_out, pair[1] - pair[0] - WELL);
        for target in &mut condensed.targets {
            target.truth.iter_mut().filter(|(at, _)| *at > from).for_each(|(at, _)| *at -= out);
        }
        condensed.seconds -= out;
        left_out += out;
    }
    (condensed, left_out)
}

#[test]
fn at_a_call_a_second_first_choices_cost_a_thousandth_more_than_those_of_an_oracle() {
    let regret = |seed: u64| {
        let weeks = scenarios::mixed(60.0, 3.5 * 86_400.0, seed);
        let (outages, left_out) = condensed(&weeks);
        let score = standin(&outages, seed);
        // The omitted hours cost as much as the first minutes do, once the targets are known.
        assert!(weeks.targets.iter().all(|target| target.truth.get(1).is_none_or(|(at, _)| *at > 900.0)));
        let well = score.excess(300.0, 900.0);
        (score.regret() * outages.seconds + well * left_out) / weeks.seconds
    };
    let mean = (0..4).map(regret).sum::<f64>() / 4.0;
    assert!(mean < 0.001, "{mean}");
}

#[test]
fn first_choices_among_failing_providers_cost_little_more_than_those_of_an_oracle() {
    let regret = |seed| {
        let scenario = scenarios::mixed(2.0, 6.0 * 86_400.0, seed);
        standin(&scenario, seed).regret()
    };
    let mean = (0..3).map(regret).sum::<f64>() / 3.0;
    assert!(mean < 0.003, "{mean}");
}

#[test]
fn hangs_limits_and_outages_cost_at_most_half_of_what_they_cost_those_who_wait_on_one_target() {
    let names =
        ["half of streams stall", "our network", "one in five", "limits of all, burst", "all down for 10 min, p"];
    let all = scenarios::all(60.0, 2_400.0).into_iter();
    for mut scenario in all.filter(|scenario| names.iter().any(|name| scenario.name.starts_with(name))) {
        scenario.priority = Priority::Interactive;
        let cost = |tuning: Tuning| tuned(&scenario, tuning, 1).cost_in_trouble();
        let best = run(&scenario, &mut Sequence::new(Oracle::default()), 1).cost_in_trouble();
        let (none, one) = (cost(waits_on_none()) / best - 1.0, cost(waits_on_one()) / best - 1.0);
        println!("{}: {:.1} % more than an oracle, in place of {:.1} %", scenario.name, 100.0 * none, 100.0 * one);
        assert!(none <= one / 2.0, "{}: {none}, {one}", scenario.name);
    }
}

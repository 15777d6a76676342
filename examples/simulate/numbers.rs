//! The numbers by which `standin` decides: what each is by default, and what it could be.

use std::time::Duration;

use super::gateway::Tuning;

/// One number of the machines.
pub struct Number {
    pub name: &'static str,
    pub what: &'static str,
    pub get: fn(&Tuning) -> f64,
    pub set: fn(&mut Tuning, f64),
    /// The other values that are tried.
    pub others: &'static [f64],
}

macro_rules! number {
    ($name:literal, $what:literal, seconds $($field:ident).+, $others:expr) => {
        Number {
            name: $name,
            what: $what,
            get: |tuning| tuning.$($field).+.as_secs_f64(),
            set: |tuning, to| tuning.$($field).+ = Duration::from_secs_f64(to),
            others: &$others,
        }
    };
    ($name:literal, $what:literal, tokens $($field:ident).+, $others:expr) => {
        Number {
            name: $name,
            what: $what,
            get: |tuning| tuning.$($field).+ as f64 / 1e3,
            #[expect(clippy::cast_possible_truncation, reason = "some tokens")]
            set: |tuning, to| tuning.$($field).+ = (1e3 * to) as i64,
            others: &$others,
        }
    };
    ($name:literal, $what:literal, $($field:ident).+, $others:expr) => {
        Number {
            name: $name,
            what: $what,
            get: |tuning| tuning.$($field).+,
            set: |tuning, to| tuning.$($field).+ = to,
            others: &$others,
        }
    };
}

/// All numbers of health, breaker, routing and budget.
pub const NUMBERS: [Number; 26] = [
    number!(
        "failure_rate_prior",
        "failures expected of whom nobody knows",
        health.failure_rate_prior,
        [0.001, 0.002, 0.01, 0.02]
    ),
    number!(
        "failure_rate_prior_mass",
        "weight of that, in attempts",
        health.failure_rate_prior_mass,
        [3.0, 5.0, 20.0, 40.0]
    ),
    number!("kept", "weight that an attempt leaves to those before it", health.numbers.kept, [0.9, 0.95, 0.98, 0.99]),
    number!(
        "failures_fade",
        "time in which the weight of failures is lost, s",
        seconds health.numbers.failures_fade,
        [300.0, 600.0, 2_400.0, 7_200.0]
    ),
    number!(
        "times_fade",
        "time in which the weight of latencies is lost, s",
        seconds health.numbers.times_fade,
        [60.0, 180.0, 900.0, 3_600.0]
    ),
    number!(
        "mean_fade",
        "time in which a mean returns to what is usual, s",
        seconds health.numbers.mean_fade,
        [900.0, 1_800.0, 7_200.0, 14_400.0]
    ),
    number!(
        "sibling_weight",
        "weight of a failure of the endpoint at its other targets",
        health.numbers.sibling_weight,
        [0.0, 0.1, 0.4, 1.0]
    ),
    number!("alarm.p0", "failures that are normal", breaker.alarm.p0, [0.005, 0.01, 0.04, 0.08]),
    number!("alarm.p1", "failures that open", breaker.alarm.p1, [0.1, 0.2, 0.5, 0.7]),
    number!("alarm.h", "how sure the alarm must be", breaker.alarm.h, [2.6, 4.0, 9.0, 14.0]),
    number!("cooldown_base", "the shortest cooldown, s", seconds breaker.cooldown_base, [0.25, 0.5, 2.0, 5.0]),
    number!("cooldown_max", "the longest cooldown, s", seconds breaker.cooldown_max, [10.0, 60.0, 120.0, 300.0]),
    number!(
        "cooldown_share",
        "a cooldown in parts of the trouble before it",
        breaker.numbers.cooldown_share,
        [0.05, 0.1, 0.4, 1.0]
    ),
    number!("half_open_luck", "luck that probes may have", breaker.numbers.half_open_luck, [0.01, 0.03, 0.3, 0.5]),
    number!(
        "ramp_step_min",
        "time in which the load may double, s",
        seconds breaker.ramp_step_min,
        [0.25, 0.5, 2.0, 6.0]
    ),
    number!("ramp_alarm", "where the alarm begins on the way back", breaker.numbers.ramp_alarm, [0.0, 0.25, 0.7, 0.9]),
    number!("ramp_share", "the way back in parts of the trouble", breaker.numbers.ramp_share, [0.0, 0.05, 0.2, 0.4]),
    number!(
        "comparable",
        "costs that count as equal, in times the best",
        route.numbers.comparable,
        [1.0, 1.1, 1.4, 1.8]
    ),
    number!("steepness", "steepness of the draw", route.numbers.steepness, [2.0, 4.0, 16.0, 32.0]),
    number!("exploring", "cost of exploring losers, a part of all", route.numbers.exploring, [0.003, 0.01, 0.06, 0.12]),
    number!(
        "exploring_sick",
        "the same where one is worse than usual",
        route.numbers.exploring_sick,
        [0.001, 0.003, 0.03, 0.06]
    ),
    number!(
        "again_after",
        "time between two looks at a loser, s",
        seconds route.numbers.again_after,
        [1.0, 2.0, 15.0, 60.0]
    ),
    number!("probing", "cost of probing, a part of all", route.numbers.probing, [0.003, 0.01, 0.1, 0.3]),
    number!(
        "billed_share",
        "part of a failed attempt that is billed",
        route.numbers.billed_share,
        [0.0, 0.1, 0.6, 1.0]
    ),
    number!("per_call", "second failovers that a call brings", tokens budget.per_call, [0.0, 0.1, 0.25, 1.0]),
    number!("capacity", "second failovers kept for later", tokens budget.capacity, [2.0, 5.0, 50.0, 200.0]),
];

/// Returns the machines with numbers set as `name=value`.
pub fn tuning(settings: &[String]) -> Tuning {
    let mut tuning = Tuning::default();
    for setting in settings {
        let (name, value) = setting.split_once('=').expect("a setting is name=value");
        let number = NUMBERS.iter().find(|number| number.name == name).expect("a number's name");
        (number.set)(&mut tuning, value.parse().expect("a number"));
    }
    tuning
}

//! The list of scenarios, which say what happens to providers, and the cases of two targets.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use standin::Priority;

use super::world::{How, Scenario, Target, Truth, normal};

/// Rates that are played, in calls a minute, and for how many seconds each.
pub const RATES: [(f64, f64); 5] =
    [(2.0, 43_200.0), (10.0, 10_800.0), (60.0, 3_600.0), (600.0, 900.0), (6_000.0, 240.0)];

fn target(provider: usize, truth: Vec<(f64, Truth)>) -> Target {
    Target { price: (0.5, 2.0), tier: 0, provider, truth }
}

fn base(name: &str, rate: f64, seconds: f64, targets: Vec<Target>) -> Scenario {
    Scenario {
        name: name.to_owned(),
        targets,
        rate,
        seconds,
        burst: None,
        prompt: 1_000,
        tokens: 150,
        deadline: Duration::from_secs(120),
        offline: None,
        headers: false,
        priority: Priority::Default,
        arrivals: None,
    }
}

/// The first of three is the best by a little; something happens to it from a quarter of the time to three quarters.
fn three(name: &str, rate: f64, seconds: f64, sick: impl Fn(Truth) -> Truth) -> Scenario {
    let (from, to) = (seconds / 4.0, seconds * 0.75);
    let well = Truth { first: 0.4, ..Truth::default() };
    let first = vec![(0.0, well), (from, sick(well)), (to, well)];
    let other = Truth { first: 0.6, ..Truth::default() };
    base(name, rate, seconds, vec![target(0, first), target(1, vec![(0.0, other)]), target(2, vec![(0.0, other)])])
}

/// One thing that is wrong with targets, at a rate.
pub fn troubles(rate: f64, seconds: f64) -> Vec<Scenario> {
    let fails = |loss: f64, how: How| move |truth: Truth| Truth { loss, how, ..truth };
    let mut scenarios = vec![
        three("hard down", rate, seconds, fails(1.0, How::Refuse)),
        three("black hole", rate, seconds, fails(1.0, How::Silence)),
        three("5 % errors", rate, seconds, fails(0.05, How::Error)),
        three("30 % errors", rate, seconds, fails(0.3, How::Error)),
        three("half of streams cut", rate, seconds, fails(0.5, How::Cut(0.66))),
        three("half of streams stall", rate, seconds, fails(0.5, How::Stall(0.3))),
        three("TTFT x5", rate, seconds, |truth| Truth { first: 5.0 * truth.first, ..truth }),
        three("429, Retry-After 30", rate, seconds, fails(1.0, How::Limited(Duration::from_secs(30)))),
        three("overloaded, Retry-After 30", rate, seconds, fails(1.0, How::Overloaded(Duration::from_secs(30)))),
        three("limit at half the load", rate, seconds, |truth| Truth { limit: Some(rate / 2.0), ..truth }),
        three("key revoked", rate, seconds, fails(1.0, How::Key)),
        three("no money", rate, seconds, fails(1.0, How::Money)),
        three("10 % empty answers", rate, seconds, fails(0.1, How::Empty)),
    ];
    let ramp = |steps: u32| {
        let mut scenario = three("slow ramp to x10", rate, seconds, |truth| truth);
        let well = scenario.targets[0].truth[0].1;
        scenario.targets[0].truth = vec![(0.0, well)];
        for step in 0..=steps {
            let part = f64::from(step) / f64::from(steps);
            let truth = Truth { first: well.first * (1.0 + 9.0 * part), ..well };
            scenario.targets[0].truth.push((seconds * (0.25 + 0.5 * part), truth));
        }
        scenario.targets[0].truth.push((seconds * 0.8, well));
        scenario
    };
    scenarios.push(ramp(20));
    let mut flapping = three("flapping 30 s", rate, seconds, |truth| truth);
    let well = flapping.targets[0].truth[0].1;
    let mut at = seconds / 4.0;
    flapping.targets[0].truth = vec![(0.0, well)];
    while at < seconds * 0.75 {
        flapping.targets[0].truth.push((at, Truth { loss: 1.0, how: How::Error, ..well }));
        flapping.targets[0].truth.push((at + 30.0, well));
        at += 60.0;
    }
    scenarios.push(flapping);
    let mut both = three("A and B down together", rate, seconds, fails(1.0, How::Error));
    let down = both.targets[0].truth.clone();
    both.targets[1].truth = down;
    scenarios.push(both);
    let mut none = three("all down for 10 min", rate, seconds, |truth| truth);
    let until = seconds / 4.0 + 600_f64.min(seconds / 4.0);
    for target in &mut none.targets {
        let well = target.truth[0].1;
        let down = Truth { loss: 1.0, how: How::Error, ..well };
        target.truth = vec![(0.0, well), (seconds / 4.0, down), (until, well)];
    }
    scenarios.push(none);
    let mut local = three("our network down for 2 min", rate, seconds, |truth| truth);
    local.offline = Some((seconds / 4.0, seconds / 4.0 + 120_f64.min(seconds / 8.0)));
    scenarios.push(local);
    let mut model = three("one model of a provider down", rate, seconds, fails(1.0, How::Error));
    model.targets[1].provider = 0;
    model.targets[2].provider = 1;
    scenarios.push(model);
    let mut cold = three("cold start in an outage", rate, seconds, fails(1.0, How::Silence));
    cold.targets[0].truth.remove(0);
    cold.targets[0].truth[0].0 = 0.0;
    scenarios.push(cold);
    let mut burst = three("burst x10", rate, seconds, |truth| truth);
    burst.burst = Some((10.0, seconds / 4.0, seconds / 4.0 + seconds / 20.0));
    scenarios.push(burst);
    scenarios.push(three(".5 % noise", rate, seconds, |truth| truth));
    scenarios.push(three("one in five hangs", rate, seconds, fails(0.2, How::Silence)));
    scenarios.push(three("one in twenty 20 times later", rate, seconds, |truth| Truth { tail: (0.05, 20.0), ..truth }));
    let mut brown =
        three("all slow at times, TTFT x5", rate, seconds, |truth| Truth { first: 5.0 * truth.first, ..truth });
    // One after the other, with an overlap.
    for (place, target) in brown.targets.iter_mut().enumerate() {
        let well = target.truth[0].1;
        let from = seconds * (0.2 + 0.2 * place as f64);
        let slow = Truth { first: 5.0 * well.first, ..well };
        target.truth = vec![(0.0, well), (from, slow), (from + 0.25 * seconds, well)];
    }
    scenarios.push(brown);
    scenarios
}

/// All scenarios at a rate: those, and those in which nothing is left to be asked but what waits.
pub fn all(rate: f64, seconds: f64) -> Vec<Scenario> {
    let mut scenarios = troubles(rate, seconds);
    // A minute's limit at each: all of them together are enough, but not for a burst.
    let limited = |name: &str, times: f64| {
        let mut scenario = three(name, rate, seconds, |truth| truth);
        for target in &mut scenario.targets {
            target.truth = vec![(0.0, Truth { limit: Some(0.6 * rate), ..target.truth[0].1 })];
        }
        scenario.headers = true;
        // Short enough for every call to be answered within the deadline that a call has by default.
        scenario.deadline = Duration::from_secs(600);
        scenario.burst =
            (times > 1.0).then(|| (times, seconds / 4.0, seconds / 4.0 + (seconds / 20.0).clamp(120.0, 180.0)));
        scenario
    };
    scenarios.push(limited("limits of all above the load", 1.0));
    scenarios.push(limited("limits of all, burst x4", 4.0));
    let mut patient =
        scenarios.iter().find(|scenario| scenario.name.starts_with("all down")).expect("it is there").clone();
    "all down for 10 min, patient callers".clone_into(&mut patient.name);
    patient.deadline = Duration::from_secs(1_800);
    scenarios.push(patient);
    scenarios
}

/// What happens in a scenario, for people.
pub fn about(name: &str) -> &'static str {
    const ABOUT: [(&str, &str); 29] = [
        ("hard down under", "The calls of a recorded hour; A refuses connections for half of it."),
        ("hard down", "A refuses connections."),
        ("black hole", "A accepts requests and says nothing more, for ever."),
        ("5 % errors", "A answers one call in twenty with an error."),
        ("30 % errors", "A answers three calls in ten with an error."),
        ("half of streams cut", "Half of A's answers break off after two thirds."),
        ("half of streams stall", "Half of A's answers stop after a third, and the connection stays open."),
        ("TTFT x5", "A needs five times as long until the first word."),
        ("429", "A refuses all calls and asks to come back after 30 s."),
        ("overloaded", "A is overloaded and asks to come back after 30 s."),
        ("limit at half", "A takes half of the calls a minute, and refuses the others."),
        ("key revoked", "A no longer knows the key."),
        ("no money", "A's account is empty."),
        ("10 % empty", "One of ten of A's answers is empty."),
        ("slow ramp", "A becomes slower and slower, up to ten times."),
        ("flapping", "A is down for 30 s, well for 30 s, down for 30 s, and so on."),
        ("A and B down", "A and B answer all calls with errors. Only C is left."),
        ("all down for 10 min, patient", "Nobody answers for ten minutes. Callers would wait for half an hour."),
        ("all down", "Nobody answers for ten minutes. Callers wait for two minutes at most."),
        ("our network", "Our own network is gone for two minutes: nobody can be reached, and nobody is to blame."),
        ("one model", "One of two models of a provider is down, the other one is well."),
        ("cold start", "A says nothing from the first call on: there is no past to compare with."),
        ("burst", "All are well; for a while there are ten times as many calls."),
        (".5 % noise", "All are well, and lose one call in two hundred."),
        ("one in five", "A says nothing more to one call in five."),
        ("one in twenty", "One of twenty of A's answers begins 20 times later."),
        ("all slow at times", "One after the other needs five times as long until the first word."),
        ("limits of all above", "Each takes six of ten calls a minute, and says what is left."),
        (
            "limits of all, burst",
            "The same; for three minutes there are four times as many calls. They are worth waiting for.",
        ),
    ];
    let known = ABOUT.iter().find(|(begins, _)| name.starts_with(begins));
    known.map_or(
        "Outages as real providers have them: two to three a week, an hour in the median, most of them partial.",
        |it| it.1,
    )
}

/// Three equal providers with the outages of real ones: 2.3 a week and provider, an hour in the median (log-normal,
/// sigma 1.1), which lose a tenth to all of the requests in one of the usual ways, or are slow.
pub fn mixed(rate: f64, seconds: f64, seed: u64) -> Scenario {
    let mut rng = SmallRng::seed_from_u64(seed);
    let week = 7.0 * 86_400.0;
    let targets = (0..3).map(|provider| {
        let well = Truth::default();
        let mut truth = vec![(0.0, well)];
        let mut at = 0.0;
        loop {
            at += -(1.0 - rng.random::<f64>()).ln() * week / 2.3;
            if at >= seconds {
                break;
            }
            let lasting = 3_600.0 * (1.1 * normal(&mut rng)).exp();
            let loss = [0.1, 0.3, 0.6, 1.0][rng.random_range(0..4)];
            let how = match rng.random_range(0..10) {
                0 => How::Refuse,
                1 => How::Silence,
                2 => How::Cut(0.5),
                3 => How::Overloaded(Duration::from_secs(20)),
                _ => How::Error,
            };
            let sick = if rng.random_bool(0.15) {
                Truth { first: well.first * rng.random_range(3.0..10.0), ..well }
            } else {
                Truth { loss, how, ..well }
            };
            truth.push((at, sick));
            at += lasting;
            truth.push((at, well));
        }
        target(provider, truth)
    });
    base("mixed outages", rate, seconds, targets.collect())
}

/// A case of two targets, steady or with a change in the middle.
pub struct Case {
    pub scenario: Scenario,
    /// When things change; none in a steady case.
    pub change: Option<f64>,
}

/// All cases of two targets at a rate, for so long.
pub fn pairs(rate: f64, seconds: f64) -> Vec<Case> {
    let well = Truth { sigma: 0.4, ..Truth::default() };
    let pair = |name: String, a: Truth, b: Truth, price: f64| {
        let mut scenario = base(&name, rate, seconds, vec![target(0, vec![(0.0, a)]), target(1, vec![(0.0, b)])]);
        scenario.targets[1].price = (0.5 * price, 2.0 * price);
        scenario.tokens = 100;
        Case { scenario, change: None }
    };
    let mut cases = vec![
        pair("alike".to_owned(), well, well, 1.0),
        pair("0.1 s, 0.6 s".to_owned(), Truth { first: 0.1, ..well }, Truth { first: 0.6, ..well }, 1.0),
        pair("3 s, 1.5 s".to_owned(), Truth { first: 3.0, ..well }, Truth { first: 1.5, ..well }, 1.0),
        pair("10 s, 6 s".to_owned(), Truth { first: 10.0, ..well }, Truth { first: 6.0, ..well }, 1.0),
        pair(
            "0.1 s with 30 % of 1 s, 0.2 s".to_owned(),
            Truth { first: 0.1, sigma: 0.05, tail: (0.3, 10.0), ..well },
            Truth { first: 0.2, sigma: 0.05, ..well },
            1.0,
        ),
        pair(
            "0.5 s with 5 % of 10 s, 0.9 s".to_owned(),
            Truth { first: 0.5, tail: (0.05, 20.0), ..well },
            Truth { first: 0.9, ..well },
            1.0,
        ),
        pair("10 ms a token, 40 ms".to_owned(), well, Truth { per_token: 0.04, ..well }, 1.0),
    ];
    for price in [1.0, 2.0, 5.0, 20.0] {
        for loss in [0.0, 0.05, 0.1, 0.2, 0.4] {
            let a = Truth { loss, ..well };
            let name = format!("{:.0} % fail, the other at {price:.0} times the price", 100.0 * loss);
            cases.push(pair(name, a, Truth { loss: 0.0, ..well }, price));
        }
    }
    let change = |name: &str, before: (f64, f64), after: (f64, f64)| {
        let mut case = pair(name.to_owned(), Truth { first: before.0, ..well }, Truth { first: before.1, ..well }, 1.0);
        for (target, first) in case.scenario.targets.iter_mut().zip([after.0, after.1]) {
            target.truth.push((seconds / 2.0, Truth { first, ..well }));
        }
        case.change = Some(seconds / 2.0);
        case
    };
    cases.push(change("the better one becomes slow", (0.5, 1.5), (4.0, 1.5)));
    cases.push(change("the loser becomes the better one", (1.0, 4.0), (1.0, 0.2)));
    cases.push(change("they change places", (0.4, 2.0), (2.0, 0.4)));
    cases
}

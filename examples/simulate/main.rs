//! The simulator: whole weeks of calls over failing providers in seconds, by the machines of `standin` and by those of
//! others. `cargo run --release --example simulate -- --help` says what it can do.

mod gateway;
mod numbers;
mod page;
mod rivals;
mod scenarios;
#[expect(dead_code, reason = "the tests use the rest")]
mod score;
mod sweep;
mod traces;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use standin::Hedging;

use gateway::{Standin, Tuning};
use page::Runs;
use rivals::{FiveInARow, LiteLlm, OpenRouter, Oracle, Order, PeakEwma, Resilience4j, Retries, Sequence};
use score::{Score, interval};
use world::{Gateway, Scenario, run};

/// The gateways that are compared, by name.
pub const POLICIES: [&str; 10] = [
    "oracle",
    "standin",
    "standin, hedging",
    "best order",
    "order + retries",
    "5 in a row",
    "LiteLLM",
    "Resilience4j",
    "peak-EWMA",
    "OpenRouter",
];

fn policy(name: &'static str, scenario: &Scenario, seed: u64) -> Box<dyn Gateway> {
    let rng = SmallRng::seed_from_u64(seed);
    match name {
        "oracle" => Box::new(Sequence::new(Oracle)),
        "standin, hedging" => {
            let mut tuning = set();
            tuning.failover.hedging = Some(Hedging::Hedge);
            Box::new(Standin::new(scenario, tuning, seed, Instant::now()))
        }
        "standin" => Box::new(Standin::new(scenario, set(), seed, Instant::now())),
        "order + retries" => Box::new(Sequence::new(Retries(rng))),
        "5 in a row" => Box::new(Sequence::new(FiveInARow::default())),
        "LiteLLM" => Box::new(Sequence::new(LiteLlm::new(seed, Instant::now()))),
        "Resilience4j" => Box::new(Sequence::new(Resilience4j::default())),
        "peak-EWMA" => Box::new(Sequence::new(PeakEwma::new(seed))),
        "OpenRouter" => Box::new(Sequence::new(OpenRouter::new(seed, scenario))),
        name => panic!("there is no policy {name}"),
    }
}

fn score(name: &'static str, scenario: &Scenario, seed: u64) -> Score {
    if name == "best order" {
        let orders = (0..scenario.targets.len()).map(|first| {
            let rest = (0..scenario.targets.len()).filter(|target| *target != first);
            let order = std::iter::once(first).chain(rest).collect();
            run(scenario, &mut Sequence::new(Order(order)), seed)
        });
        return orders.min_by(|a, b| a.cost().total_cmp(&b.cost())).expect("a target");
    }
    run(scenario, &mut *policy(name, scenario, seed), seed)
}

const HELP: &str = "\
simulate [all] [--seeds N] [--rates 2,60] [--only NAMES] [--to FILE] [--traces DIRECTORY]   every scenario by every policy
simulate pairs [--rate R] [--seeds N] [--seconds N]      shares of two targets against the best choice
simulate mixed [--rate R] [--seeds N]      two weeks with the outages of real providers, by every policy
simulate sweep [--seeds N] [--only NAME] [--to FILE]   every number at other values, as a page and a table
simulate outages [--rate R] [--seeds N]    what each kind of outage costs
With `--set NAME=VALUE`, as often as you like, one of the numbers is another one.";

/// The machines, with the numbers that `--set` names.
fn set() -> Tuning {
    let arguments: Vec<String> = std::env::args().collect();
    let settings = arguments.windows(2).filter(|pair| pair[0] == "--set").map(|pair| pair[1].clone());
    numbers::tuning(&settings.collect::<Vec<_>>())
}

/// The value of an option on the command line.
fn option(name: &str) -> Option<String> {
    std::env::args().skip_while(|argument| argument != name).nth(1)
}

fn main() {
    let seeds = option("--seeds").and_then(|text| text.parse().ok());
    let rate = option("--rate").and_then(|text| text.parse().ok()).unwrap_or(60.0);
    let begun = Instant::now();
    match std::env::args().nth(1).as_deref() {
        Some("pairs") => pairs(rate, seeds.unwrap_or(5)),
        Some("mixed") => mixed(rate, seeds.unwrap_or(5)),
        Some("sweep") => sweep(seeds.unwrap_or(4)),
        Some("outages") => outages(rate, seeds.unwrap_or(5)),
        Some("--help" | "-h") => return println!("{HELP}"),
        _ => everything(seeds.unwrap_or(30)),
    }
    eprintln!("{:?}", begun.elapsed());
}

/// Runs of a policy, one for each seed, on all processors.
fn runs(name: &'static str, scenarios: &[Scenario], seeds: u64) -> Vec<Score> {
    let next = AtomicU64::new(0);
    let done = Mutex::new(Vec::new());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= seeds {
                return;
            }
            let scenario = &scenarios[usize::try_from(seed).unwrap_or(0) % scenarios.len()];
            let score = score(name, scenario, seed);
            done.lock().expect("nobody panics").push((seed, score));
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        (0..threads).for_each(|_| drop(scope.spawn(work)));
    });
    let mut done = done.into_inner().expect("nobody panics");
    done.sort_by_key(|(seed, _)| *seed);
    done.into_iter().map(|(_, score)| score).collect()
}

/// Every scenario at every rate by every policy: a page, and tables.
fn everything(seeds: u64) {
    let wanted: Option<Vec<f64>> =
        option("--rates").map(|text| text.split(',').filter_map(|rate| rate.parse().ok()).collect());
    let rates = scenarios::RATES.into_iter().filter(|(rate, _)| wanted.as_ref().is_none_or(|it| it.contains(rate)));
    let mut all = Vec::new();
    let mut played: Vec<(f64, Vec<Scenario>)> = Vec::new();
    for (rate, seconds) in rates.clone() {
        played.extend(scenarios::all(rate, seconds).into_iter().map(|scenario| (rate, vec![scenario])));
        // Outages are rare: above 60 calls a minute a run would need millions of calls to see one.
        if rate <= 60.0 {
            played.push((rate, (0..seeds).map(|seed| scenarios::mixed(rate, weeks(rate), seed)).collect()));
        }
    }
    if let Some(directory) = option("--traces") {
        let directory = std::path::PathBuf::from(directory);
        played.push((2.0, traces::incidents(&directory, 2.0)));
        played.extend(traces::arrivals(&directory).into_iter().map(|scenario| (scenario.rate, vec![scenario])));
    }
    let only = option("--only");
    let is_wanted = |name: &str| only.as_ref().is_none_or(|only| only.split(',').any(|only| name.starts_with(only)));
    for (rate, scenarios) in played.iter().filter(|(_, all)| all.first().is_some_and(|it| is_wanted(&it.name))) {
        let oracle: Vec<f64> = runs("oracle", scenarios, seeds).iter().map(Score::cost).collect();
        for policy in POLICIES {
            all.push(Runs::new(*rate, &scenarios[0].name, policy, &runs(policy, scenarios, seeds), &oracle));
        }
        eprintln!("{} at {rate:.0}: {:.2} %", scenarios[0].name, all[all.len() - POLICIES.len() + 1].cost().0);
    }
    let file = option("--to").unwrap_or_else(|| "simulation.html".to_owned());
    std::fs::write(&file, page::html(&all, seeds)).expect("the file can be written");
    for (rate, _) in rates {
        println!("{}", page::markdown(&all, rate, &POLICIES[1..]));
    }
    eprintln!("{file} is written");
}

/// Every number at other values: a page, and a table.
fn sweep(seeds: u64) {
    let (page, table) = sweep::sweep(seeds, option("--only").as_deref());
    let file = option("--to").unwrap_or_else(|| "sweep.html".to_owned());
    std::fs::write(&file, page).expect("the file can be written");
    println!("{table}");
    eprintln!("{file} is written");
}

fn pairs(rate: f64, seeds: u64) {
    let seconds = option("--seconds").and_then(|text| text.parse().ok());
    let seconds = seconds.unwrap_or_else(|| 7_200_f64.max(120.0 * 60.0 * 20.0 / rate));
    println!("{:48} {:>14} {:>14} {:>10}", "case", "share of A", "excess", "noticed");
    for case in scenarios::pairs(rate, seconds) {
        let scores = runs("standin", std::slice::from_ref(&case.scenario), seeds);
        let of = |number: &dyn Fn(&Score) -> f64| interval(&scores.iter().map(number).collect::<Vec<_>>());
        let (share, more) = of(&|score| score.share(0, 0.0, seconds));
        let (excess, wide) = of(&|score| score.excess(0.0, seconds));
        let costs = case.scenario.costs(0.0);
        let noticed = case.change.map_or(String::new(), |at| {
            let after = case.scenario.costs(at + 1.0);
            let best = usize::from(after[0] >= after[1]);
            let (noticed, wide) = of(&|score| score.reaches(best, at, 0.5, false).unwrap_or(seconds - at));
            format!("{:.1} ± {:.1} min", noticed / 60.0, wide / 60.0)
        });
        println!(
            "{:48} {share:6.3} ± {more:.3} {:7.2} ± {:.2} % {noticed} (J {:.4} {:.4})",
            case.scenario.name,
            100.0 * excess,
            100.0 * wide,
            costs[0],
            costs[1]
        );
    }
}

/// How long the outages of real providers are played.
fn weeks(rate: f64) -> f64 {
    14.0 * 86_400.0 * if rate > 10.0 { 0.25 } else { 1.0 }
}

/// Two weeks with the outages of real providers.
fn mixed(rate: f64, seeds: u64) {
    let seconds = weeks(rate);
    let scenarios: Vec<Scenario> = (0..seeds).map(|seed| scenarios::mixed(rate, seconds, seed)).collect();
    let oracle: Vec<f64> = runs("oracle", &scenarios, seeds).iter().map(Score::cost).collect();
    let only = option("--policy");
    for policy in POLICIES.into_iter().filter(|policy| only.as_ref().is_none_or(|only| only == policy)) {
        let runs = Runs::new(rate, "mixed outages", policy, &runs(policy, &scenarios, seeds), &oracle);
        println!("{policy:16} {:7.3} ± {:.3} %  {}", runs.cost().0, runs.cost().1, runs.line());
    }
}

/// The cost of each kind of outage.
fn outages(rate: f64, seeds: u64) {
    let mut kinds: std::collections::BTreeMap<String, (usize, usize, usize, f64, f64)> =
        std::collections::BTreeMap::new();
    let mut all = 0;
    for seed in 0..seeds {
        let scenario = scenarios::mixed(rate, weeks(rate), seed);
        let score = score("standin", &scenario, seed);
        all += score.calls();
        let mut rest = score.chosen(0, 0.0, f64::INFINITY).2;
        for (index, target) in scenario.targets.iter().enumerate() {
            for pair in target.truth.windows(2).filter(|pair| pair[0].1 != target.truth[0].1) {
                let (from, to) = (pair[0].0, pair[1].0);
                let truth = pair[0].1;
                let how = format!("{:?}", truth.how);
                let kind =
                    if truth.loss < 0.01 { "slow".to_owned() } else { format!("{} {:.1}", &how[..4], truth.loss) };
                let (calls, there, excess) = score.chosen(index, from, to);
                let of = kinds.entry(kind).or_default();
                let worth = scenario.costs(from)[index] / scenario.costs(0.0)[0];
                *of = (of.0 + 1, of.1 + calls, of.2 + there, of.3 + excess, of.4 + worth);
                rest -= excess;
            }
        }
        kinds.entry("none".to_owned()).or_default().3 += rest;
    }
    for (kind, (count, calls, there, excess, worth)) in kinds {
        println!(
            "{kind:12} {count:4} outages {calls:7} calls, at it {:5.1} %, J x{:.2}, excess {:6.3} % of all",
            100.0 * there as f64 / calls.max(1) as f64,
            worth / count.max(1) as f64,
            100.0 * excess / all as f64
        );
    }
}

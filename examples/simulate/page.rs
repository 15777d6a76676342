//! One page of plots, in one file, that says what was compared and how it went; and the same numbers as tables.

use std::fmt::Write as _;

use super::score::{Score, interval};

/// The result of all runs of one policy in one scenario at one rate.
pub struct Runs {
    pub rate: f64,
    pub scenario: String,
    pub policy: &'static str,
    /// Cost over the oracle's with the same luck, by run.
    over: Vec<f64>,
    /// By metric and run.
    numbers: Vec<Vec<f64>>,
}

/// A number of a run, and how it is written.
struct Metric {
    name: &'static str,
    unit: &'static str,
    of: fn(&Score) -> Option<f64>,
    digits: usize,
}

const fn metric(name: &'static str, unit: &'static str, digits: usize, of: fn(&Score) -> Option<f64>) -> Metric {
    Metric { name, unit, of, digits }
}

/// All figures of a run beside its cost.
const METRICS: [Metric; 15] = [
    metric("answered in time", "%", 3, |score| Some(100.0 * score.success())),
    metric("excess of first choices", "%", 3, |score| Some(100.0 * score.regret())),
    metric("time, p50", "s", 2, |score| Some(score.quantile(0.5))),
    metric("time, p99", "s", 2, |score| Some(score.quantile(0.99))),
    metric("avoidable first failures", "%", 3, |score| Some(100.0 * score.avoidable())),
    metric("attempts a call", "", 3, |score| Some(score.attempts_a_call())),
    metric("dollars a thousand good answers", "$", 3, |score| Some(1_000.0 * score.dollars_a_good_answer())),
    metric("dollars wasted in a thousand calls", "$", 4, |score| {
        Some(1_000.0 * score.wasted_dollars().values().sum::<f64>() / score.calls().max(1) as f64)
    }),
    metric("until a failure is seen", "s", 0, Score::detect),
    metric("until the sick target is left", "s", 0, Score::leave),
    metric("until its first good answer", "s", 0, |score| score.back().map(|back| back.0)),
    metric("until half of its old share", "s", 0, |score| score.back().map(|back| back.1)),
    metric("healthy targets avoided", "% of time", 3, |score| Some(100.0 * score.false_ejections())),
    metric("left or taken up again", "an hour", 2, |score| Some(score.switches())),
    metric("asked before a Retry-After", "", 0, |score| Some(score.violations() as f64)),
];

impl Runs {
    /// Reduces runs to their numbers.
    pub fn new(rate: f64, scenario: &str, policy: &'static str, scores: &[Score], oracle: &[f64]) -> Self {
        let over = scores.iter().zip(oracle).map(|(score, oracle)| score.cost() / oracle - 1.0).collect();
        let numbers = METRICS.iter().map(|metric| scores.iter().filter_map(metric.of).collect()).collect();
        Self { rate, scenario: scenario.to_owned(), policy, over, numbers }
    }

    /// Returns mean and half interval of the cost over the oracle, in percent.
    pub fn cost(&self) -> (f64, f64) {
        let (mean, half) = interval(&self.over);
        (100.0 * mean, 100.0 * half)
    }

    /// Returns all metrics in one line.
    pub fn line(&self) -> String {
        let told = METRICS.iter().enumerate().map(|(index, metric)| format!("{}: {}", metric.name, self.told(index)));
        told.collect::<Vec<_>>().join("; ")
    }

    /// Returns the value of a metric for them.
    fn told(&self, index: usize) -> String {
        if self.numbers[index].is_empty() {
            return "-".to_owned();
        }
        let ((mean, half), digits) = (interval(&self.numbers[index]), METRICS[index].digits);
        format!("{mean:.digits$} ± {half:.digits$}")
    }
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#222}\
h2{margin-top:2.2em;border-bottom:1px solid #ccc}table{border-collapse:collapse;font-size:12px}\
td,th{padding:2px 8px;text-align:right;border-bottom:1px solid #eee}th:first-child,td:first-child{text-align:left}\
.us td{font-weight:600;background:#eef6ee}svg text{font:11px system-ui,sans-serif}.note{color:#666}";

/// Writes the page.
pub fn html(all: &[Runs], seeds: u64) -> String {
    let mut page = String::new();
    let _ = write!(
        page,
        "<!doctype html><meta charset=utf-8><title>Choosing by evidence</title><style>{STYLE}</style>\
         <h1>What each way of choosing costs</h1><p>Three providers serve one route. The first is a little faster, and \
         for half of the time something is wrong with it. Every policy gets the same calls and the same luck. A bar says \
         how much more its calls cost, in dollars and waiting (a second counts .002 $), than those of an oracle that knows \
         how every provider is: shorter is better, 0 is perfect. The line at its end is the 95 % interval over {seeds} \
         runs. A call that is not answered in time counts as 120 s of waiting. Bars end at 30 %; the number says the \
         rest.</p>"
    );
    let mut scenarios: Vec<&str> = all.iter().map(|runs| runs.scenario.as_str()).collect();
    scenarios.dedup();
    let mut seen = Vec::new();
    for scenario in scenarios {
        if seen.contains(&scenario) {
            continue;
        }
        seen.push(scenario);
        let _ = write!(page, "<h2>{scenario}</h2>");
        let mut rates: Vec<f64> = all.iter().filter(|runs| runs.scenario == scenario).map(|runs| runs.rate).collect();
        rates.dedup();
        for rate in rates {
            let of: Vec<&Runs> = all.iter().filter(|runs| runs.scenario == scenario && runs.rate == rate).collect();
            bars(&mut page, rate, &of);
            details(&mut page, &of);
        }
    }
    page
}

/// Draws a bar for each policy.
fn bars(page: &mut String, rate: f64, of: &[&Runs]) {
    const END: f64 = 30.0;
    let scale = |percent: f64| 150.0 + percent.clamp(0.0, END) / END * 520.0;
    let height = 22 + 18 * of.len();
    let _ =
        write!(page, "<svg width=800 height={height}><text x=0 y=13 font-weight=600>{rate:.0} calls a minute</text>");
    for (line, runs) in of.iter().enumerate() {
        let y = 20.0 + 18.0 * line as f64;
        let (mean, half) = runs.cost();
        let (base, middle) = (y + 11.0, y + 6.0);
        let colour = if runs.policy.starts_with("standin") { "#2a7d3f" } else { "#8aa4c0" };
        let (left, right, width) = (scale(mean - half), scale(mean + half), scale(mean) - 150.0);
        let _ = write!(
            page,
            "<text x=0 y={base}>{}</text><rect x=150 y={y} width={width:.1} height=12 fill={colour} />\
             <line x1={left:.1} x2={right:.1} y1={middle} y2={middle} stroke=#333 />\
             <text x={:.1} y={base}>{mean:.2} %</text>",
            runs.policy,
            right + 6.0,
        );
    }
    page.push_str("</svg>");
}

fn details(page: &mut String, of: &[&Runs]) {
    page.push_str("<details><summary>all numbers</summary><table><tr><th>");
    for runs in of {
        let _ = write!(page, "<th>{}", runs.policy);
    }
    for (index, metric) in METRICS.iter().enumerate() {
        let _ = write!(page, "<tr><td>{} <span class=note>{}</span>", metric.name, metric.unit);
        for runs in of {
            let _ = write!(page, "<td>{}", runs.told(index));
        }
    }
    page.push_str("</table></details>");
}

/// Writes a table of the costs over the oracle at a rate, a line for each scenario.
pub fn markdown(all: &[Runs], rate: f64, policies: &[&str]) -> String {
    let mut table = format!("| scenario at {rate:.0} a minute |");
    let _ = writeln!(table, " {} |", policies.join(" | "));
    let _ = writeln!(table, "|---|{}", "---:|".repeat(policies.len()));
    let mut scenarios: Vec<&str> =
        all.iter().filter(|runs| runs.rate == rate).map(|runs| runs.scenario.as_str()).collect();
    scenarios.dedup();
    for scenario in scenarios {
        let _ = write!(table, "| {scenario} |");
        for policy in policies {
            let of = all.iter().find(|it| it.rate == rate && it.scenario == scenario && it.policy == *policy);
            let _ = match of.map(Runs::cost) {
                Some((mean, half)) => write!(table, " {mean:.2} ± {half:.2} |"),
                None => write!(table, " |"),
            };
        }
        table.push('\n');
    }
    table
}

//! One page of plots, in one file, that says what was compared and how it went; and the same numbers as tables.

use std::fmt::Write as _;

use super::scenarios;
use super::score::{Score, interval};
use super::world::{Scenario, Truth};

/// The result of all runs of one policy in one scenario.
pub struct Runs {
    pub scenario: Scenario,
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
    pub fn new(scenario: &Scenario, policy: &'static str, scores: &[Score], oracle: &[f64]) -> Self {
        let over = scores.iter().zip(oracle).map(|(score, oracle)| score.cost() / oracle - 1.0).collect();
        let numbers = METRICS.iter().map(|metric| scores.iter().filter_map(metric.of).collect()).collect();
        Self { scenario: scenario.clone(), policy, over, numbers }
    }

    /// Returns mean and half interval of the cost over the oracle, in percent.
    pub fn cost(&self) -> (f64, f64) {
        let (mean, half) = interval(&self.over);
        (100.0 * mean, 100.0 * half)
    }

    /// Returns the share of calls that are not answered in time, in percent.
    fn unanswered(&self) -> f64 {
        100.0 - interval(&self.numbers[0]).0
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
h2{margin-top:2.4em;border-bottom:1px solid #ccc}h3{margin:1.8em 0 .2em;font-size:17px}p{margin:.3em 0 .6em}\
table{border-collapse:collapse;font-size:12px}td,th{padding:2px 8px;text-align:right;border-bottom:1px solid #eee}\
th:first-child,td:first-child{text-align:left}.heat td,.heat th{padding:3px 9px;border:2px solid #fff}\
.heat a{color:inherit;text-decoration:none}.us{outline:2px solid #2a7d3f;outline-offset:-2px;font-weight:600}\
svg{display:block;margin:4px 0}svg text{font:12px system-ui,sans-serif;fill:#222}.note{color:#666}dl{margin:0}\
dt{float:left;clear:left;width:140px;font-weight:600}dd{margin:0 0 2px 150px}i{font-style:normal;padding:1px 7px}";

/// What the policies do, for those who do not know them.
const POLICIES: [(&str, &str); 10] = [
    (
        "oracle",
        "knows how every provider is at any moment, and not what becomes of one request; nobody can be this good",
    ),
    ("standin", "as it is without settings"),
    ("standin, all on", "the same; a second provider is asked beside a slow one, and calls wait out an outage"),
    (
        "best order",
        "a fixed order of providers: of all orders the one that was best here, which is known only afterwards",
    ),
    ("order + retries", "a fixed order, each provider up to three times with growing pauses, as an SDK does it"),
    ("5 in a row", "a fixed order; who fails five times in a row is left out for 30 s"),
    ("LiteLLM", "the router of LiteLLM as it is without settings"),
    ("Resilience4j", "a fixed order with the circuit breakers of Resilience4j as they are without settings"),
    ("peak-EWMA", "the quicker of two that are drawn, as Finagle and Linkerd choose"),
    ("OpenRouter", "by price among those without a recent outage, as OpenRouter documents it"),
];

/// Colours of costs over the oracle's, up to how many percent.
const HEAT: [(f64, &str, &str); 6] = [
    (1.0, "#bfe3c6", "up to 1 %"),
    (5.0, "#ddf0d6", "up to 5 %"),
    (15.0, "#fdf1c4", "up to 15 %"),
    (50.0, "#fbd59a", "up to 50 %"),
    (200.0, "#f5a98c", "up to 200 %"),
    (f64::INFINITY, "#e07b78", "more"),
];

/// Writes the page.
pub fn html(all: &[Runs], seeds: u64) -> String {
    let mut page = String::new();
    let _ = write!(
        page,
        "<!doctype html><meta charset=utf-8><title>What it costs when providers fail</title><style>{STYLE}</style>\
         <h1>What it costs when providers fail</h1><p>Three providers, A, B and C, can answer each call. A is a little \
         quicker than the others. Then something goes wrong, in another way in each row below. Each column is one way of \
         choosing who is asked. All of them get the same calls and the same luck, {seeds} times.</p><p>A number says how \
         much more the calls cost than with perfect knowledge of how every provider is, in percent: 0 is perfect. Cost is \
         what is paid and what is waited; a second counts .002 $, and a call that is not answered in time counts as if it \
         had waited for all of its time.</p><dl>"
    );
    for (policy, about) in POLICIES {
        let _ = write!(page, "<dt>{policy}<dd>{about}");
    }
    page.push_str("</dl>");
    let mut rates: Vec<f64> = all.iter().map(|runs| runs.scenario.rate).collect();
    rates.dedup();
    rates.sort_by(f64::total_cmp);
    rates.dedup();
    for rate in &rates {
        heat(&mut page, all, *rate);
    }
    page.push_str("<h2>Each of them</h2><p>The three strips are the providers over time: ");
    for (colour, meaning) in
        [(WELL, "well"), (SLOW, "slow"), (LOSES, "fails some calls"), (DOWN, "fails all"), (LIMITED, "limited")]
    {
        let _ = write!(page, "<i style='background:{colour}'>{meaning}</i> ");
    }
    page.push_str(
        "(a blue line: more calls; a black line: our own network is gone). Bars have a scale that shows 1 % as well as 1000 %; \
         the thin line is the 95 % interval.</p>",
    );
    let mut seen: Vec<(&str, u64)> = Vec::new();
    for runs in all {
        let (name, rate) = (runs.scenario.name.as_str(), runs.scenario.rate);
        if seen.contains(&(name, rate.to_bits())) {
            continue;
        }
        let is_new = !seen.iter().any(|seen| seen.0 == name);
        seen.push((name, rate.to_bits()));
        let of: Vec<&Runs> = all.iter().filter(|it| it.scenario.name == name && it.scenario.rate == rate).collect();
        let _ = write!(page, "<h3 id='{}'>{name}, {rate:.0} calls a minute</h3>", id(name, rate));
        if is_new {
            let _ = write!(page, "<p>{}</p>", scenarios::about(name));
        }
        strips(&mut page, &runs.scenario);
        bars(&mut page, &of);
        details(&mut page, &of);
    }
    page
}

fn id(name: &str, rate: f64) -> String {
    format!("{}-{rate:.0}", name.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-"))
}

/// Writes a share as people read it: 0.04 % is none.
fn percent(mean: f64) -> String {
    let mean = if mean.abs() < 0.05 { 0.0 } else { mean };
    let digits = usize::from(mean.abs() < 9.95);
    format!("{mean:.digits$}")
}

/// Draws a table of colours at a rate: scenarios by policies.
fn heat(page: &mut String, all: &[Runs], rate: f64) {
    let _ = write!(page, "<h2>{rate:.0} calls a minute</h2><p>");
    for (_, colour, meaning) in HEAT {
        let _ = write!(page, "<i style='background:{colour}'>{meaning}</i> ");
    }
    page.push_str("more than perfect</p><table class=heat><tr><th>what goes wrong");
    let policies = || POLICIES.iter().skip(1).map(|(policy, _)| *policy);
    for policy in policies() {
        let _ = write!(page, "<th>{policy}");
    }
    let mut seen = Vec::new();
    for runs in all.iter().filter(|runs| runs.scenario.rate == rate) {
        let name = runs.scenario.name.as_str();
        if seen.contains(&name) {
            continue;
        }
        seen.push(name);
        let _ = write!(page, "<tr><td><a href='#{}'>{name}</a>", id(name, rate));
        for policy in policies() {
            let of = all.iter().find(|it| it.scenario.rate == rate && it.scenario.name == name && it.policy == policy);
            let Some((mean, _)) = of.map(Runs::cost) else {
                page.push_str("<td>");
                continue;
            };
            let colour = HEAT.iter().find(|(most, ..)| mean <= *most).map_or("#fff", |(_, colour, _)| colour);
            let us = if policy.starts_with("standin") { " class=us" } else { "" };
            let _ = write!(page, "<td{us} style='background:{colour}'>{}", percent(mean));
        }
    }
    page.push_str("</table>");
}

const WELL: &str = "#cfe6d3";
const SLOW: &str = "#f6dd8a";
const LOSES: &str = "#f0a060";
const DOWN: &str = "#c94a48";
const LIMITED: &str = "#c9b6e4";

/// Draws how providers are over time.
fn strips(page: &mut String, scenario: &Scenario) {
    const LEFT: f64 = 150.0;
    const WIDE: f64 = 520.0;
    let x = |second: f64| LEFT + (second / scenario.seconds).clamp(0.0, 1.0) * WIDE;
    let height = 13 * scenario.targets.len() + 22;
    let _ = write!(page, "<svg width=1000 height={height}>");
    let (hours, unit) = if scenario.seconds >= 172_800.0 {
        (scenario.seconds / 86_400.0, "days")
    } else if scenario.seconds >= 7_200.0 {
        (scenario.seconds / 3_600.0, "hours")
    } else {
        (scenario.seconds / 60.0, "minutes")
    };
    for (place, target) in scenario.targets.iter().enumerate() {
        let y = 4.0 + 13.0 * place as f64;
        let name = char::from(b'A' + u8::try_from(place).unwrap_or(0));
        let _ = write!(page, "<text x={} y={} text-anchor=end>{name}</text>", LEFT - 8.0, y + 10.0);
        let best = target.truth.iter().map(|(_, truth)| truth.first_mean()).fold(f64::INFINITY, f64::min);
        for (part, (from, truth)) in target.truth.iter().enumerate() {
            let to = target.truth.get(part + 1).map_or(scenario.seconds, |next| next.0);
            let _ = write!(
                page,
                "<rect x={:.1} y={y} width={:.1} height=11 fill={} />",
                x(*from),
                (x(to) - x(*from)).max(1.0),
                state(truth, best)
            );
        }
    }
    let base = 13 * scenario.targets.len() + 7;
    let burst = scenario.burst.map(|(_, from, to)| ((from, to), "#2a6db0"));
    for ((from, to), colour) in burst.into_iter().chain(scenario.offline.map(|offline| (offline, "#000"))) {
        let _ = write!(
            page,
            "<rect x={:.1} y={} width={:.1} height=3 fill={colour} />",
            x(from),
            base - 3,
            x(to) - x(from)
        );
    }
    let _ = write!(
        page,
        "<text x={LEFT} y={0} class=note>0</text><text x={1} y={0} text-anchor=end class=note>{hours:.0} {unit}</text></svg>",
        base + 13,
        LEFT + WIDE
    );
}

/// Returns the colour of how a provider is.
fn state(truth: &Truth, best: f64) -> &'static str {
    match truth {
        truth if truth.loss >= 1.0 => DOWN,
        truth if truth.loss > 0.01 => LOSES,
        truth if truth.first_mean() > 1.5 * best || truth.tail.0 > 0.0 => SLOW,
        truth if truth.limit.is_some() => LIMITED,
        _ => WELL,
    }
}

/// Draws a bar for each policy.
fn bars(page: &mut String, of: &[&Runs]) {
    const LEFT: f64 = 150.0;
    const END: f64 = 1_000.0;
    let scale = |percent: f64| LEFT + (1.0 + percent.clamp(0.0, END)).ln() / (1.0 + END).ln() * 520.0;
    let of: Vec<&&Runs> = of.iter().filter(|runs| runs.policy != "oracle").collect();
    let height = 20 + 17 * of.len();
    let _ = write!(page, "<svg width=1000 height={}>", height + 4);
    for mark in [0.0, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0] {
        let at = scale(mark);
        let _ = write!(
            page,
            "<line x1={at:.1} x2={at:.1} y1=16 y2={height} stroke=#ddd /><text x={at:.1} y=12 text-anchor=middle>{mark} %</text>"
        );
    }
    for (line, runs) in of.iter().enumerate() {
        let y = 20.0 + 17.0 * line as f64;
        let (mean, half) = runs.cost();
        let (base, middle) = (y + 11.0, y + 6.5);
        let is_us = runs.policy.starts_with("standin");
        let (colour, weight) = if is_us { ("#2a7d3f", 700) } else { ("#8aa4c0", 400) };
        let (left, right, width) = (scale(mean - half), scale(mean + half), scale(mean) - LEFT);
        let _ = write!(
            page,
            "<text x=0 y={base} font-weight={weight}>{}</text><rect x={LEFT} y={y} width={width:.1} height=13 fill={colour} />\
             <line x1={left:.1} x2={right:.1} y1={middle} y2={middle} stroke=#222 />\
             <text x={:.1} y={base}>{} %</text>",
            runs.policy,
            right + 6.0,
            percent(mean),
        );
        let unanswered = runs.unanswered();
        if unanswered >= 0.05 {
            let _ =
                write!(page, "<text x=760 y={base} style='fill:#b02a2a'>{unanswered:.1} % not answered in time</text>");
        }
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
        all.iter().filter(|runs| runs.scenario.rate == rate).map(|runs| runs.scenario.name.as_str()).collect();
    scenarios.dedup();
    for scenario in scenarios {
        let _ = write!(table, "| {scenario} |");
        for policy in policies {
            let of =
                all.iter().find(|it| it.scenario.rate == rate && it.scenario.name == scenario && it.policy == *policy);
            let _ = match of.map(Runs::cost) {
                Some((mean, half)) => write!(table, " {mean:.2} ± {half:.2} |"),
                None => write!(table, " |"),
            };
        }
        table.push('\n');
    }
    table
}

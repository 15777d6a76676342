//! Every number of the machines, one after the other, at other values than its own: what that changes, as a page and a
//! table. All values meet the same calls and the same luck, so that small differences show.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use super::gateway::{Standin, Tuning};
use super::numbers::{NUMBERS, Number};
use super::scenarios;
use super::score::{Score, interval};
use super::world::{Scenario, run};

/// The runs to play, by name.
const SETS: [&str; 4] = [
    "two weeks of real outages, 2 calls a minute",
    "every kind of trouble, 10 a minute",
    "every kind of trouble, 60 a minute",
    "two targets that differ, 10 a minute",
];
const COLOURS: [&str; 4] = ["#2a6db0", "#2a7d3f", "#b0562a", "#7a4aa0"];
/// A difference in cost that counts as none, in percent.
const NOTHING: f64 = 0.05;

fn set(index: usize, seed: u64) -> Vec<Scenario> {
    match index {
        0 => vec![scenarios::mixed(2.0, 14.0 * 86_400.0, seed)],
        1 => scenarios::troubles(10.0, 10_800.0),
        2 => scenarios::troubles(60.0, 1_800.0),
        _ => scenarios::pairs(10.0, 7_200.0).into_iter().map(|case| case.scenario).collect(),
    }
}

/// The result of a set, by scenario: cost, share of calls not answered in time, seconds a call.
type Came = Vec<[f64; 3]>;

fn play(tuning: &Tuning, index: usize, seed: u64) -> Came {
    let one = |scenario: Scenario| {
        let score: Score = run(&scenario, &mut Standin::new(&scenario, tuning.clone(), seed, Instant::now()), seed);
        [score.cost(), 1.0 - score.success(), score.seconds()]
    };
    set(index, seed).into_iter().map(one).collect()
}

/// A number at one value, against itself as it is: means over seeds and their intervals, in percent.
struct Point {
    value: f64,
    cost: [(f64, f64); SETS.len()],
    failed: (f64, f64),
    seconds: (f64, f64),
}

struct Swept {
    number: &'static Number,
    now: f64,
    points: Vec<Point>,
}

/// Plays everything; `wanted` limits it to numbers whose name begins so.
pub fn sweep(seeds: u64, wanted: Option<&str>) -> (String, String) {
    let numbers = NUMBERS.iter().filter(|number| wanted.is_none_or(|wanted| number.name.starts_with(wanted)));
    let mut tunings = vec![Tuning::default()];
    let mut swept: Vec<(&Number, Vec<f64>)> = Vec::new();
    for number in numbers {
        for value in number.others {
            let mut tuning = Tuning::default();
            (number.set)(&mut tuning, *value);
            tunings.push(tuning);
        }
        swept.push((number, number.others.to_vec()));
    }
    let runs = all(&tunings, seeds);
    let of = |tuning: usize, set: usize| &runs[tuning * SETS.len() + set];
    let mut next = 0;
    let points = |(number, values): (&'static Number, Vec<f64>)| {
        let points = values.into_iter().map(|value| {
            next += 1;
            point(value, |set| (of(next, set), of(0, set)))
        });
        let now = (number.get)(&Tuning::default());
        let mut points: Vec<Point> = points.collect();
        points.push(Point { value: now, cost: [(0.0, 0.0); SETS.len()], failed: (0.0, 0.0), seconds: (0.0, 0.0) });
        points.sort_by(|a, b| a.value.total_cmp(&b.value));
        Swept { number, now, points }
    };
    let swept: Vec<Swept> = swept.into_iter().map(points).collect();
    (page(&swept, seeds), table(&swept))
}

/// Plays every set by every tuning and seed, on all processors.
fn all(tunings: &[Tuning], seeds: u64) -> Vec<Vec<Came>> {
    let tasks = tunings.len() * SETS.len();
    let (next, done) = (AtomicUsize::new(0), Mutex::new(vec![Vec::new(); tasks]));
    let work = || {
        loop {
            let task = next.fetch_add(1, Relaxed);
            let Some(tuning) = tunings.get(task / SETS.len()) else { return };
            let came: Vec<Came> = (0..seeds).map(|seed| play(tuning, task % SETS.len(), seed)).collect();
            done.lock().expect("nobody panics")[task] = came;
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    done.into_inner().expect("nobody panics")
}

fn point<'a>(value: f64, runs: impl Fn(usize) -> (&'a Vec<Came>, &'a Vec<Came>)) -> Point {
    // By seed: the mean over the scenarios of a set.
    let by_seed = |set: usize, number: &dyn Fn(&[f64; 3], &[f64; 3]) -> f64| -> Vec<f64> {
        let (changed, as_is) = runs(set);
        let mean = |(changed, as_is): (&Came, &Came)| {
            let sum: f64 = changed.iter().zip(as_is).map(|(this, that)| number(this, that)).sum();
            100.0 * sum / changed.len() as f64
        };
        changed.iter().zip(as_is).map(mean).collect()
    };
    let of_all = |number: &dyn Fn(&[f64; 3], &[f64; 3]) -> f64| {
        let sets: Vec<Vec<f64>> = (0..SETS.len()).map(|set| by_seed(set, number)).collect();
        let mean = |seed: usize| sets.iter().map(|set| set[seed]).sum::<f64>() / SETS.len() as f64;
        interval(&(0..sets[0].len()).map(mean).collect::<Vec<_>>())
    };
    Point {
        value,
        cost: std::array::from_fn(|set| interval(&by_seed(set, &|this, that| this[0] / that[0] - 1.0))),
        failed: of_all(&|this, that| this[1] - that[1]),
        seconds: of_all(&|this, that| this[2] / that[2] - 1.0),
    }
}

impl Point {
    /// Returns the mean of the additional cost over the sets.
    fn all(&self) -> (f64, f64) {
        let sets = SETS.len() as f64;
        let half = self.cost.iter().map(|(_, half)| half.powi(2)).sum::<f64>().sqrt() / sets;
        (self.cost.iter().map(|(mean, _)| mean).sum::<f64>() / sets, half)
    }
}

impl Swept {
    fn others(&self) -> impl Iterator<Item = &Point> {
        self.points.iter().filter(|point| point.value != self.now)
    }

    /// Returns the verdict on its present value.
    fn verdict(&self) -> String {
        let better = |point: &&Point| point.all().0 + point.all().1 < -NOTHING;
        let Some(best) = self.others().filter(better).min_by(|a, b| a.all().0.total_cmp(&b.all().0)) else {
            let range = self.others().map(|point| point.all().0.abs()).fold(0.0, f64::max);
            return if range < 2.0 * NOTHING { "flat".to_owned() } else { "none is better".to_owned() };
        };
        let worst = best.cost.iter().enumerate().max_by(|a, b| a.1.0.total_cmp(&b.1.0));
        match worst {
            Some((set, (more, half))) if more - half > NOTHING => {
                format!(
                    "{} costs {:.2} % less in all and {more:.2} % more in: {}",
                    text(best.value),
                    -best.all().0,
                    SETS[set]
                )
            }
            _ => format!("loses to {} by {:.2} %", text(best.value), -best.all().0),
        }
    }
}

fn text(value: f64) -> String {
    format!("{value}").replace("0.", ".")
}

fn table(swept: &[Swept]) -> String {
    let mut table = "| number | is | at other values, cost of all calls | verdict |\n|---|---:|---|---|\n".to_owned();
    for it in swept {
        let others = it.others().map(|point| format!("{}: {:+.2} %", text(point.value), point.all().0));
        let others = others.collect::<Vec<_>>().join(", ");
        let _ = writeln!(
            table,
            "| {} ({}) | {} | {others} | {} |",
            it.number.what,
            it.number.name,
            text(it.now),
            it.verdict()
        );
    }
    table
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:1060px;margin:2em auto;padding:0 1em;color:#222}\
h2{font-size:16px;margin:1.6em 0 0}h2 span{font-weight:400;color:#555}svg{display:block}svg text{font:11px system-ui,sans-serif;fill:#444}\
.verdict{margin:0;color:#2a7d3f}.loses{color:#b02a2a}.key span{display:inline-block;width:12px;height:12px;margin:0 6px 0 16px}";

fn page(swept: &[Swept], seeds: u64) -> String {
    let mut page = String::new();
    let _ = write!(
        page,
        "<!doctype html><meta charset=utf-8><title>Every number, at other values</title><style>{STYLE}</style>\
         <h1>Every number, at other values</h1><p>Each row is one number by which standin decides. From left to right it is \
         tried at five values; the ringed one is what it is. The curves say what calls then cost more (up) or less (down) than \
         as it is, in percent; how many more are not answered in time, in percent of all; and how much longer a call takes. \
         Bars are 95 % intervals over {seeds} runs with the same calls and the same luck. A curve that is flat, or lowest at \
         the ring, says that the number is well chosen.</p><p class=key>"
    );
    for (name, colour) in SETS.iter().zip(COLOURS) {
        let _ = write!(page, "<span style='background:{colour}'></span>{name}");
    }
    page.push_str("</p>");
    for it in swept {
        let verdict = it.verdict();
        let class = if verdict == "flat" || verdict == "none is better" { "verdict" } else { "verdict loses" };
        let _ = write!(
            page,
            "<h2>{} <span>{}, now {}</span></h2><p class='{class}'>{verdict}</p><svg width=1040 height=190>",
            it.number.what,
            it.number.name,
            text(it.now)
        );
        let costs: Vec<Vec<(f64, f64)>> =
            (0..SETS.len()).map(|set| it.points.iter().map(|point| point.cost[set]).collect()).collect();
        chart(&mut page, it, 0.0, "cost", &costs, &COLOURS);
        let failed = it.points.iter().map(|point| point.failed).collect();
        chart(&mut page, it, 350.0, "not answered in time", &[failed], &["#333"]);
        let seconds = it.points.iter().map(|point| point.seconds).collect();
        chart(&mut page, it, 700.0, "time of a call", &[seconds], &["#333"]);
        page.push_str("</svg>");
    }
    page
}

/// Draws curves over the values of a number.
fn chart(page: &mut String, it: &Swept, left: f64, title: &str, curves: &[Vec<(f64, f64)>], colours: &[&str]) {
    const TOP: f64 = 24.0;
    const HEIGHT: f64 = 130.0;
    let ends = curves.iter().flatten().map(|(mean, half)| mean.abs() + half);
    // A difference that counts as none does not fill the picture.
    let end = ends.fold(0.2, f64::max);
    let y = |percent: f64| TOP + HEIGHT / 2.0 - percent / end * (HEIGHT / 2.0 - 6.0);
    let x = |place: usize| left + 74.0 + 58.0 * place as f64;
    let _ = write!(page, "<text x={} y=13 font-weight=600>{title}</text>", left + 44.0);
    for (percent, line) in [(end, "#eee"), (0.0, "#999"), (-end, "#eee")] {
        let _ = write!(
            page,
            "<line x1={} x2={} y1={y1:.1} y2={y1:.1} stroke={line} /><text x={} y={:.1} text-anchor=end>{percent:+.1} %</text>",
            left + 48.0,
            left + 330.0,
            left + 42.0,
            y(percent) + 4.0,
            y1 = y(percent),
        );
    }
    for (place, point) in it.points.iter().enumerate() {
        let weight = if point.value == it.now { 700 } else { 400 };
        let (at, base) = (x(place), TOP + HEIGHT + 20.0);
        let _ =
            write!(page, "<text x={at} y={base} text-anchor=middle font-weight={weight}>{}</text>", text(point.value));
        if point.value == it.now {
            let _ = write!(page, "<circle cx={at} cy={:.1} r=6 fill=none stroke=#222 />", y(0.0));
        }
    }
    for (curve, colour) in curves.iter().zip(colours) {
        let line: Vec<String> =
            curve.iter().enumerate().map(|(place, (mean, _))| format!("{},{:.1}", x(place), y(*mean))).collect();
        let _ = write!(page, "<polyline points='{}' fill=none stroke={colour} stroke-width=1.5 />", line.join(" "));
        for (place, (mean, half)) in curve.iter().enumerate() {
            let at = x(place);
            let _ = write!(
                page,
                "<circle cx={at} cy={:.1} r=2.5 fill={colour} /><line x1={at} x2={at} y1={:.1} y2={:.1} stroke={colour} />",
                y(*mean),
                y(mean - half),
                y(mean + half)
            );
        }
    }
}

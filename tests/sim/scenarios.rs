//! Faults of providers, and the limits of their effect on callers.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use standin::testing::{Crash, Fault, ProviderError, RetryHint, Schedule, Script, crash};
use tokio::time::sleep_until;

use super::kit::*;

/// One fault, and the limits of its effect.
struct Scenario {
    name: &'static str,
    work: Work,
    script: fn(usize, Script) -> Script,
    plot: fn(World) -> Plot,
    /// Callers that begin then may fail: no gateway could have helped them. All others succeed.
    hopeless: Option<(Duration, Duration)>,
    attempts_per_call_max: f64,
    /// Requests to A that it does not answer well.
    wasted_max: usize,
    /// How often A's breaker opens.
    opened_max: usize,
}

const SICK: Duration = MINUTE.saturating_mul(2);
const WELL: Duration = MINUTE.saturating_mul(8);

impl Scenario {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            work: Work::default(),
            script: |_, script| script,
            plot: |_| Box::pin(async {}),
            hopeless: None,
            attempts_per_call_max: 1.0,
            wasted_max: 0,
            opened_max: 0,
        }
    }

    fn work(mut self, work: Work) -> Self {
        self.work = work;
        self
    }

    fn script(mut self, script: fn(usize, Script) -> Script) -> Self {
        self.script = script;
        self
    }

    fn plot(mut self, plot: fn(World) -> Plot) -> Self {
        self.plot = plot;
        self
    }

    fn hopeless(mut self, from: Duration, to: Duration) -> Self {
        self.hopeless = Some((from, to));
        self
    }

    fn at_most(mut self, attempts_per_call: f64, wasted: usize, opened: usize) -> Self {
        (self.attempts_per_call_max, self.wasted_max, self.opened_max) = (attempts_per_call, wasted, opened);
        self
    }
}

/// A fault at some providers for some time.
fn during(providers: &[Provider], from: Duration, to: Duration, fault: &Fault) -> Plot {
    for provider in providers {
        provider.scripted.schedule(Schedule::new().during(from, to, fault.clone()));
    }
    Box::pin(async {})
}

/// A fault at A while it is sick.
fn at_a(world: &World, fault: &Fault) -> Plot {
    during(&world.providers[..1], SICK, WELL, fault)
}

/// Faults at A, each at this many requests.
fn sometimes<const N: usize>(world: &World, faults: [(f64, Fault); N]) -> Plot {
    for (chance, fault) in faults {
        world.a().sometimes(chance, fault);
    }
    Box::pin(async {})
}

const SERVER: Fault = Fault::Error(ProviderError::Server);

fn scenarios() -> Vec<Scenario> {
    // Once decided, nothing more happens.
    let short = || Work { lasting: 5 * MINUTE, ..Work::default() };
    vec![
        Scenario::new("calm").work(short()),
        Scenario::new("hard down").plot(|world| at_a(&world, &Fault::Refuse)).at_most(1.06, 32, 30),
        // A is the fastest, and its failures are masked within moments: it is worth its price.
        Scenario::new("5 % errors").plot(|world| sometimes(&world, [(0.05, SERVER)])).at_most(1.08, 44, 3),
        Scenario::new("30 % errors").plot(|world| sometimes(&world, [(0.3, SERVER)])).at_most(1.23, 140, 28),
        Scenario::new("half of streams cut")
            .work(Work { words: 120, stream: true, every: 4 * SECOND, ..Work::default() })
            .plot(|world| sometimes(&world, [(0.5, Fault::CutAfter(100))]))
            .at_most(1.19, 28, 16),
        Scenario::new("first token x5")
            .plot(|world| at_a(&world, &Fault::SlowFirst { factor: 5.0, plus: Duration::ZERO }))
            .at_most(1.01, 3, 2),
        Scenario::new("429, Retry-After 30 s")
            .plot(|world| at_a(&world, &Fault::RateLimited(RetryHint::Seconds(30 * SECOND))))
            .at_most(1.04, 18, 0),
        Scenario::new("limit at half the load")
            .script(|index, script| Script { requests_per_minute: if index == 0 { 30 } else { 60_000 }, ..script })
            .at_most(1.3, 180, 0),
        Scenario::new("key revoked")
            .work(short())
            .plot(|world| at_a(&world, &Fault::Error(ProviderError::Unauthorised)))
            .at_most(1.01, 2, 0),
        Scenario::new("one of two keys revoked")
            .work(Work { keys: vec!["old", "new"], ..short() })
            .script(|_, script| Script { keys: vec!["new".into()], ..script })
            .at_most(1.01, 2, 0),
        Scenario::new("no money")
            .work(short())
            .plot(|world| at_a(&world, &Fault::Error(ProviderError::OutOfMoney)))
            .at_most(1.01, 2, 0),
        Scenario::new("model gone")
            .work(short())
            .plot(|world| at_a(&world, &Fault::Error(ProviderError::ModelGone)))
            .at_most(1.01, 2, 0),
        Scenario::new("flapping 30 s")
            .plot(|world| {
                let unavailable = Fault::Error(ProviderError::Unavailable);
                world.a().schedule(Schedule::new().flapping(30 * SECOND, unavailable));
                Box::pin(async {})
            })
            .at_most(1.16, 80, 28),
        Scenario::new("A and B refuse")
            .plot(|world| during(&world.providers[..2], SICK, WELL, &Fault::Refuse))
            .at_most(1.2, 60, 30),
        Scenario::new("A and B answer 500")
            .plot(|world| during(&world.providers[..2], SICK, WELL, &SERVER))
            .at_most(1.11, 34, 30),
        Scenario::new("black hole")
            .plot(|world| at_a(&world, &Fault::BlackHole { every: 5 * SECOND }))
            .at_most(1.04, 22, 18),
        Scenario::new("bad JSON 10 %")
            .work(Work { json: true, ..Work::default() })
            .plot(|world| sometimes(&world, [(0.05, Fault::Empty), (0.05, Fault::TruncatedJson)]))
            .at_most(1.12, 65, 3),
        Scenario::new("crashes in an outage")
            .plot(|world| {
                let outage = at_a(&world, &SERVER);
                Box::pin(async move {
                    outage.await;
                    for (minute, who) in [
                        (3, Crash::ProviderPanics("a".into())),
                        (4, Crash::ProviderKilled("b".into())),
                        (5, Crash::RouterPanics),
                        (6, Crash::Attempts(1)),
                        (7, Crash::SupervisorKilled("a".into())),
                    ] {
                        sleep_until(world.born + minute * MINUTE).await;
                        assert!(crash(&world.runtime, who));
                    }
                })
            })
            .at_most(1.07, 34, 30),
        Scenario::new("cold start in an outage")
            .plot(|world| during(&world.providers[..1], Duration::ZERO, WELL, &Fault::Hang))
            .at_most(1.05, 24, 16),
        Scenario::new("burst x10")
            .work(Work { burst: Some((10, 4 * MINUTE, 5 * MINUTE)), ..Work::default() })
            .script(|_, script| Script { in_flight_max: Some(8), ..script })
            .at_most(1.1, 80, 0),
        Scenario::new("all down for 4 min")
            .plot(|world| during(&world.providers, SICK, SICK + 4 * MINUTE, &SERVER))
            .hopeless(SICK, SICK + 4 * MINUTE)
            .at_most(2.0, 350, 28),
        Scenario::new("our network down for 2 min")
            .plot(|world| during(&world.providers, SICK, SICK + 2 * MINUTE, &Fault::Refuse))
            .hopeless(SICK, SICK + 2 * MINUTE)
            .at_most(1.6, 200, 0),
        // 2 400 requests in all; the open detector is wrong once in 292 000.
        Scenario::new("ten hours at .5 % noise")
            .work(Work { words: 2, every: 15 * SECOND, lasting: 10 * HOUR, ..Work::default() })
            .plot(|world| {
                for provider in &world.providers {
                    provider.scripted.sometimes(0.005, SERVER);
                }
                Box::pin(async {})
            })
            .at_most(1.01, 30, 0),
    ]
}

/// Attempts a call; requests that A, B and C did not answer well; how often A's breaker opened; requests before a
/// Retry-After; seconds that calls took; seconds that it really took.
const HEADER: &str =
    "scenario                   calls failed  attempts     A     B     C opened pestered    p50    p99    max  real";

/// Runs one; returns its line and its faults.
fn play(scenario: &Scenario) -> (String, Vec<String>) {
    let begun = std::time::Instant::now();
    let day = day(&scenario.work, scenario.script, scenario.plot);
    let calls = day.calls.len();
    let failed = day.failures().len();
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let attempts_per_call = day.attempts() as f64 / calls as f64;
    let (wasted, opened, pestered) = (day.wasted_at(0), day.opened("a"), day.pestered());
    let [p50, p99, most] = [0.5, 0.99, 1.0].map(|quantile| day.quantile(quantile).as_secs_f64());
    let line = format!(
        "{:26} {calls:5} {failed:6} {attempts_per_call:9.3} {wasted:5} {:5} {:5} {opened:6} {pestered:8} {p50:6.2} \
         {p99:6.2} {most:6.2} {:5.2}",
        scenario.name,
        day.wasted_at(1),
        day.wasted_at(2),
        begun.elapsed().as_secs_f64(),
    );
    let answer = if scenario.work.json {
        format!("{{\"answer\": \"{}\"}}", text(scenario.work.words))
    } else {
        text(scenario.work.words)
    };
    let excused = |call: &Done| scenario.hopeless.is_some_and(|(from, to)| (from..to).contains(&call.at));
    let mut wrong = Vec::new();
    for call in day.calls.iter().filter(|call| call.result.as_ref() != Ok(&answer)) {
        if call.result.is_ok() || !excused(call) {
            wrong.push(format!("{}: call at {:?}: {:?}", scenario.name, call.at, call.result));
        }
    }
    let mut check = |holds: bool, what: String| {
        if !holds {
            wrong.push(format!("{}: {what}", scenario.name));
        }
    };
    check(attempts_per_call <= scenario.attempts_per_call_max, format!("{attempts_per_call} attempts a call"));
    check(day.attempts() <= calls * 5 / 2 + 20, format!("{} attempts for {calls} calls", day.attempts()));
    check(day.world.providers[0].seen_in(Duration::ZERO, SICK + MINUTE) > 0, "A is not even asked".to_owned());
    check(wasted <= scenario.wasted_max, format!("{wasted} wasted at A"));
    check(opened <= scenario.opened_max, format!("opened {opened} times"));
    check(pestered == 0, format!("{pestered} requests before a Retry-After"));
    (line, wrong)
}

/// Plays all, two at a time, and returns their lines and faults in order.
fn play_all(scenarios: &[Scenario]) -> Vec<(usize, String, Vec<String>)> {
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let index = next.fetch_add(1, Relaxed);
            let Some(scenario) = scenarios.get(index) else { return };
            let (line, wrong) = play(scenario);
            results.lock().unwrap().push((index, line, wrong));
        }
    };
    std::thread::scope(|scope| [scope.spawn(work), scope.spawn(work)].map(|thread| thread.join().unwrap()));
    let mut results = results.into_inner().unwrap();
    results.sort();
    results
}

#[test]
fn no_caller_notices() {
    println!("{HEADER}");
    let results = play_all(&scenarios());
    for (_, line, wrong) in &results {
        println!("{line}");
        wrong.iter().take(3).for_each(|wrong| println!("    {wrong}"));
    }
    let wrong: Vec<_> = results.iter().flat_map(|(_, _, wrong)| wrong).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn crashes_and_cut_streams_repeat_to_the_last_attempt() {
    for scenario in scenarios() {
        if ["crashes in an outage", "half of streams cut"].contains(&scenario.name) {
            let [first, again] = [(); 2].map(|()| day(&scenario.work, scenario.script, scenario.plot).trace());
            for (line, (first, again)) in first.lines().zip(again.lines()).enumerate() {
                assert_eq!(first, again, "{}, line {line}", scenario.name);
            }
            assert_eq!(first, again);
        }
    }
}

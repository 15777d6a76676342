//! The verdict: the agents' results, compared with the providers' own logs.

use std::fmt::Write as _;
use std::ops::Range;
use std::time::{Duration, Instant};

use serde::Serialize;
use standin::drill::Drill;

use crate::crew::{AGENTS, Account, Call, Kind};

/// An act as it was played.
pub struct Played {
    pub title: &'static str,
    pub span: Range<Instant>,
}

/// The last line that is printed.
#[derive(Serialize)]
pub struct Summary {
    calls: usize,
    agent_failures: usize,
    masked_failures: u64,
    attempts_per_call: f64,
    added_latency_ms_p50: f64,
    added_latency_ms_p99: f64,
    provider_crashes: usize,
    hedged: usize,
    waited: usize,
    degraded: usize,
}

impl Summary {
    /// Tells whether the agents were spared everything.
    pub fn is_good(&self) -> bool {
        self.calls > 0 && self.agent_failures == 0
    }
}

/// Returns the summary, and a table and the verdict for people.
pub fn report(account: &Account, acts: &[Played], drills: &[Drill], provider_crashes: usize) -> (Summary, String) {
    let Account { calls, troubles } = account;
    let counts = || drills.iter().map(|drill| drill.handle().counts());
    let received: u64 = counts().map(|counts| counts.received).sum();
    let answered: u64 = counts().map(|counts| counts.answered).sum();
    let rejected: u64 = counts().map(|counts| counts.rejected).sum();
    let failed: u64 = counts().map(|counts| counts.rejected + counts.faulted + counts.client_left).sum();
    // No provider counts attempts that find a port closed; they are what the runtime tried and no provider received.
    let unreached = tries(calls.iter()).saturating_sub(received);
    let seen = tries(calls.iter().filter(|call| !call.answered));

    let usual = Baseline::of(calls, &acts[0].span);
    // Of calls that a target could answer: how long the others waited has a line of its own.
    let served = |call: &&Call| call.began >= acts[0].span.end && call.waited.is_zero();
    let [p50, p99] = usual.added(calls.iter().filter(served));
    let summary = Summary {
        calls: calls.len(),
        agent_failures: troubles.len(),
        masked_failures: (failed + unreached).saturating_sub(seen),
        attempts_per_call: rounded((received + unreached) as f64 / calls.len() as f64, 1e3),
        added_latency_ms_p50: p50,
        added_latency_ms_p99: p99,
        provider_crashes,
        hedged: count(calls, |call| call.hedged),
        waited: count(calls, |call| call.answered && !call.waited.is_zero()),
        degraded: count(calls, |call| call.less),
    };

    let mut text = table(calls, acts, &usual);
    text.push_str(&means(calls, &summary));
    let Summary { agent_failures, masked_failures, attempts_per_call, .. } = summary;
    let verdict = if summary.is_good() { "saw no failure" } else { "SAW FAILURES" };
    let _ = write!(
        text,
        "\nProviders received {received} ({answered} answered, {failed} failed, {rejected} rejected); {unreached} unreached.\n\n\
         Verdict: in {} calls {AGENTS} agents {verdict} ({agent_failures}).\n\
         Masked: {masked_failures} failed attempts, {provider_crashes} crashes of provider actors.\n\
         Price: {attempts_per_call} attempts a call; p99 {p99:+.0} ms over the healthy baseline.\n",
        calls.len(),
    );
    for trouble in troubles.iter().take(10) {
        let _ = writeln!(text, "An agent saw: {trouble}");
    }
    (summary, text)
}

fn table(calls: &[Call], acts: &[Played], usual: &Baseline) -> String {
    let mut table =
        format!("{:<37}{:>7}{:>7}{:>7}{:>5}", "act", "calls", "tries", "masked", "seen") + " +p50 ms +p99 ms\n";
    for Played { title, span } in acts {
        let within = || calls.iter().filter(|call| span.contains(&call.began));
        let (all, tries) = (within().count(), tries(within()));
        let (masked, seen) = (tries.saturating_sub(all as u64), within().filter(|call| !call.answered).count());
        let [p50, p99] = usual.added(within()).map(|millis| rounded(millis, 1.0));
        let _ = writeln!(table, "{title:<37}{all:>7}{tries:>7}{masked:>7}{seen:>5}{p50:>8}{p99:>8}");
    }
    table
}

/// Returns what each means beside failover did, saved and cost.
fn means(calls: &[Call], summary: &Summary) -> String {
    let Summary { hedged, waited, degraded, .. } = summary;
    let sum = |of: fn(&Call) -> f64| calls.iter().map(of).sum::<f64>();
    let overtaken: u32 = calls.iter().map(|call| call.overtaken).sum();
    let share = sum(|call| call.overtaken_usd) / sum(|call| call.usd).max(f64::MIN_POSITIVE) * 100.0;
    let longest = calls.iter().map(|call| call.waited).max().unwrap_or_default().as_secs_f64();
    format!(
        "\n{:<27}{:<50}cost\n\
         {:<27}{:<50}{overtaken} attempts overtaken, {share:.1} % of the money\n\
         {:<27}{:<50}{longest:.1} s at most\n\
         {:<27}{:<50}nothing, and tells less\n",
        "beside failover",
        "saved",
        "hedging: two at once",
        format!("{hedged} answers that a silent target held up"),
        "waiting until one is back",
        format!("{waited} calls, none of which failed"),
        "degrading: a fixed text",
        format!("{degraded} failures of an agent in a hurry"),
    )
}

fn count(calls: &[Call], of: impl Fn(&Call) -> bool) -> usize {
    calls.iter().filter(|call| of(call)).count()
}

fn tries<'a>(calls: impl Iterator<Item = &'a Call>) -> u64 {
    calls.map(|call| u64::from(call.attempts)).sum()
}

/// The median of each kind of call while all was well.
struct Baseline {
    tool: Duration,
    text: Duration,
}

impl Baseline {
    fn of(calls: &[Call], well: &Range<Instant>) -> Self {
        let median = |kind| {
            let calls = calls.iter().filter(|call| call.kind == kind && well.contains(&(call.began + call.took)));
            let mut took: Vec<_> = calls.map(|call| call.took).collect();
            took.sort_unstable();
            percentile(&took, 50)
        };
        Self { tool: median(Kind::Tool), text: median(Kind::Text) }
    }

    /// Returns the median and the 99th percentile of what calls took beyond the baseline, in ms.
    fn added<'a>(&self, calls: impl Iterator<Item = &'a Call>) -> [f64; 2] {
        let usual = |kind| if kind == Kind::Tool { self.tool } else { self.text };
        let added = |call: &Call| (call.took.as_secs_f64() - usual(call.kind).as_secs_f64()) * 1e3;
        let mut added: Vec<f64> = calls.map(added).collect();
        added.sort_unstable_by(f64::total_cmp);
        [50, 99].map(|percent| rounded(percentile(&added, percent), 10.0))
    }
}

fn rounded(number: f64, parts: f64) -> f64 {
    // Adding nothing makes -0 a 0.
    (number * parts).round() / parts + 0.0
}

/// Returns a percentile of what is sorted (nearest rank).
pub fn percentile<T: Copy + Default>(sorted: &[T], percent: usize) -> T {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

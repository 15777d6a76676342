//! The verdict: what the agents saw, set against what the providers' own logs say.

use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;
use standin::drill::Drill;

use crate::crew::{AGENTS, Account, Call, Kind};

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
}

/// An act as it was played.
pub struct Played {
    pub title: &'static str,
    pub began: Instant,
}

pub struct Report {
    pub summary: Summary,
    rows: Vec<Row>,
    troubles: Vec<String>,
    upstream: Upstream,
}

/// What the providers say. They cannot count who found their port closed, so that is what the runtime says it tried
/// beyond what they received.
struct Upstream {
    received: u64,
    answered: u64,
    failed: u64,
    unreached: u64,
}

struct Row {
    title: &'static str,
    calls: usize,
    attempts: usize,
    failed: usize,
    added: [f64; 2],
}

impl Report {
    pub fn new(account: Account, acts: &[Played], drills: &[Drill], provider_crashes: usize) -> Self {
        let Account { calls, troubles } = account;
        let upstream = Upstream::count(drills, &calls);
        let baseline = Baseline::of(&calls, acts);
        let rows: Vec<Row> = acts
            .iter()
            .enumerate()
            .map(|(at, act)| {
                let ended = acts.get(at + 1).map(|next| next.began);
                let within = |call: &&Call| call.began >= act.began && ended.is_none_or(|ended| call.began < ended);
                Row::new(act.title, calls.iter().filter(within), &baseline)
            })
            .collect();
        let first_trouble = acts.get(1).map(|act| act.began);
        let tried = calls.iter().filter(|call| first_trouble.is_none_or(|at| call.began >= at));
        let added = baseline.added(tried);
        let seen: usize = calls.iter().filter(|call| !call.answered).map(|call| call.attempts).sum();
        let attempts = upstream.received + upstream.unreached;
        let summary = Summary {
            calls: calls.len(),
            agent_failures: troubles.len(),
            masked_failures: (upstream.failed + upstream.unreached).saturating_sub(seen as u64),
            attempts_per_call: (attempts as f64 / calls.len().max(1) as f64 * 1e3).round() / 1e3,
            added_latency_ms_p50: added[0],
            added_latency_ms_p99: added[1],
            provider_crashes,
        };
        Self { summary, rows, troubles, upstream }
    }

    /// Tells whether the agents were spared everything.
    pub fn is_good(&self) -> bool {
        self.summary.agent_failures == 0 && self.summary.calls > 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { summary, rows, troubles, upstream } = self;
        let [title, calls, attempts, masked, seen, p50, p99] =
            ["act", "calls", "tries", "masked", "seen", "+p50 ms", "+p99 ms"];
        writeln!(f, "{title:<37} {calls:>6} {attempts:>6} {masked:>6} {seen:>4} {p50:>7} {p99:>7}")?;
        for Row { title, calls, attempts, failed, added: [p50, p99] } in rows {
            let masked = attempts.saturating_sub(*calls);
            writeln!(f, "{title:<37} {calls:>6} {attempts:>6} {masked:>6} {failed:>4} {p50:>7.0} {p99:>7.0}")?;
        }
        let Upstream { received, answered, failed, unreached } = upstream;
        writeln!(f, "\nThe providers received {received} requests: {answered} answered whole, {failed} failed.")?;
        writeln!(f, "Of {unreached} more they know nothing: their port was closed.")?;
        for trouble in troubles.iter().take(10) {
            writeln!(f, "An agent saw: {trouble}")?;
        }
        let Summary {
            calls,
            agent_failures,
            masked_failures,
            attempts_per_call,
            provider_crashes,
            added_latency_ms_p99,
            ..
        } = summary;
        let verdict = if self.is_good() { "saw no failure" } else { "SAW FAILURES" };
        writeln!(f, "\nVerdict: in {calls} calls {AGENTS} agents {verdict} ({agent_failures}).")?;
        writeln!(f, "Masked: {masked_failures} failed attempts, {provider_crashes} crashes of provider actors.")?;
        write!(
            f,
            "Price: {attempts_per_call} attempts a call; p99 {added_latency_ms_p99:+.0} ms over the healthy baseline."
        )
    }
}

impl Upstream {
    fn count(drills: &[Drill], calls: &[Call]) -> Self {
        let counts = || drills.iter().map(|drill| drill.handle().counts());
        let received = counts().map(|counts| counts.received).sum();
        let attempts: usize = calls.iter().map(|call| call.attempts).sum();
        Self {
            received,
            answered: counts().map(|counts| counts.answered).sum(),
            failed: counts().map(|counts| counts.rejected + counts.faulted + counts.client_left).sum(),
            unreached: (attempts as u64).saturating_sub(received),
        }
    }
}

impl Row {
    fn new<'a>(title: &'static str, calls: impl Iterator<Item = &'a Call> + Clone, baseline: &Baseline) -> Self {
        Self {
            title,
            calls: calls.clone().count(),
            attempts: calls.clone().map(|call| call.attempts).sum(),
            failed: calls.clone().filter(|call| !call.answered).count(),
            added: baseline.added(calls),
        }
    }
}

/// The median of each kind of call while all was well.
struct Baseline {
    tool: Duration,
    text: Duration,
}

impl Baseline {
    fn of(calls: &[Call], acts: &[Played]) -> Self {
        let ended = acts.get(1).map(|act| act.began);
        let well = |call: &&Call| ended.is_none_or(|ended| call.began + call.took < ended);
        let median = |kind| {
            let mut took: Vec<_> = calls.iter().filter(well).filter(|c| c.kind == kind).map(|c| c.took).collect();
            took.sort_unstable();
            quantile(&took, 0.5)
        };
        Self { tool: median(Kind::Tool), text: median(Kind::Text) }
    }

    /// Returns the median and the 99th percentile of what calls took beyond the baseline, in ms.
    fn added<'a>(&self, calls: impl Iterator<Item = &'a Call>) -> [f64; 2] {
        let added = |call: &Call| {
            let usual = if call.kind == Kind::Tool { self.tool } else { self.text };
            (call.took.as_secs_f64() - usual.as_secs_f64()) * 1e3
        };
        let mut added: Vec<f64> = calls.map(added).collect();
        added.sort_unstable_by(f64::total_cmp);
        [0.5, 0.99].map(|q| (quantile(&added, q) * 10.0).round() / 10.0)
    }
}

/// Returns a quantile of what is sorted (nearest rank).
pub fn quantile<T: Copy + Default>(sorted: &[T], q: f64) -> T {
    let rank = (q * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

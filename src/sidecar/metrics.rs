//! Metrics for Prometheus, named by OpenTelemetry's conventions for generative AI where these have a name.
//!
//! Input: records of attempts and calls, as an observer. Output: text. The runtime's published state (breakers,
//! attempts in flight) is read on request. Labels are names from the configuration, never text of a caller.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, OnceLock, RwLock};
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry, Unit};

use super::dollars::dollars;
use super::log::Log;
use super::refusals::Refusals;
use crate::policy::explain::{CallStep, Flight};
use crate::policy::record::{Observer, Record};
use crate::runtime::HealthSnapshot;
use crate::words::locks::{lock, read_lock, write_lock};
use crate::words::{AttemptEnd, AttemptRecord, TargetId, Usage};

/// Seconds from a hundredth to five minutes: OpenTelemetry's advice for durations of these operations.
const SECONDS: [f64; 14] = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
/// Seconds a token, from .1 ms to a second.
const SECONDS_A_TOKEN: [f64; 13] = [0.0001, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.4, 1.0];
/// Every state a breaker can be in.
const BREAKER_STATES: [&str; 4] = ["closed", "open", "half_open", "ramp"];

/// A text that many labels share.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Text(Arc<str>);

impl EncodeLabelValue for Text {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        encoder.write_str(&self.0)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    route: Text,
    dialect: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: Text,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HedgeLabels {
    route: Text,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DegradedLabels {
    route: Text,
    rung: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TargetLabels {
    gen_ai_provider_name: Text,
    gen_ai_request_model: Text,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    #[prometheus(flatten)]
    target: TargetLabels,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ObserverLabels {
    observer: Text,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BudgetLabels {
    budget: Text,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TokenLabels {
    #[prometheus(flatten)]
    target: TargetLabels,
    gen_ai_token_type: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BreakerLabels {
    #[prometheus(flatten)]
    target: TargetLabels,
    state: &'static str,
}

type Seconds = Family<TargetLabels, Histogram, fn() -> Histogram>;

/// What is counted of one target's attempts: found once, since each attempt ends on the path of its answer.
struct TargetMetrics {
    won: Counter,
    /// By kind: input, output, and of those cached, written to a cache, and of reasoning.
    tokens: [Counter; 5],
    cost: Counter<f64, AtomicU64>,
    duration: Histogram,
    first_token: Histogram,
    per_token: Histogram,
}

/// Makes a metric that is part of the text.
fn count<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

fn time(registry: &mut Registry, name: &str, help: &str, metric: Seconds) -> Seconds {
    registry.register_with_unit(name, help, Unit::Seconds, metric.clone());
    metric
}

/// What is counted.
pub(super) struct Metrics {
    targets: RwLock<HashMap<TargetId, Arc<TargetMetrics>>>,
    /// Held while the text is made: the values that others count are filled in for it.
    rendering: Mutex<()>,
    registry: Registry,
    calls: Family<CallLabels, Counter>,
    failovers: Family<RouteLabels, Counter>,
    hedges: Family<HedgeLabels, Counter>,
    parked: Family<RouteLabels, Gauge>,
    parkings: Family<RouteLabels, Counter>,
    degraded: Family<DegradedLabels, Counter>,
    attempts: Family<AttemptLabels, Counter>,
    tokens: Family<TokenLabels, Counter>,
    token_kinds: Family<TokenLabels, Counter>,
    cost: Family<TargetLabels, Counter<f64, AtomicU64>>,
    duration: Seconds,
    first_token: Seconds,
    per_token: Seconds,
    breaker: Family<BreakerLabels, Gauge>,
    in_flight: Family<TargetLabels, Gauge>,
    calls_in_flight: Gauge,
    queued: Gauge,
    connections: Gauge,
    lacks: Counter,
    records_lost: Family<ObserverLabels, Counter>,
    budgets: Family<BudgetLabels, Gauge<f64, AtomicU64>>,
    store_waiting: Gauge,
    store_failing: Gauge,
    store_bytes: Gauge,
    prices_failing: Gauge,
    log: OnceLock<Log>,
    log_lines_lost: Counter,
    refusals: Family<RefusalLabels, Counter>,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let mut registry = Registry::default();
        let r = &mut registry;
        let seconds = || Family::new_with_constructor((|| Histogram::new(SECONDS)) as fn() -> Histogram);
        let a_token = || Family::new_with_constructor((|| Histogram::new(SECONDS_A_TOKEN)) as fn() -> Histogram);
        Self {
            calls: count(r, "standin_calls", "Calls that ended, by route, dialect and outcome"),
            failovers: count(r, "standin_failovers", "Attempts beyond a call's first"),
            hedges: count(r, "standin_hedges", "Attempts started beside another one, by reason"),
            queued: count(r, "standin_calls_queued_now", "Calls that wait for a place"),
            parked: count(r, "standin_calls_parked_now", "Calls that are parked until a target is back"),
            parkings: count(r, "standin_calls_parked", "Calls that ended and had been parked"),
            degraded: count(r, "standin_calls_degraded", "Calls that took a lower rung"),
            attempts: count(r, "standin_attempts", "Attempts that ended, by outcome"),
            tokens: count(r, "gen_ai_client_tokens", "Tokens used, by type"),
            token_kinds: count(r, "standin_tokens_of_kind", "Tokens among those of gen_ai_client_tokens, by kind"),
            cost: count(r, "standin_cost_usd", "Dollars spent, lost attempts included"),
            duration: time(r, "gen_ai_client_operation_duration", "Duration of attempts", seconds()),
            first_token: time(r, "gen_ai_server_time_to_first_token", "Time to an attempt's first content", seconds()),
            per_token: time(r, "gen_ai_server_time_per_output_token", "Time per token after the first", a_token()),
            breaker: count(r, "standin_breaker_state", "1 for the state a breaker is in"),
            in_flight: count(r, "standin_attempts_in_flight", "Attempts in flight"),
            calls_in_flight: count(r, "standin_calls_in_flight", "Calls in flight"),
            connections: count(r, "standin_connections", "Connections of clients"),
            lacks: count(
                r,
                "standin_lacks",
                "Attempts that failed because this machine lacked sockets, memory, a resolver or a network",
            ),
            records_lost: count(
                r,
                "standin_records_lost",
                "Records that an observer did not get: it was too slow, or panicked",
            ),
            budgets: count(
                r,
                "standin_budget_spent_share",
                "Part of a budget that is spent; with several accounts, that of the emptiest",
            ),
            store_waiting: count(r, "standin_store_waiting", "Records that wait to be written to the store"),
            store_failing: count(r, "standin_store_failing", "1 where nothing can be written to the store now"),
            prices_failing: count(
                r,
                "standin_prices_failing",
                "Lists of prices that could not be taken in anew: what they gave before holds",
            ),
            store_bytes: count(r, "standin_store_bytes", "How long the store's file is"),
            log_lines_lost: count(r, "standin_log_lines_lost", "Lines of the log that were not taken in time"),
            refusals: count(r, "standin_refusals", "Requests refused before they were calls"),
            targets: RwLock::default(),
            rendering: Mutex::new(()),
            log: OnceLock::new(),
            registry,
        }
    }

    /// Counts this log's lost lines.
    pub(super) fn tell_of(&self, log: Log) {
        let _ = self.log.set(log);
    }

    /// Counts a request, answered or not.
    pub(super) fn answered(&self, route: &Arc<str>, dialect: &'static str, outcome: &'static str) {
        self.calls.get_or_create(&CallLabels { route: Text(route.clone()), dialect, outcome }).inc();
    }

    fn call(&self, flight: &Flight) {
        let route = || Text(flight.about.route.clone());
        // No request of this process may wait for it.
        if let Some((_, CallStep::TakenUp { call })) = flight.steps.first() {
            let (outcome, cost_usd) = (flight.outcome(), dollars(flight.cost_usd));
            let took_ms = u64::try_from(flight.took.as_millis()).unwrap_or(u64::MAX);
            let (id, route) = (flight.call, &*flight.about.route);
            tracing::info!(
                target: "standin::calls",
                call = %id, accepted_as = %call, route, outcome, took_ms, cost_usd, "call taken up after a restart"
            );
            self.answered(&flight.about.route, "taken_up", if outcome == "answered" { "ok" } else { outcome });
        }
        if flight.steps.iter().any(|(_, step)| matches!(step, CallStep::Parked { .. })) {
            self.parkings.get_or_create(&RouteLabels { route: route() }).inc();
        }
        for (_, step) in &flight.steps {
            match step {
                CallStep::Degraded(rung) => {
                    self.degraded.get_or_create(&DegradedLabels { route: route(), rung: rung.name() }).inc();
                }
                CallStep::Joined { why, .. } => {
                    self.hedges.get_or_create(&HedgeLabels { route: route(), reason: why.name() }).inc();
                }
                _ => {}
            }
        }
        if let Some(more) = flight.attempts.checked_sub(2) {
            self.failovers.get_or_create(&RouteLabels { route: route() }).inc_by(u64::from(more) + 1);
        }
    }

    fn attempt(&self, attempt: &AttemptRecord) {
        let of = self.of(&attempt.target);
        if attempt.won() {
            of.won.inc();
        } else {
            let (target, outcome) = (labels(&attempt.target), attempt.end.name());
            self.attempts.get_or_create(&AttemptLabels { target, outcome }).inc();
        }
        let Usage { input, output, cached, cache_write, reasoning } = attempt.usage;
        for (counter, tokens) in of.tokens.iter().zip([input, output, cached, cache_write, reasoning]) {
            counter.inc_by(tokens);
        }
        of.cost.inc_by(attempt.cost_usd.unwrap_or(0.0));
        of.duration.observe(attempt.took.as_secs_f64());
        let Some(first) = attempt.first_token else { return };
        of.first_token.observe(first.as_secs_f64());
        if attempt.won() && attempt.usage.output > 1 {
            let rest: Duration = attempt.took.saturating_sub(first);
            of.per_token.observe(rest.as_secs_f64() / (attempt.usage.output - 1) as f64);
        }
    }

    /// Returns what is counted of a target's attempts, found once.
    fn of(&self, target: &TargetId) -> Arc<TargetMetrics> {
        if let Some(of) = read_lock(&self.targets).get(target) {
            return of.clone();
        }
        let own = labels(target);
        let won = AttemptLabels { target: own.clone(), outcome: AttemptEnd::Won.name() };
        let tokens = |family: &Family<TokenLabels, Counter>, gen_ai_token_type| {
            family.get_or_create_owned(&TokenLabels { target: own.clone(), gen_ai_token_type })
        };
        let of = Arc::new(TargetMetrics {
            won: self.attempts.get_or_create_owned(&won),
            tokens: [
                tokens(&self.tokens, "input"),
                tokens(&self.tokens, "output"),
                tokens(&self.token_kinds, "cached"),
                tokens(&self.token_kinds, "cache_write"),
                tokens(&self.token_kinds, "reasoning"),
            ],
            cost: self.cost.get_or_create_owned(&own),
            duration: self.duration.get_or_create_owned(&own),
            first_token: self.first_token.get_or_create_owned(&own),
            per_token: self.per_token.get_or_create_owned(&own),
        });
        write_lock(&self.targets).insert(target.clone(), of.clone());
        of
    }

    /// Returns everything as text, with what the runtime publishes now.
    pub(super) fn render(&self, health: &HealthSnapshot, refusals: &Refusals, connections: usize) -> String {
        let _alone = lock(&self.rendering);
        self.breaker.clear();
        self.in_flight.clear();
        set(&self.queued, health.queued);
        self.parked.clear();
        for one in &health.parked {
            set(&self.parked.get_or_create(&RouteLabels { route: Text(one.route.clone()) }), one.calls);
        }
        for (reason, count) in refusals.counts() {
            let counter = self.refusals.get_or_create(&RefusalLabels { reason });
            counter.inc_by(count.saturating_sub(counter.get()));
        }
        for observer in &health.observers {
            let counter = self.records_lost.get_or_create(&ObserverLabels { observer: Text(observer.name.clone()) });
            counter.inc_by(observer.lost.saturating_sub(counter.get()));
        }
        self.budgets.clear();
        for account in &health.budgets {
            let gauge = self.budgets.get_or_create(&BudgetLabels { budget: Text(account.budget.budget.clone()) });
            gauge.set(gauge.get().max(account.budget.spent.number() / account.budget.limit.number()));
        }
        set(&self.prices_failing, health.prices.iter().filter(|one| one.problem.is_some()).count());
        if let Some(store) = &health.store {
            set(&self.store_waiting, store.waiting);
            set(&self.store_failing, u64::from(store.problem.is_some()));
            set(&self.store_bytes, store.bytes);
        }
        let lost = self.log.get().map_or(0, Log::lost);
        self.log_lines_lost.inc_by(lost.saturating_sub(self.log_lines_lost.get()));
        set(&self.connections, connections);
        let lacks = health.lack.as_ref().map_or(0, |lack| lack.count);
        self.lacks.inc_by(lacks.saturating_sub(self.lacks.get()));
        set(&self.calls_in_flight, health.calls);
        for (target, health) in health.providers.iter().flat_map(|provider| &provider.targets) {
            let target = labels(target);
            for state in BREAKER_STATES {
                let labels = BreakerLabels { target: target.clone(), state };
                set(&self.breaker.get_or_create(&labels), u64::from(health.breaker.name() == state));
            }
            set(&self.in_flight.get_or_create(&target), health.in_flight);
        }
        let mut out = String::new();
        encode(&mut out, &self.registry).expect("a text can always be written to memory");
        out
    }
}

impl Observer for Metrics {
    fn observe(&self, record: &Record) {
        match record {
            Record::Attempt(attempt) => self.attempt(attempt),
            Record::Call(flight) => self.call(flight),
        }
    }
}

/// Returns metrics in the older form of Prometheus, which calls a counter's family by the name of its samples and has
/// neither units nor an end: <https://prometheus.io/docs/instrumenting/exposition_formats/>.
pub(super) fn older(text: &str) -> String {
    let mut older = String::with_capacity(text.len());
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let (help, kind) = match line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            Some(help) => (help, lines.next().unwrap_or_default()),
            None if line.starts_with("# UNIT ") || line == "# EOF" => continue,
            None => {
                older.extend([line, "\n"]);
                continue;
            }
        };
        let (name, about) = help;
        let kind = kind.rsplit(' ').next().unwrap_or_default();
        let total = if kind == "counter" { "_total" } else { "" };
        older.extend(["# HELP ", name, total, " ", about, "\n# TYPE ", name, total, " ", kind, "\n"]);
    }
    older
}

/// Sets a gauge to a number of things.
fn set(gauge: &Gauge, count: impl TryInto<i64>) {
    gauge.set(count.try_into().unwrap_or(i64::MAX));
}

fn labels(target: &TargetId) -> TargetLabels {
    TargetLabels {
        gen_ai_provider_name: Text(target.provider.clone()),
        gen_ai_request_model: Text(target.model.clone()),
    }
}

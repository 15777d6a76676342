//! The operators' endpoints: health, readiness, metrics, explanations.
//!
//! Input: what the runtime publishes. Output: JSON with times as seconds from now. It has no text of any caller.

use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use super::connection_slots::ConnectionSlots;
use super::endpoint::unescaped;
use crate::policy::snapshot::{BreakerState, Disabled, Health, Latency};
use crate::runtime::{
    BudgetHealth, CallSelector, Considered, Explanation, Flight, HealthSnapshot, ParkedCalls, ProviderHealth,
    ProviderStatus, Question, Skipped,
};
use crate::wire::serve::call_of;
use crate::words::{CallId, Date, Error, Hint, Hold, Reset, TargetId};

/// Tells whether calls can be answered: some provider is reached, and some target admits them.
pub(super) fn is_ready(snapshot: &HealthSnapshot) -> bool {
    let mut targets = snapshot.providers.iter().flat_map(|provider| &provider.targets);
    !snapshot.draining && snapshot.unreached.is_none() && targets.any(|(_, health)| lets_through(health))
}

fn lets_through(health: &Health) -> bool {
    health.disabled.is_none() && (health.forced_on || !matches!(health.breaker, BreakerState::Open { .. }))
}

/// Returns the snapshot as JSON.
pub(super) fn health(snapshot: &HealthSnapshot, places: &ConnectionSlots) -> Value {
    let (taken, max) = places.taken();
    json!({
        "status": if snapshot.draining { "draining" } else if is_ready(snapshot) { "ok" } else { "unavailable" },
        "calls_in_flight": snapshot.calls,
        "connections": {
            "taken": taken,
            "max": max,
            "full_for_s": places.full_for().map(|time| time.as_secs_f64()),
        },
        "queued": snapshot.queued,
        "parked": snapshot.parked.iter().map(|one| parked(one, snapshot.at)).collect::<Vec<_>>(),
        "lack": snapshot.lack.as_ref().map(|lack| json!({
            "what": lack.what,
            "count": lack.count,
            "ago_s": seconds(snapshot.at, lack.at),
        })),
        "unreached_for_s": snapshot.unreached.map(|since| seconds(snapshot.at, since)),
        "prices": snapshot.prices.iter().map(|one| json!({
            "from": &*one.from,
            "listed": one.listed,
            "taken_s_ago": one.taken_at.map(|at| seconds(snapshot.at, at)),
            "problem": one.problem.as_deref(),
        })).collect::<Vec<_>>(),
        "unpriced": snapshot.unpriced.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "budgets": snapshot.budgets.iter().map(budget_account).collect::<Vec<_>>(),
        "store": snapshot.store.as_ref().map(|store| json!({
            "path": store.path.to_string_lossy(),
            "problem": store.problem.as_deref(),
            "waiting": store.waiting,
            "written": store.written,
            "lost": store.lost,
            "bytes": store.bytes,
        })),
        "providers": snapshot.providers.iter().map(|one| provider(one, snapshot.at)).collect::<Vec<_>>(),
    })
}

/// Returns the state of a budget, or of one of its accounts.
fn budget_account(account: &BudgetHealth) -> Value {
    let budget = &account.budget;
    json!({
        "budget": &*budget.budget,
        "of": budget.of,
        "unit": budget.limit.unit(),
        "spent": budget.spent.number(),
        "reserved": account.reserved.number(),
        "limit": budget.limit.number(),
        "per": budget.per,
        "room_in_s": budget.renews_in.map(|wait| wait.as_secs_f64()),
    })
}

/// Returns the calls of a route that are parked: how many, for how long the first has been, and what one of them waits
/// for.
fn parked(parked: &ParkedCalls, now: Instant) -> Value {
    json!({
        "route": &*parked.route,
        "calls": parked.calls,
        "for_s": seconds(now, parked.since),
        "back_in_s": parked.until.map(|until| seconds(until, now)),
        "waits_for": parked.barred.iter().map(|one| json!({
            "target": one.target.to_string(), "why": one.cause.name(),
        })).collect::<Vec<_>>(),
    })
}

fn provider(provider: &ProviderHealth, now: Instant) -> Value {
    let (status, back_in) = match provider.status {
        ProviderStatus::Up => ("up", None),
        ProviderStatus::Restarting(until) => ("restarting", Some(until)),
        ProviderStatus::Resting(until) => ("resting", Some(until)),
        ProviderStatus::Retired => ("retired", None),
    };
    json!({
        "name": &*provider.name,
        "status": status,
        "back_in_s": back_in.map(|until| seconds(until, now)),
        "incarnations": provider.incarnations,
        "holds": provider.holds.iter().map(|one| hold(one, now)).collect::<Vec<_>>(),
        "hints": said(&provider.hints),
        "targets": provider.targets.iter().map(|(id, health)| {
            let mut value = target(health, now);
            value["model"] = json!(&*id.model);
            value
        }).collect::<Vec<_>>(),
    })
}

/// Returns the hints about a provider.
fn said(hints: &[Hint]) -> Vec<Value> {
    let one =
        |hint: &Hint| json!({"source": hint.source.text(), "reported": hint.reported.name(), "says": &*hint.says});
    hints.iter().map(one).collect()
}

/// Returns a hold of a key or a target: its cause, its age, and its remaining time.
fn hold(hold: &Hold, now: Instant) -> Value {
    json!({
        "model": hold.model.as_deref(),
        "key": hold.key.as_deref(),
        "why": hold.cause.name(),
        "for_s": now.saturating_duration_since(hold.since).as_secs_f64(),
        "back_in_s": hold.until.map(|until| seconds(until, now)),
    })
}

/// Reads a question to the ledger: `by`, `since`, `until` and `lines` of an address's query.
pub(super) fn to_question(query: &str, now: SystemTime) -> Result<Question, String> {
    let mut question = Question::default();
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        let value = unescaped(value);
        let time = || moment(&value, now).ok_or_else(|| format!("{name}: must be {MOMENT}"));
        match name {
            "by" => question.by = value.parse().map_err(|no| format!("by: {no}"))?,
            "since" => question.since = Some(time()?),
            "until" => question.until = Some(time()?),
            "lines" => {
                let lines = value.parse().ok().filter(|lines| (1..=LINES_MAX).contains(lines));
                question.lines_max = lines.ok_or_else(|| format!("lines: must be 1 to {LINES_MAX}"))?;
            }
            _ => return Err(format!("{name}: is none of by, since, until and lines")),
        }
    }
    question.check()?;
    Ok(question)
}

/// The most lines of an answer.
const LINES_MAX: u32 = 10_000;

/// The forms of a moment, for errors.
pub const MOMENT: &str = "a day, as 2026-11-29, or how long ago, as 7d or 12h";

/// Reads a moment as people write it: a day, or how long ago it was.
pub fn moment(text: &str, now: SystemTime) -> Option<SystemTime> {
    let day = |date: Date| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(date.0).ok()? * 86_400));
    let ago = || now.checked_sub(humantime::parse_duration(text).ok()?);
    Date::parse(text).map_or_else(ago, day)
}

/// Reads which call is meant: by its own id, or by that of a response that was written here.
pub(super) fn to_call(text: &str) -> Option<CallId> {
    text.parse().ok().or_else(|| call_of(text))
}

/// Reads what is to be forgotten: `call`, `tag` or `before` of an address's query, and one of them.
pub(super) fn to_forget(query: &str, now: SystemTime) -> Result<CallSelector, String> {
    let which = |(name, value): (&str, &str)| {
        let value = unescaped(value);
        match name {
            "call" => to_call(&value)
                .map(CallSelector::Call)
                .ok_or("call: must be an id, as 5f3a9c01d2e4b687-17, or that of a response".to_owned()),
            "tag" => {
                let pair =
                    value.split_once('=').map(|(name, value)| CallSelector::Tag(name.to_owned(), value.to_owned()));
                pair.ok_or("tag: must be NAME=VALUE".to_owned())
            }
            "before" => {
                moment(&value, now).map(CallSelector::Before).ok_or_else(|| format!("before: must be {MOMENT}"))
            }
            _ => Err(format!("{name}: is none of call, tag and before")),
        }
    };
    let mut asked = query.split('&').filter_map(|pair| pair.split_once('=')).map(which);
    match (asked.next(), asked.next()) {
        (Some(which), None) => which,
        _ => Err("say what is to be forgotten, by one of call, tag and before".to_owned()),
    }
}

/// Reads what is to be reset: a provider or `provider/model`, all of it or one key; everything where there is no name.
pub(super) fn to_reset(name: Option<&str>, key: Option<&str>) -> Result<Reset, Error> {
    let invalid = |problem: &str| Error::Invalid { field: "key".into(), problem: problem.into() };
    match (name, name.and_then(|name| name.split_once('/')), key) {
        (None, _, None) => Ok(Reset::All),
        (Some(provider), None, None) => Ok(Reset::Provider(provider.into())),
        (_, Some((provider, model)), None) => Ok(Reset::Target(TargetId::new(provider, model))),
        (Some(provider), None, Some(key)) => Ok(Reset::Key { provider: provider.into(), key: key.into() }),
        (None, _, Some(_)) => Err(invalid("name the provider of this key: reset PROVIDER with it")),
        (_, Some(_), Some(_)) => Err(invalid("a key is reset for all models: name its provider alone")),
    }
}

/// Returns lifted holds as JSON.
pub(super) fn lifted(lifted: &[Hold], now: Instant) -> Value {
    let one = |one: &Hold| {
        let mut value = hold(one, now);
        value["provider"] = json!(&*one.provider);
        value
    };
    json!({"lifted": lifted.iter().map(one).collect::<Vec<_>>()})
}

fn target(health: &Health, now: Instant) -> Value {
    let cooldown = match health.breaker {
        BreakerState::Open { until } => Some(seconds(until, now)),
        _ => None,
    };
    json!({
        "breaker": health.breaker.name(),
        "cooldown_s": cooldown,
        "degraded": health.degraded,
        "slow": health.slow,
        "disabled": health.disabled.map(|disabled| match disabled {
            Disabled::Verdict { class, until } => json!({"why": class.name(), "back_in_s": seconds(until, now)}),
            Disabled::Down { until } => json!({"why": "down", "back_in_s": until.map(|until| seconds(until, now))}),
            Disabled::Operator { until } => {
                json!({"why": "operator", "back_in_s": until.map(|until| seconds(until, now))})
            }
        }),
        "rate_limited_for_s": health.rate_limited_until.max(health.overloaded_until).map(|until| seconds(until, now)),
        "failure_rate": health.failure_rate,
        "time_to_first_token_s": latency(&health.ttft),
        "time_per_token_s": latency(&health.tpot),
        "time_to_whole_answer_s": latency(&health.reply),
        "in_flight": health.in_flight,
        "admitted": health.admitted,
        "failed": health.failed,
    })
}

fn latency(latency: &Latency) -> Value {
    let Latency { mean, p50, p90, p95, p99, samples } = latency;
    let assumed = latency.is_assumed();
    let [mean, p50, p90, p95, p99] = [mean, p50, p90, p95, p99].map(std::time::Duration::as_secs_f64);
    json!({"mean": mean, "p50": p50, "p90": p90, "p95": p95, "p99": p99, "samples": samples, "assumed": assumed})
}

fn seconds(until: Instant, now: Instant) -> f64 {
    until.saturating_duration_since(now).as_secs_f64()
}

/// Returns an explanation as JSON.
pub(super) fn explanation(explanation: &Explanation, now: Instant) -> Value {
    let Explanation { route, planned, skipped, last_resort, parked } = explanation;
    json!({
        "route": &**route,
        "last_resort": last_resort,
        "parked": parked,
        "planned": planned.iter().map(|one| considered(one, now)).collect::<Vec<_>>(),
        "skipped": skipped.iter().map(|one| left_out(one, now)).collect::<Vec<_>>(),
    })
}

/// Returns a call's page as JSON, and as text for people.
pub(super) fn flight(flight: &Flight) -> Value {
    json!({"call": flight.call.to_string(), "told": flight.to_string(), "flight": flight})
}

fn considered(considered: &Considered, now: Instant) -> Value {
    json!({
        "target": considered.target.to_string(),
        "why": considered.why.text(),
        "share": considered.score.map(|score| score.share),
        "health": considered.health.map(|health| target(&health, now)),
        "hints": said(&considered.hints),
    })
}

fn left_out(skipped: &Skipped, now: Instant) -> Value {
    json!({
        "target": skipped.target.to_string(),
        "why": skipped.why.text(),
        "back_in_s": skipped.back_in.map(|wait| wait.as_secs_f64()),
        "health": skipped.health.map(|health| target(&health, now)),
        "hints": said(&skipped.hints),
    })
}

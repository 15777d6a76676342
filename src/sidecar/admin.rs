//! What operators ask: health, readiness, metrics, and where a call would go.
//!
//! In flow what the runtime publishes, out flows JSON with times as seconds from now. It knows no caller's words.

use std::time::Instant;

use serde_json::{Value, json};

use crate::policy::snapshot::{BreakerState, Disabled, Health, Latency};
use crate::runtime::{Considered, Explanation, HealthSnapshot, ProviderHealth, ProviderStatus, Skipped};

/// Tells whether calls can be answered: some target lets through.
pub(super) fn is_ready(snapshot: &HealthSnapshot) -> bool {
    let mut targets = snapshot.providers.iter().flat_map(|provider| &provider.targets);
    !snapshot.draining && targets.any(|(_, health)| lets_through(health))
}

fn lets_through(health: &Health) -> bool {
    health.disabled.is_none() && (health.forced_on || !matches!(health.breaker, BreakerState::Open { .. }))
}

/// Returns the snapshot as JSON.
pub(super) fn health(snapshot: &HealthSnapshot) -> Value {
    json!({
        "status": if snapshot.draining { "draining" } else if is_ready(snapshot) { "ok" } else { "unavailable" },
        "calls_in_flight": snapshot.calls,
        "providers": snapshot.providers.iter().map(|one| provider(one, snapshot.at)).collect::<Vec<_>>(),
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
        "targets": provider.targets.iter().map(|(id, health)| {
            let mut value = target(health, now);
            value["model"] = json!(&*id.model);
            value
        }).collect::<Vec<_>>(),
    })
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
        "rate_limited_for_s": health.rate_limited_until.map(|until| seconds(until, now)),
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
    let Latency { p50, p90, p95, p99, samples } = latency;
    let [p50, p90, p95, p99] = [p50, p90, p95, p99].map(std::time::Duration::as_secs_f64);
    json!({"p50": p50, "p90": p90, "p95": p95, "p99": p99, "samples": samples})
}

fn seconds(until: Instant, now: Instant) -> f64 {
    until.saturating_duration_since(now).as_secs_f64()
}

/// Returns an explanation as JSON.
pub(super) fn explanation(explanation: &Explanation, now: Instant) -> Value {
    let Explanation { route, planned, skipped, last_resort } = explanation;
    json!({
        "route": &**route,
        "last_resort": last_resort,
        "planned": planned.iter().map(|one| considered(one, now)).collect::<Vec<_>>(),
        "skipped": skipped.iter().map(|one| left_out(one, now)).collect::<Vec<_>>(),
    })
}

fn considered(considered: &Considered, now: Instant) -> Value {
    json!({
        "target": considered.target.to_string(),
        "why": considered.why.text(),
        "share": considered.score.map(|score| score.share),
        "health": considered.health.map(|health| target(&health, now)),
    })
}

fn left_out(skipped: &Skipped, now: Instant) -> Value {
    json!({
        "target": skipped.target.to_string(),
        "why": skipped.why.text(),
        "back_in_s": skipped.back_in.map(|wait| wait.as_secs_f64()),
        "health": skipped.health.map(|health| target(&health, now)),
    })
}

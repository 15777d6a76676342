//! Records, explanations and health as stores and pages read them: one form for every format.
//!
//! Names are those of the fields; a target is `provider/model`, a duration is in seconds with `_s` behind its name, a
//! moment is RFC 3339, or in seconds from when the whole was taken: `_in_s` until it, `_s_ago` and `for_s` since. The
//! words themselves know no format.

use std::time::{Duration, Instant};

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::explain::{CallStep, Explanation, Flight};
use super::latency::Latency;
use super::record::Record;
use super::routing::Score;
use super::snapshot::{BreakerState, Disabled, Health};
#[cfg(feature = "store")]
use super::statement::{GroupBy, Line, Statement};
use crate::words::{AttemptEnd, AttemptRecord, CallFacts, Dialect, Failure, Hint, Hold, Reported};

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Attempt(attempt) => attempt.serialize(serializer),
            Self::Call(flight) => flight.serialize(serializer),
        }
    }
}

impl Serialize for AttemptRecord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        attempt(self).serialize(serializer)
    }
}

impl Serialize for Flight {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        flight(self).serialize(serializer)
    }
}

impl Serialize for Explanation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        explanation(self).serialize(serializer)
    }
}

#[cfg(feature = "store")]
impl Serialize for Statement {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { by, lines, sum, cut, lost, again, removed, unknown_hours, whole_from } = self;
        let of_calls = *by == GroupBy::Outcome;
        let lines: Vec<Value> = lines.iter().map(|it| line(it, of_calls)).collect();
        let (by, sum) = (by.to_string(), line(sum, of_calls));
        let whole_from = whole_from.map(|from| humantime::format_rfc3339_seconds(from).to_string());
        let value = json!({
            "by": by, "lines": lines, "sum": sum, "cut": cut, "lost": lost, "again": again, "removed": removed,
            "unknown_hours": unknown_hours, "whole_from": whole_from,
        });
        value.serialize(serializer)
    }
}

/// Returns a line of a statement, which counts attempts and answers, or calls.
#[cfg(feature = "store")]
fn line(line: &Line, of_calls: bool) -> Value {
    let usage = line.usage;
    json!({
        "of": line.of,
        "calls": of_calls.then_some(line.attempts),
        "attempts": (!of_calls).then_some(line.attempts),
        "answers": (!of_calls).then_some(line.answers),
        "unpriced": line.unpriced,
        "cost_usd": line.cost_usd(),
        "estimated_usd": line.estimated_usd(),
        "wasted_usd": line.wasted_usd(),
        "answer_usd": line.answer_usd(),
        "cached_share": line.cached_share(),
        "tokens": {
            "input": usage.input,
            "cached": usage.cached,
            "cache_write": usage.cache_write,
            "output": usage.output,
            "reasoning": usage.reasoning,
        },
    })
}

fn seconds(time: Duration) -> Value {
    json!(time.as_secs_f64())
}

/// Returns the seconds from one moment to a later one.
pub(crate) fn between(from: Instant, to: Instant) -> Value {
    seconds(to.saturating_duration_since(from))
}

/// Returns a target's health as of a moment.
pub(crate) fn health(health: &Health, now: Instant) -> Value {
    let until = |until: Option<Instant>| until.map(|until| between(now, until));
    let disabled = health.disabled.map(|disabled| match disabled {
        Disabled::Verdict { class, until } => json!({ "why": class.name(), "back_in_s": between(now, until) }),
        Disabled::Down { until: back } => json!({ "why": "down", "back_in_s": until(back) }),
        Disabled::Operator { until: back } => json!({ "why": "operator", "back_in_s": until(back) }),
    });
    let cooldown = match health.breaker {
        BreakerState::Open { until } => Some(between(now, until)),
        _ => None,
    };
    json!({
        "published_s_ago": between(health.published, now),
        "breaker": health.breaker.name(),
        "cooldown_s": cooldown,
        "degraded": health.degraded,
        "slow": health.slow,
        "disabled": disabled,
        "forced_on": health.forced_on,
        "rate_limited_for_s": until(health.rate_limited_until.max(health.overloaded_until)),
        "paced_for_s": until(health.paced_until),
        "room": health.room,
        "headroom": health.headroom,
        "reported": health.hint.map(Reported::name),
        "failure_rate": health.failure_rate,
        "evidence": health.evidence,
        "time_to_first_token_s": latency(&health.ttft),
        "time_per_token_s": latency(&health.tpot),
        "time_to_whole_answer_s": latency(&health.reply),
        "in_flight": health.in_flight,
        "in_flight_max": health.in_flight_max,
        "admitted": health.admitted,
        "failed": health.failed,
        "used_s_ago": health.last_used.map(|used| between(used, now)),
    })
}

fn latency(latency: &Latency) -> Value {
    let Latency { mean, p50, p90, p95, p99, samples } = latency;
    let assumed = latency.is_assumed();
    let [mean, p50, p90, p95, p99] = [mean, p50, p90, p95, p99].map(|time| seconds(*time));
    json!({ "mean": mean, "p50": p50, "p90": p90, "p95": p95, "p99": p99, "samples": samples, "assumed": assumed })
}

/// Returns the hints about a provider.
pub(crate) fn hints(hints: &[Hint]) -> Value {
    let one =
        |hint: &Hint| json!({ "source": hint.source.text(), "reported": hint.reported.name(), "says": &*hint.says });
    hints.iter().map(one).collect()
}

/// Returns a hold of a key or a target: its cause, its age, and its remaining time.
pub(crate) fn hold(hold: &Hold, now: Instant) -> Value {
    json!({
        "model": hold.model.as_deref(),
        "key": hold.key.as_deref(),
        "why": hold.cause.name(),
        "for_s": between(hold.since, now),
        "back_in_s": hold.until.map(|until| between(now, until)),
    })
}

/// Returns a call's facts, as the fields of a record that begins with them.
fn facts(kind: &str, about: &CallFacts) -> Value {
    json!({
        "kind": kind,
        "call": about.id.to_string(),
        "call_started_at": humantime::format_rfc3339_micros(about.started_at).to_string(),
        "route": &*about.route,
        "client": about.client.as_deref(),
        "session": about.session,
        "tags": about.tags,
        "priority": about.priority.name(),
        "dialect": about.dialect.map(Dialect::name),
    })
}

fn with(mut first: Value, more: Value) -> Value {
    if let (Value::Object(first), Value::Object(more)) = (&mut first, more) {
        first.extend(more);
    }
    first
}

fn attempt(record: &AttemptRecord) -> Value {
    let usage = record.usage;
    let fields = json!({
        "attempt": record.attempt,
        "started_at": humantime::format_rfc3339_micros(record.started_at()).to_string(),
        "target": record.target.to_string(),
        "model": record.model.as_deref(),
        "key": &*record.key,
        "started_after_s": seconds(record.started_after),
        "first_token_s": record.first_token.map(seconds),
        "took_s": seconds(record.took),
        "usage": {
            "input": usage.input,
            "cached": usage.cached,
            "cache_write": usage.cache_write,
            "output": usage.output,
            "reasoning": usage.reasoning,
            "estimated": record.estimated,
        },
        "bill": {
            "cost_usd": record.bill.cost_usd,
            "cache_write_1h": record.bill.cache_write_1h,
            "searches": record.bill.searches,
            "other_price": record.bill.other_price,
        },
        "price": record.price.map(|rates| {
            rates.named().into_iter().map(|(name, dollars)| (name.to_owned(), json!(dollars))).collect::<Value>()
        }),
        "cost_usd": record.cost_usd,
        "bytes_sent": record.bytes_sent,
        "bytes_received": record.bytes_received,
        "probe": record.probe,
        "last_resort": record.last_resort,
        "degraded": record.degraded,
        "hedge": record.hedge,
        "end": record.end.name(),
        "failure": match &record.end {
            AttemptEnd::Won => None,
            AttemptEnd::Failed(one) => Some(failure(one)),
        },
    });
    with(facts("attempt", &record.about), fields)
}

/// Returns a failure without the provider's own words: they may repeat the prompt.
fn failure(failure: &Failure) -> Value {
    json!({ "class": failure.class.name(), "status": failure.status, "code": failure.code })
}

fn flight(flight: &Flight) -> Value {
    let step = |(after, happened): &(Duration, CallStep)| with(json!({ "after_s": seconds(*after) }), step(happened));
    let fields = json!({
        "outcome": flight.outcome(),
        "took_s": seconds(flight.took),
        "attempts": flight.attempts,
        "cost_usd": flight.cost_usd,
        "wasted_usd": flight.wasted_usd,
        "again": flight.again,
        "steps": flight.steps.iter().map(step).collect::<Vec<_>>(),
    });
    with(facts("call", &flight.about), fields)
}

fn score(score: Option<Score>) -> Option<Value> {
    score.map(|score| {
        json!({
            "expected_usd": score.j,
            "answer_usd": score.dollars,
            "price_known": score.price_known,
            "answer_s": score.seconds,
            "failure_rate": score.failure_rate,
            "share": score.share,
            "expected_usd_when_healthy": score.j_healthy,
        })
    })
}

fn step(happened: &CallStep) -> Value {
    match happened {
        CallStep::Planned { picks, skipped, last_resort } => json!({
            "step": "planned",
            "picks": picks.iter().map(|(target, why, cost)| json!({
                "target": target.to_string(), "why": why.text(), "score": score(*cost),
            })).collect::<Vec<_>>(),
            "skipped": skipped.iter().map(|(target, why, back)| json!({
                "target": target.to_string(), "why": why.text(), "back_in_s": back.map(seconds),
            })).collect::<Vec<_>>(),
            "last_resort": last_resort,
        }),
        CallStep::Hinted { provider, hint } => json!({
            "step": "hinted", "provider": &**provider, "source": hint.source.text(), "reported": hint.reported.name(),
            "says": &*hint.says,
        }),
        CallStep::Refused { target, gate, wait } => json!({
            "step": "refused", "target": target.to_string(), "gate": gate.name(), "back_in_s": wait.map(seconds),
        }),
        CallStep::Joined { attempt, why } => json!({ "step": "joined", "attempt": attempt, "why": why.name() }),
        CallStep::Tried { attempt, target } => {
            json!({ "step": "tried", "attempt": attempt, "target": target.to_string() })
        }
        CallStep::Failed { attempt, failure: one } => {
            json!({ "step": "failed", "attempt": attempt, "failure": failure(one) })
        }
        CallStep::Reset => json!({ "step": "reset" }),
        CallStep::Waited(wait) => json!({ "step": "waited", "at_most_s": seconds(*wait) }),
        CallStep::Queued(wait) => json!({ "step": "queued", "foretold_s": wait.map(seconds) }),
        CallStep::Parked { back_in, barred } => json!({
            "step": "parked",
            "back_in_s": back_in.map(seconds),
            "waits_for": barred.iter().map(|one| json!({
                "target": one.target.to_string(), "why": one.cause.name(), "back_in_s": one.back_in.map(seconds),
            })).collect::<Vec<_>>(),
        }),
        CallStep::TakenUp { call } => json!({ "step": "taken_up", "call": call.to_string() }),
        CallStep::Resumed => json!({ "step": "resumed" }),
        CallStep::Degraded(rung) => match rung.age() {
            Some(age) => json!({ "step": "degraded", "rung": rung.name(), "age_s": seconds(age) }),
            None => json!({ "step": "degraded", "rung": rung.name() }),
        },
        CallStep::Answered { attempt, target } => {
            json!({ "step": "answered", "attempt": attempt, "target": target.to_string() })
        }
        CallStep::CallerLeft => json!({ "step": "caller_left" }),
        CallStep::GaveUp(error) => json!({ "step": "gave_up", "error": error.name() }),
    }
}

fn explanation(explanation: &Explanation) -> Value {
    let health = |of: &Option<Health>| of.as_ref().map(|of| health(of, explanation.at));
    json!({
        "route": &*explanation.route,
        "planned": explanation.planned.iter().map(|one| json!({
            "target": one.target.to_string(), "why": one.why.text(), "score": score(one.score),
            "health": health(&one.health), "hints": hints(&one.hints),
        })).collect::<Vec<_>>(),
        "skipped": explanation.skipped.iter().map(|one| json!({
            "target": one.target.to_string(), "why": one.why.text(), "back_in_s": one.back_in.map(seconds),
            "health": health(&one.health), "hints": hints(&one.hints),
        })).collect::<Vec<_>>(),
        "last_resort": explanation.last_resort,
        "parked": explanation.parked,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::SystemTime;

    use super::*;
    use crate::words::{CallId, FailureClass, TargetId};

    #[test]
    fn a_record_is_one_flat_object_without_a_providers_words() {
        let mut about = CallFacts::new(CallId::new(1, 2), SystemTime::UNIX_EPOCH, "smart");
        about.tags.insert("team".to_owned(), "red".to_owned());
        let mut attempt = AttemptRecord::new(Arc::new(about), 1, TargetId::new("p", "m"), "key-1");
        attempt.end = AttemptEnd::Failed(Failure::new(FailureClass::Cut, "said the provider of the prompt"));
        let text = serde_json::to_string(&Record::Attempt(Arc::new(attempt))).expect("JSON");
        let value: Value = serde_json::from_str(&text).expect("JSON");
        for (field, expected) in [
            ("kind", json!("attempt")),
            ("call", json!("0000000000000001-2")),
            ("call_started_at", json!("1970-01-01T00:00:00.000000Z")),
            ("target", json!("p/m")),
            ("tags", json!({"team": "red"})),
            ("end", json!("cut")),
            ("failure", json!({"class": "cut", "status": null, "code": null})),
        ] {
            assert_eq!(value[field], expected, "{field}");
        }
        assert!(!text.contains("said the provider"), "{text}");
    }
}

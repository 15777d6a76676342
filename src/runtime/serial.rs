//! A snapshot of health in the form of records and explanations: times as seconds from when it was taken, which is a
//! moment of the wall clock. It has no text of any caller.

use std::time::Instant;

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::actors::health::{HealthSnapshot, ParkedCalls, ProviderHealth};
use crate::actors::slot::ProviderStatus;
use crate::policy::budget::BudgetHealth;
use crate::policy::serial::{between, health, hints, hold};

impl Serialize for HealthSnapshot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        snapshot(self).serialize(serializer)
    }
}

fn snapshot(snapshot: &HealthSnapshot) -> Value {
    let now = snapshot.at;
    json!({
        "taken_at": humantime::format_rfc3339_micros(snapshot.taken_at).to_string(),
        "calls_in_flight": snapshot.calls,
        "draining": snapshot.draining,
        "queued": snapshot.queued,
        "parked": snapshot.parked.iter().map(|one| parked(one, now)).collect::<Vec<_>>(),
        "lack": snapshot.lack.as_ref().map(|lack| json!({
            "what": lack.what,
            "count": lack.count,
            "ago_s": between(lack.at, now),
        })),
        "unreached_for_s": snapshot.unreached.map(|since| between(since, now)),
        "observers": snapshot.observers.iter().map(|one| json!({
            "name": &*one.name,
            "lost": one.lost,
            "gone": one.gone,
        })).collect::<Vec<_>>(),
        "prices": snapshot.prices.iter().map(|one| json!({
            "from": &*one.from,
            "listed": one.listed,
            "taken_s_ago": one.taken_at.map(|at| between(at, now)),
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
        "providers": snapshot.providers.iter().map(|one| provider(one, now)).collect::<Vec<_>>(),
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
        "for_s": between(parked.since, now),
        "back_in_s": parked.until.map(|until| between(now, until)),
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
        "back_in_s": back_in.map(|until| between(now, until)),
        "incarnations": provider.incarnations,
        "holds": provider.holds.iter().map(|one| hold(one, now)).collect::<Vec<_>>(),
        "hints": hints(&provider.hints),
        "retires": provider.retires.iter().map(|(id, on)| json!({
            "model": &*id.model, "on": on.to_string(),
        })).collect::<Vec<_>>(),
        "drift": provider.drift.iter().map(|(drift, answers)| json!({
            "kind": drift.kind.name(), "name": &*drift.name, "answers": answers,
        })).collect::<Vec<_>>(),
        "targets": provider.targets.iter().map(|(id, of)| {
            let mut value = health(of, now);
            value["model"] = json!(&*id.model);
            value
        }).collect::<Vec<_>>(),
    })
}

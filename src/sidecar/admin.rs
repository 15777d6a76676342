//! The operators' endpoints: health, readiness, metrics, explanations.
//!
//! Input: what the runtime publishes. Output: JSON with times as seconds from now. It has no text of any caller.

use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use super::connection_slots::ConnectionSlots;
use super::endpoint::unescaped;
use crate::policy::serial::hold;
use crate::policy::snapshot::{BreakerState, Health};
use crate::runtime::{CallSelector, Flight, HealthSnapshot, Question};
use crate::wire::serve::call_of;
use crate::words::{CallId, Date, Error, Hold, Reset, TargetId};

/// Tells whether calls can be answered: some provider is reached, and some target admits them.
pub(super) fn is_ready(snapshot: &HealthSnapshot) -> bool {
    let mut targets = snapshot.providers.iter().flat_map(|provider| &provider.targets);
    !snapshot.draining && snapshot.unreached.is_none() && targets.any(|(_, health)| lets_through(health))
}

fn lets_through(health: &Health) -> bool {
    health.disabled.is_none() && (health.forced_on || !matches!(health.breaker, BreakerState::Open { .. }))
}

/// Returns the snapshot as JSON, with what the sidecar knows beside it.
pub(super) fn health(snapshot: &HealthSnapshot, places: &ConnectionSlots) -> Value {
    let (taken, max) = places.taken();
    let mut value = json!(snapshot);
    let status = if snapshot.draining {
        "draining"
    } else if is_ready(snapshot) {
        "ok"
    } else {
        "unavailable"
    };
    value["status"] = json!(status);
    value["connections"] = json!({
        "taken": taken,
        "max": max,
        "full_for_s": places.full_for().map(|time| time.as_secs_f64()),
    });
    value
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

/// Returns a call's page as JSON, and as text for people.
pub(super) fn flight(flight: &Flight) -> Value {
    json!({"call": flight.call.to_string(), "told": flight.to_string(), "flight": flight})
}

//! The operators' endpoints: who may ask there, and health, explanations, the ledger and resets as JSON.
//!
//! Input: what the runtime publishes. Output: JSON with times as seconds from now. It has no text of any caller.

use std::time::{Duration, Instant, SystemTime};

use http::request::Parts;
use http::{HeaderName, Response, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};

use super::access::Denied;
use super::body::{ReplyBody, bytes};
use super::connection_slots::ConnectionSlots;
use super::endpoint::unescaped;
use super::refusals::Reason;
use super::state::{State, now};
use crate::policy::serial::hold;
use crate::policy::snapshot::{BreakerState, Health};
use crate::runtime::{CallSelector, HealthSnapshot, LedgerError, Question};
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

/// Checks that the caller is an operator. Without keys every caller is one, except those that come through a proxy.
pub(super) fn operator(state: &State, head: &Parts) -> Result<(), Response<ReplyBody>> {
    let current = state.current();
    let is_proxied = |name: &HeaderName| PROXIED.iter().any(|begin| name.as_str().starts_with(begin));
    let is_brought = || head.headers.keys().any(is_proxied);
    let admitted = match current.access.admit_operator(&head.headers, head.uri.query(), now()) {
        Ok(()) if !current.access.asks_operators() && is_brought() => Err(Denied::Unknown),
        admitted => admitted,
    };
    admitted.map_err(|denied| {
        let (reason, status, what) = match denied {
            Denied::Unknown | Denied::Operator => {
                let what = "this needs an operator's key: one of `server.keys` with `operator = true`";
                (Reason::Key, StatusCode::UNAUTHORIZED, what)
            }
            Denied::TooMany(_) => (Reason::Limit, StatusCode::TOO_MANY_REQUESTS, "too many requests with this key"),
        };
        state.count_refusal(reason, head);
        problem(status, what)
    })
}

/// How the names of headers begin in which proxies name their clients.
const PROXIED: [&str; 14] = [
    "cf-",
    "fastly-",
    "fly-",
    "forwarded",
    "tailscale-",
    "true-client-ip",
    "via",
    "x-amzn-",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-envoy-",
    "x-forwarded",
    "x-original-",
    "x-real-ip",
];

/// Returns the runtime's health, with what the sidecar knows beside it.
pub(super) fn health(state: &State) -> Response<ReplyBody> {
    ok(&snapshot_with_places(&state.runtime.health(), &state.places))
}

fn snapshot_with_places(snapshot: &HealthSnapshot, places: &ConnectionSlots) -> Value {
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

/// Explains what a route would do now.
pub(super) async fn explain(state: &State, route: String) -> Response<ReplyBody> {
    state.runtime.explain(route.as_str()).await.map_or_else(|error| failed(&error), |explanation| ok(&explanation))
}

/// Returns the page of a call that the recorder remembers, or that is parked: as JSON, and as text for people.
pub(super) fn why(state: &State, call: &str) -> Response<ReplyBody> {
    let Some(id) = to_call(call) else {
        let what = "this is no id of a call, as 5f3a9c01d2e4b687-17: that stands in the header `x-standin-call` of the \
                    answer and in the log; one within an answer may be its provider's";
        return problem(StatusCode::NOT_FOUND, what);
    };
    let Some(flight) = state.runtime.why(id) else {
        let what = "no call of this id is remembered: one that runs is shown when it has ended or is parked, and the \
                    last `recorder_max` calls that ended are remembered. The id that is meant stands in the header \
                    `x-standin-call` of the answer and in the log; one within an answer may be its provider's";
        return problem(StatusCode::NOT_FOUND, what);
    };
    ok(&json!({"call": flight.call.to_string(), "told": flight.to_string(), "flight": *flight}))
}

/// Asks the ledger.
#[expect(clippy::disallowed_methods, reason = "how long ago something was is told by the wall's clock")]
pub(super) async fn ledger(state: &State, query: &str) -> Response<ReplyBody> {
    let question = match to_question(query, SystemTime::now()) {
        Ok(question) => question,
        Err(bad) => return problem(StatusCode::BAD_REQUEST, bad),
    };
    match state.runtime.ledger(question).await {
        Ok(statement) => ok(&statement),
        Err(error @ LedgerError::NotKept) => problem(StatusCode::NOT_FOUND, error),
        Err(error) => problem(StatusCode::SERVICE_UNAVAILABLE, error),
    }
}

/// Forgets what was asked and answered.
#[expect(clippy::disallowed_methods, reason = "how long ago something was is told by the wall's clock")]
pub(super) async fn forget(state: &State, query: &str) -> Response<ReplyBody> {
    match to_forget(query, SystemTime::now()) {
        Err(bad) => problem(StatusCode::BAD_REQUEST, bad),
        Ok(which) => match state.runtime.forget(which).await {
            Ok(calls) => ok(&json!({ "forgotten": calls })),
            Err(error) => problem(StatusCode::SERVICE_UNAVAILABLE, error),
        },
    }
}

/// Lifts what keeps a key or a target out.
pub(super) async fn reset(state: &State, name: Option<&str>, query: Option<&str>) -> Response<ReplyBody> {
    let key = query.and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("only_key="))).map(unescaped);
    let answer = match to_reset(name, key.as_deref()) {
        Ok(what) => state.runtime.reset(what).await,
        Err(error) => Err(error),
    };
    answer.map_or_else(|error| failed(&error), |holds| ok(&lifted(&holds, state.runtime.health().at)))
}

fn ok(value: &impl Serialize) -> Response<ReplyBody> {
    bytes(StatusCode::OK, "application/json", json!(value).to_string().into())
}

/// Says what is wrong with a request of an operator.
pub(super) fn problem(status: StatusCode, what: impl ToString) -> Response<ReplyBody> {
    bytes(status, "application/json", json!({ "error": what.to_string() }).to_string().into())
}

/// Says why the runtime did not do what was asked.
fn failed(error: &Error) -> Response<ReplyBody> {
    let is_unknown = matches!(error, Error::Invalid { .. });
    problem(if is_unknown { StatusCode::NOT_FOUND } else { StatusCode::SERVICE_UNAVAILABLE }, error)
}

/// Reads a question to the ledger: `by`, `since`, `until` and `lines` of an address's query.
fn to_question(query: &str, now: SystemTime) -> Result<Question, String> {
    let mut question = Question::default();
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        let value = unescaped(value);
        let time = || moment(&value, now).ok_or_else(|| format!("{name}: must be {MOMENT}"));
        match name {
            "by" => question.by = value.parse().map_err(|no| format!("by: {no}"))?,
            "since" => question.since = Some(time()?),
            "until" => question.until = Some(time()?),
            "lines" => {
                let lines = value.parse().ok().filter(|lines| (1..=Question::LINES_MAX).contains(lines));
                question.lines_max = lines.ok_or_else(|| format!("lines: must be 1 to {}", Question::LINES_MAX))?;
            }
            _ => return Err(format!("{name}: is none of by, since, until and lines")),
        }
    }
    question.check()?;
    Ok(question)
}

/// The forms of a moment, for errors.
pub const MOMENT: &str = "a day, as 2026-11-29, an hour, as 2026-11-29T15:00Z, or how long ago, as 7d or 12h";

/// Reads a moment as people write it: a day, an hour as statements name it, or how long ago it was.
pub fn moment(text: &str, now: SystemTime) -> Option<SystemTime> {
    let day = |date: Date| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(date.0).ok()? * 86_400));
    let ago = || now.checked_sub(humantime::parse_duration(text).ok()?);
    let minute = || humantime::parse_rfc3339(&format!("{}:00Z", text.strip_suffix('Z')?)).ok();
    let time = || humantime::parse_rfc3339(text).ok().or_else(minute);
    Date::parse(text).map_or_else(|| time().or_else(ago), day)
}

/// Reads which call is meant: by its own id, or by that of a response that was written here.
pub(super) fn to_call(text: &str) -> Option<CallId> {
    text.parse().ok().or_else(|| call_of(text))
}

/// Reads what is to be forgotten: `call`, `tag` or `before` of an address's query, and one of them.
fn to_forget(query: &str, now: SystemTime) -> Result<CallSelector, String> {
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
fn to_reset(name: Option<&str>, key: Option<&str>) -> Result<Reset, Error> {
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
fn lifted(lifted: &[Hold], now: Instant) -> Value {
    let one = |one: &Hold| {
        let mut value = hold(one, now);
        value["provider"] = json!(&*one.provider);
        value
    };
    json!({"lifted": lifted.iter().map(one).collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_as_statements_name_it_or_as_people_do() {
        let (day, hour) = (1_795_910_400, 3_600);
        let at = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        let now = at(day + 20 * hour).expect("a time");
        for (text, expected) in [
            ("2026-11-29", at(day)),
            ("2026-11-29T15:00Z", at(day + 15 * hour)),
            ("2026-11-29T15:30:00Z", at(day + 15 * hour + hour / 2)),
            ("12h", at(day + 8 * hour)),
            ("2026-11-29T15:00", None),
            ("2026-13-29", None),
            ("Z", None),
            ("soon", None),
        ] {
            assert_eq!(moment(text, now), expected, "{text}");
        }
    }
}

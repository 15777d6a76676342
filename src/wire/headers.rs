//! Reads what a response's headers say about waiting, retrying and the time.
//!
//! Input: headers. Output: waits and dates; nothing here knows what time it is, so a date stays a date. Values that are
//! not numbers, negative or zero say nothing; a wait that is too long is cut, and a reset that is says nothing.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{CONTENT_TYPE, DATE, HeaderName};

use super::time_field::{Meaning, TimeField};
use super::when::{WAIT_MAX, Zone, parse, wait};
use crate::words::RetryAfter;

/// Tells whether a response says that its body is an event stream.
pub fn is_event_stream(headers: &HeaderMap) -> bool {
    const TYPE: &str = "text/event-stream";
    text(headers, &CONTENT_TYPE).and_then(|value| value.get(..TYPE.len())).is_some_and(|v| v.eq_ignore_ascii_case(TYPE))
}

/// Returns when the headers of a failed response ask to come back: `retry-after-ms`, else `retry-after`, else the
/// reset of the limits that are used up. Not for successful responses, which several providers send with a
/// `retry-after` that means nothing.
#[cfg(test)]
pub(super) fn retry_after(headers: &HeaderMap) -> Option<RetryAfter> {
    stated(headers).or_else(|| reset(headers))
}

/// Returns the wait from `retry-after-ms`, `retry-after` or a similar header.
pub(super) fn stated(headers: &HeaderMap) -> Option<RetryAfter> {
    let get = |name: &'static str| text(headers, &HeaderName::from_static(name));
    let millis = ["retry-after-ms", "x-ms-retry-after-ms"].into_iter().filter_map(get);
    let millis = millis.filter_map(|value| value.parse::<f64>().ok()).find_map(|millis| wait(millis / 1e3));
    millis.or_else(|| get("retry-after").and_then(first)).or_else(|| by_name(headers))
}

/// Returns the wait from a header that has such a name by its parts, behind that of who sends it: `x-retry-in`,
/// `msh-cooldown-seconds`, `cf-retry-after`.
fn by_name(headers: &HeaderMap) -> Option<RetryAfter> {
    const LEADS: [&str; 4] = ["retry-", "cooldown", "backoff", "wait-"];
    headers.iter().find_map(|(name, value)| {
        let name = name.as_str();
        let begins = |at: &usize| *at == 0 || name[..*at].ends_with('-');
        let at = LEADS.iter().filter_map(|lead| name.find(lead).filter(begins)).min()?;
        let field = TimeField::by(&name[at..]).filter(|field| field.meaning == Meaning::Wait)?;
        let value = value.to_str().ok()?.trim();
        match value.parse::<f64>() {
            Ok(number) => field.read(&number.into(), Zone::UTC),
            Err(_) => first(value),
        }
    })
}

/// Reads a value, or the first of several that proxies have joined; dates have commas of their own.
fn first(value: &str) -> Option<RetryAfter> {
    parse(value).or_else(|| parse(value.split_once(',')?.0))
}

/// Returns the latest reset among the limits of which nothing remains, or of which nothing else is said.
pub(super) fn reset(headers: &HeaderMap) -> Option<RetryAfter> {
    let (mut used_up, mut bare) = (Vec::new(), Vec::new());
    for (name, value) in headers {
        let Some((before, after)) = name.as_str().split_once("reset") else { continue };
        let sibling = |word: &str| text(headers, &HeaderName::try_from(format!("{before}{word}{after}")).ok()?);
        let Some(reset) = value.to_str().ok().and_then(parse).filter(|reset| !is_endless(*reset)) else { continue };
        match (sibling("remaining"), sibling("status")) {
            (Some(remaining), _) if remaining.parse::<f64>().is_ok_and(|left| left == 0.0) => used_up.push(reset),
            (None, Some(status)) if status.eq_ignore_ascii_case("rejected") => used_up.push(reset),
            (None, None) => bare.push(reset),
            _ => {}
        }
    }
    // The standard's draft has all in one header: `limit=100, remaining=0, reset=50`, or `"a";r=0;t=50`.
    for value in headers.get_all("ratelimit").iter().filter_map(|value| value.to_str().ok()) {
        let field = |names: [&str; 2]| {
            let parts = value.split([',', ';']).filter_map(|part| part.trim().split_once('='));
            parts.filter(|(name, _)| names.contains(name)).find_map(|(_, value)| value.trim().parse::<f64>().ok())
        };
        if field(["remaining", "r"]) == Some(0.0) {
            used_up.extend(field(["reset", "t"]).and_then(wait).filter(|reset| !is_endless(*reset)));
        }
    }
    // Without a clock a date and a wait cannot be compared; no provider mixes them.
    let latest = |resets: Vec<RetryAfter>| {
        resets.into_iter().max_by_key(|reset| match *reset {
            RetryAfter::After(wait) => (SystemTime::UNIX_EPOCH, wait),
            RetryAfter::At(date) => (date, Duration::ZERO),
        })
    };
    latest(used_up).or_else(|| latest(bare))
}

/// Tells whether a reset is so far away that it was cut: no window of a limit is that long, and it says nothing.
fn is_endless(reset: RetryAfter) -> bool {
    reset == RetryAfter::After(WAIT_MAX)
}

/// Returns the response's own date, against which its other dates are to be read.
pub fn date(headers: &HeaderMap) -> Option<SystemTime> {
    text(headers, &DATE).and_then(|value| httpdate::parse_http_date(value).ok())
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

#[cfg(test)]
mod tests;

//! What a response's headers say about waiting, retrying and the time.
//!
//! In flow headers, out flow waits and dates; nothing here knows what time it is, so a date stays a date. Values that
//! are not numbers, negative, zero or absurd say nothing.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{CONTENT_TYPE, DATE, HeaderName, RETRY_AFTER};

use crate::words::RetryAfter;

/// The longest wait that is believed: a spending limit lasts to the end of the month, nothing lasts longer.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(31 * 24 * 3600);
/// A bare number from here on (2001) is a date in seconds since 1970, no wait: it would last 31 years.
const EPOCH_SECONDS_MIN: f64 = 1e9;
/// From here on (2001, again) it is one in milliseconds.
const EPOCH_MILLIS_MIN: f64 = 1e12;
/// And from here on (in the year 5138) it is nothing.
const EPOCH_MILLIS_MAX: f64 = 1e14;

/// Tells whether a response says that its body is an event stream.
pub fn is_event_stream(headers: &HeaderMap) -> bool {
    const TYPE: &str = "text/event-stream";
    text(headers, &CONTENT_TYPE).and_then(|value| value.get(..TYPE.len())).is_some_and(|v| v.eq_ignore_ascii_case(TYPE))
}

/// Returns when the headers of a failed response ask to come back: `retry-after-ms`, else `retry-after`, else the
/// reset of the limits that are used up. Not for successful responses, which several providers send with a
/// `retry-after` that means nothing.
pub fn retry_after(headers: &HeaderMap) -> Option<RetryAfter> {
    stated(headers).or_else(|| reset(headers))
}

/// Returns what `retry-after-ms` or `retry-after` says.
pub(super) fn stated(headers: &HeaderMap) -> Option<RetryAfter> {
    let millis = text(headers, &HeaderName::from_static("retry-after-ms"))
        .and_then(|value| value.parse::<f64>().ok())
        .and_then(|millis| wait(millis / 1e3));
    millis.or_else(|| text(headers, &RETRY_AFTER).and_then(parse))
}

/// Returns the latest reset among the limits of which nothing remains.
pub(super) fn reset(headers: &HeaderMap) -> Option<RetryAfter> {
    let used_up = headers.iter().filter_map(|(name, value)| {
        let (before, after) = name.as_str().split_once("remaining")?;
        let is_zero = value.to_str().ok()?.trim().parse::<f64>().is_ok_and(|remaining| remaining == 0.0);
        let reset = HeaderName::try_from(format!("{before}reset{after}")).ok()?;
        is_zero.then(|| text(headers, &reset).and_then(parse))?
    });
    // Without a clock a date and a wait cannot be compared; no provider mixes them.
    used_up.max_by_key(|reset| match *reset {
        RetryAfter::After(wait) => (SystemTime::UNIX_EPOCH, wait),
        RetryAfter::At(date) => (date, Duration::ZERO),
    })
}

/// Returns the response's own date, against which its other dates are to be read.
pub fn date(headers: &HeaderMap) -> Option<SystemTime> {
    text(headers, &DATE).and_then(|value| httpdate::parse_http_date(value).ok())
}

/// Reads a wait or a date in any form that providers use: seconds, seconds or milliseconds since 1970, `6m0s`,
/// RFC 3339, HTTP date.
pub(super) fn parse(value: &str) -> Option<RetryAfter> {
    let value = value.trim();
    if let Ok(number) = value.parse::<f64>() {
        return match number {
            EPOCH_MILLIS_MIN..EPOCH_MILLIS_MAX => epoch(number / 1e3),
            EPOCH_SECONDS_MIN..EPOCH_MILLIS_MIN => epoch(number),
            _ => wait(number),
        };
    }
    humantime::parse_duration(value)
        .ok()
        .and_then(plausible)
        .or_else(|| humantime::parse_rfc3339(value).ok().map(RetryAfter::At))
        .or_else(|| httpdate::parse_http_date(value).ok().map(RetryAfter::At))
}

/// Reads the wait out of a message like "Please try again in 1m2.5s. Visit …".
pub(super) fn parse_text(message: &str) -> Option<RetryAfter> {
    const PHRASES: [&str; 4] = ["try again in ", "retry in ", "retry after ", "try again after "];
    let message = message.to_ascii_lowercase();
    let start = PHRASES.iter().filter_map(|phrase| message.find(phrase).map(|at| at + phrase.len())).min()?;
    let mut words = message[start..].split_whitespace();
    let first = words.next()?.trim_end_matches(['.', ',', ';', ')', '"']);
    // "20s", or "20 seconds"; a number alone could be anything.
    if first.parse::<f64>().is_err() {
        return humantime::parse_duration(first).ok().and_then(plausible);
    }
    let unit = words.next()?.trim_end_matches(|letter: char| !letter.is_ascii_alphabetic());
    humantime::parse_duration(&format!("{first} {unit}")).ok().and_then(plausible)
}

/// Returns a wait of so many seconds, if it is one.
pub(super) fn wait(seconds: f64) -> Option<RetryAfter> {
    Duration::try_from_secs_f64(seconds).ok().and_then(plausible)
}

fn plausible(wait: Duration) -> Option<RetryAfter> {
    (!wait.is_zero() && wait <= WAIT_MAX).then_some(RetryAfter::After(wait))
}

fn epoch(seconds: f64) -> Option<RetryAfter> {
    let since = Duration::try_from_secs_f64(seconds).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(since).map(RetryAfter::At)
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

#[cfg(test)]
mod tests;

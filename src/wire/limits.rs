//! Reads from a response's headers what is left of its provider's limits.
//!
//! Input: the headers of any response, good or bad. Output: [`Limits`] in one form: numbers, and times to wait. Names
//! and units are as recorded: Go durations (OpenAI, Groq), dates (Anthropic), seconds (Azure, Together, Mistral),
//! milliseconds since 1970 (`OpenRouter`), nothing (xAI). A name may end with the time that its limit is of (`-1s`,
//! `-10-second`). Only limits of a minute or less count: a month's limit says nothing about the present minute. A limit
//! that cannot be true (less than 0 left, no number, no limit) or that has ended by its own date is ignored.

use std::time::{Duration, SystemTime};

use http::HeaderMap;

use super::headers;
use super::when::{self, WAIT_MAX};
use crate::words::{Gauge, Limits, MINUTE, NamedLimit, RetryAfter};

/// The unit of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Requests,
    Tokens,
}

/// A limit as some provider names it.
struct Names {
    kind: Kind,
    remaining: &'static str,
    limit: &'static str,
    reset: &'static str,
}

const fn names(kind: Kind, remaining: &'static str, limit: &'static str, reset: &'static str) -> Names {
    Names { kind, remaining, limit, reset }
}

#[rustfmt::skip]
const NAMES: [Names; 13] = [
    // OpenAI, Azure, Groq, xAI; Together's tokens.
    names(Kind::Requests, "x-ratelimit-remaining-requests", "x-ratelimit-limit-requests", "x-ratelimit-reset-requests"),
    names(Kind::Tokens, "x-ratelimit-remaining-tokens", "x-ratelimit-limit-tokens", "x-ratelimit-reset-tokens"),
    names(Kind::Tokens, "x-ratelimit-remaining-project-tokens", "x-ratelimit-limit-project-tokens",
        "x-ratelimit-reset-project-tokens"),
    // Anthropic, where it speaks OpenAI's dialect and where it speaks its own.
    names(Kind::Requests, "x-ratelimit-remaining-requests", "x-ratelimit-requests", "x-ratelimit-reset-requests"),
    names(Kind::Tokens, "x-ratelimit-remaining-tokens", "x-ratelimit-tokens", "x-ratelimit-reset-tokens"),
    names(Kind::Requests, "anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-limit",
        "anthropic-ratelimit-requests-reset"),
    names(Kind::Tokens, "anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-limit",
        "anthropic-ratelimit-tokens-reset"),
    names(Kind::Tokens, "anthropic-ratelimit-input-tokens-remaining", "anthropic-ratelimit-input-tokens-limit",
        "anthropic-ratelimit-input-tokens-reset"),
    names(Kind::Tokens, "anthropic-ratelimit-output-tokens-remaining", "anthropic-ratelimit-output-tokens-limit",
        "anthropic-ratelimit-output-tokens-reset"),
    // Mistral, which gives the reset of the oldest of these only.
    names(Kind::Requests, "x-ratelimit-remaining-req", "x-ratelimit-limit-req", "x-ratelimit-reset-req"),
    names(Kind::Tokens, "x-ratelimitbysize-remaining-minute", "x-ratelimitbysize-limit-minute",
        "ratelimitbysize-reset"),
    names(Kind::Tokens, "ratelimitbysize-remaining", "ratelimitbysize-limit", "ratelimitbysize-reset"),
    // Together, OpenRouter.
    names(Kind::Requests, "x-ratelimit-remaining", "x-ratelimit-limit", "x-ratelimit-reset"),
];

/// Returns what is left of the limits. Dates are read against the response's own, else against `now`.
pub fn limits(headers: &HeaderMap, now: SystemTime) -> Limits {
    let mut limits = Limits::default();
    for name in headers.keys().map(http::HeaderName::as_str).filter(|name| name.contains("remaining")) {
        let mut named = NAMES.iter().filter_map(|names| Some((names, window_of(name, names.remaining)?)));
        let read = named.find_map(|(names, window)| Some((names.kind, gauge(names, window, headers, now)?)));
        let Some((kind, gauge)) = read else { continue };
        let tightest = match (kind, gauge.window < MINUTE) {
            (Kind::Requests, false) => &mut limits.requests,
            (Kind::Tokens, false) => &mut limits.tokens,
            (Kind::Requests, true) => &mut limits.requests_short,
            (Kind::Tokens, true) => &mut limits.tokens_short,
        };
        if tightest.is_none_or(|known| gauge.share(0) < known.share(0)) {
            *tightest = Some(gauge);
        }
    }
    limits
}

/// Returns what a header's name says behind a known name, and the time that it says there: a minute, if nothing.
fn window_of<'n>(name: &'n str, known: &str) -> Option<(&'n str, Duration)> {
    let behind = name.strip_prefix(known)?;
    let said = match behind.strip_prefix('-') {
        Some(said) => said,
        None if behind.is_empty() => return Some((behind, MINUTE)),
        None => return None,
    };
    let unit = said.trim_start_matches(|it: char| it.is_ascii_digit());
    let number = &said[..said.len() - unit.len()];
    let count = if number.is_empty() { 1 } else { number.parse().ok().filter(|count| *count > 0)? };
    let window = match unit.trim_start_matches('-') {
        "s" | "sec" | "second" | "seconds" => Duration::from_secs(count),
        "m" | "min" | "minute" | "minutes" => MINUTE.checked_mul(count.try_into().ok()?)?,
        _ => return None,
    };
    (window <= MINUTE).then_some((behind, window))
}

/// Words for what a limit counts; a number may stand before them.
const COUNTED: [(&str, bool); 6] =
    [("tokens", true), ("requests", false), ("queries", false), ("calls", false), ("request", false), ("query", false)];
/// Short names of limits.
const SHORT: [(&str, bool, Duration); 8] = [
    ("(tpm)", true, MINUTE),
    (" tpm", true, MINUTE),
    ("(rpm)", false, MINUTE),
    (" rpm", false, MINUTE),
    ("(rps)", false, SECOND),
    (" rps", false, SECOND),
    ("(qps)", false, SECOND),
    (" qps", false, SECOND),
];
const SECOND: Duration = Duration::from_secs(1);

/// Returns the limit that the words of a refusal name: `on tokens per min (TPM): Limit 30000, Used 14567`,
/// `the rate limit of 50,000 input tokens per minute`, `2 requests per second`. A limit of answers alone, or of two
/// kinds at once, gives `None`.
pub fn named(words: &str) -> Option<NamedLimit> {
    let lower = words.to_ascii_lowercase();
    let words = lower.as_str();
    let spelled = COUNTED.iter().flat_map(|&(counted, tokens)| {
        let found = words.match_indices(counted);
        found.filter_map(move |(at, _)| Some((at, tokens, window_behind(&words[at + counted.len()..])?)))
    });
    let short = SHORT.iter().filter_map(|&(name, tokens, window)| Some((words.find(name)?, tokens, window)));
    let found: Vec<(usize, bool, Duration)> = spelled.chain(short).collect();
    let &(at, tokens, window) = found.first()?;
    let before = words[..at].trim_end();
    let is_other = |&(_, other, within): &(usize, bool, Duration)| (other, within) != (tokens, window);
    if found.iter().any(is_other) || before.ends_with("output") || before.ends_with("completion") {
        return None;
    }
    let before = before.strip_suffix("input").or_else(|| before.strip_suffix("prompt")).unwrap_or(before).trim_end();
    let digit = |it: char| it.is_ascii_digit() || it == ',';
    let in_front = &before[before.trim_end_matches(digit).len()..];
    let behind = words[at..].find("limit").map_or("", |limit| {
        let rest = words[at..][limit + "limit".len()..].trim_start_matches([' ', ':', '=']);
        &rest[..rest.len() - rest.trim_start_matches(digit).len()]
    });
    let number = |text: &str| text.replace(',', "").parse().ok().filter(|limit| *limit > 0);
    Some(NamedLimit { tokens, limit: number(in_front).or_else(|| number(behind)), window })
}

/// Returns the time that stands behind what a limit counts: ` per minute`, `/s`, ` every 10 seconds`. At most a minute.
fn window_behind(words: &str) -> Option<Duration> {
    let said = ["/", " / ", " per ", " every ", " a "].iter().find_map(|sign| words.strip_prefix(sign))?;
    let digits = said.len() - said.trim_start_matches(|it: char| it.is_ascii_digit()).len();
    let count = if digits == 0 { 1 } else { said[..digits].parse().ok().filter(|count| *count > 0)? };
    let unit = said[digits..].trim_start_matches([' ', '-']);
    let unit = &unit[..unit.len() - unit.trim_start_matches(|it: char| it.is_ascii_alphabetic()).len()];
    let window = match unit {
        "s" | "sec" | "secs" | "second" | "seconds" => Duration::from_secs(count),
        "m" | "min" | "mins" | "minute" | "minutes" => MINUTE.checked_mul(count.try_into().ok()?)?,
        _ => return None,
    };
    (window <= MINUTE).then_some(window)
}

fn gauge(names: &Names, (said, window): (&str, Duration), headers: &HeaderMap, now: SystemTime) -> Option<Gauge> {
    let value = |name: &str| text(headers, &format!("{name}{said}"));
    let limit = count(value(names.limit)?).filter(|&limit| limit > 0)?;
    let remaining = count(value(names.remaining)?)?.min(limit);
    let reset = match value(names.reset).and_then(when::parse) {
        Some(RetryAfter::After(wait)) => Some(wait),
        Some(RetryAfter::At(date)) => Some(date.duration_since(headers::date(headers).unwrap_or(now)).ok()?),
        None => None,
    };
    // A reset that is so far away says nothing: no window of a limit is that long.
    let reset = reset.filter(|wait| *wait < WAIT_MAX);
    Some(Gauge { limit, remaining, reset, window })
}

/// Returns a number as a count: finite, not negative, and small enough to be exact.
fn count(text: &str) -> Option<u64> {
    let number: f64 = text.parse().ok()?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is within the range of both")]
    (0.0..1e15).contains(&number).then_some(number as u64)
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

#[cfg(test)]
mod tests;

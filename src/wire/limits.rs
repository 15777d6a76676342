//! Reads from a response's headers what is left of its provider's limits.
//!
//! Input: the headers of any response, good or bad. Output: [`Limits`] in one form: numbers, and times to wait. Names
//! and units are as recorded: Go durations (OpenAI, Groq), dates (Anthropic), seconds (Azure, Together, Mistral),
//! milliseconds since 1970 (`OpenRouter`), nothing (xAI). Only limits of a minute or about a minute count: a month's
//! limit says nothing about the present minute. A limit that cannot be true (less than 0 left, no number, no limit) or
//! that has ended by its own date is ignored.

use std::time::SystemTime;

use http::HeaderMap;

use super::headers;
use super::when::{self, WAIT_MAX};
use crate::words::{Gauge, Limits, NamedLimit, RetryAfter};

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
const NAMES: [Names; 14] = [
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
    names(Kind::Requests, "x-ratelimit-remaining-req-minute", "x-ratelimit-limit-req-minute",
        "x-ratelimit-reset-req-minute"),
    names(Kind::Tokens, "x-ratelimit-remaining-tokens-minute", "x-ratelimit-limit-tokens-minute",
        "x-ratelimit-reset-tokens-minute"),
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
        let mut named = NAMES.iter().filter(|names| names.remaining == name);
        let read = named.find_map(|names| Some((names.kind, gauge(names, headers, now)?)));
        let Some((kind, gauge)) = read else { continue };
        let tightest = match kind {
            Kind::Requests => &mut limits.requests,
            Kind::Tokens => &mut limits.tokens,
        };
        if tightest.is_none_or(|known| gauge.share(0) < known.share(0)) {
            *tightest = Some(gauge);
        }
    }
    limits
}

/// Texts that name limits of a minute; a number may stand before them.
const UNITS: [(&str, bool); 8] = [
    ("tokens per min", true),
    ("tokens/min", true),
    ("(tpm)", true),
    (" tpm", true),
    ("requests per min", false),
    ("requests/min", false),
    ("(rpm)", false),
    (" rpm", false),
];

/// Returns the limit that the words of a refusal name: `on tokens per min (TPM): Limit 30000, Used 14567`,
/// `the rate limit of 50,000 input tokens per minute`. A limit of answers alone, or of two kinds at once, gives `None`.
pub fn named(words: &str) -> Option<NamedLimit> {
    let words = words.to_ascii_lowercase();
    let mut found = UNITS.iter().filter_map(|(unit, tokens)| Some((words.find(unit)?, *tokens)));
    let (at, tokens) = found.next()?;
    let before = words[..at].trim_end();
    if found.any(|(_, other)| other != tokens) || before.ends_with("output") || before.ends_with("completion") {
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
    Some(NamedLimit { tokens, limit: number(in_front).or_else(|| number(behind)) })
}

fn gauge(names: &Names, headers: &HeaderMap, now: SystemTime) -> Option<Gauge> {
    let limit = count(headers, names.limit).filter(|&limit| limit > 0)?;
    let remaining = count(headers, names.remaining)?.min(limit);
    let reset = match text(headers, names.reset).and_then(when::parse) {
        Some(RetryAfter::After(wait)) => Some(wait),
        Some(RetryAfter::At(date)) => Some(date.duration_since(headers::date(headers).unwrap_or(now)).ok()?),
        None => None,
    };
    // A reset that is so far away says nothing: no window of a limit is that long.
    let reset = reset.filter(|wait| *wait < WAIT_MAX);
    Some(Gauge { limit, remaining, reset })
}

/// Returns a number as a count: finite, not negative, and small enough to be exact.
fn count(headers: &HeaderMap, name: &str) -> Option<u64> {
    let number: f64 = text(headers, name)?.parse().ok()?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is within the range of both")]
    (0.0..1e15).contains(&number).then_some(number as u64)
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

#[cfg(test)]
mod tests;

//! Reads fields and headers whose name says that their value is a time.
//!
//! Each server has a name of its own for when to come back, and all are made of the same few words: a name counts by
//! its parts. One that has a part besides (`retry_count`, `reset_id`, `wait_queue`) is of something else.

use serde_json::Value;

use super::when::{Zone, in_words, is_date, number_of, parse_at, wait};
use crate::words::RetryAfter;

/// The meaning of a time, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// When to ask again.
    Wait,
    /// When a limit is reset, used up or not.
    Reset,
}

/// A field for a time.
#[derive(Clone, Copy, Debug)]
pub struct TimeField {
    /// What its value means.
    pub meaning: Meaning,
    /// The seconds of its unit, where its name says one.
    unit: Option<f64>,
}

/// Parts of names that mean a wait.
const WAITS: [&str; 7] = ["backoff", "cooldown", "until", "unlock", "unlocks", "wait", "waiting"];
/// Parts that do beside one that says when.
const EVENTS: [&str; 10] =
    ["allowed", "available", "blocked", "left", "lifted", "next", "remaining", "resume", "resumes", "retry"];
const WHEN: [&str; 12] =
    ["after", "again", "at", "date", "datetime", "delay", "in", "on", "period", "time", "timestamp", "until"];
const RESETS: [&str; 6] = ["refill", "renew", "renews", "replenish", "reset", "resets"];
/// Parts that change nothing.
const PLAIN: [&str; 15] = [
    "a",
    "cool",
    "down",
    "duration",
    "for",
    "quota",
    "rate",
    "ratelimit",
    "request",
    "rl",
    "to",
    "ts",
    "utc",
    "window",
    "x",
];
/// The same where they stand joined within a name.
const JOINED: [&str; 13] = [
    "retryafter",
    "retrydelay",
    "resetsat",
    "resetat",
    "resetsin",
    "resetin",
    "resetafter",
    "resetsafter",
    "quotareset",
    "availableat",
    "availablein",
    "waitseconds",
    "waittime",
];

/// Units as parts of names, in seconds.
const UNITS: [(&str, f64); 15] = [
    ("milliseconds", 1e-3),
    ("millisecond", 1e-3),
    ("millis", 1e-3),
    ("msecs", 1e-3),
    ("msec", 1e-3),
    ("ms", 1e-3),
    ("seconds", 1.0),
    ("second", 1.0),
    ("secs", 1.0),
    ("sec", 1.0),
    ("s", 1.0),
    ("minutes", 60.0),
    ("mins", 60.0),
    ("hours", 3600.0),
    ("days", 86_400.0),
];

impl TimeField {
    /// Reads a name in any spelling: `retry_after`, `retryDelay`, `resets_in_seconds`, `X-RateLimit-Reset`.
    pub fn by(name: &str) -> Option<Self> {
        let parts = parts(name);
        let plain = parts.concat();
        let unit = |part: &str| UNITS.iter().find(|(unit, _)| part == *unit).map(|(_, seconds)| *seconds);
        let told = parts.iter().rev().find_map(|part| unit(part));
        // Names that are written as one word.
        let joined =
            || UNITS.iter().find(|(unit, _)| unit.len() > 1 && plain.ends_with(unit)).map(|(_, seconds)| *seconds);
        let meaning = Self::meaning(&parts, &plain, |part| unit(part).is_some())?;
        Some(Self { meaning, unit: told.or_else(joined) })
    }

    fn meaning(parts: &[String], plain: &str, is_unit: impl Fn(&str) -> bool) -> Option<Meaning> {
        if plain.contains("ratelimitreset") || matches!(plain, "reset" | "resettime" | "resetdate") {
            return Some(Meaning::Reset);
        }
        if JOINED.iter().any(|told| plain.contains(told)) {
            return Some(Meaning::Wait);
        }
        let is = |words: &[&str], part: &String| words.contains(&part.as_str());
        let has = |words: &[&str]| parts.iter().any(|part| is(words, part));
        let lists: [&[&str]; 5] = [&WAITS, &EVENTS, &WHEN, &RESETS, &PLAIN];
        if !parts.iter().all(|part| is_unit(part) || lists.iter().any(|words| is(words, part))) {
            return None;
        }
        let says_when = || has(&WHEN) || parts.iter().any(|part| is_unit(part));
        if has(&RESETS) {
            Some(Meaning::Reset)
        } else if plain.contains("cooldown") || has(&WAITS) || (has(&EVENTS) && says_when()) {
            Some(Meaning::Wait)
        } else {
            None
        }
    }

    /// Reads its value: a text, a number, or Google's object of seconds. A number without a unit in the name is in
    /// seconds, or a date.
    pub fn read(self, value: &Value, home: Zone) -> Option<RetryAfter> {
        let number = match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        match (value, number) {
            (_, Some(number)) => match self.unit {
                Some(unit) if !is_date(number) => wait(number * unit),
                _ => number_of(number),
            },
            (Value::String(text), None) => {
                parse_at(text, home).or_else(|| in_words(&format!("retry after {text}"), None, home))
            }
            (Value::Object(parts), None) => wait(parts.get("seconds")?.as_f64()?),
            _ => None,
        }
    }
}

/// Returns the words of a name, in lower case, however they are joined: by marks or by capitals.
pub(super) fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut before = ' ';
    for letter in name.chars() {
        if !letter.is_ascii_alphanumeric() || (letter.is_ascii_uppercase() && before.is_ascii_lowercase()) {
            parts.push(String::new());
        }
        if letter.is_ascii_alphanumeric() {
            parts.last_mut().expect("there is one").push(letter.to_ascii_lowercase());
        }
        before = letter;
    }
    parts.retain(|part| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    const NOW: u64 = 1_795_953_600;

    #[test]
    fn a_field_is_a_time_by_the_parts_of_its_name() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
        let read = |name: &str, value: serde_json::Value| {
            let field = TimeField::by(name)?;
            match field.read(&value, Zone::UTC)? {
                RetryAfter::After(wait) => Some((field.meaning, wait.as_secs())),
                RetryAfter::At(at) => Some((field.meaning, at.duration_since(now).unwrap_or_default().as_secs())),
            }
        };
        let date = serde_json::json!(NOW + 90);
        for (name, value, expected) in [
            ("retry_after", 90.into(), (Meaning::Wait, 90)),
            ("cooldown", 90.into(), (Meaning::Wait, 90)),
            ("cooldown_seconds", 90.into(), (Meaning::Wait, 90)),
            ("cooldownMs", 90_000.into(), (Meaning::Wait, 90)),
            ("cool_down_until", date.clone(), (Meaning::Wait, 90)),
            ("wait", "90s".into(), (Meaning::Wait, 90)),
            ("wait_ms", 90_000.into(), (Meaning::Wait, 90)),
            ("waitMinutes", 2.into(), (Meaning::Wait, 120)),
            ("remaining_wait", 90.into(), (Meaning::Wait, 90)),
            ("backoff_ms", 90_000.into(), (Meaning::Wait, 90)),
            ("unlock_at", date.clone(), (Meaning::Wait, 90)),
            ("unlocksAt", "2026-11-29T12:01:30Z".into(), (Meaning::Wait, 90)),
            ("blocked_until", date.clone(), (Meaning::Wait, 90)),
            ("next_available_at", date.clone(), (Meaning::Wait, 90)),
            ("seconds_until_retry", 90.into(), (Meaning::Wait, 90)),
            ("next_retry_in", 90.into(), (Meaning::Wait, 90)),
            ("next_allowed_at", date.clone(), (Meaning::Wait, 90)),
            ("next_request_in", 90.into(), (Meaning::Wait, 90)),
            ("time_remaining", 90.into(), (Meaning::Wait, 90)),
            ("secondsLeft", 90.into(), (Meaning::Wait, 90)),
            ("seconds_until_reset", 90.into(), (Meaning::Reset, 90)),
            ("time_to_reset", 90.into(), (Meaning::Reset, 90)),
            ("timeUntilResetMs", 90_000.into(), (Meaning::Reset, 90)),
            ("next_reset", date.clone(), (Meaning::Reset, 90)),
            ("next_reset", serde_json::json!((NOW + 90) * 1000), (Meaning::Reset, 90)),
            ("renews_at", date, (Meaning::Reset, 90)),
        ] {
            assert_eq!(read(name, value), Some(expected), "{name}");
        }
        for name in [
            "retry",
            "retries",
            "retry_count",
            "retry_attempts",
            "retry_limit",
            "reset_id",
            "wait_queue",
            "waiting_list",
            "available",
            "available_requests",
            "cooldown_list",
            "limit",
            "window",
            "remaining",
            "request_id",
            "time",
            "timestamp",
            "period",
            "seconds",
            "remaining_requests",
            "next_page",
            "remaining_min",
            "used",
            "until_model",
            "next",
        ] {
            assert_eq!(read(name, 90.into()), None, "{name}");
        }
    }
}

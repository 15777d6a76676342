//! Reads when to come back: waits and dates as providers write them, as values of their own or within a text.
//!
//! Input: texts and, where it is known, the time by the provider's clock. Output: waits and dates. A text that is no
//! time, or a date too far to wait for, gives `None`; a wait that is too long is cut. A clock without a zone is read in
//! its provider's zone, which is UTC unless another is known; a day without a year is the next of its name.

mod words;
mod zone;

use std::time::{Duration, SystemTime};

use self::words::{FILL, LEADS, TRAILS, UNITS};
pub use self::zone::Zone;
use self::zone::zone;
use crate::words::{Date, RetryAfter};

/// The longest wait that is believed: a spending limit lasts to the end of the month, and no limit lasts longer.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(31 * 24 * 3600);
/// A bare number from here on (2001) is a date in seconds since 1970, no wait: it would last 31 years.
const EPOCH_SECONDS_MIN: f64 = 1e9;
/// From here on (2001, again) it is one in milliseconds.
const EPOCH_MILLIS_MIN: f64 = 1e12;
/// From here on (in the year 5138) it is no date.
const EPOCH_MILLIS_MAX: f64 = 1e14;
const DAY: i64 = 24 * 3600;
const HOUR: i64 = 3600;

/// Reads a value that is a wait or a date in any form that providers use: seconds, seconds or milliseconds since 1970,
/// `6m0s`, RFC 3339, HTTP date.
pub(super) fn parse(value: &str) -> Option<RetryAfter> {
    parse_at(value, Zone::UTC)
}

/// The same for a provider that means its own zone if none is named.
pub(super) fn parse_at(value: &str, home: Zone) -> Option<RetryAfter> {
    let value = value.trim();
    if let Ok(number) = value.parse::<f64>() {
        return number_of(number);
    }
    let date = || httpdate::parse_http_date(value).ok().map(RetryAfter::At);
    let wait = || {
        let plain = humantime::parse_duration(value).ok().or_else(|| iso(&value.to_ascii_lowercase()));
        plain.or_else(|| span(value).filter(|(_, parts)| *parts > 2).map(|(wait, _)| wait))
    };
    wait().and_then(plausible).or_else(|| stamp(value, home)).or_else(date)
}

/// Reads a number: a wait in seconds, or a date.
pub(super) fn number_of(number: f64) -> Option<RetryAfter> {
    match number {
        EPOCH_MILLIS_MIN..EPOCH_MILLIS_MAX => epoch(number / 1e3),
        EPOCH_SECONDS_MIN..EPOCH_MILLIS_MIN => epoch(number),
        _ => wait(number),
    }
}

/// Tells whether a number is a date, whatever the unit: it would be years as a wait.
pub(super) fn is_date(number: f64) -> bool {
    (EPOCH_SECONDS_MIN..EPOCH_MILLIS_MAX).contains(&number)
}

/// Returns a wait of this number of seconds, if it is one.
pub(super) fn wait(seconds: f64) -> Option<RetryAfter> {
    let seconds = if seconds.is_finite() { seconds.min(WAIT_MAX.as_secs_f64()) } else { seconds };
    Duration::try_from_secs_f64(seconds).ok().and_then(plausible)
}

/// Cuts a wait to the longest that is believed: how much of that is waited is for the configuration to say.
fn plausible(wait: Duration) -> Option<RetryAfter> {
    (!wait.is_zero()).then_some(RetryAfter::After(wait.min(WAIT_MAX)))
}

fn epoch(seconds: f64) -> Option<RetryAfter> {
    let since = Duration::try_from_secs_f64(seconds).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(since).map(RetryAfter::At)
}

fn at(seconds: i64) -> Option<RetryAfter> {
    let since = Duration::from_secs(u64::try_from(seconds).ok()?);
    SystemTime::UNIX_EPOCH.checked_add(since).map(RetryAfter::At)
}

/// The most words between the two.
const FILL_MAX: usize = 7;

/// Reads when to come back out of a message like "Please try again in 1m2.5s. Visit …" or "resets 9:20pm (UTC)". Times
/// of a clock need the time as it is now.
pub(super) fn in_words(message: &str, now: Option<SystemTime>, home: Zone) -> Option<RetryAfter> {
    let mut message = message.to_lowercase();
    if !message.is_ascii() {
        message = parted(&UNITS.iter().fold(message, |message, (unit, name)| message.replace(unit, name)));
    }
    let mut places: Vec<usize> =
        LEADS.iter().flat_map(|lead| message.match_indices(lead).map(|(at, lead)| at + lead.len())).collect();
    places.sort_unstable();
    let now = now.and_then(|now| i64::try_from(now.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs()).ok());
    let mut found = places.into_iter().filter_map(|place| {
        let named = message[..place].ends_with(['-', '_']) || message[..place].ends_with("retry-after");
        let named = named || message[..place].ends_with("retry_after");
        let lead = message[..place].rsplit(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default();
        Words::of(&message[place..], home).time(now, named, lead)
    });
    found.next().or_else(|| before_a_mark(&message, home))
}

/// Reads a duration that stands before its mark. The last one counts: others are of limits.
fn before_a_mark(message: &str, home: Zone) -> Option<RetryAfter> {
    let is_near = |words: &[&str]| words.iter().any(|word| message.contains(word));
    let marks = TRAILS.iter().filter(|(_, near)| is_near(near)).flat_map(|(marks, _)| *marks);
    let mut places: Vec<usize> = marks.flat_map(|mark| message.match_indices(mark).map(|(at, _)| at)).collect();
    places.sort_unstable();
    places.into_iter().rev().find_map(|place| {
        // A duration is at most as long as this.
        let mut from = place.saturating_sub(60);
        while !message.is_char_boundary(from) {
            from += 1;
        }
        let words = Words::of(&message[from..place], home);
        let end = words.0.len();
        let whole = (0..end).find_map(|first| words.duration_to(first).filter(|(_, at)| *at == end));
        plausible(whole?.0)
    })
}

/// Tells whether a text is Chinese: a clock in it is Beijing's.
pub(super) fn is_chinese(text: &str) -> bool {
    text.contains(is_han) && !text.contains(|letter| is_dense(letter) && !is_han(letter))
}

fn is_han(letter: char) -> bool {
    ('\u{4e00}'..='\u{9fff}').contains(&letter)
}

/// Tells whether a letter is of a writing that puts no blanks between words.
fn is_dense(letter: char) -> bool {
    is_han(letter) || ('\u{3040}'..='\u{30ff}').contains(&letter) || ('\u{ac00}'..='\u{d7a3}').contains(&letter)
}

/// Returns a text with a blank between such a writing and all else, because it needs none there.
fn parted(text: &str) -> String {
    let (mut parted, mut before) = (String::with_capacity(text.len() + 16), false);
    for letter in text.chars() {
        let is_blank = letter.is_whitespace() || parted.ends_with(char::is_whitespace);
        if std::mem::replace(&mut before, is_dense(letter)) != before && !is_blank {
            parted.push(' ');
        }
        parted.push(letter);
    }
    parted
}

/// The words that follow a lead, and the zone of a clock that names none. Numbers and letters are words of their own,
/// except what is written in one: `1h2m3s`, `9:20`, `2026-11-30t00:00:00z`.
struct Words<'a>(Vec<&'a str>, Zone);

impl<'a> Words<'a> {
    fn of(text: &'a str, home: Zone) -> Self {
        let mut end = text.len().min(160);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let gap = |letter: char| letter.is_whitespace() || "()[],;\"'`*~=·!|<>{}，。：；（）".contains(letter);
        let words = text[..end].split(gap).map(|word| word.trim_matches(['.', ':', '-', '_', '?']));
        Self(words.filter(|word| !word.is_empty()).collect(), home)
    }

    fn get(&self, at: usize) -> &'a str {
        self.0.get(at).copied().unwrap_or_default()
    }

    /// Reads the first time, if only filling words are before it. A number alone is one where a field is named. `lead`
    /// is the word before all of them.
    fn time(&self, now: Option<i64>, named: bool, lead: &str) -> Option<RetryAfter> {
        let mut leads = lead;
        for first in 0..=FILL_MAX {
            let word = self.get(first);
            if let Some(wait) = self.duration(first).or_else(|| self.span(first, leads)) {
                return plausible(wait);
            }
            if SPANS.contains(&word) || CLOCKS.contains(&word) {
                leads = word;
            }
            if let Some(date) = self.date(first, now) {
                return soon(date, now);
            }
            if let Ok(number) = word.parse::<f64>() {
                let seconds = self.0.get(..first).is_some_and(|before| before.contains(&"seconds"));
                return if named || seconds || number >= EPOCH_SECONDS_MIN { number_of(number) } else { None };
            }
            if !FILL.contains(&word) {
                return None;
            }
        }
        None
    }

    /// Reads `1h2m3s`, `17 seconds`, `1 hour and 5 minutes`, `an hour`.
    fn duration(&self, first: usize) -> Option<Duration> {
        self.duration_to(first).map(|(sum, _)| sum)
    }

    /// The same, and the word behind it.
    fn duration_to(&self, first: usize) -> Option<(Duration, usize)> {
        let mut sum = Duration::ZERO;
        let mut at = first;
        let mut any = false;
        loop {
            let word = self.get(at);
            if any && matches!(word, "and") && self.amount(at + 1).is_some() {
                at += 1;
                continue;
            }
            let Some((more, words)) = self.amount(at) else { break };
            (sum, at, any) = (sum.checked_add(more)?, at + words, true);
        }
        // "1 day, 3:00:00", as Python writes it.
        let rest = Some(self.get(at)).filter(|_| any).and_then(span).map_or(Duration::ZERO, |(rest, _)| rest);
        any.then(|| sum.checked_add(rest).map(|sum| (sum, at)))?
    }

    /// Reads `0:05:00` behind a word like "in": hours, minutes and seconds, or of two numbers minutes and seconds. What
    /// says half of a day or a zone is a clock's time, and so are two numbers behind "after".
    fn span(&self, first: usize, lead: &str) -> Option<Duration> {
        let at = first + usize::from(matches!(self.get(first), "about" | "around" | "the"));
        let (wait, parts) = span(self.get(at))?;
        let next = self.get(at + 1).replace('.', "");
        if parts == 2 && unit(&next) == Some(3600.0) {
            return wait.checked_mul(60);
        }
        let is_clock = matches!(&*next, "am" | "pm" | "today" | "tomorrow") || zone(&next).is_some();
        let spans = SPANS.contains(&lead) && (parts > 2 || lead != "after");
        (spans && !is_clock).then_some(wait)
    }

    /// Reads one amount, and of how many words it is.
    fn amount(&self, at: usize) -> Option<(Duration, usize)> {
        let word = self.get(at);
        let digits = word.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
        if let Some(wait) = iso(word) {
            return Some((wait, 1));
        }
        if digits.len() < word.len() && word.starts_with(|letter: char| letter.is_ascii_digit()) {
            return compact(word).map(|wait| (wait, 1));
        }
        let number = match word {
            "a" | "an" | "one" => 1.0,
            "two" => 2.0,
            "three" => 3.0,
            "four" => 4.0,
            "five" => 5.0,
            "ten" => 10.0,
            word => word.parse::<f64>().ok()?,
        };
        let unit = unit(self.get(at + 1))?;
        Duration::try_from_secs_f64(number * unit).ok().map(|wait| (wait, 2))
    }

    /// Reads a date or a clock's time, in seconds since 1970.
    fn date(&self, first: usize, now: Option<i64>) -> Option<i64> {
        let word = self.get(first);
        // RFC 3339 in one word, or a day and its time in two.
        if let Some(RetryAfter::At(date)) = stamp(word, self.1) {
            return i64::try_from(date.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs()).ok();
        }
        if let Some(Date(day)) = Date::parse(word).filter(|_| word.len() == 10) {
            let (time, zone) = self.clock(first + 1).unwrap_or((0, self.1));
            return Some(zone.utc(day * DAY + time));
        }
        let mut at = first;
        while matches!(self.get(at), "mon" | "tue" | "tues" | "wed" | "thu" | "thur" | "thurs" | "fri" | "sat" | "sun")
            && self.named_day(at + 1).is_some()
        {
            at += 1;
        }
        if let Some((month, day, year, words)) = self.named_day(at) {
            let (time, zone) = self.clock(at + words).unwrap_or((0, self.1));
            let of_year = |year: i64| {
                let Date(days) = Date::parse(&format!("{year:04}-{month:02}-{day:02}"))?;
                Some(zone.utc(days * DAY + time))
            };
            return match (year, now) {
                (Some(year), _) => of_year(year),
                (None, Some(now)) => {
                    let this: i64 = Date(now / DAY).to_string().get(..4)?.parse().ok()?;
                    of_year(this).filter(|&date| date > now - DAY).or_else(|| of_year(this + 1))
                }
                (None, None) => None,
            };
        }
        let now = now?;
        let today = |zone: Zone| (now + zone.offset(now)).div_euclid(DAY);
        if matches!(word, "tomorrow" | "today") {
            let (time, zone) = self.clock(first + 1).unwrap_or((0, self.1));
            return Some(zone.utc((today(zone) + i64::from(word == "tomorrow")) * DAY + time));
        }
        if let Some(weekday) = weekday(word) {
            let (time, zone) = self.clock(first + 1).unwrap_or((0, self.1));
            let ahead = (weekday - (today(zone) + 3)).rem_euclid(7);
            let date = zone.utc((today(zone) + ahead) * DAY + time);
            return Some(if date > now { date } else { date + 7 * DAY });
        }
        if let Some(day) = ordinal(word) {
            let (time, zone) = self.clock(first + 1).unwrap_or((0, self.1));
            let (year, month) = Date(today(zone)).month();
            let of_month = |(year, month): (i64, i64)| {
                let Date(days) = Date::parse(&format!("{year:04}-{month:02}-{day:02}"))?;
                Some(zone.utc(days * DAY + time)).filter(|&date| date > now)
            };
            let next = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
            return of_month((year, month)).or_else(|| of_month(next));
        }
        let (time, zone) = self.clock(first)?;
        let date = zone.utc(today(zone) * DAY + time);
        Some(if date > now { date } else { date + DAY })
    }

    /// Reads `nov 30 2026`, `30 november`, `december 1st`: month, day, year, and of how many words it is.
    fn named_day(&self, at: usize) -> Option<(i64, i64, Option<i64>, usize)> {
        let plain = |word: &str| word.parse::<i64>().ok().filter(|day| MONTH_DAYS.contains(day));
        let day = |word: &str| ordinal(word).or_else(|| plain(word));
        let (first, second) = (self.get(at), self.get(at + 1));
        let (month, day) = match (month(first), month(second)) {
            (Some(month), _) => (month, day(second)?),
            (None, Some(month)) => (month, day(first)?),
            _ => return None,
        };
        let year = self.get(at + 2).parse::<i64>().ok().filter(|year| (2000..=2999).contains(year));
        Some((month, day, year, if year.is_some() { 3 } else { 2 }))
    }

    /// Reads a clock's time with its zone: `9:20pm (utc)`, `21:20 utc`, `at midnight pacific time`.
    fn clock(&self, first: usize) -> Option<(i64, Zone)> {
        let mut at = first;
        while matches!(self.get(at), "at" | "by" | "on" | "around" | "about" | "the") {
            at += 1;
        }
        let word = self.get(at);
        let (seconds, mut next) = match word {
            "midnight" => (0, at + 1),
            "noon" => (12 * HOUR, at + 1),
            _ => {
                let half = |word: &str| match word.replace('.', "").as_str() {
                    "am" => Some(0),
                    "pm" => Some(12),
                    _ => None,
                };
                let letters = word.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(word.len());
                let (digits, end) = word.split_at(letters);
                let (later, words) = match (half(end), half(self.get(at + 1))) {
                    (Some(later), _) => (Some(later), 1),
                    (None, Some(later)) if end.is_empty() => (Some(later), 2),
                    _ if end.is_empty() || end == "z" => (None, 1),
                    _ => return None,
                };
                let mut parts = digits.split(':').map(|part| part.parse::<f64>().ok());
                let (hour, minute, second) = (parts.next()??, parts.next(), parts.next());
                if minute.is_none() && later.is_none() {
                    return None;
                }
                let (minute, second) = (minute.unwrap_or(Some(0.0))?, second.unwrap_or(Some(0.0))?);
                #[expect(clippy::cast_possible_truncation, reason = "saturates, and is checked")]
                let (hour, minute, second) = (hour as i64, minute as i64, second as i64);
                let hour = later.map_or(hour, |later| hour % 12 + later);
                if !(0..=24).contains(&hour) || !(0..60).contains(&minute) || !(0..=60).contains(&second) {
                    return None;
                }
                (hour * HOUR + minute * 60 + second, at + words)
            }
        };
        while matches!(self.get(next), "at" | "on" | "in") {
            next += 1;
        }
        Some((seconds, zone(self.get(next)).unwrap_or(self.1)))
    }
}

/// The words before a duration, and those before a time of a clock.
const SPANS: [&str; 7] = ["in", "after", "within", "wait", "for", "another", "least"];
const CLOCKS: [&str; 6] = ["at", "on", "until", "till", "by", "before"];

/// Reads `1:30:00`, `04:59` or, with days, `1.03:00:00`; and of how many numbers it is.
fn span(word: &str) -> Option<(Duration, usize)> {
    let (days, time) = match word.split_once(['.', ':']) {
        Some((days, time)) if word.as_bytes().get(days.len()) == Some(&b'.') => (days, time),
        _ => ("0", word),
    };
    let parts: Vec<&str> = time.split(':').collect();
    let (hours, minutes, seconds) = match parts[..] {
        [hours, minutes, seconds] => (hours, minutes, seconds),
        [minutes, seconds] => ("0", minutes, seconds),
        _ => return None,
    };
    let whole = |number: &str| {
        let is_number = !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit());
        if is_number { number.parse::<u32>().ok() } else { None }
    };
    let (days, hours, minutes) = (whole(days)?, whole(hours)?, whole(minutes)?);
    let begins = seconds.starts_with(|digit: char| digit.is_ascii_digit());
    let seconds = seconds.parse::<f64>().ok().filter(|seconds| begins && (0.0..60.0).contains(seconds))?;
    if parts.len() > 2 && minutes >= 60 {
        return None;
    }
    let whole = (f64::from(days) * 24.0 + f64::from(hours)) * 3600.0 + f64::from(minutes) * 60.0;
    Some((Duration::try_from_secs_f64(whole + seconds).ok()?, parts.len()))
}

/// Reads `1h2m3s`, `3h12m10s`, `6.78s`, `500ms`, all in one word.
fn compact(word: &str) -> Option<Duration> {
    let mut sum = Duration::ZERO;
    let mut rest = word;
    while !rest.is_empty() {
        let number = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (digits, tail) = rest.split_at(number);
        let end = tail.find(|letter: char| !letter.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (name, tail) = tail.split_at(end);
        let part = Duration::try_from_secs_f64(digits.parse::<f64>().ok()? * unit(name)?).ok()?;
        sum = sum.checked_add(part)?;
        rest = tail;
    }
    Some(sum)
}

/// Reads a duration of ISO 8601, in lower case: `pt25s`, `p1dt2h`.
fn iso(word: &str) -> Option<Duration> {
    let (days, time) = word.strip_prefix('p')?.split_once('t').unwrap_or((&word[1..], ""));
    let is_told = |part: &str, units: &[char]| part.is_empty() || part.ends_with(units);
    if days.len() + time.len() == 0 || !is_told(days, &['d', 'w']) || !is_told(time, &['h', 'm', 's']) {
        return None;
    }
    compact(days)?.checked_add(compact(time)?)
}

/// Returns the seconds of a unit.
fn unit(name: &str) -> Option<f64> {
    Some(match name {
        "ms" | "msec" | "msecs" | "millisecond" | "milliseconds" | "millis" => 1e-3,
        "s" | "sec" | "secs" | "second" | "seconds" | "second(s" | "sekunde" | "sekunden" | "seconde" | "secondes"
        | "segundo" | "segundos" | "секунд" | "секунды" | "секунду" | "сек" => 1.0,
        "m" | "min" | "mins" | "minute" | "minutes" | "minuten" | "minuto" | "minutos" | "минут" | "минуты"
        | "минуту" | "мин" => 60.0,
        "h" | "hr" | "hrs" | "hour" | "hours" | "stunde" | "stunden" | "heure" | "heures" | "hora" | "horas"
        | "час" | "часа" | "часов" | "時間" | "시간" => 3600.0,
        "d" | "day" | "days" | "tag" | "tage" | "tagen" | "jour" | "jours" | "día" | "días" | "dia" | "dias"
        | "день" | "дня" | "дней" => 86_400.0,
        "w" | "week" | "weeks" => 604_800.0,
        _ => return None,
    })
}

/// The days that a month may have.
const MONTH_DAYS: std::ops::RangeInclusive<i64> = 1..=31;

/// Reads a day of the month: `1st`.
fn ordinal(word: &str) -> Option<i64> {
    let digits = ["st", "nd", "rd", "th"].iter().find_map(|end| word.strip_suffix(end))?;
    digits.parse().ok().filter(|day| MONTH_DAYS.contains(day))
}

fn month(word: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    let place = MONTHS
        .iter()
        .position(|name| word == *name || word == &name[..3] || (word == "sept" && *name == "september"))?;
    i64::try_from(place).ok().map(|place| place + 1)
}

/// Returns a day of the week, Monday as 0.
fn weekday(word: &str) -> Option<i64> {
    const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
    let place = DAYS.iter().position(|name| word == *name || word == &name[..3])?;
    i64::try_from(place).ok()
}

/// Reads RFC 3339, with `Z` or an offset, with `T` or without seconds.
fn stamp(word: &str, home: Zone) -> Option<RetryAfter> {
    let (date, time) = (word.get(..10)?, word.get(11..)?);
    if !matches!(word.as_bytes().get(10), Some(b't' | b'T' | b' ')) {
        return None;
    }
    let Date(day) = Date::parse(date)?;
    let end = time.find(|letter: char| !letter.is_ascii_digit() && !matches!(letter, ':' | '.')).unwrap_or(time.len());
    let (clock, zone_name) = time.split_at(end);
    let mut parts = clock.split(':').map(|part| part.parse::<f64>().ok());
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0.0))?);
    if hour > 24.0 || minute >= 60.0 || second > 60.0 {
        return None;
    }
    let zone = match zone_name.trim() {
        "" => home,
        name => zone(&name.to_ascii_lowercase())?,
    };
    #[expect(clippy::cast_possible_truncation, reason = "hours, minutes and seconds of a day")]
    let seconds = (hour * 3600.0 + minute * 60.0 + second) as i64;
    at(zone.utc(day * DAY + seconds))
}

/// Returns a date as one to come back at, if it is not too far to wait for.
fn soon(date: i64, now: Option<i64>) -> Option<RetryAfter> {
    let wait_max = i64::try_from(WAIT_MAX.as_secs()).unwrap_or(i64::MAX);
    now.is_none_or(|now| date - now <= wait_max).then(|| at(date))?
}

#[cfg(test)]
mod tests;

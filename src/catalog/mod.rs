//! Floor 2: what is known of models that one can buy: prices, windows, abilities, retirement dates.
//!
//! In flow a model's name as some provider spells it, out flows a row of a data file that has a date of its own. It is
//! advice: whatever a configuration says comes first, and a model that is not here is an unknown one, never an error.
//! It reads no clock: who asks whether a model is retired says what day it is.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::words::{Capabilities, Price};

/// The data: one model a line, columns parted by tabs, named in its head.
const DATA: &str = include_str!("models.tsv");

/// What is known of one model.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Who makes it.
    pub vendor: &'static str,
    /// Its name there.
    pub id: &'static str,
    /// What it costs at its vendor, where that is one price.
    pub price: Option<Price>,
    /// What it is known not to do, and its windows; all else is assumed.
    pub capabilities: Capabilities,
    /// Whether it can think before it answers.
    pub reasons: bool,
    /// Whether it takes temperature, `top_p` and their like.
    pub samples: bool,
    /// The last day it answers, where that was announced.
    pub retires: Option<Date>,
}

/// A day, counted from 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(pub i64);

impl Date {
    /// Returns the day of a time, in UTC.
    pub fn of(time: SystemTime) -> Self {
        const DAY: u64 = 24 * 60 * 60;
        let days = |since: Duration| i64::try_from(since.as_secs() / DAY).unwrap_or(i64::MAX);
        Self(time.duration_since(UNIX_EPOCH).map_or(-1, days))
    }

    /// Reads `2026-11-21`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.splitn(3, '-').map(|part| part.parse::<i64>().ok());
        let (year, month, day) = (numbers.next()??, numbers.next()??, numbers.next()??);
        if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return None;
        }
        // Days from the civil calendar: years that begin in March, so that leap days come last (Howard Hinnant,
        // "chrono-compatible low-level date algorithms").
        let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let (era, of_era) = (year / 400, year % 400);
        let of_year = (153 * month + 2) / 5 + day - 1;
        Some(Self(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468))
    }
}

static MODELS: LazyLock<HashMap<&'static str, Model>> =
    LazyLock::new(|| DATA.lines().filter_map(parse).map(|model| (model.id, model)).collect());

/// Returns the day the data is of.
pub fn as_of() -> Option<Date> {
    let head = DATA.lines().next()?;
    let at = head.find("as of ")? + "as of ".len();
    Date::parse(head.get(at..at + "2026-11-21".len())?)
}

/// Returns what is known of a model, by its name at its vendor or as other hosts spell that: with a path before it, a
/// variant or a version behind it.
pub fn find(name: &str) -> Option<&'static Model> {
    let name = name.to_ascii_lowercase();
    let last = name.rsplit('/').next().unwrap_or(&name);
    let plain = last.split(['@', ':']).next().unwrap_or(last);
    [name.as_str(), last, plain, undated(plain)].into_iter().find_map(|name| MODELS.get(name))
}

/// Cuts a date off a model's name: `-2025-08-07` or `-20250807`.
fn undated(name: &str) -> &str {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let cut = ["-2025-08-07".len(), "-20250807".len()].into_iter().find_map(|length| {
        let at = name.len().checked_sub(length)?;
        let (front, date) = (name.get(..at)?, name.get(at..)?);
        (date.starts_with("-20") && digits(date)).then_some(front)
    });
    cut.unwrap_or(name)
}

fn parse(line: &'static str) -> Option<Model> {
    if line.starts_with('#') {
        return None;
    }
    let mut columns = line.split('\t');
    let mut next = || columns.next();
    let (vendor, id) = (next()?, next()?);
    let (context, output_max) = (next()?.parse().ok(), next()?.parse().ok());
    let dollars: [Option<f64>; 4] = [next()?, next()?, next()?, next()?].map(|column| column.parse().ok());
    let [input, cached_input, _cache_write, output] = dollars;
    let retires = Date::parse(next()?);
    let abilities: Vec<&str> = next()?.split(' ').collect();
    let lacks = |ability: &str| abilities.contains(&ability);
    let price =
        input.zip(output).map(|(input, output)| Price { input, output, cached_input: cached_input.unwrap_or(input) });
    let capabilities = Capabilities {
        tools: !lacks("-tools"),
        images: !lacks("-images"),
        json: true,
        json_schema: !lacks("-json_schema"),
        context_tokens_max: context,
        output_tokens_max: output_max,
    };
    let (reasons, samples) = (abilities.contains(&"reasoning"), !lacks("-sampling"));
    Some(Model { vendor, id, price, capabilities, reasons, samples, retires })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_data_is_read() {
        let lines = DATA.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(DATA.lines().filter_map(parse).count(), lines);
        assert!(lines > 200);
        assert!(as_of().is_some_and(|date| date >= Date::parse("2026-11-21").expect("a date")));
    }

    #[test]
    fn a_model_is_found_however_its_host_spells_it() {
        for (name, id) in [
            ("claude-haiku-4-5", "claude-haiku-4-5"),
            ("anthropic/claude-haiku-4-5", "claude-haiku-4-5"),
            ("claude-haiku-4-5@20251001", "claude-haiku-4-5"),
            ("publishers/anthropic/models/claude-haiku-4-5@20251001", "claude-haiku-4-5"),
            ("claude-haiku-4-5-20251001", "claude-haiku-4-5-20251001"),
            ("claude-haiku-5-5-20261001", "claude-haiku-5-5"),
            ("models/gemini-2.5-flash", "gemini-2.5-flash"),
            ("deepseek/deepseek-v3.2:free", "deepseek-v3.2"),
            ("Gemini-2.5-Flash", "gemini-2.5-flash"),
        ] {
            assert_eq!(find(name).map(|model| model.id), Some(id), "{name}");
        }
    }

    #[test]
    fn an_unknown_model_is_none() {
        for name in ["", "/", "my-own-model", "-2025-08-07", "é", "20250807"] {
            assert_eq!(find(name), None, "{name}");
        }
    }

    #[test]
    fn a_row_holds_prices_windows_and_what_the_model_cannot() {
        let model = find("claude-haiku-5-5").expect("a known model");
        assert_eq!(model.price, Some(Price { input: 0.1, cached_input: 0.01, output: 0.5 }));
        assert_eq!(model.capabilities.context_tokens_max, Some(1_000_000));
        assert!(model.capabilities.tools && model.reasons && !model.samples);
    }

    #[test]
    fn days_are_counted_from_1970() {
        for (text, day) in [("1970-01-01", 0), ("2000-02-29", 11_016), ("2000-03-01", 11_017), ("2026-11-21", 20_778)] {
            assert_eq!(Date::parse(text), Some(Date(day)), "{text}");
            let noon = UNIX_EPOCH + Duration::from_secs(day.unsigned_abs() * 86_400 + 43_200);
            assert_eq!(Date::of(noon), Date(day));
        }
        for text in ["", "2026", "2026-13-01", "2026-11-32", "x-y-z", "1969-12-31"] {
            assert_eq!(Date::parse(text), None, "{text}");
        }
    }
}

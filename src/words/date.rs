//! A day of the calendar.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A day in UTC, counted from 1970-01-01. Written `2026-11-21`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(pub i64);

impl Date {
    /// Returns the day of a time.
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

    /// Returns its year and month.
    pub(crate) const fn month(self) -> (i64, i64) {
        let (year, month, _) = self.civil();
        (year, month)
    }

    /// Returns its year, month and day of the month: the way back, by the same author.
    const fn civil(self) -> (i64, i64, i64) {
        let days = self.0.saturating_add(719_468);
        let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
        (year, month, day)
    }

    /// Returns the day so many days later.
    #[must_use]
    pub const fn plus(self, days: i64) -> Self {
        Self(self.0.saturating_add(days))
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_from_1970() {
        for (text, day) in [("1970-01-01", 0), ("2000-02-29", 11_016), ("2000-03-01", 11_017), ("2026-11-21", 20_778)] {
            assert_eq!(Date::parse(text), Some(Date(day)), "{text}");
            assert_eq!(Date(day).to_string(), text);
            let noon = UNIX_EPOCH + Duration::from_secs(day.unsigned_abs() * 86_400 + 43_200);
            assert_eq!(Date::of(noon), Date(day));
        }
        for text in ["", "2026", "2026-13-01", "2026-11-32", "x-y-z", "1969-12-31"] {
            assert_eq!(Date::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_day_that_is_written_reads_as_the_same_day() {
        for day in (0..2_900_000).step_by(13) {
            let date = Date(day);
            assert_eq!(Date::parse(&date.to_string()), Some(date));
        }
        assert_eq!(Date(i64::MAX).plus(1), Date(i64::MAX));
    }
}

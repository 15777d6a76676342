//! The time zones that providers are known to name, with their summer time.

use super::{DAY, HOUR};
use crate::words::Date;

/// A place's time: minutes from UTC in winter, and the rule by which an hour is added in summer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Zone {
    minutes: i64,
    summer: Option<Summer>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Summer {
    American,
    European,
}

impl Zone {
    /// Greenwich's, without a summer.
    pub(in crate::wire) const UTC: Self = Self { minutes: 0, summer: None };
    /// All of China's.
    pub(in crate::wire) const BEIJING: Self = Self { minutes: 480, summer: None };

    /// Returns the seconds to be added to UTC at a time.
    pub(super) fn offset(self, utc: i64) -> i64 {
        let day = Date(utc.div_euclid(DAY));
        let year = day.to_string().get(..4).and_then(|year| year.parse::<i64>().ok()).unwrap_or(1970);
        // The first Sunday from a day of the year on.
        let sunday = |month: i64, from: i64| {
            let Date(first) = Date::parse(&format!("{year:04}-{month:02}-{from:02}")).unwrap_or(Date(0));
            first + (6 - (first + 3)).rem_euclid(7)
        };
        let hours = match self.summer {
            Some(Summer::American) => (sunday(3, 8) * DAY + 2 * HOUR, sunday(11, 1) * DAY + HOUR, self.minutes * 60),
            Some(Summer::European) => (sunday(3, 25) * DAY + HOUR, sunday(10, 25) * DAY + HOUR, 0),
            None => (i64::MAX, 0, 0),
        };
        let (begins, ends, local) = hours;
        self.minutes * 60 + if (begins - local..ends - local).contains(&utc) { HOUR } else { 0 }
    }

    /// Returns a local time in UTC.
    pub(super) fn utc(self, local: i64) -> i64 {
        local - self.offset(local - self.minutes * 60)
    }
}

/// Reads a zone's name, in lower case.
pub(super) fn zone(name: &str) -> Option<Zone> {
    use Summer::{American, European};
    let (minutes, summer) = match name {
        "utc" | "gmt" | "z" | "etc/utc" | "utc+0" | "utc+00:00" => (0, None),
        "pst" => (-480, None),
        "pdt" | "mst" => (-420, None),
        "pt" | "pacific" | "america/los_angeles" | "us/pacific" => (-480, Some(American)),
        "mt" | "mountain" | "america/denver" => (-420, Some(American)),
        "cst" => (-360, None),
        "cdt" | "est" => (-300, None),
        "ct" | "central" | "america/chicago" => (-360, Some(American)),
        "edt" => (-240, None),
        "et" | "eastern" | "america/new_york" | "us/eastern" | "america/toronto" => (-300, Some(American)),
        "wet" | "europe/london" | "europe/lisbon" | "europe/dublin" => (0, Some(European)),
        "bst" | "cet" => (60, None),
        "cest" => (120, None),
        "europe/berlin" | "europe/paris" | "europe/madrid" | "europe/rome" | "europe/vienna" | "europe/zurich"
        | "europe/amsterdam" | "europe/brussels" | "europe/stockholm" | "europe/warsaw" | "europe/prague" => {
            (60, Some(European))
        }
        "ist" | "asia/kolkata" | "asia/calcutta" => (330, None),
        "asia/shanghai" | "asia/hong_kong" | "asia/singapore" | "asia/taipei" | "sgt" | "hkt" => (480, None),
        "jst" | "asia/tokyo" | "kst" | "asia/seoul" => (540, None),
        name => (offset_of(name)?, None),
    };
    Some(Zone { minutes, summer })
}

/// Reads `+08:00`, `-0700`, `utc+8`.
fn offset_of(name: &str) -> Option<i64> {
    let name = name.strip_prefix("utc").or_else(|| name.strip_prefix("gmt")).unwrap_or(name);
    let sign = match name.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits = name[1..].replace(':', "");
    let number: i64 = digits.parse().ok().filter(|_| digits.len() <= 4)?;
    let minutes = if digits.len() <= 2 { number * 60 } else { number / 100 * 60 + number % 100 };
    (minutes <= 14 * 60).then_some(sign * minutes)
}

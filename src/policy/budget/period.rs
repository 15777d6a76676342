//! The periods of budgets: by the calendar in UTC, or a window that slides, each counted in steps.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::words::Date;

const DAY: u64 = 24 * 60 * 60;
/// The steps of a window that slides.
const STEPS: i64 = 60;

/// How long a budget lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// A day, in UTC.
    Day,
    /// A week, from Monday on.
    Week,
    /// A month of the calendar.
    Month,
    /// The last stretch of this length.
    Window(Duration),
}

impl Period {
    /// Returns the step of a time.
    pub fn step(self, now: SystemTime) -> i64 {
        let day = Date::of(now).0;
        match self {
            Self::Day => day,
            // 1970 began on a Thursday.
            Self::Week => (day + 3).div_euclid(7),
            Self::Month => {
                let (year, month) = Date(day).month();
                year * 12 + month - 1
            }
            Self::Window(window) => {
                let nanos = step_nanos(window);
                let since = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
                i64::try_from(since / nanos).unwrap_or(i64::MAX)
            }
        }
    }

    /// Returns how many steps it lasts.
    pub(super) const fn steps(self) -> i64 {
        match self {
            // The one that has just begun, and sixty whole ones.
            Self::Window(_) => STEPS + 1,
            Self::Day | Self::Week | Self::Month => 1,
        }
    }

    /// Returns when a step is over and no longer counts.
    pub fn over(self, step: i64) -> SystemTime {
        let day = |day: i64| UNIX_EPOCH + Duration::from_secs(u64::try_from(day).unwrap_or(0) * DAY);
        match self {
            Self::Day => day(step + 1),
            Self::Week => day((step + 1) * 7 - 3),
            Self::Month => {
                let next = step + 1;
                let first = Date::parse(&format!("{:04}-{:02}-01", next.div_euclid(12), next.rem_euclid(12) + 1));
                day(first.map_or(i64::MAX / 172_800, |first| first.0))
            }
            Self::Window(window) => {
                let nanos = step_nanos(window);
                let end = u128::try_from(step.saturating_add(self.steps())).unwrap_or(0) * nanos;
                UNIX_EPOCH + Duration::from_nanos(u64::try_from(end).unwrap_or(u64::MAX))
            }
        }
    }

    /// Returns when the period of a time began: what was spent before it does not count.
    #[cfg(any(test, feature = "store"))]
    pub fn began(self, now: SystemTime) -> SystemTime {
        match self {
            Self::Window(window) => now.checked_sub(window).unwrap_or(UNIX_EPOCH),
            _ => self.over(self.step(now) - 1),
        }
    }
}

/// Returns how long a step of a window is.
fn step_nanos(window: Duration) -> u128 {
    (window.as_nanos() / u128::from(STEPS.unsigned_abs())).max(1)
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Day => f.write_str("a day"),
            Self::Week => f.write_str("a week"),
            Self::Month => f.write_str("a month"),
            Self::Window(window) => write!(f, "in {}", humantime::format_duration(*window)),
        }
    }
}

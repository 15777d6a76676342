//! A rate limit: a bucket that holds a minute's allowance and refills within a minute.

use std::time::Duration;

/// The time a bucket refills in.
const MINUTE: f64 = 60.0;

/// A rate limit and what is left of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Allowance {
    pub(crate) limit: u32,
    pub(crate) remaining: u32,
    /// Until all of it is there again.
    pub(crate) reset: Duration,
}

/// A rate limit and how much of it is used.
#[derive(Debug)]
pub(crate) struct Gauge {
    limit: u32,
    used: f64,
    /// Age at which `used` was true.
    at: Duration,
}

impl Gauge {
    pub(crate) fn new(limit: u32) -> Self {
        Self { limit, used: 0.0, at: Duration::ZERO }
    }

    /// Takes an amount, or returns how long until there is this much; a minute if never.
    pub(crate) fn charge(&mut self, amount: u64, age: Duration) -> Result<(), Duration> {
        self.refill(age);
        let used = self.used + amount as f64;
        if used > f64::from(self.limit) {
            return Err(self.time_for(used - f64::from(self.limit)));
        }
        self.used = used;
        Ok(())
    }

    pub(crate) fn allowance(&mut self, age: Duration) -> Allowance {
        self.refill(age);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the limit, a u32")]
        let remaining = (f64::from(self.limit) - self.used).max(0.0) as u32;
        Allowance { limit: self.limit, remaining, reset: self.time_for(self.used) }
    }

    fn refill(&mut self, age: Duration) {
        let passed = age.saturating_sub(self.at);
        self.at = self.at.max(age);
        self.used = (self.used - passed.as_secs_f64() * f64::from(self.limit) / MINUTE).max(0.0);
    }

    fn time_for(&self, amount: f64) -> Duration {
        let seconds = amount * MINUTE / f64::from(self.limit);
        Duration::from_secs_f64(if seconds < MINUTE {
            seconds
        } else if amount > 0.0 {
            MINUTE
        } else {
            0.0
        })
    }
}

/// Rounds up to whole seconds, as headers and dates want them.
pub(crate) fn whole_seconds(wait: Duration) -> Duration {
    Duration::from_secs(wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_used_up_refills_and_says_when_to_come_back() {
        let mut gauge = Gauge::new(60);
        let second = Duration::from_secs(1);
        assert_eq!(gauge.charge(58, second), Ok(()));
        assert_eq!(gauge.charge(2, second), Ok(()));
        assert_eq!(gauge.charge(3, second), Err(3 * second));
        assert_eq!(gauge.allowance(2 * second), Allowance { limit: 60, remaining: 1, reset: 59 * second });
        assert_eq!(gauge.charge(1, 2 * second), Ok(()));
        assert_eq!(gauge.charge(61, 90 * second), Err(second));
        assert_eq!(gauge.allowance(90 * second).remaining, 60);
    }

    #[test]
    fn a_limit_of_nothing_lets_nothing_through() {
        let mut gauge = Gauge::new(0);
        assert_eq!(gauge.charge(1, Duration::ZERO), Err(Duration::from_secs(60)));
        assert_eq!(gauge.charge(0, Duration::ZERO), Ok(()));
        assert_eq!(gauge.allowance(Duration::from_secs(9)), Allowance::default());
    }
}

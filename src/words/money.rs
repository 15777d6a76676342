//! Budgets, as they are published.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// An amount, in dollars or in tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Amount {
    /// Dollars.
    Dollars(f64),
    /// Tokens of prompts and answers.
    Tokens(u64),
}

impl Amount {
    /// Returns the number alone.
    pub const fn number(self) -> f64 {
        match self {
            Self::Dollars(dollars) => dollars,
            #[expect(clippy::cast_precision_loss, reason = "counts of tokens are far below 2^52")]
            Self::Tokens(tokens) => tokens as f64,
        }
    }

    /// Returns the unit.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Dollars(_) => "dollars",
            Self::Tokens(_) => "tokens",
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dollars(dollars) if *dollars != 0.0 && dollars.abs() < 0.1 => write!(f, "{dollars:.6}"),
            Self::Dollars(dollars) => write!(f, "{dollars:.2}"),
            Self::Tokens(tokens) => tokens.fmt(f),
        }
    }
}

/// A budget, and what is spent of it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct OverBudget {
    /// Its name.
    pub budget: Arc<str>,
    /// The account, if it has several or does not cover everything: `team red`. Empty otherwise.
    pub of: String,
    /// What is spent.
    pub spent: Amount,
    /// The limit.
    pub limit: Amount,
    /// Its period, in words.
    pub per: String,
    /// When there is room again, if nothing more is spent; `None` where there never is for this.
    pub renews_in: Option<Duration>,
    /// What is reserved for attempts in flight, at most.
    pub reserved: Amount,
    /// Whether it refuses only because the targets' prices are not known.
    pub unpriced: bool,
    /// What the call that is refused is expected to cost.
    pub expected: Option<Amount>,
}

impl OverBudget {
    /// Tells whether only calls in flight are in the way, which reserve more than most of them take.
    pub(crate) fn is_in_flight(&self) -> bool {
        !self.unpriced && self.reserved.number() > 0.0 && self.renews_in == Some(Duration::ZERO)
    }
}

impl fmt::Display for OverBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { budget, of, spent, limit, per, renews_in, reserved, unpriced, expected } = self;
        write!(f, "budget `{budget}`")?;
        if !of.is_empty() {
            write!(f, " of {of}")?;
        }
        if *unpriced {
            return f.write_str(" lets nothing through whose price is not known: set the model's `price`");
        }
        write!(f, ": {spent} of {limit} {} {per} spent", limit.unit())?;
        if reserved.number() > 0.0 {
            write!(f, ", up to {reserved} reserved for calls in flight")?;
        }
        // Why it is refused while there is something left.
        let has_left = limit.number() > spent.number() && !self.is_in_flight();
        match expected.filter(|expected| expected.number() > 0.0 && has_left) {
            Some(expected) if renews_in.is_none() => {
                return write!(f, "; this call alone is expected to cost {expected}, more than all of it");
            }
            Some(expected) => write!(f, ", and this call is expected to cost {expected}")?,
            None => {}
        }
        match renews_in {
            // Whole seconds are what people and headers can read.
            Some(wait) if !wait.is_zero() => {
                let wait = Duration::from_secs(wait.as_secs() + u64::from(wait.subsec_nanos() > 0));
                write!(f, "; there is room again in {}", humantime::format_duration(wait))
            }
            Some(_) if self.is_in_flight() => f.write_str("; there is room again when they have ended"),
            Some(_) => Ok(()),
            None => f.write_str("; this call alone is expected to cost more than all of it"),
        }
    }
}

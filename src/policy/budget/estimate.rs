//! What an attempt is expected to cost, and at most.

use super::{PromptTokens, Unit, nanos};
use crate::words::{Price, Rates, Usage};

/// An answer without a limit of its own is taken to be at most this many times as long as usual, and at least this many
/// tokens.
const ANSWER_MOST: (u32, u32) = (8, 4_096);

/// A cost in both units; no dollars where the price is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BudgetCost {
    /// Billionths of a dollar.
    pub nanos: Option<i64>,
    /// Tokens.
    pub tokens: i64,
}

impl BudgetCost {
    /// Returns the cost of this many tokens at this price.
    pub fn of(usage: &Usage, dollars: Option<f64>) -> Self {
        let tokens = i64::try_from(usage.input.saturating_add(usage.output)).unwrap_or(i64::MAX);
        Self { nanos: dollars.map(nanos), tokens }
    }

    pub(super) const fn in_unit(self, unit: Unit) -> Option<i64> {
        match unit {
            Unit::Nanodollars => self.nanos,
            Unit::Tokens => Some(self.tokens),
        }
    }
}

/// The expected cost of an attempt, and the most that it can cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// As usual.
    pub likely: BudgetCost,
    /// At most.
    pub most: BudgetCost,
}

impl Estimate {
    /// Returns the estimate for a prompt of this many tokens and an answer that is usually this long, and may be as
    /// long as its caller or else its target says.
    pub fn new(
        price: Option<&Price>,
        prompt: PromptTokens,
        usual: u32,
        asked: Option<u32>,
        target_max: Option<u32>,
    ) -> Self {
        let (times, least) = ANSWER_MOST;
        let longest =
            asked.unwrap_or_else(|| usual.saturating_mul(times).max(least)).min(target_max.unwrap_or(u32::MAX));
        let usual = usual.min(longest);
        let usage = |input: u32, output: u32| Usage { input: input.into(), output: output.into(), ..Usage::default() };
        let (likely, most) = (usage(prompt.likely, usual), usage(prompt.most, longest));
        // Tokens written to a cache may cost more than others.
        let dear = |price: &Price| {
            let price = price.at(most.input);
            let (input, output) = (price.input.max(price.cache_write), price.output.max(price.reasoning));
            Rates { input, output, ..price }
        };
        Self {
            likely: BudgetCost::of(&likely, price.map(|price| price.cost_usd(&likely))),
            most: BudgetCost::of(&most, price.map(|price| dear(price).cost_usd(&most))),
        }
    }
}

impl Estimate {
    /// Returns what it is expected to cost, in dollars; `None` where no price is known.
    pub fn likely_usd(&self) -> Option<f64> {
        self.likely.in_unit(Unit::Nanodollars).map(|nanos| nanos as f64 / 1e9)
    }
}

//! Prices, and the cost of an answer, which is computed only here.

use super::usage::Usage;

/// The most tiers of a price.
pub(crate) const TIERS_MAX: usize = 3;

/// What the tokens of each kind cost, and a search: dollars per million tokens, and dollars. All of a call has the same
/// rates: an attempt is billed by them.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Rates {
    /// Prompt tokens.
    pub input: f64,
    /// Prompt tokens read from the provider's cache.
    pub cached_input: f64,
    /// Prompt tokens written to the provider's cache.
    pub cache_write: f64,
    /// Answer tokens.
    pub output: f64,
    /// Answer tokens spent on reasoning.
    pub reasoning: f64,
    /// Prompt tokens written to the provider's cache for an hour; as `cache_write` where it is unknown.
    pub cache_write_1h: Option<f64>,
    /// A search of the provider's own, in dollars; it counts nothing where it is unknown.
    pub search: Option<f64>,
}

/// The price of a target: its rates, and those of longer prompts.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Price {
    /// The rates of prompts that are no longer than a tier says.
    pub rates: Rates,
    /// The rates of longer prompts, the shortest first.
    pub tiers: Vec<PriceTier>,
}

/// The rates of prompts beyond a length: all tokens of such a call have them.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct PriceTier {
    /// The length, in tokens: longer prompts have these rates.
    pub above: u64,
    /// The rates.
    pub rates: Rates,
}

/// What a provider tells of its bill beside the tokens of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Bill {
    /// What the answer cost, in dollars.
    pub cost_usd: Option<f64>,
    /// Of the prompt's tokens that were written to the cache, those that stay for an hour.
    pub cache_write_1h: u64,
    /// Searches of its own.
    pub searches: u64,
    /// Whether other prices hold than usual, as for a faster service.
    pub other_price: bool,
}

impl Rates {
    /// Returns the rates of a prompt and an answer, the same for all kinds of tokens.
    pub const fn new(input: f64, output: f64) -> Self {
        let (cached_input, cache_write, reasoning) = (input, input, output);
        Self { input, cached_input, cache_write, output, reasoning, cache_write_1h: None, search: None }
    }

    /// Returns those that are known, each with its name in configurations and records.
    pub(crate) fn named(&self) -> [(&'static str, Option<f64>); 7] {
        let Self { input, cached_input, cache_write, output, reasoning, cache_write_1h, search } = *self;
        [
            ("input", Some(input)),
            ("cached_input", Some(cached_input)),
            ("cache_write", Some(cache_write)),
            ("output", Some(output)),
            ("reasoning", Some(reasoning)),
            ("cache_write_1h", cache_write_1h),
            ("search", search),
        ]
    }

    /// Returns what an answer cost: what its provider told, else by these rates; and whether that is an estimate, for
    /// something of it is billed by a rate that is not known.
    pub(crate) fn billed(&self, usage: &Usage, bill: &Bill) -> (f64, bool) {
        if let Some(told) = bill.cost_usd {
            return (told, false);
        }
        let hour = bill.cache_write_1h.min(usage.cache_write);
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
        let (hour, searches) = (hour as f64, bill.searches as f64);
        let more = self.cache_write_1h.unwrap_or(self.cache_write) - self.cache_write;
        let cost = self.cost_usd(usage) + hour / 1e6 * more + searches * self.search.unwrap_or(0.0);
        let is_unknown = hour > 0.0 && self.cache_write_1h.is_none() || searches > 0.0 && self.search.is_none();
        (cost, bill.other_price || is_unknown)
    }

    /// Returns what these tokens cost, in dollars.
    pub fn cost_usd(&self, usage: &Usage) -> f64 {
        let Usage { input, output, cached, cache_write, reasoning } = *usage;
        let fresh = input.saturating_sub(cached).saturating_sub(cache_write);
        let said = output.saturating_sub(reasoning);
        #[expect(clippy::cast_precision_loss, reason = "token counts are far below 2^52")]
        let cost = |tokens: u64, dollars: f64| tokens as f64 / 1e6 * dollars;
        cost(fresh, self.input)
            + cost(cached, self.cached_input)
            + cost(cache_write, self.cache_write)
            + cost(said, self.output)
            + cost(reasoning.min(output), self.reasoning)
    }
}

impl Price {
    /// Costs nothing.
    pub const FREE: Self = Self::new(0.0, 0.0);

    /// Returns a price of the prompt and of the answer, the same for all kinds of tokens and all lengths.
    pub const fn new(input: f64, output: f64) -> Self {
        Self { rates: Rates::new(input, output), tiers: Vec::new() }
    }

    /// Returns the rates of a prompt of this many tokens.
    #[must_use]
    pub fn at(&self, prompt_tokens: u64) -> Rates {
        let tier = self.tiers.iter().rev().find(|tier| prompt_tokens > tier.above);
        tier.map_or(self.rates, |tier| tier.rates)
    }

    /// Returns what these tokens cost, in dollars.
    pub fn cost_usd(&self, usage: &Usage) -> f64 {
        self.at(usage.input).cost_usd(usage)
    }
}

impl From<Rates> for Price {
    fn from(rates: Rates) -> Self {
        Self { rates, tiers: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_prompt_has_the_price_of_its_tier_and_extras_have_theirs() {
        let rates = |factor: f64| Rates {
            cached_input: 0.1 * factor,
            cache_write: 1.25 * factor,
            cache_write_1h: Some(2.0 * factor),
            search: Some(0.01),
            ..Rates::new(factor, 4.0 * factor)
        };
        let tier = |above, factor| PriceTier { above, rates: rates(factor) };
        let price = Price { rates: rates(1.0), tiers: vec![tier(200_000, 2.0), tier(400_000, 3.0)] };
        let cost = |input, cached| price.cost_usd(&Usage { input, cached, output: 1_000, ..Usage::default() });
        for (input, cached, dollars) in [
            (200_000, 0, 0.2 + 0.004),
            (200_001, 0, 2.0 * 0.200_001 + 0.008),
            (400_000, 100_000, 2.0 * (0.3 + 0.01) + 0.008),
            (500_000, 0, 3.0 * 0.5 + 0.012),
        ] {
            assert!((cost(input, cached) - dollars).abs() < 1e-9, "{input}: {}", cost(input, cached));
        }
        let usage = Usage { input: 100_000, cache_write: 100_000, ..Usage::default() };
        let bill = Bill { cache_write_1h: 50_000, searches: 10, ..Bill::default() };
        let rates = price.at(usage.input);
        let (cost, estimated) = rates.billed(&usage, &bill);
        assert!((cost - (0.125 + 0.0375 + 0.1)).abs() < 1e-9 && !estimated, "{cost}");
        // What has no price of its own makes the cost an estimate; what the provider tells is none.
        assert!(Rates::new(1.0, 4.0).billed(&usage, &bill).1);
        assert!(rates.billed(&usage, &Bill { other_price: true, ..Bill::default() }).1);
        let told = Bill { cost_usd: Some(0.75), other_price: true, ..bill };
        assert_eq!(rates.billed(&usage, &told), (0.75, false));
    }

    #[test]
    fn each_kind_of_token_has_its_price_and_none_is_paid_twice() {
        let price = Rates { cached_input: 0.1, cache_write: 1.25, reasoning: 8.0, ..Rates::new(1.0, 4.0) };
        let million = 1_000_000;
        let usage = Usage { input: 10 * million, cached: 2 * million, cache_write: million, ..Usage::default() };
        assert!((price.cost_usd(&usage) - (7.0 + 0.2 + 1.25)).abs() < 1e-9);
        let usage = Usage { output: 3 * million, reasoning: million, ..Usage::default() };
        assert!((price.cost_usd(&usage) - (8.0 + 8.0)).abs() < 1e-9);
        // A count that cannot be true costs nothing.
        let usage = Usage { input: million, cached: 5 * million, output: million, reasoning: 9 * million, ..usage };
        assert!(price.cost_usd(&usage).is_finite() && price.cost_usd(&usage) <= 0.5 + 8.0 + 1e-9);
        assert_eq!(Price::FREE.cost_usd(&usage), 0.0);
    }

    #[test]
    fn a_price_is_small_where_it_is_copied() {
        // An attempt, a candidate and a record have the rates of one length.
        assert!(size_of::<Rates>() <= 72 && size_of::<Price>() <= 96, "{}", size_of::<Price>());
    }
}

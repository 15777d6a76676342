//! A price as people write it, in a configuration or a list: what is not set follows from what is.

use serde::Deserialize;

use crate::words::{Price, PriceTier, Rates};

/// Dollars per million tokens.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceConfig {
    /// Prompt tokens.
    pub input: f64,
    /// Answer tokens.
    pub output: f64,
    /// Prompt tokens read from the cache. Default: `input`.
    #[serde(default)]
    pub cached_input: Option<f64>,
    /// Prompt tokens written to the cache. Default: `input`.
    #[serde(default)]
    pub cache_write: Option<f64>,
    /// Answer tokens spent on reasoning. Default: `output`.
    #[serde(default)]
    pub reasoning: Option<f64>,
    /// Prompt tokens written to the cache for an hour. Default: `cache_write`, and the cost is marked as an estimate.
    #[serde(default)]
    pub cache_write_1h: Option<f64>,
    /// A search of the provider's own, in dollars. Default: none, and the cost is marked as an estimate.
    #[serde(default)]
    pub search: Option<f64>,
    /// The prices of longer prompts: three at most, the shortest first.
    #[serde(default)]
    pub tiers: Vec<PriceTierConfig>,
}

/// The prices of prompts beyond a length, for all tokens of such a call: dollars per million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceTierConfig {
    /// The length, in tokens.
    pub above: u64,
    /// Prompt tokens.
    pub input: f64,
    /// Answer tokens.
    pub output: f64,
    /// Prompt tokens read from the cache. Default: as much more as `input` is.
    #[serde(default)]
    pub cached_input: Option<f64>,
    /// Prompt tokens written to the cache. Default: as much more as `input` is.
    #[serde(default)]
    pub cache_write: Option<f64>,
    /// The same for an hour. Default: as much more as `input` is.
    #[serde(default)]
    pub cache_write_1h: Option<f64>,
    /// Answer tokens spent on reasoning. Default: as much more as `output` is.
    #[serde(default)]
    pub reasoning: Option<f64>,
    /// A search of the provider's own, in dollars. Default: that of shorter prompts.
    #[serde(default)]
    pub search: Option<f64>,
}

/// Rates as they are written, without those that are not. (Both structs above have them flat: serde would lose the
/// place of a mistake in a part of a struct.)
#[derive(Clone, Copy)]
pub(crate) struct WrittenRates {
    input: f64,
    output: f64,
    cached_input: Option<f64>,
    cache_write: Option<f64>,
    reasoning: Option<f64>,
    cache_write_1h: Option<f64>,
    search: Option<f64>,
}

impl WrittenRates {
    /// Returns those that are set, each with its name.
    pub(crate) fn named(&self) -> [(&'static str, Option<f64>); 7] {
        let Self { input, output, cached_input, cache_write, reasoning, cache_write_1h, search } = *self;
        [
            ("input", Some(input)),
            ("output", Some(output)),
            ("cached_input", cached_input),
            ("cache_write", cache_write),
            ("reasoning", reasoning),
            ("cache_write_1h", cache_write_1h),
            ("search", search),
        ]
    }

    /// Returns the rates. What is not set is as the first rates have it, and rises as the prompt's or the answer's do;
    /// what they do not set either is as the prompt or the answer.
    fn rates(&self, first: &Self) -> Rates {
        let rise = |of: f64, from: f64, to: f64| if from > 0.0 { of * to / from } else { to };
        let prompt = |own: Option<f64>, of: Option<f64>| own.or_else(|| of.map(|of| rise(of, first.input, self.input)));
        let reasoning = || first.reasoning.map(|of| rise(of, first.output, self.output));
        Rates {
            cached_input: prompt(self.cached_input, first.cached_input).unwrap_or(self.input),
            cache_write: prompt(self.cache_write, first.cache_write).unwrap_or(self.input),
            reasoning: self.reasoning.or_else(reasoning).unwrap_or(self.output),
            cache_write_1h: prompt(self.cache_write_1h, first.cache_write_1h),
            search: self.search.or(first.search),
            ..Rates::new(self.input, self.output)
        }
    }
}

impl PriceTierConfig {
    /// Returns its rates as they are written.
    pub(crate) const fn written(&self) -> WrittenRates {
        let Self { above: _, input, output, cached_input, cache_write, cache_write_1h, reasoning, search } = *self;
        WrittenRates { input, output, cached_input, cache_write, reasoning, cache_write_1h, search }
    }
}

impl PriceConfig {
    /// Returns a price of the prompt and of the answer, the same for all kinds of tokens.
    pub const fn new(input: f64, output: f64) -> Self {
        let (cached_input, cache_write, cache_write_1h, reasoning, search) = (None, None, None, None, None);
        Self { input, output, cached_input, cache_write, reasoning, cache_write_1h, search, tiers: Vec::new() }
    }

    /// Returns its rates as they are written.
    pub(crate) const fn written(&self) -> WrittenRates {
        let Self { input, output, cached_input, cache_write, reasoning, cache_write_1h, search, tiers: _ } = *self;
        WrittenRates { input, output, cached_input, cache_write, reasoning, cache_write_1h, search }
    }

    /// Returns the price, with what is not set.
    pub(crate) fn price(&self) -> Price {
        let first = self.written();
        let tier = |tier: &PriceTierConfig| PriceTier { above: tier.above, rates: tier.written().rates(&first) };
        Price { rates: first.rates(&first), tiers: self.tiers.iter().map(tier).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tier_says_what_a_search_costs_or_it_costs_what_it_did() {
        let read = |text: &str| serde_json::from_str::<PriceConfig>(text).expect("a price").price();
        let price = read(
            r#"{"input": 1, "output": 2, "reasoning": 3, "search": 0.01, "cache_write_1h": 2, "tiers": [
                {"above": 10, "input": 2, "output": 8},
                {"above": 20, "input": 3, "output": 8, "search": 0.02, "cache_write_1h": 7, "reasoning": 1}]}"#,
        );
        let rates = |tokens| {
            let Rates { cached_input, reasoning, cache_write_1h, search, .. } = price.at(tokens);
            (cached_input, reasoning, cache_write_1h, search)
        };
        assert_eq!(rates(10), (1.0, 3.0, Some(2.0), Some(0.01)));
        assert_eq!(rates(11), (2.0, 12.0, Some(4.0), Some(0.01)), "what is not set rises");
        assert_eq!(rates(21), (3.0, 1.0, Some(7.0), Some(0.02)));
        let bare = read(r#"{"input": 0, "output": 0, "tiers": [{"above": 10, "input": 2, "output": 8}]}"#);
        assert_eq!(bare.at(11), Rates::new(2.0, 8.0));
    }
}

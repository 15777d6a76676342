//! A price as people write it, in a configuration or a list: what is not set follows from what is.

use serde::Deserialize;

use crate::words::{Price, PriceTier};

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
}

impl PriceTierConfig {
    fn price(&self, first: &PriceConfig) -> PriceTier {
        // What is not set rises as the price of the prompt or of the answer does.
        let rise = |of: f64, from: f64, to: f64| if from > 0.0 { of * to / from } else { to };
        let prompt = |of: Option<f64>| of.map_or(self.input, |of| rise(of, first.input, self.input));
        PriceTier {
            above: self.above,
            input: self.input,
            cached_input: self.cached_input.unwrap_or_else(|| prompt(first.cached_input)),
            cache_write: self.cache_write.unwrap_or_else(|| prompt(first.cache_write)),
            output: self.output,
            reasoning: self
                .reasoning
                .unwrap_or_else(|| first.reasoning.map_or(self.output, |of| rise(of, first.output, self.output))),
            cache_write_1h: self.cache_write_1h.or_else(|| first.cache_write_1h.map(|of| prompt(Some(of)))),
        }
    }
}

impl PriceConfig {
    /// Returns a price of the prompt and of the answer, the same for all kinds of tokens.
    pub const fn new(input: f64, output: f64) -> Self {
        let (cached_input, cache_write, cache_write_1h, reasoning, search) = (None, None, None, None, None);
        Self { input, output, cached_input, cache_write, reasoning, cache_write_1h, search, tiers: Vec::new() }
    }

    /// Returns the price, with what is not set.
    pub(crate) fn price(&self) -> Price {
        let mut price = Price {
            cached_input: self.cached_input.unwrap_or(self.input),
            cache_write: self.cache_write.unwrap_or(self.input),
            reasoning: self.reasoning.unwrap_or(self.output),
            cache_write_1h: self.cache_write_1h,
            search: self.search,
            ..Price::new(self.input, self.output)
        };
        for (place, tier) in price.tiers.iter_mut().zip(&self.tiers) {
            *place = Some(tier.price(self));
        }
        price
    }
}

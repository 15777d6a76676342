//! Prices that a document lists, which go before those of the catalogue.
//!
//! Input: JSON with a price for each name: dollars for a million tokens in the words of a configuration, or `LiteLLM`'s
//! `model_prices_and_context_window.json`, dollars for a token. Output: the price of a target, under the names that it
//! may be listed by. A document is taken whole or not at all; what lists no price for tokens is passed over.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::price::PriceConfig;
use crate::words::{Price, PriceTier, Rates, TIERS_MAX};

/// Dollars for a million tokens beyond which a price is a mistake: a dollar a token.
const DOLLARS_MAX: f64 = 1e6;
/// What every price must be.
const MUST: &str = "must be dollars, 0 or more, and at most a dollar a token";

/// The prices of a document, by the names that stand in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PriceList(HashMap<String, Listed>);

#[derive(Clone, Debug, PartialEq)]
struct Listed {
    price: Price,
    /// The provider that asks this price, in the document's words; `None` where it names none: then it holds for all.
    seller: Option<String>,
}

/// The names that a target may be listed by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    /// What may stand before the model, with a slash between: its provider's names.
    pub(crate) places: Vec<String>,
    /// The model's names.
    pub(crate) names: Vec<String>,
    /// The sellers whose price is this target's, where only the model is named; all, where this is `None`.
    pub(crate) sellers: Option<Vec<String>>,
}

impl PriceList {
    /// Reads a document.
    ///
    /// # Errors
    /// What is wrong with it, and at which name.
    pub fn read(document: &[u8]) -> Result<Self, String> {
        let known: Map<String, Value> = serde_json::from_slice(document).map_err(|error| {
            format!("is no JSON object of prices by name: line {}, column {}", error.line(), error.column())
        })?;
        let mut list = HashMap::with_capacity(known.len());
        for (name, value) in known {
            let wrong = |problem: &str| format!("`{}`: {problem}", name.escape_debug());
            let Value::Object(fields) = &value else { return Err(wrong("must be an object with a price in it")) };
            let listed = if fields.contains_key("input") || fields.contains_key("output") {
                let own = PriceConfig::deserialize(&value).map_err(|error| wrong(&error.to_string()))?;
                if own.tiers.len() > TIERS_MAX || !own.tiers.is_sorted_by(|one, other| one.above < other.above) {
                    return Err(wrong("has more than three `tiers`, or they do not stand in the order of `above`"));
                }
                Some(Listed { price: own.price(), seller: None })
            } else {
                of_litellm(fields)
            };
            let Some(listed) = listed else { continue };
            if !is_fine(&listed.price) {
                return Err(wrong(MUST));
            }
            list.insert(name, listed);
        }
        if list.is_empty() {
            return Err("lists no price".to_owned());
        }
        Ok(Self(list))
    }

    /// Returns how many prices it lists.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Tells whether it lists no price.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the price of a target: by its provider's name and its own, else by its own alone.
    pub(crate) fn price(&self, listing: &Listing) -> Option<Price> {
        let Listing { places, names, sellers } = listing;
        let mut placed = names.iter().flat_map(|name| places.iter().map(move |place| format!("{place}/{name}")));
        let sells = |listed: &&Listed| match (&listed.seller, sellers) {
            (Some(seller), Some(sellers)) => sellers.contains(seller),
            _ => true,
        };
        let placed = placed.find_map(|name| self.0.get(&name));
        let listed = placed.or_else(|| names.iter().filter_map(|name| self.0.get(name)).find(sells))?;
        Some(listed.price.clone())
    }
}

/// Tells whether every price is one.
fn is_fine(price: &Price) -> bool {
    let all = std::iter::once(&price.rates).chain(price.tiers.iter().map(|tier| &tier.rates));
    let mut dollars = all.flat_map(Rates::named).filter_map(|(_, dollars)| dollars);
    dollars.all(|dollars| (0.0..=DOLLARS_MAX).contains(&dollars))
}

/// Reads an entry of `LiteLLM`'s, if it has a price for tokens. It has 0 for both where something else is billed, or
/// nothing is known: that is no price.
fn of_litellm(fields: &Map<String, Value>) -> Option<Listed> {
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    let dollars = |name: &str| {
        let value = fields.get(name)?;
        let a_token = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
        // Without the last digits of the multiplication: .00000025 for a token is .25 for a million.
        Some((a_token * 1e15).round() / 1e9)
    };
    let input = dollars("input_cost_per_token")?;
    let is_embedding = text("mode") == Some("embedding");
    let output = dollars("output_cost_per_token").or(is_embedding.then_some(0.0))?;
    if input == 0.0 && output == 0.0 {
        return None;
    }
    let search = || fields.get("search_context_cost_per_query")?.get("search_context_size_medium")?.as_f64();
    let rates = Rates {
        cached_input: dollars("cache_read_input_token_cost").unwrap_or(input),
        cache_write: dollars("cache_creation_input_token_cost").unwrap_or(input),
        reasoning: dollars("output_cost_per_reasoning_token").unwrap_or(output),
        cache_write_1h: dollars("cache_creation_input_token_cost_above_1hr"),
        search: search(),
        ..Rates::new(input, output)
    };
    // `input_cost_per_token_above_200k_tokens`; what is not listed of a tier stays as it is.
    let length = |name: &str| {
        let above = name.strip_prefix("input_cost_per_token_above_")?.strip_suffix("k_tokens")?;
        above.parse::<u32>().ok()
    };
    let mut lengths: Vec<u32> = fields.keys().filter_map(|name| length(name)).collect();
    lengths.sort_unstable();
    let tier = |above: u32| {
        let of = |name: &str| dollars(&format!("{name}_above_{above}k_tokens"));
        let (input, output) =
            (of("input_cost_per_token").unwrap_or(input), of("output_cost_per_token").unwrap_or(output));
        let rates = Rates {
            cached_input: of("cache_read_input_token_cost").unwrap_or(rates.cached_input),
            cache_write: of("cache_creation_input_token_cost").unwrap_or(rates.cache_write),
            reasoning: of("output_cost_per_reasoning_token").unwrap_or(output),
            cache_write_1h: of("cache_creation_input_token_cost_above_1hr").or(rates.cache_write_1h),
            search: rates.search,
            ..Rates::new(input, output)
        };
        PriceTier { above: u64::from(above) * 1_000, rates }
    };
    let price = Price { rates, tiers: lengths.into_iter().take(TIERS_MAX).map(tier).collect() };
    Some(Listed { price, seller: text("litellm_provider").map(str::to_owned) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(document: &str) -> Result<PriceList, String> {
        PriceList::read(document.as_bytes())
    }

    fn listing(places: &[&str], names: &[&str], sellers: Option<&[&str]>) -> Listing {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        Listing { places: owned(places), names: owned(names), sellers: sellers.map(owned) }
    }

    #[test]
    fn prices_are_read_in_our_words_and_in_those_of_another_gateways_list() {
        let list = read(
            r#"{
            "sample_spec": {"input_cost_per_token": 0.0, "output_cost_per_token": 0.0, "max_tokens": "a number"},
            "gpt-5.4-mini": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 2.5e-07,
                "output_cost_per_token": 0.000002, "cache_read_input_token_cost": 2.5e-08, "max_tokens": 128000},
            "azure/gpt-5.4-mini": {"litellm_provider": "azure", "input_cost_per_token": 3e-07,
                "output_cost_per_token": "2.2e-06"},
            "groq/qwen3": {"litellm_provider": "groq", "input_cost_per_token": 1e-7, "output_cost_per_token": 4e-7},
            "embed": {"litellm_provider": "openai", "mode": "embedding", "input_cost_per_token": 2e-8},
            "image": {"litellm_provider": "openai", "mode": "image_generation", "input_cost_per_pixel": 1e-8},
            "free": {"litellm_provider": "openai", "input_cost_per_token": 0, "output_cost_per_token": 0},
            "mine/qwen3": {"input": 0.5, "output": 1, "reasoning": 3.0}
            }"#,
        )
        .expect("a list");
        assert_eq!(list.len(), 5);
        let price =
            |places: &[&str], name: &str, sellers: Option<&[&str]>| list.price(&listing(places, &[name], sellers));
        let mini = Price::from(Rates { cached_input: 0.025, ..Rates::new(0.25, 2.0) });
        assert_eq!(price(&["openai"], "gpt-5.4-mini", Some(&["openai"])), Some(mini.clone()));
        assert_eq!(price(&["east", "azure"], "gpt-5.4-mini", Some(&["azure", "openai"])), Some(Price::new(0.3, 2.2)));
        assert_eq!(price(&["cloud"], "gpt-5.4-mini", Some(&["openai"])), Some(mini.clone()), "its vendor's own price");
        assert_eq!(price(&["cloud"], "gpt-5.4-mini", Some(&["cloud"])), None, "a host of others' models has its own");
        assert_eq!(price(&["any"], "gpt-5.4-mini", None), Some(mini));
        assert_eq!(price(&["groq"], "qwen3", Some(&["groq"])), Some(Price::new(0.1, 0.4)));
        assert_eq!(price(&["mine"], "qwen3", Some(&[])), Some(Rates { reasoning: 3.0, ..Rates::new(0.5, 1.0) }.into()));
        assert_eq!(price(&["openai"], "embed", None), Some(Price::new(0.02, 0.0)));
        assert_eq!((price(&["openai"], "free", None), price(&["openai"], "image", None)), (None, None));
    }

    #[test]
    fn prices_of_long_prompts_of_hours_and_of_searches_are_read_of_both_kinds_of_list() {
        let list = read(
            r#"{
            "gemini/pro": {"litellm_provider": "gemini", "input_cost_per_token": 1.25e-6, "output_cost_per_token": 1e-5,
                "cache_read_input_token_cost": 1.25e-7, "input_cost_per_token_above_200k_tokens": 2.5e-6,
                "output_cost_per_token_above_200k_tokens": 1.5e-5, "cache_read_input_token_cost_above_200k_tokens": 2.5e-7,
                "input_cost_per_token_above_128k_tokens": 2e-6, "input_cost_per_token_above_200k_tokens_batches": 1e-6},
            "claude": {"litellm_provider": "anthropic", "input_cost_per_token": 2e-6, "output_cost_per_token": 1e-5,
                "cache_creation_input_token_cost": 2.5e-6, "cache_creation_input_token_cost_above_1hr": 4e-6,
                "search_context_cost_per_query": {"search_context_size_low": 0.02, "search_context_size_medium": 0.01}},
            "mine/m": {"input": 1, "output": 2, "cached_input": 0.1, "cache_write_1h": 2, "search": 0.005,
                "tiers": [{"above": 200000, "input": 2, "output": 3}]}
            }"#,
        )
        .expect("a list");
        let price = |place: &str, name: &str| list.price(&listing(&[place], &[name], None)).expect(name);
        let pro = |tokens| {
            let price = price("gemini", "pro").at(tokens);
            (price.input, price.cached_input, price.output)
        };
        assert_eq!(
            [pro(128_000), pro(200_000), pro(200_001)],
            [(1.25, 0.125, 10.0), (2.0, 0.125, 10.0), (2.5, 0.25, 15.0)]
        );
        let claude = price("any", "claude").rates;
        assert_eq!((claude.cache_write, claude.cache_write_1h, claude.search), (2.5, Some(4.0), Some(0.01)));
        let mine = price("mine", "m");
        let long = mine.at(200_001);
        assert_eq!((mine.rates.search, long.search, long.input, long.output), (Some(0.005), Some(0.005), 2.0, 3.0));
        assert_eq!((long.cached_input, long.cache_write_1h), (0.2, Some(4.0)), "they rise with the prompt");
        let tiers = r#"{"a": {"input": 1, "output": 2, "tiers": [{"above": 2, "input": 1, "output": 1}, {"above": 1, "input": 1, "output": 1}]}}"#;
        assert!(read(tiers).expect_err("out of order").starts_with("`a`: has more than three `tiers`"));
    }

    #[test]
    fn a_list_is_taken_whole_or_not_at_all() {
        for (document, problem) in [
            ("", "is no JSON object"),
            ("[]", "is no JSON object"),
            ("{\"a\": {\"input\": 1, \"output\": 2}", "is no JSON object of prices by name: line 1"),
            ("{}", "lists no price"),
            ("{\"a\": {\"mode\": \"chat\"}}", "lists no price"),
            ("{\"a\": 7}", "`a`: must be an object"),
            ("{\"a\": {\"input\": 1}}", "`a`: missing field `output`"),
            ("{\"a\": {\"input\": 1, \"output\": 2, \"outptu\": 3}}", "`a`: unknown field `outptu`"),
            ("{\"a\": {\"input\": -1, \"output\": 2}}", "`a`: must be dollars"),
            ("{\"a\": {\"input_cost_per_token\": 2, \"output_cost_per_token\": 2}}", "`a`: must be dollars"),
            ("{\"a\": {\"input_cost_per_token\": \"nan\", \"output_cost_per_token\": 2}}", "`a`: must be dollars"),
        ] {
            let told = read(document).expect_err(document);
            assert!(told.starts_with(problem), "{document}: {told}");
        }
    }

    proptest! {
        #[test]
        fn no_document_breaks_its_reader(document in "\\PC{0,200}") {
            let _ = PriceList::read(document.as_bytes());
        }
    }
}

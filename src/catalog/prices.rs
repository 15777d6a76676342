//! Prices that a document lists, which go before those of the catalogue.
//!
//! Input: JSON with a price for each name: dollars for a million tokens in the words of a configuration, or `LiteLLM`'s
//! `model_prices_and_context_window.json`, dollars for a token. Output: the price of a target, under the names that it
//! may be listed by. A document is taken whole or not at all; what lists no price for tokens is passed over.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::words::Price;

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
    /// The provider that asks this price, in the document's words; everybody, where it names none.
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

/// A price in our own words.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Own {
    input: f64,
    output: f64,
    cached_input: Option<f64>,
    cache_write: Option<f64>,
    reasoning: Option<f64>,
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
                let own = Own::deserialize(&value).map_err(|error| wrong(&error.to_string()))?;
                Some(Listed { price: own.price(), seller: None })
            } else {
                of_litellm(fields)
            };
            let Some(listed) = listed else { continue };
            let Price { input, cached_input, cache_write, output, reasoning } = listed.price;
            let fine = |dollars: f64| (0.0..=DOLLARS_MAX).contains(&dollars);
            if ![input, cached_input, cache_write, output, reasoning].into_iter().all(fine) {
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
        Some(listed.price)
    }
}

impl Own {
    fn price(&self) -> Price {
        Price {
            cached_input: self.cached_input.unwrap_or(self.input),
            cache_write: self.cache_write.unwrap_or(self.input),
            reasoning: self.reasoning.unwrap_or(self.output),
            ..Price::new(self.input, self.output)
        }
    }
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
    let price = Price {
        cached_input: dollars("cache_read_input_token_cost").unwrap_or(input),
        cache_write: dollars("cache_creation_input_token_cost").unwrap_or(input),
        reasoning: dollars("output_cost_per_reasoning_token").unwrap_or(output),
        ..Price::new(input, output)
    };
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
        let mini = Price { cached_input: 0.025, ..Price::new(0.25, 2.0) };
        assert_eq!(price(&["openai"], "gpt-5.4-mini", Some(&["openai"])), Some(mini));
        assert_eq!(price(&["east", "azure"], "gpt-5.4-mini", Some(&["azure", "openai"])), Some(Price::new(0.3, 2.2)));
        assert_eq!(price(&["cloud"], "gpt-5.4-mini", Some(&["openai"])), Some(mini), "its vendor's own price");
        assert_eq!(price(&["cloud"], "gpt-5.4-mini", Some(&["cloud"])), None, "a host of others' models has its own");
        assert_eq!(price(&["any"], "gpt-5.4-mini", None), Some(mini));
        assert_eq!(price(&["groq"], "qwen3", Some(&["groq"])), Some(Price::new(0.1, 0.4)));
        assert_eq!(price(&["mine"], "qwen3", Some(&[])), Some(Price { reasoning: 3.0, ..Price::new(0.5, 1.0) }));
        assert_eq!(price(&["openai"], "embed", None), Some(Price::new(0.02, 0.0)));
        assert_eq!((price(&["openai"], "free", None), price(&["openai"], "image", None)), (None, None));
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

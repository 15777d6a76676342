//! What providers tell of their bill beside the tokens: what an answer cost, and what is not paid by the usual price.
//!
//! Input: the JSON of a usage, the word for a service. Output: [`Bill`]. Sources: the references of `OpenRouter`
//! (`cost`, `is_byok`, `cost_details`), xAI (`cost_in_usd_ticks`, 10^10 for a dollar), Perplexity (`cost.total_cost`),
//! OpenAI and Anthropic (`service_tier`, `speed`).

use serde::Deserialize;
use serde_json::value::RawValue;

use super::json::{Scalar, loose};
use crate::words::{Bill, Rates, Usage};

/// Ticks for a dollar.
const TICKS: f64 = 1e10;
/// The most that one answer is believed to cost.
const DOLLARS_MAX: f64 = 1e6;

/// What a provider has told of its bill so far, in an answer that may end at any time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// The tokens.
    pub usage: Option<Usage>,
    /// What else is on it.
    pub bill: Bill,
    /// Whether the answer has ended, so that this is all.
    pub is_whole: bool,
}

impl Tally {
    /// Returns the tokens, where the prompt's are among them: some say none before the end.
    pub fn told(&self) -> Option<Usage> {
        self.usage.filter(|told| self.is_whole || told.input > 0)
    }

    /// Returns the bill for these tokens: a cost that was told before more of the answer came is no more than its
    /// least.
    pub fn bill(&self, booked: &Usage, price: Option<&Rates>) -> Bill {
        let is_all = self.is_whole || self.usage.is_some_and(|told| told.output >= booked.output);
        let least = price.filter(|_| !is_all).map_or(0.0, |price| price.cost_usd(booked));
        Bill { cost_usd: self.bill.cost_usd.map(|told| told.max(least)), ..self.bill }
    }
}

loose! {
    #[derive(Deserialize)]
    struct Told<'a> {
        cost: Option<&'a RawValue>,
        cost_details: Option<&'a RawValue>,
        is_byok: Option<&'a RawValue>,
        cost_in_usd_ticks: Option<&'a RawValue>,
    }

    /// Work of the provider's own tools.
    #[derive(Deserialize, Default)]
    pub(super) struct ServerTools<'a> {
        pub(super) web_search_requests: Scalar<'a>,
    }
}

/// Returns the dollars that a usage tells, if it does. Nothing is no cost: a gateway that knows none says so, too.
pub(super) fn cost(usage: &str) -> Option<f64> {
    let told: Told<'_> = serde_json::from_str(usage).ok()?;
    let ticks = told.cost_in_usd_ticks.and_then(number).map(|ticks| ticks / TICKS);
    let total = || number(part(told.cost?, "total_cost")?);
    let cost = told.cost.and_then(number).or_else(total);
    // Whose own key is used upstream pays there, too.
    let is_own = told.is_byok.is_some_and(|raw| raw.get() == "true");
    let upstream = told.cost_details.filter(|_| is_own).and_then(|raw| number(part(raw, "upstream_inference_cost")?));
    let sum = [cost, upstream].into_iter().flatten().reduce(|one, other| one + other);
    ticks.or(sum).filter(|dollars| *dollars > 0.0 && *dollars <= DOLLARS_MAX)
}

fn number(raw: &RawValue) -> Option<f64> {
    serde_json::from_str(raw.get()).ok()
}

fn part<'a>(raw: &'a RawValue, name: &str) -> Option<&'a RawValue> {
    serde_json::from_str::<std::collections::HashMap<&str, &RawValue>>(raw.get()).ok()?.remove(name)
}

/// Notes the service that an answer got: a faster or a slower one has other prices.
pub(super) fn serve(bill: &mut Bill, service: &str) {
    let usual = ["", "default", "standard", "auto", "on_demand", "scale"];
    if !usual.iter().any(|usual| usual.eq_ignore_ascii_case(service)) {
        bill.other_price = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_that_was_told_before_more_came_is_the_least() {
        let usage = |output| Usage { input: 1_000, output, ..Usage::default() };
        let bill = Bill { cost_usd: Some(1.5), searches: 2, ..Bill::default() };
        let (tally, price) = (Tally { usage: Some(usage(10)), bill, is_whole: false }, Rates::new(1_000.0, 10_000.0));
        let told = |booked: &Usage| tally.bill(booked, Some(&price));
        assert_eq!(told(&usage(10)), bill, "it is all there is");
        assert_eq!(told(&usage(20)), bill, "it is more than the price of it");
        let least = told(&usage(100)).cost_usd.expect("a cost");
        assert!((least - 2.0).abs() < 1e-9, "{least}");
        assert_eq!(tally.bill(&usage(100), None), bill);
    }

    #[test]
    fn a_service_that_is_not_the_usual_one_has_other_prices() {
        let is_other = |service: &str| {
            let mut bill = Bill::default();
            serve(&mut bill, service);
            bill.other_price
        };
        assert!(["", "default", "standard", "STANDARD", "auto"].into_iter().all(|service| !is_other(service)));
        assert!(["priority", "PRIORITY", "flex", "fast", "batch"].into_iter().all(is_other));
    }

    #[test]
    fn the_cost_that_a_provider_tells_is_read_in_each_of_its_forms() {
        for (usage, dollars) in [
            (r#"{"prompt_tokens": 7, "cost": 0.75, "cost_details": {"upstream_inference_cost": null}}"#, Some(0.75)),
            (r#"{"cost": 0.75, "is_byok": false, "cost_details": {"upstream_inference_cost": 0.7}}"#, Some(0.75)),
            (r#"{"cost": 0.05, "is_byok": true, "cost_details": {"upstream_inference_cost": 0.7}}"#, Some(0.75)),
            (r#"{"cost": 0, "is_byok": true, "cost_details": {"upstream_inference_cost": 0.5}}"#, Some(0.5)),
            (r#"{"cost": {"input_tokens_cost": 0.1, "total_cost": 0.25}}"#, Some(0.25)),
            (r#"{"cost_in_usd_ticks": 37756000}"#, Some(0.003_775_6)),
            (r#"{"cost": 0}"#, None),
            (r#"{"cost": -1}"#, None),
            (r#"{"cost": "much"}"#, None),
            (r#"{"cost": null}"#, None),
            (r#"{"cost": 1e300}"#, None),
            ("{}", None),
            ("7", None),
        ] {
            let told = cost(usage);
            let is_same = told.zip(dollars).map_or(told == dollars, |(one, other)| (one - other).abs() < 1e-12);
            assert!(is_same, "{usage}: {told:?}");
        }
    }
}

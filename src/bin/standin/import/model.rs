//! What `LiteLLM` says of a deployment's model: prices, windows, times, abilities and labels.

use standin::ModelKind;

use super::given::InputValue;
use super::hosts::Host;
use super::outcome::{Outcome, Toml, number, quoted, time};

/// Names of prices, there and here; the first two make a price.
const PRICES: [(&str, &str); 5] = [
    ("input_cost_per_token", "input"),
    ("output_cost_per_token", "output"),
    ("cache_read_input_token_cost", "cached_input"),
    ("cache_creation_input_token_cost", "cache_write"),
    ("output_cost_per_reasoning_token", "reasoning"),
];

/// Tells whether a kind of work is to make vectors of texts.
pub fn is_embedding(mode: &str) -> bool {
    matches!(mode, "embedding" | "embeddings")
}

/// Returns the fields of a model.
pub fn model_fields(
    params: &InputValue,
    info: Option<&InputValue>,
    host: &Host,
    mode: Option<&str>,
    out: &mut Outcome,
) -> Vec<(String, Toml)> {
    let mut fields = Vec::new();
    let mut add = |name: &str, value: Toml| fields.push((name.to_owned(), value));
    let said = |name: &str| params.number(name).or_else(|| info?.number(name));
    if let Some(given) = info.and_then(|info| info.get("base_model"))
        && let Some(base) = given.as_text()
    {
        let base = base.rsplit('/').next().unwrap_or(base);
        match standin::models::find(base) {
            Some(_) => {
                add("same_as", Toml::Text(base.to_owned()));
                out.kept(given, format!("same_as = {}", quoted(base)));
            }
            None => out.lost(given, "is no model that is known here: set price and limits of the model itself"),
        }
    } else if let Some(model) = &host.stands_for {
        add("same_as", Toml::Text(model.clone()));
    }
    let is_said = mode.is_some_and(is_embedding);
    if is_said && !host.model.to_lowercase().contains("embed") {
        add("kind", Toml::Text("embedding".to_owned()));
    } else if mode.is_some() && !is_said && standin::models::kind(&host.model) == ModelKind::Embedding {
        add("kind", Toml::Text("chat".to_owned()));
    }
    let at = |name: &str| params.get(name).or_else(|| info?.get(name));
    let dollars = |name: &str| said(name).filter(|price| *price >= 0.0).map(|price| price * 1e6);
    let prices = PRICES.map(|(theirs, ours)| (at(theirs), dollars(theirs), ours));
    let whole = prices.iter().take(2).all(|(_, price, _)| price.is_some());
    if whole {
        let parts = prices.iter().filter_map(|(_, price, ours)| Some(format!("{ours} = {}", number((*price)?))));
        add("price", Toml::Raw(format!("{{ {} }}", parts.collect::<Vec<_>>().join(", "))));
    }
    for (given, price, ours) in prices {
        match (given, price) {
            (Some(given), None) => out.lost(given, "is no price: dollars for a token, as 0.00000025"),
            (Some(given), Some(_)) if whole => out.kept(given, format!("price.{ours}, for a million tokens")),
            (Some(given), Some(_)) => {
                out.lost(given, "not taken: a price needs both input_cost_per_token and output_cost_per_token");
            }
            (None, _) => {}
        }
    }
    for (theirs, ours) in [
        ("max_input_tokens", "context_tokens_max"),
        ("max_output_tokens", "output_tokens_max"),
        ("max_parallel_requests", "in_flight_max"),
    ] {
        let Some(given) = at(theirs) else { continue };
        match given.as_number().filter(|count| *count >= 1.0 && *count <= f64::from(u32::MAX)) {
            Some(count) => {
                add(ours, Toml::Number(count.trunc()));
                out.kept(given, ours);
            }
            None => out.lost(given, "is no number of calls or tokens"),
        }
    }
    // Beside a model it is the older name of the longest answer; beside a call's parameters it is one of them.
    if let Some(given) = info.and_then(|info| info.get("max_tokens")) {
        match given.as_number().filter(|count| *count >= 1.0 && *count <= f64::from(u32::MAX)) {
            _ if at("max_output_tokens").is_some() => out.lost(given, "not needed: `max_output_tokens` says it"),
            Some(count) => {
                add("output_tokens_max", Toml::Number(count.trunc()));
                out.kept(given, "output_tokens_max");
            }
            None => out.lost(given, "is no number of calls or tokens"),
        }
    }
    if let Some(given) = at("stream_timeout") {
        match given.as_seconds() {
            Some(seconds) => {
                add("first_token", Toml::Text(time(seconds)));
                out.changed(given, "first_token: time for the first piece of an answer, not between pieces");
            }
            None => out.lost(given, "is no time that can be set"),
        }
    }
    let mut lacks = Vec::new();
    for (theirs, ours) in [
        ("supports_function_calling", "tools"),
        ("supports_vision", "images"),
        ("supports_response_schema", "json_schema"),
    ] {
        let Some(given) = info.and_then(|info| info.get(theirs)).or_else(|| params.get(theirs)) else { continue };
        match given.as_flag() {
            Some(true) => out.kept(given, "what a model is taken for, unless its `lacks` says otherwise"),
            Some(false) => {
                lacks.push(ours.to_owned());
                out.kept(given, format!("lacks \"{ours}\""));
            }
            None => out.lost(given, "is neither true nor false: the model is taken to have it"),
        }
    }
    if !lacks.is_empty() {
        add("lacks", Toml::Texts(lacks));
    }
    if let Some(given) = params.get("tags") {
        let tags: Vec<String> = given.texts().into_iter().map(str::to_owned).collect();
        match tags.iter().find_map(|tag| tag.strip_prefix("os.environ/")) {
            Some(variable) => {
                out.lost(given, format!("labels are not read from the environment here: write what {variable} holds"));
            }
            None if tags.is_empty() => out.lost(given, "is no list of texts"),
            None => {
                add("labels", Toml::Texts(tags));
                out.kept(given, "labels");
            }
        }
    }
    fields
}

//! Targets: providers, their models, abilities and prices.

use std::fmt;
use std::sync::Arc;

use super::usage::Usage;

/// A provider and one of its models: the thing that is healthy or not. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TargetId {
    /// The provider's name in the configuration.
    pub provider: Arc<str>,
    /// The model's name as the provider spells it.
    pub model: Arc<str>,
}

impl TargetId {
    /// Returns the target of a provider's name and a model's.
    pub fn new(provider: impl Into<Arc<str>>, model: impl Into<Arc<str>>) -> Self {
        Self { provider: provider.into(), model: model.into() }
    }
}

impl fmt::Display for TargetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.provider, self.model)
    }
}

/// Returns a model's name without the path that hosts of others' models put before it.
pub(crate) fn without_path(model: &str) -> &str {
    model.rsplit('/').next().unwrap_or(model)
}

/// The way a provider's HTTP speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// OpenAI's chat completions, which most providers speak.
    #[default]
    OpenAiChat,
    /// OpenAI's responses, without state at the provider.
    OpenAiResponses,
    /// Anthropic's messages, which several others take as well.
    AnthropicMessages,
    /// Google's `generateContent` at AI Studio.
    Gemini,
    /// Google's `generateContent` at Vertex AI: another key, no ids of tool calls, proofs of its own.
    Vertex,
    /// Ollama's own chat.
    Ollama,
    /// None: a function of this program, which takes and gives the common form.
    Function,
}

impl Dialect {
    /// Tells whether a request's fields mean the same in both dialects. Google's two services differ in keys and proofs
    /// only.
    pub const fn shares_fields(self, other: Self) -> bool {
        use Dialect as D;
        matches!(
            (self, other),
            (D::OpenAiChat, D::OpenAiChat)
                | (D::OpenAiResponses, D::OpenAiResponses)
                | (D::AnthropicMessages, D::AnthropicMessages)
                | (D::Gemini | D::Vertex, D::Gemini | D::Vertex)
        )
    }
}

/// What kind of model it is: sets the first guesses of its latency and its timers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ModelClass {
    /// Answers at once: median time to first token about 1 s.
    #[default]
    Chat,
    /// Thinks first: median about 10 s.
    Reasoning,
}

/// The kind of work of a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ModelKind {
    /// It answers conversations.
    #[default]
    Chat,
    /// It turns texts into vectors.
    Embedding,
}

/// The most tiers of a price.
pub(crate) const TIERS_MAX: usize = 3;

/// Prices in dollars per million tokens; the cost of an attempt is computed only here.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Price {
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
    /// The prices of longer prompts, the shortest first.
    pub tiers: [Option<PriceTier>; TIERS_MAX],
}

/// The prices of prompts beyond a length: all tokens of such a call have them.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct PriceTier {
    /// The length, in tokens: longer prompts have these prices.
    pub above: u64,
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
    /// Prompt tokens written to the provider's cache for an hour.
    pub cache_write_1h: Option<f64>,
}

/// What a provider tells of its bill beside the tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
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

impl Price {
    /// Costs nothing.
    pub const FREE: Self = Self::new(0.0, 0.0);

    /// Returns a price of the prompt and of the answer, the same for all kinds of tokens.
    pub const fn new(input: f64, output: f64) -> Self {
        let (cached_input, cache_write, reasoning) = (input, input, output);
        let (cache_write_1h, search, tiers) = (None, None, [None; TIERS_MAX]);
        Self { input, cached_input, cache_write, output, reasoning, cache_write_1h, search, tiers }
    }

    /// Returns the price of a prompt of this many tokens.
    #[must_use]
    pub fn at(&self, prompt_tokens: u64) -> Self {
        let flat = Self { tiers: [None; TIERS_MAX], ..*self };
        let Some(tier) = self.tiers.iter().flatten().rev().find(|tier| prompt_tokens > tier.above) else { return flat };
        let PriceTier { above: _, input, cached_input, cache_write, output, reasoning, cache_write_1h } = *tier;
        Self { input, cached_input, cache_write, output, reasoning, cache_write_1h, ..flat }
    }

    /// Returns what an answer cost: what its provider told, else by this price; and whether that is an estimate, for
    /// something of it is billed by a price that is not known.
    pub(crate) fn billed(&self, usage: &Usage, bill: &Bill) -> (f64, bool) {
        if let Some(told) = bill.cost_usd {
            return (told, false);
        }
        let flat = self.at(usage.input);
        let hour = bill.cache_write_1h.min(usage.cache_write);
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
        let (hour, searches) = (hour as f64, bill.searches as f64);
        let more = flat.cache_write_1h.unwrap_or(flat.cache_write) - flat.cache_write;
        let cost = flat.cost_usd(usage) + hour / 1e6 * more + searches * flat.search.unwrap_or(0.0);
        let is_unknown = hour > 0.0 && flat.cache_write_1h.is_none() || searches > 0.0 && flat.search.is_none();
        (cost, bill.other_price || is_unknown)
    }

    /// Returns what these tokens cost, in dollars.
    pub fn cost_usd(&self, usage: &Usage) -> f64 {
        let Usage { input, output, cached, cache_write, reasoning } = *usage;
        let price = self.at(input);
        let fresh = input.saturating_sub(cached).saturating_sub(cache_write);
        let said = output.saturating_sub(reasoning);
        #[expect(clippy::cast_precision_loss, reason = "token counts are far below 2^52")]
        let cost = |tokens: u64, dollars: f64| tokens as f64 / 1e6 * dollars;
        cost(fresh, price.input)
            + cost(cached, price.cached_input)
            + cost(cache_write, price.cache_write)
            + cost(said, price.output)
            + cost(reasoning.min(output), price.reasoning)
    }
}

/// What a target can do. A call that needs more is never sent to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// The kind of its work.
    pub kind: ModelKind,
    /// Calls tools.
    pub tools: bool,
    /// Sees images.
    pub images: bool,
    /// Reads documents that are more than plain text.
    pub documents: bool,
    /// Takes audio.
    pub audio: bool,
    /// Answers in JSON when told so.
    pub json: bool,
    /// Enforces a JSON schema on its answer.
    pub json_schema: bool,
    /// The most tokens of prompt and answer together; `None` is unknown and never excludes.
    pub context_tokens_max: Option<u32>,
    /// The most tokens of the answer; `None` is unknown and never excludes.
    pub output_tokens_max: Option<u32>,
}

impl Capabilities {
    /// Returns how long an answer may be: what a request allows, as far as the target gives that much.
    pub fn answer_max(&self, asked: Option<u32>) -> Option<u32> {
        asked.map(|asked| self.output_tokens_max.map_or(asked, |most| asked.min(most)))
    }
}

impl Default for Capabilities {
    /// An unknown model is assumed to chat and to have all abilities: the provider's own error is better than our
    /// guess.
    fn default() -> Self {
        Self {
            kind: ModelKind::Chat,
            tools: true,
            images: true,
            documents: true,
            audio: true,
            json: true,
            json_schema: true,
            context_tokens_max: None,
            output_tokens_max: None,
        }
    }
}

/// A key, or anything else that must never be printed: `Debug` shows `[redacted]`, there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Wraps a secret.
    pub fn new(value: impl Into<Arc<str>>) -> Self {
        Self(value.into())
    }

    /// Returns the secret, only to be sent.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_prompt_has_the_price_of_its_tier_and_extras_have_theirs() {
        let tier = |above, factor: f64| {
            let (input, output) = (factor, 4.0 * factor);
            let cache_write_1h = Some(2.0 * factor);
            let (cached_input, cache_write, reasoning) = (0.1 * factor, 1.25 * factor, output);
            Some(PriceTier { above, input, cached_input, cache_write, output, reasoning, cache_write_1h })
        };
        let flat = Price { cached_input: 0.1, cache_write: 1.25, cache_write_1h: Some(2.0), ..Price::new(1.0, 4.0) };
        let price = Price { search: Some(0.01), tiers: [tier(200_000, 2.0), tier(400_000, 3.0), None], ..flat };
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
        let (cost, estimated) = price.billed(&usage, &bill);
        assert!((cost - (0.125 + 0.0375 + 0.1)).abs() < 1e-9 && !estimated, "{cost}");
        // What has no price of its own makes the cost an estimate; what the provider tells is none.
        assert!(Price::new(1.0, 4.0).billed(&usage, &bill).1);
        assert!(price.billed(&usage, &Bill { other_price: true, ..Bill::default() }).1);
        let told = Bill { cost_usd: Some(0.75), other_price: true, ..bill };
        assert_eq!(price.billed(&usage, &told), (0.75, false));
    }

    #[test]
    fn each_kind_of_token_has_its_price_and_none_is_paid_twice() {
        let price = Price { cached_input: 0.1, cache_write: 1.25, reasoning: 8.0, ..Price::new(1.0, 4.0) };
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
}

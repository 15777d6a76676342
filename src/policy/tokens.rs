//! How many tokens a prompt is, before its provider counts them.
//!
//! Input: a request's [`PromptSize`], counted once, and after each answer the tokens that its provider counted. Output:
//! estimates. Every target has a [`TokenModel`] of its own: a weight for each feature of a prompt, which begins at what
//! is known of the model's vendor and follows what comes back. So it learns what no tokenizer shows: the frame around
//! messages and tools, prompts the provider adds, thoughts it leaves out.
//!
//! ```text
//!   request ── PromptSize ──┬── Weights ── tokens
//!                           └── TokenModel ◄── tokens as counted
//! ```
//!
//! It never sends, stores or remembers a text, never returns less than 0, and believes no single reply.

#[cfg(any(test, feature = "exact-tokens"))]
mod exact;
mod shown;
mod size;
#[cfg(test)]
mod tests;

pub use shown::Shown;
pub use size::{Prompt, PromptSize};

use crate::words::without_path;
use size::{FEATURES, Feature};

/// The vendor of a model's vocabulary, as far as estimates differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Vocabulary {
    /// `OpenAI`'s since GPT-4o.
    O200k,
    /// `OpenAI`'s before.
    Cl100k,
    /// Anthropic's.
    Claude,
    /// Google's.
    Gemini,
    /// `DeepSeek`'s.
    DeepSeek,
    /// Alibaba's.
    Qwen,
    /// Mistral's.
    Mistral,
    /// Another vendor's.
    #[default]
    Unknown,
}

/// How a text is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Measure {
    /// By its shape, in one pass over a part of it.
    #[default]
    Shape,
    /// By `OpenAI`'s vocabulary since GPT-4o.
    #[cfg(any(test, feature = "exact-tokens"))]
    O200k,
    /// By `OpenAI`'s vocabulary before.
    #[cfg(any(test, feature = "exact-tokens"))]
    Cl100k,
}

impl Measure {
    /// How many measures there are.
    pub const COUNT: usize = if cfg!(any(test, feature = "exact-tokens")) { 3 } else { 1 };
}

impl Vocabulary {
    /// Returns a model's vocabulary, by its vendor, where that is known, and by its name.
    pub fn of(vendor: Option<&str>, model: &str) -> Self {
        let model = model.to_ascii_lowercase();
        let name = without_path(&model);
        let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
        match vendor {
            Some("openai") => Self::of_openai(name),
            Some("anthropic") => Self::Claude,
            Some("google") => Self::Gemini,
            Some("deepseek") => Self::DeepSeek,
            Some("qwen") => Self::Qwen,
            Some("mistral") => Self::Mistral,
            _ if starts(&["gpt", "chatgpt", "codex", "o1", "o3", "o4"]) => Self::of_openai(name),
            _ if name.contains("claude") => Self::Claude,
            _ if starts(&["gemini", "gemma"]) => Self::Gemini,
            _ if name.contains("deepseek") => Self::DeepSeek,
            _ if starts(&["qwen", "qwq", "qvq"]) => Self::Qwen,
            _ if starts(&["mistral", "ministral", "mixtral", "magistral", "devstral", "codestral", "pixtral"]) => {
                Self::Mistral
            }
            _ => Self::Unknown,
        }
    }

    fn of_openai(name: &str) -> Self {
        let newer = ["gpt-4o", "gpt-4.1", "gpt-4.5"].iter().any(|prefix| name.starts_with(prefix));
        let older = ["gpt-4", "gpt-3", "gpt-35"].iter().any(|prefix| name.starts_with(prefix));
        if older && !newer { Self::Cl100k } else { Self::O200k }
    }

    /// Returns how its texts are measured: exactly, where that is compiled in and the vocabulary is public.
    pub const fn measure(self) -> Measure {
        match self {
            #[cfg(feature = "exact-tokens")]
            Self::O200k => Measure::O200k,
            #[cfg(feature = "exact-tokens")]
            Self::Cl100k => Measure::Cl100k,
            _ => Measure::Shape,
        }
    }

    /// Returns the expected cost of each feature, from `OpenAI`'s cookbook (3 a prompt, 3 a message and its role), the
    /// instructions for tools that Anthropic documents (346), and recorded usage of small prompts.
    #[rustfmt::skip]
    const fn prior(self) -> [f64; FEATURES] {
        match self {
            //                                base  msg  text  foreign reason tooling schema exchange format image proof
            Self::O200k | Self::Cl100k =>   [ 3.0, 4.0, 1.00, 1.0,    0.2,     5.0,  0.75,   5.0,   0.7,   800.0, 0.3],
            Self::Claude =>                 [ 4.0, 4.0, 1.15, 1.3,    0.3,   340.0,  1.00,  20.0,   1.5, 1_200.0, 0.3],
            Self::Gemini =>                 [ 0.0, 0.3, 1.00, 1.0,    0.3,     0.0,  0.70,   5.0,   0.3,   260.0, 0.3],
            Self::DeepSeek =>               [ 3.0, 1.0, 1.00, 1.0,    0.2,   150.0,  1.00,  15.0,   0.3,   500.0, 0.3],
            Self::Qwen =>                   [ 3.0, 5.0, 1.00, 1.0,    0.2,   120.0,  1.10,  15.0,   0.3,   400.0, 0.3],
            Self::Mistral =>                [ 2.0, 2.0, 1.05, 1.0,    0.2,     0.0,  1.10,   8.0,   0.1,   600.0, 0.3],
            Self::Unknown =>                [ 5.0, 4.0, 1.05, 1.0,    0.2,    80.0,  1.05,  15.0,   0.5,   500.0, 0.3],
        }
    }
}

/// How far a weight may be from what is expected of it, as a standard deviation.
const SPREAD: [f64; FEATURES] = [100.0, 2.0, 0.1, 0.3, 0.3, 120.0, 0.25, 10.0, 0.5, 500.0, 0.3];
/// How far one prompt's feature may cost more or less than usual, as a part: text that is measured by its shape, images
/// that are counted without regard to their size.
const MISFIT: [f64; FEATURES] = [0.0, 0.0, 0.06, 0.15, 0.2, 0.0, 0.06, 0.1, 0.2, 0.5, 0.3];
/// The same for text that a vocabulary counted.
const MISFIT_EXACT: f64 = 0.005;
/// Features of messages: what these cost is never negative, so that leaving a message out never makes a prompt longer.
/// The others may stand for each other.
const OF_MESSAGES: [Feature; 7] = [
    Feature::Message,
    Feature::Text,
    Feature::Foreign,
    Feature::Reasoning,
    Feature::Exchange,
    Feature::Image,
    Feature::Proof,
];
/// The part of what was learned that each reply makes the model doubt: half of it after 2 300 replies.
const FORGET: f64 = 0.000_3;
/// Beyond this many standard deviations a reply is doubted: it moves the weights no further than one at that border.
const DOUBT: f64 = 3.0;
/// Replies beyond the border widen it, those within narrow it, so that up to one lie in five replies leaves it where it
/// is (ln 1.5 of them against ln .9 of the others), and a lasting change (a hidden prompt of 5 000 tokens that comes or
/// goes) is believed within some twenty.
const WIDEN: f64 = 1.5;
const NARROW: f64 = 0.9;
const SURPRISE_MAX: f64 = 100.0;
/// The least that a token of text measured by shape can be in a provider's count.
const TEXT_MIN: f64 = 0.25;
/// The lowest estimate of a short plain prompt, as a part of what is expected of it: so few tokens say no more of how
/// their provider counts than what is already known, however often it counts them.
const SHORT_MIN: f64 = 0.8;
/// A small number of tokens of text: those of a longer prompt beyond it cost what was learned.
const SHORT: f64 = 24.0;

/// The tokens of each feature of a prompt at a target, as far as is known now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Weights {
    learned: [f64; FEATURES],
    vocabulary: Vocabulary,
}

impl Weights {
    /// Returns the tokens of a part of a prompt, such as a message. They add up to those of the whole.
    pub fn weigh(&self, size: &PromptSize) -> f64 {
        dot(&self.learned, &size.0)
    }

    /// Returns the estimate for a whole prompt.
    pub fn tokens(&self, size: &PromptSize) -> u32 {
        whole(self.weigh(size).max(self.least(size)))
    }

    /// Returns the fewest tokens that a whole prompt can be. Where there are tools or images, their cost and the
    /// frame's cost cannot be told apart, so that neither has a lower limit of its own.
    fn least(&self, size: &PromptSize) -> f64 {
        let expected = self.vocabulary.prior();
        let (base, message) = (Feature::Base, Feature::Message);
        let (plain, foreign) = (size.count(Feature::Text), size.count(Feature::Foreign));
        let is_plain = size.count(base) + size.count(message) + plain + foreign == size.0.iter().sum::<f64>();
        let frame = expected[base as usize] * size.count(base) + expected[message as usize] * size.count(message);
        let short = SHORT_MIN * (frame + expected[Feature::Text as usize] * plain.min(SHORT));
        (TEXT_MIN * (plain + foreign)).max(if is_plain { short } else { 0.0 })
    }
}

/// Returns an estimate as whole tokens: at least 1.
pub(super) fn whole(tokens: f64) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts of floats saturate")]
    let tokens = tokens.round() as u32;
    tokens.max(1)
}

/// The model of a target's counting: recursive least squares with a prior and forgetting, that is a Kalman filter whose
/// state are the weights, made robust by Huber's bounded influence.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenModel {
    vocabulary: Vocabulary,
    weights: [f64; FEATURES],
    /// The covariance of the weights.
    covariance: [[f64; FEATURES]; FEATURES],
    /// How far replies have been off lately: 1 if they are as expected.
    surprise: f64,
}

impl TokenModel {
    /// Returns what is known before any reply.
    pub fn new(vocabulary: Vocabulary) -> Self {
        let mut covariance = [[0.0; FEATURES]; FEATURES];
        for (at, spread) in SPREAD.iter().enumerate() {
            covariance[at][at] = spread * spread;
        }
        Self { vocabulary, weights: vocabulary.prior(), covariance, surprise: 1.0 }
    }

    /// Returns the weights as of now.
    pub const fn weights(&self) -> Weights {
        Weights { learned: self.weights, vocabulary: self.vocabulary }
    }

    /// Tells whether anything was learned.
    #[cfg(feature = "store")]
    pub fn is_known(&self) -> bool {
        *self != Self::new(self.vocabulary)
    }

    /// Returns the vocabulary that it assumes.
    pub const fn vocabulary(&self) -> Vocabulary {
        self.vocabulary
    }

    /// Learns from a reply: a prompt of this size was this many tokens, cached ones included. No prompt has 0 tokens,
    /// so a reply that says 0 is not believed.
    pub fn learn(&mut self, size: &PromptSize, tokens: u64) {
        if tokens == 0 {
            return;
        }
        self.forget();
        let covered: [f64; FEATURES] = std::array::from_fn(|row| dot(&self.covariance[row], &size.0));
        let uncertain = dot(&covered, &size.0);
        let misfit = |at: usize| self.misfit(at) * self.weights[at] * size.0[at];
        let noise = 1.0 + (0..FEATURES).map(misfit).map(|misfit| misfit * misfit).sum::<f64>();
        let error = tokens as f64 - dot(&self.weights, &size.0);
        let deviation = error.abs() / (uncertain + noise).sqrt() / DOUBT;
        let noise = if deviation > self.surprise {
            let doubted = (uncertain + noise) * deviation / self.surprise - uncertain;
            self.surprise = (self.surprise * WIDEN).min(SURPRISE_MAX);
            doubted
        } else {
            self.surprise = (self.surprise * NARROW).max(1.0);
            noise
        };
        for ((weight, row), own) in self.weights.iter_mut().zip(&mut self.covariance).zip(covered) {
            // Most prompts have few of the features, and say nothing of the others.
            if own == 0.0 {
                continue;
            }
            let gain = own / (uncertain + noise);
            *weight += gain * error;
            for (covariance, covered) in row.iter_mut().zip(covered) {
                *covariance -= gain * covered;
            }
        }
        self.keep_messages_positive();
    }

    /// Makes the model a little less sure, back towards its first uncertainty: by more, the worse it has fit lately.
    fn forget(&mut self) {
        let part = (FORGET * self.surprise * self.surprise).min(0.5);
        for (at, row) in self.covariance.iter_mut().enumerate() {
            for covariance in row.iter_mut() {
                *covariance *= 1.0 - part;
            }
            row[at] += part * SPREAD[at] * SPREAD[at];
        }
    }

    /// Moves to the likeliest weights that are not negative where they must not be. Twice, as moving one moves others.
    fn keep_messages_positive(&mut self) {
        for feature in OF_MESSAGES.into_iter().chain(OF_MESSAGES).map(|feature| feature as usize) {
            let below = self.weights[feature];
            if below < 0.0 {
                let variance = self.covariance[feature][feature];
                for at in 0..FEATURES {
                    self.weights[at] -= below * self.covariance[at][feature] / variance;
                }
            }
        }
        for feature in OF_MESSAGES {
            let weight = &mut self.weights[feature as usize];
            *weight = weight.max(0.0);
        }
    }

    fn misfit(&self, at: usize) -> f64 {
        let exact = at == Feature::Text as usize && self.vocabulary.measure() != Measure::Shape;
        if exact { MISFIT_EXACT } else { MISFIT[at] }
    }
}

fn dot(a: &[f64; FEATURES], b: &[f64; FEATURES]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

persist!(
    enum Vocabulary {
        O200k,
        Cl100k,
        Claude,
        Gemini,
        DeepSeek,
        Qwen,
        Mistral,
        Unknown,
    }
);
persist!(struct TokenModel { vocabulary, weights, covariance, surprise });

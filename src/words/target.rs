//! Targets: providers, their models and abilities.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::named::named;

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

impl FromStr for TargetId {
    type Err = NoTarget;

    /// Reads `provider/model`. Whether there is one is not known.
    fn from_str(name: &str) -> Result<Self, NoTarget> {
        match name.split_once('/') {
            Some((provider, model)) if !provider.is_empty() && !model.is_empty() => Ok(Self::new(provider, model)),
            _ => Err(NoTarget),
        }
    }
}

/// A text is no name of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be `provider/model`")]
#[non_exhaustive]
pub struct NoTarget;

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
named!(Dialect {
    OpenAiChat = "openai-chat",
    OpenAiResponses = "openai-responses",
    AnthropicMessages = "anthropic",
    Gemini = "gemini",
    Vertex = "vertex",
    Ollama = "ollama",
    Function = "function",
});

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

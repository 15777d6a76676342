//! The dialect of a provider as a user sets it.

use serde::Deserialize;

use crate::words::Dialect;

/// How a provider's HTTP speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum DialectConfig {
    /// OpenAI's chat completions, which most providers speak.
    #[default]
    #[serde(alias = "openai")]
    OpenaiChat,
    /// OpenAI's responses, without state at the provider.
    OpenaiResponses,
    /// Anthropic's messages.
    Anthropic,
    /// Google's `generateContent` at AI Studio, with an API key.
    Gemini,
    /// Google's `generateContent` at Vertex AI, with an access token.
    Vertex,
    /// Ollama's own chat; the base URL is without `/v1`.
    Ollama,
    /// A function of this program ([`ProviderConfig::from_fn`](super::ProviderConfig::from_fn)): no file can hold one.
    #[serde(skip)]
    Function,
}

impl From<DialectConfig> for Dialect {
    fn from(dialect: DialectConfig) -> Self {
        match dialect {
            DialectConfig::OpenaiChat => Self::OpenAiChat,
            DialectConfig::OpenaiResponses => Self::OpenAiResponses,
            DialectConfig::Anthropic => Self::AnthropicMessages,
            DialectConfig::Gemini => Self::Gemini,
            DialectConfig::Vertex => Self::Vertex,
            DialectConfig::Ollama => Self::Ollama,
            DialectConfig::Function => Self::Function,
        }
    }
}

//! The answer of a provider that is a function, piece by piece.

use super::chat::ToolCall;
use super::reply::StopReason;
use super::usage::Usage;

/// One piece of a function's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AnswerPiece {
    /// More text.
    Text(String),
    /// More visible reasoning.
    Reasoning(String),
    /// A call of a tool, whole. One without an id is given one.
    ToolCall(ToolCall),
    /// Its tokens; estimated if no piece says them.
    Usage(Usage),
    /// Why it stopped. Default: it was done, or it calls tools.
    Stop(StopReason),
}

impl From<String> for AnswerPiece {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for AnswerPiece {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<ToolCall> for AnswerPiece {
    fn from(call: ToolCall) -> Self {
        Self::ToolCall(call)
    }
}

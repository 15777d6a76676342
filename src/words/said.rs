//! What a provider that is a function says, piece by piece.

use super::{StopReason, ToolCall, Usage};

/// One thing that a function says: all of them together, in their order, are its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Said {
    /// More text.
    Text(String),
    /// More visible reasoning.
    Reasoning(String),
    /// A call of a tool, whole. One without an id is given one.
    ToolCall(ToolCall),
    /// What it used; estimated where the answer does not say it.
    Usage(Usage),
    /// Why it stopped, where that is not clear: it was done, or wants its tools called.
    Stop(StopReason),
}

impl From<String> for Said {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Said {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<ToolCall> for Said {
    fn from(call: ToolCall) -> Self {
        Self::ToolCall(call)
    }
}

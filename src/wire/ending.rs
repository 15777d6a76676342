//! The end of a whole answer, as its decoder judged it.
//!
//! Input: what a draft gathered. Output: the parts, the reason, the bill, and what is left to pass on.

use std::sync::Arc;

use bytes::Bytes;

use super::names::Names;
use crate::words::{AssistantPart, Bill, Failure, Source, StopReason, Usage};

/// The end of a whole answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Ending {
    /// Why the model stopped.
    pub stop: StopReason,
    /// Whether its text is a refusal, by its provider's mark.
    pub refuses: bool,
    /// Its tokens, if the provider counted them.
    pub usage: Option<Usage>,
    /// What its provider told of its bill beside the tokens.
    pub bill: Bill,
    /// The model's name as the provider spelled it.
    pub model: Option<Arc<str>>,
    /// The whole answer in the model's order, to be shown or sent back; its tool calls are complete. For an answer that
    /// passes unchanged, only its calls, and its texts if they were asked for.
    pub parts: Vec<AssistantPart>,
    /// The bytes of an answer that passes unchanged that have not been handed out before its end.
    pub verbatim: Option<Bytes>,
    /// Whether it has parts that the common form cannot express: what the provider's own tools did, images, calls of a
    /// kind unknown.
    pub has_foreign_parts: bool,
    /// Whether a tool call was left out because the answer's limit of tokens cut it.
    pub cut: bool,
    /// Whether it is as long as it may be: what it lacks is cut by that, whichever reason its provider gives.
    pub full: bool,
    /// Whether text around the JSON of a stream that passes unchanged was removed.
    pub unfenced: bool,
    /// The stop sequence that ended it, where that is known.
    pub stop_sequence: Option<Arc<str>>,
    /// The sources that it cites, where it is read into words.
    pub sources: Vec<Source>,
    /// Whether some sources could not be read into words.
    pub lost_sources: bool,
    /// Why it is a failure although it is whole: its provider says so by its own word and it passes unchanged, or it is
    /// of thoughts alone. It is for a caller that gets no other answer.
    pub flaw: Option<Failure>,
    /// Whether its reader has seen its beginning.
    pub partly_delivered: bool,
}

impl Ending {
    /// Returns the tool calls, in the model's order.
    #[cfg(any(test, feature = "internals"))]
    pub fn tool_calls(&self) -> impl Iterator<Item = &crate::words::ToolCall> {
        self.parts.iter().filter_map(AssistantPart::as_tool_call)
    }

    /// Gives called tools the names that the caller knows.
    pub fn call_by_own_names(&mut self, names: &Names) {
        for part in &mut self.parts {
            if let AssistantPart::ToolCall(call) = part {
                call.name = names.own(&call.name).to_owned();
            }
        }
        self.verbatim = self.verbatim.take().map(|bytes| names.restored_in(bytes));
    }

    /// Leaves no more than its calls among the parts of an answer that passes unchanged.
    pub fn leave_to_verbatim(&mut self) {
        if self.verbatim.is_some() {
            self.parts.retain(|part| part.as_tool_call().is_some());
        }
    }

    /// Returns the answer's text.
    pub fn text(&self) -> String {
        self.parts.iter().filter_map(AssistantPart::as_text).collect()
    }
}

//! Answers: their pieces, their end, and whole ones.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::attempt::{AttemptRecord, CallId};
use super::chat::{AssistantPart, Message, Proof, ToolCall};
use super::exhausted::Degraded;
use super::failure::Failure;
use super::hold::UnavailableTarget;
use super::note::Note;
use super::target::TargetId;
use super::usage::Usage;

/// A piece of an answer's content as it arrives from one attempt. Tool calls are no pieces: they come whole, with the
/// answer's end, so that no caller acts on half an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Piece {
    /// The model declines: the text that follows is its refusal.
    Refusal,
    /// More text of the answer.
    Text(String),
    /// More visible reasoning.
    Reasoning(String),
    /// The proof of the reasoning before it, or one that stands alone: opaque data for the provider. Comes with the
    /// content that follows it, because it cannot be shown alone.
    Proof(Proof),
    /// Events of the answer as they came, each complete: for a caller that speaks its provider's dialect; such a caller
    /// gets no text pieces beside them.
    Verbatim(Bytes),
}

/// What a caller's stream yields.
///
/// ```
/// use standin::{ChatRequest, ProviderConfig, Report, ReplyEvent, Runtime};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Report> {
/// let local = ProviderConfig::from_fn(|_| async { Ok("one two three") });
/// let runtime = Runtime::builder().provider("local", local.model("echo")).start().await?;
/// let mut stream = runtime.stream(ChatRequest::new("local/echo").user("count")).await?;
/// let mut shown = String::new();
/// while let Some(event) = stream.next().await {
///     match event? {
///         ReplyEvent::Started { target, .. } => println!("{target} answers"),
///         ReplyEvent::Text(more) => shown.push_str(&more),
///         // It broke off, and another begins anew: take back what was shown.
///         ReplyEvent::Reset(failure) => {
///             println!("once more: {failure}");
///             shown.clear();
///         }
///         ReplyEvent::Finished(finished) => println!("{} token(s)", finished.usage.output),
///         _ => {}
///     }
/// }
/// assert_eq!(shown, "one two three");
/// # Ok(())
/// # }
/// ```
///
/// Between two [`Reset`](Self::Reset)s all content is of one attempt, the one
/// that the last [`Started`](Self::Started) names.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ReplyEvent {
    /// No target can answer now, and the call is parked until one can ([`OnExhausted::Wait`](super::OnExhausted)).
    /// Comes when the wait begins, and whenever the targets or times have changed. It is no content.
    Waiting {
        /// When the first target is expected back, where that is known.
        back_in: Option<Duration>,
        /// Each target that cannot be asked now: why, and until when.
        barred: Vec<UnavailableTarget>,
    },
    /// The content that follows comes from this target.
    Started {
        /// The call, for `why`.
        call: CallId,
        /// The target that answers.
        target: TargetId,
        /// Number of the attempt within the call, from 1; 0 where no attempt made it, as a fixed text.
        attempt: u32,
        /// Length of the prompt there, in tokens, as far as is known before the end: an estimate.
        prompt_tokens: u64,
    },
    /// The model declines: the text that follows is its refusal, as far as its provider tells so before the end.
    Refusal,
    /// More text.
    Text(String),
    /// More visible reasoning.
    Reasoning(String),
    /// The proof of the reasoning before it, or one that stands alone, if content follows it; all proofs are in the
    /// answer's parts at the end. For code that passes the answer on as it comes.
    Proof(Proof),
    /// Complete events as the provider sent them, instead of text pieces: where the request came [as its caller wrote
    /// it](super::Original), asks for a stream, and its target speaks the caller's dialect. What follows a call of a
    /// tool comes with [`Finished::verbatim`].
    Verbatim(Bytes),
    /// A tool call, complete. Comes only once the answer has ended validly; after it there is never a reset.
    ToolCall(ToolCall),
    /// The answer broke off: drop all content since the last [`Started`](Self::Started). Another answer follows.
    Reset(Failure),
    /// The answer is whole. The last item of the stream.
    Finished(Box<Finished>),
}

/// The end of a call that was answered.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Finished {
    /// The call, for `why`.
    pub call: CallId,
    /// The whole answer: text, reasoning and tool calls in the model's order. Of an answer that passes unchanged, no
    /// more than its calls.
    pub parts: Vec<AssistantPart>,
    /// The rest of an answer that passes unchanged: all of it where it is whole, its end where it is a stream. `None`
    /// where the parts are the answer.
    pub verbatim: Option<Bytes>,
    /// The target that answered.
    pub target: TargetId,
    /// The model's name as the provider spelled it in the answer, where it did.
    pub model: Option<Arc<str>>,
    /// Why the model stopped.
    pub stop: StopReason,
    /// Whether its text is a refusal, by its provider's mark.
    pub refuses: bool,
    /// The stop sequence that it met, where that is known.
    pub stop_sequence: Option<Arc<str>>,
    /// The sources of its text, if its provider gives them. Empty for an answer that passes unchanged.
    pub sources: Vec<Source>,
    /// Tokens of the winning attempt.
    pub usage: Usage,
    /// What all attempts of the call cost together, in dollars; `None` while the winner's price is unknown.
    pub cost_usd: Option<f64>,
    /// Every attempt in the order they were started.
    pub attempts: Vec<AttemptRecord>,
    /// Whether no target was well, and one was asked as a last resort.
    pub last_resort: bool,
    /// The lower rung that it is from, if no other target could answer.
    pub degraded: Option<Degraded>,
    /// The parts of the conversation that the target could not take as they were.
    pub notes: Vec<Note>,
}

/// A source that an answer cites.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Source {
    /// The address.
    pub url: String,
    /// Its title; may be empty.
    pub title: String,
    /// What is quoted of it; may be empty.
    pub cited: String,
    /// The part of the answer's text that cites it, in characters; all of it if the provider does not say.
    pub place: Range<usize>,
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Reply {
    /// The answer's text.
    pub text: String,
    /// The visible reasoning, where the model shows any.
    pub reasoning: String,
    /// The tool calls, in the model's order.
    pub tool_calls: Vec<ToolCall>,
    /// How it ended, which target answered, what it cost; and the answer as a message to append to the conversation.
    pub finished: Finished,
}

impl From<Finished> for Reply {
    fn from(finished: Finished) -> Self {
        let parts = &finished.parts;
        Self {
            text: parts.iter().filter_map(AssistantPart::as_text).collect(),
            reasoning: parts.iter().filter_map(AssistantPart::as_reasoning).collect(),
            tool_calls: parts.iter().filter_map(AssistantPart::as_tool_call).cloned().collect(),
            finished,
        }
    }
}

impl Finished {
    /// Returns the answer as a message to append to the conversation.
    pub fn to_message(&self) -> Message {
        Message::Assistant(self.parts.clone())
    }
}

/// Why the model stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StopReason {
    /// It was done, or met a stop sequence.
    Stop,
    /// The answer reached its limit of tokens.
    Length,
    /// It calls tools.
    ToolCalls,
    /// The provider's filter stopped it.
    ContentFilter,
    /// The model declined.
    Refusal,
    /// The provider gave a reason this crate does not know.
    Other,
}

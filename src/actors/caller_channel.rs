//! The caller's end of a call that runs.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::mpsc;

use super::responder::{Responder, WantedReply};
use super::stream::{ReplyStream, StreamMessage};
use super::work::AttemptAnswer;
use crate::words::{AssistantPart, CommitPolicy, Embeddings, Error, Finished, Piece, Reply, StopReason};

/// The caller's end.
pub(super) enum CallerChannel {
    Whole(Responder<Reply>),
    Stream(mpsc::UnboundedSender<StreamMessage>),
    Vectors(Responder<Embeddings>),
}

/// A caller's final result.
pub(super) enum CallResult {
    Answer(Finished),
    Vectors(Embeddings),
}

impl CallerChannel {
    /// Opens the channel that a caller wants, and returns the commit policy: the work's own one, if it is streamed.
    pub(super) fn open(
        wanted: WantedReply,
        streamed: CommitPolicy,
        draining: &Arc<AtomicBool>,
    ) -> (CommitPolicy, Self) {
        match wanted {
            WantedReply::Whole(mut answer) => {
                answer.begun = true;
                (CommitPolicy::Buffered, Self::Whole(answer))
            }
            WantedReply::Stream(answer) => (streamed, Self::stream(answer, draining)),
            WantedReply::Buffered(answer) => (CommitPolicy::Buffered, Self::stream(answer, draining)),
            WantedReply::Vectors(mut answer) => {
                answer.begun = true;
                (CommitPolicy::Buffered, Self::Vectors(answer))
            }
        }
    }

    fn stream(mut answer: Responder<ReplyStream>, draining: &Arc<AtomicBool>) -> Self {
        let (words, receiver) = mpsc::unbounded_channel();
        answer.send(Ok(ReplyStream::new(receiver, draining.clone())));
        Self::Stream(words)
    }

    /// Resolves when the caller has left.
    pub(super) async fn closed(&mut self) {
        match self {
            Self::Whole(answer) => answer.closed().await,
            Self::Stream(words) => words.closed().await,
            Self::Vectors(answer) => answer.closed().await,
        }
    }

    /// Tells whether content may go on before the call's end.
    pub(super) fn is_stream(&self) -> bool {
        matches!(self, Self::Stream(_))
    }

    /// Tells whether vectors are wanted.
    pub(super) fn is_vectors(&self) -> bool {
        matches!(self, Self::Vectors(_))
    }

    pub(super) fn say(&self, word: StreamMessage) {
        if let Self::Stream(words) = self {
            let _ = words.send(word);
        }
    }

    pub(super) fn finish(self, product: CallResult) {
        match (self, product) {
            (Self::Whole(mut answer), CallResult::Answer(finished)) => answer.send(Ok(finished.into())),
            (Self::Stream(words), CallResult::Answer(finished)) => {
                drop(words.send(StreamMessage::Finished(Box::new(finished))));
            }
            (Self::Vectors(mut answer), CallResult::Vectors(embeddings)) => answer.send(Ok(embeddings)),
            // Work and its channel are of one kind; a mistake there crashes only this call.
            (caller, _) => caller.fail(Error::Crashed),
        }
    }

    pub(super) fn fail(self, error: Error) {
        match self {
            Self::Whole(mut answer) => answer.send(Err(error)),
            Self::Stream(words) => drop(words.send(StreamMessage::Failed(error))),
            Self::Vectors(mut answer) => answer.send(Err(error)),
        }
    }
}

/// Returns the pieces that a whole answer would have come in. An answer that passes unchanged goes out with the end.
pub(super) fn pieces_of(answer: &AttemptAnswer) -> VecDeque<Piece> {
    match answer {
        AttemptAnswer::Answer(ending) if ending.verbatim.is_none() => {
            let refusal = (ending.stop == StopReason::Refusal).then_some(Piece::Refusal);
            refusal.into_iter().chain(ending.parts.iter().flat_map(pieces)).collect()
        }
        AttemptAnswer::Answer(_) | AttemptAnswer::Vectors(_) => VecDeque::new(),
    }
}

/// Returns the pieces that a part of an answer would have come in.
fn pieces(part: &AssistantPart) -> impl Iterator<Item = Piece> {
    let content = match part {
        AssistantPart::Text(text) => Some(Piece::Text(text.as_str().to_owned())),
        AssistantPart::Reasoning(reasoning) if reasoning.text.is_empty() => None,
        AssistantPart::Reasoning(reasoning) => Some(Piece::Reasoning(reasoning.text.as_str().to_owned())),
        AssistantPart::ToolCall(_) | AssistantPart::Foreign(_) => None,
    };
    let proof = match part {
        AssistantPart::Reasoning(reasoning) => reasoning.proof.clone().map(Piece::Proof),
        _ => None,
    };
    content.into_iter().chain(proof)
}

//! One try, before it begins.

use std::time::Duration;

use tokio::sync::mpsc;

use super::account::AttemptAccount;
use super::work::Work;
use crate::transport::Body;
use crate::wire::{Unfence, Verbatim};
use crate::words::Piece;

/// Pieces an answer may be ahead of its reader.
pub(super) const PIECES_MAX: usize = 64;

/// Thoughts that are not shown before something else is.
#[derive(Default)]
pub(super) struct Unseen {
    pub(super) pieces: Vec<Piece>,
    /// What they take in memory.
    pub(super) bytes: usize,
}

impl Unseen {
    /// Takes a thought; returns any other piece.
    pub(super) fn take(&mut self, piece: Piece) -> Option<Piece> {
        let text = match &piece {
            Piece::Reasoning(text) => text.len(),
            Piece::Proof(proof) => proof.data.as_str().len(),
            Piece::Refusal | Piece::Text(_) | Piece::Verbatim(_) => return Some(piece),
        };
        self.bytes += size_of::<Piece>() + text;
        self.pieces.push(piece);
        None
    }
}

/// One try, before it begins.
pub(super) struct AttemptJob {
    pub(super) work: Work,
    /// Whether this repeats a try whose connection broke before any response.
    pub(super) resend: bool,
    /// The most time until the first token; without it the call's.
    pub(super) first_token_max: Option<Duration>,
    /// Whether nothing of the answer may be handed on before it is whole.
    pub(super) buffered: bool,
    /// Whether its route has no other model: a caller that asks for the route means this one.
    pub(super) meant: bool,
    /// How its answer passes unchanged, if it does.
    pub(super) verbatim: Option<Verbatim>,
    pub(super) pieces: mpsc::Sender<Piece>,
    /// Whether any piece was handed on.
    pub(super) delivered_any: bool,
    /// Thoughts that its caller is not shown, before anything that it is shown: none where it is shown all.
    pub(super) unseen: Option<Unseen>,
    pub(super) account: AttemptAccount,
    /// The body after the answer's terminal marker.
    pub(super) rest: Option<Body>,
    /// Takes JSON out of the text around it, where JSON was asked for.
    pub(super) unfence: Option<Unfence>,
    pub(super) span: tracing::Span,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::{Dialect, Proof};

    #[test]
    fn thoughts_that_are_held_back_take_memory_until_they_are_told() {
        let mut unseen = Unseen::default();
        let proof = Piece::Proof(Proof::new(Dialect::AnthropicMessages, "p".repeat(50)));
        for thought in [Piece::Reasoning("t".repeat(100)), proof] {
            assert_eq!(unseen.take(thought), None);
        }
        let shown = Piece::Text("a word".to_owned());
        assert_eq!(unseen.take(shown.clone()), Some(shown));
        assert_eq!((unseen.pieces.len(), unseen.bytes), (2, 2 * size_of::<Piece>() + 150));
    }
}

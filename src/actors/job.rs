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
    pub(super) unseen: Option<Vec<Piece>>,
    pub(super) account: AttemptAccount,
    /// The body after the answer's terminal marker.
    pub(super) rest: Option<Body>,
    /// Takes JSON out of the text around it, where JSON was asked for.
    pub(super) unfence: Option<Unfence>,
    pub(super) span: tracing::Span,
}

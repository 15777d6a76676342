//! A body as it is written: its bytes, in pieces that have their times.

use std::time::Duration;

use bytes::Bytes;

/// A piece of a body.
#[derive(Clone, Debug)]
pub(crate) struct TimedPiece {
    /// From the piece before it, or from the head.
    pub(crate) wait: Duration,
    pub(crate) bytes: Bytes,
    /// Tokens of content in it.
    pub(crate) tokens: u32,
}

/// Writes a body down and marks where its pieces end.
#[derive(Debug, Default)]
pub(crate) struct BodyRecorder {
    pub(crate) bytes: Vec<u8>,
    marks: Vec<(usize, u32)>,
}

impl BodyRecorder {
    /// Ends a piece that has this number of tokens of content.
    pub(crate) fn mark(&mut self, tokens: u32) {
        self.marks.push((self.bytes.len(), tokens));
    }

    /// Returns the pieces: the first token comes after `first`, each later one `per_token` after the one before, and a
    /// piece of several with its last; a piece without content comes at once.
    pub(crate) fn pieces(self, first: Duration, per_token: Duration) -> Vec<TimedPiece> {
        let mut rest = Bytes::from(self.bytes);
        let mut begin = 0;
        let mut wait_next = first;
        self.marks
            .into_iter()
            .map(|(end, tokens)| {
                let bytes = rest.split_to(end - begin);
                begin = end;
                let wait = match tokens.checked_sub(1) {
                    None => Duration::ZERO,
                    Some(more) => {
                        std::mem::replace(&mut wait_next, per_token).saturating_add(per_token.saturating_mul(more))
                    }
                };
                TimedPiece { wait, bytes, tokens }
            })
            .collect()
    }
}

//! Bodies written in pieces: a piece that is in the body that came is a part of it, and not copied.
//!
//! Input: bytes, in the order in which they go out. Output: a payload. The writer need not know where a text is: a long
//! one in the body, or in the memory of what was decoded of it, is recognised by its address. Nothing here may know
//! what the bytes mean.

use std::io;
use std::ops::Range;

use bytes::{Bytes, BytesMut};

use crate::words::Payload;

/// A part of a body that is shorter is copied: a piece of its own costs more.
const PIECE_BYTES_MIN: usize = 256;
/// New bytes are collected in pieces of this many bytes: a long body is never moved as a whole.
const NEW_BYTES_MAX: usize = 64 * 1024;
/// Most bodies, and most changes of one, are shorter.
const NEW_BYTES: usize = 1024;

/// A body in the making.
pub(super) struct BodyBuilder<'b> {
    /// The body that came, and what was decoded of it, by their addresses.
    sources: Vec<&'b Bytes>,
    made: Payload,
    /// The new bytes after that.
    new: BytesMut,
}

impl<'b> BodyBuilder<'b> {
    /// Begins a body that may share parts of the body that came, and of what was decoded of it.
    pub(super) fn of(came: Option<&'b Bytes>, decoded: impl IntoIterator<Item = &'b Bytes>) -> Self {
        let is_long = |source: &&Bytes| source.len() >= PIECE_BYTES_MIN;
        let is_other = |source: &&Bytes| came.is_none_or(|came| place(came, source).is_none());
        let decoded = decoded.into_iter().filter(is_long).filter(is_other);
        let mut sources: Vec<_> = came.into_iter().chain(decoded).collect();
        sources.sort_unstable_by_key(|source| source.as_ptr().addr());
        Self { sources, made: Payload::default(), new: BytesMut::with_capacity(NEW_BYTES) }
    }

    /// Appends bytes.
    pub(super) fn put(&mut self, bytes: &[u8]) {
        if bytes.len() >= PIECE_BYTES_MIN
            && let Some(part) = self.shared(bytes)
        {
            self.cut();
            return self.made.push(part);
        }
        if self.new.len() + bytes.len() > NEW_BYTES_MAX {
            self.cut();
        }
        self.new.extend_from_slice(bytes);
    }

    /// Returns bytes as a part of what they lie in.
    fn shared(&self, bytes: &[u8]) -> Option<Bytes> {
        let behind = self.sources.partition_point(|source| source.as_ptr().addr() <= bytes.as_ptr().addr());
        let source = self.sources[behind.checked_sub(1)?];
        Some(source.slice(place(source, bytes)?))
    }

    fn cut(&mut self) {
        self.made.push(self.new.split().freeze());
    }

    /// Returns the body.
    pub(super) fn finish(mut self) -> Payload {
        self.made.push(self.new.freeze());
        self.made
    }
}

impl io::Write for BodyBuilder<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.put(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns where bytes are in a body, if they are a part of it.
fn place(body: &[u8], bytes: &[u8]) -> Option<Range<usize>> {
    let start = bytes.as_ptr().addr().checked_sub(body.as_ptr().addr())?;
    let end = start.checked_add(bytes.len())?;
    (end <= body.len()).then_some(start..end)
}

/// Returns a body with other bytes in some places, which are told in their order.
pub(super) fn spliced<'b>(body: &Bytes, splices: impl IntoIterator<Item = (Range<usize>, &'b [u8])>) -> Payload {
    let (mut out, mut at) = (BodyBuilder::of(Some(body), []), 0);
    for (range, by) in splices {
        out.put(&body[at..range.start]);
        out.put(by);
        at = range.end;
    }
    out.put(&body[at..]);
    out.finish()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn parts_of_the_received_body_are_not_copied_and_new_pieces_are_small() {
        let body = Bytes::from("a".repeat(2 * PIECE_BYTES_MIN));
        let (long, other) = (&body[9..9 + PIECE_BYTES_MIN], "b".repeat(PIECE_BYTES_MIN));
        let decoded = Bytes::from("c".repeat(PIECE_BYTES_MIN));
        let mut pieces = BodyBuilder::of(Some(&body), [&decoded]);
        for bytes in [b"{", long, b",", &body[..9], other.as_bytes(), &body, &decoded, b"}"] {
            pieces.write_all(bytes).expect("room");
        }
        let made = pieces.finish();
        let expected = [b"{", long, b",", &body[..9], other.as_bytes(), &body, &decoded, b"}"].concat();
        assert_eq!(made.whole(), expected);
        let is_shared = |piece: &&Bytes| [&body, &decoded].iter().any(|it| it.as_ptr_range().contains(&piece.as_ptr()));
        let shared = made.pieces().filter(is_shared).map(Bytes::len).collect::<Vec<_>>();
        assert_eq!(shared, [PIECE_BYTES_MIN, body.len(), decoded.len()]);

        let mut pieces = BodyBuilder::of(None, []);
        for _ in 0..3 * NEW_BYTES_MAX / 1000 {
            pieces.put(&[b'x'; 1000]);
        }
        let made = pieces.finish();
        assert_eq!((made.len(), made.pieces().count()), (3 * NEW_BYTES_MAX / 1000 * 1000, 4));
        assert!(made.pieces().all(|piece| piece.len() <= NEW_BYTES_MAX));
    }
}

//! A request's body on its way out.

use bytes::Bytes;

/// Pieces that are one body. What stays of a body that came is a piece of it and not copied: a conversation of
/// megabytes in which a name changes is in memory once, for any number of targets.
#[derive(Clone, Debug, Default)]
pub struct Payload {
    first: Bytes,
    rest: Vec<Bytes>,
}

impl Payload {
    /// Returns the pieces in their order.
    pub fn pieces(&self) -> impl Iterator<Item = &Bytes> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    /// Returns the pieces in their order.
    pub fn into_pieces(self) -> impl Iterator<Item = Bytes> {
        std::iter::once(self.first).chain(self.rest)
    }

    /// Appends a piece.
    pub fn push(&mut self, piece: Bytes) {
        if self.first.is_empty() {
            self.first = piece;
        } else if !piece.is_empty() {
            self.rest.push(piece);
        }
    }

    /// Returns how many bytes it has.
    pub fn len(&self) -> usize {
        self.pieces().map(Bytes::len).sum()
    }

    /// Tells whether it has none.
    pub fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// Returns it in one piece.
    pub fn whole(&self) -> Bytes {
        if self.rest.is_empty() {
            self.first.clone()
        } else {
            self.pieces().map(AsRef::as_ref).collect::<Vec<&[u8]>>().concat().into()
        }
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.whole() == other.whole()
    }
}

impl Eq for Payload {}

impl<T: Into<Bytes>> From<T> for Payload {
    fn from(whole: T) -> Self {
        Self { first: whole.into(), rest: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_one_body_and_one_alone_is_not_copied() {
        let body = Bytes::from_static(b"abcdef");
        let mut payload = Payload::default();
        assert!(payload.is_empty());
        for piece in [body.slice(..2), Bytes::new(), body.slice(2..)] {
            payload.push(piece);
        }
        assert_eq!((payload.len(), payload.pieces().count()), (6, 2));
        assert_eq!((payload.whole(), payload.clone()), (body.clone(), Payload::from(body.clone())));
        assert_eq!(Payload::from(body.clone()).whole().as_ptr(), body.as_ptr());
        assert_eq!(payload.into_pieces().next().map(|piece| piece.as_ptr()), Some(body.as_ptr()));
    }
}

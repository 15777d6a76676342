//! Seals what durable calls asked and were answered: AES-256-GCM, with a nonce of its own each, bound to its place.
//!
//! Input: bytes, and the call and the part of it that they are. Output: nonce, ciphertext and tag in one; beside them
//! stands the mark of their key, from which no key can be found. The first key seals, each one opens.

use std::borrow::Cow;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::error::Unspecified;
use rusqlite::Connection;
use sha2::{Digest as _, Sha256};

use super::error::OpenError;
use super::{file, schema};
use crate::source::KeySource;
use crate::spec::EncryptionKey;
use crate::words::CallId;

/// The keys of a store. Without any, nothing is sealed.
#[derive(Default)]
pub(super) struct Sealer(Vec<SealingKey>);

struct SealingKey {
    mark: i64,
    key: RandomizedNonceKey,
}

/// Bytes as they are in the file, and the mark of the key that sealed them, if one did.
pub(super) struct SealedBytes {
    pub(super) bytes: Vec<u8>,
    pub(super) mark: Option<i64>,
}

/// The part of a call that bytes are: sealed as one, they open as no other.
#[derive(Clone, Copy)]
pub(super) enum CallPart {
    Request,
    /// The item of this place.
    Item(u64),
}

impl CallPart {
    /// Returns what is sealed beside the bytes: the form of all this, the part, and the call.
    fn place(self, call: CallId) -> Vec<u8> {
        let (kind, at) = match self {
            Self::Request => ("request", 0),
            Self::Item(at) => ("item", at),
        };
        format!("standin 1 {kind} {call} {at}").into_bytes()
    }
}

impl Sealer {
    /// Reads the keys from where they are, and returns their sealer.
    pub(super) async fn read(sources: &[KeySource]) -> Result<Self, OpenError> {
        let mut keys = Vec::with_capacity(sources.len());
        for (at, source) in sources.iter().enumerate() {
            let wrong = |problem: String| OpenError::Key { at, problem: format!("{source} {problem}") };
            let issued = source.read().await.map_err(wrong)?;
            let key = EncryptionKey::read(issued.secret.expose());
            keys.push(key.ok_or_else(|| wrong(format!("must give {}", EncryptionKey::FORMS)))?);
        }
        Self::new(&keys)
    }

    fn new(keys: &[EncryptionKey]) -> Result<Self, OpenError> {
        let key = |key: &EncryptionKey| {
            let mark = mark(key);
            RandomizedNonceKey::new(&AES_256_GCM, key.expose()).map(|key| SealingKey { mark, key })
        };
        Ok(Self(keys.iter().map(key).collect::<Result<_, _>>()?))
    }

    /// Seals bytes, if there is a key.
    pub(super) fn seal(&self, call: CallId, part: CallPart, mut bytes: Vec<u8>) -> Result<SealedBytes, OpenError> {
        let Some(SealingKey { mark, key }) = self.0.first() else { return Ok(SealedBytes { bytes, mark: None }) };
        let nonce = key.seal_in_place_append_tag(Aad::from(part.place(call)), &mut bytes)?;
        Ok(SealedBytes { bytes: [&nonce.as_ref()[..], &bytes].concat(), mark: Some(*mark) })
    }

    /// Opens what was sealed; what never was is returned as it is.
    pub(super) fn open<'a>(
        &self,
        call: CallId,
        part: CallPart,
        mark: Option<i64>,
        bytes: &'a [u8],
    ) -> Result<Cow<'a, [u8]>, OpenError> {
        let Some(mark) = mark else { return Ok(Cow::Borrowed(bytes)) };
        let known = self.0.iter().find(|known| known.mark == mark).ok_or_else(|| self.foreign(mark))?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN).ok_or(OpenError::Unopened)?;
        let (nonce, mut sealed) = (Nonce::try_assume_unique_for_key(nonce)?, sealed.to_vec());
        let place = Aad::from(part.place(call));
        let length = known.key.open_in_place(nonce, place, &mut sealed).map_err(|_| OpenError::Unopened)?.len();
        sealed.truncate(length);
        Ok(Cow::Owned(sealed))
    }

    /// Refuses a file that holds something that none of the keys opens. What cannot be read is left to who opens it.
    pub(super) fn check(&self, path: &Path) -> Result<(), OpenError> {
        let Ok(connection) = file::read(path) else { return Ok(()) };
        if schema::form(&connection)? < schema::SEALS {
            return Ok(());
        }
        let marks = [marks(&connection, "kept")?, marks(&connection, "kept_item")?].concat();
        let foreign = marks.into_iter().find(|mark| self.0.iter().all(|known| known.mark != *mark));
        foreign.map_or(Ok(()), |mark| Err(self.foreign(mark)))
    }

    fn foreign(&self, mark: i64) -> OpenError {
        let given = self.0.iter().map(|known| format!("{:016x}", known.mark)).collect();
        OpenError::Sealed { by: format!("{mark:016x}"), given }
    }
}

/// Returns the marks of the keys that sealed something in a table: each is found by the table's index.
fn marks(connection: &Connection, table: &str) -> rusqlite::Result<Vec<i64>> {
    let mut next = connection.prepare(&format!("SELECT min(seal) FROM {table} WHERE seal > ?1"))?;
    let mut marks = Vec::new();
    while let Some(mark) = next.query_row([marks.last().copied().unwrap_or(-1)], |row| row.get(0))? {
        marks.push(mark);
    }
    Ok(marks)
}

/// Returns a key's mark: a number above 0, and the same for every file.
fn mark(key: &EncryptionKey) -> i64 {
    let hash = Sha256::new().chain_update("standin store key").chain_update(key.expose()).finalize();
    let first = hash.first_chunk().copied().unwrap_or_default();
    i64::from_be_bytes(first) & i64::MAX
}

impl From<Unspecified> for OpenError {
    fn from(_: Unspecified) -> Self {
        Self::Sealing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> EncryptionKey {
        EncryptionKey::read(&text.repeat(32)).expect("64 digits")
    }

    fn sealer(keys: &[&str]) -> Sealer {
        Sealer::new(&keys.iter().map(|text| key(text)).collect::<Vec<_>>()).expect("good keys")
    }

    #[test]
    fn what_is_sealed_opens_with_its_key_in_its_place_and_nowhere_else() {
        let (call, other) = (CallId::new(1, 2), CallId::new(1, 3));
        let words = b"the words of a prompt";
        let (first, both) = (sealer(&["01"]), sealer(&["02", "01"]));
        let sealed = first.seal(call, CallPart::Item(4), words.to_vec()).expect("sealed");
        let again = first.seal(call, CallPart::Item(4), words.to_vec()).expect("sealed");
        assert_ne!(sealed.bytes, again.bytes, "a nonce of its own each");
        assert_eq!(sealed.bytes.len(), words.len() + NONCE_LEN + 16);
        assert!(!sealed.bytes.windows(5).any(|part| part == b"words"));
        for opens in [&first, &both] {
            let opened = opens.open(call, CallPart::Item(4), sealed.mark, &sealed.bytes).expect("it opens");
            assert_eq!(opened, &words[..]);
        }
        for (call, part) in [(other, CallPart::Item(4)), (call, CallPart::Item(5)), (call, CallPart::Request)] {
            let moved = both.open(call, part, sealed.mark, &sealed.bytes);
            assert!(matches!(moved, Err(OpenError::Unopened)));
        }
        for at in 0..sealed.bytes.len() {
            let mut changed = sealed.bytes.clone();
            changed[at] ^= 1;
            assert!(first.open(call, CallPart::Item(4), sealed.mark, &changed).is_err(), "byte {at}");
            assert!(first.open(call, CallPart::Item(4), sealed.mark, &sealed.bytes[..at]).is_err(), "{at} bytes");
        }
        let foreign = sealer(&["02"]).open(call, CallPart::Item(4), sealed.mark, &sealed.bytes).expect_err("no key");
        assert!(matches!(&foreign, OpenError::Sealed { given, .. } if given.len() == 1), "{foreign}");
        assert_eq!(
            both.seal(call, CallPart::Request, Vec::new()).expect("sealed").mark,
            sealer(&["02"]).seal(call, CallPart::Request, Vec::new()).expect("sealed").mark
        );
        let plain = Sealer::default().seal(call, CallPart::Request, words.to_vec()).expect("as it is");
        assert_eq!((plain.mark, &*plain.bytes), (None, &words[..]));
        assert_eq!(first.open(call, CallPart::Request, None, &plain.bytes).expect("as it is"), &words[..]);
    }
}

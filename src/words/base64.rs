//! Base64 as embeddings and files travel in it: the usual alphabet, padded.

use std::fmt;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// The value of a byte that is no digit.
const NONE: u8 = 64;

const VALUES: [u8; 256] = {
    let mut values = [NONE; 256];
    let mut value = 0;
    while value < 64 {
        values[ALPHABET[value as usize] as usize] = value;
        value += 1;
    }
    values
};

/// Returns bytes as base64.
#[cfg(any(feature = "sidecar", feature = "internals"))]
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        let digit = |at: usize| match word >> (18 - 6 * at) & 63 {
            _ if at > chunk.len() => '=',
            value => char::from(ALPHABET[value as usize]),
        };
        text.extend((0..4).map(digit));
    }
    text
}

/// Returns the bytes of a base64 text, padded or not; `None` if it is none.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let digits = digits(text);
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    decode_into(digits, &mut bytes)?;
    Some(bytes)
}

/// Returns the digits of a base64 text, without its padding.
fn digits(text: &str) -> &[u8] {
    text.trim_end_matches('=').as_bytes()
}

fn decode_into(digits: &[u8], bytes: &mut Vec<u8>) -> Option<()> {
    for chunk in digits.chunks(4) {
        let mut word = 0;
        for &digit in chunk {
            let value = VALUES[usize::from(digit)];
            if value == NONE {
                return None;
            }
            word = word << 6 | u32::from(value);
        }
        let all = (word << (6 * (4 - chunk.len()))).to_be_bytes();
        match chunk.len() {
            1 => return None,
            length => bytes.extend_from_slice(&all[1..length]),
        }
    }
    Some(())
}

/// Digits that are decoded at a time: whole groups of four.
const STEP: usize = 4096;

/// Tells the text that a base64 text is of, piece by piece; fails where it is that of something else.
pub(super) fn tell(text: &str, out: &mut impl fmt::Write) -> fmt::Result {
    let mut bytes = Vec::with_capacity(STEP);
    for step in digits(text).chunks(STEP) {
        // Behind the first bytes of a letter that was cut.
        decode_into(step, &mut bytes).ok_or(fmt::Error)?;
        let whole = match std::str::from_utf8(&bytes) {
            Ok(_) => bytes.len(),
            Err(cut) if cut.error_len().is_none() => cut.valid_up_to(),
            Err(_) => return Err(fmt::Error),
        };
        out.write_str(std::str::from_utf8(&bytes[..whole]).map_err(|_| fmt::Error)?)?;
        bytes.drain(..whole);
    }
    if bytes.is_empty() { Ok(()) } else { Err(fmt::Error) }
}

/// Returns how many bytes a base64 text is of.
pub(crate) fn decoded_len(text: &str) -> usize {
    digits(text).len() * 3 / 4
}

/// Returns some of the bytes that a base64 text is of, from a place on and at most this many.
pub(crate) fn window(text: &str, start: usize, length: usize) -> Vec<u8> {
    let digits = digits(text);
    let (from, to) = (start / 3 * 4, (start + length).div_ceil(3) * 4);
    let mut bytes = Vec::with_capacity(length + 6);
    let within = digits.get(from..to.min(digits.len())).unwrap_or_default();
    if decode_into(within, &mut bytes).is_none() {
        return Vec::new();
    }
    bytes.drain(..bytes.len().min(start % 3));
    bytes.truncate(length);
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_texts_are_written_and_read() {
        for (plain, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            assert_eq!(encode(plain.as_bytes()), text);
            assert_eq!(decode(text), Some(plain.as_bytes().to_vec()));
            assert_eq!(decode(text.trim_end_matches('=')), Some(plain.as_bytes().to_vec()));
        }
    }

    #[test]
    fn text_that_is_no_base64_is_refused() {
        for text in ["Zg==Zg", "Z", "Zm9vY", "Zm 9", "Zm-_", "é"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }

    #[test]
    fn a_text_in_base64_is_told_piece_by_piece_and_what_is_none_is_not_told() {
        let long = "é, 你, \u{1f600} and x\n".repeat(STEP / 7);
        for text in ["", "f", "fo", &long] {
            let (base64, mut told) = (encode(text.as_bytes()), String::new());
            assert_eq!((tell(&base64, &mut told), &*told), (Ok(()), text));
            assert_eq!(decoded_len(&base64), text.len());
            for (start, length) in [(0, 5), (1, 64), (2, 3), (STEP - 1, 65), (long.len() - 2, 9)] {
                let expected = text.as_bytes().iter().skip(start).take(length).copied().collect::<Vec<_>>();
                assert_eq!(window(&base64, start, length), expected, "{start} {length}");
            }
        }
        for no_text in ["Zg==Zg", "/w==", "w6", &(encode(long.as_bytes()) + "=x")] {
            assert!(tell(no_text, &mut String::new()).is_err(), "{no_text}");
        }
    }

    proptest! {
        #[test]
        fn every_byte_comes_back(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            prop_assert_eq!(decode(&encode(&bytes)), Some(bytes));
        }
    }
}

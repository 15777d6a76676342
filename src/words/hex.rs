//! Bytes as hexadecimal digits, of either case.

/// Returns the bytes that digits say, two each; `None` if they are none.
pub(crate) fn decode(digits: &str) -> Option<Vec<u8>> {
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let byte = |pair: &[u8]| Some(value(pair[0])? << 4 | value(*pair.get(1)?)?);
    digits.as_bytes().chunks(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_say_bytes_and_nothing_else_does() {
        assert_eq!(decode("00fFa5"), Some(vec![0, 255, 165]));
        assert_eq!(decode(""), Some(Vec::new()));
        for text in ["0", "000", "0g", "+1", "\u{e9}"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}

//! FNV-1a, 64 bits: <http://www.isthe.com/chongo/tech/comp/fnv/>. The same in every run; it resists no attacker.

/// The hash of nothing, with which one begins.
pub const FNV1A: u64 = 0xcbf2_9ce4_8422_2325;

/// Returns the hash of what was hashed before and of these bytes.
pub fn fnv1a(before: u64, bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(before, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_the_hashes_that_its_authors_published() {
        assert_eq!(fnv1a(FNV1A, *b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(FNV1A, *b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(fnv1a(FNV1A, *b"foo"), *b"bar"), 0x8594_4171_f739_67e8);
    }
}

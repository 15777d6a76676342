//! Signatures of thoughts: a part of an answer carries one, and the conversation must carry it back. Only the provider
//! can make one: it is a keyed hash of the host, the answer, and the tool it calls.

use super::Host;
use crate::testing::dialects::json::{ALPHABET, base64};
use crate::words::fnv::{FNV1A, fnv1a};

/// The first bytes of every signature.
const MAGIC: [u8; 8] = [0x12, 0x16, 0x0A, 0x14, 0x01, 0x11, 0x4D, 0x32];

/// The key: one for all scripted providers of a host, as Google has one for all its machines.
const KEY: &[u8] = b"standin's thoughts";

/// Replaces a signature, in calls that no model made, for example.
const PARDON: &str = "skip_thought_signature_validator";

/// The same, only at AI Studio.
const PARDON_STUDIO: &str = "context_engineering_is_the_way_to_go";

/// Signs a part of the answer of that id; `tool` is the name of the tool it calls, empty for text.
pub(super) fn sign(host: Host, id: &str, tool: &str) -> String {
    let id = u64::from_str_radix(id, 16).unwrap_or_default().to_be_bytes();
    base64([&MAGIC[..], &id, &hash(host, &id, tool).to_be_bytes()].concat().as_slice())
}

/// Makes an answer's id as it goes out: base64 for addresses, without padding.
pub(super) fn response_id(id: &str) -> String {
    base64(id.as_bytes()).trim_end_matches('=').replace('+', "-").replace('/', "_")
}

/// Tells whether a part carries the signature it was given.
pub(super) fn holds(host: Host, signature: &str, tool: &str) -> bool {
    if signature == PARDON || host == Host::Studio && signature == PARDON_STUDIO {
        return true;
    }
    let Some(bytes) = bytes(signature) else { return false };
    let Some((id, proof)) = bytes.strip_prefix(&MAGIC).and_then(|rest| rest.split_at_checked(8)) else { return false };
    proof == hash(host, id, tool).to_be_bytes()
}

/// Hashes what a signature is made for. It need not resist attackers.
fn hash(host: Host, id: &[u8], tool: &str) -> u64 {
    let host = [host as u8];
    let all = KEY.iter().chain(&host).chain(id).chain(tool.as_bytes());
    fnv1a(FNV1A, all.copied())
}

/// Reads base64 of either alphabet, with padding or without.
pub(super) fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    let (mut bits, mut held) = (0_u32, 0);
    for digit in digits.bytes() {
        let digit = match digit {
            b'-' => b'+',
            b'_' => b'/',
            other => other,
        };
        let value = ALPHABET.iter().position(|known| *known == digit)?;
        bits = bits << 6 | u32::try_from(value).ok()?;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xFF).ok()?);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "00112233445566ff";

    #[test]
    fn a_signature_holds_where_and_for_what_it_was_made() {
        let signature = sign(Host::Studio, ID, "f");
        assert!(signature.starts_with("EhYKFAERTTI"), "{signature}");
        assert!(holds(Host::Studio, &signature, "f"));
        assert!(!holds(Host::Studio, &signature, "g"));
        assert!(!holds(Host::Vertex, &signature, "f"));
        for forged in ["", "AAAA", "no base 64", &sign(Host::Studio, ID, "")] {
            assert!(!holds(Host::Studio, forged, "f"), "{forged}");
        }
        assert!(holds(Host::Vertex, PARDON, "f"));
        assert!(holds(Host::Studio, PARDON_STUDIO, "f") && !holds(Host::Vertex, PARDON_STUDIO, "f"));
    }

    proptest! {
        #[test]
        fn base64_is_read_back(written in proptest::collection::vec(any::<u8>(), 0..40)) {
            let text = base64(&written);
            prop_assert_eq!(text.len() % 4, 0);
            prop_assert_eq!(bytes(&text), Some(written.clone()));
            prop_assert_eq!(bytes(text.replace('+', "-").replace('/', "_").trim_end_matches('=')), Some(written));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC{0,40}") {
            holds(Host::Studio, &text, "");
        }

        #[test]
        fn one_changed_digit_breaks_a_signature(at in 0_usize..32) {
            let mut signature = sign(Host::Vertex, ID, "f").into_bytes();
            signature[at] = if signature[at] == b'A' { b'B' } else { b'A' };
            prop_assert!(!holds(Host::Vertex, std::str::from_utf8(&signature).unwrap(), "f"));
        }
    }
}

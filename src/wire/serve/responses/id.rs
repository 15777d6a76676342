//! The id of a response that is written here: it says which call it is of.

use serde_json::json;

use crate::words::CallId;

const BEGIN: &str = "resp_";

/// Returns the id of the response of a call.
pub fn id_of(call: CallId) -> String {
    format!("{BEGIN}{:016x}{:016x}", call.runtime, call.number)
}

/// Returns the call whose response has this id.
pub fn call_of(id: &str) -> Option<CallId> {
    let digits = id.strip_prefix(BEGIN).filter(|digits| digits.len() == 32)?;
    let is_hex = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let half = |digits: &str| u64::from_str_radix(digits, 16).ok();
    let (runtime, number) = digits.split_at_checked(16).filter(|_| is_hex)?;
    Some(CallId::new(half(runtime)?, half(number)?))
}

/// Says that a response is deleted.
pub fn deleted(id: &str) -> Vec<u8> {
    json!({"id": id, "object": "response", "deleted": true}).to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_response_says_which_call_it_is_of_and_no_other_text_does() {
        let call = CallId::new(0x5f3a_9c01_d2e4_b687, 17);
        let id = id_of(call);
        assert_eq!(id, "resp_5f3a9c01d2e4b6870000000000000011");
        assert_eq!(call_of(&id), Some(call));
        for other in ["", "resp_", "5f3a9c01d2e4b687-17", &id[5..], &id[..36], &id.to_uppercase(), &format!("{id}0")] {
            assert_eq!(call_of(other), None, "{other}");
        }
        assert_eq!(call_of(&format!("resp_{}é", "0".repeat(30))), None);
        assert_eq!(call_of(&format!("resp_+{}", "0".repeat(31))), None);
    }
}

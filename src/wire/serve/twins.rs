//! Names in a body that could be read in two ways.
//!
//! Input: the names of a body's own fields. Output: the one that is wrong. A body that goes on as it came must mean the
//! same to its reader as here: servers differ in which of two fields of one name they take, and some take `"MODEL"` for
//! `"model"`. Names further inside decide neither which model answers nor what it is asked, and are not looked at.

use std::borrow::Cow;
use std::collections::HashSet;

use super::BadRequest;
use crate::words::names::Shown;

/// Fields that decide the model and the request: in another spelling they are a field of another server.
const DECIDE: &[&str] = &[
    "contents",
    "input",
    "instructions",
    "max_completion_tokens",
    "max_output_tokens",
    "max_tokens",
    "messages",
    "model",
    "n",
    "prompt",
    "stream",
    "system",
    "tool_choice",
    "tools",
];

/// Up to this number of names are compared one by one.
const FEW: usize = 16;

/// Refuses a name that is there twice, or another spelling of a deciding field.
pub(super) fn check<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), BadRequest> {
    let (mut few, mut many) = (Vec::with_capacity(FEW), HashSet::new());
    for name in names {
        let plain = folded(name);
        if plain != name && DECIDE.contains(&&*plain) {
            return Err(BadRequest::new(&plain, format!("is written otherwise; it must be `{plain}`")));
        }
        let is_new = if few.contains(&plain) {
            false
        } else if few.len() < FEW {
            few.push(plain);
            true
        } else {
            many.insert(plain)
        };
        if !is_new {
            return Err(BadRequest::new(&Shown(name).to_string(), "is there twice, capitals ignored; send it once"));
        }
    }
    Ok(())
}

/// Returns a name as readers see it that know no case: they know a long s and the sign of Kelvin, too.
fn folded(name: &str) -> Cow<'_, str> {
    if name.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        return name.into();
    }
    name.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_there_twice_or_is_written_otherwise_is_refused() {
        for (names, wrong) in [
            (&["model", "messages", "stream", "toolChoice", "tool_choice"][..], None),
            (&["contents", "systemInstruction", "generationConfig", "safetySettings"], None),
            (&["messages", "model", "messages"], Some("messages")),
            (&["model", "MODEL"], Some("model")),
            (&["Messages"], Some("messages")),
            (&["me\u{17f}\u{17f}ages"], Some("messages")),
            (&["model", "providerOptions"], None),
            (&["a", "A"], Some("A")),
            (&["x", "y", "x"], Some("x")),
        ] {
            let field = check(names.iter().copied()).err().map(|bad| bad.field);
            assert_eq!(field.as_deref(), wrong, "{names:?}");
        }
    }

    #[test]
    fn deciding_names_are_in_order_and_as_readers_see_them() {
        assert!(DECIDE.is_sorted() && DECIDE.iter().all(|name| folded(name) == *name));
    }
}

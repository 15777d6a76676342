//! Corrects tool calls in answers that pass unchanged, where clients could not tell the calls apart: under one index,
//! without index or id, with an id and a name in every fragment, with arguments that are no text.
//!
//! Input: a chunk, and the changes that its calls need. Output: the changed chunk. All else stays as it is.

use crate::wire::edit::{Array, Edits, Object, find, quoted};

/// The changes that a fragment of a call needs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct CallPatch {
    /// The index that it must have.
    pub(super) index: Option<u64>,
    /// The id that it must have.
    pub(super) id: Option<String>,
    /// It repeats the id and the name.
    pub(super) again: bool,
    /// It is no entry of a list.
    pub(super) alone: bool,
    /// The arguments that are there as an object.
    pub(super) arguments: Option<String>,
}

/// Returns a chunk with the calls of a choice mended, one after another; `None` where they are not found.
pub(super) fn repaired(text: &str, whole: bool, place: usize, repairs: &[CallPatch]) -> Option<String> {
    let mut edits = Edits::new(text);
    let choice = Array::of(find(text, &["choices"])?)?.items().nth(place)?;
    let order = if whole { ["message", "delta"] } else { ["delta", "message"] };
    let calls = order.iter().find_map(|field| find(choice, &[field, "tool_calls"]))?;
    let list =
        if repairs.iter().any(|repair| repair.alone) { vec![calls] } else { Array::of(calls)?.items().collect() };
    for (call, repair) in list.into_iter().zip(repairs) {
        let mut object = Object::of(call)?;
        if let Some(index) = repair.index {
            object.set("index", index.to_string(), &mut edits);
        }
        if let Some(id) = &repair.id {
            object.set("id", quoted(id), &mut edits);
        }
        if let Some(mut function) = object.get("function").and_then(Object::of) {
            if repair.again {
                object.remove("id");
                function.remove("name");
            }
            if let Some(arguments) = &repair.arguments {
                function.set("arguments", quoted(arguments), &mut edits);
            }
            function.finish(&mut edits);
        }
        if repair.alone {
            edits.replace(&call[..0], "[");
            edits.replace(&call[call.len()..], "]");
        }
        object.finish(&mut edits);
    }
    Some(edits.finish().into_owned())
}

/// Returns a chunk whose choice has its message as a delta.
pub(super) fn called_delta(chunk: &str, place: usize) -> Option<String> {
    let choice = Array::of(find(chunk, &["choices"])?)?.items().nth(place)?;
    let (mut choice, mut edits) = (Object::of(choice)?, Edits::new(chunk));
    choice.remove("delta");
    choice.rename("message", "delta", &mut edits);
    choice.finish(&mut edits);
    Some(edits.finish().into_owned())
}

/// Returns a chunk whose choice says this text as a delta: clients of streams read no messages.
pub(super) fn as_delta(chunk: &str, place: usize, text: &str) -> Option<String> {
    let choice = Array::of(find(chunk, &["choices"])?)?.items().nth(place)?;
    let (mut choice, mut edits) = (Object::of(choice)?, Edits::new(chunk));
    choice.set("delta", format!("{{\"content\":{}}}", quoted(text)), &mut edits);
    choice.finish(&mut edits);
    Some(edits.finish().into_owned())
}

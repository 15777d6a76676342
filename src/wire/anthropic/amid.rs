//! Moves what the system says amid a conversation into the user's turns, for servers and models of this dialect that
//! know user and assistant only.
//!
//! Input: the messages of a request as it came. Output: edits. A text goes, within `<system>`, into the user's turn
//! before it or else behind it, so that no turn is added where there is one; at the top of the prompt it would change
//! that from its beginning, and lose its cache. Its cache mark goes with it.

use super::edit::without_scope;
use crate::wire::edit::{Array, Edits, find, quoted, text};
use crate::wire::request::Notes;

/// Moves them; `scopes` tells whether the scope of a cache mark is left out.
pub(super) fn moved<'m>(
    messages: &mut Array<'m>,
    all: &[&'m str],
    scopes: bool,
    edits: &mut Edits<'m>,
    notes: &mut Notes,
) {
    let is = |message: &&str, role: &str| find(message, &["role"]).and_then(text).is_some_and(|said| said == role);
    let mut at = 0;
    while at < all.len() {
        let run = all[at..].iter().take_while(|message| is(message, "system")).count();
        let (first, next) = (at, at + run);
        at = next.max(at + 1);
        if run == 0 {
            continue;
        }
        let blocks: Vec<String> = all[first..next].iter().flat_map(|message| blocks(message, scopes)).collect();
        let mut left = first..next;
        if blocks.is_empty() {
            notes.dropped("messages.system");
            left.for_each(|at| messages.remove(at));
            continue;
        }
        notes.converted("messages.system");
        let blocks = blocks.join(",");
        let before = first.checked_sub(1).map(|at| all[at]).filter(|message| is(message, "user"));
        let behind = all.get(next).copied().filter(|message| is(message, "user"));
        let placed = match (before, behind) {
            (Some(before), _) => joined(before, &blocks, false, edits),
            (None, Some(behind)) => joined(behind, &blocks, !answers(behind), edits),
            (None, None) => None,
        };
        if placed.is_none() {
            // It stands alone, as a turn of the user's.
            edits.replace(all[first], format!(r#"{{"role":"user","content":[{blocks}]}}"#));
            left.start += 1;
        }
        left.for_each(|at| messages.remove(at));
    }
}

/// Returns what a message of the system says, as blocks of a user.
fn blocks(message: &str, scopes: bool) -> Vec<String> {
    let Some(content) = find(message, &["content"]) else { return Vec::new() };
    let wrapped = |said: &str| quoted(&format!("<system>\n{said}\n</system>"));
    if let Some(said) = text(content) {
        let block = format!(r#"{{"type":"text","text":{}}}"#, wrapped(&said));
        return if said.trim().is_empty() { Vec::new() } else { vec![block] };
    }
    let told = |block| {
        let value = find(block, &["text"])?;
        let said = text(value).filter(|said| !said.trim().is_empty())?;
        let mut edits = Edits::new(block);
        edits.replace(value, wrapped(&said));
        if scopes {
            without_scope(block, &mut edits);
        }
        Some(edits.finish().into_owned())
    };
    Array::of(content).iter().flat_map(Array::items).filter_map(told).collect()
}

/// Tells whether a message begins with the result of a tool, which must stand first.
fn answers(message: &str) -> bool {
    let first = find(message, &["content"]).and_then(Array::of).and_then(|blocks| blocks.items().next());
    first.and_then(|block| find(block, &["type"]).and_then(text)).is_some_and(|kind| kind == "tool_result")
}

/// Puts blocks into a message, before all that it says or behind it; `None` where it has no content.
fn joined<'m>(message: &'m str, blocks: &str, first: bool, edits: &mut Edits<'m>) -> Option<()> {
    let content = find(message, &["content"])?;
    if let Some(said) = text(content) {
        let own = format!(r#"{{"type":"text","text":{content}}}"#);
        let joined = match said.trim() {
            "" => blocks.to_owned(),
            _ if first => format!("{blocks},{own}"),
            _ => format!("{own},{blocks}"),
        };
        edits.replace(content, format!("[{joined}]"));
        return Some(());
    }
    let is_empty = Array::of(content)?.items().len() == 0;
    let place = if first { 1 } else { content.len() - 1 };
    let joined = match (is_empty, first) {
        (true, _) => blocks.to_owned(),
        (false, true) => format!("{blocks},"),
        (false, false) => format!(",{blocks}"),
    };
    edits.replace(&content[place..place], joined);
    Some(())
}

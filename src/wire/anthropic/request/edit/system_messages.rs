//! Moves what the system says within a conversation into the user's turns, for servers and models of this dialect that
//! know user and assistant only.
//!
//! Input: the messages of a request as it came. Output: edits. A text goes, within `<system>`, into the user's turn
//! before it or else behind it, so that no turn is added where there is one; at the top of the prompt it would change
//! that from its beginning, and lose its cache. Its cache mark goes with it.

use std::collections::BTreeMap;

use super::without_scope;
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
    let is_users = |at: &usize| all.get(*at).is_some_and(|it| is(it, "user") && find(it, &["content"]).is_some());
    // What goes before all that a message says, and what goes behind it.
    let mut places: BTreeMap<usize, [Vec<String>; 2]> = BTreeMap::new();
    let mut at = 0;
    while at < all.len() {
        let run = all[at..].iter().take_while(|message| is(message, "system")).count();
        let (first, next) = (at, at + run);
        at = next.max(at + 1);
        let mut left = first..next;
        let blocks: Vec<String> = all[first..next].iter().flat_map(|message| blocks(message, scopes)).collect();
        if run > 0 && blocks.is_empty() {
            notes.dropped("messages.system");
        } else if run > 0 {
            notes.converted("messages.system");
            if let Some(before) = first.checked_sub(1).filter(is_users) {
                places.entry(before).or_default()[1].extend(blocks);
            } else if is_users(&next) {
                places.entry(next).or_default()[usize::from(answers(all[next]))].extend(blocks);
            } else {
                // It stands alone, as a turn of the user's.
                edits.replace(all[first], format!(r#"{{"role":"user","content":[{}]}}"#, blocks.join(",")));
                left.start += 1;
            }
        }
        left.for_each(|at| messages.remove(at));
    }
    for (at, [before, behind]) in places {
        join(all[at], &before, &behind, edits);
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

/// Puts blocks into a message, before all that it says and behind it.
fn join<'m>(message: &'m str, before: &[String], behind: &[String], edits: &mut Edits<'m>) {
    let Some(content) = find(message, &["content"]) else { return };
    let joined = |own: Option<String>| {
        let all: Vec<&str> = before.iter().chain(own.as_ref()).chain(behind).map(String::as_str).collect();
        format!("[{}]", all.join(","))
    };
    if let Some(said) = text(content) {
        let own = format!(r#"{{"type":"text","text":{content}}}"#);
        edits.replace(content, joined(Some(own).filter(|_| !said.trim().is_empty())));
    } else if Array::of(content).is_none_or(|blocks| blocks.items().len() == 0) {
        edits.replace(content, joined(None));
    } else {
        let end = content.len() - 1;
        edits.replace(&content[1..1], before.iter().flat_map(|block| [block.as_str(), ","]).collect::<String>());
        edits.replace(&content[end..end], behind.iter().flat_map(|block| [",", block.as_str()]).collect::<String>());
    }
}

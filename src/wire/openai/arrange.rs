//! Brings messages that came in this dialect into an order that the target takes: the system's words go before all
//! others in one message, and neighbours of one role become one, where that is wanted.
//!
//! Input: the items of a list as they came. Output: a list of the same items. Everything else stays byte for byte: a
//! message that moves keeps all that it holds, and of two that are joined the first keeps its own.

use std::borrow::Cow;

use crate::wire::edit::{Array, Edits, Object, quoted, text};
use crate::wire::flavour::Flavour;
use crate::wire::request::Notes;
use crate::words::{ChatRequest, Message};

/// Tells whether a request's messages come in an order that the target does not take, with an instruction of our own or
/// without one.
pub(super) fn is_due(flavour: &Flavour, request: &ChatRequest, instructed: bool) -> bool {
    let leads = |message: &&Message| flavour.system_first && matches!(message, Message::System(_));
    let late = request.messages.iter().skip(usize::from(!instructed)).any(|message| leads(&message));
    let others: Vec<&Message> = request.messages.iter().filter(|message| !leads(message)).collect();
    let is_alike = |pair: &[&Message]| {
        matches!(pair, [Message::User(_), Message::User(_)] | [Message::Assistant(_), Message::Assistant(_)])
    };
    late || (flavour.alternates && others.windows(2).any(is_alike))
}

/// Returns a list of the items in the order that the target takes, with an instruction of our own.
pub(super) fn arranged(flavour: &Flavour, items: &[&str], instruction: Option<&str>, notes: &mut Notes) -> String {
    let mut lead: Option<Cow<'_, str>> = None;
    let mut rest: Vec<(Cow<'_, str>, Cow<'_, str>)> = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let role = Object::of(item).and_then(|item| item.text("role")).unwrap_or_default();
        if flavour.system_first && matches!(&*role, "system" | "developer") {
            if at > 0 {
                notes.converted("messages.system");
            }
            lead = Some(lead.map_or(Cow::Borrowed(*item), |lead| joined(&lead, item, "\n\n").into()));
            continue;
        }
        match rest.last_mut() {
            Some((before, last)) if flavour.alternates && *before == role && matches!(&*role, "user" | "assistant") => {
                notes.converted("messages");
                *last = joined(last, item, "").into();
            }
            _ => rest.push((role, Cow::Borrowed(item))),
        }
    }
    let instruction = instruction.map(|text| format!(r#"{{"role":"system","content":{}}}"#, quoted(text)));
    let lead = match (lead, instruction) {
        (Some(lead), Some(instruction)) => Some(joined(&lead, &instruction, "\n\n").into()),
        (lead, instruction) => lead.or(instruction.map(Cow::Owned)),
    };
    let items: Vec<Cow<'_, str>> = lead.into_iter().chain(rest.into_iter().map(|(_, item)| item)).collect();
    format!("[{}]", items.join(","))
}

/// Joins two messages into one, with all other fields of both; the first one's, where both have a field. Two texts are
/// one with `between` them, or two parts where that is empty and the speaker is not the assistant.
fn joined(first: &str, second: &str, between: &str) -> String {
    let (Some(mut message), Some(more)) = (Object::of(first), Object::of(second)) else { return first.to_owned() };
    let mut edits = Edits::new(first);
    let is_text = |object: &Object<'_>| object.get("content").and_then(text).is_some();
    let one_text = !between.is_empty() || message.text("role").is_some_and(|role| role == "assistant");
    for member in more.members().iter().filter(|member| member.value != "null") {
        let ours = message.get(&member.name).filter(|ours| *ours != "null");
        let both = match (&*member.name, ours) {
            ("content", Some(ours)) if one_text && is_text(&message) && is_text(&more) => {
                let texts = [ours, member.value].map(|said| text(said).unwrap_or_default());
                Some(quoted(&texts.join(between)))
            }
            ("content", Some(ours)) => Some(format!("[{}]", [ours, member.value].map(parts).concat().join(","))),
            ("tool_calls", Some(ours)) => Some(format!("[{}]", [ours, member.value].map(items).concat().join(","))),
            (_, Some(_)) => None,
            (_, None) => Some(member.value.to_owned()),
        };
        if let Some(both) = both {
            message.set(&member.name, both, &mut edits);
        }
    }
    message.finish(&mut edits);
    edits.finish().into_owned()
}

/// Returns the content as a list of parts.
fn parts(content: &str) -> Vec<String> {
    match text(content) {
        Some(_) => vec![format!(r#"{{"type":"text","text":{content}}}"#)],
        None => items(content),
    }
}

fn items(list: &str) -> Vec<String> {
    Array::of(list).iter().flat_map(Array::items).map(str::to_owned).collect()
}

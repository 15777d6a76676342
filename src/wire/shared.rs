//! Fields of a request that both dialects of OpenAI have, carried from one to the other.
//!
//! Input: the fields of a caller that the common form cannot express. Output: those that a target's dialect has in the
//! same words, at a provider that is known to have them. No other provider gets any.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::json;

use super::edit::{Edits, Object};
use super::flavour::Flavour;
use super::request::{Notes, extra};
use crate::words::{ChatRequest, Dialect, Json};

/// Fields that both dialects of OpenAI have, by their names in chat completions and in responses, and the field whose
/// row says which providers have them.
const SHARED: [(&str, &str, &str); 9] = [
    ("metadata", "metadata", "metadata"),
    ("moderation", "moderation", "moderation"),
    ("prompt_cache_key", "prompt_cache_key", "prompt_cache_key"),
    ("prompt_cache_options", "prompt_cache_options", "prompt_cache_options"),
    ("prompt_cache_retention", "prompt_cache_retention", "prompt_cache_retention"),
    ("safety_identifier", "safety_identifier", "safety_identifier"),
    ("service_tier", "service_tier", "service_tier"),
    ("user", "user", "safety_identifier"),
    ("verbosity", "text.verbosity", "verbosity"),
];

/// Returns the caller's own fields for a target of one of OpenAI's dialects: where they are of the other, those that
/// both have, at a provider that is known to have them. Fields that are left out are noted.
pub(super) fn extra_of<'a>(
    dialect: Dialect,
    flavour: &Flavour,
    request: &'a ChatRequest,
    notes: &mut Notes,
) -> Option<Cow<'a, BTreeMap<String, Json>>> {
    let others = match dialect {
        Dialect::OpenAiChat => Dialect::OpenAiResponses,
        _ => Dialect::OpenAiChat,
    };
    if request.extra_dialect != Some(others) {
        return extra(dialect, request, notes).map(Cow::Borrowed);
    }
    let (mut rest, mut shared) = (request.extra.clone(), BTreeMap::new());
    for (chat, responses, _) in SHARED.into_iter().filter(|(_, _, row)| flavour.owns(row)) {
        let (theirs, ours) = if others == Dialect::OpenAiChat { (chat, responses) } else { (responses, chat) };
        if let Some(value) = taken(&mut rest, theirs) {
            let (name, value) = match ours.split_once('.') {
                Some((outer, inner)) => (outer, json!({inner: value.value()}).into()),
                None => (ours, value),
            };
            shared.insert(name.to_owned(), value);
        }
    }
    notes.dropped_extra(rest.keys().map(String::as_str));
    Some(shared).filter(|shared| !shared.is_empty()).map(Cow::Owned)
}

/// Takes a field, which may be within another; that one is removed, too, where it is then empty.
fn taken(fields: &mut BTreeMap<String, Json>, path: &str) -> Option<Json> {
    let Some((outer, inner)) = path.split_once('.') else { return fields.remove(path) };
    let whole = fields.get(outer)?.clone();
    let mut object = Object::of(whole.as_str())?;
    let value = whole.part(object.get(inner)?);
    if object.members().iter().all(|member| member.name == inner) {
        fields.remove(outer);
    } else {
        let mut edits = Edits::new(whole.as_str());
        object.remove(inner);
        object.finish(&mut edits);
        fields.insert(outer.to_owned(), Json::of(edits.finish().into()));
    }
    Some(value)
}

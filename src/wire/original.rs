//! Requests that go out as they came.
//!
//! In flow a request and what its encoder found, out flows the caller's own body, if it may go to the target: at most the
//! model's name is another, and a field stands before all others. Nothing is parsed here, and where nothing changes
//! nothing is copied.

use std::ops::Range;

use bytes::Bytes;
use memchr::memchr;

use super::Model;
use super::request::Notes;
use crate::words::{ChatRequest, Dialect, Original, without_path};

/// Returns the request as it came, if it came in this dialect, asks for what is to be asked for, and has nothing that must
/// change for the model. How hard to think is said in words that differ from model to model: only who asked for this very
/// model can have meant it.
pub(super) fn find<'a>(
    request: &'a ChatRequest,
    dialect: Dialect,
    model: Model<'_>,
    streaming: bool,
    notes: &Notes,
) -> Option<&'a Original> {
    let original = request.original.as_ref()?;
    let fits = dialect.shares_fields(original.dialect) && original.stream == streaming && notes.0.is_empty();
    let is_meant = || {
        let asked = original.model().unwrap_or(&request.route);
        let asked = without_path(asked);
        asked == without_path(model.name) || asked == model.family
    };
    (fits && (request.effort.is_none() || is_meant())).then_some(original)
}

/// Returns the body for a model, with a field (its JSON, and a comma) before all others.
pub(super) fn body(original: &Original, model: &str, field: &str) -> Bytes {
    let Original { body, ours, .. } = original;
    let name = serde_json::Value::from(model).to_string();
    let rename = original.model.clone().filter(|_| original.model() != Some(model));
    if rename.is_none() && ours.is_empty() && field.is_empty() {
        return body.clone();
    }
    let begin = memchr(b'{', body).map_or(0, |brace| brace + 1);
    let mut edits: Vec<(Range<usize>, &str)> = ours.iter().map(|range| (range.clone(), "")).collect();
    edits.extend(rename.map(|range| (range, &name[1..name.len() - 1])));
    edits.push((begin..begin, field));
    edits.sort_by_key(|(range, _)| range.start);
    let mut out = Vec::with_capacity(body.len() + field.len() + name.len());
    let mut at = 0;
    for (range, text) in edits {
        out.extend_from_slice(&body[at..range.start]);
        out.extend_from_slice(text.as_bytes());
        at = range.end;
    }
    out.extend_from_slice(&body[at..]);
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn original(body: &'static str) -> Original {
        let model = body.find("mine").map(|at| at..at + "mine".len());
        let (stream_usage, tokens_field) = (None, None);
        let ours = body.match_indices("ours:").map(|(at, ours)| at..at + ours.len()).collect();
        let body = Bytes::from_static(body.as_bytes());
        Original { dialect: Dialect::OpenAiChat, body, model, ours, stream: false, stream_usage, tokens_field }
    }

    #[test]
    fn the_models_name_changes_what_is_ours_goes_and_nothing_else() {
        let body = |body: &'static str, model, field| {
            String::from_utf8(super::body(&original(body), model, field).to_vec()).expect("text")
        };
        let request = r#" {"a": [1.0, "é"], "model" : "mine","b":{}}"#;
        for (given, model, field, expected) in [
            (request, "mine", "", request),
            (request, "theirs/\"x\"", "", r#" {"a": [1.0, "é"], "model" : "theirs/\"x\"","b":{}}"#),
            (request, "x", r#""s":1,"#, r#" {"s":1,"a": [1.0, "é"], "model" : "x","b":{}}"#),
            (request, "mine", r#""s":1,"#, r#" {"s":1,"a": [1.0, "é"], "model" : "mine","b":{}}"#),
            (r#"{"contents":[]}"#, "x", "", r#"{"contents":[]}"#),
            (r#"{"a":"ours:1","model":"mine","b":"ours:2"}"#, "x", "", r#"{"a":"1","model":"x","b":"2"}"#),
            (r#"{"a":"ours:1","model":"mine"}"#, "mine", r#""s":1,"#, r#"{"s":1,"a":"1","model":"mine"}"#),
        ] {
            assert_eq!(body(given, model, field), expected);
        }
    }

    #[test]
    fn what_does_not_change_is_not_copied() {
        let original = original(r#"{"model":"mine"}"#);
        assert_eq!(body(&original, "mine", "").as_ptr(), original.body.as_ptr());
    }
}

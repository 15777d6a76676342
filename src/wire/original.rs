//! Requests that go out as they came.
//!
//! In flow a request and what its encoder found, out flows the caller's own body, if it may go to the target: at most the
//! model's name is another, and a field stands before all others. Nothing is parsed here, and where nothing changes
//! nothing is copied.

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
    let Original { body, model: at, .. } = original;
    let at = at.clone().filter(|_| original.model() != Some(model)).unwrap_or(0..0);
    if at.is_empty() && field.is_empty() {
        return body.clone();
    }
    let begin = memchr(b'{', body).map_or(0, |brace| brace + 1);
    let name = serde_json::Value::from(if at.is_empty() { "" } else { model }).to_string();
    let name = &name[1..name.len() - 1];
    let (before, after) = if at.is_empty() { (begin..begin, begin) } else { (begin..at.start, at.end) };
    let mut out = Vec::with_capacity(body.len() + field.len() + name.len());
    out.extend_from_slice(&body[..begin]);
    out.extend_from_slice(field.as_bytes());
    out.extend_from_slice(&body[before]);
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(&body[after..]);
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn original(body: &'static str) -> Original {
        let model = body.find("mine").map(|at| at..at + "mine".len());
        let (stream_usage, tokens_field) = (None, None);
        let body = Bytes::from_static(body.as_bytes());
        Original { dialect: Dialect::OpenAiChat, body, model, stream: false, stream_usage, tokens_field }
    }

    #[test]
    fn the_models_name_changes_and_nothing_else() {
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

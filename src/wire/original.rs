//! Requests that go out as they came, except what the target needs otherwise.
//!
//! Input: a caller's own body and what the encoder of its dialect found: which settings the target takes, and what it
//! calls them. Output: the body, edited at these places; everything else stays byte for byte, also what the common form
//! cannot express. If only the model's name changes, only that is edited.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

use super::body_builder::spliced;
use super::edit::{Edits, Object, find, quoted};
use super::model::Model;
use super::request::Notes;
use crate::words::{ChatRequest, CommitPolicy, Dialect, Original, Payload, without_path};

/// The prefix of a billing text that clients put into the prompt for Anthropic. It changes with every request.
pub(super) const INVOICE: &str = "x-anthropic-billing-header:";

/// How servers of chat completions flag a message that is to be continued: DeepSeek and Mistral, Qwen and Kimi.
pub(super) const BEGUN: [&str; 2] = ["prefix", "partial"];

/// A setting: its name in notes, and the fields that hold it, of which one may be within another (`a.b`).
pub(super) struct Setting(pub(super) &'static str, pub(super) &'static [&'static str]);

/// Returns the request as it came, if it came in this dialect.
pub(super) fn of(request: &ChatRequest, dialect: Dialect) -> Option<&Original> {
    request.original.as_ref().filter(|original| dialect.shares_fields(original.dialect))
}

/// Tells whether two requests ask for the same work. How it is to be done does not count: whole or as a stream, live or
/// buffered, by when, how urgently, by which strategy, in which session, under which tags; nor how the JSON of a body
/// is spaced and ordered. An answer that may be taken back is no answer for who cannot take it back.
pub fn asks_the_same(one: &ChatRequest, other: &ChatRequest) -> bool {
    let is_of = |other: &ChatRequest| {
        let ChatRequest { route, labels, key, client, commit, extra_headers, extra_dialect, model_as, .. } = one;
        *route == other.route
            && *labels == other.labels
            && (key, client) == (&other.key, &other.client)
            && (*commit == CommitPolicy::Reset) == (other.commit == CommitPolicy::Reset)
            && *extra_headers == other.extra_headers
            && (extra_dialect, model_as) == (&other.extra_dialect, &other.model_as)
    };
    match (&one.original, &other.original) {
        // All else was read from the body.
        (Some(own), Some(its)) => {
            let is_alike = || work_of(own).is_some_and(|body| Some(body) == work_of(its));
            (own.dialect, own.method) == (its.dialect, its.method)
                && is_of(other)
                && (own.body == its.body || is_alike())
        }
        (None, None) => is_of(other) && (one == other || bare(one) == bare(other)),
        _ => false,
    }
}

/// Returns a request without what says how it is to be done.
fn bare(request: &ChatRequest) -> ChatRequest {
    let mut request = request.clone();
    (request.priority, request.rule, request.hedging) = Default::default();
    (request.deadline, request.on_exhausted, request.durable) = Default::default();
    (request.session, request.tags, request.via) = Default::default();
    request.commit = CommitPolicy::default();
    request
}

/// Returns what a body asks for, without the form of its answer and the options that are read here.
fn work_of(original: &Original) -> Option<serde_json::Map<String, serde_json::Value>> {
    let mut body: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&original.body).ok()?;
    for field in ["stream", "stream_options"] {
        body.remove(field);
    }
    if let Some(serde_json::Value::Object(metadata)) = body.get_mut("metadata") {
        metadata.retain(|name, _| !name.starts_with("x-standin-"));
        if metadata.is_empty() {
            body.remove("metadata");
        }
    }
    Some(body)
}

/// Tells whether a caller asks for this very model in its own words: by its name or by that of a route that has no
/// other, in this dialect or one whose words are the same. A caller that asks in another dialect knows the model, but
/// not the names of its efforts here.
pub(super) fn is_meant(request: &ChatRequest, dialect: Dialect, model: Model<'_>) -> bool {
    let is_openai = |dialect| matches!(dialect, Dialect::OpenAiChat | Dialect::OpenAiResponses);
    let Some(original) = &request.original else { return false };
    let theirs = original.dialect;
    if !(dialect.shares_fields(theirs) || (is_openai(dialect) && is_openai(theirs))) {
        return false;
    }
    let asked = without_path(original.model().unwrap_or(&request.route));
    model.meant || asked == without_path(model.name) || asked == model.family
}

/// A body that is being edited.
pub(super) struct Draft<'a> {
    pub(super) object: Object<'a>,
    pub(super) edits: Edits<'a>,
    body: &'a Bytes,
    /// Objects within it some of whose fields change, by their names.
    inner: Vec<(String, Inner<'a>)>,
}

enum Inner<'a> {
    There(Object<'a>),
    /// Fields of an object that the body did not have.
    New(Vec<String>),
}

impl<'a> Draft<'a> {
    /// Begins with a body as it came; `None` where it is not UTF-8, which no reader lets through.
    pub(super) fn of(original: &'a Original) -> Option<Self> {
        let text = std::str::from_utf8(&original.body).ok()?;
        Some(Self { object: Object::of(text)?, edits: Edits::new(text), body: &original.body, inner: Vec::new() })
    }

    /// Sets a field, also one within another.
    pub(super) fn set(&mut self, field: &str, json: impl Into<Cow<'a, str>>) {
        let json = json.into();
        let Some((outer, name)) = field.split_once('.') else {
            return self.object.set(field, json, &mut self.edits);
        };
        match self.within(outer) {
            (Inner::There(object), edits) => object.set(name, json, edits),
            (Inner::New(fields), _) => fields.push(format!("{}:{json}", quoted(name))),
        }
    }

    /// Removes a field, also one within another.
    pub(super) fn remove(&mut self, field: &str) {
        let Some((outer, name)) = field.split_once('.') else {
            self.object.remove(field);
            return;
        };
        if let (Inner::There(object), _) = self.within(outer) {
            object.remove(name);
        }
    }

    /// Removes fields that the target does not take, and notes it.
    pub(super) fn drop_refused(&mut self, fields: &[&str], notes: &mut Notes) {
        for field in fields {
            notes.dropped_extra([*field]);
            self.remove(field);
        }
    }

    /// Returns an object within it.
    fn within(&mut self, outer: &str) -> (&mut Inner<'a>, &mut Edits<'a>) {
        let at = self.inner.iter().position(|(name, _)| name == outer).unwrap_or_else(|| {
            let object = self.object.get(outer).and_then(Object::of);
            self.inner.push((outer.to_owned(), object.map_or(Inner::New(Vec::new()), Inner::There)));
            self.inner.len() - 1
        });
        (&mut self.inner[at].1, &mut self.edits)
    }

    /// Writes settings as the target takes them; `ours` is an object with those that it takes.
    pub(super) fn settle(&mut self, settings: &[&Setting], ours: &str) {
        for field in settings.iter().flat_map(|Setting(_, fields)| *fields) {
            let path: Vec<&str> = field.split('.').collect();
            match find(ours, &path) {
                Some(json) => self.set(field, json.to_owned()),
                None => self.remove(field),
            }
        }
    }

    /// Returns the body.
    pub(super) fn finish(mut self) -> Payload {
        for (name, inner) in std::mem::take(&mut self.inner) {
            match inner {
                Inner::There(object) => object.finish(&mut self.edits),
                Inner::New(fields) if fields.is_empty() => {}
                Inner::New(fields) => {
                    self.object.set(&name, format!("{{{}}}", fields.join(",")), &mut self.edits);
                }
            }
        }
        self.object.finish(&mut self.edits);
        self.edits.finish_in(self.body)
    }
}

/// Returns the fields that the target does not take.
pub(super) fn refused(original: &Original, takes: impl Fn(&str) -> bool) -> Vec<&str> {
    let names = original.fields.iter().chain(&original.nulls).map(|field| &**field);
    names.filter(|field| !takes(field)).collect()
}

/// Returns the settings that must be written differently: those that notes name, and those that are in another field.
pub(super) fn differing<'s>(
    original: &Original,
    settings: &'s [Setting],
    ours: &str,
    notes: &Notes,
) -> Vec<&'s Setting> {
    let said = Object::of(ours);
    let is_ours = |field: &str| said.as_ref().is_some_and(|said| said.get(field).is_some());
    let moved = |fields: &[&str]| {
        let plain = || fields.iter().filter(|field| !field.contains('.'));
        plain().any(|field| is_ours(field)) && plain().any(|field| is_ours(field) != original.has(field))
    };
    settings.iter().filter(|Setting(what, fields)| notes.tells(what) || moved(fields)).collect()
}

/// Returns the body with another name of the model as the only change.
pub(super) fn renamed(original: &Original, model: &str) -> Option<Payload> {
    let Original { body, model: place, .. } = original;
    if original.model() == Some(model) {
        return Some(body.clone().into());
    }
    let place = place.clone()?;
    let name = quoted(model);
    Some(spliced(body, [(place, &name.as_bytes()[1..name.len() - 1])]))
}

/// Puts another body in the place of one that came.
pub(super) fn replace(original: &mut Original, body: Bytes) {
    // The name may be at another place now.
    let name = std::str::from_utf8(&body).ok().and_then(|text| find(text, &["model"]));
    original.model = original.model.take().and(name.map(|name| place(&body, &name[1..name.len() - 1])));
    original.body = body;
}

/// Returns a text's place in the body that it is a part of.
pub(super) fn place(body: &Bytes, text: &str) -> Range<usize> {
    let start = text.as_ptr().addr() - body.as_ptr().addr();
    start..start + text.len()
}

/// Returns a text without its billing text for Anthropic; `None` where nothing is left of it.
pub(super) fn without_invoice(text: &str) -> Option<&str> {
    if !text.starts_with(INVOICE) {
        return Some(text);
    }
    let rest = text.split_once('\n').map_or("", |(_, rest)| rest).trim_start_matches('\n');
    (!rest.trim().is_empty()).then_some(rest)
}

/// Returns a body as it came, for tests: its model is `mine`.
#[cfg(test)]
pub(super) fn of_body(dialect: Dialect, body: &str) -> Original {
    let model = body.find("mine").map(|at| at..at + "mine".len());
    let object = Object::of(body).expect("an object");
    let fields = object.members().iter().map(|member| member.name.to_string()).collect();
    let body = Bytes::copy_from_slice(body.as_bytes());
    let (stream, stream_usage, left_out, nulls, marks) =
        (false, None, Vec::new(), Vec::new(), crate::words::Marks::default());
    let (lost, unread, method) = (Vec::new(), Vec::new(), "");
    Original { dialect, body, model, fields, nulls, stream, stream_usage, left_out, marks, lost, unread, method }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn original(body: &'static str) -> Original {
        of_body(Dialect::OpenAiChat, body)
    }

    #[test]
    fn the_models_name_changes_and_nothing_else() {
        let body = |body: &'static str, model| {
            String::from_utf8(renamed(&original(body), model).expect("a place").whole().to_vec()).expect("text")
        };
        let request = r#" {"a": [1.0, "é"], "model" : "mine","b":{}}"#;
        assert_eq!(body(request, "mine"), request);
        assert_eq!(body(request, "theirs/\"x\""), r#" {"a": [1.0, "é"], "model" : "theirs/\"x\"","b":{}}"#);
        let original = original(request);
        assert_eq!(
            renamed(&original, "mine").expect("a body").whole().as_ptr(),
            original.body.as_ptr(),
            "nothing is copied"
        );
    }

    #[test]
    fn settings_are_said_as_the_target_takes_them_and_all_else_stays() {
        const SETTINGS: &[Setting] =
            &[Setting("limit", &["limit", "max"]), Setting("heat", &["heat"]), Setting("effort", &["think.effort"])];
        let body = r#"{"x" :1,"max":9,"heat":1,"think":{"effort":"a","y": 2},"model":"mine"}"#;
        let original = original(body);
        let settled = |ours: &str, noted: &[&'static str]| {
            let mut notes = Notes::default();
            for what in noted {
                notes.converted(what);
            }
            let differing = differing(&original, SETTINGS, ours, &notes);
            let mut draft = Draft::of(&original).expect("an object");
            draft.settle(&differing, ours);
            String::from_utf8(draft.finish().whole().to_vec()).expect("text")
        };
        assert_eq!(settled(r#"{"max":9,"heat":2}"#, &[]), body);
        assert_eq!(settled(r#"{"limit":9}"#, &[]), body.replace(r#""max":9,"#, "").replacen('{', r#"{"limit":9,"#, 1));
        assert_eq!(settled(r#"{"max":9,"heat":2}"#, &["heat"]), body.replace(r#""heat":1"#, r#""heat":2"#));
        assert_eq!(settled(r#"{"max":9}"#, &["heat"]), body.replace(r#""heat":1,"#, ""));
        let effort = settled(r#"{"max":9,"think":{"effort":"b"}}"#, &["effort"]);
        assert_eq!(effort, body.replace(r#""a""#, r#""b""#));
        assert_eq!(settled(r#"{"max":9}"#, &["effort"]), body.replace(r#""effort":"a","#, ""));
    }

    #[test]
    fn the_billing_text_for_anthropic_is_one_line() {
        for (text, rest) in [
            ("You are an agent.", Some("You are an agent.")),
            ("x-anthropic-billing-header: cc_version=2; cch=7;", None),
            ("x-anthropic-billing-header: cch=7;\n\nYou are an agent.", Some("You are an agent.")),
            ("Of x-anthropic-billing-header: nothing", Some("Of x-anthropic-billing-header: nothing")),
        ] {
            assert_eq!(without_invoice(text), rest);
        }
    }
}

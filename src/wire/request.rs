//! Tools for requests of all dialects: checks, notes, and writing the common form as JSON.
//!
//! Bodies are written straight from the caller's words: agents send the same 200 kB to 2 MB again and again, so no tree
//! of values is built in between, and what is in the caller's own body is not copied.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::{fmt, ptr};

use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::body_builder::BodyBuilder;
use super::details;
use super::edit::{Member, find, members, text};
use super::ids::IdForm;
use super::model::Model;
use super::outgoing_text::{OutgoingJson, OutgoingText};
use crate::words::{
    ChatRequest, Dialect, DocumentSource, Failure, FailureClass, FieldName, Foreign, Image, Json, Message, Note,
    Original, Payload, ResponseFormat, Secret, Text, ToolCall, ToolChoice, ToolResult, UserPart,
};

/// Writes a body. Its long texts are parts of the one that came.
pub(super) fn write(request: &ChatRequest, body: &impl Serialize) -> Result<Payload, Failure> {
    let came = request.original.as_ref().map(|original| &original.body);
    let mut pieces = BodyBuilder::of(came, request.texts().filter_map(Text::memory));
    serde_json::to_writer(&mut pieces, body).map_err(|problem| bad("request", &problem.to_string()))?;
    Ok(pieces.finish())
}

/// Writes the settings of a body.
pub(super) fn settings(settings: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(settings).map_err(|problem| bad("request", &problem.to_string()))
}

/// Returns the headers of a request with a JSON body.
pub(super) fn headers(streaming: bool) -> HeaderMap {
    let accept = if streaming { "text/event-stream" } else { "application/json" };
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT, HeaderValue::from_static(accept));
    headers
}

/// Returns a key as a header's value, after a prefix, marked so that no log shows it.
pub(super) fn secret(prefix: &str, key: &Secret) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::try_from(format!("{prefix}{}", key.expose()))
        .map_err(|_| Failure::new(FailureClass::Unauthorised, "the key holds characters that no header may hold"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Refuses a request that is wrong at every provider, so that the caller neither pays nor waits for the answer.
pub(super) fn check(request: &ChatRequest) -> Result<(), Failure> {
    // The conversation may be only at its provider.
    if request.messages.is_empty() && request.extra_needed.is_empty() {
        return Err(bad("messages", "there must be one at least"));
    }
    for (at, message) in request.messages.iter().enumerate() {
        match message {
            Message::User(parts) if parts.is_empty() => {
                return Err(bad(&format!("messages[{at}]"), "a user's message must have a part"));
            }
            Message::Tool(result) if result.call_id.is_empty() => {
                return Err(bad(&format!("messages[{at}].call_id"), "must name the call it answers"));
            }
            _ => {}
        }
    }
    match &request.tool_choice {
        ToolChoice::Required if request.tools.is_empty() && request.foreign_tools.is_empty() => {
            return Err(bad("tool_choice", "requires a tool, and there is none"));
        }
        ToolChoice::Named(name) if !request.tools.iter().any(|tool| tool.name == *name) => {
            return Err(bad("tool_choice", &format!("names `{name}`, which is not among the tools")));
        }
        _ => {}
    }
    let sampling = &request.sampling;
    let numbers = [
        ("sampling.temperature", sampling.temperature),
        ("sampling.top_p", sampling.top_p),
        ("sampling.presence_penalty", sampling.presence_penalty),
        ("sampling.frequency_penalty", sampling.frequency_penalty),
    ];
    match numbers.iter().find(|(_, number)| number.is_some_and(|number| !number.is_finite())) {
        Some((field, _)) => Err(bad(field, "must be a finite number")),
        None => Ok(()),
    }
}

/// Returns the failure of a request that is wrong everywhere.
pub(super) fn bad(field: &str, problem: &str) -> Failure {
    Failure::new(FailureClass::BadRequest, format!("{field}: {problem}"))
}

/// Returns the failure of a field that this target cannot serve, though another may.
pub(super) fn unsupported(field: &str) -> Failure {
    Failure::new(FailureClass::Unsupported, format!("{field}: the provider takes none"))
}

/// How many fields that are left out are told by their names.
const EXTRA_TOLD_MAX: usize = 8;

/// The parts of a conversation that cannot go as they are, each thing once.
#[derive(Debug, Default)]
pub(super) struct Notes(pub(super) Vec<Note>);

/// Returns the subject of a note.
fn subject(note: &Note) -> &'static str {
    match note {
        Note::Dropped(what) | Note::Converted(what) => what,
        _ => "",
    }
}

impl Notes {
    /// Notes something once.
    pub(super) fn add(&mut self, note: Note) {
        if !self.0.contains(&note) {
            self.0.push(note);
        }
    }

    /// Notes what is left out.
    pub(super) fn dropped(&mut self, field: &'static str) {
        self.add(Note::Dropped(field));
    }

    /// Notes fields of the caller's own that are left out, the first by their names.
    pub(super) fn dropped_extra<'n>(&mut self, names: impl IntoIterator<Item = &'n str>) {
        for name in names {
            self.dropped("extra");
            if self.0.iter().filter(|note| matches!(note, Note::DroppedField(_))).count() < EXTRA_TOLD_MAX {
                self.add(Note::DroppedField(FieldName::new(name)));
            }
        }
    }

    /// Notes what goes in another form.
    pub(super) fn converted(&mut self, field: &'static str) {
        self.add(Note::Converted(field));
    }

    /// Tells whether something about a field is noted.
    pub(super) fn tells(&self, field: &str) -> bool {
        self.0.iter().any(|note| subject(note) == field)
    }

    /// Takes back what is noted about a field: it goes as it came after all.
    pub(super) fn forget(&mut self, field: &str) {
        self.0.retain(|note| subject(note) != field);
    }

    /// Notes everything that others noted.
    pub(super) fn all(&mut self, others: &Self) {
        others.0.iter().for_each(|note| self.add(*note));
    }

    /// Returns a value that the target takes; one that it does not is left out and noted.
    pub(super) fn keep<T>(&mut self, taken: bool, field: &'static str, value: Option<T>) -> Option<T> {
        if value.is_some() && !taken {
            self.dropped(field);
            return None;
        }
        value
    }

    /// Notes what the common form cannot express and is of another dialect: it is left out.
    pub(super) fn foreign(&mut self, dialect: Dialect, request: &ChatRequest) {
        let lacks = |foreign: &Foreign| verbatim(dialect, foreign).is_none();
        for (field, lost) in [
            ("tool_choice", matches!(&request.tool_choice, ToolChoice::Foreign(choice) if lacks(choice))),
            ("tools", request.foreign_tools.iter().any(lacks)),
            ("messages.content", request.messages.iter().flat_map(Message::foreign).any(lacks)),
        ] {
            self.keep(!lost, field, Some(()));
        }
    }

    /// Notes the parts of a tool's result that cannot go as they are: its text must say that it is a failure.
    pub(super) fn result(&mut self, ids: IdForm, result: &ToolResult) {
        self.keep(false, "messages.is_error", result.is_error.then_some(()));
        self.id(ids, &result.call_id);
    }

    /// Notes the parts of a tool call that cannot go as they are.
    pub(super) fn call(&mut self, ids: IdForm, call: &ToolCall) {
        self.keep(false, "messages.tool_call.proof", call.proof.as_ref());
        self.id(ids, &call.id);
    }

    /// Notes an id of a call that cannot go as it is.
    pub(super) fn id(&mut self, ids: IdForm, id: &str) {
        if ids.fit(id) != id {
            self.converted("messages.tool_call.id");
        }
    }
}

/// Tells whether a request was written in a dialect by its caller.
pub(super) fn is_own(request: &ChatRequest, dialect: Dialect) -> bool {
    request.original.as_ref().is_some_and(|original| dialect.shares_fields(original.dialect))
}

/// Returns a part without words for its own dialect; it goes to no other.
pub(super) fn verbatim(dialect: Dialect, foreign: &Foreign) -> Option<&RawValue> {
    if dialect.shares_fields(foreign.dialect) { serde_json::from_str(&foreign.json).ok() } else { None }
}

/// Returns the tools that the common form cannot express, as far as they are of this dialect.
pub(super) fn foreign_tools(dialect: Dialect, request: &ChatRequest) -> impl Iterator<Item = &RawValue> {
    request.foreign_tools.iter().filter_map(move |tool| verbatim(dialect, tool))
}

/// Returns how long the answer may be, where the request says so: a model with a lower limit is asked for that limit,
/// and that is noted.
pub(super) fn output_tokens_max(request: &ChatRequest, model: Model<'_>, notes: &mut Notes) -> Option<u32> {
    let asked = request.output_tokens_max?;
    let most = model.answer_max.unwrap_or(asked);
    if most < asked {
        notes.converted("output_tokens_max");
    }
    Some(asked.min(most))
}

/// Returns a call's arguments: of none, an empty object.
pub(super) fn arguments(call: &ToolCall) -> OutgoingText<'_> {
    if call.arguments.is_blank() { "{}".into() } else { (&call.arguments).into() }
}

/// The name under which arguments that are no JSON object stand in one, as in Anthropic's guide to streams of tools.
const NO_OBJECT: &str = "INVALID_JSON";
/// Arguments that say nothing, as `null`, are no longer than this, blanks included.
const SAYS_NOTHING_BYTES_MAX: usize = 64;

/// A call's arguments for dialects that want the object instead of its text. A model may have written something else,
/// and its caller keeps that: it is told as what it is, since a call that is over must not end the conversation.
#[derive(Debug)]
pub(super) enum ArgumentsObject<'a> {
    /// They are one.
    Object(Cow<'a, RawValue>),
    /// They say nothing.
    Nothing,
    /// They are something else.
    Other(&'a Text),
}

impl<'a> ArgumentsObject<'a> {
    /// Reads a call's arguments. No more of them is decoded than that takes.
    pub(super) fn of(call: &'a ToolCall, notes: &mut Notes) -> Self {
        let said = &call.arguments;
        if said.is_blank() {
            return Self::Nothing;
        }
        if said.begins_with('{')
            && let Some(object) = object(said)
        {
            return Self::Object(Cow::Borrowed(object));
        }
        notes.converted("messages.tool_call.arguments");
        let within = if said.begins_with('"') { serde_json::from_str::<String>(said).ok() } else { None };
        let inner = match &within {
            Some(within) => within.as_str(),
            None if said.length() <= SAYS_NOTHING_BYTES_MAX => said.as_str(),
            None => return Self::Other(said),
        };
        match inner.trim() {
            "" | "null" | "[]" => Self::Nothing,
            // An object within a text.
            inner => object(inner).map_or(Self::Other(said), |object| Self::Object(Cow::Owned(object.to_owned()))),
        }
    }
}

impl Serialize for ArgumentsObject<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Object(object) => object.serialize(serializer),
            Self::Nothing => serializer.serialize_map(Some(0))?.end(),
            Self::Other(said) => serializer.collect_map([(NO_OBJECT, OutgoingText::FromRequest(said))]),
        }
    }
}

/// Reads a text as one JSON object.
pub(super) fn object(text: &str) -> Option<&RawValue> {
    let text = text.trim();
    text.starts_with('{').then(|| serde_json::from_str(text).ok())?
}

/// Returns an image's type and data, where it is at hand; else its address.
pub(super) fn inline(image: &Image) -> Result<(&str, &str), &str> {
    let (said, data): (&str, &str) = match image {
        Image::Base64 { media_type, data } => (media_type, data),
        Image::Url(url) => data_url(url).ok_or(&**url)?,
    };
    Ok((image_type(said, data), data))
}

/// Takes a `data:` address apart: its type, and its content in Base64. Its marks may be in capitals.
pub(super) fn data_url(url: &str) -> Option<(&str, &str)> {
    let (mark, rest) = url.split_at_checked("data:".len())?;
    let (head, data) = rest.split_once(',')?;
    let (head, base64) = head.split_at_checked(head.len().checked_sub(";base64".len())?)?;
    let is_one = mark.eq_ignore_ascii_case("data:") && base64.eq_ignore_ascii_case(";base64");
    // Behind the type there may be parameters.
    is_one.then(|| (head.split(';').next().unwrap_or(head), data))
}

/// Names for kinds of images, in lower case, and the registered ones.
const IMAGE_TYPES: [(&str, &str); 12] = [
    ("image/jpg", "image/jpeg"),
    ("image/pjpeg", "image/jpeg"),
    ("image/jfif", "image/jpeg"),
    ("image/jpeg", "image/jpeg"),
    ("image/x-png", "image/png"),
    ("image/png", "image/png"),
    ("image/gif", "image/gif"),
    ("image/x-webp", "image/webp"),
    ("image/webp", "image/webp"),
    ("image/heic", "image/heic"),
    ("image/heif", "image/heif"),
    ("image/avif", "image/avif"),
];

/// Returns the registered type of an image: by its first bytes where these tell, since servers refuse one that is said
/// to be another, and else by what was said, in capitals or not and without parameters.
fn image_type<'a>(said: &'a str, data: &str) -> &'a str {
    // As base64 writes them; `RIFF`, four bytes of length, `WEBP`.
    let is_webp = || data.starts_with("UklGR") && data.get(11..16) == Some("XRUJQ");
    match () {
        () if data.starts_with("/9j/") => "image/jpeg",
        () if data.starts_with("iVBORw0KGgo") => "image/png",
        () if data.starts_with("R0lGOD") => "image/gif",
        () if is_webp() => "image/webp",
        () => {
            let plain = said.split(';').next().unwrap_or(said).trim();
            let known = IMAGE_TYPES.iter().find(|(name, _)| plain.eq_ignore_ascii_case(name));
            known.map_or(plain, |(_, registered)| registered)
        }
    }
}

/// Tells whether the caller's own fields and headers are meant for a dialect.
pub(super) fn is_theirs(dialect: Dialect, request: &ChatRequest) -> bool {
    request.extra_dialect.is_none_or(|theirs| dialect.shares_fields(theirs))
}

/// Returns the caller's own fields, where the target's dialect is theirs; fields that are left out are noted.
pub(super) fn extra<'a>(
    dialect: Dialect,
    request: &'a ChatRequest,
    notes: &mut Notes,
) -> Option<&'a BTreeMap<String, Json>> {
    if is_theirs(dialect, request) {
        return Some(&request.extra).filter(|extra| !extra.is_empty());
    }
    for (name, value) in &request.extra {
        // Of Google's settings those that have words are gone.
        let inner = if name == "generationConfig" { members(value.as_str()) } else { Vec::new() };
        let inner: Vec<_> = inner.iter().map(|member| format!("{name}.{}", member.name)).collect();
        let is_whole = inner.is_empty();
        notes.dropped_extra(inner.iter().chain(is_whole.then_some(name)).map(String::as_str));
    }
    None
}

/// Returns the losses of a request that goes to another dialect, beside those that the encoder notes.
pub(super) fn lost(dialect: Dialect, request: &ChatRequest, original: &Original) -> Vec<Note> {
    let mut notes = Notes::default();
    if dialect.shares_fields(original.dialect) {
        return notes.0;
    }
    let carried = |note: &&Note| **note == details::LOST && details::goes(original, dialect);
    original.lost.iter().filter(|note| !carried(note)).for_each(|note| notes.add(*note));
    let tells = matches!(dialect, Dialect::AnthropicMessages | Dialect::Function);
    let parts = request.messages.iter().flat_map(|message| match message {
        Message::User(parts) => &parts[..],
        Message::Tool(result) => &result.content[..],
        _ => &[][..],
    });
    for part in parts {
        let UserPart::Document(document) = part else { continue };
        let says = matches!(document.source, DocumentSource::Text(_));
        notes.keep(tells || says, "messages.document.context", document.context.as_ref());
        notes.keep(tells, "messages.document.citations", document.citations.then_some(()));
        let names = match (&document.source, dialect) {
            (DocumentSource::Text(_), _) | (_, Dialect::AnthropicMessages | Dialect::Function) => true,
            (DocumentSource::Base64 { .. }, dialect) => {
                matches!(dialect, Dialect::OpenAiChat | Dialect::OpenAiResponses)
            }
            (DocumentSource::Url(_), _) => false,
        };
        notes.keep(names, "messages.document.title", document.title.as_ref());
    }
    notes.0
}

/// Our settings, and the caller's own beside them, as they are written; ours win.
#[derive(Clone, Debug)]
pub(super) struct Joined<'a> {
    ours: Cow<'a, Map<String, Value>>,
    theirs: Vec<Member<'a>>,
}

impl<'a> Joined<'a> {
    /// Joins the caller's own settings to ours.
    pub(super) fn of(ours: Map<String, Value>, theirs: Option<&'a Json>) -> Self {
        Self::new(Cow::Owned(ours), theirs.map_or("", Json::as_str))
    }

    fn new(ours: Cow<'a, Map<String, Value>>, theirs: &'a str) -> Self {
        Self { ours, theirs: members(theirs) }
    }

    /// Leaves one of the caller's out.
    pub(super) fn without(&mut self, name: &str) {
        self.theirs.retain(|member| member.name != name);
    }

    /// Tells whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.ours.is_empty() && self.theirs.is_empty()
    }

    /// Writes them.
    pub(super) fn put<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let theirs = |name: &str| self.theirs.iter().rfind(|member| member.name == name).map(|member| member.value);
        for (name, value) in &*self.ours {
            match (value, theirs(name)) {
                (Value::Object(ours), Some(theirs)) => {
                    map.serialize_entry(name, &Joined::new(Cow::Borrowed(ours), theirs))?;
                }
                _ => map.serialize_entry(name, value)?,
            }
        }
        let is_last = |member: &&Member<'_>| theirs(&member.name).is_some_and(|last| ptr::eq(last, member.value));
        let rest = self.theirs.iter().filter(|member| !self.ours.contains_key(&*member.name)).filter(is_last);
        for member in rest {
            map.serialize_entry(&*member.name, &OutgoingJson(member.value))?;
        }
        Ok(())
    }
}

impl Serialize for Joined<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.put(&mut map)?;
        map.end()
    }
}

/// Returns fields by their names, as they are written.
pub(super) fn written(fields: &BTreeMap<String, Json>) -> impl Iterator<Item = (&str, &str)> {
    fields.iter().map(|(name, json)| (name.as_str(), json.as_str()))
}

/// An object's fields, and which of them are written: the caller's extra fields may not come a second time.
pub(super) struct Fields<M> {
    map: M,
    written: Vec<&'static str>,
}

impl<M: SerializeMap> Fields<M> {
    /// Begins an object.
    pub(super) fn new(map: M) -> Self {
        Self { map, written: Vec::with_capacity(16) }
    }

    /// Writes a field.
    pub(super) fn put<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), M::Error> {
        self.written.push(key);
        self.map.serialize_entry(key, value)
    }

    /// Writes a field that there is.
    pub(super) fn put_some<T: Serialize>(&mut self, key: &'static str, value: Option<&T>) -> Result<(), M::Error> {
        value.map_or(Ok(()), |value| self.put(key, value))
    }

    /// Ends the object with the caller's own fields, as far as they are not written.
    pub(super) fn end<'e>(mut self, extra: impl IntoIterator<Item = (&'e str, &'e str)>) -> Result<M::Ok, M::Error> {
        for (key, value) in extra.into_iter().filter(|(key, _)| !self.written.contains(key)) {
            self.map.serialize_entry(key, &OutgoingJson(value))?;
        }
        self.map.end()
    }
}

/// An image as one address: where it is, or all of it.
pub(super) struct Address<'a>(pub(super) &'a Image);

impl Serialize for Address<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Image::Url(url) => OutgoingText::FromRequest(url).serialize(serializer),
            Image::Base64 { media_type, data } => {
                let media_type = image_type(media_type, data);
                serializer.collect_str(&format_args!("data:{media_type};base64,{data}"))
            }
        }
    }
}

/// Returns an instruction in words for the form of an answer, for a model that cannot enforce it; none for plain text.
pub(super) fn asked(format: &ResponseFormat) -> Option<String> {
    let only = |what: &str| {
        format!("Answer with one JSON {what} and nothing else: no other text before or after, no code fence.")
    };
    match format {
        ResponseFormat::Text => None,
        ResponseFormat::Json => Some(only("object")),
        ResponseFormat::JsonSchema { schema, .. } => {
            let what = match Root::of(schema) {
                Root::Object => "object",
                Root::List => "array",
                Root::Any => "value",
            };
            Some(format!("{} It must fit this JSON schema:\n{schema}", only(what)))
        }
    }
}

/// What the answers to a schema are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Root {
    /// Objects.
    Object,
    /// Lists.
    List,
    /// Something else, or now this and now that.
    Any,
}

impl Root {
    /// Reads the top of a schema. No tree is made of it.
    pub(super) fn of(schema: &Json) -> Self {
        match find(schema.as_str(), &["type"]).and_then(text).as_deref() {
            Some("object") => Self::Object,
            Some("array") => Self::List,
            _ => Self::Any,
        }
    }
}

/// Writes the items of an iterator as an array; the iterator is made again for each writing.
pub(super) struct Each<F>(pub(super) F);

impl<F: Fn() -> I, I: IntoIterator<Item: Serialize>> Serialize for Each<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((self.0)())
    }
}

/// Writes a value's display form straight into a JSON string.
pub(super) struct Formatted<T>(pub(super) T);

impl<T: fmt::Display> Serialize for Formatted<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

//! Writes requests: the conversation as a list of items, of which one message of an assistant may become several.

mod edit;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::wire::conversation::{AssistantTurn, CallResult, Media, Part, Step, steps};
use crate::wire::edit::{Member, members};
use crate::wire::encoded::Encoded;
use crate::wire::flavour::{Flavour, NameForm};
use crate::wire::ids::IdForm;
use crate::wire::model::Model;
use crate::wire::names::Names;
use crate::wire::openai::{FileData, UNNAMED, WireAudio, format as audio_format};
use crate::wire::original;
use crate::wire::outgoing_text::{OutgoingJson, OutgoingText, WireText, told};
use crate::wire::request::{
    Address, Each, Fields, Formatted, Joined, Notes, Root, arguments, asked, check, foreign_tools, headers, is_own,
    output_tokens_max, settings, unsupported, verbatim, write, written,
};
use crate::wire::schema::{is_strict, strict};
use crate::wire::shared::extra_of;
use crate::words::{
    AssistantPart, Audio, ChatRequest, Dialect, DocumentSource, Failure, Json, Proof, Reasoning, ResponseFormat, Text,
    Tool, ToolChoice, UserPart,
};

const OWN: Dialect = Dialect::OpenAiResponses;

/// The fewest tokens that may be asked for; less is refused.
const OUTPUT_TOKENS_MIN: u32 = 16;
/// The longest id of a call that is taken, in characters.
pub(super) const CALL_ID: IdForm = IdForm::Max(64);

/// Encodes a request for a model.
pub(in crate::wire) fn encode(
    flavour: &Flavour,
    request: &ChatRequest,
    model: Model<'_>,
    streaming: bool,
) -> Result<Encoded, Failure> {
    check(request)?;
    flavour.check(request, OWN)?;
    let own = original::of(request, Dialect::OpenAiResponses).filter(|original| original.left_out.is_empty());
    let model = Model { meant: original::is_meant(request, OWN, model), ..model };
    let names = Names::of(flavour.names.or(own.is_none().then_some(NameForm::OPENAI)), request);
    let mut notes = Notes::default();
    let body = Body::of(flavour, request, model, streaming, &names, &mut notes);
    let edited = match own {
        Some(original) => {
            let ours = settings(&Settings(&body))?;
            edit::edited(original, &body, &ours, &mut notes)
        }
        None => None,
    };
    let (stops, body) = match edited {
        // The caller's dialect does not have them.
        Some(body) => (Vec::new(), body),
        // Only the caller's own text matters here.
        None if request.original.as_ref().is_some_and(|original| !original.method.is_empty()) => {
            return Err(unsupported("compact"));
        }
        None => {
            notes.foreign(OWN, request);
            if request.tools.iter().any(|tool| strict(tool, is_own(request, OWN)) != tool.strict) {
                notes.dropped("tools.strict");
            }
            let input = body.input(&mut notes);
            body.note(&mut notes);
            input.note(&mut notes);
            (request.sampling.stop.clone(), write(request, &Whole { body: &body, input: &input })?)
        }
    };
    let method = own.map_or("", |original| original.method);
    let path = if method.is_empty() {
        flavour.responses_path.into()
    } else {
        format!("{}{method}", flavour.responses_path).into()
    };
    let headers = headers(streaming);
    Ok(Encoded { path, headers, body, notes: notes.0, stops, names, words: None })
}

/// A request as it is going to be written.
pub(super) struct Body<'a> {
    pub(super) flavour: &'a Flavour,
    pub(super) request: &'a ChatRequest,
    pub(super) model: Model<'a>,
    pub(super) streaming: bool,
    pub(super) names: &'a Names,
    temperature: Option<f64>,
    top_p: Option<f64>,
    parallel_tool_calls: Option<bool>,
    pub(super) effort: Option<&'static str>,
    /// Whether encrypted reasoning is asked for: models that do not reason refuse that.
    encrypted: bool,
    output_tokens_max: Option<u32>,
    extra: Option<Cow<'a, BTreeMap<String, Json>>>,
    /// The form of the answer, where the provider can be told it.
    format: Option<&'a ResponseFormat>,
}

impl<'a> Body<'a> {
    fn of(
        flavour: &'a Flavour,
        request: &'a ChatRequest,
        model: Model<'a>,
        streaming: bool,
        names: &'a Names,
        notes: &mut Notes,
    ) -> Self {
        let sampling = &request.sampling;
        let temperature = flavour.taken(model, "sampling.temperature", sampling.temperature, notes);
        let top_p = flavour.taken(model, "sampling.top_p", sampling.top_p, notes);
        let parallel_tool_calls = flavour.taken(model, "parallel_tool_calls", request.parallel_tool_calls, notes);
        let effort = flavour.taken(model, "effort", request.effort, notes);
        let effort = effort.map(|effort| flavour.effort_step(model, effort, notes)).filter(|word| !word.is_empty());
        let given = output_tokens_max(request, model, notes);
        // For a caller of this dialect the provider itself checks the minimum.
        let least = if is_own(request, OWN) { 0 } else { OUTPUT_TOKENS_MIN };
        let output_tokens_max = given.map(|tokens| tokens.max(least));
        if output_tokens_max != given {
            notes.converted("output_tokens_max");
        }
        let extra = extra_of(Dialect::OpenAiResponses, flavour, request, notes);
        let reasons = effort.is_some() || extra.as_ref().is_some_and(|extra| extra.contains_key("reasoning"));
        let encrypted = flavour.encrypts(model, reasons);
        Self {
            flavour,
            request,
            model,
            streaming,
            names,
            temperature,
            top_p,
            parallel_tool_calls,
            effort,
            encrypted,
            output_tokens_max,
            extra,
            format: Some(&request.response_format).filter(|format| is_told(flavour, request, format)),
        }
    }
}

/// Tells whether the provider can be told the form of an answer: OpenAI takes schemas of objects alone. For a caller of
/// this dialect it says so itself.
fn is_told(flavour: &Flavour, request: &ChatRequest, format: &ResponseFormat) -> bool {
    match format {
        ResponseFormat::Text | ResponseFormat::Json => true,
        ResponseFormat::JsonSchema { schema, .. } => {
            is_own(request, OWN) || flavour.any_root || Root::of(schema) == Root::Object
        }
    }
}

impl<'a> Body<'a> {
    /// Plans the items.
    fn input(&self, notes: &mut Notes) -> Input<'a> {
        let Self { flavour, request, model, names, .. } = *self;
        let steps = steps(request, OWN, Media::Within, |_| true, notes);
        let (system_role, echoes) = (flavour.system_role(model), flavour.echoes(model));
        let instruction = if self.format.is_none() { asked(&request.response_format) } else { None };
        Input { instruction, steps, names, provider: model.provider, system_role, echoes }
    }

    /// Notes the parts of the words that cannot go as they are, beside settings and items.
    fn note(&self, notes: &mut Notes) {
        let sampling = &self.request.sampling;
        notes.keep(false, "sampling.presence_penalty", sampling.presence_penalty);
        notes.keep(false, "sampling.frequency_penalty", sampling.frequency_penalty);
        notes.keep(false, "sampling.seed", sampling.seed);
        // Stop sequences are enforced in this process.
        if !sampling.stop.is_empty() {
            notes.converted("sampling.stop");
        }
        let loosened = |format: &ResponseFormat| match format {
            ResponseFormat::JsonSchema { strict: true, schema, .. } => !is_own(self.request, OWN) && !is_strict(schema),
            _ => false,
        };
        if self.format.is_none_or(loosened) {
            notes.converted("response_format");
        }
    }

    /// Writes the settings that a request of this dialect may have, too.
    fn settings<M: SerializeMap>(&self, body: &mut Fields<M>) -> Result<(), M::Error> {
        if !self.request.tools.is_empty() {
            body.put_some("parallel_tool_calls", self.parallel_tool_calls.as_ref())?;
        }
        body.put_some("temperature", self.temperature.as_ref())?;
        body.put_some("top_p", self.top_p.as_ref())?;
        body.put_some("max_output_tokens", self.output_tokens_max.as_ref())
    }

    /// Returns the caller's own value of a field.
    fn theirs(&self, field: &str) -> Option<&Json> {
        self.extra.as_ref().and_then(|extra| extra.get(field))
    }
}

/// Returns how many of an assistant's parts may be sent: reasoning must be followed by what it led to, and an answer
/// that broke off in the middle of it has nothing to follow.
fn sendable(parts: &[AssistantPart]) -> usize {
    let last = parts.iter().rposition(|part| match part {
        AssistantPart::Text(text) => !text.is_empty(),
        AssistantPart::ToolCall(_) => true,
        AssistantPart::Foreign(item) => verbatim(OWN, item).is_some(),
        AssistantPart::Reasoning(_) => false,
    });
    last.map_or(0, |last| last + 1)
}

/// A body that is written anew, with its items.
struct Whole<'b, 'a> {
    body: &'b Body<'a>,
    input: &'b Input<'a>,
}

impl Serialize for Whole<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { body: whole, input } = *self;
        let Body { flavour, request, names, .. } = *whole;
        let mut body = Fields::new(serializer.serialize_map(None)?);
        body.put("model", whole.model.name)?;
        body.put("input", input)?;
        body.put("stream", &whole.streaming)?;
        body.put("store", &false)?;
        if whole.encrypted {
            body.put("include", &["reasoning.encrypted_content"])?;
        }
        let effort = whole.effort.map(|effort| ("effort".to_owned(), Value::from(effort)));
        let reasoning = Joined::of(Map::from_iter(effort), whole.theirs("reasoning"));
        body.put_some("reasoning", Some(&reasoning).filter(|reasoning| !reasoning.is_empty()))?;
        let foreign = || foreign_tools(OWN, request).map(WireTool::Foreign);
        if !request.tools.is_empty() || foreign().next().is_some() {
            let own = is_own(request, OWN);
            let functions = || request.tools.iter().map(|tool| WireTool::Function(tool, strict(tool, own), names));
            body.put("tools", &Each(|| functions().chain(foreign())))?;
            body.put_some("tool_choice", tool_choice(&request.tool_choice, names).as_ref())?;
        }
        let format = whole.format.unwrap_or(&ResponseFormat::Text);
        let text = TextSettings::of(format, is_own(request, OWN), whole.theirs("text"));
        body.put_some("text", Some(&text).filter(|text| !text.is_empty()))?;
        whole.settings(&mut body)?;
        let extra = whole.extra.iter().flat_map(|extra| written(extra));
        body.end(extra.filter(|(field, _)| flavour.takes_extra(Dialect::OpenAiResponses, field, false)))
    }
}

/// The settings of a body alone.
struct Settings<'b, 'a>(&'b Body<'a>);

impl Serialize for Settings<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = Fields::new(serializer.serialize_map(None)?);
        self.0.settings(&mut fields)?;
        fields.end([])
    }
}

fn tool_choice(choice: &ToolChoice, names: &Names) -> Option<serde_json::Value> {
    match choice {
        ToolChoice::Auto => None,
        ToolChoice::Foreign(choice) => verbatim(OWN, choice).and_then(|it| serde_json::from_str(it.get()).ok()),
        ToolChoice::None => Some("none".into()),
        ToolChoice::Required => Some("required".into()),
        ToolChoice::Named(name) => Some(json!({"type": "function", "name": names.sent(name)})),
    }
}

/// The conversation as items.
struct Input<'a> {
    /// What has to be asked for in words.
    instruction: Option<String>,
    steps: Vec<Step<'a>>,
    names: &'a Names,
    /// The account that can read it: each encrypts what its models think for itself.
    provider: &'a str,
    system_role: &'static str,
    /// Whether visible reasoning goes along where there is none encrypted.
    echoes: bool,
}

impl Input<'_> {
    /// Notes the parts of the messages that cannot go as they are.
    fn note(&self, notes: &mut Notes) {
        for step in &self.steps {
            match step {
                Step::Result(CallResult { result: Some(result), .. }) => notes.result(CALL_ID, result),
                Step::Assistant(spoken) => {
                    let sent = sendable(spoken.parts);
                    for (at, part) in spoken.parts.iter().enumerate() {
                        match part {
                            AssistantPart::Reasoning(thought) if at >= sent || self.reasoning(thought).is_none() => {
                                notes.dropped("messages.reasoning");
                            }
                            AssistantPart::ToolCall(call) => notes.call(CALL_ID, call),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// Returns the item of a thought, if it can go: the encrypted item of this dialect, else the visible text.
    fn reasoning<'a>(&self, thought: &'a Reasoning) -> Option<Thought<'a>> {
        let is_own = |proof: &&Proof| proof.dialect == Dialect::OpenAiResponses && proof.is_of(self.provider);
        let own = thought.proof.as_ref().filter(is_own);
        let item = own.and_then(|proof| serde_json::from_str::<&RawValue>(&proof.data).ok());
        let visible = Some(&thought.text).filter(|text| self.echoes && !text.is_empty());
        item.filter(|item| item.get().starts_with('{')).map(Thought::Encrypted).or(visible.map(Thought::Visible))
    }

    /// Writes what an assistant said, thought and called, in its order.
    fn assistant<S: SerializeSeq>(&self, spoken: &AssistantTurn<'_>, seq: &mut S) -> Result<(), S::Error> {
        let parts = &spoken.parts[..sendable(spoken.parts)];
        let mut ids = spoken.ids.iter();
        for run in parts.chunk_by(|a, b| a.text().is_some() && b.text().is_some()) {
            match &run[0] {
                AssistantPart::Text(_) => {
                    let texts = || run.iter().filter_map(AssistantPart::text).filter(|text| !text.is_empty());
                    if texts().next().is_some() {
                        let content = Each(|| texts().map(|text| WireText::of("output_text", text)));
                        seq.serialize_element(&Item::said("assistant", content))?;
                    }
                }
                AssistantPart::Reasoning(thought) => match self.reasoning(thought) {
                    Some(Thought::Encrypted(item)) => seq.serialize_element(&WithoutId(item))?,
                    Some(Thought::Visible(text)) => {
                        let content = [WireText::of("reasoning_text", text)];
                        seq.serialize_element(&Item::Reasoning { summary: [(); 0], content })?;
                    }
                    None => {}
                },
                AssistantPart::ToolCall(call) => {
                    let call_id = CALL_ID.fit(ids.next().map_or("", AsRef::as_ref));
                    let (name, arguments) = (self.names.sent(&call.name), arguments(call));
                    seq.serialize_element(&ItemWithoutParts::FunctionCall { call_id: &call_id, name, arguments })?;
                }
                AssistantPart::Foreign(item) => {
                    if let Some(item) = verbatim(OWN, item) {
                        seq.serialize_element(item)?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Serialize for Input<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(None)?;
        if let Some(instruction) = &self.instruction {
            seq.serialize_element(&Item::said(self.system_role, instruction))?;
        }
        for step in &self.steps {
            match step {
                Step::System(text) => {
                    seq.serialize_element(&Item::said(self.system_role, OutgoingText::FromRequest(text)))?;
                }
                Step::User(parts) => match &parts[..] {
                    [part] if let Some(text) = part.as_text() => seq.serialize_element(&Item::said("user", text))?,
                    parts => {
                        let parts = Each(|| parts.iter().map(WireUserPart));
                        seq.serialize_element(&Item::said("user", parts))?;
                    }
                },
                Step::Assistant(spoken) => self.assistant(spoken, &mut seq)?,
                Step::Result(answer) => {
                    let call_id = CALL_ID.fit(&answer.id);
                    let shows = answer.result.filter(|result| result.beside().next().is_some());
                    if let Some(result) = shows {
                        let output = Each(|| result.content.iter().filter(is_mine).map(WirePart));
                        seq.serialize_element(&ItemWithParts::FunctionCallOutput { call_id: &call_id, output })?;
                    } else {
                        let output = answer.text();
                        seq.serialize_element(&ItemWithoutParts::FunctionCallOutput { call_id: &call_id, output })?;
                    }
                }
                Step::Foreign(_, item) => seq.serialize_element(item)?,
            }
        }
        seq.end()
    }
}

/// A thought as it can go back.
enum Thought<'a> {
    /// Its item, as it came.
    Encrypted(&'a RawValue),
    /// Its visible text.
    Visible(&'a Text),
}

/// An item without its id. With one, a provider expects all following items by id, too, but it has not stored the
/// answer, so they have none.
struct WithoutId<'a>(&'a RawValue);

/// Returns an item of a thought that can be read.
pub(super) fn visible(thought: &str) -> String {
    json!({"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": thought}]}).to_string()
}

/// Returns an item without its id.
pub(super) fn nameless(item: &str) -> String {
    let raw = serde_json::from_str::<&RawValue>(item).ok();
    raw.and_then(|raw| serde_json::to_string(&WithoutId(raw)).ok()).unwrap_or_else(|| item.to_owned())
}

impl Serialize for WithoutId<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match serde_json::from_str::<BTreeMap<&str, &RawValue>>(self.0.get()) {
            Ok(fields) => serializer.collect_map(fields.into_iter().filter(|(name, _)| *name != "id")),
            Err(_) => self.0.serialize(serializer),
        }
    }
}

#[derive(serde::Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Item<'a, C> {
    Message { role: &'static str, content: C },
    Reasoning { summary: [(); 0], content: C },
    FunctionCall { call_id: &'a str, name: &'a str, arguments: OutgoingText<'a> },
    FunctionCallOutput { call_id: &'a str, output: C },
}

/// An item without parts.
type ItemWithoutParts<'a> = Item<'a, OutgoingText<'a>>;
/// An item of parts.
type ItemWithParts<'a, C> = Item<'a, C>;

/// Tells whether a part of a result can go: parts of another dialect cannot.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "filters hand out references")]
fn is_mine(part: &&UserPart) -> bool {
    !matches!(part, UserPart::Foreign(foreign) if verbatim(OWN, foreign).is_none())
}

impl<C> Item<'_, C> {
    fn said(role: &'static str, content: C) -> Self {
        Self::Message { role, content }
    }
}

/// A part of what a user says.
struct WireUserPart<'a>(&'a Part<'a>);

impl Serialize for WireUserPart<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Part::FromRequest(part) => WirePart(part).serialize(serializer),
            Part::Made(text) => WireText::of("input_text", text.clone()).serialize(serializer),
        }
    }
}

struct WirePart<'a>(&'a UserPart);

impl Serialize for WirePart<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = match self.0 {
            UserPart::Text(text) => return WireText::of("input_text", text).serialize(serializer),
            UserPart::Foreign(part) => return verbatim(OWN, part).serialize(serializer),
            _ => serializer.serialize_map(None)?,
        };
        match self.0 {
            UserPart::Image(image) => {
                map.serialize_entry("type", "input_image")?;
                map.serialize_entry("image_url", &Address(image))?;
            }
            UserPart::Document(document) => match &document.source {
                DocumentSource::Text(_) => {
                    map.serialize_entry("type", "input_text")?;
                    map.serialize_entry("text", &told(document))?;
                }
                DocumentSource::Url(url) => {
                    map.serialize_entry("type", "input_file")?;
                    map.serialize_entry("file_url", &OutgoingText::FromRequest(url))?;
                }
                DocumentSource::Base64 { media_type, data } => {
                    map.serialize_entry("type", "input_file")?;
                    map.serialize_entry("filename", document.title.as_deref().unwrap_or(UNNAMED))?;
                    map.serialize_entry("file_data", &Formatted(FileData { media_type, data }))?;
                }
            },
            UserPart::Audio(Audio { media_type, data }) => {
                map.serialize_entry("type", "input_audio")?;
                map.serialize_entry("input_audio", &WireAudio { data: data.into(), format: audio_format(media_type) })?;
            }
            UserPart::Text(_) | UserPart::Foreign(_) => {}
        }
        map.end()
    }
}

enum WireTool<'a> {
    Function(&'a Tool, Option<bool>, &'a Names),
    Foreign(&'a RawValue),
}

impl Serialize for WireTool<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (Tool { name, description, parameters, .. }, strict, names) = match self {
            Self::Function(tool, strict, names) => (tool, strict, names),
            Self::Foreign(tool) => return tool.serialize(serializer),
        };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", "function")?;
        map.serialize_entry("name", names.sent(name))?;
        if !description.is_empty() {
            map.serialize_entry("description", &OutgoingText::FromRequest(description))?;
        }
        map.serialize_entry("parameters", &OutgoingJson::from(parameters))?;
        // A missing value means yes in this dialect, and no in the common form.
        map.serialize_entry("strict", &strict.unwrap_or(false))?;
        map.end()
    }
}

/// What the answer's text is to be like: ours, and what else the caller said of it.
struct TextSettings<'a> {
    format: &'a ResponseFormat,
    /// Whether the caller speaks this dialect.
    own: bool,
    theirs: Vec<Member<'a>>,
}

impl<'a> TextSettings<'a> {
    fn of(format: &'a ResponseFormat, own: bool, theirs: Option<&'a Json>) -> Self {
        Self { format, own, theirs: members(theirs.map_or("", Json::as_str)) }
    }

    fn is_empty(&self) -> bool {
        *self.format == ResponseFormat::Text && self.theirs.is_empty()
    }
}

impl Serialize for TextSettings<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = Fields::new(serializer.serialize_map(None)?);
        if *self.format != ResponseFormat::Text {
            let theirs = self.theirs.iter().rfind(|member| member.name == "format").map_or("", |member| member.value);
            fields.put("format", &WireFormat { format: self.format, own: self.own, theirs: members(theirs) })?;
        }
        fields.end(self.theirs.iter().map(|member| (&*member.name, member.value)))
    }
}

/// The form of the answer's text, and what else the caller said of it.
struct WireFormat<'a> {
    format: &'a ResponseFormat,
    own: bool,
    theirs: Vec<Member<'a>>,
}

impl Serialize for WireFormat<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = Fields::new(serializer.serialize_map(None)?);
        match self.format {
            ResponseFormat::Text => {}
            ResponseFormat::Json => fields.put("type", "json_object")?,
            ResponseFormat::JsonSchema { name, schema, strict } => {
                fields.put("type", "json_schema")?;
                fields.put("name", name)?;
                fields.put("schema", &OutgoingJson::from(schema))?;
                fields.put("strict", &(*strict && (self.own || is_strict(schema))))?;
            }
        }
        fields.end(self.theirs.iter().map(|member| (&*member.name, member.value)))
    }
}

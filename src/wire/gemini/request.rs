//! Writes requests. Long texts borrow from the caller's request and go straight into one buffer; only the settings are
//! values, so that the caller's own can be joined to them.

mod edit;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::conversation::{Conversation, Part};
use super::family::Family;
use crate::wire::encoded::Encoded;
use crate::wire::flavour::NameForm;
use crate::wire::model::Model;
use crate::wire::names::Names;
use crate::wire::original;
use crate::wire::outgoing_text::{OutgoingJson, OutgoingText, OutgoingTexts};
use crate::wire::request::{
    Fields, Joined, Notes, asked, check, extra, foreign_tools, headers, is_own, output_tokens_max, settings, write,
    written,
};
use crate::words::{
    ChatRequest, Dialect, Failure, FailureClass, Json, ResponseFormat, Sampling, Text, Tool, ToolChoice,
};

use edit::Wants;

/// The most stop sequences that Gemini takes.
const STOP_MAX: usize = 5;

/// Encodes a request for a model.
pub(in crate::wire) fn encode(
    dialect: Dialect,
    request: &ChatRequest,
    model: Model<'_>,
    streaming: bool,
) -> Result<Encoded, Failure> {
    check(request)?;
    let own = original::of(request, dialect).filter(|original| original.left_out.is_empty());
    let model = Model { meant: original::is_meant(request, dialect, model), ..model };
    let names = Names::of(Some(NAMES), request);
    let family = Family::of(model.family);
    let path = path(model.name, if streaming { "streamGenerateContent?alt=sse" } else { "generateContent" })?;
    let in_words = !request.tools.is_empty() && !family.forms_beside_tools();
    let instruction = if in_words { asked(&request.response_format) } else { None };
    let mut notes = Notes::default();
    if instruction.is_some() {
        notes.converted("response_format");
    }
    let extra = extra(dialect, request, &mut notes);
    let theirs = |key| extra.and_then(|extra| extra.get(key));
    let mut config =
        Joined::of(generation(request, (dialect, model, family), in_words, &mut notes), theirs("generationConfig"));
    let schema = if let ResponseFormat::JsonSchema { schema, .. } = &request.response_format {
        Some(schema).filter(|_| !in_words)
    } else {
        None
    };
    if schema.is_some() {
        config.without(SCHEMA);
    }
    let stop = &request.sampling.stop[..request.sampling.stop.len().min(STOP_MAX)];
    if !stop.is_empty() {
        config.without(STOP);
    }
    let settings = Settings {
        generation: Generation { config, schema, stop },
        tools: Joined::of(tool_config(request, &names), theirs("toolConfig")),
    };
    let edited = own.and_then(|original| {
        // One that may be long is left out where it goes as it came.
        let Generation { config, schema, stop } = &settings.generation;
        let stop = if notes.tells("sampling.stop") { *stop } else { &[] };
        let schema = schema.filter(|_| notes.tells("response_format"));
        let changed = Generation { config: config.clone(), schema, stop };
        let ours = format!(r#"{{"generationConfig":{}}}"#, self::settings(&changed).ok()?);
        let wants = Wants::of(dialect, family, request);
        edit::edited(original, (dialect, model, wants), &names, &ours, instruction.as_deref(), &mut notes)
    });
    let body = match edited {
        Some(body) => body,
        None => {
            let mut conversation = Conversation::of(dialect, family, &names, request)?;
            notes.all(&conversation.notes);
            notes.foreign(dialect, request);
            conversation.system.extend(instruction.as_deref().map(Part::text));
            note(request, &mut notes);
            let (conversation, settings, names) = (&conversation, &settings, &names);
            write(request, &Body { request, conversation, settings, names, extra })?
        }
    };
    let stops = request.sampling.stop.iter().skip(STOP_MAX).cloned().collect();
    Ok(Encoded { path: path.into(), headers: headers(streaming), body, notes: notes.0, stops, names, words: None })
}

/// Names of tools that are taken ("Must start with a letter or an underscore. Must be alphameric (a-z, A-Z, 0-9),
/// underscores (_), dots (.), colons (:), or dashes (-), with a maximum length of 64.").
const NAMES: NameForm = NameForm { max: 64, marks: "_-.:" };

/// Returns the path of a model's method.
pub(in crate::wire) fn path(model: &str, method: &str) -> Result<String, Failure> {
    if model.is_empty() || !model.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~/@:".contains(&byte)) {
        return Err(Failure::new(FailureClass::ModelGone, "the model's name holds characters that no path may hold"));
    }
    Ok(format!("/{}:{method}", resource(model)))
}

/// Returns a model's name within its collection; one that names it (`tunedModels/x`) is taken as it is.
pub(in crate::wire) fn resource(model: &str) -> Cow<'_, str> {
    if model.contains('/') { model.into() } else { format!("models/{model}").into() }
}

struct Settings<'a> {
    generation: Generation<'a>,
    tools: Joined<'a>,
}

/// The fields of the settings that hold what may be long.
const SCHEMA: &str = "responseJsonSchema";
const STOP: &str = "stopSequences";

/// What the answer is to be like.
struct Generation<'a> {
    config: Joined<'a>,
    schema: Option<&'a Json>,
    stop: &'a [Text],
}

impl Generation<'_> {
    fn is_empty(&self) -> bool {
        self.config.is_empty() && self.schema.is_none() && self.stop.is_empty()
    }
}

impl Serialize for Generation<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.config.put(&mut map)?;
        if let Some(schema) = self.schema {
            map.serialize_entry(SCHEMA, &OutgoingJson::from(schema))?;
        }
        if !self.stop.is_empty() {
            map.serialize_entry(STOP, &OutgoingTexts(self.stop))?;
        }
        map.end()
    }
}

struct Body<'a> {
    request: &'a ChatRequest,
    conversation: &'a Conversation<'a>,
    settings: &'a Settings<'a>,
    names: &'a Names,
    extra: Option<&'a BTreeMap<String, Json>>,
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { request, conversation, settings, names, extra } = *self;
        let mut body = Fields::new(serializer.serialize_map(None)?);
        if !conversation.system.is_empty() {
            body.put("systemInstruction", &Parts { parts: &conversation.system })?;
        }
        body.put("contents", &conversation.contents)?;
        let function_declarations: Vec<_> = request.tools.iter().map(|tool| Declaration::of(tool, names)).collect();
        let functions = (!function_declarations.is_empty()).then_some(Tools::Functions { function_declarations });
        let foreign = foreign_tools(Dialect::Gemini, request).map(Tools::Foreign);
        let tools: Vec<_> = functions.into_iter().chain(foreign).collect();
        body.put_some("tools", Some(&tools).filter(|tools| !tools.is_empty()))?;
        body.put_some("toolConfig", Some(&settings.tools).filter(|map| !map.is_empty()))?;
        body.put_some("generationConfig", Some(&settings.generation).filter(|it| !it.is_empty()))?;
        body.end(extra.into_iter().flat_map(written))
    }
}

#[derive(serde::Serialize)]
struct Parts<'a, P> {
    parts: &'a [P],
}

/// Functions, or what the provider runs.
#[derive(serde::Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
enum Tools<'a> {
    Functions { function_declarations: Vec<Declaration<'a>> },
    Foreign(&'a RawValue),
}

/// A tool. `parametersJsonSchema` takes JSON schemas as they are; the older `parameters` takes a part of `OpenAPI`'s
/// and refuses the rest.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Declaration<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "OutgoingText::is_empty")]
    description: OutgoingText<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters_json_schema: Option<OutgoingJson<'a>>,
}

impl<'a> Declaration<'a> {
    fn of(tool: &'a Tool, names: &'a Names) -> Self {
        let parameters_json_schema = Some(OutgoingJson::from(&tool.parameters)).filter(|_| !tool.parameters.is_null());
        Self { name: names.sent(&tool.name), description: (&tool.description).into(), parameters_json_schema }
    }
}

/// Notes what cannot be said of the tools: neither strictness nor parallel calls can be set.
fn note(request: &ChatRequest, notes: &mut Notes) {
    if request.tools.iter().any(|tool| tool.strict == Some(true)) {
        notes.dropped("tools.strict");
    }
    if request.parallel_tool_calls == Some(false) && !request.tools.is_empty() {
        notes.dropped("parallel_tool_calls");
    }
}

/// Returns how tools are to be called.
fn tool_config(request: &ChatRequest, names: &Names) -> Map<String, Value> {
    if request.tools.is_empty() {
        return Map::new();
    }
    let calling = match &request.tool_choice {
        ToolChoice::Auto | ToolChoice::Foreign(_) => return Map::new(),
        ToolChoice::None => json!({"mode": "NONE"}),
        ToolChoice::Required => json!({"mode": "ANY"}),
        ToolChoice::Named(name) => json!({"mode": "ANY", "allowedFunctionNames": [names.sent(name)]}),
    };
    Map::from_iter([("functionCallingConfig".to_owned(), calling)])
}

/// Returns what the answer is to be like; its form only if that is not asked for in words.
fn generation(
    request: &ChatRequest,
    (dialect, model, family): (Dialect, Model<'_>, Family),
    in_words: bool,
    notes: &mut Notes,
) -> Map<String, Value> {
    let penalties = family.takes_penalties() || (model.meant && is_own(request, dialect));
    let mut config = sampling(&request.sampling, family, penalties, notes);
    let mut put = |key: &str, value: Value| config.insert(key.to_owned(), value);
    if let Some(tokens) = output_tokens_max(request, model, notes) {
        put("maxOutputTokens", tokens.into());
    }
    if request.response_format != ResponseFormat::Text && !in_words {
        put("responseMimeType", "application/json".into());
    }
    if let Some(effort) = request.effort {
        let (thinking, note) = family.thinking(effort);
        thinking.map(|thinking| put("thinkingConfig", thinking));
        // A caller that asked for this very model knows how to say it.
        if let Some(note) = note.filter(|_| !model.meant) {
            notes.add(note);
        }
    }
    config
}

/// Returns the sampling parameters that the model takes.
fn sampling(sampling: &Sampling, family: Family, penalties: bool, notes: &mut Notes) -> Map<String, Value> {
    let mut config = Map::new();
    if sampling.stop.len() > STOP_MAX {
        // The others are enforced here.
        notes.converted("sampling.stop");
    }
    let free = |number: Option<f64>| (number.map(Value::from), !family.is_set());
    let small = |seed: i64| i32::try_from(seed).is_ok();
    for (field, key, (value, taken)) in [
        ("sampling.temperature", "temperature", free(sampling.temperature)),
        ("sampling.top_p", "topP", free(sampling.top_p)),
        ("sampling.seed", "seed", (sampling.seed.map(Value::from), sampling.seed.is_some_and(small))),
        ("sampling.presence_penalty", "presencePenalty", (sampling.presence_penalty.map(Value::from), penalties)),
        ("sampling.frequency_penalty", "frequencyPenalty", (sampling.frequency_penalty.map(Value::from), penalties)),
    ] {
        if let Some(value) = notes.keep(taken, field, value) {
            config.insert(key.to_owned(), value);
        }
    }
    config
}

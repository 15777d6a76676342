//! Writes requests: the dialect as it is, except what the provider's flavour says.

mod edit;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::messages::Messages;
use crate::wire::encoded::Encoded;
use crate::wire::flavour::{Flavour, NameForm, Template, takes_max_tokens};
use crate::wire::model::Model;
use crate::wire::names::Names;
use crate::wire::original;
use crate::wire::outgoing_text::{OutgoingJson, OutgoingText, OutgoingTexts};
use crate::wire::request::{
    Each, Fields, Notes, Root, asked, check, foreign_tools, headers, is_own, output_tokens_max, settings, verbatim,
    write, written,
};
use crate::wire::schema::{is_strict, strict};
use crate::wire::shared::extra_of;
use crate::words::{ChatRequest, Dialect, Effort, Failure, Json, ResponseFormat, Text, Tool, ToolChoice};

/// Encodes a request for a model.
pub(in crate::wire) fn encode(
    flavour: &Flavour,
    request: &ChatRequest,
    model: Model<'_>,
    streaming: bool,
) -> Result<Encoded, Failure> {
    check(request)?;
    flavour.check(request, Dialect::OpenAiChat)?;
    let streaming = streaming || flavour.streams_only(request, model);
    let own = original::of(request, Dialect::OpenAiChat);
    let model = Model { meant: original::is_meant(request, Dialect::OpenAiChat, model), ..model };
    // A caller that speaks this dialect to an unknown server may know its names better.
    let names = Names::of(flavour.names.or(own.is_none().then_some(NameForm::OPENAI)), request);
    let mut notes = Notes::default();
    let (body, instruction) = Body::of(flavour, request, model, streaming, &names, &mut notes);
    let stops = body.stops_left_out();
    let edited = match own {
        Some(original) => {
            let ours = settings(&Settings(&body, &notes))?;
            edit::edited(original, &body, &ours, instruction.as_deref(), &mut notes)
        }
        None => None,
    };
    let body = match edited {
        Some(body) => body,
        None => {
            if own.is_none() {
                let fields = body.extra().map(|(field, _)| field);
                let takes = |field: &&str| flavour.takes_extra(Dialect::OpenAiChat, field, false);
                notes.dropped_extra(fields.filter(|field| !takes(field)));
            }
            notes.foreign(Dialect::OpenAiChat, request);
            let messages = body.messages(&mut notes).instructed(instruction);
            messages.note(&mut notes);
            write(request, &Whole { body: &body, messages: &messages })?
        }
    };
    let (path, headers) = (flavour.chat_path(model.name, request), headers(streaming));
    Ok(Encoded { path, headers, body, notes: notes.0, stops, names, words: None })
}

/// A request as it is going to be written.
pub(super) struct Body<'a> {
    pub(super) flavour: &'a Flavour,
    pub(super) request: &'a ChatRequest,
    pub(super) model: Model<'a>,
    pub(super) streaming: bool,
    pub(super) names: &'a Names,
    tool_choice: Option<Value>,
    parallel_tool_calls: Option<bool>,
    format: Option<WireFormat<'a>>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    presence_penalty: Option<f64>,
    frequency_penalty: Option<f64>,
    seed: Option<i64>,
    /// Stop sequences that the target takes.
    stop: Option<OutgoingTexts<'a>>,
    /// The fields that say how hard to think.
    pub(super) thinking: Vec<(&'static str, Value)>,
    output_tokens_max: Option<u32>,
    extra: Option<Cow<'a, BTreeMap<String, Json>>>,
}

impl<'a> Body<'a> {
    /// Returns the body, and what has to be asked for in words.
    fn of(
        flavour: &'a Flavour,
        request: &'a ChatRequest,
        model: Model<'a>,
        streaming: bool,
        names: &'a Names,
        notes: &mut Notes,
    ) -> (Self, Option<String>) {
        let sampling = &request.sampling;
        let takes_stops = || !sampling.stop.is_empty() && flavour.takes(model, "sampling.stop");
        let most = if takes_stops() { flavour.stops_max } else { 0 };
        let stop = &sampling.stop[..sampling.stop.len().min(most)];
        if stop.len() < sampling.stop.len() {
            // Further stop sequences are enforced in this process.
            notes.converted("sampling.stop");
        }
        let tool_choice = tool_choice(flavour, request, names, notes);
        let own = is_own(request, Dialect::OpenAiChat);
        let (format, instruction) = format(flavour, &request.response_format, own, notes);
        if request.tools.iter().any(|tool| strict(tool, own) != tool.strict) {
            notes.dropped("tools.strict");
        }
        let extra = extra_of(Dialect::OpenAiChat, flavour, request, notes);
        let body = Self {
            parallel_tool_calls: flavour.taken(model, "parallel_tool_calls", request.parallel_tool_calls, notes),
            format,
            temperature: flavour.taken(model, "sampling.temperature", sampling.temperature, notes),
            top_p: flavour.taken(model, "sampling.top_p", sampling.top_p, notes),
            presence_penalty: flavour.taken(model, "sampling.presence_penalty", sampling.presence_penalty, notes),
            frequency_penalty: flavour.taken(model, "sampling.frequency_penalty", sampling.frequency_penalty, notes),
            seed: flavour.taken(model, "sampling.seed", sampling.seed, notes),
            stop: Some(OutgoingTexts(stop)).filter(|stop| !stop.0.is_empty()),
            thinking: thinking(flavour, request, model, tool_choice.as_ref(), notes),
            tool_choice,
            output_tokens_max: output_tokens_max(request, model, notes),
            extra,
            flavour,
            request,
            model,
            streaming,
            names,
        };
        (body, instruction)
    }

    /// Returns the fields that are the caller's own.
    fn extra(&self) -> impl Iterator<Item = (&str, &str)> {
        self.extra.iter().flat_map(|extra| written(extra))
    }

    /// Plans the messages.
    pub(super) fn messages(&self, notes: &mut Notes) -> Messages<'a> {
        Messages::of(self.flavour, self.request, self.model, self.names, notes)
    }

    /// Returns the stop sequences that the target is not told.
    fn stops_left_out(&self) -> Vec<Text> {
        self.request.sampling.stop[self.stop.map_or(0, |stop| stop.0.len())..].to_vec()
    }

    /// Returns what the limit of tokens is called: as the caller calls it, where that is taken as well.
    fn tokens_field(&self) -> &'static str {
        let said = |field| original::of(self.request, Dialect::OpenAiChat).is_some_and(|original| original.has(field));
        if said("max_tokens") && !said("max_completion_tokens") && takes_max_tokens(self.model) {
            "max_tokens"
        } else if said("max_completion_tokens") && self.flavour.is_generic() {
            "max_completion_tokens"
        } else {
            self.flavour.tokens_field(self.model)
        }
    }

    /// Writes the settings; `long` tells whether one that may be long is wanted, by its name in notes.
    fn settings<M: SerializeMap>(&self, body: &mut Fields<M>, long: impl Fn(&str) -> bool) -> Result<(), M::Error> {
        let Self { flavour, request, .. } = *self;
        if !request.tools.is_empty() || foreign_tools(Dialect::OpenAiChat, request).next().is_some() {
            body.put_some("tool_choice", self.tool_choice.as_ref())?;
            body.put_some("parallel_tool_calls", self.parallel_tool_calls.as_ref())?;
        }
        body.put_some("response_format", self.format.as_ref().filter(|_| long("response_format")))?;
        body.put_some("temperature", self.temperature.as_ref())?;
        body.put_some("top_p", self.top_p.as_ref())?;
        body.put_some("presence_penalty", self.presence_penalty.as_ref())?;
        body.put_some("frequency_penalty", self.frequency_penalty.as_ref())?;
        body.put_some(flavour.seed, self.seed.as_ref())?;
        body.put_some("stop", self.stop.as_ref().filter(|_| long("sampling.stop")))?;
        for (field, value) in &self.thinking {
            body.put(field, value)?;
        }
        match &self.output_tokens_max {
            Some(limit) => body.put(self.tokens_field(), limit),
            None => Ok(()),
        }
    }
}

/// A body that is written anew, with its messages.
struct Whole<'b, 'a> {
    body: &'b Body<'a>,
    messages: &'b Messages<'a>,
}

impl Serialize for Whole<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { body: whole, messages } = *self;
        let Body { flavour, request, names, .. } = *whole;
        let mut body = Fields::new(serializer.serialize_map(None)?);
        body.put("model", whole.model.name)?;
        body.put("messages", messages)?;
        body.put("stream", &whole.streaming)?;
        if whole.streaming && flavour.stream_usage {
            body.put("stream_options", &json!({"include_usage": true}))?;
        }
        let foreign = || foreign_tools(Dialect::OpenAiChat, request).map(WireTool::Foreign);
        if !request.tools.is_empty() || foreign().next().is_some() {
            let own = is_own(request, Dialect::OpenAiChat);
            let functions = || request.tools.iter().map(|tool| WireTool::Function(tool, strict(tool, own), names));
            body.put("tools", &Each(|| functions().chain(foreign())))?;
        }
        whole.settings(&mut body, |_| true)?;
        for (field, json) in flavour.continuing(request, Dialect::OpenAiChat) {
            body.put(field, &serde_json::from_str::<Value>(json).expect("the table holds JSON"))?;
        }
        body.end(whole.extra().filter(|(field, _)| flavour.takes_extra(Dialect::OpenAiChat, field, whole.model.meant)))
    }
}

/// The settings of a body alone. One that may be long is left out where it goes as it came.
struct Settings<'b, 'a>(&'b Body<'a>, &'b Notes);

impl Serialize for Settings<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = Fields::new(serializer.serialize_map(None)?);
        self.0.settings(&mut fields, |what| self.1.tells(what))?;
        fields.end([])
    }
}

/// Returns the choice of tools as the provider takes it.
fn tool_choice(flavour: &Flavour, request: &ChatRequest, names: &Names, notes: &mut Notes) -> Option<Value> {
    let one = |name: &str| json!({"type": "function", "function": {"name": names.sent(name)}});
    match (&request.tool_choice, flavour.required, &request.tools[..]) {
        (ToolChoice::Foreign(choice), ..) => {
            verbatim(Dialect::OpenAiChat, choice).and_then(|choice| serde_json::from_str(choice.get()).ok())
        }
        (ToolChoice::Auto, ..) => None,
        (_, _, []) if foreign_tools(Dialect::OpenAiChat, request).next().is_none() => None,
        (ToolChoice::None, ..) => Some("none".into()),
        (ToolChoice::Named(name), ..) => Some(one(name)),
        (ToolChoice::Required, Some(word), _) => Some(word.into()),
        // If there is only one tool, "some tool" is that tool.
        (ToolChoice::Required, None, [tool]) => {
            notes.converted("tool_choice");
            Some(one(&tool.name))
        }
        (ToolChoice::Required, None, _) => {
            notes.dropped("tool_choice");
            None
        }
    }
}

/// Returns the fields that say how hard to think; not at all, where thinking forbids what else is asked for: that a
/// tool is called, or that the answer is JSON.
fn thinking(
    flavour: &Flavour,
    request: &ChatRequest,
    model: Model<'_>,
    tool_choice: Option<&Value>,
    notes: &mut Notes,
) -> Vec<(&'static str, Value)> {
    let fill = |templates: &[Template], word: &str| {
        let filled = templates.iter().map(|(field, json)| {
            (*field, serde_json::from_str(&json.replace("{}", word)).expect("the table holds JSON"))
        });
        filled.collect()
    };
    let is_forced = tool_choice.is_some_and(|choice| choice != "none");
    let is_forbidden = (is_forced && !flavour.thinks_when_forced) || flavour.turns_thinking_off_for(request, model);
    if is_forbidden && !flavour.thinking_off.is_empty() {
        let effort = request.effort.filter(|effort| *effort > Effort::Minimal);
        notes.keep(false, "effort", effort);
        return fill(flavour.thinking_off, "");
    }
    match flavour.taken(model, "effort", request.effort, notes) {
        None => Vec::new(),
        Some(effort) => match flavour.effort_word(model, effort, notes) {
            // An effort below every step that can be asked for is left out.
            "" => fill(flavour.thinking_off, ""),
            word => fill(flavour.effort, word),
        },
    }
}

/// Returns the form of the answer as the provider takes it, and an instruction to add if that is not enough. For a
/// caller of this dialect the provider itself refuses schemas that it cannot hold answers to.
fn format<'a>(
    flavour: &Flavour,
    format: &'a ResponseFormat,
    own: bool,
    notes: &mut Notes,
) -> (Option<WireFormat<'a>>, Option<String>) {
    let mut json = flavour.json.then_some(WireFormat::JsonObject);
    match format {
        ResponseFormat::Text => return (None, None),
        ResponseFormat::Json if flavour.json => return (json, None),
        ResponseFormat::Json => {}
        ResponseFormat::JsonSchema { name, schema, strict } => {
            let root = Root::of(schema);
            if flavour.schema && (own || flavour.any_root || root == Root::Object) {
                let holds = *strict && (own || is_strict(schema));
                if holds != *strict {
                    notes.converted("response_format");
                }
                let json_schema = WireSchema { name, schema: OutgoingJson::from(schema), strict: holds };
                return (Some(WireFormat::JsonSchema { json_schema }), None);
            }
            // That asks for an object.
            json = json.filter(|_| root == Root::Object);
        }
    }
    notes.converted("response_format");
    (json, asked(format))
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
        let name = names.sent(name);
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("type", "function")?;
        let description = Some(OutgoingText::FromRequest(description)).filter(|text| !text.is_empty());
        let parameters = OutgoingJson::from(parameters);
        map.serialize_entry("function", &ToolFunction { name, description, parameters, strict: *strict })?;
        map.end()
    }
}

#[derive(serde::Serialize)]
struct ToolFunction<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<OutgoingText<'a>>,
    parameters: OutgoingJson<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

#[derive(serde::Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum WireFormat<'a> {
    JsonObject,
    JsonSchema { json_schema: WireSchema<'a> },
}

#[derive(serde::Serialize)]
struct WireSchema<'a> {
    name: &'a str,
    schema: OutgoingJson<'a>,
    strict: bool,
}

//! Writes requests: the dialect as it is, but for what the provider's accent says.

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::messages::Messages;
use crate::wire::original;
use crate::wire::quirks::{Quirks, Template};
use crate::wire::request::{
    Each, Fields, Notes, asked, check, extra, foreign_tools, headers, output_tokens_max, verbatim, write,
};
use crate::wire::{Encoded, Model};
use crate::words::{ChatRequest, Dialect, Effort, Failure, Original, ResponseFormat, Tool, ToolChoice};

/// Encodes a request for a model.
pub(in crate::wire) fn encode(
    quirks: &Quirks,
    request: &ChatRequest,
    model: Model<'_>,
    streaming: bool,
) -> Result<Encoded, Failure> {
    check(request)?;
    quirks.check(request)?;
    let streaming = streaming || quirks.stream_only;
    let mut notes = Notes::default();
    notes.foreign(Dialect::OpenAiChat, request);
    let body = Body::of(quirks, request, model, streaming, &mut notes);
    let body = match original::find(request, Dialect::OpenAiChat, model, streaming, &notes) {
        Some(original) if is_for(original, quirks, model, streaming) => {
            let count = streaming && quirks.stream_usage && original.stream_usage.is_none();
            original::body(original, model.name, if count { STREAM_USAGE } else { "" })
        }
        _ => write(request, &body)?,
    };
    Ok(Encoded { path: quirks.chat_path(model.name), headers: headers(streaming), body, notes: notes.0 })
}

/// Asks for the usage at a stream's end.
const STREAM_USAGE: &str = r#""stream_options":{"include_usage":true},"#;

/// Tells whether a body that came in this dialect can go to a model with this accent.
fn is_for(original: &Original, quirks: &Quirks, model: Model<'_>, streaming: bool) -> bool {
    let tokens = original.tokens_field.is_none_or(|field| field == quirks.tokens_field(model));
    let counts = !streaming || !quirks.stream_usage || original.stream_usage != Some(false);
    quirks.is_plain() && tokens && counts
}

/// A request as it is going to be written.
struct Body<'a> {
    quirks: &'a Quirks,
    request: &'a ChatRequest,
    model: Model<'a>,
    streaming: bool,
    messages: Messages<'a>,
    tool_choice: Option<Value>,
    parallel_tool_calls: Option<bool>,
    format: Option<WireFormat<'a>>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    presence_penalty: Option<f64>,
    frequency_penalty: Option<f64>,
    seed: Option<i64>,
    stop: Option<&'a [String]>,
    /// The fields that say how hard to think.
    thinking: Vec<(&'static str, Value)>,
    output_tokens_max: Option<u32>,
    extra: Option<&'a Map<String, Value>>,
}

impl<'a> Body<'a> {
    fn of(quirks: &'a Quirks, request: &'a ChatRequest, model: Model<'a>, streaming: bool, notes: &mut Notes) -> Self {
        let sampling = &request.sampling;
        let stop = Some(&sampling.stop[..]).filter(|stop| !stop.is_empty());
        let takes = |field| quirks.takes(model, field);
        let tool_choice = tool_choice(quirks, request, notes);
        let (format, instruction) = format(quirks, &request.response_format, notes);
        let extra = extra(Dialect::OpenAiChat, request, notes);
        if extra.is_some_and(|extra| extra.keys().any(|key| !quirks.takes_extra(key))) {
            notes.dropped("extra");
        }
        Self {
            messages: Messages::of(quirks, request, model, instruction, notes),
            parallel_tool_calls: notes.keep(
                takes("parallel_tool_calls"),
                "parallel_tool_calls",
                request.parallel_tool_calls,
            ),
            format,
            temperature: notes.keep(takes("sampling.temperature"), "sampling.temperature", sampling.temperature),
            top_p: notes.keep(takes("sampling.top_p"), "sampling.top_p", sampling.top_p),
            presence_penalty: notes.keep(
                takes("sampling.presence_penalty"),
                "sampling.presence_penalty",
                sampling.presence_penalty,
            ),
            frequency_penalty: notes.keep(
                takes("sampling.frequency_penalty"),
                "sampling.frequency_penalty",
                sampling.frequency_penalty,
            ),
            seed: notes.keep(takes("sampling.seed"), "sampling.seed", sampling.seed),
            stop: notes.keep(takes("sampling.stop"), "sampling.stop", stop),
            thinking: thinking(quirks, request, model, tool_choice.as_ref(), notes),
            tool_choice,
            output_tokens_max: output_tokens_max(request, model, notes),
            extra,
            quirks,
            request,
            model,
            streaming,
        }
    }
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { quirks, request, .. } = *self;
        let mut body = Fields::new(serializer.serialize_map(None)?);
        body.put("model", self.model.name)?;
        body.put("messages", &self.messages)?;
        body.put("stream", &self.streaming)?;
        if self.streaming && quirks.stream_usage {
            body.put("stream_options", &json!({"include_usage": true}))?;
        }
        let foreign = || foreign_tools(Dialect::OpenAiChat, request).map(WireTool::Foreign);
        if !request.tools.is_empty() || foreign().next().is_some() {
            body.put("tools", &Each(|| request.tools.iter().map(WireTool::Function).chain(foreign())))?;
            body.put_some("tool_choice", self.tool_choice.as_ref())?;
            body.put_some("parallel_tool_calls", self.parallel_tool_calls.as_ref())?;
        }
        body.put_some("response_format", self.format.as_ref())?;
        body.put_some("temperature", self.temperature.as_ref())?;
        body.put_some("top_p", self.top_p.as_ref())?;
        body.put_some("presence_penalty", self.presence_penalty.as_ref())?;
        body.put_some("frequency_penalty", self.frequency_penalty.as_ref())?;
        body.put_some(quirks.seed, self.seed.as_ref())?;
        body.put_some("stop", self.stop.as_ref())?;
        for (field, value) in &self.thinking {
            body.put(field, value)?;
        }
        body.put_some(quirks.tokens_field(self.model), self.output_tokens_max.as_ref())?;
        body.end(self.extra.into_iter().flatten().filter(|(key, _)| quirks.takes_extra(key)))
    }
}

/// Returns the choice of tools as the provider takes it.
fn tool_choice(quirks: &Quirks, request: &ChatRequest, notes: &mut Notes) -> Option<Value> {
    let named = |name: &str| json!({"type": "function", "function": {"name": name}});
    match (&request.tool_choice, quirks.required, &request.tools[..]) {
        (ToolChoice::Foreign(choice), ..) => {
            verbatim(Dialect::OpenAiChat, choice).and_then(|choice| serde_json::from_str(choice.get()).ok())
        }
        (ToolChoice::Auto, ..) => None,
        (_, _, []) if foreign_tools(Dialect::OpenAiChat, request).next().is_none() => None,
        (ToolChoice::None, ..) => Some("none".into()),
        (ToolChoice::Named(name), ..) => Some(named(name)),
        (ToolChoice::Required, Some(word), _) => Some(word.into()),
        // Some tool of one tool is that tool.
        (ToolChoice::Required, None, [tool]) => {
            notes.converted("tool_choice");
            Some(named(&tool.name))
        }
        (ToolChoice::Required, None, _) => {
            notes.dropped("tool_choice");
            None
        }
    }
}

/// Returns the fields that say how hard to think; not at all, where a tool is forced and thinking forbids that.
fn thinking(
    quirks: &Quirks,
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
    if is_forced && !quirks.unthinking.is_empty() {
        let effort = request.effort.filter(|effort| *effort != Effort::Minimal);
        notes.keep(false, "effort", effort);
        return fill(quirks.unthinking, "");
    }
    match notes.keep(quirks.takes(model, "effort"), "effort", request.effort) {
        None => Vec::new(),
        Some(effort) => match quirks.effort_word(model, effort, notes) {
            "" => fill(quirks.unthinking, ""),
            word => fill(quirks.effort, word),
        },
    }
}

/// Returns the form of the answer as the provider takes it, and what is to be said where that does not say all.
fn format<'a>(
    quirks: &Quirks,
    format: &'a ResponseFormat,
    notes: &mut Notes,
) -> (Option<WireFormat<'a>>, Option<String>) {
    let json = quirks.json.then_some(WireFormat::JsonObject);
    match format {
        ResponseFormat::Text => return (None, None),
        ResponseFormat::Json if quirks.json => return (json, None),
        ResponseFormat::JsonSchema { name, schema, strict } if quirks.schema => {
            let json_schema = WireSchema { name, schema, strict: *strict };
            return (Some(WireFormat::JsonSchema { json_schema }), None);
        }
        ResponseFormat::Json | ResponseFormat::JsonSchema { .. } => {}
    }
    notes.converted("response_format");
    (json, asked(format))
}

enum WireTool<'a> {
    Function(&'a Tool),
    Foreign(&'a RawValue),
}

impl Serialize for WireTool<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Tool { name, description, parameters, strict } = match self {
            Self::Function(tool) => tool,
            Self::Foreign(tool) => return tool.serialize(serializer),
        };
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("type", "function")?;
        let description = Some(description.as_str()).filter(|text| !text.is_empty());
        map.serialize_entry("function", &ToolFunction { name, description, parameters, strict: *strict })?;
        map.end()
    }
}

#[derive(serde::Serialize)]
struct ToolFunction<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    parameters: &'a Value,
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
    schema: &'a Value,
    strict: bool,
}

//! Writes requests.

use std::fmt;
use std::ops::RangeInclusive;

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::{Value, json};

use crate::wire::Encoded;
use crate::wire::request::{Fields, arguments, check, headers, write};
use crate::words::{
    AssistantPart, ChatRequest, Effort, Failure, Image, Message, ResponseFormat, Tool, ToolCall, ToolChoice, UserPart,
};

/// Families of models, by the generation after the name, that take `max_completion_tokens` and refuse `max_tokens`.
/// Every other server knows the older name. `gpt-35` (Azure) is of the third generation, hence one digit.
const COMPLETION_TOKENS_FAMILIES: [(&str, RangeInclusive<u8>); 2] = [("o", b'1'..=b'9'), ("gpt-", b'5'..=b'9')];

/// Encodes a request for a model.
pub(in crate::wire) fn encode(request: &ChatRequest, model: &str, streaming: bool) -> Result<Encoded, Failure> {
    check(request)?;
    let body = write(request, &Body { request, model, streaming })?;
    Ok(Encoded { path: "/chat/completions".into(), headers: headers(streaming), body, notes: Vec::new() })
}

struct Body<'a> {
    request: &'a ChatRequest,
    model: &'a str,
    streaming: bool,
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { request, model, streaming } = *self;
        let mut body = Fields::new(serializer.serialize_map(None)?);
        body.put("model", model)?;
        body.put("messages", &Each(&request.messages, WireMessage))?;
        body.put("stream", &streaming)?;
        if streaming {
            body.put("stream_options", &json!({"include_usage": true}))?;
        }
        if !request.tools.is_empty() {
            body.put("tools", &Each(&request.tools, WireTool))?;
            body.put_some("tool_choice", tool_choice(&request.tool_choice).as_ref())?;
            body.put_some("parallel_tool_calls", request.parallel_tool_calls.as_ref())?;
        }
        body.put_some("response_format", WireFormat::of(&request.response_format).as_ref())?;
        let sampling = &request.sampling;
        body.put_some("temperature", sampling.temperature.as_ref())?;
        body.put_some("top_p", sampling.top_p.as_ref())?;
        body.put_some("presence_penalty", sampling.presence_penalty.as_ref())?;
        body.put_some("frequency_penalty", sampling.frequency_penalty.as_ref())?;
        body.put_some("seed", sampling.seed.as_ref())?;
        body.put_some("stop", Some(&sampling.stop).filter(|stop| !stop.is_empty()))?;
        body.put_some("reasoning_effort", request.effort.map(effort).as_ref())?;
        body.put_some(tokens_field(model), request.output_tokens_max.as_ref())?;
        body.end(&request.extra)
    }
}

fn tokens_field(model: &str) -> &'static str {
    let name = model.rsplit('/').next().unwrap_or(model);
    let newer = COMPLETION_TOKENS_FAMILIES.iter().any(|(family, generations)| {
        let Some(&[generation, ref rest @ ..]) = name.strip_prefix(family).map(str::as_bytes) else { return false };
        generations.contains(&generation) && !rest.first().is_some_and(u8::is_ascii_digit)
    });
    if newer { "max_completion_tokens" } else { "max_tokens" }
}

fn effort(effort: Effort) -> &'static str {
    match effort {
        Effort::Minimal => "minimal",
        Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High => "high",
    }
}

fn tool_choice(choice: &ToolChoice) -> Option<Value> {
    match choice {
        ToolChoice::Auto => None,
        ToolChoice::None => Some("none".into()),
        ToolChoice::Required => Some("required".into()),
        ToolChoice::Named(name) => Some(json!({"type": "function", "function": {"name": name}})),
    }
}

/// A slice of words, each written in its wire form.
struct Each<'a, T, W>(&'a [T], fn(&'a T) -> W);

impl<T, W: Serialize> Serialize for Each<'_, T, W> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(self.1))
    }
}

/// What is formatted straight into a JSON string.
struct Formatted<T>(T);

impl<T: fmt::Display> Serialize for Formatted<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

struct WireMessage<'a>(&'a Message);

impl Serialize for WireMessage<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self.0 {
            Message::System(text) => {
                map.serialize_entry("role", "system")?;
                map.serialize_entry("content", text)?;
            }
            Message::User(parts) => {
                map.serialize_entry("role", "user")?;
                match &parts[..] {
                    [UserPart::Text(text)] => map.serialize_entry("content", text)?,
                    parts => map.serialize_entry("content", &Each(parts, WirePart))?,
                }
            }
            Message::Assistant(parts) => {
                map.serialize_entry("role", "assistant")?;
                let calls = WireCalls(parts);
                let has_text = parts.iter().any(|part| matches!(part, AssistantPart::Text(_)));
                let has_calls = calls.iter().next().is_some();
                // Some servers refuse a message without content, others an empty one beside tool calls.
                let content = (has_text || !has_calls).then_some(Formatted(Said(parts)));
                map.serialize_entry("content", &content)?;
                if has_calls {
                    map.serialize_entry("tool_calls", &calls)?;
                }
            }
            Message::Tool(result) => {
                map.serialize_entry("role", "tool")?;
                map.serialize_entry("tool_call_id", &result.call_id)?;
                map.serialize_entry("content", &result.content)?;
            }
        }
        map.end()
    }
}

/// All an assistant's message says aloud.
struct Said<'a>(&'a [AssistantPart]);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            AssistantPart::Text(text) => f.write_str(text),
            AssistantPart::Reasoning(_) | AssistantPart::ToolCall(_) => Ok(()),
        })
    }
}

struct WirePart<'a>(&'a UserPart);

impl Serialize for WirePart<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self.0 {
            UserPart::Text(text) => {
                map.serialize_entry("type", "text")?;
                map.serialize_entry("text", text)?;
            }
            UserPart::Image(image) => {
                map.serialize_entry("type", "image_url")?;
                map.serialize_entry("image_url", &WireImage(image))?;
            }
        }
        map.end()
    }
}

struct WireImage<'a>(&'a Image);

impl Serialize for WireImage<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        match self.0 {
            Image::Url(url) => map.serialize_entry("url", url)?,
            Image::Base64 { media_type, data } => {
                map.serialize_entry("url", &Formatted(format_args!("data:{media_type};base64,{data}")))?;
            }
        }
        map.end()
    }
}

/// The tool calls among an assistant's parts.
struct WireCalls<'a>(&'a [AssistantPart]);

impl WireCalls<'_> {
    fn iter(&self) -> impl Iterator<Item = &ToolCall> {
        self.0.iter().filter_map(|part| match part {
            AssistantPart::ToolCall(call) => Some(call),
            AssistantPart::Text(_) | AssistantPart::Reasoning(_) => None,
        })
    }
}

impl Serialize for WireCalls<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(None)?;
        for call in self.iter() {
            seq.serialize_element(&WireCall {
                id: &call.id,
                kind: "function",
                function: WireFunction { name: &call.name, arguments: arguments(call) },
            })?;
        }
        seq.end()
    }
}

#[derive(serde::Serialize)]
struct WireCall<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    function: WireFunction<'a>,
}

#[derive(serde::Serialize)]
struct WireFunction<'a> {
    name: &'a str,
    arguments: &'a str,
}

struct WireTool<'a>(&'a Tool);

impl Serialize for WireTool<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Tool { name, description, parameters, strict } = self.0;
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

impl<'a> WireFormat<'a> {
    fn of(format: &'a ResponseFormat) -> Option<Self> {
        match format {
            ResponseFormat::Text => None,
            ResponseFormat::Json => Some(Self::JsonObject),
            ResponseFormat::JsonSchema { name, schema, strict } => {
                Some(Self::JsonSchema { json_schema: WireSchema { name, schema, strict: *strict } })
            }
        }
    }
}

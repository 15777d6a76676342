//! Writes requests: the conversation as a list of items, of which one message of an assistant may become several.

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::json;
use serde_json::value::RawValue;

use crate::wire::Encoded;
use crate::wire::quirks::{IdForm, Quirks};
use crate::wire::request::{Address, Capped, Each, Fields, Notes, arguments, check, headers, write};
use crate::words::{
    AssistantPart, ChatRequest, Dialect, Failure, Message, Reasoning, ResponseFormat, Tool, ToolChoice, UserPart,
};

/// The fewest tokens that may be asked for; less is refused.
const OUTPUT_TOKENS_MIN: u32 = 16;
/// The longest id of a call that is taken, in characters.
const CALL_ID: IdForm = IdForm::Max(64);

/// Encodes a request for a model.
pub(in crate::wire) fn encode<'a>(
    quirks: &Quirks,
    request: impl Into<Capped<'a>>,
    model: &str,
    streaming: bool,
) -> Result<Encoded, Failure> {
    let capped = request.into();
    let request = capped.request;
    check(request)?;
    quirks.check(request)?;
    let mut notes = Notes::default();
    let body = Body::of(quirks, capped, model, streaming, &mut notes);
    let body = write(request, &body)?;
    Ok(Encoded { path: quirks.responses_path.into(), headers: headers(streaming), body, notes: notes.0 })
}

/// A request as it is going to be written.
struct Body<'a> {
    request: &'a ChatRequest,
    model: &'a str,
    streaming: bool,
    input: Input<'a>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    parallel_tool_calls: Option<bool>,
    effort: Option<&'static str>,
    /// Whether encrypted reasoning is asked for: models that do not reason refuse that.
    encrypted: bool,
    output_tokens_max: Option<u32>,
}

impl<'a> Body<'a> {
    fn of(quirks: &Quirks, capped: Capped<'a>, model: &'a str, streaming: bool, notes: &mut Notes) -> Self {
        let request = capped.request;
        let sampling = &request.sampling;
        let takes = |field| quirks.takes(model, field);
        let temperature = notes.keep(takes("sampling.temperature"), "sampling.temperature", sampling.temperature);
        let top_p = notes.keep(takes("sampling.top_p"), "sampling.top_p", sampling.top_p);
        notes.keep(false, "sampling.presence_penalty", sampling.presence_penalty);
        notes.keep(false, "sampling.frequency_penalty", sampling.frequency_penalty);
        notes.keep(false, "sampling.seed", sampling.seed);
        notes.keep(false, "sampling.stop", sampling.stop.first());
        let field = "parallel_tool_calls";
        let parallel_tool_calls = notes.keep(takes(field), field, request.parallel_tool_calls);
        let effort = notes.keep(takes("effort"), "effort", request.effort);
        let effort = effort.map(|effort| quirks.effort_word(model, effort, notes)).filter(|word| !word.is_empty());
        let output_tokens_max = capped.output_tokens_max(notes).map(|tokens| tokens.max(OUTPUT_TOKENS_MIN));
        if output_tokens_max != request.output_tokens_max {
            notes.converted("output_tokens_max");
        }
        let input =
            Input { messages: &request.messages, system_role: quirks.system_role(model), echoes: quirks.echoes };
        input.note(notes);
        let encrypted = quirks.encrypts(model, effort.is_some() || request.extra.contains_key("reasoning"));
        Self {
            request,
            model,
            streaming,
            input,
            temperature,
            top_p,
            parallel_tool_calls,
            effort,
            encrypted,
            output_tokens_max,
        }
    }
}

/// Returns how many of an assistant's parts may be sent: reasoning must be followed by what it led to, and an answer
/// that broke off in the middle of it has nothing to follow.
fn sendable(parts: &[AssistantPart]) -> usize {
    let last = parts.iter().rposition(|part| match part {
        AssistantPart::Text(text) => !text.is_empty(),
        AssistantPart::ToolCall(_) => true,
        AssistantPart::Reasoning(_) => false,
    });
    last.map_or(0, |last| last + 1)
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let request = self.request;
        let mut body = Fields::new(serializer.serialize_map(None)?);
        body.put("model", self.model)?;
        body.put("input", &self.input)?;
        body.put("stream", &self.streaming)?;
        body.put("store", &false)?;
        if self.encrypted {
            body.put("include", &["reasoning.encrypted_content"])?;
        }
        body.put_some("reasoning", self.effort.map(|effort| json!({"effort": effort})).as_ref())?;
        if !request.tools.is_empty() {
            body.put("tools", &Each(|| request.tools.iter().map(WireTool)))?;
            body.put_some("tool_choice", tool_choice(&request.tool_choice).as_ref())?;
            body.put_some("parallel_tool_calls", self.parallel_tool_calls.as_ref())?;
        }
        body.put_some("text", WireText::of(&request.response_format).as_ref())?;
        body.put_some("temperature", self.temperature.as_ref())?;
        body.put_some("top_p", self.top_p.as_ref())?;
        body.put_some("max_output_tokens", self.output_tokens_max.as_ref())?;
        body.end(&request.extra)
    }
}

fn tool_choice(choice: &ToolChoice) -> Option<serde_json::Value> {
    match choice {
        ToolChoice::Auto => None,
        ToolChoice::None => Some("none".into()),
        ToolChoice::Required => Some("required".into()),
        ToolChoice::Named(name) => Some(json!({"type": "function", "name": name})),
    }
}

/// The conversation as items.
struct Input<'a> {
    messages: &'a [Message],
    system_role: &'static str,
    /// Whether visible reasoning goes along where there is none encrypted.
    echoes: bool,
}

impl Input<'_> {
    /// Notes what of the messages cannot go as it is.
    fn note(&self, notes: &mut Notes) {
        for message in self.messages {
            match message {
                Message::Tool(result) => notes.result(CALL_ID, result),
                Message::Assistant(parts) => {
                    let sent = sendable(parts);
                    for (at, part) in parts.iter().enumerate() {
                        match part {
                            AssistantPart::Reasoning(thought) if at >= sent || self.reasoning(thought).is_none() => {
                                notes.dropped("messages.reasoning");
                            }
                            AssistantPart::ToolCall(call) => notes.call(CALL_ID, call),
                            AssistantPart::Text(_) | AssistantPart::Reasoning(_) => {}
                        }
                    }
                }
                Message::System(_) | Message::User(_) => {}
            }
        }
    }

    /// Returns the item of a thought, if it can go: what this dialect encrypted, else what is visible.
    fn reasoning<'a>(&self, thought: &'a Reasoning) -> Option<Thought<'a>> {
        let own = thought.proof.as_ref().filter(|proof| proof.dialect == Dialect::OpenAiResponses);
        let item = own.and_then(|proof| serde_json::from_str::<&RawValue>(&proof.data).ok());
        let visible = Some(&thought.text[..]).filter(|text| self.echoes && !text.is_empty());
        item.filter(|item| item.get().starts_with('{')).map(Thought::Encrypted).or(visible.map(Thought::Visible))
    }

    /// Writes what an assistant said, thought and called, in its order.
    fn assistant<S: SerializeSeq>(&self, parts: &[AssistantPart], seq: &mut S) -> Result<(), S::Error> {
        for run in parts.chunk_by(|a, b| a.as_text().is_some() && b.as_text().is_some()) {
            match &run[0] {
                AssistantPart::Text(_) => {
                    let texts = || run.iter().filter_map(AssistantPart::as_text).filter(|text| !text.is_empty());
                    if texts().next().is_some() {
                        let content = Each(|| texts().map(|text| Text { kind: "output_text", text }));
                        seq.serialize_element(&Item::said("assistant", content))?;
                    }
                }
                AssistantPart::Reasoning(thought) => match self.reasoning(thought) {
                    Some(Thought::Encrypted(item)) => seq.serialize_element(item)?,
                    Some(Thought::Visible(text)) => {
                        let content = [Text { kind: "reasoning_text", text }];
                        seq.serialize_element(&Item::Reasoning { summary: [(); 0], content })?;
                    }
                    None => {}
                },
                AssistantPart::ToolCall(call) => {
                    let call_id = CALL_ID.fit(&call.id);
                    let (name, arguments) = (&call.name, arguments(call));
                    seq.serialize_element(&Plain::FunctionCall { call_id: &call_id, name, arguments })?;
                }
            }
        }
        Ok(())
    }
}

impl Serialize for Input<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(None)?;
        for message in self.messages {
            match message {
                Message::System(text) => seq.serialize_element(&Item::said(self.system_role, text))?,
                Message::User(parts) => match &parts[..] {
                    [UserPart::Text(text)] => seq.serialize_element(&Item::said("user", text))?,
                    parts => seq.serialize_element(&Item::said("user", Each(|| parts.iter().map(WirePart))))?,
                },
                Message::Assistant(parts) => self.assistant(&parts[..sendable(parts)], &mut seq)?,
                Message::Tool(result) => {
                    let call_id = CALL_ID.fit(&result.call_id);
                    let output = &result.content;
                    seq.serialize_element(&Plain::FunctionCallOutput { call_id: &call_id, output })?;
                }
            }
        }
        seq.end()
    }
}

/// A thought as it can go back.
enum Thought<'a> {
    /// Its item, as it came.
    Encrypted(&'a RawValue),
    /// What can be read of it.
    Visible(&'a str),
}

#[derive(serde::Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Item<'a, C> {
    Message { role: &'static str, content: C },
    Reasoning { summary: [(); 0], content: C },
    FunctionCall { call_id: &'a str, name: &'a str, arguments: &'a str },
    FunctionCallOutput { call_id: &'a str, output: &'a str },
}

/// An item without parts.
type Plain<'a> = Item<'a, ()>;

impl<C> Item<'_, C> {
    fn said(role: &'static str, content: C) -> Self {
        Self::Message { role, content }
    }
}

#[derive(serde::Serialize)]
struct Text<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    text: &'a str,
}

struct WirePart<'a>(&'a UserPart);

impl Serialize for WirePart<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        match self.0 {
            UserPart::Text(text) => {
                map.serialize_entry("type", "input_text")?;
                map.serialize_entry("text", text)?;
            }
            UserPart::Image(image) => {
                map.serialize_entry("type", "input_image")?;
                map.serialize_entry("image_url", &Address(image))?;
            }
        }
        map.end()
    }
}

struct WireTool<'a>(&'a Tool);

impl Serialize for WireTool<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Tool { name, description, parameters, strict } = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", "function")?;
        map.serialize_entry("name", name)?;
        if !description.is_empty() {
            map.serialize_entry("description", description)?;
        }
        map.serialize_entry("parameters", parameters)?;
        if let Some(strict) = strict {
            map.serialize_entry("strict", strict)?;
        }
        map.end()
    }
}

#[derive(serde::Serialize)]
struct WireText<'a> {
    format: WireFormat<'a>,
}

#[derive(serde::Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum WireFormat<'a> {
    JsonObject,
    JsonSchema { name: &'a str, schema: &'a serde_json::Value, strict: bool },
}

impl<'a> WireText<'a> {
    fn of(format: &'a ResponseFormat) -> Option<Self> {
        let format = match format {
            ResponseFormat::Text => return None,
            ResponseFormat::Json => WireFormat::JsonObject,
            ResponseFormat::JsonSchema { name, schema, strict } => {
                WireFormat::JsonSchema { name, schema, strict: *strict }
            }
        };
        Some(Self { format })
    }
}

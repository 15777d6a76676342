//! Writes requests. Messages borrow from the caller's words and go straight into one buffer; only the options are
//! values, so that the caller's own can be joined to them.

use std::borrow::Cow;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

use crate::wire::conversation::{Media, Part, Step, steps};
use crate::wire::encoded::Encoded;
use crate::wire::ids::IdForm;
use crate::wire::model::Model;
use crate::wire::names::Names;
use crate::wire::outgoing_text::{OutgoingJson, OutgoingText, told};
use crate::wire::request::{
    ArgumentsObject, Each, Fields, Joined, Notes, check, headers, inline, is_theirs, output_tokens_max, unsupported,
    write, written,
};
use crate::words::{
    AssistantPart, ChatRequest, Dialect, Effort, Failure, ResponseFormat, Text, Tool, ToolChoice, UserPart,
    without_path,
};

/// Models that take a level of thinking; all others only take whether to think.
const GRADED: &str = "gpt-oss";

/// Fields of this dialect alone: they go along from callers of other dialects, whose own stay away.
const OWN: [&str; 2] = ["keep_alive", "options"];

/// Encodes a request for a model.
pub(in crate::wire) fn encode(request: &ChatRequest, model: Model<'_>, streaming: bool) -> Result<Encoded, Failure> {
    check(request)?;
    let mut notes = Notes::default();
    notes.foreign(Dialect::Ollama, request);
    let steps = steps(request, Dialect::Ollama, Media::Behind, |_| true, &mut notes);
    let messages = steps.into_iter().filter_map(|step| WireMessage::of(step, &mut notes).transpose());
    let messages = messages.collect::<Result<Vec<_>, _>>()?;
    notes.keep(false, "parallel_tool_calls", request.parallel_tool_calls);
    let tools = tools(request, &mut notes);
    let think = request.effort.map(|effort| think(model.name, effort, &mut notes));
    let answer_max = output_tokens_max(request, model, &mut notes);
    let theirs = is_theirs(Dialect::Ollama, request);
    let takes = |field: &str| theirs || OWN.contains(&field);
    let extra: Vec<_> = written(&request.extra).filter(|(field, _)| takes(field)).collect();
    notes.dropped_extra(request.extra.keys().map(String::as_str).filter(|field| !takes(field)));
    let (model, options) = (model.name, options(request, answer_max));
    let body = Body { request, model, streaming, messages, tools, think, options, extra };
    let body = write(request, &body)?;
    Ok(Encoded {
        path: "/api/chat".into(),
        headers: headers(streaming),
        body,
        notes: notes.0,
        stops: Vec::new(),
        names: Names::default(),
        words: None,
    })
}

/// A request as it is going to be written.
struct Body<'a> {
    request: &'a ChatRequest,
    model: &'a str,
    streaming: bool,
    messages: Vec<WireMessage<'a>>,
    tools: Vec<&'a Tool>,
    think: Option<Value>,
    options: Joined<'a>,
    extra: Vec<(&'a str, &'a str)>,
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut body = Fields::new(serializer.serialize_map(None)?);
        body.put("model", self.model)?;
        body.put("messages", &self.messages)?;
        body.put("stream", &self.streaming)?;
        if !self.tools.is_empty() {
            body.put("tools", &Each(|| self.tools.iter().map(|tool| WireTool(tool))))?;
        }
        match &self.request.response_format {
            ResponseFormat::Text => {}
            ResponseFormat::Json => body.put("format", "json")?,
            ResponseFormat::JsonSchema { schema, .. } => body.put("format", &OutgoingJson::from(schema))?,
        }
        body.put_some("think", self.think.as_ref())?;
        body.put_some("options", Some(&self.options).filter(|options| !options.is_empty()))?;
        body.end(self.extra.iter().copied())
    }
}

/// Returns the tools that may be called: where one is named, that one alone, since none can be forced.
fn tools<'a>(request: &'a ChatRequest, notes: &mut Notes) -> Vec<&'a Tool> {
    let may = |tool: &&Tool| match &request.tool_choice {
        ToolChoice::Auto | ToolChoice::Required | ToolChoice::Foreign(_) => true,
        ToolChoice::None => false,
        ToolChoice::Named(name) => tool.name == *name,
    };
    match request.tool_choice {
        ToolChoice::Auto | ToolChoice::Foreign(_) => {}
        ToolChoice::None if request.tools.is_empty() => {}
        ToolChoice::Required => notes.dropped("tool_choice"),
        ToolChoice::None | ToolChoice::Named(_) => notes.converted("tool_choice"),
    }
    request.tools.iter().filter(may).collect()
}

fn think(model: &str, effort: Effort, notes: &mut Notes) -> Value {
    let name = without_path(model);
    let (word, exact) = match (name.starts_with(GRADED), effort) {
        (true, Effort::None | Effort::Minimal) => (json!("low"), false),
        (true, Effort::Low) => (json!("low"), true),
        (true, Effort::Medium) => (json!("medium"), true),
        (true, Effort::High) => (json!("high"), true),
        (true, Effort::XHigh | Effort::Max) => (json!("high"), false),
        (false, Effort::None) => (json!(false), true),
        (false, Effort::Minimal) => (json!(false), false),
        (false, _) => (json!(true), false),
    };
    if !exact {
        notes.converted("effort");
    }
    word
}

/// Returns the model's options, joined with the caller's own `options`; ours win.
fn options(request: &ChatRequest, answer_max: Option<u32>) -> Joined<'_> {
    let sampling = &request.sampling;
    let own = [
        ("temperature", sampling.temperature.map(Value::from)),
        ("top_p", sampling.top_p.map(Value::from)),
        ("presence_penalty", sampling.presence_penalty.map(Value::from)),
        ("frequency_penalty", sampling.frequency_penalty.map(Value::from)),
        ("seed", sampling.seed.map(Value::from)),
        ("stop", (!sampling.stop.is_empty()).then(|| sampling.stop.iter().map(Text::as_str).collect())),
        ("num_predict", answer_max.map(Value::from)),
    ];
    let own = own.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Joined::of(own.collect(), request.extra.get("options"))
}

/// One message. Images are beside the text, and so are thoughts.
#[derive(Default, serde::Serialize)]
struct WireMessage<'a> {
    role: &'static str,
    content: OutgoingText<'a>,
    #[serde(skip_serializing_if = "OutgoingText::is_empty")]
    thinking: OutgoingText<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    images: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<WireCall<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<Cow<'a, str>>,
}

#[derive(serde::Serialize)]
struct WireCall<'a> {
    id: Cow<'a, str>,
    function: WireFunction<'a>,
}

#[derive(serde::Serialize)]
struct WireFunction<'a> {
    name: &'a str,
    arguments: ArgumentsObject<'a>,
}

impl<'a> WireMessage<'a> {
    /// Returns a step as a message; a part of another dialect gives none.
    fn of(step: Step<'a>, notes: &mut Notes) -> Result<Option<Self>, Failure> {
        let mut wire = Self::default();
        match step {
            Step::System(text) => (wire.role, wire.content) = ("system", text.into()),
            Step::User(parts) => {
                wire.role = "user";
                let mut said: Vec<OutgoingText<'_>> = Vec::new();
                for part in parts {
                    match part {
                        Part::FromRequest(UserPart::Text(text)) => said.push(text.into()),
                        Part::Made(text) => said.push(text),
                        Part::FromRequest(UserPart::Image(image)) => match inline(image) {
                            Ok((_, data)) => wire.images.push(data),
                            Err(_) => return Err(unsupported("messages.image.url")),
                        },
                        Part::FromRequest(UserPart::Document(document)) => match told(document) {
                            Some(told) => said.push(told),
                            None => return Err(unsupported("messages.document")),
                        },
                        Part::FromRequest(UserPart::Audio(_)) => return Err(unsupported("messages.audio")),
                        Part::FromRequest(UserPart::Foreign(_)) => {}
                    }
                }
                wire.content = row(said, "\n");
            }
            Step::Assistant(spoken) => {
                wire.role = "assistant";
                let (mut said, mut thought): (Vec<OutgoingText<'_>>, Vec<OutgoingText<'_>>) = (Vec::new(), Vec::new());
                for part in spoken.parts {
                    match part {
                        AssistantPart::Text(text) => said.push(text.into()),
                        AssistantPart::Reasoning(reasoning) => {
                            notes.keep(false, "messages.reasoning", reasoning.proof.as_ref());
                            thought.push((&reasoning.text).into());
                        }
                        AssistantPart::ToolCall(_) | AssistantPart::Foreign(_) => {}
                    }
                }
                (wire.content, wire.thinking) = (row(said, ""), row(thought, ""));
                let calls = spoken.parts.iter().filter_map(AssistantPart::as_tool_call);
                for (id, call) in spoken.ids.into_iter().zip(calls) {
                    notes.call(IdForm::Any, call);
                    let function = WireFunction { name: &call.name, arguments: ArgumentsObject::of(call, notes) };
                    wire.tool_calls.push(WireCall { id, function });
                }
            }
            Step::Result(answer) => {
                answer.result.iter().for_each(|result| notes.result(IdForm::Any, result));
                (wire.role, wire.content) = ("tool", answer.text());
                wire.tool_name = Some(answer.name).filter(|name| !name.is_empty());
                wire.tool_call_id = Some(answer.id);
            }
            Step::Foreign(..) => return Ok(None),
        }
        Ok(Some(wire))
    }
}

/// Returns texts as one, without those that are empty.
fn row<'a>(texts: Vec<OutgoingText<'a>>, between: &'static str) -> OutgoingText<'a> {
    OutgoingText::row(texts.into_iter().filter(|text| !text.is_empty()), between)
}

struct WireTool<'a>(&'a Tool);

impl Serialize for WireTool<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Tool { name, description, parameters, .. } = self.0;
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("type", "function")?;
        let (description, parameters) = (description.into(), OutgoingJson::from(parameters));
        map.serialize_entry("function", &ToolFunction { name, description, parameters })?;
        map.end()
    }
}

#[derive(serde::Serialize)]
struct ToolFunction<'a> {
    name: &'a str,
    description: OutgoingText<'a>,
    parameters: OutgoingJson<'a>,
}

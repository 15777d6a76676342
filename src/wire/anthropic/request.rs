//! Writes requests: the settings besides the conversation, and the body around both.

mod edit;

use std::cell::LazyCell;
use std::collections::BTreeMap;

use http::header::{HeaderName, HeaderValue};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::models::{SamplingForm, ThinkingForm, Traits, may_rest, traits};
use super::schema::{Closed, InputSchema, can_be_closed, can_be_held};
use super::turns::{Block, Turns};
use crate::wire::encoded::Encoded;
use crate::wire::flavour::{Flavour, NameForm};
use crate::wire::model::Model;
use crate::wire::names::Names;
use crate::wire::original;
use crate::wire::outgoing_text::OutgoingText;
use crate::wire::request::{
    Each, Fields, Notes, asked, check, extra, foreign_tools, headers, is_own, output_tokens_max, settings, verbatim,
    write, written,
};
use crate::words::{ChatRequest, Dialect, Effort, Failure, Json, ResponseFormat, Sampling, Text, Tool, ToolChoice};

/// The version of the dialect; there is one.
pub(in crate::wire) const VERSION: (HeaderName, HeaderValue) =
    (HeaderName::from_static("anthropic-version"), HeaderValue::from_static("2023-06-01"));

/// The fewest tokens that can be set aside for thinking.
const BUDGET_TOKENS_MIN: u32 = 1_024;

/// The least `top_p` that a model takes while it thinks; its temperature must be 1.
const THINKING_TOP_P_MIN: f64 = 0.95;

/// Encodes a request for a model.
pub(in crate::wire) fn encode(
    flavour: &Flavour,
    request: &ChatRequest,
    model: Model<'_>,
    streaming: bool,
) -> Result<Encoded, Failure> {
    check(request)?;
    let own = original::of(request, Dialect::AnthropicMessages).filter(|original| original.left_out.is_empty());
    let model = Model { meant: original::is_meant(request, Dialect::AnthropicMessages, model), ..model };
    let names = Names::of(Some(NAMES), request);
    let traits = traits(model.family);
    let echo = (flavour.echoes(model) && !rests(flavour, request, model)).then(|| flavour.no_thought(model));
    // A request that goes as it came needs no plan, and parts without words can go as they came.
    let planned = LazyCell::new(|| {
        let mut told = Notes::default();
        told.foreign(Dialect::AnthropicMessages, request);
        Turns::of(request, (model.family, traits), echo, &names, &mut told).map(|turns| (turns, told))
    });
    let may_think = || planned.as_ref().map_or(true, |(turns, _)| turns.may_think());
    let is_anothers = || planned.as_ref().is_ok_and(|(turns, _)| turns.is_anothers());
    let mut notes = Notes::default();
    let (options, instruction) = Options::of(request, model, (flavour, traits), &may_think, &names, &mut notes);
    let extra = extra(Dialect::AnthropicMessages, request, &mut notes);
    let body = Body { flavour, request, model, streaming, names: &names, traits, echo, options: &options, extra };
    let edited = match own {
        Some(original) => {
            let ours = settings(&Settings(&body, &notes))?;
            edit::edited(original, &body, &ours, &is_anothers, instruction.as_deref(), &mut notes)
        }
        None => None,
    };
    let body = match edited {
        Some(body) => body,
        None => {
            let (turns, told) = planned.as_ref().map_err(Failure::clone)?;
            notes.all(told);
            let instruction = instruction.and_then(Block::text);
            write(request, &Whole { body: &body, turns, instruction })?
        }
    };
    let stops = Options::stops_left_out(request);
    let names = names.clone();
    let mut headers = headers(streaming);
    if flavour.messages.is_none() {
        let (name, version) = VERSION;
        headers.insert(name, version);
    }
    let path = flavour.messages_path(model.name, streaming);
    Ok(Encoded { path, headers, body, notes: notes.0, stops, names, words: None })
}

/// Names of tools that are taken ("String should match pattern '^[a-zA-Z0-9_-]{1,128}$'").
const NAMES: NameForm = NameForm { max: 128, marks: "_-" };

/// The settings besides the conversation, in the form that the model takes.
#[derive(Debug)]
pub(super) struct Options<'a> {
    max_tokens: u32,
    pub(super) thinking: Option<Value>,
    effort: Option<&'static str>,
    format: Option<WireFormat<'a>>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    stop: Vec<OutgoingText<'a>>,
    tool_choice: Option<Value>,
}

impl<'a> Options<'a> {
    /// Returns the settings, and what has to be asked for in words.
    fn of(
        request: &'a ChatRequest,
        model: Model<'_>,
        (flavour, traits): (&Flavour, Traits),
        may_think: &dyn Fn() -> bool,
        names: &Names,
        notes: &mut Notes,
    ) -> (Self, Option<String>) {
        let usual = traits.output_tokens.min(model.answer_max.unwrap_or(u32::MAX));
        let mut options = Self {
            max_tokens: output_tokens_max(request, model, notes).unwrap_or(usual),
            thinking: None,
            effort: None,
            format: None,
            temperature: None,
            top_p: None,
            stop: Vec::new(),
            tool_choice: tool_choice(request, names),
        };
        options.think(request, model, (flavour, traits), may_think, notes);
        options.sample(&request.sampling, traits, notes);
        let instruction = options.form(request, traits, notes);
        let mut strict = request.tools.iter().filter(|tool| tool.strict == Some(true)).peekable();
        if strict.peek().is_some() && !(holds(flavour, traits, request) && strict.all(|tool| is_held(request, tool))) {
            notes.dropped("tools.strict");
        }
        (options, instruction)
    }

    /// Returns the stop sequences that the target is not told.
    fn stops_left_out(request: &ChatRequest) -> Vec<Text> {
        request.sampling.stop.iter().filter(|stop| stop.is_blank()).cloned().collect()
    }

    /// Asks for thinking. A model that is made to call a tool cannot think before.
    fn think(
        &mut self,
        request: &ChatRequest,
        model: Model<'_>,
        (flavour, traits): (&Flavour, Traits),
        may_think: &dyn Fn() -> bool,
        notes: &mut Notes,
    ) {
        if rests(flavour, request, model) {
            self.thinking = Some(json!({"type": "disabled"}));
            notes.keep(false, "effort", request.effort.filter(|effort| *effort > Effort::Minimal));
            return;
        }
        let Some(effort) = request.effort else { return };
        let own = original::of(request, Dialect::AnthropicMessages);
        if traits.thinking == ThinkingForm::Budget && traits.word && own.is_some_and(edit::says_effort) {
            self.effort = Some(word(effort, traits, notes));
        }
        let free = !is_forced(request);
        match (traits.thinking, effort) {
            (ThinkingForm::Adaptive, Effort::None) if !traits.thinks => {}
            (ThinkingForm::Adaptive, Effort::None) if may_rest(model.family) => {
                self.thinking = Some(json!({"type": "disabled"}));
            }
            (ThinkingForm::Adaptive, _) => {
                self.effort = Some(word(effort, traits, notes));
                if effort > Effort::Minimal && free {
                    // Without this the newest models think without sending anything, like a provider that hangs.
                    self.thinking = Some(json!({"type": "adaptive", "display": "summarized"}));
                }
            }
            // A caller of this dialect that says no more than the word asks for no thinking.
            (ThinkingForm::Budget, _) if !own.is_none_or(|original| original.has("thinking")) => {}
            // Without being asked for there is no thinking.
            (ThinkingForm::None | ThinkingForm::Budget, Effort::None | Effort::Minimal) => {}
            (ThinkingForm::Budget, _) => {
                let wanted = match effort {
                    Effort::None | Effort::Minimal | Effort::Low => 2_048,
                    Effort::Medium => 8_192,
                    Effort::High => 24_576,
                    Effort::XHigh | Effort::Max => 32_000,
                };
                // The answer needs its half of the limit.
                let budget = wanted.min(self.max_tokens / 2);
                if budget >= BUDGET_TOKENS_MIN && free && may_think() {
                    self.thinking = Some(json!({"type": "enabled", "budget_tokens": budget}));
                } else {
                    notes.dropped("effort");
                }
            }
            (ThinkingForm::None, _) => notes.dropped("effort"),
        }
    }

    /// Sets the sampling parameters that the model takes: a thinking model takes only values near the default.
    fn sample(&mut self, sampling: &'a Sampling, traits: Traits, notes: &mut Notes) {
        let fixed = traits.sampling == SamplingForm::None;
        let thinks = self.thinking.as_ref().is_some_and(|thinking| thinking["type"] != "disabled");
        let free = |value: &f64, least: f64| !fixed && (!thinks || *value >= least);
        let temperature = sampling.temperature.map(|temperature| temperature.clamp(0.0, 1.0));
        self.temperature = temperature.filter(|temperature| free(temperature, 1.0));
        let one = traits.sampling == SamplingForm::One && self.temperature.is_some();
        self.top_p = sampling.top_p.filter(|top_p| !one && free(top_p, THINKING_TOP_P_MIN));
        self.stop = sampling.stop.iter().filter(|stop| !stop.is_blank()).map(OutgoingText::FromRequest).collect();
        let dropped = [
            ("sampling.temperature", sampling.temperature.is_some() && self.temperature.is_none()),
            ("sampling.top_p", sampling.top_p.is_some() && self.top_p.is_none()),
            ("sampling.presence_penalty", sampling.presence_penalty.is_some()),
            ("sampling.frequency_penalty", sampling.frequency_penalty.is_some()),
            ("sampling.seed", sampling.seed.is_some()),
        ];
        if self.stop.len() < sampling.stop.len() {
            // Further stop sequences are enforced in this process.
            notes.converted("sampling.stop");
        }
        dropped.iter().filter(|(_, is_dropped)| *is_dropped).for_each(|(what, _)| notes.dropped(what));
        if self.temperature.is_some() && self.temperature != sampling.temperature {
            notes.converted("sampling.temperature");
        }
    }

    /// Asks for the answer's form: by a schema where the model can be held to it, else in words; there is no JSON mode.
    fn form(&mut self, request: &'a ChatRequest, traits: Traits, notes: &mut Notes) -> Option<String> {
        if let (ResponseFormat::JsonSchema { schema, .. }, true) = (&request.response_format, traits.schemas)
            && (is_own(request, Dialect::AnthropicMessages) || can_be_held(std::iter::once(schema)))
        {
            self.format = Some(WireFormat { kind: "json_schema", schema: Closed(schema) });
            return None;
        }
        let asked = asked(&request.response_format)?;
        notes.converted("response_format");
        Some(asked)
    }
}

/// Tells whether a model must call a tool.
pub(super) fn is_forced(request: &ChatRequest) -> bool {
    matches!(request.tool_choice, ToolChoice::Required | ToolChoice::Named(_))
}

/// Tells whether a model that thinks unasked must be told not to: because its caller says so, or because it cannot be
/// made to call a tool meanwhile.
fn rests(flavour: &Flavour, request: &ChatRequest, model: Model<'_>) -> bool {
    let is_forbidden = is_forced(request) && !(flavour.thinks_when_forced || flavour.thinking_off.is_empty());
    flavour.thinks_unasked(model) && (request.effort == Some(Effort::None) || is_forbidden)
}

/// Returns the word for an effort, or for the nearest step that a model has.
fn word(effort: Effort, traits: Traits, notes: &mut Notes) -> &'static str {
    let word = match effort {
        Effort::None | Effort::Minimal | Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::Max if traits.above.contains(&"max") => "max",
        Effort::XHigh if traits.above.contains(&"xhigh") => "xhigh",
        Effort::High | Effort::XHigh | Effort::Max => "high",
    };
    if matches!(effort, Effort::None | Effort::XHigh | Effort::Max) && word != effort.name() {
        notes.converted("effort");
    }
    word
}

/// Tells whether a tool's arguments are to be held to its schema, and can be.
fn is_held(request: &ChatRequest, tool: &Tool) -> bool {
    let can_be = || is_own(request, Dialect::AnthropicMessages) || can_be_closed(&tool.parameters);
    tool.strict == Some(true) && can_be()
}

/// Tells whether the arguments of tools can be held to their schemas here: of all whose objects can be closed, or of
/// none. For a caller of this dialect the provider itself refuses what it cannot do.
fn holds(flavour: &Flavour, traits: Traits, request: &ChatRequest) -> bool {
    let schemas = request.tools.iter().filter(|tool| is_held(request, tool)).map(|tool| &tool.parameters);
    let holds = || traits.schemas && can_be_held(schemas);
    flavour.holds_tools && (is_own(request, Dialect::AnthropicMessages) || holds())
}

fn tool_choice(request: &ChatRequest, names: &Names) -> Option<Value> {
    let one_by_one = request.parallel_tool_calls == Some(false);
    let foreign = || foreign_tools(Dialect::AnthropicMessages, request);
    let mut choice = match &request.tool_choice {
        _ if request.tools.is_empty() && foreign().next().is_none() => return None,
        ToolChoice::Foreign(choice) => {
            return verbatim(Dialect::AnthropicMessages, choice).and_then(|it| serde_json::from_str(it.get()).ok());
        }
        ToolChoice::Auto if !one_by_one => return None,
        ToolChoice::Auto => json!({"type": "auto"}),
        ToolChoice::None => return Some(json!({"type": "none"})),
        ToolChoice::Required => json!({"type": "any"}),
        ToolChoice::Named(name) => json!({"type": "tool", "name": names.sent(name)}),
    };
    if one_by_one {
        choice["disable_parallel_tool_use"] = true.into();
    }
    Some(choice)
}

pub(super) struct Body<'a> {
    pub(super) flavour: &'a Flavour,
    pub(super) request: &'a ChatRequest,
    pub(super) model: Model<'a>,
    pub(super) streaming: bool,
    pub(super) names: &'a Names,
    pub(super) traits: Traits,
    /// What stands for a thought that is not known, before a call, where the model wants its thoughts back.
    pub(super) echo: Option<&'static str>,
    pub(super) options: &'a Options<'a>,
    extra: Option<&'a BTreeMap<String, Json>>,
}

impl Body<'_> {
    /// Writes the settings; `long` tells whether one that may be long is wanted, by its name in notes.
    fn settings<M: SerializeMap>(&self, body: &mut Fields<M>, long: impl Fn(&str) -> bool) -> Result<(), M::Error> {
        let Self { request, options, .. } = *self;
        body.put("max_tokens", &options.max_tokens)?;
        if !request.tools.is_empty() || foreign_tools(Dialect::AnthropicMessages, request).next().is_some() {
            body.put_some("tool_choice", options.tool_choice.as_ref())?;
        }
        body.put_some("thinking", options.thinking.as_ref())?;
        let format = options.format.as_ref().filter(|_| long("response_format"));
        let output = Output { effort: options.effort, format };
        body.put_some("output_config", (output != Output::default()).then_some(&output))?;
        body.put_some("temperature", options.temperature.as_ref())?;
        body.put_some("top_p", options.top_p.as_ref())?;
        body.put_some("stop_sequences", Some(&options.stop).filter(|stop| !stop.is_empty() && long("sampling.stop")))
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

/// A body that is written anew, with its turns and what has to be asked for in words.
struct Whole<'b, 'a> {
    body: &'b Body<'a>,
    turns: &'b Turns<'b>,
    instruction: Option<Block<'b>>,
}

impl Serialize for Whole<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { body: whole, turns, instruction } = self;
        let Body { flavour, request, model, streaming, names, traits, extra, .. } = **whole;
        let mut body = Fields::new(serializer.serialize_map(None)?);
        match &flavour.messages {
            None => body.put("model", model.name)?,
            Some(at) => body.put("anthropic_version", at.version)?,
        }
        body.put("stream", &streaming)?;
        if !turns.system.is_empty() || instruction.is_some() {
            body.put("system", &Each(|| turns.system.iter().chain(instruction)))?;
        }
        let holds = holds(flavour, traits, request);
        let tool = |tool| AnyTool::Function(WireTool::of(tool, names, holds && is_held(request, tool)));
        let tools = request.tools.iter().map(tool);
        let foreign = foreign_tools(Dialect::AnthropicMessages, request).map(AnyTool::Foreign);
        let tools: Vec<_> = tools.chain(foreign).collect();
        body.put_some("tools", Some(&tools).filter(|tools| !tools.is_empty()))?;
        body.put("messages", &turns.all)?;
        whole.settings(&mut body, |_| true)?;
        let extra = extra.into_iter().flat_map(written);
        body.end(extra.filter(|(field, _)| flavour.takes_extra(Dialect::AnthropicMessages, field, false)))
    }
}

#[derive(Default, PartialEq, serde::Serialize)]
struct Output<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<&'a WireFormat<'a>>,
}

/// The form of the answer.
#[derive(Debug, PartialEq, serde::Serialize)]
struct WireFormat<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    schema: Closed<'a>,
}

/// A tool: one that the caller runs, or one that the common form cannot express.
#[derive(serde::Serialize)]
#[serde(untagged)]
enum AnyTool<'a> {
    Function(WireTool<'a>),
    Foreign(&'a RawValue),
}

#[derive(serde::Serialize)]
struct WireTool<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "OutgoingText::is_empty")]
    description: OutgoingText<'a>,
    input_schema: InputSchema<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

impl<'a> WireTool<'a> {
    fn of(tool: &'a Tool, names: &'a Names, is_held: bool) -> Self {
        let Tool { name, description, parameters, .. } = tool;
        let name = names.sent(name);
        let strict = is_held.then_some(true);
        let input_schema = InputSchema { schema: parameters, is_closed: is_held };
        Self { name, description: description.into(), input_schema, strict }
    }
}

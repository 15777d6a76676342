//! Checks a request as Google would, and reads its question. Refusals are in Google's words, as far as recorded traffic
//! and users' reports have them.

mod proto;
mod fields;
mod schema;
mod turns;

use serde_json::{Map, Value, json};

use super::Host;
use super::family::Family;
use crate::testing::answer::{Form, Question};
use crate::words::Tool;
use proto::Reader;
use turns::ConversationTexts;

pub(super) use proto::Violation;

/// Why a request is not taken.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct RequestFault {
    pub(super) message: String,
    /// Faults by protobuf's rules.
    pub(super) violations: Vec<Violation>,
}

impl From<String> for RequestFault {
    fn from(message: String) -> Self {
        Self { message, violations: Vec::new() }
    }
}

impl From<&str> for RequestFault {
    fn from(message: &str) -> Self {
        message.to_owned().into()
    }
}

pub(super) type Checked<T> = Result<T, RequestFault>;
pub(super) type Fields = Map<String, Value>;

/// The most texts that end an answer.
const STOPS_MAX: usize = 5;

/// Understands a request, or says what is wrong with it.
pub(super) fn read(host: Host, model: &str, stream: bool, body: &[u8]) -> Checked<Question> {
    let body: Value = serde_json::from_slice(body).map_err(|_| {
        let text = String::from_utf8_lossy(body);
        RequestFault::from(format!(
            "Invalid JSON payload received. Unexpected token.\n{}\n^",
            text.lines().next().unwrap_or("")
        ))
    })?;
    let Value::Object(fields) = &body else {
        return Err("Invalid JSON payload received. Unknown name \"\": Root element must be a message.".into());
    };
    let family = Family::of(model);
    let mut reader = Reader { host, is_third: family.is_third(), violations: Vec::new() };
    let request = reader.message(&fields::REQUEST, fields, "");
    let violations = reader.violations;
    if !violations.is_empty() {
        let message = violations.iter().map(|violation| violation.description.as_str()).collect::<Vec<_>>().join("\n");
        return Err(RequestFault { message, violations });
    }
    let rules = Rules { host, family };
    rules.check(&request)?;
    let talk = ConversationTexts::read(rules, &request)?;
    let tools = tools(&request);
    let (tools, forced_tool) = choice(&request, tools)?;
    let config = message(&request, "generation_config");
    Ok(Question {
        model: model.to_owned(),
        stream,
        include_usage: true,
        user: talk.user.or(talk.last).unwrap_or_default(),
        tool_results: talk.tool_results,
        tools,
        forced_tool,
        form: form(config),
        tokens: talk.tokens,
        output_tokens_max: config.and_then(|config| config.get("max_output_tokens")?.as_u64()),
        body,
    })
}

/// Tells whether a request asks for the model's reasoning.
pub(super) fn shows_thoughts(body: &Value) -> bool {
    let either = |value: &'_ Value, names: [&str; 2]| names.iter().find_map(|name| value.get(*name).cloned());
    let config = either(body, ["generationConfig", "generation_config"]);
    let thinking = config.and_then(|config| either(&config, ["thinkingConfig", "thinking_config"]));
    thinking.and_then(|thinking| either(&thinking, ["includeThoughts", "include_thoughts"])) == Some(json!(true))
}

/// The rules that hold at a host for a model.
#[derive(Clone, Copy)]
struct Rules {
    host: Host,
    family: Family,
}

impl Rules {
    /// Checks everything but the conversation's order.
    fn check(self, request: &Fields) -> Checked<()> {
        let mut notes = FieldFaults::default();
        turns::check(request, &mut notes);
        schema::check(request, &mut notes);
        let config = message(request, "generation_config");
        if let Some(config) = config {
            self.config(config, &mut notes)?;
        }
        notes.into_result(self.host)?;
        if let Some(config) = config {
            self.thinking(config)?;
            self.penalties(config)?;
        }
        self.together(request)
    }

    fn config(self, config: &Fields, notes: &mut FieldFaults) -> Checked<()> {
        self.range(config, "temperature", 2.0, notes)?;
        self.range(config, "top_p", 1.0, notes)?;
        let at = "generation_config";
        for name in ["max_output_tokens", "top_k"] {
            if config.get(name).and_then(Value::as_i64).is_some_and(|number| number <= 0) {
                notes.add(&format!("{at}.{name}"), &format!("{name} must be positive."));
            }
        }
        if config.get("candidate_count").and_then(Value::as_i64).is_some_and(|count| count != 1) {
            return Err("Multiple candidates is not enabled for this model".into());
        }
        if list(config, "stop_sequences").len() > STOPS_MAX {
            notes.add(&format!("{at}.stop_sequences"), "the number of stop sequences must not exceed 5.");
        }
        let mime = text(config, "response_mime_type");
        let mimes = ["", "text/plain", "application/json", "application/xml", "application/yaml", "text/x.enum"];
        if !mimes.contains(&mime) {
            let known = "allowed mimetypes are `text/plain`, `application/json`, `application/xml`, `application/yaml` and \
                         `text/x.enum`.";
            notes.add(&format!("{at}.response_mime_type"), known);
        }
        let has_schema = ["response_schema", "response_json_schema"].map(|name| config.contains_key(name));
        if has_schema == [true, true] {
            notes.add(&format!("{at}.response_json_schema"), "must not be set together with response_schema.");
        }
        if has_schema.contains(&true) && !["application/json", "text/x.enum"].contains(&mime) {
            let problem = "response_mime_type must be application/json or text/x.enum when a response schema is set.";
            notes.add(&format!("{at}.response_schema"), problem);
        }
        Ok(())
    }

    fn range(self, config: &Fields, name: &str, max: f64, notes: &mut FieldFaults) -> Checked<()> {
        let number = config.get(name).and_then(Value::as_f64).unwrap_or_default();
        if (0.0..=max).contains(&number) {
            return Ok(());
        }
        if self.host == Host::Vertex {
            let spoken = name.replace("top_p", "topP");
            return Err(format!(
                "Unable to submit request because it has a {spoken} value of {number} but the supported range is from 0 \
                 (inclusive) to {max}.0001 (exclusive). Update the value and try again."
            )
            .into());
        }
        let problem = format!("{name} must be in the range [0.0, {max:.1}].");
        notes.add(&format!("generation_config.{name}"), &problem);
        Ok(())
    }

    fn thinking(self, config: &Fields) -> Checked<()> {
        let Some(thinking) = message(config, "thinking_config") else { return Ok(()) };
        let budget = thinking.get("thinking_budget").and_then(Value::as_i64);
        let level = thinking.get("thinking_level").and_then(Value::as_str);
        let is_studio = self.host == Host::Studio;
        if budget.is_some() && level.is_some() {
            return Err("You can only set only one of thinking budget and thinking level.".into());
        }
        if !self.family.thinks() && (budget.is_some_and(|budget| budget != 0) || level.is_some()) {
            return Err("Unable to submit request because thinking is not supported by this model.".into());
        }
        if let Some(level) = level {
            return match (self.family.is_third(), level) {
                (false, _) if is_studio => Err("Thinking level is not supported for this model.".into()),
                (false, _) => Err("thinking_level is not supported by this model.".into()),
                (true, "MINIMAL") if !self.family.knows_minimal() => {
                    Err("Thinking level MINIMAL is not supported for \
                    this model. Please retry with other thinking level."
                        .into())
                }
                (true, _) => Ok(()),
            };
        }
        let (min, max) = self.family.budgets();
        match budget {
            None | Some(-1) => Ok(()),
            Some(0) if self.family.may_not_think() => Ok(()),
            Some(0) if is_studio => Err("Budget 0 is invalid. This model only works in thinking mode.".into()),
            Some(0) => {
                Err("Unable to submit request because The model does not support setting thinking_budget to 0".into())
            }
            Some(budget) if (min..=max).contains(&budget) => Ok(()),
            Some(budget) => {
                let known = format!("Please choose a value between {min} and {max}.");
                Err(format!("The thinking budget {budget} is invalid. {known}").into())
            }
        }
    }

    fn penalties(self, config: &Fields) -> Checked<()> {
        let is_set = |name: &str| config.get(name).and_then(Value::as_f64).is_some_and(|penalty| penalty != 0.0);
        if !self.family.takes_penalties() && (is_set("presence_penalty") || is_set("frequency_penalty")) {
            return Err("Penalty is not enabled for this model".into());
        }
        Ok(())
    }

    /// Checks combinations that are not allowed.
    fn together(self, request: &Fields) -> Checked<()> {
        if request.contains_key("cached_content")
            && ["system_instruction", "tools", "tool_config"].iter().any(|name| request.contains_key(*name))
        {
            return Err(
                "CachedContent can not be used with GenerateContent request setting system_instruction, tools or \
                        tool_config."
                    .into(),
            );
        }
        let (mut has_functions, mut has_others) = (false, false);
        for tool in objects(request, "tools") {
            has_functions |= !list(tool, "function_declarations").is_empty();
            has_others |= tool.keys().any(|name| name != "function_declarations");
        }
        if has_functions && has_others && !self.family.is_third() {
            return Err("Tool use with function calling is unsupported".into());
        }
        let mime = message(request, "generation_config").map_or("", |config| text(config, "response_mime_type"));
        if has_functions && mime == "application/json" && !self.family.is_third() {
            return Err("Function calling with a response mime type: 'application/json' is unsupported".into());
        }
        let has_choice =
            message(request, "tool_config").is_some_and(|config| config.contains_key("function_calling_config"));
        if has_choice && !has_functions {
            return Err("Function calling config is set without function_declarations.".into());
        }
        Ok(())
    }
}

/// Returns the tools that may be called, and the name of the one that must be.
fn choice(request: &Fields, tools: Vec<Tool>) -> Checked<(Vec<Tool>, Option<String>)> {
    let Some(config) = message(request, "tool_config").and_then(|tools| message(tools, "function_calling_config"))
    else {
        return Ok((tools, None));
    };
    let mode = text(config, "mode");
    let allowed: Vec<_> = list(config, "allowed_function_names").iter().filter_map(Value::as_str).collect();
    if !allowed.is_empty() && !["ANY", "VALIDATED"].contains(&mode) {
        return Err("Allowed function names can only be set when the function calling mode is ANY or VALIDATED.".into());
    }
    if let Some(stranger) = allowed.iter().find(|name| !tools.iter().any(|tool| tool.name == **name)) {
        return Err(format!("Allowed function name `{stranger}` is not declared in function_declarations.").into());
    }
    let is_allowed = |tool: &Tool| allowed.is_empty() || allowed.contains(&tool.name.as_str());
    let tools: Vec<_> = tools.into_iter().filter(is_allowed).collect();
    Ok(match mode {
        "NONE" => (Vec::new(), None),
        "ANY" => {
            let first = tools.first().map(|tool| tool.name.clone());
            (tools, first)
        }
        _ => (tools, None),
    })
}

/// Faults of several fields.
#[derive(Default)]
struct FieldFaults(Vec<(String, String)>);

impl FieldFaults {
    fn add(&mut self, path: &str, problem: &str) {
        self.0.push((path.to_owned(), problem.to_owned()));
    }

    fn into_result(self, host: Host) -> Checked<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let note = |(path, problem): &(String, String)| match host {
            Host::Studio => format!("* GenerateContentRequest.{path}: {problem}\n"),
            Host::Vertex => format!("\n  * {path}: [FIELD_INVALID] {problem}"),
        };
        let head = if host == Host::Vertex { "The GenerateContentRequest proto is invalid:" } else { "" };
        Err(format!("{head}{}", self.0.iter().map(note).collect::<Vec<_>>().concat()).into())
    }
}

/// Returns the functions that are declared.
fn tools(request: &Fields) -> Vec<Tool> {
    let declarations = objects(request, "tools").flat_map(|tool| objects(tool, "function_declarations"));
    let tool = |declaration: &Fields| {
        let parameters = match (declaration.get("parameters_json_schema"), declaration.get("parameters")) {
            (Some(schema), _) => schema.clone(),
            (None, Some(schema)) => schema::json_schema(schema),
            (None, None) => json!({"type": "object"}),
        };
        Tool {
            name: text(declaration, "name").to_owned(),
            description: text(declaration, "description").into(),
            parameters: parameters.into(),
            strict: None,
        }
    };
    declarations.map(tool).collect()
}

fn form(config: Option<&Fields>) -> Form {
    let Some(config) = config else { return Form::Text };
    match (config.get("response_json_schema"), config.get("response_schema"), text(config, "response_mime_type")) {
        (Some(schema), ..) => Form::Schema(schema.clone()),
        (None, Some(schema), _) => Form::Schema(schema::json_schema(schema)),
        (None, None, "application/json") => Form::Json,
        (None, None, _) => Form::Text,
    }
}

fn message<'a>(fields: &'a Fields, name: &str) -> Option<&'a Fields> {
    fields.get(name)?.as_object()
}

fn text<'a>(fields: &'a Fields, name: &str) -> &'a str {
    fields.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(fields: &'a Fields, name: &str) -> &'a [Value] {
    fields.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn objects<'a>(fields: &'a Fields, name: &str) -> impl Iterator<Item = &'a Fields> {
    list(fields, name).iter().filter_map(Value::as_object)
}

#[cfg(test)]
mod tests;

//! Whether a chat-completions request is one that OpenAI would take, and what it asks. In OpenAI's words, as far as
//! recorded traffic has them.

use serde_json::{Map, Value, json};

use crate::testing::answer::{Form, Question, words};
use crate::testing::speech::Refusal;
use crate::words::Tool;

pub(super) type Checked<T> = Result<T, Refusal>;
type Fields = Map<String, Value>;

/// Every parameter of the official API.
const PARAMETERS: &[&str] = &[
    "audio",
    "frequency_penalty",
    "function_call",
    "functions",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "metadata",
    "modalities",
    "model",
    "moderation",
    "n",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning_effort",
    "response_format",
    "safety_identifier",
    "seed",
    "service_tier",
    "stop",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "user",
    "verbosity",
    "web_search_options",
];

/// Every field of a message; `reasoning_content` is not OpenAI's, but of those who speak its dialect and reason.
const MESSAGE_FIELDS: &[&str] = &[
    "audio",
    "content",
    "function_call",
    "name",
    "reasoning_content",
    "refusal",
    "role",
    "tool_call_id",
    "tool_calls",
];

/// Returns a body and the model that it names, where it has nothing but known parameters.
pub(super) fn begin(body: &[u8], parameters: &[&str]) -> Checked<(Value, String)> {
    let body: Value = serde_json::from_slice(body).map_err(|_| {
        refusal(None, None, "We could not parse the JSON body of your request. The API expects a JSON payload.".into())
    })?;
    let Value::Object(fields) = &body else {
        return Err(refusal(None, None, format!("Invalid body: expected an object, but got {}.", kind(&body))));
    };
    let model = match fields.get("model") {
        Some(Value::String(model)) if !model.is_empty() => model.clone(),
        Some(Value::String(_)) | None => {
            return Err(refusal(None, None, "you must provide a model parameter".into()));
        }
        Some(other) => return Err(wrong_type("model", "a string", other)),
    };
    if let Some(unknown) = fields.keys().find(|key| !parameters.contains(&key.as_str())) {
        let message = format!("Unknown parameter: '{unknown}'.");
        return Err(refusal(Some(unknown), Some("unknown_parameter"), message));
    }
    Ok((body, model))
}

/// Understands a request, or says what is wrong with it.
pub(super) fn read(body: &[u8]) -> Checked<Question> {
    let (body, model) = begin(body, PARAMETERS)?;
    let fields = body.as_object().expect("it was one");
    numbers(fields)?;
    let stream = flag(fields, "stream")?.unwrap_or(false);
    let include_usage = stream_options(fields, stream)?;
    stop(fields)?;
    let (tools, forced_tool) = tool_parameters(fields)?;
    let talk = Talk::read(fields)?;
    let form = response_format(fields, &talk)?;
    let output_tokens_max = ["max_completion_tokens", "max_tokens"].iter().find_map(|name| fields.get(*name)?.as_u64());
    Ok(Question {
        model,
        stream,
        include_usage,
        user: talk.user.or(talk.last).unwrap_or_default(),
        tool_results: talk.tool_results,
        tools,
        forced_tool,
        form,
        tokens: talk.tokens,
        output_tokens_max,
        body,
    })
}

/// What a conversation's texts say.
#[derive(Default)]
struct Talk {
    user: Option<String>,
    last: Option<String>,
    tool_results: Vec<String>,
    tokens: u64,
    has_json_word: bool,
}

impl Talk {
    fn read(fields: &Fields) -> Checked<Self> {
        let messages = match fields.get("messages") {
            None => return Err(missing("messages")),
            Some(Value::Array(messages)) if messages.is_empty() => return Err(empty_array("messages")),
            Some(Value::Array(messages)) => messages,
            Some(other) => return Err(wrong_type("messages", "an array of objects", other)),
        };
        let mut talk = Self::default();
        let mut unanswered: Vec<&str> = Vec::new();
        for (at, message) in messages.iter().enumerate() {
            let path = format!("messages[{at}]");
            let Value::Object(message) = message else {
                return Err(wrong_type(&path, "an object", message));
            };
            if let Some(unknown) = message.keys().find(|key| !MESSAGE_FIELDS.contains(&key.as_str())) {
                let param = format!("{path}.{unknown}");
                let message = format!("Unknown parameter: '{param}'.");
                return Err(refusal(Some(&param), Some("unknown_parameter"), message));
            }
            let role = text_field(message, &path, "role")?;
            if role != "tool" {
                all_answered(&unanswered, at)?;
                talk.tool_results.clear();
            }
            match role {
                "system" | "developer" => talk.hear(&content(message, &path, &["text"])?),
                "user" => {
                    let said = content(message, &path, &["text", "image_url", "input_audio", "file"])?;
                    talk.hear(&said);
                    talk.user = Some(said);
                }
                "assistant" => {
                    unanswered = tool_calls(message, &path)?;
                    let may_be_silent = !unanswered.is_empty() || message.get("refusal").is_some_and(Value::is_string);
                    if !may_be_silent || message.get("content").is_some_and(|content| !content.is_null()) {
                        talk.hear(&content(message, &path, &["text", "refusal"])?);
                    }
                }
                "tool" => {
                    let id = text_field(message, &path, "tool_call_id")?;
                    let Some(call) = unanswered.iter().position(|call| *call == id) else {
                        let problem = "messages with role 'tool' must be a response to a preceeding message with \
                                       'tool_calls'.";
                        return Err(refusal(Some(&path), None, format!("Invalid parameter: {problem}")));
                    };
                    unanswered.remove(call);
                    let said = content(message, &path, &["text"])?;
                    talk.hear(&said);
                    talk.tool_results.push(said);
                }
                other => {
                    let param = format!("{path}.role");
                    let roles = "'system', 'assistant', 'user', 'tool', and 'developer'";
                    return Err(bad_value(&param, other, roles));
                }
            }
        }
        all_answered(&unanswered, messages.len())?;
        Ok(talk)
    }

    fn hear(&mut self, text: &str) {
        self.tokens += words(text).count() as u64;
        self.has_json_word |= text.to_ascii_lowercase().contains("json");
        self.last = Some(text.to_owned());
    }
}

fn all_answered(unanswered: &[&str], at: usize) -> Checked<()> {
    if unanswered.is_empty() {
        return Ok(());
    }
    let message = format!(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. \
         The following tool_call_ids did not have response messages: {}",
        unanswered.join(", ")
    );
    Err(refusal(Some(&format!("messages[{at}].role")), None, message))
}

/// Returns the ids of a message's tool calls.
fn tool_calls<'a>(message: &'a Fields, path: &str) -> Checked<Vec<&'a str>> {
    let path = format!("{path}.tool_calls");
    let calls = match message.get("tool_calls") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(calls)) if calls.is_empty() => return Err(empty_array(&path)),
        Some(Value::Array(calls)) => calls,
        Some(other) => return Err(wrong_type(&path, "an array of objects", other)),
    };
    let read = |(at, call): (usize, &'a Value)| {
        let path = format!("{path}[{at}]");
        let call = call.as_object().ok_or_else(|| wrong_type(&path, "an object", call))?;
        function_type(call, &path)?;
        let function = object_field(call, &path, "function")?;
        let path_in = format!("{path}.function");
        text_field(function, &path_in, "name")?;
        text_field(function, &path_in, "arguments")?;
        text_field(call, &path, "id")
    };
    calls.iter().enumerate().map(read).collect()
}

/// Returns a content's text. `kinds` are the parts the role may have.
fn content(message: &Fields, path: &str, kinds: &[&str]) -> Checked<String> {
    let path = format!("{path}.content");
    let parts = match message.get("content") {
        Some(Value::String(text)) => return Ok(text.clone()),
        Some(Value::Array(parts)) if parts.is_empty() => return Err(empty_array(&path)),
        Some(Value::Array(parts)) => parts,
        None => return Err(missing(&path)),
        Some(other) => return Err(wrong_type(&path, "one of a string or array of objects", other)),
    };
    let mut text = String::new();
    for (at, part) in parts.iter().enumerate() {
        let path = format!("{path}[{at}]");
        let part = part.as_object().ok_or_else(|| wrong_type(&path, "an object", part))?;
        let kind = text_field(part, &path, "type")?;
        if !kinds.contains(&kind) {
            return Err(bad_value(&format!("{path}.type"), kind, &quoted(kinds)));
        }
        match kind {
            "text" | "refusal" => text.push_str(text_field(part, &path, kind)?),
            "image_url" => {
                let image = object_field(part, &path, kind)?;
                text_field(image, &format!("{path}.{kind}"), "url")?;
            }
            other => {
                object_field(part, &path, other)?;
            }
        }
    }
    Ok(text)
}

/// Returns the tools that may be called, and the name of the one that must be.
fn tool_parameters(fields: &Fields) -> Checked<(Vec<Tool>, Option<String>)> {
    let mut offered = Vec::new();
    match fields.get("tools") {
        None | Some(Value::Null) => {
            for name in ["tool_choice", "parallel_tool_calls"] {
                if fields.get(name).is_some_and(|value| !value.is_null()) {
                    let message =
                        format!("Invalid value for '{name}': '{name}' is only allowed when 'tools' are specified.");
                    return Err(refusal(Some(name), None, message));
                }
            }
        }
        Some(Value::Array(tools)) if tools.is_empty() => return Err(empty_array("tools")),
        Some(Value::Array(tools)) => {
            for (at, tool) in tools.iter().enumerate() {
                offered.push(read_tool(tool, &format!("tools[{at}]"))?);
            }
        }
        Some(other) => return Err(wrong_type("tools", "an array of objects", other)),
    }
    flag(fields, "parallel_tool_calls")?;
    let forced = match fields.get("tool_choice") {
        None | Some(Value::Null) => None,
        Some(Value::String(choice)) => match choice.as_str() {
            "auto" => None,
            "none" => return Ok((Vec::new(), None)),
            "required" => offered.first().map(|tool| tool.name.clone()),
            other => return Err(bad_value("tool_choice", other, "'none', 'auto', and 'required'")),
        },
        Some(Value::Object(choice)) => {
            function_type(choice, "tool_choice")?;
            let function = object_field(choice, "tool_choice", "function")?;
            let name = text_field(function, "tool_choice.function", "name")?;
            if !offered.iter().any(|tool| tool.name == name) {
                let message = format!("Invalid value for 'tool_choice': tool '{name}' is not among the 'tools'.");
                return Err(refusal(Some("tool_choice"), None, message));
            }
            Some(name.to_owned())
        }
        Some(other) => return Err(wrong_type("tool_choice", "one of a string or an object", other)),
    };
    Ok((offered, forced))
}

fn read_tool(tool: &Value, path: &str) -> Checked<Tool> {
    let tool = tool.as_object().ok_or_else(|| wrong_type(path, "an object", tool))?;
    function_type(tool, path)?;
    let function = object_field(tool, path, "function")?;
    let path = format!("{path}.function");
    let name = text_field(function, &path, "name")?;
    check_name(name, &format!("{path}.name"))?;
    let parameters = function.get("parameters").cloned().unwrap_or_else(|| json!({"type": "object"}));
    if parameters["type"] != "object" {
        let message =
            format!("Invalid schema for function '{name}': schema must be a JSON Schema of 'type: \"object\"'.");
        return Err(refusal(Some(&format!("{path}.parameters")), Some("invalid_function_parameters"), message));
    }
    let description = function.get("description").and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(Tool { name: name.to_owned(), description, parameters, strict: flag(function, "strict")? })
}

fn response_format(fields: &Fields, talk: &Talk) -> Checked<Form> {
    let path = "response_format";
    let Some(format) = fields.get(path).filter(|format| !format.is_null()) else {
        return Ok(Form::Text);
    };
    let format = format.as_object().ok_or_else(|| wrong_type(path, "an object", format))?;
    match text_field(format, path, "type")? {
        "text" => Ok(Form::Text),
        "json_object" if talk.has_json_word => Ok(Form::Json),
        "json_object" => {
            let message = "'messages' must contain the word 'json' in some form, to use 'response_format' of type \
                           'json_object'.";
            Err(refusal(Some("messages"), None, message.into()))
        }
        "json_schema" => {
            let named = object_field(format, path, "json_schema")?;
            let path = "response_format.json_schema";
            check_name(text_field(named, path, "name")?, &format!("{path}.name"))?;
            object_field(named, path, "schema").map(|schema| Form::Schema(Value::Object(schema.clone())))
        }
        other => Err(bad_value("response_format.type", other, "'json_object', 'json_schema', and 'text'")),
    }
}

fn stream_options(fields: &Fields, stream: bool) -> Checked<bool> {
    let path = "stream_options";
    let Some(options) = fields.get(path).filter(|options| !options.is_null()) else {
        return Ok(false);
    };
    if !stream {
        let message = "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
        return Err(refusal(Some(path), None, message.into()));
    }
    let options = options.as_object().ok_or_else(|| wrong_type(path, "an object", options))?;
    Ok(flag(options, "include_usage")?.unwrap_or(false))
}

fn stop(fields: &Fields) -> Checked<()> {
    match fields.get("stop") {
        None | Some(Value::Null | Value::String(_)) => Ok(()),
        Some(Value::Array(stops)) if stops.len() > 4 => {
            let problem = format!("array too long. Expected an array with maximum length 4, but got {}.", stops.len());
            Err(refusal(Some("stop"), Some("array_above_max_length"), format!("Invalid 'stop': {problem}")))
        }
        Some(Value::Array(stops)) => match stops.iter().find(|stop| !stop.is_string()) {
            Some(other) => Err(wrong_type("stop", "an array of strings", other)),
            None => Ok(()),
        },
        Some(other) => Err(wrong_type("stop", "one of a string or an array of strings", other)),
    }
}

fn numbers(fields: &Fields) -> Checked<()> {
    for (name, min, max) in [
        ("temperature", 0.0, 2.0),
        ("top_p", 0.0, 1.0),
        ("presence_penalty", -2.0, 2.0),
        ("frequency_penalty", -2.0, 2.0),
    ] {
        number(fields, name, "decimal", min, max)?;
    }
    // One choice is all it makes: nothing in this crate asks for more.
    for (name, min, max) in [
        ("max_tokens", 1.0, f64::MAX),
        ("max_completion_tokens", 1.0, f64::MAX),
        ("seed", f64::MIN, f64::MAX),
        ("n", 1.0, 1.0),
    ] {
        number(fields, name, "integer", min, max)?;
    }
    match fields.get("reasoning_effort") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::String(effort)) => {
            let efforts = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];
            if efforts.contains(&effort.as_str()) {
                return Ok(());
            }
            Err(bad_value("reasoning_effort", effort, &quoted(&efforts)))
        }
        Some(other) => Err(wrong_type("reasoning_effort", "a string", other)),
    }
}

pub(super) fn number(fields: &Fields, name: &str, of: &str, min: f64, max: f64) -> Checked<()> {
    let Some(value) = fields.get(name).filter(|value| !value.is_null()) else {
        return Ok(());
    };
    let number = match value.as_f64() {
        Some(number) if of == "decimal" || value.is_i64() || value.is_u64() => number,
        _ => return Err(wrong_type(name, if of == "decimal" { "a decimal" } else { "an integer" }, value)),
    };
    let (side, sign, bound) = match number {
        number if number < min => ("below minimum", ">=", min),
        number if number > max => ("above maximum", "<=", max),
        _ => return Ok(()),
    };
    let code = match (of, sign) {
        ("decimal", ">=") => "decimal_below_min_value",
        ("decimal", _) => "decimal_above_max_value",
        (_, ">=") => "integer_below_min_value",
        _ => "integer_above_max_value",
    };
    let message =
        format!("Invalid '{name}': {of} {side} value. Expected a value {sign} {bound}, but got {value} instead.");
    Err(refusal(Some(name), Some(code), message))
}

fn flag(fields: &Fields, name: &str) -> Checked<Option<bool>> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(other) => Err(wrong_type(name, "a boolean", other)),
    }
}

fn function_type(fields: &Fields, path: &str) -> Checked<()> {
    match text_field(fields, path, "type")? {
        "function" => Ok(()),
        other => Err(bad_value(&format!("{path}.type"), other, "'function'")),
    }
}

fn check_name(name: &str, path: &str) -> Checked<()> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if (1..=64).contains(&name.len()) && name.bytes().all(good) {
        return Ok(());
    }
    let problem = "string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]{1,64}$'.";
    Err(refusal(Some(path), Some("invalid_value"), format!("Invalid '{path}': {problem}")))
}

fn text_field<'a>(fields: &'a Fields, path: &str, name: &str) -> Checked<&'a str> {
    let param = format!("{path}.{name}");
    match fields.get(name) {
        Some(Value::String(text)) => Ok(text),
        None => Err(missing(&param)),
        Some(other) => Err(wrong_type(&param, "a string", other)),
    }
}

fn object_field<'a>(fields: &'a Fields, path: &str, name: &str) -> Checked<&'a Fields> {
    let param = format!("{path}.{name}");
    match fields.get(name) {
        Some(Value::Object(object)) => Ok(object),
        None => Err(missing(&param)),
        Some(other) => Err(wrong_type(&param, "an object", other)),
    }
}

pub(super) fn missing(param: &str) -> Refusal {
    refusal(Some(param), Some("missing_required_parameter"), format!("Missing required parameter: '{param}'."))
}

pub(super) fn empty_array(param: &str) -> Refusal {
    let problem = "empty array. Expected an array with minimum length 1, but got an empty array instead.";
    refusal(Some(param), Some("empty_array"), format!("Invalid '{param}': {problem}"))
}

pub(super) fn bad_value(param: &str, value: &str, known: &str) -> Refusal {
    let message = format!("Invalid value: '{value}'. Supported values are: {known}.");
    refusal(Some(param), Some("invalid_value"), message)
}

pub(super) fn wrong_type(param: &str, expected: &str, got: &Value) -> Refusal {
    let message = format!("Invalid type for '{param}': expected {expected}, but got {} instead.", kind(got));
    refusal(Some(param), Some("invalid_type"), message)
}

pub(super) fn refusal(param: Option<&str>, code: Option<&'static str>, message: String) -> Refusal {
    super::refusal(400, "invalid_request_error", param, code, &message)
}

pub(super) fn quoted(values: &[&str]) -> String {
    values.iter().map(|value| format!("'{value}'")).collect::<Vec<_>>().join(", ")
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a decimal",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests;

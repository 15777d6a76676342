//! Checks a chat-completions request as its provider would, and reads its question. Refusals are in OpenAI's words, as
//! far as recorded traffic has them; other providers' words are in their rules.

use serde_json::{Value, json};

use crate::testing::answer::{Form, Question, words};
use crate::testing::dialects::fields::{
    Checked, EFFORTS, Fields, Problem, bad_value, check_name, empty_array, flag, function_type, kind, loose_schema,
    missing, number, object_field, only, quoted, root_of_no_object, text_field, word_field, wrong, wrong_type,
};
use crate::words::Tool;

/// A provider's rules. Recorded traffic or its users' reports prove each refusal; everything else is let through.
#[derive(Debug)]
pub(crate) struct Rules {
    /// The parameters it knows; `None` ignores unknown ones.
    pub(super) parameters: Option<&'static [&'static str]>,
    /// The same for the fields of a message.
    pub(super) message_fields: Option<&'static [&'static str]>,
    /// The parts that messages may have.
    pub(super) parts: Parts,
    /// Whether it is as strict as OpenAI about harmless faults: a tool choice without tools, a JSON form no message
    /// has, an effort of an unknown name.
    pub(crate) is_pedantic: bool,
    /// The most stop sequences.
    pub(super) stops_max: usize,
    /// Whether it knows the `developer`.
    pub(super) developer: bool,
    /// The word that insists on some tool.
    pub(super) required: &'static str,
    pub(super) temperature_max: f64,
    /// Further rules.
    pub(super) also: &'static [fn(&Fields) -> Checked<()>],
}

/// The parts that messages may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parts {
    /// As the official API says for each role.
    Official,
    /// Only text.
    Text,
    /// Anything.
    Any,
}

/// OpenAI's rules.
pub(super) const OFFICIAL: Rules = Rules {
    parameters: Some(PARAMETERS),
    message_fields: Some(MESSAGE_FIELDS),
    parts: Parts::Official,
    is_pedantic: true,
    stops_max: 4,
    developer: true,
    required: "required",
    temperature_max: 2.0,
    also: &[capabilities],
};

/// The rules of a server that ignores unknown fields.
pub(super) const LAX: Rules = Rules {
    parameters: None,
    message_fields: None,
    parts: Parts::Any,
    is_pedantic: false,
    stops_max: usize::MAX,
    also: &[],
    ..OFFICIAL
};

/// Keywords that no schema of a tool may have at its top.
const UNIONS: [&str; 5] = ["oneOf", "anyOf", "allOf", "enum", "not"];

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

/// Every field of a message; `reasoning_content` is not OpenAI's, but of servers that speak its dialect and reason.
const MESSAGE_FIELDS: &[&str] = &[
    "annotations",
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

/// Returns a body and the model that it or its address names, where it has only known parameters.
pub(super) fn begin(parameters: Option<&[&str]>, addressed: Option<&str>, body: &[u8]) -> Checked<(Value, String)> {
    let body: Value = serde_json::from_slice(body).map_err(|_| {
        wrong(None, None, "We could not parse the JSON body of your request. The API expects a JSON payload.")
    })?;
    let Value::Object(fields) = &body else {
        return Err(wrong(None, None, format!("Invalid body: expected an object, but got {}.", kind(&body))));
    };
    let model = match (addressed, fields.get("model")) {
        (Some(model), _) => model.to_owned(),
        (None, Some(Value::String(model))) if !model.is_empty() => model.clone(),
        (None, Some(Value::String(_)) | None) => {
            return Err(wrong(None, None, "you must provide a model parameter"));
        }
        (None, Some(other)) => return Err(wrong_type("model", "a string", other)),
    };
    if let Some(known) = parameters {
        only(fields, "", known)?;
    }
    Ok((body, model))
}

/// Understands a request, or says what is wrong with it. The model may stand in the address.
pub(super) fn read(rules: &Rules, addressed: Option<&str>, body: &[u8]) -> Checked<Question> {
    let (body, model) = begin(rules.parameters, addressed, body)?;
    let fields = body.as_object().expect("a body that was begun is an object");
    numbers(rules, fields)?;
    let stream = flag(fields, "stream")?.unwrap_or(false);
    let include_usage = stream_options(rules, fields, stream)?;
    stop(rules, fields)?;
    let (tools, forced_tool) = tool_parameters(rules, fields)?;
    let talk = ConversationTexts::read(rules, fields)?;
    let form = response_format(rules, fields, &talk)?;
    rules.also.iter().try_for_each(|insists| insists(fields))?;
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

/// The texts of a conversation.
#[derive(Default)]
struct ConversationTexts {
    user: Option<String>,
    last: Option<String>,
    tool_results: Vec<String>,
    tokens: u64,
    has_json_word: bool,
}

impl ConversationTexts {
    fn read(rules: &Rules, fields: &Fields) -> Checked<Self> {
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
            if let Some(known) = rules.message_fields {
                only(message, &path, known)?;
            }
            let role = text_field(message, &path, "role")?;
            if role != "tool" {
                all_answered(&unanswered, at)?;
                talk.tool_results.clear();
            }
            match role {
                "developer" if !rules.developer => return Err(unknown_role(&path)),
                "system" | "developer" => talk.hear(&content(rules, message, &path, &["text"])?),
                "user" => {
                    let said = content(rules, message, &path, &["text", "image_url", "input_audio", "file"])?;
                    talk.hear(&said);
                    talk.user = Some(said);
                }
                "assistant" => {
                    unanswered = tool_calls(rules, message, &path)?;
                    let may_be_silent = !rules.is_pedantic
                        || !unanswered.is_empty()
                        || message.get("refusal").is_some_and(Value::is_string);
                    if !may_be_silent || message.get("content").is_some_and(|content| !content.is_null()) {
                        talk.hear(&content(rules, message, &path, &["text", "refusal"])?);
                    }
                }
                "tool" => {
                    let id = text_field(message, &path, "tool_call_id")?;
                    let Some(call) = unanswered.iter().position(|call| *call == id) else {
                        let problem = "messages with role 'tool' must be a response to a preceeding message with \
                                       'tool_calls'.";
                        return Err(wrong(Some(&path), None, format!("Invalid parameter: {problem}")));
                    };
                    unanswered.remove(call);
                    let said = content(rules, message, &path, &["text"])?;
                    talk.hear(&said);
                    talk.tool_results.push(said);
                }
                other => {
                    let param = format!("{path}.role");
                    let known = "'system', 'assistant', 'user', 'tool', and 'developer'";
                    return Err(bad_value(&param, other, known));
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
    Err(wrong(Some(&format!("messages[{at}].role")), None, message))
}

/// Returns the ids of a message's tool calls.
fn tool_calls<'a>(rules: &Rules, message: &'a Fields, path: &str) -> Checked<Vec<&'a str>> {
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
        let name = text_field(function, &path_in, "name")?;
        if rules.is_pedantic {
            check_name(name, &format!("{path_in}.name"))?;
        }
        text_field(function, &path_in, "arguments")?;
        text_field(call, &path, "id")
    };
    calls.iter().enumerate().map(read).collect()
}

/// The most letters of a call's id ("string too long. Expected a string with maximum length 40").
const ID_MAX: usize = 40;
/// The most tools ("array too long. Expected an array with maximum length 128").
const TOOLS_MAX: usize = 128;

/// Checks the ids of calls, which are as long as some servers make them where the model is none of OpenAI's.
fn short_ids(fields: &Fields) -> Checked<()> {
    let messages = fields.get("messages").and_then(Value::as_array).into_iter().flatten().enumerate();
    for (at, message) in messages {
        let calls = message["tool_calls"].as_array().into_iter().flatten().enumerate();
        let calls = calls.map(|(call, it)| (format!("messages[{at}].tool_calls[{call}].id"), &it["id"]));
        let result = (format!("messages[{at}].tool_call_id"), &message["tool_call_id"]);
        for (path, id) in calls.chain([result]) {
            let length = id.as_str().map_or(0, str::len);
            if length > ID_MAX {
                let problem = format!(
                    "string too long. Expected a string with maximum length {ID_MAX}, but got a string with length \
                     {length} instead."
                );
                return Err(wrong(
                    Some(&path),
                    Some("string_above_max_length"),
                    format!("Invalid '{path}': {problem}"),
                ));
            }
        }
    }
    Ok(())
}

/// Says, as templates of chats and parsers do, that a role is not known.
fn unknown_role(path: &str) -> Problem {
    let problem = "unknown variant `developer`, expected one of `system`, `user`, `assistant`, `tool`";
    wrong(None, None, format!("Failed to deserialize the JSON body into the target type: {path}.role: {problem}"))
}

fn at_most(most: usize, path: &str, list: &[Value]) -> Checked<()> {
    if list.len() > most {
        let problem = format!("array too long. Expected an array with maximum length {most}, but got {}.", list.len());
        return Err(wrong(Some(path), Some("array_above_max_length"), format!("Invalid '{path}': {problem}")));
    }
    match list.iter().find(|one| !one.is_string()) {
        Some(other) => Err(wrong_type(path, "an array of strings", other)),
        None => Ok(()),
    }
}

/// Reasoning models refuse sampling parameters and the older limit, older models refuse efforts ("Unsupported
/// parameter: … is not supported with this model", "Unrecognized request argument supplied"). Of other names nothing is
/// known.
fn capabilities(fields: &Fields) -> Checked<()> {
    let model = fields.get("model").and_then(Value::as_str).unwrap_or_default();
    let begins = |names: &[&str]| names.iter().any(|name| model.starts_with(name));
    let given = |name: &&&str| fields.get(**name).is_some_and(|value| !value.is_null());
    let is_plain = begins(&["gpt-3", "gpt-4", "chatgpt-4"]) || model.contains("-chat");
    if is_plain || begins(&["o1", "o3", "o4", "gpt-5", "gpt-6"]) {
        short_ids(fields)?;
    }
    if is_plain {
        return match ["reasoning_effort"].iter().find(given) {
            Some(name) => Err(wrong(None, None, format!("Unrecognized request argument supplied: {name}"))),
            None => Ok(()),
        };
    }
    if !begins(&["o1", "o3", "o4", "gpt-5", "gpt-6"]) {
        return Ok(());
    }
    if fields.get("max_tokens").is_some_and(|value| !value.is_null()) {
        let message = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.";
        return Err(wrong(Some("max_tokens"), Some("unsupported_parameter"), message));
    }
    let other = |name: &&&str| given(name) && fields[**name].as_f64() != Some(1.0);
    let sampling = ["temperature", "top_p"].iter().find(other);
    let refused = ["presence_penalty", "frequency_penalty", "stop"].iter().find(given);
    let parallel = ["parallel_tool_calls"].iter().find(|name| begins(&["o1", "o3", "o4"]) && given(name));
    match sampling.or(refused).or(parallel) {
        Some(name) => {
            let message = format!("Unsupported parameter: '{name}' is not supported with this model.");
            Err(wrong(Some(name), Some("unsupported_parameter"), message))
        }
        None => Ok(()),
    }
}

/// Returns a content's text. `kinds` are the parts the role may officially have.
fn content(rules: &Rules, message: &Fields, path: &str, kinds: &[&str]) -> Checked<String> {
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
        match rules.parts {
            Parts::Official if !kinds.contains(&kind) => {
                return Err(bad_value(&format!("{path}.type"), kind, &quoted(kinds)));
            }
            Parts::Text if kind != "text" => return Err(not_text(&path, kind)),
            _ => {}
        }
        match kind {
            "text" | "refusal" => text.push_str(text_field(part, &path, kind)?),
            "image_url" if rules.parts == Parts::Official => {
                let image = object_field(part, &path, kind)?;
                text_field(image, &format!("{path}.{kind}"), "url")?;
            }
            other if rules.parts == Parts::Official => {
                object_field(part, &path, other)?;
            }
            _ => {}
        }
    }
    Ok(text)
}

/// Says, as a parser would, that a part is no text.
fn not_text(path: &str, kind: &str) -> Problem {
    let message = path.split(".content").next().unwrap_or(path);
    let problem = format!("{message}: unknown variant `{kind}`, expected `text` at line 1 column 197");
    wrong(None, None, format!("Failed to deserialize the JSON body into the target type: {problem}"))
}

/// Returns the tools that may be called, and the name of the one that must be.
fn tool_parameters(rules: &Rules, fields: &Fields) -> Checked<(Vec<Tool>, Option<String>)> {
    let mut offered = Vec::new();
    match fields.get("tools") {
        None | Some(Value::Null) if !rules.is_pedantic => return Ok((offered, None)),
        None | Some(Value::Null) => {
            for name in ["tool_choice", "parallel_tool_calls"] {
                if fields.get(name).is_some_and(|value| !value.is_null()) {
                    let message =
                        format!("Invalid value for '{name}': '{name}' is only allowed when 'tools' are specified.");
                    return Err(wrong(Some(name), None, message));
                }
            }
        }
        Some(Value::Array(tools)) if tools.is_empty() && rules.is_pedantic => return Err(empty_array("tools")),
        Some(Value::Array(tools)) => {
            if rules.is_pedantic && tools.len() > TOOLS_MAX {
                let problem = format!(
                    "array too long. Expected an array with maximum length {TOOLS_MAX}, but got {}.",
                    tools.len()
                );
                return Err(wrong(
                    Some("tools"),
                    Some("array_above_max_length"),
                    format!("Invalid 'tools': {problem}"),
                ));
            }
            for (at, tool) in tools.iter().enumerate() {
                offered.push(read_tool(rules, tool, &format!("tools[{at}]"))?);
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
            word if word == rules.required => offered.first().map(|tool| tool.name.clone()),
            other => {
                let known = format!("'none', 'auto', and '{}'", rules.required);
                return Err(bad_value("tool_choice", other, &known));
            }
        },
        Some(Value::Object(choice)) => {
            function_type(choice, "tool_choice")?;
            let function = object_field(choice, "tool_choice", "function")?;
            let name = text_field(function, "tool_choice.function", "name")?;
            if !offered.iter().any(|tool| tool.name == name) {
                let message = format!("Invalid value for 'tool_choice': tool '{name}' is not among the 'tools'.");
                return Err(wrong(Some("tool_choice"), None, message));
            }
            Some(name.to_owned())
        }
        Some(other) => return Err(wrong_type("tool_choice", "one of a string or an object", other)),
    };
    Ok((offered, forced))
}

fn read_tool(rules: &Rules, tool: &Value, path: &str) -> Checked<Tool> {
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
        return Err(wrong(Some(&format!("{path}.parameters")), Some("invalid_function_parameters"), message));
    }
    // "schema must have type 'object' and not have 'oneOf'/'anyOf'/'allOf'/'enum'/'not' at the top level."
    if rules.is_pedantic && UNIONS.iter().any(|name| parameters.get(name).is_some()) {
        let message = format!(
            "Invalid schema for function '{name}': schema must have type 'object' and not have \
             'oneOf'/'anyOf'/'allOf'/'enum'/'not' at the top level."
        );
        return Err(wrong(Some(&format!("{path}.parameters")), Some("invalid_function_parameters"), message));
    }
    let strict = flag(function, "strict")?;
    if let Some(problem) = loose_schema(&parameters, &[]).filter(|_| rules.is_pedantic && strict == Some(true)) {
        let message = format!("Invalid schema for function '{name}': {problem}");
        return Err(wrong(Some(&format!("{path}.parameters")), Some("invalid_function_parameters"), message));
    }
    let description = function.get("description").and_then(Value::as_str).unwrap_or_default().into();
    Ok(Tool { name: name.to_owned(), description, parameters: parameters.into(), strict })
}

fn response_format(rules: &Rules, fields: &Fields, talk: &ConversationTexts) -> Checked<Form> {
    let path = "response_format";
    let Some(format) = fields.get(path).filter(|format| !format.is_null()) else {
        return Ok(Form::Text);
    };
    let format = format.as_object().ok_or_else(|| wrong_type(path, "an object", format))?;
    match text_field(format, path, "type")? {
        "text" => Ok(Form::Text),
        "json_object" if talk.has_json_word || !rules.is_pedantic => Ok(Form::Json),
        "json_object" => {
            let message = "'messages' must contain the word 'json' in some form, to use 'response_format' of type \
                           'json_object'.";
            Err(wrong(Some("messages"), None, message))
        }
        "json_schema" => {
            let named = object_field(format, path, "json_schema")?;
            let path = "response_format.json_schema";
            let schema = Value::Object(object_field(named, path, "schema")?.clone());
            if !rules.is_pedantic {
                return Ok(Form::Schema(schema));
            }
            let name = text_field(named, path, "name")?;
            check_name(name, &format!("{path}.name"))?;
            let is_strict = named.get("strict") == Some(&Value::Bool(true));
            let loose = || loose_schema(&schema, &[]).filter(|_| is_strict);
            if let Some(problem) = root_of_no_object(&schema).or_else(loose) {
                let message = format!("Invalid schema for response_format '{name}': {problem}");
                return Err(wrong(Some("response_format"), None, message));
            }
            Ok(Form::Schema(schema))
        }
        other => Err(bad_value("response_format.type", other, "'json_object', 'json_schema', and 'text'")),
    }
}

fn stream_options(rules: &Rules, fields: &Fields, stream: bool) -> Checked<bool> {
    let path = "stream_options";
    let Some(options) = fields.get(path).filter(|options| !options.is_null()) else {
        return Ok(false);
    };
    if !stream && rules.is_pedantic {
        let message = "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
        return Err(wrong(Some(path), None, message));
    }
    let options = options.as_object().ok_or_else(|| wrong_type(path, "an object", options))?;
    Ok(flag(options, "include_usage")?.unwrap_or(false))
}

fn stop(rules: &Rules, fields: &Fields) -> Checked<()> {
    match fields.get("stop") {
        None | Some(Value::Null | Value::String(_)) => Ok(()),
        Some(Value::Array(stops)) => at_most(rules.stops_max, "stop", stops),
        Some(other) => Err(wrong_type("stop", "one of a string or an array of strings", other)),
    }
}

fn numbers(rules: &Rules, fields: &Fields) -> Checked<()> {
    for (name, min, max) in [
        ("temperature", 0.0, rules.temperature_max),
        ("top_p", 0.0, 1.0),
        ("presence_penalty", -2.0, 2.0),
        ("frequency_penalty", -2.0, 2.0),
    ] {
        number(fields, name, "decimal", min, max)?;
    }
    // It makes only one choice: nothing in this crate asks for more.
    for (name, min, max) in [
        ("max_tokens", 1.0, f64::MAX),
        ("max_completion_tokens", 1.0, f64::MAX),
        ("seed", f64::MIN, f64::MAX),
        ("n", 1.0, 1.0),
    ] {
        number(fields, name, "integer", min, max)?;
    }
    if rules.is_pedantic {
        word_field(fields, "", "reasoning_effort", &EFFORTS)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;

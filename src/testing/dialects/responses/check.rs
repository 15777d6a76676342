//! Checks a request for a response as OpenAI would, and reads its question. Refusals are in OpenAI's words, as far as
//! recorded traffic and reports have them.

mod items;

use serde_json::{Value, json};

use crate::testing::answer::{Form, Question};
use crate::testing::dialects::fields::{
    Checked, EFFORTS, Fields, array_field, bad_value, below, check_name, empty_array, flag, kind, loose_schema,
    missing, number, object_field, only, quoted, root_of_no_object, text_field, unknown_field, word_field, wrong,
    wrong_type,
};
use crate::words::Tool;
use items::ConversationTexts;

/// Every parameter of the official API.
const PARAMETERS: &[&str] = &[
    "background",
    // Codex sends it with every request; chat completions have no such parameter.
    "client_metadata",
    "context_management",
    "conversation",
    "include",
    "input",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "model",
    "moderation",
    "parallel_tool_calls",
    "previous_response_id",
    "prompt",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning",
    "safety_identifier",
    "service_tier",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
];

/// Parameters of chat completions, and where they are here.
const MOVED: &[(&str, &str)] = &[
    ("max_completion_tokens", "max_output_tokens"),
    ("max_tokens", "max_output_tokens"),
    ("messages", "input"),
    ("reasoning_effort", "reasoning.effort"),
    ("response_format", "text.format"),
];

const INCLUDES: &[&str] = &[
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
    ENCRYPTED,
    "message.output_text.logprobs",
];
const ENCRYPTED: &str = "reasoning.encrypted_content";

/// The most tools.
const TOOLS_MAX: usize = 128;

/// Tools that the provider runs by itself: taken, and never used.
const HOSTED_TOOLS: &[&str] = &[
    "apply_patch",
    "code_interpreter",
    "computer",
    "computer_use_preview",
    "custom",
    "file_search",
    "image_generation",
    "local_shell",
    "mcp",
    "shell",
    "web_search",
    "web_search_preview",
];

/// Understands a request of an account, or says what is wrong with it. Providers other than OpenAI ignore more.
pub(super) fn read(is_official: bool, account: &str, body: &[u8]) -> Checked<Question> {
    let body: Value = serde_json::from_slice(body).map_err(|_| {
        wrong(None, None, "We could not parse the JSON body of your request. The API expects a JSON payload.")
    })?;
    let Value::Object(fields) = &body else {
        return Err(wrong(None, None, format!("Invalid body: expected an object, but got {}.", kind(&body))));
    };
    let model = text_field(fields, "", "model")?.to_owned();
    if is_official {
        known(fields)?;
        capabilities(fields, &model)?;
    }
    simple(fields)?;
    stateless(fields)?;
    let stream = flag(fields, "stream")?.unwrap_or(false);
    stream_options(fields, stream)?;
    let (tools, forced_tool) = tool_parameters(fields, is_official)?;
    let mut talk = ConversationTexts::new(is_official, account, flag(fields, "store")?.unwrap_or(true));
    if let Some(Value::String(instructions)) = fields.get("instructions") {
        talk.instructed(instructions);
    }
    talk.read(fields.get("input"))?;
    let form = format(fields, &talk, is_official)?;
    Ok(Question {
        model,
        stream,
        include_usage: true,
        user: talk.user.or(talk.last).unwrap_or_default(),
        tool_results: talk.tool_results,
        tools,
        forced_tool,
        form,
        tokens: talk.tokens,
        output_tokens_max: fields.get("max_output_tokens").and_then(Value::as_u64),
        body,
    })
}

fn known(fields: &Fields) -> Checked<()> {
    if let Some((name, place)) = MOVED.iter().find(|(name, _)| fields.contains_key(*name)) {
        let message = format!(
            "Unsupported parameter: '{name}'. In the Responses API, this parameter has moved to '{place}'. Try again \
             with the new parameter. See the API documentation for more information: \
             https://platform.openai.com/docs/api-reference/responses/create."
        );
        return Err(wrong(Some(name), Some("unsupported_parameter"), message));
    }
    only(fields, "", PARAMETERS)
}

/// Models without reasoning refuse fields of reasoning, reasoning models refuse sampling. Models of other names take
/// both.
fn capabilities(fields: &Fields, model: &str) -> Checked<()> {
    let begins = |names: &[&str]| names.iter().any(|name| model.starts_with(name));
    let is_plain = begins(&["gpt-3", "gpt-4", "chatgpt-4"]) || model.contains("-chat");
    let reasons = !is_plain && begins(&["o1", "o3", "o4", "gpt-5", "gpt-6"]);
    let given = |name: &str| fields.get(name).filter(|value| !value.is_null());
    let refused = if let (true, Some(Value::Object(reasoning))) = (is_plain, given("reasoning")) {
        let mut inner = reasoning.iter().filter(|(_, value)| !value.is_null());
        inner.next().map(|(name, _)| below("reasoning", name))
    } else if reasons {
        let mut sampling = ["temperature", "top_p"].into_iter();
        sampling.find(|name| given(name).is_some_and(|value| value.as_f64() != Some(1.0))).map(str::to_owned)
    } else {
        None
    };
    if let Some(param) = refused {
        let message = format!("Unsupported parameter: '{param}' is not supported with this model.");
        return Err(wrong(Some(&param), Some("unsupported_parameter"), message));
    }
    let includes =
        given("include").and_then(Value::as_array).is_some_and(|values| values.iter().any(|v| v == ENCRYPTED));
    if is_plain && includes {
        return Err(wrong(Some("include"), None, "Encrypted content is not supported with this model."));
    }
    Ok(())
}

/// Checks each parameter alone.
fn simple(fields: &Fields) -> Checked<()> {
    number(fields, "temperature", "decimal", 0.0, 2.0)?;
    number(fields, "top_p", "decimal", 0.0, 1.0)?;
    number(fields, "max_output_tokens", "integer", 16.0, f64::MAX)?;
    number(fields, "max_tool_calls", "integer", 1.0, f64::MAX)?;
    number(fields, "top_logprobs", "integer", 0.0, 20.0)?;
    for name in ["background", "parallel_tool_calls", "store", "stream"] {
        flag(fields, name)?;
    }
    let texts = ["instructions", "prompt_cache_key", "safety_identifier", "user"];
    for (name, value) in fields.iter().filter(|(name, _)| texts.contains(&name.as_str())) {
        if !value.is_null() && !value.is_string() {
            return Err(wrong_type(name, "a string", value));
        }
    }
    word_field(fields, "", "truncation", &["auto", "disabled"])?;
    word_field(fields, "", "service_tier", &["auto", "default", "flex", "scale", "priority", "fast"])?;
    for (at, value) in array_field(fields, "", "include")?.into_iter().flatten().enumerate() {
        let path = format!("include[{at}]");
        match value.as_str() {
            Some(value) if INCLUDES.contains(&value) => {}
            Some(value) => return Err(bad_value(&path, value, &quoted(INCLUDES))),
            None => return Err(wrong_type(&path, "a string", value)),
        }
    }
    if fields.get("reasoning").is_some_and(|value| !value.is_null()) {
        let reasoning = object_field(fields, "", "reasoning")?;
        word_field(reasoning, "reasoning", "effort", &EFFORTS)?;
        word_field(reasoning, "reasoning", "summary", &["auto", "concise", "detailed"])?;
    }
    Ok(())
}

/// Refuses requests that would need stored state.
fn stateless(fields: &Fields) -> Checked<()> {
    if let Some(id) = fields.get("previous_response_id").and_then(Value::as_str) {
        let message = format!("Previous response with id '{id}' not found.");
        return Err(wrong(Some("previous_response_id"), Some("previous_response_not_found"), message));
    }
    if fields.get("background") == Some(&Value::Bool(true)) {
        let message = "Unsupported value: 'background' does not support true with this model.";
        return Err(wrong(Some("background"), Some("unsupported_value"), message));
    }
    Ok(())
}

fn stream_options(fields: &Fields, stream: bool) -> Checked<()> {
    let path = "stream_options";
    if fields.get(path).is_none_or(Value::is_null) {
        return Ok(());
    }
    only(object_field(fields, "", path)?, path, &["include_obfuscation"])?;
    if stream {
        return Ok(());
    }
    let message = "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
    Err(wrong(Some(path), None, message))
}

/// Returns the tools that may be called, and the name of the one that must be.
fn tool_parameters(fields: &Fields, is_official: bool) -> Checked<(Vec<Tool>, Option<String>)> {
    let mut offered = Vec::new();
    let tools = array_field(fields, "", "tools")?.unwrap_or_default();
    if is_official && tools.len() > TOOLS_MAX {
        let problem =
            format!("array too long. Expected an array with maximum length {TOOLS_MAX}, but got {}.", tools.len());
        return Err(wrong(Some("tools"), Some("array_above_max_length"), format!("Invalid 'tools': {problem}")));
    }
    for (at, tool) in tools.iter().enumerate() {
        offered.extend(read_tool(tool, &format!("tools[{at}]"), is_official)?);
    }
    let path = "tool_choice";
    let forced = match fields.get(path) {
        None | Some(Value::Null) => None,
        Some(Value::String(choice)) => match choice.as_str() {
            "auto" => None,
            "none" => return Ok((Vec::new(), None)),
            "required" => offered.first().map(|tool: &Tool| tool.name.clone()),
            other => return Err(bad_value(path, other, "'none', 'auto', and 'required'")),
        },
        Some(Value::Object(choice)) => match text_field(choice, path, "type")? {
            "function" => {
                let name = text_field(choice, path, "name")?;
                if !offered.iter().any(|tool| tool.name == name) {
                    let message = format!("Tool choice '{name}' not found in 'tools' parameter.");
                    return Err(wrong(Some(path), None, message));
                }
                Some(name.to_owned())
            }
            "allowed_tools" => {
                let allowed = array_field(choice, path, "tools")?.unwrap_or_default();
                offered.retain(|tool| allowed.iter().any(|allowed| allowed["name"] == tool.name.as_str()));
                let must = text_field(choice, path, "mode")? == "required";
                offered.first().filter(|_| must).map(|tool| tool.name.clone())
            }
            hosted if HOSTED_TOOLS.contains(&hosted) => None,
            other => return Err(bad_value("tool_choice.type", other, "'function' and 'allowed_tools'")),
        },
        Some(other) => return Err(wrong_type(path, "one of a string or an object", other)),
    };
    Ok((offered, forced))
}

/// Reads a tool; one that the provider runs itself is none for the caller.
fn read_tool(tool: &Value, path: &str, is_official: bool) -> Checked<Option<Tool>> {
    let tool = tool.as_object().ok_or_else(|| wrong_type(path, "an object", tool))?;
    match text_field(tool, path, "type")? {
        "function" => {}
        hosted if HOSTED_TOOLS.contains(&hosted) => return Ok(None),
        other => {
            let known = format!("'function', {}", quoted(HOSTED_TOOLS));
            return Err(bad_value(&below(path, "type"), other, &known));
        }
    }
    let name = text_field(tool, path, "name")?;
    check_name(name, &below(path, "name"))?;
    if is_official {
        let known = [
            "allowed_callers",
            "defer_loading",
            "description",
            "name",
            "output_schema",
            "parameters",
            "strict",
            "type",
        ];
        only(tool, path, &known)?;
    }
    let strict = flag(tool, "strict")?;
    let parameters = tool.get("parameters").filter(|schema| !schema.is_null()).cloned();
    let parameters = parameters.unwrap_or_else(|| json!({"type": "object", "properties": {}}));
    let problem = if parameters["type"] == "object" {
        loose_schema(&parameters, &[]).filter(|_| is_official && strict == Some(true))
    } else {
        let got = parameters["type"].as_str().unwrap_or("None");
        Some(format!("schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{got}\"'."))
    };
    if let Some(problem) = problem {
        let message = format!("Invalid schema for function '{name}': {problem}");
        return Err(wrong(Some(&below(path, "parameters")), Some("invalid_function_parameters"), message));
    }
    let description = tool.get("description").and_then(Value::as_str).unwrap_or_default().into();
    Ok(Some(Tool { name: name.to_owned(), description, parameters: parameters.into(), strict }))
}

fn format(fields: &Fields, talk: &ConversationTexts<'_>, is_official: bool) -> Checked<Form> {
    if fields.get("text").is_none_or(Value::is_null) {
        return Ok(Form::Text);
    }
    let text = object_field(fields, "", "text")?;
    only(text, "text", &["format", "verbosity"])?;
    word_field(text, "text", "verbosity", &["low", "medium", "high"])?;
    if text.get("format").is_none_or(Value::is_null) {
        return Ok(Form::Text);
    }
    let (format, path) = (object_field(text, "text", "format")?, "text.format");
    match text_field(format, path, "type")? {
        "text" => Ok(Form::Text),
        "json_object" if talk.has_json_word || !is_official => Ok(Form::Json),
        "json_object" => {
            let message = "Response input messages must contain the word 'json' in some form to use 'text.format' of \
                           type 'json_object'.";
            Err(wrong(Some("input"), None, message))
        }
        "json_schema" => {
            only(format, path, &["description", "name", "schema", "strict", "type"])?;
            let name = text_field(format, path, "name")?;
            check_name(name, "text.format.name")?;
            let schema = Value::Object(object_field(format, path, "schema")?.clone());
            let is_strict = is_official && flag(format, "strict")? == Some(true);
            let loose = || loose_schema(&schema, &[]).filter(|_| is_strict);
            if let Some(problem) = root_of_no_object(&schema).filter(|_| is_official).or_else(loose) {
                let message = format!("Invalid schema for response_format '{name}': {problem}");
                return Err(wrong(Some("text.format.schema"), Some("invalid_json_schema"), message));
            }
            Ok(Form::Schema(schema))
        }
        other => Err(bad_value("text.format.type", other, "'json_object', 'json_schema', and 'text'")),
    }
}

#[cfg(test)]
mod tests;

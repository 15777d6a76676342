//! The rules of providers that differ from OpenAI's.

use serde_json::Value;

use crate::testing::dialects::fields::{Checked, Fields, wrong};
use crate::testing::dialects::openai::check::{LAX, Parts, Rules};

/// Mistral refuses every field it does not know.
pub(super) const MISTRAL: Rules = Rules {
    parameters: Some(&[
        "frequency_penalty",
        "guardrails",
        "max_tokens",
        "messages",
        "metadata",
        "model",
        "n",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_mode",
        "random_seed",
        "reasoning_effort",
        "response_format",
        "safe_prompt",
        "stop",
        "stream",
        "temperature",
        "tool_choice",
        "tools",
        "top_p",
    ]),
    message_fields: Some(&["content", "name", "prefix", "role", "tool_call_id", "tool_calls"]),
    developer: false,
    required: "any",
    temperature_max: 1.5,
    also: &[mistral_order, mistral_ids],
    ..LAX
};

/// "Stop: up to 16 sequences", by its guide.
pub(super) const DEEPSEEK: Rules =
    Rules { parts: Parts::Text, stops_max: 16, developer: false, also: &[deepseek_thoughts, deepseek_form], ..LAX };

/// "developer is not one of" the roles that it knows.
pub(super) const QWEN: Rules = Rules { developer: false, also: &[qwen_streams], ..LAX };

/// Refuses unknown fields of a message ("property '`reasoning_content`' is unsupported").
pub(super) const GROQ: Rules = Rules {
    message_fields: Some(&["content", "name", "reasoning", "role", "tool_call_id", "tool_calls"]),
    stops_max: 4,
    ..LAX
};

pub(super) const XAI: Rules = Rules { stops_max: 4, also: &[xai_reasons], ..LAX };

pub(super) const PERPLEXITY: Rules = Rules { developer: false, also: &[perplexity_turns, perplexity_tools], ..LAX };

/// Templates of chats: "System message must be at the beginning.", "Unexpected message role."
pub(super) const SERVER: Rules = Rules { developer: false, also: &[system_first], ..LAX };

/// Pictures come by value: "invalid image input".
pub(super) const OLLAMA: Rules = Rules { also: &[ollama_pictures], ..LAX };

fn messages(fields: &Fields) -> &[Value] {
    fields.get("messages").and_then(Value::as_array).map_or(&[][..], Vec::as_slice)
}

/// Returns the role of each message.
fn roles(fields: &Fields) -> impl Iterator<Item = &str> {
    messages(fields).iter().map(|message| message["role"].as_str().unwrap_or_default())
}

/// Mistral's turns: no user message after a tool's, and no assistant message at the end unless it is to be continued.
fn mistral_order(fields: &Fields) -> Checked<()> {
    let mut before = "";
    for role in roles(fields) {
        if (before, role) == ("tool", "user") {
            return Err(wrong(None, None, "Unexpected role 'user' after role 'tool'"));
        }
        before = role;
    }
    match messages(fields).last() {
        Some(last) if before == "assistant" && last["prefix"] != true => {
            let problem =
                "Expected last role User or Tool (or Assistant with prefix True) for serving but got assistant";
            Err(wrong(None, None, problem))
        }
        _ => Ok(()),
    }
}

fn mistral_ids(fields: &Fields) -> Checked<()> {
    for message in messages(fields) {
        let calls = message["tool_calls"].as_array().into_iter().flatten().map(|call| &call["id"]);
        let ids = calls.chain([&message["tool_call_id"]]).filter_map(Value::as_str);
        let is_odd = |id: &&str| id.len() != 9 || !id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if let Some(id) = ids.into_iter().find(is_odd) {
            let problem = format!("Tool call id was {id} but must be a-z, A-Z, 0-9, with a length of 9.");
            return Err(wrong(None, None, problem));
        }
    }
    Ok(())
}

fn deepseek_form(fields: &Fields) -> Checked<()> {
    if fields.get("response_format").is_some_and(|format| format["type"] == "json_schema") {
        return Err(wrong(None, None, "This response_format type is unavailable now"));
    }
    Ok(())
}

/// "Argument not supported on this model: stop".
fn xai_reasons(fields: &Fields) -> Checked<()> {
    let model = fields.get("model").and_then(Value::as_str).unwrap_or_default();
    let reasons = ["grok-3-mini", "grok-4", "grok-code"].iter().any(|begin| model.starts_with(begin));
    let refused = ["stop", "presence_penalty", "frequency_penalty"];
    let given = |name: &&&str| fields.get(**name).is_some_and(|value| !value.is_null());
    match refused.iter().find(given).filter(|_| reasons && !model.contains("non-reasoning")) {
        Some(name) => Err(wrong(None, None, format!("Argument not supported on this model: {name}"))),
        None => Ok(()),
    }
}

fn perplexity_turns(fields: &Fields) -> Checked<()> {
    let rest = roles(fields).skip_while(|role| *role == "system");
    let mut next = "user";
    for role in rest {
        if role != next {
            let problem = "After the (optional) system message(s), user or tool message(s) should alternate with assistant message(s).";
            return Err(wrong(None, None, problem));
        }
        next = if role == "user" { "assistant" } else { "user" };
    }
    match next {
        "assistant" => Ok(()),
        _ => Err(wrong(None, None, "Last message must have role `user` or `tool`.")),
    }
}

fn perplexity_tools(fields: &Fields) -> Checked<()> {
    if fields.get("tools").and_then(Value::as_array).is_some_and(|tools| !tools.is_empty()) {
        return Err(wrong(None, None, "Tool calling is not supported for this model."));
    }
    Ok(())
}

fn system_first(fields: &Fields) -> Checked<()> {
    let is_late = roles(fields).skip_while(|role| *role == "system").any(|role| role == "system");
    let several = roles(fields).take_while(|role| *role == "system").count() > 1;
    if is_late || several {
        return Err(wrong(None, None, "System message must be at the beginning."));
    }
    Ok(())
}

fn ollama_pictures(fields: &Fields) -> Checked<()> {
    let parts = messages(fields).iter().filter_map(|message| message["content"].as_array()).flatten();
    let mut urls = parts.filter_map(|part| part["image_url"]["url"].as_str());
    if urls.any(|url| !url.starts_with("data:")) {
        return Err(wrong(None, None, "invalid image input"));
    }
    Ok(())
}

/// The ending of DeepSeek's call ids after reasoning.
pub(crate) const THOUGHT_MARK: &str = "t";

/// DeepSeek thinks unless told otherwise. Then it chooses its tools itself, and within a loop of tools its reasoning
/// must come back.
fn deepseek_thoughts(fields: &Fields) -> Checked<()> {
    let thinks = match fields.get("thinking").and_then(|thinking| thinking["type"].as_str()) {
        Some(kind) => kind == "enabled",
        None => fields.get("model").is_none_or(|model| model != "deepseek-chat"),
    };
    if !thinks {
        return Ok(());
    }
    let is_free =
        fields.get("tool_choice").is_none_or(|choice| choice.is_null() || choice == "auto" || choice == "none");
    if !is_free {
        return Err(wrong(None, None, "Thinking mode does not support this tool_choice"));
    }
    let this_loop = messages(fields).iter().rev().take_while(|message| message["role"] != "user");
    for message in this_loop {
        let calls = message["tool_calls"].as_array().into_iter().flatten();
        let mut ids = calls.filter_map(|call| call["id"].as_str());
        let was_thought = ids.any(|id| id.starts_with("call_0") && id.ends_with(THOUGHT_MARK));
        if was_thought && message["reasoning_content"].as_str().is_none_or(str::is_empty) {
            let problem = "The `reasoning_content` in the thinking mode must be passed back to the API.";
            return Err(wrong(None, None, problem));
        }
    }
    Ok(())
}

/// Qwen thinks in streams only, and then chooses its tools itself.
fn qwen_streams(fields: &Fields) -> Checked<()> {
    let model = fields.get("model").and_then(Value::as_str).unwrap_or_default();
    let streams = fields.get("stream").is_some_and(|stream| stream == true);
    let only_thinks = ["qwq", "qvq"].iter().any(|begin| model.starts_with(begin)) || model.contains("thinking");
    if only_thinks && !streams {
        let problem = "This model only support stream mode, please enable the stream parameter to access the model. ";
        return Err(wrong(None, None, problem));
    }
    if fields.get("enable_thinking").is_none_or(|thinks| thinks != true) {
        return Ok(());
    }
    if !streams {
        return Err(wrong(None, None, "parameter.enable_thinking must be set to false for non-streaming calls"));
    }
    let is_forced = fields.get("tool_choice").is_some_and(|choice| choice == "required" || choice.is_object());
    if is_forced {
        let problem = "The tool_choice parameter does not support being set to required or object in thinking mode";
        return Err(wrong(None, None, problem));
    }
    Ok(())
}

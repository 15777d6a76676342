//! What the providers take that differ from OpenAI in that.

use serde_json::Value;

use crate::testing::speech::fields::{Checked, Fields, wrong};
use crate::testing::speech::openai::check::{LAX, OFFICIAL, Parts, Rules};

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
    parts: Parts::Any,
    is_pedantic: false,
    required: "any",
    temperature_max: 1.5,
    ..OFFICIAL
};

pub(super) const DEEPSEEK: Rules = Rules { parts: Parts::Text, also: &[deepseek_thoughts], ..LAX };

pub(super) const QWEN: Rules = Rules { also: &[qwen_streams], ..LAX };

/// How DeepSeek's ids of calls end that were thought about first.
pub(crate) const THOUGHT_MARK: &str = "t";

/// DeepSeek thinks unless told otherwise. Then it chooses its tools itself, and within a loop of tools it wants its
/// thoughts back.
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
    let messages = fields.get("messages").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let this_loop = messages.iter().rev().take_while(|message| message["role"] != "user");
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

//! Claude's blocks in chat completions: agents that know Claude by its name write tools, calls and results as its own
//! dialect has them, into a body of the other.
//!
//! Input: a body of chat completions. Output: the same in the form that chat completions have, if any of it is not. No
//! server of this dialect need know the blocks.

use bytes::Bytes;
use memchr::memmem;
use serde_json::{Map, Value, json};

use super::node::begun;

/// What a body with such blocks or tools has somewhere.
const SIGNS: [&[u8]; 4] = [b"\"tool_use", b"\"input_schema\"", b"\"content\":[]", b"\"content\": []"];

/// The longest body that is looked into, and the most values in it: all of it is read into values of their own, each of
/// which may take some hundred bytes.
const BYTES_MAX: usize = 4 << 20;
const VALUES_MAX: usize = 64 << 10;

/// Returns a body without Claude's blocks; `None` where there are none, or it is too large to be looked into.
pub(super) fn in_chat_form(body: &[u8]) -> Option<Bytes> {
    let has_signs = body.len() <= BYTES_MAX && SIGNS.iter().any(|sign| memmem::find(body, sign).is_some());
    if !has_signs || begun(body) > VALUES_MAX {
        return None;
    }
    let mut whole: Value = serde_json::from_slice(body).ok()?;
    let body = whole.as_object_mut()?;
    let mut changed = false;
    for tool in body.get_mut("tools").and_then(Value::as_array_mut).into_iter().flatten() {
        changed |= offer(tool);
    }
    if let Some(messages) = body.get_mut("messages").and_then(Value::as_array_mut) {
        let all = std::mem::take(messages);
        for message in all {
            changed |= put(messages, message);
        }
    }
    if !changed {
        return None;
    }
    body.get_mut("tool_choice").into_iter().for_each(choose);
    Some(whole.to_string().into())
}

/// Says a choice of a tool as chat completions do.
fn choose(choice: &mut Value) {
    *choice = match choice["type"].as_str() {
        Some("any") => json!("required"),
        Some(word @ ("auto" | "none")) => json!(word),
        Some("tool") => json!({"type": "function", "function": {"name": choice["name"]}}),
        _ => return,
    };
}

/// Offers a tool as a function.
fn offer(tool: &mut Value) -> bool {
    let Some(fields) = tool.as_object_mut() else { return false };
    let is_bare = fields.get("type").is_none_or(Value::is_null) && !fields.contains_key("function");
    if !is_bare || !fields.contains_key("name") || fields.contains_key("parameters") {
        return false;
    }
    let Some(schema) = fields.remove("input_schema") else { return false };
    fields.remove("type");
    fields.insert("parameters".to_owned(), schema);
    *tool = json!({"type": "function", "function": fields});
    true
}

/// Puts a message behind the others, its calls and its results where chat completions have them.
fn put(messages: &mut Vec<Value>, mut message: Value) -> bool {
    let is_user = message["role"] == "user";
    // The same agents say nothing beside a call in an empty list, which `OpenAI` refuses.
    if message["role"] == "assistant" && message["content"] == json!([]) && message["tool_calls"].is_array() {
        message["content"] = Value::Null;
        messages.push(message);
        return true;
    }
    let blocks = message.get_mut("content").and_then(Value::as_array_mut);
    let is_meant = |block: &Value| match block["type"].as_str() {
        Some("tool_use") => !is_user,
        Some("tool_result") => is_user,
        _ => false,
    };
    let Some(blocks) = blocks.filter(|blocks| blocks.iter().any(is_meant)) else {
        messages.push(message);
        return false;
    };
    let (meant, mut rest): (Vec<_>, Vec<_>) = std::mem::take(blocks).into_iter().partition(is_meant);
    rest.iter_mut().for_each(show);
    let is_empty = rest.is_empty();
    if is_user {
        *blocks = rest;
        messages.extend(meant.into_iter().map(result));
        if !is_empty {
            messages.push(message);
        }
        return true;
    }
    message["content"] = if is_empty { Value::Null } else { rest.into() };
    if let Some(calls) = message.as_object_mut().map(|message| message.entry("tool_calls").or_insert(Value::Null)) {
        if !calls.is_array() {
            *calls = Value::Array(Vec::new());
        }
        calls.as_array_mut().into_iter().for_each(|calls| calls.extend(meant.iter().map(call)));
    }
    messages.push(message);
    true
}

/// Returns a call.
fn call(block: &Value) -> Value {
    let arguments = match &block["input"] {
        Value::Null => "{}".to_owned(),
        Value::String(written) => written.clone(),
        input => input.to_string(),
    };
    json!({"id": block["id"], "type": "function", "function": {"name": block["name"], "arguments": arguments}})
}

/// Returns the message of a result.
fn result(mut block: Value) -> Value {
    let content = match block["content"].take() {
        Value::Null => json!(""),
        Value::Array(mut shown) => {
            shown.iter_mut().for_each(show);
            shown.into()
        }
        content => content,
    };
    json!({"role": "tool", "tool_call_id": block["tool_use_id"], "content": content})
}

/// Shows an image as chat completions do, and forgets marks that only Claude's dialect has beside it.
fn show(block: &mut Value) {
    if block["type"] != "image" {
        return;
    }
    let text = |source: &Map<String, Value>, name: &str| source.get(name)?.as_str().map(str::to_owned);
    let url = block["source"].as_object().and_then(|source| match source.get("type")?.as_str()? {
        "url" => text(source, "url"),
        _ => Some(format!("data:{};base64,{}", text(source, "media_type")?, text(source, "data")?)),
    });
    if let Some(url) = url {
        *block = json!({"type": "image_url", "image_url": {"url": url}});
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &Value) -> Option<Value> {
        in_chat_form(body.to_string().as_bytes()).map(|body| serde_json::from_slice(&body).expect("JSON"))
    }

    #[test]
    fn tools_calls_and_results_of_claudes_dialect_are_put_where_chat_completions_have_them() {
        let schema = json!({"type": "object", "properties": {}});
        let mark = json!({"type": "ephemeral"});
        let body = json!({"model": "m", "tools": [{"name": "f", "description": "d", "input_schema": schema}],
            "tool_choice": {"type": "tool", "name": "f"},
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "q", "cache_control": mark}]},
                {"role": "assistant", "content": [{"type": "text", "text": "a"},
                    {"type": "tool_use", "id": "t1", "name": "f", "input": {"x": 1}}]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "r"},
                        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA"}}]},
                    {"type": "text", "text": "go on"}]},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "t2", "name": "f"}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t2"}]},
                {"role": "assistant", "content": [], "tool_calls": []}]});
        let call = |id: &str, arguments: &str| {
            let function = json!({"name": "f", "arguments": arguments});
            json!([{"id": id, "type": "function", "function": function}])
        };
        let expected = json!({"model": "m", "tool_choice": {"type": "function", "function": {"name": "f"}},
            "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": schema}}],
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "q", "cache_control": mark}]},
                {"role": "assistant", "content": [{"type": "text", "text": "a"}],
                    "tool_calls": call("t1", "{\"x\":1}")},
                {"role": "tool", "tool_call_id": "t1", "content": [{"type": "text", "text": "r"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]},
                {"role": "user", "content": [{"type": "text", "text": "go on"}]},
                {"role": "assistant", "content": null, "tool_calls": call("t2", "{}")},
                {"role": "tool", "tool_call_id": "t2", "content": ""},
                {"role": "assistant", "content": null, "tool_calls": []}]});
        assert_eq!(read(&body), Some(expected.clone()));
        assert_eq!(read(&expected), None, "it is in its form already");
    }

    #[test]
    fn what_only_speaks_of_such_blocks_stays_as_it_came() {
        for body in [
            json!({"messages": [{"role": "user", "content": "what is a \"tool_use\" block?"}]}),
            json!({"messages": [{"role": "assistant", "content": [{"type": "tool_result", "tool_use_id": "x"}]}]}),
            json!({"messages": [{"role": "user", "content": [{"type": "tool_use", "id": "x"}]}, 5, null]}),
            json!({"tools": [{"type": "function", "function": {"name": "f", "parameters": {"input_schema": {}}}}]}),
            json!({"tools": [{"type": "custom", "name": "f", "input_schema": {}}, "input_schema"]}),
            json!({"tools": {"input_schema": 1}, "messages": {"tool_use": 1}}),
            json!({"messages": [{"role": "assistant", "content": []}, {"role": "user", "content": []}]}),
            json!(["input_schema"]),
        ] {
            assert_eq!(read(&body), None, "{body}");
        }
        assert_eq!(in_chat_form(b"{\"input_schema\""), None, "no JSON");
        let tool = |more: Value| json!({"tools": [{"name": "f", "input_schema": {}}], "more": more});
        assert!(read(&tool(json!([1, 2]))).is_some());
        assert_eq!(read(&tool(vec![1; VALUES_MAX].into())), None, "too many values");
        assert_eq!(read(&tool("x".repeat(BYTES_MAX).into())), None, "too long");
    }
}

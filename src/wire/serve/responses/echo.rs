//! The fields of a request that every answer repeats.

use serde_json::{Value, json};

use crate::words::{ChatRequest, Effort, ResponseFormat, ToolChoice};

/// Returns the fields of a request that its answer repeats, each with a comma behind it, and whether the answer is
/// kept.
pub(super) fn echo(request: &ChatRequest, instructions: Option<&str>, kept: bool) -> String {
    let theirs = |key: &str| request.extra.get(key).cloned();
    let tools: Vec<Value> = request
        .tools
        .iter()
        .map(|tool| {
            json!({
                "type": "function",
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.parameters,
                "strict": tool.strict.unwrap_or(false),
            })
        })
        .collect();
    let effort = request.effort.map(Effort::word);
    let summary = theirs("reasoning").and_then(|reasoning| reasoning.get("summary").cloned());
    let fields = json!({
        "instructions": instructions,
        "max_output_tokens": request.output_tokens_max,
        "metadata": theirs("metadata").unwrap_or_else(|| json!({})),
        "parallel_tool_calls": request.parallel_tool_calls.unwrap_or(true),
        "previous_response_id": null,
        "reasoning": {"effort": effort, "summary": summary},
        "store": kept,
        "temperature": request.sampling.temperature.unwrap_or(1.0),
        "text": {"format": format(&request.response_format)},
        "tool_choice": tool_choice(&request.tool_choice),
        "tools": tools,
        "top_p": request.sampling.top_p.unwrap_or(1.0),
        "truncation": theirs("truncation").unwrap_or_else(|| "disabled".into()),
    })
    .to_string();
    format!("{},", &fields[1..fields.len() - 1])
}

fn format(format: &ResponseFormat) -> Value {
    match format {
        ResponseFormat::Text => json!({"type": "text"}),
        ResponseFormat::Json => json!({"type": "json_object"}),
        ResponseFormat::JsonSchema { name, schema, strict } => {
            json!({"type": "json_schema", "name": name, "schema": schema, "strict": strict})
        }
    }
}

fn tool_choice(choice: &ToolChoice) -> Value {
    match choice {
        ToolChoice::Auto => "auto".into(),
        ToolChoice::None => "none".into(),
        ToolChoice::Required => "required".into(),
        ToolChoice::Named(name) => json!({"type": "function", "name": name}),
        ToolChoice::Foreign(foreign) => serde_json::from_str(&foreign.json).unwrap_or_default(),
    }
}

//! The fields of a request that every answer repeats.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::words::{ChatRequest, Effort, ResponseFormat, Text, Tool, ToolChoice};

/// The fields of a request that its answer repeats, between its instructions and its tools.
#[derive(Serialize)]
struct Before<'a> {
    max_output_tokens: Option<u32>,
    metadata: &'a Value,
    parallel_tool_calls: bool,
    previous_response_id: (),
    reasoning: Value,
    store: bool,
    temperature: f64,
    text: Value,
    tool_choice: Value,
}

/// The same, behind its tools.
#[derive(Serialize)]
struct Behind<'a> {
    top_p: f64,
    truncation: &'a Value,
}

/// What is behind a tool's description.
#[derive(Serialize)]
struct OfTool<'a> {
    parameters: &'a Value,
    strict: bool,
}

/// Returns the fields of a request that its answer repeats, each with a comma behind it, and whether the answer is
/// kept. Long texts stay in the memory of the request.
pub(super) fn echo(request: &ChatRequest, instructions: Option<&Text>, kept: bool) -> Text {
    let theirs = |key: &str| request.extra.get(key);
    let summary = theirs("reasoning").and_then(|reasoning| reasoning.get("summary"));
    let (none, disabled) = (Map::new().into(), "disabled".into());
    let before = Before {
        max_output_tokens: request.output_tokens_max,
        metadata: theirs("metadata").unwrap_or(&none),
        parallel_tool_calls: request.parallel_tool_calls.unwrap_or(true),
        previous_response_id: (),
        reasoning: json!({"effort": request.effort.map(Effort::word), "summary": summary}),
        store: kept,
        temperature: request.sampling.temperature.unwrap_or(1.0),
        text: json!({"format": format(&request.response_format)}),
        tool_choice: tool_choice(&request.tool_choice),
    };
    let top_p = request.sampling.top_p.unwrap_or(1.0);
    let behind = Behind { top_p, truncation: theirs("truncation").unwrap_or(&disabled) };
    let instructions = instructions.map_or_else(|| "null".into(), Text::in_json);
    let mut all = vec!["\"instructions\":".into(), instructions, format!(",{},\"tools\":[", members(&before)).into()];
    for (at, Tool { name, description, parameters, strict }) in request.tools.iter().enumerate() {
        let (comma, name) = (if at == 0 { "" } else { "," }, Value::from(name.as_str()));
        all.push(format!("{comma}{{\"type\":\"function\",\"name\":{name},\"description\":").into());
        all.push(description.in_json());
        all.extend([",".into(), members(&OfTool { parameters, strict: strict.unwrap_or(false) }).into(), "}".into()]);
    }
    all.push(format!("],{},", members(&behind)).into());
    Text::row(all, "")
}

/// Returns an object's members.
fn members(object: &impl Serialize) -> String {
    let mut json = serde_json::to_string(object).unwrap_or_default();
    json.pop();
    json.drain(..json.len().min(1));
    json
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

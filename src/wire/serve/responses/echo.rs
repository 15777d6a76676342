//! The fields of a request that every answer repeats.

use serde::Serialize;
use serde_json::{Value, json};

use crate::wire::edit::find;
use crate::words::{ChatRequest, Effort, Json, ResponseFormat, Text, Tool, ToolChoice};

/// The fields of a request that its answer repeats, between its instructions and its tools.
#[derive(Serialize)]
struct Before {
    max_output_tokens: Option<u32>,
    parallel_tool_calls: bool,
    previous_response_id: (),
    reasoning: Value,
    store: bool,
    temperature: f64,
    tool_choice: Value,
}

/// Returns the fields of a request that its answer repeats, each with a comma behind it, and whether the answer is
/// kept. Long texts stay in the memory of the request.
pub(super) fn echo(request: &ChatRequest, instructions: Option<&Text>, kept: bool) -> Text {
    let theirs = |key: &str| request.extra.get(key);
    let written = |key: &str, default: &str| theirs(key).map_or_else(|| default.into(), in_one_line);
    let summary = theirs("reasoning").and_then(|reasoning| find(reasoning.as_str(), &["summary"]));
    let summary: Value = summary.and_then(|summary| serde_json::from_str(summary).ok()).unwrap_or_default();
    let before = Before {
        max_output_tokens: request.output_tokens_max,
        parallel_tool_calls: request.parallel_tool_calls.unwrap_or(true),
        previous_response_id: (),
        reasoning: json!({"effort": request.effort.map(Effort::name), "summary": summary}),
        store: kept,
        temperature: request.sampling.temperature.unwrap_or(1.0),
        tool_choice: tool_choice(&request.tool_choice),
    };
    let top_p = request.sampling.top_p.unwrap_or(1.0);
    let mut all = Repeated::default();
    all.put("\"instructions\":");
    all.text(instructions.map_or_else(|| "null".into(), Text::in_json));
    all.put(&format!(",{},\"metadata\":", members(&before)));
    all.text(written("metadata", "{}"));
    all.put(",\"text\":");
    all.format(&request.response_format);
    all.put(",\"tools\":[");
    for (at, Tool { name, description, parameters, strict }) in request.tools.iter().enumerate() {
        let (comma, name) = (if at == 0 { "" } else { "," }, Value::from(name.as_str()));
        all.put(&format!("{comma}{{\"type\":\"function\",\"name\":{name},\"description\":"));
        all.text(description.in_json());
        all.put(",\"parameters\":");
        all.text(in_one_line(parameters));
        all.put(&format!(",\"strict\":{}}}", strict.unwrap_or(false)));
    }
    all.put(&format!("],\"top_p\":{},\"truncation\":", json!(top_p)));
    all.text(written("truncation", "\"disabled\""));
    all.put(",");
    all.finish()
}

/// A shorter text is copied: a part of the request takes as much.
const SHARED_BYTES_MIN: usize = 256;

/// What is repeated: long texts in the memory of the request, and what is between them.
#[derive(Default)]
struct Repeated {
    texts: Vec<Text>,
    /// What is not among the texts yet.
    last: String,
}

impl Repeated {
    fn put(&mut self, json: &str) {
        self.last += json;
    }

    fn text(&mut self, json: Text) {
        if json.length() < SHARED_BYTES_MIN {
            return self.put(&json);
        }
        self.texts.extend([std::mem::take(&mut self.last).into(), json]);
    }

    /// Writes the form of the answer.
    fn format(&mut self, format: &ResponseFormat) {
        match format {
            ResponseFormat::Text => self.put(r#"{"format":{"type":"text"}}"#),
            ResponseFormat::Json => self.put(r#"{"format":{"type":"json_object"}}"#),
            ResponseFormat::JsonSchema { name, schema, strict } => {
                let name = Value::from(name.as_str());
                self.put(&format!(r#"{{"format":{{"type":"json_schema","name":{name},"strict":{strict},"schema":"#));
                self.text(in_one_line(schema));
                self.put("}}");
            }
        }
    }

    fn finish(mut self) -> Text {
        self.texts.push(self.last.into());
        Text::row(self.texts, "")
    }
}

/// Returns an object's members.
fn members(object: &impl Serialize) -> String {
    let mut json = serde_json::to_string(object).unwrap_or_default();
    json.pop();
    json.drain(..json.len().min(1));
    json
}

/// Returns JSON as it is written, without breaks of lines: an event is a line.
fn in_one_line(json: &Json) -> Text {
    let written = json.as_str();
    match memchr::memchr2(b'\n', b'\r', written.as_bytes()) {
        Some(_) => written.replace(['\n', '\r'], " ").into(),
        None => json.text().clone(),
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

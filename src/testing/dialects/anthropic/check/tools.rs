//! The tools a request offers, and which of them must be called.

use std::collections::BTreeSet;

use serde_json::Value;

use super::fields::{Checked, Object, check_pattern, invalid, refuse};
use super::{Host, schema};
use crate::words::Tool;

/// Every field of a client's tool.
const FIELDS: &[&str] = &[
    "allowed_callers",
    "cache_control",
    "defer_loading",
    "description",
    "eager_input_streaming",
    "input_examples",
    "input_schema",
    "name",
    "strict",
    "type",
];

/// Beginnings of the types of tools that run at Anthropic. The model played here calls none of them.
const SERVER_TOOLS: &[&str] =
    &["advisor_", "bash_", "code_execution_", "computer_", "memory_", "text_editor_", "tool_search_", "web_"];

/// The most strict tools of one request.
const STRICT_MAX: usize = 20;

/// The most bytes of a tool's name.
const NAME_MAX: usize = 128;

/// Returns the tools that may be called, and the name of the one that must be.
pub(super) fn read(host: Host, request: &Object<'_>, thinks: bool) -> Checked<(Vec<Tool>, Option<String>)> {
    let mut offered = Vec::new();
    let mut names = BTreeSet::new();
    for (at, tool) in request.list("tools")?.into_iter().flatten().enumerate() {
        let tool = Object::new(tool, format!("tools.{at}"))?;
        let kind = tool.get("type").filter(|kind| !kind.is_null()).map_or(Ok("custom"), |_| tool.string("type"))?;
        let name = tool.string("name")?;
        if !names.insert(name) {
            return Err(invalid("tools", "Tool names must be unique."));
        }
        if kind == "custom" {
            offered.push(custom(host, &tool.within(kind))?);
        } else if !SERVER_TOOLS.iter().any(|known| kind.starts_with(known)) {
            tool.tag(&["custom", "web_search_20250305", "web_fetch_20250910", "code_execution_20250825"])?;
        }
    }
    let strict = offered.iter().filter(|tool| tool.strict == Some(true)).map(|tool| tool.parameters.value());
    let strict: Vec<_> = strict.collect();
    if strict.len() > STRICT_MAX {
        return Err(refuse(format!(
            "Too many strict tools ({}). The maximum number of strict tools supported is {STRICT_MAX}. Try reducing \
             the number of tools marked as strict.",
            strict.len()
        )));
    }
    schema::limits(&strict.iter().collect::<Vec<_>>())?;
    choice(request, offered, &names, thinks)
}

fn custom(host: Host, tool: &Object<'_>) -> Checked<Tool> {
    tool.known(FIELDS)?;
    // "tools.0.custom.strict: Extra inputs are not permitted".
    if host != Host::Own && tool.get("strict").is_some() {
        return Err(invalid(&tool.place("strict"), "Extra inputs are not permitted"));
    }
    tool.cache_control()?;
    let name = tool.string("name")?;
    check_pattern(name, &tool.place("name"), Some(NAME_MAX))?;
    let description = tool.string_opt("description")?.unwrap_or_default().into();
    let schema = tool.required_object("input_schema")?;
    schema.literal("type", &["object"])?;
    if ["oneOf", "allOf", "anyOf"].iter().any(|name| schema.get(name).is_some()) {
        let problem = "input_schema does not support oneOf, allOf, or anyOf at the top level";
        return Err(invalid(schema.path(), problem));
    }
    let properties = schema.get("properties").filter(|properties| !properties.is_null());
    let is_odd = |properties: &Value| {
        properties.as_object().is_none_or(|all| all.values().any(|schema| !schema.is_object() && !schema.is_boolean()))
    };
    if properties.is_some_and(is_odd) {
        let problem = "JSON schema is invalid. It must match JSON Schema draft 2020-12 \
                       (https://json-schema.org/draft/2020-12). Learn more about tool use at \
                       https://docs.claude.com/en/docs/tool-use.";
        return Err(invalid(schema.path(), problem));
    }
    let strict = tool.flag("strict")?;
    if strict == Some(true) {
        schema::check(tool.path(), schema.value())?;
    }
    Ok(Tool { name: name.to_owned(), description, parameters: schema.value().into(), strict })
}

fn choice(
    request: &Object<'_>,
    offered: Vec<Tool>,
    names: &BTreeSet<&str>,
    thinks: bool,
) -> Checked<(Vec<Tool>, Option<String>)> {
    let Some(choice) = request.object("tool_choice")? else { return Ok((offered, None)) };
    let kind = choice.tag(&["any", "auto", "none", "tool"])?;
    let choice = choice.within(kind);
    choice.known(match kind {
        "none" => &["type"],
        "tool" => &["type", "name", "disable_parallel_tool_use"],
        _ => &["type", "disable_parallel_tool_use"],
    })?;
    choice.flag("disable_parallel_tool_use")?;
    if names.is_empty() {
        return Err(invalid("tool_choice", "tool_choice may only be specified while providing tools"));
    }
    if thinks && matches!(kind, "any" | "tool") {
        return Err(refuse("Thinking may not be enabled when tool_choice forces tool use."));
    }
    match kind {
        "none" => Ok((Vec::new(), None)),
        "any" => {
            let first = offered.first().map(|tool| tool.name.clone());
            Ok((offered, first))
        }
        "tool" => match choice.string("name")? {
            name if names.contains(name) => Ok((offered, Some(name.to_owned()))),
            name => Err(refuse(format!("Tool '{name}' not found in provided tools"))),
        },
        _ => Ok((offered, None)),
    }
}

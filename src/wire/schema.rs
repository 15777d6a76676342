//! Schemas of tools whose top level is a choice or a reference, made objects of one shape: a schema that says `anyOf`,
//! `oneOf`, `allOf` or `$ref` before it says `type: object` is refused by OpenAI and by Anthropic, and so is one with
//! no type, or with several. OpenAI refuses one without properties as well.
//!
//! Input: a request. Output: the request with such schemas folded, or none if there are none. A folded schema accepts
//! all that the unfolded one accepts, and more: it cannot say which fields go together. Arguments are objects: saying
//! so changes nothing.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::edit::Object;
use super::names::Names;
use crate::words::{ChatRequest, Dialect, Json, Tool};

/// Keywords that a schema's top level must not have.
const CHOICES: [&str; 3] = ["anyOf", "oneOf", "allOf"];
/// How many references are followed: a schema may lead in a circle.
const DEPTH_MAX: usize = 8;

/// Returns a request with folded schemas, if it was written in another dialect and has any to fold; and whether one of
/// them says less than it did.
pub(super) fn folded(request: &ChatRequest, dialect: Dialect) -> Option<(ChatRequest, bool)> {
    if super::request::is_own(request, dialect) {
        return None;
    }
    let (mut folded, mut less) = (None, false);
    for (at, tool) in request.tools.iter().enumerate() {
        let Some(chooses) = folds(&tool.parameters, dialect) else { continue };
        let Some(schema) = tool.parameters.tree() else { continue };
        let tool = &mut folded.get_or_insert_with(|| request.clone()).tools[at];
        if chooses {
            less = true;
            // A server that enforces a schema wants every field required, which folding has undone.
            tool.strict = tool.strict.map(|_| false);
        }
        tool.parameters = fold(&schema, &schema, DEPTH_MAX).into();
    }
    folded.map(|folded| (folded, less))
}

/// Tells whether a schema is to be folded, and then whether its top is a choice. No tree is made of it.
fn folds(schema: &Json, dialect: Dialect) -> Option<bool> {
    let top = Object::of(schema.as_str())?;
    let chooses = CHOICES.iter().chain(&["$ref"]).any(|word| top.get(word).is_some());
    // "In context=(), object schema missing properties".
    let wants_properties = matches!(dialect, Dialect::OpenAiChat | Dialect::OpenAiResponses);
    let lacks = || wants_properties && !top.get("properties").is_some_and(|all| all.starts_with('{'));
    let is_bare = || top.text("type").is_none_or(|kind| kind != "object") || lacks();
    (chooses || is_bare()).then_some(chooses)
}

/// Tells whether OpenAI can hold answers to a schema as it is: its objects name all their properties, need each of them
/// and take no others; of choices there is `anyOf` alone, and not at the top.
pub(super) fn is_strict(schema: &Json) -> bool {
    schema.tree().is_some_and(|schema| is_object(&schema) && is_closed(&schema))
}

fn is_object(schema: &Value) -> bool {
    schema.get("type").is_some_and(|kind| kind == "object")
}

/// Tells whether all objects of a schema are closed.
fn is_closed(schema: &Value) -> bool {
    let Value::Object(schema) = schema else { return true };
    let needed = schema.get("required").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let closed = match schema.get("properties") {
        Some(Value::Object(properties)) => {
            schema.get("additionalProperties") == Some(&Value::Bool(false))
                && properties.keys().all(|name| needed.iter().any(|needed| needed == name))
                && properties.values().all(is_closed)
        }
        _ => schema.get("type").is_none_or(|kind| kind != "object"),
    };
    let of = |word: &str| schema.get(word).and_then(Value::as_object);
    let defined = ["$defs", "definitions"].into_iter().filter_map(of).flat_map(Map::values);
    let choices = schema.get("anyOf").and_then(Value::as_array);
    closed
        && !["oneOf", "allOf", "not", "patternProperties"].iter().any(|word| schema.contains_key(*word))
        && choices.is_none_or(|all| all.iter().all(is_closed))
        && schema.get("items").is_none_or(is_closed)
        && defined.into_iter().all(is_closed)
}

/// Tells whether a tool's arguments are held to its schema at OpenAI and its copies, where its caller says so. A caller
/// of their dialect is told by them what they refuse.
pub(super) fn strict(tool: &Tool, own: bool) -> Option<bool> {
    tool.strict.map(|strict| strict && (own || is_strict(&tool.parameters)))
}

/// The schema of a tool that takes a text, made one that takes JSON: a function of the one argument `input`.
pub(super) const FREE: &str = concat!(
    r#"{"type":"object","properties":{"input":{"type":"string"}},"#,
    r#""required":["input"],"additionalProperties":false}"#
);

/// Returns the names of such tools, as their target knows them.
pub fn free_tools(request: &ChatRequest, names: &Names) -> Vec<String> {
    let free = request.tools.iter().filter(|tool| tool.parameters.as_str() == FREE);
    free.map(|tool| names.sent(&tool.name).to_owned()).collect()
}

/// Folds a schema, a part of a whole that its references lead to.
fn fold(schema: &Value, whole: &Value, depth: usize) -> Value {
    let mut out = schema.as_object().cloned().unwrap_or_default();
    let (mut properties, mut required) = (take_map(&mut out, "properties"), take_names(&mut out));
    if let Some(target) = out.remove("$ref").and_then(|to| whole.pointer(to.as_str()?.strip_prefix('#')?).cloned())
        && depth > 0
    {
        let mut target = fold(&target, whole, depth - 1).as_object().cloned().unwrap_or_default();
        join(&mut properties, take_map(&mut target, "properties"));
        required.extend(take_names(&mut target));
        for (key, value) in target {
            out.entry(key).or_insert(value);
        }
    }
    for word in CHOICES {
        let Some(Value::Array(branches)) = out.remove(word) else { continue };
        let mut always: Option<BTreeSet<String>> = None;
        for branch in branches.iter().filter(|_| depth > 0) {
            let mut branch = fold(branch, whole, depth - 1).as_object().cloned().unwrap_or_default();
            join(&mut properties, take_map(&mut branch, "properties"));
            let names = take_names(&mut branch);
            always = Some(match always {
                None => names,
                Some(always) if word == "allOf" => always.union(&names).cloned().collect(),
                Some(always) => always.intersection(&names).cloned().collect(),
            });
        }
        required.extend(always.unwrap_or_default());
    }
    out.insert("type".to_owned(), "object".into());
    out.insert("properties".to_owned(), properties.into());
    if !required.is_empty() {
        out.insert("required".to_owned(), required.into_iter().collect());
    }
    out.into()
}

fn take_map(schema: &mut Map<String, Value>, key: &str) -> Map<String, Value> {
    if let Some(Value::Object(map)) = schema.remove(key) { map } else { Map::new() }
}

fn take_names(schema: &mut Map<String, Value>) -> BTreeSet<String> {
    let names = schema.remove("required");
    let names = names.as_ref().and_then(Value::as_array).into_iter().flatten();
    names.filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

/// Joins properties: one that differs in two branches may be either.
fn join(all: &mut Map<String, Value>, more: Map<String, Value>) {
    for (name, schema) in more {
        let either = match all.get_mut(&name) {
            None => schema,
            Some(known) if *known == schema => continue,
            Some(known) => match known.get_mut("anyOf").and_then(Value::as_array_mut) {
                Some(choices) => {
                    if !choices.contains(&schema) {
                        choices.push(schema);
                    }
                    continue;
                }
                None => json!({"anyOf": [known.take(), schema]}),
            },
        };
        all.insert(name, either);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_strict_where_its_objects_need_all_their_properties_and_take_no_others() {
        let closed = json!({"type": "object", "properties": {"a": {"type": ["string", "null"]}},
            "required": ["a"], "additionalProperties": false});
        let with = |field: &str, value: Value| {
            let mut schema = closed.clone();
            schema[field] = value;
            schema
        };
        let holds = |inner: &Value| with("properties", json!({"a": inner}));
        for (schema, strict) in [
            (closed.clone(), true),
            (holds(&closed), true),
            (holds(&json!({"type": "array", "items": closed})), true),
            (holds(&json!({"anyOf": [closed, {"type": "null"}]})), true),
            (json!({"type": "object", "properties": {}, "additionalProperties": false}), true),
            (with("required", json!([])), false),
            (with("additionalProperties", json!(true)), false),
            (with("$defs", json!({"D": {"type": "object"}})), false),
            (with("oneOf", json!([])), false),
            (holds(&json!({"type": "object", "additionalProperties": {"type": "string"}})), false),
            (holds(&json!({"type": "array", "items": {"type": "object"}})), false),
            (json!({"type": "object"}), false),
            (json!({"type": "array", "items": closed}), false),
            (json!({}), false),
        ] {
            assert_eq!(is_strict(&schema.clone().into()), strict, "{schema}");
            let tool =
                |strict| Tool { name: "f".into(), description: "".into(), parameters: schema.clone().into(), strict };
            assert_eq!(
                (super::strict(&tool(Some(true)), false), super::strict(&tool(None), false)),
                (Some(strict), None)
            );
            assert_eq!(super::strict(&tool(Some(true)), true), Some(true), "its provider tells its own callers");
        }
    }

    #[test]
    fn a_schema_whose_top_is_a_choice_becomes_an_object() {
        for (schema, expected) in [
            (
                json!({"description": "d", "anyOf": [
                    {"type": "object", "properties": {"a": {"type": "string"}, "k": {"const": 1}},
                        "required": ["a", "k"]},
                    {"type": "object", "properties": {"b": {"type": "string"}, "k": {"const": 2}},
                        "required": ["k"]}]}),
                json!({"description": "d", "type": "object", "required": ["k"], "properties": {
                    "a": {"type": "string"}, "b": {"type": "string"}, "k": {"anyOf": [{"const": 1}, {"const": 2}]}}}),
            ),
            (
                json!({"allOf": [{"properties": {"a": {}}, "required": ["a"]},
                    {"properties": {"b": {}}, "required": ["b"]}]}),
                json!({"type": "object", "properties": {"a": {}, "b": {}}, "required": ["a", "b"]}),
            ),
            (
                json!({"$ref": "#/$defs/X",
                    "$defs": {"X": {"oneOf": [{"$ref": "#/$defs/Y"}]}, "Y": {"properties": {"y": {}}}}}),
                json!({"type": "object", "properties": {"y": {}},
                    "$defs": {"X": {"oneOf": [{"$ref": "#/$defs/Y"}]}, "Y": {"properties": {"y": {}}}}}),
            ),
            (json!({"$ref": "#"}), json!({"type": "object", "properties": {}})),
        ] {
            let tool = Tool { name: "f".into(), description: "".into(), parameters: schema.into(), strict: Some(true) };
            let request = ChatRequest::new("r").user("x").tool(tool);
            let (folded, less) = folded(&request, Dialect::AnthropicMessages).expect("something to fold");
            assert_eq!(
                (folded.tools[0].parameters.value(), folded.tools[0].strict, less),
                (expected, Some(false), true)
            );
        }
        for (schema, expected) in [
            (json!({}), json!({"type": "object", "properties": {}})),
            (json!({"type": "object"}), json!({"type": "object", "properties": {}})),
            (
                json!({"type": ["object", "null"], "properties": {"a": {}}, "required": ["a"]}),
                json!({"type": "object", "properties": {"a": {}}, "required": ["a"]}),
            ),
        ] {
            let tool = Tool { name: "f".into(), description: "".into(), parameters: schema.into(), strict: Some(true) };
            let (folded, less) =
                folded(&ChatRequest::new("r").user("x").tool(tool), Dialect::OpenAiChat).expect("a change");
            assert_eq!(
                (folded.tools[0].parameters.value(), folded.tools[0].strict, less),
                (expected, Some(true), false)
            );
        }
        let plain = Tool {
            name: "f".into(),
            description: "".into(),
            parameters: json!({"type": "object", "properties": {"a": {"anyOf": []}}}).into(),
            strict: None,
        };
        assert_eq!(folded(&ChatRequest::new("r").user("x").tool(plain), Dialect::OpenAiChat), None);
    }
}

//! Checks whether Anthropic can enforce a schema, that is compile a grammar from it.

use serde_json::{Map, Value};

use super::fields::{Checked, invalid, refuse};

/// The most optional parameters of all strict schemas of a request together.
const OPTIONAL_MAX: usize = 24;
/// The most of them with several types.
const UNIONS_MAX: usize = 16;

/// Keywords that no grammar supports, by their type.
const UNSUPPORTED: &[(&str, &[&str])] = &[
    ("integer", &["exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum", "multipleOf"]),
    ("number", &["exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum", "multipleOf"]),
    ("string", &["maxLength", "minLength"]),
    ("array", &["maxItems", "uniqueItems"]),
    ("object", &["maxProperties", "minProperties", "patternProperties"]),
];

/// Checks one schema.
pub(super) fn check(path: &str, schema: &Value) -> Checked<()> {
    let definitions = ["$defs", "definitions"].iter().find_map(|name| schema.get(name)?.as_object());
    if let Some(name) = definitions.and_then(circle) {
        let problem = format!(
            "Invalid schema: Circular reference detected in schema definitions: {name}. Self-referencing or \
             mutually-referencing definitions are not supported."
        );
        return Err(invalid(path, &problem));
    }
    let mut problem = None;
    visit(schema, &mut |schema| problem = problem.take().or_else(|| flaw(schema)));
    problem.map_or(Ok(()), |problem| Err(invalid(path, &problem)))
}

/// Checks the limits of all strict schemas of a request together.
pub(super) fn limits(schemas: &[&Value]) -> Checked<()> {
    let (mut optional, mut unions) = (0, 0);
    for schema in schemas {
        visit(schema, &mut |schema| {
            let required = schema.get("required").and_then(Value::as_array);
            let is_required = |name: &str| required.is_some_and(|names| names.iter().any(|known| known == name));
            for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
                optional += usize::from(!is_required(name));
                unions += usize::from(property["type"].is_array() || property.get("anyOf").is_some());
            }
        });
    }
    if unions > UNIONS_MAX {
        return Err(refuse(format!(
            "Schemas contains too many parameters with union types ({unions} parameters with type arrays or anyOf). \
             This causes exponential compilation cost. Reduce the number of nullable or union-typed parameters \
             (limit: {UNIONS_MAX} parameters with unions)."
        )));
    }
    if optional > OPTIONAL_MAX {
        return Err(refuse(format!(
            "Schemas contains too many optional parameters ({optional}), which would make grammar compilation \
             inefficient. Reduce the number of optional parameters in your tool schemas (limit: {OPTIONAL_MAX})."
        )));
    }
    Ok(())
}

/// Returns the fault of a schema itself, not of schemas within it.
fn flaw(schema: &Map<String, Value>) -> Option<String> {
    if schema.contains_key("oneOf") {
        return Some("Schema type 'oneOf' is not supported".to_owned());
    }
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str).filter(|reference| !reference.starts_with('#'))
    {
        return Some(format!("External $ref '{reference}' is not supported"));
    }
    let kinds: Vec<&str> = match schema.get("type") {
        Some(Value::String(kind)) => vec![kind],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    if kinds.contains(&"object") && schema.get("additionalProperties") != Some(&Value::Bool(false)) {
        return Some("For 'object' type, 'additionalProperties' must be explicitly set to false".to_owned());
    }
    if kinds.contains(&"array") && schema.get("minItems").is_some_and(|min| !matches!(min.as_u64(), Some(0 | 1))) {
        return Some("For 'array' type, 'minItems' values other than 0 or 1 are not supported".to_owned());
    }
    let (kind, names) =
        UNSUPPORTED.iter().filter(|(kind, _)| kinds.contains(kind)).find_map(|(kind, unsupported)| {
            let names: Vec<_> = unsupported.iter().filter(|name| schema.contains_key(**name)).copied().collect();
            (!names.is_empty()).then_some((kind, names))
        })?;
    Some(match names.as_slice() {
        [name] => format!("For '{kind}' type, property '{name}' is not supported"),
        names => format!("For '{kind}' type, properties {} are not supported", names.join(", ")),
    })
}

/// Calls `see` with a schema and with every schema within it.
fn visit(schema: &Value, see: &mut impl FnMut(&Map<String, Value>)) {
    let Some(fields) = schema.as_object() else { return };
    see(fields);
    for (name, value) in fields {
        match (name.as_str(), value) {
            ("properties" | "$defs" | "definitions", Value::Object(named)) => {
                named.values().for_each(|schema| visit(schema, see));
            }
            ("items" | "additionalProperties", schema) => visit(schema, see),
            ("anyOf" | "allOf", Value::Array(schemas)) => schemas.iter().for_each(|schema| visit(schema, see)),
            _ => {}
        }
    }
}

/// Returns the way around a circle of definitions, like `A -> B -> A`.
fn circle(definitions: &Map<String, Value>) -> Option<String> {
    fn walk<'a>(definitions: &'a Map<String, Value>, way: &mut Vec<&'a str>) -> Option<String> {
        let mut next = Vec::new();
        let here = way.last().and_then(|name| definitions.get(*name))?;
        visit(here, &mut |schema| {
            let reference = schema.get("$ref").and_then(Value::as_str);
            let name = reference.and_then(|reference| reference.rsplit('/').next());
            next.extend(name.and_then(|name| definitions.get_key_value(name)).map(|(name, _)| name.as_str()));
        });
        next.into_iter().find_map(|name| {
            if let Some(from) = way.iter().position(|known| *known == name) {
                return Some([&way[from..], &[name]].concat().join(" -> "));
            }
            way.push(name);
            let found = walk(definitions, way);
            way.pop();
            found
        })
    }
    definitions.keys().find_map(|name| walk(definitions, &mut vec![name]))
}

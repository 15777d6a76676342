//! Declared functions and their schemas.

use serde_json::{Map, Value, json};

use super::{FieldFaults, Fields, list, message, objects, text};

/// The longest name of a function.
const NAME_MAX: usize = 64;

/// Checks the functions and schemas of a request.
pub(super) fn check(request: &Fields, notes: &mut FieldFaults) {
    let mut names: Vec<&str> = Vec::new();
    for (at, tool) in objects(request, "tools").enumerate() {
        for (place, function) in objects(tool, "function_declarations").enumerate() {
            let path = format!("tools[{at}].function_declarations[{place}]");
            let name = text(function, "name");
            if !is_name(name) {
                notes.add(
                    &format!("{path}.name"),
                    "Invalid function name. Must start with a letter or an underscore. Must be alphanumeric (a-z, A-Z, \
                     0-9), underscores (_), dots (.), colons (:), or dashes (-), with a maximum length of 64.",
                );
            }
            if names.contains(&name) {
                notes.add(&format!("{path}.name"), &format!("Duplicate function declaration found: {name}"));
            }
            names.push(name);
            if let Some(parameters) = message(function, "parameters") {
                let path = format!("{path}.parameters");
                if function.contains_key("parameters_json_schema") {
                    notes.add(&path, "must not be set together with parameters_json_schema.");
                }
                if text(parameters, "type") != "OBJECT" {
                    notes.add(&path, "parameters schema should be of type OBJECT.");
                }
                schema(parameters, &path, true, notes);
            }
        }
    }
    if let Some(form) = message(request, "generation_config").and_then(|config| message(config, "response_schema")) {
        schema(form, "generation_config.response_schema", true, notes);
    }
}

fn is_name(name: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
    let begins = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    begins && name.len() <= NAME_MAX && name.bytes().all(good)
}

fn schema(schema: &Fields, path: &str, is_root: bool, notes: &mut FieldFaults) {
    let kind = text(schema, "type");
    let properties = message(schema, "properties");
    let is_elsewhere = ["any_of", "ref", "$ref"].iter().any(|name| schema.contains_key(*name));
    if kind.is_empty() && !is_elsewhere {
        notes.add(&format!("{path}.type"), "must be specified when not using one_of, any_of or all_of fields");
    }
    for name in ["properties", "required"] {
        if kind != "OBJECT" && !is_elsewhere && schema.contains_key(name) {
            notes.add(&format!("{path}.{name}"), "only allowed for OBJECT type");
        }
    }
    if kind == "OBJECT" && !is_root && properties.is_some_and(Map::is_empty) {
        notes.add(&format!("{path}.properties"), "should be non-empty for OBJECT type");
    }
    if kind == "ARRAY" && !schema.contains_key("items") {
        notes.add(&format!("{path}.items"), "missing field.");
    }
    if schema.contains_key("enum") && kind != "STRING" {
        notes.add(&format!("{path}.enum"), "only allowed for STRING type");
    }
    for (at, required) in list(schema, "required").iter().enumerate() {
        let name = required.as_str().unwrap_or_default();
        if kind == "OBJECT" && !properties.is_some_and(|properties| properties.contains_key(name)) {
            notes.add(&format!("{path}.required[{at}]"), "property is not defined");
        }
    }
    for (name, property) in properties.into_iter().flatten() {
        if let Value::Object(property) = property {
            self::schema(property, &format!("{path}.properties[{name}]"), false, notes);
        }
    }
    for (at, choice) in objects(schema, "any_of").enumerate() {
        self::schema(choice, &format!("{path}.any_of[{at}]"), false, notes);
    }
    if let Some(items) = message(schema, "items") {
        self::schema(items, &format!("{path}.items"), false, notes);
    }
}

/// Spells Google's schema as other providers do.
pub(super) fn json_schema(schema: &Value) -> Value {
    let Value::Object(fields) = schema else { return schema.clone() };
    let spelled = |(name, value): (&String, &Value)| {
        let value = match (name.as_str(), value) {
            ("type", Value::String(kind)) => json!(kind.to_ascii_lowercase()),
            ("properties", Value::Object(properties)) => {
                properties.iter().map(|(name, schema)| (name.clone(), json_schema(schema))).collect()
            }
            ("any_of", Value::Array(choices)) => choices.iter().map(json_schema).collect(),
            ("items", items) => json_schema(items),
            (_, value) => value.clone(),
        };
        let name = match name.as_str() {
            "any_of" => "anyOf",
            "min_items" => "minItems",
            "max_items" => "maxItems",
            other => other,
        };
        (name.to_owned(), value)
    };
    Value::Object(fields.iter().map(spelled).collect())
}

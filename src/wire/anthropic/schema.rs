//! Makes a schema one that this dialect can hold an answer to.

use serde_json::{Map, Value};

/// Keywords that the provider refuses in a schema it is to hold to: it makes a grammar of it, which cannot count.
const UNCOUNTED: [&str; 12] = [
    "exclusiveMaximum",
    "exclusiveMinimum",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "patternProperties",
    "uniqueItems",
];

/// Returns the schema as the provider takes it: objects have no other properties than those they name, which fits the
/// open schema as well, and limits that no grammar can hold to are told in words.
pub(super) fn closed(schema: &Value) -> Value {
    let mut schema = schema.clone();
    close(&mut schema);
    schema
}

fn close(schema: &mut Value) {
    let Value::Object(schema) = schema else { return };
    if let Some(choices) = schema.remove("oneOf") {
        schema.entry("anyOf").or_insert(choices);
    }
    for (key, inner) in schema.iter_mut() {
        match (key.as_str(), inner) {
            ("properties" | "$defs" | "definitions", Value::Object(inner)) => inner.values_mut().for_each(close),
            ("anyOf" | "allOf" | "prefixItems", Value::Array(inner)) => inner.iter_mut().for_each(close),
            ("items", inner) => close(inner),
            _ => {}
        }
    }
    tell_limits(schema);
    if is_object(schema.get("type")) || schema.contains_key("properties") {
        schema.insert("additionalProperties".to_owned(), false.into());
    }
}

fn is_object(kind: Option<&Value>) -> bool {
    kind.is_some_and(|kind| {
        kind == "object" || kind.as_array().is_some_and(|kinds| kinds.iter().any(|one| one == "object"))
    })
}

/// Moves limits into the description, where the model still reads them.
fn tell_limits(schema: &mut Map<String, Value>) {
    let mut limits = Map::new();
    for name in UNCOUNTED {
        limits.extend(schema.remove_entry(name));
    }
    if schema.get("minItems").is_some_and(|least| !matches!(least.as_u64(), Some(0 | 1))) {
        limits.extend(schema.remove_entry("minItems"));
    }
    if limits.is_empty() {
        return;
    }
    let told = Value::from(limits).to_string();
    let text = match schema.get("description").and_then(Value::as_str) {
        Some(text) if !text.is_empty() => format!("{text}\n\n{told}"),
        _ => told,
    };
    schema.insert("description".to_owned(), text.into());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_no_grammar_can_hold_to_is_told_in_words() {
        let schema = json!({
            "type": "object", "additionalProperties": true, "minProperties": 1,
            "properties": {
                "minimum": {"type": ["integer", "null"], "minimum": 3, "maximum": 9, "description": "A number."},
                "list": {"type": "array", "minItems": 2, "items": {"type": "string", "maxLength": 5}},
                "some": {"type": "array", "minItems": 1},
                "one": {"oneOf": [{"properties": {}}, {"type": ["object", "null"]}]},
            },
            "required": ["minimum"],
        });
        let expected = json!({
            "type": "object", "additionalProperties": false, "description": "{\"minProperties\":1}",
            "properties": {
                "minimum": {"type": ["integer", "null"], "description": "A number.\n\n{\"maximum\":9,\"minimum\":3}"},
                "list": {
                    "type": "array", "description": "{\"minItems\":2}",
                    "items": {"type": "string", "description": "{\"maxLength\":5}"},
                },
                "some": {"type": "array", "minItems": 1},
                "one": {"anyOf": [
                    {"properties": {}, "additionalProperties": false},
                    {"type": ["object", "null"], "additionalProperties": false},
                ]},
            },
            "required": ["minimum"],
        });
        assert_eq!(closed(&schema), expected);
        assert_eq!(closed(&expected), expected, "what is closed stays as it is");
    }
}

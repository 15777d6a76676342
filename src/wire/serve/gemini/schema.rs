//! Turns schemas of Gemini's own kind, a part of `OpenAPI`'s, into JSON schemas.

use serde_json::{Value, json};

/// The kinds of values, by their numbers.
const KINDS: [&str; 8] = ["", "string", "number", "integer", "boolean", "array", "object", "null"];
/// Limits, which are 64-bit numbers, and such are texts in this dialect.
const LIMITS: [&str; 6] = ["minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"];

/// Turns a schema into a JSON schema.
pub(super) fn json_schema(mut schema: Value) -> Value {
    convert(&mut schema);
    schema
}

fn convert(schema: &mut Value) {
    let Value::Object(fields) = schema else { return };
    let renamed = [
        ("any_of", "anyOf"),
        ("property_ordering", "propertyOrdering"),
        ("max_items", "maxItems"),
        ("min_items", "minItems"),
    ];
    for (old, new) in renamed {
        if let Some(value) = fields.remove(old) {
            fields.insert(new.to_owned(), value);
        }
    }
    fields.remove("propertyOrdering");
    for (key, value) in fields.iter_mut() {
        match (key.as_str(), &mut *value) {
            ("type", Value::String(kind)) => kind.make_ascii_lowercase(),
            ("type", Value::Number(number)) => {
                let kind = number.as_u64().and_then(|number| KINDS.get(usize::try_from(number).ok()?));
                *value = kind.copied().unwrap_or_default().into();
            }
            ("properties", Value::Object(inner)) => inner.values_mut().for_each(convert),
            ("anyOf", Value::Array(inner)) => inner.iter_mut().for_each(convert),
            ("items" | "additionalProperties", inner) => convert(inner),
            (limit, Value::String(text)) if LIMITS.contains(&limit) => {
                if let Ok(number) = text.parse::<u64>() {
                    *value = number.into();
                }
            }
            _ => {}
        }
    }
    if matches!(fields.get("type"), Some(Value::String(kind)) if kind.is_empty() || kind == "type_unspecified") {
        fields.remove("type");
    }
    if fields.remove("nullable") == Some(Value::Bool(true))
        && let Some(kind) = fields.get_mut("type")
    {
        *kind = json!([kind.take(), "null"]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_of_geminis_own_kind_becomes_a_json_schema() {
        let theirs = json!({
            "type": "OBJECT",
            "properties": {
                "type": {"type": "STRING", "nullable": true},
                "list": {"type": "ARRAY", "items": {"type": "INTEGER", "format": "int32"}, "maxItems": "3"},
                "either": {"any_of": [{"type": 1}, {"type": "BOOLEAN"}]},
            },
            "required": ["list"],
            "propertyOrdering": ["type", "list"],
        });
        let ours = json!({
            "type": "object",
            "properties": {
                "type": {"type": ["string", "null"]},
                "list": {"type": "array", "items": {"type": "integer", "format": "int32"}, "maxItems": 3},
                "either": {"anyOf": [{"type": "string"}, {"type": "boolean"}]},
            },
            "required": ["list"],
        });
        assert_eq!(json_schema(theirs), ours);
        assert_eq!(json_schema(ours.clone()), ours);
    }
}

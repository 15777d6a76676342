//! Turns schemas of Gemini's own kind, a part of `OpenAPI`'s, into JSON schemas.

use serde_json::Number;

use crate::wire::edit::{Array, Edits, Member, Object, quoted, text};
use crate::words::{Json, Text};

/// The kinds of values, by their numbers.
const KINDS: [&str; 8] = ["", "string", "number", "integer", "boolean", "array", "object", "null"];
/// Limits, which are 64-bit numbers, and such are texts in this dialect.
const LIMITS: [&str; 6] = ["minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"];

/// Turns a schema into a JSON schema: when it is first read, since Gemini itself gets it as it came.
pub(super) fn json_schema(schema: Json) -> Json {
    Json::of(Text::rewritten(schema.into_text(), |written| {
        let mut edits = Edits::new(written);
        convert(written, &mut edits);
        edits.finish().into_owned()
    }))
}

/// Notes the changes of a schema, and of those within it.
fn convert<'a>(schema: &'a str, edits: &mut Edits<'a>) {
    let Some(mut fields) = Object::of(schema) else { return };
    let renamed = [("any_of", "anyOf"), ("max_items", "maxItems"), ("min_items", "minItems")];
    for (old, new) in renamed {
        if fields.get(old).is_some() {
            fields.remove(new);
            fields.rename(old, new, edits);
        }
    }
    for field in ["propertyOrdering", "property_ordering", "nullable"] {
        fields.remove(field);
    }
    let is_null_too = fields.get("nullable") == Some("true");
    if let Some(value) = fields.get("type") {
        match kind(value) {
            Some(kind) if matches!(&*kind, "" | "type_unspecified") => {
                fields.remove("type");
            }
            kind if is_null_too => {
                let kind = kind.map_or_else(|| value.to_owned(), |kind| quoted(&kind));
                fields.set("type", format!("[{kind},\"null\"]"), edits);
            }
            Some(kind) => fields.set("type", quoted(&kind), edits),
            None => {}
        }
    }
    for Member { name, value, .. } in fields.members() {
        match renamed.iter().find(|(old, _)| old == name).map_or(&**name, |(_, new)| new) {
            "properties" => Object::of(value).iter().flat_map(Object::members).for_each(|it| convert(it.value, edits)),
            "anyOf" => Array::of(value).iter().flat_map(Array::items).for_each(|it| convert(it, edits)),
            "items" | "additionalProperties" => convert(value, edits),
            limit if LIMITS.contains(&limit) => {
                if let Some(number) = text(value).and_then(|text| text.parse::<u64>().ok()) {
                    edits.replace(value, number.to_string());
                }
            }
            _ => {}
        }
    }
    fields.finish(edits);
}

/// Returns the kind of a value, where it is said by its name or its number.
fn kind(value: &str) -> Option<String> {
    if let Some(name) = text(value) {
        return Some(name.to_ascii_lowercase());
    }
    let number: Number = serde_json::from_str(value).ok()?;
    let kind = number.as_u64().and_then(|number| KINDS.get(usize::try_from(number).ok()?));
    Some(kind.copied().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
        assert_eq!(json_schema(theirs.into()), ours);
        assert_eq!(json_schema(ours.clone().into()), ours);
    }
}

//! Adapts a schema so that this dialect can enforce it.

use serde::ser::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::wire::edit::{Edits, Object};
use crate::wire::outgoing_text::{OutgoingJson, raw};
use crate::words::Json;

/// Keywords that the provider refuses in an enforced schema: it compiles a grammar, which cannot count.
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

/// The most schemas that one request can hold tools to ("Too many strict tools").
const HELD_MAX: usize = 20;
/// The most optional fields of all of them ("too many optional parameters").
const OPTIONAL_MAX: usize = 24;
/// The most fields of all of them that may be of several types ("too many parameters with union types").
const UNIONS_MAX: usize = 16;

/// Tells whether the provider can hold a request's answers to all of these: it makes one grammar of them, which cannot
/// be large and cannot be recursive ("Circular reference detected"), and whose objects are closed.
pub(super) fn can_be_held<'a>(schemas: impl Iterator<Item = &'a Json>) -> bool {
    let mut size = Size::default();
    for schema in schemas {
        size.schemas += 1;
        match schema.tree() {
            Some(schema) => size.measure(&schema, &schema, &mut Vec::new()),
            None => return false,
        }
    }
    let fits = size.schemas <= HELD_MAX && size.optional <= OPTIONAL_MAX && size.unions <= UNIONS_MAX;
    fits && !size.circles && !size.open
}

/// Tells whether a schema still means the same where its objects are closed: none of them is a map.
pub(super) fn can_be_closed(schema: &Json) -> bool {
    let mut size = Size::default();
    schema.tree().is_some_and(|schema| {
        size.measure(&schema, &schema, &mut Vec::new());
        !size.open
    })
}

/// The sum of some schemas' measures.
#[derive(Default)]
struct Size {
    schemas: usize,
    optional: usize,
    unions: usize,
    circles: bool,
    /// Some object would mean something else if it were closed.
    open: bool,
}

impl Size {
    /// Measures a schema, a part of a whole that its references lead to; `way` are those that led here.
    fn measure<'a>(&mut self, schema: &'a Value, whole: &'a Value, way: &mut Vec<&'a str>) {
        let Value::Object(fields) = schema else { return };
        if let Some(to) = fields.get("$ref").and_then(Value::as_str) {
            if way.contains(&to) {
                self.circles = true;
                return;
            }
            if let Some(target) = to.strip_prefix('#').and_then(|to| whole.pointer(to)) {
                way.push(to);
                self.measure(target, whole, way);
                way.pop();
            }
        }
        self.open |= is_open(fields);
        let required = fields.get("required").and_then(Value::as_array);
        for (name, inner) in fields {
            match (name.as_str(), inner) {
                ("properties", Value::Object(properties)) => {
                    for (name, property) in properties {
                        let is_required = required.is_some_and(|names| names.iter().any(|known| known == name));
                        self.optional += usize::from(!is_required);
                        let is_union = property["type"].is_array()
                            || ["anyOf", "oneOf"].iter().any(|of| property.get(of).is_some());
                        self.unions += usize::from(is_union);
                        self.measure(property, whole, way);
                    }
                }
                ("anyOf" | "oneOf" | "allOf" | "prefixItems", Value::Array(all)) => {
                    for inner in all {
                        self.measure(inner, whole, way);
                    }
                }
                ("items", inner) => self.measure(inner, whole, way),
                _ => {}
            }
        }
    }
}

/// A schema that the provider holds answers to: objects have no other properties than those they name, which fits the
/// open schema as well, and limits that no grammar can hold to are told in words.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Closed<'a>(pub(super) &'a Json);

impl Closed<'_> {
    /// Returns it; `None` where it is too large to be held to.
    fn value(self) -> Option<Value> {
        let mut schema = self.0.tree()?;
        close(&mut schema);
        Some(schema)
    }
}

impl Serialize for Closed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.value() {
            Some(schema) => schema.serialize(serializer),
            None => OutgoingJson::from(self.0).serialize(serializer),
        }
    }
}

/// The schema of a tool. A tool without arguments may have an empty one, or none; here the type must be there.
#[derive(Clone, Copy, Debug)]
pub(super) struct InputSchema<'a> {
    pub(super) schema: &'a Json,
    /// Whether arguments are held to it.
    pub(super) is_closed: bool,
}

impl Serialize for InputSchema<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let written = self.schema.as_str();
        let Some(mut fields) = Object::of(written) else {
            return json!({"type": "object", "properties": {}}).serialize(serializer);
        };
        let is_typed = fields.get("type").is_some();
        let closed = if self.is_closed { Closed(self.schema).value() } else { None };
        match closed {
            Some(mut schema) => {
                if !is_typed {
                    schema["type"] = "object".into();
                }
                schema.serialize(serializer)
            }
            None if is_typed => OutgoingJson::from(self.schema).serialize(serializer),
            None => {
                let mut edits = Edits::new(written);
                fields.set("type", r#""object""#, &mut edits);
                fields.finish(&mut edits);
                raw(&edits.finish(), serializer)
            }
        }
    }
}

/// Tells whether an object, closed, would mean something else: it takes properties that it does not name, or those that
/// it names and those of its branches would exclude each other.
fn is_open(schema: &Map<String, Value>) -> bool {
    let names = |schema: &Map<String, Value>| {
        schema.get("properties").and_then(Value::as_object).is_some_and(|properties| !properties.is_empty())
    };
    let refers = |schema: &&Value| schema.as_object().is_some_and(|it| names(it) || it.contains_key("$ref"));
    let of = |word: &str| schema.get(word).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let takes_more = match schema.get("additionalProperties") {
        Some(Value::Bool(more)) => *more,
        Some(_) => true,
        None => !names(schema) && (is_object(schema.get("type")) || schema.contains_key("properties")),
    };
    let mut branches = ["anyOf", "oneOf", "allOf"].into_iter().flat_map(of);
    let excludes = (names(schema) && branches.any(|it| refers(&it))) || of("allOf").iter().filter(refers).count() > 1;
    takes_more || excludes || schema.contains_key("patternProperties")
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
    use super::*;

    #[test]
    fn no_schema_is_enforced_that_is_too_large_or_recursive() {
        let fields = |count: usize, field: Value, required: bool| {
            let names: Vec<String> = (0..count).map(|at| format!("f{at}")).collect();
            let properties: Map<String, Value> = names.iter().map(|name| (name.clone(), field.clone())).collect();
            json!({"type": "object", "properties": properties, "required": if required { names } else { vec![] }})
        };
        let (plain, union) = (json!({"type": "string"}), json!({"type": ["string", "null"]}));
        let circle = json!({"$ref": "#/$defs/A",
            "$defs": {"A": {"properties": {"a": {"items": {"$ref": "#/$defs/A"}}}, "required": ["a"]}}});
        let twice = json!({"properties": {"a": {"$ref": "#/$defs/A"}, "b": {"$ref": "#/$defs/A"}},
            "required": ["a", "b"], "$defs": {"A": {"type": "string"}}});
        for (schemas, held) in [
            (vec![fields(24, plain.clone(), false)], true),
            (vec![fields(13, plain.clone(), false), fields(12, plain.clone(), false)], false),
            (vec![fields(99, plain.clone(), true)], true),
            (vec![fields(16, union.clone(), true)], true),
            (vec![fields(17, union, true)], false),
            (vec![fields(17, json!({"oneOf": [plain]}), true)], false),
            (vec![json!({"type": "object", "additionalProperties": false}); 20], true),
            (vec![json!({"type": "object", "additionalProperties": false}); 21], false),
            (vec![twice], true),
            (vec![circle], false),
            (vec![json!({"$ref": "#"})], false),
            (vec![json!(true)], true),
        ] {
            let schemas: Vec<Json> = schemas.into_iter().map(Json::from).collect();
            assert_eq!(can_be_held(schemas.iter()), held, "{schemas:?}");
        }
    }

    #[test]
    fn no_schema_is_enforced_that_means_something_else_once_its_objects_are_closed() {
        let field = |schema: Value| json!({"type": "object", "properties": {"m": schema}, "required": ["m"]});
        let (a, b) = (field(json!({"type": "string"})), json!({"properties": {"b": {}}, "required": ["b"]}));
        for (schema, held) in [
            (json!({"type": "object"}), false),
            (json!({"type": ["object", "null"]}), false),
            (json!({"type": "object", "properties": {}}), false),
            (json!({"type": "object", "properties": {}, "additionalProperties": false}), true),
            (json!({"type": "object", "additionalProperties": {"type": "string"}}), false),
            (json!({"additionalProperties": {"type": "string"}}), false),
            (
                json!({"type": "object", "properties": {"a": {}}, "required": ["a"], "additionalProperties": true}),
                false,
            ),
            (
                json!({"type": "object", "properties": {"a": {}}, "required": ["a"], "additionalProperties": false}),
                true,
            ),
            (json!({"type": "object", "patternProperties": {"^a": {}}, "additionalProperties": false}), false),
            (json!({"type": "object", "anyOf": [a, b]}), false),
            (json!({"anyOf": [a, b]}), true),
            (json!({"allOf": [a, b]}), false),
            (json!({"allOf": [a], "description": "one alone"}), true),
            (json!({"properties": {"c": {}}, "required": ["c"], "oneOf": [a, b]}), false),
            (json!({"properties": {"c": {}}, "anyOf": [{"required": ["c"]}, {"maxProperties": 0}]}), true),
            (json!({"$ref": "#/$defs/M", "$defs": {"M": {"type": "object"}}}), false),
            (json!({"type": "string"}), true),
            (json!({}), true),
        ] {
            for schema in [schema.clone(), field(schema.clone()), field(json!({"type": "array", "items": schema}))] {
                let told = schema.to_string();
                if told.contains("$ref") && !told.starts_with("{\"$ref") {
                    continue;
                }
                let schema = Json::from(schema);
                assert_eq!((can_be_held([&schema].into_iter()), can_be_closed(&schema)), (held, held), "{told}");
            }
        }
    }

    #[test]
    fn limits_that_no_grammar_supports_are_told_in_the_description() {
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
        assert_eq!(Closed(&schema.into()).value().as_ref(), Some(&expected));
        let closed = Closed(&(&expected).into()).value();
        assert_eq!(closed, Some(expected), "what is closed stays as it is");
    }
}

//! Protobuf's JSON, read as strictly as Google reads it: every field known, every value of its type, names in either
//! spelling. The result has every name as protobuf spells it, and lists where lists are expected.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::super::Host;
use super::super::proof;

/// The fault of one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Violation {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) field: String,
    pub(crate) description: String,
}

/// A message and its fields.
pub(super) struct Message {
    pub(super) name: &'static str,
    pub(super) fields: &'static [Field],
}

/// A field: which of Google's APIs know it, its name, what it holds.
pub(super) struct Field(pub(super) KnownBy, pub(super) &'static str, pub(super) Kind);

/// Which of Google's APIs know a field.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum KnownBy {
    Everywhere,
    Studio,
    Vertex,
    /// Everywhere but at Vertex AI for models before the third generation.
    Third,
}

/// The type of a field.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Text,
    Flag,
    Integer,
    Decimal,
    Bytes,
    /// One of these names, in any case, or its number.
    Enum(&'static str, &'static [&'static str]),
    /// Any object.
    Struct,
    /// Anything.
    Value,
    Message(&'static Message),
    List(&'static Kind),
    /// An object of messages by names of the caller's.
    Map(&'static Message),
}

/// Reads a body.
pub(super) struct Reader {
    pub(super) host: Host,
    pub(super) is_third: bool,
    pub(super) violations: Vec<Violation>,
}

/// A field's place: its message's path, its own name, and the path of both.
#[derive(Clone, Copy)]
struct FieldPath<'a> {
    parent: &'a str,
    name: &'a str,
    path: &'a str,
}

impl Reader {
    /// Reads a message; faults are noted and left out.
    pub(super) fn message(&mut self, message: &Message, fields: &Map<String, Value>, path: &str) -> Map<String, Value> {
        let mut read = Map::new();
        for (key, value) in fields {
            let known = message.fields.iter().find(|field| self.knows(field.0) && is_spelled(field.1, key));
            let Some(Field(_, name, kind)) = known else {
                self.unknown(path, key, "Cannot find field.");
                continue;
            };
            if value.is_null() {
                continue;
            }
            let own = if path.is_empty() { (*name).to_owned() } else { format!("{path}.{name}") };
            if let Some(value) = self.field(*kind, value, FieldPath { parent: path, name: key, path: &own }) {
                read.insert((*name).to_owned(), value);
            }
        }
        read
    }

    fn knows(&self, known: KnownBy) -> bool {
        match known {
            KnownBy::Everywhere => true,
            KnownBy::Studio => self.host == Host::Studio,
            KnownBy::Vertex => self.host == Host::Vertex,
            KnownBy::Third => self.host == Host::Studio || self.is_third,
        }
    }

    fn field(&mut self, kind: Kind, value: &Value, place: FieldPath<'_>) -> Option<Value> {
        match (kind, value) {
            (Kind::List(kind), Value::Array(values)) => {
                let read = |(at, value)| {
                    let path = format!("{}[{at}]", place.path);
                    self.field(*kind, value, FieldPath { path: &path, ..place })
                };
                Some(values.iter().enumerate().filter_map(read).collect())
            }
            // A single value in place of a list is a list of one.
            (Kind::List(kind), value) => {
                let path = format!("{}[0]", place.path);
                self.field(*kind, value, FieldPath { path: &path, ..place }).map(|value| json!([value]))
            }
            (Kind::Value, value) | (Kind::Struct, value @ Value::Object(_)) => Some(value.clone()),
            (_, Value::Array(_)) => {
                self.unknown(place.parent, place.name, "Proto field is not repeating, cannot start list.");
                None
            }
            (Kind::Message(message), Value::Object(fields)) => {
                Some(Value::Object(self.message(message, fields, place.path)))
            }
            (Kind::Map(message), Value::Object(entries)) => Some(Value::Object(self.map(message, entries, place.path))),
            (Kind::Message(_) | Kind::Map(_) | Kind::Struct, value) => {
                self.wrong(&self.type_name(kind), value, place.path)
            }
            (_, Value::Object(_)) => {
                self.unknown(place.parent, place.name, "Starting an object on a scalar field.");
                None
            }
            (_, value) => scalar(kind, value).or_else(|| self.wrong(&self.type_name(kind), value, place.path)),
        }
    }

    fn map(&mut self, message: &Message, entries: &Map<String, Value>, path: &str) -> Map<String, Value> {
        let mut read = Map::new();
        for (at, (key, value)) in entries.iter().enumerate() {
            let path = format!("{path}[{at}].value");
            match value {
                Value::Object(fields) => {
                    read.insert(key.clone(), Value::Object(self.message(message, fields, &path)));
                }
                other => {
                    self.wrong(&self.qualified(message.name), other, &path);
                }
            }
        }
        read
    }

    fn unknown(&mut self, path: &str, name: &str, problem: &str) {
        let place = if path.is_empty() { String::new() } else { format!(" at '{path}'") };
        let description = format!("Invalid JSON payload received. Unknown name \"{name}\"{place}: {problem}");
        self.violations.push(Violation { field: path.to_owned(), description });
    }

    fn wrong(&mut self, type_name: &str, value: &Value, path: &str) -> Option<Value> {
        let description = format!("Invalid value at '{path}' ({type_name}), {value}");
        self.violations.push(Violation { field: path.to_owned(), description });
        None
    }

    fn type_name(&self, kind: Kind) -> String {
        match kind {
            Kind::Text => "TYPE_STRING".to_owned(),
            Kind::Flag => "TYPE_BOOL".to_owned(),
            Kind::Integer => "TYPE_INT32".to_owned(),
            Kind::Decimal => "TYPE_FLOAT".to_owned(),
            Kind::Bytes => "TYPE_BYTES".to_owned(),
            Kind::Struct => "type.googleapis.com/google.protobuf.Struct".to_owned(),
            Kind::Value => "type.googleapis.com/google.protobuf.Value".to_owned(),
            Kind::Enum(name, _) => self.qualified(name),
            Kind::Message(message) | Kind::Map(message) => self.qualified(message.name),
            Kind::List(kind) => self.type_name(*kind),
        }
    }

    fn qualified(&self, name: &str) -> String {
        match self.host {
            Host::Studio => format!("type.googleapis.com/google.ai.generativelanguage.v1beta.{name}"),
            Host::Vertex => format!("type.googleapis.com/google.cloud.aiplatform.v1.{name}"),
        }
    }
}

/// Reads a value that has no parts, as protobuf does: numbers may be texts, whole numbers may have a fraction of zero.
fn scalar(kind: Kind, value: &Value) -> Option<Value> {
    let number = || match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    match kind {
        Kind::Text => value.as_str().map(Value::from),
        Kind::Flag => match value {
            Value::Bool(flag) => Some(json!(flag)),
            Value::String(text) => text.parse::<bool>().ok().map(Value::from),
            _ => None,
        },
        Kind::Decimal => number().map(Value::from),
        Kind::Integer => {
            let number = number()?;
            #[expect(clippy::cast_possible_truncation, reason = "it is whole and within the bounds of an i32")]
            let whole = (number.fract() == 0.0 && number.abs() <= f64::from(i32::MAX)).then_some(number as i64);
            whole.map(Value::from)
        }
        Kind::Bytes => value.as_str().filter(|text| proof::bytes(text).is_some()).map(Value::from),
        Kind::Enum(_, names) => match value {
            Value::String(text) => names.iter().find(|name| name.eq_ignore_ascii_case(text)).map(|name| json!(name)),
            Value::Number(number) => {
                let name = number.as_u64().and_then(|number| names.get(usize::try_from(number).ok()?));
                number.is_i64().then(|| name.map_or(json!(number), |name| json!(name)))
            }
            _ => None,
        },
        Kind::Struct | Kind::Value | Kind::Message(_) | Kind::List(_) | Kind::Map(_) => None,
    }
}

/// Tells whether a key is the name, as protobuf spells it or as JSON does: `top_k`, `topK`.
fn is_spelled(name: &str, key: &str) -> bool {
    if name == key {
        return true;
    }
    let mut letters = key.chars();
    let mut is_upper = false;
    for letter in name.chars() {
        match letter {
            '_' => is_upper = true,
            letter => {
                let expected = if is_upper { letter.to_ascii_uppercase() } else { letter };
                if letters.next() != Some(expected) {
                    return false;
                }
                is_upper = false;
            }
        }
    }
    letters.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_two_spellings() {
        for (name, key, same) in [
            ("top_k", "topK", true),
            ("top_k", "top_k", true),
            ("top_k", "topk", false),
            ("top_k", "top_K", false),
            ("any_of", "anyOf", true),
            ("text", "texts", false),
            ("texts", "text", false),
        ] {
            assert_eq!(is_spelled(name, key), same, "{name} {key}");
        }
    }
}

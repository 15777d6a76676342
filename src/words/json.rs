//! JSON that is carried: schemas of tools and of answers.
//!
//! A value is held as the text that it is written in, and is read where a rule asks for it. So one of a body that came
//! is a part of that body, and goes out with its fields in their order and its numbers in all their digits.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use bytestring::ByteString;
use serde_json::Value;
use serde_json::value::RawValue;

use super::text::Text;

/// The most values of a schema that rules look into: some five megabytes, for one schema at a time.
const TREE_VALUES_MAX: usize = 16 * 1024;

/// A JSON value, as the text that it is written in. It is cheap to clone, equal to all that say the same however they
/// are written, and read by [`Json::value`].
///
/// ```
/// use standin::Json;
///
/// let by_value = Json::from(serde_json::json!({"type": "object", "maximum": 1}));
/// let by_text: Json = r#"{"type": "object", "maximum": 1}"#.parse()?;
/// assert_eq!((&by_text, by_text.as_str()), (&by_value, r#"{"type": "object", "maximum": 1}"#));
/// assert_eq!((&by_text.value()["type"], by_text.fields()["maximum"].as_str()), (&"object".into(), "1"));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone)]
pub struct Json(Text);

impl Json {
    /// Takes a text that was checked to be one JSON value, no deeper than `serde_json` reads.
    pub(crate) const fn of(text: Text) -> Self {
        Self(text)
    }

    /// Returns it as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns what it says: of two fields of one name the last. It is read anew each time.
    pub fn value(&self) -> Value {
        // It was checked where it came from.
        serde_json::from_str(&self.0).unwrap_or_default()
    }

    /// Returns the fields of an object, each as it is written; none where it is no object. So `extra` is made of one.
    pub fn fields(&self) -> BTreeMap<String, Self> {
        let fields: BTreeMap<String, &RawValue> = serde_json::from_str(&self.0).unwrap_or_default();
        fields.into_iter().map(|(name, json)| (name, self.part(json.get()))).collect()
    }

    /// Returns what it says, for a rule that looks into schemas; `None` where it has more values than any schema that a
    /// provider takes: a tree takes many times the bytes of its text.
    pub(crate) fn tree(&self) -> Option<Value> {
        let begins = |byte: &u8| matches!(byte, b',' | b'[' | b'{');
        (self.0.bytes().filter(begins).count() < TREE_VALUES_MAX).then(|| self.value())
    }

    /// Returns a value within it.
    pub(crate) fn part(&self, value: &str) -> Self {
        Self(self.0.slice(value))
    }

    /// Returns the flag that it is, if it is one.
    pub(crate) fn flag(&self) -> Option<bool> {
        match self.0.trim() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    /// Tells whether it is null.
    pub(crate) fn is_null(&self) -> bool {
        self.0.trim() == "null"
    }

    /// Returns its text.
    #[cfg(any(feature = "sidecar", feature = "internals"))]
    pub(crate) fn into_text(self) -> Text {
        self.0
    }

    /// Returns its text, which may be told without being held.
    pub(crate) const fn text(&self) -> &Text {
        &self.0
    }
}

impl Default for Json {
    fn default() -> Self {
        Self("null".into())
    }
}

impl From<Value> for Json {
    fn from(value: Value) -> Self {
        Self::from(&value)
    }
}

impl From<&Value> for Json {
    fn from(value: &Value) -> Self {
        // What is written from it shares its memory.
        Self(Text::shared(ByteString::from(value.to_string())))
    }
}

impl From<Json> for Value {
    fn from(json: Json) -> Self {
        json.value()
    }
}

impl FromStr for Json {
    type Err = serde_json::Error;

    /// Reads one JSON value, and keeps it as it is written.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // All of it is read once: so it is no deeper, and its numbers are no larger, than can be read later.
        serde_json::from_str::<Value>(text).map(|_| Self(Text::shared(text.into())))
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        *self.0 == *other.0 || self.value() == other.value()
    }
}

impl Eq for Json {}

impl PartialEq<Value> for Json {
    fn eq(&self, other: &Value) -> bool {
        self.value() == *other
    }
}

impl Hash for Json {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.value().hash(state);
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_equal_by_what_they_say_and_stay_as_they_are_written() {
        let written = "{ \"b\": 1, \"a\": [\"\\u0041\", 12345678901234567890123, 1e0] }";
        let json: Json = written.parse().expect("JSON");
        let said: Json = r#"{"a":["A",1.2345678901234567890123e22,1.0],"b":1}"#.parse().expect("JSON");
        assert_eq!((json.as_str(), &json, json.to_string()), (written, &said, written.to_owned()));
        assert_ne!(json, json!({"b": 1}));
        assert_eq!(HashSet::from([json, said]).len(), 1);
        assert_eq!(Json::from(json!({"a": null})), json!({"a": null}));
        assert!(Json::default().is_null() && !Json::from(json!("null")).is_null());
    }

    #[test]
    fn fields_are_parts_of_their_object() {
        let json: Json = r#"{"a": {"b": 1.0}, "\u0063": [ ]}"#.parse().expect("JSON");
        let fields = json.fields();
        let written: Vec<_> = fields.iter().map(|(name, json)| (name.as_str(), json.as_str())).collect();
        assert_eq!(written, [("a", r#"{"b": 1.0}"#), ("c", "[ ]")]);
        assert_eq!(fields["a"].as_str().as_ptr(), json.as_str()[6..].as_ptr(), "nothing is copied");
        assert!(Json::default().fields().is_empty() && Json::from(json!([1])).fields().is_empty());
    }

    #[test]
    fn of_two_fields_of_one_name_the_last_counts() {
        let json: Json = r#"{"a":1,"a":2}"#.parse().expect("JSON");
        assert_eq!((json.value(), json.as_str()), (json!({"a": 2}), r#"{"a":1,"a":2}"#));
    }

    #[test]
    fn what_could_not_be_read_later_is_refused() {
        let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        for (text, is_json) in [
            ("", false),
            ("{", false),
            ("{} {}", false),
            ("1e999", false),
            (r#""\ud800""#, false),
            (&deep(127), true),
            (&deep(128), false),
        ] {
            let json = text.parse::<Json>();
            assert_eq!(json.is_ok(), is_json, "{text}");
            assert!(json.is_ok_and(|json| !json.value().is_null()) == is_json);
        }
    }

    #[test]
    fn no_tree_is_made_of_more_values_than_schemas_have() {
        for (values, is_read) in [(TREE_VALUES_MAX - 1, true), (TREE_VALUES_MAX, false)] {
            let json = Json::from(json!(vec![0; values]));
            assert_eq!(json.tree(), is_read.then(|| json.value()));
        }
    }
}

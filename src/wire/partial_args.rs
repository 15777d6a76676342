//! Arguments of a call that come value by value, each with its place among them, as Google streams them.
//!
//! Input: pieces with their paths (`$.list[0].name`). Output: the arguments as one object. A text grows with each piece
//! of its path; any other value is there once.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// The arguments as far as they came.
#[derive(Debug, Default)]
pub(super) struct PartialArgs {
    value: Value,
    /// Whether more was announced.
    is_open: bool,
}

/// A step on the way to a value.
enum Step<'a> {
    Name(&'a str),
    At(usize),
}

impl PartialArgs {
    /// Begins with what the call holds at once.
    pub(super) fn begin(&mut self, arguments: Option<&RawValue>) {
        self.value = arguments.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    }

    /// Takes a list of pieces, and whether more follow; `None` where it is not understood.
    pub(super) fn push(&mut self, pieces: Option<&RawValue>, goes_on: bool) -> Option<()> {
        self.is_open = goes_on;
        let pieces: Vec<Map<String, Value>> =
            pieces.map_or(Some(Vec::new()), |it| serde_json::from_str(it.get()).ok())?;
        for mut piece in pieces {
            let path = piece.remove("jsonPath").or_else(|| piece.remove("json_path"))?;
            let told = ["stringValue", "string_value", "numberValue", "number_value", "boolValue", "bool_value"];
            let value = told.into_iter().find_map(|name| piece.remove(name));
            let is_null = || piece.contains_key("nullValue") || piece.contains_key("null_value");
            let value = value.or_else(|| is_null().then_some(Value::Null));
            match (value, place(&mut self.value, path.as_str()?)?) {
                (Some(Value::String(more)), Value::String(all)) => all.push_str(&more),
                (Some(value), place) => *place = value,
                // It only says that its text goes on.
                (None, _) => {}
            }
        }
        Some(())
    }

    /// Tells whether more was announced.
    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }

    /// Returns the arguments, if any came in this way.
    pub(super) fn json(&self) -> Option<String> {
        (!self.value.is_null()).then(|| self.value.to_string())
    }
}

/// Returns the place of a path, which is made where it is not there.
fn place<'v>(value: &'v mut Value, path: &str) -> Option<&'v mut Value> {
    let mut value = value;
    for step in steps(path.strip_prefix('$')?)? {
        value = match step {
            Step::Name(name) => {
                if value.is_null() {
                    *value = Value::Object(Map::new());
                }
                value.as_object_mut()?.entry(name).or_insert(Value::Null)
            }
            Step::At(at) => {
                if value.is_null() {
                    *value = Value::Array(Vec::new());
                }
                let list = value.as_array_mut()?;
                if at == list.len() {
                    list.push(Value::Null);
                }
                list.get_mut(at)?
            }
        };
    }
    Some(value)
}

/// The most steps of a path: what is written and dropped by recursion must not be deep.
const STEPS_MAX: usize = 64;

/// Returns the steps of a path: `.name`, `[0]`, `['name']`.
fn steps(path: &str) -> Option<Vec<Step<'_>>> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if steps.len() == STEPS_MAX {
            return None;
        }
        if let Some(tail) = rest.strip_prefix('.') {
            let end = tail.find(['.', '[']).unwrap_or(tail.len());
            steps.push(Step::Name(&tail[..end]));
            rest = &tail[end..];
            continue;
        }
        let tail = rest.strip_prefix('[')?;
        let quote = tail.chars().next().filter(|letter| matches!(letter, '\'' | '"'));
        let (inner, tail) = match quote {
            Some(quote) => tail[1..].split_once(&*format!("{quote}]"))?,
            None => tail.split_once(']')?,
        };
        steps.push(if quote.is_some() { Step::Name(inner) } else { Step::At(inner.parse().ok()?) });
        rest = tail;
    }
    Some(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put_together(pieces: &[Value]) -> Option<Value> {
        let mut all = PartialArgs::default();
        for list in pieces {
            let raw = serde_json::value::to_raw_value(list).expect("JSON");
            all.push(Some(&raw), true)?;
        }
        all.json().map(|json| serde_json::from_str(&json).expect("JSON"))
    }

    #[test]
    fn values_are_put_in_their_places_and_texts_grow() {
        use serde_json::json;
        let text = |path: &str, text: &str| json!({"jsonPath": path, "stringValue": text, "willContinue": true});
        for (pieces, expected) in [
            (vec![json!([text("$.q", "A\"")]), json!([text("$.q", "BB")])], Some(json!({"q": "A\"BB"}))),
            (
                vec![
                    json!([text("$.a.b", "x"), {"jsonPath": "$.n", "numberValue": 1.5}]),
                    json!([text("$.a.b", "y"),
                    {"jsonPath": "$.t", "boolValue": false}, {"jsonPath": "$.z", "nullValue": "NULL_VALUE"}]),
                ],
                Some(json!({"a": {"b": "xy"}, "n": 1.5, "t": false, "z": null})),
            ),
            (
                vec![json!([text("$.l[0].x", "1"), text("$.l[1]", "2"), text("$.l[1]", "3"), text("$['a b']", "4")])],
                Some(json!({"l": [{"x": "1"}, "23"], "a b": "4"})),
            ),
            (vec![json!([text("$.q", "a"), {"jsonPath": "$.q"}])], Some(json!({"q": "a"}))),
            (vec![json!([])], None),
            // What is not understood is no input.
            (vec![json!([text("q", "a")])], None),
            (vec![json!([text("$.l[7]", "a")])], None),
            (vec![json!([text("$.q", "a"), text("$.q.r", "b")])], None),
            (vec![json!([{"stringValue": "a"}])], None),
            (vec![json!({"jsonPath": "$.q"})], None),
            (vec![json!([text(&format!("${}", ".a".repeat(65)), "x")])], None),
        ] {
            assert_eq!(put_together(&pieces), expected, "{pieces:?}");
        }
    }
}

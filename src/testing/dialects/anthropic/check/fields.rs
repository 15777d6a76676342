//! An object of a request, read as strictly as Anthropic reads, with its place for the refusal.

use serde_json::{Map, Value};

use crate::testing::dialects::Refusal;

pub(super) type Checked<T> = Result<T, Refusal>;

/// An object and its place in the request.
pub(super) struct Object<'a> {
    value: &'a Value,
    fields: &'a Map<String, Value>,
    path: String,
}

impl<'a> Object<'a> {
    /// Returns the request itself.
    pub(super) fn root(value: &'a Value) -> Checked<Self> {
        let fields = value
            .as_object()
            .ok_or_else(|| refuse("Input should be a valid dictionary or object to extract fields from"))?;
        Ok(Self { value, fields, path: String::new() })
    }

    pub(super) fn new(value: &'a Value, path: String) -> Checked<Self> {
        match value.as_object() {
            Some(fields) => Ok(Self { value, fields, path }),
            None => Err(invalid(&path, "Input should be a valid dictionary or object to extract fields from")),
        }
    }

    /// Returns it with its tag as a part of its place: `messages.0.content.1.tool_use`.
    pub(super) fn within(&self, tag: &str) -> Self {
        Self { value: self.value, fields: self.fields, path: self.place(tag) }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn value(&self) -> &'a Value {
        self.value
    }

    /// Returns the place of a field.
    pub(super) fn place(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.fields.get(name)
    }

    /// Refuses unknown fields.
    pub(super) fn known(&self, names: &[&str]) -> Checked<()> {
        match self.fields.keys().find(|key| !names.contains(&key.as_str())) {
            Some(unknown) => Err(invalid(&self.place(unknown), "Extra inputs are not permitted")),
            None => Ok(()),
        }
    }

    pub(super) fn missing(&self, name: &str) -> Refusal {
        invalid(&self.place(name), "Field required")
    }

    fn wrong(&self, name: &str, kind: &str) -> Refusal {
        invalid(&self.place(name), &format!("Input should be a valid {kind}"))
    }

    pub(super) fn string_opt(&self, name: &str) -> Checked<Option<&'a str>> {
        let text = |value: &'a Value| value.as_str().ok_or_else(|| self.wrong(name, "string"));
        self.get(name).map(text).transpose()
    }

    pub(super) fn string(&self, name: &str) -> Checked<&'a str> {
        self.string_opt(name)?.ok_or_else(|| self.missing(name))
    }

    /// Returns one of several words.
    pub(super) fn literal_opt(&self, name: &str, known: &[&str]) -> Checked<Option<&'a str>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match value.as_str().filter(|word| known.contains(word)) {
            Some(word) => Ok(Some(word)),
            None => Err(invalid(&self.place(name), &format!("Input should be {}", either(known)))),
        }
    }

    pub(super) fn literal(&self, name: &str, known: &[&str]) -> Checked<&'a str> {
        self.literal_opt(name, known)?.ok_or_else(|| self.missing(name))
    }

    /// Returns the `type` that tells of what kind it is.
    pub(super) fn tag(&self, known: &[&str]) -> Checked<&'a str> {
        let Some(tag) = self.string_opt("type")? else {
            return Err(invalid(&self.path, "Unable to extract tag using discriminator 'type'"));
        };
        if known.contains(&tag) {
            return Ok(tag);
        }
        let expected = known.iter().map(|tag| format!("'{tag}'")).collect::<Vec<_>>().join(", ");
        let problem =
            format!("Input tag '{tag}' found using 'type' does not match any of the expected tags: {expected}");
        Err(invalid(&self.path, &problem))
    }

    pub(super) fn flag(&self, name: &str) -> Checked<Option<bool>> {
        self.get(name).map(|value| value.as_bool().ok_or_else(|| self.wrong(name, "boolean"))).transpose()
    }

    pub(super) fn number(&self, name: &str) -> Checked<Option<f64>> {
        self.get(name).map(|value| value.as_f64().ok_or_else(|| self.wrong(name, "number"))).transpose()
    }

    pub(super) fn integer(&self, name: &str, min: u64) -> Checked<Option<u64>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        if !value.is_i64() && !value.is_u64() {
            return Err(self.wrong(name, "integer"));
        }
        match value.as_u64().filter(|number| *number >= min) {
            Some(number) => Ok(Some(number)),
            None => Err(invalid(&self.place(name), &format!("Input should be greater than or equal to {min}"))),
        }
    }

    pub(super) fn list(&self, name: &str) -> Checked<Option<&'a [Value]>> {
        let list = |value: &'a Value| value.as_array().map(Vec::as_slice).ok_or_else(|| self.wrong(name, "list"));
        self.get(name).map(list).transpose()
    }

    pub(super) fn object(&self, name: &str) -> Checked<Option<Object<'a>>> {
        self.get(name).map(|value| Object::new(value, self.place(name))).transpose()
    }

    pub(super) fn required_object(&self, name: &str) -> Checked<Object<'a>> {
        self.object(name)?.ok_or_else(|| self.missing(name))
    }

    /// Checks its mark for the cache.
    pub(super) fn cache_control(&self) -> Checked<()> {
        if self.get("cache_control").is_none_or(Value::is_null) {
            return Ok(());
        }
        let mark = self.required_object("cache_control")?;
        mark.tag(&["ephemeral"])?;
        let mark = mark.within("ephemeral");
        mark.known(&["type", "ttl"])?;
        mark.literal_opt("ttl", &["5m", "1h"]).map(|_| ())
    }
}

/// Refuses the value at a place.
pub(super) fn invalid(path: &str, problem: &str) -> Refusal {
    refuse(format!("{path}: {problem}"))
}

pub(super) fn refuse(message: impl AsRef<str>) -> Refusal {
    super::super::refusals::refusal(400, "invalid_request_error", message.as_ref())
}

/// Writes `'a', 'b' or 'c'`.
fn either(words: &[&str]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

/// Refuses a text with other bytes than names and ids may have.
pub(super) fn check_pattern(text: &str, path: &str, length_max: Option<usize>) -> Checked<()> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !text.is_empty() && text.bytes().all(good) && length_max.is_none_or(|max| text.len() <= max) {
        return Ok(());
    }
    let times = length_max.map_or_else(|| "+".to_owned(), |max| format!("{{1,{max}}}"));
    Err(invalid(path, &format!("String should match pattern '^[a-zA-Z0-9_-]{times}$'")))
}

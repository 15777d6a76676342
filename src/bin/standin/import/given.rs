//! Another gateway's configuration as a tree that knows its lines, which parts of it were read, and which of them the
//! report names.
//!
//! JSON is YAML, so one reader takes both. What was not read, and what was read and is not named, is reported at the
//! end: nothing is skipped silently.

use std::cell::Cell;

use saphyr::{LoadableYamlNode as _, MarkedYaml, Scalar, YamlData};

/// The longest time that can be set, in seconds: a year.
const YEAR: f64 = 365.0 * 24.0 * 60.0 * 60.0;

/// A value, its place, and its name.
#[derive(Debug)]
pub struct InputValue {
    pub line: usize,
    /// `router_settings.timeout`
    pub path: String,
    value: Value,
    mark: Cell<Mark>,
}

/// How far a value has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    Unread,
    Read,
    /// A line of the report names it.
    Reported,
}

#[derive(Debug)]
enum Value {
    Nothing,
    Text(String),
    Flag(bool),
    List(Vec<InputValue>),
    Table(Vec<(String, InputValue)>),
}

impl InputValue {
    /// Reads a text.
    ///
    /// # Errors
    /// The place, as `:4:12`, and the problem.
    pub fn read(text: &str) -> Result<Self, (String, String)> {
        let documents = MarkedYaml::load_from_str(text).map_err(|error| {
            let (line, column) = (error.marker().line(), error.marker().col() + 1);
            (format!(":{line}:{column}"), error.info().to_owned())
        })?;
        let whole = |problem: &str| (String::new(), problem.to_owned());
        let document = documents.into_iter().next().ok_or_else(|| whole("there is nothing in it"))?;
        let given = Self::of(&document, String::new());
        match given.value {
            Value::Table(_) => Ok(given),
            _ => Err(whole("it is no table of names and values")),
        }
    }

    /// Tells whether it has a field; marks nothing.
    pub fn has(&self, name: &str) -> bool {
        matches!(&self.value, Value::Table(fields) if fields.iter().any(|(known, _)| known == name))
    }

    fn of(node: &MarkedYaml<'_>, path: String) -> Self {
        let value = match &node.data {
            YamlData::Value(Scalar::Boolean(flag)) => Value::Flag(*flag),
            YamlData::Value(Scalar::Integer(number)) => Value::Text(number.to_string()),
            YamlData::Value(Scalar::FloatingPoint(number)) => Value::Text(number.to_string()),
            YamlData::Value(Scalar::String(text)) => Value::Text(text.clone().into_owned()),
            YamlData::Sequence(items) => {
                let items = items.iter().enumerate().map(|(at, item)| Self::of(item, format!("{path}[{at}]")));
                Value::List(items.collect())
            }
            YamlData::Mapping(fields) => {
                let own = fields.iter().filter(|(name, _)| !is_merge(name)).map(|(name, value)| {
                    let name = match &name.data {
                        YamlData::Value(Scalar::String(name)) => name.clone().into_owned(),
                        YamlData::Value(Scalar::Integer(number)) => number.to_string(),
                        YamlData::Value(Scalar::FloatingPoint(number)) => number.to_string(),
                        YamlData::Value(Scalar::Boolean(flag)) => flag.to_string(),
                        _ => "?".to_owned(),
                    };
                    let dot = if path.is_empty() { "" } else { "." };
                    let value = Self::of(value, format!("{path}{dot}{name}"));
                    (name, value)
                });
                let mut own: Vec<(String, Self)> = own.collect();
                for (_, merged) in fields.iter().filter(|(name, _)| is_merge(name)) {
                    Self::of(merged, path.clone()).merge_into(&mut own);
                }
                Value::Table(own)
            }
            YamlData::Tagged(_, node) => return Self::of(node, path),
            _ => Value::Nothing,
        };
        Self { line: node.span.start.line(), path, value, mark: Cell::new(Mark::Unread) }
    }

    /// Adds the fields of a table, or of each table of a list, to those that are not there yet.
    fn merge_into(self, own: &mut Vec<(String, Self)>) {
        match self.value {
            Value::Table(fields) => {
                for (name, given) in fields {
                    if own.iter().all(|(known, _)| *known != name) {
                        own.push((name, given));
                    }
                }
            }
            Value::List(items) => items.into_iter().for_each(|item| item.merge_into(own)),
            _ => {}
        }
    }

    /// Returns a field, and marks it as read.
    pub fn get(&self, name: &str) -> Option<&Self> {
        let Value::Table(fields) = &self.value else { return None };
        let found = fields.iter().find(|(known, _)| known == name).map(|(_, given)| given)?;
        found.read_it();
        Some(found).filter(|given| !matches!(given.value, Value::Nothing))
    }

    /// Returns a field's text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_text()
    }

    /// Returns a field's number.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.get(name)?.as_number()
    }

    /// Returns the fields of a table, and marks each as read.
    pub fn fields(&self) -> &[(String, Self)] {
        self.read_it();
        let fields = if let Value::Table(fields) = &self.value { &fields[..] } else { &[] };
        for (_, given) in fields {
            given.read_it();
        }
        fields
    }

    /// Returns the items of a list, and marks each as read.
    pub fn items(&self) -> &[Self] {
        self.read_it();
        let items = if let Value::List(items) = &self.value { &items[..] } else { &[] };
        for given in items {
            given.read_it();
        }
        items
    }

    /// Returns the texts of a list, or the only one.
    pub fn texts(&self) -> Vec<&str> {
        self.read_it();
        match &self.value {
            Value::List(items) => items.iter().filter_map(Self::as_text).collect(),
            _ => self.as_text().into_iter().collect(),
        }
    }

    pub fn as_text(&self) -> Option<&str> {
        self.read_it();
        if let Value::Text(text) = &self.value { Some(text) } else { None }
    }

    /// Returns whether it is true; `None` where it says neither.
    pub fn as_flag(&self) -> Option<bool> {
        self.read_it();
        match &self.value {
            Value::Flag(flag) => Some(*flag),
            Value::Text(text) => match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => Some(true),
                "false" | "no" | "off" | "0" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    pub fn as_number(&self) -> Option<f64> {
        // Users write 20_000 as a number.
        self.as_text()?.replace('_', "").parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// Returns a time in seconds, above 0 and at most a year.
    pub fn as_seconds(&self) -> Option<f64> {
        self.as_number().filter(|seconds| *seconds > 0.0 && *seconds <= YEAR)
    }

    fn read_it(&self) {
        self.mark.set(self.mark.get().max(Mark::Read));
    }

    /// Notes that a line of the report names it. The texts of a list have no lines of their own.
    pub fn reported(&self) {
        self.mark.set(Mark::Reported);
        if let Value::List(items) = &self.value {
            items.iter().filter(|item| !matches!(item.value, Value::Table(_))).for_each(Self::reported);
        }
    }

    /// Notes that a line of the report is about all of it.
    pub fn done(&self) {
        self.mark.set(Mark::Reported);
        match &self.value {
            Value::List(items) => items.iter().for_each(Self::done),
            Value::Table(fields) => fields.iter().for_each(|(_, given)| given.done()),
            _ => {}
        }
    }

    /// Notes that the line about it is about these fields, too.
    pub fn done_with(&self, names: &[&str]) {
        let Value::Table(fields) = &self.value else { return };
        fields.iter().filter(|(name, _)| names.contains(&name.as_str())).for_each(|(_, given)| given.done());
    }

    /// Returns the unread parts, the outermost of each.
    pub fn unread(&self) -> Vec<&Self> {
        if self.mark.get() == Mark::Unread && !self.path.is_empty() {
            return vec![self];
        }
        self.within(Self::unread)
    }

    /// Returns the values that were read, and that no line of the report names.
    pub fn unreported(&self) -> Vec<&Self> {
        match &self.value {
            Value::List(_) | Value::Table(_) => self.within(Self::unreported),
            Value::Nothing => Vec::new(),
            _ if self.mark.get() == Mark::Reported => Vec::new(),
            _ => vec![self],
        }
    }

    fn within<'s>(&'s self, each: impl Fn(&'s Self) -> Vec<&'s Self>) -> Vec<&'s Self> {
        match &self.value {
            Value::List(items) => items.iter().flat_map(each).collect(),
            Value::Table(fields) => fields.iter().flat_map(|(_, given)| each(given)).collect(),
            _ => Vec::new(),
        }
    }
}

/// Tells whether a name puts another table's fields into its own.
fn is_merge(name: &MarkedYaml<'_>) -> bool {
    matches!(&name.data, YamlData::Value(Scalar::String(text)) if &**text == "<<")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_and_json_are_read_with_their_lines_and_unread_parts_are_listed() {
        for text in [
            "a:\n  b: 20_000\n  c: True\n  d: [x, y]\ne: null\n",
            "{\"a\":\n{\"b\": 20000,\n\"c\": true,\n\"d\": [\"x\", \"y\"]},\n\"e\": null}",
        ] {
            let given = InputValue::read(text).expect(text);
            let a = given.get("a").expect("a");
            let flag = a.get("c").and_then(InputValue::as_flag);
            assert_eq!((a.number("b"), flag), (Some(20_000.0), Some(true)), "{text}");
            let unread: Vec<(&str, usize)> = given.unread().iter().map(|given| (&*given.path, given.line)).collect();
            assert_eq!(unread.iter().map(|(path, _)| *path).collect::<Vec<_>>(), ["a.d", "e"], "{text}");
            assert_eq!(a.get("d").map(InputValue::texts), Some(vec!["x", "y"]));
            assert!(given.get("e").is_none() && given.unread().is_empty());
            let unreported = || given.unreported().iter().map(|given| given.path.as_str()).collect::<Vec<_>>();
            assert_eq!(unreported(), ["a.b", "a.c", "a.d[0]", "a.d[1]"]);
            a.get("d").expect("d").reported();
            a.done_with(&["b"]);
            assert_eq!(unreported(), ["a.c"]);
        }
        for (text, at, problem) in [
            ("model_list:\n - a: b\n  c: d\n", ":3:", "expected '-'"),
            ("- a\n", "", "no table"),
            ("", "", "nothing in it"),
        ] {
            let (place, said) = InputValue::read(text).expect_err(text);
            assert!(place.starts_with(at) && said.contains(problem), "{text}: {place} {said}");
        }
    }
}

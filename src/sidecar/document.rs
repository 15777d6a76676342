//! A configuration's text as a tree whose parts know their places.
//!
//! Input: a text. Output: values with their places, or the part that is no TOML. Wrong parts can be left out, so that
//! the rest can be read, and a field is found by the path that an error names. No error repeats the text.

use std::fmt::Write as _;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::other_names::meant_field;
use crate::words::ConfigError;

/// A value and its place.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    /// Its bytes in the text.
    span: Range<usize>,
    /// Whether it is left out, because it is wrong.
    pub(super) out: bool,
}

#[derive(Debug)]
pub(super) enum Value {
    Text(String),
    Whole(i64),
    Number(f64),
    Flag(bool),
    /// A number or a date of a form that no field has.
    Other,
    List(Vec<Node>),
    Table(Vec<Field>),
}

/// A field of a table.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: String,
    span: Range<usize>,
    pub(super) node: Node,
}

/// The way from the root to a node: at each step the number of the field or item.
pub(super) type Path = Vec<usize>;

/// Line and column, both counted from 1.
pub(super) type LineColumn = (usize, usize);

/// A whole text.
#[derive(Debug)]
pub(super) struct Document<'t> {
    text: &'t str,
    pub(super) root: Node,
}

/// Where a field of an error is in a document.
pub(super) struct FieldLocation {
    /// The way to it, or to the innermost node around it that there is.
    pub(super) path: Path,
    /// Whether it is there itself.
    pub(super) exact: bool,
}

impl<'t> Document<'t> {
    /// Reads a text.
    ///
    /// # Errors
    /// The part that is no TOML, and its place.
    pub(super) fn parse(text: &'t str) -> Result<Self, Vec<(Option<LineColumn>, String)>> {
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            if let Some(problem) = foreign(text) {
                return Err(vec![(None, problem)]);
            }
            let told = errors.iter().map(|error| {
                // Beside the message an error quotes its line.
                let message = match error.message().lines().next().unwrap_or("is no TOML") {
                    "duplicate key" => TWICE,
                    "string values must be quoted, expected literal string" => {
                        "a text or a time must be in plain quotes, as \"smart\" or \"30s\""
                    }
                    message if message.contains("unicode value digits") || message.contains("escape") => {
                        "in \"…\" a backslash begins an escape; write a path in plain quotes, as 'C:\\keys\\mine'"
                    }
                    message if message.starts_with("cannot extend value of type inline table") => {
                        "this table is written above as `{ … }`, and is closed; put all of it into one of the two"
                    }
                    message => message,
                };
                (error.span().map(|span| place(text, span.start)), message.to_owned())
            });
            let mut told: Vec<(Option<LineColumn>, String)> = told.collect();
            let line = |place: &Option<LineColumn>| place.map(|(line, _)| line);
            told.dedup_by(|a, b| a.1 == b.1 && line(&a.0) == line(&b.0));
            return Err(told.into_iter().filter_map(|told| once(text, told)).collect());
        }
        let root = Node { value: fields(table.into_inner()), span: 0..0, out: false };
        Ok(Self { text, root })
    }

    /// Returns a node and its name there, if it has one.
    pub(super) fn node(&self, path: &[usize]) -> &Node {
        path.iter().fold(&self.root, |node, at| match &node.value {
            Value::List(items) => &items[*at],
            Value::Table(fields) => &fields[*at].node,
            _ => node,
        })
    }

    /// Leaves out a node.
    pub(super) fn leave_out(&mut self, path: &[usize]) {
        let node = path.iter().fold(&mut self.root, |node, at| match &mut node.value {
            Value::List(items) => &mut items[*at],
            Value::Table(fields) => &mut fields[*at].node,
            _ => unreachable!("a path leads through lists and tables"),
        });
        node.out = true;
    }

    /// Returns a node's name in its table, if it is in one.
    pub(super) fn own_name(&self, path: &[usize]) -> Option<&str> {
        let (last, around) = path.split_last()?;
        self.node(around).fields().get(*last).map(|field| field.name.as_str())
    }

    /// Returns the name of a node as errors write it: `routes.smart.targets[1].tier`. The root has none.
    pub(super) fn name(&self, path: &[usize]) -> String {
        let (mut name, mut node) = (String::new(), &self.root);
        for at in path {
            match &node.value {
                Value::List(items) => {
                    let _ = write!(name, "[{at}]");
                    node = &items[*at];
                }
                Value::Table(fields) => {
                    name.push_str(if name.is_empty() { "" } else { "." });
                    name.push_str(&fields[*at].name);
                    node = &fields[*at].node;
                }
                _ => break,
            }
        }
        name
    }

    /// Returns where a node begins: a field with its name, an item by itself.
    pub(super) fn place(&self, path: &[usize]) -> Option<LineColumn> {
        let (last, around) = path.split_last()?;
        let at = match &self.node(around).value {
            Value::Table(fields) => fields[*last].span.start,
            _ => self.node(path).span.start,
        };
        Some(place(self.text, at))
    }

    /// Finds a field by the path of an error. Names may have dots.
    pub(super) fn find(&self, field: &str) -> FieldLocation {
        let (mut path, mut node, mut rest) = (Vec::new(), &self.root, field);
        while !rest.is_empty() {
            let step = match &node.value {
                Value::Table(fields) => {
                    let inside = |field: &Field| {
                        let rest = rest.strip_prefix('.').unwrap_or(rest).strip_prefix(&*field.name)?;
                        (rest.is_empty() || rest.starts_with(['.', '['])).then_some(rest)
                    };
                    let found = fields.iter().enumerate().filter_map(|(at, field)| Some((at, inside(field)?)));
                    found.min_by_key(|(_, rest)| rest.len())
                }
                Value::List(items) => rest
                    .strip_prefix('[')
                    .and_then(|rest| rest.split_once(']'))
                    .and_then(|(at, rest)| Some((at.parse().ok().filter(|at| *at < items.len())?, rest))),
                _ => None,
            };
            let Some((at, left)) = step else { break };
            node = match &node.value {
                Value::List(items) => &items[at],
                Value::Table(fields) => &fields[at].node,
                _ => break,
            };
            path.push(at);
            rest = left;
        }
        FieldLocation { path, exact: rest.is_empty() }
    }

    /// Tells whether an error may be there only because something was left out.
    pub(super) fn explains(&self, error: &ConfigError) -> bool {
        let path = self.find(&error.field).path;
        let on_the_way = (0..path.len()).any(|length| self.node(&path[..length]).out);
        let node = self.node(&path);
        // A present field is checked alone; a missing one may be among the parts beside it that are left out.
        on_the_way || node.out || node.lacks()
    }

    /// Tells whether a part that is left out may give a name that can be asked for.
    pub(super) fn may_give(&self, name: &str) -> bool {
        let is_out = |field: &str| {
            let path = self.find(field).path;
            (0..=path.len()).any(|length| self.node(&path[..length]).out)
        };
        // One of these fields, misspelt or of another kind.
        let lacks = |node: &Node, names: &[&str]| {
            let mut out = node.fields().iter().filter(|field| field.node.out);
            out.any(|field| meant_field(&field.name, names).is_some())
        };
        let at_provider = |(provider, model): (&str, &str)| {
            let own = format!("providers.{provider}");
            let found = self.find(&own);
            is_out(&format!("{own}.models.{model}"))
                || found.exact && lacks(self.node(&found.path), &["models", "preset", "base_url", "dialect"])
        };
        lacks(&self.root, &["providers", "routes", "aliases"])
            || is_out(&format!("routes.{name}"))
            || is_out(&format!("aliases.{name}"))
            || name.split_once('/').is_some_and(at_provider)
    }

    /// Tells whether a client's key is left out, or a part of one, which may be its name.
    pub(super) fn lacks_clients(&self) -> bool {
        let path = self.find("server.keys").path;
        let is_out = (0..=path.len()).any(|length| self.node(&path[..length]).out);
        let node = self.node(&path);
        is_out || node.lacks() || node.items().iter().any(Node::lacks)
    }

    /// Tells whether the text holds a provider's key or one of the store's itself, and not only its source.
    pub(super) fn holds_key(&self) -> bool {
        let providers = self.root.fields().iter().filter(|field| field.name == "providers");
        let providers = providers.flat_map(|field| field.node.fields());
        let keys = providers.flat_map(|field| field.node.fields()).filter(|field| field.name == "keys");
        let store = self.root.fields().iter().filter(|field| field.name == "store");
        let keys =
            keys.chain(store.flat_map(|field| field.node.fields()).filter(|field| field.name == "encryption_keys"));
        let is_key = |node: &Node| matches!(&node.value, Value::Text(text) if !text.contains("${"));
        let mut items = keys.flat_map(|field| field.node.items());
        items.any(|key| is_key(key) || key.fields().iter().any(|field| field.name == "value" && is_key(&field.node)))
    }
}

impl Node {
    fn new(value: DeValue<'_>, span: Range<usize>) -> Self {
        let value = match value {
            DeValue::String(text) => Value::Text(text.into_owned()),
            DeValue::Integer(number) => {
                i64::from_str_radix(number.as_str(), number.radix()).map_or(Value::Other, Value::Whole)
            }
            DeValue::Float(number) => number.as_str().parse().map_or(Value::Other, Value::Number),
            DeValue::Boolean(flag) => Value::Flag(flag),
            DeValue::Datetime(_) => Value::Other,
            DeValue::Array(items) => Value::List(
                items
                    .into_iter()
                    .map(|item| {
                        let span = item.span();
                        Self::new(item.into_inner(), span)
                    })
                    .collect(),
            ),
            DeValue::Table(table) => fields(table),
        };
        Self { value, span, out: false }
    }

    pub(super) fn fields(&self) -> &[Field] {
        if let Value::Table(fields) = &self.value { fields } else { &[] }
    }

    pub(super) fn items(&self) -> &[Self] {
        if let Value::List(items) = &self.value { items } else { &[] }
    }

    fn inside(&self) -> impl Iterator<Item = &Self> {
        self.items().iter().chain(self.fields().iter().map(|field| &field.node))
    }

    /// Tells whether something in it is left out.
    pub(super) fn lacks(&self) -> bool {
        self.inside().any(|node| node.out)
    }

    /// Calls something with every text in it, and the way there; a text that it refuses is left out.
    pub(super) fn each_text(&mut self, path: &mut Path, each: &mut impl FnMut(&[usize], &mut String) -> bool) {
        let inside: Box<dyn Iterator<Item = &mut Self>> = match &mut self.value {
            Value::Text(text) => {
                self.out |= !each(path, text);
                return;
            }
            Value::List(items) => Box::new(items.iter_mut()),
            Value::Table(fields) => Box::new(fields.iter_mut().map(|field| &mut field.node)),
            _ => return,
        };
        for (at, node) in inside.enumerate() {
            path.push(at);
            node.each_text(path, each);
            path.pop();
        }
    }
}

fn fields(table: DeTable<'_>) -> Value {
    let fields = table.into_iter().map(|(name, value)| {
        let (name_span, span) = (name.span(), value.span());
        Field { name: name.into_inner().into_owned(), span: name_span, node: Node::new(value.into_inner(), span) }
    });
    Value::Table(fields.collect())
}

/// The error of a name that a table has twice.
const TWICE: &str = "this name is there twice; put both into one";

/// Tells of a table that is there several times only once, with all its lines, and of nothing that follows from it.
fn once(text: &str, (place, problem): (Option<LineColumn>, String)) -> Option<(Option<LineColumn>, String)> {
    let Some((line, _)) = place.filter(|_| problem == TWICE) else { return Some((place, problem)) };
    let heads = (1..).zip(text.lines()).map(|(at, text)| (at, text.split('#').next().unwrap_or(text).trim()));
    let heads = heads.filter(|(_, text)| text.starts_with('[') && text.ends_with(']'));
    let heads: Vec<(usize, &str)> = heads.collect();
    let head = heads.iter().rfind(|(at, _)| *at <= line).copied();
    // A list of tables has its name again and again, and so have the tables within.
    let is_listed = |name: &str| {
        let lists = heads.iter().filter_map(|(_, head)| head.strip_prefix("[[")?.strip_suffix("]]"));
        name.starts_with("[[") || lists.into_iter().any(|list| name.starts_with(&format!("[{list}.")))
    };
    let Some((head, name)) = head.filter(|(_, name)| !is_listed(name)) else { return Some((place, problem)) };
    let same: Vec<usize> = heads.iter().filter(|(_, other)| *other == name).map(|(at, _)| *at).collect();
    match same.iter().position(|at| *at == head) {
        Some(1) if head == line => {
            let lines = same.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
            Some((place, format!("this table is there several times, in lines {lines}; put all of it into one")))
        }
        Some(nth) if nth > 0 => None,
        _ => Some((place, problem)),
    }
}

fn place(text: &str, at: usize) -> LineColumn {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// Describes a text that is no TOML, if its format is recognised, and how to correct it.
fn foreign(text: &str) -> Option<String> {
    let text = text.trim_start_matches('\u{feff}');
    let lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let first = lines.clone().next()?.trim_start();
    let has = |name: &str| text.contains(name);
    let (kind, import) = if first.starts_with('{') {
        ("JSON", (has("\"strategy\"") && has("\"targets\"")).then_some("portkey"))
    } else {
        let is_field = |line: &str| {
            let line = line.trim_start().trim_start_matches("- ");
            let name = line
                .split_once(':')
                .map_or("", |(name, rest)| if rest.is_empty() || rest.starts_with(' ') { name } else { "" });
            !name.is_empty() && !name.contains(['=', '[', '"'])
        };
        let yaml = first == "---"
            || (is_field(first) && lines.clone().filter(|line| is_field(line)).count() * 2 > lines.count());
        (yaml.then_some("YAML")?, has("model_list:").then_some("litellm"))
    };
    let remedy = import.map_or_else(
        || "`standin init` writes one to begin with".to_owned(),
        |from| format!("`standin import {from} FILE` makes one of it"),
    );
    Some(format!("is {kind}, and a configuration is TOML: {remedy}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fields_place_is_found_by_its_path_and_names_with_dots_are_found() {
        let text = "[a]\nlist = [1,\n  'two']\n\"b.c\" = {d = 1}\n[[e]]\nf = 1\n[[e]]\nf = 2\n";
        let document = Document::parse(text).expect("TOML");
        for (field, expected) in [
            ("a", Some((1, 2))),
            ("a.list", Some((2, 1))),
            ("a.list[1]", Some((3, 3))),
            ("a.list[7]", Some((2, 1))),
            ("a.b.c.d", Some((4, 10))),
            ("a.b.c", Some((4, 1))),
            ("e[1].f", Some((8, 1))),
            ("a.none", Some((1, 2))),
            ("none", None),
        ] {
            let found = document.find(field);
            assert_eq!(document.place(&found.path), expected, "{field}");
            assert_eq!(found.exact, document.name(&found.path) == field, "{field}");
        }
    }

    #[test]
    fn a_table_that_is_there_several_times_is_told_once_with_its_lines() {
        for (text, told) in [
            ("[a]\nx = 1\n[b]\n[a] # more\ny = 1\n[a]\ny = 1\n", &[((4, 2), "in lines 1, 4, 6;")][..]),
            ("[a]\nx = 1\nx = 2\n", &[((3, 1), "this name is there twice")]),
            ("x = 1\nx = 2\n", &[((2, 1), "this name is there twice")]),
        ] {
            let errors = Document::parse(text).expect_err(text);
            let found: Vec<_> = errors.iter().map(|(place, _)| place.expect("a place")).collect();
            assert_eq!(found, told.iter().map(|(place, _)| *place).collect::<Vec<_>>(), "{text}: {errors:?}");
            assert!(errors.iter().zip(told).all(|((_, said), (_, part))| said.contains(part)), "{text}: {errors:?}");
        }
    }

    #[test]
    fn a_key_in_a_file_is_known_from_where_it_is_read() {
        for (keys, holds) in [
            ("['sk-1']", true),
            ("[{value = 'sk-1'}]", true),
            ("['${KEY}', {value = '${KEY}'}, {env = 'KEY'}, {file = 'k'}]", false),
            ("[]", false),
        ] {
            let text = format!("[providers.a]\nkeys = {keys}\n");
            assert_eq!(Document::parse(&text).expect("TOML").holds_key(), holds, "{keys}");
        }
    }

    #[test]
    fn yaml_and_json_are_recognised_and_the_error_says_what_to_do() {
        for (text, expected) in [
            (
                "model_list:\n  - model_name: a\n    litellm_params:\n      model: openai/a\n",
                "`standin import litellm FILE`",
            ),
            (
                "# mine\n---\nproviders:\n  openai:\n    keys: [a]\n",
                "is YAML, and a configuration is TOML: `standin init`",
            ),
            ("{\"strategy\": {\"mode\": \"fallback\"}, \"targets\": []}", "`standin import portkey FILE`"),
            ("\n{\"providers\": {}}", "is JSON, and a configuration is TOML: `standin init`"),
        ] {
            let errors = Document::parse(text).expect_err(text);
            assert!(errors.len() == 1 && errors[0].1.contains(expected), "{errors:?}");
        }
        let errors = Document::parse("[a\nb = 1\nc = \n").expect_err("no TOML");
        assert!(!errors.is_empty() && errors.iter().all(|(place, _)| place.is_some()), "{errors:?}");
    }
}

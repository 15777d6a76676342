//! Reads a configuration's values without repeating one: what is wrong is told by its place and its kind.
//!
//! In flow values of a file, out flow typed ones, or an error in which nothing stands that the file says. A key that was
//! written where a list was expected is in no error, and so in no log.

use std::fmt::{self, Display};
use std::ops::Range;

use serde::de::value::{MapAccessDeserializer, MapDeserializer, SeqDeserializer};
use serde::de::{self, Deserializer, Expected, IntoDeserializer, Unexpected, Visitor};
use toml::Value;
use toml::de::{DeTable, DeValue};

use crate::config::distance;
use crate::words::ConfigError;

/// Reads a value; names the field that does not fit, and the one that was meant.
pub(super) fn read<T: de::DeserializeOwned>(at: &str, value: Value) -> Result<T, ConfigError> {
    serde_path_to_error::deserialize(Blind(value)).map_err(|error| {
        let mut inner = error.path().to_string();
        let Fault { problem, hidden } = error.into_inner();
        // Its path ends with the name that is none.
        if let Some(hidden) = hidden {
            let around = inner.strip_suffix(&*hidden).map(|around| around.strip_suffix('.').unwrap_or(around));
            inner = around.unwrap_or_default().to_owned();
        }
        let field = match (at, inner.as_str()) {
            ("", "." | "") => "configuration".to_owned(),
            ("", inner) => inner.to_owned(),
            (at, "." | "") => at.to_owned(),
            (at, inner) => format!("{at}.{inner}"),
        };
        ConfigError::new(field, problem)
    })
}

/// A value that no error repeats.
struct Blind(Value);

/// What is wrong with it.
#[derive(Debug)]
struct Fault {
    problem: String,
    /// The name of a field that may be something else.
    hidden: Option<String>,
}

impl Fault {
    fn new(problem: String) -> Self {
        Self { problem, hidden: None }
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    /// Takes the words of whoever reads a value of its own kind: they know that they may not repeat it.
    fn custom<T: Display>(problem: T) -> Self {
        Self::new(problem.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("is {}; must be {expected}", kind(&found)))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("is out of range or has another form; must be {expected}"))
    }

    fn unknown_variant(found: &str, expected: &'static [&'static str]) -> Self {
        Self::new(among("is none that is known", found, expected))
    }

    fn unknown_field(found: &str, expected: &'static [&'static str]) -> Self {
        // A name is a place; what does not look like one may be a key that slipped.
        let is_name = found.len() <= 40 && found.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        if is_name {
            return Self::new(among(&format!("unknown field `{found}`"), found, expected));
        }
        Self { hidden: Some(found.to_owned()), ..Self::new(among("has a field that is unknown", found, expected)) }
    }
}

/// Says what there is, and what was probably meant.
fn among(what: &str, found: &str, expected: &[&str]) -> String {
    let names: Vec<String> = expected.iter().map(|name| format!("`{name}`")).collect();
    let near = expected.iter().map(|known| (distance(found, known), known)).min();
    let near = near.filter(|(distance, _)| *distance <= 1 + found.len() / 4);
    let meant = near.map_or(String::new(), |(_, known)| format!("; did you mean `{known}`?"));
    format!("{what}, expected one of {}{meant}", names.join(", "))
}

const fn kind(found: &Unexpected<'_>) -> &'static str {
    match found {
        Unexpected::Bool(_) => "true or false",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "a whole number",
        Unexpected::Float(_) => "a number",
        Unexpected::Char(_) | Unexpected::Str(_) => "a text",
        Unexpected::Seq => "a list",
        Unexpected::Map => "a table",
        _ => "something else",
    }
}

impl IntoDeserializer<'_, Fault> for Blind {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Blind {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.0 {
            Value::String(text) => visitor.visit_string(text),
            Value::Integer(number) => visitor.visit_i64(number),
            Value::Float(number) => visitor.visit_f64(number),
            Value::Boolean(flag) => visitor.visit_bool(flag),
            Value::Datetime(date) => visitor.visit_string(date.to_string()),
            Value::Array(items) => {
                let mut items = SeqDeserializer::new(items.into_iter().map(Self));
                let read = visitor.visit_seq(&mut items)?;
                items.end().map(|()| read)
            }
            Value::Table(fields) => {
                let mut fields = MapDeserializer::new(fields.into_iter().map(|(name, value)| (name, Self(value))));
                let read = visitor.visit_map(&mut fields)?;
                fields.end().map(|()| read)
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.0 {
            Value::String(name) => visitor.visit_enum(name.into_deserializer()),
            Value::Table(fields) => {
                let fields = MapDeserializer::new(fields.into_iter().map(|(name, value)| (name, Self(value))));
                visitor.visit_enum(MapAccessDeserializer::new(fields))
            }
            other => Self(other).deserialize_any(visitor),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

/// Says what of a text is no TOML, and where.
pub(super) fn syntax(text: &str, error: &toml::de::Error) -> String {
    let place = error.span().map_or(String::new(), |span| format!("{}: ", place(text, &span)));
    // Beside the message an error quotes its line.
    format!("{place}{}", error.message().lines().next().unwrap_or("is no TOML"))
}

/// Adds to an error where its field stands in a text, if it does.
pub(super) fn located(text: &str, error: ConfigError) -> ConfigError {
    let Some(span) = DeTable::parse(text).ok().and_then(|table| find(table.get_ref(), &error.field)) else {
        return error;
    };
    let problem = format!("{} ({})", error.problem, place(text, &span));
    ConfigError { problem, ..error }
}

/// Returns line and column, both counted from 1.
fn place(text: &str, span: &Range<usize>) -> String {
    let before = text.get(..span.start).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("line {line}, column {column}")
}

/// Returns where a field stands, or the innermost table or list around it. Names may have dots.
fn find(table: &DeTable<'_>, field: &str) -> Option<Range<usize>> {
    let inside = |name: &str| field.strip_prefix(name).filter(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
    let fields = table.iter().filter_map(|(name, value)| Some((name, value, inside(name.get_ref())?)));
    let (name, value, rest) = fields.min_by_key(|(_, _, rest)| rest.len())?;
    Some(within(value.get_ref(), rest).unwrap_or_else(|| name.span()))
}

fn within(value: &DeValue<'_>, rest: &str) -> Option<Range<usize>> {
    match value {
        DeValue::Table(table) => find(table, rest.strip_prefix('.')?),
        DeValue::Array(items) => {
            let (at, rest) = rest.strip_prefix('[')?.split_once(']')?;
            let item = items.get(at.parse::<usize>().ok()?)?;
            Some(within(item.get_ref(), rest).unwrap_or_else(|| item.span()))
        }
        _ => None,
    }
}

/// Tells whether a text holds a provider's key itself, and not only where it is read.
pub(super) fn holds_key(text: &str) -> bool {
    let is_key = |value: &Value| value.as_str().is_some_and(|text| !text.contains("${"));
    let keys = |provider: &Value| match provider.get("keys") {
        Some(Value::Array(keys)) => keys.iter().any(|key| is_key(key) || key.get("value").is_some_and(is_key)),
        _ => false,
    };
    let Ok(table) = text.parse::<toml::Table>() else { return false };
    matches!(table.get("providers"), Some(Value::Table(providers)) if providers.values().any(keys))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_tells_the_place_of_a_field_and_names_with_dots_are_found() {
        let text = "[a]\nlist = [1,\n  'two']\n\"b.c\" = {d = 1}\n[[e]]\nf = 1\n[[e]]\nf = 2\n";
        for (field, expected) in [
            ("a", "line 1, column 2"),
            ("a.list", "line 2, column 1"),
            ("a.list[1]", "line 3, column 3"),
            ("a.list[7]", "line 2, column 1"),
            ("a.b.c.d", "line 4, column 10"),
            ("a.b.c", "line 4, column 1"),
            ("e[1].f", "line 8, column 1"),
            ("a.none", "line 1, column 2"),
        ] {
            let error = located(text, ConfigError::new(field, "is wrong"));
            assert_eq!(error.problem, format!("is wrong ({expected})"), "{field}");
        }
        assert_eq!(located(text, ConfigError::new("none", "is wrong")).problem, "is wrong");
    }

    #[test]
    fn a_key_in_a_file_is_known_from_where_it_is_read() {
        for (keys, holds) in [
            ("['sk-1']", true),
            ("[{value = 'sk-1'}]", true),
            ("['${KEY}', {value = '${KEY}'}, {env = 'KEY'}, {file = 'k'}]", false),
            ("[]", false),
        ] {
            assert_eq!(holds_key(&format!("[providers.a]\nkeys = {keys}\n")), holds, "{keys}");
        }
    }
}

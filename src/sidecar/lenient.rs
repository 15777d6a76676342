//! Reads a document's values, and never repeats one in an error: errors tell the place, the kind and what it must be.
//!
//! Input: a document and the type of a part of it. Output: the valid parts, and all errors. Wrong parts are left out
//! and the rest is read again, until there are no errors: so the derived types are the only list of fields. A key in a
//! wrong place is in no error, and so in no log.

use std::fmt::{self, Display};

use serde::de::{self, DeserializeSeed, Deserializer, Expected, IntoDeserializer, Unexpected, Visitor};

use super::document::{Document, Field, Node, Path, Value};
use super::other_names::{of_failover, our_name};
use crate::words::nearest;

/// An error of the document.
#[derive(Debug)]
pub(super) struct DocumentError {
    /// The way to the part that is left out for it.
    pub(super) path: Path,
    /// The field's name, as far as it may be shown.
    pub(super) field: String,
    pub(super) problem: String,
}

/// The most errors that are looked for: each takes one more pass over the whole.
const WRONG_MAX: usize = 100;

/// Reads a part of a document, except a field that is read by itself.
pub(super) fn read<T: de::DeserializeOwned + Default>(
    document: &mut Document<'_>,
    path: &[usize],
    but: Option<&str>,
    wrong: &mut Vec<DocumentError>,
) -> T {
    for _ in 0..WRONG_MAX {
        let fault = match T::deserialize(Lenient { node: document.node(path), but }) {
            Ok(read) => return read,
            Err(fault) => fault,
        };
        let path: Path = path.iter().chain(fault.path.iter().rev()).copied().collect();
        // A missing field may be among the parts that were left out.
        if !document.node(&path).lacks() {
            wrong.push(tell(document, &path, &fault, but));
        }
        if !path.is_empty() {
            document.leave_out(&path);
        }
        if fault.path.is_empty() {
            break;
        }
    }
    T::default()
}

/// Describes the error.
fn tell(document: &Document<'_>, path: &[usize], fault: &Fault, but: Option<&str>) -> DocumentError {
    let mut field = document.name(path);
    let dotted = match &fault.what {
        Mismatch::Field { .. } | Mismatch::Other { .. } => unquoted(document, path),
        _ => None,
    };
    if let Some(problem) = dotted {
        return DocumentError { path: path.to_vec(), field, problem };
    }
    let problem = match &fault.what {
        Mismatch::Said(problem) => problem.clone(),
        Mismatch::Other { is, must, example } => {
            let example = match (document.own_name(path), *example) {
                (Some("retires"), _) => ", as `retires = \"2026-12-31\"`".to_owned(),
                (_, "") => String::new(),
                (Some("keys"), _) if field == "server.keys" => ", as `[[server.keys]]`".to_owned(),
                (None, example) => format!(", as `{example}`"),
                (Some(name), "{}") => format!(", as `{name} = {{}}`"),
                (Some(name), "NAME = {}") => format!(", as `{name}.NAME = {{}}`"),
                (Some(name), example) => format!(", as `{name} = {example}`"),
            };
            format!("{is}; must be {must}{example}")
        }
        Mismatch::Field { found, expected } => {
            let is_name = is_field_name(found);
            if !is_name {
                field = document.name(&path[..path.len().saturating_sub(1)]);
            }
            let what = if is_name { "is no known field" } else { "has an unknown field" };
            let but = but.filter(|_| path.len() == 1);
            let expected: Vec<&str> = expected.iter().copied().chain(but).collect();
            format!("{what}; {}", among(found, &expected, '`'))
        }
        Mismatch::Variant { found, expected } => format!("is unknown; {}", among(found, expected, '"')),
    };
    DocumentError { path: path.to_vec(), field: if field.is_empty() { "configuration".into() } else { field }, problem }
}

/// Says that a name with a dot needs quotes, where there is a table that only such a name can have made: one by a name
/// that no field has, or one where an alias must be a text.
fn unquoted(document: &Document<'_>, path: &[usize]) -> Option<String> {
    let Value::Table(fields) = &document.node(path).value else { return None };
    let around = path.get(..path.len().checked_sub(1)?)?;
    let (group, first, second) = if document.name(around) == "aliases" {
        ("aliases", document.own_name(path)?, fields.first()?.name.as_str())
    } else {
        let group = document.own_name(around.get(..around.len().checked_sub(1)?)?)?;
        (group, document.own_name(around)?, document.own_name(path).filter(|name| !is_field_name(name))?)
    };
    let name = format!("{first}.{second}");
    let may_be_told =
        name.len() <= 60 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    let name = if may_be_told { name } else { "NAME.NAME".to_owned() };
    let named = ["aliases", "models", "providers", "routes"].contains(&group);
    named.then(|| format!("a name with a dot must stand in quotes, as `{group}.\"{name}\"`"))
}

/// Tells whether a name looks like a field's; one that does not may be a misplaced key.
fn is_field_name(name: &str) -> bool {
    name.len() <= 40 && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// Says what was probably meant, and what there is.
fn among(found: &str, expected: &[&str], quote: char) -> String {
    let names: Vec<String> = expected.iter().map(|name| format!("{quote}{name}{quote}")).collect();
    let known = our_name(found, expected).map(|known| (known, ""));
    let known = known.or_else(|| Some((of_failover(found)?, ", of the runtime or a route")));
    let known = known.or_else(|| Some((nearest(found, expected.iter().copied())?, "")));
    let meant = known.map_or(String::new(), |(known, at)| format!("did you mean {quote}{known}{quote}{at}? "));
    format!("{meant}there are {}", names.join(", "))
}

/// A value that no error repeats.
struct Lenient<'a> {
    node: &'a Node,
    /// A field that this reader does not know.
    but: Option<&'a str>,
}

/// Why it does not fit.
#[derive(Debug)]
struct Fault {
    what: Mismatch,
    /// The way there, from its end.
    path: Path,
}

#[derive(Debug)]
enum Mismatch {
    /// The text of a type with a reader of its own, which never repeats the value.
    Said(String),
    Other {
        is: String,
        must: String,
        example: &'static str,
    },
    Field {
        found: String,
        expected: &'static [&'static str],
    },
    Variant {
        found: String,
        expected: &'static [&'static str],
    },
}

impl Fault {
    fn new(what: Mismatch) -> Self {
        Self { what, path: Path::new() }
    }

    fn other(is: impl Into<String>, expected: &dyn Expected) -> Self {
        let (must, example) = must(&expected.to_string());
        Self::new(Mismatch::Other { is: is.into(), must, example })
    }

    fn below(mut self, at: usize) -> Self {
        self.path.push(at);
        self
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.what)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: Display>(problem: T) -> Self {
        Self::new(Mismatch::Said(problem.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::other(format!("is {}", kind(&found)), expected)
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::other("is out of range or has another form", expected)
    }

    fn missing_field(name: &'static str) -> Self {
        Self::new(Mismatch::Said(format!("has no `{name}`, and must have one")))
    }

    fn unknown_variant(found: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Mismatch::Variant { found: found.to_owned(), expected })
    }

    fn unknown_field(found: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Mismatch::Field { found: found.to_owned(), expected })
    }
}

/// What serde expects where a time is to be written.
const TIME: &str = "a duration";

/// Tells whether a time would be read as months by a letter that most people write for minutes.
fn is_of_months(text: &str) -> bool {
    text.split(|letter: char| !letter.is_alphabetic()).any(|unit| unit == "M")
}

/// Translates what serde expects into terms of the file, with an example.
fn must(expected: &str) -> (String, &'static str) {
    let (must, example) = match expected {
        TIME => ("a time", "\"5s\""),
        "a map" => ("a table", "NAME = {}"),
        "a sequence" => ("a list", "[\"…\"]"),
        "a boolean" => ("true or false", "true"),
        "u8" => ("a whole number from 0 to 255", "1"),
        "u16" => ("a whole number from 0 to 65535", "1"),
        "u32" => ("a whole number from 0 to 4294967295", "10"),
        "u64" | "usize" => ("a whole number, 0 or more", "10"),
        "f32" | "f64" => ("a number", "0.5"),
        "a string" | "path string" => ("a text in quotes", "\"…\""),
        "struct PriceConfig" => ("a table", "{ input = 0.25, output = 2.0 }"),
        "struct ClientKey" => {
            ("a table, of which `standin key NAME` prints one", "{ name = \"team\", sha256 = \"…\" }")
        }
        other if other.starts_with("struct ") => ("a table", "{}"),
        other => (other, ""),
    };
    (must.to_owned(), example)
}

const fn kind(found: &Unexpected<'_>) -> &'static str {
    match found {
        Unexpected::Bool(_) => "true or false",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "a whole number",
        Unexpected::Float(_) => "a number",
        Unexpected::Char(_) | Unexpected::Str(_) => "a text",
        Unexpected::Seq => "a list",
        Unexpected::Map => "a table",
        Unexpected::Unit => "a date, or a number without end",
        _ => "something else",
    }
}

impl<'a> Lenient<'a> {
    const fn of(node: &'a Node) -> Self {
        Self { node, but: None }
    }

    fn table(&self) -> Option<Fields<'a>> {
        let Value::Table(fields) = &self.node.value else { return None };
        Some(Fields { all: fields, but: self.but, next: 0 })
    }

    fn unexpected(&self) -> Unexpected<'a> {
        match &self.node.value {
            Value::Text(text) => Unexpected::Str(text),
            Value::Whole(number) => Unexpected::Signed(*number),
            Value::Number(number) => Unexpected::Float(*number),
            Value::Flag(flag) => Unexpected::Bool(*flag),
            Value::Other => Unexpected::Unit,
            Value::List(_) => Unexpected::Seq,
            Value::Table(_) => Unexpected::Map,
        }
    }
}

impl<'de> Deserializer<'de> for Lenient<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Text(text) if is_of_months(text) && (&visitor as &dyn Expected).to_string() == TIME => {
                Err(Fault::new(Mismatch::Said(
                    "has an `M`, which means months; write minutes as `5m`, and days as `30d`".to_owned(),
                )))
            }
            Value::Text(text) => visitor.visit_str(text),
            Value::Whole(number) => visitor.visit_i64(*number),
            Value::Number(number) => visitor.visit_f64(*number),
            Value::Flag(flag) => visitor.visit_bool(*flag),
            Value::Other => Err(de::Error::invalid_type(Unexpected::Unit, &visitor)),
            Value::List(items) => visitor.visit_seq(Items { items, next: 0 }),
            Value::Table(fields) => visitor.visit_map(Fields { all: fields, but: self.but, next: 0 }),
        }
    }

    /// A list is no table: derived readers would take its items for fields in their order.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.table() {
            Some(fields) => visitor.visit_map(fields),
            None => Err(de::Error::invalid_type(self.unexpected(), &visitor)),
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
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let live = |fields: &'_ [Field]| fields.iter().filter(|field| !field.node.out).count();
        match &self.node.value {
            Value::Text(name) => visitor.visit_enum(Variant { name, content: None }),
            Value::Table(fields) if live(fields) == 1 => {
                let (at, field) = fields.iter().enumerate().find(|(_, field)| !field.node.out).expect("one that lives");
                visitor.visit_enum(Variant { name: &field.name, content: Some((at, &field.node)) })
            }
            _ => {
                let names: Vec<String> = variants.iter().map(|name| format!("\"{name}\"")).collect();
                let must = format!("one of {}", names.join(", "));
                let is = format!("is {}", kind(&self.unexpected()));
                Err(Fault::new(Mismatch::Other { is, must, example: "" }))
            }
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

/// The items of a list that are not left out.
struct Items<'a> {
    items: &'a [Node],
    next: usize,
}

impl<'de> de::SeqAccess<'de> for Items<'_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        while let Some(node) = self.items.get(self.next) {
            self.next += 1;
            if !node.out {
                return seed.deserialize(Lenient::of(node)).map(Some).map_err(|fault| fault.below(self.next - 1));
            }
        }
        Ok(None)
    }
}

/// The fields of a table that are not left out.
struct Fields<'a> {
    all: &'a [Field],
    but: Option<&'a str>,
    next: usize,
}

impl<'de> de::MapAccess<'de> for Fields<'_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        while let Some(field) = self.all.get(self.next) {
            self.next += 1;
            if !field.node.out && self.but != Some(&field.name) {
                let name = field.name.as_str().into_deserializer();
                return seed.deserialize(name).map(Some).map_err(|fault: Fault| fault.below(self.next - 1));
            }
        }
        Ok(None)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Fault> {
        let at = self.next - 1;
        seed.deserialize(Lenient::of(&self.all[at].node)).map_err(|fault| fault.below(at))
    }
}

/// One of several names, with or without a value.
struct Variant<'a> {
    name: &'a str,
    content: Option<(usize, &'a Node)>,
}

impl<'de> de::EnumAccess<'de> for Variant<'_> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Fault> {
        let read = seed.deserialize(self.name.into_deserializer());
        let read = read.map_err(|fault: Fault| match self.content {
            Some((at, _)) => fault.below(at),
            None => fault,
        });
        Ok((read?, self))
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'_> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        match self.content {
            None => Ok(()),
            Some((at, _)) => {
                let problem = format!("stands alone, as `\"{}\"`: it has no table", self.name);
                Err(Fault::new(Mismatch::Said(problem)).below(at))
            }
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        let (at, node) =
            self.content.ok_or_else(|| Fault::new(Mismatch::Said(format!("`{}` needs a value", self.name))))?;
        seed.deserialize(Lenient::of(node)).map_err(|fault| fault.below(at))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Fault> {
        Err(de::Error::invalid_type(Unexpected::TupleVariant, &visitor))
    }

    fn struct_variant<V: Visitor<'de>>(self, names: &'static [&'static str], visitor: V) -> Result<V::Value, Fault> {
        let Some((at, node)) = self.content else {
            let names: Vec<String> = names.iter().map(|name| format!("{name} = …")).collect();
            let problem = format!("needs a table, as `{{ {} = {{ {} }} }}`", self.name, names.join(", "));
            return Err(Fault::new(Mismatch::Said(problem)));
        };
        Lenient::of(node).deserialize_struct("", names, visitor).map_err(|fault| fault.below(at))
    }
}

//! JSON as callers send it: read once, in its own order, its texts borrowed from the body until they become words.
//!
//! In flows a body, out flow typed fields, or a [`BadRequest`] that names the field by its path. What nobody takes out of
//! an object is left in it, to be passed on.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};

use super::{BadRequest, twins};

/// A JSON value.
#[derive(Debug, Default)]
pub(super) enum Node<'a> {
    #[default]
    Null,
    Bool(bool),
    Number(Number),
    Text(Cow<'a, str>),
    List(Vec<Self>),
    Object(Object<'a>),
    /// A field of a body that has more values than are read: whoever asks for it is told so, and all others pass it by.
    Dense,
}

/// So many values of a body are read, whatever its length: a million tokens of JSON have fewer.
const VALUES_MAX: usize = 512 * 1024;
/// A value more is read for each so many bytes of a body: what is made of them then takes less than the body itself.
const BYTES_A_VALUE: usize = 256;
/// What is said of a field that has more.
const DENSE: &str = "has more values than are read here";

/// An object's fields in their order. One that is null counts as none.
#[derive(Debug, Default)]
pub(super) struct Object<'a>(Vec<(Cow<'a, str>, Node<'a>)>);

pub(super) type Read<T> = Result<T, BadRequest>;

impl<'a> Object<'a> {
    /// Reads a body.
    pub(super) fn parse(body: &'a [u8]) -> Read<Self> {
        let values_max = VALUES_MAX + body.len() / BYTES_A_VALUE;
        // A value takes two bytes, with what stands before it: most bodies are too short to have too many.
        let few = body.len() / 2 < values_max || begun(body) < values_max || values(body) < values_max;
        let read = if few {
            serde_json::from_slice(body)
        } else {
            let mut json = serde_json::Deserializer::from_slice(body);
            Fields(values_max).deserialize(&mut json).and_then(|node| json.end().map(|()| node))
        };
        match read {
            Ok(Node::Object(object)) => {
                twins::check(object.0.iter().map(|(name, _)| &**name))?;
                Ok(object)
            }
            Ok(_) => Err(BadRequest::new("", "the body must be a JSON object")),
            Err(problem) => Err(BadRequest::new("", format!("the body is no JSON: {problem}"))),
        }
    }

    /// Takes a field out.
    pub(super) fn take(&mut self, key: &str) -> Option<Node<'a>> {
        let at = self.0.iter().rposition(|(name, _)| name == key)?;
        Some(self.0.remove(at).1).filter(|node| !matches!(node, Node::Null))
    }

    /// Takes a field out, whichever of two names it has.
    pub(super) fn either(&mut self, key: &str, other: &str) -> Option<Node<'a>> {
        self.take(key).or_else(|| self.take(other))
    }

    /// Puts a field back.
    pub(super) fn put(&mut self, key: &'static str, node: Node<'a>) {
        self.0.push((key.into(), node));
    }

    /// Tells whether there is a field.
    pub(super) fn has(&self, key: &str) -> bool {
        self.get(key).is_some_and(|node| !matches!(node, Node::Null))
    }

    /// Returns the text of a field, if it is one.
    pub(super) fn peek(&self, key: &str) -> &str {
        if let Some(Node::Text(text)) = self.get(key) { text } else { "" }
    }

    /// Returns the text of a field as it stands in the body, if it is the only one of its name and has no escapes.
    pub(super) fn as_it_stands(&self, key: &str) -> Option<&'a str> {
        let mut fields = self.0.iter().filter(|(name, _)| name == key);
        match (fields.next(), fields.next()) {
            (Some((_, Node::Text(Cow::Borrowed(text)))), None) => Some(text),
            _ => None,
        }
    }

    /// Returns the names of the fields that are null, or of those that are not.
    pub(super) fn names(&self, are_null: bool) -> impl Iterator<Item = &str> {
        let fields = self.0.iter().filter(move |(_, node)| matches!(node, Node::Null) == are_null);
        fields.map(|(name, _)| &**name)
    }

    /// Returns an object, if it is one.
    pub(super) fn within(&self, key: &str) -> Option<&Self> {
        if let Node::Object(object) = self.get(key)? { Some(object) } else { None }
    }

    /// Returns a flag, if it is one.
    pub(super) fn is(&self, key: &str) -> Option<bool> {
        if let Node::Bool(flag) = self.get(key)? { Some(*flag) } else { None }
    }

    /// Returns the objects of a list, if it is one.
    pub(super) fn objects(&self, key: &str) -> impl Iterator<Item = &Self> {
        let list = if let Some(Node::List(list)) = self.get(key) { &list[..] } else { &[] };
        list.iter().filter_map(|node| if let Node::Object(object) = node { Some(object) } else { None })
    }

    /// Tells whether a list asks for nothing but text.
    pub(super) fn text_only(&self, key: &str) -> bool {
        let is_text = |node: &Node<'_>| matches!(node, Node::Text(word) if word.eq_ignore_ascii_case("text"));
        matches!(self.get(key), Some(Node::List(list)) if list.iter().all(is_text))
    }

    /// Returns its fields.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&str, &Node<'a>)> {
        self.0.iter().map(|(key, node)| (&**key, node))
    }

    /// Returns the name of the first field; empty where there is none.
    pub(super) fn first(&self) -> &str {
        self.0.first().map_or("", |(name, _)| name)
    }

    /// Tells whether there is a field of another name.
    pub(super) fn has_other_than(&self, keys: &[&str]) -> bool {
        self.0.iter().any(|(name, _)| !keys.contains(&&**name))
    }

    fn get(&self, key: &str) -> Option<&Node<'a>> {
        self.0.iter().rfind(|(name, _)| name == key).map(|(_, node)| node)
    }

    /// Takes a field that must be there.
    pub(super) fn need(&mut self, key: &str, what: &str) -> Read<Node<'a>> {
        self.take(key).ok_or_else(|| BadRequest::new(key, format!("is missing; must be {what}")))
    }

    /// Takes a text.
    pub(super) fn text(&mut self, key: &str) -> Read<Option<String>> {
        self.take(key).map(|node| node.text(key)).transpose()
    }

    /// Takes a text that must be there.
    pub(super) fn need_text(&mut self, key: &str) -> Read<String> {
        self.need(key, "a string")?.text(key)
    }

    /// Takes a flag.
    pub(super) fn flag(&mut self, key: &str) -> Read<Option<bool>> {
        match self.take(key) {
            None => Ok(None),
            Some(Node::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(BadRequest::new(key, "must be true or false")),
        }
    }

    /// Takes a number.
    pub(super) fn number(&mut self, key: &str) -> Read<Option<f64>> {
        self.take(key).map(|node| node.number(key)).transpose()
    }

    /// Takes a whole number, not negative.
    pub(super) fn count(&mut self, key: &str) -> Read<Option<u32>> {
        self.take(key).map(|node| node.count(key)).transpose()
    }

    /// Takes a list; none is an empty one.
    pub(super) fn list(&mut self, key: &str) -> Read<Vec<Node<'a>>> {
        self.take(key).map_or(Ok(Vec::new()), |node| node.list(key))
    }

    /// Takes a list of texts.
    pub(super) fn texts(&mut self, key: &str) -> Read<Vec<String>> {
        texts(key, self.list(key)?)
    }

    /// Takes an object.
    pub(super) fn object(&mut self, key: &str) -> Read<Option<Object<'a>>> {
        self.take(key).map(|node| node.object(key)).transpose()
    }

    /// Returns the fields that nobody took.
    pub(super) fn rest(self) -> Map<String, Value> {
        self.without_nulls().values()
    }

    fn values(self) -> Map<String, Value> {
        self.0.into_iter().map(|(key, node)| (key.into_owned(), node.value())).collect()
    }

    /// Takes a field's text, where there is no other field.
    pub(super) fn only_text(&mut self, key: &str) -> Option<String> {
        let only = self.0.len() == 1 && matches!(&self.0[0], (name, Node::Text(_)) if name == key);
        only.then(|| self.text(key).ok().flatten()).flatten()
    }

    /// Returns it without the fields that are null, as clients fill in what was not there.
    pub(super) fn without_nulls(mut self) -> Self {
        self.0.retain(|(_, node)| !matches!(node, Node::Null | Node::Dense));
        self
    }

    /// Tells whether all fields are taken.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Reads texts out of a list.
pub(super) fn texts(key: &str, list: Vec<Node<'_>>) -> Read<Vec<String>> {
    each(key, list, |node| node.text(""))
}

/// Reads every entry of a list; what is wrong in one names its place.
pub(super) fn each<'a, T>(key: &str, list: Vec<Node<'a>>, mut read: impl FnMut(Node<'a>) -> Read<T>) -> Read<Vec<T>> {
    list.into_iter().enumerate().map(|(at, node)| read(node).map_err(|bad| bad.at(at).within(key))).collect()
}

impl<'a> Node<'a> {
    /// Reads a text; `key` is where it stood.
    pub(super) fn text(self, key: &str) -> Read<String> {
        match self {
            Self::Text(text) => Ok(text.into_owned()),
            _ => Err(BadRequest::new(key, "must be a string")),
        }
    }

    /// Reads a number.
    pub(super) fn number(self, key: &str) -> Read<f64> {
        match self {
            Self::Number(number) => number.as_f64().ok_or_else(|| BadRequest::new(key, "must be a number")),
            _ => Err(BadRequest::new(key, "must be a number")),
        }
    }

    /// Reads a whole number, not negative.
    pub(super) fn count(self, key: &str) -> Read<u32> {
        let number = match &self {
            // Some callers compute it, and write 1024.0.
            Self::Number(number) => number.as_u64().or_else(|| whole(number.as_f64()?)),
            _ => None,
        };
        let count = number.and_then(|number| u32::try_from(number).ok());
        count.ok_or_else(|| BadRequest::new(key, "must be a whole number, 0 or more, and below 2^32"))
    }

    /// Reads a whole number.
    pub(super) fn integer(self, key: &str) -> Read<i64> {
        match self {
            Self::Number(number) => number.as_i64(),
            _ => None,
        }
        .ok_or_else(|| BadRequest::new(key, "must be a whole number"))
    }

    /// Reads a list.
    pub(super) fn list(self, key: &str) -> Read<Vec<Self>> {
        match self {
            Self::List(list) => Ok(list),
            Self::Dense => Err(BadRequest::new(key, DENSE)),
            _ => Err(BadRequest::new(key, "must be an array")),
        }
    }

    /// Reads an object.
    pub(super) fn object(self, key: &str) -> Read<Object<'a>> {
        match self {
            Self::Object(object) => Ok(object),
            Self::Dense => Err(BadRequest::new(key, DENSE)),
            _ => Err(BadRequest::new(key, "must be an object")),
        }
    }

    /// Returns it as a value that owns itself.
    pub(super) fn value(self) -> Value {
        match self {
            Self::Null | Self::Dense => Value::Null,
            Self::Bool(flag) => Value::Bool(flag),
            Self::Number(number) => Value::Number(number),
            Self::Text(text) => Value::String(text.into_owned()),
            Self::List(list) => list.into_iter().map(Self::value).collect(),
            Self::Object(object) => Value::Object(object.values()),
        }
    }

    /// Returns it as JSON, its fields in their order.
    pub(super) fn json(&self) -> String {
        serde_json::to_string(self).expect("what was JSON can be written")
    }
}

fn whole(number: f64) -> Option<u64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, and is checked")]
    (number >= 0.0 && number.fract() == 0.0).then_some(number as u64)
}

impl Serialize for Node<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null | Self::Dense => serializer.serialize_unit(),
            Self::Bool(flag) => serializer.serialize_bool(*flag),
            Self::Number(number) => number.serialize(serializer),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(list) => serializer.collect_seq(list),
            Self::Object(object) => object.serialize(serializer),
        }
    }
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, node) in &self.0 {
            map.serialize_entry(key, node)?;
        }
        map.end()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Node<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

/// Returns how many values may begin in a text, be it JSON or not: each stands behind one of these.
fn begun(text: &[u8]) -> usize {
    // In bytes, as far as one holds the count: so it is done sixteen at a time.
    let count = |bytes: &[u8]| bytes.iter().map(|byte| u8::from(matches!(byte, b',' | b'[' | b'{'))).sum::<u8>();
    text.chunks(usize::from(u8::MAX)).map(|bytes| usize::from(count(bytes))).sum()
}

/// Returns how many values a JSON text has, but for empty lists and objects, which count for two.
fn values(json: &[u8]) -> usize {
    let (mut count, mut rest) = (1, json);
    while let Some(quote) = memchr::memchr(b'"', rest) {
        count += begun(&rest[..quote]);
        rest = &rest[quote + 1..];
        while let Some(at) = memchr::memchr2(b'"', b'\\', rest) {
            let escapes = rest[at] == b'\\';
            rest = rest.get(at + 1 + usize::from(escapes)..).unwrap_or_default();
            if !escapes {
                break;
            }
        }
    }
    count + begun(rest)
}

/// Reads an object's fields one by one, each as long as there are values left to be read; the others are passed over.
struct Fields(usize);

impl<'de> DeserializeSeed<'de> for Fields {
    type Value = Node<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node<'de>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Fields {
    type Value = Node<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Node<'de>, A::Error> {
        let mut fields = Vec::new();
        while let Some(key) = map.next_key::<Node<'de>>()? {
            let Node::Text(key) = key else { return Err(A::Error::custom("a key that is no string")) };
            let raw: &RawValue = map.next_value()?;
            self.0 = self.0.checked_sub(1).ok_or_else(|| A::Error::custom("more fields than are read here"))?;
            let node = match self.0.checked_sub(values(raw.get().as_bytes())) {
                None => Node::Dense,
                Some(left) => {
                    self.0 = left;
                    serde_json::from_str(raw.get()).map_err(A::Error::custom)?
                }
            };
            fields.push((key, node));
        }
        Ok(Node::Object(Object(fields)))
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(Node::Bool(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Node::Number(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Node::Number(number.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Self::Value, E> {
        Number::from_f64(number).map(Node::Number).ok_or_else(|| E::custom("a number that is none"))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Node::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Node::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(node) = seq.next_element()? {
            list.push(node);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(key) = map.next_key::<Node<'de>>()? {
            let Node::Text(key) = key else { return Err(A::Error::custom("a key that is no string")) };
            fields.push((key, map.next_value()?));
        }
        Ok(Node::Object(Object(fields)))
    }
}

//! JSON as callers send it: read once, in its own order, its texts borrowed from the body until they become words.
//!
//! Input: a body. Output: typed fields, or a [`BadRequest`] that names the field by its path. What is not taken out of
//! an object is left in it, to be passed on.

mod parse;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Deref;

use bytestring::ByteString;
use serde::ser::{Error as _, Serialize, SerializeMap, Serializer};
use serde_json::{Number, Value};

use parse::Parser;
pub(super) use parse::begun;

use super::{BadRequest, twins};
use crate::wire::outgoing_text::{OutgoingText, raw};
use crate::words::{Json, Text};

/// A JSON value.
#[derive(Debug, Default)]
pub(super) enum Node<'a> {
    #[default]
    Null,
    Bool(bool),
    Number(Number),
    Text(Quote<'a>),
    List(Vec<Self>),
    Object(Object<'a>),
    /// An object that is only carried: as it is written in its body, and the body.
    Carried(&'a str, &'a ByteString),
    /// The value of a field that has more values than are read: code that needs it gets an error, all other code passes
    /// it by.
    Dense,
    /// What could not be read: it is carried as it is. It is alone in an object.
    Aside(Box<Self>),
}

/// The type and the role of what is set aside: one that no reader knows.
const UNREAD: &str = "unread";

/// What is between quotes.
#[derive(Debug)]
pub(super) enum Quote<'a> {
    /// A part of a body, and the body.
    Plain(&'a str, &'a ByteString),
    /// One with escapes.
    Escaped(Text),
}

/// This many values of a body are read, at any length: a conversation of a million tokens has fewer.
const VALUES_MAX: usize = 256 * 1024;
/// One more value is read for each this many bytes of a body: what is made of them and written for a provider then
/// takes less than half of a long body's size in addition.
const BYTES_A_VALUE: usize = 1024;
/// The most values of an unknown field that are read into values of their own.
const REST_VALUES_MAX: usize = 4_096;

/// Returns how many values of a body of this many bytes are read at most.
pub(super) fn values_max(bytes: usize) -> usize {
    VALUES_MAX + bytes / BYTES_A_VALUE
}

/// A shorter object is written anew where it is wanted as JSON: a part of its body would take more.
const WRITTEN_BYTES_MIN: usize = 1024;

/// The error of a field that has more.
const DENSE: &str = "has more values than are read here";

/// An object's fields in their order. One that is null counts as none.
#[derive(Debug, Default)]
pub(super) struct Object<'a> {
    fields: Vec<(Cow<'a, str>, Node<'a>)>,
    /// A long one as it is written in its body, as long as nothing is taken out of it.
    written: Option<Box<Written<'a>>>,
}

/// A part of a body, and the body.
type Written<'a> = (&'a str, &'a ByteString);

pub(super) type Read<T> = Result<T, BadRequest>;

impl<'a> Object<'a> {
    /// Reads a body; tells how many values of it were read.
    pub(super) fn parse(body: &'a ByteString) -> Read<(Self, usize)> {
        let values_max = values_max(body.len());
        let mut parser = Parser::new(body, values_max);
        match parser.body() {
            Ok(Some(object)) => {
                let twice = twins::check(object.fields.iter().map(|(name, _)| &**name));
                twice.map_err(|bad| BadRequest { is_final: true, ..bad })?;
                Ok((object, values_max - parser.left()))
            }
            Ok(None) => Err(BadRequest::new("", "the body must be a JSON object")),
            Err(problem) => Err(BadRequest::new("", format!("the body is no JSON: {problem}"))),
        }
    }

    /// Makes an object of its fields, and of how it is written in its body.
    pub(super) fn of(fields: Vec<(Cow<'a, str>, Node<'a>)>, written: &'a str, body: &'a ByteString) -> Self {
        let written = (written.len() >= WRITTEN_BYTES_MIN).then(|| Box::new((written, body)));
        Self { fields, written }
    }

    /// Makes an object of what could not be read.
    fn aside(node: Node<'a>) -> Self {
        Self { fields: vec![(UNREAD.into(), Node::Aside(Box::new(node)))], written: None }
    }

    /// Returns what is set aside in it, if it is such an object.
    fn set_aside(&self) -> Option<&Node<'a>> {
        if let [(_, Node::Aside(node))] = &self.fields[..] { Some(node) } else { None }
    }

    /// Takes a field out; what is set aside stays.
    pub(super) fn take(&mut self, key: &str) -> Option<Node<'a>> {
        let at = self.fields.iter().rposition(|(name, _)| name == key)?;
        if self.fields[at].1.is_aside() {
            return None;
        }
        self.written = None;
        Some(self.fields.remove(at).1).filter(|node| !matches!(node, Node::Null))
    }

    /// Returns the value of a field whose name is this for a reader.
    pub(super) fn named(&mut self, is_it: impl Fn(&str) -> bool) -> Option<&mut Node<'a>> {
        self.written = None;
        self.fields.iter_mut().rfind(|(name, _)| is_it(name)).map(|(_, node)| node)
    }

    /// Takes a field out, whichever of two names it has.
    pub(super) fn either(&mut self, key: &str, other: &str) -> Option<Node<'a>> {
        self.take(key).or_else(|| self.take(other))
    }

    /// Puts a field back.
    pub(super) fn put(&mut self, key: &'static str, node: Node<'a>) {
        self.written = None;
        self.fields.push((key.into(), node));
    }

    /// Tells whether there is a field.
    pub(super) fn has(&self, key: &str) -> bool {
        self.get(key).is_some_and(|node| !matches!(node, Node::Null))
    }

    /// Returns the text of a field, if it is one.
    pub(super) fn peek(&self, key: &str) -> &str {
        match self.get(key) {
            Some(Node::Text(text)) => text,
            None if self.set_aside().is_some() => UNREAD,
            _ => "",
        }
    }

    /// Returns the text of a field, if it is one, and leaves it where it is.
    pub(super) fn peek_words(&self, key: &str) -> Text {
        match self.get(key) {
            Some(Node::Text(Quote::Plain(text, body))) => Text::part(body, text),
            Some(Node::Text(Quote::Escaped(text))) => text.clone(),
            _ => Text::default(),
        }
    }

    /// Tells whether a field is a text that begins so.
    pub(super) fn begins(&self, key: &str, prefix: &str) -> bool {
        matches!(self.get(key), Some(Node::Text(text)) if text.starts_with(prefix))
    }

    /// Returns the text of a field as it is written in the body, if it is the only one of its name and has no escapes.
    pub(super) fn as_it_stands(&self, key: &str) -> Option<&'a str> {
        let mut fields = self.fields.iter().filter(|(name, _)| name == key);
        match (fields.next(), fields.next()) {
            (Some((_, Node::Text(Quote::Plain(text, _)))), None) => Some(text),
            _ => None,
        }
    }

    /// Returns the names of the fields that are null, or of those that are not.
    pub(super) fn names(&self, are_null: bool) -> impl Iterator<Item = &str> {
        let fields = self.fields.iter().filter(move |(_, node)| matches!(node, Node::Null) == are_null);
        fields.map(|(name, _)| &**name)
    }

    /// Returns an object, if it is one.
    pub(super) fn within(&self, key: &str) -> Option<&Self> {
        if let Node::Object(object) = self.get(key)? { Some(object) } else { None }
    }

    /// Tells whether a field is an object.
    pub(super) fn has_object(&self, key: &str) -> bool {
        matches!(self.get(key), Some(Node::Object(_) | Node::Carried(..)))
    }

    /// Returns a flag, if it is one.
    pub(super) fn is(&self, key: &str) -> Option<bool> {
        self.get(key)?.flag()
    }

    /// Returns the objects of a list, if it is one.
    pub(super) fn objects(&self, key: &str) -> impl Iterator<Item = &Self> {
        let list = if let Some(Node::List(list)) = self.get(key) { &list[..] } else { &[] };
        list.iter().filter_map(|node| if let Node::Object(object) = node { Some(object) } else { None })
    }

    /// Tells whether a list asks only for text.
    pub(super) fn text_only(&self, key: &str) -> bool {
        let is_text = |node: &Node<'_>| matches!(node, Node::Text(word) if word.eq_ignore_ascii_case("text"));
        matches!(self.get(key), Some(Node::List(list)) if list.iter().all(is_text))
    }

    /// Returns its fields.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&str, &Node<'a>)> {
        self.fields.iter().map(|(key, node)| (&**key, node))
    }

    /// Returns the name of the first field; empty where there is none.
    pub(super) fn first(&self) -> &str {
        self.fields.first().map_or("", |(name, _)| name)
    }

    /// Tells whether there is a field of another name.
    pub(super) fn has_other_than(&self, keys: &[&str]) -> bool {
        self.fields.iter().any(|(name, _)| !keys.contains(&&**name))
    }

    fn get(&self, key: &str) -> Option<&Node<'a>> {
        let named = self.fields.iter().rfind(|(name, _)| name == key).map(|(_, node)| node);
        named.filter(|node| !node.is_aside())
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

    /// Takes a text that is a part of the conversation.
    pub(super) fn words(&mut self, key: &str) -> Read<Option<Text>> {
        self.take(key).map(|node| node.words(key)).transpose()
    }

    /// Takes a text of the conversation that must be there.
    pub(super) fn need_words(&mut self, key: &str) -> Read<Text> {
        self.need(key, "a string")?.words(key)
    }

    /// Takes a text that must be there, and that has been looked at.
    pub(super) fn pass_text(&mut self, key: &str) -> Read<()> {
        match self.need(key, "a string")? {
            Node::Text(_) => Ok(()),
            other => Err(other.not(key, "must be a string")),
        }
    }

    /// Takes a flag.
    pub(super) fn flag(&mut self, key: &str) -> Read<Option<bool>> {
        let Some(node) = self.take(key) else { return Ok(None) };
        node.flag().map(Some).ok_or_else(|| node.not(key, "must be true or false"))
    }

    /// Takes a number.
    pub(super) fn number(&mut self, key: &str) -> Read<Option<f64>> {
        self.take(key).map(|node| node.number(key)).transpose()
    }

    /// Takes a whole number, not negative.
    pub(super) fn count(&mut self, key: &str) -> Read<Option<u32>> {
        self.take(key).map(|node| node.count(key)).transpose()
    }

    /// Takes a limit. -1 is none, as local servers have it; what one of nothing is to be only the caller's own provider
    /// knows.
    pub(super) fn limit(&mut self, key: &str) -> Read<Option<u32>> {
        match self.get(key).and_then(Node::figure) {
            Some(0.0) => Err(BadRequest::new(key, "must be 1 or more")),
            Some(-1.0) => {
                self.take(key);
                Ok(None)
            }
            _ => self.count(key),
        }
    }

    /// Takes a seed. One that is no whole number here stays where it is.
    pub(super) fn seed(&mut self) -> Read<Option<i64>> {
        match self.get("seed") {
            Some(seed) if seed.figure().is_some() && seed.whole().is_none() => Ok(None),
            _ => self.take("seed").map(|seed| seed.integer("seed")).transpose(),
        }
    }

    /// Takes a list; none is an empty one.
    pub(super) fn list(&mut self, key: &str) -> Read<Vec<Node<'a>>> {
        self.take(key).map_or(Ok(Vec::new()), |node| node.list(key))
    }

    /// Takes a list of texts.
    pub(super) fn texts(&mut self, key: &str) -> Read<Vec<Text>> {
        texts(key, self.list(key)?)
    }

    /// Takes an object.
    pub(super) fn object(&mut self, key: &str) -> Read<Option<Object<'a>>> {
        self.take(key).map(|node| node.object(key)).transpose()
    }

    /// Takes the arguments of a call: an object, its JSON in a text, or what is neither. What a target takes of that is
    /// found out once it is known.
    pub(super) fn arguments(&mut self, key: &str) -> Read<Text> {
        match self.take(key) {
            None => Ok("{}".into()),
            Some(Node::Text(text)) => Ok(text.into()),
            Some(other) => other.json().map_err(|bad| bad.within(key)),
        }
    }

    /// Takes an object that is only carried.
    pub(super) fn carried(&mut self, key: &str) -> Read<Option<Json>> {
        self.take(key).map(|node| node.carried(key)).transpose()
    }

    /// Returns the fields that were not taken, except those with many values: they stay in the request as it came, and
    /// would take many times their bytes for as long as the call lasts.
    pub(super) fn rest(self) -> BTreeMap<String, Json> {
        let fields = self.without_nulls().fields.into_iter().filter(|(_, node)| node.fits(&mut { REST_VALUES_MAX }));
        let fields = fields.filter(|(_, node)| node.is_all_read());
        fields.filter_map(|(key, node)| Some((key.into_owned(), node.any_json("").ok()?))).collect()
    }

    /// Returns it as a value that owns itself.
    pub(super) fn value(mut self) -> Read<Value> {
        if let [(_, Node::Aside(node))] = &mut self.fields[..] {
            return std::mem::take(&mut **node).value("");
        }
        let each = self.fields.into_iter().map(|(key, node)| Ok((node.value(&key)?, key)));
        let fields = each.map(|read| read.map(|(value, key)| (key.into_owned(), value)));
        fields.collect::<Read<_>>().map(Value::Object)
    }

    /// Returns it as JSON, its fields in their order: a long one as it is written in its body, which it shares.
    pub(super) fn json(&self) -> Read<Text> {
        match &self.written {
            Some(written) if self.is_all_read() => Ok(Text::part(written.1, written.0)),
            _ => json(self).map(Text::from),
        }
    }

    /// Tells whether all values of its fields were read.
    fn is_all_read(&self) -> bool {
        self.fields.iter().all(|(_, node)| node.is_all_read())
    }

    /// Takes a field's text, where there is no other field.
    pub(super) fn only_text(&mut self, key: &str) -> Option<Text> {
        let only = self.fields.len() == 1 && matches!(&self.fields[0], (name, Node::Text(_)) if name == key);
        only.then(|| self.words(key).ok().flatten()).flatten()
    }

    /// Returns it without the fields that are null: clients fill in missing fields so.
    pub(super) fn without_nulls(mut self) -> Self {
        let before = self.fields.len();
        self.fields.retain(|(_, node)| !matches!(node, Node::Null));
        self.written = self.written.filter(|_| self.fields.len() == before);
        self
    }

    /// Tells whether all fields are taken.
    pub(super) fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }
}

/// Reads texts out of a list.
pub(super) fn texts(key: &str, list: Vec<Node<'_>>) -> Read<Vec<Text>> {
    each(key, list, |node| node.words(""))
}

/// Reads every entry of a list; an error in one names its place.
pub(super) fn each<'a, T>(key: &str, list: Vec<Node<'a>>, mut read: impl FnMut(Node<'a>) -> Read<T>) -> Read<Vec<T>> {
    // Of many short lists none has more room than it takes.
    let mut all = Vec::with_capacity(list.len());
    let mut wrong: Option<BadRequest> = None;
    for (at, node) in list.into_iter().enumerate() {
        match (read(node).map_err(|bad| bad.at(at).within(key)), &mut wrong) {
            (Ok(read), None) => all.push(read),
            (Ok(_), Some(_)) => {}
            (Err(bad), None) => wrong = Some(bad),
            (Err(bad), Some(first)) if first.has_room() => first.and(bad),
            (Err(_), Some(_)) => break,
        }
    }
    wrong.map_or(Ok(all), Err)
}

impl<'a> Node<'a> {
    /// Sets it aside: readers pass it by, and it is written as it is.
    pub(super) fn put_aside(&mut self) {
        *self = Self::Object(Object::aside(std::mem::take(self)));
    }

    fn is_aside(&self) -> bool {
        matches!(self, Self::Object(object) if object.set_aside().is_some())
    }

    /// Returns the number that it is, or that its text says, as many clients and all of Google's write numbers.
    fn figure(&self) -> Option<f64> {
        let number = match self {
            Self::Number(number) => number.as_f64(),
            Self::Text(text) => text.trim().parse().ok(),
            _ => None,
        };
        number.filter(|number| number.is_finite())
    }

    /// The same of a whole number.
    fn whole(&self) -> Option<i64> {
        match self {
            Self::Number(number) => number.as_i64(),
            Self::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// Returns the flag that it is, or that its text or its number says.
    fn flag(&self) -> Option<bool> {
        match self {
            Self::Bool(flag) => Some(*flag),
            Self::Number(number) => match number.as_u64()? {
                0 => Some(false),
                1 => Some(true),
                _ => None,
            },
            Self::Text(text) if text.eq_ignore_ascii_case("true") => Some(true),
            Self::Text(text) if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
    }

    /// Reads a text; `key` is its place.
    pub(super) fn text(self, key: &str) -> Read<String> {
        match self {
            Self::Text(text) => Ok(text.into()),
            other => Err(other.not(key, "must be a string")),
        }
    }

    /// Reads a text of the conversation.
    pub(super) fn words(self, key: &str) -> Read<Text> {
        match self {
            Self::Text(text) => Ok(text.into()),
            other => Err(other.not(key, "must be a string")),
        }
    }

    /// Reads a number.
    pub(super) fn number(self, key: &str) -> Read<f64> {
        self.figure().ok_or_else(|| self.not(key, "must be a number"))
    }

    /// Reads a whole number, not negative.
    pub(super) fn count(self, key: &str) -> Read<u32> {
        // Some callers compute it, and write 1024.0.
        let number = self.whole().and_then(|number| u64::try_from(number).ok()).or_else(|| whole(self.figure()?));
        let count = number.and_then(|number| u32::try_from(number).ok());
        count.ok_or_else(|| self.not(key, "must be a whole number, 0 or more, and below 2^32"))
    }

    /// Reads a whole number.
    pub(super) fn integer(self, key: &str) -> Read<i64> {
        self.whole().ok_or_else(|| self.not(key, "must be a whole number"))
    }

    /// Reads a list.
    pub(super) fn list(self, key: &str) -> Read<Vec<Self>> {
        match self {
            Self::List(list) => Ok(list),
            other => Err(other.not(key, "must be an array")),
        }
    }

    /// Reads an object.
    pub(super) fn object(self, key: &str) -> Read<Object<'a>> {
        match self {
            Self::Object(object) => Ok(object),
            Self::Carried(object, body) => Ok(Parser::found(body, object)),
            other => Err(other.not(key, "must be an object")),
        }
    }

    /// Reads an object that is only carried.
    pub(super) fn carried(self, key: &str) -> Read<Json> {
        match self {
            Self::Object(_) | Self::Carried(..) => self.any_json(key),
            other => Err(other.not(key, "must be an object")),
        }
    }

    /// Reads a value that is only carried.
    pub(super) fn any_json(self, key: &str) -> Read<Json> {
        if !self.is_all_read() {
            // It says which field of it is not read.
            return self.value(key).map(Json::from);
        }
        self.json().map(Json::of).map_err(|bad| bad.within(key))
    }

    /// Returns the error of a value where another kind is needed.
    pub(super) fn not(&self, key: &str, what: &str) -> BadRequest {
        if matches!(self, Self::Dense) { dense(key) } else { BadRequest::new(key, what) }
    }

    /// Tells whether it has no more values than are left, and takes them off.
    fn fits(&self, left: &mut usize) -> bool {
        let Some(rest) = left.checked_sub(1) else { return false };
        *left = rest;
        match self {
            Self::List(list) => list.iter().all(|node| node.fits(left)),
            Self::Object(object) => object.fields.iter().all(|(_, node)| node.fits(left)),
            Self::Aside(node) => node.fits(left),
            Self::Carried(object, _) => {
                let rest = left.checked_sub(begun(object.as_bytes()));
                *left = rest.unwrap_or_default();
                rest.is_some()
            }
            _ => true,
        }
    }

    /// Tells whether all of its values were read.
    fn is_all_read(&self) -> bool {
        match self {
            Self::Dense => false,
            Self::List(list) => list.iter().all(Self::is_all_read),
            Self::Object(object) => object.is_all_read(),
            Self::Aside(node) => node.is_all_read(),
            _ => true,
        }
    }

    /// Returns it as a value that owns itself.
    pub(super) fn value(self, key: &str) -> Read<Value> {
        Ok(match self {
            Self::Null => Value::Null,
            Self::Bool(flag) => Value::Bool(flag),
            Self::Number(number) => Value::Number(number),
            Self::Text(text) => Value::String(text.into()),
            Self::List(list) => Value::Array(each(key, list, |node| node.value(""))?),
            Self::Object(object) => object.value().map_err(|bad| bad.within(key))?,
            Self::Aside(node) => node.value(key)?,
            // It was checked when it was found.
            Self::Carried(object, _) => serde_json::from_str(object).unwrap_or_default(),
            Self::Dense => return Err(dense(key)),
        })
    }

    /// Returns it as JSON, its fields in their order.
    pub(super) fn json(&self) -> Read<Text> {
        match self {
            Self::Object(object) => object.json(),
            Self::Carried(object, body) => Ok(Text::part(body, object)),
            Self::Text(text) => Ok(text.json()),
            other => json(other).map(Text::from),
        }
    }
}

/// Returns something as JSON. A field that is not read cannot be written, and is not replaced.
fn json(it: &impl Serialize) -> Read<String> {
    serde_json::to_string(it).map_err(|_| dense(""))
}

fn dense(key: &str) -> BadRequest {
    BadRequest { is_final: true, ..BadRequest::new(key, DENSE) }
}

fn whole(number: f64) -> Option<u64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, and is checked")]
    (number >= 0.0 && number.fract() == 0.0).then_some(number as u64)
}

impl Quote<'_> {
    /// Returns it as it is written in its body, with its quotes.
    fn json(&self) -> Text {
        match self {
            Self::Plain(text, body) => {
                let start = text.as_ptr().addr() - body.as_ptr().addr();
                Text::part(body, &body[start - 1..=start + text.len()])
            }
            Self::Escaped(text) => text.in_json(),
        }
    }

    /// Tells whether it begins so.
    pub(super) fn starts_with(&self, prefix: &str) -> bool {
        match self {
            Self::Plain(text, _) => text.starts_with(prefix),
            Self::Escaped(text) => text.starts_with(prefix),
        }
    }
}

impl Deref for Quote<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Plain(text, _) => text,
            Self::Escaped(text) => text,
        }
    }
}

impl From<Quote<'_>> for Text {
    fn from(quote: Quote<'_>) -> Self {
        match quote {
            Quote::Plain(text, body) => Text::part(body, text),
            Quote::Escaped(text) => text,
        }
    }
}

impl From<Quote<'_>> for String {
    fn from(quote: Quote<'_>) -> Self {
        match quote {
            Quote::Plain(text, _) => text.to_owned(),
            Quote::Escaped(text) => text.into_string(),
        }
    }
}

impl Serialize for Node<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Dense => Err(S::Error::custom(DENSE)),
            Self::Bool(flag) => serializer.serialize_bool(*flag),
            Self::Number(number) => number.serialize(serializer),
            Self::Text(Quote::Plain(text, _)) => serializer.serialize_str(text),
            Self::Text(Quote::Escaped(text)) => OutgoingText::FromRequest(text).serialize(serializer),
            Self::List(list) => serializer.collect_seq(list),
            Self::Object(object) => object.serialize(serializer),
            Self::Carried(object, _) => raw(object, serializer),
            Self::Aside(node) => node.serialize(serializer),
        }
    }
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(node) = self.set_aside() {
            return node.serialize(serializer);
        }
        let mut map = serializer.serialize_map(Some(self.fields.len()))?;
        for (key, node) in &self.fields {
            map.serialize_entry(key, node)?;
        }
        map.end()
    }
}

//! JSON as callers send it, read once, and only as far as needed.
//!
//! Input: a body that is a text. Output: nodes whose texts are parts of it: none is copied, and escapes are checked and
//! not read. What is no JSON is told with its place. It never recurses deeper than other readers do, and never makes
//! more nodes than its limit: of a field with more only the end is found.

use std::borrow::Cow;

use bytestring::ByteString;

use super::{Node, Object, Quote};
use crate::words::Text;
use crate::words::text::escape;

/// How deep lists and objects may be nested: as deep as `serde_json` reads them.
const DEPTH_MAX: usize = 127;
/// Down to this depth the values of fields are counted one by one: nothing that is looked at is deeper.
const COUNTED_DEPTH: usize = 8;
/// Fields whose objects are only carried, in any dialect: schemas of tools and of answers, and arguments of calls. They
/// are found and not read.
const CARRIED: [&str; 11] = [
    "args",
    "input",
    "input_schema",
    "parameters",
    "parametersJsonSchema",
    "parameters_json_schema",
    "responseJsonSchema",
    "responseSchema",
    "response_json_schema",
    "response_schema",
    "schema",
];
/// The number of fields of most objects: messages have a role and a content, parts a type and a text.
const FIELDS: usize = 2;
/// A number of up to this many digits is in range.
const DIGITS: usize = 18;
/// How many bytes of a text are looked at one by one before the fast search: most texts are short.
const SHORT: usize = 12;
/// How many bytes the fast search takes at a time.
const BLOCK: usize = 64;

/// Why there is no node.
pub(super) enum ParseStop {
    /// It is no JSON.
    Bad(&'static str),
    /// It has more values than are left.
    Dense,
}

pub(super) struct Parser<'a> {
    body: &'a ByteString,
    bytes: &'a [u8],
    at: usize,
    /// Values that may still be read.
    left: usize,
    /// Whether there may be more: then those of a field are counted first.
    counts: bool,
    /// Whether the value is only skipped.
    passes: bool,
}

impl<'a> Parser<'a> {
    pub(super) fn new(body: &'a ByteString, values_max: usize) -> Self {
        let bytes: &[u8] = body.as_bytes();
        // A value takes two bytes, with the byte before it: most bodies are too short to have too many.
        let counts = bytes.len() / 2 >= values_max && begun(bytes) >= values_max;
        Self { body, bytes, at: 0, left: values_max, counts, passes: false }
    }

    /// Returns how many values may still be read.
    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// Reads an object that was found in a body before.
    pub(super) fn found(body: &'a ByteString, object: &'a str) -> Object<'a> {
        let at = object.as_ptr().addr() - body.as_ptr().addr();
        let (left, counts, passes) = (usize::MAX, false, false);
        // It was checked when it was found.
        Self { body, bytes: body.as_bytes(), at, left, counts, passes }.object(0).unwrap_or_default()
    }

    /// Reads a body: an object.
    pub(super) fn body(&mut self) -> Result<Option<Object<'a>>, String> {
        let read = self.object_or_other();
        let read = read.and_then(|object| match self.blanks() {
            None => Ok(object),
            Some(_) => Err(ParseStop::Bad("something follows the value")),
        });
        read.map_err(|stop| match stop {
            ParseStop::Bad(problem) => self.problem(problem),
            ParseStop::Dense => "more fields than are read here".to_owned(),
        })
    }

    fn object_or_other(&mut self) -> Result<Option<Object<'a>>, ParseStop> {
        if self.blanks() != Some(b'{') {
            return self.pass(0).map(|_| None);
        }
        self.object(0).map(Some)
    }

    /// Skips a value at this depth; returns how many values it has.
    fn pass(&mut self, depth: usize) -> Result<usize, ParseStop> {
        let left = std::mem::replace(&mut self.left, usize::MAX);
        let counts = std::mem::take(&mut self.counts);
        self.passes = true;
        self.value(depth)?;
        let values = usize::MAX - std::mem::replace(&mut self.left, left);
        (self.counts, self.passes) = (counts, false);
        Ok(values)
    }

    /// Reads the value of a field; an object that is only carried is found and not read. A value with more values than
    /// are left is one itself, [`Node::Dense`]; of fields within each other it is the innermost, so that all around it
    /// is read. Nothing is made of values before they are counted.
    fn field(&mut self, depth: usize, is_carried: bool) -> Result<Node<'a>, ParseStop> {
        let is_object = self.blanks() == Some(b'{');
        let is_carried = is_carried && is_object;
        if !(self.counts || is_carried) {
            return self.value(depth);
        }
        let (at, left) = (self.at, self.left);
        let dense = left.checked_sub(1).ok_or(ParseStop::Dense)?;
        let values = self.pass(depth)?;
        let fits = values <= left;
        if is_carried && fits {
            self.left -= values;
            // One without fields is read.
            let carried = Node::Carried(&self.body[at..self.at], self.body);
            return Ok(if values == 1 { Node::Object(Object::default()) } else { carried });
        }
        let end = std::mem::replace(&mut self.at, at);
        if fits || (depth <= COUNTED_DEPTH && self.has_fields()) {
            // If the rest of the body is within the limit, so is each field.
            self.counts = !fits;
            let read = self.value(depth);
            self.counts = true;
            if !matches!(read, Err(ParseStop::Dense)) {
                return read;
            }
        }
        (self.at, self.left) = (end, dense);
        Ok(Node::Dense)
    }

    /// Tells whether an object begins here, or a list of objects.
    fn has_fields(&self) -> bool {
        let begins = |text: &'a [u8], byte: u8| text.trim_ascii_start().strip_prefix(&[byte]);
        let rest = &self.bytes[self.at..];
        begins(begins(rest, b'[').unwrap_or(rest), b'{').is_some()
    }

    /// Reads a value at this depth.
    fn value(&mut self, depth: usize) -> Result<Node<'a>, ParseStop> {
        self.left = self.left.checked_sub(1).ok_or(ParseStop::Dense)?;
        match self.blanks() {
            Some(b'"') => {
                self.at += 1;
                self.text().map(Node::Text)
            }
            Some(b'{' | b'[') if depth == DEPTH_MAX => {
                Err(ParseStop::Bad("lists and objects stand too deep in each other"))
            }
            Some(b'{') => self.object(depth).map(Node::Object),
            Some(b'[') => self.list(depth),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Node::Bool(true)),
            Some(b'f') => self.word("false", Node::Bool(false)),
            Some(b'n') => self.word("null", Node::Null),
            Some(_) => Err(ParseStop::Bad("a value is expected")),
            None => Err(ParseStop::Bad("it ends where a value is expected")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Object<'a>, ParseStop> {
        let (start, mut fields) = (self.at, Vec::new());
        self.at += 1;
        if self.blanks() == Some(b'}') {
            self.at += 1;
            return Ok(Object::default());
        }
        loop {
            self.need(b'"', "a name in quotes is expected")?;
            let key = match self.text()? {
                Quote::Plain(key, _) => Cow::Borrowed(key),
                Quote::Escaped(key) => Cow::Owned(key.into_string()),
            };
            self.need(b':', "a colon is expected")?;
            let is_carried = !self.passes && CARRIED.contains(&&*key);
            let value = self.field(depth + 1, is_carried)?;
            if !self.passes {
                if fields.is_empty() {
                    // Bodies of many objects are bodies of short ones.
                    fields.reserve_exact(FIELDS);
                }
                fields.push((key, value));
            }
            match self.blanks() {
                Some(b',') => self.at += 1,
                Some(b'}') => break self.at += 1,
                Some(_) => return Err(ParseStop::Bad("a comma or the object's end is expected")),
                None => return Err(ParseStop::Bad("it ends within an object")),
            }
        }
        // Of what is only skipped no object is wanted.
        let written = if self.passes { "" } else { &self.body[start..self.at] };
        Ok(Object::of(fields, written, self.body))
    }

    fn list(&mut self, depth: usize) -> Result<Node<'a>, ParseStop> {
        let mut list = Vec::new();
        self.at += 1;
        if self.blanks() == Some(b']') {
            self.at += 1;
            return Ok(Node::List(list));
        }
        loop {
            let value = self.value(depth + 1)?;
            if !self.passes {
                if list.is_empty() {
                    // As of objects.
                    list.reserve_exact(1);
                }
                list.push(value);
            }
            match self.blanks() {
                Some(b',') => self.at += 1,
                Some(b']') => break self.at += 1,
                Some(_) => return Err(ParseStop::Bad("a comma or the list's end is expected")),
                None => return Err(ParseStop::Bad("it ends within a list")),
            }
        }
        Ok(Node::List(list))
    }

    fn number(&mut self) -> Result<Node<'a>, ParseStop> {
        let rest = &self.bytes[self.at..];
        let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let length = rest.iter().position(|byte| !is_part(byte)).unwrap_or(rest.len());
        // Plain digits need no closer look, unless their value is wanted.
        let is_plain =
            length <= DIGITS && (length == 1 || rest[0] != b'0') && rest[..length].iter().all(u8::is_ascii_digit);
        if self.passes && is_plain {
            self.at += length;
            return Ok(Node::Null);
        }
        let number = &self.body[self.at..self.at + length];
        // Out of range is no number either.
        let number = serde_json::from_str(number).map_err(|_| ParseStop::Bad("a number is expected"))?;
        self.at += length;
        Ok(Node::Number(number))
    }

    fn word(&mut self, word: &str, node: Node<'a>) -> Result<Node<'a>, ParseStop> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return Err(ParseStop::Bad("a value is expected"));
        }
        self.at += word.len();
        Ok(node)
    }

    /// Reads a text whose first quote is read.
    fn text(&mut self) -> Result<Quote<'a>, ParseStop> {
        let (start, mut escapes) = (self.at, false);
        loop {
            self.at = self.special();
            match self.bytes.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    let Some((_, length)) = escape(&self.bytes[self.at..]) else {
                        return Err(ParseStop::Bad("an escape that stands for no letter"));
                    };
                    escapes = true;
                    self.at += length;
                }
                Some(_) => return Err(ParseStop::Bad("a control character within a text")),
                None => return Err(ParseStop::Bad("it ends within a text")),
            }
        }
        let (text, quoted) = (&self.body[start..self.at], &self.body[start - 1..=self.at]);
        self.at += 1;
        Ok(if !escapes || self.passes {
            Quote::Plain(text, self.body)
        } else {
            Quote::Escaped(Text::escaped(self.body, quoted))
        })
    }

    /// Returns the place of the first byte from here on that ends a text or must not be in one unescaped.
    fn special(&self) -> usize {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let (first, rest) = rest.split_at(rest.len().min(SHORT));
        if let Some(found) = first.iter().position(|byte| is_special(*byte)) {
            return self.at + found;
        }
        let (blocks, _) = rest.as_chunks::<BLOCK>();
        let plain = BLOCK * blocks.iter().take_while(|block| !has_special(block)).count();
        let found = rest[plain..].iter().position(|byte| is_special(*byte)).unwrap_or(rest.len() - plain);
        self.at + first.len() + plain + found
    }

    fn need(&mut self, byte: u8, problem: &'static str) -> Result<(), ParseStop> {
        if self.blanks() != Some(byte) {
            return Err(ParseStop::Bad(problem));
        }
        self.at += 1;
        Ok(())
    }

    /// Passes over blanks; returns the byte behind them.
    fn blanks(&mut self) -> Option<u8> {
        loop {
            match self.bytes.get(self.at) {
                Some(b' ' | b'\n' | b'\t' | b'\r') => self.at += 1,
                byte => return byte.copied(),
            }
        }
    }

    fn problem(&self, problem: &str) -> String {
        let before = &self.bytes[..self.at.min(self.bytes.len())];
        let line = 1 + memchr::memchr_iter(b'\n', before).count();
        let column = 1 + before.len() - memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
        format!("{problem} at line {line} column {column}")
    }
}

/// Returns how many values may begin in a text: each follows one of these.
pub(in crate::wire::serve) fn begun(text: &[u8]) -> usize {
    // In bytes, as far as one holds the count: so it is done sixteen at a time. The brackets differ by one bit.
    #[expect(clippy::needless_bitwise_bool, reason = "without branches many bytes are compared at a time")]
    let begins = |byte: &u8| u8::from((*byte == b',') | (*byte | 0x20 == b'{'));
    let count = |bytes: &[u8]| usize::from(bytes.iter().map(begins).sum::<u8>());
    let (steps, rest) = text.as_chunks::<192>();
    steps.iter().map(|step| count(step)).sum::<usize>() + count(rest)
}

/// Tells whether a byte ends a text, or must not be in one unescaped.
#[expect(clippy::needless_bitwise_bool, reason = "without branches many bytes are compared at a time")]
fn is_special(byte: u8) -> bool {
    (byte == b'"') | (byte == b'\\') | (byte < b' ')
}

/// Tells whether some byte is such a one. Without a branch, so that the compiler takes many bytes at once.
fn has_special(block: &[u8; BLOCK]) -> bool {
    block.iter().fold(false, |found, byte| found | is_special(*byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn read(json: &str) -> Result<Option<Value>, String> {
        let body = ByteString::from(json);
        let object = Parser::new(&body, usize::MAX).body();
        object.map(|object| object.map(|object| object.value().expect("all is read")))
    }

    /// Bytes that JSON uses, and some that it does not.
    fn jsonish() -> impl Strategy<Value = String> {
        let pieces = [
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"",
            "\"a\"",
            "\"b\":",
            "1",
            "-0.5e3",
            "01",
            "1.",
            "-",
            "1e999",
            "true",
            "nul",
            "null",
            " ",
            "\n",
            "\\",
            "\\n",
            "\\u00e9",
            "\\ud83d",
            "\\ude00",
            "\\u12",
            "é",
            "\u{1f600}",
            "\u{1}",
            "x",
            "/",
        ];
        prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..14).prop_map(|pieces| pieces.concat())
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (-1e9..1e9_f64).prop_map(Value::from),
            "[ -~é\\n\u{1f600}\"\\\\\u{7f}]{0,90}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map("[a-d\\n\"]{0,4}", inner, 0..5)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_json_and_what_it_says_is_what_others_find(inner in jsonish(), whole in any::<bool>()) {
            let json = if whole { format!("{{\"k\":{inner}}}") } else { format!("{{{inner}}}") };
            let expected = serde_json::from_str::<Value>(&json).ok();
            prop_assert_eq!(read(&json).ok().flatten(), expected, "{}", json);
        }

        #[test]
        fn all_json_is_read(value in json(), pretty in any::<bool>()) {
            let whole = serde_json::json!({"k": value});
            let json = if pretty { serde_json::to_string_pretty(&whole) } else { serde_json::to_string(&whole) };
            let json = json.expect("JSON");
            // Its numbers need not be those that were written to the last digit.
            prop_assert_eq!(read(&json).ok().flatten(), serde_json::from_str::<Value>(&json).ok());
        }

        #[test]
        fn what_ends_a_text_is_found_at_every_place(
            before in 0_usize..300,
            behind in 0_usize..70,
            at in 0_usize..9,
        ) {
            for letter in ['"', '\\', '\u{1f}', '\n'] {
                let body = ByteString::from(format!("{}{letter}{}", "x".repeat(before), "\"".repeat(behind)));
                let mut parser = Parser::new(&body, usize::MAX);
                parser.at = at.min(before);
                prop_assert_eq!(parser.special(), before);
            }
            let body = ByteString::from("é".repeat(before));
            prop_assert_eq!(Parser::new(&body, usize::MAX).special(), body.len());
        }
    }

    #[test]
    fn what_is_too_deep_is_refused_where_others_refuse_it() {
        let nested = |depth: usize| format!("{{\"k\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        for depth in 124..130 {
            let json = nested(depth);
            assert_eq!(read(&json).is_ok(), serde_json::from_str::<Value>(&json).is_ok(), "{depth}");
        }
        assert!(read(&"[".repeat(1_000_000)).is_err());
    }

    #[test]
    fn what_is_no_json_is_told_with_its_place() {
        for (json, problem) in [
            ("", "it ends where a value is expected at line 1 column 1"),
            ("{\"a\":1,\n }", "a name in quotes is expected at line 2 column 2"),
            ("{\"a\": \"x\u{1}\"}", "a control character within a text at line 1 column 9"),
            ("{\"a\":\"\\ud800\"}", "an escape that stands for no letter at line 1 column 7"),
            ("{} 1", "something follows the value at line 1 column 4"),
        ] {
            assert_eq!(read(json), Err(problem.to_owned()), "{json}");
        }
        assert_eq!((read("[{}]"), read("1")), (Ok(None), Ok(None)));
    }

    #[test]
    fn a_field_with_more_values_than_are_read_is_passed_over() {
        let body = ByteString::from("{\"a\":[1,2,3,4,5,6],\"b\":\"x\",\"c\":[[]],\"d\":[1,2,3]}");
        let mut object = Parser::new(&body, 6).body().expect("JSON").expect("an object");
        assert!(matches!(object.take("a"), Some(Node::Dense)));
        assert_eq!(object.text("b"), Ok(Some("x".to_owned())));
        assert_eq!(object.take("c").map(|node| node.value("")), Some(Ok(serde_json::json!([[]]))));
        assert!(matches!(object.take("d"), Some(Node::Dense)));
        let many = ByteString::from(format!("{{{}}}", ["\"a\":1"; 9].join(",")));
        assert!(Parser::new(&many, 6).body().is_err());
    }

    #[test]
    fn of_fields_within_each_other_the_innermost_is_passed_over() {
        let shape = |json: &str, values_max| {
            let body = ByteString::from(json);
            let object = Parser::new(&body, values_max).body().expect("JSON").expect("an object");
            format!("{:?}", Node::Object(object)).replace(&format!(", {body:?}"), "")
        };
        // A list has no fields, and is passed over with its field.
        for (dense, same) in [
            (r#"{"m":[{"c":"x","u":[1,2,3,4,5,6,7]},{"c":"y"}]}"#, r#"{"m":[{"c":"x","u":D},{"c":"y"}]}"#),
            (
                r#"{"m":[{"c":"x","u":{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6}}],"z":1}"#,
                r#"{"m":[{"c":"x","u":D}],"z":1}"#,
            ),
            (r#"{"m":[[1],[2],[3],[4]],"z":1}"#, r#"{"m":D,"z":1}"#),
            (r#"{"a":{"b":{"c":[1,2,3,4,5,6,7,8,"]}"]}}}"#, r#"{"a":{"b":{"c":D}}}"#),
        ] {
            let expected = shape(&same.replace('D', "true"), 99).replace("Bool(true)", "Dense");
            assert_eq!(shape(dense, 7), expected, "{dense}");
        }
    }

    #[test]
    fn what_is_no_json_is_found_in_what_is_passed_over() {
        for json in [r#"{"m":[{"u":[1,2,3,4,5,6,,]}]}"#, r#"{"u":{"a":[1,2,3,4,5,6,7}}"#] {
            assert!(Parser::new(&ByteString::from(json), 5).body().is_err(), "{json}");
        }
    }
}

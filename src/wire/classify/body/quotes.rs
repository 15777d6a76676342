//! Tells the provider's own words in a text from those that it quotes.
//!
//! A refusal quotes the request: a name, a value, a whole message. Those words are the caller's, whatever they speak
//! of, and prove nothing about a key, a model or a host. Only an error that is quoted as a whole counts, since gateways
//! quote those of their providers.

use serde_json::{Map, Value};

use super::is_error;

/// Marks of quotes, and what ends them.
const MARKS: [(char, char); 8] =
    [('\'', '\''), ('"', '"'), ('`', '`'), ('“', '”'), ('‘', '’'), ('«', '»'), ('「', '」'), ('『', '』')];

/// Words before what is the caller's, in quotes or written out.
const LEADS: [&str; 27] = [
    "argument",
    "arguments",
    "args",
    "array",
    "call",
    "content",
    "dict",
    "found",
    "function",
    "given",
    "got",
    "input",
    "input_value",
    "list",
    "object",
    "output",
    "parameter",
    "parameters",
    "payload",
    "prompt",
    "received",
    "result",
    "results",
    "schema",
    "text",
    "value",
    "values",
];

/// Words, one of which speaks of another provider or of an error before one that is quoted.
const SPEAKERS: [&str; 11] = [
    "answer",
    "error",
    "exception",
    "failed",
    "gateway",
    "provider",
    "response",
    "returned",
    "said",
    "status",
    "upstream",
];

/// The same before words that no mark sets apart; these end with their line.
const BARE_LEADS: [&str; 5] = ["got: ", "but received: ", "input_value=", "you sent: ", "you provided: "];

/// How many objects and lists are looked for in one text.
const OBJECTS_MAX: usize = 64;
/// How deep an object may be.
const DEPTH_MAX: usize = 32;

/// A text in two parts.
#[derive(Debug, Default, PartialEq)]
pub(in crate::wire::classify) struct Parted {
    /// The provider's own words. Of a quote only the marks are left.
    pub(in crate::wire::classify) own: String,
    /// Errors that are quoted as a whole, written as JSON or as Python writes it.
    pub(in crate::wire::classify) errors: Vec<Value>,
}

/// Parts a text into the provider's own words and the errors that it quotes.
pub(in crate::wire::classify) fn part(text: &str) -> Parted {
    let mut parted = Parted { own: String::with_capacity(text.len()), errors: Vec::new() };
    let mut objects = 0;
    let mut at = 0;
    while let Some(letter) = text[at..].chars().next() {
        let (before, rest) = text.split_at(at);
        if matches!(letter, '{' | '[') && objects < OBJECTS_MAX {
            objects += 1;
            if let Some((value, length)) = read(rest).filter(|(value, _)| is_object(value)) {
                let is_all = before.trim().is_empty() && rest[length..].trim().is_empty();
                if is_all || (is_quoted_error(&value) && leads_to_errors(before)) {
                    parted.errors.push(value);
                }
                parted.own.push(' ');
                at += length;
                continue;
            }
        }
        if let Some(close) = closing(before, letter) {
            let inner = &rest[letter.len_utf8()..];
            let (length, behind) = end_of_quote(inner, letter, close);
            let inner = &inner[..length];
            let may_be_error = objects < OBJECTS_MAX && inner.trim_start().starts_with(['{', '[']);
            objects += usize::from(may_be_error);
            if may_be_error
                && leads_to_errors(before)
                && let Some((value, _)) = read(&unescaped(inner)).filter(|(value, _)| is_quoted_error(value))
            {
                parted.errors.push(value);
            }
            parted.own.push(letter);
            parted.own.extend((behind > 0).then_some(close));
            at += letter.len_utf8() + length + behind;
            continue;
        }
        if BARE_LEADS.iter().any(|lead| before.ends_with(lead)) {
            at += rest.find('\n').unwrap_or(rest.len());
            continue;
        }
        parted.own.push(letter);
        at += letter.len_utf8();
    }
    parted
}

/// Tells whether a value is an object or begins a list of them.
fn is_object(value: &Value) -> bool {
    value.as_object().or_else(|| value.get(0)?.as_object()).is_some_and(|object| !object.is_empty())
}

/// Tells whether an object within a text is an error: a provider's, or what a validator found.
fn is_quoted_error(value: &Value) -> bool {
    let first = value.get(0).unwrap_or(value);
    let is_finding = first.get("msg").is_some() && first.get("loc").is_some();
    is_finding || (is_error(value) && first.get("role").is_none())
}

/// Tells whether the words before a quote speak of an error of another provider, and the last ones not of a part of the
/// request.
fn leads_to_errors(before: &str) -> bool {
    let before = before.to_ascii_lowercase();
    let mut words = before.rsplit(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let mut last = || words.by_ref().find(|word| !word.is_empty()).unwrap_or_default();
    let (word, first) = (last(), last());
    let is_callers = match (first, word) {
        ("response" | "error" | "upstream", _) => false,
        ("request", "body") => true,
        _ => LEADS.contains(&word),
    };
    !is_callers && (matches!(before.trim(), "" | "b") || SPEAKERS.iter().any(|speaker| before.contains(speaker)))
}

/// Returns the mark that ends the quote that begins with a letter, if one does. An apostrophe within a word begins
/// none.
fn closing(before: &str, letter: char) -> Option<char> {
    let close = MARKS.iter().find(|(open, _)| *open == letter)?.1;
    let mut letters = before.chars().rev();
    let is_within = letters.next().is_some_and(|letter| {
        let is_prefix = matches!(letter, 'b' | 'u' | 'r') && !letters.next().is_some_and(char_of_word);
        char_of_word(letter) && !is_prefix
    });
    (close != letter || !is_within).then_some(close)
}

fn char_of_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric()
}

/// Returns the length of a quote's text and of the mark behind it, which is missing where the text is cut.
fn end_of_quote(text: &str, open: char, close: char) -> (usize, usize) {
    let mut depth = 1;
    let mut before = open;
    let mut letters = text.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        let is_followed = letters.peek().is_some_and(|(_, next)| char_of_word(*next));
        match letter {
            // An escape, and the letter that it is for.
            '\\' => {
                letters.next();
            }
            // A mark that ends a quote and may begin one.
            _ if letter == close && open == close => match (char_of_word(before), is_followed) {
                (true, true) => {}
                (false, true) if before != open => depth += 1,
                _ => depth -= 1,
            },
            _ if letter == close && !(is_followed && char_of_word(before)) => depth -= 1,
            _ if letter == open => depth += 1,
            _ => {}
        }
        if depth == 0 {
            return (at, letter.len_utf8());
        }
        before = letter;
    }
    (text.len(), 0)
}

/// Returns a quote's text without the escapes that the quoting added.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => plain.extend(letters.next().map(|letter| match letter {
                'n' | 'r' | 't' => ' ',
                letter => letter,
            })),
            letter => plain.push(letter),
        }
    }
    plain
}

/// Reads an object or a list at the head of a text, as JSON or as Python writes it, and returns its length, too. One
/// that the text cuts off is what there is of it.
fn read(text: &str) -> Option<(Value, usize)> {
    let mut json = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    if let Some(Ok(value)) = json.next() {
        return Some((value, json.byte_offset()));
    }
    let mut literal = Literal { rest: text };
    let value = literal.value(0)?;
    Some((value, text.len() - literal.rest.len()))
}

/// A value as Python writes it, of which the rest is still to be read.
struct Literal<'a> {
    rest: &'a str,
}

impl Literal<'_> {
    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > DEPTH_MAX {
            return None;
        }
        match self.next()? {
            '{' => self.object(depth),
            '[' => self.list(']', depth),
            '(' => self.list(')', depth),
            '\'' | '"' => self.text().map(Value::String),
            // Bytes, which Python writes with a letter before the quotes.
            'b' | 'u' if self.rest[1..].starts_with(['\'', '"']) => {
                self.rest = &self.rest[1..];
                self.text().map(Value::String)
            }
            _ => self.word(depth),
        }
    }

    /// Returns the next letter that is no space.
    fn next(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start();
        self.rest.chars().next()
    }

    /// Takes a letter, if it is the next one.
    fn take(&mut self, letter: char) -> bool {
        let taken = self.next().filter(|next| *next == letter).and_then(|_| self.rest.strip_prefix(letter));
        self.rest = taken.unwrap_or(self.rest);
        taken.is_some()
    }

    fn object(&mut self, depth: usize) -> Option<Value> {
        self.take('{');
        let mut object = Map::new();
        while !self.take('}') && !self.rest.is_empty() {
            let Some('\'' | '"') = self.next() else { return None };
            let key = self.text()?;
            if !self.take(':') {
                // Cut off behind a name.
                return self.rest.is_empty().then_some(Value::Object(object));
            }
            let value = self.value(depth + 1);
            if value.is_none() && !self.rest.is_empty() {
                return None;
            }
            object.insert(key, value.unwrap_or_default());
            if !self.take(',') && !matches!(self.next(), Some('}') | None) {
                return None;
            }
        }
        Some(Value::Object(object))
    }

    fn list(&mut self, close: char, depth: usize) -> Option<Value> {
        self.rest = &self.rest[1..];
        let mut list = Vec::new();
        while !self.take(close) && !self.rest.is_empty() {
            list.push(self.value(depth + 1)?);
            if !self.take(',') && self.next().is_some_and(|next| next != close) {
                return None;
            }
        }
        Some(Value::Array(list))
    }

    /// Reads a text in quotes, and what its escapes mean.
    fn text(&mut self) -> Option<String> {
        let mark = self.next()?;
        let mut letters = self.rest[1..].chars();
        let mut text = String::new();
        loop {
            match letters.next() {
                Some('\\') => match letters.next() {
                    Some('n' | 'r' | 't') => text.push(' '),
                    Some('u') => {
                        let digits = letters.as_str().get(..4).unwrap_or_default();
                        letters = letters.as_str()[digits.len()..].chars();
                        text.extend(u32::from_str_radix(digits, 16).ok().and_then(char::from_u32));
                    }
                    letter => text.extend(letter),
                },
                Some(letter) if letter != mark => text.push(letter),
                _ => break,
            }
        }
        self.rest = letters.as_str();
        Some(text)
    }

    /// Reads a number, a name, or an object that is written as a call: `ValueError('…')`.
    fn word(&mut self, depth: usize) -> Option<Value> {
        let end = self.rest.find([',', ':', '(', ')', '[', ']', '{', '}', '\'', '"', '\n']).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        match word.trim() {
            "" => None,
            _ if rest.starts_with('(') => self.list(')', depth + 1).map(|_| Value::Null),
            "True" | "true" => Some(Value::Bool(true)),
            "False" | "false" => Some(Value::Bool(false)),
            word => Some(word.parse::<i64>().map_or(Value::Null, Value::from)),
        }
    }
}

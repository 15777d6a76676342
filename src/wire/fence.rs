//! JSON within a fence of Markdown, or with words around it, where JSON was asked for: models put it there, above all
//! where they are asked in words.
//!
//! Input: text as it comes. Output: the JSON alone, as soon as it can be told from what is around it. A text that
//! begins as JSON passes, and what follows the JSON waits for the end. A text that begins with a fence passes without
//! the fence. A text that begins with words waits for the end. A text with no JSON, or with more than one, stays as it
//! was. What a model thinks aloud before its answer, between marks of its own, is never the answer.

use serde::de::IgnoredAny;

use super::edit::{self, Array, Edits, Object, quoted};
use super::json::Nesting;

pub(super) const FENCE: &str = "```";

/// Extracts JSON from the text around it, as it comes.
#[derive(Debug, Default)]
pub struct Unfence {
    state: State,
    held: String,
    changed: bool,
}

#[derive(Debug, Default)]
enum State {
    /// Too little has come to decide.
    #[default]
    Begins,
    /// It is JSON from its first letter on, up to where the value ends.
    Plain(Nesting),
    /// Such a value has ended; what follows is held.
    Behind,
    /// It is within a fence, up to where the value ends.
    Fenced(Nesting),
    /// The value has ended; what follows is the fence.
    Over,
    /// It begins with words.
    Chatter,
}

impl Unfence {
    /// Takes more of an answer; returns the part that goes on.
    pub fn push(&mut self, text: String) -> String {
        match &mut self.state {
            State::Plain(_) => self.plain(text),
            State::Fenced(_) => self.inside(text),
            State::Over => String::new(),
            State::Chatter | State::Behind => {
                self.held.push_str(&text);
                String::new()
            }
            State::Begins => {
                self.held.push_str(&text);
                self.begin()
            }
        }
    }

    /// Ends the answer; returns what was held back of it.
    pub fn finish(&mut self) -> String {
        let held = std::mem::take(&mut self.held);
        let instead = match self.state {
            State::Behind => is_chatter(&held).then(String::new),
            _ => unfenced(&held).map(str::to_owned),
        };
        self.changed |= instead.is_some();
        instead.unwrap_or(held)
    }

    /// Tells whether something is held back that may still go on.
    pub(super) fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// Tells whether something was removed.
    pub fn changed(&self) -> bool {
        self.changed
    }

    fn begin(&mut self) -> String {
        let text = self.held.trim_start();
        match text.bytes().next() {
            None => String::new(),
            // What is thought aloud waits for its end, as words do.
            Some(b'[') if THOUGHTS.iter().any(|(begin, _)| text.starts_with(begin)) => {
                self.state = State::Chatter;
                String::new()
            }
            Some(b'[') if THOUGHTS.iter().any(|(begin, _)| begin.starts_with(text)) => String::new(),
            Some(b'{' | b'[') => {
                self.state = State::Plain(Nesting::default());
                let held = std::mem::take(&mut self.held);
                self.plain(held)
            }
            Some(b'`') if FENCE.starts_with(text) => String::new(),
            Some(b'`') if text.starts_with(FENCE) => {
                let Some(start) = text.find(['{', '[']) else { return String::new() };
                if text[FENCE.len()..start].contains(FENCE) {
                    self.state = State::Chatter;
                    return String::new();
                }
                let value = text[start..].to_owned();
                self.held.clear();
                (self.state, self.changed) = (State::Fenced(Nesting::default()), true);
                self.inside(value)
            }
            Some(_) => {
                self.state = State::Chatter;
                String::new()
            }
        }
    }

    fn plain(&mut self, mut text: String) -> String {
        if let State::Plain(nesting) = &mut self.state
            && let Some(end) = nesting.end(text.as_bytes())
        {
            self.held = text.split_off(end);
            self.state = State::Behind;
        }
        text
    }

    fn inside(&mut self, mut text: String) -> String {
        if let State::Fenced(nesting) = &mut self.state
            && let Some(end) = nesting.end(text.as_bytes())
        {
            text.truncate(end);
            self.state = State::Over;
        }
        text
    }
}

/// Returns the only JSON object or array within a longer text, if there is just one: in a fence, or else between words.
pub fn unfenced(text: &str) -> Option<&str> {
    if is_json(text) {
        return None;
    }
    match behind_thoughts(text) {
        None => among(text),
        Some((_, answer)) if is_json(answer) => Some(answer),
        Some((true, answer)) => among(answer),
        // A mark that only closes may be a word of the answer.
        Some((false, answer)) => among(answer).or_else(|| among(text)),
    }
}

/// The marks between which models think aloud.
const THOUGHTS: [(&str, &str); 5] = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("[THINK]", "[/THINK]"),
];

/// Returns what follows the thoughts at the beginning of a text, if there are any, and whether their beginning is
/// marked: where the prompt ends with that mark, only their end is.
fn behind_thoughts(text: &str) -> Option<(bool, &str)> {
    let (mut rest, mut marked) = (text.trim(), false);
    while let Some((_, end)) = THOUGHTS.iter().find(|(begin, _)| rest.starts_with(begin)) {
        // Thoughts that do not end leave nothing.
        rest = rest.split_once(end).map_or("", |(_, answer)| answer.trim());
        marked = true;
    }
    let closed = || THOUGHTS.iter().find_map(|(_, end)| text.rsplit_once(end));
    if marked { Some((true, rest)) } else { closed().map(|(_, answer)| (false, answer.trim())) }
}

/// Returns the only JSON object or array among words: in a fence, or else between them.
fn among(text: &str) -> Option<&str> {
    let mut fenced = Vec::new();
    let mut blocks = text.split(FENCE).skip(1);
    while let Some(block) = blocks.next() {
        let start = block.find(['{', '[']).unwrap_or(block.len());
        fenced.extend(Some(block[start..].trim()).filter(|value| is_json(value)));
        blocks.next();
    }
    if !fenced.is_empty() {
        return fenced.pop().filter(|_| fenced.is_empty());
    }
    let mut bare = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(['{', '[']) {
        let tail = &rest[start..];
        let end = Nesting::default().end(tail.as_bytes());
        match end.and_then(|end| tail.get(..end)).filter(|value| is_json(value)) {
            Some(value) => {
                bare.push(value);
                rest = &tail[value.len()..];
            }
            None => rest = &tail[1..],
        }
    }
    // Words like "see [1]" hold arrays as well.
    bare.retain(|value| !is_mark(value));
    bare.pop().filter(|_| bare.is_empty())
}

/// Tells whether what follows a JSON value is words, and neither blank nor another value.
fn is_chatter(text: &str) -> bool {
    let mut starts = text.match_indices(['{', '[']);
    let begins = |(at, _): (usize, &str)| {
        let end = Nesting::default().end(&text.as_bytes()[at..]);
        end.and_then(|end| text.get(at..at + end)).is_some_and(|value| is_json(value) && !is_mark(value))
    };
    !text.trim().is_empty() && !starts.any(begins)
}

/// Tells whether an array is one of those that words hold, too: "see [1]".
fn is_mark(value: &str) -> bool {
    value.starts_with('[') && value.len() <= 8
}

/// Returns a whole answer as it came with the one value in the place of all its text; `None` where that is not found.
pub fn unfenced_body(body: &[u8], text: &str, value: &str) -> Option<Vec<u8>> {
    with_text(std::str::from_utf8(body).ok()?, text, value).map(String::into_bytes)
}

/// Returns JSON with another text in the place of every one that is just this; `None` where there is none.
pub(super) fn with_text(json: &str, text: &str, by: &str) -> Option<String> {
    let mut edits = Edits::new(json);
    replace(json, text, &quoted(by), &mut edits);
    (!edits.is_empty()).then(|| edits.finish().into_owned())
}

/// Replaces all texts within a JSON value that are just this one.
fn replace<'a>(json: &'a str, text: &str, by: &str, edits: &mut Edits<'a>) {
    if let Some(object) = Object::of(json) {
        object.members().iter().for_each(|member| replace(member.value, text, by, edits));
    } else if let Some(array) = Array::of(json) {
        array.items().for_each(|item| replace(item, text, by, edits));
    } else if edit::text(json).is_some_and(|said| said == text) {
        edits.replace(json, by.to_owned());
    }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streamed(text: &str, size: usize) -> (String, bool) {
        let mut unfence = Unfence::default();
        let letters: Vec<char> = text.chars().collect();
        let mut out: String =
            letters.chunks(size).map(|chunk| unfence.push(chunk.iter().collect())).collect::<Vec<_>>().concat();
        out += &unfence.finish();
        (out, unfence.changed())
    }

    #[test]
    fn json_is_taken_out_of_what_is_around_it_however_it_comes() {
        for (text, expected) in [
            ("```json\n{\"a\": 1}\n```", "{\"a\": 1}"),
            ("```\n[1, 2, 3, 4]\n```\n", "[1, 2, 3, 4]"),
            ("\n\n```JSON\n{\"a\": \"```\"}\n```", "{\"a\": \"```\"}"),
            ("```json{\"a\":1}```", "{\"a\":1}"),
            ("Here is the JSON:\n```json\n{\"a\": 1}\n```\nAnything else?", "{\"a\": 1}"),
            ("The answer is {\"a\": {\"b\": \"}\"}}, as asked [1].", "{\"a\": {\"b\": \"}\"}}"),
            ("{\"a\": \"}\"}\n```", "{\"a\": \"}\"}"),
            (" [{\"a\": 1}]\n\nHope this helps [1].", " [{\"a\": 1}]"),
            ("<think>The form is {\"a\": 0}, so</think>\n\n{\"a\": 1}", "{\"a\": 1}"),
            ("<think>\n{\"a\": 0}\n</think>\n```json\n{\"a\": 1}\n```", "{\"a\": 1}"),
            ("<thinking>Or [1, 2, 3, 4]?</thinking>Here: {\"a\": 1}.", "{\"a\": 1}"),
            ("[THINK]{\"a\": 0}[/THINK]{\"a\": 1}", "{\"a\": 1}"),
            ("It may be {\"a\": 0}. No.</think>{\"a\": 1}", "{\"a\": 1}"),
            ("Close it by </think>, as in {\"a\": \"</think>\"}", "{\"a\": \"</think>\"}"),
        ] {
            for size in [1, 3, 1000] {
                assert_eq!(streamed(text, size), (expected.to_owned(), true), "{text} {size}");
            }
        }
    }

    #[test]
    fn a_text_that_is_json_or_holds_none_or_several_stays_as_it_is() {
        for text in [
            "{\"a\": 1}",
            "  [1]\n",
            "{\"a\": 1}\n{\"a\": 2}\n",
            "{\"a\": 1} or rather {\"a\": 2}",
            "true",
            "I cannot do that.",
            "",
            "Either {\"a\": 1} or {\"a\": 2}",
            "One:\n```json\n{\"a\": 1}\n```\nTwo:\n```json\n{\"a\": 2}\n```",
            "{\"a\": 1",
            "<think>{\"a\": 0}</think> I cannot do that.",
            "<think>{\"a\": 0}",
        ] {
            for size in [1, 1000] {
                assert_eq!(streamed(text, size), (text.to_owned(), false), "{text} {size}");
            }
        }
    }

    #[test]
    fn a_whole_answer_keeps_all_but_its_fence() {
        let text = "```json\n{\"a\": 1}\n```";
        let body = serde_json::json!({"x": [1], "choices": [{"message": {"content": text, "y": null}}]}).to_string();
        let found = unfenced_body(body.as_bytes(), text, unfenced(text).expect("JSON")).expect("a change");
        let expected = serde_json::json!({"x": [1], "choices": [{"message": {"content": "{\"a\": 1}", "y": null}}]});
        assert_eq!(String::from_utf8(found).expect("text"), expected.to_string());
        assert_eq!(unfenced_body(body.as_bytes(), "another", "{}"), None);
    }

    #[test]
    fn a_fence_that_is_cut_passes_without_its_beginning() {
        assert_eq!(streamed("```json\n{\"a\": [1, 2", 2), ("{\"a\": [1, 2".to_owned(), true));
    }
}

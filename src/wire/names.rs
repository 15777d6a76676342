//! Names of tools, where a target does not take their length or their letters.
//!
//! Input: a request's tools, calls and results and the form that a target takes. Output: the names that are sent
//! instead, and of an answer's names those that the caller knows. A name is replaced in the same way at every place of
//! a conversation, and one that fits never is.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use memchr::memmem;

use super::edit::quoted;
use super::flavour::NameForm;
use super::ids::digest;
use crate::words::{AssistantPart, ChatRequest, Message, Piece, ToolChoice};

/// Letters and digits that tell shortened names apart.
const DIGEST: usize = 8;

/// Names that are sent instead of the caller's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// By the caller's own name.
    sent: BTreeMap<String, String>,
}

impl Names {
    /// Finds the names of a request that a target does not take; none where it takes any.
    pub(super) fn of(form: Option<NameForm>, request: &ChatRequest) -> Self {
        let Some(form) = form else { return Self::default() };
        let tools = request.tools.iter().map(|tool| &*tool.name);
        let chosen = if let ToolChoice::Named(name) = &request.tool_choice { Some(&**name) } else { None };
        let told = request.messages.iter().flat_map(|message| {
            let (parts, result) = match message {
                Message::Assistant(parts) => (&parts[..], None),
                Message::Tool(result) => (&[][..], Some(&*result.name)),
                _ => (&[][..], None),
            };
            parts.iter().filter_map(AssistantPart::as_tool_call).map(|call| &*call.name).chain(result)
        });
        let names = tools.chain(chosen).chain(told).filter(|name| !form.takes(name));
        Self { sent: names.map(|name| (name.to_owned(), form.fit(name))).collect() }
    }

    /// Tells whether all names go as they are.
    pub fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    /// Returns the name that is sent instead of the caller's own.
    pub(super) fn sent<'a>(&'a self, own: &'a str) -> &'a str {
        self.sent.get(own).map_or(own, |sent| sent)
    }

    /// Returns a piece of an answer with the caller's own names, where it passes unchanged.
    pub fn restored(&self, piece: Piece) -> Piece {
        match piece {
            Piece::Verbatim(bytes) => Piece::Verbatim(self.restored_in(bytes)),
            piece => piece,
        }
    }

    /// Returns complete events, or a whole answer, with the caller's own names. A sent name is told from all other
    /// texts by its last letters, and is between quotes only in a name's place.
    pub(super) fn restored_in(&self, bytes: Bytes) -> Bytes {
        self.sent.iter().fold(bytes, |bytes, (own, sent)| {
            let (sent, own) = (quoted(sent), quoted(own));
            let (mut out, mut at) = (Vec::new(), 0);
            for place in memmem::find_iter(&bytes, sent.as_bytes()) {
                out.extend_from_slice(&bytes[at..place]);
                out.extend_from_slice(own.as_bytes());
                at = place + sent.len();
            }
            if at == 0 {
                return bytes;
            }
            out.extend_from_slice(&bytes[at..]);
            out.into()
        })
    }

    /// Returns the caller's own name of one that a model calls.
    pub fn own<'a>(&'a self, sent: &'a str) -> &'a str {
        self.sent.iter().find(|(_, other)| *other == sent).map_or(sent, |(own, _)| own)
    }
}

impl NameForm {
    fn takes(self, name: &str) -> bool {
        !name.is_empty() && name.len() <= self.max && self.letters(name) == name
    }

    /// Returns a name with only letters that are taken.
    fn letters(self, name: &str) -> Cow<'_, str> {
        let is_taken = |letter: char| letter.is_ascii_alphanumeric() || self.marks.contains(letter);
        let begins = |letter: char| letter.is_ascii_alphabetic() || letter == '_';
        let first = self.marks.len() <= 2 || name.starts_with(begins);
        if first && name.chars().all(is_taken) {
            return Cow::Borrowed(name);
        }
        let letters = name.chars().map(|letter| if is_taken(letter) { letter } else { '_' });
        Cow::Owned(if first { letters.collect() } else { ['_'].into_iter().chain(letters).collect() })
    }

    /// Returns a name that is taken: as much of the old name as there is room for, and letters that tell it from all
    /// others.
    fn fit(self, name: &str) -> String {
        let letters = self.letters(name);
        let room = self.max - DIGEST - 1;
        format!("{}_{}", &letters[..letters.len().min(room)], digest(name, DIGEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::{Tool, ToolCall, ToolResult};

    const OPENAI: NameForm = NameForm::OPENAI;
    const GEMINI: NameForm = NameForm { max: 64, marks: "_-.:" };

    fn tool(name: &str) -> Tool {
        Tool { name: name.into(), description: "".into(), parameters: serde_json::json!({}).into(), strict: None }
    }

    #[test]
    fn a_name_that_fits_is_left_alone_and_another_becomes_one_that_does() {
        for (form, name, fits) in [
            (OPENAI, "read_file-2", true),
            (OPENAI, "2nd", true),
            (OPENAI, &*"x".repeat(64), true),
            (OPENAI, &*"x".repeat(65), false),
            (OPENAI, "a.b", false),
            (OPENAI, "größe", false),
            (OPENAI, "", false),
            (GEMINI, "a.b:c", true),
            (GEMINI, "2nd", false),
            (GEMINI, "-x", false),
        ] {
            assert_eq!(form.takes(name), fits, "{name}");
            let other = form.fit(name);
            assert!(form.takes(&other), "{name} became {other}");
        }
    }

    #[test]
    fn names_are_told_apart_and_come_back_as_they_were() {
        let (one, two) = (format!("{}_one", "x".repeat(80)), format!("{}_two", "x".repeat(80)));
        let call = ToolCall { id: "c".into(), name: one.clone(), ..ToolCall::default() };
        let result = Message::tool_result(&call, "done");
        assert!(matches!(&result, Message::Tool(ToolResult { name, .. }) if *name == one));
        let first = ChatRequest::new("r").user("Hi").tool(tool(&one)).tool(tool(&two)).tool(tool("short"));
        let later = first.clone().message(Message::Assistant(vec![AssistantPart::ToolCall(call)])).message(result);
        let (names, then) = (Names::of(Some(OPENAI), &first), Names::of(Some(OPENAI), &later));
        assert_ne!(names.sent(&one), names.sent(&two));
        assert_eq!(names, then, "the same in every turn");
        for name in [&one, &two, "short", "unknown"] {
            assert_eq!(names.own(names.sent(name)), name);
        }
        assert!(Names::of(None, &later).is_empty());
        let event =
            |name: &str| Bytes::from(format!("data: {{\"name\":{},\"text\":\"\\\"{name}\\\"\"}}\n\n", quoted(name)));
        let (sent, came) = (names.sent(&one), names.restored_in(event(names.sent(&one))));
        let text = std::str::from_utf8(&came).expect("text");
        assert!(text.contains(&quoted(&one)) && text.contains(&format!("\\\"{sent}\\\"")), "{text}");
        let other = event("f");
        assert_eq!(names.restored_in(other.clone()).as_ptr(), other.as_ptr(), "nothing is copied");
    }
}

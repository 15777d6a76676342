//! Writes the messages of a conversation.

use std::borrow::Cow;
use std::fmt;

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use crate::wire::Model;
use crate::wire::quirks::Quirks;
use crate::wire::request::{Address, Each, Formatted, Notes, arguments};
use crate::words::{AssistantPart, ChatRequest, Message, ToolCall, UserPart};

/// What an assistant says between a tool and a user, where somebody must.
const BRIDGE: &str = "OK.";

/// The messages as they are going to be written.
pub(super) struct Messages<'a> {
    quirks: &'a Quirks,
    system_role: &'static str,
    /// What the system says before all others, as one message.
    lead: Vec<Cow<'a, str>>,
    rest: Vec<&'a Message>,
    /// Whether reasoning goes along.
    echoes: bool,
}

impl<'a> Messages<'a> {
    /// Plans the messages of a request, and an instruction of our own.
    pub(super) fn of(
        quirks: &'a Quirks,
        request: &'a ChatRequest,
        model: Model<'_>,
        instruction: Option<String>,
        notes: &mut Notes,
    ) -> Self {
        let leads = |message: &&Message| quirks.system_first && matches!(message, Message::System(_));
        let rest: Vec<&Message> = request.messages.iter().filter(|message| !leads(message)).collect();
        let mut lead: Vec<Cow<'_, str>> = Vec::new();
        for (at, message) in request.messages.iter().filter(leads).enumerate() {
            let Message::System(text) = message else { continue };
            if at > 0 || !std::ptr::eq(message, &raw const request.messages[0]) {
                notes.converted("messages.system");
            }
            lead.push(text.into());
        }
        lead.extend(instruction.map(Cow::Owned));
        let calls = |part: &AssistantPart| part.as_tool_call().is_some();
        let called = |message: &Message| matches!(message, Message::Assistant(parts) if parts.iter().any(calls));
        let echoes = quirks.echoes && request.messages.iter().any(called);
        let messages = Self { quirks, system_role: quirks.system_role(model), lead, rest, echoes };
        messages.note(notes);
        messages
    }

    /// Notes what of the messages cannot go as it is.
    fn note(&self, notes: &mut Notes) {
        for pair in self.rest.windows(2) {
            if self.joins(pair[0], pair[1]) || self.bridges(pair[0], pair[1]) {
                notes.converted("messages");
            }
        }
        for message in &self.rest {
            match message {
                Message::Tool(result) => notes.result(self.quirks.ids, result),
                Message::Assistant(parts) => {
                    let echoes = self.echoes && !is_of_others(parts);
                    for part in parts {
                        match part {
                            AssistantPart::Reasoning(_) if !echoes => notes.dropped("messages.reasoning"),
                            AssistantPart::ToolCall(call) => notes.call(self.quirks.ids, call),
                            _ => {}
                        }
                    }
                }
                Message::System(_) | Message::User(_) | Message::Foreign(_) => {}
            }
        }
    }

    /// Tells whether two neighbours are to be one message.
    fn joins(&self, first: &Message, second: &Message) -> bool {
        let alike = matches!(
            (first, second),
            (Message::User(_), Message::User(_)) | (Message::Assistant(_), Message::Assistant(_))
        );
        self.quirks.alternates && alike
    }

    /// Tells whether an assistant must speak between two neighbours.
    fn bridges(&self, first: &Message, second: &Message) -> bool {
        self.quirks.bridges && matches!((first, second), (Message::Tool(_), Message::User(_)))
    }
}

impl Serialize for Messages<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(None)?;
        if !self.lead.is_empty() {
            seq.serialize_element(&Line { role: self.system_role, content: &self.lead.join("\n\n") })?;
        }
        let mut before: Option<&Message> = None;
        for run in self.rest.chunk_by(|first, second| self.joins(first, second)) {
            if before.is_some_and(|before| self.bridges(before, run[0])) {
                seq.serialize_element(&Line { role: "assistant", content: BRIDGE })?;
            }
            before = run.last().copied();
            match run[0] {
                Message::System(text) => seq.serialize_element(&Line { role: self.system_role, content: text })?,
                Message::User(_) => seq.serialize_element(&User(run))?,
                Message::Assistant(_) => {
                    let is_last = std::ptr::eq(run.as_ptr_range().end, self.rest.as_ptr_range().end);
                    seq.serialize_element(&Assistant { messages: self, run, is_last })?;
                }
                Message::Tool(result) => seq.serialize_element(&WireResult {
                    role: "tool",
                    tool_call_id: &self.quirks.ids.fit(&result.call_id),
                    content: &result.text(),
                })?,
                Message::Foreign(_) => {}
            }
        }
        seq.end()
    }
}

#[derive(serde::Serialize)]
struct Line<'a> {
    role: &'static str,
    content: &'a str,
}

#[derive(serde::Serialize)]
struct WireResult<'a> {
    role: &'static str,
    tool_call_id: &'a str,
    content: &'a str,
}

/// What a user says in one or several messages.
struct User<'a>(&'a [&'a Message]);

impl Serialize for User<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let parts =
            self.0.iter().filter_map(|message| if let Message::User(parts) = message { Some(parts) } else { None });
        let parts: Vec<&UserPart> = parts.flatten().collect();
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("role", "user")?;
        match &parts[..] {
            [UserPart::Text(text)] => map.serialize_entry("content", text)?,
            parts => map.serialize_entry("content", &Each(|| parts.iter().map(|part| WirePart(part))))?,
        }
        map.end()
    }
}

/// What an assistant says in one or several messages.
struct Assistant<'a> {
    messages: &'a Messages<'a>,
    run: &'a [&'a Message],
    is_last: bool,
}

impl Serialize for Assistant<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Messages { quirks, echoes, .. } = *self.messages;
        let parts: Vec<&AssistantPart> = self.run.iter().flat_map(|message| said(message)).collect();
        let calls: Vec<&ToolCall> = parts.iter().filter_map(|part| part.as_tool_call()).collect();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("role", "assistant")?;
        // Some servers refuse a message without content, others an empty one beside tool calls.
        let speaks = calls.is_empty() || parts.iter().any(|part| part.as_text().is_some());
        let content = speaks.then_some(Formatted(Joined(&parts, AssistantPart::as_text)));
        map.serialize_entry("content", &content)?;
        if echoes {
            let own = self.run.iter().map(|message| said(message)).filter(|parts| !is_of_others(parts));
            let own: Vec<&AssistantPart> = own.flatten().collect();
            map.serialize_entry("reasoning_content", &Formatted(Joined(&own, AssistantPart::as_reasoning)))?;
        }
        if !calls.is_empty() {
            map.serialize_entry("tool_calls", &Each(|| calls.iter().map(|call| WireCall::of(quirks, call))))?;
        } else if let (true, Some(flag)) = (self.is_last, quirks.prefill) {
            map.serialize_entry(flag, &true)?;
        }
        map.end()
    }
}

/// Returns what an assistant said in a message.
fn said(message: &Message) -> &[AssistantPart] {
    if let Message::Assistant(parts) = message { parts } else { &[] }
}

/// Tells whether a model of another dialect said this: in this one nothing has a proof.
fn is_of_others(parts: &[AssistantPart]) -> bool {
    parts.iter().any(|part| match part {
        AssistantPart::Reasoning(reasoning) => reasoning.proof.is_some(),
        AssistantPart::ToolCall(call) => call.proof.is_some(),
        AssistantPart::Text(_) | AssistantPart::Foreign(_) => false,
    })
}

/// All texts of one kind among an assistant's parts.
struct Joined<'a>(&'a [&'a AssistantPart], fn(&AssistantPart) -> Option<&str>);

impl fmt::Display for Joined<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().filter_map(|part| self.1(part)).try_for_each(|text| f.write_str(text))
    }
}

struct WirePart<'a>(&'a UserPart);

impl Serialize for WirePart<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self.0 {
            UserPart::Text(text) => {
                map.serialize_entry("type", "text")?;
                map.serialize_entry("text", text)?;
            }
            UserPart::Image(image) => {
                map.serialize_entry("type", "image_url")?;
                map.serialize_entry("image_url", &WireImage { url: Address(image) })?;
            }
            _ => {}
        }
        map.end()
    }
}

#[derive(serde::Serialize)]
struct WireImage<'a> {
    url: Address<'a>,
}

#[derive(serde::Serialize)]
struct WireCall<'a> {
    id: Cow<'a, str>,
    #[serde(rename = "type")]
    kind: &'static str,
    function: WireFunction<'a>,
}

#[derive(serde::Serialize)]
struct WireFunction<'a> {
    name: &'a str,
    arguments: &'a str,
}

impl<'a> WireCall<'a> {
    fn of(quirks: &Quirks, call: &'a ToolCall) -> Self {
        let function = WireFunction { name: &call.name, arguments: arguments(call) };
        Self { id: quirks.ids.fit(&call.id), kind: "function", function }
    }
}

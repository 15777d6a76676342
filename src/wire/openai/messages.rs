//! Writes the messages of a conversation.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::Value;

use super::{SPOKEN, google};
use crate::wire::conversation::{AssistantTurn, CallResult, Media, Part, Step, repairs, steps};
use crate::wire::flavour::Flavour;
use crate::wire::model::Model;
use crate::wire::names::Names;
use crate::wire::outgoing_text::{OutgoingText, WireText, told};
use crate::wire::request::{Address, Each, Formatted, Notes, arguments, verbatim};
use crate::wire::seal::NO_PROOF;
use crate::wire::thought_blocks::blocks_of;
use crate::words::{
    AssistantPart, Audio, ChatRequest, Dialect, DocumentSource, Foreign, Proof, Reasoning, Text, ToolCall, UserPart,
};

const OWN: Dialect = Dialect::OpenAiChat;
/// The assistant's text between a tool and a user, where a message must be there.
pub(super) const BRIDGE: &str = "OK.";
/// The type of a part that is text.
const TEXT: &str = "text";

/// The messages as they are going to be written.
pub(super) struct Messages<'a> {
    flavour: &'a Flavour,
    names: &'a Names,
    /// The provider: what it proved goes back to it alone.
    provider: &'a str,
    /// Whether Google's model wants a signature of every first call.
    signs: bool,
    system_role: &'static str,
    /// The system's words before all others, as one message.
    lead: Vec<OutgoingText<'a>>,
    steps: Vec<Step<'a>>,
    /// Whether reasoning goes along, and what is written where there is none.
    echoes: bool,
    no_thought: &'static str,
    /// The flag of a last message that is to be continued.
    prefill: Option<&'static str>,
    /// Whether there are later system messages, which the target refuses.
    late: bool,
    /// Whether messages of reasoning alone are left out.
    drops_reasoning: bool,
}

impl<'a> Messages<'a> {
    /// Plans the messages of a request; notes the parts that are converted.
    pub(super) fn of(
        flavour: &'a Flavour,
        request: &'a ChatRequest,
        model: Model<'a>,
        names: &'a Names,
        notes: &mut Notes,
    ) -> Self {
        let (mut lead, mut rest): (Vec<OutgoingText<'_>>, Vec<Step<'_>>) = (Vec::new(), Vec::new());
        let (mut late, mut drops_reasoning) = (false, false);
        for (at, step) in steps(request, OWN, Media::Behind, |_| true, notes).into_iter().enumerate() {
            match step {
                Step::System(text) if flavour.system_first => {
                    late |= at > 0;
                    lead.push(text.into());
                }
                step => rest.push(step),
            }
        }
        let called = |step: &Step<'_>| matches!(step, Step::Assistant(spoken) if !spoken.ids.is_empty());
        let echoes = flavour.echoes(model) && !flavour.thoughts.is_empty() && rest.iter().any(called);
        if repairs(request, OWN) && !echoes {
            // A message of reasoning alone would become empty, and an empty message is refused.
            rest.retain(|step| match step {
                Step::Assistant(spoken) if is_silent(spoken.parts) => {
                    drops_reasoning |= spoken.parts.iter().any(|part| matches!(part, AssistantPart::Reasoning(_)));
                    false
                }
                _ => true,
            });
        }
        let (system_role, prefill) = (flavour.system_role(model), flavour.prefill(request));
        let no_thought = flavour.no_thought(model);
        let (provider, signs) = (model.provider, google::wants(flavour, model));
        Self {
            flavour,
            names,
            provider,
            signs,
            system_role,
            lead,
            steps: rest,
            echoes,
            no_thought,
            prefill,
            late,
            drops_reasoning,
        }
    }

    /// Returns the same, with an instruction of our own before all messages.
    pub(super) fn instructed(mut self, instruction: Option<String>) -> Self {
        self.lead.extend(instruction.map(OutgoingText::from));
        self
    }

    /// Notes the parts of the messages that cannot go as they are.
    pub(super) fn note(&self, notes: &mut Notes) {
        if self.late {
            notes.converted("messages.system");
        }
        if self.drops_reasoning {
            notes.dropped("messages.reasoning");
        }
        for pair in self.steps.windows(2) {
            if self.joins(&pair[0], &pair[1]) || self.bridges(&pair[0], &pair[1]) {
                notes.converted("messages");
            }
        }
        for step in &self.steps {
            match step {
                Step::Result(CallResult { result: Some(result), .. }) => notes.result(self.flavour.ids, result),
                Step::Assistant(spoken) => {
                    let echoes = self.echoes && !self.is_of_others(spoken.parts);
                    for part in spoken.parts {
                        match part {
                            AssistantPart::Reasoning(thought) if !(echoes || self.proves(thought)) => {
                                notes.dropped("messages.reasoning");
                            }
                            AssistantPart::ToolCall(call) if self.signature(call.proof.as_ref()).is_some() => {
                                notes.id(self.flavour.ids, &call.id);
                            }
                            AssistantPart::ToolCall(call) => notes.call(self.flavour.ids, call),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// Tells whether this comes from another provider's model.
    fn is_of_others(&self, parts: &[AssistantPart]) -> bool {
        let is_of_others = |proof: &Option<Proof>| proof.as_ref().is_some_and(|proof| !self.is_own(proof));
        parts.iter().any(|part| match part {
            AssistantPart::Reasoning(reasoning) => is_of_others(&reasoning.proof),
            AssistantPart::ToolCall(call) => is_of_others(&call.proof),
            AssistantPart::Text(_) | AssistantPart::Foreign(_) => false,
        })
    }

    /// Tells whether the provider issued a proof.
    fn is_own(&self, proof: &Proof) -> bool {
        proof.issuer.as_deref() == Some(self.provider)
    }

    /// Returns Google's signature, if this is one that goes back.
    fn signature<'p>(&self, proof: Option<&'p Proof>) -> Option<&'p str> {
        let own = |proof: &&Proof| proof.dialect == Dialect::Gemini && (self.signs || self.is_own(proof));
        proof.filter(own).map(|proof| &*proof.data)
    }

    /// Returns the blocks that prove a thought, by their field, if they go back.
    fn blocks(&self, thought: &Reasoning) -> Vec<(String, Vec<Value>)> {
        let own = |proof: &&Proof| proof.dialect == OWN && self.is_own(proof);
        thought.proof.as_ref().filter(own).map(blocks_of).unwrap_or_default()
    }

    /// Tells whether a thought's proof goes back.
    fn proves(&self, thought: &Reasoning) -> bool {
        self.signature(thought.proof.as_ref()).is_some() || !self.blocks(thought).is_empty()
    }

    /// Tells whether two neighbours are to be one message.
    fn joins(&self, first: &Step<'_>, second: &Step<'_>) -> bool {
        let alike =
            matches!((first, second), (Step::User(_), Step::User(_)) | (Step::Assistant(_), Step::Assistant(_)));
        self.flavour.alternates && alike
    }

    /// Tells whether an assistant must speak between two neighbours.
    fn bridges(&self, first: &Step<'_>, second: &Step<'_>) -> bool {
        self.flavour.bridges && matches!((first, second), (Step::Result(_), Step::User(_)))
    }
}

impl Serialize for Messages<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(None)?;
        match &self.lead[..] {
            [] => {}
            [only] => seq.serialize_element(&Line { role: self.system_role, content: only })?,
            lead => {
                let content = &OutgoingText::row(lead.iter().cloned(), "\n\n");
                seq.serialize_element(&Line { role: self.system_role, content })?;
            }
        }
        let mut before: Option<&Step<'_>> = None;
        for run in self.steps.chunk_by(|first, second| self.joins(first, second)) {
            if before.is_some_and(|before| self.bridges(before, &run[0])) {
                seq.serialize_element(&Line { role: "assistant", content: &BRIDGE.into() })?;
            }
            before = run.last();
            match &run[0] {
                Step::System(text) => {
                    let content = &OutgoingText::FromRequest(text);
                    seq.serialize_element(&Line { role: self.system_role, content })?;
                }
                Step::User(_) => seq.serialize_element(&User(run))?,
                Step::Assistant(_) => {
                    let is_last = std::ptr::eq(run.as_ptr_range().end, self.steps.as_ptr_range().end);
                    seq.serialize_element(&Assistant { messages: self, run, is_last })?;
                }
                Step::Result(answer) => seq.serialize_element(&WireResult {
                    role: "tool",
                    tool_call_id: &self.flavour.ids.fit(&answer.id),
                    content: &answer.text(),
                })?,
                Step::Foreign(_, message) => seq.serialize_element(message)?,
            }
        }
        seq.end()
    }
}

#[derive(serde::Serialize)]
struct Line<'a> {
    role: &'static str,
    content: &'a OutgoingText<'a>,
}

#[derive(serde::Serialize)]
struct WireResult<'a> {
    role: &'static str,
    tool_call_id: &'a str,
    content: &'a OutgoingText<'a>,
}

/// The content of one or several messages of a user.
struct User<'a>(&'a [Step<'a>]);

impl Serialize for User<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let parts = self.0.iter().filter_map(|step| if let Step::User(parts) = step { Some(parts) } else { None });
        let parts: Vec<&Part<'_>> = parts.flatten().collect();
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("role", "user")?;
        match &parts[..] {
            [part] if let Some(text) = part.as_text() => map.serialize_entry("content", &text)?,
            parts => map.serialize_entry("content", &Each(|| parts.iter().map(|part| WirePart(part))))?,
        }
        map.end()
    }
}

/// The content of one or several messages of an assistant.
struct Assistant<'a> {
    messages: &'a Messages<'a>,
    run: &'a [Step<'a>],
    is_last: bool,
}

impl Serialize for Assistant<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Messages { flavour, names, echoes, .. } = *self.messages;
        let spoken = || self.run.iter().filter_map(|step| if let Step::Assistant(it) = step { Some(it) } else { None });
        let parts: Vec<&AssistantPart> = spoken().flat_map(|spoken| spoken.parts).collect();
        let calls: Vec<(&str, &ToolCall)> = spoken().flat_map(AssistantTurn::calls).collect();
        let foreign = || parts.iter().filter_map(|part| foreign(part));
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("role", "assistant")?;
        let blocks = || foreign().filter(|foreign| foreign.kind != SPOKEN);
        if blocks().next().is_some() {
            let said = parts.iter().filter(|part| part.text().is_some() || foreign_block(part).is_some());
            map.serialize_entry("content", &Each(|| said.clone().map(|part| WireAssistantPart(part))))?;
        } else {
            // Some servers refuse a message without content, others an empty one beside tool calls.
            let speaks = calls.is_empty() || parts.iter().any(|part| part.text().is_some());
            let content = speaks.then(|| joined(parts.iter().filter_map(|part| part.text())));
            map.serialize_entry("content", &content)?;
        }
        if let Some(spoken) = foreign().find(|foreign| foreign.kind == SPOKEN) {
            map.serialize_entry(SPOKEN, &verbatim(OWN, spoken))?;
        }
        if echoes {
            let own = spoken().map(|spoken| spoken.parts).filter(|parts| !self.messages.is_of_others(parts));
            let own: Vec<&Text> = own.flatten().filter_map(part_as_thought).map(|thought| &thought.text).collect();
            if own.iter().any(|text| !text.is_empty()) {
                map.serialize_entry(flavour.thoughts, &joined(own))?;
            } else {
                map.serialize_entry(flavour.thoughts, self.messages.no_thought)?;
            }
        }
        let thoughts = || parts.iter().filter_map(|part| part_as_thought(part));
        let mut blocks: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for (field, list) in thoughts().flat_map(|thought| self.messages.blocks(thought)) {
            blocks.entry(field).or_default().extend(list);
        }
        for (field, list) in &blocks {
            map.serialize_entry(field, list)?;
        }
        let signature = |proof: Option<&'_ Proof>| self.messages.signature(proof).map(google::field);
        let signed = thoughts().filter_map(|thought| signature(thought.proof.as_ref())).next_back();
        if let Some(signed) = signed.filter(|_| calls.is_empty()) {
            map.serialize_entry(google::FIELD, &signed)?;
        }
        if !calls.is_empty() {
            let unsigned = Some(NO_PROOF).filter(|_| self.messages.signs).map(google::field);
            let calls = || {
                calls.iter().enumerate().map(|(at, (id, call))| {
                    let unsigned = unsigned.clone().filter(|_| at == 0);
                    let extra_content = signature(call.proof.as_ref()).or(unsigned);
                    WireCall { extra_content, ..WireCall::of(flavour, names, id, call) }
                })
            };
            map.serialize_entry("tool_calls", &Each(calls))?;
        } else if let (true, Some(flag)) = (self.is_last, self.messages.prefill) {
            map.serialize_entry(flag, &true)?;
        }
        map.end()
    }
}

/// Returns what only this dialect has, if the part is that.
fn foreign(part: &AssistantPart) -> Option<&Foreign> {
    match part {
        AssistantPart::Foreign(foreign) if foreign.dialect == OWN => Some(foreign),
        _ => None,
    }
}

/// Returns what only this dialect has among the parts of a message's content, if the part is that.
fn foreign_block(part: &AssistantPart) -> Option<&Foreign> {
    foreign(part).filter(|foreign| foreign.kind != SPOKEN)
}

/// Tells whether the parts are reasoning alone.
fn is_silent(parts: &[AssistantPart]) -> bool {
    parts.iter().all(|part| match part {
        AssistantPart::Text(text) => text.is_empty(),
        AssistantPart::Reasoning(_) => true,
        AssistantPart::ToolCall(_) | AssistantPart::Foreign(_) => false,
    })
}

/// Returns the thought, if the part is one.
fn part_as_thought(part: &AssistantPart) -> Option<&Reasoning> {
    if let AssistantPart::Reasoning(reasoning) = part { Some(reasoning) } else { None }
}

/// Returns texts as one.
fn joined<'a>(texts: impl IntoIterator<Item = &'a Text>) -> OutgoingText<'a> {
    OutgoingText::row(texts.into_iter().map(OutgoingText::FromRequest), "")
}

/// A part of what an assistant said.
struct WireAssistantPart<'a>(&'a AssistantPart);

impl Serialize for WireAssistantPart<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            AssistantPart::Foreign(block) => verbatim(OWN, block).serialize(serializer),
            part => part.text().map(|text| WireText::of(TEXT, text)).serialize(serializer),
        }
    }
}

/// A part of what a user says.
struct WirePart<'a>(&'a Part<'a>);

impl Serialize for WirePart<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let part = match self.0 {
            Part::FromRequest(UserPart::Text(text)) => return WireText::of(TEXT, text).serialize(serializer),
            Part::Made(text) => return WireText::of(TEXT, text.clone()).serialize(serializer),
            Part::FromRequest(UserPart::Foreign(part)) => return verbatim(OWN, part).serialize(serializer),
            Part::FromRequest(part) => part,
        };
        let mut map = serializer.serialize_map(Some(2))?;
        match part {
            UserPart::Image(image) => {
                map.serialize_entry("type", "image_url")?;
                map.serialize_entry("image_url", &WireImage { url: Address(image) })?;
            }
            UserPart::Document(document) => {
                let title = document.title.as_deref();
                let (media_type, data) = match &document.source {
                    DocumentSource::Text(_) => {
                        map.serialize_entry("type", "text")?;
                        map.serialize_entry("text", &told(document))?;
                        return map.end();
                    }
                    DocumentSource::Url(url) => ("", url),
                    DocumentSource::Base64 { media_type, data } => (media_type.as_str(), data),
                };
                map.serialize_entry("type", "file")?;
                let file_data = Formatted(FileData { media_type, data });
                map.serialize_entry("file", &WireFile { filename: title.unwrap_or(UNNAMED), file_data })?;
            }
            UserPart::Audio(Audio { media_type, data }) => {
                map.serialize_entry("type", "input_audio")?;
                map.serialize_entry("input_audio", &WireAudio { data: data.into(), format: format(media_type) })?;
            }
            UserPart::Text(_) | UserPart::Foreign(_) => {}
        }
        map.end()
    }
}

/// The name of a document without one: the dialect needs one.
pub(in crate::wire) const UNNAMED: &str = "document.pdf";

/// Returns what the dialect calls a kind of audio: `wav` and `mp3` at OpenAI's.
pub(in crate::wire) fn format(media_type: &str) -> &str {
    match media_type.strip_prefix("audio/").unwrap_or(media_type) {
        "mpeg" => "mp3",
        "x-wav" | "wave" | "vnd.wave" => "wav",
        other => other,
    }
}

/// A file as an address: where it is, or all of it.
pub(in crate::wire) struct FileData<'a> {
    /// Empty where the data is an address.
    pub(in crate::wire) media_type: &'a str,
    pub(in crate::wire) data: &'a Text,
}

impl fmt::Display for FileData<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.media_type {
            "" => self.data.fmt(f),
            media_type => write!(f, "data:{media_type};base64,{}", self.data),
        }
    }
}

#[derive(serde::Serialize)]
struct WireFile<'a> {
    filename: &'a str,
    file_data: Formatted<FileData<'a>>,
}

#[derive(serde::Serialize)]
pub(in crate::wire) struct WireAudio<'a> {
    pub(in crate::wire) data: OutgoingText<'a>,
    pub(in crate::wire) format: &'a str,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_content: Option<Value>,
}

#[derive(serde::Serialize)]
struct WireFunction<'a> {
    name: &'a str,
    arguments: OutgoingText<'a>,
}

impl<'a> WireCall<'a> {
    fn of(flavour: &Flavour, names: &'a Names, id: &'a str, call: &'a ToolCall) -> Self {
        let function = WireFunction { name: names.sent(&call.name), arguments: arguments(call) };
        Self { id: flavour.ids.fit(id), kind: "function", function, extra_content: None }
    }
}

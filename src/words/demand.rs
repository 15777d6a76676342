//! The demands of a request on its target: parts that not every target can take, each with its place.

use super::chat::{AssistantPart, ChatRequest, Document, DocumentSource, Foreign, Message, ToolChoice, UserPart};
use super::embed::EmbedRequest;
use super::names::Shown;
use super::target::Dialect;

/// A part of a request that not every target can take.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Demand {
    /// Its place: the request's field in the common form (`messages[2].content[0]`).
    pub field: String,
    /// Its kind.
    pub what: Demanded,
    /// How it begins, so that its caller recognises it.
    pub begin: String,
}

/// The kinds of parts that not every target can take.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Demanded {
    /// What only a dialect has, and what that calls it.
    Foreign(Dialect, String),
    /// A document by value, of a media type.
    Document(String),
    /// A document at an address.
    DocumentUrl,
    /// Something to be heard.
    Audio,
    /// Tokens instead of a text.
    Tokens,
}

impl Demanded {
    /// Returns it for people.
    pub fn text(&self) -> String {
        match self {
            Self::Foreign(_, kind) => format!("`{kind}`"),
            Self::Document(kind) => format!("a document (`{kind}`)"),
            Self::DocumentUrl => "a document at an address".to_owned(),
            Self::Audio => "audio".to_owned(),
            Self::Tokens => "tokens instead of a text, which differ from model to model".to_owned(),
        }
    }
}

/// How much of a part is enough to find it in its body.
const BEGIN_BYTES: usize = 96;

fn begin(text: &str) -> String {
    text[..text.floor_char_boundary(BEGIN_BYTES)].to_owned()
}

/// What stands for the rest of a conversation, which its provider keeps: without it another question would be asked.
const THE_REST: [&str; 6] =
    ["previous_response_id", "conversation", "prompt", "item_reference", "compaction", "cachedContent"];

impl Demand {
    /// Tells whether a route may leave it out of this request: not what could not be read, for its provider knows what
    /// it says, not what stands for the rest of the conversation, and no message with all that it says.
    pub fn may_be_left_out(&self, request: &ChatRequest) -> bool {
        let Demanded::Foreign(dialect, kind) = &self.what else { return false };
        let is_read = request.original.as_ref().is_none_or(|original| original.unread.is_empty());
        // Items of OpenAI's responses are parts of a turn.
        let is_message = *dialect != Dialect::OpenAiResponses
            && self.field.strip_prefix("messages[").is_some_and(|rest| rest.find(']') == Some(rest.len() - 1));
        is_read && !is_message && !THE_REST.contains(&kind.as_str())
    }

    /// Tells whether its provider may bill more tokens for it than are sent: what stands at an address, or is the
    /// provider's own, as a file that it keeps or a search.
    pub fn grows(&self) -> bool {
        matches!(self.what, Demanded::Foreign(..) | Demanded::DocumentUrl)
    }

    fn foreign(field: String, foreign: &Foreign) -> Option<Self> {
        let what = Demanded::Foreign(foreign.dialect, foreign.kind.clone());
        (!foreign.optional).then(|| Self { field, what, begin: begin(&foreign.json) })
    }

    fn document(field: String, document: &Document) -> Option<Self> {
        let (what, text) = match &document.source {
            DocumentSource::Text(_) => return None,
            DocumentSource::Url(url) => (Demanded::DocumentUrl, url),
            DocumentSource::Base64 { media_type, data } => (Demanded::Document(Shown(media_type).to_string()), data),
        };
        Some(Self { field, what, begin: begin(text) })
    }
}

impl EmbedRequest {
    /// Returns the parts of the request that not every target can take.
    pub fn demands(&self) -> Vec<Demand> {
        let tokens = || Demand { field: "input".to_owned(), what: Demanded::Tokens, begin: String::new() };
        if self.tokens.is_empty() { Vec::new() } else { vec![tokens()] }
    }
}

impl ChatRequest {
    /// Returns the parts of the request that not every target can take, in its order: most requests have none.
    pub fn demands(&self) -> Vec<Demand> {
        let mut demands = Vec::new();
        if let ToolChoice::Foreign(choice) = &self.tool_choice {
            demands.extend(Demand::foreign("tool_choice".to_owned(), choice));
        }
        for (at, tool) in self.foreign_tools.iter().enumerate() {
            demands.extend(Demand::foreign(format!("tools[{}]", self.tools.len() + at), tool));
        }
        for (at, message) in self.messages.iter().enumerate() {
            let place = |part: usize| format!("messages[{at}].content[{part}]");
            let shown: &[UserPart] = match message {
                Message::System(_) => continue,
                Message::Foreign(foreign) => {
                    demands.extend(Demand::foreign(format!("messages[{at}]"), foreign));
                    continue;
                }
                Message::Assistant(parts) => {
                    for (part, said) in parts.iter().enumerate() {
                        if let AssistantPart::Foreign(foreign) = said {
                            demands.extend(Demand::foreign(place(part), foreign));
                        }
                    }
                    continue;
                }
                Message::User(parts) => parts,
                Message::Tool(result) => &result.content,
            };
            for (part, shown) in shown.iter().enumerate() {
                match shown {
                    UserPart::Text(_) | UserPart::Image(_) => {}
                    UserPart::Foreign(foreign) => demands.extend(Demand::foreign(place(part), foreign)),
                    UserPart::Document(document) => demands.extend(Demand::document(place(part), document)),
                    UserPart::Audio(audio) => {
                        let (what, begin) = (Demanded::Audio, begin(&audio.data));
                        demands.push(Demand { field: place(part), what, begin });
                    }
                }
            }
        }
        // Fields without a dialect go to all targets.
        for field in self.extra_needed.iter().filter(|_| self.extra_dialect.is_some()) {
            let field = Shown(field).to_string();
            let what = Demanded::Foreign(self.extra_dialect.unwrap_or_default(), field.clone());
            demands.push(Demand { field, what, begin: String::new() });
        }
        demands
    }
}

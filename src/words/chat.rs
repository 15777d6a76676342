//! A caller's request: one conversation, and how it is to be answered.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use serde_json::Value;

use super::durable::Durable;
use super::error::Error;
use super::exhausted::OnExhausted;
use super::header;
use super::hedging::Hedging;
use super::json::Json;
use super::named::named;
use super::names::{self, NAME_BYTES_MAX, Shown};
use super::original::Original;
use super::priority::Priority;
use super::rule::Rule;
use super::target::Dialect;
use super::text::Text;

/// One request of a caller, in no provider's dialect.
///
/// ```
/// use std::time::Duration;
/// use standin::{ChatRequest, Message, Priority, Tool};
///
/// let mut request = ChatRequest::new("smart")
///     .system("Be brief.")
///     .user("Is it raining in Bern?")
///     .tool(Tool::new("weather", "Tells the weather.", serde_json::json!({"type": "object", "properties": {}})))
///     .session("conversation-7") // keeps its target, and the prompt in its cache
///     .priority(Priority::Interactive) // a person waits: a second is worth more
///     .output_tokens_max(200)
///     .tag("team", "search")
///     .deadline(Duration::from_secs(30)); // for all attempts together
/// request.sampling.temperature = Some(0.2);
/// // What is said goes on where it was left.
/// let request = request.message(Message::assistant("No.")).user("And in Oslo?");
/// assert_eq!((request.messages.len(), &*request.question()), (4, "And in Oslo?"));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChatRequest {
    /// Name of the route that may serve the call ("smart"), or `provider/model` for exactly one target.
    pub route: String,
    /// The conversation so far, oldest first.
    pub messages: Vec<Message>,
    /// Tools the model may call.
    pub tools: Vec<Tool>,
    /// Tools that only one dialect has: those that its providers run, and all others that the common form cannot
    /// express.
    pub foreign_tools: Vec<Foreign>,
    /// Whether and which tool must be called.
    pub tool_choice: ToolChoice,
    /// Whether several tool calls may come in one answer; `None` leaves it to the provider.
    pub parallel_tool_calls: Option<bool>,
    /// The form of the answer's text. An answer that does not have it is an unusable answer and fails over.
    pub response_format: ResponseFormat,
    /// Sampling parameters. A parameter that is `None` is not sent.
    pub sampling: Sampling,
    /// How hard a reasoning model should think; `None` leaves it to the provider.
    pub effort: Option<Effort>,
    /// The most tokens the answer may have; `None` leaves it to the provider.
    pub output_tokens_max: Option<u32>,
    /// The call's urgency: how much a second of waiting costs, and its place in queues.
    pub priority: Priority,
    /// The rule by which its target is chosen; `None` is the route's.
    pub rule: Option<Rule>,
    /// When a second target is asked beside the first; `None` is the route's.
    pub hedging: Option<Hedging>,
    /// Time for the whole call, over all its attempts, from when the runtime accepts it; `None` takes the
    /// configured one.
    pub deadline: Option<Duration>,
    /// How long the caller's client waits for a byte, where it says so: targets share the call's time by it, a call
    /// that would wait longer for a place is refused, and none that has a place is ended by it. Never sent. A sidecar
    /// sets it.
    pub client_timeout: Option<Duration>,
    /// How the call goes on if no target can answer now; `None` takes the route's. With its own `deadline` it waits
    /// until that at the longest.
    pub on_exhausted: Option<OnExhausted>,
    /// Groups calls that share a prompt prefix: they keep their target as long as it is healthy.
    pub session: Option<String>,
    /// Labels a target must carry to serve this call (region, zero retention, …). No target without all of them is ever
    /// asked.
    pub labels: Vec<String>,
    /// The caller's name for this one call (an idempotency key), up to 256 bytes. A caller that asks again with the
    /// same key and the same request, while it is worked on or for some time after, gets the answer of this call
    /// instead of a new one. With a key and another request that is [`Error::KeyConflict`]. Never sent.
    pub key: Option<String>,
    /// Whether it outlives caller and process: kept in the [store](crate::config::StoreConfig) before it is accepted.
    /// `None` takes the route's.
    pub durable: Option<Durable>,
    /// Free text for the caller's own accounting; kept in the ledger, never sent.
    pub tags: BTreeMap<String, String>,
    /// The client that sends it, by the name of its key: for accounts and budgets, never sent. A sidecar sets it.
    pub client: Option<Arc<str>>,
    /// What to do when an answer breaks off after its first content reached the caller.
    pub commit: CommitPolicy,
    /// Provider-specific fields that are put into the request's body as they are: `into()` makes one of a
    /// `serde_json::Value`. A field the runtime itself writes (`model`, `messages`, `stream`, …) cannot be overridden.
    pub extra: BTreeMap<String, Json>,
    /// Headers that belong to `extra`: those that ask for its features in advance (`anthropic-beta`). A header
    /// that carries a key, frames the message or says how a body is written is refused.
    pub extra_headers: HeaderMap,
    /// The dialect that `extra` is written in: a target of another gets none of it. `None` sends it to all.
    pub extra_dialect: Option<Dialect>,
    /// Names of fields of `extra` without which the request would mean something else (`previous_response_id`, `n`): a
    /// target that cannot be told them is not asked.
    pub extra_needed: Vec<String>,
    /// Marks of the gateways that it came through: sent along to targets that may lead back to one of them.
    pub via: Vec<String>,
    /// How an answer that passes unchanged names its model; `None` as its provider does.
    pub model_as: Option<String>,
    /// The same request as its caller wrote it, for targets that speak the caller's dialect. A sidecar has it.
    pub original: Option<Original>,
}

impl ChatRequest {
    /// Returns an empty request for a route.
    pub fn new(route: impl Into<String>) -> Self {
        Self { route: route.into(), ..Self::default() }
    }

    /// Checks what no provider could accept.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the field.
    pub fn check(&self) -> Result<(), Error> {
        if self.messages.is_empty() && self.extra_needed.is_empty() {
            let problem = "is empty; a conversation has at least one message";
            return Err(Error::Invalid { field: "messages".into(), problem: problem.into() });
        }
        self.check_options()
    }

    /// Checks all but the conversation, which a question where a call would go need not have.
    pub(crate) fn check_options(&self) -> Result<(), Error> {
        let invalid = |field: &str, problem: &str| Err(Error::Invalid { field: field.into(), problem: problem.into() });
        if self.deadline.is_some_and(|deadline| deadline.is_zero()) {
            return invalid("deadline", "is zero; leave it out for the configured one");
        }
        if self.key.as_ref().is_some_and(|key| key.is_empty() || key.len() > NAME_BYTES_MAX) {
            return invalid("key", &format!("must have 1 to {NAME_BYTES_MAX} bytes; leave it out for none"));
        }
        if self.output_tokens_max == Some(0) {
            return invalid("output_tokens_max", "is 0; leave it out for no limit");
        }
        header::check(&self.extra_headers)?;
        if let ToolChoice::Named(name) = &self.tool_choice
            && !self.tools.iter().any(|tool| tool.name == *name)
        {
            return invalid("tool_choice", &format!("names `{name}`, which is none of the request's tools"));
        }
        let sampling = [
            ("sampling.temperature", self.sampling.temperature),
            ("sampling.top_p", self.sampling.top_p),
            ("sampling.presence_penalty", self.sampling.presence_penalty),
            ("sampling.frequency_penalty", self.sampling.frequency_penalty),
        ];
        match sampling.into_iter().find(|(_, value)| value.is_some_and(|value| !value.is_finite())) {
            Some((field, _)) => invalid(field, "is not a finite number"),
            None => names::check(&self.route, self.session.as_deref(), &self.labels, &self.tags),
        }
    }

    /// Returns the text of the last message of the user; of several parts, a line each.
    pub fn question(&self) -> Cow<'_, str> {
        let parts = self.messages.iter().rev().find_map(|message| match message {
            Message::User(parts) => Some(parts),
            _ => None,
        });
        lines(parts.into_iter().flatten())
    }

    /// Appends a system message.
    #[must_use]
    pub fn system(mut self, text: impl Into<Text>) -> Self {
        self.messages.push(Message::System(text.into()));
        self
    }

    /// Appends a user message of one text.
    #[must_use]
    pub fn user(mut self, text: impl Into<Text>) -> Self {
        self.messages.push(Message::user(text));
        self
    }

    /// Appends a message.
    #[must_use]
    pub fn message(mut self, message: Message) -> Self {
        self.messages.push(message);
        self
    }

    /// Adds a tool.
    #[must_use]
    pub fn tool(mut self, tool: Tool) -> Self {
        self.tools.push(tool);
        self
    }

    /// Sets the session.
    #[must_use]
    pub fn session(mut self, session: impl Into<String>) -> Self {
        self.session = Some(session.into());
        self
    }

    /// Sets the caller's name for this one call: asked again with it, the same request gets the same answer.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Lets it outlive caller and process: it is kept in the store before it is accepted.
    #[must_use]
    pub fn durable(mut self, durable: Durable) -> Self {
        self.durable = Some(durable);
        self
    }

    /// Sets the deadline of the whole call.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Sets how the call goes on if no target can answer now.
    #[must_use]
    pub fn on_exhausted(mut self, on_exhausted: OnExhausted) -> Self {
        self.on_exhausted = Some(on_exhausted);
        self
    }

    /// Sets the priority.
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Adds a tag for the caller's own accounting.
    #[must_use]
    pub fn tag(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.insert(name.into(), value.into());
        self
    }

    /// Adds a label that a target must carry to serve it.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.labels.push(label.into());
        self
    }

    /// Sets the most tokens that the answer may have.
    #[must_use]
    pub fn output_tokens_max(mut self, tokens: u32) -> Self {
        self.output_tokens_max = Some(tokens);
        self
    }

    /// Sets the sampling parameters.
    #[must_use]
    pub fn sampling(mut self, sampling: Sampling) -> Self {
        self.sampling = sampling;
        self
    }

    /// Sets how hard a reasoning model should think.
    #[must_use]
    pub fn effort(mut self, effort: Effort) -> Self {
        self.effort = Some(effort);
        self
    }

    /// Sets what to do when an answer breaks off after its first content reached the caller.
    #[must_use]
    pub fn commit(mut self, commit: CommitPolicy) -> Self {
        self.commit = commit;
        self
    }
}

impl ChatRequest {
    /// Returns its long texts: those of messages, with files and foreign parts, and of tools; schemas, and what ends an
    /// answer.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &Text> {
        let tools = self.tools.iter().flat_map(|tool| [&tool.description, tool.parameters.text()]);
        let form = if let ResponseFormat::JsonSchema { schema, .. } = &self.response_format {
            Some(schema.text())
        } else {
            None
        };
        tools.chain(form).chain(&self.sampling.stop).chain(self.messages.iter().flat_map(|message| {
            let (whole, said, shown): (_, &[AssistantPart], &[UserPart]) = match message {
                Message::System(text) => (Some(text), &[], &[]),
                Message::User(parts) => (None, &[], parts),
                Message::Assistant(parts) => (None, parts, &[]),
                Message::Tool(result) => (None, &[], &result.content),
                Message::Foreign(foreign) => (Some(&foreign.json), &[], &[]),
            };
            let said = said.iter().flat_map(|part| match part {
                AssistantPart::Text(text) => [Some(text), None],
                AssistantPart::Reasoning(reasoning) => {
                    [Some(&reasoning.text), reasoning.proof.as_ref().map(|proof| &proof.data)]
                }
                AssistantPart::ToolCall(call) => [Some(&call.arguments), call.proof.as_ref().map(|proof| &proof.data)],
                AssistantPart::Foreign(foreign) => [Some(&foreign.json), None],
            });
            let shown = shown.iter().map(|part| match part {
                UserPart::Text(text) | UserPart::Image(Image::Url(text) | Image::Base64 { data: text, .. }) => text,
                UserPart::Document(document) => match &document.source {
                    DocumentSource::Text(text) | DocumentSource::Url(text) => text,
                    DocumentSource::Base64 { data, .. } => data,
                },
                UserPart::Audio(audio) => &audio.data,
                UserPart::Foreign(foreign) => &foreign.json,
            });
            whole.into_iter().chain(said.flatten()).chain(shown)
        }))
    }
}

impl From<&str> for ChatRequest {
    /// Returns an empty request for a route, for `explain`.
    fn from(route: &str) -> Self {
        Self::new(route)
    }
}

/// A part that the common form cannot express here: a block, an item, a tool, as its dialect writes it. It goes
/// unchanged to targets of its dialect. Others cannot take it: a call with such a part is not sent to them, unless its
/// route leaves such parts out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Foreign {
    /// The dialect that it is written in.
    pub dialect: Dialect,
    /// Its name in that dialect: `search_result`, `web_search_20250305`; of a very long one the beginning.
    pub kind: String,
    /// As it was written: the text of one JSON value.
    pub json: Text,
    /// Whether the request means the same without it. Then other dialects may leave it out.
    pub optional: bool,
}

impl Foreign {
    /// Returns a part as a dialect writes it, which the request needs.
    pub fn new(dialect: Dialect, kind: impl AsRef<str>, json: impl Into<Text>) -> Self {
        Self { dialect, kind: Shown(kind.as_ref()).to_string(), json: json.into(), optional: false }
    }
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Hash)]
#[non_exhaustive]
pub enum Message {
    /// Instructions of the operator.
    System(Text),
    /// What the user says or shows.
    User(Vec<UserPart>),
    /// What the model said, thought and called.
    Assistant(Vec<AssistantPart>),
    /// The result of one tool call.
    Tool(ToolResult),
    /// What only its dialect has as a message or an item of its own.
    Foreign(Foreign),
}

impl Message {
    /// Returns a user message of one text.
    pub fn user(text: impl Into<Text>) -> Self {
        Self::User(vec![UserPart::Text(text.into())])
    }

    /// Returns an assistant message of one text.
    pub fn assistant(text: impl Into<Text>) -> Self {
        Self::Assistant(vec![AssistantPart::Text(text.into())])
    }

    /// Returns the parts that the common form cannot express.
    pub fn foreign(&self) -> impl Iterator<Item = &Foreign> {
        let (whole, said, shown): (_, &[AssistantPart], &[UserPart]) = match self {
            Self::System(_) => (None, &[], &[]),
            Self::Foreign(foreign) => (Some(foreign), &[], &[]),
            Self::Assistant(parts) => (None, parts, &[]),
            Self::User(parts) => (None, &[], parts),
            Self::Tool(result) => (None, &[], &result.content),
        };
        let said = said.iter().filter_map(|part| if let AssistantPart::Foreign(it) = part { Some(it) } else { None });
        let shown = shown.iter().filter_map(|part| if let UserPart::Foreign(it) = part { Some(it) } else { None });
        whole.into_iter().chain(said).chain(shown)
    }

    /// Returns the result of a tool call.
    pub fn tool_result(call: &ToolCall, content: impl Into<Text>) -> Self {
        Self::Tool(ToolResult::new(&call.id, &call.name, content))
    }
}

/// A part of a user's message, or of a tool's result.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UserPart {
    /// Text.
    Text(Text),
    /// An image, in the request or at an address.
    Image(Image),
    /// A document, in the request or at an address.
    Document(Document),
    /// Audio.
    Audio(Audio),
    /// What only its dialect has: a file by its id, a video, a search result.
    Foreign(Foreign),
}

impl UserPart {
    /// Returns the text, if the part is one.
    pub fn as_text(&self) -> Option<&str> {
        self.text().map(Text::as_str)
    }

    /// Returns the same without decoding it.
    pub(crate) fn text(&self) -> Option<&Text> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }
}

impl From<String> for UserPart {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

/// A document: pages that a model reads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Document {
    /// Where it is, or its content.
    pub source: DocumentSource,
    /// Its name: a title, or the file's name.
    pub title: Option<String>,
    /// A comment about it, for dialects that have a place for one.
    pub context: Option<String>,
    /// Whether the answer shall cite places in it, where a dialect can.
    pub citations: bool,
}

/// Where a document is, or its content.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DocumentSource {
    /// Plain text: every model reads it.
    Text(Text),
    /// The file itself.
    Base64 {
        /// `application/pdf` nearly everywhere.
        media_type: String,
        /// Base64 of the file, no line breaks.
        data: Text,
    },
    /// An address the provider fetches.
    Url(Text),
}

impl Document {
    /// Returns a document without a title.
    pub const fn new(source: DocumentSource) -> Self {
        Self { source, title: None, context: None, citations: false }
    }

    /// Returns a document of plain text.
    pub fn text(text: impl Into<Text>) -> Self {
        Self::new(DocumentSource::Text(text.into()))
    }

    /// Returns a PDF of its Base64.
    pub fn pdf(data: impl Into<Text>) -> Self {
        Self::new(DocumentSource::Base64 { media_type: "application/pdf".into(), data: data.into() })
    }

    /// Returns the same, with a title.
    #[must_use]
    pub fn titled(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }
}

/// Audio.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Audio {
    /// `audio/wav`, `audio/mp3`, …
    pub media_type: String,
    /// Base64 of the file, no line breaks.
    pub data: Text,
}

/// An image, by reference or by value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Image {
    /// An address the provider fetches.
    Url(Text),
    /// The image itself.
    Base64 {
        /// `image/png`, `image/jpeg`, …
        media_type: String,
        /// Base64 of the file, no line breaks.
        data: Text,
    },
}

/// A part of an assistant's message.
#[derive(Clone, Debug, PartialEq, Hash)]
#[non_exhaustive]
pub enum AssistantPart {
    /// Text of the answer.
    Text(Text),
    /// The model's visible reasoning. Sent back only to providers that take it.
    Reasoning(Reasoning),
    /// A call of a tool.
    ToolCall(ToolCall),
    /// What only its dialect has: what the provider's own tools did, and what they found.
    Foreign(Foreign),
}

impl AssistantPart {
    /// Returns the text, if the part is one.
    pub fn as_text(&self) -> Option<&str> {
        self.text().map(Text::as_str)
    }

    /// Returns the same without decoding it.
    pub(crate) fn text(&self) -> Option<&Text> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// Returns the visible reasoning, if the part is reasoning.
    pub fn as_reasoning(&self) -> Option<&str> {
        match self {
            Self::Reasoning(reasoning) => Some(&reasoning.text),
            _ => None,
        }
    }

    /// Returns the tool call, if the part is one.
    pub fn as_tool_call(&self) -> Option<&ToolCall> {
        match self {
            Self::ToolCall(call) => Some(call),
            _ => None,
        }
    }
}

/// What a model thought before it answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Reasoning {
    /// The visible part; may be empty.
    pub text: Text,
    /// Its proof: opaque data that the provider needs back with it.
    pub proof: Option<Proof>,
}

impl From<String> for Reasoning {
    fn from(text: String) -> Self {
        Self { text: text.into(), proof: None }
    }
}

/// Something opaque that only its issuer understands: a signature, an encrypted thought. It goes back unchanged to
/// targets that can read it, and to no other: that is a target of the same dialect, where a signature holds for its
/// model alone with that model, and where accounts encrypt for themselves (OpenAI's responses) a target of the same
/// provider.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Proof {
    /// The issuer's dialect.
    pub dialect: Dialect,
    /// The provider that issued it, by its name in the configuration. `None` is not known: then the dialect decides.
    pub issuer: Option<Arc<str>>,
    /// As it came.
    pub data: Text,
}

impl Proof {
    /// Returns a proof of a dialect, from an unknown issuer.
    pub fn new(dialect: Dialect, data: impl Into<Text>) -> Self {
        Self { dialect, issuer: None, data: data.into() }
    }

    /// Tells whether a provider issued it, or may have: `true` where the issuer is not known.
    pub fn is_of(&self, provider: &str) -> bool {
        self.issuer.as_deref().is_none_or(|issuer| issuer == provider)
    }
}

/// A call of a tool, complete.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ToolCall {
    /// The provider's id of the call; the result names it.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// The arguments: the text of one JSON object, checked to be one.
    pub arguments: Text,
    /// Its proof: opaque data that the provider needs back with it.
    pub proof: Option<Proof>,
}

impl ToolCall {
    /// Returns a call of a tool with these arguments, a JSON object. Its id is given where the answer is read.
    pub fn new(name: impl Into<String>, arguments: &Value) -> Self {
        Self { name: name.into(), arguments: arguments.to_string().into(), ..Self::default() }
    }
}

/// The result of one tool call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ToolResult {
    /// Id of the call this answers.
    pub call_id: String,
    /// Name of the tool, for dialects that match by name.
    pub name: String,
    /// What the tool returned: texts, images and documents.
    pub content: Vec<UserPart>,
    /// Whether the tool failed.
    pub is_error: bool,
}

impl ToolResult {
    /// Returns a result of one text.
    pub fn new(call_id: impl Into<String>, name: impl Into<String>, text: impl Into<Text>) -> Self {
        let content = vec![UserPart::Text(text.into())];
        Self { call_id: call_id.into(), name: name.into(), content, is_error: false }
    }

    /// Returns its texts as one, a line each, without its other parts.
    pub fn text(&self) -> Cow<'_, str> {
        lines(&self.content)
    }

    /// Returns the parts that are no text.
    pub fn beside(&self) -> impl Iterator<Item = &UserPart> {
        self.content.iter().filter(|part| part.text().is_none())
    }
}

/// Returns the texts of parts as one, a line each.
fn lines<'a>(parts: impl IntoIterator<Item = &'a UserPart>) -> Cow<'a, str> {
    match &parts.into_iter().filter_map(UserPart::as_text).collect::<Vec<_>>()[..] {
        [] => Cow::Borrowed(""),
        [only] => Cow::Borrowed(only),
        texts => Cow::Owned(texts.join("\n")),
    }
}

/// A tool the model may call.
///
/// ```
/// use standin::{ChatRequest, Tool};
///
/// let weather = Tool::new(
///     "weather",
///     "Tells the weather of a city.",
///     serde_json::json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}),
/// );
/// let request = ChatRequest::new("smart").user("What is the weather in Kyoto?").tool(weather);
/// ```
#[derive(Clone, Debug, PartialEq, Hash)]
pub struct Tool {
    /// Name, `[a-zA-Z0-9_-]{1,64}`.
    pub name: String,
    /// What it does, for the model.
    pub description: Text,
    /// JSON schema of its arguments, an object: `into()` makes one of a `serde_json::Value`.
    pub parameters: Json,
    /// Whether the provider must hold the arguments to the schema; `None` is no: where a dialect takes a missing value
    /// for yes, it is told no.
    pub strict: Option<bool>,
}

impl Tool {
    /// Returns a tool of this name, with what it does and the JSON schema of its arguments: a `serde_json::Value`, or
    /// any value that converts into one, such as the schemas of the crate `schemars`.
    ///
    /// ```
    /// use standin::{ChatRequest, Tool};
    ///
    /// /// Where to look.
    /// #[derive(serde::Deserialize, schemars::JsonSchema)]
    /// struct Place {
    ///     city: String,
    /// }
    ///
    /// let by_type = Tool::new("weather", "Tells the weather of a city.", schemars::schema_for!(Place));
    /// let by_hand = Tool::new("time", "Tells the time.", serde_json::json!({"type": "object", "properties": {}}));
    /// let request = ChatRequest::new("smart").user("Is it raining in Bern?").tool(by_type).tool(by_hand);
    /// assert_eq!(request.tools[0].parameters.value()["required"][0], "city");
    /// ```
    pub fn new(name: impl Into<String>, description: impl Into<Text>, parameters: impl Into<Value>) -> Self {
        Self {
            name: name.into(),
            description: description.into(),
            parameters: Json::from(parameters.into()),
            strict: None,
        }
    }

    /// Returns the same tool; its provider must hold the arguments to the schema.
    #[must_use]
    pub fn strict(mut self) -> Self {
        self.strict = Some(true);
        self
    }
}

/// Whether and which tool must be called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ToolChoice {
    /// The model decides.
    #[default]
    Auto,
    /// No tool.
    None,
    /// Some tool.
    Required,
    /// This tool.
    Named(String),
    /// A choice that only its dialect has: a tool that its provider runs.
    Foreign(Foreign),
}

/// The form of the answer's text.
#[derive(Clone, Debug, Default, PartialEq, Hash)]
#[non_exhaustive]
pub enum ResponseFormat {
    /// Any text.
    #[default]
    Text,
    /// Some JSON object.
    Json,
    /// JSON that fits a schema.
    JsonSchema {
        /// Name of the schema, `[a-zA-Z0-9_-]{1,64}`.
        name: String,
        /// The JSON schema: `into()` makes one of a `serde_json::Value`.
        schema: Json,
        /// Whether the provider must hold the answer to the schema.
        strict: bool,
    },
}

/// Sampling parameters. A parameter that is `None` is not sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sampling {
    /// 0 to 2 at most providers.
    pub temperature: Option<f64>,
    /// Nucleus, 0 to 1.
    pub top_p: Option<f64>,
    /// -2 to 2.
    pub presence_penalty: Option<f64>,
    /// -2 to 2.
    pub frequency_penalty: Option<f64>,
    /// For repeatable answers where a provider can.
    pub seed: Option<i64>,
    /// The answer ends before any of these; four at most providers.
    pub stop: Vec<Text>,
}

/// How hard a reasoning model should think. A model that has not all of these steps is asked for the nearest that it
/// has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Effort {
    /// Not at all.
    None,
    /// As little as it can.
    Minimal,
    /// A little.
    Low,
    /// Some.
    Medium,
    /// Much.
    High,
    /// More than `High`.
    XHigh,
    /// As much as it can.
    Max,
}
named!(Effort {
    None = "none",
    Minimal = "minimal",
    Low = "low",
    Medium = "medium",
    High = "high",
    XHigh = "xhigh",
    Max = "max",
});

/// What to do when an answer breaks off after its first content reached the caller. Before that, failover is
/// always invisible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CommitPolicy {
    /// A [`Reset`](super::ReplyEvent::Reset) tells the caller to drop what it has of this answer; another target
    /// answers anew.
    #[default]
    Reset,
    /// The stream ends with an error.
    Fail,
    /// Nothing reaches the caller before the answer is whole and valid, so that failover stays invisible to the
    /// end. A plain `chat` is this.
    Buffered,
}

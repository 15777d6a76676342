//! How each provider's flavour differs from the dialect it speaks: a table of data that the encoders read.
//!
//! Input: a provider's name or its base URL. Output: its row. There is no code for any one provider here or in the
//! encoders: what a server takes, refuses or names differently is data, and each dropped or converted part of a request
//! is noted. A row that is out of date costs a refused request, which fails over; it never costs a key.

use std::borrow::Cow;

mod fields;
mod table;

pub use table::GENERIC;

use super::conversation::is_prefilled;
use super::ids::IdForm;
use super::model::Model;
use super::request::{Notes, inline, is_own, unsupported};
use super::when::Zone;
use crate::words::{
    AssistantPart, ChatRequest, Dialect, Effort, Failure, FailureClass, Message, ResponseFormat, ToolChoice, UserPart,
    without_path,
};
use fields::{CHAT_FIELDS, CHAT_PLAIN, MESSAGES_FIELDS, RESPONSES_FIELDS, adds};
use table::{BLANK, BLANKING, GENERATIONS, NONE, OPENAI_MODELS, PLAIN, REMEMBERING, SEARCHERS, TABLE};

/// A field of a body and its JSON, in which `{}` is the place of a word.
pub(super) type Template = (&'static str, &'static str);

/// One provider's flavour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flavour {
    /// Its name in the configuration.
    pub name: &'static str,
    /// Its hosts, with what their address must hold besides: `api.x.ai` is also `eu.api.x.ai`.
    hosts: &'static [(&'static str, &'static str)],
    /// The header that holds the key; `authorization` holds it as a bearer token.
    pub(super) key_header: &'static str,
    /// The path that is appended to the base URL for chat completions; `{}` is the place of the model.
    chat_path: &'static str,
    /// The same for responses.
    pub(super) responses_path: &'static str,
    /// Where Anthropic's messages go whose model is in the address.
    pub(super) messages: Option<MessagesAt>,
    /// Parameters of the address, where the configuration does not say otherwise.
    pub query: &'static [(&'static str, &'static str)],

    /// Models known to reason, and to encrypt that; none where it is not encrypted.
    reasoners: Models,
    /// Whether system messages to reasoning models have the role `developer`.
    developer: bool,
    /// Whether it knows the role `developer` for any model; OpenAI's models know it at every host.
    knows_developer: bool,
    /// Fields of a request that these models refuse but do not need: they are left out.
    refused: &'static [(Models, &'static [&'static str])],
    /// Fields of a request that it cannot serve at all: the request goes elsewhere.
    lacks: &'static [&'static str],
    /// Whether it reads documents by value, as others' callers send them.
    pub(super) files: bool,
    /// Whether it fetches documents in chat completions.
    pub(super) file_urls: bool,
    /// Whether it refuses unknown fields of a message, as clients send them back from answers that others gave.
    pub(super) strict: bool,
    /// Models that cannot think where the form of the answer is JSON.
    thinking_off_in_json: Models,
    /// Fields that it refuses, though nearly all others have them.
    unknown_fields: &'static [&'static str],
    /// Whether a message may say which of several persons speaks.
    pub(super) speakers: bool,
    /// The extra fields it takes of a caller that means no particular model; `None` is all but those that only others
    /// have.
    extra: Option<&'static [&'static str]>,
    /// Whether it knows functions in the form that was before tools.
    pub(super) functions: bool,
    /// Whether it reads cache marks in chat completions.
    pub(super) marks: bool,
    /// Whether it knows in Anthropic's dialect that a tool's arguments are to be held to their schema.
    pub(super) holds_tools: bool,
    /// Whether it knows messages of the system within a conversation in Anthropic's dialect, for models that hear them.
    pub(super) system_messages: bool,
    /// The betas that callers may ask for, in Anthropic's dialect.
    betas: Betas,
    /// Names of tools it takes; `None` is what its dialect says.
    pub(super) names: Option<NameForm>,
    /// The most stop sequences it takes.
    pub(super) stops_max: usize,

    /// Whether it wants `max_completion_tokens` for every model, not only for those of OpenAI that know only this one.
    completion_tokens: bool,
    /// Its name for the seed.
    pub(super) seed: &'static str,
    /// Its name for each effort, from none to the most, by model; the first row that fits. An empty word is no
    /// reasoning at all.
    efforts: &'static [(Models, [&'static str; 7])],
    /// The fields that ask for an effort.
    pub(super) effort: &'static [Template],
    /// The fields that switch reasoning off.
    pub(super) thinking_off: &'static [Template],
    /// Whether its models can be forced to call a tool while they reason.
    pub(super) thinks_when_forced: bool,
    /// Its word for "some tool must be called", if it has one.
    pub(super) required: Option<&'static str>,
    /// Whether it takes a schema for its answer.
    pub(super) schema: bool,
    /// Whether that schema may be one of anything; else it must be one of an object.
    pub(super) any_root: bool,
    /// Whether it can be told to answer in JSON.
    pub(super) json: bool,
    /// Whether it counts tokens in a stream only when asked to, and takes being asked.
    pub stream_usage: bool,
    /// Whether it goes on with an answer that is no longer read, and bills all of it. Source: `OpenRouter`'s list of
    /// providers whose streams can be cancelled.
    pub(crate) runs_on: bool,
    /// Models that think only in streams: then a whole answer is collected here.
    stream_only: Option<StreamOnly>,

    /// The zone of its clock, where it names none.
    pub(crate) home: Zone,

    /// Whether all its models search by themselves.
    searches: bool,

    /// Ids of tool calls it takes.
    pub(super) ids: IdForm,
    /// Whether messages of the system must all come first.
    pub(super) system_first: bool,
    /// Whether user and assistant must alternate: neighbours are joined.
    pub(super) alternates: bool,
    /// Whether an assistant must speak between a tool and a user.
    pub(super) bridges: bool,
    /// The flag of a last message that the assistant is to continue, where it needs one; whether every last message of
    /// the assistant must have it, because none is answered.
    prefill: Option<(&'static str, bool)>,
    /// Where such requests go instead, below the server's root, and versions that the base URL may have instead.
    prefill_at: Option<(&'static str, &'static [&'static str])>,
    /// Whether a last message of the assistant is continued, and the fields of the request that ask for it.
    continues: Option<&'static [Template]>,
    /// Whether unencrypted reasoning must be sent back to it after a tool call, with any model.
    echoes: bool,
    /// The field of a message; an empty name means none.
    pub(super) thoughts: &'static str,
    /// The text written there if there was no reasoning, or it is no longer known.
    no_thought: &'static str,
}

/// Models by how their names begin, after any vendor's name, and by what they must not hold. With one more digit it is
/// another model: `gpt-5` is `gpt-5.2`, not `gpt-50`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Models {
    begin: &'static [&'static str],
    except: &'static [&'static str],
}

/// Models that answer only in streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct StreamOnly {
    /// For all requests.
    always: Models,
    /// Where they think, which they do unless told otherwise. Others think, and stream, where they are asked to.
    thinkers: Models,
}

/// Where a cloud takes Anthropic's messages, for a model in the address: there the version is in the body, and the key
/// is a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MessagesAt {
    whole: &'static str,
    streaming: &'static str,
    /// The version of the dialect.
    pub(super) version: &'static str,
}

/// The betas that a host lets callers ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Betas {
    /// Everything.
    All,
    /// These, and their names there.
    Only(&'static [(&'static str, &'static str)]),
}

/// Names of tools that a provider takes: letters, digits and some marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NameForm {
    /// The most characters.
    pub(super) max: usize,
    /// The marks. A name begins with a letter or an underscore, where there are more than two.
    pub(super) marks: &'static str,
}

impl NameForm {
    /// What OpenAI takes ("string too long. Expected a string with maximum length 64"), and its copies.
    pub(super) const OPENAI: Self = Self { max: 64, marks: "_-" };
}

impl Flavour {
    /// Returns the flavour of a name.
    pub fn named(name: &str) -> Option<&'static Self> {
        TABLE.iter().find(|flavour| flavour.name == name)
    }

    /// Returns every name that [`named`](Self::named) knows.
    pub fn names() -> impl Iterator<Item = &'static str> {
        TABLE.iter().map(|flavour| flavour.name)
    }

    /// Returns the flavour that is spoken at a base URL: the generic one where its host is not known.
    pub fn at(base_url: &str) -> &'static Self {
        let address = base_url.split_once("://").map_or(base_url, |(_, address)| address);
        let host = address.split(['/', '?']).next().unwrap_or(address).to_ascii_lowercase();
        let is_at =
            |known: &str| host.strip_suffix(known).is_some_and(|rest| rest.is_empty() || rest.ends_with(['.', '-']));
        let fits = |flavour: &&Self| flavour.hosts.iter().any(|(known, holds)| is_at(known) && address.contains(holds));
        TABLE.iter().find(fits).unwrap_or(&TABLE[0])
    }

    /// Returns what is appended to the base URL for chat completions of a model.
    pub(super) fn chat_path(&self, model: &str, request: &ChatRequest) -> Cow<'static, str> {
        match self.prefill_at {
            Some((path, _)) if is_prefilled(request, Dialect::OpenAiChat) => path.into(),
            _ => with_model(self.chat_path, model),
        }
    }

    /// Returns the base URL that a path is appended to: a path below the server's root takes the place of a version.
    pub(crate) fn base<'a>(&self, base_url: &'a str, path: &str) -> &'a str {
        let versions = self.prefill_at.filter(|(below, _)| *below == path).map_or(&[][..], |(_, versions)| versions);
        versions.iter().find_map(|version| base_url.strip_suffix(version)).unwrap_or(base_url)
    }

    /// Returns what is appended to the base URL for embeddings by a model: they are beside the chat completions.
    pub(super) fn embeddings_path(&self, model: &str) -> Cow<'static, str> {
        let beside = self.chat_path.strip_suffix("/chat/completions").unwrap_or_default();
        format!("{}/embeddings", with_model(beside, model)).into()
    }

    /// Returns what is appended to the base URL for messages to a model of Anthropic's.
    pub(super) fn messages_path(&self, model: &str, streaming: bool) -> Cow<'static, str> {
        match &self.messages {
            None => "/messages".into(),
            Some(at) => with_model(if streaming { at.streaming } else { at.whole }, model),
        }
    }

    /// Tells whether it takes an extra field of a dialect: not one that only others have. A server of which nothing is
    /// known is given everything. A caller that `meant` this model may know a field of its own that no other has.
    pub(super) fn takes_extra(&self, dialect: Dialect, field: &str, meant: bool) -> bool {
        let table = match dialect {
            Dialect::OpenAiChat => CHAT_FIELDS,
            Dialect::OpenAiResponses => RESPONSES_FIELDS,
            Dialect::AnthropicMessages => MESSAGES_FIELDS,
            Dialect::Gemini | Dialect::Vertex | Dialect::Ollama | Dialect::Function => &[],
        };
        if dialect == Dialect::OpenAiChat && self.unknown_fields.contains(&field) {
            return false;
        }
        // Azure's older addresses have what its newer ones have.
        let name = if self.name == "azure-deployments" { "azure" } else { self.name };
        let mut rows = table.iter().filter(|(fields, _)| fields.contains(&field));
        let is_taken = self.is_generic() || rows.all(|(_, owners)| owners.contains(&name));
        match self.extra {
            Some(known) if dialect == Dialect::OpenAiChat => {
                known.contains(&field) || (meant && is_taken && !CHAT_PLAIN.contains(&field))
            }
            _ => is_taken,
        }
    }

    /// Tells whether it is known to have a field that only some have, in both dialects of OpenAI.
    pub(super) fn owns(&self, field: &str) -> bool {
        let is_known = CHAT_FIELDS.iter().any(|(fields, _)| fields.contains(&field));
        let takes = |dialect| self.takes_extra(dialect, field, false);
        is_known && !self.is_generic() && takes(Dialect::OpenAiChat) && takes(Dialect::OpenAiResponses)
    }

    /// Tells whether more may be billed of any prompt than is sent: the model searches by itself.
    pub(crate) fn searches_by_itself(&self, model: &str) -> bool {
        let model = lower(model);
        self.searches || SEARCHERS.iter().any(|part| model.contains(part))
    }

    /// Returns this host's name for a beta that a caller asks for; `None` where it is refused.
    pub(super) fn beta<'a>(&self, beta: &'a str) -> Option<&'a str> {
        match self.betas {
            Betas::All => Some(beta),
            Betas::Only(known) => known.iter().find(|(name, _)| *name == beta).map(|(_, here)| *here),
        }
    }

    /// Tells whether a model's host is Anthropic itself: fields of clients that are only for Anthropic may go there.
    pub(super) fn is_home(&self, model: Model<'_>) -> bool {
        self.name == "anthropic" || (self.is_generic() && model.family.contains("claude"))
    }

    /// Tells whether it takes thoughts as parts of a content: Mistral does, whose models put them there.
    pub(super) fn thinks_in_parts(&self) -> bool {
        self.is_generic() || self.name == "mistral"
    }

    /// Tells whether nothing is known of the server.
    pub(super) fn is_generic(&self) -> bool {
        self.name == GENERIC.name
    }

    /// Tells whether cache marks may be sent in chat completions: servers that do not read them refuse them, as far as
    /// is known.
    pub(super) fn keeps_marks(&self) -> bool {
        self.marks || self.is_generic()
    }

    /// Tells whether a model knows the role of the developer.
    pub(super) fn knows_developer(&self, model: Model<'_>) -> bool {
        self.knows_developer || OPENAI_MODELS.has(model.family)
    }

    /// Tells whether a model must get back its reasoning before a tool call.
    pub(super) fn echoes(&self, model: Model<'_>) -> bool {
        self.echoes || REMEMBERING.has(model.family)
    }

    /// Tells whether a model thinks unasked in Anthropic's dialect, too: it must be told not to.
    pub(super) fn thinks_unasked(&self, model: Model<'_>) -> bool {
        self.echoes(model) || self.thinking_off.iter().any(|(field, _)| *field == "thinking")
    }

    /// Returns the text sent to a model in place of reasoning that is not known.
    pub(super) fn no_thought(&self, model: Model<'_>) -> &'static str {
        if BLANKING.has(model.family) { BLANK } else { self.no_thought }
    }

    /// Tells whether it answers a request only in a stream.
    pub(crate) fn streams_only(&self, request: &ChatRequest, model: Model<'_>) -> bool {
        let Some(StreamOnly { always, thinkers }) = self.stream_only else { return false };
        let told = self.thinking_off.iter().find_map(|(field, _)| request.extra.get(*field)?.flag());
        let is_forced = matches!(request.tool_choice, ToolChoice::Required | ToolChoice::Named(_));
        let asked = if is_forced { Some(false) } else { request.effort.map(|effort| effort > Effort::None) };
        always.has(model.family) || told.or(asked).unwrap_or_else(|| thinkers.has(model.family))
    }

    /// Returns the fields that ask for a last message of the assistant to be continued, where that is asked for.
    pub(super) fn continuing(&self, request: &ChatRequest, dialect: Dialect) -> &'static [Template] {
        self.continues.filter(|_| is_prefilled(request, dialect)).unwrap_or_default()
    }

    /// Returns the flag of a request's last message, if the assistant is to continue it.
    pub(super) fn prefill(&self, request: &ChatRequest) -> Option<&'static str> {
        let (flag, always) = self.prefill?;
        (always || is_prefilled(request, Dialect::OpenAiChat)).then_some(flag)
    }

    /// Refuses what this provider cannot serve at all.
    ///
    /// # Errors
    /// `Unsupported` names the field.
    pub(super) fn check(&self, request: &ChatRequest, dialect: Dialect) -> Result<(), Failure> {
        let lacks = |field| self.lacks.contains(&field);
        // An unknown server may know any flag of its own dialect.
        let judges = self.is_generic() && dialect == Dialect::OpenAiChat && is_own(request, dialect);
        if is_prefilled(request, dialect) && (self.continues.is_none() || dialect != Dialect::OpenAiChat) && !judges {
            let at = request.messages.len() - 1;
            let problem = "the provider does not go on with a last message of the assistant, it answers it";
            return Err(Failure::new(FailureClass::Unsupported, format!("messages[{at}]: {problem}")));
        }
        if lacks("tools") && (!request.tools.is_empty() || request.messages.iter().any(is_about_tools)) {
            return Err(unsupported("tools"));
        }
        for message in &request.messages {
            let parts = match message {
                Message::User(parts) => parts,
                Message::Tool(result) => &result.content,
                _ => continue,
            };
            for part in parts {
                match part {
                    UserPart::Image(_) if lacks("messages.image") => return Err(unsupported("messages.image")),
                    UserPart::Image(image) if lacks("messages.image.url") && inline(image).is_err() => {
                        return Err(unsupported("messages.image.url"));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Tells whether a model is among some of this provider's: by its family's name or, among those that reason,
    /// because it is known to.
    fn is_among(&self, models: Models, model: Model<'_>) -> bool {
        models.has(model.family) || (model.reasons && models == self.reasoners && models != NONE)
    }

    /// Tells whether a model takes a field of the request.
    pub(super) fn takes(&self, model: Model<'_>, field: &str) -> bool {
        !self.refused.iter().any(|(models, fields)| fields.contains(&field) && self.is_among(*models, model))
    }

    /// Tells whether a model encrypts its reasoning for us to send back: if it is known to reason, or asked to.
    pub(super) fn encrypts(&self, model: Model<'_>, asked: bool) -> bool {
        self.is_among(self.reasoners, model) || (asked && self.reasoners != NONE)
    }

    /// Tells whether a model must not think to answer in the form that is asked for.
    pub(super) fn turns_thinking_off_for(&self, request: &ChatRequest, model: Model<'_>) -> bool {
        request.response_format != ResponseFormat::Text && self.thinking_off_in_json.has(model.family)
    }

    /// Tells whether a model's thoughts are read only by its provider: all of them at OpenAI, elsewhere those of models
    /// that encrypt them.
    pub(super) fn hides_thoughts(&self, model: Model<'_>) -> bool {
        self.developer || self.encrypts(model, false)
    }

    /// Returns the role of the system's messages to a model.
    pub(super) fn system_role(&self, model: Model<'_>) -> &'static str {
        if self.developer && self.is_among(self.reasoners, model) { "developer" } else { "system" }
    }

    /// Returns a value that a model takes; one that it does not is left out and noted.
    pub(super) fn taken<T>(
        &self,
        model: Model<'_>,
        field: &'static str,
        value: Option<T>,
        notes: &mut Notes,
    ) -> Option<T> {
        let value = value?;
        notes.keep(self.takes(model, field), field, Some(value))
    }

    /// Returns the name of the limit of tokens.
    pub(super) fn tokens_field(&self, model: Model<'_>) -> &'static str {
        let newer = self.completion_tokens || !takes_max_tokens(model);
        if newer { "max_completion_tokens" } else { "max_tokens" }
    }

    /// Returns the name of an effort; an empty word is no reasoning at all. A caller that asked for this very model
    /// knows the names of its efforts.
    pub(super) fn effort_word(&self, model: Model<'_>, effort: Effort, notes: &mut Notes) -> &'static str {
        let row = self.efforts.iter().find(|(models, _)| models.has(model.family)).map_or(&PLAIN, |(_, words)| words);
        let (word, plain) = (row[effort as usize], effort.name());
        let is_word = self.efforts.iter().any(|(_, words)| words.contains(&"high"));
        // No reasoning at all is asked for if there is any way to, even if it is not one of the steps.
        let is_off = word.is_empty() && !self.thinking_off.is_empty();
        if model.meant && is_word && !is_off {
            return plain;
        }
        if word != plain {
            notes.converted("effort");
        }
        word
    }

    /// Returns the name of an effort where the dialect has a field for that. A flavour's own words that are no efforts
    /// (a switch) belong into fields of its own in another dialect.
    pub(super) fn effort_step(&self, model: Model<'_>, effort: Effort, notes: &mut Notes) -> &'static str {
        let is_step = |word: &&str| word.is_empty() || PLAIN.contains(word);
        let row = self.efforts.iter().find(|(models, _)| models.has(model.family)).map_or(&PLAIN, |(_, words)| words);
        if row.iter().all(is_step) { self.effort_word(model, effort, notes) } else { effort.name() }
    }
}

/// Tells whether a model takes `max_tokens`, even if there is a newer name for it.
pub(super) fn takes_max_tokens(model: Model<'_>) -> bool {
    !(Models { begin: GENERATIONS, except: &[] }).has(model.family)
}

/// Puts a model's name into a path that has a place for it.
fn with_model(path: &'static str, model: &str) -> Cow<'static, str> {
    if path.contains("{}") { path.replace("{}", &percent_encoded(model)).into() } else { path.into() }
}

/// Returns a text as it may stand in the path or the parameters of an address.
pub(crate) fn percent_encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte);
    let letter = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(letter).collect()
}

fn is_about_tools(message: &Message) -> bool {
    match message {
        Message::Tool(_) => true,
        Message::Assistant(parts) => parts.iter().any(|part| matches!(part, AssistantPart::ToolCall(_))),
        Message::System(_) | Message::User(_) | Message::Foreign(_) => false,
    }
}

/// Returns a name in lower case, as most are.
/// Tells whether more may be billed of a prompt than is sent: a field that the common form has no words for may ask for
/// something that is put into the prompt. Fields that are not known may.
pub(crate) fn adds_to_prompt(request: &ChatRequest) -> bool {
    request.extra.iter().any(|(field, value)| adds(field, value))
}

fn lower(name: &str) -> Cow<'_, str> {
    let is_capital = |letter: u8| letter.is_ascii_uppercase();
    if name.bytes().any(is_capital) { name.to_ascii_lowercase().into() } else { name.into() }
}

impl Models {
    fn has(&self, model: &str) -> bool {
        let name = &*lower(without_path(model));
        let begins = |begin: &&str| {
            let is_digit =
                |text: &str, at: fn(&[u8]) -> Option<&u8>| at(text.as_bytes()).is_some_and(u8::is_ascii_digit);
            name.strip_prefix(begin)
                .is_some_and(|rest| !(is_digit(begin, <[u8]>::last) && is_digit(rest, <[u8]>::first)))
        };
        self.begin.iter().any(begins) && !self.except.iter().any(|part| name.contains(part))
    }
}

#[cfg(test)]
mod tests;

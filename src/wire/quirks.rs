//! How each provider's accent differs from the dialect it speaks: a table of data that the encoders read.
//!
//! In flows a provider's name or its base URL, out flows its row. There is no code for any one provider here or in
//! the encoders: what a server takes, refuses or calls otherwise is a datum, and what that drops or converts of a
//! request is noted. A row that is out of date costs a refused request, which fails over; it never costs a key.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::Model;
use super::request::{Notes, unsupported};
use crate::words::{AssistantPart, ChatRequest, Effort, Failure, Image, Message, UserPart, without_path};

/// A field of a body and its JSON, in which `{}` stands for a word.
pub(super) type Template = (&'static str, &'static str);

/// One provider's accent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quirks {
    /// What the configuration calls it.
    pub name: &'static str,
    /// Hosts, with what their address must hold besides, by which it is known: `api.x.ai` is also `eu.api.x.ai`.
    hosts: &'static [(&'static str, &'static str)],
    /// The header that holds the key; `authorization` holds it as a bearer token.
    pub(super) key_header: &'static str,
    /// What is appended to the base URL for chat completions; `{}` stands for the model.
    chat_path: &'static str,
    /// The same for responses.
    pub(super) responses_path: &'static str,
    /// Where Anthropic's messages go whose model stands in the address.
    pub(super) messages: Option<MessagesAt>,
    /// Parameters of the address, where the configuration does not say otherwise.
    pub query: &'static [(&'static str, &'static str)],

    /// Models known to reason, and to encrypt that; none where nobody encrypts it.
    reasoners: Models,
    /// Whether the system's messages to models that reason come from the `developer`.
    developer: bool,
    /// Fields of a request that these models refuse although they can do without: left out.
    refused: &'static [(Models, &'static [&'static str])],
    /// Fields of a request that it cannot serve at all: the request goes elsewhere.
    lacks: &'static [&'static str],
    /// Whether it reads documents by value, as others' callers send them.
    pub(super) files: bool,
    /// Whether it fetches documents in chat completions.
    pub(super) file_urls: bool,
    /// Whether it refuses what of a message it does not know, as clients send back of answers that others gave.
    strict: bool,
    /// The caller's extra fields it takes; `None` is all.
    extra: Option<&'static [&'static str]>,

    /// Whether it wants `max_completion_tokens` for every model, not only for those of OpenAI that know nothing else.
    completion_tokens: bool,
    /// What it calls the seed.
    pub(super) seed: &'static str,
    /// What it calls each effort, from minimal to high, by model; the first row that fits. An empty word is no
    /// reasoning at all.
    efforts: &'static [(Models, [&'static str; 4])],
    /// The fields that ask for an effort.
    pub(super) effort: &'static [Template],
    /// The fields that switch reasoning off, also where a tool is forced, which some models cannot do while reasoning.
    pub(super) unthinking: &'static [Template],
    /// What it calls it when some tool must be called, if it can be told so.
    pub(super) required: Option<&'static str>,
    /// Whether it takes a schema for its answer.
    pub(super) schema: bool,
    /// Whether it can be told to answer in JSON.
    pub(super) json: bool,
    /// Whether it counts tokens in a stream only when asked to, and takes being asked.
    pub stream_usage: bool,
    /// Whether some of its models only stream: then all do, and the answer is collected here.
    pub(crate) stream_only: bool,

    /// Ids of tool calls it takes.
    pub(super) ids: IdForm,
    /// Whether messages of the system must all come first.
    pub(super) system_first: bool,
    /// Whether user and assistant must alternate: neighbours are joined.
    pub(super) alternates: bool,
    /// Whether an assistant must speak between a tool and a user.
    pub(super) bridges: bool,
    /// The flag of a last message that the assistant is to continue, where it needs one.
    pub(super) prefill: Option<&'static str>,
    /// Whether it must be told what was thought, unencrypted, once tools were called.
    pub(super) echoes: bool,
}

/// Models by how their names begin, after any vendor's name, and by what they must not hold. A digit more is another
/// model: `gpt-5` is `gpt-5.2`, not `gpt-50`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Models {
    begin: &'static [&'static str],
    except: &'static [&'static str],
}

/// Where a cloud takes Anthropic's messages, for a model that stands in the address: there the version stands in the
/// body, and the key is a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MessagesAt {
    whole: &'static str,
    streaming: &'static str,
    /// The version of the dialect.
    pub(super) version: &'static str,
}

/// Ids of tool calls that a provider takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IdForm {
    /// Any.
    Any,
    /// At most so many characters.
    Max(usize),
    /// Exactly so many letters and digits, at most eleven.
    Alphanumeric(usize),
}

const ALL: Models = Models { begin: &[""], except: &[] };
const NONE: Models = Models { begin: &[], except: &[] };

/// Generations of OpenAI's models that reason. They alone take `max_completion_tokens` and refuse `max_tokens`.
const GENERATIONS: &[&str] = &["o1", "o3", "o4", "o5", "gpt-5", "gpt-6", "gpt-7", "gpt-8", "gpt-9"];
const OPENAI_REASONERS: Models = Models { begin: GENERATIONS, except: &["-chat"] };
/// Models of OpenAI that refuse an effort.
const OPENAI_PLAIN: Models = Models { begin: &["gpt-3", "gpt-4", "gpt-35", "chatgpt-4"], except: &[] };
/// Models of OpenAI whose least effort is low. Only the first `gpt-5` knows less; from 5.1 on that is none at all.
const OPENAI_LOW: Models =
    Models { begin: &["o1", "o3", "o4", "o5", "gpt-5.", "gpt-6", "gpt-7", "gpt-8", "gpt-9"], except: &[] };
const XAI_REASONERS: Models =
    Models { begin: &["grok-3-mini", "grok-4", "grok-5", "grok-code"], except: &["non-reasoning"] };
/// Models of xAI that reason as much as they like, or not at all.
const XAI_FIXED: Models = Models { begin: &["grok-2", "grok-3", "grok-4-", "grok-code"], except: &["-mini"] };

const SAMPLING: &[&str] = &[
    "sampling.temperature",
    "sampling.top_p",
    "sampling.presence_penalty",
    "sampling.frequency_penalty",
    "sampling.stop",
];

const PLAIN: [&str; 4] = ["minimal", "low", "medium", "high"];
const FROM_LOW: [&str; 4] = ["low", "low", "medium", "high"];
const EFFORT: &[Template] = &[("reasoning_effort", r#""{}""#)];

/// A server of which nothing is known: it gets what the dialect says.
pub const GENERIC: Quirks = Quirks {
    name: "generic",
    hosts: &[],
    key_header: "authorization",
    chat_path: "/chat/completions",
    responses_path: "/responses",
    messages: None,
    query: &[],
    reasoners: OPENAI_REASONERS,
    developer: false,
    refused: &[],
    lacks: &[],
    files: true,
    file_urls: false,
    strict: false,
    extra: None,
    completion_tokens: false,
    seed: "seed",
    efforts: &[(ALL, PLAIN)],
    effort: EFFORT,
    unthinking: &[],
    required: Some("required"),
    schema: true,
    json: true,
    stream_usage: true,
    stream_only: false,
    ids: IdForm::Any,
    system_first: false,
    alternates: false,
    bridges: false,
    prefill: None,
    echoes: false,
};

const OPENAI: Quirks = Quirks {
    name: "openai",
    hosts: &[("api.openai.com", "")],
    developer: true,
    refused: &[
        (OPENAI_REASONERS, SAMPLING),
        (Models { begin: &["o1", "o3", "o4", "o5"], except: &[] }, &["parallel_tool_calls"]),
        (OPENAI_PLAIN, &["effort"]),
    ],
    completion_tokens: true,
    efforts: &[(OPENAI_LOW, FROM_LOW), (ALL, PLAIN)],
    ids: IdForm::Max(40),
    ..GENERIC
};

const AZURE: Quirks = Quirks {
    name: "azure",
    hosts: &[
        ("openai.azure.com", "/openai/v1"),
        ("cognitiveservices.azure.com", "/openai/v1"),
        ("services.ai.azure.com", "/openai/v1"),
    ],
    key_header: "api-key",
    ..OPENAI
};

/// Every accent that is known. A host is known by the first row that fits.
const TABLE: &[Quirks] = &[
    GENERIC,
    OPENAI,
    AZURE,
    // Azure before its `/openai/v1`: the model stands in the address, and the version behind it.
    Quirks {
        name: "azure-deployments",
        hosts: &[("openai.azure.com", ""), ("cognitiveservices.azure.com", "")],
        chat_path: "/openai/deployments/{}/chat/completions",
        responses_path: "/openai/responses",
        query: &[("api-version", "2024-10-21")],
        ..AZURE
    },
    // Reasons unless told otherwise, and cannot be forced to call a tool meanwhile.
    Quirks {
        name: "deepseek",
        files: false,
        hosts: &[("api.deepseek.com", "")],
        reasoners: NONE,
        lacks: &["messages.image"],
        efforts: &[(ALL, ["", "low", "medium", "high"])],
        unthinking: &[("thinking", r#"{"type":"disabled"}"#)],
        schema: false,
        echoes: true,
        ..GENERIC
    },
    Quirks {
        name: "mistral",
        files: false,
        hosts: &[("api.mistral.ai", ""), ("codestral.mistral.ai", "")],
        reasoners: NONE,
        extra: Some(&[
            "guardrails",
            "metadata",
            "n",
            "prediction",
            "prompt_cache_key",
            "prompt_mode",
            "random_seed",
            "safe_prompt",
        ]),
        seed: "random_seed",
        efforts: &[(ALL, ["none", "none", "high", "high"])],
        required: Some("any"),
        stream_usage: false,
        ids: IdForm::Alphanumeric(9),
        bridges: true,
        prefill: Some("prefix"),
        ..GENERIC
    },
    // Hybrid models must not be asked to reason without a stream, and cannot be forced to call a tool meanwhile.
    Quirks {
        name: "qwen",
        files: false,
        hosts: &[
            ("dashscope.aliyuncs.com", ""),
            ("dashscope-intl.aliyuncs.com", ""),
            ("dashscope-us.aliyuncs.com", ""),
        ],
        reasoners: NONE,
        efforts: &[(ALL, ["", "true", "true", "true"])],
        effort: &[("enable_thinking", "{}")],
        unthinking: &[("enable_thinking", "false")],
        required: None,
        stream_only: true,
        prefill: Some("partial"),
        ..GENERIC
    },
    Quirks {
        name: "groq",
        files: false,
        hosts: &[("api.groq.com", "")],
        strict: true,
        completion_tokens: true,
        efforts: &[(ALL, FROM_LOW)],
        ..GENERIC
    },
    Quirks {
        name: "xai",
        files: false,
        hosts: &[("api.x.ai", "")],
        reasoners: XAI_REASONERS,
        refused: &[
            (XAI_REASONERS, &["sampling.presence_penalty", "sampling.frequency_penalty", "sampling.stop"]),
            (XAI_FIXED, &["effort"]),
        ],
        efforts: &[(Models { begin: &["grok-3-mini"], except: &[] }, ["low", "low", "high", "high"]), (ALL, FROM_LOW)],
        ..GENERIC
    },
    Quirks {
        name: "together",
        files: false,
        hosts: &[("api.together.xyz", ""), ("api.together.ai", "")],
        efforts: &[(ALL, FROM_LOW)],
        ..GENERIC
    },
    Quirks {
        name: "openrouter",
        file_urls: true,
        hosts: &[("openrouter.ai", "")],
        effort: &[("reasoning", r#"{"effort":"{}"}"#)],
        ..GENERIC
    },
    Quirks {
        name: "perplexity",
        files: false,
        hosts: &[("api.perplexity.ai", "")],
        refused: &[(ALL, &["sampling.seed", "sampling.stop"])],
        lacks: &["tools"],
        json: false,
        stream_usage: false,
        system_first: true,
        alternates: true,
        ..GENERIC
    },
    Quirks { name: "vllm", files: false, reasoners: NONE, efforts: &[(ALL, FROM_LOW)], system_first: true, ..GENERIC },
    Quirks {
        name: "ollama",
        files: false,
        hosts: &[("ollama.com", ""), ("localhost:11434", ""), ("127.0.0.1:11434", "")],
        reasoners: NONE,
        lacks: &["messages.image.url"],
        efforts: &[(ALL, ["none", "low", "medium", "high"])],
        ..GENERIC
    },
    Quirks {
        name: "llamacpp",
        files: false,
        reasoners: NONE,
        efforts: &[(ALL, FROM_LOW)],
        system_first: true,
        ..GENERIC
    },
    // Takes a schema, and no word for JSON of any form.
    Quirks {
        name: "lmstudio",
        files: false,
        hosts: &[("localhost:1234", ""), ("127.0.0.1:1234", "")],
        reasoners: NONE,
        efforts: &[(ALL, FROM_LOW)],
        json: false,
        ..GENERIC
    },
    // Anthropic's models at Google's.
    Quirks {
        name: "vertex-anthropic",
        hosts: &[("aiplatform.googleapis.com", "/publishers/anthropic")],
        messages: Some(MessagesAt {
            whole: "/models/{}:rawPredict",
            streaming: "/models/{}:streamRawPredict",
            version: "vertex-2023-10-16",
        }),
        ..GENERIC
    },
];

impl Quirks {
    /// Returns the accent of a name.
    pub fn named(name: &str) -> Option<&'static Self> {
        TABLE.iter().find(|quirks| quirks.name == name)
    }

    /// Returns every name that [`named`](Self::named) knows.
    pub fn names() -> impl Iterator<Item = &'static str> {
        TABLE.iter().map(|quirks| quirks.name)
    }

    /// Returns the accent that is spoken at a base URL: the generic one where its host is not known.
    pub fn at(base_url: &str) -> &'static Self {
        let address = base_url.split_once("://").map_or(base_url, |(_, address)| address);
        let host = address.split(['/', '?']).next().unwrap_or(address).to_ascii_lowercase();
        let is_at =
            |known: &str| host.strip_suffix(known).is_some_and(|rest| rest.is_empty() || rest.ends_with(['.', '-']));
        let fits = |quirks: &&Self| quirks.hosts.iter().any(|(known, holds)| is_at(known) && address.contains(holds));
        TABLE.iter().find(fits).unwrap_or(&TABLE[0])
    }

    /// Returns what is appended to the base URL for chat completions of a model.
    pub(super) fn chat_path(&self, model: &str) -> Cow<'static, str> {
        with_model(self.chat_path, model)
    }

    /// Returns what is appended to the base URL for embeddings by a model: they stand beside the chat completions.
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

    /// Tells whether it takes an extra field.
    pub(super) fn takes_extra(&self, field: &str) -> bool {
        self.extra.is_none_or(|known| known.contains(&field))
    }

    /// Refuses what this provider cannot serve at all.
    ///
    /// # Errors
    /// `Unsupported` names the field.
    pub(super) fn check(&self, request: &ChatRequest) -> Result<(), Failure> {
        let lacks = |field| self.lacks.contains(&field);
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
                    UserPart::Image(Image::Url(_)) if lacks("messages.image.url") => {
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

    /// Tells whether it takes what the dialect says as the dialect says it, but for what it refuses: then a request that
    /// was written in the dialect can go as it is.
    pub(super) fn is_plain(&self) -> bool {
        let words = (self.seed, self.effort, self.required) == (GENERIC.seed, GENERIC.effort, GENERIC.required);
        words
            && !self.strict
            && self.unthinking.is_empty()
            && self.prefill.is_none()
            && !self.echoes
            && self.messages.is_none()
    }

    /// Tells whether a model takes a field of the request.
    pub(super) fn takes(&self, model: Model<'_>, field: &str) -> bool {
        !self.refused.iter().any(|(models, fields)| fields.contains(&field) && self.is_among(*models, model))
    }

    /// Tells whether a model encrypts its reasoning for us to send back: if it is known to reason, or asked to.
    pub(super) fn encrypts(&self, model: Model<'_>, asked: bool) -> bool {
        self.is_among(self.reasoners, model) || (asked && self.reasoners != NONE)
    }

    /// Returns who speaks to a model in a message of the system.
    pub(super) fn system_role(&self, model: Model<'_>) -> &'static str {
        if self.developer && self.is_among(self.reasoners, model) { "developer" } else { "system" }
    }

    /// Returns what the limit of tokens is called.
    pub(super) fn tokens_field(&self, model: Model<'_>) -> &'static str {
        let newer = self.completion_tokens || Models { begin: GENERATIONS, except: &[] }.has(model.family);
        if newer { "max_completion_tokens" } else { "max_tokens" }
    }

    /// Returns what an effort is called; an empty word is no reasoning at all.
    pub(super) fn effort_word(&self, model: Model<'_>, effort: Effort, notes: &mut Notes) -> &'static str {
        let row = self.efforts.iter().find(|(models, _)| models.has(model.family)).map_or(&PLAIN, |(_, words)| words);
        let at = match effort {
            Effort::Minimal => 0,
            Effort::Low => 1,
            Effort::Medium => 2,
            Effort::High => 3,
        };
        if row[at] != PLAIN[at] {
            notes.converted("effort");
        }
        row[at]
    }
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

impl Models {
    fn has(&self, model: &str) -> bool {
        let name = without_path(model);
        let begins = |begin: &&str| {
            let is_digit =
                |text: &str, at: fn(&[u8]) -> Option<&u8>| at(text.as_bytes()).is_some_and(u8::is_ascii_digit);
            name.strip_prefix(begin)
                .is_some_and(|rest| !(is_digit(begin, <[u8]>::last) && is_digit(rest, <[u8]>::first)))
        };
        self.begin.iter().any(begins) && !self.except.iter().any(|part| name.contains(part))
    }
}

impl IdForm {
    /// Returns an id of this form: the same for the same id, so that a call and its result still fit together.
    pub(super) fn fit(self, id: &str) -> Cow<'_, str> {
        let (fits, chars) = match self {
            Self::Any => (true, 0),
            Self::Max(max) => (id.chars().count() <= max, 11),
            Self::Alphanumeric(chars) => {
                (id.len() == chars && id.bytes().all(|byte| byte.is_ascii_alphanumeric()), chars)
            }
        };
        if fits { Cow::Borrowed(id) } else { Cow::Owned(digest(id, chars)) }
    }
}

/// Returns letters and digits that stand for a text, at most eleven: what 64 bits hold.
fn digest(text: &str, chars: usize) -> String {
    const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let mut rest = hasher.finish();
    let mut letter = || {
        let at = rest % 62;
        rest /= 62;
        char::from(LETTERS[usize::try_from(at).unwrap_or_default()])
    };
    (0..chars).map(|_| letter()).collect()
}

#[cfg(test)]
mod tests;

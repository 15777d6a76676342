//! The table of flavours, each row with its source: the provider's guide where nothing else is said, or the words of
//! its refusals. As of November 2026.

use crate::wire::ids::IdForm;
use crate::wire::when::Zone;

use super::{Betas, Flavour, MessagesAt, Models, NameForm, StreamOnly, Template};

pub(super) const ALL: Models = Models { begin: &[""], except: &[] };
pub(super) const NONE: Models = Models { begin: &[], except: &[] };

/// Generations of OpenAI's models that reason. They alone take `max_completion_tokens` and refuse `max_tokens`.
pub(super) const GENERATIONS: &[&str] = &["o1", "o3", "o4", "o5", "gpt-5", "gpt-6", "gpt-7", "gpt-8", "gpt-9"];
const OPENAI_REASONERS: Models = Models { begin: GENERATIONS, except: &["-chat"] };
/// Models of OpenAI that refuse an effort.
const OPENAI_PLAIN: Models = named(&["gpt-3", "gpt-4", "gpt-35", "chatgpt-4"]);
/// Models of OpenAI, wherever they run: they all know the `developer`.
pub(super) const OPENAI_MODELS: Models = Models {
    begin: &["o1", "o3", "o4", "o5", "gpt-4", "gpt-5", "gpt-6", "gpt-7", "gpt-8", "gpt-9", "chatgpt-"],
    except: &["o1-mini", "o1-preview"],
};
const XAI_REASONERS: Models =
    Models { begin: &["grok-3-mini", "grok-4", "grok-5", "grok-code"], except: &["non-reasoning"] };
/// Models of xAI whose reasoning cannot be set.
const XAI_FIXED: Models = Models { begin: &["grok-2", "grok-3", "grok-4-", "grok-code"], except: &["-mini"] };

/// Models whose providers want back what they thought before they called a tool, or refuse the next turn: Kimi
/// ("`reasoning_content` is missing in assistant tool call message"), DeepSeek from 3.2 on ("must be passed back to the
/// API"); GLM, `MiniMax` and `MiMo` by their guides to tools.
pub(super) const REMEMBERING: Models = named(&[
    "deepseek-flash",
    "deepseek-reasoner",
    "deepseek-v3.2",
    "deepseek-v4",
    "glm-4.5",
    "glm-4.6",
    "glm-4.7",
    "glm-5",
    "kimi-k2-thinking",
    "kimi-k2.",
    "kimi-k3",
    "kimi-for-coding",
    "kimi-thinking",
    "mimo-",
    "minimax-m",
]);

/// Models that need a blank instead of nothing: for Kimi from 2.5 on, an empty `reasoning_content` is a missing one,
/// too.
pub(super) const BLANKING: Models = named(&["kimi-k2.", "kimi-k3", "kimi-for-coding"]);
pub(super) const BLANK: &str = " ";

const SAMPLING: &[&str] = &[
    "sampling.temperature",
    "sampling.top_p",
    "sampling.presence_penalty",
    "sampling.frequency_penalty",
    "sampling.stop",
];

/// The names of efforts, from none to the most. An empty word is no reasoning at all.
pub(super) const PLAIN: [&str; 7] = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];
/// Three steps; none cannot be said.
const THREE: [&str; 7] = ["", "low", "low", "medium", "high", "high", "high"];
/// The same, and none.
const NONE_AND_THREE: [&str; 7] = ["none", "low", "low", "medium", "high", "high", "high"];
const EFFORT: &[Template] = &[("reasoning_effort", r#""{}""#)];

/// The names of efforts of OpenAI's models, from their refusals, which list them. The first `gpt-5` has minimal and no
/// none, from 5.1 on it is the other way round; `xhigh` came with 5.1-codex-max and 5.2, `max` with 6.
const OPENAI_EFFORTS: &[(Models, [&str; 7])] = &[
    (named(&["o1", "o3", "o4", "o5", "gpt-5-codex"]), THREE),
    (named(&["gpt-5-pro"]), ["", "high", "high", "high", "high", "high", "high"]),
    (named(&["gpt-5.1-codex-max"]), ["none", "low", "low", "medium", "high", "xhigh", "xhigh"]),
    (named(&["gpt-5.1"]), NONE_AND_THREE),
    (named(&["gpt-5."]), ["none", "low", "low", "medium", "high", "xhigh", "xhigh"]),
    (named(&["gpt-5"]), ["", "minimal", "low", "medium", "high", "high", "high"]),
    (named(&["gpt-6-astra"]), ["", "low", "low", "medium", "high", "xhigh", "max"]),
    (named(&["gpt-6", "gpt-7", "gpt-8", "gpt-9"]), ["none", "low", "low", "medium", "high", "xhigh", "max"]),
    (ALL, PLAIN),
];

/// The betas that Vertex AI takes; others it refuses ("Unexpected value(s) … for the `anthropic-beta` header"). One has
/// another name there.
const VERTEX_BETAS: Betas = Betas::Only(&[
    ("advanced-tool-use-2025-11-20", "tool-search-tool-2025-10-19"),
    ("compact-2026-01-12", "compact-2026-01-12"),
    ("compact-2026-09-04", "compact-2026-09-04"),
    ("computer-use-2025-01-24", "computer-use-2025-01-24"),
    ("computer-use-2025-11-24", "computer-use-2025-11-24"),
    ("context-1m-2025-08-07", "context-1m-2025-08-07"),
    ("context-management-2025-06-27", "context-management-2025-06-27"),
    ("dangerous-tool-use-2026-09-03", "dangerous-tool-use-2026-09-03"),
    ("interleaved-thinking-2025-05-14", "interleaved-thinking-2025-05-14"),
    ("mid-conversation-system-2026-04-07", "mid-conversation-system-2026-04-07"),
    ("per-turn-control-2026-07-01", "per-turn-control-2026-07-01"),
    ("thinking-binding-controls-2026-08-01", "thinking-binding-controls-2026-08-01"),
    ("thinking-display-updates-2026-08-18", "thinking-display-updates-2026-08-18"),
    ("tool-search-tool-2025-10-19", "tool-search-tool-2025-10-19"),
    ("web-search-2025-03-05", "web-search-2025-03-05"),
]);

/// A server of which nothing is known: it gets what the dialect says.
pub const GENERIC: Flavour = Flavour {
    name: "generic",
    hosts: &[],
    key_header: "authorization",
    chat_path: "/chat/completions",
    responses_path: "/responses",
    messages: None,
    query: &[],
    reasoners: OPENAI_REASONERS,
    developer: false,
    knows_developer: false,
    refused: &[],
    lacks: &[],
    files: true,
    file_urls: false,
    strict: false,
    thinking_off_in_json: NONE,
    unknown_fields: &[],
    speakers: true,
    extra: None,
    functions: true,
    marks: false,
    holds_tools: true,
    system_messages: true,
    betas: Betas::All,
    names: None,
    stops_max: usize::MAX,
    completion_tokens: false,
    seed: "seed",
    efforts: OPENAI_EFFORTS,
    effort: EFFORT,
    thinking_off: &[],
    thinks_when_forced: false,
    required: Some("required"),
    schema: true,
    // "schema must be a JSON Schema of 'type: "object"', got 'type: "array"'."
    any_root: false,
    json: true,
    stream_usage: true,
    runs_on: false,
    searches: false,
    stream_only: None,
    home: Zone::UTC,
    ids: IdForm::Any,
    system_first: false,
    alternates: false,
    bridges: false,
    prefill: None,
    prefill_at: None,
    continues: None,
    echoes: false,
    thoughts: "reasoning_content",
    no_thought: "",
};

/// A server that is known, and has none of the fields that only some have. In Anthropic's dialect it knows user and
/// assistant alone: "unknown variant `system`, expected `user` or `assistant`".
const KNOWN: Flavour = Flavour {
    functions: false,
    system_messages: false,
    betas: Betas::Only(&[]),
    names: Some(NameForm::OPENAI),
    ..GENERIC
};

const OPENAI: Flavour = Flavour {
    name: "openai",
    hosts: &[("api.openai.com", "")],
    developer: true,
    knows_developer: true,
    refused: &[
        (OPENAI_REASONERS, SAMPLING),
        (named(&["o1", "o3", "o4", "o5"]), &["parallel_tool_calls"]),
        (OPENAI_PLAIN, &["effort"]),
    ],
    functions: true,
    stops_max: 4,
    completion_tokens: true,
    efforts: OPENAI_EFFORTS,
    ids: IdForm::Max(40),
    ..KNOWN
};

const AZURE: Flavour = Flavour {
    name: "azure",
    hosts: &[
        ("openai.azure.com", "/openai/v1"),
        ("cognitiveservices.azure.com", "/openai/v1"),
        ("services.ai.azure.com", "/openai/v1"),
    ],
    key_header: "api-key",
    ..OPENAI
};

/// Every flavour that is known. A host is known by the first row that fits.
pub(super) const TABLE: &[Flavour] = &[
    GENERIC,
    OPENAI,
    AZURE,
    // Azure before its `/openai/v1`: the model is in the address, and the version behind it.
    Flavour {
        name: "azure-deployments",
        hosts: &[("openai.azure.com", ""), ("cognitiveservices.azure.com", "")],
        chat_path: "/openai/deployments/{}/chat/completions",
        responses_path: "/openai/responses",
        query: &[("api-version", "2024-10-21")],
        ..AZURE
    },
    Flavour {
        name: "anthropic",
        hosts: &[("api.anthropic.com", "")],
        system_messages: true,
        betas: Betas::All,
        ..KNOWN
    },
    // Reasons unless told otherwise, and cannot be forced to call a tool meanwhile. Its efforts are high and max; it
    // takes low and medium for high.
    Flavour {
        name: "deepseek",
        files: false,
        hosts: &[("api.deepseek.com", "")],
        reasoners: NONE,
        lacks: &["messages.image"],
        stops_max: 16,
        efforts: &[(ALL, ["", "low", "low", "medium", "high", "max", "max"])],
        thinking_off: &[("thinking", r#"{"type":"disabled"}"#)],
        schema: false,
        // "The user needs to set base_url=".../beta" to enable the Beta feature".
        prefill: Some(("prefix", false)),
        prefill_at: Some(("/beta/chat/completions", &["/v1", "/beta"])),
        continues: Some(&[]),
        echoes: true,
        ..KNOWN
    },
    // Refuses all that it does not know ("Extra inputs are not permitted"), in messages, too. It has two efforts, none
    // and high; its older models that reason always do, and have none.
    Flavour {
        name: "mistral",
        runs_on: true,
        files: false,
        hosts: &[("api.mistral.ai", ""), ("codestral.mistral.ai", "")],
        reasoners: NONE,
        strict: true,
        extra: Some(&[
            "document_image_limit",
            "document_page_limit",
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
        refused: &[(named(&["magistral"]), &["effort"])],
        efforts: &[(ALL, ["none", "high", "high", "high", "high", "high", "high"])],
        required: Some("any"),
        stream_usage: false,
        ids: IdForm::Alphanumeric(9),
        bridges: true,
        prefill: Some(("prefix", true)),
        continues: Some(&[]),
        thoughts: "",
        ..KNOWN
    },
    // "parameter.enable_thinking must be set to false for non-streaming calls"; nor can it be forced to call a tool
    // while it thinks. Cache marks are those of Anthropic (its guide to explicit caches).
    Flavour {
        name: "qwen",
        runs_on: true,
        files: false,
        hosts: &[
            ("dashscope.aliyuncs.com", ""),
            ("dashscope-intl.aliyuncs.com", ""),
            ("dashscope-us.aliyuncs.com", ""),
        ],
        reasoners: NONE,
        marks: true,
        efforts: &[(ALL, ["", "true", "true", "true", "true", "true", "true"])],
        effort: &[("enable_thinking", "{}")],
        thinking_off: &[("enable_thinking", "false")],
        // "Json mode response is not supported when enable_thinking is true"; newer generations take both.
        thinking_off_in_json: named(&["qwen3-"]),
        required: None,
        stream_only: Some(StreamOnly {
            // "This model only support stream mode".
            always: named(&["qwq", "qvq", "qwen-omni", "qwen2.5-omni", "qwen3-omni"]),
            thinkers: Models {
                begin: &["qwen3-", "qwen3.", "glm-"],
                except: &["instruct", "coder", "qwen3-max", "qwen3-vl-plus", "qwen3-vl-flash"],
            },
        }),
        prefill: Some(("partial", true)),
        continues: Some(&[]),
        ..KNOWN
    },
    // "property 'reasoning_content' is unsupported": thoughts go back as `reasoning`.
    Flavour {
        name: "groq",
        runs_on: true,
        files: false,
        hosts: &[("api.groq.com", "")],
        strict: true,
        // "will result in a 400 error (yikes) if they are supplied"; of messages "messages[].name".
        unknown_fields: &["logprobs", "top_logprobs"],
        speakers: false,
        stops_max: 4,
        completion_tokens: true,
        efforts: &[
            (named(&["qwen"]), ["none", "default", "default", "default", "default", "default", "default"]),
            (ALL, THREE),
        ],
        thoughts: "reasoning",
        ..KNOWN
    },
    // The same words as Groq's, for messages too ("property 'messages.1.assistant.reasoning_content' is unsupported").
    Flavour {
        name: "cerebras",
        files: false,
        hosts: &[("api.cerebras.ai", "")],
        strict: true,
        stops_max: 4,
        completion_tokens: true,
        efforts: &[(ALL, NONE_AND_THREE)],
        thoughts: "reasoning",
        ..KNOWN
    },
    Flavour {
        name: "xai",
        files: false,
        hosts: &[("api.x.ai", "")],
        reasoners: XAI_REASONERS,
        refused: &[
            (XAI_REASONERS, &["sampling.presence_penalty", "sampling.frequency_penalty", "sampling.stop"]),
            (XAI_FIXED, &["effort"]),
        ],
        stops_max: 4,
        efforts: &[
            (named(&["grok-3-mini"]), ["", "low", "low", "high", "high", "high", "high"]),
            (ALL, NONE_AND_THREE),
        ],
        ..KNOWN
    },
    Flavour {
        name: "together",
        files: false,
        hosts: &[("api.together.xyz", ""), ("api.together.ai", "")],
        efforts: &[(ALL, THREE)],
        ..KNOWN
    },
    Flavour {
        name: "openrouter",
        file_urls: true,
        hosts: &[("openrouter.ai", "")],
        knows_developer: true,
        marks: true,
        system_messages: true,
        betas: Betas::All,
        efforts: &[(ALL, ["none", "minimal", "low", "medium", "high", "xhigh", "xhigh"])],
        effort: &[("reasoning", r#"{"effort":"{}"}"#)],
        // By its guide: "ask models to complete a partial response".
        continues: Some(&[]),
        thoughts: "reasoning",
        ..KNOWN
    },
    // Gateways to many, in their own dialects and all others: they accept what their providers accept.
    Flavour {
        name: "vercel",
        hosts: &[("ai-gateway.vercel.sh", "")],
        marks: true,
        system_messages: true,
        betas: Betas::All,
        continues: Some(&[]),
        ..KNOWN
    },
    Flavour {
        name: "litellm",
        marks: true,
        functions: true,
        system_messages: true,
        betas: Betas::All,
        continues: Some(&[]),
        names: None,
        ..KNOWN
    },
    Flavour {
        name: "fireworks",
        files: false,
        hosts: &[("api.fireworks.ai", "")],
        efforts: &[(ALL, NONE_AND_THREE)],
        ..KNOWN
    },
    // Kimi: "cannot specify both 'thinking' and 'reasoning_effort'", and thoughts must come back.
    Flavour {
        name: "kimi",
        files: false,
        hosts: &[("api.moonshot.ai", ""), ("api.moonshot.cn", ""), ("api.kimi.com", "")],
        reasoners: NONE,
        efforts: &[(ALL, ["", "true", "true", "true", "true", "true", "true"])],
        effort: &[("thinking", r#"{"type":"enabled"}"#)],
        thinking_off: &[("thinking", r#"{"type":"disabled"}"#)],
        // Its "Partial Mode".
        prefill: Some(("partial", false)),
        continues: Some(&[]),
        no_thought: BLANK,
        ..KNOWN
    },
    Flavour {
        name: "zai",
        home: Zone::BEIJING,
        files: false,
        hosts: &[("api.z.ai", ""), ("open.bigmodel.cn", "")],
        reasoners: NONE,
        stops_max: 1,
        efforts: &[(ALL, ["", "true", "true", "true", "true", "true", "true"])],
        effort: &[("thinking", r#"{"type":"enabled"}"#)],
        thinking_off: &[("thinking", r#"{"type":"disabled"}"#)],
        // Recorded so: a forced tool beside nothing about thinking.
        thinks_when_forced: true,
        ..KNOWN
    },
    Flavour {
        name: "minimax",
        runs_on: true,
        files: false,
        hosts: &[("api.minimax.io", ""), ("api.minimaxi.com", "")],
        reasoners: NONE,
        ..KNOWN
    },
    Flavour {
        name: "perplexity",
        runs_on: true,
        searches: true,
        files: false,
        hosts: &[("api.perplexity.ai", "")],
        refused: &[(ALL, &["sampling.seed", "sampling.stop"])],
        lacks: &["tools"],
        efforts: &[(ALL, ["minimal", "minimal", "low", "medium", "high", "high", "high"])],
        json: false,
        stream_usage: false,
        system_first: true,
        alternates: true,
        ..KNOWN
    },
    Flavour {
        name: "vllm",
        files: false,
        any_root: true,
        reasoners: NONE,
        efforts: &[(ALL, THREE)],
        // "Cannot set both `continue_final_message` and `add_generation_prompt`": the second is its default.
        continues: Some(&[("continue_final_message", "true"), ("add_generation_prompt", "false")]),
        system_first: true,
        names: None,
        ..KNOWN
    },
    Flavour {
        name: "ollama",
        files: false,
        hosts: &[("ollama.com", ""), ("localhost:11434", ""), ("127.0.0.1:11434", "")],
        any_root: true,
        reasoners: NONE,
        lacks: &["messages.image.url"],
        efforts: &[(ALL, NONE_AND_THREE)],
        // Its templates and those of llama.cpp leave a last message of the assistant open.
        continues: Some(&[]),
        thoughts: "reasoning",
        names: None,
        ..KNOWN
    },
    Flavour {
        name: "llamacpp",
        files: false,
        any_root: true,
        reasoners: NONE,
        efforts: &[(ALL, THREE)],
        continues: Some(&[]),
        system_first: true,
        names: None,
        ..KNOWN
    },
    // Takes a schema, and no word for JSON of any form.
    Flavour {
        name: "lmstudio",
        files: false,
        hosts: &[("localhost:1234", ""), ("127.0.0.1:1234", "")],
        any_root: true,
        reasoners: NONE,
        efforts: &[(ALL, THREE)],
        json: false,
        names: None,
        ..KNOWN
    },
    // Anthropic's models at Google's.
    Flavour {
        name: "vertex-anthropic",
        runs_on: true,
        hosts: &[("aiplatform.googleapis.com", "/publishers/anthropic")],
        messages: Some(MessagesAt {
            whole: "/models/{}:rawPredict",
            streaming: "/models/{}:streamRawPredict",
            version: "vertex-2023-10-16",
        }),
        // "tools.0.custom.strict: Extra inputs are not permitted".
        holds_tools: false,
        system_messages: true,
        betas: VERTEX_BETAS,
        ..KNOWN
    },
];

/// Models that search by themselves, at any host, by parts of their names: Perplexity's, OpenAI's for searches and
/// research, Groq's compounds, and any at OpenRouter that is asked for so.
pub(super) const SEARCHERS: &[&str] = &["sonar", "-search", "deep-research", "compound", ":online"];

const fn named(begin: &'static [&'static str]) -> Models {
    Models { begin, except: &[] }
}

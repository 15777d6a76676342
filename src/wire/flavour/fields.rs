//! Fields of requests that the common form has no words for: which servers know them, and which put something into the
//! prompt. Each row has its source as those of the table of flavours.

use crate::words::Json;

/// Fields of chat completions that most servers know: a caller that sends them means no particular one.
pub(super) const CHAT_PLAIN: &[&str] = &["user", "logprobs", "top_logprobs", "n", "echo", "best_of", "suffix"];

/// Fields of chat completions that only some servers know, and which. All others get none of them, except servers of
/// which nothing is known. `top_k` and its kind: "Unrecognized request argument supplied: `top_k`".
pub(super) const CHAT_FIELDS: &[(&[&str], &[&str])] = &[
    (&["prompt_cache_key"], &["openai", "azure", "mistral", "openrouter", "vercel", "litellm", "kimi", "fireworks"]),
    (&["prompt_cache_retention", "prompt_cache_options", "store"], &["openai", "azure", "vercel", "litellm"]),
    (&["safety_identifier"], &["openai", "azure", "openrouter", "vercel", "litellm", "kimi"]),
    (&["service_tier"], &["openai", "azure", "openrouter", "vercel", "litellm", "groq", "cerebras", "fireworks"]),
    (&["metadata"], &["openai", "azure", "mistral", "openrouter", "vercel", "litellm"]),
    (&["verbosity"], &["openai", "azure", "openrouter", "vercel", "litellm"]),
    (&["web_search_options"], &["openai", "azure", "perplexity", "openrouter", "vercel", "litellm", "xai"]),
    (&["prediction"], &["openai", "azure", "mistral", "openrouter", "vercel", "litellm", "cerebras", "fireworks"]),
    (
        &["logit_bias"],
        &[
            "openai",
            "azure",
            "openrouter",
            "vercel",
            "litellm",
            "together",
            "fireworks",
            "vllm",
            "llamacpp",
            "lmstudio",
            "cerebras",
        ],
    ),
    (&["modalities", "audio"], &["openai", "azure", "qwen", "openrouter", "vercel", "litellm"]),
    (&["moderation"], &["openai", "azure", "litellm"]),
    // Of responses alone.
    (&["client_metadata"], &[]),
    (&["models"], &["openrouter", "litellm", "vercel"]),
    (
        &[
            "provider",
            "route",
            "transforms",
            "plugins",
            "usage",
            "image_config",
            "preset",
            "session_id",
            "trace",
            "verbosity_level",
        ],
        &["openrouter", "litellm"],
    ),
    (&["include_reasoning"], &["openrouter", "litellm", "groq", "vllm"]),
    (&["providerOptions", "provider_options"], &["vercel"]),
    (&["reasoning_format"], &["groq", "llamacpp", "cerebras"]),
    (&["search_settings", "compound_custom", "citation_options"], &["groq"]),
    (&["documents"], &["groq", "vllm"]),
    (&["thinking"], &["deepseek", "zai", "kimi", "minimax", "litellm"]),
    (&["user_id"], &["deepseek", "zai"]),
    (
        &[
            "enable_thinking",
            "thinking_budget",
            "preserve_thinking",
            "enable_search",
            "search_options",
            "vl_high_resolution_images",
            "incremental_output",
            "enable_code_interpreter",
        ],
        &["qwen"],
    ),
    (&["do_sample", "tool_stream", "request_id"], &["zai"]),
    (&["reasoning_split", "mask_sensitive_info"], &["minimax"]),
    (&["safe_prompt", "prompt_mode", "random_seed"], &["mistral"]),
    (&["guardrails"], &["mistral", "litellm"]),
    (&["search_parameters", "deferred"], &["xai"]),
    (
        &[
            "search_mode",
            "search_domain_filter",
            "search_recency_filter",
            "return_images",
            "return_related_questions",
            "disable_search",
        ],
        &["perplexity"],
    ),
    (&["chat_template_kwargs"], &["vllm", "llamacpp", "lmstudio", "together", "fireworks", "litellm"]),
    (
        &["top_k", "min_p", "repetition_penalty"],
        &[
            "openrouter",
            "litellm",
            "vercel",
            "together",
            "fireworks",
            "perplexity",
            "qwen",
            "vllm",
            "llamacpp",
            "lmstudio",
            "ollama",
        ],
    ),
    (&["top_a"], &["openrouter", "litellm"]),
    (&["guided_json", "guided_regex", "guided_choice", "guided_grammar", "truncate_prompt_tokens"], &["vllm"]),
    (&["structured_outputs"], &["vllm", "openrouter", "litellm"]),
    (&["cache_prompt", "n_predict", "grammar", "id_slot", "samplers"], &["llamacpp"]),
    (&["ttl", "draft_model"], &["lmstudio"]),
    (&["mock_response", "fallbacks", "num_retries", "caching", "api_base", "drop_params"], &["litellm"]),
];

/// The same for Anthropic's messages. At Vertex AI: "`cache_control`: Extra inputs are not permitted".
pub(super) const MESSAGES_FIELDS: &[(&[&str], &[&str])] = &[
    (&["anthropic_version", "anthropic_beta"], &["vertex-anthropic"]),
    (&["context_management"], &["anthropic", "vertex-anthropic", "openrouter", "vercel", "litellm"]),
    (
        &[
            "cache_control",
            "mcp_servers",
            "container",
            "inference_geo",
            "service_tier",
            "speed",
            "diagnostics",
            "user_profile_id",
        ],
        &["anthropic", "openrouter", "vercel", "litellm"],
    ),
    (&["metadata"], &["anthropic", "vertex-anthropic", "openrouter", "vercel", "litellm", "kimi", "zai", "minimax"]),
    (&["provider", "models", "route", "transforms", "plugins"], &["openrouter", "litellm"]),
];

/// The same for responses.
pub(super) const RESPONSES_FIELDS: &[(&[&str], &[&str])] = &[
    (&["prompt_cache_key"], &["openai", "azure", "openrouter", "xai", "vercel", "litellm"]),
    (
        &[
            "prompt_cache_retention",
            "prompt_cache_options",
            "safety_identifier",
            "service_tier",
            "context_management",
            "client_metadata",
            "moderation",
        ],
        &["openai", "azure", "openrouter", "vercel", "litellm"],
    ),
    (&["provider", "models", "route", "transforms", "plugins"], &["openrouter", "litellm"]),
    (&["search_parameters"], &["xai"]),
];

/// Those of them that put something into the prompt: what a search found, files, what a setting has kept.
const ADDING: &[&str] = &[
    "web_search_options",
    "plugins",
    "preset",
    "providerOptions",
    "provider_options",
    "search_settings",
    "compound_custom",
    "documents",
    "enable_search",
    "search_options",
    "enable_code_interpreter",
    "search_parameters",
    "search_mode",
    "search_domain_filter",
    "search_recency_filter",
    "mcp_servers",
    "container",
];

/// Fields that are not among them, and that put nothing into the prompt: all servers of a dialect know them, or
/// those of which nothing is known.
const ADDS_NOTHING: &[&str] = &[
    // All dialects.
    "stream_options",
    "reasoning",
    "reasoning_effort",
    "response_format",
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "temperature",
    "top_p",
    "seed",
    "stop",
    // Responses.
    "include",
    "truncation",
    "background",
    "max_tool_calls",
    "text",
    // Messages.
    "output_config",
    "output_format",
    // Google's.
    "generationConfig",
    "generation_config",
    "safetySettings",
    "safety_settings",
    "toolConfig",
    "tool_config",
    "labels",
    // Servers of one's own.
    "min_tokens",
    "ignore_eos",
    "stop_token_ids",
    "repeat_penalty",
    "frequency_penalty",
    "presence_penalty",
    "options",
    "keep_alive",
    "think",
    "format",
];

/// Tells whether a field of a request may put something into the prompt. One that is not known may, unless it says no.
pub(super) fn adds(field: &str, value: &Json) -> bool {
    let mut rows = [CHAT_FIELDS, RESPONSES_FIELDS, MESSAGES_FIELDS].into_iter().flatten();
    let mut is_known = || {
        CHAT_PLAIN.contains(&field) || ADDS_NOTHING.contains(&field) || rows.any(|(fields, _)| fields.contains(&field))
    };
    let says_no = value.is_null() || value.flag() == Some(false) || value.as_str().trim() == "[]";
    !says_no && (ADDING.contains(&field) || !is_known())
}

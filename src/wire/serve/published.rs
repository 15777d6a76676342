//! Fields of a request that choose nothing behind a target: those that a dialect's documentation tells, and those that
//! servers of the dialect are known to add, gateways' apart.
//!
//! A gateway or an aggregator behind a target may take any field for a choice of who answers (`models`, `provider`,
//! `route`, `preset`, `extra_body`, …), and each has others: so what is not known to choose nothing is taken to choose.
//! What is within a field of a list here is its dialect's own, and is not looked into; but for Vertex' choice of a
//! model, which counts as a field by its path.

use super::CallerDialect;

/// Chat completions: OpenAI's reference, then servers of one's own and other vendors.
const CHAT: &[&str] = &[
    "audio",
    "best_of",
    "cache_prompt",
    "chat_template_kwargs",
    "citation_options",
    "disable_search",
    "do_sample",
    "documents",
    "echo",
    "enable_search",
    "enable_thinking",
    "frequency_penalty",
    "function_call",
    "functions",
    "grammar",
    "guided_choice",
    "guided_grammar",
    "guided_json",
    "guided_regex",
    "ignore_eos",
    "include_reasoning",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "metadata",
    "min_p",
    "min_tokens",
    "modalities",
    "model",
    "moderation",
    "n",
    "n_predict",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    "preserve_thinking",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "prompt_mode",
    "random_seed",
    "reasoning",
    "reasoning_effort",
    "reasoning_format",
    "reasoning_split",
    "repeat_penalty",
    "repetition_penalty",
    "response_format",
    "return_images",
    "return_related_questions",
    "safe_prompt",
    "safety_identifier",
    "search_domain_filter",
    "search_mode",
    "search_options",
    "search_parameters",
    "search_recency_filter",
    "seed",
    "service_tier",
    "stop",
    "stop_token_ids",
    "store",
    "stream",
    "stream_options",
    "structured_outputs",
    "suffix",
    "temperature",
    "thinking",
    "thinking_budget",
    "tool_choice",
    "tool_stream",
    "tools",
    "top_k",
    "top_logprobs",
    "top_p",
    "truncate_prompt_tokens",
    "user",
    "user_id",
    "verbosity",
    "web_search_options",
];

const RESPONSES: &[&str] = &[
    "background",
    "client_metadata",
    "context_management",
    "conversation",
    "include",
    "input",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "model",
    "moderation",
    "parallel_tool_calls",
    "previous_response_id",
    "prompt",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning",
    "safety_identifier",
    "seed",
    "service_tier",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_k",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
];

const ANTHROPIC: &[&str] = &[
    "anthropic_beta",
    "anthropic_version",
    "cache_control",
    "container",
    "context_management",
    "diagnostics",
    "inference_geo",
    "max_tokens",
    "mcp_servers",
    "messages",
    "metadata",
    "model",
    "output_config",
    "output_format",
    "service_tier",
    "speed",
    "stop_sequences",
    "stream",
    "system",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_p",
    "user_profile_id",
];

/// The address names the model: a second name in the body could choose another.
const GEMINI: &[&str] = &[
    "cachedContent",
    "cached_content",
    "contents",
    "generationConfig",
    "generation_config",
    "labels",
    "metadata",
    "safetySettings",
    "safety_settings",
    "serviceTier",
    "service_tier",
    "systemInstruction",
    "system_instruction",
    "toolConfig",
    "tool_config",
    "tools",
];

const EMBEDDINGS: &[&str] = &[
    "autoTruncate",
    "dimensions",
    "encoding_format",
    "input",
    "input_type",
    "late_chunking",
    "metadata",
    "model",
    "normalized",
    "output_dimension",
    "output_dtype",
    "task",
    "taskType",
    "task_type",
    "title",
    "truncate",
    "truncate_prompt_tokens",
    "truncation",
    "user",
];

/// Tells whether a field of a conversation's request is known to choose nothing.
pub fn is_published(caller_dialect: CallerDialect, field: &str) -> bool {
    let known = match caller_dialect {
        CallerDialect::OpenAiChat => CHAT,
        CallerDialect::OpenAiResponses => RESPONSES,
        CallerDialect::Anthropic => ANTHROPIC,
        CallerDialect::Gemini => GEMINI,
    };
    known.binary_search(&field).is_ok()
}

/// Tells the same of a field of a request for vectors.
pub fn is_published_for_vectors(field: &str) -> bool {
    EMBEDDINGS.binary_search(&field).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [CallerDialect; 4] =
        [CallerDialect::OpenAiChat, CallerDialect::OpenAiResponses, CallerDialect::Anthropic, CallerDialect::Gemini];

    #[test]
    fn what_is_not_known_to_choose_nothing_is_taken_to_choose_in_any_case() {
        for field in [
            "models",
            "Models",
            "provider",
            "providerOptions",
            "provider_options",
            "route",
            "router",
            "transforms",
            "preset",
            "plugins",
            "extra_body",
            "extraBody",
            "fallbacks",
            "fallback_model",
            "api_base",
            "apiBase",
            "api-base",
            "base_url",
            "user_config",
            "override_params",
            "deployment",
            "deployment_id",
            "tensorzero::variant_name",
            "vertex_project",
            "aws_bedrock_runtime_endpoint",
            "credential_name",
            "use_litellm_proxy",
            "portkey_config",
            "virtual_key",
            "draft_model",
            "kv_transfer_params",
            "generateContentRequest",
            "a_name_of_tomorrow",
            "TOOLS",
            "Temperature",
            "model ",
            "",
            "tag",
            "tags",
            "headers",
            "session_id",
            "trace",
        ] {
            assert!(!is_published_for_vectors(field), "{field}");
            for caller_dialect in ALL {
                assert!(!is_published(caller_dialect, field), "{caller_dialect:?} {field}");
            }
        }
        assert!(!is_published(CallerDialect::Gemini, "model"));
        assert!(!is_published(CallerDialect::OpenAiChat, "input") && !is_published(CallerDialect::Anthropic, "user"));
    }

    #[test]
    fn the_lists_are_in_their_order() {
        for list in [CHAT, RESPONSES, ANTHROPIC, GEMINI, EMBEDDINGS] {
            assert!(list.is_sorted_by(|one, next| one < next), "{list:?}");
        }
    }
}

//! The refusals of providers that serve others' models: Groq, Together, OpenRouter, Perplexity.

use super::{Hints, INVALID, NO_HINTS, OPENAI, QUOTA, Wording, no};
use crate::testing::fault::ProviderError as Error;

pub(crate) const GROQ: Wording = Wording {
    body: r#"{"error":{"message":$message,"type":$type,"code":$code}}"#,
    errors: &[
        (Error::Server, no(500, "internal_server_error", "Internal Server Error").code("internal_server_error")),
        (Error::Unavailable, no(503, "internal_server_error", "Service Unavailable").code("service_unavailable")),
        (
            Error::Overloaded,
            no(498, "internal_server_error", "Flex tier capacity exceeded for model `$model`. Please try again later.")
                .code("capacity_exceeded"),
        ),
        (
            Error::ContextTooLong,
            no(400, INVALID, "Please reduce the length of the messages or completion.").code("context_length_exceeded"),
        ),
        (Error::Unauthorised, no(401, INVALID, "Invalid API Key").code("invalid_api_key")),
        (
            Error::ModelRetired,
            no(
                400,
                INVALID,
                "The model `$model` has been decommissioned and is no longer supported. Please refer to \
                 https://console.groq.com/docs/deprecations for a recommendation on which model to use instead.",
            )
            .code("model_decommissioned"),
        ),
        (
            Error::RequestExceedsLimit,
            no(
                413,
                "tokens",
                "Request too large for model `$model` in organization `org_drill` on tokens per minute (TPM): Limit \
                 6000, Requested 14368, please reduce your message size and try again. Visit \
                 https://console.groq.com/docs/rate-limits for more information.",
            )
            .code("rate_limit_exceeded"),
        ),
    ],
    rate: no(
        429,
        "requests",
        "Rate limit reached for model `$model` in organization `org_drill` on requests per minute (RPM): Limit $limit, \
         Used $limit, Requested 1.$hint Visit https://console.groq.com/docs/rate-limits for more information.",
    )
    .code("rate_limit_exceeded"),
    hints: Hints { millis: &[], ..OPENAI.hints },
    nothing: no(404, INVALID, "Unknown request URL: $model.").code("unknown_url"),
    ..OPENAI
};

pub(crate) const TOGETHER: Wording = Wording {
    body: r#"{"id":"oPgYtxM-4YNCb4-9afd5c184fca8169","error":{"message":$message,"type":$type,"param":$param,"code":$code}}"#,
    errors: &[
        (Error::Server, no(500, "server_error", "Internal server error").code("internal_server_error")),
        (Error::Unavailable, no(503, "service_unavailable", "The server is overloaded or not ready yet.")),
        (
            Error::ContextTooLong,
            no(
                422,
                INVALID,
                "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8193. Given: 8227 `inputs` \
                 tokens and 100 `max_new_tokens`",
            )
            .param("max_tokens"),
        ),
        (
            Error::Unauthorised,
            no(
                401,
                INVALID,
                "Invalid API key provided. You can find your API key at https://api.together.xyz/settings/api-keys.",
            )
            .code("invalid_api_key"),
        ),
        (
            Error::OutOfMoney,
            no(
                402,
                "credit_limit",
                "Credit limit exceeded, please navigate to https://api.together.xyz/settings/billing to add credits.",
            ),
        ),
        (Error::ModelGone, no(404, INVALID, UNSERVED).code("model_not_available")),
        (
            Error::ModelRetired,
            no(
                400,
                INVALID,
                "Unable to access non-serverless model $model. Please visit https://api.together.ai/models/$model to \
                 create and start a new dedicated endpoint for the model.",
            )
            .code("model_not_available"),
        ),
    ],
    rate: no(
        429,
        "rate_limit",
        "You have reached the rate limit specific to this model $model. The maximum rate limit for this model is \
         $limit queries per minute.$hint",
    ),
    hints: Hints {
        seconds: &[("retry-after", "$whole")],
        reset: &[("x-ratelimit-limit", "$limit"), ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "$whole")],
        ..NO_HINTS
    },
    ..OPENAI
};
const UNSERVED: &str = "Unable to access model $model. Please visit https://api.together.ai/models to view the list of \
    supported models.";

pub(crate) const OPENROUTER: Wording = Wording {
    body: r#"{"error":{"message":$message,"code":$status},"user_id":"user_drill"}"#,
    errors: &[
        (Error::Server, no(500, "", "Internal Server Error")),
        (
            Error::Unavailable,
            no(503, "", "$model is temporarily unavailable.").body(
                r#"{"error":{"message":$message,"code":$status,"metadata":{"error_type":"provider_overloaded"},"availability":{"code":"capacity_exhausted","retryable":true}},"user_id":"user_drill"}"#,
            ),
        ),
        (
            Error::Overloaded,
            no(502, "", "Provider returned error").body(
                r#"{"error":{"message":$message,"code":$status,"metadata":{"error_type":"provider_unavailable","provider_name":"Anthropic","raw":"Overloaded"}},"user_id":"user_drill"}"#,
            ),
        ),
        (
            Error::ContextTooLong,
            no(
                400,
                "",
                "This endpoint's maximum context length is 200000 tokens. However, you requested about 2500021 tokens \
                 (2500021 of text input). Please reduce the length of either one, or use the context-compression \
                 plugin to compress your prompt automatically.",
            )
            .body(
                r#"{"error":{"message":$message,"code":$status,"metadata":{"provider_name":null}},"user_id":"user_drill"}"#,
            ),
        ),
        (
            Error::Unauthorised,
            no(401, "", "Missing Authentication header").body(r#"{"error":{"message":$message,"code":$status}}"#),
        ),
        (Error::OutOfMoney, no(402, "", "Insufficient credits. Add more using https://openrouter.ai/settings/credits")),
        (Error::ModelGone, no(400, "", "$model is not a valid model ID")),
        (
            Error::ModelRetired,
            no(404, "", "$model has been deprecated.").body(
                r#"{"error":{"message":$message,"code":$status,"metadata":{"error_type":"not_found"},"availability":{"code":"model_deprecated","retryable":false}},"user_id":"user_drill"}"#,
            ),
        ),
        (
            Error::Forbidden,
            no(403, "", "This model is not available in your region.").body(
                r#"{"error":{"message":$message,"code":$status,"metadata":{"error_type":"permission_denied"},"availability":{"code":"region_restricted","retryable":false}},"user_id":"user_drill"}"#,
            ),
        ),
        (
            Error::Filtered,
            no(403, "", "$model requires moderation on OpenAI. Your input was flagged for \"violence\".").body(
                r#"{"error":{"message":$message,"code":$status,"metadata":{"error_type":"content_policy_violation","reasons":["violence"],"flagged_input":"hello","provider_name":"OpenAI","model_slug":"drill"}},"user_id":"user_drill"}"#,
            ),
        ),
        (Error::Timeout, no(408, "", "Request timed out")),
    ],
    nothing: no(404, "", "Not Found"),
    rate: no(
        429,
        "",
        "Rate limit exceeded: limit_rpm/$model. High demand for $model on OpenRouter - limited to $limit requests per \
         minute. Please retry shortly.$hint",
    )
    .body(r#"{"error":{"message":$message,"code":$status,"metadata":{"provider_name":null}},"user_id":"user_drill"}"#),
    hints: Hints {
        seconds: &[("retry-after", "$whole")],
        reset: &[("x-ratelimit-limit", "$limit"), ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "$epoch")],
        ..NO_HINTS
    },
    ..OPENAI
};

pub(crate) const PERPLEXITY: Wording = Wording {
    body: r#"{"error":{"message":$message,"type":$type,"code":$status}}"#,
    errors: &[
        (Error::Server, no(500, "internal_server_error", "Internal server error")),
        (Error::ContextTooLong, no(400, "too_many_prompt_tokens", "The total length of all messages is too long.")),
        (
            Error::Unauthorised,
            no(
                401,
                "invalid_api_key",
                "Invalid API key provided. You can find your API key at \
                https://www.perplexity.ai/settings/api.",
            ),
        ),
        (Error::OutOfMoney, no(401, "insufficient_quota", QUOTA)),
        (
            Error::ModelGone,
            no(
                400,
                "invalid_model",
                "Invalid model '$model'. Permitted models can be found in the documentation at \
                 https://docs.perplexity.ai/getting-started/models.",
            ),
        ),
        (
            Error::ModelRetired,
            no(
                400,
                "invalid_model",
                "Invalid model '$model'. Permitted models can be found in the documentation at \
                 https://docs.perplexity.ai/getting-started/models.",
            ),
        ),
        (
            Error::BadRequest,
            no(400, "invalid_message", "[\"At body -> temperature: Input should be less than or equal to 2\"]"),
        ),
    ],
    malformed: no(400, "invalid_message", ""),
    nothing: no(404, "not_found", "Not Found"),
    rate: no(429, "request_rate_limit_exceeded", "Request rate limit exceeded, please try again later."),
    hints: NO_HINTS,
    ..OPENAI
};

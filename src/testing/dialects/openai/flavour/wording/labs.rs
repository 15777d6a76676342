//! The refusals of providers that make models: Azure for OpenAI, DeepSeek, Mistral, Qwen, xAI.

use super::{Hints, INVALID, NO_HINTS, OPENAI, TOO_LONG, Wording, no};
use crate::testing::fault::ProviderError as Error;

pub(crate) const AZURE: Wording = Wording {
    body: r#"{"error":{"code":$code,"message":$message}}"#,
    errors: &[
        (
            Error::Server,
            no(500, "", "The server had an error while processing your request.").code("InternalServerError"),
        ),
        (
            Error::Unavailable,
            no(503, "", "The service is temporarily unable to process your request.").code("ServiceUnavailable"),
        ),
        (
            Error::Unauthorised,
            no(
                401,
                "",
                "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key \
                 for an active subscription and use a correct regional API endpoint for your resource.",
            )
            .code("401"),
        ),
        (
            Error::ModelGone,
            no(
                404,
                INVALID,
                "The API deployment for this resource does not exist. If you created the deployment within the last 5 \
                 minutes, please wait a moment and try again.",
            )
            .code("DeploymentNotFound")
            .body(r#"{"error":{"type":$type,"code":$code,"message":$message}}"#),
        ),
        (Error::Forbidden, no(403, "", "Access denied due to Virtual Network/Firewall rules.").code("403")),
        (
            Error::Filtered,
            no(
                400,
                "",
                "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. \
                 Please modify your prompt and retry.",
            )
            .param("prompt")
            .code("content_filter")
            .body(
                r#"{"error":{"message":$message,"type":null,"param":$param,"code":$code,"status":400,"innererror":{"code":"ResponsibleAIPolicyViolation","content_filter_result":{"hate":{"filtered":false,"severity":"safe"},"jailbreak":{"detected":false,"filtered":false},"self_harm":{"filtered":false,"severity":"safe"},"sexual":{"filtered":false,"severity":"safe"},"violence":{"filtered":true,"severity":"medium"}}}}}"#,
            ),
        ),
        (Error::Timeout, no(408, "", "The operation was timeout.").code("Timeout")),
        (
            Error::ContextTooLong,
            no(400, INVALID, TOO_LONG).param("messages").code("context_length_exceeded").body(OPENAI.body),
        ),
    ],
    malformed: no(400, INVALID, "").body(OPENAI.body),
    nothing: no(404, "", "Resource not found").code("404"),
    rate: no(
        429,
        "",
        "Your requests to $model for $model in East US 2 have exceeded the call rate limit of your current pricing \
         tier.$hint",
    )
    .code("RateLimitReached"),
    hints: Hints {
        seconds: &[("retry-after", "$whole")],
        millis: &[("retry-after", "$whole"), ("retry-after-ms", "$millis")],
        date: &[("date", "$now"), ("retry-after", "$date")],
        reset: &[
            ("x-ratelimit-limit-requests", "$limit"),
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "$whole"),
        ],
        text: " Please retry after $go.",
    },
    ..OPENAI
};

pub(crate) const DEEPSEEK: Wording = Wording {
    content_type: Some("application/octet-stream"),
    errors: &[
        (
            Error::Unavailable,
            no(
                503,
                "service_unavailable_error",
                "Service is too busy. We advise users to temporarily switch to alternative LLM API service providers.",
            )
            .code("service_unavailable_error"),
        ),
        (
            Error::ContextTooLong,
            no(
                400,
                INVALID,
                "This model's maximum context length is 65536 tokens. However, you requested 71040 tokens (67040 in \
                 the messages, 4000 in the completion). Please reduce the length of the messages or completion.",
            )
            .code(INVALID),
        ),
        (
            Error::Unauthorised,
            no(401, "authentication_error", "Authentication Fails, Your api key: ****-key is invalid").code(INVALID),
        ),
        (Error::OutOfMoney, no(402, "unknown_error", "Insufficient Balance").code(INVALID)),
        (
            Error::ModelGone,
            no(
                400,
                INVALID,
                "The supported API model names are deepseek-v4-pro or deepseek-v4-flash, but you passed $model.",
            )
            .code(INVALID),
        ),
        (
            Error::ModelRetired,
            no(
                400,
                INVALID,
                "The supported API model names are deepseek-v4-pro or deepseek-v4-flash, but you passed $model.",
            )
            .code(INVALID),
        ),
        (Error::Filtered, no(400, INVALID, "Content Exists Risk").code(INVALID)),
        (
            Error::BadRequest,
            no(
                400,
                INVALID,
                "Failed to deserialize the JSON body into the target type: messages[0]: unknown variant `nobody`, \
                 expected one of `system`, `user`, `assistant`, `tool` at line 1 column 43",
            )
            .code(INVALID),
        ),
    ],
    malformed: no(400, INVALID, "").code(INVALID),
    rate: no(429, "rate_limit_error", "Rate limit reached for requests").code("rate_limit_error"),
    hints: NO_HINTS,
    ..OPENAI
};

/// The error of Mistral's gateway, which does not know the API's errors.
const GATEWAY: &str = r#"{"message":$message}"#;

pub(crate) const MISTRAL: Wording = Wording {
    body: r#"{"object":"error","message":$message,"type":$type,"param":null,"code":$code,"raw_status_code":$status}"#,
    errors: &[
        (Error::Server, no(500, "internal_server_error", "Internal server error").code("1000")),
        (Error::Unavailable, no(503, "service_tier_capacity_exceeded", CAPACITY).code("3505")),
        (Error::Overloaded, no(429, "service_tier_capacity_exceeded", CAPACITY).code("3505")),
        (
            Error::ContextTooLong,
            no(
                400,
                "invalid_request_prompt",
                "Prompt contains 131107 tokens and 0 draft tokens, too large for model with 131072 maximum context \
                 length",
            )
            .code("3210"),
        ),
        (Error::Unauthorised, no(401, "", "Invalid API Key").body(r#"{"detail":$message}"#)),
        (Error::ModelGone, no(400, "invalid_model", "Invalid model: $model").code("1500")),
        (Error::ModelRetired, no(400, "invalid_model", "Invalid model: $model").code("1500")),
        (
            Error::BadRequest,
            no(422, INVALID, "Input should be less than or equal to 1.5").param("temperature").body(UNPROCESSABLE),
        ),
        (
            Error::Unsupported,
            no(400, "invalid_request_invalid_args", "Logprobs are not enabled for this model").code("3051"),
        ),
        (Error::Timeout, no(504, "", "The upstream server is timing out").body(GATEWAY)),
    ],
    malformed: no(422, INVALID, "").body(UNPROCESSABLE),
    nothing: no(404, "", "no Route matched with those values").body(GATEWAY),
    rate: no(429, "rate_limited", "Rate limit exceeded").code("1300"),
    hints: NO_HINTS,
    ..OPENAI
};
const CAPACITY: &str = "Service tier capacity exceeded for this model.";
const UNPROCESSABLE: &str = r#"{"object":"error","message":{"detail":[{"type":"value_error","loc":$loc,"msg":$message}]},"type":$type,"param":null,"code":null}"#;

pub(crate) const QWEN: Wording = Wording {
    body: r#"{"error":{"code":$code,"message":$message,"param":null,"type":$type},"request_id":"c2b25c93-9684-4d7e-91df-793f0cdbef88"}"#,
    errors: &[
        (
            Error::Server,
            no(
                500,
                "internal_error",
                "An internal error has occured, please try again later or contact service support.",
            )
            .code("internal_error"),
        ),
        (
            Error::Unavailable,
            no(
                503,
                "internal_error",
                "Too many requests. Your requests are being throttled due to system capacity limits. Please try again \
                 later.",
            )
            .code("ModelServingError"),
        ),
        (
            Error::ContextTooLong,
            no(400, INVALID, "Range of input length should be [1, 129024]").code("invalid_parameter_error"),
        ),
        (Error::Unauthorised, no(401, INVALID, "Incorrect API key provided. ").code("invalid_api_key")),
        (
            Error::OutOfMoney,
            no(
                400,
                "Arrearage",
                "Access denied, please make sure your account is in good standing. For details, see: \
                 https://help.aliyun.com/zh/model-studio/error-code#overdue-payment",
            )
            .code("Arrearage"),
        ),
        (Error::Forbidden, no(403, "access_denied", "Access denied.").code("access_denied")),
        (
            Error::Filtered,
            no(
                400,
                "data_inspection_failed",
                "Input data may contain inappropriate content. For details, see: \
                 https://help.aliyun.com/zh/model-studio/error-code#inappropriate-content",
            )
            .code("data_inspection_failed"),
        ),
        (
            Error::BadRequest,
            no(
                400,
                INVALID,
                "<400> InternalError.Algo.InvalidParameter: Role must be in [user, assistant, system, tool]: nobody",
            )
            .code("invalid_parameter_error"),
        ),
    ],
    malformed: no(400, INVALID, "").code("invalid_parameter_error"),
    // Its words name billing, but it is the limit of tokens per minute.
    rate: no(
        429,
        "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing details. For details, see: \
         https://help.aliyun.com/zh/model-studio/error-code#token-limit",
    )
    .code("insufficient_quota"),
    hints: NO_HINTS,
    ..OPENAI
};

pub(crate) const XAI: Wording = Wording {
    body: r#"{"code":$code,"error":$message}"#,
    errors: &[
        (Error::Server, no(500, "", "Internal server error.").code("internal")),
        (
            Error::Unavailable,
            no(503, "", "The model is currently at capacity due to high demand. Please try again in a few minutes.")
                .code("The service is currently unavailable"),
        ),
        (
            Error::ContextTooLong,
            no(400, "", "This model's maximum prompt length is 131072 but the request contains 537812 tokens.")
                .code("invalid-argument"),
        ),
        (
            Error::Unauthorised,
            no(400, "", "Incorrect API key provided. You can obtain an API key from https://console.x.ai.")
                .code("invalid-argument"),
        ),
        (
            Error::OutOfMoney,
            no(
                429,
                "",
                "Your team drill has either used all available credits or reached its monthly spending limit. To \
                 continue making API requests, please purchase more credits or raise your spending limit.",
            )
            .code("Some resource has been exhausted"),
        ),
        (Error::ModelGone, no(400, "", "Model not found: $model").code("invalid-argument")),
        (Error::ModelRetired, no(400, "", "Model not found: $model").code("invalid-argument")),
        (
            Error::Forbidden,
            no(403, "", "Your team drill does not have permission to use this model in your region.")
                .code("permission-denied"),
        ),
        (
            Error::Filtered,
            no(403, "", "Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_DRILL")
                .code("permission-denied"),
        ),
        (
            Error::BadRequest,
            no(
                400,
                "",
                "Failed to deserialize the JSON body into the target type: messages[0].role: unknown variant `nobody`",
            )
            .code("invalid-argument"),
        ),
        (
            Error::Unsupported,
            no(400, "", "Argument not supported on this model: presencePenalty").code("invalid-argument"),
        ),
    ],
    malformed: no(400, "", "").code("invalid-argument"),
    nothing: no(404, "", "The requested resource was not found.").code("not-found"),
    rate: no(
        429,
        "",
        "Too many requests for team drill and model $model. Your team's rate limit is $limit requests per minute. See \
         https://docs.x.ai/docs/rate-limits.$hint",
    )
    .code("Some resource has been exhausted"),
    hints: Hints {
        reset: &[("x-ratelimit-limit-requests", "$limit"), ("x-ratelimit-remaining-requests", "0")],
        ..NO_HINTS
    },
    ..OPENAI
};

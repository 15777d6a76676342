//! What each provider says when it says no, as recorded traffic and their users' reports have it.

use super::Templates;
use crate::testing::fault::ProviderError as Error;

/// How a provider says no.
#[derive(Debug)]
pub(super) struct Wording {
    /// An error's body: `$message`, `$type`, `$param`, `$code` are JSON, `$status` is a number, `$loc` an array.
    pub(super) body: &'static str,
    /// The content type of errors, where it is not JSON's.
    pub(super) content_type: Option<&'static str>,
    /// What it has own words for; the rest is said in OpenAI's.
    errors: &'static [(Error, Said<'static>)],
    /// Of a request that it cannot take; the message is about the request.
    pub(super) malformed: Said<'static>,
    /// Of an address where nothing is; `$model` is the address.
    pub(super) nothing: Said<'static>,
    /// Of too many requests; `$limit` is how many a minute, `$hint` when to come back.
    pub(super) rate: Said<'static>,
    pub(super) hints: Hints,
}

/// How a 429 says when to come back; what is empty is never said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hints {
    pub(super) seconds: Templates,
    pub(super) millis: Templates,
    pub(super) date: Templates,
    pub(super) reset: Templates,
    pub(super) text: &'static str,
}

/// One no. The message may name the `$model`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said<'a> {
    pub(super) status: u16,
    pub(super) kind: Option<&'a str>,
    pub(super) param: Option<&'a str>,
    pub(super) code: Option<&'a str>,
    pub(super) message: &'a str,
    /// Another body than the provider's usual one.
    pub(super) body: Option<&'a str>,
}

impl Wording {
    pub(super) fn said(&self, error: Error) -> &Said<'static> {
        let find = |errors: &'static [(Error, Said<'static>)]| {
            errors.iter().find(|(known, _)| *known == error).map(|(_, said)| said)
        };
        find(self.errors).or_else(|| find(OPENAI_ERRORS)).expect("OpenAI has words for every error")
    }
}

const fn no(status: u16, kind: &'static str, message: &'static str) -> Said<'static> {
    Said { status, kind: Some(kind), param: None, code: None, message, body: None }
}

impl Said<'static> {
    const fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    const fn param(mut self, param: &'static str) -> Self {
        self.param = Some(param);
        self
    }

    const fn body(mut self, body: &'static str) -> Self {
        self.body = Some(body);
        self
    }
}

const INVALID: &str = "invalid_request_error";
const QUOTA: &str = "You exceeded your current quota, please check your plan and billing details.";
const NO_MODEL: &str = "The model `$model` does not exist or you do not have access to it.";
const TOO_LONG: &str = "This model's maximum context length is 8192 tokens. However, your messages resulted in 8227 \
    tokens. Please reduce the length of the messages.";
const NO_HINTS: Hints = Hints { seconds: &[], millis: &[], date: &[], reset: &[], text: "" };

pub(super) const OPENAI: Wording = Wording {
    body: r#"{"error":{"message":$message,"type":$type,"param":$param,"code":$code}}"#,
    content_type: None,
    errors: OPENAI_ERRORS,
    malformed: no(400, INVALID, ""),
    nothing: no(404, INVALID, "Invalid URL ($model)"),
    rate: no(
        429,
        "requests",
        "Rate limit reached for $model in organization org-drill on requests per min (RPM): Limit $limit, Used $limit, \
         Requested 1.$hint Visit https://platform.openai.com/account/rate-limits to learn more.",
    )
    .code("rate_limit_exceeded"),
    hints: Hints {
        seconds: &[("retry-after", "$seconds")],
        millis: &[("retry-after-ms", "$millis")],
        date: &[("date", "$now"), ("retry-after", "$date")],
        reset: &[
            ("x-ratelimit-limit-requests", "$limit"),
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "$go"),
        ],
        text: " Please try again in $go.",
    },
};

const OPENAI_ERRORS: &[(Error, Said<'static>)] = &[
    (
        Error::Server,
        no(500, "server_error", "The server had an error while processing your request. Sorry about that!"),
    ),
    (
        Error::Unavailable,
        no(503, "service_unavailable_error", "The engine is currently overloaded, please try again later.")
            .code("server_is_overloaded"),
    ),
    (Error::Overloaded, no(529, "overloaded_error", "Overloaded").code("overloaded")),
    (Error::ContextTooLong, no(400, INVALID, TOO_LONG).param("messages").code("context_length_exceeded")),
    (
        Error::Unauthorised,
        no(
            401,
            INVALID,
            "Incorrect API key provided: sk-drill. You can find your API key at \
             https://platform.openai.com/account/api-keys.",
        )
        .code("invalid_api_key"),
    ),
    (Error::OutOfMoney, no(402, "insufficient_quota", QUOTA).code("insufficient_quota")),
    (Error::ModelGone, no(404, INVALID, NO_MODEL).code("model_not_found")),
    (
        Error::ModelRetired,
        no(
            404,
            INVALID,
            "The model `$model` has been deprecated, learn more here: https://platform.openai.com/docs/deprecations",
        )
        .code("model_not_found"),
    ),
    (
        Error::Forbidden,
        no(403, "request_forbidden", "Country, region, or territory not supported")
            .code("unsupported_country_region_territory"),
    ),
    (
        Error::Filtered,
        no(400, INVALID, "Your request was rejected as a result of our safety system.")
            .code("content_policy_violation"),
    ),
    (
        Error::RequestExceedsLimit,
        no(
            429,
            "tokens",
            "Request too large for $model in organization org-drill on tokens per min (TPM): Limit 30000, Requested \
             36278. The input or output tokens must be reduced in order to run successfully.",
        )
        .code("rate_limit_exceeded"),
    ),
    (
        Error::BadRequest,
        no(
            400,
            INVALID,
            "Invalid value: 'nobody'. Supported values are: 'system', 'assistant', 'user', 'function', 'tool', and \
             'developer'.",
        )
        .param("messages[0].role")
        .code("invalid_value"),
    ),
    (
        Error::Unsupported,
        no(
            400,
            INVALID,
            "Unsupported value: 'temperature' does not support 0.2 with this model. Only the default (1) value is \
             supported.",
        )
        .param("temperature")
        .code("unsupported_value"),
    ),
    (Error::Timeout, no(504, "server_error", "The upstream did not answer in time.").code("gateway_timeout")),
];

pub(super) const OPENAI_RESPONSES: Wording = Wording {
    errors: &[
        (
            Error::ContextTooLong,
            no(
                400,
                INVALID,
                "Your input exceeds the context window of this model. Please adjust your input and try again.",
            )
            .param("input")
            .code("context_length_exceeded"),
        ),
        (
            Error::ModelGone,
            no(400, INVALID, "The requested model '$model' does not exist.").param("model").code("model_not_found"),
        ),
        (Error::OutOfMoney, no(429, "insufficient_quota", QUOTA).code("credit_balance_exhausted")),
        (
            Error::BadRequest,
            no(
                400,
                INVALID,
                "Invalid value: 'nobody'. Supported values are: 'assistant', 'system', 'developer', and 'user'.",
            )
            .param("input[0]")
            .code("invalid_value"),
        ),
        (
            Error::Unsupported,
            no(400, INVALID, "Unsupported parameter: 'temperature' is not supported with this model.")
                .param("temperature")
                .code("unsupported_parameter"),
        ),
        (
            Error::Filtered,
            no(
                400,
                INVALID,
                "Invalid prompt: your prompt was flagged as potentially violating our usage policy. Please try again \
                 with a different prompt.",
            )
            .code("invalid_prompt"),
        ),
    ],
    ..OPENAI
};

pub(super) const AZURE: Wording = Wording {
    body: r#"{"error":{"code":$code,"message":$message}}"#,
    errors: &[
        (Error::Server, no(500, "", "The server had an error while processing your request.").code("InternalServerError")),
        (Error::Unavailable, no(503, "", "The service is temporarily unable to process your request.").code("ServiceUnavailable")),
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
        (Error::ContextTooLong, no(400, INVALID, TOO_LONG).param("messages").code("context_length_exceeded").body(OPENAI.body)),
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

pub(super) const DEEPSEEK: Wording = Wording {
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

/// What Mistral's gateway says, which knows no errors of the API.
const GATEWAY: &str = r#"{"message":$message}"#;

pub(super) const MISTRAL: Wording = Wording {
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
            no(422, INVALID, "Input should be 'system', 'user', 'assistant' or 'tool'")
                .param("messages[0].role")
                .body(UNPROCESSABLE),
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

pub(super) const QWEN: Wording = Wording {
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
    // Billing in words, and yet no more than the tokens of a minute.
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

pub(super) const GROQ: Wording = Wording {
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

pub(super) const XAI: Wording = Wording {
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

pub(super) const TOGETHER: Wording = Wording {
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

pub(super) const OPENROUTER: Wording = Wording {
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
            .body(r#"{"error":{"message":$message,"code":$status,"metadata":{"provider_name":null}},"user_id":"user_drill"}"#),
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

pub(super) const PERPLEXITY: Wording = Wording {
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
        (Error::BadRequest, no(400, "invalid_message", "Last message must have role `user` or `tool`.")),
    ],
    malformed: no(400, "invalid_message", ""),
    nothing: no(404, "not_found", "Not Found"),
    rate: no(429, "request_rate_limit_exceeded", "Request rate limit exceeded, please try again later."),
    hints: NO_HINTS,
    ..OPENAI
};

pub(super) const VLLM: Wording = Wording {
    body: r#"{"error":{"message":$message,"type":$type,"param":$param,"code":$status}}"#,
    errors: &[
        (Error::Server, no(500, "InternalServerError", "EngineCore encountered an issue.")),
        (Error::Unavailable, no(503, "ServiceUnavailableError", "The server is busy. Please try again later.")),
        (Error::Unauthorised, no(401, "", "Unauthorized").body(r#"{"error":$message}"#)),
        (
            Error::ContextTooLong,
            no(
                400,
                "BadRequestError",
                "This model's maximum context length is 8192 tokens. However, you requested 8227 tokens (8127 in the \
                 messages, 100 in the completion). Please reduce the length of the messages or completion.",
            ),
        ),
        (Error::ModelGone, no(404, "NotFoundError", "The model `$model` does not exist.").param("model")),
        (Error::ModelRetired, no(404, "NotFoundError", "The model `$model` does not exist.").param("model")),
        // As older versions say it: flat.
        (
            Error::BadRequest,
            no(400, "BadRequestError", "max_tokens must be at least 1, got -186.")
                .body(r#"{"object":"error","message":$message,"type":$type,"param":null,"code":$status}"#),
        ),
    ],
    malformed: no(400, "BadRequestError", ""),
    nothing: no(404, "", "Not Found").body(r#"{"detail":$message}"#),
    rate: no(429, "TooManyRequestsError", "Too many requests."),
    hints: NO_HINTS,
    ..OPENAI
};

pub(super) const OLLAMA: Wording = Wording {
    body: r#"{"error":{"message":$message,"type":$type,"param":null,"code":null}}"#,
    errors: &[
        (Error::Server, no(500, "api_error", "llama runner process has terminated: exit status 2")),
        (Error::Unavailable, no(503, "api_error", "server busy, please try again.  maximum pending requests exceeded")),
        (
            Error::ContextTooLong,
            no(
                400,
                INVALID,
                "prompt too long; exceeded max context length by 1119046 tokens (ref: 96164522-08b2-4cbf-886e-e5a38961a688)",
            ),
        ),
        (Error::Unauthorised, no(401, "api_error", "Unauthorized")),
        (Error::ModelGone, no(404, "not_found_error", "model '$model' not found")),
        (Error::ModelRetired, no(404, "not_found_error", "model '$model' not found")),
        (Error::BadRequest, no(400, INVALID, "invalid role: nobody")),
        (Error::Unsupported, no(400, INVALID, "\"$model\" does not support tools")),
    ],
    nothing: no(404, "not_found_error", "404 page not found"),
    rate: no(429, "api_error", "too many requests"),
    hints: NO_HINTS,
    ..OPENAI
};

pub(super) const LLAMACPP: Wording = Wording {
    body: r#"{"error":{"code":$status,"message":$message,"type":$type}}"#,
    errors: &[
        (Error::Server, no(500, "server_error", "error: cannot make GET request")),
        (Error::Unavailable, no(503, "unavailable_error", "Loading model")),
        (
            Error::ContextTooLong,
            no(
                400,
                "exceed_context_size_error",
                "request (2009 tokens) exceeds the available context size (512 tokens), try increasing it",
            )
            .body(r#"{"error":{"code":$status,"message":$message,"type":$type,"n_prompt_tokens":2009,"n_ctx":512}}"#),
        ),
        (Error::Unauthorised, no(401, "authentication_error", "Invalid API Key")),
        (Error::ModelGone, no(404, "not_found_error", "model '$model' not found")),
        (Error::ModelRetired, no(404, "not_found_error", "model '$model' not found")),
        (Error::BadRequest, no(400, INVALID, "unsupported content[].type")),
        (Error::Unsupported, no(501, "not_supported_error", "This server does not support embeddings.")),
    ],
    nothing: no(404, "not_found_error", "File Not Found"),
    rate: no(429, "rate_limit_error", "too many requests"),
    hints: NO_HINTS,
    ..OPENAI
};

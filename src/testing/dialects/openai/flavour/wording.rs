//! Each provider's refusals, as recorded traffic and its users' reports have them. Where neither has one, the status
//! and the shape are the provider's and the text is a likely one: the tests name the recorded ones.

mod hosts;
mod labs;
mod servers;

use super::Templates;
use crate::testing::fault::ProviderError as Error;

pub(super) use hosts::{GROQ, OPENROUTER, PERPLEXITY, TOGETHER};
pub(super) use labs::{AZURE, DEEPSEEK, MISTRAL, QWEN, XAI};
pub(super) use servers::{LLAMACPP, OLLAMA, VLLM};

/// A provider's refusals.
#[derive(Debug)]
pub(crate) struct Wording {
    /// An error's body: `$message`, `$type`, `$param`, `$code` are JSON, `$status` is a number, `$loc` an array.
    pub(super) body: &'static str,
    /// The content type of errors, where it is not JSON's.
    pub(super) content_type: Option<&'static str>,
    /// The failures that it has words of its own for; others are in OpenAI's words.
    errors: &'static [(Error, RefusalText<'static>)],
    /// The refusal of a malformed request; the message is about the request.
    pub(super) malformed: RefusalText<'static>,
    /// The answer at an unknown address; `$model` is the address.
    pub(super) nothing: RefusalText<'static>,
    /// The refusal of too many requests; `$limit` is the number per minute, `$hint` when to come back.
    pub(super) rate: RefusalText<'static>,
    pub(super) hints: Hints,
}

/// How a 429 says when to come back; empty forms are never sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hints {
    pub(super) seconds: Templates,
    pub(super) millis: Templates,
    pub(super) date: Templates,
    pub(super) reset: Templates,
    pub(super) text: &'static str,
}

/// One refusal. The message may name the `$model`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RefusalText<'a> {
    pub(super) status: u16,
    pub(super) kind: Option<&'a str>,
    pub(super) param: Option<&'a str>,
    pub(super) code: Option<&'a str>,
    pub(super) message: &'a str,
    /// Another body than the provider's usual one.
    pub(super) body: Option<&'a str>,
}

impl Wording {
    pub(super) fn said(&self, error: Error) -> &RefusalText<'static> {
        let find = |errors: &'static [(Error, RefusalText<'static>)]| {
            errors.iter().find(|(known, _)| *known == error).map(|(_, said)| said)
        };
        find(self.errors).or_else(|| find(OPENAI_ERRORS)).expect("OpenAI has words for every error")
    }
}

const fn no(status: u16, kind: &'static str, message: &'static str) -> RefusalText<'static> {
    RefusalText { status, kind: Some(kind), param: None, code: None, message, body: None }
}

impl RefusalText<'static> {
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

pub(crate) const OPENAI: Wording = Wording {
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

const OPENAI_ERRORS: &[(Error, RefusalText<'static>)] = &[
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
            "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 3 instead.",
        )
        .param("temperature")
        .code("decimal_above_max_value"),
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

pub(crate) const OPENAI_RESPONSES: Wording = Wording {
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
                "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 3 instead.",
            )
            .param("temperature")
            .code("decimal_above_max_value"),
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

//! The refusals of local servers: vLLM, Ollama, llama.cpp.

use super::{INVALID, NO_HINTS, OPENAI, Wording, no};
use crate::testing::fault::ProviderError as Error;

pub(crate) const VLLM: Wording = Wording {
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
        // The flat form of older versions.
        (
            Error::BadRequest,
            no(400, "BadRequestError", "[{'type': 'missing', 'loc': ('body', 'messages'), 'msg': 'Field required'}]")
                .body(r#"{"object":"error","message":$message,"type":$type,"param":null,"code":$status}"#),
        ),
    ],
    malformed: no(400, "BadRequestError", ""),
    nothing: no(404, "", "Not Found").body(r#"{"detail":$message}"#),
    rate: no(429, "TooManyRequestsError", "Too many requests."),
    hints: NO_HINTS,
    ..OPENAI
};

pub(crate) const OLLAMA: Wording = Wording {
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

pub(crate) const LLAMACPP: Wording = Wording {
    body: r#"{"error":{"code":$status,"message":$message,"type":$type}}"#,
    errors: &[
        (Error::Server, no(500, "server_error", "Compute error.")),
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
        (Error::BadRequest, no(400, INVALID, "Expected 'messages' to be an array")),
        (Error::Unsupported, no(501, "not_supported_error", "This server does not support embeddings.")),
    ],
    nothing: no(404, "not_found_error", "File Not Found"),
    rate: no(429, "rate_limit_error", "too many requests"),
    hints: NO_HINTS,
    ..OPENAI
};

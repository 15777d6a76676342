//! Whose fault a refusal is, by its words: a passing trouble at the provider, a model that is not there, or something
//! that this provider finds wrong with the request.
//!
//! The last must be told: by a field that the error names, or by words that say what is wrong with one of the request's
//! own parts. What tells nothing is [`FailureClass::Declined`](crate::words::FailureClass::Declined). Each provider
//! speaks of its own rules alone: of schemas, numbers, the form of contents, the order of turns. So the next target is
//! asked in any case, except where none can answer: where nothing was said.

use super::Sent;
use super::body::ErrorBody;

/// Texts of trouble that passes by itself, with any status.
const PASSING: &[&str] = &[
    "upstream",
    "temporar",
    "try again later",
    "try again in",
    "try again shortly",
    "please try again.",
    "retry later",
    "please retry",
    "retry your request",
    "timed out",
    "request timeout",
    "gateway timeout",
    "timeout exceeded",
    "deadline exceeded",
    "service unavailable",
    "currently unavailable",
    "is unavailable",
    "out of memory",
    "insufficient memory",
    "not enough memory",
    "failed to allocate",
    "memory allocation",
    "kv cache",
    "cuda error",
    "cuda out",
    "connection refused",
    "connection reset",
    "connection error",
    "connection closed",
    "connection aborted",
    "connect call failed",
    "failed to connect",
    "cannot connect",
    "could not connect",
    "econnre",
    "etimedout",
    "socket hang up",
    "litellm.timeout",
    "serviceunavailableerror",
    "apiconnectionerror",
    "internalservererror",
    "internal error",
    "internal server",
    "server error",
    "backend error",
    "bad gateway",
    "gateway error",
    "proxy error",
    "not ready",
    "model is loading",
    "loading model",
    "still loading",
    "starting up",
    "warming up",
    "shutting down",
    "being restarted",
    "unexpected error",
    "something went wrong",
    "has crashed",
    "unknown error",
    "an error occurred",
    "no healthy",
    "no available",
    "no instance",
    "no worker",
    "fetch failed",
    "could not resolve host",
    "name resolution",
];

/// Texts for a model that is not there.
const ABSENT: &[&str] = &[
    "not exist",
    "n't exist",
    "not found",
    "not_found",
    "not be found",
    "cannot find",
    "can't find",
    "could not find",
    "couldn't find",
    "unknown model",
    "no such model",
    "invalid model",
    "unrecognized model",
    "not a valid model",
    "is not valid",
    "not recognized",
    "is not available",
    "isn't available",
    "not available for",
    "no longer",
    "not deployed",
    "not served",
    "not installed",
    "supported api model names",
    "no endpoints found",
    "no model named",
    "have access",
    "not allowed to access model",
    "not have permission to use model",
    "permission to access",
    "deprecated",
    "decommissioned",
    "has been retired",
    "was retired",
    "was removed",
    "unable to access",
    "no provider",
    "no deployments",
];

/// Names of a request's parts. One of them alone proves nothing, since servers speak of their own limits in these
/// words: it must be marked as a name, or be said to be wrong.
const PARTS: &[&str] = &[
    "additionalproperties",
    "assistant message",
    "audio",
    "base64",
    "budget_tokens",
    "cache_control",
    "content",
    "content blocks",
    "contents",
    "frequency_penalty",
    "function_call",
    "function_declarations",
    "function_response",
    "function name",
    "functioncall",
    "functiondeclarations",
    "functionresponse",
    "generation_config",
    "generationconfig",
    "image",
    "image_url",
    "images",
    "input_schema",
    "inputs",
    "json_schema",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_new_tokens",
    "max_output_tokens",
    "max_tokens",
    "maxoutputtokens",
    "media_type",
    "messages",
    "message content",
    "parallel_tool_calls",
    "presence_penalty",
    "previous_response_id",
    "reasoning_effort",
    "repetition_penalty",
    "response_format",
    "response_schema",
    "responseschema",
    "role",
    "roles",
    "schema",
    "stop_sequence",
    "stop_sequences",
    "stopsequences",
    "system message",
    "system_instruction",
    "systeminstruction",
    "temperature",
    "tool_call",
    "tool_call_id",
    "tool_calls",
    "tool_choice",
    "tool_result",
    "tool_use",
    "tool message",
    "tool name",
    "tools",
    "top_k",
    "top_logprobs",
    "top_p",
    "user message",
];

/// Texts that call a part wrong: behind it in the same sentence, and right before it.
const BEHIND: &[&str] = &[
    " must ",
    " should ",
    " is required",
    " are required",
    " missing",
    " invalid",
    " is empty",
    " cannot be empty",
    " not valid",
    " not a valid",
    " out of range",
    " expected",
    " greater than",
    " supported range",
    " less than",
    " at least",
    " between ",
];
const BEFORE: &[&str] = &["invalid ", "missing ", "malformed ", "empty ", "duplicate "];

/// How validators speak of a field, under any name.
const VALIDATORS: &[&str] = &[
    "field required",
    "is a required property",
    "is a required field",
    "missing field",
    "missing required",
    "required parameter",
    "unknown variant",
    "invalid type:",
    "invalid value",
    "supported values",
    "input should be",
    "must be one of",
    "must be a string",
    "must be an array",
    "must be an object",
    "is not of type",
    "is not one of",
    "please use a valid",
    "url in the request",
];

/// Words for what a request is sent with: headers and what stands in its address. They are ours or a gateway's, and
/// never the caller's.
const ENVELOPE: &[&str] = &[
    "header",
    "headers",
    "content-type",
    "user-agent",
    "query parameter",
    "query parameters",
    "query string",
    "api-version",
    "api version",
];

/// Words for a conversation in which nothing is said, which no model can answer: OpenAI; Anthropic; Google, twice;
/// Mistral.
const NOTHING_SAID: &[&str] = &[
    "'messages': empty array",
    "messages: at least one message is required",
    "contents: contents is not specified",
    "at least one contents field is required",
    "conversation must have at least one message",
];

/// Words by which a refusal says that one model, host or account cannot take the request. Another may.
const OF_TARGET: &[&str] = &[
    "this model",
    "certain models",
    "some models",
    "the selected model",
    "the requested model",
    "the specified model",
    "this deployment",
    "this endpoint",
    "this platform",
    "this provider",
    "this region",
    "this server",
    "this account",
    "this organization",
    "this project",
    "our platform",
    "another account",
    "another organization",
    "another project",
    "your account",
    "your organization",
    "your project",
    "your plan",
    "your tier",
    "free plan",
    "free tier",
    "paid tier",
    "only supported",
    "only supports",
    "only available",
    "only allowed",
    "only valid",
    "only accepts",
    "only works",
];

/// Tells whether an error speaks of one model or host, whatever it finds wrong with the request.
pub(super) fn is_of_target(error: &ErrorBody, sent: Sent<'_>) -> bool {
    let name = sent.model.to_ascii_lowercase();
    let last = name.rsplit('/').next().unwrap_or_default();
    OF_TARGET.iter().any(|words| error.text.contains(words)) || names(&error.text, last)
}

/// Tells whether an error speaks of trouble that passes by itself.
pub(super) fn passes(error: &ErrorBody) -> bool {
    PASSING.iter().any(|words| error.text.contains(words))
}

/// Tells whether an error says that the model it was asked for is not there. Where it is known what that was called, it
/// must be named: "not found" alone is said of routes.
pub(super) fn is_gone(status: Option<u16>, error: &ErrorBody, sent: Sent<'_>) -> bool {
    // An operation that a key may not do there says nothing about the model.
    if !matches!(status, None | Some(400..=499)) || passes(error) || error.text.contains("denied on resource") {
        return false;
    }
    let named = match sent.model {
        // A text with "for this model" means a parameter, not a missing model.
        "" => {
            let of_it = ["for this model", "with this model"].iter().any(|words| error.text.contains(words));
            !of_it && ["model", "models"].iter().any(|word| holds(&error.text, word))
        }
        name => {
            let name = name.to_ascii_lowercase();
            let last = name.rsplit('/').next().unwrap_or_default();
            names(&error.whole, &name) || names(&error.whole, last)
        }
    };
    let is_route = matches!(status, Some(404 | 410));
    let absent = || ABSENT.iter().any(|words| error.text.contains(words));
    named && (absent() || (is_route && ["model", "models"].iter().any(|word| holds(&error.text, word))))
}

/// Tells whether an error is about the headers or the address that a request was sent with.
pub(super) fn is_of_envelope(error: &ErrorBody) -> bool {
    ENVELOPE.iter().any(|words| holds(&error.text, words)) || error.whole.contains("('header',")
}

/// Tells whether a refusal holds at every target: there is nothing to be answered.
pub(super) fn is_of_all(error: &ErrorBody) -> bool {
    NOTHING_SAID.iter().any(|words| error.whole.contains(words))
}

/// Tells whether an error says what is wrong with the request: it names a field, or one of the request's own parts.
pub(super) fn names_part(error: &ErrorBody) -> bool {
    let text = &error.whole;
    error.names_field
        || VALIDATORS.iter().any(|words| text.contains(words))
        || PARTS.iter().any(|part| places(text, part, is_inner).any(|at| blames(text, at, part)))
}

/// Tells whether a text calls the part at this place wrong, or marks it as a field: by quotes, as a step of a path, or
/// as the head of the message.
fn blames(text: &str, at: usize, part: &str) -> bool {
    const QUOTES: [char; 3] = ['\'', '"', '`'];
    let (before, behind) = (&text[..at], &text[at + part.len()..]);
    let is_address = before.rsplit(char::is_whitespace).next().is_some_and(|word| word.contains("://"));
    let goes_on = |rest: &str| rest.starts_with(|letter: char| letter.is_ascii_alphanumeric());
    let is_step = before.ends_with("#/")
        || before.ends_with(['.', '='])
        || behind.starts_with('[')
        || behind.strip_prefix(['.', '/']).is_some_and(goes_on);
    let lead = before.trim_end_matches(' ');
    let is_head = behind.starts_with(':') && (lead.is_empty() || lead.ends_with(['\n', '-', ':', '*', '(']));
    let sentence = behind.split(['\n', '!', '?']).next().unwrap_or_default();
    let sentence = sentence.split_once(". ").map_or(sentence, |(first, _)| first);
    before.ends_with(QUOTES)
        || behind.starts_with(QUOTES)
        || (is_step && !is_address)
        || is_head
        || BEFORE.iter().any(|words| before.ends_with(words))
        || BEHIND.iter().any(|words| sentence.contains(words))
}

/// Tells whether a letter may stand within a word.
pub(super) fn is_inner(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

/// Tells whether a text holds a word, and not only as a part of a longer one.
fn holds(text: &str, word: &str) -> bool {
    places(text, word, is_inner).next().is_some()
}

/// The same of a model's name, which points and hyphens go on.
fn names(text: &str, model: &str) -> bool {
    places(text, model, |letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_')).next().is_some()
}

/// Returns the place of a word in a text, where it is not only a part of a longer one.
pub(super) fn places<'a>(
    text: &'a str,
    word: &'a str,
    inner: impl Fn(char) -> bool + 'a,
) -> impl Iterator<Item = usize> + 'a {
    let stands = move |at: usize| {
        let mut rest = text[at + word.len()..].chars();
        let goes_on = match rest.next() {
            // A point may end a sentence or stand within a version.
            Some('.') if inner('-') => rest.next().is_some_and(|letter| letter.is_ascii_alphanumeric()),
            Some(letter) => inner(letter),
            None => false,
        };
        !text[..at].ends_with(|letter: char| inner(letter)) && !goes_on
    };
    text.match_indices(word).map(|(at, _)| at).filter(move |&at| !word.is_empty() && stands(at))
}

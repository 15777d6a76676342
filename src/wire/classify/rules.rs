//! The table of what providers' codes and words mean. The first rule that matches decides.
//!
//! Codes are compared whole and texts searched for, both in lower case. The order carries meaning: an account without
//! money before a limit, a limit before a missing model, what is plainly malformed before what is not supported.

use std::ops::RangeInclusive;

use super::Verdict;
use super::body::ErrorBody;
use crate::words::{FailureClass, Scope};

/// A class, and the statuses, codes and texts that mean it. Without codes and texts the status alone means it; with
/// them, an error inside a 200 that names no status fits any.
struct Rule {
    class: FailureClass,
    statuses: RangeInclusive<u16>,
    codes: &'static [&'static str],
    texts: &'static [&'static str],
}

const ANY: RangeInclusive<u16> = 0..=999;
/// The caller's side is at fault, says the status.
const CALLER: RangeInclusive<u16> = 400..=499;
/// The request as such is refused.
const REQUEST: RangeInclusive<u16> = 400..=422;
/// The same, and 500 and 501, by which llama.cpp means it too.
const MISUSE: RangeInclusive<u16> = 400..=501;

const RULES: &[Rule] = &[
    Rule { class: FailureClass::OutOfMoney, statuses: 402..=402, codes: &[], texts: &[] },
    // Alibaba spells its tokens-a-minute limit like OpenAI's empty account; only the text tells.
    Rule {
        class: FailureClass::RateLimited,
        statuses: CALLER,
        codes: &[],
        texts: &["#token-limit", "allocated quota exceeded"],
    },
    Rule {
        class: FailureClass::OutOfMoney,
        statuses: ANY,
        codes: &[
            "insufficient_quota",
            "credit_balance_exhausted",
            "organization_spend_limit_exceeded",
            "project_spend_limit_exceeded",
            "organization_usage_limit_exceeded",
            "enforced_spend_limit_reached",
            "billing_hard_limit_reached",
            "billing_not_active",
            "billing_disabled",
            "billing_error",
            "payment_required",
            "insufficient_balance",
            "arrearage",
            "allocationquota.freetieronly",
        ],
        texts: &[],
    },
    Rule {
        class: FailureClass::OutOfMoney,
        statuses: CALLER,
        codes: &[],
        texts: &[
            "credit balance is too low",
            "reached your specified api usage limits",
            "reached your specified workspace api usage limits",
            "insufficient balance",
            "insufficient credits",
            "used all available credits",
            "run out of credits",
            "account is in good standing",
            "free tier of the model has been exhausted",
        ],
    },
    Rule {
        class: FailureClass::Forbidden,
        statuses: CALLER,
        codes: &[
            "unsupported_country_region_territory",
            "region_restricted",
            "privacy_restricted",
            "data_residency_mismatch",
            "request_forbidden_by_region",
        ],
        texts: &[
            "country, region, or territory not supported",
            "user location is not supported",
            "not available in your region",
            "not available in your country",
            "matching your data policy",
            "matching your guardrail",
        ],
    },
    Rule {
        class: FailureClass::ContentPolicy,
        statuses: ANY,
        codes: &[
            "content_filter",
            "content_policy_violation",
            "data_inspection_failed",
            "datainspectionfailed",
            "responsibleaipolicyviolation",
            "moderation_blocked",
            "bio_policy",
            "image_content_policy_violation",
            "refusal",
        ],
        texts: &[],
    },
    Rule {
        class: FailureClass::ContentPolicy,
        statuses: CALLER,
        codes: &[],
        texts: &[
            "content management policy",
            "content filtering policy",
            "violating our usage policy",
            "inappropriate content",
            "was flagged",
            "rejected as a result of our safety system",
            "content exists risk",
            "violates usage guidelines",
        ],
    },
    Rule {
        class: FailureClass::Unauthorised,
        statuses: CALLER,
        codes: &[
            "invalid_api_key",
            "invalidapikey",
            "api_key_invalid",
            "api_key_expired",
            "authentication_error",
            "authentication",
            "unauthenticated",
            "permission_denied",
            "account_deactivated",
            "access_terminated",
        ],
        texts: &[
            "incorrect api key",
            "invalid api key",
            "invalid api-key",
            "invalid x-api-key",
            "api key not valid",
            "api key is invalid",
            "api key expired",
            "unregistered callers",
            "organization has been disabled",
        ],
    },
    Rule {
        class: FailureClass::ContextTooLong,
        statuses: REQUEST,
        codes: &[
            "context_length_exceeded",
            "exceed_context_size_error",
            "too_many_prompt_tokens",
            "token_limit_exceeded",
            "model_context_window_exceeded",
        ],
        texts: &[
            "maximum context length",
            "max context length",
            "maximum model length",
            "maximum prompt length",
            "`inputs` tokens + `max_new_tokens` must be <=",
            "context window",
            "available context size",
            "prompt is too long",
            "prompt too long",
            "input is too long",
            "range of input length should be",
            "messages is too long",
            "reduce the length of the messages",
            "exceed context limit",
            // What old vLLM computes when the prompt leaves no room for an answer.
            "max_tokens must be at least 1, got -",
        ],
    },
    Rule {
        class: FailureClass::ContextTooLong,
        statuses: REQUEST,
        codes: &[],
        texts: &["input token count (", "exceeds the maximum number of tokens"],
    },
    Rule {
        class: FailureClass::Overloaded,
        statuses: ANY,
        codes: &[
            "overloaded_error",
            "overloaded",
            "server_is_overloaded",
            "engine_overloaded",
            "provider_overloaded",
            "service_unavailable_error",
            "service_unavailable",
            "unavailable",
            "capacity_exceeded",
            "capacity_exhausted",
            "temporarily_unavailable",
            "3505",
        ],
        texts: &[
            "capacity exceeded",
            "is overloaded",
            "currently overloaded",
            "experiencing high demand",
            "server busy",
            "server is busy",
            "at capacity",
            "resource exhausted, please try again later",
            "resource exhausted. please try again later",
        ],
    },
    // Qwen wraps what its back end says into a 500, which speaks of too many requests: everybody's, not ours.
    Rule { class: FailureClass::Overloaded, statuses: 500..=599, codes: &[], texts: &["throttl"] },
    Rule {
        class: FailureClass::RateLimited,
        statuses: ANY,
        codes: &[
            "rate_limit_exceeded",
            "rate_limit_error",
            "rate_limited",
            "ratelimitreached",
            "limit_requests",
            "limit_burst_rate",
            "slow_down",
            "too_many_requests",
            "resource_exhausted",
            "429",
        ],
        texts: &["rate limit reached", "rate limit exceeded", "too many requests"],
    },
    // Whatever else a 429 says.
    Rule { class: FailureClass::RateLimited, statuses: 429..=429, codes: &[], texts: &[] },
    Rule {
        class: FailureClass::Unusable,
        statuses: ANY,
        codes: &["tool_use_failed", "json_validate_failed"],
        texts: &[],
    },
    Rule {
        class: FailureClass::Unsupported,
        statuses: CALLER,
        codes: &["constraint_filtered"],
        texts: &["no endpoints found that support", "no endpoints found that can handle"],
    },
    // What only its own provider has, and this one is another: the next may be that.
    Rule {
        class: FailureClass::Unsupported,
        statuses: CALLER,
        codes: &["previous_response_not_found", "conversation_not_found", "file_not_found", "container_not_found"],
        texts: &[
            "previous response with id",
            "previous response not found",
            "conversation with id",
            "item with id",
            "file not found",
            "no such file",
            "files were not found",
            "access the file",
            "container not found",
            "cachedcontent not found",
            "cached content not found",
        ],
    },
    Rule {
        class: FailureClass::ModelGone,
        statuses: CALLER,
        codes: &[
            "model_not_found",
            "model_not_available",
            "model_deprecated",
            "model_decommissioned",
            "model_unavailable_upstream",
            "invalid_model",
            "unknown_model",
            "deploymentnotfound",
            "no_endpoints",
            "free_variant_ended",
        ],
        texts: &[
            "supported api model names",
            "is not a valid model",
            "model not found",
            "unknown model",
            "no endpoints found",
        ],
    },
    // Words about what is supported change nothing about these.
    Rule { class: FailureClass::Unauthorised, statuses: 401..=401, codes: &[], texts: &[] },
    Rule { class: FailureClass::Forbidden, statuses: 403..=403, codes: &[], texts: &[] },
    Rule { class: FailureClass::ModelGone, statuses: 404..=404, codes: &[], texts: &[] },
    Rule {
        class: FailureClass::BadRequest,
        statuses: MISUSE,
        codes: &[
            "invalid_value",
            "invalid_type",
            "invalid_image",
            "invalid_image_format",
            "invalid_image_url",
            "invalid_image_mode",
            "invalid_base64_image",
            "image_too_large",
            "image_too_small",
            "image_file_too_large",
            "image_parse_error",
            "empty_image_file",
            "image_file_not_found",
            "missing_required_parameter",
            "empty_array",
        ],
        texts: &[
            "cannot make get request",
            "json.exception",
            "parse error",
            "failed to parse",
            "invalid argument",
            "invalid-argument",
        ],
    },
    Rule {
        class: FailureClass::Unsupported,
        statuses: MISUSE,
        codes: &[
            "unsupported_parameter",
            "unsupported_value",
            "unknown_parameter",
            "not_supported_error",
            "unsupported_image_media_type",
            // An image this provider cannot reach, another perhaps can.
            "failed_to_download_image",
            // Reasoning that another account's models thought.
            "invalid_encrypted_content",
        ],
        texts: &[
            "does not support",
            "not supported",
            "unsupported",
            "not enabled for this model",
            "not a multimodal model",
            "only support stream",
            "requires --jinja",
            "unrecognized request argument",
            "extra inputs are not permitted",
            // Gemini, of a field, a penalty and a proof that it does not know, and of thinking switched off.
            "cannot find field",
            "is not enabled for models/",
            "thought_signature",
            "thought signature",
            "only works in thinking mode",
            // Anthropic, of what one model takes and another does not: sampling, limits, schemas, thinking.
            "is deprecated for this model",
            "cannot both be specified",
            "which is the maximum allowed number of output tokens",
            "too many optional parameters",
            "too many parameters with union types",
            "'additionalproperties' must be explicitly set to false",
            "thinking may not be enabled when",
            "expected `thinking` or `redacted_thinking`",
            "in `thinking` block",
            // OpenAI, of reasoning that another account or model encrypted.
            "encrypted content",
            // DeepSeek, of anything but text in a message.
            ", expected `text`",
        ],
    },
    Rule {
        class: FailureClass::BadRequest,
        statuses: 500..=500,
        codes: &["invalid_request_error", "invalid_argument", "badrequesterror"],
        texts: &[],
    },
];

/// Codes that tell no more than the status beside them does.
const PLAIN_CODES: &[&str] = &[
    "aborted",
    "access_denied",
    "access_token_expired",
    "already_exists",
    "array_above_max_length",
    "api_error",
    "apierror",
    "badrequest",
    "blocklist",
    "cancelled",
    "conflict_error",
    "decimal_above_max_value",
    "decimal_below_min_value",
    "deadline_exceeded",
    "failed_precondition",
    "image_safety",
    "insufficientpermissions",
    "integer_above_max_value",
    "integer_below_min_value",
    "internal",
    "internal_error",
    "internal_server_error",
    "internalservererror",
    "invalid_function_parameters",
    "invalid_json_schema",
    "invalid_parameter_error",
    "invalid_parameter",
    "invalid_prompt",
    "invalid_request",
    "invalid_request_invalid_args",
    "invalid_request_prompt",
    "invalid-argument",
    "invalidparameter",
    "jailbreak",
    "malformed_function_call",
    "malformed_response",
    "missing_thought_signature",
    "model_armor",
    "none",
    "not_found",
    "not_found_error",
    "notfound",
    "notfounderror",
    "other",
    "out_of_range",
    "payload_too_large",
    "permission_error",
    "prohibited_content",
    "provider_unavailable",
    "recitation",
    "request_too_large",
    "requests",
    "safety",
    "server",
    "server_error",
    "spii",
    "string_above_max_length",
    "string_below_min_length",
    "timeout",
    "timeout_error",
    "tokens",
    "too_many_tool_calls",
    "unauthorized",
    "unavailable_error",
    "unexpected_tool_call",
    "unimplemented",
    "unknown",
    "unknown_error",
    "unmapped",
    "unprocessable",
    "value_error",
];

/// Tells whether a code is known: to a rule, or as one that tells nothing. Numbers are statuses.
pub(super) fn knows(code: &str) -> bool {
    let rules = RULES.iter().flat_map(|rule| rule.codes);
    code.bytes().all(|byte| byte.is_ascii_digit())
        || rules.chain(PLAIN_CODES).any(|known| code.eq_ignore_ascii_case(known))
}

/// Judges an error by its codes, its texts and its status, in this order.
pub(super) fn judge(status: Option<u16>, error: &ErrorBody) -> Verdict {
    let class = if exceeds_limit(status, error) {
        FailureClass::RequestExceedsLimit
    } else if status == Some(403) && error.is_page {
        // A gateway's challenge; the API itself forbids in JSON.
        FailureClass::Server
    } else {
        let rule = RULES.iter().find(|rule| rule.matches(status, error));
        rule.map_or_else(|| by_status(status), |rule| rule.class)
    };
    Verdict { class, scope: scope(class, status, error) }
}

impl Rule {
    fn matches(&self, status: Option<u16>, error: &ErrorBody) -> bool {
        let fits = status.map(|status| self.statuses.contains(&status));
        if self.codes.is_empty() && self.texts.is_empty() {
            return fits == Some(true);
        }
        fits != Some(false)
            && (error.codes.iter().any(|code| self.codes.iter().any(|known| code.eq_ignore_ascii_case(known)))
                || self.texts.iter().any(|text| error.text.contains(text)))
    }
}

/// What a status means that no rule knows.
fn by_status(status: Option<u16>) -> FailureClass {
    match status {
        Some(410) => FailureClass::ModelGone,
        Some(451) => FailureClass::Forbidden,
        Some(498 | 503 | 529) => FailureClass::Overloaded,
        // Time-outs, conflicts and closed connections on the provider's side.
        Some(408 | 409 | 425 | 499) => FailureClass::Server,
        Some(400..=497) => FailureClass::BadRequest,
        // An error inside a stream that says no more, a redirection, a gateway's own status.
        _ => FailureClass::Server,
    }
}

fn scope(class: FailureClass, status: Option<u16>, error: &ErrorBody) -> Option<Scope> {
    match class {
        // "… or you do not have access to it": who has, may be asked with another key.
        FailureClass::ModelGone
            if ["have access", "has access", "permission"].iter().any(|word| error.text.contains(word)) =>
        {
            Some(Scope::Key)
        }
        // Another key meets the same limit behind an aggregator.
        FailureClass::RateLimited if error.text.contains("upstream") => Some(Scope::Model),
        FailureClass::Overloaded if error.text.contains("model") => Some(Scope::Model),
        FailureClass::Server if error.is_page || matches!(status, Some(502 | 504 | 520..=530)) => Some(Scope::Endpoint),
        _ => None,
    }
}

/// Tells whether one request is larger than what a minute allows, so that no wait helps: "Limit 6000, Requested
/// 14368".
fn exceeds_limit(status: Option<u16>, error: &ErrorBody) -> bool {
    if !matches!(status, None | Some(413 | 429)) {
        return false;
    }
    let number_after = |word: &str| -> Option<u64> {
        let (_, tail) = error.text.split_once(word)?;
        let tail = tail.trim_start_matches([':', ' ']);
        let digits: String =
            tail.chars().take_while(|c| c.is_ascii_digit() || *c == ',').filter(char::is_ascii_digit).collect();
        digits.parse().ok()
    };
    match (number_after("requested"), number_after("limit ").or_else(|| number_after("limit:"))) {
        (Some(requested), Some(limit)) => requested > limit,
        _ => error.text.contains("request too large") && error.codes.iter().any(|code| code == "rate_limit_exceeded"),
    }
}

//! The table of what providers' codes and words mean. The first rule that matches decides.
//!
//! Codes are compared whole and texts searched for, both in lower case. The order carries meaning: an account without
//! money before a limit, a limit before a missing model, what is plainly malformed before what is not supported, and
//! what may pass before what is the caller's fault. What no rule knows is judged by its status, in doubt as a refusal
//! that proves nothing.

use std::ops::RangeInclusive;

use super::body::ErrorBody;
use super::codes::PLAIN;
use super::{Sent, Verdict, fault, overflow};
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
/// The same, and 500 and 501, by which llama.cpp means it too.
const MISUSE: RangeInclusive<u16> = 400..=501;

/// What is wrong with an account, a place, a content or a key.
const ACCOUNT: &[Rule] = &[
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
            // Kimi, of an account that has no balance left, with 429 and with 403.
            "exceeded_current_quota_error",
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
            "余额不足",
            "已欠费",
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
            "new_sensitive",
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
            "invalid_authentication_error",
            "incorrect_api_key_error",
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
            // MiniMax, within a 200.
            "login fail",
            "organization has been disabled",
        ],
    },
];

/// Filters of one host alone, by code and in words: `DashScope`'s, of what is asked and of what is answered,
/// `DeepSeek`'s and `MiniMax`'s.
const HOST_FILTERS: &[&str] = &["data_inspection_failed", "datainspectionfailed"];
const HOST_WORDS: &[&str] = &["inappropriate content", "content exists risk", "new_sensitive"];

/// What is too much for now, and an answer that the model spoilt.
const LOAD: &[Rule] = &[
    Rule {
        class: FailureClass::Overloaded,
        statuses: ANY,
        codes: &[
            "overloaded_error",
            "overloaded",
            "server_is_overloaded",
            "engine_overloaded",
            "engine_overloaded_error",
            "provider_overloaded",
            "service_unavailable_error",
            "service_unavailable",
            "serviceunavailable",
            "service_tier_capacity_exceeded",
            "unavailable",
            "capacity_exceeded",
            "capacity_exhausted",
            "temporarily_unavailable",
            "modelnotreadyexception",
            "model_overloaded",
            "insufficient_capacity",
            "system_busy",
            "3505",
        ],
        texts: &[
            "capacity exceeded",
            "is overloaded",
            "are overloaded",
            "currently overloaded",
            "server overloaded",
            "model overloaded",
            "too busy",
            "system is busy",
            "insufficient capacity",
            "no capacity",
            "experiencing high demand",
            "server busy",
            "server is busy",
            "at capacity",
            "resource exhausted, please try again later",
            "resource exhausted. please try again later",
        ],
    },
    // Qwen wraps what its back end says into a 500, which speaks of too many requests: those of all its users, not ours
    // alone.
    Rule { class: FailureClass::Overloaded, statuses: 500..=599, codes: &[], texts: &["throttl"] },
    Rule {
        class: FailureClass::RateLimited,
        statuses: ANY,
        codes: &[
            "rate_limit",
            "rate_limit_exceeded",
            "rate_limit_error",
            "rate_limit_reached_error",
            "rate_limited",
            "rate-limited",
            "ratelimited",
            "ratelimiterror",
            "ratelimitexceeded",
            "ratelimitreached",
            "limit_requests",
            "limit_burst_rate",
            "slow_down",
            "too_many_requests",
            "toomanyrequests",
            "toomanyrequestsexception",
            "throttling",
            "throttling.ratequota",
            "throttling.allocationquota",
            "throttlingexception",
            "quota_exceeded",
            "servicequotaexceededexception",
            "usage_limit_reached",
            "resource_exhausted",
            "429",
        ],
        texts: &["rate limit reached", "rate limit exceeded", "request limit reached", "too many requests"],
    },
    // In a refusal of any status; a 500 that speaks of it means its own.
    Rule {
        class: FailureClass::RateLimited,
        statuses: CALLER,
        codes: &[],
        texts: &[
            "rate limit",
            "rate-limit",
            "ratelimit",
            "throttl",
            "quota exceeded",
            "quota has been exceeded",
            "quota will reset",
            "exceeded your current quota",
            "exceeded your quota",
            "exceeded the quota",
            "exceeds your quota",
            "exhausted your quota",
            "exhausted your capacity",
            "out of quota",
            "quota is exhausted",
            "quota limit",
            "usage limit",
            "requests per minute",
            "requests per day",
            "tokens per minute",
            "tokens per day",
            "too many concurrent",
            "concurrency limit",
        ],
    },
    // Whatever else a 429 says.
    Rule { class: FailureClass::RateLimited, statuses: 429..=429, codes: &[], texts: &[] },
    Rule {
        class: FailureClass::Unusable,
        statuses: ANY,
        codes: &["tool_use_failed", "json_validate_failed"],
        texts: &[],
    },
];

/// What is not there, or not for us.
const TARGET: &[Rule] = &[
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
            "model_not_exist",
            "model_not_exists",
            "model_not_supported",
            "model_deprecated",
            "model_decommissioned",
            "model_unavailable_upstream",
            "modelnotfound",
            "modelnotfounderror",
            "invalid_model",
            "invalid_model_error",
            "unknown_model",
            "deploymentnotfound",
            "no_endpoints",
            "free_variant_ended",
        ],
        texts: &[],
    },
    // Words about what is supported change nothing about these.
    Rule { class: FailureClass::Unauthorised, statuses: 401..=401, codes: &[], texts: &[] },
    Rule { class: FailureClass::Forbidden, statuses: 403..=403, codes: &[], texts: &[] },
];

/// What of a request is malformed, or more than this target can do.
const REQUEST: &[Rule] = &[
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
        texts: &[],
    },
    // llama.cpp, of an image that it cannot get or read, and of a body that its template makes nothing of: another may.
    Rule {
        class: FailureClass::Unsupported,
        statuses: MISUSE,
        codes: &[],
        texts: &["cannot make get request", "failed to load image or audio", "json.exception"],
    },
    Rule {
        class: FailureClass::Unsupported,
        statuses: MISUSE,
        codes: &[
            "unsupported_parameter",
            "unsupported_value",
            "unknown_parameter",
            "not_supported_error",
            // Azure, of a deployment of a model that does something else.
            "operationnotsupported",
            "unsupported_image_media_type",
            // An image this provider cannot reach, another perhaps can.
            "failed_to_download_image",
            // Reasoning that another account's models thought.
            "invalid_encrypted_content",
        ],
        texts: &[],
    },
    Rule {
        class: FailureClass::Unsupported,
        statuses: 500..=500,
        codes: &[],
        texts: &["requires --jinja", "does not support"],
    },
    Rule {
        class: FailureClass::Unsupported,
        statuses: CALLER,
        codes: &[],
        texts: &[
            "does not support",
            "not supported",
            "unsupported",
            "not enabled for this model",
            "not a multimodal model",
            "only support stream",
            "requires --jinja",
            "n't support",
            "not implemented",
            "not compatible with",
            "incompatible with",
            "cannot be used with",
            "not available for this model",
            "not allowed for this model",
            "not permitted for this model",
            "unrecognized request argument",
            "unrecognized field",
            "unrecognized parameter",
            "unknown parameter",
            "unknown field",
            "unknown argument",
            "unknown name",
            "unexpected field",
            "unexpected keyword",
            "unexpected property",
            "no such parameter",
            "is not a valid parameter",
            "additional properties are not allowed",
            "extra fields not permitted",
            "extra inputs are not permitted",
            "extra_forbidden",
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
            "this model supports at most",
            // Others, of an answer that is to be longer than they give: DeepSeek and Qwen, Groq, Google, Fireworks.
            "range of max_tokens",
            "range of max_completion_tokens",
            "the maximum value for `max_tokens`",
            "the maximum value for `max_completion_tokens`",
            "supported range is from 1",
            "maximum output tokens",
            "max_tokens is too large",
            "max_completion_tokens is too large",
            "max_tokens value, the valid range",
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
];

/// Tells whether a code is known: to a rule, or as one that tells nothing. Numbers are statuses.
pub(super) fn knows(code: &str) -> bool {
    let rules = [ACCOUNT, LOAD, TARGET, REQUEST].into_iter().flatten().flat_map(|rule| rule.codes);
    code.bytes().all(|byte| byte.is_ascii_digit())
        || rules.chain(overflow::CODES).chain(PLAIN).any(|known| code.eq_ignore_ascii_case(known))
}

/// Judges an error by its codes, its texts and its status, in this order.
pub(super) fn judge(status: Option<u16>, error: &ErrorBody, sent: Sent<'_>) -> Verdict {
    let status = meant(status, error);
    let class = if error.is_page {
        by_page(status)
    } else if exceeds_limit(status, error) {
        FailureClass::RequestExceedsLimit
    } else {
        by_words(status, error, sent).unwrap_or_else(|| by_status(status))
    };
    Verdict { class, scope: scope(class, status, error) }
}

/// Returns the status that an error means: behind a plain 400 or 500 a gateway hides that of the provider it asked.
fn meant(status: Option<u16>, error: &ErrorBody) -> Option<u16> {
    match (status, error.inner_status()) {
        (Some(400 | 500) | None, Some(inner @ (429 | 500..=599))) => Some(inner),
        (None, inner) => inner,
        (status, _) => status,
    }
}

fn by_words(status: Option<u16>, error: &ErrorBody, sent: Sent<'_>) -> Option<FailureClass> {
    use FailureClass as C;
    let ruled = |rules: &[Rule]| rules.iter().find(|rule| rule.matches(status, error)).map(|rule| rule.class);
    let refuses = matches!(status, Some(400 | 422));
    ruled(ACCOUNT)
        .or_else(|| overflow::is_overflow(status, error, sent).then_some(C::ContextTooLong))
        .or_else(|| ruled(LOAD))
        .or_else(|| fault::is_gone(status, error, sent).then_some(C::ModelGone))
        .or_else(|| ruled(TARGET))
        .or_else(|| ruled(REQUEST))
        .or_else(|| (refuses && fault::passes(error)).then_some(C::Server))
        .or_else(|| (refuses && fault::is_proven(error)).then_some(C::BadRequest))
}

/// Returns what a page is that stands where an answer should: a gateway's, which knows of no model.
fn by_page(status: Option<u16>) -> FailureClass {
    match status {
        Some(402) => FailureClass::OutOfMoney,
        Some(401) => FailureClass::Unauthorised,
        Some(429) => FailureClass::RateLimited,
        Some(403 | 410 | 451) => FailureClass::Server,
        status => by_status(status),
    }
}

impl Rule {
    fn matches(&self, status: Option<u16>, error: &ErrorBody) -> bool {
        let fits = status.map(|status| self.statuses.contains(&status));
        if self.codes.is_empty() && self.texts.is_empty() {
            return fits == Some(true);
        }
        fits != Some(false) && (error.has_code(self.codes) || self.texts.iter().any(|text| error.text.contains(text)))
    }
}

/// What a status means that no rule knows.
fn by_status(status: Option<u16>) -> FailureClass {
    match status {
        Some(413) => FailureClass::RequestExceedsLimit,
        Some(451) => FailureClass::Forbidden,
        Some(498 | 503 | 529) => FailureClass::Overloaded,
        // The request as such, and the answer does not say what of it.
        Some(400 | 406 | 409 | 411 | 412 | 414..=418 | 422 | 431) => FailureClass::Declined,
        // A route or a method that is missing, a proxy in between, what is not ready, time-outs and closed connections
        // on the provider's side; an error inside a stream that says no more; a redirection; a gateway's own.
        _ => FailureClass::Server,
    }
}

fn scope(class: FailureClass, status: Option<u16>, error: &ErrorBody) -> Option<Scope> {
    match class {
        // "… or you do not have access to it": another key may have access.
        FailureClass::ModelGone
            if ["have access", "has access", "permission"].iter().any(|word| error.text.contains(word)) =>
        {
            Some(Scope::Key)
        }
        // A host that looks for words refuses what others take: it judges by a list of its own, not the request.
        FailureClass::ContentPolicy
            if error.has_code(HOST_FILTERS) || HOST_WORDS.iter().any(|words| error.text.contains(words)) =>
        {
            Some(Scope::Endpoint)
        }
        // Another key meets the same limit behind an aggregator.
        FailureClass::RateLimited if error.text.contains("upstream") => Some(Scope::Model),
        FailureClass::Overloaded if error.text.contains("model") => Some(Scope::Model),
        FailureClass::Server if error.is_page || error.is_plain || matches!(status, Some(502 | 504 | 520..=530)) => {
            Some(Scope::Endpoint)
        }
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

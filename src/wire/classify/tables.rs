//! The meaning of providers' codes and texts, by subject. The first rule that matches decides.
//!
//! Codes are compared whole and texts searched for, both in lower case; the parts of a text on both sides of ` … `
//! stand in this order. The order of the rules has a meaning, within a table and between them.

use std::ops::RangeInclusive;

use crate::words::FailureClass;

/// A class, and the statuses, codes and texts that mean it. Without codes and texts the status alone means it; with
/// them, an error inside a 200 that names no status fits any.
pub(super) struct Rule {
    pub(super) class: FailureClass,
    pub(super) statuses: RangeInclusive<u16>,
    pub(super) codes: &'static [&'static str],
    pub(super) texts: &'static [&'static str],
}

const ANY: RangeInclusive<u16> = 0..=999;
/// Statuses that blame the caller's side.
pub(super) const CALLER: RangeInclusive<u16> = 400..=499;
/// The same, and 500 and 501, by which llama.cpp means it too.
pub(super) const MISUSE: RangeInclusive<u16> = 400..=501;

/// Failures of an account, a place, a content or a key. What the shape of a sentence tells (`accounts`) is not here.
pub(super) const ACCOUNT: &[Rule] = &[
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
            // LiteLLM, of a key's budget.
            "budget_exceeded",
            "payment_required",
            "insufficient_balance",
            "exceeded_current_quota_error",
            "arrearage",
            "allocationquota.freetieronly",
            "accountoverdueerror",
            "account_suspended",
            // Groq, of a limit that an organization set itself; Novita, Vercel and others.
            "blocked_api_access",
            "not_enough_balance",
            "insufficient_funds",
            "insufficient_credits",
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
            "used all available credits",
            "run out of credits",
            "account is in good standing",
            "account … is suspended",
            "account is not active",
            "account balance",
            "credit limit exceeded",
            // OpenRouter, of what a key may spend a day, a week or a month.
            "key limit exceeded",
            "overdue balance",
            // OpenAI says how one "by adding a payment method" has a higher limit: that is no lack of money.
            "no payment method",
            "valid payment method",
            "added your payment method",
            "added a payment method",
            "missing payment method",
            // Google, of what is paid beforehand; Groq, xAI and Anthropic, of limits that an account sets itself.
            "prepayment credits",
            "reached … spend limit",
            "reached … spending limit",
            "exceeded … spend limit",
            "exceeded … spending limit",
            "spend limit exceeded",
            "spend limit has been",
            "spending limit has been",
            "spending cap",
            // Gateways.
            "insufficient credit",
            "no credits left",
            "no credits remaining",
            "exceeded their budget",
            "inactive subscription",
            "no active subscription",
            "欠费",
            // Anthropic, of a plan that is used up and pays for no more.
            "out of extra usage",
            "from your extra usage",
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
            "was flagged",
            "rejected as a result of our safety system",
            "violates usage guidelines",
        ],
    },
    Rule { class: FailureClass::ContentPolicy, statuses: ANY, codes: HOST_FILTERS, texts: &[] },
    Rule { class: FailureClass::ContentPolicy, statuses: CALLER, codes: &[], texts: HOST_WORDS },
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
            "account_deactivated",
            "consumer_suspended",
            "organization_restricted",
            "access_terminated",
            // LiteLLM.
            "expired_key",
            "token_not_found_in_db",
        ],
        texts: &[
            "invalid x-api-key",
            "api key not valid",
            "api key is required",
            "expired key",
            "no api key",
            "reported as leaked",
            "token expired",
            "token has expired",
            "token is expired",
            "token has been revoked",
            "unregistered callers",
            // MiniMax, within a 200.
            "login fail",
            // Anthropic, of a login that may do no more than its own agent does.
            "credential is only authorized",
        ],
    },
];

/// What the refusal of an account begins with. The first words are always the provider's own, so that they count even
/// where a field is blamed, whose value may be quoted behind them.
pub(super) const HEADS: &[(FailureClass, &[&str])] = &[
    // OpenAI, of models and streams for which it asks an organisation to prove its identity.
    (FailureClass::Forbidden, &["your organization must be verified to"]),
    // LiteLLM; Cloudflare; DeepSeek; Z.ai.
    (
        FailureClass::Unauthorised,
        &["authentication error", "authentication failed", "authentication fails", "authentication failure"],
    ),
];

/// Filters of one host alone, by code: `DashScope`'s, of what is asked and of what is answered, Z.ai's, `StepFun`'s and
/// those of gateways.
pub(super) const HOST_FILTERS: &[&str] = &[
    "data_inspection_failed",
    "datainspectionfailed",
    "1301",
    "sensitive",
    "censorship_blocked",
    "sensitive_words_detected",
];
/// The same in the words of `DashScope`, `DeepSeek`, `MiniMax`, Kimi, Z.ai, Doubao and gateways.
pub(super) const HOST_WORDS: &[&str] = &[
    "inappropriate content",
    "content exists risk",
    "new_sensitive",
    "considered high risk",
    "sensitive word",
    "sensitive content",
    "sensitive information",
    "敏感",
    "guardrail",
    "prompt blocked",
    "content blocked",
    "content is blocked",
];

/// Too much load for now, and answers that the model spoilt.
pub(super) const LOAD: &[Rule] = &[
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
    // Qwen wraps what its back end says into a 500, which speaks of too many requests: those of all its users, not
    // ours.
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
            // Tencent.
            "limitexceeded",
            "requestlimitexceeded",
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
    // In a refusal of any status; a 500 with these words is about the server's own limit.
    Rule {
        class: FailureClass::RateLimited,
        statuses: CALLER,
        codes: &[],
        texts: &[
            "rate limit",
            "rate-limit",
            "ratelimit",
            "throttl",
            "slow down",
            "this minute",
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
    // All other words of a 429.
    Rule { class: FailureClass::RateLimited, statuses: 429..=429, codes: &[], texts: &[] },
    Rule {
        class: FailureClass::Unusable,
        statuses: ANY,
        codes: &["tool_use_failed", "json_validate_failed"],
        texts: &["model produced invalid content"],
    },
];

/// Models and functions that are missing, or not for this account.
pub(super) const TARGET: &[Rule] = &[
    Rule {
        class: FailureClass::Unsupported,
        statuses: CALLER,
        codes: &["constraint_filtered"],
        texts: &["no endpoints found that support", "no endpoints found that can handle"],
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
    // Words about what is supported change nothing about a key.
    Rule { class: FailureClass::Unauthorised, statuses: 401..=401, codes: &[], texts: &[] },
    // What one provider keeps for one account, of which the request names a part that is not there or not this
    // account's. It is no fault of the key.
    Rule {
        class: FailureClass::Unsupported,
        statuses: CALLER,
        codes: &["previous_response_not_found", "conversation_not_found", "file_not_found", "container_not_found"],
        texts: &[
            "previous response with id",
            "previous response not found",
            "conversation with id",
            "item with id",
            "with id … not found",
            "with id … does not exist",
            "file not found",
            "file … not found",
            "no such file",
            "no file found",
            "files were not found",
            "access the file",
            "access to the file",
            "access file",
            "file access",
            "access to file",
            "not in an active state",
            "vector store",
            "container not found",
            "container is expired",
            "container has expired",
            "cachedcontent",
            "cached content",
            "access tuned model",
            "skill not found",
            "prompt not found",
            "response not found",
            "assistant not found",
            "thread not found",
            "mcp server",
            // Files in the stores of Google and Amazon.
            "storage.objects.",
            "s3:getobject",
        ],
    },
    // What a key may not do at one model: Amazon, Google, Azure.
    Rule {
        class: FailureClass::Forbidden,
        statuses: CALLER,
        codes: &[],
        texts: &["not authorized to perform", "aiplatform.endpoints.", "lacks the required data action"],
    },
    Rule { class: FailureClass::Unauthorised, statuses: CALLER, codes: &["permission_denied"], texts: &[] },
    Rule { class: FailureClass::Forbidden, statuses: 403..=403, codes: &[], texts: &[] },
];

/// Malformed parts of a request, and parts that this target cannot serve.
pub(super) const REQUEST: &[Rule] = &[
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
            "image_too_small",
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
            "operationnotsupported",
            "unsupported_image_media_type",
            // An image this provider cannot reach, another perhaps can.
            "failed_to_download_image",
            // Reasoning of another account's models.
            "invalid_encrypted_content",
        ],
        texts: &[],
    },
    Rule { class: FailureClass::Unsupported, statuses: 500..=500, codes: &[], texts: &["does not support"] },
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
            // Anthropic, of settings that some models take and others do not: sampling, limits, schemas, thinking.
            "is deprecated for this model",
            "cannot both be specified",
            "too many optional parameters",
            "too many parameters with union types",
            "'additionalproperties' must be explicitly set to false",
            "thinking may not be enabled when",
            "expected `thinking` or `redacted_thinking`",
            "in `thinking` block",
            // OpenAI, of reasoning that another account or model encrypted.
            "encrypted content",
        ],
    },
];

mod accounts;
mod fault;
mod field;
mod load;
mod overflow;
mod quotes;
mod shapes;
mod small_hosts;
mod table;

use std::time::Duration;

use http::HeaderValue;
use proptest::prelude::*;

use super::*;
use crate::wire::tidy::{WORDS_BYTES_MAX, tidy};
use FailureClass as C;

/// As of a request for a model `x`.
fn failure(status: u16, body: &str) -> Failure {
    classify(status, &HeaderMap::new(), body.as_bytes(), SENT)
}

const SENT: Sent<'static> = Sent { model: "x", prompt_tokens: 40_000, now: None, home: Zone::UTC };

/// Status and text: a server's own template, its form of a conversation or its model cannot do it.
const LACKS: &[(u16, &str)] = &[
    (400, "Conversation roles must alternate user/assistant/user/assistant/..."),
    (400, "After the optional system message, conversation roles must alternate user/assistant/user/assistant/..."),
    (
        400,
        "After the (optional) system message(s), user or tool message(s) should alternate with assistant message(s).",
    ),
    (400, "A conversation must alternate between user and assistant roles."),
    (400, "Please ensure that multiturn requests alternate between user and model."),
    (
        400,
        "Please ensure that function call turn comes immediately after a user turn or after a function response turn.",
    ),
    (400, "Only user and assistant roles are supported, with the exception of an initial optional system message!"),
    (400, "System role not supported"),
    (400, "Unexpected message role."),
    (400, "Invalid role: developer"),
    (400, "'developer' is not one of ['system', 'assistant', 'user', 'function'] - 'messages.0.role'"),
    (400, "No user query found in messages."),
    (400, "System message must be at the beginning."),
    (400, "System messages must be the first message."),
    (400, "Last message must have role `user`."),
    (400, "The last message of deepseek-reasoner must be a user message, or an assistant message with prefix mode on"),
    (
        400,
        "Expected last role User or Tool (or Assistant with prefix or continue_final_message set to True) for serving but got assistant",
    ),
    (
        400,
        "A conversation must start with a user message. Try again with a conversation that starts with a user message.",
    ),
    (400, "This model only supports single tool-calls at once!"),
    (400, "Cannot put tools in the first user message when there's no first user message!"),
    (400, "Not the same number of function calls and responses"),
    (400, "Tool call id was call_1 but must be a-z, A-Z, 0-9, with a length of 9."),
    (400, "Error rendering prompt with jinja template: \"Cannot call something that is not a function\""),
    (500, "Jinja Exception: Conversation roles must alternate user/assistant/user/assistant/..."),
    (400, "jinja2.exceptions.UndefinedError: 'dict object' has no attribute 'tool_calls'"),
    (
        400,
        "As of transformers v4.44, default chat template is no longer allowed, so you must provide a chat template if the tokenizer does not define one.",
    ),
    (500, "tools param requires --jinja flag"),
    (400, "At most 0 image(s) may be provided in one prompt."),
    (422, "At most 0 audio(s) may be provided in one request."),
    (500, "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj"),
    (400, "messages.content.type 参数非法，取值范围 ['text']"),
    (422, "messages[1].content[0].type: Input should be 'text'"),
    (400, "Failed to deserialize the JSON body: messages[0]: unknown variant `image_url`, expected `text`"),
    (
        400,
        "'messages.0' : for 'role:user' the following must be satisfied[('messages.0.content' : value must be a string)]",
    ),
    (400, "messages[0].content must be a string"),
];

#[test]
fn what_one_server_cannot_do_is_asked_of_the_next() {
    for (status, message) in LACKS {
        for body in [
            serde_json::json!({"error": {"message": message, "type": "invalid_request_error", "param": null,
                "code": null}}),
            serde_json::json!({"object": "error", "message": message, "type": "BadRequestError", "param": "messages",
                "code": status}),
            serde_json::json!({"error": {"message": message, "param": "image", "code": "invalid_value"}}),
            serde_json::json!({"error": {"message": "Provider returned error", "code": status, "metadata": {
                "raw": serde_json::json!({"error": {"message": message, "code": status}}).to_string(),
            }}}),
            serde_json::json!({"detail": message}),
        ] {
            let found = failure(*status, &body.to_string());
            assert_eq!(found.class, C::Unsupported, "{status} {body}: {found}");
        }
    }
}

/// Texts: one model, host or account takes less than others, or keeps what the request names.
const NARROW: &[&str] = &[
    // How it is sent.
    "Requests with max_tokens > 4096 must have stream=true",
    "parameter.enable_thinking must be set to false for non-streaming calls",
    "enable thinking can not be support when `stream=False`.",
    // What it reads.
    "Invalid content type. image_url is only supported by certain models.",
    "You uploaded an unsupported image. Please make sure your image has of one the following formats: ['png', 'jpeg']",
    "messages.0.content.1.image.source.base64.media_type: unsupported image type image/heic",
    // Words that name a model, a plan or an account.
    "`temperature` must be 1 for this model.",
    "Invalid value: 'xhigh'. This model supports 'low', 'medium' and 'high'.",
    "Audio input is only available for certain models, and messages[0].content is invalid",
    "`top_k` must be between 0 and 20 for x",
    "max_tokens must be less than 4096 on the free plan",
    "response_format.type must be 'text' on this endpoint",
    "'tools' is invalid: your organization must be verified",
    // What it wants beside.
    "Requests which include `tool_use` or `tool_result` blocks must define tools",
    "The toolConfig field must be defined when using toolUse and toolResult content blocks.",
    "user and assistant roles should be alternating.",
    "Invalid request: function name is invalid, must start with a letter",
    // What it keeps.
    "Item 'rs_1' of type 'reasoning' was provided without its required following item.",
    "Item 'fc_1' of type 'function_call' was provided without its required 'reasoning' item: 'rs_1'.",
    "Item with id 'rs_1' not found.",
];

#[test]
fn what_one_model_or_host_takes_less_than_others_is_asked_of_the_next() {
    for message in NARROW {
        for body in [
            serde_json::json!({"error": {"message": message, "type": "invalid_request_error", "param": "input",
                "code": null}}),
            serde_json::json!({"error": {"message": message, "type": "invalid_request_error",
                "code": "invalid_value"}}),
            serde_json::json!({"type": "error", "error": {"type": "invalid_request_error", "message": message}}),
            serde_json::json!({"error": {"message": "Provider returned error", "code": 400, "metadata": {
                "raw": serde_json::json!({"error": {"message": message, "param": "input"}}).to_string(),
            }}}),
        ] {
            let found = failure(400, &body.to_string());
            assert_eq!(found.class, C::Unsupported, "{body}: {found}");
        }
    }
    // A model that lacks something is not gone.
    let lacks =
        r#"{"error":{"message":"Reasoning effort 'high' is not available for model x.","param":"reasoning_effort"}}"#;
    assert_eq!(failure(400, lacks).class, C::Unsupported);
    // Without a name it is a fault of the request, by the rules of whoever says so.
    let other = r#"{"error":{"message":"`temperature` must be 1 at most.","param":"temperature"}}"#;
    let found = failure(400, other);
    assert_eq!((found.class, found.scope), (C::BadRequest, Scope::Model));
}

/// Texts: what the request names is not there, or not this account's.
const RESOURCES: &[&str] = &[
    "You do not have permission to access the File abc123 or it may not exist.",
    "CachedContent not found (or permission denied)",
    "Not found: cached content metadata for 123.",
    "You do not have permission to access tuned model tunedModels/abc.",
    "Permission 'aiplatform.cachedContents.get' denied on resource '//aiplatform.googleapis.com/cachedContents/1'.",
    "s@gserviceaccount.com does not have storage.objects.get access to the Google Cloud Storage object.",
    "User: u is not authorized to perform: s3:GetObject on resource: \"arn:aws:s3:::b/k\"",
    "The File abc is not in an ACTIVE state and usage is not allowed.",
    "File not found: file_1",
    "You do not have access to file file_1.",
    "Project `proj_1` does not have access to file `file-1`",
    "No such File object: file-1",
    "No file found with id 'file-1'.",
    "Vector store with id [vs_1] not found.",
    "The vector store vs_1 has expired.",
    "Container with id 'cntr_1' not found.",
    "Container is expired.",
    "Prompt with id 'pmpt_1' not found.",
    "Response with id 'resp_1' not found.",
    "Conversation with id 'conv_1' not found.",
    "Skill not found: skill_1",
    "Connection error while communicating with MCP server. The server may be temporarily unavailable.",
];

#[test]
fn a_resource_of_the_request_that_a_key_may_not_read_is_no_failure_of_the_key() {
    for message in RESOURCES {
        for (status, code, kind) in [
            (403, "PERMISSION_DENIED", "permission_error"),
            (404, "NOT_FOUND", "not_found_error"),
            (400, "INVALID_ARGUMENT", "invalid_request_error"),
        ] {
            for body in [
                serde_json::json!({"error": {"code": status, "message": message, "status": code}}),
                serde_json::json!({"type": "error", "error": {"type": kind, "message": message}}),
                serde_json::json!({"error": {"message": message, "type": kind, "param": null, "code": null}}),
            ] {
                let found = failure(status, &body.to_string());
                assert_eq!((found.class, found.scope), (C::Unsupported, Scope::Request), "{status} {body}");
            }
        }
    }
    // What a key may not do at one model bars it there alone, and what says no more bars the key.
    for (message, class) in [
        ("Permission 'aiplatform.endpoints.predict' denied on resource '//x.dev/endpoints/1'.", C::Forbidden),
        ("User: u is not authorized to perform: bedrock:InvokeModel on resource: arn:aws:bedrock:::a/b", C::Forbidden),
        ("You do not have permission to access tuned model tunedModels/x.", C::ModelGone),
        ("The caller does not have permission", C::Unauthorised),
        ("Permission denied on resource project p.", C::Unauthorised),
        ("Your API key was reported as leaked. Please use another API key.", C::Unauthorised),
    ] {
        let body = serde_json::json!({"error": {"code": 403, "message": message, "status": "PERMISSION_DENIED"}});
        let found = failure(403, &body.to_string());
        assert_eq!((found.class, found.scope), (class, Scope::Key), "{message}");
    }
}

#[test]
fn a_filter_that_one_host_has_is_no_verdict_of_all() {
    for (status, body, scope) in [
        (
            400,
            r#"{"error":{"message":"The request was rejected because it was considered high risk","type":"content_filter"}}"#,
            Scope::Endpoint,
        ),
        (400, r#"{"error":{"code":"1301","message":"no"}}"#, Scope::Endpoint),
        (400, r#"{"error":{"message":"系统检测到输入或生成内容可能包含不安全或敏感内容"}}"#, Scope::Endpoint),
        (
            400,
            r#"{"error":{"message":"user sensitive words detected","code":"sensitive_words_detected"}}"#,
            Scope::Endpoint,
        ),
        (
            451,
            r#"{"error":{"message":"The content you provided is blocked.","type":"censorship_blocked"}}"#,
            Scope::Endpoint,
        ),
        (403, r#"{"error":{"message":"Prompt blocked due to security configurations","code":2016}}"#, Scope::Endpoint),
        (400, r#"{"error":{"message":"filtered","code":"content_filter","param":"prompt"}}"#, Scope::Request),
        (
            400,
            r#"{"error":{"message":"The response was filtered due to our content management policy.","param":"prompt"}}"#,
            Scope::Request,
        ),
        (403, r#"{"error":{"message":"Your input was flagged"}}"#, Scope::Request),
    ] {
        let found = failure(status, body);
        assert_eq!((found.class, found.scope), (C::ContentPolicy, scope), "{body}");
    }
    assert!(is_hosts_filter("sensitive") && !is_hosts_filter("content_filter"));
}

#[test]
fn an_answer_longer_than_one_model_gives_is_asked_of_the_next_with_any_code() {
    for message in [
        "max_tokens is too large: 64000. This model supports at most 16384 completion tokens, whereas you provided 64000.",
        "Invalid 'max_tokens': integer above maximum value. Expected a value <= 16384, but got 64000 instead.",
        "Invalid 'max_completion_tokens': integer above maximum value. Expected a value <= 16384, but got 64000 instead.",
        "Invalid 'max_output_tokens': integer above maximum value. Expected a value <= 128000, but got 640000 instead.",
        "max_tokens: 64000 > 8192, which is the maximum allowed number of output tokens for claude-x",
        "`max_tokens` must be less than or equal to `8192`",
        "The maximum tokens you requested exceeds the model limit of 4096. Try again with a maximum tokens value that is lower.",
        "Malformed input request: #/textGenerationConfig/maxTokens: 9000 is not less or equal to 5120",
        "Unable to submit request because it has a maxOutputTokens value of 65536 but the supported range is from 1 (inclusive) to 8193 (exclusive).",
        "max_tokens 参数非法。取值范围 [1, 4095]",
    ] {
        for code in ["invalid_value", "integer_above_max_value", "invalid_request_error", "1210"] {
            let body = serde_json::json!({"error": {"message": message, "type": "invalid_request_error",
                "param": "max_tokens", "code": code}});
            assert_eq!(failure(400, &body.to_string()).class, C::Unsupported, "{body}");
        }
    }
}

#[test]
fn what_is_said_of_an_account_is_the_keys_with_any_status() {
    for (status, body, class) in [
        (
            400,
            r#"{"error":{"message":"Organization has been restricted. Please reach out to support if you believe this was in error.","type":"invalid_request_error","code":"organization_restricted"}}"#,
            C::Unauthorised,
        ),
        (
            400,
            r#"{"error":{"message":"Your account has been suspended.","type":"invalid_request_error"}}"#,
            C::Unauthorised,
        ),
        (
            403,
            r#"{"error":{"code":403,"message":"Consumer has been suspended.","status":"X","details":[{"reason":"CONSUMER_SUSPENDED"}]}}"#,
            C::Unauthorised,
        ),
        (
            412,
            r#"{"error":{"object":"error","type":"error","code":"PRECONDITION_FAILED","message":"Account x is suspended, possibly due to reaching the monthly spending limit or failure to pay past invoices."}}"#,
            C::OutOfMoney,
        ),
        (
            400,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"You're out of extra usage. Add more at claude.ai/settings/usage and keep going."}}"#,
            C::OutOfMoney,
        ),
        (
            400,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"Third-party apps now draw from your extra usage, not your plan limits."}}"#,
            C::OutOfMoney,
        ),
        (
            400,
            r#"{"detail":{"error":"inference prohibited, please enter a payment method or check your account balance"}}"#,
            C::OutOfMoney,
        ),
        (403, r#"{"code":30001,"message":"Sorry, your account balance is insufficient","data":null}"#, C::OutOfMoney),
        (
            403,
            r#"{"error":{"code":"AccountOverdueError","message":"The request failed because your account has an overdue balance.","type":"Forbidden"}}"#,
            C::OutOfMoney,
        ),
        (
            429,
            r#"{"error":{"message":"Your account org-x is suspended, please check your plan and billing details","type":"exceeded_current_quota_error"}}"#,
            C::OutOfMoney,
        ),
        (
            429,
            r#"{"error":{"message":"Your account is not active, please check your billing details.","code":"x"}}"#,
            C::OutOfMoney,
        ),
    ] {
        let found = failure(status, body);
        assert_eq!((found.class, found.scope), (class, Scope::Key), "{status} {body}");
    }
    // A word that an account shares with a request proves nothing about either.
    let other = r#"{"error":{"message":"This deployment is suspended"}}"#;
    assert_eq!(failure(400, other).class, C::Declined);
}

#[test]
fn a_clock_without_a_zone_is_beijings_where_a_code_a_language_or_the_provider_says_so() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_953_600);
    let wait = |body: &str, home: Zone| {
        let sent = Sent { now: Some(now), home, ..SENT };
        match classify(429, &HeaderMap::new(), body.as_bytes(), sent).retry_after {
            Some(RetryAfter::At(at)) => at.duration_since(now).map_or(0, |wait| wait.as_secs()),
            Some(RetryAfter::After(wait)) => wait.as_secs(),
            None => 0,
        }
    };
    let (utc, two_hours) = (Zone::UTC, 7_210);
    for (body, home, expected) in [
        (
            r#"{"error":{"code":"1308","message":"Usage limit reached for 5 hour. Your limit will reset at 2026-11-29 22:00:10"}}"#,
            utc,
            two_hours,
        ),
        (r#"{"error":{"message":"Your limit will reset at 2026-11-29 22:00:10","code":1310}}"#, utc, two_hours),
        (
            r#"{"type":"error","error":{"type":"rate_limit_error","code":"1316","message":"resets at 2026-11-29T22:00:10"}}"#,
            utc,
            two_hours,
        ),
        (r#"{"error":{"code":"1320","message":"x","reset_at":"2026-11-29T22:00:10"}}"#, utc, two_hours),
        (
            r#"{"error":{"message":"Provider returned error","metadata":{"raw":"{\"error\":{\"code\":\"1308\",\"message\":\"Your limit will reset at 2026-11-29 22:00:10\"}}"}}}"#,
            utc,
            two_hours,
        ),
        (r#"{"error":{"message":"已达到 5 小时的使用上限。您的限额将在 2026-11-29 22:00:10 重置。"}}"#, utc, two_hours),
        (
            r#"{"error":{"message":"\u60a8\u7684\u9650\u989d\u5c06\u5728 2026-11-29 22:00:10 \u91cd\u7f6e\u3002"}}"#,
            utc,
            two_hours,
        ),
        (r#"{"error":{"message":"额度已用完，请于2026年11月29日 22:00:10后重试"}}"#, utc, two_hours),
        (r#"{"error":{"message":"请求过于频繁，请在 30 秒后重试"}}"#, utc, 30),
        (r#"{"error":{"message":"请等待5分钟后再试"}}"#, utc, 300),
        (r#"{"error":{"message":"Your limit will reset at 2026-11-29 22:00:10"}}"#, Zone::BEIJING, two_hours),
        // A named zone counts, and all others mean UTC.
        (r#"{"error":{"code":"1308","message":"reset at 2026-11-29T22:00:10Z"}}"#, Zone::BEIJING, 36_010),
        (r#"{"error":{"message":"Your limit will reset at 2026-11-29 22:00:10"}}"#, utc, 36_010),
        (r#"{"error":{"code":"13080","message":"reset at 2026-11-29 22:00:10"}}"#, utc, 36_010),
    ] {
        assert_eq!(wait(body, home), expected, "{body}");
    }
}

#[test]
fn when_to_come_back_is_understood_at_every_place_of_a_body() {
    let date = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let now = date(1_795_953_600);
    let (after, at) = (
        |seconds| Some(RetryAfter::After(Duration::from_secs(seconds))),
        |seconds| Some(RetryAfter::At(date(seconds))),
    );
    for (body, expected) in [
        (
            r#"{"error":{"type":"usage_limit_reached","message":"The usage limit has been reached","resets_in_seconds":7200}}"#,
            after(7200),
        ),
        (r#"{"error":{"type":"usage_limit_reached","message":"reached","resets_at":1795960800}}"#, at(1_795_960_800)),
        (r#"{"error":{"message":"x","retry_after_seconds":90}}"#, after(90)),
        (r#"{"error":{"message":"x","retry_after_ms":1500}}"#, Some(RetryAfter::After(Duration::from_millis(1500)))),
        (r#"{"error":{"message":"x","retryAfter":"2m"}}"#, after(120)),
        // The unit is in the field's name, in words of any form.
        (r#"{"error":{"message":"x","retryAfterMs":25000}}"#, after(25)),
        (r#"{"error":{"message":"x","retryAfterMs":"25000"}}"#, after(25)),
        (r#"{"error":{"message":"x","retryAfterMS":25000}}"#, after(25)),
        (r#"{"error":{"message":"x","retryDelayMs":25000}}"#, after(25)),
        (r#"{"error":{"message":"x","retryAfterMillis":25000}}"#, after(25)),
        (r#"{"error":{"message":"x","retry_after_milliseconds":25000}}"#, after(25)),
        (r#"{"error":{"message":"x","resetInMs":25000}}"#, after(25)),
        (r#"{"error":{"message":"x","retryAfterMinutes":2}}"#, after(120)),
        (r#"{"error":{"message":"x","retry_after_hours":"2"}}"#, after(7200)),
        (r#"{"error":{"message":"x","resetAtMs":1795996800000}}"#, at(1_795_996_800)),
        (r#"{"error":{"message":"x","retryAfter":"PT25S"}}"#, after(25)),
        (r#"{"error":{"message":"x, retry after PT1H30M"}}"#, after(5400)),
        (
            r#"{"error":{"message":"x","details":[{"metadata":{"quotaResetDelay":"1h16m0.667s"}}]}}"#,
            Some(RetryAfter::After(Duration::from_millis(4_560_667))),
        ),
        (
            r#"{"error":{"message":"x","details":[{"metadata":{"quotaResetTimeStamp":"2026-11-30T00:00:00Z"}}]}}"#,
            at(1_795_996_800),
        ),
        (r#"{"error":{"message":"You will regain access on 2026-12-01 at 00:00 UTC."}}"#, at(1_796_083_200)),
        (r#"{"error":{"message":"x"},"retry_after":30}"#, after(30)),
        (r#"{"title":"Error 524","status":524,"retry_after":120}"#, after(120)),
        (r#"{"error":{"message":"x","reset_at":"2026-11-30T00:00:00Z"}}"#, at(1_795_996_800)),
        (r#"{"error":{"message":"x","reset_at":"2026-11-30T00:00:00+00:00"}}"#, at(1_795_996_800)),
        (r#"{"error":{"message":"x","resets_at":1795996800000}}"#, at(1_795_996_800)),
        (
            r#"{"error":{"message":"x","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","metadata":{"quotaResetDelay":"3h12m10s"}}]}}"#,
            after(11_530),
        ),
        (
            r#"{"error":{"message":"x","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":{"seconds":34}}]}}"#,
            after(34),
        ),
        (
            r#"{"error":{"message":"x","metadata":{"headers":{"Retry-After":"77","X-RateLimit-Reset":"1795996800000"}}}}"#,
            after(77),
        ),
        (
            r#"{"error":{"message":"x","metadata":{"headers":{"X-RateLimit-Reset":"1795996800000"}}}}"#,
            at(1_795_996_800),
        ),
        (r#"{"error":{"message":"You've hit your limit · resets 9:20pm (UTC)"}}"#, at(1_795_953_600 + 9 * 3600 + 1200)),
        (
            r#"{"error":{"message":"Provider returned error","metadata":{"raw":"x is rate-limited upstream. Try again in 5 minutes."}}}"#,
            after(300),
        ),
        (r#"{"error":{"message":"Rate limit exceeded: free-models-per-day"}}"#, after(3600)),
        ("Too Many Requests. Retry after 2 minutes.", after(120)),
    ] {
        let sent = Sent { now: Some(now), ..SENT };
        let found = classify(429, &HeaderMap::new(), body.as_bytes(), sent);
        assert_eq!((found.class, found.retry_after), (C::RateLimited, expected), "{body}");
    }
}

#[test]
fn knows_errors_inside_of_answers() {
    for (json, class, status) in [
        (
            r#"{"error":{"message":"no","type":"invalid_request_error","code":"tool_use_failed","status_code":400}}"#,
            C::Unusable,
            Some(400),
        ),
        (
            r#"{"type":"error","error":{"details":null,"type":"overloaded_error","message":"Overloaded"}}"#,
            C::Overloaded,
            None,
        ),
        (r#"{"code":502,"message":"Provider disconnected"}"#, C::Server, Some(502)),
        (r#"{"error":{"code":"server_error","message":"Provider disconnected"}}"#, C::Server, None),
        (
            r#"{"error":{"code":"rate_limit_exceeded","message":"Request too large: Limit 1, Requested 30."}}"#,
            C::RequestExceedsLimit,
            None,
        ),
        (r#"{"error":{"message":"boom","type":"BadRequestError","code":400}}"#, C::Declined, Some(400)),
        (r#""plain words""#, C::Server, None),
        ("no json", C::Server, None),
    ] {
        let found = in_band(json);
        assert_eq!((found.class, found.status), (class, status), "{json}");
    }
}

#[test]
fn errors_that_small_hosts_put_in_the_place_of_an_answer_are_known_by_their_shape() {
    for (json, class) in [
        (
            r#"{"id":"","choices":null,"base_resp":{"status_code":1002,"status_msg":"rate limit"}}"#,
            Some(C::RateLimited),
        ),
        (r#"{"base_resp":{"status_code":1008,"status_msg":"insufficient balance"}}"#, Some(C::OutOfMoney)),
        (r#"{"base_resp":{"status_code":1004,"status_msg":"login fail: carry the key"}}"#, Some(C::Unauthorised)),
        (r#"{"base_resp":{"status_code":1027,"status_msg":"output new_sensitive"}}"#, Some(C::ContentPolicy)),
        (r#"{"base_resp":{"status_code":0,"status_msg":"success"}}"#, None),
        (r#"{"code":"Throttling.RateQuota","message":"Requests rate limit exceeded"}"#, Some(C::RateLimited)),
        (r#"{"error_code":18,"error_msg":"Open api qps request limit reached","id":"as-1"}"#, Some(C::RateLimited)),
        (r#"{"error_code":336100,"error_msg":"try again"}"#, Some(C::Server)),
        (r#"{"error_code":0,"error_msg":""}"#, None),
        (r#"{"code":500,"msg":"404 NOT_FOUND","success":false}"#, Some(C::Server)),
        (r#"{"code":0,"msg":"ok"}"#, None),
    ] {
        assert_eq!(recognise(json).map(|failure| failure.class), class, "{json}");
    }
}

#[test]
fn tells_a_model_that_was_taken_out_of_service_from_one_that_never_was() {
    for (status, body, retired) in [
        (
            404,
            r#"{"error":{"message":"The model `x` has been deprecated, learn more here","code":"model_not_found"}}"#,
            true,
        ),
        (
            400,
            r#"{"error":{"message":"The model `x` has been decommissioned and is no longer supported.","code":"model_decommissioned"}}"#,
            true,
        ),
        (404, r#"{"message":"model 'x' was removed on September 15, 2025"}"#, true),
        (
            400,
            r#"{"error":{"code":400,"message":"gone","metadata":{},"availability":{"code":"model_deprecated"}}}"#,
            true,
        ),
        (404, r#"{"error":{"message":"The model `x` does not exist","code":"model_not_found"}}"#, false),
        (404, r#"{"error":{"type":"not_found_error","message":"model: x"}}"#, false),
        // Not of a model.
        (
            400,
            r#"{"error":{"type":"invalid_request_error","message":"`temperature` is deprecated for this model."}}"#,
            false,
        ),
    ] {
        let failure = failure(status, body);
        assert_eq!(is_retirement(&failure), retired, "{body}");
        assert!(!retired || failure.class == C::ModelGone, "{body}: {failure}");
    }
}

#[test]
fn takes_the_wait_from_headers_first_then_the_body_then_the_text() {
    let retry_info = r#"{"error":{"code":429,"message":"Please retry in 48.9s.","details":[{"@type":"google.rpc.RetryInfo","retryDelay":"48s"}]}}"#;
    let text_only = r#"{"error":{"code":"rate_limit_exceeded","message":"Please try again in 1m2.5s."}}"#;
    let availability = r#"{"error":{"code":429,"message":"x","availability":{"retry_after":7}}}"#;
    let reset = r#"{"error":{"code":429,"message":"x","metadata":{"headers":{"X-RateLimit-Reset":"1754667660000"}}}}"#;
    let per_day = r#"{"error":{"code":429,"message":"Please retry in 9s.","details":[{},{},{"violations":[{"quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]},{"@type":"google.rpc.RetryInfo","retryDelay":"9s"}]}}"#;
    let per_day_elsewhere = r#"[{"error":{"code":429,"message":"x","details":[{"metadata":{"quota_limit":"Gemini25ProRequestsPerDay"}}]}}]"#;
    let header = [("retry-after", "3")];
    let used_up = [("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "9s")];
    let millis = |millis| Some(RetryAfter::After(Duration::from_millis(millis)));
    let epoch = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_754_667_660);
    for (headers, body, expected) in [
        (&header[..], retry_info, millis(3_000)),
        (&used_up, retry_info, millis(48_000)),
        (&used_up, text_only, millis(62_500)),
        (&used_up, "{}", millis(9_000)),
        (&[], text_only, millis(62_500)),
        (&[], availability, millis(7_000)),
        (&[], reset, Some(RetryAfter::At(epoch))),
        (&[], per_day, millis(3_600_000)),
        (&[], per_day_elsewhere, millis(3_600_000)),
        (&[], "{}", None),
    ] {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        let found = classify(429, &headers, body.as_bytes(), SENT);
        assert_eq!((found.class, found.retry_after), (C::RateLimited, expected), "{headers:?} {body}");
    }
}

#[test]
fn says_until_when_an_account_is_spent_where_its_provider_does() {
    let header = |status, name: &'static str, value, body: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_static(value));
        let failure = classify(status, &headers, body.as_bytes(), SENT);
        (failure.class, failure.retry_after)
    };
    let (told, hours) = ("retry-after", Some(RetryAfter::After(Duration::from_secs(7200))));
    for (status, body, class) in [
        (429, r#"{"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}}"#, C::OutOfMoney),
        (402, "", C::OutOfMoney),
        (403, r#"{"error":{"message":"Key limit exceeded (daily limit)","code":403}}"#, C::OutOfMoney),
        (401, "", C::Unauthorised),
        (403, "", C::Forbidden),
    ] {
        // A spent account that has an end is at a limit, which time mends.
        let until = if class == C::OutOfMoney { C::RateLimited } else { class };
        assert_eq!(header(status, told, "7200", body), (until, hours), "{status} {body}");
        // Of another limit, as long as it is.
        assert_eq!(header(status, "x-ratelimit-reset-requests", "2h", body), (class, None), "{status} {body}");
    }
    let words = r#"{"type":"error","error":{"type":"invalid_request_error","message":"You have reached your specified API usage limits. You will regain access on 2026-12-03 at 00:00 UTC."}}"#;
    for status in [400, 402, 403, 429] {
        let failure = classify(status, &HeaderMap::new(), words.as_bytes(), SENT);
        assert_eq!((failure.class, failure.scope), (C::RateLimited, Scope::Key), "{status}");
        assert!(matches!(failure.retry_after, Some(RetryAfter::At(_))), "{failure:?}");
    }
}

#[test]
fn a_page_tells_when_to_come_back() {
    for (page, expected) in [
        ("<html><body>Too many requests. Retry after 3600 seconds.</body></html>", Some(3600)),
        (
            "<html><head><title>429</title></head><body><p>Please try again in <b>5</b> minutes</p></body></html>",
            Some(300),
        ),
        ("<html><body>请求过于频繁，请3600秒后再试</body></html>", Some(3600)),
        ("<html><body>Too many requests</body></html>", None),
    ] {
        let failure = classify(429, &HeaderMap::new(), page.as_bytes(), SENT);
        let expected = expected.map(|seconds| RetryAfter::After(Duration::from_secs(seconds)));
        assert_eq!((failure.class, failure.retry_after), (C::RateLimited, expected), "{page}");
    }
}

#[test]
fn names_no_wait_where_waiting_cannot_help() {
    let mut headers = HeaderMap::new();
    headers.insert("retry-after", HeaderValue::from_static("30"));
    for (status, body) in [(400, ""), (404, r#"{"error":{"code":"model_not_found"}}"#), (413, "")] {
        assert_eq!(classify(status, &headers, body.as_bytes(), SENT).retry_after, None, "{status}");
    }
    for status in [429, 500, 503, 529] {
        assert!(classify(status, &headers, b"", SENT).retry_after.is_some(), "{status}");
    }
}

#[test]
fn passes_on_the_code_that_tells_most() {
    for (body, code) in [
        (r#"{"error":{"code":"invalid_api_key","type":"invalid_request_error"}}"#, Some("invalid_api_key")),
        (r#"{"error":{"code":401,"type":"authentication_error"}}"#, Some("authentication_error")),
        (r#"{"error":{"code":401,"message":"x"}}"#, Some("401")),
        (r#"{"type":"error","error":{"type":"authentication_error"}}"#, Some("authentication_error")),
        (r#"{"error":{"code":null,"message":"x"}}"#, None),
        (r#"{"detail":"x"}"#, None),
    ] {
        assert_eq!(failure(401, body).code.as_deref(), code, "{body}");
    }
}

#[test]
fn shows_no_key() {
    for (message, clean) in [
        ("Incorrect API key provided: sk-proj-abc****xyz. You can", "Incorrect API key provided: [redacted] You can"),
        ("Incorrect API key provided: invalid_key. You", "Incorrect API key provided: [redacted] You"),
        (
            "Authentication Fails, Your api key: ****-key is invalid",
            "Authentication Fails, Your api key: [redacted] is invalid",
        ),
        ("got header 'Authorization: Bearer abc.def-123'", "got header 'Authorization: Bearer [redacted]'"),
        ("GET https://x.dev/v1?key=AIzaSyA1234567 failed", "GET https://x.dev/v1?key=[redacted] failed"),
        ("the key gsk_0123456789abcdef is revoked", "the key [redacted] is revoked"),
        (r#"{"api_key": "abc"}"#, r#"{"api_key": "[redacted]"}"#),
        ("Incorrect API key provided. You can obtain one", "Incorrect API key provided. You can obtain one"),
        ("POST https://x.dev/sk-0123456789/chat failed", "POST https:[redacted] failed"),
        ("a task-force-of-many", "a task-force-of-many"),
        ("the monkey: see sk-8", "the monkey: see sk-8"),
        ("a max_tokens of 12 is too low", "a max_tokens of 12 is too low"),
    ] {
        assert_eq!(tidy(message), clean);
    }
}

#[test]
fn cuts_long_messages_and_says_something_for_none() {
    let shown = |body: &str| tidy(&failure(400, body).message);
    assert_eq!(shown(&"ü".repeat(2_000)).chars().count(), 500);
    assert_eq!(shown(&"x".repeat(3_000_000)).len(), 500);
    assert_eq!(failure(400, &"x".repeat(3_000_000)).message.len(), WORDS_BYTES_MAX);
    assert_eq!(failure(503, "").message, "Service Unavailable");
    assert_eq!(failure(502, "<html><title> 502 Bad Gateway </title>").message, "a gateway's page: 502 Bad Gateway");
}

proptest! {
    #[test]
    fn any_bytes_are_classified(status in 100_u16..1_000, body in prop::collection::vec(any::<u8>(), 0..200)) {
        classify(status, &HeaderMap::new(), &body, SENT);
    }

    #[test]
    fn any_words_are_classified_and_cut(
        status in 300_u16..600,
        message in r"(limit|requested|<title>|key: |Bearer |sk-|try again in |[0-9.]{1,5}|\PC| ){0,80}",
    ) {
        for body in [serde_json::json!({"error": {"message": message}}).to_string(), message.clone()] {
            let found = failure(status, &body);
            prop_assert!(tidy(&found.message).chars().count() <= 500);
            in_band(&body);
            recognise(&body);
        }
    }
}

#[test]
fn a_refusal_of_thoughts_is_known_by_its_words() {
    let refusal = |message: &str| {
        serde_json::json!({"error": {"message": message, "type": "invalid_request_error", "param": "x"}}).to_string()
    };
    for (message, expected) in [
        (
            "The encrypted content gAAA could not be verified. Reason: Encrypted content could not be decrypted or parsed.",
            true,
        ),
        ("Encrypted content organization_id did not match the target organization.", true),
        ("Item with id 'rs_1' not found. Items are not persisted when `store` is set to false.", true),
        ("Item 'fc_1' of type 'function_call' was provided without its required 'reasoning' item: 'rs_1'.", true),
        ("messages.1.content.0: Invalid `signature` in `thinking` block", true),
        ("messages.1.content.0.thinking.signature: Field required", true),
        (
            "messages.3.content.0: `thinking` or `redacted_thinking` blocks in the latest assistant message cannot be modified.",
            true,
        ),
        ("Function call `f` in the 2. content block is missing a `thought_signature`.", true),
        ("Thought signature is not valid", true),
        ("temperature must be at most 1", false),
        ("Item with id 'msg_1' not found.", false),
    ] {
        let failure = classify(400, &HeaderMap::new(), refusal(message).as_bytes(), Sent::default());
        assert_eq!(refuses_thoughts(&failure), expected, "{message}: {:?}", failure.class);
        let busy = classify(429, &HeaderMap::new(), refusal(message).as_bytes(), Sent::default());
        assert!(!refuses_thoughts(&busy), "{message}");
        let unknown = classify(404, &HeaderMap::new(), refusal(message).as_bytes(), Sent::default());
        assert_eq!(refuses_thoughts(&unknown), expected, "{message}");
    }
    let coded = serde_json::json!({"error": {"message": "no", "code": "invalid_encrypted_content"}}).to_string();
    assert!(refuses_thoughts(&classify(400, &HeaderMap::new(), coded.as_bytes(), Sent::default())));
}

use std::time::Duration;

use http::HeaderValue;
use proptest::prelude::*;

use super::*;
use FailureClass as C;

/// As of a request for a model `x`.
fn failure(status: u16, body: &str) -> Failure {
    classify(status, &HeaderMap::new(), body.as_bytes(), SENT)
}

const SENT: Sent<'static> = Sent { model: "x", prompt_tokens: 40_000, now: None, home: Zone::UTC };

/// Provider, status, body, class, scope: what section 4 of the protocol notes says, and every shape of an error body.
const TABLE: &[(&str, u16, &str, FailureClass, Scope)] = &[
    (
        "OpenAI",
        401,
        r#"{"error":{"message":"Incorrect API key provided: sk-x.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}"#,
        C::Unauthorised,
        Scope::Key,
    ),
    (
        "OpenAI",
        400,
        r#"{"error":{"message":"The encrypted content gAAA could not be verified.","type":"invalid_request_error","param":null,"code":"invalid_encrypted_content"}}"#,
        C::Unsupported,
        Scope::Request,
    ),
    (
        "OpenAI",
        400,
        r#"{"error":{"message":"Encrypted content is not supported with this model.","type":"invalid_request_error","param":null,"code":null}}"#,
        C::Unsupported,
        Scope::Request,
    ),
    (
        "OpenAI",
        400,
        r#"{"error":{"message":"Error while downloading https://x.dev/a.png.","type":"invalid_request_error","param":null,"code":"invalid_image_url"}}"#,
        C::BadRequest,
        Scope::Request,
    ),
    (
        "OpenAI",
        400,
        r#"{"error":{"message":"The image could not be fetched.","type":"invalid_request_error","param":null,"code":"failed_to_download_image"}}"#,
        C::Unsupported,
        Scope::Request,
    ),
    (
        "OpenAI",
        400,
        r#"{"error":{"message":"Item 'rs_1' of type 'reasoning' was provided without its required following item.","type":"invalid_request_error","param":"input","code":null}}"#,
        C::BadRequest,
        Scope::Request,
    ),
    (
        "OpenAI",
        401,
        r#"{"error":{"message":"Your IP is not authorized","code":"ip_not_authorized"}}"#,
        C::Unauthorised,
        Scope::Key,
    ),
    (
        "OpenAI",
        403,
        r#"{"error":{"message":"Country, region, or territory not supported","code":"unsupported_country_region_territory"}}"#,
        C::Forbidden,
        Scope::Key,
    ),
    (
        "OpenAI",
        429,
        r#"{"error":{"message":"Rate limit reached for gpt-4o on tokens per min (TPM): Limit 30000, Used 14567, Requested 24754. Please try again in 18.642s.","type":"tokens","code":"rate_limit_exceeded"}}"#,
        C::RateLimited,
        Scope::Key,
    ),
    (
        "OpenAI",
        429,
        r#"{"error":{"message":"Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 36278.","type":"tokens","code":"rate_limit_exceeded"}}"#,
        C::RequestExceedsLimit,
        Scope::Request,
    ),
    (
        "OpenAI",
        429,
        r#"{"error":{"message":"Slow down","type":"rate_limit_error","code":"slow_down"}}"#,
        C::RateLimited,
        Scope::Key,
    ),
    (
        "OpenAI",
        429,
        r#"{"error":{"message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota","code":"insufficient_quota"}}"#,
        C::OutOfMoney,
        Scope::Key,
    ),
    (
        "OpenAI",
        429,
        r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"project_spend_limit_exceeded"}}"#,
        C::OutOfMoney,
        Scope::Key,
    ),
    (
        "OpenAI",
        429,
        r#"{"error":{"message":"None left","type":"billing","code":"credit_balance_exhausted"}}"#,
        C::OutOfMoney,
        Scope::Key,
    ),
    (
        "OpenAI",
        429,
        r#"{"error":{"message":"The engine is currently overloaded, please try again later","type":"server_error"}}"#,
        C::Overloaded,
        Scope::Endpoint,
    ),
    (
        "OpenAI",
        503,
        r#"{"error":{"message":"Slow","type":"service_unavailable_error","code":"server_is_overloaded"}}"#,
        C::Overloaded,
        Scope::Endpoint,
    ),
    (
        "OpenAI",
        500,
        r#"{"error":{"message":"The server had an error","type":"server_error"}}"#,
        C::Server,
        Scope::Model,
    ),
    (
        "OpenAI",
        400,
        r#"{"error":{"message":"This model's maximum context length is 8192 tokens.","code":"context_length_exceeded"}}"#,
        C::ContextTooLong,
        Scope::Request,
    ),
    (
        "OpenAI",
        400,
        r#"{"error":{"message":"Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.","param":"max_tokens","code":"unsupported_parameter"}}"#,
        C::Unsupported,
        Scope::Request,
    ),
    (
        "OpenAI",
        400,
        r#"{"error":{"message":"Unsupported value","param":"messages[0].role","code":"unsupported_value"}}"#,
        C::Unsupported,
        Scope::Request,
    ),
    (
        "OpenAI",
        400,
        r#"{"error":{"message":"Unrecognized request argument supplied: top_k","type":"invalid_request_error","code":null}}"#,
        C::Unsupported,
        Scope::Request,
    ),
    (
        "OpenAI",
        400,
        r#"{"error":{"message":"You uploaded an unsupported image.","code":"invalid_image_format"}}"#,
        C::BadRequest,
        Scope::Request,
    ),
    (
        "OpenAI",
        400,
        r#"{"error":{"message":"Invalid 'messages': empty array.","code":"empty_array"}}"#,
        C::BadRequest,
        Scope::Request,
    ),
    (
        "OpenAI",
        404,
        r#"{"error":{"message":"The model `x` does not exist or you do not have access to it.","code":"model_not_found"}}"#,
        C::ModelGone,
        Scope::Key,
    ),
    (
        "OpenAI",
        400,
        r#"{"error":{"message":"The requested model 'x' does not exist.","param":"model","code":"model_not_found"}}"#,
        C::ModelGone,
        Scope::Model,
    ),
    (
        "OpenAI",
        404,
        r#"{"error":{"message":"The model `x` has been deprecated","code":"model_not_found"}}"#,
        C::ModelGone,
        Scope::Model,
    ),
    (
        "OpenAI",
        400,
        r#"{"error":{"message":"Invalid prompt: your prompt was flagged as potentially violating our usage policy.","code":"invalid_prompt"}}"#,
        C::ContentPolicy,
        Scope::Request,
    ),
    (
        "OpenAI",
        429,
        r#"{"error":{"message":"Spend limit","type":"billing","code":"organization_spend_limit_exceeded"}}"#,
        C::OutOfMoney,
        Scope::Key,
    ),
    (
        "OpenAI",
        429,
        r#"{"error":{"message":"Usage limit","type":"billing","code":"organization_usage_limit_exceeded"}}"#,
        C::OutOfMoney,
        Scope::Key,
    ),
    (
        "OpenAI",
        400,
        r#"{"error":{"message":"Invalid value: 'x'.","type":"invalid_request_error","param":"input[0]","code":"invalid_value"}}"#,
        C::BadRequest,
        Scope::Request,
    ),
    (
        "OpenAI",
        400,
        r#"{"error":{"message":"Invalid schema for function f.","type":"invalid_request_error","code":"invalid_function_parameters"}}"#,
        C::BadRequest,
        Scope::Request,
    ),
    (
        "OpenAI",
        401,
        r#"{"error":{"message":"You must be a member of an organization to use the API","type":"invalid_request_error","code":null}}"#,
        C::Unauthorised,
        Scope::Key,
    ),
    (
        "Anthropic",
        401,
        r#"{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"},"request_id":"r"}"#,
        C::Unauthorised,
        Scope::Key,
    ),
    (
        "Anthropic",
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the Anthropic API."}}"#,
        C::OutOfMoney,
        Scope::Key,
    ),
    (
        "Anthropic",
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"You have reached your specified API usage limits."}}"#,
        C::OutOfMoney,
        Scope::Key,
    ),
    (
        "Anthropic",
        402,
        r#"{"type":"error","error":{"type":"billing_error","message":"pay"}}"#,
        C::OutOfMoney,
        Scope::Key,
    ),
    (
        "Anthropic",
        403,
        r#"{"type":"error","error":{"type":"permission_error","message":"not yours"}}"#,
        C::Forbidden,
        Scope::Key,
    ),
    (
        "Anthropic",
        429,
        r#"{"type":"error","error":{"type":"rate_limit_error","message":"Number of requests has exceeded your per-minute rate limit"}}"#,
        C::RateLimited,
        Scope::Key,
    ),
    (
        "Anthropic",
        429,
        r#"{"type":"error","error":{"type":"rate_limit_error","message":"limit","details":{"error_code":"enforced_spend_limit_reached"}}}"#,
        C::OutOfMoney,
        Scope::Key,
    ),
    (
        "Anthropic, OpenAI's way",
        429,
        r#"{"error":{"code":"rate_limit_error","type":"invalid_request_error","message":"This request would exceed the rate limit"}}"#,
        C::RateLimited,
        Scope::Key,
    ),
    (
        "Anthropic",
        529,
        r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
        C::Overloaded,
        Scope::Endpoint,
    ),
    (
        "Anthropic",
        500,
        r#"{"type":"error","error":{"type":"api_error","message":"Internal server error"}}"#,
        C::Server,
        Scope::Model,
    ),
    (
        "Anthropic",
        504,
        r#"{"type":"error","error":{"type":"timeout_error","message":"late"}}"#,
        C::Server,
        Scope::Endpoint,
    ),
    (
        "Anthropic",
        409,
        r#"{"type":"error","error":{"type":"conflict_error","message":"again"}}"#,
        C::Declined,
        Scope::Request,
    ),
    (
        "Anthropic",
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease input length or `max_tokens` and try again"}}"#,
        C::ContextTooLong,
        Scope::Request,
    ),
    (
        "Anthropic",
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"`temperature` is deprecated for this model."}}"#,
        C::Unsupported,
        Scope::Request,
    ),
    (
        "Anthropic",
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"`temperature` and `top_p` cannot both be specified for this model. Please use only one."}}"#,
        C::Unsupported,
        Scope::Request,
    ),
    (
        "Anthropic",
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"max_tokens: 100000 > 64000, which is the maximum allowed number of output tokens for claude-x"}}"#,
        C::Unsupported,
        Scope::Request,
    ),
    (
        "Anthropic",
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"This model does not support assistant message prefill. The conversation must end with a user message."}}"#,
        C::Unsupported,
        Scope::Request,
    ),
    (
        "Anthropic",
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"Thinking may not be enabled when tool_choice forces tool use."}}"#,
        C::Unsupported,
        Scope::Request,
    ),
    (
        "Anthropic",
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`."}}"#,
        C::Unsupported,
        Scope::Request,
    ),
    (
        "Anthropic",
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"messages.1.content.0: Invalid `signature` in `thinking` block"}}"#,
        C::Unsupported,
        Scope::Request,
    ),
    (
        "Anthropic",
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"\"thinking.type.enabled\" is not supported for this model. Use \"thinking.type.adaptive\"."}}"#,
        C::Unsupported,
        Scope::Request,
    ),
    (
        "Anthropic",
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"output_config.format.schema: For 'object' type, 'additionalProperties' must be explicitly set to false"}}"#,
        C::Unsupported,
        Scope::Request,
    ),
    (
        "Anthropic",
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"messages: at least one message is required"}}"#,
        C::BadRequest,
        Scope::Request,
    ),
    (
        "Anthropic",
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"Output blocked by content filtering policy"}}"#,
        C::ContentPolicy,
        Scope::Request,
    ),
    (
        "Anthropic",
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"This organization has been disabled."}}"#,
        C::Unauthorised,
        Scope::Key,
    ),
    (
        "Anthropic",
        413,
        "<html><body>413 Request Entity Too Large</body></html>",
        C::RequestExceedsLimit,
        Scope::Request,
    ),
    (
        "Anthropic",
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 3333404 tokens > 200000 maximum"}}"#,
        C::ContextTooLong,
        Scope::Request,
    ),
    (
        "Anthropic",
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"This model does not support effort level 'xhigh'."}}"#,
        C::Unsupported,
        Scope::Request,
    ),
    (
        "Anthropic",
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"temperature: range: 0..1"}}"#,
        C::BadRequest,
        Scope::Request,
    ),
    (
        "Anthropic",
        404,
        r#"{"type":"error","error":{"type":"not_found_error","message":"model: x"}}"#,
        C::ModelGone,
        Scope::Model,
    ),
    (
        "Anthropic",
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"You have reached your specified workspace API usage limits."}}"#,
        C::OutOfMoney,
        Scope::Key,
    ),
    (
        "Anthropic",
        413,
        r#"{"type":"error","error":{"type":"request_too_large","message":"Request exceeds the maximum size"}}"#,
        C::RequestExceedsLimit,
        Scope::Request,
    ),
    (
        "Anthropic",
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"messages.0.content: top_k is not supported by this model"}}"#,
        C::Unsupported,
        Scope::Request,
    ),
    (
        "Gemini",
        400,
        r#"{"error":{"code":400,"message":"Bad","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}]}}"#,
        C::Unauthorised,
        Scope::Key,
    ),
    (
        "Gemini",
        400,
        r#"{"error":{"code":400,"message":"User location is not supported for the API use.","status":"FAILED_PRECONDITION"}}"#,
        C::Forbidden,
        Scope::Key,
    ),
    (
        "Gemini",
        402,
        r#"{"error":{"code":402,"message":"prepaid credit gone","status":"RESOURCE_EXHAUSTED"}}"#,
        C::OutOfMoney,
        Scope::Key,
    ),
    (
        "Gemini",
        403,
        r#"{"error":{"code":403,"message":"Method doesn't allow unregistered callers","status":"PERMISSION_DENIED"}}"#,
        C::Unauthorised,
        Scope::Key,
    ),
    (
        "Gemini",
        404,
        r#"{"error":{"code":404,"message":"models/x is not found for API version v1beta, or is not supported for generateContent.","status":"NOT_FOUND"}}"#,
        C::ModelGone,
        Scope::Model,
    ),
    (
        "Gemini",
        429,
        r#"{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details.","status":"RESOURCE_EXHAUSTED"}}"#,
        C::RateLimited,
        Scope::Key,
    ),
    (
        "Gemini",
        500,
        r#"{"error":{"code":500,"message":"An internal error has occurred.","status":"INTERNAL"}}"#,
        C::Server,
        Scope::Model,
    ),
    (
        "Gemini",
        503,
        r#"{"error":{"code":503,"message":"The model is overloaded. Please try again later.","status":"UNAVAILABLE"}}"#,
        C::Overloaded,
        Scope::Model,
    ),
    (
        "Gemini",
        504,
        r#"{"error":{"code":504,"message":"late","status":"DEADLINE_EXCEEDED"}}"#,
        C::Server,
        Scope::Endpoint,
    ),
    (
        "Gemini",
        400,
        r#"{"error":{"code":400,"message":"The input token count (1250074) exceeds the maximum number of tokens allowed (1048576).","status":"INVALID_ARGUMENT"}}"#,
        C::ContextTooLong,
        Scope::Request,
    ),
    (
        "Gemini",
        403,
        r#"{"error":{"code":403,"message":"This API method requires billing to be enabled.","status":"PERMISSION_DENIED","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"BILLING_DISABLED"}]}}"#,
        C::OutOfMoney,
        Scope::Key,
    ),
    (
        "Gemini",
        401,
        r#"{"error":{"code":401,"message":"Request had invalid authentication credentials.","status":"UNAUTHENTICATED","details":[{"reason":"ACCESS_TOKEN_EXPIRED"}]}}"#,
        C::Unauthorised,
        Scope::Key,
    ),
    (
        "Gemini",
        400,
        r#"{"error":{"code":400,"message":"Function call is missing a thought_signature in functionCall parts.","status":"INVALID_ARGUMENT"}}"#,
        C::Unsupported,
        Scope::Request,
    ),
    (
        "Gemini",
        400,
        r#"{"error":{"code":400,"message":"Requests ending with a model turn are not supported.","status":"INVALID_ARGUMENT"}}"#,
        C::Unsupported,
        Scope::Request,
    ),
    (
        "Gemini",
        400,
        r#"{"error":{"code":400,"message":"Penalty is not enabled for models/gemini-2.5-flash","status":"INVALID_ARGUMENT"}}"#,
        C::Unsupported,
        Scope::Request,
    ),
    (
        "Gemini",
        400,
        r#"{"error":{"code":400,"message":"Budget 0 is invalid. This model only works in thinking mode.","status":"INVALID_ARGUMENT"}}"#,
        C::Unsupported,
        Scope::Request,
    ),
    (
        "Gemini",
        400,
        r#"{"error":{"code":400,"message":"Invalid JSON payload received. Unknown name \"id\" at 'contents[1].parts[0].function_call': Cannot find field.","status":"INVALID_ARGUMENT"}}"#,
        C::Unsupported,
        Scope::Request,
    ),
    (
        "Gemini",
        403,
        r#"{"error":{"code":403,"message":"The caller does not have permission","status":"PERMISSION_DENIED"}}"#,
        C::Unauthorised,
        Scope::Key,
    ),
    (
        "Vertex",
        429,
        r#"[{"error":{"code":429,"message":"Resource exhausted, please try again later.","status":"RESOURCE_EXHAUSTED"}}]"#,
        C::Overloaded,
        Scope::Endpoint,
    ),
    (
        "Vertex",
        429,
        r#"{"error":{"code":429,"message":"Resource exhausted. Please try again later. Please refer to https://cloud.google.com/vertex-ai/generative-ai/docs/error-code-429 for more details.","status":"RESOURCE_EXHAUSTED"}}"#,
        C::Overloaded,
        Scope::Endpoint,
    ),
    ("Mistral", 401, r#"{"detail":"Invalid API Key"}"#, C::Unauthorised, Scope::Key),
    ("Mistral", 401, r#"{"message":"Unauthorized"}"#, C::Unauthorised, Scope::Key),
    (
        "Mistral",
        400,
        r#"{"object":"error","message":"Invalid model: x","type":"invalid_model","param":null,"code":"1500"}"#,
        C::ModelGone,
        Scope::Model,
    ),
    (
        "Mistral",
        429,
        r#"{"object":"error","message":"Rate limit exceeded","type":"rate_limited","param":null,"code":"1300"}"#,
        C::RateLimited,
        Scope::Key,
    ),
    ("Mistral", 429, r#"{"message":"Requests rate limit exceeded"}"#, C::RateLimited, Scope::Key),
    (
        "Mistral",
        429,
        r#"{"object":"error","message":"Service tier capacity exceeded for this model.","type":"service_tier_capacity_exceeded","code":"3505"}"#,
        C::Overloaded,
        Scope::Model,
    ),
    (
        "Mistral",
        503,
        r#"{"object":"error","message":"Service tier capacity exceeded for this model.","code":"3505"}"#,
        C::Overloaded,
        Scope::Model,
    ),
    (
        "Mistral",
        422,
        r#"{"detail":[{"loc":["body","temperature"],"msg":"Input should be less than or equal to 1.5","type":"less_than_equal"}]}"#,
        C::BadRequest,
        Scope::Request,
    ),
    (
        "Mistral",
        422,
        r#"{"detail":[{"loc":["body","seed"],"msg":"Extra inputs are not permitted","type":"extra_forbidden"}]}"#,
        C::Unsupported,
        Scope::Request,
    ),
    (
        "DeepSeek",
        402,
        r#"{"error":{"message":"Insufficient Balance","type":"unknown_error","param":null,"code":"invalid_request_error"}}"#,
        C::OutOfMoney,
        Scope::Key,
    ),
    (
        "DeepSeek",
        400,
        r#"{"error":{"message":"The supported API model names are a or b, but you passed x.","type":"invalid_request_error","code":"invalid_request_error"}}"#,
        C::ModelGone,
        Scope::Model,
    ),
    ("DeepSeek", 429, r#"{"error":{"message":"concurrency","type":"unknown_error"}}"#, C::RateLimited, Scope::Key),
    (
        "DeepSeek",
        400,
        r#"{"error":{"message":"messages[0]: unknown variant `image_url`, expected `text` at line 1","code":"invalid_request_error"}}"#,
        C::Unsupported,
        Scope::Request,
    ),
    (
        "DeepSeek",
        401,
        r#"{"error":{"message":"Authentication Fails, Your api key: ****-key is invalid","type":"authentication_error","param":null,"code":"invalid_request_error"}}"#,
        C::Unauthorised,
        Scope::Key,
    ),
    ("DeepSeek", 500, r#"{"error":{"message":"Internal error","type":"unknown_error"}}"#, C::Server, Scope::Model),
    (
        "DeepSeek",
        503,
        r#"{"error":{"message":"Service is too busy. We advise users to temporarily switch to alternative LLM API service providers.","type":"service_unavailable_error"}}"#,
        C::Overloaded,
        Scope::Endpoint,
    ),
    (
        "DeepSeek",
        400,
        r#"{"error":{"message":"This model's maximum context length is 65536 tokens. However, you requested 70000 tokens.","type":"invalid_request_error","code":"invalid_request_error"}}"#,
        C::ContextTooLong,
        Scope::Request,
    ),
    (
        "DeepSeek",
        400,
        r#"{"error":{"message":"Messages with role tool must be a response to a preceding message with tool_calls","type":"invalid_request_error","code":"invalid_request_error"}}"#,
        C::BadRequest,
        Scope::Request,
    ),
    (
        "Qwen",
        401,
        r#"{"error":{"message":"Incorrect API key provided. ","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}"#,
        C::Unauthorised,
        Scope::Key,
    ),
    (
        "Qwen",
        400,
        r#"{"error":{"message":"Access denied, please make sure your account is in good standing.","type":"Arrearage","code":"Arrearage"}}"#,
        C::OutOfMoney,
        Scope::Key,
    ),
    (
        "Qwen",
        403,
        r#"{"error":{"message":"The free tier of the model has been exhausted.","code":"AllocationQuota.FreeTierOnly"}}"#,
        C::OutOfMoney,
        Scope::Key,
    ),
    (
        "Qwen",
        429,
        r#"{"error":{"code":"insufficient_quota","message":"You exceeded your current quota, see https://help.aliyun.com/error-code#token-limit","type":"insufficient_quota"},"request_id":""}"#,
        C::RateLimited,
        Scope::Key,
    ),
    (
        "Qwen",
        429,
        r#"{"error":{"code":"insufficient_quota","message":"Allocated quota exceeded, please increase your quota limit."}}"#,
        C::RateLimited,
        Scope::Key,
    ),
    (
        "Qwen",
        429,
        r#"{"error":{"code":"limit_burst_rate","message":"Request rate increased too quickly"}}"#,
        C::RateLimited,
        Scope::Key,
    ),
    (
        "Qwen",
        400,
        r#"{"error":{"message":"Input data may contain inappropriate content.","type":"data_inspection_failed","code":"data_inspection_failed"}}"#,
        C::ContentPolicy,
        Scope::Endpoint,
    ),
    (
        "Qwen",
        400,
        r#"{"error":{"message":"Range of input length should be [1, 30720]","code":"invalid_parameter_error"}}"#,
        C::ContextTooLong,
        Scope::Request,
    ),
    (
        "Qwen",
        400,
        r#"{"error":{"message":"This model only support stream mode","code":"invalid_parameter_error"}}"#,
        C::Unsupported,
        Scope::Request,
    ),
    (
        "Qwen",
        500,
        r#"{"error":{"message":"<503> Request throttled by back end","code":"internal_error"}}"#,
        C::Overloaded,
        Scope::Endpoint,
    ),
    (
        "Qwen",
        429,
        r#"{"error":{"code":"limit_requests","message":"You have exceeded your current request limit.","type":"limit_requests"}}"#,
        C::RateLimited,
        Scope::Key,
    ),
    (
        "Qwen",
        404,
        r#"{"error":{"code":"model_not_found","message":"The model `x` does not exist or you do not have access to it."}}"#,
        C::ModelGone,
        Scope::Key,
    ),
    (
        "DashScope",
        401,
        r#"{"code":"InvalidApiKey","message":"Invalid API-key provided.","request_id":"r"}"#,
        C::Unauthorised,
        Scope::Key,
    ),
    (
        "DashScope",
        400,
        r#"{"code":"InvalidParameter","message":"Role must be user or assistant","request_id":"r"}"#,
        C::BadRequest,
        Scope::Request,
    ),
    (
        "OpenRouter",
        401,
        r#"{"error":{"message":"Missing Authentication header","code":401}}"#,
        C::Unauthorised,
        Scope::Key,
    ),
    ("OpenRouter", 402, r#"{"error":{"message":"Insufficient credits","code":402}}"#, C::OutOfMoney, Scope::Key),
    (
        "OpenRouter",
        403,
        r#"{"error":{"message":"Your input was flagged","code":403,"metadata":{"error_type":"content_policy_violation"}}}"#,
        C::ContentPolicy,
        Scope::Request,
    ),
    (
        "OpenRouter",
        429,
        r#"{"error":{"code":429,"message":"Provider returned error","metadata":{"provider_name":"Google","raw":"x is temporarily rate-limited upstream."}}}"#,
        C::RateLimited,
        Scope::Model,
    ),
    (
        "OpenRouter",
        503,
        r#"{"error":{"code":503,"message":"full","availability":{"code":"capacity_exhausted","retryable":true,"retry_after":7}}}"#,
        C::Overloaded,
        Scope::Endpoint,
    ),
    ("OpenRouter", 404, r#"{"error":{"message":"No endpoints found for x.","code":404}}"#, C::ModelGone, Scope::Model),
    (
        "OpenRouter",
        404,
        r#"{"error":{"message":"No endpoints found that support tool use.","code":404}}"#,
        C::Unsupported,
        Scope::Request,
    ),
    (
        "OpenRouter",
        404,
        r#"{"error":{"message":"No endpoints found matching your data policy.","code":404}}"#,
        C::Forbidden,
        Scope::Key,
    ),
    ("OpenRouter", 400, r#"{"error":{"message":"x is not a valid model ID","code":400}}"#, C::ModelGone, Scope::Model),
    (
        "OpenRouter",
        502,
        r#"{"error":{"message":"bad","code":502,"metadata":{"error_type":"provider_unavailable"}}}"#,
        C::Server,
        Scope::Endpoint,
    ),
    (
        "OpenRouter",
        403,
        r#"{"error":{"message":"Key not allowed","code":403,"metadata":{"error_type":"permission_denied"}}}"#,
        C::Unauthorised,
        Scope::Key,
    ),
    (
        "OpenRouter",
        404,
        r#"{"error":{"message":"gone","code":404,"availability":{"code":"model_deprecated","retryable":false,"fallback_models":["y"]}}}"#,
        C::ModelGone,
        Scope::Model,
    ),
    (
        "OpenRouter",
        400,
        r#"{"error":{"message":"none","code":400,"availability":{"code":"no_endpoints"}}}"#,
        C::ModelGone,
        Scope::Model,
    ),
    (
        "OpenRouter",
        429,
        r#"{"error":{"message":"slow","code":429,"availability":{"code":"temporarily_unavailable","retryable":true,"retry_after":3}}}"#,
        C::Overloaded,
        Scope::Endpoint,
    ),
    (
        "Groq",
        413,
        r#"{"error":{"message":"Request too large on tokens per minute (TPM): Limit 6000, Requested 14368, please reduce","type":"tokens","code":"rate_limit_exceeded"}}"#,
        C::RequestExceedsLimit,
        Scope::Request,
    ),
    (
        "Groq",
        429,
        r#"{"error":{"message":"Rate limit reached on tokens per day (TPD): Limit 100000, Used 99000, Requested 3000. Please try again in 49m14s.","code":"rate_limit_exceeded"}}"#,
        C::RateLimited,
        Scope::Key,
    ),
    (
        "Groq",
        400,
        r#"{"error":{"message":"model did not call a tool","type":"invalid_request_error","code":"tool_use_failed","failed_generation":"x"}}"#,
        C::Unusable,
        Scope::Request,
    ),
    ("Groq", 498, r#"{"error":{"message":"flex","code":"capacity_exceeded"}}"#, C::Overloaded, Scope::Endpoint),
    (
        "Azure",
        400,
        r#"{"error":{"message":"filtered","code":"content_filter","innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#,
        C::ContentPolicy,
        Scope::Request,
    ),
    (
        "Azure",
        401,
        r#"{"error":{"code":"401","message":"Access denied due to invalid subscription key"}}"#,
        C::Unauthorised,
        Scope::Key,
    ),
    (
        "Azure",
        404,
        r#"{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist."}}"#,
        C::ModelGone,
        Scope::Model,
    ),
    (
        "Azure",
        429,
        r#"{"error":{"code":"429","message":"Requests have exceeded the token rate limit."}}"#,
        C::RateLimited,
        Scope::Key,
    ),
    (
        "Azure",
        429,
        r#"{"error":{"code":"RateLimitReached","message":"Your requests have exceeded the call rate limit. Please retry after 6 seconds."}}"#,
        C::RateLimited,
        Scope::Key,
    ),
    (
        "xAI",
        400,
        r#"{"code":"invalid-argument","error":"Incorrect API key provided. You can obtain an API key from https://console.x.ai."}"#,
        C::Unauthorised,
        Scope::Key,
    ),
    ("xAI", 400, r#"{"code":"invalid-argument","error":"Model not found: x"}"#, C::ModelGone, Scope::Model),
    (
        "Together",
        400,
        r#"{"id":"x","error":{"message":"Unable to access non-serverless model x.","type":"invalid_request_error","code":"model_not_available"}}"#,
        C::ModelGone,
        Scope::Model,
    ),
    ("Ollama", 404, r#"{"error":"model 'x' not found"}"#, C::ModelGone, Scope::Model),
    (
        "Ollama",
        503,
        r#"{"error":"server busy, please try again.  maximum pending requests exceeded"}"#,
        C::Overloaded,
        Scope::Endpoint,
    ),
    (
        "llama.cpp",
        400,
        r#"{"error":{"code":400,"message":"request (2009 tokens) exceeds the available context size (512 tokens)","type":"exceed_context_size_error"}}"#,
        C::ContextTooLong,
        Scope::Request,
    ),
    (
        "llama.cpp",
        500,
        r#"{"error":{"code":500,"message":"tools param requires --jinja flag","type":"server_error"}}"#,
        C::Unsupported,
        Scope::Request,
    ),
    (
        "llama.cpp",
        500,
        r#"{"error":{"code":500,"message":"[json.exception.parse_error.101] parse error at line 1","type":"server_error"}}"#,
        C::Unsupported,
        Scope::Request,
    ),
    (
        "llama.cpp",
        400,
        r#"{"error":{"code":400,"message":"Failed to load image or audio file","type":"invalid_request_error"}}"#,
        C::Unsupported,
        Scope::Request,
    ),
    (
        "MiniMax",
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"invalid params, tool result's tool id not found (2013)"}}"#,
        C::Declined,
        Scope::Request,
    ),
    (
        "llama.cpp",
        500,
        r#"{"error":{"code":500,"message":"invalid argument","type":"server_error"}}"#,
        C::Server,
        Scope::Model,
    ),
    (
        "llama.cpp",
        501,
        r#"{"error":{"code":501,"message":"This server does not support images","type":"not_supported_error"}}"#,
        C::Unsupported,
        Scope::Request,
    ),
    (
        "llama.cpp",
        503,
        r#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#,
        C::Overloaded,
        Scope::Model,
    ),
    (
        "vLLM",
        400,
        r#"{"object":"error","message":"This model's maximum context length is 4096 tokens.","type":"BadRequestError","param":null,"code":400}"#,
        C::ContextTooLong,
        Scope::Request,
    ),
    (
        "vLLM",
        404,
        r#"{"error":{"message":"The model `x` does not exist.","type":"NotFoundError","code":404}}"#,
        C::ModelGone,
        Scope::Model,
    ),
    ("a gateway", 403, "<!DOCTYPE html><title>Attention Required! | Cloudflare</title>", C::Server, Scope::Endpoint),
    ("a gateway", 502, "<html><head><title>502 Bad Gateway</title></head></html>", C::Server, Scope::Endpoint),
    ("a gateway", 503, "<html>no server is available</html>", C::Overloaded, Scope::Endpoint),
    ("a gateway", 524, "error code: 524", C::Server, Scope::Endpoint),
    ("a gateway", 500, "", C::Server, Scope::Model),
    (
        "a gateway",
        520,
        "<html><title>520: Web server is returning an unknown error</title></html>",
        C::Server,
        Scope::Endpoint,
    ),
    ("a gateway", 504, "", C::Server, Scope::Endpoint),
    ("a proxy", 408, "", C::Server, Scope::Model),
    ("a firewall", 403, "Forbidden", C::Forbidden, Scope::Key),
    ("anything", 404, "404 page not found", C::Server, Scope::Endpoint),
    ("anything", 418, "teapot", C::Declined, Scope::Request),
    ("anything", 422, "{}", C::Declined, Scope::Request),
    ("anything", 429, "null", C::RateLimited, Scope::Key),
    ("anything", 302, "", C::Server, Scope::Model),
    (
        "Groq",
        400,
        r#"{"error":{"message":"The model `x` has been decommissioned and is no longer supported.","type":"invalid_request_error","code":"model_decommissioned"}}"#,
        C::ModelGone,
        Scope::Model,
    ),
    (
        "xAI",
        400,
        r#"{"code":"invalid-argument","error":"This model's maximum prompt length is 131072 but the request contains 136973 tokens."}"#,
        C::ContextTooLong,
        Scope::Request,
    ),
    (
        "xAI",
        429,
        r#"{"code":"Some resource has been exhausted","error":"Your team x has either used all available credits or reached its monthly spending limit."}"#,
        C::OutOfMoney,
        Scope::Key,
    ),
    (
        "xAI",
        403,
        r#"{"code":"permission-denied","error":"You have run out of credits or need a Grok subscription."}"#,
        C::OutOfMoney,
        Scope::Key,
    ),
    (
        "xAI",
        403,
        r#"{"code":"The caller does not have permission to execute the specified operation","error":"Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO"}"#,
        C::ContentPolicy,
        Scope::Request,
    ),
    (
        "DeepSeek",
        400,
        r#"{"error":{"message":"Content Exists Risk","type":"invalid_request_error","param":null,"code":"invalid_request_error"}}"#,
        C::ContentPolicy,
        Scope::Endpoint,
    ),
    (
        "Together",
        422,
        r#"{"error":{"message":"Input validation error: `inputs` tokens + `max_new_tokens` must be <= 2048. Given: 2019 `inputs` tokens and 30 `max_new_tokens`","type":"invalid_request_error","param":null,"code":null}}"#,
        C::ContextTooLong,
        Scope::Request,
    ),
    (
        "Qwen",
        500,
        r#"{"error":{"message":"An error occurred in model serving: Too many requests. Your requests are being throttled due to system capacity limits.","code":"internal_error"}}"#,
        C::Overloaded,
        Scope::Model,
    ),
];

/// The conversation is too long, in the words of whoever serves the model.
const OVERFLOWS: &[(&str, u16, &str)] = &[
    (
        "vLLM, old",
        400,
        "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens (4800 in the messages, 200 in the completion).",
    ),
    (
        "vLLM",
        400,
        "The decoder prompt (length 41213) is longer than the maximum model length of 32768. Make sure that `max_model_len` is no smaller than the number of text tokens.",
    ),
    (
        "vLLM, new",
        400,
        "'max_tokens' or 'max_completion_tokens' is too large: 9000. This model's maximum context length is 8192 tokens and your request has 5000 input tokens",
    ),
    ("SGLang", 400, "The input (41213 tokens) is longer than the model's context length (32768 tokens)."),
    ("SGLang", 400, "Requested token count exceeds the model's maximum context length of 32768 tokens."),
    ("SGLang", 400, "Input length (41213 tokens) exceeds the maximum allowed length (32767 tokens)."),
    ("llama.cpp", 400, "the request exceeds the available context size. try increasing the context size"),
    ("llama.cpp", 500, "Context size has been exceeded."),
    (
        "LM Studio",
        400,
        "Trying to keep the first 5000 tokens when context the overflows. However, the model is loaded with context length of only 4096 tokens, which is not enough.",
    ),
    ("LM Studio", 400, "The number of tokens to keep from the initial prompt is greater than the context length."),
    ("TGI", 422, "Input validation error: `inputs` must have less than 4095 tokens. Given: 41000"),
    ("Ollama", 400, "the input length exceeds the context length"),
    ("Ollama", 400, "prompt too long; exceeded max context length by 123 tokens"),
    ("Bedrock", 400, "Input is too long for requested model."),
    (
        "Bedrock",
        400,
        "The model returned the following errors: Too many input tokens. Max input tokens: 8192, request input token count: 9000",
    ),
    (
        "Vertex",
        400,
        "Unable to submit request because the input token count is 40000 but model only supports up to 32768.",
    ),
    ("Moonshot", 400, "Invalid request: Your request exceeded model token limit: 131072 (requested: 140000)"),
    ("Moonshot", 400, "Input token length too long"),
    ("Z.ai", 400, "Prompt exceeds max length"),
    ("MiniMax", 400, "invalid params, context window exceeds limit"),
    ("Qwen", 400, "<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 30720]"),
    (
        "Mistral",
        400,
        "Prompt contains 70000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
    ),
    ("Cohere", 400, "too many tokens: size limit exceeded by 11326 tokens. Try using shorter or fewer inputs."),
    ("Groq", 400, "Please reduce the length of the messages or completion."),
    (
        "Cerebras",
        400,
        "Please reduce the length of the messages or completion. Current length is 8193 while limit is 8192",
    ),
    ("Fireworks", 400, "The prompt is too long: 139276, model maximum context length: 131071"),
    ("Copilot", 400, "prompt token count of 130000 exceeds the limit of 128000"),
    ("OpenAI", 400, "Your input exceeds the context window of this model. Please adjust your input and try again."),
    (
        "Watsonx",
        400,
        "Failed: the number of input tokens 50000 cannot exceed the total tokens limit 4096 for this model",
    ),
    ("NIM", 400, "Input length 41000 exceeds maximum allowed token size 4096"),
    ("GitHub", 413, "Request body too large for x model. Max size: 8000 tokens."),
    ("LiteLLM", 400, "litellm.ContextWindowExceededError: litellm.BadRequestError: OpenAIException - whatever"),
    ("Doubao", 400, "Total tokens of image and text exceed max message tokens. Request id: 02"),
    ("SiliconFlow", 400, "length of prompt_tokens (15003) must be less than max_seq_len (8192)."),
    ("SiliconFlow", 413, "length of prompt_tokens (15003) must be less than max_seq_len (8192)."),
    // Nobody's known words: tokens, a limit, the prompt, and numbers that bear it out.
    ("somebody", 400, "Your conversation has 41,213 tokens, which is over the limit of 32,768."),
    ("somebody", 400, "At most 16384 tokens are allowed in a request to this deployment."),
    ("somebody", 422, "prompt of 50000 tokens is larger than the maximum of 8192"),
];

#[test]
fn a_conversation_that_is_too_long_is_recognised_in_the_words_of_every_server() {
    for (provider, status, message) in OVERFLOWS {
        let shapes = [
            serde_json::json!({"error": {"message": message, "type": "invalid_request_error", "param": "messages", "code": null}}),
            serde_json::json!({"object": "error", "message": message, "type": "BadRequestError", "param": null, "code": status}),
            serde_json::json!({"error": message}),
            serde_json::json!({"error": {"code": status, "message": "Provider returned error", "metadata": {
                "raw": serde_json::json!({"error": {"message": message}}).to_string(), "provider_name": provider,
            }}}),
        ];
        for body in shapes.iter().map(ToString::to_string).chain([(*message).to_owned()]) {
            let found = failure(*status, &body);
            assert_eq!(found.class, C::ContextTooLong, "{provider} {status} {body}: {found}");
        }
    }
}

#[test]
fn a_limit_of_another_kind_is_no_conversation_too_long() {
    for (status, message, class) in [
        (400, "Invalid max_tokens value, the valid range of max_tokens is [1, 393216]", C::Unsupported),
        (400, "Range of max_tokens should be [1, 8192]", C::Unsupported),
        (
            400,
            "`max_tokens` must be less than or equal to `32768`, the maximum value for `max_tokens` is less than the `context_window` for this model",
            C::Unsupported,
        ),
        (400, "max_tokens: 100000 > 64000, which is the maximum allowed number of output tokens for x", C::Unsupported),
        (
            400,
            "max_tokens is too large: 9000. This model supports at most 4096 completion tokens, whereas you provided 9000.",
            C::Unsupported,
        ),
        (
            429,
            "Request too large for x on tokens per minute (TPM): Limit 6000, Requested 14368",
            C::RequestExceedsLimit,
        ),
        (429, "Rate limit reached: maximum of 30000 input tokens per minute. Please try again in 20s.", C::RateLimited),
        (400, "thinking.budget_tokens: must be at least 1024 tokens", C::BadRequest),
        (400, "Invalid token in prompt template", C::Declined),
    ] {
        let body = serde_json::json!({"error": {"message": message, "type": "invalid_request_error"}}).to_string();
        assert_eq!(failure(status, &body).class, class, "{message}");
    }
}

/// Status, body, class: refusals that prove nothing, and those that do.
const REFUSALS: &[(u16, &str, FailureClass)] = &[
    // A page or a plain text is a gateway's: a short failure of the endpoint, and no verdict on a model.
    (404, "<html><head><title>404 Not Found</title></head><body>nginx</body></html>", C::Server),
    (404, "<!doctype html><title>Page not found</title>The model x does not exist", C::Server),
    (404, "default backend - 404", C::Server),
    (404, "", C::Server),
    (404, r#"{"detail":"Not Found"}"#, C::Server),
    (
        404,
        r#"{"error":{"message":"Invalid URL (POST /v1/v1/chat/completions)","type":"invalid_request_error","param":null,"code":null}}"#,
        C::Server,
    ),
    (404, r#"{"message":"no Route matched with those values"}"#, C::Server),
    (404, r#"{"error":{"message":"Resource not found","code":"404"}}"#, C::Server),
    (405, r#"{"detail":"Method Not Allowed"}"#, C::Server),
    (407, "<html><title>407 Proxy Authentication Required</title></html>", C::Server),
    (408, r#"{"error":{"message":"Request timed out"}}"#, C::Server),
    (410, "<html><title>410 Gone</title></html>", C::Server),
    (421, "Misdirected Request", C::Server),
    (423, r#"{"error":{"message":"locked"}}"#, C::Server),
    (424, r#"{"error":{"message":"the model is not ready yet"}}"#, C::Server),
    (424, r#"{"message":"Received server error (500) from primary","OriginalStatusCode":500}"#, C::Server),
    (425, "", C::Server),
    (426, "Upgrade Required", C::Server),
    (428, "{}", C::Server),
    (499, "", C::Server),
    (520, "", C::Server),
    (521, "<html><title>Web server is down</title></html>", C::Server),
    (525, "", C::Server),
    (530, "error code: 1033", C::Server),
    (302, "<html><title>302 Found</title></html>", C::Server),
    (529, "", C::Overloaded),
    (503, "upstream connect error or disconnect/reset before headers", C::Overloaded),
    (413, "", C::RequestExceedsLimit),
    (413, r#"{"error":{"message":"Payload too large","type":"invalid_request_error"}}"#, C::RequestExceedsLimit),
    // A refusal without a reason is nobody's proof.
    (400, "", C::Declined),
    (400, "{}", C::Declined),
    (400, "Bad Request", C::Declined),
    (400, "<html><head><title>400 Bad Request</title></head></html>", C::Declined),
    (
        400,
        r#"{"error":{"message":"Bad request","type":"invalid_request_error","param":null,"code":null}}"#,
        C::Declined,
    ),
    (
        400,
        r#"{"error":{"message":"Provider returned error","code":400,"metadata":{"raw":"","provider_name":"x"}}}"#,
        C::Declined,
    ),
    (406, "", C::Declined),
    (415, r#"{"error":"Unsupported Media Type"}"#, C::Unsupported),
    (418, "<html><title>I am a teapot</title></html>", C::Declined),
    (422, "", C::Declined),
    (431, "Request Header Fields Too Large", C::Declined),
    // What tells of somebody else's trouble goes on, whatever it calls itself.
    (400, r#"{"error":{"message":"Upstream request failed","type":"invalid_request_error","code":null}}"#, C::Server),
    (400, r#"{"error":{"message":"upstream error: do request failed","type":"upstream_error"}}"#, C::Server),
    (
        400,
        r#"{"error":{"message":"Service temporarily unavailable, please try again later","type":"invalid_request_error"}}"#,
        C::Server,
    ),
    (
        400,
        r#"{"error":{"message":"litellm.APIConnectionError: Connection refused","type":"invalid_request_error"}}"#,
        C::Server,
    ),
    (
        400,
        r#"{"error":{"message":"The model x is currently loading, it is not ready","type":"invalid_request_error"}}"#,
        C::Server,
    ),
    (
        400,
        r#"{"error":{"message":"Error code: 503 - {'error': {'message': 'no'}}","type":"invalid_request_error"}}"#,
        C::Overloaded,
    ),
    (
        400,
        r#"{"error":{"message":"Error code: 429 - {'error': {'message': 'slow'}}","type":"invalid_request_error"}}"#,
        C::RateLimited,
    ),
    (
        500,
        r#"{"error":{"message":"litellm.RateLimitError: AnthropicException - {\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"slow\"}}","type":null,"code":"500"}}"#,
        C::RateLimited,
    ),
    (
        400,
        r#"{"error":{"message":"Rate limit hit for this deployment","type":"invalid_request_error"}}"#,
        C::RateLimited,
    ),
    (400, r#"{"error":{"message":"You exceeded your current quota","type":"invalid_request_error"}}"#, C::RateLimited),
    (403, r#"{"error":{"message":"Quota exceeded for requests","status":"PERMISSION"}}"#, C::RateLimited),
    (
        400,
        r#"{"error":{"message":"The server is overloaded or not ready yet.","type":"invalid_request_error"}}"#,
        C::Overloaded,
    ),
    (400, r#"{"message":"Too many concurrent requests","__type":"ThrottlingException"}"#, C::RateLimited),
    (400, r#"{"error":{"code":502,"message":"Bad gateway"}}"#, C::Server),
    (
        500,
        r#"{"error":{"message":"CUDA out of memory while processing messages","type":"invalid_request_error"}}"#,
        C::Server,
    ),
    (
        500,
        r#"{"error":{"message":"Failed to allocate memory for the KV cache","type":"invalid_request_error","code":"invalid_request_error"}}"#,
        C::Server,
    ),
    (
        500,
        r#"{"error":{"message":"unsupported operand type(s) for +: 'NoneType' and 'int'","type":"server_error"}}"#,
        C::Server,
    ),
    // The account, in an error that a gateway wrote out.
    (
        400,
        r#"{"error":{"message":"OpenAIException - Error code: 429 - {'error': {'message': 'You exceeded your current quota', 'code': 'insufficient_quota'}}"}}"#,
        C::OutOfMoney,
    ),
    (
        401,
        r#"{"error":{"message":"{\"error\":{\"message\":\"Incorrect API key provided\",\"code\":\"invalid_api_key\"}}"}}"#,
        C::Unauthorised,
    ),
    // A model that is not there: by a code, or by its name.
    (404, r#"{"error":{"message":"The model `x` does not exist","type":"NotFoundError","code":404}}"#, C::ModelGone),
    (400, r#"{"error":{"message":"Unknown model: x"}}"#, C::ModelGone),
    (400, r#"{"error":{"message":"x is not a valid model ID","code":400}}"#, C::ModelGone),
    (404, r#"{"error":"model 'x' not found, try pulling it first"}"#, C::ModelGone),
    (422, r#"{"error":{"message":"no such model x"}}"#, C::ModelGone),
    (
        400,
        r#"{"error":{"message":"Invalid model name passed in model=x. Call `/v1/models` to view available models"}}"#,
        C::ModelGone,
    ),
    (404, r#"{"error":{"message":"No endpoints found for acme/x.","code":404}}"#, C::ModelGone),
    (400, r#"{"error":{"message":"gone","code":"model_not_found"}}"#, C::ModelGone),
    (404, r#"{"error":{"message":"The model x-large does not exist"}}"#, C::Server),
    (404, r#"{"error":{"message":"x is temporarily unavailable"}}"#, C::Server),
    // What names a field that this target does not know: another may.
    (400, r#"{"error":{"message":"property 'store' is unsupported","type":"invalid_request_error"}}"#, C::Unsupported),
    (400, r#"{"error":{"message":"Additional properties are not allowed ('store' was unexpected)"}}"#, C::Unsupported),
    (
        422,
        r#"{"detail":[{"type":"extra_forbidden","loc":["body","top_k"],"msg":"Extra inputs are not permitted","input":5}]}"#,
        C::Unsupported,
    ),
    (
        400,
        r#"{"error":{"message":"Unknown parameter: 'reasoning'.","param":"reasoning","code":"unknown_parameter"}}"#,
        C::Unsupported,
    ),
    (400, r#"{"error":{"message":"Unrecognized field \"seed\""}}"#, C::Unsupported),
    // The request's own: a field, a schema, a message.
    (
        400,
        r#"{"error":{"message":"Invalid value for 'temperature': 9 is above 2.","type":"invalid_request_error","code":null,"param":"temperature"}}"#,
        C::BadRequest,
    ),
    (
        400,
        r#"{"error":{"message":"messages.3: tool_use ids were found without tool_result blocks immediately after","type":"invalid_request_error"}}"#,
        C::BadRequest,
    ),
    (
        400,
        r#"{"error":{"message":"An assistant message with 'tool_calls' must be followed by tool messages"}}"#,
        C::BadRequest,
    ),
    (
        400,
        r#"{"error":{"code":400,"message":"* GenerateContentRequest.tools[0].function_declarations[0].name: [REQUIRED_FIELD_MISSING]","status":"INVALID_ARGUMENT"}}"#,
        C::BadRequest,
    ),
    (
        400,
        r#"{"error":{"code":400,"message":"Bad","status":"INVALID_ARGUMENT","details":[{"fieldViolations":[{"field":"contents","description":"empty"}]}]}}"#,
        C::BadRequest,
    ),
    (422, r#"{"detail":[{"type":"missing","loc":["body","messages"],"msg":"Field required"}]}"#, C::BadRequest),
    (
        400,
        r#"{"message":"Malformed input request: #/messages/0: required key [role] not found, please reformat your input"}"#,
        C::BadRequest,
    ),
    (
        400,
        r#"{"error":{"message":"Provider returned error","code":400,"metadata":{"raw":"{\"error\":{\"message\":\"Invalid schema for function 'f'\",\"param\":\"tools[0]\"}}"}}}"#,
        C::BadRequest,
    ),
    (400, "Invalid JSON schema: 'type' must be one of object, array", C::BadRequest),
    (400, r#"{"error":{"message":"'tools' has no name"}}"#, C::BadRequest),
    (400, r#"{"error":{"message":"The system message must not be empty."}}"#, C::BadRequest),
    (400, r#"{"error":{"message":"tools[0].name"}}"#, C::BadRequest),
    (400, r#"{"error":{"message":"Missing messages"}}"#, C::BadRequest),
    // A word alone, or in an address, is no proof: servers speak of themselves in it.
    (400, r#"{"error":{"message":"This deployment reads messages of one kind"}}"#, C::Declined),
    (400, r#"{"error":{"message":"No images here"}}"#, C::Declined),
    (400, r#"{"error":{"message":"Error in the role assumed by the service"}}"#, C::Declined),
    (400, r#"{"error":{"message":"POST https://api.x.dev/v1/messages failed"}}"#, C::Declined),
];

/// Status, and what a server says that its own template, its form of a conversation or its model cannot do.
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
            serde_json::json!({"error": {"message": message, "type": "invalid_request_error", "param": null, "code": null}}),
            serde_json::json!({"object": "error", "message": message, "type": "BadRequestError", "param": "messages", "code": status}),
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

#[test]
fn an_answer_that_is_to_be_longer_than_one_model_gives_is_asked_of_the_next_whatever_the_code() {
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
    // Of another number it is the request's own, in every model's words.
    let other = r#"{"error":{"message":"Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 3 instead.","param":"temperature","code":"decimal_above_max_value"}}"#;
    assert_eq!(failure(400, other).class, C::BadRequest);
}

#[test]
fn what_is_said_of_an_account_is_the_keys_whatever_the_status() {
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
        // A zone that is named holds, and everybody else means UTC.
        (r#"{"error":{"code":"1308","message":"reset at 2026-11-29T22:00:10Z"}}"#, Zone::BEIJING, 36_010),
        (r#"{"error":{"message":"Your limit will reset at 2026-11-29 22:00:10"}}"#, utc, 36_010),
        (r#"{"error":{"code":"13080","message":"reset at 2026-11-29 22:00:10"}}"#, utc, 36_010),
    ] {
        assert_eq!(wait(body, home), expected, "{body}");
    }
}

#[test]
fn what_is_not_provably_the_requests_own_fault_is_somebody_elses() {
    let wrong: Vec<String> = REFUSALS
        .iter()
        .map(|(status, body, class)| (status, body, class, failure(*status, body)))
        .filter(|(_, _, class, found)| found.class != **class)
        .map(|(status, body, class, found)| format!("{status} {body}\n   {class}, found {found:?}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_error_within_an_answer_is_judged_as_it_is_alone() {
    for (json, class) in [
        (r#"{"error":{"message":"Provider returned error","code":502,"metadata":{"raw":"upstream gone"}}}"#, C::Server),
        (r#"{"error":{"code":429,"message":"slow down"}}"#, C::RateLimited),
        (r#"{"error":{"code":"insufficient_quota","message":"none left"}}"#, C::OutOfMoney),
        (r#"{"error":{"message":"Error code: 529 - overloaded"}}"#, C::Overloaded),
        (r#"{"error":"Internal server error"}"#, C::Server),
        (r#"{"detail":"Input is too long for requested model"}"#, C::ContextTooLong),
    ] {
        assert_eq!(recognise(json).expect("an error").class, class, "{json}");
    }
}

#[test]
fn when_to_come_back_is_understood_wherever_a_body_says_it() {
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
fn knows_every_provider_by_status_code_and_text() {
    let wrong: Vec<String> = TABLE
        .iter()
        .filter_map(|(provider, status, body, class, scope)| {
            let found = failure(*status, body);
            let right = (found.class, found.scope, found.status) == (*class, *scope, Some(*status));
            (!right).then(|| format!("{provider} {status} {body}\n   {class} {scope:?}, found {found:?}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_row_stands_there_once() {
    let rows: std::collections::BTreeSet<_> = TABLE.iter().map(|(_, status, body, ..)| (status, body)).collect();
    assert_eq!(rows.len(), TABLE.len());
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
fn names_no_wait_where_waiting_cannot_help() {
    let mut headers = HeaderMap::new();
    headers.insert("retry-after", HeaderValue::from_static("30"));
    for (status, body) in
        [(401, ""), (402, ""), (400, ""), (413, ""), (429, r#"{"error":{"code":"insufficient_quota"}}"#)]
    {
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
    let long = failure(400, &"ü".repeat(2_000)).message;
    assert_eq!(long.chars().count(), 500);
    assert_eq!(failure(400, &"x".repeat(3_000_000)).message.len(), 500);
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
            prop_assert!(found.message.chars().count() <= 500);
            in_band(&body);
            recognise(&body);
        }
    }
}

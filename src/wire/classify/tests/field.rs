//! Errors that users of agents and gateways met in 2026, in the words of their reports.

use super::*;

/// Status, body, class.
const MET: &[(u16, &str, FailureClass)] = &[
    // Kimi, Z.ai, DeepSeek: thoughts, tools and their choice.
    (
        400,
        r#"{"error":{"message":"thinking is enabled but reasoning_content is missing in assistant tool call message at index 2","type":"invalid_request_error"}}"#,
        C::Unsupported,
    ),
    (
        400,
        r#"{"error":{"message":"deepseek-reasoner does not support this tool_choice","type":"invalid_request_error","param":null,"code":"invalid_request_error"}}"#,
        C::Unsupported,
    ),
    (
        400,
        r#"{"error":{"message":"The `reasoning_content` in the thinking mode must be passed back to the API.","type":"invalid_request_error"}}"#,
        C::Unsupported,
    ),
    (400, r#"{"error":{"code":"1210","message":"API 调用参数有误，请检查文档。"}}"#, C::Declined),
    (
        429,
        r#"{"error":{"code":"1302","message":"您当前使用该API的并发数过高，请降低并发，或联系客服增加限额。"}}"#,
        C::RateLimited,
    ),
    (429, r#"{"error":{"code":"1305","message":"当前API请求过多，请稍后重试。"}}"#, C::RateLimited),
    (429, r#"{"error":{"code":"1113","message":"余额不足或无可用资源包,请充值。"}}"#, C::OutOfMoney),
    (500, r#"{"error":{"code":"1234","message":"网络错误，错误id：20260401，请联系客服。"}}"#, C::Server),
    // Anthropic and hosts of its dialect.
    (
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"tools.0: Input tag 'memory_20250818' found using 'type' does not match any of the expected tags: 'bash_20250124', 'custom'"}}"#,
        C::Unsupported,
    ),
    (
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"messages.3.content.0.text.cache_control.scope: Extra inputs are not permitted"}}"#,
        C::Unsupported,
    ),
    (
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"A maximum of 4 blocks with cache_control may be provided. Found 5."}}"#,
        C::Unsupported,
    ),
    (
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"messages.41: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_01. Each `tool_use` block must have a corresponding `tool_result` block in the next message."}}"#,
        C::BadRequest,
    ),
    (
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"The long context beta is not yet available for this subscription."}}"#,
        C::Unsupported,
    ),
    (
        429,
        r#"{"type":"error","error":{"type":"rate_limit_error","message":"Extra usage is required for long context requests."}}"#,
        C::RequestExceedsLimit,
    ),
    (
        529,
        r#"{"type":"error","error":{"type":"overloaded_error","message":"High traffic detected. For a more stable experience, upgrade to our Plus plan"}}"#,
        C::Overloaded,
    ),
    (400, r#"{"message":"The model returned the following errors: invalid beta flag"}"#, C::Declined),
    (
        400,
        r#"{"message":"Invocation of model ID anthropic.x with on-demand throughput isn’t supported. Retry your request with the ID or ARN of an inference profile that contains this model."}"#,
        C::Unsupported,
    ),
    (
        424,
        r#"{"message":"The model has encountered an error while processing the request: ModelErrorException"}"#,
        C::Server,
    ),
    (403, r#"{"message":"You don't have access to the model with the specified model ID."}"#, C::Forbidden),
    // OpenCode's and Kilo's gateways, OpenRouter, Vercel.
    (
        400,
        "400 Error from provider (Console Go): Upstream request failed: [data_inspection_failed] <400> InternalError.Algo.DataInspectionFailed: Input text data may contain inappropriate content.",
        C::ContentPolicy,
    ),
    (
        502,
        r#"{"error":{"code":502,"message":"Provider returned error","metadata":{"error_type":"provider_unavailable"}}}"#,
        C::Server,
    ),
    (
        400,
        r#"{"error":{"message":"Provider returned error","code":400,"metadata":{"raw":"{\"error\":{\"message\":\"Upstream overloaded\"}}","provider_name":"X"}}}"#,
        C::Overloaded,
    ),
    (
        404,
        r#"{"error":{"message":"No endpoints found that support tool use. Try disabling \"bash\".","code":404}}"#,
        C::Unsupported,
    ),
    (
        404,
        r#"{"error":{"message":"No allowed providers are available for the selected model.","code":404}}"#,
        C::Server,
    ),
    (
        402,
        r#"{"error":{"message":"This request requires more credits, or fewer max_tokens. You requested up to 32000 tokens, but can only afford 1234.","code":402}}"#,
        C::OutOfMoney,
    ),
    (
        429,
        r#"{"error":{"message":"Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 free model requests per day","code":429}}"#,
        C::RateLimited,
    ),
    (401, r#"{"error":{"message":"User not found.","code":401}}"#, C::Unauthorised),
    // Groq, Cerebras, Mistral, Copilot, GitHub.
    (
        400,
        r#"{"error":{"message":"Failed to call a function. Please adjust your prompt. See 'failed_generation' for more details.","type":"invalid_request_error","code":"tool_use_failed","failed_generation":"<function=x>"}}"#,
        C::Unusable,
    ),
    (
        400,
        r#"{"object":"error","message":"Expected last role User or Tool (or Assistant with prefix True) for serving but got assistant","type":"invalid_request_message_order","param":null,"code":"3230"}"#,
        C::Unsupported,
    ),
    (
        422,
        r#"{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","messages",2,"assistant","reasoning_content"],"msg":"Extra inputs are not permitted"}]},"type":"invalid_request_error","param":null,"code":null}"#,
        C::Unsupported,
    ),
    (
        400,
        r#"{"error":{"message":"model_max_prompt_tokens_exceeded","code":"model_max_prompt_tokens_exceeded"}}"#,
        C::ContextTooLong,
    ),
    (
        400,
        r#"{"error":{"message":"The requested model is not supported.","code":"model_not_supported","param":"model","type":"invalid_request_error"}}"#,
        C::ModelGone,
    ),
    (403, "unauthorized: not authorized to use this Copilot feature", C::Forbidden),
    // llama.cpp, vLLM, SGLang, Ollama, LM Studio.
    (
        500,
        r#"{"error":{"code":500,"message":"Failed to parse input at pos 42: <tool_call>","type":"server_error"}}"#,
        C::Server,
    ),
    (
        400,
        r#"{"error":{"code":400,"message":"request (41213 tokens) exceeds the available context size (32768 tokens), try increasing it","type":"exceed_context_size_error","n_prompt_tokens":41213,"n_ctx":32768}}"#,
        C::ContextTooLong,
    ),
    (503, r#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#, C::Overloaded),
    (
        500,
        r#"{"error":{"message":"EngineCore encountered an issue. See stack trace (above) for the root cause.","type":"Internal Server Error","param":null,"code":500}}"#,
        C::Server,
    ),
    (
        400,
        r#"{"error":{"message":"\"auto\" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set","type":"BadRequestError","param":null,"code":400}}"#,
        C::Unsupported,
    ),
    (400, r#"{"error":"registry.ollama.ai/library/gemma:2b does not support tools"}"#, C::Unsupported),
    (
        404,
        r#"{"error":{"message":"model 'x' not found","type":"not_found_error","param":null,"code":null}}"#,
        C::ModelGone,
    ),
    (
        400,
        r#"{"error":"The model has crashed without additional information. (Exit code: 18446744072635812000)"}"#,
        C::Server,
    ),
    (500, r#"{"error":"llama runner process has terminated: exit status 2"}"#, C::Server),
    (
        500,
        r#"{"error":{"message":"model requires more system memory (9.5 GiB) than is available (7.1 GiB)","type":"api_error"}}"#,
        C::Server,
    ),
    // Google.
    (
        400,
        r#"{"error":{"code":400,"message":"Please ensure that the number of function response parts is equal to the number of function call parts of the function call turn.","status":"INVALID_ARGUMENT"}}"#,
        C::Unsupported,
    ),
    (
        400,
        r#"{"error":{"code":400,"message":"The specified schema produces a constraint that has too many states for serving.","status":"INVALID_ARGUMENT"}}"#,
        C::Unsupported,
    ),
    (
        400,
        r#"{"error":{"code":400,"message":"Built-in tools ({google_search}) and Function Calling cannot be combined in the same request.","status":"INVALID_ARGUMENT"}}"#,
        C::Declined,
    ),
    (499, r#"{"error":{"code":499,"message":"The operation was cancelled.","status":"CANCELLED"}}"#, C::Server),
    (
        429,
        r#"{"error":{"code":429,"message":"You have exhausted your capacity on this model. Your quota will reset after 3h22m.","status":"RESOURCE_EXHAUSTED"}}"#,
        C::RateLimited,
    ),
    // OpenAI, Azure.
    (
        400,
        r#"{"error":{"message":"Unsupported value: 'reasoning.effort' does not support 'minimal' with this model.","type":"invalid_request_error","param":"reasoning.effort","code":"unsupported_value"}}"#,
        C::Unsupported,
    ),
    (
        400,
        r#"{"error":{"message":"No tool output found for function call call_1.","type":"invalid_request_error","param":"input","code":null}}"#,
        C::BadRequest,
    ),
    (
        400,
        r#"{"error":{"message":"Stream options can only be defined when `stream=True`.","type":"BadRequestError","param":null,"code":400}}"#,
        C::Unsupported,
    ),
    (
        429,
        r#"{"error":{"code":"no_capacity","message":"The system is currently experiencing high demand and cannot process your request. Your request exceeds the maximum usage size allowed during peak load."}}"#,
        C::Overloaded,
    ),
    // LiteLLM, new-api.
    (
        500,
        r#"{"error":{"message":"litellm.InternalServerError: InternalServerError: OpenAIException - Connection error.","type":null,"param":null,"code":"500"}}"#,
        C::Server,
    ),
    (
        400,
        r#"{"error":{"message":"litellm.BadRequestError: OpenAIException - Error code: 429 - {'error': {'message': 'slow'}}","type":"invalid_request_error","param":null,"code":"400"}}"#,
        C::RateLimited,
    ),
    (
        429,
        r#"{"error":{"message":"No deployments available for selected model, Try again in 60 seconds. Passed model=x.","type":"None","param":"None","code":"429"}}"#,
        C::RateLimited,
    ),
    (
        503,
        r#"{"error":{"message":"当前分组 default 下对于模型 x 无可用渠道 (request id: 2)","type":"new_api_error","code":"model_not_found"}}"#,
        C::Overloaded,
    ),
    (
        403,
        r#"{"error":{"message":"用户额度不足, 剩余额度: ＄0.001","type":"new_api_error","code":"insufficient_user_quota"}}"#,
        C::OutOfMoney,
    ),
    (401, r#"{"error":{"message":"无效的令牌 (request id: 1)","type":"new_api_error"}}"#, C::Unauthorised),
    (
        400,
        r#"{"error":{"message":"bad response status code 429 (request id: 1)","type":"bad_response_status_code","code":"bad_response_status_code"}}"#,
        C::RateLimited,
    ),
    (
        500,
        r#"{"error":{"message":"do request failed: context deadline exceeded","type":"new_api_error","code":"do_request_failed"}}"#,
        C::Server,
    ),
    (
        400,
        r#"{"error":{"message":"openai_error (request id: 1)","type":"bad_response_status_code","param":"","code":"bad_response_status_code"}}"#,
        C::Declined,
    ),
];

#[test]
fn errors_from_the_field_are_taken_for_what_they_are() {
    let found = MET.iter().filter_map(|(status, body, class)| {
        let found = failure(*status, body).class;
        (found != *class).then(|| format!("{status} {body}\n   {found}, not {class}"))
    });
    let found: Vec<_> = found.collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

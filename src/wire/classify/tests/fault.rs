//! Whose fault a refusal is.

use super::*;

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
    // A refusal without a reason proves nothing.
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
    // Trouble of another party goes on to the next target, under any name.
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
    // Texts that name a field which this target does not know: another may.
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
    // More, longer or larger than this target takes.
    (
        400,
        r#"{"error":{"message":"Invalid 'tools': array too long. Expected an array with maximum length 128, but got an array with length 140 instead.","param":"tools","code":"array_above_max_length"}}"#,
        C::Unsupported,
    ),
    (
        400,
        r#"{"error":{"message":"Invalid 'tools[0].function.name': string too long. Expected a string with maximum length 64","param":"tools[0].function.name","code":"string_above_max_length"}}"#,
        C::Unsupported,
    ),
    (400, r#"{"error":{"message":"'tools' : maximum number of items is 128"}}"#, C::Unsupported),
    (
        400,
        r#"{"error":{"message":"messages.4.content.0.image.source.base64: image exceeds 5 MB maximum: 6291456 bytes > 5242880 bytes"}}"#,
        C::Unsupported,
    ),
    (400, r#"{"error":{"message":"tools.0.custom.name: String should have at most 128 characters"}}"#, C::Unsupported),
    (
        400,
        r#"{"message":"1 validation error detected: Value at 'toolConfig.tools.1.member.toolSpec.name' failed to satisfy constraint: Member must have length less than or equal to 64"}"#,
        C::Unsupported,
    ),
    // Values that this server does not know: the next may be newer, or of the provider that made them.
    (
        400,
        r#"{"error":{"message":"tools.0: Input tag 'web_search_20250305' found using 'type' does not match any of the expected tags: 'custom'"}}"#,
        C::Unsupported,
    ),
    (
        422,
        r#"{"detail":[{"type":"literal_error","loc":["body","messages",0,"role"],"msg":"Input should be 'system', 'user' or 'tool'","input":"developer"}]}"#,
        C::Unsupported,
    ),
    (
        400,
        r#"{"error":{"message":"Invalid value: 'namespace'. Supported values are: 'function', 'custom'.","param":"tools[1].type","code":"invalid_value"}}"#,
        C::Unsupported,
    ),
    (400, r#"{"error":{"message":"reasoning_effort: Input should be 'low', 'medium' or 'high'"}}"#, C::Unsupported),
    (400, r#"{"error":{"message":"invalid temperature: only 1 is allowed for this model"}}"#, C::Unsupported),
    (
        400,
        r#"{"error":{"message":"json: cannot unmarshal array into Go struct field ChatRequest.messages.content of type string"}}"#,
        C::Unsupported,
    ),
    (
        400,
        r#"{"error":{"message":"Invalid schema for function 'f': schema must have type 'object' and not have 'oneOf'/'anyOf' at the top level.","param":"tools[0].function.parameters","code":"invalid_function_parameters"}}"#,
        C::Unsupported,
    ),
    (
        400,
        r#"{"error":{"message":"Budget has been exceeded! Current cost: 1.2, Max budget: 1.0","type":"budget_exceeded","code":"400"}}"#,
        C::OutOfMoney,
    ),
    (
        400,
        r#"{"error":{"message":"This credential is only authorized for use with Claude Code and cannot be used for other API requests.","type":"invalid_request_error"}}"#,
        C::Unauthorised,
    ),
    (
        400,
        r#"{"error":{"message":"The model produced invalid content. Consider modifying your prompt if you are seeing this error persistently.","type":"model_error"}}"#,
        C::Unusable,
    ),
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
    // A word alone, or in an address, is no proof: servers use it for their own limits, too.
    (400, r#"{"error":{"message":"This deployment reads messages of one kind"}}"#, C::Declined),
    (400, r#"{"error":{"message":"No images here"}}"#, C::Declined),
    (400, r#"{"error":{"message":"Error in the role assumed by the service"}}"#, C::Declined),
    (400, r#"{"error":{"message":"POST https://api.x.dev/v1/messages failed"}}"#, C::Declined),
];

#[test]
fn what_is_not_provably_the_requests_own_fault_is_anothers() {
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

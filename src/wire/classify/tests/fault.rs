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
    // What is wrong with the request by the rules of this target: a field, a schema, a message.
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

/// Who says so, status, body: rules of one house about what is in a request. The next house has others.
const RULES: &[(&str, u16, &str)] = &[
    // Schemas: each house takes a part of JSON Schema of its own.
    (
        "OpenAI",
        400,
        r#"{"error":{"message":"Invalid schema for function 'f': In context=(), 'additionalProperties' is required to be supplied and to be false.","param":"tools[0].function.parameters","code":"invalid_function_parameters"}}"#,
    ),
    (
        "OpenAI",
        400,
        r#"{"error":{"message":"Invalid schema for response_format 'x': In context=('properties','a'), 'oneOf' is not permitted.","param":"response_format","code":null}}"#,
    ),
    (
        "OpenAI",
        400,
        r#"{"error":{"message":"Invalid schema for response_format 'x': In context=('properties','a'), 'uri' is not a valid format.","param":"text.format.schema","code":null}}"#,
    ),
    (
        "OpenAI",
        400,
        r#"{"error":{"message":"Invalid schema for function 'f': In context=('properties', 'a'), array schema missing items.","param":"tools[0].function.parameters","code":"invalid_function_parameters"}}"#,
    ),
    (
        "Anthropic",
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"tools.9.custom.input_schema: JSON schema is invalid. It must match JSON Schema draft 2020-12 (https://json-schema.org/draft/2020-12)."}}"#,
    ),
    (
        "Anthropic",
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"tools.0.custom.input_schema.properties: Property keys should match pattern '^[a-zA-Z0-9_.-]{1,64}$'"}}"#,
    ),
    (
        "Google",
        400,
        r#"{"error":{"code":400,"message":"* GenerateContentRequest.tools[0].function_declarations[12].parameters.properties[ids].items: missing field.\n","status":"INVALID_ARGUMENT"}}"#,
    ),
    (
        "Google",
        400,
        r#"{"error":{"code":400,"message":"* GenerateContentRequest.tools[0].function_declarations[0].parameters.properties: should be non-empty for OBJECT type\n","status":"INVALID_ARGUMENT"}}"#,
    ),
    (
        "Kimi",
        400,
        r#"{"error":{"message":"tools.function.parameters is not a valid moonshot flavored json schema, details: <At path 'properties.a': when using anyOf, type should be defined in anyOf items instead of the parent schema>","type":"invalid_request_error"}}"#,
    ),
    (
        "Cerebras",
        422,
        r#"{"message":"Object fields require at least one of: 'properties' or 'anyOf' with a list of possible properties","type":"invalid_request_error","param":"response_format","code":"wrong_api_format"}"#,
    ),
    (
        "Groq",
        400,
        r#"{"error":{"message":"invalid JSON schema for tool f, tools[0].function.parameters: `/properties/a/items`: missing properties: 'type'","type":"invalid_request_error"}}"#,
    ),
    (
        "DeepSeek",
        400,
        r#"{"error":{"message":"Invalid 'tools[0].function.parameters': schema must be a JSON Schema of 'type: \"object\"', got 'type: null'.","type":"invalid_request_error","code":"invalid_request_error"}}"#,
    ),
    // Thoughts, their proofs and marks for the cache, which go to no other house.
    (
        "Anthropic",
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"messages.1.content.0: `thinking` or `redacted_thinking` blocks in the latest assistant message cannot be modified."}}"#,
    ),
    (
        "Anthropic",
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"messages.5.content.0.thinking.signature: Field required"}}"#,
    ),
    (
        "Anthropic",
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"messages.0.content.0.cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block."}}"#,
    ),
    // Texts, their form, and the order of turns.
    (
        "Anthropic",
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"messages: text content blocks must be non-empty"}}"#,
    ),
    (
        "Anthropic",
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"messages: final assistant content cannot end with trailing whitespace"}}"#,
    ),
    (
        "Anthropic",
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"messages.3: `tool_use` ids were found without `tool_result` blocks immediately after"}}"#,
    ),
    (
        "OpenAI",
        400,
        r#"{"error":{"message":"Messages with role 'tool' must be a response to a preceding message with 'tool_calls'.","param":"messages.[1].role","code":null}}"#,
    ),
    (
        "FastAPI",
        422,
        r#"{"detail":[{"type":"string_type","loc":["body","messages",0,"content"],"msg":"Input should be a valid string","input":[{"type":"text","text":"x"}]}]}"#,
    ),
    (
        "vLLM",
        400,
        r#"{"error":{"message":"1 validation error for ValidatorIterator\n0.ChatCompletionContentPartTextParam.text\n  Input should be a valid string","type":"BadRequestError","param":null,"code":400}}"#,
    ),
    (
        "Google",
        400,
        r#"{"error":{"code":400,"message":"The referenced name `#/$defs/X` in function_response.response does not match to a display_name in the function_response.parts.","status":"INVALID_ARGUMENT"}}"#,
    ),
    (
        "Anthropic",
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"messages.0.content.0.image.source.base64: The image was specified using the image/png media type, but the image appears to be a image/jpeg image"}}"#,
    ),
    // Numbers: no two houses have the same ranges.
    (
        "Anthropic",
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"temperature: range: 0..1"}}"#,
    ),
    (
        "OpenAI",
        400,
        r#"{"error":{"message":"Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 3 instead.","param":"temperature","code":"decimal_above_max_value"}}"#,
    ),
    (
        "FastAPI",
        422,
        r#"{"detail":[{"type":"less_than_equal","loc":["body","max_tokens"],"msg":"Input should be less than or equal to 8192","input":64000,"ctx":{"le":8192}}]}"#,
    ),
    (
        "vLLM",
        400,
        r#"{"error":{"message":"[{'type': 'less_than_equal', 'loc': ('body', 'max_completion_tokens'), 'msg': 'Input should be less than or equal to 16384', 'input': 64000, 'ctx': {'le': 16384}}]","type":"BadRequestError","param":null,"code":400}}"#,
    ),
    // Another API's address, and a gateway that lost what it was sent.
    ("FastAPI", 422, r#"{"detail":[{"type":"missing","loc":["body","prompt"],"msg":"Field required"}]}"#),
    (
        "a gateway",
        400,
        r#"{"error":{"message":"field messages is required (request id: x)","type":"new_api_error","param":"","code":"invalid_request"}}"#,
    ),
];

#[test]
fn a_rule_of_one_house_is_no_verdict_of_the_next() {
    for (who, status, body) in RULES {
        let found = failure(*status, body);
        let goes_on = match found.class {
            C::BadRequest => found.scope == Scope::Model,
            class => class == C::Unsupported,
        };
        assert!(goes_on, "{who}: {body}: {found:?}");
        assert!(found.class.consequences().hold.is_none(), "{who}: {body}: {found:?}");
    }
}

#[test]
fn where_nothing_was_said_no_other_can_answer() {
    for body in [
        r#"{"error":{"message":"Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.","param":"messages","code":"empty_array"}}"#,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"messages: at least one message is required"}}"#,
        r#"{"error":{"code":400,"message":"* GenerateContentRequest.contents: contents is not specified\n","status":"INVALID_ARGUMENT"}}"#,
        r#"{"object":"error","message":"Conversation must have at least one message","type":"invalid_request_error","param":"messages","code":null}"#,
    ] {
        let found = failure(400, body);
        assert_eq!((found.class, found.scope), (C::BadRequest, Scope::Request), "{body}");
    }
}

#[test]
fn what_a_request_is_sent_with_is_never_its_callers() {
    for (status, body) in [
        (
            400,
            r#"{"error":{"message":"missing required Copilot-Vision-Request header for vision requests","code":""}}"#,
        ),
        (
            400,
            r#"{"error":{"message":"Missing required header: x-team-id","type":"invalid_request_error","code":"missing_header"}}"#,
        ),
        (
            400,
            r#"{"error":{"message":"Missing required header","param":"x-team-id","code":"missing_required_parameter"}}"#,
        ),
        (400, r#"{"error":{"message":"Invalid Content-Type header","type":"invalid_request_error"}}"#),
        (
            400,
            r#"{"error":{"message":"Missing required query parameter: api-version","code":"MissingApiVersionParameter"}}"#,
        ),
        (422, r#"{"detail":[{"type":"missing","loc":["header","x-team-id"],"msg":"Missing header"}]}"#),
        (422, r#"{"detail":[{"type":"missing","loc":["query","version"],"msg":"Missing query parameter"}]}"#),
        // A gateway's verdict on what it does not know, with a status in the place of a field.
        (
            400,
            r#"{"error":{"message":"bad response status code 400 (request id: 2025)","type":"upstream_error","param":"400","code":"bad_response_status_code"}}"#,
        ),
    ] {
        assert_eq!(failure(status, body).class, C::Declined, "{body}");
    }
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

//! Words that a refusal quotes: those of its caller, and whole errors of other providers.

use super::super::body::quotes::{Parted, part};
use super::*;

/// Status, body, class: refusals that quote words about keys, money, limits and models which their callers wrote.
const QUOTES: &[(u16, &str, FailureClass)] = &[
    // Validators that print the value.
    (
        400,
        r#"{"object":"error","message":"1 validation error for ValidatorIterator\n0.typed-dict\n  Input should be a valid dictionary [type=dict_type, input_value='why do I get: Incorrect API key provided?', input_type=str]","type":"BadRequestError","param":null,"code":400}"#,
        C::BadRequest,
    ),
    (
        400,
        r#"{"object":"error","message":"[{'type': 'missing', 'loc': ('body', 'messages', 0, 'role'), 'msg': 'Field required', 'input': {'content': 'Your credit balance is too low'}}]","type":"BadRequestError","param":null,"code":400}"#,
        C::BadRequest,
    ),
    (
        400,
        r#"{"error":{"message":"1 validation error:\n  {'type': 'string_type', 'loc': ('body', 'messages', 0, 'content'), 'msg': 'Input should be a valid string', 'input': {'text': \"it's my account has been suspended\"}, 'ctx': {'error': ValueError('rate limit')}}","type":"Bad Request","param":null,"code":400}}"#,
        C::BadRequest,
    ),
    (
        400,
        r#"{"object":"error","message":"[{'type': 'missing', 'loc': ('body', 'messages', 0, 'role'), 'msg': 'Field required', 'input': {'content': 'the log says: the model x does not exist'}}]","type":"BadRequestError","param":null,"code":400}"#,
        C::BadRequest,
    ),
    (
        400,
        r#"{"error":{"message":"messages.0.content\n  Input should be a valid string [type=string_type, input_value=[{'type': 'text', 'text': 'The server is overloaded, you exceeded your quota'}], input_type=list]","type":"BadRequestError","code":400}}"#,
        C::BadRequest,
    ),
    (
        422,
        r#"{"detail":[{"type":"missing","loc":["body","messages",0,"role"],"msg":"Field required","input":{"content":"Incorrect API key provided; insufficient_quota"}}]}"#,
        C::BadRequest,
    ),
    // Names of tools, and values, that are codes elsewhere.
    (
        400,
        r#"{"error":{"message":"Invalid schema for function 'authentication_error': In context=(), object schema missing properties.","type":"invalid_request_error","param":"tools[0].function.parameters","code":"invalid_function_parameters"}}"#,
        C::BadRequest,
    ),
    (
        400,
        r#"{"error":{"message":"Invalid schema for function 'insufficient_quota_alert': schema must be a JSON Schema of 'type: \"object\"', got 'type: \"None\"'.","type":"invalid_request_error","param":"tools[0].function.parameters","code":"invalid_function_parameters"}}"#,
        C::BadRequest,
    ),
    (
        400,
        r#"{"error":{"message":"Invalid schema for function 'model_not_found': array schema missing items.","type":"invalid_request_error","param":"tools[0].function.parameters","code":"invalid_function_parameters"}}"#,
        C::BadRequest,
    ),
    (
        400,
        r#"{"error":{"message":"Invalid value: 'insufficient_quota'. Supported values are: 'system', 'user'.","type":"invalid_request_error","param":"messages[0].role","code":"invalid_value"}}"#,
        C::Unsupported,
    ),
    (
        400,
        r#"{"error":{"message":"litellm.BadRequestError: OpenAIException - Invalid value: 'server_is_overloaded'.","type":null,"param":null,"code":"400"}}"#,
        C::BadRequest,
    ),
    (
        400,
        r#"{"error":{"message":"tool call validation failed: attempted to call tool 'rate_limit_status' which was not in request.tools","type":"invalid_request_error","code":"tool_use_failed"}}"#,
        C::Unusable,
    ),
    (
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"messages.0.content.0: Input tag 'insufficient_quota' found using 'type' does not match any of the expected tags: 'image'"}}"#,
        C::Unsupported,
    ),
    (
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"tools: Tool names must be unique: 'billing_error'"}}"#,
        C::BadRequest,
    ),
    (
        400,
        r#"{"type":"error","error":{"type":"invalid_request_error","message":"messages.1.content.0: unexpected `tool_use_id` found in `tool_result` blocks: rate_limit_error."}}"#,
        C::BadRequest,
    ),
    (
        400,
        r#"{"error":{"code":400,"message":"Invalid value at 'contents[0].role' (type.googleapis.com/google.Role), \"api key not valid\"","status":"INVALID_ARGUMENT"}}"#,
        C::BadRequest,
    ),
    (
        400,
        r#"{"code":"Client specified an invalid argument","error":"Tool \"billing_error\" is named twice"}"#,
        C::Declined,
    ),
    (400, r#"{"error":{"message":"Tool billing_error is named twice"}}"#, C::Declined),
    (400, r#"{"error":"the call “too many requests” of 「quota exceeded」 is no object"}"#, C::Declined),
    (400, r#"{"error":{"message":"No such turn. got: rate limit exceeded"}}"#, C::Declined),
    // Where a field is at fault, words without quotes are no accusation either.
    (400, r#"{"error":{"message":"Unknown function: rate limit exceeded","param":"tool_choice"}}"#, C::BadRequest),
    (
        400,
        r#"{"error":{"message":"No function billing_error: insufficient balance","code":"invalid_value"}}"#,
        C::BadRequest,
    ),
    // What looks like a provider's error and is an argument.
    (
        400,
        r#"{"error":{"message":"Invalid JSON in function call arguments: {\"error\":{\"code\":\"invalid_api_key\",\"message\":\"Incorrect API key provided\"}}"}}"#,
        C::Declined,
    ),
    (
        400,
        r#"{"error":{"message":"Invalid type for 'content': expected a string, but got an object: {'error': {'type': 'authentication_error', 'message': 'invalid x-api-key'}}"}}"#,
        C::BadRequest,
    ),
    (
        400,
        r#"{"error":{"message":"Invalid content in the request body: {\"role\":\"user\",\"message\":\"insufficient balance\"}"}}"#,
        C::BadRequest,
    ),
    (
        400,
        r#"{"error":{"message":"Tool result for call_1 is no string: {\"error\": {\"type\": \"billing_error\", \"message\": \"pay\"}}"}}"#,
        C::Declined,
    ),
    (
        400,
        r#"{"error":{"message":"Error in the tool result: {\"error\": {\"type\": \"billing_error\", \"message\": \"pay\"}}"}}"#,
        C::Declined,
    ),
    // An address in the request, and what it answered.
    (
        400,
        r#"{"error":{"message":"Failed to download multimodal content from https://x.dev/a: status code: 503"}}"#,
        C::Unsupported,
    ),
    (
        400,
        r#"{"error":{"message":"Failed to download image from https://x.dev/a: HTTP error 429","code":"invalid_image_url"}}"#,
        C::Unsupported,
    ),
    // What a model wrote, in a server's own fault.
    (
        500,
        r#"{"error":{"code":500,"message":"Failed to parse tool call arguments as JSON: syntax error; last read: 'too many requests'","type":"server_error"}}"#,
        C::Server,
    ),
];

#[test]
fn what_a_refusal_quotes_is_its_callers_and_takes_no_key_from_anybody() {
    for (status, body, class) in QUOTES {
        let found = failure(*status, body);
        assert_eq!(found.class, *class, "{status} {body}: {found}");
        assert!(found.class.consequences().hold.is_none() && found.scope != Scope::Key, "{body}");
    }
}

#[test]
fn an_error_of_another_provider_that_a_gateway_quotes_whole_is_understood() {
    for (status, message, class) in [
        (
            400,
            r#"litellm.AuthenticationError: OpenAIException - {"error":{"message":"no","code":"invalid_api_key"}}. Received Model Group=m"#,
            C::Unauthorised,
        ),
        (
            400,
            r#"litellm.BadRequestError: VertexAIException - b'{\n  "error": {\n    "code": 400,\n    "message": "API key not valid. Please pass a valid API key.",\n    "status": "INVALID_ARGUMENT"\n  }\n}\n'"#,
            C::Unauthorised,
        ),
        (
            400,
            r#"Error from provider(openai,m: 401): {"error":{"message":"Incorrect API key provided: sk","code":"invalid_api_key"}}Error: Error from provider"#,
            C::Unauthorised,
        ),
        (
            400,
            r#"upstream error: {"error":{"message":"Your credit balance is too low","type":"invalid_request_error"}}"#,
            C::OutOfMoney,
        ),
        (
            500,
            r#"OpenAIException - Error code: 429 - {'error': {'message': "You've none left", 'type': 'insufficient_quota', 'param': None, 'code': 'insufficient_quota'}}"#,
            C::OutOfMoney,
        ),
        (
            500,
            r"OpenAIException - Error code: 429 - {'error': {'message': 'You exceeded your current quota, please ch",
            C::RateLimited,
        ),
        (
            400,
            r#"Gateway: upstream answered "{\"error\":{\"message\":\"no\",\"code\":\"invalid_api_key\"}}""#,
            C::Unauthorised,
        ),
        (400, r#"BedrockException - {"message":"Input is too long for requested model."}"#, C::ContextTooLong),
        (
            400,
            r#"BedrockException - {"Message":"User: u is not authorized to perform: bedrock:InvokeModel on resource: a"}"#,
            C::Forbidden,
        ),
        (
            400,
            r"OpenAIException - Error code: 404 - {'error': {'message': 'gone', 'code': 'model_not_found'}}",
            C::ModelGone,
        ),
        (400, "insufficient_quota: you have none left", C::OutOfMoney),
        (400, "Upstream failed with code: server_is_overloaded", C::Overloaded),
    ] {
        for body in [
            serde_json::json!({"error": {"message": message, "type": null, "param": null, "code": status.to_string()}}),
            serde_json::json!({"error": {"message": "Provider returned error", "code": status,
                "metadata": {"raw": message}}}),
        ] {
            let found = failure(status, &body.to_string());
            assert_eq!(found.class, class, "{body}: {found}");
        }
        assert_eq!(failure(status, message).class, class, "{message}");
    }
}

#[test]
fn a_refusal_of_a_key_may_quote_what_it_says() {
    for status in [401, 402, 403, 429] {
        let body =
            r#"{"error":{"message":"The provider says: 'Your account has been suspended, insufficient balance'"}}"#;
        assert_eq!(failure(status, body).class, C::OutOfMoney, "{status}");
    }
}

#[test]
fn own_words_are_told_from_quoted_ones() {
    for (text, own) in [
        ("a 'b' c", "a '' c"),
        ("'a' or 'b'/'c', [\"d\"] and `e`.", "'' or ''/'', [\"\"] and ``."),
        ("the model's limit isn't the users' own", "the model's limit isn't the users' own"),
        ("it's 'the user's own' word", "it's '' word"),
        ("got 'a 'b' c' here", "got '' here"),
        (r"value 'it\'s so' here", "value '' here"),
        ("cut off: 'a b c", "cut off: '"),
        ("“a” ‘b’ «c» 「d」『e』 isn’t", "“” ‘’ «» 「」『』 isn’t"),
        ("模型'a'不存在", "模型''不存在"),
        ("got: a b\nand c", "got: \nand c"),
        ("input_value=a b, c", "input_value="),
        ("the value {'a': {'b': (1, None, True, F('x', y=1))}} is odd", "the value   is odd"),
        ("range [1, 2] of {x} and [json.exception.101]", "range [1, 2] of {x} and [json.exception.101]"),
        ("", ""),
    ] {
        assert_eq!(part(text), Parted { own: own.to_owned(), errors: Vec::new() }, "{text}");
    }
}

#[test]
fn errors_are_read_as_json_and_as_python_writes_them() {
    let error = serde_json::json!({"error": {"code": 1, "message": "it's \"so\" é", "list": [true, null]}});
    for text in [
        error.to_string(),
        format!("Exception - {error}"),
        format!("b'{}'", error.to_string().replace('\\', r"\\").replace('\'', r"\'")),
        r#"Error: {'error': {'code': 1, 'message': 'it\'s "so" é', 'list': (True, None)}} and more"#.to_owned(),
        r#"Error: {'error': {'code': 1, 'message': "it's \"so\" \u00e9", 'list': [True, None,]}}"#.to_owned(),
        r#"Error: {'error': {'code': 1, 'message': 'it\'s "so" é', 'list': [True, None"#.to_owned(),
    ] {
        assert_eq!(part(&text).errors, std::slice::from_ref(&error), "{text}");
    }
    let deep = "{'error': ".repeat(100_000);
    assert_eq!(part(&deep).errors, Vec::<Value>::new());
}

proptest! {
    #[test]
    fn any_text_is_parted(text in r#"('|"|`|“|[{}\[\]():,\\=]|error|b'|got: |None|\PC){0,60}"#) {
        let parted = part(&text);
        prop_assert!(parted.own.len() <= text.len());
        failure(400, &text);
    }
}

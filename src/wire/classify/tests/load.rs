//! Limits of a rate and a lack of capacity, in the words of hosts and gateways and with whatever status.

use super::*;

/// What a host says of a rate that is its caller's.
const RATES: &[&str] = &[
    // Bedrock, through LiteLLM and others.
    "Too many tokens, please wait before trying again.",
    "litellm.BadRequestError: BedrockException - {\"message\":\"Too many tokens, please wait before trying again.\"}",
    "Too many requests, please wait before trying again.",
    "Too many requests, please wait before trying again. You have sent too many requests.  Wait before trying again.",
    "ThrottlingException: Too many tokens per day, please wait before trying again.",
    "An error occurred (ThrottlingException) when calling the ConverseStream operation (reached max retries: 4): Too many tokens, please wait before trying again.",
    "Your request rate is too high. Please wait a moment and try again.",
    "Rate exceeded",
    "Rate exceeded.",
    "Operation rate exceeded",
    "Your request was throttled",
    // Azure, Google, Alibaba, Tencent, Cloudflare, Mistral.
    "Requests to the ChatCompletions_Create Operation have exceeded call rate limit of your current pricing tier.",
    "You are sending requests too quickly. Pace your requests.",
    "You're sending requests too fast",
    "Request rate increased too quickly. To ensure system stability, please adjust your client logic to scale requests more smoothly over time.",
    "Requests rate limit exceeded, please try again later.",
    "You have exceeded the request rate for this model",
    "Exceeded 5 requests per second",
    "RPM limit exceeded. Please complete identity verification to lift the restriction.",
    "TPM limit exceeded",
    "request reached organization max RPM: 3, please try again after 1 seconds",
    "Your account reached max request limit: concurrency 1",
    "Your account reached organization max concurrency: 1, please try again after 1 seconds",
    "Max concurrent requests exceeded for this key",
    "Concurrent request limit reached",
    "Too many active requests. Please wait for the others to finish.",
    "Maximum concurrent requests reached: 4",
    "Detected high-frequency non-compliant requests from you.",
    "请求过于频繁，请稍后再试",
    "您的请求频率过高，请稍后重试",
    "您当前使用该API的并发数过高，请降低并发，或联系客服增加限额。",
    "触发限流，请稍后再试",
    "当前请求超过并发限制",
];

/// What a host says of a lack that is its own.
const LACKS_OF_CAPACITY: &[&str] = &[
    "Model is at max capacity",
    "The model is currently at maximum capacity. Please retry.",
    "We are currently over capacity",
    "No available capacity was found for the model",
    "Insufficient on-demand capacity for the model",
    "There is not enough capacity to serve this request right now",
    "litellm.BadRequestError: VertexAIException - Out of capacity for this model",
    "Due to capacity constraints we cannot process your request",
    "Bedrock is unable to process your request: the server is under heavy load",
    "The service is experiencing high load",
    "We are experiencing heavy traffic",
    "The model is slow due to high demand, please retry in a minute",
    "All slots are busy. Please wait.",
    "The request queue is full",
    "Engine queue full, try again",
    "Too many pending requests in the queue of the server",
    "the server is busy, please wait",
    "That model is currently overloaded with other requests.",
    "Overloaded",
    "当前分组上游负载已饱和，请稍后再试",
    "系统繁忙，请稍后再试",
    "服务器负载过高",
    "模型当前访问量过大，请您稍后再试",
];

/// The forms in which one message comes.
fn forms(message: &str, status: u16) -> [String; 5] {
    [
        serde_json::json!({"error": {"message": message, "type": "invalid_request_error", "param": null,
            "code": status.to_string()}}),
        serde_json::json!({"error": {"message": message, "type": null, "param": "None", "code": status}}),
        serde_json::json!({"type": "error", "error": {"type": "invalid_request_error", "message": message}}),
        serde_json::json!({"message": message}),
        serde_json::json!({"detail": message}),
    ]
    .map(|body| body.to_string())
}

#[test]
fn a_rate_or_a_lack_of_capacity_is_no_refusal_of_a_request_whatever_its_status_is() {
    let mut wrong = Vec::new();
    for (words, is_rate) in [(RATES, true), (LACKS_OF_CAPACITY, false)] {
        for message in words {
            for status in [400, 403, 413, 422, 429, 500, 503] {
                for body in forms(message, status) {
                    let class = failure(status, &body).class;
                    let fits = match status {
                        // A server's own trouble, however it is called.
                        500.. => matches!(class, C::RateLimited | C::Overloaded | C::Server),
                        429 => matches!(class, C::RateLimited | C::Overloaded),
                        _ if is_rate => class == C::RateLimited,
                        _ => class == C::Overloaded,
                    };
                    if !fits {
                        wrong.push(format!("{status} {body}: {class}"));
                    }
                }
            }
            let class = in_band(&serde_json::json!({"error": {"message": message}}).to_string()).class;
            if !matches!(class, C::RateLimited | C::Overloaded) {
                wrong.push(format!("in band {message}: {class}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn words_of_a_limit_within_a_request_are_no_rate() {
    for (status, message, class) in [
        (400, "Too many requests in one batch: tools[3] is invalid", C::RateLimited),
        (400, "Too many tokens in the prompt. Shorten it, please.", C::ContextTooLong),
        (400, "tools[0].function.parameters: `rate exceeded` is not of type object", C::BadRequest),
        (400, "messages.2.content: invalid value: 'the queue is full, wait before trying again'", C::BadRequest),
        (400, "Invalid 'tools[0].function.name': string does not match pattern. Got 'max_capacity'.", C::BadRequest),
        (400, "The function `get_capacity` is unknown", C::Declined),
    ] {
        let body = serde_json::json!({"error": {"message": message, "type": "invalid_request_error"}}).to_string();
        assert_eq!(failure(status, &body).class, class, "{message}");
    }
}

//! Conversations that are too long, in the words of all servers.

use super::*;

/// The conversation is too long, in the words of any server of the model.
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
    (
        "vLLM, V1",
        400,
        "You passed 8193 input tokens and requested 0 output tokens. However, the model's context length is only 8192 tokens, resulting in a maximum input length of 8192 tokens.",
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
    ("SiliconFlow", 413, "input must have less than 8192 tokens"),
    ("llama.cpp", 500, "input is too large to process. increase the physical batch size"),
    ("LMDeploy", 400, "The input exceeds session_len 8192"),
    (
        "TensorRT-LLM",
        400,
        "The sum of prompt length (9000.0), query length (0) should not exceed max_num_tokens (8192)",
    ),
    ("Tabby", 400, "Prompt length 9000 is greater than max_seq_len 8192"),
    ("Novita", 400, "the input token count 9000 is greater than context size 8192"),
    ("Hyperbolic", 400, "Please ensure input + max_tokens is below the model context limit 8192"),
    ("Z.ai", 400, "tokens in request more than max tokens allowed"),
    ("Hunyuan", 400, "input length too long, max_input_tokens: 28672"),
    ("Baichuan", 400, "prompt_tokens exceeds limit"),
    ("somebody in China", 400, "输入长度超过模型最大上下文长度 8192 tokens"),
    // Unknown words: tokens, a limit, the prompt, and numbers that confirm it.
    ("somebody", 400, "Your conversation has 41,213 tokens, which is over the limit of 32,768."),
    ("somebody", 400, "At most 16384 tokens are allowed in a request to this deployment."),
    ("somebody", 422, "prompt of 50000 tokens is larger than the maximum of 8192"),
    ("somebody", 400, "This request has 150k tokens; the limit is 128k."),
    ("somebody", 400, "The conversation has 41.213 tokens, more than the maximum of 32.768."),
    ("MiniMax", 400, "token limit exceeded"),
    ("somebody", 400, "too many tokens in request"),
    ("somebody", 413, "Request has too many tokens"),
    ("DS4", 400, "Prompt has 70000 tokens, but the configured context size is 65536 tokens"),
    ("Poolside", 400, "Input length 300000 exceeds the maximum allowed input length of 262144 tokens."),
    ("somebody", 400, "context_length exceeded"),
    ("llama.cpp", 400, "n_keep must be smaller than n_ctx"),
    ("somebody in China", 400, "输入内容过长，请缩短后重试"),
    ("somebody in China", 400, "请求的 tokens 数超过模型限制"),
    ("somebody", 400, "The input tokens exceed the configured limit of 128000."),
    ("somebody", 400, "context overflow: please start a new conversation"),
    ("somebody", 400, "Prompt length of 9001 is above what the model can take (8192)"),
];

#[test]
fn a_conversation_that_is_too_long_is_recognised_in_the_words_of_every_server() {
    for (provider, status, message) in OVERFLOWS {
        let shapes = [
            serde_json::json!({"error": {"message": message, "type": "invalid_request_error", "param": "messages",
                "code": null}}),
            serde_json::json!({"object": "error", "message": message, "type": "BadRequestError", "param": null,
                "code": status}),
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
        (400, "model-20241022: the maximum is not known, tokens of the request are (req-1234567)", C::Declined),
        (429, "Token limit exceeded: 30000 tokens per minute", C::RateLimited),
        // Bedrock, as it is and through others, who change the status.
        (400, "ThrottlingException: Too many tokens, please wait before trying again.", C::RateLimited),
        (403, "ThrottlingException: Too many tokens, please wait before trying again.", C::RateLimited),
        (500, "ThrottlingException: Too many tokens, please wait before trying again.", C::Overloaded),
        (400, "Too many tokens, please wait before trying again.", C::RateLimited),
        (400, "Too many tokens this minute. Slow down.", C::RateLimited),
        (400, "token limit exceeded for this minute", C::RateLimited),
        (400, "This request is over the token limit for your subscription tier.", C::Declined),
    ] {
        let body = serde_json::json!({"error": {"message": message, "type": "invalid_request_error"}}).to_string();
        assert_eq!(failure(status, &body).class, class, "{message}");
    }
}

#[test]
fn a_conversation_that_is_too_long_is_recognised_within_a_200() {
    for body in [
        r#"{"id":"x","choices":null,"base_resp":{"status_code":1039,"status_msg":"token limit exceeded"}}"#,
        r#"{"error":{"message":"At most 16384 tokens are allowed in a request.","code":400}}"#,
        r#"{"type":"abort","message":"The input (41213 tokens) is longer than the model's context length.","status_code":400}"#,
        r#"{"error":{"message":"Requested token count exceeds the model's maximum context length","type":"BadRequestError"}}"#,
    ] {
        assert_eq!(super::super::in_band(body).class, C::ContextTooLong, "{body}");
    }
}
